"""Plain-Python twin of ``fastcore.bookset``: one dict of books."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from fastcore.records import EVENT_DTYPE, FLAGS, KINDS, NO_PRICE, NO_SYMBOL, QUOTE_DTYPE

from .book import LevelBook, OrderBook, OrderTable

_MASK = 2**64 - 1
_OPENING = [KINDS[n] for n in "add execute cancel delete replace level quote clear gap".split()]
_FEED_WIDE = [KINDS["clear"], KINDS["gap"]]


class BookSet:
    """Order books of all symbols of a feed."""

    def __init__(
        self, *, by_level: bool = False, symbols: int = 65536, orders: OrderTable | None = None, signed_prices: bool = False
    ) -> None:
        if not 1 <= symbols <= 2**24:
            raise ValueError(f"symbols must lie in 1..2**24: symbols={symbols}")
        self.by_level = by_level
        self.symbols = symbols
        self.orders = OrderTable() if orders is None else orders
        self.stale = False
        self._signed = signed_prices
        self._books: dict[int, OrderBook | LevelBook] = {}
        self._counts: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._books)

    def __contains__(self, symbol_id: object) -> bool:
        return symbol_id in self._books

    def __iter__(self) -> Iterator[int]:
        return iter(self.symbol_ids)

    @property
    def symbol_ids(self) -> list[int]:
        """Symbols that have a book, ascending."""
        return sorted(self._books)

    @property
    def counts(self) -> dict[str, int]:
        """Events by result, over all books."""
        total = dict(self._counts)
        for book in self._books.values():
            for name, n in book.counts.items():
                total[name] = total.get(name, 0) + n
        return total

    def book(self, symbol_id: int) -> OrderBook | LevelBook:
        """Return the book of a symbol, opened if it is not yet."""
        if not 0 <= symbol_id < self.symbols:
            raise ValueError(f"symbol_id must lie in 0..{self.symbols - 1}: symbol_id={symbol_id}")
        if symbol_id not in self._books:
            kind = LevelBook if self.by_level else OrderBook
            self._books[symbol_id] = kind(symbol_id, self.orders, signed_prices=self._signed)
            self._books[symbol_id].stale = self.stale
        return self._books[symbol_id]

    def _count(self, result: str) -> None:
        self._counts[result] = self._counts.get(result, 0) + 1

    def _apply(self, row: Any) -> bool:
        """Apply one event; returns whether the message that ends with it changed the top of its book."""
        symbol, kind = int(row["symbol_id"]), int(row["kind"])
        if symbol in self._books or (symbol < self.symbols and kind in _OPENING):
            return self.book(symbol)._apply(row)
        if symbol == NO_SYMBOL and kind in _FEED_WIDE:
            self._all(kind)
            self._count("ok")
        else:
            self._count("unknown symbol" if symbol >= self.symbols and kind in _OPENING else "ok")
        return False

    def _all(self, kind: int) -> None:
        self.stale = kind == KINDS["gap"]
        for book in self._books.values():
            if self.stale:
                book.stale = True
            else:
                book.clear()

    def apply(self, events: npt.NDArray[np.void]) -> None:
        """Apply a batch of events, each to the book of its symbol."""
        for row in events:
            self._apply(row)

    def apply_into(self, events: npt.NDArray[np.void], quotes: npt.NDArray[np.void]) -> int:
        """Apply a batch and write a quote event for each message that changed a top."""
        if len(quotes) < len(events):
            raise ValueError(f"quotes must have a row for each event: events={len(events)} quotes={len(quotes)}")
        if np.may_share_memory(events, quotes):
            raise ValueError("quotes must not share memory with events")
        out = quotes.view(QUOTE_DTYPE)
        written = 0
        for row in events:
            if self._apply(row):
                out[written] = self._books[int(row["symbol_id"])]._quote(row)
                written += 1
        return written

    def quotes(self) -> npt.NDArray[np.void]:
        """Return the top of every open book."""
        rows = np.zeros(len(self), QUOTE_DTYPE)
        empty = np.zeros(1, EVENT_DTYPE)[0]
        for i, symbol in enumerate(self):
            empty["symbol_id"] = symbol
            rows[i] = self._books[symbol]._quote(empty)
        return rows

    def clear(self) -> None:
        """Empty every book."""
        self._all(KINDS["clear"])

    def snapshot(self, *, seq: int = 0, exch_ns: int = 0, local_ns: int = 0) -> npt.NDArray[np.void]:
        """Return events that rebuild all books."""
        head = np.zeros(2 if self.stale else 1, EVENT_DTYPE)
        times = seq, exch_ns, local_ns
        head[0] = (*times, NO_SYMBOL, KINDS["clear"], 0, FLAGS["snapshot"], NO_PRICE, 0, 0, 0)
        if self.stale:
            head[1] = (*times, NO_SYMBOL, KINDS["gap"], 0, FLAGS["snapshot"], 0, -1, 0, 0)
        books = [self._books[symbol].snapshot(seq=seq, exch_ns=exch_ns, local_ns=local_ns) for symbol in self]
        return np.concatenate([head, *books])

    def state_hash(self) -> int:
        """Return a 64-bit hash of all books that are not empty, by symbol id."""
        h = 0
        for symbol in self:
            book = self._books[symbol]
            if book.levels != (0, 0):
                h = (h ^ symbol) * 0x9E3779B97F4A7C15 & _MASK
                h = (h ^ (h >> 29) ^ book.state_hash()) * 0xBF58476D1CE4E5B9 & _MASK
                h ^= h >> 32
        return h

    def check(self) -> None:
        """Check every book."""
        for symbol, book in self._books.items():
            book.check()
            if book.symbol_id != symbol:
                raise AssertionError(f"a book stands at its symbol id: symbol_id={book.symbol_id} place={symbol}")
