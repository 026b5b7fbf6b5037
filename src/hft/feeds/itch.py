"""NASDAQ TotalView-ITCH 5.0 files, plain, gzip or Zstandard: as a feed, as event arrays, and as chunks of whole messages.

Python runs once for each chunk (megabytes), never for each message.
"""

from __future__ import annotations

import contextlib
import datetime
import mmap
import os
from collections.abc import Collection, Generator, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import numpy.typing as npt

from fastcore.errors import CorruptDataError
from fastcore.instruments import Instrument, Instruments
from fastcore.records import EVENT_DTYPE
from fastcore.source import Source
from fastcore.wire.itch import MAX_EVENTS, UNITS, ItchDecoder, whole_messages
from fastcore.wire.itch_source import ItchSource

from ._files import pieces
from ._streams import is_stream
from ._units import Units
from .days import day_of, midnight_ns
from .days import midnight_ns as midnight_of_day
from .feed import Events, Feed, Progress, UnknownSymbolInFile, listed

__all__ = ["ItchFeed", "Progress", "day_of", "midnight_ns", "open_itch", "read_events"]

_COMPRESSED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd")  # gzip, Zstandard
_SKIPPABLE = b"\x2a\x4d\x18"  # the end of the magic number of a Zstandard frame to be skipped
_MIN_CHUNK = 1 << 17  # twice the longest message


def open_itch(
    path: str | os.PathLike[str], *, chunk_bytes: int = 1 << 20, progress: Progress | None = None
) -> Generator[memoryview, None, None]:
    """Iterate over a file in chunks of whole messages.

    Parameters
    ----------
    path : path
        Length-prefixed ITCH 5.0 messages; gzip and Zstandard are recognised by their first bytes.
    chunk_bytes : int, default 1 MiB
        Size of a chunk, about; at least 128 KiB.
    progress : callable(done, total), optional
        Told the (compressed) bytes consumed after each chunk.

    Yields
    ------
    memoryview
        Whole messages with their length prefixes. A chunk of a plain file is a window on a mapping of the file.

    Raises
    ------
    ValueError
        If chunk_bytes is too small.
    CorruptDataError
        After everything that is whole has been delivered: the file ends inside a message, the compressed stream is cut off
        or fails its checksum, or something follows it that is not of its kind.
    OSError
        If the file cannot be read.
    ImportError
        If the file is Zstandard and the package ``zstandard`` is not installed.
    """
    if chunk_bytes < _MIN_CHUNK:
        raise ValueError(f"chunk_bytes must be at least {_MIN_CHUNK}: chunk_bytes={chunk_bytes}")
    return _chunks(Path(path), chunk_bytes, progress or (lambda done, total: None))


def _chunks(path: Path, chunk_bytes: int, progress: Progress) -> Generator[memoryview, None, None]:
    if not is_stream(path):
        with open(path, "rb") as file:
            total = os.fstat(file.fileno()).st_size
            magic = file.read(4)
            if not (magic.startswith(_COMPRESSED) or magic[1:] == _SKIPPABLE) and total:
                yield from _mapped(file, path, total, chunk_bytes, progress)
                return
    yield from _compressed(path, chunk_bytes, progress)


def _mapped(file: BinaryIO, path: Path, total: int, chunk_bytes: int, progress: Progress) -> Iterator[memoryview]:
    mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    view = memoryview(mapping)
    try:
        at = released = 0
        while at < total:
            length, _ = whole_messages(view[at : at + chunk_bytes])
            if not length:
                raise CorruptDataError(
                    f"an ITCH file must end with a whole message: path={path} offset={at} remaining={total - at}"
                )
            yield view[at : at + length]
            at += length
            progress(at, total)
            # Keep memory flat over files larger than it: what lies behind is read again from the page cache if need be.
            if hasattr(mapping, "madvise") and hasattr(mmap, "MADV_DONTNEED"):
                end = at - at % mmap.PAGESIZE
                if end > released:
                    mapping.madvise(mmap.MADV_DONTNEED, released, end - released)
                    released = end
    finally:
        view.release()
        with contextlib.suppress(BufferError):  # a chunk is still in use: the mapping goes with it
            mapping.close()


def _compressed(path: Path, chunk_bytes: int, progress: Progress) -> Iterator[memoryview]:
    rest: bytes | memoryview = b""
    offset = 0
    for piece in pieces(path, progress=progress):
        for at in range(0, len(piece), chunk_bytes):
            data = memoryview(piece)[at : at + chunk_bytes]
            if len(rest):
                data = memoryview(b"".join((rest, data)))
            length, _ = whole_messages(data)
            if length:
                yield data[:length]
            offset += length
            rest = data[length:]
    if len(rest):
        raise CorruptDataError(
            f"an ITCH file must end with a whole message: path={path} offset={offset} (uncompressed) remaining={len(rest)}"
        )


