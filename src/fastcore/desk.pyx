# cython: freethreading_compatible=True
"""The desk: own orders, wanted quotes, positions and the limits of one account.

Own orders and what came of them are 64-byte events with the flag ``own``: `order`, `replace`, `amend` and `pull` go out, `ack`, `fill`,
`reject` and `pulled` come back. What the limits refuse never leaves: its `reject` has the result code in ``match_id`` and ``order_id``
0, or, of an order that a strategy sent by itself, its number and the flag ``held``. Whose a refusal is stands in the highest byte of its
``seq``.
"""

cimport cython
from libc.stdint cimport int8_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memmove, memset

from fastcore._guard cimport alone
from fastcore._integers cimport as_int64, int64_in
from fastcore.book cimport book_best_ask, book_best_bid, book_t

from fastcore.market cimport market_book, market_t, market_trades, market_two_sided
from fastcore.money cimport BILLION, fees_of, fees_put, fees_t, money_add, money_less, money_object, money_product, money_t, money_value
from fastcore.portfolio cimport Position, position_fill, position_net, position_t
from fastcore.records cimport (
    BUY, FLAG_CONTINUED, FLAG_HELD, FLAG_OWN, KIND_ACK, KIND_AMEND, KIND_FILL, KIND_ORDER, KIND_PULL, KIND_PULLED, KIND_QUOTE, KIND_REJECT,
    KIND_REPLACE, KIND_TARGET, MATCH_TOOK, NO_PRICE, NO_SYMBOL, RESULT_FULL, RESULT_KILLED, RESULT_OK, RESULT_SELF_TRADE, RESULT_UNKNOWN_ORDER,
    SELL, TERMS_FOK, TERMS_IOC, TERMS_MARKET, TERMS_TIME, TERMS_TYPE, event_t, fc_alloc, fc_free, likely, unlikely,
)
from fastcore.risk cimport (
    SHORT_ABOVE_BID, RiskLimits, risk_down, risk_filled, risk_freed, risk_losses, risk_moved, risk_order, risk_rate, risk_seen, risk_sent,
    risk_symbol_t, risk_two_sided,
)
from fastcore.source cimport NEVER
from fastcore.strategy cimport (
    DESK_ORDERS, DESK_OWNERS, DESK_RUNGS, FOR_ITSELF, FOR_PASSING, FOR_TARGET, ORDER_CHANGING, ORDER_DONE, ORDER_FREE, ORDER_LEAVING, ORDER_LIVE,
    ORDER_SENT, OWNER_SHIFT, order_works, own_order_t,
)

cdef extern from "fc_checked.h" nogil:
    bint fc_sub_overflow(int64_t a, int64_t b, int64_t* result)

__all__ = ["Desk"]


cdef inline own_order_t* desk_order(desk_t* d, int64_t order_id) noexcept nogil:
    # NULL for an order that is not ours, or done for long.
    cdef own_order_t* o = &d.orders[order_id & (DESK_ORDERS - 1)]
    return o if likely(o.id == order_id and o.state != ORDER_FREE) else NULL


cdef inline rung_t* desk_rung(const account_t* a, const own_order_t* o) noexcept nogil:
    # Of one of the wanted quotes.
    return &a.stakes[o.owner].rungs[2 * o.rung + (o.side < 0)]


cdef void desk_ask(desk_t* d, stake_t* s) noexcept nogil:
    # Look at the wishes of a strategy again before the next messages leave.
    if not s.dirty:
        s.dirty = True
        s.next_answered = NULL
        d.answered_end[0] = s
        d.answered_end = &s.next_answered


cdef void desk_again(desk_t* d, const account_t* a) noexcept nogil:
    # What a limit refused may be tried again.
    cdef stake_t* s
    cdef uint32_t owner, k
    for owner in range(d.owners):
        s = &a.stakes[owner]
        for k in range(2 * s.depth):
            s.rungs[k].retry = True
        s.seek.tried_lots = 0


cdef void desk_moved(desk_t* d, account_t* a) noexcept nogil:
    # An order has gone, or stands elsewhere: try again what would have met it.
    cdef stake_t* s
    cdef uint32_t owner, k
    if likely(not a.met):
        return
    a.met = False
    for owner in range(d.owners):
        s = &a.stakes[owner]
        for k in range(2 * s.depth):
            s.rungs[k].retry |= s.rungs[k].met
            s.rungs[k].met = False
        if s.seek.met:
            s.seek.met = False
            s.seek.tried_lots = 0
        desk_ask(d, s)


cdef void desk_done(desk_t* d, account_t* a, own_order_t* o) noexcept nogil:
    # Nothing of an order works any more.
    cdef rung_t* rung
    risk_freed(d.gate, a.risk, o.side, o.worst_lots, o.state != ORDER_DONE)
    if unlikely(o.rung >= DESK_RUNGS):
        a.singles -= o.state != ORDER_DONE
        if a.stakes[o.owner].seek.order_id == o.id:
            a.stakes[o.owner].seek.order_id = 0
            desk_ask(d, &a.stakes[o.owner])
    else:
        rung = desk_rung(a, o)
        if rung.order_id == o.id:
            rung.order_id = 0
    o.worst_lots = 0
    o.state = ORDER_DONE
    desk_moved(d, a)


cdef inline void desk_answered(desk_t* d, const account_t* a, const own_order_t* o) noexcept nogil:
    # The message about an order has its answer.
    cdef rung_t* rung
    d.in_flight -= 1
    if unlikely(o.rung >= DESK_RUNGS):
        desk_ask(d, &a.stakes[o.owner])
        return
    rung = desk_rung(a, o)
    rung.in_flight = False
    if unlikely(not rung_settled(rung) or rung.retry or d.down):
        desk_ask(d, &a.stakes[o.owner])


cdef bint desk_filled(desk_t* d, const account_t* a, const own_order_t* o, const event_t* e) noexcept nogil:
    # Account a fill; False where it does not fit.
    cdef position_t* p = &d.positions[o.symbol_id]
    cdef money_t value
    if money_value(p.inverse, e.price, e.size, &value):
        return False
    if fees_of(a.fees, p.turnover, e.match_id == MATCH_TOOK, o.filled_lots == 0, value, e.size, &d.fee):
        return False
    if position_fill(p, e.side, e.price, e.size, &d.fee) != RESULT_OK:
        return False
    return likely(d.owners == 1) or position_fill(&d.held[o.owner][o.symbol_id], e.side, e.price, e.size, &d.fee) == RESULT_OK


cdef void desk_left(desk_t* d, own_order_t* o) noexcept nogil:
    # No change is in flight any more: what limits count is what is left.
    cdef int64_t left = o.size_lots - o.filled_lots if o.size_lots > o.filled_lots else 0
    risk_freed(d.gate, d.accounts[o.symbol_id].risk, o.side, o.worst_lots - left, False)
    o.worst_lots = left


cdef void desk_gone(desk_t* d, account_t* a, own_order_t* o, const event_t* e) noexcept nogil:
    # A single order has left the venue: because we asked for it, or of itself, and then what is in flight is still to be answered.
    cdef bint changing = o.state == ORDER_LEAVING or o.state == ORDER_CHANGING
    if changing and e.match_id:
        o.size_lots = o.filled_lots
        desk_left(d, o)
        return
    if changing:
        desk_answered(d, a, o)
    desk_done(d, a, o)


cdef void desk_refused(desk_t* d, account_t* a, own_order_t* o, const event_t* e) noexcept nogil:
    # The venue does not do what was asked of a single order.
    desk_answered(d, a, o)
    if o.state == ORDER_CHANGING and e.match_id != RESULT_UNKNOWN_ORDER:
        o.state = ORDER_LIVE
        desk_left(d, o)
    else:
        desk_done(d, a, o)


