# cython: freethreading_compatible=True
"""Strategies in Python: hooks of a plain class, called from the loop; prices and sizes in units of the instrument."""

cimport cython
from cpython.pythread cimport PyThread_get_thread_ident
from libc.math cimport floor
from libc.stdint cimport int8_t, int64_t, uint32_t, uint64_t

from fastcore._integers cimport as_int64, int64_in
from fastcore.book cimport book_best_ask, book_best_bid, book_change_t, book_level_size, book_next_price, book_t, top_t
from fastcore.instruments cimport Instruments, instrument_price
from fastcore.market cimport market_book, market_trades
from fastcore.portfolio cimport position_average_price
from fastcore.records cimport (
    BUY, FLAG_NOT_PRINTABLE, KIND_ACK, KIND_ADD, KIND_CANCEL, KIND_CLEAR, KIND_DELETE, KIND_EXECUTE, KIND_FILL, KIND_GAP, KIND_LEVEL, KIND_PULLED,
    KIND_REJECT, KIND_REPLACE, KIND_STATUS, KIND_SYSTEM, KIND_TRADE, MATCH_TOOK, NO_PRICE, NO_SYMBOL, SELL, event_t, unlikely,
)
from fastcore.strategies.batches cimport Batch, batch_due, batch_put
from fastcore.strategy cimport (
    ON_BOOK, ON_EVENT, ON_INSTANT, ON_REPORT, ON_START, ON_STOP, ON_TIMER, STRATEGY_ERROR, STRATEGY_OK, Strategy, context_t,
    strategy_on_t, strategy_t, want_quotes, want_timer,
)

from fastcore.errors import Result

__all__ = ["Fill", "Handle", "Order", "PythonStrategy", "Trade"]

cdef enum:
    DEPTH = 10      # levels of `bids` and `asks`
    # Kinds of events that change whether a market can be quoted, and those that change its book, one bit each.
    NEWS_KINDS = 1 << KIND_STATUS | 1 << KIND_SYSTEM | 1 << KIND_GAP | 1 << KIND_CLEAR
    DEEP_KINDS = 1 << KIND_ADD | 1 << KIND_EXECUTE | 1 << KIND_CANCEL | 1 << KIND_DELETE | 1 << KIND_REPLACE | 1 << KIND_LEVEL | 1 << KIND_CLEAR


@cython.final
cdef class Trade:
    """Trade()\n--\n\n
    Trade()\n--\n
    An execution of the market: `price`, `size`, and `side`, +1 where the buyer came last, -1 the seller, 0 unknown."""

    cdef readonly double price, size
    cdef readonly int side

    def __repr__(self):
        return f"Trade(side={self.side:+d}, price={self.price:g}, size={self.size:g})"


@cython.final
cdef class Fill:
    """Fill()\n--\n\n
    Fill()\n--\n
    A fill of an own order: `side` (+1 bought, -1 sold), `price`, `size`, `maker`, and the id of the `order`."""

    cdef readonly double price, size
    cdef readonly int side
    cdef readonly bint maker
    cdef readonly int64_t order

    def __repr__(self):
        return f"Fill(side={self.side:+d}, price={self.price:g}, size={self.size:g}, maker={self.maker}, order={self.order})"


@cython.final
cdef class Order:
    """Order()\n--\n\n
    Order()\n--\n
    What came of an own order: `id` (0 where a limit of ours refused it), `side`, `price`, `size`, `state`, `refused` and `why`."""

    cdef readonly int64_t id
    cdef readonly int side
    cdef readonly object price
    cdef readonly double size
    cdef readonly str state
    cdef readonly bint refused
    cdef readonly str why

    def __repr__(self):
        return f"Order(id={self.id}, side={self.side:+d}, price={self.price}, size={self.size:g}, {self.state}{', ' + self.why if self.why else ''})"


