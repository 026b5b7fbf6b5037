"""Books built from recorded data against what the same data, or the exchange, say they must be.

============ ==================================================================================================
format       reference
============ ==================================================================================================
itch         a final book (CSV: side, price in 1/10,000, shares, orders), or a row map (CSV: row, messages consumed)
             together with the LOBSTER order book that has those rows; by default the ones beside the file
lobster      the order book file of the same sample, row by row, in a window of its depth
binance      the best prices that the venue itself sent (bookTicker), after each change of the book
kraken       the CRC32 that the venue sent with each change of the book
pcap, dbn    an independent reading of the same file: the plain-Python twins, and databento-dbn
============ ==================================================================================================
"""

from __future__ import annotations

import csv
import gzip
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fastcore.book import OrderBook
from fastcore.records import FLAGS, NO_PRICE

from .feeds import Feed, Progress, open_feed

__all__ = ["ReferenceMissing", "Verification", "verify"]

Paths = Sequence[str | os.PathLike[str]]


class ReferenceMissing(LookupError):
    """There is nothing to compare with, or it is not found."""


@dataclass(frozen=True, kw_only=True)
class Verification:
    """Outcome for one file.

    Attributes
    ----------
    path, format, reference : str
    checked, matched : int
        Comparisons made, and those that agree.
    first_mismatch : str, optional
        Where the first disagreement is, and both values.
    messages : int
        Well-formed messages (rows, records, lines) of the file.
    malformed : int
        Messages that break the format.
    gaps : int
        Sequence gaps.
    """

    path: str
    format: str
    reference: str
    checked: int
    matched: int
    first_mismatch: str | None
    messages: int
    malformed: int
    gaps: int

    @property
    def share(self) -> float:
        """Part that agrees, 0 to 1; 0 where nothing was compared."""
        return self.matched / self.checked if self.checked else 0.0


def verify(
    path: str | os.PathLike[str],
    format: str | None = None,
    references: Paths = (),
    *,
    symbol: str | None = None,
    progress: Progress | None = None,
) -> Verification:
    """Compare the books of one file with a reference.

    Parameters
    ----------
    path : path
    format : str, optional
        As in ``hft.feeds.open_feed``; by default recognised.
    references : sequence of path, optional
        Files to compare with, for the formats that do not carry their own.
    symbol : str, optional
        Symbol of the reference, where the file has several.
    progress : callable(done, total), optional

    Returns
    -------
    Verification

    Raises
    ------
    ReferenceMissing
        If the format carries no reference and none is given or found, or if the symbol is not in the file.
    CorruptDataError
        If the file or a reference is malformed or cut off.
    """
    with open_feed(path, format, progress=progress) as feed:
        check = CHECKS.get(feed.format)
        if check is None:
            raise ReferenceMissing(f"format must be one that can be verified ({', '.join(sorted(CHECKS))}): format={feed.format}")
        reference, checked, matched, first = check(feed, [Path(p) for p in references], symbol)
        return Verification(
            path=str(path),
            format=feed.format,
            reference=reference,
            checked=checked,
            matched=matched,
            first_mismatch=first,
            messages=sum(feed.messages.values()),
            malformed=sum(feed.errors.values()),
            gaps=feed.gaps,
        )


Outcome = tuple[str, int, int, str | None]  # reference, checked, matched, first mismatch


# ---- itch ----


def _itch(feed: Feed, references: Sequence[Path], symbol: str | None) -> Outcome:
    if not references:
        stem = re.sub(r"\.itch(\.gz|\.zst)?$", "", str(feed.path))
        references = [Path(stem + end) for end in (".book.csv", ".rowmap.csv.gz", ".rowmap.csv") if Path(stem + end).is_file()][:1]
    if not references:
        raise ReferenceMissing(f"an ITCH file needs a final book or a row map as reference: path={feed.path}")
    if _first_line(references[0]).startswith("lobster_row,"):
        return _row_map(feed, references[0], references[1] if len(references) > 1 else _sample(feed.path, references[0]), symbol)
    return _final_book(feed, references[0], symbol)


def _final_book(feed: Feed, reference: Path, symbol: str | None) -> Outcome:
    book, chosen = OrderBook(), _Chosen(feed, symbol)
    for events in chosen:
        book.apply(events)
    with _text(reference) as lines:
        expected = {(row[0], int(row[1])): (int(row[2]), int(row[3])) for row in list(csv.reader(lines))[1:]}
    built = {
        (name, level["price"].item()): (level["size"].item(), level["orders"].item())
        for name, side in zip("BS", book.depth(), strict=True)
        for level in side
    }
    wrong = [key for key in expected | built if expected.get(key) != built.get(key)]
    first = None
    if wrong:
        first = f"side={wrong[0][0]} price={wrong[0][1]}: built={built.get(wrong[0])} expected={expected.get(wrong[0])}"
    return str(reference), len(expected | built), len(expected | built) - len(wrong), first


