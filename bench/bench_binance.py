"""Lines of Binance captures to events: the first step of every crypto replay, once for each message.

The lines are a generated USD-M session (best prices, trades, diffs of 30 levels a side); where ``FASTCORE_TEST_DATA`` names a
directory with recordings, they are timed too. Peers get the JSON text alone and stop at Python objects: msgspec with a schema
of the fields that are used, and without; orjson; the standard library.
"""

import gzip
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from fastcore.records import EVENT_DTYPE, KINDS
from fastcore.reference import binance as twin
from fastcore.wire.binance import BinanceDecoder

from .harness import Bench, main

CHUNK = 8_192
STREAMS = {"bookTicker": b"@bookTicker", "trade": b"@trade", "diff": b"@depth"}


class Quote(msgspec.Struct):
    u: int
    s: str
    b: str
    B: str
    a: str
    A: str
    T: int = 0


class Trade(msgspec.Struct):
    s: str
    t: int
    p: str
    q: str
    T: int
    m: bool


class Diff(msgspec.Struct):
    s: str
    U: int
    u: int
    b: list[tuple[str, str]]
    a: list[tuple[str, str]]
    T: int = 0
    pu: int = 0


class QuoteLine(msgspec.Struct):
    data: Quote


class TradeLine(msgspec.Struct):
    data: Trade


class DiffLine(msgspec.Struct):
    data: Diff


SCHEMAS: dict[str, type] = {"bookTicker": QuoteLine, "trade": TradeLine, "diff": DiffLine}


def generated(n: int) -> bytes:
    """Lines in the proportions of a recorded session, of the same widths."""
    choose = random.Random(1)
    lines, u, now = [], 5_123_107_832_006, 1_723_161_255_000
    price = lambda: f"{choose.randrange(61_000, 62_000)}.{choose.randrange(10)}0"  # noqa: E731
    size = lambda: f"{choose.randrange(20)}.{choose.randrange(1000):03d}"  # noqa: E731

    def add(stream: str, message: dict[str, Any]) -> None:
        text = json.dumps({"stream": f"btcusdt@{stream}", "data": message}, separators=(",", ":"))
        lines.append(f"{now * 1_000_000 + choose.randrange(10**6)} {text}\n")

    lines.append(f'{now * 1_000_000} {{"lastUpdateId":{u},"symbol":"BTCUSDT","bids":[["60000.10","1.000"]],"asks":[]}}\n')
    for i in range(n):
        now += 4
        kind = choose.random()
        if kind < 0.70:
            message = {"e": "bookTicker", "u": u, "s": "BTCUSDT", "b": price(), "B": size(), "a": price(), "A": size()}
            add("bookTicker", {**message, "T": now, "E": now})
        elif kind < 0.93:
            message = {"e": "trade", "E": now, "T": now, "s": "BTCUSDT", "t": 5_266_583_935 + i, "p": price(), "q": size()}
            add("trade", {**message, "X": "MARKET", "m": choose.random() < 0.5})
        else:
            levels = [[[price(), size()] for _ in range(30)] for _ in range(2)]
            message = {"e": "depthUpdate", "E": now, "T": now, "s": "BTCUSDT", "U": u + 9, "u": u + 5_000, "pu": u}
            u += 5_000
            add("depth@0ms", {**message, "b": levels[0], "a": levels[1]})
    return "".join(lines).encode()


def decode(data: bytes, chunk: Any, module: Any = BinanceDecoder) -> tuple[dict[str, int], int]:
    """All lines through one array that is used again; messages by type, and events."""
    decoder, view = module(), memoryview(data)
    at = events = 0
    while at < len(data) or decoder.pending:
        n, consumed = decoder.decode(view[at:], chunk, True)
        at += consumed
        events += n
    return decoder.counts, events


