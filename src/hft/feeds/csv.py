"""CSV files of quotes, trades, bars, order messages or levels as event arrays, with column mapping."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fastcore.wire.decimals import Decimals

from ._ahead import ahead
from ._columns import decimal_type
from ._csv_blocks import csv_blocks, whole_lines
from ._dialect import dialect_of, first_rows, headless_roles, marks_of
from ._files import as_text, extra, pieces, text_head, zip_names
from ._roles import BUYER_IS_MAKER, is_table
from ._scale import MAX_PLACES
from .feed import FormatError, Progress
from .tabular import TableFeed

__all__ = ["CsvFeed"]

_WORDS = ("symbol", "side", "action", "snapshot")  # of which there are few
_TEXT = ("date",)
_WHOLE = ("id", "new_id", "seq", "count", "publisher")


class CsvFeed(TableFeed):
    """A CSV file in UTF-8 or UTF-16, plain, gzip, Zstandard, xz, bzip2, or in a ZIP archive.

    Parameters
    ----------
    path, kind, columns, ...
        As in `TableFeed`.
    header : bool, optional
        Whether a line has names; by default whether one of the first lines has those of a table, or the first one no number.
    delimiter : str, optional
        By default the one of tab ``; | ,`` by which most of the first lines have as many fields.
    member : str, optional
        The file within an archive of several.
    layouts : mapping of str to sequence of str, optional
        Of order messages whose rows have other fields than the header says: the roles of the fields by value of the action,
        for example ``{"R": ("action", "time", "id", "size")}``.
    decimal, thousands : str, optional
        The mark before decimals, and the one between thousands ("" for none); by default what the first rows show. A number with
        one point and no comma has decimals: ``1.234`` is less than 2.

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
        layouts: Mapping[str, Sequence[str]] | None = None, decimal: str | None = None, thousands: str | None = None, **options: Any,
    ) -> None:  # fmt: skip
        if delimiter is not None and (not isinstance(delimiter, str) or len(delimiter) != 1 or not delimiter.isascii()):
            raise ValueError(f"delimiter must be one ASCII character: delimiter={delimiter!r}")
        if header is not None and not isinstance(header, bool):
            raise ValueError(f"header must be true or false: header={header!r}")
        if member is not None and not isinstance(member, str):
            raise ValueError(f"member must be the name of a file in an archive: member={member!r}")
        if decimal not in (None, ".", ","):
            raise ValueError(f"decimal must be . or ,: decimal={decimal!r}")
        if thousands not in (None, "", ".", ",", " ", "'") or (thousands and thousands == decimal):
            raise ValueError(f"thousands must be nothing or one of . , ' and space, and not the mark of decimals: thousands={thousands!r}")
        if layouts is not None and not isinstance(layouts, Mapping):
            raise ValueError(f"layouts must be a mapping of action to roles: layouts={layouts!r}")
        self._header, self._delimiter, self._member = header, delimiter, member
        self._written = decimal, thousands
        self._layouts = dict(layouts or {})
        super().__init__(path, **options)

    def _prepare(self) -> None:
        extra("pyarrow")
        wanted = [name for name in self._columns.values() if isinstance(name, str)]
        found = dialect_of(text_head(self.path, self._member), self._delimiter, self._header, wanted)
        if found is None:
            self._names: list[str] = []
            return
        self._delimiter, self._skip_lines, rows = found.delimiter, found.skip, found.rows
        width = max(map(len, rows), default=0)
        if found.names is None:
            names = [str(i) for i in range(width)]
            given = [role for role, column in self._columns.items() if column is not None]
            if not given or self.kind is not None and not {"time"} <= set(given):
                taken = set(self._columns.values())
                headless = headless_roles(self.kind, rows, self.path)
                if "side" in headless:
                    names[headless["side"]] = BUYER_IS_MAKER[0]
                self._columns = {**{role: i for role, i in headless.items() if i not in taken}, **self._columns}
        else:
            names = list(found.names)
            if rows and all(len(row) == len(names) + 1 and not row[-1] for row in rows):
                names.append("")  # a delimiter at the end of each row
        # A second column of a name is a column too.
        seen: dict[str, int] = {}
        for i, name in enumerate(names):
            seen[name] = seen.get(name, 0) + 1
            if seen[name] > 1:
                names[i] = f"{name}.{seen[name]}"
        self._names = names
        self._ragged = bool(self._layouts) or any(len(row) < len(names) for row in rows)
        self._settle(names, rows)
        numbers = [name for role, name in self._column_names.items() if self._scaled(role) and self._columns.get(role) is None]
        twice = [name for name in numbers if seen.get(name, 0) > 1]
        if twice:
            raise FormatError(f"columns must have names of their own, or columns must say which is read: twice={twice} path={self.path}")
        known = {"action", *self._roles}
        for action, roles in self._layouts.items():
            if "action" not in self._roles or not set(roles) <= known or len(roles) > len(names):
                raise ValueError(f"layouts must be roles of the file by action: {action}={tuple(roles)} roles={sorted(known)}")
        self._rows = rows
        point, group = self._written
        if point is None or group is None:
            cells = (row[at] for row in rows for role, at in self._roles.items() if self._scaled(role) and at < len(row))
            point, group = marks_of(cells, point, group, self.path)
        self._marks = self._marks._replace(point=point, group=group)

    def _types(self) -> dict[str, Any]:
        pa = extra("pyarrow")
        types: dict[str, Any] = {}
        for role, at in self._roles.items():
            cell = next((row[at] for row in self._rows if at < len(row) and row[at]), "")
            if role in _WORDS:
                kind = pa.dictionary(pa.int32(), pa.string())
            elif role in _TEXT:
                kind = pa.string()
            elif role in ("time", "local_time"):
                kind = pa.string() if self._time_format or ("date" in self._roles and not self._time_unit) else _time_type(cell)
            elif role in _WHOLE:
                kind = pa.int64()
            else:
                kind = pa.string() if self._marks.group else pa.float64()
            types[self._names[at]] = kind
        types |= {self._names[at]: pa.string() for at in self._only}
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
            self._only = {wanted.index(self._names[at]): words for at, words in self._only.items()}
        yield from self._blocks(types, self._progress, lambda rows, texts: self._skip("a row must have all its fields", rows, texts))

    def _blocks(self, types: dict[str, Any], progress: Progress | None, wrong: Any) -> Iterator[tuple[Any, npt.NDArray[np.int64]]]:
        for table, rows in csv_blocks(
            self.path, self._names, types, member=self._member, delimiter=self._delimiter or ",", skip_lines=self._skip_lines,
            progress=progress, ragged=self._ragged, point=self._marks.point, wrong=wrong,
        ):  # fmt: skip
            yield self._rearranged(table) if self._layouts else table, rows

    def _again(self, names: Sequence[str]) -> Iterator[Any]:
        return (table.select(list(names)) for table, _ in self._blocks(self._types(), None, None))

    def _find_places(self, places: dict[str, int]) -> None:
        if self._layouts:
            super()._find_places(places)
            return
        # The text says it exactly: a pass over the file, in which no number is made of it.
        columns = {role: self._names.index(self._column_names[role]) for role in places}
        scan = Decimals(len(self._names), columns.values(), self._delimiter or ",", self._marks.point, self._marks.group, MAX_PLACES)
        try:
            with closing(ahead(whole_lines(self.path, self._skip_lines, member=self._member), 2)) as blocks:
                for block in blocks:
                    scan.add(block)
        finally:
            for role, at in columns.items():
                more = self._marks.price_places if self._scaled(role) == "tick_size" else 0
                places[role] = max(places[role], scan.places[at] + more)

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
            return any(re.search(r"\.(csv|tsv)$", name.lower()) for name in names) or (len(names) == 1 and bool(first_rows(text_head(path))))
        rows = first_rows(as_text(head))
        if not rows:
            return path.suffix.lower() in (".csv", ".tsv") and not head
        if re.search(r"\.(csv|tsv|txt)(\.|$)", path.name.lower()):
            return True
        return any(is_table(row) for row in rows[:30])


def _time_type(cell: str) -> Any:
    """What times like this one are read as at once; others are looked at as text."""
    pa = extra("pyarrow")
    if re.fullmatch(r"\d{9,18}|[1-8]\d{18}|[1-9]\d{0,8}", cell):
        return pa.int64()
    if re.fullmatch(r"\d+\.\d{0,9}", cell):
        return decimal_type(cell)
    if re.fullmatch(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d.*)?", cell):
        return pa.timestamp("ns", "UTC") if re.search(r":.*(Z|[-+]\d\d:?\d\d)$", cell) else pa.timestamp("ns")
    return pa.string()
