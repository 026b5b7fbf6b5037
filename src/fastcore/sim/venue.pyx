# cython: freethreading_compatible=True
"""Simulated venue: own orders in their place in the queue of a recorded book, exact by order, estimated by level.

The rules are in ``docs/simulator.md``; the plain-Python twin, ``fastcore.reference.venue``, is written to be read.

Reports are 64-byte events (``fastcore.records.EVENT_DTYPE``) with the flag ``own``, the side of our order, and

======== ======================== ===== ==================== ==========================================
kind     price                    size  order_id             match_id
======== ======================== ===== ==================== ==========================================
ack      of the order             all   own order            quantity ahead of it, displaced lots included
fill     of the order (the level  lots  own order            of the recorded execution, 0 for a recorded
         taken, when it took; of                             arrival, ``TOOK`` when our order took
         the cross in an auction)
reject   as asked                 asked own order, or 0      result code
pulled   of the order             left  own order            0; `expired` or `self trade` by the venue
======== ======================== ===== ==================== ==========================================

The flags of a fill say `maker` or `taker`, and what filled it: `at`, `through`, `hidden`, `crossing`, `took`, `auction`. With details
on it is `continued` by a `detail`, whose payload is the quantity that was ahead before the event, the lots left, the number of
the market event, and the displaced lots that were served before us.

``seq`` is the number of the market event at which it happened and ``exch_ns`` its time: orders reach the venue without
delay.
"""

import numpy as np

cimport cython
cimport numpy as cnp
from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memmove

from fastcore._guard cimport alone
from fastcore._integers cimport as_int64, as_side, as_uint64, int64_in
from fastcore.records cimport (
    BUY, FLAG_AT, FLAG_AUCTION, FLAG_CONTINUED, FLAG_CROSSING, FLAG_HIDDEN, FLAG_MAKER, FLAG_NOT_PRINTABLE, FLAG_OWN, FLAG_SNAPSHOT,
    FLAG_TAKER, FLAG_THROUGH, FLAG_TOOK, KIND_ACK, KIND_ADD, KIND_AMEND, KIND_CANCEL, KIND_CLEAR, KIND_COUNT, KIND_CROSS, KIND_DELETE,
    KIND_DETAIL, KIND_EXECUTE, KIND_FILL, KIND_LEVEL, KIND_ORDER, KIND_PULLED, KIND_QUOTE, KIND_REJECT, KIND_REPLACE, KIND_TRADE,
    MATCH_TOOK, NO_PRICE, NO_SIDE, NO_SYMBOL, RESULT_BAD_PRICE, RESULT_BAD_SIZE, RESULT_BAD_TERMS, RESULT_EXPIRED, RESULT_FULL,
    RESULT_NOT_TRADING, RESULT_NO_MEMORY, RESULT_OK, RESULT_POST_ONLY, RESULT_SELF_TRADE, RESULT_UNFILLABLE, RESULT_UNKNOWN_ORDER,
    SELL, TERMS_BITS, TERMS_FOK, TERMS_GTD, TERMS_IOC, TERMS_LIMIT, TERMS_MARKET, TERMS_POST_ONLY, TERMS_TIME, TERMS_TYPE,
    event_t, fc_alloc, fc_free, likely, unlikely,
)
from fastcore.book cimport (
    LevelBook, OrderBook, _Book, book_best_ask, book_best_bid, book_change_t, book_find_level, book_key, book_level_size, book_next_price,
    book_order, book_stamp, book_t, book_worst_price, level_t, order_t,
)
from fastcore.sim.queues cimport QUEUE_RISK_AVERSE, QueueModel, queue_ahead, queue_shrunk

from fastcore.errors import raise_result
from fastcore.records import EVENT_DTYPE, TRADING

cnp.import_array()

__all__ = ["TOOK", "UNKNOWN", "Venue"]

TOOK = MATCH_TOOK
UNKNOWN = VENUE_UNKNOWN

# Keeps every sum of prices and sizes inside int64.
cdef int64_t MAX_VALUE = <int64_t> 1 << 60
# Stamp of hidden lots: behind every displayed order.
cdef uint64_t HIDDEN = VENUE_LAST - 1


# ---- places ----

cdef inline int64_t better_key(bint there, int64_t key, int64_t than) noexcept nogil:
    # The better of two keys, of which one may not be there; whether it is cannot be predicted: no branch.
    return key if there & (key > than) else than


cdef void venue_reach(venue_t* v, int s) noexcept nogil:
    # Orders or displaced lots of a side have come or gone: what events concern us.
    cdef reach_t* r = &v.reach[s]
    cdef const venue_order_t* orders = v.orders[s]
    cdef int64_t sign = 1 - 2 * s
    cdef int32_t n = v.count[s]
    cdef int64_t best = better_key(n != 0, sign * orders[0].price_ticks, -VENUE_FAR)
    cdef int64_t worst = sign * orders[n - (n != 0)].price_ticks if n else VENUE_FAR
    best = better_key(v.displaced_count[s] != 0, sign * v.displaced[s][0].price_ticks, best)
    if unlikely(v.imaging):
        best = VENUE_FAR
        worst = -VENUE_FAR
    r.best_key = best
    r.worst_key = worst
    r.span = <uint64_t> best - <uint64_t> worst if best > worst else 0
    v.reach[1 - s].cross_key = -best


cdef inline bint before(int8_t side, int64_t price, uint64_t stamp, int64_t other_price, uint64_t other_stamp) noexcept nogil:
    # Whether one place is served before another.
    cdef int64_t better = side * (price - other_price)
    return better > 0 or better == 0 and stamp < other_stamp


cdef inline int64_t expiry(int64_t terms) noexcept nogil:
    return terms & ~<int64_t> TERMS_BITS


cdef inline int32_t venue_first(const venue_t* v, int s, int64_t price, bint behind) noexcept nogil:
    """Index of the first own order that is not better than a price; `behind`: that is worse."""
    cdef int64_t sign = 1 - 2 * s, better
    cdef int32_t low = 0, high = v.count[s], middle
    while low < high:
        middle = (low + high) >> 1
        better = sign * (v.orders[s][middle].price_ticks - price)
        if better > 0 or (behind and better == 0):
            low = middle + 1
        else:
            high = middle
    return low


cdef inline int32_t venue_slots(const venue_t* v) noexcept nogil:
    return 2 * v.capacity + 2


cdef void venue_centre(venue_t* v, int s) noexcept nogil:
    # One end of the memory is reached: orders go to its middle, which gives room for half the capacity at least.
    cdef venue_order_t* there = v.memory[s] + (venue_slots(v) - v.count[s]) // 2
    memmove(there, v.orders[s], v.count[s] * sizeof(venue_order_t))
    v.orders[s] = there


cdef venue_order_t* venue_put(venue_t* v, int s, int32_t i) noexcept nogil:
    # A place among the orders of a side; the nearer end moves, so that what comes near the touch costs the same however many rest.
    cdef int32_t n = v.count[s]
    if i < n - i:
        if v.orders[s] == v.memory[s]:
            venue_centre(v, s)
        v.orders[s] -= 1
        memmove(&v.orders[s][0], &v.orders[s][1], i * sizeof(venue_order_t))
    else:
        if v.orders[s] + n == v.memory[s] + venue_slots(v):
            venue_centre(v, s)
        if i < n:
            memmove(&v.orders[s][i + 1], &v.orders[s][i], (n - i) * sizeof(venue_order_t))
    v.count[s] += 1
    return &v.orders[s][i]


cdef void venue_take_out(venue_t* v, int s, int32_t i) noexcept nogil:
    # venue_remove before another order of the side comes in.
    cdef bint expires = expiry(v.orders[s][i].terms) != 0
    cdef int k
    v.open_lots[s] -= v.orders[s][i].left_lots
    v.count[s] -= 1
    if i < v.count[s] - i:
        memmove(&v.orders[s][1], &v.orders[s][0], i * sizeof(venue_order_t))
        v.orders[s] += 1
    elif i < v.count[s]:
        memmove(&v.orders[s][i], &v.orders[s][i + 1], (v.count[s] - i) * sizeof(venue_order_t))
    if unlikely(expires):
        v.due_ns = VENUE_NEVER
        for k in range(2):
            for i in range(v.count[k]):
                if expiry(v.orders[k][i].terms) and expiry(v.orders[k][i].terms) < v.due_ns:
                    v.due_ns = expiry(v.orders[k][i].terms)


cdef void venue_remove(venue_t* v, int s, int32_t i) noexcept nogil:
    venue_take_out(v, s, i)
    venue_reach(v, s)


cdef int64_t venue_fill(
    venue_t* v, int s, int32_t i, int64_t lots, int64_t paid, uint16_t cause, int64_t match_id, int64_t ahead, int64_t deferred
) noexcept nogil:
    # Fill a resting order with up to `lots`; returns how many. It is gone when nothing is left.
    cdef venue_order_t* o = &v.orders[s][i]
    cdef int64_t take = lots if lots < o.left_lots else o.left_lots
    o.left_lots -= take
    o.filled_lots += take
    v.filled_lots += take
    v.open_lots[s] -= take
    venue_report_fill(
        v, <int8_t> (1 - 2 * s), paid, take, o.order_id, match_id, FLAG_MAKER | cause, o.left_lots, ahead, deferred
    )
    if o.left_lots == 0:
        venue_remove(v, s, i)
    return take


