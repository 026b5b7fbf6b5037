"""A day of a directory store as one Parquet file: its row groups are those of the symbol groups."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fastcore.errors import CorruptDataError, StoreError
from fastcore.store_files import sync_folder, temporary_of
from fastcore.store_times import bounds, inside

from .arrow import Names, from_arrow, pyarrow_or_hint, schema_of, to_batch
from .files import sync_file
from .layout import PARQUET, Settings
from .records import Records, pieces, taken

INT64 = np.iinfo(np.int64)


def write_day(
    folder: Path,
    parts: list[tuple[int, Records]],
    settings: Settings,
    names: Mapping[int, str],
    row_group_records: int,
    file_mode: int,
) -> None:
    """Write the parts of a day by group, and read them back; the rename is the moment at which the file stands for the partitions."""
    pyarrow_or_hint()
    from pyarrow import parquet

    schema, column = schema_of(settings.dtype, names=True, time_field=settings.time_field), Names(names)
    layout, at = [], 0
    for group, records in parts:
        n = -(-len(records) // row_group_records)
        layout.append([group, at, n])
        at += n
    schema = schema.with_metadata({**schema.metadata, b"hft.row_groups": json.dumps(layout).encode()})
    temporary = Path(temporary_of(folder / PARQUET))
    os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, file_mode))
    with parquet.ParquetWriter(temporary, schema, compression="zstd") as sink:
        for _, records in parts:
            for part in pieces(records, row_group_records):
                sink.write_batch(to_batch(part, schema, column), row_group_size=row_group_records)
    for (group, records), (written, copy) in zip(parts, groups_of_day(temporary, settings), strict=True):
        if group != written or not _equal(records, copy):
            raise StoreError(f"the copy must equal the original: path={temporary}, group={group}")
    sync_file(temporary)
    os.replace(temporary, folder / PARQUET)
    sync_folder(folder)


def check_day(folder: Path, stores: list[tuple[int, Records]], settings: Settings) -> None:
    """Raise StoreError unless the Parquet file of a day holds what these partitions do."""
    there = dict(groups_of_day(folder / PARQUET, settings))
    for group, records in stores:
        if group not in there or not _equal(records, there[group]):
            raise StoreError(
                f"{PARQUET} must hold what the partitions beside it hold, or one of them is not of this store: path={folder}, "
                f"group={group}"
            )


def _equal(first: Records, second: Records) -> bool:
    # By field and bit: padding is not in the file, and NaN equals itself.
    if len(first) != len(second):
        return False
    return all(
        np.ascontiguousarray(first[name]).tobytes() == np.ascontiguousarray(second[name]).tobytes()
        for name in first.dtype.names or ()
    )


@contextlib.contextmanager
def _parquet_file(path: Path) -> Iterator[tuple[Any, list[list[int]]]]:
    # The open file and its layout: [group, first row group, row groups].
    pa = pyarrow_or_hint()
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            layout = json.loads((file.schema_arrow.metadata or {})[b"hft.row_groups"])
            yield file, layout
    except FileNotFoundError:
        raise
    except (pa.ArrowInvalid, pa.ArrowKeyError, KeyError, OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise CorruptDataError(
            f"the Parquet file of a day must be whole and made by a compaction: path={path}, {error}"
        ) from None


def groups_of_day(path: Path, settings: Settings) -> Iterator[tuple[int, Records]]:
    """Iterate over the groups of a day and their records."""
    with _parquet_file(path) as (file, layout):
        for group, first, n in layout:
            table = file.read_row_groups(list(range(first, first + n)), columns=list(settings.dtype.names or ())) if n else None
            yield group, np.zeros(0, settings.dtype) if table is None else from_arrow(table, settings.dtype)


def read_day(path: Path, settings: Settings, start: int | None, end: int | None, groups: set[int] | None) -> list[Records]:
    """Return the records of a range by group, from the row groups that can hold an answer."""
    found = []
    with _parquet_file(path) as (file, layout):
        place = file.schema_arrow.get_field_index(settings.time_field)
        for group, first, n in layout:
            if groups is not None and group not in groups:
                continue
            wanted = []
            for i in range(first, first + n):
                known = file.metadata.row_group(i).column(place).statistics
                known = known if known is not None and known.has_min_max else None
                early = known is not None and start is not None and known.max < start
                late = known is not None and end is not None and known.min >= end
                if not early and not late:
                    wanted.append(i)
            if wanted:
                table = file.read_row_groups(wanted, columns=list(settings.dtype.names or ()))
                records = from_arrow(table, settings.dtype)
                times = records[settings.time_field].view(np.int64)
                within = inside(times, *(bounds(start, end, signed=True) or (0, 0)))
                found.append(records if within.all() else taken(records, within))
    return found


def range_of_day(path: Path, field: str) -> tuple[int, int, int]:
    """Return first and last time and rows, from the statistics."""
    with _parquet_file(path) as (file, _):
        place = file.schema_arrow.get_field_index(field)
        groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
        statistics = [group.column(place).statistics for group in groups if group.num_rows]
        if not statistics or not all(item is not None and item.has_min_max for item in statistics):
            return INT64.min, INT64.max, file.metadata.num_rows
        return min(item.min for item in statistics), max(item.max for item in statistics), file.metadata.num_rows
