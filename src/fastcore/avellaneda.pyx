# cython: freethreading_compatible=True
"""Market-maker quotes: Avellaneda-Stoikov, Gueant-Lehalle-Fernandez-Tapia, their general and exact forms, and `simplified`.

A quoter turns a model and its parameters into constants once; a quote is then a handful of multiplications, and no
logarithm. The mathematics, with q the inventory, t the time left, and all prices in one currency:

===========================  ============================================================================================
model                        quotes
===========================  ============================================================================================
avellaneda_stoikov           r = mid - q gamma sigma^2 t; full spread gamma sigma^2 t + (2/gamma) ln(1 + gamma/k)
avellaneda_stoikov_infinite  r_a = mid + (1/gamma) ln(1 + (1-2q) / (bound - q^2)), r_b with (-1-2q); quotes r_a + base,
                             r_b - base; bound = 2 omega / (gamma sigma)^2, by default (max_inventory + 1)^2
glft                         base = (1/gamma) ln(1 + gamma/k), R = sigma sqrt(gamma/(2 k A) (1 + gamma/k)^(1 + k/gamma));
                             bid depth base + (2q+1)/2 R, ask depth base - (2q-1)/2 R
general                      Gueant 2017: as glft with xi in place of gamma in the fill terms, and orders of size D
exact                        the depths of which glft is the closed form: (1/k) ln(v_q / v_{q+1}) + base with
                             v = exp(-M t) 1, tabulated by inventory and time left
simplified                   spread max(m, (m + 0.2 sigma sqrt(horizon)) gamma (1 + |q|/limit) spread_factor), skew
                             0.1 spread q/limit, m = min_spread_ticks tick_size: a rule of thumb
===========================  ============================================================================================

Sources: Avellaneda and Stoikov, Quantitative Finance 8 (2008) 217-224; Gueant, Lehalle and Fernandez-Tapia, arXiv 1105.3115;
Gueant, arXiv 1605.01862; Cartea and Jaimungal for xi = 0.
"""

from collections import Counter

import numpy as np

cimport cython
cimport numpy as cnp
from libc.float cimport DBL_MAX
from libc.math cimport INFINITY, NAN, exp, fabs, log1p, sqrt
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free

from fastcore._integers cimport int64_in
from fastcore.records cimport NO_PRICE, unlikely

from fastcore.errors import range_error
from fastcore.quote_models import MODELS, checked, fill_terms, finite, resolved, solve_depths

cnp.import_array()

__all__ = ["MODELS", "Quoter", "QuoterSet", "indifference_prices", "simd", "solve_depths"]

cdef extern from "fc_quotes.h" nogil:
    ctypedef struct quotes_t "fc_quotes_t":
        ptrdiff_t n
        const double* half0
        const double* half1
        const double* skew0
        const double* skew1
        const double* offset
        const double* limit
        bint halved
        const double* mid
        const double* inventory
        const double* time_left
        ptrdiff_t time_step
        double* bid
        double* ask

    bint fc_cpu_has_avx2()
    bint fc_cpu_allows(const char* feature)
    ptrdiff_t quotes_base "fc_quotes_base"(const quotes_t*)
    ptrdiff_t quotes_avx2 "fc_quotes_avx2"(const quotes_t*)


# Which twin runs: chosen once.
cdef bint USE_AVX2 = fc_cpu_has_avx2() and fc_cpu_allows("avx2")


def simd():
    """Return the twin that batch quotes run on.

    Returns
    -------
    str
        ``"avx2"`` or ``"scalar"``; ``FASTCORE_DISABLE_CPU_FEATURES=avx2`` at import forces the latter. Results are
        bit-identical.
    """
    return "avx2" if USE_AVX2 else "scalar"


