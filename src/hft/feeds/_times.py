"""Times of a table - timestamps, text, numbers of any unit since the epoch or since midnight - as nanoseconds since the epoch."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from datetime import date as Date
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from fastcore.errors import CorruptDataError

from ._columns import decimal, decimal_type, is_text, numbers, strings
from ._files import extra
from .days import day_of
from .feed import FormatError

__all__ = ["UNITS", "TableClock"]

UNITS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_DAY = r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
_CLOCK = r"[ T]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,9})?)?"
_TEXTS = (
    (r"^(\d{1,18}|[1-8]\d{18})$", "int"),
    (r"^\d{1,16}\.\d*$", "decimal"),
    (f"^{_DAY}{_CLOCK}(Z|[-+]\\d\\d(:?\\d\\d)?)$", "utc"),
    (f"^{_DAY}({_CLOCK})?$", ""),
)


class TableClock:
    """What the times of one table mean; unit and zero are settled by its first numbers where they are not given."""

    def __init__(self, path: Path, unit: str | None, day: Date | None, zone: str) -> None:
        self._path, self._unit, self._day, self._zone = path, unit, day, zone
        self._midnights = ZoneInfo(zone)
        self._settled: tuple[int, int] | None = None

    def ns(self, column: Any) -> npt.NDArray[np.int64]:
        """Return nanoseconds since the epoch; a value that is missing is -1."""
        pa, pc = extra("pyarrow"), extra("pyarrow.compute")
        if is_text(column.type):
            column = self._parsed(pc.utf8_trim_whitespace(strings(column)))
        kind = column.type
        if pa.types.is_date(kind):
            column = pc.cast(column, pa.timestamp("ns"))
            kind = column.type
        if pa.types.is_timestamp(kind):
            if kind.tz is None and self._zone != "UTC":
                column = pc.assume_timezone(column, self._zone, ambiguous="earliest", nonexistent="earliest")
            column = pc.cast(pc.cast(column, pa.timestamp("ns", column.type.tz)), pa.int64())
            return numbers(column, -1)
        if pa.types.is_decimal(kind):
            return self._of_whole(*decimal(column))
        if pa.types.is_integer(kind):
            return self._of_whole(numbers(pc.cast(column, pa.int64(), safe=False), -1), 1)
        return self._of_floats(column.to_numpy(zero_copy_only=False))

    def _parsed(self, column: Any) -> Any:
        """Text as numbers, decimals or timestamps, by the first value that is there; what does not fit is null."""
        pa, pc = extra("pyarrow"), extra("pyarrow.compute")
        there = column.drop_null()
        first = there[0].as_py() if len(there) else "0"
        pattern, type_ = next((text for text in _TEXTS if re.match(text[0], first)), _TEXTS[-1])
        target = {"int": pa.int64(), "decimal": decimal_type(first), "utc": pa.timestamp("ns", "UTC"), "": pa.timestamp("ns")}[type_]
        column = pc.if_else(pc.match_substring_regex(column, pattern), column, pa.scalar(None, pa.string()))
        try:
            if type_ == "decimal":  # more decimals than a nanosecond has are rounded
                column = pc.cast(pc.replace_substring_regex(column, r"(\.\d{15})\d*", r"\1"), pa.decimal128(38, 15))
                column = pc.round(column, target.scale)
            return pc.cast(column, target)
        except pa.ArrowInvalid as error:
            raise CorruptDataError(f"a time must be a time: path={self._path} {error}") from error

    def _of_whole(self, values: npt.NDArray[np.int64], scale: int) -> npt.NDArray[np.int64]:
        """Whole numbers of 1/scale units to ns; negative ones stay -1."""
        unit, zero = self._unit_and_zero(values[values >= 0] / scale)
        # 1/scale of the unit may be less than a nanosecond: divide last where nothing is lost, first where it would overflow.
        ns = values * (unit // scale) if unit % scale == 0 else values // (scale // unit)
        return np.where(values < 0, -1, ns + zero)

    def _of_floats(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        known = np.isfinite(values) & (np.abs(values) < 9e18)
        unit, zero = self._unit_and_zero(values[known])
        values = np.where(known, values, 0.0)
        whole = np.floor(values)
        ns = whole.astype(np.int64) * unit + np.rint((values - whole) * unit).astype(np.int64) + zero
        return np.where(known, ns, -1)

    def _unit_and_zero(self, values: npt.NDArray[Any]) -> tuple[int, int]:
        """Nanoseconds of one unit, and of the zero; decided by the first values."""
        if self._settled is None:
            typical = float(np.median(values)) if len(values) else 0.0
            unit = self._unit
            # Below a day, in the unit given or in ms, times can only be counted from midnight - if there is a day.
            small = typical * UNITS[unit or "ms"] < 87e12 and unit in (None, "s", "ms")
            day = self._day or (day_of(self._path) if small else None)
            if day is None and small and unit is None:
                raise FormatError(f"times since midnight need a date: give date=, or a file name with one: path={self._path}")
            if unit is None and day is not None:
                unit = "ms"
            elif unit is None:
                unit = "s" if typical < 1e11 else "ms" if typical < 1e14 else "us" if typical < 1e17 else "ns"
            zero = 0
            if day is not None:
                zero = int(datetime(day.year, day.month, day.day, tzinfo=self._midnights).astimezone(UTC).timestamp()) * 10**9
            self._settled = UNITS[unit], zero
        return self._settled
