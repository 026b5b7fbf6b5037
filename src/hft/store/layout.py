"""Names and settings of a directory store: what its files are called, and what belongs into which.

::

    ROOT/store.json                 what it holds: record layout, groups, offset of the day; written once
    ROOT/symbols.store              names and ids (`SymbolTable`); who writes the directory holds its lock
    ROOT/index.json                 a cache: count, first and last time of each file (`index`)
    ROOT/2024-03-08/group-00.ticks  a partition: the records of the day whose symbol_id % groups is 0, as a ``TickStore``
    ROOT/2024-03-08/day.parquet     in place of the partitions of a day that was compacted into Parquet
"""

from __future__ import annotations

import datetime
import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fastcore.errors import CorruptDataError, LayoutError
from fastcore.store_header import TIME_FIELDS, field_of, time_field_of, whole
from fastcore.tickstore import crc32c

from .files import replaced
from .records import Records, describe, described, taken

DAY_S = 86_400
DAY_NS = DAY_S * 10**9
MOST_GROUPS = 4096
_FORMAT, VERSION = "hft directory store", 1
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
PARTITION = re.compile(r"group-([0-9]{2}|[1-9][0-9]{2,3})\.ticks")  # one name for each group
PARQUET = "day.parquet"
_EPOCH = datetime.date(1970, 1, 1)


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
    """What a directory store is made for; written once."""

    dtype: np.dtype[np.void]
    time_field: str
    groups: int
    utc_offset_s: int
    segment_records: int

    @property
    def shift_ns(self) -> int:
        """How far the day is ahead of UTC."""
        return self.utc_offset_s * 10**9

    def day_of(self, time_ns: int) -> int:
        """Return the number of the day that a time falls into."""
        return (int(time_ns) + self.shift_ns) // DAY_NS

    def split(self, records: Records) -> list[tuple[int, int, Records]]:
        """Return (day, group, records) for every partition of these records, each in the order in which they came."""
        times = records[self.time_field].view(np.int64)
        first, last = self.day_of(times.min()), self.day_of(times.max())
        if _EPOCH.toordinal() + first < 1 or _EPOCH.toordinal() + last > datetime.date.max.toordinal():
            raise ValueError(
                f"times must fall into the years 1 to 9999: first day={first}, last day={last}, counted from 1970-01-01"
            )
        group = records["symbol_id"] % np.uint32(self.groups)
        if first == last:
            days = {first: (records, group)}
        else:
            # By wide integers: a time close to the end of the range would wrap with the offset.
            number = times // DAY_NS + (times % DAY_NS + self.shift_ns) // DAY_NS
            days = {}
            for day in np.unique(number).tolist():
                mine = number == day
                days[day] = (taken(records, mine), group[mine])
        found = []
        for day, (part, of) in days.items():
            counts = np.bincount(of.astype(np.uint16), minlength=self.groups)
            if counts.max() < len(part):
                part = taken(part, np.argsort(of.astype(np.uint16), kind="stable"))
            ends = np.cumsum(counts)
            found += [(day, g, part[ends[g] - counts[g] : ends[g]]) for g in np.flatnonzero(counts).tolist()]
        return found


class File(NamedTuple):
    """One file of a day: a partition, or the Parquet file that stands for all of them (group -1)."""

    day: int
    group: int
    path: Path

    @property
    def name(self) -> str:
        """Name inside the directory."""
        return f"{self.path.parent.name}/{self.path.name}"


def check_layout(dtype: np.dtype[np.void]) -> None:
    """Refuse records without a symbol or a time."""
    names = dtype.names or ()
    if "symbol_id" not in names or field_of(dtype, "symbol_id")[0] != np.uint32:
        raise ValueError(f"records must have a uint32 symbol_id: dtype={dtype}")
    if not any(name in names for name in TIME_FIELDS):
        raise ValueError(f"records must have a time, one of {TIME_FIELDS}: dtype={dtype}")


def write_settings(root: Path, settings: Settings, file_mode: int) -> None:
    """Write store.json, whole or not at all; all other files have its permissions."""
    body: dict[str, Any] = {
        "format": _FORMAT,
        "version": VERSION,
        "records": describe(settings.dtype, settings.time_field),
        "groups": settings.groups,
        "utc_offset_s": settings.utc_offset_s,
        "segment_records": settings.segment_records,
    }
    body["crc32c"] = crc32c(json.dumps(body, sort_keys=True).encode())
    with replaced(root / "store.json", file_mode=file_mode) as path:
        path.write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")


def read_settings(root: Path) -> Settings:
    """Read store.json; raises LayoutError where it is another's, CorruptDataError where it is damaged."""
    path = root / "store.json"
    try:
        body = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise LayoutError(f"a directory store has a file store.json: path={root}") from None
    except (ValueError, RecursionError) as error:
        raise CorruptDataError(f"store.json must be JSON: path={path}, {error}") from None
    if not isinstance(body, dict) or body.get("format") != _FORMAT:
        raise LayoutError(f"not a directory store: path={path}")
    if body.get("version") != VERSION:
        raise LayoutError(f"this build reads version {VERSION}: path={path}, version={body.get('version')}")
    told = body.pop("crc32c", None)
    if told != crc32c(json.dumps(body, sort_keys=True).encode()):
        raise CorruptDataError(f"store.json must match its checksum: path={path}")
    try:
        records = body["records"]
        dtype = described(records)
        check_layout(dtype)
        return Settings(
            dtype,
            time_field_of(dtype, records["time_field"]) or "",
            whole("groups", body["groups"], 1, MOST_GROUPS),
            whole("utc_offset_s", body["utc_offset_s"], -DAY_S + 1, DAY_S - 1),
            whole("segment_records", body["segment_records"], 1, (1 << 40) - 1),
        )
    except (ValueError, TypeError, KeyError) as error:
        raise CorruptDataError(f"store.json must have settings that a store can have: path={path}, {error}") from None