cdef uint32_t desk_report(desk_t* d, const event_t* e) noexcept nogil:
    cdef own_order_t* o = desk_order(d, e.order_id)
    cdef own_order_t* new
    cdef account_t* a
    cdef rung_t* rung
    cdef int64_t lots
    if unlikely(o == NULL or e.flags & FLAG_HELD):
        return e.seq >> OWNER_SHIFT     # our own refusal
    a = &d.accounts[o.symbol_id]
    if e.kind == KIND_ACK:
        if unlikely(o.state == ORDER_CHANGING):
            o.price_ticks = e.price
            o.size_lots = e.size
            desk_left(d, o)
            desk_moved(d, a)
        elif unlikely(e.size < o.size_lots):
            # What was filled of the order that it replaces while the message was under way.
            risk_freed(d.gate, a.risk, o.side, o.size_lots - e.size, False)
            o.size_lots = o.worst_lots = e.size
        o.state = ORDER_LIVE
        o.ahead_lots = e.match_id
        desk_answered(d, a, o)
    elif e.kind == KIND_FILL:
        if unlikely(not desk_filled(d, a, o, e)):
            d.overflowed = True
        d.fills += 1
        lots = e.size if e.size < o.worst_lots else o.worst_lots    # nothing works of an order that is done
        o.filled_lots += e.size
        o.worst_lots -= lots
        a.risk.position = d.positions[o.symbol_id]
        risk_freed(d.gate, a.risk, o.side, lots, False)
        risk_filled(d.gate, a.risk, e.local_ns)
        if unlikely(d.gate.money or d.gate.killed or a.stakes[o.owner].seek.listed):
            desk_ask(d, &a.stakes[o.owner])     # it may be the end of everything
        if o.worst_lots <= 0 and o.state != ORDER_LEAVING and o.state != ORDER_CHANGING:
            desk_done(d, a, o)
        desk_again(d, a)
    elif unlikely(o.rung >= DESK_RUNGS):
        if e.kind == KIND_PULLED:
            desk_gone(d, a, o, e)
        elif e.kind == KIND_REJECT:
            desk_refused(d, a, o, e)
    elif e.kind == KIND_PULLED:
        if o.state == ORDER_LEAVING and desk_rung(a, o).order_id == o.id:
            desk_answered(d, a, o)  # of a pull; the answer to a replacement is the ack of the new order
        desk_done(d, a, o)
    elif e.kind == KIND_REJECT:
        rung = desk_rung(a, o)
        if o.state != ORDER_LEAVING or rung.order_id == o.id:
            desk_answered(d, a, o)     # the order itself, or a pull of what was gone
            desk_done(d, a, o)
            return o.owner
        new = desk_order(d, rung.order_id)  # a replacement: what should have taken the place of this one does not exist
        if unlikely(new == NULL):
            return o.owner  # an answer that nothing was asked for
        desk_answered(d, a, new)
        desk_done(d, a, new)
        if e.match_id == RESULT_UNKNOWN_ORDER:
            desk_done(d, a, o)
        else:
            o.state = ORDER_LIVE
            rung.order_id = o.id
    return o.owner


# ---- messages ----

cdef void desk_message(
    desk_t* d, int kind, uint32_t symbol_id, int8_t side, int64_t price, int64_t size, int64_t order_id, int64_t new_order_id,
    int64_t now_ns, uint64_t cause,
) noexcept nogil:
    cdef event_t e
    e.seq = cause
    e.exch_ns = e.local_ns = now_ns
    e.symbol_id = symbol_id
    e.kind = <uint8_t> kind
    e.side = side
    e.flags = FLAG_OWN
    e.price = price
    e.size = size
    e.order_id = order_id
    e.new_order_id = new_order_id
    d.in_flight += 1
    if unlikely(d.gateway.send(d.gateway, &e, now_ns) != RESULT_OK):
        d.misused = kind


cdef void desk_pull(desk_t* d, own_order_t* o, int64_t now_ns, uint64_t cause) noexcept nogil:
    o.state = ORDER_LEAVING
    risk_sent(d.gate, NULL, o.side, NO_PRICE, 0, now_ns)
    desk_message(d, KIND_PULL, o.symbol_id, o.side, NO_PRICE, 0, o.id, 0, now_ns, cause)
    if likely(o.rung < DESK_RUNGS):
        desk_rung(&d.accounts[o.symbol_id], o).in_flight = True


cdef void desk_refuse(
    desk_t* d, const stake_t* s, int8_t side, int64_t price, int64_t size, int64_t order_id, int64_t result, int64_t now_ns, uint64_t cause
) noexcept nogil:
    # With the number of an order that a strategy sent by itself; else 0.
    cdef event_t e
    d.risk_rejects += 1
    e.seq = cause | <uint64_t> s.owner << OWNER_SHIFT
    e.exch_ns = e.local_ns = now_ns
    e.symbol_id = s.symbol_id
    e.kind = KIND_REJECT
    e.side = side
    e.flags = FLAG_OWN | (FLAG_HELD if order_id else 0)
    e.price = price
    e.size = size
    e.order_id = order_id
    e.match_id = result
    if unlikely(d.gateway.refuse(d.gateway, &e, now_ns) != RESULT_OK):
        d.misused = KIND_REJECT


cdef inline int64_t eager(int8_t side, int64_t a, int64_t b) noexcept nogil:
    # The price that trades first; NO_PRICE is none.
    return b if a == NO_PRICE or (b != NO_PRICE and side * (b - a) > 0) else a


cdef int64_t desk_best(desk_t* d, uint32_t symbol_id, int8_t side, uint32_t without) noexcept nogil:
    # Price at which an own order of a side may trade, of all strategies without one; NO_PRICE for none. A cancel is ahead of all that
    # follows, a replacement and an amend may be refused: they count at both prices.
    cdef const account_t* a = &d.accounts[symbol_id]
    cdef const rung_t* rung
    cdef const own_order_t* o
    cdef int64_t best = NO_PRICE
    cdef uint32_t level, owner
    cdef int i
    for owner in range(d.owners):
        if owner == without:
            continue
        for level in range(a.stakes[owner].depth):
            rung = &a.stakes[owner].rungs[2 * level + (side < 0)]
            o = desk_order(d, rung.order_id)
            if o == NULL or o.state == ORDER_LEAVING or o.state == ORDER_DONE:
                continue
            best = eager(side, best, o.price_ticks)
            o = desk_order(d, rung.old_id)
            if o != NULL and o.state == ORDER_LEAVING:
                best = eager(side, best, o.price_ticks)
    if likely(a.singles == 0):
        return best
    for i in range(DESK_ORDERS):
        o = &d.orders[i]
        if order_works(o) and o.symbol_id == symbol_id and o.side == side and o.rung >= DESK_RUNGS and o.owner != without:
            if o.state != ORDER_LEAVING and o.rung != FOR_PASSING:
                best = eager(side, best, o.price_ticks)
                if o.state == ORDER_CHANGING:
                    best = eager(side, best, d.changes[i].next_ticks)
    return best


cdef bint desk_clashes(desk_t* d, const stake_t* s, int8_t side, int64_t ticks) noexcept nogil:
    # Whether an order would meet one of another strategy.
    cdef int64_t other = desk_best(d, s.symbol_id, <int8_t> -side, s.owner)
    if other == NO_PRICE or ticks == NO_PRICE or (ticks < other if side == BUY else ticks > other):
        return False
    d.gate.by_result[RESULT_SELF_TRADE] += 1
    return True


