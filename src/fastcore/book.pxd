"""Order books by order (L3) and by level (L2): the contract.

One ``book_t`` per symbol; orders and levels of any number of books live in one shared ``orders_t``::

    orders_t.slots     open addressing, key -> order number; linear probing, load <= 0.5, backward-shift deletion
    orders_t.orders    pool of 64-byte orders, linked front to back inside their level
    orders_t.levels    pool of 32-byte levels; an order knows its level, so taking quantity off needs no search
    book_t.sides[0]    bids: keys ascending, best at the end; key = price
    book_t.sides[1]    asks: keys ascending, best at the end; key = -price, so both sides run through the same code

Number 0 of both pools is never used: 0 means none. One thread owns an ``orders_t`` and all its books.

A book is by order or by level from its making (`by_level`). One by level has the same sides and levels, but levels without
orders (front 0, count 0), whose totals the events give; so everything that reads sides and levels serves both kinds.
"""

cimport cython
from libc.stdint cimport INT64_MAX, int8_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memmove

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
    unlikely,
)


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

ctypedef struct orders_t:
    slot_t* slots       # mask + 1 of them, at least twice the orders
    order_t* orders     # order_capacity + 1
    level_t* levels     # level_capacity + 1
    uint32_t mask
    uint32_t shift      # tag >> shift is the home slot
    uint32_t live_orders
    uint32_t live_levels
    uint32_t order_capacity
    uint32_t level_capacity
    uint32_t free_order     # head of the list of freed orders
    uint32_t free_level
    uint32_t used_orders    # orders ever taken from the pool: numbers 1..used_orders
    uint32_t used_levels
    uint32_t books          # books ever opened on this table: the number of the next
    uint32_t growths        # times that a pool had to be enlarged since it was made

cdef enum:
    SIDE_NEAR = 8

ctypedef struct side_t:
    int64_t* keys       # price * side, ascending; SIDE_NEAR times NO_PRICE, below any key, in front of the first
    uint32_t* levels    # number of the level with that key; SIDE_NEAR times 0 in front of the first
    uint32_t count
    uint32_t capacity

ctypedef struct top_t:
    int64_t bid         # ticks; NO_PRICE for an empty side
    int64_t ask
    int64_t bid_size    # lots
    int64_t ask_size

# The first two cache lines hold everything that an event touches.
ctypedef struct book_t:
    orders_t* orders
    side_t sides[2]     # bids, asks
    uint64_t next_stamp
    uint64_t live       # orders of this book; 0 in a book by level
    uint32_t number     # of this book in the table
    uint32_t symbol_id
    int64_t lowest      # lowest price that is taken: 1, or -2^63 + 1 where prices may be negative
    uint8_t by_level    # set between book_init and the first event, never after
    uint8_t stale       # messages were missed (gap): wrong until the next clear
    uint8_t open        # between the first event of a message that is continued and its last
    uint8_t borrowed[2] # the arrays of this side belong to somebody else, who frees them
    uint8_t pad[3]
    uint64_t counts[32] # events by result code
    top_t before        # while `open`: the top when the message began

# An event resolved against the book. After any result but RESULT_OK only `kind` and `top_changed` mean something.
ctypedef struct book_change_t:
    int64_t price       # of the order or level concerned, ticks; NO_PRICE where the event touches none
    int64_t size        # lots added (add) or taken off (execute, cancel, delete, replace), level: difference; not negative
    uint64_t stamp      # arrival number of that order; 0 for a level
    int8_t side         # of that order or level: +1 buy, -1 sell, 0 none
    uint8_t kind        # of the event; KIND_CANCEL for a replace after which the order keeps its place (then size may be 0)
    bint top_changed    # the message that ends with this event changed the best price or its size, of either side
    bint grew           # level, and only there: lots were added
    int64_t new_price   # replace, and only there: the order that takes the place of the old one
    int64_t new_size    # replace: its size; level: the total of the level, 0 when it is gone
    uint64_t new_stamp


