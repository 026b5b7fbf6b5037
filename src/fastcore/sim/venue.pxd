"""Contract of the simulated venue: own orders with their place in the queue of a recorded book.

    book_apply(book, event, &change)  ->  venue_apply(venue, event, &change)  ->  reports

A recorded day does not contain our orders. The venue keeps them beside the recorded book and works out, event by event,
what price-time priority would have given them:

- An order joins the queue behind everything that the book shows at its price: `ahead_lots` is the size of the level and
  `stamp` the book's next arrival number. Whatever has a smaller stamp is ahead, whatever has a larger one is behind.
- An execution or a cancellation of an order ahead shortens the queue.
- An execution of an order behind us at our price, or of any order at a worse price, is quantity that would have reached us
  first: we are filled, best price and earliest entry first, up to the quantity executed.
- An order that arrives on the other side at our price or through it would have traded with us: filled the same way.
- A print against hidden liquidity at a price strictly worse than ours fills us too (a displayed order has priority).

A book by level does not say whose quantity comes and goes. There (`by_level`) the place in the queue is an estimate that never
flatters us:

- An order joins behind the whole level. Worse than every level shown, nobody knows what waits there: VENUE_UNKNOWN is ahead.
- Executions at our price serve those ahead first and then us; executions at a worse price fill us.
- Whoever leaves without trading stood behind us, until the level is smaller than what we thought was ahead.
- Quantity that arrives on the other side at our price or through it would have traded with us; an image of the book is no arrival.
- Best prices alone (`quote`): the same rules for the two levels that are seen; an order better than the best has nobody ahead.

The recorded book is never altered: what our order took stays displayed. For one order per price the times of fills are
therefore those of a matching engine into which the order had really been inserted, as long as the others would have
acted the same; several own orders at one price share the quantity in entry order.
"""

from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint32_t, uint64_t

from fastcore.records cimport (
    BUY, FLAG_HIDDEN, FLAG_OWN, KIND_ADD, KIND_CANCEL, KIND_CLEAR, KIND_DELETE, KIND_EXECUTE, KIND_LEVEL, KIND_QUOTE, KIND_REPLACE,
    KIND_TRADE, RESULT_FULL, RESULT_OK, SELL, event_t, likely, unlikely,
)
from fastcore.book cimport book_change_t, book_t
from fastcore.sim.queues cimport queue_t


cdef enum:
    # Levels that one marketable order may walk; what is left after that is pulled.
    VENUE_SWEEP = 64
    # Kinds that may concern own orders wherever they rest, one bit each.
    VENUE_ALWAYS = 1 << KIND_TRADE | 1 << KIND_QUOTE | 1 << KIND_CLEAR

# Quantity ahead of an order where the book shows nothing: 2^60, more than will ever trade. A key beyond all prices of own orders.
cdef extern from *:
    """
    #define FC_VENUE_UNKNOWN ((int64_t)1 << 60)
    #define FC_VENUE_FAR ((int64_t)1 << 62)
    """
    const int64_t VENUE_UNKNOWN "FC_VENUE_UNKNOWN"
    const int64_t VENUE_FAR "FC_VENUE_FAR"


ctypedef struct venue_order_t:
    int64_t order_id
    int64_t price_ticks
    int64_t left_lots
    int64_t ahead_lots   # displayed quantity before us at our price
    uint64_t stamp       # the book's next arrival number when we entered: smaller ones are ahead of us


ctypedef struct venue_t:
    venue_order_t* orders[2]  # [0] buys, [1] sells: best price first, then earliest entry
    int32_t count[2]          # resting orders of each side
    int64_t best_key[2]       # side * price of the best and the worst of them; -VENUE_FAR and VENUE_FAR without any
    int64_t worst_key[2]
    int32_t capacity          # per side; fixed at construction
    uint32_t symbol_id        # written into reports
    bint by_level             # the book is one by level or of best prices
    int64_t shown_ticks[2]    # best prices of the last quote event
    int64_t shown_lots[2]
    int64_t now_ns            # exchange time of the market event being applied
    uint64_t now_seq          # its sequence number: reports carry it, so the cause of each is known
    queue_t queue             # how places in queues are estimated
    event_t* reports          # FLAG_OWN events in the order in which they happened; the owner empties it
    int64_t report_count
    int64_t report_capacity
    int64_t report_limit      # with more reports in the buffer the outcome of one call might not fit
    int64_t filled_lots       # ever
    int64_t open_lots[2]      # resting quantity of each side


