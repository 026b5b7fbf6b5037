# cython: freethreading_compatible=True
"""Rolling mean, variance and z-score, of series and of pairs: batch over arrays, and streaming one tick at a time.

Definitions
    A window is the newest `window` points, the current one included. With mean m and standard deviation d over
    ``window - ddof`` (``ddof`` 0: population), ``z = (x - m) / d``, and 0 where d is 0. Always ``|z| <= sqrt(window - 1)``.

NaN policy
    A value that is not finite makes NaN of exactly the windows that hold it, in batch and in streaming form alike, and of
    nothing else; signals are 0 there. A variance or z-score is NaN as well where the squares overflow, at a spread beyond about
    1e150; squares vanish below a spread of about 1e-160, which then counts as constant.

Accuracy
    No value is ever subtracted from a running sum, and every window is measured about one of its own points: nothing drifts,
    an outlier leaves without a trace, a constant window has a variance of exactly 0 and no window a negative one.
    ``fc_rolling.h`` has the algorithm. The relative error is about ``window ** 1.5 * 1e-16`` at worst, for any data.

Sources: definition of the pair z-score: section 4 of the theory notes of the project; blocks of prefixes and suffixes: van Herk
(1992), Gil and Werman (1993), there for minima; deviations about a point of the data: Chan, Golub and LeVeque (1983).
"""

import operator

import numpy as np

cimport cython
cimport numpy as cnp
from libc.math cimport NAN, isfinite, log as c_log
from libc.stdint cimport int8_t, int32_t, int64_t, uintptr_t
from libc.stdlib cimport free, malloc
from libc.string cimport memmove

from fastcore._guard cimport alone, enter, leave
from fastcore._arrays cimport as_doubles, doubles_data, is_plain
from fastcore.records cimport RESULT_NO_MEMORY, RESULT_OK

from fastcore.errors import range_error

cnp.import_array()

__all__ = [
    "PairSet",
    "PairZScore",
    "RollingZScore",
    "pair_zscore",
    "rolling_mean",
    "rolling_std",
    "rolling_var",
    "rolling_zscore",
]


cdef extern from "fc_cpu.h" nogil:
    bint fc_cpu_has_avx2()
    bint fc_cpu_allows(const char* feature)


cdef extern from "fc_rolling.h" nogil:
    ctypedef struct rolling_shape_t "fc_rolling_shape_t":
        pass
    rolling_shape_t rolling_shape "fc_rolling_shape"(int64_t window, int64_t ddof)
    int rolling_batch "fc_rolling_batch"(
        int avx2, int op, const double* x, double* out, size_t window, size_t count, const rolling_shape_t* shape
    )


cdef extern from "fc_pairs.h" nogil:
    # The fields that only this module sets.
    ctypedef struct pairset_fields_t "fc_pairset_t":
        rolling_shape_t shape
        int64_t pairs, window, ddof, symbols
        int32_t logarithm, avx2
        double* spread
        double* zscore
        int8_t* signal
        double* hedge
        double* threshold
        int32_t* first
        int32_t* second
    int64_t pairset_stride "fc_pairset_stride"(int64_t pairs)
    int pairset_init "fc_pairset_init"(pairset_fields_t* p)
    void pairset_reset "fc_pairset_reset"(pairset_fields_t* p)
    void pairset_free "fc_pairset_free"(pairset_fields_t* p)


# Chosen once at import; every call reads it, also in the modules built on this one.
use_avx2 = fc_cpu_has_avx2() and fc_cpu_allows("avx2")


def _simd(name=None):
    # For tests: force "avx2" or "scalar" in what is called or made from now on; return what is in force.
    global use_avx2
    if name is not None:
        if name not in ("avx2", "scalar") or (name == "avx2" and not fc_cpu_has_avx2()):
            raise ValueError(f"no such twin on this processor: name={name!r}")
        use_avx2 = name == "avx2"
    return "avx2" if use_avx2 else "scalar"


# ---- arguments ----