# Cold: memory. Each returns RESULT_OK or RESULT_NO_MEMORY, and leaves everything as it was on failure.
cdef int orders_init(orders_t* o, uint64_t orders, uint64_t levels) noexcept nogil
cdef void orders_free(orders_t* o) noexcept nogil
# Room for so many live orders and levels in all, from now on without allocation.
cdef int orders_reserve(orders_t* o, uint64_t orders, uint64_t levels) noexcept nogil
cdef int book_init(book_t* b, orders_t* o, uint32_t symbol_id, uint32_t levels) noexcept nogil
# The same with memory of the caller for the arrays of both sides, until they grow: 2 * (levels + SIDE_NEAR) * 12 bytes, zeroed.
cdef int book_init_at(book_t* b, orders_t* o, uint32_t symbol_id, uint32_t levels, void* memory) noexcept nogil
# Removes its orders from the table, then frees its own memory.
cdef void book_free(book_t* b) noexcept nogil
# Room for one more order, level and key; doubles what is used up. book_apply calls it when it must.
cdef int book_grow(book_t* b) noexcept nogil
# Remove every order or level of this book; it is no longer stale. Arrival numbers go on.
cdef void book_clear(book_t* b) noexcept nogil
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


cdef inline uint32_t orders_find(const orders_t* o, uint64_t order_id, uint32_t* slot) noexcept nogil:
    """Number of the order and its slot, or 0 and the empty slot where it would go."""
    cdef uint32_t tag = orders_tag(order_id)
    cdef uint32_t i = tag >> o.shift
    cdef uint32_t number
    while True:
        number = o.slots[i].order
        if number == 0 or (o.slots[i].tag == tag and o.orders[number].order_id == order_id):
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

cdef inline uint32_t side_find(const side_t* s, int64_t key) noexcept nogil:
    """Number of keys below `key`: its place, counted from the worst.

    The eight best are counted without a branch, because how far from the best an order lands cannot be predicted.
    """
    cdef const int64_t* near = s.keys + s.count - SIDE_NEAR
    cdef const int64_t* first
    cdef uint32_t left
    cdef uint32_t half
    cdef uint32_t count = (
        <uint32_t> (near[0] < key) + <uint32_t> (near[1] < key) + <uint32_t> (near[2] < key) + <uint32_t> (near[3] < key)
        + <uint32_t> (near[4] < key) + <uint32_t> (near[5] < key) + <uint32_t> (near[6] < key) + <uint32_t> (near[7] < key)
    )
    if likely(count != 0):
        return s.count - SIDE_NEAR + count
    # Binary search without a branch on the comparison, over the keys before those eight.
    first = s.keys
    left = s.count - SIDE_NEAR
    while left > 1:
        half = left >> 1
        first += half if first[half - 1] < key else 0
        left -= half
    return <uint32_t> (first - s.keys) + (left == 1 and first[0] < key)


cdef inline int64_t side_size(const book_t* b, const side_t* s, uint32_t place, int64_t key) noexcept nogil:
    """Lots of the level with this key, whose place would be `place`; 0 where there is none."""
    if place < s.count and s.keys[place] == key:
        return b.orders.levels[s.levels[place]].size
    return 0


cdef inline const level_t* side_best(const book_t* b, int side_index) noexcept nogil:
    """Best level; the unused level 0 (size 0) when the side is empty, which is what stands in front of the first."""
    cdef const side_t* s = &b.sides[side_index]
    return &b.orders.levels[(s.levels + s.count - 1)[0]]


# ---- changes ----

cdef inline uint32_t book_put_level(book_t* b, side_t* s, uint32_t place, int64_t key) noexcept nogil:
    """Insert a level without orders and size at its place; room is certain. Returns its number."""
    cdef orders_t* o = b.orders
    cdef uint32_t level = o.free_level
    cdef uint32_t tail = s.count - place
    cdef level_t* l
    if level:
        l = &o.levels[level]
        o.free_level = l.front
    else:
        o.used_levels += 1
        level = o.used_levels
        l = &o.levels[level]
    o.live_levels += 1
    l.key = key
    l.size = 0
    l.front = l.back = l.count = l.own = 0
    if tail:
        memmove(s.keys + place + 1, s.keys + place, tail * sizeof(int64_t))
        memmove(s.levels + place + 1, s.levels + place, tail * sizeof(uint32_t))
    s.keys[place] = key
    s.levels[place] = level
    s.count += 1
    return level


cdef inline uint64_t book_put(
    book_t* b, uint32_t slot, uint32_t place, uint64_t order_id, int8_t side, int64_t price, int64_t size
) noexcept nogil:
    """Append an order whose slot and place on its side are known; room is certain. Returns its arrival number."""
    cdef orders_t* o = b.orders
    cdef side_t* s = &b.sides[side < 0]
    cdef int64_t key = price * side
    cdef uint32_t number
    cdef uint32_t level
    cdef level_t* l
    cdef order_t* order
    if place < s.count and s.keys[place] == key:
        level = s.levels[place]
        l = &o.levels[level]
    else:
        level = book_put_level(b, s, place, key)
        l = &o.levels[level]
    if o.free_order:
        number = o.free_order
        order = &o.orders[number]
        o.free_order = order.after
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


