"""Captures of MoldUDP64 and of SoupBinTCP."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Sequence
from pathlib import Path
from random import Random

from fastcore.errors import CorruptDataError
from fuzz.corpora import blocks, prefixed, recorded
from fuzz.engine import Counts, Target
from fuzz.laws import REFUSALS, feed_check
from fuzz.mold import mold_corpus
from fuzz.soup import soup_corpus
from hft.feeds.ouch import read_ouch
from hft.feeds.pcap import PcapFeed


def udp(payload: bytes) -> bytes:
    return b"\x11" + struct.pack(">HHHH", 12_000, 26_477, 8 + len(payload), 0) + payload


def tcp(payload: bytes, sequence: int, port: int) -> bytes:
    return b"\x06" + struct.pack(">HHIIHHHH", port, 3 - port, sequence, 0, 0x5018, 65_535, 0, 0) + payload


def capture(datagrams: Sequence[bytes]) -> bytes:
    """A classic capture of Ethernet frames; the first byte of each datagram is its protocol."""
    out = [struct.pack("<IHHIIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, 1)]
    for i, datagram in enumerate(datagrams):
        ip = struct.pack(">BBHHHBBHII", 0x45, 0, 19 + len(datagram), i, 0, 64, datagram[0], 0, 0x0A000001, 0xE9360C65) + datagram[1:]
        frame = b"\1\0^6\x0ce" + b"\2\0\0\0\0\1" + b"\x08\0" + ip
        out.append(struct.pack("<IIII", 1_700_000_000 + i, i, len(frame), len(frame)) + frame)
    return b"".join(out)


def pcap_corpus(random: Random, data_dir: Path | None) -> list[bytes]:
    """Captures of MoldUDP64 and of SoupBinTCP in IPv4 and Ethernet; and those that are recorded."""
    found = []
    for data in mold_corpus(random, None)[:4]:
        found.append(capture([udp(unit[2:]) for unit in prefixed(data)]))
    client, venue = soup_corpus(random, None)[:2]
    segments = [tcp(data[at : at + 300], 1_000 + at, port) for port, data in ((1, client), (2, venue)) for at in range(0, len(data), 300)]
    found.append(capture(segments))
    found.append(gzip.compress(found[0], 1, mtime=0))
    for pattern in ("pcap/totalview-itch5*/*.pcap", "pcap/ouch5/*.pcap"):
        found += [path.read_bytes() for path in recorded(data_dir, pattern)]
    return found


def pcap_check(data: bytes, folder: Path) -> Counts:
    path = folder / "day.pcap"
    path.write_bytes(data)
    made = 0
    try:
        for messages in read_ouch(path):
            made += len(messages.events)
    except ValueError as error:
        if not isinstance(error, CorruptDataError) and not str(error).startswith(REFUSALS):
            raise
    counts = feed_check(lambda **options: PcapFeed(path, **options))
    return counts | {"ouch": made}


TARGETS = (Target("pcap", pcap_corpus, pcap_check, blocks, needs=("dpkt",), iterations=150),)
