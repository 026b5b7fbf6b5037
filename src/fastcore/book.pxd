"""Order books by order (L3) and by level (L2): the contract.

One ``book_t`` per symbol; orders and levels of any number of books live in one shared ``orders_t``::

    orders_t.slots     open addressing, key -> order number; linear probing, load <= 0.5, backward-shift deletion
    orders_t.orders    pool of 64-byte orders, linked front to back inside their level
    orders_t.levels    pool of 32-byte levels; an order knows its level, so taking quantity off needs no search
    book_t.sides[0]    bids: key = price
    book_t.sides[1]    asks: key = -price, so both sides run through the same code and the greater key is the better price

Number 0 of both pools is never used: 0 means none. One thread owns an ``orders_t`` and all its books.

A side is a **ladder** near its best price and **blocks** behind it::

    key     low          low + step                          best            low + (width - 1) step
    slots   [ number ]   [    0   ]   [ number ]   ...   [ number ]   ...    [ 0 ]       number of the level with that key
    words   a bit for each slot that holds a level; a bit of `summary` for each word that is not 0. With 64 slots `summary` is
            the word.
    far     levels whose keys are below `low`: sorted blocks of up to 64, with a sorted directory of their lowest keys

Slot = (key - low) / step, by the inverse of the step modulo 2^64: keys between two steps, and keys outside of the ladder, give
slots beyond its width, so that one comparison tells. The best level of a side is always in its ladder, and the next best is a
matter of two bit scans. The step is the greatest common divisor of the distances between the levels of the ladder. What does not
fit moves the ladder (side_move): a key above its end, a key between two steps, and every so many keys below it, when it
also becomes wider, up to 4,096 slots and 64 for each level. A move costs some nanoseconds for each level that it passes on.

A book is by order or by level from its making (`by_level`). One by level has the same sides and levels, but levels without
orders (front 0, count 0), whose totals the events give; so everything that reads sides and levels serves both kinds.

Growing never stops the loop for long: a new table of slots takes the entries of the old one over with the adds that follow, some
with each, and pools of more than a huge page are remapped instead of copied where the system can do that (Linux). The longest
pause is then the first touch of a page. The slots begin as few, so that those in use stay in near caches, whatever the pool has room
for: behind the table that it may once need lie one of an eighth, of an eighth of that, and so on; the smallest is the first.
"""

cimport cython
from libc.stdint cimport INT64_MAX, int8_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from fastcore.records cimport (
    BUY,
    FLAG_CONTINUED,
    KIND_ADD,
    KIND_CANCEL,
    KIND_DELETE,
    KIND_EXECUTE,
    KIND_LEVEL,
    KIND_QUOTE,
    KIND_REPLACE,
    NO_PRICE,
    NO_SIDE,
    RESULT_BAD_PRICE,
    RESULT_BAD_SIZE,
    RESULT_CORRUPT,
    RESULT_DUPLICATE_ORDER,
    RESULT_OK,
    RESULT_UNKNOWN_ORDER,
    SELL,
    event_t,
    fc_assert,
    likely,
    prefetch,
    prefetch_write,
    unlikely,
)

cdef extern from "fc_checked.h" nogil:
    int leading_zeros "fc_leading_zeros"(uint64_t)


ctypedef struct order_t:
    uint64_t order_id   # reference of the venue
    uint64_t stamp      # arrival number in its book: of two orders at one price the lower is served first
    int64_t price       # ticks
    int64_t size        # lots that are left
    int64_t user        # free for the owner of the book; 0 at arrival, never read here
    uint32_t after      # next order towards the back of the queue, or the next free one; 0 none
    uint32_t before     # next order towards the front; 0 none
    uint32_t level      # number of its level
    uint32_t book       # number of its book in the table
    int8_t side         # +1 buy, -1 sell
    uint8_t pad[7]

ctypedef struct level_t:
    int64_t key         # price * side
    int64_t size        # lots of all its orders
    uint32_t front      # first order to be served; in a free level, the next free one
    uint32_t back       # last order
    uint32_t count      # orders
    uint32_t own        # free for the owner of the book; 0 when a level begins, kept while it lasts, never read here

ctypedef struct slot_t:
    uint32_t tag        # upper half of the hashed key
    uint32_t order      # number of the order; 0 an empty slot

cdef enum:
    SIDE_FIRST = 64     # slots of a ladder at first
    SIDE_MOST = 4096
    SIDE_BYTES = 320    # of the first slots, what comes behind them, and the rest of its line
    BLOCK_LEVELS = 64

