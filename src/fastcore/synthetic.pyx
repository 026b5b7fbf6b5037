# cython: freethreading_compatible=True
"""A seeded, order-driven synthetic market.

Each symbol has a latent value (a random walk that is drawn back to its start). Limit orders arrive on both sides at
power-law distances from it and never cross the book; aggressive orders execute what rests, more often where the book
lags behind the value; resting orders are cancelled, reduced and replaced. Arrivals come in bursts (self-exciting rate)
with a U-shaped day, and about half of the messages stay with the symbol of the one before.

The result depends on the arguments alone, bit for bit on every platform: the random numbers are xoshiro256++ seeded by
splitmix64, and the arithmetic is integer or uses only operations that IEEE 754 rounds exactly (no libm).
"""

cimport cython
from libc.math cimport sqrt
from libc.stdint cimport uint8_t
from libc.string cimport memcpy, memset

cimport numpy as cnp

from fastcore._arrays cimport check_events, events_data
from fastcore._types cimport (
    FLAG_HIDDEN,
    FLAG_NOT_PRINTABLE,
    KIND_ADD,
    KIND_CANCEL,
    KIND_CROSS,
    KIND_DELETE,
    KIND_EXECUTE,
    KIND_LISTING,
    KIND_REPLACE,
    KIND_STATUS,
    KIND_SYSTEM,
    KIND_TRADE,
    NO_PRICE,
    RESULT_NO_MEMORY,
    RESULT_OK,
    fc_alloc,
    fc_assert,
    fc_free,
)
from fastcore.book cimport (
    book_apply,
    book_best_ask,
    book_best_bid,
    book_change_t,
    book_free,
    book_init,
    book_order,
    order_t,
    orders_free,
    orders_init,
    side_best,
)

from fastcore.records import EVENT_DTYPE, QUOTE_DTYPE, REPLACE_DTYPE

cnp.import_array()

__all__ = ["OVERHEAD", "SyntheticMarket"]

cdef tuple _EVENT_DTYPES = (EVENT_DTYPE, QUOTE_DTYPE, REPLACE_DTYPE)

cdef enum:
    INCREMENT = 100         # ticks of a cent
    FEWEST = 8              # orders that a side must hold before anything but adds may happen
    TYPICAL = 160           # orders of a symbol that arrivals and cancels tend to
    DEEPEST = 400           # increments
    SESSION = 6             # messages that a session has once
    PER_SYMBOL = 4          # and for every symbol: listing, status, opening and closing cross
    ATTRIBUTION = 0x53594E54    # "SYNT"

# Messages that a session needs beside its flow: (once, for every symbol).
OVERHEAD = (SESSION, PER_SYMBOL)

cdef int64_t SECOND = 1_000_000_000
cdef int64_t OPEN_NS = 34_200 * SECOND     # 09:30
cdef int64_t CLOSE_NS = 57_600 * SECOND    # 16:00


# ---- random numbers ----

cdef inline uint64_t rotated(uint64_t x, int k) noexcept nogil:
    return (x << k) | (x >> (64 - k))


cdef uint64_t draw(synthetic_t* s) noexcept nogil:
    cdef uint64_t* r = s.random
    cdef uint64_t result = rotated(r[0] + r[3], 23) + r[0]
    cdef uint64_t t = r[1] << 17
    r[2] ^= r[0]
    r[3] ^= r[1]
    r[1] ^= r[2]
    r[0] ^= r[3]
    r[2] ^= t
    r[3] = rotated(r[3], 45)
    return result


cdef inline uint32_t below(synthetic_t* s, uint32_t n) noexcept nogil:
    return <uint32_t> (((draw(s) >> 32) * n) >> 32)


cdef inline double uniform(synthetic_t* s) noexcept nogil:
    """In [0, 1)."""
    return <double> (draw(s) >> 11) * (1.0 / 9007199254740992.0)


cdef double exponential(synthetic_t* s) noexcept nogil:
    """Mean 1: -log(k / 2^53), the logarithm by its own series because those of the platforms differ."""
    cdef uint64_t k = (draw(s) >> 11) + 1
    cdef int e = 0
    cdef int i
    cdef double m, x, x2, total
    while k >> (e + 1):
        e += 1
    m = <double> k / <double> (<uint64_t> 1 << e)
    x = (m - 1.0) / (m + 1.0)
    x2 = x * x
    total = 0.0
    for i in range(19, 0, -2):
        total = total * x2 + 1.0 / i
    return (53 - e) * 0.6931471805599453 - 2.0 * x * total


