"""Plain-Python twin of ``fastcore.zscore``: every window is computed anew, in two passes, with exact sums."""

import math
import operator
from collections import deque
from collections.abc import Sequence
from time import perf_counter_ns
from typing import Any

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]

SPREAD_LIMIT = 1e150  # beyond it squares overflow
CORRELATION_LIMIT = 1e100


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
            raise ValueError(f"{name} must be at least 2: {name}={value}")
    elif not 2 <= value <= n:
        raise ValueError(f"{name} must be between 2 and the number of points: {name}={value}, n={n}")
    return value


def _check_series(series: Any, name: str) -> int:
    value = operator.index(series)
    if not 2 <= value <= 30_000:
        raise ValueError(f"{name} must be between 2 and 30000: {name}={value}")
    return value


def _check_ddof(ddof: Any, window: int) -> int:
    value = operator.index(ddof)
    if not 0 <= value < window:
        raise ValueError(f"ddof must be at least 0 and below the window: ddof={value}, window={window}")
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
            raise ValueError(f"{name} must be at least 0 and below {symbols}: {name}[{row}]={pair}")
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


def fast_zscore_calculation(prices1: npt.ArrayLike, prices2: npt.ArrayLike, lookback: int) -> Doubles:
    """Return the z-score of ``prices1 - prices2`` over the last `lookback` points, the current one included."""
    return _pair_zscore(_doubles(prices1, "prices1"), _doubles(prices2, "prices2"), lookback, 1.0, False, 0, None, "lookback")


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


def zscore_batch(
    price_ring: npt.ArrayLike, write_idx: npt.ArrayLike, pair_idx: npt.ArrayLike, lookback: int, thresholds: npt.ArrayLike
) -> npt.NDArray[np.int8]:
    """Return the signal of every pair from a ring of recent prices per symbol."""
    ring = _doubles(price_ring, "price_ring", 2)
    symbols, size = ring.shape
    pairs = _check_pairs(pair_idx, "pair_idx", symbols)
    lookback = _check_window(lookback, size, "lookback")
    limits = _check_thresholds(thresholds, len(pairs))
    slots = np.asarray(write_idx)
    if slots.dtype.kind not in "iu":
        raise TypeError(f"write_idx must hold integers: dtype={slots.dtype}")
    if slots.ndim != 0 and slots.shape != (symbols,):
        raise ValueError(f"write_idx must be one slot or one per symbol: shape={slots.shape}, symbols={symbols}")
    if (slots < 0).any():
        raise ValueError(f"write_idx must be at least 0: write_idx={slots.min()}")
    heads = np.broadcast_to(slots, (symbols,)).tolist()

    def newest(symbol: int) -> list[float]:
        return [float(ring[symbol, (heads[symbol] - back) % size]) for back in range(lookback, 0, -1)]

    signals = [
        _signal(_moments([a - b for a, b in zip(newest(i), newest(j), strict=True)], 0)[2], limit)
        for (i, j), limit in zip(pairs, limits.tolist(), strict=True)
    ]
    return np.array(signals, np.int8)


# ---- correlation ----


