# cython: freethreading_compatible=True
"""The engine: one loop for every run, whatever the source, the strategies and the gateway are.

Own orders and what came of them are the *reports* of a run: 64-byte events with the flag ``own`` as in ``fastcore.sim.venue``, plus a
``reject`` for each order that the desk refused (``order_id`` 0, ``match_id`` the result code). The same input gives the same reports,
bit for bit, in whatever pieces it arrives.
"""

from collections import deque
from collections.abc import Iterable
from heapq import heappop, heappush

import numpy as np

cimport cython
cimport numpy as cnp
from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memmove

from fastcore._guard cimport alone, enter, enter_all, leave, leave_all
from fastcore._integers cimport as_int64
from fastcore.book cimport AHEAD_RECORDS, book_best_ask, book_best_bid, book_change_t, book_t, book_top, top_t
from fastcore.bookset cimport bookset_ahead, bookset_far, bookset_open
from fastcore.clock cimport clock_monotonic_ns
from fastcore.desk cimport Desk, desk_profit, desk_report, desk_send, desk_waits
from fastcore.journal cimport Journal, Spool, journal_write, spool_claim, spool_room
from fastcore.market cimport Market, market_apply, market_book, market_take
from fastcore.records cimport (
    FLAG_OWN, KIND_CLEAR, KIND_CONTROL, KIND_COUNT, KIND_DETAIL, KIND_FILL, KIND_GAP, KIND_NONE, KIND_SYSTEM, KIND_TIMER, NO_PRICE, NO_SYMBOL,
    RESULT_NO_MEMORY, RESULT_OK, event_t, fc_alloc, fc_free, floor_div, likely, load_acquire, prefetch, store_release, unlikely,
)
from fastcore.source cimport NEVER, SOURCE_END, SOURCE_IDLE, SOURCE_LATER, SOURCE_OK, SOURCE_REFILL, Source, batch_t
from fastcore.stopwatch cimport (
    STAGE_BOOK, STAGE_DECODE, STAGE_RISK, STAGE_STRATEGY, Stopwatch, lap, stopwatch_stop,
)
from fastcore.tickstore cimport TickStore, store_room
from fastcore.strategy cimport (
    CONTEXT_VERSION, ON_BOOK, ON_EVENT, ON_INSTANT, ON_REPORT, ON_START, ON_STOP, ON_TIMER, OUTBOX_ROOM, OWNER_SHIFT, STRATEGY_OK, STRATEGY_ROOM,
    Strategy, context_t, fill_note, strategy_t,
)

from fastcore.records import EVENT_DTYPE

cdef extern from "fc_checked.h" nogil:
    uint32_t fc_trailing_zeros(uint64_t value)

cnp.import_array()

__all__ = ["CURVE_DTYPE", "Engine"]

CURVE_DTYPE = np.dtype(
    [("exch_ns", np.int64), ("mid_ticks", np.int64), ("position_lots", np.int64), ("profit", np.int64)]
)

cdef enum:
    RUN_ON = -1             # the loop goes on
    CAUSE = (<uint64_t> 1 << OWNER_SHIFT) - 1   # of `seq` of a report
    OUTBOX = 1024           # commands of one instant
    CURVE_ROOM = 16384      # points in memory


# ---- what strategies are called for ----

cdef int engine_more_notes(notes_t* n) noexcept nogil:
    cdef note_t* larger = <note_t*> fc_alloc(2 * n.capacity, sizeof(note_t))
    if larger == NULL:
        return RUN_MEMORY
    memcpy(larger, n.notes, n.count * sizeof(note_t))
    fc_free(n.notes)
    n.notes = larger
    n.capacity *= 2
    return RUN_ON


cdef inline int engine_note(engine_t* g, int hook, const event_t* e, const book_change_t* c) noexcept nogil:
    cdef notes_t* n = &g.notes[hook]
    if unlikely(n.count == n.capacity) and engine_more_notes(n) != RUN_ON:
        return RUN_MEMORY
    n.notes[n.count].event = e[0]
    if c != NULL:
        n.notes[n.count].change = c[0]
    n.count += 1
    g.noted |= 1 << hook
    return RUN_ON


cdef inline int engine_note_top(engine_t* g, const event_t* e, const book_change_t* c) noexcept nogil:
    # Once an instrument: with its last event.
    cdef notes_t* n = &g.notes[ON_BOOK]
    cdef uint32_t i = g.touched[e.symbol_id]
    if i < n.count and n.notes[i].event.symbol_id == e.symbol_id:
        n.notes[i].event = e[0]
        n.notes[i].change = c[0]
        return RUN_ON
    g.touched[e.symbol_id] = n.count
    return engine_note(g, ON_BOOK, e, c)


