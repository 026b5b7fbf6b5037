"""Volatility: one update per quote of the chosen symbol, so it must cost no more than the call."""

from __future__ import annotations

import numpy as np

from fastcore import _bench
from fastcore.flow import EwmaVolatility
from fastcore.reference import flow as twin

from .harness import Bench, calls, main


def run(bench: Bench) -> None:
    n = 10_000
    prices = (100.0 + np.cumsum(np.random.default_rng(1).normal(scale=0.01, size=n))).tolist()
    ours, theirs = EwmaVolatility(half_life=100.0), twin.EwmaVolatility(half_life=100.0)
    for price in prices:
        ours.update(price)
        theirs.update(price)
    assert abs(ours.variance / theirs.variance - 1.0) < 1e-12
    bench.compare(
        "flow",
        "EwmaVolatility.update from Python",
        n,
        {
            "fastcore": calls("f(100.5)", n, f=ours.update),
            "empty call": calls("f(100.5)", n, f=_bench.Empty().one_float),
            "python": calls("f(100.5)", n, f=theirs.update),
        },
    )


if __name__ == "__main__":
    main(run)
