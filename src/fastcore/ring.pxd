"""Rings of records whose slots carry their publication number, for ``cimport``.

The producer side of a ring is one thread, the consumer side (of each cursor) is one thread. A record is published by
storing its ``seq`` with release order; a slot is handed back by storing the consumer's cursor with release order, which
the producer reads (acquire) only when the ring looks full. Layout: ``_c/fc_ring.h``.

Between claim and commit write every byte of the record *except* ``seq`` (offset 0..7), which belongs to the ring.
"""

cimport cython
from libc.stdint cimport int64_t, uint32_t, uint64_t

from fastcore.records cimport (
    compare_exchange,
    fc_assert,
    fetch_add,
    load_acquire,
    load_relaxed,
    prefetch_write,
    store_relaxed,
    store_release,
    unlikely,
)


cdef extern from "fc_ring.h" nogil:
    ctypedef struct ring_t "fc_ring_t":
        uint64_t magic
        uint32_t version
        uint32_t byte_order
        uint32_t kind              # RING_SINGLE, RING_BROADCAST, RING_OVERRUN
        uint32_t record_bytes
        uint64_t dtype_hash
        uint64_t capacity_records
        uint64_t consumers         # cursors of a broadcast ring
        uint64_t total_bytes
        uint64_t mask              # capacity - 1
        uint64_t size              # bytes of a record
        uint64_t slots_offset      # bytes from the start of the struct
        uint64_t closed
        uint64_t head              # records published; the producer's
        uint64_t seen              # the (slowest) cursor as the producer last read it
        uint64_t full              # claims that found no room; the producer's
        uint64_t tail              # records consumed; the consumer's
        uint64_t creator, producer, consumer
        uint64_t epoch

    ctypedef struct cursor_t "fc_cursor_t":
        uint64_t position          # records behind it; the consumer's
        uint64_t active
        uint64_t owner
        uint64_t lost
        uint64_t consumed
        uint64_t joined

    cdef enum:
        RING_SINGLE "FC_RING_SINGLE"
        RING_BROADCAST "FC_RING_BROADCAST"
        RING_OVERRUN "FC_RING_OVERRUN"

    const uint64_t RING_MAGIC "FC_RING_MAGIC"
    const uint32_t RING_VERSION "FC_RING_VERSION"
    const uint32_t RING_BYTE_ORDER "FC_RING_BYTE_ORDER"
    const size_t RING_HEAD_BYTES "FC_RING_HEAD_BYTES"
    const uint64_t RING_AHEAD "FC_RING_AHEAD"


    void record_put "fc_record_put"(void* slot, const void* record, size_t size)
    void record_get "fc_record_get"(void* record, const void* slot, size_t size)
    void record_write "fc_record_write"(void* slot, const void* record, size_t size, uint64_t seq)
    int record_read "fc_record_read"(void* record, const void* slot, size_t size, uint64_t seq)


cdef inline uint64_t* ring_slot(ring_t* r, uint64_t position) noexcept nogil:
    """The slot of the record after `position` others; its first word is the commit word."""
    return <uint64_t*> (<char*> r + r.slots_offset + (position & r.mask) * r.size)


cdef inline bint ring_closed(ring_t* r) noexcept nogil:
    return load_acquire(&r.closed) != 0


# ---- one producer, one consumer: the producer's side


cdef inline void* ring_try_claim(ring_t* r) noexcept nogil:
    """The next slot, to be filled and committed; NULL when the ring is full (counted) or closed (`ring_closed` tells)."""
    cdef uint64_t head = load_relaxed(&r.head)
    if unlikely(head - r.seen > r.mask):
        r.seen = load_acquire(&r.tail)
        if head - r.seen > r.mask:
            store_relaxed(&r.full, load_relaxed(&r.full) + 1)
            return NULL
    if unlikely(load_relaxed(&r.closed) != 0):
        return NULL
    # The consumer's core still holds the free slots. Without asking early the stores of each record wait for its line, and
    # only as many records are under way as the store buffer holds. Never the line of a record that is not consumed.
    if head - r.seen + RING_AHEAD <= r.mask:
        prefetch_write(ring_slot(r, head + RING_AHEAD))
    return ring_slot(r, head)


cdef inline void ring_commit(ring_t* r) noexcept nogil:
    """Publish the claimed slot."""
    cdef uint64_t head = load_relaxed(&r.head)
    cdef uint64_t* slot = ring_slot(r, head)
    fc_assert(load_relaxed(slot) <= head)  # a second producer was here
    store_release(slot, head + 1)
    store_relaxed(&r.head, head + 1)


