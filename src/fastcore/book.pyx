# cython: freethreading_compatible=True
"""Order-by-order (L3) order book.

Every displayed order is held with its place in the queue of its price level. A book is driven by events
(add, execute, cancel, delete, replace, clear) in batches; what an event refers to and the book does not hold
(unknown orders, duplicate references, sizes beyond what an order has left, prices or sizes that are not positive)
gives a result code, is counted and leaves the book untouched. Crossed and locked states are kept as they come.

Memory is bounded by the live orders: what a delete or a complete execution frees is used again at once.
"""

cimport cython
from libc.stdint cimport UINT32_MAX
from libc.string cimport memcpy, memset

cimport numpy as cnp

from fastcore._arrays cimport check_events, events_data
from fastcore._integers cimport as_int64, as_side, as_uint64
from fastcore._types cimport (
    KIND_COUNT,
    NO_SIDE,
    RESULT_NO_MEMORY,
    fc_alloc,
    fc_free,
)

import numpy as np

from fastcore.errors import RESULTS, raise_result
from fastcore.records import EVENT_DTYPE, QUOTE_DTYPE, REPLACE_DTYPE

cnp.import_array()

__all__ = ["LEVEL_DTYPE", "QUEUE_DTYPE", "OrderBook", "OrderTable"]

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
        n = next_power(2 * orders)
        slots = <slot_t*> fc_alloc(n, sizeof(slot_t))
        pool = <order_t*> fc_alloc(orders + 1, sizeof(order_t))
        if slots == NULL or pool == NULL:
            fc_free(slots)
            fc_free(pool)
            return RESULT_NO_MEMORY
        bits = 0
        while (<uint64_t> 1 << bits) < n:
            bits += 1
        if o.orders != NULL:
            memcpy(pool, o.orders, (<size_t> o.used_orders + 1) * sizeof(order_t))
            for i in range(o.mask + 1):
                if o.slots[i].order:
                    j = o.slots[i].tag >> (32 - bits)
                    while slots[j].order:
                        j = (j + 1) & <uint32_t> (n - 1)
                    slots[j] = o.slots[i]
        fc_free(o.slots)
        fc_free(o.orders)
        o.slots = slots
        o.orders = pool
        o.mask = <uint32_t> (n - 1)
        o.shift = 32 - bits
        o.order_capacity = <uint32_t> orders
        o.growths += 1
    if levels > o.level_capacity:
        level_pool = <level_t*> fc_alloc(levels + 1, sizeof(level_t))
        if level_pool == NULL:
            return RESULT_NO_MEMORY
        if o.levels != NULL:
            memcpy(level_pool, o.levels, (<size_t> o.used_levels + 1) * sizeof(level_t))
        fc_free(o.levels)
        o.levels = level_pool
        o.level_capacity = <uint32_t> levels
        o.growths += 1
    return RESULT_OK


cdef void side_free(side_t* s) noexcept nogil:
    if s.keys != NULL:
        fc_free(s.keys - SIDE_NEAR)
    fc_free(s.levels)


cdef int side_reserve(side_t* s, uint64_t capacity) noexcept nogil:
    cdef int64_t* keys
    cdef uint32_t* levels
    cdef int i
    if capacity <= s.capacity:
        return RESULT_OK
    if capacity > <uint64_t> 1 << 30:
        return RESULT_NO_MEMORY
    keys = <int64_t*> fc_alloc(capacity + SIDE_NEAR, sizeof(int64_t))
    levels = <uint32_t*> fc_alloc(capacity, sizeof(uint32_t))
    if keys == NULL or levels == NULL:
        fc_free(keys)
        fc_free(levels)
        return RESULT_NO_MEMORY
    for i in range(SIDE_NEAR):
        keys[i] = NO_PRICE
    if s.count:
        memcpy(keys + SIDE_NEAR, s.keys, s.count * sizeof(int64_t))
        memcpy(levels, s.levels, s.count * sizeof(uint32_t))
    side_free(s)
    s.keys = keys + SIDE_NEAR
    s.levels = levels
    s.capacity = <uint32_t> capacity
    return RESULT_OK


cdef int book_init(book_t* b, orders_t* o, uint32_t symbol_id, uint32_t levels) noexcept nogil:
    cdef int i
    memset(b, 0, sizeof(book_t))
    b.orders = o
    b.symbol_id = symbol_id
    for i in range(2):
        if side_reserve(&b.sides[i], levels if levels > 8 else 8) != RESULT_OK:
            book_free(b)
            return RESULT_NO_MEMORY
    b.number = o.books
    o.books += 1
    return RESULT_OK


