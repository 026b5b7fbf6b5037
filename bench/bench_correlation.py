"""Rolling correlations: 100 series over 1,000 rows, one new row and the whole matrix per tick, against what recomputes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastcore import _bench
from fastcore.correlation import RollingCorrelation
from fastcore.replaced import OptimizedSignalEngine

from .harness import Bench, main


def run(bench: Bench) -> None:
    """100 series, window 1,000: one new row, and the matrix. 16 ticks a call, for everybody: a tick is one of a run."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=(2_000, 100)) + rng.normal(size=(2_000, 1))
    ours = RollingCorrelation(100, 1_000)
    ours.update_many(x)
    out = np.empty((100, 100))
    expected = np.corrcoef(x[-1_000:], rowvar=False)
    error = float(np.abs(ours.matrix() - expected).max())
    assert error <= 1e-12, error
    ticks = 16
    rows = x[:ticks].copy()
    windows = [x[len(x) - 1_000 - k : len(x) - k] for k in reversed(range(ticks))]

    def run_ticks() -> Any:
        for row in rows:
            ours.update(row)
            ours.matrix(out)
        return out

    def with_numpy() -> Any:
        for recent in windows:
            result = np.corrcoef(recent, rowvar=False)
        return result

    impls: dict[str, tuple[Callable[[], Any], int]] = {
        "fastcore": (run_ticks, ticks),
        "fastcore update only": (lambda: _bench.correlation_stream(ours, rows), ticks),
        "numpy": (with_numpy, ticks),
    }
    pandas = bench.optional("pandas")
    if pandas:
        frames = [pandas.DataFrame(recent) for recent in windows]

        def with_pandas() -> Any:
            for frame in frames:
                result = frame.corr()
            return result.to_numpy()

        impls["pandas"] = (with_pandas, ticks)

    def check(impl: str, result: Any) -> float | None:
        if impl in ("numpy", "pandas"):
            assert np.abs(result - expected).max() <= 1e-10
        return error if impl == "fastcore" else None

    bench.compare("correlation", "correlation of 100 series, window 1,000, per tick", ticks, impls, check)
    engine = OptimizedSignalEngine(100)
    ids, prices = np.arange(100), np.exp(0.01 * x)
    for row in prices[:150]:
        engine.generate_signals_vectorized(row, ids)
    tick_prices = prices[150].copy()
    bench.compare(
        "correlation",
        "signal engine, 100 symbols, per tick",
        1,
        {"fastcore": lambda: engine.generate_signals_vectorized(tick_prices, ids)},
    )


if __name__ == "__main__":
    main(run)