cdef void quoter_curve(const quoter_t* q, double mid, double n, double t, quote_t* out) noexcept nogil:
    # The models that are not linear; n is inventory in units.
    cdef double edge, left, bid, ask, spread, skew, x, f, g
    cdef int64_t i, j, width
    cdef const double* low
    cdef const double* high
    if not (n == n and t == t and mid == mid):
        out.bid = out.ask = out.reservation = out.spread = NAN
        return
    if q.model == QUOTER_SIMPLIFIED:
        spread = (q.minimum + q.sigma * q.horizon_root) * q.factor * (1.0 + fabs(n) * q.inverse_limit)
        if not spread >= q.minimum:
            spread = q.minimum
        skew = 0.1 * spread * n * q.inverse_limit
        out.reservation = mid - skew
        out.spread = spread
        out.bid = out.reservation - 0.5 * spread
        out.ask = out.reservation + 0.5 * spread
        return
    if q.model == QUOTER_INFINITE:
        edge = sqrt(q.bound) - 1.0
        n = edge if n > edge else -edge if n < -edge else n
        left = q.bound - n * n
        x = (1.0 - 2.0 * n) / left
        ask = log1p(x) / q.gamma + q.base
        x = (-1.0 - 2.0 * n) / left
        bid = log1p(x) / q.gamma - q.base if x > -1.0 else -INFINITY
        x = (1.0 - 2.0 * n) / left
        if n <= -edge:
            ask = INFINITY  # mirror of the bid at +edge
        if n >= edge:
            bid = -INFINITY
        out.bid = mid + bid
        out.ask = mid + ask
    else:
        width = 2 * q.levels + 1
        x = n + <double> q.levels
        x = 0.0 if x < 0.0 else <double> (width - 1) if x > <double> (width - 1) else x
        i = <int64_t> x
        f = x - <double> i
        low = q.depths
        g = 0.0
        if q.rows > 1:
            x = t * q.rows_per_time
            x = <double> (q.rows - 1) if x > <double> (q.rows - 1) else x
            j = <int64_t> x
            g = x - <double> j
            low = q.depths + j * width * 2
        high = low + width * 2
        # A weight of 0 is left out: 0 times an infinite depth would be NaN.
        bid = low[2 * i]
        ask = low[2 * i + 1]
        if f != 0.0:
            bid = (1.0 - f) * bid + f * low[2 * i + 2]
            ask = (1.0 - f) * ask + f * low[2 * i + 3]
        if g != 0.0:
            if f != 0.0:
                bid = (1.0 - g) * bid + g * ((1.0 - f) * high[2 * i] + f * high[2 * i + 2])
                ask = (1.0 - g) * ask + g * ((1.0 - f) * high[2 * i + 1] + f * high[2 * i + 3])
            else:
                bid = (1.0 - g) * bid + g * high[2 * i]
                ask = (1.0 - g) * ask + g * high[2 * i + 1]
        out.bid = mid - bid
        out.ask = mid + ask
    out.reservation = 0.5 * (out.bid + out.ask)
    out.spread = out.ask - out.bid


cdef bint quoter_set_volatility(quoter_t* q, double sigma) noexcept nogil:
    # New constants for a new sigma; False where it is not valid or the model is tabulated for one sigma.
    if not (sigma >= 0.0 and sigma <= DBL_MAX) or q.model == QUOTER_TABLE or (q.drift_gain != 0.0 and sigma == 0.0):
        return False
    if q.model == QUOTER_INFINITE:
        if q.variance_skew != 0.0:  # an omega of its own: bound = 2 omega / (gamma sigma)^2
            q.bound = q.variance_skew / (sigma * sigma)
    q.sigma = sigma
    if q.model == QUOTER_LINEAR:
        q.half0 = q.base + q.sigma_half * sigma
        q.half1 = q.variance_half * sigma * sigma
        q.skew0 = q.sigma_skew * sigma * q.inventory_scale
        q.skew1 = q.variance_skew * sigma * sigma * q.inventory_scale
        q.offset = q.drift_gain / sigma if q.drift_gain != 0.0 else 0.0
    return True


