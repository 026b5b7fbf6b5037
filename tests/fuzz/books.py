"""Events into books by order and by level."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from fastcore.records import EVENT_DTYPE, FLAGS, KINDS, QUOTE_DTYPE
from fastcore.wire.itch import ItchDecoder
from fuzz.corpora import blocks, leading, pieces, recorded
from fuzz.engine import Counts, Target
from fuzz.laws import both, same
from hft.feeds.synthetic import generate_events


def events_corpus(random: Random, data_dir: Path | None) -> list[bytes]:
    found = [generate_events(n, n, ("AAA", "B")).tobytes() for n in (40, 150)]
    found += pieces(generate_events(3_000, 5).tobytes(), blocks, 150, 4, random)
    for path in recorded(data_dir, "itch/A*.itch*"):
        out = np.zeros(2_000, EVENT_DTYPE)
        n, _ = ItchDecoder().decode(leading(path, 120_000), out)
        found += pieces(out[:n].tobytes(), blocks, 150, 3, random)
    return found


def levels_corpus(random: Random, data_dir: Path | None) -> list[bytes]:
    """Images, changes, quotes and gaps of two symbols."""
    found = []
    for n in (30, 150, 150, 150):
        events = np.zeros(n, EVENT_DTYPE)
        for i, event in enumerate(events):
            image = i % 60 < 8
            event["kind"] = KINDS["clear" if i % 60 == 0 else "level" if image or random.random() < 0.9 else "gap"]
            event["flags"] = FLAGS["snapshot"] if image else 0
            event["flags"] |= FLAGS["continued"] if i % 60 < 7 or random.random() < 0.2 else 0
            event["seq"], event["exch_ns"], event["symbol_id"] = i, i, i // 60 % 2
            event["side"] = random.choice((-1, 1))
            event["price"] = 100 - event["side"] * random.randrange(1, 12)
            event["size"] = random.choice((0, 1, 5, 2**40))
            if random.random() < 0.1:
                event["kind"] = KINDS["quote"]
                event["price"], event["size"], event["order_id"], event["match_id"] = 95, 105, 3, 4  # bid, ask, their sizes
        found.append(events.tobytes())
    return found + events_corpus(random, None)[:1]


def book_run(make: Callable[..., Any], table: Any, events: Any, signed: bool) -> dict[str, Any]:
    state: dict[str, Any] = {}
    for i, symbol in enumerate((None, 1)):
        book = make(symbol, table() if i else None, signed_prices=signed)
        quotes = np.zeros(len(events) + 1, QUOTE_DTYPE)
        half = len(events) // 2
        n = book.apply_into(events[:half], quotes)
        result = book.apply(events[half:])
        book.check()
        depth = [side.tobytes() for side in book.depth()]
        again = make(symbol, None, signed_prices=signed)
        again.apply(book.snapshot())
        again.check()
        assert symbol is None or [side.tobytes() for side in again.depth()] == depth, "a snapshot makes another book"
        state |= {
            f"quotes {i}": quotes[:n].tobytes(),
            f"result {i}": result,
            f"counts {i}": book.counts,
            f"hash {i}": book.state_hash(),
            f"depth {i}": depth,
            f"live {i}": len(book),
            f"best {i}": (book.best_bid, book.best_ask, book.crossed, book.locked, book.stale),
        }
    return state


def books_check(name: str, data: bytes) -> Counts:
    events = np.frombuffer(data[: len(data) // 64 * 64], EVENT_DTYPE)
    modules = both("book")
    for signed in (True, False):
        state, other = (book_run(getattr(m, name), lambda m=m: m.OrderTable(1, 1), events, signed) for m in modules)
        same(state, other)
    ok = state["counts 0"].get("ok", 0)
    return {"events": len(events), "ok": ok, "errors": sum(state["counts 0"].values()) - ok}


def book_check(data: bytes, folder: Path) -> Counts:
    return books_check("OrderBook", data)


def level_book_check(data: bytes, folder: Path) -> Counts:
    return books_check("LevelBook", data)


TARGETS = (
    Target("book", events_corpus, book_check, blocks, iterations=60),
    Target("level_book", levels_corpus, level_book_check, blocks, iterations=100),
)
