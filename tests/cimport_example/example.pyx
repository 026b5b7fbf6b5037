"""A module of somebody else that uses the core from compiled code, without Python in its loop."""

from libc.stdint cimport int64_t

from fastcore.records cimport BUY, KIND_ADD, NO_PRICE, RESULT_OK, be32, event_t, fc_alloc, fc_free, floor_div, key8
from fastcore.records cimport tick_t


def best_bid(prices):
    """Fill events with resting buy orders and return the highest price, as a strategy would see it."""
    cdef Py_ssize_t n = len(prices), i
    cdef event_t* events = <event_t*> fc_alloc(<size_t> n, sizeof(event_t))
    cdef int64_t best = NO_PRICE
    if events == NULL:
        raise MemoryError
    try:
        for i in range(n):
            events[i].kind = KIND_ADD
            events[i].side = BUY
            events[i].price = prices[i]
        with nogil:
            best = _highest(events, n)
    finally:
        fc_free(events)
    return best


cdef int64_t _highest(const event_t* events, Py_ssize_t n) noexcept nogil:
    cdef int64_t best = NO_PRICE
    cdef Py_ssize_t i
    for i in range(n):
        if events[i].kind == KIND_ADD and events[i].side == BUY and events[i].price > best:
            best = events[i].price
    return best


def sizes():
    """Return what this module was compiled with: the layouts must be those of the installed core."""
    return sizeof(event_t), sizeof(tick_t), RESULT_OK, floor_div(-7, 2)


def big_endian(bytes data not None):
    """Read the first four bytes and the 8-byte key of wire data."""
    if len(data) < 8:
        raise ValueError(f"data must hold 8 bytes: length={len(data)}")
    return be32(<const unsigned char*> data), key8(<const unsigned char*> data)