def indifference_prices(gamma, inventory, max_inventory, *, sigma=None, omega=None):
    """Return the infinite-horizon reservation prices of Avellaneda and Stoikov, relative to the mid.

    Parameters
    ----------
    gamma : float
        Risk aversion, 1/price.
    inventory : float
        In units, within +-`max_inventory`.
    max_inventory : int
        The natural bound: omega = gamma^2 sigma^2 (max_inventory + 1)^2 / 2, in which sigma cancels.
    sigma, omega : float, optional
        A bound of one's own, omega > gamma^2 sigma^2 (max_inventory + 1)^2 / 2.

    Returns
    -------
    (ask, bid) : tuple of float
        r_a - mid and r_b - mid; minus infinity for the bid at +`max_inventory` of the natural bound.

    Notes
    -----
    Section 2.3 of the 2008 article.
    """
    gamma = checked("gamma", gamma)
    max_inventory = checked("max_inventory", max_inventory)
    cdef double q = inventory
    cdef double bound = infinite_bound(gamma, max_inventory, sigma, omega)
    if not fabs(q) <= max_inventory:
        raise range_error("inventory", inventory, -max_inventory, max_inventory)
    cdef double left = bound - q * q
    cdef double bid = (-1.0 - 2.0 * q) / left
    cdef double ask = (1.0 - 2.0 * q) / left
    return (
        log1p(ask) / gamma if ask > -1.0 else -INFINITY,
        log1p(bid) / gamma if bid > -1.0 else -INFINITY,
    )


cdef double infinite_bound(double gamma, max_inventory, sigma, omega) except -1.0:
    cdef double natural = (max_inventory + 1.0) * (max_inventory + 1.0)
    cdef double bound
    if omega is None:
        return natural
    if sigma is None or not sigma > 0.0:
        raise ValueError(f"sigma must be positive where omega is given: sigma={sigma}, omega={omega}")
    bound = 2.0 * checked("omega", omega) / (gamma * sigma) ** 2
    if not natural * (1.0 - 1e-12) <= bound < INFINITY:
        raise ValueError(
            f"omega must be at least gamma^2 sigma^2 (max_inventory + 1)^2 / 2: omega={omega}, gamma={gamma}, "
            f"sigma={sigma}, max_inventory={max_inventory}"
        )
    return bound if bound > natural else natural


