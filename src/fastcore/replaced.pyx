# cython: freethreading_compatible=True
"""The calls of the replaced engine, so that what was written for it runs unchanged; each is thin over the module that does the work.

===========================  =============================================================================================
`LockFreeRingBuffer`         a ring of floats, over `fastcore.ring`
`SymbolMapper`               symbols and their last prices: the one of `fastcore.symbols`
`LatencyMonitor`             latencies, over `fastcore.histogram`
`fast_zscore_calculation`    z-score of a difference of prices, over `fastcore.zscore`
`zscore_batch`               signals of many pairs, without a state; the same signals with one: `fastcore.zscore.PairSet`
`OptimizedSignalEngine`      signals from mean correlations, over `fastcore.correlation`
`MemoryMappedDataStore`      ticks in a file, over `fastcore.tickstore`
`tick_columns`, `keep_ticks` batches of ticks as columns and in a pool, for ``hft.replaced``
===========================  =============================================================================================

The calls of its asynchronous engine and its market maker are in ``hft.replaced``.
"""

from time import perf_counter_ns

import numpy as np

cimport cython
cimport numpy as cnp
from cpython.float cimport PyFloat_CheckExact
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.math cimport NAN, isfinite
from libc.stdint cimport int8_t, int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from fastcore._guard cimport alone, enter, leave
from fastcore._arrays cimport as_doubles, doubles_data
from fastcore._integers cimport as_int64, int64_in
from fastcore._slots cimport RING_HEAD_BYTES, RING_SINGLE, ring_keep, ring_memory_t
from fastcore.correlation cimport MOST_SERIES, RollingCorrelation, correlation_means, correlation_t, correlation_update
from fastcore.histogram cimport Histogram, fc_sub_overflow, int64_data
from fastcore.records cimport RESULT_OK, fc_alloc, fc_free, load_acquire, load_relaxed, tick_t, unlikely
from fastcore.ring cimport ring_commit, ring_release, ring_try_claim, ring_try_peek
from fastcore.tickstore cimport TickStore, make_tick, store_append
from fastcore.zscore cimport check_pairs, check_thresholds, check_window, no_memory, pair_zscores, use_avx2

from fastcore.records import TICK_DTYPE
from fastcore.symbols import SymbolMapper

cnp.import_array()

__all__ = [
    "LatencyMonitor",
    "LockFreeRingBuffer",
    "MemoryMappedDataStore",
    "OptimizedSignalEngine",
    "SymbolMapper",
    "fast_zscore_calculation",
    "keep_ticks",
    "tick_columns",
    "zscore_batch",
]


cdef enum:
    HISTORY = 1000  # ticks that `price_matrix` shows


cdef inline bint int64_rows(object array):
    return cnp.PyArray_TYPE(<cnp.ndarray> array) == cnp.NPY_INT64 and cnp.PyArray_ISCARRAY_RO(<cnp.ndarray> array)


cdef int64_t MOST_RECORDS = (<int64_t> 1 << 40) - 1


cdef extern from *:
    """
    /* A reference that the caller now owns. */
    static inline PyObject *fc_owned(void *p) { return (PyObject *)p; }
    """
    object owned "fc_owned"(void*)


cdef extern from "fc_pairs.h" nogil:
    ctypedef struct rolling_shape_t "fc_rolling_shape_t":
        pass
    rolling_shape_t rolling_shape "fc_rolling_shape"(int64_t window, int64_t ddof)
    int8_t pair_signal "fc_pair_signal"(
        int avx2, const double* a, const double* b, size_t size, size_t i, size_t j, size_t lookback, double threshold,
        const rolling_shape_t* shape, double* work
    )


