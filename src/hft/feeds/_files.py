"""Files as they come - plain, gzip, Zstandard, xz, bzip2, one member of a ZIP archive - as pieces of bytes, and text as whole lines."""

from __future__ import annotations

import bz2
import codecs
import errno
import lzma
import os
import re
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import IO, Any

from fastcore.errors import CorruptDataError

from ._streams import is_stream, opened

__all__ = ["HEAD_BYTES", "LONGEST_LINE", "as_text", "extra", "head_of", "lines", "pieces", "text_head", "text_pieces", "zip_names"]

_BAD_ARCHIVE = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError, UnicodeDecodeError, OSError,
)  # fmt: skip
_Placed = tuple[int, bytes]  # where in the file the bytes behind a piece are, and the piece

HEAD_BYTES = 1 << 16
LONGEST_LINE = 1 << 24  # bytes: what has no line end is no text, and would be read whole before that is known
_READ_BYTES = 1 << 18  # stays in the nearest caches until it is converted
_SMALL, _LARGE = 1 << 10, 1 << 17  # of a compressed file at once: what it expands to is not known before
_GZIP, _ZIP, _XZ, _BZIP = b"\x1f\x8b", b"PK\x03\x04", b"\xfd7zX", b"BZh"
# What a stream of Zstandard may start with: a frame, or one of sixteen skippable frames.
_ZSTD = (b"\x28\xb5\x2f\xfd", *(bytes([0x50 + i]) + b"\x2a\x4d\x18" for i in range(16)))


def extra(name: str, extras: str = "feeds") -> ModuleType:
    """Import an optional library, or say how to get it."""
    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(f"{name} is needed for this file: pip install 'hft-fastcore[{extras}]'") from error


def zip_names(path: Path) -> list[str]:
    """Names of the members of a ZIP archive, [] where it is none or its directory is damaged; what systems put in by themselves is none."""
    try:
        with zipfile.ZipFile(path) as archive:
            return _members(archive)
    except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError, OSError):
        return []


def _members(archive: zipfile.ZipFile) -> list[str]:
    own = re.compile(r"(^|/)(__MACOSX/|\.DS_Store|Thumbs\.db|desktop\.ini)")
    names = [entry.filename for entry in archive.infolist()]
    return [name for name in names if name and not name.endswith("/") and not own.search(name)]


def head_of(path: Path) -> bytes:
    """First bytes of a file, uncompressed where it is compressed; what is damaged or lacks its library comes raw."""
    if path.is_dir():
        return b""
    with opened(path) as file:
        raw: bytes = file.read(HEAD_BYTES)
    try:
        if raw[:2] == _GZIP:
            return zlib.decompressobj(wbits=31).decompress(raw, HEAD_BYTES)
        if raw[:4] == _XZ:
            return lzma.LZMADecompressor().decompress(raw, HEAD_BYTES)
        if raw[:3] == _BZIP:
            return _bzip2_head(path)
        if raw[:4] in _ZSTD:
            zstandard = extra("zstandard")
            with opened(path) as file, zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True) as reader:
                return bytes(reader.read(HEAD_BYTES)) or raw  # an empty frame behind a skippable one
    except (zlib.error, lzma.LZMAError, OSError, EOFError, ImportError):
        return raw
    except Exception as error:  # zstandard.ZstdError, which cannot be named without the library
        if type(error).__module__.split(".")[0] != "zstandard":
            raise
    return raw


def _bzip2_head(path: Path) -> bytes:
    """A block of bzip2 is whole or nothing, and larger than what is read of other files."""
    with bz2.open(path) as file:
        return file.read(HEAD_BYTES)


def _damaged(what: str, path: Path, offset: int) -> CorruptDataError:
    return CorruptDataError(f"a compressed file must be whole: {what}: path={path} offset={offset}")


def _rescued(file: IO[bytes], frame: Any, error_type: type[Exception], begun: int, safe: int, given: int) -> Iterator[bytes]:
    """Unpack a frame again, byte by byte from `safe` on, and deliver what it has behind the first `given` bytes until it fails."""
    file.seek(begun)
    held = bytearray()
    try:
        while data := file.read(max(1, min(_SMALL, safe - file.tell()))):
            held += frame.decompress(data)
            known = min(given, len(held))
            del held[:known]
            given -= known
            if len(held) >= _READ_BYTES:
                yield bytes(held)
                held.clear()
    except (error_type, OSError):  # a stream cannot go back so far
        pass  # the caller raises it
    if held:
        yield bytes(held)