cdef int64_t check_window(object window, object n=None, str name="window") except -1:
    value = operator.index(window)
    if n is None:
        if not 2 <= value < 2**62:
            raise range_error(name, value, 2, 2**62 - 1)
    elif not 2 <= value <= n:
        raise range_error(name, value, 2, "n", n=n)
    return value


cdef int64_t _check_ddof(object ddof, int64_t window) except -1:
    value = operator.index(ddof)
    if not 0 <= value < window:
        raise range_error("ddof", value, 0, "window-1", window=window)
    return value


cdef double _check_finite(object value, str name) except? -1.0:
    cdef double number = value
    if not isfinite(number):
        raise ValueError(f"{name} must be finite: {name}={number}")
    return number


cdef bint _overlap(cnp.ndarray a, cnp.ndarray b) noexcept:
    cdef uintptr_t p = <uintptr_t> cnp.PyArray_DATA(a), q = <uintptr_t> cnp.PyArray_DATA(b)
    return p < q + <uintptr_t> cnp.PyArray_NBYTES(b) and q < p + <uintptr_t> cnp.PyArray_NBYTES(a)


cdef cnp.ndarray _output(object out, Py_ssize_t n, cnp.ndarray x, cnp.ndarray y=None):
    cdef cnp.npy_intp shape = n
    if out is None:
        return <cnp.ndarray> cnp.PyArray_EMPTY(1, &shape, cnp.NPY_DOUBLE, 0)
    if not is_plain(out, 1) or not cnp.PyArray_ISWRITEABLE(<cnp.ndarray> out):
        raise ValueError("out must be a writable, contiguous, one-dimensional float64 array")
    if cnp.PyArray_SIZE(<cnp.ndarray> out) != n:
        raise ValueError(f"out must hold one value per window: size={cnp.PyArray_SIZE(<cnp.ndarray> out)}, windows={n}")
    if _overlap(<cnp.ndarray> out, x) or (y is not None and _overlap(<cnp.ndarray> out, y)):
        raise ValueError("out must not share memory with the input")
    return <cnp.ndarray> out


cdef int no_memory(str what, int64_t size) except -1:
    raise MemoryError(f"no memory for the state: {what}={size}")


# ---- batch ----


cdef object _rolling(int op, object x, object window, object ddof, object out):
    cdef cnp.ndarray values = as_doubles(x, "x")
    cdef Py_ssize_t n = cnp.PyArray_SIZE(values)
    cdef int64_t length = check_window(window, n)
    cdef rolling_shape_t shape = rolling_shape(length, _check_ddof(ddof, length))
    cdef cnp.ndarray result = _output(out, n - length + 1, values)
    cdef double* p = doubles_data(values)
    cdef double* q = doubles_data(result)
    cdef bint avx2 = use_avx2
    cdef int code
    with nogil:
        code = rolling_batch(avx2, op, p, q, length, n - length + 1, &shape)
    if code != RESULT_OK:
        no_memory("window", length)
    return result


def rolling_mean(x, window, out=None):
    """Return the mean of every window.

    Parameters
    ----------
    x : array_like of float64, shape (n,)
        The series, any unit; contiguous float64 is used in place, anything else is converted first.
    window : int
        Points in a window, 2 to n.
    out : ndarray of float64, shape (n - window + 1,), optional
        Where to write, to spare the first touch of fresh memory; contiguous, apart from `x`.

    Returns
    -------
    ndarray of float64, shape (n - window + 1,)
        Item i is of ``x[i : i + window]``. NaN where the window holds a value that is not finite.

    Raises
    ------
    TypeError
        If `x` does not hold real numbers or `window` is no integer.
    ValueError
        If `x` is not one-dimensional, `window` is out of range, or `out` does not fit.

    **Thread safety**: any number of threads may call it; the interpreter lock is released. Nobody may write `x` meanwhile.
    """
    return _rolling(ROLLING_MEAN, x, window, 0, out)


