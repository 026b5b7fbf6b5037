# cython: freethreading_compatible=True
"""The engine: a day of market data through book, market maker, limits and simulated venue in one compiled loop.

Own orders and their outcomes are the *reports* of the engine: 64-byte events with the flag ``own`` as in
``fastcore.sim.venue``, plus a ``reject`` for each order that the limits refused (``order_id`` 0, ``match_id`` the result
code). The same bytes give the same reports, bit for bit, in whatever chunks they arrive.

What the strategy does, in this order, after each event of its symbol:

1. An order book whose best price or size changed, a fill and a change of the trading state make it think.
2. No quotes while the symbol does not trade (no status message yet counts as halted, as the ITCH specification asks),
   outside market hours where the file announces them, and while a side is empty or the book is crossed or locked.
3. Volatility follows the middle price; the model quotes around it with the present position; quotes are rounded outwards
   to the venue's increment and held back behind the other side, so that they never take.
4. An order is sent only when its rounded price is another than the last one acted upon, or when a fill has used it up or
   has moved the position since. It first passes the limits, with the order that it replaces not counted; when it does
   not pass, the old order is pulled.

Stages of latency, one event in `sample_every`: ``decode`` (wire bytes to event), ``book``, ``venue`` (queue positions, fills,
accounting, and the orders sent), ``store``, ``strategy`` (model and decisions), ``risk`` (the limits), ``total`` (their sum,
without waiting in the ring). Each includes one read of the clock, about 12 ns.
"""

import numpy as np

cimport cython
cimport numpy as cnp
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.math cimport isfinite
from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from fastcore._arrays cimport check_events, events_data
from fastcore.records cimport (
    BUY, FLAG_CONTINUED, FLAG_NOT_PRINTABLE, KIND_BAR, KIND_BREAK, KIND_CLEAR, KIND_EXECUTE, KIND_FILL, KIND_GAP, KIND_IMBALANCE, KIND_LISTING,
    KIND_NOTICE, KIND_QUOTE, KIND_REJECT, KIND_STATUS, KIND_SYSTEM, KIND_TRADE, NO_PRICE, NO_SYMBOL, RESULT_NO_MEMORY, RESULT_OK, SELL, event_t,
    fc_alloc, fc_free, floor_div, key8, likely, tick_t, unlikely,
)
from fastcore.avellaneda cimport (
    Quoter, quote_t, quoter_ceil, quoter_floor, quoter_quote, quoter_round, quoter_set_volatility,
)
from fastcore.book cimport (
    OrderTable, book_best_ask, book_best_ask_size, book_best_bid, book_best_bid_size, book_change_t, orders_prefetch,
)
from fastcore.bookset cimport BookSet, bookset_ahead, bookset_apply, bookset_open
from fastcore.flow cimport EwmaVolatility, ewma_update, ewma_volatility
from fastcore.clock cimport clock_monotonic_ns, clock_ticks, clock_ticks_to_ns
from fastcore.sim.venue cimport (
    VENUE_TOOK, Venue, venue_apply, venue_cancel, venue_grow_reports, venue_index, venue_replace, venue_report, venue_submit,
)
from fastcore.histogram cimport Histogram, histogram_record
from fastcore.wire.itch cimport ITCH_MAX_EVENTS, ItchDecoder, itch_decode_batch
from fastcore.portfolio cimport (
    Position, position_fill_fee, position_realised, position_unrealised,
)
from fastcore.ring cimport (
    RingBuffer, ring_commit_batch, ring_release_batch, ring_try_claim_batch, ring_try_peek_batch, ring_try_push_batch,
)
from fastcore.risk cimport RiskLimits, risk_gate
from fastcore.tickstore cimport TickStore, store_append, store_grow, store_room

from fastcore.errors import RESULTS, CorruptDataError, StoreError, raise_result
from fastcore.records import EVENT_DTYPE, QUOTE_DTYPE, REPLACE_DTYPE

cnp.import_array()

__all__ = ["CURVE_DTYPE", "STAGE_NAMES", "Engine"]

CURVE_DTYPE = np.dtype(
    [("exch_ns", np.int64), ("mid_ticks", np.int64), ("position_lots", np.int64), ("profit", np.int64)]
)
STAGE_NAMES = ("decode", "book", "venue", "store", "strategy", "risk", "total")
cdef tuple _DTYPES = (EVENT_DTYPE, QUOTE_DTYPE, REPLACE_DTYPE)

# Kinds that touch no book.
cdef uint64_t RARE = (
    1 << KIND_SYSTEM | 1 << KIND_LISTING | 1 << KIND_STATUS | 1 << KIND_NOTICE | 1 << KIND_IMBALANCE | 1 << KIND_BREAK | 1 << KIND_BAR
)