# ---- reports ----

cdef event_t* venue_report(
    venue_t* v, int kind, int8_t side, int64_t price_ticks, int64_t size_lots, int64_t order_id, int64_t extra
) noexcept nogil:
    cdef event_t* r = &v.reports[v.report_count]
    r.seq = v.now_seq
    r.exch_ns = v.now_ns
    r.local_ns = 0
    r.symbol_id = v.symbol_id
    r.kind = <uint8_t> kind
    r.side = side
    r.flags = FLAG_OWN
    r.price = price_ticks
    r.size = size_lots
    r.order_id = order_id
    r.match_id = extra
    v.report_count += 1
    return r


cdef void venue_report_fill(
    venue_t* v, int8_t side, int64_t price, int64_t lots, int64_t order_id, int64_t match_id, uint16_t flags, int64_t left, int64_t ahead,
    int64_t deferred,
) noexcept nogil:
    venue_report(v, KIND_FILL, side, price, lots, order_id, match_id).flags |= flags | (FLAG_CONTINUED if v.details else 0)
    if v.details:
        venue_report(v, KIND_DETAIL, side, ahead, left, <int64_t> v.now_seq, deferred)


# ---- displaced lots ----

cdef void venue_drop_displaced(venue_t* v, int s, int32_t k) noexcept nogil:
    v.displaced_count[s] -= 1
    memmove(&v.displaced[s][k], &v.displaced[s][k + 1], (v.displaced_count[s] - k) * sizeof(displaced_t))
    venue_reach(v, s)


cdef displaced_t* venue_displaced(venue_t* v, int s, int32_t k) noexcept nogil:
    # The k-th displaced order that still counts; NULL when there is none. Those whose time is over and whose order was deleted go.
    cdef displaced_t* d
    while k < v.displaced_count[s]:
        d = &v.displaced[s][k]
        if (v.displaced_ns == VENUE_NEVER or v.now_ns - d.since_ns < v.displaced_ns) and (
            not d.resting or book_order(v.book, d.order_id) != NULL
        ):
            return d
        venue_drop_displaced(v, s, k)
    return NULL


cdef void venue_displace(
    venue_t* v, int8_t side, int64_t price, uint64_t stamp, int64_t lots, uint64_t order_id, bint resting
) noexcept nogil:
    # `lots` of a recorded order did not trade in a world with us. With 0: what is known of the order has changed.
    cdef int s = venue_index(side)
    cdef int32_t k = 0, i, oldest = 0
    cdef displaced_t* d
    while k < v.displaced_count[s] and before(side, v.displaced[s][k].price_ticks, v.displaced[s][k].stamp, price, stamp):
        k += 1
    d = &v.displaced[s][k]
    if k < v.displaced_count[s] and d.price_ticks == price and d.stamp == stamp:
        d.lots += lots
        d.resting = resting
        if lots:
            d.since_ns = v.now_ns
        return
    if lots == 0 or v.displaced_ns == 0:
        return
    if unlikely(v.displaced_count[s] == VENUE_DISPLACED):
        i = 0
        while venue_displaced(v, s, i) != NULL:     # those that do not count any more make room
            i += 1
        if v.displaced_count[s] < VENUE_DISPLACED:
            venue_displace(v, side, price, stamp, lots, order_id, resting)
            return
        for i in range(VENUE_DISPLACED):
            if v.displaced[s][i].since_ns < v.displaced[s][oldest].since_ns:
                oldest = i
        v.forgotten += 1
        venue_drop_displaced(v, s, oldest)
        k -= oldest < k
        d = &v.displaced[s][k]
    memmove(d + 1, d, (v.displaced_count[s] - k) * sizeof(displaced_t))
    v.displaced_count[s] += 1
    d.price_ticks = price
    d.lots = lots
    d.stamp = stamp
    d.order_id = order_id
    d.since_ns = v.now_ns
    d.resting = resting
    venue_reach(v, s)


cdef int64_t venue_serve_displaced(venue_t* v, int s, int32_t k, int64_t lots) noexcept nogil:
    # Up to `lots` go to the k-th displaced order; returns how many.
    cdef displaced_t* d = &v.displaced[s][k]
    cdef int64_t take = lots if lots < d.lots else d.lots
    d.lots -= take
    v.deferred_lots += take
    if d.lots == 0:
        venue_drop_displaced(v, s, k)
    return take


cdef int64_t venue_displaced_ahead(venue_t* v, int s, int64_t price, uint64_t stamp) noexcept nogil:
    # Displaced lots at a price that stand before a place there.
    cdef int64_t sign = 1 - 2 * s, lots = 0
    cdef const displaced_t* d = v.displaced[s]
    cdef const displaced_t* end = d + v.displaced_count[s]
    cdef int32_t k
    while d < end and sign * (d.price_ticks - price) > 0:
        d += 1
    if likely(d == end or d.price_ticks != price):
        return 0
    k = <int32_t> (d - v.displaced[s])
    d = venue_displaced(v, s, k)
    while d != NULL and d.price_ticks == price and d.stamp < stamp:
        lots += d.lots
        k += 1
        d = venue_displaced(v, s, k)
    return lots


cdef int64_t venue_place(venue_t* v, int s, const venue_order_t* o) noexcept nogil:
    # All that is before an own order at its price.
    cdef int64_t lots = o.ahead_lots + o.unseen_lots + venue_displaced_ahead(v, s, o.price_ticks, o.stamp)
    return lots if lots < VENUE_UNKNOWN else VENUE_UNKNOWN


# ---- taken lots ----

cdef bint taken_shown(const venue_t* v, const taken_t* t) noexcept nogil:
    # Whether the book still shows the order or the level.
    if v.by_level:
        return book_level_size(v.book, t.side, t.key) != 0
    return book_order(v.book, <uint64_t> t.key) != NULL


cdef taken_t* venue_taken(const venue_t* v, int8_t side, int64_t key) noexcept nogil:
    cdef int32_t i
    for i in range(v.taken_count):
        if v.taken[i].key == key and v.taken[i].side == side:
            return &v.taken[i]
    return NULL


cdef void venue_take_off(venue_t* v, int8_t side, int64_t key, int64_t lots) noexcept nogil:
    # `lots` of an order, by level of a price, have traded with us or with displaced lots: the book shows them on.
    cdef int32_t i, n = 0
    cdef taken_t* t
    if lots == 0:
        return
    t = venue_taken(v, side, key)
    if t == NULL:
        for i in range(v.taken_count):
            if taken_shown(v, &v.taken[i]):
                v.taken[n] = v.taken[i]
                n += 1
        if unlikely(n == VENUE_TAKEN):
            n -= 1
            memmove(v.taken, v.taken + 1, n * sizeof(taken_t))
            v.forgotten += 1
        v.taken_count = n + 1
        v.always = VENUE_ALWAYS | VENUE_APART
        t = &v.taken[n]
        t.key = key
        t.side = side
        t.lots = 0
    t.lots += lots


cdef int64_t venue_taken_at(const venue_t* v, const book_t* b, int8_t side, int64_t price) noexcept nogil:
    # Lots that the book shows at a price and that are taken already.
    cdef int32_t i
    cdef int64_t lots = 0, shown
    cdef const order_t* order
    for i in range(v.taken_count):
        if v.taken[i].side != side:
            continue
        if v.by_level:
            if v.taken[i].key != price:
                continue
            shown = book_level_size(b, side, price)
        else:
            order = book_order(b, <uint64_t> v.taken[i].key)
            if order == NULL or order.price != price:
                continue
            shown = order.size
        lots += v.taken[i].lots if v.taken[i].lots < shown else shown
    return lots


# ---- events of the market ----

cdef int64_t venue_serve(
    venue_t* v, int8_t side, int64_t price, uint64_t stamp, int64_t size, int64_t paid, uint16_t cause, int64_t match_id
) noexcept nogil:
    # `size` lots come to our side. All who stand before a place there, own and displaced, are served; returns with how much.
    cdef int s = venue_index(side)
    cdef int32_t i = 0, k = 0
    cdef int64_t left = size, take, deferred = 0, here = 0, at = NO_PRICE
    cdef displaced_t* d
    cdef venue_order_t* o
    if side * price > v.reach[s].best_key or (not venue_matches(v) and cause != FLAG_AUCTION):
        return 0
    while left > 0:
        d = venue_displaced(v, s, k)
        o = &v.orders[s][i] if i < v.count[s] else NULL
        if d != NULL and (o == NULL or before(side, d.price_ticks, d.stamp, o.price_ticks, o.stamp)):
            if not before(side, d.price_ticks, d.stamp, price, stamp):
                break
            if d.price_ticks != at:
                at = d.price_ticks
                here = 0
            take = venue_serve_displaced(v, s, k, left)
            deferred += take
            here += take
        elif o != NULL and not before(side, price, stamp, o.price_ticks, o.stamp):
            if v.by_level and v.now_ns < o.entered_ns:
                i += 1  # the feed is late: that was before we came
                continue
            take = venue_fill(
                v, s, i, left, o.price_ticks if paid == NO_PRICE else paid,
                cause, match_id, o.ahead_lots + (here if o.price_ticks == at else 0), deferred,
            )
        else:
            break
        left -= take
    return size - left