def rolling_var(x, window, ddof=0, out=None):
    """Return the variance of every window, never negative, and exactly 0 for a constant one.

    Parameters
    ----------
    x, window, out
        As in `rolling_mean`.
    ddof : int
        The divisor is ``window - ddof``: 0 is the population, 1 the sample.

    Returns
    -------
    ndarray of float64, shape (n - window + 1,)
        In squared units of `x`; NaN where the window holds a value that is not finite.

    Raises
    ------
    TypeError, ValueError
        As in `rolling_mean`, and if `ddof` is negative or not below `window`.

    **Thread safety**: as in `rolling_mean`.
    """
    return _rolling(ROLLING_VAR, x, window, ddof, out)


def rolling_std(x, window, ddof=0, out=None):
    """Return the standard deviation of every window: the square root of `rolling_var`.

    Parameters
    ----------
    x, window, ddof, out
        As in `rolling_var`.

    Returns
    -------
    ndarray of float64, shape (n - window + 1,)
        In units of `x`; NaN where the window holds a value that is not finite.

    Raises
    ------
    TypeError, ValueError
        As in `rolling_var`.

    **Thread safety**: as in `rolling_mean`.
    """
    return _rolling(ROLLING_STD, x, window, ddof, out)


def rolling_zscore(x, window, ddof=0, out=None):
    """Return the z-score of the last point of every window: ``(x - mean) / std``, and 0 where std is 0.

    Parameters
    ----------
    x, window, ddof, out
        As in `rolling_var`.

    Returns
    -------
    ndarray of float64, shape (n - window + 1,)
        Dimensionless, within ``sqrt(window - 1)``; NaN where the window holds a value that is not finite.

    Raises
    ------
    TypeError, ValueError
        As in `rolling_var`.

    **Thread safety**: as in `rolling_mean`.
    """
    return _rolling(ROLLING_ZSCORE, x, window, ddof, out)


cdef int _check_positive(const double* p, Py_ssize_t n, str name) except -1:
    # NaN passes: it marks its own windows.
    cdef Py_ssize_t i
    for i in range(n):
        if p[i] <= 0.0:
            raise ValueError(f"prices must be positive where logarithms are asked for: {name}[{i}]={p[i]}")
    return 0


cdef inline double _spread(double a, double b, double hedge, bint logarithm) noexcept nogil:
    return c_log(a) - hedge * c_log(b) if logarithm else a - hedge * b