@cython.final
cdef class LockFreeRingBuffer:
    """LockFreeRingBuffer(size=8192)\n--\n\n
    Ring of floats, without a lock.

    Parameters
    ----------
    size : int, optional
        Values that fit: 1 or more, rounded up to a power of two, 2 or more: 1,000 gives a ring of 1,024 (the attribute `size`).

    Notes
    -----
    **Thread safety**: one producer thread and one consumer thread. Calls do not release the GIL, so with the GIL any
    number of threads may call; on a free-threaded interpreter give each pair of threads its own ring.

    Slots carry the float objects themselves, so that neither end converts or allocates. Values come out as they went in,
    NaN and infinities included.
    """

    def __cinit__(self, size=8192):
        n = int64_in(size, "size", 1, <int64_t> 1 << 35)
        n = 2 if n == 1 else 1 << (n - 1).bit_length()
        cdef ring_memory_t head
        cdef void* memory = fc_alloc(RING_HEAD_BYTES + n * 16, 1)
        if memory == NULL:
            raise MemoryError(f"no memory for the ring: size={n}")
        head.kind, head.consumers = RING_SINGLE, 0
        head.mask, head.size, head.slots_offset = n - 1, 16, RING_HEAD_BYTES
        ring_keep(&self._kept, <ring_memory_t*> memory, &head)
        self._ring = &self._kept

    def __dealloc__(self):
        cdef void** slot
        if self._ring == NULL:
            return
        while True:
            slot = <void**> ring_try_peek(self._ring)
            if slot == NULL:
                break
            Py_DECREF(<object> slot[1])
            ring_release(self._ring)
        fc_free(self._ring.memory)

    def __reduce__(self):
        raise TypeError("a ring cannot be pickled")

    def __len__(self):
        cdef uint64_t tail = load_acquire(&self._ring.memory.tail)
        return min(load_acquire(&self._ring.memory.head) - tail, self._ring.mask + 1)

    def __repr__(self):
        return f"<LockFreeRingBuffer size={self.size} waiting={len(self)} published={self.published} full={self.full}>"

    def push(self, value):
        """Append a value.

        Parameters
        ----------
        value : float
            Or what converts to it without loss of meaning: int, numpy.float64, anything with ``__float__``.

        Returns
        -------
        bool
            False when the ring is full: the value was not taken (counted in ``full``).
        """
        cdef void** slot
        if not PyFloat_CheckExact(value):
            value = <double> value
        slot = <void**> ring_try_claim(self._ring)
        if slot == NULL:
            return False
        Py_INCREF(value)  # the ring's reference, which pop hands on
        slot[1] = <void*> value
        ring_commit(self._ring)
        return True

    def pop(self):
        """Take the oldest value.

        Returns
        -------
        float or None
            None when the ring is empty.
        """
        cdef void** slot = <void**> ring_try_peek(self._ring)
        cdef void* value
        if slot == NULL:
            return None
        value = slot[1]
        ring_release(self._ring)
        return owned(value)

    @property
    def size(self):
        """Values that fit."""
        return self._ring.mask + 1

    @property
    def published(self):
        """Values accepted since the ring was made."""
        return load_acquire(&self._ring.memory.head)

    @property
    def consumed(self):
        """Values taken since the ring was made."""
        return load_acquire(&self._ring.memory.tail)

    @property
    def full(self):
        """Values refused because the ring was full."""
        return load_relaxed(&self._ring.memory.full)


