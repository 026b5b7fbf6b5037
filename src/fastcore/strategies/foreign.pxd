"""Contract of a foreign strategy: a C function of somebody else, called as ``fastcore.strategy`` says, and its state."""

cimport cython

from fastcore.strategy cimport Strategy, strategy_t


ctypedef struct foreign_t:
    strategy_t base
    void* state             # of the function, as it was handed over; NULL none


@cython.final
cdef class ForeignStrategy(Strategy):
    cdef foreign_t _f
    cdef object _kept       # owners of the function and of its state
    cdef readonly object address
