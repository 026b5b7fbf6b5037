"""MoldUDP64 packets, each behind its length."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import numpy as np
from makers.framing import framed

from fastcore.errors import CorruptDataError
from fastcore.records import EVENT_DTYPE
from fastcore.wire.mold import MoldEncoder
from fuzz.corpora import payloads, prefixed, recorded
from fuzz.engine import Counts, Target
from fuzz.laws import both, reported, same
from hft.feeds.synthetic import generate


def mold_corpus(random: Random, data_dir: Path | None) -> list[bytes]:
    """Packets behind their lengths."""
    found = []
    for n, size, first in ((30, 100, 1), (120, 400, 7), (120, 1_400, 2**62), (60, 200, 0)):
        encoder = MoldEncoder("SESSION", first, size)
        data, offsets = encoder.encode(generate(n, n, "AB"))
        packets = [data[a:b] for a, b in pairwise(offsets)]
        packets[len(packets) // 2 : len(packets) // 2] = [encoder.heartbeat()]
        found.append(framed(*packets, encoder.heartbeat(), encoder.end_of_session()))
        found.append(framed(*[packet for packet in packets if random.random() < 0.8]))
    for path in recorded(data_dir, "pcap/totalview-itch5*/*.pcap"):
        found.append(framed(*payloads(path, "udp")))
    return [data for data in found if data]


def mold_run(modules: tuple[ModuleType, ModuleType], data: bytes, strict: bool) -> dict[str, Any]:
    packets = [unit[2:] for unit in prefixed(data)]
    raw = b"".join(packets)
    offsets = np.cumsum([0, *map(len, packets)], dtype=np.int64)
    mold, itch = modules
    inner = itch.ItchDecoder(10**18)
    decoder = mold.MoldDecoder(inner, strict=strict)
    out = np.zeros(40, EVENT_DTYPE)
    local_ns = np.arange(len(packets), dtype=np.int64)
    state: dict[str, Any] = {"raised": None}
    made, at = [], 0
    try:
        while at < len(packets):
            n, done = decoder.decode_batch(raw, offsets[at:], out, local_ns[at:])
            assert n or done, "a decoder must consume or make something"
            made.append(out[:n].tobytes())
            at += done
    except CorruptDataError as error:
        state["raised"] = str(error)
    state |= {"events": b"".join(made), "done": at}
    if not strict:
        assert decoder.position == len(raw)
        assert decoder.messages == sum(inner.counts.values()) + sum(inner.errors.values())
    state |= {f"itch {name}": value for name, value in reported(inner, "counts", "errors", "unknown", "error_log").items()}
    state["extracted"] = mold_extract(mold, raw, offsets)
    return state | reported(
        decoder, "session", "next_sequence", "ended", "position", "packets", "messages", "heartbeats", "ends", "sessions", "gaps",
        "missing", "duplicates", "stale", "unsequenced", "errors", "error_log",
    )  # fmt: skip


def mold_extract(mold: ModuleType, raw: bytes, offsets: Any) -> tuple[bytes, list[int]]:
    messages, numbers = mold.MoldDecoder().extract(raw, offsets)
    assert len(prefixed(messages)) == len(numbers)
    return messages, numbers.tolist()


def mold_check(data: bytes, folder: Path) -> Counts:
    compiled, twins = zip(both("wire.mold"), both("wire.itch"), strict=True)
    for strict in (True, False):
        state = mold_run(compiled, data, strict)
        same(state, mold_run(twins, data, strict))
    names = ("packets", "heartbeats", "messages", "gaps", "duplicates")
    return {name: state[name] for name in names} | {"errors": sum(state["errors"].values())}


TARGETS = (Target("mold", mold_corpus, mold_check, prefixed, iterations=150),)