@cython.final
cdef class LatencyMonitor:
    """LatencyMonitor(capacity=100000, digits=3)\n--\n\n
    Collect latencies: the last ones as they were, all of them in buckets of 1 us and in a `Histogram`.

    Parameters
    ----------
    capacity : int, default 100_000
        Latencies that are kept one by one; older ones are overwritten, so memory is bounded.
    digits : int, default 3
        Significant digits of `distribution`.

    Attributes
    ----------
    distribution : Histogram
        Every latency that is not negative, up to an hour; longer ones are counted there as saturated.
    count : int
        Latencies recorded since the start or the last `reset`, negative ones included.
    negative : int
        Latencies whose end came before their start: clocks that disagree, or arguments in the wrong order. They are kept in `latencies`
        as they are and in neither histogram.
    capacity : int
        As given.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    Notes
    -----
    **Thread safety**: one thread records; another may read and sees each number old or new.
    """

    def __cinit__(self, capacity=100_000, digits=3):
        self._configure(int64_in(capacity, "capacity", 1, <int64_t> 1 << 32), digits)

    cdef int _configure(self, int64_t capacity, digits) except -1:
        self._distribution = Histogram(digits=digits)
        self._h = self._distribution._h
        self._m.capacity = capacity
        self._m.ring = <int64_t*> fc_alloc(<size_t> capacity, sizeof(int64_t))
        self._m.buckets = <int64_t*> fc_alloc(1000, sizeof(int64_t))
        if self._m.ring == NULL or self._m.buckets == NULL:
            raise MemoryError(f"the latencies must fit into memory: bytes={8 * capacity}")
        return 0

    def __dealloc__(self):
        if self._m.ring != NULL:
            fc_free(self._m.ring)
        if self._m.buckets != NULL:
            fc_free(self._m.buckets)

    def __repr__(self):
        return f"<LatencyMonitor count={self.count} negative={self.negative} p50={self.percentile(50.0)} p99={self.percentile(99.0)} ns>"

    def record_latency(self, start_ns, end_ns):
        """Record the time between two time stamps.

        Parameters
        ----------
        start_ns, end_ns : int
            Of one clock, in ns. An end before its start is counted in `negative` and kept, never taken for 0.

        Raises
        ------
        OverflowError
            If the difference does not fit into 64 bits; nothing is recorded.

        Notes
        -----
        **Thread safety**: one thread at a time.
        """
        alone(&self._busy)
        cdef int64_t latency_ns
        if unlikely(fc_sub_overflow(as_int64(end_ns), as_int64(start_ns), &latency_ns)):
            raise OverflowError(f"the latency must fit into 64 bits: start_ns={start_ns} end_ns={end_ns}")
        latencies_record(&self._m, self._h, latency_ns)

    def record_many(self, latencies_ns not None):
        """Record every latency of an array.

        Parameters
        ----------
        latencies_ns : ndarray of int64, shape (n,), C-contiguous
            Nanoseconds; negative ones are counted as in `record_latency`.

        Raises
        ------
        TypeError
            If it is no array of int64.
        ValueError
            If it is not one-dimensional and contiguous.

        Notes
        -----
        **Thread safety**: one thread at a time; the GIL is released meanwhile.
        """
        cdef int64_t* data = int64_data(latencies_ns, "latencies_ns")
        cdef Py_ssize_t i, n = cnp.PyArray_DIM(latencies_ns, 0)
        enter(&self._busy)
        with nogil:
            for i in range(n):
                latencies_record(&self._m, self._h, data[i])
        leave(&self._busy)

    @property
    def latencies(self):
        """The last `capacity` latencies in ns, oldest first: a copy, int64."""
        alone(&self._busy)
        cdef int64_t kept = self._m.recorded if self._m.recorded < self._m.capacity else self._m.capacity
        cdef int64_t first = self._m.position if kept == self._m.capacity else 0
        out = np.empty(kept, np.int64)
        cdef int64_t* data = <int64_t*> cnp.PyArray_DATA(out)
        memcpy(data, self._m.ring + first, <size_t> (kept - first) * sizeof(int64_t))
        memcpy(data + kept - first, self._m.ring, <size_t> first * sizeof(int64_t))
        return out

    @property
    def histogram(self):
        """Counts in 1,000 buckets of 1 us, int64, a copy; the last bucket also counts everything longer."""
        alone(&self._busy)
        out = np.empty(1000, np.int64)
        memcpy(cnp.PyArray_DATA(out), self._m.buckets, 1000 * sizeof(int64_t))
        return out

    @property
    def distribution(self):
        return self._distribution

    @property
    def count(self):
        return self._m.recorded

    @property
    def negative(self):
        return self._m.negative

    @property
    def capacity(self):
        return self._m.capacity

    def percentile(self, double p):
        """Return a percentile of the latencies that are not negative.

        Parameters
        ----------
        p : float
            Percent, in [0, 100].

        Returns
        -------
        int
            Nanoseconds, as from `Histogram.percentile`.

        Raises
        ------
        ValueError
            If `p` is NaN or out of range.

        Notes
        -----
        **Thread safety**: any thread.
        """
        return self._distribution.percentile(p)

    def summary(self):
        """Return the numbers of a report.

        Returns
        -------
        dict
            ``count``, ``negative``, ``saturated`` (int), ``min``, ``p50``, ``p99``, ``p999``, ``max`` (int, ns), ``mean``,
            ``stddev`` (float, ns).

        Notes
        -----
        **Thread safety**: any thread.
        """
        h = self._distribution
        return {
            "count": self.count,
            "negative": self.negative,
            "saturated": h.saturated,
            "min": h.min,
            "mean": h.mean,
            "stddev": h.stddev,
            "p50": h.percentile(50.0),
            "p99": h.percentile(99.0),
            "p999": h.percentile(99.9),
            "max": h.max,
        }

    def reset(self):
        """Forget every latency.

        Notes
        -----
        **Thread safety**: one thread at a time.
        """
        alone(&self._busy)
        self._distribution.reset()
        memset(self._m.buckets, 0, 1000 * sizeof(int64_t))
        self._m.position = self._m.recorded = self._m.negative = 0


