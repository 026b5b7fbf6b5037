"""The container of a network capture, pcap or pcapng: when each frame came, over which kind of link, and its bytes.

pcapng files may have several sections, each with its own byte order and interfaces, and each interface its own link type,
resolution and offset of time. A Simple Packet Block says no time: its frame has that of the latest one before it, 0 without one.

Source: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from fastcore.errors import CorruptDataError

from ._files import pieces
from .feed import Progress

__all__ = ["Frame", "is_capture", "read_frames"]

# Magic number -> byte order, ns in a unit of the fraction of a second, bytes of a record's head (libpcap, and with ns; Kuznetzov).
_PCAP = {
    bytes.fromhex(magic): (order, unit, head)
    for big, unit, head in (("a1b2c3d4", 1000, 16), ("a1b23c4d", 1, 16), ("a1b2cd34", 1000, 24))
    for magic, order in ((big, ">"), (bytes.fromhex(big)[::-1].hex(), "<"))
}
_SECTION = b"\x0a\x0d\x0d\x0a"
_ORDERS = {b"\x1a\x2b\x3c\x4d": ">", b"\x4d\x3c\x2b\x1a": "<"}
_INTERFACE, _OLD_PACKET, _SIMPLE_PACKET, _PACKET = 1, 2, 3, 6
_RESOLUTION, _OFFSET = 9, 14  # options of an interface
_MAX_READ = 1 << 26  # a packet of a capture is far smaller; a length that is damaged may be anything
_MAX_NS = 2**62


class Frame(NamedTuple):
    local_ns: int
    record: int  # where it is in the (uncompressed) file
    link: int  # tcpdump.org/linktypes.html
    data: bytes


class _Interface(NamedTuple):
    link: int
    snap: int  # bytes that are kept of a frame; 0: all
    units: int  # of time in a second
    offset_ns: int


def is_capture(head: bytes) -> bool:
    """Say whether a file is a capture, by its magic number."""
    return head[:4] in _PCAP or head[:4] == _SECTION


class _Bytes:
    """The file, read forwards."""

    def __init__(self, path: Path, progress: Progress | None) -> None:
        self._path = path
        self._pieces = pieces(path, progress=progress)
        self._piece = b""
        self._at = 0  # what of the piece is done with
        self.position = 0

    def record(self, size: int) -> bytes:
        """Return the head of a record, empty where the file ends before it."""
        return b"" if self._at == len(self._piece) and not self._more() else self.take(size)

    def take(self, size: int) -> bytes:
        """Return as many bytes, all of which must be there."""
        end = self._at + size
        if not 0 <= size <= _MAX_READ:
            raise self.corrupt(f"a record must be smaller than 64 MiB: size={size}")
        if end > len(self._piece):
            parts = [self._piece[self._at :]]
            missing = size - len(parts[0])
            while missing > 0:
                if not self._more():
                    raise self.corrupt(f"it ends inside a record: remaining={size - missing}")
                parts.append(self._piece[:missing])
                missing -= len(self._piece)
                self._at = len(parts[-1])
            self.position += size
            return b"".join(parts)
        data = self._piece[self._at : end]
        self._at = end
        self.position += size
        return data

    def _more(self) -> bool:
        self._piece, self._at = next(self._pieces, b""), 0
        return bool(self._piece)

    def close(self) -> None:
        self._pieces.close()

    def corrupt(self, what: str) -> CorruptDataError:
        return CorruptDataError(f"a capture must be whole: {what} path={self._path} offset={self.position}")

    def checked(self, local_ns: int) -> int:
        """Return a time that events can have."""
        if not 0 <= local_ns < _MAX_NS:
            raise self.corrupt(f"a time must be in 1970..2116: local_ns={local_ns}")
        return local_ns


def read_frames(path: Path, progress: Progress | None) -> Iterator[Frame]:
    """Iterate over the frames of a capture.

    Raises
    ------
    CorruptDataError
        After the frames before it: what is damaged, or that the file ends inside a record.
    """
    source = _Bytes(path, progress)
    try:
        magic = source.record(4)
        if magic in _PCAP:
            yield from _pcap(source, *_PCAP[magic])
        elif magic == _SECTION:
            yield from _pcapng(source)
        else:
            raise source.corrupt(f"its magic number must be known: magic={magic.hex()}")
    finally:
        source.close()


def _pcap(source: _Bytes, order: str, unit: int, size: int) -> Iterator[Frame]:
    link = struct.unpack(order + "16xI", source.take(20))[0] & 0xFFFF  # above it: how long check sums at the end of frames are
    head = struct.Struct(f"{order}4I{size - 16}x")
    at = source.position
    while record := source.record(size):
        seconds, fraction, length, _ = head.unpack(record)
        data = source.take(length)
        yield Frame(source.checked(seconds * 10**9 + fraction * unit), at, link, data)
        at = source.position


def _pcapng(source: _Bytes) -> Iterator[Frame]:
    order, interfaces, latest = "", list[_Interface](), 0
    kind, at = _SECTION, 0
    while kind:
        if kind == _SECTION:
            head = source.take(8)
            if head[4:] not in _ORDERS:
                raise source.corrupt(f"a section must say its byte order: magic={head[4:].hex()}")
            order, interfaces = _ORDERS[head[4:]], []
            length, body = struct.unpack(order + "I", head[:4])[0], head[4:]
        else:
            length, body = struct.unpack(order + "I", source.take(4))[0], b""
        if length < 12 + len(body):
            raise source.corrupt(f"a block must have room for its head: length={length}")
        body += source.take(length - 12 - len(body))
        if source.take(4) != struct.pack(order + "I", length):
            raise source.corrupt(f"a block must end with its length: length={length}")
        number = struct.unpack(order + "I", kind)[0]
        try:
            if kind == _SECTION:
                if (major := struct.unpack_from(order + "H", body, 4)[0]) != 1:
                    raise source.corrupt(f"the version of a section must be 1: version={major}")
            elif number == _INTERFACE:
                interfaces.append(_described(body, order))
            elif number in (_PACKET, _OLD_PACKET):
                which, high, low, size = struct.unpack_from(order + ("IIII" if number == _PACKET else "HxxIII"), body)
                interface = interfaces[which]
                latest = source.checked(interface.offset_ns + (high << 32 | low) * 10**9 // interface.units)
                if size > len(body) - 20:
                    raise source.corrupt(f"a packet must fit into its block: size={size} length={length}")
                yield Frame(latest, at, interface.link, body[20 : 20 + size])
            elif number == _SIMPLE_PACKET:
                (size,) = struct.unpack_from(order + "I", body)
                size = min(size, len(body) - 4, interfaces[0].snap or size)
                yield Frame(latest, at, interfaces[0].link, body[4 : 4 + size])
        except (struct.error, IndexError) as error:
            what = "a packet must be of an interface that its section describes" if isinstance(error, IndexError) else "a block is too short"
            raise source.corrupt(f"{what}: type={number} length={length}") from error
        at = source.position
        kind = source.record(4)


def _described(body: bytes, order: str) -> _Interface:
    """What an Interface Description Block says."""
    link, snap = struct.unpack_from(order + "HxxI", body)
    units, offset, at = 10**6, 0, 8
    while at + 4 <= len(body):
        code, size = struct.unpack_from(order + "HH", body, at)
        value = body[at + 4 : at + 4 + size]
        if code == _RESOLUTION and value:
            units = 2 ** (value[0] & 127) if value[0] & 128 else 10 ** value[0]
        elif code == _OFFSET and len(value) == 8:
            (offset,) = struct.unpack(order + "q", value)
        elif code == 0:
            break
        at += 4 + size + -size % 4
    return _Interface(link, snap, units, offset * 10**9)
