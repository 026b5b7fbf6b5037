# cython: freethreading_compatible=True
"""Simulated venue: own orders in their place in the queue of a recorded book, exact by order, estimated by level.

The rules are in ``venue.pxd``; the plain-Python twin, ``fastcore.reference.venue``, is written to be read.

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

cimport cython
cimport numpy as cnp
from libc.stdint cimport int8_t, int32_t, int64_t, uint32_t, uint64_t
from libc.string cimport memcpy, memmove

from fastcore._integers cimport as_int64, as_side, as_uint64
from fastcore.records cimport (
    BUY, FLAG_HIDDEN, FLAG_SNAPSHOT, KIND_ACK, KIND_ADD, KIND_CANCEL, KIND_CLEAR, KIND_COUNT, KIND_DELETE, KIND_EXECUTE, KIND_FILL, KIND_LEVEL,
    KIND_ORDER, KIND_PULLED, KIND_QUOTE, KIND_REJECT, KIND_REPLACE, KIND_TRADE, MATCH_TOOK, NO_PRICE, NO_SIDE, NO_SYMBOL, RESULT_BAD_PRICE, RESULT_BAD_SIZE, RESULT_FULL, RESULT_NO_MEMORY,
    RESULT_OK, RESULT_UNKNOWN_ORDER, SELL, event_t, fc_alloc, fc_free, unlikely,
)
from fastcore.book cimport (
    LevelBook, OrderBook, _Book, book_best_ask, book_best_bid, book_change_t, book_level_size, book_next_price, book_stamp, book_t,
    book_worst_price,
)
from fastcore.sim.queues cimport QUEUE_RISK_AVERSE, queue_ahead

from fastcore.errors import raise_result
from fastcore.records import EVENT_DTYPE

cnp.import_array()

__all__ = ["TOOK", "UNKNOWN", "Venue"]

TOOK = MATCH_TOOK
UNKNOWN = VENUE_UNKNOWN

# Keeps every sum of prices and sizes inside int64.
cdef int64_t MAX_VALUE = <int64_t> 1 << 60


cdef void venue_reach(venue_t* v, int s) noexcept nogil:
    # Orders of a side have come or gone.
    cdef int64_t sign = 1 - 2 * s
    v.best_key[s] = sign * v.orders[s][0].price_ticks if v.count[s] else -VENUE_FAR
    v.worst_key[s] = sign * v.orders[s][v.count[s] - 1].price_ticks if v.count[s] else VENUE_FAR


cdef void venue_remove(venue_t* v, int s, int32_t i) noexcept nogil:
    v.count[s] -= 1
    memmove(&v.orders[s][i], &v.orders[s][i + 1], (v.count[s] - i) * sizeof(venue_order_t))
    venue_reach(v, s)


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


cdef void venue_print(venue_t* v, int8_t side, int64_t price, int64_t size, int64_t match_id) noexcept nogil:
    # By level: `size` was executed on our side at `price`, those ahead of us first.
    cdef int s = venue_index(side)
    cdef int32_t i = 0
    cdef int64_t left = size, reached = size, take, ahead
    cdef venue_order_t* o
    while i < v.count[s]:
        o = &v.orders[s][i]
        if side * (o.price_ticks - price) < 0:
            return
        take = left
        if o.price_ticks == price:
            ahead = o.ahead_lots
            o.ahead_lots = ahead - reached if ahead > reached else 0
            take = left - ahead if left > ahead else 0
        else:
            reached = left - (left if left < o.left_lots else o.left_lots)  # what better orders leave to the price
        if take > o.left_lots:
            take = o.left_lots
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


cdef void venue_shown(venue_t* v, int8_t side, int64_t price, int64_t total, int64_t grown, bint quoted) noexcept nogil:
    # By level: `total` is displayed at `price`, `grown` of it arrived just now. A best price `quoted` with 0 has an unknown size.
    cdef int s = venue_index(side)
    cdef int32_t i
    cdef venue_order_t* o
    for i in range(v.count[s]):
        o = &v.orders[s][i]
        if o.price_ticks == price and (total or not quoted):
            o.ahead_lots = queue_ahead(&v.queue, o.ahead_lots, total)
    if grown > 0:
        venue_fill(v, -side, price, grown, <uint64_t> -1, 0)


cdef void venue_apply_level(venue_t* v, const event_t* e, const book_change_t* c) noexcept nogil:
    cdef int8_t side
    cdef int s
    cdef int32_t i
    cdef int64_t price, size, grown
    if c.kind == KIND_LEVEL:
        venue_shown(v, c.side, c.price, c.new_size, c.size if c.grew and not e.flags & FLAG_SNAPSHOT else 0, False)
    elif c.kind == KIND_QUOTE:
        for s in range(2):
            side = <int8_t> (1 - 2 * s)
            price = e.ask if s else e.bid
            size = e.ask_size if s else e.bid_size
            grown = 0
            if price != NO_PRICE:
                if v.shown_ticks[s] == NO_PRICE or side * (price - v.shown_ticks[s]) > 0:
                    grown = size if size else VENUE_UNKNOWN  # a feed without sizes
                elif price == v.shown_ticks[s]:
                    grown = size - v.shown_lots[s]
                # Better than the best: alone.
                for i in range(v.count[s]):
                    if side * (v.orders[s][i].price_ticks - price) > 0:
                        v.orders[s][i].ahead_lots = 0
            v.shown_ticks[s] = price
            v.shown_lots[s] = size
            if price != NO_PRICE:
                venue_shown(v, side, price, size, 0 if e.flags & FLAG_SNAPSHOT else grown, True)
    elif c.kind == KIND_TRADE:
        if e.flags & FLAG_HIDDEN:
            # As by order: only strictly through our price.
            if v.count[0] and v.orders[0][0].price_ticks > e.price:
                venue_fill(v, BUY, e.price + 1, e.size, <uint64_t> -1, e.match_id)
            if v.count[1] and v.orders[1][0].price_ticks < e.price:
                venue_fill(v, SELL, e.price - 1, e.size, <uint64_t> -1, e.match_id)
        elif e.side != NO_SIDE:
            venue_print(v, e.side, e.price, e.size, e.match_id)
        elif v.count[0] and v.orders[0][0].price_ticks >= e.price:
            venue_print(v, BUY, e.price, e.size, e.match_id)
        else:
            venue_print(v, SELL, e.price, e.size, e.match_id)


cdef void venue_meet(venue_t* v, const event_t* e, const book_change_t* c) noexcept nogil:
    cdef int8_t side = c.side, other = -c.side
    if v.by_level:
        venue_apply_level(v, e, c)
    elif c.kind == KIND_ADD:
        venue_fill(v, other, c.price, c.size, <uint64_t> -1, 0)
    elif c.kind == KIND_DELETE or c.kind == KIND_CANCEL:
        venue_shorten(v, side, c.price, c.size, c.stamp)
    elif c.kind == KIND_EXECUTE:
        venue_fill(v, side, c.price, c.size, c.stamp, e.match_id)
    elif c.kind == KIND_REPLACE:
        venue_shorten(v, side, c.price, c.size, c.stamp)
        venue_fill(v, other, c.new_price, c.new_size, <uint64_t> -1, 0)
    elif c.kind == KIND_TRADE:
        # Strictly through our price: the hidden order that traded had a worse claim than our displayed one.
        if v.count[0] and v.orders[0][0].price_ticks > e.price:
            venue_fill(v, BUY, e.price + 1, e.size, <uint64_t> -1, e.match_id)
        if v.count[1] and v.orders[1][0].price_ticks < e.price:
            venue_fill(v, SELL, e.price - 1, e.size, <uint64_t> -1, e.match_id)
    elif c.kind == KIND_CLEAR:
        venue_clear_queues(v)


cdef int64_t venue_ahead(const venue_t* v, const book_t* b, int8_t side, int64_t price_ticks) noexcept nogil:
    # Displayed quantity that an order would wait behind; a level without size is a best price whose size the feed does not say.
    cdef int64_t ahead = book_level_size(b, side, price_ticks)
    cdef int64_t worst
    if v.by_level and ahead == 0:
        worst = book_worst_price(b, side)
        if worst != NO_PRICE and side * (price_ticks - worst) <= 0:
            return VENUE_UNKNOWN
    return ahead


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
    cdef int64_t price = book_best_ask(b) if side == BUY else book_best_bid(b)
    cdef int64_t left = size_lots, take
    cdef int n = 0
    while left > 0 and price != NO_PRICE and side * (price_ticks - price) >= 0:
        take = book_level_size(b, -side, price)
        if take:  # 0: a best price whose size the feed does not say
            if n == VENUE_SWEEP:
                swept[0] = True
                return left
            n += 1
            if take > left:
                take = left
            left -= take
            v.filled_lots += take
            venue_report(v, KIND_FILL, side, price, take, order_id, MATCH_TOOK)
        price = book_next_price(b, -side, price)
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
    venue_reach(v, s)


cdef int venue_submit(
    venue_t* v, const book_t* b, int8_t side, int64_t price_ticks, int64_t size_lots, int64_t order_id
) noexcept nogil:
    cdef int refusal
    cdef int64_t left, ahead
    cdef bint swept = False
    if unlikely(not venue_has_room(v)):
        return RESULT_FULL
    refusal = venue_refusal(v, side, price_ticks, size_lots)
    if refusal != RESULT_OK:
        venue_report(v, KIND_REJECT, side, price_ticks, size_lots, order_id, refusal)
        return refusal
    ahead = venue_ahead(v, b, side, price_ticks)
    venue_report(v, KIND_ACK, side, price_ticks, size_lots, order_id, ahead)
    left = venue_take(v, b, side, price_ticks, size_lots, order_id, &swept)
    if swept:
        venue_report(v, KIND_PULLED, side, price_ticks, left, order_id, 0)
    elif left > 0:
        venue_rest(v, side, price_ticks, left, order_id, ahead, book_stamp(b))
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
    venue_t* v, const book_t* b, int64_t order_id, int64_t price_ticks, int64_t size_lots, int64_t new_order_id
) noexcept nogil:
    cdef int s = 0, refusal
    cdef int8_t side
    cdef venue_order_t* o
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
        v.open_lots[s] += size_lots - o.left_lots
        o.left_lots = size_lots
        o.order_id = new_order_id
        venue_report(v, KIND_ACK, side, price_ticks, size_lots, new_order_id, o.ahead_lots)
        return RESULT_OK
    venue_report(v, KIND_PULLED, side, o.price_ticks, o.left_lots, order_id, 0)
    v.open_lots[s] -= o.left_lots
    venue_remove(v, s, <int32_t> (o - v.orders[s]))
    return venue_submit(v, b, side, price_ticks, size_lots, new_order_id)


cdef int venue_message(venue_t* v, const book_t* b, const event_t* e) noexcept nogil:
    if e.kind == KIND_ORDER:
        return venue_submit(v, b, e.side, e.price, e.size, e.order_id)
    if e.kind == KIND_REPLACE:
        return venue_replace(v, b, e.order_id, e.price, e.size, e.new_order_id)
    return venue_cancel(v, e.order_id)


cdef int venue_init(venue_t* v, int32_t capacity, int64_t reports, uint32_t symbol_id) noexcept nogil:
    cdef int s
    v.capacity = capacity
    v.symbol_id = symbol_id
    v.queue.model = QUEUE_RISK_AVERSE
    v.report_capacity = reports
    v.report_limit = reports - (2 * <int64_t> capacity + VENUE_SWEEP + 4)
    v.reports = <event_t*> fc_alloc(reports, sizeof(event_t))
    for s in range(2):
        v.shown_ticks[s] = NO_PRICE
        v.best_key[s] = -VENUE_FAR
        v.worst_key[s] = VENUE_FAR
        v.orders[s] = <venue_order_t*> fc_alloc(capacity + 1, sizeof(venue_order_t))
    if v.reports == NULL or v.orders[0] == NULL or v.orders[1] == NULL:
        venue_free(v)
        return RESULT_NO_MEMORY
    return RESULT_OK


cdef void venue_free(venue_t* v) noexcept nogil:
    cdef int s
    for s in range(2):
        fc_free(v.orders[s])
        v.orders[s] = NULL
    fc_free(v.reports)
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


cdef const book_t* venue_book(const venue_t* v, object book) except NULL:
    # A Python book of the kind that the venue was made for.
    if isinstance(book, LevelBook if v.by_level else OrderBook):
        return (<_Book> book)._b
    raise TypeError(f"book must be {'a LevelBook' if v.by_level else 'an OrderBook'}: type={type(book).__name__}")


@cython.final
cdef class Venue:
    """Venue(capacity=64, symbol_id=0, by_level=False)\n--\n\n
    Simulated venue for the own orders of one symbol, beside a recorded order-by-order book.

    Every market event is first applied to the book, then given to `apply`. Outcomes are reports, fetched with
    `take_reports`: nothing about an order is known before its report. Orders reach the venue at once.

    Parameters
    ----------
    capacity : int, default 64
        Own orders that can rest at the same time on each side, 1 to 65,536. One more is rejected with the code `full`.
    symbol_id : int, default 0
        Written into the reports.
    by_level : bool, default False
        The book is a ``LevelBook``: places in queues are estimates (the rules are in ``venue.pxd``).

    Raises
    ------
    ValueError
        If a number is out of range.

    Notes
    -----
    A marketable order trades on entry against what the book displays at its price or better, level by level (at most 64),
    and what is left rests. The recorded book is not altered: a second marketable order finds the same quantity again.

    **Thread safety**: one thread owns a venue and its book.
    """

    def __cinit__(self, capacity=64, symbol_id=0, bint by_level=False):
        if not 1 <= capacity <= 65536:
            raise ValueError(f"capacity must be in 1..65536: capacity={capacity}")
        if not 0 <= symbol_id <= NO_SYMBOL:
            raise ValueError(f"symbol_id must be in 0..{NO_SYMBOL}: symbol_id={symbol_id}")
        if venue_init(&self._v, capacity, 4 * (2 * <int64_t> capacity + VENUE_SWEEP + 4), symbol_id) != RESULT_OK:
            raise_result(RESULT_NO_MEMORY, f"venue for own orders: capacity={capacity}")
        self._v.by_level = by_level
        self._next_order_id = 1

    def __dealloc__(self):
        venue_free(&self._v)

    cdef int _room(self) except -1:
        # Python callers never see a full report buffer: it grows.
        if not venue_has_room(&self._v) and venue_grow_reports(&self._v, 2 * self._v.report_capacity) != RESULT_OK:
            raise_result(RESULT_NO_MEMORY, f"reports of the venue: count={self._v.report_count}")
        return 0

    def submit(self, book not None, side, price_ticks, size_lots):
        """Send an order: at once an `ack`, perhaps fills, or a `reject`.

        Parameters
        ----------
        book : OrderBook
            State of the market.
        side : int
            +1 buy, -1 sell.
        price_ticks, size_lots : int
            Limit and quantity, positive and at most 2**60.

        Returns
        -------
        int
            Result code: 0 accepted; else the order was rejected, and the report carries the same code.
        """
        cdef int64_t order_id = self._next_order_id, price = as_int64(price_ticks), size = as_int64(size_lots)
        cdef int8_t sign = as_side(side)
        cdef const book_t* b = venue_book(&self._v, book)
        self._room()
        self._next_order_id += 1
        return venue_submit(&self._v, b, sign, price, size, order_id)

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

    def replace(self, book not None, order_id, price_ticks, size_lots):
        """Replace an order: `pulled` for the old number and `ack` for a new one.

        The place in the queue is kept when the price is the same and the quantity not larger; else the order goes to the
        back, and may trade on entry. A price or size out of range is rejected and the old order stays.

        Parameters
        ----------
        book : OrderBook
            State of the market.
        order_id : int
            Number of the order that rests.
        price_ticks, size_lots : int
            New limit and quantity.

        Returns
        -------
        int
            Result code.
        """
        cdef int64_t old = as_int64(order_id), price = as_int64(price_ticks), size = as_int64(size_lots)
        cdef const book_t* b = venue_book(&self._v, book)
        cdef int result
        self._room()
        result = venue_replace(&self._v, b, old, price, size, self._next_order_id)
        self._next_order_id += result == RESULT_OK
        return result

    def apply(
        self, kind, side, price, size, stamp, new_price=NO_PRICE, new_size=0, match_id=0, exch_ns=0, seq=0, flags=0, bint grew=False
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
        """
        cdef event_t e
        cdef book_change_t c
        if not 0 <= kind < KIND_COUNT:
            raise ValueError(f"kind must be one of 0..{KIND_COUNT - 1}: kind={kind}")
        e.exch_ns = as_int64(exch_ns)
        e.price = as_int64(price)
        e.size = as_int64(size)
        e.match_id = as_int64(match_id)
        e.kind = c.kind = kind
        e.side = as_side(side)
        e.flags = flags
        c.grew = grew
        c.side = as_side(side)
        c.price = as_int64(price)
        c.size = as_int64(size)
        c.stamp = stamp
        c.new_price = as_int64(new_price)
        c.new_size = as_int64(new_size)
        if kind == KIND_QUOTE:
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
            ``(order_id, side, price_ticks, left_lots, ahead_lots)``.
        """
        cdef int s
        cdef int32_t i
        out = []
        for s in range(2):
            for i in range(self._v.count[s]):
                o = self._v.orders[s][i]
                out.append((o.order_id, 1 - 2 * s, o.price_ticks, o.left_lots, o.ahead_lots))
        return out

    def check(self):
        """Walk the structure and raise AssertionError where an invariant is broken; for tests."""
        cdef int s
        cdef int32_t i
        cdef int64_t total
        cdef int8_t side
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