def fast_zscore_calculation(prices1, prices2, lookback):
    """Return the z-score of ``prices1 - prices2`` over the last `lookback` points, the current one included.

    Population standard deviation; 0 where it is 0.

    Parameters
    ----------
    prices1, prices2 : array_like of float64, shape (n,)
        Prices in one unit.
    lookback : int
        Points in a window, 2 to n.

    Returns
    -------
    ndarray of float64, shape (n - lookback + 1,)
        z-scores, as in `rolling_zscore`.

    Raises
    ------
    TypeError, ValueError
        As in `pair_zscore`.

    **Thread safety**: as in `rolling_mean`.

    Examples
    --------
    >>> fast_zscore_calculation([10, 11, 13, 12, 15], [9, 9, 10, 10, 11], 3).round(4).tolist()
    [1.2247, -0.7071, 1.2247]
    """
    cdef cnp.ndarray first = as_doubles(prices1, "prices1"), second = as_doubles(prices2, "prices2")
    return pair_zscores(first, second, lookback, 1.0, False, 0, None, "lookback")


def zscore_batch(price_ring, write_idx, pair_idx, lookback, thresholds):
    """Return the signal of every pair from a matrix of recent prices.

    It keeps no state and reads `lookback` prices per pair; `fastcore.zscore.PairSet` gives the same signals at the cost of one
    price per pair.

    Parameters
    ----------
    price_ring : array_like of float64, shape (symbols, size)
        A ring of prices per symbol, one unit for both symbols of a pair.
    write_idx : int or array_like of int, shape (symbols,)
        Slot that the next price goes to, one for all or one per symbol: the newest price is in the slot before it. Counters
        that only grow are welcome, they are taken modulo `size`; at least 0.
    pair_idx : array_like of int, shape (pairs, 2)
        Rows of the two symbols of each pair; the spread is the first price minus the second.
    lookback : int
        Points in a window, the newest one included, 2 to `size`.
    thresholds : float or array_like of float64, shape (pairs,)
        At least 0.

    Returns
    -------
    ndarray of int8, shape (pairs,)
        +1 where z > threshold, -1 where z < -threshold, else 0; 0 where the window holds a value that is not finite.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong shape or type or is out of range.

    **Thread safety**: any number of threads may call it; nobody may write the ring meanwhile.
    """
    cdef cnp.ndarray ring = as_doubles(price_ring, "price_ring", 2)
    cdef Py_ssize_t symbols = cnp.PyArray_DIM(ring, 0), size = cnp.PyArray_DIM(ring, 1)
    index = check_pairs(pair_idx, "pair_idx", symbols)
    cdef Py_ssize_t pairs = index.shape[0], i
    cdef int64_t length = check_window(lookback, size, "lookback")
    limits = check_thresholds(thresholds, pairs)
    slots = np.asarray(write_idx)
    if slots.dtype.kind not in "iu":
        raise TypeError(f"write_idx must hold integers: dtype={slots.dtype}")
    if slots.ndim != 0 and slots.shape != (symbols,):
        raise ValueError(f"write_idx must be one slot or one per symbol: shape={slots.shape}, symbols={symbols}")
    if (slots < 0).any():
        raise ValueError(f"write_idx must be at least 0: write_idx={slots.min()}")
    cdef const int64_t[::1] heads = np.ascontiguousarray(np.broadcast_to(slots % size, (symbols,)), np.int64)
    cdef const int64_t[:, ::1] rows = index
    cdef const double[::1] bounds = limits
    cdef rolling_shape_t shape = rolling_shape(length, 0)
    cdef cnp.ndarray result = np.empty(pairs, np.int8)
    cdef int8_t* signals = <int8_t*> cnp.PyArray_DATA(result)
    cdef const double* data = doubles_data(ring)
    cdef bint avx2 = use_avx2
    cdef double* work = <double*> malloc(length * sizeof(double))
    if work == NULL:
        no_memory("lookback", length)
    with nogil:
        for i in range(pairs):
            signals[i] = pair_signal(
                avx2, data + rows[i, 0] * size, data + rows[i, 1] * size, size, heads[rows[i, 0]], heads[rows[i, 1]],
                length, bounds[i], &shape, work
            )
    free(work)
    return result


