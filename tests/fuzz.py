"""Mutation fuzzing of everything that reads bytes from outside: valid inputs are damaged, and laws must still hold.

    python tests/fuzz.py --list
    python tests/fuzz.py TARGET [--seconds N | --iterations N] [--seed S] [--keep DIRECTORY]
    python tests/fuzz.py TARGET --file INPUT        one input that was kept

The laws, for every target: no crash (each run is a process of its own, and what it works on is in a file before it starts),
no endless loop (a decoder consumes or stops, and a watchdog ends the process), no memory growth, a report that accounts for
every message or byte consumed, and agreement with the plain-Python twin where there is one. An input that breaks a law is
made smaller, if it did not kill the process, and kept.

Inputs depend on the seed and the number of the iteration alone. With FASTCORE_TEST_DATA the corpora hold recorded data too.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import gc
import gzip
import hashlib
import json
import mmap
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import warnings
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import numpy as np

LONGEST = 1 << 16  # bytes of an input
BATCH = 32  # inputs that are written to disk at a time
PATIENCE_S = 120.0  # for one batch, under a sanitizer on a busy machine
GROWTH = 8 << 20  # bytes of resident memory, from the most in the second quarter of a run to the least in the last

Counts = dict[str, int]  # the report of one input: messages, errors, ...


@dataclass(frozen=True)
class Target:
    """One reader of bytes.

    Attributes
    ----------
    needs : tuple of str
        Modules without which there is nothing to fuzz.
    corpus : callable(random, data directory or None) -> list of bytes
        Valid inputs.
    check : callable(input, scratch directory) -> dict
        Reads an input, raises AssertionError where a law is broken, returns counts for the summary.
    units : callable(bytes) -> list of bytes
        Splits an input, damaged or not, into its messages, whose concatenation it is.
    tokens : tuple of bytes
        Pieces that are worth inserting.
    iterations : int
        Of a bounded run: a few seconds.
    """

    name: str
    needs: tuple[str, ...]
    corpus: Callable[[Random, Path | None], list[bytes]]
    check: Callable[[bytes, Path], Counts]
    units: Callable[[bytes], list[bytes]]
    tokens: tuple[bytes, ...] = ()
    iterations: int = 400

    def missing(self) -> list[str]:
        """Modules that are needed and not there."""
        return [name for name in self.needs if not _exists(name)]


def _exists(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


# ---- mutations ----

EXTREMES = (0, 1, 2, 0x7F, 0x80, 0xFF)
WIDE = (0, 1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63 - 1, 2**63, 2**64 - 1)


def span(random: Random, size: int, most: int = 64) -> tuple[int, int]:
    """A random range, not empty unless there is nothing."""
    start = random.randrange(size) if size else 0
    return start, min(size, start + 1 + int(random.expovariate(1 / 8)) % most)


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


def mutate(random: Random, corpus: Sequence[bytes], target: Target) -> bytes:
    """A valid input with one to some faults."""
    data = random.choice(corpus)
    for _ in range(1 + min(int(random.expovariate(0.6)), 12)):
        data = random.choice(MUTATIONS)(random, data, corpus, target)[:LONGEST]
    return data


def _flip(random: Random, data: bytes, corpus: Sequence[bytes], target: Target) -> bytes:
    out = bytearray(data)
    if out:
        out[random.randrange(len(out))] ^= 1 << random.randrange(8)
    return bytes(out)


def _byte(random: Random, data: bytes, corpus: Sequence[bytes], target: Target) -> bytes:
    out = bytearray(data)
    if out:
        out[random.randrange(len(out))] = random.choice((*EXTREMES, random.randrange(256)))
    return bytes(out)


def _number(random: Random, data: bytes, corpus: Sequence[bytes], target: Target) -> bytes:
    """A field of 2, 4 or 8 bytes at an extreme, in either byte order."""
    size = random.choice((2, 4, 8))
    value = random.choice(WIDE) + random.randrange(-2, 3)
    at = random.randrange(max(1, len(data) - size))
    new = (value % (1 << (8 * size))).to_bytes(size, random.choice(("big", "little")))
    return data[:at] + new + data[at + size :]


def _cut(random: Random, data: bytes, corpus: Sequence[bytes], target: Target) -> bytes:
    start, end = span(random, len(data))
    return data[:start] + data[end:]


def _end(random: Random, data: bytes, corpus: Sequence[bytes], target: Target) -> bytes:
    return data[: random.randrange(len(data) + 1)]


def _repeat(random: Random, data: bytes, corpus: Sequence[bytes], target: Target) -> bytes:
    start, end = span(random, len(data))
    return data[:end] + data[start:end] * random.randrange(1, 40) + data[end:]


def _insert(random: Random, data: bytes, corpus: Sequence[bytes], target: Target) -> bytes:
    at = random.randrange(len(data) + 1)
    new = random.choice(target.tokens) if target.tokens and random.random() < 0.7 else random.randbytes(random.randrange(1, 24))
    return data[:at] + new + data[at:]


def _swap(random: Random, data: bytes, corpus: Sequence[bytes], target: Target) -> bytes:
    a, b = sorted((span(random, len(data)), span(random, len(data))))
    b = (max(a[1], b[0]), max(a[1], b[1]))
    return data[: a[0]] + data[slice(*b)] + data[a[1] : b[0]] + data[slice(*a)] + data[b[1] :]


def _splice(random: Random, data: bytes, corpus: Sequence[bytes], target: Target) -> bytes:
    other = random.choice(corpus)
    return data[: random.randrange(len(data) + 1)] + other[random.randrange(len(other) + 1) :]


def _lie(random: Random, data: bytes, corpus: Sequence[bytes], target: Target) -> bytes:
    """The first two bytes of a message, where the length is, or its type behind them."""
    units = target.units(data)
    if not units:
        return data
    i = random.randrange(len(units))
    unit = bytearray(units[i])
    if random.random() < 0.5 and len(unit) >= 2:
        length = int.from_bytes(unit[:2], "big") + random.choice((-3, -2, -1, 1, 2, 3, random.randrange(-40, 40)))
        unit[:2] = (random.choice(WIDE) if random.random() < 0.1 else length).__mod__(1 << 16).to_bytes(2, "big")
    elif len(unit) > 2:
        unit[2] = random.randrange(256) if random.random() < 0.3 else random.choice(random.choice(corpus) or b"A")
    units[i] = bytes(unit)
    return b"".join(units)


def _messages(random: Random, data: bytes, corpus: Sequence[bytes], target: Target) -> bytes:
    """Whole messages lost, doubled, swapped, or taken from elsewhere."""
    units = target.units(data)
    if not units:
        return data
    i, j = random.randrange(len(units)), random.randrange(len(units))
    match random.randrange(4):
        case 0:
            del units[i : i + 1 + int(random.expovariate(0.5))]
        case 1:
            units[j:j] = units[i : i + 1 + int(random.expovariate(0.5))]
        case 2:
            units[i], units[j] = units[j], units[i]
        case _:
            other = target.units(random.choice(corpus))
            units.insert(i, random.choice(other) if other else b"")
    return b"".join(units)


MUTATIONS = (_flip, _byte, _number, _cut, _end, _repeat, _insert, _swap, _splice, _lie, _messages)


# ---- what targets share ----


def both(module: str) -> tuple[ModuleType, ModuleType]:
    """The compiled module and its twin."""
    return import_module(f"fastcore.{module}"), import_module(f"fastcore.reference.{module.rpartition('.')[2]}")


def same(compiled: Any, twin: Any) -> None:
    """Fail with the first difference of two reports."""
    if compiled == twin:
        return
    for key in compiled:
        if compiled[key] != twin[key]:
            raise AssertionError(f"the twins differ: {key}: compiled={compiled[key]!r:.2000} reference={twin[key]!r:.2000}")


def drive(decode: Callable[[memoryview], tuple[int, int]], data: bytes, take: Callable[[int], bytes]) -> tuple[bytes, int]:
    """Call a decoder until it stops: what it made and what it consumed. It must consume or make something, or stop."""
    view, at, made = memoryview(data), 0, []
    for _ in range(2 * len(data) + 2):
        events, consumed = decode(view[at:])
        assert 0 <= consumed <= len(data) - at, f"consumed={consumed} left={len(data) - at}"
        made.append(take(events))
        at += consumed
        if not consumed and not events:
            return b"".join(made), at
    raise AssertionError("a decoder must come to an end: it did not")


def reported(thing: Any, *names: str) -> dict[str, Any]:
    return {name: getattr(thing, name) for name in names if hasattr(thing, name)}


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


# What a feed may say of a file that is whole, and that it cannot read.
REFUSALS = ("the link type must be", "the columns of a table must", "a table of ")


def feed_run(make: Callable[..., Any], **options: Any) -> dict[str, Any]:
    """Read a feed to its end and hold it to what every feed promises."""
    from fastcore.errors import CorruptDataError
    from fastcore.records import EVENT_DTYPE, FLAGS, KINDS, NO_SYMBOL

    state: dict[str, Any] = {"raised": None}
    made = []
    feed = None
    try:
        feed = make(**options)
        for events in feed:
            assert events.dtype == EVENT_DTYPE and len(events)
            assert not events["flags"][-1] & FLAGS["continued"], "a message is split between two arrays"
            assert events["kind"].max() < len(KINDS) and events["kind"].min() > 0
            known = np.array([*feed.instruments, NO_SYMBOL], np.uint32)
            assert np.isin(events["symbol_id"], known).all() or feed.format == "itch" or feed.format == "pcap", "an unknown symbol"
            made.append(events.tobytes())
    except ValueError as error:
        if not isinstance(error, CorruptDataError) and not str(error).startswith(REFUSALS):
            raise
        state["raised"] = str(error)
    state["events"] = b"".join(made)
    if feed is not None:
        assert len(feed.error_log) == min(sum(feed.errors.values()), 64), (feed.errors, feed.error_log)
        state |= reported(feed, "messages", "errors", "error_log", "gaps", "instruments")
        feed.close()
    return state


def feed_check(make: Callable[..., Any]) -> Counts:
    """The size of the arrays changes nothing, and strict mode raises where the other counts."""
    state = feed_run(make)
    small = feed_run(make, chunk_events=97)
    same(state, small)
    strict = feed_run(make, strict=True)
    errors = sum(state.get("errors", {}).values())
    assert bool(strict["raised"]) == bool(errors or state["raised"]), (strict["raised"], state.get("errors"), state["raised"])
    assert state["events"].startswith(strict["events"]) or errors == 0
    return {
        "messages": sum(state.get("messages", {}).values()),
        "events": len(state["events"]) // 64,
        "errors": errors,
        "refused": int(state["raised"] is not None),
    }


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


def framed(messages: Sequence[bytes]) -> bytes:
    """Packets as an input: each behind its length."""
    return b"".join(struct.pack(">H", len(message)) + message for message in messages)


# ---- ITCH ----


def itch_corpus(random: Random, data_dir: Path | None) -> list[bytes]:
    from fastcore.wire.itch import LENGTHS
    from hft.feeds.synthetic import generate

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
    from fastcore.errors import CorruptDataError
    from fastcore.records import EVENT_DTYPE

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
    from fastcore.errors import CorruptDataError
    from fastcore.wire.itch import ItchDecoder
    from hft.feeds.itch import ItchFeed, read_events

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
        inside = itch_run(import_module("fastcore.wire.itch"), data[: decoder.position], False)
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


# ---- books ----


def events_corpus(random: Random, data_dir: Path | None) -> list[bytes]:
    from hft.feeds.synthetic import generate_events

    found = [generate_events(n, n, ("AAA", "B")).tobytes() for n in (40, 150)]
    found += pieces(generate_events(3_000, 5).tobytes(), blocks, 150, 4, random)
    for path in recorded(data_dir, "itch/A*.itch*"):
        from fastcore.records import EVENT_DTYPE
        from fastcore.wire.itch import ItchDecoder

        out = np.zeros(2_000, EVENT_DTYPE)
        n, _ = ItchDecoder().decode(leading(path, 120_000), out)
        found += pieces(out[:n].tobytes(), blocks, 150, 3, random)
    return found


def levels_corpus(random: Random, data_dir: Path | None) -> list[bytes]:
    """Images, changes, quotes and gaps of two symbols."""
    from fastcore.records import EVENT_DTYPE, FLAGS, KINDS

    found = []
    for n in (30, 150, 150, 150):
        events = np.zeros(n, EVENT_DTYPE)
        for i, event in enumerate(events):
            image = i % 60 < 8
            event["kind"] = KINDS["clear" if i % 60 == 0 else "level" if image or random.random() < 0.9 else "gap"]
            event["flags"] = FLAGS["snapshot"] if image else 0
            event["flags"] |= FLAGS["continued"] if i % 60 < 7 or random.random() < 0.2 else 0
            event["seq"], event["exch_ns"], event["symbol_id"] = i, i, i // 60 % 2
            event["side"] = random.choice((-1, 1))
            event["price"] = 100 - event["side"] * random.randrange(1, 12)
            event["size"] = random.choice((0, 1, 5, 2**40))
            if random.random() < 0.1:
                event["kind"] = KINDS["quote"]
                event["price"], event["size"], event["order_id"], event["match_id"] = 95, 105, 3, 4  # bid, ask, their sizes
        found.append(events.tobytes())
    return found + events_corpus(random, None)[:1]


def book_run(make: Callable[..., Any], table: Any, events: Any, signed: bool) -> dict[str, Any]:
    from fastcore.records import QUOTE_DTYPE

    state: dict[str, Any] = {}
    for i, symbol in enumerate((None, 1)):
        book = make(symbol, table() if i else None, signed_prices=signed)
        quotes = np.zeros(len(events) + 1, QUOTE_DTYPE)
        half = len(events) // 2
        n = book.apply_into(events[:half], quotes)
        result = book.apply(events[half:])
        book.check()
        depth = [side.tobytes() for side in book.depth()]
        again = make(symbol, None, signed_prices=signed)
        again.apply(book.snapshot())
        again.check()
        assert symbol is None or [side.tobytes() for side in again.depth()] == depth, "a snapshot makes another book"
        state |= {
            f"quotes {i}": quotes[:n].tobytes(),
            f"result {i}": result,
            f"counts {i}": book.counts,
            f"hash {i}": book.state_hash(),
            f"depth {i}": depth,
            f"live {i}": len(book),
            f"best {i}": (book.best_bid, book.best_ask, book.crossed, book.locked, book.stale),
        }
    return state


def books_check(name: str, data: bytes) -> Counts:
    from fastcore.records import EVENT_DTYPE

    events = np.frombuffer(data[: len(data) // 64 * 64], EVENT_DTYPE)
    modules = both("book")
    for signed in (True, False):
        state, other = (book_run(getattr(m, name), lambda m=m: m.OrderTable(1, 1), events, signed) for m in modules)
        same(state, other)
    ok = state["counts 0"].get("ok", 0)
    return {"events": len(events), "ok": ok, "errors": sum(state["counts 0"].values()) - ok}


def book_check(data: bytes, folder: Path) -> Counts:
    return books_check("OrderBook", data)


def level_book_check(data: bytes, folder: Path) -> Counts:
    return books_check("LevelBook", data)


# ---- tick store ----


def store_rows(seed: int, count: int) -> Any:
    from fastcore.records import TICK_DTYPE

    random = np.random.default_rng(seed)
    rows = np.zeros(count, TICK_DTYPE)
    rows["timestamp_ns"] = np.sort(random.integers(0, 2**60, count))
    rows["symbol_id"] = random.integers(0, 5, count)
    rows["price"], rows["volume"] = random.random(count), random.random(count)
    return rows


STORES = ((1, 3), (2, 200), (3, 700))


def store_corpus(random: Random, data_dir: Path | None) -> list[bytes]:
    """Stores as a file each, closed and as a crash leaves them, with the long runs of zeros left out: see `packed`."""
    from fastcore.tickstore import TickStore

    found = []
    with tempfile.TemporaryDirectory() as folder:
        for seed, count in STORES:
            path = Path(folder) / f"{seed}"
            rows = store_rows(seed, count)
            with TickStore(str(path), "a", segment_records=2048) as store:
                store.append_many(rows[: count // 2])
                store.flush()
                store.append_many(rows[count // 2 :])
                found.append(packed(path.read_bytes()))
            found.append(packed(path.read_bytes()))
    return found


def packed(data: bytes) -> bytes:
    """Zeros as their number, so that mutations meet what matters: (u32 zeros, u32 bytes, bytes), repeated."""
    out, at = [], 0
    while at < len(data):
        start = at
        while data[at : at + 64] == bytes(len(data[at : at + 64])) and at < len(data):
            at += 64
        zeros, start = min(at, len(data)) - start, at
        while at < len(data) and data[at : at + 64].strip(b"\0"):
            at += 64
        out.append(struct.pack("<II", zeros, len(data[start:at])) + data[start:at])
    return b"".join(out)


def unpacked(data: bytes) -> bytes:
    out, at, size = [], 0, 0
    while at + 8 <= len(data) and size < 1 << 19:
        zeros, length = struct.unpack_from("<II", data, at)
        at += 8
        out += [bytes(min(zeros, 1 << 18)), data[at : at + min(length, 1 << 18)]]
        size += len(out[-1]) + len(out[-2])
        at += min(length, 1 << 18)
    return b"".join(out)


def store_check(data: bytes, folder: Path) -> Counts:
    """Damage never makes a record that was not appended, and both twins recover the same."""
    from fastcore.errors import CorruptDataError, LayoutError

    image = unpacked(data)
    written = [store_rows(*store).tobytes() for store in STORES]
    outcomes: list[dict[str, Any]] = []
    for module in both("tickstore"):
        outcome: dict[str, Any] = {}
        for salvage in (False, True):
            for old in folder.iterdir():
                old.unlink()
            path = folder / "s"
            path.write_bytes(image)
            for mode in "rar":
                try:
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore", module.StoreWarning)
                        store = module.TickStore(str(path), mode, salvage=salvage)
                except (CorruptDataError, LayoutError) as error:
                    outcome[f"{salvage} {mode}"] = type(error).__name__
                    continue
                with store:
                    found = store.records().tobytes()
                    assert any(rows.startswith(found) for rows in written), f"{len(found) // 32} records, not those written"
                    store.query(0, 2**62, 1)
                    outcome[f"{salvage} {mode}"] = (len(store), store.recovery and store.recovery[:5])
        outcomes.append(outcome)
    same(*outcomes)
    opened = [value for value in outcomes[0].values() if not isinstance(value, str)]
    return {"opened": len(opened), "refused": 6 - len(opened), "records": sum(count for count, _ in opened)}


# ---- MoldUDP64, SoupBinTCP, OUCH ----


def mold_corpus(random: Random, data_dir: Path | None) -> list[bytes]:
    """Packets behind their lengths."""
    from fastcore.wire.mold import MoldEncoder
    from hft.feeds.synthetic import generate

    found = []
    for n, size, first in ((30, 100, 1), (120, 400, 7), (120, 1_400, 2**62), (60, 200, 0)):
        encoder = MoldEncoder("SESSION", first, size)
        data, offsets = encoder.encode(generate(n, n, "AB"))
        packets = [data[a:b] for a, b in pairwise(offsets)]
        packets[len(packets) // 2 : len(packets) // 2] = [encoder.heartbeat()]
        found.append(framed([*packets, encoder.heartbeat(), encoder.end_of_session()]))
        found.append(framed([packet for packet in packets if random.random() < 0.8]))
    for path in recorded(data_dir, "pcap/totalview-itch5*/*.pcap"):
        found.append(framed(payloads(path, "udp")))
    return [data for data in found if data]


def mold_run(modules: tuple[ModuleType, ModuleType], data: bytes, strict: bool) -> dict[str, Any]:
    from fastcore.errors import CorruptDataError
    from fastcore.records import EVENT_DTYPE

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


def ouch_messages(random: Random, outbound: bool) -> list[bytes]:
    """Every type with random fields, and appendages of random elements."""
    from fastcore.reference import ouch
    from fastcore.wire.ouch import OPTIONS, pack_options

    found = []
    for letter, message in ouch._messages(outbound).items():
        for _ in range(2):
            body = bytearray(random.randbytes(message.struct.size))
            body[0] = ord(letter)
            values = list(message.struct.unpack(bytes(body)))
            for i, name in enumerate(message.names, 1):
                if name == "side":
                    values[i] = random.choice((b"B", b"S", b"T", b"E"))
                elif name in ("time", "price"):
                    values[i] = random.randrange(2**40)
                elif name == "symbol":
                    values[i] = random.choice((b"AAPL    ", b"X       ", b"ZZZZZZZZ"))
            raw = message.struct.pack(*values)
            if message.appendage == 2 or (message.appendage and random.random() < 0.5):
                options: dict[Any, Any] = {}
                for name in random.sample(sorted(OPTIONS), random.randrange(4)):
                    _, size, kind = OPTIONS[name]
                    options[name] = random.randrange(256) if kind in "us" and size < 2 else 7 if kind in "us" else "A"
                appendage = pack_options(options)
                raw += struct.pack(">H", len(appendage)) + appendage
            found.append(raw)
    random.shuffle(found)
    return found


def soup_corpus(random: Random, data_dir: Path | None) -> list[bytes]:
    from fastcore.wire import soup

    client = soup.login_request("user", "secret") + soup.heartbeat(False)
    client += b"".join(map(soup.unsequenced, ouch_messages(random, False))) + soup.logout_request()
    venue = soup.login_accepted("SESSION", 1) + soup.debug("hello") + soup.heartbeat(True)
    venue += b"".join(map(soup.sequenced, ouch_messages(random, True))) + soup.end_of_session()
    found = [client, venue, soup.login_rejected("A"), client[:60] + venue[:400]]
    for path in recorded(data_dir, "pcap/ouch5/*.pcap"):
        found.append(b"".join(payloads(path, "tcp")))
    return [data for data in found if data]


SOUP_REPORT = ("counts", "unknown", "errors", "error_log", "position", "next_sequence", "pending")


def soup_run(module: ModuleType, data: bytes, strict: bool) -> dict[str, Any]:
    from fastcore.errors import CorruptDataError

    decoder = module.SoupDecoder(2**64 - 3, strict)
    rows = np.zeros(9, module.SOUP_DTYPE)
    state: dict[str, Any] = {"raised": None}
    try:
        made, at = drive(lambda rest: decoder.decode(rest, rows, True), data, lambda n: rows[:n].tobytes())
        state |= {"rows": made, "consumed": at}
    except CorruptDataError as error:
        state["raised"] = str(error)
    state |= reported(decoder, *SOUP_REPORT)
    pushed = module.SoupDecoder(2**64 - 3)
    pieces_ = []
    for at in range(0, len(data), 61):
        view, found = pushed.push(data[at : at + 61])
        pieces_ += [(bytes(view[row["offset"] :][: row["length"]]), int(row["sequence"])) for row in found]
    state["pushed"] = pieces_
    return state | {f"pushed {name}": value for name, value in reported(pushed, *SOUP_REPORT).items()}


def soup_check(data: bytes, folder: Path) -> Counts:
    compiled, twin = both("wire.soup")
    for strict in (True, False):
        state = soup_run(compiled, data, strict)
        same(state, soup_run(twin, data, strict))
        assert not strict or bool(state["raised"]) == bool(state["errors"])
    packets, errors = sum(state["counts"].values()), sum(state["errors"].values())
    assert state["consumed"] == len(data)
    assert packets + errors == len(prefixed(data))
    assert len(state["pushed"]) == packets
    return {"packets": packets, "errors": errors}


def ouch_check(data: bytes, folder: Path) -> Counts:
    from fastcore.errors import CorruptDataError
    from fastcore.records import EVENT_DTYPE
    from fastcore.wire.ouch import OUCH_DTYPE
    from fastcore.wire.soup import SOUP_DTYPE, SoupDecoder

    rows = np.zeros(len(data) // 2 + 1, SOUP_DTYPE)
    n, _ = SoupDecoder().decode(data, rows, True)
    rows = rows[:n]
    carried = int(np.isin(rows["type"], [b"S", b"U"]).sum())
    total = {"messages": 0, "errors": 0}
    for outbound in (False, True):
        for strict in (True, False):
            outcome = []
            for module, symbols in zip(both("wire.ouch"), both("symbols"), strict=True):
                mapper = symbols.SymbolMapper()
                mapper.add("AAPL")
                decoder = module.OuchDecoder(outbound, mapper, 10**18, strict)
                out, details = np.zeros(n, EVENT_DTYPE), np.zeros(n, OUCH_DTYPE)
                state: dict[str, Any] = {"raised": None, "made": 0}
                try:
                    state["made"] = decoder.decode(data, rows, out, details, 5, 1_000)
                except CorruptDataError as error:
                    state["raised"] = str(error)
                state |= {"events": out[: state["made"]].tobytes(), "details": details[: state["made"]].tolist()}
                state |= reported(decoder, "counts", "errors", "unknown", "error_log")
                if state["made"]:
                    encoded, where = module.OuchEncoder(outbound, 10**18).encode(out[: state["made"]], details[: state["made"]], data)
                    state |= {"encoded": encoded, "where": where.tolist()}
                outcome.append(state)
            same(*outcome)
            assert not strict or bool(state["raised"]) == bool(state["errors"])
        messages, errors = sum(state["counts"].values()), sum(state["errors"].values())
        assert messages + errors == carried and messages == state["made"]
        total = {"messages": total["messages"] + messages, "errors": total["errors"] + errors}
    return total


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
    from fastcore.errors import CorruptDataError
    from hft.feeds.pcap import PcapFeed, read_ouch

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


# ---- Binance ----


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
    from fastcore.errors import CorruptDataError
    from fastcore.records import EVENT_DTYPE

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
    from fastcore.records import EVENT_DTYPE
    from fastcore.wire.kraken import KrakenDecoder

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
    from fastcore.errors import CorruptDataError
    from fastcore.records import EVENT_DTYPE

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


JSON = (b'"', b"{", b"}", b"[", b"]", b",", b":", b"\n", b"\r", b"\\", b"\\u0041", b"null", b"true", b"-1", b"1e999", b"9" * 40)
JSON += (b"0.0000000001", b'"":', b'"u":1,', b'"s":"X",', b'"b":[],', b" ", b"\0", b"\xff", b"[" * 80, b'["1","2"],' * 50)


# ---- LOBSTER ----

DAY = "AAA_2012-06-21_34200000_57600000"


def lobster_corpus(random: Random, data_dir: Path | None) -> list[bytes]:
    """Messages and orderbook rows of two levels, joined by a record separator; and as an archive."""
    import io
    import zipfile

    from fastcore.book import OrderBook
    from fastcore.records import KINDS
    from hft.feeds.synthetic import generate_events

    found = []
    for n in (80, 160):
        book = OrderBook(1)
        messages, rows = [], []
        types = {KINDS["add"]: 1, KINDS["cancel"]: 2, KINDS["delete"]: 3, KINDS["execute"]: 4, KINDS["trade"]: 5}
        for event in np.array_split(generate_events(n, n), n):
            kind = int(event["kind"][0])
            if kind not in types:
                continue
            order = int(event["order_id"][0])
            side, price, size, _ = book.order(order) or (int(event["side"][0]), int(event["price"][0]), int(event["size"][0]), 0)
            size = size if types[kind] == 3 else int(event["size"][0])
            book.apply(event)
            messages.append(f"{34_200 + len(rows)}.{len(rows):09d},{types[kind]},{order},{size},{price},{side}\n")
            bids, asks = (side["price"].tolist() for side in book.depth(2))
            sizes = [side["size"].tolist() for side in book.depth(2)]
            row = []
            for i in range(2):
                row += [asks[i], sizes[1][i]] if i < len(asks) else [9_999_999_999, 0]
                row += [bids[i], sizes[0][i]] if i < len(bids) else [-9_999_999_999, 0]
            rows.append(",".join(map(str, row)) + "\n")
        parts = ["".join(messages).encode(), "".join(rows).encode()]
        found.append(b"\x1e".join(parts))
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
            for name, part in zip(("message", "orderbook"), parts, strict=True):
                file.writestr(zipfile.ZipInfo(f"{DAY}_{name}_2.csv"), part)
        found.append(archive.getvalue())
    for path in recorded(data_dir, "lobster/*_AMZN_*_1.zip"):
        with zipfile.ZipFile(path) as file:
            names = sorted(name for name in file.namelist() if name.endswith(".csv"))
            found.append(b"\x1e".join(b"".join(lines(file.open(name).read(20_000))[:200]) for name in names))
    return found


def lobster_check(data: bytes, folder: Path) -> Counts:
    from hft.feeds.lobster import LobsterFeed

    if data[:2] == b"PK":
        path = folder / f"LOBSTER_SampleFile_{DAY}_2.zip"
        path.write_bytes(data)
    else:
        messages, _, rows = data.partition(b"\x1e")
        path = folder / f"{DAY}_message_2.csv"
        path.write_bytes(messages)
        (folder / f"{DAY}_orderbook_2.csv").write_bytes(rows)
    counts = feed_check(lambda **options: LobsterFeed(path, **options))
    by_order = feed_run(lambda **options: LobsterFeed(path, by="orders", **options))
    return counts | {"events by order": len(by_order["events"]) // 64}


# ---- Databento ----


def dbn_corpus(random: Random, data_dir: Path | None) -> list[bytes]:
    """Files with metadata and fragments, of every record that is compiled and of some that are not."""
    import databento_dbn as dbn

    def record(rtype: int, instrument: int, body: bytes) -> bytes:
        return struct.pack("<BBHIQ", (16 + len(body)) // 4, rtype, 1, instrument, 1_700_000_000_000_000_000 + i // 2) + body

    found = []
    for schema, rtypes in (("mbo", (160,)), ("mbp-1", (1,)), ("trades", (0,)), ("ohlcv-1s", (32,)), ("mbo", (160, 1, 0, 32, 22))):
        records = []
        for i in range(60):
            rtype, instrument = random.choice(rtypes), random.choice((7, 8, 5602))
            price, size, flags = random.randrange(1, 200) * 10**9, random.randrange(1, 100), random.choice((0, 128, 130, 32))
            side, tail = random.choice(b"ABN"), struct.pack("<QiI", 1_700_000_000_000_000_500, 14, i)
            if rtype == 160:
                action = random.choice(b"ACMTFRN")
                body = struct.pack("<QqIBBBB", i // 2, price, size, flags, 0, action, side) + tail
            elif rtype in (0, 1):
                action = ord("T") if rtype == 0 else random.choice(b"ACMT")
                body = struct.pack("<qIBBBB", price, size, action, side, flags, 0) + tail
                body += struct.pack("<qqIIII", price, price + 10**9, size, size, 1, 1) * rtype
            else:
                body = struct.pack("<qqqqQ", price, price, price, price, size) if rtype == 32 else random.randbytes(24)
            records.append(record(rtype, instrument, body))
        metadata = dbn.Metadata("GLBX.MDP3", 0, dbn.SType.RAW_SYMBOL, dbn.SType.INSTRUMENT_ID, dbn.Schema.from_str(schema), version=3)
        found += [bytes(metadata) + b"".join(records), b"".join(records)]
    found.append(gzip.compress(found[0], 1, mtime=0))
    found += [path.read_bytes()[:LONGEST] for path in recorded(data_dir, "dbn/databento/**/*.dbn")[:20]]
    return found


def dbn_units(data: bytes) -> list[bytes]:
    """Records by the length in their first byte, behind the metadata."""
    at = 8 + int.from_bytes(data[4:8], "little") if data[:3] == b"DBN" else 0
    found = [data[:at]]
    while at < len(data):
        size = max(4 * data[at], 4)
        found.append(data[at : at + size])
        at += size
    return found


def dbn_check(data: bytes, folder: Path) -> Counts:
    from hft.feeds.dbn import DbnFeed

    path = folder / "day.dbn"
    path.write_bytes(data)
    return feed_check(lambda **options: DbnFeed(path, **options))


# ---- tables ----


def csv_corpus(random: Random, data_dir: Path | None) -> list[bytes]:
    """Quotes, trades and bars, with and without a header, in several ways to write times."""
    found = []
    for header, row in (
        ("timestamp,bid,ask", "{t},{p}.1,{p}.2"),
        ("time;symbol;bid;ask;bid_size;ask_size", "2014-05-08 10:00:{s:02}.{t:06};A{s};{p}.25;{p}.5;{s};100"),
        ("timestamp,price,size,side", "2014-05-08T10:00:{s:02}Z,{p}.5,{s},buy"),
        ("timestamp,open,high,low,close,volume", "{t},{p},{p}.5,{p}.1,{p}.2,{s}"),
        ("", "{t},{p}.1,{p}.2"),
    ):
        rows = [row.format(t=36_000_000 + 250 * i, s=i % 60, p=random.randrange(1, 200)) for i in range(80)]
        found.append("\n".join([header] * bool(header) + rows + [""]).encode())
    found.append(gzip.compress(found[0], 1, mtime=0))
    for path in recorded(data_dir, "fx/*.csv"):
        found.append(b"".join(lines(path.read_bytes())[:200]))
    return found


def csv_check(data: bytes, folder: Path) -> Counts:
    from datetime import date

    from hft.feeds.tabular import CsvFeed

    path = folder / "day.csv"
    path.write_bytes(data)
    return feed_check(lambda **options: CsvFeed(path, date=date(2014, 5, 8), **options))


CSV = (b",", b"\n", b"\r\n", b"-", b".", b"\x1e", b'"', b"9" * 30, b"1e5", b"nan", b"\0", b"\xff", b" ", b",,,,", b"0.0000000001")


# ---- registry ----

TARGETS = {
    target.name: target
    for target in (
        Target("itch", ("fastcore.wire.itch",), itch_corpus, itch_check, prefixed, tuple(b"\0\x24A \0\x13D \0\x0c".split()), 250),
        Target("itch_file", ("fastcore.wire.itch", "hft.feeds.itch"), itch_file_corpus, itch_file_check, prefixed, (), 400),
        Target("mold", ("fastcore.wire.mold",), mold_corpus, mold_check, prefixed, (), 150),
        Target("soup", ("fastcore.wire.soup",), soup_corpus, soup_check, prefixed, (b"\0\1H", b"\0\1Z", b"\0\0"), 200),
        Target("ouch", ("fastcore.wire.ouch",), soup_corpus, ouch_check, prefixed, (b"\0\1S", b"\0\2U"), 90),
        Target("pcap", ("fastcore.wire.mold", "hft.feeds.pcap", "dpkt"), pcap_corpus, pcap_check, blocks, (), 150),
        Target("binance", ("fastcore.wire.binance",), binance_corpus, binance_check, lines, JSON, 120),
        Target("kraken", ("fastcore.wire.kraken",), kraken_corpus, kraken_check, lines, JSON, 100),
        Target("lobster", ("hft.feeds.lobster", "pyarrow"), lobster_corpus, lobster_check, lines, CSV, 100),
        Target("dbn", ("hft.feeds.dbn", "databento_dbn"), dbn_corpus, dbn_check, dbn_units, (b"\xff" * 8, b"\0" * 8), 100),
        Target("csv", ("hft.feeds.tabular", "pyarrow"), csv_corpus, csv_check, lines, CSV, 60),
        Target("book", ("fastcore.book",), events_corpus, book_check, blocks, (), 60),
        Target("level_book", ("fastcore.book",), levels_corpus, level_book_check, blocks, (), 100),
        Target("store", ("fastcore.tickstore",), store_corpus, store_check, blocks, (), 40),
    )
}


# ---- targets that break a law: what proves that the engine sees it ----


def _mutant(name: str, check: Callable[[bytes, Path], Counts]) -> Target:
    return Target(f"mutant_{name}", (), lambda random, folder: [b"a valid input"], check, blocks, (), 300)


def _damaged(data: bytes) -> bool:
    return data[:1] not in (b"a", b"")


def _crash(data: bytes, folder: Path) -> Counts:
    if _damaged(data):
        import ctypes

        ctypes.string_at(1)
    return {}


def _hang(data: bytes, folder: Path) -> Counts:
    while _damaged(data):
        time.sleep(0.01)
    return {}


def _stall(data: bytes, folder: Path) -> Counts:
    drive(lambda rest: (1, 0) if _damaged(data) else (0, 0), data, lambda n: b"")
    return {}


_LEAK: list[bytes] = []


def _leak(data: bytes, folder: Path) -> Counts:
    _LEAK.append(os.urandom(1) * (1 << 18))
    return {}


def _differ(data: bytes, folder: Path) -> Counts:
    same({"first": _damaged(data)}, {"first": False})
    return {}


MUTANTS = {
    target.name: target
    for target in (
        _mutant("crash", _crash),
        _mutant("hang", _hang),
        _mutant("stall", _stall),
        _mutant("leak", _leak),
        _mutant("differ", _differ),
    )
}


# ---- a run ----


class Failure(Exception):
    """A law was broken; says which, where the input is, and how to see it again."""


def resident() -> int:
    """Bytes of resident memory, 0 where that cannot be told."""
    gc.collect()
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE
    except OSError:
        return 0


def input_of(target: Target, corpus: Sequence[bytes], seed: int, i: int) -> bytes:
    """Input i of a seed: first the corpus as it is, then mutations."""
    return corpus[i] if i < len(corpus) else mutate(Random(f"{target.name} {seed} {i}"), corpus, target)


def smaller(target: Target, data: bytes, scratch: Path, error: BaseException) -> bytes:
    """Leave out what the failure does not need, for at most five seconds."""
    until = time.monotonic() + 5.0

    def fails(candidate: bytes) -> bool:
        try:
            target.check(candidate, scratch)
        except Exception as other:
            return type(other) is type(error)
        return False

    size = max(1, len(data) // 2)
    while size:
        at = 0
        while at < len(data) and time.monotonic() < until:
            candidate = data[:at] + data[at + size :]
            if fails(candidate):
                data = candidate
            else:
                at += size
        size //= 2
    return data


def work(
    target: Target, seed: int, start: int, iterations: int | None, seconds: float | None, folder: Path, *, warm: bool = False
) -> Counts:
    """Fuzz in this process; the batch under way is in `folder`, with the number of the input in ``at``."""
    data_dir = os.environ.get("FASTCORE_TEST_DATA")
    corpus = target.corpus(Random(f"corpus {target.name} {seed}"), Path(data_dir) if data_dir else None)
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    began = time.monotonic()
    total: Counts = {"inputs": 0, "bytes": 0}
    memory: list[int] = []
    marker = folder / "at"
    marker.write_bytes(bytes(8))
    i = start

    def share() -> float:
        done = 0.0
        if iterations is not None:
            done = (i - start) / (iterations + len(corpus))
        if seconds is not None:
            done = max(done, (time.monotonic() - began) / seconds)
        return done

    with open(marker, "r+b") as file, mmap.mmap(file.fileno(), 8) as at:
        while share() < 1.0:
            batch = [input_of(target, corpus, seed, j) for j in range(i, i + BATCH)]
            (folder / "batch").write_bytes(b"".join(struct.pack("<I", len(data)) + data for data in batch))
            faulthandler.dump_traceback_later(PATIENCE_S if target.name in TARGETS else 2.0, exit=True)
            for j, data in enumerate(batch):  # counted from the start of the batch
                at[:8] = j.to_bytes(8, "little")
                try:
                    counts = target.check(data, scratch)
                except Exception as error:
                    faulthandler.cancel_dump_traceback_later()
                    (folder / "found").write_bytes(smaller(target, data, scratch, error))
                    raise
                for name, count in {"inputs": 1, "bytes": len(data), **counts}.items():
                    total[name] = total.get(name, 0) + count
            faulthandler.cancel_dump_traceback_later()
            i += BATCH
            if share() >= len(memory) / 64:
                memory.append(resident())
    # The sanitizers keep what is freed for a while, and their own books.
    if len(memory) >= 8 and "san" not in os.environ.get("LD_PRELOAD", ""):
        quarter = len(memory) // 4
        growth = min(memory[-quarter:]) - max(memory[quarter : 2 * quarter])
        if growth >= GROWTH and not warm:  # what is loaded and kept once may come late; a leak goes on
            more = work(target, seed, i, iterations, seconds, folder, warm=True)
            return {name: total.get(name, 0) + more.get(name, 0) for name in total | more}
        assert growth < GROWTH, f"memory must not grow with the inputs: growth={growth:,} bytes after {total['inputs']:,} inputs"
    return total


def fuzz(
    name: str,
    *,
    seed: int = 1,
    start: int = 0,
    iterations: int | None = None,
    seconds: float | None = None,
    keep: Path | None = None,
) -> Counts:
    """Fuzz a target in a process of its own.

    Returns
    -------
    dict
        The report: inputs, bytes, and what the target counts.

    Raises
    ------
    Failure
        If a law was broken; the input is kept in `keep` (default: the temporary directory).
    """
    target = (TARGETS | MUTANTS)[name]
    if iterations is None and seconds is None:
        iterations = target.iterations // (3 if "san" in os.environ.get("LD_PRELOAD", "") else 1)
    folder = Path(tempfile.mkdtemp(prefix=f"fuzz-{name}-"))
    command = [sys.executable, "-X", "faulthandler", __file__, name, "--worker", str(folder), "--seed", str(seed)]
    command += ["--start", str(start)]
    command += [] if iterations is None else ["--iterations", str(iterations)]
    command += [] if seconds is None else ["--seconds", str(seconds)]
    try:
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, errors="replace", timeout=2 * PATIENCE_S + 2 * (seconds or 300)
            )
        except subprocess.TimeoutExpired as expired:
            done = subprocess.CompletedProcess(command, -1, "", f"no end within {expired.timeout:.0f} s")
        if done.returncode == 0:
            report: Counts = json.loads(done.stdout.splitlines()[-1])
            return report
        culprit = folder / "found"
        if culprit.exists():
            data = culprit.read_bytes()
        elif (folder / "batch").exists():
            batch = (folder / "batch").read_bytes()
            at, data = 0, b""
            for _ in range(int.from_bytes((folder / "at").read_bytes(), "little") + 1):
                (length,) = struct.unpack_from("<I", batch, at)
                data = batch[at + 4 : at + 4 + length]
                at += 4 + length
        else:
            raise Failure(f"{name}: no input was reached, exit status {done.returncode}\n{done.stderr[-4000:]}")
        place = Path(keep or tempfile.gettempdir()) / f"fuzz-{name}-{hashlib.sha256(data).hexdigest()[:12]}.bin"
        place.write_bytes(data)
        raise Failure(
            f"{name}: a law was broken, exit status {done.returncode}, seed {seed}; again with:\n"
            f"    python tests/fuzz.py {name} --file {place}\n{done.stderr[-4000:]}"
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="fuzz.py", description="Mutation fuzzing: see the top of this file.")
    parser.add_argument("target", nargs="?", choices=[*TARGETS, *MUTANTS])
    parser.add_argument("--list", action="store_true", help="targets, and what is missing for them")
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--iterations", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--start", type=int, default=0, help="first iteration")
    parser.add_argument("--keep", type=Path, help="directory for inputs that break a law")
    parser.add_argument("--file", type=Path, help="check one input, in this process")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.list or options.target is None:
        for target in TARGETS.values():
            print(target.name, f"(missing: {', '.join(target.missing())})" if target.missing() else "")
        return
    target = (TARGETS | MUTANTS)[options.target]
    if target.missing():
        raise SystemExit(f"{target.name} needs modules that are not there: {', '.join(target.missing())}")
    if options.file is not None:
        with tempfile.TemporaryDirectory() as scratch:
            print(json.dumps(target.check(options.file.read_bytes(), Path(scratch))))
    elif options.worker is not None:
        print(json.dumps(work(target, options.seed, options.start, options.iterations, options.seconds, options.worker)))
    else:
        try:
            report = fuzz(
                target.name,
                seed=options.seed,
                start=options.start,
                iterations=options.iterations,
                seconds=options.seconds,
                keep=options.keep,
            )
        except Failure as failure:
            raise SystemExit(str(failure)) from None
        print(json.dumps(report))


if __name__ == "__main__":
    main(sys.argv[1:])