@cython.final
cdef class Handle:
    """Handle()\n--\n\n
    Handle()\n--\n
    The present of one market. Prices and sizes are in units of the instrument; None where there is no price.

    Attributes
    ----------
    symbol : str
    symbol_id : int

    Notes
    -----
    **Thread safety**: inside hooks of its strategy alone.
    """

    def __init__(self):
        raise TypeError("handles are made by a run")

    cdef const top_t* _top(self) except NULL:
        if self._owner is None or self._owner._c == NULL:   # a copy has no owner
            raise RuntimeError(f"a market is there inside hooks alone: symbol={self.symbol}")
        return &self._owner._c.tops[self.symbol_id]

    cdef object _price(self, int64_t ticks):
        return None if ticks == NO_PRICE else instrument_price(self._row, ticks)

    @property
    def bid(self):
        """Best bid."""
        return self._price(self._top().bid)

    @property
    def ask(self):
        """Best ask."""
        return self._price(self._top().ask)

    @property
    def bid_size(self):
        """Size at the best bid."""
        return <double> self._top().bid_size * self._row.lot_size

    @property
    def ask_size(self):
        """Size at the best ask."""
        return <double> self._top().ask_size * self._row.lot_size

    @property
    def bid_ticks(self):
        """Best bid in ticks; None without one."""
        cdef int64_t ticks = self._top().bid
        return None if ticks == NO_PRICE else ticks

    @property
    def ask_ticks(self):
        """Best ask in ticks; None without one."""
        cdef int64_t ticks = self._top().ask
        return None if ticks == NO_PRICE else ticks

    @property
    def two_sided(self):
        """Whether the market trades with both best prices there, neither crossed nor locked, and its book is not stale."""
        cdef const top_t* top = self._top()
        cdef const book_t* book
        if top.bid == NO_PRICE or top.ask == NO_PRICE or top.bid >= top.ask:
            return False
        book = market_book(self._owner._c.market, self.symbol_id)
        return market_trades(self._owner._c.market, self.symbol_id) and not book.stale

    @property
    def mid(self):
        """Middle of the best prices; None without both."""
        cdef const top_t* top = self._top()
        if top.bid == NO_PRICE or top.ask == NO_PRICE:
            return None
        return 0.5 * instrument_price(self._row, top.bid + top.ask)

    @property
    def microprice(self):
        """Best prices weighted by the size on the other side; None without both."""
        cdef const top_t* top = self._top()
        cdef double b = <double> top.bid_size, a = <double> top.ask_size
        if top.bid == NO_PRICE or top.ask == NO_PRICE or not a + b > 0.0:
            return None
        return (instrument_price(self._row, top.bid) * a + instrument_price(self._row, top.ask) * b) / (a + b)

    @property
    def spread(self):
        """Best ask minus best bid; None without both."""
        cdef const top_t* top = self._top()
        if top.bid == NO_PRICE or top.ask == NO_PRICE:
            return None
        return instrument_price(self._row, top.ask - top.bid) if top.ask > top.bid else -instrument_price(self._row, top.bid - top.ask)

    @property
    def age(self):
        """Seconds since a best price or size last changed; infinite before the first."""
        self._top()
        return 1e-9 * <double> (self._owner.now - self._changed_ns) if self._changed_ns else float("inf")

    @property
    def position(self):
        """What is held, negative where short."""
        self._top()
        return <double> self._owner._c.positions[self.symbol_id].position_lots * self._row.lot_size

    @property
    def average(self):
        """Average price of what is held; None when flat."""
        self._top()
        if self._owner._c.positions[self.symbol_id].position_lots == 0:
            return None
        return position_average_price(&self._owner._c.positions[self.symbol_id]) * self._row.tick_size

    @property
    def tick(self):
        """The venue's increment at the present price."""
        cdef const top_t* top = self._top()
        cdef bint low = top.bid != NO_PRICE and top.bid < self._row.low_below_ticks
        return instrument_price(self._row, self._row.low_increment_ticks if low else self._row.increment_ticks)

    @property
    def lot(self):
        """The smallest size."""
        self._top()
        return self._row.lot_size

    cdef tuple _levels(self, int8_t side):
        self._top()
        cdef const book_t* book = market_book(self._owner._c.market, self.symbol_id)
        cdef int64_t price
        rows = []
        if book != NULL:
            price = book_best_bid(book) if side == BUY else book_best_ask(book)
            while price != NO_PRICE and len(rows) < DEPTH:
                rows.append((instrument_price(self._row, price), <double> book_level_size(book, side, price) * self._row.lot_size))
                price = book_next_price(book, side, price)
        return tuple(rows)

    @property
    def bids(self):
        """Up to ten levels (price, size), best first."""
        return self._levels(BUY)

    @property
    def asks(self):
        """Up to ten levels (price, size), best first."""
        return self._levels(SELL)

    def imbalance(self, levels=1):
        """Return (bid size - ask size) / (bid size + ask size) over so many levels, 1..10; None without any size."""
        levels = int64_in(levels, "levels", 1, DEPTH)
        bids, asks = (sum(size for _, size in self._levels(side)[:levels]) for side in (BUY, SELL))
        return (bids - asks) / (bids + asks) if bids + asks else None

    # Ticks of a wanted price on the grid of the venue: bids down, asks up; 0 where that is below the first increment.
    cdef int64_t _grid(self, double price, int side):
        cdef double x = price * self._row.tick_den / self._row.tick_num
        cdef double step = self._row.low_increment_ticks if x < <double> self._row.low_below_ticks else self._row.increment_ticks
        if not -1e15 < x < 1e15:
            return NO_PRICE
        # A millionth of a tick is noise of binary fractions.
        return <int64_t> (floor((x + 1e-6) / step) * step if side == 0 else -floor((-x + 1e-6) / step) * step)

    cdef int64_t _side(self, object price, object size, int side) except? -1:
        cdef const top_t* top = self._top()
        cdef int64_t ticks, lots
        cdef double p, s
        if price is None:
            return NO_PRICE
        p, s = price, size
        if p != p or s != s:
            raise ValueError(f"price and size must be numbers: {'ask' if side else 'bid'}={price} size={size}")
        lots = 0 if s <= 0.0 else <int64_t> min(s / self._row.lot_size + 1e-9, 1e15)
        if lots < 1:
            self._owner._count(f"under the lot of {self._row.lot_size:g}" if s > 0.0 else "no size")
            return NO_PRICE
        ticks = self._grid(p, side)
        # Held back behind the other side: quotes wait, they do not take.
        if ticks == NO_PRICE:
            pass
        elif side == 0 and top.ask != NO_PRICE and ticks >= top.ask:
            ticks = self._grid(instrument_price(self._row, top.ask - 1), 0)
        elif side == 1 and top.bid != NO_PRICE and ticks <= top.bid:
            ticks = self._grid(instrument_price(self._row, top.bid + 1), 1)
        if ticks == NO_PRICE or (ticks <= 0 and not self._row.signed_prices):
            self._owner._count("no price on the grid")
            return NO_PRICE
        self._lots[side] = lots
        return ticks

    def quote(self, bid=None, ask=None, size=None, *, bid_size=None, ask_size=None):
        """Say which quotes are wanted from now on; compiled code keeps, sends, replaces or cancels what that needs.

        Parameters
        ----------
        bid, ask : float, optional
            Prices; None for no quote on that side. Bids are rounded down and asks up to the increment of the venue, and both are held
            back behind the other side of the market.
        size : float
            Of both; rounded down to whole lots.
        bid_size, ask_size : float, optional
            Of one side.
        """
        cdef int64_t buy = self._side(bid, size if bid_size is None else bid_size, 0)
        cdef int64_t sell = self._side(ask, size if ask_size is None else ask_size, 1)
        self._want(buy, sell)

    def pull(self, str why=""):
        """Want no quotes; `why` is counted in the result."""
        self._top()
        if why:
            self._owner._count(why)
        self._want(NO_PRICE, NO_PRICE)

    # Something of it waits for the end of the instant.
    cdef int _touch(self) except -1:
        if unlikely(<int64_t> PyThread_get_thread_ident() != self._owner._thread):
            raise RuntimeError(f"a strategy may want something inside hooks alone, and not on a thread of its own: symbol={self.symbol}")
        if not self._listed:
            self._listed = True
            self._owner._touched.append(self)
        return 0

    cdef int _want(self, int64_t buy, int64_t sell) except -1:
        self._ticks[0] = buy
        self._ticks[1] = sell
        self._wanted = True
        return self._touch()

    def __repr__(self):
        if self._owner is None or self._owner._c == NULL:
            return f"Handle({self.symbol})"
        return f"Handle({self.symbol}, bid={self.bid}, ask={self.ask}, position={self.position:g})"