# Reports that one event can cause: fills of both own orders, then for each side a refusal, a replacement and a sweep.
cdef int64_t REPORT_ROOM = 1024


# ---- accounting ----

cdef inline int64_t engine_profit(const engine_t* g) noexcept nogil:
    """Ticks * lots after fees, marked at the last middle; NO_PRICE without a mark for an open position."""
    cdef int64_t open_profit = position_unrealised(g.position, g.mid_ticks)
    if open_profit == NO_PRICE:
        return NO_PRICE
    return position_realised(g.position) + open_profit - g.position.fees


cdef void engine_settle(engine_t* g, int64_t mark) noexcept nogil:
    # Account the reports since `mark`.
    cdef event_t* r
    cdef int64_t i
    for i in range(mark, g.venue.report_count):
        r = &g.venue.reports[i]
        if r.kind == KIND_FILL:
            if unlikely(position_fill_fee(
                g.position, r.side, r.price, r.size,
                r.size * (g.taker_fee if r.match_id == VENUE_TOOK else g.maker_fee),
            ) != RESULT_OK):
                g.overflowed = True
            g.fills += 1
            g.dirty = g.working[0].retry = g.working[1].retry = True
    # One own order a side: when none rests, it is gone.
    for i in range(2):
        if g.venue.count[i] == 0:
            g.working[i].order_id = 0


# ---- strategy ----

cdef void engine_work(engine_t* g, int8_t side, int64_t wanted, int64_t reference) noexcept nogil:
    # Bring the order of one side to the wanted price.
    cdef int s = venue_index(side)
    cdef working_t* w = &g.working[s]
    cdef int64_t mark = g.venue.report_count
    cdef int64_t new_id = 0
    cdef uint64_t start = 0, checked = 0
    cdef int result
    if likely(wanted == w.wanted_ticks and not (w.retry and w.order_id == 0)):
        return
    if g.timing:
        start = checked = clock_ticks()
    w.wanted_ticks = wanted
    w.retry = False
    if wanted == NO_PRICE:
        if w.order_id:
            venue_cancel(g.venue, w.order_id)
            w.order_id = 0
    else:
        result = risk_gate(
            g.gate, side, wanted, g.order_lots, g.position.position_lots,
            0 if side == BUY else g.venue.open_lots[0], 0 if side == SELL else g.venue.open_lots[1], reference,
        )
        if g.timing:
            checked = clock_ticks()
            g.risk_ticks += checked - start
        if unlikely(result != RESULT_OK):
            g.risk_rejects += 1
            venue_report(g.venue, KIND_REJECT, side, wanted, g.order_lots, 0, result)
            if w.order_id:
                venue_cancel(g.venue, w.order_id)
                w.order_id = 0
        else:
            g.orders_sent += 1
            if w.order_id:
                venue_replace(g.venue, g.book, w.order_id, wanted, g.order_lots, &new_id)
            else:
                venue_submit(g.venue, g.book, side, wanted, g.order_lots, &new_id)
            w.order_id = new_id
            engine_settle(g, mark)
    if g.timing:
        g.venue_ticks += clock_ticks() - checked


cdef inline void engine_think(engine_t* g) noexcept nogil:
    """Quote again, and act where the rounded quotes have changed."""
    cdef int64_t best_bid = book_best_bid(g.book)
    cdef int64_t best_ask = book_best_ask(g.book)
    cdef int64_t bid = NO_PRICE, ask = NO_PRICE, profit
    cdef quote_t quote
    g.dirty = False
    if likely(g.trading and g.session and not g.book.stale and best_bid != NO_PRICE and best_ask != NO_PRICE and best_bid < best_ask):
        if g.max_loss >= 0:
            profit = engine_profit(g)
            if unlikely(profit != NO_PRICE and profit < -g.max_loss):
                g.stopped = True
        if likely(not g.stopped):
            quoter_quote(
                g.quoter, <double> (best_bid + best_ask) / (2.0 * g.ticks_per_price), <double> g.position.position_lots,
                g.time_left, &quote,
            )
            quoter_round(g.quoter, &quote, &bid, &ask)
            g.quotes += 1
            # Held back behind the other side: our orders wait, they do not take.
            if bid >= best_ask:
                bid = quoter_floor(g.quoter, <double> (best_ask - 1))
            if ask != NO_PRICE and ask <= best_bid:
                ask = quoter_ceil(g.quoter, <double> (best_bid + 1))
    engine_work(g, BUY, bid, g.mid_ticks)
    engine_work(g, SELL, ask, g.mid_ticks)


