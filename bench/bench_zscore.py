"""Rolling z-scores: a signal is recomputed on every tick, so this is the statistics of the hot path.

Batch: the z-score of every window of 100 points, over 10,000 and 1,000,000 points, against the ways it is done in Python
today. Every row carries its largest error against 50-digit arithmetic, on three series: a random walk, tiny variance at a high
level (100,000 with noise of 0.0001), and a fat print (100 with noise of 0.001, one point 10% off); with 1,000,000 points, the
peers' error is against ours, and ours is that of the last 2,000 points. Streaming: one point at a time, from Python and from a
compiled loop. Pairs: 1,000 pairs per tick.
Slow peers process fewer points.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from fastcore import _bench, replaced, zscore
from fastcore.reference.zscore import exact_zscore

from .harness import Bench, calls, main

Doubles = npt.NDArray[np.float64]
WINDOW = 100


def walk(n: int, seed: int = 1) -> Doubles:
    """Return prices near 100 that move by 0.01."""
    steps: Doubles = np.random.default_rng(seed).normal(scale=0.01, size=n)
    return 100.0 + np.cumsum(steps)


def cases(n: int) -> dict[str, Doubles]:
    """Return the three series of `n` points."""
    fat: Doubles = 100.0 + np.random.default_rng(3).normal(scale=1e-3, size=n)
    fat[n // 2] *= 1.1
    tiny: Doubles = 1e5 + np.random.default_rng(2).normal(scale=1e-4, size=n)
    return {"walk": walk(n), "tiny variance": tiny, "fat print": fat}


# ---- the peers ----


def python_naive(x: list[float], window: int) -> list[float]:
    """Every window anew, as in the engine that this package replaces."""
    result = []
    for i in range(window - 1, len(x)):
        points = x[i - window + 1 : i + 1]
        mean = sum(points) / window
        std = math.sqrt(sum((p - mean) ** 2 for p in points) / window)
        result.append((points[-1] - mean) / std if std > 0 else 0.0)
    return result


def python_online(x: list[float], window: int) -> list[float]:
    """Running sum and sum of squares."""
    result = []
    total = squares = 0.0
    for i, point in enumerate(x):
        total += point
        squares += point * point
        if i >= window:
            old = x[i - window]
            total -= old
            squares -= old * old
        if i >= window - 1:
            mean = total / window
            var = squares / window - mean * mean
            result.append((point - mean) / math.sqrt(var) if var > 0 else math.nan)
    return result


def numpy_windows(x: Doubles, window: int) -> Doubles:
    """Return z-scores from a view of all windows."""
    w = np.lib.stride_tricks.sliding_window_view(x, window)
    z: Doubles = (x[window - 1 :] - w.mean(1)) / w.std(1)
    return z


def numba_peers(numba: Any) -> dict[str, Callable[[Doubles, int], Doubles]]:
    """Return the three loops that people write, compiled by Numba."""

    @numba.njit  # type: ignore[untyped-decorator]
    def naive(x: Any, window: Any) -> Any:
        out = np.empty(len(x) - window + 1)
        for i in range(len(out)):
            total = 0.0
            for j in range(window):
                total += x[i + j]
            mean = total / window
            var = 0.0
            for j in range(window):
                var += (x[i + j] - mean) ** 2
            std = math.sqrt(var / window)
            out[i] = (x[i + window - 1] - mean) / std if std > 0 else 0.0
        return out

    @numba.njit  # type: ignore[untyped-decorator]
    def online(x: Any, window: Any) -> Any:
        out = np.empty(len(x) - window + 1)
        total = squares = 0.0
        for i in range(len(x)):
            total += x[i]
            squares += x[i] * x[i]
            if i >= window:
                total -= x[i - window]
                squares -= x[i - window] * x[i - window]
            if i >= window - 1:
                mean = total / window
                var = squares / window - mean * mean
                out[i - window + 1] = (x[i] - mean) / math.sqrt(var) if var > 0 else np.nan
        return out

    @numba.njit(parallel=True, fastmath=True)  # type: ignore[untyped-decorator]
    def parallel(x: Any, window: Any) -> Any:
        out = np.empty(len(x) - window + 1)
        for i in numba.prange(len(out)):
            total = 0.0
            for j in range(window):
                total += x[i + j]
            mean = total / window
            var = 0.0
            for j in range(window):
                var += (x[i + j] - mean) ** 2
            out[i] = (x[i + window - 1] - mean) / math.sqrt(var / window)
        return out

    return {"numba": naive, "numba online": online, "numba parallel fastmath": parallel}


def peers(bench: Bench) -> dict[str, tuple[Callable[[Doubles, int], Any], int]]:
    """Return (function, points it processes at most) by name; each returns one value per full window, perhaps after NaN."""
    found: dict[str, tuple[Callable[[Doubles, int], Any], int]] = {
        "fastcore": (zscore.rolling_zscore, 10**9),
        "c": (c_sliding, 10**9),
        "python": (lambda x, w: python_naive(x.tolist(), w), 2_000),
        "python online": (lambda x, w: python_online(x.tolist(), w), 10_000),
        "numpy": (numpy_windows, 100_000),
    }
    numba = bench.optional("numba")
    if numba:
        limits = {"numba": 100_000, "numba online": 10**9, "numba parallel fastmath": 10**9}
        found |= {name: (f, limits[name]) for name, f in numba_peers(numba).items()}
    pandas = bench.optional("pandas")
    if pandas:

        def with_pandas(x: Doubles, window: int) -> Any:
            series = pandas.Series(x)
            rolling = series.rolling(window)
            return ((series - rolling.mean()) / rolling.std(ddof=0)).to_numpy()

        found["pandas"] = (with_pandas, 10**9)
    bottleneck = bench.optional("bottleneck")
    if bottleneck:
        found["bottleneck"] = (
            lambda x, w: (x - bottleneck.move_mean(x, w)) / bottleneck.move_std(x, w),
            10**9,
        )
    polars = bench.optional("polars")
    if polars:

        def with_polars(x: Doubles, window: int) -> Any:
            series = polars.Series(x)
            return ((series - series.rolling_mean(window)) / series.rolling_std(window, ddof=0)).to_numpy()

        found["polars"] = (with_polars, 10**9)
    return found


def c_sliding(x: Doubles, window: int) -> Doubles:
    """Return z-scores of the textbook loop in C."""
    out = np.empty(len(x) - window + 1)
    _bench.zscore_sliding(x, window, out)
    return out


# ---- what is measured ----


def largest_error(result: Any, exact: Doubles) -> float:
    """Return the largest difference over the full windows; NaN or infinity counts as infinite."""
    z = np.asarray(result, np.float64)[-len(exact) :]
    with np.errstate(invalid="ignore"):
        error = np.abs(z - exact)
    return float(np.where(np.isfinite(error), error, np.inf).max())


def batch(bench: Bench) -> None:
    """Rolling z-score of every window of 100 points."""
    functions = peers(bench)
    # The accuracy of each, on each series, is a property of its own: 10,000 points, 2,000 for the slowest.
    exact = {name: exact_zscore(x, WINDOW) for name, x in cases(10_000).items()}
    sizes = (10_000,) if bench.quick else (10_000, 1_000_000)
    for n in sizes:
        for case, x in cases(n).items():
            if n > 10_000 and case != "walk":
                continue
            impls: dict[str, tuple[Callable[[], Any], int]] = {}
            for impl, (function, most) in functions.items():
                # The middle, so that short pieces meet the fat print too.
                m = min(n, most)
                part = x[(n - m) // 2 : (n - m) // 2 + m].copy()
                impls[impl] = (partial(function, part, WINDOW), m)
            out = np.empty(n - WINDOW + 1)
            impls["fastcore out="] = (partial(zscore.rolling_zscore, x, WINDOW, out=out), n)

            def check(impl: str, result: Any, case: str = case, n: int = n, x: Doubles = x) -> float | None:
                values = len(np.asarray(result)) if impl in ("pandas", "bottleneck", "polars") else len(result) + WINDOW - 1
                if n == 10_000:
                    start = (n - values) // 2
                    error = largest_error(result, exact[case][start : start + values - WINDOW + 1])
                else:  # against ours, which the small case holds to 50 digits
                    start = (n - values) // 2
                    error = largest_error(result, zscore.rolling_zscore(x[start : start + values], WINDOW))
                    if impl.startswith("fastcore"):
                        tail = exact_zscore(x[-2_000:], WINDOW)
                        error = largest_error(result, tail)
                if impl.startswith("fastcore"):
                    assert error <= (1e-8 if case == "fat print" else 1e-11), (impl, case, error)
                return error

            bench.compare("zscore", f"rolling z-score, window 100, n={n:,}, {case}", n, impls, check)


def streaming(bench: Bench) -> None:
    """One point at a time."""
    x = walk(20_000)
    expected = exact_zscore(x[-109:], WINDOW)
    compiled = zscore.RollingZScore(WINDOW)

    def check(impl: str, result: Any) -> float | None:
        if impl != "fastcore":
            return None
        error = abs(float(result) - float(expected.sum()))
        assert error <= 1e-10, error
        return error

    bench.compare(
        "zscore", "streaming update, compiled loop", len(x), {"fastcore": lambda: _bench.zscore_stream(compiled, x)}, check
    )
    ours, pair = zscore.RollingZScore(WINDOW), zscore.PairZScore(WINDOW)
    ours.update_many(x)
    window: deque[float] = deque(x[-WINDOW:].tolist(), maxlen=WINDOW)

    def python_update(value: float) -> float:
        window.append(value)
        mean = sum(window) / WINDOW
        std = math.sqrt(sum((p - mean) ** 2 for p in window) / WINDOW)
        return (value - mean) / std if std > 0 else 0.0

    bench.compare(
        "zscore",
        "streaming update, from Python",
        10_000,
        {
            "fastcore": calls("update(100.5)", 10_000, update=ours.update),
            "fastcore pair": calls("update(100.5, 99.5)", 10_000, update=pair.update),
            "empty call": calls("call(100.5)", 10_000, call=_bench.Empty().one_float),
            "python": (calls("update(100.5)", 200, update=python_update), 200),
        },
    )


def pairs(bench: Bench) -> None:
    """1,000 pairs of 500 symbols, one tick at a time."""
    rng = np.random.default_rng(3)
    index = rng.integers(0, 500, size=(1_000, 2))
    index[:, 1] = (index[:, 0] + 1 + index[:, 1] % 499) % 500
    ticks = 100.0 + np.cumsum(rng.normal(scale=0.01, size=(300, 500)), 0)
    many = zscore.PairSet(index, WINDOW, 1.5)
    for tick in ticks:
        many.update(tick)
    ring = np.ascontiguousarray(ticks[-128:].T)
    newest = ticks[-1].copy()

    def with_numpy() -> Any:
        recent = ring[:, -WINDOW:]
        spreads = recent[index[:, 0]] - recent[index[:, 1]]
        z = (spreads[:, -1] - spreads.mean(1)) / spreads.std(1)
        return (z > 1.5).astype(np.int8) - (z < -1.5).astype(np.int8)

    expected = with_numpy()

    def check(impl: str, result: Any) -> None:
        if impl != "fastcore":  # the repeated ticks of the timing change the streaming windows
            assert np.array_equal(result, expected), impl

    assert np.array_equal(many.signals, expected)
    bench.compare(
        "zscore",
        "1,000 pairs per tick, window 100",
        1_000,
        {
            "fastcore": lambda: many.update(newest),
            "fastcore zscore_batch": lambda: replaced.zscore_batch(ring, 128, index, WINDOW, 1.5),
            "numpy": with_numpy,
        },
        check,
    )


def run(bench: Bench) -> None:
    """Run all parts."""
    batch(bench)
    streaming(bench)
    pairs(bench)


if __name__ == "__main__":
    main(run)
