"""Contract of a latency: how long each message of one direction of a connection takes."""

cimport cython
from libc.stdint cimport int64_t, uint64_t


cdef enum:
    LATENCY_CONSTANT
    LATENCY_NORMAL
    LATENCY_LOG_NORMAL
    LATENCY_ROWS            # recorded ones, interpolated by the time of sending

ctypedef struct latency_t:
    int model
    int64_t next_ns         # of the next message; of rows the shortest
    double mean             # of the delay in ns, or of its logarithm
    double deviation
    uint64_t rng
    const int64_t* times    # rows
    const int64_t* delays
    size_t rows
    size_t row              # that the last message was sent in


# The delay of a message, where the model is no constant: what was drawn ahead, and the next one is drawn.
cdef int64_t latency_next(latency_t* l, int64_t sent_ns) noexcept nogil


cdef inline int64_t latency_least(const latency_t* l) noexcept nogil:
    """The shortest delay that any message may have."""
    return l.next_ns if l.model == LATENCY_CONSTANT or l.model == LATENCY_ROWS else 0


@cython.final
cdef class Latency:
    cdef latency_t _l
    cdef readonly int64_t mean_ns
    cdef readonly int64_t deviation_ns
    cdef readonly str model
    cdef object _times, _delays
    cdef latency_t begin(self, str connection)
