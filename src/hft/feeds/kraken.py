"""Captures of Kraken's book channel - cryptofeed's raw data files, lines ``receive time: json`` - as event arrays.

What a message becomes, and how its checksum is verified, is said in ``fastcore.kraken``. Plain text, gzip or Zstandard.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from fastcore.errors import CorruptDataError
from fastcore.kraken import KrakenDecoder
from fastcore.records import EVENT_DTYPE

from ._files import lines, pieces
from .feed import Events, Feed, Instrument, Progress

__all__ = ["KrakenFeed"]

_LINE = re.compile(rb'^(?:\d+(?:\.\d+)?: )?(?:\[\d+,\s*\{"(?:as|bs|a|b)"|\{"channel"\s*:\s*"book"|\{[^\n]*"channelName"\s*:\s*"book)', re.M)


class KrakenFeed(Feed):
    """A capture of Kraken's book channel (WebSocket v1 or v2) as events.

    Parameters
    ----------
    path : path
        gzip and Zstandard are recognised.
    progress : callable(done, total), optional
        Told the (compressed) bytes consumed.
    chunk_events : int, default 65536
        Largest number of events in an array, except for a message that has more.
    decimals : (price, size) or mapping of symbol to (price, size), optional
        Published decimals; by default those of the first image of a symbol.
    depth : int, optional
        Levels of a side that were subscribed to; by default what the channel's name or the image says.
    symbol_ids : mapping of str to int, optional
        Numbers of symbols; the others are numbered 0, 1, ... in order of appearance.
    strict : bool, default False
        Raise CorruptDataError at the first malformed line.

    Attributes
    ----------
    checked, matched : int
        Messages whose checksum was compared, and those where it agreed.
    first_mismatch : int or None
        Offset of the first line where it did not.
    stale : int
        Changes that were not delivered: before the first image, or behind a checksum that did not agree.

    Raises
    ------
    ValueError
        If an option is wrong.
    CorruptDataError
        After everything that is whole: the compressed file is cut or damaged. In strict mode at the first malformed line.
    """

    format = "kraken"
    book = "levels"

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        progress: Progress | None = None,
        chunk_events: int = 65_536,
        decimals: tuple[int, int] | Mapping[str, tuple[int, int]] | None = None,
        depth: int | None = None,
        symbol_ids: Mapping[str, int] | None = None,
        strict: bool = False,
    ) -> None:
        super().__init__(path)
        if chunk_events < 1:
            raise ValueError(f"chunk_events must be at least 1: chunk_events={chunk_events}")
        price, size = (None, None) if decimals is None or isinstance(decimals, Mapping) else decimals
        self.strict = strict
        self.checked = self.matched = self.stale = 0
        self.first_mismatch: int | None = None
        self._decoder = KrakenDecoder(price, size, depth, strict)
        for symbol, number in (symbol_ids or {}).items():
            self._decoder.set_symbol(symbol, number)
        if isinstance(decimals, Mapping):
            for symbol, value in decimals.items():
                self._decoder.set_symbol(symbol, None, *value)
        self._progress = progress
        self._chunk_events = chunk_events

    @classmethod
    def recognise(cls, head: bytes, path: Path) -> bool:
        return _LINE.search(head) is not None

    def _take_over(self) -> None:
        d = self._decoder
        self.messages, self.errors, self.error_log = d.counts, d.errors, d.error_log
        self.checked, self.matched, self.first_mismatch, self.stale = d.checked, d.matched, d.first_mismatch, d.stale
        self.gaps = d.gaps
        for number, (name, price, size) in d.symbols.items():
            if price >= 0 and size >= 0 and number not in self.instruments:
                self.instruments[number] = Instrument(name, float(f"1e-{price}"), float(f"1e-{size}"))

    def _arrays(self) -> Iterator[Events]:
        d = self._decoder
        out = np.zeros(self._chunk_events, EVENT_DTYPE)
        for block in lines(pieces(self.path, progress=self._progress)):
            view = memoryview(block)
            at = 0
            while at < len(view):
                try:
                    n, used = d.decode(view[at:], out, True)
                except CorruptDataError as error:
                    self._take_over()
                    if error.events:  # type: ignore[attr-defined]
                        yield out[: error.events].copy()  # type: ignore[attr-defined]
                    raise CorruptDataError(f"{error} path={self.path}") from error
                except ValueError:
                    if d.needed <= len(out):
                        raise
                    out = np.zeros(d.needed, EVENT_DTYPE)
                    continue
                at += used
                self._take_over()
                if n:
                    yield out[:n].copy()
        self._take_over()