@cython.final
cdef class Quoter:
    """Quoter(model="avellaneda_stoikov", *, gamma, sigma, k=None, A=None, xi=None, order_size=1.0, drift=0.0, \
adverse_selection=0.0, max_inventory=None, omega=None, horizon=None, rows=129, limit=None, spread_factor=1.0, inventory_unit=1.0, \
inventory_limit=1e999, tick_size=0.01, increment_ticks=1, low_increment_ticks=1, low_below_ticks=0, min_spread_ticks=1)\n--\n\n
    Quote one instrument with one model.

    Parameters
    ----------
    model : str
        One of `MODELS`, which lists the parameters of each with their defaults (``...``: required).
    gamma : float
        Risk aversion, 1/price. Positive.
    sigma : float
        Volatility, price per square root of the time unit of `time_left`. Not negative.
    k : float
        Decay of the fill intensity A exp(-k depth), 1/price. Positive.
    A : float
        Fills per time unit at depth 0. Positive.
    xi : float
        general, exact: aversion to execution risk. Not negative; 0 is the limit 1/k.
    order_size : float
        general, exact: quantity of an order, in inventory units.
    drift : float
        glft, general, exact: drift of the mid, price per time unit.
    adverse_selection : float
        glft, general, exact: move of the mid against us at a fill.
    max_inventory : int
        avellaneda_stoikov_infinite, exact: largest inventory, in units (exact: in orders); no bid at +max_inventory, no
        ask at -max_inventory.
    omega : float, optional
        avellaneda_stoikov_infinite: the discount parameter; the natural one where not given.
    horizon : float, optional
        exact: time left at which the table begins; None: the limit of a long horizon. simplified: its constant horizon.
    rows : int
        exact: times in the table, between which quotes are interpolated.
    limit, spread_factor : float
        simplified: position limit of the rule, factor.
    inventory_unit : float, default 1
        Quantity that counts as one unit of inventory in the model (one order).
    inventory_limit : float, default inf
        No bid at an inventory of +limit or above, no ask at -limit or below.
    tick_size : float, default 0.01
        Price of a tick, in which `bid_ticks` and `ask_ticks` count.
    increment_ticks, low_increment_ticks, low_below_ticks : int
        The venue's price increment, and a smaller one below a price; as in the instrument table.
    min_spread_ticks : int, default 1
        Spread floor, applied before rounding.

    Raises
    ------
    TypeError
        If a parameter is missing or unknown.
    ValueError
        If a parameter is out of its range; the message names it.

    Notes
    -----
    **Thread safety**: one thread calls methods that quote or change the volatility; reading is free.
    """

    def __cinit__(self, model="avellaneda_stoikov", **parameters):
        cdef quoter_t q
        cdef dict p = resolved(model, parameters)
        cdef double base, exponent, slope, d, xi, A, k, adverse, gamma = p["gamma"]
        q.model = QUOTER_LINEAR
        q.half0 = q.half1 = q.skew0 = q.skew1 = q.offset = 0.0
        q.base = q.sigma_half = q.sigma_skew = q.variance_half = q.variance_skew = q.drift_gain = 0.0
        q.bound = q.minimum = q.horizon_root = q.factor = q.inverse_limit = q.rows_per_time = 0.0
        q.depths = NULL
        q.levels = q.rows = 0
        q.gamma = gamma
        q.sigma = p["sigma"]
        q.inventory_scale = 1.0 / p["inventory_unit"]
        q.inventory_limit = p["inventory_limit"]
        q.ticks_per_price = 1.0 / p["tick_size"]
        q.increment = p["increment_ticks"]
        q.low_increment = p["low_increment_ticks"]
        q.low_below = p["low_below_ticks"]
        q.min_spread = p["min_spread_ticks"]
        finite("1 / inventory_unit", q.inventory_scale, p)
        finite("1 / tick_size", q.ticks_per_price, p)
        table = None
        if model == "avellaneda_stoikov":
            q.base = finite("the half spread", fill_terms(gamma, p["k"])[0], p)
            q.variance_half = 0.5 * gamma
            q.variance_skew = gamma
        elif model == "avellaneda_stoikov_infinite":
            q.model = QUOTER_INFINITE
            q.base = finite("the half spread", fill_terms(gamma, p["k"])[0], p)
            q.bound = infinite_bound(gamma, p["max_inventory"], p["sigma"], p["omega"])
            if p["omega"] is not None:
                q.variance_skew = 2.0 * p["omega"] / (gamma * gamma)
        elif model == "glft" or model == "general":
            d = 1.0 if model == "glft" else p["order_size"]
            xi = gamma if model == "glft" else p["xi"]
            A, k = p["A"], p["k"]
            base, exponent = fill_terms(xi * d, k)
            # R e^(k adverse / 4): adverse selection lowers the intensity by e^(-k adverse / 2).
            adverse = p["adverse_selection"]
            slope = finite("the skew", sqrt(gamma / (2.0 * A * d * k)) * exp(0.5 * exponent + 0.25 * k * adverse), p)
            q.base = finite("the half spread", base, p) + 0.5 * adverse
            q.sigma_half = 0.5 * d * slope
            q.sigma_skew = slope
            if p["drift"] != 0.0:
                if q.sigma == 0.0:
                    raise ValueError(f"sigma must be positive where there is a drift: sigma=0, drift={p['drift']}")
                q.drift_gain = p["drift"] / gamma * slope
        elif model == "exact":
            q.model = QUOTER_TABLE
            names = ("gamma", "sigma", "A", "k", "max_inventory", "horizon", "xi", "order_size", "drift", "adverse_selection")
            table = solve_depths(**{name: p[name] for name in names}, rows=None if p["horizon"] is None else p["rows"])
            table = np.ascontiguousarray(table.reshape(-1, 2 * p["max_inventory"] + 1, 2))
            table.flags.writeable = False
            q.levels = p["max_inventory"]
            q.rows = len(table)
            q.rows_per_time = 0.0 if p["horizon"] is None else (p["rows"] - 1) / p["horizon"]
            q.inventory_scale = finite("1 / inventory_unit", q.inventory_scale / p["order_size"], p)
            q.depths = <const double*> cnp.PyArray_DATA(table)
        else:
            q.model = QUOTER_SIMPLIFIED
            q.minimum = p["min_spread_ticks"] * p["tick_size"]
            q.horizon_root = 0.2 * sqrt(p["horizon"])
            q.factor = finite("gamma * spread_factor", gamma * p["spread_factor"], p)
            q.inverse_limit = finite("1 / limit", 1.0 / p["limit"], p)
        if q.model != QUOTER_TABLE and not quoter_set_volatility(&q, q.sigma):
            raise ValueError(f"sigma is not valid for this model: sigma={q.sigma}, model={model}")
        finite("the constants", q.half0 + q.half1 + q.skew0 + q.skew1 + q.offset, p)
        self._q = q
        self._table = table
        self._parameters = p
        self.model = model
        self._quote.bid = self._quote.ask = self._quote.reservation = self._quote.spread = NAN

    def quote(self, double mid, double inventory=0.0, double time_left=0.0, volatility=None):
        """Quote around a mid price; the results are `bid`, `ask`, `reservation`, `spread`, `bid_ticks`, `ask_ticks`.

        Parameters
        ----------
        mid : float
            Fair price, positive and finite.
        inventory : float
            Signed quantity held.
        time_left : float
            Until the horizon, not negative; models without a horizon ignore it.
        volatility : float, optional
            A new sigma, kept from now on; not for the model exact, which is solved for one sigma.

        Raises
        ------
        ValueError
            If an argument is not valid; the last quote stays as it was.

        Notes
        -----
        Nothing is returned because a tuple costs more than the quote.
        """
        cdef double sigma
        if unlikely(
            not (mid > 0.0 and mid <= DBL_MAX and fabs(inventory) <= DBL_MAX and time_left >= 0.0 and time_left <= DBL_MAX)
        ):
            self._refuse(mid, inventory, time_left, 0.0)
        if volatility is not None:
            sigma = volatility
            if sigma != self._q.sigma:
                self._volatility(sigma)
        quoter_quote(&self._q, mid, inventory, time_left, &self._quote)

    cdef int _refuse(self, double mid, double inventory, double time_left, double volatility) except -1:
        if not (mid > 0.0 and mid <= DBL_MAX):
            raise ValueError(f"mid must be positive and finite: mid={mid}")
        if not fabs(inventory) <= DBL_MAX:
            raise ValueError(f"inventory must be finite: inventory={inventory}")
        raise ValueError(f"time_left must be finite and not negative: time_left={time_left}")

    cdef int _volatility(self, double volatility) except -1:
        if not (volatility >= 0.0 and volatility <= DBL_MAX):
            raise ValueError(f"volatility must be finite and not negative: volatility={volatility}")
        if not quoter_set_volatility(&self._q, volatility):
            raise ValueError(f"volatility cannot change to this in the model {self.model}: volatility={volatility}")
        return 0

    def ladder(self, levels=5, spacing_ticks=10, multipliers=(1.0, 1.5, 2.2, 3.4, 5.1), size=1.0, size_step=0.15,
               min_size=0.3):
        """Return a ladder of quotes behind the last quote.

        Parameters
        ----------
        levels : int
            1..1000.
        spacing_ticks : float
            Level i lies i * spacing_ticks * multipliers[i] ticks behind the quote, rounded outwards to the increment.
        multipliers : sequence of float
            One for each level, not negative.
        size : float
            Size of level 0.
        size_step, min_size : float
            Level i has size * max(min_size, 1 - size_step * i).

        Returns
        -------
        bid_ticks, ask_ticks : ndarray of int64, shape (levels,)
            ``NO_PRICE`` where a side is closed or a price would not be positive.
        sizes : ndarray of float64, shape (levels,)
        """
        cdef int64_t best_bid, best_ask, i
        cdef int64_t count = int64_in(levels, "levels", 1, 1000)
        cdef double offset
        if len(multipliers) < levels:
            raise ValueError(f"every level needs a multiplier: levels={levels}, multipliers={len(multipliers)}")
        for name, value in (
            ("spacing_ticks", spacing_ticks),
            ("size", size),
            ("size_step", size_step),
            ("min_size", min_size),
            ("multipliers", min(multipliers[:levels])),
            ("multipliers", max(multipliers[:levels])),
        ):
            if not 0.0 <= value <= DBL_MAX:
                raise ValueError(f"{name} must be finite and not negative: {name}={value}")
        bids = np.empty(levels, np.int64)
        asks = np.empty(levels, np.int64)
        sizes = np.empty(levels)
        quoter_round(&self._q, &self._quote, &best_bid, &best_ask)
        for i in range(count):
            offset = i * <double> spacing_ticks * <double> multipliers[i]
            bids[i] = NO_PRICE if best_bid == NO_PRICE else quoter_floor(&self._q, <double> best_bid - offset)
            asks[i] = NO_PRICE if best_ask == NO_PRICE else quoter_ceil(&self._q, <double> best_ask + offset)
            sizes[i] = size * max(min_size, 1.0 - size_step * i)
        return bids, asks, sizes

    @property
    def bid(self):
        """float: last bid, unrounded; NaN before the first quote, -inf where the side is closed."""
        return self._quote.bid

    @property
    def ask(self):
        """float: last ask, unrounded; NaN before the first quote, +inf where the side is closed."""
        return self._quote.ask

    @property
    def reservation(self):
        """float: reservation price of the last quote."""
        return self._quote.reservation

    @property
    def spread(self):
        """float: full spread of the last quote, before floor and rounding."""
        return self._quote.spread

    @property
    def bid_ticks(self):
        """int or None: last bid, widened to the spread floor and rounded down to the increment; None if there is none."""
        cdef int64_t bid, ask
        quoter_round(&self._q, &self._quote, &bid, &ask)
        return None if bid == NO_PRICE else bid

    @property
    def ask_ticks(self):
        """int or None: last ask, widened to the spread floor and rounded up to the increment; None if there is none."""
        cdef int64_t bid, ask
        quoter_round(&self._q, &self._quote, &bid, &ask)
        return None if ask == NO_PRICE else ask

    @property
    def volatility(self):
        """float: sigma; settable, except in the model exact."""
        return self._q.sigma

    @volatility.setter
    def volatility(self, double value):
        if value != self._q.sigma:
            self._volatility(value)

    @property
    def parameters(self):
        """dict: all parameters of the model as given, with the defaults; a copy."""
        return dict(self._parameters)

    def __repr__(self):
        return f"Quoter({self.model!r}, {', '.join(f'{k}={v!r}' for k, v in self._parameters.items())})"


