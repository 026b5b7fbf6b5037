# cython: freethreading_compatible=True
"""A ring as the source of a run: live events, in the order in which another thread or process publishes them."""

cimport cython
from libc.stdint cimport int64_t

from fastcore._guard cimport enter, leave
from fastcore._slots cimport ring_closed
from fastcore.clock cimport clock_wall_ns
from fastcore.records cimport FLAG_CONTINUED, event_t
from fastcore.ring cimport RingBuffer, ring_release_batch, ring_try_peek_batch
from fastcore.source cimport NO_WATCH, SOURCE_BATCH, SOURCE_END, SOURCE_IDLE, SOURCE_OK, Source, batch_t, source_t

from fastcore.records import EVENT_DTYPE, QUOTE_DTYPE, REPLACE_DTYPE

__all__ = ["RingSource"]


cdef int ring_next(source_t* source, int64_t until_ns, batch_t* out) noexcept nogil:
    cdef ring_source_t* s = <ring_source_t*> source
    cdef size_t got = 0
    cdef const event_t* e
    cdef int64_t now
    cdef bint closed
    ring_release_batch(s.ring, s.taken)
    s.taken = 0
    closed = ring_closed(s.ring)  # before the slots: a record published before the close is seen
    e = <const event_t*> ring_try_peek_batch(s.ring, SOURCE_BATCH, &got)
    if got == 0:
        return SOURCE_END if closed else SOURCE_IDLE
    now = clock_wall_ns()
    s.now_ns = now if now > s.now_ns else s.now_ns + 1
    s.taken = got
    out.events = e
    out.changes = NULL
    out.n = <unsigned int> got
    out.first = 0
    out.own = False
    out.now_ns = s.now_ns
    out.open = e[got - 1].flags & FLAG_CONTINUED
    return SOURCE_OK


@cython.final
cdef class RingSource(Source):
    """RingSource(ring)\n--\n\n
    RingSource(ring)\n--\n
    Events that somebody else publishes in a ring, up to 128 at a time.

    What one poll finds is one instant. The run is idle while the ring is empty, and at its end when the ring is empty and closed.

    Parameters
    ----------
    ring : RingBuffer
        Of events. The run is its consumer.

    Notes
    -----
    **Thread safety**: the consumer's end of the ring belongs to the run.
    """

    def __cinit__(self, RingBuffer ring not None):
        if ring.dtype not in (EVENT_DTYPE, QUOTE_DTYPE, REPLACE_DTYPE):
            raise TypeError(f"ring must hold events: dtype={ring.dtype}")
        self.ring = ring
        self._r.base.next = ring_next
        self._r.base.watch = &NO_WATCH
        self._r.base.instants = True
        self._r.ring = ring._ring
        self._source = &self._r.base

    cdef int enter(self) except -1:
        return enter(&self.ring._taking)

    cdef void leave(self) noexcept:
        leave(&self.ring._taking)

    def __repr__(self):
        return f"RingSource({self.ring!r})"
