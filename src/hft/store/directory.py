"""A store of many days and symbols: a directory of tick stores, one for each day and group of symbols (`layout`).

A day and a group follow from the record itself, so that a query knows from the names alone which files can hold an answer. The index
spares it those that hold other hours. It is never trusted: an entry counts only where salt, epoch and count in the file are those that
it was made from, and a file without such an entry is opened.

Compaction and retention take the locks of every partition of a day first, so that they never touch one that is written. New
files are made beside the old ones, read back and compared, synced, and take their place by one rename; a process killed anywhere in
between leaves each record once.
"""

from __future__ import annotations

import contextlib
import datetime
import logging
import os
import shutil
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from fastcore.errors import CorruptDataError, LayoutError, StoreError, StoreLockedError
from fastcore.records import NO_SYMBOL, TICK_DTYPE
from fastcore.tickstore import StoreWarning, TickStore

from . import arrow
from .arrow import BATCH_RECORDS, Records, Symbols
from .audit import audit
from .files import FileLock, sync_folder
from .layout import (
    DAY_NS,
    PARQUET,
    PARTITION,
    File,
    Settings,
    as_day,
    check_layout,
    day_name,
    have_names,
    identity_of,
    load_index,
    parse_day,
    partition_name,
    read_settings,
    save_index,
    write_settings,
)
from .order import in_order, merge, windows
from .parquet_day import range_of_day, read_day, write_day
from .rewrite import clear, recover, shrink
from .symbols import SymbolTable

__all__ = ["Compaction", "DirectoryStore", "QueryStats", "open_store"]

logger = logging.getLogger(__name__)

_SEGMENT_BYTES = 1 << 20


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


