"""Tables of a result: columns by name, handed over to whatever library people use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Table"]

SHOWN = 10


class Table(Mapping[str, npt.NDArray[Any]]):
    """Columns of one length.

    Parameters
    ----------
    columns : mapping of str to ndarray

    Notes
    -----
    ``table["price"]`` is a column, ``table.rows`` how many rows there are; ``len(table)`` is the number of columns, as of any mapping.
    """

    def __init__(self, columns: Mapping[str, npt.ArrayLike]) -> None:
        self._columns = {name: np.asarray(values) for name, values in columns.items()}
        lengths = {len(values) for values in self._columns.values()}
        if len(lengths) > 1:
            raise ValueError(f"columns must be of one length: lengths={sorted(lengths)}")
        self.rows = lengths.pop() if lengths else 0

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        return self._columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def to_pandas(self) -> Any:
        """Return a ``pandas.DataFrame``."""
        import pandas

        return pandas.DataFrame(self._columns)

    def to_polars(self) -> Any:
        """Return a ``polars.DataFrame``."""
        import polars

        return polars.DataFrame(self._columns)

    def to_arrow(self) -> Any:
        """Return a ``pyarrow.Table``."""
        import pyarrow

        return pyarrow.table(self._columns)

    def __repr__(self) -> str:
        cells = [list(self._columns)]
        cells += [[_text(values[i]) for values in self._columns.values()] for i in range(min(self.rows, SHOWN))]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]
        more = [f"... {self.rows:,} rows"] if self.rows > SHOWN else []
        return "\n".join([*lines, *more])


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, (float, np.floating)) else str(value)
