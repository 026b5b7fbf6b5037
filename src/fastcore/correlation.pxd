"""Rolling correlations, for ``cimport``; the definitions, with a comment per field, are in ``_c/fc_correlation.h``."""

from libc.stdint cimport int64_t, uint64_t


cdef extern from "fc_correlation.h" nogil:
    ctypedef struct correlation_t "fc_correlation_t":
        int64_t series, window, count
        int64_t rebuilds    # series whose sums were made anew from the history, so far

    # Take one row of values in: x[series].
    void correlation_update "fc_correlation_update"(correlation_t* c, const double* x) noexcept
    # Correlation of two series over the newest window; NaN where it does not exist.
    double correlation_get "fc_correlation_get"(const correlation_t* c, int64_t i, int64_t j) noexcept
    # Mean correlation of every series with the others, out[series]; NaN where there is none.
    void correlation_means "fc_correlation_means"(correlation_t* c, double* out) noexcept
    # The whole matrix, out[series][series].
    void correlation_matrix "fc_correlation_matrix"(correlation_t* c, double* out) noexcept


cdef enum:
    MOST_SERIES = 30_000


cdef class RollingCorrelation:
    cdef correlation_t _c
    cdef uint64_t _busy