cdef inline int venue_index(int8_t side) noexcept nogil:
    """0 for buy, 1 for sell."""
    return (1 - side) >> 1


cdef inline bint venue_has_room(const venue_t* v) noexcept nogil:
    """True while the report buffer holds what one call can produce at most; no call starts without."""
    return v.report_count <= v.report_limit


cdef inline void venue_report(
    venue_t* v, int kind, int8_t side, int64_t price_ticks, int64_t size_lots, int64_t order_id, int64_t extra
) noexcept nogil:
    cdef event_t* r = &v.reports[v.report_count]
    r.seq = v.now_seq
    r.exch_ns = v.now_ns
    r.local_ns = 0
    r.symbol_id = v.symbol_id
    r.kind = <uint8_t> kind
    r.side = side
    r.flags = FLAG_OWN
    r.price = price_ticks
    r.size = size_lots
    r.order_id = order_id
    r.match_id = extra
    v.report_count += 1


cdef void venue_fill(venue_t* v, int8_t side, int64_t price, int64_t size, uint64_t stamp, int64_t match_id) noexcept nogil
# venue_apply for an event that reaches an own order, or may.
cdef void venue_meet(venue_t* v, const event_t* e, const book_change_t* c) noexcept nogil


cdef inline int venue_apply(venue_t* v, const event_t* e, const book_change_t* c, uint64_t number) noexcept nogil:
    """Apply market event `number`, which the book has resolved; RESULT_FULL (and nothing done) without room for reports."""
    cdef int s = c.side < 0
    cdef int64_t key = c.side * c.price
    cdef int64_t arrived = c.side * c.new_price if c.kind == KIND_REPLACE else key
    v.now_ns = e.exch_ns
    v.now_seq = number
    # One branch for all kinds: an execution at our best price or a worse one, anything between our worst and best price, an arrival
    # that reaches our price from the other side. Most events are none of these.
    if likely(not (
        (VENUE_ALWAYS >> (c.kind & 63) & 1)
        | (key <= v.best_key[s]) & ((key >= v.worst_key[s]) | (c.kind == KIND_EXECUTE))
        | (arrived >= -v.best_key[1 - s])
    )):
        return RESULT_OK
    if unlikely(not venue_has_room(v)):
        return RESULT_FULL
    venue_meet(v, e, c)
    return RESULT_OK


# Cold: memory.
cdef int venue_init(venue_t* v, int32_t capacity, int64_t reports, uint32_t symbol_id) noexcept nogil
cdef void venue_free(venue_t* v) noexcept nogil
cdef int venue_grow_reports(venue_t* v, int64_t reports) noexcept nogil

# Orders, with the number that their sender gave: each returns the code that its last report carries, RESULT_OK for an ack.
# RESULT_FULL with no report: no room.
cdef int venue_submit(
    venue_t* v, const book_t* b, int8_t side, int64_t price_ticks, int64_t size_lots, int64_t order_id
) noexcept nogil
cdef int venue_cancel(venue_t* v, int64_t order_id) noexcept nogil
cdef int venue_replace(
    venue_t* v, const book_t* b, int64_t order_id, int64_t price_ticks, int64_t size_lots, int64_t new_order_id
) noexcept nogil
# The same for the events that a desk sends: order, pull, replace.
cdef int venue_message(venue_t* v, const book_t* b, const event_t* e) noexcept nogil
cdef venue_order_t* venue_find(const venue_t* v, int64_t order_id, int* side_index) noexcept nogil


cdef class Venue:
    cdef venue_t _v
    cdef int64_t _next_order_id
    cdef int _room(self) except -1
