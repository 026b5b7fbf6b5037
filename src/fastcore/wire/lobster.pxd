"""The N-level window of LOBSTER data, message by message: the contract. The rule is in ``lobster.pyx``."""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t


cdef enum:
    LOBSTER_LEVELS = 200        # the most that a file has
    LOBSTER_LOG = 64

ctypedef struct lobster_side_t:
    int64_t prices[LOBSTER_LEVELS + 1]  # best first; one place more than the window, for a level that pushes out the last
    int64_t sizes[LOBSTER_LEVELS + 1]
    uint32_t count

ctypedef struct lobster_miss_t:
    uint64_t row
    int rule                    # number of the rule that does not hold

ctypedef struct lobster_window_t:
    lobster_side_t sides[2]     # bids, asks
    uint32_t levels
    uint64_t checked            # rows seen
    uint64_t matched
    uint64_t revealed           # levels taken over from a row
    uint64_t misses             # checked - matched; the first LOBSTER_LOG are in `log`
    lobster_miss_t log[LOBSTER_LOG]


# One message and the row behind it: 0, or the number of the rule that does not hold, after which the window is the row's.
cdef int lobster_apply(
    lobster_window_t* w, int64_t type, int64_t size, int64_t price, int64_t side, const int64_t* row
) noexcept nogil


@cython.final
cdef class LobsterWindow:
    cdef lobster_window_t* _w
    cdef uint64_t _busy
