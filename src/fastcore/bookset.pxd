"""The books of all symbols of a feed: the contract.

Books stand in blocks of 64 by symbol id, so that an id leads to its book without a search, each with room for the first levels
of its sides behind it. Blocks are cut from chunks, the first few of one block each, the others of a huge page::

    bookset_t.blocks[symbol_id >> 6] -> bookset_place_t[64], made when the first of them is opened
                                        before that the one `closed` block, whose books are never open

A book is open when its `orders` is set; the first event that concerns orders or levels of its symbol opens it. With thousands
of symbols every event touches lines that no cache near the core holds: its book, the slot of its order, the order, the level.
Who applies a batch therefore calls ``bookset_ahead`` for each event, which fetches these lines for later ones in three stages,
each of which reads what the stage before has fetched.
"""

cimport cython
from libc.stdint cimport INT64_MAX, int64_t, uint8_t, uint32_t, uint64_t

from fastcore.records cimport KIND_ADD, KIND_LEVEL, event_t, likely, prefetch, unlikely
from fastcore.book cimport (
    OrderTable, SIDE_NEAR, book_apply, book_change_t, book_t, order_t, orders_prefetch, orders_t, orders_tag, side_find, side_t,
)


cdef enum:
    BOOKSET_BLOCK = 64      # books
    BOOKSET_AHEAD = 20      # events that the three stages of `bookset_ahead` look beyond the present one
    BOOKSET_MIDDLE = 12
    BOOKSET_NEAR = 5
    BOOKSET_LEVELS = 24     # of a side, before it gets memory of its own

# 18 cache lines.
ctypedef struct bookset_place_t:
    book_t book
    uint64_t sides[96]      # keys and levels of both sides: 2 * (BOOKSET_LEVELS + SIDE_NEAR) * 12 bytes

ctypedef struct bookset_t:
    bookset_place_t** blocks    # one for each 64 symbol ids
    bookset_place_t* closed     # block of books that are never open
    bookset_place_t** chunks    # memory of the blocks
    uint32_t chunk_count
    uint32_t chunk_left         # blocks of the latest chunk that are not in use
    uint64_t bytes              # of all chunks
    orders_t* orders        # of all books
    uint32_t capacity       # symbol ids are 0..capacity-1
    uint32_t count          # open books
    int64_t lowest          # as in book_t, for the books to come
    uint8_t by_level
    uint8_t stale           # a gap of the whole feed: books that open from now on have missed messages too
    uint64_t counts[32]     # by result code: events that went to no book


# Cold: memory. RESULT_OK or RESULT_NO_MEMORY.
cdef int bookset_init(bookset_t* s, orders_t* orders, uint32_t symbols, bint by_level, int64_t lowest) noexcept nogil
cdef void bookset_free(bookset_t* s) noexcept nogil
# The book of a symbol, opened if need be; NULL for an id outside the set or without memory.
cdef book_t* bookset_open(bookset_t* s, uint32_t symbol_id) noexcept nogil
# bookset_apply for a symbol whose book is not open, and for what concerns every book.
cdef int bookset_apply_rare(bookset_t* s, const event_t* e, book_change_t* out) noexcept nogil
# n events; a quote for each message that changed a top into `quotes` (unless NULL; n of room). Returns their number.
cdef Py_ssize_t bookset_apply_batch(bookset_t* s, const event_t* e, Py_ssize_t n, event_t* quotes) noexcept nogil


cdef inline book_t* bookset_place(const bookset_t* s, uint32_t symbol_id) noexcept nogil:
    """Where the book of a symbol stands, open or not; the id lies below the capacity."""
    return &(s.blocks[symbol_id // BOOKSET_BLOCK] + symbol_id % BOOKSET_BLOCK).book


cdef inline book_t* bookset_find(const bookset_t* s, uint32_t symbol_id) noexcept nogil:
    """The open book of a symbol, or NULL; it never moves."""
    cdef book_t* b
    if unlikely(symbol_id >= s.capacity):
        return NULL
    b = bookset_place(s, symbol_id)
    return b if likely(b.orders != NULL) else NULL


cdef inline int bookset_apply(bookset_t* s, const event_t* e, book_change_t* out) noexcept nogil:
    """As book_apply, to the book of the event's symbol. RESULT_UNKNOWN_SYMBOL for an id outside the set.

    Events that change no book (system messages, status, prints, ...) do not open one. Clear and gap with NO_SYMBOL go to all.
    """
    cdef book_t* b = bookset_find(s, e.symbol_id)
    if unlikely(b == NULL):
        return bookset_apply_rare(s, e, out)
    return book_apply(b, e, out)


cdef inline void bookset_ahead(const bookset_t* s, const event_t* e, Py_ssize_t left) noexcept nogil:
    """Fetch what later events will touch; `left` events begin at `e`, the next to be applied. For sets whose books fit no cache."""
    cdef const event_t* f
    cdef const book_t* b
    cdef const order_t* order
    cdef const side_t* side
    cdef uint32_t place
    cdef int64_t key
    if left > BOOKSET_AHEAD:
        # The book and the slot of the order.
        f = e + BOOKSET_AHEAD
        orders_prefetch(s.orders, <uint64_t> f.order_id)
        if f.symbol_id < s.capacity:
            b = bookset_place(s, f.symbol_id)
            prefetch(b)
            prefetch(&b.live)
    if left > BOOKSET_MIDDLE:
        # The order, or the near end of the side that gets one.
        f = e + BOOKSET_MIDDLE
        if f.kind == KIND_ADD or f.kind == KIND_LEVEL:
            if f.symbol_id < s.capacity:
                b = bookset_place(s, f.symbol_id)
                if likely(b.orders != NULL):
                    side = &b.sides[f.side < 0]
                    prefetch(side.keys + side.count - SIDE_NEAR)
                    prefetch(side.keys + side.count - 1)
                    prefetch(side.levels + side.count - 1)
        else:
            prefetch(&s.orders.orders[s.orders.slots[orders_tag(<uint64_t> f.order_id) >> s.orders.shift].order])
    if left > BOOKSET_NEAR:
        # The level; for an order that changes its neighbours in the queue and the best key of its side.
        f = e + BOOKSET_NEAR
        if f.symbol_id < s.capacity:
            b = bookset_place(s, f.symbol_id)
            if b.orders != NULL:
                if f.kind == KIND_ADD or f.kind == KIND_LEVEL:
                    side = &b.sides[f.side < 0]
                    key = <int64_t> (0 - <uint64_t> f.price) if f.side < 0 else f.price
                    place = side_find(side, key)
                    if place < side.count:
                        prefetch(&s.orders.levels[side.levels[place]])
                else:
                    order = &s.orders.orders[s.orders.slots[orders_tag(<uint64_t> f.order_id) >> s.orders.shift].order]
                    prefetch(&s.orders.levels[order.level])
                    prefetch(&s.orders.orders[order.before])
                    prefetch(&s.orders.orders[order.after])
                    side = &b.sides[order.side < 0]
                    prefetch(side.keys + side.count - 1)


@cython.final
cdef class BookSet:
    cdef bookset_t _s
    cdef readonly OrderTable orders
    cdef readonly bint by_level
