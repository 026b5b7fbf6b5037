"""Simulated venue on order-by-order data: own orders in their exact place in the queue.

The rules are in ``exchange.pxd``; the plain-Python twin, ``fastcore.reference.exchange``, is written to be read.

Reports are 64-byte events (``fastcore.records.EVENT_DTYPE``) with the flag ``own``, the side of our order, and

======== ======================== ===== ==================== ==========================================
kind     price                    size  order_id             match_id
======== ======================== ===== ==================== ==========================================
ack      of the order             all   given by the venue   displayed quantity ahead of it
fill     of the order (the level  lots  own order            of the recorded execution, 0 for a recorded
         taken, when it took)                                arrival, ``TOOK`` when our order took
reject   as asked                 asked own order, or 0      result code
pulled   of the order             left  own order            0
======== ======================== ===== ==================== ==========================================

``seq`` is the number of the market event at which it happened and ``exch_ns`` its time: orders reach the venue without
delay.
"""

import numpy as np

cimport numpy as cnp
from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memmove

from fastcore._types cimport *
from fastcore.book cimport *

from fastcore.records import EVENT_DTYPE

cnp.import_array()

__all__ = ["TOOK", "Venue"]

TOOK = VENUE_TOOK

# Keeps every sum of prices and sizes inside int64.
cdef int64_t MAX_VALUE = <int64_t> 1 << 60


cdef void venue_remove(venue_t* v, int s, int32_t i) noexcept nogil:
    v.count[s] -= 1
    memmove(&v.orders[s][i], &v.orders[s][i + 1], (v.count[s] - i) * sizeof(venue_order_t))


cdef void venue_fill(venue_t* v, int8_t side, int64_t price, int64_t size, uint64_t stamp, int64_t match_id) noexcept nogil:
    # `size` traded on our side at `price` against an order that entered at `stamp`: who of us would have traded instead?
    cdef int s = venue_index(side)
    cdef int32_t i = 0
    cdef int64_t left = size, take, better
    cdef venue_order_t* o
    while i < v.count[s]:
        o = &v.orders[s][i]
        better = side * (o.price_ticks - price)
        if better < 0:
            return
        if better == 0 and stamp < o.stamp:
            o.ahead_lots = o.ahead_lots - size if o.ahead_lots > size else 0
            i += 1
            continue
        take = left if left < o.left_lots else o.left_lots
        if take > 0:
            left -= take
            o.left_lots -= take
            v.filled_lots += take
            v.open_lots[s] -= take
            venue_report(v, KIND_FILL, side, o.price_ticks, take, o.order_id, match_id)
        if o.left_lots == 0:
            venue_remove(v, s, i)
        else:
            i += 1


cdef void venue_shorten(venue_t* v, int8_t side, int64_t price, int64_t size, uint64_t stamp) noexcept nogil:
    # `size` left the queue at `price` without trading.
    cdef int s = venue_index(side)
    cdef int32_t i
    cdef venue_order_t* o
    for i in range(v.count[s]):
        o = &v.orders[s][i]
        if o.price_ticks == price:
            if stamp < o.stamp:
                o.ahead_lots = o.ahead_lots - size if o.ahead_lots > size else 0
        elif side * (o.price_ticks - price) < 0:
            return


cdef void venue_clear_queues(venue_t* v) noexcept nogil:
    cdef int s
    cdef int32_t i
    for s in range(2):
        for i in range(v.count[s]):
            v.orders[s][i].ahead_lots = 0


cdef venue_order_t* venue_find(const venue_t* v, int64_t order_id, int* side_index) noexcept nogil:
    cdef int s
    cdef int32_t i
    for s in range(2):
        for i in range(v.count[s]):
            if v.orders[s][i].order_id == order_id:
                side_index[0] = s
                return &v.orders[s][i]
    return NULL


cdef int venue_refusal(const venue_t* v, int8_t side, int64_t price_ticks, int64_t size_lots) noexcept nogil:
    if side != BUY and side != SELL:
        return RESULT_BAD_SIZE
    if price_ticks <= 0 or price_ticks > MAX_VALUE:
        return RESULT_BAD_PRICE
    if size_lots <= 0 or size_lots > MAX_VALUE:
        return RESULT_BAD_SIZE
    if v.count[venue_index(side)] >= v.capacity:
        return RESULT_FULL
    return RESULT_OK


