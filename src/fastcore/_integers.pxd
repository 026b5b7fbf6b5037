"""Arguments that must be whole numbers: Cython's own conversion would cut the fraction off a float without a word."""

from libc.stdint cimport int8_t, int64_t, uint64_t


cdef extern from "Python.h":
    long long PyLong_AsLongLongAndOverflow(object, int*) noexcept
    unsigned long long PyLong_AsUnsignedLongLong(object) noexcept
    object PyNumber_Index(object)
    void PyErr_Clear()
    void* PyErr_Occurred()


cdef inline int refuse_integer(object value, str bounds) except -1:
    raise OverflowError(f"a whole number must be in {bounds}: value={value}")


cdef inline int64_t as_int64(object value) except? -1:
    """An int or NumPy integer as int64; TypeError for anything else, OverflowError beyond 64 bits."""
    cdef int overflow = 0
    cdef int64_t result = PyLong_AsLongLongAndOverflow(value, &overflow)
    if overflow:
        refuse_integer(value, "-2**63..2**63-1")
    return result  # a TypeError of the conversion is set and goes on to the caller


cdef inline uint64_t as_uint64(object value) except? 0xFFFFFFFFFFFFFFFF:
    """An int or NumPy integer as uint64; TypeError for anything else, OverflowError beyond 64 bits or below 0."""
    cdef object number = PyNumber_Index(value)
    cdef uint64_t result = PyLong_AsUnsignedLongLong(number)
    if result == <uint64_t> -1 and PyErr_Occurred() != NULL:
        PyErr_Clear()
        refuse_integer(value, "0..2**64-1")
    return result


cdef inline int refuse_range(str name, object value, object low, object high) except -1:
    """Raise ValueError: `name` must be in LOW..HIGH."""
    from fastcore.errors import range_error

    raise range_error(name, value, low, high)


cdef inline int64_t int64_in(object value, str name, int64_t low, int64_t high) except? -1:
    """A whole number within LOW..HIGH; ValueError for another, and what `as_int64` raises."""
    cdef int64_t number = as_int64(value)
    if not low <= number <= high:
        refuse_range(name, number, low, high)
    return number


cdef inline int8_t as_side(object value) except? -128:
    """+1, -1 or 0 as they are; ValueError for another number."""
    cdef int64_t side = as_int64(value)
    if not -1 <= side <= 1:
        raise ValueError(f"side must be 1 (buy), -1 (sell) or 0 (none): side={value}")
    return <int8_t> side
