# cython: freethreading_compatible=True
"""A market maker on one instrument: both sides of a model's quotes, kept where the model wants them.

1. A change of the best price or size, a fill, a change of the trading state, a gap and a new image make it requote.
2. No quotes while the instrument does not trade, outside market hours where the venue announces them, while a side is empty or the
   book is crossed, locked or stale.
3. Volatility follows the middle price; the model quotes around it with the present position; quotes are rounded outwards to the
   increment of the venue and held back behind the other side, so that they never take.
"""

cimport cython
from libc.math cimport isfinite
from libc.stdint cimport int64_t, uint32_t, uint64_t

from fastcore._integers cimport as_int64
from fastcore.avellaneda cimport (
    Quoter, quote_t, quoter_ceil, quoter_floor, quoter_quote, quoter_round, quoter_set_volatility,
)
from fastcore.book cimport book_change_t, top_t
from fastcore.flow cimport EwmaVolatility, ewma_due, ewma_update, ewma_volatility
from fastcore.market cimport market_book, market_trades
from fastcore.records cimport KIND_CLEAR, KIND_FILL, KIND_GAP, KIND_STATUS, KIND_SYSTEM, NO_PRICE, NO_SYMBOL, event_t, likely
from fastcore.strategy cimport (
    ON_BOOK, ON_EVENT, ON_INSTANT, ON_REPORT, STRATEGY_OK, Strategy, context_t, strategy_t, want_quotes,
)

__all__ = ["MarketMaker"]


cdef inline bint proper(const top_t* top) noexcept nogil:
    # Both sides, neither crossed nor locked.
    return top.bid != NO_PRICE and top.ask != NO_PRICE and top.bid < top.ask


cdef void maker_requote(maker_t* m, context_t* c) noexcept nogil:
    cdef uint32_t id = m.base.symbol_id
    cdef const top_t* top = &c.tops[id]
    cdef int64_t bid = NO_PRICE, ask = NO_PRICE
    cdef quote_t quote
    m.base.hooks &= ~(<uint64_t> 1 << ON_INSTANT)   # until there is something to requote for
    m.quoted = NO_PRICE
    if likely(proper(top) and market_trades(c.market, id) and not market_book(c.market, id).stale):
        quoter_quote(
            m.quoter, <double> (top.bid + top.ask) / (2.0 * m.ticks_per_price), <double> c.positions[id].position_lots, m.time_left,
            &quote,
        )
        quoter_round(m.quoter, &quote, &bid, &ask)
        m.quotes += 1
        m.quoted = top.bid + top.ask
        # Held back behind the other side: our orders wait, they do not take.
        if bid >= top.ask:
            bid = quoter_floor(m.quoter, <double> (top.ask - 1))
        if ask != NO_PRICE and ask <= top.bid:
            ask = quoter_ceil(m.quoter, <double> (top.bid + 1))
    want_quotes(c, id, bid, ask, m.order_lots, m.order_lots)


cdef void maker_observe(maker_t* m, context_t* c, int64_t time_ns) noexcept nogil:
    # The middle price has moved.
    cdef const top_t* top = &c.tops[m.base.symbol_id]
    cdef uint64_t count
    if likely(not ewma_due(m.volatility, time_ns)):
        return
    if likely(proper(top) and market_trades(c.market, m.base.symbol_id)):
        count = m.volatility.count
        ewma_update(m.volatility, <double> (top.bid + top.ask) / (2.0 * m.ticks_per_price), time_ns)
        if m.volatility.count != count:
            quoter_set_volatility(m.quoter, ewma_volatility(m.volatility))


cdef inline bint maker_near(const maker_t* m, const top_t* top) noexcept nogil:
    # Whether the middle is near that of the last quotes.
    cdef int64_t moved = top.bid + top.ask - m.quoted
    return m.quoted != NO_PRICE and proper(top) and (moved if moved >= 0 else -moved) <= m.mid_move_half_ticks


cdef int maker_on(strategy_t* strategy, context_t* c, int hook, const event_t* e, const book_change_t* change) noexcept nogil:
    cdef maker_t* m = <maker_t*> strategy
    if hook == ON_INSTANT:
        maker_requote(m, c)
        return STRATEGY_OK
    if hook == ON_BOOK and m.volatility != NULL:
        maker_observe(m, c, e.exch_ns)
    if hook == ON_BOOK and m.mid_move_half_ticks >= 0 and maker_near(m, &c.tops[m.base.symbol_id]):
        return STRATEGY_OK
    m.base.hooks |= 1 << ON_INSTANT
    return STRATEGY_OK


