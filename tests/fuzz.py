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
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import numpy as np

LONGEST = 1 << 16  # bytes of an input
BATCH = 32  # inputs that are written to disk at a time
PATIENCE_S = 120.0  # for one batch, under a sanitizer on a busy machine
GROWTH = 24 << 20  # bytes of resident memory that a run may gain after its first third

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
    return import_module(f"fastcore.{module}"), import_module(f"fastcore.reference.{module}")


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


# ---- ITCH ----


def itch_corpus(random: Random, data_dir: Path | None) -> list[bytes]:
    from fastcore.itch import LENGTHS
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
    compiled, twin = both("itch")
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
    from fastcore.itch import ItchDecoder
    from hft.feeds.itch import read_events

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
        inside = itch_run(import_module("fastcore.itch"), data[: decoder.position], False)
        count = sum(map(len, events))
        assert count == len(inside["events"]) // 64
        assert (failed is None) == (decoder.position == len(data))
    else:
        with contextlib.suppress(zlib.error, EOFError):
            plain = zlib.decompressobj(31).decompress(data)
            assert decoder.position <= max(len(plain), decoder.position if len(data) > 18 else 0)
    return {"messages": sum(decoder.counts.values()), "errors": sum(decoder.errors.values()), "refused": int(failed is not None)}


# ---- books ----


def events_corpus(random: Random, data_dir: Path | None) -> list[bytes]:
    from hft.feeds.synthetic import generate_events

    found = [generate_events(n, n, ("AAA", "B")).tobytes() for n in (40, 150)]
    found += pieces(generate_events(3_000, 5).tobytes(), blocks, 150, 4, random)
    for path in recorded(data_dir, "itch/A*.itch*"):
        from fastcore.itch import ItchDecoder
        from fastcore.records import EVENT_DTYPE

        out = np.zeros(2_000, EVENT_DTYPE)
        n, _ = ItchDecoder().decode(leading(path, 120_000), out)
        found += pieces(out[:n].tobytes(), blocks, 150, 3, random)
    return found


def book_run(module: ModuleType, events: Any) -> dict[str, Any]:
    from fastcore.records import QUOTE_DTYPE

    table = module.OrderTable(1, 1)
    books = [module.OrderBook(None, table), module.OrderBook(1)]
    state: dict[str, Any] = {}
    for i, book in enumerate(books):
        quotes = np.zeros(len(events) + 1, QUOTE_DTYPE)
        half = len(events) // 2
        n = book.apply_into(events[:half], quotes)
        result = book.apply(events[half:])
        book.check()
        depth = book.depth()
        state |= {
            f"quotes {i}": quotes[:n].tobytes(),
            f"result {i}": result,
            f"counts {i}": book.counts,
            f"hash {i}": book.state_hash(),
            f"depth {i}": [side.tobytes() for side in depth],
            f"live {i}": len(book),
            f"best {i}": (book.best_bid, book.best_ask),
        }
    return state


def book_check(data: bytes, folder: Path) -> Counts:
    from fastcore.records import EVENT_DTYPE

    events = np.frombuffer(data[: len(data) // 64 * 64], EVENT_DTYPE)
    compiled, twin = both("book")
    state = book_run(compiled, events)
    same(state, book_run(twin, events))
    ok = state["counts 0"].get("ok", 0)
    return {"events": len(events), "ok": ok, "errors": sum(state["counts 0"].values()) - ok}


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


# ---- registry ----

TARGETS = {
    target.name: target
    for target in (
        Target("itch", ("fastcore.itch",), itch_corpus, itch_check, prefixed, tuple(b"\0\x24A \0\x13D \0\x0c".split()), 250),
        Target("itch_file", ("fastcore.itch", "hft.feeds.itch"), itch_file_corpus, itch_file_check, prefixed, (), 400),
        Target("book", ("fastcore.book",), events_corpus, book_check, blocks, (), 120),
        Target("store", ("fastcore.tickstore",), store_corpus, store_check, blocks, (), 60),
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


def work(target: Target, seed: int, start: int, iterations: int | None, seconds: float | None, folder: Path) -> Counts:
    """Fuzz in this process; the batch under way is in `folder`, with the number of the input in ``at``."""
    data_dir = os.environ.get("FASTCORE_TEST_DATA")
    corpus = target.corpus(Random(f"corpus {target.name} {seed}"), Path(data_dir) if data_dir else None)
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    began = time.monotonic()
    total: Counts = {"inputs": 0, "bytes": 0}
    warm = 0
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
            if not warm and share() >= 1 / 3:
                warm = resident()
    # The sanitizers keep what is freed for a while, and their own books.
    if warm and "san" not in os.environ.get("LD_PRELOAD", ""):
        growth = resident() - warm
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
        iterations = target.iterations
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
