"""Network captures (pcap and pcapng, plain, gzip or Zstandard) as packets.

The library ``dpkt`` reads the capture format and takes link, IP, UDP and TCP headers apart: some Python per packet, which is
its price.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from fastcore.errors import CorruptDataError

from ._files import extra, pieces
from .feed import Progress

__all__ = ["Packet", "address_name", "is_capture", "read_packets"]

_PCAP = {bytes.fromhex(magic) for magic in ("a1b2c3d4", "d4c3b2a1", "a1b23c4d", "4d3cb2a1", "a1b2cd34", "34cdb2a1")}
_PCAPNG = b"\x0a\x0d\x0d\x0a"
_MAX_READ = 1 << 26  # a packet of a capture is far smaller; a length that is damaged may be anything
_MAX_NS = 2**62

# Link types (tcpdump.org/linktypes.html) and how long their headers are; None: Ethernet.
_ETHERNET, _LOOPBACK, _RAW, _COOKED, _COOKED2 = 1, (0, 108), (12, 14, 101, 228, 229), 113, 276


def is_capture(head: bytes) -> bool:
    """Say whether a file is a capture, by its magic number."""
    return head[:4] in _PCAP or head[:4] == _PCAPNG


class _Source:
    """The file as `dpkt` sees it, which does not look whether it got all that it asked for: a short read raises here."""

    def __init__(self, path: Path, progress: Progress | None) -> None:
        self._path = path
        self._pieces = pieces(path, progress=progress)
        self._piece = b""
        self._at = 0  # what of the piece is done with
        self._damage: CorruptDataError | None = None
        self._head = b""  # all that was read before the reader has started: it may go back to the first byte
        self._whole = True  # the next byte begins a record, so that the file may end here
        self.started = False
        self.position = 0
        self.record = 0  # where the record at hand begins
        self.name = str(path)

    def _take(self, size: int) -> bytes:
        found = [self._piece[self._at : self._at + size]]
        missing = size - len(found[0])
        self._at += len(found[0])
        while missing and self._damage is None:
            try:
                self._piece = next(self._pieces)
            except StopIteration:
                break
            except CorruptDataError as error:
                self._damage = error  # what was read before it may be whole
                break
            found.append(self._piece[:missing])
            self._at = len(found[-1])
            missing -= self._at
        return b"".join(found)

    def read(self, size: int) -> bytes:
        whole = self._whole
        at, end = self._at, self._at + size
        if self.started and at <= end <= len(self._piece):  # nearly always
            data = self._piece[at:end]
            self._at = end
        elif not 0 <= size <= _MAX_READ:
            raise self.corrupt(f"a record must be smaller than 64 MiB: size={size}")
        else:
            data = self._take(size)
            if not self.started:
                self._head += data
            elif len(data) < size and (data or not whole or self._damage is not None):
                raise self._damage or self.corrupt(f"it ends inside a record: remaining={len(data)}")
        if whole:
            self.record = self.position
        self._whole = not whole or not self.started
        self.position += len(data)
        return data

    def seek(self, position: int) -> None:
        if position or self.started:
            raise ValueError(f"a capture is read once, from its beginning: position={position}")
        self._piece, self._at = self._head + self._piece[self._at :], 0
        self._head = b""
        self.position = 0

    def close(self) -> None:
        self._pieces.close()

    def corrupt(self, what: str) -> CorruptDataError:
        return CorruptDataError(f"a capture must be whole: {what} path={self._path} offset={self.position}")


class Packet(NamedTuple):
    """What one captured frame carries."""

    local_ns: int
    record: int  # where it is in the (uncompressed) file
    protocol: int  # 17 UDP, 6 TCP; 0: passed over
    source: tuple[bytes, int]
    target: tuple[bytes, int]
    payload: bytes
    sequence: int  # TCP
    flags: int  # TCP
    reason: str  # why it is passed over


def _frames(path: Path, progress: Progress | None) -> Iterator[tuple[int, int, int, bytes]]:
    """Time, place in the file, link type and bytes of every frame."""
    dpkt = extra("dpkt")
    source = _Source(path, progress)
    try:
        reader = dpkt.pcap.UniversalReader(source)
        # Times in exact arithmetic: a double has no room for nanoseconds since 1970.
        if isinstance(reader, dpkt.pcapng.Reader):
            reader._divisor = Decimal(reader._divisor)
        exact = isinstance(reader._divisor, Decimal)
        link = reader.datalink()
        source.started = True
        for time, frame in reader:
            local_ns = int(time * 10**9) if exact else round(time * 1e6) * 1000
            if not 0 <= local_ns < _MAX_NS:
                raise source.corrupt(f"a time must be in 1970..2116: local_ns={local_ns}")
            yield local_ns, source.record, link, frame
    # What the library lets through of a damaged file; nothing else is called here.
    except (dpkt.Error, struct.error, ValueError, ArithmeticError, LookupError, TypeError) as error:
        if isinstance(error, CorruptDataError):
            raise
        raise source.corrupt(f"{type(error).__name__}: {error}") from error
    finally:
        source.close()


def read_packets(path: Path, progress: Progress | None) -> Iterator[Packet]:
    dpkt = extra("dpkt")
    ethernet, ip4, ip6, udp, tcp = dpkt.ethernet.Ethernet, dpkt.ip.IP, dpkt.ip6.IP6, dpkt.udp.UDP, dpkt.tcp.TCP
    nothing = (b"", 0)

    def network(link: int, frame: bytes) -> object:
        if link == _ETHERNET:
            return ethernet(frame).data
        if link in (_COOKED, _COOKED2):
            # The type of what follows, as behind two Ethernet addresses: so tags are taken off there too.
            body = frame[14:] if link == _COOKED else frame[:2] + frame[20:]
            return ethernet(bytes(12) + body).data
        if link in _LOOPBACK:
            frame = frame[4:]
        elif link not in _RAW:
            raise ValueError(f"the link type must be Ethernet, Linux cooked, loopback or raw IP: link={link}")
        return ip4(frame) if frame[:1] and frame[0] >> 4 == 4 else ip6(frame)

    def fragment(packet: Any) -> bool:
        if isinstance(packet, ip4):
            return bool(packet.mf or packet.offset)
        header = packet.extension_hdrs.get(44)
        return header is not None and bool(header.frag_off or header.m_flag)

    for local_ns, record, link, frame in _frames(path, progress):
        # The usual frame: Ethernet with at most one tag, IPv4 of 20 bytes, UDP, no fragment.
        ip = 18 if frame[12:14] == b"\x81\x00" else 14
        usual = link == _ETHERNET and frame[ip - 2 : ip + 1] == b"\x08\x00\x45" and len(frame) >= ip + 28
        if usual and frame[ip + 9] == 17 and not (frame[ip + 6] & 0x3F or frame[ip + 7]):
            source = frame[ip + 12 : ip + 16], int.from_bytes(frame[ip + 20 : ip + 22], "big")
            target = frame[ip + 16 : ip + 20], int.from_bytes(frame[ip + 22 : ip + 24], "big")
            payload = frame[ip + 28 : ip + 20 + int.from_bytes(frame[ip + 24 : ip + 26], "big")]
            yield Packet(local_ns, record, 17, source, target, payload, 0, 0, "")
            continue
        reason, protocol, number, flags, payload = "", 0, 0, 0, b""
        source = target = nothing
        try:
            packet = network(link, frame)
        except (dpkt.Error, struct.error, IndexError):  # cut off inside a header
            packet = None
        segment = getattr(packet, "data", None)
        if not isinstance(packet, (ip4, ip6)):
            reason = "not IP"
        elif fragment(packet):
            reason = "fragment"
        elif isinstance(segment, udp):
            protocol, payload = 17, bytes(segment.data)[: max(segment.ulen - 8, 0)]
        elif isinstance(segment, tcp):
            protocol, payload, number, flags = 6, bytes(segment.data), segment.seq, segment.flags
        else:
            reason = "not UDP or TCP"
        if protocol:
            source, target = (packet.src, segment.sport), (packet.dst, segment.dport)  # type: ignore[union-attr]
        yield Packet(local_ns, record, protocol, source, target, payload, number, flags, reason)


def address_name(address: tuple[bytes, int]) -> str:
    raw, port = address
    if len(raw) == 4:
        return f"{'.'.join(map(str, raw))}:{port}"
    return f"[{':'.join(raw[i : i + 2].hex() for i in range(0, len(raw), 2))}]:{port}"
