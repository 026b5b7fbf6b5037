"""Targets that break a law: what proves that the engine sees it."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable
from pathlib import Path

from fuzz.corpora import blocks
from fuzz.engine import Counts, Target
from fuzz.laws import drive, same


def _mutant(name: str, check: Callable[[bytes, Path], Counts], patience_s: float = 60.0) -> Target:
    return Target(f"mutant_{name}", lambda random, folder: [b"a valid input"], check, blocks, iterations=300, patience_s=patience_s)


def _damaged(data: bytes) -> bool:
    return data[:1] not in (b"a", b"")


def _crash(data: bytes, folder: Path) -> Counts:
    if _damaged(data):
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


def _large(data: bytes, folder: Path) -> Counts:
    if _damaged(data):
        bytearray(b"x") * (250 << 20)
    return {}


def _differ(data: bytes, folder: Path) -> Counts:
    same({"first": _damaged(data)}, {"first": False})
    return {}


TARGETS = (
    _mutant("crash", _crash),
    _mutant("hang", _hang, 2.0),
    _mutant("stall", _stall),
    _mutant("leak", _leak),
    _mutant("large", _large),
    _mutant("differ", _differ),
)
