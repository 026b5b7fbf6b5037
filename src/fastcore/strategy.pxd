"""Contract of a strategy: a struct with one function, called for what it asked for.

    on(strategy, context, hook, event, change) -> STRATEGY_OK

A strategy never calls back: what it wants goes into the outbox of the context as events, and leaves when all callbacks of the instant
are done. `kinds` and `symbols` of `strategy_t` say what it is called for.
"""

from libc.math cimport NAN
from libc.stdint cimport int8_t, int64_t, uint8_t, uint32_t, uint64_t

from fastcore.book cimport book_change_t, top_t
from fastcore.market cimport market_t
from fastcore.money cimport money_double, money_t
from fastcore.portfolio cimport position_t
from fastcore.records cimport (
    FLAG_CONTINUED, FLAG_OWN, KIND_AMEND, KIND_ORDER, KIND_PULL, KIND_QUOTE, KIND_TARGET, KIND_TIMER, NO_PRICE, NO_SIDE, NO_SYMBOL, event_t,
    unlikely,
)
from fastcore.stopwatch cimport stopwatch_t


# What a callback is about, in the order in which they come within an instant.
cdef enum:
    ON_REPORT       # `event`: what came of an own order (ack, fill, reject, pulled); `change` of a fill: fill_fee, fill_mid
    ON_EVENT        # `event`, `change`: a market event of one of the kinds
    ON_BOOK         # `event`: the last one of an instrument whose best prices or sizes differ from before the instant
    ON_TIMER        # `event`: order_id is the timer's number
    ON_INSTANT      # after all others of the instant: the place to decide once
    ON_START        # no event
    ON_STOP

cdef enum:
    STRATEGY_OK
    STRATEGY_ROOM   # not done: Strategy.make_room(), then again with the same arguments
    STRATEGY_ERROR  # Strategy.fail() says what it was

cdef enum:
    CONTEXT_VERSION = 1
    OUTBOX_ROOM = 64    # commands that one callback may add

cdef enum:
    DESK_ORDERS = 1024      # own orders that can be unfinished at the same time
    DESK_RUNGS = 16         # wanted quotes a side of an instrument
    DESK_OWNERS = 256       # strategies on one account
    OWNER_SHIFT = 56        # where the owner stands in `seq` of a report, above the number of its cause

cdef enum:
    ORDER_FREE
    ORDER_SENT
    ORDER_LIVE
    ORDER_CHANGING          # its amend is in flight
    ORDER_LEAVING           # its pull or replacement is in flight
    ORDER_DONE

# What an order is for, where it is not one of the wanted quotes: those have the number of their rung.
cdef enum:
    FOR_ITSELF = DESK_RUNGS
    FOR_PASSING             # likewise, and it never rests
    FOR_TARGET              # a wanted position

# One cache line.
ctypedef struct own_order_t:
    int64_t id
    int64_t price_ticks     # NO_PRICE: a market order
    int64_t size_lots       # with what is filled
    int64_t filled_lots
    int64_t worst_lots      # what limits count: all that may still be filled
    int64_t ahead_lots      # at our price, when the venue took it
    int64_t sent_ns
    uint32_t symbol_id
    int8_t side
    uint8_t state
    uint8_t rung            # of the wanted quotes, or what it is for
    uint8_t owner           # index of its strategy, in the order of their names


cdef inline bint order_works(const own_order_t* o) noexcept nogil:
    """Whether an order is unfinished."""
    return <uint8_t> (o.state - ORDER_SENT) < ORDER_DONE - ORDER_SENT


# Fields are only ever appended: function pointers made elsewhere depend on the layout.
ctypedef struct context_t:
    uint32_t size
    uint32_t version
    int64_t now_ns                  # our clock at this instant
    uint64_t cause                  # running number of its last market event
    uint64_t rng                    # state for random numbers of the strategy
    const top_t* tops               # best prices by dense id, of wanted instruments
    const position_t* positions     # of the strategy that is called, by dense id
    const market_t* market          # books and trading states
    event_t* out                    # the outbox: events to be sent, and wanted quotes
    uint32_t n
    uint32_t room
    void* state                     # of the strategy
    stopwatch_t* watch
    const own_order_t* orders       # of the account, by id modulo DESK_ORDERS
    int64_t* next_order_id
    uint64_t reports                # kinds of reports that somebody wants since the run began, one bit each
    const position_t* account       # positions of all strategies together, by dense id
    uint64_t owner                  # index of the strategy that is called

cdef struct strategy_t

ctypedef int (*strategy_on_t)(
    strategy_t* strategy, context_t* context, int hook, const event_t* event, const book_change_t* change
) noexcept nogil

cdef struct strategy_t:
    strategy_on_t on
    uint64_t hooks          # bit by hook: which are called; a strategy may change that of ON_INSTANT at any time
    uint64_t kinds          # bit by kind of market event: of ON_EVENT
    uint64_t reports        # bit by kind of report: of ON_REPORT
    uint32_t symbol_id      # the instrument; NO_SYMBOL: all wanted ones