cdef cnp.ndarray column(values, str name, Py_ssize_t n):
    # One row of n doubles, contiguous and aligned; copied only where it is not so already.
    cdef cnp.ndarray array
    if cnp.PyArray_Check(values) and cnp.PyArray_TYPE(<cnp.ndarray> values) == cnp.NPY_FLOAT64:
        array = values
        if not (cnp.PyArray_IS_C_CONTIGUOUS(array) and cnp.PyArray_ISBEHAVED_RO(array)):
            array = np.array(array, np.float64)
    else:
        array = np.ascontiguousarray(values, np.float64)
    if array.ndim != 1 or array.shape[0] != n:
        shape = tuple(values.shape) if hasattr(values, "shape") else (len(values),)
        raise ValueError(f"{name} must have one value per quoter: shape={shape}, quoters={n}")
    return array


cdef aligned(Py_ssize_t n, dtype):
    # Zeros that begin on a cache line.
    raw = np.zeros(n * 8 + 64, np.uint8)
    first = -raw.ctypes.data % 64
    return raw[first : first + n * 8].view(dtype)


@cython.final
cdef class QuoterSet:
    """QuoterSet(quoters)\n--\n\n
    Quote many instruments at once, each with its own model: structure of arrays, AVX2 where there is one.

    Parameters
    ----------
    quoters : iterable of Quoter
        Copied: later changes of a quoter do not show here. One quoter may occur several times.

    Notes
    -----
    **Thread safety**: one thread at a time. The views `bids`, `asks`, `bid_ticks` and `ask_ticks` are overwritten by the
    next call.
    """

    def __cinit__(self, quoters):
        cdef Quoter quoter
        cdef Py_ssize_t i
        self._quoters = list(quoters)
        self._n = len(self._quoters)
        self._curved = []
        if self._n == 0:
            raise ValueError("quoters must not be empty: quoters=0")
        for item in self._quoters:
            if not isinstance(item, Quoter):
                raise TypeError(f"quoters must be Quoter objects: type={type(item).__name__}")
        self._q = <quoter_t*> calloc(self._n, sizeof(quoter_t))
        if self._q == NULL:
            raise MemoryError(f"cannot hold the quoters: quoters={self._n}")
        # Columns begin on cache lines, an odd number of lines apart, so that no two streams share a cache set.
        self._stride = ((self._n + 15) // 16 * 2 + 1) * 8
        self._constants = aligned(6 * self._stride, np.float64)
        self._columns = <double*> cnp.PyArray_DATA(self._constants)
        for i in range(6):
            self._used[i] = False
        self._halved = True
        for i in range(self._n):
            quoter = self._quoters[i]
            self._q[i] = quoter._q
            if quoter._q.model != QUOTER_LINEAR:
                self._curved.append(i)
            self._load(i)
        self._bids = aligned(self._n, np.float64)
        self._asks = aligned(self._n, np.float64)
        self._bid, self._ask = <double*> cnp.PyArray_DATA(self._bids), <double*> cnp.PyArray_DATA(self._asks)
        self._bid_ticks = aligned(self._n, np.int64)
        self._ask_ticks = aligned(self._n, np.int64)
        self._bids[:] = self._asks[:] = NAN
        self._bid_ticks[:] = self._ask_ticks[:] = NO_PRICE

    def __init__(self, quoters):
        pass

    def __dealloc__(self):
        free(self._q)

    cdef int _load(self, Py_ssize_t i) except -1:
        cdef double* c = self._columns
        cdef const quoter_t* q = &self._q[i]
        cdef int j
        cdef double[6] values = [q.half0, q.half1, q.skew0, q.skew1, q.offset, q.inventory_limit]
        for j in range(6):
            c[j * self._stride + i] = values[j]
            # A column of zeros (of infinities for the limit) need not be read.
            self._used[j] |= values[j] != (INFINITY if j == 5 else 0.0)
        self._halved = self._halved and values[1] == 0.5 * values[3]
        return 0

    cdef inline const double* _column(self, int j) noexcept:
        return self._columns + j * self._stride if self._used[j] else NULL

    def quote(self, mids, inventories, time_left=0.0):
        """Quote every instrument; the results are `bids` and `asks`.

        Parameters
        ----------
        mids : array of float64, shape (n,)
            Positive and finite.
        inventories : array of float64, shape (n,)
            Finite.
        time_left : float or array of float64, shape (n,)
            Finite, not negative.

        Raises
        ------
        ValueError
            If a value or a shape is not valid. After a bad value every quote is NaN, which rounds to no price: neither half of
            a batch nor the one before it is left to trade on.
        """
        cdef quotes_t b
        cdef double t
        cdef Py_ssize_t bad, i, n = self._n
        cdef cnp.ndarray m = column(mids, "mids", n)
        cdef cnp.ndarray v = column(inventories, "inventories", n)
        cdef cnp.ndarray w
        cdef quote_t one
        b.n = n
        b.half0 = self._columns
        b.half1, b.skew0, b.skew1 = self._column(1), self._column(2), self._column(3)
        b.offset, b.limit, b.halved = self._column(4), self._column(5), self._halved
        b.mid = <const double*> cnp.PyArray_DATA(m)
        b.inventory = <const double*> cnp.PyArray_DATA(v)
        b.bid, b.ask = self._bid, self._ask
        if cnp.PyArray_Check(time_left):
            w = column(time_left, "time_left", n)
            b.time_left, b.time_step = <const double*> cnp.PyArray_DATA(w), 1
        else:
            t = time_left
            if not (t >= 0.0 and t <= DBL_MAX):
                raise ValueError(f"time_left must be finite and not negative: time_left={t}")
            b.time_left, b.time_step = &t, 0
        bad = quotes_avx2(&b) if USE_AVX2 else quotes_base(&b)
        if unlikely(bad < n):
            self._complain(bad, b.mid[bad], b.inventory[bad], b.time_left[bad * b.time_step])
        for i in self._curved:
            quoter_quote(&self._q[i], b.mid[i], b.inventory[i], b.time_left[i * b.time_step], &one)
            b.bid[i] = one.bid
            b.ask[i] = one.ask

    cdef int _complain(self, Py_ssize_t i, double mid, double inventory, double time_left) except -1:
        self._bids[:] = NAN
        self._asks[:] = NAN
        if not 0.0 < mid <= DBL_MAX:
            raise ValueError(f"mids must be positive and finite: mids[{i}]={mid}")
        if not fabs(inventory) <= DBL_MAX:
            raise ValueError(f"inventories must be finite: inventories[{i}]={inventory}")
        raise ValueError(f"time_left must be finite and not negative: time_left[{i}]={time_left}")

    def round(self):
        """Round the last quotes outwards; the results are `bid_ticks` and `ask_ticks`, ``NO_PRICE`` where there is none."""
        cdef Py_ssize_t i
        cdef quote_t one
        cdef const double* bid = <const double*> cnp.PyArray_DATA(self._bids)
        cdef const double* ask = <const double*> cnp.PyArray_DATA(self._asks)
        cdef int64_t* bid_ticks = <int64_t*> cnp.PyArray_DATA(self._bid_ticks)
        cdef int64_t* ask_ticks = <int64_t*> cnp.PyArray_DATA(self._ask_ticks)
        one.reservation = one.spread = NAN
        for i in range(self._n):
            one.bid, one.ask = bid[i], ask[i]
            quoter_round(&self._q[i], &one, &bid_ticks[i], &ask_ticks[i])

    def set_volatilities(self, volatilities):
        """Give every quoter a new sigma; all are checked before the first is changed.

        Parameters
        ----------
        volatilities : array of float64, shape (n,)
            Finite, not negative. A quoter of the model exact keeps its own, which must be given.

        Raises
        ------
        ValueError
        """
        cdef cnp.ndarray v = column(volatilities, "volatilities", self._n)
        cdef const double* sigma = <const double*> cnp.PyArray_DATA(v)
        cdef quoter_t trial
        cdef Py_ssize_t i
        for i in range(self._n):
            trial = self._q[i]
            if sigma[i] != trial.sigma and not quoter_set_volatility(&trial, sigma[i]):
                raise ValueError(
                    f"volatilities must be valid for their models: volatilities[{i}]={sigma[i]}, "
                    f"model={self._quoters[i].model}"
                )
        for i in range(self._n):
            if sigma[i] != self._q[i].sigma:
                quoter_set_volatility(&self._q[i], sigma[i])
                self._load(i)

    cdef _view(self, array):
        view = array.view()
        view.flags.writeable = False
        return view

    @property
    def bids(self):
        """ndarray of float64: last bids; a live, read-only view."""
        return self._view(self._bids)

    @property
    def asks(self):
        """ndarray of float64: last asks; a live, read-only view."""
        return self._view(self._asks)

    @property
    def bid_ticks(self):
        """ndarray of int64: bids after `round`; a live, read-only view."""
        return self._view(self._bid_ticks)

    @property
    def ask_ticks(self):
        """ndarray of int64: asks after `round`; a live, read-only view."""
        return self._view(self._ask_ticks)

    def __len__(self):
        return self._n

    def __repr__(self):
        count = Counter(quoter.model for quoter in self._quoters)
        return f"<QuoterSet {self._n} quoters: {', '.join(f'{number} {model}' for model, number in count.items())}>"