cdef void engine_tops(engine_t* g) noexcept nogil:
    # Keep the notes of instruments whose best prices or sizes differ from before the instant.
    cdef notes_t* n = &g.notes[ON_BOOK]
    cdef uint32_t i, kept = 0, id
    cdef top_t now
    cdef top_t* before
    for i in range(n.count):
        id = n.notes[i].event.symbol_id
        book_top(market_book(g.market, id), &now)
        before = &g.tops[id]
        # One branch: which of them differs cannot be predicted.
        if unlikely((
            (now.bid ^ before.bid) | (now.ask ^ before.ask) | (now.bid_size ^ before.bid_size) | (now.ask_size ^ before.ask_size)
        ) == 0):
            continue
        before[0] = now
        if now.bid != NO_PRICE and now.ask != NO_PRICE and now.bid < now.ask:
            g.desk.accounts[id].mark_ticks = (now.bid + now.ask) >> 1
        if kept != i:
            n.notes[kept] = n.notes[i]
        kept += 1
    n.count = kept


cdef int engine_timers(engine_t* g) noexcept nogil:
    # Those that are due.
    cdef event_t e
    cdef uint32_t n = 0
    cdef int status
    while n < g.timer_count and g.timers[n].due_ns <= g.context.now_ns:
        e.seq = g.context.cause
        e.exch_ns = e.local_ns = g.timers[n].due_ns
        e.symbol_id = NO_SYMBOL
        e.kind = KIND_TIMER
        e.side = 0
        e.flags = 0
        e.price = NO_PRICE
        e.size = 0
        e.order_id = g.timers[n].number
        e.match_id = g.timers[n].owner
        status = engine_note(g, ON_TIMER, &e, NULL)
        if status != RUN_ON:
            return status
        if g.journal != NULL:
            journal_write(g.journal, &e)
        n += 1
    if n:
        g.timer_count -= n
        memmove(g.timers, &g.timers[n], g.timer_count * sizeof(timer_t))
    return RUN_ON


cdef inline bint engine_wants(const engine_t* g, uint32_t strategy, uint32_t hook, const note_t* n) noexcept nogil:
    cdef const strategy_t* s = g.strategies[strategy]
    cdef const event_t* e = &n.event
    if not s.hooks >> hook & 1:
        return False
    if hook == ON_TIMER:
        return e.match_id == strategy
    if e.kind >= KIND_COUNT:
        return False
    if hook == ON_EVENT and not s.kinds >> e.kind & 1 or hook == ON_REPORT and (n.change.stamp != strategy or not s.reports >> e.kind & 1):
        return False
    return s.symbol_id == e.symbol_id or s.symbol_id == NO_SYMBOL or e.symbol_id == NO_SYMBOL or e.kind == KIND_SYSTEM


cdef int engine_call(engine_t* g, uint32_t strategy, uint32_t hook, const event_t* e, const book_change_t* c) noexcept nogil:
    cdef strategy_t* s = g.strategies[strategy]
    cdef uint32_t i = g.context.n
    cdef int status
    if unlikely(g.context.room - i < OUTBOX_ROOM):
        return RUN_OUTBOX
    if unlikely(g.strategy_count > 1):
        g.context.positions = g.desk.held[strategy]
        g.context.owner = strategy
    status = s.on(s, &g.context, hook, e, c)
    g.called[strategy] = True
    for i in range(i, g.context.n):
        g.context.out[i].seq = strategy
        if unlikely(g.context.out[i].kind == KIND_TIMER):
            g.context.out[i].match_id = strategy  # whose it is
            g.timers_wanted = True
    if likely(status == STRATEGY_OK):
        return RUN_ON
    return RUN_ROOM if status == STRATEGY_ROOM else RUN_STRATEGY


cdef int engine_callbacks(engine_t* g) noexcept nogil:
    # From where they were interrupted for room, else from the first.
    cdef notes_t* n
    cdef uint32_t hook, note, strategy = g.strategy, count = g.strategy_count, noted = g.noted >> g.hook << g.hook
    cdef int status
    while noted:
        hook = fc_trailing_zeros(noted)
        noted &= noted - 1
        n = &g.notes[hook]
        for note in range(g.note, n.count):
            for strategy in range(strategy, count):
                if engine_wants(g, strategy, hook, &n.notes[note]):
                    status = engine_call(g, strategy, hook, &n.notes[note].event, &n.notes[note].change)
                    if unlikely(status != RUN_ON):
                        g.hook, g.note, g.strategy = hook, note, strategy
                        return status
            strategy = 0
        n.count = 0
        g.note = 0
    for strategy in range(strategy, count):
        if g.called[strategy] and g.strategies[strategy].hooks >> ON_INSTANT & 1:
            status = engine_call(g, strategy, ON_INSTANT, NULL, NULL)
            if unlikely(status != RUN_ON):
                g.hook, g.strategy = ON_INSTANT, strategy
                return status
        g.called[strategy] = False
    return RUN_ON


