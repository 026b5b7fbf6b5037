# cython: freethreading_compatible=True
"""Symbol <-> dense id by str, bytes or eight-byte wire key; last prices.

Ids are 0, 1, 2, ... in the order of addition and never change. A symbol of up to eight bytes has a *wire key*, its bytes
padded with spaces, as venues send it: it is found by open addressing (multiplicative hash, load at most one half). Longer
names (``BTCUSDT-PERP``) are found by ``str`` and ``bytes`` alone, through a Python dictionary.

One thread may add symbols while others look up: what a reader holds does not move, and is not freed before the mapper.
"""

cimport cython
cimport numpy as cnp
import numpy as np

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItemWithError
from cpython.object cimport PyObject
from cpython.unicode cimport PyUnicode_CheckExact
from libc.math cimport NAN
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from fastcore cimport records as t
from fastcore._integers cimport as_int64, as_uint64, int64_in
from fastcore.records cimport NO_SYMBOL, load_acquire, store_release, unlikely

from types import MappingProxyType

from fastcore.errors import UnknownSymbolError

cnp.import_array()

__all__ = ["MAX_SYMBOL_BYTES", "NO_SYMBOL", "SymbolMapper", "key_symbol", "wire_key"]

globals()["NO_SYMBOL"] = t.NO_SYMBOL
MAX_SYMBOL_BYTES = 64

cdef enum:
    FIRST_SLOTS = 64
    RELEASE_GIL = 1024  # items from which a batch is worth the 35 ns of letting other threads run

cdef double DBL_MAX = 1.7976931348623157e308


cdef inline uint64_t spaced(uint64_t key) noexcept nogil:
    # Trailing NULs, which NumPy pads with, become the spaces that venues pad with; without a branch.
    cdef uint64_t low = <uint64_t> 0x7F7F7F7F7F7F7F7F
    cdef uint64_t x = key
    x |= x >> 8
    x |= x >> 16
    x |= x >> 32  # a byte is 0 now if it and all later ones were
    return key | (~(((x & low) + low) | x | low) >> 2)


cdef uint64_t padded_key(const char* p, Py_ssize_t size) noexcept nogil:
    cdef uint8_t buffer[8]
    memset(buffer, 0, 8)
    memcpy(buffer, p, size)
    return spaced(t.key8(buffer))


cdef object canonical(symbol):
    # (text, bytes) without padding; both forms of one symbol give the same pair.
    if isinstance(symbol, str):
        name = str(symbol).rstrip(" ")
        try:
            raw = name.encode()
        except UnicodeEncodeError:
            raise ValueError(f"symbol must be encodable as UTF-8: symbol={symbol!r}") from None
    elif isinstance(symbol, bytes):
        raw = bytes(symbol).rstrip(b" \0")
        try:
            name = raw.decode()
        except UnicodeDecodeError:
            raise ValueError(f"symbol must be UTF-8: symbol={symbol!r}") from None
    else:
        raise TypeError(f"symbol must be str or bytes: type={type(symbol).__name__}")
    if not 1 <= len(raw) <= MAX_SYMBOL_BYTES:
        raise ValueError(f"symbol must have 1..{MAX_SYMBOL_BYTES} bytes: symbol={symbol!r}")
    if name[0] == " " or not name.isprintable():
        raise ValueError(f"symbol must be printable and not begin with a space: symbol={symbol!r}")
    return name, raw


def wire_key(symbol):
    """Return the wire key of a symbol: its bytes padded with spaces, read as an integer in memory order.

    Parameters
    ----------
    symbol : str or bytes
        At most eight bytes.

    Returns
    -------
    int
        As ``symbols_find_key`` takes it, and as ``np.frombuffer(wire, np.uint64)`` reads it on a little-endian machine.

    Raises
    ------
    TypeError
        If `symbol` is neither str nor bytes.
    ValueError
        If it is empty, longer than eight bytes or not printable.
    """
    name, raw = canonical(symbol)
    if len(raw) > 8:
        raise ValueError(f"a wire key has at most 8 bytes: symbol={symbol!r}")
    return padded_key(PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw))


def key_symbol(key):
    """Return the symbol of a wire key, the inverse of `wire_key`.

    Parameters
    ----------
    key : int
        Eight bytes of symbol in memory order.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If the bytes are no symbol.
    """
    cdef object number = as_uint64(key)
    return canonical(number.to_bytes(8, "little"))[0]


