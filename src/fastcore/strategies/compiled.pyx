# cython: freethreading_compatible=True
"""Strategies whose hooks are C functions: the compiled side of ``hft.compiled``, called without the GIL.

Hooks are called for the same, in the same order and with the same numbers as those of ``strategies.hooks``; ``on_start`` and ``on_stop`` are
called in Python.
"""

import sys

cimport cython
from cpython.exc cimport PyErr_CheckSignals
from libc.math cimport NAN, cos, fabs, floor, isfinite, log, pow, sin, sqrt
from libc.stdint cimport int8_t, int64_t, uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from fastcore._integers cimport as_int64
from fastcore.book cimport book_best_ask, book_best_bid, book_change_t, book_level_size, book_next_price, book_t, top_t
from fastcore.instruments cimport instrument_price, instrument_t, instrument_ticks
from fastcore.journal cimport Spool, spool_claim, spool_room
from fastcore.market cimport market_book
from fastcore.portfolio cimport position_average_price, position_t
from fastcore.records cimport (
    BUY, FLAG_AT, FLAG_AUCTION, FLAG_CONTINUED, FLAG_CROSSING, FLAG_HELD, FLAG_HIDDEN, FLAG_NOT_PRINTABLE, FLAG_THROUGH, FLAG_TOOK, KIND_ACK,
    KIND_ADD, KIND_CANCEL, KIND_CLEAR, KIND_DELETE, KIND_DETAIL, KIND_EXECUTE, KIND_FILL, KIND_GAP, KIND_LEVEL,
    KIND_PULLED, KIND_REJECT, KIND_REPLACE, KIND_STATUS, KIND_SYSTEM, KIND_TRADE, MATCH_TOOK, NO_PRICE, NO_SIDE, NO_SYMBOL, RESULT_BAD_PRICE,
    RESULT_BAD_SIZE, RESULT_EXPIRED, RESULT_OFF_INCREMENT, RESULT_OFF_LOT, SELL, TERMS_FOK, TERMS_GTD, TERMS_IOC, TERMS_MARKET, TERMS_POST_ONLY,
    TERMS_TIME, event_t, likely, unlikely,
)
from fastcore.strategies.hooks cimport Handle, Order, PythonStrategy, ahead_units
from fastcore.strategies.quotes cimport QUOTE_NO_GRID, QUOTE_NO_SIZE, QUOTE_WANTED, quote_side, two_sided
from fastcore.strategy cimport (
    DESK_ORDERS, DESK_RUNGS, ON_BOOK, ON_EVENT, ON_INSTANT, ON_REPORT, ON_START, ON_STOP, ON_TIMER, STRATEGY_ERROR, STRATEGY_OK,
    STRATEGY_ROOM, Strategy, context_t, fill_fee, fill_mid, order_works, own_order_t, strategy_t, want as want_event, want_amend, want_more,
    want_order, want_position, want_pull, want_quotes, want_timer,
)
from fastcore.zscore cimport PairZScore, RollingZScore, rolling_update

from fastcore.errors import Result

__all__ = ["CAUSES", "FUNCTIONS", "LAYOUTS", "PROBLEMS", "STATES", "CompiledStrategy"]

cdef enum:
    DEPTH = 10      # levels of `bids` and `asks`
    BOOK = 0
    ON_DEPTH = 1
    TRADE = 2
    FILL = 3
    ORDER = 4
    NO_SIZE = 0     # numbers of reasons
    NO_GRID = 1
    DONE_CANCEL = 2
    DONE_MOVE = 3
    UNDER = 4       # a quote, by market; behind those a position, by market; behind those texts
    OWN_KINDS = 1 << KIND_ACK | 1 << KIND_FILL | 1 << KIND_REJECT | 1 << KIND_PULLED
    NEWS_KINDS = 1 << KIND_STATUS | 1 << KIND_SYSTEM | 1 << KIND_GAP | 1 << KIND_CLEAR
    DEEP_KINDS = 1 << KIND_ADD | 1 << KIND_EXECUTE | 1 << KIND_CANCEL | 1 << KIND_DELETE | 1 << KIND_REPLACE | 1 << KIND_LEVEL | 1 << KIND_CLEAR

NAMES = ("on_book", "on_depth", "on_trade", "on_fill", "on_order")
PROBLEMS = {
    "number": PROBLEM_NUMBER, "room": PROBLEM_ROOM, "time": PROBLEM_TIME, "records": PROBLEM_RECORDS, "levels": PROBLEM_LEVELS,
    "stop": PROBLEM_STOP, "price": PROBLEM_PRICE, "size": PROBLEM_SIZE, "position": PROBLEM_POSITION, "terms": PROBLEM_TERMS, "once": PROBLEM_ONCE,
    "quoted": PROBLEM_QUOTED, "rungs": PROBLEM_RUNGS, "nested": PROBLEM_NESTED, "no order": PROBLEM_NO_ORDER, "range": PROBLEM_RANGE,
}
CAUSES = ("", "at", "through", "hidden", "crossing", "took", "auction")
TIFS = ("day", "ioc", "fok", "gtd")
STATES = ("sent", "working", "partly filled", "filled", "cancelled", "expired", "refused")
cdef int[6] CAUSE_FLAGS = [FLAG_AT, FLAG_THROUGH, FLAG_HIDDEN, FLAG_CROSSING, FLAG_TOOK, FLAG_AUCTION]
cdef bint _compensated = sys.version_info >= (3, 12)    # how sum() of Python adds floats up


# ---- what hooks may call ----

cdef void count_reason(compiled_t* p, int64_t reason) noexcept nogil:
    if p.reasons[reason].count == 0:
        p.reason_count += 1
        p.reasons[reason].first = p.reason_count
    p.reasons[reason].count += 1


cdef inline void touch(handle_t* m) noexcept nogil:
    # Something of it waits for the end of the instant.
    if not m.listed:
        m.listed = True
        m.owner.touched[m.owner.touched_count] = m
        m.owner.touched_count += 1


cdef void want_no_more(handle_t* m) noexcept nogil:
    # Only the first of each side.
    cdef int64_t i
    for i in range(2, 2 * m.rungs):
        m.ticks[i] = NO_PRICE
    m.rungs = 1


cdef inline void want(handle_t* m, int64_t buy, int64_t sell) noexcept nogil:
    if unlikely(m.rungs != 1):
        want_no_more(m)
    m.ticks[0] = buy
    m.ticks[1] = sell
    m.wanted = True
    touch(m)


cdef inline bint has_room(compiled_t* p) noexcept nogil:
    # Whether one more command may be added.
    if likely(p.c.n < p.c.room):
        return True
    p.problem = PROBLEM_ROOM
    return False


