# cython: freethreading_compatible=True
"""The simulator: a recorded history and a venue beside it, as the source and the gateway of a run.

Own orders are kept beside the recorded book (``fastcore.sim.venue`` has the rules of fills); their reports come back as events between
those of the history, each at the time at which we learn of it.
"""

cimport cython
from libc.stdint cimport INT64_MAX, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from fastcore._guard cimport alone, enter, enter_all, leave, leave_all
from fastcore._integers cimport as_int64
from fastcore.book cimport AHEAD_RECORDS, book_change_t, book_t, book_top, top_t
from fastcore.bookset cimport bookset_ahead, bookset_far, bookset_open
from fastcore.gateway cimport gateway_t
from fastcore.market cimport Market, market_book, market_change, market_t, market_take
from fastcore.records cimport (
    FLAG_SNAPSHOT, KIND_CLEAR, KIND_FILL, KIND_GAP, KIND_NONE, KIND_REJECT, KIND_SYSTEM, NO_PRICE, NO_SYMBOL, RESULT_NO_MEMORY, RESULT_OK,
    RESULT_UNKNOWN_SYMBOL, event_t, fc_alloc, fc_free, likely, prefetch, unlikely,
)
from fastcore.sim.latency cimport Latency, latency_least
from fastcore.sim.lines cimport line_arrived, line_free, line_init, line_put, line_send, line_send_all
from fastcore.sim.markouts cimport Markouts, markouts_fill, markouts_t, markouts_take, middle_of
from fastcore.sim.queues cimport QueueModel
from fastcore.sim.venue cimport (
    VENUE_ALWAYS, VENUE_APART, Venue, venue_apply, venue_concerns, venue_due, venue_expire, venue_message, venue_t,
)
from fastcore.source cimport (
    NEVER, SOURCE_END, SOURCE_ERROR, SOURCE_LATER, SOURCE_OK, SOURCE_REFILL, Source, batch_t, source_t, wanted_t,
)
from fastcore.stopwatch cimport STAGE_BOOK, STAGE_DECODE, STAGE_VENUE, lap, stopwatch_t

from types import MappingProxyType

from fastcore.errors import EndlessOrdersError

__all__ = ["Simulator"]

cdef int64_t LONGEST_NS = <int64_t> 1 << 60

cdef enum:
    OWN_ORDERS = 64     # that can rest on a side of an instrument


# Until a run says what it wants.
cdef wanted_t NOTHING
NOTHING.mark_ns = NEVER
# Of a run that nobody asks for mark-outs.
cdef markouts_t NO_MARKOUTS
NO_MARKOUTS.due_ns = NEVER


cdef inline int64_t sim_reports_due(const sim_t* s) noexcept nogil:
    """When the earliest report reaches us."""
    cdef int64_t venue = s.down.due_ns, own = s.refused.due_ns
    return venue if venue < own else own


cdef inline int64_t sim_up_due(const sim_t* s) noexcept nogil:
    """When one of our messages reaches the venue, or one of our orders expires there."""
    cdef int64_t due = s.up.due_ns
    return due if due < s.expiry_ns else s.expiry_ns


cdef int64_t sim_middle(sim_t* s, uint32_t symbol_id) noexcept nogil:
    # Twice the middle before the present time at the venue.
    if s.two:
        return middle_of(&s.before[symbol_id])
    return NO_PRICE if s.wanted.tops == NULL else middle_of(&s.wanted.tops[symbol_id])


cdef void sim_mark(sim_t* s, const venue_t* v, bint ours) noexcept nogil:
    # Note the fills among the reports of a venue. The middle is that before the match that filled us; where it was our own message
    # that did, the one that this met.
    cdef top_t top
    cdef int64_t i, middle2 = NO_PRICE
    if ours:
        book_top(market_book(s.market, v.symbol_id), &top)
        middle2 = middle_of(&top)
    else:
        middle2 = sim_middle(s, v.symbol_id)
    for i in range(v.report_count):
        if v.reports[i].kind == KIND_FILL:
            markouts_fill(s.markouts, s.now_ns, v.symbol_id, middle2)


cdef void sim_collect(sim_t* s, venue_t* v, bint ours) noexcept nogil:
    # The reports of a venue go on their way; `ours`: a message of ours caused them.
    if unlikely(s.markouts != &NO_MARKOUTS):
        sim_mark(s, v, ours)
    s.failed |= line_send_all(&s.down, v.reports, v.report_count, s.now_ns) != RESULT_OK
    v.report_count = 0


