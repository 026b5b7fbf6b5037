# cython: freethreading_compatible=True
"""A seeded, order-driven synthetic market.

Each symbol has a hidden reference price. Limit orders arrive on both sides at power-law distances from it and never cross
the book; aggressive orders execute what rests, more often where the book lags behind the reference; resting orders are
cancelled, reduced and replaced. Arrivals come in bursts with a U-shaped day, and about half of the messages stay with the
symbol of the one before. Options give the parts a known law: self-exciting arrivals with a branching ratio, the exponent
of the placement, market orders that prefer the thinner queue, reference prices that move together, pairs whose spread
reverts with a half-life. `SyntheticMarket.truth` tells what an estimate should find.

The result depends on the arguments alone, bit for bit on every platform: the random numbers are xoshiro256++ seeded by
splitmix64, and the arithmetic is integer or uses only operations that IEEE 754 rounds exactly (no libm).
"""

from collections import namedtuple
from operator import index

cimport cython
from libc.math cimport frexp, ldexp, sqrt  # exact everywhere
from libc.stdint cimport uint8_t
from libc.string cimport memcpy, memset

cimport numpy as cnp

from fastcore._arrays cimport check_events, events_data
from fastcore._integers cimport as_int64
from fastcore.records cimport (
    FLAG_CONTINUED,
    FLAG_HIDDEN,
    FLAG_NOT_PRINTABLE,
    KIND_ADD,
    KIND_BREAK,
    KIND_CANCEL,
    KIND_CROSS,
    KIND_DELETE,
    KIND_EXECUTE,
    KIND_IMBALANCE,
    KIND_LISTING,
    KIND_NOTICE,
    KIND_REPLACE,
    KIND_STATUS,
    KIND_SYSTEM,
    KIND_TRADE,
    NO_PRICE,
    RESULT_NO_MEMORY,
    RESULT_OK,
    SESSION_MARKET_CLOSES,
    SESSION_MARKET_OPENS,
    SESSION_MESSAGES_BEGIN,
    SESSION_MESSAGES_END,
    SESSION_SYSTEM_CLOSES,
    SESSION_SYSTEM_OPENS,
    TRADING_TRADING,
    fc_alloc,
    fc_free,
)
from fastcore.book cimport (
    book_apply,
    book_best_ask,
    book_best_bid,
    book_best_level,
    book_change_t,
    book_free,
    book_init,
    book_order,
    order_t,
    orders_free,
    orders_init,
)

import numpy as np

from fastcore.records import EVENT_DTYPE, QUOTE_DTYPE, REPLACE_DTYPE

cnp.import_array()

__all__ = ["OVERHEAD", "Pair", "SyntheticMarket", "Truth"]

cdef tuple _EVENT_DTYPES = (EVENT_DTYPE, QUOTE_DTYPE, REPLACE_DTYPE)

cdef enum:
    INCREMENT = 100         # ticks of a cent
    FEWEST = 8              # orders that a side must hold before anything but adds may happen
    DEEPEST = 400           # increments
    SESSION = 6             # messages that a session has once
    PER_SYMBOL = 4          # and for every symbol: listing, status, opening and closing cross
    ATTRIBUTION = 0x53594E54    # "SYNT"

# Messages that a session needs beside its flow: (once, for every symbol).
OVERHEAD = (SESSION, PER_SYMBOL)

Pair = namedtuple("Pair", "first second hedge_ratio half_life_s spread_ticks", defaults=(1.0, 60.0, 1_000.0))
Pair.__doc__ = """Two symbols whose prices belong together: second = hedge_ratio * first + constant + spread.

The spread reverts to 0 as an Ornstein-Uhlenbeck process.

Attributes
----------
first, second : str
hedge_ratio : float, default 1
half_life_s : float, default 60
    Time in which half of a spread is gone, seconds.
spread_ticks : float, default 1000
    Standard deviation of the spread in the long run, ticks.
"""

Truth = namedtuple("Truth", "options times_ns reference spreads intensity")
Truth.__doc__ = """What an estimate should find.

Attributes
----------
options : dict
    The arguments of the market by name.
times_ns : ndarray of int64, shape (steps + 1,), or None
    The open and every step of the day, as in `exch_ns`.
reference : ndarray of float64, shape (steps + 1, symbols), or None
    Reference prices from each of these times on, ticks; None where they move with the messages (no `volatility`).
spreads : ndarray of float64, shape (steps + 1, pairs), or None
    Spreads of the pairs, ticks.
intensity : ndarray of float64, shape (steps + 1,), or None
    Expected arrivals per second just before each time, NaN for what is still to come; None without `branching`.
"""

