"""NASDAQ TotalView-ITCH 5.0 files, plain or gzip, as chunks of whole messages and as event arrays.

Python runs once for each chunk (megabytes), never for each message.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import re
import stat
import zlib
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from fastcore.errors import CorruptDataError
from fastcore.itch import ItchDecoder, whole_messages
from fastcore.records import EVENT_DTYPE

__all__ = ["day_of", "midnight_ns", "open_itch", "read_events"]

# Called with the bytes of the file that are consumed, and its size.
Progress = Callable[[int, int], None]

_GZIP_MAGIC = b"\x1f\x8b"
_MIN_CHUNK = 1 << 17  # twice the longest message
_READ_BYTES = 1 << 18


def day_of(path: str | os.PathLike[str]) -> date | None:
    """Return the day in a file name (``2020-01-30``, ``20200130`` or the exchange's ``01302020``), None where there is none."""
    name = Path(path).name
    for pattern, order in (
        (r"(?<!\d)(\d{4})-(\d\d)-(\d\d)(?!\d)", (0, 1, 2)),
        (r"(?<!\d)((?:19|20)\d\d)(\d\d)(\d\d)(?!\d)", (0, 1, 2)),
        (r"(?<!\d)(\d\d)(\d\d)((?:19|20)\d\d)(?!\d)", (2, 0, 1)),
    ):
        for found in re.finditer(pattern, name):
            year, month, day = (int(found.groups()[i]) for i in order)
            try:
                return date(year, month, day)
            except ValueError:
                continue
    return None


def midnight_ns(day: date) -> int:
    """Return midnight of a day at the exchange (New York), ns since the UNIX epoch.

    Parameters
    ----------
    day : date
        2007 or later: before, daylight saving time had other dates (and this protocol was not there).

    Raises
    ------
    ValueError
        If the day is earlier.
    """
    if day.year < 2007:
        raise ValueError(f"day must not be before 2007: day={day}")
    # Energy Policy Act of 2005: from the second Sunday of March to the first of November, at 02:00 each.
    starts = _sunday(day.year, 3, 8)
    ends = _sunday(day.year, 11, 1)
    offset_hours = 4 if starts < day <= ends else 5
    return ((day - date(1970, 1, 1)).days * 24 + offset_hours) * 3_600_000_000_000


def _sunday(year: int, month: int, first_day: int) -> date:
    """The first Sunday on or after a day."""
    day = date(year, month, first_day)
    return day + timedelta(days=6 - day.weekday())


def open_itch(
    path: str | os.PathLike[str], *, chunk_bytes: int = 1 << 20, progress: Progress | None = None
) -> Iterator[memoryview]:
    """Iterate over a file in chunks of whole messages.

    Parameters
    ----------
    path : path
        Length-prefixed ITCH 5.0 messages; gzip is recognised by its first bytes.
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
        If chunk_bytes is too small, or if the path is a pipe or a device.
    CorruptDataError
        After everything that is whole has been delivered: the file ends inside a message, the gzip stream is cut off or
        fails its checksum, or something follows it that is not gzip.
    OSError
        If the file cannot be read.
    """
    if chunk_bytes < _MIN_CHUNK:
        raise ValueError(f"chunk_bytes must be at least {_MIN_CHUNK}: chunk_bytes={chunk_bytes}")
    return _chunks(Path(path), chunk_bytes, progress or (lambda done, total: None))


def _chunks(path: Path, chunk_bytes: int, progress: Progress) -> Iterator[memoryview]:
    with open(path, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"path must be a regular file: path={path}")
        total = status.st_size
        magic = file.read(2)
        file.seek(0)
        if magic == _GZIP_MAGIC:
            yield from _compressed(file, path, total, chunk_bytes, progress)
        elif total:
            yield from _mapped(file, path, total, chunk_bytes, progress)


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


def _inflated(file: BinaryIO, path: Path, chunk_bytes: int) -> Iterator[bytes]:
    """Pieces of at most `chunk_bytes` of a gzip file of one or several members."""

    def corrupt(what: str) -> CorruptDataError:
        return CorruptDataError(f"a gzip file must be whole: {what} path={path} offset={file.tell()}")

    member = zlib.decompressobj(wbits=31)
    fresh = True
    while data := file.read(_READ_BYTES):
        while data:
            if fresh and not data.strip(b"\0"):
                data = b""  # padding behind the last member
                continue
            fresh = False
            try:
                piece = member.decompress(data, chunk_bytes)
            except zlib.error as error:
                raise corrupt(str(error)) from error
            if piece:
                yield piece
            data = member.unconsumed_tail
            if member.eof:
                data = member.unused_data
                member = zlib.decompressobj(wbits=31)
                fresh = True
    if not fresh:
        raise corrupt("it ends in the middle")


def _compressed(file: BinaryIO, path: Path, total: int, chunk_bytes: int, progress: Progress) -> Iterator[memoryview]:
    rest: bytes | memoryview = b""
    offset = 0
    for piece in _inflated(file, path, chunk_bytes):
        data = memoryview(b"".join((rest, piece)) if len(rest) else piece)
        length, _ = whole_messages(data)
        if length:
            yield data[:length]
            progress(file.tell(), total)
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
        Largest number of events in an array.
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
    if chunk_events < 1:
        raise ValueError(f"chunk_events must be at least 1: chunk_events={chunk_events}")
    if decoder is None:
        day = day_of(path)
        decoder = ItchDecoder(0 if day is None or day.year < 2007 else midnight_ns(day))
    chunks = open_itch(path, chunk_bytes=chunk_bytes, progress=progress)
    return _events(chunks, decoder, chunk_events, reuse)


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
                yield out[:events] if reuse else out[:events].copy()
