"""The frames of network captures as packets.

Of the usual frame the headers are read here; the library ``dpkt`` takes link, IP, UDP and TCP headers of the others apart. Some Python
per packet is the price.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ._files import extra
from ._frames import read_frames
from .feed import FormatError, Progress

__all__ = ["Packet", "address_name", "read_packets"]

# Link types (tcpdump.org/linktypes.html) and how long their headers are; None: Ethernet.
_ETHERNET, _LOOPBACK, _RAW, _COOKED, _COOKED2 = 1, (0, 108), (12, 14, 101, 228, 229), 113, 276
_LINKS = {_ETHERNET, *_LOOPBACK, *_RAW, _COOKED, _COOKED2}


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
        return ip4(frame) if frame[:1] and frame[0] >> 4 == 4 else ip6(frame)

    def fragment(packet: Any) -> bool:
        if isinstance(packet, ip4):
            return bool(packet.mf or packet.offset)
        header = packet.extension_hdrs.get(44)
        return header is not None and bool(header.frag_off or header.m_flag)

    other: int | None = None  # a link type that is none of ours
    known = False
    for local_ns, record, link, frame in read_frames(path, progress):
        known |= link in _LINKS
        # The usual frame: Ethernet with at most one tag, IPv4 of 20 bytes, UDP, no fragment.
        ip = 18 if frame[12:14] == b"\x81\x00" else 14
        usual = link == _ETHERNET and frame[ip - 2 : ip + 1] == b"\x08\x00\x45" and len(frame) >= ip + 28
        if usual and frame[ip + 9] == 17 and not (frame[ip + 6] & 0x3F or frame[ip + 7]):
            source = frame[ip + 12 : ip + 16], int.from_bytes(frame[ip + 20 : ip + 22], "big")
            target = frame[ip + 16 : ip + 20], int.from_bytes(frame[ip + 22 : ip + 24], "big")
            payload = frame[ip + 28 : ip + 20 + int.from_bytes(frame[ip + 24 : ip + 26], "big")]
            yield Packet(local_ns, record, 17, source, target, payload, 0, 0, "")
            continue
        if link not in _LINKS:
            other = link
            yield Packet(local_ns, record, 0, nothing, nothing, b"", 0, 0, f"link type {link}")
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
    if other is not None and not known:
        raise FormatError(f"the link type must be Ethernet, Linux cooked, loopback or raw IP: link={other} path={path}")


def address_name(address: tuple[bytes, int]) -> str:
    raw, port = address
    if len(raw) == 4:
        return f"{'.'.join(map(str, raw))}:{port}"
    return f"[{':'.join(raw[i : i + 2].hex() for i in range(0, len(raw), 2))}]:{port}"