cdef void desk_look(desk_t* d, const market_t* m, uint32_t symbol_id) noexcept nogil:
    # What the limits should know of the market.
    cdef risk_symbol_t* s = d.accounts[symbol_id].risk
    cdef const book_t* book = market_book(m, symbol_id)
    cdef int64_t bid = NO_PRICE if book == NULL else book_best_bid(book), ask = NO_PRICE if book == NULL else book_best_ask(book)
    cdef int64_t last = m.seen[symbol_id].last_ticks if m.volumes[symbol_id] else NO_PRICE
    cdef int64_t exch_ns = m.seen[symbol_id].exch_ns, local_ns = m.seen[symbol_id].local_ns
    cdef int64_t lag_ns = local_ns - exch_ns if local_ns else 0
    cdef bint trades = market_trades(m, symbol_id), stale = book != NULL and book.stale
    s.dirty |= (
        (bid != s.bid and s.limits.short_sale == SHORT_ABOVE_BID) | (last != s.last_ticks and s.limits.last_collar_ticks >= 0)
        | (s.limits.crossed and risk_two_sided(bid, ask) != risk_two_sided(s.bid, s.ask)) | (trades != s.trading) | (stale != s.stale)
        | ((lag_ns > s.limits.feed_lag_ns) != (s.lag_ns > s.limits.feed_lag_ns))
    )
    s.bid, s.ask, s.last_ticks, s.trading, s.stale, s.lag_ns = bid, ask, last, trades, stale, lag_ns
    if exch_ns or local_ns:
        risk_seen(d.gate, s, local_ns if local_ns else exch_ns)


cdef inline void desk_known(desk_t* d, const market_t* m, uint32_t symbol_id) noexcept nogil:
    # Tell the limits what has changed of an instrument.
    cdef account_t* a = &d.accounts[symbol_id]
    if unlikely(d.gate.looks):
        desk_look(d, m, symbol_id)
    if unlikely(a.risk.rate_symbol_id != NO_SYMBOL and d.accounts[a.risk.rate_symbol_id].mark_ticks != a.risk.rate_ticks):
        risk_rate(a.risk, d.accounts[a.risk.rate_symbol_id].mark_ticks)
    if unlikely(a.risk.limits.self_trade) and (
        a.risk.dirty or a.risk.changed or a.risk.reference_ticks != a.mark_ticks or a.risk.sums != d.gate.sums
    ):
        a.risk.own_ticks[0] = desk_best(d, symbol_id, BUY, d.owners)
        a.risk.own_ticks[1] = desk_best(d, symbol_id, SELL, d.owners)
        a.risk.changed = True
    risk_moved(d.gate, a.risk, a.mark_ticks)


cdef inline int64_t desk_free(const desk_t* d, int64_t id) noexcept nogil:
    # The next number whose place is not taken by an order that still works; 0 for none.
    cdef int64_t tries
    for tries in range(DESK_ORDERS):
        if likely(not order_works(&d.orders[id & (DESK_ORDERS - 1)])):
            return id
        id += 1
    return 0


cdef inline own_order_t* desk_new(
    desk_t* d, const stake_t* s, int8_t side, int64_t price, int64_t size, int64_t id, uint8_t rung, int64_t now_ns
) noexcept nogil:
    # An order on its way.
    cdef own_order_t* o = &d.orders[id & (DESK_ORDERS - 1)]
    d.orders_sent += 1
    o.id = id
    o.price_ticks = price
    o.size_lots = o.worst_lots = size
    o.filled_lots = 0
    o.ahead_lots = 0
    o.sent_ns = now_ns
    o.symbol_id = s.symbol_id
    o.side = side
    o.state = ORDER_SENT
    o.rung = rung
    o.owner = <uint8_t> s.owner
    return o


# ---- wanted quotes ----

cdef bint desk_meets(const stake_t* s, int sells, int64_t ticks) noexcept nogil:
    # Whether a price reaches a wanted quote of the other side.
    cdef int64_t other
    cdef uint32_t level
    for level in range(s.depth):
        other = s.rungs[2 * level + 1 - sells].wish_ticks
        if unlikely(other != NO_PRICE and (ticks <= other if sells else ticks >= other)):
            return True
    return False


cdef inline void desk_wake(desk_t* d, uint32_t owner, int64_t due_ns) noexcept nogil:
    # Look again at what a strategy wants at that time.
    if due_ns < d.due[owner]:
        d.due[owner] = due_ns
    if due_ns < d.due_ns:
        d.due_ns = due_ns


cdef bint desk_holds(desk_t* d, const stake_t* s, const rung_t* rung, const own_order_t* o, int64_t now_ns, int64_t* ticks) noexcept nogil:
    # Whether the order of a rung stays as it is for now although another is wanted; else at which price it is sent.
    cdef int64_t distance = rung.wish_ticks - o.price_ticks
    if -d.requote_ticks < distance < d.requote_ticks and not desk_meets(s, o.side < 0, o.price_ticks):
        ticks[0] = o.price_ticks
        if rung.wish_lots == rung.acted_lots:
            d.kept[KEPT_NEAR] += distance != 0
            return True
    if now_ns - o.sent_ns < d.min_rest_ns:
        d.kept[KEPT_YOUNG] += 1
        desk_wake(d, s.owner, o.sent_ns + d.min_rest_ns)
        return True
    return False


cdef inline bint rung_asks(const rung_t* r) noexcept nogil:
    # Whether something is to be done for the newest wish.
    return not rung_settled(r) or (r.retry and r.order_id == 0)


cdef void desk_place(desk_t* d, const market_t* m, stake_t* s, uint32_t level, int8_t side, int64_t now_ns, uint64_t cause) noexcept nogil:
    # Bring the order of one rung to the wish.
    cdef uint32_t symbol_id = s.symbol_id
    cdef account_t* a = &d.accounts[symbol_id]
    cdef rung_t* rung = &s.rungs[2 * level + (side < 0)]
    cdef own_order_t* old = NULL
    cdef own_order_t* o
    cdef int64_t id, ticks = rung.wish_ticks
    cdef int result
    if rung.in_flight:
        d.kept[KEPT_IN_FLIGHT] += not rung_settled(rung)
        return
    if not rung_asks(rung):
        return
    if rung.order_id:
        old = desk_order(d, rung.order_id)
        if unlikely(d.holds) and ticks != NO_PRICE and desk_holds(d, s, rung, old, now_ns, &ticks):
            return
    rung.acted_ticks = rung.wish_ticks
    rung.acted_lots = rung.wish_lots
    rung.retry = rung.met = False
    if ticks == NO_PRICE:
        if old != NULL:
            desk_pull(d, old, now_ns, cause)
        return
    desk_known(d, m, symbol_id)
    if unlikely(side == BUY and desk_meets(s, False, ticks)):
        result = RESULT_SELF_TRADE
        d.gate.by_result[result] += 1
    elif unlikely(d.owners > 1) and desk_clashes(d, s, side, ticks):
        result = RESULT_SELF_TRADE
        rung.met = a.met = True
    else:
        result = risk_order(d.gate, a.risk, side, ticks, rung.wish_lots, 0 if old == NULL else old.worst_lots, old != NULL, now_ns)
    id = desk_free(d, d.next_id)
    if unlikely(result == RESULT_OK and id == 0):
        result = RESULT_FULL
    if unlikely(result != RESULT_OK):
        desk_refuse(d, s, side, ticks, rung.wish_lots, 0, result, now_ns, cause)
        if old != NULL:
            desk_pull(d, old, now_ns, cause)
        return
    d.next_id = id + 1
    rung.old_id = rung.order_id
    o = desk_new(d, s, side, ticks, rung.wish_lots, id, <uint8_t> level, now_ns)
    risk_sent(d.gate, a.risk, side, ticks, o.size_lots, now_ns)
    rung.order_id = id
    rung.in_flight = True
    if old != NULL:
        old.state = ORDER_LEAVING
        desk_message(d, KIND_REPLACE, symbol_id, side, ticks, o.size_lots + old.filled_lots, old.id, id, now_ns, cause)
    else:
        desk_message(d, KIND_ORDER, symbol_id, side, ticks, o.size_lots, id, 0, now_ns, cause)


