"""Contract of strategies whose hooks are C functions: the machine code of ``hft.compiled``.

    int hook(compiled_t* self, handle_t* market, void* what)     0, or an error that `error` and `problem` tell

What a hook may read are the structs below, at the offsets of ``LAYOUTS``; what it may call are the functions of ``FUNCTIONS``. Both are a
private matter of this version: code is compiled for them and kept by their names and offsets.
"""

cimport cython
from libc.stdint cimport int64_t, uint32_t

from fastcore.book cimport top_t
from fastcore.instruments cimport instrument_t
from fastcore.journal cimport Spool, spool_t
from fastcore.portfolio cimport position_t
from fastcore.strategies.hooks cimport PythonStrategy
from fastcore.strategy cimport Strategy, context_t, strategy_t


cdef enum:
    HOOKS = 5           # on_book, on_depth, on_trade, on_fill, on_order
    TIMER_SLOTS = 256   # as many as an engine holds
    RECORDS_ROOM = 4096 # rows that one instant may record

# Why a function of ours made a hook fail.
cdef enum:
    PROBLEM_NONE
    PROBLEM_NUMBER      # a price or size that is no number
    PROBLEM_ROOM        # more quotes and timers than an instant holds
    PROBLEM_TIME        # a timer before there is a time
    PROBLEM_RECORDS     # more rows than an instant may record
    PROBLEM_LEVELS
    PROBLEM_STOP        # self.stop()

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

ctypedef struct order_t:
    int64_t id
    int64_t side
    int64_t priced          # it has a price
    double price
    double size
    int64_t refused

cdef struct compiled_t

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
    int64_t index
    bint news               # as Handle in hooks.pxd
    bint deep
    bint listed
    bint wanted
    int64_t[2] ticks
    int64_t[2] lots

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
    context_t* c
    int64_t now_ns
    int64_t site            # where the code is: number of a statement
    void* error             # what Numba describes an exception with; NULL none
    int64_t problem
    int64_t text            # of PROBLEM_STOP
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
    reason_t* reasons       # no size, no price on the grid, under the lot by market, texts
    int64_t reason_count
    spool_t* records        # NULL: it records nothing
    void* owner             # CompiledStrategy
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
    cdef int _start(self, context_t* c, int hook) except -1
