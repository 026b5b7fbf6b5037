"""Lines of Kraken captures to events, book and checksum: what it costs to verify every message of a feed.

Generated changes of a book of ten levels a side. The peers decode the JSON text alone, to Python objects; the twin does the whole
work.
"""

import json
import random
import zlib
from typing import Any

import msgspec
import numpy as np

from fastcore.records import EVENT_DTYPE
from fastcore.reference import kraken as twin
from fastcore.wire.kraken import KrakenDecoder

from .harness import Bench, main


def generated(n: int) -> bytes:
    """Version 1: sizes change, levels go and come back; every message has its checksum."""
    choose = random.Random(1)
    bids = {50_000 - i: 10**8 for i in range(10)}
    asks = {50_001 + i: 10**8 for i in range(10)}
    text = lambda p, q: [f"{p // 10}.{p % 10}0000", f"{q // 10**8}.{q % 10**8:08d}", "1723161253.937085"]  # noqa: E731
    image = {"as": [text(*level) for level in asks.items()], "bs": [text(*level) for level in bids.items()]}
    lines = [f"1723161253.9370857: {json.dumps([336, image, 'book-10', 'XBT/USD'])}\n"]
    for _ in range(n):
        key, book = choose.choice([("a", asks), ("b", bids)])
        price = choose.choice(list(book))
        size = choose.randrange(1, 10**10)
        book[price] = size
        best = sorted(asks.items()) + sorted(bids.items(), reverse=True)
        check = zlib.crc32("".join(f"{p * 10_000}{q}" for p, q in best).encode())
        change = {key: [text(price, size)], "c": str(check)}
        lines.append(f"1723161253.9370857: {json.dumps([336, change, 'book-10', 'XBT/USD'], separators=(',', ':'))}\n")
    return "".join(lines).encode()


def run(bench: Bench) -> None:
    n = 2_000 if bench.quick else 20_000
    data = generated(n)
    texts = [line.split(b": ", 1)[1] for line in data.splitlines()]
    out = np.zeros(2 * n + 1_000, EVENT_DTYPE)
    few = n // 10
    head = b"".join(data.splitlines(True)[: few + 1])

    def decode(module: Any, lines: bytes) -> Any:
        decoder = module()
        decoder.decode(lines, out, True)
        return decoder

    def each(function: Any) -> int:
        for text in texts:
            function(text)
        return len(texts)

    def check(impl: str, result: Any) -> None:
        if impl in ("fastcore", "python"):
            assert result.checked == result.matched == (n if impl == "fastcore" else few)

    bench.compare(
        "kraken",
        "change of one level, checksum verified",
        n + 1,
        {
            "fastcore": lambda: decode(KrakenDecoder, data),
            "msgspec, JSON alone": lambda: each(msgspec.json.Decoder().decode),
            "json, JSON alone": lambda: each(json.loads),
            "python": (lambda: decode(twin.KrakenDecoder, head), few + 1),
        },
        check,
    )


if __name__ == "__main__":
    main(run)