cdef inline int64_t desk_standing(desk_t* d, const rung_t* rung) noexcept nogil:
    # Price of the order of a rung as it is or will be; NO_PRICE for none.
    cdef const own_order_t* o = desk_order(d, rung.order_id)
    return NO_PRICE if o == NULL or o.state == ORDER_LEAVING or o.state == ORDER_DONE else o.price_ticks


cdef void desk_reconcile_ladder(desk_t* d, const market_t* m, stake_t* s, int64_t now_ns, uint64_t cause) noexcept nogil:
    # Of a side: what works goes or moves first, then what is new comes.
    cdef const rung_t* rung
    cdef int64_t highest = NO_PRICE, lowest = NO_PRICE
    cdef uint32_t level
    cdef int8_t side
    cdef int turn, news
    for level in range(s.depth):
        highest = eager(BUY, highest, s.rungs[2 * level].wish_ticks)
        lowest = eager(SELL, lowest, desk_standing(d, &s.rungs[2 * level + 1]))
    side = SELL if lowest != NO_PRICE and highest >= lowest else BUY
    for turn in range(2):
        for news in range(2):
            for level in range(s.depth):
                if (s.rungs[2 * level + (side < 0)].order_id == 0) == news:
                    desk_place(d, m, s, level, side, now_ns, cause)
        side = <int8_t> -side
    while s.depth > 1:
        rung = &s.rungs[2 * (s.depth - 1)]
        if (
            rung[0].wish_ticks != NO_PRICE or rung[1].wish_ticks != NO_PRICE or rung[0].order_id or rung[1].order_id
            or rung[0].in_flight or rung[1].in_flight
        ):
            break
        s.depth -= 1


cdef inline void desk_reconcile(desk_t* d, const market_t* m, stake_t* s, int64_t now_ns, uint64_t cause) noexcept nogil:
    # A new bid that would meet our old ask comes behind what becomes of that.
    cdef const own_order_t* ask
    cdef int8_t first
    if unlikely(s.depth > 1):
        desk_reconcile_ladder(d, m, s, now_ns, cause)
        return
    ask = desk_order(d, s.rungs[1].order_id)
    first = SELL if ask != NULL and s.rungs[0].wish_ticks >= ask.price_ticks else BUY
    if rung_asks(&s.rungs[first < 0]):
        desk_place(d, m, s, 0, first, now_ns, cause)
    if rung_asks(&s.rungs[first > 0]):
        desk_place(d, m, s, 0, <int8_t> -first, now_ns, cause)


cdef void desk_wish(desk_t* d, rung_t* rung, int64_t ticks, int64_t lots) noexcept nogil:
    # A rung gets one of the wanted quotes.
    cdef const own_order_t* o = desk_order(d, rung.order_id)
    rung.wish_ticks = ticks
    rung.wish_lots = lots
    if o != NULL and o.state == ORDER_LIVE and o.price_ticks == ticks and o.size_lots == lots:
        rung.acted_ticks = ticks    # it stands there, although something else was tried
        rung.acted_lots = lots


cdef void desk_assign(desk_t* d, stake_t* s, int sells, int64_t* ticks, int64_t* lots, int count) noexcept nogil:
    # Which rung gets which of the wanted quotes, given from the most eager on. A kept order costs nothing, a moved one a message, a new one
    # or a pull one each: orders whose price stays come first, then as many as there are are moved.
    cdef int[DESK_RUNGS] have       # rungs with an order, the most eager first
    cdef int64_t[DESK_RUNGS] price  # of them
    cdef bint[DESK_RUNGS] taken
    cdef bint[DESK_RUNGS] given
    cdef int8_t side = <int8_t> (1 - 2 * sells)
    cdef int64_t at, near = d.requote_ticks
    cdef int level, i, j = 0, n = 0, kind
    cdef rung_t* rung
    for level in range(DESK_RUNGS):
        rung = &s.rungs[2 * level + sells]
        rung.wish_ticks = NO_PRICE
        taken[level] = given[level] = False
        at = desk_standing(d, rung)
        if at == NO_PRICE:
            continue
        i = n
        while i > 0 and side * (at - price[i - 1]) > 0:
            have[i] = have[i - 1]
            price[i] = price[i - 1]
            i -= 1
        have[i] = level
        price[i] = at
        n += 1
    i = 0
    while i < count and j < n:
        at = side * (ticks[i] - price[j])
        if -near < at < near:
            taken[have[j]] = given[i] = True
            desk_wish(d, &s.rungs[2 * have[j] + sells], ticks[i], lots[i])
            i += 1
            j += 1
        elif at > 0:
            i += 1
        else:
            j += 1
    # The others: orders that can be moved at once, then those with a change in flight, then rungs without an order, then those that have
    # one no longer soon.
    i = 0
    for kind in range(4):
        for j in range(n if kind < 2 else DESK_RUNGS):
            while i < count and given[i]:
                i += 1
            if i == count:
                return
            level = have[j] if kind < 2 else j
            rung = &s.rungs[2 * level + sells]
            if taken[level] or (kind < 3 and rung.in_flight != (kind == 1)):
                continue
            taken[level] = True
            desk_wish(d, rung, ticks[i], lots[i])
            i += 1
            if <uint32_t> level >= s.depth:
                s.depth = level + 1


cdef uint32_t desk_ladder(desk_t* d, stake_t* stake, const event_t* out, uint32_t n) noexcept nogil:
    # Take the wanted quotes of an instrument from so many commands; returns how many they were. Those of one price are one.
    cdef int64_t[2 * DESK_RUNGS] ticks
    cdef int64_t[2 * DESK_RUNGS] lots
    cdef int[2] count
    cdef int64_t price, size
    cdef uint32_t used = 0
    cdef int s, i, first
    count[0] = count[1] = 0
    while used < n:
        for s in range(2):
            price = out[used].ask if s else out[used].bid
            size = out[used].ask_size if s else out[used].bid_size
            if price == NO_PRICE:
                continue
            first = s * DESK_RUNGS
            i = first + count[s]
            while i > first and (1 - 2 * s) * (price - ticks[i - 1]) > 0:
                i -= 1
            if i > first and ticks[i - 1] == price:
                lots[i - 1] += size
                continue
            if count[s] == DESK_RUNGS:
                d.misused = KIND_QUOTE
                continue
            memmove(&ticks[i + 1], &ticks[i], (first + count[s] - i) * sizeof(int64_t))
            memmove(&lots[i + 1], &lots[i], (first + count[s] - i) * sizeof(int64_t))
            ticks[i] = price
            lots[i] = size
            count[s] += 1
        used += 1
        if not out[used - 1].flags & FLAG_CONTINUED:
            break
    for s in range(2):
        desk_assign(d, stake, s, &ticks[s * DESK_RUNGS], &lots[s * DESK_RUNGS], count[s])
    return used


# ---- single orders ----