cdef int64_t SECOND = 1_000_000_000
cdef int64_t OPEN_NS = 34_200 * SECOND     # 09:30
cdef int64_t CLOSE_NS = 57_600 * SECOND    # 16:00
cdef double LOWEST = 20.0                  # increments that a reference price does not fall below
cdef object MOST_STEPS = 2**26             # times symbols


# ---- random numbers ----

cdef inline uint64_t rotated(uint64_t x, int k) noexcept nogil:
    return (x << k) | (x >> (64 - k))


cdef inline uint64_t next_random(uint64_t* r) noexcept nogil:
    cdef uint64_t result = rotated(r[0] + r[3], 23) + r[0]
    cdef uint64_t t = r[1] << 17
    r[2] ^= r[0]
    r[3] ^= r[1]
    r[1] ^= r[2]
    r[0] ^= r[3]
    r[2] ^= t
    r[3] = rotated(r[3], 45)
    return result


cdef uint64_t draw(synthetic_t* s) noexcept nogil:
    return next_random(s.random)


cdef inline uint32_t below(synthetic_t* s, uint32_t n) noexcept nogil:
    return <uint32_t> (((draw(s) >> 32) * n) >> 32)


cdef inline double uniform(synthetic_t* s) noexcept nogil:
    """In [0, 1)."""
    return <double> (draw(s) >> 11) * (1.0 / 9007199254740992.0)


cdef double natural_log(double y) noexcept nogil:
    """y > 0, normal; by its series, to about 1e-11."""
    cdef int e = 0
    cdef int i
    cdef double m = frexp(y, &e)
    cdef double x = (2.0 * m - 1.0) / (2.0 * m + 1.0)
    cdef double x2 = x * x
    cdef double total = 0.0
    for i in range(19, 0, -2):
        total = total * x2 + 1.0 / i
    return (e - 1) * 0.6931471805599453 + 2.0 * x * total


cdef double exponential(synthetic_t* s) noexcept nogil:
    """Mean 1: -log(k / 2^53), the logarithm by its own series because those of the platforms differ."""
    cdef int e = 0
    cdef int i
    cdef double m = 2.0 * frexp(<double> ((draw(s) >> 11) + 1), &e)
    cdef double x = (m - 1.0) / (m + 1.0)
    cdef double x2 = x * x
    cdef double total = 0.0
    for i in range(19, 0, -2):
        total = total * x2 + 1.0 / i
    return (54 - e) * 0.6931471805599453 - 2.0 * x * total


cdef double natural_exp(double y) noexcept nogil:
    """-inf < y < 700; by its series, to about 1e-11."""
    cdef int64_t k
    cdef int i
    cdef double r
    cdef double total = 1.0
    if y < -700.0:
        return 0.0
    k = <int64_t> (y * 1.4426950408889634 + (0.5 if y >= 0.0 else -0.5))
    r = y - <double> k * 0.6931471805599453
    for i in range(10, 0, -1):
        total = 1.0 + r * total * (1.0 / i)
    return ldexp(total, <int> k)


cdef double normal(uint64_t* random) noexcept nogil:
    """Mean 0, variance 1, close to normal within +-4.8: the sum of eight numbers of 16 bits."""
    cdef uint64_t a = next_random(random)
    cdef uint64_t b = next_random(random)
    cdef uint64_t even = 0x0000FFFF0000FFFF
    cdef uint64_t pairs = (a & even) + (a >> 16 & even) + (b & even) + (b >> 16 & even)
    cdef int64_t total = <int64_t> (<uint32_t> pairs + (pairs >> 32))
    return <double> (total - 262_140) * 1.8688123650118534e-05


cdef int64_t power_law(synthetic_t* s, int64_t most) noexcept nogil:
    """1, 2, ... with P(at least k) = k^-4/3, cut off."""
    cdef double u = <double> ((draw(s) >> 11) + 1) * (1.0 / 9007199254740992.0)
    cdef double root = sqrt(u)
    cdef int64_t k = <int64_t> (1.0 / (root * sqrt(root)))
    return k if k < most else most


cdef int64_t draw_depth(synthetic_t* s) noexcept nogil:
    """1, 2, ..., DEEPEST with P(at least k) = k^-exponent."""
    cdef double x
    cdef int64_t k
    if s.tail == 0.0:
        return power_law(s, DEEPEST)
    x = exponential(s) * s.tail
    if x > 7.0:
        return DEEPEST
    k = <int64_t> natural_exp(x)
    return k if k < DEEPEST else DEEPEST


cdef int64_t draw_size(synthetic_t* s) noexcept nogil:
    if below(s, 5) == 0:
        return 1 + below(s, 99)
    return 100 * power_law(s, 20)


# ---- flow ----

cdef int64_t draw_price(synthetic_t* s, market_t* m, int8_t side) noexcept nogil:
    """Increments, at or behind the reference price and in front of the other side's best."""
    cdef int64_t depth = draw_depth(s) - 1
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
    order = &s.orders.orders[book_best_level(&m.book, other).front]
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


