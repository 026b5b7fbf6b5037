"""What the rings share: slots that carry their publication number, and the handles on their memory. Layout: ``_c/fc_ring.h``.

A record is published by storing its ``seq`` with release order; a slot is handed back by storing the consumer's cursor with
release order, which the producer reads (acquire) only when the ring looks full.
"""

cimport cython
from libc.stdint cimport int64_t, uint32_t, uint64_t

from fastcore.records cimport load_acquire, load_relaxed, store_relaxed, store_release, unlikely


cdef extern from "fc_ring.h" nogil:
    ctypedef struct ring_memory_t "fc_ring_memory_t":
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

    ctypedef struct ring_t "fc_ring_t":
        ring_memory_t* memory
        unsigned char* slots
        uint64_t mask              # capacity - 1
        uint64_t size              # bytes of a record
        uint32_t kind
        uint32_t consumers

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
    const uint64_t RING_WRITING "FC_RING_WRITING"

    void record_put "fc_record_put"(void* slot, const void* record, size_t size)
    void record_get "fc_record_get"(void* record, const void* slot, size_t size)
    void record_write "fc_record_write"(void* slot, const void* record, size_t size, uint64_t seq)
    int record_read "fc_record_read"(void* record, const void* slot, size_t size, uint64_t seq)


cdef inline uint64_t* ring_slot(ring_t* r, uint64_t position) noexcept nogil:
    """The slot of the record after `position` others; its first word is the commit word."""
    return <uint64_t*> (r.slots + (position & r.mask) * r.size)


cdef inline cursor_t* ring_cursors(ring_t* r) noexcept nogil:
    """The cursors of a ring with several consumers."""
    return <cursor_t*> (<char*> r.memory + RING_HEAD_BYTES)


cdef inline void ring_keep(ring_t* r, ring_memory_t* memory, const ring_memory_t* head) noexcept nogil:
    """Keep what `head`, the checked copy of the head of `memory`, says of the slots: it is not read from there again."""
    r.memory = memory
    r.slots = <unsigned char*> memory + head.slots_offset
    r.mask = head.mask
    r.size = head.size
    r.kind = head.kind
    r.consumers = <uint32_t> head.consumers


cdef inline bint ring_closed(ring_t* r) noexcept nogil:
    return load_acquire(&r.memory.closed) != 0


cdef extern from "fc_shm.h" nogil:
    bint process_alive "fc_process_alive"(uint64_t identity)  # pid << 32 | start time


# ---- the producer: how much room there is depends on the kind of ring, what happens then does not


cdef inline uint64_t slots_room(ring_t* r) noexcept nogil:
    """Free slots as the producer last saw them: at least so many."""
    return r.mask + 1 - (load_relaxed(&r.memory.head) - load_relaxed(&r.memory.seen))


cdef inline void* slots_claim(ring_t* r, uint64_t room, size_t want, size_t* got) noexcept nogil:
    """Up to `want` slots in a row (the row ends at the end of the memory); NULL and 0 without room (counted) or when closed."""
    cdef uint64_t head = load_relaxed(&r.memory.head)
    cdef uint64_t straight = r.mask + 1 - (head & r.mask)
    got[0] = 0
    if want == 0:
        return NULL
    if unlikely(room == 0):
        store_relaxed(&r.memory.full, load_relaxed(&r.memory.full) + 1)
        return NULL
    if unlikely(load_relaxed(&r.memory.closed) != 0):
        return NULL
    if room > straight:
        room = straight
    got[0] = want if want < room else room
    return ring_slot(r, head)


cdef inline void slots_commit(ring_t* r, size_t count) noexcept nogil:
    """Publish the first `count` claimed slots, in order."""
    cdef uint64_t head = load_relaxed(&r.memory.head)
    cdef uint64_t* slot = ring_slot(r, head)
    cdef size_t words = r.size // 8
    cdef size_t i
    if unlikely((head & r.mask) + count > r.mask + 1):  # the cursor is not what it was at the claim
        return
    for i in range(count):
        store_release(slot, head + i + 1)
        slot += words
    store_relaxed(&r.memory.head, head + count)


cdef inline size_t slots_push(ring_t* r, uint64_t room, const void* records, size_t count) noexcept nogil:
    """Copy and publish as many of `count` records as there is room for, across the end of the memory."""
    cdef const char* source = <const char*> records
    cdef uint64_t head = load_relaxed(&r.memory.head)
    cdef uint64_t end
    cdef uint64_t* slot
    if unlikely(load_relaxed(&r.memory.closed) != 0) or count == 0:
        return 0
    if room < count:
        store_relaxed(&r.memory.full, load_relaxed(&r.memory.full) + 1)
        count = room
    end = head + count
    while head != end:
        slot = ring_slot(r, head)
        record_put(slot, source, r.size)
        head += 1
        store_release(slot, head)
        source += r.size
    store_release(&r.memory.head, head)
    return count