cdef int64_t is_two_sided(const handle_t* m) noexcept nogil:
    return two_sided(m.owner.c.market, m.top, <uint32_t> m.symbol_id)


cdef inline int want_side(handle_t* m, double price, double size, int side, int64_t* ticks, int64_t* lots) noexcept nogil:
    cdef int s = side < 0, result
    if unlikely(price != price or size != size):
        m.owner.problem = PROBLEM_NUMBER
        m.owner.text = s
        m.owner.values[0] = price
        m.owner.values[1] = size
        return 1
    result = quote_side(m.row, m.top, price, size, side, ticks, lots)
    if unlikely(result != QUOTE_WANTED):
        count_reason(m.owner, NO_SIZE if result == QUOTE_NO_SIZE else NO_GRID if result == QUOTE_NO_GRID else UNDER + m.index)
    return 0


cdef int64_t quote(
    handle_t* m, int64_t has_bid, double bid, int64_t has_ask, double ask, double bid_size, double ask_size
) noexcept nogil:
    cdef int64_t buy = NO_PRICE, sell = NO_PRICE
    if has_bid and want_side(m, bid, bid_size, BUY, &buy, &m.lots[0]) or has_ask and want_side(m, ask, ask_size, SELL, &sell, &m.lots[1]):
        return 1
    want(m, buy, sell)
    return 0


cdef int64_t ladder(handle_t* m) noexcept nogil:
    # The rungs of a market follow.
    if m.owner.ladder != NULL:
        m.owner.problem = PROBLEM_NESTED
        return 1
    m.owner.ladder = m
    m.owner.rungs[0] = m.owner.rungs[1] = 0
    return 0


cdef int64_t rung(handle_t* m, int64_t side, int64_t has_price, double price, double size) noexcept nogil:
    cdef compiled_t* p = m.owner
    cdef int64_t n = p.rungs[side]
    if n == DESK_RUNGS:
        p.problem, p.text = PROBLEM_RUNGS, side
        return 1
    if has_price and (price != price or size != size):
        p.problem, p.text, p.values[0], p.values[1] = PROBLEM_NUMBER, side, price, size
        return 1
    p.rung_prices[2 * n + side] = price if has_price else NAN
    p.rung_sizes[2 * n + side] = size
    p.rungs[side] = n + 1
    return 0


cdef void ladder_done(handle_t* m) noexcept nogil:
    # What was collected is wanted.
    cdef compiled_t* p = m.owner
    cdef int64_t side, i, at
    want(m, NO_PRICE, NO_PRICE)
    for side in range(2):
        for i in range(p.rungs[side]):
            at = 2 * i + side
            m.ticks[at] = NO_PRICE
            if p.rung_prices[at] == p.rung_prices[at]:
                want_side(m, p.rung_prices[at], p.rung_sizes[at], SELL if side else BUY, &m.ticks[at], &m.lots[at])
        if p.rungs[side] > m.rungs:
            m.rungs = p.rungs[side]
    p.ladder = NULL


cdef int64_t target(handle_t* m, int64_t has_position, double position, int64_t after_ns) noexcept nogil:
    cdef double x = position / m.lot_size
    cdef int64_t lots = NO_PRICE
    if not has_room(m.owner):
        return 1
    if has_position:
        if not -1e15 < x < 1e15:
            m.owner.problem, m.owner.values[0] = PROBLEM_POSITION, position
            return 1
        lots = <int64_t> (x + 1e-6 if x > 0.0 else x - 1e-6)    # a millionth of a lot is noise of binary fractions
        if lots == 0 and x != 0.0:
            count_reason(m.owner, UNDER + m.owner.count + m.index)
    want_position(m.owner.c, <uint32_t> m.symbol_id, lots, after_ns)
    return 0


cdef void pull(handle_t* m, int64_t text) noexcept nogil:
    if text >= 0:
        count_reason(m.owner, UNDER + 2 * m.owner.count + text)
    want(m, NO_PRICE, NO_PRICE)


# ---- single orders: as Handle._send, Order.cancel and Order.move in hooks.pyx ----

# A price or size as it was given: nothing, a number of units, or a whole number of ticks or lots.
cdef enum:
    GIVEN_NOT
    GIVEN_UNITS
    GIVEN_WHOLE     # units that were an int
    GIVEN_TICKS


cdef int64_t break_rule(order_t* o, int64_t code, int64_t rule, int64_t how, double given) noexcept nogil:
    o.rule = rule | RULE_WHOLE * (how != GIVEN_UNITS) | RULE_TICKS * (how == GIVEN_TICKS)
    o.given = given
    return code


cdef int64_t exact_price(order_t* o, int64_t how, double price, int64_t ticks, int64_t* refusal) noexcept nogil:
    # Ticks, and which rule is broken. A problem where the price is no number.
    cdef const instrument_t* row = o.market.row
    cdef double p = price
    cdef int64_t step
    cdef bint low
    if how == GIVEN_TICKS:
        price = <double> ticks
        p = instrument_price(row, ticks)
    elif price != price:
        o.market.owner.problem = PROBLEM_PRICE
        return NO_PRICE
    else:
        ticks = instrument_ticks(row, price)
    if not isfinite(p) or (p <= 0.0 and not row.signed_prices):
        refusal[0] = break_rule(o, RESULT_BAD_PRICE, RULE_PRICE, how, price)
        return NO_PRICE
    low = p < instrument_price(row, row.low_below_ticks)
    step = row.low_increment_ticks if low else row.increment_ticks
    if ticks == NO_PRICE or ticks % step:
        refusal[0] = break_rule(o, RESULT_OFF_INCREMENT, RULE_LOW_INCREMENT if low else RULE_INCREMENT, how, price)
    return ticks


cdef int64_t exact_size(order_t* o, int64_t how, double size, int64_t lots, int64_t* refusal) noexcept nogil:
    # Lots; otherwise as exact_price.
    cdef double x = <double> lots if how == GIVEN_TICKS else size / o.market.lot_size
    if how == GIVEN_TICKS:
        size = <double> lots
    if x != x:
        o.market.owner.problem = PROBLEM_SIZE
        return 0
    if not 0.0 < x < 1e15:
        refusal[0] = break_rule(o, RESULT_BAD_SIZE, RULE_SIZE, how, size)
        return 0
    if fabs(x - floor(x + 0.5)) > 1e-6:
        refusal[0] = break_rule(o, RESULT_OFF_LOT, RULE_LOT, how, size)
    return <int64_t> floor(x + 0.5)