ctypedef struct block_t:
    uint32_t count
    uint32_t pad
    int64_t[64] keys    # ascending
    uint32_t[64] levels # their numbers
    block_t* next       # in the list of spare blocks

ctypedef struct orders_t:
    slot_t* slots       # mask + 1 of them, at least twice the live orders
    order_t* orders     # order_capacity + 1
    level_t* levels     # level_capacity + 1
    uint32_t mask
    uint32_t shift      # tag >> shift is the home slot
    uint32_t live_orders
    uint32_t order_room     # live orders up to which an add needs no attention: see orders_room; 0 while old slots are left
    uint32_t live_levels
    uint32_t level_capacity
    uint32_t free_order     # head of the list of freed orders
    uint32_t free_level
    uint32_t used_orders    # orders ever taken from the pool: numbers 1..used_orders
    uint32_t used_levels
    uint32_t order_capacity
    uint32_t books          # books ever opened on this table: the number of the next
    uint32_t growths        # times that a pool had to be enlarged since it was made
    uint32_t old_mask
    uint32_t old_shift
    uint32_t old_next       # slots of the old table below this are empty
    uint64_t busy           # a call works on the table or a book of it, without the GIL: see _guard
    slot_t* old_slots       # the table before the latest growth, until it is empty; else NULL
    slot_t* map             # memory in which the slots lie
    slot_t* old_map         # that of the old slots, where it is another one; else NULL
    uint64_t map_slots
    uint64_t old_map_slots
    block_t* spare          # blocks that are not in use
    uint32_t spare_blocks
    uint32_t blocks         # of all books, and the spare ones

# Directory of the blocks of a side, worst first.
ctypedef struct far_t:
    int64_t* lowest     # lowest key of each block, ascending
    block_t** blocks
    uint32_t count
    uint32_t capacity
    uint32_t latest     # the block that was looked for last

# One cache line: all that an event reads of a side but the slot and its word.
ctypedef struct side_t:
    int64_t best        # key of the best level; NO_PRICE when the side is empty
    int64_t low         # key of slot 0
    uint64_t step       # of the keys between two slots
    uint64_t inverse    # of the odd part of the step, modulo 2^64
    uint64_t summary    # which words are not 0; with 64 slots: which slots hold a level
    uint32_t* slots     # `width` numbers, then width / 64 words, then the far_t*
    uint32_t best_level # number of the best level; 0 when the side is empty
    uint32_t count      # levels
    int32_t misses      # keys that were looked for below the ladder, since it was last moved
    uint16_t width      # slots
    uint8_t shift       # power of two in the step
    uint8_t borrowed    # the slots belong to somebody else, who frees them

ctypedef struct top_t:
    int64_t bid         # ticks; NO_PRICE for an empty side
    int64_t ask
    int64_t bid_size    # lots
    int64_t ask_size

# The first three cache lines hold everything that an event touches.
ctypedef struct book_t:
    side_t sides[2]     # bids, asks
    orders_t* orders
    uint64_t next_stamp
    uint64_t live       # orders of this book; 0 in a book by level
    int64_t lowest      # lowest price that is taken: 1, or -2^63 + 1 where prices may be negative
    uint32_t number     # of this book in the table
    uint32_t symbol_id
    uint8_t by_level    # set between book_init and the first event, never after
    uint8_t quotes      # likewise: of a book by level, whether a quote is all that it holds
    uint8_t stale       # messages were missed (gap): wrong until the next clear
    uint8_t open        # between the first event of a message that is continued and its last
    uint8_t pad[4]
    uint64_t pad_counts
    uint64_t counts[32] # events by result code
    top_t before        # while `open`: the top when the message began

# A book and its first ladders: 18 cache lines.
ctypedef struct book_place_t:
    book_t book
    uint64_t pad[5]
    uint64_t ladders[80]    # 2 * SIDE_BYTES

# An event resolved against the book. After any result but RESULT_OK only `kind` and `top_changed` mean something.
ctypedef struct book_change_t:
    int64_t price       # of the order or level concerned, ticks; NO_PRICE where the event touches none
    int64_t size        # lots added (add) or taken off (execute, cancel, delete, replace), level: difference; not negative
    uint64_t stamp      # arrival number of that order; 0 for a level
    int8_t side         # of that order or level: +1 buy, -1 sell, 0 none
    uint8_t kind        # of the event; KIND_CANCEL for a replace after which the order keeps its place (then size may be 0), KIND_ADD
                        # for one of an order that was not there
    bint top_changed    # the message that ends with this event changed the best price or its size, of either side
    bint grew           # level, and only there: lots were added
    int result          # what book_apply returned
    int64_t new_price   # replace, and only there: the order that takes the place of the old one
    int64_t new_size    # replace: its size; level: the total of the level, 0 when it is gone
    uint64_t new_stamp


