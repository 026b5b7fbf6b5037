"""Fill accounting: once per fill in the loop, and over whole journals in reports; exact integers."""

from __future__ import annotations

from functools import partial

import numpy as np

from fastcore import _bench
from fastcore.portfolio import Portfolio, Position
from fastcore.records import EVENT_DTYPE, KINDS
from fastcore.reference import portfolio as twin

from .harness import Bench, calls, main


def run(bench: Bench) -> None:
    n = 20_000 if bench.quick else 200_000
    rng = np.random.default_rng(3)
    sides = rng.choice(np.array([-1, 1]), n)
    prices, sizes = rng.integers(900_000, 1_100_000, n), rng.integers(1, 500, n)
    events = np.zeros(n, EVENT_DTYPE)
    events["kind"], events["side"], events["price"], events["size"] = KINDS["fill"], sides, prices, sizes
    m = n // 20
    rows = list(zip(sides[:m].tolist(), prices[:m].tolist(), sizes[:m].tolist(), strict=True))

    def apply() -> int:
        p = Portfolio(1)
        p.apply(events)
        return p[0].net(int(prices[-1]))

    def python() -> int:
        p = twin.Position()
        for row in rows:
            p.fill(*row)
        return p.net(rows[-1][1])

    def cash(count: int) -> int:
        signed = sides[:count] * sizes[:count]
        return int(-(signed * prices[:count]).sum() + signed.sum() * prices[count - 1])

    def check(impl: str, result: object) -> float:
        assert result == cash(m if impl == "python" else n)
        return 0.0

    bench.compare(
        "portfolio",
        "fill in a compiled loop",
        n,
        {
            "fastcore": partial(_bench.position_loop, sides, prices, sizes),
            "Portfolio.apply of events": apply,
            "python": (python, m),
        },
        check,
    )
    bench.compare(
        "portfolio",
        "fill from Python",
        n,
        {
            "fastcore": calls("fill(1, 100, 5); fill(-1, 101, 5)", n // 2, fill=Position().fill),
            "python": calls("fill(1, 100, 5); fill(-1, 101, 5)", n // 2, fill=twin.Position().fill),
        },
    )


if __name__ == "__main__":
    main(run)
