"""CSV, Parquet and Arrow files of quotes, trades, bars or order messages as event arrays, with column mapping.

Columns have roles; `columns` says which column has which role, and common names are recognised without it:

====== =============================================================== =========================================================
kind   roles (those in brackets may be absent)                         events
====== =============================================================== =========================================================
quotes time, bid, ask, [bid_size, ask_size]                            quote; a side without a price is empty
trades time, price, [size, side, id]                                   trade; the side column gives the aggressor, the event the
                                                                       resting side; id is match_id
bars   time, open, high, low, close, [volume, count]                   bar (two events); exch_ns is the end of the interval
orders time, action, id, [price, size, side, new_id]                   add, cancel, delete, execute, replace, trade by `actions`
====== =============================================================== =========================================================

Every kind may have the roles symbol, local_time and seq. Prices and sizes become ticks and lots by ``round(value / tick_size)``;
a value that is further than 0.001 from a whole number is an error, as are values that are no number, infinite, or (sizes)
negative: such rows are counted and skipped. Sizes that a file does not give are 1 lot.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from datetime import date as Date
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from fastcore.errors import CorruptDataError
from fastcore.records import EVENT_DTYPE, FLAGS, KINDS, NO_PRICE

from ._files import extra, head_of, lines, pieces, zip_names
from .feed import Events, Feed, FormatError, Instrument, Progress, whole_messages
from .itch import day_of

__all__ = ["ACTIONS", "ArrowFeed", "Columns", "CsvFeed", "ParquetFeed", "TableFeed", "csv_blocks"]

Kind = Literal["quotes", "trades", "bars", "orders"]

_ROLES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "quotes": (("time", "bid", "ask"), ("bid_size", "ask_size")),
    "bars": (("time", "open", "high", "low", "close"), ("volume", "count")),
    "orders": (("time", "action", "id"), ("price", "size", "side", "new_id")),
    "trades": (("time", "price"), ("size", "side", "id")),
}
_SHARED = ("symbol", "local_time", "seq")
# Names without case, spaces and punctuation, in order of preference.
_ALIASES = {
    "time": "time timestamp ts tsevent exchns exchtime datetime eventtime transacttime opentime date".split(),
    "local_time": "localns localtime localtimestamp receivetime recvtime tsrecv".split(),
    "bid": "bid bidprice bestbid bidpx bidpx00 bestbidprice bidprice0 bidprice1".split(),
    "ask": "ask askprice bestask askpx askpx00 bestaskprice askprice0 askprice1 offer offerprice".split(),
    "bid_size": "bidsize bidqty bidvolume bestbidqty bestbidsize bidsz bidsz00 bidamount".split(),
    "ask_size": "asksize askqty askvolume bestaskqty bestasksize asksz asksz00 askamount offersize".split(),
    "price": "price px last lastprice tradeprice".split(),
    "size": "size qty quantity volume amount shares lastsize".split(),
    "side": "side direction aggressor aggressorside takerside".split(),
    "action": "action type messagetype msgtype event".split(),
    "id": "id orderid oid reference ref tradeid matchid".split(),
    "new_id": "newid neworderid newreference".split(),
    "open": ["open", "o"], "high": ["high", "h"], "low": ["low", "l"], "close": ["close", "c"],
    "volume": "volume vol v qty".split(), "count": "count trades numberoftrades n".split(),
    "symbol": "symbol ticker instrument sym pair".split(), "seq": "seq sequence updateid sequencenumber".split(),
}  # fmt: skip
# Without a header the number of columns must say what they are.
_HEADLESS = {
    ("quotes", 3): ("time", "bid", "ask"),
    ("quotes", 5): ("time", "bid", "ask", "bid_size", "ask_size"),
    ("bars", 6): ("time", "open", "high", "low", "close", "volume"),
    ("trades", 3): ("time", "price", "size"),
    ("trades", 2): ("time", "price"),
}
# What the words of the action column mean; none means the same everywhere: an exchange's own table goes first.
ACTIONS: dict[str, str] = {
    "A": "add", "ADD": "add", "N": "add", "NEW": "add", "C": "delete", "CANCEL": "cancel", "D": "delete", "DELETE": "delete",
    "X": "cancel", "REDUCE": "cancel", "E": "execute", "EXECUTE": "execute", "FILL": "execute", "U": "replace",
    "REPLACE": "replace", "M": "replace", "MODIFY": "replace", "T": "trade", "TRADE": "trade", "P": "trade",
}  # fmt: skip
_BUYS = ("B", "BUY", "BID", "1", "+1", "LONG")
_SELLS = ("S", "SELL", "ASK", "A", "-1", "OFFER", "SHORT")
_UNITS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_NUMBER = re.compile(rb"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$")
_DAY = r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
_CLOCK = r"[ T]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,9})?)?"
_TIME_TEXTS = (
    (r"^(\d{1,18}|[1-8]\d{18})$", "int"),
    (r"^\d{1,16}\.\d*$", "decimal"),
    (f"^{_DAY}{_CLOCK}(Z|[-+]\\d\\d(:?\\d\\d)?)$", "utc"),
    (f"^{_DAY}({_CLOCK})?$", ""),
)
_TOLERANCE = 1e-3
_MAX_TICKS = 2.0**62
Columns = Mapping[str, str | int]


class TableFeed(Feed):
    """What the feeds of tables share: roles of columns, times, prices; see `CsvFeed`, `ParquetFeed`, `ArrowFeed`.

    Parameters
    ----------
    path : path
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
        tolerance: float = _TOLERANCE,
        strict: bool = False,
        chunk_events: int = 65_536,
        progress: Progress | None = None,
    ) -> None:
        super().__init__(path)
        for name, unit in (("tick_size", tick_size), ("lot_size", lot_size)):
            if unit is not None and not 0 < unit < float("inf"):
                raise ValueError(f"{name} must be positive and finite: {name}={unit}")
        if kind is not None and kind not in _ROLES:
            raise ValueError(f"kind must be one of {', '.join(_ROLES)}: kind={kind}")
        if time_unit is not None and time_unit not in _UNITS:
            raise ValueError(f"time_unit must be one of {', '.join(_UNITS)}: time_unit={time_unit}")
        if chunk_events < 1:
            raise ValueError(f"chunk_events must be at least 1: chunk_events={chunk_events}")
        if not 0 <= tolerance < 0.5:
            raise ValueError(f"tolerance must be at least 0 and below 0.5: tolerance={tolerance}")
        if size < 0:
            raise ValueError(f"size must not be negative: size={size}")
        if bar_time not in ("open", "close"):
            raise ValueError(f"bar_time must be open or close: bar_time={bar_time}")
        known = {role for required, optional in _ROLES.values() for role in required + optional} | set(_SHARED)
        if unknown := set(columns or {}) - known:
            raise ValueError(f"columns must have known roles: unknown={sorted(unknown)} roles={sorted(known)}")
        self.strict = strict
        self.kind: Kind | None = kind
        self._columns = dict(columns or {})
        self._tick, self._lot = tick_size, lot_size
        self._unit, self._date, self._zone = time_unit, date, ZoneInfo(time_zone)
        self._zone_name = time_zone
        self._symbol = symbol if symbol is not None else self.path.name.split(".")[0]
        self._size, self._interval, self._bar_time = size, interval_ns, bar_time
        table = ACTIONS if actions is None else dict(actions)
        for value, what in table.items():
            if what not in ("ignore", "resize") and what not in KINDS:
                raise ValueError(f"actions must be kinds of events, resize or ignore: {value}={what}")
        self._actions = {value.upper(): what for value, what in table.items()}
        self._tolerance = tolerance
        self._chunk = chunk_events
        self._progress = progress or (lambda done, total: None)
        self._roles: dict[str, int] = {}
        self._ids: dict[str, int] = {}
        self._live = np.zeros(0, np.int64), np.zeros(0, np.int64)  # orders and what they have left, where sizes are told anew
        self._prepare()

    def _prepare(self) -> None:
        """Find out kind and roles before the first row is read, as far as the format says."""

    def _batches(self) -> Iterator[tuple[Any, npt.NDArray[np.int64]]]:
        """Arrow record batches or tables, and the number of each row."""
        raise NotImplementedError

    # ---- roles ----

    def _settle(self, names: Sequence[str]) -> None:
        """Decide kind and roles by the names of the columns."""
        plain = [re.sub(r"[^a-z0-9]", "", str(name).lower()) for name in names]
        given: dict[str, int | None] = {}
        for role, column in self._columns.items():
            if column is None:
                given[role] = None
            elif isinstance(column, str):
                if column not in names:
                    raise ValueError(f"columns must name columns of the file: {role}={column} names={list(names)} path={self.path}")
                given[role] = list(names).index(column)
            else:
                if not 0 <= column < len(names):
                    raise ValueError(f"columns must lie in the file: {role}={column} columns={len(names)} path={self.path}")
                given[role] = column

        def find(role: str, taken: set[int]) -> int | None:
            if role in given:
                return given[role]
            for alias in _ALIASES[role]:
                if alias in plain and (i := plain.index(alias)) not in taken:
                    return i
            return None

        for kind, (required, optional) in _ROLES.items():
            if self.kind not in (None, kind):
                continue
            roles: dict[str, int] = {}
            for role in required + optional + _SHARED:
                at = find(role, set(roles.values()))
                if at is not None:
                    roles[role] = at
            missing = [role for role in required if role not in roles]
            if not missing:
                self.kind, self._roles = kind, roles  # type: ignore[assignment]
                break
            if self.kind is not None:
                where = f"names={list(names)} path={self.path}"
                raise ValueError(f"a table of {kind} must have the columns of its roles: missing={missing} {where}")
        else:
            where = f"names={list(names)} path={self.path}"
            raise ValueError(f"the columns of a table must say what it is, or kind and columns must: {where}")
        self.book = "orders" if self.kind == "orders" else "quotes" if self.kind == "quotes" else "none"

    # ---- values ----

    def _times(self, column: Any) -> npt.NDArray[np.int64]:
        """Nanoseconds since the epoch; a value that is missing is -1."""
        pa, pc = extra("pyarrow"), extra("pyarrow.compute")
        kind = column.type
        if _is_text(kind):
            column = self._parsed_times(pc.utf8_trim_whitespace(_strings(column)))
            kind = column.type
        if pa.types.is_date(kind):
            column = pc.cast(column, pa.timestamp("ns"))
            kind = column.type
        if pa.types.is_timestamp(kind):
            if kind.tz is None and self._zone_name != "UTC":
                column = pc.assume_timezone(column, self._zone_name, ambiguous="earliest", nonexistent="earliest")
            column = pc.cast(pc.cast(column, pa.timestamp("ns", column.type.tz)), pa.int64())
            return _numbers(column, -1)
        if pa.types.is_decimal(kind):
            return self._count_ns(*_decimal(column))
        if pa.types.is_integer(kind):
            values = _numbers(pc.cast(column, pa.int64(), safe=False), -1)
            return self._count_ns(values, 1)
        values_f = column.to_numpy(zero_copy_only=False)
        known = np.isfinite(values_f) & (np.abs(values_f) < 9e18)
        unit, base = self._clock(values_f[known])
        whole = np.floor(np.where(known, values_f, 0.0))
        ns = whole.astype(np.int64) * unit + np.rint((np.where(known, values_f, 0.0) - whole) * unit).astype(np.int64) + base
        return np.where(known, ns, -1)

    def _parsed_times(self, column: Any) -> Any:
        """Text as numbers, decimals or timestamps, by the first value that is there; what does not fit is null."""
        pa, pc = extra("pyarrow"), extra("pyarrow.compute")
        there = column.drop_null()
        first = there[0].as_py() if len(there) else "0"
        pattern, type_ = next((text for text in _TIME_TEXTS if re.match(text[0], first)), _TIME_TEXTS[-1])
        target = {"int": pa.int64(), "decimal": _decimal_type(first), "utc": pa.timestamp("ns", "UTC"), "": pa.timestamp("ns")}[type_]
        fine = pc.match_substring_regex(column, pattern)
        column = pc.if_else(fine, column, pa.scalar(None, pa.string()))
        try:
            if type_ == "decimal":  # more decimals than a nanosecond has are rounded
                column = pc.cast(pc.replace_substring_regex(column, r"(\.\d{15})\d*", r"\1"), pa.decimal128(38, 15))
                column = pc.round(column, target.scale)
            return pc.cast(column, target)
        except pa.ArrowInvalid as error:
            raise CorruptDataError(f"a time must be a time: path={self.path} {error}") from error

    def _count_ns(self, values: npt.NDArray[np.int64], scale: int) -> npt.NDArray[np.int64]:
        """Whole numbers of 1/scale units to ns; negative ones stay -1."""
        unit, base = self._clock(values[values >= 0] / scale)
        # 1/scale of the unit may be less than a nanosecond: divide last where nothing is lost, first where it would overflow.
        ns = values * (unit // scale) if unit % scale == 0 else values // (scale // unit)
        return np.where(values < 0, -1, ns + base)

    def _clock(self, values: npt.NDArray[Any]) -> tuple[int, int]:
        """Nanoseconds of one unit, and of the zero; decided by the first values."""
        if not hasattr(self, "_clock_is"):
            typical = float(np.median(values)) if len(values) else 0.0
            unit = self._unit
            # Below a day, in the unit given or in ms, times can only be counted from midnight - if there is a day.
            small = typical * _UNITS[unit or "ms"] < 87e12 and unit in (None, "s", "ms")
            day = self._date or (day_of(self.path) if small else None)
            if day is None and small and unit is None:
                raise FormatError(f"times since midnight need a date: give date=, or a file name with one: path={self.path}")
            if unit is None and day is not None:
                unit = "ms"
            elif unit is None:
                unit = "s" if typical < 1e11 else "ms" if typical < 1e14 else "us" if typical < 1e17 else "ns"
            base = 0
            if day is not None:
                midnight = datetime(day.year, day.month, day.day, tzinfo=self._zone)
                base = int(midnight.astimezone(UTC).timestamp()) * 10**9
            self._clock_is = (_UNITS[unit], base)
        return self._clock_is

    def _whole(
        self, role: str, values: npt.NDArray[np.float64], unit: float, bad: npt.NDArray[np.bool_], rows: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64]:
        """Values in whole units; those that are none are marked bad and counted."""
        finite = np.abs(values) < _MAX_TICKS * unit
        scaled = np.where(finite, values, 0.0) / unit
        whole = np.rint(scaled)
        off = finite & (np.abs(scaled - whole) > np.maximum(self._tolerance, np.abs(scaled) * 4e-16))
        what = "tick_size" if unit is self._tick else "lot_size"
        self._report(f"{role} must be a finite number", ~finite & ~bad, rows, values)
        self._report(f"{role} must be a whole multiple of {what}={unit:g}", off & ~bad, rows, values)
        bad |= ~finite | off
        return whole.astype(np.int64)

    def _report(self, rule: str, wrong: npt.NDArray[np.bool_], rows: npt.NDArray[np.int64], values: npt.NDArray[Any]) -> None:
        if wrong.any():
            self._skip(rule, rows[wrong], values[wrong].tolist())

    # ---- events ----

    def _arrays(self) -> Iterator[Events]:
        for batch, rows in self._batches():
            if not self._roles:
                self._settle(batch.schema.names)
            yield from whole_messages(self._events(batch, rows), self._chunk)

    def _events(self, batch: Any, rows: npt.NDArray[np.int64]) -> Events:
        n = len(batch)
        pa = extra("pyarrow")

        def column(role: str) -> Any:
            found = batch.column(self._roles[role])
            return found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found

        floats: dict[str, npt.NDArray[np.float64]] = {
            role: _floats(column(role))
            for role in ("bid", "ask", "bid_size", "ask_size", "price", "size", "open", "high", "low", "close", "volume")
            if role in self._roles
        }
        self._scale(floats)
        assert self._tick is not None and self._lot is not None
        events = np.zeros(n, EVENT_DTYPE)
        bad = np.zeros(n, bool)
        events["exch_ns"] = self._times(column("time"))
        self._report("time must be there", events["exch_ns"] < 0, rows, events["exch_ns"])
        bad |= events["exch_ns"] < 0
        if "local_time" in self._roles:
            events["local_ns"] = np.maximum(self._times(column("local_time")), 0)
        if "seq" in self._roles:
            events["seq"] = np.maximum(_integers(column("seq")), 0)
        events["symbol_id"] = self._symbol_ids(column("symbol") if "symbol" in self._roles else None)
        values = events.view(np.int64).reshape(n, 8)[:, 4:]

        def ticks(role: str, where: npt.NDArray[np.bool_] | None = None) -> npt.NDArray[np.int64]:
            assert self._tick is not None
            skip = bad if where is None else bad | ~where
            before = skip.copy()
            out = self._whole(role, floats[role], self._tick, skip, rows)
            bad[skip & ~before] = True
            return out

        def lots(role: str, where: npt.NDArray[np.bool_] | None = None) -> npt.NDArray[np.int64]:
            assert self._lot is not None
            if role not in floats:
                return np.full(n, self._size, np.int64)
            skip = bad if where is None else bad | ~where
            before = skip.copy()
            out = self._whole(role, floats[role], self._lot, skip, rows)
            negative = (out < 0) & ~skip
            self._report(f"{role} must not be negative", negative, rows, floats[role])
            bad[(skip & ~before) | negative] = True
            return out

        if self.kind == "quotes":
            events["kind"] = KINDS["quote"]
            for i, side in enumerate(("bid", "ask")):
                empty = np.asarray(column(side).is_null())  # an empty field is an empty side, "nan" is an error
                values[:, i] = np.where(empty, NO_PRICE, ticks(side, ~empty))
                values[:, i + 2] = np.where(empty, 0, lots(f"{side}_size", ~empty))
        elif self.kind == "trades":
            events["kind"] = KINDS["trade"]
            values[:, 0], values[:, 1] = ticks("price"), lots("size")
            if "side" in self._roles:
                events["side"] = -_side(column("side"))
            if "id" in self._roles:
                values[:, 3] = _integers(column("id"))
        elif self.kind == "bars":
            return self._bars(events, values, ticks, lots, column, bad)
        else:
            bad |= self._orders(events, values, ticks, lots, column, rows, bad)
        if bad.any():
            events = events[~bad]
        self._count(events["kind"])
        return events

    def _bars(self, events: Events, values: Any, ticks: Any, lots: Any, column: Any, bad: npt.NDArray[np.bool_]) -> Events:
        events["kind"] = KINDS["bar"]
        for i, role in enumerate(("open", "high", "low", "close")):
            values[:, i] = ticks(role)
        volume = lots("volume") if "volume" in self._roles else np.zeros(len(events), np.int64)
        if self._interval is None:
            steps = np.diff(np.unique(events["exch_ns"][~bad]))
            self._interval = int(steps.min()) if len(steps) else 0
        if self._bar_time == "open":
            events["exch_ns"] += self._interval
        pairs = np.repeat(events, 2)
        more = pairs.view(np.int64).reshape(-1, 8)[1::2, 4:]
        more[:, 0] = volume
        more[:, 1] = _integers(column("count")) if "count" in self._roles else -1
        more[:, 2], more[:, 3] = self._interval, 0
        pairs["flags"][::2] = FLAGS["continued"]
        if bad.any():
            pairs = pairs[np.repeat(~bad, 2)]
        self._count(pairs["kind"][::2])
        return pairs

    def _orders(
        self, events: Events, values: Any, ticks: Any, lots: Any, column: Any, rows: npt.NDArray[np.int64], bad: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.bool_]:
        """Order messages by their action; returns the rows that are left out."""
        pc = extra("pyarrow.compute")
        n = len(events)
        coded = pc.dictionary_encode(pc.utf8_upper(pc.utf8_trim_whitespace(_strings(column("action")))))
        words = coded.dictionary.to_pylist()
        what = np.array([self._actions.get(word, "") for word in words] + [""], dtype="U16")[_numbers(coded.indices, -1)]
        unknown = what == ""
        if unknown.any():
            texts = np.array([*map(str, words), "None"])[_numbers(coded.indices, -1)]
            self._report("action must be known", unknown & ~bad, rows, texts)
        left_out = unknown | (what == "ignore")
        ids = _integers(column("id"))
        codes = {name: KINDS["cancel" if name == "resize" else name] for name in set(what.tolist()) - {"", "ignore"}}
        for name, code in codes.items():
            events["kind"][what == name] = code
        priced = np.isin(what, ["add", "replace", "trade"]) & ~left_out
        sized = np.isin(what, ["add", "replace", "trade", "cancel", "execute", "resize"]) & ~left_out
        values[:, 0] = np.where(priced, ticks("price", priced) if "price" in self._roles else NO_PRICE, NO_PRICE)
        values[:, 1] = np.where(sized, lots("size", sized), 0)
        if "resize" in self._actions.values():
            self._resize(what, ids, values[:, 1], rows, left_out, bad)
        missing = (ids < 0) & ~left_out & ~bad
        self._report("id must be there", missing, rows, ids)
        prints = what == "trade"
        values[:, 2] = np.where(prints, 0, ids)
        values[:, 3] = np.where(prints, ids, 0)
        if "side" in self._roles:
            side = _side(column("side"))
            events["side"] = np.where(prints, -side, side)
            sideless = (side == 0) & (what == "add") & ~bad
            self._report("side of an order must be known", sideless, rows, values[:, 2])
            left_out |= sideless
        renamed = what == "replace"
        new = _integers(column("new_id")) if "new_id" in self._roles else np.full(n, -1, np.int64)
        values[:, 3] = np.where(renamed, np.where(new < 0, ids, new), values[:, 3])
        return np.asarray(left_out | missing)

    def _resize(
        self, what: npt.NDArray[Any], ids: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64], rows: npt.NDArray[np.int64],
        left_out: npt.NDArray[np.bool_], bad: npt.NDArray[np.bool_],
    ) -> None:  # fmt: skip
        """New sizes of orders to the sizes that are taken off them: by what each order has left before."""
        old_ids, old_sizes = self._live
        acts = np.flatnonzero(np.isin(what, ["add", "replace", "resize", "cancel", "execute", "delete"]) & ~left_out & ~bad)
        all_ids = np.concatenate([old_ids, ids[acts]])
        sets = np.concatenate([np.ones(len(old_ids), bool), np.isin(what[acts], ["add", "replace", "resize", "delete"])])
        change = np.concatenate([old_sizes, np.where(sets[len(old_ids) :], sizes[acts], -sizes[acts])])
        order = np.argsort(all_ids, kind="stable")
        all_ids, sets, change = all_ids[order], sets[order], change[order]
        fresh = np.append(True, all_ids[1:] != all_ids[:-1]) if len(all_ids) else np.zeros(0, bool)
        starts = np.flatnonzero(sets | fresh)
        left = np.add.reduceat(change, starts) if len(starts) else np.zeros(0, np.int64)  # at the end of each stretch
        resized = np.append(np.zeros(len(old_ids), bool), what[acts] == "resize")[order]
        which = np.flatnonzero(resized[starts])
        known = ~fresh[starts[which]]
        taken = np.where(known, left[which - 1], 0) - change[starts[which]]
        at = acts[order[starts[which]] - len(old_ids)]
        sizes[at] = taken
        wrong = np.zeros(len(what), bool)
        wrong[at] = taken <= 0
        self._report("the new size of an order must be below what it has", wrong, rows, ids)
        left_out |= wrong
        ends = np.append(fresh[1:], True) if len(fresh) else fresh
        last = np.searchsorted(starts, np.flatnonzero(ends), side="right") - 1
        alive = left[last] > 0
        self._live = all_ids[ends][alive], left[last][alive]

    def _count(self, kinds: npt.NDArray[np.uint8]) -> None:
        counts = np.bincount(kinds, minlength=32)
        for name, code in KINDS.items():
            if code < len(counts) and counts[code]:
                self.messages[name] = self.messages.get(name, 0) + int(counts[code])

    def _scale(self, floats: Mapping[str, npt.NDArray[np.float64]]) -> None:
        """Tick and lot of the first block where they were not given."""
        if self._tick is not None and self._lot is not None:
            return
        sizes = ("bid_size", "ask_size", "size", "volume")
        if self._tick is None:
            self._tick = _step([values for role, values in floats.items() if role not in sizes])
        if self._lot is None:
            self._lot = _step([values for role, values in floats.items() if role in sizes])

    def _symbol_ids(self, column: Any) -> npt.NDArray[np.uint32] | int:
        """Dense numbers of symbols in the order of their first row."""
        assert self._tick is not None and self._lot is not None
        if column is None:
            if not self.instruments:
                self.instruments[0] = Instrument(self._symbol, self._tick, self._lot)
            return 0
        pc = extra("pyarrow.compute")
        coded = pc.dictionary_encode(_strings(column))
        table = np.zeros(len(coded.dictionary) + 1, np.uint32)
        for i, name in enumerate([*coded.dictionary.to_pylist(), ""]):  # once for each symbol of a block
            if i == len(coded.dictionary) and not coded.indices.null_count:
                break
            if name not in self._ids:
                self._ids[name] = len(self._ids)
                self.instruments[self._ids[name]] = Instrument(name, self._tick, self._lot)
            table[i] = self._ids[name]
        return table[_numbers(coded.indices, -1)]


