"""Contract of a source: what happens, in the order in which we learn of it.

    next(source, until_ns, &batch) -> SOURCE_OK and a batch, or why there is none; it never blocks

A batch is a stretch of memory of the source, valid until the next call and never written by the reader. A *history* (file, array,
merge) hands out stretches of any length that end with whole messages. A source of *instants* (simulator, ring, socket) ends each
batch with the first instant in which something happened that somebody asked for, so that whoever decides does so once a batch, on
the state at its end.
"""

from libc.stdint cimport INT64_MAX, int64_t, uint8_t, uint32_t, uint64_t

from fastcore.book cimport book_change_t, top_t
from fastcore.gateway cimport gateway_t
from fastcore.records cimport event_t
from fastcore.stopwatch cimport stopwatch_t


cdef enum:
    SOURCE_OK           # a batch
    SOURCE_IDLE         # nothing now, perhaps later (live)
    SOURCE_LATER        # nothing up to until_ns: the next event is later
    SOURCE_REFILL       # the input is used up: Source.refill() may have more
    SOURCE_END
    SOURCE_ERROR        # Source.fail() says what it was

cdef enum:
    SOURCE_BATCH = 128  # events of a decoded batch: they stay in the nearest cache

cdef extern from *:
    """
    #define FC_NEVER INT64_MAX
    """
    const int64_t NEVER "FC_NEVER"

ctypedef struct batch_t:
    const event_t* events
    const book_change_t* changes    # the source has applied the events to the shared market; NULL: the reader does
    uint32_t n
    uint32_t first                  # the last instant begins here
    bint own                        # reports of own orders, else events of the market
    int64_t now_ns                  # our clock at the end of the batch
    bint open                       # it goes on in the next batch: decide nothing yet

cdef struct source_t

ctypedef int (*source_next_t)(source_t* source, int64_t until_ns, batch_t* out) noexcept nogil

# The head of every source: its own state follows in memory.
cdef struct source_t:
    source_next_t next
    stopwatch_t* watch              # never NULL
    bint instants                   # batches end as a reader that decides needs it

# What a reader asks a source of instants for.
ctypedef struct wanted_t:
    const uint8_t* symbols          # by dense id: 1 wanted
    uint32_t capacity
    uint64_t kinds                  # kinds of market events that end a batch, one bit each
    int64_t mark_ns                 # so does the instant of the first event at or after this time
    const top_t* tops               # by dense id: best prices of wanted instruments before the present instant; NULL: nobody keeps them


# For a source that nobody times.
cdef stopwatch_t NO_WATCH


cdef class Source:
    cdef source_t* _source
    cdef gateway_t* _gateway    # of one that is both, as a simulator is; else NULL
    cdef uint64_t _busy         # a loop reads it
    # Before and after the loop: the objects that it works on are its own meanwhile (see _guard).
    cdef int enter(self) except -1
    cdef void leave(self) noexcept
    cdef bint refill(self) except -1
    cdef int fail(self) except -1
    cdef int attach(self, stopwatch_t* watch, const wanted_t* wanted) except -1


ctypedef struct array_source_t:
    source_t base
    const event_t* events
    size_t n
    size_t at


cdef class EventSource(Source):
    cdef array_source_t _a
    cdef object _arrays             # iterator
    cdef object _array              # keeps the memory of the present one
    cdef readonly int64_t given     # events so far
