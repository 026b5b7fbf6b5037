"""CSV text as Arrow tables, block by block, whatever is wrong with some of its rows."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ._files import extra, lines, pieces
from .feed import Progress

__all__ = ["csv_blocks", "first_rows"]


def csv_blocks(
    path: Path, names: Sequence[str], types: Mapping[str, Any], *, member: str | None = None, delimiter: str = ",",
    skip_lines: int = 0, progress: Progress | None = None, ragged: bool = False, block_bytes: int = 1 << 20,
    wrong: Any = None,
) -> Iterator[tuple[Any, npt.NDArray[np.int64]]]:  # fmt: skip
    """Parse a CSV file block by block.

    Parameters
    ----------
    names, types
        Columns of the file, and the Arrow type of those that are wanted. A block with a value that its type cannot hold comes
        with text columns instead.
    wrong : callable(rows, texts)
        Told the rows with too many or too few fields; they are left out.
    ragged : bool
        Rows may have fewer fields than columns: what lacks is null.

    Yields
    ------
    (Table, ndarray)
        And the number of each row in the file, the first behind `skip_lines` being 0.
    """
    pa, csv, pc = extra("pyarrow"), extra("pyarrow.csv"), extra("pyarrow.compute")
    done = 0
    for block in lines(pieces(path, member=member, progress=progress), block_bytes):
        if skip_lines:
            while skip_lines and block:
                cut = block.find(b"\n") + 1 or len(block)
                block, skip_lines = block[cut:], skip_lines - 1
            if not block:
                continue
        if ragged:
            table, skipped = _ragged(block, names, delimiter, pa, pc)
        else:
            table, skipped = _parse(block, names, types, delimiter, pa, csv)
        total = len(table) + len(skipped)
        rows = np.arange(done, done + total)
        if skipped:
            at = np.array([row for row, _ in skipped])
            rows = np.delete(rows, at)
            if wrong is not None:
                wrong(done + at, [text for _, text in skipped])
        done += total
        if len(table):
            yield table, rows


def _parse(
    block: bytes, names: Sequence[str], types: Mapping[str, Any], delimiter: str, pa: Any, csv: Any
) -> tuple[Any, list[tuple[int, str]]]:
    skipped: list[tuple[int, str]] = []

    def unfit(row: Any) -> str:  # called for a malformed row alone
        skipped.append((row.number - 1, f"fields={row.actual_columns} expected={row.expected_columns}"))
        return "skip"

    if not block.isascii():
        block = block.decode("utf-8", "replace").encode()  # bytes that are no text are one malformed value, not the end
    read = csv.ReadOptions(column_names=list(names), use_threads=False, block_size=len(block) + 1)
    parse = csv.ParseOptions(delimiter=delimiter, invalid_row_handler=unfit, ignore_empty_lines=False)
    # An empty field is missing; "nan" is a number that is none.
    common = {"null_values": [""], "strings_can_be_null": True, "include_columns": [n for n in names if n in types]}
    try:
        table = csv.read_csv(io.BytesIO(block), read, parse, csv.ConvertOptions(column_types=dict(types), **common))
    except pa.ArrowInvalid:
        skipped.clear()
        text = dict.fromkeys(types, pa.string())
        table = csv.read_csv(io.BytesIO(block), read, parse, csv.ConvertOptions(column_types=text, **common))
    return table, skipped


def _ragged(block: bytes, names: Sequence[str], delimiter: str, pa: Any, pc: Any) -> tuple[Any, list[tuple[int, str]]]:
    """Rows of any number of fields: one list of fields for each, then column by column."""
    text = block.replace(b"\r\n", b"\n").rstrip(b"\n").decode("utf-8", "replace")
    rows = pc.split_pattern(pc.list_flatten(pc.split_pattern(pa.array([text]), "\n")), delimiter)
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


def first_rows(head: bytes) -> tuple[str, list[list[bytes]]]:
    """Delimiter, and the fields of the first lines of a text; ("", []) where it is no table."""
    if not head or b"\0" in head or b"{" in head[:4096]:
        return "", []
    text = head[: head.rfind(b"\n") + 1] or head
    first = [line for line in text.split(b"\n")[:50] if line.strip()]
    for delimiter in (b",", b";", b"\t", b"|"):
        if first and delimiter in first[0]:
            return delimiter.decode(), [[f.strip().strip(b'"') for f in line.split(delimiter)] for line in first]
    return "", []
