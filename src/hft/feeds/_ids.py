"""Ids that a source gives to its symbols, as rows of the instrument table."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from fastcore.records import EVENT_DTYPE, NO_SYMBOL

from .feed import RAW, Events

__all__ = ["IdMap"]

_Ids = npt.NDArray[np.uint32]
_RowOf = Callable[[int], int]


class IdMap:
    """Ids of one source to rows. `row_of` is asked once for each id, in the order in which they come."""

    def __init__(self) -> None:
        self._ids, self._rows = np.array([NO_SYMBOL], np.uint32), np.array([NO_SYMBOL], np.uint32)  # ids ascending

    def rows(self, ids: _Ids, row_of: _RowOf) -> _Ids:
        """Return the rows of ids; ``NO_SYMBOL`` stays."""
        if len(ids) and (ids == ids[0]).all():  # nearly always
            return np.full(len(ids), self._known(ids[:1], np.zeros(1, np.intp), row_of)[0])
        distinct, first, places = np.unique(ids, return_index=True, return_inverse=True)
        return self._known(distinct, first, row_of)[places]

    def _known(self, ids: _Ids, first: npt.NDArray[np.intp], row_of: _RowOf) -> _Ids:
        """Rows of distinct ids; `first` is where each of them comes."""
        at = np.searchsorted(self._ids, ids)
        new = self._ids[at] != ids
        if new.any():
            fresh = ids[new][np.argsort(first[new])]
            all_ids = np.concatenate([self._ids, fresh])
            all_rows = np.concatenate([self._rows, np.array([row_of(i) for i in fresh.tolist()], np.uint32)])
            order = np.argsort(all_ids)
            self._ids, self._rows = all_ids[order], all_rows[order]
            at = np.searchsorted(self._ids, ids)
        return self._rows[at]

    def events(self, events: Events, row_of: _RowOf) -> Events:
        """Return events with rows for ids: a copy, unless they are the same."""
        rows = self.rows(events["symbol_id"], row_of)
        if np.array_equal(rows, events["symbol_id"]):
            return events
        events = events.view(RAW).copy().view(EVENT_DTYPE)
        events["symbol_id"] = rows
        return events
