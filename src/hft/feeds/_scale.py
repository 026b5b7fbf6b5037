"""Prices and sizes that come as floats: the unit that they are multiples of, and how many units they are."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["DOUBLE", "MAX_PLACES", "TOLERANCE", "exact_units", "places_of", "power_of_ten", "unit_of", "whole_units"]

TOLERANCE = 1e-3  # how far from a whole number a multiple of a unit that was given may be
DOUBLE = 2.0**-52  # relative distance of two float64
MAX_PLACES = 12  # a number that needs more decimals is the result of a calculation, not a price
_MAX_UNITS = 2.0**62
_ULPS = 4  # what reading, scaling and storing a decimal may be off by; of 15 digits any other decimal is further away

Floats = npt.NDArray[np.float64]


def places_of(values: Floats, precision: float = DOUBLE) -> int:
    """Return the decimals that all values need, those apart that need more than `MAX_PLACES`; 0 where there are none."""
    left = np.unique(np.abs(values[np.isfinite(values)]))
    left = left[left < 0.5 / precision]
    most = 0
    for places in range(MAX_PLACES + 1):
        scaled = left * 10.0**places
        off = np.abs(np.rint(scaled) / 10.0**places - left) > _ULPS * precision * left
        if len(left) and not off.all():
            most = places
        left = left[off]
    return most


def unit_of(places: int) -> float:
    """Return 10**-places, or 1 where no decimals are needed."""
    return float(f"1e-{max(places, 0)}")


def power_of_ten(columns: list[Floats]) -> float:
    """Return the largest power of ten, 1 down to 1e-12, that divides all values; 1 where there are none."""
    return unit_of(max(map(places_of, columns), default=0))


def exact_units(values: Floats, unit: float, precision: float = DOUBLE) -> npt.NDArray[np.int64] | None:
    """Return how many units values are where all are whole multiples that a float of this precision tells apart, None otherwise."""
    with np.errstate(over="ignore"):
        scaled = values / unit
    whole = np.rint(scaled)
    sizes = np.abs(whole)
    fine = len(values) == 0 or (sizes.max() <= 0.5 / precision and (np.abs(scaled - whole) <= sizes * (_ULPS * precision)).all())
    return whole.astype(np.int64) if fine else None


def whole_units(
    values: Floats, unit: float | Floats, tolerance: float = TOLERANCE, precision: float = DOUBLE
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return how many units values are, where they are no finite numbers (or too large), and where they are no multiples."""
    finite = np.abs(values) < _MAX_UNITS * unit
    scaled = np.where(finite, values, 0.0) / unit
    whole = np.rint(scaled)
    off = finite & (np.abs(scaled - whole) > np.maximum(tolerance, np.abs(scaled) * (_ULPS * precision)))
    return whole.astype(np.int64), ~finite, off
