"""Contract of a batch: market events of a run, kept in order until somebody looks at all of them in one call."""

cimport cython
from libc.stdint cimport int64_t

from fastcore.records cimport event_t


@cython.final
cdef class Batch:
    cdef event_t* _data         # of `_rows`
    cdef int64_t _room
    cdef int64_t _n
    cdef object _rows           # an array that lives as long as a view of it
    cdef object _method
    cdef bint _busy             # the method is looking
    cdef readonly int64_t events
    cdef int _grow(self) except -1
    cdef int _deliver(self) except -1


cdef inline int batch_put(Batch b, const event_t* e) except -1:
    """Keep an event."""
    if b._n == b._room:
        b._grow()
    b._data[b._n] = e[0]
    b._n += 1
    return 0


cdef inline bint batch_due(Batch b) noexcept:
    """Whether as many have come as the method waits for."""
    return b.events != 0 and b._n >= b.events
