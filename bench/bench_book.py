"""The order books: every displayed order, or every price level, of a symbol, updated once for each message of the feed.

``apply`` takes decoded events in batches; ``apply with quotes`` also writes a quote for every change at the top;
``itch bytes to book`` is the whole way from the wire in one compiled loop, as the engine runs it. The synthetic day is the
one that anybody can make; the AMZN day (233,939 messages, repeated to 10^7) needs FASTCORE_TEST_DATA. The books by level get what
the orders of the same day do to the levels (``apply_levels``), and must show the same depth. ``snapshot`` and ``depth_into`` are a
call each. ``level events and tops`` stands beside the least that a book can do: a C loop without a check, whose prices are known to
stay in one array (`_bench.l2_floor`).
"""

import gzip
import os
from pathlib import Path
from typing import Any

import numpy as np

from fastcore import _bench
from fastcore.book import LEVEL_DTYPE, LevelBook, OrderBook, OrderTable
from fastcore.records import EVENT_DTYPE, KINDS, QUOTE_DTYPE
from fastcore.reference import book as twin
from fastcore.wire.itch import ItchDecoder
from hft.feeds.synthetic import generate, generate_events

from .harness import Bench, main

CHUNK = 4_096


def measure(bench: Bench, day: str, raw: bytes, events: Any, repeat: int) -> None:
    n = len(events)
    slow = min(n, 1_000 if bench.quick else 10_000)
    reference = OrderBook()
    reference.apply(events)
    expected = reference.state_hash()
    book = OrderBook()
    quotes = np.zeros(CHUNK, QUOTE_DTYPE)

    def apply() -> int:
        book.clear()
        for start in range(0, n, CHUNK):
            book.apply(events[start : start + CHUNK])
        return book.state_hash()

    def apply_quotes() -> int:
        book.clear()
        for start in range(0, n, CHUNK):
            book.apply_into(events[start : start + CHUNK], quotes)
        return book.state_hash()

    def apply_twin() -> int:
        b = twin.OrderBook()
        b.apply(events[:slow])
        return b.state_hash()

    def from_bytes() -> int:
        decoder = ItchDecoder()
        for _ in range(repeat):
            book.clear()
            _, failed = _bench.itch_to_book(decoder, book, raw)
            assert failed == 0
        return book.state_hash()

    head = OrderBook()
    head.apply(events[:slow])

    def check(impl: str, result: int) -> None:
        assert result == (head.state_hash() if impl == "python" else expected), impl

    bench.compare("book", f"apply, {day}", n, {"fastcore": apply, "python": (apply_twin, slow)}, check)
    bench.compare("book", f"apply with quotes, {day}", n, {"fastcore": apply_quotes}, check)
    bench.compare("book", f"itch bytes to book, {day}", n * repeat, {"fastcore": from_bytes}, check)


def measure_levels(bench: Bench, day: str, events: Any) -> None:
    levels = np.zeros(2 * len(events), EVENT_DTYPE)
    orders = OrderBook()
    levels = levels[: orders.apply_levels(events, levels)].copy()
    n, slow = len(levels), min(len(levels), 1_000 if bench.quick else 10_000)
    book = LevelBook()
    quotes = np.zeros(CHUNK, QUOTE_DTYPE)
    top = np.zeros((2, 10), LEVEL_DTYPE)

    def apply() -> None:
        book.clear()
        for start in range(0, n, CHUNK):
            book.apply(levels[start : start + CHUNK])

    def apply_quotes() -> None:
        book.clear()
        for start in range(0, n, CHUNK):
            book.apply_into(levels[start : start + CHUNK], quotes)

    def apply_twin() -> None:
        twin.LevelBook().apply_into(levels[:slow], np.zeros(slow, QUOTE_DTYPE))

    def check(impl: str, result: None) -> None:
        if impl == "fastcore":
            for a, b in zip(book.depth(), orders.depth(), strict=True):
                assert a[["price", "size"]].tolist() == b[["price", "size"]].tolist()

    def depth() -> None:
        for _ in range(100):
            book.depth_into(top)

    bench.compare("book", f"level events, {day}", n, {"fastcore": apply}, check)
    bench.compare(
        "book", f"level events with quotes, {day}", n, {"fastcore": apply_quotes, "python": (apply_twin, slow)}, check
    )
    bench.compare("book", "depth of 10 levels into an array", 100, {"fastcore": depth}, lambda impl, r: check("fastcore", None))
    bench.compare("book", f"snapshot of {len(orders):,} orders", len(orders), {"fastcore": orders.snapshot})


