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
# ---- itch, book ----

from libc.stdint cimport int64_t, uint8_t, uint64_t

from fastcore._types cimport KIND_ADD, RESULT_OK, be16, be32, be48, be64, event_t
from fastcore.book cimport OrderBook, book_apply, book_change_t
from fastcore.itch cimport ItchDecoder, itch_decode_at


def itch_add_orders(const uint8_t[::1] data not None, uint8_t[::1] out not None):
    """Decode a stream of nothing but add orders (A) without any check: the floor. Returns the messages."""
    cdef Py_ssize_t n = data.shape[0] // 38
    cdef Py_ssize_t i
    cdef const uint8_t* m
    cdef event_t* e
    if out.shape[0] < n * <Py_ssize_t> sizeof(event_t) or n == 0:
        raise ValueError(f"out must hold 64 bytes for each message: messages={n} bytes={out.shape[0]}")
    cdef const uint8_t* first = &data[0]
    cdef event_t* rows = <event_t*> &out[0]
    with nogil:
        for i in range(n):
            m = first + 38 * i + 2
            e = rows + i
            e.exch_ns = <int64_t> be48(m + 5)
            e.local_ns = 0
            e.symbol_id = be16(m + 1)
            e.kind = KIND_ADD
            e.side = 1 if m[19] == c'B' else -1
            e.flags = 0
            e.price = be32(m + 32)
            e.size = be32(m + 20)
            e.order_id = <int64_t> be64(m + 11)
            e.match_id = 0
    return n


def itch_to_book(ItchDecoder decoder not None, OrderBook book not None, const uint8_t[::1] data not None):
    """Decode a stream and apply every event at once, in one loop. Returns (events, results that were not ok)."""
    cdef const uint8_t* p = &data[0] if data.shape[0] else NULL
    cdef size_t length = data.shape[0]
    cdef size_t at = 0
    cdef size_t size
    cdef uint64_t events = 0
    cdef uint64_t failed = 0
    cdef event_t e
    cdef book_change_t change
    with nogil:
        while length - at >= 2:
            size = be16(p + at)
            if length - at - 2 < size:
                break
            if itch_decode_at(decoder._d, p + at + 2, size, at, &e) > 0:
                events += 1
                failed += book_apply(book._b, &e, &change) != RESULT_OK
            at += 2 + size
    return events, failed
