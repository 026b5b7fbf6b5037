"""Tables of quotes, trades, bars, order messages or levels as event arrays, whatever they come from.

Columns have roles (``hft.feeds._roles``): `columns` says which column has which role, and common names are recognised without it.
Prices and sizes become ticks and lots, whole numbers of `tick_size` and `lot_size`: by default the largest powers of ten that divide
all prices (sizes) of the table, for which the table is looked through once before its first row. What is no multiple, no number,
infinite, or (sizes) negative is counted with its row and left out. Sizes that a table does not give are 1 lot.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import date as Date
from numbers import Real
from typing import Any, Literal
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from fastcore.errors import CorruptDataError
from fastcore.instruments import Instruments
from fastcore.records import EVENT_DTYPE, FLAGS, KINDS, NO_PRICE

from ._columns import UNKNOWN_SIDE, dictionary, numbers, precision_of, sides, texts
from ._level_rows import BookRows, LevelRows
from ._order_rows import ACTIONS, OrderRows
from ._roles import BUYER_IS_MAKER, BUYER_IS_TAKER, KINDS_OF_ROWS, Kind, assign_roles, check_roles, plain
from ._rows import Marks, Mask, TableRows
from ._scale import places_of, unit_of
from ._times import UNITS, TableClock, check_time_format
from .feed import Events, Feed, FormatError, Progress, check_chunk_events, whole_messages

__all__ = ["ACTIONS", "TableFeed", "first_cells"]

_PRICE_OF_ROLE = ("bid", "ask", "price", "open", "high", "low", "close")
_JUMP_NS = 31 * 86_400 * 10**9
_BOOKS: dict[Kind, Literal["orders", "levels", "quotes", "none"]] = {
    "orders": "orders", "quotes": "quotes", "levels": "levels", "books": "levels", "trades": "none", "bars": "none",
}  # fmt: skip


class TableFeed(Feed):
    """What the feeds of tables share: roles of columns, times, prices; see ``hft.feeds.csv`` and ``hft.feeds.arrow``.

    Parameters
    ----------
    path : path
    instruments, wanted
        As in ``hft.feeds.Feed``.
    kind : {"quotes", "trades", "bars", "orders", "levels", "books"}, optional
        What a row is; by default what the names of the columns say.
    columns : mapping of role to name or index, optional
        Roles that names alone do not tell; None for a role that shall not be read.
    only : mapping of column to value or values, optional
        Rows that are read, of a table that has others too: ``{"Type": "Quote"}``.
    tick_size, lot_size : float, optional
        By default the largest power of ten (1 down to 1e-12) that divides all prices (sizes) of the table.
    price_places : int, optional
        Prices are whole numbers of 10**-price_places, 2**63 - 1 being none; by default 9 where Databento's columns have them so.
    empty : float or "unchanged", optional
        Of quotes: the price that means that a side is empty; or an empty field means that the side has not changed. By default an
        empty field is an empty side, as is a price of 0 with a size of 0.
    time_unit : {"s", "ms", "us", "ns"}, optional
        Of times that are numbers; by default each is judged by its magnitude, "ms" since midnight where it is small.
    time_format : str, optional
        Of times that are text, as ``%d/%m/%Y %H:%M:%S.%f``; by default the usual forms.
    date : date, optional
        Of times since midnight; by default the day in the file name.
    time_zone : str, default "UTC"
        Of midnights, and of times without a zone.
    symbol : str, optional
        Of all rows, where no column says it; by default the name of the file up to its first dot.
    size : int, default 1
        Lots of rows without a size.
    interval_ns : int, optional
        Of bars; by default the smallest difference of two times in the first block. Whole days follow the calendar of the zone.
    bar_time : {"open", "close"}, default "open"
        What the time of a bar is.
    actions : mapping of str to str, optional
        Of order messages: value of the column to kind of event (`ACTIONS`). "ignore" leaves such rows out; "resize" is a
        row whose size is what the order has left: a cancel of the rest. A replace without new_id keeps its id.
    tolerance : float, default 0
        How far a price may be from a whole tick, in ticks, beyond what its column cannot express; 0.5 rounds.
    strict : bool, default False
        Raise CorruptDataError at the first malformed row.
    chunk_events : int, default 65536
    progress : callable(done, total), optional

    Attributes
    ----------
    remarks : dict of str to int
        What is no error of a row and may be one of the table: times that go back or jump, numbers of several units.

    Raises
    ------
    FormatError
        While it is read: what its rows hold needs an option, which the message names.
    CorruptDataError
        At the end of a table of which no row could be read.

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
        only: Mapping[str, str | Sequence[str]] | None = None,
        tick_size: float | None = None,
        lot_size: float | None = None,
        price_places: int | None = None,
        empty: float | Literal["unchanged"] | None = None,
        time_unit: Literal["s", "ms", "us", "ns"] | None = None,
        time_format: str | None = None,
        date: Date | None = None,
        time_zone: str = "UTC",
        symbol: str | None = None,
        size: int = 1,
        interval_ns: int | None = None,
        bar_time: Literal["open", "close"] = "open",
        actions: Mapping[str, str] | None = None,
        tolerance: float = 0.0,
        strict: bool = False,
        chunk_events: int = 65_536,
        progress: Progress | None = None,
    ) -> None:
        super().__init__(path, instruments, wanted)
        for name, step in (("tick_size", tick_size), ("lot_size", lot_size)):
            if step is not None and not (_is_number(step) and 0 < step < float("inf")):
                raise ValueError(f"{name} must be positive and finite: {name}={step}")
        if kind is not None and kind not in KINDS_OF_ROWS:
            raise ValueError(f"kind must be one of {', '.join(KINDS_OF_ROWS)}: kind={kind}")
        if time_unit is not None and time_unit not in UNITS:
            raise ValueError(f"time_unit must be one of {', '.join(UNITS)}: time_unit={time_unit}")
        for name, table in (("columns", columns), ("actions", actions), ("only", only)):
            if table is not None and not isinstance(table, Mapping):
                raise ValueError(f"{name} must be a mapping: {name}={table!r}")
        for name, number in (("size", size), ("chunk_events", chunk_events), ("interval_ns", interval_ns), ("price_places", price_places)):
            if number is not None and (not isinstance(number, int) or isinstance(number, bool)):
                raise ValueError(f"{name} must be a whole number: {name}={number!r}")
        check_chunk_events(chunk_events)
        if size < 0:
            raise ValueError(f"size must not be negative: size={size}")
        if interval_ns is not None and interval_ns < 1:
            raise ValueError(f"interval_ns must be at least 1: interval_ns={interval_ns}")
        if price_places is not None and not 0 <= price_places <= 12:
            raise ValueError(f"price_places must be in 0..12: price_places={price_places}")
        if not _is_number(tolerance) or not 0 <= tolerance <= 0.5:
            raise ValueError(f"tolerance must be in 0..0.5: tolerance={tolerance}")
        if bar_time not in ("open", "close"):
            raise ValueError(f"bar_time must be open or close: bar_time={bar_time}")
        if empty != "unchanged" and empty is not None and not _is_number(empty):
            raise ValueError(f"empty must be a price or unchanged: empty={empty!r}")
        if date is not None and not isinstance(date, Date):
            raise ValueError(f"date must be a day, as 2024-03-08: date={date!r}")
        if symbol is not None and not isinstance(symbol, str):
            symbol = str(symbol)
        try:
            ZoneInfo(time_zone)
        except (ValueError, TypeError, OSError, KeyError) as error:
            raise ValueError(f"time_zone must be a zone of the IANA database: time_zone={time_zone!r}") from error
        if time_format is not None:
            check_time_format(str(time_format))
        check_roles(columns or {})
        self.strict = strict
        self.remarks: dict[str, int] = {}
        self.kind: Kind | None = kind
        self._columns = dict(columns or {})
        self._only_named = dict(only or {})
        self._only: dict[int, frozenset[str]] = {}
        self._tick, self._lot, self._tolerance = tick_size, lot_size, tolerance
        self._price_places, self._empty = price_places, empty
        self._time_unit, self._time_format = time_unit, time_format
        self._clock = TableClock(self.path, time_unit, date, time_zone, time_format)
        self._local_clock = TableClock(self.path, time_unit, date, time_zone, time_format)
        self._symbol = symbol if symbol is not None else self.path.name.split(".")[0]
        self._size, self._interval, self._bar_time = size, interval_ns, bar_time
        self._actions = actions
        self._orders = OrderRows(actions)
        self._chunk = chunk_events
        self._progress = progress or (lambda done, total: None)
        self._roles: dict[str, int] = {}
        self._marks = Marks()
        self._last_ns = 0
        self._publishers: set[int] = set()
        self._last_quote = np.array([NO_PRICE, NO_PRICE, 0, 0])  # of one instrument: where empty fields mean no change
        self._levels, self._books = LevelRows(), BookRows()
        self._prepare()

    def follow(self, previous: Feed) -> None:
        """Go on with units, times, orders and books as the part before has them."""
        if isinstance(previous, TableFeed) and previous.kind == self.kind:
            self._tick, self._lot = self._tick or previous._tick, self._lot or previous._lot
            self._interval = self._interval or previous._interval
            self._orders, self._levels, self._books = previous._orders, previous._levels, previous._books

    def _prepare(self) -> None:
        """Find out kind and roles before the first row is read, as far as the format says."""

    def _batches(self) -> Iterator[tuple[Any, npt.NDArray[np.int64]]]:
        """Arrow record batches or tables, and the number of each row."""
        raise NotImplementedError

    def _again(self, names: Sequence[str]) -> Iterator[Any]:
        """The batches of some columns, apart from those of `_batches`, as far as they can be read twice."""
        raise NotImplementedError

    def _settle(self, names: Sequence[str], rows: Sequence[Sequence[str]] = ()) -> None:
        """Decide kind and roles by the names of the columns and the first rows."""
        known = ACTIONS if self._actions is None else [str(word).upper() for word in self._actions]
        found = assign_roles(names, self._columns, self.kind, self.path, rows, known, bool(self._only_named))
        self.kind, self._roles = found.kind, found.columns
        self._column_names = {role: names[at] for role, at in self._roles.items()}
        side = plain(self._column_names.get("side", ""))
        self._true_side = -1 if side in BUYER_IS_MAKER else 1 if side in BUYER_IS_TAKER else 0
        self.book = _BOOKS[self.kind]
        if self._actions is None and "actions" in found.settings:
            self._orders = OrderRows(found.settings["actions"])
        only = dict(found.settings.get("only", {}))
        for name, words in self._only_named.items():
            if name not in names:
                raise ValueError(f"only must name columns of the file: {name} names={list(names)} path={self.path}")
            only[list(names).index(name)] = [words] if isinstance(words, str) or not isinstance(words, Sequence) else words
        self._only = {at: frozenset(str(word).upper() for word in words) for at, words in only.items()}
        sizes = {"quotes": "bid_size", "trades": "size"}.get(self.kind, "time")
        if sizes not in self._roles and len(set(names)) > len(set(self._roles.values())):
            self.remarks[f"no column has the role {sizes}: each row is of {self._size} lots"] = 1
        places = self._price_places if self._price_places is not None else found.settings.get("price_places", 0)
        self._marks = self._marks._replace(price_places=places)
        self._empty = found.settings.get("empty") if self._empty is None else self._empty

    def _arrays(self) -> Iterator[Events]:
        rows_seen = 0
        for batch, number in self._batches():
            if not self._roles:
                self._settle(batch.schema.names)
            rows_seen += len(number)
            yield from whole_messages(self._events(TableRows(batch, number, self._roles, self._skip, self._marks)), self._chunk)
        for rest in (self._levels.rest(), self._counted(self._orders.rest())):
            yield from whole_messages(rest, self._chunk)
        bad = sum(self.errors.values())
        if bad and not self.messages and not rows_seen - bad > 0:
            row, first = self.error_log[0]
            raise CorruptDataError(f"no row of the table could be read: rows={bad} first: row={row} {first} path={self.path}")
        for what, count in self.remarks.items():
            logging.getLogger(__name__).warning("%s: count=%d path=%s", what, count, self.path)

    def _settle_units(self) -> None:
        """Tick and lot where nobody has said them: the largest powers of ten that divide all prices and sizes of the table."""
        units = {"tick_size": self._tick, "lot_size": self._lot}
        roles = {role: unit for role in self._roles if (unit := self._scaled(role)) and units[unit] is None}
        places = dict.fromkeys(roles, 0)
        if roles:
            with suppress(CorruptDataError):  # what is damaged is told where the rows are read
                self._find_places(places)
        self._tick, self._lot = (
            unit_of(max((places[role] for role in roles if roles[role] == name), default=0)) if unit is None else unit
            for name, unit in units.items()
        )

    def _find_places(self, places: dict[str, int]) -> None:
        """Raise the decimals of each role to those that its values need in the whole table."""
        roles = list(places)
        for batch in self._again([self._column_names[role] for role in roles]):
            rows = TableRows(batch, np.arange(len(batch)), {role: i for i, role in enumerate(roles)}, self._skip, self._marks)
            for role in roles:
                places[role] = max(places[role], places_of(rows.floats(role), precision_of(rows.column(role).type)))

    @staticmethod
    def _scaled(role: str) -> str:
        """Whether the values of a role are prices or sizes: the name of their unit, "" where they are neither."""
        if role.rstrip("0123456789") in _PRICE_OF_ROLE:
            return "tick_size"
        return "lot_size" if role.rstrip("0123456789") in ("size", "volume", "bid_size", "ask_size") else ""

    def _events(self, rows: TableRows) -> Events:
        known = None if "symbol" in rows else self.instruments.id_of(self._symbol)
        if known is not None:  # what the run says of its only symbol goes before what its rows look like
            self._tick = self._tick or self.instruments[known].tick_size
            self._lot = self._lot or self.instruments[known].lot_size
        if self._tick is None or self._lot is None:
            self._settle_units()
        for at, words in self._only.items():
            rows.choose(at, words)
        events = np.zeros(len(rows), EVENT_DTYPE)
        days = rows.column("date") if "date" in rows else None
        events["exch_ns"] = self._clock.ns(rows.column("time"), days)
        if (none := events["exch_ns"] < 0).any():
            rows.refuse("time must be there", none & ~rows.there("time"), "time")
            rows.refuse("time must be a time", none, "time")
        if "local_time" in rows:
            events["local_ns"] = np.maximum(self._local_clock.ns(rows.column("local_time")), 0)
        if "seq" in rows:
            events["seq"] = np.maximum(rows.integers("seq"), 0)
        self._look(events["exch_ns"][~rows.bad])
        if "publisher" in rows:
            self._publishers |= set(np.unique(rows.integers("publisher")[~rows.bad]).tolist())
            if len(self._publishers) > 1:
                rule = "orders of several publishers must be told apart, with the option only"
                raise FormatError(f"{rule}: {self._column_names['publisher']}={sorted(self._publishers)} path={self.path}")
        events["symbol_id"] = self._symbol_ids(rows.column("symbol") if "symbol" in rows else None)
        if self.kind == "quotes":
            self._quotes(events, rows)
        elif self.kind == "trades":
            self._trades(events, rows)
        elif self.kind == "orders":
            return self._counted(self._orders.events(events, rows, self._ticks(rows), self._lots(rows)))
        elif self.kind == "levels":
            return self._counted(self._levels.events(events, rows, self._ticks(rows), self._lots(rows)))
        elif self.kind == "books":
            return self._counted(self._books.events(events, rows, self._ticks(rows), self._lots(rows)))
        else:
            return self._bars(events, rows)
        if rows.bad.any():
            events = events[~rows.bad]
        return self._counted(events)

    def _look(self, times: npt.NDArray[np.int64]) -> None:
        """Say where times go back or jump; refuse a table whose rows come in the other order."""
        if not len(times):
            return
        first = self._last_ns == 0
        steps = np.diff(times, prepend=times[0] if first else self._last_ns)
        self._last_ns = int(times[-1])
        back = int((steps < 0).sum())
        if first and back > 2 and back > 0.9 * (steps != 0).sum():
            ends = " ".join(f"{name}={np.datetime64(int(times[at]), 'ns')}" for name, at in (("first", 0), ("last", -1)))
            raise FormatError(f"rows must be in the order of time: {ends} path={self.path}")
        units = len(self._clock.units) > 1
        for what, count in (
            ("times go back", back), ("times jump by more than 31 days", int((steps > _JUMP_NS).sum()) if self.kind != "bars" else 0),
            ("times come in several units: " + ", ".join(sorted(self._clock.units)), len(times) if units else 0),
        ):  # fmt: skip
            if count:
                self.remarks[what] = self.remarks.get(what, 0) + count

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
            size = f"{side}_size"
            there: Mask = rows.there(side)  # an empty field is an empty side, "nan" is an error
            zero = there & (rows.floats(side) == 0)
            if _is_number(self._empty):
                there &= rows.floats(side) != self._empty
            elif size in rows:
                there &= ~zero | (rows.floats(size) != 0)
            else:
                rows.refuse(f"{side} of 0 needs a size, or the option empty, to be told from an empty side", zero, side)
            sized = there & rows.there(size) if self._empty == "unchanged" and size in rows else there
            values[:, i] = np.where(there, ticks(side, there), NO_PRICE)
            values[:, i + 2] = np.where(sized, lots(size, sized), 0)
            if self._empty == "unchanged":
                good = ~rows.bad
                for column, told in ((i, there), (i + 2, sized)):
                    values[good, column] = _filled(values[good, column], told[good], self._last_quote[column])
        if self._empty == "unchanged" and (~rows.bad).any():
            self._last_quote = values[~rows.bad][-1].copy()

    def _trades(self, events: Events, rows: TableRows) -> None:
        values = _payload(events)
        events["kind"] = KINDS["trade"]
        values[:, 0], values[:, 1] = self._ticks(rows)("price"), self._lots(rows)("size")
        if "size" in rows:
            rows.refuse("size of a trade must be positive", values[:, 1] == 0, "size")
        if "side" in rows:
            side = sides(rows.column("side"), self._true_side)
            rows.refuse("side must be buy or sell", side == UNKNOWN_SIDE, "side")
            events["side"] = -side
        if "id" in rows:
            values[:, 3] = rows.integers("id")

    def _bars(self, events: Events, rows: TableRows) -> Events:
        ticks, values = self._ticks(rows), _payload(events)
        events["kind"] = KINDS["bar"]
        for i, role in enumerate(("open", "high", "low", "close")):
            values[:, i] = ticks(role)
        volume = self._lots(rows)("volume") if "volume" in rows else np.zeros(len(events), np.int64)
        times = np.where(rows.bad, 0, events["exch_ns"])
        if self._interval is None:
            steps = np.diff(np.unique(self._clock.wall(times[~rows.bad])))
            if not len(steps) and self._bar_time == "open" and not rows.bad.all():
                raise FormatError(f"bars of a single time need the option interval_ns, or bar_time=close: path={self.path}")
            self._interval = int(steps.min()) if len(steps) else 0
        if self._bar_time == "open":
            events["exch_ns"] = self._clock.after(times, self._interval)
        pairs = np.repeat(events, 2)
        more = _payload(pairs)[1::2]
        more[:, 0], more[:, 1] = volume, rows.integers("count")
        more[:, 2], more[:, 3] = self._interval, 0
        pairs["flags"][::2] = FLAGS["continued"]
        if rows.bad.any():
            pairs = pairs[np.repeat(~rows.bad, 2)]
        self._counted(pairs[::2])
        return pairs

    def _counted(self, events: Events) -> Events:
        counts = np.bincount(events["kind"], minlength=32)
        for name, code in KINDS.items():
            if code < len(counts) and counts[code]:
                self.messages[name] = self.messages.get(name, 0) + int(counts[code])
        return events

    def _symbol_ids(self, column: Any) -> npt.NDArray[np.uint32] | int:
        """Rows of the symbols, added in the order in which they come."""
        assert self._tick is not None and self._lot is not None
        if column is None:
            return self._row(self._symbol, self._tick, self._lot)
        coded = dictionary(column)
        table = np.zeros(len(coded.dictionary) + 1, np.uint32)
        for i, name in enumerate([*coded.dictionary.to_pylist(), ""]):  # once for each symbol of a block
            if i == len(coded.dictionary) and not coded.indices.null_count:
                break
            table[i] = self._row(name, self._tick, self._lot)
        return table[numbers(coded.indices, -1)]


def _payload(events: Events) -> npt.NDArray[np.int64]:
    return events.view(np.int64).reshape(-1, 8)[:, 4:]


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _filled(values: npt.NDArray[np.int64], told: Mask, before: int) -> npt.NDArray[np.int64]:
    """Values where they are told, and the last that was told elsewhere."""
    at = np.maximum.accumulate(np.where(told, np.arange(len(values)), -1))
    return np.where(at < 0, before, values[at])


def first_cells(batch: Any) -> list[list[str]]:
    """The first rows of an Arrow batch as text, [] where there is none."""
    if batch is None:
        return []
    return [list(row) for row in zip(*(texts(column.slice(0, 50)) for column in batch.columns), strict=True)]