class RollingCorrelation:
    """Correlation matrix of many series over the newest `window` rows, computed anew when it is asked for."""

    def __init__(self, series: int, window: int) -> None:
        self.window = _check_window(window)
        self.series = _check_series(series, "series")
        self._rows: deque[list[float]] = deque(maxlen=self.window)
        self.count = 0

    @property
    def rebuilds(self) -> int:
        """Zero: there are no sums to rebuild."""
        return 0

    def reset(self) -> None:
        """Forget every row."""
        self._rows.clear()
        self.count = 0

    def update(self, x: npt.ArrayLike) -> None:
        """Take one row of values in."""
        row = _doubles(x, "x")
        if row.size != self.series:
            raise ValueError(f"x must hold one value per series: size={row.size}, series={self.series}")
        self._rows.append(row.tolist())
        self.count += 1

    def update_many(self, x: npt.ArrayLike) -> None:
        """Take many rows in."""
        rows = _doubles(x, "x", 2)
        if rows.shape[1] != self.series:
            raise ValueError(f"x must hold one column per series: columns={rows.shape[1]}, series={self.series}")
        for row in rows:
            self.update(row)

    def correlation(self, i: int, j: int) -> float:
        """Return the correlation of two series; NaN where it does not exist."""
        for index in (i, j):
            if not 0 <= index < self.series:
                raise IndexError(f"series must be at least 0 and below {self.series}: series={index}")
        if self.count < self.window:
            return math.nan
        deviations = []
        for index in sorted((i, j)):
            values = [row[index] for row in self._rows]
            if not all(abs(v) < CORRELATION_LIMIT for v in values):
                return math.nan
            about = [v - values[-1] for v in values]
            center = math.fsum(about) / self.window
            deviations.append([a - center for a in about] if any(about) else [0.0] * self.window)
        a, b = deviations
        squares = math.fsum(v * v for v in a), math.fsum(v * v for v in b)
        if squares[0] == 0.0 or squares[1] == 0.0:
            return math.nan
        if i == j:
            return 1.0
        r = math.fsum(v * w for v, w in zip(a, b, strict=True)) / math.sqrt(squares[0]) / math.sqrt(squares[1])
        return max(-1.0, min(1.0, r))

    def matrix(self, out: Doubles | None = None) -> Doubles:
        """Return the correlation matrix."""
        n = self.series
        if out is None:
            out = np.empty((n, n))
        elif not isinstance(out, np.ndarray) or out.dtype != np.float64 or out.ndim != 2 or not out.flags.carray:
            raise ValueError("out must be a writable, C-contiguous, two-dimensional float64 array")
        elif out.shape != (n, n):
            raise ValueError(f"out must have a row and a column per series: shape={out.shape}, series={n}")
        for i in range(n):
            for j in range(i + 1):
                out[i, j] = out[j, i] = self.correlation(i, j)
        return out

    def mean_correlations(self) -> Doubles:
        """Return the mean correlation of every series with the others, over those that exist."""
        means = []
        for i, row in enumerate(self.matrix().tolist()):
            others = [r for j, r in enumerate(row) if j != i and not math.isnan(r)]
            means.append(math.fsum(others) / len(others) if others else math.nan)
        return np.array(means)


class OptimizedSignalEngine:
    """Signals from the mean correlation of each symbol's last 100 returns with those of the others."""

    def __init__(self, num_symbols: int = 100) -> None:
        symbols = _check_series(num_symbols, "num_symbols")
        self.correlation = RollingCorrelation(symbols, 100)
        self.prices = np.full(symbols, math.nan)

    def generate_signals_vectorized(
        self, prices: npt.ArrayLike, symbol_ids: npt.ArrayLike
    ) -> tuple[npt.NDArray[np.int8], Doubles, int]:
        """Take one tick in and return signals, strengths and the time the call took in ns."""
        start = perf_counter_ns()
        values, ids = _doubles(prices, "prices"), np.asarray(symbol_ids)
        symbols = self.correlation.series
        if ids.ndim != 1 or ids.shape[0] != values.size or values.size == 0:
            raise ValueError(f"prices and symbol_ids must have one length, not 0: prices={values.size}, symbol_ids={ids.shape}")
        if ids.dtype.kind not in "iu":
            raise TypeError(f"symbol_ids must hold integers: dtype={ids.dtype}")
        if int(ids.min()) < 0 or int(ids.max()) >= symbols:
            raise ValueError(f"symbol_ids must be at least 0 and below {symbols}: min={ids.min()}, max={ids.max()}")
        for i, price in enumerate(values):
            if not (math.isfinite(price) and price > 0.0):
                raise ValueError(f"prices must be finite and positive: prices[{i}]={price}")
        seen: set[int] = set()
        for i, symbol in enumerate(ids.tolist()):
            if symbol in seen:
                raise ValueError(f"symbol_ids must not repeat: symbol_ids[{i}]={symbol}")
            seen.add(symbol)

        returns = np.where(np.isnan(self.prices), math.nan, 0.0)
        for symbol, price in zip(ids.tolist(), values.tolist(), strict=True):
            returns[symbol] = price / self.prices[symbol] - 1.0
            self.prices[symbol] = price
        self.correlation.update(returns)

        signals, strengths = np.zeros(ids.size, np.int8), np.zeros(ids.size)
        if self.correlation.count >= 100:
            means = self.correlation.mean_correlations().tolist()
            for k, symbol in enumerate(ids.tolist()):
                mean = means[symbol]
                if not math.isnan(mean):
                    strengths[k] = abs(mean)
                    signals[k] = (mean < -0.5) - (mean > 0.8)
        return signals, strengths, perf_counter_ns() - start
