"""Contract of the spool: what a run records, in a bounded buffer that is drained between two stretches of the loop."""

cimport cython
from libc.stdint cimport int64_t


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
