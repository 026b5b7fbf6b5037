# cython: freethreading_compatible=True
"""What flows by, estimated: the volatility of prices, exponentially weighted.

Source of the estimate: RiskMetrics Technical Document (1996), chapter 5; irregular times are weighted by their length.
"""

cimport cython
from libc.float cimport DBL_MAX
from libc.math cimport INFINITY, NAN, log, pow
from libc.stdint cimport int64_t

from fastcore._integers cimport as_int64, int64_in
from fastcore.records cimport unlikely

__all__ = ["EwmaVolatility"]

cdef int64_t LONGEST_NS = 1_000_000_000_000_000_000


cdef void ewma_observe(ewma_t* v, double price, int64_t time_ns) noexcept nogil:
    # One return; prices that are not positive and finite are left out.
    cdef double r, weight, intervals
    if not (price > 0.0 and price <= DBL_MAX):
        return
    if v.last != v.last:
        v.last = price
        v.last_ns = time_ns
        return
    r = log(price / v.last) if v.relative else price - v.last
    r *= r
    weight = v.decay
    if v.interval_ns:
        intervals = <double> (time_ns - v.last_ns) / <double> v.interval_ns
        if intervals != 1.0:
            r /= intervals
            weight = pow(weight, intervals)
    v.variance = weight * v.variance + (1.0 - weight) * r if v.variance == v.variance else r
    v.last = price
    v.last_ns = time_ns
    v.count += 1


@cython.final
cdef class EwmaVolatility:
    """EwmaVolatility(decay=None, *, half_life=None, interval_ns=0, relative=False, variance=None)\n--\n\n
    Exponentially weighted volatility: variance = decay * variance + (1 - decay) * return^2.

    Parameters
    ----------
    decay : float, optional
        Weight of the past, in (0, 1); half-life ln 0.5 / ln decay.
    half_life : float, optional
        Instead of `decay`, in observations or intervals.
    interval_ns : int, default 0
        0: every update is an observation and `volatility` is per observation. Otherwise prices are sampled once an
        interval, irregular times are weighted by their length, and `volatility` is per square root of a second.
    relative : bool, default False
        Log returns instead of price differences.
    variance : float, optional
        To start from; the square of the first return where not given.

    Raises
    ------
    ValueError
        If a parameter is out of its range, or not exactly one of `decay` and `half_life` is given.

    Notes
    -----
    **Thread safety**: one thread updates.
    """

    def __cinit__(self, decay=None, *, half_life=None, interval_ns=0, relative=False, variance=None):
        cdef double d
        if (decay is None) == (half_life is None):
            raise ValueError(f"exactly one of decay and half_life must be given: decay={decay}, half_life={half_life}")
        if decay is None:
            if not 0.0 < half_life < INFINITY:
                raise ValueError(f"half_life must be positive and finite: half_life={half_life}")
            d = pow(0.5, 1.0 / half_life)
        else:
            d = decay
        if not 0.0 < d < 1.0:
            raise ValueError(f"decay must be within 0..1, both excluded: decay={d}")
        if variance is not None and not 0.0 <= variance <= DBL_MAX:
            raise ValueError(f"variance must be finite and not negative: variance={variance}")
        self._v.decay = d
        self._v.interval_ns = int64_in(interval_ns, "interval_ns", 0, LONGEST_NS)
        self._v.relative = bool(relative)
        self._v.variance = NAN if variance is None else variance
        self._v.last = NAN
        self._v.last_ns = 0
        self._v.count = 0

    def __repr__(self):
        return (
            f"<EwmaVolatility decay={self.decay} interval_ns={self._v.interval_ns} relative={bool(self._v.relative)} "
            f"count={self.count} volatility={self.volatility}>"
        )

    def update(self, double price, time_ns=0):
        """Take a price.

        Parameters
        ----------
        price : float
            Positive and finite.
        time_ns : int
            Needed with an interval; must not go back.

        Raises
        ------
        ValueError
            If the price or the time is not valid; nothing is changed then.
        """
        cdef int64_t now = as_int64(time_ns)
        if unlikely(not (price > 0.0 and price <= DBL_MAX)):
            raise ValueError(f"price must be positive and finite: price={price}")
        if unlikely(self._v.interval_ns != 0 and self._v.last == self._v.last and now < self._v.last_ns):
            raise ValueError(f"time_ns must not go back: time_ns={time_ns}, last={self._v.last_ns}")
        ewma_update(&self._v, price, now)

    @property
    def variance(self):
        """float: of one observation or interval; NaN before the first return."""
        return self._v.variance

    @property
    def volatility(self):
        """float: per square root of an observation, or of a second where there is an interval; NaN before a return."""
        return ewma_volatility(&self._v)

    @property
    def decay(self):
        """float: weight of the past."""
        return self._v.decay

    @property
    def half_life(self):
        """float: observations or intervals until a return has half its weight."""
        return log(0.5) / log(self._v.decay)

    @property
    def count(self):
        """int: returns used."""
        return self._v.count