cdef int64_t venue_walk(
    venue_t* v, int8_t side, int64_t price, uint64_t after, uint64_t until, int64_t size, int64_t match_id
) noexcept nogil:
    # By order: `size` lots come to a price. Recorded orders, displaced and own ones with a stamp in after..until - 1 are served in turn;
    # returns with how much. What recorded ones get here they did not get in the record: it is taken.
    cdef int s = venue_index(side)
    cdef int32_t i = 0, k = 0
    cdef uint32_t number = 0
    cdef const level_t* level
    cdef const order_t* order
    cdef displaced_t* d
    cdef venue_order_t* o
    cdef taken_t* t
    cdef int64_t left = size, take, deferred = 0
    while i < v.count[s] and before(side, v.orders[s][i].price_ticks, v.orders[s][i].stamp, price, after):
        i += 1
    # In what order the record serves its own is its affair, unless we are among them.
    if after or (i < v.count[s] and v.orders[s][i].price_ticks == price and v.orders[s][i].stamp <= until):
        level = book_find_level(v.book, side, price)
        number = level.front if level != NULL else 0
    elif v.displaced_count[s] == 0:
        return 0
    while left > 0:
        d = venue_displaced(v, s, k)
        if d != NULL and before(side, d.price_ticks, d.stamp, price, after):
            k += 1
            continue
        if d != NULL and not before(side, d.price_ticks, d.stamp, price, until):
            d = NULL
        o = &v.orders[s][i] if i < v.count[s] else NULL
        if o != NULL and (o.price_ticks != price or o.stamp > until):
            o = NULL
        order = &v.book.orders.orders[number] if number else NULL
        if order != NULL and order.stamp >= until:
            order = NULL
        if order != NULL and (o == NULL or order.stamp < o.stamp) and (d == NULL or order.stamp <= d.stamp):
            number = order.after
            if order.stamp < after:
                continue
            t = venue_taken(v, side, <int64_t> order.order_id)
            take = order.size - (0 if t == NULL else t.lots)
            if take > left:
                take = left
            if take > 0:
                venue_take_off(v, side, <int64_t> order.order_id, take)
                left -= take
        elif d != NULL and (o == NULL or d.stamp < o.stamp):
            take = venue_serve_displaced(v, s, k, left)
            deferred += take
            left -= take
        elif o != NULL:
            left -= venue_fill(v, s, i, left, price, FLAG_AT, match_id, o.ahead_lots + deferred, deferred)
        else:
            break
    return size - left


cdef void venue_execute(venue_t* v, const event_t* e, const book_change_t* c) noexcept nogil:
    # By order: those before it are served with what it got in the record, those behind it with what it did not have any more.
    cdef int s = venue_index(c.side)
    cdef const order_t* order
    cdef taken_t* t
    cdef int64_t served, taken, short, left
    if v.displaced_count[s]:
        venue_displace(v, c.side, c.price, c.stamp, 0, 0, book_order(v.book, <uint64_t> e.order_id) != NULL)
    if e.flags & FLAG_NOT_PRINTABLE or not venue_matches(v):
        return  # part of a cross
    served = venue_serve(v, c.side, c.price + c.side, VENUE_LAST, c.size, NO_PRICE, FLAG_THROUGH, e.match_id)
    served += venue_walk(v, c.side, c.price, 0, c.stamp, c.size - served, e.match_id)
    t = venue_taken(v, c.side, e.order_id)
    if served == 0 and t == NULL:
        return
    order = book_order(v.book, <uint64_t> e.order_id)
    left = order.size if order != NULL else 0
    if t != NULL:
        taken = t.lots if t.lots < left + c.size else left + c.size
        short = taken - served - left
        if short > 0:
            t.lots = taken - short
            if t.lots == 0:
                v.taken_count -= 1
                memmove(t, t + 1, (v.taken_count - (t - v.taken)) * sizeof(taken_t))
            venue_walk(v, c.side, c.price, c.stamp + 1, VENUE_LAST, short, e.match_id)
    venue_displace(v, c.side, c.price, c.stamp, served, <uint64_t> e.order_id, order != NULL)


cdef void venue_shorten(venue_t* v, int8_t side, int64_t price, int64_t size, uint64_t stamp) noexcept nogil:
    # `size` of an order left the queue at `price`.
    cdef int s = venue_index(side)
    cdef int32_t i
    cdef venue_order_t* o
    for i in range(venue_first(v, s, price, False), v.count[s]):
        o = &v.orders[s][i]
        if o.price_ticks != price:
            return
        if stamp < o.stamp:
            o.ahead_lots = o.ahead_lots - size if o.ahead_lots > size else 0


cdef void venue_hidden(venue_t* v, int8_t side, int64_t price, int64_t size, int64_t match_id) noexcept nogil:
    # A print that the book does not show, of a side or of either: only strictly through our price it would have been ours.
    cdef int s
    cdef int8_t served_side
    cdef int64_t served = 0
    for s in range(2):
        served_side = <int8_t> (1 - 2 * s)
        if served == 0 and side != -served_side:
            served = venue_serve(v, served_side, price + served_side, VENUE_LAST, size, NO_PRICE, FLAG_HIDDEN, match_id)
            venue_displace(v, served_side, price, HIDDEN if side == NO_SIDE else 0, served, 0, False)


cdef void venue_cross(venue_t* v, int64_t price, int64_t size, int64_t match_id) noexcept nogil:
    # An auction at one price: better ones take part in it.
    cdef int s
    cdef int8_t side
    cdef int64_t served
    for s in range(2):
        side = <int8_t> (1 - 2 * s)
        served = venue_serve(v, side, price + side, VENUE_LAST, size, price, FLAG_AUCTION, match_id)
        venue_displace(v, side, price, 0, served, 0, False)


cdef void venue_clear(venue_t* v) noexcept nogil:
    # The book is empty: what we know of our places waits for an image.
    cdef int s
    cdef int32_t i
    cdef venue_order_t* o
    v.imaging = True
    v.imaged = False
    for s in range(2):
        for i in range(v.count[s]):
            o = &v.orders[s][i]
            o.unseen_lots += o.ahead_lots
            o.ahead_lots = 0
        venue_reach(v, s)


cdef void venue_image(venue_t* v, const book_change_t* c) noexcept nogil:
    # An order of an image: the first ones at our price, up to what stood before us, still do.
    cdef int s = venue_index(c.side)
    cdef int32_t i
    cdef int64_t seen = 0   # of what stood before the own order in front, which stood before those behind it too
    cdef venue_order_t* o
    v.imaged = True
    for i in range(v.count[s]):
        o = &v.orders[s][i]
        if o.price_ticks == c.price and (o.unseen_lots or seen):
            seen = max(seen, min(c.size, o.unseen_lots))
            o.ahead_lots += seen
            o.unseen_lots -= min(seen, o.unseen_lots)
            o.stamp = c.stamp + 1


cdef void venue_end_image(venue_t* v) noexcept nogil:
    cdef int s
    cdef int32_t i
    v.imaging = False
    for s in range(2):
        if v.imaged:
            for i in range(v.count[s]):
                v.orders[s][i].unseen_lots = 0
        venue_reach(v, s)


cdef void venue_meet_order(venue_t* v, const event_t* e, const book_change_t* c) noexcept nogil:
    # By order.
    cdef int8_t side = c.side, other = <int8_t> -c.side
    cdef int64_t size = c.new_size
    cdef taken_t* t
    if v.imaging and c.kind != KIND_CLEAR and not e.flags & FLAG_SNAPSHOT:
        venue_end_image(v)
    if c.kind == KIND_ADD:
        if e.flags & FLAG_SNAPSHOT:
            venue_image(v, c)
        else:
            venue_take_off(
                v, side, e.order_id, venue_serve(v, other, c.price, VENUE_LAST, c.size, NO_PRICE, FLAG_CROSSING, 0)
            )
    elif c.kind == KIND_DELETE or c.kind == KIND_CANCEL:
        venue_shorten(v, side, c.price, c.size, c.stamp)
    elif c.kind == KIND_EXECUTE:
        venue_execute(v, e, c)
        venue_shorten(v, side, c.price, c.size, c.stamp)
    elif c.kind == KIND_REPLACE:
        venue_shorten(v, side, c.price, c.size, c.stamp)
        t = venue_taken(v, side, e.order_id)
        if t != NULL:
            t.key = e.new_order_id
            if t.lots >= c.size:
                t.lots = size   # all of it has traded: its owner has nothing to move
            size = size - t.lots if size > t.lots else 0
        venue_take_off(
            v, side, e.new_order_id, venue_serve(v, other, c.new_price, VENUE_LAST, size, NO_PRICE, FLAG_CROSSING, 0)
        )
    elif c.kind == KIND_TRADE:
        if not e.flags & FLAG_NOT_PRINTABLE:
            venue_hidden(v, NO_SIDE, e.price, e.size, e.match_id)
    elif c.kind == KIND_CLEAR:
        venue_clear(v)


