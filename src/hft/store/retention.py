"""Days that are rewritten or removed, never one that is written.

The locks of every partition of a day are taken first. New files are made beside the old ones, read back and compared, synced, and take
their place by one rename; a process killed anywhere in between leaves each record once.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from fastcore.errors import CorruptDataError, StoreLockedError
from fastcore.store_files import FileLock, clear_leftovers, sync_folder
from fastcore.tickstore import TickStore

from .layout import PARQUET, File, parse_day, partition_name
from .parquet_day import check_day, write_day
from .partitions import Partitions
from .rewrite import clear, recover, shrink


class Compaction(NamedTuple):
    """One day that was rewritten: its name, partitions, records, and bytes on disk before and after."""

    day: str
    partitions: int
    records: int
    bytes_before: int
    bytes_after: int


@contextlib.contextmanager
def maintenance(root: Path, file_mode: int) -> Iterator[None]:
    """One at a time for a directory; what a killed one has left is cleared first."""
    with FileLock(root / "maintenance.lock", "a directory store has one maintenance at a time", file_mode):
        clear_leftovers(root / "index.json", b"{")
        for entry in os.scandir(root):
            day = parse_day(entry.name.removeprefix(".pruned-"))
            if day is not None and entry.name.startswith(".") and entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
        yield


def _lock_day(folder: Path, groups: int, file_mode: int, stack: contextlib.ExitStack) -> None:
    # Of every group, so that no partition appears meanwhile either.
    for group in range(groups):
        try:
            stack.enter_context(FileLock(folder / f"{partition_name(group)}.lock", file_mode=file_mode))
        except StoreLockedError as error:
            raise StoreLockedError(f"a day that is written is left alone: path={folder}, {error}") from None


def remove_day(folder: Path, groups: int, file_mode: int) -> None:
    """Remove a day: it has another name before the first of its files goes."""
    gone = folder.with_name(f".pruned-{folder.name}")
    with contextlib.ExitStack() as stack:
        _lock_day(folder, groups, file_mode, stack)
        if os.name == "nt":
            stack.close()  # an open file keeps its directory there
        os.rename(folder, gone)
    sync_folder(folder.parent)
    shutil.rmtree(gone)


def retire(files: list[File]) -> None:
    """Remove the partitions that a Parquet file stands for."""
    for file in files:
        file.path.unlink()
    if files:
        sync_folder(files[0].path.parent)


def compact_day(
    partitions: Partitions,
    day: int,
    folder: Path,
    to: str,
    names: Mapping[int, str],
    row_group_records: int,
    file_mode: int,
) -> Compaction | None:
    """Rewrite a day as smaller stores or as Parquet; None where there was nothing to gain."""
    settings = partitions.settings
    for file in partitions.files(day, folder):
        if file.group >= 0:
            recover(file.path, settings.dtype, file_mode)
    with contextlib.ExitStack() as stack:
        _lock_day(folder, settings.groups, file_mode, stack)
        clear(folder)
        files = partitions.stores(day, folder, os.listdir(folder))
        if (folder / PARQUET).exists():
            # A compaction was killed, or it is somebody else's file.
            check_day(folder, [(file.group, TickStore(file.path, "r", settings.dtype).records()) for file in files], settings)
            retire(files)
            return None
        if not files:
            return None
        before = sum(file.path.stat().st_size for file in files)
        stores = [(file, TickStore(file.path, "r", settings.dtype)) for file in files]
        for file, store in stores:
            if store.recovery is not None:
                raise CorruptDataError(f"records were lost since: path={file.path}, {store.recovery.reason}")
        records = sum(len(store) for _, store in stores)
        try:
            if to == "parquet":
                parts = [(file.group, store.records()) for file, store in stores]
                write_day(folder, parts, settings, names, row_group_records, file_mode)
                retire(files)
            else:
                gains = [shrink(file.path, store, settings.time_field, file_mode) for file, store in stores]
                if not any(gains):
                    return None
        finally:
            clear(folder)
        after = sum(file.path.stat().st_size for file in partitions.files(day, folder))
    return Compaction(folder.name, len(files), records, before, after)
