"""Databento records of the types that ``fastcore.wire.dbn`` leaves to NumPy, as events, a block at a time.

`CONVERT` has a function for each of these types. It is given a `Block`, whose records have symbol ids already, and returns the
events and how many of them each record has (None: one each).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fastcore.records import EVENT_DTYPE, KINDS, NO_PRICE, TRADING

from ._dbn_records import F_LAST, F_SNAPSHOT, INTERVAL_NS, Records
from ._levels import CONTINUED, SNAPSHOT, Rows, level_changes, place
from .feed import RAW, Events

__all__ = ["CONVERT", "Block", "Depth", "Made", "actions", "assemble", "times"]

_UNDEF_PRICE = np.iinfo(np.int64).max
_UNDEF_TIME = np.iinfo(np.uint64).max
_STATES = np.zeros(16, np.int64)
_STATES[[3, 7, 8, 9, 10]] = [TRADING[word] for word in ("quotation", "trading", "halted", "paused", "paused")]

Positions = npt.NDArray[np.int64]
Made = tuple[Events, Positions | None]


class Depth:
    """The last row of levels of each symbol id."""

    def __init__(self) -> None:
        self._ids = np.zeros(0, np.uint32)  # ascending
        self._rows = np.zeros((0, 4, 10), np.int64)

    def previous(self, ids: npt.NDArray[np.uint32], rows: Rows) -> tuple[Rows, npt.NDArray[np.bool_]]:
        """Return the row before each row of the same symbol id, and where there is none (its values are 0)."""
        order = np.argsort(ids, kind="stable")
        ids, n = ids[order], len(order)
        first = np.ones(n, bool)
        first[1:] = ids[1:] != ids[:-1]
        before = np.empty_like(rows)
        before[order[1:]] = rows[order[:-1]]
        heads = np.flatnonzero(first)
        at = np.minimum(np.searchsorted(self._ids, ids[heads]), max(len(self._ids) - 1, 0))
        old = self._ids[at] == ids[heads] if len(self._ids) else np.zeros(len(heads), bool)
        fresh = np.zeros(n, bool)
        fresh[order[heads[~old]]] = True
        before[order[heads[~old]]] = 0
        before[order[heads[old]]] = self._rows[at[old]]
        tails = np.append(heads[1:], n) - 1
        keep = ~np.isin(self._ids, ids[heads])
        all_ids = np.concatenate([self._ids[keep], ids[heads]])
        all_rows = np.concatenate([self._rows[keep], rows[order[tails]]])
        sort = np.argsort(all_ids)
        self._ids, self._rows = all_ids[sort], all_rows[sort]
        return before, fresh

    def forget(self, symbol_id: int) -> None:
        """Take the next row of a symbol id for the first."""
        keep = self._ids != symbol_id
        self._ids, self._rows = self._ids[keep], self._rows[keep]


class Block(NamedTuple):
    """Records of one type."""

    rtype: int
    records: Records
    at: Positions | None  # places among all records of the piece, None where there are no others
    symbol_ids: npt.NDArray[np.uint32]
    joined: bool  # records without the flag LAST may be parts of one venue event
    depth: Depth

    def base(self, counts: Positions | None = None) -> Events:
        """Events with the header of their records; `counts` of them for each record."""
        records = self.records
        source = np.zeros(len(records), EVENT_DTYPE)
        source["exch_ns"] = times(records["ts_event"])
        names = records.dtype.names or ()
        if "ts_recv" in names:
            source["local_ns"] = times(records["ts_recv"])
        if "sequence" in names:
            source["seq"] = records["sequence"]
        source["symbol_id"] = self.symbol_ids
        return source if counts is None else np.repeat(source.view(RAW), counts).view(EVENT_DTYPE)

    def continued(self) -> Positions:
        """Records whose successor belongs to the same venue event."""
        records = self.records
        i = np.flatnonzero((records["flags"][:-1] & np.uint8(F_LAST | F_SNAPSHOT)) == 0)
        time, ids = records["ts_event"], self.symbol_ids
        same = (time[i] == time[i + 1]) & (ids[i] == ids[i + 1])
        if self.at is not None:
            same &= self.at[i] + 1 == self.at[i + 1]
        return np.asarray(i[same])


def actions(records: Records) -> npt.NDArray[np.uint8]:
    """Return the action letters of records."""
    return np.ascontiguousarray(records["action"]).view(np.uint8)


def _quotes(block: Block) -> Made:
    prints = actions(block.records) == ord("T")
    counts = 1 + prints.astype(np.int64)
    events = block.base(counts)
    ends = np.cumsum(counts)
    first = ends - counts
    _best(events, block.records, first)
    _print(events, block.records, ends[prints] - 1, np.flatnonzero(prints))
    if block.joined:
        events["flags"][ends[block.continued()] - 1] |= CONTINUED
    events["flags"][first[prints]] |= CONTINUED
    return events, counts


def _samples(block: Block) -> Made:
    events = block.base()
    events["exch_ns"] = events["local_ns"]
    _best(events, block.records, np.arange(len(events)))
    return events, None


def _levels(block: Block) -> Made:
    records, n = block.records, len(block.records)
    rows = np.empty((n, 4, 10), np.int64)  # ask prices, ask sizes, bid prices, bid sizes
    for i in range(10):
        rows[:, 0, i], rows[:, 2, i] = records[f"ask_px_{i:02}"], records[f"bid_px_{i:02}"]
        rows[:, 1, i], rows[:, 3, i] = records[f"ask_sz_{i:02}"], records[f"bid_sz_{i:02}"]
    rows[:, 1][rows[:, 0] == _UNDEF_PRICE] = 0
    rows[:, 3][rows[:, 2] == _UNDEF_PRICE] = 0
    before, fresh = block.depth.previous(block.symbol_ids, rows)
    row, side, price, size = level_changes(_sides(before), _sides(rows))
    prints = actions(records) == ord("T")
    lead = prints + fresh.astype(np.int64)  # a trade, and the clear of a first image
    changes = np.bincount(row, minlength=n)
    counts = lead + changes
    events = block.base(counts)
    starts, owner = place(counts)
    rank = np.arange(len(row)) - (np.cumsum(changes) - changes)[row]
    events["flags"] = np.where(fresh[owner], SNAPSHOT, 0)
    _print(events, records, starts[prints], np.flatnonzero(prints))
    clears = starts[fresh] + prints[fresh]
    events["kind"][clears] = KINDS["clear"]
    events["price"][clears] = NO_PRICE
    spots = starts[row] + lead[row] + rank
    events["kind"][spots] = KINDS["level"]
    for name, values in (("side", side), ("price", price), ("size", size)):
        events[name][spots] = values
    events["flags"] |= CONTINUED
    # A message ends with the last event of its records, some of which have none.
    closed = np.ones(n, bool)
    closed[block.continued()] = False
    message = (np.cumsum(closed) - closed)[counts > 0]
    ends = (starts + counts - 1)[counts > 0]
    events["flags"][ends[np.append(message[1:] != message[:-1], True)[: len(ends)]]] &= ~np.uint16(CONTINUED)
    return events, counts


def _bars(block: Block) -> Made:
    records, interval = block.records, INTERVAL_NS[block.rtype]
    counts = np.full(len(records), 2)
    events = block.base(counts)
    events["kind"] = KINDS["bar"]
    events["exch_ns"] += interval
    values = _payload(events)
    for i, name in enumerate(("open", "high", "low", "close")):
        values[::2, i] = _prices(records[name])
    values[1::2] = 0
    values[1::2, 0] = records["volume"]
    values[1::2, 1] = -1
    values[1::2, 2] = interval
    events["flags"][::2] = CONTINUED
    return events, counts


def _status(block: Block) -> Made:
    records, events = block.records, block.base()
    events["kind"] = KINDS["status"]
    values = _payload(events)
    values[:, 0] = _STATES[np.minimum(records["action"], 15)]
    values[:, 1], values[:, 2], values[:, 3] = records["reason"], records["trading_event"], records["action"]
    return events, None


def _definitions(block: Block) -> Made:
    records, events = block.records, block.base()
    events["kind"] = KINDS["listing"]
    lots = records["min_lot_size_round_lot"].astype(np.int64)
    events["price"] = np.char.ljust(records["raw_symbol"].astype("S8"), 8).astype("S8").view(np.int64)
    events["size"] = np.where((lots > 0) & (lots < 2**31 - 1), lots, 0)
    return events, None


CONVERT: dict[int, Callable[[Block], Made]] = {
    **dict.fromkeys((177, 194, 197), _quotes),
    **dict.fromkeys((192, 193, 195, 196), _samples),
    **dict.fromkeys(INTERVAL_NS, _bars),
    10: _levels, 18: _status, 19: _definitions,
}  # fmt: skip


def assemble(made: list[tuple[Positions | None, Events, Positions | None]], count: int) -> Events:
    """Put the events of several types back into the order of their records: (places, events, events of each record)."""
    counts = np.zeros(count, np.int64)
    for at, _, each in made:
        counts[at] = 1 if each is None else each
    starts, _ = place(counts)
    out = np.empty(int(counts.sum()), RAW)
    for at, events, each in made:
        if each is None:
            out[starts[at]] = events.view(RAW)
        else:
            first, owner = place(each)
            out[starts[at][owner] + np.arange(len(events)) - first[owner]] = events.view(RAW)
    return out.view(EVENT_DTYPE)


def _payload(events: Events) -> Rows:
    return events.view(np.int64).reshape(-1, 8)[:, 4:]


def times(raw: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """Return times of records as those of events: 0 where they are undefined."""
    return np.where(raw == _UNDEF_TIME, 0, raw.astype(np.int64))


def _prices(prices: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.where(prices == _UNDEF_PRICE, NO_PRICE, prices)


def _best(events: Events, records: Records, at: Positions) -> None:
    """Write the quotes of all records at positions of `events`."""
    events["kind"][at] = KINDS["quote"]
    values = _payload(events)
    for i, side in enumerate(("bid", "ask")):
        price = _prices(records[f"{side}_px_00"])
        values[at, i] = price
        values[at, i + 2] = np.where(price == NO_PRICE, 0, records[f"{side}_sz_00"])
    events["flags"][at] |= np.where(records["flags"] & F_SNAPSHOT, SNAPSHOT, 0).astype(np.uint16)


def _print(events: Events, records: Records, at: Positions, rows: Positions) -> None:
    """Write the trades of some records at positions of `events`; the side becomes that of the resting order."""
    events["kind"][at] = KINDS["trade"]
    side = records["side"][rows]
    events["side"][at] = (side == b"A").astype(np.int8) - (side == b"B").astype(np.int8)
    events["price"][at] = _prices(records["price"][rows])
    events["size"][at] = records["size"][rows]


def _sides(rows: Rows) -> tuple[Rows, Rows, Rows, Rows]:
    return rows[:, 0], rows[:, 1], rows[:, 2], rows[:, 3]
