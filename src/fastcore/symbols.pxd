"""Contract of the symbol table: lookups without the GIL, and the instrument that belongs to an id.

One thread adds symbols and sets locates; any number of threads look up meanwhile. Nothing that a reader can hold ever
moves or is freed before the mapper: arrays are reserved for the whole capacity, and a hash table that has become too
small stays where it is after its successor has been published.
"""

from libc.stdint cimport int32_t, int64_t, uint16_t, uint32_t, uint64_t, uintptr_t

from fastcore.records cimport NO_PRICE, NO_SYMBOL, RESULT_BAD_PRICE, RESULT_OK, RESULT_UNKNOWN_SYMBOL, load_acquire, unlikely


# Price and size rules of one symbol: INSTRUMENT_DTYPE of NumPy. A tick is the smallest price unit of the feed, the venue's
# increment a whole number of ticks, smaller below a price where the venue says so.
ctypedef struct instrument_t:
    double tick_size            # price of one tick, > 0
    double tick_num             # tick_size == tick_num / tick_den, the shortest decimal as a fraction of integers
    double tick_den
    double lot_size             # quantity of one lot, > 0
    double lot_num              # lot_size == lot_num / lot_den
    double lot_den
    double multiplier           # value of one unit of quantity at a price of 1, in currency, > 0
    double maker_fee            # fraction of the traded value; a rebate is negative
    double taker_fee
    char currency[8]            # ASCII, padded with NUL
    int32_t increment_ticks     # minimum price increment, ticks
    int32_t low_increment_ticks # the increment below low_below_ticks
    int64_t low_below_ticks     # 0: one increment for all prices


ctypedef struct slot_t:
    uint64_t key    # eight bytes of symbol in memory order; 0 where the slot is empty; published last, with release
    uint32_t id
    uint32_t pad


ctypedef struct table_t:
    slot_t* slots
    uint64_t mask   # slots - 1
    uint64_t shift  # 64 - log2(slots)
    table_t* older  # retired, but still readable


ctypedef struct symbols_t:
    uint64_t table         # address of the current table_t, published with release
    uint64_t count         # symbols, published with release after everything that belongs to the newest one
    uint64_t capacity      # symbols that fit; the arrays below have this length and never move
    double* prices         # last price; NaN before the first
    double* volumes        # last volume
    int64_t* timestamps    # time of the last price, ns
    instrument_t* instruments
    uint64_t* locates      # ITCH stock locate -> id + 1; 65,536 entries, 0 where unknown


cdef inline uint64_t symbols_hash(uint64_t key) noexcept nogil:
    """Fibonacci hash of the folded key; the table takes the high bits."""
    return (key ^ (key >> 32)) * <uint64_t> 0x9E3779B97F4A7C15


cdef inline uint32_t symbols_find_key(const symbols_t* s, uint64_t wire_key) noexcept nogil:
    """Id of a wire key (`key8` of eight space-padded bytes); NO_SYMBOL where unknown."""
    cdef const table_t* t = <const table_t*> <uintptr_t> load_acquire(&s.table)
    cdef uint64_t i = symbols_hash(wire_key) >> t.shift
    cdef uint64_t key
    while True:
        key = load_acquire(&t.slots[i].key)  # pairs with the release in add
        if key == wire_key:
            # The key 0 is no symbol and would match an empty slot, whose id is NO_SYMBOL.
            return t.slots[i].id
        if key == 0:
            return NO_SYMBOL
        i = (i + 1) & t.mask


cdef inline uint32_t symbols_find_locate(const symbols_t* s, uint16_t locate) noexcept nogil:
    """Id of an ITCH stock locate; NO_SYMBOL where unknown."""
    return <uint32_t> (load_acquire(&s.locates[locate]) - 1)


cdef inline uint32_t symbols_count(const symbols_t* s) noexcept nogil:
    """Symbols known: ids are 0..count-1."""
    return <uint32_t> load_acquire(&s.count)


cdef inline int symbols_update_price(symbols_t* s, int64_t symbol_id, double price, int64_t timestamp) noexcept nogil:
    """Store the last price; RESULT_OK, RESULT_UNKNOWN_SYMBOL, or RESULT_BAD_PRICE unless 0 < price < inf."""
    if unlikely(<uint64_t> symbol_id >= load_acquire(&s.count)):
        return RESULT_UNKNOWN_SYMBOL
    if unlikely(not (price > 0.0 and price <= 1.7976931348623157e308)):
        return RESULT_BAD_PRICE
    s.prices[symbol_id] = price
    s.timestamps[symbol_id] = timestamp
    return RESULT_OK


# Ticks beyond 2**50 are refused: a double still tells a tick from its neighbour there.
cdef inline double instrument_price(const instrument_t* m, int64_t ticks) noexcept nogil:
    """Price of a number of ticks: the double nearest to the exact decimal, as if it had been typed."""
    return (<double> ticks * m.tick_num) / m.tick_den


cdef inline int64_t instrument_ticks(const instrument_t* m, double price) noexcept nogil:
    """Ticks of a price; NO_PRICE unless it is positive, within 2**50 ticks and on the grid.

    On the grid means within a millionth of a tick, or two units in the last place where those are larger.
    """
    cdef double x = price * m.tick_den / m.tick_num
    cdef int64_t ticks
    cdef double off
    if not (x >= 0.5 and x < 1125899906842624.5):
        return NO_PRICE
    ticks = <int64_t> (x + 0.5)
    off = x - <double> ticks
    if (off if off >= 0.0 else -off) > 1e-6 + x * 4.5e-16:
        return NO_PRICE
    return ticks


cdef class SymbolMapper:
    cdef symbols_t* _s
    cdef dict _ids          # str -> int: every symbol
    cdef dict _long_ids     # bytes -> int: symbols of more than 8 bytes, which have no wire key
    cdef list _names        # id -> str
    cdef object __weakref__

    cdef object _find(self, symbol)
    cdef int64_t _require(self, symbol) except -1
    cdef int _refuse_id(self, symbol_id) except -1
    cdef object _append(self, str name, bytes raw, const instrument_t* m)
    cdef int _refuse(self, int64_t symbol_id, double price, double volume, int64_t timestamp) except -1
    cdef int _refuse_price(self, int64_t symbol_id, double price) except -1
    cdef object _view(self, void* data, int type_number, Py_ssize_t size)
    cdef object _index(self, ids, Py_ssize_t n)
