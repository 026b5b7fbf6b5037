"""Contract of a line: one direction of one connection, first in first out, with the latency of each message.

Times are those of the receiver: a message sent at S arrives at max(the one before it, S + latency). The latency of the next message
is drawn ahead, so that its arrival is bounded before anything is sent.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from fastcore.records cimport RESULT_NO_MEMORY, RESULT_OK, event_t, fc_alloc, fc_free, likely
from fastcore.source cimport NEVER


ctypedef struct line_t:
    event_t* slots          # messages in flight; local_ns is the time of arrival
    uint64_t mask           # slots - 1
    uint64_t head           # the oldest
    uint64_t tail
    int64_t last_ns         # arrival of the latest message
    int64_t next_delay_ns   # latency of the next one


cdef inline int line_init(line_t* l, uint64_t slots) noexcept nogil:
    """RESULT_OK or RESULT_NO_MEMORY; `slots` is a power of two."""
    l.slots = <event_t*> fc_alloc(slots, sizeof(event_t))
    if l.slots == NULL:
        return RESULT_NO_MEMORY
    l.mask = slots - 1
    l.head = l.tail = 0
    l.last_ns = -NEVER
    l.next_delay_ns = 0
    return RESULT_OK


cdef inline void line_free(line_t* l) noexcept nogil:
    fc_free(l.slots)
    l.slots = NULL


cdef inline uint64_t line_room(const line_t* l) noexcept nogil:
    return l.mask + 1 - (l.tail - l.head)


cdef inline int64_t line_due(const line_t* l) noexcept nogil:
    """Arrival of the oldest message; NEVER without one."""
    return NEVER if likely(l.head == l.tail) else l.slots[l.head & l.mask].local_ns


cdef inline void line_send(line_t* l, const event_t* e, int64_t sent_ns) noexcept nogil:
    """Put a message on its way; room is certain."""
    cdef event_t* slot
    cdef int64_t due = sent_ns + l.next_delay_ns
    if l.head == l.tail:
        l.head = l.tail = 0     # the slots in use stay in the nearest cache
    slot = &l.slots[l.tail & l.mask]
    slot[0] = e[0]
    slot.local_ns = l.last_ns = due if due > l.last_ns else l.last_ns
    l.tail += 1


cdef inline const event_t* line_arrived(line_t* l, int64_t until_ns, uint32_t* count) noexcept nogil:
    """Take what has arrived by then and lies side by side; valid until the next message is sent."""
    cdef uint64_t at = l.head & l.mask
    cdef uint64_t most = l.mask + 1 - at
    cdef uint64_t n = 0
    if most > l.tail - l.head:
        most = l.tail - l.head
    while n < most and l.slots[at + n].local_ns <= until_ns:
        n += 1
    l.head += n
    count[0] = <uint32_t> n
    return &l.slots[at]
