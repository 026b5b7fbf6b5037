"""Contract of the simulated venue: own orders with their place in the queue of a recorded book.

    book_apply(book, event, &change)  ->  venue_apply(venue, event, &change)  ->  reports

A recorded day does not contain our orders. The venue keeps them beside the recorded book and works out, event by event, what
price-time priority would have given them. docs/simulator.md has the table of its rules; what they work on is

- a **place**: `ahead_lots` of what the book shows at our price when we enter. By order a place is exact: `stamp` is the book's next
  arrival number, smaller ones are ahead of us, larger ones behind. By level it is an estimate that never flatters us (`queue_t`).
- **displaced lots**: what an execution of the record would have given to us did not happen to the recorded order, which still stands
  there in a world with us. Of a later execution those with a better price, or with our price and an earlier stamp, are served first.
- **taken lots**: what has traded with us of an order (by level: at a price) that the book still shows. It does not trade a second time,
  neither where our next order takes, nor when its owner moves it.

The recorded book is never altered. By order the times of fills are therefore those of a matching engine into which the orders had
really been inserted, as long as the others would have acted the same; where the record leaves a choice we are later.
"""

from libc.stdint cimport INT64_MIN, int8_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from fastcore.records cimport (
    FLAG_OWN, KIND_CLEAR, KIND_CROSS, KIND_EXECUTE, KIND_QUOTE, KIND_REPLACE, KIND_TRADE, RESULT_FULL, RESULT_OK, TRADING_QUOTATION,
    TRADING_TRADING, event_t, likely, unlikely,
)
from fastcore.book cimport book_change_t, book_t
from fastcore.sim.queues cimport QueueModel, queue_t


cdef enum:
    # Levels that one marketable order may walk; what is left after that is pulled.
    VENUE_SWEEP = 64
    # Displaced orders a side and taken ones that are remembered: of more the oldest is forgotten, and counted.
    VENUE_DISPLACED = 256
    VENUE_TAKEN = 64
    VENUE_FEW = 8           # own orders of a side that are looked through one by one
    # Kinds that may concern own orders wherever they rest, one bit each; those that venue_concerns cannot judge either.
    VENUE_ALWAYS = 1 << KIND_TRADE | 1 << KIND_QUOTE | 1 << KIND_CLEAR | 1 << KIND_CROSS
    VENUE_APART = 1 << KIND_REPLACE | 1 << KIND_EXECUTE

# What becomes of an order that would meet an own one.
cdef enum:
    SELF_TRADE_REFUSE       # it is refused
    SELF_TRADE_CANCEL       # the own orders that it would meet are pulled

# Quantity ahead of an order where nobody knows: 2^60, more than will ever trade. A key beyond all prices of own orders. No such time.
cdef extern from *:
    """
    #define FC_VENUE_UNKNOWN ((int64_t)1 << 60)
    #define FC_VENUE_FAR ((int64_t)1 << 62)
    """
    const int64_t VENUE_UNKNOWN "FC_VENUE_UNKNOWN"
    const int64_t VENUE_FAR "FC_VENUE_FAR"
    const int64_t VENUE_NEVER "INT64_MAX"
    const uint64_t VENUE_LAST "UINT64_MAX"  # a stamp behind all others


ctypedef struct venue_order_t:
    int64_t order_id
    int64_t price_ticks
    int64_t left_lots
    int64_t filled_lots
    int64_t ahead_lots   # displayed quantity before us at our price
    double ahead_part    # by level: what an estimate is beyond that, of whole lots
    int64_t unseen_lots  # by order: what was before us when the book was cleared, until an image shows it
    uint64_t stamp       # arrival number that we would have: smaller ones are ahead of us
    int64_t entered_ns
    int64_t terms
    int64_t printed_lots # by level: executions at our price that the level does not show yet
    int64_t shrunk_lots  # by level: what left the queue ahead of us without a print, and may yet be printed
    int64_t shrunk_ns


ctypedef struct displaced_t:
    int64_t price_ticks
    int64_t lots
    uint64_t stamp
    uint64_t order_id    # while its order is in the book: with a delete of that these lots go too
    int64_t since_ns
    bint resting


ctypedef struct taken_t:
    int64_t key          # order; by level: price
    int64_t lots
    int8_t side          # of that order or level


# Which events of a side concern us; keys are side * price.
ctypedef struct reach_t:
    int64_t best_key    # of the best own order or displaced lot; -VENUE_FAR without any
    int64_t worst_key   # of the worst own order; VENUE_FAR without any
    int64_t cross_key   # from which on an arrival reaches our other side
    uint64_t span       # best_key - worst_key; 0 without own orders


