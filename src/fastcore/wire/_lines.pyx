# cython: freethreading_compatible=True
"""The table of symbols, the errors and the Python face of the decoders of JSON lines."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport UINT32_MAX
from libc.string cimport memcpy, memset

cimport numpy as cnp

from fastcore._arrays cimport check_events, events_data
from fastcore._integers cimport as_int64
from fastcore.records cimport NO_SYMBOL, fc_alloc, fc_free, unlikely

from fastcore.errors import RESULTS, CorruptDataError
from fastcore.records import EVENT_DTYPE, QUOTE_DTYPE, REPLACE_DTYPE

cnp.import_array()

__all__ = []

cdef tuple _EVENT_DTYPES = (EVENT_DTYPE, QUOTE_DTYPE, REPLACE_DTYPE)
_RESULT_NAMES = {code: name for code, (name, _) in RESULTS.items()}


cdef uint32_t free_place(const uint32_t* table, uint32_t size, const uint8_t* name) noexcept nogil:
    cdef uint32_t at = place_of(name, size)
    while table[at]:
        at = (at + 1) & (size - 1)
    return at


cdef inline uint32_t place_of(const uint8_t* name, uint32_t size) noexcept nogil:
    return <uint32_t> hash_words(le64(name), le64(name + 8), le64(name + 16) ^ (le64(name + 24) << 1)) & (size - 1)


cdef uint32_t symbol_index(lines_t* d, const uint8_t* text, size_t length) noexcept nogil:
    cdef uint8_t name[LINES_NAME]
    cdef uint32_t at, i
    cdef uint32_t* table
    cdef uint8_t* symbols
    cdef line_symbol_t* s
    if length == 0 or length > LINES_NAME:
        return NO_SYMBOL
    memset(name, 0, LINES_NAME)
    memcpy(name, text, length)
    at = place_of(name, d.table_size)
    while d.table[at]:
        s = symbol_at(d, d.table[at] - 1)
        if s.length == length and memcmp(s.name, name, LINES_NAME) == 0:
            return d.table[at] - 1
        at = (at + 1) & (d.table_size - 1)
    if d.symbol_count == LINES_MAX_SYMBOLS:
        return NO_SYMBOL
    if d.symbol_count == d.symbol_capacity:
        symbols = <uint8_t*> fc_alloc(2 * d.symbol_capacity, d.symbol_size)
        table = <uint32_t*> fc_alloc(2 * d.table_size, sizeof(uint32_t))
        if symbols == NULL or table == NULL:
            fc_free(symbols)
            fc_free(table)
            d.no_memory = True
            return NO_SYMBOL
        memcpy(symbols, d.symbols, d.symbol_count * d.symbol_size)
        fc_free(d.symbols)
        fc_free(d.table)
        d.symbols = symbols
        d.table = table
        d.symbol_capacity *= 2
        d.table_size *= 2
        for i in range(d.symbol_count):
            table[free_place(table, d.table_size, symbol_at(d, i).name)] = i + 1
        at = free_place(table, d.table_size, name)
    i = d.symbol_count
    s = symbol_at(d, i)
    memcpy(s.name, name, LINES_NAME)
    s.length = <uint32_t> length
    s.symbol_id = i
    s.price_decimals = d.price_decimals
    s.size_decimals = d.size_decimals
    d.table[at] = i + 1
    d.symbol_count += 1
    return i


cdef void lines_fail(lines_t* d, uint64_t offset, int code) noexcept nogil:
    d.errors[code] += 1
    d.last.offset = d.position + offset
    d.last.code = code
    if d.total_errors < LINES_ERROR_LOG:
        d.log[d.total_errors] = d.last
    d.total_errors += 1


cdef int checked_decimals(object value, str name, int otherwise) except -2:
    cdef int64_t decimals
    if value is None:
        return otherwise
    decimals = as_int64(value)
    if not 0 <= decimals <= 18:
        raise ValueError(f"{name} must lie in 0..18: {name}={value}")
    return <int> decimals


cdef class _LineDecoder:
    """What decoders of lines have in common."""

    def __cinit__(self, *args, **kwargs):
        if type(self) is _LineDecoder:
            raise TypeError("a decoder of lines must be one of a venue: BinanceDecoder, KrakenDecoder")

    def __dealloc__(self):
        if self._lines != NULL:
            fc_free(self._lines.symbols)
            fc_free(self._lines.table)
            fc_free(self._lines)

    cdef int _open(
        self, lines_t* lines, size_t symbol_size, object price_decimals, object size_decimals, object strict, str venue, tuple types
    ) except -1:
        """Take over the memory of the decoder."""
        self._venue = venue
        self._types = types
        if lines == NULL:
            raise MemoryError(f"no memory for a {venue} decoder")
        self._lines = lines
        lines.price_decimals = checked_decimals(price_decimals, "price_decimals", -1)
        lines.size_decimals = checked_decimals(size_decimals, "size_decimals", -1)
        lines.strict = strict
        lines.symbol_size = symbol_size
        lines.symbol_capacity = 16
        lines.table_size = 64
        lines.symbols = <uint8_t*> fc_alloc(lines.symbol_capacity, symbol_size)
        lines.table = <uint32_t*> fc_alloc(lines.table_size, sizeof(uint32_t))
        if lines.symbols == NULL or lines.table == NULL:
            raise MemoryError(f"no memory for a {venue} decoder")
        return 0

    cdef ptrdiff_t _batch(
        self, const uint8_t* data, size_t length, event_t* out, size_t capacity, size_t* consumed, bint final
    ) noexcept nogil:
        return 0

    cdef uint32_t _index(self, object symbol) except? 0xFFFFFFFF:
        cdef bytes raw
        cdef uint32_t index
        if not isinstance(symbol, str):
            raise TypeError(f"symbol must be a str: type={type(symbol).__name__}")
        raw = symbol.encode()
        index = symbol_index(self._lines, <const uint8_t*> <const char*> raw, len(raw))
        if index == NO_SYMBOL:
            if self._lines.no_memory:
                raise MemoryError(f"no memory for the symbols of a {self._venue} decoder")
            raise ValueError(f"symbol must have 1 to 32 bytes, and there are at most 65,536: symbol={symbol!r}")
        return index

    def set_symbol(self, symbol, symbol_id=None, price_decimals=None, size_decimals=None):
        """Say what a symbol has that differs from the default; before its first message.

        Parameters
        ----------
        symbol : str
            As in the messages.
        symbol_id : int, optional
            0..2**32-1; by default its number in order of appearance.
        price_decimals, size_decimals : int, optional
        """
        cdef line_symbol_t* s = symbol_at(self._lines, self._index(symbol))
        cdef int price = checked_decimals(price_decimals, "price_decimals", s.price_decimals)
        cdef int size = checked_decimals(size_decimals, "size_decimals", s.size_decimals)
        cdef int64_t id_ = s.symbol_id if symbol_id is None else as_int64(symbol_id)
        if not 0 <= id_ <= UINT32_MAX:
            raise ValueError(f"symbol_id must lie in 0..2**32-1: symbol_id={symbol_id}")
        s.symbol_id = <uint32_t> id_
        s.price_decimals = price
        s.size_decimals = size

    def decode(self, data, out, final=False):
        """Decode lines.

        Parameters
        ----------
        data : bytes-like
            The stream, or what follows the bytes consumed so far.
        out : ndarray of EVENT_DTYPE, shape (n,), writable
            Receives the events; what lies behind them is unspecified. A message is never split: n must hold the largest
            one. How many events a message takes is said by the class.
        final : bool, default False
            Nothing follows: what stands behind the last line end is a line too.

        Returns
        -------
        (events, consumed) : (int, int)
            Events written to `out`, and bytes of `data` that are done with. Fewer than len(data) when the next message does
            not fit or the last line has no end: pass the rest again.

        Raises
        ------
        ValueError
            If `out` is too small for one message; `needed` says how many events are enough. Nothing is lost.
        CorruptDataError
            In strict mode, at the first malformed line. Attributes `offset` (of the line in the whole stream) and `events`
            (written to `out` before it).
        """
        cdef cnp.ndarray a = check_events(out, "out", True, _EVENT_DTYPES)
        cdef event_t* events = events_data(a)
        cdef size_t capacity = a.shape[0]
        cdef size_t consumed = 0
        cdef ptrdiff_t n
        cdef lines_t* d = self._lines
        cdef uint64_t failed = d.total_errors
        cdef bint at_end = final
        cdef Py_buffer view
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            with nogil:
                n = self._batch(<const uint8_t*> view.buf, view.len, events, capacity, &consumed, at_end)
        finally:
            PyBuffer_Release(&view)
        if unlikely(d.no_memory):
            d.no_memory = False
            raise MemoryError(f"no memory for the symbols and books of a {self._venue} decoder")
        if unlikely(d.strict and d.total_errors != failed):
            error = CorruptDataError(
                f"{_RESULT_NAMES[d.last.code]}: a line must be a {self._venue} message: offset={d.last.offset}"
            )
            error.offset = d.last.offset
            error.events = n
            raise error
        if unlikely(n == 0 and consumed == 0 and d.needed):
            raise ValueError(f"out must hold the events of one message: capacity={capacity} needed={d.needed}")
        return n, consumed

    @property
    def needed(self):
        """Size that an array must have for the message that did not fit, about; 0 when all did."""
        return self._lines.needed

    @property
    def strict(self):
        """Whether a malformed line raises."""
        return bool(self._lines.strict)

    @property
    def position(self):
        """Bytes of the stream consumed so far."""
        return self._lines.position

    @property
    def symbols(self):
        """Symbols so far: dict of symbol id to (name, price_decimals, size_decimals); -1: not known before the first image."""
        cdef uint32_t i
        cdef line_symbol_t* s
        names = {}
        for i in range(self._lines.symbol_count):
            s = symbol_at(self._lines, i)
            names[s.symbol_id] = ((<bytes> s.name[:s.length]).decode("utf-8", "replace"), s.price_decimals, s.size_decimals)
        return names

    @property
    def counts(self):
        """Well-formed messages by type, ``other`` those that make no event: dict of str to int without zeros."""
        return {name: self._lines.counts[i] for i, name in enumerate(self._types) if self._lines.counts[i]}

    @property
    def errors(self):
        """Malformed lines by reason: dict of str to int without zeros."""
        return {name: self._lines.errors[code] for code, name in _RESULT_NAMES.items() if self._lines.errors[code]}

    @property
    def error_log(self):
        """The first 64 malformed lines: list of (offset of the line, reason)."""
        return [
            (self._lines.log[i].offset, _RESULT_NAMES[self._lines.log[i].code])
            for i in range(<int> min(self._lines.total_errors, <uint64_t> LINES_ERROR_LOG))
        ]

    @property
    def stale(self):
        """Changes of the book that were not delivered, because it had them already or could not follow them."""
        return self._lines.stale

    @property
    def gaps(self):
        """Breaks so far: events of kind gap."""
        return self._lines.gaps
