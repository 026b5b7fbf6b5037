"""What a strategy costs in each tier: an empty hook, one that reads, and the market maker of ``hft init`` in Python, Numba and Cython.

Net: nanoseconds of the loop for each call of ``on_book``, less those of the same run with a strategy that is never called. The GIL is held by
strategies in Python. The makers send the same orders, which is verified; "fastcore" is the one in Cython, built here where there is a compiler.
"""

from __future__ import annotations

import ctypes
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import hft
from fastcore.strategies.foreign import ForeignStrategy
from hft.config import ConfigError
from hft.feeds import synthetic
from hft.loading import load_strategy
from hft.project import create

from .harness import OURS, Bench, main


class Empty(hft.Strategy):
    def on_book(self, m: Any) -> None:
        pass


class Reads(hft.Strategy):
    def on_book(self, m: Any) -> None:
        m.bid  # noqa: B018
        m.ask  # noqa: B018
        m.bid_size  # noqa: B018
        m.ask_size  # noqa: B018
        m.position  # noqa: B018


class Nothing(hft.NativeStrategy):
    """A strategy whose market is watched and that is never called."""

    def core(self, markets: Any) -> ForeignStrategy:
        return ForeignStrategy(ctypes.pythonapi.Py_IsInitialized, list(markets), hooks=())


class Counts(hft.Strategy):
    def on_start(self) -> None:
        self.calls = 0

    def on_book(self, m: Any) -> None:
        self.calls += 1


# What Numba would drop is added up.
class ReadsAndAdds(hft.Strategy):
    def on_start(self) -> None:
        self.sum = 0.0

    def on_book(self, m: Any) -> None:
        bid, ask = m.bid, m.ask
        if bid is not None and ask is not None:
            self.sum += bid + ask + m.bid_size + m.ask_size + m.position


def run(bench: Bench) -> None:
    with tempfile.TemporaryDirectory() as directory:
        measure(bench, Path(directory))


def makers(bench: Bench, directory: Path) -> dict[str, hft.Strategy]:
    """The maker of ``hft init`` in every tier that is there."""
    found = {}
    for tier, impl, needs in (("cython", OURS, "Cython"), ("numba", "numba", "numba"), ("python", "python", "hft")):
        if bench.optional(needs) is not None:
            create(directory / tier, tier)
            try:
                found[impl] = load_strategy(str(directory / tier / "strategy.py"))
            except ConfigError as error:  # no compiler
                print(error, file=sys.stderr)
                bench.missing.append("a C compiler")
    return found


def measure(bench: Bench, directory: Path) -> None:
    day = directory / "day.itch"
    day.write_bytes(synthetic.generate(20_000, 1))  # short, so that some runs are not interrupted by others on the machine
    counter = Counts()
    hft.backtest(counter, day)
    calls = counter.calls
    compiled = hft.compiled if bench.optional("numba") is not None else None
    rows: dict[tuple[str, str], hft.Strategy] = {("empty on_book", "python"): Empty()}
    rows["bid, ask, sizes and position", "python"] = Reads()
    if compiled is not None:
        rows["empty on_book", "numba"] = compiled(Empty)()
        rows["bid, ask, sizes and position", "numba"] = compiled(ReadsAndAdds)()
    rows |= {("market maker", impl): strategy for impl, strategy in makers(bench, directory).items()}
    floor: list[float] = []
    took: dict[tuple[str, str], list[float]] = {row: [] for row in rows}
    hashes = {}
    nothing = Nothing()
    for _ in range(3 if bench.quick else 100):
        floor.append(hft.backtest(nothing, day).engine.loop_ns / calls)
        for row, strategy in rows.items():
            result = hft.backtest(strategy, day)
            took[row].append(result.engine.loop_ns / calls)
            hashes[row] = result.orders_hash
    assert len({value for row, value in hashes.items() if row[0] == "market maker"}) == 1, hashes
    for (name, impl), times in took.items():
        net = [max(time - least, 0.0) for time, least in zip(sorted(times), sorted(floor), strict=True)]
        bench.add("strategies", name, impl, net[0], median(net), calls)


if __name__ == "__main__":
    main(run)
