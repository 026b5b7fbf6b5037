"""Contract of the instrument table: what the integers of each instrument mean; the dense id is the row."""

cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from fastcore.records cimport NO_PRICE
from fastcore.symbols cimport keys_t


# A tick is the smallest price unit of the feed, the venue's increment a whole number of ticks, smaller below a price where
# the venue says so.
ctypedef struct instrument_t:
    uint64_t key                # key8 of the symbol, padded with spaces; 0 where the name is longer than 8 bytes
    int32_t increment_ticks     # minimum price increment, ticks
    int32_t low_increment_ticks # the increment below low_below_ticks
    int64_t low_below_ticks     # 0: one increment for all prices
    int64_t maker_fee_ticks     # ticks a lot; a rebate is negative
    int64_t taker_fee_ticks
    double tick_size            # price of one tick, > 0
    double tick_num             # tick_size == tick_num / tick_den, the shortest decimal as a fraction of integers
    double tick_den
    double lot_size             # quantity of one lot, > 0
    double multiplier           # value of one unit of quantity at a price of 1, in currency, > 0
    char currency[8]            # ASCII, padded with NUL
    char venue[16]
    uint8_t inverse             # pays in the base currency: lots / price
    uint8_t signed_prices       # prices may be 0 and below
    uint8_t pad[6]


# One thread adds at a time; others may look up meanwhile. Rows never move, those below `count` never change.
ctypedef struct instruments_t:
    keys_t keys
    uint64_t count              # rows, published with release
    uint64_t capacity           # rows that fit
    instrument_t* rows
    instrument_t defaults       # what holds of which nothing else is said


# Row of a wire key, added with the meaning of `fields` where it is new; NO_SYMBOL for the key 0, without room or without memory.
cdef uint32_t instruments_add(instruments_t* s, uint64_t key, const instrument_t* fields) noexcept nogil


# Ticks beyond 2**50 are refused: a double still tells a tick from its neighbour there.
cdef inline double instrument_price(const instrument_t* m, int64_t ticks) noexcept nogil:
    """Price of a number of ticks: the double nearest to the exact decimal, as if it had been typed.

    That holds while `ticks * tick_num` is at most 2**53; beyond, the product is rounded first, and the last place may differ by one.
    """
    return (<double> ticks * m.tick_num) / m.tick_den


cdef inline int64_t instrument_ticks(const instrument_t* m, double price) noexcept nogil:
    """Ticks of a price; NO_PRICE unless it is positive (or may be signed), within 2**50 ticks and on the grid.

    On the grid means within a millionth of a tick, or two units in the last place where those are larger.
    """
    cdef double x = price * m.tick_den / m.tick_num
    cdef double size = -x if m.signed_prices and x < 0.0 else x
    cdef int64_t ticks
    cdef double off
    if not (size >= 0.5 or m.signed_prices) or not size < 1125899906842624.5:
        return NO_PRICE
    ticks = <int64_t> (size + 0.5)
    off = size - <double> ticks
    if (off if off >= 0.0 else -off) > 1e-6 + size * 4.5e-16:
        return NO_PRICE
    return ticks if x >= 0.0 else -ticks


@cython.final
cdef class Instruments:
    cdef instruments_t* _t
    cdef uint64_t _busy # compiled code adds instruments without the GIL: see _guard
    cdef list _names    # by id; rows that compiled code added come when somebody asks
    cdef dict _ids      # name -> id of them

    cdef list _known(self)
    cdef object _find(self, bytes raw)
    cdef int64_t _require(self, symbol_id) except -1
    cdef int _refuse_price(self, int64_t symbol_id, double price) except -1
    cdef int _refuse_ticks(self, int64_t symbol_id, int64_t ticks) except -1
    cdef object _index(self, ids, Py_ssize_t n)