cdef void sim_apply_to_all(sim_t* s, const event_t* e, const book_change_t* c) noexcept nogil:
    # A clear or a gap of the whole feed.
    cdef uint32_t i
    for i in range(s.opened_count):
        venue_apply(s.opened[i], e, c, s.market.number)
        sim_collect(s, s.opened[i], False)


cdef bint sim_rare(sim_t* s, const event_t* e, const book_change_t* c) noexcept nogil:
    # An event of no wanted instrument: whether it was asked for all the same.
    if e.symbol_id == NO_SYMBOL and (c.kind == KIND_CLEAR or c.kind == KIND_GAP):
        sim_apply_to_all(s, e, c)
    return (e.symbol_id == NO_SYMBOL or c.kind == KIND_SYSTEM) and s.wanted.kinds >> (c.kind & 63) & 1


cdef inline int64_t sim_time(int64_t now, const event_t* e) noexcept nogil:
    """Venue time of an event that comes after `now`; images do not move the clock, and it never goes back."""
    cdef int64_t t = e.exch_ns
    if unlikely((t == 0) | (e.flags & FLAG_SNAPSHOT != 0)):
        t = now if e.flags & FLAG_SNAPSHOT and now != -NEVER else t if t else e.local_ns
    return t if t > now else now    # whether it is the same time cannot be predicted: no branch


cdef int sim_fetch(sim_t* s) noexcept nogil:
    # The next events of the history; SOURCE_OK also where none will come, so that what is due at the last time happens.
    cdef int status
    if s.at < s.batch.n or s.over != SOURCE_OK:
        return SOURCE_OK
    s.at = s.batch.n = s.looked = 0
    status = s.history.next(s.history, NEVER, &s.batch)
    lap(s.base.watch, STAGE_DECODE)
    if status == SOURCE_END or status == SOURCE_ERROR:
        s.over = status
        return SOURCE_OK
    return status


cdef bint sim_measure(sim_t* s, int64_t t) noexcept nogil:
    # The middles of all times before `t`, the next of the history; False where room must be made first.
    return not s.markouts.full and markouts_take(s.markouts, s.market, s.now_ns if t == NEVER else t - 1)


# ---- our messages ----

cdef void sim_message(sim_t* s, const event_t* e) noexcept nogil:
    # One of them is at the venue.
    cdef venue_t* v = s.venues[e.symbol_id] if e.symbol_id < s.capacity else NULL
    cdef event_t reject
    if unlikely(v == NULL):
        reject = e[0]
        reject.kind = KIND_REJECT
        reject.match_id = RESULT_UNKNOWN_SYMBOL
        reject.exch_ns = s.now_ns
        s.failed |= line_send(&s.down, &reject, s.now_ns) != RESULT_OK
        return
    v.now_ns = s.now_ns
    v.now_seq = e.seq
    venue_message(v, market_book(s.market, e.symbol_id), e)
    sim_collect(s, v, True)
    if unlikely(venue_due(v) < s.expiry_ns):
        s.expiry_ns = venue_due(v)


cdef void sim_expire(sim_t* s) noexcept nogil:
    # Orders whose time is over.
    cdef uint32_t i
    s.expiry_ns = NEVER
    for i in range(s.opened_count):
        if venue_due(s.opened[i]) <= s.now_ns:
            venue_expire(s.opened[i], s.now_ns)
            sim_collect(s, s.opened[i], False)
        if venue_due(s.opened[i]) < s.expiry_ns:
            s.expiry_ns = venue_due(s.opened[i])


cdef int sim_arrivals(sim_t* s) noexcept nogil:
    # Those of one time reach the venue, then orders expire.
    cdef int64_t now = sim_up_due(s)
    cdef const event_t* e
    cdef uint32_t n = 0, i
    s.rounds = s.rounds + 1 if now <= s.now_ns else 1
    if now > s.now_ns:
        s.now_ns = now
    e = line_arrived(&s.up, s.now_ns, &n)
    for i in range(n):
        sim_message(s, &e[i])
    if unlikely(s.expiry_ns <= s.now_ns):
        sim_expire(s)
    return SOURCE_ERROR if s.failed or s.rounds > SIM_ROUNDS else SOURCE_OK


cdef int sim_send(gateway_t* gateway, const event_t* e, int64_t now_ns) noexcept nogil:
    cdef sim_t* s = (<sim_gateway_t*> gateway).sim
    return line_send(&s.up, e, now_ns)


