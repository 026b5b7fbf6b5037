"""Captures of Binance streams."""

from __future__ import annotations

from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import numpy as np

from fastcore.errors import CorruptDataError
from fastcore.records import EVENT_DTYPE
from fuzz.corpora import JSON, leading, lines, pieces, recorded
from fuzz.engine import LONGEST, Counts, Target
from fuzz.laws import both, drive, reported, same


def binance_corpus(random: Random, data_dir: Path | None) -> list[bytes]:
    ns, ms = 1_723_161_253_937_085_768, 1_723_161_255_208

    def levels(count: int) -> str:
        return "[" + ",".join(f'["{random.randrange(90, 110)}.5","{random.randrange(5)}.25"]' for _ in range(count)) + "]"

    found = []
    for futures in (False, True):
        rows = []
        for i in range(40):
            u = 100 + 5 * i
            rows += random.sample(
                [
                    f'{{"e":"depthUpdate","E":{ms + i},"T":{ms + i},"s":"BTCUSDT","U":{u - 4},"u":{u},"pu":{u - 5},"b":{levels(3)},"a":'
                    f"{levels(2)}}}"
                    if futures
                    else f'{{"stream":"btcusdt@depth","data":{{"e":"depthUpdate","E":{ms + i},"s":"BTCUSDT","U":{u - 4},"u":{u},'
                    f'"b":{levels(2)},"a":{levels(2)}}}}}',
                    f'{{"u":{u},"s":"BTCUSDT","b":"99.5","B":"3.25","a":"100.5","A":"1.5"}}',
                    f'{{"e":"trade","E":{ms},"s":"BTCUSDT","t":{u},"p":"100.0","q":"0.5","T":{ms},"m":true,"M":true}}',
                    f'{{"e":"aggTrade","E":{ms},"s":"ETHUSDT","a":{u},"p":"2.5","q":"4.5","f":1,"l":2,"T":{ms},"m":false}}',
                    f'{{"lastUpdateId":{u},"bids":{levels(4)},"asks":{levels(4)}}}',
                    '{"result":null,"id":1}',
                ],
                1 + i % 3,
            )
        found.append("".join(f"{ns + j} {row}\n" for j, row in enumerate(rows)).encode())
    for path in recorded(data_dir, "binance/*.gz"):
        found += [piece[:LONGEST] for piece in pieces(leading(path, 400_000), lines, 25, 2, random)]
    return found


def binance_run(module: ModuleType, data: bytes, strict: bool) -> dict[str, Any]:
    decoder = module.BinanceDecoder(strict=strict, image_symbol="BTCUSDT", max_held=200)
    out = np.zeros(len(data) // 4 + 300, EVENT_DTYPE)  # more than a message or what waits can need
    state: dict[str, Any] = {"raised": None}
    try:
        made, at = drive(lambda rest: decoder.decode(rest, out, True), data, lambda n: out[:n].tobytes())
        state |= {"events": made, "consumed": at}
    except CorruptDataError as error:
        state["raised"] = str(error)
    return state | reported(
        decoder, "pending", "needed", "position", "symbols", "counts", "errors", "error_log", "skipped", "stale", "stale_images",
        "held", "dropped", "gaps",
    )  # fmt: skip


def binance_check(data: bytes, folder: Path) -> Counts:
    compiled, twin = both("wire.binance")
    for strict in (True, False):
        state = binance_run(compiled, data, strict)
        same(state, binance_run(twin, data, strict))
        assert not strict or bool(state["raised"]) == bool(state["errors"])
    messages, errors = sum(state["counts"].values()), sum(state["errors"].values())
    assert state["consumed"] == len(data)
    assert messages + errors == sum(1 for line in data.split(b"\n") if line.removesuffix(b"\r"))
    return {"messages": messages, "errors": errors, "gaps": state["gaps"], "stale": state["stale"]}


TARGETS = (Target("binance", binance_corpus, binance_check, lines, JSON, iterations=120),)
