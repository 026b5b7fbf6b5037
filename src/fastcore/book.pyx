# cython: freethreading_compatible=True
"""Order books by order (L3) and by level (L2).

``OrderBook`` holds every displayed order with its place in the queue of its price level, and is driven by events of the kinds
add, execute, cancel, delete and replace. ``LevelBook`` holds the total of each price level, and is driven by level events (price
and new total; 0 removes); one of quotes also by quote events (both best prices: the book is one level a side from then on), which
are otherwise the venue's own account of its best prices and change nothing. Both take clear (of both sides, or of that of the
event) and gap.

What an event refers to and the book does not hold (unknown orders, duplicate references, sizes beyond what an order has left,
prices or sizes outside their range), and events of the other kind of book, give a result code, are counted and leave the book
untouched. Removing a level that is not there is no error: feeds by level do so where an order came and went between two messages.

A replace takes the old order out and puts the new one at the back of its level. Where it keeps reference and price and the size
does not grow (a modify downwards), the order keeps its place and its arrival number: in effect a cancel of the difference. One that
keeps the reference and has a side says all of the order: if the book does not hold it (a recording that began later, a hidden
quantity that is displayed once the displayed one has traded), it is added.

**Crossed and locked books** are kept as they come (auctions, late sides); `crossed` and `locked` tell.

**Messages.** Events of one message carry the flag ``continued``, all but the last. The top of the book is compared when a
message ends: a message that takes the best price away and brings another makes one quote, and one that leaves the top as it was
makes none. Where several symbols share a message, the flag counts within each symbol. A message that is cut off (its last event
never comes) makes no quote until the next event without the flag.

**Gaps.** A gap event marks the book `stale`; changes are still applied, since some feeds recover without an image, and quotes
still come out. Clear, with which every image begins, empties the book and ends that state. Clear and gap events whose symbol is
NO_SYMBOL concern every book.

**Time** is carried, never compared: a clock that goes backwards changes nothing here.

**Prices** must be positive unless the book was made with `signed_prices`, for spreads and other instruments whose prices may be
negative.

Memory is bounded by the live orders and levels: what a delete or a complete execution frees is used again at once.
"""

cimport cython
from libc.stdint cimport UINT32_MAX, int32_t, uint16_t
from libc.string cimport memcpy, memmove, memset

cimport numpy as cnp

from fastcore._arrays cimport check_events, events_data
from fastcore._guard cimport alone, enter, leave
from fastcore._integers cimport as_int64, as_side, as_uint64, int64_in
from fastcore.records cimport (
    FLAG_SNAPSHOT,
    KIND_CLEAR,
    KIND_COUNT,
    KIND_GAP,
    NO_SYMBOL,
    RESULT_NO_MEMORY,
    RESULT_UNKNOWN_TYPE,
    fc_alloc,
    fc_free,
)

cdef extern from "fc_huge.h" nogil:
    uint64_t cache_bytes "fc_cache_bytes"()
    void* fc_huge_map(size_t size)
    void* fc_huge_remap(void* p, size_t size, size_t wanted)
    void fc_huge_unmap(void* p, size_t size)
    void fc_huge_touch(void* p, size_t start, size_t end)

from operator import index

import numpy as np

from fastcore.errors import DATA_RESULTS, raise_result
from fastcore.records import EVENT_DTYPE, QUOTE_DTYPE, REPLACE_DTYPE

cnp.import_array()

__all__ = ["LEVEL_DTYPE", "QUEUE_DTYPE", "LevelBook", "OrderBook", "OrderTable"]

# One price level as `depth` returns it; a level that does not exist has price NO_PRICE and size 0.
LEVEL_DTYPE = np.dtype([("price", np.int64), ("size", np.int64), ("orders", np.int64)])
# One resting order as `queue` returns it, front of the queue first.
QUEUE_DTYPE = np.dtype([("order_id", np.uint64), ("size", np.int64), ("stamp", np.uint64)])

cdef struct level_row_t:
    int64_t price
    int64_t size
    int64_t orders

cdef struct queue_row_t:
    uint64_t order_id
    int64_t size
    uint64_t stamp

cdef tuple _EVENT_DTYPES = (EVENT_DTYPE, QUOTE_DTYPE, REPLACE_DTYPE)
_RESULT_NAMES = {0: "ok"} | DATA_RESULTS
_MAX_ORDERS = 2**30
cdef uint64_t MOST_ORDERS = 1 << 30

cdef enum:
    LEAST_SLOTS = 512   # that a table of many begins with, at least
    STEP = 8            # from one table to the next

cdef uint64_t _SECOND_CACHE = cache_bytes()
_BROKEN = (
    "",
    "keys of a side descend strictly from the best",
    "a level is found by its key, and the levels of a side are counted",
    "a level holds at least one order",
    "order links agree in both directions",
    "an order lies on the level of its price and side, in its book",
    "arrival numbers ascend along a queue and lie below the next",
    "sizes are positive",
    "the size of a level is the sum of its orders",
    "the count of a level is the number of its orders",
    "an order is found by its reference",
    "the orders of the levels are all orders of the book",
    "a level of a book by level holds no orders",
    "the size of a level is not negative",
    "the words and the summary of a ladder say which slots hold a level",
    "the keys of a block ascend, lie below the ladder, and begin with that of the directory",
)


# ---- memory ----

cdef uint64_t next_power(uint64_t n) noexcept nogil:
    cdef uint64_t p = 1
    while p < n:
        p <<= 1
    return p


cdef int orders_init(orders_t* o, uint64_t orders, uint64_t levels) noexcept nogil:
    memset(o, 0, sizeof(orders_t))
    cdef int result = orders_reserve(o, orders, levels)
    o.growths = 0
    return result


cdef void orders_free(orders_t* o) noexcept nogil:
    cdef block_t* block
    while o.spare != NULL:
        block = o.spare
        o.spare = block.next
        fc_free(block)
    fc_huge_unmap(o.map, o.map_slots * sizeof(slot_t))
    fc_huge_unmap(o.old_map, o.old_map_slots * sizeof(slot_t))
    fc_huge_unmap(o.orders, (<size_t> o.order_capacity + 1) * sizeof(order_t))
    fc_huge_unmap(o.levels, (<size_t> o.level_capacity + 1) * sizeof(level_t))
    memset(o, 0, sizeof(orders_t))


cdef inline void put_slot(orders_t* o, slot_t entry) noexcept nogil:
    # Into the new slots, where its key is not yet.
    cdef uint32_t i = entry.tag >> o.shift
    while o.slots[i].order:
        i = (i + 1) & o.mask
    o.slots[i] = entry


cdef void erase_old(orders_t* o, uint32_t hole) noexcept nogil:
    # As orders_erase, in the old slots.
    cdef uint32_t i = hole
    while True:
        i = (i + 1) & o.old_mask
        if o.old_slots[i].order == 0:
            break
        if ((i - (o.old_slots[i].tag >> o.old_shift)) & o.old_mask) >= ((i - hole) & o.old_mask):
            o.old_slots[hole] = o.old_slots[i]
            hole = i
    o.old_slots[hole].order = 0


cdef inline uint32_t orders_room(const orders_t* o) noexcept nogil:
    # Live orders that fit into pool and slots.
    return min(o.order_capacity, (o.mask + 1) >> 1)


cdef void use_slots(orders_t* o, uint64_t n) noexcept nogil:
    # A table of n slots in the map, from now on. One before it is the old one, until move_slots has emptied it.
    cdef uint64_t larger = next_power(2 * <uint64_t> o.order_capacity)
    if o.slots != NULL:
        o.old_slots, o.old_mask, o.old_shift, o.old_next = o.slots, o.mask, o.shift, 0
        o.order_room = 0
    o.slots = o.map
    while larger > n:
        o.slots += larger
        larger //= STEP
    o.mask = <uint32_t> (n - 1)
    o.shift = 32
    while n > 1:
        n >>= 1
        o.shift -= 1


cdef void move_slots(orders_t* o, uint64_t n) noexcept nogil:
    # Empty the next n of the old slots; free them behind the last.
    cdef slot_t entry
    while n and o.old_next <= o.old_mask:
        # Erasing may bring another entry here.
        while o.old_slots[o.old_next].order:
            entry = o.old_slots[o.old_next]
            erase_old(o, o.old_next)
            put_slot(o, entry)
        o.old_next += 1
        n -= 1
    if o.old_next > o.old_mask:
        fc_huge_unmap(o.old_map, o.old_map_slots * sizeof(slot_t))
        o.old_slots = o.old_map = NULL
        o.old_mask = 0
        o.old_map_slots = 0
        o.order_room = orders_room(o)


cdef uint32_t orders_find_old(orders_t* o, uint64_t order_id, uint32_t* slot) noexcept nogil:
    cdef uint32_t tag = orders_tag(order_id)
    cdef uint32_t i = tag >> o.old_shift
    cdef uint32_t number
    while o.old_slots[i].order:
        number = o.old_slots[i].order
        if o.old_slots[i].tag == tag and o.orders[number].order_id == order_id:
            o.slots[slot[0]] = o.old_slots[i]
            erase_old(o, i)
            return number
        i = (i + 1) & o.old_mask
    return 0


