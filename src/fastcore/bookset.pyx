# cython: freethreading_compatible=True
"""Order books of all symbols of a feed, by order (L3) or by level (L2), in one object and one order table.

``BookSet`` takes event arrays as the decoders make them and sends each event to the book of its `symbol_id`. Books open with
the first event that concerns orders or levels of their symbol; other events (system messages, prints, status) open none.
What events do to a book, malformed ones included, is told in ``fastcore.book``.

Gap and clear events whose symbol is NO_SYMBOL concern the whole feed: a gap makes every book stale, those too that open later,
and a clear empties every book and ends that state. An id beyond the set is counted as ``unknown symbol``, and nothing changes.

Order references are unique over all symbols of a set, as they are in a feed of one venue.
"""

cimport cython
from libc.string cimport memcpy, memset

cimport numpy as cnp

from fastcore._arrays cimport check_events, events_data
from fastcore._guard cimport alone, enter, leave
from fastcore._integers cimport as_int64, as_uint64, int64_in
from fastcore.records cimport (
    FLAG_CONTINUED,
    FLAG_SNAPSHOT,
    KIND_ADD,
    KIND_CANCEL,
    KIND_CLEAR,
    KIND_COUNT,
    KIND_DELETE,
    KIND_EXECUTE,
    KIND_GAP,
    KIND_LEVEL,
    KIND_QUOTE,
    KIND_REPLACE,
    NO_PRICE,
    BUY,
    NO_SIDE,
    SELL,
    NO_SYMBOL,
    RESULT_NO_MEMORY,
    RESULT_OK,
    RESULT_UNKNOWN_SYMBOL,
    RESULT_UNKNOWN_TYPE,
    fc_alloc,
    fc_free,
)
from fastcore.book cimport (
    book_bytes,
    book_check,
    book_clear,
    book_far,
    book_free,
    book_hash,
    book_top,
    book_init_at,
    book_snapshot,
    book_snapshot_rows,
    book_quote,
    book_view,
    orders_bytes,
    result_counts,
)

from operator import index

import numpy as np

from fastcore.records import EVENT_DTYPE, QUOTE_DTYPE, REPLACE_DTYPE

cnp.import_array()

__all__ = ["BookSet"]

cdef tuple _EVENT_DTYPES = (EVENT_DTYPE, QUOTE_DTYPE, REPLACE_DTYPE)
_MAX_SYMBOLS = 2**24
# Blocks of 64 books in a chunk: one at first, then as many as a huge page holds.
cdef enum:
    SMALL_CHUNKS = 4
    LARGE_CHUNK = 28

cdef extern from "fc_huge.h" nogil:
    void* fc_alloc_huge(size_t count, size_t size)


cdef uint32_t block_count(uint32_t symbols) noexcept nogil:
    return (symbols + BOOKSET_BLOCK - 1) // BOOKSET_BLOCK


cdef int bookset_init(bookset_t* s, orders_t* orders, uint32_t symbols, bint by_level, int64_t lowest) noexcept nogil:
    cdef uint32_t i
    cdef uint32_t blocks = block_count(symbols)
    memset(s, 0, sizeof(bookset_t))
    s.orders = orders
    s.by_level = by_level
    s.lowest = lowest
    s.blocks = <book_place_t**> fc_alloc(blocks, sizeof(void*))
    s.chunks = <book_place_t**> fc_alloc(blocks, sizeof(void*))
    s.closed = <book_place_t*> fc_alloc(BOOKSET_BLOCK, sizeof(book_place_t))
    if s.blocks == NULL or s.chunks == NULL or s.closed == NULL:
        bookset_free(s)
        return RESULT_NO_MEMORY
    for i in range(blocks):
        s.blocks[i] = s.closed
    s.capacity = symbols
    return RESULT_OK


