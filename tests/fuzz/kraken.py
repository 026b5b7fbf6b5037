"""Captures of Kraken's book channel."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import numpy as np

from fastcore.errors import CorruptDataError
from fastcore.records import EVENT_DTYPE
from fastcore.wire.kraken import KrakenDecoder
from fuzz.corpora import JSON, lines
from fuzz.engine import Counts, Target
from fuzz.laws import both, drive, reported, same


def kraken_line(version: int, i: int, image: bool, sides: list[list[tuple[str, str]]], checksum: int | None) -> str:
    """A message of Kraken's book channel: (price, size) of the asks, then of the bids."""
    if version == 1:
        asks, bids = ([[price, size, f"17231612{i}.5"] for price, size in side] for side in sides)
        check = {} if checksum is None else {"c": str(checksum)}
        return json.dumps([336, *([{"as": asks, "bs": bids}] if image else [{"a": asks}, {"b": bids, **check}]), "book-10", "XBT/USD"])
    asks_, bids_ = ("[" + ",".join(f'{{"price":{p},"qty":{q}}}' for p, q in side) + "]" for side in sides)
    check_ = "" if checksum is None else f',"checksum":{checksum}'
    book = f'{{"symbol":"BTC/USD","bids":{bids_},"asks":{asks_}{check_},"timestamp":"2023-10-06T17:35:55.440295Z"}}'
    return f'{{"channel":"book","type":"{"snapshot" if image else "update"}","data":[{book}]}}'


def kraken_corpus(random: Random, data_dir: Path | None) -> list[bytes]:
    """Both versions of the protocol, with the checksums that the venue would publish."""
    out = np.zeros(4_096, EVENT_DTYPE)
    found = []
    for version, symbol in ((1, "XBT/USD"), (2, "BTC/USD")):
        rows: list[str] = []
        for i in range(40):
            image = i % 20 == 0
            sides = []
            for base, step in ((101, 1), (99, -1)):
                picked = range(10) if image else random.sample(range(12), random.randrange(1, 3))
                sides.append([(f"{base + step * k}.5", f"{random.randrange(image, 9)}.25") for k in picked])
            # What the checksum must be, a decoder that has read the same says.
            decoder = KrakenDecoder()
            plain = f"1723161253.5: {kraken_line(version, i, image, sides, None)}\n"
            decoder.decode("".join([*rows, plain]).encode(), out)
            rows.append(f"1723161253.5: {kraken_line(version, i, image, sides, decoder.checksum(symbol))}\n")
        found.append("".join(rows).encode())
        found.append("".join([*rows[:25], 'configuration: {"kraken": {}}\n', *rows[5:]]).encode())
    return found


def kraken_run(module: ModuleType, data: bytes, strict: bool) -> dict[str, Any]:
    decoder = module.KrakenDecoder(strict=strict)
    out = np.zeros(len(data) // 2 + 300, EVENT_DTYPE)
    state: dict[str, Any] = {"raised": None}
    try:
        made, at = drive(lambda rest: decoder.decode(rest, out, True), data, lambda n: out[:n].tobytes())
        state |= {"events": made, "consumed": at}
    except CorruptDataError as error:
        state["raised"] = str(error)
    state |= {f"book {name}": decoder.book(name) for name, _, _ in decoder.symbols.values() if "\ufffd" not in name}
    return state | reported(
        decoder, "needed", "position", "symbols", "counts", "errors", "error_log", "stale", "gaps", "checked", "matched",
        "first_mismatch",
    )  # fmt: skip


def kraken_check(data: bytes, folder: Path) -> Counts:
    compiled, twin = both("wire.kraken")
    for strict in (True, False):
        state = kraken_run(compiled, data, strict)
        same(state, kraken_run(twin, data, strict))
        assert not strict or bool(state["raised"]) == bool(state["errors"])
    messages, errors = sum(state["counts"].values()), sum(state["errors"].values())
    assert state["consumed"] == len(data)
    assert messages + errors == sum(1 for line in data.split(b"\n") if line.removesuffix(b"\r")), (state["counts"], state["errors"])
    return {"messages": messages, "errors": errors} | {name: state[name] for name in ("checked", "matched", "gaps")}


TARGETS = (Target("kraken", kraken_corpus, kraken_check, lines, JSON, iterations=100),)