def compare(bench: Bench, where: str, data: bytes, orjson: Any) -> None:
    chunk = np.zeros(CHUNK, EVENT_DTYPE)
    lines = data.splitlines(True)
    few = 2_000 if bench.quick else 10_000

    def peers(chosen: list[bytes]) -> dict[str, tuple[Callable[[], Any], int]]:
        texts = [line.split(b" ", 1)[1] for line in chosen[:few] if b'"lastUpdateId"' not in line]
        head = b"".join(chosen[: few // 5])
        schema = SCHEMAS.get(name)
        cases: dict[str, tuple[Callable[[], Any], int]] = {}
        if schema is not None:
            cases["msgspec, schema"] = _each(msgspec.json.Decoder(schema).decode, texts)
        cases["msgspec"] = _each(msgspec.json.Decoder().decode, texts)
        if orjson is not None:
            cases["orjson"] = _each(orjson.loads, texts)
        cases["json"] = _each(json.loads, texts)
        cases["python"] = (lambda: decode(head, chunk, twin.BinanceDecoder), len(chosen[: few // 5]))
        return cases

    for name, mark in STREAMS.items():
        # Diffs need the image that they follow.
        chosen = [line for line in lines if mark in line or (name == "diff" and b'"lastUpdateId"' in line)]
        chosen = chosen[: 5_000 if bench.quick else len(chosen)]
        part = b"".join(chosen)

        def check(impl: str, result: Any, chosen: list[bytes] = chosen, part: bytes = part) -> None:
            if impl == "fastcore":
                counts, events = result
                assert sum(counts.values()) == len(chosen), counts
                out, expected = np.zeros(events, EVENT_DTYPE), np.zeros(events, EVENT_DTYPE)
                BinanceDecoder().decode(part, out, True)
                head = b"".join(chosen[:500])
                n, _ = twin.BinanceDecoder().decode(head, expected, True)
                assert out[:n].tobytes() == expected[:n].tobytes()

        added = bench.compare(
            "binance", f"{name} line, {where}", len(chosen), {"fastcore": lambda part=part: decode(part, chunk), **peers(chosen)}, check
        )
        if name == "diff":
            _, events = decode(part, chunk)
            bench.add("binance", f"level of a diff, {where}", "fastcore", *_scaled(added["fastcore"], len(chosen), events), events)
            # A number that may not be whole has no place in a form: every line is read key by key.
            odd = part.replace(b'"depthUpdate"', b'"depthUpdate","x":-1')
            assert decode(odd, chunk)[1] == events
            bench.compare("binance", f"level of a diff, key by key, {where}", events, {"fastcore": lambda odd=odd: decode(odd, chunk)})

    name = "all"

    def check_all(impl: str, result: Any) -> None:
        if impl == "fastcore":
            assert sum(result[0].values()) == len(lines)
            out = np.zeros(result[1], EVENT_DTYPE)
            decoder = BinanceDecoder()
            assert decoder.decode(data, out, True) == (len(out), len(data)) and not decoder.errors
            assert (out["kind"] == KINDS["quote"]).sum() == decoder.counts["bookTicker"]

    bench.compare("binance", f"line of a whole file, {where}", len(lines), {"fastcore": lambda: decode(data, chunk), **peers(lines)}, check_all)


def _each(function: Callable[[bytes], Any], texts: list[bytes]) -> tuple[Callable[[], Any], int]:
    def run() -> Any:
        last = None
        for text in texts:
            last = function(text)
        return last

    return run, len(texts)


def _scaled(row: dict[str, Any], lines: int, events: int) -> tuple[float, float]:
    return row["ns_per_item"] * lines / events, row["median_ns_per_item"] * lines / events


def run(bench: Bench) -> None:
    orjson = bench.optional("orjson")
    compare(bench, "generated", generated(5_000 if bench.quick else 60_000), orjson)
    folder = Path(os.environ.get("FASTCORE_TEST_DATA", "")) / "binance"
    if "FASTCORE_TEST_DATA" in os.environ and not bench.quick:
        for label in ("spot_btcusdt", "usdm_btcusdt"):
            with gzip.open(folder / f"{label}_20240808.gz") as file:
                compare(bench, label, file.read(), orjson)


if __name__ == "__main__":
    main(run)