cdef void bookset_free(bookset_t* s) noexcept nogil:
    cdef uint32_t i
    for i in range(s.capacity):
        if bookset_find(s, i) != NULL:
            book_free(bookset_place(s, i))
    for i in range(s.chunk_count):
        fc_free(s.chunks[i])
    fc_free(s.blocks)
    fc_free(s.chunks)
    fc_free(s.closed)
    memset(s, 0, sizeof(bookset_t))


cdef book_place_t* new_block(bookset_t* s) noexcept nogil:
    # The next block of the latest chunk, or of a new one; NULL without memory.
    cdef book_place_t* chunk
    cdef uint32_t blocks
    if s.chunk_left == 0:
        blocks = 1 if s.chunk_count < SMALL_CHUNKS else LARGE_CHUNK
        chunk = <book_place_t*> fc_alloc_huge(<size_t> blocks * BOOKSET_BLOCK, sizeof(book_place_t))
        if chunk == NULL:
            return NULL
        s.chunks[s.chunk_count] = chunk
        s.chunk_count += 1
        s.chunk_left = blocks
        s.bytes += <uint64_t> blocks * BOOKSET_BLOCK * sizeof(book_place_t)
    blocks = 1 if s.chunk_count <= SMALL_CHUNKS else LARGE_CHUNK
    chunk = s.chunks[s.chunk_count - 1] + <size_t> (blocks - s.chunk_left) * BOOKSET_BLOCK
    s.chunk_left -= 1
    return chunk


