"""Contract of the market: the books of all instruments and their trading states, in words of no venue.

    market_apply(market, event, &change)

One thread owns a market. Where nothing of it reaches us later than the venue, simulator and strategies share one.
"""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from fastcore.book cimport book_best_ask, book_best_bid, book_change_t, book_t
from fastcore.bookset cimport BookSet, bookset_apply, bookset_find, bookset_t
from fastcore.records cimport (
    FLAG_CONTINUED, KIND_CROSS, KIND_EXECUTE, KIND_TRADE, NO_PRICE, RESULT_OK, SESSION_MARKET_OPENS, TRADING_TRADING,
    TRADING_UNKNOWN, event_t, likely, unlikely,
)


cdef enum:
    # Nobody has said so, but nobody announces states either: it trades.
    STATE_IMPLIED = 0
    # Announced, and no state known yet: it does not trade. States and session are the words of events plus one.
    STATE_UNKNOWN = 1 + TRADING_UNKNOWN
    STATE_TRADING = 1 + TRADING_TRADING
    SESSION_MARKET = 1 + SESSION_MARKET_OPENS

    # Kinds that are executions, one bit each.
    MARKET_PRINTS = 1 << KIND_EXECUTE | 1 << KIND_TRADE | 1 << KIND_CROSS
    # The latest executions, which may still be broken: a power of two.
    MARKET_KEPT = 1 << 20

ctypedef struct print_t:
    int64_t match_id
    int64_t size            # lots that the volume counts; 0 not printed
    uint32_t symbol_id

# The newest of an instrument.
ctypedef struct seen_t:
    int64_t exch_ns         # of the last event
    int64_t local_ns
    int64_t last_ticks      # price of the last printed execution, once there is a volume

ctypedef struct market_t:
    bookset_t* books        # by dense id
    uint64_t rare           # kinds that touch no book, one bit each
    uint64_t number         # events applied: the running number of the last one
    uint64_t refused        # events that a book refused
    uint64_t first_refused  # number of the first of them; 0 for none
    uint8_t* states         # trading state by dense id
    int64_t* volumes        # lots in printed executions, by dense id
    print_t* prints         # of a book by order: MARKET_KEPT executions, in a circle
    uint64_t printed        # executions that were kept
    uint64_t lost_breaks    # broken trades whose execution is not there
    seen_t* seen            # by dense id; zeroes before the first event
    uint32_t capacity       # ids
    uint8_t session         # of the whole venue; 0: none announced, always open
    bint inside             # the event before said that this one carries more of its message
    uint64_t special        # kinds that are more than a change of a book: rare ones, and executions; one bit each


# market_apply as a call, for whoever has it in a hotter place too.
cdef int market_take(market_t* m, const event_t* e, book_change_t* out) noexcept nogil
# market_apply for what is more than a change of a book.
cdef int market_special(market_t* m, const event_t* e, book_change_t* out) noexcept nogil


cdef inline int market_change(market_t* m, const event_t* e, book_change_t* out) noexcept nogil:
    # market_apply for what is no more than that.
    cdef int result
    m.inside = e.flags & FLAG_CONTINUED
    result = bookset_apply(m.books, e, out)
    if unlikely(result != RESULT_OK):
        if m.refused == 0:
            m.first_refused = m.number
        m.refused += 1
    if likely(e.symbol_id < m.capacity):
        m.seen[e.symbol_id].exch_ns = e.exch_ns
        m.seen[e.symbol_id].local_ns = e.local_ns
    return result


cdef inline int market_apply(market_t* m, const event_t* e, book_change_t* out) noexcept nogil:
    """Apply an event: RESULT_OK, or the code of the book that refused it, as bookset_apply.

    `out.kind` is KIND_NONE for the later parts of a message that touches no book: what it says stands in its first event.
    """
    m.number += 1
    if unlikely(m.special >> (e.kind & 63) & 1):
        return market_special(m, e, out)
    return market_change(m, e, out)


cdef inline const book_t* market_book(const market_t* m, uint32_t symbol_id) noexcept nogil:
    """The book of an instrument; NULL before its first order or level."""
    return bookset_find(m.books, symbol_id)


cdef inline bint market_trades(const market_t* m, uint32_t symbol_id) noexcept nogil:
    """Whether orders are matched: the instrument trades, within market hours where the venue announces them."""
    cdef uint8_t state = m.states[symbol_id]
    return (state == STATE_TRADING or state == STATE_IMPLIED) and (m.session == SESSION_MARKET or m.session == 0)


cdef inline bint market_two_sided(const market_t* m, uint32_t symbol_id, int64_t* bid, int64_t* ask) noexcept nogil:
    """The best prices, and whether both are there and neither crossed nor locked."""
    cdef const book_t* b = market_book(m, symbol_id)
    if unlikely(b == NULL):
        bid[0] = ask[0] = NO_PRICE
        return False
    bid[0] = book_best_bid(b)
    ask[0] = book_best_ask(b)
    return likely(bid[0] != NO_PRICE and ask[0] != NO_PRICE and bid[0] < ask[0])


@cython.final
cdef class Market:
    cdef market_t _m
    cdef readonly BookSet books
    cdef readonly str book
    cdef uint32_t _id(self, object symbol_id) except? 0xFFFFFFFF