cdef int sim_refuse(gateway_t* gateway, const event_t* e, int64_t now_ns) noexcept nogil:
    cdef sim_t* s = (<sim_gateway_t*> gateway).sim
    if s.refused.head == s.refused.tail:    # the ones before have been told
        s.refusals = s.refusals + 1 if now_ns == s.refused.last_ns else 1
    return line_put(&s.refused, e, now_ns)


cdef void sim_reports(sim_t* s, int64_t due_ns, bint more, batch_t* out) noexcept nogil:
    # What reaches us at a time of ours; `more`: so do events.
    out.events = line_arrived(&s.refused if s.refused.due_ns <= due_ns else &s.down, due_ns, &out.n)
    out.changes = NULL
    out.first = 0
    out.own = True
    out.now_ns = due_ns
    out.open = s.waiting = more or sim_reports_due(s) <= due_ns


# ---- one market for both clocks ----

cdef inline int64_t sim_cut(const sim_t* s) noexcept nogil:
    """Venue time up to which the history may go on: something is due then."""
    cdef int64_t due = sim_reports_due(s) - s.feed_ns
    return due if due < s.markouts.due_ns else s.markouts.due_ns


cdef inline void sim_meet(sim_t* s, venue_t* v, const event_t* e, const book_change_t* c) noexcept nogil:
    # An event of an instrument for which orders are let in.
    if unlikely(s.market.rare >> (e.kind & 63) & 1):
        return
    venue_apply(v, e, c, s.market.number)
    if unlikely(v.report_count):
        sim_collect(s, v, False)


cdef bint sim_special(sim_t* s, const event_t* e, book_change_t* c) noexcept nogil:
    # Apply an event that is more than a change of a book, one that somebody asked for, or one that is timed; whether something happened.
    cdef venue_t* v = s.venues[e.symbol_id] if e.symbol_id < s.capacity else NULL
    cdef int result = market_take(s.market, e, c)
    lap(s.base.watch, STAGE_BOOK)
    if unlikely(result != RESULT_OK):
        s.failed |= result == RESULT_NO_MEMORY
        c.kind = KIND_NONE
    elif v != NULL:
        sim_meet(s, v, e, c)
        lap(s.base.watch, STAGE_VENUE)
    if likely(e.symbol_id < s.wanted.capacity and s.wanted.symbols[e.symbol_id]):
        return c.top_changed or s.wanted.kinds >> (c.kind & 63) & 1
    return result == RESULT_OK and (e.symbol_id >= s.wanted.capacity or c.kind == KIND_SYSTEM) and sim_rare(s, e, c)


