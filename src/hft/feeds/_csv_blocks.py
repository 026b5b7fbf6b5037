"""CSV text as Arrow tables, block by block, whatever is wrong with some of its rows."""

from __future__ import annotations

import csv as text_csv
import io
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fastcore.wire.decimals import plain_columns

from ._ahead import ahead
from ._files import extra, lines, text_pieces
from .feed import Progress

__all__ = ["csv_blocks", "fields_of", "whole_lines"]

# Between thousands, as some systems write them.
_MARKS = tuple((mark.encode(), plain) for mark, plain in (("\u00a0", b" "), ("\u202f", b" "), ("\u2019", b"'")))
_Skipped = list[tuple[int, str]]


def fields_of(line: str, delimiter: str) -> list[str]:
    """Fields of one line; quotes that make no sense are text."""
    try:
        return next(text_csv.reader([line], delimiter=delimiter), [])
    except text_csv.Error:
        return line.split(delimiter)


def whole_lines(
    path: Path, skip_lines: int, *, member: str | None = None, progress: Progress | None = None, block_bytes: int = 1 << 20
) -> Generator[bytes, None, None]:
    """Iterate over a text in blocks of whole lines, those behind the first `skip_lines`."""
    for block in lines(text_pieces(path, member=member, progress=progress), block_bytes):
        while skip_lines and block:
            cut = block.find(b"\n") + 1 or len(block)
            block, skip_lines = block[cut:], skip_lines - 1
        if not block.isascii():
            for mark, plain in _MARKS:
                block = block.replace(mark, plain)
        if block.strip(b"\r\n"):  # lines without anything are no rows
            yield block


def csv_blocks(
    path: Path, names: Sequence[str], types: Mapping[str, Any], *, member: str | None = None, delimiter: str = ",",
    skip_lines: int = 0, progress: Progress | None = None, ragged: bool = False, block_bytes: int = 1 << 20,
    wrong: Any = None, point: str = ".",
) -> Generator[tuple[Any, npt.NDArray[np.int64]], None, None]:  # fmt: skip
    """Parse a CSV file block by block, on a thread that is some blocks ahead.

    Parameters
    ----------
    names, types
        Columns of the file, and the Arrow type of those that are wanted. A block with a value that its type cannot hold comes
        with text columns instead.
    wrong : callable(rows, texts)
        Told the rows with too many or too few fields; they are left out. Lines without anything are no rows.
    ragged : bool
        Rows may have fewer fields than columns: what lacks is null.
    point : str
        Before decimals.

    Yields
    ------
    (Table, ndarray)
        And the number of each row in the file, the first behind `skip_lines` being 0.
    """
    told: list[tuple[int, int]] = []  # progress as the thread makes it; said by the one that uses the tables
    blocks = whole_lines(path, skip_lines, member=member, progress=lambda *so_far: told.append(so_far), block_bytes=block_bytes)
    forms = _forms(names, types) if delimiter != point else ""
    parsed = (
        _ragged(block, names, delimiter) if ragged else _parse(block, names, types, delimiter, point, forms) for block in blocks
    )
    done = 0
    with closing(blocks), closing(ahead(parsed, 2)) as tables:  # both: an error that somebody keeps has this frame, and `blocks` in it
        for table, skipped in tables:
            total = len(table) + len(skipped)
            rows = np.arange(done, done + total)
            if skipped:
                at = np.array([row for row, _ in skipped])
                rows = np.delete(rows, at)
                unfit = [(done + row, text) for row, text in skipped if text]
                if wrong is not None and unfit:
                    wrong([row for row, _ in unfit], [text for _, text in unfit])
            done += total
            if len(table):
                yield table, rows
            while told and progress is not None:
                progress(*told.pop(0))


def _forms(names: Sequence[str], types: Mapping[str, Any]) -> str:
    """How `plain_columns` reads columns of these types, "" where it does not read one of them."""
    pa = extra("pyarrow")
    letters = {None: "-", pa.int64(): "i", pa.float64(): "f", pa.dictionary(pa.int32(), pa.string()): "w"}
    found = [letters.get(types.get(name), "") for name in names]
    return "".join(found) if all(found) else ""


def _parse(
    block: bytes, names: Sequence[str], types: Mapping[str, Any], delimiter: str, point: str, forms: str
) -> tuple[Any, _Skipped]:  # fmt: skip
    pa, csv = extra("pyarrow"), extra("pyarrow.csv")
    if forms and (columns := plain_columns(block, forms, delimiter, point)) is not None:
        arrays = [
            pa.DictionaryArray.from_arrays(c[0], pa.array(c[1], pa.string())) if isinstance(c, tuple) else pa.array(c)
            for c in columns
        ]
        return pa.table(arrays, [name for name in names if name in types]), []
    skipped: _Skipped = []

    def unfit(row: Any) -> str:  # called for a malformed row alone
        skipped.append((row.number - 1, row.text.strip() and f"fields={row.actual_columns} expected={row.expected_columns}"))
        return "skip"

    if not block.isascii():
        block = block.decode("utf-8", "replace").encode()  # bytes that are no text are one malformed value, not the end
    read = csv.ReadOptions(column_names=list(names), use_threads=False, block_size=len(block) + 1)
    parse = csv.ParseOptions(delimiter=delimiter, invalid_row_handler=unfit)
    # An empty field is missing; "nan" is a number that is none.
    common = {
        "null_values": [""], "strings_can_be_null": True, "include_columns": [n for n in names if n in types], "decimal_point": point,
    }  # fmt: skip
    try:
        table = csv.read_csv(io.BytesIO(block), read, parse, csv.ConvertOptions(column_types=dict(types), **common))
    except pa.ArrowInvalid:
        skipped.clear()
        text = dict.fromkeys(types, pa.string())
        table = csv.read_csv(io.BytesIO(block), read, parse, csv.ConvertOptions(column_types=text, **common))
    return table, skipped


def _ragged(block: bytes, names: Sequence[str], delimiter: str) -> tuple[Any, _Skipped]:
    """Rows of any number of fields: one list of fields for each, then column by column."""
    pa, pc = extra("pyarrow"), extra("pyarrow.compute")
    rows_of_text = [line for line in block.decode("utf-8", "replace").replace("\r\n", "\n").split("\n") if line]
    if b'"' in block:
        rows = pa.array([fields_of(line, delimiter) for line in rows_of_text], pa.list_(pa.string()))
    else:
        rows = pc.split_pattern(pa.array(rows_of_text, pa.string()), delimiter)
    starts = rows.offsets.to_numpy()
    fields = rows.flatten()
    counts = np.diff(starts)
    too_many = np.flatnonzero(counts > len(names))
    skipped = [(int(i), f"fields={counts[i]} expected={len(names)}") for i in too_many]
    keep = np.flatnonzero(counts <= len(names))
    columns = {}
    for i, name in enumerate(names):
        at = pa.array(np.where(counts[keep] > i, starts[:-1][keep] + i, 0), mask=counts[keep] <= i)
        column = fields.take(at)
        columns[name] = pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)
    return pa.table(columns), skipped
