"""Estimates from what flows by, for ``cimport``: a struct and inline updates, without the GIL."""

from libc.math cimport sqrt
from libc.stdint cimport int64_t, uint64_t


ctypedef struct ewma_t:
    double decay            # weight of the past per observation or interval, in (0, 1)
    double variance         # of one observation or interval; NaN before the first return
    double last             # last price used; NaN before the first
    int64_t last_ns         # its time
    int64_t interval_ns     # 0: every update is an observation
    uint64_t count          # returns used
    bint relative           # log returns, else price differences


cdef void ewma_observe(ewma_t* v, double price, int64_t time_ns) noexcept nogil


cdef inline bint ewma_due(const ewma_t* v, int64_t time_ns) noexcept nogil:
    """Whether a price of this time counts."""
    return v.interval_ns == 0 or time_ns - v.last_ns >= v.interval_ns or v.last != v.last


cdef inline void ewma_update(ewma_t* v, double price, int64_t time_ns) noexcept nogil:
    """Take a price; with an interval, only the first price after each interval counts."""
    if ewma_due(v, time_ns):
        ewma_observe(v, price, time_ns)


cdef inline double ewma_volatility(const ewma_t* v) noexcept nogil:
    """Volatility per square root of a second (with an interval) or of an observation; NaN before the first return."""
    return sqrt(v.variance * 1e9 / <double> v.interval_ns) if v.interval_ns else sqrt(v.variance)


cdef class EwmaVolatility:
    cdef ewma_t _v
