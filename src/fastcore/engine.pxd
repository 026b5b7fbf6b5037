"""Contract of the engine: the loop that joins source, market, strategies and desk, and nothing else.

    source.next -+- events of the market -> market_apply (unless the source shares it) -+
                 +- what came of our orders -> desk_report -----------------------------+-> the instant is over:
                 timers --------------------------------------------------------------- +   callbacks -> desk_send -> gateway

Callbacks of an instant come when all of it has been applied: reports, market events, best prices, timers, and `ON_INSTANT`; within each
by the names of the strategies.
"""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from fastcore.book cimport book_change_t, top_t
from fastcore.desk cimport Desk, desk_t
from fastcore.journal cimport Journal, Spool, journal_t, spool_t
from fastcore.market cimport Market, market_t
from fastcore.records cimport event_t
from fastcore.source cimport Source, batch_t, source_t, wanted_t
from fastcore.stopwatch cimport Stopwatch, stopwatch_t
from fastcore.strategy cimport Strategy, context_t, strategy_t


# Why the loop returned.
cdef enum:
    RUN_END         # the source has no more
    RUN_IDLE        # it has nothing now
    RUN_REFILL      # its input is used up
    RUN_ROOM        # a spool, or a strategy, must make room
    RUN_SOURCE      # the source says what went wrong
    RUN_STRATEGY    # so does a strategy
    RUN_STOPPED     # the loss limit: own orders are out, nothing more is done
    RUN_ACCOUNT     # a fill does not fit into the accounts
    RUN_OUTBOX      # an outbox held what it may not hold
    RUN_MEMORY
    RUN_PAUSE       # for a look at signals, and at what is asked for
    RUN_CONTROL     # a control is due

cdef enum:
    PAUSE = 1 << 20     # events of the market between two looks at signals
    TIMERS = 256        # that wait at the same time
    REPORTS_ROOM = 1 << 14

# One row of the curve: CURVE_DTYPE of NumPy.
ctypedef struct curve_point_t:
    int64_t exch_ns
    int64_t mid_ticks       # rounded down; NO_PRICE before the first
    int64_t position_lots
    int64_t profit          # ticks * lots, after fees, marked at mid_ticks; NO_PRICE where there is no mark

# Something of the present instant that strategies are called for.
ctypedef struct note_t:
    event_t event
    book_change_t change    # of a report: `stamp` is the strategy that is told

ctypedef struct notes_t:
    note_t* notes
    uint32_t count
    uint32_t capacity

ctypedef struct timer_t:
    int64_t due_ns
    int64_t number          # as the strategy gave it
    uint32_t owner          # index of the strategy

# The curve of one instrument, or of several.
ctypedef struct curve_t:
    spool_t* spool          # NULL: none
    uint32_t symbol_id      # of one; NO_SYMBOL
    const uint32_t* symbol_ids
    uint32_t count
    bint pending            # a point is due once our clock has passed until_ns
    int64_t pending_ns
    int64_t until_ns
    int64_t interval_ns
    int64_t next_ns

ctypedef struct engine_t:
    source_t* source
    market_t* market
    desk_t* desk            # NULL: nothing trades
    strategy_t** strategies # by name
    uint32_t strategy_count
    wanted_t wanted
    uint64_t reports        # kinds of reports that a strategy asked for, one bit each
    context_t context
    batch_t batch
    uint32_t at             # without strategies: events of the batch that are done
    top_t* tops             # by dense id, of wanted instruments
    notes_t notes[4]        # by hook: ON_REPORT, ON_EVENT, ON_BOOK, ON_TIMER
    uint32_t* touched       # by dense id: place among the notes of ON_BOOK
    uint8_t* called         # by strategy: in this instant
    uint32_t noted          # what of the instant was noted: bit by hook
    bint timers_wanted      # there is one in the outbox
    bint deciding           # the callbacks of an instant were interrupted for room
    uint32_t hook           # where they go on
    uint32_t note
    uint32_t strategy
    timer_t timers[TIMERS]  # by due, owner, creation
    uint32_t timer_count
    curve_t curve
    spool_t* spool          # of reports
    bint full               # one of the spools is, nearly
    journal_t* journal      # NULL: none
    stopwatch_t* watch
    int64_t last_ns         # exchange time of the last event
    uint64_t pause          # number of the event behind which the loop pauses
    int64_t control_ns      # our time at which the next control is due; NEVER: none
    bint later              # the source has nothing up to the time that it was asked for
    uint64_t asked          # somebody asks for a control
    const uint64_t* word    # of the kill switch, where it becomes a control; NULL: the limits look themselves
    uint64_t down           # what they see of it instead
    int64_t loop_ns         # spent inside the loop


@cython.final
cdef class Engine:
    cdef object __weakref__
    cdef engine_t _g
    cdef readonly Source source
    cdef readonly Market market
    cdef readonly Desk desk
    cdef readonly dict strategies
    cdef readonly Stopwatch stopwatch
    cdef readonly Journal journal
    cdef Spool _reports, _curve
    cdef object _on_control, _asked
    cdef list _planned      # (due, number, what), a heap
    cdef uint64_t _controls # asked for so far
    cdef list _ordered
    cdef object _wanted     # array of flags by dense id
    cdef object _curve_ids, _shape
    cdef uint64_t _busy     # a call is inside
    cdef list _stores       # that the loop appends to
    cdef uint64_t** _flags  # of these, the books and the desk
    cdef int _flag_count
    cdef bint _started
    cdef bint _python       # a strategy needs the GIL
    cdef int _all(self, uint32_t hook) except -1
    cdef uint32_t _want(self, object symbol_id) except? 0xFFFFFFFF
    cdef int _add(self, uint32_t i, Strategy strategy) except -1
    cdef int _make_room(self) except -1
    cdef int _take_controls(self) except -1
    cdef int _control(self) except -1
    cdef int _alone(self) except -1
    cdef int _enter(self) except -1
    cdef void _leave(self) noexcept
    cdef str _run(self, bint books)
    cdef int _raise(self, int status) except -1
