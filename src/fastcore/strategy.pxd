"""Contract of a strategy: a struct with one function, called for what it asked for.

    on(strategy, context, hook, event, change) -> STRATEGY_OK

A strategy never calls back: what it wants goes into the outbox of the context as events, and leaves when all callbacks of the instant
are done. `kinds` and `symbols` of `strategy_t` say what it is called for.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from fastcore.book cimport book_change_t, top_t
from fastcore.market cimport market_t
from fastcore.portfolio cimport position_t
from fastcore.records cimport FLAG_OWN, KIND_QUOTE, KIND_TIMER, NO_PRICE, NO_SIDE, NO_SYMBOL, event_t
from fastcore.stopwatch cimport stopwatch_t


# What a callback is about, in the order in which they come within an instant.
cdef enum:
    ON_REPORT       # `event`: what came of an own order (ack, fill, reject, pulled)
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

# Fields are only ever appended: function pointers made elsewhere depend on the layout.
ctypedef struct context_t:
    uint32_t size
    uint32_t version
    int64_t now_ns                  # our clock at this instant
    uint64_t cause                  # running number of its last market event
    uint64_t rng                    # state for random numbers of the strategy
    const top_t* tops               # best prices by dense id, of wanted instruments
    const position_t* positions     # by dense id
    const market_t* market          # books and trading states
    event_t* out                    # the outbox: events to be sent, and wanted quotes
    uint32_t n
    uint32_t room
    void* state                     # of the strategy
    stopwatch_t* watch

cdef struct strategy_t

ctypedef int (*strategy_on_t)(
    strategy_t* strategy, context_t* context, int hook, const event_t* event, const book_change_t* change
) noexcept nogil

cdef struct strategy_t:
    strategy_on_t on
    uint64_t hooks          # bit by hook: which are called
    uint64_t kinds          # bit by kind of market event: of ON_EVENT
    uint64_t reports        # bit by kind of report: of ON_REPORT
    uint32_t symbol_id      # the instrument; NO_SYMBOL: all wanted ones


cdef inline void want_quotes(
    context_t* c, uint32_t symbol_id, int64_t bid_ticks, int64_t ask_ticks, int64_t bid_lots, int64_t ask_lots
) noexcept nogil:
    """Say which quotes are wanted, NO_PRICE for none; room in the outbox is certain for one per callback."""
    cdef event_t* e = &c.out[c.n]
    e.seq = c.cause
    e.exch_ns = e.local_ns = c.now_ns
    e.symbol_id = symbol_id
    e.kind = KIND_QUOTE
    e.side = NO_SIDE
    e.flags = FLAG_OWN
    e.bid = bid_ticks
    e.ask = ask_ticks
    e.bid_size = bid_lots
    e.ask_size = ask_lots
    c.n += 1


cdef inline void want_timer(context_t* c, int64_t due_ns, int64_t number) noexcept nogil:
    """Ask to be called at a time, with a number that says for what; the same room as for quotes."""
    cdef event_t* e = &c.out[c.n]
    e.seq = c.cause
    e.exch_ns = c.now_ns
    e.local_ns = due_ns
    e.symbol_id = NO_SYMBOL
    e.kind = KIND_TIMER
    e.side = NO_SIDE
    e.flags = FLAG_OWN
    e.price = NO_PRICE
    e.size = 0
    e.order_id = number
    e.match_id = 0
    c.n += 1


cdef class Strategy:
    cdef strategy_t* _strategy
    cdef readonly tuple symbol_ids  # of the instruments, where that is not the one of _strategy
    cdef bint python                # its function needs the GIL
    cdef bint make_room(self) except -1
    cdef int fail(self) except -1
