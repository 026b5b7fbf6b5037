"""Plain-Python twin of ``fastcore.avellaneda``: the formulas as they are published, with every logarithm in its place."""

from collections.abc import Iterable, Sequence
from math import ceil, exp, floor, inf, isfinite, isnan, log1p, nan, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

from fastcore.errors import range_error
from fastcore.quote_models import checked, resolved

NO_PRICE = -(2**63)


def simd() -> str:
    """Return the twin that batch quotes run on."""
    return "scalar"


def base_spread(xi: float, k: float) -> float:
    """(1/xi) ln(1 + xi/k), which tends to 1/k."""
    return log1p(xi / k) / xi if xi / k > 1e-8 else (1 - xi / k / 2) / k


def fill_power(xi: float, k: float) -> float:
    """(1 + xi/k)^(1 + k/xi), which tends to e."""
    return exp((1 + k / xi) * log1p(xi / k)) if xi / k > 1e-8 else exp(1 + xi / k / 2)


def infinite_bound(gamma: float, max_inventory: int, sigma: float | None, omega: float | None) -> float:
    """2 omega / (gamma sigma)^2."""
    natural = (max_inventory + 1.0) ** 2
    if omega is None:
        return natural
    if sigma is None or not sigma > 0:
        raise ValueError(f"sigma must be positive where omega is given: sigma={sigma}, omega={omega}")
    bound = float(2 * checked("omega", omega) / (gamma * sigma) ** 2)
    if not natural * (1 - 1e-12) <= bound < inf:
        raise ValueError(
            f"omega must be at least gamma^2 sigma^2 (max_inventory + 1)^2 / 2: omega={omega}, gamma={gamma}, "
            f"sigma={sigma}, max_inventory={max_inventory}"
        )
    return max(bound, natural)


def log_of(x: float) -> float:
    """ln(1 + x), minus infinity from -1 down."""
    return log1p(x) if x > -1 else -inf


def indifference_prices(
    gamma: float, inventory: float, max_inventory: int, *, sigma: float | None = None, omega: float | None = None
) -> tuple[float, float]:
    """Return (r_a - mid, r_b - mid) of the infinite horizon."""
    gamma = checked("gamma", gamma)
    max_inventory = checked("max_inventory", max_inventory)
    bound = infinite_bound(gamma, max_inventory, sigma, omega)
    if not abs(inventory) <= max_inventory:
        raise range_error("inventory", inventory, -max_inventory, max_inventory)
    left = bound - inventory**2
    return log_of((1 - 2 * inventory) / left) / gamma, log_of((-1 - 2 * inventory) / left) / gamma


def solve_depths(
    gamma: float,
    sigma: float,
    A: float,
    k: float,
    max_inventory: int,
    horizon: float | None = None,
    *,
    rows: int | None = None,
    xi: float | None = None,
    order_size: float = 1.0,
    drift: float = 0.0,
    adverse_selection: float = 0.0,
    terminal_penalty: float = 0.0,
) -> npt.NDArray[np.float64]:
    """Solve for the optimal depths through the eigenvectors of M, its smallest eigenvalue subtracted.

    Simple, and less accurate than the compiled way where v spans many orders of magnitude.
    """
    values = {"gamma": gamma, "sigma": sigma, "A": A, "k": k, "order_size": order_size, "max_inventory": max_inventory}
    for name, value in values.items():
        checked(name, value)
    xi = gamma if xi is None else checked("xi", xi)
    k_n = k / order_size
    q = np.arange(-max_inventory, max_inventory + 1, dtype=float)
    eta = A / fill_power(xi, k_n) * exp(-k * adverse_selection / 2)
    diagonal = k_n * gamma * (sigma * order_size) ** 2 / 2 * q**2 - k * drift * q
    values_m, vectors = np.linalg.eigh(np.diag(diagonal) - eta * (np.eye(len(q), k=1) + np.eye(len(q), k=-1)))
    weights = vectors.T @ np.exp(-k * order_size * terminal_penalty * q**2)
    base = base_spread(xi, k_n) / order_size + adverse_selection / 2
    if horizon is None:
        times = [inf]
    else:
        horizon = checked("horizon", horizon)
        times = [horizon] if rows is None else [horizon * i / (rows - 1) for i in range(rows)]
    result = np.full((len(times), len(q), 2), inf)
    for depths, time in zip(result, times, strict=True):
        # The long run leaves the eigenvector of the smallest eigenvalue, which has one sign.
        v = np.abs(vectors[:, 0]) if time == inf else vectors @ (np.exp(-(values_m - values_m[0]) * time) * weights)
        depths[:-1, 0] = np.log(v[:-1] / v[1:]) / k + base
        depths[1:, 1] = np.log(v[1:] / v[:-1]) / k + base
    return result if rows is not None else result[0]