# ---- the consumer


cdef inline void* slots_peek(ring_t* r, uint64_t position, size_t want, size_t* got) noexcept nogil:
    """Up to `want` records after `position` in a row (the row ends at the end of the memory); NULL and 0 when there is none."""
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


cdef inline size_t slots_read(ring_t* r, uint64_t position, void* out, size_t count) noexcept nogil:
    """Copy out up to `count` records after `position`; they are the producer's again once the cursor has moved."""
    cdef char* target = <char*> out
    cdef uint64_t* slot
    cdef size_t n = 0
    while n < count:
        slot = ring_slot(r, position + n)
        if load_acquire(slot) != position + n + 1:
            break
        record_get(target, slot, r.size)
        target += r.size
        n += 1
    return n


# ---- handles


cdef enum:
    NOGIL_RECORDS = 512  # a batch of as many is copied without the GIL; below, giving it up costs more than the copy


cdef class _Reader:
    """The calls of a consumer, over what each kind of ring defines: reading and handing back."""
    cdef ring_t* _ring          # valid for the life of the object, detached or not
    cdef uint64_t* _cursor      # records behind the consumer
    cdef object _dtype          # of the records
    cdef object _name           # of the shared memory, or None
    cdef size_t _peeked
    cdef uint64_t _taking       # a call of the consumer is inside: see _guard
    cdef int _wait
    cdef bint _shared, _detached

    cdef int _check_consumer(self) except -1
    cdef size_t _read(self, void* out, size_t count) except? <size_t> -1
    cdef void _hand_back(self, size_t count) noexcept nogil
    cdef bint _nothing(self) noexcept nogil
    cdef int _drained(self) except -1
    cdef int _block_record(self, int64_t deadline, int strategy, bint* late) except -1
    cdef size_t _try_pop_batch(self, object out) except? <size_t> -1
    cdef object _try_pop(self)
    cdef object _pop(self, object timeout, object wait)
    cdef size_t _pop_batch(self, object out, object timeout, object wait) except? <size_t> -1
    cdef object _try_peek(self, object count)
    cdef object _peek(self, object count, object timeout, object wait)
    cdef int _release(self, object count) except -1


cdef class _Handle(_Reader):
    """Memory, name, roles and waiting, and the calls of the producer over what each kind of ring defines: room and writing."""
    cdef ring_t* _kept          # what `_ring` points to once there is memory
    cdef void* _mapping         # fc_shm_t of a named ring, else NULL
    cdef object _payload_dtype  # the record without seq, for claimed views
    cdef object __weakref__
    cdef uint64_t _identity     # pid << 32 | start time of the process that made this handle
    cdef size_t _claimed
    cdef uint64_t _giving       # a call of the producer is inside
    cdef bint _producer, _consumer, _forked

    cdef uint64_t _room(self) noexcept nogil
    cdef size_t _push(self, const void* records, size_t count) noexcept nogil
    cdef object _waiting(self)
    cdef int _check_consumers(self) except -1
    cdef int _create(self, uint32_t kind, object capacity, object dtype, uint64_t consumers, object name) except -1
    cdef void _describe(self, ring_memory_t* m, uint32_t kind, uint64_t capacity, uint64_t consumers, uint64_t total)
    cdef void _keep(self, ring_memory_t* memory, const ring_memory_t* head)
    cdef int _attach(self, object kinds, object name, object dtype, object capacity) except -1
    cdef int _take(self, uint64_t* role, str what) except -1
    cdef int _take_production(self) except -1
    cdef int _forget(self) except -1
    cdef void _remove_if_last(self, bint keep) noexcept
    cdef void _leave(self) noexcept
    cdef int _refuse(self, str role) except -1
    cdef int _check_producer(self) except -1
    cdef size_t _push_released(self, const void* records, size_t count) except? <size_t> -1
    cdef int _block_room(self, int64_t deadline, int strategy, bint* late) except -1
    cdef size_t _copy_in(self, object record) except? <size_t> -1


cdef object check_capacity(object capacity, str what)
cdef int check_wait(object wait) except -1
cdef size_t check_count(object count, str what) except? <size_t> -1