def measure_wide(bench: Bench) -> None:
    """100,000 levels a side, each as likely to change as any other."""
    levels = 10_000 if bench.quick else 100_000
    random = np.random.default_rng(2)
    rows = np.zeros(2 * levels, EVENT_DTYPE)
    rows["side"] = np.repeat([1, -1], levels)
    rows["price"] = 100_000_000 - rows["side"] * 100 * np.tile(np.arange(1, levels + 1), 2)
    rows["kind"], rows["size"], rows["order_id"] = KINDS["add"], 100, np.arange(1, 2 * levels + 1)
    rows = random.permutation(rows)
    deletes = rows.copy()
    deletes["kind"] = KINDS["delete"]
    turns = random.permutation(2 * levels)
    changes = np.stack([deletes[turns], rows[turns]], axis=1).reshape(-1)
    orders = OrderBook()
    orders.apply(rows)

    def by_order() -> tuple[int, int]:
        orders.apply(changes)
        return orders.levels

    rows["kind"], deletes["kind"], deletes["size"] = KINDS["level"], KINDS["level"], 0
    sets = np.stack([deletes[turns], rows[turns]], axis=1).reshape(-1)
    totals = LevelBook()
    totals.apply(rows)

    def by_level() -> tuple[int, int]:
        totals.apply(sets)
        return totals.levels

    def check(impl: str, result: tuple[int, int]) -> None:
        assert result == (levels, levels)
        assert set(orders.counts) == set(totals.counts) == {"ok"}

    bench.compare("book", f"orders, {levels:,} levels a side", len(changes), {"fastcore": by_order}, check)
    bench.compare("book", f"level events, {levels:,} levels a side", len(sets), {"fastcore": by_level}, check)


def measure_floor(bench: Bench) -> None:
    """Apply level and trade events near the top and look at each top that has changed; the floor is a book in C without a check."""
    events = _bench.l2_events(100_000 if bench.quick else 1_000_000)
    n = len(events)
    book = LevelBook()

    def apply() -> tuple[int, int]:
        book.clear()
        touches, check = _bench.book_tops(book, events)
        return touches, check

    def floor(row: str) -> tuple[int, int]:
        result = _bench.l2_floor(row, events)
        return result["touches"], result["check"]

    expected = floor("a")

    def check(impl: str, result: tuple[int, int]) -> None:
        assert result == expected, impl

    impls = {"fastcore": apply, "C, no checks": lambda: floor("a"), "C, from a source": lambda: floor("b")}
    bench.compare("book", "level events and tops, ten levels a side", n, impls, check)


def run(bench: Bench) -> None:
    messages = 100_000 if bench.quick else 1_000_000
    measure(bench, "synthetic day", generate(messages), generate_events(messages), 1)
    measure_levels(bench, "synthetic day", generate_events(messages))

    # A deep book: 200,000 live orders in one table, then adds and deletes of random ones.
    live = 20_000 if bench.quick else 200_000
    random = np.random.default_rng(1)
    adds = np.zeros(live, EVENT_DTYPE)
    adds["kind"], adds["size"] = KINDS["add"], 100
    adds["order_id"] = np.arange(1, live + 1) * 3
    adds["side"] = np.where(np.arange(live) % 2, 1, -1)
    adds["price"] = 1_000_000 + adds["side"] * -100 * random.geometric(0.002, live)
    deletes = random.permutation(adds)
    deletes["kind"] = KINDS["delete"]
    deep = OrderBook(orders=OrderTable(live + 1))
    deep.apply(adds)
    mixed = np.stack([deletes, adds[np.argsort(random.random(live))]], axis=1).reshape(-1)
    mixed["order_id"][1::2] = mixed["order_id"][::2] + 1

    back = mixed.copy()
    back["order_id"][::2] += 1
    back["order_id"][1::2] -= 1

    def churn() -> int:
        a = deep.apply(mixed)
        b = deep.apply(back)
        assert set(a) == set(b) == {"ok"}
        return len(deep)

    bench.compare(
        "book", f"add and delete among {live:,} live orders", 4 * live, {"fastcore": churn}, lambda impl, r: _same(r, live)
    )

    measure_wide(bench)
    measure_floor(bench)

    folder = os.environ.get("FASTCORE_TEST_DATA")
    if folder:
        raw = gzip.decompress((Path(folder) / "itch/AMZN_2012-06-21_L5.itch.gz").read_bytes())
        out = np.zeros(240_000, EVENT_DTYPE)
        n, _ = ItchDecoder(strict=True).decode(raw, out, final=True)
        measure(bench, "AMZN 2012-06-21", raw, out[:n], 1 if bench.quick else 43)


def _same(a: object, b: object) -> None:
    assert a == b


if __name__ == "__main__":
    main(run)