cdef void cannot(order_t* o, int8_t side, int64_t refusal) noexcept nogil:
    # What cannot be said in ticks and lots is refused through the queue of events.
    cdef event_t* e = want_event(o.market.owner.c, <uint32_t> o.market.symbol_id, KIND_REJECT, side)
    e.price = NO_PRICE
    e.size = o.size_lots
    e.order_id = o.id
    e.match_id = refusal


cdef order_t* order_new(compiled_t* p) noexcept nogil:
    # Room is certain.
    cdef order_t* o = &p.orders.orders[p.order_count]
    p.order_count += 1
    return o


cdef order_t* send(
    handle_t* m, int64_t side, int64_t price_how, double price, int64_t ticks, int64_t size_how, double size, int64_t lots, int64_t terms,
    int64_t until,
) noexcept nogil:
    cdef compiled_t* p = m.owner
    cdef context_t* c = p.c
    cdef order_t* o
    cdef order_t** place
    cdef int64_t time = terms & TERMS_TIME, given = NO_PRICE, refusal = 0
    if size_how == GIVEN_NOT:
        p.problem = PROBLEM_ONCE
        return NULL
    if price_how == GIVEN_NOT:
        terms |= TERMS_MARKET
    if (
        (until < 256 if time == TERMS_GTD else until != 0)
        or (terms & TERMS_POST_ONLY and (price_how == GIVEN_NOT or time == TERMS_IOC or time == TERMS_FOK))
        or (price_how == GIVEN_NOT and time == TERMS_GTD)
    ):
        p.problem = PROBLEM_TERMS
        return NULL
    if not has_room(p):
        return NULL
    p.base.hooks |= 1 << ON_REPORT      # whatever comes of it counts from now on
    p.base.reports |= OWN_KINDS
    c.reports |= OWN_KINDS
    o = order_new(p)
    o.market, o.single, o.side, o.post_only, o.tif = m, True, side, terms & TERMS_POST_ONLY != 0, terms
    if price_how != GIVEN_NOT:
        given = exact_price(o, price_how, price, ticks, &refusal)
    if refusal == 0:
        o.priced = given != NO_PRICE
        o.price = instrument_price(m.row, given)
        o.size_lots = exact_size(o, size_how, size, lots, &refusal)
    else:
        o.priced = price_how != GIVEN_TICKS
        o.price = price
    if p.problem:
        return NULL
    o.size = <double> o.size_lots * m.lot_size if size_how == GIVEN_TICKS else size
    if refusal == 0:
        o.id = want_order(c, <uint32_t> m.symbol_id, <int8_t> side, given, o.size_lots, terms | until & ~<int64_t> 255)
    else:
        o.id = c.next_order_id[0]
        c.next_order_id[0] += 1
        cannot(o, <int8_t> side, refusal)
    place = &p.working[o.id & (DESK_ORDERS - 1)]
    o.next = place[0]
    place[0] = o
    return o


cdef inline bint order_done(const order_t* o) noexcept nogil:
    return o.state >= STATE_FILLED


# Whether it may be changed: 0 no longer, 1 yes, -1 a problem.
cdef int changes(order_t* o, int64_t reason) noexcept nogil:
    if not has_room(o.market.owner):
        return -1
    if not o.single:
        o.market.owner.problem, o.market.owner.text = PROBLEM_QUOTED, o.id
        return -1
    if order_done(o):
        count_reason(o.market.owner, reason)
        return 0
    return 1


cdef int64_t cancel(order_t* o) noexcept nogil:
    cdef int good = changes(o, DONE_CANCEL)
    if good == 1:
        want_pull(o.market.owner.c, <uint32_t> o.market.symbol_id, o.id)
    return good


cdef int64_t move(order_t* o, int64_t price_how, double price, int64_t price_ticks, int64_t size_how, double size, int64_t size_lots) noexcept nogil:
    cdef int64_t ticks = NO_PRICE, lots = 0, refusal = 0
    cdef int good
    if price_how == GIVEN_NOT and size_how == GIVEN_NOT:
        o.market.owner.problem = PROBLEM_ONCE
        return -1
    good = changes(o, DONE_MOVE)
    if good != 1:
        return good
    if price_how != GIVEN_NOT:
        ticks = exact_price(o, price_how, price, price_ticks, &refusal)
    if refusal == 0 and size_how != GIVEN_NOT:
        lots = exact_size(o, size_how, size, size_lots, &refusal)
    if o.market.owner.problem:
        return -1
    if refusal:
        cannot(o, NO_SIDE, refusal)
    else:
        want_amend(o.market.owner.c, <uint32_t> o.market.symbol_id, o.id, ticks, lots)
    return 1


cdef order_t* keep(order_t* o) noexcept nogil:
    # An order as an attribute: what came of a quote is on the stack of the call, and is copied once.
    if o == NULL or o.single:
        return o
    if o.kept == NULL:
        o.kept = order_new(o.market.owner)
        o.kept[0] = o[0]
        o.kept.kept = o.kept
    return o.kept


cdef double order_left(const order_t* o) noexcept nogil:
    return <double> (o.size_lots - o.filled_lots) * o.market.lot_size


cdef int64_t is_done(const order_t* o) noexcept nogil:
    return order_done(o)


cdef int64_t why(const order_t* o) noexcept nogil:
    # Why in one word; the broken rule has `given` too.
    return o.code | o.why_rule << 16 | o.market.index << 32


cdef int64_t same(const order_t* a, const order_t* b) noexcept nogil:
    return a == b or (a != NULL and b != NULL and a.kept != NULL and a.kept == b.kept)


# ---- random numbers: those of random.Random, bit for bit ----

cdef uint32_t twist(compiled_t* p) noexcept nogil:
    cdef uint32_t y
    cdef int k
    if p.twisted >= TWISTER:
        for k in range(TWISTER):
            y = p.twister[k] & 0x80000000U | p.twister[(k + 1) % TWISTER] & 0x7FFFFFFFU
            p.twister[k] = p.twister[(k + 397) % TWISTER] ^ y >> 1 ^ (0x9908B0DFU if y & 1 else 0U)
        p.twisted = 0
    y = p.twister[p.twisted]
    p.twisted += 1
    y ^= y >> 11
    y ^= y << 7 & 0x9D2C5680U
    y ^= y << 15 & 0xEFC60000U
    return y ^ y >> 18


cdef double draw(compiled_t* p) noexcept nogil:
    cdef uint32_t a = twist(p) >> 5
    return (a * 67108864.0 + (twist(p) >> 6)) * (1.0 / 9007199254740992.0)