@cython.final
cdef class MarketMaker(Strategy):
    """MarketMaker(symbol_id, quoter, volatility=None, *, order_lots=100, time_left=1.0, ticks_per_price=10000.0, \
mid_move_ticks=None)\n--\n\n
    MarketMaker(symbol_id, quoter, volatility=None, *, order_lots=100, time_left=1.0, ticks_per_price=10000.0, mid_move_ticks=None)\n--\n
    Quote both sides of one instrument with one order each.

    Parameters
    ----------
    symbol_id : int
        Dense id of the instrument.
    quoter : Quoter
        Model of the quotes.
    volatility : EwmaVolatility, optional
        Estimates the volatility of the middle price and hands it to the quoter, per square root of its interval's second.
        None keeps the quoter's sigma.
    order_lots : int, default 100
        Size of every order, 1..2**40 lots.
    time_left : float, default 1.0
        Horizon that the quoter is asked with, in its time unit: a rolling one.
    ticks_per_price : float, default 10000.0
        Ticks in one unit of the quoter's currency.
    mid_move_ticks : float, optional
        Quotes stay until the middle price has moved by more ticks than this since they were made, in 0..2**40 and rounded down to
        halves; fills, and what happens to the market as a whole, always count. None: every change of the best prices or sizes does.

    Attributes
    ----------
    quoter, volatility
    quotes : int
        Times that the model was asked.

    Notes
    -----
    **Thread safety**: belongs to one run, and so do quoter and volatility while it runs.
    """

    def __cinit__(
        self, symbol_id, Quoter quoter not None, EwmaVolatility volatility=None, *, order_lots=100, double time_left=1.0,
        double ticks_per_price=10000.0, mid_move_ticks=None,
    ):
        cdef int64_t number = as_int64(symbol_id)
        if not 0 <= number < NO_SYMBOL:
            raise ValueError(f"symbol_id must be in 0..{NO_SYMBOL - 1}: symbol_id={symbol_id}")
        if not (isfinite(ticks_per_price) and ticks_per_price > 0.0):
            raise ValueError(f"ticks_per_price must be finite and positive: ticks_per_price={ticks_per_price}")
        self._take(quoter, order_lots, time_left, mid_move_ticks)
        self.volatility = volatility
        self._m.base.on = maker_on
        self._m.base.hooks = 1 << ON_REPORT | 1 << ON_EVENT | 1 << ON_BOOK
        self._m.base.kinds = 1 << KIND_STATUS | 1 << KIND_SYSTEM | 1 << KIND_GAP | 1 << KIND_CLEAR
        self._m.base.reports = 1 << KIND_FILL
        self._m.base.symbol_id = <uint32_t> number
        self._m.volatility = NULL if volatility is None else &volatility._v
        self._m.ticks_per_price = ticks_per_price
        self._strategy = &self._m.base

    # What may change while a run goes on; all of it or nothing.
    cdef int _take(self, Quoter quoter, object order_lots, double time_left, object mid_move_ticks) except -1:
        cdef double distance = -0.5 if mid_move_ticks is None else mid_move_ticks
        cdef int64_t lots = as_int64(order_lots)
        if not 1 <= lots <= <int64_t> 1 << 40:
            raise ValueError(f"order_lots must be in 1..{1 << 40}: order_lots={order_lots}")
        if not (isfinite(time_left) and time_left >= 0.0):
            raise ValueError(f"time_left must be finite and not negative: time_left={time_left}")
        if not (mid_move_ticks is None or 0.0 <= distance <= <double> (<int64_t> 1 << 40)):
            raise ValueError(f"mid_move_ticks must be in 0..{1 << 40}: mid_move_ticks={mid_move_ticks}")
        self.quoter = quoter
        self._m.quoter = &quoter._q
        self._m.order_lots = lots
        self._m.time_left = time_left
        self._m.mid_move_half_ticks = <int64_t> (2.0 * distance)
        self._m.quoted = NO_PRICE
        return 0

    def change(self, Quoter quoter not None, *, order_lots, double time_left, mid_move_ticks=None):
        """Quote by another model, or with other sizes, from the next change of the market on: between two instants of a run.

        An estimate of the volatility goes on: the new model gets what the old one had from it.

        Parameters
        ----------
        quoter : Quoter
        order_lots, time_left, mid_move_ticks
            As when it was made.
        """
        if self._m.volatility != NULL and self._m.volatility.count:
            quoter.volatility = self.quoter.volatility
        self._take(quoter, order_lots, time_left, mid_move_ticks)

    @property
    def symbol_id(self):
        """Dense id of the instrument."""
        return self._m.base.symbol_id

    @property
    def quotes(self):
        """Times that the model was asked."""
        return self._m.quotes

    def __repr__(self):
        return f"MarketMaker(symbol_id={self._m.base.symbol_id}, {self.quoter!r}, order_lots={self._m.order_lots})"