cdef int sim_run(sim_t* s, int64_t until_ns, batch_t* out) noexcept nogil:
    # Apply events of the history up to the end of the first instant in which something happened, or to a venue time.
    cdef market_t* m = s.market
    cdef const event_t* batch = s.batch.events
    cdef const event_t* events = batch + s.at
    cdef const event_t* e = events
    cdef const event_t* begun = events  # where the last instant did
    cdef const event_t* end
    cdef book_change_t* c = s.changes
    cdef venue_t* v
    # What the loop needs of the structs, which stores through pointers would make it load again.
    cdef venue_t** venues = s.venues
    cdef const uint8_t* wanted = s.wanted.symbols
    cdef uint64_t special = m.special | s.wanted.kinds | VENUE_ALWAYS | VENUE_APART if likely(not s.base.watch.on) else <uint64_t> -1
    cdef uint32_t capacity = s.wanted.capacity, size = s.batch.n, n = size - s.at
    cdef int64_t t, due, now = s.now_ns, feed_ns = s.feed_ns
    cdef bint inside = True, begins, far, ahead
    cdef bint happened = s.waiting  # in a part of the instant that was handed out before
    cdef int result
    if n > SIM_CHANGES:
        n = SIM_CHANGES
    end = events + n
    if s.at >= s.looked:    # not with every batch that we hand out
        s.looked = s.at + SIM_CHANGES
        s.far = bookset_far(m.books)
    far = s.far
    ahead = far or not m.books.by_level
    t = sim_time(now, e)
    if unlikely(t >= s.wanted.mark_ns):
        happened = True
    elif s.wanted.mark_ns <= until_ns:
        until_ns = s.wanted.mark_ns - 1
    while True:
        now = t
        prefetch(e + AHEAD_RECORDS)
        if ahead:
            bookset_ahead(m.books, far, batch, e - batch, size)
        if unlikely(special >> (e.kind & 63) & 1 or e.symbol_id >= capacity):
            s.now_ns = now
            happened |= sim_special(s, e, c)
            due = sim_cut(s)
            until_ns = due if due < until_ns else until_ns
        else:
            m.number += 1
            result = market_change(m, e, c)
            v = venues[e.symbol_id]
            if unlikely(result != RESULT_OK):
                s.failed |= result == RESULT_NO_MEMORY
                c.kind = KIND_NONE
            elif v != NULL:
                v.now_ns = e.exch_ns
                if venue_concerns(v, c):
                    venue_apply(v, e, c, m.number)
                    if v.report_count:
                        s.now_ns = now
                        sim_collect(s, v, False)
                        due = sim_cut(s)
                        until_ns = due if due < until_ns else until_ns
            happened |= c.top_changed & wanted[e.symbol_id]
        e += 1
        c += 1
        if e == end:
            break
        t = sim_time(now, e)
        begins = t > now    # an instant; whether one does cannot be predicted
        if begins & (happened | (t > until_ns)):
            inside = False
            break
        begun = e if begins else begun
    s.now_ns = now
    s.inside = inside
    out.events = events
    out.changes = s.changes
    out.n = <uint32_t> (e - events)
    out.first = <uint32_t> (begun - events)
    out.own = False
    out.now_ns = now + feed_ns
    s.at += out.n
    s.rounds = 0 if (begun != events) | (not s.waiting) else s.rounds
    out.open = inside | (sim_reports_due(s) - feed_ns <= now) | (sim_up_due(s) <= now)
    s.waiting = out.open & happened
    return SOURCE_ERROR if unlikely(s.failed) else SOURCE_OK


cdef int sim_next(source_t* source, int64_t until_ns, batch_t* out) noexcept nogil:
    # The clock that counts is that of the venue: ours is feed_ns ahead of it.
    cdef sim_t* s = <sim_t*> source
    cdef int64_t t, up, due, until = until_ns - s.feed_ns
    cdef int status
    while True:
        status = sim_fetch(s)
        if status != SOURCE_OK:
            return status
        t = sim_time(s.now_ns, s.batch.events + s.at) if s.batch.n else NEVER
        if unlikely(t > s.markouts.due_ns or s.markouts.full) and not sim_measure(s, t):
            return SOURCE_REFILL
        due = sim_reports_due(s) - s.feed_ns
        up = sim_up_due(s)
        if t > s.now_ns and due > s.now_ns and up > s.now_ns:
            # The time before is over.
            s.inside = False
            if s.waiting:
                s.waiting = False
                out.n = out.first = 0
                out.own = out.open = False
                out.now_ns = s.now_ns + s.feed_ns
                return SOURCE_OK
        if up < t and (t != NEVER or up <= s.now_ns):
            status = sim_arrivals(s)
            if status != SOURCE_OK:
                return status
            continue
        if due < t and (t != NEVER or due <= s.now_ns):
            if due > until:
                return SOURCE_LATER
            sim_reports(s, due + s.feed_ns, False, out)
            return SOURCE_OK if likely(s.refusals <= SIM_ROUNDS) else SOURCE_ERROR
        if t == NEVER:
            return s.over if until > s.now_ns else SOURCE_LATER     # what is due at the last time happens
        if t > until:
            return SOURCE_LATER
        until = until if until < up else up
        due = sim_cut(s)
        return sim_run(s, until if until < due else due, out)


# ---- a market for each clock ----

