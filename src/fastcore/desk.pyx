# cython: freethreading_compatible=True
"""The desk: own orders, wanted quotes, positions and the limits of one account.

Own orders and what came of them are 64-byte events with the flag ``own``: `order`, `replace` and `pull` go out, `ack`, `fill`,
`reject` and `pulled` come back. An order that the limits refuse never leaves: its `reject` has ``order_id`` 0 and the result code in
``match_id``.
"""

cimport cython
from libc.stdint cimport int8_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from fastcore._integers cimport as_int64
from fastcore.book cimport book_best_ask, book_best_bid, book_t
from fastcore.gateway cimport gateway_t
from fastcore.market cimport market_book, market_t, market_trades, market_two_sided
from fastcore.money cimport BILLION, fees_of, fees_put, fees_t, money_less, money_object, money_product, money_t, money_value
from fastcore.portfolio cimport Position, position_fill, position_net, position_t
from fastcore.records cimport (
    BUY, FLAG_OWN, KIND_ACK, KIND_FILL, KIND_ORDER, KIND_PULL, KIND_PULLED, KIND_QUOTE, KIND_REJECT, KIND_REPLACE, MATCH_TOOK, NO_PRICE,
    NO_SYMBOL, RESULT_FULL, RESULT_OK, RESULT_UNKNOWN_ORDER, SELL, event_t, fc_alloc, fc_free, likely, unlikely,
)
from fastcore.risk cimport (
    RiskLimits, risk_down, risk_filled, risk_freed, risk_losses, risk_moved, risk_order, risk_rate, risk_seen, risk_sent, risk_symbol_t,
)

__all__ = ["Desk"]


cdef inline own_order_t* desk_order(desk_t* d, int64_t order_id) noexcept nogil:
    # NULL for an order that is not ours, or done for long.
    cdef own_order_t* o = &d.orders[order_id & (DESK_ORDERS - 1)]
    return o if likely(o.id == order_id and o.state != ORDER_FREE) else NULL


cdef void desk_done(desk_t* d, own_order_t* o) noexcept nogil:
    # Nothing of an order works any more.
    cdef account_t* a = &d.accounts[o.symbol_id]
    cdef int s = o.side < 0
    risk_freed(d.gate, a.risk, o.side, o.worst_lots, o.state != ORDER_DONE)
    o.worst_lots = 0
    o.state = ORDER_DONE
    if a.rungs[s].order_id == o.id:
        a.rungs[s].order_id = 0


cdef void desk_ask(desk_t* d, uint32_t symbol_id) noexcept nogil:
    # Look at the wishes of an account again before the next messages leave.
    if not d.accounts[symbol_id].dirty:
        d.accounts[symbol_id].dirty = True
        d.answered[d.answered_count] = symbol_id
        d.answered_count += 1


cdef void desk_answered(desk_t* d, own_order_t* o) noexcept nogil:
    # The message about an order has its answer.
    cdef account_t* a = &d.accounts[o.symbol_id]
    cdef rung_t* rung = &a.rungs[o.side < 0]
    d.in_flight -= 1
    rung.in_flight = False
    if unlikely(not rung_settled(rung) or rung.retry or d.down):
        desk_ask(d, o.symbol_id)


cdef bint desk_filled(position_t* p, const fees_t* fees, const own_order_t* o, const event_t* e) noexcept nogil:
    # Account a fill; False where it does not fit.
    cdef money_t value, fee
    if money_value(p.inverse, e.price, e.size, &value):
        return False
    if fees_of(fees, p.turnover, e.match_id == MATCH_TOOK, o.filled_lots == 0, value, e.size, &fee):
        return False
    return position_fill(p, e.side, e.price, e.size, &fee) == RESULT_OK