cdef void book_free(book_t* b) noexcept nogil:
    cdef int i
    if b.orders != NULL:
        book_clear(b)
    for i in range(2):
        side_free(&b.sides[i])
    memset(b, 0, sizeof(book_t))


cdef int book_grow(book_t* b) noexcept nogil:
    cdef orders_t* o = b.orders
    cdef uint64_t orders = o.order_capacity
    cdef uint64_t levels = o.level_capacity
    cdef int i, result
    if o.live_orders >= orders:
        orders *= 2
    if o.live_levels >= levels:
        levels *= 2
    result = orders_reserve(o, orders, levels)
    for i in range(2):
        if result == RESULT_OK and b.sides[i].count >= b.sides[i].capacity:
            result = side_reserve(&b.sides[i], <uint64_t> b.sides[i].capacity * 2)
    return result


cdef void book_clear(book_t* b) noexcept nogil:
    cdef orders_t* o = b.orders
    cdef uint32_t number, slot
    cdef int i
    for i in range(2):
        while b.sides[i].count:
            number = o.levels[b.sides[i].levels[b.sides[i].count - 1]].front
            orders_find(o, o.orders[number].order_id, &slot)
            book_take(b, slot, number, o.orders[number].size)


# ---- walking ----

cdef inline uint64_t mix(uint64_t h, uint64_t value) noexcept nogil:
    # One round of splitmix64 over the running value.
    h = (h ^ value) + <uint64_t> 0x9E3779B97F4A7C15
    h = (h ^ (h >> 30)) * <uint64_t> 0xBF58476D1CE4E5B9
    h = (h ^ (h >> 27)) * <uint64_t> 0x94D049BB133111EB
    return h ^ (h >> 31)


cdef uint64_t book_hash(const book_t* b) noexcept nogil:
    cdef const orders_t* o = b.orders
    cdef const order_t* order
    cdef uint64_t h = 0
    cdef uint32_t place, number
    cdef int i
    for i in range(2):
        h = mix(h, b.sides[i].count)
        place = b.sides[i].count
        while place:
            place -= 1
            number = o.levels[b.sides[i].levels[place]].front
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


cdef Py_ssize_t apply_batch(book_t* b, const event_t* e, Py_ssize_t n, event_t* quotes, uint32_t only, bint filtered) noexcept nogil:
    """Apply n events; a quote event into `quotes` (unless NULL) for each change at the top. Returns their number."""
    cdef Py_ssize_t i
    cdef Py_ssize_t written = 0
    cdef book_change_t change
    cdef event_t* q
    # Beyond a few thousand orders the slots are not in the nearest cache.
    cdef bint far = b.orders.mask > 16_384
    for i in range(n):
        if far and i + 8 < n:
            orders_prefetch(b.orders, <uint64_t> e[i + 8].order_id)
        if filtered and e[i].symbol_id != only:
            continue
        if book_apply(b, &e[i], &change) == RESULT_OK and quotes != NULL and change.top_changed:
            q = &quotes[written]
            q.seq = 0
            q.exch_ns = e[i].exch_ns
            q.local_ns = e[i].local_ns
            q.symbol_id = e[i].symbol_id
            q.kind = KIND_QUOTE
            q.side = NO_SIDE
            q.flags = 0
            q.bid = book_best_bid(b)
            q.ask = book_best_ask(b)
            q.bid_size = book_best_bid_size(b)
            q.ask_size = book_best_ask_size(b)
            written += 1
    return written


# ---- Python ----

cdef uint64_t checked_count(object value, str name, uint64_t low) except? 0:
    if not low <= value <= _MAX_ORDERS:
        raise ValueError(f"{name} must lie in {low}..2**30: {name}={value}")
    return value


