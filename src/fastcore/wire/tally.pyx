# cython: freethreading_compatible=True
"""The Python face that all decoders share: position, counts, errors, and one call that decodes a stream."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.string cimport memset

from fastcore._integers cimport as_int64
from fastcore.records cimport unlikely

from fastcore.errors import RESULTS, CorruptDataError

__all__ = []

_RESULT_NAMES = {code: name for code, (name, _) in RESULTS.items()}


cdef int64_t checked_midnight(object value) except? -1:
    cdef int64_t midnight = as_int64(value)
    if not -(<int64_t> 1 << 62) <= midnight <= <int64_t> 1 << 62:
        raise ValueError(f"midnight_ns must be in -2**62..2**62: midnight_ns={value}")
    return midnight


cdef class _Decoder:
    """What all decoders have in common."""

    def __cinit__(self, *args, **kwargs):
        if type(self) is _Decoder:
            raise TypeError("a decoder must be one of a format: ItchDecoder, BinanceDecoder, ...")

    cdef ptrdiff_t _batch(
        self, const uint8_t* data, size_t length, void* out, void* beside, size_t capacity, size_t* consumed, bint final
    ) noexcept nogil:
        return 0

    cdef int _settle(self) except -1:
        return 0

    cdef tuple _decode(self, object data, void* out, void* beside, size_t capacity, bint final):
        cdef tally_t* t = self._tally
        cdef uint64_t failed = t.total
        cdef size_t consumed = 0
        cdef ptrdiff_t n
        cdef Py_buffer view
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        with nogil:
            n = self._batch(<const uint8_t*> view.buf, view.len, out, beside, capacity, &consumed, final)
        PyBuffer_Release(&view)
        self._settle()
        if unlikely(t.strict and t.total != failed):
            self._raise_last(n)
        if unlikely(t.needed and n == 0 and consumed == 0):
            raise ValueError(f"out must hold the {self._items} of one message: capacity={capacity} needed={t.needed}")
        return n, consumed

    cdef int _raise_last(self, size_t items) except -1:
        cdef tally_t* t = self._tally
        if self._types is None:
            text = f"{self._rule}: {_RESULT_NAMES[t.last.code]} type={chr(t.last.type)!r} offset={t.last.offset}"
        else:
            text = f"{_RESULT_NAMES[t.last.code]}: {self._rule}: offset={t.last.offset}"
        error = CorruptDataError(text)
        error.offset = t.last.offset
        setattr(error, self._items, items)
        raise error

    def reset(self):
        """Start to count anew, as before the first byte of a stream; what was learnt of symbols stays."""
        cdef bint strict = self._tally.strict
        memset(self._tally, 0, sizeof(tally_t))
        self._tally.strict = strict

    @property
    def strict(self):
        """Whether malformed input raises."""
        return bool(self._tally.strict)

    @property
    def position(self):
        """Bytes of the input that are done with."""
        return self._tally.position

    @property
    def needed(self):
        """Size that an array must have for the message that did not fit; 0 when all did."""
        return self._tally.needed

    @property
    def counts(self):
        """Well-formed messages by type: dict of str to int without zeros."""
        types = map(chr, range(256)) if self._types is None else self._types
        return {name: self._tally.counts[i] for i, name in enumerate(types) if self._tally.counts[i]}

    @property
    def skipped(self):
        """Messages that were passed over, because nobody wants their symbol."""
        return self._tally.skipped

    @property
    def unknown(self):
        """Messages of unknown types, by first byte as a latin-1 letter."""
        return {chr(i): self._tally.unknown[i] for i in range(256) if self._tally.unknown[i]}

    @property
    def errors(self):
        """Malformed input by reason: dict of str to int without zeros."""
        return {name: self._tally.errors[code] for code, name in _RESULT_NAMES.items() if self._tally.errors[code]}

    @property
    def error_log(self):
        """The first 64 errors: list of (offset, type letter or NUL, reason), of (offset, reason) where types are no letters."""
        cdef int i
        cdef tally_error_t e
        log = []
        for i in range(<int> min(self._tally.total, <uint64_t> TALLY_LOG)):
            e = self._tally.log[i]
            reason = _RESULT_NAMES[e.code]
            log.append((e.offset, chr(e.type), reason) if self._types is None else (e.offset, reason))
        return log
