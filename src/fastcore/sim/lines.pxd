"""Contract of a line: one direction of one connection, first in first out, with the latency of each message.

A message sent at S arrives at max(the one before it, S + latency), in the time of the receiver.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy

from fastcore.records cimport FLAG_CONTINUED, RESULT_NO_MEMORY, RESULT_OK, event_t, fc_alloc, fc_free, likely, unlikely
from fastcore.sim.latency cimport LATENCY_CONSTANT, latency_next, latency_t
from fastcore.source cimport NEVER


ctypedef struct line_t:
    event_t* slots          # messages in flight; local_ns is the time of arrival
    uint64_t mask           # slots - 1
    uint64_t head           # the oldest
    uint64_t tail
    int64_t last_ns         # arrival of the latest message
    int64_t due_ns          # of the oldest that is in flight; NEVER without one
    latency_t latency


cdef inline int line_init(line_t* l, uint64_t slots) noexcept nogil:
    """RESULT_OK or RESULT_NO_MEMORY; `slots` is a power of two."""
    l.slots = <event_t*> fc_alloc(slots, sizeof(event_t))
    if l.slots == NULL:
        return RESULT_NO_MEMORY
    l.mask = slots - 1
    l.head = l.tail = 0
    l.last_ns = -NEVER
    l.due_ns = NEVER
    return RESULT_OK


cdef inline void line_free(line_t* l) noexcept nogil:
    fc_free(l.slots)
    l.slots = NULL


cdef inline int line_grow(line_t* l) noexcept nogil:
    cdef uint64_t room = l.mask + 1, at = l.head & l.mask
    cdef event_t* larger = <event_t*> fc_alloc(2 * room, sizeof(event_t))
    if larger == NULL:
        return RESULT_NO_MEMORY
    memcpy(larger, &l.slots[at], (room - at) * sizeof(event_t))
    memcpy(&larger[room - at], l.slots, at * sizeof(event_t))
    fc_free(l.slots)
    l.slots = larger
    l.mask = 2 * room - 1
    l.head = 0
    l.tail = room
    return RESULT_OK


cdef inline int line_put(line_t* l, const event_t* e, int64_t due_ns) noexcept nogil:
    """Put a message on its way that arrives at a known time; RESULT_NO_MEMORY where more are in flight than fit."""
    cdef event_t* slot
    cdef bint empty = l.head == l.tail  # cannot be predicted: no branch
    if due_ns < l.last_ns:
        due_ns = l.last_ns
    l.head = 0 if empty else l.head     # the slots in use stay in the nearest cache
    l.tail = 0 if empty else l.tail
    if unlikely(l.tail - l.head > l.mask) and line_grow(l) != RESULT_OK:
        return RESULT_NO_MEMORY
    l.due_ns = due_ns if empty else l.due_ns
    slot = &l.slots[l.tail & l.mask]
    slot[0] = e[0]
    slot.local_ns = l.last_ns = due_ns
    l.tail += 1
    return RESULT_OK


cdef inline int line_send(line_t* l, const event_t* e, int64_t sent_ns) noexcept nogil:
    """Put a message on its way."""
    return line_put(
        l, e, sent_ns + (l.latency.next_ns if likely(l.latency.model == LATENCY_CONSTANT) else latency_next(&l.latency, sent_ns))
    )


cdef inline int line_send_all(line_t* l, const event_t* e, uint64_t n, int64_t sent_ns) noexcept nogil:
    """Put messages on their way that are sent at one time; what is continued arrives as a whole."""
    cdef int64_t due_ns
    cdef event_t* slot
    cdef uint64_t i = 0
    cdef int result = RESULT_OK
    if unlikely(l.latency.model != LATENCY_CONSTANT or l.tail - l.head + n > l.mask):
        while i < n and result == RESULT_OK:
            result = line_put(l, &e[i], l.last_ns) if i and e[i - 1].flags & FLAG_CONTINUED else line_send(l, &e[i], sent_ns)
            i += 1
        return result
    if n == 0:
        return RESULT_OK
    due_ns = sent_ns + l.latency.next_ns
    due_ns = due_ns if due_ns > l.last_ns else l.last_ns
    if l.head == l.tail:
        l.head = l.tail = 0
        l.due_ns = due_ns
    for i in range(n):
        slot = &l.slots[(l.tail + i) & l.mask]
        slot[0] = e[i]
        slot.local_ns = due_ns
    l.tail += n
    l.last_ns = due_ns
    return RESULT_OK


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
    l.due_ns = NEVER if l.head == l.tail else l.slots[l.head & l.mask].local_ns
    count[0] = <uint32_t> n
    return &l.slots[at]