cdef int sim_advance(sim_t* s, int64_t t, int64_t learnt_ns) noexcept nogil:
    # The next event happens at the venue at a time, and goes on its way.
    cdef market_t* m = s.market
    cdef const event_t* e = s.batch.events + s.at
    cdef book_change_t* c = s.changes
    cdef int result
    cdef venue_t* v
    if s.before != NULL and e.symbol_id < s.capacity and s.venues[e.symbol_id] != NULL and s.before_ns[e.symbol_id] < t:
        book_top(market_book(m, e.symbol_id), &s.before[e.symbol_id])
        s.before_ns[e.symbol_id] = t
    bookset_ahead(m.books, False, s.batch.events, s.at, s.batch.n)
    result = market_take(m, e, c)
    s.now_ns = t
    s.at += 1
    s.rounds = 0
    if result == RESULT_NO_MEMORY:
        return SOURCE_ERROR
    if result == RESULT_OK and e.symbol_id < s.capacity and s.venues[e.symbol_id] != NULL:
        v = s.venues[e.symbol_id]
        v.now_ns = e.exch_ns
        if (m.special | VENUE_ALWAYS | VENUE_APART) >> (e.kind & 63) & 1 or venue_concerns(v, c):
            sim_meet(s, v, e, c)
    elif result == RESULT_OK and e.symbol_id == NO_SYMBOL and (c.kind == KIND_CLEAR or c.kind == KIND_GAP):
        sim_apply_to_all(s, e, c)
    s.learnt_ns = learnt_ns
    s.failed |= line_put(&s.feed, e, learnt_ns) != RESULT_OK
    return SOURCE_ERROR if s.failed else SOURCE_OK


cdef inline int64_t sim_learn(sim_t* s, int64_t t, const event_t* e) noexcept nogil:
    """When we learn of an event of venue time `t` that comes behind those on the line."""
    cdef int64_t c = t + s.feed_ns
    if s.recorded and e.local_ns:
        c = e.local_ns + s.offset_ns
    if c < t:
        c = t
    return c if c > s.learnt_ns else s.learnt_ns


cdef int sim_next_two(source_t* source, int64_t until_ns, batch_t* out) noexcept nogil:
    # The clock that counts is ours.
    cdef sim_t* s = <sim_t*> source
    cdef const event_t* e
    cdef int64_t t, next, first, due, up
    cdef int status
    while True:
        status = sim_fetch(s)
        if status != SOURCE_OK:
            return status
        t = next = NEVER
        if s.batch.n:
            e = s.batch.events + s.at
            t = sim_time(s.now_ns, e)
            next = sim_learn(s, t, e)
        if unlikely(t > s.markouts.due_ns or s.markouts.full) and not sim_measure(s, t):
            return SOURCE_REFILL
        up = sim_up_due(s)
        if up < t and (t != NEVER or up <= s.now_ns):
            status = sim_arrivals(s)
            if status != SOURCE_OK:
                return status
            continue
        first = s.feed.due_ns
        if next < first:
            first = next
        due = sim_reports_due(s)
        # The venue goes on while what it does may reach us first, or is what reaches us first.
        if t != NEVER and (
            t <= (until_ns if until_ns < first and until_ns < due else first if first < due else due) - s.down.latency.next_ns
            or (next == first and first <= due and first <= until_ns)
        ):
            if s.recorded:
                s.unstamped += e.local_ns == 0
                s.clamped += e.local_ns != 0 and e.local_ns + s.offset_ns < t
            status = sim_advance(s, t, next)
            if status != SOURCE_OK:
                return status
            continue
        if due <= first and (t != NEVER or first != NEVER or due <= s.learnt_ns):
            if due > until_ns:
                return SOURCE_LATER
            sim_reports(s, due, first == due, out)
            return SOURCE_OK if likely(s.refusals <= SIM_ROUNDS) else SOURCE_ERROR
        if first == NEVER:
            return s.over if until_ns > s.learnt_ns else SOURCE_LATER
        if first > until_ns:
            return SOURCE_LATER
        out.events = line_arrived(&s.feed, first, &out.n)
        out.changes = NULL
        out.first = 0
        out.own = False
        out.now_ns = first
        out.open = s.feed.due_ns <= first or sim_reports_due(s) <= first
        return SOURCE_OK


cdef int open_book(market_t* m, uint32_t symbol_id, bint signed_prices) except -1:
    cdef book_t* book = bookset_open(m.books, symbol_id)
    if book == NULL:
        raise MemoryError(f"no memory for a book: symbol_id={symbol_id}")
    if signed_prices:
        book.lowest = -INT64_MAX
    return 0