def _row_map(feed: Feed, row_map: Path, sample: Path, symbol: str | None) -> Outcome:
    from .feeds.lobster import LobsterFeed

    marks = _integers(row_map)[:, 1]
    expected = np.concatenate([rows for _, rows in LobsterFeed(sample).messages_and_rows()])
    if len(expected) != len(marks):
        raise ReferenceMissing(f"row map and sample must have as many rows: rows={len(marks)}, sample={len(expected)}")
    levels = expected.shape[1] // 4
    book, at, done, parts = OrderBook(), 0, 0, []
    for events, counts in _Chosen(feed, symbol).with_counts():
        # Marks count messages of the file, the book counts events.
        stop = int(np.searchsorted(marks, counts[-1], side="right")) if len(counts) else done
        here = np.searchsorted(counts, marks[done:stop], side="right")
        parts.append(book.apply_depth(events, here, levels))
        at, done = at + len(events), stop
    rows = np.concatenate(parts)
    prices = rows["price"]
    for side, empty in ((0, -9_999_999_999), (1, 9_999_999_999)):
        prices[:, side][prices[:, side] == NO_PRICE] = empty
    built = np.stack([prices[:, 1], rows["size"][:, 1], prices[:, 0], rows["size"][:, 0]], axis=2).reshape(-1, 4 * levels)
    equal = (built == expected[: len(built)]).all(axis=1)
    first = None
    if not equal.all():
        row = int(np.argmin(equal))
        first = f"row={row}: built={built[row].tolist()} expected={expected[row].tolist()}"
    elif len(built) < len(expected):
        first = f"row={len(built)}: the file ends before it"
    return f"{row_map} {sample}", len(expected), int(equal.sum()), first


def _sample(path: Path, row_map: Path) -> Path:
    """The LOBSTER sample whose rows a row map means: of the same symbol and day, beside it or in a directory ``lobster``."""
    named = re.match(r"([A-Z.]+)_(\d{4}-\d\d-\d\d)_L(\d+)", path.name)
    if named:
        ticker, day, depth = named.groups()
        for folder in (row_map.parent, row_map.parent.parent / "lobster"):
            for found in sorted(folder.glob(f"*{ticker}_{day}_{depth}.zip")):
                return found
    raise ReferenceMissing(f"a row map needs the LOBSTER sample too (a second reference): row_map={row_map}")


class _Chosen:
    """The events of one symbol of a feed, and how many messages of the file each of them completes."""

    def __init__(self, feed: Feed, symbol: str | None) -> None:
        self.feed, self.symbol = feed, symbol

    def _id(self) -> int | None:
        known = self.feed.instruments
        if self.symbol is not None:
            return next((number for number, i in known.items() if i.symbol == self.symbol), None)
        if len(known) > 1:
            some = ", ".join(i.symbol for i in list(known.values())[:8])
            raise ReferenceMissing(f"the file has several symbols, choose one: symbols={some}, ...")
        return next(iter(known), None)

    def with_counts(self) -> Iterator[tuple[npt.NDArray[np.void], npt.NDArray[np.int64]]]:
        done, found = 0, False
        for events in self.feed:
            counts = done + np.cumsum((events["flags"] & FLAGS["continued"]) == 0)
            done = int(counts[-1])
            number = self._id()
            if number is not None:
                found = True
                own = events["symbol_id"] == number
                yield (events, counts) if own.all() else (np.ascontiguousarray(events[own]), counts[own])
        if not found:
            raise ReferenceMissing(f"the file lists no such symbol: symbol={self.symbol}")

    def __iter__(self) -> Iterator[npt.NDArray[np.void]]:
        return (events for events, _ in self.with_counts())


# ---- reading ----


def _text(path: Path) -> Any:
    return gzip.open(path, "rt", encoding="ascii") if path.suffix == ".gz" else open(path, encoding="ascii")


def _first_line(path: Path) -> str:
    with _text(path) as lines:
        line: str = lines.readline()
    return line


def _integers(path: Path) -> npt.NDArray[np.int64]:
    with _text(path) as lines:
        return np.loadtxt(lines, np.int64, delimiter=",", skiprows=1, ndmin=2)


CHECKS: dict[str, Callable[[Feed, Sequence[Path], str | None], Outcome]] = {"itch": _itch}
