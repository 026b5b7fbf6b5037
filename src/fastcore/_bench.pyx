"""Loops that only the benchmarks and stress tests need: empty calls to compare with, and both ends of a queue in C.

Not part of the public interface.
"""

cimport cython


@cython.final
cdef class Empty:
    """Methods that do nothing: the price of the call itself, with the arguments of the calls they stand for."""

    def none(self):
        return None

    def one_float(self, double a):
        return True

    def two_ints(self, long long a, long long b):
        return None

    def int_float_int(self, long long a, double b, long long c):
        return None

    def int_int_float_float(self, long long a, long long b, double c, double d):
        return True

    def four_floats(self, double a, double b, double c, double d):
        return None


# Clock, histogram, portfolio and risk in compiled loops.

cimport numpy as _timing_np

from libc.stdint cimport int64_t as _int64, uint64_t as _uint64
from libc.string cimport memset as _memset

from fastcore.clock cimport (
    clock_monotonic_ns as _clock_monotonic_ns,
    clock_ticks as _clock_ticks,
    clock_ticks_to_ns as _clock_ticks_to_ns,
    clock_wall_ns as _clock_wall_ns,
)
from fastcore.histogram cimport Histogram as _Histogram, histogram_record as _histogram_record
from fastcore.portfolio cimport position_fill as _position_fill, position_t as _position_t, position_unrealised as _position_unrealised
from fastcore.risk cimport limits_t as _limits_t, risk_check as _risk_check

_timing_np.import_array()


def clock_loop(str which, long long n):
    """Read a clock `n` times: "ticks", "ticks_to_ns", "monotonic_ns" or "wall_ns"; return the last reading."""
    cdef _uint64 last = 0, start
    cdef long long i
    if which == "ticks":
        for i in range(n):
            last = _clock_ticks()
    elif which == "ticks_to_ns":
        start = _clock_ticks()
        for i in range(n):
            last = <_uint64> _clock_ticks_to_ns(_clock_ticks() - start)
    elif which == "monotonic_ns":
        for i in range(n):
            last = <_uint64> _clock_monotonic_ns()
    elif which == "wall_ns":
        for i in range(n):
            last = <_uint64> _clock_wall_ns()
    else:
        raise ValueError(f"which must name a clock: which={which!r}")
    return last


def histogram_loop(_Histogram histogram, values not None, bint timed=False):
    """Record every value of an int64 array; `timed` records the time between two counter reads instead."""
    cdef _int64* data = <_int64*> _timing_np.PyArray_DATA(values)
    cdef Py_ssize_t i, n = _timing_np.PyArray_DIM(values, 0)
    cdef _uint64 start
    with nogil:
        if timed:
            for i in range(n):
                start = _clock_ticks()
                _histogram_record(histogram._h, _clock_ticks_to_ns(_clock_ticks() - start))
        else:
            for i in range(n):
                _histogram_record(histogram._h, data[i])


def position_loop(sides not None, prices not None, sizes not None):
    """Account fills from three int64 arrays; return the realised plus unrealised profit at the last price."""
    cdef _int64* side = <_int64*> _timing_np.PyArray_DATA(sides)
    cdef _int64* price = <_int64*> _timing_np.PyArray_DATA(prices)
    cdef _int64* size = <_int64*> _timing_np.PyArray_DATA(sizes)
    cdef Py_ssize_t i, n = _timing_np.PyArray_DIM(sides, 0)
    cdef _position_t p
    cdef int refused = 0
    _memset(&p, 0, sizeof(p))
    with nogil:
        for i in range(n):
            refused |= _position_fill(&p, <signed char> side[i], price[i], size[i])
    if refused or n == 0:
        raise ValueError(f"every fill must be accounted: n={n} refused={refused}")
    return p.cash + p.cost + _position_unrealised(&p, price[n - 1])


def risk_loop(_int64 max_order, _int64 max_position, _int64 collar, sides not None, prices not None, sizes not None, _int64 reference):
    """Judge orders from three int64 arrays; return how many passed."""
    cdef _int64* side = <_int64*> _timing_np.PyArray_DATA(sides)
    cdef _int64* price = <_int64*> _timing_np.PyArray_DATA(prices)
    cdef _int64* size = <_int64*> _timing_np.PyArray_DATA(sizes)
    cdef Py_ssize_t i, n = _timing_np.PyArray_DIM(sides, 0), passed = 0
    cdef _limits_t limits
    limits.max_order_lots, limits.max_position_lots, limits.collar_ticks = max_order, max_position, collar
    with nogil:
        for i in range(n):
            passed += _risk_check(&limits, <signed char> side[i], price[i], size[i], 0, 0, 0, reference) == 0
    return passed
