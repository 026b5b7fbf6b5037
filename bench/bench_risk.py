"""Pre-trade check: every order passes it on its way out, so it must cost a few ns."""

from __future__ import annotations

from functools import partial

import numpy as np

from fastcore import _bench
from fastcore.risk import RiskLimits

from .harness import Bench, calls, main


def run(bench: Bench) -> None:
    n = 20_000 if bench.quick else 200_000
    rng = np.random.default_rng(5)
    sides = rng.choice(np.array([-1, 1]), n)
    prices, sizes = rng.integers(9_800, 10_200, n), rng.integers(1, 120, n)
    passed = int(((sizes <= 100) & (abs(prices - 10_000) <= 150)).sum())

    def numpy() -> int:
        return int(((sizes > 0) & (prices > 0) & (sizes <= 100) & (sizes <= 1000) & (abs(prices - 10_000) <= 150)).sum())

    def check(impl: str, result: object) -> float:
        assert result == passed
        return 0.0

    bench.compare(
        "risk",
        "check in a compiled loop",
        n,
        {"fastcore": partial(_bench.risk_loop, 100, 1000, 150, sides, prices, sizes, 10_000), "numpy": numpy},
        check,
    )
    expression = "check(1, 10_000, 5, 0, 10, 10, 10_001)"
    bench.compare(
        "risk",
        "check from Python",
        n,
        {
            "fastcore": calls(expression, n, check=RiskLimits(100, 1000, 150).check),
            "empty call": calls("f()", n, f=_bench.Empty().none),
        },
    )


if __name__ == "__main__":
    main(run)
