"""Rings from one producer to several consumers, for ``cimport``; what they share with `fastcore.ring` is in `fastcore._slots`.

The producer side is one thread, each cursor belongs to one thread. A ring with back-pressure waits for the slowest cursor; an
overrun ring never waits, and a consumer that has been overtaken is told.
"""

cimport cython
from libc.stdint cimport int64_t, uint64_t

from fastcore._slots cimport (
    RING_OVERRUN, _Handle, _Reader, cursor_t, record_read, record_write, ring_cursors, ring_slot, ring_t, slots_push, slots_read,
    slots_room,
)
from fastcore.records cimport fetch_add, load_acquire, load_relaxed, store_relaxed, store_release, unlikely


cdef inline uint64_t broadcast_slowest(ring_t* r, uint64_t least) noexcept nogil:
    """Position of the slowest active consumer, at least `least`; where there is none `least`: records wait for a consumer."""
    cdef cursor_t* c = ring_cursors(r)
    cdef uint64_t slowest = load_relaxed(&r.memory.head)
    cdef uint64_t position
    cdef size_t i
    cdef bint found = False
    for i in range(r.consumers):
        if load_acquire(&c[i].active):
            position = load_acquire(&c[i].position)
            if position < slowest:
                slowest = position
            found = True
    return slowest if found and slowest > least else least


cdef inline uint64_t broadcast_room(ring_t* r) noexcept nogil:
    """Read all cursors again: how many records fit. The producer's.

    A consumer may be joining meanwhile, at the position that it found in ``seen``. Both sides store first (it its cursor,
    we ``seen``), then add to ``epoch``, then look: whoever comes second in the one order of ``epoch`` sees what the other
    stored. A cursor below the earlier ``seen`` belongs to a consumer that will find itself late and move up.
    """
    cdef uint64_t least = load_relaxed(&r.memory.seen)
    cdef uint64_t slowest = broadcast_slowest(r, least)
    if slowest != least:
        store_relaxed(&r.memory.seen, slowest)
        fetch_add(&r.memory.epoch, 1)
        slowest = broadcast_slowest(r, least)
        store_relaxed(&r.memory.seen, slowest)
    return r.mask + 1 - (load_relaxed(&r.memory.head) - slowest)


cdef inline void broadcast_join(ring_t* r, cursor_t* c, bint latest) noexcept nogil:
    """Start a cursor that `owner` already marks as taken, at the oldest or the next record. Partner of `broadcast_room`."""
    cdef uint64_t position = load_relaxed(&r.memory.seen)
    cdef uint64_t head = load_acquire(&r.memory.head)
    cdef uint64_t least
    if r.kind == RING_OVERRUN:
        position = head - r.mask - 1 if head > r.mask + 1 else 0
    if latest:
        position = head
    store_relaxed(&c.lost, 0)
    store_relaxed(&c.consumed, 0)
    store_release(&c.position, position)
    store_release(&c.active, 1)
    if r.kind != RING_OVERRUN:
        for _ in range(1000):  # a producer that is always one step ahead does not follow the rules; the reads will say so
            fetch_add(&r.memory.epoch, 1)
            least = load_relaxed(&r.memory.seen)
            if position >= least:
                break
            position = least
            store_release(&c.position, position)
    store_relaxed(&c.joined, position)


cdef inline size_t broadcast_try_push_batch(ring_t* r, const void* records, size_t count) noexcept nogil:
    """Copy and publish records: as many as the slowest consumer leaves room for, or all of them in an overrun ring."""
    cdef const char* source = <const char*> records
    cdef uint64_t head = load_relaxed(&r.memory.head)
    cdef uint64_t end = head + count
    cdef uint64_t room
    if r.kind != RING_OVERRUN:
        room = slots_room(r)
        return slots_push(r, room if count <= room else broadcast_room(r), records, count)
    if unlikely(load_relaxed(&r.memory.closed) != 0):
        return 0
    while head != end:
        head += 1
        record_write(ring_slot(r, head - 1), source, r.size, head)
        store_release(&r.memory.head, head)
        source += r.size
    return count


cdef inline void broadcast_release_batch(cursor_t* c, size_t count) noexcept nogil:
    """Hand `count` records back."""
    store_relaxed(&c.consumed, load_relaxed(&c.consumed) + count)
    store_release(&c.position, load_relaxed(&c.position) + count)


cdef inline size_t broadcast_try_pop_batch(ring_t* r, cursor_t* c, void* out, size_t count, bint* overrun) noexcept nogil:
    """Copy out up to `count` records after the cursor; `overrun` says that the next record is gone."""
    cdef char* target = <char*> out
    cdef uint64_t position = load_relaxed(&c.position)
    cdef size_t n = 0
    cdef int code
    overrun[0] = False
    if r.kind != RING_OVERRUN:
        n = slots_read(r, position, out, count)
    else:
        while n < count:
            code = record_read(target, ring_slot(r, position + n), r.size, position + n + 1)
            if code <= 0:
                overrun[0] = code < 0
                break
            target += r.size
            n += 1
    if n:
        broadcast_release_batch(c, n)
    return n


cdef inline uint64_t broadcast_skip(ring_t* r, cursor_t* c, uint64_t keep) noexcept nogil:
    """Move a cursor forward to the newest `keep` records; returns how many it skipped, which `lost` counts."""
    cdef uint64_t head = load_acquire(&r.memory.head)
    cdef uint64_t position = load_relaxed(&c.position)
    cdef uint64_t skipped
    if head < position + keep:
        return 0
    skipped = head - keep - position
    store_relaxed(&c.lost, load_relaxed(&c.lost) + skipped)
    store_release(&c.position, position + skipped)
    return skipped


@cython.final
cdef class BroadcastRing(_Handle):
    pass


@cython.final
cdef class BroadcastConsumer(_Reader):
    cdef BroadcastRing _broadcast
    cdef cursor_t* _seat

    cdef void _leave(self) noexcept
