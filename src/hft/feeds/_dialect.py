"""How a text table is written: delimiter, lines before the rows, names of columns, decimal comma and marks of thousands.

All of it is told from the first lines; what two countries would read differently is not guessed but asked for.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from ._csv_blocks import fields_of
from ._roles import Kind, is_table
from .feed import FormatError

__all__ = ["Dialect", "dialect_of", "first_rows", "headless_roles", "marks_of"]

_LINES = 60
_DELIMITERS = ("\t", ";", "|", ",")  # a decimal comma is as regular as a comma between fields: the others go first
_NUMBER = re.compile(r"[-+]?(\d[\d.,'\u00a0\u202f\u2019 ]*|\.\d+)([eE][-+]?\d+)?")
_DATA = re.compile(r"[-+]?[\d.]*\d[\d.,:'/ +TDZ-]*")  # a number, or a time in digits


class Dialect(NamedTuple):
    """How one text table is written."""

    delimiter: str
    names: list[str] | None  # None: no line has them
    skip: int  # lines before the first row
    rows: list[list[str]]  # the first ones


def _fields(lines: Sequence[str], delimiter: str) -> list[list[str]]:
    return [[cell.strip() for cell in fields_of(line, delimiter)] for line in lines]


def _width(rows: Sequence[Sequence[str]]) -> tuple[int, float]:
    """Fields that most lines have, and how many of the lines have so many."""
    counts = Counter(len(row) for row in rows if row)
    width, lines = max(counts.items(), key=lambda item: (item[0] > 1, item[1], item[0]), default=(0, 0))
    return width, lines / max(len(rows), 1) if width > 1 else 0.0


def dialect_of(head: bytes, delimiter: str | None = None, header: bool | None = None, names: Iterable[str] = ()) -> Dialect | None:
    """Return how a text table is written, None where it has no lines.

    Parameters
    ----------
    head : bytes
        UTF-8.
    delimiter, header
        Where they are known.
    names : iterable of str
        Columns that the line of names must have.
    """
    text = head[: head.rfind(b"\n") + 1] or head
    lines = text.decode("utf-8", "replace").replace("\0", "").split("\n")[:_LINES]
    filled = [i for i, line in enumerate(lines) if line.strip()]
    if not filled:
        return None
    if delimiter is None:
        best = {mark: _width(_fields([lines[i] for i in filled], mark))[1] for mark in _DELIMITERS}
        delimiter = max(_DELIMITERS, key=lambda mark: best[mark])  # of equals the first
        if not best[delimiter]:
            delimiter = ","
    rows = _fields([lines[i].rstrip("\r") for i in filled], delimiter)
    width, _ = _width(rows)
    wanted = set(names)
    first = next((i for i, row in enumerate(rows[:30]) if is_table(row) or (wanted and wanted <= set(row))), None)
    if header is False or (first is None and header is None):
        first = next((i for i, row in enumerate(rows) if len(row) >= width), 0)
        if header is False or any(_DATA.fullmatch(cell) for cell in rows[first]):
            return Dialect(delimiter, None, filled[first], rows[first:])
    elif first is None:
        first = next((i for i, row in enumerate(rows) if len(row) >= width), 0)
    return Dialect(delimiter, rows[first], filled[first] + 1, rows[first + 1 :])


def first_rows(head: bytes) -> list[list[str]]:
    """Return the first rows of a text that looks like a table, the names among them; [] where it does not."""
    if not head or b"\0" in head or b"{" in head[:4096]:
        return []
    found = dialect_of(head)
    if found is None:
        return []
    rows = found.rows if found.names is None else [found.names, *found.rows]
    return rows if _width(rows)[1] > 0.5 or is_table(rows[0]) else []


def marks_of(cells: Iterable[str], point: str | None, group: str | None, path: Path) -> tuple[str, str]:
    """Return the mark before decimals and the one between thousands ("" without any) of numbers; those that are known stay."""
    cells = [cell.replace("\u00a0", " ").replace("\u202f", " ").replace("\u2019", "'") for cell in cells if _NUMBER.fullmatch(cell)]
    space = next((mark for mark in " '" if any(mark in cell for cell in cells)), "")
    ticked = [cell for cell in cells if "'" in cell] if group is None else []
    if ticked and all(re.fullmatch(r"[-+]?\d{1,3}'([0-2]\d|3[01])[0257]?", cell) for cell in ticked):
        rule = "may be in 32nds, which are not read, or in thousands: write prices as decimals, or give the option thousands"
        raise FormatError(f"a number like {ticked[0]} {rule}: path={path}")
    if point is not None:
        return point, next((mark for mark in ".," if mark != point and any(mark in cell for cell in cells)), space)
    commas, points = ([cell for cell in cells if mark in cell] for mark in ",.")
    if group is not None:
        return ("," if group == "." or (commas and group != ",") else "."), group
    both = [cell for cell in commas if "." in cell]
    if both:
        return (",", ".") if both[0].rfind(",") > both[0].rfind(".") else (".", ",")
    if not commas:
        return (",", ".") if any(cell.count(".") > 1 for cell in points) else (".", space)
    pattern = r"[-+]?[1-9]\d{0,2}([%s]\d{3})+"
    grouped = [all(re.fullmatch(pattern % mark, cell) for cell in found) for mark, found in ((",", commas), (".", points))]
    if points and grouped == [False, True]:
        return ",", "."
    if grouped[0] and (any(cell.count(",") > 1 for cell in commas) or (points and not grouped[1])):
        return ".", ","
    if grouped[0] and not space:
        raise FormatError(f"a number like {commas[0]} may be two: give the options decimal and thousands: path={path}")
    if points:
        raise FormatError(f"numbers must be written in one way: {commas[0]} {points[0]} path={path}")
    return ",", space


def headless_roles(kind: Kind | None, rows: Sequence[Sequence[str]], path: Path) -> dict[str, int]:
    """Return the roles of the columns of a table without names: the only ones that its first rows can have.

    Raises
    ------
    FormatError
        If they can have several, or none that is known.
    """
    width = max(map(len, rows), default=0)
    rows = [row for row in rows if len(row) == width][:50]
    shapes = [(k, roles) for k, roles in _HEADLESS if len(roles) == width and k == (kind or k)]
    found = [(k, roles) for k, roles in shapes if _fits(k, roles, rows, kind is not None)]
    found = [shape for shape in found if shape[0] == "bars"] or found  # opens and highs look like bids and asks, not the other way
    if len(found) == 1:
        return {role: i for i, role in enumerate(found[0][1]) if role}
    raise FormatError(
        f"a table without names of columns must be one of a known kind, or be given the options kind and columns: columns={width} "
        f"first={rows[0] if rows else []} path={path}"
    )


# What people publish without names: ticks and bars of several vendors, trades of exchanges with the side of the maker.
_HEADLESS: tuple[tuple[Kind, tuple[str, ...]], ...] = (
    ("trades", ("time", "price")),
    ("quotes", ("time", "bid", "ask")),
    ("trades", ("time", "price", "size")),
    ("quotes", ("symbol", "time", "bid", "ask")),
    ("quotes", ("time", "bid", "ask", "")),
    ("quotes", ("time", "bid", "ask", "bid_size", "ask_size")),
    ("bars", ("time", "open", "high", "low", "close")),
    ("bars", ("time", "open", "high", "low", "close", "volume")),
    ("bars", ("date", "time", "open", "high", "low", "close", "volume")),
    ("bars", ("time", "open", "high", "low", "close", "volume", "count")),
    ("trades", ("id", "price", "size", "", "time", "side")),
    ("trades", ("id", "price", "size", "", "time", "side", "")),
    ("trades", ("id", "price", "size", "", "", "time", "side")),
    ("trades", ("id", "price", "size", "", "", "time", "side", "")),
    ("bars", ("time", "open", "high", "low", "close", "volume", "", "", "count", "", "", "")),
)


def _fits(kind: Kind, roles: Sequence[str], rows: Sequence[Sequence[str]], asked: bool) -> bool:
    """Whether nine of ten rows can be this: bids just below asks, lows below highs, makers that are true or false."""

    def column(role: str) -> list[str]:
        return [row[roles.index(role)] for row in rows]

    def floats(role: str) -> list[float]:
        return [float(cell.replace(",", ".")) if re.fullmatch(r"[-+]?\d+([.,]\d*)?", cell) else float("nan") for cell in column(role)]

    timed = [bool(re.search(r"\d:\d\d" if "date" in roles else r"\d", cell)) for cell in column("time")]
    if kind == "quotes":
        good = [not bid or not ask or 0 < bid <= ask <= 1.1 * bid for bid, ask in zip(floats("bid"), floats("ask"), strict=True)]
        fractions = [any("." in cell or "," in cell for cell in column(side)) for side in ("bid", "ask")]
        # Prices and numbers of lots; or a volume, which is always 0 where it is none.
        if (not asked and fractions == [True, False]) or any(row[3] not in ("0", "0.0") for row in rows if roles[-1] == ""):
            return False
    elif kind == "bars":
        prices = zip(*(floats(role) for role in ("open", "high", "low", "close")), strict=True)
        good = [0 < low <= min(o, c) and max(o, c) <= high <= 3 * low for o, high, low, c in prices]
    elif "side" in roles:
        good = [cell.lower() in ("true", "false") for cell in column("side")]
    else:
        good = [asked and price == price for price in floats("price")]
    if "symbol" in roles:
        good = [ok and bool(re.search(r"[A-Za-z]", cell)) for ok, cell in zip(good, column("symbol"), strict=True)]
    return 10 * sum(a and b for a, b in zip(good, timed, strict=True)) >= 9 * len(rows) > 0