cdef void desk_report(desk_t* d, const event_t* e) noexcept nogil:
    cdef own_order_t* o = desk_order(d, e.order_id)
    cdef own_order_t* new
    cdef account_t* a
    cdef rung_t* rung
    cdef int64_t lots
    if unlikely(o == NULL):
        return  # our own refusal
    a = &d.accounts[o.symbol_id]
    if e.kind == KIND_ACK:
        if unlikely(e.size < o.size_lots):
            # What was filled of the order that it replaces while the message was under way.
            risk_freed(d.gate, a.risk, o.side, o.size_lots - e.size, False)
            o.size_lots = o.worst_lots = e.size
        o.state = ORDER_LIVE
        desk_answered(d, o)
    elif e.kind == KIND_FILL:
        if unlikely(not desk_filled(&d.positions[o.symbol_id], a.fees, o, e)):
            d.overflowed = True
        d.fills += 1
        lots = e.size if e.size < o.worst_lots else o.worst_lots    # nothing works of an order that is done
        o.filled_lots += e.size
        o.worst_lots -= lots
        a.risk.position = d.positions[o.symbol_id]
        risk_freed(d.gate, a.risk, o.side, lots, False)
        risk_filled(d.gate, a.risk, e.local_ns)
        if unlikely(d.gate.money or d.gate.killed):
            desk_ask(d, o.symbol_id)    # it may be the end of everything
        if o.worst_lots <= 0 and o.state != ORDER_LEAVING:
            desk_done(d, o)
        a.rungs[0].retry = a.rungs[1].retry = True
    elif e.kind == KIND_PULLED:
        if o.state == ORDER_LEAVING and a.rungs[o.side < 0].order_id == o.id:
            desk_answered(d, o)  # of a pull; the answer to a replacement is the ack of the new order
        desk_done(d, o)
    elif e.kind == KIND_REJECT:
        rung = &a.rungs[o.side < 0]
        if o.state != ORDER_LEAVING or rung.order_id == o.id:
            desk_answered(d, o)     # the order itself, or a pull of what was gone
            desk_done(d, o)
            return
        new = desk_order(d, rung.order_id)  # a replacement: what should have taken the place of this one does not exist
        if unlikely(new == NULL):
            return  # an answer that nothing was asked for
        desk_answered(d, new)
        desk_done(d, new)
        if e.match_id == RESULT_UNKNOWN_ORDER:
            desk_done(d, o)
        else:
            o.state = ORDER_LIVE
            rung.order_id = o.id


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


cdef void desk_pull(desk_t* d, rung_t* rung, int64_t now_ns, uint64_t cause) noexcept nogil:
    cdef own_order_t* o = desk_order(d, rung.order_id)
    o.state = ORDER_LEAVING
    rung.in_flight = True
    risk_sent(d.gate, NULL, o.side, NO_PRICE, 0, now_ns)
    desk_message(d, KIND_PULL, o.symbol_id, o.side, NO_PRICE, 0, o.id, 0, now_ns, cause)


cdef void desk_refuse(desk_t* d, uint32_t symbol_id, int8_t side, int64_t price, int64_t size, int result, int64_t now_ns, uint64_t cause) noexcept nogil:
    cdef event_t e
    d.risk_rejects += 1
    e.seq = cause
    e.exch_ns = e.local_ns = now_ns
    e.symbol_id = symbol_id
    e.kind = KIND_REJECT
    e.side = side
    e.flags = FLAG_OWN
    e.price = price
    e.size = size
    e.order_id = 0
    e.match_id = result
    if unlikely(d.gateway.refuse(d.gateway, &e, now_ns) != RESULT_OK):
        d.misused = KIND_REJECT


cdef int64_t desk_best(desk_t* d, const rung_t* rung, int8_t side) noexcept nogil:
    # Price at which an own order of a side may trade; NO_PRICE for none. A cancel is ahead of all that follows, a replacement may be
    # refused: it counts at both prices.
    cdef own_order_t* o = desk_order(d, rung.order_id)
    cdef own_order_t* old
    if o == NULL or o.state == ORDER_LEAVING or o.state == ORDER_DONE:
        return NO_PRICE
    old = desk_order(d, o.replaces)
    if old != NULL and old.state == ORDER_LEAVING and (old.price_ticks > o.price_ticks) == (side == BUY):
        return old.price_ticks
    return o.price_ticks


