"""Plain-Python twin of ``fastcore.wire.decimals``: fields by the module ``csv``, numbers as fractions."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from fractions import Fraction

__all__ = ["NONE", "Decimals"]

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
