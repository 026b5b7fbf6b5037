# cython: freethreading_compatible=True
"""The simulator: a recorded history and a venue beside it, as the source and the gateway of a run.

Own orders are kept beside the recorded book (``fastcore.sim.venue`` has the rules of fills); their reports come back as events between
those of the history.
"""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from fastcore._integers cimport as_int64
from fastcore.book cimport AHEAD_RECORDS, book_change_t, book_t
from fastcore.bookset cimport bookset_ahead, bookset_far, bookset_open
from fastcore.gateway cimport gateway_t
from fastcore.market cimport Market, market_apply, market_book
from fastcore.records cimport (
    FLAG_CONTINUED, FLAG_OWN, FLAG_SNAPSHOT, KIND_CLEAR, KIND_GAP, KIND_NONE, KIND_REJECT, KIND_SYSTEM, NO_SYMBOL, RESULT_FULL, RESULT_NO_MEMORY,
    RESULT_OK, RESULT_UNKNOWN_SYMBOL, event_t, fc_alloc, fc_free, likely, prefetch, unlikely,
)
from fastcore.sim.lines cimport line_arrived, line_due, line_free, line_init, line_room, line_send
from fastcore.sim.venue cimport Venue, venue_apply, venue_message, venue_t
from fastcore.source cimport (
    NEVER, SOURCE_ERROR, SOURCE_LATER, SOURCE_OK, SOURCE_REFILL, Source, batch_t, source_t, wanted_t,
)
from fastcore.stopwatch cimport STAGE_BOOK, STAGE_DECODE, STAGE_VENUE, lap, stopwatch_t

__all__ = ["Simulator"]

cdef enum:
    OWN_ORDERS = 16                                 # that can rest on a side of an instrument
    REPORTS = 2 * OWN_ORDERS + 64 + 4               # that one event or message can cause at most


# Until a run says what it wants.
cdef wanted_t NOTHING
NOTHING.mark_ns = NEVER


cdef void sim_collect(sim_t* s, venue_t* v) noexcept nogil:
    # The reports of a venue go on their way.
    cdef int64_t i
    for i in range(v.report_count):
        line_send(&s.down, &v.reports[i], s.now_ns)
    v.report_count = 0


cdef void sim_apply_to_all(sim_t* s, const event_t* e, const book_change_t* c) noexcept nogil:
    # A clear or a gap of the whole feed.
    cdef uint32_t i
    for i in range(s.opened_count):
        venue_apply(s.opened[i], e, c, s.market.number)
        sim_collect(s, s.opened[i])


cdef bint sim_rare(sim_t* s, const event_t* e, const book_change_t* c) noexcept nogil:
    # An event of no wanted instrument: whether it was asked for all the same.
    if e.symbol_id == NO_SYMBOL and (c.kind == KIND_CLEAR or c.kind == KIND_GAP):
        sim_apply_to_all(s, e, c)
    return (e.symbol_id == NO_SYMBOL or c.kind == KIND_SYSTEM) and s.wanted.kinds >> (c.kind & 63) & 1


cdef inline int64_t sim_time(int64_t now, const event_t* e) noexcept nogil:
    """Venue time of an event that comes after `now`; images do not move the clock, and it never goes back."""
    cdef int64_t t = e.exch_ns
    if unlikely(t == 0):
        t = e.local_ns
    if unlikely(e.flags & FLAG_SNAPSHOT) and now != -NEVER:
        return now
    return t if t > now else now    # whether it is the same time cannot be predicted: no branch


cdef void sim_reports(sim_t* s, batch_t* out) noexcept nogil:
    out.events = line_arrived(&s.down, s.now_ns, &out.n)
    out.changes = NULL
    out.first = 0
    out.own = True
    out.now_ns = s.our_ns
    out.open = s.inside or line_due(&s.down) <= s.now_ns
    s.waiting = out.open