class Quoter:
    """Quote one instrument with one model."""

    def __init__(self, model: str = "avellaneda_stoikov", **parameters: Any) -> None:
        self.model = model
        self._p = resolved(model, parameters)
        p = self._p
        if p.get("drift") and p["sigma"] == 0:
            raise ValueError(f"sigma must be positive where there is a drift: sigma=0, drift={p['drift']}")
        self._sigma: float = p["sigma"]
        self.bid = self.ask = self.reservation = self.spread = nan
        if model == "avellaneda_stoikov_infinite":
            infinite_bound(p["gamma"], p["max_inventory"], p["sigma"], p["omega"])
        if model == "exact":
            names = "gamma sigma A k max_inventory horizon xi order_size drift adverse_selection".split()
            depths = solve_depths(**{name: p[name] for name in names}, rows=None if p["horizon"] is None else p["rows"])
            self._table = depths.reshape(-1, 2 * p["max_inventory"] + 1, 2)

    @property
    def parameters(self) -> dict[str, Any]:
        """All parameters as given, with the defaults."""
        return dict(self._p)

    @property
    def volatility(self) -> float:
        """Sigma."""
        return self._sigma

    @volatility.setter
    def volatility(self, value: float) -> None:
        if not (isfinite(value) and value >= 0):
            raise ValueError(f"volatility must be finite and not negative: volatility={value}")
        if value != self._sigma and (self.model == "exact" or (self._p.get("drift") and value == 0)):
            raise ValueError(f"volatility cannot change to this in the model {self.model}: volatility={value}")
        self._sigma = value

    def quote(self, mid: float, inventory: float = 0.0, time_left: float = 0.0, volatility: float | None = None) -> None:
        """Quote around a mid price."""
        if not (isfinite(mid) and mid > 0):
            raise ValueError(f"mid must be positive and finite: mid={mid}")
        if not isfinite(inventory):
            raise ValueError(f"inventory must be finite: inventory={inventory}")
        if not (isfinite(time_left) and time_left >= 0):
            raise ValueError(f"time_left must be finite and not negative: time_left={time_left}")
        if volatility is not None:
            self.volatility = volatility
        p = self._p
        below, above = getattr(self, "_" + self.model)(inventory / p["inventory_unit"], time_left, self._sigma, **p)
        self.bid, self.ask = mid - below, mid + above
        self.reservation, self.spread = (self.bid + self.ask) / 2, above + below
        if inventory >= p["inventory_limit"]:
            self.bid = -inf
        if inventory <= -p["inventory_limit"]:
            self.ask = inf

    # Each model returns the depths of bid and ask from the mid, for an inventory q in units.

    def _avellaneda_stoikov(self, q: float, t: float, s: float, *, gamma: float, k: float, **_: Any) -> tuple[float, float]:
        half = gamma * s**2 * t / 2 + base_spread(gamma, k)
        skew = q * gamma * s**2 * t
        return half + skew, half - skew

    def _avellaneda_stoikov_infinite(
        self, q: float, t: float, s: float, *, gamma: float, k: float, max_inventory: int, omega: float | None, **_: Any
    ) -> tuple[float, float]:
        bound = (max_inventory + 1.0) ** 2 if omega is None else 2 * omega / (gamma * s) ** 2
        edge = sqrt(bound) - 1
        q = max(-edge, min(edge, q))
        base = base_spread(gamma, k)
        left = bound - q**2
        below = inf if q >= edge else base - log_of((-1 - 2 * q) / left) / gamma
        above = inf if q <= -edge else base + log_of((1 - 2 * q) / left) / gamma
        return below, above

    def _glft(self, q: float, t: float, s: float, *, gamma: float, **p: Any) -> tuple[float, float]:
        return self._general(q, t, s, gamma=gamma, xi=gamma, order_size=1.0, **p)

    def _general(
        self,
        q: float,
        t: float,
        s: float,
        *,
        gamma: float,
        xi: float,
        A: float,
        k: float,
        order_size: float,
        drift: float,
        adverse_selection: float,
        **_: Any,
    ) -> tuple[float, float]:
        c1 = base_spread(xi * order_size, k)
        c2 = sqrt(gamma / (2 * A * order_size * k) * fill_power(xi * order_size, k)) * exp(k * adverse_selection / 4)
        half = c1 + order_size / 2 * s * c2 + adverse_selection / 2
        skew = s * c2 * q - (c2 * drift / (gamma * s) if drift else 0)
        return half + skew, half - skew

    def _exact(
        self, q: float, t: float, s: float, *, max_inventory: int, order_size: float, horizon: float | None, **_: Any
    ) -> tuple[float, float]:
        row = 0.0 if horizon is None else min(t / horizon, 1.0) * (len(self._table) - 1)
        column = max(-max_inventory, min(max_inventory, q / order_size)) + max_inventory

        def between(side: int) -> float:
            total = 0.0
            for i, u in ((floor(row), 1 - row % 1), (ceil(row), row % 1)):
                for j, w in ((floor(column), 1 - column % 1), (ceil(column), column % 1)):
                    if u and w:
                        total += u * w * float(self._table[i, j, side])
            return total

        return between(0), between(1)

    def _simplified(
        self,
        q: float,
        t: float,
        s: float,
        *,
        gamma: float,
        limit: float,
        horizon: float,
        spread_factor: float,
        min_spread_ticks: int,
        tick_size: float,
        **_: Any,
    ) -> tuple[float, float]:
        m = min_spread_ticks * tick_size
        spread = max(m, (m + s * 0.2 * sqrt(horizon)) * gamma * (1 + abs(q) / limit) * spread_factor)
        skew = 0.1 * spread * q / limit
        return spread / 2 + skew, spread / 2 - skew

    def _floor(self, x: float) -> int:
        increment: int = (
            self._p["increment_ticks"] if x >= self._p["low_below_ticks"] - 1e-6 else self._p["low_increment_ticks"]
        )
        if not 0 < x <= 2**53 or (x + 1e-6) / increment < 1:
            return NO_PRICE
        return floor((x + 1e-6) / increment) * increment

    def _ceil(self, x: float) -> int:
        increment: int = self._p["increment_ticks"] if x > self._p["low_below_ticks"] + 1e-6 else self._p["low_increment_ticks"]
        if not 0 < x <= 2**53:
            return NO_PRICE
        return max(1, ceil((x - 1e-6) / increment)) * increment

    def _rounded(self) -> tuple[int, int]:
        bid, ask = self.bid / self._p["tick_size"], self.ask / self._p["tick_size"]
        least = self._p["min_spread_ticks"]
        if isnan(bid) or isnan(ask):
            return self._floor(bid) if not isnan(bid) else NO_PRICE, self._ceil(ask) if not isnan(ask) else NO_PRICE
        if ask - bid < least:
            middle = (bid + ask) / 2
            bid, ask = middle - least / 2, middle + least / 2
        return self._floor(bid), self._ceil(ask)

    @property
    def bid_ticks(self) -> int | None:
        """Last bid, rounded down; None if there is none."""
        ticks = self._rounded()[0]
        return None if ticks == NO_PRICE else ticks

    @property
    def ask_ticks(self) -> int | None:
        """Last ask, rounded up; None if there is none."""
        ticks = self._rounded()[1]
        return None if ticks == NO_PRICE else ticks

    def ladder(
        self,
        levels: int = 5,
        spacing_ticks: float = 10,
        multipliers: Sequence[float] = (1.0, 1.5, 2.2, 3.4, 5.1),
        size: float = 1.0,
        size_step: float = 0.15,
        min_size: float = 0.3,
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Return a ladder of quotes behind the last quote."""
        if not 1 <= levels <= 1000:
            raise ValueError(f"levels must be in 1..1000: levels={levels}")
        if len(multipliers) < levels:
            raise ValueError(f"every level needs a multiplier: levels={levels}, multipliers={len(multipliers)}")
        given = {"spacing_ticks": spacing_ticks, "size": size, "size_step": size_step, "min_size": min_size}
        for name, value in [*given.items(), *(("multipliers", m) for m in multipliers[:levels])]:
            if not (isfinite(value) and value >= 0):
                raise ValueError(f"{name} must be finite and not negative: {name}={value}")
        bid, ask = self._rounded()
        offsets = [i * spacing_ticks * multipliers[i] for i in range(levels)]
        bids = [NO_PRICE if bid == NO_PRICE else self._floor(bid - offset) for offset in offsets]
        asks = [NO_PRICE if ask == NO_PRICE else self._ceil(ask + offset) for offset in offsets]
        sizes = [size * max(min_size, 1 - size_step * i) for i in range(levels)]
        return np.array(bids, np.int64), np.array(asks, np.int64), np.array(sizes, np.float64)


class QuoterSet:
    """Quote many instruments, one after the other."""

    def __init__(self, quoters: Iterable[Quoter]) -> None:
        given = list(quoters)
        if not given:
            raise ValueError("quoters must not be empty: quoters=0")
        if not all(isinstance(quoter, Quoter) for quoter in given):
            raise TypeError("quoters must be Quoter objects")
        self._quoters = [Quoter(quoter.model, **{**quoter.parameters, "sigma": quoter.volatility}) for quoter in given]
        self.bids = np.full(len(given), nan)
        self.asks = np.full(len(given), nan)
        self.bid_ticks = np.full(len(given), NO_PRICE, np.int64)
        self.ask_ticks = np.full(len(given), NO_PRICE, np.int64)

    def __len__(self) -> int:
        return len(self._quoters)

    def quote(self, mids: Any, inventories: Any, time_left: Any = 0.0) -> None:
        """Quote every instrument."""
        times = time_left if isinstance(time_left, np.ndarray) else np.full(len(self), time_left)
        for name, values in (("mids", mids), ("inventories", inventories), ("time_left", times)):
            if np.shape(values) != (len(self),):
                raise ValueError(f"{name} must have one value per quoter: shape={np.shape(values)}, quoters={len(self)}")
        if not 0 <= times[0] < inf and not isinstance(time_left, np.ndarray):
            raise ValueError(f"time_left must be finite and not negative: time_left={time_left}")
        for i in range(len(self)):
            problem = None
            if not (isfinite(mids[i]) and mids[i] > 0):
                problem = f"mids must be positive and finite: mids[{i}]={mids[i]}"
            elif not isfinite(inventories[i]):
                problem = f"inventories must be finite: inventories[{i}]={inventories[i]}"
            elif not (isfinite(times[i]) and times[i] >= 0):
                problem = f"time_left must be finite and not negative: time_left[{i}]={times[i]}"
            if problem:
                self.bids[:] = self.asks[:] = nan
                raise ValueError(problem)
        for i, quoter in enumerate(self._quoters):
            quoter.quote(float(mids[i]), float(inventories[i]), float(times[i]))
            self.bids[i], self.asks[i] = quoter.bid, quoter.ask

    def round(self) -> None:
        """Round the last quotes outwards."""
        for i, quoter in enumerate(self._quoters):
            quoter.bid, quoter.ask = float(self.bids[i]), float(self.asks[i])
            self.bid_ticks[i], self.ask_ticks[i] = quoter._rounded()

    def set_volatilities(self, volatilities: Any) -> None:
        """Give every quoter a new sigma."""
        old = [quoter.volatility for quoter in self._quoters]
        try:
            for quoter, sigma in zip(self._quoters, volatilities, strict=True):
                quoter.volatility = float(sigma)
        except ValueError:
            for quoter, sigma in zip(self._quoters, old, strict=True):
                quoter.volatility = sigma
            raise