cdef int engine_decide(engine_t* g) noexcept nogil:
    # The instant is over: callbacks in their order, then the outbox leaves.
    cdef int status
    if likely(not g.deciding):
        engine_tops(g)
        if unlikely(g.timer_count):
            status = engine_timers(g)
            if status != RUN_ON:
                return status
        g.hook = g.note = g.strategy = 0
    status = engine_callbacks(g)
    g.deciding = status != RUN_ON
    if unlikely(g.deciding):
        return status
    g.noted = 0
    lap(g.watch, STAGE_STRATEGY)
    if g.context.n or g.desk.seeking != NULL or desk_waits(g.desk, g.context.now_ns):
        if unlikely(g.timers_wanted):
            engine_take_timers(g)
        desk_send(g.desk, g.market, g.context.out, g.context.n, g.context.now_ns, g.context.cause)
        g.context.n = 0
        lap(g.watch, STAGE_RISK)
    return RUN_ON


cdef void engine_take_timers(engine_t* g) noexcept nogil:
    # Timers out of the outbox: sorted by due, owner (match_id of the command) and creation.
    cdef event_t* e
    cdef uint32_t i, kept = 0, at
    g.timers_wanted = False
    for i in range(g.context.n):
        e = &g.context.out[i]
        if likely(e.kind != KIND_TIMER):
            if kept != i:
                g.context.out[kept] = e[0]
            kept += 1
            continue
        if g.timer_count == TIMERS:
            g.desk.misused = KIND_TIMER
            continue
        at = g.timer_count
        while at > 0 and (g.timers[at - 1].due_ns > e.local_ns or (
            g.timers[at - 1].due_ns == e.local_ns and g.timers[at - 1].owner > <uint32_t> e.match_id
        )):
            g.timers[at] = g.timers[at - 1]
            at -= 1
        g.timers[at].due_ns = e.local_ns
        g.timers[at].number = e.order_id
        g.timers[at].owner = <uint32_t> e.match_id
        g.timer_count += 1
    g.context.n = kept


# ---- the curve ----

cdef void engine_point(engine_t* g) noexcept nogil:
    # One point for each instrument, at the first event in each interval.
    cdef curve_t* c = &g.curve
    cdef curve_point_t* p
    cdef uint32_t i, id
    c.pending = False
    for i in range(c.count):
        id = c.symbol_ids[i]
        p = <curve_point_t*> spool_claim(c.spool)
        p.exch_ns = c.pending_ns
        p.mid_ticks = g.desk.accounts[id].mark_ticks
        p.position_lots = g.desk.positions[id].position_lots
        p.profit = desk_profit(g.desk, id)
    g.full |= spool_room(c.spool) < c.count


cdef void engine_curve(engine_t* g, const event_t* e, uint8_t kind) noexcept nogil:
    # An event may be the first of an interval that has begun.
    cdef curve_t* c = &g.curve
    if kind == KIND_NONE or g.market.rare >> (e.kind & 63) & 1:
        return
    if (
        e.symbol_id == c.symbol_id or (e.symbol_id == NO_SYMBOL and (kind == KIND_CLEAR or kind == KIND_GAP))
        or (c.count > 1 and e.symbol_id < g.wanted.capacity and g.wanted.symbols[e.symbol_id])
    ):
        c.pending = True
        c.pending_ns = e.exch_ns
        c.next_ns = g.wanted.mark_ns = (floor_div(e.exch_ns, c.interval_ns) + 1) * c.interval_ns


# ---- the loop ----

cdef int engine_market(engine_t* g, const batch_t* b) noexcept nogil:
    # Apply a batch of market events, and note what strategies asked for.
    cdef const event_t* e = NULL
    cdef const book_change_t* c
    cdef book_change_t own
    cdef uint32_t i
    cdef int status = RUN_ON
    c = &own
    if unlikely(g.journal != NULL and g.journal.inbound):
        for i in range(b.n):
            journal_write(g.journal, &b.events[i])
    for i in range(0 if b.changes == NULL else b.first, b.n):
        e = &b.events[i]
        if b.changes != NULL:
            c = &b.changes[i]
        elif market_take(g.market, e, &own) != RESULT_OK:
            own.kind = KIND_NONE
        if unlikely(e.exch_ns >= g.curve.next_ns) and i >= b.first:
            engine_curve(g, e, e.kind)
        if e.symbol_id < g.wanted.capacity and g.wanted.symbols[e.symbol_id]:
            if c.top_changed:
                status = engine_note_top(g, e, c)
        elif e.symbol_id != NO_SYMBOL and c.kind != KIND_SYSTEM:
            continue
        if unlikely(g.wanted.kinds >> (c.kind & 63) & 1):
            status = engine_note(g, ON_EVENT, e, c)
        if unlikely(status != RUN_ON):
            return status
    g.context.cause = g.market.number
    g.context.now_ns = b.now_ns
    if b.n:
        g.last_ns = e.exch_ns
        if unlikely(g.curve.pending):
            g.curve.until_ns = b.now_ns
    return RUN_ON