def _frames(path: Path, fresh_frame: Callable[[], Any], error_type: type[Exception]) -> Generator[_Placed, None, None]:
    """Pieces of a file of one or several compressed frames; gzip members and Zstandard frames behave alike."""
    with opened(path) as file:
        for piece in _unpacked(file, path, fresh_frame, error_type):
            yield file.tell(), piece


def _unpacked(file: IO[bytes], path: Path, fresh_frame: Callable[[], Any], error_type: type[Exception]) -> Iterator[bytes]:
    """Pieces of compressed frames, one behind the other."""
    frame, fresh = fresh_frame(), True
    begun = given = 0  # of the frame: where it begins, and how much of it was delivered
    step = _SMALL
    while data := file.read(step):
        made = 0
        while data:
            if fresh and not data.strip(b"\0"):
                break  # padding behind the last frame
            end = file.tell()
            if fresh:
                begun, given, fresh = end - len(data), 0, False
            try:
                piece = frame.decompress(data)
            except error_type as error:
                yield from _rescued(file, fresh_frame(), error_type, begun, end - len(data), given)
                raise _damaged(str(error), path, end) from error
            if piece:
                made += len(piece)
                given += len(piece)
                yield piece
            data = frame.unused_data if frame.eof else b""
            if frame.eof:
                frame, fresh = fresh_frame(), True
        # Pieces of about that size, whatever the ratio.
        step = step // 2 if made > 2 * _READ_BYTES else step * 2 if 2 * made < _READ_BYTES else step
        step = min(max(step, _SMALL), _LARGE)
    if not fresh:
        raise _damaged("it ends in the middle", path, file.tell())


def pieces(
    path: str | os.PathLike[str], *, member: str | None = None, progress: Callable[[int, int], None] | None = None
) -> Generator[bytes, None, None]:
    """Iterate over the uncompressed bytes of a file.

    Parameters
    ----------
    path : path
        Plain, gzip, Zstandard, xz or bzip2 (of several members or frames), or a ZIP archive.
    member : str, optional
        Of an archive: which file of it; by default it must hold a single one.
    progress : callable(done, total), optional
        Told the compressed bytes consumed.

    Raises
    ------
    CorruptDataError
        After everything that is whole: the file is cut off, damaged, or an archive without its directory.
    """
    path = Path(path)
    total = 0 if is_stream(path) else path.stat().st_size
    with opened(path) as file:
        magic: bytes = file.read(4)
    for done, piece in _placed(path, magic, member):
        if progress is not None:
            progress(done, total)
        yield piece
    if progress is not None:
        progress(total, total)


def _placed(path: Path, magic: bytes, member: str | None) -> Iterator[_Placed]:
    """Pieces of a file with the places behind them; what is compressed is unpacked ahead."""
    if magic[:2] == _GZIP:
        return _ahead(_frames(path, lambda: zlib.decompressobj(wbits=31), zlib.error))
    if magic == _XZ:
        return _ahead(_frames(path, lzma.LZMADecompressor, lzma.LZMAError))
    if magic[:3] == _BZIP:
        return _ahead(_frames(path, bz2.BZ2Decompressor, OSError))
    if magic in _ZSTD:
        zstandard = extra("zstandard")
        decompressor = zstandard.ZstdDecompressor()
        return _ahead(_frames(path, lambda: decompressor.decompressobj(write_size=1 << 20), zstandard.ZstdError))
    return _ahead(_member(path, member)) if magic == _ZIP else _plain(path)


def _ahead(source: Generator[_Placed, None, None]) -> Iterator[_Placed]:
    from ._ahead import ahead  # threads and their queues are imported where there is something to unpack

    return ahead(source)


def _plain(path: Path) -> Iterator[_Placed]:
    with opened(path) as file:
        while data := file.read(_READ_BYTES):
            yield file.tell(), data