cdef struct pool_tick_t:
    int64_t timestamp
    uint32_t symbol_id
    double price
    double volume
    double bid
    double ask
    int8_t is_valid


def keep_ticks(pool, count, timestamps, symbol_ids, prices, volumes):
    """Write ticks behind the `count` rows that a pool has had before, over the oldest, and return how many it has had then.

    Parameters
    ----------
    pool : ndarray, shape (size,), C-contiguous
        Of ``hft.replaced.MARKET_DATA_DTYPE``: tick number i is in row ``i % size``.
    count : int
        At least 0.
    timestamps, symbol_ids : ndarray of int64, shape (n,)
    prices, volumes : ndarray of float64, shape (n,)
        As `tick_columns` returns them.

    Returns
    -------
    int
        ``count + n``.

    Raises
    ------
    TypeError, ValueError
        If an array has another type, shape or length.

    **Thread safety**: one thread at a time per pool.
    """
    cdef int64_t* time = int64_data(timestamps, "timestamps")
    cdef int64_t* id = int64_data(symbol_ids, "symbol_ids")
    cdef cnp.ndarray price = as_doubles(prices, "prices"), volume = as_doubles(volumes, "volumes")
    cdef int64_t n = cnp.PyArray_DIM(timestamps, 0), first = int64_in(count, "count", 0, (<int64_t> 1 << 62)), size, i
    cdef cnp.ndarray rows
    cdef pool_tick_t* row
    if not n == cnp.PyArray_DIM(symbol_ids, 0) == cnp.PyArray_SIZE(price) == cnp.PyArray_SIZE(volume):
        raise ValueError(f"columns must have one length: {n}, {len(symbol_ids)}, {len(prices)}, {len(volumes)}")
    if not isinstance(pool, np.ndarray) or pool.itemsize != sizeof(pool_tick_t) or not cnp.PyArray_ISCARRAY(<cnp.ndarray> pool):
        raise TypeError("a pool must be an array of MARKET_DATA_DTYPE, contiguous and writable")
    rows, size = pool, len(pool)
    for i in range(n - size if n > size else 0, n):
        row = <pool_tick_t*> cnp.PyArray_DATA(rows) + (first + i) % size
        row.timestamp, row.symbol_id, row.price, row.volume = time[i], <uint32_t> id[i], doubles_data(price)[i], doubles_data(volume)[i]
        row.bid = row.ask = NAN
        row.is_valid = 1
    return first + n