def read_events(
    path: str | os.PathLike[str],
    *,
    decoder: ItchDecoder | None = None,
    chunk_events: int = 65_536,
    chunk_bytes: int = 1 << 20,
    reuse: bool = False,
    progress: Progress | None = None,
) -> Iterator[npt.NDArray[np.void]]:
    """Iterate over a file as arrays of events.

    Parameters
    ----------
    path : path
        As in `open_itch`.
    decoder : ItchDecoder, optional
        Keeps counts, errors and symbols for you. By default a new one with midnight (New York) of the day in the file
        name, or 0 where the name has none since 2007.
    chunk_events : int, default 65536
        Largest number of events in an array; at least 3, the events of the longest message.
    chunk_bytes, progress
        As in `open_itch`.
    reuse : bool, default False
        Yield the same memory each time: twice as fast, for a consumer that is done with an array before it asks for the next.

    Yields
    ------
    ndarray of EVENT_DTYPE
        `seq` is 0.

    Raises
    ------
    ValueError
        If a chunk size is too small.
    CorruptDataError
        As in `open_itch`; in strict mode of the decoder also at the first malformed message.
    """
    _check_chunk_events(chunk_events)
    if decoder is None:
        decoder = ItchDecoder(_midnight_of(path))
    chunks = open_itch(path, chunk_bytes=chunk_bytes, progress=progress)
    return _events(chunks, decoder, chunk_events, reuse)


def _check_chunk_events(chunk_events: int) -> None:
    if chunk_events < MAX_EVENTS:
        raise ValueError(f"chunk_events must be at least {MAX_EVENTS}: chunk_events={chunk_events}")


def _midnight_of(path: str | os.PathLike[str]) -> int:
    """Midnight of the day in a file name, 0 where there is none since 2007."""
    day = day_of(path)
    return 0 if day is None or day.year < 2007 else midnight_ns(day)


def _events(
    chunks: Iterator[memoryview], decoder: ItchDecoder, chunk_events: int, reuse: bool
) -> Iterator[npt.NDArray[np.void]]:
    out = np.zeros(chunk_events, EVENT_DTYPE)
    for chunk in chunks:
        at = 0
        while at < len(chunk):
            events, consumed = decoder.decode(chunk[at:], out)
            at += consumed
            if events:
                yield out[:events]
                if not reuse:
                    out = np.zeros(chunk_events, EVENT_DTYPE)  # memory is touched where events come to lie, not before


