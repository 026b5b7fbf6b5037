"""Several feeds as one stream in the order of time, and the offset between two clocks.

Rules of `merge`:

- The key of a message (an event and those that continue it) is the time of its first event, and never below the key of
  the message before it in the same feed: a clock that goes backwards holds the stream at the latest time so far until it has
  caught up. Nothing is reordered within a feed, and the times in the events stay as they came. An event without a time of
  the exchange has that of the recorder; images (``snapshot``) have the key before them, the first one of a feed its own time.
- Equal keys: the feed that comes first among the arguments goes first.
- A message is not torn apart.
- Feeds that were opened with one table of instruments keep their symbol ids, and nothing is copied. Those of other feeds become
  rows of a table of the stream; a symbol of two feeds is one symbol, unless `names` tell them apart.

Memory is one array of each feed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from operator import index
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from fastcore.errors import range_error
from fastcore.records import EVENT_DTYPE, FLAGS, KINDS, NO_PRICE

from ._ids import IdMap
from .feed import RAW, Events, Feed, FormatError, account, check_chunk_events, whole_messages

__all__ = ["ClockOffset", "MergedFeed", "clock_offset", "merge"]

_CONTINUED = FLAGS["continued"]
_MOST_BINS = 1 << 24  # nine days of the fine grid
_MIN_NS, _MAX_NS = np.iinfo(np.int64).min, np.iinfo(np.int64).max


class _Source:
    """One feed: its array that waits, with keys and rows of this stream's table."""

    def __init__(self, feed: Feed, field: str, offset_ns: int, name: str | None) -> None:
        self.feed, self.field, self.offset_ns, self.name = feed, field, offset_ns, name
        self.ids = IdMap()
        self.events = np.zeros(0, EVENT_DTYPE)
        self.keys = np.zeros(0, np.int64)
        self.last = _MIN_NS
        self.ended = False

    def load(self, row_of: Callable[[int], int] | None) -> None:
        """Take the next array, or note that there is none; `row_of` is None where its ids are rows already."""
        events = next((events for events in self.feed if len(events)), None)
        if events is None:
            self.ended = True
            return
        self.events = events if row_of is None else self.ids.events(events, row_of)
        if self.offset_ns:
            if self.events is events:
                self.events = events.view(RAW).copy().view(EVENT_DTYPE)
            self.events[self.field] += self.offset_ns
        flags = self.events["flags"] & _CONTINUED
        starts = np.append(True, flags[:-1] == 0)
        keys = np.maximum.accumulate(np.maximum(self._times(self.events[starts]), self.last))
        self.last = int(keys[-1])
        self.keys = keys[np.cumsum(starts) - 1]


    def _times(self, firsts: Events) -> npt.NDArray[np.int64]:
        """Times of messages by their first events."""
        times = firsts[self.field].copy()
        if self.field == "exch_ns":
            times = np.where(times == 0, firsts["local_ns"], times)
        images = (firsts["flags"] & FLAGS["snapshot"]) != 0
        if self.last == _MIN_NS and len(images):
            images[0] = False  # nothing came before it
        times[images] = _MIN_NS
        return times


class MergedFeed(Feed):
    """What `merge` returns.

    Attributes
    ----------
    feeds : tuple of Feed
    """

    format = "merge"
    _several = "; tables of one instrument take one name: --option symbol=NAME"

    def __init__(
        self, feeds: Sequence[Feed], by: str, offsets_ns: Sequence[int], names: Sequence[str | None], chunk_events: int
    ) -> None:
        shared = feeds[0].instruments if feeds and not any(names) else None
        if any(feed.instruments is not shared for feed in feeds):
            shared = None
        super().__init__("+".join(feed.path.name for feed in feeds) or "merge", shared)
        self.feeds = tuple(feeds)
        self._shared = shared is not None
        self._chunk = chunk_events
        self._sources = [
            _Source(feed, by, offset, name) for feed, offset, name in zip(feeds, offsets_ns, names, strict=True)
        ]
        kinds = {feed.book for feed in feeds}
        self.book = kinds.pop() if len(kinds) == 1 else "none"

    def close(self) -> None:
        """Release the files of all feeds."""
        super().close()
        for feed in self.feeds:
            feed.close()

    def _row_of(self, feed: Feed, name: str | None, symbol_id: int) -> int:
        """Row of a row of a feed, whose symbol has the name of the venue behind it."""
        there = feed.instruments[symbol_id]
        symbol = there.symbol if name is None else f"{there.symbol}.{name}"
        try:
            return self.instruments.add(there._replace(symbol=symbol))
        except ValueError as error:
            raise FormatError(f"symbols of several feeds that mean several things need names: path={feed.path} {error}") from error

    def _arrays(self) -> Iterator[Events]:
        sources = self._sources
        while True:
            for source in sources:
                if not len(source.events) and not source.ended:
                    source.load(None if self._shared else partial(self._row_of, source.feed, source.name))
            account(self, self.feeds)
            waiting = [source for source in sources if len(source.events)]
            if not waiting:
                return
            # Up to the smallest of the last keys every event is here; a feed whose array ends there may go on with the same
            # key, which those behind it among the arguments must await.
            horizon = min((source.last for source in sources if not source.ended), default=_MAX_NS)
            ready: list[tuple[Events, npt.NDArray[np.int64]]] = []
            open_before = False
            for source in sources:
                side: Literal["left", "right"] = "left" if open_before else "right"
                n = int(np.searchsorted(source.keys, horizon, side=side))
                if n:
                    ready.append((source.events[:n], source.keys[:n]))
                    source.events, source.keys = source.events[n:], source.keys[n:]
                open_before |= not source.ended and source.last == horizon
            if len(ready) == 1:
                yield from whole_messages(ready[0][0], self._chunk)
            elif ready:
                yield from whole_messages(_interleave(ready), self._chunk)


