"""Rings in shared memory whose other side writes what it likes, where it likes, at any time."""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from fastcore.broadcast import BroadcastRing
from fastcore.errors import FastcoreError
from fastcore.records import EVENT_DTYPE
from fastcore.ring import RingBuffer
from fuzz.engine import WIDE, Counts, Target

UNIT = struct.Struct("<HQ")  # word of the memory, what is written there
KINDS = 3
# Of fc_ring.h: identity, geometry, cursors, roles; then cursors of consumers and commit words (for one kind or another).
WORDS = (*range(12), 16, 17, 18, 32, *range(48, 52), *range(64, 70), *range(80, 86), 96, 104, 112, 120, 128)


def rings_corpus(random: Random, data_dir: Path | None) -> list[bytes]:
    """One word at a time at an extreme, for every kind of ring: the first byte says which, and whether before or after the attach."""
    values = (0, 5, 2**16, 2**32 - 1, 2**47, 2**63, 2**64 - 1)
    return [bytes([start]) + UNIT.pack(word, random.choice(values)) for start in range(2 * KINDS) for word in WORDS]


def rings_units(data: bytes) -> list[bytes]:
    return [data[:1], *(data[at : at + UNIT.size] for at in range(1, len(data), UNIT.size))]


def rings_check(data: bytes, folder: Path) -> Counts:
    """Every call returns or raises an error of its own, whatever is written meanwhile; no view leads out of the memory."""
    start = data[0] if data else 0
    kind, first = start % KINDS, bool(start // KINDS % 2)
    writes = [UNIT.unpack(unit) for unit in rings_units(data)[1:9] if len(unit) == UNIT.size]
    name = f"fc-fuzz-{os.getpid()}"
    counts = {"calls": 0, "refused": 0}
    rows, out = np.ones(5, EVENT_DTYPE), np.zeros(5, EVENT_DTYPE)

    def attempt(call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        counts["calls"] += 1
        try:
            return call(*arguments, **options)
        except (FastcoreError, TimeoutError, OSError):
            counts["refused"] += 1

    def use(ring: Any, consumer: Any) -> None:
        attempt(ring.push_batch, rows, timeout=0.001)
        view = attempt(ring.try_claim, 3)
        if view is not None and len(view):
            view["price"] = 7
            hit()
            attempt(ring.commit)
        attempt(ring.push, bytes(64), timeout=0)
        for end in (ring, consumer):
            if end is not None:
                attempt(len, end), attempt(repr, end)
        if consumer is None:
            return
        attempt(consumer.pop, timeout=0.001)
        view = attempt(consumer.try_peek, 4)
        if view is not None and len(view):
            view["price"].sum()
            hit()
            attempt(consumer.release)
        attempt(consumer.pop_batch, out, timeout=0.001)
        if kind:
            attempt(consumer.resynchronise, 2), attempt(ring.evict_dead), attempt(lambda: ring.consumers)

    def hit() -> None:
        for word, value in writes:
            struct.pack_into("<Q", memory, word * 8 % (len(memory) - 7), value)

    BroadcastRing.unlink(name)
    made = RingBuffer(8, name=name) if kind == 0 else BroadcastRing(8, name=name, consumers=2, overrun=kind == 2)
    try:
        with open(f"/dev/shm/{name}", "r+b") as file, contextlib.closing(mmap.mmap(file.fileno(), 0)) as memory:
            if first:
                hit()
            other = attempt(type(made).attach, name)
            consumer = other if kind == 0 or other is None else attempt(other.consumer)
            for _ in range(2):
                use(made, consumer)
                hit()
            late = attempt(other.consumer) if kind and other is not None else None
            use(made, late)
            for handle in (consumer, late, other, made):
                if handle is not None:
                    handle.detach()
    finally:
        BroadcastRing.unlink(name)
    return counts


TARGETS = (
    (Target("rings", rings_corpus, rings_check, rings_units, tokens=tuple(struct.pack("<Q", v % 2**64) for v in WIDE), iterations=300),)
    if sys.platform == "linux"
    else ()
)
