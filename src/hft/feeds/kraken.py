"""Captures of Kraken's book channel - cryptofeed's raw data files, lines ``receive time: json`` - as event arrays.

What a message becomes, and how its checksum is verified, is said in ``fastcore.wire.kraken``. Plain text, gzip or Zstandard.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path

from fastcore.instruments import Instruments
from fastcore.wire.kraken import KrakenDecoder

from ._lines import LineFeed
from .feed import Progress

__all__ = ["KrakenFeed"]

_LINE = re.compile(rb'^(?:\d+(?:\.\d+)?: )?(?:\[\d+,\s*\{"(?:as|bs|a|b)"|\{"channel"\s*:\s*"book"|\{[^\n]*"channelName"\s*:\s*"book)', re.M)


class KrakenFeed(LineFeed):
    """A capture of Kraken's book channel (WebSocket v1 or v2) as events.

    Parameters
    ----------
    path : path
        gzip and Zstandard are recognised.
    instruments, wanted
        As in ``hft.feeds.Feed``.
    progress : callable(done, total), optional
        Told the (compressed) bytes consumed.
    chunk_events : int, default 65536
        Largest number of events in an array, except for a message that has more.
    decimals : (price, size) or mapping of symbol to (price, size), optional
        Published decimals; by default those of the first image of a symbol.
    depth : int, optional
        Levels of a side that were subscribed to; by default what the channel's name or the image says.
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
    _counters = ("checked", "matched", "first_mismatch", "stale")
    checked: int
    matched: int
    first_mismatch: int | None
    stale: int

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        instruments: Instruments | None = None,
        wanted: Collection[str] | None = None,
        progress: Progress | None = None,
        chunk_events: int = 65_536,
        decimals: tuple[int, int] | Mapping[str, tuple[int, int]] | None = None,
        depth: int | None = None,
        strict: bool = False,
    ) -> None:
        own = decimals if isinstance(decimals, Mapping) else {}
        price, size = (None, None) if decimals is None or isinstance(decimals, Mapping) else decimals
        super().__init__(path, KrakenDecoder(price, size, depth, strict), instruments, wanted, progress, chunk_events, own)

    @property
    def dropped(self) -> int:  # type: ignore[override]
        return self.stale

    @classmethod
    def recognise(cls, head: bytes, path: Path) -> bool:
        return _LINE.search(head) is not None