cdef void venue_print(venue_t* v, int8_t side, int64_t price, int64_t size, int64_t match_id) noexcept nogil:
    # By level: `size` was executed on our side at `price`. Better ones are served first, then each in turn: displaced lots, those ahead
    # of an own order, it, and so on. The record took its first `size` lots; those of them that are not served are displaced.
    cdef int s = venue_index(side)
    cdef int32_t i = 0, k = 0
    cdef int64_t left = size, served = 0, marked = 0, here = 0, ahead, shrunk, take
    cdef bint stays
    cdef displaced_t* d
    cdef venue_order_t* o
    if not venue_matches(v):
        return
    left -= venue_serve(v, side, price + side, VENUE_LAST, size, NO_PRICE, FLAG_THROUGH, match_id)
    i = venue_first(v, s, price, False)
    while True:
        d = venue_displaced(v, s, k)
        if d != NULL and side * (d.price_ticks - price) > 0:
            k += 1
            continue
        if d != NULL and d.price_ticks != price:
            d = NULL
        o = &v.orders[s][i] if i < v.count[s] and v.orders[s][i].price_ticks == price else NULL
        if d != NULL and (o == NULL or d.stamp < o.stamp):
            stays = left < d.lots
            take = venue_serve_displaced(v, s, k, left)
            left -= take
            here += take
            k += stays
            continue
        if o == NULL:
            break
        if v.now_ns < o.entered_ns:
            i += 1  # the feed is late: that was before we came
            continue
        if v.now_ns - o.shrunk_ns > v.print_lag_ns:
            o.shrunk_lots = 0
        shrunk = o.shrunk_lots if o.shrunk_lots < size else size
        o.shrunk_lots -= shrunk
        o.printed_lots += size - shrunk
        ahead = o.ahead_lots + shrunk
        o.ahead_lots = ahead - size if ahead > size else 0
        take = ahead - served if ahead > served else 0
        if take > left:
            take = left
        served += take
        left -= take
        take = ahead if ahead < size else size
        if served > marked:
            marked = served
        if take > marked:
            venue_displace(v, side, price, o.stamp - 1, take - marked, 0, False)
            marked = take
            k = 0   # nothing is left to serve
        stays = left < o.left_lots
        if left:
            left -= venue_fill(v, s, i, left, price, FLAG_AT, match_id, ahead + here, here)
        i += stays
    served += left
    if served > marked:
        marked = served
    if size > marked:
        venue_displace(v, side, price, v.entries + 1, size - marked, 0, False)


cdef bint venue_sees(const venue_t* v, int8_t side, int64_t price) noexcept nogil:
    # Whether a book by level shows all there is at a price: it shows worse ones.
    cdef int64_t worst = book_worst_price(v.book, side)
    return worst != NO_PRICE and side * (price - worst) > 0


cdef void venue_shown(
    venue_t* v, int8_t side, int64_t price, int64_t total, int64_t change, bint image, bint quoted
) noexcept nogil:
    # By level: `total` is displayed at `price`, and `change` just happened. A best price `quoted` with 0 has an unknown size.
    cdef int s = venue_index(side)
    cdef int32_t i
    cdef int64_t explained, ahead
    cdef venue_order_t* o
    for i in range(venue_first(v, s, price, False), v.count[s]):
        o = &v.orders[s][i]
        if o.price_ticks != price or (total == 0 and (quoted or not venue_sees(v, side, price))):
            break   # a level that has left what the feed shows tells nothing
        if change < 0 and not image:
            explained = o.printed_lots if o.printed_lots < -change else -change
            o.printed_lots -= explained
            if explained < -change:
                ahead = o.ahead_lots
                o.ahead_lots = queue_shrunk(&v.queue, ahead, &o.ahead_part, total - change - explained, total)
                if o.ahead_lots < ahead and ahead < VENUE_UNKNOWN:
                    if v.now_ns - o.shrunk_ns > v.print_lag_ns:
                        o.shrunk_lots = 0
                    o.shrunk_lots += ahead - o.ahead_lots
                    o.shrunk_ns = v.now_ns
        else:
            o.printed_lots = 0
            if change > 0 and not image and v.now_ns < o.entered_ns + v.level_lag_ns and o.ahead_lots < VENUE_UNKNOWN:
                o.ahead_lots += change  # it happened before we came
        o.ahead_lots = queue_ahead(&v.queue, o.ahead_lots, total)
    if change > 0 and not image:
        venue_take_off(
            v, side, price, venue_serve(v, <int8_t> -side, price, VENUE_LAST, change, NO_PRICE, FLAG_CROSSING, 0)
        )


cdef void venue_meet_quote(venue_t* v, const event_t* e) noexcept nogil:
    cdef int8_t side
    cdef int s
    cdef int32_t i
    cdef int64_t price, size, change
    cdef bint image
    for s in range(2):
        side = <int8_t> (1 - 2 * s)
        price = e.ask if s else e.bid
        size = e.ask_size if s else e.bid_size
        image = (e.flags & FLAG_SNAPSHOT) != 0
        change = 0
        if price != NO_PRICE:
            if v.shown_ticks[s] == NO_PRICE or side * (price - v.shown_ticks[s]) > 0:
                change = size if size else VENUE_UNKNOWN  # a feed without sizes
            elif price == v.shown_ticks[s]:
                change = size - v.shown_lots[s]
            else:
                image = True    # nobody knows what was there before
            # Better than the best: alone.
            for i in range(v.count[s]):
                if side * (v.orders[s][i].price_ticks - price) > 0:
                    v.orders[s][i].ahead_lots = 0
        v.shown_ticks[s] = price
        v.shown_lots[s] = size
        if price != NO_PRICE:
            venue_shown(v, side, price, size, change, image, True)


cdef void venue_meet_level(venue_t* v, const event_t* e, const book_change_t* c) noexcept nogil:
    # By level.
    cdef int64_t bid, ask
    cdef int8_t side = e.side
    if c.kind == KIND_LEVEL:
        venue_shown(v, c.side, c.price, c.new_size, c.size if c.grew else -c.size, (e.flags & FLAG_SNAPSHOT) != 0, False)
    elif c.kind == KIND_QUOTE:
        venue_meet_quote(v, e)
    elif c.kind == KIND_TRADE and not e.flags & FLAG_NOT_PRINTABLE:
        if side == NO_SIDE:
            # Whose it was the best prices tell.
            bid, ask = book_best_bid(v.book), book_best_ask(v.book)
            if (bid != NO_PRICE and e.price <= bid) != (ask != NO_PRICE and e.price >= ask):
                side = BUY if bid != NO_PRICE and e.price <= bid else SELL
        if e.flags & FLAG_HIDDEN:
            side = NO_SIDE
        if likely(side != NO_SIDE and side * e.price > v.reach[venue_index(side)].best_key):
            return  # nobody of ours waits there, or behind
        if side == NO_SIDE or (book_level_size(v.book, side, e.price) == 0 and venue_sees(v, side, e.price)):
            venue_hidden(v, side, e.price, e.size, e.match_id)
        else:
            venue_print(v, side, e.price, e.size, e.match_id)


cdef void venue_meet(venue_t* v, const event_t* e, const book_change_t* c) noexcept nogil:
    if v.book == NULL:
        if c.kind == KIND_QUOTE:
            venue_meet_quote(v, e)
        return  # we have never sent an order
    if (c.kind == KIND_TRADE or c.kind == KIND_CROSS) and not -MAX_VALUE <= e.price <= MAX_VALUE:
        return
    if c.kind == KIND_CROSS:
        venue_cross(v, e.price, e.size, e.match_id)
    elif v.by_level:
        venue_meet_level(v, e, c)
    else:
        venue_meet_order(v, e, c)


# ---- own orders ----

cdef venue_order_t* venue_search(const venue_t* v, int64_t order_id, int* side_index) noexcept nogil:
    # At the price that the table has, then everywhere, for another order may have taken its place there.
    cdef int k, s
    cdef int32_t i
    cdef int64_t price = v.prices[<uint64_t> order_id & v.ids]
    for k in range(4):
        s = side_index[0]
        for i in range(venue_first(v, s, price, False) if k < 2 and v.count[s] > VENUE_FEW else 0, v.count[s]):
            if v.orders[s][i].order_id == order_id:
                return &v.orders[s][i]
            if k < 2 and v.count[s] > VENUE_FEW and v.orders[s][i].price_ticks != price:
                break
        if k == 1 and v.count[0] <= VENUE_FEW and v.count[1] <= VENUE_FEW:
            return NULL
        side_index[0] = 1 - s
    return NULL