cdef int make_pull(synthetic_t* s, market_t* m, int8_t side, event_t* e) noexcept nogil:
    """The first order in the best queue of a side is deleted."""
    cdef const order_t* order = &s.orders.orders[book_best_level(&m.book, side < 0).front]
    if m.sides[side < 0] <= FEWEST:
        return make_add(s, m, side, e)
    e.kind = KIND_DELETE
    e.order_id = <int64_t> order.order_id
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


cdef void move_values(values_t* v) noexcept nogil:
    """One step of all reference prices."""
    cdef double factor = normal(v.random) * v.common
    cdef double z
    cdef uint32_t i
    cdef value_t* own
    cdef value_t* first
    for i in range(v.symbols):
        own = &v.values[i]
        z = normal(v.random)
        if own.first:
            own.spread = own.keep * own.spread + own.noise * z
        else:
            own.value += own.sigma * (factor + v.own * z)
            if own.value < LOWEST:
                own.value = LOWEST
    for i in range(v.symbols):
        own = &v.values[i]
        if own.first:
            first = &v.values[own.first - 1]
            own.value = own.start + own.ratio * (first.value - first.start) + own.spread
            if own.value < LOWEST:
                own.value = LOWEST


cdef void move_to(synthetic_t* s, int64_t now_ns, double base) noexcept nogil:
    """Set the clock, and do the steps on the way; base = arrivals per ns that nothing caused."""
    cdef int64_t next_ns
    cdef uint32_t i
    cdef double caused
    while s.step < s.steps:
        next_ns = OPEN_NS + <int64_t> (s.step + 1) * s.step_ns
        if next_ns > now_ns:
            break
        s.step += 1
        if s.intensity != NULL:
            caused = s.excitement * natural_exp(-s.decay * <double> (next_ns - s.now_ns))
            s.intensity[s.step] = (base + caused) * 1e9
        if s.values.values != NULL:
            move_values(&s.values)
            for i in range(s.symbols):
                s.markets[i].fair = s.values.values[i].value
    s.now_ns = now_ns


cdef double base_rate(const synthetic_t* s, double arrivals, double day, double rate) noexcept nogil:
    """Arrivals per ns that nothing caused, such that those that are left last to the close."""
    cdef double middle = 2.0 * day - 1.0
    # The integral of the rate from now to the close, as a share of a whole day at its mean.
    cdef double share = s.flat * (1.0 - day) + s.bend * (1.0 - middle * middle * middle) / 6.0
    return (1.0 - s.branching) * arrivals * rate / (share * <double> (CLOSE_NS - OPEN_NS))


cdef double branched_gap(synthetic_t* s, double base, double* kept) noexcept nogil:
    """Time to the next arrival, one that nothing caused or one that an earlier one did; and the share of the rate that is
    left then.

    A process with an exponential kernel needs no thinning: the earlier of two independent times (Dassios, Zhao 2013).
    """
    cdef double gap = exponential(s) / base
    cdef double caused
    if s.branching == 0.0:
        return gap
    kept[0] = natural_exp(-s.decay * gap)
    if s.excitement > 0.0:
        caused = 1.0 - exponential(s) * s.decay / s.excitement
        if caused > kept[0]:
            kept[0] = caused
            gap = -natural_log(caused) / s.decay
    return gap


cdef inline uint64_t opening_events(const synthetic_t* s) noexcept nogil:
    """Events before the flow, and after it."""
    return 3 + 3 * <uint64_t> s.symbols + s.script_open


cdef inline uint64_t closing_events(const synthetic_t* s) noexcept nogil:
    return 3 + <uint64_t> s.symbols + s.script_close + s.script_after


cdef void advance(synthetic_t* s) noexcept nogil:
    """Move the clock, the burst and the symbol to the next message."""
    cdef int64_t left = CLOSE_NS - s.now_ns
    cdef uint64_t messages = s.total - s.done
    cdef double day = <double> (s.now_ns - OPEN_NS) / <double> (CLOSE_NS - OPEN_NS)
    cdef double middle = 2.0 * day - 1.0
    cdef double rate = s.flat + s.bend * middle * middle
    cdef double base = 0.0
    cdef double gap = 0.0
    cdef double kept = 1.0
    cdef double share
    if s.branching < 0.0:
        s.excitement *= 0.92
        if below(s, 64) == 0:
            s.excitement += 24.0
        gap = 2.2 * exponential(s) * (<double> left / <double> messages) / ((1.0 + s.excitement) * rate)
    elif left > 0:
        # What is left as arrivals: those so far for their messages, an execution of several orders being one arrival.
        messages -= closing_events(s)
        share = (<double> s.arrivals + 950.0) / (<double> (s.done - opening_events(s)) + 1000.0)
        base = base_rate(s, <double> messages * share, day, rate)
        gap = branched_gap(s, base, &kept)
        s.arrivals += 1
    if gap > 0.25 * <double> left:
        gap = 0.25 * <double> left
    move_to(s, s.now_ns + <int64_t> gap, base)
    if s.branching > 0.0:
        s.excitement = s.excitement * kept + s.branching * s.decay
    if below(s, 2) == 0:
        s.current = below(s, s.symbols)


