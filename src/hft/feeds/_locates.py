"""Stock locates of ITCH as rows of the instrument table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from fastcore.records import EVENT_DTYPE, KINDS, NO_SYMBOL
from fastcore.wire.itch import WIRE_DTYPE, ItchDecoder

from .feed import Events

__all__ = ["ITCH_UNITS", "LocateRows", "carried_symbols", "wire_rows"]

# What the integers of ITCH mean: prices in 0.0001 USD, quoted in cents from 1 USD on.
ITCH_UNITS = {"tick_size": 0.0001, "increment_ticks": 100, "low_increment_ticks": 1, "low_below_ticks": 10_000}


class LocateRows:
    """Rows by locate: of the symbol that was listed, before that of the one that messages carry, or of ``locate 13``."""

    def __init__(self) -> None:
        self._rows = np.full(1 << 16, NO_SYMBOL, np.uint32)
        self._known = np.zeros(1 << 16, bool)
        self._known[0] = True  # the locate of messages about no symbol
        self._listings = 0

    def assign(
        self, events: Events, decoder: ItchDecoder, row_of: Callable[[str], int], carried: Callable[[], dict[int, str]]
    ) -> None:
        """Put the rows into events just decoded; `carried` gives the symbols by locate that their messages carry."""
        if decoder.counts.get("R", 0) != self._listings:
            self._listings = decoder.counts["R"]
            for locate in _in_order(events["symbol_id"][events["kind"] == KINDS["listing"]]):
                self._rows[locate], self._known[locate] = row_of(decoder.symbol(locate) or ""), True
        ids = events["symbol_id"]
        ids = np.where(ids == NO_SYMBOL, 0, ids)  # gaps have no symbol from the first
        known = self._known.take(ids)
        if not known.all():
            names = carried()
            for locate in _in_order(ids[~known]):
                self._rows[locate], self._known[locate] = row_of(names.get(locate, f"locate {locate}")), True
        events["symbol_id"] = self._rows.take(ids)


    def assign_in_turn(self, events: Events, row_of: Callable[[str], int], wire: Callable[[], npt.NDArray[np.void]]) -> None:
        """The same, each event by what came up to it alone; `wire` gives the rows of ``WIRE_DTYPE`` of the events.

        A locate that no message has named yet is ``locate 13`` until one does.
        """
        ids = events["symbol_id"].copy()
        open_ = (events["kind"] == KINDS["listing"]) | ~self._known.take(ids)
        if open_.any():
            places, listings = np.flatnonzero(open_), events["kind"] == KINDS["listing"]
            columns = (places, ids[places], wire()["symbol"][places], listings[places])
            rows = self._rows.take(ids)
            for i, locate, symbol, listed in zip(*(column.tolist() for column in columns), strict=True):  # until all have a name
                if symbol and (listed or not self._known[locate]):
                    self._rows[locate], self._known[locate] = row_of(symbol.decode("latin-1").rstrip(" ")), True
                    later = np.flatnonzero(ids[i:] == locate) + i
                    rows[later] = self._rows[locate]
                elif not self._known[locate]:
                    rows[i] = self._rows[locate] = row_of(f"locate {locate}")
            events["symbol_id"] = rows
        else:
            events["symbol_id"] = self._rows.take(ids)


def _in_order(ids: npt.NDArray[Any]) -> list[int]:
    """Distinct ids in the order in which they come."""
    distinct, first = np.unique(ids, return_index=True)
    return [int(i) for i in distinct[np.argsort(first)]]


def wire_rows(data: memoryview | bytes, events: int) -> npt.NDArray[np.void]:
    """Return what the messages of the first events of `data` say besides."""
    wire = np.zeros(events, WIRE_DTYPE)
    ItchDecoder().decode(data, np.empty(events, EVENT_DTYPE), wire=wire)
    return wire


def carried_symbols(data: memoryview | bytes, events: int) -> dict[int, str]:
    """Return the symbols that messages carry, by locate; `events` is how many they make at most."""
    out, wire = np.empty(events, EVENT_DTYPE), np.zeros(events, WIRE_DTYPE)
    n, _ = ItchDecoder().decode(data, out, wire=wire)
    rows = wire[:n][wire["symbol"][:n] != b""]
    _, first = np.unique(rows["locate"], return_index=True)
    return {int(row["locate"]): row["symbol"].decode("latin-1").rstrip(" ") for row in rows[first]}
