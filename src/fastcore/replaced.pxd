"""The calls of the replaced engine: the states behind them."""

cimport numpy as cnp
from libc.stdint cimport int8_t, int64_t, uint64_t

from fastcore._slots cimport ring_t
from fastcore.correlation cimport RollingCorrelation
from fastcore.histogram cimport Histogram, histogram_record, histogram_t
from fastcore.records cimport unlikely
from fastcore.tickstore cimport TickStore


ctypedef struct latencies_t:
    int64_t* ring           # the last `capacity` latencies in ns, oldest overwritten
    int64_t capacity
    int64_t position        # slot of the next one
    int64_t recorded        # latencies ever recorded, negative ones included
    int64_t negative        # end before start: kept in the ring, in no histogram
    int64_t* buckets        # 1,000 counters of 1 us; the last one also holds all longer ones


cdef inline void latencies_record(latencies_t* m, histogram_t* h, int64_t latency_ns) noexcept nogil:
    """Keep one latency in the ring, in the 1 us buckets and in the histogram."""
    cdef uint64_t bucket
    cdef int64_t position = m.position
    m.ring[position] = latency_ns
    position += 1
    m.position = position if position != m.capacity else 0
    m.recorded += 1
    if unlikely(latency_ns < 0):
        m.negative += 1
        return
    bucket = <uint64_t> latency_ns // 1000
    m.buckets[bucket if bucket < 999 else 999] += 1
    histogram_record(h, latency_ns)


cdef class LockFreeRingBuffer:
    cdef ring_t* _ring
    cdef ring_t _kept


cdef class LatencyMonitor:
    cdef latencies_t _m
    cdef uint64_t _busy
    cdef Histogram _distribution
    cdef histogram_t* _h    # of _distribution, so that the hot call follows one pointer
    cdef int _configure(self, int64_t capacity, digits) except -1


cdef class OptimizedSignalEngine:
    cdef readonly RollingCorrelation correlation
    cdef readonly object prices
    cdef object _returns
    cdef object _means
    cdef object _last
    cdef object _kept_prices, _kept_returns     # [2 * HISTORY][symbols], the newest row in front of `_row`
    cdef int64_t _row
    cdef object _newest(self, object rows, int64_t n)
    cdef int _keep(self, cnp.ndarray kept, const double* newest) except -1
    cdef int _make_room(self) except -1
    cdef Py_ssize_t _tick(
        self, const double* x, const int64_t* id, Py_ssize_t n, bint one, int8_t* signal, double* strength
    ) except -1
    cdef object _take(self, prices, symbol_ids, bint one)


cdef class MemoryMappedDataStore:
    cdef TickStore _store
    cdef uint64_t _most
