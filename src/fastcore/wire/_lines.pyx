# cython: freethreading_compatible=True
"""The table of symbols and the Python face of the decoders of JSON lines."""

from libc.stdint cimport UINT32_MAX
from libc.string cimport memcmp, memcpy, memset

cimport numpy as cnp

from fastcore._guard cimport alone
from fastcore._arrays cimport check_events, events_data
from fastcore._integers cimport int64_in
from fastcore.records cimport NO_SYMBOL, fc_alloc, fc_free
from fastcore.wire._json cimport le64

from fastcore.records import EVENT_DTYPE, QUOTE_DTYPE, REPLACE_DTYPE

cnp.import_array()

__all__ = []

cdef tuple _EVENT_DTYPES = (EVENT_DTYPE, QUOTE_DTYPE, REPLACE_DTYPE)


cdef uint32_t free_place(const uint32_t* table, uint32_t size, const uint8_t* name) noexcept nogil:
    cdef uint32_t at = place_of(name, size)
    while table[at]:
        at = (at + 1) & (size - 1)
    return at


cdef inline uint32_t place_of(const uint8_t* name, uint32_t size) noexcept nogil:
    return <uint32_t> hash_words(le64(name), le64(name + 8), le64(name + 16) ^ (le64(name + 24) << 1)) & (size - 1)


# The index of a name of 1 to 32 bytes that is padded with NUL, or NO_SYMBOL and its place in the table.
cdef uint32_t find_name(const lines_t* d, const uint8_t* name, size_t length, uint32_t* place) noexcept nogil:
    cdef uint32_t at = place_of(name, d.table_size)
    cdef const line_symbol_t* s
    while d.table[at]:
        s = symbol_at(d, d.table[at] - 1)
        if s.length == length and memcmp(s.name, name, LINES_NAME) == 0:
            return d.table[at] - 1
        at = (at + 1) & (d.table_size - 1)
    place[0] = at
    return NO_SYMBOL


cdef uint32_t symbol_known(const lines_t* d, const uint8_t* text, size_t length) noexcept nogil:
    cdef uint8_t name[LINES_NAME]
    cdef uint32_t at
    if length == 0 or length > LINES_NAME:
        return NO_SYMBOL
    memset(name, 0, LINES_NAME)
    memcpy(name, text, length)
    return find_name(d, name, length, &at)


cdef uint32_t symbol_index(lines_t* d, const uint8_t* text, size_t length) noexcept nogil:
    cdef uint8_t name[LINES_NAME]
    cdef uint32_t at = 0
    cdef uint32_t i
    cdef uint32_t* table
    cdef uint8_t* symbols
    cdef line_symbol_t* s
    if length == 0 or length > LINES_NAME:
        return NO_SYMBOL
    memset(name, 0, LINES_NAME)
    memcpy(name, text, length)
    i = find_name(d, name, length, &at)
    if i != NO_SYMBOL:
        return i
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


cdef int checked_decimals(object value, str name, int otherwise) except -2:
    return otherwise if value is None else <int> int64_in(value, name, 0, 18)


cdef class _LineDecoder(_Decoder):
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
        self._venue = venue
        self._rule = f"a line must be a {venue} message"
        self._items = "events"
        self._types = types
        if lines == NULL:
            raise MemoryError(f"no memory for a {venue} decoder")
        self._lines = lines
        self._tally = &lines.tally
        lines.tally.strict = strict
        lines.price_decimals = checked_decimals(price_decimals, "price_decimals", -1)
        lines.size_decimals = checked_decimals(size_decimals, "size_decimals", -1)
        lines.symbol_size = symbol_size
        lines.symbol_capacity = 16
        lines.table_size = 64
        lines.symbols = <uint8_t*> fc_alloc(lines.symbol_capacity, symbol_size)
        lines.table = <uint32_t*> fc_alloc(lines.table_size, sizeof(uint32_t))
        if lines.symbols == NULL or lines.table == NULL:
            raise MemoryError(f"no memory for a {venue} decoder")
        return 0

    cdef int _settle(self) except -1:
        if self._lines.no_memory:
            self._lines.no_memory = False
            raise MemoryError(f"no memory for the symbols and books of a {self._venue} decoder")
        return 0

    cdef uint32_t _index(self, object symbol) except? 0xFFFFFFFF:
        alone(&self._busy)
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
        cdef int64_t id_ = s.symbol_id if symbol_id is None else int64_in(symbol_id, "symbol_id", 0, UINT32_MAX)
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
        return self._decode(data, events_data(a), NULL, a.shape[0], final)

    def reset(self):
        """Start to count anew, as before the first byte of a stream; symbols and books stay."""
        _Decoder.reset(self)
        self._lines.stale = self._lines.gaps = 0

    @property
    def symbols(self):
        """Symbols so far: dict of symbol id to (name, price_decimals, size_decimals); -1: not known before the first image."""
        alone(&self._busy)
        cdef uint32_t i
        cdef line_symbol_t* s
        names = {}
        for i in range(self._lines.symbol_count):
            s = symbol_at(self._lines, i)
            names[s.symbol_id] = ((<bytes> s.name[:s.length]).decode("utf-8", "replace"), s.price_decimals, s.size_decimals)
        return names

    @property
    def stale(self):
        """Changes of the book that were not delivered, because it had them already or could not follow them."""
        return self._lines.stale

    @property
    def gaps(self):
        """Breaks so far: events of kind gap."""
        return self._lines.gaps

    def __repr__(self):
        return (
            f"{type(self).__name__}(symbols={self._lines.symbol_count}, position={self.position}, counts={self.counts}, "
            f"errors={self.errors}, gaps={self.gaps})"
        )
