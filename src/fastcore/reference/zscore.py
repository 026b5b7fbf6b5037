"""Plain-Python twin of ``fastcore.zscore``: every window is computed anew, in two passes, with exact sums."""

import math
import operator
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fastcore.errors import range_error

Doubles = npt.NDArray[np.float64]

SPREAD_LIMIT = 1e150  # beyond it squares overflow


# ---- one window ----


def _moments(window: Sequence[float], ddof: int) -> tuple[float, float, float]:
    # Mean, variance and z-score of the last point. Deviations are about a point of the window, so that a constant one is exact.
    anchor = window[-1]
    deviations = [x - anchor for x in window]
    largest = max(map(abs, deviations))
    if not all(map(math.isfinite, deviations)) or largest * len(window) == math.inf:
        return math.nan, math.nan, math.nan
    n = len(window)
    center = math.fsum(deviations) / n
    if largest > SPREAD_LIMIT:
        return anchor + center, math.nan, math.nan
    squares = math.fsum((d - center) * (d - center) for d in deviations)
    if squares == 0.0:
        return anchor + center, 0.0, 0.0
    var = squares / (n - ddof)
    bound = math.sqrt(n - 1) * math.sqrt((n - ddof) / n)
    return anchor + center, var, max(-bound, min(bound, -center / math.sqrt(var)))