cdef int _pair_batch(
    bint avx2, const double* a, const double* b, double* out, size_t window, size_t count, double hedge, bint logarithm,
    const rolling_shape_t* shape
) noexcept nogil:
    # In chunks of whole blocks, so that the spreads stay in the cache and the bits equal those of rolling_zscore.
    cdef size_t chunk = 4 * window * (1 + 4096 // (4 * window)), have = 0, done = 0, size, i
    cdef double* work = <double*> malloc(((chunk if chunk < count else count) + window) * sizeof(double))
    cdef int code = RESULT_OK
    if work == NULL:
        return RESULT_NO_MEMORY
    while done < count and code == RESULT_OK:
        size = count - done if count - done < chunk else chunk
        for i in range(have, size + window - 1):
            work[i] = _spread(a[done + i], b[done + i], hedge, logarithm)
        code = rolling_batch(avx2, ROLLING_ZSCORE, work, out + done, window, size, shape)
        done += size
        have = window - 1
        memmove(work, work + size, have * sizeof(double))
    free(work)
    return code


def pair_zscore(prices1, prices2, window, *, hedge_ratio=1.0, log=False, ddof=0, out=None):
    """Return the rolling z-score of the spread of two price series.

    The spread is ``prices1 - hedge_ratio * prices2``, or ``ln(prices1) - hedge_ratio * ln(prices2)`` with `log`.

    Parameters
    ----------
    prices1, prices2 : array_like of float64, shape (n,)
        Prices in one unit, positive where `log` is set.
    window : int
        Points in a window, the current one included, 2 to n.
    hedge_ratio : float
        Units of the second instrument against one of the first; finite.
    log : bool
        Take the difference of logarithms.
    ddof, out
        As in `rolling_zscore`.

    Returns
    -------
    ndarray of float64, shape (n - window + 1,)
        z-scores, as in `rolling_zscore`.

    Raises
    ------
    TypeError, ValueError
        As in `rolling_zscore`, and if the lengths differ, `hedge_ratio` is not finite, or `log` meets a price that is
        zero or negative.

    **Thread safety**: as in `rolling_mean`.
    """
    cdef cnp.ndarray first = as_doubles(prices1, "prices1"), second = as_doubles(prices2, "prices2")
    return pair_zscores(first, second, window, _check_finite(hedge_ratio, "hedge_ratio"), log, ddof, out, "window")


cdef object pair_zscores(
    cnp.ndarray first, cnp.ndarray second, object window, double hedge, bint logarithm, object ddof, object out, str name
):
    cdef Py_ssize_t n = cnp.PyArray_SIZE(first)
    if cnp.PyArray_SIZE(second) != n:
        raise ValueError(f"price series must have one length: prices1={n}, prices2={cnp.PyArray_SIZE(second)}")
    cdef int64_t length = check_window(window, n, name)
    cdef rolling_shape_t shape = rolling_shape(length, _check_ddof(ddof, length))
    cdef const double* a = doubles_data(first)
    cdef const double* b = doubles_data(second)
    if logarithm:
        _check_positive(a, n, "prices1")
        _check_positive(b, n, "prices2")
    cdef cnp.ndarray result = _output(out, n - length + 1, first, second)
    cdef double* q = doubles_data(result)
    cdef bint avx2 = use_avx2
    cdef int code
    with nogil:
        code = _pair_batch(avx2, a, b, q, length, n - length + 1, hedge, logarithm, &shape)
    if code != RESULT_OK:
        no_memory(name, length)
    return result


# ---- streaming ----


@cython.final
cdef class RollingZScore:
    """RollingZScore(window, ddof=0)\n--\n\n
    Rolling statistics of one series, a point at a time; each point costs the same, whatever the window.

    Parameters
    ----------
    window : int
        Points in a window, at least 2.
    ddof : int
        The divisor of the variance is ``window - ddof``.

    Raises
    ------
    TypeError, ValueError, MemoryError
        If `window` or `ddof` is no integer or out of range, or the window does not fit in memory.

    **Thread safety**: one thread at a time per object.

    Notes
    -----
    Results are those of the batch functions to rounding (the anchors differ), and the same bits however the points arrive:
    one by one or in pieces. Memory: 24 bytes a point of the window.
    """

    def __cinit__(self, window, ddof=0):
        cdef int64_t length = check_window(window)
        if rolling_init(&self._r, length, _check_ddof(ddof, length)) != RESULT_OK:
            no_memory("window", length)

    def __dealloc__(self):
        rolling_free(&self._r)

    def __repr__(self):
        return f"<RollingZScore window={self.window} ddof={self.ddof} count={self.count} mean={self.mean} std={self.std} zscore={self.zscore}>"

    def update(self, double x):
        """Take one point in and return its z-score.

        Parameters
        ----------
        x : float
            The newest point.

        Returns
        -------
        float
            NaN until there are `window` points, and while the window holds a value that is not finite.

        **Thread safety**: one thread at a time per object.
        """
        alone(&self._busy)
        return rolling_update(&self._r, x)

    def update_many(self, x, out=None):
        """Take many points in and return the z-score after each.

        Parameters
        ----------
        x : array_like of float64, shape (n,)
            Points, oldest first.
        out : ndarray of float64, shape (n,), optional
            Where to write.

        Returns
        -------
        ndarray of float64, shape (n,)
            What `update` returns for each.

        Raises
        ------
        TypeError, ValueError
            If `x` is not a one-dimensional series of real numbers, or `out` does not fit.

        **Thread safety**: one thread at a time per object.
        """
        cdef cnp.ndarray values = as_doubles(x, "x")
        cdef Py_ssize_t i, n = cnp.PyArray_SIZE(values)
        cdef cnp.ndarray result = _output(out, n, values)
        cdef double* p = doubles_data(values)
        cdef double* q = doubles_data(result)
        enter(&self._busy)
        with nogil:
            for i in range(n):
                q[i] = rolling_update(&self._r, p[i])
        leave(&self._busy)
        return result

    def reset(self):
        """Forget every point."""
        alone(&self._busy)
        rolling_reset(&self._r)

    @property
    def window(self):
        """Points in a window."""
        return self._r.window

    @property
    def ddof(self):
        """What is taken off the window in the divisor of the variance."""
        return self._r.ddof

    @property
    def count(self):
        """Points taken in since the start or the last `reset`."""
        return self._r.count

    @property
    def mean(self):
        """Mean of the newest window; NaN until it is full."""
        alone(&self._busy)
        return rolling_get(ROLLING_MEAN, &self._r)

    @property
    def var(self):
        """Variance of the newest window; NaN until it is full."""
        alone(&self._busy)
        return rolling_get(ROLLING_VAR, &self._r)

    @property
    def std(self):
        """Standard deviation of the newest window; NaN until it is full."""
        alone(&self._busy)
        return rolling_get(ROLLING_STD, &self._r)

    @property
    def zscore(self):
        """z-score of the newest point; NaN until the window is full."""
        alone(&self._busy)
        return rolling_get(ROLLING_ZSCORE, &self._r)


@cython.final
cdef class PairZScore:
    """PairZScore(window, hedge_ratio=1.0, log=False, ddof=0)\n--\n\n
    Rolling z-score of the spread of two prices, a tick at a time.

    The spread is ``price1 - hedge_ratio * price2``, or ``ln(price1) - hedge_ratio * ln(price2)`` with `log`.

    Parameters
    ----------
    window : int
        Ticks in a window, at least 2.
    hedge_ratio : float
        Units of the second instrument against one of the first; finite.
    log : bool
        Take the difference of logarithms.
    ddof : int
        The divisor of the variance is ``window - ddof``.

    Raises
    ------
    TypeError, ValueError, MemoryError
        As in `RollingZScore`, and if `hedge_ratio` is not finite.

    **Thread safety**: one thread at a time per object.
    """

    def __cinit__(self, window, hedge_ratio=1.0, log=False, ddof=0):
        cdef int64_t length = check_window(window)
        self.hedge_ratio = _check_finite(hedge_ratio, "hedge_ratio")
        self.log = log
        if rolling_init(&self._r, length, _check_ddof(ddof, length)) != RESULT_OK:
            no_memory("window", length)

    def __dealloc__(self):
        rolling_free(&self._r)

    def __repr__(self):
        return (
            f"<PairZScore window={self.window} hedge_ratio={self.hedge_ratio} log={bool(self.log)} ddof={self.ddof} "
            f"count={self.count} mean={self.mean} std={self.std} zscore={self.zscore}>"
        )

    def update(self, double price1, double price2):
        """Take one tick in and return the z-score of its spread.

        Parameters
        ----------
        price1, price2 : float
            Prices in one unit, positive where `log` is set.

        Returns
        -------
        float
            NaN until there are `window` ticks, and while the window holds a spread that is not finite.

        Raises
        ------
        ValueError
            If `log` is set and a price is zero or negative; the tick is not taken in then.

        **Thread safety**: one thread at a time per object.
        """
        if self.log and (price1 <= 0.0 or price2 <= 0.0):
            raise ValueError(f"prices must be positive where logarithms are asked for: price1={price1}, price2={price2}")
        return rolling_update(&self._r, _spread(price1, price2, self.hedge_ratio, self.log))

    def reset(self):
        """Forget every tick."""
        rolling_reset(&self._r)

    @property
    def window(self):
        """Ticks in a window."""
        return self._r.window

    @property
    def ddof(self):
        """What is taken off the window in the divisor of the variance."""
        return self._r.ddof

    @property
    def count(self):
        """Ticks taken in since the start or the last `reset`."""
        return self._r.count

    @property
    def mean(self):
        """Mean spread of the newest window; NaN until it is full."""
        return rolling_get(ROLLING_MEAN, &self._r)

    @property
    def std(self):
        """Standard deviation of the spread in the newest window; NaN until it is full."""
        return rolling_get(ROLLING_STD, &self._r)

    @property
    def zscore(self):
        """z-score of the newest spread; NaN until the window is full."""
        return rolling_get(ROLLING_ZSCORE, &self._r)


cdef object _per_pair(object value, int64_t pairs, str name):
    # One number for all pairs, or one for each.
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold real numbers: dtype={array.dtype}")
    if array.ndim != 0 and array.shape != (pairs,):
        raise ValueError(f"{name} must be one number or one per pair: shape={array.shape}, pairs={pairs}")
    return np.ascontiguousarray(np.broadcast_to(array, (pairs,)), np.float64)


cdef object check_thresholds(object thresholds, int64_t pairs):
    array = _per_pair(thresholds, pairs, "thresholds")
    wrong = np.flatnonzero(~(array >= 0.0))
    if wrong.size:
        raise ValueError(f"thresholds must be at least 0: thresholds[{wrong[0]}]={array[wrong[0]]}")
    return array


cdef object check_pairs(object pairs, str name, object symbols):
    # int64[n, 2] of symbol indices, below `symbols` where it is known.
    array = np.asarray(pairs)
    if array.ndim != 2 or array.shape[1] != 2 or array.shape[0] == 0:
        raise ValueError(f"{name} must be rows of two symbol indices: shape={array.shape}")
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} must hold integers: dtype={array.dtype}")
    high = 2**31 - 1 if symbols is None else symbols
    wrong = np.flatnonzero((array < 0) | (array >= high))
    if wrong.size:
        row = int(wrong[0]) // 2
        raise ValueError(f"{name} must be in 0..{high - 1}: {name}[{row}]={array[row].tolist()}")
    return np.ascontiguousarray(array, np.int64)