# Cold: memory. Each returns RESULT_OK or RESULT_NO_MEMORY, and leaves everything as it was on failure.
cdef int orders_init(orders_t* o, uint64_t orders, uint64_t levels) noexcept nogil
cdef void orders_free(orders_t* o) noexcept nogil
# Room for so many live orders and levels in all, from now on without allocation.
cdef int orders_reserve(orders_t* o, uint64_t orders, uint64_t levels) noexcept nogil
# Room for one more order: doubles what is used up, and moves some of what is left in the old slots.
cdef int orders_grow(orders_t* o) noexcept nogil
# orders_find where the key is not in the new slots and old ones are left: an order that is there moves to the new ones.
cdef uint32_t orders_find_old(orders_t* o, uint64_t order_id, uint32_t* slot) noexcept nogil
cdef int book_init(book_t* b, orders_t* o, uint32_t symbol_id) noexcept nogil
# The same with memory of the caller for the first ladders: SIDE_BYTES for each side, zeroed, at a cache line.
cdef int book_init_at(book_t* b, orders_t* o, uint32_t symbol_id, void* memory) noexcept nogil
# Removes its orders from the table, then frees its own memory.
cdef void book_free(book_t* b) noexcept nogil
# Bytes of the ladders and directories that the book itself has allocated.
cdef uint64_t book_bytes(const book_t* b) noexcept nogil
# Remove every order or level of this book; it is no longer stale. Arrival numbers go on.
cdef void book_clear(book_t* b, int8_t side) noexcept nogil
# Room for one more level on a side, wherever it goes. Needed before book_put_level where the pool of levels is used up, the
# key lies outside of the ladder or, before a level is taken off first, some levels of the side do.
cdef int side_ready(book_t* b, int side_index) noexcept nogil
# Cold parts of the sides: what lies outside of the ladder. side_outside may move the ladder.
cdef uint32_t side_outside(book_t* b, int side_index, int64_t key) noexcept nogil
cdef uint32_t side_far_find(const side_t* s, int64_t key) noexcept nogil
# Fetch the block of a key, where it lies below the ladder.
cdef void side_ahead_far(const side_t* s, int64_t key) noexcept nogil
# The level of the best key below `key`; 0 when there is none.
cdef uint32_t side_below(const book_t* b, int side_index, int64_t key) noexcept nogil
# book_apply for an event of a continued message, and for the kinds that are neither order nor level.
cdef int book_apply_part(book_t* b, const event_t* e, book_change_t* out) noexcept nogil
cdef int book_apply_rare(book_t* b, const event_t* e, book_change_t* out) noexcept nogil
cdef uint64_t book_hash(const book_t* b) noexcept nogil
# 0, or the number of the first broken invariant (names in book.pyx).
cdef int book_check(const book_t* b) noexcept nogil


# ---- order table ----

cdef inline uint32_t orders_tag(uint64_t order_id) noexcept nogil:
    # Multiplication by 2^64 / golden ratio: consecutive references land evenly spread.
    return <uint32_t> ((order_id * <uint64_t> 0x9E3779B97F4A7C15) >> 32)


cdef inline void orders_prefetch(const orders_t* o, uint64_t order_id) noexcept nogil:
    prefetch(&o.slots[orders_tag(order_id) >> o.shift])


cdef inline uint32_t orders_find(orders_t* o, uint64_t order_id, uint32_t* slot) noexcept nogil:
    """Number of the order and its slot, or 0 and the empty slot where it would go."""
    cdef uint32_t tag = orders_tag(order_id)
    cdef uint32_t i = tag >> o.shift
    cdef uint32_t number
    while True:
        number = o.slots[i].order
        if number == 0:
            slot[0] = i
            return 0 if likely(o.old_slots == NULL) else orders_find_old(o, order_id, slot)
        if likely(o.slots[i].tag == tag and o.orders[number].order_id == order_id):
            slot[0] = i
            return number
        i = (i + 1) & o.mask


cdef inline void orders_erase(orders_t* o, uint32_t slot) noexcept nogil:
    """Empty a slot and move later entries of the run back, so that no tombstone is needed."""
    cdef uint32_t hole = slot
    cdef uint32_t i = slot
    while True:
        i = (i + 1) & o.mask
        if o.slots[i].order == 0:
            break
        # May move unless its home lies behind the hole.
        if ((i - (o.slots[i].tag >> o.shift)) & o.mask) >= ((i - hole) & o.mask):
            o.slots[hole] = o.slots[i]
            hole = i
    o.slots[hole].order = 0