cdef int64_t draw_below(compiled_t* p, int64_t n) noexcept nogil:
    # A whole number below n; a problem unless n is positive.
    cdef uint64_t r, low
    cdef int bits = 0
    if n <= 0:
        p.problem = PROBLEM_RANGE
        return 0
    while n >> bits:
        bits += 1
    while True:
        if bits <= 32:
            r = twist(p) >> (32 - bits)
        else:
            low = twist(p)
            r = low | <uint64_t> (twist(p) >> (64 - bits)) << 32
        if r < <uint64_t> n:
            return <int64_t> r


cdef double draw_normal(compiled_t* p) noexcept nogil:
    # Of `gauss`: numbers come in pairs.
    cdef double z = p.gauss, angle, radius
    p.gauss = NAN
    if z == z:
        return z
    angle = draw(p) * 6.283185307179586
    radius = sqrt(-2.0 * log(1.0 - draw(p)))
    p.gauss = sin(angle) * radius
    return cos(angle) * radius


cdef double average(const handle_t* m) noexcept nogil:
    return position_average_price(m.position) * m.tick_size


cdef double tick(const handle_t* m) noexcept nogil:
    cdef bint low = m.top.bid != NO_PRICE and m.top.bid < m.row.low_below_ticks
    return instrument_price(m.row, m.row.low_increment_ticks if low else m.row.increment_ticks)


cdef int64_t level(const handle_t* m, int64_t side, int64_t i) noexcept nogil:
    # Price of a level in ticks, the best one first; NO_PRICE where there are fewer.
    cdef const book_t* book = market_book(m.owner.c.market, <uint32_t> m.symbol_id)
    cdef int64_t price
    if book == NULL or not 0 <= i < DEPTH:
        return NO_PRICE
    price = book_best_bid(book) if side == BUY else book_best_ask(book)
    while i > 0 and price != NO_PRICE:
        price = book_next_price(book, <int8_t> side, price)
        i -= 1
    return price


cdef int64_t levels(const handle_t* m, int64_t side) noexcept nogil:
    cdef int64_t n = 0
    while level(m, side, n) != NO_PRICE:
        n += 1
    return n


cdef double level_price(const handle_t* m, int64_t side, int64_t i) noexcept nogil:
    return instrument_price(m.row, level(m, side, i))


cdef double level_size(const handle_t* m, int64_t side, int64_t i) noexcept nogil:
    cdef const book_t* book = market_book(m.owner.c.market, <uint32_t> m.symbol_id)
    return <double> book_level_size(book, <int8_t> side, level(m, side, i)) * m.lot_size


cdef double side_size(const handle_t* m, int64_t side, int64_t n) noexcept nogil:
    # Sum over levels, as sum() of this version of Python does it.
    cdef double total = 0.0, lost = 0.0, x, t
    cdef int64_t i
    for i in range(n):
        if level(m, side, i) == NO_PRICE:
            break
        x = level_size(m, side, i)
        t = total + x
        if _compensated:
            lost += (total - t) + x if fabs(total) >= fabs(x) else (x - t) + total
        total = t
    return total + lost if lost != 0.0 and isfinite(lost) else total


cdef double imbalance(handle_t* m, int64_t n) noexcept nogil:
    # NaN without any size, or where `n` is out of range: `problem` says which.
    cdef double bids, asks
    if not 1 <= n <= DEPTH:
        m.owner.problem = PROBLEM_LEVELS
        return NAN
    bids = side_size(m, BUY, n)
    asks = side_size(m, SELL, n)
    return (bids - asks) / (bids + asks) if bids + asks != 0.0 else NAN


cdef double* record(compiled_t* p, int64_t site, int64_t symbol_id) noexcept nogil:
    # Where the values of a row go; NULL without room.
    cdef int64_t* row
    if unlikely(spool_room(p.records) == 0):
        p.problem = PROBLEM_RECORDS
        return NULL
    row = <int64_t*> spool_claim(p.records)
    row[0] = p.now_ns
    row[1] = site
    row[2] = symbol_id
    return <double*> (row + 3)


cdef int64_t after(compiled_t* p, int64_t delay_ns, int64_t method) noexcept nogil:
    cdef int64_t number
    if not p.begun:
        p.problem = PROBLEM_TIME
        return 1
    if p.c.room - p.c.n < 2 or (p.free_count == 0 and p.slot_count == TIMER_SLOTS):
        p.problem = PROBLEM_ROOM
        return 1
    if p.free_count:
        p.free_count -= 1
        number = p.free_slots[p.free_count]
    else:
        number = p.slot_count
        p.slot_count += 1
    p.slots[number].on = p.methods[method]
    p.slots[number].period_ns = 0
    want_timer(p.c, p.now_ns + delay_ns, number)
    return 0


cdef int64_t poll(compiled_t* p) noexcept with gil:
    # A loop goes on and on: look at signals, as Python does. 1: the hook must come to an end.
    p.polls = POLL
    try:
        PyErr_CheckSignals()
    except BaseException as error:
        (<CompiledStrategy> p.owner)._error = error
        return 1
    return 0


cdef double power(double x, double y) noexcept nogil:
    return pow(x, y)


cdef double pair_update(PairZScore z, double price1, double price2) noexcept nogil:
    return rolling_update(&z._r, price1 - z.hedge_ratio * price2)


cdef double zscore_update(RollingZScore z, double x) noexcept nogil:
    return rolling_update(&z._r, x)


FUNCTIONS = {
    "fc_two_sided": <uintptr_t> &is_two_sided,
    "fc_quote": <uintptr_t> &quote,
    "fc_pull": <uintptr_t> &pull,
    "fc_average": <uintptr_t> &average,
    "fc_ladder": <uintptr_t> &ladder,
    "fc_rung": <uintptr_t> &rung,
    "fc_ladder_done": <uintptr_t> &ladder_done,
    "fc_target": <uintptr_t> &target,
    "fc_send": <uintptr_t> &send,
    "fc_cancel": <uintptr_t> &cancel,
    "fc_move": <uintptr_t> &move,
    "fc_keep": <uintptr_t> &keep,
    "fc_order_left": <uintptr_t> &order_left,
    "fc_order_done": <uintptr_t> &is_done,
    "fc_why": <uintptr_t> &why,
    "fc_same": <uintptr_t> &same,
    "fc_draw": <uintptr_t> &draw,
    "fc_draw_below": <uintptr_t> &draw_below,
    "fc_draw_normal": <uintptr_t> &draw_normal,
    "fc_tick": <uintptr_t> &tick,
    "fc_levels": <uintptr_t> &levels,
    "fc_level_price": <uintptr_t> &level_price,
    "fc_level_size": <uintptr_t> &level_size,
    "fc_imbalance": <uintptr_t> &imbalance,
    "fc_record": <uintptr_t> &record,
    "fc_after": <uintptr_t> &after,
    "fc_poll": <uintptr_t> &poll,
    "fc_power": <uintptr_t> &power,
    "fc_pair_update": <uintptr_t> &pair_update,
    "fc_zscore_update": <uintptr_t> &zscore_update,
}

