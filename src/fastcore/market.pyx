# cython: freethreading_compatible=True
"""The market as one feed describes it: a book for each instrument, its trading state, and the venue's hours."""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from fastcore._integers cimport as_int64
from fastcore.book cimport OrderTable
from fastcore.bookset cimport BookSet
from fastcore.records cimport (
    FLAG_NOT_PRINTABLE, KIND_BAR, KIND_BREAK, KIND_COUNT, KIND_IMBALANCE, KIND_LISTING, KIND_NONE, KIND_NOTICE, KIND_QUOTE, KIND_STATUS,
    KIND_SYSTEM, NO_SIDE, NO_SYMBOL, RESULT_UNKNOWN_TYPE,
)

__all__ = ["BOOKS", "Market"]

BOOKS = ("orders", "levels", "quotes")

# Kinds that touch no book.
cdef uint64_t RARE = (
    1 << KIND_SYSTEM | 1 << KIND_LISTING | 1 << KIND_STATUS | 1 << KIND_NOTICE | 1 << KIND_IMBALANCE | 1 << KIND_BREAK | 1 << KIND_BAR
)


cdef int market_take(market_t* m, const event_t* e, book_change_t* out) noexcept nogil:
    return market_apply(m, e, out)


cdef void market_print(market_t* m, const event_t* e, const book_change_t* c) noexcept nogil:
    # An execution, and what the book made of it: its volume and its price.
    cdef print_t* kept
    cdef int64_t size = 0
    if not e.flags & FLAG_NOT_PRINTABLE:
        size = e.size
        m.seen[e.symbol_id].last_ticks = c.price if e.price == NO_PRICE else e.price
    m.volumes[e.symbol_id] += size
    if e.match_id and not m.books.by_level:
        kept = &m.prints[m.printed & (MARKET_KEPT - 1)]
        kept.match_id, kept.size, kept.symbol_id = e.match_id, size, e.symbol_id
        m.printed += 1


# The volume of a trade that is broken is none.
cdef void market_break(market_t* m, const event_t* e) noexcept nogil:
    cdef uint64_t i = m.printed
    cdef print_t* kept
    while i and m.printed - i < MARKET_KEPT:
        i -= 1
        kept = &m.prints[i & (MARKET_KEPT - 1)]
        if kept.match_id == e.match_id and (kept.symbol_id == e.symbol_id or e.symbol_id == NO_SYMBOL):
            m.volumes[kept.symbol_id] -= kept.size
            kept.size = 0
            return
    m.lost_breaks += 1


cdef int market_rare(market_t* m, const event_t* e, book_change_t* out) noexcept nogil:
    # Of a kind that touches no book.
    cdef bint later_part = m.inside
    out.kind = KIND_NONE if later_part else e.kind
    out.side = NO_SIDE
    out.price = out.new_price = NO_PRICE
    out.size = out.new_size = 0
    out.top_changed = out.grew = False
    m.inside = e.flags & FLAG_CONTINUED
    if unlikely(e.kind >= KIND_COUNT):  # one that looks like another in 64 bits
        if m.refused == 0:
            m.first_refused = m.number
        m.refused += 1
        return RESULT_UNKNOWN_TYPE
    if later_part:
        return RESULT_OK
    if e.kind == KIND_BREAK:
        market_break(m, e)
    elif e.kind == KIND_SYSTEM:
        m.session = <uint8_t> (1 + e.payload[0])
    elif e.symbol_id >= m.capacity:
        return RESULT_OK
    elif e.kind == KIND_STATUS:
        m.states[e.symbol_id] = <uint8_t> (1 + e.payload[0])
    elif e.kind == KIND_LISTING and m.states[e.symbol_id] == STATE_IMPLIED:
        m.states[e.symbol_id] = STATE_UNKNOWN
    return RESULT_OK


cdef int market_special(market_t* m, const event_t* e, book_change_t* out) noexcept nogil:
    cdef int result
    if m.rare >> (e.kind & 63) & 1:
        return market_rare(m, e, out)
    result = market_change(m, e, out)
    if result == RESULT_OK and e.symbol_id < m.capacity:
        market_print(m, e, out)
    return result


