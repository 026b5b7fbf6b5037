"""Rings between one producer and one consumer, for ``cimport``.

The producer side of a ring is one thread, the consumer side is one thread. Between claim and commit write every byte of the
record *except* ``seq`` (offset 0..7), which belongs to the ring.
"""

cimport cython
from libc.stdint cimport uint64_t

from fastcore._slots cimport (
    RING_AHEAD, _Handle, ring_closed, ring_memory_t, ring_slot, ring_t, slots_claim, slots_commit, slots_peek, slots_push, slots_read,
    slots_room,
)
from fastcore.records cimport (
    load_acquire, load_relaxed, prefetch_write, store_relaxed, store_release, unlikely,
)


# ---- the producer's side


cdef inline uint64_t ring_room(ring_t* r) noexcept nogil:
    """Free slots, reading the consumer's cursor again."""
    r.memory.seen = load_acquire(&r.memory.tail)
    return r.mask + 1 - (load_relaxed(&r.memory.head) - r.memory.seen)


cdef inline void* ring_try_claim(ring_t* r) noexcept nogil:
    """The next slot, to be filled and committed; NULL when the ring is full (counted) or closed (`ring_closed` tells)."""
    cdef ring_memory_t* m = r.memory
    cdef uint64_t head = load_relaxed(&m.head)
    if unlikely(head - m.seen > r.mask):
        m.seen = load_acquire(&m.tail)
        if head - m.seen > r.mask:
            store_relaxed(&m.full, load_relaxed(&m.full) + 1)
            return NULL
    if unlikely(load_relaxed(&m.closed) != 0):
        return NULL
    # The consumer's core still holds the free slots. Without asking early the stores of each record wait for its line, and
    # only as many records are under way as the store buffer holds. Never the line of a record that is not consumed.
    if head - m.seen + RING_AHEAD <= r.mask:
        prefetch_write(ring_slot(r, head + RING_AHEAD))
    return ring_slot(r, head)


cdef inline void ring_commit(ring_t* r) noexcept nogil:
    """Publish the claimed slot."""
    cdef ring_memory_t* m = r.memory
    cdef uint64_t head = load_relaxed(&m.head)
    cdef uint64_t* slot = ring_slot(r, head)
    store_release(slot, head + 1)
    store_relaxed(&m.head, head + 1)


cdef inline void* ring_try_claim_batch(ring_t* r, size_t want, size_t* got) noexcept nogil:
    """Up to `want` slots in a row (the row ends at the end of the memory); NULL and 0 when full (counted) or closed."""
    cdef uint64_t room = slots_room(r)
    return slots_claim(r, room if want <= room else ring_room(r), want, got)


cdef inline void ring_commit_batch(ring_t* r, size_t count) noexcept nogil:
    """Publish the first `count` claimed slots, in order."""
    slots_commit(r, count)


cdef inline size_t ring_try_push_batch(ring_t* r, const void* records, size_t count) noexcept nogil:
    """Copy and publish as many of `count` records as there is room for, across the end of the memory."""
    cdef uint64_t room = slots_room(r)
    return slots_push(r, room if count <= room else ring_room(r), records, count)


# ---- the consumer's side


cdef inline void* ring_try_peek(ring_t* r) noexcept nogil:
    """The oldest record, to be read and released; NULL when there is none."""
    cdef uint64_t tail = load_relaxed(&r.memory.tail)
    cdef uint64_t* slot = ring_slot(r, tail)
    if load_acquire(slot) != tail + 1:
        return NULL
    return slot


cdef inline void ring_release(ring_t* r) noexcept nogil:
    """Hand the slot of the oldest record back to the producer."""
    cdef ring_memory_t* m = r.memory
    store_release(&m.tail, load_relaxed(&m.tail) + 1)


cdef inline void* ring_try_peek_batch(ring_t* r, size_t want, size_t* got) noexcept nogil:
    """Up to `want` records in a row (the row ends at the end of the memory); NULL and 0 when there is none."""
    return slots_peek(r, load_relaxed(&r.memory.tail), want, got)


cdef inline void ring_release_batch(ring_t* r, size_t count) noexcept nogil:
    """Hand the slots of the `count` oldest records back to the producer."""
    store_release(&r.memory.tail, load_relaxed(&r.memory.tail) + count)


cdef inline size_t ring_try_pop_batch(ring_t* r, void* out, size_t count) noexcept nogil:
    """Copy out and release up to `count` records."""
    cdef size_t n = slots_read(r, load_relaxed(&r.memory.tail), out, count)
    if n:
        ring_release_batch(r, n)
    return n


@cython.final
cdef class RingBuffer(_Handle):
    cdef int _enter(self, object role) except -1