# ---- sides ----

cdef inline uint64_t side_slot(const side_t* s, int64_t key) noexcept nogil:
    """Slot of a key; at least the width where the key has none."""
    cdef uint64_t x = (<uint64_t> key - <uint64_t> s.low) * s.inverse
    return (x >> s.shift) | (x << (-s.shift & 63))


cdef inline uint64_t* side_word(side_t* s, uint64_t slot) noexcept nogil:
    """The word with the bit of a slot."""
    return &s.summary if s.width == SIDE_FIRST else <uint64_t*> (s.slots + s.width) + (slot >> 6)


cdef inline far_t** side_far_place(const side_t* s) noexcept nogil:
    return <far_t**> (<uint64_t*> (s.slots + s.width) + (s.width >> 6))


cdef inline far_t* side_far(const side_t* s) noexcept nogil:
    """The levels below the ladder; NULL until there is one."""
    return side_far_place(s)[0]


cdef inline uint32_t side_find(const side_t* s, int64_t key) noexcept nogil:
    """Number of the level with this key; 0 where there is none."""
    cdef uint64_t slot = side_slot(s, key)
    if likely(slot < s.width):
        return s.slots[slot]
    return side_far_find(s, key)


cdef inline int64_t side_next_slot(const side_t* s, uint64_t slot) noexcept nogil:
    """The next slot below one that holds a level; -1 where there is none."""
    cdef uint64_t i = slot >> 6
    cdef uint64_t below = (<uint64_t> 1 << (slot & 63)) - 1
    cdef uint64_t word
    if likely(s.width == SIDE_FIRST):
        word = s.summary & below
        return 63 - leading_zeros(word) if word else -1
    word = (<uint64_t*> (s.slots + s.width))[i] & below
    if word == 0:
        word = s.summary & ((<uint64_t> 1 << i) - 1)
        if word == 0:
            return -1
        i = 63 - leading_zeros(word)
        word = (<uint64_t*> (s.slots + s.width))[i]
    return <int64_t> (i << 6) + 63 - leading_zeros(word)


cdef inline uint32_t side_next(const book_t* b, int side_index, uint32_t level) noexcept nogil:
    """Number of the next worse level behind one, of the best behind 0; 0 at the end."""
    cdef const side_t* s = &b.sides[side_index]
    cdef uint64_t slot
    cdef int64_t following
    if level == 0:
        return s.best_level
    slot = side_slot(s, b.orders.levels[level].key)
    if likely(slot < s.width):
        following = side_next_slot(s, slot)
        if likely(following >= 0):
            return s.slots[following]
    return side_below(b, side_index, b.orders.levels[level].key)


# ---- changes ----

cdef enum:
    # Kinds that take lots off an order, one bit each.
    BOOK_REDUCES = 1 << KIND_EXECUTE | 1 << KIND_CANCEL | 1 << KIND_DELETE

# Add a level without orders and size; room is certain. Returns its number.
cdef uint32_t book_put_level(book_t* b, int side_index, int64_t key) noexcept nogil
# Take a level off its side and return it to the pool.
cdef void book_drop_level(book_t* b, int side_index, uint32_t level) noexcept nogil
# The new order keeps the side and loses the place in the queue; new_id may equal order_id. With the same reference and price and no
# more lots the order stays where it is: the change is a cancel of the difference.
cdef int book_replace(book_t* b, const event_t* e, book_change_t* out) noexcept nogil


cdef inline uint64_t book_put(
    book_t* b, uint32_t slot, uint32_t level, uint64_t order_id, int8_t side, int64_t price, int64_t size
) noexcept nogil:
    """Append an order, whose slot is known, to a level; room is certain. Returns its arrival number."""
    cdef orders_t* o = b.orders
    cdef level_t* l = &o.levels[level]
    cdef uint32_t number = o.free_order
    cdef order_t* order
    if likely(number):
        order = &o.orders[number]
        o.free_order = order.after
        prefetch_write(&o.orders[o.free_order])
    else:
        o.used_orders += 1
        number = o.used_orders
        order = &o.orders[number]
    o.live_orders += 1
    o.slots[slot].tag = orders_tag(order_id)
    o.slots[slot].order = number
    order.order_id = order_id
    order.stamp = b.next_stamp
    order.price = price
    order.size = size
    order.user = 0
    order.after = 0
    order.before = l.back
    order.level = level
    order.book = b.number
    order.side = side
    if l.back:
        o.orders[l.back].after = number
    else:
        l.front = number
    l.back = number
    l.count += 1
    l.size += size
    b.live += 1
    b.next_stamp += 1
    return order.stamp