cdef table_t* new_table(uint64_t slots) noexcept nogil:
    cdef table_t* table = <table_t*> calloc(1, sizeof(table_t))
    cdef uint64_t i
    if table == NULL:
        return NULL
    table.slots = <slot_t*> t.fc_alloc(slots, sizeof(slot_t))
    if table.slots == NULL:
        free(table)
        return NULL
    for i in range(slots):
        table.slots[i].id = NO_SYMBOL
    table.mask = slots - 1
    table.shift = 64
    while slots > 1:
        slots >>= 1
        table.shift -= 1
    return table


cdef void insert(table_t* table, uint64_t key, uint32_t symbol_id) noexcept nogil:
    cdef uint64_t i = keys_hash(key) >> table.shift
    while table.slots[i].key:
        i = (i + 1) & table.mask
    table.slots[i].id = symbol_id
    table.used += 1
    store_release(&table.slots[i].key, key)  # pairs with the load in keys_find


cdef int keys_open(keys_t* k) noexcept nogil:
    k.table = <uint64_t> <uintptr_t> new_table(FIRST_SLOTS)
    return t.RESULT_OK if k.table else t.RESULT_NO_MEMORY


cdef void keys_free(keys_t* k) noexcept nogil:
    cdef table_t* table = <table_t*> <uintptr_t> k.table
    cdef table_t* older
    while table != NULL:
        older = table.older
        t.fc_free(table.slots)
        free(table)
        table = older
    k.table = 0


cdef int keys_reserve(keys_t* k) noexcept nogil:
    cdef table_t* table = <table_t*> <uintptr_t> k.table
    cdef table_t* larger
    cdef uint64_t i
    if (table.used + 1) * 2 <= table.mask + 1:
        return t.RESULT_OK
    larger = new_table((table.mask + 1) * 2)
    if larger == NULL:
        return t.RESULT_NO_MEMORY
    for i in range(table.mask + 1):
        if table.slots[i].key:
            insert(larger, table.slots[i].key, table.slots[i].id)
    larger.older = table  # readers may still be in it; freed with the owner
    store_release(&k.table, <uint64_t> <uintptr_t> larger)  # pairs with the load in keys_find
    return t.RESULT_OK


cdef void keys_add(keys_t* k, uint64_t key, uint32_t symbol_id) noexcept nogil:
    insert(<table_t*> <uintptr_t> k.table, key, symbol_id)


cdef inline int64_t id_at(const void* ids, bint wide, Py_ssize_t i) noexcept nogil:
    return (<const int64_t*> ids)[i] if wide else (<const uint32_t*> ids)[i]


cdef cnp.ndarray vector(values, str name, int type_number, Py_ssize_t size):
    # One-dimensional, contiguous, aligned, of the type; copied only where it is not so already.
    cdef cnp.ndarray array
    if cnp.PyArray_Check(values) and cnp.PyArray_TYPE(<cnp.ndarray> values) == type_number:
        array = cnp.PyArray_GETCONTIGUOUS(<cnp.ndarray> values)
        if not cnp.PyArray_ISBEHAVED_RO(array):
            array = array.astype(array.dtype.newbyteorder("="))
    else:
        array = np.asarray(values)
        wanted = "iu" if type_number == cnp.NPY_INT64 else "fiu"
        if array.dtype.kind not in wanted and array.size:
            raise TypeError(f"{name} must be an array of {'integers' if len(wanted) == 2 else 'numbers'}: dtype={array.dtype}")
        if array.dtype.kind == "u" and type_number == cnp.NPY_INT64 and array.size and array.max() > 0x7FFFFFFFFFFFFFFF:
            raise OverflowError(f"{name} must fit into 63 bits: {name}={array.max()}")
        array = np.ascontiguousarray(array, np.int64 if type_number == cnp.NPY_INT64 else np.float64)
    if array.ndim != 1:
        raise ValueError(f"{name} must have one dimension: ndim={array.ndim}")
    if size >= 0 and array.shape[0] != size:
        raise ValueError(f"{name} must be as long as the ids: len({name})={array.shape[0]}, ids={size}")
    return array