cdef inline void* ring_try_claim_batch(ring_t* r, size_t want, size_t* got) noexcept nogil:
    """Up to `want` slots in a row (the row ends at the end of the memory); NULL and 0 when full (counted) or closed."""
    cdef uint64_t head = load_relaxed(&r.head)
    cdef uint64_t room = r.mask + 1 - (head - r.seen)
    cdef uint64_t straight = r.mask + 1 - (head & r.mask)
    got[0] = 0
    if want == 0:
        return NULL
    if room < want:
        r.seen = load_acquire(&r.tail)
        room = r.mask + 1 - (head - r.seen)
        if unlikely(room == 0):
            store_relaxed(&r.full, load_relaxed(&r.full) + 1)
            return NULL
    if unlikely(load_relaxed(&r.closed) != 0):
        return NULL
    if room > straight:
        room = straight
    got[0] = want if want < room else room
    return ring_slot(r, head)


cdef inline void ring_commit_batch(ring_t* r, size_t count) noexcept nogil:
    """Publish the first `count` claimed slots, in order."""
    cdef uint64_t head = load_relaxed(&r.head)
    cdef uint64_t* slot = ring_slot(r, head)
    cdef size_t words = r.size // 8
    cdef size_t i
    fc_assert((head & r.mask) + count <= r.mask + 1)
    for i in range(count):
        fc_assert(load_relaxed(slot) <= head)
        store_release(slot, head + i + 1)
        slot += words
    store_relaxed(&r.head, head + count)


cdef inline size_t ring_try_push_batch(ring_t* r, const void* records, size_t count) noexcept nogil:
    """Copy and publish as many of `count` records as there is room for, across the end of the memory."""
    cdef const char* source = <const char*> records
    cdef uint64_t head = load_relaxed(&r.head)
    cdef uint64_t room = r.mask + 1 - (head - r.seen)
    cdef uint64_t end
    cdef uint64_t* slot
    if unlikely(load_relaxed(&r.closed) != 0) or count == 0:
        return 0
    if room < count:
        r.seen = load_acquire(&r.tail)
        room = r.mask + 1 - (head - r.seen)
        if room < count:
            store_relaxed(&r.full, load_relaxed(&r.full) + 1)
            count = room
    end = head + count
    while head != end:
        slot = ring_slot(r, head)
        fc_assert(load_relaxed(slot) <= head)
        record_put(slot, source, r.size)
        head += 1
        store_release(slot, head)
        source += r.size
    store_relaxed(&r.head, head)
    return count


# ---- one producer, one consumer: the consumer's side


cdef inline void* ring_try_peek(ring_t* r) noexcept nogil:
    """The oldest record, to be read and released; NULL when there is none."""
    cdef uint64_t tail = load_relaxed(&r.tail)
    cdef uint64_t* slot = ring_slot(r, tail)
    if load_acquire(slot) != tail + 1:
        return NULL
    return slot


cdef inline void ring_release(ring_t* r) noexcept nogil:
    """Hand the slot of the oldest record back to the producer."""
    store_release(&r.tail, load_relaxed(&r.tail) + 1)


cdef inline void* ring_try_peek_batch(ring_t* r, size_t want, size_t* got) noexcept nogil:
    """Up to `want` records in a row (the row ends at the end of the memory); NULL and 0 when there is none."""
    cdef uint64_t tail = load_relaxed(&r.tail)
    cdef uint64_t* slot = ring_slot(r, tail)
    cdef uint64_t straight = r.mask + 1 - (tail & r.mask)
    cdef size_t words = r.size // 8
    cdef size_t n = 0
    if want > straight:
        want = straight
    while n < want and load_acquire(slot + n * words) == tail + n + 1:
        n += 1
    got[0] = n
    return slot if n else NULL


cdef inline void ring_release_batch(ring_t* r, size_t count) noexcept nogil:
    """Hand the slots of the `count` oldest records back to the producer."""
    store_release(&r.tail, load_relaxed(&r.tail) + count)


