"""Names, settings and index of a directory store: what its files are called, and what their heads tell.

::

    ROOT/store.json                 what it holds: record layout, groups, offset of the day; written once
    ROOT/symbols.store              names and ids (`SymbolTable`); who writes the directory holds its lock
    ROOT/index.json                 a cache: count, first and last time of each partition
    ROOT/2024-03-08/group-00.ticks  a partition: the records of the day whose symbol_id % groups is 0, as a ``TickStore``
    ROOT/2024-03-08/day.parquet     in place of the partitions of a day that was compacted into Parquet
"""

from __future__ import annotations

import datetime
import json
import os
import re
import struct
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fastcore.errors import CorruptDataError, LayoutError
from fastcore.tickstore import crc32c

from . import arrow
from .files import replaced

DAY_NS = 86_400 * 10**9
_FORMAT, _VERSION = "hft directory store", 1
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
PARTITION = re.compile(r"group-(\d{2,})\.ticks")
PARQUET = "day.parquet"
_EPOCH = datetime.date(1970, 1, 1)
# Of fc_store.h: magic, version, ..., salt in the header; count, epoch and writer in the control page.
_HEAD = struct.Struct("=8sHH28xQ")
_CONTROL = struct.Struct("=Q56xQQ")


def day_name(day: int) -> str:
    """Return the name of a day: its number counts from 1970-01-01."""
    return (_EPOCH + datetime.timedelta(days=day)).isoformat()


def parse_day(name: str) -> int | None:
    """Return the number of a day, or None where the text names none."""
    if not _DAY.fullmatch(name):
        return None
    try:
        return (datetime.date.fromisoformat(name) - _EPOCH).days
    except ValueError:
        return None


def have_names(first: int, last: int) -> bool:
    """Say whether both days have a name."""
    return _EPOCH.toordinal() + first >= 1 and _EPOCH.toordinal() + last <= datetime.date.max.toordinal()


def as_day(day: datetime.date | str) -> int:
    """Return the number of a day that a caller names; raises ValueError for another text."""
    if isinstance(day, datetime.date):
        return (day - _EPOCH).days if not isinstance(day, datetime.datetime) else (day.date() - _EPOCH).days
    found = parse_day(day)
    if found is None:
        raise ValueError(f"a day must be YYYY-MM-DD: day={day!r}")
    return found


def partition_name(group: int) -> str:
    """Return the file name of a group."""
    return f"group-{group:02}.ticks"


class Settings(NamedTuple):
    dtype: np.dtype[np.void]
    time_field: str
    groups: int
    utc_offset_s: int
    segment_records: int


class File(NamedTuple):
    # One file of a day: a partition, or the Parquet file that stands for all of them.
    day: int
    group: int  # -1: Parquet
    path: Path

    @property
    def name(self) -> str:
        return f"{self.path.parent.name}/{self.path.name}"


def check_layout(dtype: np.dtype[np.void]) -> None:
    """Refuse records without a symbol or a time."""
    names = dtype.names or ()
    if "symbol_id" not in names or arrow.field_of(dtype, "symbol_id")[0] != np.uint32:
        raise ValueError(f"records must have a uint32 symbol_id: dtype={dtype}")
    if not any(name in names for name in arrow._TIMES):
        raise ValueError(f"records must have a time, one of {arrow._TIMES}: dtype={dtype}")


def write_settings(root: Path, settings: Settings) -> None:
    """Write store.json, whole or not at all."""
    body: dict[str, Any] = {
        "format": _FORMAT,
        "version": _VERSION,
        "records": arrow.describe(settings.dtype, settings.time_field),
        "groups": settings.groups,
        "utc_offset_s": settings.utc_offset_s,
        "segment_records": settings.segment_records,
    }
    body["crc32c"] = crc32c(json.dumps(body, sort_keys=True).encode())
    with replaced(root / "store.json") as path:
        path.write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")


def read_settings(root: Path) -> Settings:
    """Read store.json; raises LayoutError where it is another's, CorruptDataError where it is damaged."""
    path = root / "store.json"
    try:
        body = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise LayoutError(f"a directory store has a file store.json: path={root}") from None
    except ValueError as error:
        raise CorruptDataError(f"store.json must be JSON: path={path}, {error}") from None
    if not isinstance(body, dict) or body.get("format") != _FORMAT:
        raise LayoutError(f"not a directory store: path={path}")
    if body.get("version") != _VERSION:
        raise LayoutError(f"this build reads version {_VERSION}: path={path}, version={body.get('version')}")
    told = body.pop("crc32c", None)
    if told != crc32c(json.dumps(body, sort_keys=True).encode()):
        raise CorruptDataError(f"store.json must match its checksum: path={path}")
    records = body["records"]
    return Settings(
        arrow.described(records), records["time_field"], body["groups"], body["utc_offset_s"], body["segment_records"]
    )


def load_index(root: Path) -> dict[str, dict[str, Any]]:
    """Return the entries of the index by file; none where it cannot be read."""
    try:
        outer = json.loads((root / "index.json").read_bytes())
        text = outer["index"]
        if outer["crc32c"] != crc32c(text.encode()):
            return {}
        inner = json.loads(text)
        return dict(inner["files"]) if inner["version"] == _VERSION else {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def save_index(root: Path, entries: dict[str, dict[str, Any]]) -> None:
    """Write the entries of the index."""
    text = json.dumps({"version": _VERSION, "files": entries}, separators=(",", ":"))
    with replaced(root / "index.json") as path:
        path.write_text(json.dumps({"crc32c": crc32c(text.encode()), "index": text}), encoding="utf-8")


def identity_of(file: File) -> list[int] | None:
    """Return what changes whenever the records of a file do: of a partition its salt, epoch and published count, from its head."""
    try:
        if file.group < 0:
            stat = os.stat(file.path)
            return [stat.st_ino, stat.st_mtime_ns, stat.st_size]
        with open(file.path, "rb", buffering=0) as raw:
            head = raw.read(4096 + _CONTROL.size)
    except OSError:
        return None
    if len(head) < 4096 + _CONTROL.size:
        return None
    magic, major, _, salt = _HEAD.unpack_from(head)
    count, epoch, _ = _CONTROL.unpack_from(head, 4096)
    return [salt, epoch, count] if magic == b"FCSTORE\0" and major == 1 else None