cdef compiled_t _self
cdef handle_t _handle
cdef top_t _top
cdef position_t _position
cdef trade_t _trade
cdef fill_t _fill
cdef order_t _order


# Distance of a field from the begin of its struct.
cdef inline Py_ssize_t at(void* base, void* field) noexcept:
    return <char*> field - <char*> base


LAYOUTS = {
    "self": {
        "": ("", sizeof(compiled_t)),
        "now": ("i8", at(&_self, &_self.now_ns)),
        "_site": ("i8", at(&_self, &_self.site)),
        "_error": ("p", at(&_self, &_self.error)),
        "_problem": ("i8", at(&_self, &_self.problem)),
        "_text": ("i8", at(&_self, &_self.text)),
        "_polls": ("i8", at(&_self, &_self.polls)),
        "_handles": ("p", at(&_self, &_self.handles)),
        "_count": ("i8", at(&_self, &_self.count)),
    },
    "market": {
        "": ("", sizeof(handle_t)),
        "top": ("top", at(&_handle, &_handle.top)),
        "held": ("held", at(&_handle, &_handle.position)),
        "account": ("held", at(&_handle, &_handle.account)),
        "owner": ("self", at(&_handle, &_handle.owner)),
        "tick_num": ("f8", at(&_handle, &_handle.tick_num)),
        "tick_den": ("f8", at(&_handle, &_handle.tick_den)),
        "lot": ("f8", at(&_handle, &_handle.lot_size)),
        "changed_ns": ("i8", at(&_handle, &_handle.changed_ns)),
        "symbol_id": ("i8", at(&_handle, &_handle.symbol_id)),
    },
    "top": {
        "bid": ("i8", at(&_top, &_top.bid)),
        "ask": ("i8", at(&_top, &_top.ask)),
        "bid_size": ("i8", at(&_top, &_top.bid_size)),
        "ask_size": ("i8", at(&_top, &_top.ask_size)),
    },
    "held": {"lots": ("i8", at(&_position, &_position.position_lots))},
    "trade": {
        "price": ("f8", at(&_trade, &_trade.price)),
        "size": ("f8", at(&_trade, &_trade.size)),
        "side": ("i8", at(&_trade, &_trade.side)),
    },
    "fill": {
        "price": ("f8", at(&_fill, &_fill.price)),
        "size": ("f8", at(&_fill, &_fill.size)),
        "side": ("i8", at(&_fill, &_fill.side)),
        "maker": ("b1", at(&_fill, &_fill.maker)),
        "order": ("i8", at(&_fill, &_fill.order)),
        "_cause": ("i8", at(&_fill, &_fill.cause)),
        "_ahead": ("f8", at(&_fill, &_fill.ahead)),
        "fee": ("f8", at(&_fill, &_fill.fee)),
        "_mid": ("f8", at(&_fill, &_fill.mid)),
    },
    "order": {
        "id": ("i8", at(&_order, &_order.id)),
        "side": ("i8", at(&_order, &_order.side)),
        "priced": ("b1", at(&_order, &_order.priced)),
        "limit": ("f8", at(&_order, &_order.price)),
        "size": ("f8", at(&_order, &_order.size)),
        "filled": ("f8", at(&_order, &_order.filled)),
        "refused": ("b1", at(&_order, &_order.refused)),
        "post_only": ("b1", at(&_order, &_order.post_only)),
        "_state": ("i8", at(&_order, &_order.state)),
        "_given": ("f8", at(&_order, &_order.why_given)),
        "_market": ("market", at(&_order, &_order.market)),
    },
}


# ---- what they are called for: as PythonStrategy in hooks.pyx ----

cdef inline handle_t* find(compiled_t* p, uint32_t symbol_id) noexcept nogil:
    return &p.handles[p.places[symbol_id]] if symbol_id < p.ids and p.places[symbol_id] >= 0 else NULL


cdef inline int call(compiled_t* p, int hook, handle_t* m, void* what) noexcept nogil:
    return 0 if p.on[hook] == NULL else p.on[hook](p, m, what)


cdef int happened(compiled_t* p, const event_t* e, const book_change_t* c) noexcept nogil:
    cdef handle_t* m
    cdef trade_t trade
    cdef int64_t i
    if NEWS_KINDS >> (e.kind & 63) & 1:
        for i in range(p.count):
            m = &p.handles[i]
            if e.symbol_id == m.symbol_id or e.symbol_id == NO_SYMBOL or e.kind == KIND_SYSTEM:
                m.news = True
                touch(m)
    m = find(p, e.symbol_id)
    if m == NULL:
        return 0
    if p.on[ON_DEPTH] != NULL and DEEP_KINDS >> (e.kind & 63) & 1:
        m.deep = True
        touch(m)
    if p.on[TRADE] != NULL and (e.kind == KIND_TRADE or e.kind == KIND_EXECUTE) and not e.flags & FLAG_NOT_PRINTABLE:
        trade.price = instrument_price(m.row, c.price if e.price == NO_PRICE else e.price)
        trade.size = <double> e.size * m.lot_size
        trade.side = -(c.side if c.side else e.side)
        return call(p, TRADE, m, &trade)
    return 0


cdef order_t* came(compiled_t* p, handle_t* m, const event_t* e) noexcept nogil:
    # What a report says about an order of buy and sell; NULL where it is none.
    cdef const own_order_t* slot = &p.c.orders[e.order_id & (DESK_ORDERS - 1)]
    cdef order_t** place = &p.working[e.order_id & (DESK_ORDERS - 1)]
    cdef order_t* o
    while place[0] != NULL and place[0].id != e.order_id:
        place = &place[0].next
    o = place[0]
    if o == NULL:
        return NULL
    o.refused, o.code, o.why_rule = e.kind == KIND_REJECT, 0, RULE_NONE
    if e.kind == KIND_ACK:
        o.state = STATE_PARTLY if o.filled_lots else STATE_WORKING
        o.priced = e.price != NO_PRICE
        o.price = instrument_price(m.row, e.price)
        o.size_lots = e.size
        o.size = <double> e.size * m.lot_size
    elif e.kind == KIND_FILL:
        o.filled_lots += e.size
        o.filled = <double> o.filled_lots * m.lot_size
        o.state = STATE_FILLED if o.filled_lots >= o.size_lots else STATE_PARTLY
    elif e.kind == KIND_PULLED:
        o.state = STATE_EXPIRED if e.match_id == RESULT_EXPIRED else STATE_CANCELLED
        o.code = e.match_id
    else:
        o.code = e.match_id
        if e.flags & FLAG_HELD:
            o.why_rule, o.why_given, o.rule = o.rule, o.given, RULE_NONE
        if o.state == STATE_SENT and e.side != NO_SIDE:
            o.state = STATE_REFUSED
    if order_done(o) and (slot.id != o.id or not order_works(slot)):
        place[0] = o.next
    return o


