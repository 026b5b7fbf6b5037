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


# ---- zscore ----

from fastcore.zscore cimport RollingCorrelation, RollingZScore, correlation_update, rolling_update


cdef extern from "fc_rolling.h" nogil:
    void rolling_sliding "fc_rolling_sliding"(const double* x, double* out, size_t window, size_t count)


def zscore_stream(RollingZScore r not None, const double[::1] x not None):
    """Update a streaming z-score with every value of `x` from a compiled loop; return the sum of the last ten."""
    cdef Py_ssize_t i, n = x.shape[0]
    cdef double total = 0.0, z
    with nogil:
        for i in range(n):
            z = rolling_update(&r._r, x[i])
            if i >= n - 10:
                total += z
    return total


def zscore_sliding(const double[::1] x not None, size_t window, double[::1] out not None):
    """Write the z-scores of the textbook loop in C: sums about the first point, one added and one taken off, for the floor."""
    rolling_sliding(&x[0], &out[0], window, <size_t> x.shape[0] - window + 1)


def correlation_stream(RollingCorrelation c not None, const double[:, ::1] x not None):
    """Update a rolling correlation with every row of `x` from a compiled loop."""
    cdef Py_ssize_t i
    with nogil:
        for i in range(x.shape[0]):
            correlation_update(&c._c, &x[i, 0])