def _interleave(parts: list[tuple[Events, npt.NDArray[np.int64]]]) -> Events:
    """Merge sorted parts; equal keys in the order of the parts."""
    while len(parts) > 1:
        merged = []
        for i in range(0, len(parts) - 1, 2):
            (a, keys_a), (b, keys_b) = parts[i], parts[i + 1]
            # Where each goes: its own place, and what of the other part lies before it.
            at_a = np.arange(len(a)) + np.searchsorted(keys_b, keys_a, side="left")
            from_b = np.ones(len(a) + len(b), bool)
            from_b[at_a] = False
            at_b = np.flatnonzero(from_b)
            events, keys = np.empty(len(from_b), RAW), np.empty(len(from_b), np.int64)
            events[at_a], keys[at_a] = a.view(RAW), keys_a
            events[at_b], keys[at_b] = b.view(RAW), keys_b
            merged.append((events.view(EVENT_DTYPE), keys))
        if len(parts) % 2:
            merged.append(parts[-1])
        parts = merged
    return parts[0][0]


def merge(
    *feeds: Feed,
    by: Literal["exch_ns", "local_ns"] = "exch_ns",
    offsets_ns: Sequence[int] | None = None,
    names: Sequence[str | None] | None = None,
    chunk_events: int = 65_536,
) -> MergedFeed:
    """Join feeds into one stream in the order of time.

    Parameters
    ----------
    *feeds : Feed
        Read by the returned feed alone from now on.
    by : {"exch_ns", "local_ns"}, default "exch_ns"
        The time that orders the stream.
    offsets_ns : sequence of int, optional
        Added to the times `by` of each feed, in the events too: what a clock is behind (`clock_offset`).
    names : sequence of str or None, optional
        Of the venues: appended to the symbols (``EURUSD.FXCM``).
    chunk_events : int, default 65536
        Largest number of events in an array, except for a message that has more.

    Returns
    -------
    MergedFeed

    Raises
    ------
    ValueError
        If `by` is no time, or there are not as many offsets or names as feeds. While iterating: if a symbol of two feeds means two
        things and `names` do not tell them apart.

    Notes
    -----
    The rules for equal times, clocks that go backwards and messages of several events are in the docstring of the module.
    """
    if by not in ("exch_ns", "local_ns"):
        raise ValueError(f"by must be exch_ns or local_ns: by={by}")
    for name, values in (("offsets_ns", offsets_ns), ("names", names)):
        if values is not None and len(values) != len(feeds):
            raise ValueError(f"{name} must be as many as the feeds: {name}={len(values)} feeds={len(feeds)}")
    check_chunk_events(chunk_events)
    return MergedFeed(feeds, by, [index(o) for o in offsets_ns or [0] * len(feeds)], names or [None] * len(feeds), chunk_events)


class ClockOffset(NamedTuple):
    """How far one clock is from another.

    Attributes
    ----------
    offset_ns : int
        To add to the times of the second feed to get those of the first.
    hours : float
        The same in hours.
    correlation : float
        Of the price changes at that offset, on the fine grid.
    quality : float
        Height of the peak over the next highest elsewhere: below 1.5 there is no saying.
    """

    offset_ns: int
    hours: float
    correlation: float
    quality: float

    def __str__(self) -> str:
        return (
            f"{self.offset_ns / 1e9:+.3f} s ({self.hours:+.4f} h), correlation {self.correlation:.3f}, "
            f"{self.quality:.1f} times the next peak"
        )