cdef int64_t venue_take(
    venue_t* v, const book_t* b, int8_t side, int64_t price_ticks, int64_t size_lots, int64_t order_id, bint* swept
) noexcept nogil:
    # Trade against what the book displays at our price or better; returns what is left.
    cdef int8_t other = -side
    cdef int64_t level = book_best(b, other), left = size_lots, take
    cdef int n = 0
    while left > 0 and level != NO_PRICE and side * (price_ticks - level) >= 0:
        if n == VENUE_SWEEP:
            swept[0] = True
            return left
        take = book_level_size(b, other, level)
        if take > left:
            take = left
        if take > 0:
            left -= take
            v.filled_lots += take
            venue_report(v, KIND_FILL, side, level, take, order_id, VENUE_TOOK)
        level = book_next_level(b, other, level)
        n += 1
    return left


cdef void venue_rest(
    venue_t* v, int8_t side, int64_t price_ticks, int64_t left, int64_t order_id, int64_t ahead, uint64_t stamp
) noexcept nogil:
    # Insert by price, behind our own earlier orders of the same price.
    cdef int s = venue_index(side)
    cdef int32_t i = v.count[s]
    cdef venue_order_t* o
    while i > 0 and side * (price_ticks - v.orders[s][i - 1].price_ticks) > 0:
        i -= 1
    memmove(&v.orders[s][i + 1], &v.orders[s][i], (v.count[s] - i) * sizeof(venue_order_t))
    v.count[s] += 1
    v.open_lots[s] += left
    o = &v.orders[s][i]
    o.order_id = order_id
    o.price_ticks = price_ticks
    o.left_lots = left
    o.ahead_lots = ahead
    o.stamp = stamp


cdef int venue_submit(
    venue_t* v, const book_t* b, int8_t side, int64_t price_ticks, int64_t size_lots, int64_t* order_id
) noexcept nogil:
    cdef int refusal
    cdef int64_t left, ahead
    cdef bint swept = False
    if unlikely(not venue_has_room(v)):
        return RESULT_FULL
    refusal = venue_refusal(v, side, price_ticks, size_lots)
    if refusal != RESULT_OK:
        order_id[0] = 0
        venue_report(v, KIND_REJECT, side, price_ticks, size_lots, 0, refusal)
        return refusal
    order_id[0] = v.next_order_id
    v.next_order_id += 1
    ahead = book_level_size(b, side, price_ticks)
    venue_report(v, KIND_ACK, side, price_ticks, size_lots, order_id[0], ahead)
    left = venue_take(v, b, side, price_ticks, size_lots, order_id[0], &swept)
    if swept:
        venue_report(v, KIND_PULLED, side, price_ticks, left, order_id[0], 0)
    elif left > 0:
        venue_rest(v, side, price_ticks, left, order_id[0], ahead, book_stamp(b))
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
    venue_report(v, KIND_PULLED, 1 - 2 * s, o.price_ticks, o.left_lots, order_id, 0)
    v.open_lots[s] -= o.left_lots
    venue_remove(v, s, <int32_t> (o - v.orders[s]))
    return RESULT_OK


cdef int venue_replace(
    venue_t* v, const book_t* b, int64_t order_id, int64_t price_ticks, int64_t size_lots, int64_t* new_order_id
) noexcept nogil:
    cdef int s = 0, refusal
    cdef int8_t side
    cdef venue_order_t* o
    cdef int64_t ahead
    new_order_id[0] = 0
    if unlikely(not venue_has_room(v)):
        return RESULT_FULL
    o = venue_find(v, order_id, &s)
    if o == NULL:
        venue_report(v, KIND_REJECT, NO_SIDE, price_ticks, size_lots, order_id, RESULT_UNKNOWN_ORDER)
        return RESULT_UNKNOWN_ORDER
    side = <int8_t> (1 - 2 * s)
    refusal = venue_refusal(v, side, price_ticks, size_lots)
    if refusal != RESULT_OK and refusal != RESULT_FULL:  # the order replaced frees its own place
        venue_report(v, KIND_REJECT, side, price_ticks, size_lots, order_id, refusal)
        return refusal
    if price_ticks == o.price_ticks and size_lots <= o.left_lots:
        # Nothing that others wait for: the order keeps its place under its new number.
        venue_report(v, KIND_PULLED, side, o.price_ticks, o.left_lots, order_id, 0)
        ahead = o.ahead_lots
        v.open_lots[s] += size_lots - o.left_lots
        o.left_lots = size_lots
        o.order_id = new_order_id[0] = v.next_order_id
        v.next_order_id += 1
        venue_report(v, KIND_ACK, side, price_ticks, size_lots, new_order_id[0], ahead)
        return RESULT_OK
    venue_cancel(v, order_id)
    return venue_submit(v, b, side, price_ticks, size_lots, new_order_id)
