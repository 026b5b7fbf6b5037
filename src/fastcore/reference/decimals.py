"""Plain-Python twin of ``fastcore.wire.decimals``: fields by the module ``csv``, numbers as fractions; plain columns by patterns."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import numpy as np

__all__ = ["NONE", "Decimals", "plain_columns"]

NONE = -64
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d{1,3})?")


def needed(text: str, point: str, group: str) -> int:
    """Decimals that a number needs, less than 0 where it ends with zeros before the point; NONE where there is no number."""
    text = text.strip(' "')
    if point != "." and "." in text.replace(group, ""):
        return NONE
    whole, dot, rest = text.partition(point)
    digit = re.search(r"\d", whole)
    if group and digit:
        whole = whole[: digit.start()] + whole[digit.start() :].replace(group, "")
    text = whole + ("." if dot else "") + rest
    if not _NUMBER.fullmatch(text):
        return NONE
    value = abs(Fraction(text))
    places = 0
    if value == 0:
        return NONE
    while value.denominator > 1:
        value, places = value * 10, places + 1
    while value % 10 == 0:
        value, places = value / 10, places - 1
    return places if value < 10**18 else NONE


class Decimals:
    """As the compiled class."""

    def __init__(
        self, columns: int, wanted: Iterable[int], delimiter: str = ",", point: str = ".", group: str = "", most: int = 12
    ) -> None:
        if not 1 <= columns <= 65_536:
            raise ValueError(f"columns must be in 1..65536: columns={columns}")
        for name, mark in (("delimiter", delimiter), ("point", point), ("group", group)):
            if len(mark) != 1 - (name == "group" and not mark) or not mark.isascii():
                raise ValueError(f"{name} must be one ASCII character: {name}={mark!r}")
        if not 0 <= most <= 18:
            raise ValueError(f"most must be in 0..18: most={most}")
        self._wanted = set(wanted)
        for column in self._wanted:
            if not 0 <= column < columns:
                raise ValueError(f"wanted must be columns of the table: column={column} columns={columns}")
        self.places = [NONE] * columns
        self._marks = delimiter, point, group
        self._most = most

    def add(self, block: bytes) -> int:
        """As the compiled method."""
        if block is None:
            raise TypeError("block must be bytes-like")
        delimiter, point, group = self._marks
        for row in csv.reader(block.decode("latin-1").splitlines(), delimiter=delimiter):
            for column in self._wanted:
                if column < len(row):
                    places = needed(row[column], point, group)
                    self.places[column] = max(self.places[column], places if places <= self._most else NONE)
        return block.count(b"\n")


def plain_columns(block: bytes, forms: str, delimiter: str = ",", point: str = ".") -> list[Any] | None:
    """As the compiled function."""
    if not 1 <= len(forms) <= 65_536 or set(forms) - set("ifw-"):
        raise ValueError(f"forms must be 1 to 65536 letters of i, f, w and -: forms={forms[:80]!r}")
    for name, text in (("delimiter", delimiter), ("point", point)):
        if len(text) != 1 or not text.isascii() or text in '"\r\n-0123456789' or delimiter == point:
            raise ValueError(f"{name} must be one ASCII character of its own: {name}={text!r}")
    if not block.endswith(b"\n") or not block.isascii() or b'"' in block:
        return None
    lines = [line.removesuffix("\r") for line in block.decode("ascii")[:-1].split("\n")]
    rows = [line.split(delimiter) for line in lines]
    if any(len(row) != len(forms) or "\r" in line for row, line in zip(rows, lines, strict=True)):
        return None
    found: list[Any] = []
    dot = re.escape(point)
    for i, form in enumerate(forms):
        cells = [row[i] for row in rows]
        if form == "w":
            words = list(dict.fromkeys(cells))
            if len(words) > 64 or not all(1 <= len(word) <= 32 for word in words):
                return None
            found.append((np.array([words.index(cell) for cell in cells], np.int32), words))
        elif form != "-":
            pattern = r"-?\d{1,18}" if form == "i" else rf"-?(?=.?\d)\d*({dot}\d*)?"
            if not all(re.fullmatch(pattern, cell) for cell in cells):
                return None
            if form == "f" and any(
                len(digits) > 18 or int(digits) > 2**53 for cell in cells for digits in [re.sub(r"\D", "", cell)]
            ):
                return None
            numbers = [int(cell) if form == "i" else float(cell.replace(point, ".")) for cell in cells]
            found.append(np.array(numbers, np.int64 if form == "i" else np.float64))
    return found