cdef inline int64_t desk_touch(const market_t* m, uint32_t symbol_id, int8_t side) noexcept nogil:
    # Best price of a side of the market.
    cdef const book_t* book = market_book(m, symbol_id)
    return NO_PRICE if book == NULL else book_best_bid(book) if side == BUY else book_best_ask(book)


cdef int desk_submit(
    desk_t* d, const market_t* m, const stake_t* s, int8_t side, int64_t price, int64_t size, int64_t id, int64_t terms, uint8_t rung,
    int64_t now_ns, uint64_t cause,
) noexcept nogil:
    # Send an order that is none of the wanted quotes, or say why not.
    cdef uint32_t symbol_id = s.symbol_id
    cdef account_t* a = &d.accounts[symbol_id]
    cdef int64_t judged = price
    cdef int result
    if terms & TERMS_TYPE == TERMS_MARKET:
        price = NO_PRICE
        judged = desk_touch(m, symbol_id, <int8_t> -side)   # what it may trade at, as far as we know
        if judged == NO_PRICE:
            judged = a.mark_ticks
    desk_known(d, m, symbol_id)
    if unlikely(d.owners > 1) and desk_clashes(d, s, side, judged):
        result = RESULT_SELF_TRADE
    else:
        result = risk_order(d.gate, a.risk, side, judged, size, 0, False, now_ns)
    if unlikely(d.stopped):
        result = RESULT_KILLED
    elif result == RESULT_OK and (id == 0 or order_works(&d.orders[id & (DESK_ORDERS - 1)])):
        result = RESULT_FULL
    if result != RESULT_OK:
        desk_refuse(d, s, side, price, size, 0 if rung == FOR_TARGET else id, result, now_ns, cause)
        return result
    if rung != FOR_TARGET and (terms & TERMS_TYPE == TERMS_MARKET or terms & TERMS_TIME == TERMS_IOC or terms & TERMS_TIME == TERMS_FOK):
        rung = FOR_PASSING
    desk_new(d, s, side, price, size, id, rung, now_ns)
    d.changes[id & (DESK_ORDERS - 1)].wished = False
    a.singles += 1
    risk_sent(d.gate, a.risk, side, judged, size, now_ns)
    desk_message(d, KIND_ORDER, symbol_id, side, price, size, id, terms, now_ns, cause)
    return RESULT_OK


cdef int desk_amend(
    desk_t* d, const market_t* m, own_order_t* o, int64_t price, int64_t total, int64_t now_ns, uint64_t cause
) noexcept nogil:
    # Change an order with nothing in flight, or say why not; `total` counts what is filled.
    cdef account_t* a = &d.accounts[o.symbol_id]
    cdef const stake_t* s = &a.stakes[o.owner]
    cdef int64_t left = total - o.filled_lots, worst = left if left > o.worst_lots else o.worst_lots
    cdef int result
    if left <= 0:
        desk_pull(d, o, now_ns, cause)
        return RESULT_OK
    desk_known(d, m, o.symbol_id)
    if unlikely(d.owners > 1) and desk_clashes(d, s, o.side, price):
        result = RESULT_SELF_TRADE
    else:
        result = risk_order(d.gate, a.risk, o.side, price, left, o.worst_lots, True, now_ns)
    if result != RESULT_OK:
        desk_refuse(d, s, o.side, price, total, 0 if o.rung == FOR_TARGET else o.id, result, now_ns, cause)
        return result
    risk_freed(d.gate, a.risk, o.side, o.worst_lots, True)
    risk_sent(d.gate, a.risk, o.side, price, worst, now_ns)
    a.risk.sent_lots[o.side < 0] = left
    o.worst_lots = worst
    o.state = ORDER_CHANGING
    o.sent_ns = now_ns
    d.orders_sent += 1
    d.changes[o.id & (DESK_ORDERS - 1)].next_ticks = price
    desk_message(d, KIND_AMEND, o.symbol_id, o.side, price, total, o.id, 0, now_ns, cause)
    return RESULT_OK


cdef void desk_change(desk_t* d, const market_t* m, own_order_t* o, int64_t now_ns, uint64_t cause) noexcept nogil:
    # Act on what waited for the answer about a single order.
    cdef change_t* c = &d.changes[o.id & (DESK_ORDERS - 1)]
    if o.state != ORDER_LIVE or not c.wished:
        return
    c.wished = False
    if c.leave:
        desk_pull(d, o, now_ns, cause)
    else:
        desk_amend(
            d, m, o, o.price_ticks if c.wish_ticks == NO_PRICE else c.wish_ticks, c.wish_lots if c.wish_lots else o.size_lots, now_ns, cause
        )


cdef void desk_single(desk_t* d, const market_t* m, const stake_t* s, const event_t* e, int64_t now_ns, uint64_t cause) noexcept nogil:
    # A command about an order that a strategy sends by itself.
    cdef own_order_t* o = desk_order(d, e.order_id)
    cdef change_t* c
    if e.kind == KIND_ORDER:
        if unlikely(not 0 < e.order_id < d.next_id):
            d.misused = KIND_ORDER
            return
        desk_submit(d, m, s, e.side, e.price, e.size, e.order_id, e.match_id, FOR_ITSELF, now_ns, cause)
    elif e.kind == KIND_REJECT:     # what could not be said in ticks and lots
        desk_refuse(d, s, e.side, e.price, e.size, e.order_id, e.match_id, now_ns, cause)
    elif o == NULL or o.state == ORDER_DONE or o.rung != FOR_ITSELF or o.owner != s.owner:
        if o == NULL or o.rung != FOR_PASSING or o.state == ORDER_DONE or o.owner != s.owner:  # one that passes needs no cancel
            desk_refuse(d, s, e.side, e.price, e.size, e.order_id, RESULT_UNKNOWN_ORDER, now_ns, cause)
    elif o.state != ORDER_LEAVING:
        c = &d.changes[o.id & (DESK_ORDERS - 1)]
        if not c.wished:
            c.leave = False
            c.wish_ticks = NO_PRICE
            c.wish_lots = 0
        c.wished = True
        c.leave |= e.kind == KIND_PULL
        if e.kind == KIND_AMEND and e.price != NO_PRICE:
            c.wish_ticks = e.price
        if e.kind == KIND_AMEND and e.size != 0:
            c.wish_lots = e.size
        desk_change(d, m, o, now_ns, cause)


cdef void desk_changes(desk_t* d, const market_t* m, const stake_t* s, int64_t now_ns, uint64_t cause) noexcept nogil:
    # Look at all single orders of a strategy in an instrument.
    cdef own_order_t* o
    cdef int i
    for i in range(DESK_ORDERS):
        o = &d.orders[i]
        if order_works(o) and o.symbol_id == s.symbol_id and o.rung >= DESK_RUNGS and o.owner == s.owner:
            desk_change(d, m, o, now_ns, cause)


# ---- wanted positions ----

cdef void desk_target(desk_t* d, stake_t* s, int64_t lots, int64_t cross_after_ns) noexcept nogil:
    # The newest wish.
    cdef seek_t* k = &s.seek
    if not k.listed:
        if lots == NO_PRICE:
            return
        k.listed = True
        s.next_seeking = NULL
        d.seeking_end[0] = s
        d.seeking_end = &s.next_seeking
        k.wanted_lots = NO_PRICE
    if k.wanted_lots != lots:
        k.since_ns = NO_PRICE
        k.tried_lots = 0
    k.wanted_lots = lots
    k.cross_after_ns = cross_after_ns