cdef inline venue_order_t* venue_find(const venue_t* v, int64_t order_id, int* side_index) noexcept nogil:
    # `side_index` comes with the side that it is most likely on; most likely it is the best there.
    cdef venue_order_t* best = v.orders[side_index[0]]
    return best if likely(v.count[side_index[0]] != 0 and best.order_id == order_id) else venue_search(v, order_id, side_index)


cdef inline bint rests(int64_t terms) noexcept nogil:
    # Whether what is not filled on arrival stays.
    return likely(terms == 0) or terms & TERMS_TYPE != TERMS_MARKET and terms & TERMS_TIME != TERMS_IOC and terms & TERMS_TIME != TERMS_FOK


cdef bint terms_agree(int64_t terms) noexcept nogil:
    cdef int64_t time = terms & TERMS_TIME
    if terms < 0 or terms & TERMS_BITS & ~(TERMS_TYPE | TERMS_TIME | TERMS_POST_ONLY) or terms & TERMS_TYPE > TERMS_MARKET:
        return False
    if time > TERMS_GTD or (time == TERMS_GTD) != (expiry(terms) != 0):
        return False
    if terms & TERMS_TYPE == TERMS_MARKET and time == TERMS_GTD:
        return False
    return rests(terms) or not terms & TERMS_POST_ONLY


cdef inline int64_t limit_of(int8_t side, int64_t price_ticks, int64_t terms) noexcept nogil:
    return side * VENUE_FAR if terms & TERMS_TYPE == TERMS_MARKET else price_ticks


cdef inline int64_t book_best_of(const book_t* b, int8_t side) noexcept nogil:
    return book_key(side, b.sides[side < 0].best)


cdef int64_t venue_available(const venue_t* v, const book_t* b, int8_t side, int64_t limit, int64_t wanted) noexcept nogil:
    # Lots that an order of `side` would find, up to `wanted`.
    cdef int64_t price = book_best_of(b, <int8_t> -side), lots = 0, shown
    cdef int n = 0
    if not venue_matches(v):
        return 0
    while lots < wanted and price != NO_PRICE and side * (limit - price) >= 0 and n < VENUE_SWEEP:
        shown = book_level_size(b, <int8_t> -side, price) - venue_taken_at(v, b, <int8_t> -side, price)
        lots += shown
        n += shown > 0
        price = book_next_price(b, <int8_t> -side, price)
    return lots if lots < wanted else wanted


cdef bint venue_meets_own(const venue_t* v, const book_t* b, int8_t side, int64_t limit, int64_t size) noexcept nogil:
    # Whether an order would come as far as an own one on the other side.
    cdef int other = 1 - venue_index(side)
    cdef int64_t own
    if v.count[other] == 0:
        return False
    own = v.orders[other][0].price_ticks
    return side * (limit - own) >= 0 and venue_available(v, b, side, own - side, size) < size


cdef int venue_judge(
    const venue_t* v, const book_t* b, int8_t side, int64_t price_ticks, int64_t size_lots, int64_t terms, bint replaces
) noexcept nogil:
    # Rule by rule.
    cdef int64_t limit, best
    if side != BUY and side != SELL:
        return RESULT_BAD_SIZE
    if unlikely(terms != 0 and not terms_agree(terms)):
        return RESULT_BAD_TERMS
    if terms & TERMS_TYPE == TERMS_LIMIT and not v.lowest_ticks <= price_ticks <= MAX_VALUE:
        return RESULT_BAD_PRICE
    if size_lots <= 0 or size_lots > MAX_VALUE:
        return RESULT_BAD_SIZE
    if not venue_takes_orders(v):
        return RESULT_NOT_TRADING
    if expiry(terms) and expiry(terms) <= v.now_ns:
        return RESULT_EXPIRED
    if not replaces and rests(terms) and v.count[venue_index(side)] >= v.capacity:
        return RESULT_FULL
    limit = limit_of(side, price_ticks, terms)
    if terms & TERMS_POST_ONLY and venue_matches(v):
        best = book_best_of(b, <int8_t> -side)
        if best != NO_PRICE and side * (price_ticks - best) >= 0:
            return RESULT_POST_ONLY
    if v.self_trade == SELF_TRADE_REFUSE and venue_meets_own(v, b, side, limit, size_lots):
        return RESULT_SELF_TRADE
    if terms & TERMS_TIME == TERMS_FOK and venue_available(v, b, side, limit, size_lots) < size_lots:
        return RESULT_UNFILLABLE
    return RESULT_OK


cdef inline bint venue_nears_own(const venue_t* v, int s, int64_t price_ticks) noexcept nogil:
    # Whether a price reaches that of an own order of the other side.
    return v.count[1 - s] != 0 and (1 - 2 * s) * (price_ticks - v.orders[1 - s][0].price_ticks) >= 0


cdef inline int venue_refusal(
    const venue_t* v, const book_t* b, int8_t side, int64_t price_ticks, int64_t size_lots, int64_t terms, bint replaces
) noexcept nogil:
    # A limit order for the day in bounds, far from our own of the other side, passes.
    cdef int s = side < 0
    if likely(
        terms == 0 and side * side == 1 and v.lowest_ticks <= price_ticks <= MAX_VALUE and <uint64_t> size_lots - 1 < <uint64_t> MAX_VALUE
        and venue_takes_orders(v) and (replaces or v.count[s] < v.capacity) and not venue_nears_own(v, s, price_ticks)
    ):
        return RESULT_OK
    return venue_judge(v, b, side, price_ticks, size_lots, terms, replaces)


cdef void venue_take_orders(venue_t* v, const book_t* b, int8_t side, int64_t price, int64_t lots) noexcept nogil:
    # By order: `lots` come from the first orders at a price of which some are not taken.
    cdef const level_t* level = book_find_level(b, side, price)
    cdef uint32_t number = level.front
    cdef const order_t* order
    cdef const taken_t* t
    cdef int64_t take
    while lots and number:
        order = &b.orders.orders[number]
        t = venue_taken(v, side, <int64_t> order.order_id)
        take = order.size - (0 if t == NULL else t.lots)
        take = lots if lots < take else take
        if take > 0:
            venue_take_off(v, side, <int64_t> order.order_id, take)
            lots -= take
        number = order.after


cdef int64_t venue_take(
    venue_t* v, const book_t* b, int8_t side, int64_t limit, int64_t left, int64_t order_id, bint* swept
) noexcept nogil:
    # Trade against what the book displays at our limit or better; returns what is left.
    cdef int64_t price = book_best_of(b, <int8_t> -side)
    cdef int64_t take
    cdef int n = 0
    if not venue_matches(v):
        return left
    while left > 0 and price != NO_PRICE and side * (limit - price) >= 0:
        take = book_level_size(b, <int8_t> -side, price)    # 0: a best price whose size the feed does not say
        take -= venue_taken_at(v, b, <int8_t> -side, price)
        if take > 0:
            if n == VENUE_SWEEP:
                swept[0] = True
                return left
            n += 1
            if take > left:
                take = left
            left -= take
            v.filled_lots += take
            if v.by_level:
                venue_take_off(v, <int8_t> -side, price, take)
            else:
                venue_take_orders(v, b, <int8_t> -side, price, take)
            venue_report_fill(v, side, price, take, order_id, MATCH_TOOK, FLAG_TAKER | FLAG_TOOK, left, 0, 0)
        price = book_next_price(b, <int8_t> -side, price)
    return left


cdef void venue_queue(venue_t* v, const book_t* b, int8_t side, int64_t price_ticks, venue_order_t* o) noexcept nogil:
    # The place of a new order; a level without size is a best price whose size the feed does not say.
    cdef int64_t worst = NO_PRICE
    cdef bint nothing = b.stale or v.imaging or (b.sides[0].count == 0 and b.sides[1].count == 0)
    o.ahead_lots = book_level_size(b, side, price_ticks)
    o.unseen_lots = 0
    if not v.by_level:
        o.stamp = book_stamp(b)
        if nothing:
            o.unseen_lots = VENUE_UNKNOWN
        return
    o.stamp = v.entries + 2
    if o.ahead_lots == 0:
        worst = book_worst_price(b, side)
    if nothing or (worst != NO_PRICE and side * (price_ticks - worst) <= 0):
        o.ahead_lots = VENUE_UNKNOWN


cdef inline void venue_accept(
    venue_t* v, const book_t* b, int s, int64_t price_ticks, int64_t left, int64_t filled, int64_t order_id, int64_t terms, bint stays,
    venue_order_t* o,
) noexcept nogil:
    # What is known of an order when it is acknowledged.
    cdef int8_t side = <int8_t> (1 - 2 * s)
    o.order_id = order_id
    o.price_ticks = price_ticks
    o.left_lots = left
    o.filled_lots = filled
    o.ahead_lots = o.unseen_lots = 0
    o.ahead_part = 0.0
    o.stamp = 0
    o.entered_ns = o.shrunk_ns = v.now_ns
    o.terms = terms
    o.printed_lots = o.shrunk_lots = 0
    if stays:
        venue_queue(v, b, side, price_ticks, o)
    venue_report(v, KIND_ACK, side, price_ticks, left + filled, order_id, venue_place(v, s, o) if stays else 0)