def _step(columns: list[npt.NDArray[np.float64]]) -> float:
    """The largest power of ten, 1 down to 1e-9, that divides all values; 1 where there are none."""
    values = [column[np.abs(column) < _MAX_TICKS * 1e-9] for column in columns]
    for exponent in range(10):
        scaled = [column * 10.0**exponent for column in values]
        if all((np.abs(x - np.rint(x)) <= np.maximum(1e-4, np.abs(x) * 4e-16)).all() for x in scaled):
            return float(10.0**-exponent)
    return 1e-9


def _numbers(column: Any, missing: int) -> npt.NDArray[np.int64]:
    """An Arrow column of whole numbers as int64."""
    if column.null_count:
        column = column.fill_null(missing)
    return np.asarray(column.to_numpy(zero_copy_only=False)).astype(np.int64, copy=False)


def _integers(column: Any) -> npt.NDArray[np.int64]:
    """A column of identifiers as the bit pattern of 64-bit numbers; what is missing or no number is -1."""
    pa, pc = extra("pyarrow"), extra("pyarrow.compute")
    kind = column.type
    if pa.types.is_integer(kind):
        return _numbers(column, -1)
    if pa.types.is_decimal(kind):
        values, scale = _decimal(column)
        return np.where(values < 0, -1, values // scale)
    if pa.types.is_floating(kind):
        values_f = column.to_numpy(zero_copy_only=False)
        fine = np.isfinite(values_f) & (np.abs(values_f) < 2**63)
        return np.where(fine, np.where(fine, values_f, 0).astype(np.int64), -1)
    column = pc.utf8_trim_whitespace(_strings(column))
    fine = pc.match_substring_regex(column, r"^\d{1,18}$")
    return _numbers(pc.cast(pc.if_else(fine, column, pa.scalar(None, pa.string())), pa.int64()), -1)


def _decimal(column: Any) -> tuple[npt.NDArray[np.int64], int]:
    """A decimal128 column as whole numbers and their scale; what needs more than 63 bits is -1."""
    if column.null_count:
        column = column.fill_null(-1)
    halves = np.frombuffer(column.buffers()[1], np.int64).reshape(-1, 2)[column.offset : column.offset + len(column)]
    return np.where(halves[:, 1] == halves[:, 0] >> 63, halves[:, 0], -1), 10**column.type.scale


def _decimal_type(text: str) -> Any:
    """For a time like this one: decimals down to the nanosecond, whatever its unit, and no more, so that 63 bits are enough."""
    digits = text.find(".")
    return extra("pyarrow").decimal128(27, 9 if digits <= 10 else 6 if digits <= 13 else 3)


def _floats(column: Any) -> npt.NDArray[np.float64]:
    """A column of prices or sizes as float64; null and text that is no number become NaN."""
    pa, pc = extra("pyarrow"), extra("pyarrow.compute")
    kind = column.type
    if _is_text(kind):
        column = pc.utf8_trim_whitespace(_strings(column))
        fine = pc.match_substring_regex(column, r"^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$")
        column = pc.cast(pc.if_else(fine, column, pa.scalar(None, pa.string())), pa.float64())
    elif pa.types.is_null(kind):
        return np.full(len(column), np.nan)
    elif not pa.types.is_floating(kind):
        column = pc.cast(column, pa.float64(), safe=False)
    return np.asarray(column.to_numpy(zero_copy_only=False), np.float64)


def _is_text(kind: Any) -> bool:
    types = extra("pyarrow").types
    return bool(types.is_string(kind) or types.is_large_string(kind) or (hasattr(types, "is_string_view") and types.is_string_view(kind)))


def _strings(column: Any) -> Any:
    pa, pc = extra("pyarrow"), extra("pyarrow.compute")
    if pa.types.is_dictionary(column.type):  # its words first: a view of strings cannot be taken from everywhere
        column = pa.DictionaryArray.from_arrays(column.indices, pc.cast(column.dictionary, pa.string())).dictionary_decode()
    return column if pa.types.is_string(column.type) else pc.cast(column, pa.string())


def _side(column: Any) -> npt.NDArray[np.int8]:
    """+1 for buy, -1 for sell, 0 for anything else."""
    pc = extra("pyarrow.compute")
    coded = pc.dictionary_encode(pc.utf8_upper(pc.utf8_trim_whitespace(_strings(column))))
    words = coded.dictionary.to_pylist()
    table = np.array([1 if w in _BUYS else -1 if w in _SELLS else 0 for w in words] + [0], np.int8)
    return table[_numbers(coded.indices, -1)]


# ---- CSV ----


def csv_blocks(
    path: Path, names: Sequence[str], types: Mapping[str, Any], *, member: str | None = None, delimiter: str = ",",
    skip_lines: int = 0, progress: Progress | None = None, ragged: bool = False, block_bytes: int = 1 << 20,
    wrong: Any = None,
) -> Iterator[tuple[Any, npt.NDArray[np.int64]]]:  # fmt: skip
    """Parse a CSV file block by block.

    Parameters
    ----------
    names, types
        Columns of the file, and the Arrow type of those that are wanted. A block with a value that its type cannot hold comes
        with text columns instead.
    wrong : callable(rows, texts)
        Told the rows with too many or too few fields; they are left out.
    ragged : bool
        Rows may have fewer fields than columns: what lacks is null.

    Yields
    ------
    (Table, ndarray)
        And the number of each row in the file, the first behind `skip_lines` being 0.
    """
    pa, csv, pc = extra("pyarrow"), extra("pyarrow.csv"), extra("pyarrow.compute")
    done = 0
    for block in lines(pieces(path, member=member, progress=progress), block_bytes):
        if skip_lines:
            while skip_lines and block:
                cut = block.find(b"\n") + 1 or len(block)
                block, skip_lines = block[cut:], skip_lines - 1
            if not block:
                continue
        if ragged:
            table, skipped = _ragged(block, names, delimiter, pa, pc)
        else:
            table, skipped = _parse(block, names, types, delimiter, pa, csv)
        total = len(table) + len(skipped)
        rows = np.arange(done, done + total)
        if skipped:
            at = np.array([row for row, _ in skipped])
            rows = np.delete(rows, at)
            if wrong is not None:
                wrong(done + at, [text for _, text in skipped])
        done += total
        if len(table):
            yield table, rows


def _parse(
    block: bytes, names: Sequence[str], types: Mapping[str, Any], delimiter: str, pa: Any, csv: Any
) -> tuple[Any, list[tuple[int, str]]]:
    skipped: list[tuple[int, str]] = []

    def unfit(row: Any) -> str:  # called for a malformed row alone
        skipped.append((row.number - 1, f"fields={row.actual_columns} expected={row.expected_columns}"))
        return "skip"

    if not block.isascii():
        block = block.decode("utf-8", "replace").encode()  # bytes that are no text are one malformed value, not the end
    read = csv.ReadOptions(column_names=list(names), use_threads=False, block_size=len(block) + 1)
    parse = csv.ParseOptions(delimiter=delimiter, invalid_row_handler=unfit, ignore_empty_lines=False)
    # An empty field is missing; "nan" is a number that is none.
    common = {"null_values": [""], "strings_can_be_null": True, "include_columns": [n for n in names if n in types]}
    try:
        table = csv.read_csv(io.BytesIO(block), read, parse, csv.ConvertOptions(column_types=dict(types), **common))
    except pa.ArrowInvalid:
        skipped.clear()
        text = dict.fromkeys(types, pa.string())
        table = csv.read_csv(io.BytesIO(block), read, parse, csv.ConvertOptions(column_types=text, **common))
    return table, skipped


def _ragged(block: bytes, names: Sequence[str], delimiter: str, pa: Any, pc: Any) -> tuple[Any, list[tuple[int, str]]]:
    """Rows of any number of fields: one list of fields for each, then column by column."""
    text = block.replace(b"\r\n", b"\n").rstrip(b"\n").decode("utf-8", "replace")
    rows = pc.split_pattern(pc.list_flatten(pc.split_pattern(pa.array([text]), "\n")), delimiter)
    starts = rows.offsets.to_numpy()
    fields = rows.flatten()
    counts = np.diff(starts)
    too_many = np.flatnonzero(counts > len(names))
    skipped = [(int(i), f"fields={counts[i]} expected={len(names)}") for i in too_many]
    keep = np.flatnonzero(counts <= len(names))
    columns = {}
    for i, name in enumerate(names):
        at = pa.array(np.where(counts[keep] > i, starts[:-1][keep] + i, 0), mask=counts[keep] <= i)
        column = fields.take(at)
        columns[name] = pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)
    return pa.table(columns), skipped