cdef bint desk_seek(desk_t* d, const market_t* m, stake_t* s, int64_t now_ns, uint64_t cause) noexcept nogil:
    # Bring the order of a wanted position to what is missing; False where nothing is wanted any more and nothing works.
    cdef uint32_t symbol_id = s.symbol_id
    cdef seek_t* k = &s.seek
    cdef own_order_t* o = desk_order(d, k.order_id)
    cdef int64_t missing = 0, lots, ticks, far, total, distance
    cdef int8_t side
    cdef int result
    cdef bint crosses = False
    if o != NULL and o.state != ORDER_LIVE:
        return True     # acted on when the answer comes
    if k.wanted_lots != NO_PRICE and fc_sub_overflow(k.wanted_lots, d.held[s.owner][symbol_id].position_lots, &missing):
        missing = 0
    if missing == 0 or d.stopped:
        k.since_ns = NO_PRICE
        if o != NULL:
            desk_pull(d, o, now_ns, cause)
            return True
        return k.wanted_lots != NO_PRICE
    if k.since_ns == NO_PRICE:
        k.since_ns = now_ns
    side = BUY if missing > 0 else SELL
    lots = missing if missing > 0 else -missing
    if o != NULL and o.side != side:
        desk_pull(d, o, now_ns, cause)
        return True
    if not market_trades(m, symbol_id) or market_book(m, symbol_id) == NULL or market_book(m, symbol_id).stale:
        return True
    ticks = desk_touch(m, symbol_id, side)
    far = desk_touch(m, symbol_id, <int8_t> -side)
    if k.cross_after_ns >= 0 and far != NO_PRICE:
        crosses = now_ns - k.since_ns >= k.cross_after_ns
        if crosses:
            ticks = far
        else:
            desk_wake(d, s.owner, k.since_ns + k.cross_after_ns)
    if ticks == NO_PRICE or (not crosses and far != NO_PRICE and side * (ticks - far) >= 0):
        return True     # no touch, or the market is crossed: wait
    total = lots if o == NULL else o.filled_lots + lots
    if (ticks == k.tried_ticks and total == k.tried_lots) or (o != NULL and o.price_ticks == ticks and o.size_lots == total):
        return True
    if o != NULL and not crosses and d.holds and o.size_lots == total:
        distance = ticks - o.price_ticks
        if -d.requote_ticks < distance < d.requote_ticks:
            d.kept[KEPT_NEAR] += 1
            return True
        if now_ns - o.sent_ns < d.min_rest_ns:
            d.kept[KEPT_YOUNG] += 1
            desk_wake(d, s.owner, o.sent_ns + d.min_rest_ns)
            return True
    k.tried_ticks = ticks
    k.tried_lots = total
    if o != NULL:
        result = desk_amend(d, m, o, ticks, total, now_ns, cause)
    else:
        k.order_id = desk_free(d, d.next_id)
        if k.order_id:
            d.next_id = k.order_id + 1
        result = desk_submit(d, m, s, side, ticks, lots, k.order_id, 0, FOR_TARGET, now_ns, cause)
        if result != RESULT_OK:
            k.order_id = 0
    if unlikely(result == RESULT_SELF_TRADE) and d.owners > 1:
        k.met = d.accounts[symbol_id].met = True
    return True


cdef void desk_seek_all(desk_t* d, const market_t* m, int64_t now_ns, uint64_t cause) noexcept nogil:
    cdef stake_t** at = &d.seeking
    while at[0] != NULL:
        if d.down or desk_seek(d, m, at[0], now_ns, cause):
            at = &at[0].next_seeking
        else:
            at[0].seek.listed = False
            at[0] = at[0].next_seeking
    d.seeking_end = at


# ---- the way out ----

cdef bint desk_lost(const desk_t* d, const market_t* m, uint32_t symbol_id) noexcept nogil:
    # Whether the loss limit is broken; judged while the market has a price.
    cdef int64_t bid, ask
    cdef money_t profit, least
    if likely(d.max_loss < 0) or not market_two_sided(m, symbol_id, &bid, &ask):
        return False
    if not market_trades(m, symbol_id) or market_book(m, symbol_id).stale:
        return False
    if unlikely(not position_net(&d.positions[symbol_id], d.accounts[symbol_id].mark_ticks, &profit)):
        return True  # what cannot be computed stops
    money_product(-d.max_loss, 1, BILLION, &least)
    return money_less(profit, least)


cdef void desk_look_again(desk_t* d, uint32_t owner) noexcept nogil:
    # At all that a strategy wants.
    cdef uint32_t i
    for i in range(d.opened_count):
        desk_ask(d, &d.accounts[d.opened[i]].stakes[owner])


cdef void desk_due(desk_t* d, int64_t now_ns) noexcept nogil:
    # What waited for a time that has come.
    cdef uint32_t owner
    d.due_ns = NEVER
    for owner in range(d.owners):
        if d.due[owner] <= now_ns:
            d.due[owner] = NEVER
            desk_look_again(d, owner)
        elif d.due[owner] < d.due_ns:
            d.due_ns = d.due[owner]


cdef void desk_judge(desk_t* d, const market_t* m) noexcept nogil:
    # Bring the sums of the limits up to date, and see whether something keeps everything down; once it does not, try all wishes again.
    cdef uint32_t i, owner
    cdef bint down
    if unlikely(d.gate.money):
        for i in range(d.opened_count):
            desk_known(d, m, d.opened[i])
        risk_losses(d.gate)
    down = risk_down(d.gate) != RESULT_OK
    if unlikely(d.down and not down):
        for i in range(d.opened_count):
            desk_again(d, &d.accounts[d.opened[i]])
        for owner in range(d.owners):
            desk_look_again(d, owner)
    d.down = down


cdef void desk_withdraw_quotes(desk_t* d, int64_t now_ns, uint64_t cause) noexcept nogil:
    # Pull all of them; one whose message is in flight when its answer comes.
    cdef stake_t* s
    cdef uint32_t i, k, owner
    for i in range(d.opened_count):
        for owner in range(d.owners):
            s = &d.accounts[d.opened[i]].stakes[owner]
            for k in range(2 * s.depth):
                if s.rungs[k].order_id and not s.rungs[k].in_flight:
                    desk_pull(d, desk_order(d, s.rungs[k].order_id), now_ns, cause)


cdef void desk_withdraw_others(desk_t* d, int64_t now_ns, uint64_t cause) noexcept nogil:
    # Likewise the orders that are no wanted quotes.
    cdef own_order_t* o
    cdef int i
    for i in range(DESK_ORDERS):
        o = &d.orders[i]
        if order_works(o) and o.rung >= DESK_RUNGS and o.state == ORDER_LIVE:
            desk_pull(d, o, now_ns, cause)


