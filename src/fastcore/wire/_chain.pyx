# cython: freethreading_compatible=True
"""Images and changes of books by level in the order of their update ids."""

from libc.string cimport memcpy, memmove, memset

from fastcore.records cimport (
    BUY,
    FLAG_CONTINUED,
    FLAG_SNAPSHOT,
    KIND_CLEAR,
    KIND_GAP,
    KIND_LEVEL,
    RESULT_CORRUPT,
    SELL,
    fc_alloc,
    fc_free,
    unlikely,
)
from fastcore.wire._lines cimport set_head

__all__ = []

cdef enum:
    HEAD = 32                   # bytes of an event before its payload


# Fill in all but price and size of the levels of a message.
cdef void finish_levels(event_t* e, const update_t* u, const line_symbol_t* s, uint16_t flags) noexcept nogil:
    cdef event_t head
    cdef size_t i
    set_head(&head, s, KIND_LEVEL, flags | FLAG_CONTINUED, <uint64_t> u.id, u.exch_ns, u.local_ns)
    head.side = BUY
    for i in range(u.bids):
        memcpy(&e[i], &head, HEAD)
        e[i].payload[2] = u.first
        e[i].payload[3] = u.previous
    head.side = SELL
    for i in range(u.bids, u.levels):
        memcpy(&e[i], &head, HEAD)
        e[i].payload[2] = u.first
        e[i].payload[3] = u.previous
    if u.levels:
        e[u.levels - 1].flags = flags


# Keep a change until an image comes.
cdef void hold(
    chains_t* chains, lines_t* lines, chained_symbol_t* s, const update_t* u, const event_t* levels
) noexcept nogil:
    cdef size_t room, cut
    cdef size_t n = u.levels
    cdef event_t* grown
    cdef event_t* head
    if n + 1 > chains.max_held:
        chains.dropped += 1
        return
    if s.held_events + n + 1 > chains.max_held:
        # The oldest go, half of them at least, so that this costs little for each change.
        cut = 0
        while cut < s.held_events and (
            s.held_events - cut + n + 1 > chains.max_held or s.held_events - cut > chains.max_held // 2
        ):
            cut += 1 + <size_t> s.held[cut].payload[0]
            chains.dropped += 1
        memmove(s.held, s.held + cut, (s.held_events - cut) * sizeof(event_t))
        s.held_events -= cut
    if s.held_events + n + 1 > s.held_capacity:
        room = max(<size_t> 64, 2 * (s.held_events + n + 1))
        grown = <event_t*> fc_alloc(room, sizeof(event_t))
        if grown == NULL:
            lines.no_memory = True
            return
        if s.held_events:  # from no memory even nothing must not be copied
            memcpy(grown, s.held, s.held_events * sizeof(event_t))
        fc_free(s.held)
        s.held = grown
        s.held_capacity = room
    head = s.held + s.held_events
    memset(head, 0, sizeof(event_t))
    head.seq = <uint64_t> u.id
    head.exch_ns = u.exch_ns
    head.local_ns = u.local_ns
    head.payload[0] = <int64_t> n
    head.payload[1] = u.previous
    head.payload[2] = u.first
    head.payload[3] = u.consecutive
    if n:
        memcpy(head + 1, levels, n * sizeof(event_t))
    finish_levels(head + 1, u, &s.base, 0)
    s.held_events += n + 1


cdef void write_gap(
    lines_t* lines, chained_symbol_t* s, event_t* out, int64_t id_, int64_t previous, bint consecutive, int64_t exch_ns,
    int64_t local_ns
) noexcept nogil:
    memset(out, 0, sizeof(event_t))
    set_head(out, &s.base, KIND_GAP, 0, <uint64_t> id_, exch_ns, local_ns)
    out.payload[0] = s.last + 1
    out.payload[1] = previous - s.last if consecutive else -1
    s.live = False
    lines.gaps += 1


cdef ptrdiff_t chain_change(
    chains_t* chains, lines_t* lines, chained_symbol_t* s, const update_t* u, event_t* out
) noexcept nogil:
    if unlikely(u.id < u.first or u.id < u.previous):
        return -RESULT_CORRUPT
    s.chained = True
    s.base.exch_ns = u.exch_ns
    if unlikely(not s.live):
        hold(chains, lines, s, u, out)
        return 0
    if unlikely(u.id <= s.last):
        lines.stale += 1
        return 0
    if unlikely(u.previous > s.last):
        hold(chains, lines, s, u, out)
        write_gap(lines, s, out, u.id, u.previous, u.consecutive, u.exch_ns, u.local_ns)
        return 1
    s.last = u.id
    finish_levels(out, u, &s.base, 0)
    return <ptrdiff_t> u.levels


cdef ptrdiff_t chain_image(
    chains_t* chains, lines_t* lines, chained_symbol_t* s, const update_t* u, event_t* out
) noexcept nogil:
    if s.live and u.id < s.last:
        chains.stale_images += 1
        return 0
    memset(out, 0, sizeof(event_t))
    set_head(
        out, &s.base, KIND_CLEAR, FLAG_SNAPSHOT | (FLAG_CONTINUED if u.levels else 0), <uint64_t> u.id, u.exch_ns, u.local_ns
    )
    out.payload[2] = u.first
    out.payload[3] = u.previous
    finish_levels(out + 1, u, &s.base, FLAG_SNAPSHOT)
    s.live = True
    s.last = u.id
    s.next = 0
    chains.draining = s.held_events != 0
    return <ptrdiff_t> u.levels + 1


cdef size_t chain_drain(chains_t* chains, lines_t* lines, chained_symbol_t* s, event_t* out, size_t capacity) noexcept nogil:
    cdef event_t* head
    cdef size_t n = 0
    cdef size_t levels
    while s.next < s.held_events:
        head = s.held + s.next
        levels = <size_t> head.payload[0]
        if <int64_t> head.seq <= s.last:
            lines.stale += 1
        elif head.payload[1] > s.last:
            if n == capacity:
                lines.tally.needed = 1
                return n
            write_gap(
                lines, s, out + n, <int64_t> head.seq, head.payload[1], head.payload[3] != 0, head.exch_ns, head.local_ns
            )
            n += 1
            break
        else:
            if capacity - n < levels:
                lines.tally.needed = levels
                return n
            memcpy(out + n, head + 1, levels * sizeof(event_t))
            n += levels
            s.last = <int64_t> head.seq
        s.next += levels + 1
    chains.draining = False
    s.held_events -= s.next
    if s.held_events:
        memmove(s.held, s.held + s.next, s.held_events * sizeof(event_t))
    else:
        fc_free(s.held)
        s.held = NULL
        s.held_capacity = 0
    s.next = 0
    return n
