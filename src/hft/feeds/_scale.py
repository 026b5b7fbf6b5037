"""Prices and sizes that come as floats: the unit that they are multiples of, and how many units they are."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["TOLERANCE", "power_of_ten", "whole_units"]

TOLERANCE = 1e-3  # how far from a whole number a multiple of the unit may be
_MAX_UNITS = 2.0**62

Floats = npt.NDArray[np.float64]


def power_of_ten(columns: list[Floats]) -> float:
    """Return the largest power of ten, 1 down to 1e-9, that divides all values; 1 where there are none."""
    values = [column[np.abs(column) < _MAX_UNITS * 1e-9] for column in columns]
    for exponent in range(10):
        scaled = [column * 10.0**exponent for column in values]
        if all((np.abs(x - np.rint(x)) <= np.maximum(1e-4, np.abs(x) * 4e-16)).all() for x in scaled):
            return float(10.0**-exponent)
    return 1e-9


def whole_units(
    values: Floats, unit: float | Floats, tolerance: float = TOLERANCE
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return how many units values are, where they are no finite numbers (or too large), and where they are no multiples."""
    finite = np.abs(values) < _MAX_UNITS * unit
    scaled = np.where(finite, values, 0.0) / unit
    whole = np.rint(scaled)
    off = finite & (np.abs(scaled - whole) > np.maximum(tolerance, np.abs(scaled) * 4e-16))
    return whole.astype(np.int64), ~finite, off
