"""Units of the symbols that come from ITCH, in files and in captures."""

import numpy as np

from fastcore.wire.itch import UNITS

from .feed import Events, Feed

__all__ = ["Units"]


class Units:
    """Refuses the symbols that the table of a run knows with other units than those of the protocol."""

    def __init__(self) -> None:
        self._others = np.zeros(1, bool)  # by row; the last is for events of no symbol

    def check(self, feed: Feed, events: Events) -> None:
        """Raise FormatError where an event of a feed is of such a symbol."""
        table, known = feed.instruments, len(self._others) - 1
        if len(table) > known:
            units = UNITS["tick_size"], UNITS["lot_size"]
            fresh = [(table[row].tick_size, table[row].lot_size) != units for row in range(known, len(table))]
            self._others = np.array([*self._others[:-1], *fresh, False], bool)
        if self._others.any():
            rows = np.minimum(events["symbol_id"], len(self._others) - 1)
            for row in np.unique(rows[self._others[rows]]).tolist():
                feed._row(table[row].symbol, **UNITS)  # raises
