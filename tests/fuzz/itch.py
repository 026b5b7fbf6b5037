"""ITCH 5.0: bytes, and files of them, plain and packed."""

from __future__ import annotations

import contextlib
import gzip
import struct
import zlib
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import numpy as np

from fastcore.errors import CorruptDataError
from fastcore.records import EVENT_DTYPE
from fastcore.wire import itch
from fastcore.wire.itch import LENGTHS, ItchDecoder
from fuzz.corpora import leading, pieces, prefixed, recorded
from fuzz.engine import Counts, Target
from fuzz.laws import both, drive, feed_check, reported, same
from hft.feeds.itch import ItchFeed, read_events
from hft.feeds.synthetic import generate


def itch_corpus(random: Random, data_dir: Path | None) -> list[bytes]:
    found = [generate(n, n, ("AAA", "B"), tail=0.6, branching=0.5) for n in (14, 40, 120, 200)]
    found += pieces(generate(5_000, 9, "ABC"), prefixed, 80, 4, random)
    # Every type, with random fields and letters that are often right.
    letters = b"BSYNPQHTOICUA 12\0"
    for _ in range(3):
        messages = []
        for kind, length in LENGTHS.items():
            body = bytes(random.choice(letters) if random.random() < 0.5 else random.randrange(256) for _ in range(length - 1))
            messages.append(struct.pack(">H", length) + kind.encode() + body)
        random.shuffle(messages)
        found.append(b"".join(messages))
    for path in recorded(data_dir, "itch/*.itch*"):
        found += pieces(leading(path, 400_000), prefixed, 80, 3, random)
    return found


def itch_run(module: ModuleType, data: bytes, strict: bool) -> dict[str, Any]:
    decoder = module.ItchDecoder(10**18, strict=strict)
    out = np.zeros(23, EVENT_DTYPE)
    state: dict[str, Any] = {"raised": None}
    try:
        made, at = drive(lambda rest: decoder.decode(rest, out, final=True), data, lambda n: out[:n].tobytes())
        state |= {"events": made, "consumed": at}
    except CorruptDataError as error:
        state["raised"] = str(error)
    return state | reported(decoder, "counts", "errors", "unknown", "error_log", "skipped", "position", "symbols")


def itch_check(data: bytes, folder: Path) -> Counts:
    compiled, twin = both("wire.itch")
    for strict in (True, False):
        state = itch_run(compiled, data, strict)
        same(state, itch_run(twin, data, strict))
        assert strict or state["raised"] is None
        assert not strict or (state["raised"] is not None) == bool(state["errors"])
    messages, errors = sum(state["counts"].values()), sum(state["errors"].values())
    assert state["consumed"] == len(data) == state["position"]
    assert messages + errors == len(prefixed(data)), (messages, errors, len(prefixed(data)))
    assert len(state["error_log"]) == min(errors, 64)
    whole, count = compiled.whole_messages(data)
    assert (whole, count) == twin.whole_messages(data)
    return {"messages": messages, "errors": errors}


def itch_file_corpus(random: Random, data_dir: Path | None) -> list[bytes]:
    plain = itch_corpus(random, data_dir)
    return plain + [gzip.compress(data, 1, mtime=0) for data in plain] + [gzip.compress(plain[0]) + gzip.compress(plain[1])]


def itch_file_check(data: bytes, folder: Path) -> Counts:
    path = folder / "day.itch"
    path.write_bytes(data)
    decoder = ItchDecoder()
    events, failed = [], None
    try:
        for array in read_events(path, decoder=decoder, chunk_events=37):
            events.append(array)
    except CorruptDataError as error:
        failed = error
    if data[:2] != b"\x1f\x8b":
        # Everything that is whole has been delivered, and nothing else.
        inside = itch_run(itch, data[: decoder.position], False)
        count = sum(map(len, events))
        assert count == len(inside["events"]) // 64
        assert (failed is None) == (decoder.position == len(data))
    else:
        with contextlib.suppress(zlib.error, EOFError):
            plain = zlib.decompressobj(31).decompress(data)
            assert decoder.position <= max(len(plain), decoder.position if len(data) > 18 else 0)
    feed = feed_check(lambda **options: ItchFeed(path, **options))
    assert feed["errors"] == sum(decoder.errors.values()) and feed["refused"] == int(failed is not None)
    return feed


TARGETS = (
    Target("itch", itch_corpus, itch_check, prefixed, tuple(b"\0\x24A \0\x13D \0\x0c".split()), iterations=250),
    Target("itch_file", itch_file_corpus, itch_file_check, prefixed),
)