cdef void quoted(compiled_t* p, handle_t* m, const event_t* e, order_t* o) noexcept nogil:
    # What a report says about one of the wanted quotes.
    cdef const own_order_t* slot = &p.c.orders[e.order_id & (DESK_ORDERS - 1)]
    memset(o, 0, sizeof(order_t))
    o.market = m
    o.id = e.order_id
    o.side = e.side
    o.priced = e.price != NO_PRICE
    o.price = instrument_price(m.row, e.price) if o.priced else NAN
    o.size_lots = e.size
    if e.order_id and slot.id == e.order_id:
        o.size_lots, o.filled_lots = slot.size_lots, slot.filled_lots
    o.size = <double> e.size * m.lot_size
    o.filled = <double> o.filled_lots * m.lot_size
    o.state = (
        STATE_WORKING if e.kind == KIND_ACK else STATE_REFUSED if e.kind == KIND_REJECT else STATE_CANCELLED if e.kind == KIND_PULLED
        else STATE_PARTLY if o.filled_lots < o.size_lots else STATE_FILLED
    )
    o.refused = e.kind == KIND_REJECT
    o.code = e.match_id if o.refused else 0


cdef int reported(compiled_t* p, const event_t* e, const book_change_t* c) noexcept nogil:
    cdef handle_t* m = find(p, e.symbol_id)
    cdef fill_t fill
    cdef order_t order
    cdef order_t* own = NULL
    cdef int i
    fill.ahead = NAN
    if m == NULL:
        return 0
    if e.kind == KIND_DETAIL:
        fill.ahead, e = ahead_units(e.price, m.lot_size), &p.fill
    elif e.kind == KIND_FILL and e.flags & FLAG_CONTINUED and p.on[FILL] != NULL:
        p.fill = e[0]
        return 0
    if p.orders != NULL:
        own = came(p, m, e)
    if own == NULL and e.flags & FLAG_HELD:
        return 0
    if e.kind == KIND_FILL and p.on[FILL] != NULL:
        fill.side = e.side
        fill.order = e.order_id
        fill.maker = e.match_id != MATCH_TOOK
        fill.price = instrument_price(m.row, e.price)
        fill.size = <double> e.size * m.lot_size
        fill.fee = fill_fee(c) * m.unit_value
        fill.mid = fill_mid(c) * m.tick_num / m.tick_den
        fill.cause = 0
        for i in range(6):
            if e.flags & CAUSE_FLAGS[i]:
                fill.cause = i + 1
        if call(p, FILL, m, &fill):
            return 1
    if p.on[ORDER] == NULL:
        return 0
    if own == NULL:
        quoted(p, m, e, &order)
        own = &order
    return call(p, ORDER, m, own)


cdef int timer(compiled_t* p, const event_t* e) noexcept nogil:
    cdef slot_t* slot = &p.slots[e.order_id]
    if slot.period_ns:
        want_timer(p.c, e.exch_ns + slot.period_ns, e.order_id)
    else:
        p.free_slots[p.free_count] = e.order_id
        p.free_count += 1
    return slot.on(p, NULL, NULL)


cdef inline int changed(compiled_t* p, uint32_t symbol_id) noexcept nogil:
    # A best price or size.
    cdef handle_t* m = find(p, symbol_id)
    if unlikely(m == NULL):
        return 0
    m.changed_ns = p.now_ns
    m.news = False
    return call(p, BOOK, m, NULL)


cdef inline bint has_rooms(const compiled_t* p, const context_t* c) noexcept nogil:
    # For all that one hook may record and send.
    if p.records != NULL and unlikely(spool_room(p.records) < RECORDS_ROOM):
        return False
    return p.orders == NULL or likely(p.order_count + <int64_t> c.room < ORDERS_ROOM)


cdef int flush(compiled_t* p) noexcept nogil:
    # The instant is over: what waits for that.
    cdef handle_t* m
    cdef int64_t i = 0, level
    while i < p.touched_count:  # hooks may want quotes of others
        m = p.touched[i]
        if m.news:
            m.news = False
            if call(p, BOOK, m, NULL):
                return 1
        if m.deep:
            m.deep = False
            if call(p, ON_DEPTH, m, NULL):
                return 1
        i += 1
    for i in range(p.touched_count):
        m = p.touched[i]
        m.listed = False
        if m.wanted:
            if unlikely(p.c.n + m.rungs > p.c.room):
                p.problem = PROBLEM_ROOM
                return 1
            want_quotes(p.c, <uint32_t> m.symbol_id, m.ticks[0], m.ticks[1], m.lots[0], m.lots[1])
            for level in range(2, 2 * m.rungs, 2):
                want_more(p.c, <uint32_t> m.symbol_id, m.ticks[level], m.ticks[level + 1], m.lots[level], m.lots[level + 1])
            m.wanted = False
    p.touched_count = 0
    return 0


cdef int compiled_all(strategy_t* strategy, context_t* c, int hook, const event_t* e, const book_change_t* change) noexcept nogil:
    cdef compiled_t* p = <compiled_t*> strategy
    cdef int64_t i
    cdef int failed = 0
    if hook == ON_START or hook == ON_STOP:
        return compiled_python(p, c, hook)
    if not has_rooms(p, c):
        return STRATEGY_ROOM
    p.c = c
    p.now_ns = c.now_ns
    if not p.begun:     # the first moment that has a time
        p.begun = True
        for i in range(p.every_count):
            want_timer(c, p.now_ns - p.now_ns % p.slots[i].period_ns + p.slots[i].period_ns, i)
    if hook == ON_BOOK:
        failed = changed(p, e.symbol_id)
    elif hook == ON_EVENT:
        failed = happened(p, e, change)
    elif hook == ON_REPORT:
        failed = reported(p, e, change)
    elif hook == ON_TIMER:
        failed = timer(p, e)
    elif hook == ON_INSTANT:
        failed = flush(p)
    return STRATEGY_ERROR if failed else STRATEGY_OK


