# cython: freethreading_compatible=True
"""Strategies whose hooks are C functions: the compiled side of ``hft.compiled``, called without the GIL.

Hooks are called for the same, in the same order and with the same numbers as those of ``strategies.hooks``; ``on_start`` and ``on_stop`` are
called in Python.
"""

import sys

cimport cython
from libc.math cimport NAN, fabs, isfinite, pow
from libc.stdint cimport int8_t, int64_t, uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from fastcore._integers cimport as_int64
from fastcore.book cimport book_best_ask, book_best_bid, book_change_t, book_level_size, book_next_price, book_t, top_t
from fastcore.instruments cimport instrument_price, instrument_t
from fastcore.journal cimport Spool, spool_claim, spool_room
from fastcore.market cimport market_book
from fastcore.portfolio cimport position_average_price, position_t
from fastcore.records cimport (
    BUY, FLAG_NOT_PRINTABLE, KIND_ACK, KIND_ADD, KIND_CANCEL, KIND_CLEAR, KIND_DELETE, KIND_EXECUTE, KIND_FILL, KIND_GAP, KIND_LEVEL, KIND_PULLED,
    KIND_REJECT, KIND_REPLACE, KIND_STATUS, KIND_SYSTEM, KIND_TRADE, MATCH_TOOK, NO_PRICE, NO_SYMBOL, SELL, event_t, likely, unlikely,
)
from fastcore.strategies.hooks cimport Handle, PythonStrategy
from fastcore.strategies.quotes cimport QUOTE_NO_GRID, QUOTE_NO_SIZE, QUOTE_WANTED, quote_side, two_sided
from fastcore.strategy cimport (
    ON_BOOK, ON_EVENT, ON_INSTANT, ON_REPORT, ON_START, ON_STOP, ON_TIMER, STRATEGY_ERROR, STRATEGY_OK, STRATEGY_ROOM, Strategy, context_t,
    strategy_t, want_quotes, want_timer,
)
from fastcore.zscore cimport PairZScore, RollingZScore, rolling_update

__all__ = ["FUNCTIONS", "LAYOUTS", "PROBLEMS", "CompiledStrategy"]

cdef enum:
    DEPTH = 10      # levels of `bids` and `asks`
    BOOK = 0
    ON_DEPTH = 1
    TRADE = 2
    FILL = 3
    ORDER = 4
    NO_SIZE = 0     # numbers of reasons
    NO_GRID = 1
    UNDER = 2
    NEWS_KINDS = 1 << KIND_STATUS | 1 << KIND_SYSTEM | 1 << KIND_GAP | 1 << KIND_CLEAR
    DEEP_KINDS = 1 << KIND_ADD | 1 << KIND_EXECUTE | 1 << KIND_CANCEL | 1 << KIND_DELETE | 1 << KIND_REPLACE | 1 << KIND_LEVEL | 1 << KIND_CLEAR

NAMES = ("on_book", "on_depth", "on_trade", "on_fill", "on_order")
PROBLEMS = {
    "number": PROBLEM_NUMBER, "room": PROBLEM_ROOM, "time": PROBLEM_TIME, "records": PROBLEM_RECORDS, "levels": PROBLEM_LEVELS,
    "stop": PROBLEM_STOP,
}
cdef bint _compensated = sys.version_info >= (3, 12)    # how sum() of Python adds floats up


# ---- what hooks may call ----

cdef void count_reason(compiled_t* p, int64_t reason) noexcept nogil:
    if p.reasons[reason].count == 0:
        p.reason_count += 1
        p.reasons[reason].first = p.reason_count
    p.reasons[reason].count += 1


cdef void touch(handle_t* m) noexcept nogil:
    # Something of it waits for the end of the instant.
    if not m.listed:
        m.listed = True
        m.owner.touched[m.owner.touched_count] = m
        m.owner.touched_count += 1


cdef void want(handle_t* m, int64_t buy, int64_t sell) noexcept nogil:
    m.ticks[0] = buy
    m.ticks[1] = sell
    m.wanted = True
    touch(m)


cdef int64_t is_two_sided(const handle_t* m) noexcept nogil:
    return two_sided(m.owner.c.market, m.top, <uint32_t> m.symbol_id)


