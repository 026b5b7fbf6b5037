"""A synthetic trading day, as events and as real ITCH bytes: for demos, benchmarks and tests that need data without a download.

The day is made by ``fastcore.sim.synthetic.SyntheticMarket``, whose options give it known laws (branching, correlation,
cointegrated pairs) to hold an estimate against; nothing in it is market data.
"""

from __future__ import annotations

import contextlib
import gzip
import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fastcore.instruments import Instruments
from fastcore.records import EVENT_DTYPE, KINDS, NO_SYMBOL
from fastcore.sim.synthetic import Pair, SyntheticMarket, Truth
from fastcore.wire.itch import UNITS, ItchEncoder

from .feed import Events, Feed, Progress, check_chunk_events

__all__ = ["Pair", "SyntheticFeed", "generate", "generate_events", "iterate", "write_itch"]

_CHUNK_EVENTS = 32_768
_NAMES = {number: name for name, number in KINDS.items()}


def iterate(
    messages: int = 1_000_000,
    seed: int = 1,
    symbols: Sequence[str] | str = ("SYNTH",),
    chunk_events: int = _CHUNK_EVENTS,
    **options: Any,
) -> Iterator[bytes]:
    """Iterate over a synthetic day in chunks of whole ITCH messages; parameters as in `generate`."""
    check_chunk_events(chunk_events)
    return _chunks(SyntheticMarket(messages, seed, symbols, **options), chunk_events)


def _chunks(market: SyntheticMarket, chunk_events: int) -> Iterator[bytes]:
    encoder = ItchEncoder()
    events = np.zeros(chunk_events, EVENT_DTYPE)
    while n := market.fill(events):
        yield encoder.encode(events[:n])


def generate(
    messages: int = 1_000_000, seed: int = 1, symbols: Sequence[str] | str = ("SYNTH",), **options: Any
) -> bytes:
    """Make a synthetic day as ITCH 5.0 bytes.

    Parameters
    ----------
    messages : int, default 1,000,000
        Messages in all, those of the session included: at least 6 + 4 for each symbol.
    seed : int, default 1
        0..2**64-1; the same arguments give the same bytes on every platform.
    symbols : str or sequence of str, default "SYNTH"
        1 to 65,535 names of 1 to 8 ASCII characters; their stock locates are 1, 2, ...
    **options
        Keywords of ``fastcore.sim.synthetic.SyntheticMarket``.

    Returns
    -------
    bytes
        Length-prefixed messages (S, R, H, Q, A, F, E, C, X, D, U, P): about 30 bytes for each.

    Raises
    ------
    ValueError
        If an argument is out of range.
    """
    return b"".join(iterate(messages, seed, symbols, **options))


def generate_events(
    messages: int = 1_000_000,
    seed: int = 1,
    symbols: Sequence[str] | str = ("SYNTH",),
    midnight_ns: int = 0,
    **options: Any,
) -> npt.NDArray[np.void]:
    """Make the same day as one array of events; `midnight_ns` is added to the times of day."""
    market = SyntheticMarket(messages, seed, symbols, midnight_ns, **options)
    events = np.zeros(messages, EVENT_DTYPE)
    market.fill(events)
    return events


def write_itch(
    path: str | os.PathLike[str],
    messages: int = 1_000_000,
    seed: int = 1,
    symbols: Sequence[str] | str = ("SYNTH",),
    progress: Progress | None = None,
    **options: Any,
) -> int:
    """Write a synthetic day to a file, compressed if its name ends in ``.gz``.

    The file appears under its name when it is complete: it is written beside it first, and removed on any error.

    Parameters
    ----------
    path : path
    messages, seed, symbols, **options
        As in `generate`.
    progress : callable(done, total), optional
        Told the messages written after each chunk.

    Returns
    -------
    int
        Size of the file in bytes.

    Raises
    ------
    ValueError
        If an argument is out of range.
    OSError
        If the file cannot be written.
    """
    market = SyntheticMarket(messages, seed, symbols, **options)
    path = Path(path)
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with open(partial, "wb") as raw:
            # No name and no time in the head: the same arguments give the same file.
            with (
                gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=raw, mtime=0)
                if path.suffix == ".gz"
                else contextlib.nullcontext(raw) as file
            ):
                for chunk in _chunks(market, _CHUNK_EVENTS):
                    file.write(chunk)
                    if progress is not None:
                        progress(messages - market.remaining, messages)
            size = raw.tell()
        os.replace(partial, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            partial.unlink()
    return size


class SyntheticFeed(Feed):
    """A synthetic day as a feed of events, without a file.

    Parameters
    ----------
    path : path, default "synthetic"
        A name for reports; nothing is read.
    instruments, wanted
        As in ``hft.feeds.Feed``.
    progress : callable(done, total), optional
        Told the messages after each array.
    chunk_events : int, default 65536
        Largest number of events in an array.
    messages, seed, symbols, midnight_ns
        As in `generate_events`.
    **options
        Keywords of ``fastcore.sim.synthetic.SyntheticMarket``.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Notes
    -----
    `messages` counts events by kind.
    """

    format = "synthetic"
    book = "orders"

    def __init__(
        self,
        path: str | os.PathLike[str] = "synthetic",
        *,
        instruments: Instruments | None = None,
        wanted: Collection[str] | None = None,
        progress: Progress | None = None,
        chunk_events: int = 65_536,
        messages: int = 1_000_000,
        seed: int = 1,
        symbols: Sequence[str] | str = ("SYNTH",),
        midnight_ns: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(path, instruments, wanted)
        check_chunk_events(chunk_events)
        self._market = SyntheticMarket(messages, seed, symbols, midnight_ns, **options)
        self._total, self._chunk_events, self._progress = messages, chunk_events, progress
        self._rows = np.array([NO_SYMBOL, *(self._row(name, **UNITS) for name in self._market.symbols)], np.uint32)

    @property
    def truth(self) -> Truth:
        """Parameters and hidden paths: see ``fastcore.sim.synthetic.Truth``."""
        return self._market.truth

    def _arrays(self) -> Iterator[Events]:
        while size := min(self._market.remaining, self._chunk_events):
            events = np.zeros(size, EVENT_DTYPE)
            self._market.fill(events)
            for kind, count in enumerate(np.bincount(events["kind"]).tolist()):
                if count:
                    self.messages[_NAMES[kind]] = self.messages.get(_NAMES[kind], 0) + count
            events["symbol_id"] = self._rows[events["symbol_id"]]
            yield events
            if self._progress is not None:
                self._progress(self._total - self._market.remaining, self._total)

    @classmethod
    def recognise(cls, head: bytes, path: Path) -> bool:
        """No file is of this format: it is asked for by name."""
        return False