def exact_zscore(x: npt.ArrayLike, window: int) -> Doubles:
    """Return what `rolling_zscore` approximates, rounded once: for tests and benchmarks; `x` is finite.

    A double is an integer times a power of two, so sums and squares are integers, and the quotient and its root are made with
    50 digits.
    """
    fractions = [value.as_integer_ratio() for value in np.asarray(x, np.float64).tolist()]
    common = max(denominator for _, denominator in fractions)
    points = [numerator * (common // denominator) for numerator, denominator in fractions]
    total, squares = 0, 0
    results = []
    for i, point in enumerate(points):
        total += point
        squares += point * point
        if i >= window:
            total -= points[i - window]
            squares -= points[i - window] ** 2
        if i >= window - 1:
            numerator, variance = window * point - total, window * squares - total * total
            root = math.isqrt((numerator * numerator << 332) // variance) if variance else 0
            results.append(math.copysign(root / (1 << 166), numerator))
    return np.array(results)


# ---- arguments ----


def _doubles(x: npt.ArrayLike, name: str, dimensions: int = 1) -> Doubles:
    array = np.asarray(x)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold real numbers: dtype={array.dtype}")
    if array.ndim != dimensions:
        raise ValueError(f"{name} must have {dimensions} dimension{'s' if dimensions > 1 else ''}: ndim={array.ndim}")
    return np.ascontiguousarray(array, np.float64)


def _check_window(window: Any, n: int | None = None, name: str = "window") -> int:
    value = operator.index(window)
    if n is None:
        if not 2 <= value < 2**62:
            raise range_error(name, value, 2, 2**62 - 1)
    elif not 2 <= value <= n:
        raise range_error(name, value, 2, "n", n=n)
    return value


def _check_ddof(ddof: Any, window: int) -> int:
    value = operator.index(ddof)
    if not 0 <= value < window:
        raise range_error("ddof", value, 0, "window-1", window=window)
    return value


def _check_finite(value: float, name: str) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite: {name}={number}")
    return number


def _per_pair(value: npt.ArrayLike, pairs: int, name: str) -> Doubles:
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold real numbers: dtype={array.dtype}")
    if array.ndim != 0 and array.shape != (pairs,):
        raise ValueError(f"{name} must be one number or one per pair: shape={array.shape}, pairs={pairs}")
    return np.ascontiguousarray(np.broadcast_to(array, (pairs,)), np.float64)


def _check_thresholds(thresholds: npt.ArrayLike, pairs: int) -> Doubles:
    array = _per_pair(thresholds, pairs, "thresholds")
    for i, threshold in enumerate(array):
        if not threshold >= 0.0:
            raise ValueError(f"thresholds must be at least 0: thresholds[{i}]={threshold}")
    return array


def _check_pairs(pairs: npt.ArrayLike, name: str, symbols: int = 2**31 - 1) -> list[tuple[int, int]]:
    array = np.asarray(pairs)
    if array.ndim != 2 or array.shape[1] != 2 or array.shape[0] == 0:
        raise ValueError(f"{name} must be rows of two symbol indices: shape={array.shape}")
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} must hold integers: dtype={array.dtype}")
    for row, pair in enumerate(array.tolist()):
        if not all(0 <= symbol < symbols for symbol in pair):
            raise ValueError(f"{name} must be in 0..{symbols - 1}: {name}[{row}]={pair}")
    return [(int(a), int(b)) for a, b in array]


def _store(values: list[float], out: Doubles | None, inputs: Sequence[Doubles]) -> Doubles:
    if out is None:
        return np.array(values, np.float64)
    if not isinstance(out, np.ndarray) or out.dtype != np.float64 or out.ndim != 1 or not out.flags.carray:
        raise ValueError("out must be a writable, contiguous, one-dimensional float64 array")
    if out.size != len(values):
        raise ValueError(f"out must hold one value per window: size={out.size}, windows={len(values)}")
    if any(np.may_share_memory(out, x) for x in inputs):
        raise ValueError("out must not share memory with the input")
    out[:] = values
    return out


# ---- batch ----


def _rolling(statistic: int, x: npt.ArrayLike, window: int, ddof: int, out: Doubles | None) -> Doubles:
    series = _doubles(x, "x")
    length = _check_window(window, series.size)
    ddof = _check_ddof(ddof, length)
    values = series.tolist()
    results = [_moments(values[i : i + length], ddof)[statistic] for i in range(len(values) - length + 1)]
    return _store(results, out, [series])


def rolling_mean(x: npt.ArrayLike, window: int, out: Doubles | None = None) -> Doubles:
    """Return the mean of every window."""
    return _rolling(0, x, window, 0, out)


def rolling_var(x: npt.ArrayLike, window: int, ddof: int = 0, out: Doubles | None = None) -> Doubles:
    """Return the variance of every window."""
    return _rolling(1, x, window, ddof, out)


def rolling_std(x: npt.ArrayLike, window: int, ddof: int = 0, out: Doubles | None = None) -> Doubles:
    """Return the standard deviation of every window."""
    variances = rolling_var(x, window, ddof)
    return _store([math.sqrt(v) for v in variances], out, [np.asarray(x, np.float64)])


def rolling_zscore(x: npt.ArrayLike, window: int, ddof: int = 0, out: Doubles | None = None) -> Doubles:
    """Return the z-score of the last point of every window, 0 where the standard deviation is 0."""
    return _rolling(2, x, window, ddof, out)


def _log(price: float) -> float:
    # NaN and infinity pass: they mark their own windows.
    return math.log(price) if math.isfinite(price) else price


def _spread(a: float, b: float, hedge: float, log: bool) -> float:
    return _log(a) - hedge * _log(b) if log else a - hedge * b


def _pair_zscore(
    prices1: Doubles, prices2: Doubles, window: int, hedge: float, log: bool, ddof: int, out: Doubles | None, name: str
) -> Doubles:
    if prices1.size != prices2.size:
        raise ValueError(f"price series must have one length: prices1={prices1.size}, prices2={prices2.size}")
    length = _check_window(window, prices1.size, name)
    ddof = _check_ddof(ddof, length)
    if log:
        for label, prices in (("prices1", prices1), ("prices2", prices2)):
            for i, price in enumerate(prices):
                if price <= 0.0:
                    raise ValueError(f"prices must be positive where logarithms are asked for: {label}[{i}]={price}")
    spreads = [_spread(a, b, hedge, log) for a, b in zip(prices1.tolist(), prices2.tolist(), strict=True)]
    return _store(rolling_zscore(spreads, length, ddof).tolist(), out, [prices1, prices2])


def pair_zscore(
    prices1: npt.ArrayLike,
    prices2: npt.ArrayLike,
    window: int,
    *,
    hedge_ratio: float = 1.0,
    log: bool = False,
    ddof: int = 0,
    out: Doubles | None = None,
) -> Doubles:
    """Return the rolling z-score of ``prices1 - hedge_ratio * prices2``, or of the same with logarithms."""
    first, second = _doubles(prices1, "prices1"), _doubles(prices2, "prices2")
    return _pair_zscore(first, second, window, _check_finite(hedge_ratio, "hedge_ratio"), log, ddof, out, "window")


# ---- streaming ----


class RollingZScore:
    """Rolling statistics of one series, a point at a time."""

    def __init__(self, window: int, ddof: int = 0) -> None:
        self.window = _check_window(window)
        self.ddof = _check_ddof(ddof, self.window)
        self._points: deque[float] = deque(maxlen=self.window)
        self.count = 0

    def update(self, x: float) -> float:
        """Take one point in and return its z-score; NaN until the window is full."""
        self._points.append(float(x))
        self.count += 1
        return self.zscore

    def update_many(self, x: npt.ArrayLike, out: Doubles | None = None) -> Doubles:
        """Take many points in and return the z-score after each."""
        values = _doubles(x, "x")
        _store([0.0] * values.size, out, [values])
        return _store([self.update(v) for v in values.tolist()], out, [values])

    def reset(self) -> None:
        """Forget every point."""
        self._points.clear()
        self.count = 0

    def _statistics(self) -> tuple[float, float, float]:
        if self.count < self.window:
            return math.nan, math.nan, math.nan
        return _moments(list(self._points), self.ddof)

    @property
    def mean(self) -> float:
        """Mean of the newest window."""
        return self._statistics()[0]

    @property
    def var(self) -> float:
        """Variance of the newest window."""
        return self._statistics()[1]

    @property
    def std(self) -> float:
        """Standard deviation of the newest window."""
        return math.sqrt(self.var)

    @property
    def zscore(self) -> float:
        """z-score of the newest point."""
        return self._statistics()[2]


class PairZScore:
    """Rolling z-score of the spread of two prices, a tick at a time."""

    def __init__(self, window: int, hedge_ratio: float = 1.0, log: bool = False, ddof: int = 0) -> None:
        self._rolling = RollingZScore(window, ddof)
        self.hedge_ratio = _check_finite(hedge_ratio, "hedge_ratio")
        self.log = bool(log)

    def update(self, price1: float, price2: float) -> float:
        """Take one tick in and return the z-score of its spread."""
        if self.log and (price1 <= 0.0 or price2 <= 0.0):
            raise ValueError(f"prices must be positive where logarithms are asked for: price1={price1}, price2={price2}")
        return self._rolling.update(_spread(float(price1), float(price2), self.hedge_ratio, self.log))

    def reset(self) -> None:
        """Forget every tick."""
        self._rolling.reset()

    @property
    def window(self) -> int:
        """Ticks in a window."""
        return self._rolling.window

    @property
    def ddof(self) -> int:
        """What is taken off the window in the divisor of the variance."""
        return self._rolling.ddof

    @property
    def count(self) -> int:
        """Ticks so far."""
        return self._rolling.count

    @property
    def mean(self) -> float:
        """Mean spread of the newest window."""
        return self._rolling.mean

    @property
    def std(self) -> float:
        """Standard deviation of the spread in the newest window."""
        return self._rolling.std

    @property
    def zscore(self) -> float:
        """z-score of the newest spread."""
        return self._rolling.zscore


def _signal(z: float, threshold: float) -> int:
    return (z > threshold) - (z < -threshold)


class PairSet:
    """z-scores and signals of many pairs: a `PairZScore` for each."""

    def __init__(
        self,
        pairs: npt.ArrayLike,
        window: int,
        thresholds: npt.ArrayLike = 2.0,
        hedge_ratios: npt.ArrayLike = 1.0,
        log: bool = False,
        ddof: int = 0,
    ) -> None:
        self.window = _check_window(window)
        self._pairs = _check_pairs(pairs, "pairs")
        n = len(self._pairs)
        self._thresholds: list[float] = _check_thresholds(thresholds, n).tolist()
        hedges = _per_pair(hedge_ratios, n, "hedge_ratios")
        for i, hedge in enumerate(hedges):
            if not math.isfinite(hedge):
                raise ValueError(f"hedge_ratios must be finite: hedge_ratios[{i}]={hedge}")
        self.ddof = _check_ddof(ddof, self.window)
        self._log = bool(log)
        self._symbols = 1 + max(max(pair) for pair in self._pairs)
        self._hedges = hedges.tolist()
        self._rolling = [RollingZScore(window, ddof) for _ in self._pairs]
        self.reset()

    def reset(self) -> None:
        """Forget every tick."""
        self.count = 0
        for rolling in self._rolling:
            rolling.reset()
        self.signals = np.zeros(len(self._pairs), np.int8)
        self.zscores = np.full(len(self._pairs), math.nan)
        self.spreads = np.full(len(self._pairs), math.nan)

    def __len__(self) -> int:
        return len(self._pairs)

    def update(self, prices: npt.ArrayLike) -> npt.NDArray[np.int8]:
        """Take one tick in and return the signals of all pairs."""
        tick = _doubles(prices, "prices")
        if tick.size < self._symbols:
            raise ValueError(f"prices must hold every symbol of the pairs: size={tick.size}, symbols={self._symbols}")
        if self._log:
            for i, price in enumerate(tick[: self._symbols]):
                if price <= 0.0:
                    raise ValueError(f"prices must be positive where logarithms are asked for: prices[{i}]={price}")
        self.count += 1
        for k, (i, j) in enumerate(self._pairs):
            spread = _spread(float(tick[i]), float(tick[j]), self._hedges[k], self._log)
            z = self._rolling[k].update(spread)
            self.spreads[k], self.zscores[k], self.signals[k] = spread, z, _signal(z, self._thresholds[k])
        return self.signals
