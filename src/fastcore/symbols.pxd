"""Contract of the symbol table: lookups without the GIL, and the last price that belongs to an id.

One thread adds symbols; any number of threads look up meanwhile. Nothing that a reader can hold ever
moves or is freed before the mapper: arrays are reserved for the whole capacity, and a hash table that has become too
small stays where it is after its successor has been published.
"""

cimport numpy as cnp
from libc.stdint cimport int64_t, uint32_t, uint64_t, uintptr_t

from fastcore.records cimport NO_SYMBOL, RESULT_BAD_PRICE, RESULT_OK, RESULT_UNKNOWN_SYMBOL, load_acquire, unlikely


ctypedef struct slot_t:
    uint64_t key    # eight bytes of symbol in memory order; 0 where the slot is empty; published last, with release
    uint32_t id
    uint32_t pad


ctypedef struct table_t:
    slot_t* slots
    uint64_t mask   # slots - 1
    uint64_t shift  # 64 - log2(slots)
    uint64_t used   # slots with a key
    table_t* older  # retired, but still readable


# Wire key -> id, by open addressing: what the symbol table and the instrument table have in common.
ctypedef struct keys_t:
    uint64_t table  # address of the current table_t, published with release


ctypedef struct symbols_t:
    keys_t keys
    uint64_t count         # symbols, published with release after everything that belongs to the newest one
    uint64_t capacity      # symbols that fit; the arrays below have this length and never move
    double* prices         # last price; NaN before the first
    double* volumes        # last volume
    int64_t* timestamps    # time of the last price, ns


cdef int keys_open(keys_t* k) noexcept nogil    # an empty table: RESULT_OK or RESULT_NO_MEMORY
cdef void keys_free(keys_t* k) noexcept nogil
cdef int keys_reserve(keys_t* k) noexcept nogil # room for one more key: RESULT_OK or RESULT_NO_MEMORY
# Enter a key that is not in it and not 0, behind keys_reserve; lookups in other threads go on meanwhile.
cdef void keys_add(keys_t* k, uint64_t key, uint32_t symbol_id) noexcept nogil


cdef inline uint64_t keys_hash(uint64_t key) noexcept nogil:
    """Fibonacci hash of the folded key; the table takes the high bits."""
    return (key ^ (key >> 32)) * <uint64_t> 0x9E3779B97F4A7C15


cdef inline uint32_t keys_find(const keys_t* k, uint64_t wire_key) noexcept nogil:
    """Id of a wire key; NO_SYMBOL where unknown."""
    cdef const table_t* t = <const table_t*> <uintptr_t> load_acquire(&k.table)
    cdef uint64_t i = keys_hash(wire_key) >> t.shift
    cdef uint64_t key
    while True:
        key = load_acquire(&t.slots[i].key)  # pairs with the release in keys_add
        if key == wire_key:
            # The key 0 is no symbol and would match an empty slot, whose id is NO_SYMBOL.
            return t.slots[i].id
        if key == 0:
            return NO_SYMBOL
        i = (i + 1) & t.mask


cdef inline uint32_t symbols_find_key(const symbols_t* s, uint64_t wire_key) noexcept nogil:
    """Id of a wire key (`key8` of eight space-padded bytes); NO_SYMBOL where unknown."""
    return keys_find(&s.keys, wire_key)


cdef inline int symbols_update_price(symbols_t* s, int64_t symbol_id, double price, int64_t timestamp) noexcept nogil:
    """Store the last price; RESULT_OK, RESULT_UNKNOWN_SYMBOL, or RESULT_BAD_PRICE unless 0 < price < inf."""
    if unlikely(<uint64_t> symbol_id >= load_acquire(&s.count)):
        return RESULT_UNKNOWN_SYMBOL
    if unlikely(not (price > 0.0 and price <= 1.7976931348623157e308)):
        return RESULT_BAD_PRICE
    s.prices[symbol_id] = price
    s.timestamps[symbol_id] = timestamp
    return RESULT_OK


# What other modules use of the Python face: (text, bytes) of a symbol without padding; its wire key; a one-dimensional,
# contiguous, aligned array of the type (any length where size < 0), copied only where it is not so already.
cdef object canonical(symbol)
cdef uint64_t padded_key(const char* p, Py_ssize_t size) noexcept nogil
cdef cnp.ndarray vector(values, str name, int type_number, Py_ssize_t size)


cdef class SymbolMapper:
    cdef symbols_t* _s
    cdef dict _ids          # str -> int: every symbol
    cdef dict _long_ids     # bytes -> int: symbols of more than 8 bytes, which have no wire key
    cdef list _names        # id -> str
    cdef object __weakref__

    cdef object _find(self, symbol)
    cdef int _refuse_id(self, symbol_id) except -1
    cdef object _append(self, str name, bytes raw)
    cdef int _refuse(self, int64_t symbol_id, double price, double volume, int64_t timestamp) except -1
    cdef object _view(self, void* data, int type_number, Py_ssize_t size)