cdef int more_orders(orders_t* o, uint64_t orders) noexcept nogil:
    # Room for so many orders, more than before. The old slots stay beside the new ones until move_slots has emptied them.
    cdef slot_t* map = NULL
    cdef order_t* pool
    cdef uint64_t n = next_power(2 * orders)
    cdef uint64_t first = n, size = n
    if o.slots == NULL:
        while first >= LEAST_SLOTS * STEP:
            first //= STEP
            size += first
    if size > o.map_slots:
        map = <slot_t*> fc_huge_map(size * sizeof(slot_t))
        if map == NULL:
            return RESULT_NO_MEMORY
    pool = <order_t*> fc_huge_remap(
        o.orders, (<size_t> o.order_capacity + 1) * sizeof(order_t) if o.orders != NULL else 0, (orders + 1) * sizeof(order_t)
    )
    if pool == NULL:
        fc_huge_unmap(map, size * sizeof(slot_t))
        return RESULT_NO_MEMORY
    o.orders = pool
    o.order_capacity = <uint32_t> orders
    o.growths += 1
    if map != NULL:
        o.old_map, o.old_map_slots, o.map, o.map_slots = o.map, o.map_slots, map, size
        use_slots(o, first)
    o.order_room = 0 if o.old_slots != NULL else orders_room(o)
    return RESULT_OK


cdef int more_levels(orders_t* o, uint64_t levels) noexcept nogil:
    cdef level_t* pool = <level_t*> fc_huge_remap(
        o.levels, (<size_t> o.level_capacity + 1) * sizeof(level_t) if o.levels != NULL else 0, (levels + 1) * sizeof(level_t)
    )
    if pool == NULL:
        return RESULT_NO_MEMORY
    pool[0].key = NO_PRICE
    o.levels = pool
    o.level_capacity = <uint32_t> levels
    o.growths += 1
    return RESULT_OK


cdef int orders_reserve(orders_t* o, uint64_t orders, uint64_t levels) noexcept nogil:
    cdef uint64_t before
    orders = orders if orders > 16 else 16
    levels = levels if levels > 16 else 16
    if orders > MOST_ORDERS or levels > MOST_ORDERS:
        return RESULT_NO_MEMORY
    if orders > o.order_capacity:
        if o.old_slots != NULL:
            move_slots(o, MOST_ORDERS * 4)
        before = o.order_capacity
        if more_orders(o, orders) != RESULT_OK:
            return RESULT_NO_MEMORY
        if o.old_slots != NULL:
            move_slots(o, MOST_ORDERS * 4)
        fc_huge_touch(o.map, 0, o.map_slots * sizeof(slot_t))
        fc_huge_touch(o.orders, before * sizeof(order_t), (orders + 1) * sizeof(order_t))
    if levels > o.level_capacity:
        before = o.level_capacity
        if more_levels(o, levels) != RESULT_OK:
            return RESULT_NO_MEMORY
        fc_huge_touch(o.levels, before * sizeof(level_t), (levels + 1) * sizeof(level_t))
    return RESULT_OK


cdef int orders_grow(orders_t* o) noexcept nogil:
    if o.old_slots != NULL:
        # Before as many orders have come as the table held, four or fewer old slots for each of them are empty.
        move_slots(o, 16)
    if o.live_orders < orders_room(o):
        return RESULT_OK
    if o.old_slots != NULL:
        move_slots(o, MOST_ORDERS * 4)
    if o.live_orders < o.order_capacity:
        use_slots(o, STEP * (<uint64_t> o.mask + 1))
        return RESULT_OK
    if o.order_capacity > MOST_ORDERS // 2:
        return RESULT_NO_MEMORY
    return more_orders(o, <uint64_t> o.order_capacity * 2)


# ---- blocks: the levels below a ladder ----

cdef inline uint32_t far_block(far_t* f, int64_t key) noexcept nogil:
    # The last block whose lowest key is at most `key`, or 0; there is one at least.
    cdef const int64_t* first = f.lowest
    cdef uint32_t left = f.count
    cdef uint32_t half
    while left > 1:
        half = left >> 1
        first += half if first[half] <= key else 0
        left -= half
    f.latest = <uint32_t> (first - f.lowest)
    return f.latest


cdef inline uint32_t far_same_block(far_t* f, int64_t key) noexcept nogil:
    # The same, where the key was most likely the latest to be looked for.
    cdef uint32_t at = f.latest
    if likely(at < f.count and f.lowest[at] <= key and (at + 1 == f.count or key < f.lowest[at + 1])):
        return at
    return far_block(f, key)