cdef int compiled_on(strategy_t* strategy, context_t* c, int hook, const event_t* e, const book_change_t* change) noexcept nogil:
    # The short way for what comes most.
    cdef compiled_t* p = <compiled_t*> strategy
    if unlikely(hook != ON_BOOK and hook != ON_INSTANT or not p.begun or not has_rooms(p, c)):
        return p.all(strategy, c, hook, e, change)
    p.c = c
    p.now_ns = c.now_ns
    if unlikely(changed(p, e.symbol_id) if hook == ON_BOOK else flush(p)):
        return STRATEGY_ERROR
    return STRATEGY_OK


cdef int compiled_python(compiled_t* p, context_t* c, int hook) noexcept with gil:
    cdef CompiledStrategy s = <CompiledStrategy> p.owner
    try:
        s._start(c, hook)
    except BaseException as error:
        s._error = error
        return STRATEGY_ERROR
    return STRATEGY_OK


@cython.final
cdef class CompiledStrategy(Strategy):
    """CompiledStrategy(python, hooks, prepare, explain, *, every=(), room=0, texts=(), columns=None, orders=False)\n--\n\n
    CompiledStrategy(python, hooks, prepare, explain, *, every=(), room=0, texts=(), columns=None, orders=False)\n--\n
    A strategy whose hooks are C functions, as a run takes it; ``hft.compiled`` makes it.

    Parameters
    ----------
    python : PythonStrategy
        The markets, and ``on_start`` and ``on_stop``, which are called in Python.
    hooks : iterable of str
        Those of ``on_book``, ``on_depth``, ``on_trade``, ``on_fill`` and ``on_order`` that there are.
    prepare : callable(CompiledStrategy, bool)
        Called behind ``on_start`` with True: sets `attributes`, and calls `load` with the functions; and in front of ``on_stop`` with False.
    explain : callable(int, int, int, int, tuple of float)
        Raises what a failed hook stands for: number of the statement, address of Numba's description (0 none), problem
        (``PROBLEMS``), number of the text of a stop, values.
    every : iterable of int
        Periods in ns of the first timers.
    room : int
        Bytes for attributes.
    texts : iterable of str
        Reasons that hooks may name.
    columns : int, optional
        Values of a recorded row; None records nothing.
    orders : bool, default False
        Whether hooks send orders of their own, or keep any.

    Notes
    -----
    **Thread safety**: belongs to one run.
    """

    def __cinit__(self, PythonStrategy python not None, hooks, prepare, explain, *, every=(), room=0, texts=(), columns=None, bint orders=False):
        cdef compiled_t* p
        cdef Handle handle
        cdef handle_t* m
        cdef int64_t i
        cdef bint book = "on_book" in hooks, deep = "on_depth" in hooks, trade = "on_trade" in hooks
        cdef bint fill = "on_fill" in hooks, order = "on_order" in hooks
        periods = [as_int64(period) for period in every]
        if len(periods) > TIMER_SLOTS // 2 or min(periods, default=1_000) < 1_000:
            raise ValueError(f"at most {TIMER_SLOTS // 2} periods of at least 1,000 ns: every={periods}")
        self._python, self._prepare, self._explain, self._texts, self.room = python, prepare, explain, list(texts), as_int64(room)
        self.symbol_ids = python.symbol_ids
        self._p = p = <compiled_t*> calloc(1, sizeof(compiled_t) + self.room)
        if p == NULL:
            raise MemoryError(f"no memory for a strategy: room={room}")
        p.count = len(python.markets)
        p.ids = 1 + max(python.symbol_ids)
        p.handles = <handle_t*> calloc(p.count, sizeof(handle_t))
        p.touched = <handle_t**> calloc(p.count, sizeof(handle_t*))
        p.places = <int64_t*> calloc(p.ids, sizeof(int64_t))
        p.reasons = <reason_t*> calloc(UNDER + 2 * p.count + len(self._texts), sizeof(reason_t))
        if p.handles == NULL or p.touched == NULL or p.places == NULL or p.reasons == NULL:
            raise MemoryError(f"no memory for the markets of a strategy: markets={p.count}")
        for i in range(p.ids):
            p.places[i] = -1
        for i in range(p.count):
            handle = python.markets[i]
            m = &p.handles[i]
            m.row = handle._row
            m.tick_num, m.tick_den, m.tick_size, m.lot_size = m.row.tick_num, m.row.tick_den, m.row.tick_size, m.row.lot_size
            m.symbol_id = handle.symbol_id
            m.unit_value = handle._unit_value
            m.index = i
            m.owner = p
            m.rungs = DESK_RUNGS
            want(m, NO_PRICE, NO_PRICE)     # what a ladder does not reach stays without a price
            m.wanted = m.listed = False
            p.places[handle.symbol_id] = i
        for i, period in enumerate(periods):
            p.slots[i].period_ns = period
        p.every_count = p.slot_count = len(periods)
        p.touched_count = 0
        if orders:
            self._more_orders()
        p.gauss, p.polls = NAN, POLL
        if columns is not None:
            self._records = Spool([("time", "i8"), ("site", "i8"), ("symbol_id", "i8"), ("values", "f8", (columns,))], 4 * RECORDS_ROOM)
            p.records = &self._records._s
        p.owner = <void*> self
        p.base.on, p.all = compiled_on, compiled_all
        p.base.symbol_id = NO_SYMBOL if p.count > 1 else <uint32_t> p.handles[0].symbol_id
        p.base.hooks = 1 << ON_BOOK | 1 << ON_INSTANT | 1 << ON_TIMER | 1 << ON_START | 1 << ON_STOP
        p.base.kinds = NEWS_KINDS * book | (1 << KIND_TRADE | 1 << KIND_EXECUTE) * trade | DEEP_KINDS * deep
        if p.base.kinds:
            p.base.hooks |= 1 << ON_EVENT
        p.base.reports = (1 << KIND_FILL) * (fill or order) | (1 << KIND_DETAIL) * fill | (1 << KIND_ACK | 1 << KIND_REJECT | 1 << KIND_PULLED) * order
        if p.base.reports:
            p.base.hooks |= 1 << ON_REPORT
        self._strategy = &p.base

    # One more block.
    cdef int _more_orders(self) except -1:
        cdef block_t* block = <block_t*> calloc(1, sizeof(block_t))
        if block == NULL:
            raise MemoryError(f"no memory for orders: bytes={sizeof(block_t)}")
        block.before, self._p.orders, self._p.order_count = self._p.orders, block, 0
        return 0

    def __dealloc__(self):
        cdef block_t* block
        if self._p != NULL:
            while self._p.orders != NULL:
                block, self._p.orders = self._p.orders, self._p.orders.before
                free(block)
            free(self._p.handles)
            free(self._p.touched)
            free(self._p.places)
            free(self._p.reasons)
            free(self._p.methods)
            free(self._p)

    # A hook that is called in Python.
    cdef int _start(self, context_t* c, int hook) except -1:
        cdef int64_t i
        if hook == ON_STOP:
            self._prepare(self, False)
        if self._python._strategy.on(self._python._strategy, c, hook, NULL, NULL) != STRATEGY_OK:
            self._python.fail()
        if hook == ON_START:
            if self._python._waiting:
                raise ValueError("a compiled strategy wants nothing in on_start: quote and pull in other hooks")
            for i in range(self._p.count):
                self._p.handles[i].top = &c.tops[self._p.handles[i].symbol_id]
                self._p.handles[i].position = &c.positions[self._p.handles[i].symbol_id]
                self._p.handles[i].account = &c.account[self._p.handles[i].symbol_id]
            self._prepare(self, True)
            if not self._p.ready:
                raise RuntimeError("a compiled strategy must be loaded behind on_start")
        return 0

    def load(self, functions, methods, kept):
        """Take the functions of the hooks by name, those of the timers in the order of `every` and behind them what
        ``self.after`` may call, and the owner of all of them."""
        cdef int64_t i
        for i, name in enumerate(NAMES):
            self._p.on[i] = <hook_t> <uintptr_t> functions.get(name, 0)
        self._p.methods = <hook_t*> calloc(len(methods) + 1, sizeof(hook_t))
        if self._p.methods == NULL:
            raise MemoryError("no memory for the timers of a strategy")
        for i, address in enumerate(methods):
            self._p.methods[i] = <hook_t> <uintptr_t> address
            if i < self._p.every_count:
                self._p.slots[i].on = self._p.methods[i]
        self._kept = kept
        self._p.ready = True

    @property
    def attributes(self):
        """The bytes of the attributes, which stand behind the struct: a copy; setting them writes them."""
        return <bytes> (<char*> self._p + sizeof(compiled_t))[:self.room]

    @attributes.setter
    def attributes(self, bytes values):
        if len(values) > self.room:
            raise ValueError(f"attributes must be at most {self.room} bytes: length={len(values)}")
        memcpy(<char*> self._p + sizeof(compiled_t), <char*> values, len(values))

    def market_address(self, symbol_id):
        """Address of the struct of a market."""
        return <uintptr_t> find(self._p, symbol_id)

    @property
    def ready(self):
        """Whether the functions are loaded."""
        return bool(self._p.ready)

    @property
    def reasons(self):
        """Why wanted quotes were not sent, with counts, by their first time."""
        lots = [f"{self._p.handles[i].lot_size:g}" for i in range(self._p.count)]
        names = ["no size", "no price on the grid", "cancel of an order that is done", "move of an order that is done"]
        names += [f"under the lot of {lot}" for lot in lots] + [f"position under the lot of {lot}" for lot in lots] + self._texts
        rows = [(self._p.reasons[i].first, names[i], self._p.reasons[i].count) for i in range(len(names)) if self._p.reasons[i].count]
        out = {}
        for _, name, count in sorted(rows):
            out[name] = out.get(name, 0) + count
        return out

    def records(self):
        """What hooks recorded: rows (time, site, symbol_id, values); None where they record nothing."""
        return None if self._records is None else self._records.array()

    def why(self, code, given):
        """Why an order was refused, in words: of the number and the price or size that compiled code gives."""
        cdef int64_t result = code & 0xFFFF, rule = code >> 16 & 7, how = code >> 16
        cdef const handle_t* m = &self._p.handles[code >> 32]
        text = Result(result).name.lower().replace("_", " ") if result else ""
        if rule == RULE_NONE:
            return text
        given = int(given) if how & RULE_WHOLE else given
        what = ("price_ticks" if how & RULE_TICKS else "price") if rule < RULE_SIZE else "size_lots" if how & RULE_TICKS else "size"
        if rule == RULE_PRICE:
            must = "a price must be positive and finite"
        elif rule == RULE_INCREMENT:
            must = f"a price must be a multiple of {instrument_price(m.row, m.row.increment_ticks):g}"
        elif rule == RULE_LOW_INCREMENT:
            must = f"a price must be a multiple of {instrument_price(m.row, m.row.low_increment_ticks):g}"
        elif rule == RULE_SIZE:
            must = "a size must be positive and below 1e15 lots"
        else:
            must = f"a size must be a multiple of {m.lot_size:g}"
        return f"{text}: {must}: {what}={given}"

    def order(self, address):
        """The order at an address of compiled code, as it is now, for Python; None for 0."""
        cdef order_t* o = <order_t*> <uintptr_t> address
        cdef Order order
        if o == NULL:
            return None
        order = Order.__new__(Order)
        order._handle = self._python._handle(<uint32_t> o.market.symbol_id)
        order.id, order.side, order.size, order.filled = o.id, <int> o.side, o.size, o.filled
        order.price = o.price if o.priced else None
        order.state, order.refused, order.post_only, order._single = STATES[o.state], o.refused, o.post_only, o.single
        order._size_lots, order._filled_lots = o.size_lots, o.filled_lots
        order.why = self.why(why(o), o.why_given)
        order.tif = TIFS[(o.tif & TERMS_TIME) // TERMS_IOC]
        return order

    @property
    def random(self):
        """State of the random numbers, as ``random.Random.getstate()`` has it."""
        words = tuple([self._p.twister[i] for i in range(TWISTER)])
        return 3, (*words, self._p.twisted), None if self._p.gauss != self._p.gauss else self._p.gauss

    @random.setter
    def random(self, state):
        _, words, gauss = state
        for i in range(TWISTER):
            self._p.twister[i] = words[i]
        self._p.twisted = words[TWISTER]
        self._p.gauss = NAN if gauss is None else gauss

    cdef bint make_room(self) except -1:
        if self._records is not None:
            self._records.drain()
        if self._p.orders != NULL and self._p.order_count + RECORDS_ROOM // 4 >= ORDERS_ROOM:
            self._more_orders()
        return True

    cdef int fail(self) except -1:
        cdef compiled_t* p = self._p
        error, self._error = self._error, None
        if error is not None:
            if p.ready:
                self._prepare(self, False)
            raise error
        self._explain(p.site, <uintptr_t> p.error, p.problem, p.text, (p.values[0], p.values[1]))
        raise RuntimeError(f"a hook failed without a word: site={p.site}")

    def __repr__(self):
        return f"CompiledStrategy({', '.join(handle.symbol for handle in self._python.markets)})"