cdef int64_t power_law(synthetic_t* s, int64_t most) noexcept nogil:
    """1, 2, ... with P(at least k) = k^-4/3, cut off."""
    cdef double u = <double> ((draw(s) >> 11) + 1) * (1.0 / 9007199254740992.0)
    cdef double root = sqrt(u)
    cdef int64_t k = <int64_t> (1.0 / (root * sqrt(root)))
    return k if k < most else most


cdef int64_t draw_size(synthetic_t* s) noexcept nogil:
    if below(s, 5) == 0:
        return 1 + below(s, 99)
    return 100 * power_law(s, 20)


# ---- flow ----

cdef int64_t draw_price(synthetic_t* s, market_t* m, int8_t side) noexcept nogil:
    """Increments, at or behind the latent value and in front of the other side's best."""
    cdef int64_t depth = power_law(s, DEEPEST) - 1
    cdef int64_t price = <int64_t> m.fair
    cdef int64_t limit
    if side > 0:
        if m.sides[1]:
            limit = book_best_ask(&m.book) // INCREMENT - 1
            price = price if price < limit else limit
        price -= depth
        return price if price > 1 else 1
    price += 1
    if m.sides[0]:
        limit = book_best_bid(&m.book) // INCREMENT + 1
        price = price if price > limit else limit
    return price + depth


cdef int remember(market_t* m, uint64_t order_id, int8_t side) noexcept nogil:
    """Enter a new order, for which there is room, into the list to draw from."""
    cdef order_t* order = <order_t*> book_order(&m.book, order_id)
    order.user = m.count
    m.live[m.count] = order_id
    m.count += 1
    m.sides[side < 0] += 1
    return 0


cdef void forget(market_t* m, const order_t* order) noexcept nogil:
    """Take an order that is about to leave off the list: the last one takes its place."""
    cdef uint32_t place = <uint32_t> order.user
    cdef order_t* last
    m.count -= 1
    m.sides[order.side < 0] -= 1
    if place != m.count:
        m.live[place] = m.live[m.count]
        last = <order_t*> book_order(&m.book, m.live[place])
        last.user = place


cdef int make_room(market_t* m) noexcept nogil:
    cdef uint64_t* live
    cdef uint32_t capacity = 2 * m.capacity if m.capacity else 512
    if m.count < m.capacity:
        return RESULT_OK
    live = <uint64_t*> fc_alloc(capacity, sizeof(uint64_t))
    if live == NULL:
        return RESULT_NO_MEMORY
    if m.count:
        memcpy(live, m.live, m.count * sizeof(uint64_t))
    fc_free(m.live)
    m.live = live
    m.capacity = capacity
    return RESULT_OK


cdef int finish(market_t* m, event_t* e) noexcept nogil:
    """Put the event to the book: 1, or -result code."""
    cdef book_change_t change
    cdef int result = book_apply(&m.book, e, &change)
    return 1 if result == RESULT_OK else -result


cdef int make_add(synthetic_t* s, market_t* m, int8_t side, event_t* e) noexcept nogil:
    cdef int result = make_room(m)
    if result != RESULT_OK:
        return -result
    s.next_order += 1 + below(s, 8)
    e.kind = KIND_ADD
    e.side = side
    e.order_id = <int64_t> s.next_order
    e.price = draw_price(s, m, side) * INCREMENT
    e.size = draw_size(s)
    e.match_id = ATTRIBUTION if below(s, 20) == 0 else 0
    result = finish(m, e)
    if result > 0:
        remember(m, s.next_order, side)
    return result


cdef int make_execution(synthetic_t* s, market_t* m, event_t* e) noexcept nogil:
    """One order hit by the aggressive order that is under way."""
    cdef int other = 1 if s.pending_side > 0 else 0
    cdef const order_t* order
    if m.sides[other] <= FEWEST:
        s.pending_lots = 0
        return make_add(s, m, -s.pending_side, e)
    order = &s.orders.orders[side_best(&m.book, other).front]
    e.kind = KIND_EXECUTE
    e.order_id = <int64_t> order.order_id
    e.size = order.size if order.size < s.pending_lots else s.pending_lots
    if below(s, 32) == 0:
        e.price = order.price
        if below(s, 2) == 0:
            e.flags = FLAG_NOT_PRINTABLE
    s.next_match += 1
    e.match_id = <int64_t> s.next_match
    s.pending_lots -= e.size
    if e.size == order.size:
        forget(m, order)
    return finish(m, e)


