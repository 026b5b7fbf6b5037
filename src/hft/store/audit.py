"""What is wrong with a file of a directory store: damage, records in the wrong place or order, symbols without a name."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from fastcore.errors import CorruptDataError, LayoutError
from fastcore.tickstore import StoreReport, StoreWarning, TickStore

from .layout import DAY_NS, File, Settings
from .parquet_day import groups_of_day
from .records import Records, pieces


def audit(file: File, settings: Settings, named: npt.NDArray[np.uint32]) -> dict[str, Any]:
    """Check one file; `named` are the ids in the symbol table, ascending. See ``DirectoryStore.verify``."""
    report = StoreReport(0, 0)
    sums = {"misplaced": 0, "out_of_order": 0, "unnamed": 0}
    records = 0
    try:
        if file.group < 0:
            parts: Iterable[tuple[int, Records]] = groups_of_day(file.path, settings)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", StoreWarning)  # the report says it
                store = TickStore(file.path, "r", settings.dtype, salvage=True)
            report = store.verify()
            parts = [(file.group, store.records(0, report.records))]
        for group, part in parts:
            records += len(part)
            for key, value in _odd(file.day, group, part, settings, named).items():
                sums[key] += value
        reason = report.reason
    except (CorruptDataError, LayoutError) as error:
        records, reason = report.records, str(error)
    reason = reason or (f"{sums['misplaced']} records belong to other files" if sums["misplaced"] else "")
    return {"records": records, "reason": reason, "dropped_records": report.dropped_records, **sums}


def _odd(day: int, group: int, records: Records, settings: Settings, named: npt.NDArray[np.uint32]) -> dict[str, int]:
    sums = {"misplaced": 0, "out_of_order": 0, "unnamed": 0}
    start = day * DAY_NS - settings.shift_ns
    before = None
    for part in pieces(records):
        times = part[settings.time_field].view(np.int64)
        ids = part["symbol_id"]
        away = (times < start) | (times >= start + DAY_NS) | (ids % np.uint32(settings.groups) != group)
        sums["misplaced"] += int(away.sum())
        sums["out_of_order"] += int((times[1:] < times[:-1]).sum()) + int(before is not None and times[0] < before)
        before = times[-1]
        if len(named):
            place = np.minimum(np.searchsorted(named, ids), len(named) - 1)
            sums["unnamed"] += int((named[place] != ids).sum())
        else:
            sums["unnamed"] += len(ids)
    return sums
