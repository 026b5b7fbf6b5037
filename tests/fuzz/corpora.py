"""What the corpora of the targets share: splitting inputs into messages, pieces of long ones, recorded data, tokens."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from random import Random


def blocks(data: bytes, size: int = 64) -> list[bytes]:
    return [data[i : i + size] for i in range(0, len(data), size)]


def lines(data: bytes) -> list[bytes]:
    return data.splitlines(keepends=True)


def prefixed(data: bytes) -> list[bytes]:
    """Messages behind a big-endian length of two bytes; what is cut off comes last."""
    found, at = [], 0
    while at < len(data):
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        found.append(data[at:end])
        at = end
    return found


def pieces(data: bytes, split: Callable[[bytes], list[bytes]], size: int, count: int, random: Random) -> list[bytes]:
    """Some runs of `size` messages."""
    units = split(data)
    starts = {0, *(random.randrange(max(1, len(units) - size)) for _ in range(count - 1))}
    return [b"".join(units[start : start + size]) for start in sorted(starts)]


def recorded(data_dir: Path | None, pattern: str) -> list[Path]:
    return sorted(data_dir.glob(pattern)) if data_dir is not None else []


def leading(path: Path, size: int) -> bytes:
    with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
        return file.read(size)


def payloads(path: Path, protocol: str) -> list[bytes]:
    """What the packets of a capture carry."""
    import dpkt

    found = []
    with open(path, "rb") as file:
        for _, frame in dpkt.pcap.Reader(file):
            inner = dpkt.ethernet.Ethernet(frame).data
            if hasattr(inner, protocol):
                found.append(bytes(getattr(inner, protocol).data))
    return [payload for payload in found if payload]


JSON = (b'"', b"{", b"}", b"[", b"]", b",", b":", b"\n", b"\r", b"\\", b"\\u0041", b"null", b"true", b"-1", b"1e999", b"9" * 40)
JSON += (b"0.0000000001", b'"":', b'"u":1,', b'"s":"X",', b'"b":[],', b" ", b"\0", b"\xff", b"[" * 80, b'["1","2"],' * 50)
CSV = (b",", b"\n", b"\r\n", b"-", b".", b"\x1e", b'"', b"9" * 30, b"1e5", b"nan", b"\0", b"\xff", b" ", b",,,,", b"0.0000000001")
