"""Rows of one batch of a table: its columns by role as numbers, and which rows break a rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ._columns import floats, integers
from ._files import extra
from ._scale import whole_units

__all__ = ["TableRows"]

Mask = npt.NDArray[np.bool_]
Skip = Callable[[str, npt.NDArray[np.int64], list[Any]], None]


class TableRows:
    """One batch.

    Attributes
    ----------
    number : ndarray of int64
        Of each row in the table.
    bad : ndarray of bool
        Rows that are left out.
    """

    def __init__(self, batch: Any, number: npt.NDArray[np.int64], roles: Mapping[str, int], skip: Skip) -> None:
        self.number, self.bad = number, np.zeros(len(batch), bool)
        self._batch, self._roles, self._skip = batch, roles, skip
        self._floats: dict[str, npt.NDArray[np.float64]] = {}

    def __len__(self) -> int:
        return len(self.bad)

    def __contains__(self, role: str) -> bool:
        return role in self._roles

    def column(self, role: str) -> Any:
        """Return the Arrow column of a role."""
        found = self._batch.column(self._roles[role])
        return found.combine_chunks() if isinstance(found, extra("pyarrow").ChunkedArray) else found

    def floats(self, role: str) -> npt.NDArray[np.float64]:
        """Return the values of a role; what is missing or no number is NaN."""
        if role not in self._floats:
            self._floats[role] = floats(self.column(role))
        return self._floats[role]

    def integers(self, role: str) -> npt.NDArray[np.int64]:
        """Return the identifiers of a role; -1 where there is none."""
        return integers(self.column(role)) if role in self else np.full(len(self), -1, np.int64)

    def refuse(self, rule: str, wrong: Mask, values: npt.NDArray[Any]) -> None:
        """Count rows that break a rule, and leave them out; a row counts for the first rule that it breaks."""
        wrong = wrong & ~self.bad
        if wrong.any():
            self._skip(rule, self.number[wrong], values[wrong].tolist())
            self.bad |= wrong

    def units(self, role: str, unit: float, name: str, tolerance: float, where: Mask | None = None) -> npt.NDArray[np.int64]:
        """Return the values of a role in whole units, checked in some of the rows."""
        values = self.floats(role)
        looked_at = ~self.bad if where is None else where & ~self.bad
        whole, infinite, off = whole_units(values, unit, tolerance)
        self.refuse(f"{role} must be a finite number", infinite & looked_at, values)
        self.refuse(f"{role} must be a whole multiple of {name}={unit:g}", off & looked_at, values)
        return whole

    def sizes(self, role: str, unit: float, tolerance: float, default: int, where: Mask | None = None) -> npt.NDArray[np.int64]:
        """Return sizes in whole lots, which are never negative; `default` where the table has none."""
        if role not in self:
            return np.full(len(self), default, np.int64)
        whole = self.units(role, unit, "lot_size", tolerance, where)
        negative = whole < 0 if where is None else (whole < 0) & where
        self.refuse(f"{role} must not be negative", negative, self.floats(role))
        return whole