cdef inline void book_take(book_t* b, uint32_t slot, uint32_t number, int64_t size) noexcept nogil:
    """Take `size` (at most what is left) off an order; it leaves the book when nothing is left."""
    cdef orders_t* o = b.orders
    cdef order_t* order = &o.orders[number]
    cdef level_t* l = &o.levels[order.level]
    l.size -= size
    order.size -= size
    if order.size > 0:
        return
    if order.before:
        o.orders[order.before].after = order.after
    else:
        l.front = order.after
    if order.after:
        o.orders[order.after].before = order.before
    else:
        l.back = order.before
    l.count -= 1
    if l.count == 0:
        book_drop_level(b, order.side < 0, order.level)
    orders_erase(o, slot)
    order.after = o.free_order
    o.free_order = number
    o.live_orders -= 1
    b.live -= 1


cdef inline int book_add(book_t* b, uint64_t order_id, int8_t side, int64_t price, int64_t size, book_change_t* out) noexcept nogil:
    cdef orders_t* o = b.orders
    cdef uint32_t slot
    cdef uint32_t level
    cdef int result
    cdef side_t* s
    cdef int64_t key
    cdef uint64_t place
    if unlikely(side * side != 1):
        return RESULT_CORRUPT
    if unlikely(price < b.lowest):
        return RESULT_BAD_PRICE
    s = &b.sides[side < 0]
    key = price * side
    place = side_slot(s, key)
    level = s.slots[place] if likely(place < s.width) else side_outside(b, side < 0, key)
    if unlikely(<uint64_t> size - 1 >= <uint64_t> (INT64_MAX - o.levels[level].size)):     # 0 and less too
        return RESULT_BAD_SIZE
    if unlikely(orders_find(o, order_id, &slot) != 0):
        return RESULT_DUPLICATE_ORDER
    if unlikely(o.live_orders >= o.order_room):
        result = orders_grow(o)
        if result != RESULT_OK:
            return result
        orders_find(o, order_id, &slot)
    if level == 0:
        if unlikely(o.live_levels >= o.level_capacity or place >= s.width):
            result = side_ready(b, side < 0)
            if result != RESULT_OK:
                return result
        level = book_put_level(b, side < 0, key)
    out.stamp = book_put(b, slot, level, order_id, side, price, size)
    out.price = price
    out.size = size
    out.side = side
    out.top_changed = level == s.best_level
    return RESULT_OK


cdef inline int book_reduce(book_t* b, uint64_t order_id, int64_t size, bint whole, book_change_t* out) noexcept nogil:
    """Take `size`, or all that is left, off an order."""
    cdef uint32_t slot
    cdef uint32_t number = orders_find(b.orders, order_id, &slot)
    cdef order_t* order = &b.orders.orders[number]
    if unlikely(number == 0 or order.book != b.number):
        return RESULT_UNKNOWN_ORDER
    size = order.size if whole else size
    if unlikely(<uint64_t> size - 1 >= <uint64_t> order.size):     # 0 and less too
        return RESULT_BAD_SIZE
    out.price = order.price
    out.size = size
    out.stamp = order.stamp
    out.side = order.side
    out.top_changed = order.level == b.sides[order.side < 0].best_level
    book_take(b, slot, number, size)
    return RESULT_OK


cdef inline int book_level(book_t* b, int8_t side, int64_t price, int64_t size, book_change_t* out) noexcept nogil:
    """Set the total of a price level of a book by level; 0 removes it, also where it is not there."""
    cdef orders_t* o = b.orders
    cdef int64_t key
    cdef int64_t difference
    cdef side_t* s
    cdef level_t* l
    cdef uint64_t place
    cdef uint32_t level
    cdef int result
    if unlikely(side * side != 1):
        return RESULT_CORRUPT
    if unlikely(price < b.lowest):
        return RESULT_BAD_PRICE
    if unlikely(size < 0):
        return RESULT_BAD_SIZE
    key = price * side
    s = &b.sides[side < 0]
    place = side_slot(s, key)
    level = s.slots[place] if likely(place < s.width) else side_outside(b, side < 0, key)
    out.price = price
    out.new_size = size
    out.stamp = 0
    out.side = side
    if likely(level):
        l = &o.levels[level]
        # Without a branch: neither the direction nor the place of the next change can be predicted.
        difference = size - l.size
        out.grew = difference > 0
        out.size = (difference ^ (difference >> 63)) - (difference >> 63)
        out.top_changed = (level == s.best_level) & ((difference != 0) | (size == 0))
        l.size = size
        if size == 0:
            book_drop_level(b, side < 0, level)
        return RESULT_OK
    out.grew = size != 0
    out.size = size
    if size == 0:
        return RESULT_OK
    if unlikely(o.live_levels >= o.level_capacity or place >= s.width):
        result = side_ready(b, side < 0)
        if result != RESULT_OK:
            return result
    level = book_put_level(b, side < 0, key)
    o.levels[level].size = size
    out.top_changed = level == s.best_level
    return RESULT_OK


