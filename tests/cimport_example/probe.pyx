"""A strategy of somebody else on the contract of the core: it writes down what it is called for, and does what it was told."""

cimport cython
from libc.stdint cimport int64_t, uint32_t

from fastcore.book cimport book_change_t
from fastcore.records cimport NO_PRICE, event_t
from fastcore.strategy cimport (
    ON_BOOK, ON_EVENT, ON_INSTANT, ON_REPORT, ON_START, ON_STOP, ON_TIMER, STRATEGY_OK, Strategy, context_t, strategy_t, want_quotes,
    want_timer,
)

NAMES = {
    ON_REPORT: "report", ON_EVENT: "event", ON_BOOK: "book", ON_TIMER: "timer", ON_INSTANT: "instant", ON_START: "start", ON_STOP: "stop"
}

cdef enum:
    ROOM = 10000


ctypedef struct call_t:
    int64_t hook, now_ns, kind, number, bid, position

ctypedef struct probe_t:
    strategy_t base
    int64_t delay_ns        # ON_BOOK sets a timer so much later; 0 none
    int64_t distance        # ON_BOOK wants quotes so far from the best prices; < 0 none
    int64_t timers
    int64_t count
    call_t[ROOM] calls


cdef int probe_on(strategy_t* strategy, context_t* c, int hook, const event_t* e, const book_change_t* change) noexcept nogil:
    cdef probe_t* p = <probe_t*> strategy
    cdef call_t* call = &p.calls[p.count % ROOM]
    cdef uint32_t id = p.base.symbol_id
    p.count += 1
    call.hook = hook
    call.now_ns = c.now_ns
    call.kind = e.kind if e != NULL else 0
    call.number = e.order_id if e != NULL else 0
    call.bid = c.tops[id].bid
    call.position = c.positions[id].position_lots
    if hook == ON_BOOK and p.delay_ns:
        p.timers += 1
        want_timer(c, c.now_ns + p.delay_ns, p.timers)
    if hook == ON_BOOK and p.distance >= 0 and c.tops[id].bid != NO_PRICE and c.tops[id].ask != NO_PRICE:
        want_quotes(c, id, c.tops[id].bid - p.distance, c.tops[id].ask + p.distance, 10, 10)
    return STRATEGY_OK


@cython.final
cdef class Probe(Strategy):
    cdef probe_t _p

    def __init__(self, symbol_id, kinds=(), *, reports=(), delay_ns=0, distance=-1):
        self._p.base.on = probe_on
        self._p.base.hooks = (1 << len(NAMES)) - 1
        for kind in kinds:
            self._p.base.kinds |= 1 << <int> kind
        for kind in reports:
            self._p.base.reports |= 1 << <int> kind
        self._p.base.symbol_id = symbol_id
        self._p.delay_ns = delay_ns
        self._p.distance = distance
        self._strategy = &self._p.base

    def calls(self):
        """Rows (hook, now_ns, kind, number, best bid, position)."""
        rows = [self._p.calls[i] for i in range(min(self._p.count, ROOM))]
        return [(NAMES[r["hook"]], r["now_ns"], r["kind"], r["number"], r["bid"], r["position"]) for r in rows]
