"""Which symbol an instrument of a DBN file has: by the metadata for a time, else by the records."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Names"]

_UNDEF_TIME = np.iinfo(np.uint64).max


def _ns(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 10**9


class Names:
    """Symbols by instrument.

    The mappings of the metadata hold from one day (UTC) to another, of the receive time of a record. Between two days at which
    one of them begins or ends is a *span*, numbered from 0, in which no instrument has another symbol by them.
    """

    def __init__(self, metadata: Any) -> None:
        self._mappings: list[tuple[date, date, int, str]] = []
        by_number = metadata is not None and str(metadata.stype_in) == "instrument_id"
        for name, intervals in {} if metadata is None else metadata.mappings.items():
            for interval in intervals:
                number, symbol = (name, interval["symbol"]) if by_number else (interval["symbol"], name)
                if number.isdigit() and symbol:
                    self._mappings.append((interval["start_date"], interval["end_date"], int(number), symbol))
        days = sorted({day for start, end, _, _ in self._mappings for day in (start, end)})
        self._days = days[1:-1]  # before the first and behind the last nothing else is said
        self._bounds = np.array([_ns(day) for day in self._days], np.uint64)
        self.span, self._now = -1, dict[int, str]()
        self._told: dict[int, str] = {}  # by definitions and mappings among the records
        self._holder: dict[str, int] = {}  # the other way round

    @property
    def several(self) -> bool:
        """Whether there is more than one span."""
        return len(self._bounds) > 0

    def spans(self, records: npt.NDArray[np.void]) -> npt.NDArray[np.intp]:
        """Return the span of each record."""
        times = records["ts_event"]
        if "ts_recv" in (records.dtype.names or ()):
            times = np.where(records["ts_recv"] == _UNDEF_TIME, times, records["ts_recv"])
        return np.searchsorted(self._bounds, times, side="right")

    def begin(self, span: int) -> tuple[int, int | None]:
        """Go to a span; return the first time that belongs to it, and the first that does not."""
        if span != self.span:
            day = self._days[span - 1] if span else date.min
            first = min((start for start, _, _, _ in self._mappings), default=day)
            day = max(day, first)
            self._now = {number: symbol for start, end, number, symbol in self._mappings if start <= day < end}
            self.span = span
        bounds = self._bounds.tolist()
        return bounds[span - 1] if span else 0, bounds[span] if span < len(bounds) else None

    def renames(self, instrument: int, symbol: str) -> bool:
        """Say whether a record gives an instrument another symbol than records have given it, or the symbol of another one."""
        holder = self._holder.get(symbol, instrument)
        moved = holder != instrument and self._told.get(holder) == symbol
        return instrument not in self._now and (moved or self._told.get(instrument, symbol) != symbol)

    def symbol(self, instrument: int) -> str:
        """Return the symbol of an instrument, its number where nobody has named it."""
        return self._now.get(instrument) or self._told.get(instrument) or str(instrument)

    def tell(self, instrument: int, symbol: str) -> None:
        """Take over what a record says; a symbol goes from one instrument to another."""
        other = self._holder.get(symbol, instrument)
        if other != instrument and self._told.get(other) == symbol:
            del self._told[other]
        self._told[instrument], self._holder[symbol] = symbol, instrument

    def follow(self, previous: Names) -> None:
        """Go on with what the records of the part before have said."""
        self._told, self._holder = previous._told, previous._holder
