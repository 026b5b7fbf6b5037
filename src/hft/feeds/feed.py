"""What every feed is: an iterator of event arrays that knows its instruments, its counts and its errors.

A feed module has one subclass of `Feed`; ``hft.feeds.open_feed`` chooses it. Python runs once for each array of events,
never for each event.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from fastcore.errors import CorruptDataError
from fastcore.instruments import Instrument, Instruments
from fastcore.records import EVENT_DTYPE, FLAGS, KINDS, NO_PRICE, QUOTE_DTYPE
from fastcore.source import EventSource, Source

from ._stale import StaleTime

__all__ = [
    "LOG_LENGTH", "RAW", "Events", "Feed", "FormatError", "Progress", "UnknownSymbolInFile", "account", "check_chunk_events", "listed",
    "whole_messages",
]  # fmt: skip

Events = npt.NDArray[np.void]
Progress = Callable[[int, int], None]  # bytes (or rows) done, and in all
LOG_LENGTH = 64
# An event as bytes: NumPy copies and gathers records with fields field by field, which takes five times as long.
RAW = np.dtype(f"V{EVENT_DTYPE.itemsize}")


class FormatError(ValueError):
    """A file is of no known format, or an option is missing or is not one of its format."""


class UnknownSymbolInFile(LookupError):
    """The chosen symbol is not in the file, or none was chosen and the file has several."""


class Feed(Iterator[Events]):
    """One source of market data as arrays of events (``fastcore.records.EVENT_DTYPE``).

    Parameters
    ----------
    path : path
        What is read.
    instruments : Instruments, optional
        The table of the run: the symbols of the feed become rows of it. By default the feed has one of its own.
    wanted : collection of str, optional
        Symbols whose events are asked for; those of others are skipped as early as the format allows. Events of no symbol
        are always there. By default all symbols.

    Attributes
    ----------
    format : str
        Name under which ``open_feed`` knows the format.
    book : {"orders", "levels", "quotes", "none"}
        What the events build: a book by order, a book by level, the best prices alone, or none (prints and bars).
    path : Path
    instruments : Instruments
        The `symbol_id` of an event is a row of this table, which is there before the event is yielded; events of no symbol
        have ``NO_SYMBOL``.
    messages : dict of str to int
        Well-formed messages by type so far, those of symbols that are not wanted included.
    errors : dict of str to int
        What was malformed and skipped, by rule.
    error_log : list of (int, str)
        The first 64 of them: offset (bytes, or row) in the uncompressed source, and what was wrong.
    gaps : int
        Sequence gaps so far; each is an event of kind ``gap`` too.
    waiting, dropped : int
        Changes of books that reached none so far: those that wait for an image, and those that no longer do.
    begin_ns : int
        Time of the first event that a run was given, 0 where there is none.
    strict : bool
        Whether the first malformed message raises CorruptDataError.
    includes : Feed or None
        The feed whose state this one has taken over, so that its counts are within ours.

    Notes
    -----
    Arrays are yielded in the order of the source. The last event of an array never has the flag ``continued``: a message
    is never split between two arrays.

    **Thread safety**: one thread at a time.
    """

    _several = ""  # what else to do where there are several symbols

    format: str
    book: Literal["orders", "levels", "quotes", "none"] = "none"
    strict: bool = False
    waiting: int = 0
    dropped: int = 0
    begin_ns: int = 0
    _stale: StaleTime | None = None

    def __init__(
        self, path: str | os.PathLike[str], instruments: Instruments | None = None, wanted: Collection[str] | None = None
    ) -> None:
        if isinstance(wanted, str):
            raise TypeError(f"wanted must be a collection of symbols, not one: wanted={wanted!r}")
        self.path = Path(path)
        self.instruments = Instruments() if instruments is None else instruments
        self.wanted = None if wanted is None else frozenset(wanted)
        self._keep = np.ones(1, bool)  # by row: whether its events are wanted; the last is for events of no symbol
        self.messages: dict[str, int] = {}
        self.errors: dict[str, int] = {}
        self.error_log: list[tuple[int, str]] = []
        self.gaps = 0
        self.includes: Feed | None = None
        self._source: Iterator[Events] | None = None

    def __repr__(self) -> str:
        counts = f"{sum(self.messages.values())} messages, {sum(self.errors.values())} errors"
        return f"{type(self).__name__}({str(self.path)!r}, {self.instruments!r}, {counts})"

    def _arrays(self) -> Iterator[Events]:
        """Yield the arrays; the one method that a subclass must have."""
        raise NotImplementedError

    def _row(self, symbol: str, tick_size: float, lot_size: float = 1.0, **more: Any) -> int:
        """Row of a symbol; what a file may call a symbol and the table does not take is made printable, and is cut."""
        name = "".join(c if c.isprintable() else "\ufffd" for c in symbol).strip(" ")
        name = name.encode("utf-8", "replace")[:64].decode("utf-8", "ignore").rstrip(" ") or "?"
        known = self.instruments.id_of(name)
        if known is None:
            return self.instruments.add(name, tick_size=tick_size, lot_size=lot_size, **more)
        there = self.instruments[known]
        if (there.tick_size, there.lot_size) != (tick_size, lot_size):
            sizes = f"tick_size={tick_size:g} lot_size={lot_size:g} known={there.tick_size:g}, {there.lot_size:g}"
            raise FormatError(f"a symbol must have one tick size and one lot size: symbol={name} {sizes} path={self.path}")
        return known

    def _filtered(self, events: Events) -> Events:
        """Events of the wanted symbols; a message ends with the last of its events that stays."""
        assert self.wanted is not None
        if len(self._keep) <= len(self.instruments):
            names = self.instruments.symbols
            self._keep = np.array([name in self.wanted for name in names] + [True], bool)
        keep = self._keep[np.minimum(events["symbol_id"], len(self._keep) - 1)]
        if keep.all():
            return events
        closed = (events["flags"] & FLAGS["continued"]) == 0
        message = (np.cumsum(closed) - closed)[keep]
        events = events.view(RAW)[keep].view(EVENT_DTYPE)
        events["flags"][np.append(message[1:] != message[:-1], True)[: len(events)]] &= ~np.uint16(FLAGS["continued"])
        return events

    def _skip(self, rule: str, offsets: npt.NDArray[np.int64] | list[int], values: Sequence[object] | None = None) -> None:
        """Count what breaks a rule; the log keeps the first 64 in all. In strict mode the first one raises."""
        if not len(offsets):
            return
        self.errors[rule] = self.errors.get(rule, 0) + len(offsets)
        for i in range(min(len(offsets), LOG_LENGTH - len(self.error_log))):
            text = rule if values is None else f"{rule}: {values[i]}"
            self.error_log.append((int(offsets[i]), text))
        if self.strict:
            value = "" if values is None else f" value={values[0]}"
            raise CorruptDataError(f"{rule}: path={self.path} offset={int(offsets[0])}{value}")

    def __next__(self) -> Events:
        if self._source is None:
            self._source = self._arrays()
        events = next(self._source)
        if self.wanted is not None:
            while not len(events := self._filtered(events)):
                events = next(self._source)
        return events

    def begin(self, symbol: str | None = None) -> tuple[int, Instrument, Source]:
        """Read on until a symbol, or the only one, is known, and hand over to a run.

        Parameters
        ----------
        symbol : str, optional
            The one that is traded; may be left out where there is only one.

        Returns
        -------
        int
            Its row.
        Instrument
            What its integers mean. Where nobody has said its price increment, that is the largest of which the first prices are
            multiples.
        Source
            Everything from there on: what comes before the first event of the symbol cannot concern it.

        Raises
        ------
        UnknownSymbolInFile
            If the symbol is not in the file, or must be chosen.
        """
        first = next(self, None)
        while (row := self._chosen(symbol)) is None and first is not None:
            first = next(self, None)
        if not len(self.instruments):
            raise UnknownSymbolInFile(f"the file has no event of any symbol: path={self.path} messages={self.messages}")
        if first is None or row is None:
            raise UnknownSymbolInFile(f"the file has no such symbol: symbol={symbol}, symbols={listed(self.instruments.symbols)}")
        instrument = self.instruments[row]
        said = ((first["kind"] == KINDS["listing"]) & (first["symbol_id"] == row)).any()
        if not said and instrument.increment_ticks == 1:
            step = _increment(first[first["symbol_id"] == row])
            instrument = instrument._replace(increment_ticks=step, low_increment_ticks=step, low_below_ticks=0)
        self.begin_ns = next((time for time in first[["exch_ns", "local_ns"]][0].tolist() if time), 0)
        self._stale = StaleTime(row)
        return row, instrument, EventSource(self._watched(first, self._stale))

    def _watched(self, first: Events, stale: StaleTime) -> Iterator[Events]:
        """The arrays from the first on; from the first gap on somebody looks at them."""
        for events in chain([first], self):
            if self.gaps:
                stale.look(events)
            yield events

    @property
    def stale_ns(self) -> int:
        """Exchange time for which the book of the symbol of a run was stale: behind a gap, before the next image."""
        return 0 if self._stale is None else self._stale.ns

    def to_trade(self) -> Self:
        """Return the feed for a run that counts money: one whose ticks and lots are no smaller than those of the venue, where it can."""
        return self

    def _chosen(self, symbol: str | None) -> int | None:
        """Row of the chosen symbol, or of the only one; None while it has not appeared."""
        if symbol is not None:
            return self.instruments.id_of(symbol)
        if len(self.instruments) > 1:
            names = listed(self.instruments.symbols)
            raise UnknownSymbolInFile(f"the file has several symbols: choose one with --symbol ({names}){self._several}")
        return 0 if len(self.instruments) else None

    def lists(self, symbol: str) -> bool:
        """Say whether a symbol has appeared by now."""
        return symbol in self.instruments

    def counts(self) -> tuple[dict[str, int], int, int]:
        """Return messages by type, and how many were skipped and malformed, so far."""
        return self.messages, 0, sum(self.errors.values())

    def close(self) -> None:
        """Release the file; the feed ends."""
        source, self._source = self._source, iter(())
        if source is not None and hasattr(source, "close"):
            source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def start(self) -> tuple[frozenset[str], int]:
        """Read how the file begins, to see what stream it is a part of; the feed cannot be read then.

        Returns
        -------
        names : frozenset of str
            Symbols, or whatever files of one stream have in common.
        time_ns : int
            Of the first event, 0 where there is none.
        """
        events = None
        with contextlib.suppress(CorruptDataError):  # what is malformed is told when it is read in its turn
            events = next(self, None)
        times = (0, 0) if events is None else events[["exch_ns", "local_ns"]][0].tolist()
        return frozenset(self.instruments.symbols), times[0] or times[1]

    def follow(self, previous: Feed) -> None:
        """Go on with the state of a feed that has ended, before the first array of this one.

        Parameters
        ----------
        previous : Feed
            The part of the stream before this one; what is of another format or day leaves nothing to go on with.
        """

    @classmethod
    def recognise(cls, head: bytes, path: Path) -> bool:
        """Say whether a file is of this format.

        Parameters
        ----------
        head : bytes
            Its first bytes, up to 64 KiB, uncompressed where it is gzip or Zstandard.
        path : Path
            Its name, for formats without a magic number; of a ZIP archive or a directory the contents may be looked at.
        """
        raise NotImplementedError


def listed(symbols: Sequence[str]) -> str:
    """Return names for a message: all of them, or the first eight and dots."""
    return ", ".join(symbols[:8]) + (", ..." if len(symbols) > 8 else "")


def account(whole: Feed, feeds: Sequence[Feed]) -> None:
    """Give a feed the counts and errors of its parts together."""
    within = {id(feed.includes) for feed in feeds}
    parts = [feed for feed in feeds if id(feed) not in within]
    for count in ("gaps", "waiting", "dropped"):
        setattr(whole, count, sum(getattr(feed, count) for feed in parts))
    for name in ("messages", "errors"):
        total: dict[str, int] = {}
        for feed in parts:
            for key, count in getattr(feed, name).items():
                total[key] = total.get(key, 0) + count
        setattr(whole, name, total)
    whole.error_log = [entry for feed in parts for entry in feed.error_log][:LOG_LENGTH]


def check_chunk_events(chunk_events: int) -> None:
    """Refuse a size of arrays that no event fits in."""
    if chunk_events < 1:
        raise ValueError(f"chunk_events must be at least 1: chunk_events={chunk_events}")


def whole_messages(events: Events, limit: int) -> Iterator[Events]:
    """Cut an array into arrays of at most `limit` events that end with a whole message.

    A message with more events than that comes in one array all the same.
    """
    start, n = 0, len(events)
    while start < n:
        end = min(start + limit, n)
        if end < n and events["flags"][end - 1] & FLAGS["continued"]:
            inside = (events["flags"][start:end] & FLAGS["continued"]) == 0
            if inside.any():
                end = start + int(np.flatnonzero(inside)[-1]) + 1
            else:
                behind = (events["flags"][end:] & FLAGS["continued"]) == 0
                end = end + int(np.argmax(behind)) + 1 if behind.any() else n
        yield events[start:end]
        start = end


def _increment(events: Events) -> int:
    """Price increment of a venue whose feed does not say it: the largest of which all prices are multiples, in ticks."""
    kinds = events["kind"]
    prices = [events["price"][np.isin(kinds, [KINDS[name] for name in ("add", "level", "trade", "replace")])]]
    quotes = events[kinds == KINDS["quote"]].view(QUOTE_DTYPE)
    found = np.concatenate([*prices, quotes["bid"], quotes["ask"]])
    found = found[found != NO_PRICE]
    return max(1, int(np.gcd.reduce(found))) if len(found) else 1
