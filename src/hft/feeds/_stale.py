"""For how long a book cannot be trusted: from a gap to the next image of the book."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fastcore.records import KINDS, NO_SYMBOL

__all__ = ["StaleTime"]


class StaleTime:
    """The time for which the book of a symbol was stale.

    Parameters
    ----------
    symbol_id : int

    Attributes
    ----------
    ns : int
        So far, exchange time.
    """

    def __init__(self, symbol_id: int) -> None:
        self.ns = 0
        self._symbols = (symbol_id, NO_SYMBOL)
        self._since: int | None = None

    def look(self, events: npt.NDArray[np.void]) -> None:
        """Take account of an array of events."""
        kinds = events["kind"]
        times = np.where(events["exch_ns"] == 0, events["local_ns"], events["exch_ns"])
        marks = (kinds == KINDS["gap"]) | (kinds == KINDS["clear"])
        for i in np.flatnonzero(marks & np.isin(events["symbol_id"], self._symbols)).tolist():
            self._until(int(times[i]))
            self._since = int(times[i]) if kinds[i] == KINDS["gap"] else None
        self._until(int(times[-1]))

    def _until(self, time_ns: int) -> None:
        if self._since is not None and time_ns > self._since:
            self.ns += time_ns - self._since
            self._since = time_ns
