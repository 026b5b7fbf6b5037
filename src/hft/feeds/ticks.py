"""The tick store as a feed: its ticks as trades, its events as they are."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fastcore.errors import CorruptDataError, LayoutError
from fastcore.instruments import Instrument, Instruments
from fastcore.records import EVENT_DTYPE, FLAGS, KINDS, TICK_DTYPE
from fastcore.tickstore import StoreWarning, TickStore

from ._ids import IdMap
from ._scale import power_of_ten, whole_units
from .feed import RAW, Events, Feed, Progress, check_chunk_events, whole_messages

__all__ = ["TickFeed", "names_of"]


class TickFeed(Feed):
    """A store of ``fastcore.tickstore``, from its first committed record to its last at the time of the call.

    Arrays of stored events are read-only views of the file: nothing is copied.

    Parameters
    ----------
    path : path
    instruments, wanted
        As in ``hft.feeds.Feed``.
    progress : callable(done, total), optional
        Told the records read.
    chunk_events : int, default 65536
    tick_size, lot_size : float, optional
        Of ticks, whose prices and volumes are floats; by default the largest power of ten (1 down to 1e-9) that divides those of
        the first array. A price that is no whole number of ticks is an error of its record.
    names : mapping of int to Instrument, optional
        What the ids in the store are; by default what the table beside the store says (``hft.store.symbols.table_of``), and where
        it says nothing the number is the name.
    start_ns, end_ns : int, optional
        Part of the store: times from start_ns up to, not including, end_ns.
    strict : bool, default False
        Raise CorruptDataError at the first record that is no event.

    Raises
    ------
    LayoutError
        If the store holds other records than ticks and events.
    CorruptDataError
        After every record that the store vouches for, when others are lost.
    """

    format = "ticks"

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        instruments: Instruments | None = None,
        wanted: Collection[str] | None = None,
        progress: Progress | None = None,
        chunk_events: int = 65_536,
        tick_size: float | None = None,
        lot_size: float | None = None,
        names: Mapping[int, Instrument] | None = None,
        start_ns: int | None = None,
        end_ns: int | None = None,
        strict: bool = False,
    ) -> None:
        super().__init__(path, instruments, wanted)
        for name, value in (("tick_size", tick_size), ("lot_size", lot_size)):
            if value is not None and not 0 < value < float("inf"):
                raise ValueError(f"{name} must be positive and finite: {name}={value}")
        check_chunk_events(chunk_events)
        self.strict = strict
        self._chunk, self._progress = chunk_events, progress or (lambda done, total: None)
        self._tick, self._lot = tick_size, lot_size
        self._names = names_of(self.path) if names is None else dict(names)
        self._ids = IdMap()
        self._range = start_ns, end_ns
        with self._open() as store:
            self._dtype = store.dtype
        if self._dtype not in (TICK_DTYPE, EVENT_DTYPE):
            raise LayoutError(f"a store must hold ticks or events to be a feed: path={path} dtype={self._dtype}")
        if self._dtype == EVENT_DTYPE:
            self.book = "orders"

    def _open(self) -> TickStore:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", StoreWarning)  # what is lost is an error behind what is not
            return TickStore(self.path, "r")

    def _arrays(self) -> Iterator[Events]:
        with self._open() as store:
            records = store.records() if self._range == (None, None) else store.query(*self._range)
            total, at = len(records), 0
            ticks = self._dtype == TICK_DTYPE
            while at < total:
                if ticks:
                    part = records[at : at + self._chunk]
                    events = self._trades(part, at)
                else:
                    part = next(whole_messages(records[at : at + 4 * self._chunk], self._chunk))
                    events = part  # on the mapped file, which stays for as long as somebody holds the array
                    if part["flags"][-1] & FLAGS["continued"] and at + len(part) >= total:
                        events = part.view(RAW).copy().view(EVENT_DTYPE)
                        events["flags"][-1] &= ~np.uint16(FLAGS["continued"])  # the rest of the message was never stored
                    events = self._ids.events(events, self._row_of)
                unknown = events["kind"] >= len(KINDS)
                if unknown.any():
                    self._skip("an event must have a known kind", np.flatnonzero(unknown) + at, events["kind"][unknown].tolist())
                    events = events[~unknown]
                at += len(part)
                if len(events):
                    kinds = np.bincount(events["kind"], minlength=32)
                    for name, code in KINDS.items():
                        if kinds[code]:
                            self.messages[name] = self.messages.get(name, 0) + int(kinds[code])
                    yield events
                len(store)  # raises where the file was cut meanwhile
                self._progress(at, total)
            lost = store.recovery
            if lost is not None and lost.dropped_records:
                where = f"path={self.path} records={lost.records} lost={lost.dropped_records}"
                raise CorruptDataError(f"a store must be whole: {lost.reason}: {where}")

    def _row_of(self, number: int) -> int:
        """Row of an id in the store."""
        name = self._names.get(number)
        return self._row(str(number), self._tick or 1.0, self._lot or 1.0) if name is None else self._row(*name[:3])

    def _trades(self, ticks: npt.NDArray[np.void], first: int) -> Events:
        price, volume = np.ascontiguousarray(ticks["price"]), np.ascontiguousarray(ticks["volume"])
        self._tick = self._tick or power_of_ten([price])
        self._lot = self._lot or power_of_ten([volume])
        ids = ticks["symbol_id"]
        step, lot = np.full(len(ticks), self._tick), np.full(len(ticks), self._lot)
        for number, instrument in self._names.items():
            step[ids == number], lot[ids == number] = instrument.tick_size, instrument.lot_size
        events = np.zeros(len(ticks), EVENT_DTYPE)
        events["exch_ns"] = ticks["timestamp_ns"]
        events["symbol_id"] = self._ids.rows(ids, self._row_of)
        events["kind"] = KINDS["trade"]
        bad = np.zeros(len(ticks), bool)
        for name, values, unit in (("price", price, step), ("size", volume, lot)):
            whole, infinite, off = whole_units(values, unit)
            wrong = infinite | off
            if name == "size":
                wrong |= whole < 0
            where = np.flatnonzero(wrong & ~bad)
            self._skip(f"{name} of a tick must be a whole multiple of its unit", where + first, values[where].tolist())
            bad |= wrong
            events[name] = np.where(wrong, 0, whole)
        return events[~bad] if bad.any() else events

    @classmethod
    def recognise(cls, head: bytes, path: Path) -> bool:
        """By the magic number."""
        return head[:8] == b"FCSTORE\0"


def names_of(path: Path) -> dict[int, Instrument]:
    """Return what the table beside a store says of its ids; nothing where there is none."""
    from hft.store.symbols import SymbolTable, table_of

    if not table_of(path).is_file():
        return {}
    with closing(SymbolTable(table_of(path))) as symbols:
        known = Instruments()
        for number, name in symbols.names.items():
            tick_size, lot_size = symbols.sizes_of(number)
            if math.isfinite(tick_size) and math.isfinite(lot_size):
                known.add(name, tick_size=tick_size, lot_size=lot_size)
        return {symbols.id_of(instrument.symbol): instrument for instrument in known}