@cython.final
cdef class SymbolMapper:
    """SymbolMapper(symbols=(), *, capacity=1000000)\n--\n\n
    Map symbols to dense ids, and keep the last price of each.

    Parameters
    ----------
    symbols : iterable of str or bytes
        The first symbols; their ids are their positions.
    capacity : int, default 1,000,000
        Symbols that fit, 1..2**31-1. Address space is reserved for all of them (24 bytes each), memory is used only by
        those that exist, and nothing moves when symbols are added: views and pointers stay valid.

    Raises
    ------
    ValueError
        If a symbol occurs twice or is not valid (1..64 printable bytes), or if they exceed `capacity`.

    Notes
    -----
    Trailing spaces, and the trailing NULs of NumPy's ``S`` arrays, are padding: ``"AAPL"``, ``b"AAPL    "`` and
    ``b"AAPL\\0\\0\\0\\0"`` are one symbol.

    **Thread safety**: one thread adds symbols; any number of threads look up meanwhile,
    with or without the GIL, and see either the state before or the state after. Prices of one symbol have one writer; a
    reader may see a new price beside the old time. Views share the memory of the mapper and keep it alive.
    """

    def __cinit__(self, symbols=(), *, capacity=1_000_000):
        cdef symbols_t* s
        cdef int64_t most = int64_in(capacity, "capacity", 1, 0x7FFFFFFF)
        self._ids = {}
        self._long_ids = {}
        self._names = []
        s = self._s = <symbols_t*> calloc(1, sizeof(symbols_t))
        if s == NULL:
            raise MemoryError(f"cannot reserve a mapper: capacity={capacity}")
        s.capacity = most
        # calloc maps pages of zeros that cost nothing before they are touched; add() touches them.
        s.prices = <double*> calloc(s.capacity, sizeof(double))
        s.volumes = <double*> calloc(s.capacity, sizeof(double))
        s.timestamps = <int64_t*> calloc(s.capacity, sizeof(int64_t))
        keys_open(&s.keys)
        if not (s.prices and s.volumes and s.timestamps and s.keys.table):
            raise MemoryError(f"cannot reserve a mapper: capacity={capacity}")

    def __init__(self, symbols=(), *, capacity=1_000_000):
        if isinstance(symbols, (str, bytes)):
            raise TypeError(f"symbols must be an iterable of symbols, not one: symbols={symbols!r}")
        symbols = list(symbols)
        self.add_many(symbols)
        if len(self._names) != len(symbols):
            names = [canonical(symbol)[0] for symbol in symbols]
            twice = next((name for name in names if names.count(name) > 1), None)
            raise ValueError(f"symbols must not repeat: symbol={twice!r}")

    def __dealloc__(self):
        cdef symbols_t* s = self._s
        if s == NULL:
            return
        keys_free(&s.keys)
        free(s.prices)
        free(s.volumes)
        free(s.timestamps)
        free(s)

    def get_id(self, symbol, /):
        """Return the id of a symbol, -1 where it is unknown.

        Parameters
        ----------
        symbol : str or bytes
            Padded or not.

        Returns
        -------
        int

        Raises
        ------
        TypeError
            If `symbol` is neither str nor bytes.

        Notes
        -----
        **Thread safety**: any thread, while another adds.
        """
        cdef PyObject* found
        cdef uint32_t symbol_id
        cdef uint64_t key
        if PyUnicode_CheckExact(symbol):
            found = PyDict_GetItemWithError(self._ids, symbol)
            if found != NULL:
                return <object> found
        elif PyBytes_CheckExact(symbol) and PyBytes_GET_SIZE(symbol) <= 8:
            if PyBytes_GET_SIZE(symbol) == 8:
                key = spaced(t.key8(<const uint8_t*> PyBytes_AS_STRING(symbol)))
            else:
                key = padded_key(PyBytes_AS_STRING(symbol), PyBytes_GET_SIZE(symbol))
            symbol_id = symbols_find_key(self._s, key)
            return -1 if symbol_id == NO_SYMBOL else <int64_t> symbol_id
        return self._find(symbol)

    def __getitem__(self, symbol):
        """Return the id of a symbol, as ``mapper[symbol]``: `get_id` without the price of a method call.

        Raises
        ------
        UnknownSymbolError
            A KeyError, if the symbol is unknown.
        TypeError
            If `symbol` is neither str nor bytes.
        """
        cdef PyObject* found
        if PyUnicode_CheckExact(symbol):
            found = PyDict_GetItemWithError(self._ids, symbol)
            if found != NULL:
                return <object> found
        symbol_id = self.get_id(symbol)
        if symbol_id == -1:
            raise UnknownSymbolError(f"symbol must be known: symbol={symbol!r}")
        return symbol_id

    cdef object _find(self, symbol):
        # Padded text, long bytes, subclasses.
        cdef object stripped
        if isinstance(symbol, str):
            stripped = str(symbol).rstrip(" ")
            return self._ids.get(stripped, -1)
        if isinstance(symbol, bytes):
            stripped = bytes(symbol).rstrip(b" \0")
            if len(stripped) <= 8:
                return self.get_id(stripped)
            return self._long_ids.get(stripped, -1)
        raise TypeError(f"symbol must be str or bytes: type={type(symbol).__name__}")

    cdef int _refuse_id(self, symbol_id) except -1:
        raise UnknownSymbolError(f"symbol_id must be in 0..{len(self) - 1}: symbol_id={symbol_id}")

    def add(self, symbol):
        """Add a symbol; return its id, the old one where it is known already.

        Parameters
        ----------
        symbol : str or bytes
            1..64 printable bytes; up to eight bytes give it a wire key.

        Returns
        -------
        int

        Raises
        ------
        TypeError, ValueError
            If the symbol is not valid.
        OverflowError
            If `capacity` symbols exist.
        """
        name, raw = canonical(symbol)
        with cython.critical_section(self):
            known = self._ids.get(name)
            return self._append(name, raw) if known is None else known

    cdef object _append(self, str name, bytes raw):
        cdef symbols_t* s = self._s
        cdef uint64_t symbol_id = s.count
        if symbol_id >= s.capacity:
            raise OverflowError(f"capacity must hold every symbol: capacity={s.capacity}, symbol={name!r}")
        if keys_reserve(&s.keys):
            raise MemoryError(f"cannot enlarge the table: symbols={symbol_id}")
        s.prices[symbol_id] = NAN
        s.volumes[symbol_id] = 0.0
        s.timestamps[symbol_id] = 0
        number = symbol_id
        self._names.append(name)
        # Count first: whoever finds the id may use it at once.
        store_release(&s.count, symbol_id + 1)
        if PyBytes_GET_SIZE(raw) <= 8:
            keys_add(&s.keys, padded_key(PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw)), <uint32_t> symbol_id)
        else:
            self._long_ids[raw] = number
        self._ids[name] = number
        return number

    def add_many(self, symbols):
        """Add several symbols; all of them are checked before the first is added.

        Parameters
        ----------
        symbols : iterable of str or bytes

        Returns
        -------
        ndarray of uint32
            Their ids.

        Raises
        ------
        TypeError, ValueError, OverflowError
            As `add`; nothing is changed then.
        """
        pairs = [canonical(symbol) for symbol in symbols]
        ids = np.empty(len(pairs), np.uint32)
        with cython.critical_section(self):
            new = {name for name, _ in pairs if name not in self._ids}
            if len(self._names) + len(new) > <int64_t> self._s.capacity:
                raise OverflowError(
                    f"capacity must hold every symbol: capacity={self._s.capacity}, symbols={len(self._names) + len(new)}"
                )
            for i, (name, raw) in enumerate(pairs):
                found = self._ids.get(name)
                ids[i] = self._append(name, raw) if found is None else found
        return ids

    def symbol_of(self, symbol_id):
        """Return the symbol of an id, without padding.

        Raises
        ------
        UnknownSymbolError
            If no symbol has the id.
        """
        cdef int64_t i = as_int64(symbol_id)
        if not 0 <= i < len(self._names):
            self._refuse_id(i)
        return self._names[i]

    def ids_of(self, symbols):
        """Return the ids of many symbols.

        Parameters
        ----------
        symbols : ndarray, bytes-like or sequence
            An array of ``S1`` to ``S8`` (the column of a structured array too), an array of wire keys (uint64), wire bytes
            (eight bytes a symbol, from ``bytes``, ``bytearray`` or ``memoryview``), or any sequence of str or bytes.

        Returns
        -------
        ndarray of uint32, shape (n,)
            ``NO_SYMBOL`` where a symbol is unknown: an index that no array has, unlike -1.

        Raises
        ------
        TypeError
            If it is one str, or holds anything but symbols.
        ValueError
            If an array has not one dimension, or wire bytes are not a multiple of eight.

        Notes
        -----
        **Thread safety**: any thread, while another adds; large batches run without the GIL.
        """
        cdef cnp.ndarray array, out
        cdef Py_ssize_t n, size, stride
        cdef const char* data
        cdef uint32_t* ids
        if isinstance(symbols, str):
            raise TypeError(f"symbols must be a sequence of symbols, not one: symbols={symbols!r}")
        if isinstance(symbols, (bytes, bytearray, memoryview)):
            raw = np.frombuffer(symbols, np.uint8)
            if len(raw) % 8:
                raise ValueError(f"wire bytes must be a multiple of 8: bytes={len(raw)}")
            symbols = raw.view("S8")
        if not cnp.PyArray_Check(symbols) or (
            symbols.dtype.kind != "S" and symbols.dtype != np.uint64
        ) or symbols.dtype.itemsize > 8:
            found = [self.get_id(symbol) for symbol in symbols]
            return np.array(found, np.int64).astype(np.uint32)
        array = symbols
        if array.ndim != 1:
            raise ValueError(f"symbols must have one dimension: ndim={array.ndim}")
        out = np.empty(array.shape[0], np.uint32)
        n, size, stride = array.shape[0], cnp.PyArray_ITEMSIZE(array), cnp.PyArray_STRIDE(array, 0)
        data = <const char*> cnp.PyArray_DATA(array)
        ids = <uint32_t*> cnp.PyArray_DATA(out)
        if array.dtype.kind != "S":
            array = np.ascontiguousarray(array, np.uint64)
            data, size, stride = <const char*> cnp.PyArray_DATA(array), 8, 8
        if n >= RELEASE_GIL:
            with nogil:
                find_batch(self._s, data, size, stride, n, ids)
        else:
            find_batch(self._s, data, size, stride, n, ids)
        return out

    def update_price(self, symbol_id, double price, timestamp):
        """Store the last price of a symbol.

        Parameters
        ----------
        symbol_id : int
        price : float
            Positive and finite.
        timestamp : int
            Nanoseconds, not negative; need not increase.

        Raises
        ------
        UnknownSymbolError
            If no symbol has the id; -1, the answer of `get_id` for an unknown symbol, among them.
        ValueError
            If the price or the time is not valid.

        Notes
        -----
        **Thread safety**: one writer per symbol.
        """
        cdef symbols_t* s = self._s
        cdef int64_t i = as_int64(symbol_id), time_ns = as_int64(timestamp)
        if unlikely(<uint64_t> i >= load_acquire(&s.count) or not (price > 0.0 and price <= DBL_MAX) or time_ns < 0):
            self._refuse(i, price, 0.0, time_ns)
        s.prices[i] = price
        s.timestamps[i] = time_ns

    cdef int _refuse(self, int64_t symbol_id, double price, double volume, int64_t timestamp) except -1:
        if not 0 <= symbol_id < <int64_t> load_acquire(&self._s.count):
            self._refuse_id(symbol_id)
        if not (price > 0.0 and price <= DBL_MAX):
            raise ValueError(f"price must be positive and finite: price={price}, symbol_id={symbol_id}")
        if not (volume >= 0.0 and volume <= DBL_MAX):
            raise ValueError(f"volume must be finite and not negative: volume={volume}, symbol_id={symbol_id}")
        raise ValueError(f"timestamp must not be negative: timestamp={timestamp}, symbol_id={symbol_id}")

    def update_prices(self, ids, prices, volumes=None, timestamps=None):
        """Store the last prices of many symbols; all rows are checked before the first is stored.

        Parameters
        ----------
        ids : array of int, shape (n,)
            Fastest as uint32 or int64. Where an id repeats, its last row counts.
        prices : array of float64, shape (n,)
            Positive and finite.
        volumes : array of float64, shape (n,), optional
            Finite, not negative. Left as they are where not given.
        timestamps : array of int64, shape (n,), optional
            Nanoseconds, not negative. Left as they are where not given.

        Raises
        ------
        UnknownSymbolError, ValueError, TypeError
            As `update_price`, or if the shapes differ; nothing is stored then.

        Notes
        -----
        **Thread safety**: one writer per symbol.
        """
        cdef symbols_t* s = self._s
        cdef cnp.ndarray a, p, v, w
        cdef const double* price
        cdef const double* volume = NULL
        cdef const int64_t* timestamp = NULL
        cdef const void* index
        cdef bint wide
        cdef Py_ssize_t n, i, bad = -1
        cdef int64_t j
        cdef uint64_t count
        wide = not (cnp.PyArray_Check(ids) and cnp.PyArray_TYPE(<cnp.ndarray> ids) == cnp.NPY_UINT32)
        a = vector(ids, "ids", cnp.NPY_INT64 if wide else cnp.NPY_UINT32, -1)
        n = a.shape[0]
        p = vector(prices, "prices", cnp.NPY_FLOAT64, n)
        index, price = cnp.PyArray_DATA(a), <const double*> cnp.PyArray_DATA(p)
        if volumes is not None:
            v = vector(volumes, "volumes", cnp.NPY_FLOAT64, n)
            volume = <const double*> cnp.PyArray_DATA(v)
        if timestamps is not None:
            w = vector(timestamps, "timestamps", cnp.NPY_INT64, n)
            timestamp = <const int64_t*> cnp.PyArray_DATA(w)
        count = load_acquire(&s.count)
        for i in range(n):
            if unlikely(<uint64_t> id_at(index, wide, i) >= count or not (price[i] > 0.0 and price[i] <= DBL_MAX)):
                bad = i
                break
            if volume != NULL and unlikely(not (volume[i] >= 0.0 and volume[i] <= DBL_MAX)):
                bad = i
                break
            if timestamp != NULL and unlikely(timestamp[i] < 0):
                bad = i
                break
        if bad >= 0:
            self._refuse(
                id_at(index, wide, bad),
                price[bad],
                0.0 if volume == NULL else volume[bad],
                0 if timestamp == NULL else timestamp[bad],
            )
        for i in range(n):
            j = id_at(index, wide, i)
            s.prices[j] = price[i]
            if volume != NULL:
                s.volumes[j] = volume[i]
            if timestamp != NULL:
                s.timestamps[j] = timestamp[i]

    cdef object _view(self, void* data, int type_number, Py_ssize_t size):
        cdef cnp.npy_intp shape = size
        cdef cnp.ndarray view = cnp.PyArray_SimpleNewFromData(1, &shape, type_number, data)
        cnp.set_array_base(view, self)
        return view

    @property
    def prices(self):
        """ndarray of float64: last price by id, NaN before the first; a live, writable view of the symbols known now."""
        return self._view(self._s.prices, cnp.NPY_FLOAT64, len(self))

    @property
    def volumes(self):
        """ndarray of float64: last volume by id; a live, writable view of the symbols known now."""
        return self._view(self._s.volumes, cnp.NPY_FLOAT64, len(self))

    @property
    def timestamps(self):
        """ndarray of int64: time of the last price by id, ns; a live, writable view of the symbols known now."""
        return self._view(self._s.timestamps, cnp.NPY_INT64, len(self))

    @property
    def symbols(self):
        """tuple of str: all symbols by id."""
        return tuple(self._names)

    @property
    def symbol_to_id(self):
        """mapping of str to int: id by symbol; live and read-only."""
        return MappingProxyType(self._ids)

    @property
    def capacity(self):
        """int: symbols that fit."""
        return self._s.capacity

    def __len__(self):
        return <Py_ssize_t> load_acquire(&self._s.count)

    def __contains__(self, symbol):
        return isinstance(symbol, (str, bytes)) and self.get_id(symbol) >= 0

    def __repr__(self):
        return f"SymbolMapper({len(self)} symbols, capacity={self.capacity})"

    def check(self):
        """Walk the whole structure and raise AssertionError where an invariant does not hold; for tests."""
        cdef const table_t* table = <const table_t*> <uintptr_t> self._s.keys.table
        cdef uint64_t i, used = 0, longest = 0, distance
        for i in range(table.mask + 1):
            if table.slots[i].key:
                used += 1
                distance = (i - (keys_hash(table.slots[i].key) >> table.shift)) & table.mask
                longest = max(longest, distance)
                name = key_symbol(table.slots[i].key)
                assert self._names[table.slots[i].id] == name, name
                assert symbols_find_key(self._s, table.slots[i].key) == table.slots[i].id, name
            else:
                assert table.slots[i].id == NO_SYMBOL, i
        assert used + <uint64_t> len(self._long_ids) == self._s.count
        assert len(self._names) == len(self._ids) == len(self)
        assert used * 2 <= table.mask + 1
        for i, name in enumerate(self._names):
            assert self._ids[name] == i, name
        return {"slots": table.mask + 1, "used": used, "longest_probe": longest}


cdef void find_batch(
    const symbols_t* s, const char* data, Py_ssize_t size, Py_ssize_t stride, Py_ssize_t n, uint32_t* ids
) noexcept nogil:
    cdef Py_ssize_t i
    if size == 8:
        for i in range(n):
            ids[i] = symbols_find_key(s, spaced(t.key8(<const uint8_t*> data + i * stride)))
    else:
        for i in range(n):
            ids[i] = symbols_find_key(s, padded_key(data + i * stride, size))