@cython.final
cdef class Simulator(Source):
    """Simulator(history, market, *, feed_ns=0, local_offset_ns=None, order=0, response=0, queue=None, \
name="venue", venue_market=None, details=False, markouts=None)\n--\n\n
    Simulator(history, market, *, feed_ns=0, local_offset_ns=None, order=0, response=0, queue=None, name='venue', \
venue_market=None, details=False, markouts=None)\n--\n
    A history and a simulated venue: what a backtest reads its events from, and sends its orders to.

    Parameters
    ----------
    history : Source
        Recorded events in the order of the venue.
    market : Market
        Books and states that the strategies see.
    feed_ns : int, default 0
        From the venue to us, for market events, 0..2**60 ns.
    local_offset_ns : int, optional
        We learn of an event at its recorded ``local_ns`` plus this, not before it happened and not before the one ahead of it; `feed_ns`
        is for events without. None: `feed_ns` for all.
    order, response : int or Latency, default 0
        From us to the venue, for our messages; from the venue to us, for its reports. In ns.
    queue : QueueModel, optional
        Where own orders are taken to stand on data by level; risk-averse by default.
    name : str, default "venue"
        Of the connection: it seeds random latencies.
    venue_market : Market, optional
        Books and states of the venue, where they shall not be those of `market` for a while: results are the same, each event is
        applied twice. Made where it is needed: for recorded times, and where reports can be faster than events.
    details : bool, default False
        Each fill is followed by a `detail`: what was ahead before the event, and what is left (``fastcore.sim.venue``).
    markouts : Markouts, optional
        Receives the middle before each fill, and at its horizons after it.

    Attributes
    ----------
    venues : mapping of int to Venue
        By dense id, for the instruments that were opened.

    Notes
    -----
    Orders meet the venue after all events of the time at which they arrive. Messages of one direction keep their order. At the end of the
    history what is later than its last event stays unanswered.

    **Thread safety**: belongs to one run.
    """

    def __cinit__(
        self, Source history not None, Market market not None, *, feed_ns=0, local_offset_ns=None, order=0, response=0, queue=None,
        str name="venue", Market venue_market=None, bint details=False, Markouts markouts=None,
    ):
        cdef sim_t* s = &self._s
        if history._source == NULL or history._source.instants:
            raise ValueError(f"history must be a source of recorded events: history={history!r}")
        if venue_market is market or (venue_market is not None and venue_market.book != market.book):
            raise ValueError(f"venue_market must be another market with the same books: venue_market={venue_market!r}")
        if not 0 <= as_int64(feed_ns) <= LONGEST_NS:
            raise ValueError(f"feed_ns must be in 0..{LONGEST_NS}: feed_ns={feed_ns}")
        self.history = history
        self.market = market
        self.feed_ns = s.feed_ns = as_int64(feed_ns)
        self.local_offset_ns = local_offset_ns
        self.order = order if isinstance(order, Latency) else Latency(order)
        self.response = response if isinstance(response, Latency) else Latency(response)
        self.queue = QueueModel() if queue is None else queue
        self._venues = {}
        s.recorded = local_offset_ns is not None
        s.offset_ns = as_int64(local_offset_ns) if s.recorded else 0
        s.up.latency = self.order.begin(f"{name}.order")
        s.down.latency = self.response.begin(f"{name}.response")
        s.two = venue_market is not None or s.recorded or s.feed_ns > latency_least(&s.down.latency)
        if s.two and venue_market is None:
            venue_market = Market(market.book, symbols=market._m.capacity)
        self._venue_market = venue_market
        self.details = details
        self.markouts = markouts
        s.markouts = &NO_MARKOUTS if markouts is None else &markouts._m
        s.base.next = sim_next_two if s.two else sim_next
        s.base.watch = history._source.watch
        s.base.instants = True
        s.gateway.base.send = sim_send
        s.gateway.base.refuse = sim_refuse
        s.gateway.sim = s
        s.history = history._source
        s.market = &(venue_market if s.two else market)._m
        s.capacity = market._m.capacity
        s.now_ns = s.learnt_ns = -NEVER
        s.expiry_ns = NEVER
        s.wanted = &NOTHING
        s.venues = <venue_t**> calloc(s.capacity, sizeof(venue_t*))
        s.changes = <book_change_t*> fc_alloc(SIM_CHANGES, sizeof(book_change_t))
        if (
            s.venues == NULL or s.changes == NULL or line_init(&s.up, SIM_LINE) != RESULT_OK
            or line_init(&s.down, SIM_LINE) != RESULT_OK or line_init(&s.refused, SIM_LINE) != RESULT_OK
            or (s.two and line_init(&s.feed, SIM_LINE) != RESULT_OK)
        ):
            raise MemoryError("no memory for a simulator")
        if s.two and markouts is not None:
            s.before = <top_t*> calloc(s.capacity, sizeof(top_t))
            s.before_ns = <int64_t*> calloc(s.capacity, sizeof(int64_t))
            if s.before == NULL or s.before_ns == NULL:
                raise MemoryError(f"no memory for mark-outs: symbols={s.capacity}")
        self._source = &s.base
        self._gateway = &s.gateway.base

    def __dealloc__(self):
        line_free(&self._s.up)
        line_free(&self._s.down)
        line_free(&self._s.refused)
        line_free(&self._s.feed)
        free(self._s.venues)
        free(self._s.before)
        free(self._s.before_ns)
        fc_free(self._s.changes)

    def open(self, symbol_id, *, bint signed_prices=False):
        """Let orders for an instrument in, and return its venue.

        Parameters
        ----------
        symbol_id : int
            Dense id.
        signed_prices : bool, default False
            Prices of the instrument may be 0 and negative, in its books and in orders.

        Returns
        -------
        Venue
        """
        cdef int64_t number = as_int64(symbol_id)
        cdef Venue venue
        if not 0 <= number < self._s.capacity:
            raise ValueError(f"symbol_id must be in 0..{self._s.capacity - 1}: symbol_id={symbol_id}")
        alone(&self._busy)
        if number not in self._venues:
            if self._s.opened_count == SIM_VENUES:
                raise ValueError(f"instruments that orders are let in for must be at most {SIM_VENUES}: symbol_id={symbol_id}")
            open_book(self._s.market, <uint32_t> number, signed_prices)
            open_book(&self.market._m, <uint32_t> number, signed_prices)
            venue = Venue(
                OWN_ORDERS, symbol_id, self._s.market.books.by_level, details=self.details, queue=self.queue, signed_prices=signed_prices
            )
            venue._market = self._venue_market if self._s.two else self.market
            venue._v.state = &self._s.market.states[number]
            self._venues[number] = venue
            if self._s.before_ns != NULL:
                self._s.before_ns[number] = -NEVER
                self._s.before[number].bid = NO_PRICE
            self._s.opened[self._s.opened_count] = self._s.venues[number] = &venue._v
            self._s.opened_count += 1
        return self._venues[number]

    @property
    def venues(self):
        return MappingProxyType(self._venues)

    # With the history everything else that the loop works on, or nothing.
    cdef int enter(self) except -1:
        cdef uint64_t* own[2]
        cdef int count = 1
        cdef Venue venue
        own[0] = &self._busy
        if self.markouts is not None:
            own[1] = &self.markouts._busy
            count = 2
        enter_all(own, count)
        try:
            self.history.enter()
        except BaseException:
            leave_all(own, count)
            raise
        for venue in self._venues.values():
            enter(&venue._busy)
        return 0

    cdef void leave(self) noexcept:
        cdef Venue venue
        for venue in self._venues.values():
            leave(&venue._busy)
        self.history.leave()
        if self.markouts is not None:
            leave(&self.markouts._busy)
        leave(&self._busy)

    cdef bint refill(self) except -1:
        if self._s.markouts.full:
            self.markouts.make_room()
            return True
        if self.history.refill():
            self._s.over = SOURCE_OK
            return True
        if self._s.over == SOURCE_REFILL:
            return False
        self._s.over = SOURCE_REFILL    # once more: what is due at the last time
        return True

    cdef int fail(self) except -1:
        rounds = max(self._s.rounds, self._s.refusals)
        if rounds > SIM_ROUNDS:
            raise EndlessOrdersError(f"orders at one time must come to an end: rounds={rounds} time={self._s.now_ns}")
        if self._s.failed or self._s.at < self._s.batch.n:
            raise MemoryError(f"no memory for a book or for messages in flight: events={self._s.market.number}")
        self._s.over = SOURCE_OK
        self.history.fail()

    cdef int attach(self, stopwatch_t* watch, const wanted_t* wanted) except -1:
        self._s.base.watch = watch
        self._s.wanted = wanted
        self.history.attach(watch, wanted)
        return 0

    @property
    def clamped(self):
        """Events whose two clocks say that we learnt of them before they happened: taken for the time at which they did."""
        return self._s.clamped

    @property
    def unstamped(self):
        """Events without ``local_ns``, where that counts."""
        return self._s.unstamped

    def __repr__(self):
        feed = f"{self.feed_ns} ns" if self.local_offset_ns is None else f"local_ns {self.local_offset_ns:+} ns"
        return (
            f"Simulator({self.history!r}, feed={feed}, order={self.order!r}, response={self.response!r}, "
            f"instruments opened: {sorted(self._venues)})"
        )