cdef inline uint32_t block_place(const block_t* block, int64_t key) noexcept nogil:
    # Keys of the block below `key`, without a branch on a comparison. Its lines are fetched at once: the search would do so
    # one after the other.
    cdef const int64_t* first = &block.keys[0]
    cdef uint32_t left = block.count
    cdef uint32_t half
    cdef int i
    for i in range(BLOCK_LEVELS // 8):
        prefetch(&block.keys[8 * i])
    while left > 1:
        half = left >> 1
        first += half if first[half - 1] < key else 0
        left -= half
    return <uint32_t> (first - &block.keys[0]) + (left == 1 and first[0] < key)


cdef inline void open_gap(far_t* f, uint32_t at, block_t* block) noexcept nogil:
    # A block into the directory; room is certain.
    memmove(f.lowest + at + 1, f.lowest + at, (f.count - at) * sizeof(int64_t))
    memmove(f.blocks + at + 1, f.blocks + at, (f.count - at) * sizeof(void*))
    f.lowest[at] = block.keys[0]
    f.blocks[at] = block
    f.count += 1


cdef void close_gap(orders_t* o, far_t* f, uint32_t at) noexcept nogil:
    # A block out of the directory and to the spare ones.
    cdef block_t* block = f.blocks[at]
    f.count -= 1
    memmove(f.lowest + at, f.lowest + at + 1, (f.count - at) * sizeof(int64_t))
    memmove(f.blocks + at, f.blocks + at + 1, (f.count - at) * sizeof(void*))
    block.count = 0
    block.next = o.spare
    o.spare = block
    o.spare_blocks += 1


cdef inline block_t* take_spare(orders_t* o) noexcept nogil:
    cdef block_t* block = o.spare
    o.spare = block.next
    o.spare_blocks -= 1
    return block


cdef void far_put(orders_t* o, far_t* f, int64_t key, uint32_t level) noexcept nogil:
    # Room is certain: at most one block more is needed.
    cdef uint32_t at = 0, place = 0, half
    cdef block_t* block = NULL
    cdef block_t* other
    if f.count:
        at = f.count - 1 if f.lowest[f.count - 1] <= key else far_same_block(f, key)
        block = f.blocks[at]
        place = block_place(block, key)
    if block == NULL or block.count == BLOCK_LEVELS:
        other = take_spare(o)
        if block == NULL or place == 0 or (place == BLOCK_LEVELS and at == f.count - 1):
            # At an end: full blocks stay full, so that levels which come in order fill them.
            other.keys[0] = key
            other.levels[0] = level
            other.count = 1
            open_gap(f, at + (place != 0), other)
            return
        half = BLOCK_LEVELS // 2
        memcpy(other.keys, block.keys + half, half * sizeof(int64_t))
        memcpy(other.levels, block.levels + half, half * sizeof(uint32_t))
        block.count = other.count = half
        open_gap(f, at + 1, other)
        if place > half:
            at += 1
            block = other
            place -= half
    memmove(block.keys + place + 1, block.keys + place, (block.count - place) * sizeof(int64_t))
    memmove(block.levels + place + 1, block.levels + place, (block.count - place) * sizeof(uint32_t))
    block.keys[place] = key
    block.levels[place] = level
    block.count += 1
    f.lowest[at] = block.keys[0]


cdef void far_drop(orders_t* o, far_t* f, int64_t key) noexcept nogil:
    cdef uint32_t at = far_same_block(f, key)
    cdef block_t* block = f.blocks[at]
    cdef block_t* other
    cdef uint32_t place = block_place(block, key)
    block.count -= 1
    memmove(block.keys + place, block.keys + place + 1, (block.count - place) * sizeof(int64_t))
    memmove(block.levels + place, block.levels + place + 1, (block.count - place) * sizeof(uint32_t))
    if block.count == 0:
        close_gap(o, f, at)
        return
    f.lowest[at] = block.keys[0]
    if block.count < BLOCK_LEVELS // 4 and f.count > 1:
        # With a neighbour that has room, so that the blocks are a quarter full at least, two and two.
        at -= at + 1 == f.count
        block = f.blocks[at]
        other = f.blocks[at + 1]
        if block.count + other.count <= BLOCK_LEVELS * 3 // 4:
            memcpy(block.keys + block.count, other.keys, other.count * sizeof(int64_t))
            memcpy(block.levels + block.count, other.levels, other.count * sizeof(uint32_t))
            block.count += other.count
            close_gap(o, f, at + 1)


cdef uint32_t side_far_find(const side_t* s, int64_t key) noexcept nogil:
    cdef far_t* f = side_far(s)
    cdef const block_t* block
    cdef uint32_t place
    if f == NULL or f.count == 0 or key >= s.low:
        return 0
    block = f.blocks[far_block(f, key)]
    place = block_place(block, key)
    return block.levels[place] if place < block.count and block.keys[place] == key else 0


cdef void side_ahead_far(const side_t* s, int64_t key) noexcept nogil:
    cdef far_t* f = side_far(s)
    cdef const block_t* block
    cdef int i
    if f == NULL or f.count == 0 or key >= s.low:
        return
    block = f.blocks[far_block(f, key)]
    prefetch(block)
    for i in range(BLOCK_LEVELS // 8):
        prefetch(&block.keys[8 * i + 7])
    for i in range(BLOCK_LEVELS // 16):
        prefetch(&block.levels[16 * i + 15])


cdef int far_ready(orders_t* o, side_t* s, uint32_t blocks) noexcept nogil:
    # Spare blocks, and room for them in the directory of a side.
    cdef block_t* block
    cdef far_t* f = side_far(s)
    cdef int64_t* lowest
    cdef block_t** places
    cdef uint32_t capacity
    if f == NULL:
        f = <far_t*> fc_alloc(1, sizeof(far_t))
        if f == NULL:
            return RESULT_NO_MEMORY
        side_far_place(s)[0] = f
    if f.capacity < f.count + blocks:
        capacity = 2 * (f.count + blocks)
        lowest = <int64_t*> fc_alloc(capacity, sizeof(int64_t) + sizeof(void*))
        if lowest == NULL:
            return RESULT_NO_MEMORY
        places = <block_t**> (lowest + capacity)
        if f.count:
            memcpy(lowest, f.lowest, f.count * sizeof(int64_t))
            memcpy(places, f.blocks, f.count * sizeof(void*))
        fc_free(f.lowest)
        f.lowest = lowest
        f.blocks = places
        f.capacity = capacity
    while o.spare_blocks < blocks:
        block = <block_t*> fc_alloc(1, sizeof(block_t))
        if block == NULL:
            return RESULT_NO_MEMORY
        block.next = o.spare
        o.spare = block
        o.spare_blocks += 1
        o.blocks += 1
    return RESULT_OK


# ---- ladders ----

cdef struct frame_t:
    uint64_t step
    uint64_t inverse        # of its odd part
    uint64_t below          # slots below the best level
    int shift


cdef void set_step(frame_t* f, uint64_t step) noexcept nogil:
    cdef uint64_t odd
    cdef int i
    f.step = step
    f.shift = 63 - leading_zeros(step & (0 - step))
    odd = step >> f.shift
    f.inverse = odd * 3 ^ 2  # right in 5 bits; each round doubles them
    for i in range(4):
        f.inverse *= 2 - odd * f.inverse


cdef uint64_t common_divisor(uint64_t a, uint64_t b) noexcept nogil:
    cdef uint64_t rest
    while b:
        rest = a % b
        a = b
        b = rest
    return a


cdef void fit(frame_t* f, int64_t best, uint64_t width) noexcept nogil:
    # Seven eighths of the slots below the best level, unless the range of the keys ends there or above.
    cdef uint64_t above = (<uint64_t> INT64_MAX - <uint64_t> best) // f.step
    cdef uint64_t below = (<uint64_t> best + (<uint64_t> 1 << 63)) // f.step
    f.below = width - width // 8
    if above < width - 1 - f.below:
        f.below = width - 1 - above
    if f.below > below:
        f.below = below


cdef void find_frame(const book_t* b, int side_index, const uint32_t* held, uint32_t n, uint64_t width, frame_t* f) noexcept nogil:
    # Step and place of a ladder for the levels `held`, best first, and those of the blocks: every key that it spans has a slot.
    cdef const side_t* s = &b.sides[side_index]
    cdef const far_t* far = side_far(s)
    cdef uint32_t at = far.count if far != NULL else 0      # blocks that were not looked at
    cdef uint32_t left = 0                                  # keys of the present one
    cdef uint64_t most = (<uint64_t> 1 << 62) // width      # a greater step would wrap around
    cdef uint64_t distance, slot, end = 0
    cdef uint32_t taken = 0, i = 0
    cdef int64_t key, best = 0
    memset(f, 0, sizeof(frame_t))
    while True:
        if i < n:
            key = b.orders.levels[held[i]].key
            i += 1
        else:
            if left == 0:
                if at == 0:
                    break
                at -= 1
                left = far.blocks[at].count
            left -= 1
            key = far.blocks[at].keys[left]
        taken += 1
        if taken == 1:
            best = key
            continue
        distance = <uint64_t> best - <uint64_t> key
        if f.step == 0:
            set_step(f, distance if distance <= most else 1)
            fit(f, best, width)
            if distance > most:
                break
            continue
        slot = distance * f.inverse
        slot = (slot >> f.shift) | (slot << (-f.shift & 63))
        if slot <= f.below:
            continue
        if distance > f.below * f.step:
            break
        # Between two steps. The ladder ends above it if it is worth while so, else the step becomes smaller.
        if taken > 8 and (<uint64_t> INT64_MAX - <uint64_t> best) // f.step >= width:
            end = distance
            break
        set_step(f, common_divisor(f.step, distance))
        fit(f, best, width)
    if f.step == 0:
        set_step(f, s.step if s.step <= most else 1)
        fit(f, best, width)
    if end and f.below > (end - 1) // f.step:
        f.below = (end - 1) // f.step


cdef inline void side_mark(side_t* s, uint64_t slot) noexcept nogil:
    side_word(s, slot)[0] |= <uint64_t> 1 << (slot & 63)
    if s.width != SIDE_FIRST:
        s.summary |= <uint64_t> 1 << (slot >> 6)


cdef inline void side_place(side_t* s, int64_t key, uint32_t level) noexcept nogil:
    cdef uint64_t slot = side_slot(s, key)
    s.slots[slot] = level
    side_mark(s, slot)


cdef void side_move(book_t* b, int side_index, uint32_t extra, uint32_t width) noexcept nogil:
    """Place a ladder anew about the best level, `extra` (0: none) among those that it holds; side_ready has been called."""
    cdef orders_t* o = b.orders
    cdef side_t* s = &b.sides[side_index]
    cdef uint32_t[SIDE_MOST + 1] held
    cdef uint32_t n = 0, placed
    cdef uint32_t level
    cdef far_t* f = side_far(s)
    cdef block_t* block
    cdef uint32_t* slots
    cdef frame_t frame
    cdef int64_t key
    cdef int64_t slot = <int64_t> side_slot(s, s.best) if s.summary else -1
    while slot >= 0:
        level = s.slots[slot]
        if extra and o.levels[extra].key > o.levels[level].key:
            held[n] = extra
            n += 1
            extra = 0
        held[n] = level
        n += 1
        s.slots[slot] = 0
        slot = side_next_slot(s, <uint64_t> slot)
    if extra:
        held[n] = extra
        n += 1
    memset(s.slots + s.width, 0, s.width // 8)
    s.summary = 0
    if width > s.width:
        slots = <uint32_t*> fc_alloc(1, ladder_bytes(width))
        if slots != NULL:
            if not s.borrowed:
                fc_free(s.slots)
            s.slots = slots
            s.borrowed = False
            s.width = <uint16_t> width
            side_far_place(s)[0] = f
    find_frame(b, side_index, held, n, s.width, &frame)
    key = o.levels[held[0]].key if n else s.best
    s.low = <int64_t> (<uint64_t> key - frame.below * frame.step)
    s.inverse = frame.inverse
    s.shift = <uint8_t> frame.shift
    s.step = frame.step
    placed = 0
    while placed < n and o.levels[held[placed]].key >= s.low:
        side_place(s, o.levels[held[placed]].key, held[placed])
        placed += 1
    while n > placed:
        n -= 1
        far_put(o, f, o.levels[held[n]].key, held[n])
    while f != NULL and f.count:
        block = f.blocks[f.count - 1]
        while block.count and block.keys[block.count - 1] >= s.low:
            block.count -= 1
            side_place(s, block.keys[block.count], block.levels[block.count])
        if block.count:
            break
        close_gap(o, f, f.count - 1)


cdef int side_ready(book_t* b, int side_index) noexcept nogil:
    cdef orders_t* o = b.orders
    cdef side_t* s = &b.sides[side_index]
    # What a move of the ladder can put into the blocks, and one to divide.
    cdef uint32_t blocks = 3 + (s.width if s.width < s.count else s.count) // BLOCK_LEVELS
    if o.live_levels >= o.level_capacity:
        if o.level_capacity > MOST_ORDERS // 2 or more_levels(o, <uint64_t> o.level_capacity * 2) != RESULT_OK:
            return RESULT_NO_MEMORY
    if s.count == 0:
        return RESULT_OK
    return far_ready(o, s, blocks)


cdef inline int32_t side_patience(const side_t* s) noexcept nogil:
    # Keys below the ladder that are worth a move of it: as many as it may have to pass on.
    return <int32_t> (s.width if s.width < s.count else s.count)


cdef void side_follow(book_t* b, int side_index) noexcept nogil:
    # The ladder follows the best level, and becomes wider where it has done so already.
    cdef side_t* s = &b.sides[side_index]
    cdef uint32_t width = s.width
    cdef int64_t low = s.low
    if width < SIDE_MOST and s.count >= width // 8 and side_slot(s, s.best) > width // 2:
        width *= 4
    side_move(b, side_index, 0, width)
    # One that stands well is left alone for a while.
    s.misses = -8 * side_patience(s) if s.width == width and s.low == low else 0


cdef bint side_missed(side_t* s, int64_t key) noexcept nogil:
    # Count a key below the ladder; whether there were enough to move it. One that would then have a place counts for more.
    cdef int32_t enough = side_patience(s)
    cdef uint64_t most = s.width - s.width // 4
    if <uint64_t> s.best - <uint64_t> key < most * s.step and side_slot(s, s.best) <= most:
        s.misses += enough // 4
    s.misses += 1
    return s.misses >= enough


cdef uint32_t side_outside(book_t* b, int side_index, int64_t key) noexcept nogil:
    cdef side_t* s = &b.sides[side_index]
    cdef uint32_t level = side_far_find(s, key)
    if level and side_missed(s, key) and side_ready(b, side_index) == RESULT_OK:
        side_follow(b, side_index)
    return level


cdef void side_put_outside(book_t* b, int side_index, uint32_t level) noexcept nogil:
    cdef side_t* s = &b.sides[side_index]
    cdef int64_t key = b.orders.levels[level].key
    if s.count == 0 or key >= s.low:
        side_move(b, side_index, level, s.width)
    else:
        far_put(b.orders, side_far(s), key, level)
        if side_missed(s, key):
            side_follow(b, side_index)


cdef void side_drop_outside(book_t* b, int side_index, int64_t key) noexcept nogil:
    far_drop(b.orders, side_far(&b.sides[side_index]), key)


cdef void side_emptied(book_t* b, int side_index) noexcept nogil:
    # The ladder is empty: it goes to the best of the blocks, if there is one.
    cdef side_t* s = &b.sides[side_index]
    cdef const far_t* f = side_far(s)
    cdef const block_t* block
    if f == NULL or f.count == 0:
        s.best = NO_PRICE
        s.best_level = 0
        return
    block = f.blocks[f.count - 1]
    s.best = block.keys[block.count - 1]
    s.best_level = block.levels[block.count - 1]
    side_move(b, side_index, 0, s.width)


cdef uint32_t book_put_level(book_t* b, int side_index, int64_t key) noexcept nogil:
    cdef orders_t* o = b.orders
    cdef side_t* s = &b.sides[side_index]
    cdef uint64_t slot = side_slot(s, key)
    cdef uint32_t level = o.free_level
    cdef level_t* l
    if likely(level):
        l = &o.levels[level]
        o.free_level = l.front
        prefetch_write(&o.levels[o.free_level])
    else:
        o.used_levels += 1
        level = o.used_levels
        l = &o.levels[level]
    o.live_levels += 1
    l.key = key
    l.size = 0
    l.front = l.back = l.count = l.own = 0
    if likely(slot < s.width):
        s.slots[slot] = level
        side_mark(s, slot)
    else:
        side_put_outside(b, side_index, level)
    s.count += 1
    if key > s.best:
        s.best = key
        s.best_level = level
    return level


cdef void book_drop_level(book_t* b, int side_index, uint32_t level) noexcept nogil:
    cdef orders_t* o = b.orders
    cdef side_t* s = &b.sides[side_index]
    cdef level_t* l = &o.levels[level]
    cdef uint64_t slot = side_slot(s, l.key)
    cdef uint64_t* word
    cdef int64_t following
    s.count -= 1
    if likely(slot < s.width):
        s.slots[slot] = 0
        word = side_word(s, slot)
        word[0] &= ~(<uint64_t> 1 << (slot & 63))
        if word[0] == 0 and s.width != SIDE_FIRST:
            s.summary &= ~(<uint64_t> 1 << (slot >> 6))
        if level == s.best_level:
            following = side_next_slot(s, slot)
            if likely(following >= 0):
                s.best_level = s.slots[following]
                s.best -= <int64_t> ((slot - <uint64_t> following) * s.step)
            else:
                side_emptied(b, side_index)
    else:
        side_drop_outside(b, side_index, l.key)
    l.front = o.free_level
    o.free_level = level
    o.live_levels -= 1


cdef int book_replace(book_t* b, const event_t* e, book_change_t* out) noexcept nogil:
    cdef uint64_t order_id = <uint64_t> e.order_id, new_id = <uint64_t> e.new_order_id
    cdef int64_t price = e.price, size = e.size
    cdef orders_t* o = b.orders
    cdef uint32_t slot
    cdef uint32_t new_slot
    cdef uint32_t number = orders_find(o, order_id, &slot)
    cdef order_t* order = &o.orders[number]
    cdef int8_t side = order.side
    cdef int64_t key
    cdef uint32_t level
    cdef side_t* s
    cdef int64_t best
    cdef int64_t best_size
    cdef int result
    if unlikely(number == 0 or order.book != b.number):
        if e.side == NO_SIDE or new_id != order_id:
            return RESULT_UNKNOWN_ORDER
        out.kind = KIND_ADD     # it says all of the order
        return book_add(b, order_id, e.side, price, size, out)
    if unlikely(price < b.lowest):
        return RESULT_BAD_PRICE
    s = &b.sides[side < 0]
    if new_id == order_id and price == order.price and 0 < size <= order.size:
        out.kind = KIND_CANCEL
        out.price = price
        out.size = order.size - size
        out.stamp = order.stamp
        out.side = side
        out.top_changed = out.size != 0 and order.level == s.best_level
        book_take(b, slot, number, out.size)
        return RESULT_OK
    key = price * side
    level = side_find(s, key)
    if unlikely(size <= 0 or size > INT64_MAX - o.levels[level].size + (order.size if price == order.price else 0)):
        return RESULT_BAD_SIZE
    if unlikely(new_id != order_id and orders_find(o, new_id, &new_slot) != 0):
        return RESULT_DUPLICATE_ORDER
    # The old order makes room for the new one; the level may need one more before the old one is gone.
    if unlikely(o.live_levels >= o.level_capacity or side_far(s) != NULL or side_slot(s, key) >= s.width):
        result = side_ready(b, side < 0)
        if result != RESULT_OK:
            return result
    best = s.best
    best_size = o.levels[s.best_level].size
    orders_find(o, order_id, &slot)
    out.price = order.price
    out.size = order.size
    out.stamp = order.stamp
    out.side = side
    book_take(b, slot, number, order.size)
    orders_find(o, new_id, &new_slot)
    level = side_find(s, key)
    if level == 0:
        level = book_put_level(b, side < 0, key)
    out.new_stamp = book_put(b, new_slot, level, new_id, side, price, size)
    out.new_price = price
    out.new_size = size
    out.top_changed = s.best != best or o.levels[s.best_level].size != best_size
    return RESULT_OK


cdef uint32_t side_below(const book_t* b, int side_index, int64_t key) noexcept nogil:
    cdef const side_t* s = &b.sides[side_index]
    cdef far_t* f = side_far(s)
    cdef uint32_t at
    cdef int64_t slot
    if key > s.best:
        return s.best_level
    if key > s.low:
        slot = side_next_slot(s, (<uint64_t> key - <uint64_t> s.low + s.step - 1) // s.step)
        if slot >= 0:
            return s.slots[slot]
    if f == NULL or f.count == 0 or f.lowest[0] >= key:
        return 0
    at = far_block(f, key - 1)
    return f.blocks[at].levels[block_place(f.blocks[at], key) - 1]


cdef int64_t book_worst_price(const book_t* b, int8_t side) noexcept nogil:
    cdef const side_t* s = &b.sides[side < 0]
    cdef const far_t* f = side_far(s)
    cdef uint64_t word
    cdef uint32_t i
    if f != NULL and f.count:
        return book_key(side, f.lowest[0])
    if s.summary == 0:
        return NO_PRICE
    i = 63 - leading_zeros(s.summary & (0 - s.summary))
    if s.width != SIDE_FIRST:
        word = (<uint64_t*> (s.slots + s.width))[i]
        i = (i << 6) + 63 - leading_zeros(word & (0 - word))
    return book_key(side, b.orders.levels[s.slots[i]].key)


# ---- books ----

cdef size_t ladder_bytes(uint32_t width) noexcept nogil:
    return width * sizeof(uint32_t) + width // 8 + sizeof(void*)


cdef int book_init_at(book_t* b, orders_t* o, uint32_t symbol_id, void* memory) noexcept nogil:
    cdef side_t* s
    cdef int i
    memset(b, 0, sizeof(book_t))
    b.orders = o
    b.symbol_id = symbol_id
    b.lowest = 1
    for i in range(2):
        s = &b.sides[i]
        s.best = NO_PRICE
        s.inverse = 1
        s.step = 1
        s.width = SIDE_FIRST
        s.borrowed = memory != NULL
        s.slots = <uint32_t*> (<uint8_t*> memory + i * SIDE_BYTES if memory != NULL else fc_alloc(1, SIDE_BYTES))
        if s.slots == NULL:
            book_free(b)
            return RESULT_NO_MEMORY
    b.number = o.books
    o.books += 1
    return RESULT_OK


cdef int book_init(book_t* b, orders_t* o, uint32_t symbol_id) noexcept nogil:
    return book_init_at(b, o, symbol_id, NULL)


cdef void book_free(book_t* b) noexcept nogil:
    cdef far_t* f
    cdef int i
    if b.orders != NULL:
        book_clear(b, NO_SIDE)
    for i in range(2):
        f = side_far(&b.sides[i]) if b.sides[i].slots != NULL else NULL
        if f != NULL:
            fc_free(f.lowest)
            fc_free(f)
        if not b.sides[i].borrowed:
            fc_free(b.sides[i].slots)
    memset(b, 0, sizeof(book_t))


cdef uint64_t book_bytes(const book_t* b) noexcept nogil:
    cdef uint64_t n = 0
    cdef const side_t* s
    cdef const far_t* f
    cdef int i
    for i in range(2):
        s = &b.sides[i]
        if not s.borrowed:
            n += ladder_bytes(s.width)
        f = side_far(s)
        if f != NULL:
            n += sizeof(far_t) + <uint64_t> f.capacity * (sizeof(int64_t) + sizeof(void*))
    return n


cdef void book_clear(book_t* b, int8_t side) noexcept nogil:
    cdef orders_t* o = b.orders
    cdef uint32_t number, slot
    cdef int i
    for i in range(side == SELL, 2 - (side == BUY)):
        while b.sides[i].best_level:
            if b.by_level:
                book_drop_level(b, i, b.sides[i].best_level)
                continue
            number = o.levels[b.sides[i].best_level].front
            orders_find(o, o.orders[number].order_id, &slot)
            book_take(b, slot, number, o.orders[number].size)
    if side != BUY and side != SELL:
        b.stale = False


# ---- rare events ----

cdef void set_best(book_t* b, int side_index, int64_t price, int64_t size) noexcept nogil:
    # One level, or none for NO_PRICE; room is certain.
    cdef side_t* s = &b.sides[side_index]
    cdef int64_t key = <int64_t> (0 - <uint64_t> price) if side_index else price
    cdef uint32_t level = 0 if price == NO_PRICE else side_find(s, key)
    while s.count > (level != 0):
        # The others, from the best on.
        book_drop_level(b, side_index, s.best_level if s.best_level != level else side_next(b, side_index, level))
    if price == NO_PRICE:
        return
    if level == 0:
        level = book_put_level(b, side_index, key)
    b.orders.levels[level].size = size


cdef bint same_top(const top_t* a, const top_t* b) noexcept nogil:
    return a.bid == b.bid and a.ask == b.ask and a.bid_size == b.bid_size and a.ask_size == b.ask_size


cdef int apply_quote(book_t* b, const event_t* e, book_change_t* out) noexcept nogil:
    cdef top_t before, after
    cdef int result
    if (e.bid != NO_PRICE and e.bid < b.lowest) or (e.ask != NO_PRICE and e.ask < b.lowest):
        return RESULT_BAD_PRICE
    if (e.bid != NO_PRICE and e.bid_size < 0) or (e.ask != NO_PRICE and e.ask_size < 0):
        return RESULT_BAD_SIZE
    while b.orders.level_capacity - b.orders.live_levels < 2:
        result = orders_reserve(b.orders, b.orders.order_capacity, <uint64_t> b.orders.level_capacity * 2)
        if result != RESULT_OK:
            return result
    book_top(b, &before)
    set_best(b, 0, e.bid, e.bid_size)
    set_best(b, 1, e.ask, e.ask_size)
    book_top(b, &after)
    out.top_changed = not same_top(&before, &after)
    return RESULT_OK


cdef int book_apply_rare(book_t* b, const event_t* e, book_change_t* out) noexcept nogil:
    cdef uint8_t kind = e.kind
    out.price = NO_PRICE
    out.size = 0
    out.stamp = 0
    out.side = NO_SIDE
    out.new_size = 0
    if kind >= KIND_COUNT:
        return RESULT_UNKNOWN_TYPE
    if kind == KIND_CLEAR:
        out.top_changed = (e.side != SELL and b.sides[0].count != 0) or (e.side != BUY and b.sides[1].count != 0)
        book_clear(b, e.side)
    elif kind == KIND_GAP:
        b.stale = True
    elif b.by_level:
        if kind == KIND_QUOTE and b.quotes:
            return apply_quote(b, e, out)
        if kind == KIND_ADD or kind == KIND_EXECUTE or kind == KIND_CANCEL or kind == KIND_DELETE or kind == KIND_REPLACE:
            return RESULT_UNKNOWN_TYPE
    elif kind == KIND_LEVEL or kind == KIND_QUOTE:
        return RESULT_UNKNOWN_TYPE
    return RESULT_OK


cdef int book_apply_part(book_t* b, const event_t* e, book_change_t* out) noexcept nogil:
    cdef int result
    cdef top_t after
    if not b.open:
        book_top(b, &b.before)
        b.open = True
    result = book_apply_totals(b, e, out) if b.by_level else book_apply_orders(b, e, out)
    if e.flags & FLAG_CONTINUED:
        out.top_changed = False
        return result
    b.open = False
    book_top(b, &after)
    out.top_changed = not same_top(&b.before, &after)
    return result


# ---- walking ----

cdef inline uint64_t mix(uint64_t h, uint64_t value) noexcept nogil:
    # One round of splitmix64 over the running value.
    h = (h ^ value) + <uint64_t> 0x9E3779B97F4A7C15
    h = (h ^ (h >> 30)) * <uint64_t> 0xBF58476D1CE4E5B9
    h = (h ^ (h >> 27)) * <uint64_t> 0x94D049BB133111EB
    return h ^ (h >> 31)


cdef inline int64_t price_of(int side_index, int64_t key) noexcept nogil:
    return <int64_t> (0 - <uint64_t> key) if side_index else key


cdef uint64_t book_hash(const book_t* b) noexcept nogil:
    cdef const orders_t* o = b.orders
    cdef const level_t* l
    cdef const order_t* order
    cdef uint64_t h = 0
    cdef uint32_t level, number
    cdef int i
    for i in range(2):
        h = mix(h, b.sides[i].count)
        level = side_next(b, i, 0)
        while level:
            l = &o.levels[level]
            if b.by_level:
                h = mix(mix(h, <uint64_t> price_of(i, l.key)), <uint64_t> l.size)
            number = l.front
            while number:
                order = &o.orders[number]
                h = mix(mix(mix(h, order.order_id), <uint64_t> order.price), <uint64_t> order.size)
                number = order.after
            level = side_next(b, i, level)
    return h


cdef int check_ladder(side_t* s, const level_t* levels) noexcept nogil:
    # The slots, words and blocks of a side among themselves.
    cdef uint32_t i, k
    cdef const block_t* block
    cdef const far_t* f = side_far(s)
    cdef uint32_t count = 0
    for i in range(s.width):
        if (s.slots[i] != 0) != ((side_word(s, i)[0] >> (i & 63)) & 1):
            return 14
        if s.width != SIDE_FIRST and (side_word(s, i)[0] != 0) != ((s.summary >> (i >> 6)) & 1):
            return 14
        if s.slots[i] and side_slot(s, levels[s.slots[i]].key) != i:
            return 2
        count += s.slots[i] != 0
    if s.count and count == 0:
        return 14
    if f != NULL:
        for i in range(f.count):
            block = f.blocks[i]
            if block.count == 0 or block.count > BLOCK_LEVELS or block.keys[0] != f.lowest[i]:
                return 15
            if i + 1 < f.count and block.keys[block.count - 1] >= f.lowest[i + 1]:
                return 15
            for k in range(block.count):
                if (k and block.keys[k - 1] >= block.keys[k]) or block.keys[k] >= s.low or levels[block.levels[k]].key != block.keys[k]:
                    return 15
            count += block.count
    return 0 if count == s.count else 2


cdef int book_check(const book_t* b) noexcept nogil:
    cdef const orders_t* o = b.orders
    cdef const side_t* s
    cdef const level_t* l
    cdef const order_t* order
    cdef uint64_t total = 0
    cdef uint64_t count
    cdef uint64_t size
    cdef uint32_t level, found, number, before, slot
    cdef int64_t key
    cdef int i, broken
    cdef int8_t side
    for i in range(2):
        s = &b.sides[i]
        side = -1 if i else 1
        broken = check_ladder(<side_t*> s, o.levels)
        if broken:
            return broken
        if s.best != o.levels[s.best_level].key:
            return 2
        level = s.best_level
        found = 0
        key = 0
        while level:
            l = &o.levels[level]
            if found and l.key >= key:
                return 1
            if side_find(s, l.key) != level:
                return 2
            found += 1
            key = l.key
            if b.by_level:
                if l.front or l.back or l.count:
                    return 12
                if l.size < 0:
                    return 13
                level = side_next(b, i, level)
                continue
            if l.front == 0 or l.count == 0:
                return 3
            number = l.front
            before = 0
            count = 0
            size = 0
            while number:
                order = &o.orders[number]
                if order.before != before:
                    return 4
                if order.level != level or order.price * side != l.key or order.side != side or order.book != b.number:
                    return 5
                if order.stamp >= b.next_stamp or (before and o.orders[before].stamp >= order.stamp):
                    return 6
                if order.size <= 0:
                    return 7
                size += <uint64_t> order.size
                count += 1
                if orders_find(<orders_t*> o, order.order_id, &slot) != number:
                    return 10
                before = number
                number = order.after
            if l.back != before:
                return 4
            if <uint64_t> l.size != size:
                return 8
            if l.count != count:
                return 9
            total += count
            level = side_next(b, i, level)
        if found != s.count:
            return 2
    return 0 if total == b.live else 11


cdef void fill_depth(const book_t* b, int side_index, Py_ssize_t n, level_row_t* out) noexcept nogil:
    # The best n levels of a side, best first; what does not exist has no price.
    cdef const level_t* l
    cdef uint32_t level = side_next(b, side_index, 0)
    cdef Py_ssize_t i
    for i in range(n):
        l = &b.orders.levels[level]
        out[i].price = price_of(side_index, l.key)
        out[i].size = l.size
        out[i].orders = l.count
        if level:
            level = side_next(b, side_index, level)


cdef inline bint concerns(const event_t* e, uint32_t only, bint filtered) noexcept nogil:
    return not filtered or e.symbol_id == only or (e.symbol_id == NO_SYMBOL and (e.kind == KIND_CLEAR or e.kind == KIND_GAP))


cdef bint book_far(uint64_t bytes) noexcept nogil:
    return bytes > _SECOND_CACHE


cdef Py_ssize_t apply_batch(book_t* b, const event_t* e, Py_ssize_t n, event_t* quotes, bint filtered) noexcept nogil:
    """Apply n events; a quote event into `quotes` (unless NULL) for each change at the top. Returns their number."""
    cdef Py_ssize_t i
    cdef Py_ssize_t written = 0
    cdef book_change_t change
    cdef bint far = book_far(orders_bytes(b.orders))
    for i in range(n):
        prefetch(e + i + AHEAD_RECORDS)
        book_ahead(b, far, e, i, n)
        if not concerns(&e[i], b.symbol_id, filtered):
            continue
        book_apply(b, &e[i], &change)
        if quotes != NULL:
            # Without a branch, which nothing could foresee: a quote that is not one is written over by the next.
            book_quote(b, &e[i], &quotes[written])
            written += change.top_changed
    return written


cdef inline void fill_level(const book_t* b, const event_t* e, int8_t side, int64_t price, event_t* out) noexcept nogil:
    out.seq = e.seq
    out.exch_ns = e.exch_ns
    out.local_ns = e.local_ns
    out.symbol_id = e.symbol_id
    out.kind = KIND_LEVEL
    out.side = side
    out.flags = e.flags & (FLAG_CONTINUED | FLAG_SNAPSHOT)
    out.price = price
    out.size = book_level_size(b, side, price)
    out.payload[2] = 0
    out.payload[3] = 0


cdef Py_ssize_t levels_batch(book_t* b, const event_t* e, Py_ssize_t n, event_t* levels, bint filtered) noexcept nogil:
    """Apply n events of orders; what they do to the levels into `levels` (2 n of room). Returns how many were written."""
    cdef Py_ssize_t i
    cdef Py_ssize_t written = 0
    cdef book_change_t change
    for i in range(n):
        if not concerns(&e[i], b.symbol_id, filtered):
            continue
        if book_apply(b, &e[i], &change) != RESULT_OK or (change.side == NO_SIDE and e[i].kind != KIND_CLEAR and e[i].kind != KIND_GAP):
            # Nothing to tell, but the message ends here.
            if written and not e[i].flags & FLAG_CONTINUED:
                levels[written - 1].flags &= <uint16_t> ~FLAG_CONTINUED
            continue
        if change.side == NO_SIDE:
            levels[written] = e[i]
            written += 1
            continue
        fill_level(b, &e[i], change.side, change.price, &levels[written])
        written += 1
        if change.kind == KIND_REPLACE and change.new_price != change.price:
            levels[written - 1].flags |= FLAG_CONTINUED
            fill_level(b, &e[i], change.side, change.new_price, &levels[written])
            written += 1
    return written


cdef int64_t sizeless(const book_t* b, int side_index) noexcept nogil:
    # Price of the one level of size 0 that a quote without size leaves on a side; NO_PRICE where there is none.
    cdef uint32_t level = side_next(b, side_index, 0)
    while level:
        if b.orders.levels[level].size == 0:
            return price_of(side_index, b.orders.levels[level].key)
        level = side_next(b, side_index, level)
    return NO_PRICE


cdef uint64_t book_snapshot_rows(const book_t* b) noexcept nogil:
    cdef uint64_t rows = 1 + b.stale
    cdef int n
    if not b.by_level:
        return rows + b.live
    n = (sizeless(b, 0) != NO_PRICE) + (sizeless(b, 1) != NO_PRICE)
    return rows + b.sides[0].count + b.sides[1].count - n + (n != 0)


cdef inline uint32_t level_rows(const book_t* b, const level_t* l) noexcept nogil:
    # Events of a level in a snapshot.
    if b.by_level:
        return 1 if l.size else 0
    return l.count


cdef event_t* snapshot_row(const book_t* b, uint8_t kind, event_t* out) noexcept nogil:
    memset(out, 0, sizeof(event_t))
    out.symbol_id = b.symbol_id
    out.kind = kind
    out.flags = FLAG_SNAPSHOT | FLAG_CONTINUED
    return out


cdef event_t* book_snapshot(const book_t* b, event_t* out) noexcept nogil:
    """Write book_snapshot_rows events that rebuild the book; returns the place behind them."""
    cdef const orders_t* o = b.orders
    cdef const order_t* order
    cdef const level_t* l
    cdef event_t* row
    cdef uint32_t level, number
    cdef int i
    row = snapshot_row(b, KIND_CLEAR, out)
    row.price = NO_PRICE
    out += 1
    if b.by_level and (sizeless(b, 0) != NO_PRICE or sizeless(b, 1) != NO_PRICE):
        row = snapshot_row(b, KIND_QUOTE, out)
        row.bid = sizeless(b, 0)
        row.ask = sizeless(b, 1)
        out += 1
    for i in range(2):
        # Worst level first, so that each new one is the best then; written from the end, as levels are read from the best.
        level = side_next(b, i, 0)
        row = out
        while level:
            row += level_rows(b, &o.levels[level])
            level = side_next(b, i, level)
        out = row
        level = side_next(b, i, 0)
        while level:
            l = &o.levels[level]
            row -= level_rows(b, l)
            if b.by_level and l.size:
                snapshot_row(b, KIND_LEVEL, row)
                row.side = SELL if i else BUY
                row.price = price_of(i, l.key)
                row.size = l.size
            number = l.front
            while number:
                order = &o.orders[number]
                snapshot_row(b, KIND_ADD, row)
                row.side = order.side
                row.price = order.price
                row.size = order.size
                row.order_id = <int64_t> order.order_id
                row += 1
                number = order.after
            row -= l.count
            level = side_next(b, i, level)
    if b.stale:
        row = snapshot_row(b, KIND_GAP, out)
        row.payload[1] = -1
        out += 1
    row = out - 1
    row.flags = FLAG_SNAPSHOT
    return out


# ---- Python ----

cdef uint64_t checked_count(object value, str name, int64_t low) except? 0:
    return int64_in(value, name, low, _MAX_ORDERS)


@cython.final
cdef class OrderTable:
    """OrderTable(orders=4096, levels=1024)\n--\n\n
    Orders and levels of one or several books, keyed by the order reference of the venue.

    Parameters
    ----------
    orders : int, default 4096
        Live orders to make room for, 1..2**30. The table doubles when they are used up: reserve what a day needs
        up front where a pause of milliseconds matters.
    levels : int, default 1024
        Live price levels of all books to make room for.

    Raises
    ------
    ValueError
        If a capacity is outside its range.
    MemoryError
        If the memory is not to be had.

    Notes
    -----
    A live order takes 64 bytes, plus 16 to 32 of hash slots; a level takes 32, plus 12 on its side.

    **Thread safety**: one thread owns a table and all books on it.
    """

    def __cinit__(self, orders=4096, levels=1024):
        if orders_init(&self._o, checked_count(orders, "orders", 1), checked_count(levels, "levels", 1)) != RESULT_OK:
            raise MemoryError(f"no memory for the order table: orders={orders} levels={levels}")

    def __dealloc__(self):
        orders_free(&self._o)

    def __len__(self):
        return self._o.live_orders

    def reserve(self, orders, levels=0):
        """Make room for so many live orders and levels in all, so that none below needs an allocation.

        Parameters
        ----------
        orders, levels : int
            Totals, 0..2**30; what is there already is never given back.
        """
        cdef uint64_t more_orders = checked_count(orders, "orders", 0), more_levels = checked_count(levels, "levels", 0)
        alone(&self._o.busy)
        if orders_reserve(&self._o, more_orders, more_levels) != RESULT_OK:
            raise MemoryError(f"no memory for the order table: orders={orders} levels={levels}")

    @property
    def capacity(self):
        """Live orders that fit without growing."""
        return self._o.order_capacity

    @property
    def level_capacity(self):
        """Live levels that fit without growing."""
        return self._o.level_capacity

    @property
    def live_levels(self):
        """Price levels of all books."""
        return self._o.live_levels

    @property
    def growths(self):
        """Times that a pool was enlarged since the table was made."""
        return self._o.growths

    @property
    def nbytes(self):
        """Bytes of memory that the table holds."""
        return (
            (self._o.map_slots + self._o.old_map_slots) * sizeof(slot_t)
            + (<uint64_t> self._o.order_capacity + 1) * sizeof(order_t)
            + (<uint64_t> self._o.level_capacity + 1) * sizeof(level_t)
            + <uint64_t> self._o.blocks * sizeof(block_t)
        )

    def __repr__(self):
        return f"OrderTable({len(self)} orders, capacity={self.capacity})"


# ---- what the faces of both kinds of book share ----

cdef uint32_t checked_symbol(object symbol_id) except? 0xFFFFFFFF:
    return 0 if symbol_id is None else int64_in(symbol_id, "symbol_id", 0, UINT32_MAX - 1)


cdef int make_book(_Book book, object symbol_id, OrderTable orders, bint by_level, bint signed_prices, bint quotes=False) except -1:
    book.symbol_id = symbol_id
    book.orders = orders
    book._b = book._own = <book_t*> fc_alloc(1, sizeof(book_place_t))
    if book._own == NULL:
        raise MemoryError("no memory for an order book")
    book_init_at(book._b, &orders._o, checked_symbol(symbol_id), (<book_place_t*> book._b).ladders)
    book._b.by_level = by_level
    book._b.quotes = quotes
    if signed_prices:
        book._b.lowest = -INT64_MAX
    return 0


cdef dict result_counts(const uint64_t* counts, const uint64_t* before):
    """Counts by name without zeros, less those of before (or NULL)."""
    cdef dict found = {}
    for code, name in _RESULT_NAMES.items():
        n = counts[<int> code] - (before[<int> code] if before != NULL else 0)
        if n:
            found[name] = n
    return found


cdef Py_ssize_t face_apply_into(book_t* b, object events, object out, str name, int rows, bint filtered) except -1:
    cdef cnp.ndarray a = check_events(events, "events", False, _EVENT_DTYPES)
    cdef cnp.ndarray q = check_events(out, name, True, _EVENT_DTYPES)
    cdef const event_t* e = events_data(a)
    cdef event_t* first = events_data(q)
    cdef Py_ssize_t n = a.shape[0]
    cdef Py_ssize_t written
    if q.shape[0] < n * rows:
        each = "a row" if rows == 1 else f"{rows} rows"
        raise ValueError(f"{name} must have {each} for each event: events={n} {name}={q.shape[0]}")
    if np.may_share_memory(events, out):
        raise ValueError(f"{name} must not share memory with events")
    enter(&b.orders.busy)
    with nogil:
        written = apply_batch(b, e, n, first, filtered) if rows == 1 else levels_batch(b, e, n, first, filtered)
    leave(&b.orders.busy)
    return written


cdef int64_t checked_level(const book_t* b, object side, object price) except? -1:
    cdef int64_t ticks
    if side != 1 and side != -1:
        raise ValueError(f"side must be 1 (buy) or -1 (sell): side={side}")
    if not b.lowest <= index(price) <= INT64_MAX:
        raise ValueError(f"price must be in {'1' if b.lowest == 1 else '-2**63+1'}..2**63-1: price={price}")
    ticks = price
    return ticks


cdef inline book_t* idle(_Book book) except NULL:
    # The book, while no call works on it or on another one of its table.
    alone(&book._b.orders.busy)
    return book._b


cdef inline object price_or_none(int64_t price):
    return None if price == NO_PRICE else price


cdef object apply_single(book_t* b, const event_t* e, str message):
    # One event from Python numbers: raise what its result stands for.
    cdef book_change_t change
    cdef int result
    alone(&b.orders.busy)
    result = book_apply(b, e, &change)
    if result != RESULT_OK:
        raise_result(result, message)
    return None


cdef object apply_order(
    book_t* b, uint8_t kind, object order_id, object side, object price, object size, object new_order_id
):
    cdef event_t e
    memset(&e, 0, sizeof(e))
    e.kind = kind
    e.symbol_id = b.symbol_id
    e.side = as_side(side)
    e.order_id = <int64_t> as_uint64(order_id)
    e.price = as_int64(price)
    e.size = as_int64(size)
    if kind == KIND_REPLACE:
        e.new_order_id = <int64_t> as_uint64(new_order_id)
    return apply_single(b, &e, f"order_id={order_id} side={side} price={price} size={size} new_order_id={new_order_id}")


cdef _Book book_view(book_t* b, OrderTable orders, object owner):
    cdef type kind = LevelBook if b.by_level else OrderBook
    cdef _Book view = kind.__new__(kind, b.symbol_id, orders)
    book_free(view._own)
    fc_free(view._own)
    view._own = NULL
    view._b = b
    view._owner = owner
    return view


# Without tp_clear: the table must outlive the book, and neither can be part of a cycle.
@cython.no_gc_clear
cdef class _Book:
    """What ``OrderBook`` and ``LevelBook`` share; made only as one of them.

    Raises
    ------
    TypeError
        If it is called itself, or a class that derives from it elsewhere.

    Notes
    -----
    The length is the number of orders, in a book by level of price levels.

    **Thread safety**: one thread owns a book and its table.
    """

    def __cinit__(self):
        if not isinstance(self, (OrderBook, LevelBook)):
            raise TypeError("make an OrderBook or a LevelBook: _Book is what they share")

    def __dealloc__(self):
        if self._own != NULL and not self.orders._o.busy:  # a call works on the table: memory lost is better than a broken table
            book_free(self._own)
            fc_free(self._own)

    def __len__(self):
        cdef const book_t* b = idle(self)
        return <Py_ssize_t> b.sides[0].count + b.sides[1].count if b.by_level else <Py_ssize_t> b.live

    def apply(self, events):
        """Apply a batch of events.

        Parameters
        ----------
        events : ndarray of EVENT_DTYPE, shape (n,), contiguous

        Returns
        -------
        dict of str to int
            Events of this batch by result, as in `counts`.
        """
        cdef cnp.ndarray a = check_events(events, "events", False, _EVENT_DTYPES)
        cdef const event_t* e = events_data(a)
        cdef Py_ssize_t n = a.shape[0]
        cdef bint filtered = self.symbol_id is not None
        cdef uint64_t[32] before
        cdef book_t* b = self._b
        enter(&b.orders.busy)
        memcpy(before, b.counts, sizeof(before))
        with nogil:
            apply_batch(b, e, n, NULL, filtered)
        leave(&b.orders.busy)
        return result_counts(b.counts, before)

    def apply_into(self, events, quotes):
        """Apply a batch and write a quote event for each message that changed a best price or its size.

        Parameters
        ----------
        events : ndarray of EVENT_DTYPE, shape (n,), contiguous
        quotes : ndarray of EVENT_DTYPE or QUOTE_DTYPE, at least n rows, writable
            Receives events of kind quote: `bid`, `ask` (NO_PRICE for an empty side), `bid_size`, `ask_size`, and number,
            times and symbol of the last event of the message. Crossed and locked books are written as they are. What stood
            in the row behind the last quote is lost.

        Returns
        -------
        int
            Quotes written.
        """
        return face_apply_into(self._b, events, quotes, "quotes", 1, self.symbol_id is not None)

    def apply_depth(self, events, marks, levels):
        """Apply a batch and keep the best levels as they are at given moments.

        Parameters
        ----------
        events : ndarray of EVENT_DTYPE, shape (n,), contiguous
        marks : ndarray of int64, shape (m,), ascending, in 0..n
            Numbers of events after which to look: 0 is the state before the batch.
        levels : int
            Levels of each side, 1..1000.

        Returns
        -------
        ndarray of LEVEL_DTYPE, shape (m, 2, levels)
            Bids are [:, 0], asks [:, 1], best first; levels that do not exist have price NO_PRICE and size 0.
        """
        cdef cnp.ndarray a = check_events(events, "events", False, _EVENT_DTYPES)
        cdef const event_t* e = events_data(a)
        cdef Py_ssize_t n = a.shape[0]
        cdef bint filtered = self.symbol_id is not None
        cdef Py_ssize_t width = int64_in(levels, "levels", 1, 1000)
        at_array = np.ascontiguousarray(marks, dtype=np.int64)
        if at_array.ndim != 1 or (at_array.size and (at_array[0] < 0 or at_array[at_array.size - 1] > n or np.any(np.diff(at_array) < 0))):
            raise ValueError(f"marks must be one-dimensional, ascending, in 0..{n}: shape={at_array.shape}")
        rows = np.empty((at_array.size, 2, width), LEVEL_DTYPE)
        cdef const int64_t* at = <const int64_t*> cnp.PyArray_DATA(at_array)
        cdef level_row_t* out = <level_row_t*> cnp.PyArray_DATA(rows)
        cdef Py_ssize_t m = at_array.size
        cdef Py_ssize_t i
        cdef Py_ssize_t done = 0
        cdef book_t* b = self._b
        enter(&b.orders.busy)
        with nogil:
            for i in range(m):
                apply_batch(b, e + done, at[i] - done, NULL, filtered)
                done = at[i]
                fill_depth(b, 0, width, out + 2 * i * width)
                fill_depth(b, 1, width, out + (2 * i + 1) * width)
            apply_batch(b, e + done, n - done, NULL, filtered)
        leave(&b.orders.busy)
        return rows

    def clear(self):
        """Empty the book, which is no longer stale then. Counts go on."""
        book_clear(idle(self), NO_SIDE)

    def snapshot(self, *, seq=0, exch_ns=0, local_ns=0):
        """Return events that rebuild the book: a clear, then its contents from the worst level to the best.

        Parameters
        ----------
        seq, exch_ns, local_ns : int
            Number and times that all of the events carry.

        Returns
        -------
        ndarray of EVENT_DTYPE
            One message with the flag snapshot. Applied to any book of the same kind it gives the same `state_hash`, the same
            queues and, from there on, the same behaviour; arrival numbers differ. A stale book ends with a gap event. Take it
            between messages. Its bytes (``tobytes``) may be stored.
        """
        cdef book_t* b = self._b
        enter(&b.orders.busy)
        try:
            rows = np.empty(book_snapshot_rows(b), EVENT_DTYPE)
            book_snapshot(b, <event_t*> cnp.PyArray_DATA(rows))
        finally:
            leave(&b.orders.busy)
        rows["seq"], rows["exch_ns"], rows["local_ns"] = as_uint64(seq), as_int64(exch_ns), as_int64(local_ns)
        return rows

    @property
    def best_bid(self):
        """Best bid price in ticks, None when there is no bid."""
        return price_or_none(book_best_bid(idle(self)))

    @property
    def best_ask(self):
        """Best ask price in ticks, None when there is no ask."""
        return price_or_none(book_best_ask(idle(self)))

    @property
    def best_bid_size(self):
        """Lots at the best bid, 0 when there is none."""
        return book_best_bid_size(idle(self))

    @property
    def best_ask_size(self):
        """Lots at the best ask, 0 when there is none."""
        return book_best_ask_size(idle(self))

    @property
    def crossed(self):
        """Whether the best bid is above the best ask."""
        return book_crossed(idle(self))

    @property
    def locked(self):
        """Whether the best bid equals the best ask."""
        cdef const book_t* b = idle(self)
        return book_best_bid(b) != NO_PRICE and book_best_bid(b) == book_best_ask(b)

    @property
    def stale(self):
        """Whether messages are missing since the last clear."""
        return idle(self).stale != 0

    def __repr__(self):
        return f"{type(self).__name__}(symbol_id={self.symbol_id}, bid={self.best_bid}, ask={self.best_ask}, levels={self.levels})"

    @property
    def levels(self):
        """Numbers of price levels: (bids, asks)."""
        return idle(self).sides[0].count, idle(self).sides[1].count

    @property
    def counts(self):
        """Events since the book was made, by result: a dict of str to int without zeros.

        ``ok`` (applied, or of a kind that changes nothing displayed), ``unknown order`` (execute, cancel, delete or replace of
        an order that is not here), ``duplicate order`` (a reference that is in use), ``price outside range`` (not positive),
        ``size outside range`` (by order: not positive, more than the order has left, or a level beyond 2**63-1; by level:
        negative), ``corrupt`` (an add or a level without a side), ``unknown message type`` (an event that belongs to the other
        kind of book, or of a kind that there is not), ``out of memory``. All but ``ok`` left the book untouched.
        """
        return result_counts(idle(self).counts, NULL)

    def depth(self, levels=None):
        """Return the best price levels.

        Parameters
        ----------
        levels : int, optional
            At most so many of each side; all by default.

        Returns
        -------
        (bids, asks) : ndarrays of LEVEL_DTYPE
            Best first: `price` (ticks), `size` (lots), `orders` (0 in a book by level).
        """
        cdef int i
        if levels is not None and index(levels) < 0:
            raise ValueError(f"levels must not be negative: levels={levels}")
        sides = []
        for i in range(2):
            n = idle(self).sides[i].count
            a = np.empty(n if levels is None else min(n, levels), LEVEL_DTYPE)
            fill_depth(idle(self), i, a.size, <level_row_t*> cnp.PyArray_DATA(a))
            sides.append(a)
        return tuple(sides)

    def depth_into(self, out):
        """Write the best price levels into an array of the caller.

        Parameters
        ----------
        out : ndarray of LEVEL_DTYPE, shape (2, levels), contiguous, writable
            Receives bids in row 0 and asks in row 1, best first; levels that do not exist have price NO_PRICE and size 0.

        Returns
        -------
        (int, int)
            Levels written of each side.
        """
        cdef cnp.ndarray a
        if not cnp.PyArray_Check(out):
            raise TypeError(f"out must be a NumPy array of LEVEL_DTYPE: type={type(out).__name__}")
        a = out
        if a.dtype is not LEVEL_DTYPE and a.dtype != LEVEL_DTYPE:
            raise TypeError(f"out must have dtype LEVEL_DTYPE: dtype={a.dtype}")
        if (a.ndim != 2 or a.shape[0] != 2 or not cnp.PyArray_IS_C_CONTIGUOUS(a) or not cnp.PyArray_ISWRITEABLE(a)
                or <size_t> cnp.PyArray_DATA(a) & 7):
            raise ValueError(f"out must be of shape (2, levels), contiguous, aligned and writable: shape={out.shape}")
        cdef Py_ssize_t n = a.shape[1]
        cdef level_row_t* rows = <level_row_t*> cnp.PyArray_DATA(a)
        cdef const book_t* b = idle(self)
        fill_depth(b, 0, n, rows)
        fill_depth(b, 1, n, rows + n)
        return min(n, <Py_ssize_t> b.sides[0].count), min(n, <Py_ssize_t> b.sides[1].count)

    def level_size(self, side, price):
        """Return the lots that rest at a price (ticks) of a side (1 or -1); 0 where there is no level."""
        cdef int64_t ticks = checked_level(self._b, side, price)
        return book_level_size(idle(self), side, ticks)

    def state_hash(self):
        """Return a 64-bit hash of all that rests, in the order of its priority.

        By order: reference, price and size of each order; by level: price and size of each level. Equal books of one kind
        give equal numbers on every platform, however they came about.
        """
        return book_hash(idle(self))

    def check(self):
        """Walk through the whole structure; raises AssertionError with the rule that does not hold."""
        cdef int broken = book_check(idle(self))
        if broken:
            raise AssertionError(f"{_BROKEN[broken]}: symbol_id={self.symbol_id} live={self._b.live}")


@cython.final
@cython.no_gc_clear
cdef class OrderBook(_Book):
    """OrderBook(symbol_id=None, orders=None, *, signed_prices=False)\n--\n\n
    Order-by-order (L3) book of one symbol.

    Parameters
    ----------
    symbol_id : int, optional
        Events of other symbols are passed over by the batch calls. None applies every event.
    orders : OrderTable, optional
        Table to keep the orders in; books that share one must not see the same order reference twice.
        None makes a private table.
    signed_prices : bool, default False
        Take negative prices and 0 too.

    Raises
    ------
    ValueError
        If symbol_id is outside 0..2**32-2.

    Notes
    -----
    Prices are ticks and sizes lots. What malformed events do is listed at `counts`; messages of several events, gaps and
    crossed books are in the text of the module.

    **Thread safety**: one thread owns a book and its table.
    """

    def __cinit__(self, symbol_id=None, OrderTable orders=None, *, signed_prices=False):
        make_book(self, symbol_id, OrderTable() if orders is None else orders, False, signed_prices)

    def apply_levels(self, events, levels):
        """Apply a batch and write what it does to the price levels, as a feed by level would send it.

        Parameters
        ----------
        events : ndarray of EVENT_DTYPE, shape (n,), contiguous
        levels : ndarray of EVENT_DTYPE, at least 2 n rows, writable
            Receives events of kind level (price and new total) with number, times and symbol of their cause; clear and gap
            events pass through. A replacement that changes the price makes two, the first of them `continued`.

        Returns
        -------
        int
            Events written: applied to an empty ``LevelBook`` they give the same depth.
        """
        return face_apply_into(self._b, events, levels, "levels", 2, self.symbol_id is not None)

    def add(self, order_id, side, price, size):
        """Add an order at the back of its price level; raises BookError for a reference in use, ValueError for bad values."""
        apply_order(self._b, KIND_ADD, order_id, side, price, size, None)

    def execute(self, order_id, size):
        """Execute `size` lots of an order; raises BookError where it is unknown, ValueError beyond what is left."""
        apply_order(self._b, KIND_EXECUTE, order_id, 0, NO_PRICE, size, None)

    def cancel(self, order_id, size):
        """Take `size` lots off an order, which keeps its place; raises as `execute`."""
        apply_order(self._b, KIND_CANCEL, order_id, 0, NO_PRICE, size, None)

    def delete(self, order_id):
        """Remove an order; raises BookError where it is unknown."""
        apply_order(self._b, KIND_DELETE, order_id, 0, NO_PRICE, 0, None)

    def replace(self, order_id, new_order_id, price, size):
        """Replace an order by one of the same side at the back of its level; raises as `add` and `execute`.

        With its own reference, at its own price and with no more lots, it keeps its place instead.
        """
        apply_order(self._b, KIND_REPLACE, order_id, 0, price, size, new_order_id)

    @property
    def next_stamp(self):
        """Arrival number of the next order."""
        return idle(self).next_stamp

    def order(self, order_id):
        """Return (side, price, size, stamp) of a resting order, None where there is no such order."""
        cdef uint64_t reference = as_uint64(order_id)
        cdef const order_t* order = book_order(idle(self), reference)
        if order == NULL:
            return None
        return order.side, order.price, order.size, order.stamp

    def position(self, order_id):
        """Return (orders ahead, lots ahead) of a resting order in its queue, None where there is no such order."""
        cdef uint64_t reference = as_uint64(order_id)
        cdef const order_t* order = book_order(idle(self), reference)
        cdef uint64_t count = 0
        cdef int64_t size = 0
        if order == NULL:
            return None
        while order.before:
            order = &self._b.orders.orders[order.before]
            count += 1
            size += order.size
        return count, size

    def queue(self, side, price):
        """Return the orders at a price (ticks) of a side (1 or -1), front first.

        Returns
        -------
        ndarray of QUEUE_DTYPE
            `order_id`, `size` (lots), `stamp` (arrival number); empty where there is no level.
        """
        cdef queue_row_t* out
        cdef Py_ssize_t i = 0
        cdef int64_t ticks = checked_level(self._b, side, price)
        cdef orders_t* o = self._b.orders
        cdef const level_t* l
        cdef uint32_t number
        enter(&o.busy)
        try:
            l = book_find_level(self._b, side, ticks)
            number = l.front if l != NULL else 0
            rows = np.empty(l.count if l != NULL else 0, QUEUE_DTYPE)
            out = <queue_row_t*> cnp.PyArray_DATA(rows)
            while number:
                out[i].order_id = o.orders[number].order_id
                out[i].size = o.orders[number].size
                out[i].stamp = o.orders[number].stamp
                number = o.orders[number].after
                i += 1
        finally:
            leave(&o.busy)
        return rows


@cython.final
@cython.no_gc_clear
cdef class LevelBook(_Book):
    """LevelBook(symbol_id=None, orders=None, *, signed_prices=False, quotes=False)\n--\n\n
    Book by level (L2) of one symbol: the total of each price, without its orders.

    Parameters
    ----------
    symbol_id : int, optional
        Events of other symbols are passed over by the batch calls. None applies every event.
    orders : OrderTable, optional
        Table to keep the levels in, which several books may share. None makes a private one.
    signed_prices : bool, default False
        Take negative prices and 0 too.
    quotes : bool, default False
        The feed has best prices alone: a quote leaves one level a side, with the size that it says, 0 where the feed has no sizes.
        Otherwise quote events change nothing.

    Raises
    ------
    ValueError
        If symbol_id is outside 0..2**32-2.

    Notes
    -----
    Prices are ticks and sizes lots; a level event of size 0 removes its level. The length is the number of levels. Messages of several events, gaps
    and crossed books are in the text of the module.

    **Thread safety**: one thread owns a book and its table.
    """

    def __cinit__(self, symbol_id=None, OrderTable orders=None, *, signed_prices=False, quotes=False):
        make_book(self, symbol_id, OrderTable(1) if orders is None else orders, True, signed_prices, quotes)

    def set_level(self, side, price, size):
        """Set the total (lots) at a price of a side (1 or -1), 0 to remove the level; raises ValueError for bad values."""
        cdef event_t e
        memset(&e, 0, sizeof(e))
        e.kind = KIND_LEVEL
        e.symbol_id = self._b.symbol_id
        e.side = as_side(side)
        e.price = as_int64(price)
        e.size = as_int64(size)
        apply_single(self._b, &e, f"side={side} price={price} size={size}")

    def set_quote(self, bid, ask, bid_size=0, ask_size=0):
        """Set both best prices (ticks; None empties the side) and sizes (lots) of a book of quotes, all that it holds."""
        cdef event_t e
        if not self._b.quotes:
            raise ValueError("a book must be made for quotes to be set to one: quotes=False")
        memset(&e, 0, sizeof(e))
        e.kind = KIND_QUOTE
        e.symbol_id = self._b.symbol_id
        e.bid = NO_PRICE if bid is None else as_int64(bid)
        e.ask = NO_PRICE if ask is None else as_int64(ask)
        e.bid_size = as_int64(bid_size)
        e.ask_size = as_int64(ask_size)
        apply_single(self._b, &e, f"bid={bid} ask={ask} bid_size={bid_size} ask_size={ask_size}")
