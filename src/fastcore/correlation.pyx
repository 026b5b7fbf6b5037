# cython: freethreading_compatible=True
"""Rolling correlation matrix of many series, a row of values at a time.

Sums of products are kept about a point of the data and renewed from the history; `fastcore.zscore` has the policy on NaN.
"""

import numpy as np

cimport cython
cimport numpy as cnp
from libc.stdint cimport int32_t, int64_t

from fastcore._guard cimport alone, enter, leave
from fastcore._arrays cimport as_doubles, doubles_data, is_plain
from fastcore._integers cimport as_int64, int64_in
from fastcore.records cimport RESULT_OK
from fastcore.zscore cimport check_window, no_memory, use_avx2

cnp.import_array()

__all__ = ["RollingCorrelation"]


cdef extern from "fc_correlation.h" nogil:
    ctypedef struct correlation_fields_t "fc_correlation_t":
        int32_t avx2
    int correlation_init "fc_correlation_init"(correlation_t* c, int64_t series, int64_t window)
    void correlation_reset "fc_correlation_reset"(correlation_t* c)
    void correlation_free "fc_correlation_free"(correlation_t* c)


@cython.final
cdef class RollingCorrelation:
    """RollingCorrelation(series, window)\n--\n\n
    Correlation matrix of many series over the newest `window` rows, updated by rank-1 steps.

    Parameters
    ----------
    series : int
        Number of series, 2 to 30,000.
    window : int
        Rows in a window, at least 2.

    Raises
    ------
    TypeError, ValueError, MemoryError
        If an argument is no integer or out of range, or the state does not fit in memory.

    **Thread safety**: one thread at a time per object.

    Notes
    -----
    A row costs ``series ** 2 / 2`` products twice: for the sums in use, and for a second set that only takes rows in and
    becomes the one in use every `window` rows, so that no rounding is older than two windows. A series whose sums collapse
    (a large outlier has left) or whose level has jumped is rebuilt from the history on the spot, which costs
    ``window * series`` products; `rebuilds` counts these.

    A value that is not finite, or beyond 1e100, makes NaN of the correlations of its series for as long as the window holds
    it, and of nothing else. A series that is constant in the window has no correlation: NaN.
    """

    def __cinit__(self, series, window):
        cdef int64_t length = check_window(window), n = int64_in(series, "series", 2, MOST_SERIES)
        (<correlation_fields_t*> &self._c).avx2 = use_avx2
        if correlation_init(&self._c, n, length) != RESULT_OK:
            no_memory("window * series", length * n)

    def __dealloc__(self):
        correlation_free(&self._c)

    def __repr__(self):
        return f"<RollingCorrelation series={self.series} window={self.window} count={self.count} rebuilds={self.rebuilds}>"

    def update(self, x):
        """Take one row of values in.

        Parameters
        ----------
        x : array_like of float64, shape (series,)
            The newest value of each series.

        Raises
        ------
        TypeError, ValueError
            If `x` is not one real number per series.

        **Thread safety**: one thread at a time per object.
        """
        alone(&self._busy)
        cdef cnp.ndarray values = as_doubles(x, "x")
        if cnp.PyArray_SIZE(values) != self._c.series:
            raise ValueError(f"x must hold one value per series: size={cnp.PyArray_SIZE(values)}, series={self._c.series}")
        correlation_update(&self._c, doubles_data(values))

    def update_many(self, x):
        """Take many rows in.

        Parameters
        ----------
        x : array_like of float64, shape (rows, series)
            Rows, oldest first.

        Raises
        ------
        TypeError, ValueError
            If `x` is not a matrix with one column per series.

        **Thread safety**: one thread at a time per object.
        """
        cdef cnp.ndarray values = as_doubles(x, "x", 2)
        cdef Py_ssize_t i, rows = cnp.PyArray_DIM(values, 0)
        cdef int64_t n = self._c.series
        if cnp.PyArray_DIM(values, 1) != n:
            raise ValueError(f"x must hold one column per series: columns={cnp.PyArray_DIM(values, 1)}, series={n}")
        cdef const double* p = doubles_data(values)
        enter(&self._busy)
        with nogil:
            for i in range(rows):
                correlation_update(&self._c, p + i * n)
        leave(&self._busy)

    def matrix(self, out=None):
        """Return the correlation matrix of the newest window.

        Parameters
        ----------
        out : ndarray of float64, shape (series, series), optional
            Where to write; C-contiguous.

        Returns
        -------
        ndarray of float64, shape (series, series)
            Symmetric, within [-1, 1], diagonal 1; NaN until there are `window` rows, and where a correlation does not exist.

        Raises
        ------
        ValueError
            If `out` does not fit.

        **Thread safety**: one thread at a time per object.
        """
        alone(&self._busy)
        cdef int64_t n = self._c.series
        if out is None:
            out = np.empty((n, n))
        elif not is_plain(out, 2) or not cnp.PyArray_ISWRITEABLE(<cnp.ndarray> out):
            raise ValueError("out must be a writable, C-contiguous, two-dimensional float64 array")
        elif out.shape != (n, n):
            raise ValueError(f"out must have a row and a column per series: shape={out.shape}, series={n}")
        correlation_matrix(&self._c, doubles_data(<cnp.ndarray> out))
        return out

    def correlation(self, i, j):
        """Return the correlation of two series over the newest window.

        Parameters
        ----------
        i, j : int
            Indices of the series.

        Returns
        -------
        float
            NaN where it does not exist, as in `matrix`.

        Raises
        ------
        IndexError
            If there is no such series.

        **Thread safety**: one thread at a time per object.
        """
        alone(&self._busy)
        cdef int64_t first = as_int64(i), second = as_int64(j)
        for index in (first, second):
            if not 0 <= index < self._c.series:
                raise IndexError(f"series must be in 0..{self._c.series - 1}: series={index}")
        return correlation_get(&self._c, first, second)

    def mean_correlations(self):
        """Return the mean correlation of every series with the others.

        Returns
        -------
        ndarray of float64, shape (series,)
            Over the correlations that exist, without the diagonal; NaN where there is none.

        **Thread safety**: one thread at a time per object.
        """
        alone(&self._busy)
        cdef cnp.ndarray result = np.empty(self._c.series)
        correlation_means(&self._c, doubles_data(result))
        return result

    def reset(self):
        """Forget every row."""
        alone(&self._busy)
        correlation_reset(&self._c)

    @property
    def series(self):
        """Number of series."""
        return self._c.series

    @property
    def window(self):
        """Rows in a window."""
        return self._c.window

    @property
    def count(self):
        """Rows taken in since the start or the last `reset`."""
        return self._c.count

    @property
    def rebuilds(self):
        """Series rebuilt from the history since the start or the last `reset`."""
        return self._c.rebuilds
