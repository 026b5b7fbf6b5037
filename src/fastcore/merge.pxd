"""Contract of the merge: several histories as one, by time and then by their order.

The time of a history never goes back: that of an event is the larger of its own (moved by the offset of its history) and the one before;
images of a book and later parts of a message have that of the event before them.
"""

cimport cython
from libc.stdint cimport int64_t, uint32_t

from fastcore.records cimport event_t
from fastcore.source cimport Source, batch_t, source_t


ctypedef struct merged_t:
    source_t* source
    batch_t batch
    uint32_t at             # its first event that was not handed out
    int64_t time_ns         # of that event; NEVER when the history has ended
    int64_t offset_ns
    const uint32_t* ids     # dense id by its own; NULL: they are the same
    uint32_t id_count
    bint fetch              # its next batch is not known yet

ctypedef struct merge_t:
    source_t base
    merged_t* parts
    uint32_t count
    uint32_t waiting        # the one that must be refilled
    event_t* events         # copies of what is moved or mapped
    uint32_t capacity


@cython.final
cdef class MergeSource(Source):
    cdef merge_t _m
    cdef readonly tuple sources
    cdef list _ids          # keeps the arrays