cdef int sim_message(sim_t* s, const event_t* e, int64_t now_ns) noexcept nogil:
    # One of our messages is at the venue.
    cdef venue_t* v = s.venues[e.symbol_id] if e.symbol_id < s.capacity else NULL
    cdef event_t reject
    if line_room(&s.down) < REPORTS:
        return RESULT_FULL
    if unlikely(v == NULL):
        reject = e[0]
        reject.kind = KIND_REJECT
        reject.flags = FLAG_OWN
        reject.match_id = RESULT_UNKNOWN_SYMBOL
        line_send(&s.down, &reject, s.now_ns)
        return RESULT_OK
    v.now_ns = now_ns
    v.now_seq = e.seq
    venue_message(v, market_book(s.market, e.symbol_id), e)
    sim_collect(s, v)
    return RESULT_OK


cdef int sim_send(gateway_t* gateway, const event_t* e, int64_t now_ns) noexcept nogil:
    cdef sim_t* s = (<sim_gateway_t*> gateway).sim
    if s.by_message:
        return sim_message(s, e, now_ns)
    if line_room(&s.up) == 0:
        return RESULT_FULL
    line_send(&s.up, e, now_ns)
    return RESULT_OK


cdef int sim_refuse(gateway_t* gateway, const event_t* e, int64_t now_ns) noexcept nogil:
    cdef sim_t* s = (<sim_gateway_t*> gateway).sim
    if line_room(&s.down) == 0:
        return RESULT_FULL
    line_send(&s.down, e, s.now_ns)
    return RESULT_OK


cdef int sim_arrivals(sim_t* s) noexcept nogil:
    # Our messages of one time reach the venue.
    cdef int64_t now = line_due(&s.up)
    cdef const event_t* e
    cdef uint32_t n = 0, i
    s.rounds = s.rounds + 1 if now <= s.now_ns else 1
    if s.rounds > SIM_ROUNDS:
        return SOURCE_ERROR
    if now > s.now_ns:
        s.now_ns = s.our_ns = now
    e = line_arrived(&s.up, s.now_ns, &n)
    for i in range(n):
        if sim_message(s, &e[i], s.now_ns) != RESULT_OK:
            s.up.head -= n - i  # the rest waits until reports have been handed out
            break
    return SOURCE_OK


cdef int sim_run(sim_t* s, int64_t due_ns, batch_t* out) noexcept nogil:
    # Apply events of the history up to the end of the first instant in which something happened.
    cdef market_t* m = s.market
    cdef const event_t* events = s.batch.events + s.at
    cdef const event_t* e
    cdef book_change_t* c
    cdef venue_t* v
    # What the loop needs of the structs, which stores through pointers would make it load again.
    cdef venue_t** venues = s.venues
    cdef stopwatch_t* watch = s.base.watch
    cdef const uint8_t* wanted = s.wanted.symbols
    cdef uint64_t kinds = s.wanted.kinds
    cdef uint32_t capacity = s.wanted.capacity, n = s.batch.n - s.at, i = 0, first = 0
    cdef int64_t t, now = s.now_ns, mark = s.wanted.mark_ns
    cdef bint by_message = s.by_message, inside = s.inside
    cdef bint happened = s.waiting  # in a part of the instant that was handed out before
    cdef bint far = bookset_far(m.books)
    cdef int result = RESULT_OK
    if n > SIM_CHANGES:
        n = SIM_CHANGES
    while i < n:
        e = events + i
        c = &s.changes[i]
        t = sim_time(now, e)
        if (not inside) if by_message else t > now:     # an instant begins
            if happened or t > due_ns:
                inside = False
                break
            first = i
        now = t
        prefetch(e + AHEAD_RECORDS)
        if far:
            bookset_ahead(m.books, events, i, n)
        result = market_apply(m, e, c)
        lap(watch, STAGE_BOOK)
        inside = not by_message or e.flags & FLAG_CONTINUED
        i += 1
        if likely(e.symbol_id < capacity and wanted[e.symbol_id]):
            if likely(result == RESULT_OK):
                v = venues[e.symbol_id]
                if v != NULL and likely(not m.rare >> (e.kind & 63) & 1):
                    venue_apply(v, e, c, m.number)
                    if unlikely(v.report_count):
                        s.now_ns = now
                        sim_collect(s, v)
                        happened = True
                        if line_room(&s.down) < REPORTS:
                            break
                    lap(watch, STAGE_VENUE)
                happened |= kinds >> (c.kind & 63) & 1
            else:
                c.kind = KIND_NONE
                if result == RESULT_NO_MEMORY:
                    return SOURCE_ERROR
            happened |= c.top_changed
        elif unlikely(result != RESULT_OK):
            if result == RESULT_NO_MEMORY:
                return SOURCE_ERROR
        elif unlikely(e.symbol_id >= capacity or c.kind == KIND_SYSTEM):
            s.now_ns = now
            happened |= sim_rare(s, e, c)
        if unlikely(e.exch_ns >= mark):
            break
    s.now_ns = now
    s.inside = inside
    s.at += i
    if i:
        if first or not s.waiting:
            s.rounds = 0
        s.our_ns = events[i - 1].exch_ns if by_message and events[i - 1].exch_ns else now
    out.events = events
    out.changes = s.changes if s.shared else NULL
    out.n = i
    out.first = first
    out.own = False
    out.now_ns = s.our_ns
    out.open = inside or line_due(&s.down) <= now
    s.waiting = out.open and happened
    return SOURCE_OK


