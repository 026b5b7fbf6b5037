"""The books of all symbols of a feed: the contract.

Books stand in blocks of 64 by symbol id, so that an id leads to its book without a search, each with room for the first levels
of its sides behind it. Blocks are cut from chunks, the first few of one block each, the others of a huge page::

    bookset_t.blocks[symbol_id >> 6] -> book_place_t[64], made when the first of them is opened
                                        before that the one `closed` block, whose books are never open

A book is open when its `orders` is set; the first event that concerns orders or levels of its symbol opens it. Who applies a
batch event by event asks ``bookset_far`` at its beginning, and calls ``bookset_ahead`` before each event.
"""

cimport cython
from libc.stdint cimport INT64_MAX, int64_t, uint8_t, uint32_t, uint64_t

from fastcore.records cimport event_t, likely, prefetch, unlikely
from fastcore.book cimport (
    AHEAD_FIRST, AHEAD_LAST, AHEAD_RECORDS, AHEAD_SECOND, AHEAD_THIRD, OrderTable, book_ahead_first, book_ahead_last,
    book_ahead_second, book_ahead_third, book_apply, book_change_t, book_place_t, book_t, orders_t, slots_ahead,
)


cdef enum:
    BOOKSET_BLOCK = 64      # books

ctypedef struct bookset_t:
    book_place_t** blocks    # one for each 64 symbol ids
    book_place_t* closed     # block of books that are never open
    book_place_t** chunks    # memory of the blocks
    uint32_t chunk_count
    uint32_t chunk_left         # blocks of the latest chunk that are not in use
    uint64_t bytes              # of all chunks
    orders_t* orders        # of all books
    uint32_t capacity       # symbol ids are 0..capacity-1
    uint32_t count          # open books
    int64_t lowest          # as in book_t, for the books to come
    uint8_t by_level
    uint8_t quotes          # as in book_t
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
# Whether the books and orders are more than the second cache holds, so that looking ahead for all that they touch pays.
cdef bint bookset_far(const bookset_t* s) noexcept nogil


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


cdef inline void bookset_ahead(const bookset_t* s, bint far, const event_t* e, Py_ssize_t i, Py_ssize_t n) noexcept nogil:
    """Fetch what later events of e[0..n) will touch, where e[i] is the next to be applied."""
    cdef const event_t* f
    if not far:
        if not s.by_level:
            slots_ahead(s.orders, e, i, n)
        return
    if i + AHEAD_FIRST >= n:
        return
    f = e + i + AHEAD_FIRST
    if likely(f.symbol_id < s.capacity):
        book_ahead_first(s.orders, bookset_place(s, f.symbol_id), f)
    f = e + i + AHEAD_SECOND
    if likely(bookset_find(s, f.symbol_id) != NULL):
        book_ahead_second(bookset_place(s, f.symbol_id), f)
    f = e + i + AHEAD_THIRD
    if likely(bookset_find(s, f.symbol_id) != NULL):
        book_ahead_third(bookset_place(s, f.symbol_id), f)
    f = e + i + AHEAD_LAST
    if likely(bookset_find(s, f.symbol_id) != NULL):
        book_ahead_last(bookset_place(s, f.symbol_id), f)


@cython.final
cdef class BookSet:
    cdef bookset_t _s
    cdef readonly OrderTable orders
    cdef readonly bint by_level
    cdef object _snapshot(self)