cdef int make_aggression(synthetic_t* s, market_t* m, int8_t side, event_t* e) noexcept nogil:
    s.pending_side = side
    s.pending_lots = draw_size(s)
    return make_execution(s, m, e)


cdef int make_change(synthetic_t* s, market_t* m, double u, event_t* e) noexcept nogil:
    """Replace (u < 0.1), reduce (u < 0.2) or delete a resting order."""
    cdef const order_t* order = book_order(&m.book, m.live[below(s, m.count)])
    cdef int8_t side = order.side
    cdef int result
    if m.sides[side < 0] <= FEWEST:
        return make_add(s, m, side, e)
    e.order_id = <int64_t> order.order_id
    if u < 0.1:
        forget(m, order)
        s.next_order += 1 + below(s, 8)
        e.kind = KIND_REPLACE
        e.new_order_id = <int64_t> s.next_order
        e.price = draw_price(s, m, side) * INCREMENT
        e.size = draw_size(s)
        result = finish(m, e)
        if result > 0:
            remember(m, s.next_order, side)
        return result
    if u < 0.2 and order.size > 1:
        e.kind = KIND_CANCEL
        e.size = 1 + below(s, <uint32_t> (order.size - 1))
    else:
        e.kind = KIND_DELETE
        forget(m, order)
    return finish(m, e)


cdef int make_hidden_trade(synthetic_t* s, market_t* m, event_t* e) noexcept nogil:
    cdef int64_t bid = book_best_bid(&m.book)
    cdef int64_t ask = book_best_ask(&m.book)
    e.kind = KIND_TRADE
    e.side = 1
    e.flags = FLAG_HIDDEN
    e.price = bid + (ask - bid) // 2
    e.size = draw_size(s)
    s.next_match += 1
    e.match_id = <int64_t> s.next_match
    return 1


cdef void advance(synthetic_t* s) noexcept nogil:
    """Move the clock, the burst and the symbol to the next message."""
    cdef int64_t left = CLOSE_NS - s.now_ns
    cdef uint64_t messages = s.total - s.done
    cdef double day = <double> (s.now_ns - OPEN_NS) / <double> (CLOSE_NS - OPEN_NS)
    cdef double middle = 2.0 * day - 1.0
    cdef double gap
    s.excitement *= 0.92
    if below(s, 64) == 0:
        s.excitement += 24.0
    gap = 2.2 * exponential(s) * (<double> left / <double> messages) / ((1.0 + s.excitement) * (0.6 + 1.2 * middle * middle))
    if gap > 0.25 * <double> left:
        gap = 0.25 * <double> left
    s.now_ns += <int64_t> gap
    if below(s, 2) == 0:
        s.current = below(s, s.symbols)