cdef void desk_send(desk_t* d, const market_t* m, const event_t* out, uint32_t n, int64_t now_ns, uint64_t cause) noexcept nogil:
    cdef const event_t* e
    cdef stake_t* s
    cdef uint32_t i = 0, k, owner
    desk_judge(d, m)
    if unlikely(now_ns >= d.due_ns):
        desk_due(d, now_ns)
    while i < n:
        e = &out[i]
        i += 1
        if unlikely(e.symbol_id >= d.capacity or not d.accounts[e.symbol_id].known or d.gateway == NULL):
            d.misused = e.kind
            continue
        if unlikely(desk_lost(d, m, e.symbol_id)):
            d.stopped = True
        s = &d.accounts[e.symbol_id].stakes[e.seq]
        if likely(e.kind == KIND_QUOTE):
            if unlikely(e.flags & FLAG_CONTINUED or s.depth > 1):
                i += desk_ladder(d, s, e, n - i + 1) - 1
            else:
                s.rungs[0].wish_ticks = e.bid
                s.rungs[1].wish_ticks = e.ask
                s.rungs[0].wish_lots = e.bid_size
                s.rungs[1].wish_lots = e.ask_size
            if likely(not d.stopped):
                desk_reconcile(d, m, s, now_ns, cause)
        elif e.kind == KIND_TARGET:
            desk_target(d, s, e.price, e.size)
        elif e.kind == KIND_ORDER or e.kind == KIND_PULL or e.kind == KIND_AMEND or e.kind == KIND_REJECT:
            desk_single(d, m, s, e, now_ns, cause)
        else:
            d.misused = e.kind
    if unlikely(d.stopped):
        for i in range(d.opened_count):
            for owner in range(d.owners):
                s = &d.accounts[d.opened[i]].stakes[owner]
                for k in range(2 * s.depth):
                    s.rungs[k].wish_ticks = NO_PRICE
                desk_reconcile(d, m, s, now_ns, cause)
        desk_withdraw_others(d, now_ns, cause)
    s = d.answered
    while s != NULL:
        s.dirty = False
        if unlikely(d.accounts[s.symbol_id].singles):
            desk_changes(d, m, s, now_ns, cause)
        desk_reconcile(d, m, s, now_ns, cause)
        s = s.next_answered
    d.answered = NULL
    d.answered_end = &d.answered
    if unlikely(d.seeking != NULL):
        desk_seek_all(d, m, now_ns, cause)
    if unlikely(d.down or d.gate.killed):
        d.down = True
        desk_withdraw_quotes(d, now_ns, cause)
        desk_withdraw_others(d, now_ns, cause)


