"""LOBSTER: a ZIP archive of a message file and an orderbook file, or the two CSV files, as event arrays.

A message row is time (s after midnight in New York, up to 9 decimals), type, order id, size, price x 10,000, side of
the resting order; row i of the orderbook file is the state behind message i: (ask price, ask size, bid price, bid size) x
levels, prices 9999999999 / -9999999999 with size 0 where a level is empty. Prices become ticks of 0.0001.

By level (the default), a row gives, in this order and as one message (``continued``):

==== ===================== ========================================================================================
type event                 then, whatever the type
==== ===================== ========================================================================================
1, 2 --                    level events that turn row i-1 into row i: levels that vanish (size 0), then levels that
3    --                    appear or change (their new size). A level that enters or leaves the window of the file
4    trade                 without a message of its own appears or vanishes the same way
5    trade, flag hidden
6    cross (type 0)
7    status: halted, quotation or trading
==== ===================== ========================================================================================

Row 0 is an image: clear, then its levels, all with the flag ``snapshot``. Level events carry the number of the row in
payload[2] and its type in payload[3]; `seq` is the row number, too. So after the events of row i a book by level holds exactly
row i. With ``by="orders"`` the message file alone gives add (1), cancel (2), delete (3), execute (4), trade (5), cross
(6), status (7): orders outside the window change without a message, so that a book by order drifts away from the orderbook file.

Source: LOBSTER, output structure of the sample files.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Collection, Generator, Iterator
from datetime import date as Date
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from fastcore.errors import CorruptDataError
from fastcore.instruments import Instruments
from fastcore.records import EVENT_DTYPE, FLAGS, KINDS, NO_PRICE, TRADING

from ._columns import decimal, numbers
from ._csv_blocks import csv_blocks
from ._files import extra, text_head, zip_names
from ._levels import CONTINUED, SNAPSHOT, Rows, level_changes
from .days import day_of, midnight_ns
from .feed import RAW, Events, Feed, Progress, check_chunk_events, whole_messages

__all__ = ["LobsterFeed", "MessageRows"]

_MESSAGE = ("time", "type", "order_id", "size", "price", "side")
_NAME = re.compile(r"([A-Za-z0-9.\-]+)_(\d{4}-\d\d-\d\d)_\d+_\d+_(message|orderbook)_(\d+)\.csv")
_STATES = {-1: TRADING["halted"], 0: TRADING["quotation"], 1: TRADING["trading"]}


class MessageRows(NamedTuple):
    """A block of messages and the rows of the orderbook behind each.

    Attributes
    ----------
    number : ndarray of int64
        Of each row in the file, from 0.
    exch_ns : ndarray of int64
    type : ndarray of int8
        1..7
    order_id, size, price : ndarray of int64
    side : ndarray of int8
        Of the resting order: +1 buy, -1 sell.
    rows : ndarray of int64, shape (n, 4 * levels), C-contiguous
        As in the file: (ask price, ask size, bid price, bid size) x levels.
    """

    number: npt.NDArray[np.int64]
    exch_ns: npt.NDArray[np.int64]
    type: npt.NDArray[np.int8]
    order_id: npt.NDArray[np.int64]
    size: npt.NDArray[np.int64]
    price: npt.NDArray[np.int64]
    side: npt.NDArray[np.int8]
    rows: Rows


class LobsterFeed(Feed):
    """A LOBSTER day as events.

    Parameters
    ----------
    path : path
        The archive, or one of the two CSV files; the other is looked for beside it (``message`` for ``orderbook`` in its name).
        A single CSV may be gzip or Zstandard.
    instruments, wanted
        As in ``hft.feeds.Feed``.
    by : {"levels", "orders"}, default "levels"
    date : date, optional
        By default the one in the file name.
    symbol : str, optional
        By default the one in the file name.
    progress : callable(done, total), optional
        Told the bytes of the message file consumed.
    chunk_events : int, default 65536
    strict : bool, default False
        Raise CorruptDataError at the first malformed row.

    Attributes
    ----------
    levels : int
        Of the orderbook file; 0 where there is none.

    Raises
    ------
    ValueError
        If there is no date, the day is before 2007, or an option is wrong.
    FileNotFoundError
        If the orderbook file is missing and by="levels".
    CorruptDataError
        If the archive is damaged; when it reads on, after everything whole, also where one file has more rows than the other.
    """

    format = "lobster"

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        instruments: Instruments | None = None,
        wanted: Collection[str] | None = None,
        by: Literal["levels", "orders"] = "levels",
        date: Date | None = None,
        symbol: str | None = None,
        progress: Progress | None = None,
        chunk_events: int = 65_536,
        strict: bool = False,
    ) -> None:
        super().__init__(path, instruments, wanted)
        if by not in ("levels", "orders"):
            raise ValueError(f"by must be levels or orders: by={by}")
        check_chunk_events(chunk_events)
        self.by, self.strict = by, strict
        self.book = by
        self._chunk, self._progress = chunk_events, progress
        files = _find(self.path)
        if "message" not in files:
            raise CorruptDataError(f"a LOBSTER archive must hold a message file: path={path}")
        if by == "levels" and "orderbook" not in files:
            if files["message"][1]:
                raise CorruptDataError(f"a LOBSTER archive must hold an orderbook file, or by must be orders: path={path}")
            raise FileNotFoundError(f"the orderbook file must lie beside the message file, or by be orders: path={path}")
        self._message, self._rows = files["message"], files.get("orderbook")
        name = _NAME.search(self._message[1] or self._message[0].name)
        day = date or (Date.fromisoformat(name.group(2)) if name else day_of(self.path))
        if day is None:
            raise ValueError(f"a LOBSTER file must have its date in its name, or date must be given: path={path}")
        self._midnight = midnight_ns(day)
        self.levels = 0
        if self._rows is not None:
            first = text_head(self._rows[0], self._rows[1]).lstrip(b"\r\n").split(b"\n", 1)[0]
            fields = first.count(b",") + 1 if first else 0
            if fields % 4:
                raise CorruptDataError(f"an orderbook row must have four fields a level: fields={fields} path={path}")
            self.levels = fields // 4
        self._symbol_id = self._row(symbol or (name.group(1) if name else self.path.name.split("_")[0]), 1e-4, currency="USD")

    # ---- reading ----

    def _messages(self) -> Generator[tuple[Any, npt.NDArray[np.int64]], None, None]:
        pa = extra("pyarrow")
        types = dict.fromkeys(_MESSAGE, pa.int64()) | {"time": pa.decimal128(18, 9)}
        path, member = self._message
        return csv_blocks(path, _MESSAGE, types, member=member, progress=self._progress, wrong=self._wrong("message"))

    def _books(self) -> Generator[tuple[Any, npt.NDArray[np.int64]], None, None]:
        pa = extra("pyarrow")
        assert self._rows is not None
        names = [str(i) for i in range(4 * self.levels)]
        path, member = self._rows
        return csv_blocks(path, names, dict.fromkeys(names, pa.int64()), member=member, wrong=self._wrong("orderbook"))

    def _wrong(self, file: str) -> Any:
        return lambda rows, texts: self._skip(f"a row of the {file} file must have all its fields", rows, texts)

    def _columns(self, table: Any, rows: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Columns of messages as (n, 6) int64, time in ns after midnight; and the numbers of the rows that are whole."""
        bad = np.zeros(len(table), bool)
        out = np.empty((len(table), 6), np.int64)
        for i, name in enumerate(_MESSAGE):
            column = table.column(name).combine_chunks()
            if name == "time":
                out[:, i], wrong = _seconds(column)
            else:
                out[:, i], wrong = _whole(column)
            bad |= wrong
        self._skip("a message must be of whole numbers", rows[bad], [f"row {row}" for row in rows[bad][:64]])
        side, type_ = out[:, 5], out[:, 1]
        for rule, wrong, values in (
            ("type of a message must be 1 to 7", (type_ < 1) | (type_ > 7), type_),
            ("side of a message must be 1 or -1", (np.abs(side) != 1) & (type_ != 7), side),
            ("size of a message must not be negative", out[:, 3] < 0, out[:, 3]),
        ):
            wrong &= ~bad
            self._skip(rule, rows[wrong], values[wrong].tolist())
            bad |= wrong
        return out[~bad], rows[~bad]

    def messages_and_rows(self) -> Iterator[MessageRows]:
        """Iterate over the messages with the orderbook rows behind them, block by block: what ``hft verify`` compares.

        Rows of which either file has no whole one are left out of both.

        Raises
        ------
        CorruptDataError
            After everything whole: a file is cut, or one has more rows than the other.
        """
        # Closed here: left to the collector, their threads could be waited for in the middle of anything, the begin of a thread too.
        with contextlib.closing(self._messages()) as messages, contextlib.closing(self._books()) as books:
            held_m = np.zeros((0, 6), np.int64), np.zeros(0, np.int64)
            held_b = np.zeros((0, 4 * self.levels), np.int64), np.zeros(0, np.int64)
            ended = [False, False]
            upto = [0, 0]  # rows of each file read so far
            failure: CorruptDataError | None = None
            while not all(ended):
                side = 0 if not ended[0] and (ended[1] or upto[0] <= upto[1]) else 1
                try:
                    item = next((messages, books)[side], None)
                except CorruptDataError as error:
                    item, failure = None, failure or error
                if item is None:
                    ended[side] = True
                elif side == 0:
                    part, rows = self._columns(*item)
                    upto[0] = int(item[1][-1]) + 1
                    held_m = np.concatenate([held_m[0], part]), np.concatenate([held_m[1], rows])
                else:
                    table, rows = item
                    columns = [_whole(column.combine_chunks()) for column in table.columns]
                    bad = np.logical_or.reduce([wrong for _, wrong in columns])
                    self._skip("an orderbook row must be of whole numbers", rows[bad])
                    upto[1] = int(rows[-1]) + 1
                    part = np.stack([values for values, _ in columns], axis=1)[~bad]
                    held_b = np.concatenate([held_b[0], part]), np.concatenate([held_b[1], rows[~bad]])
                ready = min(upto[i] for i in (0, 1))
                m, b = (int(np.searchsorted(held[1], ready)) for held in (held_m, held_b))
                if m and b:
                    rows, at_m, at_b = np.intersect1d(held_m[1][:m], held_b[1][:b], assume_unique=True, return_indices=True)
                    if len(rows):
                        c = held_m[0][at_m]
                        yield MessageRows(
                            rows, c[:, 0] + self._midnight, c[:, 1].astype(np.int8), c[:, 2].copy(), c[:, 3].copy(),
                            c[:, 4].copy(), c[:, 5].astype(np.int8), held_b[0][at_b],
                        )  # fmt: skip
                    held_m = held_m[0][m:], held_m[1][m:]
                    held_b = held_b[0][b:], held_b[1][b:]
            if failure is not None:
                raise failure
            if upto[0] != upto[1]:
                raise CorruptDataError(f"the two files must have the same rows: messages={upto[0]} orderbook={upto[1]} path={self.path}")

    # ---- events ----

    def _arrays(self) -> Iterator[Events]:
        if self.by == "orders":
            for table, rows in self._messages():
                columns, rows = self._columns(table, rows)
                events = self._of_messages(columns, rows)
                events["kind"] = _ORDER_KINDS[columns[:, 1]]
                events["price"][np.isin(columns[:, 1], (2, 3))] = NO_PRICE
                events["size"][columns[:, 1] == 3] = 0
                yield from whole_messages(events, self._chunk)
            return
        before: Rows | None = None
        for block in self.messages_and_rows():
            # Pairs of rows compared at once: bounded, and small enough for the cache.
            step = max(256, 65_536 // self.levels)
            for start in range(0, len(block.rows), step):
                rows = block.rows[start : start + step]
                part = MessageRows._make(column[start : start + step] for column in block)
                yield from whole_messages(self._levels(part, before), self._chunk)
                before = rows[-1]

    def _count(self, types: npt.NDArray[np.int64]) -> None:
        for i, n in enumerate(np.bincount(types, minlength=8).tolist()):
            if n:
                self.messages[str(i)] = self.messages.get(str(i), 0) + n

    def _of_messages(self, columns: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]) -> Events:
        """One event for each message with its fields; type 4 is an execution."""
        type_ = columns[:, 1]
        self._count(type_)
        events = np.zeros(len(columns), EVENT_DTYPE)
        events["symbol_id"] = self._symbol_id
        events["seq"] = rows
        events["exch_ns"] = columns[:, 0] + self._midnight
        events["side"] = np.where(type_ == 7, 0, columns[:, 5])
        events["flags"] = np.where(type_ == 5, FLAGS["hidden"], 0)
        events["price"], events["size"] = columns[:, 4], columns[:, 3]
        events["order_id"] = np.where(type_ == 6, 0, columns[:, 2])
        halts = type_ == 7
        if halts.any():
            states = np.array([_STATES[-1], _STATES[0], _STATES[1]])
            events["price"][halts] = states[np.clip(columns[halts, 4], -1, 1) + 1]
            events["size"][halts], events["order_id"][halts] = 0, 0
        return events

    def _levels(self, block: MessageRows, before: Rows | None) -> Events:
        """What the messages of a block and the changes of their rows give."""
        rows, n = block.rows, len(block.rows)
        image = before is None
        first = np.zeros_like(rows[0]) if before is None else before
        previous = np.concatenate([first[None], rows[:-1]])
        row, side, price, size = level_changes(_sides(previous), _sides(rows))
        numbers = block.number
        columns = np.stack([block.exch_ns - self._midnight, block.type, block.order_id, block.size, block.price, block.side], axis=1)
        lead = self._of_messages(columns, numbers)
        lead["kind"] = _LEVEL_KINDS[block.type]
        leads = lead["kind"] != 0
        clears = np.zeros(n, bool)
        clears[0] = image
        changes = np.bincount(row, minlength=n)
        counts = leads + clears.astype(np.int64) + changes
        events = np.zeros(int(counts.sum()), EVENT_DTYPE)
        events["symbol_id"] = self._symbol_id
        ends = np.cumsum(counts)
        starts = ends - counts
        events.view(RAW)[starts[leads]] = lead.view(RAW)[leads]
        spots = (starts + leads + clears)[row] + np.arange(len(row)) - (np.cumsum(changes) - changes)[row]
        for name, values in (
            ("seq", numbers[row]), ("exch_ns", block.exch_ns[row]), ("kind", KINDS["level"]), ("side", side), ("price", price),
            ("size", size), ("order_id", numbers[row]), ("match_id", block.type[row]),
        ):  # fmt: skip
            events[name][spots] = values
        if image:
            at = int(leads[0])
            events["kind"][at], events["price"][at] = KINDS["clear"], NO_PRICE
            events["seq"][at], events["exch_ns"][at] = numbers[0], block.exch_ns[0]
            events["flags"][at : int(ends[0])] |= SNAPSHOT
        events["flags"] |= CONTINUED
        events["flags"][ends[counts > 0] - 1] &= ~np.uint16(CONTINUED)
        return events

    @classmethod
    def recognise(cls, head: bytes, path: Path) -> bool:
        """By the names that LOBSTER gives to its files, in an archive or not."""
        if head[:4] == b"PK\x03\x04":
            return any(_NAME.search(name) for name in zip_names(path))
        return bool(_NAME.search(path.name))


