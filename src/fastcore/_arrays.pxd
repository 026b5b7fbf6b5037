"""Checked access to NumPy arrays of records and of float64, without the price of a typed memoryview."""

cimport numpy as cnp

from fastcore.records cimport event_t, likely


cdef inline cnp.ndarray check_rows(object array, str name, tuple dtypes, str dtype_name, bint writable):
    """Return `array` as an array of records that C may walk through, or raise; `dtypes` are its own, most usual first."""
    cdef cnp.ndarray a
    if not cnp.PyArray_Check(array):
        raise TypeError(f"{name} must be a NumPy array of {dtype_name}: type={type(array).__name__}")
    a = array
    # Comparing structured dtypes takes microseconds; it is nearly always the same one.
    if a.dtype is not dtypes[0] and a.dtype not in dtypes:
        raise TypeError(f"{name} must have dtype {dtype_name}: dtype={a.dtype}")
    # NumPy calls every packed dtype aligned; the fields here need 8 bytes.
    if a.ndim != 1 or not cnp.PyArray_IS_C_CONTIGUOUS(a) or <size_t> cnp.PyArray_DATA(a) & 7:
        raise ValueError(f"{name} must be one-dimensional, contiguous and aligned: ndim={a.ndim} strides={array.strides}")
    if writable and not cnp.PyArray_ISWRITEABLE(a):
        raise ValueError(f"{name} must be writable")
    return a


cdef inline cnp.ndarray check_events(object array, str name, bint writable, tuple dtypes):
    """The same of events; `dtypes` are those that name their payload."""
    return check_rows(array, name, dtypes, "EVENT_DTYPE", writable)


cdef inline event_t* events_data(cnp.ndarray a) noexcept:
    return <event_t*> cnp.PyArray_DATA(a)


cdef inline bint is_plain(object x, int dimensions) noexcept:
    """Whether this is a float64 array as kernels want it: contiguous, aligned, native byte order."""
    return (
        cnp.PyArray_Check(x)
        and cnp.PyArray_TYPE(<cnp.ndarray> x) == cnp.NPY_DOUBLE
        and cnp.PyArray_NDIM(<cnp.ndarray> x) == dimensions
        and cnp.PyArray_ISCARRAY_RO(<cnp.ndarray> x)
    )


cdef inline cnp.ndarray as_doubles(object x, str name, int dimensions=1):
    """The float64 array itself, or a converted copy; TypeError and ValueError for what holds no real numbers."""
    if likely(is_plain(x, dimensions)):
        return <cnp.ndarray> x
    import numpy as np

    array = np.asarray(x)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold real numbers: dtype={array.dtype}")
    if array.ndim != dimensions:
        raise ValueError(f"{name} must have {dimensions} dimension{'s' if dimensions > 1 else ''}: ndim={array.ndim}")
    return np.require(array, np.float64, "CA")


cdef inline double* doubles_data(cnp.ndarray x) noexcept:
    return <double*> cnp.PyArray_DATA(x)
