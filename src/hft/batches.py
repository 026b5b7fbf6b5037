"""Hooks for many events at once: a method of a strategy that is given what came as one NumPy view.

>>> from hft import Strategy, batch
>>> class Counts(Strategy):
...     @batch(events=1_000, period="1s")
...     def look(self, events):
...         self.record(traded=float(events["size"][events["kind"] == 4].sum()))
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from fastcore.strategies.batches import Batch

from .conditions import duration_ns

__all__ = ["batch", "batches_of"]

Method = TypeVar("Method", bound=Callable[..., Any])
SHORTEST_NS = 1_000


def batch(*, events: int = 0, period: str | None = None) -> Callable[[Method], Method]:
    """Call a method of a strategy with the market events that came since it was called last.

    Parameters
    ----------
    events : int, optional
        As soon as so many have come: at the end of the instant, behind the other hooks.
    period : str, optional
        At each multiple of a duration such as ``"100ms"`` of our clock, where anything has come. At least one of both is given.

    Returns
    -------
    callable
        The decorator. The method takes ``(self, events)``: a read-only array of ``fastcore.records.EVENT_DTYPE`` with the events of the
        markets of the strategy as they came, prices in ticks and sizes in lots. It holds until the method returns; copy what you keep.
        What is left at the end comes before ``on_stop``.

    Raises
    ------
    TypeError, ValueError
        If neither or a wrong number or duration is given.
    """
    period_ns = 0 if period is None else duration_ns(period)
    if isinstance(events, bool) or not isinstance(events, int) or not 0 <= events <= 1 << 32:
        raise ValueError(f"events must be a whole number of 1..{1 << 32}: events={events!r}")
    if period is not None and period_ns < SHORTEST_NS:
        raise ValueError(f"a period must be at least 1us: {period!r}")
    if not events and not period_ns:
        raise ValueError("a batch needs a number of events or a period: @batch(events=1_000, period='1s')")

    def mark(method: Method) -> Method:
        method._batch = (events, period_ns)  # type: ignore[attr-defined]
        return method

    return mark


def batches_of(strategy: object) -> tuple[list[Batch], list[tuple[Callable[[], Any], int]]]:
    """Return the batches of an object's methods, and what its clocks call, each with its period in ns."""
    batches, clocks = [], []
    for name in dir(type(strategy)):
        marked = getattr(getattr(type(strategy), name), "_batch", None)
        if isinstance(marked, tuple):
            made = Batch(getattr(strategy, name), marked[0])
            batches.append(made)
            if marked[1]:
                clocks.append((made.deliver, marked[1]))
    return batches, clocks