_ORDER_KINDS = np.zeros(8, np.uint8)
_LEVEL_KINDS = np.zeros(8, np.uint8)
for _type, _kind in ((1, "add"), (2, "cancel"), (3, "delete"), (4, "execute"), (5, "trade"), (6, "cross"), (7, "status")):
    _ORDER_KINDS[_type] = KINDS[_kind]
    if _type > 3:
        _LEVEL_KINDS[_type] = KINDS["trade" if _type == 4 else _kind]


def _find(path: Path) -> dict[str, tuple[Path, str | None]]:
    """The two files: where each is, and its name within an archive."""
    found: dict[str, tuple[Path, str | None]] = {}
    if path.is_file():
        with open(path, "rb") as file:
            archive = file.read(4) == b"PK\x03\x04"
        if archive:
            names = zip_names(path)
            if not names:
                raise CorruptDataError(f"a ZIP archive must be whole: path={path}")
            for name in names:
                if match := re.search(r"(message|orderbook)", name):
                    found[match.group(1)] = path, name
            return found
    elif not path.exists():
        raise FileNotFoundError(f"path must exist: path={path}")
    for one, other in (("message", "orderbook"), ("orderbook", "message")):
        if one in path.name:
            found[one] = path, None
            beside = path.with_name(path.name.replace(one, other))
            if beside.exists():
                found[other] = beside, None
            break
    return found