cdef inline event_t* want(context_t* c, uint32_t symbol_id, int kind, int8_t side) noexcept nogil:
    """The next command of the outbox, with its head; room is certain for OUTBOX_ROOM in a callback."""
    cdef event_t* e = &c.out[c.n]
    e.seq = c.cause
    e.exch_ns = e.local_ns = c.now_ns
    e.symbol_id = symbol_id
    e.kind = <uint8_t> kind
    e.side = side
    e.flags = FLAG_OWN
    c.n += 1
    return e


cdef inline void want_quotes(
    context_t* c, uint32_t symbol_id, int64_t bid_ticks, int64_t ask_ticks, int64_t bid_lots, int64_t ask_lots
) noexcept nogil:
    """Say which quotes are wanted, NO_PRICE for none: these alone, unless `want_more` follows."""
    cdef event_t* e = want(c, symbol_id, KIND_QUOTE, NO_SIDE)
    e.bid = bid_ticks
    e.ask = ask_ticks
    e.bid_size = bid_lots
    e.ask_size = ask_lots


cdef inline void want_more(
    context_t* c, uint32_t symbol_id, int64_t bid_ticks, int64_t ask_ticks, int64_t bid_lots, int64_t ask_lots
) noexcept nogil:
    """Behind `want_quotes`: one more of each side, up to DESK_RUNGS in all. Which order becomes which is the affair of the desk."""
    c.out[c.n - 1].flags |= FLAG_CONTINUED
    want_quotes(c, symbol_id, bid_ticks, ask_ticks, bid_lots, ask_lots)


cdef inline int64_t want_order(
    context_t* c, uint32_t symbol_id, int8_t side, int64_t price_ticks, int64_t size_lots, int64_t terms
) noexcept nogil:
    """Send one order; returns its number, which all reports about it have. `terms` as in ``fastcore.records.order_terms``."""
    cdef event_t* e = want(c, symbol_id, KIND_ORDER, side)
    cdef int64_t id = c.next_order_id[0], tries = 0
    while unlikely(order_works(&c.orders[id & (DESK_ORDERS - 1)])) and tries < DESK_ORDERS:
        id += 1     # a number whose place is taken by an order that still works
        tries += 1
    c.next_order_id[0] = id + 1
    e.price = price_ticks
    e.size = size_lots
    e.order_id = id
    e.match_id = terms
    return id


cdef inline void want_pull(context_t* c, uint32_t symbol_id, int64_t order_id) noexcept nogil:
    """Cancel an order of `want_order`; while a change of it is in flight, as soon as that is answered."""
    cdef event_t* e = want(c, symbol_id, KIND_PULL, NO_SIDE)
    e.price = NO_PRICE
    e.size = 0
    e.order_id = order_id
    e.match_id = 0


cdef inline void want_amend(context_t* c, uint32_t symbol_id, int64_t order_id, int64_t price_ticks, int64_t size_lots) noexcept nogil:
    """Change an order of `want_order`: NO_PRICE keeps its price, 0 its size, which counts what is filled. The newest wish wins."""
    cdef event_t* e = want(c, symbol_id, KIND_AMEND, NO_SIDE)
    e.price = price_ticks
    e.size = size_lots
    e.order_id = order_id
    e.match_id = 0


cdef inline void want_position(context_t* c, uint32_t symbol_id, int64_t lots, int64_t cross_after_ns) noexcept nogil:
    """Say which position is wanted, NO_PRICE for none in particular: one order waits at its touch, and crosses after a time (< 0: never)."""
    cdef event_t* e = want(c, symbol_id, KIND_TARGET, NO_SIDE)
    e.price = lots
    e.size = cross_after_ns
    e.order_id = e.match_id = 0


cdef inline void want_timer(context_t* c, int64_t due_ns, int64_t number) noexcept nogil:
    """Ask to be called at a time, with a number that says for what."""
    cdef event_t* e = want(c, NO_SYMBOL, KIND_TIMER, NO_SIDE)
    e.local_ns = due_ns
    e.price = NO_PRICE
    e.size = 0
    e.order_id = number
    e.match_id = 0


# Of a fill, and of the detail behind it: the fee, and the best prices that we knew of before the instant.
cdef inline void fill_note(book_change_t* c, money_t fee, const top_t* before) noexcept nogil:
    c.price = <int64_t> fee.low
    c.size = fee.high
    c.new_price = before.bid
    c.new_size = before.ask


cdef inline double fill_fee(const book_change_t* c) noexcept nogil:
    """What a fill cost, a rebate negative, in units of a tick times a lot."""
    return money_double(money_t(<uint64_t> c.price, c.size)) / 1e9


cdef inline double fill_mid(const book_change_t* c) noexcept nogil:
    """The middle before, in ticks; NaN where the market had not two sides."""
    cdef bint known = c.new_price != NO_PRICE and c.new_size != NO_PRICE and c.new_price < c.new_size
    return 0.5 * (<double> c.new_price + <double> c.new_size) if known else NAN


cdef class Strategy:
    cdef strategy_t* _strategy
    cdef readonly tuple symbol_ids  # of the instruments, where that is not the one of _strategy
    cdef bint python                # its function needs the GIL
    cdef bint make_room(self) except -1
    cdef int fail(self) except -1