cdef inline void book_drop_level(book_t* b, side_t* s, uint32_t level) noexcept nogil:
    """Take an empty level off its side and return it to the pool."""
    cdef orders_t* o = b.orders
    cdef int64_t key = o.levels[level].key
    cdef uint32_t place = s.count - 1
    cdef uint32_t tail
    if unlikely(s.keys[place] != key):
        place = side_find(s, key)
        tail = s.count - 1 - place
        memmove(s.keys + place, s.keys + place + 1, tail * sizeof(int64_t))
        memmove(s.levels + place, s.levels + place + 1, tail * sizeof(uint32_t))
    s.count -= 1
    o.levels[level].front = o.free_level
    o.free_level = level
    o.live_levels -= 1


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
        book_drop_level(b, &b.sides[order.side < 0], order.level)
    orders_erase(o, slot)
    order.after = o.free_order
    o.free_order = number
    o.live_orders -= 1
    b.live -= 1


cdef inline bint book_has_room(const book_t* b) noexcept nogil:
    """Whether one more order fits without allocation, wherever it goes."""
    return (
        b.orders.live_orders < b.orders.order_capacity
        and b.orders.live_levels < b.orders.level_capacity
        and b.sides[0].count < b.sides[0].capacity
        and b.sides[1].count < b.sides[1].capacity
    )


cdef inline int book_add(book_t* b, uint64_t order_id, int8_t side, int64_t price, int64_t size, book_change_t* out) noexcept nogil:
    cdef uint32_t slot
    cdef uint32_t place
    cdef int result
    cdef const side_t* s
    if unlikely(side != BUY and side != SELL):
        return RESULT_CORRUPT
    if unlikely(price < b.lowest):
        return RESULT_BAD_PRICE
    s = &b.sides[side < 0]
    place = side_find(s, price * side)
    if unlikely(size <= 0 or size > INT64_MAX - side_size(b, s, place, price * side)):
        return RESULT_BAD_SIZE
    if unlikely(orders_find(b.orders, order_id, &slot) != 0):
        return RESULT_DUPLICATE_ORDER
    if unlikely(not book_has_room(b)):
        result = book_grow(b)
        if result != RESULT_OK:
            return result
        orders_find(b.orders, order_id, &slot)
    out.stamp = book_put(b, slot, place, order_id, side, price, size)
    out.price = price
    out.size = size
    out.side = side
    out.top_changed = place == s.count - 1
    return RESULT_OK


cdef inline int book_reduce(book_t* b, uint64_t order_id, int64_t size, bint whole, book_change_t* out) noexcept nogil:
    """Take `size`, or all that is left, off an order."""
    cdef uint32_t slot
    cdef uint32_t number = orders_find(b.orders, order_id, &slot)
    cdef order_t* order = &b.orders.orders[number]
    cdef const side_t* s
    if unlikely(number == 0 or order.book != b.number):
        return RESULT_UNKNOWN_ORDER
    if whole:
        size = order.size
    elif unlikely(size <= 0 or size > order.size):
        return RESULT_BAD_SIZE
    s = &b.sides[order.side < 0]
    out.price = order.price
    out.size = size
    out.stamp = order.stamp
    out.side = order.side
    out.top_changed = s.keys[s.count - 1] == order.price * order.side
    book_take(b, slot, number, size)
    return RESULT_OK


