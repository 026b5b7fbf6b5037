"""Seeded synthetic market: the contract."""

cimport cython
from libc.stdint cimport int8_t, int64_t, uint32_t, uint64_t

from fastcore.records cimport event_t
from fastcore.book cimport book_t, orders_t


# One symbol. Prices in here are whole increments (cents); the events carry ticks.
ctypedef struct market_t:
    book_t book
    double fair             # latent value
    double anchor           # where it returns to
    uint64_t* live          # references of the resting orders; order_t.user is the place in here
    uint32_t count
    uint32_t capacity
    uint32_t sides[2]       # resting bids, asks
    uint64_t symbol         # eight bytes

# The hidden reference price of one symbol, in increments; it moves once a step, whatever the orders do.
ctypedef struct value_t:
    double start            # at the open
    double value
    double sigma            # standard deviation of a step
    double spread           # of the second of a pair: what it is away from its relation to the first
    double ratio            # hedge ratio
    double keep             # share of the spread that a step keeps
    double noise            # what a step adds to the spread, as a standard deviation
    uint32_t first          # of a pair: number of the other + 1; 0 for a symbol that moves by itself
    uint32_t pair           # number of the pair

# All reference prices: a random stream of their own, so that they can be had again without the orders.
ctypedef struct values_t:
    uint64_t random[4]
    uint64_t seed[4]        # where the stream began
    value_t* values         # NULL: the values move with the messages
    uint32_t symbols
    double common           # weight of the step that all share, and of a symbol's own; the squares add up to 1
    double own

ctypedef struct synthetic_t:
    uint64_t random[4]      # xoshiro256++
    int64_t midnight_ns
    int64_t now_ns          # since midnight
    uint64_t done           # messages made
    uint64_t total
    uint64_t next_order
    uint64_t next_match
    double excitement       # bursts: raises the rate, decays with every message; where they branch, arrivals per ns
    double tail             # 1 / exponent of the placement; 0 the exponent 4/3, by roots
    double typical          # resting orders of a symbol that arrivals and changes tend to
    double flat             # the day: rate = flat + bend * x^2, x from -1 at the open to 1 at the close
    double bend
    double branching        # arrivals that each arrival causes; below 0: bursts by messages
    double decay            # of their rate, per ns
    uint64_t arrivals       # so far; counted where bursts branch
    bint reactive
    int64_t step_ns         # 0: nothing moves by steps
    uint32_t step           # steps done
    uint32_t steps          # of the day
    double* intensity       # arrivals per second at each step; NULL where bursts do not branch
    values_t values
    # Messages beside the flow: script_open events before the open, script_close before the closing crosses, script_after
    # behind them; exch_ns is a time of day in here.
    event_t* script
    uint64_t script_open
    uint64_t script_close
    uint64_t script_after
    int64_t pending_lots    # of an aggressive order that is not done yet
    int8_t pending_side
    uint32_t current        # symbol of the last message
    uint32_t symbols
    market_t* markets
    orders_t orders


# The next message as an event: 1, 0 after the last, -result code when memory runs out. out.seq is left alone.
cdef int synthetic_next(synthetic_t* s, event_t* out) noexcept nogil


@cython.final
cdef class SyntheticMarket:
    cdef synthetic_t _s
    cdef readonly tuple symbols
    cdef readonly object seed
    cdef dict _options

    cdef int _write_script(self) except -1
    cdef int _begin_values(self, double volatility, double correlation, list pairs) except -1
