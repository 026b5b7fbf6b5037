# cython: freethreading_compatible=True
"""What strategies record: rows of any names, kept in 16 bytes and 8 a value, without an object for each."""

import numpy as np

cimport cython
from cpython.float cimport PyFloat_AsDouble
from cpython.object cimport PyObject
from libc.stdint cimport int64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy

from fastcore._integers cimport as_int64


cdef extern from "Python.h":
    PyObject** PySequence_Fast_ITEMS(object values)

__all__ = ["Recorder"]


# A copy of numbers of eight bytes as an array.
cdef object copied(const void* numbers, int64_t count, object kind):
    cdef double[::1] out
    array = np.empty(count, np.float64)
    if count:
        out = array
        memcpy(&out[0], numbers, count * sizeof(double))
    return array.view(kind)


@cython.final
cdef class Recorder:
    """Recorder()\n--\n\n
    Recorder()\n--\n
    Rows that a run adds one by one.

    Notes
    -----
    **Thread safety**: belongs to one run.
    """

    def __cinit__(self):
        self._keys = {}
        self._kind = -1

    def __dealloc__(self):
        free(self._times)
        free(self._kinds)
        free(self._values)

    def __repr__(self):
        return f"Recorder({self._count} rows)"

    # Room for more.
    cdef int _grow(self, int64_t rows, int64_t values) except -1:
        cdef int64_t room = max(2 * self._room, self._count + rows, 1024)
        cdef int64_t value_room = max(2 * self._value_room, self._value_count + values, 4096)
        cdef void* larger
        if self._count + rows > self._room:
            larger = realloc(self._times, room * sizeof(int64_t))
            if larger == NULL:
                raise MemoryError(f"no memory for what a strategy records: rows={room}")
            self._times = <int64_t*> larger
            larger = realloc(self._kinds, room * sizeof(int64_t))
            if larger == NULL:
                raise MemoryError(f"no memory for what a strategy records: rows={room}")
            self._kinds, self._room = <int64_t*> larger, room
        if self._value_count + values > self._value_room:
            larger = realloc(self._values, value_room * sizeof(double))
            if larger == NULL:
                raise MemoryError(f"no memory for what a strategy records: values={value_room}")
            self._values, self._value_room = <double*> larger, value_room
        return 0

    # Add a row of a market, its symbol, or None; the names and market of the row before are known by their objects.
    cdef int row(self, int64_t time_ns, object market, tuple names, PyObject** values) except -1:
        cdef Py_ssize_t i, n = len(names)
        if self._count == self._room or self._value_count + n > self._value_room:
            self._grow(1, n)
        for i in range(n):
            self._values[self._value_count + i] = PyFloat_AsDouble(<object> values[i])
        if names is not self._names or market is not self._market:
            symbol = "" if market is None else market if isinstance(market, str) else market.symbol
            self._kind = self._keys.setdefault((symbol, *names), len(self._keys))
            self._names, self._market = names, market
        self._times[self._count] = time_ns
        self._kinds[self._count] = self._kind
        self._count += 1
        self._value_count += n
        return 0

    def add_many(self, times, keys, which, values):
        """Add rows: the time of each, which of the keys (symbol, names) it has, and all values one behind the other."""
        cdef int64_t[::1] new_times = np.ascontiguousarray(times, np.int64)
        cdef int64_t[::1] new_kinds
        cdef double[::1] new_values = np.ascontiguousarray(values, np.float64)
        numbers = np.array([self._keys.setdefault(key, len(self._keys)) for key in keys], np.int64)
        new_kinds = np.ascontiguousarray(numbers[which], np.int64)
        self._grow(len(new_times), len(new_values))
        if len(new_times):
            memcpy(self._times + self._count, &new_times[0], len(new_times) * sizeof(int64_t))
            memcpy(self._kinds + self._count, &new_kinds[0], len(new_times) * sizeof(int64_t))
        if len(new_values):
            memcpy(self._values + self._value_count, &new_values[0], len(new_values) * sizeof(double))
        self._count += len(new_times)
        self._value_count += len(new_values)

    def add(self, time_ns, symbol, columns):
        """Add a row: values by name, of a symbol or \"\"."""
        values = list(columns.values())
        self.row(as_int64(time_ns), symbol, tuple(columns), PySequence_Fast_ITEMS(values))

    def arrays(self):
        """Times, symbols, and a column for each name, NaN where a row has none."""
        rows, values = copied(self._kinds, self._count, np.int64), copied(self._values, self._value_count, np.float64)
        keys = list(self._keys)
        begins = np.cumsum([0, *np.array([len(key) - 1 for key in keys], np.int64)[rows]])
        columns = {name: np.full(len(rows), np.nan) for key in keys for name in key[1:]}
        for number, key in enumerate(keys):
            own = rows == number
            for place, name in enumerate(key[1:]):
                columns[name][own] = values[begins[: len(rows)][own] + place]
        return {"time": copied(self._times, self._count, np.int64), "symbol": np.array([key[0] for key in keys], str)[rows], **columns}