def _member(path: Path, member: str | None) -> Generator[_Placed, None, None]:
    """Pieces of a file in a ZIP archive."""
    if is_stream(path):
        raise ValueError(f"a ZIP archive must be a file, its directory is at its end: path={path}")
    try:
        with open(path, "rb") as file, zipfile.ZipFile(file) as archive:
            names = _members(archive)
            if member is None:
                if len(names) != 1:
                    raise ValueError(f"an archive must hold one file, or the option member must name one: path={path} files={names}")
                member = names[0]
            elif member not in names:
                raise ValueError(f"member must be in the archive: member={member} path={path} files={names}")
            with archive.open(member) as inner:
                while data := inner.read(_READ_BYTES):
                    yield file.tell(), data
    except _BAD_ARCHIVE as error:
        # A damaged directory may name a method, a password or an offset that there is not, and names may be no text.
        if isinstance(error, OSError) and error.errno not in (errno.EINVAL, None):
            raise
        raise _damaged(str(error), path, 0) from error


def _encoding(head: bytes) -> str:
    """UTF-16 by its mark, or by the zeros of its ASCII; everything else is taken for UTF-8."""
    if head[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return "utf-16"
    zeros = [head[start:4096:2].count(0) for start in (0, 1)]
    if len(head) >= 4 and max(zeros) > 0.4 * min(len(head), 4096) / 2 and min(zeros) == 0:
        return "utf-16-le" if zeros[1] else "utf-16-be"
    return "utf-8-sig" if head[:3] == codecs.BOM_UTF8 else ""


def _as_text(source: Iterator[bytes]) -> Iterator[bytes]:
    """Pieces of a text as UTF-8 whose lines end with a line feed; damaged UTF-8 stays as it is."""
    decoder = None
    returns: bool | None = None
    for number, piece in enumerate(source):
        if number == 0 and (encoding := _encoding(piece)):
            if encoding == "utf-8-sig":
                piece = piece[3:]
            else:
                decoder = codecs.getincrementaldecoder(encoding)("replace")
        if decoder is not None:
            piece = decoder.decode(piece).encode("utf-8", "replace")
        if returns is None and (b"\r" in piece or b"\n" in piece):
            returns = b"\n" not in piece
        yield piece.replace(b"\r", b"\n") if returns else piece


def text_pieces(
    path: str | os.PathLike[str], *, member: str | None = None, progress: Callable[[int, int], None] | None = None
) -> Iterator[bytes]:
    """Iterate over a text as UTF-8 with line feeds, whatever it is written in; parameters and errors are those of `pieces`."""
    return _as_text(pieces(path, member=member, progress=progress))


def as_text(head: bytes) -> bytes:
    """The same of the first bytes."""
    return b"".join(_as_text(iter([head])))


def text_head(path: Path, member: str | None = None) -> bytes:
    """The first bytes of a text, out of its archive if it is in one."""
    head = head_of(path)
    if head[:4] == _ZIP:
        try:
            return as_text(next(pieces(path, member=member), b"")[:HEAD_BYTES])
        except CorruptDataError:
            return b""
    return as_text(head)


def lines(source: Iterator[bytes], block_bytes: int = 1 << 20) -> Iterator[bytes]:
    """Regroup pieces into blocks of whole lines; a file that is cut inside a line loses that line and nothing else.

    The last line of an undamaged file may lack its line end.

    Raises
    ------
    CorruptDataError
        Behind everything whole: as the source, or where a line has more than `LONGEST_LINE` bytes.
    """
    held: list[bytes] = []  # whole lines, then the beginning of one
    begun = whole = done = 0  # bytes of that beginning, of the lines before it, and of the blocks before those
    try:
        for piece in source:
            first = piece.find(b"\n")
            if begun + (len(piece) if first < 0 else first) > LONGEST_LINE:
                raise CorruptDataError(f"a line must have at most {LONGEST_LINE} bytes: offset={done + whole}")
            cut = 0 if first < 0 else piece.rfind(b"\n") + 1
            if not cut or whole + begun + cut < block_bytes:
                held.append(piece)
                whole, begun = (whole + begun + cut, len(piece) - cut) if cut else (whole, begun + len(piece))
                continue
            held.append(piece[:cut])
            yield b"".join(held)
            done += whole + begun + cut
            held, whole, begun = [piece[cut:]], 0, len(piece) - cut
    except CorruptDataError:
        if whole:
            yield b"".join(held)[:whole]
        raise
    if whole + begun:
        yield b"".join(held)
