"""What a file of market data holds, before anybody trades on it: symbols, times, kinds, books, and what looks wrong.

One pass over the events, NumPy for each array of them; books are built by the compiled set. Shares of books are shares of the
exchange time in which a book had both sides. What looks wrong is counted and said with its first place; nothing is repaired.
"""

from __future__ import annotations

import json
import os
import shlex
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fastcore.bookset import BookSet
from fastcore.errors import CorruptDataError
from fastcore.records import EVENT_DTYPE, FLAGS, KINDS, NO_PRICE, NO_SYMBOL, QUOTE_DTYPE

from .feeds import Events, Feed, Progress, open_feed, recognise
from .feeds._streams import is_stream, opened
from .feeds.feed import RAW

__all__ = ["Inspection", "SymbolFacts", "Suspicion", "clock", "inspect"]

IN_WORDS = {
    "itch": "NASDAQ TotalView-ITCH 5.0", "pcap": "network capture of MoldUDP64", "binance": "lines of Binance streams",
    "kraken": "lines of Kraken's book channel", "lobster": "LOBSTER messages and order book", "dbn": "Databento binary encoding",
    "csv": "text table", "parquet": "Parquet table", "arrow": "Arrow table", "ticks": "tick store",
}  # fmt: skip
_PACKED = {b"\x1f\x8b": "gzip", b"\x28\xb5": "Zstandard", b"PK": "ZIP"}
_NAMES = {code: name for name, code in KINDS.items()}
_UNSET, _LAST = np.iinfo(np.int64).max, np.iinfo(np.int64).min
_YEAR_1990, _DAY = 631_152_000 * 10**9, 86_400 * 10**9
STEP = 0.2  # of a price, from one trade (or middle of a book) to the next: more is an outlier
SHARE = 0.001  # of the time: a book that is crossed or stale for longer is suspicious
TIGHT = 0.05  # spread of a book whose middle is a price
_ODD = np.int64(0x1E3779B97F4A7C15)
_ROW = np.dtype([
    ("events", "i8"), ("first", "i8"), ("last", "i8"), ("stale", "i8"), ("step", "i8"), ("trade", "f8"), ("middle", "f8"),
    ("state", "i8"), ("since", "i8"),  # of its book
    ("held", "f8", (4,)),  # ns in which its book was one-sided, open, locked, crossed
])  # fmt: skip
_ONE_SIDED, _OPEN, _LOCKED, _CROSSED = range(4)


@dataclass(frozen=True, kw_only=True)
class SymbolFacts:
    """What a file holds of one symbol.

    Attributes
    ----------
    symbol : str
    tick_size, lot_size : float
        Units of the feed.
    increment : float or None
        Largest step of which all best prices are multiples; where nothing builds a book, all trades.
    events : int
    first_ns, last_ns : int
        Smallest and largest time (exchange, or receive without one) of what is no image.
    crossed_share, locked_share : float or None
        Of the time with both sides; None where no book ever had both.
    stale_share : float
        Of the time from first to last: behind a gap, before the next image.
    """

    symbol: str
    tick_size: float
    lot_size: float
    increment: float | None
    events: int
    first_ns: int
    last_ns: int
    crossed_share: float | None
    locked_share: float | None
    stale_share: float


