"""Contract of the ring source: what another thread or process publishes, one poll an instant."""

cimport cython
from libc.stdint cimport int64_t

from fastcore.ring cimport RingBuffer, ring_t
from fastcore.source cimport Source, source_t


ctypedef struct ring_source_t:
    source_t base
    ring_t* ring
    size_t taken        # slots of the last batch, given back with the next call
    int64_t now_ns      # our clock: every poll that finds something is later than the one before


@cython.final
cdef class RingSource(Source):
    cdef ring_source_t _r
    cdef readonly RingBuffer ring