cdef inline void venue_rest(venue_t* v, int s, const venue_order_t* o) noexcept nogil:
    # An order has its place.
    v.prices[<uint64_t> o.order_id & v.ids] = o.price_ticks
    v.open_lots[s] += o.left_lots
    if v.by_level:
        v.entries = o.stamp
    if unlikely(expiry(o.terms) and expiry(o.terms) < v.due_ns):
        v.due_ns = expiry(o.terms)
    venue_reach(v, s)


cdef void venue_enter(
    venue_t* v, const book_t* b, int8_t side, int64_t price_ticks, int64_t left, int64_t filled, int64_t order_id, int64_t terms
) noexcept nogil:
    # An order that is not refused: acknowledged, it takes what it reaches, and the rest waits.
    cdef int s = venue_index(side)
    cdef int64_t limit = limit_of(side, price_ticks, terms)
    cdef bint swept = False, stays = rests(terms)
    cdef venue_order_t place
    cdef venue_order_t* o
    while unlikely(v.self_trade == SELF_TRADE_CANCEL and venue_meets_own(v, b, side, limit, left)):
        venue_pull(v, 1 - s, 0, RESULT_SELF_TRADE)
    venue_accept(v, b, s, price_ticks, left, filled, order_id, terms, stays, &place)
    place.left_lots = venue_take(v, b, side, limit, left, order_id, &swept)
    place.filled_lots += left - place.left_lots
    if unlikely(place.left_lots == 0 or swept or not stays):
        if place.left_lots:
            venue_report(v, KIND_PULLED, side, price_ticks, place.left_lots, order_id, 0)
        venue_reach(v, s)   # for an order that made room for this one
        return
    # By price, behind our own earlier orders of the same price.
    o = venue_put(v, s, venue_first(v, s, price_ticks, True))
    o[0] = place
    venue_rest(v, s, o)


cdef inline bint venue_alone(const venue_t* v, const book_t* b, int s, int64_t price_ticks, int64_t terms) noexcept nogil:
    # Whether the only own order of a side may go to a price without meeting anything: it stays where it is in memory.
    cdef int64_t opposite = b.sides[1 - s].best
    return (
        v.count[s] == 1 and terms == 0 and (opposite == NO_PRICE or (1 - 2 * s) * price_ticks < -opposite)
        and not venue_nears_own(v, s, price_ticks)
    )


cdef void venue_pull(venue_t* v, int s, int32_t i, int64_t why) noexcept nogil:
    cdef const venue_order_t* o = &v.orders[s][i]
    venue_report(v, KIND_PULLED, <int8_t> (1 - 2 * s), o.price_ticks, o.left_lots, o.order_id, why)
    venue_remove(v, s, i)


cdef int venue_submit(
    venue_t* v, const book_t* b, int8_t side, int64_t price_ticks, int64_t size_lots, int64_t order_id, int64_t terms
) noexcept nogil:
    cdef int refusal
    if unlikely(not venue_has_room(v)):
        return RESULT_FULL
    v.book = b
    refusal = venue_refusal(v, b, side, price_ticks, size_lots, terms, False)
    if refusal != RESULT_OK:
        venue_report(v, KIND_REJECT, side, price_ticks, size_lots, order_id, refusal)
        return refusal
    venue_enter(v, b, side, price_ticks, size_lots, 0, order_id, terms)
    return RESULT_OK


cdef int venue_cancel(venue_t* v, int64_t order_id) noexcept nogil:
    cdef int s = 0
    cdef venue_order_t* o
    if unlikely(not venue_has_room(v)):
        return RESULT_FULL
    o = venue_find(v, order_id, &s)
    if o == NULL:
        venue_report(v, KIND_REJECT, NO_SIDE, NO_PRICE, 0, order_id, RESULT_UNKNOWN_ORDER)
        return RESULT_UNKNOWN_ORDER
    venue_pull(v, s, <int32_t> (o - v.orders[s]), 0)
    return RESULT_OK


cdef int venue_replace(
    venue_t* v, const book_t* b, int8_t asked, int64_t order_id, int64_t price_ticks, int64_t total_lots, int64_t new_order_id
) noexcept nogil:
    # What was filled while the message was under way comes off its size: nobody gets more than was asked for.
    cdef int s = asked < 0, refusal
    cdef int8_t side
    cdef int64_t terms, left
    cdef venue_order_t* o
    if unlikely(not venue_has_room(v)):
        return RESULT_FULL
    v.book = b
    o = venue_find(v, order_id, &s)
    if o == NULL:
        venue_report(v, KIND_REJECT, NO_SIDE, price_ticks, total_lots, order_id, RESULT_UNKNOWN_ORDER)
        return RESULT_UNKNOWN_ORDER
    side = <int8_t> (1 - 2 * s)
    terms = o.terms
    if 0 < total_lots <= o.filled_lots:
        venue_pull(v, s, <int32_t> (o - v.orders[s]), 0)
        venue_report(v, KIND_REJECT, side, price_ticks, total_lots, new_order_id, RESULT_UNKNOWN_ORDER)
        return RESULT_UNKNOWN_ORDER
    left = total_lots - o.filled_lots if total_lots > 0 else 0
    refusal = venue_refusal(v, b, side, price_ticks, left, terms, True)
    if refusal != RESULT_OK:
        venue_report(v, KIND_REJECT, side, price_ticks, total_lots, order_id, refusal)
        return refusal
    if price_ticks == o.price_ticks and left <= o.left_lots:
        # Nothing that others wait for: the order keeps its place under its new number.
        venue_report(v, KIND_PULLED, side, o.price_ticks, o.left_lots, order_id, 0)
        v.open_lots[s] += left - o.left_lots
        o.left_lots = left
        o.filled_lots = 0
        o.order_id = new_order_id
        v.prices[<uint64_t> new_order_id & v.ids] = price_ticks
        venue_report(v, KIND_ACK, side, price_ticks, left, new_order_id, venue_place(v, s, o))
        return RESULT_OK
    venue_report(v, KIND_PULLED, side, o.price_ticks, o.left_lots, order_id, 0)
    if likely(venue_alone(v, b, s, price_ticks, terms)):
        v.open_lots[s] = 0
        venue_accept(v, b, s, price_ticks, left, 0, new_order_id, terms, True, o)
        venue_rest(v, s, o)
        return RESULT_OK
    venue_take_out(v, s, <int32_t> (o - v.orders[s]))
    venue_enter(v, b, side, price_ticks, left, 0, new_order_id, terms)
    return RESULT_OK


cdef int venue_amend(venue_t* v, const book_t* b, int64_t order_id, int64_t price_ticks, int64_t total_lots) noexcept nogil:
    cdef int s = 0, refusal
    cdef int8_t side
    cdef int64_t terms, filled, left
    cdef venue_order_t* o
    if unlikely(not venue_has_room(v)):
        return RESULT_FULL
    v.book = b
    o = venue_find(v, order_id, &s)
    if o == NULL:
        venue_report(v, KIND_REJECT, NO_SIDE, price_ticks, total_lots, order_id, RESULT_UNKNOWN_ORDER)
        return RESULT_UNKNOWN_ORDER
    side = <int8_t> (1 - 2 * s)
    terms = o.terms
    filled = o.filled_lots
    if 0 < total_lots <= filled:
        venue_pull(v, s, <int32_t> (o - v.orders[s]), 0)
        return RESULT_OK
    left = total_lots - filled if total_lots > 0 else 0
    refusal = venue_refusal(v, b, side, price_ticks, left, terms, True)
    if refusal != RESULT_OK:
        venue_report(v, KIND_REJECT, side, price_ticks, total_lots, order_id, refusal)
        return refusal
    if price_ticks == o.price_ticks and left <= o.left_lots:
        v.open_lots[s] += left - o.left_lots
        o.left_lots = left
        venue_report(v, KIND_ACK, side, price_ticks, total_lots, order_id, venue_place(v, s, o))
        return RESULT_OK
    venue_take_out(v, s, <int32_t> (o - v.orders[s]))
    venue_enter(v, b, side, price_ticks, left, filled, order_id, terms)
    return RESULT_OK


cdef int venue_message(venue_t* v, const book_t* b, const event_t* e) noexcept nogil:
    if e.kind == KIND_ORDER:
        return venue_submit(v, b, e.side, e.price, e.size, e.order_id, e.payload[3])
    if e.kind == KIND_REPLACE:
        return venue_replace(v, b, e.side, e.order_id, e.price, e.size, e.new_order_id)
    if e.kind == KIND_AMEND:
        return venue_amend(v, b, e.order_id, e.price, e.size)
    return venue_cancel(v, e.order_id)


