"""Rows of price levels - changes one by one, or whole books - as the events of a book by level."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from fastcore.records import EVENT_DTYPE, KINDS

from ._columns import UNKNOWN_SIDE, flags, sides
from ._levels import CONTINUED, SNAPSHOT, level_changes
from ._rows import Mask, TableRows
from .feed import Events

__all__ = ["BookRows", "LevelRows"]

Values = Callable[..., npt.NDArray[np.int64]]  # ticks or lots of a role, checked in some of the rows


def _before(ids: npt.NDArray[np.uint32], values: npt.NDArray[np.int8], known: dict[int, int]) -> npt.NDArray[np.int8]:
    """Of each row the value of the row before it of the same instrument; `known` has the last of the batch before, and -1 is none."""
    order = np.argsort(ids, kind="stable")
    ids, values = ids[order], values[order]
    if not len(ids):
        return values
    first = np.append(True, ids[1:] != ids[:-1])
    found = np.append(np.int8(0), values[:-1])
    found[first] = [known.get(int(i), -1) for i in ids[first]]
    known |= dict(zip(ids.tolist(), values.tolist(), strict=True))  # of equal ids the last stays
    out = np.empty_like(found)
    out[order] = found
    return out


class LevelRows:
    """Changes of levels, one a row; rows of one instrument and time are one message.

    Rows of a snapshot rebuild the book: a clear goes before the first of them, and what comes before any snapshot is refused, because
    the rest of the book is not known then.
    """

    def __init__(self) -> None:
        self._snapshots: dict[int, int] = {}  # by instrument: whether its last row was of a snapshot
        self._held = np.zeros(0, EVENT_DTYPE)  # rows of a message that may go on
        self._starts = np.zeros(0, bool)  # of them: before which the book is cleared

    def events(self, events: Events, rows: TableRows, ticks: Values, lots: Values) -> Events:
        """Return the messages that are whole by now."""
        events["kind"] = KINDS["level"]
        events["price"], events["size"] = ticks("price"), lots("size")
        side = sides(rows.column("side"))
        rows.refuse("side of a level must be bid or ask", (side == 0) | (side == UNKNOWN_SIDE), "side")
        events["side"] = side
        starts = np.zeros(len(rows), bool)
        if "snapshot" in rows:
            image = flags(rows.column("snapshot"))
            rows.refuse("snapshot must be true or false", image < 0, "snapshot")
            good = np.flatnonzero(~rows.bad)
            before = np.ones(len(rows), np.int8)
            before[good] = _before(events["symbol_id"][good], image[good], self._snapshots)
            lost = self._lost(events["symbol_id"], (before < 0) & (image == 0) & ~rows.bad, (image == 1) & ~rows.bad)
            rows.refuse("a level must not come before the first snapshot of its symbol", lost, "snapshot")
            starts = (image == 1) & (before != 1)
            events["flags"] = np.where(image == 1, SNAPSHOT, 0)
        good_rows = ~rows.bad
        events, starts = np.concatenate([self._held, events[good_rows]]), np.concatenate([self._starts, starts[good_rows]])
        ends = _message_ends(events, starts)
        last = int(ends[-2]) + 1 if len(ends) > 1 else 0
        self._held, self._starts = events[last:], starts[last:]
        return _messages(events[:last], starts[:last])

    def _lost(self, ids: npt.NDArray[np.uint32], unknown: Mask, image: Mask) -> Mask:
        """Rows of instruments that have had no snapshot yet."""
        lost = np.zeros(len(ids), bool)
        for i in np.unique(ids[unknown]).tolist():
            of_it = ids == i
            first = np.flatnonzero(of_it & image)
            lost |= of_it & (np.arange(len(ids)) < (first[0] if len(first) else len(ids)))
            if not len(first):
                del self._snapshots[i]
        return lost

    def rest(self) -> Events:
        """Return the message that the end of the table ends."""
        events, starts = self._held, self._starts
        self._held, self._starts = events[:0], starts[:0]
        return _messages(events, starts)


def _message_ends(events: Events, starts: Mask) -> npt.NDArray[np.int64]:
    if not len(events):
        return np.zeros(0, np.int64)
    differ = starts[1:].copy()
    for name in ("symbol_id", "exch_ns", "local_ns", "flags"):
        differ |= events[name][1:] != events[name][:-1]
    return np.append(np.flatnonzero(differ), len(events) - 1)


def _messages(events: Events, starts: Mask) -> Events:
    """Levels as messages: all events but the last of each go on, and a clear stands before an image."""
    if not len(events):
        return events
    ends = _message_ends(events, starts)
    events["flags"] |= CONTINUED
    events["flags"][ends] &= ~np.uint16(CONTINUED)
    at = np.flatnonzero(starts)
    clears = events[at].copy()
    clears["kind"], clears["side"], clears["price"], clears["size"] = KINDS["clear"], 0, 0, 0
    clears["flags"] = SNAPSHOT | CONTINUED
    return np.insert(events, at, clears)


class BookRows:
    """The best levels of both sides in each row: an image first, then what changes from row to row of an instrument."""

    def __init__(self) -> None:
        self._last: dict[int, npt.NDArray[np.int64]] = {}  # by instrument: prices and sizes of its last row

    def events(self, events: Events, rows: TableRows, ticks: Values, lots: Values) -> Events:
        """Return the messages of the rows; a row that shows the same book has none."""
        levels = sum(f"bid{i}" in rows for i in range(1_000))
        books = np.zeros((4, len(rows), levels), np.int64)
        for i in range(levels):
            for place, side in ((0, "ask"), (2, "bid")):
                there = rows.there(f"{side}{i}") & (rows.floats(f"{side}_size{i}") != 0)
                books[place, :, i] = np.where(there, ticks(f"{side}{i}", there), 0)
                books[place + 1, :, i] = np.where(there, lots(f"{side}_size{i}", there), 0)
        good = np.flatnonzero(~rows.bad)
        good = good[np.argsort(events["symbol_id"][good], kind="stable")]
        if not len(good):
            return events[:0]
        ids, books = events["symbol_id"][good], books[:, good]
        first = np.append(True, ids[1:] != ids[:-1])
        before = np.concatenate([books[:, :1], books[:, :-1]], axis=1)
        fresh = np.zeros(len(good), bool)
        for row in np.flatnonzero(first):
            last = self._last.get(int(ids[row]))
            fresh[row] = last is None or last.shape[1] != levels
            before[:, row] = 0 if fresh[row] else last
        for row in np.flatnonzero(np.append(first[1:], True)):
            self._last[int(ids[row])] = books[:, row].copy()
        changed, *level = level_changes((before[0], before[1], before[2], before[3]), (books[0], books[1], books[2], books[3]))
        out = events[good[changed]].copy()
        out["kind"] = KINDS["level"]
        for name, values in zip(("side", "price", "size"), level, strict=True):
            out[name] = values
        images = np.flatnonzero(fresh)
        clears = events[good[images]].copy()
        clears["kind"] = KINDS["clear"]
        row_of = np.concatenate([images, changed])
        out = np.concatenate([clears, out])
        out["flags"] = np.where(fresh[row_of], SNAPSHOT, 0)
        order = np.lexsort((np.append(np.zeros(len(images)), np.ones(len(changed))), good[row_of]))
        out, row_of = out[order], row_of[order]
        out["flags"][:-1][row_of[1:] == row_of[:-1]] |= CONTINUED
        return out