cdef inline int book_apply_orders(book_t* b, const event_t* e, book_change_t* out) noexcept nogil:
    """Apply an event to a book by order as if it were a message of its own."""
    cdef int result
    cdef uint8_t kind = e.kind
    out.kind = kind
    out.top_changed = False
    if kind == KIND_ADD:
        result = book_add(b, <uint64_t> e.order_id, e.side, e.price, e.size, out)
    elif <uint64_t> BOOK_REDUCES >> (kind & 63) & 1 and likely(kind < 64):
        # One piece of code: which of them comes next cannot be predicted.
        result = book_reduce(b, <uint64_t> e.order_id, e.size, kind == KIND_DELETE, out)
    elif kind == KIND_REPLACE:
        result = book_replace(b, e, out)
    else:
        result = book_apply_rare(b, e, out)
    b.counts[result] += 1
    out.result = result
    return result


cdef inline int book_apply_totals(book_t* b, const event_t* e, book_change_t* out) noexcept nogil:
    """Apply an event to a book by level as if it were a message of its own."""
    cdef int result
    out.kind = e.kind
    out.top_changed = False
    if likely(e.kind == KIND_LEVEL):
        result = book_level(b, e.side, e.price, e.size, out)
    else:
        result = book_apply_rare(b, e, out)
    b.counts[result] += 1
    out.result = result
    return result


cdef inline int book_apply(book_t* b, const event_t* e, book_change_t* out) noexcept nogil:
    """Apply one event, whatever its symbol_id. Orders and levels are unchanged unless the result is RESULT_OK.

    RESULT_UNKNOWN_ORDER     execute, cancel, delete, replace of an order that this book does not hold; a replace that has a side and
                             keeps the reference says all of the order, and adds it
    RESULT_DUPLICATE_ORDER   add or replace with a reference that the table already holds
    RESULT_BAD_PRICE         price below 1 (below -2^63 + 1 where prices may be negative)
    RESULT_BAD_SIZE          size <= 0 (a level, a quote: < 0), more than the order has left, or a level beyond 2^63 - 1 lots
    RESULT_CORRUPT           add or level without a side
    RESULT_UNKNOWN_TYPE      level and quote events in a book by order, changes of orders in a book by level, kinds that there are not
    RESULT_NO_MEMORY         the tables could not grow
    Kinds that change no displayed order (trades, crosses, status, timers, own orders, ...) give RESULT_OK and no change.

    `out.top_changed` compares the top behind a message with that before it: it is false for every event that is continued,
    and for the last one it holds even if that one was refused. So nobody sees the states in between.
    """
    if unlikely(e.flags & FLAG_CONTINUED or b.open):
        return book_apply_part(b, e, out)
    return book_apply_totals(b, e, out) if b.by_level else book_apply_orders(b, e, out)


# ---- reading ----

cdef inline int64_t book_best_bid(const book_t* b) noexcept nogil:
    """Ticks; NO_PRICE when there is no bid."""
    return b.sides[0].best


cdef inline int64_t book_best_ask(const book_t* b) noexcept nogil:
    # Unsigned, because NO_PRICE is its own negative.
    return <int64_t> (0 - <uint64_t> b.sides[1].best)


cdef inline int64_t book_best_bid_size(const book_t* b) noexcept nogil:
    """Lots; 0 when there is no bid."""
    return b.orders.levels[b.sides[0].best_level].size


cdef inline int64_t book_best_ask_size(const book_t* b) noexcept nogil:
    return b.orders.levels[b.sides[1].best_level].size


cdef inline int64_t book_key(int8_t side, int64_t price) noexcept nogil:
    """Key of a price, and price of a key; unsigned, because NO_PRICE is its own negative, and without a branch."""
    cdef uint64_t negative = 0 - <uint64_t> (side < 0)
    return <int64_t> ((<uint64_t> price ^ negative) - negative)


cdef inline int64_t book_level_size(const book_t* b, int8_t side, int64_t price) noexcept nogil:
    """Lots at a price, 0 where nothing rests; side is +1 or -1."""
    return b.orders.levels[side_find(&b.sides[side < 0], book_key(side, price))].size