def _look(head: bytes) -> tuple[str, list[list[bytes]]]:
    """Delimiter, and the fields of the first lines of a text; ("", []) where it is no table."""
    if not head or b"\0" in head or b"{" in head[:4096]:
        return "", []
    text = head[: head.rfind(b"\n") + 1] or head
    first = [line for line in text.split(b"\n")[:50] if line.strip()]
    for delimiter in (b",", b";", b"\t", b"|"):
        if first and delimiter in first[0]:
            return delimiter.decode(), [[f.strip().strip(b'"') for f in line.split(delimiter)] for line in first]
    return "", []


class CsvFeed(TableFeed):
    """A CSV file, plain, gzip, Zstandard, or alone in a ZIP archive.

    Parameters
    ----------
    path, kind, columns, ...
        As in `TableFeed`.
    header : bool, optional
        Whether the first line has names; by default whether its first field is no number.
    delimiter : str, optional
        By default the first of ``, ; tab |`` in the first line.
    member : str, optional
        The file within an archive of several.
    layouts : mapping of str to sequence of str, optional
        Of order messages whose rows have other fields than the header says: the roles of the fields by value of the action,
        for example ``{"R": ("action", "time", "id", "size")}``.

    Raises
    ------
    ValueError
        If an option is wrong, or the columns do not say what they are.
    CorruptDataError
        After everything whole, when a compressed file is cut or damaged. A file without rows has no events and is no error.
    """

    format = "csv"

    def __init__(
        self, path: str | os.PathLike[str], *, header: bool | None = None, delimiter: str | None = None, member: str | None = None,
        layouts: Mapping[str, Sequence[str]] | None = None, **options: Any,
    ) -> None:  # fmt: skip
        self._header, self._delimiter, self._member = header, delimiter, member
        self._layouts = dict(layouts or {})
        super().__init__(path, **options)

    def _prepare(self) -> None:
        extra("pyarrow")
        head = _head(self.path, self._member)
        found, rows = _look(head)
        if self._delimiter is None:
            self._delimiter = found or ","
        elif self._delimiter != found:
            rows = [[f.strip().strip(b'"') for f in line.split(self._delimiter.encode())] for line in head.split(b"\n")[:50] if line.strip()]
        if not rows:
            self._names: list[str] = []
            return
        if self._header is None:
            self._header = not _NUMBER.match(rows[0][0]) and not rows[0][0][:1].isdigit()
        data = rows[1:] if self._header else rows
        if self._header:
            names = [field.decode("utf-8", "replace").removeprefix("\ufeff") for field in rows[0]]
        else:
            width = max(map(len, rows))
            kinds: list[Kind] = [self.kind] if self.kind else ["quotes", "bars"]
            headless = next((_HEADLESS[k, width] for k in kinds if (k, width) in _HEADLESS), ())
            names = [str(i) for i in range(width)]
            given = set(self._columns.values())
            self._columns = {**{role: i for i, role in enumerate(headless) if i not in given}, **self._columns}
        # A second column of a name is a column too.
        seen: dict[str, int] = {}
        for i, name in enumerate(names):
            seen[name] = seen.get(name, 0) + 1
            if seen[name] > 1:
                names[i] = f"{name}.{seen[name]}"
        self._names = names
        self._ragged = bool(self._layouts) or any(len(row) < len(names) for row in data)
        self._settle(names)
        known = {"action", *self._roles}
        for action, roles in self._layouts.items():
            if "action" not in self._roles or not set(roles) <= known or len(roles) > len(names):
                raise ValueError(f"layouts must be roles of the file by action: {action}={tuple(roles)} roles={sorted(known)}")
        self._first = data[0] if data else []

    def _types(self) -> dict[str, Any]:
        pa = extra("pyarrow")
        types: dict[str, Any] = {}
        for role, at in self._roles.items():
            name = self._names[at]
            field = self._first[at] if at < len(self._first) else b""
            if role in ("time", "local_time"):
                if re.fullmatch(rb"\d+", field):
                    types[name] = pa.int64()
                elif re.fullmatch(rb"\d+\.\d{0,9}", field):
                    types[name] = _decimal_type(field.decode())
                elif re.search(rb"(Z|[-+]\d\d:?\d\d)$", field) and b":" in field:
                    types[name] = pa.timestamp("ns", "UTC")
                else:
                    types[name] = pa.timestamp("ns")
            elif role in ("symbol", "side", "action"):
                types[name] = pa.string()
            elif role in ("id", "new_id", "seq", "count"):
                types[name] = pa.int64()
            else:
                types[name] = pa.float64()
        return types

    def _batches(self) -> Iterator[tuple[Any, npt.NDArray[np.int64]]]:
        if not self._names:
            for _ in pieces(self.path, member=self._member, progress=self._progress):
                pass  # a file without a line is empty, or damaged, which reading it shows
            return
        types = self._types()
        wanted = [name for name in self._names if name in types]
        if not self._ragged:
            self._roles = {role: wanted.index(self._names[at]) for role, at in self._roles.items()}
        for table, rows in csv_blocks(
            self.path, self._names, types, member=self._member, delimiter=self._delimiter or ",", skip_lines=int(bool(self._header)),
            progress=self._progress, ragged=self._ragged, wrong=lambda rows, texts: self._skip("a row must have all its fields", rows, texts),
        ):  # fmt: skip
            yield self._rearranged(table) if self._layouts else table, rows

    def _rearranged(self, table: Any) -> Any:
        """Fields of rows with a layout of their own, moved to the columns of their roles."""
        pa, pc = extra("pyarrow"), extra("pyarrow.compute")
        columns = list(table.columns)
        for action, roles in self._layouts.items():
            those = pc.fill_null(pc.equal(table.column(self._roles["action"]), action), False)
            for role, at in self._roles.items():
                other = table.column(list(roles).index(role)) if role in roles else pa.scalar(None, pa.string())
                columns[at] = pc.if_else(those, other, columns[at])
        return pa.table(columns, table.schema.names)

    @classmethod
    def recognise(cls, head: bytes, path: Path) -> bool:
        """Rows of a table whose columns have known names, or whose name ends like one."""
        if head[:4] == b"PK\x03\x04":
            names = zip_names(path)
            return len(names) == 1 and bool(_look(_head(path, None))[1])
        delimiter, rows = _look(head)
        if not rows:
            return path.suffix.lower() in (".csv", ".tsv") and not head
        if re.search(r"\.(csv|tsv|txt)(\.|$)", path.name.lower()):
            return True
        plain = {re.sub(r"[^a-z0-9]", "", field.decode("latin-1").lower()) for field in rows[0]}
        return any(
            all(plain & set(_ALIASES[role]) for role in required) for required, _ in _ROLES.values()
        )