cdef inline size_t ring_try_pop_batch(ring_t* r, void* out, size_t count) noexcept nogil:
    """Copy out and release up to `count` records."""
    cdef char* target = <char*> out
    cdef uint64_t tail = load_relaxed(&r.tail)
    cdef uint64_t* slot
    cdef size_t n = 0
    while n < count:
        slot = ring_slot(r, tail)
        if load_acquire(slot) != tail + 1:
            break
        record_get(target, slot, r.size)
        target += r.size
        tail += 1
        n += 1
    if n:
        store_release(&r.tail, tail)
    return n


# ---- one producer, several consumers


cdef inline cursor_t* ring_cursors(ring_t* r) noexcept nogil:
    return <cursor_t*> (<char*> r + RING_HEAD_BYTES)


cdef inline uint64_t broadcast_slowest(ring_t* r, uint64_t least) noexcept nogil:
    """Position of the slowest active consumer, at least `least`; where there is none `least`: records wait for a consumer."""
    cdef cursor_t* c = ring_cursors(r)
    cdef uint64_t slowest = load_relaxed(&r.head)
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
    cdef uint64_t least = load_relaxed(&r.seen)
    cdef uint64_t slowest = broadcast_slowest(r, least)
    if slowest != least:
        store_relaxed(&r.seen, slowest)
        fetch_add(&r.epoch, 1)
        slowest = broadcast_slowest(r, least)
        store_relaxed(&r.seen, slowest)
    return r.mask + 1 - (load_relaxed(&r.head) - slowest)


cdef inline void broadcast_join(ring_t* r, cursor_t* c, bint latest) noexcept nogil:
    """Start a cursor that `owner` already marks as taken, at the oldest or the next record. Partner of `broadcast_room`."""
    cdef uint64_t position = load_relaxed(&r.seen)
    cdef uint64_t head = load_acquire(&r.head)
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
        while True:
            fetch_add(&r.epoch, 1)
            least = load_relaxed(&r.seen)
            if position >= least:
                break
            position = least
            store_release(&c.position, position)
    store_relaxed(&c.joined, position)


cdef inline void* broadcast_try_claim_batch(ring_t* r, size_t want, size_t* got) noexcept nogil:
    """As `ring_try_claim_batch`, with back-pressure from the slowest consumer; not for overrun rings."""
    cdef uint64_t head = load_relaxed(&r.head)
    cdef uint64_t room = r.mask + 1 - (head - load_relaxed(&r.seen))
    cdef uint64_t straight = r.mask + 1 - (head & r.mask)
    got[0] = 0
    if want == 0:
        return NULL
    if room < want:
        room = broadcast_room(r)
        if unlikely(room == 0):
            store_relaxed(&r.full, load_relaxed(&r.full) + 1)
            return NULL
    if unlikely(load_relaxed(&r.closed) != 0):
        return NULL
    if room > straight:
        room = straight
    got[0] = want if want < room else room
    return ring_slot(r, head)


cdef inline size_t broadcast_try_push_batch(ring_t* r, const void* records, size_t count) noexcept nogil:
    """Copy and publish records: as many as the slowest consumer leaves room for, or all of them in an overrun ring."""
    cdef const char* source = <const char*> records
    cdef uint64_t head = load_relaxed(&r.head)
    cdef uint64_t room, end
    cdef uint64_t* slot
    if unlikely(load_relaxed(&r.closed) != 0) or count == 0:
        return 0
    if r.kind == RING_OVERRUN:
        end = head + count
        while head != end:
            slot = ring_slot(r, head)
            head += 1
            record_write(slot, source, r.size, head)
            store_release(&r.head, head)
            source += r.size
        return count
    room = r.mask + 1 - (head - load_relaxed(&r.seen))
    if room < count:
        room = broadcast_room(r)
        if room < count:
            store_relaxed(&r.full, load_relaxed(&r.full) + 1)
            count = room
    end = head + count
    while head != end:
        slot = ring_slot(r, head)
        record_put(slot, source, r.size)
        head += 1
        store_release(slot, head)
        source += r.size
    store_release(&r.head, head)
    return count


cdef inline size_t broadcast_try_pop_batch(ring_t* r, cursor_t* c, void* out, size_t count, bint* overrun) noexcept nogil:
    """Copy out up to `count` records after the cursor; `overrun` says that the next record is gone."""
    cdef char* target = <char*> out
    cdef uint64_t position = load_relaxed(&c.position)
    cdef uint64_t* slot
    cdef size_t n = 0
    cdef int code
    overrun[0] = False
    while n < count:
        slot = ring_slot(r, position)
        if r.kind == RING_OVERRUN:
            code = record_read(target, slot, r.size, position + 1)
            if code <= 0:
                overrun[0] = code < 0
                break
        else:
            if load_acquire(slot) != position + 1:
                break
            record_get(target, slot, r.size)
        target += r.size
        position += 1
        n += 1
    if n:
        store_relaxed(&c.consumed, load_relaxed(&c.consumed) + n)
        store_release(&c.position, position)
    return n