@cython.final
cdef class Desk:
    """Desk(limits=None, *, max_loss=None, symbols=65536, min_rest_ns=0, requote_ticks=1)\n--\n\n
    Desk(limits=None, *, max_loss=None, symbols=65536, min_rest_ns=0, requote_ticks=1)\n--\n
    Own orders, positions and limits of one account.

    Parameters
    ----------
    limits : RiskLimits, optional
        Pre-trade limits. None rejects every order, as does a limit that is not configured.
    max_loss : int, optional
        When the profit of an instrument falls below minus this many ticks * lots, or cannot be computed, all own orders are pulled and
        nothing more is sent (`stopped`); at least 0.
    symbols : int, default 65536
        Instruments that may come, 1..2**24.
    min_rest_ns : int, default 0
        Orders of wanted quotes and positions are not moved before they have rested for so long, 0..2**60; pulls always pass.
    requote_ticks : int, default 1
        Nor for a smaller change of the wanted price than this, 1..2**40; 1: for any.

    Notes
    -----
    **Thread safety**: belongs to one run.
    """

    def __cinit__(self, limits=None, *, max_loss=None, symbols=65536, min_rest_ns=0, requote_ticks=1):
        cdef int64_t capacity = as_int64(symbols), loss = -1 if max_loss is None else as_int64(max_loss)
        cdef int64_t i
        if not 1 <= capacity <= 1 << 24:
            raise ValueError(f"symbols must be in 1..{1 << 24}: symbols={symbols}")
        if max_loss is not None and not 0 <= loss <= <int64_t> 1 << 60:
            raise ValueError(f"max_loss must be in 0..{1 << 60}: max_loss={max_loss}")
        self._d.min_rest_ns = int64_in(min_rest_ns, "min_rest_ns", 0, <int64_t> 1 << 60)
        self._d.requote_ticks = int64_in(requote_ticks, "requote_ticks", 1, <int64_t> 1 << 40)
        self._d.holds = self._d.min_rest_ns > 0 or self._d.requote_ticks > 1
        self._d.due_ns = NEVER
        for i in range(DESK_OWNERS):
            self._d.due[i] = NEVER
        self.limits = RiskLimits() if limits is None else limits
        self._d.gate = &self.limits._gate
        self._d.max_loss = loss
        self._d.capacity = <uint32_t> capacity
        self._d.next_id = self._d.owners = 1
        self._d.answered_end = &self._d.answered
        self._d.seeking_end = &self._d.seeking
        self._d.positions = <position_t*> calloc(capacity, sizeof(position_t))
        self._d.held = <position_t**> calloc(DESK_OWNERS, sizeof(position_t*))
        self._d.accounts = <account_t*> calloc(capacity, sizeof(account_t))
        self._d.opened = <uint32_t*> calloc(capacity, sizeof(uint32_t))
        self._d.orders = <own_order_t*> fc_alloc(DESK_ORDERS, sizeof(own_order_t))
        self._d.changes = <change_t*> fc_alloc(DESK_ORDERS, sizeof(change_t))
        if (
            self._d.positions == NULL or self._d.held == NULL or self._d.accounts == NULL or self._d.opened == NULL
            or self._d.orders == NULL or self._d.changes == NULL
        ):
            raise MemoryError(f"no memory for the accounts of a desk: symbols={symbols}")
        self._d.held[0] = self._d.positions

    def __dealloc__(self):
        cdef uint32_t i
        for i in range(self._d.opened_count):
            free(self._d.accounts[self._d.opened[i]].fees)
            fc_free(self._d.accounts[self._d.opened[i]].stakes)
        if self._d.owners > 1 and self._d.held != NULL:
            for i in range(self._d.owners):
                free(self._d.held[i])
        free(self._d.positions)
        free(self._d.held)
        free(self._d.accounts)
        free(self._d.opened)
        fc_free(self._d.orders)
        fc_free(self._d.changes)

    # Give each of several strategies its own stakes and positions.
    cdef int _divide(self, uint32_t owners) except -1:
        cdef desk_t* d = &self._d
        cdef uint32_t i
        if owners <= d.owners:
            return 0
        if owners > DESK_OWNERS or d.next_id > 1:
            raise ValueError(f"a desk has at most {DESK_OWNERS} strategies, and as many from the first order on: strategies={owners}")
        for i in range(0 if d.owners == 1 else d.owners, owners):
            d.held[i] = <position_t*> calloc(d.capacity, sizeof(position_t))
            if d.held[i] == NULL:
                d.held[0] = d.positions
                raise MemoryError(f"no memory for the positions of strategies: strategies={owners}")
        d.owners = owners
        for i in range(d.opened_count):
            self._stakes(d.opened[i])
        return 0

    # What strategies want of an instrument: nothing yet.
    cdef int _stakes(self, uint32_t symbol_id) except -1:
        cdef account_t* a = &self._d.accounts[symbol_id]
        cdef position_t* p
        cdef stake_t* s
        cdef uint32_t owner
        cdef int k
        fc_free(a.stakes)
        a.stakes = <stake_t*> fc_alloc(self._d.owners, sizeof(stake_t))
        if a.stakes == NULL:
            raise MemoryError(f"no memory for an account: symbol_id={symbol_id}")
        for owner in range(self._d.owners):
            p = &self._d.held[owner][symbol_id]
            p.inverse, p.signed_prices = self._d.positions[symbol_id].inverse, self._d.positions[symbol_id].signed_prices
            s = &a.stakes[owner]
            s.symbol_id, s.owner, s.depth = symbol_id, owner, 1
            s.seek.wanted_lots = s.seek.since_ns = NO_PRICE
            for k in range(2 * DESK_RUNGS):
                s.rungs[k].wish_ticks = s.rungs[k].acted_ticks = NO_PRICE
        return 0

    cdef uint32_t _id(self, object symbol_id) except? 0xFFFFFFFF:
        cdef int64_t number = as_int64(symbol_id)
        if not 0 <= number < self._d.capacity:
            raise ValueError(f"symbol_id must be in 0..{self._d.capacity - 1}: symbol_id={symbol_id}")
        return <uint32_t> number

    def open(self, symbol_id, instrument=None, *, fees=None, maker_fee_ticks=0, taker_fee_ticks=0):
        """Open the account of an instrument, or change its fees; quotes for others are refused.

        Parameters
        ----------
        symbol_id : int
            Dense id.
        instrument : Instrument, optional
            What its ticks and lots are worth. Without it limits that are amounts of money refuse.
        fees : Fees, optional
            What fills cost; needs the instrument.
        maker_fee_ticks, taker_fee_ticks : int, default 0
            In the place of `fees`: of a fill in ticks per lot, when our order waited and when it took, in -2**20..2**20; a rebate is
            negative.
        """
        cdef uint32_t number = self._id(symbol_id)
        cdef account_t* a = &self._d.accounts[number]
        cdef position_t* p = &self._d.positions[number]
        cdef fees_t charged
        cdef uint32_t owner
        alone(&self._busy)
        memset(&charged, 0, sizeof(fees_t))
        charged.count = 1
        for i, (name, fee) in enumerate((("maker_fee_ticks", maker_fee_ticks), ("taker_fee_ticks", taker_fee_ticks))):
            if not -(1 << 20) <= as_int64(fee) <= 1 << 20:
                raise ValueError(f"{name} must be in {-(1 << 20)}..{1 << 20}: {name}={fee}")
            money_product(as_int64(fee), 1, BILLION, &charged.rates[0][<int> i].per_lot)
        if fees is not None:
            if instrument is None or maker_fee_ticks or taker_fee_ticks:
                raise ValueError(f"fees need an instrument and stand in the place of fees in ticks: instrument={instrument}")
            fees_put(fees, instrument.unit_value, instrument.lot_size, &charged)
        if not a.known:
            a.fees = <fees_t*> calloc(1, sizeof(fees_t))
            if a.fees == NULL:
                raise MemoryError(f"no memory for an account: symbol_id={symbol_id}")
            self._stakes(number)
            a.risk = self.limits.open(number, instrument)
            a.known = True
            a.mark_ticks = NO_PRICE
            self._d.opened[self._d.opened_count] = number
            self._d.opened_count += 1
        elif instrument is not None:
            self.limits.describe(a.risk, instrument)
        a.fees[0] = charged
        if instrument is not None and p.fills == 0:
            p.inverse, p.signed_prices = instrument.kind == "inverse", instrument.signed_prices
            for owner in range(self._d.owners):
                self._d.held[owner][number].inverse, self._d.held[owner][number].signed_prices = p.inverse, p.signed_prices

    cdef uint32_t _owner(self, object strategy) except? 0xFFFFFFFF:
        return <uint32_t> int64_in(strategy, "strategy", 0, self._d.owners - 1)

    def position(self, symbol_id, strategy=None):
        """Return the position of an instrument as a ``fastcore.portfolio.Position``, a copy.

        Parameters
        ----------
        symbol_id : int
        strategy : int, optional
            That of one strategy alone, by its place in the order of their names. Lots, cash, fees and turnover of all strategies together
            are those of the account.
        """
        cdef Position out = Position()
        cdef uint32_t number = self._id(symbol_id)
        out._p = self._d.positions[number] if strategy is None else self._d.held[self._owner(strategy)][number]
        return out

    def mid_ticks(self, symbol_id):
        """Return the last middle price of an instrument in ticks, rounded down; None before the first."""
        cdef account_t* a = &self._d.accounts[self._id(symbol_id)]
        return None if not a.known or a.mark_ticks == NO_PRICE else a.mark_ticks

    # Profit of the first strategies together; None where it is not known.
    cdef object _profit(self, uint32_t symbol_id, uint32_t owners):
        cdef position_t sum = self._d.positions[symbol_id]
        cdef money_t profit
        cdef uint32_t owner
        cdef bint bad = False
        if owners < self._d.owners:
            sum.position_lots = 0
            sum.cash = sum.cost = sum.fees = money_t(0, 0)
            for owner in range(owners):
                sum.position_lots += self._d.held[owner][symbol_id].position_lots
                bad |= money_add(sum.cash, self._d.held[owner][symbol_id].cash, &sum.cash)
                bad |= money_add(sum.fees, self._d.held[owner][symbol_id].fees, &sum.fees)
        if bad or not position_net(&sum, self._d.accounts[symbol_id].mark_ticks, &profit):
            return None
        return money_object(profit)

    def profit(self, symbol_id, strategy=None):
        """Return the profit of an instrument after fees, marked at `mid_ticks`: exact, in units of a tick times a lot.

        None where an open position has no mark, or the account was never opened.

        Parameters
        ----------
        symbol_id : int
        strategy : int, optional
            What one strategy adds to that of those before it in the order of their names: its own profit, and of inverse contracts, whose
            values are rounded, the one with which all together are that of the account.
        """
        cdef uint32_t number = self._id(symbol_id), owner
        if not self._d.accounts[number].known:
            return None
        if strategy is None:
            return self._profit(number, self._d.owners)
        owner = self._owner(strategy)
        with_it, before = self._profit(number, owner + 1), self._profit(number, owner)
        return None if with_it is None or before is None else with_it - before

    @property
    def orders_sent(self):
        """Orders that passed the limits and were sent, replacements included."""
        return self._d.orders_sent

    @property
    def messages(self):
        """Messages that were sent: orders, replacements, amends and pulls."""
        return self._d.gate.messages

    @property
    def risk_rejects(self):
        """Orders that the limits refused; `limits.rejected` says why."""
        return self._d.risk_rejects

    @property
    def fills(self):
        """Fills of own orders."""
        return self._d.fills

    @property
    def in_flight(self):
        """Messages that are not answered yet."""
        return self._d.in_flight

    @property
    def not_sent(self):
        """Wanted quotes that were not sent, or not yet, with counts by reason; those that a limit refused are in `limits.rejected`."""
        reasons = ("a change of its order was in flight", "within the re-quote distance", "before the minimum rest")
        return {why: self._d.kept[i] for i, why in enumerate(reasons) if self._d.kept[i]}

    def orders(self):
        """Return the unfinished own orders.

        Returns
        -------
        list of tuple
            ``(order_id, symbol_id, side, price_ticks, size_lots, filled_lots, state, purpose)`` by number: state is "sent", "working",
            "changing" or "leaving"; purpose "rung 0" and on of wanted quotes, "order" or "target". The price of a market order is None.
        """
        cdef own_order_t o
        cdef int i
        states = {ORDER_SENT: "sent", ORDER_LIVE: "working", ORDER_CHANGING: "changing", ORDER_LEAVING: "leaving"}
        rows = []
        for i in range(DESK_ORDERS):
            o = self._d.orders[i]
            if order_works(&o):
                price = None if o.price_ticks == NO_PRICE else o.price_ticks
                purpose = "rung " + str(o.rung) if o.rung < DESK_RUNGS else "target" if o.rung == FOR_TARGET else "order"
                rows.append((o.id, o.symbol_id, o.side, price, o.size_lots, o.filled_lots, states[o.state], purpose))
        return sorted(rows)

    @property
    def stopped(self):
        """Whether the loss limit has stopped the desk."""
        return bool(self._d.stopped)

    def __repr__(self):
        cdef desk_t* d = &self._d
        return f"Desk({d.opened_count} accounts, {d.orders_sent} orders sent, {d.risk_rejects} refused, {d.fills} fills)"
