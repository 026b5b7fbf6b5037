"""Contract of strategies whose hooks are C functions: the machine code of ``hft.compiled``.

    int hook(compiled_t* self, handle_t* market, void* what)     0, or an error that `error` and `problem` tell

What a hook may read are the structs below, at the offsets of ``LAYOUTS``; what it may call are the functions of ``FUNCTIONS``. Both are a
private matter of this version: code is compiled for them and kept by their names and offsets.
"""

cimport cython
from libc.stdint cimport int64_t, uint32_t, uint64_t

from fastcore.book cimport top_t
from fastcore.instruments cimport instrument_t
from fastcore.journal cimport Spool, spool_t
from fastcore.portfolio cimport position_t
from fastcore.records cimport event_t
from fastcore.strategies.hooks cimport PythonStrategy
from fastcore.strategy cimport DESK_ORDERS, DESK_RUNGS, Strategy, context_t, strategy_on_t, strategy_t


cdef enum:
    HOOKS = 5           # on_book, on_depth, on_trade, on_fill, on_order
    TIMER_SLOTS = 256   # as many as an engine holds
    RECORDS_ROOM = 4096 # rows that one instant may record
    ORDERS_ROOM = 2048  # orders of a block: more than an instant may send, and keep
    POLL = 1 << 18      # rounds of loops between two looks at signals
    TWISTER = 624       # words of the state of random.Random

# Why a function of ours made a hook fail.
cdef enum:
    PROBLEM_NONE
    PROBLEM_NUMBER      # a price or size that is no number
    PROBLEM_ROOM        # more quotes and timers than an instant holds
    PROBLEM_TIME        # a timer before there is a time
    PROBLEM_RECORDS     # more rows than an instant may record
    PROBLEM_LEVELS
    PROBLEM_STOP        # self.stop()
    PROBLEM_PRICE       # a price that is no number
    PROBLEM_SIZE
    PROBLEM_POSITION    # a wanted position out of range
    PROBLEM_TERMS       # terms of an order that contradict each other
    PROBLEM_ONCE        # a price or a size that is given twice, or not at all
    PROBLEM_QUOTED      # an order of wanted quotes, which cannot be changed by itself
    PROBLEM_RUNGS       # more quotes of a side than there can be
    PROBLEM_NESTED      # a ladder inside of another
    PROBLEM_NO_ORDER    # None in the place of an order
    PROBLEM_RANGE       # an empty range of random numbers

# What became of an order: names in STATES.
cdef enum:
    STATE_SENT
    STATE_WORKING
    STATE_PARTLY
    STATE_FILLED
    STATE_CANCELLED
    STATE_EXPIRED
    STATE_REFUSED

# Rules that a price or size of a single order can break before it is sent.
cdef enum:
    RULE_NONE
    RULE_PRICE
    RULE_INCREMENT
    RULE_LOW_INCREMENT
    RULE_SIZE
    RULE_LOT
    RULE_WHOLE = 8      # added: the price or size was a whole number
    RULE_TICKS = 16     # ... or in ticks or lots

ctypedef struct trade_t:
    double price
    double size
    int64_t side

ctypedef struct fill_t:
    double price
    double size
    int64_t side
    int64_t maker
    int64_t order
    int64_t cause           # number in CAUSES
    double ahead            # NaN where nobody tells it
    double fee
    double mid              # NaN without two sides

cdef struct compiled_t
cdef struct order_t
cdef struct block_t

# One market: what hooks read first.
ctypedef struct handle_t:
    const top_t* top
    const position_t* position
    const position_t* account
    double tick_num         # as instrument_t
    double tick_den
    double tick_size
    double lot_size
    int64_t changed_ns      # when a best price or size last changed; 0 never
    int64_t symbol_id
    compiled_t* owner
    const instrument_t* row
    double unit_value       # of a tick times a lot
    int64_t index
    bint news               # as Handle in hooks.pxd
    bint deep
    bint listed
    bint wanted
    int64_t rungs                       # of a side
    int64_t[2 * DESK_RUNGS] ticks       # bid and ask of a rung in turn
    int64_t[2 * DESK_RUNGS] lots

# An own order: that of buy and sell is kept as long as the run, any other is what came of one of the wanted quotes.
cdef struct order_t:
    int64_t id
    int64_t side
    int64_t priced          # it has a price
    double price
    double size
    double filled
    int64_t refused
    int64_t state
    int64_t post_only
    int64_t single          # of buy and sell
    int64_t code            # why, as a result
    int64_t why_rule        # a part of why, or RULE_NONE
    double why_given        # what broke it
    int64_t rule            # that was broken before something was sent, until the refusal is told
    double given
    int64_t size_lots
    int64_t filled_lots
    int64_t tif             # bits of its terms
    handle_t* market
    order_t* next           # with the same place in the table
    order_t* kept           # of what came of a quote: a copy that stays

cdef struct block_t:
    order_t[ORDERS_ROOM] orders
    block_t* before

ctypedef int (*hook_t)(compiled_t* self, handle_t* market, void* what) noexcept nogil

ctypedef struct slot_t:
    hook_t on
    int64_t period_ns       # 0: once

# Times that quotes were not sent, for one reason.
ctypedef struct reason_t:
    int64_t count
    int64_t first           # place among the reasons by their first time

cdef struct compiled_t:
    strategy_t base
    strategy_on_t all       # what is called for whatever `base.on` leaves
    context_t* c
    int64_t now_ns
    int64_t site            # where the code is: number of a statement
    void* error             # what Numba describes an exception with; NULL none
    int64_t problem
    int64_t text            # of PROBLEM_STOP
    int64_t polls           # rounds of loops until somebody looks at signals
    double[2] values        # of PROBLEM_NUMBER
    handle_t* handles
    int64_t count
    int64_t* places         # by dense id: place among the handles, -1 none
    int64_t ids
    handle_t** touched
    int64_t touched_count
    hook_t[HOOKS] on
    hook_t* methods         # what timers may call
    slot_t[TIMER_SLOTS] slots
    int64_t slot_count
    int64_t[TIMER_SLOTS] free_slots
    int64_t free_count
    int64_t every_count
    reason_t* reasons       # by number: the fixed ones, two by market, texts
    int64_t reason_count
    spool_t* records        # NULL: it records nothing
    block_t* orders         # the newest block
    int64_t order_count     # in it
    order_t* working[DESK_ORDERS]   # orders of buy and sell that are not done, by id modulo their number
    handle_t* ladder        # that is being built; NULL none
    int64_t[2] rungs        # of it
    double[2 * DESK_RUNGS] rung_prices  # NaN: none
    double[2 * DESK_RUNGS] rung_sizes
    uint32_t[TWISTER] twister   # of self.random
    int64_t twisted         # words of it that are used up
    double gauss            # the second of a pair of normal numbers; NaN none
    void* owner             # CompiledStrategy
    event_t fill            # whose detail is still to come
    bint begun
    bint ready


@cython.final
cdef class CompiledStrategy(Strategy):
    cdef compiled_t* _p             # behind it, the attributes of the strategy
    cdef PythonStrategy _python
    cdef Spool _records
    cdef object _prepare, _explain, _error, _kept
    cdef list _texts
    cdef readonly int64_t room      # bytes of attributes
    cdef int _more_orders(self) except -1
    cdef int _start(self, context_t* c, int hook) except -1