cdef int engine_reports(engine_t* g, const batch_t* b) noexcept nogil:
    # What came of our orders.
    cdef event_t* e
    cdef note_t* n
    cdef uint32_t i, owner = 0
    g.context.now_ns = b.now_ns
    for i in range(b.n):
        if b.events[i].kind != KIND_DETAIL:     # that belongs to the fill before it
            owner = desk_report(g.desk, &b.events[i])
        e = <event_t*> spool_claim(g.spool)
        e[0] = b.events[i]
        e.seq = (e.seq & CAUSE) | <uint64_t> owner << OWNER_SHIFT
        if unlikely(g.journal != NULL):
            journal_write(g.journal, e)
        if (g.reports | g.context.reports) >> (e.kind & 63) & 1:
            if engine_note(g, ON_REPORT, e, NULL) != RUN_ON:
                return RUN_MEMORY
            n = &g.notes[ON_REPORT].notes[g.notes[ON_REPORT].count - 1]
            n.event.seq &= CAUSE
            n.change.stamp = owner
            if e.kind == KIND_FILL or e.kind == KIND_DETAIL:
                fill_note(&n.change, g.desk.fee, &g.tops[e.symbol_id])
    g.full |= spool_room(g.spool) < REPORTS_ROOM
    return RUN_ON


cdef inline int engine_next(engine_t* g, batch_t* b) noexcept nogil:
    # What happens next: what the source has, or a timer, or what the desk waits for.
    cdef int status
    cdef int64_t due_ns = g.control_ns if g.control_ns < g.desk.due_ns else g.desk.due_ns
    if g.timer_count and g.timers[0].due_ns < due_ns:
        due_ns = g.timers[0].due_ns
    status = g.source.next(g.source, due_ns, b)
    g.later = status == SOURCE_LATER
    if likely(status == SOURCE_OK):
        return RUN_ON
    if status == SOURCE_LATER:
        b.n = 0
        b.own = b.open = False
        b.now_ns = due_ns
        return RUN_ON
    if status == SOURCE_REFILL:
        return RUN_REFILL
    return RUN_IDLE if status == SOURCE_IDLE else RUN_END if status == SOURCE_END else RUN_SOURCE


cdef int engine_pause(engine_t* g) noexcept nogil:
    # Whether something is to be done first that the loop itself cannot do.
    if g.market.number >= g.pause or load_acquire(&g.asked) != 0 or (g.word != NULL and load_acquire(g.word) != 0 and not g.down):
        return RUN_PAUSE
    return RUN_ROOM if g.full or (g.journal != NULL and store_room(g.journal.store) < REPORTS_ROOM) else RUN_ON


cdef int engine_trouble(engine_t* g, int status) noexcept nogil:
    # The desk has come to an end, or to its limits.
    if g.desk.overflowed or g.desk.misused:
        return RUN_ACCOUNT if g.desk.overflowed else RUN_OUTBOX
    if g.desk.in_flight or (status != RUN_ON and status != RUN_CONTROL):
        return status
    if g.curve.pending:
        engine_point(g)
    return RUN_STOPPED


cdef int engine_run(engine_t* g) noexcept nogil:
    cdef batch_t* b = &g.batch
    cdef int status = engine_decide(g) if g.deciding else RUN_ON
    while status == RUN_ON:
        if unlikely(
            (g.market.number >= g.pause) | (load_acquire(&g.asked) != 0) | (g.word != NULL) | (g.journal != NULL) | g.full
        ):
            status = engine_pause(g)
            if status != RUN_ON:
                return status
        status = engine_next(g, b)
        if unlikely(status != RUN_ON):
            return status
        if unlikely(g.curve.pending and b.now_ns > g.curve.until_ns):
            engine_point(g)
        status = engine_reports(g, b) if b.own else engine_market(g, b)
        if status == RUN_ON and not b.open and (
            g.noted or desk_waits(g.desk, b.now_ns) or (g.timer_count and g.timers[0].due_ns <= b.now_ns)
        ):
            status = engine_decide(g)
        if unlikely(g.watch.on):
            stopwatch_stop(g.watch)
        if unlikely(b.now_ns >= g.control_ns and (g.later or b.now_ns > g.control_ns) and status == RUN_ON and not b.open):
            status = RUN_CONTROL
        if unlikely(g.desk.overflowed | g.desk.stopped | (g.desk.misused != 0)):
            status = engine_trouble(g, status)
    return status


cdef void engine_middle(engine_t* g, uint32_t symbol_id) noexcept nogil:
    # The best prices of the instrument of the curve have changed.
    cdef const book_t* book = market_book(g.market, symbol_id)
    cdef int64_t bid = book_best_bid(book), ask = book_best_ask(book)
    if bid != NO_PRICE and ask != NO_PRICE and bid < ask:
        g.desk.accounts[symbol_id].mark_ticks = (bid + ask) >> 1


