"""Rolling z-scores of series and pairs, for ``cimport``: the state in C structs, the hot bodies inline.

The definitions, with a comment per field, are in ``_c/fc_rolling.h`` and ``_c/fc_pairs.h``.
"""

cimport numpy as cnp
from libc.stdint cimport int8_t, int64_t, uint64_t


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


cdef class RollingZScore:
    cdef rolling_t _r
    cdef uint64_t _busy


cdef class PairZScore:
    cdef rolling_t _r
    cdef readonly double hedge_ratio
    cdef readonly bint log


cdef class PairSet:
    cdef pairset_t _p
    cdef readonly object signals
    cdef readonly object zscores
    cdef readonly object spreads


cdef bint use_avx2  # which twin runs, here and in the modules built on this one

cdef int64_t check_window(object window, object n=*, str name=*) except -1
cdef object check_thresholds(object thresholds, int64_t pairs)
cdef object check_pairs(object pairs, str name, object symbols)
cdef object pair_zscores(
    cnp.ndarray first, cnp.ndarray second, object window, double hedge, bint logarithm, object ddof, object out, str name
)
cdef int no_memory(str what, int64_t size) except -1
