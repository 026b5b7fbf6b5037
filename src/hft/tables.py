"""Tables of a result: columns by name, handed over to whatever library people use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
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
        return _library("pandas", "pandas").DataFrame(self._columns)

    def to_polars(self) -> Any:
        """Return a ``polars.DataFrame``."""
        return _library("polars", "polars").DataFrame(self._columns)

    def to_arrow(self) -> Any:
        """Return a ``pyarrow.Table``."""
        return _library("pyarrow", "hft-fastcore[feeds]").table(self._columns)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Hand the table over to whatever reads Arrow: polars, DuckDB, pandas and others take it as it is."""
        return self.to_arrow().__arrow_c_stream__(requested_schema)

    def _cells(self) -> list[list[str]]:
        """Names, then the first rows as text."""
        return [list(self._columns), *([_text(column[i]) for column in self._columns.values()] for i in range(min(self.rows, SHOWN)))]

    def __repr__(self) -> str:
        cells = self._cells()
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]
        more = [f"... {self.rows:,} rows"] if self.rows > SHOWN else []
        return "\n".join([*lines, *more])

    def _repr_html_(self) -> str:
        names, *rows = self._cells()
        head, body = _tagged([names], "th"), _tagged(rows, "td")
        more = f"<p>{self.rows:,} rows</p>" if self.rows > SHOWN else ""
        return f"<table><thead>{head}</thead><tbody>{body}</tbody></table>{more}"


def _tagged(rows: list[list[str]], tag: str) -> str:
    """Rows of HTML."""
    from html import escape

    return "".join("<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in row) + "</tr>" for row in rows)


def _library(name: str, package: str) -> Any:
    """An optional library, named in the error where it is missing."""
    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(f"this needs {name} (pip install '{package}')") from error


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, (float, np.floating)) else str(value)
