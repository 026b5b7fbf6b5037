"""Latencies of a run by stage, of sampled events alone: contract.

A source hands a sampled message out in a batch of its own and starts the watch; whoever works on it laps its stage, and the engine
stops the watch when the event is done. For every other event `on` is false, and a lap is one branch.
"""

cimport cython
from libc.stdint cimport int64_t, uint64_t

from fastcore.clock cimport clock_ticks
from fastcore.histogram cimport histogram_t
from fastcore.records cimport unlikely


cdef enum:
    STAGE_DECODE        # bytes to events
    STAGE_BOOK
    STAGE_VENUE         # queues and fills of own orders
    STAGE_STORE         # executions to a tick store
    STAGE_STRATEGY      # callbacks
    STAGE_RISK          # orders judged, entered and sent
    STAGE_TOTAL
    STAGES

ctypedef struct stopwatch_t:
    bint on                 # the event at hand is sampled
    uint64_t begun          # clock ticks at its start, and at the last lap
    uint64_t last
    int64_t spent[STAGES]   # ticks by stage
    int64_t every           # one message in so many; 0 none
    int64_t left            # messages until the next sampled one
    histogram_t* stages[STAGES]


cdef inline bint stopwatch_due(const stopwatch_t* w) noexcept nogil:
    """Whether the next message is a sampled one."""
    return w.left <= 0 and w.every > 0


cdef inline int64_t stopwatch_room(const stopwatch_t* w, int64_t most) noexcept nogil:
    """Messages that may come in one batch, at most `most`: up to the next sampled one, which comes alone."""
    if w.every == 0 or w.left >= most:
        return most
    return w.left if w.left > 0 else 1


cdef inline void stopwatch_start(stopwatch_t* w) noexcept nogil:
    w.on = True
    w.left = w.every - 1
    w.begun = w.last = clock_ticks()


cdef inline void lap(stopwatch_t* w, int stage) noexcept nogil:
    """Add the time since the last lap to a stage of the sampled event."""
    cdef uint64_t now
    if unlikely(w.on):
        now = clock_ticks()
        w.spent[stage] += <int64_t> (now - w.last)
        w.last = now


# Record the stages that took part, and their sum.
cdef void stopwatch_stop(stopwatch_t* w) noexcept nogil


@cython.final
cdef class Stopwatch:
    cdef stopwatch_t _w
    cdef dict _stages           # name -> Histogram, whose places in memory the loop knows