cdef int engine_books(engine_t* g) noexcept nogil:
    # The loop of a run without strategies, over a history as it comes.
    cdef batch_t* b = &g.batch
    cdef market_t* m = g.market
    cdef book_change_t c
    cdef const event_t* e
    cdef uint32_t i, n, symbol_id = g.curve.symbol_id
    cdef int64_t next_ns
    cdef bint far, late
    cdef int status
    while True:
        if g.at == b.n:
            g.at = b.n = 0
            if unlikely(m.number >= g.pause):
                return RUN_PAUSE
            status = engine_next(g, b)
            if status != RUN_ON:
                return status
            lap(g.watch, STAGE_DECODE)
        far = bookset_far(m.books)
        n = b.n
        next_ns = g.curve.next_ns
        for i in range(g.at, n):
            e = &b.events[i]
            late = e.exch_ns >= next_ns
            if unlikely(late) and spool_room(g.curve.spool) == 0:
                g.at = i
                return RUN_ROOM
            prefetch(e + AHEAD_RECORDS)
            bookset_ahead(m.books, far, b.events, i, n)
            status = market_apply(m, e, &c)
            if unlikely(status != RESULT_OK):
                if status == RESULT_NO_MEMORY:
                    return RUN_MEMORY
                continue
            if e.symbol_id == symbol_id and c.top_changed:
                engine_middle(g, symbol_id)
            if unlikely(late):
                engine_curve(g, e, c.kind)
                if g.curve.pending:
                    engine_point(g)
                next_ns = g.curve.next_ns
        g.at = n
        lap(g.watch, STAGE_BOOK)
        if n:
            g.last_ns = b.events[n - 1].exch_ns
        if unlikely(g.watch.on):
            stopwatch_stop(g.watch)


# ---- Python ----

