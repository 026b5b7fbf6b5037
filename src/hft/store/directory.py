"""A store of many days and symbols: a directory of tick stores, one for each day and group of symbols (`layout`).

A day and a group follow from the record itself, so that a query knows from the names alone which files can hold an answer. The index
spares it those that hold other hours (`index`).
"""

from __future__ import annotations

import contextlib
import datetime
import math
import os
import stat
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from fastcore.errors import LayoutError, StoreError
from fastcore.records import NO_SYMBOL, TICK_DTYPE
from fastcore.store_files import FILE_MODE, check_file_mode, sync_folder
from fastcore.store_header import TIME_FIELDS, check_options, whole
from fastcore.store_times import check_range
from fastcore.tickstore import TickStore

from .audit import audit
from .index import Index
from .layout import (
    DAY_S,
    MOST_GROUPS,
    PARQUET,
    File,
    Settings,
    as_day,
    check_layout,
    day_name,
    partition_name,
    read_settings,
    write_settings,
)
from .parquet_day import read_day
from .partitions import Partitions
from .records import BATCH_RECORDS, Ids, Records, Symbols, as_ids, joined, select
from .retention import Compaction, compact_day, maintenance, remove_day
from .symbols import SymbolTable
from .time_order import in_order, merge, windows

__all__ = ["DirectoryStore", "QueryStats", "open_store"]

_GROWTH_BYTES = 1 << 20
_SEGMENT_BYTES = 32 << 20  # what is mapped at a time; its commit words are 64 KiB
_MOST_LATE = 64  # partitions of days before the newest that stay open


class QueryStats(NamedTuple):
    """What the last query touched.

    Attributes
    ----------
    candidates : int
        Partitions of the days and groups that were asked for.
    skipped : int
        Those that the index ruled out.
    opened : int
        Files that were opened; those that an earlier query left open do not count.
    """

    candidates: int = 0
    skipped: int = 0
    opened: int = 0


