"""Simulated venue: every event of the traded symbol passes it, so two resting orders must cost a few ns."""

from __future__ import annotations

from functools import partial
from typing import Any

from fastcore import _bench, book
from fastcore.records import BUY, KINDS, SELL
from fastcore.reference import book as book_twin
from fastcore.reference import venue as twin
from fastcore.sim import venue as compiled

from .harness import Bench, main

BID, ASK = 1_000_000, 1_000_200


def venue_with_orders(books: Any, venues: Any) -> tuple[Any, Any]:
    """A book with a queue at both prices, and a venue with an order behind each."""
    b, v = books.OrderBook(), venues.Venue()
    b.add(1, BUY, BID, 10**12)
    b.add(2, SELL, ASK, 10**12)
    v.submit(b, BUY, BID, 100)
    v.submit(b, SELL, ASK, 100)
    v.take_reports()
    return b, v


def run(bench: Bench) -> None:
    n = 20_000 if bench.quick else 1_000_000
    few = n // 100

    def python_apply() -> int:
        _, v = venue_with_orders(book_twin, twin)
        for i in range(few):
            kind = KINDS["add"] if i & 2 else KINDS["cancel"] if i & 4 else KINDS["execute"]
            v.apply(kind, BUY if i & 1 else SELL, BID if i & 1 else ASK, 1, 0)
        return len(v.take_reports())

    def ahead(impl: str, result: object) -> None:
        assert result == 0, "orders ahead are served first"

    _, venue = venue_with_orders(book, compiled)
    bench.compare(
        "venue",
        "market event, two resting orders",
        n,
        {"fastcore": partial(_bench.venue_apply_loop, venue, BID, ASK, n), "python": (python_apply, few)},
        ahead,
    )

    def python_orders() -> int:
        b, v = venue_with_orders(book_twin, twin)
        for _ in range(few):
            v.submit(b, BUY, BID, 100)
            v.cancel(v.orders()[1][0])
            v.take_reports()
        return int(v.open_buy_lots)

    def resting(impl: str, result: object) -> None:
        assert result == 100

    b, venue = venue_with_orders(book, compiled)
    bench.compare(
        "venue",
        "order sent and pulled",
        n,
        {"fastcore": partial(_bench.venue_order_loop, venue, b, BID, n), "python": (python_orders, few)},
        resting,
    )


if __name__ == "__main__":
    main(run)
