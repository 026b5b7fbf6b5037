# cython: freethreading_compatible=True
"""The Python face that all decoders share: position, counts, errors, and one call that decodes a stream."""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.string cimport memset

from fastcore._guard cimport alone, enter, leave
from fastcore._integers cimport as_int64
from fastcore.records cimport unlikely

from fastcore.errors import DATA_RESULTS as _RESULT_NAMES
from fastcore.errors import CorruptDataError

__all__ = []



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

    cdef int _enter(self) except -1:
        return enter(&self._busy)

    cdef void _leave(self) noexcept:
        leave(&self._busy)

    @cython.final
    cdef inline tally_t* _idle(self) except NULL:
        # The counts, while no batch is inside.
        alone(&self._busy)
        return self._tally

    cdef tuple _decode(self, object data, void* out, void* beside, size_t capacity, bint final):
        cdef tally_t* t = self._tally
        cdef uint64_t failed = t.total
        cdef size_t consumed = 0
        cdef ptrdiff_t n
        cdef Py_buffer view
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            self._enter()
            with nogil:
                n = self._batch(<const uint8_t*> view.buf, view.len, out, beside, capacity, &consumed, final)
            self._leave()
        finally:
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
        cdef tally_t* t = self._idle()
        cdef bint strict = t.strict
        memset(t, 0, sizeof(tally_t))
        t.strict = strict

    @property
    def strict(self):
        """Whether malformed input raises."""
        return bool(self._idle().strict)

    @property
    def position(self):
        """Bytes of the input that are done with."""
        return self._idle().position

    @property
    def needed(self):
        """Size that an array must have for the message that did not fit; 0 when all did."""
        return self._idle().needed

    @property
    def counts(self):
        """Well-formed messages by type: dict of str to int without zeros."""
        cdef tally_t* t = self._idle()
        types = map(chr, range(256)) if self._types is None else self._types
        return {name: t.counts[i] for i, name in enumerate(types) if t.counts[i]}

    @property
    def skipped(self):
        """Messages that were passed over, because nobody wants their symbol."""
        return self._idle().skipped

    @property
    def unknown(self):
        """Messages of unknown types, by first byte as a latin-1 letter."""
        cdef tally_t* t = self._idle()
        return {chr(i): t.unknown[i] for i in range(256) if t.unknown[i]}

    @property
    def errors(self):
        """Malformed input by reason: dict of str to int without zeros."""
        cdef tally_t* t = self._idle()
        return {name: t.errors[code] for code, name in _RESULT_NAMES.items() if t.errors[code]}

    @property
    def error_log(self):
        """The first 64 errors: list of (offset, type letter or NUL, reason), of (offset, reason) where types are no letters."""
        cdef int i
        cdef tally_error_t e
        cdef tally_t* t = self._idle()
        log = []
        for i in range(<int> min(t.total, <uint64_t> TALLY_LOG)):
            e = t.log[i]
            reason = _RESULT_NAMES[e.code]
            log.append((e.offset, chr(e.type), reason) if self._types is None else (e.offset, reason))
        return log