class DirectoryStore:
    """Open a store of many days and symbols.

    Parameters
    ----------
    root : path
        The directory.
    mode : {"r", "a"}, default "r"
        Read, also while another process writes; append, making the directory where there is none.
    dtype : dtype, optional
        Of a new one: ticks (the default), events, or any record with a time and a ``symbol_id``. Another one than is stored is refused.
    groups : int, optional
        Symbol groups of a new one, 1..4096, 16 by default: how many files a day has.
    utc_offset_s : int, optional
        Where the day begins, in seconds ahead of UTC, for a new one; 0 by default.
    segment_records : int, optional
        Records by which partitions grow; by default 1 MiB of them.
    sync, sync_interval_s
        Of the partitions, as for ``TickStore``. Symbols are on the disk before `symbols.add` returns.
    verify : bool, default True
        Check every block of a partition against its checksum when it is opened for reading.
    max_open : int, default 64
        Partitions that a reader keeps open.
    file_mode : int, optional
        Permissions of the files of a new one, 0o600 by default. Afterwards those of ``store.json`` count.

    Raises
    ------
    FileNotFoundError
        There is no such directory to read.
    LayoutError
        It is not a directory store, or holds other records or settings.
    StoreLockedError
        There is a writer already.
    CorruptDataError
        Settings, symbols or, when it is opened, a partition are damaged.

    Notes
    -----
    **Thread safety**: one thread for each object. Arrays stay valid after `close`.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        mode: Literal["r", "a"] = "r",
        dtype: npt.DTypeLike | None = None,
        *,
        groups: int | None = None,
        utc_offset_s: int | None = None,
        segment_records: int | None = None,
        sync: Literal["memory", "interval", "commit"] = "memory",
        sync_interval_s: float = 1.0,
        verify: bool = True,
        max_open: int = 64,
        file_mode: int | None = None,
    ) -> None:
        if mode not in ("r", "a"):
            raise ValueError(f"mode must be 'r' or 'a': mode={mode!r}")
        groups = None if groups is None else whole("groups", groups, 1, MOST_GROUPS)
        utc_offset_s = None if utc_offset_s is None else whole("utc_offset_s", utc_offset_s, -DAY_S + 1, DAY_S - 1)
        max_open = whole("max_open", max_open, 1, None)
        self._file_mode = check_file_mode(FILE_MODE if file_mode is None else file_mode)
        check_options(sync, sync_interval_s, segment_records)
        self.root = Path(root).absolute()
        self.mode = mode
        self.last_query = QueryStats()
        self._options: dict[str, Any] = {"sync": sync, "sync_interval_s": sync_interval_s}
        self._writers: dict[tuple[int, int], TickStore] = {}  # that was used last at the end
        self._closed: list[File] = []  # not in the index yet
        self._pid = os.getpid()
        self._newest = -(1 << 62)
        self._open = False
        wanted: Any = None if dtype is None else np.dtype(dtype)
        if mode == "a":
            self._prepare(wanted, groups, utc_offset_s, segment_records)
        elif not self.root.is_dir():
            raise FileNotFoundError(f"there is no such directory: path={self.root}")
        else:
            self._settings = read_settings(self.root)
            self._take_file_mode()
            self.symbols = SymbolTable(self.root / "symbols.store")
        self._open = True
        self._partitions = Partitions(self.root, self._settings, verify, max_open)
        self._index = Index(self.root, self._partitions.range_of, self._file_mode)
        try:
            self._check_settings(wanted, groups, utc_offset_s)
        except BaseException:
            self.close()
            raise

    def _prepare(
        self, dtype: np.dtype[np.void] | None, groups: int | None, utc_offset_s: int | None, segment_records: int | None
    ) -> None:
        # Settings are written under the lock of the writer, which is that of the symbol table.
        settings = self.root / "store.json"
        if self.root.is_dir() and not settings.exists():
            foreign = [
                name for name in sorted(os.listdir(self.root)) if not name.startswith(("symbols.store", "store.json.new-"))
            ]
            if foreign:
                raise LayoutError(f"a new store needs an empty directory: path={self.root}, found={foreign[0]!r}")
        fresh = TICK_DTYPE if dtype is None else dtype
        if not settings.exists():
            check_layout(fresh)
        if settings.exists():
            self._take_file_mode()
        self.root.mkdir(self._folder_mode, parents=True, exist_ok=True)
        self.symbols = SymbolTable(self.root / "symbols.store", "a", self._file_mode)
        try:
            if not settings.exists():
                field = next(name for name in TIME_FIELDS if name in (fresh.names or ()))
                made = Settings(
                    fresh, field, groups or 16, utc_offset_s or 0, segment_records or max(1, _GROWTH_BYTES // fresh.itemsize)
                )
                write_settings(self.root, made, self._file_mode)
            self._settings = read_settings(self.root)
        except BaseException:
            self.symbols.close()
            raise

    def _check_settings(self, dtype: np.dtype[np.void] | None, groups: int | None, utc_offset_s: int | None) -> None:
        for name, asked, stored in (
            ("dtype", dtype, self.dtype),
            ("groups", groups, self.groups),
            ("utc_offset_s", utc_offset_s, self.utc_offset_s),
        ):
            if asked is not None and asked != stored:
                raise LayoutError(f"the store was made otherwise: path={self.root}, {name}={asked}, stored={stored}")

    def _take_file_mode(self) -> None:
        self._file_mode = stat.S_IMODE((self.root / "store.json").stat().st_mode) & 0o666 | 0o600

    @property
    def _folder_mode(self) -> int:
        return self._file_mode | (self._file_mode & 0o444) >> 2

    # ---- what it is

    @property
    def dtype(self) -> np.dtype[np.void]:
        """Structured dtype of the records."""
        return self._settings.dtype

    @property
    def time_field(self) -> str:
        """Field that decides day and order."""
        return self._settings.time_field

    @property
    def groups(self) -> int:
        """Files of a day."""
        return self._settings.groups

    @property
    def utc_offset_s(self) -> int:
        """Seconds ahead of UTC at which a day begins."""
        return self._settings.utc_offset_s

    @property
    def opened(self) -> int:
        """Files opened for reading so far."""
        return self._partitions.opened

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return not self._open

    def __repr__(self) -> str:
        return f"DirectoryStore({str(self.root)!r}, mode={self.mode!r}{'' if self._open else ', closed'})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Flush and close every partition, write the index, and let go of the lock. Closing again does nothing.

        Raises
        ------
        StoreError
            A sync failed; everything is closed all the same.
        """
        if not self._open:
            return
        self._open = False
        self._partitions.forget()
        failure: BaseException | None = None
        for key in list(self._writers):
            try:
                self._close_partition(key)
            except StoreError as error:
                failure = error
        try:
            self._note_closed()
        finally:
            self.symbols.close()
        if failure is not None:
            raise failure

    def _check_open(self) -> None:
        if not self._open:
            raise StoreError(f"the store is closed: path={self.root}")

    def day_of(self, time_ns: int) -> str:
        """Return the name of the day that a time falls into."""
        return day_name(self._settings.day_of(time_ns))

    def days(self) -> list[str]:
        """Return the names of the days that have files, in order."""
        return [day_name(day) for day, _ in self._partitions.folders()]

    # ---- writing

    def append(self, timestamp_ns: int, symbol_id: int, price: float, volume: float) -> None:
        """Append one tick; see ``TickStore.append``. `append_many` costs far less for each record."""
        if self.dtype != TICK_DTYPE:
            raise TypeError(f"append takes ticks, use append_many for other records: dtype={self.dtype}")
        self._check_writable()
        timestamp_ns = whole("timestamp_ns", timestamp_ns, 0, (1 << 63) - 1)
        symbol_id = whole("symbol_id", symbol_id, 0, NO_SYMBOL - 1)
        if not (math.isfinite(price) and math.isfinite(volume) and volume >= 0.0):
            raise ValueError(f"price and volume must be finite, volume not negative: price={price}, volume={volume}")
        day = self._settings.day_of(timestamp_ns)
        self._partition(day, symbol_id % self.groups).append(timestamp_ns, symbol_id, price, volume)
        self._roll_to(day)

    def append_many(self, records: Records) -> int:
        """Append an array of records, each to the partition of its day and group; return their number.

        Parameters
        ----------
        records : ndarray
            One-dimensional, of the dtype of the store. Times need not rise. Symbols should have been added to `symbols`.

        Raises
        ------
        TypeError, ValueError
            Not such an array, or a tick breaks a rule: nothing is stored.
        OSError
            The disk is full: nothing is stored, since room is made in all partitions first.
        StoreLockedError
            Compaction holds a day to which a record belongs: nothing is stored, unless it took one of more than 64 partitions of
            earlier days between the making of room and the append.
        StoreError
            The day was compacted into Parquet: nothing is stored. Or a sync failed.

        Notes
        -----
        A record of a later day than any before closes the partitions of earlier days. One that comes late opens its own again;
        64 of those stay open, until the next day begins.
        """
        self._check_writable()
        if not isinstance(records, np.ndarray):
            raise TypeError(f"records must be an ndarray: type={type(records).__name__}")
        if records.dtype != self.dtype:
            raise TypeError(f"records must have the dtype of the store: dtype={records.dtype}, stored={self.dtype}")
        if records.ndim != 1:
            raise ValueError(f"records must be one-dimensional: shape={records.shape}")
        if not len(records):
            return 0
        if self.dtype == TICK_DTYPE:
            _check_ticks(records)
        parts = self._settings.split(np.ascontiguousarray(records.view(f"V{records.dtype.itemsize}")).view(records.dtype))
        newest = max(day for day, _, _ in parts)
        for day, group, part in parts:
            self._partition(day, group, newest).reserve(len(part))
        for day, group, part in parts:
            self._partition(day, group, newest).append_many(part)
        self._roll_to(newest)
        return len(records)

    def record(self, feed: Iterable[Records], progress: Callable[[int], None] | None = None) -> int:
        """Append all arrays of a feed (``hft.feeds``), its symbols under the ids of this store; return the records.

        Parameters
        ----------
        feed : Feed
            Its ``instruments`` are added to `symbols`, and its ids become theirs.
        progress : callable, optional
            ``progress(records so far)``.
        """
        instruments: Collection[Any] = getattr(feed, "instruments", ())
        known, lookup, rows = -1, np.zeros(0, np.uint32), 0
        for events in feed:
            if len(instruments) != known:
                lookup, known = self.symbols.mapping(instruments), len(instruments)
            if known:
                ids = events["symbol_id"]
                inside = ids < len(lookup)
                events = events.copy()
                events["symbol_id"] = np.where(inside, lookup[np.where(inside, ids, 0)], np.uint32(NO_SYMBOL))
            rows += self.append_many(events)
            if progress is not None:
                progress(rows)
        return rows

    def roll(self, now_ns: int | None = None) -> None:
        """Close the partitions of the days before the one of `now_ns` (UNIX ns; the wall clock by default)."""
        self._check_writable()
        self._roll_to(self._settings.day_of(time.time_ns() if now_ns is None else now_ns))

    def flush(self) -> None:
        """Write everything appended so far to the disk, and wait for it."""
        self._check_writable()
        for store in self._writers.values():
            store.flush()

    def _check_writable(self) -> None:
        self._check_open()
        if self.mode != "a":
            raise StoreError(f"the store is open for reading: path={self.root}, mode={self.mode!r}")
        if self._pid != os.getpid():
            raise StoreError(f"a forked process may not write: path={self.root}, writer_pid={self._pid}, pid={os.getpid()}")

    def _roll_to(self, day: int) -> None:
        if day <= self._newest:
            return
        self._newest = day
        for key in [key for key in self._writers if key[0] < day]:
            self._close_partition(key)
        self._note_closed()

    def _close_partition(self, key: tuple[int, int]) -> None:
        day, group = key
        self._closed.append(File(day, group, self.root / day_name(day) / partition_name(group)))
        self._writers.pop(key).close()

    def _note_closed(self) -> None:
        if self._closed and self._pid == os.getpid():
            self._index.add(self._closed)
            self._closed = []

    def _partition(self, day: int, group: int, newest: int = -(1 << 62)) -> TickStore:
        # The open partition; of earlier days than the newest one few stay open.
        store = self._writers.pop((day, group), None)
        if store is None:
            late = [key for key in self._writers if key[0] < max(newest, self._newest)]
            for key in late[: max(0, len(late) + 1 - _MOST_LATE)]:
                self._close_partition(key)
            store = self._opened_partition(day, group)
        self._writers[day, group] = store
        return store

    def _opened_partition(self, day: int, group: int) -> TickStore:
        folder = self.root / day_name(day)
        if not folder.is_dir():
            folder.mkdir(self._folder_mode, exist_ok=True)
            sync_folder(self.root)
        if (folder / PARQUET).exists():
            raise StoreError(f"a day that was compacted into Parquet is closed: path={folder}")
        path = folder / partition_name(group)
        growth = self._settings.segment_records
        store = TickStore(
            path, "a", self.dtype, segment_records=max(growth, _SEGMENT_BYTES // self.dtype.itemsize), grow_records=growth,
            grow_ahead=False, time_field=self.time_field, file_mode=self._file_mode, **self._options,
        )  # fmt: skip
        if (folder / PARQUET).exists():
            # It came while this waited for the lock; what was just made is empty.
            store.close()
            raise StoreError(f"a day that was compacted into Parquet is closed: path={folder}")
        return store

    # ---- reading

    def _ids_of(self, symbols: Symbols | int | str | None) -> Ids | None:
        return as_ids(symbols, self.symbols.id_of)

    def _groups_of(self, ids: Ids | None) -> set[int] | None:
        return None if ids is None else set((ids % np.uint32(self.groups)).tolist())

    def _parts(self, day: int, folder: Path, start: int | None, end: int | None, ids: Ids | None) -> list[Records]:
        # The records of a day by partition, each in the order of its times. A compaction meanwhile moves files: look again.
        groups = self._groups_of(ids)
        for _ in range(8):
            files = self._partitions.files(day, folder, groups)
            before, skipped, parts = self.opened, 0, []
            try:
                for file in files:
                    if self._index.rules_out(file, start, end):
                        skipped += 1
                        continue
                    if file.group < 0:
                        self._partitions.opened += 1
                        parts += read_day(file.path, self._settings, start, end, groups)
                    else:
                        parts.append(self._partitions.reader(file).query(start, end))
            except FileNotFoundError:
                continue
            stats = self.last_query
            self.last_query = QueryStats(
                stats.candidates + len(files), stats.skipped + skipped, stats.opened + self.opened - before
            )
            found = [select(part, ids) for part in parts]
            return [in_order(part, self.time_field) for part in found if len(part)]
        raise StoreError(f"the files of a day must stay for as long as it takes to open them: path={folder}")

    def query(
        self, start_ns: int | None = None, end_ns: int | None = None, symbols: Symbols | int | str | None = None
    ) -> Records:
        """Return the records of a time range and of some symbols, in the order of time.

        Parameters
        ----------
        start_ns, end_ns : int, optional
            ``start_ns <= time < end_ns`` in UNIX ns; None leaves that side open.
        symbols : iterable of int or str, optional
            Ids or names; all by default.

        Returns
        -------
        ndarray
            Read-only. A view of the file where one partition holds the answer, in order and without a filter. Records of equal
            time stand by group, and inside it as they were appended.

        Raises
        ------
        UnknownSymbolError
            A name is not in the table.
        ValueError
            ``start_ns > end_ns``.
        CorruptDataError
            A partition is damaged.
        """
        self._check_open()
        check_range(start_ns, end_ns)
        ids = self._ids_of(symbols)
        self.last_query = QueryStats()
        found = []
        if ids is None or len(ids):
            for day, folder in self._partitions.folders(start_ns, end_ns):
                parts = self._parts(day, folder, start_ns, end_ns, ids)
                if parts:
                    found.append(merge(parts, self.time_field))
        whole = found[0] if len(found) == 1 else joined(found) if found else np.zeros(0, self.dtype)
        whole.flags.writeable = False
        return whole

    def batches(
        self,
        start_ns: int | None = None,
        end_ns: int | None = None,
        symbols: Symbols | int | str | None = None,
        *,
        batch_records: int = BATCH_RECORDS,
    ) -> Iterator[Records]:
        """Iterate over what `query` returns in arrays of bounded length, a day at a time."""
        self._check_open()
        batch_records = whole("batch_records", batch_records, 1, None)
        check_range(start_ns, end_ns)
        ids = self._ids_of(symbols)
        self.last_query = QueryStats()
        if ids is not None and not len(ids):
            return
        for day, folder in self._partitions.folders(start_ns, end_ns):
            parts = self._parts(day, folder, start_ns, end_ns, ids)
            yield from windows(parts, self.time_field, batch_records)

    def estimate(self, start_ns: int | None = None, end_ns: int | None = None) -> int:
        """Return how many records the days of a range hold, for progress: from the index and the heads of the files."""
        self._check_open()
        return sum(self._index.entry(file)["records"] for file in self._partitions.all_files(start_ns, end_ns))

    def follow(
        self,
        symbols: Symbols | int | str | None = None,
        *,
        last: int = 0,
        timeout_s: float | None = None,
        interval_s: float = 0.01,
        idle: bool = False,
    ) -> Iterator[Records]:
        """Iterate over arrays of records as a writer publishes them, across midnight.

        Parameters
        ----------
        symbols : iterable of int or str, optional
            Ids or names; all by default.
        last : int, default 0
            Begin with so many of the records that are there.
        timeout_s : float, optional
            End after so long without a new record; by default never.
        interval_s : float, default 0.01
            Pause between looks.
        idle : bool, default False
            Yield an empty array after each look that found nothing.

        Yields
        ------
        ndarray
            What came since the last look, in the order of time.

        Notes
        -----
        The last two days and all later ones are watched; a record that comes late for an earlier day is not seen.
        """
        self._check_open()
        if interval_s < 0.0:
            raise ValueError(f"interval_s must not be negative: interval_s={interval_s}")
        last = whole("last", last, 0, None)
        return self._follow(self._ids_of(symbols), last, timeout_s, interval_s, idle)

    def _follow(self, ids: Ids | None, last: int, timeout_s: float | None, interval_s: float, idle: bool) -> Iterator[Records]:
        groups = self._groups_of(ids)
        seen: dict[tuple[int, int], int] = {}
        folders = self._partitions.folders()
        floor = folders[-2:][0][0] if folders else -(1 << 62)
        if last:
            # Count first: what is published between the two looks comes twice otherwise.
            for file in self._partitions.live(floor, groups):
                seen[file.day, file.group] = len(self._partitions.reader(file))
            tail = self.tail(last, ids, until=seen)
            if len(tail):
                yield tail
        else:
            for file in self._partitions.live(floor, groups):
                seen[file.day, file.group] = len(self._partitions.reader(file))
        waiting_since = time.monotonic()
        while True:
            parts = []
            for file in self._partitions.live(floor, groups):
                try:
                    store = self._partitions.reader(file)
                except FileNotFoundError:  # compacted or pruned since: it was seen to its end
                    continue
                position, count = seen.get((file.day, file.group), 0), len(store)
                if count > position:
                    seen[file.day, file.group] = count
                    part = select(store.records(position, count), ids)
                    if len(part):
                        parts.append(in_order(part, self.time_field))
            if parts:
                yield merge(parts, self.time_field)
                waiting_since = time.monotonic()
            else:
                if timeout_s is not None and time.monotonic() - waiting_since >= timeout_s:
                    return
                if idle:
                    yield np.zeros(0, self.dtype)
                time.sleep(interval_s)

    def tail(
        self, last: int, symbols: Symbols | int | str | None = None, *, until: Mapping[tuple[int, int], int] | None = None
    ) -> Records:
        """Return the last records in the order of time; only the days that are needed are opened."""
        self._check_open()
        last = whole("last", last, 0, None)
        ids = self._ids_of(symbols)
        self.last_query = QueryStats()
        found: list[Records] = []
        missing = last
        for day, folder in reversed(self._partitions.folders()):
            if missing <= 0:
                break
            if until is None:
                parts = self._parts(day, folder, None, None, ids)
            else:
                parts = []
                for file in self._partitions.files(day, folder, self._groups_of(ids)):
                    if file.group < 0:
                        parts = self._parts(day, folder, None, None, ids)
                        break
                    view = self._partitions.reader(file).records(0, until.get((file.day, file.group)))
                    view = select(view, ids)
                    if len(view):
                        parts.append(in_order(view, self.time_field))
            if parts:
                # Of each partition its own last ones are enough.
                merged = merge([part[-missing:] for part in parts], self.time_field)[-missing:]
                found.insert(0, merged)
                missing -= len(merged)
        return joined(found) if found else np.zeros(0, self.dtype)

    # ---- looking after it

    def reindex(self) -> int:
        """Make the index again from the files and write it; return how many entries were missing or stale."""
        self._check_open()
        return self._index.save(self._partitions.all_files())

    def info(self) -> dict[str, Any]:
        """Return what there is to know about the store, as a dict.

        Returns
        -------
        dict
            ``path``, ``mode``, ``dtype``, ``time_field``, ``groups``, ``utc_offset_s``, ``symbols`` (in the table), ``days``, ``partitions``,
            ``records``, ``first_ns``, ``last_ns`` (None without records), ``file_bytes``, ``writer_pid`` (0: none), ``parquet_days``.
        """
        self._check_open()
        self.symbols.refresh()
        files = list(self._partitions.all_files())
        entries = [entry for file in files if (entry := self._index.entry(file))["records"]]
        return {
            "path": str(self.root),
            "mode": self.mode,
            "dtype": self.dtype,
            "time_field": self.time_field,
            "groups": self.groups,
            "utc_offset_s": self.utc_offset_s,
            "symbols": len(self.symbols),
            "days": len({file.day for file in files}),
            "partitions": len(files),
            "parquet_days": sum(file.group < 0 for file in files),
            "records": sum(entry["records"] for entry in entries),
            "first_ns": min((entry["first_ns"] for entry in entries), default=None),
            "last_ns": max((entry["last_ns"] for entry in entries), default=None),
            "file_bytes": sum(file.path.stat().st_size for file in files),
            "writer_pid": self.symbols.writer_pid,
        }

    def verify(self, progress: Callable[[int, int], None] | None = None) -> dict[str, dict[str, Any]]:
        """Check every file: checksums, that each record is where its day and symbol belong, and the order of times.

        Parameters
        ----------
        progress : callable, optional
            ``progress(files done, files in all)``.

        Returns
        -------
        dict
            By file: ``records``, ``reason`` (empty where nothing is wrong), ``dropped_records``, ``misplaced`` (records of another day or
            group: no query finds them), ``out_of_order`` (times below the one before), ``unnamed`` (records whose symbol is not in the table).
        """
        self._check_open()
        self.symbols.refresh()
        named = np.sort(np.array(list(self.symbols.names), np.uint32))
        files = list(self._partitions.all_files())
        found = {}
        for done, file in enumerate(files):
            with contextlib.suppress(FileNotFoundError):  # compacted or pruned since
                found[file.name] = audit(file, self._settings, named)
            if progress is not None:
                progress(done + 1, len(files))
        return found

    # ---- retention and compaction

    def prune(self, before: datetime.date | str, progress: Callable[[int, int], None] | None = None) -> list[str]:
        """Remove the days before a date; return their names.

        Parameters
        ----------
        before : date or str
            The first day that stays.
        progress : callable, optional
            ``progress(days done, days in all)``.

        Raises
        ------
        StoreLockedError
            A writer has a partition of such a day open: that day and later ones stay.
        """
        limit = as_day(before)
        self._check_open()
        removed = []
        with maintenance(self.root, self._file_mode):
            folders = [folder for day, folder in self._partitions.folders() if day < limit]
            for done, folder in enumerate(folders):
                remove_day(folder, self.groups, self._file_mode)
                removed.append(folder.name)
                if progress is not None:
                    progress(done + 1, len(folders))
            self._partitions.forget(removed)
            if removed:
                self._index.save(self._partitions.all_files())
        return removed

    def compact(
        self,
        before: datetime.date | str,
        to: Literal["stores", "parquet"] = "stores",
        *,
        row_group_records: int = BATCH_RECORDS,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[Compaction]:
        """Rewrite the days before a date: partitions of exactly their size, or one Parquet file for each day.

        Parameters
        ----------
        before : date or str
            The first day that stays as it is.
        to : {"stores", "parquet"}
            A day in Parquet is smaller and closed: appending to it raises. Its row groups are those of the symbol groups.
        row_group_records : int
            Rows of a row group.
        progress : callable, optional
            ``progress(days done, days in all)``.

        Returns
        -------
        list of Compaction
            Days that were rewritten; those that were compact already are not among them.

        Raises
        ------
        StoreLockedError
            A writer has a partition of such a day open; days before it are done.
        CorruptDataError
            A partition is damaged; its day is left as it is.
        OSError
            The disk is full; the day is left as it is.
        """
        if to not in ("stores", "parquet"):
            raise ValueError(f"to must be 'stores' or 'parquet': to={to!r}")
        row_group_records = whole("row_group_records", row_group_records, 1, None)
        limit = as_day(before)
        self._check_open()
        self.symbols.refresh()
        names, found = self.symbols.names, []
        with maintenance(self.root, self._file_mode):
            folders = [(day, folder) for day, folder in self._partitions.folders() if day < limit]
            for done, (day, folder) in enumerate(folders):
                result = compact_day(self._partitions, day, folder, to, names, row_group_records, self._file_mode)
                if result is not None:
                    found.append(result)
                if progress is not None:
                    progress(done + 1, len(folders))
            if found:
                self._index.save(self._partitions.all_files())
        return found


def open_store(path: str | os.PathLike[str], mode: Literal["r", "a"] = "r") -> TickStore | DirectoryStore:
    """Open what is at a path: a directory store, or the tick store of one file; both have to be there already.

    Raises
    ------
    FileNotFoundError, LayoutError, CorruptDataError, StoreLockedError
        As for `DirectoryStore` and ``TickStore``.
    """
    if os.path.isdir(path):
        read_settings(Path(path))
        return DirectoryStore(path, mode)
    if not os.path.exists(path):
        raise FileNotFoundError(f"there is no such store: path={os.fspath(path)}")
    return TickStore(path, mode)


# ---- helpers


def _check_ticks(records: Records) -> None:
    # The rules of a tick store, before any partition takes the first record.
    price, volume = records["price"], records["volume"]
    bad = ~np.isfinite(price) | ~np.isfinite(volume) | (volume < 0.0)
    bad |= (records["timestamp_ns"] >> np.uint64(63)).astype(bool) | (records["symbol_id"] == NO_SYMBOL)
    if bad.any():
        i = int(bad.argmax())
        raise ValueError(
            f"a tick has a time below 2**63, a symbol, a finite price and a finite volume that is not negative: index={i}, "
            f"tick={records[i].item()}"
        )
