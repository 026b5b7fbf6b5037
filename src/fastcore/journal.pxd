"""Contract of what a run writes down: a bounded buffer that is drained between two stretches of the loop.

A spool is drained into a temporary file. A journal is a gateway that writes down what passes, both ways, into a store.
"""

cimport cython
from libc.stdint cimport int64_t

from fastcore.gateway cimport gateway_t
from fastcore.records cimport RESULT_OK, event_t
from fastcore.tickstore cimport TickStore, store_append_record, store_t


ctypedef struct spool_t:
    char* records
    int64_t count       # records in the buffer
    int64_t capacity
    int64_t size        # bytes of a record


cdef inline int64_t spool_room(const spool_t* s) noexcept nogil:
    return s.capacity - s.count


cdef inline void* spool_claim(spool_t* s) noexcept nogil:
    """Where the next record goes; room is certain, and every byte is to be written."""
    s.count += 1
    return s.records + (s.count - 1) * s.size


@cython.final
cdef class Spool:
    cdef spool_t _s
    cdef readonly object dtype
    cdef object _file
    cdef readonly int64_t drained   # records in the file
    cdef int drain(self) except -1


# Orders on their way out are written by the gateway, what comes in by the engine. A record is in the store, which outlives this process,
# before the message is sent; with the sync policy "commit" it is on the disk.
ctypedef struct journal_t:
    gateway_t base
    gateway_t* gateway      # the way out
    store_t* store
    bint commit
    bint inbound            # events of the market too
    bint failed             # the store did not take a record


cdef inline void journal_write(journal_t* j, const event_t* e) noexcept nogil:
    """Write an event down; the engine sees to it that there is room."""
    j.failed |= store_append_record(j.store, e) != RESULT_OK


@cython.final
cdef class Journal:
    cdef journal_t _j
    cdef readonly TickStore store
    cdef int make_room(self, int64_t records) except -1
    cdef int fail(self) except -1
