"""Seeded synthetic market: the contract."""

cimport cython
from libc.stdint cimport int8_t, int64_t, uint32_t, uint64_t

from fastcore._types cimport event_t
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

ctypedef struct synthetic_t:
    uint64_t random[4]      # xoshiro256++
    int64_t midnight_ns
    int64_t now_ns          # since midnight
    uint64_t done           # messages made
    uint64_t total
    uint64_t next_order
    uint64_t next_match
    double excitement       # bursts: raises the rate, decays with every message
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