cdef void desk_look(desk_t* d, const market_t* m, uint32_t symbol_id) noexcept nogil:
    # What the limits should know of the market.
    cdef risk_symbol_t* s = d.accounts[symbol_id].risk
    cdef const book_t* book = market_book(m, symbol_id)
    cdef int64_t bid = NO_PRICE if book == NULL else book_best_bid(book), ask = NO_PRICE if book == NULL else book_best_ask(book)
    cdef int64_t last = m.seen[symbol_id].last_ticks if m.volumes[symbol_id] else NO_PRICE
    cdef int64_t exch_ns = m.seen[symbol_id].exch_ns, local_ns = m.seen[symbol_id].local_ns
    cdef int64_t lag_ns = local_ns - exch_ns if local_ns else 0
    cdef bint trades = market_trades(m, symbol_id), stale = book != NULL and book.stale
    s.dirty = (
        s.dirty or bid != s.bid or ask != s.ask or last != s.last_ticks or trades != s.trading or stale != s.stale or lag_ns != s.lag_ns
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
        a.risk.own_ticks[0] = desk_best(d, &a.rungs[0], BUY)
        a.risk.own_ticks[1] = desk_best(d, &a.rungs[1], SELL)
        a.risk.changed = True
    risk_moved(d.gate, a.risk, a.mark_ticks)


cdef inline bint rung_acts(const rung_t* r) noexcept nogil:
    # Whether something is to be done for the newest wish, and may be done now.
    return not r.in_flight and (not rung_settled(r) or (r.retry and r.order_id == 0))


cdef void desk_place(desk_t* d, const market_t* m, uint32_t symbol_id, int8_t side, int64_t now_ns, uint64_t cause) noexcept nogil:
    # Bring the order of one side to the wish.
    cdef account_t* a = &d.accounts[symbol_id]
    cdef int s = side < 0
    cdef rung_t* rung = &a.rungs[s]
    cdef own_order_t* old = NULL
    cdef own_order_t* o
    cdef int64_t id
    cdef int result
    rung.acted_ticks = rung.wish_ticks
    rung.acted_lots = rung.wish_lots
    rung.retry = False
    if rung.wish_ticks == NO_PRICE:
        if rung.order_id:
            desk_pull(d, rung, now_ns, cause)
        return
    if rung.order_id:
        old = desk_order(d, rung.order_id)
    desk_known(d, m, symbol_id)
    result = risk_order(
        d.gate, a.risk, side, rung.wish_ticks, rung.wish_lots, 0 if old == NULL else old.worst_lots, old != NULL, now_ns
    )
    id = d.next_id
    while unlikely(d.orders[id & (DESK_ORDERS - 1)].state % ORDER_DONE != 0 and id - d.next_id < DESK_ORDERS):
        id += 1  # a number whose place is taken by an order that still works
    o = &d.orders[id & (DESK_ORDERS - 1)]
    if unlikely(result == RESULT_OK and o.state % ORDER_DONE != 0):
        result = RESULT_FULL
    if unlikely(result != RESULT_OK):
        desk_refuse(d, symbol_id, side, rung.wish_ticks, rung.wish_lots, result, now_ns, cause)
        if rung.order_id:
            desk_pull(d, rung, now_ns, cause)
        return
    d.next_id = id + 1
    d.orders_sent += 1
    o.id = id
    o.replaces = rung.order_id
    o.price_ticks = rung.wish_ticks
    o.size_lots = o.worst_lots = rung.wish_lots
    o.filled_lots = 0
    o.sent_ns = now_ns
    o.symbol_id = symbol_id
    o.side = side
    o.state = ORDER_SENT
    risk_sent(d.gate, a.risk, side, o.price_ticks, o.size_lots, now_ns)
    rung.order_id = id
    rung.in_flight = True
    if old != NULL:
        old.state = ORDER_LEAVING
        desk_message(d, KIND_REPLACE, symbol_id, side, o.price_ticks, o.size_lots + old.filled_lots, old.id, id, now_ns, cause)
    else:
        desk_message(d, KIND_ORDER, symbol_id, side, o.price_ticks, o.size_lots, id, 0, now_ns, cause)


cdef inline void desk_reconcile(desk_t* d, const market_t* m, uint32_t symbol_id, int64_t now_ns, uint64_t cause) noexcept nogil:
    # A new bid that would meet our old ask comes behind what becomes of that.
    cdef const rung_t* rungs = d.accounts[symbol_id].rungs
    cdef const own_order_t* ask = desk_order(d, rungs[1].order_id)
    cdef int8_t first = SELL if ask != NULL and rungs[0].wish_ticks >= ask.price_ticks else BUY
    if rung_acts(&rungs[first < 0]):
        desk_place(d, m, symbol_id, first, now_ns, cause)
    if rung_acts(&rungs[first > 0]):
        desk_place(d, m, symbol_id, <int8_t> -first, now_ns, cause)


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


cdef void desk_judge(desk_t* d, const market_t* m) noexcept nogil:
    # Bring the sums of the limits up to date, and see whether something keeps everything down; once it does not, try all wishes again.
    cdef uint32_t i
    cdef bint down
    if unlikely(d.gate.money):
        for i in range(d.opened_count):
            desk_known(d, m, d.opened[i])
        risk_losses(d.gate)
    down = risk_down(d.gate) != RESULT_OK
    if unlikely(d.down and not down):
        for i in range(d.opened_count):
            d.accounts[d.opened[i]].rungs[0].retry = d.accounts[d.opened[i]].rungs[1].retry = True
            desk_ask(d, d.opened[i])
    d.down = down


cdef void desk_withdraw(desk_t* d, int64_t now_ns, uint64_t cause) noexcept nogil:
    # Pull all own orders; one whose message is in flight when its answer comes.
    cdef account_t* a
    cdef uint32_t i
    cdef int s
    for i in range(d.opened_count):
        a = &d.accounts[d.opened[i]]
        for s in range(2):
            if a.rungs[s].order_id and not a.rungs[s].in_flight:
                desk_pull(d, &a.rungs[s], now_ns, cause)


cdef void desk_send(desk_t* d, const market_t* m, const event_t* out, uint32_t n, int64_t now_ns, uint64_t cause) noexcept nogil:
    cdef const event_t* e
    cdef account_t* a
    cdef uint32_t i
    desk_judge(d, m)
    for i in range(n):
        e = &out[i]
        if unlikely(
            e.kind != KIND_QUOTE or e.symbol_id >= d.capacity or not d.accounts[e.symbol_id].known or d.gateway == NULL
        ):
            d.misused = e.kind
            continue
        if unlikely(desk_lost(d, m, e.symbol_id)):
            d.stopped = True
        a = &d.accounts[e.symbol_id]
        a.rungs[0].wish_ticks = e.bid
        a.rungs[1].wish_ticks = e.ask
        a.rungs[0].wish_lots = e.bid_size
        a.rungs[1].wish_lots = e.ask_size
        if likely(not d.stopped):
            desk_reconcile(d, m, e.symbol_id, now_ns, cause)
    if unlikely(d.stopped):
        for i in range(d.opened_count):
            a = &d.accounts[d.opened[i]]
            a.rungs[0].wish_ticks = a.rungs[1].wish_ticks = NO_PRICE
            desk_reconcile(d, m, d.opened[i], now_ns, cause)
    for i in range(d.answered_count):
        d.accounts[d.answered[i]].dirty = False
        desk_reconcile(d, m, d.answered[i], now_ns, cause)
    d.answered_count = 0
    if unlikely(d.down or d.gate.killed):
        d.down = True
        desk_withdraw(d, now_ns, cause)


@cython.final
cdef class Desk:
    """Desk(limits=None, *, max_loss=None, symbols=65536)\n--\n\n
    Desk(limits=None, *, max_loss=None, symbols=65536)\n--\n
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

    Notes
    -----
    **Thread safety**: belongs to one run.
    """

    def __cinit__(self, limits=None, *, max_loss=None, symbols=65536):
        cdef int64_t capacity = as_int64(symbols), loss = -1 if max_loss is None else as_int64(max_loss)
        cdef int64_t i
        if not 1 <= capacity <= 1 << 24:
            raise ValueError(f"symbols must be in 1..{1 << 24}: symbols={symbols}")
        if max_loss is not None and not 0 <= loss <= <int64_t> 1 << 60:
            raise ValueError(f"max_loss must be in 0..{1 << 60}: max_loss={max_loss}")
        self.limits = RiskLimits() if limits is None else limits
        self._d.gate = &self.limits._gate
        self._d.max_loss = loss
        self._d.capacity = <uint32_t> capacity
        self._d.next_id = 1
        self._d.positions = <position_t*> calloc(capacity, sizeof(position_t))
        self._d.accounts = <account_t*> calloc(capacity, sizeof(account_t))
        self._d.opened = <uint32_t*> calloc(capacity, sizeof(uint32_t))
        self._d.answered = <uint32_t*> calloc(capacity, sizeof(uint32_t))
        self._d.orders = <own_order_t*> fc_alloc(DESK_ORDERS, sizeof(own_order_t))
        if (
            self._d.positions == NULL or self._d.accounts == NULL or self._d.opened == NULL or self._d.answered == NULL
            or self._d.orders == NULL
        ):
            raise MemoryError(f"no memory for the accounts of a desk: symbols={symbols}")

    def __dealloc__(self):
        cdef uint32_t i
        for i in range(self._d.opened_count):
            free(self._d.accounts[self._d.opened[i]].fees)
        free(self._d.positions)
        free(self._d.accounts)
        free(self._d.opened)
        free(self._d.answered)
        fc_free(self._d.orders)

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
            a.risk = self.limits.open(number, instrument)
            a.known = True
            a.mark_ticks = a.rungs[0].wish_ticks = a.rungs[1].wish_ticks = NO_PRICE
            a.rungs[0].acted_ticks = a.rungs[1].acted_ticks = NO_PRICE
            self._d.opened[self._d.opened_count] = number
            self._d.opened_count += 1
        elif instrument is not None:
            self.limits.describe(a.risk, instrument)
        a.fees[0] = charged
        if instrument is not None and p.fills == 0:
            p.inverse, p.signed_prices = instrument.kind == "inverse", instrument.signed_prices

    def position(self, symbol_id):
        """Return the position of an instrument as a ``fastcore.portfolio.Position``, a copy."""
        cdef Position out = Position()
        out._p = self._d.positions[self._id(symbol_id)]
        return out

    def mid_ticks(self, symbol_id):
        """Return the last middle price of an instrument in ticks, rounded down; None before the first."""
        cdef account_t* a = &self._d.accounts[self._id(symbol_id)]
        return None if not a.known or a.mark_ticks == NO_PRICE else a.mark_ticks

    def profit(self, symbol_id):
        """Return the profit of an instrument after fees, marked at `mid_ticks`: exact, in units of a tick times a lot.

        None where an open position has no mark, or the account was never opened.
        """
        cdef uint32_t number = self._id(symbol_id)
        cdef money_t profit
        if not self._d.accounts[number].known:
            return None
        return money_object(profit) if position_net(&self._d.positions[number], self._d.accounts[number].mark_ticks, &profit) else None

    @property
    def orders_sent(self):
        """Orders that passed the limits and were sent, replacements included."""
        return self._d.orders_sent

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
    def stopped(self):
        """Whether the loss limit has stopped the desk."""
        return bool(self._d.stopped)

    def __repr__(self):
        cdef desk_t* d = &self._d
        return f"Desk({d.opened_count} accounts, {d.orders_sent} orders sent, {d.risk_rejects} refused, {d.fills} fills)"
