"""Contract of the tape: every printed execution of an instrument into a store of ticks."""

cimport cython
from libc.stdint cimport int64_t, uint32_t

from fastcore.strategy cimport Strategy, strategy_t
from fastcore.tickstore cimport TickStore, store_t


ctypedef struct tape_t:
    strategy_t base
    store_t* store
    double ticks_per_price
    double lots_per_unit
    uint32_t stored_id      # of the instrument in the store
    int64_t refused         # executions that are no tick


@cython.final
cdef class Tape(Strategy):
    cdef tape_t _t
    cdef readonly TickStore store
