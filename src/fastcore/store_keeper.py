"""The thread of a writer that grows its store ahead of it and, by policy, syncs it."""

import threading
import time
import weakref
from typing import Protocol

_LOOK_S = 0.02


class Tended(Protocol):
    """What the thread needs of a store."""

    def _tend(self, sync: bool) -> None: ...


class Keeper(threading.Thread):
    """Look after a store until it is closed or nobody holds it any more.

    Parameters
    ----------
    store : TickStore
        No reference is held while the thread waits.
    interval_s : float or None
        Sync so often; None: never.
    """

    def __init__(self, store: Tended, interval_s: float | None) -> None:
        super().__init__(name="fastcore-store", daemon=True)
        self._store = weakref.ref(store)
        self._interval_s = interval_s
        self._wake = threading.Event()
        self._stopped = False

    def wake(self) -> None:
        """Look now, not at the next turn."""
        self._wake.set()

    def stop(self) -> None:
        """End the thread and wait for it."""
        self._stopped = True
        self._wake.set()
        if self is not threading.current_thread():
            self.join()

    def run(self) -> None:
        """Look every 20 ms, or as often as the store is to be synced."""
        period = _LOOK_S if self._interval_s is None else min(_LOOK_S, self._interval_s)
        due = time.monotonic() + (self._interval_s or 0.0)
        while True:
            self._wake.wait(period)
            self._wake.clear()
            store = self._store()
            if store is None or self._stopped:
                return
            sync = self._interval_s is not None and time.monotonic() >= due
            store._tend(sync)
            if sync:
                due = time.monotonic() + (self._interval_s or 0.0)
            del store
