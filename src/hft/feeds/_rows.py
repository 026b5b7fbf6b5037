"""Rows of one batch of a table: its columns by role as numbers, and which rows break a rule."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ._columns import floats, integers, precision_of, strings, texts
from ._files import extra
from ._scale import exact_units, whole_units
from .feed import FormatError

__all__ = ["Marks", "Mask", "TableRows"]

Mask = npt.NDArray[np.bool_]
Skip = Callable[[str, npt.NDArray[np.int64], list[Any]], None]
_SENTINEL = float(2**63 - 1)  # of prices in fixed point: none


class Marks(NamedTuple):
    """How numbers are written."""

    point: str = "."
    group: str = ""
    price_places: int = 0  # a price is a whole number of 10**-price_places


class TableRows:
    """One batch.

    Attributes
    ----------
    number : ndarray of int64
        Of each row in the table.
    bad : ndarray of bool
        Rows that are left out.
    """

    def __init__(self, batch: Any, number: npt.NDArray[np.int64], roles: Mapping[str, int], skip: Skip, marks: Marks) -> None:
        self.number, self.bad = number, np.zeros(len(batch), bool)
        self._batch, self._roles, self._skip, self._marks = batch, roles, skip, marks
        self._floats: dict[str, npt.NDArray[np.float64]] = {}
        types = extra("pyarrow").types
        for role, at in roles.items():
            kind = batch.column(at).type
            unfit = types.is_boolean(kind) or types.is_temporal(kind)
            if (types.is_nested(kind) and "time" not in role) or (unfit and re.match("bid|ask|price|open|high|low|close|size|volume", role)):
                raise FormatError(f"a column must hold what its role says: role={role} type={kind}")

    def __len__(self) -> int:
        return len(self.bad)

    def __contains__(self, role: str) -> bool:
        return role in self._roles

    def column(self, role: str) -> Any:
        """Return the Arrow column of a role."""
        return self._column(self._roles[role])

    def _column(self, at: int) -> Any:
        found = self._batch.column(at)
        if not isinstance(found, extra("pyarrow").ChunkedArray):
            return found
        return found.chunk(0) if found.num_chunks == 1 else found.combine_chunks()

    def floats(self, role: str) -> npt.NDArray[np.float64]:
        """Return the values of a role; what is missing or no number is NaN."""
        if role not in self._floats:
            values = floats(self.column(role), self._marks.point, self._marks.group)
            if self._marks.price_places and not re.search("size|volume", role):
                values = np.where(values == _SENTINEL, np.nan, values / 10.0**self._marks.price_places)
            self._floats[role] = values
        return self._floats[role]

    def there(self, role: str) -> Mask:
        """Return where a role has a value, be it one that is no number; a price that is the mark of none is not there."""
        column = self.column(role)
        found = ~np.asarray(column.is_null())
        if self._marks.price_places:
            found &= floats(column) != _SENTINEL
        return found

    def integers(self, role: str) -> npt.NDArray[np.int64]:
        """Return the identifiers of a role; -1 where there is none."""
        return integers(self.column(role)) if role in self else np.full(len(self), -1, np.int64)

    def choose(self, at: int, words: frozenset[str]) -> None:
        """Leave out the rows whose cell in a column is none of these words."""
        pc = extra("pyarrow.compute")
        cells = pc.utf8_upper(pc.utf8_trim_whitespace(strings(self._column(at))))
        self.bad |= ~np.asarray(pc.fill_null(pc.is_in(cells, extra("pyarrow").array(sorted(words))), False))

    def refuse(self, rule: str, wrong: Mask, role: str) -> None:
        """Count rows that break a rule, with what their cell says, and leave them out; a row counts for the first rule that it breaks."""
        wrong = wrong & ~self.bad
        if wrong.any():
            where = extra("pyarrow").array(wrong)
            columns = [self.column(name) for name in ("date", role)[role != "time" or "date" not in self :]]
            cells = zip(*(texts(column.filter(where).slice(0, 64)) for column in columns), strict=True)
            self._skip(rule, self.number[wrong], [" ".join(cell).strip() or "(empty)" for cell in cells])
            self.bad |= wrong

    def units(self, role: str, unit: float, name: str, tolerance: float, where: Mask | None = None) -> npt.NDArray[np.int64]:
        """Return the values of a role in whole units, checked in some of the rows."""
        values = self.floats(role)
        precision = precision_of(self.column(role).type)
        if (exact := exact_units(values, unit, precision)) is not None:
            return exact
        looked_at = ~self.bad if where is None else where & ~self.bad
        whole, infinite, off = whole_units(values, unit, tolerance, precision)
        self.refuse(f"{role} must be a finite number", infinite & looked_at, role)
        # Beyond this the neighbours of a number in its column are as far apart as its units.
        most = 1.0 / (precision if unit == 1.0 else 2 * precision)
        large = np.abs(whole) > most
        self.refuse(f"{role} must be at most {most:.0f} times {name}={unit:g}", large & looked_at, role)
        self.refuse(f"{role} must be a whole multiple of {name}={unit:g}", off & looked_at, role)
        return whole

    def sizes(self, role: str, unit: float, tolerance: float, default: int, where: Mask | None = None) -> npt.NDArray[np.int64]:
        """Return sizes in whole lots, which are never negative; `default` where the table has none."""
        if role not in self:
            return np.full(len(self), default, np.int64)
        whole = self.units(role, unit, "lot_size", tolerance, where)
        negative = whole < 0 if where is None else (whole < 0) & where
        self.refuse(f"{role} must not be negative", negative, role)
        return whole
