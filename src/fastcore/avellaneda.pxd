"""Contract of the quote models: constants computed once, quotes without the GIL.

Units belong to the caller and must agree: prices in one currency, sigma in currency per square root of the time unit of
`time_left`, gamma and k per currency, A in fills per time unit, inventory in units of `inventory_unit`.
"""

from libc.math cimport INFINITY
from libc.stdint cimport int64_t

from fastcore.records cimport NO_PRICE, unlikely


cdef enum:
    QUOTER_LINEAR       # half spread and skew linear in the time left, skew linear in inventory
    QUOTER_INFINITE     # Avellaneda-Stoikov, infinite horizon
    QUOTER_TABLE        # depths by inventory (and time left) from the exact solution
    QUOTER_SIMPLIFIED   # the rule of thumb of the replaced engine


ctypedef struct quote_t:
    double bid          # -INFINITY where the inventory limit closes the side
    double ask          # +INFINITY where the inventory limit closes the side
    double reservation
    double spread


ctypedef struct quoter_t:
    int model
    # LINEAR: reservation = mid + offset - inventory (skew0 + skew1 t), half spread = half0 + half1 t; t = time left
    double half0
    double half1
    double skew0
    double skew1
    double offset
    double inventory_scale      # 1 / inventory_unit; the linear skews contain it already
    double inventory_limit      # no bid at +limit and above, no ask at -limit and below; INFINITY for none
    # How the constants follow from sigma, so that a new volatility costs no logarithm
    double sigma
    double base                 # half0 = base + sigma_half sigma
    double sigma_half
    double sigma_skew           # skew0 = sigma_skew sigma
    double variance_half        # half1 = variance_half sigma^2
    double variance_skew        # skew1 = variance_skew sigma^2
    double drift_gain           # offset = drift_gain / sigma
    double gamma
    # INFINITE: 2 omega / (gamma sigma)^2, the square of the inventory at which quoting ends
    double bound
    # TABLE: depths from the mid, rows of time, then inventory -levels..+levels, then (bid, ask)
    const double* depths
    int64_t levels
    int64_t rows                # 1: no dependence on time
    double rows_per_time        # row = time left * rows_per_time, interpolated, clamped to the last
    # SIMPLIFIED
    double minimum              # smallest spread, price
    double horizon_root         # 0.2 sqrt(horizon)
    double factor               # gamma * spread_factor
    double inverse_limit        # 1 / inventory limit of the rule
    # Rounding
    double ticks_per_price      # 1 / tick_size
    double increment            # venue increment, ticks
    double low_increment        # increment below low_below
    double low_below            # ticks
    double min_spread           # spread floor, ticks


cdef void quoter_curve(const quoter_t* q, double mid, double n, double t, quote_t* out) noexcept nogil

cdef bint quoter_set_volatility(quoter_t* q, double sigma) noexcept nogil


cdef inline void quoter_quote(const quoter_t* q, double mid, double inventory, double time_left, quote_t* out) noexcept nogil:
    """Quote around `mid`; a time left below 0 counts as 0, a NaN anywhere gives NaN quotes, which round to NO_PRICE."""
    cdef double t = 0.0 if time_left < 0.0 else time_left
    cdef double skew, half, reservation
    if unlikely(q.model != QUOTER_LINEAR):
        quoter_curve(q, mid, inventory * q.inventory_scale, t, out)
    else:
        skew = q.skew0 + q.skew1 * t
        half = q.half0 + q.half1 * t
        reservation = (mid + q.offset) - inventory * skew
        out.bid = reservation - half
        out.ask = reservation + half
        out.reservation = reservation
        out.spread = half + half
    if unlikely(inventory >= q.inventory_limit):
        out.bid = -INFINITY
    if unlikely(inventory <= -q.inventory_limit):
        out.ask = INFINITY


cdef inline int64_t quoter_floor(const quoter_t* q, double x) noexcept nogil:
    """Largest multiple of the increment at or below x ticks; NO_PRICE unless positive and below 2**53."""
    cdef double inc = q.increment if x >= q.low_below - 1e-6 else q.low_increment
    cdef double y = (x + 1e-6) / inc
    if not (y >= 1.0 and x <= 9007199254740992.0):
        return NO_PRICE
    return <int64_t> y * <int64_t> inc


cdef inline int64_t quoter_ceil(const quoter_t* q, double x) noexcept nogil:
    """Smallest multiple of the increment at or above x ticks; NO_PRICE unless positive and below 2**53."""
    cdef double inc = q.increment if x > q.low_below + 1e-6 else q.low_increment
    cdef double y = (x - 1e-6) / inc
    cdef int64_t n
    if not (x > 0.0 and x <= 9007199254740992.0):
        return NO_PRICE
    n = <int64_t> y
    if y > <double> n:
        n += 1
    if n < 1:
        n = 1
    return n * <int64_t> inc


cdef inline void quoter_round(const quoter_t* q, const quote_t* in_, int64_t* bid_ticks, int64_t* ask_ticks) noexcept nogil:
    """Round outwards to the venue's increment, after widening to the spread floor around the middle of the quotes.

    A side that is closed (infinite), undefined (NaN) or not positive becomes NO_PRICE. A price within a millionth of a
    tick of the grid counts as on it.
    """
    cdef double bid = in_.bid * q.ticks_per_price
    cdef double ask = in_.ask * q.ticks_per_price
    cdef double middle
    if ask - bid < q.min_spread:
        middle = 0.5 * (bid + ask)
        bid = middle - 0.5 * q.min_spread
        ask = middle + 0.5 * q.min_spread
    bid_ticks[0] = quoter_floor(q, bid)
    ask_ticks[0] = quoter_ceil(q, ask)


cdef class Quoter:
    cdef quoter_t _q
    cdef quote_t _quote         # the last one
    cdef readonly str model     # name of the model
    cdef dict _parameters       # as given, with the defaults
    cdef object _table          # owns _q.depths

    cdef int _refuse(self, double mid, double inventory, double time_left, double volatility) except -1
    cdef int _volatility(self, double volatility) except -1


cdef class QuoterSet:
    cdef list _quoters
    cdef quoter_t* _q           # one per symbol
    cdef Py_ssize_t _n
    cdef object _constants      # half0, half1, skew0, skew1, offset, limit: columns of one array, _stride apart
    cdef Py_ssize_t _stride
    cdef bint _used[6]          # columns that are not trivial
    cdef bint _halved           # half1 is skew1 / 2 in every row
    cdef object _bids, _asks, _bid_ticks, _ask_ticks
    cdef double* _columns       # of _constants, _bids, _asks
    cdef double* _bid
    cdef double* _ask
    cdef list _curved           # positions of the quoters that are not linear

    cdef int _load(self, Py_ssize_t i) except -1
    cdef const double* _column(self, int j) noexcept
    cdef int _complain(self, Py_ssize_t i, double mid, double inventory, double time_left) except -1
    cdef _view(self, array)