cdef inline int engine_chosen(engine_t* g, const event_t* e, const book_change_t* c, uint64_t* now) noexcept nogil:
    """Everything that happens to the chosen symbol behind its book; `now` is a clock reading, moved on, while timing."""
    cdef int64_t mark = g.venue.report_count
    cdef int64_t best_bid, best_ask, price
    cdef uint64_t count, then
    cdef tick_t tick
    cdef int result
    venue_apply(g.venue, e, c)
    if unlikely(g.venue.report_count != mark):
        engine_settle(g, mark)
    if g.timing:
        then = clock_ticks()
        g.venue_ticks += then - now[0]
        now[0] = then
    if (c.kind == KIND_EXECUTE or c.kind == KIND_TRADE) and not e.flags & FLAG_NOT_PRINTABLE:
        g.traded_lots += e.size
        if g.store != NULL:
            price = c.price if e.price == NO_PRICE else e.price
            tick.timestamp_ns = <uint64_t> e.exch_ns
            tick.symbol_id = e.symbol_id
            tick.pad = 0
            tick.price = <double> price / g.ticks_per_price
            tick.volume = <double> e.size
            result = store_append(g.store, &tick)
            if unlikely(result != RESULT_OK):
                return RUN_STORE
            if g.timing:
                then = clock_ticks()
                histogram_record(g.stages[STAGE_STORE], clock_ticks_to_ns(then - now[0]))
                now[0] = then
    if unlikely(c.kind == KIND_GAP or c.kind == KIND_CLEAR):
        g.dirty = True  # nothing is quoted on a stale book; an image makes it good
    if c.top_changed:
        g.dirty = True
        best_bid = book_best_bid(g.book)
        best_ask = book_best_ask(g.book)
        if likely(best_bid != NO_PRICE and best_ask != NO_PRICE and best_bid < best_ask):
            g.mid_ticks = (best_bid + best_ask) >> 1
            if g.volatility != NULL and g.trading and g.session:
                count = g.volatility.count
                ewma_update(g.volatility, <double> (best_bid + best_ask) / (2.0 * g.ticks_per_price), e.exch_ns)
                if g.volatility.count != count:
                    quoter_set_volatility(g.quoter, ewma_volatility(g.volatility))
    if g.dirty and g.quoter != NULL and likely(not e.flags & FLAG_CONTINUED):
        g.risk_ticks = 0
        count = g.venue_ticks
        engine_think(g)
        if g.timing:
            then = clock_ticks()
            histogram_record(
                g.stages[STAGE_STRATEGY], clock_ticks_to_ns(then - now[0] - g.risk_ticks - (g.venue_ticks - count))
            )
            if g.risk_ticks:
                histogram_record(g.stages[STAGE_RISK], clock_ticks_to_ns(g.risk_ticks))
            now[0] = then
    if unlikely(e.exch_ns >= g.curve_next_ns):
        engine_mark(g, e.exch_ns)
    if unlikely(g.stopped or g.overflowed):
        return RUN_ACCOUNT if g.overflowed else RUN_STOPPED
    return RUN_DONE


cdef void engine_mark(engine_t* g, int64_t exch_ns) noexcept nogil:
    # One point of the curve, the first event in each interval.
    cdef curve_point_t* p = &g.curve[g.curve_count]
    g.curve_next_ns = (floor_div(exch_ns, g.curve_interval_ns) + 1) * g.curve_interval_ns
    p.exch_ns = exch_ns
    p.mid_ticks = g.mid_ticks
    p.position_lots = g.position.position_lots
    p.profit = engine_profit(g)
    g.curve_count += 1


# ---- the loop ----

cdef int engine_rare(engine_t* g, const event_t* e) noexcept nogil:
    # What a message carries in its first event is all that matters here.
    cdef int64_t code = e.payload[0]
    if g.inside:
        return RUN_DONE
    if e.kind == KIND_LISTING:
        if <uint64_t> code == g.symbol_key and g.book == NULL:
            g.symbol_id = e.symbol_id
            g.book = bookset_open(g.books, e.symbol_id)
            if g.book == NULL:
                return RUN_MEMORY
            g.venue.symbol_id = e.symbol_id
    elif e.kind == KIND_STATUS:
        if g.book != NULL and e.symbol_id == g.symbol_id:
            g.trading = code == c'T'
            g.dirty = True
    elif e.kind == KIND_SYSTEM:
        # Before the opening bell nobody quotes; a file that announces no hours trades all the time.
        g.session = code == c'Q'
        g.dirty = True
    if g.dirty and g.quoter != NULL and g.book != NULL:
        g.venue.now_ns = e.exch_ns
        g.venue.now_seq = e.seq
        engine_think(g)
    return RUN_DONE