def _head(path: Path, member: str | None) -> bytes:
    """The first bytes of a text, out of its archive if it is in one."""
    head = head_of(path)
    if head[:4] == b"PK\x03\x04":
        try:
            return next(pieces(path, member=member), b"")[: 1 << 16]
        except CorruptDataError:
            return b""
    return head


# ---- Parquet and Arrow ----


class ParquetFeed(TableFeed):
    """A Parquet file; parameters as in `TableFeed`. Only the columns that have a role are read."""

    format = "parquet"

    def _prepare(self) -> None:
        parquet, pa = extra("pyarrow.parquet"), extra("pyarrow")
        try:
            self._file = parquet.ParquetFile(self.path)
        except pa.ArrowInvalid as error:
            raise CorruptDataError(f"a Parquet file must be whole: path={self.path} {error}") from error
        self._settle(self._file.schema_arrow.names)

    def _batches(self) -> Iterator[tuple[Any, npt.NDArray[np.int64]]]:
        pa = extra("pyarrow")
        names = self._file.schema_arrow.names
        wanted = sorted(set(self._roles.values()))
        self._roles = {role: wanted.index(at) for role, at in self._roles.items()}
        done, total = 0, self._file.metadata.num_rows
        try:
            for batch in self._file.iter_batches(65_536, columns=[names[i] for i in wanted]):
                yield batch, np.arange(done, done + len(batch))
                done += len(batch)
                self._progress(done, total)
        except (pa.ArrowInvalid, OSError) as error:
            raise CorruptDataError(f"a Parquet file must be whole: path={self.path} row={done} {error}") from error
        finally:
            self._file.close()

    @classmethod
    def recognise(cls, head: bytes, path: Path) -> bool:
        """By the magic number."""
        return head[:4] == b"PAR1"


