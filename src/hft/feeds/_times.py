"""Times of a table - timestamps, text, numbers of any unit since the epoch or since midnight - as nanoseconds since the epoch.

Each value is judged by itself: a number by the range in which it is a time of 1990..2100 (seconds: 1973..), packed digits
(20240308, 20240308093000123) as what they say, text by its form. What is none of these is refused, never guessed.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from datetime import date as Date
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from ._columns import decimal, is_text, numbers, strings
from ._files import extra
from ._zones import LocalTimes
from .days import day_of
from .feed import FormatError

__all__ = ["UNITS", "TableClock", "check_time_format"]

Times = npt.NDArray[np.int64]
UNITS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_DAY_NS = 86_400 * 10**9
_MIDNIGHTS = 25 * 3_600 * 10**9  # the longest day has 25 hours
_LAST_NS = 2**63 - 1
# A number of the unit in this range is a time since the epoch: 1990..2100, of seconds from 1973 on.
_EPOCHS = (("s", 10**8, 4_102_444_800), *((u, 631_152_000 * 10**n, 4_102_444_800 * 10**n) for u, n in (("ms", 3), ("us", 6), ("ns", 9))))
_PACKED = ((14, 0), (17, 3))  # digits of year, month, ... and how many of them are decimals

_CLOCK = r"(?P<H>\d{1,2}):(?P<M>\d\d)(?::(?P<S>\d\d)(?:[.,:](?P<f>\d{1,9})0*)?)?(?: ?(?P<p>[AaPp])\.?[Mm]\.?)?"
_DENSE = r"(?P<H>\d\d)(?P<M>\d\d)(?P<S>\d\d)(?P<f>\d{3})?"
_ZONE = r" ?(?P<z>Z|UTC|GMT|[-+]\d\d(?::?\d\d)?)?"
_CLOCKS = (_CLOCK, _DENSE)
# A date, and a clock behind it or not. Where the order of day and month must be guessed the first block says it, or nothing is read.
_DATES = (
    r"(?P<Y>\d{4})[-/.]?(?P<m>\d\d)[-/.]?(?P<d>\d\d)",
    r"(?P<Y>\d{4})[-/.](?P<m>\d{1,2})[-/.](?P<d>\d{1,2})",
    r"(?P<d>\d{1,2})\.(?P<m>\d{1,2})\.(?P<Y>\d{4})",
    r"(?P<d>\d{1,2})[- ]?(?P<b>[A-Za-z]{3})[A-Za-z]*[-, ]*(?P<Y>\d{4})",
    r"(?P<b>[A-Za-z]{3})[A-Za-z]*\.? (?P<d>\d{1,2}),? (?P<Y>\d{4})",
)
_EITHER = r"(?P<{0}>\d{{1,2}})[-/](?P<{1}>\d{{1,2}})[-/](?P<Y>\d{{4}})"
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_LENGTHS = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
_DIRECTIVES = {
    "Y": r"(?P<Y>\d{4})", "y": r"(?P<y>\d\d)", "m": r"(?P<m>\d{1,2})", "d": r"(?P<d>\d{1,2})", "b": r"(?P<b>[A-Za-z]{3})",
    "B": r"(?P<b>[A-Za-z]{3})[a-z]*", "H": r"(?P<H>\d{1,2})", "I": r"(?P<H>\d{1,2})", "M": r"(?P<M>\d\d)", "S": r"(?P<S>\d\d)",
    "f": r"(?P<f>\d{1,9})", "p": r"(?P<p>[AaPp])\.?[Mm]\.?",
    "z": r"(?P<z>Z|UTC|GMT|[-+]\d\d(?::?\d\d)?)", "%": "%",
}  # fmt: skip


def check_time_format(text: str) -> str:
    """Return the pattern of a format of times (``%d/%m/%Y %H:%M:%S.%f``), or raise ValueError."""
    text = text.replace("%T", "%H:%M:%S").replace("%F", "%Y-%m-%d")
    found = re.findall(r"%(.?)", text)
    unknown = [f"%{letter}" for letter in found if letter not in _DIRECTIVES]
    twice = sorted({f"%{letter}" for letter in found if letter != "%" and found.count(letter) > 1})
    if unknown or twice or not set(found) - {"%"}:
        known = " ".join(f"%{letter}" for letter in _DIRECTIVES)
        raise ValueError(f"time_format must be made of {known}, each at most once: time_format={text!r} wrong={unknown or twice}")
    return "".join(_DIRECTIVES[part[1]] if part[:1] == "%" else re.escape(part) for part in re.split(r"(%.)", text))


class TableClock:
    """What the times of one column mean.

    Parameters
    ----------
    path : Path
        Its name may have a day.
    unit : str or None
        Of numbers; by default each is judged by its range.
    day : date or None
        Times that are less than 25 hours are counted from its midnight.
    zone : str
        Of midnights and of text without a zone.
    form : str or None
        ``time_format`` of the text.

    Attributes
    ----------
    units : set of str
        In which numbers have come so far.
    """

    def __init__(self, path: Path, unit: str | None, day: Date | None, zone: str, form: str | None = None) -> None:
        self._path, self._unit, self._day = path, unit, day or day_of(path)
        self._zone = ZoneInfo(zone)
        self._local = LocalTimes(zone)
        self._patterns = None if form is None else (check_time_format(form),)
        self._slashes: str | None = None  # the pattern of 05/08/2014, once it is known
        self._checked = False
        self._dates: bool | None = None
        self._day_given = day is not None
        self.units: set[str] = set()

    def ns(self, column: Any, days: Any = None) -> Times:
        """Return nanoseconds since the epoch, less than 0 where there is no time.

        Parameters
        ----------
        column : pyarrow.Array
        days : pyarrow.Array, optional
            Dates of a column of their own: `column` has the times of day.
        """
        pa, pc = extra("pyarrow"), extra("pyarrow.compute")
        if days is not None and not (self._unit is not None and _is_number(column.type)):
            return self._texts(pc.binary_join_element_wise(_words(days), _words(column), " "), joined=True)
        zero = None if days is None else TableClock(self._path, None, None, self._zone.key).ns(_words(days))
        kind = column.type
        if is_text(kind) or pa.types.is_dictionary(kind) or (self._patterns is not None and pa.types.is_integer(kind)):
            return self._texts(_words(column))
        if pa.types.is_date(kind):
            return self._local.utc(_scaled(numbers(pc.cast(column, pa.date32()).cast(pa.int32()), -1), _DAY_NS))
        if pa.types.is_time(kind) or pa.types.is_duration(kind):
            if zero is None:
                self._need_day()
            unit = UNITS[kind.unit]
            return self._since(_scaled(numbers(column.cast(pa.int32() if pa.types.is_time32(kind) else pa.int64()), -1), unit), zero)
        if pa.types.is_timestamp(kind):
            ns = _scaled(numbers(column.cast(pa.int64()), -1), UNITS[kind.unit])
            return ns if kind.tz is not None else self._local.utc(ns)
        if pa.types.is_decimal(kind):
            return self._numbers(*decimal(column), zero)
        if pa.types.is_integer(kind):
            return self._numbers(numbers(pc.cast(column, pa.int64(), safe=False), -1), 1, zero)
        if pa.types.is_floating(kind):
            values = column.to_numpy(zero_copy_only=False).astype(np.float64)
            known = (values >= 0) & (values < 9e18)
            whole = np.floor(np.where(known, values, 0.0))
            # A double has room for 100 ns or so since 1970: nothing finer is made of it.
            return self._numbers(np.where(known, whole, -1).astype(np.int64), 1, zero, np.where(known, values - whole, 0.0))
        raise FormatError(f"times must be timestamps, text or numbers: type={kind} path={self._path}")

    def wall(self, ns: Times) -> Times:
        """Return what a clock in the zone shows, as nanoseconds since midnight of 1 January 1970 there."""
        return self._local.wall(ns)

    def after(self, ns: Times, interval_ns: int) -> Times:
        """Return times an interval later: whole days by the calendar of the zone, whatever its clocks do in between."""
        if interval_ns % _DAY_NS:
            return ns + interval_ns
        return self._local.utc(self._local.wall(ns) + interval_ns)

    def _since(self, ns: Times, zero: Times | None) -> Times:
        """Times of day to times: of the days of another column, or of the one day; -1 without any."""
        if zero is None:
            if self._day is None:
                return np.full(len(ns), -1, np.int64)
            midnight = datetime(self._day.year, self._day.month, self._day.day, tzinfo=self._zone)
            zero = np.full(len(ns), int(midnight.astimezone(UTC).timestamp()) * 10**9)
        return np.where((ns >= 0) & (ns < _MIDNIGHTS) & (zero >= 0), zero + ns, -1)

    def _need_day(self) -> None:
        if self._day is None:
            rule = "times since midnight need a date: the option date, a column of dates, or a file name with one"
            raise FormatError(f"{rule}: path={self._path}")

    def _numbers(
        self, values: Times, scale: int, zero: Times | None = None, rest: npt.NDArray[np.float64] | None = None, few: bool = False
    ) -> Times:
        """Numbers of 1/scale units, each by its range; `rest` is what lies between two of them. `few`: among other forms of a time."""

        def ns_of(unit: int) -> Times:
            if unit % scale:
                return values // (scale // unit)  # 1/scale of the unit is less than a nanosecond
            return _scaled(values, unit // scale) + (0 if rest is None else np.rint(rest * unit).astype(np.int64))

        if self._unit is None and zero is None and rest is None and len(values):  # nearly always: all of one unit
            least, most = int(values.min()), int(values.max())
            for unit, low, high in _EPOCHS:
                if low * scale <= least and most < high * scale:
                    self.units.add(unit)
                    self._checked = True
                    return ns_of(UNITS[unit])
        there = values >= 0
        out = np.full(len(values), -1, np.int64)
        if self._unit is not None:
            ns = ns_of(UNITS[self._unit])
            day = (ns < _MIDNIGHTS) & (zero is not None or self._day is not None)
            out = np.where(there, ns, -1)
            if (day & there).any():
                out[day] = self._since(out, zero)[day]
            return out
        left = there.copy()
        if zero is None:
            for unit, low, high in _EPOCHS:
                those = left & (values >= low * scale) & (values // scale < high)
                if those.any():
                    out = np.where(those, ns_of(UNITS[unit]), out)
                    self.units.add(unit)
                    left &= ~those
            if scale == 1 and rest is None and left.any():
                if self._dates is None:  # 20140508 may be ms since midnight: all numbers of the first block must be dates
                    self._dates = not self._day_given and bool((self._packed(values[left], 8, 0) >= 0).all())
                for digits, decimals in ((8, 0), *_PACKED) if self._dates else _PACKED:
                    those = left & (values >= 10 ** (digits - 1)) & (values < 10**digits)
                    if those.any():
                        out[those] = self._packed(values[those], digits, decimals)
                        left &= out < 0
        if not few and not self._checked and there.any():
            self._checked = True
            if 2 * left.sum() > there.sum():  # a few that do not say what they are are bad rows
                self._check(values[left], scale, rest is not None and bool(rest[left].any()), zero is not None)
        if left.any() and (zero is not None or self._day is not None):
            out[left] = self._since(ns_of(UNITS["ms"]), zero)[left]
        return out

    def _check(self, values: Times, scale: int, fractions: bool, dated: bool) -> None:
        """Refuse a column of small numbers that could mean several times."""
        value = int(np.median(values)) / scale
        if value * UNITS["ms"] >= _MIDNIGHTS:
            rule = "a number must be a time of 1990..2100, or the option time_unit must be given"
            raise FormatError(f"{rule}: value={value:.9g} path={self._path}")
        if not dated:
            self._need_day()
        if scale == 1 and not fractions and values.max() < 86_400:
            rule = "times since midnight that are all below 86400 may be s or ms: give the option time_unit"
            raise FormatError(f"{rule}: value={value:.9g} path={self._path}")
        if scale > 1 or fractions:
            raise FormatError(f"decimal times since midnight need the option time_unit: value={value:.9g} path={self._path}")

    def _packed(self, values: Times, digits: int, decimals: int) -> Times:
        """20240308, 20240308093000, 20240308093000123."""
        fraction, values = values % 10**decimals, values // 10**decimals
        parts = {"f": fraction * 10 ** (9 - decimals)}
        for name, width in (*(("S", 2), ("M", 2), ("H", 2)) * (digits > 8), ("d", 2), ("m", 2), ("Y", 4)):
            parts[name], values = values % 10**width, values // 10**width
        return self._assembled(parts, None)

    def _texts(self, column: Any, joined: bool = False) -> Times:
        """Text, value by value: digits as numbers, the rest by the first form that fits."""
        pa, pc = extra("pyarrow"), extra("pyarrow.compute")
        out = np.full(len(column), -1, np.int64)
        left = numbers(column.is_valid().cast(pa.int8()), 0).astype(bool)

        def those(pattern: str) -> npt.NDArray[np.int64]:
            fit = pc.fill_null(pc.match_substring_regex(column, f"^(?:{pattern})$"), False)
            return np.flatnonzero(left & np.asarray(fit))

        if self._patterns is None and not joined:
            whole = those(r"\d{1,18}|[1-8]\d{18}")
            if len(whole):
                few = 2 * len(whole) < left.sum()
                out[whole] = self._numbers(numbers(column.take(pa.array(whole)).cast(pa.int64()), -1), 1, few=few)
                left[whole] = False
            decimals = those(r"\d{1,16}\.\d+")
            if len(decimals):  # more decimals than a nanosecond has are rounded
                cells = pc.replace_substring_regex(column.take(pa.array(decimals)), r"(\.\d{15})\d*", r"\1").cast(pa.decimal128(38, 15))
                for scale, low in ((9, 0), (6, 10**11), (3, 10**14)):  # so that the digits fit into 63 bits
                    large = np.asarray(pc.greater_equal(cells, pa.scalar(low).cast(pa.decimal128(38, 15))))
                    if large.any():
                        part = cells.filter(pa.array(large))
                        values = decimal(pc.round(part, scale).cast(pa.decimal128(27, scale), safe=False))
                        out[decimals[large]] = self._numbers(*values, few=2 * len(decimals) < left.sum())
                left[decimals] = False
        for pattern in self._patterns or self._forms(column.filter(pa.array(left))):
            if not left.any():
                break
            which = np.flatnonzero(left)
            found = pc.extract_regex(column.take(pa.array(which)), f"^(?:{pattern})$")
            fits = np.asarray(found.is_valid())
            if 2 * fits.sum() > len(column) and pattern in _CLOCKS:
                self._need_day()
            if fits.any():
                which, found = which[fits], found.filter(pa.array(fits))
                out[which] = self._assembled(*_parts(found, pattern), self._since)
                left[which] = False
        return out

    def _forms(self, cells: Any) -> list[str]:
        """All forms of a time; of 05/08/2014 the one that the first block shows."""
        pc = extra("pyarrow.compute")
        first = r"^(?P<a>\d{1,2})[-/](?P<b>\d{1,2})[-/]\d{4}"
        two = pc.extract_regex(cells, first).drop_null()
        if self._slashes is None and 2 * len(two) > len(cells):  # among others it is a bad row
            a, b = (numbers(two.field(i).cast("int64"), 0) > 12 for i in (0, 1))
            if a.any() == b.any():
                raise FormatError(
                    f"a date like {cells[0]} may be of two days: give the option time_format, for example %m/%d/%Y: path={self._path}"
                )
            self._slashes = _EITHER.format("d", "m") if a.any() else _EITHER.format("m", "d")
        dates = _DATES if self._slashes is None else (*_DATES, self._slashes)
        forms = [f"{date}(?:[ T,D:_]+(?:{clock}))?{_ZONE}" for date in dates for clock in _CLOCKS]
        return forms + list(_CLOCKS)

    def _assembled(self, parts: dict[str, Times], offset: Times | None, since: Any = None) -> Times:
        """Year, month, ... to times; what no calendar or clock shows is -1."""
        hour, minute, second = (parts.get(name, np.int64(0)) for name in "HMS")
        clock = ((hour * 60 + minute) * 60 + second) * 10**9 + parts.get("f", np.int64(0))
        fine = (hour < 24) & (minute < 60) & (second < 60)
        if "Y" not in parts:
            return np.asarray(since(np.where(fine, clock, -1), None))
        year, month, day = (parts[name] for name in "Ymd")
        leap = (month == 2) & (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
        fine &= (month > 0) & (month < 13) & (day > 0) & (day <= _LENGTHS[np.clip(month, 0, 12)] + leap) & (1969 < year) & (year < 2262)
        months = np.where(fine, (year - 1970) * 12 + month - 1, 0)
        days = months.astype("M8[M]").astype("M8[D]").astype(np.int64) + np.where(fine, day - 1, 0)
        wall = np.where(fine, days * _DAY_NS + clock, -1)
        if offset is None:
            return self._local.utc(wall)
        zoned = offset != _LAST_NS
        out = np.where(fine & zoned, wall - np.where(zoned, offset, 0), -1)
        if not zoned.all():
            out[~zoned] = self._local.utc(wall[~zoned])
        return out


def _scaled(values: Times, factor: int) -> Times:
    """Times in a unit to nanoseconds, -1 where that is no time or beyond the year 2262."""
    fits = (values >= 0) & (values <= _LAST_NS // factor)
    return np.where(fits, np.where(fits, values, 0) * factor, -1)


def _is_number(kind: Any) -> bool:
    types = extra("pyarrow").types
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind))


def _words(column: Any) -> Any:
    """Any column as trimmed text; a date without a clock as a date."""
    pa, pc = extra("pyarrow"), extra("pyarrow.compute")
    if pa.types.is_timestamp(column.type):
        column = pc.cast(column, pa.date32(), safe=False)
    if pa.types.is_floating(column.type):
        column = pc.cast(column, pa.int64(), safe=False)
    return pc.utf8_trim_whitespace(strings(column))


def _parts(found: Any, pattern: str) -> tuple[dict[str, Times], Times | None]:
    """Groups of a pattern as numbers, and the offset from UTC where a value has one."""
    pa, pc = extra("pyarrow"), extra("pyarrow.compute")
    columns = {field.name: found.field(i) for i, field in enumerate(found.type)}

    def whole(name: str) -> Times:
        cells = columns[name]
        return numbers(pc.if_else(pc.equal(cells, ""), "0", cells).cast(pa.int64()), 0)

    parts = {name: whole(name) for name in "YymdHMS" if name in columns}
    if "f" in columns:
        parts["f"] = numbers(pc.utf8_rpad(columns["f"], 9, "0").cast(pa.int64()), 0)
    if "y" in parts:
        parts["Y"] = parts["y"] + np.where(parts.pop("y") < 70, 2000, 1900)
    if "b" in columns:
        index = pc.index_in(pc.utf8_lower(columns["b"]), pa.array(_MONTHS))
        parts["m"] = numbers(index, -1) + 1
    if "p" in columns:
        half = pc.utf8_lower(columns["p"])
        given = np.asarray(pc.not_equal(half, ""))
        fine = (parts["H"] >= 1) & (parts["H"] <= 12)
        hours = parts["H"] % 12 + 12 * np.asarray(pc.equal(half, "p"))
        parts["H"] = np.where(given, np.where(fine, hours, 24), parts["H"])
    if "z" not in columns:
        return parts, None
    zone = columns["z"]
    there = np.asarray(pc.not_equal(zone, ""))
    if not there.any():
        return parts, None
    signed = pc.match_substring_regex(zone, r"^[-+]")
    digits = pc.utf8_rpad(pc.replace_substring_regex(pc.if_else(signed, zone, "+0000"), r"[-+:]", ""), 4, "0")
    clock = numbers(digits.cast(pa.int64()), 0)
    minus = np.asarray(pc.starts_with(zone, "-"))
    offset = (clock // 100 * 60 + clock % 100) * 60 * 10**9 * np.where(minus, -1, 1)
    return parts, np.where(there, offset, _LAST_NS)
