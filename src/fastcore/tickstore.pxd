"""Contract of the append-only store for ``nogil`` code; the file layout is in ``_c/fc_store.h``.

A writer appends through ``store_t*`` (``TickStore._s``) while it keeps the TickStore alive. One thread appends;
``store_grow`` and ``store_sync`` may run in another thread at the same time.
"""

from libc.math cimport INFINITY
from libc.stdint cimport int64_t, uint32_t, uint64_t

from fastcore._integers cimport as_int64
from fastcore.records cimport NO_SYMBOL, RESULT_OK, tick_t, unlikely


cdef extern from "fc_store.h" nogil:
    ctypedef struct store_t "fc_store_t":
        uint64_t count  # records appended
        uint64_t limit  # records that have a mapped, allocated place
        uint64_t hungry  # 1: less than half of what it grows by is left, grow when it suits
        uint32_t record_size  # bytes; store_append takes a store of 32 (ticks) only
        int error  # errno of the last failed system call

    # Append a tick to a store of ticks (see TickStore.of_ticks); fields are taken as they are: ask tick_good before. RESULT_OK, RESULT_FULL (grow, then again),
    # RESULT_CLOSED, RESULT_STORE_FAILED (a sync failed: nothing more is accepted).
    int store_append "fc_store_append_tick"(store_t* s, const tick_t* tick) noexcept
    # Whether a tick keeps the rules of a store: time below 2^63, finite price, finite volume that is not negative, a symbol.
    bint tick_good "fc_tick_good"(const tick_t* tick) noexcept
    # Append `record_size` bytes; results as above.
    int store_append_record "fc_store_append_record"(store_t* s, const void* record) noexcept
    # Append in place: claim (NULL: refused, see store_refusal), fill every byte, commit.
    void* store_claim "fc_store_claim"(store_t* s) noexcept
    void store_commit "fc_store_commit"(store_t* s, size_t record_size) noexcept
    int store_refusal "fc_store_refusal"(const store_t* s) noexcept
    # Records that fit before the store must grow.
    int64_t store_room "fc_store_room"(const store_t* s) noexcept
    # Append records for which there is room; `check` looks at ticks (NULL: none are checked), see fc_store.h.
    size_t store_append_batch "fc_store_append_batch"(
        store_t* s, const void* records, size_t n, const void* check, bint lenient
    ) noexcept


# Append `n` records as they are, side by side: all of them or, where there is no room (RESULT_FULL: grow, then again), none.
cdef inline int store_append_records(store_t* s, const void* records, size_t n) noexcept nogil:
    if n > <size_t> store_room(s):
        return store_refusal(s)
    store_append_batch(s, records, n, NULL, True)
    return RESULT_OK


# Cold. More room, allocated on the disk, mapped and pre-faulted: RESULT_OK, RESULT_IO (s.error: a full disk is ENOSPC), ...
# RESULT_FULL: addresses are used up, which TickStore._grow mends.
cdef int store_grow(store_t* s) noexcept nogil
# Cold. Write everything appended so far to the disk: RESULT_OK, or RESULT_STORE_FAILED and the store refuses from then on.
cdef int store_sync(store_t* s) noexcept nogil


# Name the rule that a tick breaks: ValueError.
cdef int refuse_tick(int64_t timestamp_ns, int64_t symbol_id, double price, double volume) except -1


cdef inline int make_tick(tick_t* tick, object timestamp_ns, object symbol_id, double price, double volume) except -1:
    """Check the fields of a tick and put them together."""
    cdef int64_t time_ns = as_int64(timestamp_ns), symbol = as_int64(symbol_id)
    if unlikely(
        time_ns < 0 or <uint64_t> symbol >= NO_SYMBOL or not -INFINITY < price < INFINITY or not 0.0 <= volume < INFINITY
    ):
        refuse_tick(time_ns, symbol, price, volume)
    tick.timestamp_ns = <uint64_t> time_ns
    tick.symbol_id = <uint32_t> symbol
    tick.pad = 0
    tick.price = price
    tick.volume = volume
    return 0


cdef class TickStore:
    cdef store_t* _s  # never NULL; refuses appends unless this process is the writer
    cdef object __weakref__
    cdef object _mapping, _head  # own the mapped addresses: views keep them alive
    cdef object _path, _path_bytes, _mode, _dtype, _time_field, _sync_policy, _locks, _recovery, _keeper, _header
    cdef double _sync_interval_s
    cdef bint _ticks  # dtype is TICK_DTYPE
    cdef bint _commit  # sync policy "commit"
    cdef bint _grow_ahead
    cdef bint _open
    cdef uint64_t _frozen  # a reader of a torn store sees this many records; UINT64_MAX: as many as are published
    cdef uint64_t _frozen_epoch  # until another writer has opened it
    cdef uint64_t _busy  # calls that are outside of the interpreter
    cdef uint64_t _lent  # a run appends, outside of the interpreter
    cdef object _index, _noted, _noting  # order of the time field, as queries know it and as the writer has noted it
    cdef store_t* of_ticks(self) except NULL  # for store_append: raises LayoutError for a store of other records
    cdef uint64_t _count(self) except? 0xFFFFFFFFFFFFFFFF
    cdef bint _is_cut(self) noexcept
    cdef int _check_cut(self) except -1
    cdef void _refuse_cut(self) noexcept
    cdef bint _owned(self) noexcept
    cdef int _enter(self) except -1
    cdef void _leave(self) noexcept
    cdef object _extend(self, object order, uint64_t n)
    cdef object _within(self, uint64_t n, object start_ns, object end_ns)
    cdef object _array(self, uint64_t start, uint64_t stop)
    cdef object _append_slowly(self, const tick_t* tick)
    cdef object _append_array(self, object records, bint check)
    cdef object _after_append(self)
