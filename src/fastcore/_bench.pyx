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


# symbols and avellaneda: lookups and quotes in a compiled loop, and their floors in C.
from libc.stdint cimport uint32_t as _u32, uint64_t as _u64

from fastcore.avellaneda cimport Quoter as _Quoter, quote_t as _quote_t, quoter_quote as _quoter_quote
from fastcore.symbols cimport SymbolMapper as _SymbolMapper, symbols_find_key as _symbols_find_key


cdef extern from "fc_floor_quotes.h" nogil:
    double fc_floor_quotes(const double*, ptrdiff_t, double, double, double, double)
    double fc_floor_quotes_log(const double*, ptrdiff_t, double, double, double, double, double)
    _u64 fc_floor_index(const _u32*, const _u32*, ptrdiff_t)


def find_keys(_SymbolMapper mapper not None, const _u64[::1] keys not None):
    """Sum of the ids of wire keys."""
    cdef _u64 total = 0
    cdef Py_ssize_t i
    with nogil:
        for i in range(keys.shape[0]):
            total += _symbols_find_key(mapper._s, keys[i])
    return total


def floor_index(const _u32[::1] ids not None, const _u32[::1] at not None):
    """Sum of ids by direct index."""
    return fc_floor_index(&ids[0], &at[0], at.shape[0])


def quote_loop(_Quoter quoter not None, const double[::1] mids not None, double inventory, double time_left):
    """Quote every mid; return a sum of bids and half the asks."""
    cdef _quote_t out
    cdef double total = 0.0
    cdef Py_ssize_t i
    with nogil:
        for i in range(mids.shape[0]):
            _quoter_quote(&quoter._q, mids[i], inventory, time_left, &out)
            total += out.bid + out.ask * 0.5
            time_left -= 1e-9
    return total


def floor_quotes(const double[::1] mids not None, double inventory, double time_left, double gamma, double sigma, double k,
                 double base, bint logarithm):
    """As `quote_loop`, in plain C; with the logarithm in every quote, or with `base` kept."""
    if logarithm:
        return fc_floor_quotes_log(&mids[0], mids.shape[0], inventory, time_left, gamma, sigma, k)
    return fc_floor_quotes(&mids[0], mids.shape[0], inventory, time_left, base, gamma * sigma * sigma)
