"""SoupBinTCP streams to packets and back: once for each message of an order entry connection.

The stream has packets of 50 bytes, every tenth a heartbeat. ``whole`` is one call; ``chunks`` gives it as a socket does, in
pieces of 1,460 bytes that end inside packets.
"""

import struct
from typing import Any

import numpy as np

from fastcore.reference import soup as twin
from fastcore.wire import soup

from .harness import Bench, main


def with_struct(raw: bytes, limit: int) -> int:
    """What a careful Python programmer writes."""
    head = struct.Struct(">HB").unpack_from
    at = n = 0
    payload = b""
    while n < limit:
        size, _ = head(raw, at)
        payload = raw[at + 3 : at + 2 + size]
        at += 2 + size
        n += 1
    assert len(payload) < 50
    return n


def run(bench: Bench) -> None:
    packets = 100_000 if bench.quick else 1_000_000
    slow = 2_000 if bench.quick else 20_000
    ten = soup.sequenced(bytes(47)) * 9 + soup.heartbeat(True)
    raw = ten * (packets // 10)
    rows = np.zeros(packets, soup.SOUP_DTYPE)
    wanted = np.zeros(packets, soup.SOUP_DTYPE)
    soup.SoupDecoder(strict=True).decode(raw, wanted)
    chunks = [raw[at : at + 1_460] for at in range(0, len(raw), 1_460)]

    def pieces() -> int:
        d = soup.SoupDecoder()
        return sum(len(d.push(chunk)[1]) for chunk in chunks)

    def check(impl: str, result: Any) -> None:
        if impl.startswith("python"):
            assert result == slow
        elif impl == "fastcore":
            assert result == packets
            assert rows.tobytes() == wanted.tobytes()
        else:
            assert result == packets

    bench.compare(
        "soup",
        "decode",
        packets,
        {
            "fastcore": lambda: soup.SoupDecoder().decode(raw, rows)[0],
            "fastcore, chunks": pieces,
            "python struct": (lambda: with_struct(raw, slow), slow),
            "python": (lambda: twin.SoupDecoder().decode(raw[: len(ten) * slow // 10], rows[:slow].copy())[0], slow),
        },
        check,
    )
    bench.compare(
        "soup", "encode", packets, {"fastcore": lambda: soup.encode(raw, wanted)}, lambda impl, result: _same(result, raw)
    )


def _same(a: object, b: object) -> None:
    assert a == b


if __name__ == "__main__":
    main(run)