@cython.final
cdef class OptimizedSignalEngine:
    """OptimizedSignalEngine(num_symbols=100)\n--\n\n
    Signals from the mean correlation of each symbol with the others.

    Each call of `generate_signals_vectorized` is one tick. It makes one return for every symbol: price over last price minus 1
    for those in the call, 0 for those that have a price and are not in it. The mean correlation of a symbol is the mean of the
    correlations of its last 100 returns with those of the other symbols, over those that exist. Below -0.5 the signal is +1,
    above 0.8 it is -1, else 0. A symbol takes part once it has 100 returns: at its 101st tick.

    Parameters
    ----------
    num_symbols : int
        Symbols, 2 to 30,000; their ids are 0 to ``num_symbols - 1``.

    Attributes
    ----------
    prices : ndarray of float64, shape (num_symbols,)
        Last price of each symbol, NaN where there was none; a read-only view.
    num_symbols : int
        As given.
    price_matrix : ndarray of float64, shape (num_symbols, 1_000)
        Last price of each symbol after each of the last ticks, the newest in the last column; NaN where there was none.
    return_matrix : ndarray of float64, shape (num_symbols, 999)
        The returns that the ticks made, likewise. Both are read-only views that hold until the next tick: take them anew then.
    correlation : RollingCorrelation
        The state, to look at.

    Raises
    ------
    TypeError, ValueError, MemoryError
        If `num_symbols` is no integer or out of range, or does not fit in memory.

    **Thread safety**: one thread at a time per object.
    """

    def __cinit__(self, num_symbols=100):
        cdef int64_t n = int64_in(num_symbols, "num_symbols", 2, MOST_SERIES)
        self.correlation = RollingCorrelation(n, 100)
        self._last = np.full(n, NAN)
        self._returns, self._means = np.empty(n), np.empty(n)
        self.prices = self._last.view()
        self.prices.setflags(write=False)
        # Twice the rows that are shown: the newest go behind the others, and all move back once in so many ticks.
        self._kept_prices, self._kept_returns = np.full((2 * HISTORY, n), NAN), np.full((2 * HISTORY, n), NAN)
        self._row = HISTORY

    def __repr__(self):
        return f"<OptimizedSignalEngine symbols={len(self.prices)} ticks={self.correlation.count}>"

    cdef object _newest(self, object rows, int64_t n):
        view = rows[self._row - n:self._row].T
        view.setflags(write=False)
        return view

    @property
    def num_symbols(self):
        return self.correlation._c.series

    @property
    def price_matrix(self):
        return self._newest(self._kept_prices, HISTORY)

    @property
    def return_matrix(self):
        return self._newest(self._kept_returns, HISTORY - 1)

    cdef int _keep(self, cnp.ndarray kept, const double* newest) except -1:
        # Row `_row` of a history; the caller has made room.
        cdef int64_t n = self.correlation._c.series
        memcpy(doubles_data(kept) + self._row * n, newest, n * sizeof(double))
        return 0

    cdef int _make_room(self) except -1:
        cdef size_t bytes = (HISTORY - 1) * self.correlation._c.series * sizeof(double)
        cdef double* p
        if self._row < 2 * HISTORY:
            return 0
        for kept in (self._kept_prices, self._kept_returns):
            p = doubles_data(<cnp.ndarray> kept)
            memcpy(p, p + (HISTORY + 1) * self.correlation._c.series, bytes)
        self._row = HISTORY - 1
        return 0

    cdef Py_ssize_t _tick(
        self, const double* x, const int64_t* id, Py_ssize_t n, bint one, int8_t* signal, double* strength
    ) except -1:
        """Take in the rows up to the first that comes again (an error where it must be `one` tick); return how many those are."""
        cdef Py_ssize_t symbols = self.correlation._c.series, i, j
        cdef cnp.ndarray returns = self._returns, last = self._last
        cdef double* r = doubles_data(returns)
        cdef double* p = doubles_data(last)
        cdef double* means = doubles_data(<cnp.ndarray> self._means)
        cdef double mean
        for i in range(symbols):
            r[i] = 0.0 if p[i] == p[i] else NAN
        # The row of returns doubles as the mark of what was seen: a second price of a symbol finds the mark.
        for i in range(n):
            j = id[i]
            if r[j] > 1e300:
                if one:
                    raise ValueError(f"symbol_ids must not repeat: symbol_ids[{i}]={id[i]}")
                n = i
                break
            r[j] = 2e300
        for i in range(n):
            r[id[i]] = x[i] / p[id[i]] - 1.0
            p[id[i]] = x[i]
        self._make_room()
        self._keep(self._kept_prices, p)
        self._keep(self._kept_returns, r)
        self._row += 1
        cdef correlation_t* c = &self.correlation._c
        correlation_update(c, r)
        if c.count >= c.window:
            correlation_means(c, means)
            for i in range(n):
                mean = means[id[i]]
                if mean == mean:
                    strength[i] = mean if mean > 0.0 else -mean
                    signal[i] = (mean < -0.5) - (mean > 0.8)
        return n

    cdef object _take(self, prices, symbol_ids, bint one):
        start = perf_counter_ns()
        cdef cnp.ndarray values = as_doubles(prices, "prices")
        cdef Py_ssize_t n = cnp.PyArray_SIZE(values), symbols = self.correlation._c.series, i
        ids = np.asarray(symbol_ids)
        if ids.ndim != 1 or ids.shape[0] != n or n == 0:
            raise ValueError(f"prices and symbol_ids must have one length, not 0: prices={n}, symbol_ids={ids.shape}")
        if ids.dtype.kind not in "iu":
            raise TypeError(f"symbol_ids must hold integers: dtype={ids.dtype}")
        cdef cnp.ndarray index = ids if int64_rows(ids) else np.require(ids, np.int64, "CA")
        cdef const int64_t* id = <const int64_t*> cnp.PyArray_DATA(index)
        cdef const double* x = doubles_data(values)
        for i in range(n):
            if <uint64_t> id[i] >= <uint64_t> symbols:
                raise ValueError(f"symbol_ids must be in 0..{symbols - 1}: symbol_ids[{i}]={ids[i]}")
            if not (isfinite(x[i]) and x[i] > 0.0):
                raise ValueError(f"prices must be finite and positive: prices[{i}]={x[i]}")
        cdef cnp.ndarray signals = np.zeros(n, np.int8), strengths = np.zeros(n)
        cdef int8_t* signal = <int8_t*> cnp.PyArray_DATA(signals)
        cdef double* strength = doubles_data(strengths)
        i = 0
        while i < n:
            i += self._tick(x + i, id + i, n - i, one, signal + i, strength + i)
        return signals, strengths, perf_counter_ns() - start

    def generate_signals_vectorized(self, prices, symbol_ids):
        """Take one tick in and return the signals of its symbols.

        Parameters
        ----------
        prices : array_like of float64, shape (n,)
            Newest prices, finite and positive.
        symbol_ids : array_like of int, shape (n,)
            Whose prices these are, each id once.

        Returns
        -------
        signals : ndarray of int8, shape (n,)
            +1, -1 or 0, in the order of `symbol_ids`.
        strengths : ndarray of float64, shape (n,)
            Absolute value of the mean correlation; 0 where it does not exist.
        latency_ns : int
            Time that the call took, ns.

        Raises
        ------
        TypeError, ValueError
            If the arrays are empty or do not fit each other, a price is not finite and positive, an id is out of range or
            given twice; the tick is not taken in then.

        **Thread safety**: one thread at a time per object.
        """
        return self._take(prices, symbol_ids, True)

    def generate_signals_of_batch(self, prices, symbol_ids):
        """Take a batch of ticks in and return the signals of all: where a symbol comes again, a new tick begins.

        Parameters
        ----------
        prices, symbol_ids, Returns, Raises
            As in `generate_signals_vectorized`, but ids may repeat.

        **Thread safety**: one thread at a time per object.
        """
        return self._take(prices, symbol_ids, False)