cdef int want_side(handle_t* m, double price, double size, int side, int64_t* ticks) noexcept nogil:
    cdef int s = side < 0, result
    if unlikely(price != price or size != size):
        m.owner.problem = PROBLEM_NUMBER
        m.owner.text = s
        m.owner.values[0] = price
        m.owner.values[1] = size
        return 1
    result = quote_side(m.row, m.top, price, size, side, ticks, &m.lots[s])
    if unlikely(result != QUOTE_WANTED):
        count_reason(m.owner, NO_SIZE if result == QUOTE_NO_SIZE else NO_GRID if result == QUOTE_NO_GRID else UNDER + m.index)
    return 0


cdef int64_t quote(
    handle_t* m, int64_t has_bid, double bid, int64_t has_ask, double ask, double bid_size, double ask_size
) noexcept nogil:
    cdef int64_t buy = NO_PRICE, sell = NO_PRICE
    if has_bid and want_side(m, bid, bid_size, BUY, &buy) or has_ask and want_side(m, ask, ask_size, SELL, &sell):
        return 1
    want(m, buy, sell)
    return 0


cdef void pull(handle_t* m, int64_t text) noexcept nogil:
    if text >= 0:
        count_reason(m.owner, UNDER + m.owner.count + text)
    want(m, NO_PRICE, NO_PRICE)


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
    "fc_tick": <uintptr_t> &tick,
    "fc_levels": <uintptr_t> &levels,
    "fc_level_price": <uintptr_t> &level_price,
    "fc_level_size": <uintptr_t> &level_size,
    "fc_imbalance": <uintptr_t> &imbalance,
    "fc_record": <uintptr_t> &record,
    "fc_after": <uintptr_t> &after,
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
    },
    "order": {
        "id": ("i8", at(&_order, &_order.id)),
        "side": ("i8", at(&_order, &_order.side)),
        "priced": ("b1", at(&_order, &_order.priced)),
        "limit": ("f8", at(&_order, &_order.price)),
        "size": ("f8", at(&_order, &_order.size)),
        "refused": ("b1", at(&_order, &_order.refused)),
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


cdef int reported(compiled_t* p, const event_t* e) noexcept nogil:
    cdef handle_t* m = find(p, e.symbol_id)
    cdef fill_t fill
    cdef order_t order
    if m == NULL:
        return 0
    if e.kind == KIND_FILL and p.on[FILL] != NULL:
        fill.side = e.side
        fill.order = e.order_id
        fill.maker = e.match_id != MATCH_TOOK
        fill.price = instrument_price(m.row, e.price)
        fill.size = <double> e.size * m.lot_size
        if call(p, FILL, m, &fill):
            return 1
    if p.on[ORDER] == NULL:
        return 0
    order.id = e.order_id
    order.side = e.side
    order.priced = e.price != NO_PRICE
    order.price = instrument_price(m.row, e.price) if order.priced else NAN
    order.size = <double> e.size * m.lot_size
    order.refused = e.kind == KIND_REJECT
    return call(p, ORDER, m, &order)


cdef int timer(compiled_t* p, const event_t* e) noexcept nogil:
    cdef slot_t* slot = &p.slots[e.order_id]
    if slot.period_ns:
        want_timer(p.c, e.exch_ns + slot.period_ns, e.order_id)
    else:
        p.free_slots[p.free_count] = e.order_id
        p.free_count += 1
    return slot.on(p, NULL, NULL)


cdef int flush(compiled_t* p) noexcept nogil:
    # The instant is over: what waits for that.
    cdef handle_t* m
    cdef int64_t i = 0
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
            if unlikely(p.c.n == p.c.room):
                p.problem = PROBLEM_ROOM
                return 1
            want_quotes(p.c, <uint32_t> m.symbol_id, m.ticks[0], m.ticks[1], m.lots[0], m.lots[1])
            m.wanted = False
    p.touched_count = 0
    return 0


cdef int compiled_on(strategy_t* strategy, context_t* c, int hook, const event_t* e, const book_change_t* change) noexcept nogil:
    cdef compiled_t* p = <compiled_t*> strategy
    cdef handle_t* m
    cdef int64_t i
    cdef int failed = 0
    if hook == ON_START or hook == ON_STOP:
        return compiled_python(p, c, hook)
    if p.records != NULL and unlikely(spool_room(p.records) < RECORDS_ROOM):
        return STRATEGY_ROOM
    p.c = c
    p.now_ns = c.now_ns
    if unlikely(not p.begun):   # the first moment that has a time
        p.begun = True
        for i in range(p.every_count):
            want_timer(c, p.now_ns - p.now_ns % p.slots[i].period_ns + p.slots[i].period_ns, i)
    if hook == ON_BOOK:
        m = find(p, e.symbol_id)
        if likely(m != NULL):
            m.changed_ns = p.now_ns
            m.news = False
            failed = call(p, BOOK, m, NULL)
    elif hook == ON_EVENT:
        failed = happened(p, e, change)
    elif hook == ON_REPORT:
        failed = reported(p, e)
    elif hook == ON_TIMER:
        failed = timer(p, e)
    elif hook == ON_INSTANT:
        failed = flush(p)
    return STRATEGY_ERROR if unlikely(failed) else STRATEGY_OK


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
    """CompiledStrategy(python, hooks, prepare, explain, *, every=(), room=0, texts=(), columns=None)\n--\n\n
    CompiledStrategy(python, hooks, prepare, explain, *, every=(), room=0, texts=(), columns=None)\n--\n
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

    Notes
    -----
    **Thread safety**: belongs to one run.
    """

    def __cinit__(self, PythonStrategy python not None, hooks, prepare, explain, *, every=(), room=0, texts=(), columns=None):
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
        p.reasons = <reason_t*> calloc(UNDER + p.count + len(self._texts), sizeof(reason_t))
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
            m.index = i
            m.owner = p
            m.ticks[0] = m.ticks[1] = NO_PRICE
            p.places[handle.symbol_id] = i
        for i, period in enumerate(periods):
            p.slots[i].period_ns = period
        p.every_count = p.slot_count = len(periods)
        if columns is not None:
            self._records = Spool([("time", "i8"), ("site", "i8"), ("symbol_id", "i8"), ("values", "f8", (columns,))], 4 * RECORDS_ROOM)
            p.records = &self._records._s
        p.owner = <void*> self
        p.base.on = compiled_on
        p.base.symbol_id = NO_SYMBOL if p.count > 1 else <uint32_t> p.handles[0].symbol_id
        p.base.hooks = 1 << ON_BOOK | 1 << ON_INSTANT | 1 << ON_TIMER | 1 << ON_START | 1 << ON_STOP
        p.base.kinds = NEWS_KINDS * book | (1 << KIND_TRADE | 1 << KIND_EXECUTE) * trade | DEEP_KINDS * deep
        if p.base.kinds:
            p.base.hooks |= 1 << ON_EVENT
        p.base.reports = (1 << KIND_FILL) * (fill or order) | (1 << KIND_ACK | 1 << KIND_REJECT | 1 << KIND_PULLED) * order
        if p.base.reports:
            p.base.hooks |= 1 << ON_REPORT
        self._strategy = &p.base

    def __dealloc__(self):
        if self._p != NULL:
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
            if self._python._touched:
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
        names = ["no size", "no price on the grid"]
        names += [f"under the lot of {self._p.handles[i].lot_size:g}" for i in range(self._p.count)] + self._texts
        rows = [(self._p.reasons[i].first, names[i], self._p.reasons[i].count) for i in range(len(names)) if self._p.reasons[i].count]
        out = {}
        for _, name, count in sorted(rows):
            out[name] = out.get(name, 0) + count
        return out

    def records(self):
        """What hooks recorded: rows (time, site, symbol_id, values); None where they record nothing."""
        return None if self._records is None else self._records.array()

    cdef bint make_room(self) except -1:
        self._records.drain()
        return True

    cdef int fail(self) except -1:
        cdef compiled_t* p = self._p
        error, self._error = self._error, None
        if error is not None:
            raise error
        self._explain(p.site, <uintptr_t> p.error, p.problem, p.text, (p.values[0], p.values[1]))
        raise RuntimeError(f"a hook failed without a word: site={p.site}")

    def __repr__(self):
        return f"CompiledStrategy({', '.join(handle.symbol for handle in self._python.markets)})"