cdef int sim_next(source_t* source, int64_t until_ns, batch_t* out) noexcept nogil:
    cdef sim_t* s = <sim_t*> source
    cdef int64_t t, up
    cdef int status
    while True:
        # Reports reach us when the events of their time have happened.
        if line_due(&s.down) <= s.now_ns and (s.by_message or not s.inside or line_room(&s.down) < REPORTS):
            sim_reports(s, out)
            return SOURCE_OK
        t = NEVER
        if s.at == s.batch.n:
            s.at = s.batch.n = 0
            status = s.history.next(s.history, NEVER, &s.batch)
            lap(s.base.watch, STAGE_DECODE)
            if status != SOURCE_OK and not (status == SOURCE_REFILL and s.ended):
                return status
        if s.batch.n:
            t = sim_time(s.now_ns, s.batch.events + s.at)
        if not s.by_message and t > s.now_ns and s.inside:
            # The time before is over.
            s.inside = False
            if line_due(&s.down) <= s.now_ns:
                continue
            if s.waiting:
                s.waiting = False
                out.n = out.first = 0
                out.own = out.open = False
                out.now_ns = s.our_ns
                return SOURCE_OK
        up = line_due(&s.up)
        if up < t and up <= until_ns and (t != NEVER or up <= s.now_ns):
            status = sim_arrivals(s)
            if status != SOURCE_OK:
                return status
            continue
        if t == NEVER:
            return SOURCE_REFILL
        if t > until_ns:
            return SOURCE_LATER
        status = sim_run(s, until_ns if until_ns < up else up, out)
        if status != SOURCE_OK or out.n:
            return status


