"""Days at the exchange: the one in a file name or at a time, and when it begins in New York."""

from __future__ import annotations

import os
import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from .feed import FormatError

__all__ = ["day_of", "midnight_before", "midnight_ns"]


def day_of(path: str | os.PathLike[str]) -> date | None:
    """Return the day in a file name, None where there is none: ``2020-01-30``, ``20200130``, the exchange's ``01302020``, ``S013020-v50``."""
    name = Path(path).name
    for pattern, order in (
        (r"(?<!\d)(\d{4})-(\d\d)-(\d\d)(?!\d)", (0, 1, 2)),
        (r"(?<!\d)((?:19|20)\d\d)(\d\d)(\d\d)(?!\d)", (0, 1, 2)),
        (r"(?<!\d)(\d\d)(\d\d)((?:19|20)\d\d)(?!\d)", (2, 0, 1)),
        (r"^[A-Z]{1,3}(\d\d)(\d\d)(\d\d)-v\d", (2, 0, 1)),
    ):
        for found in re.finditer(pattern, name):
            year, month, day = (int(found.groups()[i]) for i in order)
            year += 2000 * (year < 100)
            try:
                return date(year, month, day)
            except ValueError:
                continue
    return None


def midnight_ns(day: date) -> int:
    """Return midnight of a day at the exchange (New York), ns since the UNIX epoch.

    Parameters
    ----------
    day : date
        2007 or later: before, daylight saving time had other dates (and this protocol was not there).

    Raises
    ------
    ValueError
        If the day is earlier.
    """
    if day.year < 2007:
        raise ValueError(f"day must not be before 2007: day={day}")
    # Energy Policy Act of 2005: from the second Sunday of March to the first of November, at 02:00 each.
    starts = _sunday(day.year, 3, 8)
    ends = _sunday(day.year, 11, 1)
    offset_hours = 4 if starts < day <= ends else 5
    return ((day - date(1970, 1, 1)).days * 24 + offset_hours) * 3_600_000_000_000


def _sunday(year: int, month: int, first_day: int) -> date:
    """The first Sunday on or after a day."""
    day = date(year, month, first_day)
    return day + timedelta(days=6 - day.weekday())


def _day_at(local_ns: int) -> date:
    # The day in New York. Four hours are the most that may be too few: in winter the day begins an hour later.
    day = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(hours=-4, seconds=local_ns // 10**9)).date()
    return day - timedelta(days=1) if day.year >= 2007 and midnight_ns(day) > local_ns else day


def midnight_before(local_ns: int, day: date | None) -> int:
    """Return midnight (New York) of a day, by default of the one that it is at a time; 0 before 2007."""
    if day is None and local_ns == 0:
        raise FormatError("the day of a capture must be given where its packets have no times: date=None")
    day = _day_at(local_ns) if day is None else day
    return midnight_ns(day) if day.year >= 2007 else 0
