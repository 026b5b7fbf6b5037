"""Checked access to NumPy arrays of records, without the price of a typed memoryview."""

cimport numpy as cnp

from fastcore._types cimport event_t

import numpy as np

from fastcore.records import EVENT_DTYPE, QUOTE_DTYPE, REPLACE_DTYPE


cdef inline cnp.ndarray check_events(object array, str name, bint writable):
    """Return `array` as an array of events that C may walk through, or raise."""
    cdef cnp.ndarray a
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name} must be a NumPy array of EVENT_DTYPE: type={type(array).__name__}")
    a = array
    if a.dtype is not EVENT_DTYPE and a.dtype not in (EVENT_DTYPE, QUOTE_DTYPE, REPLACE_DTYPE):
        raise TypeError(f"{name} must have dtype EVENT_DTYPE: dtype={a.dtype}")
    if a.ndim != 1 or not cnp.PyArray_IS_C_CONTIGUOUS(a) or not cnp.PyArray_ISALIGNED(a):
        raise ValueError(f"{name} must be one-dimensional, contiguous and aligned: ndim={a.ndim} strides={array.strides}")
    if writable and not cnp.PyArray_ISWRITEABLE(a):
        raise ValueError(f"{name} must be writable")
    return a


cdef inline event_t* events_data(cnp.ndarray a) noexcept:
    return <event_t*> cnp.PyArray_DATA(a)
