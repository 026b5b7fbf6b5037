"""Local times to UTC, over the days on which clocks are changed.

A local time that comes twice is of the first hour until the rows step back by half an hour or more, and of the second from there on;
where they never step back it is refused, as is a time that the clocks leave out.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from ._files import extra

__all__ = ["LocalTimes"]

Times = npt.NDArray[np.int64]
_STEP_NS = 1_800 * 10**9
_HOURS_NS = 3 * 3_600 * 10**9  # no hour that comes twice lasts as long


class LocalTimes:
    """Clocks of one zone, read in the order of rows.

    Parameters
    ----------
    zone : str
    """

    def __init__(self, zone: str) -> None:
        self._zone = zone
        self._utc = zone in ("UTC", "Etc/UTC", "GMT")
        self._last = -1  # local time of the last row of an hour that comes twice, -1 where the last row was another
        self._second = False

    def _array(self, ns: Times, zone: str | None) -> Any:
        pa = extra("pyarrow")
        return pa.array(ns).view(pa.timestamp("ns", zone))

    def wall(self, ns: Times) -> Times:
        """Return what the clocks show at times."""
        if self._utc:
            return ns
        pc = extra("pyarrow.compute")
        return np.asarray(pc.local_timestamp(self._array(ns, self._zone)).cast("int64"))

    def utc(self, wall: Times) -> Times:
        """Return the times at which the clocks show this, -1 where that cannot be told; what is less than 0 stays so."""
        if self._utc or not len(wall):
            return wall
        pc = extra("pyarrow.compute")
        local = self._array(np.maximum(wall, 0), None)
        early, late = (
            np.asarray(pc.assume_timezone(local, self._zone, ambiguous=which, nonexistent=which).cast("int64"))
            for which in ("earliest", "latest")
        )
        out = np.where(wall < 0, -1, early)
        unsure = (early != late) & (wall >= 0)
        if not unsure.any():
            if (wall >= 0).any():
                self._last, self._second = -1, False
            return out
        rows = np.flatnonzero(unsure)
        shown = self.wall(early[rows])
        out[rows[shown != wall[rows]]] = -1  # the clocks leave it out
        rows = rows[shown == wall[rows]]
        # Runs of rows within one such hour; another hour begins far away.
        edges = np.flatnonzero(np.abs(np.diff(wall[rows])) > _HOURS_NS) + 1
        for start, end in pairwise([0, *edges, len(rows)] if len(rows) else []):
            run = rows[start:end]
            times = wall[run]
            before = self._last if start == 0 and abs(self._last - times[0]) < _HOURS_NS else -1
            known = self._second and before >= 0
            back = np.flatnonzero(np.append(before, times[:-1]) - times >= _STEP_NS)
            at = 0 if known else int(back[0]) if len(back) else len(run)
            ended = bool((wall[run[-1] + 1 :] >= 0).any())
            out[run[at:]] = late[run[at:]]
            if at == len(run) and ended:  # seen to its end without a step back
                out[run] = -1
            self._last, self._second = (-1, False) if ended else (int(times[-1]), at < len(run))
        return out