cdef inline void book_top(const book_t* b, top_t* out) noexcept nogil:
    out.bid = book_best_bid(b)
    out.ask = book_best_ask(b)
    out.bid_size = book_best_bid_size(b)
    out.ask_size = book_best_ask_size(b)


cdef inline void book_quote(const book_t* b, const event_t* e, event_t* q) noexcept nogil:
    """The top of the book as a quote event with number, times and symbol of the event that changed it."""
    q.seq = e.seq
    q.exch_ns = e.exch_ns
    q.local_ns = e.local_ns
    q.symbol_id = e.symbol_id
    q.kind = KIND_QUOTE
    q.side = NO_SIDE
    q.flags = 0
    q.bid = book_best_bid(b)
    q.ask = book_best_ask(b)
    q.bid_size = book_best_bid_size(b)
    q.ask_size = book_best_ask_size(b)


cdef inline bint book_crossed(const book_t* b) noexcept nogil:
    """Whether the best bid is above the best ask: an auction, or a feed that is late on one side. Kept as it comes."""
    return b.sides[0].best_level != 0 and b.sides[1].best_level != 0 and b.sides[0].best > -b.sides[1].best


cdef inline level_t* book_best_level(const book_t* b, int side_index) noexcept nogil:
    """Best level of the bids (0) or asks (1); one of size 0 that belongs to no book when the side is empty."""
    return &b.orders.levels[b.sides[side_index].best_level]


cdef inline level_t* book_find_level(const book_t* b, int8_t side, int64_t price) noexcept nogil:
    """The level at a price of side +1 or -1, or NULL; valid until the next change of the book."""
    cdef uint32_t level = side_find(&b.sides[side < 0], book_key(side, price))
    return &b.orders.levels[level] if level else NULL


cdef inline int64_t book_next_price(const book_t* b, int8_t side, int64_t price) noexcept nogil:
    """The best price of a side that is worse than `price`, which need not be a level; NO_PRICE when there is none."""
    cdef const side_t* s = &b.sides[side < 0]
    cdef int64_t key = book_key(side, price)
    cdef uint64_t slot = side_slot(s, key)
    cdef int64_t following
    if likely(slot < s.width):
        following = side_next_slot(s, slot)
        if likely(following >= 0):
            return book_key(side, s.low + following * <int64_t> s.step)
    return book_key(side, b.orders.levels[side_below(b, side < 0, key)].key)


# The worst price of a side, NO_PRICE when it is empty.
cdef int64_t book_worst_price(const book_t* b, int8_t side) noexcept nogil


cdef inline uint64_t book_stamp(const book_t* b) noexcept nogil:
    """Arrival number of the next order: every order that rests now has a lower one."""
    return b.next_stamp


cdef inline const order_t* book_order(const book_t* b, uint64_t order_id) noexcept nogil:
    """The order, or NULL; valid until the next change."""
    cdef uint32_t slot
    cdef uint32_t number = orders_find(<orders_t*> b.orders, order_id, &slot)
    if number == 0 or b.orders.orders[number].book != b.number:
        return NULL
    return &b.orders.orders[number]


# ---- looking ahead ----

# The slot of an order lies anywhere in a table that has room for many more: it is fetched ahead, always. With many books, or many
# orders, an event touches other lines that no cache near the core holds: its book, the order or the slot of the level, the level, its
# last order. Four stages fetch them for later events, each reading what the one before has fetched. Where all of it fits into the
# second cache that only costs: book_far tells.
cdef enum:
    AHEAD_SLOT = 8          # events; the slot alone
    AHEAD_FIRST = 24        # events
    AHEAD_SECOND = 16
    AHEAD_THIRD = 10
    AHEAD_LAST = 5
    AHEAD_RECORDS = 64      # the processor's own prefetching of the events stops at the end of a page

# Whether so many bytes, read and written at random places, are more than the second cache holds.
cdef bint book_far(uint64_t bytes) noexcept nogil


cdef inline uint64_t orders_bytes(const orders_t* o) noexcept nogil:
    """What the live orders and levels take, with their slots."""
    return <uint64_t> o.live_orders * (sizeof(order_t) + 3 * sizeof(slot_t)) + <uint64_t> o.live_levels * sizeof(level_t)


cdef inline bint ahead_places(const event_t* e) noexcept nogil:
    """Whether the event names the level that it touches; else it names an order."""
    return e.kind == KIND_ADD or e.kind == KIND_LEVEL


cdef inline void book_ahead_first(const orders_t* o, const book_t* b, const event_t* e) noexcept nogil:
    """The book, open or not, and the slot of the order."""
    prefetch_write(&b.orders)
    if ahead_places(e):
        prefetch_write(&b.sides[e.side < 0])
    if e.kind != KIND_LEVEL:
        orders_prefetch(o, <uint64_t> e.order_id)


