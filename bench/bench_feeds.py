"""Feeds of text and the merging of feeds: what research data cost before the first event.

The files are made up in the forms of the real ones: trades and quotes as CSV, a LOBSTER pair of 5 levels. ``pyarrow`` and ``pandas`` only parse
the file; ours also makes events of it: ticks, times, checks of every value.
"""

import heapq
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from fastcore.instruments import Instrument, Instruments
from fastcore.records import EVENT_DTYPE, KINDS
from hft.feeds.feed import Feed
from hft.feeds.merge import merge

from .harness import Bench, main


class Arrays(Feed):
    """Events in memory as a feed."""

    format = "arrays"

    def __init__(self, events: Any) -> None:
        super().__init__("arrays", instruments=Instruments([Instrument("SYN", 1e-4, 1.0)]))
        self.events = events

    def _arrays(self) -> Any:
        for start in range(0, len(self.events), 65_536):
            yield self.events[start : start + 65_536]


def run(bench: Bench) -> None:
    n = 20_000 if bench.quick else 500_000
    rng = np.random.default_rng(1)
    _merging(bench, n, rng)
    arrow = bench.optional("pyarrow")
    if arrow is None:
        return
    with tempfile.TemporaryDirectory() as folder:
        _trades(bench, Path(folder), n, rng)
        _quotes(bench, Path(folder), n, rng)
        _lobster(bench, Path(folder), n // 5, rng)


def _trades(bench: Bench, folder: Path, n: int, rng: Any) -> None:
    """Our reader finds tick and lot in a pass of its own, which ``pyarrow`` lacks. Both parse on one thread; ours makes events on another."""
    from hft.feeds.csv import CsvFeed

    price, size = 4_000_000 + np.cumsum(rng.integers(-2, 3, n)), rng.integers(1, 10**6, n)
    columns = (1_700_000_000_000_000 + np.cumsum(rng.integers(0, 2_000, n)), price / 100, size / 1000, rng.integers(0, 2, n))
    path = folder / "trades.csv"
    with path.open("w") as file:
        file.write("timestamp,price,size,side\n")
        for t, p, s, b in zip(*(column.tolist() for column in columns), strict=True):  # the input, not what is measured
            file.write(f"{t},{p:.2f},{s:.3f},{'buy' if b else 'sell'}\n")
    csv = bench.optional("pyarrow.csv")
    assert csv is not None

    def ours(**sizes: float) -> Any:
        return sum(int(e["price"].sum()) for e in CsvFeed(path, **sizes))

    impls = {
        "fastcore": ours,
        "fastcore, tick and lot given": lambda: ours(tick_size=0.01, lot_size=0.001),
        "pyarrow": lambda: csv.read_csv(path, csv.ReadOptions(use_threads=False)).num_rows,
    }

    def check(impl: str, result: Any) -> None:
        assert result == (n if impl == "pyarrow" else int(price.sum())), (impl, result)

    bench.compare("feeds", "trades in CSV, a row", n, impls, check)


def _quotes(bench: Bench, folder: Path, n: int, rng: Any) -> None:
    from hft.feeds.csv import CsvFeed

    bid = 139_000 + np.cumsum(rng.integers(-2, 3, n))
    path = folder / "eurusd_20140508.csv"
    times = np.sort(rng.integers(0, 86_400_000, n))
    path.write_text("".join(f"{t},{b / 1e5:.5f},{(b + 2) / 1e5:.5f}\n" for t, b in zip(times.tolist(), bid.tolist(), strict=True)))
    csv = bench.optional("pyarrow.csv")
    pandas = bench.optional("pandas")
    assert csv is not None

    def ours() -> Any:
        return sum(int(e["price"].sum()) for e in CsvFeed(path, tick_size=1e-5))

    names = ["time", "bid", "ask"]
    impls: dict[str, Any] = {
        "fastcore": ours,
        "pyarrow": lambda: csv.read_csv(path, csv.ReadOptions(column_names=names, use_threads=False)).num_rows,
    }
    if pandas is not None:
        impls["pandas"] = lambda: len(pandas.read_csv(path, names=names))

    def check(impl: str, result: Any) -> None:
        assert result == (int(bid.sum()) if impl == "fastcore" else n), (impl, result)

    bench.compare("feeds", "quotes in CSV, a row", n, impls, check)


def _lobster(bench: Bench, folder: Path, n: int, rng: Any) -> None:
    from hft.feeds.lobster import LobsterFeed

    # One level of one side changes its size with each message; now and then the best one moves by a tick.
    levels = 5
    best = 1_000_000 + 100 * np.cumsum(rng.random(n) < 0.2) * 1
    rows = np.zeros((n, levels, 4), np.int64)
    sizes = rng.integers(1, 1000, (levels, 2))
    sides = rng.integers(0, 2, n)
    which = rng.integers(0, levels, n)
    for i in range(levels):
        rows[:, i, 0], rows[:, i, 2] = best + 100 * (i + 1), best - 100 * i
    fresh = rng.integers(1, 1000, n)
    for i in range(n):  # the input, not what is measured
        sizes[which[i], sides[i]] = fresh[i]
        rows[i, :, 1], rows[i, :, 3] = sizes[:, 0], sizes[:, 1]
    name = "SYN_2012-06-21_34200000_57600000_{}_5.csv"
    messages = folder / name.format("message")
    messages.write_text("".join(f"{34_200 + i / 1000:.9f},1,{i},{s},{p},1\n" for i, (s, p) in enumerate(zip(fresh, best, strict=True))))
    np.savetxt(folder / name.format("orderbook"), rows.reshape(n, -1), fmt="%d", delimiter=",")
    csv = bench.optional("pyarrow.csv")
    assert csv is not None

    def parse() -> int:
        total = 0
        for kind in ("message", "orderbook"):
            total += csv.read_csv(folder / name.format(kind), csv.ReadOptions(autogenerate_column_names=True, use_threads=False)).num_rows
        return total // 2

    def ours() -> int:
        feed = LobsterFeed(messages, date=date(2012, 6, 21))
        for _ in feed:
            pass
        return sum(feed.messages.values())

    def check(impl: str, result: Any) -> None:
        assert result == n, (impl, result)

    bench.compare("feeds", "LOBSTER, 5 levels, a row", n, {"fastcore": ours, "pyarrow": parse}, check)


def _merging(bench: Bench, n: int, rng: Any) -> None:
    feeds = []
    for _ in range(2):
        events = np.zeros(n, EVENT_DTYPE)
        events["exch_ns"] = np.sort(rng.integers(0, n * 1000, n))
        events["kind"] = KINDS["quote"]
        feeds.append(events)
    expected = np.sort(np.concatenate([e["exch_ns"] for e in feeds]), kind="stable")
    slow = n // 20

    def ours() -> Any:
        return [e["exch_ns"][-1] for e in merge(*(Arrays(e) for e in feeds))]

    def with_numpy() -> Any:
        both = np.concatenate(feeds)
        return both[np.argsort(both["exch_ns"], kind="stable")]

    def with_heapq() -> Any:
        return list(heapq.merge(*(e["exch_ns"][:slow].tolist() for e in feeds)))

    def check(impl: str, result: Any) -> None:
        if impl == "fastcore":
            assert result[-1] == expected[-1]
            merged = np.concatenate(list(merge(*(Arrays(e) for e in feeds))))
            assert (merged["exch_ns"] == expected).all()

    bench.compare(
        "feeds",
        "merge of two, an event",
        2 * n,
        {"fastcore": ours, "numpy, in memory": with_numpy, "heapq, times alone": (with_heapq, 2 * slow)},
        check,
    )


if __name__ == "__main__":
    main(run)