def clock_offset(
    a: Feed | Events,
    b: Feed | Events,
    *,
    max_hours: float = 14.0,
    grid_ns: int = 1_000_000_000,
    fine_ns: int = 50_000_000,
) -> ClockOffset:
    """Estimate the constant offset between the clocks of two venues that trade the same thing.

    The mid-prices (or trade prices) of both are laid on a grid, and their changes are correlated at all lags; around the highest
    peak once more on a finer grid.

    Parameters
    ----------
    a, b : Feed or ndarray of events
        Quotes or trades of one symbol each. A feed is read to its end: open it again to merge.
    max_hours : float, default 14
        Largest offset looked for.
    grid_ns, fine_ns : int, default 1 s and 50 ms
        Steps of the two grids; the result is a multiple of the fine one.

    Returns
    -------
    ClockOffset

    Raises
    ------
    ValueError
        If a side has fewer than 100 price changes, the times are further apart than 2**24 steps of a grid, or a parameter is out of
        range.

    Notes
    -----
    Changes are clipped at five times their standard deviation, so that a single jump does not decide.
    """
    if not 1 <= fine_ns <= grid_ns:
        raise range_error("fine_ns", fine_ns, 1, grid_ns)
    if not 0 < max_hours <= 48:
        raise ValueError(f"max_hours must be positive and at most 48: max_hours={max_hours}")
    series = [_mids(side) for side in (a, b)]
    for name, (_, prices) in zip("ab", series, strict=True):
        if np.count_nonzero(np.diff(prices)) < 100:
            raise ValueError(f"a side must have at least 100 price changes: {name}={np.count_nonzero(np.diff(prices))}")
    most = int(max_hours * 3600e9)
    rough, height, quality = _peak(series, grid_ns, 0, most)
    fine, height, _ = _peak(series, fine_ns, rough, 3 * grid_ns)
    return ClockOffset(fine, fine / 3600e9, height, quality)


def _mids(side: Feed | Events) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    arrays: Any = [side] if isinstance(side, np.ndarray) else side
    times, prices = [], []
    for events in arrays:
        quotes = events["kind"] == KINDS["quote"]
        values = events.view(np.int64).reshape(-1, 8)
        both = quotes & (values[:, 4] != NO_PRICE) & (values[:, 5] != NO_PRICE)
        prints = events["kind"] == KINDS["trade"]
        used = both | prints
        times.append(events["exch_ns"][used])
        prices.append(np.where(both, values[:, 4] / 2 + values[:, 5] / 2, values[:, 4])[used])
    if not times:
        return np.zeros(0, np.int64), np.zeros(0)
    return np.maximum.accumulate(np.concatenate(times)), np.concatenate(prices)


def _peak(series: list[tuple[Any, Any]], step: int, centre: int, reach: int) -> tuple[int, float, float]:
    """Offset of b (around `centre`, up to `reach` away) with the highest correlation, that, and its ratio to the next peak."""
    (times_a, prices_a), (times_b, prices_b) = series
    start = min(int(times_a[0]), int(times_b[0]) + centre)
    bins = (max(int(times_a[-1]), int(times_b[-1]) + centre) - start) // step + 2
    if bins > _MOST_BINS:
        raise ValueError(f"the times of both sides must lie within {_MOST_BINS} steps of the grid: steps={bins} step_ns={step}")
    moves = []
    for times, prices, shift in ((times_a, prices_a, 0), (times_b, prices_b, centre)):
        slot = (times + shift - start) // step
        grid = np.zeros(bins)
        change = np.diff(np.log(np.abs(prices) + 1e-300), prepend=np.log(abs(prices[0]) + 1e-300))
        np.add.at(grid, slot, change)
        limit = 5 * grid[grid != 0].std()
        moves.append(np.clip(grid, -limit, limit))
    size = 1 << int(2 * bins - 1).bit_length()
    spectrum = np.fft.rfft(moves[0], size) * np.conj(np.fft.rfft(moves[1], size))
    correlation = np.fft.irfft(spectrum, size) / np.sqrt((moves[0] ** 2).sum() * (moves[1] ** 2).sum())
    lags = int(min(reach // step, bins - 1))
    window = np.concatenate([correlation[size - lags :], correlation[: lags + 1]])
    best = int(np.argmax(window))
    others = window.copy()
    others[max(best - 5, 0) : best + 6] = 0
    second = float(others.max(initial=0.0))
    return centre + (best - lags) * step, float(window[best]), float(window[best] / second) if second > 0 else float("inf")
