"""Plain-Python twin of ``fastcore.correlation``: the matrix is computed anew, with exact sums, when it is asked for."""

import math
import operator
from collections import deque
from typing import Any

import numpy as np
import numpy.typing as npt

from fastcore.errors import range_error

from .zscore import Doubles, _check_window, _doubles

CORRELATION_LIMIT = 1e100  # beyond it squares overflow


def _check_series(series: Any, name: str) -> int:
    value = operator.index(series)
    if not 2 <= value <= 30_000:
        raise range_error(name, value, 2, 30_000)
    return value


class RollingCorrelation:
    """Correlation matrix of many series over the newest `window` rows, computed anew when it is asked for."""

    def __init__(self, series: int, window: int) -> None:
        self.window = _check_window(window)
        self.series = _check_series(series, "series")
        self._rows: deque[list[float]] = deque(maxlen=self.window)
        self.count = 0

    @property
    def rebuilds(self) -> int:
        """Zero: there are no sums to rebuild."""
        return 0

    def reset(self) -> None:
        """Forget every row."""
        self._rows.clear()
        self.count = 0

    def update(self, x: npt.ArrayLike) -> None:
        """Take one row of values in."""
        row = _doubles(x, "x")
        if row.size != self.series:
            raise ValueError(f"x must hold one value per series: size={row.size}, series={self.series}")
        self._rows.append(row.tolist())
        self.count += 1

    def update_many(self, x: npt.ArrayLike) -> None:
        """Take many rows in."""
        rows = _doubles(x, "x", 2)
        if rows.shape[1] != self.series:
            raise ValueError(f"x must hold one column per series: columns={rows.shape[1]}, series={self.series}")
        for row in rows:
            self.update(row)

    def correlation(self, i: int, j: int) -> float:
        """Return the correlation of two series; NaN where it does not exist."""
        for index in (i, j):
            if not 0 <= index < self.series:
                raise IndexError(f"series must be in 0..{self.series - 1}: series={index}")
        if self.count < self.window:
            return math.nan
        deviations = []
        for index in sorted((i, j)):
            values = [row[index] for row in self._rows]
            if not all(abs(v) < CORRELATION_LIMIT for v in values):
                return math.nan
            about = [v - values[-1] for v in values]
            center = math.fsum(about) / self.window
            deviations.append([a - center for a in about] if any(about) else [0.0] * self.window)
        a, b = deviations
        squares = math.fsum(v * v for v in a), math.fsum(v * v for v in b)
        if squares[0] == 0.0 or squares[1] == 0.0:
            return math.nan
        if i == j:
            return 1.0
        r = math.fsum(v * w for v, w in zip(a, b, strict=True)) / math.sqrt(squares[0]) / math.sqrt(squares[1])
        return max(-1.0, min(1.0, r))

    def matrix(self, out: Doubles | None = None) -> Doubles:
        """Return the correlation matrix."""
        n = self.series
        if out is None:
            out = np.empty((n, n))
        elif not isinstance(out, np.ndarray) or out.dtype != np.float64 or out.ndim != 2 or not out.flags.carray:
            raise ValueError("out must be a writable, C-contiguous, two-dimensional float64 array")
        elif out.shape != (n, n):
            raise ValueError(f"out must have a row and a column per series: shape={out.shape}, series={n}")
        for i in range(n):
            for j in range(i + 1):
                out[i, j] = out[j, i] = self.correlation(i, j)
        return out

    def mean_correlations(self) -> Doubles:
        """Return the mean correlation of every series with the others, over those that exist."""
        means = []
        for i, row in enumerate(self.matrix().tolist()):
            others = [r for j, r in enumerate(row) if j != i and not math.isnan(r)]
            means.append(math.fsum(others) / len(others) if others else math.nan)
        return np.array(means)