cdef inline int book_replace(book_t* b, uint64_t order_id, uint64_t new_id, int64_t price, int64_t size, book_change_t* out) noexcept nogil:
    """The new order keeps the side and loses the place in the queue; new_id may equal order_id.

    With the same reference and price and no more lots the order stays where it is: the change is a cancel of the difference.
    """
    cdef uint32_t slot
    cdef uint32_t new_slot
    cdef uint32_t number = orders_find(b.orders, order_id, &slot)
    cdef order_t* order = &b.orders.orders[number]
    cdef int8_t side = order.side
    cdef int64_t at_price
    cdef const side_t* s
    cdef const level_t* best
    cdef int64_t best_key
    cdef int64_t best_size
    cdef int result
    if unlikely(number == 0 or order.book != b.number):
        return RESULT_UNKNOWN_ORDER
    if unlikely(price < b.lowest):
        return RESULT_BAD_PRICE
    if new_id == order_id and price == order.price and 0 < size <= order.size:
        s = &b.sides[side < 0]
        out.kind = KIND_CANCEL
        out.price = price
        out.size = order.size - size
        out.stamp = order.stamp
        out.side = side
        out.top_changed = out.size != 0 and s.keys[s.count - 1] == price * side
        book_take(b, slot, number, out.size)
        return RESULT_OK
    at_price = book_level_size(b, side, price) - (order.size if price == order.price else 0)
    if unlikely(size <= 0 or size > INT64_MAX - at_price):
        return RESULT_BAD_SIZE
    if unlikely(new_id != order_id and orders_find(b.orders, new_id, &new_slot) != 0):
        return RESULT_DUPLICATE_ORDER
    # The old order makes room for the new one; the level may need one more before the old one is gone.
    if unlikely(not book_has_room(b)):
        result = book_grow(b)
        if result != RESULT_OK:
            return result
        number = orders_find(b.orders, order_id, &slot)
        order = &b.orders.orders[number]
    best = side_best(b, side < 0)
    best_key = best.key
    best_size = best.size
    out.price = order.price
    out.size = order.size
    out.stamp = order.stamp
    out.side = side
    book_take(b, slot, number, order.size)
    orders_find(b.orders, new_id, &new_slot)
    out.new_stamp = book_put(b, new_slot, side_find(&b.sides[side < 0], price * side), new_id, side, price, size)
    out.new_price = price
    out.new_size = size
    best = side_best(b, side < 0)
    out.top_changed = best.key != best_key or best.size != best_size
    return RESULT_OK


cdef inline int book_level(book_t* b, int8_t side, int64_t price, int64_t size, book_change_t* out) noexcept nogil:
    """Set the total of a price level of a book by level; 0 removes it, also where it is not there."""
    cdef int64_t key
    cdef int64_t difference
    cdef side_t* s
    cdef level_t* l
    cdef uint32_t place
    cdef int result
    if unlikely(side != BUY and side != SELL):
        return RESULT_CORRUPT
    if unlikely(price < b.lowest):
        return RESULT_BAD_PRICE
    if unlikely(size < 0):
        return RESULT_BAD_SIZE
    key = price * side
    s = &b.sides[side < 0]
    place = side_find(s, key)
    out.price = price
    out.new_size = size
    out.stamp = 0
    out.side = side
    if place < s.count and s.keys[place] == key:
        l = &b.orders.levels[s.levels[place]]
        # Without a branch: neither the direction nor the place of the next change can be predicted.
        difference = size - l.size
        out.grew = difference > 0
        out.size = (difference ^ (difference >> 63)) - (difference >> 63)
        out.top_changed = (place == s.count - 1) & ((difference != 0) | (size == 0))
        l.size = size
        if size == 0:
            book_drop_level(b, s, s.levels[place])
        return RESULT_OK
    out.grew = size != 0
    out.size = size
    if size == 0:
        return RESULT_OK
    if unlikely(b.orders.live_levels == b.orders.level_capacity or s.count == s.capacity):
        result = book_grow(b)
        if result != RESULT_OK:
            return result
    b.orders.levels[book_put_level(b, s, place, key)].size = size
    out.top_changed = place == s.count - 1
    return RESULT_OK


cdef inline int book_apply_one(book_t* b, const event_t* e, book_change_t* out) noexcept nogil:
    """Apply an event as if it were a message of its own."""
    cdef int result
    cdef uint8_t kind = e.kind
    out.kind = kind
    out.top_changed = False
    if b.by_level:
        if likely(kind == KIND_LEVEL):
            result = book_level(b, e.side, e.price, e.size, out)
        else:
            result = book_apply_rare(b, e, out)
    elif kind == KIND_ADD:
        result = book_add(b, <uint64_t> e.order_id, e.side, e.price, e.size, out)
    elif kind == KIND_DELETE:
        result = book_reduce(b, <uint64_t> e.order_id, 0, True, out)
    elif kind == KIND_EXECUTE or kind == KIND_CANCEL:
        result = book_reduce(b, <uint64_t> e.order_id, e.size, False, out)
    elif kind == KIND_REPLACE:
        result = book_replace(b, <uint64_t> e.order_id, <uint64_t> e.new_order_id, e.price, e.size, out)
    else:
        result = book_apply_rare(b, e, out)
    b.counts[result] += 1
    return result