@cython.final
cdef class Simulator(Source):
    """Simulator(history, market, *, instant="message", venue_market=None)\n--\n\n
    Simulator(history, market, *, instant='message', venue_market=None)\n--\n
    A history and a simulated venue: what a backtest reads its events from, and sends its orders to.

    Parameters
    ----------
    history : Source
        Recorded events in the order of the venue.
    market : Market
        Books and states that the strategies see.
    instant : {"message", "time"}, default "message"
        What is decided on. "message": each message is an instant of its own, and an order takes effect at once, before the next
        message, even one of the same time. "time": all events of one venue time are an instant, and orders arrive after them.
    venue_market : Market, optional
        Books and states of the venue where they are not those of `market`: the run applies each event twice, and gives the same results.
    symbols : int, default 65536
        Instruments that may come.

    Attributes
    ----------
    venues : dict of int to Venue
        By dense id, for the instruments that were opened.

    Notes
    -----
    **Thread safety**: belongs to one run.
    """

    def __cinit__(self, Source history not None, Market market not None, *, str instant="message", Market venue_market=None):
        cdef sim_t* s = &self._s
        if instant not in ("message", "time"):
            raise ValueError(f"instant must be message or time: instant={instant!r}")
        if history._source == NULL or history._source.instants:
            raise ValueError(f"history must be a source of recorded events: history={history!r}")
        if venue_market is market or (venue_market is not None and venue_market.book != market.book):
            raise ValueError(f"venue_market must be another market with the same books: venue_market={venue_market!r}")
        self.history = history
        self.market = market
        self.instant = instant
        self.venues = {}
        self._venue_market = venue_market
        s.base.next = sim_next
        s.base.watch = history._source.watch
        s.base.instants = True
        s.gateway.base.send = sim_send
        s.gateway.base.refuse = sim_refuse
        s.gateway.sim = s
        s.history = history._source
        s.shared = venue_market is None
        s.market = &(market if s.shared else venue_market)._m
        s.by_message = instant == "message"
        s.capacity = market._m.capacity
        s.now_ns = -NEVER
        s.wanted = &NOTHING
        s.venues = <venue_t**> calloc(s.capacity, sizeof(venue_t*))
        s.changes = <book_change_t*> fc_alloc(SIM_CHANGES, sizeof(book_change_t))
        if (
            s.venues == NULL or s.changes == NULL or line_init(&s.up, SIM_LINE) != RESULT_OK
            or line_init(&s.down, SIM_LINE) != RESULT_OK
        ):
            raise MemoryError("no memory for a simulator")
        self._source = &s.base
        self._gateway = &s.gateway.base

    def __dealloc__(self):
        line_free(&self._s.up)
        line_free(&self._s.down)
        free(self._s.venues)
        fc_free(self._s.changes)

    def open(self, symbol_id):
        """Let orders for an instrument in, and return its venue.

        Parameters
        ----------
        symbol_id : int
            Dense id.

        Returns
        -------
        Venue
        """
        cdef int64_t number = as_int64(symbol_id)
        cdef Venue venue
        if not 0 <= number < self._s.capacity:
            raise ValueError(f"symbol_id must be in 0..{self._s.capacity - 1}: symbol_id={symbol_id}")
        if symbol_id not in self.venues:
            if bookset_open(self._s.market.books, <uint32_t> number) == NULL:
                raise MemoryError(f"no memory for a book: symbol_id={symbol_id}")
            venue = Venue(OWN_ORDERS, symbol_id, self._s.market.books.by_level)
            self.venues[symbol_id] = venue
            if self._s.opened_count == SIM_VENUES:
                raise ValueError(f"instruments that orders are let in for must be at most {SIM_VENUES}: symbol_id={symbol_id}")
            self._s.opened[self._s.opened_count] = self._s.venues[number] = &venue._v
            self._s.opened_count += 1
        return self.venues[symbol_id]

    cdef bint refill(self) except -1:
        if self.history.refill():
            self._s.ended = False
            return True
        if self._s.ended:
            return False
        self._s.ended = True  # once more: what is due at the last time
        return True

    cdef int fail(self) except -1:
        if self._s.rounds > SIM_ROUNDS:
            raise RuntimeError(f"orders at one time must come to an end: rounds={self._s.rounds} time={self._s.now_ns}")
        if self._s.at < self._s.batch.n:
            raise MemoryError(f"no memory for a book: events={self._s.market.number}")
        self.history.fail()

    cdef int attach(self, stopwatch_t* watch, const wanted_t* wanted) except -1:
        self._s.base.watch = watch
        self._s.wanted = wanted
        self.history.attach(watch, wanted)
        return 0

    def __repr__(self):
        return f"Simulator({self.history!r}, instant={self.instant!r}, instruments opened: {sorted(self.venues)})"