cdef inline void* broadcast_try_peek_batch(ring_t* r, cursor_t* c, size_t want, size_t* got) noexcept nogil:
    """As `ring_try_peek_batch`, for one consumer of a ring with back-pressure."""
    cdef uint64_t position = load_relaxed(&c.position)
    cdef uint64_t* slot = ring_slot(r, position)
    cdef uint64_t straight = r.mask + 1 - (position & r.mask)
    cdef size_t words = r.size // 8
    cdef size_t n = 0
    if want > straight:
        want = straight
    while n < want and load_acquire(slot + n * words) == position + n + 1:
        n += 1
    got[0] = n
    return slot if n else NULL


cdef inline void broadcast_release_batch(cursor_t* c, size_t count) noexcept nogil:
    """Hand `count` records back."""
    store_relaxed(&c.consumed, load_relaxed(&c.consumed) + count)
    store_release(&c.position, load_relaxed(&c.position) + count)


cdef inline uint64_t broadcast_skip(ring_t* r, cursor_t* c, uint64_t keep) noexcept nogil:
    """Move a cursor forward to the newest `keep` records; returns how many it skipped, which `lost` counts."""
    cdef uint64_t head = load_acquire(&r.head)
    cdef uint64_t position = load_relaxed(&c.position)
    cdef uint64_t skipped
    if head < position + keep:
        return 0
    skipped = head - keep - position
    store_relaxed(&c.lost, load_relaxed(&c.lost) + skipped)
    store_release(&c.position, position + skipped)
    return skipped


cdef class _Handle:
    """What every handle on a ring's memory has: allocation or mapping, name, roles, waiting."""
    cdef ring_t* _ring          # valid for the life of the object, detached or not
    cdef void* _mapping         # fc_shm_t of a named ring, else NULL
    cdef object _dtype          # of the records
    cdef object _payload_dtype  # the same without seq, for claimed views
    cdef object _name           # of the shared memory, or None
    cdef object __weakref__
    cdef uint64_t _identity     # pid << 32 | start time of the process that made this handle
    cdef size_t _claimed, _peeked
    cdef int _wait
    cdef bint _producer, _consumer, _detached

    cdef int _create(self, uint32_t kind, object capacity, object dtype, uint64_t consumers, object name) except -1
    cdef void _describe(self, uint32_t kind, uint64_t capacity, uint64_t consumers, uint64_t total)
    cdef int _attach(self, object kinds, object name, object dtype, object capacity) except -1
    cdef int _take(self, uint64_t* role, str what) except -1
    cdef void _leave(self) noexcept
    cdef object _waiting(self)
    cdef int _check_producer(self) except -1
    cdef size_t _push(self, const void* records, size_t count) noexcept nogil
    cdef size_t _push_released(self, const void* records, size_t count) noexcept
    cdef int _block_room(self, int64_t deadline, int strategy) except -1
    cdef int _check_consumers(self, ring_t* r) except -1
    cdef size_t _copy_in(self, object record) except? <size_t> -1


@cython.final
cdef class RingBuffer(_Handle):
    cdef int _enter(self, object role) except -1
    cdef int _check_consumer(self) except -1
    cdef size_t _pop(self, void* out, size_t count) noexcept
    cdef size_t _take_batch(self, object out) except? <size_t> -1
    cdef int _drained(self) except -1
    cdef int _block_record(self, int64_t deadline, int strategy) except -1


@cython.final
cdef class BroadcastRing(_Handle):
    cdef int _enter_producer(self) except -1


@cython.final
cdef class BroadcastConsumer:
    cdef BroadcastRing _broadcast
    cdef ring_t* _ring
    cdef cursor_t* _cursor
    cdef size_t _peeked
    cdef bint _detached

    cdef void _leave(self) noexcept
    cdef int _check(self) except -1
    cdef size_t _pop(self, void* out, size_t count) except? <size_t> -1
    cdef int _drained(self) except -1
    cdef int _block_record(self, int64_t deadline, int strategy) except -1


@cython.final
cdef class LockFreeRingBuffer:
    cdef ring_t* _ring