cdef inline int book_apply(book_t* b, const event_t* e, book_change_t* out) noexcept nogil:
    """Apply one event, whatever its symbol_id. Orders and levels are unchanged unless the result is RESULT_OK.

    RESULT_UNKNOWN_ORDER     execute, cancel, delete, replace of an order that this book does not hold
    RESULT_DUPLICATE_ORDER   add or replace with a reference that the table already holds
    RESULT_BAD_PRICE         price below 1 (below -2^63 + 1 where prices may be negative)
    RESULT_BAD_SIZE          size <= 0 (a level, a quote: < 0), more than the order has left, or a level beyond 2^63 - 1 lots
    RESULT_CORRUPT           add or level without a side
    RESULT_UNKNOWN_TYPE      level and quote events in a book by order, changes of orders in a book by level
    RESULT_NO_MEMORY         the tables could not grow
    Kinds that change no displayed order (trades, crosses, status, timers, own orders, ...) give RESULT_OK and no change.

    `out.top_changed` compares the top behind a message with that before it: it is false for every event that is continued,
    and for the last one it holds even if that one was refused. So nobody sees the states in between.
    """
    if unlikely(e.flags & FLAG_CONTINUED or b.open):
        return book_apply_part(b, e, out)
    return book_apply_one(b, e, out)


# ---- reading ----

cdef inline int64_t book_best_bid(const book_t* b) noexcept nogil:
    """Ticks; NO_PRICE when there is no bid, which is what stands in front of the first key."""
    return (b.sides[0].keys + b.sides[0].count - 1)[0]


cdef inline int64_t book_best_ask(const book_t* b) noexcept nogil:
    # Unsigned, because NO_PRICE is its own negative.
    return <int64_t> (0 - <uint64_t> (b.sides[1].keys + b.sides[1].count - 1)[0])


cdef inline int64_t book_best_bid_size(const book_t* b) noexcept nogil:
    """Lots; 0 when there is no bid."""
    return side_best(b, 0).size


cdef inline int64_t book_best_ask_size(const book_t* b) noexcept nogil:
    return side_best(b, 1).size


cdef inline int64_t book_level_size(const book_t* b, int8_t side, int64_t price) noexcept nogil:
    """Lots at a price, 0 where nothing rests; side is +1 or -1."""
    cdef const side_t* s = &b.sides[side < 0]
    return side_size(b, s, side_find(s, price * side), price * side)


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
    return (
        b.sides[0].count != 0 and b.sides[1].count != 0
        and b.sides[0].keys[b.sides[0].count - 1] > -b.sides[1].keys[b.sides[1].count - 1]
    )


cdef inline level_t* book_best_level(book_t* b, int side_index) noexcept nogil:
    """Best level of the bids (0) or asks (1); one of size 0 that belongs to no book when the side is empty."""
    return <level_t*> side_best(b, side_index)


cdef inline level_t* book_find_level(book_t* b, int8_t side, int64_t price) noexcept nogil:
    """The level at a price of side +1 or -1, or NULL; valid until the next change of the book."""
    cdef side_t* s = &b.sides[side < 0]
    cdef uint32_t place = side_find(s, price * side)
    if place < s.count and s.keys[place] == price * side:
        return &b.orders.levels[s.levels[place]]
    return NULL


cdef inline int64_t book_next_price(const book_t* b, int8_t side, int64_t price) noexcept nogil:
    """The best price of a side that is worse than `price`, which need not be a level; NO_PRICE when there is none."""
    cdef const side_t* s = &b.sides[side < 0]
    cdef int64_t key = (s.keys + side_find(s, price * side) - 1)[0]
    return <int64_t> (0 - <uint64_t> key) if side < 0 else key


cdef inline int64_t book_worst_price(const book_t* b, int8_t side) noexcept nogil:
    """The worst price of a side, NO_PRICE when it is empty."""
    cdef const side_t* s = &b.sides[side < 0]
    if s.count == 0:
        return NO_PRICE
    return -s.keys[0] if side < 0 else s.keys[0]


cdef inline uint64_t book_stamp(const book_t* b) noexcept nogil:
    """Arrival number of the next order: every order that rests now has a lower one."""
    return b.next_stamp


cdef inline const order_t* book_order(const book_t* b, uint64_t order_id) noexcept nogil:
    """The order, or NULL; valid until the next change."""
    cdef uint32_t slot
    cdef uint32_t number = orders_find(b.orders, order_id, &slot)
    if number == 0 or b.orders.orders[number].book != b.number:
        return NULL
    return &b.orders.orders[number]


@cython.final
cdef class OrderTable:
    cdef orders_t _o


cdef class _Book:
    cdef book_t* _b             # &_book, or a book of a set
    cdef book_t _book
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