@dataclass(kw_only=True)
class Suspicion:
    """Something that looks wrong.

    Attributes
    ----------
    what : str
    unit : str
        Of `largest`; "" where no one is larger than another.
    count : int
    largest : float
    first : str
        Where the first one is.
    """

    what: str
    unit: str = ""
    count: int = 0
    largest: float = 0.0
    first: str = ""

    def add(self, where: npt.NDArray[np.bool_], amounts: npt.NDArray[Any], first: Any) -> None:
        """Count where it holds; `first` makes the text of an index."""
        if where.any():
            self.first = self.first or first(int(np.argmax(where)))
            self.count += int(np.count_nonzero(where))
            self.largest = max(self.largest, float(amounts[where].max()))


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What a file holds.

    Attributes
    ----------
    path, format, what, packed : str
        Name of the format, the same in words, and how the file is compressed ("" for not).
    file_bytes : int
        0 where it is a stream.
    messages, kinds : dict of str to int
        Well-formed messages by type, and events by kind.
    events : int
    malformed : dict of str to int
        By rule; `first_malformed` is the first of them.
    first_ns, last_ns : int or None
        Smallest and largest time.
    longest_silence_ns, silence_begins_ns : int
        Between two events, and when.
    gaps, waiting, dropped : int
        As of ``hft.feeds.Feed``.
    clock_smallest_ns, clock_largest_ns : int or None
        Receive time less exchange time.
    book_errors : dict of str to int
        Events that books refused, by rule.
    symbols : list of SymbolFacts
        By number of events.
    suspicions : list of Suspicion
    corrupt : str or None
        Why reading ended early.
    command : str
        What replays the file.
    """

    path: str
    format: str
    what: str
    packed: str
    file_bytes: int
    messages: dict[str, int]
    kinds: dict[str, int]
    events: int
    malformed: dict[str, int]
    first_malformed: str | None
    first_ns: int | None
    last_ns: int | None
    longest_silence_ns: int
    silence_begins_ns: int
    gaps: int
    waiting: int
    dropped: int
    clock_smallest_ns: int | None
    clock_largest_ns: int | None
    book_errors: dict[str, int]
    symbols: list[SymbolFacts]
    suspicions: list[Suspicion] = field(default_factory=list)
    corrupt: str | None
    command: str

    def to_json(self) -> dict[str, Any]:
        """Return the facts, ready for ``json.dumps``."""
        return asdict(self)


def inspect(
    path: str | os.PathLike[str],
    format: str | None = None,
    *,
    options: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Inspection:
    """Read a file and say what it holds.

    Parameters
    ----------
    path, format, progress
        As in ``hft.feeds.open_feed``.
    options : mapping, optional
        Of the feed; malformed messages are counted and left out unless it says ``strict``.

    Returns
    -------
    Inspection
        Also of a file that is cut or damaged: of what is whole, with the reason in `corrupt`.

    Raises
    ------
    FormatError, FileNotFoundError, ImportError
        As in ``hft.feeds.open_feed``.
    CorruptDataError
        If not even the beginning can be read.
    """
    path = Path(path)
    format = recognise(path) if format is None else format
    with open_feed(path, format, progress=progress, **(options or {})) as feed:
        facts, corrupt = _Facts(feed), None
        try:
            for events in feed:
                facts.add(events)
        except CorruptDataError as error:
            corrupt = str(error)
        return facts.told(corrupt, dict(options or {}))


class _Facts:
    """Counts of a feed so far."""

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self.now = time.time_ns()
        self.events = 0
        self.kinds = np.zeros(256, np.int64)
        self.first = self.clock_smallest = _UNSET
        self.last = self.clock_largest = _LAST
        self.silence = self.silence_begins = 0
        self.books = None if feed.book == "none" else BookSet(by_level=feed.book != "orders", quotes=feed.book == "quotes", symbols=1 << 20)
        self.rows = np.zeros(0, _ROW)  # by symbol
        self.stale_since: dict[int, int] = {}
        self.latest = {"exch_ns": _LAST, "local_ns": _LAST}
        self.end: Events = np.zeros(0, EVENT_DTYPE)  # the last event
        self.ids: npt.NDArray[np.int64] = np.zeros(0, np.int64)  # of the trades of the last array, mixed with their symbols
        self.quotes: Events = np.empty(0, QUOTE_DTYPE)  # what books write
        self.suspicions = {
            name: Suspicion(what=what, unit=unit)
            for name, what, unit in (
                ("clock", "events are received before they happen: the clocks differ", "s"),
                ("exch_ns", "times go back", "s"),
                ("local_ns", "receive times go back", "s"),
                ("early", "times are before 1990 (a day may be missing: --option date=YYYY-MM-DD)", ""),
                ("late", "times are in the future", ""),
                ("repeated", "events repeat the one before them, bit for bit", ""),
                ("ids", "trades have an id that was there before", ""),
                ("empty", "trades have no size", ""),
                ("trade", f"trades are more than {STEP:.0%} away from the one before", "times"),
                ("middle", f"middle prices are more than {STEP:.0%} away from the one before", "times"),
            )
        }

    def add(self, events: Events) -> None:
        """Take account of an array of events."""
        self._grow()
        kinds, times = events["kind"].copy(), events["exch_ns"].copy()
        if not times.all():
            times = np.where(times == 0, events["local_ns"], times)
        ids = np.minimum(events["symbol_id"], len(self.rows))  # the last place is that of no symbol
        self.kinds += np.bincount(kinds, minlength=256)
        self.events += len(events)
        self.rows["events"] += np.bincount(ids, minlength=len(self.rows) + 1)[:-1]
        # Images were taken at some time before: they say nothing of when something happened.
        live = (events["flags"] & FLAGS["snapshot"]) == 0
        if live.all():
            self._times(ids, times, events["exch_ns"], events["local_ns"].copy())
        elif live.any():
            self._times(ids[live], times[live], events["exch_ns"][live], events["local_ns"][live])
        self._stale(events, kinds, times)
        self._trades(events, kinds, times)
        self._repeated(events, times)
        if self.books is not None:
            self._books(events, kinds)

    def _grow(self) -> None:
        """Make a row for every symbol that the feed knows."""
        more = np.zeros(len(self.feed.instruments) - len(self.rows), _ROW)
        if len(more):
            more["first"], more["last"], more["trade"], more["middle"] = _UNSET, _LAST, np.nan, np.nan
            self.rows = np.concatenate([self.rows, more])

    def _times(
        self, ids: npt.NDArray[Any], times: npt.NDArray[np.int64], exch: npt.NDArray[np.int64], local: npt.NDArray[np.int64]
    ) -> None:
        """Range, silence, clocks, and what goes back."""
        self.first, self.last = min(self.first, int(times.min())), max(self.last, int(times.max()))
        if len(self.rows) == 1 and not ids.any():
            self.rows["first"] = min(self.rows["first"][0], times.min())
            self.rows["last"] = max(self.rows["last"][0], times.max())
        else:
            inside = ids < len(self.rows)
            np.minimum.at(self.rows["first"], ids[inside], times[inside])
            np.maximum.at(self.rows["last"], ids[inside], times[inside])
        for name, where in (("early", times < _YEAR_1990), ("late", times > self.now)):
            self.suspicions[name].add(where, where, lambda i: clock(int(times[i])))
        both = (local > 0) & (exch > 0)
        if both.any():
            skew, moments = (local - exch)[both], times[both]
            self.clock_smallest, self.clock_largest = min(self.clock_smallest, int(skew.min())), max(self.clock_largest, int(skew.max()))
            self.suspicions["clock"].add(skew < 0, skew / -1e9, lambda i: f"{clock(int(moments[i]))} by {skew[i] / -1e9:.9g} s")
        for name, values in (("exch_ns", times), ("local_ns", local)):
            values = values[values > 0]
            if not len(values):
                continue
            before = np.maximum.accumulate(np.append(self.latest[name], values))
            self.latest[name] = int(before[-1])
            back = np.where(before[:-1] > values, before[:-1] - values, 0)
            self.suspicions[name].add(back > 0, back / 1e9, lambda i, v=values, b=back: f"{clock(int(v[i]))} by {b[i] / 1e9:.9g} s")
            if name == "exch_ns":
                steps = np.diff(before)
                if before[0] == _LAST:
                    steps[0] = 0
                at = int(np.argmax(steps))
                if steps[at] > self.silence:
                    self.silence, self.silence_begins = int(steps[at]), int(before[at])

    def _stale(self, events: Events, kinds: npt.NDArray[np.uint8], times: npt.NDArray[np.int64]) -> None:
        """Books between a gap and the next image."""
        for i in np.flatnonzero((kinds == KINDS["gap"]) | (kinds == KINDS["clear"])).tolist():
            symbol = int(events["symbol_id"][i])
            for row in range(len(self.rows)) if symbol == NO_SYMBOL else (symbol,):
                if row < len(self.rows):
                    since = self.stale_since.pop(row, None)
                    self.rows["stale"][row] += max(0, int(times[i]) - since) if since is not None else 0
                    if kinds[i] == KINDS["gap"]:
                        self.stale_since[row] = int(times[i])

    def _trades(self, events: Events, kinds: npt.NDArray[np.uint8], times: npt.NDArray[np.int64]) -> None:
        """Steps of prices, ids that come again, and trades of nothing."""
        at = np.flatnonzero(((kinds == KINDS["trade"]) | (kinds == KINDS["execute"])) & (events["symbol_id"] < len(self.rows)))
        trades, times = events.view(RAW)[at].view(EVENT_DTYPE), times[at]
        size, ids, symbols = trades["size"], trades["match_id"].copy(), trades["symbol_id"].astype(np.int64)
        self.suspicions["empty"].add(size == 0, size, lambda i: self._place(symbols[i], times[i]))
        keys = np.append(self.ids, (ids * _ODD ^ symbols)[ids != 0])
        order = np.argsort(keys, kind="stable")
        again = order[1:][keys[order[1:]] == keys[order[:-1]]] - len(self.ids)
        repeated = np.zeros(len(keys) - len(self.ids), bool)
        repeated[again[again >= 0]] = True
        known = np.flatnonzero(ids != 0)
        self.suspicions["ids"].add(repeated, repeated, lambda i: f"{self._place(symbols[known[i]], times[known[i]])} id={ids[known[i]]}")
        self.ids = keys[len(self.ids) :]
        priced = trades["price"] != NO_PRICE
        prices = trades["price"][priced]
        if self.books is None:
            np.gcd.at(self.rows["step"], symbols[priced], prices)
        self._step("trade", symbols[priced], prices.astype(float), times[priced])

    def _step(
        self, name: str, symbols: npt.NDArray[np.int64], prices: npt.NDArray[np.float64], times: npt.NDArray[np.int64]
    ) -> None:
        """Prices far from the one before of the same symbol."""
        if not len(prices):
            return
        if len(self.rows) > 1:
            order = _by_symbol(symbols)
            symbols, prices, times = symbols[order], prices[order], times[order]
        before = _before(symbols, prices, self.rows[name])
        far = (np.abs(prices - before) > STEP * np.minimum(np.abs(prices), np.abs(before))) & (np.abs(prices - before) > 10)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.maximum(np.abs(prices / before), np.abs(before / prices)) if far.any() else prices
        self.suspicions[name].add(far, ratio, lambda i: f"{self._place(symbols[i], times[i])} {before[i]:g} {prices[i]:g} ticks")

    def _repeated(self, events: Events, times: npt.NDArray[np.int64]) -> None:
        """Events that are bit for bit the one before them."""
        words = np.concatenate([self.end, events[:1]]).view(np.int64).reshape(-1, 8), events.view(np.int64).reshape(-1, 8)
        first = len(words[0]) == 2 and bool((words[0][0] == words[0][1]).all())
        same = np.append(first, words[1][1:, 1] == words[1][:-1, 1])  # times first: few are equal
        at = np.flatnonzero(same[1:]) + 1
        same[at] = (words[1][at] == words[1][at - 1]).all(axis=1)
        self.suspicions["repeated"].add(same, times * 0, lambda i: clock(int(times[i])))
        self.end = events[-1:].copy()

    def _books(self, events: Events, kinds: npt.NDArray[np.uint8]) -> None:
        """For how long the books were crossed and locked, and steps of their middle."""
        assert self.books is not None
        if self.feed.book != "quotes" and (kinds == KINDS["quote"]).any():  # the venue's own account of its best prices
            events = events.view(RAW)[kinds != KINDS["quote"]].view(EVENT_DTYPE)
        if len(self.quotes) < len(events):
            self.quotes = np.empty(len(events), QUOTE_DTYPE)
        quotes = self.quotes[: self.books.apply_into(events, self.quotes)]
        if not len(quotes):
            return
        if len(self.rows) > 1:
            quotes = quotes.view(RAW)[_by_symbol(quotes["symbol_id"])].view(QUOTE_DTYPE)
        symbols, bid, ask = quotes["symbol_id"].astype(np.int64), quotes["bid"].copy(), quotes["ask"].copy()
        times = np.where(quotes["exch_ns"] == 0, quotes["local_ns"], quotes["exch_ns"])
        both = (bid != NO_PRICE) & (ask != NO_PRICE)
        state = both * (_OPEN + (bid == ask) + 2 * (bid > ask))
        for prices in (bid, ask):
            np.gcd.at(self.rows["step"], symbols[both], prices[both])
        before, since = _before(symbols, state, self.rows["state"]), _before(symbols, times, self.rows["since"])
        spent = np.where(since == 0, 0, np.maximum(times - since, 0))
        self.rows["held"] += np.bincount(symbols * 4 + before, spent, 4 * len(self.rows)).reshape(-1, 4)
        at = np.flatnonzero(state == _OPEN)
        at = at[ask[at] - bid[at] < TIGHT * np.abs(ask[at])]
        self._step("middle", symbols[at], (bid[at] + ask[at]) * 0.5, times[at])

    def _place(self, symbol: Any, time_ns: Any) -> str:
        return f"{self.feed.instruments[int(symbol)].symbol} {clock(int(time_ns))}"

    def told(self, corrupt: str | None, options: dict[str, Any]) -> Inspection:
        """What was found, now that the file is read."""
        feed = self.feed
        self._grow()
        for number, since in self.stale_since.items():
            self.rows["stale"][number] += max(0, self.last - since)
        opened = self.rows["since"] != 0
        at = np.flatnonzero(opened), self.rows["state"][opened]
        self.rows["held"][at] += np.maximum(self.rows["last"] - self.rows["since"], 0)[opened]
        symbols = []
        for number in np.argsort(-self.rows["events"], kind="stable").tolist():
            instrument, row = feed.instruments[number], self.rows[number]
            both, span = float(row["held"][_OPEN:].sum()), max(0, int(row["last"]) - int(row["first"]))
            symbols.append(SymbolFacts(
                symbol=instrument.symbol, tick_size=instrument.tick_size, lot_size=instrument.lot_size, events=int(row["events"]),
                increment=float(f"{row['step'] * instrument.tick_size:.12g}") if row["step"] else None,
                first_ns=int(row["first"]) if row["first"] != _UNSET else 0, last_ns=max(0, int(row["last"])),
                crossed_share=float(row["held"][_CROSSED]) / both if both else None,
                locked_share=float(row["held"][_LOCKED]) / both if both else None,
                stale_share=min(1.0, int(row["stale"]) / span) if span else 0.0,
            ))  # fmt: skip
        counts = {} if self.books is None else self.books.counts
        path, table = str(feed.path), getattr(feed, "kind", None)
        return Inspection(
            path=path,
            format=feed.format,
            what=IN_WORDS.get(feed.format, feed.format) + (f" of {table}" if table else ""),
            packed=_packed(feed.path),
            file_bytes=0 if is_stream(feed.path) else feed.path.stat().st_size,
            messages=dict(feed.messages),
            kinds={_NAMES.get(code, str(code)): n for code, n in enumerate(self.kinds.tolist()) if n},
            events=self.events,
            malformed=dict(feed.errors),
            first_malformed="{1} (offset {0:,})".format(*feed.error_log[0]) if feed.error_log else None,
            first_ns=self.first if self.last != _LAST else None,
            last_ns=self.last if self.last != _LAST else None,
            longest_silence_ns=self.silence,
            silence_begins_ns=self.silence_begins,
            gaps=feed.gaps,
            waiting=feed.waiting,
            dropped=feed.dropped,
            clock_smallest_ns=self.clock_smallest if self.clock_smallest != _UNSET else None,
            clock_largest_ns=self.clock_largest if self.clock_largest != _LAST else None,
            book_errors={rule: n for rule, n in counts.items() if rule != "ok"},
            symbols=symbols,
            suspicions=[*self._of_the_whole(symbols), *(s for s in self.suspicions.values() if s.count)],
            corrupt=corrupt,
            command=_command(path, feed.format, options, [facts.symbol for facts in symbols if facts.events]),
        )

    def _of_the_whole(self, symbols: list[SymbolFacts]) -> list[Suspicion]:
        feed, found = self.feed, []
        for name in ("crossed", "stale"):
            shares = [(getattr(facts, f"{name}_share") or 0.0, facts.symbol) for facts in symbols]
            many = [(100 * share, symbol) for share, symbol in shares if share > SHARE]
            if many:
                largest, _ = max(many)
                found.append(Suspicion(what=f"books are {name} for more than {SHARE:.1%} of the time", unit="%", count=len(many),
                                       largest=largest, first=many[0][1]))  # fmt: skip
        if "trade" in feed.messages and "aggTrade" in feed.messages:
            found.append(Suspicion(what="trades come twice: as trade and as aggTrade", count=feed.messages["aggTrade"]))
        if feed.format == "binance" and (stale := getattr(feed, "stale", 0)):
            found.append(Suspicion(what="changes come that the book had already", count=stale))
        return found


def _by_symbol(symbols: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Places in the order of symbols, and of one symbol as they come; numbers of 16 bits are sorted fastest."""
    return np.argsort(symbols.astype(np.uint16) if symbols.max() < 1 << 16 else symbols, kind="stable")


