"""Arguments that must be whole numbers: Cython's own conversion would cut the fraction off a float without a word."""

from cpython.long cimport PyLong_CheckExact
from libc.stdint cimport int64_t


cdef extern from "Python.h":
    object PyNumber_Index(object)


cdef inline int64_t as_int64(object value) except? -1:
    """An int or NumPy integer as int64; TypeError for anything else, OverflowError beyond 64 bits."""
    return <int64_t> value if PyLong_CheckExact(value) else <int64_t> PyNumber_Index(value)