cdef int64_t whole(object value, str name) except? -1:
    # As int64, without cutting anything off.
    try:
        return as_int64(value)
    except (TypeError, OverflowError):
        raise TypeError(f"{name} must be integers below 2**63: {value!r}") from None


def tick_columns(data):
    """Return timestamps, ids, prices and volumes of a batch of ticks, each as an array.

    Parameters
    ----------
    data : sequence of (timestamp, symbol_id, price, volume), or ndarray of TICK_DTYPE
        Timestamps in ns.

    Returns
    -------
    timestamps, symbol_ids : ndarray of int64, shape (n,)
    prices, volumes : ndarray of float64, shape (n,)

    Raises
    ------
    TypeError, ValueError
        If a tick has other parts, or one of another type.

    **Thread safety**: any thread.
    """
    cdef Py_ssize_t n, i = 0
    if isinstance(data, np.ndarray):
        if data.dtype != TICK_DTYPE or data.ndim != 1:
            raise TypeError(f"an array of ticks must be one-dimensional, of TICK_DTYPE: dtype={data.dtype} shape={data.shape}")
        latest = data["timestamp_ns"].max(initial=0)
        if latest > 0x7FFFFFFFFFFFFFFF:
            raise ValueError(f"timestamps must be below 2**63: max={latest}")
        columns = (data["timestamp_ns"], np.int64), (data["symbol_id"], np.int64), (data["price"], None), (data["volume"], None)
        return tuple(np.ascontiguousarray(column, dtype) for column, dtype in columns)
    n = len(data)
    cdef cnp.ndarray timestamps = np.empty(n, np.int64), ids = np.empty(n, np.int64), prices = np.empty(n), volumes = np.empty(n)
    cdef int64_t* time = <int64_t*> cnp.PyArray_DATA(timestamps)
    cdef int64_t* id = <int64_t*> cnp.PyArray_DATA(ids)
    cdef double* price = doubles_data(prices)
    cdef double* volume = doubles_data(volumes)
    for tick in data:
        try:
            timestamp, symbol_id, value, size = tick
        except (TypeError, ValueError) as error:
            raise ValueError(f"each tick must be (timestamp, symbol_id, price, volume): {error}") from None
        if i == n:
            raise ValueError(f"a batch must not grow while it is read: len(data)={n}")
        time[i], id[i] = whole(timestamp, "timestamps"), whole(symbol_id, "symbol ids")
        try:
            price[i], volume[i] = value, size
        except TypeError:
            raise ValueError(f"price and volume must be numbers: price={value!r} volume={size!r}") from None
        i += 1
    if i < n:
        raise ValueError(f"a batch must not shrink while it is read: len(data)={n}")
    return timestamps, ids, prices, volumes


