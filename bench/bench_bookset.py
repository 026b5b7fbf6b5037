"""All books of a feed: thousands of symbols, one message each in turn, so that no cache near the core holds the book it needs.

``itch bytes to books`` decodes chunks of 1,024 messages and applies them. The day of one symbol shows what the set adds to a
book. ``8,000 symbols`` is the hardest order that a feed can have: copies of one real stream (or of a synthetic one without
FASTCORE_TEST_DATA), each under its own stock locate, shuffled message by message, with order references that ascend over the
whole feed as NASDAQ gives them. Every book is compared with the original behind the measurement. ``memory`` is the growth of
the resident set over a million live orders in a table that was not reserved.
"""

import gzip
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from fastcore import _bench
from fastcore.book import LevelBook, OrderBook
from fastcore.bookset import BookSet
from fastcore.records import EVENT_DTYPE, KINDS, QUOTE_DTYPE
from fastcore.wire.itch import ItchDecoder
from hft.feeds.synthetic import generate

from .harness import Bench, main

CHUNK = 1_024


def day(bench: Bench) -> tuple[str, bytes]:
    """Return the name and the bytes of the stream to work on."""
    folder = os.environ.get("FASTCORE_TEST_DATA")
    if folder:
        return "AMZN 2012-06-21", gzip.decompress((Path(folder) / "itch/AMZN_2012-06-21_L5.itch.gz").read_bytes())
    return "synthetic day", generate(100_000 if bench.quick else 250_000)


def decode(raw: bytes) -> Any:
    out = np.zeros(len(raw) // 12, EVENT_DTYPE)
    n, _ = ItchDecoder(strict=True).decode(raw, out, final=True)
    return out[:n]


def interleave(raw: bytes, symbols: int, each: int) -> tuple[Any, Any]:
    """Return the shuffled stream of `symbols` copies of the first `each` order messages, and the events of one copy."""
    events = decode(raw)
    sizes, at = [], 0
    while at < len(raw):
        sizes.append(2 + int.from_bytes(raw[at : at + 2], "big"))
        at += sizes[-1]
    offsets = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    kept = np.isin(events["kind"], [KINDS[k] for k in ("add", "execute", "cancel", "delete")]).nonzero()[0][:each]
    events = events[kept]
    _, first, order = np.unique(events["order_id"], return_index=True, return_inverse=True)
    turns = np.random.default_rng(7).permutation(np.repeat(np.arange(symbols), len(kept)))
    places = np.argsort(turns, kind="stable").reshape(symbols, len(kept))  # of message j of a symbol in the shuffled stream
    messages, references = np.empty(turns.size, np.int64), np.empty(turns.size, np.int64)
    messages[places] = kept
    references[places] = places[:, first[order]] + 1
    out = np.empty(int(sum(sizes[i] for i in kept.tolist())) * symbols, np.uint8)
    n = _bench.itch_interleave(np.frombuffer(raw, np.uint8), offsets, messages, turns + 1, references, out)
    assert n == out.size
    return out, events


def run(bench: Bench) -> None:
    name, raw = day(bench)
    repeat = 1 if bench.quick else 43
    messages = len(decode(raw))
    buffer, quotes = np.zeros(CHUNK, EVENT_DTYPE), np.zeros(CHUNK, QUOTE_DTYPE)

    def through(books: BookSet, data: Any, top: bool = False) -> int:
        decoder = ItchDecoder()
        view, at, total = memoryview(data), 0, 0
        while at < len(view):
            n, used = decoder.decode(view[at : at + 64 * CHUNK], buffer)
            if not used:
                break
            if top:
                total += books.apply_into(buffer[:n], quotes)
            else:
                books.apply(buffer[:n])
            at += used
        assert at == len(view)
        return total

    # One symbol, the day repeated to 10^7 messages.
    books = BookSet()
    expected = OrderBook()
    expected.apply(decode(raw))

    def one_symbol() -> int:
        for _ in range(repeat):
            books.clear()
            through(books, raw)
        return books.book(int(books.symbol_ids[-1])).state_hash()

    def check(impl: str, result: int) -> None:
        assert result == expected.state_hash(), impl

    bench.compare("bookset", f"itch bytes to books, {name}", messages * repeat, {"fastcore": one_symbol}, check)

    # Many symbols.
    symbols, each = (800, 250) if bench.quick else (8_000, 1_250)
    stream, events = interleave(raw, symbols, each)
    single = OrderBook()
    single.apply(events)
    many = BookSet()

    def all_symbols() -> int:
        many.clear()
        through(many, stream)
        return len(many.orders)

    def all_symbols_quotes() -> int:
        many.clear()
        return through(many, stream, top=True)

    def same_books(impl: str, result: int) -> None:
        assert set(many.counts) == {"ok"} and len(many) == symbols
        for symbol in (1, symbols // 2, symbols):
            for a, b in zip(many.book(symbol).depth(), single.depth(), strict=True):
                assert a.tolist() == b.tolist(), symbol
        assert len(many.orders) == symbols * len(single)

    items = symbols * len(events)
    bench.compare("bookset", f"itch bytes to books, {symbols:,} symbols", items, {"fastcore": all_symbols}, same_books)
    bench.compare("bookset", f"the same with quotes, {symbols:,} symbols", items, {"fastcore": all_symbols_quotes}, same_books)
    bench.fact("bookset", f"memory of {symbols:,} books", "fastcore", float(many.nbytes), "B")

    # By level: the level events of the same stream.
    levels = np.zeros(2 * len(events), EVENT_DTYPE)
    levels = levels[: OrderBook().apply_levels(events, levels)]
    copies = 80 if bench.quick else 800
    flow = np.tile(levels, copies)
    turns = np.random.default_rng(8).permutation(np.repeat(np.arange(copies), len(levels)))
    flow[np.argsort(turns, kind="stable")] = np.tile(levels, copies)
    flow["symbol_id"] = turns
    flow["flags"] = 0
    level_set = BookSet(by_level=True, symbols=copies)

    def by_level() -> int:
        level_set.clear()
        return sum(level_set.apply_into(flow[i : i + CHUNK], quotes) for i in range(0, len(flow), CHUNK))

    def same_levels(impl: str, result: int) -> None:
        book = LevelBook()
        book.apply(levels)
        assert set(level_set.counts) == {"ok"}
        assert {level_set.book(i).state_hash() for i in range(copies)} == {book.state_hash()}

    bench.compare("bookset", f"level events with quotes, {copies} symbols", len(flow), {"fastcore": by_level}, same_levels)
    if sys.platform.startswith("linux"):
        bench.fact("bookset", "memory of 1,000,000 live orders", "fastcore", resident_of_a_million(), "B")


def resident_of_a_million() -> float:
    """Measure in a process of its own how much a table grows while a million orders come to rest."""
    code = """if True:
        import numpy as np
        from fastcore.book import OrderBook
        from fastcore.records import EVENT_DTYPE, KINDS
        def resident():
            with open("/proc/self/statm") as f:
                return int(f.read().split()[1]) * 4096
        rows = np.zeros(10_000, EVENT_DTYPE)
        rows["kind"], rows["side"], rows["size"] = KINDS["add"], 1, 1
        rows["price"], rows["order_id"] = 1 + np.arange(10_000), np.arange(10_000)
        book, before = OrderBook(), resident()
        for _ in range(100):
            book.apply(rows)
            rows["order_id"] += 10_000
        assert len(book) == 1_000_000
        print(resident() - before)
    """
    return float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    main(run)
