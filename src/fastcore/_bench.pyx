"""Loops that only the benchmarks and stress tests need: empty calls to compare with, and both ends of a queue in C.

Not part of the public interface.
"""

cimport cython


@cython.final
cdef class Empty:
    """Methods that do nothing: the price of the call itself, with the arguments of the calls they stand for."""

    def none(self):
        return None

    def one_float(self, double a):
        return True

    def two_ints(self, long long a, long long b):
        return None

    def int_float_int(self, long long a, double b, long long c):
        return None

    def int_int_float_float(self, long long a, long long b, double c, double d):
        return True

    def four_floats(self, double a, double b, double c, double d):
        return None


# ---- tickstore

from libc.stdint cimport uint32_t as store_u32, uint64_t as store_u64
from libc.string cimport memcpy as store_memcpy

from fastcore._types cimport RESULT_OK as STORE_OK, cpu_pause as store_pause, store_release as store_publish, tick_t as store_tick_t
from fastcore.tickstore cimport TickStore, store_append, store_append_record, store_claim, store_commit, store_grow, store_t


cdef extern from "fc_store.h" nogil:
    ctypedef store_u32 (*store_checksum_t "fc_store_checksum_t")(store_u32, const void*, size_t) noexcept nogil

    ctypedef struct open_store_t "fc_store_t":
        unsigned char* cursor
        store_u64* word
        store_u64 count
        store_u64* published
        store_checksum_t checksum
        store_u32 crc, in_block, block_records

    store_u64 fc_store_commit_word(store_u64 records, store_u32 crc)
    void fc_store_open_block(open_store_t* s)


cdef inline void store_number(store_u64 i, store_tick_t* tick) noexcept nogil:
    # Tick number i: every field tells the number, so that a torn one shows.
    tick.timestamp_ns = i
    tick.symbol_id = <store_u32> (i & 0x7FFFFFFF)
    tick.pad = 0
    tick.price = <double> i * 0.5
    tick.volume = <double> i


def store_append_loop(TickStore store, store_u64 first, store_u64 n):
    """Append ticks number first..first+n-1 one by one, growing as needed; returns how many were accepted."""
    cdef store_u64 i
    cdef store_tick_t tick
    cdef store_t* s = store._s
    with nogil:
        for i in range(n):
            store_number(first + i, &tick)
            if store_append(s, &tick) != STORE_OK:
                if store_grow(s) != STORE_OK or store_append(s, &tick) != STORE_OK:
                    break
        else:
            i = n
    return i


def store_append_bytes(TickStore store, const unsigned char[::1] record not None):
    """Append one record of any size; returns the result code."""
    if <store_u32> record.shape[0] != store._s.record_size:
        raise ValueError(f"a record has record_size bytes: bytes={record.shape[0]}, record_size={store._s.record_size}")
    return store_append_record(store._s, &record[0])


def store_crash_writer(TickStore store, store_u64[::1] acknowledged not None, store_u64 n, int pause, bint publish_first):
    """Append ticks slowly, half by half, and tell ``acknowledged[0]`` how many are in: made to be killed.

    With `publish_first` the count is published before the bytes are written: the defect that the crash test must notice.
    """
    cdef store_u64 i
    cdef int k
    cdef store_tick_t tick
    cdef char* place
    cdef char* source = <char*> &tick
    cdef store_t* s = store._s
    cdef open_store_t* o = <open_store_t*> s
    cdef store_u64* told = &acknowledged[0]
    with nogil:
        for i in range(s.count, s.count + n):
            store_number(i, &tick)
            place = <char*> store_claim(s)
            if place == NULL:
                if store_grow(s) != STORE_OK:
                    break
                place = <char*> store_claim(s)
            if publish_first:
                o.crc = o.checksum(o.crc, source, 32)
                o.in_block += 1
                o.cursor += 32
                o.count += 1
                store_publish(o.word, fc_store_commit_word(o.in_block, o.crc))
                store_publish(o.published, o.count)
                if o.in_block == o.block_records:
                    fc_store_open_block(o)
            store_memcpy(place, source, 16)
            for k in range(pause):
                store_pause()
            store_memcpy(place + 16, source + 16, 16)
            if not publish_first:
                store_commit(s, 32)
            store_publish(told, i + 1)


@cython.final
cdef class StoreNothing:
    """A method with the arguments of ``TickStore.append_many`` that does nothing."""

    def append_many(self, records):
        return 0