class ArrowFeed(TableFeed):
    """An Arrow IPC file (Feather version 2) or stream; parameters as in `TableFeed`."""

    format = "arrow"

    def _prepare(self) -> None:
        pa, ipc = extra("pyarrow"), extra("pyarrow.ipc")
        self._map = pa.memory_map(str(self.path))
        try:
            file = self.path.stat().st_size >= 8 and self._map.read(6) == b"ARROW1"
            self._map.seek(0)
            self._reader = ipc.open_file(self._map) if file else ipc.open_stream(self._map)
        except (pa.ArrowInvalid, OSError) as error:
            self._map.close()
            raise CorruptDataError(f"an Arrow file must be whole: path={self.path} {error}") from error
        self._is_file = file
        self._settle(self._reader.schema.names)

    def _batches(self) -> Iterator[tuple[Any, npt.NDArray[np.int64]]]:
        pa = extra("pyarrow")
        done, total = 0, self.path.stat().st_size
        reader = self._reader
        batches = (reader.get_batch(i) for i in range(reader.num_record_batches)) if self._is_file else iter(reader)
        try:
            for batch in batches:
                yield batch, np.arange(done, done + len(batch))
                done += len(batch)
                self._progress(total if self._is_file else self._map.tell(), total)
        except (pa.ArrowInvalid, OSError) as error:
            raise CorruptDataError(f"an Arrow file must be whole: path={self.path} row={done} {error}") from error

    @classmethod
    def recognise(cls, head: bytes, path: Path) -> bool:
        """By the magic number of a file, or the mark of a stream whose first message is a schema."""
        return head[:6] == b"ARROW1" or (head[:4] == b"\xff\xff\xff\xff" and path.suffix in (".arrow", ".arrows", ".ipc", ".feather"))