@cython.final
cdef class OrderTable:
    """Orders and levels of one or several books, keyed by the order reference of the venue.

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


cdef object apply_one(
    book_t* b, uint8_t kind, object order_id, object side, object price, object size, object new_order_id
):
    # Build one event from Python numbers, apply it, raise what its result stands for.
    cdef event_t e
    cdef book_change_t change
    cdef int result
    memset(&e, 0, sizeof(e))
    e.kind = kind
    e.symbol_id = b.symbol_id
    e.side = as_side(side)
    e.order_id = <int64_t> as_uint64(order_id)
    e.price = as_int64(price)
    e.size = as_int64(size)
    if kind == KIND_REPLACE:
        e.new_order_id = <int64_t> as_uint64(new_order_id)
    result = book_apply(b, &e, &change)
    if result != RESULT_OK:
        raise_result(result, f"order_id={order_id} side={side} price={price} size={size} new_order_id={new_order_id}")
    return None


# Without tp_clear: the table must outlive the book, and neither can be part of a cycle.
@cython.final
@cython.no_gc_clear
cdef class OrderBook:
    """Order-by-order book of one symbol.

    Parameters
    ----------
    symbol_id : int, optional
        Events of other symbols are passed over by the batch calls. None applies every event.
    orders : OrderTable, optional
        Table to keep the orders in; books that share one must not see the same order reference twice.
        None makes a private table.

    Raises
    ------
    ValueError
        If symbol_id is outside 0..2**32-2.

    Notes
    -----
    Prices are ticks and sizes lots. What malformed events do is listed at `counts`.

    **Thread safety**: one thread owns a book and its table.
    """

    def __cinit__(self, symbol_id=None, OrderTable orders=None):
        if symbol_id is not None and not 0 <= symbol_id < UINT32_MAX:
            raise ValueError(f"symbol_id must lie in 0..2**32-2: symbol_id={symbol_id}")
        self.symbol_id = symbol_id
        self._symbol = 0 if symbol_id is None else symbol_id
        self.orders = OrderTable() if orders is None else orders
        if book_init(&self._book, &self.orders._o, self._symbol, 256) != RESULT_OK:
            raise MemoryError("no memory for an order book")
        self._b = &self._book

    def __dealloc__(self):
        if self._b != NULL:
            book_free(self._b)

    def __len__(self):
        return self._book.live

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
        cdef uint64_t[32] before
        memcpy(before, self._book.counts, sizeof(before))
        with nogil:
            apply_batch(self._b, e, n, NULL, self._symbol, self.symbol_id is not None)
        return {name: self._book.counts[code] - before[code] for code, name in _RESULT_NAMES.items()
                if self._book.counts[code] != before[code]}

    def apply_into(self, events, quotes):
        """Apply a batch and write a quote event for each change of a best price or its size.

        Parameters
        ----------
        events : ndarray of EVENT_DTYPE, shape (n,), contiguous
        quotes : ndarray of EVENT_DTYPE or QUOTE_DTYPE, at least n rows, writable
            Receives events of kind quote: `bid`, `ask` (NO_PRICE for an empty side), `bid_size`, `ask_size`, the times
            and the symbol of the event that made the change.

        Returns
        -------
        int
            Quotes written.
        """
        cdef cnp.ndarray a = check_events(events, "events", False, _EVENT_DTYPES)
        cdef cnp.ndarray q = check_events(quotes, "quotes", True, _EVENT_DTYPES)
        cdef const event_t* e = events_data(a)
        cdef event_t* out = events_data(q)
        cdef Py_ssize_t n = a.shape[0]
        cdef Py_ssize_t written
        cdef bint filtered = self.symbol_id is not None
        if q.shape[0] < n:
            raise ValueError(f"quotes must have a row for each event: events={n} quotes={q.shape[0]}")
        if np.may_share_memory(events, quotes):
            raise ValueError("quotes must not share memory with events")
        with nogil:
            written = apply_batch(self._b, e, n, out, self._symbol, filtered)
        return written

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
        cdef bint filtered = self.symbol_id is not None
        with nogil:
            for i in range(m):
                apply_batch(self._b, e + done, at[i] - done, NULL, self._symbol, filtered)
                done = at[i]
                fill_depth(self._b, 0, width, out + 2 * i * width)
                fill_depth(self._b, 1, width, out + (2 * i + 1) * width)
            apply_batch(self._b, e + done, n - done, NULL, self._symbol, filtered)
        return rows

    def add(self, order_id, side, price, size):
        """Add an order at the back of its price level; raises BookError for a reference in use, ValueError for bad values."""
        apply_one(self._b, KIND_ADD, order_id, side, price, size, None)

    def execute(self, order_id, size):
        """Execute `size` lots of an order; raises BookError where it is unknown, ValueError beyond what is left."""
        apply_one(self._b, KIND_EXECUTE, order_id, 0, NO_PRICE, size, None)

    def cancel(self, order_id, size):
        """Take `size` lots off an order, which keeps its place; raises as `execute`."""
        apply_one(self._b, KIND_CANCEL, order_id, 0, NO_PRICE, size, None)

    def delete(self, order_id):
        """Remove an order; raises BookError where it is unknown."""
        apply_one(self._b, KIND_DELETE, order_id, 0, NO_PRICE, 0, None)

    def replace(self, order_id, new_order_id, price, size):
        """Replace an order by one of the same side at the back of its level; raises as `add` and `execute`."""
        apply_one(self._b, KIND_REPLACE, order_id, 0, price, size, new_order_id)

    def clear(self):
        """Remove all orders. Arrival numbers and counts go on."""
        book_clear(self._b)

    @property
    def best_bid(self):
        """Best bid price in ticks, None when there is no bid."""
        cdef int64_t price = book_best_bid(self._b)
        return None if price == NO_PRICE else price

    @property
    def best_ask(self):
        """Best ask price in ticks, None when there is no ask."""
        cdef int64_t price = book_best_ask(self._b)
        return None if price == NO_PRICE else price

    @property
    def best_bid_size(self):
        """Lots at the best bid, 0 when there is none."""
        return book_best_bid_size(self._b)

    @property
    def best_ask_size(self):
        """Lots at the best ask, 0 when there is none."""
        return book_best_ask_size(self._b)

    @property
    def levels(self):
        """Numbers of price levels: (bids, asks)."""
        return self._book.sides[0].count, self._book.sides[1].count

    @property
    def next_stamp(self):
        """Arrival number of the next order."""
        return self._book.next_stamp

    @property
    def counts(self):
        """Events since the book was made, by result: a dict of str to int without zeros.

        ``ok`` (applied, or of a kind that changes no displayed order), ``unknown order`` (execute, cancel, delete or
        replace of an order that is not here), ``duplicate order`` (a reference that is in use), ``price outside range``
        (not positive), ``size outside range`` (not positive, more than the order has left, or a level beyond 2**63-1),
        ``corrupt`` (an add without a side), ``unknown message type`` (level and quote events, which belong to a book by
        level), ``out of memory``. All but ``ok`` left the book untouched.
        """
        return {name: self._book.counts[code] for code, name in _RESULT_NAMES.items() if self._book.counts[code]}

    def depth(self, levels=None):
        """Return the best price levels.

        Parameters
        ----------
        levels : int, optional
            At most so many of each side; all by default.

        Returns
        -------
        (bids, asks) : ndarrays of LEVEL_DTYPE
            Best first: `price` (ticks), `size` (lots), `orders`.
        """
        if levels is not None and levels < 0:
            raise ValueError(f"levels must not be negative: levels={levels}")
        sides = []
        cdef int i
        for i in range(2):
            n = self._book.sides[i].count
            a = np.empty(n if levels is None else min(n, levels), LEVEL_DTYPE)
            fill_depth(self._b, i, a.size, <level_row_t*> cnp.PyArray_DATA(a))
            sides.append(a)
        return tuple(sides)

    def level_size(self, side, price):
        """Return the lots that rest at a price (ticks) of a side (1 or -1); 0 where there is no level."""
        if side != 1 and side != -1:
            raise ValueError(f"side must be 1 (buy) or -1 (sell): side={side}")
        if not 0 < price <= INT64_MAX:
            raise ValueError(f"price must lie in 1..2**63-1: price={price}")
        return book_level_size(self._b, side, price)

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
            order = &self._book.orders.orders[order.before]
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
        if side != 1 and side != -1:
            raise ValueError(f"side must be 1 (buy) or -1 (sell): side={side}")
        if not 0 < price <= INT64_MAX:
            raise ValueError(f"price must lie in 1..2**63-1: price={price}")
        cdef int64_t key = price * side
        s = &self._book.sides[0 if side == 1 else 1]
        place = side_find(s, key)
        count = 0
        if place < s.count and s.keys[place] == key:
            l = &self._book.orders.levels[s.levels[place]]
            number = l.front
            count = l.count
        rows = np.empty(count, QUEUE_DTYPE)
        out = <queue_row_t*> cnp.PyArray_DATA(rows)
        while number:
            out[i].order_id = self._book.orders.orders[number].order_id
            out[i].size = self._book.orders.orders[number].size
            out[i].stamp = self._book.orders.orders[number].stamp
            number = self._book.orders.orders[number].after
            i += 1
        return rows

    def state_hash(self):
        """Return a 64-bit hash of all orders (reference, price, size) in the order of their priority.

        Equal books give equal numbers on every platform, however they came about.
        """
        return book_hash(self._b)

    def check(self):
        """Walk through the whole structure; raises AssertionError with the rule that does not hold."""
        cdef int broken = book_check(self._b)
        if broken:
            raise AssertionError(f"{_BROKEN[broken]}: symbol_id={self.symbol_id} live={self._book.live}")