cdef inline const order_t* ahead_order(const orders_t* o, const event_t* e) noexcept nogil:
    """Most likely the order of an event; any order at all if not."""
    return &o.orders[o.slots[orders_tag(<uint64_t> e.order_id) >> o.shift].order]


cdef inline void book_ahead_second(const book_t* b, const event_t* e) noexcept nogil:
    """The slot or the block of the level, or the order."""
    cdef const side_t* s = &b.sides[e.side < 0]
    cdef int64_t key
    cdef uint64_t slot
    if ahead_places(e):
        key = book_key(e.side, e.price)
        slot = side_slot(s, key)
        if likely(slot < s.width):
            prefetch(s.slots + slot)
        else:
            side_ahead_far(s, key)
    else:
        prefetch(ahead_order(b.orders, e))


cdef inline void book_ahead_third(const book_t* b, const event_t* e) noexcept nogil:
    """The level; the neighbours of an order in its queue, and where its level stands."""
    cdef const side_t* s = &b.sides[e.side < 0]
    cdef const order_t* order
    if ahead_places(e):
        prefetch_write(&b.orders.levels[side_find(s, book_key(e.side, e.price))])
    else:
        order = ahead_order(b.orders, e)
        s = &b.sides[order.side < 0]
        prefetch_write(&b.orders.levels[order.level])
        prefetch_write(&b.orders.orders[order.before])
        prefetch_write(&b.orders.orders[order.after])
        prefetch_write(s)


cdef inline void book_ahead_last(const book_t* b, const event_t* e) noexcept nogil:
    """The order behind which an add comes to rest; where a level stands that may go."""
    cdef const side_t* s
    cdef const order_t* order
    cdef int64_t key
    cdef uint64_t slot
    if ahead_places(e):
        s = &b.sides[e.side < 0]
        slot = side_slot(s, book_key(e.side, e.price))
        if slot < s.width:
            prefetch_write(&b.orders.orders[b.orders.levels[s.slots[slot]].back])
    else:
        order = ahead_order(b.orders, e)
        if b.orders.levels[order.level].count == 1:
            s = &b.sides[order.side < 0]
            key = book_key(order.side, order.price)
            slot = side_slot(s, key)
            if likely(slot < s.width):
                prefetch_write(s.slots + slot)
            else:
                side_ahead_far(s, key)


cdef inline void slots_ahead(const orders_t* o, const event_t* e, Py_ssize_t i, Py_ssize_t n) noexcept nogil:
    """Fetch the slot of a later one of e[0..n), where e[i] is the next to be applied; with the first event those of the first ones."""
    cdef Py_ssize_t k
    if likely(i + AHEAD_SLOT < n):
        orders_prefetch(o, <uint64_t> e[i + AHEAD_SLOT].order_id)
    if unlikely(i == 0):
        for k in range(n if n < AHEAD_SLOT else AHEAD_SLOT):
            orders_prefetch(o, <uint64_t> e[k].order_id)


cdef inline void book_ahead(const book_t* b, bint far, const event_t* e, Py_ssize_t i, Py_ssize_t n) noexcept nogil:
    """Fetch what later events of e[0..n) will touch in one book, where e[i] is the next to be applied."""
    if not far:
        if not b.by_level:
            slots_ahead(b.orders, e, i, n)
    elif i + AHEAD_FIRST < n:
        orders_prefetch(b.orders, <uint64_t> e[i + AHEAD_FIRST].order_id)
        book_ahead_second(b, e + i + AHEAD_SECOND)
        book_ahead_third(b, e + i + AHEAD_THIRD)
        book_ahead_last(b, e + i + AHEAD_LAST)


@cython.final
cdef class OrderTable:
    cdef orders_t _o


cdef class _Book:
    cdef book_t* _b             # _own, or a book of a set
    cdef book_t* _own
    cdef object _owner          # the set that holds the book; None
    cdef readonly OrderTable orders
    cdef readonly object symbol_id


@cython.final
cdef class OrderBook(_Book):
    pass


@cython.final
cdef class LevelBook(_Book):
    pass


# A face of its kind for a book that somebody else owns and keeps alive.
cdef _Book book_view(book_t* b, OrderTable orders, object owner)

# What the faces of books and of sets share.
cdef uint64_t book_snapshot_rows(const book_t* b) noexcept nogil
cdef event_t* book_snapshot(const book_t* b, event_t* out) noexcept nogil
cdef dict result_counts(const uint64_t* counts, const uint64_t* before)