@cython.final
cdef class PairSet:
    """PairSet(pairs, window, thresholds=2.0, hedge_ratios=1.0, log=False, ddof=0)\n--\n\n
    z-scores and signals of many pairs, all updated by one tick of prices.

    Parameters
    ----------
    pairs : array_like of int, shape (n, 2)
        Indices of the two symbols of each pair in the prices of a tick.
    window : int
        Ticks in a window, at least 2.
    thresholds : float or array_like of float64, shape (n,)
        A signal is +1 where z is above, -1 where z is below the negative, else 0; at least 0.
    hedge_ratios : float or array_like of float64, shape (n,)
        The spread is ``price1 - hedge_ratio * price2``; finite.
    log : bool
        Take the difference of logarithms, as in `PairZScore`.
    ddof : int
        The divisor of the variance is ``window - ddof``.

    Attributes
    ----------
    signals : ndarray of int8, shape (n,)
        Of the newest tick. The three arrays are read-only views that the next tick overwrites: copy what is to be kept.
    zscores : ndarray of float64, shape (n,)
        Of the newest tick; NaN until there are `window` ticks, and while a window holds a spread that is not finite.
    spreads : ndarray of float64, shape (n,)
        Of the newest tick.

    Raises
    ------
    TypeError, ValueError, MemoryError
        If an argument has the wrong shape or type or is out of range, or the windows do not fit in memory.

    **Thread safety**: one thread at a time per object.

    Notes
    -----
    Each z-score has the bits of a `PairZScore` of that pair. Structure of arrays: a tick reads and writes the rows of all
    pairs in order. Memory: 8 bytes a point of the window and pair, and 4 a point and symbol.
    """

    def __cinit__(self, pairs, window, thresholds=2.0, hedge_ratios=1.0, log=False, ddof=0):
        cdef pairset_fields_t* p = <pairset_fields_t*> &self._p
        cdef int64_t length = check_window(window)
        index = check_pairs(pairs, "pairs", None)
        cdef int64_t n = index.shape[0]
        if n >= 2**31 - 8:
            raise ValueError(f"there must be fewer than 2147483640 pairs: pairs={n}")
        threshold = check_thresholds(thresholds, n)
        hedge = _per_pair(hedge_ratios, n, "hedge_ratios")
        wrong = np.flatnonzero(~np.isfinite(hedge))
        if wrong.size:
            raise ValueError(f"hedge_ratios must be finite: hedge_ratios[{wrong[0]}]={hedge[wrong[0]]}")
        p.ddof = _check_ddof(ddof, length)
        p.window, p.pairs, p.symbols = length, n, int(index.max()) + 1
        p.logarithm, p.avx2 = bool(log), use_avx2
        p.shape = rolling_shape(length, p.ddof)
        cdef cnp.ndarray signals = np.zeros(pairset_stride(n), np.int8)
        cdef cnp.ndarray zscores = np.full(pairset_stride(n), NAN), spreads = np.full(pairset_stride(n), NAN)
        p.signal = <int8_t*> cnp.PyArray_DATA(signals)
        p.zscore, p.spread = doubles_data(zscores), doubles_data(spreads)
        if pairset_init(p) != RESULT_OK:
            no_memory("window * pairs", length * n)
        cdef const int64_t[:, ::1] symbols = index
        cdef const double[::1] limits = threshold, ratios = hedge
        cdef int64_t i
        for i in range(n):
            p.first[i], p.second[i] = <int32_t> symbols[i, 0], <int32_t> symbols[i, 1]
            p.threshold[i], p.hedge[i] = limits[i], ratios[i]
        self.signals, self.zscores, self.spreads = signals[:n], zscores[:n], spreads[:n]
        for view in (self.signals, self.zscores, self.spreads):
            view.setflags(write=False)

    def __dealloc__(self):
        pairset_free(<pairset_fields_t*> &self._p)

    def __repr__(self):
        return (
            f"<PairSet pairs={len(self)} window={self.window} ddof={self.ddof} count={self.count} "
            f"long={(self.signals > 0).sum()} short={(self.signals < 0).sum()}>"
        )

    def update(self, prices):
        """Take one tick in and return the signals of all pairs.

        Parameters
        ----------
        prices : array_like of float64, shape (m,)
            The newest price of each symbol, m above the largest index in the pairs; positive where `log` is set.

        Returns
        -------
        ndarray of int8, shape (n,)
            The attribute `signals`; the next tick overwrites it.

        Raises
        ------
        TypeError, ValueError
            If there are too few prices, they are not real numbers, or `log` meets one that is zero or negative; the tick is
            not taken in then.

        **Thread safety**: one thread at a time per object.
        """
        cdef cnp.ndarray values = as_doubles(prices, "prices")
        cdef int64_t bad = 0
        if cnp.PyArray_SIZE(values) < self._p.symbols:
            raise ValueError(f"prices must hold every symbol of the pairs: size={cnp.PyArray_SIZE(values)}, symbols={self._p.symbols}")
        if pairset_update(&self._p, doubles_data(values), &bad) != RESULT_OK:
            raise ValueError(
                f"prices must be positive where logarithms are asked for: prices[{bad}]={doubles_data(values)[bad]}"
            )
        return self.signals

    def reset(self):
        """Forget every tick."""
        pairset_reset(<pairset_fields_t*> &self._p)

    def __len__(self):
        return self._p.pairs

    @property
    def window(self):
        """Ticks in a window."""
        return self._p.window

    @property
    def ddof(self):
        """What is taken off the window in the divisor of the variance."""
        return self._p.ddof

    @property
    def count(self):
        """Ticks taken in since the start or the last `reset`."""
        return self._p.count
