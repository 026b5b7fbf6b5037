"""Times of a store: the range that a query asks for, and which blocks can answer it where times are not in order."""

from typing import Any

import numpy as np
import numpy.typing as npt


def check_range(start_ns: int | None, end_ns: int | None) -> None:
    """Refuse a range that ends before it starts, and bounds that are not whole numbers."""
    for name, value in (("start_ns", start_ns), ("end_ns", end_ns)):
        if value is not None and not isinstance(value, (int, np.integer)):
            raise TypeError(f"{name} must be an int: {name}={value!r}")
    if start_ns is not None and end_ns is not None and start_ns > end_ns:
        raise ValueError(f"start_ns must not be after end_ns: start_ns={start_ns}, end_ns={end_ns}")


def check_symbol(dtype: np.dtype[np.void], symbol_id: int | None) -> None:
    """Refuse a symbol that no record can have."""
    if symbol_id is not None:
        if "symbol_id" not in (dtype.names or ()):
            raise ValueError(f"the records have no symbol_id: dtype={dtype}")
        if not 0 <= symbol_id <= 0xFFFFFFFF:
            raise ValueError(f"symbol_id must be in 0..{0xFFFFFFFF}: symbol_id={symbol_id}")


def bounds(start_ns: int | None, end_ns: int | None, signed: bool) -> tuple[int | None, int | None] | None:
    """Return the range in the numbers of a time field; None where it lies outside of them.

    A bound that every time satisfies becomes None.
    """
    least, greatest = (-(1 << 63), (1 << 63) - 1) if signed else (0, (1 << 64) - 1)
    start = None if start_ns is None or start_ns <= least else int(start_ns)
    end = None if end_ns is None or end_ns > greatest else int(end_ns)
    if (start is not None and start > greatest) or (end is not None and end <= least):
        return None
    return start, end


def inside(times: npt.NDArray[Any], start: int | None, end: int | None) -> npt.NDArray[np.bool_]:
    """Return a mask of the times in ``[start, end)``."""
    mask = np.ones(len(times), bool)
    if start is not None:
        mask &= times >= start
    if end is not None:
        mask &= times < end
    return mask


class TimeIndex:
    """How far the times of a store are in order; where they are not, least and greatest time of each full block.

    Every process makes its own.

    **Thread safety**: one thread.
    """

    def __init__(self, block_records: int) -> None:
        self.block_records = block_records
        self.checked = 0
        self.ordered = True
        self.least: npt.NDArray[Any] | None = None
        self.greatest: npt.NDArray[Any] | None = None

    def candidates(self, times: npt.NDArray[Any], start: int | None, end: int | None) -> tuple[int, int]:
        """Return the range of records outside which no time is in ``[start, end)``."""
        n, size = len(times), self.block_records
        if self.least is None or self.greatest is None:
            self.least = self.greatest = np.zeros(0, times.dtype)
        done = len(self.least)
        if n // size > done:
            blocks = times[done * size : n // size * size].reshape(-1, size)
            self.least = np.concatenate([self.least, blocks.min(axis=1)])
            self.greatest = np.concatenate([self.greatest, blocks.max(axis=1)])
            done = n // size
        mask = np.ones(done, bool)
        if start is not None:
            mask &= self.greatest >= start
        if end is not None:
            mask &= self.least < end
        hit = np.flatnonzero(mask)
        # The open block is always looked at.
        first = int(hit[0]) * size if len(hit) else done * size
        last = n if n > done * size or not len(hit) else (int(hit[-1]) + 1) * size
        return first, last
