# cython: freethreading_compatible=True
"""Order books by order (L3) and by level (L2).

``OrderBook`` holds every displayed order with its place in the queue of its price level, and is driven by events of the kinds
add, execute, cancel, delete and replace. ``LevelBook`` holds the total of each price level, and is driven by level events (price
and new total; 0 removes) and quote events (both best prices: the book is one level a side from then on). Both take clear and gap.

What an event refers to and the book does not hold (unknown orders, duplicate references, sizes beyond what an order has left,
prices or sizes outside their range), and events of the other kind of book, give a result code, are counted and leave the book
untouched. Removing a level that is not there is no error: feeds by level do so where an order came and went between two messages.

A replace takes the old order out and puts the new one at the back of its level. Where it keeps reference and price and the size
does not grow (a modify downwards), the order keeps its place and its arrival number: in effect a cancel of the difference.

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
from libc.stdint cimport UINT32_MAX, uint16_t
from libc.string cimport memcpy, memset

cimport numpy as cnp

from fastcore._arrays cimport check_events, events_data
from fastcore._integers cimport as_int64, as_side, as_uint64
from fastcore.records cimport (
    FLAG_SNAPSHOT,
    KIND_CLEAR,
    KIND_GAP,
    NO_SYMBOL,
    RESULT_NO_MEMORY,
    RESULT_UNKNOWN_TYPE,
    fc_alloc,
    fc_free,
)

cdef extern from "fc_huge.h" nogil:
    void* fc_alloc_huge(size_t count, size_t size)

import numpy as np

from fastcore.errors import RESULTS, raise_result
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
_RESULT_NAMES = {0: "ok"} | {code: name for code, (name, _) in RESULTS.items()}
_MAX_ORDERS = 2**30
_BROKEN = (
    "",
    "keys of a side ascend strictly",
    "the key of a level is its place on the side",
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
    fc_free(o.slots)
    fc_free(o.orders)
    fc_free(o.levels)
    memset(o, 0, sizeof(orders_t))


cdef int orders_reserve(orders_t* o, uint64_t orders, uint64_t levels) noexcept nogil:
    cdef slot_t* slots
    cdef order_t* pool
    cdef level_t* level_pool
    cdef uint64_t n
    cdef uint32_t i, j, bits
    orders = orders if orders > 16 else 16
    levels = levels if levels > 16 else 16
    if orders > <uint64_t> 1 << 30 or levels > <uint64_t> 1 << 30:
        return RESULT_NO_MEMORY
    if orders > o.order_capacity:
        # One after the other, so that the old and the new of both never stand beside each other.
        n = next_power(2 * orders)
        if o.slots == NULL or n > <uint64_t> o.mask + 1:
            slots = <slot_t*> fc_alloc_huge(n, sizeof(slot_t))
            if slots == NULL:
                return RESULT_NO_MEMORY
            bits = 0
            while (<uint64_t> 1 << bits) < n:
                bits += 1
            if o.slots != NULL:
                for i in range(<uint64_t> o.mask + 1):
                    if o.slots[i].order:
                        j = o.slots[i].tag >> (32 - bits)
                        while slots[j].order:
                            j = (j + 1) & <uint32_t> (n - 1)
                        slots[j] = o.slots[i]
            fc_free(o.slots)
            o.slots = slots
            o.mask = <uint32_t> (n - 1)
            o.shift = 32 - bits
        pool = <order_t*> fc_alloc_huge(orders + 1, sizeof(order_t))
        if pool == NULL:
            return RESULT_NO_MEMORY
        if o.orders != NULL:
            memcpy(pool, o.orders, (<size_t> o.used_orders + 1) * sizeof(order_t))
        fc_free(o.orders)
        o.orders = pool
        o.order_capacity = <uint32_t> orders
        o.growths += 1
    if levels > o.level_capacity:
        level_pool = <level_t*> fc_alloc_huge(levels + 1, sizeof(level_t))
        if level_pool == NULL:
            return RESULT_NO_MEMORY
        if o.levels != NULL:
            memcpy(level_pool, o.levels, (<size_t> o.used_levels + 1) * sizeof(level_t))
        fc_free(o.levels)
        o.levels = level_pool
        o.level_capacity = <uint32_t> levels
        o.growths += 1
    return RESULT_OK


cdef void side_free(side_t* s, bint borrowed) noexcept nogil:
    if s.keys != NULL and not borrowed:
        fc_free(s.keys - SIDE_NEAR)
        fc_free(s.levels - SIDE_NEAR)


cdef void side_use(side_t* s, int64_t* keys, uint32_t* levels, uint64_t capacity) noexcept nogil:
    # Arrays with SIDE_NEAR places in front, all of them 0.
    cdef int i
    for i in range(SIDE_NEAR):
        keys[i] = NO_PRICE
    s.keys = keys + SIDE_NEAR
    s.levels = levels + SIDE_NEAR
    s.capacity = <uint32_t> capacity


cdef int side_reserve(book_t* b, int side_index, uint64_t capacity) noexcept nogil:
    cdef side_t* s = &b.sides[side_index]
    cdef side_t old = s[0]
    cdef int64_t* keys
    cdef uint32_t* levels
    if capacity <= s.capacity:
        return RESULT_OK
    if capacity > <uint64_t> 1 << 30:
        return RESULT_NO_MEMORY
    keys = <int64_t*> fc_alloc(capacity + SIDE_NEAR, sizeof(int64_t))
    levels = <uint32_t*> fc_alloc(capacity + SIDE_NEAR, sizeof(uint32_t))
    if keys == NULL or levels == NULL:
        fc_free(keys)
        fc_free(levels)
        return RESULT_NO_MEMORY
    side_use(s, keys, levels, capacity)
    if s.count:
        memcpy(s.keys, old.keys, s.count * sizeof(int64_t))
        memcpy(s.levels, old.levels, s.count * sizeof(uint32_t))
    side_free(&old, b.borrowed[side_index])
    b.borrowed[side_index] = False
    return RESULT_OK


cdef int book_init_at(book_t* b, orders_t* o, uint32_t symbol_id, uint32_t levels, void* memory) noexcept nogil:
    cdef size_t places = <size_t> levels + SIDE_NEAR
    cdef int64_t* keys = <int64_t*> memory
    cdef int i
    memset(b, 0, sizeof(book_t))
    b.orders = o
    b.symbol_id = symbol_id
    b.lowest = 1
    for i in range(2):
        if memory == NULL:
            if side_reserve(b, i, levels) != RESULT_OK:
                book_free(b)
                return RESULT_NO_MEMORY
        else:
            # Keys and levels of the bids, then those of the asks.
            side_use(&b.sides[i], keys, <uint32_t*> (keys + places), levels)
            keys += places + (places + 1) // 2
            b.borrowed[i] = True
    b.number = o.books
    o.books += 1
    return RESULT_OK


cdef int book_init(book_t* b, orders_t* o, uint32_t symbol_id, uint32_t levels) noexcept nogil:
    return book_init_at(b, o, symbol_id, levels if levels > 8 else 8, NULL)


cdef void book_free(book_t* b) noexcept nogil:
    cdef int i
    if b.orders != NULL:
        book_clear(b)
    for i in range(2):
        side_free(&b.sides[i], b.borrowed[i])
    memset(b, 0, sizeof(book_t))


cdef int book_grow(book_t* b) noexcept nogil:
    cdef orders_t* o = b.orders
    cdef uint64_t orders = o.order_capacity
    cdef uint64_t levels = o.level_capacity
    cdef int i, result
    if not b.by_level and o.live_orders >= orders:
        orders *= 2
    if o.live_levels >= levels:
        levels *= 2
    result = orders_reserve(o, orders, levels)
    for i in range(2):
        if result == RESULT_OK and b.sides[i].count >= b.sides[i].capacity:
            result = side_reserve(b, i, <uint64_t> b.sides[i].capacity * 2)
    return result


cdef void book_clear(book_t* b) noexcept nogil:
    cdef orders_t* o = b.orders
    cdef uint32_t level, number, slot
    cdef int i
    for i in range(2):
        while b.sides[i].count:
            level = b.sides[i].levels[b.sides[i].count - 1]
            if b.by_level:
                book_drop_level(b, &b.sides[i], level)
                continue
            number = o.levels[level].front
            orders_find(o, o.orders[number].order_id, &slot)
            book_take(b, slot, number, o.orders[number].size)
    b.stale = False


# ---- rare events ----

cdef void set_best(book_t* b, int side_index, int64_t price, int64_t size) noexcept nogil:
    # One level, or none for NO_PRICE; room is certain.
    cdef side_t* s = &b.sides[side_index]
    cdef level_t* l
    cdef uint32_t keep = price != NO_PRICE
    while s.count > keep:
        book_drop_level(b, s, s.levels[s.count - 1])
    if not keep:
        return
    if s.count == 0:
        book_put_level(b, s, 0, 0)
    l = &b.orders.levels[s.levels[0]]
    s.keys[0] = l.key = -price if side_index else price
    l.size = size


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
    if kind == KIND_CLEAR:
        out.top_changed = b.sides[0].count != 0 or b.sides[1].count != 0
        book_clear(b)
    elif kind == KIND_GAP:
        b.stale = True
    elif b.by_level:
        if kind == KIND_QUOTE:
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
    result = book_apply_one(b, e, out)
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


cdef uint64_t book_hash(const book_t* b) noexcept nogil:
    cdef const orders_t* o = b.orders
    cdef const level_t* l
    cdef const order_t* order
    cdef uint64_t h = 0
    cdef uint32_t place, number
    cdef int i
    for i in range(2):
        h = mix(h, b.sides[i].count)
        place = b.sides[i].count
        while place:
            place -= 1
            l = &o.levels[b.sides[i].levels[place]]
            if b.by_level:
                h = mix(mix(h, <uint64_t> (-l.key if i else l.key)), <uint64_t> l.size)
            number = l.front
            while number:
                order = &o.orders[number]
                h = mix(mix(mix(h, order.order_id), <uint64_t> order.price), <uint64_t> order.size)
                number = order.after
    return h


cdef int book_check(const book_t* b) noexcept nogil:
    cdef const orders_t* o = b.orders
    cdef const side_t* s
    cdef const level_t* l
    cdef const order_t* order
    cdef uint64_t total = 0
    cdef uint64_t count
    cdef uint64_t size
    cdef uint32_t place, number, before, slot
    cdef int i
    cdef int8_t side
    for i in range(2):
        s = &b.sides[i]
        side = -1 if i else 1
        for place in range(s.count):
            if place and s.keys[place - 1] >= s.keys[place]:
                return 1
            l = &o.levels[s.levels[place]]
            if l.key != s.keys[place]:
                return 2
            if b.by_level:
                if l.front or l.back or l.count:
                    return 12
                if l.size < 0:
                    return 13
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
                if order.level != s.levels[place] or order.price * side != l.key or order.side != side or order.book != b.number:
                    return 5
                if order.stamp >= b.next_stamp or (before and o.orders[before].stamp >= order.stamp):
                    return 6
                if order.size <= 0:
                    return 7
                size += <uint64_t> order.size
                count += 1
                if orders_find(o, order.order_id, &slot) != number:
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
    return 0 if total == b.live else 11


cdef void fill_depth(const book_t* b, int side_index, Py_ssize_t n, level_row_t* out) noexcept nogil:
    """The best n levels of a side, best first; what does not exist has no price."""
    cdef const side_t* s = &b.sides[side_index]
    cdef const level_t* l
    cdef Py_ssize_t i
    for i in range(n):
        if i < <Py_ssize_t> s.count:
            l = &b.orders.levels[s.levels[s.count - 1 - i]]
            out[i].price = -l.key if side_index else l.key
            out[i].size = l.size
            out[i].orders = l.count
        else:
            out[i].price = NO_PRICE
            out[i].size = 0
            out[i].orders = 0


cdef inline bint concerns(const event_t* e, uint32_t only, bint filtered) noexcept nogil:
    return not filtered or e.symbol_id == only or (e.symbol_id == NO_SYMBOL and (e.kind == KIND_CLEAR or e.kind == KIND_GAP))


cdef Py_ssize_t apply_batch(book_t* b, const event_t* e, Py_ssize_t n, event_t* quotes, bint filtered) noexcept nogil:
    """Apply n events; a quote event into `quotes` (unless NULL) for each change at the top. Returns their number."""
    cdef Py_ssize_t i
    cdef Py_ssize_t written = 0
    cdef book_change_t change
    # Beyond a few thousand orders the slots are not in the nearest cache.
    cdef bint by_level = b.by_level
    cdef bint far = b.orders.mask > 16_384 and not by_level
    for i in range(n):
        prefetch(e + i + 32)  # the processor's own stops at the end of a page: every 64 events
        if far and i + 8 < n:
            orders_prefetch(b.orders, <uint64_t> e[i + 8].order_id)
        if not concerns(&e[i], b.symbol_id, filtered):
            continue
        if by_level and e[i].kind == KIND_LEVEL and not e[i].flags & FLAG_CONTINUED and not b.open:
            # What book_apply does with it, without the call: this is nearly every event of such a feed.
            change.top_changed = False
            b.counts[book_level(b, e[i].side, e[i].price, e[i].size, &change)] += 1
        else:
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
    cdef const side_t* s = &b.sides[side_index]
    cdef uint32_t place
    for place in range(s.count):
        if b.orders.levels[s.levels[place]].size == 0:
            return -s.keys[place] if side_index else s.keys[place]
    return NO_PRICE


cdef uint64_t book_snapshot_rows(const book_t* b) noexcept nogil:
    cdef uint64_t rows = 1 + b.stale
    cdef int n
    if not b.by_level:
        return rows + b.live
    n = (sizeless(b, 0) != NO_PRICE) + (sizeless(b, 1) != NO_PRICE)
    return rows + b.sides[0].count + b.sides[1].count - n + (n != 0)


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
    cdef uint32_t place, number
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
        # Worst level first: each new one is the best then, and goes to the end of its side without moving the others.
        for place in range(b.sides[i].count):
            l = &o.levels[b.sides[i].levels[place]]
            if b.by_level and l.size:
                row = snapshot_row(b, KIND_LEVEL, out)
                row.side = SELL if i else BUY
                row.price = -l.key if i else l.key
                row.size = l.size
                out += 1
            number = l.front
            while number:
                order = &o.orders[number]
                row = snapshot_row(b, KIND_ADD, out)
                row.side = order.side
                row.price = order.price
                row.size = order.size
                row.order_id = <int64_t> order.order_id
                out += 1
                number = order.after
    if b.stale:
        row = snapshot_row(b, KIND_GAP, out)
        row.payload[1] = -1
        out += 1
    row = out - 1
    row.flags = FLAG_SNAPSHOT
    return out


# ---- Python ----

cdef uint64_t checked_count(object value, str name, uint64_t low) except? 0:
    if not low <= value <= _MAX_ORDERS:
        raise ValueError(f"{name} must lie in {low}..2**30: {name}={value}")
    return value


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
        if orders_reserve(&self._o, checked_count(orders, "orders", 0), checked_count(levels, "levels", 0)) != RESULT_OK:
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
            (<uint64_t> self._o.mask + 1) * sizeof(slot_t)
            + (<uint64_t> self._o.order_capacity + 1) * sizeof(order_t)
            + (<uint64_t> self._o.level_capacity + 1) * sizeof(level_t)
        )


# ---- what the faces of both kinds of book share ----

cdef uint32_t checked_symbol(object symbol_id) except? 0xFFFFFFFF:
    if symbol_id is None:
        return 0
    if not 0 <= symbol_id < UINT32_MAX:
        raise ValueError(f"symbol_id must lie in 0..2**32-2: symbol_id={symbol_id}")
    return symbol_id


cdef int make_book(_Book book, object symbol_id, OrderTable orders, bint by_level, bint signed_prices) except -1:
    book.symbol_id = symbol_id
    book.orders = orders
    if book_init(&book._book, &orders._o, checked_symbol(symbol_id), 256) != RESULT_OK:
        raise MemoryError("no memory for an order book")
    book._book.by_level = by_level
    if signed_prices:
        book._book.lowest = -INT64_MAX
    book._b = &book._book
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
    with nogil:
        written = apply_batch(b, e, n, first, filtered) if rows == 1 else levels_batch(b, e, n, first, filtered)
    return written


cdef int64_t checked_level(const book_t* b, object side, object price) except? -1:
    if side != 1 and side != -1:
        raise ValueError(f"side must be 1 (buy) or -1 (sell): side={side}")
    if not b.lowest <= price <= INT64_MAX:
        raise ValueError(f"price must lie in {'1' if b.lowest == 1 else '-2**63+1'}..2**63-1: price={price}")
    return price


cdef inline object price_or_none(int64_t price):
    return None if price == NO_PRICE else price


cdef object apply_single(book_t* b, const event_t* e, str message):
    # One event from Python numbers: raise what its result stands for.
    cdef book_change_t change
    cdef int result = book_apply(b, e, &change)
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
    book_free(&view._book)
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
        if self._b == &self._book:
            book_free(self._b)

    def __len__(self):
        return <Py_ssize_t> self._b.sides[0].count + self._b.sides[1].count if self._b.by_level else <Py_ssize_t> self._b.live

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
        memcpy(before, self._b.counts, sizeof(before))
        with nogil:
            apply_batch(self._b, e, n, NULL, filtered)
        return result_counts(self._b.counts, before)

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
        if not 1 <= levels <= 1000:
            raise ValueError(f"levels must lie in 1..1000: levels={levels}")
        at_array = np.ascontiguousarray(marks, dtype=np.int64)
        if at_array.ndim != 1 or (at_array.size and (at_array[0] < 0 or at_array[at_array.size - 1] > n or np.any(np.diff(at_array) < 0))):
            raise ValueError(f"marks must be one-dimensional, ascending, in 0..{n}: shape={at_array.shape}")
        rows = np.empty((at_array.size, 2, levels), LEVEL_DTYPE)
        cdef const int64_t* at = <const int64_t*> cnp.PyArray_DATA(at_array)
        cdef level_row_t* out = <level_row_t*> cnp.PyArray_DATA(rows)
        cdef Py_ssize_t m = at_array.size
        cdef Py_ssize_t width = levels
        cdef Py_ssize_t i
        cdef Py_ssize_t done = 0
        with nogil:
            for i in range(m):
                apply_batch(self._b, e + done, at[i] - done, NULL, filtered)
                done = at[i]
                fill_depth(self._b, 0, width, out + 2 * i * width)
                fill_depth(self._b, 1, width, out + (2 * i + 1) * width)
            apply_batch(self._b, e + done, n - done, NULL, filtered)
        return rows

    def clear(self):
        """Empty the book, which is no longer stale then. Counts go on."""
        book_clear(self._b)

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
        rows = np.empty(book_snapshot_rows(self._b), EVENT_DTYPE)
        book_snapshot(self._b, <event_t*> cnp.PyArray_DATA(rows))
        rows["seq"], rows["exch_ns"], rows["local_ns"] = seq, exch_ns, local_ns
        return rows

    @property
    def best_bid(self):
        """Best bid price in ticks, None when there is no bid."""
        return price_or_none(book_best_bid(self._b))

    @property
    def best_ask(self):
        """Best ask price in ticks, None when there is no ask."""
        return price_or_none(book_best_ask(self._b))

    @property
    def best_bid_size(self):
        """Lots at the best bid, 0 when there is none."""
        return book_best_bid_size(self._b)

    @property
    def best_ask_size(self):
        """Lots at the best ask, 0 when there is none."""
        return book_best_ask_size(self._b)

    @property
    def crossed(self):
        """Whether the best bid is above the best ask."""
        return book_crossed(self._b)

    @property
    def locked(self):
        """Whether the best bid equals the best ask."""
        cdef int64_t bid = book_best_bid(self._b)
        return bid != NO_PRICE and bid == book_best_ask(self._b)

    @property
    def stale(self):
        """Whether messages are missing since the last clear."""
        return self._b.stale != 0

    @property
    def levels(self):
        """Numbers of price levels: (bids, asks)."""
        return self._b.sides[0].count, self._b.sides[1].count

    @property
    def counts(self):
        """Events since the book was made, by result: a dict of str to int without zeros.

        ``ok`` (applied, or of a kind that changes nothing displayed), ``unknown order`` (execute, cancel, delete or replace of
        an order that is not here), ``duplicate order`` (a reference that is in use), ``price outside range`` (not positive),
        ``size outside range`` (by order: not positive, more than the order has left, or a level beyond 2**63-1; by level:
        negative), ``corrupt`` (an add or a level without a side), ``unknown message type`` (an event that belongs to the other
        kind of book), ``out of memory``. All but ``ok`` left the book untouched.
        """
        return result_counts(self._b.counts, NULL)

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
        if levels is not None and levels < 0:
            raise ValueError(f"levels must not be negative: levels={levels}")
        sides = []
        for i in range(2):
            n = self._b.sides[i].count
            a = np.empty(n if levels is None else min(n, levels), LEVEL_DTYPE)
            fill_depth(self._b, i, a.size, <level_row_t*> cnp.PyArray_DATA(a))
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
        fill_depth(self._b, 0, n, rows)
        fill_depth(self._b, 1, n, rows + n)
        return min(n, <Py_ssize_t> self._b.sides[0].count), min(n, <Py_ssize_t> self._b.sides[1].count)

    def level_size(self, side, price):
        """Return the lots that rest at a price (ticks) of a side (1 or -1); 0 where there is no level."""
        cdef int64_t ticks = checked_level(self._b, side, price)
        return book_level_size(self._b, side, ticks)

    def state_hash(self):
        """Return a 64-bit hash of all that rests, in the order of its priority.

        By order: reference, price and size of each order; by level: price and size of each level. Equal books of one kind
        give equal numbers on every platform, however they came about.
        """
        return book_hash(self._b)

    def check(self):
        """Walk through the whole structure; raises AssertionError with the rule that does not hold."""
        cdef int broken = book_check(self._b)
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
        return self._b.next_stamp

    def order(self, order_id):
        """Return (side, price, size, stamp) of a resting order, None where there is no such order."""
        cdef const order_t* order = book_order(self._b, order_id)
        if order == NULL:
            return None
        return order.side, order.price, order.size, order.stamp

    def position(self, order_id):
        """Return (orders ahead, lots ahead) of a resting order in its queue, None where there is no such order."""
        cdef const order_t* order = book_order(self._b, order_id)
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
        cdef uint32_t place
        cdef uint32_t number = 0
        cdef const side_t* s
        cdef const level_t* l
        cdef queue_row_t* out
        cdef Py_ssize_t i = 0
        cdef int64_t key = checked_level(self._b, side, price) * <int64_t> side
        s = &self._b.sides[0 if side == 1 else 1]
        place = side_find(s, key)
        count = 0
        if place < s.count and s.keys[place] == key:
            l = &self._b.orders.levels[s.levels[place]]
            number = l.front
            count = l.count
        rows = np.empty(count, QUEUE_DTYPE)
        out = <queue_row_t*> cnp.PyArray_DATA(rows)
        while number:
            out[i].order_id = self._b.orders.orders[number].order_id
            out[i].size = self._b.orders.orders[number].size
            out[i].stamp = self._b.orders.orders[number].stamp
            number = self._b.orders.orders[number].after
            i += 1
        return rows


@cython.final
@cython.no_gc_clear
cdef class LevelBook(_Book):
    """LevelBook(symbol_id=None, orders=None, *, signed_prices=False)\n--\n\n
    Book by level (L2) of one symbol: the total of each price, without its orders.

    Parameters
    ----------
    symbol_id : int, optional
        Events of other symbols are passed over by the batch calls. None applies every event.
    orders : OrderTable, optional
        Table to keep the levels in, which several books may share. None makes a private one.
    signed_prices : bool, default False
        Take negative prices and 0 too.

    Raises
    ------
    ValueError
        If symbol_id is outside 0..2**32-2.

    Notes
    -----
    Prices are ticks and sizes lots. A quote leaves one level a side, with the size that it says, 0 where the feed has no
    sizes; a level event of size 0 removes its level. The length is the number of levels. Messages of several events, gaps
    and crossed books are in the text of the module.

    **Thread safety**: one thread owns a book and its table.
    """

    def __cinit__(self, symbol_id=None, OrderTable orders=None, *, signed_prices=False):
        make_book(self, symbol_id, OrderTable(1) if orders is None else orders, True, signed_prices)

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
        """Set both best prices (ticks; None empties the side) and sizes (lots), and remove all other levels."""
        cdef event_t e
        memset(&e, 0, sizeof(e))
        e.kind = KIND_QUOTE
        e.symbol_id = self._b.symbol_id
        e.bid = NO_PRICE if bid is None else as_int64(bid)
        e.ask = NO_PRICE if ask is None else as_int64(ask)
        e.bid_size = as_int64(bid_size)
        e.ask_size = as_int64(ask_size)
        apply_single(self._b, &e, f"bid={bid} ask={ask} bid_size={bid_size} ask_size={ask_size}")
