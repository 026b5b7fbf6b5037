"""A synthetic trading day as real ITCH bytes: for demos, benchmarks and tests that need data without a download.

The day is made by ``fastcore.synthetic.SyntheticMarket``; nothing in it is market data.
"""

from __future__ import annotations

import contextlib
import gzip
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fastcore.itch import ItchEncoder
from fastcore.records import EVENT_DTYPE
from fastcore.synthetic import SyntheticMarket

from .itch import Progress

__all__ = ["generate", "generate_events", "iterate", "write_itch"]

_CHUNK_EVENTS = 32_768


def iterate(
    messages: int = 1_000_000, seed: int = 1, symbols: Sequence[str] | str = ("SYNTH",), chunk_events: int = _CHUNK_EVENTS
) -> Iterator[bytes]:
    """Iterate over a synthetic day in chunks of whole ITCH messages; parameters as in `generate`."""
    if chunk_events < 1:
        raise ValueError(f"chunk_events must be at least 1: chunk_events={chunk_events}")
    return _chunks(SyntheticMarket(messages, seed, symbols), chunk_events)


def _chunks(market: SyntheticMarket, chunk_events: int) -> Iterator[bytes]:
    encoder = ItchEncoder()
    events = np.zeros(chunk_events, EVENT_DTYPE)
    while n := market.fill(events):
        yield encoder.encode(events[:n])


def generate(messages: int = 1_000_000, seed: int = 1, symbols: Sequence[str] | str = ("SYNTH",)) -> bytes:
    """Make a synthetic day as ITCH 5.0 bytes.

    Parameters
    ----------
    messages : int, default 1,000,000
        Messages in all, those of the session included: at least 6 + 4 for each symbol.
    seed : int, default 1
        0..2**64-1; the same arguments give the same bytes on every platform.
    symbols : str or sequence of str, default "SYNTH"
        1 to 65,535 names of 1 to 8 ASCII characters; their stock locates are 1, 2, ...

    Returns
    -------
    bytes
        Length-prefixed messages (S, R, H, Q, A, F, E, C, X, D, U, P): about 30 bytes for each.

    Raises
    ------
    ValueError
        If an argument is out of range.
    """
    return b"".join(iterate(messages, seed, symbols))


def generate_events(
    messages: int = 1_000_000, seed: int = 1, symbols: Sequence[str] | str = ("SYNTH",), midnight_ns: int = 0
) -> npt.NDArray[np.void]:
    """Make the same day as one array of events; `midnight_ns` is added to the times of day."""
    market = SyntheticMarket(messages, seed, symbols, midnight_ns)
    events = np.zeros(messages, EVENT_DTYPE)
    market.fill(events)
    return events


def write_itch(
    path: str | os.PathLike[str],
    messages: int = 1_000_000,
    seed: int = 1,
    symbols: Sequence[str] | str = ("SYNTH",),
    progress: Progress | None = None,
) -> int:
    """Write a synthetic day to a file, compressed if its name ends in ``.gz``.

    The file appears under its name when it is complete: it is written beside it first, and removed on any error.

    Parameters
    ----------
    path : path
    messages, seed, symbols
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
    market = SyntheticMarket(messages, seed, symbols)
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
