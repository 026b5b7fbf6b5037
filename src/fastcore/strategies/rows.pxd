"""Contract of what a strategy records: rows of a time, a market or none, and values by name."""

cimport cython
from cpython.object cimport PyObject
from libc.stdint cimport int64_t


@cython.final
cdef class Recorder:
    cdef int64_t* _times
    cdef int64_t* _kinds            # (symbol, names) of each row, by number
    cdef double* _values            # of all rows, one behind the other
    cdef int64_t _count, _room
    cdef int64_t _value_count, _value_room
    cdef dict _keys                 # (symbol, *names) -> number
    cdef object _market, _names     # of the row before
    cdef int64_t _kind
    cdef int _grow(self, int64_t rows, int64_t values) except -1
    cdef int row(self, int64_t time_ns, object market, tuple names, PyObject** values) except -1
