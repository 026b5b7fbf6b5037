"""Rolling z-scores, pairs and correlations, for ``cimport``: the state in C structs, the hot bodies inline.

The definitions, with a comment per field, are in ``_c/fc_rolling.h``, ``_c/fc_pairs.h`` and ``_c/fc_correlation.h``.
"""

from libc.stdint cimport int8_t, int32_t, int64_t


cdef extern from "fc_rolling.h" nogil:
    ctypedef struct rolling_t "fc_rolling_t":
        int64_t window, ddof
        int64_t count  # points taken in so far

    cdef enum:
        ROLLING_MEAN "FC_ROLLING_MEAN"
        ROLLING_VAR "FC_ROLLING_VAR"
        ROLLING_STD "FC_ROLLING_STD"
        ROLLING_ZSCORE "FC_ROLLING_ZSCORE"

    # Take one point in and return its z-score; NaN until there are `window` points. Every point costs the same.
    double rolling_update "fc_rolling_update"(rolling_t* r, double x) noexcept
    # Take one point in; ask for statistics afterwards.
    void rolling_push "fc_rolling_push"(rolling_t* r, double x) noexcept
    # A statistic of the newest window, by one of the four names above; NaN until there are `window` points.
    double rolling_get "fc_rolling_get"(int op, const rolling_t* r) noexcept
    # RESULT_OK or RESULT_NO_MEMORY; the caller has checked window >= 2 and 0 <= ddof < window.
    int rolling_init "fc_rolling_init"(rolling_t* r, int64_t window, int64_t ddof) noexcept
    # Forget every point.
    void rolling_reset "fc_rolling_reset"(rolling_t* r) noexcept
    void rolling_free "fc_rolling_free"(rolling_t* r) noexcept


cdef extern from "fc_pairs.h" nogil:
    ctypedef struct pairset_t "fc_pairset_t":
        int64_t pairs, window, ddof, count
        int64_t symbols     # prices that a tick must hold
        double* spread      # [pairs] newest spreads
        double* zscore      # [pairs] newest z-scores; NaN until there are `window` ticks
        int8_t* signal      # [pairs] +1 above the threshold, -1 below its negative, else 0

    # Take one tick in: prices[symbols]. RESULT_OK, or RESULT_BAD_PRICE when logarithms are asked for and a price is zero or
    # negative: nothing has changed then, and `bad` is its index.
    int pairset_update "fc_pairset_update"(pairset_t* p, const double* prices, int64_t* bad) noexcept


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


cdef class RollingZScore:
    cdef rolling_t _r


cdef class PairZScore:
    cdef rolling_t _r
    cdef readonly double hedge_ratio
    cdef readonly bint log


cdef class PairSet:
    cdef pairset_t _p
    cdef readonly object signals
    cdef readonly object zscores
    cdef readonly object spreads


cdef class RollingCorrelation:
    cdef correlation_t _c


cdef class OptimizedSignalEngine:
    cdef readonly RollingCorrelation correlation
    cdef readonly object prices
    cdef object _returns
    cdef object _means
    cdef object _last