class Compaction(NamedTuple):
    """One day that was rewritten: its name, partitions, records, and bytes on disk before and after."""

    day: str
    partitions: int
    records: int
    bytes_before: int
    bytes_after: int


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
        Symbol groups of a new one, 16 by default: how many files a day has.
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
    ) -> None:
        if mode not in ("r", "a"):
            raise ValueError(f"mode must be 'r' or 'a': mode={mode!r}")
        if groups is not None and not 1 <= groups <= 4096:
            raise ValueError(f"groups must be in 1..4096: groups={groups}")
        if utc_offset_s is not None and not -86_400 < utc_offset_s < 86_400:
            raise ValueError(f"utc_offset_s must be less than a day: utc_offset_s={utc_offset_s}")
        if segment_records is not None and not 1 <= segment_records < 1 << 40:
            raise ValueError(f"segment_records must be from 1 to 2**40: segment_records={segment_records}")
        if max_open < 1:
            raise ValueError(f"max_open must be at least 1: max_open={max_open}")
        if sync not in ("memory", "interval", "commit"):
            raise ValueError(f"sync must be 'memory', 'interval' or 'commit': sync={sync!r}")
        if not 0.0 < sync_interval_s < float("inf"):
            raise ValueError(f"sync_interval_s must be positive and finite: sync_interval_s={sync_interval_s}")
        self.root = Path(root).absolute()
        self.mode = mode
        self.opened = 0
        self.last_query = QueryStats()
        self._options: dict[str, Any] = {"sync": sync, "sync_interval_s": sync_interval_s}
        self._verify = verify
        self._max_open = max_open
        self._readers: OrderedDict[str, tuple[int, TickStore]] = OrderedDict()
        self._writers: dict[tuple[int, int], TickStore] = {}
        self._newest = -(1 << 62)
        self._index: dict[str, dict[str, Any]] | None = None
        self._open = False
        wanted: Any = None if dtype is None else np.dtype(dtype)
        if mode == "a":
            self._prepare(wanted, groups, utc_offset_s, segment_records)
        elif not self.root.is_dir():
            raise FileNotFoundError(f"there is no such directory: path={self.root}")
        else:
            self._settings = read_settings(self.root)
            self.symbols = SymbolTable(self.root / "symbols.store")
        self._open = True
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
        self.root.mkdir(parents=True, exist_ok=True)
        self.symbols = SymbolTable(self.root / "symbols.store", "a")
        try:
            if not settings.exists():
                field = next(name for name in arrow._TIMES if name in (fresh.names or ()))
                made = Settings(
                    fresh, field, groups or 16, utc_offset_s or 0, segment_records or max(1, _SEGMENT_BYTES // fresh.itemsize)
                )
                write_settings(self.root, made)
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
        self._readers.clear()
        failure: BaseException | None = None
        wrote = bool(self._writers)
        for key in list(self._writers):
            try:
                self._writers.pop(key).close()
            except StoreError as error:
                failure = error
        try:
            if wrote:
                self._save_index()
        finally:
            self.symbols.close()
        if failure is not None:
            raise failure

    def _check_open(self) -> None:
        if not self._open:
            raise StoreError(f"the store is closed: path={self.root}")

    def day_of(self, time_ns: int) -> str:
        """Return the name of the day that a time falls into."""
        return day_name((int(time_ns) + self.utc_offset_s * 10**9) // DAY_NS)

    def days(self) -> list[str]:
        """Return the names of the days that have files, in order."""
        return [day_name(day) for day, _ in self._folders(None, None)]

    # ---- writing

    def append(self, timestamp_ns: int, symbol_id: int, price: float, volume: float) -> None:
        """Append one tick; see ``TickStore.append``. `append_many` costs far less for each record."""
        if self.dtype != TICK_DTYPE:
            raise TypeError(f"append takes ticks, use append_many for other records: dtype={self.dtype}")
        self._check_writable()
        if not 0 <= timestamp_ns < 1 << 63 or not 0 <= symbol_id < NO_SYMBOL:
            raise ValueError(
                f"timestamp_ns must be from 0 to 2**63-1, symbol_id from 0 to {NO_SYMBOL - 1}: "
                f"timestamp_ns={timestamp_ns}, symbol_id={symbol_id}"
            )
        day = (timestamp_ns + self.utc_offset_s * 10**9) // DAY_NS
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
            Compaction holds a day to which a record belongs: nothing is stored.
        StoreError
            The day was compacted into Parquet: nothing is stored. Or a sync failed.

        Notes
        -----
        A record of a later day than any before closes the partitions of earlier days. One that comes late opens its own again,
        until the next day begins.
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
        parts = self._split(np.ascontiguousarray(records.view(f"V{records.dtype.itemsize}")).view(records.dtype))
        stores = []
        for day, group, part in parts:
            stores.append((self._partition(day, group), part))
            stores[-1][0].reserve(len(part))
        for store, part in stores:
            store.append_many(part)
        self._roll_to(max(day for day, _, _ in parts))
        return len(records)

    def _split(self, records: Records) -> list[tuple[int, int, Records]]:
        # (day, group, records), each in the order in which they came.
        times = records[self.time_field].view(np.int64)
        shift = self.utc_offset_s * 10**9
        first, last = (int(times.min()) + shift) // DAY_NS, (int(times.max()) + shift) // DAY_NS
        if not have_names(first, last):
            raise ValueError(
                f"times must fall into the years 1 to 9999: first day={first}, last day={last}, counted from 1970-01-01"
            )
        group = records["symbol_id"] % np.uint32(self.groups)
        if first == last:
            days = {first: (records, group)}
        else:
            # By wide integers: a time close to the end of the range would wrap with the offset.
            number = times // DAY_NS + (times % DAY_NS + shift) // DAY_NS
            days = {}
            for day in np.unique(number).tolist():
                mine = number == day
                days[day] = (arrow.taken(records, mine), group[mine])
        found = []
        for day, (mine, of) in days.items():
            if self.groups == 1:
                found.append((day, 0, mine))
                continue
            key = of.astype(np.uint16)
            counts = np.bincount(key, minlength=self.groups)
            if counts.max() == len(mine):
                found.append((day, int(counts.argmax()), mine))
                continue
            mine = arrow.taken(mine, np.argsort(key, kind="stable"))
            ends = np.cumsum(counts)
            for g in np.flatnonzero(counts).tolist():
                found.append((day, g, mine[ends[g] - counts[g] : ends[g]]))
        return found

    def record(self, feed: Iterable[Records], progress: Callable[[int], None] | None = None) -> int:
        """Append all arrays of a feed (``hft.feeds``), its symbols under the ids of this store; return the records.

        Parameters
        ----------
        feed : Feed
            Its ``instruments`` are added to `symbols`, and its ids become theirs.
        progress : callable, optional
            ``progress(records so far)``.
        """
        instruments: Mapping[int, Any] = getattr(feed, "instruments", {})
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
        self._roll_to((int(time.time_ns() if now_ns is None else now_ns) + self.utc_offset_s * 10**9) // DAY_NS)

    def flush(self) -> None:
        """Write everything appended so far to the disk, and wait for it."""
        self._check_writable()
        for store in self._writers.values():
            store.flush()

    def _check_writable(self) -> None:
        self._check_open()
        if self.mode != "a":
            raise StoreError(f"the store is open for reading: path={self.root}, mode={self.mode!r}")

    def _roll_to(self, day: int) -> None:
        if day <= self._newest:
            return
        self._newest = day
        old = [key for key in self._writers if key[0] < day]
        for key in old:
            self._writers.pop(key).close()
        if old:
            self._save_index()

    def _partition(self, day: int, group: int) -> TickStore:
        store = self._writers.get((day, group))
        if store is not None:
            return store
        folder = self.root / day_name(day)
        if not folder.is_dir():
            folder.mkdir(exist_ok=True)
            sync_folder(self.root)
        if (folder / PARQUET).exists():
            raise StoreError(f"a day that was compacted into Parquet is closed: path={folder}")
        path = folder / partition_name(group)
        store = TickStore(
            path, "a", self.dtype, segment_records=self._settings.segment_records, grow_ahead=False,
            time_field=self.time_field, **self._options,
        )  # fmt: skip
        if (folder / PARQUET).exists():
            # It came while this waited for the lock; what was just made is empty.
            store.close()
            raise StoreError(f"a day that was compacted into Parquet is closed: path={folder}")
        self._writers[day, group] = store
        return store

    # ---- which files

    def _folders(self, start_ns: int | None, end_ns: int | None) -> list[tuple[int, Path]]:
        shift = self.utc_offset_s * 10**9
        first = None if start_ns is None else (start_ns + shift) // DAY_NS
        last = None if end_ns is None else (end_ns - 1 + shift) // DAY_NS
        found = []
        for entry in os.scandir(self.root):
            day = parse_day(entry.name)
            if day is None or (first is not None and day < first) or (last is not None and day > last) or not entry.is_dir():
                continue
            found.append((day, Path(entry.path)))
        return sorted(found)

    def _files(self, day: int, folder: Path, groups: set[int] | None) -> list[File]:
        try:
            names = os.listdir(folder)
        except FileNotFoundError:  # pruned since
            return []
        if PARQUET in names:
            return [File(day, -1, folder / PARQUET)]
        found = []
        for name in names:
            match = PARTITION.fullmatch(name)
            if match and int(match[1]) < self.groups and (groups is None or int(match[1]) in groups):
                found.append(File(day, int(match[1]), folder / name))
        return sorted(found)

    def _groups_of(self, ids: npt.NDArray[np.uint32] | None) -> set[int] | None:
        return None if ids is None else set((ids % np.uint32(self.groups)).tolist())

    def _reader(self, file: File) -> TickStore:
        # Open, or still open and still the same file.
        path = str(file.path)
        inode = os.stat(path).st_ino
        cached = self._readers.get(path)
        if cached is not None:
            if cached[0] == inode:
                self._readers.move_to_end(path)
                return cached[1]
            del self._readers[path]
        store = TickStore(path, "r", self.dtype, verify=self._verify)
        self.opened += 1
        if store.recovery is not None:
            return store  # it shows what is valid now; a writer that repairs the file makes more of it
        self._readers[path] = (inode, store)
        while len(self._readers) > self._max_open:
            self._readers.popitem(last=False)
        return store

    def _parts(
        self, day: int, folder: Path, start: int | None, end: int | None, ids: npt.NDArray[np.uint32] | None
    ) -> list[Records]:
        # The records of a day by partition, each in the order of its times. A compaction meanwhile moves files: look again.
        groups = self._groups_of(ids)
        for _ in range(8):
            files = self._files(day, folder, groups)
            before, skipped, parts = self.opened, 0, []
            try:
                for file in files:
                    if self._ruled_out(file, start, end):
                        skipped += 1
                        continue
                    if file.group < 0:
                        parts += self._parquet(file, start, end, groups)
                    else:
                        parts.append(self._reader(file).query(start, end))
            except FileNotFoundError:
                continue
            stats = self.last_query
            self.last_query = QueryStats(
                stats.candidates + len(files), stats.skipped + skipped, stats.opened + self.opened - before
            )
            found = [arrow.select(part, ids) for part in parts]
            return [in_order(part, self.time_field) for part in found if len(part)]
        raise StoreError(f"the files of a day must stay for as long as it takes to open them: path={folder}")

    # ---- reading

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
        arrow.check_range(start_ns, end_ns)
        ids = arrow.ids_of(self, symbols)
        self.last_query = QueryStats()
        found = []
        if ids is None or len(ids):
            for day, folder in self._folders(start_ns, end_ns):
                parts = self._parts(day, folder, start_ns, end_ns, ids)
                if parts:
                    found.append(merge(parts, self.time_field))
        whole = found[0] if len(found) == 1 else arrow.joined(found) if found else np.zeros(0, self.dtype)
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
        if batch_records < 1:
            raise ValueError(f"batch_records must be at least 1: batch_records={batch_records}")
        arrow.check_range(start_ns, end_ns)
        ids = arrow.ids_of(self, symbols)
        self.last_query = QueryStats()
        if ids is not None and not len(ids):
            return
        for day, folder in self._folders(start_ns, end_ns):
            parts = self._parts(day, folder, start_ns, end_ns, ids)
            yield from windows(parts, self.time_field, batch_records)

    def estimate(self, start_ns: int | None = None, end_ns: int | None = None) -> int:
        """Return how many records the days of a range hold, for progress: from the index and the heads of the files."""
        self._check_open()
        return sum(self._entry(file)["records"] for file in self._all_files(start_ns, end_ns))

    def _all_files(self, start_ns: int | None = None, end_ns: int | None = None) -> Iterator[File]:
        for day, folder in self._folders(start_ns, end_ns):
            yield from self._files(day, folder, None)

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
        if last < 0:
            raise ValueError(f"last must not be negative: last={last}")
        return self._follow(arrow.ids_of(self, symbols), last, timeout_s, interval_s, idle)

    def _follow(
        self, ids: npt.NDArray[np.uint32] | None, last: int, timeout_s: float | None, interval_s: float, idle: bool
    ) -> Iterator[Records]:
        groups = self._groups_of(ids)
        seen: dict[tuple[int, int], int] = {}
        folders = self._folders(None, None)
        floor = folders[-2:][0][0] if folders else -(1 << 62)
        if last:
            # Count first: what is published between the two looks comes twice otherwise.
            for file in self._live(floor, groups):
                seen[file.day, file.group] = len(self._reader(file))
            tail = self.tail(last, ids, until=seen)
            if len(tail):
                yield tail
        else:
            for file in self._live(floor, groups):
                seen[file.day, file.group] = len(self._reader(file))
        waiting_since = time.monotonic()
        while True:
            parts = []
            for file in self._live(floor, groups):
                try:
                    store = self._reader(file)
                except FileNotFoundError:  # compacted or pruned since: it was seen to its end
                    continue
                position, count = seen.get((file.day, file.group), 0), len(store)
                if count > position:
                    seen[file.day, file.group] = count
                    part = arrow.select(store.records(position, count), ids)
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

    def _live(self, floor: int, groups: set[int] | None) -> list[File]:
        found = []
        for day, folder in self._folders(None, None):
            if day >= floor:
                found += [file for file in self._files(day, folder, groups) if file.group >= 0]
        return found

    def tail(
        self, last: int, symbols: Symbols | int | str | None = None, *, until: Mapping[tuple[int, int], int] | None = None
    ) -> Records:
        """Return the last records in the order of time; only the days that are needed are opened."""
        self._check_open()
        ids = arrow.ids_of(self, symbols)
        self.last_query = QueryStats()
        found: list[Records] = []
        missing = last
        for day, folder in reversed(self._folders(None, None)):
            if missing <= 0:
                break
            if until is None:
                parts = self._parts(day, folder, None, None, ids)
            else:
                parts = []
                for file in self._files(day, folder, self._groups_of(ids)):
                    if file.group < 0:
                        parts = self._parts(day, folder, None, None, ids)
                        break
                    view = self._reader(file).records(0, until.get((file.day, file.group)))
                    view = arrow.select(view, ids)
                    if len(view):
                        parts.append(in_order(view, self.time_field))
            if parts:
                # Of each partition its own last ones are enough.
                merged = merge([part[-missing:] for part in parts], self.time_field)[-missing:]
                found.insert(0, merged)
                missing -= len(merged)
        return arrow.joined(found) if found else np.zeros(0, self.dtype)

    # ---- the index

    def _ruled_out(self, file: File, start: int | None, end: int | None) -> bool:
        # True only where a checked entry says that no time of the file lies in the range.
        if start is None and end is None:
            return False
        if self._index is None:
            self._index = load_index(self.root)
        entry = self._index.get(file.name)
        if entry is None or entry["identity"] != identity_of(file):
            return False
        if not entry["records"]:
            return True
        return bool((start is not None and entry["last_ns"] < start) or (end is not None and entry["first_ns"] >= end))

    def _entry(self, file: File) -> dict[str, Any]:
        # What the index says, or the truth where it says nothing that holds.
        if self._index is None:
            self._index = load_index(self.root)
        identity = identity_of(file)
        entry = self._index.get(file.name)
        if entry is None or identity is None or entry["identity"] != identity:
            entry = self._make_entry(file)
            self._index[file.name] = entry
        return entry

    def _make_entry(self, file: File) -> dict[str, Any]:
        field = self.time_field
        identity = identity_of(file)
        if file.group < 0:
            first, last, count = range_of_day(file.path, field)
        else:
            store = self._reader(file)
            # Up to what the identity says: more may come meanwhile.
            known = len(store) if identity is None else min(len(store), identity[2])
            times = store.records(0, known)[field].view(np.int64)
            count = len(times)
            first, last = (int(times.min()), int(times.max())) if count else (0, 0)
        return {"identity": identity, "records": count, "first_ns": first, "last_ns": last}

    def reindex(self) -> int:
        """Make the index again from the files and write it; return how many entries were missing or stale."""
        self._check_open()
        self._index = None
        return self._save_index()

    def _save_index(self) -> int:
        # A cache: where it cannot be written, queries open more files and give the same answers.
        old = load_index(self.root)
        self._index = dict(old)
        entries = {}
        for file in self._all_files():
            try:
                entries[file.name] = self._entry(file)
            except (FileNotFoundError, CorruptDataError, LayoutError, StoreWarning) as error:
                logger.warning("not in the index: %s: %s", file.name, error)
        self._index = entries
        try:
            save_index(self.root, entries)
        except OSError as error:
            logger.warning("the index could not be written: %s", error)
        return sum(entries[name] != old.get(name) for name in entries)

    # ---- Parquet days

    def _parquet(self, file: File, start: int | None, end: int | None, groups: set[int] | None) -> list[Records]:
        self.opened += 1
        return read_day(file.path, self._settings, start, end, groups)

    # ---- looking after it

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
        files = list(self._all_files())
        entries = [entry for file in files if (entry := self._entry(file))["records"]]
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
        files = list(self._all_files())
        found = {}
        for done, file in enumerate(files):
            with contextlib.suppress(FileNotFoundError):  # compacted or pruned since
                found[file.name] = audit(file, self._settings, named)
            if progress is not None:
                progress(done + 1, len(files))
        return found

    # ---- retention and compaction

    @contextlib.contextmanager
    def _maintenance(self) -> Iterator[None]:
        # One at a time; what a killed one has left is cleared first.
        self._check_open()
        with FileLock(self.root / "maintenance.lock"):
            for entry in os.scandir(self.root):
                if entry.name.startswith(".pruned-"):
                    shutil.rmtree(entry.path)
            yield

    def _lock_day(self, folder: Path, stack: contextlib.ExitStack) -> None:
        # Of every group, so that no partition appears meanwhile either.
        for group in range(self.groups):
            try:
                stack.enter_context(FileLock(folder / f"{partition_name(group)}.lock"))
            except StoreLockedError as error:
                raise StoreLockedError(f"a day that is written is left alone: path={folder}, {error}") from None

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
        removed = []
        with self._maintenance():
            folders = [(day, folder) for day, folder in self._folders(None, None) if day < limit]
            for done, (_, folder) in enumerate(folders):
                gone = self.root / f".pruned-{folder.name}"
                with contextlib.ExitStack() as stack:
                    self._lock_day(folder, stack)
                    if os.name == "nt":
                        stack.close()  # an open file keeps its directory there
                    os.rename(folder, gone)
                sync_folder(self.root)
                shutil.rmtree(gone)
                removed.append(folder.name)
                if progress is not None:
                    progress(done + 1, len(folders))
            for path in [path for path in self._readers if Path(path).parent.name in removed]:
                del self._readers[path]
            if removed:
                self._save_index()
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
        if row_group_records < 1:
            raise ValueError(f"row_group_records must be at least 1: row_group_records={row_group_records}")
        limit = as_day(before)
        found = []
        with self._maintenance():
            folders = [(day, folder) for day, folder in self._folders(None, None) if day < limit]
            for done, (day, folder) in enumerate(folders):
                result = self._compact_day(day, folder, to, row_group_records)
                if result is not None:
                    found.append(result)
                if progress is not None:
                    progress(done + 1, len(folders))
            if found:
                self._save_index()
        return found

    def _compact_day(self, day: int, folder: Path, to: str, row_group_records: int) -> Compaction | None:
        for file in self._files(day, folder, None):
            if file.group >= 0:
                recover(file.path, self.dtype)
        with contextlib.ExitStack() as stack:
            self._lock_day(folder, stack)
            clear(folder)
            files = self._files(day, folder, None)
            if not files or files[0].group < 0:
                return None
            before = sum(file.path.stat().st_size for file in files)
            stores = [(file, TickStore(file.path, "r", self.dtype)) for file in files]
            for file, store in stores:
                if store.recovery is not None:
                    raise CorruptDataError(f"records were lost since: path={file.path}, {store.recovery.reason}")
            records = sum(len(store) for _, store in stores)
            try:
                if to == "parquet":
                    write_day(folder, [(file.group, store.records()) for file, store in stores], self, row_group_records)
                else:
                    gains = [shrink(file.path, store, self.time_field) for file, store in stores]
                    if not any(gains):
                        return None
            finally:
                clear(folder)
            after = sum(file.path.stat().st_size for file in self._files(day, folder, None))
        return Compaction(folder.name, len(files), records, before, after)


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