cdef int venue_expire(venue_t* v, int64_t now_ns) noexcept nogil:
    cdef int s
    cdef int32_t i
    if unlikely(not venue_has_room(v)):
        return RESULT_FULL
    if v.due_ns > now_ns:
        return RESULT_OK
    v.now_ns = now_ns
    for s in range(2):
        i = 0
        while i < v.count[s]:
            if expiry(v.orders[s][i].terms) and expiry(v.orders[s][i].terms) <= now_ns:
                venue_pull(v, s, i, RESULT_EXPIRED)
            else:
                i += 1
    return RESULT_OK


cdef int venue_init(venue_t* v, int32_t capacity, int64_t reports, uint32_t symbol_id) noexcept nogil:
    cdef int s
    v.capacity = capacity
    v.symbol_id = symbol_id
    v.queue.model = QUEUE_RISK_AVERSE
    v.always = VENUE_ALWAYS
    v.state = &v.own_state
    v.lowest_ticks = 1
    v.displaced_ns = VENUE_NEVER
    v.due_ns = VENUE_NEVER
    v.report_capacity = reports
    v.report_limit = reports - venue_room(capacity, v.details)
    v.reports = <event_t*> fc_alloc(reports, sizeof(event_t))
    v.taken = <taken_t*> fc_alloc(VENUE_TAKEN, sizeof(taken_t))
    v.ids = 63
    while v.ids < 4 * <uint64_t> capacity:
        v.ids = 2 * v.ids + 1
    v.prices = <int64_t*> fc_alloc(v.ids + 1, sizeof(int64_t))
    for s in range(2):
        v.shown_ticks[s] = NO_PRICE
        v.reach[s].best_key = -VENUE_FAR
        v.reach[s].worst_key = v.reach[s].cross_key = VENUE_FAR
        v.reach[s].span = 0
        v.memory[s] = <venue_order_t*> fc_alloc(venue_slots(v) + 1, sizeof(venue_order_t))
        v.orders[s] = v.memory[s] + venue_slots(v) // 2 if v.memory[s] != NULL else NULL
        v.displaced[s] = <displaced_t*> fc_alloc(VENUE_DISPLACED, sizeof(displaced_t))
    if (
        v.reports == NULL or v.taken == NULL or v.prices == NULL or v.orders[0] == NULL or v.orders[1] == NULL or v.displaced[0] == NULL
        or v.displaced[1] == NULL
    ):
        venue_free(v)
        return RESULT_NO_MEMORY
    return RESULT_OK


cdef void venue_free(venue_t* v) noexcept nogil:
    cdef int s
    for s in range(2):
        fc_free(v.memory[s])
        fc_free(v.displaced[s])
        v.memory[s] = v.orders[s] = NULL
        v.displaced[s] = NULL
    fc_free(v.taken)
    fc_free(v.reports)
    fc_free(v.prices)
    v.prices = NULL
    v.taken = NULL
    v.reports = NULL


cdef int venue_grow_reports(venue_t* v, int64_t reports) noexcept nogil:
    cdef event_t* larger
    if reports <= v.report_capacity:
        return RESULT_OK
    larger = <event_t*> fc_alloc(reports, sizeof(event_t))
    if larger == NULL:
        return RESULT_NO_MEMORY
    memcpy(larger, v.reports, v.report_count * sizeof(event_t))
    fc_free(v.reports)
    v.reports = larger
    v.report_limit += reports - v.report_capacity
    v.report_capacity = reports
    return RESULT_OK


