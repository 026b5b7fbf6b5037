"""What the feeds of text lines share: whole lines through a decoder, chunk by chunk, and what the decoder has counted."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Collection, Iterator, Mapping
from decimal import Decimal
from typing import Any

import numpy as np

from fastcore.errors import CorruptDataError
from fastcore.instruments import Instruments
from fastcore.records import EVENT_DTYPE

from ._files import lines, pieces
from ._ids import IdMap
from .feed import RAW, Events, Feed, Progress, check_chunk_events

__all__ = ["LineFeed"]

_RECEIVED = re.compile(rb"(\d{1,19}(?:\.\d{1,9})?):? ")


class LineFeed(Feed):
    """A feed of lines of JSON; its options are those of the subclass, which makes the decoder."""

    book = "levels"
    _counters: tuple[str, ...] = ()  # attributes that the decoder counts under the same name

    def __init__(
        self,
        path: str | os.PathLike[str],
        decoder: Any,
        instruments: Instruments | None,
        wanted: Collection[str] | None,
        progress: Progress | None,
        chunk_events: int,
        decimals: Mapping[str, tuple[int, int]],
    ) -> None:
        super().__init__(path, instruments, wanted)
        check_chunk_events(chunk_events)
        self._decoder, self._progress, self._chunk_events = decoder, progress, chunk_events
        self.strict = decoder.strict
        for symbol, (price, size) in decimals.items():
            decoder.set_symbol(symbol, None, price, size)
        for name in self._counters:
            setattr(self, name, getattr(decoder, name))
        self._ids = IdMap()

    def _row_of(self, number: int) -> int:
        """Row of a symbol that the decoder has numbered; its events know its decimals."""
        name, price, size = self._decoder.symbols[number]
        return self._row(name, float(f"1e-{max(price, 0)}"), float(f"1e-{max(size, 0)}"))

    def _made(self, events: Events) -> Events:
        """Events that the decoder has written, apart from its memory and with rows for symbols."""
        events = events.view(RAW).copy().view(EVENT_DTYPE)
        events["symbol_id"] = self._ids.rows(events["symbol_id"], self._row_of)
        return events

    def start(self) -> tuple[frozenset[str], int]:
        """As ``Feed.start``, by the first lines: a part of a capture may have no event without the part before it."""
        block = b""
        with contextlib.suppress(CorruptDataError):
            block = next(lines(pieces(self.path)), b"")
        self._first(block)
        self._decoder.decode(block, np.zeros(max(self._chunk_events, len(block) // 8), EVENT_DTYPE), True)
        received = _RECEIVED.match(block)
        time = Decimal(received.group(1).decode()) if received else Decimal(0)
        names = frozenset(name for name, _, _ in self._decoder.symbols.values())
        return names, int(time if time > 10**16 else time * 10**9)

    def follow(self, previous: Feed) -> None:
        """Go on with the books that the part before has left: a diff needs no new snapshot."""
        if isinstance(previous, type(self)):
            self._decoder, self._ids, self.includes = previous._decoder, previous._ids, previous

    def _take_over(self) -> None:
        d = self._decoder
        self.messages, self.errors, self.error_log, self.gaps = d.counts, d.errors, d.error_log, d.gaps
        for name in self._counters:
            setattr(self, name, getattr(d, name))

    def _first(self, block: bytes) -> None:
        """Look at the first lines before they are decoded."""

    def _pending(self) -> bool:
        """Whether the decoder has events that no line is missing for."""
        return False

    def _arrays(self) -> Iterator[Events]:
        d = self._decoder
        out = np.zeros(self._chunk_events, EVENT_DTYPE)
        for number, block in enumerate(lines(pieces(self.path, progress=self._progress))):
            if number == 0:
                self._first(block)
            view = memoryview(block)
            at = 0
            while at < len(view) or self._pending():
                try:
                    n, used = d.decode(view[at:], out, True)
                except CorruptDataError as error:
                    self._take_over()
                    if error.events:  # type: ignore[attr-defined]
                        yield self._made(out[: error.events])  # type: ignore[attr-defined]
                    raise CorruptDataError(f"{error} path={self.path}") from error
                except ValueError:
                    if d.needed <= len(out):
                        raise
                    out = np.zeros(d.needed, EVENT_DTYPE)
                    continue
                at += used
                self._take_over()
                if n:
                    yield self._made(out[:n])
        self._take_over()