class ItchFeed(Feed):
    """A recorded ITCH file as a feed.

    Parameters
    ----------
    path : path
        As in `open_itch`.
    instruments, wanted
        As in ``hft.feeds.Feed``.
    progress : callable(done, total), optional
        Told the (compressed) bytes consumed.
    chunk_events : int, default 65536
        Largest number of events in an array; at least 3, the events of the longest message.
    chunk_bytes : int, default 1 MiB
        Size of the pieces in which the file is read; at least 128 KiB.
    midnight_ns : int, optional
        Midnight of the day, ns since the UNIX epoch. By default (New York) that of `date`, of the day in the file name, or 0.
    date : date, optional
        Day at the exchange.
    strict : bool, default False
        Raise CorruptDataError at the first malformed message, after the events before it.
    chunks : iterable of bytes-like, optional
        The messages, where they are in memory: `path` is a name then.

    Attributes
    ----------
    decoder : ItchDecoder
        With the stock directory (`listings`), and the symbols by stock locate.

    Raises
    ------
    ValueError
        If a size is too small or midnight_ns is out of range. What `open_itch` raises comes while iterating.

    Notes
    -----
    A symbol is there from its listing on. A locate that has events without having been listed (a capture that begins late, a file of
    some messages) has the symbol that its message carries; until one does, events are of orders that nobody has seen and have no
    symbol. From a later listing on it has that one. Locate 0 belongs to the session, whose events have no symbol.

    **Thread safety**: one thread at a time.
    """

    format = "itch"
    book: Literal["orders", "levels", "quotes", "none"] = "orders"

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        instruments: Instruments | None = None,
        wanted: Collection[str] | None = None,
        progress: Progress | None = None,
        chunk_events: int = 65_536,
        chunk_bytes: int = 1 << 20,
        midnight_ns: int | None = None,
        date: datetime.date | None = None,
        strict: bool = False,
        chunks: Iterable[bytes | memoryview] | None = None,
    ) -> None:
        super().__init__(path, instruments, wanted)
        _check_chunk_events(chunk_events)
        if midnight_ns is None:
            midnight_ns = _midnight_of(path) if date is None else midnight_of_day(date)
        self.decoder = ItchDecoder(midnight_ns, strict, instruments=self.instruments)
        self._chunks: Generator[bytes | memoryview, None, None] = (
            open_itch(path, chunk_bytes=chunk_bytes, progress=progress) if chunks is None else (chunk for chunk in chunks)
        )
        self._chunk_events = chunk_events
        self._units = Units()

    def follow(self, previous: Feed) -> None:
        """Go on with the listings of the part before, if it is of the same day."""
        if not isinstance(previous, ItchFeed) or previous.instruments is not self.instruments:
            return
        if previous.decoder.midnight_ns == self.decoder.midnight_ns:
            self.decoder, self.includes = previous.decoder, previous

    def begin(self, symbol: str | None = None) -> tuple[int, Instrument, Source]:
        """As in ``Feed.begin``; the bytes go to the run as they are, which decodes them in its loop."""
        first = next(self._chunks, b"")
        row = self._row(symbol or _only_symbol(first), **UNITS)
        old = self.decoder
        events = np.empty(_MIN_CHUNK // 14 + MAX_EVENTS, EVENT_DTYPE)
        made, _ = ItchDecoder(old.midnight_ns).decode(memoryview(first)[:_MIN_CHUNK], events)
        self.begin_ns = int(events["exch_ns"][0]) if made else 0
        self.decoder = ItchDecoder(old.midnight_ns, old.strict, instruments=self.instruments, wanted=self.wanted)
        return row, self.instruments[row], ItchSource(chain([first], self._chunks), self.decoder)

    def lists(self, symbol: str) -> bool:
        """Say whether a symbol has been listed, or named by a message, by now."""
        return self.instruments.id_of(symbol) in self.decoder.symbol_ids.values()

    def counts(self) -> tuple[dict[str, int], int, int]:
        """Return messages by type, and how many were skipped and malformed, so far."""
        return self.decoder.counts, self.decoder.skipped, sum(self.decoder.errors.values())

    def _arrays(self) -> Iterator[Events]:
        with contextlib.closing(self._chunks):
            for chunk in self._chunks:
                at = 0
                while at < len(chunk):
                    out = np.zeros(self._chunk_events, EVENT_DTYPE)
                    failure: CorruptDataError | None = None
                    try:
                        events, consumed = self.decoder.decode(chunk[at:], out)
                    except CorruptDataError as error:
                        failure, events, consumed = error, error.events, 0  # type: ignore[attr-defined]
                    self._note(out[:events])
                    if events:
                        yield out[:events]
                    if failure is not None:
                        raise failure
                    at += consumed

    def _note(self, events: Events) -> None:
        """Take over the counts, and see that the events mean what the instruments say."""
        self.messages = self.decoder.counts
        self.errors = self.decoder.errors
        if len(self.error_log) < 64:
            self.error_log = [(offset, f"{reason} (type {type!r})") for offset, type, reason in self.decoder.error_log]
        self._units.check(self, events)

    @classmethod
    def recognise(cls, head: bytes, path: Path) -> bool:
        """Say whether nine in ten of the messages that follow each other from the first byte on are well-formed.

        The others are for the reader to count. An empty file goes by its name.
        """
        decoder = ItchDecoder()
        decoder.decode(head, np.empty(len(head) // 14 + MAX_EVENTS, EVENT_DTYPE))  # no event comes from fewer bytes
        good, bad = sum(decoder.counts.values()), sum(decoder.errors.values())
        if not head:
            return path.name.lower().endswith((".itch", ".itch.gz", ".itch.zst"))
        return good > 9 * bad


def _only_symbol(head: memoryview | bytes) -> str:
    """The only symbol that the head of a file lists or names."""
    table = Instruments()
    decoder, events, at = ItchDecoder(instruments=table), np.empty(8192, EVENT_DTYPE), 0
    while at < len(head):
        _, used = decoder.decode(memoryview(head)[at:], events)
        if not used:
            break
        at += used
    if len(table) == 1:
        return table[0].symbol
    if not len(table):
        raise UnknownSymbolInFile("the start of the file has no symbol: choose one with --symbol")
    raise UnknownSymbolInFile(f"the file has {len(table):,} symbols: choose one with --symbol ({listed(table.symbols)})")