cdef int8_t draw_aggressor(synthetic_t* s, const market_t* m) noexcept nogil:
    """Market orders on a queue are the rarer the longer it is: P(buy) = bid queue / both queues."""
    cdef double bids = <double> book_best_level(&m.book, 0).size
    cdef double asks = <double> book_best_level(&m.book, 1).size
    return 1 if uniform(s) * (bids + asks) < bids else -1


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
    if s.values.values == NULL:
        # One draw a statement: C may evaluate the operands of a sum in any order.
        u = uniform(s)
        u += uniform(s)
        u += uniform(s)
        u += uniform(s)
        m.fair += (u - 2.0) * 0.12 + (m.anchor - m.fair) * 0.00002
        if m.fair < LOWEST:
            m.fair = LOWEST
    if m.sides[0] < FEWEST:
        return make_add(s, m, 1, e)
    if m.sides[1] < FEWEST:
        return make_add(s, m, -1, e)
    # A book that lags behind the reference is traded against; where the reference moves by itself, so are stale orders pulled.
    u = uniform(s)
    if u < (0.1 if s.values.values == NULL else 0.75):
        side = 0
        if <double> (book_best_ask(&m.book) // INCREMENT) < m.fair - 0.5:
            side = 1
        elif <double> (book_best_bid(&m.book) // INCREMENT) > m.fair + 0.5:
            side = -1
        if side and u < 0.25:
            return make_aggression(s, m, side, e)
        if side:
            return make_pull(s, m, -side, e)
    side = 1 if below(s, 2) == 0 else -1
    if s.reactive:
        # Adds at a steady rate, each resting order changed at a steady rate: the queues find their own length.
        arrivals = s.typical / (s.typical + <double> m.count)
    else:
        arrivals = 0.5 + 0.4 * (s.typical - <double> m.count) / s.typical
        arrivals = 0.1 if arrivals < 0.1 else arrivals
    u = uniform(s)
    if u < arrivals:
        return make_add(s, m, side, e)
    u = uniform(s)
    if u < 0.04:
        return make_aggression(s, m, draw_aggressor(s, m) if s.reactive else side, e)
    if u < 0.06:
        return make_hidden_trade(s, m, e)
    return make_change(s, m, uniform(s), e)


cdef void make_fixed(synthetic_t* s, int64_t now_ns, int kind, uint64_t i, int code, event_t* e) noexcept nogil:
    """A message of the session (i = 0) or of symbol i - 1."""
    cdef market_t* m = &s.markets[i - 1 if i else 0]
    if kind == KIND_CROSS:
        move_to(s, now_ns, 0.0)
    s.now_ns = now_ns
    e.exch_ns = s.midnight_ns + now_ns
    e.kind = <uint8_t> kind
    e.symbol_id = <uint32_t> i
    e.payload[0] = code
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
        e.payload[2] = code
        s.next_match += 1
        e.match_id = <int64_t> s.next_match


cdef void make_scripted(synthetic_t* s, uint64_t i, event_t* e) noexcept nogil:
    """Event i of the script; prices of an auction are those of the moment."""
    cdef uint64_t seq = e.seq
    cdef int64_t price
    memcpy(e, &s.script[i], sizeof(event_t))
    e.seq = seq
    s.now_ns = e.exch_ns
    e.exch_ns += s.midnight_ns
    if e.kind == KIND_IMBALANCE:
        price = <int64_t> s.markets[e.symbol_id - 1].fair * INCREMENT
        e.payload[0] += price
        if not e.flags & FLAG_CONTINUED:
            e.payload[1] += price
    elif e.kind == KIND_BREAK:
        e.match_id = <int64_t> s.next_match


cdef int synthetic_next(synthetic_t* s, event_t* e) noexcept nogil:
    cdef uint64_t n = s.symbols
    cdef uint64_t i = s.done
    cdef uint64_t left = s.total - s.done
    cdef uint64_t opening = s.script_open
    cdef uint64_t closing = s.script_close
    cdef uint64_t after = s.script_after
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
    # The session: O, listings, S, statuses, script, Q, opening crosses, the flow, script, closing crosses, script, M, E, C.
    if i == 0:
        make_fixed(s, 10_800 * SECOND, KIND_SYSTEM, 0, SESSION_MESSAGES_BEGIN, e)
    elif i < 1 + n:
        make_fixed(s, 10_900 * SECOND + <int64_t> i, KIND_LISTING, i, 0, e)
    elif i == 1 + n:
        make_fixed(s, 14_400 * SECOND, KIND_SYSTEM, 0, SESSION_SYSTEM_OPENS, e)
    elif i < 2 + 2 * n:
        make_fixed(s, 14_500 * SECOND + <int64_t> (i - 1 - n), KIND_STATUS, i - 1 - n, TRADING_TRADING, e)
    elif i < 2 + 2 * n + opening:
        make_scripted(s, i - 2 - 2 * n, e)
    elif i == 2 + 2 * n + opening:
        make_fixed(s, OPEN_NS, KIND_SYSTEM, 0, SESSION_MARKET_OPENS, e)
    elif i < 3 + 3 * n + opening:
        make_fixed(s, OPEN_NS, KIND_CROSS, i - 2 - 2 * n - opening, c'O', e)
    elif left > 3 + after + n + closing:
        result = make_flow(s, e)
    elif left > 3 + after + n:
        move_to(s, CLOSE_NS, 0.0)
        make_scripted(s, opening + closing - (left - 3 - after - n), e)
    elif left > 3 + after:
        make_fixed(s, CLOSE_NS, KIND_CROSS, 3 + after + n - left + 1, c'C', e)
    elif left > 3:
        make_scripted(s, opening + closing + after - (left - 3), e)
    elif left == 3:
        make_fixed(s, CLOSE_NS, KIND_SYSTEM, 0, SESSION_MARKET_CLOSES, e)
    elif left == 2:
        make_fixed(s, 72_000 * SECOND, KIND_SYSTEM, 0, SESSION_SYSTEM_CLOSES, e)
    else:
        make_fixed(s, 72_300 * SECOND, KIND_SYSTEM, 0, SESSION_MESSAGES_END, e)
    if result > 0:
        s.done += 1
    return result


# ---- Python ----

cdef double within(str name, object value, double low, double high) except? -1.0:
    """A float between two bounds, or ValueError."""
    cdef double x = value
    if not low <= x <= high:
        raise ValueError(f"{name} must be in {low:g}..{high:g}: {name}={value}")
    return x


cdef tuple scripted(list prices):
    """Events of the types that the flow lacks, for symbols with these first prices: (before the open, close, after)."""
    n = len(prices)
    parts = [], [], []

    def put(part, second, kind, symbol_id, *payloads, side=0):
        for i, payload in enumerate(payloads):
            flags = FLAG_CONTINUED if i + 1 < len(payloads) else 0
            parts[part].append((0, second * SECOND, 0, symbol_id, kind, side, flags, *payload))

    def notice(part, second, letter, symbol_id, *payloads):
        put(part, second, KIND_NOTICE, symbol_id, *((ord(letter), *payload) for payload in payloads))

    notice(0, 14_600, "V", 0, (446_400_000_000, 417_600_000_000, 384_000_000_000))
    for i in range(1, n + 1):
        notice(0, 14_700, "Y", i, (ord("012"[i % 3]), 0, 0))
        notice(0, 14_700, "L", i, (ATTRIBUTION, int.from_bytes(b"YNA", "little"), 0))
        notice(0, 14_700, "N", i, (ord("BSAN"[i % 4]), 0, 0))
    price = prices[0]
    notice(0, 14_800, "K", 1, (34_200, ord("A"), price))
    notice(0, 14_900, "J", 1, (price, price + 5_000, price - 5_000), (1, 0, 0))
    notice(0, 15_000, "h", 1, (ord("Q"), ord("H"), 0))
    notice(0, 15_100, "h", 1, (ord("Q"), ord("T"), 0))
    price = prices[n - 1]
    notice(
        0, 15_200, "O", n,
        (ord("Y"), price, 34_100 * SECOND), (price - 10_000, price + 10_000, 0), (price - 5_000, price + 5_000, 0),
    )
    for part, second, cross in ((0, 34_080, "O"), (1, 57_600, "C")):
        for i in range(1, n + 1):
            direction = "BSNO"[i % 4]
            put(
                part, second, KIND_IMBALANCE, i,
                (0, 100 * i if direction in "BS" else 0, 1_000 * i, ord(cross)),
                (100, 0, ord(direction), ord("L")),
                side={"B": 1, "S": -1}.get(direction, 0),
            )
    put(2, 57_600, KIND_BREAK, n, (NO_PRICE, 0, 0, 0))
    notice(2, 57_600, "W", 0, (ord("1"), 0, 0))
    return parts


cdef list checked_pairs(object pairs, tuple names):
    """The pairs with numbers for names; every symbol in one pair at most."""
    checked = []
    seen = set()
    for pair in pairs:
        pair = Pair(*pair)
        for name in pair[:2]:
            if name not in names or name in seen:
                raise ValueError(f"a pair must have two symbols of the market that are in no other pair: symbol={name!r}")
            seen.add(name)
        checked.append(Pair(
            pair.first,
            pair.second,
            within("hedge_ratio", pair.hedge_ratio, 0.01, 100.0),
            within("half_life_s", pair.half_life_s, 0.001, 1e6),
            within("spread_ticks", pair.spread_ticks, 0.0, 1e6),
        ))
    return checked


@cython.final
@cython.no_gc_clear
cdef class SyntheticMarket:
    """SyntheticMarket(messages, seed=1, symbols=..., midnight_ns=0, *, tail=1.3333333333333333, orders=160, \
reactive=False, branching=None, burst_s=0.5, u_shape=0.4, volatility=None, correlation=0.0, pairs=(), step_s=1.0, \
all_types=False)\n--\n\n
    Make the events of a synthetic trading day, in the order of time.

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
    tail : float, default 4/3
        Exponent of the placement, 0.2..10: an order lies k increments or more from the reference price (or, where that is
        nearer, from the other side's best) with probability k**-tail, for k up to 400. Measured on real books: about 0.6
        (Bouchaud, Mezard, Potters 2002).
    orders : int, default 160
        Resting orders of a symbol that arrivals and changes tend to, 32..1,000,000: about, and less where a reference price
        with `volatility` sweeps them away.
    reactive : bool, default False
        The queues react (after Huang, Lehalle, Rosenbaum 2015): adds come at a steady rate, changes in proportion to the
        resting orders, and a market order is a buy with probability bid queue / (bid queue + ask queue). Otherwise both
        sides are equally likely, and arrivals fall in a straight line with the number of orders.
    branching : float, optional
        Arrivals that each arrival causes, 0..0.95: a Hawkes process with an exponential kernel, 0 a Poisson process. Counts
        of arrivals in a long time vary 1 / (1 - branching)**2 times as much as those of a Poisson process. By default bursts
        are counted in messages and have no such law.
    burst_s : float, default 0.5
        Mean time from an arrival to those that it causes, seconds.
    u_shape : float, default 0.4
        Of the rate over the day, 0..0.9: 1 - u_shape + 3 * u_shape * x**2, x from -1 at 09:30 to 1 at 16:00; 0 is flat.
    volatility : float, optional
        Standard deviation of the reference price over the day as a share of its start, up to 0.2: a random walk, one step
        every `step_s`. By default the reference price moves with each message and is drawn back; 0.02 with `correlation` or
        `pairs`.
    correlation : float, default 0
        Of the steps of any two reference prices, 0..1: one factor that all share.
    pairs : sequence of Pair, default ()
        Cointegrated pairs, as `Pair` or as its fields; a symbol may be in one of them.
    all_types : bool, default False
        The session has the message types that the flow lacks, too: ITCH V, Y, L, N, K, J, h, O, I, B and W, some of them as several
        events. They take 11 more events, and 7 more for each symbol.
    step_s : float, default 1
        Seconds, in whole nanoseconds, between two steps of the reference prices and of `truth`, 0.001..3600.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Notes
    -----
    Replayed through an order book the events are always valid: no unknown or duplicate orders, no oversize executions,
    never crossed or locked.

    A step costs as much as a few messages for every symbol: with thousands of symbols choose a longer `step_s`.

    **Thread safety**: one thread at a time; `fill` releases the GIL.
    """

    def __cinit__(
        self,
        messages,
        seed=1,
        symbols=("SYNTH",),
        midnight_ns=0,
        *,
        tail=4.0 / 3.0,
        orders=160,
        reactive=False,
        branching=None,
        burst_s=0.5,
        u_shape=0.4,
        volatility=None,
        correlation=0.0,
        pairs=(),
        step_s=1.0,
        all_types=False,
    ):
        cdef uint64_t state
        cdef uint32_t i
        cdef market_t* m
        cdef synthetic_t* s = &self._s
        names = (symbols,) if isinstance(symbols, str) else tuple(symbols)
        if not 1 <= len(names) <= 65_535 or len(set(names)) != len(names):
            raise ValueError(f"symbols must be 1 to 65535 different names: count={len(names)}")
        for name in names:
            if not (isinstance(name, str) and name.isascii() and 1 <= len(name.strip()) == len(name) <= 8):
                raise ValueError(f"a symbol must have 1 to 8 ASCII characters: symbol={name!r}")
        least = SESSION + PER_SYMBOL * len(names) + (11 + 7 * len(names) if all_types else 0)
        if not least <= index(messages) < 2**40:
            raise ValueError(f"messages must be in {least}..2**40-1 with {len(names)} symbols: messages={messages}")
        if not 0 <= index(seed) < 2**64:
            raise ValueError(f"seed must be in 0..2**64-1: seed={seed}")
        if not -(2**62) <= index(midnight_ns) <= 2**62:
            raise ValueError(f"midnight_ns must be in -2**62..2**62: midnight_ns={midnight_ns}")
        tail = within("tail", tail, 0.2, 10.0)
        orders = as_int64(orders)
        if not 32 <= orders <= 1_000_000:
            raise ValueError(f"orders must be in 32..1000000: orders={orders}")
        u_shape = within("u_shape", u_shape, 0.0, 0.9)
        burst_s = within("burst_s", burst_s, 1e-6, 3600.0)
        correlation = within("correlation", correlation, 0.0, 1.0)
        step_s = within("step_s", step_s, 0.001, 3600.0)
        pairs = checked_pairs(pairs, names)
        if branching is not None:
            branching = within("branching", branching, 0.0, 0.95)
        if volatility is None and (correlation or pairs):
            volatility = 0.02
        if volatility is not None:
            volatility = within("volatility", volatility, 0.0, 0.2)
        self.symbols = names
        self.seed = seed
        self._options = {
            "messages": messages, "seed": seed, "symbols": names, "midnight_ns": midnight_ns, "tail": tail,
            "orders": orders, "reactive": bool(reactive), "branching": branching, "burst_s": burst_s, "u_shape": u_shape,
            "volatility": volatility, "correlation": correlation, "pairs": tuple(pairs), "step_s": step_s,
            "all_types": bool(all_types),
        }
        state = seed
        for i in range(8):
            state += <uint64_t> 0x9E3779B97F4A7C15
            if i < 4:
                s.random[i] = split(state)
            else:
                s.values.seed[i - 4] = split(state)
                s.values.random[i - 4] = s.values.seed[i - 4]
        s.midnight_ns = midnight_ns
        s.total = messages
        s.tail = 0.0 if tail == 4.0 / 3.0 else 1.0 / <double> tail
        s.typical = orders
        s.reactive = reactive
        s.flat = 1.0 - <double> u_shape
        s.bend = <double> u_shape * 30.0 / 10.0  # rounds 3 * 0.4 to 1.2
        s.branching = -1.0
        s.markets = <market_t*> fc_alloc(len(names), sizeof(market_t))
        if s.markets == NULL or orders_init(&s.orders, 1024, 1024) != RESULT_OK:
            raise MemoryError(f"no memory for {len(names)} synthetic markets")
        for i in range(<uint32_t> len(names)):
            m = &s.markets[i]
            if book_init(&m.book, &s.orders, i + 1) != RESULT_OK:
                raise MemoryError(f"no memory for {len(names)} synthetic markets")
            s.symbols = i + 1
            m.symbol = int.from_bytes(names[i].encode().ljust(8), "little")
            m.fair = 2000.0 + below(s, 18_000)
            m.anchor = m.fair
        if all_types:
            self._write_script()
        if branching is None and volatility is None:
            return
        s.step_ns = <int64_t> (<double> step_s * 1e9 + 0.5)
        s.steps = <uint32_t> ((CLOSE_NS - OPEN_NS) // s.step_ns)
        if branching is not None:
            s.branching = branching
            s.decay = 1e-9 / <double> burst_s
            s.intensity = <double*> fc_alloc(s.steps + 1, sizeof(double))
            if s.intensity == NULL:
                raise MemoryError(f"no memory for {s.steps} steps of a synthetic market")
            s.intensity[0] = base_rate(s, 0.95 * <double> (messages - least), 0.0, s.flat + s.bend) * 1e9
        if volatility is not None:
            self._begin_values(volatility, correlation, pairs)

    cdef int _write_script(self) except -1:
        cdef synthetic_t* s = &self._s
        cdef uint32_t i
        parts = scripted([<int64_t> s.markets[i].fair * INCREMENT for i in range(s.symbols)])
        events = np.array(parts[0] + parts[1] + parts[2], EVENT_DTYPE)
        s.script = <event_t*> fc_alloc(len(events), sizeof(event_t))
        if s.script == NULL:
            raise MemoryError(f"no memory for {len(events)} events of a synthetic session")
        memcpy(s.script, events_data(events), len(events) * sizeof(event_t))
        s.script_open, s.script_close, s.script_after = (len(part) for part in parts)
        return 0

    cdef int _begin_values(self, double volatility, double correlation, list pairs) except -1:
        cdef synthetic_t* s = &self._s
        cdef value_t* v
        cdef uint32_t i
        if MOST_STEPS < s.symbols * (s.steps + 1):
            raise ValueError(f"steps of the day times symbols must not exceed 2**26: steps={s.steps} symbols={s.symbols}")
        s.values.symbols = s.symbols
        s.values.common = sqrt(correlation)
        s.values.own = sqrt(1.0 - correlation)
        s.values.values = <value_t*> fc_alloc(s.symbols, sizeof(value_t))
        if s.values.values == NULL:
            raise MemoryError(f"no memory for {s.symbols} synthetic markets")
        for i in range(s.symbols):
            v = &s.values.values[i]
            v.start = v.value = s.markets[i].fair
            v.sigma = volatility * v.start / sqrt(<double> s.steps)
        for number, pair in enumerate(pairs):
            v = &s.values.values[self.symbols.index(pair.second)]
            v.first = self.symbols.index(pair.first) + 1
            v.pair = number
            v.ratio = pair.hedge_ratio
            v.keep = natural_exp(-0.6931471805599453 * (<double> s.step_ns * 1e-9) / <double> pair.half_life_s)
            v.noise = <double> pair.spread_ticks / INCREMENT * sqrt(1.0 - v.keep * v.keep)
        return 0

    def __dealloc__(self):
        cdef uint32_t i
        for i in range(self._s.symbols):
            fc_free(self._s.markets[i].live)
            book_free(&self._s.markets[i].book)
        fc_free(self._s.markets)
        fc_free(self._s.intensity)
        fc_free(self._s.script)
        fc_free(self._s.values.values)
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
            Events written: n, fewer at the end of the day and where a message of several events is not to be split, 0 after it.

        Raises
        ------
        ValueError
            With `all_types`, if there is no room for a message (three events).
        """
        cdef cnp.ndarray a = check_events(events, "events", True, _EVENT_DTYPES)
        cdef event_t* out = events_data(a)
        cdef Py_ssize_t n = a.shape[0]
        cdef Py_ssize_t i = 0
        cdef synthetic_t* s = &self._s
        cdef int result = 1
        if self._s.script != NULL and n < 3:
            raise ValueError(f"events must have room for a message of three events: length={n}")
        with nogil:
            while i < n:
                result = synthetic_next(&self._s, &out[i])
                if result <= 0:
                    break
                i += 1
            while i > 0 and out[i - 1].flags & FLAG_CONTINUED:  # scripted: made again at the next call
                i -= 1
                s.done -= 1
        if result < 0:
            raise MemoryError(f"no memory for the orders of a synthetic market: result={-result}")
        return i

    @property
    def remaining(self):
        """Events that are still to come."""
        return self._s.total - self._s.done

    @property
    def truth(self):
        """What an estimate should find, as `Truth`: the parameters and the hidden paths of the day.

        The reference prices do not depend on the orders: the whole path is there before the first event, and made anew at
        every call.
        """
        cdef synthetic_t* s = &self._s
        cdef values_t v = s.values
        cdef Py_ssize_t rows = s.steps + 1
        cdef Py_ssize_t k, i, j
        cdef double[:, ::1] reference
        cdef double[:, ::1] spreads
        cdef double[::1] intensity
        times = paths = apart = rates = None
        if s.step_ns:
            times = s.midnight_ns + OPEN_NS + s.step_ns * np.arange(rows, dtype=np.int64)
        if s.intensity != NULL:
            rates = np.full(rows, np.nan)
            intensity = rates
            for k in range(s.step + 1):
                intensity[k] = s.intensity[k]
        if s.values.values != NULL:
            paths = np.empty((rows, s.symbols))
            apart = np.empty((rows, len(self._options["pairs"])))
            reference = paths
            spreads = apart
            v.values = <value_t*> fc_alloc(s.symbols, sizeof(value_t))
            if v.values == NULL:
                raise MemoryError(f"no memory for {s.symbols} synthetic markets")
            with nogil:
                memcpy(v.values, s.values.values, s.symbols * sizeof(value_t))
                memcpy(v.random, v.seed, sizeof(v.seed))
                for i in range(s.symbols):
                    v.values[i].value = v.values[i].start
                    v.values[i].spread = 0.0
                for k in range(rows):
                    if k:
                        move_values(&v)
                    for i in range(s.symbols):
                        reference[k, i] = v.values[i].value * INCREMENT
                        if v.values[i].first:
                            j = v.values[i].pair
                            spreads[k, j] = v.values[i].spread * INCREMENT
                fc_free(v.values)
        return Truth(dict(self._options), times, paths, apart, rates)


cdef uint64_t split(uint64_t z) noexcept nogil:
    # The output function of splitmix64.
    z = (z ^ (z >> 30)) * <uint64_t> 0xBF58476D1CE4E5B9
    z = (z ^ (z >> 27)) * <uint64_t> 0x94D049BB133111EB
    return z ^ (z >> 31)
