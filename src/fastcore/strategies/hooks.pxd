"""Contract of strategies in Python: the compiled side of ``hft.Strategy``.

Hooks are called with the GIL, which the run keeps while such a strategy takes part.
"""

cimport cython
from libc.stdint cimport int8_t, int64_t, uint32_t

from fastcore.book cimport top_t
from fastcore.instruments cimport Instruments, instrument_t
from fastcore.strategy cimport Strategy, context_t, strategy_t


ctypedef struct python_t:
    strategy_t base
    void* owner             # PythonStrategy


@cython.final
cdef class Handle:
    cdef PythonStrategy _owner
    cdef const instrument_t* _row
    cdef readonly str symbol
    cdef readonly uint32_t symbol_id
    cdef int64_t _changed_ns
    cdef bint _news                 # its state has changed in this instant, and on_book was not called
    cdef bint _deep                 # its book has changed in this instant
    cdef bint _listed               # it is among the touched
    cdef bint _wanted               # quotes are wanted in this instant: what follows
    cdef int64_t[2] _ticks
    cdef int64_t[2] _lots
    cdef const top_t* _top(self) except NULL
    cdef object _price(self, int64_t ticks)
    cdef tuple _levels(self, int8_t side)
    cdef int64_t _grid(self, double price, int side)
    cdef int64_t _side(self, object price, object size, int side) except? -1
    cdef int _touch(self) except -1
    cdef int _want(self, int64_t buy, int64_t sell) except -1


@cython.final
cdef class PythonStrategy(Strategy):
    cdef python_t _p
    cdef context_t* _c              # inside of a hook; NULL elsewhere
    cdef Instruments _instruments   # what handles point into
    cdef readonly tuple markets     # of Handle
    cdef readonly dict reasons      # why wanted quotes were not sent -> count
    cdef list _by_id
    cdef list _touched              # handles of which something waits for the end of the instant
    cdef list _timers               # (method, period_ns) by number
    cdef list _free                 # numbers of timers that fired
    cdef list _every
    cdef object _start, _stop, _book, _depth, _trade, _fill, _order
    cdef list _batches              # None without
    cdef object _error
    cdef int64_t _thread            # that the run is on
    cdef readonly int64_t now
    cdef bint _begun
    cdef int _begin(self) except -1
    cdef int _take(self, int hook, const void* event, const void* change) except -1
    cdef int _happened(self, const void* event, const void* change) except -1
    cdef int _report(self, const void* event) except -1
    cdef int _flush(self) except -1
    cdef Handle _handle(self, uint32_t symbol_id)
    cdef int _count(self, str why) except -1
