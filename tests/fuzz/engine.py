"""The engine of the fuzzing: mutations, the run, and the laws that hold for every target.

The laws: no crash (each run is a process of its own, and what it works on is in a file before it starts), no endless loop (a
decoder consumes or stops, and a watchdog ends the process), no memory growth and never much of it; the rest says the check of a
target. An input that breaks a law is made smaller, if it did not kill the process, and kept.

Inputs depend on the seed and the number of the iteration alone. With FASTCORE_TEST_DATA the corpora hold recorded data too.
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from random import Random

LONGEST = 1 << 16  # bytes of an input
BATCH = 32  # inputs that are written to disk at a time
GROWTH = 8 << 20  # bytes of resident memory, from the most in the second quarter of a run to the least in the last
MOST = 200  # MB of resident memory above those before the first input
Counts = dict[str, int]  # the report of one input: messages, errors, ...
SANITIZED = "san" in os.environ.get("LD_PRELOAD", "")
twins = True  # whether the input under way goes to the twins too


@dataclass(frozen=True)
class Target:
    """One reader of bytes.

    Attributes
    ----------
    corpus : callable(random, data directory or None) -> list of bytes
        Valid inputs.
    check : callable(input, scratch directory) -> dict
        Reads an input, raises AssertionError where a law is broken, returns counts for the summary.
    units : callable(bytes) -> list of bytes
        Splits an input, damaged or not, into its messages, whose concatenation it is.
    tokens : tuple of bytes
        Pieces that are worth inserting.
    needs : tuple of str
        Packages without which there is nothing to fuzz.
    iterations : int
        Of a bounded run: a few seconds.
    patience_s : float
        After so long in one batch the process is ended: under a sanitizer, on a busy machine.
    bounded : bool
        Whether memory is: not where an input may ask for much.
    """

    name: str
    corpus: Callable[[Random, Path | None], list[bytes]]
    check: Callable[[bytes, Path], Counts]
    units: Callable[[bytes], list[bytes]]
    tokens: tuple[bytes, ...] = ()
    needs: tuple[str, ...] = ()
    iterations: int = 400
    patience_s: float = 120.0
    bounded: bool = True

    def missing(self) -> list[str]:
        """Modules that are needed and not there."""
        return [name for name in self.needs if find_spec(name) is None]


EXTREMES = (0, 1, 2, 0x7F, 0x80, 0xFF)
WIDE = (0, 1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63 - 1, 2**63, 2**64 - 1)


def span(random: Random, size: int, most: int = 64) -> tuple[int, int]:
    """A random range, not empty unless there is nothing."""
    start = random.randrange(size) if size else 0
    return start, min(size, start + 1 + int(random.expovariate(1 / 8)) % most)


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


class Failure(Exception):
    """A law was broken; says which, where the input is, and how to see it again."""


def resident() -> int:
    """Bytes of resident memory, 0 where that cannot be told."""
    gc.collect()
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE
    except OSError:
        return 0


def peak() -> int:
    """Most MB of resident memory so far, 0 where that cannot be told."""
    # Not getrusage: what the process that started this one had taken counts there.
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    most = status.partition("VmHWM:")[2].split()
    return int(most[0]) >> 10 if most else 0


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
    target: Target,
    seed: int,
    start: int,
    iterations: int | None,
    seconds: float | None,
    folder: Path,
    *,
    every: int = 1,
    warm: bool = False,
) -> Counts:
    """Fuzz in this process; the batch under way is in `folder`, with the number of the input in ``at``."""
    global twins
    data_dir = os.environ.get("FASTCORE_TEST_DATA")
    corpus = target.corpus(Random(f"corpus {target.name} {seed}"), Path(data_dir) if data_dir else None)
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    began = time.monotonic()
    total: Counts = {"inputs": 0, "bytes": 0}
    memory: list[int] = []
    before = peak()
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
            faulthandler.dump_traceback_later(target.patience_s, exit=True)
            for j, data in enumerate(batch):  # counted from the start of the batch
                at[:8] = j.to_bytes(8, "little")
                twins = (i + j) % every == 0
                try:
                    counts = target.check(data, scratch)
                except Exception as error:
                    faulthandler.cancel_dump_traceback_later()
                    (folder / "found").write_bytes(smaller(target, data, scratch, error))
                    raise
                for name, count in {"inputs": 1, "bytes": len(data), **counts}.items():
                    total[name] = total.get(name, 0) + count
                total["peak"] = peak() - before
                assert total["peak"] < MOST or SANITIZED or not target.bounded, f"memory must stay small: {total['peak']} MB more"
            faulthandler.cancel_dump_traceback_later()
            i += BATCH
            if share() >= len(memory) / 64:
                memory.append(resident())
    # The sanitizers keep what is freed for a while, and their own books.
    if len(memory) >= 8 and not SANITIZED:
        quarter = len(memory) // 4
        growth = min(memory[-quarter:]) - max(memory[quarter : 2 * quarter])
        if growth >= GROWTH and not warm:  # what is loaded and kept once may come late; a leak goes on
            more = work(target, seed, i, iterations, seconds, folder, every=every, warm=True)
            return {name: total.get(name, 0) + more.get(name, 0) for name in total | more}
        assert growth < GROWTH, f"memory must not grow with the inputs: growth={growth:,} bytes after {total['inputs']:,} inputs"
    return total


def fuzz(
    target: Target,
    *,
    seed: int = 1,
    start: int = 0,
    iterations: int | None = None,
    seconds: float | None = None,
    every: int = 1,
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
    name = target.name
    if iterations is None and seconds is None:
        iterations = target.iterations // (3 if SANITIZED else 1)
    folder = Path(tempfile.mkdtemp(prefix=f"fuzz-{name}-"))
    command = [sys.executable, "-X", "faulthandler", str(Path(__file__).parent), name, "--worker", str(folder), "--seed", str(seed)]
    command += ["--start", str(start), "--twins", str(every)]
    command += [] if iterations is None else ["--iterations", str(iterations)]
    command += [] if seconds is None else ["--seconds", str(seconds)]
    try:
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, errors="replace", timeout=2 * target.patience_s + 2 * (seconds or 300)
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
            f"    python tests/fuzz {name} --file {place}\n{done.stderr[-4000:]}"
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main(arguments: list[str], targets: Mapping[str, Target], hidden: Mapping[str, Target]) -> None:
    """Run the command line; `hidden` targets are not listed."""
    parser = argparse.ArgumentParser(prog="fuzz", description="Mutation fuzzing: see tests/fuzz/__init__.py.")
    parser.add_argument("target", nargs="?", choices=[*targets, *hidden])
    parser.add_argument("--list", action="store_true", help="targets, and what is missing for them")
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--iterations", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--start", type=int, default=0, help="first iteration")
    parser.add_argument("--twins", type=int, default=1, metavar="N", help="compare with the twin on every N-th input, for more inputs")
    parser.add_argument("--keep", type=Path, help="directory for inputs that break a law")
    parser.add_argument("--file", type=Path, help="check one input, in this process")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.list or options.target is None:
        for target in targets.values():
            print(target.name, f"(missing: {', '.join(target.missing())})" if target.missing() else "")
        return
    target = {**targets, **hidden}[options.target]
    if target.missing():
        raise SystemExit(f"{target.name} needs modules that are not there: {', '.join(target.missing())}")
    if options.file is not None:
        with tempfile.TemporaryDirectory() as scratch:
            print(json.dumps(target.check(options.file.read_bytes(), Path(scratch))))
    elif options.worker is not None:
        print(json.dumps(work(target, options.seed, options.start, options.iterations, options.seconds, options.worker, every=options.twins)))
    else:
        try:
            report = fuzz(
                target,
                seed=options.seed,
                start=options.start,
                iterations=options.iterations,
                seconds=options.seconds,
                every=options.twins,
                keep=options.keep,
            )
        except Failure as failure:
            raise SystemExit(str(failure)) from None
        print(json.dumps(report))