@cython.final
@cython.no_gc_clear
cdef class Engine:
    """Engine(source, market, desk=None, strategies=None, *, curve_symbol_id=None, curve_interval_ns=1000000000, \
sample_every=256, journal=None, on_control=None)\n--\n\n
    Engine(source, market, desk=None, strategies=None, *, curve_symbol_id=None, \
curve_interval_ns=1000000000, sample_every=256, journal=None, on_control=None)\n--\n
    Run a source through market, strategies and desk.

    Parameters
    ----------
    source : Source
        What happens: a simulator, or a history alone where nothing decides on it.
    market : Market
        Books and trading states as we know them; a simulator has the same one.
    desk : Desk, optional
        Our side. Without strategies it is not needed.
    strategies : dict of str to Strategy, optional
        By name, which is the order in which they are called; at most 256. Each is told of its own orders, and sees its own positions.
    curve_symbol_id : int or sequence of int, optional
        Instrument whose position and profit the curve follows, or several.
    curve_interval_ns : int, default 1_000_000_000
        One point of the curve per interval of exchange time, 1..2**60: at the first event of the instrument in it, of several that of any
        instrument that a strategy asked for.
    sample_every : int, default 256
        Latencies of one message in so many, 0..2**40: 1 every message, 0 none.
    journal : Journal, optional
        Writes down what passes between the run and its venue.
    on_control : callable(number, time_ns, what), optional
        Does what `control` was asked for. The kill switch of the limits is a control too: ``{"action": "kill", "by": ...}``.

    Attributes
    ----------
    source, market, desk, strategies
        The parts, to be read between calls.
    stopwatch : Stopwatch
        Latencies by stage.

    Notes
    -----
    **Thread safety**: one thread at a time; `run` releases the GIL unless a strategy is written in Python, and the parts belong to the run.
    """

    def __cinit__(
        self, Source source not None, Market market not None, Desk desk=None, strategies=None, *, curve_symbol_id=None,
        curve_interval_ns=1_000_000_000, sample_every=256, Journal journal=None, on_control=None,
    ):
        cdef engine_t* g = &self._g
        cdef int64_t interval = as_int64(curve_interval_ns)
        cdef uint32_t i, capacity = market._m.capacity
        cdef TickStore store
        if source._source == NULL:
            raise ValueError(f"source must be one of the compiled sources: source={source!r}")
        if strategies and not source._source.instants:
            raise ValueError(f"strategies need a source of instants, put the history into a Simulator: source={source!r}")
        if strategies and desk is None:
            raise ValueError("strategies need a desk: desk=None")
        if journal is not None and source._gateway == NULL:
            raise ValueError(f"a journal needs a source with a way out: source={source!r}")
        if not 1 <= interval <= <int64_t> 1 << 60:
            raise ValueError(f"curve_interval_ns must be in 1..{1 << 60}: curve_interval_ns={curve_interval_ns}")
        alone(&market._m.books.orders.busy)
        self.source = source
        self.market = market
        self.desk = Desk(symbols=capacity) if desk is None else desk
        alone(&self.desk._busy)
        if self.desk._d.capacity != capacity:
            raise ValueError(f"desk and market must be of one size: desk={self.desk._d.capacity} market={capacity}")
        self.strategies = dict(sorted((strategies or {}).items()))
        self._ordered = list(self.strategies.values())
        self._on_control, self._asked, self._planned = on_control, deque(), []
        g.control_ns = NEVER
        self.stopwatch = Stopwatch(sample_every)
        self._reports = Spool(EVENT_DTYPE, 2 * REPORTS_ROOM)
        self._wanted = np.zeros(capacity, np.uint8)
        g.source = source._source
        g.market = &market._m
        g.desk = &self.desk._d
        self.journal = journal
        if journal is not None:
            g.journal = &journal._j
        self.desk._divide(<uint32_t> len(self._ordered))
        g.watch = &self.stopwatch._w
        g.spool = &self._reports._s
        g.strategy_count = <uint32_t> len(self._ordered)
        g.strategies = <strategy_t**> fc_alloc(g.strategy_count + 1, sizeof(strategy_t*))
        g.called = <uint8_t*> fc_alloc(g.strategy_count + 1, 1)
        g.tops = <top_t*> calloc(capacity, sizeof(top_t))
        g.touched = <uint32_t*> calloc(capacity, sizeof(uint32_t))
        g.context.out = <event_t*> fc_alloc(OUTBOX, sizeof(event_t))
        if g.strategies == NULL or g.called == NULL or g.tops == NULL or g.touched == NULL or g.context.out == NULL:
            raise MemoryError(f"no memory for an engine: symbols={capacity}")
        for i in range(4):
            g.notes[i].capacity = 64
            g.notes[i].notes = <note_t*> fc_alloc(64, sizeof(note_t))
            if g.notes[i].notes == NULL:
                raise MemoryError("no memory for the notes of an engine")
        g.context.size = sizeof(context_t)
        g.context.version = CONTEXT_VERSION
        g.context.tops = g.tops
        g.context.positions = g.context.account = g.desk.positions
        g.context.market = g.market
        g.context.room = OUTBOX
        g.context.watch = g.watch
        g.context.orders = g.desk.orders
        g.context.next_order_id = &g.desk.next_id
        g.curve.symbol_id = NO_SYMBOL
        g.curve.next_ns = g.wanted.mark_ns = NEVER
        g.wanted.capacity = capacity
        g.wanted.tops = g.tops
        g.wanted.symbols = <const uint8_t*> cnp.PyArray_DATA(self._wanted)
        for i in range(g.strategy_count):
            self._add(i, self._ordered[i])
        for symbol_id in self.desk.limits.rate_symbol_ids:
            self._want(symbol_id)
        if curve_symbol_id is not None:
            several = list(curve_symbol_id) if isinstance(curve_symbol_id, Iterable) else [curve_symbol_id]
            if len(several) > 1 and not strategies:
                raise ValueError(f"a curve of several instruments needs strategies: curve_symbol_id={several}")
            if not 1 <= len(several) <= CURVE_ROOM:
                raise ValueError(f"curve_symbol_id must be one instrument, or 1 to {CURVE_ROOM}: instruments={len(several)}")
            self._curve_ids = np.array([self._want(each) for each in several], np.uint32)
            self._shape = [-1, len(several)] if isinstance(curve_symbol_id, Iterable) else [-1]
            for each in several:
                if not g.desk.accounts[<uint32_t> each].known:
                    self.desk.open(each)
            g.curve.symbol_ids = <const uint32_t*> cnp.PyArray_DATA(self._curve_ids)
            g.curve.count = <uint32_t> len(several)
            if g.curve.count == 1:
                g.curve.symbol_id = g.curve.symbol_ids[0]
            self._curve = Spool(CURVE_DTYPE, CURVE_ROOM)
            g.curve.spool = &self._curve._s
            g.curve.interval_ns = interval
            g.curve.next_ns = g.wanted.mark_ns = NO_PRICE
        written = [getattr(part, "store", None) for part in (*self._ordered, journal)]
        self._stores = list({id(part): part for part in written if isinstance(part, TickStore)}.values())
        self._flags = <uint64_t**> fc_alloc(2 + len(self._stores), sizeof(uint64_t*))
        if self._flags == NULL:
            raise MemoryError("no memory for an engine")
        self._flags[0], self._flags[1] = &g.market.books.orders.busy, &self.desk._busy
        for store in self._stores:
            self._flags[2 + self._flag_count] = &store._lent
            self._flag_count += 1
        self._flag_count += 2

    def __dealloc__(self):
        cdef int i
        fc_free(self._flags)
        fc_free(self._g.strategies)
        fc_free(self._g.called)
        free(self._g.tops)
        free(self._g.touched)
        fc_free(self._g.context.out)
        for i in range(4):
            fc_free(self._g.notes[i].notes)

    # The row of an instrument that somebody asked for.
    cdef uint32_t _want(self, object symbol_id) except? 0xFFFFFFFF:
        cdef uint32_t number = self.market._id(symbol_id)
        if bookset_open(self.market._m.books, number) == NULL:
            raise MemoryError(f"no memory for a book: symbol_id={symbol_id}")
        self._wanted[number] = 1
        self._g.tops[number].bid = self._g.tops[number].ask = NO_PRICE
        return number

    cdef int _add(self, uint32_t i, Strategy strategy) except -1:
        cdef strategy_t* s = strategy._strategy
        if s == NULL:
            raise ValueError(f"strategy must be one of the compiled ones: strategy={strategy!r}")
        self._g.strategies[i] = s
        self._python |= strategy.python
        for symbol_id in strategy.symbol_ids or (() if s.symbol_id == NO_SYMBOL else (s.symbol_id,)):
            self._want(symbol_id)
        if s.hooks >> ON_EVENT & 1:
            self._g.wanted.kinds |= s.kinds
        if s.hooks >> ON_REPORT & 1:
            self._g.reports |= s.reports
        return 0

    cdef int _make_room(self) except -1:
        if self._g.deciding:
            (<Strategy> self._ordered[self._g.strategy]).make_room()
            return 0
        self._g.full = False
        if spool_room(&self._reports._s) < REPORTS_ROOM:
            self._reports.drain()
        if self._curve is not None:
            self._curve.drain()
        if self.journal is not None:
            self.journal.make_room(REPORTS_ROOM)
        return 0

    # What was asked for since the last look, in the order of time and of asking.
    cdef int _take_controls(self) except -1:
        cdef engine_t* g = &self._g
        store_release(&g.asked, 0)
        if g.word != NULL and load_acquire(g.word) != 0 and not g.down:
            g.down = 1
            self._asked.append((None, {"action": "kill", "by": repr(self.desk.limits.kill_switch)}))
        while self._asked:
            due_ns, what = self._asked.popleft()
            self._controls += 1
            due_ns = g.context.now_ns + 1 if due_ns is None else max(due_ns, g.context.now_ns + 1)
            heappush(self._planned, (due_ns, self._controls, what))
        g.control_ns = self._planned[0][0] if self._planned else NEVER
        return 0

    # One is due.
    cdef int _control(self) except -1:
        cdef engine_t* g = &self._g
        cdef event_t e
        due_ns, number, what = heappop(self._planned)
        g.control_ns = self._planned[0][0] if self._planned else NEVER
        g.context.now_ns = due_ns
        if g.word != NULL and load_acquire(g.word) == 0:
            g.down = 0      # the switch is up again, and so it may be armed
        self._on_control(number, due_ns, what)
        if g.journal != NULL:
            e.seq = g.context.cause
            e.exch_ns = e.local_ns = due_ns
            e.symbol_id = NO_SYMBOL
            e.kind = KIND_CONTROL
            e.side = 0
            e.flags = FLAG_OWN
            e.price = NO_PRICE
            e.size = e.match_id = 0
            e.order_id = number
            journal_write(g.journal, &e)
        desk_send(g.desk, g.market, g.context.out, 0, due_ns, g.context.cause)
        return 0

    def control(self, what, due_ns=None):
        """Ask for something to be done between two instants: `on_control` gets it, and the desk acts on it at once.

        Parameters
        ----------
        what : object
        due_ns : int, optional
            Our time, behind everything of that time; by default, and where that is over, a nanosecond after the newest instant.

        Notes
        -----
        **Thread safety**: any thread.
        """
        if self._on_control is None or not self._ordered:
            raise ValueError("controls need strategies and on_control")
        self._asked.append((None if due_ns is None else as_int64(due_ns), what))
        store_release(&self._g.asked, 1)

    @property
    def controls_waiting(self):
        """Controls that are not due yet."""
        return len(self._planned) + len(self._asked)

    cdef int _raise(self, int status) except -1:
        cdef engine_t* g = &self._g
        if status == RUN_SOURCE:
            self.source.fail()
        if status == RUN_STRATEGY:
            (<Strategy> self._ordered[g.strategy]).fail()
        if status == RUN_MEMORY:
            raise MemoryError(f"no memory for a book or for what strategies are called for: events={g.market.number}")
        if status == RUN_ACCOUNT:
            raise OverflowError(
                "position, cash and turnover in ticks * lots must fit into 64 bits, read the feed in coarser units: "
                f"fills={g.desk.fills}"
            )
        if self.journal is not None and g.journal.failed:
            self.journal.fail()
        if status == RUN_OUTBOX:
            raise ValueError(
                f"an outbox holds at most {OUTBOX} commands and {TIMERS} timers, quotes of opened accounts where there is a gateway: "
                f"kind={g.desk.misused} commands={g.context.n}"
            )
        return 0

    # Call every strategy that asked for it outside of an instant; what it wants leaves at once.
    cdef int _all(self, uint32_t hook) except -1:
        cdef engine_t* g = &self._g
        cdef uint32_t i
        cdef int status
        for i in range(g.strategy_count):
            if g.strategies[i].hooks >> hook & 1:
                status = engine_call(g, i, hook, NULL, NULL)
                g.called[i] = False
                if status != RUN_ON:
                    g.strategy = i
                    self._raise(status)
        engine_take_timers(g)
        desk_send(g.desk, g.market, g.context.out, g.context.n, g.context.now_ns, g.context.cause)
        g.context.n = 0
        return 0

    cdef int _enter(self) except -1:
        # What the loop works on belongs to it, or nothing does; a strategy in Python may use the rest of it in its callbacks.
        cdef engine_t* g = &self._g
        cdef TickStore store
        if self._python:
            enter(&self.source._busy)
        else:
            for store in self._stores:
                store._check_open()
            enter_all(self._flags, self._flag_count)
            try:
                self.source.enter()
            except BaseException:
                leave_all(self._flags, self._flag_count)
                raise
            for store in self._stores:
                store._enter()
        # Another engine may have used it meanwhile, and be gone.
        self.source.attach(g.watch, &g.wanted)
        g.desk.gateway = self.source._gateway
        if g.journal != NULL:
            g.journal.gateway = self.source._gateway
            g.desk.gateway = &g.journal.base
        return 0

    cdef void _leave(self) noexcept:
        cdef TickStore store
        if self._python:
            leave(&self.source._busy)
            return
        for store in self._stores:
            store._leave()
        self.source.leave()
        leave_all(self._flags, self._flag_count)

    cdef int _alone(self) except -1:
        # Nobody is at work on any of it.
        self._enter()
        self._leave()

    def stop(self):
        """Tell the strategies that the run is over; what they send now is recorded and never answered."""
        alone(&self._busy)
        self._alone()
        if self.journal is not None:
            self.journal.make_room(REPORTS_ROOM)
        self._all(ON_STOP)

    def run(self):
        """Run until the source has no more, or for now.

        Returns
        -------
        str
            "end"; "idle" where a live source has nothing now; "stopped" after the loss limit of the desk, with all own orders pulled:
            nothing more is done then. A run at its end goes on when its source has got more.

        Raises
        ------
        CorruptDataError
            At a malformed message, if the source is strict; everything before it has been worked on.
        StoreError
            If a store could not take a tick.
        OverflowError
            If a fill does not fit into the accounts, which count ticks * lots in 64 bits.
        MemoryError
            If a table could not grow.
        """
        cdef engine_t* g = &self._g
        cdef bint books = g.strategy_count == 0 and not g.source.instants
        cdef const uint64_t* word = g.desk.gate.word
        enter(&self._busy)
        try:
            if self.journal is not None:
                self.journal.make_room(REPORTS_ROOM)
            if self._on_control is not None:
                g.word, g.desk.gate.word = word, &g.down
            if not self._started:
                self._alone()
                self._started = True
                self._all(ON_START)
            return self._run(books)
        finally:
            g.desk.gate.word = word
            leave(&self._busy)

    cdef str _run(self, bint books):
        cdef engine_t* g = &self._g
        cdef int status
        cdef int64_t start
        while True:
            if self.stopped:
                return "stopped"
            PyErr_CheckSignals()
            if self._on_control is not None:
                self._take_controls()
            g.pause = g.market.number + PAUSE
            start = clock_monotonic_ns()
            self._enter()
            if self._python:
                status = engine_run(g)
            else:
                with nogil:
                    status = engine_books(g) if books else engine_run(g)
            self._leave()
            g.loop_ns += clock_monotonic_ns() - start
            if status == RUN_ROOM:
                self._make_room()
            elif status == RUN_CONTROL:
                self._control()
            elif status == RUN_REFILL:
                if not self.source.refill():
                    break
            elif status == RUN_END:
                break
            elif status == RUN_IDLE:
                return "idle"
            elif status not in (RUN_STOPPED, RUN_PAUSE):
                self._raise(status)
        if g.curve.pending:
            engine_point(g)
        return "end"

    def reports(self):
        """Return the orders, refusals and fills so far, oldest first.

        Returns
        -------
        ndarray of EVENT_DTYPE, shape (n,)
            A copy; `seq` is the number of the market event that caused each.
        """
        alone(&self._busy)
        reports = self._reports.array()
        reports["seq"] &= <uint64_t> CAUSE
        return reports

    def owners(self):
        """Return whose each of `reports` is: indexes of strategies in the order of their names.

        Returns
        -------
        ndarray of uint8, shape (n,)
        """
        alone(&self._busy)
        return (self._reports.array()["seq"] >> <uint64_t> OWNER_SHIFT).astype(np.uint8)

    def curve(self):
        """Return the state at the first event of each interval of exchange time.

        Returns
        -------
        ndarray of CURVE_DTYPE, shape (n,), of several instruments (n, instruments)
            A copy: `exch_ns`; `mid_ticks` (NO_PRICE before the first); `position_lots`; `profit` in ticks * lots after fees
            (NO_PRICE where an open position has no mark).
        """
        alone(&self._busy)
        return np.empty(0, CURVE_DTYPE) if self._curve is None else self._curve.array().reshape(self._shape)

    @property
    def events(self):
        """Events of the market that were worked on."""
        return self._g.market.number

    @property
    def stopped(self):
        """Whether the loss limit has stopped the run."""
        return bool(self._g.desk.stopped and self._g.desk.in_flight == 0)

    @property
    def loop_ns(self):
        """Nanoseconds spent inside the compiled loop."""
        return self._g.loop_ns

    @property
    def last_ns(self):
        """Exchange time of the last event."""
        return self._g.last_ns

    def __repr__(self):
        return f"Engine({self.source!r}, {self.market!r}, {self.desk!r}, strategies={list(self.strategies)})"
