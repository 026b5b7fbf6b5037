"""Which files a directory store has, and readers on them that stay open."""

from __future__ import annotations

import contextlib
import os
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fastcore.errors import CorruptDataError
from fastcore.tickstore import TickStore

from .layout import PARQUET, PARTITION, File, Settings, parse_day
from .parquet_day import range_of_day


class Partitions:
    """The files of a directory by day, and at most `max_open` readers on them.

    **Thread safety**: one thread.
    """

    def __init__(self, root: Path, settings: Settings, verify: bool, max_open: int) -> None:
        self.root = root
        self.settings = settings
        self.opened = 0
        self._verify = verify
        self._max_open = max_open
        self._readers: OrderedDict[str, tuple[int, TickStore]] = OrderedDict()

    def folders(self, start_ns: int | None = None, end_ns: int | None = None) -> list[tuple[int, Path]]:
        """Return number and directory of the days that a range touches, in order."""
        first = None if start_ns is None else self.settings.day_of(start_ns)
        last = None if end_ns is None else self.settings.day_of(end_ns - 1)
        found = []
        for entry in os.scandir(self.root):
            day = parse_day(entry.name)
            if day is None or (first is not None and day < first) or (last is not None and day > last) or not entry.is_dir():
                continue
            found.append((day, Path(entry.path)))
        return sorted(found)

    def files(self, day: int, folder: Path, groups: set[int] | None = None) -> list[File]:
        """Return the files of a day: its partitions of these groups (None: all), or the Parquet file in their place."""
        try:
            names = os.listdir(folder)
        except FileNotFoundError:  # pruned since
            return []
        if PARQUET in names:
            return [File(day, -1, folder / PARQUET)]
        return self.stores(day, folder, names, groups)

    def stores(self, day: int, folder: Path, names: list[str], groups: set[int] | None = None) -> list[File]:
        """Return those of these files of a day that are partitions."""
        found = []
        for name in names:
            match = PARTITION.fullmatch(name)
            if match and int(match[1]) < self.settings.groups and (groups is None or int(match[1]) in groups):
                found.append(File(day, int(match[1]), folder / name))
        return sorted(found)

    def all_files(self, start_ns: int | None = None, end_ns: int | None = None) -> Iterator[File]:
        """Iterate over the files of the days that a range touches."""
        for day, folder in self.folders(start_ns, end_ns):
            yield from self.files(day, folder)

    def live(self, floor: int, groups: set[int] | None) -> list[File]:
        """Return the partitions of the days from `floor` on."""
        found = []
        for day, folder in self.folders():
            if day >= floor:
                found += [file for file in self.files(day, folder, groups) if file.group >= 0]
        return found

    def reader(self, file: File) -> TickStore:
        """Return a reader on a partition: open, or still open and still on the same file."""
        path = str(file.path)
        inode = os.stat(path).st_ino
        cached = self._readers.get(path)
        if cached is not None:
            with contextlib.suppress(CorruptDataError):  # it was cut under us: look at what there is now
                if cached[0] == inode and len(cached[1]) >= 0:
                    self._readers.move_to_end(path)
                    return cached[1]
            del self._readers[path]
        store = TickStore(path, "r", self.settings.dtype, verify=self._verify)
        self.opened += 1
        if store.recovery is not None:
            return store  # it shows what is valid now; a writer that repairs the file makes more of it
        self._readers[path] = (inode, store)
        while len(self._readers) > self._max_open:
            self._readers.popitem(last=False)
        return store

    def range_of(self, file: File, count: int | None) -> tuple[int, int, int]:
        """Return first time, last time and number of records of a file; of a partition, of its first `count` records."""
        field = self.settings.time_field
        if file.group < 0:
            return range_of_day(file.path, field)
        times = self.reader(file).records(0, count)[field].view(np.int64)
        return (int(times.min()), int(times.max()), len(times)) if len(times) else (0, 0, 0)

    def forget(self, days: list[str] | None = None) -> None:
        """Let go of the readers on these days, or on all of them."""
        for path in [path for path in self._readers if days is None or Path(path).parent.name in days]:
            del self._readers[path]
