"""Contract of strategies in Python: the compiled side of ``hft.Strategy``.

Hooks are called with the GIL, which the run keeps while such a strategy takes part.
"""

cimport cython
from cpython.object cimport PyObject
from cpython.pystate cimport PyThreadState
from libc.math cimport NAN
from libc.stdint cimport int8_t, int64_t, uint32_t

from fastcore.book cimport top_t
from fastcore.instruments cimport Instruments, instrument_t
from fastcore.records cimport event_t
from fastcore.strategies.rows cimport Recorder
from fastcore.strategy cimport DESK_RUNGS, Strategy, context_t, strategy_t


cdef enum:
    SLOTS = 5   # bid, ask, bid_size, ask_size, position

ctypedef struct python_t:
    strategy_t base
    void* owner             # PythonStrategy


cdef inline double ahead_units(int64_t lots, double lot_size) noexcept nogil:
    """Size ahead of an order as a detail tells it; NaN where nobody knows."""
    return <double> lots * lot_size if lots < <int64_t> 1 << 60 else NAN


@cython.final
cdef class Order:
    cdef Handle _handle
    cdef readonly int64_t id
    cdef readonly int side
    cdef readonly object price
    cdef readonly double size, filled
    cdef readonly str state
    cdef readonly bint refused
    cdef readonly str why
    cdef readonly str tif
    cdef readonly bint post_only
    cdef bint _single               # of buy or sell: none of the wanted quotes
    cdef int64_t _size_lots
    cdef int64_t _filled_lots
    cdef str _rule                  # that its price or size broke before it was sent
    cdef Handle _market(self)
    cdef bint _changes(self, str what) except? False


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
    cdef int _rungs                 # of a side
    cdef int64_t[2 * DESK_RUNGS] _ticks     # bid and ask of a rung in turn
    cdef int64_t[2 * DESK_RUNGS] _lots
    cdef double _unit_value         # of money, in the currency
    cdef PyObject* _slots[SLOTS]     # floats and None that are attributes inside of hooks about it
    cdef top_t _shown               # what they stand for
    cdef int64_t _shown_lots
    cdef int _tell(self, object hook, PyObject* what) except -1
    cdef const top_t* _top(self) except NULL
    cdef object _price(self, int64_t ticks)
    cdef tuple _levels(self, int8_t side)
    cdef int _side(self, object price, object size, int side, int level) except -1
    cdef int _ladder(self, object quotes, int side) except -1
    cdef int _on_thread(self) except -1
    cdef int _touch(self) except -1
    cdef void _begin(self) noexcept
    cdef int _ready(self) except -1
    cdef int64_t _exact_price(self, object price, object price_ticks, int* refusal) except? -1
    cdef int64_t _exact_size(self, object size, object size_lots, int* refusal) except? -1
    cdef int _cannot(self, Order order, int8_t side, int refusal) except -1
    cdef Order _send(self, int8_t side, object size, object price, str tif, bint post_only, object until, object ticks, object lots)
    cdef list _unfinished(self)
    cdef object _best_own(self, int8_t side)
    cdef object _ahead(self, int8_t side)


@cython.final
cdef class PythonStrategy(Strategy):
    cdef python_t _p
    cdef context_t* _c              # inside of a hook; NULL elsewhere
    cdef Instruments _instruments   # what handles point into
    cdef readonly tuple markets     # of Handle
    cdef readonly dict reasons      # why wanted quotes were not sent -> count
    cdef list _by_id
    cdef list _touched              # handles of which something waits for the end of the instant: the first _waiting
    cdef Py_ssize_t _waiting
    cdef list _timers               # (method, period_ns) by number
    cdef list _free                 # numbers of timers that fired
    cdef list _every
    cdef dict _orders               # by id: those of buy and sell that are not done
    cdef dict _durations            # text -> ns
    cdef object _duration
    cdef str _rule                  # that was broken last
    cdef object _start, _stop, _book, _depth, _trade, _fill, _order
    cdef list _batches              # None without
    cdef Recorder _recorder
    cdef object _error
    cdef event_t _fill_event        # whose detail is still to come
    cdef PyThreadState* _thread     # that the run is on
    cdef readonly int64_t now
    cdef bint _begun
    cdef int _begin(self) except -1
    cdef int _keep_error(self) noexcept
    cdef int _take(self, int hook, const void* event, const void* change) except -1
    cdef int _happened(self, const void* event, const void* change) except -1
    cdef int _report(self, const void* event, const void* changed) except -1
    cdef int _came(self, Order order, const void* event) except -1
    cdef Order _quoted(self, Handle handle, const void* event)
    cdef void _watch(self) noexcept
    cdef int64_t _ns(self, str text) except? -1
    cdef int _flush(self) except -1
    cdef Handle _handle(self, uint32_t symbol_id)
    cdef int _count(self, str why) except -1
