"""Sources of events for a run: arrays of events, and the base of all others.

A source is handed to a ``fastcore.sim.simulator.Simulator`` or to a ``fastcore.engine.Engine``, which read it without the GIL.
"""

cimport cython
cimport numpy as cnp
from libc.stdint cimport int64_t

from fastcore._arrays cimport check_events, events_data
from fastcore._guard cimport enter, leave
from fastcore.records cimport FLAG_CONTINUED, event_t
from fastcore.stopwatch cimport stopwatch_due, stopwatch_room, stopwatch_start

from fastcore.records import EVENT_DTYPE, QUOTE_DTYPE, REPLACE_DTYPE

cnp.import_array()

__all__ = ["EventSource", "Source"]

cdef tuple _DTYPES = (EVENT_DTYPE, QUOTE_DTYPE, REPLACE_DTYPE)

cdef enum:
    ARRAY_BATCH = 4096



cdef class Source:
    """Source()\n--\n\n
    Source()\n--\n
    Base of the sources; the compiled ones stand beside what they read.

    Notes
    -----
    **Thread safety**: one thread at a time.
    """

    def __cinit__(self):
        self._source = NULL
        self._gateway = NULL

    # The loop begins and ends: what this source works on belongs to it meanwhile.
    cdef int enter(self) except -1:
        return enter(&self._busy)

    cdef void leave(self) noexcept:
        leave(&self._busy)

    # Take more input; False when there is none.
    cdef bint refill(self) except -1:
        return False

    # Raise what SOURCE_ERROR stands for.
    cdef int fail(self) except -1:
        raise RuntimeError(f"a source must say what went wrong: source={self!r}")

    # A run begins: its stopwatch, and what it asks a source of instants for.
    cdef int attach(self, stopwatch_t* watch, const wanted_t* wanted) except -1:
        self._source.watch = watch
        return 0


cdef int array_next(source_t* source, int64_t until_ns, batch_t* out) noexcept nogil:
    cdef array_source_t* s = <array_source_t*> source
    cdef const event_t* e = s.events + s.at
    cdef size_t left = s.n - s.at
    cdef size_t n = left
    if left == 0:
        return SOURCE_REFILL
    if n > ARRAY_BATCH:
        n = ARRAY_BATCH
    if source.watch.every:
        n = <size_t> stopwatch_room(source.watch, <int64_t> n)
        if stopwatch_due(source.watch):
            stopwatch_start(source.watch)
    if n < left:
        while n < left and e[n - 1].flags & FLAG_CONTINUED:
            n += 1
    if not source.watch.on:
        source.watch.left -= <int64_t> n
    out.events = e
    out.changes = NULL
    out.n = <unsigned int> n
    out.first = 0
    out.own = out.open = False
    s.at += n
    return SOURCE_OK


@cython.final
cdef class EventSource(Source):
    """EventSource(arrays)\n--\n\n
    EventSource(arrays)\n--\n
    Events in memory: arrays, one after the other.

    Parameters
    ----------
    arrays : iterable of ndarray of EVENT_DTYPE, shape (n,)
        What a ``hft.feeds.Feed`` is, or a list of arrays, or one array. Each ends with a whole message. `symbol_id` is the dense
        id; `seq` is not read: a run numbers events as they come. Nothing is copied.

    Attributes
    ----------
    given : int
        Events handed over so far, those of the present array included.
    """

    def __init__(self, arrays):
        self._arrays = iter([arrays] if hasattr(arrays, "dtype") else arrays)
        self._a.base.next = array_next
        self._a.base.watch = &NO_WATCH
        self._source = &self._a.base

    cdef bint refill(self) except -1:
        cdef cnp.ndarray array
        for given in self._arrays:
            array = check_events(given, "events", False, _DTYPES)
            if cnp.PyArray_DIM(array, 0) == 0:
                continue
            self._array = array
            self._a.events = events_data(array)
            self._a.n = cnp.PyArray_DIM(array, 0)
            self._a.at = 0
            self.given += self._a.n
            return True
        return False

    def __repr__(self):
        return f"EventSource({self.given} events so far)"