@cython.final
cdef class Market:
    """Market(book="orders", *, symbols=65536, orders=65536)\n--\n\n
    Market(book='orders', *, symbols=65536, orders=65536)\n--\n
    Books and trading states of all instruments of a feed.

    Parameters
    ----------
    book : {"orders", "levels", "quotes"}, default "orders"
        What the feed gives: orders, price levels, or best prices alone. Beside orders or levels, quote events are the venue's own
        account of its best prices and change nothing here.
    symbols : int, default 65536
        Instruments that may come, 1..2**24: ids are 0..symbols-1.
    orders : int, default 65536
        Orders that have room from the start; the table grows.

    Attributes
    ----------
    books : BookSet
    book : str

    Notes
    -----
    An instrument trades until somebody says otherwise. One that is *listed* by its feed does not until a status says so, as the
    specification of ITCH asks; and once the venue announces hours, only market hours count.

    **Thread safety**: one thread at a time.
    """

    def __cinit__(self, str book="orders", *, symbols=65536, orders=65536):
        cdef int64_t capacity = as_int64(symbols)
        if book not in BOOKS:
            raise ValueError(f"book must be orders, levels or quotes: book={book}")
        if not 1 <= capacity <= 1 << 24:
            raise ValueError(f"symbols must be in 1..{1 << 24}: symbols={symbols}")
        self.book = book
        self.books = BookSet(by_level=book != "orders", symbols=symbols, orders=OrderTable(orders), quotes=book == "quotes")
        self._m.books = &self.books._s
        self._m.rare = RARE if book == "quotes" else RARE | 1 << KIND_QUOTE
        self._m.special = self._m.rare | MARKET_PRINTS
        self._m.capacity = <uint32_t> capacity
        self._m.states = <uint8_t*> calloc(capacity, 1)
        self._m.volumes = <int64_t*> calloc(capacity, sizeof(int64_t))
        self._m.seen = <seen_t*> calloc(capacity, sizeof(seen_t))
        if book == "orders":
            self._m.prints = <print_t*> calloc(MARKET_KEPT, sizeof(print_t))  # the system gives memory where it is written
        if (
            self._m.states == NULL or self._m.volumes == NULL or self._m.seen == NULL
            or (self._m.prints == NULL and book == "orders")
        ):
            raise MemoryError(f"no memory for the states of instruments: symbols={symbols}")

    def __dealloc__(self):
        free(self._m.states)
        free(self._m.volumes)
        free(self._m.prints)
        free(self._m.seen)

    cdef uint32_t _id(self, object symbol_id) except? 0xFFFFFFFF:
        cdef int64_t number = as_int64(symbol_id)
        if not 0 <= number < self._m.capacity:
            raise ValueError(f"symbol_id must be in 0..{self._m.capacity - 1}: symbol_id={symbol_id}")
        return <uint32_t> number

    def trades(self, symbol_id):
        """Say whether the orders of an instrument are matched now."""
        return bool(market_trades(&self._m, self._id(symbol_id)))

    def volume_lots(self, symbol_id):
        """Return the lots of an instrument in the printed executions and crosses so far, less the trades that were broken."""
        return self._m.volumes[self._id(symbol_id)]

    def seen_ns(self, symbol_id):
        """Return the exchange time of the last event of an instrument that is one of its book or an execution; 0 before the first."""
        return self._m.seen[self._id(symbol_id)].exch_ns

    @property
    def events(self):
        """Events applied."""
        return self._m.number

    @property
    def lost_breaks(self):
        """Broken trades that are not among the latest 1,048,576 executions: the volume still counts them."""
        return self._m.lost_breaks

    @property
    def book_errors(self):
        """Events that were refused: unknown and duplicate orders, bad prices and sizes, unknown kinds."""
        return self._m.refused

    @property
    def first_error_seq(self):
        """Number of the first event that a book refused; 0 for none."""
        return self._m.first_refused

    def __repr__(self):
        return f"Market(book={self.book!r}: {len(self.books)} books, {self._m.number} events, {self._m.refused} refused)"