cdef inline int engine_event(engine_t* g, const event_t* e) noexcept nogil:
    cdef uint64_t start = 0, now = 0, then
    cdef int status = RUN_DONE, result
    cdef bint chosen = e.symbol_id == g.symbol_id and g.book != NULL
    if unlikely(g.rare >> e.kind & 1):
        status = engine_rare(g, e)
        g.inside = e.flags & FLAG_CONTINUED
        return status
    if g.timing:
        start = clock_ticks()
        g.venue_ticks = 0
    g.inside = e.flags & FLAG_CONTINUED
    result = bookset_apply(g.books, e, &g.change)
    if unlikely(e.symbol_id == NO_SYMBOL and g.book != NULL):
        chosen = g.dirty = True  # clear or gap of the whole feed
    if g.timing:
        now = clock_ticks()
        histogram_record(g.stages[STAGE_BOOK], clock_ticks_to_ns(now - start))
    if unlikely(result != RESULT_OK):
        if result == RESULT_NO_MEMORY:
            return RUN_MEMORY
        if g.book_errors == 0:
            g.first_error_seq = e.seq
        g.book_errors += 1
        g.dirty |= chosen and g.change.top_changed  # of the events of its message before it
    elif chosen:
        status = engine_chosen(g, e, &g.change, &now)
    if g.timing:
        then = clock_ticks()
        if g.venue_ticks and g.quoter != NULL:
            histogram_record(g.stages[STAGE_VENUE], clock_ticks_to_ns(g.venue_ticks))
        histogram_record(g.stages[STAGE_TOTAL], clock_ticks_to_ns(then - start + g.timed_decode))
    return status


cdef inline bint engine_has_room(const engine_t* g) noexcept nogil:
    return (
        g.venue.report_capacity - g.venue.report_count >= REPORT_ROOM
        and g.curve_count < g.curve_capacity
        and (g.store == NULL or store_room(g.store) > 0)
    )


cdef int engine_drain(engine_t* g) noexcept nogil:
    # Work on everything that is in the ring.
    cdef event_t* e
    cdef size_t got = 0, i
    cdef int status
    cdef bint far = g.books.count > ENGINE_NEAR
    while True:
        e = <event_t*> ring_try_peek_batch(g.ring, ENGINE_BATCH, &got)
        if e == NULL:
            return RUN_DONE
        for i in range(got):
            if far:
                bookset_ahead(g.books, e + i, got - i)
            elif i + 8 < got:  # the books are near, the slots of all orders are not
                orders_prefetch(g.books.orders, <uint64_t> e[i + 8].order_id)
            if unlikely(not engine_has_room(g)):
                ring_release_batch(g.ring, i)
                return RUN_ROOM
            g.timing = e[i].seq == g.timed_seq
            status = engine_event(g, &e[i])
            g.events += 1
            if unlikely(status != RUN_DONE):
                g.last_ns = e[i].exch_ns
                ring_release_batch(g.ring, i + 1)
                return status
        g.last_ns = e[got - 1].exch_ns
        ring_release_batch(g.ring, got)


cdef inline size_t engine_want(const engine_t* g) noexcept nogil:
    """Events to take before the next sampled one."""
    if g.sample_every == 0 or g.until_sample >= ENGINE_BATCH:
        return ENGINE_BATCH
    return g.until_sample


cdef int engine_run(engine_t* g, const uint8_t* data, size_t length, size_t* consumed) noexcept nogil:
    cdef size_t want, got = 0, used = 0, at = consumed[0]
    cdef ptrdiff_t n
    cdef event_t* slots
    cdef event_t[ITCH_MAX_EVENTS] whole
    cdef uint64_t start = 0, failed
    cdef bint timed
    cdef int status = engine_drain(g)
    while status == RUN_DONE and at < length:
        want = engine_want(g)
        timed = want == 0
        slots = <event_t*> ring_try_claim_batch(g.ring, 1 if timed else want, &got)
        failed = g.decoder.tally.total
        if timed:
            start = clock_ticks()
        n = itch_decode_batch(g.decoder, data + at, length - at, slots, got, &used)
        if unlikely(n == 0 and used == 0 and got < ENGINE_BATCH and g.decoder.tally.total == failed):
            # A message of several events needs more slots than are in a row here (the ring may end), or the last is not whole.
            timed = False
            n = itch_decode_batch(g.decoder, data + at, length - at, &whole[0], ITCH_MAX_EVENTS, &used)
            ring_try_push_batch(g.ring, &whole[0], n)
            got = 0
        if timed and n == 1:
            g.timed_decode = clock_ticks() - start
            g.timed_seq = g.ring.head + 1
            histogram_record(g.stages[STAGE_DECODE], clock_ticks_to_ns(g.timed_decode))
            g.until_sample = g.sample_every - 1
        elif not timed and g.sample_every > 0:
            g.until_sample = g.until_sample - n if g.until_sample > n else 0
        if likely(got):
            ring_commit_batch(g.ring, n)
        at += used
        status = engine_drain(g)
        if unlikely(g.decoder.tally.strict and g.decoder.tally.total != failed):
            consumed[0] = at
            return RUN_CORRUPT if status == RUN_DONE else status
        if n == 0 and used == 0:
            break
    consumed[0] = at
    return status


