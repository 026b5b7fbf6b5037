"""What the checks of the targets share: running both twins, driving a decoder to its end, what every feed promises."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np

from fuzz import engine
from fuzz.engine import Counts


def both(module: str) -> tuple[ModuleType, ModuleType]:
    """The compiled module and its twin; on inputs without the twin, the compiled module twice."""
    compiled = import_module(f"fastcore.{module}")
    return compiled, import_module(f"fastcore.reference.{module.rpartition('.')[2]}") if engine.twins else compiled


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


REFUSALS = ("the link type must be", "the columns of a table must", "a table of ")


def feed_run(make: Callable[..., Any], **options: Any) -> dict[str, Any]:
    """Read a feed to its end and hold it to what every feed promises."""
    from fastcore.errors import CorruptDataError
    from fastcore.instruments import Instruments
    from fastcore.records import EVENT_DTYPE, FLAGS, KINDS, NO_SYMBOL
    from hft.feeds.feed import FormatError

    state: dict[str, Any] = {"raised": None}
    made = []
    feed = None
    try:
        feed = make(instruments=Instruments(capacity=5_000), **options)  # room for what an input can name; a sanitizer sweeps it all
        for events in feed:
            assert events.dtype == EVENT_DTYPE and len(events)
            assert not events["flags"][-1] & FLAGS["continued"], "a message is split between two arrays"
            assert events["kind"].max() < len(KINDS) and events["kind"].min() > 0
            known = np.array([*range(len(feed.instruments)), NO_SYMBOL], np.uint32)
            assert np.isin(events["symbol_id"], known).all(), "an unknown symbol"
            made.append(events.tobytes())
    except ValueError as error:
        if not isinstance(error, (CorruptDataError, FormatError)) and not str(error).startswith(REFUSALS):
            raise
        state["raised"] = str(error)
    state["events"] = b"".join(made)
    if feed is not None:
        assert len(feed.error_log) == min(sum(feed.errors.values()), 64), (feed.errors, feed.error_log)
        state |= reported(feed, "messages", "errors", "error_log", "gaps") | {"instruments": list(feed.instruments)}
        feed.close()
    return state


def feed_check(make: Callable[..., Any]) -> Counts:
    """The size of the arrays changes nothing, and strict mode raises where the other counts."""
    state = feed_run(make, chunk_events=4_096)
    small = feed_run(make, chunk_events=97)
    same(state, small)
    strict = feed_run(make, chunk_events=4_096, strict=True)
    errors = sum(state.get("errors", {}).values())
    assert bool(strict["raised"]) == bool(errors or state["raised"]), (strict["raised"], state.get("errors"), state["raised"])
    assert state["events"].startswith(strict["events"]) or errors == 0
    return {
        "messages": sum(state.get("messages", {}).values()),
        "events": len(state["events"]) // 64,
        "errors": errors,
        "refused": int(state["raised"] is not None),
    }
