"""Pre-trade check: every order passes it on its way out, so it must cost a few ns."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from fastcore import _bench
from fastcore.instruments import Instrument
from fastcore.risk import RiskLimits

from .harness import Bench, calls, main

FUTURE = Instrument("ESH6", 0.25, 1.0, increment_ticks=1, multiplier=50.0, currency="USD")
REQUIRED = {"max_order_lots": 100, "max_position_lots": 1000, "collar_ticks": 150}
EVERYTHING = {
    "min_order_lots": 1, "lot_multiple": 1, "last_collar_ticks": 1000, "max_order_value": 1e12, "repeat_ns": 1000, "stale_ns": 10**9,
    "feed_lag_ns": 10**9, "clock_error_ns": 10**9, "require_trading": True, "require_increment": True, "refuse_crossed": True,
    "prevent_self_trade": True, "short_sale": "above_bid", "group": "index", "groups": {"index": (1e12, 1e12)}, "max_gross_value": 1e12,
    "max_net_value": 1e12, "buying_power": 1e12, "max_realised_loss": 1e9, "max_unrealised_loss": 1e9, "max_day_loss": 1e9,
    "max_drawdown": 1e9, "messages_per_second": 10**6, "messages_per_minute": 10**7, "orders_per_trade": 10**6, "max_open_orders": 10**6,
    "max_fills_per_minute": 10**6,
}  # fmt: skip


def run(bench: Bench) -> None:
    n = 20_000 if bench.quick else 200_000
    rng = np.random.default_rng(5)
    sides = rng.choice(np.array([-1, 1]), n)
    sizes = rng.integers(1, 90, n)
    prices = np.where(sides > 0, rng.integers(9_900, 10_001, n), rng.integers(10_001, 10_100, n))

    def loop(settings: dict[str, Any], moves: bool) -> int:
        return _bench.risk_loop(RiskLimits(**REQUIRED, **settings), FUTURE, sides, prices, sizes, 10_000, moves)

    def numpy() -> int:
        return int(((sizes > 0) & (prices > 0) & (sizes <= 100) & (sizes <= 1000) & (abs(prices - 10_000) <= 150)).sum())

    def check(impl: str, result: object) -> float:
        assert result == n
        return 0.0

    bench.compare(
        "risk",
        "check in a compiled loop",
        n,
        {
            "all checks": partial(loop, EVERYTHING, False),
            "three checks": partial(loop, {}, False),
            "all checks, bounds made anew for each": partial(loop, EVERYTHING, True),
            "three checks, bounds made anew for each": partial(loop, {}, True),
            "numpy, three checks": numpy,
        },
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
