"""Network captures: packets of a stream, frames around them, and files of frames."""

import struct
from datetime import date
from itertools import pairwise

from fastcore.wire import mold
from hft.feeds.itch import midnight_ns

DAY = date(2023, 8, 22)
NOON = midnight_ns(DAY) + 12 * 3_600 * 10**9


def packets_of(stream, sequence=1, session="SYNTH", size=1_400):
    data, offsets = mold.MoldEncoder(session, sequence, size).encode(stream)
    return [data[a:b] for a, b in pairwise(offsets)]


def ip4(payload, port=26_400, address=b"\xe9\x36\x0c\x6f", options=b"", flags=0, protocol=17):
    udp = struct.pack(">4H", 5_000, port, 8 + len(payload), 0) + payload if protocol == 17 else payload
    head = struct.pack(">BBHHHBBH", 0x45 + len(options) // 4, 0, 20 + len(options) + len(udp), 1, flags, 64, protocol, 0)
    return head + b"\x0a\0\0\1" + address + options + udp


def ip6(payload, port=26_400, extension=b""):
    udp = struct.pack(">4H", 5_000, port, 8 + len(payload), 1) + payload
    first = extension[0] if extension else 17
    body = (b"\x11" + extension[1:] if extension else b"") + udp
    return struct.pack(">IHBB", 6 << 28, len(body), first, 64) + bytes(15) + b"\1" + b"\xff\x0e" + bytes(13) + b"\2" + body


def ethernet(packet, type=0x0800, tags=b""):
    return b"\1\0\x5e\0\0\1" + bytes(6) + tags + struct.pack(">H", type) + packet


def tcp(payload, sequence, outbound=False, flags=0x18):
    ports = (8_001, 40_000) if outbound else (40_000, 8_001)
    return struct.pack(">HHIIBBHHH", *ports, sequence & 0xFFFFFFFF, 0, 0x50, flags, 1_000, 0, 0) + payload


def tcp_frame(*args, **options):
    segment = tcp(*args, **options)
    venue = bool(args[2:] and args[2]) or options.get("outbound", False)
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(segment), 1, 0, 64, 6, 0)
    a, b = b"\x0a\0\0\1", b"\x0a\0\0\2"
    return ethernet(head + (b + a if venue else a + b) + segment)


def pcap(path, rows, link=1, nano=True):
    """Write (ns, frame) rows; above the 16 bits of the link type stands how long check sums are."""
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B23C4D if nano else 0xA1B2C3D4, 2, 4, 0, 0, 65_535, link))
        for ns, frame in rows:
            part = ns % 10**9 if nano else ns % 10**9 // 1_000
            file.write(struct.pack("<4I", ns // 10**9, part, len(frame), len(frame)) + frame)
    return path


def block(type, body, order="<"):
    body += bytes(-len(body) % 4)
    return struct.pack(order + "II", type, len(body) + 12) + body + struct.pack(order + "I", len(body) + 12)


def section(order="<", version=1):
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, version, 0, -1), order)


def interface(link=1, resolution=9, offset=None, snap=65_535, order="<"):
    options = struct.pack(order + "HHB3x", 9, 1, resolution) if resolution is not None else b""
    options += struct.pack(order + "HHq", 14, 8, offset) if offset is not None else b""
    return block(1, struct.pack(order + "HHI", link, 0, snap) + options + struct.pack(order + "HH", 0, 0), order)


def packet(units, frame, number=0, order="<"):
    return block(6, struct.pack(order + "IIIII", number, units >> 32, units & 0xFFFFFFFF, len(frame), len(frame)) + frame, order)


def pcapng(path, rows, link=1):
    statistics = block(5, struct.pack("<III", 0, 0, 0))  # passed over
    path.write_bytes(b"".join([section(), interface(link), statistics, *(packet(ns, frame) for ns, frame in rows)]))
    return path


def timed(frames, start=NOON):
    return [(start + 1_001 * i, frame) for i, frame in enumerate(frames)]
