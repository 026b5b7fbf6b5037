"""Captures of Binance WebSocket streams - lines ``<receive ns> <json>`` of spot, USD-M or COIN-M - as event arrays.

What a message becomes is said in ``fastcore.wire.binance``; the events can be applied to a book by level as they come. Plain
text, gzip or Zstandard.

**Clocks.** ``exch_ns`` is the clock of the exchange (ms), ``local_ns`` that of the recorder; the smallest difference between
the two is the recorder's skew plus the shortest latency. Where it is negative the recorder's clock was behind: latencies would
be negative by as much. It is measured always (`BinanceFeed.clock_skew_ns`) and corrected on request only.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from fastcore.errors import CorruptDataError
from fastcore.instruments import Instruments
from fastcore.records import FLAGS, KINDS, NO_PRICE, NO_SYMBOL, QUOTE_DTYPE
from fastcore.wire.binance import BinanceDecoder

from ._lines import LineFeed
from .feed import Events, Feed, Progress

__all__ = ["BinanceFeed", "decimals_of", "diff_ids", "tops_after", "verify_tops"]

Decimals = int | tuple[int, int] | Mapping[str, int | tuple[int, int]]

_SYMBOL = re.compile(rb'"(?:s|symbol)"\s*:\s*"([^"\\]{1,32})"')
# A line begins with its receive time, or at once; what it carries is one of these, as compact JSON or with spaces.
_LINE = re.compile(rb"(?:\d{10,19} )?\s*\{")
_STREAM = re.compile(rb'"lastUpdateId"|@depth|@bookTicker|@trade|@aggTrade|"e"\s*:\s*"(?:depthUpdate|bookTicker|aggTrade|trade)"')
_TICKER = re.compile(_LINE.pattern + rb'(?=[^\n]*"u"\s*:\s*\d)' + b"".join(rb'(?=[^\n]*"%c"\s*:\s*")' % key for key in b"sbBaA"))


def _pair(value: int | Sequence[int]) -> tuple[int, int]:
    pair = (value, value) if isinstance(value, int) else value
    if isinstance(pair, str) or not isinstance(pair, Sequence) or len(pair) != 2 or not all(type(n) is int for n in pair):
        raise ValueError(f"decimals must be a whole number, or one for prices and one for sizes: decimals={value!r}")
    return pair[0], pair[1]


class BinanceFeed(LineFeed):
    """A capture of Binance streams as events.

    Parameters
    ----------
    path : path
        Lines of one market (spot, USD-M or COIN-M; a symbol of two would be one book); gzip and Zstandard are recognised.
    instruments, wanted
        As in ``hft.feeds.Feed``.
    progress : callable(done, total), optional
        Told the (compressed) bytes consumed.
    chunk_events : int, default 65536
        Largest number of events in an array, except for a message that has more (a snapshot).
    decimals : int, (price, size), or mapping of symbol to either, default 8
        A tick is 10**-price of the quote currency, a lot 10**-size of the unit traded. Symbols that a mapping lacks have 8.
        Finer numbers are malformed, never rounded; numbers beyond int64 need fewer decimals.
    clock : {"raw", "corrected"}, default "raw"
        "corrected" adds to every `local_ns` what makes the smallest latency of the first `skew_window_ns` zero, if it is negative:
        a clock that is ahead cannot be told from a latency and stays as it is.
    skew_window_ns : int, default 10 s
        Receive time over which the correction is measured.
    image_symbol : str, optional
        Whose the snapshots are that name no symbol; by default the only symbol of the capture.
    max_held : int, default 65,536
        Events of a symbol that wait for its snapshot, at most.
    strict : bool, default False
        Raise CorruptDataError at the first malformed line.

    Attributes
    ----------
    clock_skew_ns : int or None
        Smallest `local_ns` - `exch_ns` so far, as recorded; None before the first event with both.
    clock_correction_ns : int
        What was added to `local_ns`; 0 without correction.
    stale, skipped, dropped : int
        Diffs that the book had already; trades without price or size; diffs that waited too long for a snapshot.
    waiting : int
        Events that wait for a snapshot: at the end of the file, those that were never delivered.

    Raises
    ------
    ValueError
        If an option is wrong.
    CorruptDataError
        After everything that is whole: the compressed file is cut or damaged. In strict mode at the first malformed line.
    """

    format = "binance"
    _counters = ("stale", "skipped", "dropped")
    stale: int
    skipped: int
    dropped: int

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        instruments: Instruments | None = None,
        wanted: Collection[str] | None = None,
        progress: Progress | None = None,
        chunk_events: int = 65_536,
        decimals: Decimals = 8,
        clock: Literal["raw", "corrected"] = "raw",
        skew_window_ns: int = 10_000_000_000,
        image_symbol: str | None = None,
        max_held: int = 65_536,
        strict: bool = False,
    ) -> None:
        if clock not in ("raw", "corrected"):
            raise ValueError(f"clock must be raw or corrected: clock={clock!r}")
        if skew_window_ns < 0:
            raise ValueError(f"skew_window_ns must not be negative: skew_window_ns={skew_window_ns}")
        self._again: dict[str, Any] = {
            "instruments": instruments, "wanted": wanted, "progress": progress, "chunk_events": chunk_events, "clock": clock,
            "skew_window_ns": skew_window_ns, "image_symbol": image_symbol, "max_held": max_held, "strict": strict,
        }  # fmt: skip
        self._default_decimals = decimals == 8
        own = {symbol: _pair(value) for symbol, value in decimals.items()} if isinstance(decimals, Mapping) else {}
        price, size = (8, 8) if isinstance(decimals, Mapping) else _pair(decimals)
        decoder = BinanceDecoder(price, size, strict, image_symbol, max_held)
        super().__init__(path, decoder, instruments, wanted, progress, chunk_events, own)
        self.clock_skew_ns: int | None = None
        self.clock_correction_ns = 0
        self._corrected = clock == "corrected"
        self._window_ns = skew_window_ns
        self._settled = False  # the correction is known from the part before

    def to_trade(self) -> Self:
        """Return the feed with the decimals that its symbols need, unless others were asked for; the capture is read through for that."""
        if not self._default_decimals:
            return self
        found: dict[int, tuple[int, int]] = {}
        again = self._again | {"instruments": None, "progress": None, "strict": False, "clock": "raw"}
        with type(self)(self.path, **again) as whole, contextlib.suppress(CorruptDataError):  # which is told where the capture is read
            for events in whole:
                for row in np.unique(events["symbol_id"][events["symbol_id"] != NO_SYMBOL]).tolist():
                    found[row] = decimals_of(events[events["symbol_id"] == row], found.get(row, (0, 0)))
        self.close()
        symbols = whole.instruments.symbols
        decimals = {symbols[row]: pair for row, pair in found.items()}
        return type(self)(self.path, decimals=decimals if len(found) > 1 else next(iter(found.values()), (0, 0)), **self._again)

    @classmethod
    def recognise(cls, head: bytes, path: Path) -> bool:
        start = head.lstrip()[: 1 << 14]
        # The first line may be longer than the head: a snapshot is.
        return _LINE.match(start) is not None and (_STREAM.search(start) or _TICKER.match(start)) is not None

    def _arrays(self) -> Iterator[Events]:
        if not self._corrected:
            yield from self._measured()
            return
        # Hold back what the window covers; from then on one number is added.
        held: list[Events] = []
        first: int | None = None
        source = self._measured()
        for events in () if self._settled else source:
            held.append(events)
            received = events["local_ns"][events["local_ns"] > 0]
            if first is None and len(received):
                first = int(received[0])
            if first is not None and len(received) and int(received[-1]) - first >= self._window_ns:
                break
        if not self._settled:
            self.clock_correction_ns = max(0, -(self.clock_skew_ns or 0))
        for events in held:
            yield self._shifted(events)
        held.clear()
        for events in source:
            yield self._shifted(events)

    def follow(self, previous: Feed) -> None:
        """Go on with the books and the clock that the part before has left."""
        super().follow(previous)
        if isinstance(previous, BinanceFeed):
            self.clock_skew_ns, self.clock_correction_ns = previous.clock_skew_ns, previous.clock_correction_ns
            self._settled = True

    def _shifted(self, events: Events) -> Events:
        local = events["local_ns"]
        local[local > 0] += self.clock_correction_ns
        return events

    def _measure(self, events: Events) -> None:
        both = (events["local_ns"] > 0) & (events["exch_ns"] > 0)
        if both.any():
            smallest = int((events["local_ns"] - events["exch_ns"])[both].min())
            self.clock_skew_ns = smallest if self.clock_skew_ns is None else min(smallest, self.clock_skew_ns)

    @property
    def waiting(self) -> int:  # type: ignore[override]
        return int(self._decoder.held)

    def _pending(self) -> bool:
        return bool(self._decoder.pending)

    def _first(self, block: bytes) -> None:
        # A snapshot that names no symbol may be the first line: there must be a symbol whose it can be.
        names = set(_SYMBOL.findall(block))
        if len(names) == 1 and not self._decoder.symbols:
            self._decoder.set_symbol(names.pop().decode("utf-8", "replace"))

    def _measured(self) -> Iterator[Events]:
        for events in super()._arrays():
            self._measure(events)
            yield events


def diff_ids(events: Events) -> npt.NDArray[np.int64]:
    """Return the update ids of the diffs (messages of levels that are no image) among events, in order."""
    last = (events["kind"] == KINDS["level"]) & (events["flags"] & (FLAGS["snapshot"] | FLAGS["continued"]) == 0)
    ids: npt.NDArray[np.int64] = events["seq"][last].astype(np.int64)
    return ids


def tops_after(ids: npt.NDArray[np.int64], quotes: npt.NDArray[np.void]) -> npt.NDArray[np.void]:
    """Return the best prices that held at each of a number of update ids.

    Parameters
    ----------
    ids : ndarray of int64, shape (n,)
        As `diff_ids` returns them.
    quotes : ndarray of QUOTE_DTYPE, shape (m,)
        Best prices where they changed, `seq` the update id, ascending.

    Returns
    -------
    ndarray of QUOTE_DTYPE
        One row for each id that is not before the first quote: `seq` is the id, the rest is of the last quote with
        `seq` <= id.
    """
    at = np.searchsorted(quotes["seq"].astype(np.int64), ids, side="right") - 1
    tops = quotes[at[at >= 0]].copy()
    tops["seq"] = ids[at >= 0]
    return tops


def verify_tops(tops: npt.NDArray[np.void], tickers: npt.NDArray[np.void]) -> tuple[int, int, int | None]:
    """Compare the best prices of a built book with the exchange's own.

    Parameters
    ----------
    tops : ndarray of QUOTE_DTYPE, shape (n,)
        Of the book after each diff, one symbol: `seq` is the update id of the diff; bid, ask and their sizes.
    tickers : ndarray of QUOTE_DTYPE, shape (m,)
        Events of kind ``quote`` of the same symbol, as decoded; `seq` is their update id.

    Returns
    -------
    (checked, matched, first_mismatch) : (int, int, int or None)
        A diff is compared with the last ticker whose update id is not larger; diffs before the first ticker are not
        checked. `first_mismatch` is the update id of the first diff that differs.
    """
    for name, array in (("tops", tops), ("tickers", tickers)):
        if array.dtype != QUOTE_DTYPE:
            raise TypeError(f"{name} must have dtype QUOTE_DTYPE: dtype={array.dtype}")
    ids = tickers["seq"].astype(np.int64)
    order = np.argsort(ids, kind="stable")  # of equal ids the later line counts
    at = np.searchsorted(ids[order], tops["seq"].astype(np.int64), side="right") - 1
    known = at >= 0
    mine, theirs = tops[known], tickers[order[at[known]]]
    equal = np.ones(len(mine), bool)
    for field in ("bid", "ask", "bid_size", "ask_size"):
        equal &= mine[field] == theirs[field]
    wrong = np.flatnonzero(~equal)
    return len(mine), int(equal.sum()), int(mine["seq"][wrong[0]]) if len(wrong) else None


def decimals_of(events: Events, known: tuple[int, int] = (0, 0)) -> tuple[int, int]:
    """Return the decimals that prices and sizes need which a feed has scaled by 10**8: venues write more than they use.

    Profit is counted in ticks * lots, so a tick and a lot should be no smaller than the venue's own.

    Parameters
    ----------
    events : ndarray of EVENT_DTYPE
    known : (int, int)
        What other events of the symbol have needed.
    """
    quotes = events[events["kind"] == KINDS["quote"]].view(QUOTE_DTYPE)
    own = events[np.isin(events["kind"], [KINDS["level"], KINDS["trade"]])]
    prices = own["price"], *(quotes[side][quotes[side] != NO_PRICE] for side in ("bid", "ask"))
    return _needed(prices, known[0]), _needed((own["size"], quotes["bid_size"], quotes["ask_size"]), known[1])


def _needed(columns: Sequence[npt.NDArray[np.int64]], places: int) -> int:
    for values in columns:
        while places < 8 and (values % 10 ** (8 - places)).any():
            places += 1
    return places
