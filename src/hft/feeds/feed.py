"""What every feed is: an iterator of event arrays that knows its instruments, its counts and its errors.

A feed module has one subclass of `Feed`; ``hft.feeds.open_feed`` chooses it. Python runs once for each array of events,
never for each event.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Literal, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from fastcore.errors import CorruptDataError
from fastcore.records import EVENT_DTYPE, FLAGS

__all__ = ["LOG_LENGTH", "RAW", "Events", "Feed", "FormatError", "Instrument", "Progress", "whole_messages"]

Events = npt.NDArray[np.void]
Progress = Callable[[int, int], None]  # bytes (or rows) done, and in all
LOG_LENGTH = 64
# An event as bytes: NumPy copies and gathers records with fields field by field, which takes five times as long.
RAW = np.dtype(f"V{EVENT_DTYPE.itemsize}")


class FormatError(ValueError):
    """A file is of no known format, or an option is missing or is not one of its format."""


class Instrument(NamedTuple):
    """What the integers of an event mean for one symbol.

    Attributes
    ----------
    symbol : str
    tick_size : float
        Price of one tick in the quote currency: the smallest step that the feed can express.
    lot_size : float
        Units of the instrument in one lot.
    """

    symbol: str
    tick_size: float
    lot_size: float


class Feed(Iterator[Events]):
    """One source of market data as arrays of events (``fastcore.records.EVENT_DTYPE``).

    Parameters
    ----------
    path : path
        What is read.

    Attributes
    ----------
    format : str
        Name under which ``open_feed`` knows the format.
    book : {"orders", "levels", "quotes", "none"}
        What the events build: a book by order, a book by level, the best prices alone, or none (prints and bars).
    path : Path
    instruments : dict of int to Instrument
        By `symbol_id`; an entry is there before the first event of its symbol is yielded.
    messages : dict of str to int
        Well-formed messages by type so far.
    errors : dict of str to int
        What was malformed and skipped, by rule.
    error_log : list of (int, str)
        The first 64 of them: offset (bytes, or row) in the uncompressed source, and what was wrong.
    gaps : int
        Sequence gaps so far; each is an event of kind ``gap`` too.
    strict : bool
        Whether the first malformed message raises CorruptDataError.

    Notes
    -----
    Arrays are yielded in the order of the source. The last event of an array never has the flag ``continued``: a message
    is never split between two arrays.

    **Thread safety**: one thread at a time.
    """

    format: ClassVar[str]
    book: Literal["orders", "levels", "quotes", "none"] = "none"
    strict: bool = False

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.instruments: dict[int, Instrument] = {}
        self.messages: dict[str, int] = {}
        self.errors: dict[str, int] = {}
        self.error_log: list[tuple[int, str]] = []
        self.gaps = 0
        self._source: Iterator[Events] | None = None

    def _arrays(self) -> Iterator[Events]:
        """Yield the arrays; the one method that a subclass must have."""
        raise NotImplementedError

    def _skip(self, rule: str, offsets: npt.NDArray[np.int64] | list[int], values: Sequence[object] | None = None) -> None:
        """Count what breaks a rule; the log keeps the first 64 in all. In strict mode the first one raises."""
        if not len(offsets):
            return
        self.errors[rule] = self.errors.get(rule, 0) + len(offsets)
        for i in range(min(len(offsets), LOG_LENGTH - len(self.error_log))):
            text = rule if values is None else f"{rule}: {values[i]}"
            self.error_log.append((int(offsets[i]), text))
        if self.strict:
            value = "" if values is None else f" value={values[0]}"
            raise CorruptDataError(f"{rule}: path={self.path} offset={int(offsets[0])}{value}")

    def __next__(self) -> Events:
        if self._source is None:
            self._source = self._arrays()
        return next(self._source)

    def close(self) -> None:
        """Release the file; the feed ends."""
        source, self._source = self._source, iter(())
        if source is not None and hasattr(source, "close"):
            source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @classmethod
    def recognise(cls, head: bytes, path: Path) -> bool:
        """Say whether a file is of this format.

        Parameters
        ----------
        head : bytes
            Its first bytes, up to 64 KiB, uncompressed where it is gzip or Zstandard.
        path : Path
            Its name, for formats without a magic number; of a ZIP archive or a directory the contents may be looked at.
        """
        raise NotImplementedError


def whole_messages(events: Events, limit: int) -> Iterator[Events]:
    """Cut an array into arrays of at most `limit` events that end with a whole message.

    A message with more events than that comes in one array all the same.
    """
    start, n = 0, len(events)
    while start < n:
        end = min(start + limit, n)
        if end < n and events["flags"][end - 1] & FLAGS["continued"]:
            inside = (events["flags"][start:end] & FLAGS["continued"]) == 0
            if inside.any():
                end = start + int(np.flatnonzero(inside)[-1]) + 1
            else:
                behind = (events["flags"][end:] & FLAGS["continued"]) == 0
                end = end + int(np.argmax(behind)) + 1 if behind.any() else n
        yield events[start:end]
        start = end
