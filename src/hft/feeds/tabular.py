"""Tables of quotes, trades, bars or order messages as event arrays, whatever they come from.

Columns have roles (``hft.feeds._roles``): `columns` says which column has which role, and common names are recognised without it.
Prices and sizes become ticks and lots by ``round(value / tick_size)``; a value that is further than 0.001 from a whole number is an
error, as are values that are no number, infinite, or (sizes) negative: such rows are counted and skipped. Sizes that a table does
not give are 1 lot.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date as Date
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from fastcore.instruments import Instruments
from fastcore.records import EVENT_DTYPE, FLAGS, KINDS, NO_PRICE

from ._columns import numbers, sides, strings
from ._files import extra
from ._order_rows import ACTIONS, OrderRows
from ._roles import KINDS_OF_ROWS, Kind, assign_roles, check_roles
from ._rows import Mask, TableRows
from ._scale import TOLERANCE, power_of_ten
from ._times import UNITS, TableClock
from .feed import Events, Feed, Progress, check_chunk_events, whole_messages

__all__ = ["ACTIONS", "TableFeed"]

_SIZES = ("bid_size", "ask_size", "size", "volume")
_PRICES = ("bid", "ask", "price", "open", "high", "low", "close")


class TableFeed(Feed):
    """What the feeds of tables share: roles of columns, times, prices; see ``hft.feeds.csv`` and ``hft.feeds.arrow``.

    Parameters
    ----------
    path : path
    instruments, wanted
        As in ``hft.feeds.Feed``.
    kind : {"quotes", "trades", "bars", "orders"}, optional
        What a row is; by default what the names of the columns say.
    columns : mapping of role to name or index, optional
        Roles that names alone do not tell; None for a role that shall not be read.
    tick_size, lot_size : float, optional
        By default the largest power of ten (1 down to 1e-9) that divides all prices (sizes) of the first block of rows; a later
        value that it does not divide is an error that says so.
    time_unit : {"s", "ms", "us", "ns"}, optional
        Of times that are numbers; by default what their magnitude says, "ms" since midnight where they are small.
    date : date, optional
        Times are counted from midnight of that day; by default, for small numbers, the day in the file name.
    time_zone : str, default "UTC"
        Of `date`'s midnight, and of times without a zone.
    symbol : str, optional
        Of all rows, where no column says it; by default the name of the file up to its first dot.
    size : int, default 1
        Lots of rows without a size.
    interval_ns : int, optional
        Of bars; by default the smallest difference of two times in the first block.
    bar_time : {"open", "close"}, default "open"
        What the time of a bar is.
    actions : mapping of str to str, optional
        Of order messages: value of the column to kind of event (`ACTIONS`). "ignore" leaves such rows out; "resize" is a
        row whose size is what the order has left: a cancel of the rest. A replace without new_id keeps its id.
    tolerance : float, default 0.001
        How far a price may be from a whole tick, in ticks.
    strict : bool, default False
        Raise CorruptDataError at the first malformed row.
    chunk_events : int, default 65536
    progress : callable(done, total), optional

    Notes
    -----
    Offsets in `error_log` are rows; the first row of data is 0.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        instruments: Instruments | None = None,
        wanted: Collection[str] | None = None,
        kind: Kind | None = None,
        columns: Mapping[str, str | int | None] | None = None,
        tick_size: float | None = None,
        lot_size: float | None = None,
        time_unit: Literal["s", "ms", "us", "ns"] | None = None,
        date: Date | None = None,
        time_zone: str = "UTC",
        symbol: str | None = None,
        size: int = 1,
        interval_ns: int | None = None,
        bar_time: Literal["open", "close"] = "open",
        actions: Mapping[str, str] | None = None,
        tolerance: float = TOLERANCE,
        strict: bool = False,
        chunk_events: int = 65_536,
        progress: Progress | None = None,
    ) -> None:
        super().__init__(path, instruments, wanted)
        for name, step in (("tick_size", tick_size), ("lot_size", lot_size)):
            if step is not None and not 0 < step < float("inf"):
                raise ValueError(f"{name} must be positive and finite: {name}={step}")
        if kind is not None and kind not in KINDS_OF_ROWS:
            raise ValueError(f"kind must be one of {', '.join(KINDS_OF_ROWS)}: kind={kind}")
        if time_unit is not None and time_unit not in UNITS:
            raise ValueError(f"time_unit must be one of {', '.join(UNITS)}: time_unit={time_unit}")
        check_chunk_events(chunk_events)
        if not 0 <= tolerance < 0.5:
            raise ValueError(f"tolerance must be at least 0 and below 0.5: tolerance={tolerance}")
        if size < 0:
            raise ValueError(f"size must not be negative: size={size}")
        if bar_time not in ("open", "close"):
            raise ValueError(f"bar_time must be open or close: bar_time={bar_time}")
        check_roles(columns or {})
        self.strict = strict
        self.kind: Kind | None = kind
        self._columns = dict(columns or {})
        self._tick, self._lot, self._tolerance = tick_size, lot_size, tolerance
        self._clock = TableClock(self.path, time_unit, date, time_zone)
        self._symbol = symbol if symbol is not None else self.path.name.split(".")[0]
        self._size, self._interval, self._bar_time = size, interval_ns, bar_time
        self._orders = OrderRows(actions)
        self._chunk = chunk_events
        self._progress = progress or (lambda done, total: None)
        self._roles: dict[str, int] = {}
        self._prepare()

    def follow(self, previous: Feed) -> None:
        """Go on with units, times and orders as the part before has them."""
        if isinstance(previous, TableFeed) and previous.kind == self.kind:
            self._tick, self._lot = self._tick or previous._tick, self._lot or previous._lot
            self._interval = self._interval or previous._interval
            self._orders = previous._orders

    def _prepare(self) -> None:
        """Find out kind and roles before the first row is read, as far as the format says."""

    def _batches(self) -> Iterator[tuple[Any, npt.NDArray[np.int64]]]:
        """Arrow record batches or tables, and the number of each row."""
        raise NotImplementedError

    def _settle(self, names: Sequence[str]) -> None:
        """Decide kind and roles by the names of the columns."""
        self.kind, self._roles = assign_roles(names, self._columns, self.kind, self.path)
        self.book = "orders" if self.kind == "orders" else "quotes" if self.kind == "quotes" else "none"

    def _arrays(self) -> Iterator[Events]:
        for batch, number in self._batches():
            if not self._roles:
                self._settle(batch.schema.names)
            yield from whole_messages(self._events(TableRows(batch, number, self._roles, self._skip)), self._chunk)

    def _events(self, rows: TableRows) -> Events:
        known = None if "symbol" in rows else self.instruments.id_of(self._symbol)
        if known is not None:  # what the run says of its only symbol goes before what its first rows look like
            self._tick = self._tick or self.instruments[known].tick_size
            self._lot = self._lot or self.instruments[known].lot_size
        if self._tick is None:
            self._tick = power_of_ten([rows.floats(role) for role in _PRICES if role in rows])
        if self._lot is None:
            self._lot = power_of_ten([rows.floats(role) for role in _SIZES if role in rows])
        events = np.zeros(len(rows), EVENT_DTYPE)
        events["exch_ns"] = self._clock.ns(rows.column("time"))
        rows.refuse("time must be there", events["exch_ns"] < 0, events["exch_ns"])
        if "local_time" in rows:
            events["local_ns"] = np.maximum(self._clock.ns(rows.column("local_time")), 0)
        if "seq" in rows:
            events["seq"] = np.maximum(rows.integers("seq"), 0)
        events["symbol_id"] = self._symbol_ids(rows.column("symbol") if "symbol" in rows else None)
        if self.kind == "quotes":
            self._quotes(events, rows)
        elif self.kind == "trades":
            self._trades(events, rows)
        elif self.kind == "orders":
            self._orders.fill(events, rows, self._ticks(rows), self._lots(rows))
        else:
            return self._bars(events, rows)
        if rows.bad.any():
            events = events[~rows.bad]
        self._count(events["kind"])
        return events

    def _ticks(self, rows: TableRows) -> Any:
        """What gives the prices of a role in ticks, checked in all or some of the rows."""
        tick, tolerance = self._tick, self._tolerance
        assert tick is not None
        return lambda role, where=None: rows.units(role, tick, "tick_size", tolerance, where)

    def _lots(self, rows: TableRows) -> Any:
        """The same of sizes in lots."""
        lot, tolerance, default = self._lot, self._tolerance, self._size
        assert lot is not None
        return lambda role, where=None: rows.sizes(role, lot, tolerance, default, where)

    def _quotes(self, events: Events, rows: TableRows) -> None:
        ticks, lots, values = self._ticks(rows), self._lots(rows), _payload(events)
        events["kind"] = KINDS["quote"]
        for i, side in enumerate(("bid", "ask")):
            there: Mask = ~np.asarray(rows.column(side).is_null())  # an empty field is an empty side, "nan" is an error
            values[:, i] = np.where(there, ticks(side, there), NO_PRICE)
            values[:, i + 2] = np.where(there, lots(f"{side}_size", there), 0)

    def _trades(self, events: Events, rows: TableRows) -> None:
        values = _payload(events)
        events["kind"] = KINDS["trade"]
        values[:, 0], values[:, 1] = self._ticks(rows)("price"), self._lots(rows)("size")
        if "side" in rows:
            events["side"] = -sides(rows.column("side"))
        if "id" in rows:
            values[:, 3] = rows.integers("id")

    def _bars(self, events: Events, rows: TableRows) -> Events:
        ticks, values = self._ticks(rows), _payload(events)
        events["kind"] = KINDS["bar"]
        for i, role in enumerate(("open", "high", "low", "close")):
            values[:, i] = ticks(role)
        volume = self._lots(rows)("volume") if "volume" in rows else np.zeros(len(events), np.int64)
        if self._interval is None:
            steps = np.diff(np.unique(events["exch_ns"][~rows.bad]))
            self._interval = int(steps.min()) if len(steps) else 0
        if self._bar_time == "open":
            events["exch_ns"] += self._interval
        pairs = np.repeat(events, 2)
        more = _payload(pairs)[1::2]
        more[:, 0], more[:, 1] = volume, rows.integers("count")
        more[:, 2], more[:, 3] = self._interval, 0
        pairs["flags"][::2] = FLAGS["continued"]
        if rows.bad.any():
            pairs = pairs[np.repeat(~rows.bad, 2)]
        self._count(pairs["kind"][::2])
        return pairs

    def _count(self, kinds: npt.NDArray[np.uint8]) -> None:
        counts = np.bincount(kinds, minlength=32)
        for name, code in KINDS.items():
            if code < len(counts) and counts[code]:
                self.messages[name] = self.messages.get(name, 0) + int(counts[code])

    def _symbol_ids(self, column: Any) -> npt.NDArray[np.uint32] | int:
        """Rows of the symbols, added in the order in which they come."""
        assert self._tick is not None and self._lot is not None
        if column is None:
            return self._row(self._symbol, self._tick, self._lot)
        pc = extra("pyarrow.compute")
        coded = pc.dictionary_encode(strings(column))
        table = np.zeros(len(coded.dictionary) + 1, np.uint32)
        for i, name in enumerate([*coded.dictionary.to_pylist(), ""]):  # once for each symbol of a block
            if i == len(coded.dictionary) and not coded.indices.null_count:
                break
            table[i] = self._row(name, self._tick, self._lot)
        return table[numbers(coded.indices, -1)]


def _payload(events: Events) -> npt.NDArray[np.int64]:
    return events.view(np.int64).reshape(-1, 8)[:, 4:]