@cython.final
cdef class MemoryMappedDataStore:
    """MemoryMappedDataStore(filename, max_records=1000000)\n--\n\n
    Keep ticks in a file; the record count survives reopening.

    Parameters
    ----------
    filename : str or os.PathLike
        Created where it does not exist.
    max_records : int, default 1,000,000
        Ticks that the store accepts in all; all of them are allocated at the start.

    Raises
    ------
    ValueError
        If `max_records` is below 1.
    OSError, LayoutError, StoreLockedError, CorruptDataError
        As for `fastcore.tickstore.TickStore`.

    Notes
    -----
    **Thread safety**: one thread writes.
    """

    def __cinit__(self, filename, max_records=1_000_000):
        self._most = int64_in(max_records, "max_records", 1, MOST_RECORDS)
        self._store = TickStore(filename, "a", TICK_DTYPE, segment_records=max_records, grow_ahead=False)
        try:
            if self._store._count() < self._most:
                self._store.reserve(self._most - self._store._count())
        except BaseException:
            self._store.close()
            raise

    def __repr__(self):
        return f"<MemoryMappedDataStore path={self._store.path!r} records={self._store._count()} max_records={self._most}>"

    def write_tick(self, timestamp, symbol_id, double price, double volume):
        """Append a tick; False when ``max_records`` are stored. Raises as `fastcore.tickstore.TickStore.append`."""
        cdef TickStore store = self._store
        cdef tick_t tick
        alone(&store._lent)
        make_tick(&tick, timestamp, symbol_id, price, volume)
        if unlikely(store._s.count >= self._most):
            store._check_open()
            return False
        if unlikely(store_append(store._s, &tick) != RESULT_OK):
            store._append_slowly(&tick)
        return True

    def read_tick(self, index):
        """Return tick `index` as ``(timestamp, symbol_id, price, volume)``, or None where there is none."""
        cdef int64_t i = as_int64(index)
        if i < 0 or <uint64_t> i >= self._store._count():
            return None
        return self._store.read_tick(i)

    @property
    def record_count(self):
        """Ticks stored (int)."""
        return self._store._count()

    @property
    def record_size(self):
        """Bytes of a tick (int): 32, ``struct.calcsize("QIdd")``."""
        return sizeof(tick_t)

    @property
    def max_records(self):
        """Ticks that the store accepts in all (int)."""
        return self._most

    @property
    def store(self):
        """The TickStore below, for views and queries."""
        return self._store

    def __len__(self):
        return self._store._count()

    def close(self):
        """Flush and close; closing again does nothing."""
        self._store.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()
