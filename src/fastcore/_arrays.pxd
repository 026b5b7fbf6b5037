"""Checked access to NumPy arrays of records, without the price of a typed memoryview."""

cimport numpy as cnp

from fastcore.records cimport event_t


cdef inline cnp.ndarray check_events(object array, str name, bint writable, tuple dtypes):
    """Return `array` as an array of events that C may walk through, or raise; `dtypes` are those of the event, most usual first."""
    cdef cnp.ndarray a
    if not cnp.PyArray_Check(array):
        raise TypeError(f"{name} must be a NumPy array of EVENT_DTYPE: type={type(array).__name__}")
    a = array
    if a.dtype is not dtypes[0] and a.dtype not in dtypes:
        raise TypeError(f"{name} must have dtype EVENT_DTYPE: dtype={a.dtype}")
    # NumPy calls every packed dtype aligned; the fields here need 8 bytes.
    if a.ndim != 1 or not cnp.PyArray_IS_C_CONTIGUOUS(a) or <size_t> cnp.PyArray_DATA(a) & 7:
        raise ValueError(f"{name} must be one-dimensional, contiguous and aligned: ndim={a.ndim} strides={array.strides}")
    if writable and not cnp.PyArray_ISWRITEABLE(a):
        raise ValueError(f"{name} must be writable")
    return a


cdef inline event_t* events_data(cnp.ndarray a) noexcept:
    return <event_t*> cnp.PyArray_DATA(a)