def _seconds(column: Any) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Seconds with up to nine decimals to ns, exactly; and where there are none."""
    pa, pc = extra("pyarrow"), extra("pyarrow.compute")
    if pa.types.is_string(column.type):
        # Some times went through a float on their way (43002.632812672004): they are rounded to the nanosecond.
        fine = pc.match_substring_regex(column, r"^\d{1,6}(\.\d{0,15}\d*)?$")
        column = pc.replace_substring_regex(pc.if_else(fine, column, pa.scalar(None, pa.string())), r"(\.\d{15})\d*", r"\1")
        column = pc.cast(pc.round(pc.cast(column, pa.decimal128(24, 15)), 9), pa.decimal128(18, 9))
    missing = np.asarray(column.is_null())
    values, _ = decimal(column)
    return values, missing | (values < 0)


def _whole(column: Any) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Whole numbers, and where there are none."""
    pa, pc = extra("pyarrow"), extra("pyarrow.compute")
    if pa.types.is_string(column.type):
        fine = pc.match_substring_regex(column, r"^-?\d{1,18}$")
        column = pc.cast(pc.if_else(fine, column, pa.scalar(None, pa.string())), pa.int64())
    return numbers(column, 0), np.asarray(column.is_null())


def _sides(rows: Rows) -> tuple[Rows, Rows, Rows, Rows]:
    return rows[:, 0::4], rows[:, 1::4], rows[:, 2::4], rows[:, 3::4]
