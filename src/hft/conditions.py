"""What people write for latencies and queue models: ``1ms``, ``normal(300us, 50us)``, ``recorded+1.27s``, ``power:3``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastcore.sim.latency import Latency
    from fastcore.sim.queues import QueueModel

UNITS_NS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ns|us|ms|s)?\s*")


def duration_ns(text: str) -> int:
    """Return the nanoseconds of a duration such as ``250us``; 0 needs no unit."""
    if text.strip().startswith("-"):
        raise ValueError(f"a duration must not be negative: {text!r}")
    found = _DURATION.fullmatch(text)
    if found is None or (found[2] is None and float(found[1])):
        raise ValueError(f"a duration must be a number with ns, us, ms or s: {text!r}")
    whole, _, fraction = found[1].partition(".")
    unit = UNITS_NS[found[2] or "ns"]
    exact = int(whole + fraction) * unit
    if exact % int(10 ** len(fraction)):
        raise ValueError(f"a duration must be a whole number of ns: {text!r}")
    return exact // int(10 ** len(fraction))


def latency(text: str) -> Latency:
    """Return the latency of ``1ms``, ``normal(MEAN, DEVIATION)`` or ``lognormal(MEAN, DEVIATION)``."""
    from fastcore.sim.latency import Latency

    found = re.fullmatch(r"\s*(normal|lognormal)\s*\(([^,()]*),([^,()]*)\)\s*", text)
    if found is None:
        if "(" in text:
            raise ValueError(f"a latency must be a duration, normal(MEAN, DEVIATION) or lognormal(MEAN, DEVIATION): {text!r}")
        return Latency(duration_ns(text))
    return Latency(duration_ns(found[2]), duration_ns(found[3]), log=found[1] == "lognormal")


def feed(text: str) -> tuple[int, int | None]:
    """Return the constant latency of a feed in ns, and the offset of its own clock where its times count: ``recorded``, ``recorded-5ms``."""
    found = re.fullmatch(r"\s*recorded\s*(?:([+-])(.*))?", text)
    if found is None:
        return duration_ns(text), None
    offset = duration_ns(found[2]) if found[1] else 0
    return 0, -offset if found[1] == "-" else offset


def queue(text: str) -> QueueModel:
    """Return the queue model of ``risk-averse``, ``power:3``, ``log:1`` or ``log:2``."""
    from fastcore.sim.queues import QueueModel

    name, _, number = text.strip().partition(":")
    if (name, number) == ("risk-averse", ""):
        return QueueModel()
    if name == "log" and number in ("1", "2"):
        return QueueModel("log" if number == "1" else "log-2")
    if name == "power":
        try:
            return QueueModel("power", float(number or "1"))
        except ValueError:
            pass
    raise ValueError(f"a queue model must be risk-averse, power:N with N in (0, 100], log:1 or log:2: {text!r}")


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean x?`` for a name that is not among the known ones."""
    close = get_close_matches(name, list(known), 1)
    return f"; did you mean {close[0]}?" if close else ""


def split(text: str) -> dict[str, str]:
    """Return the parts of ``--latency``: ``1ms`` is that of orders and responses, else ``order=...,response=...,feed=...``."""
    if "=" not in text:
        return {"order": text, "response": text}
    parts: dict[str, str] = {}
    for part in re.split(r",(?![^(]*\))", text):
        name, equals, value = part.partition("=")
        name = name.strip()
        if not equals or name not in ("feed", "order", "response") or name in parts:
            raise ValueError(f"a latency must be DURATION or NAME=LATENCY,... of feed, order, response, each once: {part!r}")
        parts[name] = value
    return parts