cdef int engine_run_events(engine_t* g, const event_t* events, size_t length, size_t* consumed) noexcept nogil:
    cdef size_t want, got = 0, i, at = consumed[0]
    cdef event_t* slots
    cdef bint timed
    cdef int status = engine_drain(g)
    while status == RUN_DONE and at < length:
        want = engine_want(g)
        timed = want == 0
        if timed:
            want = 1
        if want > length - at:
            want = length - at
        slots = <event_t*> ring_try_claim_batch(g.ring, want, &got)
        for i in range(got):
            # All but the commit word: the number that the venue gave must not pass for one of the ring.
            memcpy(&slots[i].exch_ns, &events[at + i].exch_ns, sizeof(event_t) - sizeof(uint64_t))
        if timed:
            g.timed_decode = 0
            g.timed_seq = g.ring.head + 1
            g.until_sample = g.sample_every - 1
        elif g.sample_every > 0:
            g.until_sample -= got
        g.given += got
        ring_commit_batch(g.ring, got)
        at += got
        status = engine_drain(g)
    consumed[0] = at
    return status


# ---- Python ----

cdef int64_t checked(object value, str name, int64_t low, int64_t high) except? -1:
    if not low <= value <= high:
        raise ValueError(f"{name} must be in {low}..{high}: {name}={value}")
    return value


