"""CSV files of quotes, trades, bars or order messages as event arrays, with column mapping."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ._columns import decimal_type
from ._csv_blocks import csv_blocks, first_rows
from ._files import extra, pieces, text_head, zip_names
from ._roles import headless_roles, is_table
from .tabular import TableFeed

__all__ = ["CsvFeed"]

_NUMBER = re.compile(rb"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$")


class CsvFeed(TableFeed):
    """A CSV file, plain, gzip, Zstandard, or alone in a ZIP archive.

    Parameters
    ----------
    path, kind, columns, ...
        As in `TableFeed`.
    header : bool, optional
        Whether the first line has names; by default whether its first field is no number.
    delimiter : str, optional
        By default the first of ``, ; tab |`` in the first line.
    member : str, optional
        The file within an archive of several.
    layouts : mapping of str to sequence of str, optional
        Of order messages whose rows have other fields than the header says: the roles of the fields by value of the action,
        for example ``{"R": ("action", "time", "id", "size")}``.

    Raises
    ------
    ValueError
        If an option is wrong, or the columns do not say what they are.
    CorruptDataError
        After everything whole, when a compressed file is cut or damaged. A file without rows has no events and is no error.
    """

    format = "csv"

    def __init__(
        self, path: str | os.PathLike[str], *, header: bool | None = None, delimiter: str | None = None, member: str | None = None,
        layouts: Mapping[str, Sequence[str]] | None = None, **options: Any,
    ) -> None:  # fmt: skip
        self._header, self._delimiter, self._member = header, delimiter, member
        self._layouts = dict(layouts or {})
        super().__init__(path, **options)

    def _prepare(self) -> None:
        extra("pyarrow")
        head = text_head(self.path, self._member)
        found, rows = first_rows(head)
        if self._delimiter is None:
            self._delimiter = found or ","
        elif self._delimiter != found:
            rows = [[f.strip().strip(b'"') for f in line.split(self._delimiter.encode())] for line in head.split(b"\n")[:50] if line.strip()]
        if not rows:
            self._names: list[str] = []
            return
        if self._header is None:
            self._header = not _NUMBER.match(rows[0][0]) and not rows[0][0][:1].isdigit()
        data = rows[1:] if self._header else rows
        if self._header:
            names = [field.decode("utf-8", "replace").removeprefix("\ufeff") for field in rows[0]]
        else:
            width = max(map(len, rows))
            headless = headless_roles(self.kind, width)
            names = [str(i) for i in range(width)]
            given = set(self._columns.values())
            self._columns = {**{role: i for i, role in enumerate(headless) if i not in given}, **self._columns}
        # A second column of a name is a column too.
        seen: dict[str, int] = {}
        for i, name in enumerate(names):
            seen[name] = seen.get(name, 0) + 1
            if seen[name] > 1:
                names[i] = f"{name}.{seen[name]}"
        self._names = names
        self._ragged = bool(self._layouts) or any(len(row) < len(names) for row in data)
        self._settle(names)
        known = {"action", *self._roles}
        for action, roles in self._layouts.items():
            if "action" not in self._roles or not set(roles) <= known or len(roles) > len(names):
                raise ValueError(f"layouts must be roles of the file by action: {action}={tuple(roles)} roles={sorted(known)}")
        self._first = data[0] if data else []

    def _types(self) -> dict[str, Any]:
        pa = extra("pyarrow")
        types: dict[str, Any] = {}
        for role, at in self._roles.items():
            name = self._names[at]
            field = self._first[at] if at < len(self._first) else b""
            if role in ("time", "local_time"):
                if re.fullmatch(rb"\d+", field):
                    types[name] = pa.int64()
                elif re.fullmatch(rb"\d+\.\d{0,9}", field):
                    types[name] = decimal_type(field.decode())
                elif re.search(rb"(Z|[-+]\d\d:?\d\d)$", field) and b":" in field:
                    types[name] = pa.timestamp("ns", "UTC")
                else:
                    types[name] = pa.timestamp("ns")
            elif role in ("symbol", "side", "action"):
                types[name] = pa.string()
            elif role in ("id", "new_id", "seq", "count"):
                types[name] = pa.int64()
            else:
                types[name] = pa.float64()
        return types

    def _batches(self) -> Iterator[tuple[Any, npt.NDArray[np.int64]]]:
        if not self._names:
            for _ in pieces(self.path, member=self._member, progress=self._progress):
                pass  # a file without a line is empty, or damaged, which reading it shows
            return
        types = self._types()
        wanted = [name for name in self._names if name in types]
        if not self._ragged:
            self._roles = {role: wanted.index(self._names[at]) for role, at in self._roles.items()}
        for table, rows in csv_blocks(
            self.path, self._names, types, member=self._member, delimiter=self._delimiter or ",", skip_lines=int(bool(self._header)),
            progress=self._progress, ragged=self._ragged, wrong=lambda rows, texts: self._skip("a row must have all its fields", rows, texts),
        ):  # fmt: skip
            yield self._rearranged(table) if self._layouts else table, rows

    def _rearranged(self, table: Any) -> Any:
        """Fields of rows with a layout of their own, moved to the columns of their roles."""
        pa, pc = extra("pyarrow"), extra("pyarrow.compute")
        columns = list(table.columns)
        for action, roles in self._layouts.items():
            those = pc.fill_null(pc.equal(table.column(self._roles["action"]), action), False)
            for role, at in self._roles.items():
                other = table.column(list(roles).index(role)) if role in roles else pa.scalar(None, pa.string())
                columns[at] = pc.if_else(those, other, columns[at])
        return pa.table(columns, table.schema.names)

    @classmethod
    def recognise(cls, head: bytes, path: Path) -> bool:
        """Rows of a table whose columns have known names, or whose name ends like one."""
        if head[:4] == b"PK\x03\x04":
            names = zip_names(path)
            return len(names) == 1 and bool(first_rows(text_head(path))[1])
        delimiter, rows = first_rows(head)
        if not rows:
            return path.suffix.lower() in (".csv", ".tsv") and not head
        if re.search(r"\.(csv|tsv|txt)(\.|$)", path.name.lower()):
            return True
        return is_table(field.decode("latin-1") for field in rows[0])