ctypedef struct venue_t:
    reach_t reach[2]          # [0] buys, [1] sells
    uint64_t always           # VENUE_ALWAYS, and what else concerns us now
    int64_t now_ns            # exchange time of the market event being applied
    uint64_t now_seq          # its sequence number: reports carry it, so the cause of each is known
    venue_order_t* orders[2]  # best price first, then earliest entry
    venue_order_t* memory[2]  # where they lie, with room for twice the capacity: either end may move
    int64_t* prices           # by order id, modulo `ids` + 1: the price of the last order with such a number
    uint64_t ids
    int32_t count[2]          # resting orders of each side
    int32_t capacity          # per side; fixed at construction
    uint32_t symbol_id        # written into reports
    bint by_level             # the book is one by level or of best prices
    bint details              # each fill is followed by a detail
    bint imaging              # by order: since a clear only parts of an image have come
    bint imaged               # and there were some
    int self_trade
    const book_t* book        # as of the last order; NULL before
    const uint8_t* state      # trading state as `market_t` has it; the owner's, or `own_state`
    uint8_t own_state
    int64_t lowest_ticks      # that an order may have
    int64_t displaced_ns      # how long displaced lots stay: VENUE_NEVER for ever, 0 not at all
    int64_t print_lag_ns      # by level: a print may come so long after its level has shrunk
    int64_t level_lag_ns      # by level: growth may be shown so long after it happened
    int64_t shown_ticks[2]    # best prices of the last quote event
    int64_t shown_lots[2]
    uint64_t entries          # by level: stamp of the last own order
    int64_t due_ns            # earliest expiry; VENUE_NEVER without one
    displaced_t* displaced[2] # best price first, then by stamp
    int32_t displaced_count[2]
    taken_t* taken            # oldest first
    int32_t taken_count
    int64_t forgotten         # displaced and taken orders that were forgotten for want of room
    int64_t deferred_lots     # lots that displaced orders got before us, ever
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


cdef inline int64_t venue_room(int32_t capacity, bint details) noexcept nogil:
    """Reports that one call can produce at most."""
    return (2 * <int64_t> capacity + VENUE_SWEEP) * (1 + details) + 4


cdef inline int64_t venue_due(const venue_t* v) noexcept nogil:
    """Earliest expiry of an own order; NEVER without one."""
    return v.due_ns


cdef inline bint venue_takes_orders(const venue_t* v) noexcept nogil:
    """Whether the instrument trades, or collects orders for an auction."""
    return v.state[0] == 0 or v.state[0] == 1 + TRADING_TRADING or v.state[0] == 1 + TRADING_QUOTATION


cdef inline bint venue_matches(const venue_t* v) noexcept nogil:
    """Whether orders that reach each other trade."""
    return v.state[0] == 0 or v.state[0] == 1 + TRADING_TRADING


# venue_apply for an event that reaches an own order, or may.
cdef void venue_meet(venue_t* v, const event_t* e, const book_change_t* c) noexcept nogil


cdef inline int venue_apply(venue_t* v, const event_t* e, const book_change_t* c, uint64_t number) noexcept nogil:
    """Apply market event `number`, which the book has resolved; RESULT_FULL (and nothing done) without room for reports."""
    cdef const reach_t* r = &v.reach[c.side < 0]
    cdef int64_t key = c.side * c.price
    cdef int64_t arrived = c.side * c.new_price if c.kind == KIND_REPLACE else key
    cdef int64_t worst = INT64_MIN if c.kind == KIND_EXECUTE else r.worst_key
    v.now_ns = e.exch_ns
    v.now_seq = number
    # One branch for all kinds: an execution at our best price or a worse one, anything between our worst and best price, an arrival
    # that reaches our price from the other side. Most events are none of these.
    if likely(not (
        (v.always >> (c.kind & 63) & 1) | <uint64_t> ((key <= r.best_key) & (key >= worst)) | <uint64_t> (arrived >= r.cross_key)
    )):
        return RESULT_OK
    if unlikely(not venue_has_room(v)):
        return RESULT_FULL
    venue_meet(v, e, c)
    return RESULT_OK


cdef inline bint venue_concerns(const venue_t* v, const book_change_t* c) noexcept nogil:
    """Whether venue_apply has work with an add, a cancel, a delete or a level; a shorter look than its own."""
    cdef const reach_t* r = &v.reach[c.side < 0]
    cdef int64_t key = c.side * c.price
    return (<uint64_t> key - <uint64_t> r.worst_key <= r.span) | (key >= r.cross_key)


# Cold: memory.
cdef int venue_init(venue_t* v, int32_t capacity, int64_t reports, uint32_t symbol_id) noexcept nogil
cdef void venue_free(venue_t* v) noexcept nogil
cdef int venue_grow_reports(venue_t* v, int64_t reports) noexcept nogil

# Orders, with the number that their sender gave: each returns the code that its last report carries, RESULT_OK for an ack.
# RESULT_FULL with no report: no room.
cdef int venue_submit(
    venue_t* v, const book_t* b, int8_t side, int64_t price_ticks, int64_t size_lots, int64_t order_id, int64_t terms
) noexcept nogil
cdef int venue_cancel(venue_t* v, int64_t order_id) noexcept nogil
# `asked`: the side that it most likely has.
cdef int venue_replace(
    venue_t* v, const book_t* b, int8_t asked, int64_t order_id, int64_t price_ticks, int64_t total_lots, int64_t new_order_id
) noexcept nogil
# `total_lots` counts what is filled: no more than that, and the order is done.
cdef int venue_amend(venue_t* v, const book_t* b, int64_t order_id, int64_t price_ticks, int64_t total_lots) noexcept nogil
# The same for the events that a desk sends: order, pull, replace, amend.
cdef int venue_message(venue_t* v, const book_t* b, const event_t* e) noexcept nogil
# Take out what has expired by `now_ns`; RESULT_FULL, and nothing done, without room.
cdef int venue_expire(venue_t* v, int64_t now_ns) noexcept nogil


cdef class Venue:
    cdef venue_t _v
    cdef int64_t _next_order_id
    cdef object _book, _market  # what it looks things up in, kept alive
    cdef QueueModel _queue
    cdef uint64_t _busy         # a run works on it
    cdef const book_t* _use(self, object book) except NULL
    cdef int _room(self) except -1