cdef int make_flow(synthetic_t* s, event_t* e) noexcept nogil:
    cdef market_t* m
    cdef double u
    cdef double arrivals
    cdef int8_t side
    if s.pending_lots == 0:
        advance(s)
    m = &s.markets[s.current]
    e.exch_ns = s.midnight_ns + s.now_ns
    e.symbol_id = s.current + 1
    e.price = NO_PRICE
    if s.pending_lots > 0:
        return make_execution(s, m, e)
    # One draw a statement: C may evaluate the operands of a sum in any order.
    u = uniform(s)
    u += uniform(s)
    u += uniform(s)
    u += uniform(s)
    m.fair += (u - 2.0) * 0.12 + (m.anchor - m.fair) * 0.00002
    if m.fair < 20.0:
        m.fair = 20.0
    if m.sides[0] < FEWEST:
        return make_add(s, m, 1, e)
    if m.sides[1] < FEWEST:
        return make_add(s, m, -1, e)
    # A book that lags behind the value is traded against.
    u = uniform(s)
    if u < 0.1:
        if <double> (book_best_ask(&m.book) // INCREMENT) < m.fair - 0.5:
            return make_aggression(s, m, 1, e)
        if <double> (book_best_bid(&m.book) // INCREMENT) > m.fair + 0.5:
            return make_aggression(s, m, -1, e)
    side = 1 if below(s, 2) == 0 else -1
    arrivals = 0.5 + 0.4 * (TYPICAL - <double> m.count) / TYPICAL
    arrivals = 0.1 if arrivals < 0.1 else arrivals
    u = uniform(s)
    if u < arrivals:
        return make_add(s, m, side, e)
    u = uniform(s)
    if u < 0.04:
        return make_aggression(s, m, side, e)
    if u < 0.06:
        return make_hidden_trade(s, m, e)
    return make_change(s, m, uniform(s), e)


cdef void make_fixed(synthetic_t* s, int64_t now_ns, int kind, uint64_t i, char letter, event_t* e) noexcept nogil:
    """A message of the session (i = 0) or of symbol i - 1."""
    cdef market_t* m = &s.markets[i - 1 if i else 0]
    s.now_ns = now_ns
    e.exch_ns = s.midnight_ns + now_ns
    e.kind = <uint8_t> kind
    e.symbol_id = <uint32_t> i
    e.payload[0] = letter
    if kind == KIND_LISTING:
        e.payload[0] = <int64_t> m.symbol
        e.payload[1] = 100
        e.payload[2] = 0x4E54205A434E4E51   # "QNNCZ TN": Nasdaq, normal, any lot, common stock, T for a test listing
        e.payload[3] = 0x4E000000004E204E   # "N N", leverage 0, "N": no IPO, no price band tier, no ETP, not inverse
    elif kind == KIND_STATUS:
        e.payload[2] = c' '
        e.payload[1] = 0x20202020
    elif kind == KIND_CROSS:
        e.price = <int64_t> m.fair * INCREMENT
        e.size = 100 * (1 + below(s, 500))
        e.payload[2] = letter
        s.next_match += 1
        e.match_id = <int64_t> s.next_match


cdef int synthetic_next(synthetic_t* s, event_t* e) noexcept nogil:
    cdef uint64_t n = s.symbols
    cdef uint64_t i = s.done
    cdef uint64_t left = s.total - s.done
    cdef int result = 1
    if left == 0:
        return 0
    e.exch_ns = 0
    e.local_ns = 0
    e.symbol_id = 0
    e.kind = 0
    e.side = 0
    e.flags = 0
    memset(e.payload, 0, sizeof(e.payload))
    # The session: O, listings, S, statuses, Q, opening crosses, the flow, closing crosses, M, E, C.
    if i == 0:
        make_fixed(s, 10_800 * SECOND, KIND_SYSTEM, 0, c'O', e)
    elif i < 1 + n:
        make_fixed(s, 10_900 * SECOND + <int64_t> i, KIND_LISTING, i, 0, e)
    elif i == 1 + n:
        make_fixed(s, 14_400 * SECOND, KIND_SYSTEM, 0, c'S', e)
    elif i < 2 + 2 * n:
        make_fixed(s, 14_500 * SECOND + <int64_t> (i - 1 - n), KIND_STATUS, i - 1 - n, c'T', e)
    elif i == 2 + 2 * n:
        make_fixed(s, OPEN_NS, KIND_SYSTEM, 0, c'Q', e)
    elif i < 3 + 3 * n:
        make_fixed(s, OPEN_NS, KIND_CROSS, i - 2 - 2 * n, c'O', e)
    elif left > 3 + n:
        result = make_flow(s, e)
    elif left > 3:
        make_fixed(s, CLOSE_NS, KIND_CROSS, 3 + n - left + 1, c'C', e)
    elif left == 3:
        make_fixed(s, CLOSE_NS, KIND_SYSTEM, 0, c'M', e)
    elif left == 2:
        make_fixed(s, 72_000 * SECOND, KIND_SYSTEM, 0, c'E', e)
    else:
        make_fixed(s, 72_300 * SECOND, KIND_SYSTEM, 0, c'C', e)
    if result > 0:
        s.done += 1
    return result


# ---- Python ----

@cython.final
@cython.no_gc_clear
cdef class SyntheticMarket:
    """Make the events of a synthetic trading day, in the order of time.

    Parameters
    ----------
    messages : int
        Events in all, the messages of the session included: at least ``OVERHEAD[0] + OVERHEAD[1] * len(symbols)``,
        below 2**40.
    seed : int, default 1
        Of the random numbers, 0..2**64-1: the same arguments give the same events everywhere.
    symbols : sequence of str, default ("SYNTH",)
        1 to 65,535 different names of 1 to 8 ASCII characters. Their symbol ids (stock locates) are 1, 2, ...
    midnight_ns : int, default 0
        Midnight of the day, ns since the UNIX epoch.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Notes
    -----
    Replayed through an order book the events are always valid: no unknown or duplicate orders, no oversize executions,
    never crossed or locked.

    **Thread safety**: one thread at a time; `fill` releases the GIL.
    """

    def __cinit__(self, messages, seed=1, symbols=("SYNTH",), midnight_ns=0):
        cdef uint64_t state
        cdef uint32_t i
        cdef market_t* m
        names = (symbols,) if isinstance(symbols, str) else tuple(symbols)
        if not 1 <= len(names) <= 65_535 or len(set(names)) != len(names):
            raise ValueError(f"symbols must be 1 to 65535 different names: count={len(names)}")
        for name in names:
            if not (isinstance(name, str) and name.isascii() and 1 <= len(name.strip()) == len(name) <= 8):
                raise ValueError(f"a symbol must have 1 to 8 ASCII characters: symbol={name!r}")
        least = SESSION + PER_SYMBOL * len(names)
        if not least <= messages < 2**40:
            raise ValueError(f"messages must lie in {least}..2**40-1 with {len(names)} symbols: messages={messages}")
        if not 0 <= seed < 2**64:
            raise ValueError(f"seed must lie in 0..2**64-1: seed={seed}")
        if not -(2**62) <= midnight_ns <= 2**62:
            raise ValueError(f"midnight_ns must lie within +-2**62: midnight_ns={midnight_ns}")
        self.symbols = names
        self.seed = seed
        state = seed
        for i in range(4):
            state += <uint64_t> 0x9E3779B97F4A7C15
            self._s.random[i] = split(state)
        self._s.midnight_ns = midnight_ns
        self._s.total = messages
        self._s.markets = <market_t*> fc_alloc(len(names), sizeof(market_t))
        if self._s.markets == NULL or orders_init(&self._s.orders, 1024, 1024) != RESULT_OK:
            raise MemoryError(f"no memory for {len(names)} synthetic markets")
        for i in range(<uint32_t> len(names)):
            m = &self._s.markets[i]
            if book_init(&m.book, &self._s.orders, i + 1, 256) != RESULT_OK:
                raise MemoryError(f"no memory for {len(names)} synthetic markets")
            self._s.symbols = i + 1
            m.symbol = int.from_bytes(names[i].encode().ljust(8), "little")
            m.fair = 2000.0 + below(&self._s, 18_000)
            m.anchor = m.fair

    def __dealloc__(self):
        cdef uint32_t i
        for i in range(self._s.symbols):
            fc_free(self._s.markets[i].live)
            book_free(&self._s.markets[i].book)
        fc_free(self._s.markets)
        orders_free(&self._s.orders)

    def fill(self, events):
        """Write the next events.

        Parameters
        ----------
        events : ndarray of EVENT_DTYPE, shape (n,), writable
            `seq` is left alone.

        Returns
        -------
        int
            Events written: n, fewer at the end of the day, 0 after it.
        """
        cdef cnp.ndarray a = check_events(events, "events", True, _EVENT_DTYPES)
        cdef event_t* out = events_data(a)
        cdef Py_ssize_t n = a.shape[0]
        cdef Py_ssize_t i = 0
        cdef int result = 1
        with nogil:
            while i < n:
                result = synthetic_next(&self._s, &out[i])
                if result <= 0:
                    break
                i += 1
        if result < 0:
            raise MemoryError(f"no memory for the orders of a synthetic market: result={-result}")
        return i

    @property
    def remaining(self):
        """Events that are still to come."""
        return self._s.total - self._s.done


cdef uint64_t split(uint64_t z) noexcept nogil:
    # The output function of splitmix64.
    z = (z ^ (z >> 30)) * <uint64_t> 0xBF58476D1CE4E5B9
    z = (z ^ (z >> 27)) * <uint64_t> 0x94D049BB133111EB
    return z ^ (z >> 31)