@cython.final
cdef class Venue:
    """Venue(capacity=64, symbol_id=0, by_level=False, *, displaced_ns=None, self_trade="refuse", signed_prices=False, details=False, print_lag_ns=10000000, level_lag_ns=0, queue=None)\n--\n\n
    Simulated venue for the own orders of one symbol, beside a recorded book.

    Every market event is first applied to the book, then given to `apply`. Outcomes are reports, fetched with
    `take_reports`: nothing about an order is known before its report. Orders reach the venue at once.

    Parameters
    ----------
    capacity : int, default 64
        Own orders that can rest at the same time on each side, 1 to 131,072. One more is rejected with the code `full`.
    symbol_id : int, default 0
        Written into the reports.
    by_level : bool, default False
        The book is a ``LevelBook``: places in queues are estimates.
    displaced_ns : int, optional
        How long the lots stay that would not have traded in a world with us: for ever, until executions have used them up (None), so
        many ns, or not at all (0).
    self_trade : {"refuse", "cancel"}, default "refuse"
        What becomes of an order that would meet an own one: it is refused, or the own orders that it would meet are pulled.
    signed_prices : bool, default False
        Prices may be 0 and negative.
    details : bool, default False
        Report a `detail` behind each fill.
    print_lag_ns : int, default 10,000,000
        By level: a print may come so long after its level has shrunk.
    level_lag_ns : int, default 0
        By level: the feed may show growth so long after it happened, as one that gives the changes of an interval together.
    queue : QueueModel, optional
        By level: who is taken to have left when a level shrinks without a trade; risk-averse by default.

    Raises
    ------
    ValueError
        If a number is out of range.

    Notes
    -----
    A marketable order trades on entry against what the book displays at its price or better, level by level (at most 64),
    and what is left rests. The recorded book is not altered, but what has traded with us does not trade again. The rules, each with its
    test, are in docs/simulator.md.

    **Thread safety**: one thread owns a venue and its book.
    """

    def __cinit__(
        self, capacity=64, symbol_id=0, bint by_level=False, *, displaced_ns=None, self_trade="refuse", bint signed_prices=False,
        bint details=False, print_lag_ns=10_000_000, level_lag_ns=0, QueueModel queue=None,
    ):
        cdef int64_t kept = VENUE_NEVER if displaced_ns is None else as_int64(displaced_ns)
        cdef int64_t orders = int64_in(capacity, "capacity", 1, 131072), number = int64_in(symbol_id, "symbol_id", 0, NO_SYMBOL)
        cdef int64_t print_lag = as_int64(print_lag_ns), level_lag = as_int64(level_lag_ns)
        if kept < 0:
            raise ValueError(f"displaced_ns must be in 0..2**63-1, or None for ever: displaced_ns={displaced_ns}")
        if self_trade not in ("refuse", "cancel"):
            raise ValueError(f"self_trade must be refuse or cancel: self_trade={self_trade}")
        for name, lag in (("print_lag_ns", print_lag), ("level_lag_ns", level_lag)):
            if not 0 <= lag <= MAX_VALUE:
                raise ValueError(f"{name} must be in 0..2**60: {name}={lag}")
        self._v.details = details
        if venue_init(&self._v, <int32_t> orders, 4 * venue_room(<int32_t> orders, details), <uint32_t> number) != RESULT_OK:
            raise_result(RESULT_NO_MEMORY, f"venue for own orders: capacity={capacity}")
        self._v.by_level = by_level
        if queue is not None:
            self._v.queue = queue._q
            self._queue = queue
        self._v.displaced_ns = kept
        self._v.self_trade = SELF_TRADE_CANCEL if self_trade == "cancel" else SELF_TRADE_REFUSE
        self._v.lowest_ticks = -MAX_VALUE if signed_prices else 1
        self._v.print_lag_ns = print_lag
        self._v.level_lag_ns = level_lag
        self._next_order_id = 1

    def __dealloc__(self):
        venue_free(&self._v)

    cdef const book_t* _use(self, object book) except NULL:
        # A Python book of the kind that the venue was made for; kept alive, because the venue looks things up in it.
        if isinstance(book, LevelBook if self._v.by_level else OrderBook):
            self._book = book
            return (<_Book> book)._b
        raise TypeError(f"book must be {'a LevelBook' if self._v.by_level else 'an OrderBook'}: type={type(book).__name__}")

    cdef int _room(self) except -1:
        # Every change begins here: not while a run works on the venue. Python callers never see a full report buffer: it grows.
        alone(&self._busy)
        if not venue_has_room(&self._v) and venue_grow_reports(&self._v, 2 * self._v.report_capacity) != RESULT_OK:
            raise_result(RESULT_NO_MEMORY, f"reports of the venue: count={self._v.report_count}")
        return 0

    def submit(self, book not None, side, price_ticks, size_lots, terms=0):
        """Send an order: at once an `ack`, perhaps fills, or a `reject`.

        Parameters
        ----------
        book : OrderBook
            State of the market.
        side : int
            +1 buy, -1 sell.
        price_ticks, size_lots : int
            Limit and quantity, positive and at most 2**60; the limit of a market order is not looked at.
        terms : int, default 0
            What ``fastcore.records.order_terms`` returns; 0 is a limit order for the day.

        Returns
        -------
        int
            Result code: 0 accepted; else the order was rejected, and the report carries the same code.
        """
        cdef int64_t order_id = self._next_order_id, price = as_int64(price_ticks), size = as_int64(size_lots)
        cdef int8_t sign = as_side(side)
        cdef int64_t asked = as_int64(terms)
        cdef const book_t* b = self._use(book)
        self._room()
        self._next_order_id += 1
        return venue_submit(&self._v, b, sign, price, size, order_id, asked)

    def cancel(self, order_id):
        """Take an order out: `pulled` with what was left, or `reject` for an order that does not rest.

        Parameters
        ----------
        order_id : int
            Number from its `ack`.

        Returns
        -------
        int
            Result code.
        """
        self._room()
        return venue_cancel(&self._v, as_int64(order_id))

    def replace(self, book not None, order_id, price_ticks, total_lots):
        """Replace an order: `pulled` for the old number and `ack` for a new one, of what is left.

        The place in the queue is kept when the price is the same and the quantity not larger; else the order goes to the
        back, and may trade on entry. A price or size out of range is rejected and the old order stays. When `total_lots` are
        filled already the old order goes and the new one is rejected: a fill that crossed the message is not bought again.

        Parameters
        ----------
        book : OrderBook
            State of the market.
        order_id : int
            Number of the order that rests.
        price_ticks : int
            New limit.
        total_lots : int
            New quantity, with what is filled of the old order.

        Returns
        -------
        int
            Result code.
        """
        cdef int64_t old = as_int64(order_id), price = as_int64(price_ticks), total = as_int64(total_lots)
        cdef const book_t* b = self._use(book)
        cdef int result, s = 0
        cdef bint known
        self._room()
        known = venue_find(&self._v, old, &s) != NULL
        result = venue_replace(&self._v, b, <int8_t> (1 - 2 * s), old, price, total, self._next_order_id)
        self._next_order_id += result == RESULT_OK or (known and result == RESULT_UNKNOWN_ORDER)
        return result

    def amend(self, book not None, order_id, price_ticks, total_lots):
        """Change an order under its number: `ack`, or `pulled` when `total_lots` are filled already.

        The place in the queue is kept when the price is the same and the quantity not larger; else the order goes to the
        back, and may trade on entry. What is refused leaves the order as it was.

        Parameters
        ----------
        book : OrderBook
            State of the market.
        order_id : int
            Number of the order that rests.
        price_ticks : int
            New limit.
        total_lots : int
            New quantity, with what is filled.

        Returns
        -------
        int
            Result code.
        """
        cdef int64_t number = as_int64(order_id), price = as_int64(price_ticks), total = as_int64(total_lots)
        cdef const book_t* b = self._use(book)
        self._room()
        return venue_amend(&self._v, b, number, price, total)

    def expire(self, now_ns):
        """Take the orders out whose expiry is not after `now_ns`: `pulled` for each."""
        cdef int64_t now = as_int64(now_ns)
        self._room()
        venue_expire(&self._v, now)

    def apply(
        self, kind, side, price, size, stamp, new_price=NO_PRICE, new_size=0, match_id=0, exch_ns=0, seq=0, flags=0, bint grew=False,
        order_id=0, new_order_id=0,
    ):
        """Apply a market event that the book has resolved; for the meaning of the values see ``OrderBook``.

        Parameters
        ----------
        kind : int
            Kind of the event.
        side, price, size, stamp : int
            Of the order concerned: its side, price in ticks, lots added or taken off, and arrival number. For a print
            against hidden liquidity (`trade`): price and size of the print. For a `level`: lots by which it changed. For a
            `quote`: the best bid and its size.
        new_price, new_size : int
            Of the order that takes its place, for `replace`. `new_size` is the total of a `level`; for a `quote` both are
            of the best ask.
        match_id, exch_ns, seq : int
            Execution number, exchange time and number of the event; reports repeat them.
        flags : int, default 0
            Of the event: ``hidden`` and ``snapshot`` matter to a venue by level.
        grew : bool, default False
            Lots were added to the `level`.
        order_id, new_order_id : int
            References of the venue: of the order concerned, and of the one that takes its place.
        """
        cdef event_t e
        cdef book_change_t c
        if not 0 <= as_int64(kind) < KIND_COUNT:
            raise ValueError(f"kind must be one of 0..{KIND_COUNT - 1}: kind={kind}")
        e.kind = c.kind = kind
        e.exch_ns = as_int64(exch_ns)
        e.price = as_int64(price)
        e.size = as_int64(size)
        e.order_id = as_int64(order_id)
        e.match_id, replaced = as_int64(match_id), as_int64(new_order_id)
        if kind == KIND_REPLACE:
            e.new_order_id = replaced
        e.kind = c.kind = kind
        e.side = as_side(side)
        e.flags = <uint16_t> int64_in(flags, "flags", 0, 0xFFFF)
        c.grew = grew
        c.side = as_side(side)
        c.price = as_int64(price)
        c.size = as_int64(size)
        c.stamp = as_uint64(stamp)
        c.new_price = as_int64(new_price)
        c.new_size = as_int64(new_size)
        if e.kind == KIND_QUOTE:
            e.bid, e.bid_size, e.ask, e.ask_size = c.price, c.size, c.new_price, c.new_size
        self._room()
        venue_apply(&self._v, &e, &c, as_uint64(seq))

    def take_reports(self):
        """Return the reports since the last call, oldest first, and forget them.

        Returns
        -------
        ndarray of EVENT_DTYPE, shape (n,)
            A copy.
        """
        alone(&self._busy)
        out = np.empty(self._v.report_count, EVENT_DTYPE)
        if self._v.report_count:
            memcpy(cnp.PyArray_DATA(out), self._v.reports, self._v.report_count * sizeof(event_t))
        self._v.report_count = 0
        return out

    def orders(self):
        """Return the resting orders: buys, then sells, each best price first and then earliest entry.

        Returns
        -------
        list of tuple of int
            ``(order_id, side, price_ticks, left_lots, ahead_lots)``; the last with displaced lots.
        """
        cdef int s
        cdef int32_t i
        cdef int64_t place
        alone(&self._busy)
        out = []
        for s in range(2):
            for i in range(self._v.count[s]):
                o = self._v.orders[s][i]
                place = venue_place(&self._v, s, &self._v.orders[s][i])
                out.append((o.order_id, 1 - 2 * s, o.price_ticks, o.left_lots, place))
        return out

    def check(self):
        """Walk the structure and raise AssertionError where an invariant is broken; for tests."""
        cdef int s
        cdef int32_t i
        cdef int64_t total
        cdef int8_t side
        alone(&self._busy)
        for s in range(2):
            side = 1 - 2 * s
            total = 0
            assert 0 <= self._v.count[s] <= self._v.capacity
            for i in range(self._v.count[s]):
                o = self._v.orders[s][i]
                assert o.left_lots > 0 and o.ahead_lots >= 0
                total += o.left_lots
                if i:
                    b = self._v.orders[s][i - 1]
                    assert side * (b.price_ticks - o.price_ticks) >= 0, "best price first"
                    assert b.price_ticks != o.price_ticks or b.stamp <= o.stamp, "earliest entry first"
            assert total == self._v.open_lots[s]
            for i in range(self._v.displaced_count[s]):
                d = self._v.displaced[s][i]
                assert d.lots > 0
                if i:
                    e = self._v.displaced[s][i - 1]
                    assert before(side, e.price_ticks, e.stamp, d.price_ticks, d.stamp), "displaced lots are in the order of their claim"

    @property
    def trading(self):
        """Trading state, one of ``fastcore.records.TRADING``; None where the venue does not announce any, and it trades."""
        return None if self._v.state[0] == 0 else list(TRADING)[self._v.state[0] - 1]

    @trading.setter
    def trading(self, state):
        alone(&self._busy)
        if state is not None and state not in TRADING:
            raise ValueError(f"trading must be one of {', '.join(TRADING)}: trading={state}")
        if self._v.state != &self._v.own_state:
            raise ValueError(f"trading is what the market says: trading={state}")
        self._v.own_state = 0 if state is None else 1 + TRADING[state]

    @property
    def due_ns(self):
        """Earliest expiry of an own order; None without one."""
        return None if self._v.due_ns == VENUE_NEVER else self._v.due_ns

    @property
    def displaced_lots(self):
        """Lots that stand in a world with us and not in the record, of both sides."""
        cdef int s
        cdef int32_t k
        alone(&self._busy)
        total = 0
        for s in range(2):
            k = 0
            while venue_displaced(&self._v, s, k) != NULL:
                total += self._v.displaced[s][k].lots
                k += 1
        return total

    @property
    def deferred_lots(self):
        """Lots of executions since construction that went to displaced orders before ours."""
        return self._v.deferred_lots

    @property
    def forgotten(self):
        """Displaced and taken orders that were forgotten for want of room: 256 a side and 64 are remembered."""
        return self._v.forgotten

    @property
    def capacity(self):
        """Own orders that can rest on each side."""
        return self._v.capacity

    @property
    def open_buy_lots(self):
        """Lots of all resting buys."""
        return self._v.open_lots[0]

    @property
    def open_sell_lots(self):
        """Lots of all resting sells."""
        return self._v.open_lots[1]

    @property
    def filled_lots(self):
        """Lots filled since construction, both sides."""
        return self._v.filled_lots