@cython.final
@cython.no_gc_clear
cdef class Engine:
    """Engine(symbol, *, symbol_id=None, quoter=None, volatility=None, limits=None, order_lots=100, time_left=1.0, store=None, \
ticks_per_price=10000.0, max_loss=None, maker_fee_ticks=0, taker_fee_ticks=0, midnight_ns=0, sample_every=256, \
curve_interval_ns=1000000000, skip_malformed=False, book="orders", orders=65536, reports=65536)\n--\n\n
    Run a feed through the book of every symbol, and one symbol through market maker, limits, venue and accounts.

    Parameters
    ----------
    symbol : str
        The chosen symbol. Without `symbol_id`: 1 to 8 ASCII characters, found by its listing in the feed, and quoted while
        the feed's status messages say that it trades.
    symbol_id : int, optional
        Id of the chosen symbol in the events, 0..65535, where the feed does not list symbols: it trades until a status
        event says otherwise.
    quoter : Quoter, optional
        Model of the market maker. None runs the books only.
    volatility : EwmaVolatility, optional
        Estimates the volatility of the middle price and hands it to the quoter, per square root of its interval's second.
        None keeps the quoter's sigma.
    limits : RiskLimits, optional
        Pre-trade limits. None rejects every order, as does a limit that is not configured.
    order_lots : int, default 100
        Size of every order, lots (shares).
    time_left : float, default 1.0
        Horizon that the quoter is asked with, in its time unit: a rolling one.
    store : TickStore, optional
        Store of ticks that receives every printed execution of the symbol: exchange time, stock locate, price, shares.
    ticks_per_price : float, default 10000.0
        Ticks in one unit of the quoter's currency: ITCH prices are in 1/10,000 USD.
    max_loss : int, optional
        Stop, with all own orders pulled, when the profit falls below minus this many ticks * lots.
    maker_fee_ticks, taker_fee_ticks : int, default 0
        Fee of a fill in ticks per lot, when our order waited and when it took; a rebate is negative.
    midnight_ns : int, default 0
        Midnight of the day, ns since the UNIX epoch.
    sample_every : int, default 256
        Latencies of one message in so many: 1 every message, 0 none.
    curve_interval_ns : int, default 1_000_000_000
        One point of `curve` per interval of exchange time.
    skip_malformed : bool, default False
        Count malformed messages and go on, instead of raising.
    book : {"orders", "levels", "quotes"}, default "orders"
        What the feed gives: orders, price levels, or best prices alone. Without orders, places in queues are estimates
        (``fastcore.sim.venue``). Beside orders or levels, quote events are the venue's own account of its best prices and
        change nothing here.
    orders : int, default 65536
        Recorded orders that have room from the start; the table grows.
    reports : int, default 65536
        The same for reports.

    Attributes
    ----------
    decoder, books, venue, position, quoter, volatility, limits, store
        The parts, to be read between calls.
    latency : dict of str to Histogram
        Nanoseconds by stage.

    Raises
    ------
    ValueError
        If a parameter is out of range.
    MemoryError
        If the tables do not fit into memory.

    Notes
    -----
    Own orders reach the venue without delay. Ring, decoder, books and venue are the engine's own; what is passed in
    (quoter, volatility, limits, store) must not be used by others while the engine runs.

    **Thread safety**: one thread at a time; `feed` releases the GIL.
    """

    def __cinit__(
        self, str symbol not None, *, symbol_id=None, Quoter quoter=None, EwmaVolatility volatility=None, RiskLimits limits=None, order_lots=100,
        double time_left=1.0, TickStore store=None, double ticks_per_price=10000.0, max_loss=None, maker_fee_ticks=0,
        taker_fee_ticks=0, midnight_ns=0, sample_every=256, curve_interval_ns=1_000_000_000, skip_malformed=False,
        str book="orders", orders=65536, reports=65536,
    ):
        cdef engine_t* g = &self._g
        cdef int i
        cdef bytes key
        cdef Histogram h
        if symbol_id is None and (not 1 <= len(symbol) <= 8 or not symbol.isascii() or symbol != symbol.strip()):
            raise ValueError(f"symbol must be 1 to 8 ASCII characters without spaces around: symbol={symbol!r}")
        if not (isfinite(time_left) and time_left >= 0.0):
            raise ValueError(f"time_left must be finite and not negative: time_left={time_left}")
        if not (isfinite(ticks_per_price) and ticks_per_price > 0.0):
            raise ValueError(f"ticks_per_price must be finite and positive: ticks_per_price={ticks_per_price}")
        g.order_lots = checked(order_lots, "order_lots", 1, <int64_t> 1 << 40)
        g.time_left = time_left
        g.ticks_per_price = ticks_per_price
        g.max_loss = -1 if max_loss is None else checked(max_loss, "max_loss", 0, <int64_t> 1 << 60)
        g.maker_fee = checked(maker_fee_ticks, "maker_fee_ticks", -(<int64_t> 1 << 20), <int64_t> 1 << 20)
        g.taker_fee = checked(taker_fee_ticks, "taker_fee_ticks", -(<int64_t> 1 << 20), <int64_t> 1 << 20)
        g.sample_every = checked(sample_every, "sample_every", 0, <int64_t> 1 << 40)
        g.curve_interval_ns = checked(curve_interval_ns, "curve_interval_ns", 1, <int64_t> 1 << 60)
        checked(reports, "reports", 1, <int64_t> 1 << 40)
        self.symbol = symbol
        self.decoder = ItchDecoder(midnight_ns, not skip_malformed)
        self.books = BookSet(by_level=book != "orders", symbols=ENGINE_LOCATES, orders=OrderTable(orders))
        if book not in ("orders", "levels", "quotes"):
            raise ValueError(f"book must be orders, levels or quotes: book={book}")
        g.rare = RARE if book == "quotes" else RARE | 1 << KIND_QUOTE
        self.venue = Venue(1, by_level=book != "orders")
        self.position = Position()
        self.quoter = quoter
        self.volatility = volatility
        self.limits = RiskLimits() if limits is None else limits
        self.store = store
        self._ring = RingBuffer(1024, EVENT_DTYPE)
        self.latency = {}
        self._histograms = []
        for i in range(STAGES):
            h = Histogram(1, 60_000_000_000, 3)
            g.stages[i] = h._h
            self.latency[STAGE_NAMES[i]] = h
            self._histograms.append(h)
        g.symbol_id = NO_SYMBOL
        if symbol_id is None:
            key = symbol.ljust(8).encode("ascii")
            g.symbol_key = key8(<const uint8_t*> <const char*> key)
        g.decoder = self.decoder._d
        g.ring = self._ring._ring
        g.books = &self.books._s
        g.venue = &self.venue._v
        g.position = &self.position._p
        g.quoter = NULL if quoter is None else &quoter._q
        g.volatility = NULL if volatility is None or quoter is None else &volatility._v
        g.gate = &(<RiskLimits> self.limits)._gate
        g.store = NULL if store is None else store._s
        g.session = True
        g.mid_ticks = NO_PRICE
        g.curve_next_ns = NO_PRICE
        for i in range(2):
            g.working[i].wanted_ticks = NO_PRICE
        g.curve_capacity = 32768
        g.curve = <curve_point_t*> fc_alloc(g.curve_capacity, sizeof(curve_point_t))
        if g.curve == NULL or venue_grow_reports(g.venue, reports + REPORT_ROOM) != RESULT_OK:
            raise MemoryError(f"no memory for the tables of an engine: reports={reports}")
        if symbol_id is not None:
            g.symbol_id = checked(symbol_id, "symbol_id", 0, ENGINE_LOCATES - 1)
            g.book = bookset_open(g.books, g.symbol_id)
            if g.book == NULL:
                raise MemoryError("no memory for a book")
            g.venue.symbol_id = g.symbol_id
            g.trading = True

    def __dealloc__(self):
        fc_free(self._g.curve)

    cdef int _make_room(self) except -1:
        # Cold: called between two runs of the loop.
        cdef engine_t* g = &self._g
        cdef curve_point_t* larger
        cdef int result
        if g.venue.report_capacity - g.venue.report_count < REPORT_ROOM:
            if venue_grow_reports(g.venue, 2 * g.venue.report_capacity) != RESULT_OK:
                raise MemoryError(f"no memory for the reports of an engine: reports={g.venue.report_count}")
        if g.curve_count == g.curve_capacity:
            larger = <curve_point_t*> fc_alloc(2 * g.curve_capacity, sizeof(curve_point_t))
            if larger == NULL:
                raise MemoryError(f"no memory for the curve of an engine: points={g.curve_count}")
            memcpy(larger, g.curve, g.curve_count * sizeof(curve_point_t))
            fc_free(g.curve)
            g.curve = larger
            g.curve_capacity *= 2
        if g.store != NULL and store_room(g.store) == 0:
            with nogil:
                result = store_grow(g.store)
            if result != RESULT_OK:
                raise_result(result, f"the store must grow for every tick: ticks={g.store.count} errno={g.store.error}")
        return 0

    def feed(self, data):
        """Run the whole messages of a stretch of the file.

        Parameters
        ----------
        data : bytes-like
            Length-prefixed ITCH messages: what follows the bytes consumed so far.

        Returns
        -------
        int
            Bytes consumed. Fewer than given where the last message is not whole (give the rest again, with what follows), and
            after the loss limit has stopped the engine (`stopped`), which then consumes nothing more.

        Raises
        ------
        CorruptDataError
            At a malformed message, unless `skip_malformed`; everything before it has been worked on. Attribute `offset`: of
            its length prefix in the stream.
        StoreError
            If the store could not take a tick.
        OverflowError
            If a fill does not fit into the accounts, which count ticks * lots in 64 bits.
        MemoryError
            If a table could not grow.
        """
        cdef engine_t* g = &self._g
        cdef Py_buffer view
        cdef size_t consumed = 0
        cdef int status = RUN_DONE
        cdef int64_t start
        if g.stopped:
            return 0
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            while True:
                with nogil:
                    start = clock_monotonic_ns()
                    status = engine_run(g, <const uint8_t*> view.buf, view.len, &consumed)
                    g.loop_ns += clock_monotonic_ns() - start
                if status != RUN_ROOM:
                    break
                self._make_room()
        finally:
            PyBuffer_Release(&view)
        self._raise(status)
        return consumed

    def feed_events(self, events):
        """Run events that are decoded already.

        Parameters
        ----------
        events : ndarray of EVENT_DTYPE, shape (n,)
            What follows the events consumed so far. `seq` is not read: events are numbered as they come.

        Returns
        -------
        int
            Events consumed; fewer than given only after the loss limit has stopped the engine (`stopped`).

        Raises
        ------
        StoreError, OverflowError, MemoryError
            As for `feed`.
        """
        cdef engine_t* g = &self._g
        cdef cnp.ndarray array = check_events(events, "events", False, _DTYPES)
        cdef const event_t* data = events_data(array)
        cdef size_t consumed = 0, length = <size_t> cnp.PyArray_DIM(array, 0)
        cdef int status = RUN_DONE
        cdef int64_t start
        if g.stopped:
            return 0
        while True:
            with nogil:
                start = clock_monotonic_ns()
                status = engine_run_events(g, data, length, &consumed)
                g.loop_ns += clock_monotonic_ns() - start
            if status != RUN_ROOM:
                break
            self._make_room()
        self._raise(status)
        return consumed

    cdef int _raise(self, int status) except -1:
        cdef engine_t* g = &self._g
        if status == RUN_CORRUPT:
            error = CorruptDataError(
                f"ITCH stream must hold whole messages of version 5.0: {RESULTS[g.decoder.tally.last.code][0]} "
                f"type={chr(g.decoder.tally.last.type)!r} offset={g.decoder.tally.last.offset}"
            )
            error.offset = g.decoder.tally.last.offset
            raise error
        if status == RUN_MEMORY:
            raise MemoryError(f"no memory for a book: symbols={self.symbols} orders={len(self.orders)}")
        if status == RUN_STORE:
            raise StoreError(f"the store must accept every tick: ticks={g.store.count} errno={g.store.error}")
        if status == RUN_ACCOUNT:
            raise OverflowError(
                "position, cash and turnover in ticks * lots must fit into 64 bits, read the feed in coarser units: "
                f"fills={g.fills} position_lots={g.position.position_lots} turnover={g.position.turnover}"
            )
        return 0

    def reports(self):
        """Return the orders, refusals and fills so far, oldest first.

        Returns
        -------
        ndarray of EVENT_DTYPE, shape (n,)
            A copy; `seq` is the number of the market event that caused each.
        """
        out = np.empty(self._g.venue.report_count, EVENT_DTYPE)
        if self._g.venue.report_count:
            memcpy(cnp.PyArray_DATA(out), self._g.venue.reports, self._g.venue.report_count * sizeof(event_t))
        return out

    def curve(self):
        """Return the state at the first event of each interval of exchange time.

        Returns
        -------
        ndarray of CURVE_DTYPE, shape (n,)
            A copy: `exch_ns`; `mid_ticks` (NO_PRICE before the first); `position_lots`; `profit` in ticks * lots after fees
            (NO_PRICE where an open position has no mark).
        """
        out = np.empty(self._g.curve_count, CURVE_DTYPE)
        if self._g.curve_count:
            memcpy(cnp.PyArray_DATA(out), self._g.curve, self._g.curve_count * sizeof(curve_point_t))
        return out

    def quote(self):
        """Return the best prices of the chosen symbol: (bid, bid lots, ask, ask lots), None for a side that is empty."""
        cdef int64_t bid, ask
        if self._g.book == NULL:
            return None, 0, None, 0
        bid = book_best_bid(self._g.book)
        ask = book_best_ask(self._g.book)
        return (
            None if bid == NO_PRICE else bid, book_best_bid_size(self._g.book),
            None if ask == NO_PRICE else ask, book_best_ask_size(self._g.book),
        )

    @property
    def listed(self):
        """Whether the chosen symbol has been listed in the file."""
        return self._g.book != NULL

    @property
    def symbols(self):
        """Symbols that have a book."""
        return self._g.books.count

    @property
    def orders(self):
        """Table of the recorded orders of all books."""
        return self.books.orders

    @property
    def messages(self):
        """Well-formed messages so far, the skipped ones included, and the events that came as such."""
        cdef int i
        cdef uint64_t n = self._g.given
        for i in range(256):
            n += self._g.decoder.tally.counts[i]
        return n

    @property
    def events(self):
        """Events worked on."""
        return self._g.events

    @property
    def book_errors(self):
        """Events that a book refused: unknown and duplicate orders, bad prices and sizes."""
        return self._g.book_errors

    @property
    def first_error_seq(self):
        """Number of the first event that a book refused; 0 for none."""
        return self._g.first_error_seq

    @property
    def quotes(self):
        """Times that the model was asked."""
        return self._g.quotes

    @property
    def orders_sent(self):
        """Orders that passed the limits and were sent, replacements included."""
        return self._g.orders_sent

    @property
    def risk_rejects(self):
        """Orders that the limits refused."""
        return self._g.risk_rejects

    @property
    def fills(self):
        """Fills of own orders."""
        return self._g.fills

    @property
    def traded_lots(self):
        """Lots of the chosen symbol that the recorded market printed."""
        return self._g.traded_lots

    @property
    def mid_ticks(self):
        """Last middle price, ticks, rounded down; None before the first."""
        return None if self._g.mid_ticks == NO_PRICE else self._g.mid_ticks

    @property
    def profit(self):
        """Profit in ticks * lots after fees, marked at `mid_ticks`; None where an open position has no mark."""
        cdef int64_t profit = engine_profit(&self._g)
        return None if profit == NO_PRICE else profit

    @property
    def stopped(self):
        """Whether the loss limit has stopped the engine."""
        return bool(self._g.stopped)

    @property
    def loop_ns(self):
        """Nanoseconds spent inside the compiled loop."""
        return self._g.loop_ns

    @property
    def last_ns(self):
        """Exchange time of the last event."""
        return self._g.last_ns
