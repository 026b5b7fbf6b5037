"""Partitions made again as small as they can be: beside the old one, read back, synced, and put in its place by one rename."""

from __future__ import annotations

import os
import re
import warnings
from pathlib import Path

import numpy as np

from fastcore.errors import StoreError
from fastcore.store_files import clear_leftovers, sync_folder, temporary_of
from fastcore.store_header import least_bytes
from fastcore.tickstore import StoreWarning, TickStore

from .layout import PARQUET, PARTITION
from .records import BATCH_RECORDS, Records, pieces


def recover(path: Path, dtype: np.dtype[np.void], file_mode: int) -> None:
    """Let a writer recover a torn partition, which keeps the tail aside, before anything is rewritten without it."""
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always", StoreWarning)
        torn = TickStore(path, "r", dtype).recovery is not None
        if torn:
            TickStore(path, "a", dtype, file_mode=file_mode).close()


def clear(folder: Path) -> None:
    """Remove the unfinished files that a killed compaction has left."""
    for name in {re.sub(r"\.new-.*", "", name) for name in os.listdir(folder)}:
        if PARTITION.fullmatch(name):
            clear_leftovers(folder / name, locked=True)
    clear_leftovers(folder / PARQUET, b"PAR1", locked=True)
    sync_folder(folder)


def _same(first: Records, second: Records) -> bool:
    return len(first) == len(second) and first.tobytes() == second.tobytes()


def shrink(path: Path, store: TickStore, field: str, file_mode: int) -> bool:
    """Put a store of one segment of just the size in the place of `store`; False where it has it already."""
    records = store.records()
    info = store.info()
    if not len(records):
        path.unlink()
        return True
    if least_bytes(len(records), info["record_size"]) >= info["file_bytes"]:
        return False
    new = Path(temporary_of(path))
    with TickStore(
        new, "x", store.dtype, segment_records=len(records), grow_ahead=False, time_field=field, file_mode=file_mode
    ) as out:
        for part in pieces(records):
            out.append_many(part)
    new.with_name(new.name + ".lock").unlink(missing_ok=True)
    copy = TickStore(new, "r", store.dtype)
    for first in range(0, max(len(records), len(copy)), BATCH_RECORDS):
        if not _same(records[first : first + BATCH_RECORDS], copy.records(first, first + BATCH_RECORDS)):
            raise StoreError(f"the copy must equal the original: path={path}, first record of the batch={first}")
    copy.close()
    os.replace(new, path)
    sync_folder(path.parent)
    return True