cdef book_t* bookset_open(bookset_t* s, uint32_t symbol_id) noexcept nogil:
    cdef book_t* b
    cdef book_place_t* block
    cdef book_place_t* place
    if symbol_id >= s.capacity:
        return NULL
    if s.blocks[symbol_id // BOOKSET_BLOCK] == s.closed:
        block = new_block(s)
        if block == NULL:
            return NULL
        s.blocks[symbol_id // BOOKSET_BLOCK] = block
    b = bookset_place(s, symbol_id)
    if b.orders == NULL:
        place = s.blocks[symbol_id // BOOKSET_BLOCK] + symbol_id % BOOKSET_BLOCK
        book_init_at(b, s.orders, symbol_id, place.ladders)
        b.by_level = s.by_level
        b.quotes = s.quotes
        b.lowest = s.lowest
        b.stale = s.stale
        s.count += 1
    return b


cdef bint opens(uint8_t kind) noexcept nogil:
    return (
        kind == KIND_ADD or kind == KIND_EXECUTE or kind == KIND_CANCEL or kind == KIND_DELETE or kind == KIND_REPLACE
        or kind == KIND_LEVEL or kind == KIND_QUOTE or kind == KIND_CLEAR or kind == KIND_GAP
    )


# The next open book at or behind an id; NULL when there is none. Moves `symbol_id` behind it.
cdef book_t* next_book(const bookset_t* s, uint32_t* symbol_id) noexcept nogil:
    cdef book_t* b
    while symbol_id[0] < s.capacity:
        b = bookset_find(s, symbol_id[0])
        symbol_id[0] += 1
        if b != NULL:
            return b
    return NULL


cdef void apply_to_all(bookset_t* s, const event_t* e) noexcept nogil:
    # Clear or gap of the whole feed; counted once, by the caller.
    cdef uint32_t at = 0
    cdef book_t* b = next_book(s, &at)
    if e.kind == KIND_GAP or (e.side != BUY and e.side != SELL):
        s.stale = e.kind == KIND_GAP
    while b != NULL:
        # It is the last part of a message that goes on, or one that goes on itself, for each of them.
        if e.flags & FLAG_CONTINUED and not b.open:
            book_top(b, &b.before)
        b.open = e.flags & FLAG_CONTINUED != 0
        if e.kind == KIND_GAP:
            b.stale = True
        else:
            book_clear(b, e.side)
        b = next_book(s, &at)


cdef int bookset_apply_rare(bookset_t* s, const event_t* e, book_change_t* out) noexcept nogil:
    cdef book_t* b
    cdef int result = RESULT_OK
    out.kind = e.kind
    out.top_changed = False
    out.price = NO_PRICE
    out.size = 0
    out.stamp = 0
    out.side = NO_SIDE
    out.new_size = 0
    if e.symbol_id < s.capacity and opens(e.kind):
        b = bookset_open(s, e.symbol_id)
        if b != NULL:
            return book_apply(b, e, out)
        result = RESULT_NO_MEMORY
    elif e.symbol_id == NO_SYMBOL and (e.kind == KIND_CLEAR or e.kind == KIND_GAP):
        apply_to_all(s, e)
    elif e.kind >= KIND_COUNT:
        result = RESULT_UNKNOWN_TYPE
    elif e.symbol_id >= s.capacity and opens(e.kind):
        result = RESULT_UNKNOWN_SYMBOL
    s.counts[result] += 1
    out.result = result
    return result


cdef bint bookset_far(const bookset_t* s) noexcept nogil:
    return book_far(s.count * sizeof(book_place_t) + orders_bytes(s.orders))


cdef Py_ssize_t bookset_apply_batch(bookset_t* s, const event_t* e, Py_ssize_t n, event_t* quotes) noexcept nogil:
    cdef Py_ssize_t i
    cdef Py_ssize_t written = 0
    cdef book_change_t change
    cdef bint far = bookset_far(s)
    for i in range(n):
        prefetch(e + i + AHEAD_RECORDS)
        bookset_ahead(s, far, e, i, n)
        bookset_apply(s, e + i, &change)
        if quotes != NULL and change.top_changed:
            book_quote(bookset_find(s, e[i].symbol_id), e + i, &quotes[written])
            written += 1
    return written


cdef inline bookset_t* idle(BookSet books) except NULL:
    # The set, while no call works on its table.
    alone(&books._s.orders.busy)
    return &books._s


# Without tp_clear: the table must outlive the books, and neither can be part of a cycle.
@cython.final
@cython.no_gc_clear
cdef class BookSet:
    """BookSet(*, by_level=False, symbols=65536, orders=None, signed_prices=False, quotes=False)\n--\n\n
    Order books of all symbols of a feed.

    Parameters
    ----------
    by_level : bool, default False
        Books by level instead of by order.
    symbols : int, default 65536
        Symbol ids are 0..symbols-1, 1..2**24: the default holds every ITCH stock locate. Only opened books take memory.
    orders : OrderTable, optional
        Table of all books. None makes a private table.
    signed_prices : bool, default False
        Take negative prices and 0 too.
    quotes : bool, default False
        As in ``fastcore.book.LevelBook``.

    Raises
    ------
    ValueError
        If `symbols` is outside its range.

    Notes
    -----
    A book takes 1,152 bytes, in blocks of 64, and up to 256 bytes a level of a side that is busy in more than 64 steps of price.

    **Thread safety**: one thread owns a set, its table and the books that `book` returns.
    """

    def __cinit__(self, *, by_level=False, symbols=65536, OrderTable orders=None, signed_prices=False, quotes=False):
        cdef int64_t capacity = int64_in(symbols, "symbols", 1, _MAX_SYMBOLS)
        self.orders = OrderTable() if orders is None else orders
        self.by_level = by_level
        if bookset_init(&self._s, &self.orders._o, <uint32_t> capacity, by_level, -INT64_MAX if signed_prices else 1) != RESULT_OK:
            raise MemoryError(f"no memory for a set of books: symbols={symbols}")
        self._s.quotes = quotes

    def __dealloc__(self):
        if self._s.orders != NULL and not self._s.orders.busy:  # as the book's
            bookset_free(&self._s)

    def __len__(self):
        return idle(self).count

    def __contains__(self, symbol_id):
        return 0 <= index(symbol_id) < self._s.capacity and bookset_find(idle(self), symbol_id) != NULL

    def __iter__(self):
        return iter(self.symbol_ids)

    @property
    def symbols(self):
        """Symbol ids lie in 0..symbols-1."""
        return self._s.capacity

    @property
    def symbol_ids(self):
        """Symbols that have a book, ascending: a list of int."""
        cdef uint32_t at = 0
        cdef list found = []
        while next_book(idle(self), &at) != NULL:
            found.append(at - 1)
        return found

    @property
    def stale(self):
        """Whether messages of the whole feed are missing since the last clear of the whole feed."""
        return idle(self).stale != 0

    @property
    def nbytes(self):
        """Bytes of memory that the set holds, with its order table."""
        cdef uint32_t at = 0
        cdef uint64_t sides = 0
        cdef const book_t* b = next_book(idle(self), &at)
        while b != NULL:
            sides += book_bytes(b)
            b = next_book(idle(self), &at)
        return (
            self.orders.nbytes + self._s.bytes + sides
            + BOOKSET_BLOCK * sizeof(book_place_t) + <uint64_t> block_count(self._s.capacity) * 2 * sizeof(void*)
        )

    @property
    def counts(self):
        """Events by result, over all books: a dict of str to int without zeros.

        As for a book, plus ``unknown symbol`` (an id beyond the set). Events that change no book are ``ok``.
        """
        cdef uint64_t[32] total
        cdef uint32_t at = 0
        cdef int i
        cdef const book_t* b
        memcpy(total, idle(self).counts, sizeof(total))
        b = next_book(&self._s, &at)
        while b != NULL:
            for i in range(32):
                total[i] += b.counts[i]
            b = next_book(idle(self), &at)
        return result_counts(total, NULL)

    def book(self, symbol_id):
        """Return the book of a symbol, opened if it is not yet: a face that reads and changes the book of the set.

        Parameters
        ----------
        symbol_id : int

        Returns
        -------
        OrderBook or LevelBook
            Keeps the set alive. Its batch calls pass over events of other symbols.
        """
        cdef book_t* b
        cdef int64_t row = int64_in(symbol_id, "symbol_id", 0, self._s.capacity - 1)
        b = bookset_open(idle(self), <uint32_t> row)
        if b == NULL:
            raise MemoryError(f"no memory for a book: symbol_id={symbol_id}")
        return book_view(b, self.orders, self)

    def apply(self, events):
        """Apply a batch of events, each to the book of its symbol; results are counted in `counts`.

        Parameters
        ----------
        events : ndarray of EVENT_DTYPE, shape (n,), contiguous
        """
        cdef cnp.ndarray a = check_events(events, "events", False, _EVENT_DTYPES)
        cdef const event_t* e = events_data(a)
        cdef Py_ssize_t n = a.shape[0]
        enter(&self._s.orders.busy)
        with nogil:
            bookset_apply_batch(&self._s, e, n, NULL)
        leave(&self._s.orders.busy)

    def apply_into(self, events, quotes):
        """Apply a batch and write a quote event for each message that changed a best price or its size.

        Parameters
        ----------
        events : ndarray of EVENT_DTYPE, shape (n,), contiguous
        quotes : ndarray of EVENT_DTYPE or QUOTE_DTYPE, at least n rows, writable
            Receives events of kind quote: `bid`, `ask` (NO_PRICE for an empty side), `bid_size`, `ask_size`, and number,
            times and symbol of the last event of the message. A clear of the whole feed writes none.

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
        if q.shape[0] < n:
            raise ValueError(f"quotes must have a row for each event: events={n} quotes={q.shape[0]}")
        if np.may_share_memory(events, quotes):
            raise ValueError("quotes must not share memory with events")
        enter(&self._s.orders.busy)
        with nogil:
            written = bookset_apply_batch(&self._s, e, n, out)
        leave(&self._s.orders.busy)
        return written

    def quotes(self):
        """Return the top of every open book.

        Returns
        -------
        ndarray of QUOTE_DTYPE, shape (len(self),)
            `symbol_id` (ascending), `bid`, `ask` (NO_PRICE for an empty side), `bid_size`, `ask_size`; numbers and times are 0.
        """
        rows = np.empty(idle(self).count, QUOTE_DTYPE)
        cdef event_t* out = <event_t*> cnp.PyArray_DATA(rows)
        cdef event_t* end = out + len(rows)
        cdef event_t e
        cdef uint32_t at = 0
        cdef const book_t* b = next_book(idle(self), &at)
        memset(&e, 0, sizeof(e))
        while b != NULL and out != end:
            e.symbol_id = b.symbol_id
            book_quote(b, &e, out)
            out += 1
            b = next_book(&self._s, &at)
        return rows

    def clear(self):
        """Empty every book; none is stale then. Books stay open, and counts go on."""
        cdef event_t e
        memset(&e, 0, sizeof(e))
        e.kind = KIND_CLEAR
        apply_to_all(idle(self), &e)

    def snapshot(self, *, seq=0, exch_ns=0, local_ns=0):
        """Return events that rebuild all books: a clear of the whole feed, then one image for each book, by symbol id.

        Parameters
        ----------
        seq, exch_ns, local_ns : int
            Number and times that all of the events carry.

        Returns
        -------
        ndarray of EVENT_DTYPE
            Applied to a set of the same kind and size they give the same books; see ``OrderBook.snapshot``.
        """
        enter(&self._s.orders.busy)
        try:
            rows = self._snapshot()
        finally:
            leave(&self._s.orders.busy)
        rows["seq"], rows["exch_ns"], rows["local_ns"] = as_uint64(seq), as_int64(exch_ns), as_int64(local_ns)
        return rows

    cdef object _snapshot(self):
        cdef uint64_t n = 1 + self._s.stale
        cdef uint32_t at = 0
        cdef const book_t* b = next_book(&self._s, &at)
        cdef event_t* out
        while b != NULL:
            n += book_snapshot_rows(b)
            b = next_book(&self._s, &at)
        rows = np.zeros(n, EVENT_DTYPE)
        out = <event_t*> cnp.PyArray_DATA(rows)
        out.symbol_id = NO_SYMBOL
        out.kind = KIND_CLEAR
        out.flags = FLAG_SNAPSHOT
        out.price = NO_PRICE
        out += 1
        if self._s.stale:
            out.symbol_id = NO_SYMBOL
            out.kind = KIND_GAP
            out.flags = FLAG_SNAPSHOT
            out.payload[1] = -1
            out += 1
        at = 0
        b = next_book(&self._s, &at)
        while b != NULL:
            out = book_snapshot(b, out)
            b = next_book(&self._s, &at)
        return rows

    def state_hash(self):
        """Return a 64-bit hash of all books that are not empty, by symbol id: equal sets give equal numbers."""
        cdef uint32_t at = 0
        cdef uint64_t h = 0
        cdef const book_t* b = next_book(idle(self), &at)
        while b != NULL:
            if b.sides[0].count or b.sides[1].count:
                h = (h ^ b.symbol_id) * <uint64_t> 0x9E3779B97F4A7C15
                h = (h ^ (h >> 29) ^ book_hash(b)) * <uint64_t> 0xBF58476D1CE4E5B9
                h ^= h >> 32
            b = next_book(idle(self), &at)
        return h

    def check(self):
        """Walk through all books; raises AssertionError with the rule that does not hold."""
        cdef uint32_t at = 0
        cdef uint64_t live = 0
        cdef uint64_t levels = 0
        cdef uint32_t count = 0
        cdef const book_t* b = next_book(idle(self), &at)
        while b != NULL:
            if book_check(b):
                self.book(at - 1).check()
            if b.symbol_id != at - 1:
                raise AssertionError(f"a book stands at its symbol id: symbol_id={b.symbol_id} place={at - 1}")
            count += 1
            b = next_book(idle(self), &at)
        if count != idle(self).count:
            raise AssertionError(f"the open books are counted: found={count} count={idle(self).count}")

    def __repr__(self):
        return f"BookSet({len(self)} books by {'level' if self.by_level else 'order'}, {len(self.orders)} orders)"
