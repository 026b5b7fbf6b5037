"""Contract of mark-outs: the middle of the venue's best prices before each fill, and at stated times after it.

Fills come in the order of time, so those that wait for a horizon are a ring with one cursor a horizon. The owner tells when the venue's
clock is about to pass `due_ns`: the market is then as it is at that time. Nothing is done between.
"""

cimport cython
from libc.stdint cimport int64_t, uint32_t, uint64_t

from fastcore.book cimport top_t
from fastcore.journal cimport Spool, spool_room, spool_t
from fastcore.market cimport market_t
from fastcore.records cimport NO_PRICE


cdef enum:
    MARKOUT_HORIZONS = 16
    MARKOUT_ROOM = 1 << 13      # marks that one step of a run can ask for

# One middle: MARKOUT_DTYPE of NumPy.
ctypedef struct mark_t:
    uint32_t fill       # number of the fill in the run, from 0
    uint32_t horizon    # 0: before the fill; else the place of its horizon, from 1
    int64_t middle2     # bid + ask in ticks; NO_PRICE where one is missing, or they do not leave a spread

# A fill that waits.
ctypedef struct marked_t:
    int64_t time_ns
    uint32_t symbol_id
    uint32_t fill

ctypedef struct markouts_t:
    int64_t due_ns              # earliest middle that waits; NEVER for none
    bint full                   # room must be made
    int64_t horizons[MARKOUT_HORIZONS]  # ns, ascending
    uint64_t cursors[MARKOUT_HORIZONS]  # first fill that waits for each
    int count
    marked_t* slots
    uint64_t mask               # slots - 1
    uint64_t tail
    uint32_t fills
    int64_t lost                # fills without marks, for want of room
    spool_t* spool


cdef inline int64_t middle_of(const top_t* top) noexcept nogil:
    """Twice the middle of best prices."""
    return NO_PRICE if top.bid == NO_PRICE or top.ask == NO_PRICE or top.bid >= top.ask else top.bid + top.ask


# A fill, and twice the middle before what caused it.
cdef void markouts_fill(markouts_t* m, int64_t time_ns, uint32_t symbol_id, int64_t middle2) noexcept nogil
# Write down the middles of all times up to `until_ns`: the market is as it is until then. False without room.
cdef bint markouts_take(markouts_t* m, const market_t* market, int64_t until_ns) noexcept nogil


@cython.final
cdef class Markouts:
    cdef markouts_t _m
    cdef readonly tuple horizons_ns
    cdef Spool _spool
    cdef uint64_t _busy         # a run works on it
    cdef int make_room(self) except -1
