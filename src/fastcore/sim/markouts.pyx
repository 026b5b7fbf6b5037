# cython: freethreading_compatible=True
"""Mark-outs: where the market was before each fill, and where it went after it."""

import numpy as np

cimport cython
from libc.stdint cimport int64_t, uint32_t, uint64_t

from fastcore._guard cimport alone
from fastcore._integers cimport as_int64
from fastcore.book cimport book_t, book_top, top_t
from fastcore.journal cimport Spool, spool_claim, spool_room
from fastcore.market cimport market_book, market_t
from fastcore.records cimport NO_PRICE, fc_alloc, fc_free
from fastcore.source cimport NEVER

__all__ = ["MARKOUT_DTYPE", "Markouts"]

MARKOUT_DTYPE = np.dtype([("fill", np.uint32), ("horizon", np.uint32), ("middle2", np.int64)])

cdef enum:
    FIRST_SLOTS = 1 << 15


cdef inline void mark(markouts_t* m, uint32_t fill, uint32_t horizon, int64_t middle2) noexcept nogil:
    cdef mark_t* p = <mark_t*> spool_claim(m.spool)
    p.fill = fill
    p.horizon = horizon
    p.middle2 = middle2


cdef void markouts_fill(markouts_t* m, int64_t time_ns, uint32_t symbol_id, int64_t middle2) noexcept nogil:
    cdef marked_t* slot
    cdef uint64_t oldest = m.cursors[m.count - 1] if m.count else m.tail
    m.fills += 1
    m.full |= 2 * (m.tail - oldest) > m.mask or spool_room(m.spool) < MARKOUT_ROOM
    if m.tail - oldest > m.mask or spool_room(m.spool) == 0:
        m.lost += 1
        return
    mark(m, m.fills - 1, 0, middle2)
    if m.count == 0:
        return
    slot = &m.slots[m.tail & m.mask]
    slot.time_ns = time_ns
    slot.symbol_id = symbol_id
    slot.fill = m.fills - 1
    m.tail += 1
    if time_ns + m.horizons[0] < m.due_ns:
        m.due_ns = time_ns + m.horizons[0]


cdef bint markouts_take(markouts_t* m, const market_t* market, int64_t until_ns) noexcept nogil:
    cdef const marked_t* slot
    cdef const book_t* book
    cdef top_t top
    cdef int64_t due
    cdef int h
    m.due_ns = NEVER
    for h in range(m.count):
        while m.cursors[h] != m.tail:
            slot = &m.slots[m.cursors[h] & m.mask]
            due = slot.time_ns + m.horizons[h]
            if due > until_ns:
                m.due_ns = due if due < m.due_ns else m.due_ns
                break
            if spool_room(m.spool) < MARKOUT_ROOM:
                m.due_ns = due if due < m.due_ns else m.due_ns
                m.full = True
                return False
            book = market_book(market, slot.symbol_id)
            top.bid = top.ask = NO_PRICE
            if book != NULL:
                book_top(book, &top)
            mark(m, slot.fill, h + 1, middle_of(&top))
            m.cursors[h] += 1
    return True


@cython.final
cdef class Markouts:
    """Markouts(horizons_ns=())\n--\n\n
    Markouts(horizons_ns=())\n--\n
    The middle of the venue's best prices before each fill of a run, and at each horizon after it.

    Parameters
    ----------
    horizons_ns : sequence of int, default ()
        At most 16, ascending, each 1..2**60.

    Attributes
    ----------
    horizons_ns : tuple of int

    Notes
    -----
    A ``Simulator`` writes it. Times are those of the venue, and a middle is that behind all events of its time. A run of any length takes
    the memory of the fills that wait for their longest horizon; what is written down is kept in a ``fastcore.journal.Spool``.

    **Thread safety**: belongs to one run.
    """

    def __cinit__(self, horizons_ns=()):
        cdef markouts_t* m = &self._m
        cdef int64_t before = 0
        self.horizons_ns = tuple(as_int64(ns) for ns in horizons_ns)
        if len(self.horizons_ns) > MARKOUT_HORIZONS:
            raise ValueError(f"horizons_ns must be at most {MARKOUT_HORIZONS}: horizons_ns={self.horizons_ns}")
        for ns in self.horizons_ns:
            if not before < ns <= <int64_t> 1 << 60:
                raise ValueError(f"horizons_ns must be ascending, in 1..{1 << 60}: horizons_ns={self.horizons_ns}")
            m.horizons[m.count] = before = ns
            m.count += 1
        self._spool = Spool(MARKOUT_DTYPE, 4 * MARKOUT_ROOM)
        m.spool = &self._spool._s
        m.due_ns = NEVER
        m.mask = FIRST_SLOTS - 1
        m.slots = <marked_t*> fc_alloc(FIRST_SLOTS, sizeof(marked_t))
        if m.slots == NULL:
            raise MemoryError("no memory for mark-outs")

    def __dealloc__(self):
        fc_free(self._m.slots)

    # Empty the buffer, and take more memory where many fills wait.
    cdef int make_room(self) except -1:
        cdef markouts_t* m = &self._m
        cdef uint64_t oldest = m.cursors[m.count - 1] if m.count else m.tail
        cdef uint64_t i
        cdef marked_t* larger
        if self._spool._s.count:
            self._spool.drain()
        if 2 * (m.tail - oldest) > m.mask:
            larger = <marked_t*> fc_alloc(2 * (m.mask + 1), sizeof(marked_t))
            if larger == NULL:
                raise MemoryError(f"no memory for mark-outs: fills={m.tail - oldest}")
            for i in range(oldest, m.tail):
                larger[i & (2 * m.mask + 1)] = m.slots[i & m.mask]
            fc_free(m.slots)
            m.slots = larger
            m.mask = 2 * m.mask + 1
        m.full = False
        return 0

    def array(self):
        """Return the middles so far.

        Returns
        -------
        ndarray of MARKOUT_DTYPE, shape (n,)
            A copy: `fill`, its number in the run from 0; `horizon`, 0 before the fill, else the place of its horizon from 1; `middle2`,
            bid + ask in ticks, or NO_PRICE where one was missing or they were crossed. What ends behind the data is not there.
        """
        alone(&self._busy)
        return self._spool.array()

    @property
    def fills(self):
        """Fills at the venue so far, those that nobody has been told of yet among them."""
        return self._m.fills

    @property
    def lost(self):
        """Fills that were not written down: more came at one time than there was room for."""
        return self._m.lost

    def __repr__(self):
        return f"Markouts({self.horizons_ns}, {self._m.fills} fills)"