cdef int python_on(strategy_t* strategy, context_t* c, int hook, const event_t* e, const book_change_t* change) noexcept:
    cdef PythonStrategy s = <PythonStrategy> (<python_t*> strategy).owner
    s._c = c
    s._thread = <int64_t> PyThread_get_thread_ident()
    s.now = c.now_ns
    try:
        if hook == ON_BOOK and s._begun:    # the shortest way for what comes most
            handle = s._handle(e.symbol_id)
            if handle is not None:
                (<Handle> handle)._changed_ns = c.now_ns
                (<Handle> handle)._news = False
                if s._book is not None:
                    s._book(handle)
        else:
            s._take(hook, e, change)
    except BaseException as error:
        s._error = error
        return STRATEGY_ERROR
    finally:
        s._c = NULL
    return STRATEGY_OK


@cython.final
cdef class PythonStrategy(Strategy):
    """PythonStrategy(hooks, markets, every=())\n--\n\n
    PythonStrategy(hooks, markets, every=())\n--\n
    A strategy in Python, as a run takes it; ``hft.Strategy`` is what people write.

    Parameters
    ----------
    hooks : mapping of str to callable
        ``on_start()``, ``on_book(market)``, ``on_depth(market)``, ``on_trade(market, trade)``, ``on_fill(market, fill)``,
        ``on_order(market, order)``, ``on_stop()``; those that are not there are never called.
    markets : mapping of int to Instrument
        Dense ids, and what their integers mean.
    every : iterable of (callable, int)
        What is called at each multiple of so many ns of our clock, at least 1,000.

    Attributes
    ----------
    markets : tuple of Handle
    now : int
        Our clock, ns.
    reasons : dict of str to int
        Why wanted quotes were not sent, with counts.

    Notes
    -----
    **Thread safety**: belongs to one run.
    """

    def __cinit__(self, hooks, markets, every=()):
        cdef Handle handle
        cdef python_t* p = &self._p
        unknown = set(hooks) - {"on_start", "on_book", "on_depth", "on_trade", "on_fill", "on_order", "on_stop"}
        if unknown:
            raise ValueError(f"hooks must be those of a strategy: {', '.join(sorted(unknown))}")
        self._instruments = Instruments(markets.values())
        self.reasons = {}
        self._touched, self._timers, self._free, self._every, self._by_id = [], [], [], [], []
        names = ("on_start", "on_stop", "on_book", "on_depth", "on_trade", "on_fill", "on_order")
        self._start, self._stop, self._book, self._depth, self._trade, self._fill, self._order = (hooks.get(name) for name in names)
        handles = []
        for symbol_id, instrument in markets.items():
            if not 0 <= as_int64(symbol_id) < <int64_t> 1 << 24:
                raise ValueError(f"symbol_id must be in 0..{(1 << 24) - 1}: symbol_id={symbol_id}")
            handle = Handle.__new__(Handle)
            handle._owner = self
            handle.symbol_id = symbol_id
            handle._row = &self._instruments._t.rows[len(handles)]
            handle.symbol = instrument.symbol
            handles.append(handle)
            self._by_id.extend([None] * (handle.symbol_id + 1 - len(self._by_id)))
            self._by_id[handle.symbol_id] = handle
        if not handles:
            raise ValueError("markets must not be empty")
        self.markets = tuple(handles)
        self.symbol_ids = tuple(handle.symbol_id for handle in handles)
        for method, period in every:
            if as_int64(period) < 1_000:
                raise ValueError(f"a period must be at least 1,000 ns: period={period}")
            self._every.append((method, as_int64(period)))
        p.owner = <void*> self
        p.base.on = <strategy_on_t> <void*> python_on
        p.base.symbol_id = NO_SYMBOL if len(handles) > 1 else handle.symbol_id
        p.base.hooks = 1 << ON_BOOK | 1 << ON_INSTANT | 1 << ON_TIMER | 1 << ON_START | 1 << ON_STOP
        if self._book is not None:
            p.base.kinds |= NEWS_KINDS
        if self._trade is not None:
            p.base.kinds |= 1 << KIND_TRADE | 1 << KIND_EXECUTE
        if self._depth is not None:
            p.base.kinds |= DEEP_KINDS
        if p.base.kinds:
            p.base.hooks |= 1 << ON_EVENT
        if self._fill is not None or self._order is not None:
            p.base.hooks |= 1 << ON_REPORT
        if self._fill is not None:
            p.base.reports |= 1 << KIND_FILL
        if self._order is not None:
            p.base.reports |= 1 << KIND_FILL | 1 << KIND_ACK | 1 << KIND_REJECT | 1 << KIND_PULLED
        self.python = True
        self._strategy = &p.base

    def collect(self, batches):
        """Fill batches (``strategies.batches.Batch``) with the events of the markets, before the run begins."""
        if self._begun:
            raise RuntimeError("batches are given before a run begins")
        self._batches = list(batches) or None
        if self._batches is not None:
            self._p.base.kinds = ~(<uint64_t> 0)
            self._p.base.hooks |= 1 << ON_EVENT

    # A reason for which quotes were not sent.
    cdef int _count(self, str why) except -1:
        self.reasons[why] = self.reasons.get(why, 0) + 1
        return 0

    cdef Handle _handle(self, uint32_t symbol_id):
        return self._by_id[symbol_id] if symbol_id < len(self._by_id) else None

    # At the first moment that has a time: the clocks of `every`.
    cdef int _begin(self) except -1:
        self._begun = True
        for method, period in self._every:
            self._timers.append((method, period))
            want_timer(self._c, self.now - self.now % period + period, len(self._timers) - 1)
        return 0

    def after(self, delay_ns, method):
        """Call a method once, so many ns from now, 0..2**60."""
        cdef int64_t delay = as_int64(delay_ns)
        if not 0 <= delay <= <int64_t> 1 << 60:
            raise ValueError(f"delay_ns must be in 0..{1 << 60}: delay_ns={delay_ns}")
        if self._c == NULL or not self._begun:
            raise RuntimeError("after() needs a time: call it inside of hooks behind on_start")
        if self._c.room - self._c.n < 2:
            raise RuntimeError(f"an instant holds at most {self._c.room} timers and quotes: commands={self._c.n}")
        number = self._free.pop() if self._free else len(self._timers)
        self._timers[number:number + 1] = [(method, 0)]
        want_timer(self._c, self.now + delay, number)

    cdef int _take(self, int hook, const void* event, const void* changed) except -1:
        cdef const event_t* e = <const event_t*> event
        cdef const book_change_t* c = <const book_change_t*> changed
        cdef Handle handle
        if hook == ON_START:
            if self._start is not None:
                self._start()
            return 0
        if hook == ON_STOP:
            if self._batches is not None:
                for batch in self._batches:
                    (<Batch> batch)._deliver()
            if self._stop is not None:
                self._stop()
            return 0
        if not self._begun:
            self._begin()
        if hook == ON_BOOK:
            handle = self._handle(e.symbol_id)
            if handle is not None:
                handle._changed_ns = self.now
                handle._news = False
                if self._book is not None:
                    self._book(handle)
        elif hook == ON_EVENT:
            self._happened(e, c)
        elif hook == ON_REPORT:
            self._report(e)
        elif hook == ON_TIMER:
            method, period = self._timers[e.order_id]
            if period:
                want_timer(self._c, e.exch_ns + period, e.order_id)
            else:
                self._timers[e.order_id] = None
                self._free.append(e.order_id)
            method()
        elif hook == ON_INSTANT:
            self._flush()
        return 0

    cdef int _happened(self, const void* event, const void* changed) except -1:
        cdef const event_t* e = <const event_t*> event
        cdef const book_change_t* c = <const book_change_t*> changed
        cdef Handle handle
        cdef Trade trade
        if NEWS_KINDS >> (e.kind & 63) & 1:
            for handle in self.markets:
                if e.symbol_id == handle.symbol_id or e.symbol_id == NO_SYMBOL or e.kind == KIND_SYSTEM:
                    handle._news = True
                    handle._touch()
        handle = self._handle(e.symbol_id)
        if handle is None:
            return 0
        if self._batches is not None:
            for batch in self._batches:
                batch_put(<Batch> batch, e)
        if self._depth is not None and DEEP_KINDS >> (e.kind & 63) & 1:
            handle._deep = True
            handle._touch()
        if self._trade is not None and (e.kind == KIND_TRADE or e.kind == KIND_EXECUTE) and not e.flags & FLAG_NOT_PRINTABLE:
            trade = Trade.__new__(Trade)
            trade.price = instrument_price(handle._row, c.price if e.price == NO_PRICE else e.price)
            trade.size = <double> e.size * handle._row.lot_size
            trade.side = -(c.side if c.side else e.side)
            self._trade(handle, trade)
        return 0

    cdef int _report(self, const void* event) except -1:
        cdef const event_t* e = <const event_t*> event
        cdef Handle handle = self._handle(e.symbol_id)
        cdef Fill fill
        cdef Order order
        if handle is None:
            return 0
        if e.kind == KIND_FILL and self._fill is not None:
            fill = Fill.__new__(Fill)
            fill.side, fill.order, fill.maker = e.side, e.order_id, e.match_id != MATCH_TOOK
            fill.price = instrument_price(handle._row, e.price)
            fill.size = <double> e.size * handle._row.lot_size
            self._fill(handle, fill)
        if self._order is not None:
            order = Order.__new__(Order)
            order.id, order.side = e.order_id, e.side
            order.price = None if e.price == NO_PRICE else instrument_price(handle._row, e.price)
            order.size = <double> e.size * handle._row.lot_size
            order.state = {KIND_ACK: "working", KIND_FILL: "filled", KIND_REJECT: "refused", KIND_PULLED: "cancelled"}[e.kind]
            order.refused = e.kind == KIND_REJECT
            order.why = Result(e.match_id).name.lower().replace("_", " ") if order.refused else ""
            self._order(handle, order)
        return 0

    # The instant is over: what waits for that.
    cdef int _flush(self) except -1:
        cdef Handle handle
        cdef int i = 0
        while i < len(self._touched):   # hooks may want quotes of others
            handle = self._touched[i]
            if handle._news:
                handle._news = False
                if self._book is not None:
                    self._book(handle)
            if handle._deep:
                handle._deep = False
                self._depth(handle)
            i += 1
        if self._batches is not None:
            for batch in self._batches:
                if batch_due(<Batch> batch):
                    (<Batch> batch)._deliver()
        for handle in self._touched:
            handle._listed = False
            if handle._wanted:
                if self._c.n == self._c.room:
                    raise RuntimeError(f"an instant holds at most {self._c.room} timers and quotes: commands={self._c.n}")
                want_quotes(self._c, handle.symbol_id, handle._ticks[0], handle._ticks[1], handle._lots[0], handle._lots[1])
                handle._wanted = False
        self._touched.clear()
        return 0

    cdef int fail(self) except -1:
        error, self._error = self._error, None
        raise error

    def __repr__(self):
        return f"PythonStrategy({', '.join(handle.symbol for handle in self.markets)})"