def _before(
    symbols: npt.NDArray[np.int64], values: npt.NDArray[Any], last: npt.NDArray[Any]
) -> npt.NDArray[Any]:
    """The value before each one of the same symbol; rows are sorted by symbol, `last` holds what was before and gets the last ones."""
    first = np.append(True, symbols[1:] != symbols[:-1])
    before = np.append(values[:1], values[:-1])
    before[first] = last[symbols[first]]
    ends = np.append(first[1:], True)
    last[symbols[ends]] = values[ends]
    return before


def clock(time_ns: int) -> str:
    """Return a time as text, UTC; of those counted from midnight the time of day."""
    text = str(np.datetime_as_string(np.datetime64(time_ns, "ns")))
    return text[11:] if 0 <= time_ns < _DAY else f"{text}Z"


def _packed(path: Path) -> str:
    if path.is_dir():
        return ""
    with opened(path) as file:
        return _PACKED.get(file.read(2), "")


def _command(path: str, format: str, options: dict[str, Any], symbols: list[str]) -> str:
    words = ["hft", "replay", path]
    try:
        known = recognise(path)
    except ValueError:
        known = ""
    if known != format:
        words += ["--format", format]
    if len(symbols) > 1:
        words += ["--symbol", symbols[0]]
    for name, value in options.items():
        words += ["--option", f"{name}={value if isinstance(value, (str, date)) else json.dumps(value)}"]
    return shlex.join(words)
