# cython: freethreading_compatible=True
"""A hook for many events at once: what came since the last call, as one NumPy view.

A strategy that computes with arrays pays one call of Python for a thousand events. Events are kept as they came, 64 bytes each; the view
points at them, and the next batch is written over it.
"""

cimport cython
cimport numpy as cnp
from libc.stdint cimport int64_t
from libc.string cimport memcpy

from fastcore._integers cimport int64_in
from fastcore.records cimport event_t

import numpy as np

from fastcore.records import EVENT_DTYPE

cnp.import_array()

__all__ = ["Batch"]

cdef enum:
    ROOM = 1024     # events at first; it doubles where a batch is longer


@cython.final
cdef class Batch:
    """Batch(method, events=0)\n--\n\n
    Batch(method, events=0)\n--\n
    Events of a run that a method is given together; ``hft.batch`` makes them for strategies.

    Parameters
    ----------
    method : callable(ndarray)
        Called with a read-only array of ``fastcore.records.EVENT_DTYPE``, shape (n,), n at least 1. It shows the events until the method
        returns; what it shall keep it copies.
    events : int, default 0
        As soon as so many have come, at the end of their instant; 0: only by ``deliver``.

    Attributes
    ----------
    events : int
        As given.

    Raises
    ------
    TypeError, ValueError
        If `method` cannot be called, or `events` is no integer of 0..2**32.

    Notes
    -----
    **Thread safety**: belongs to one run.
    """

    def __cinit__(self, method, events=0):
        if not callable(method):
            raise TypeError(f"method must be callable: method={method!r}")
        self._method = method
        self.events = int64_in(events, "events", 0, <int64_t> 1 << 32)
        self._grow()

    def __len__(self):
        return self._n

    def __repr__(self):
        return f"<Batch events={self.events} waiting={self._n}>"

    cdef int _grow(self) except -1:
        # Views of the rows before stay what they are.
        cdef cnp.ndarray rows = np.empty(max(ROOM, 2 * self._room), EVENT_DTYPE)
        cdef event_t* data = <event_t*> cnp.PyArray_DATA(rows)
        if self._n:
            memcpy(data, self._data, self._n * sizeof(event_t))
        self._rows, self._data, self._room = rows, data, cnp.PyArray_DIM(rows, 0)
        return 0

    cdef int _deliver(self) except -1:
        cdef int64_t n = self._n
        if n == 0 or self._busy:
            return 0
        view = self._rows[:n]
        view.setflags(write=False)
        self._busy = True
        try:
            self._method(view)
        finally:
            self._busy = False
        self._n = 0
        return 0

    def deliver(self):
        """Call the method with what came since it was called last; not at all where nothing has."""
        self._deliver()
