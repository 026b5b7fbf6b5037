# cython: freethreading_compatible=True
"""Latencies of a run by stage: one message in so many is timed from its bytes to the last order that it caused."""

cimport cython
from libc.stdint cimport int64_t
from libc.string cimport memset

from fastcore._integers cimport as_int64
from fastcore.clock cimport clock_ticks, clock_ticks_to_ns
from fastcore.histogram cimport Histogram, histogram_record

from types import MappingProxyType

__all__ = ["STAGE_NAMES", "Stopwatch"]

STAGE_NAMES = ("decode", "book", "venue", "store", "strategy", "risk", "total")


cdef void stopwatch_stop(stopwatch_t* w) noexcept nogil:
    cdef int i
    w.spent[STAGE_TOTAL] = <int64_t> (clock_ticks() - w.begun)
    for i in range(STAGES):
        if w.spent[i]:
            histogram_record(w.stages[i], clock_ticks_to_ns(w.spent[i]))
    memset(w.spent, 0, sizeof(w.spent))
    w.on = False


@cython.final
cdef class Stopwatch:
    """Stopwatch(sample_every=256)\n--\n\n
    Stopwatch(sample_every=256)\n--\n
    Histograms of latency by stage.

    Parameters
    ----------
    sample_every : int, default 256
        Latencies of one message in so many, 0..2**40: 1 every message, 0 none.

    Attributes
    ----------
    stages : mapping of str to Histogram
        Nanoseconds by stage: ``decode`` (bytes to events), ``book``, ``venue`` (queues and fills of own orders), ``store``,
        ``strategy`` (callbacks), ``risk`` (orders judged, entered and sent), ``total``. Each includes one read of the clock.

    Notes
    -----
    **Thread safety**: belongs to one run; read the histograms between its calls.
    """

    def __cinit__(self, sample_every=256):
        cdef int64_t every = as_int64(sample_every)
        cdef Histogram h
        if not 0 <= every <= <int64_t> 1 << 40:
            raise ValueError(f"sample_every must be in 0..{1 << 40}: sample_every={sample_every}")
        self._w.every = every
        self._stages = {}
        for i, name in enumerate(STAGE_NAMES):
            h = Histogram(1, 60_000_000_000, 3)
            self._w.stages[i] = h._h
            self._stages[name] = h

    @property
    def stages(self):
        return MappingProxyType(self._stages)

    def __repr__(self):
        counts = ", ".join(f"{name} {h.count}" for name, h in self._stages.items() if h.count)
        return f"Stopwatch(sample_every={self._w.every}: {counts or 'nothing sampled'})"
