# cython: freethreading_compatible=True
"""Append-only store of fixed-size records in a memory-mapped file: one writer, any number of readers while it writes.

A record is published by one commit word (count and CRC32C of its block) that is stored after the bytes with release order, so
a writer killed at any moment leaves every record whose append returned, and no reader sees half a record. The layout of
the file is drawn in ``_c/fc_store.h``.

What survives, by sync policy:

============  ==============================  =====================================================================
policy        the process is killed           the system crashes or loses power
============  ==============================  =====================================================================
``memory``    every record appended           everything up to the last ``flush`` or ``close``; usually more, checked by
                                              checksum
``interval``  every record appended           as above, and a thread flushes every ``sync_interval_s``: at most that
                                              much time is lost
``commit``    every record appended           every record whose append returned (an append waits for the disk, about
                                              100 us: use ``append_many``, which syncs once)
============  ==============================  =====================================================================

After the first failed sync the store accepts nothing more (`StoreError`): the system may have thrown away the pages that it could
not write, and a second sync would report success. Open the store again to see what reached the disk.
"""

import errno
import os
import stat
import threading
import time
import warnings
import weakref

import numpy as np

cimport cython
cimport numpy as cnp
from cpython.exc cimport PyErr_CheckSignals
from cpython.object cimport PyTypeObject
from cpython.ref cimport Py_INCREF
from libc.stdint cimport int64_t, uint32_t, uint64_t, uintptr_t
from libc.string cimport memcpy

from fastcore cimport records as t
from fastcore._guard cimport alone
from fastcore._integers cimport as_int64, as_uint64, int64_in
from fastcore.records cimport (
    fc_alloc, fc_free, fetch_add, load_acquire, load_relaxed, store_release, tick_t, unlikely,
)

from fastcore import store_header, store_times
from fastcore.errors import CorruptDataError, LayoutError, StoreError
from fastcore.records import EVENT_DTYPE, TICK_DTYPE
from fastcore.store_files import FILE_MODE, DataLock, FileLock, check_file_mode, create, sync_folder
from fastcore.store_header import BASE as _BASE
from fastcore.store_keeper import Keeper
from fastcore.store_report import REASONS, StoreReport, StoreWarning

__all__ = [
    "CRC32C_IMPLEMENTATION",
    "StoreReport",
    "StoreWarning",
    "TickStore",
    "crc32c",
    "crc32c_scalar",
    "salvage",
]

cnp.import_array()


cdef extern from "fc_cpu.h" nogil:
    bint fc_cpu_allows(const char* feature)

cdef extern from "fc_crc32c.h" nogil:
    ctypedef uint32_t (*crc32c_t "fc_crc32c_t")(uint32_t, const void*, size_t) noexcept
    void fc_crc32c_init()
    crc32c_t fc_crc32c_select(bint allow_sse42)
    ctypedef uint32_t (*stream_t "fc_crc32c_stream_t")(uint32_t, void*, const void*, size_t) noexcept
    stream_t fc_crc32c_stream_select(bint allow_sse42)


cdef extern from "fc_store.h" nogil:
    ctypedef struct checkpoint_t "fc_store_checkpoint_t":
        uint64_t number, count, word, crc

    ctypedef struct control_t "fc_store_control_t":
        uint64_t count, epoch, writer_pid

    # The fields of store_t that the contract keeps to this module.
    ctypedef struct whole_t "fc_store_t":
        unsigned char* cursor
        uint64_t* word
        uint64_t count, limit
        uint64_t* published
        crc32c_t checksum
        uint32_t crc, in_block, block_records, record_size
        stream_t stream
        uint64_t crc_instruction
        uint64_t hungry, state, growing, segments, allocated, grow_records, salt, segment_records, segment_blocks
        uint64_t table_bytes, data_bytes, most_segments, synced, syncs
        const char* path
        control_t* control
        unsigned char* head
        unsigned char* table
        unsigned char* data
        int fd, writable, error, owner_pid

    uint64_t* fc_store_word(const whole_t* s, uint64_t block)
    void fc_store_open_block(whole_t* s)
    uint64_t fc_store_published(const whole_t* s)
    ctypedef size_t (*ticks_check_t "fc_ticks_check_t")(const tick_t* ticks, size_t n, bint* padding) noexcept
    size_t fc_store_append_batch(whole_t* s, const void* records, size_t n, ticks_check_t check, bint lenient)
    ticks_check_t fc_ticks_check_select(bint allow_sse42)


cdef extern from "fc_store_os.h" nogil:
    ctypedef struct scan_t "fc_store_scan_t":
        uint64_t valid, valid_word, end, bad_block, later_records
        int reason

    bint CAN_GROW "FC_STORE_CAN_GROW"
    int fc_pid()
    unsigned char* fc_reserve(size_t size, int* error)
    unsigned char* fc_map_file(unsigned char* at, int fd, uint64_t offset, size_t size, bint writable, int* error)
    void fc_unmap(unsigned char* p, size_t size)
    int fc_allocate(int fd, uint64_t offset, uint64_t size)
    int fc_sync_pages(unsigned char* p, size_t size, int fd)
    void fc_populate(unsigned char* p, size_t size)
    void fc_yield()
    void fc_store_lock(uint64_t* lock)
    void fc_store_unlock(uint64_t* lock)
    uint64_t fc_store_end(const whole_t* s, uint64_t records)
    int fc_store_map_segment(whole_t* s, uint64_t segment, unsigned char** table, unsigned char** data)
    int fc_store_attach(whole_t* s, uint64_t segments)
    void fc_store_move(whole_t* s, unsigned char* table, unsigned char* data, uint64_t most_segments)
    void fc_store_clear_words(whole_t* s, uint64_t block)
    int fc_store_do_grow(store_t* s, uint64_t records)
    int fc_store_do_sync(store_t* s)
    void fc_store_refuse(whole_t* s, int state)
    checkpoint_t fc_store_last_checkpoint(const whole_t* s)
    void fc_store_do_scan(const whole_t* s, uint64_t blocks, uint64_t readable, scan_t* out)
    bint fc_store_block_valid(const whole_t* s, uint64_t block, uint64_t word)


cdef extern from "fc_cut.h" nogil:
    ctypedef struct watch_t "fc_watch_t":
        uint64_t cut
    watch_t* fc_watch(const void* p, size_t bytes)
    void fc_unwatch(watch_t* watch)


cdef extern from "numpy/arrayobject.h":
    # Steals a reference to the descriptor.
    object PyArray_NewFromDescr(
        PyTypeObject* subtype, cnp.dtype descr, int nd, cnp.npy_intp* dims, cnp.npy_intp* strides, void* data, int flags, object base
    )


# Addresses, not memory: how far a store can grow before it is mapped again elsewhere. The thread that grows a store ahead
# cannot move it under its writer, who has more of them then.
_READER_BYTES, _WRITER_BYTES = 1 << 30, 64 << 30
_ORDER_AT = 8192  # in the file: how far times are in order

fc_crc32c_init()
cdef crc32c_t _portable = fc_crc32c_select(False)
cdef crc32c_t _checksum = _portable
if fc_cpu_allows("sse4.2"):
    _checksum = fc_crc32c_select(True)
cdef stream_t _stream = fc_crc32c_stream_select(_checksum != _portable)
cdef ticks_check_t _ticks_check = fc_ticks_check_select(_checksum != _portable)
CRC32C_IMPLEMENTATION = "scalar" if _checksum == _portable else "sse4.2"


def crc32c(const unsigned char[::1] data not None, crc=0):
    """Return the CRC32C (Castagnoli) of bytes, with the instruction of the processor where there is one.

    Parameters
    ----------
    data : bytes-like
    crc : int, default 0
        Result for the bytes before, to go on with.

    Returns
    -------
    int
        32 bits.

    Notes
    -----
    **Thread safety**: any thread. RFC 3720, section 12.1 and appendix B.4.
    """
    cdef uint32_t before = <uint32_t> int64_in(crc, "crc", 0, 0xFFFFFFFF)
    return ~_checksum(~before, &data[0] if data.shape[0] else NULL, data.shape[0]) & 0xFFFFFFFF


def crc32c_scalar(const unsigned char[::1] data not None, crc=0):
    """Return what `crc32c` returns, from the twin that runs on every processor."""
    cdef uint32_t before = <uint32_t> int64_in(crc, "crc", 0, 0xFFFFFFFF)
    return ~_portable(~before, &data[0] if data.shape[0] else NULL, data.shape[0]) & 0xFFFFFFFF


cdef int store_grow(store_t* s) noexcept nogil:
    return fc_store_do_grow(s, 0)


cdef int store_sync(store_t* s) noexcept nogil:
    return fc_store_do_sync(s)


@cython.final
cdef class _Mapping:
    # Owns addresses: those of the head of a store, or those of its commit words and records. Arrays on them keep them alive after the
    # store is closed, and the addresses that it had before.
    cdef unsigned char* table
    cdef unsigned char* data
    cdef size_t table_bytes, data_bytes
    cdef watch_t* table_watch
    cdef watch_t* data_watch
    cdef _Mapping before

    cdef int watch(self) except -1:
        self.table_watch = fc_watch(self.table, self.table_bytes)
        if self.data != NULL:
            self.data_watch = fc_watch(self.data, self.data_bytes)
        if self.table_watch == NULL or (self.data != NULL and self.data_watch == NULL):
            raise MemoryError("no memory for a mapped store")
        return 0

    cdef bint is_cut(self) noexcept:
        return load_relaxed(&self.table_watch.cut) or (self.data_watch != NULL and load_relaxed(&self.data_watch.cut))

    def __dealloc__(self):
        if self.table_watch != NULL:
            fc_unwatch(self.table_watch)
        if self.data_watch != NULL:
            fc_unwatch(self.data_watch)
        if self.table != NULL:
            fc_unmap(self.table, self.table_bytes)
        if self.data != NULL:
            fc_unmap(self.data, self.data_bytes)


_opened = weakref.WeakSet()


def _after_fork_in_child():
    # The parent stays the writer: its child may look, and must neither append nor hold the locks when the parent dies. Threads that were
    # in the middle of something exist in the parent alone.
    for store in list(_opened):
        _disown(store)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


cdef uint64_t _room(const whole_t* s) noexcept nogil:
    # As store_room, for any thread of the writer.
    cdef uint64_t limit = load_acquire(&s.limit), count = fc_store_published(s)
    return limit - count if limit > count else 0


cdef _disown(TickStore store):
    cdef whole_t* s = <whole_t*> store._s
    fc_store_refuse(s, t.RESULT_CLOSED)
    s.writable = 0  # what it maps from now on
    s.growing = store._busy = 0
    for lock in store._locks:
        lock.abandon()
    store._locks = ()
    store._keeper = None


# ---- order of the time field


cdef uint64_t _first_disorder(const unsigned char* times, size_t stride, uint64_t flip, uint64_t begin, uint64_t end) noexcept nogil:
    # First record whose time is below that of the one before, or end.
    cdef uint64_t i, last, now
    if begin == 0:
        begin = 1
    if end == 0:
        return 0
    last = (<const uint64_t*> (times + (begin - 1) * stride))[0] ^ flip
    for i in range(begin, end):
        now = (<const uint64_t*> (times + i * stride))[0] ^ flip
        if now < last:
            return i
        last = now
    return end


cdef uint64_t _lower_bound(
    const unsigned char* times, size_t stride, uint64_t flip, uint64_t low, uint64_t high, uint64_t key
) noexcept nogil:
    # First record from `low` on with time >= key; times rise from there to `high`.
    cdef uint64_t middle
    while low < high:
        middle = low + (high - low) // 2
        if ((<const uint64_t*> (times + middle * stride))[0] ^ flip) < key:
            low = middle + 1
        else:
            high = middle
    return low


cdef int refuse_tick(int64_t timestamp_ns, int64_t symbol_id, double price, double volume) except -1:
    # Name the rule that a tick breaks.
    if timestamp_ns < 0:
        raise ValueError(f"timestamp_ns must not be negative: timestamp_ns={timestamp_ns}")
    if not 0 <= symbol_id < t.NO_SYMBOL:
        raise ValueError(f"symbol_id must be in 0..{t.NO_SYMBOL - 1}: symbol_id={symbol_id}")
    if not -INFINITY < price < INFINITY:
        raise ValueError(f"price must be finite: price={price}")
    raise ValueError(f"volume must be finite and not negative: volume={volume}")


@cython.final
cdef class TickStore:
    """TickStore(path, mode="r", dtype=None, *, segment_records=None, sync="memory", sync_interval_s=1.0, verify=True, \
salvage=False, grow_ahead=True, time_field=None, grow_records=None, file_mode=0o600)\n--\n\n
    Open an append-only store of fixed-size records.

    Parameters
    ----------
    path : str or os.PathLike
        The store: one file, plus ``PATH.lock`` beside it (who writes) and, after a recovery, ``PATH.torn-N`` (what was dropped).
    mode : {"r", "a", "x"}, default "r"
        Read; append, creating the store where there is none; create, refusing an existing file.
    dtype : dtype, optional
        Structured dtype of the records, native byte order, size a multiple of 8 up to 4,096 bytes. By default that of the file, and
        ``TICK_DTYPE`` for a new one. A file of another dtype is refused.
    segment_records : int, optional
        Records of a segment of a new store, rounded up to whole pages; by default 16 MiB of records. A process maps each
        segment by itself, and Linux allows 32,765 of them in all (vm.max_map_count).
    sync : {"memory", "interval", "commit"}, default "memory"
        When records reach the disk; see the table at the top of the module.
    sync_interval_s : float, default 1.0
        For ``"interval"``.
    verify : bool, default True
        Check every block against its checksum when a reader opens (about 0.05 ms per MiB). A writer always does.
    salvage : bool, default False
        Open a store that is damaged in the middle up to the damage instead of raising; a writer keeps the rest aside and goes on
        from there. The function `salvage` copies what is valid behind the damage too.
    grow_ahead : bool, default True
        Let a thread allocate the next segment when half of the last one is used, so that `append` need not.
    time_field : str, optional
        Field that `query` searches, in a new store: ``timestamp_ns``, ``exch_ns`` or ``local_ns``, the first that there is.
    grow_records : int, optional
        Records by which this writer makes the file grow, rounded up to whole pages; by default a segment, and never more.
    file_mode : int, default 0o600
        Permissions of a new store: who may read and who may write it.

    Raises
    ------
    FileNotFoundError, FileExistsError, OSError
        As for a file; a full disk is ``OSError`` with ``ENOSPC``, before any record is accepted.
    LayoutError
        Not a store, or one of another version, record layout or byte order.
    StoreLockedError
        There is a writer already.
    StoreError
        For a writer: the file has a second name (hard link), or what has the name of its lock is a link or another file.
    CorruptDataError
        The header is damaged or absurd, or records up to the last checkpoint are damaged.

    Warns
    -----
    StoreWarning
        Records at the end were torn or cut off; ``recovery`` says how many. What is valid stays, and a writer has kept the rest aside.

    Notes
    -----
    **Thread safety**: one thread appends. Readers in other threads open the path again or use `records`, `query` and `count` of the
    writer's object; arrays stay valid after `close` and while the store grows. A forked child may read, not append.

    A store that is cut, deleted or replaced while it is open is an error of the next `flush`, growth or `close` of its writer, and,
    cut, of the next look of a reader (CorruptDataError): arrays that reach into what is gone show bytes of 0xFF there.
    """

    def __cinit__(self, *args, **kwargs):
        self._s = <store_t*> fc_alloc(1, sizeof(whole_t))
        if self._s == NULL:
            raise MemoryError("no memory for the state of a store")
        (<whole_t*> self._s).state = t.RESULT_CLOSED
        (<whole_t*> self._s).fd = -1
        self._frozen = <uint64_t> -1
        self._locks = ()

    def __init__(
        self,
        path,
        mode="r",
        dtype=None,
        *,
        segment_records=None,
        sync="memory",
        double sync_interval_s=1.0,
        bint verify=True,
        bint salvage=False,
        bint grow_ahead=True,
        time_field=None,
        grow_records=None,
        file_mode=FILE_MODE,
    ):
        if self._path is not None:
            raise StoreError(f"a store object opens once: path={self._path}")
        if mode not in ("r", "a", "x"):
            raise ValueError(f"mode must be 'r', 'a' or 'x': mode={mode!r}")
        store_header.check_options(sync, sync_interval_s, segment_records, grow_records)
        check_file_mode(file_mode)
        if dtype is not None:
            dtype = store_header.check_dtype(dtype)
        path = os.path.realpath(os.fsdecode(path))
        self._path = path
        self._path_bytes = os.fsencode(path)
        self._noting = threading.Lock()
        self._mode = mode
        self._sync_policy = sync
        self._commit = sync == "commit"
        self._sync_interval_s = sync_interval_s
        self._grow_ahead = grow_ahead and CAN_GROW
        try:
            if mode != "r":
                self._locks = (FileLock(path + ".lock", file_mode=file_mode),)
                if mode == "x" and os.path.lexists(path):
                    raise FileExistsError(f"mode 'x' creates a store: path={path} exists")
                if not os.path.lexists(path):
                    fresh = TICK_DTYPE if dtype is None else dtype
                    size = fresh.itemsize
                    records = store_header.round_segment(segment_records or store_header.SEGMENT_BYTES // size, size)
                    field = store_header.time_field_of(fresh, time_field)
                    head = store_header.make_header(fresh, field, records, crc32c)
                    room = store_header.round_growth(grow_records, records, size) if CAN_GROW else records
                    create(path, head, store_header.least_bytes(records, size, room), self._allocate, file_mode)
            self._map(dtype, time_field, grow_records)
            self._examine(verify, salvage)
            if mode != "r":
                self._start_writing()
        except BaseException:
            self._release()
            raise
        if self._recovery is not None:
            warnings.warn(f"{path}: {self._recovery.loss()}", StoreWarning, stacklevel=2)

    def __dealloc__(self):
        fc_free(self._s)

    def __del__(self):
        if self._open:
            try:
                self.close()
            except Exception:  # nobody is there to catch it; the records are published
                pass

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    # ---- opening

    def _allocate(self, int fd, offset, size):
        # Give part of a file its blocks on the disk, so that a full disk is an error now.
        self._check_system(fc_allocate(fd, offset, size))

    def _check_system(self, int error):
        if error:
            raise OSError(error, os.strerror(error), self._path)

    def _map(self, dtype, time_field, grow_records):
        # Check the header, then map it and every segment.
        cdef whole_t* s = <whole_t*> self._s
        cdef _Mapping head = _Mapping()
        cdef int error = 0
        cdef uint64_t segments
        cdef bint writable = self._mode != "r"
        flags = (os.O_RDWR if writable else os.O_RDONLY) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
        s.fd = os.open(self._path, flags)
        found = os.fstat(s.fd)
        if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
            raise LayoutError(f"a store is a file: path={self._path}")
        if writable:
            self._locks += (DataLock(self._path, s.fd),)
        size = found.st_size
        header = store_header.parse_header(os.read(s.fd, store_header.PAGE), self._path, size, crc32c)
        store_header.check_asked(header, self._path, dtype, time_field, writable)
        stored = header.dtype
        self._dtype = TICK_DTYPE if stored == TICK_DTYPE else EVENT_DTYPE if stored == EVENT_DTYPE else stored
        self._ticks = stored == TICK_DTYPE
        self._time_field = header.time_field
        self._header = header
        s.path = self._path_bytes
        s.record_size = header.record_size
        s.block_records = header.block_records
        s.segment_records = header.segment_records
        s.grow_records = s.segment_records
        if CAN_GROW:
            s.grow_records = store_header.round_growth(grow_records, header.segment_records, header.record_size)
        s.salt = header.salt
        s.segment_blocks = s.segment_records // s.block_records
        s.table_bytes, s.data_bytes = store_header.segment_parts(header.segment_records, header.record_size)
        s.checksum = _checksum
        s.stream = _stream
        s.crc_instruction = _checksum != _portable
        s.writable = writable
        if size < _BASE:
            raise CorruptDataError(f"a store has at least {_BASE} bytes: path={self._path}, bytes={size}")
        segments = max(1, -(-(size - _BASE) // (s.table_bytes + s.data_bytes)))
        head.table_bytes = _BASE
        head.table = s.head = fc_map_file(NULL, s.fd, 0, _BASE, writable, &error)
        self._check_system(error)
        head.watch()
        self._head = head
        s.control = <control_t*> (s.head + 4096)
        if CAN_GROW:
            most = max(_WRITER_BYTES if writable and self._grow_ahead else _READER_BYTES, 4 * segments * s.data_bytes) // s.data_bytes
            self._move(max(most, segments + writable), segments + writable)
            self._attach(segments)
        elif segments > 1:
            raise LayoutError(f"this system maps stores of one segment: path={self._path}, segments={segments}")
        else:
            head = _Mapping()
            head.table_bytes, head.data_bytes = s.table_bytes, s.data_bytes
            self._check_system(fc_store_map_segment(s, 0, &head.table, &head.data))
            head.watch()
            s.table, s.data, s.segments, s.most_segments = head.table, head.data, 1, 1
            self._mapping = head
        s.allocated = self._extent()[1]
        self._index = store_times.Order(int(s.block_records))
        s.published = &s.control.count
        s.state = t.RESULT_OK if writable else t.RESULT_CLOSED
        self._open = True
        _opened.add(self)

    def _move(self, most, least):
        # Map the segments at other addresses, which have room for `most` of them, or for as many as there are addresses for.
        cdef whole_t* s = <whole_t*> self._s
        cdef _Mapping new
        cdef uint64_t segment
        cdef int error = 0
        while True:
            new = _Mapping()
            new.table_bytes, new.data_bytes = most * s.table_bytes, most * s.data_bytes
            new.table = fc_reserve(new.table_bytes, &error)
            if new.table != NULL:
                new.data = fc_reserve(new.data_bytes, &error)
                if new.data != NULL:
                    break
            if most <= least:
                self._check_system(error)
            most = max(most // 2, least)
        new.watch()
        new.before = self._mapping
        with nogil:
            fc_store_lock(&s.growing)
        try:
            for segment in range(s.segments):
                self._check_mapped(fc_store_map_segment(s, segment, &new.table, &new.data))
            self._mapping = new  # before the addresses: who has those finds the owner
            fc_store_move(s, new.table, new.data, most)
        finally:
            fc_store_unlock(&s.growing)

    def _attach(self, uint64_t segments):
        # Map segments that are in the file.
        cdef whole_t* s = <whole_t*> self._s
        cdef int code
        if segments > s.most_segments:
            self._move(4 * segments, segments)
        with nogil:
            fc_store_lock(&s.growing)
            code = fc_store_attach(s, segments)
            fc_store_unlock(&s.growing)
        if code:
            self._check_mapped(s.error)

    def _check_mapped(self, int error):
        # As _check_system, for what is mapped segment by segment.
        if error == errno.ENOMEM:
            raise OSError(
                error,
                "the system allows a process so many mappings (vm.max_map_count) and a store takes two a segment: compact it, or make it "
                f"with larger segments: segments={(<whole_t*> self._s).segments}, segment_records={self._header.segment_records}",
                self._path,
            )
        self._check_system(error)

    cdef bint _owned(self) noexcept:
        # Whether this process is the writer, who knows what is in the file.
        return self._mode != "r" and (<whole_t*> self._s).owner_pid == fc_pid()

    def _look_again(self):
        # What a writer in another process has added since: it is in segments that have at least one record.
        cdef whole_t* s = <whole_t*> self._s
        if not self._owned():
            segment_bytes = s.table_bytes + s.data_bytes
            segments = (self._bytes() - _BASE - int(s.table_bytes) - 1) // int(segment_bytes) + 1
            if segments > s.segments:
                self._attach(segments)
            store_release(&s.allocated, self._extent()[1])

    cdef bint _is_cut(self) noexcept:
        return (<_Mapping> self._mapping).is_cut() or (<_Mapping> self._head).is_cut()

    cdef int _check_cut(self) except -1:
        if unlikely(not self._open):
            self._check_open()
        if unlikely(self._is_cut()):
            raise CorruptDataError(
                f"the file was cut while it was open: path={self._path}, bytes={self._bytes()}"
            )
        return 0

    # Calls that leave the interpreter hold off `close` in another thread.
    cdef int _enter(self) except -1:
        fetch_add(&self._busy, 1)
        if not self._open:
            self._leave()
            self._check_open()
        return 0

    cdef void _leave(self) noexcept:
        fetch_add(&self._busy, <uint64_t> -1)

    def _bytes(self):
        # Size of the file.
        try:
            return os.fstat((<whole_t*> self._s).fd).st_size
        except OSError:
            self._check_open()  # another thread may have closed it
            raise

    def _extent(self):
        # Blocks and records that lie inside the file; touching more would be SIGBUS.
        cdef whole_t* s = <whole_t*> self._s
        size = self._bytes() - _BASE
        segment_bytes = s.table_bytes + s.data_bytes
        whole = min(max(size, 0) // segment_bytes, load_acquire(&s.segments))
        blocks, records = whole * s.segment_blocks, whole * s.segment_records
        rest = size - whole * segment_bytes if whole < load_acquire(&s.segments) else 0
        if rest > 0:
            blocks += min(rest // 8, s.segment_blocks)
            records += max(0, rest - <int64_t> s.table_bytes) // s.record_size
        return blocks, records

    def _scan(self, bint salvage):
        # Find the longest valid prefix; damage in the middle raises unless salvage. Returns the scan, the report, and whether records
        # are lost that were published or synced.
        cdef whole_t* s = <whole_t*> self._s
        cdef scan_t scan
        cdef uint64_t promised = fc_store_published(s)  # before the commit words: a live writer is never behind it
        cdef uint64_t blocks, readable
        cdef uint64_t synced = fc_store_last_checkpoint(s).count
        self._look_again()
        blocks, readable = self._extent()
        with nogil:
            fc_store_do_scan(s, blocks, readable, &scan)
        self._check_cut()
        promised = max(promised, synced)
        if scan.bad_block == <uint64_t> -1 and promised <= scan.valid:
            return scan, StoreReport(scan.valid, scan.valid * s.record_size), False
        cut = scan.reason == 2 or promised > readable
        end = max(int(scan.end), int(promised))
        present = min(end, int(readable))
        reason = REASONS[2 if cut else scan.reason]
        report = StoreReport(
            int(scan.valid),
            int(scan.valid * s.record_size),
            end - int(scan.valid),
            max(0, present - int(scan.valid)) * int(s.record_size),
            reason,
        )
        # Behind the last checkpoint a system that went down may have written any pages and not others: that is a torn tail.
        if synced > scan.valid and (scan.later_records > 0 or not cut) and not salvage:
            block = scan.valid // s.block_records
            raise CorruptDataError(
                f"stored records are damaged ({reason}), open with salvage=True or copy with salvage(): path={self._path}, "
                f"valid records={report.records}, first damaged block starts at record {block * s.block_records}, "
                f"valid records behind it={scan.later_records}, synced records={synced}"
            )
        return scan, report, promised > scan.valid

    def _examine(self, bint verify, bint salvage):
        cdef whole_t* s = <whole_t*> self._s
        cdef scan_t scan
        if not verify and self._mode == "r":
            if fc_store_published(s) > self._extent()[1]:
                raise CorruptDataError(
                    f"the published count must be inside the file (open with verify=True): path={self._path}, "
                    f"count={fc_store_published(s)}"
                )
            return
        self._frozen_epoch = load_relaxed(&s.control.epoch)
        scan, report, lost = self._scan(salvage)
        if self._mode != "r":
            # A file may be cut behind its last record: what is missing comes back as zeros, or writing there were SIGBUS.
            step, begun = int(s.grow_records), int((s.segments - 1) * s.segment_records)
            s.allocated = min(-(-max(int(s.allocated), begun + 1) // step) * step, begun + int(s.segment_records))
            self._allocate(s.fd, 0, fc_store_end(s, s.allocated))
        if report.reason:
            if self._mode == "r":
                if lost:
                    self._frozen = scan.valid
                report = report.for_reader(min(scan.valid, fc_store_published(s)), s.record_size)
            else:
                report = self._repair(scan, report)
            self._recovery = report
        if self._mode != "r":
            self._resume(scan)

    def _repair(self, scan_t scan, report):
        # Keep the torn bytes aside, then make the valid prefix the whole store.
        cdef whole_t* s = <whole_t*> self._s
        cdef uint64_t block
        present = report.records + report.dropped_bytes // s.record_size
        aside = None
        if present > report.records:
            aside = f"{self._path}.torn-{s.control.epoch + 1}"
            number = 0
            while os.path.lexists(aside):
                number += 1
                aside = f"{self._path}.torn-{s.control.epoch + 1}-{number}"
            fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, stat.S_IMODE(os.fstat(s.fd).st_mode))
            with open(fd, "wb") as out:
                out.write(self._array(report.records, present).view(np.uint8))  # from the file, without a copy
                out.flush()
                os.fsync(fd)
            sync_folder(os.path.dirname(aside))
        # In this order a kill at any point leaves the same recovery to the next writer: the last word, a checkpoint, then the rest.
        block = (scan.valid + s.block_records - 1) // s.block_records
        if scan.valid:
            store_release(fc_store_word(s, block - 1), scan.valid_word)
        store_release(&s.control.count, scan.valid)
        s.syncs = fc_store_last_checkpoint(s).number
        s.synced = 0 if scan.valid else <uint64_t> -1
        self._sync()
        fc_store_clear_words(s, block)
        self._check_system(fc_sync_pages(s.table, ((s.allocated - 1) // s.segment_records + 1) * s.table_bytes, s.fd))
        return report._replace(kept_aside=aside)

    def _resume(self, scan_t scan):
        # Point the writer behind the last valid record.
        cdef whole_t* s = <whole_t*> self._s
        cdef uint64_t page, all_ = s.allocated * s.record_size
        fc_store_clear_words(s, (scan.valid + s.block_records - 1) // s.block_records)  # of bytes that others have added
        checkpoint = fc_store_last_checkpoint(s)
        s.syncs = checkpoint.number
        s.synced = min(checkpoint.count, scan.valid)
        s.count = scan.valid
        s.cursor = s.data + s.count * s.record_size
        s.limit = s.allocated
        store_release(&s.control.count, s.count)
        fc_store_open_block(s)
        s.in_block = s.count % s.block_records
        if s.in_block:
            s.crc = ~(<uint32_t> scan.valid_word)
        page = s.count * s.record_size // 65536 * 65536
        if page < all_:
            with nogil:
                fc_populate(s.data + page, all_ - page)
        self._noted = store_times.Order(int(s.block_records))
        self._adopt(self._noted)
        if self._noted.checked > scan.valid:
            # It was noted of records that are lost: on the disk before others take their places.
            self._noted.forget(int(scan.valid))
            self._note(self._noted)
            self._check_system(fc_sync_pages(s.head, _BASE, s.fd))

    def _start_writing(self):
        cdef whole_t* s = <whole_t*> self._s
        s.owner_pid = fc_pid()
        s.control.epoch += 1
        s.control.writer_pid = s.owner_pid
        if self._sync_policy == "interval":
            self.prepare_ahead()

    # ---- closing

    def _release(self):
        # Give back what an opening store holds; views keep the mapping.
        cdef whole_t* s = <whole_t*> self._s
        fc_store_refuse(s, t.RESULT_CLOSED)
        store_release(&s.state, t.RESULT_CLOSED)   # other threads read it
        self._open = False
        with nogil:
            while load_acquire(&self._busy):
                fc_yield()
        self._mapping = self._head = None
        fd, s.fd = s.fd, -1
        if fd >= 0:
            os.close(fd)
        locks, self._locks = self._locks, ()
        for lock in reversed(locks):
            lock.release()

    def close(self):
        """Flush, stop writing and release the lock; arrays that are in use stay valid. Closing again does nothing.

        Raises
        ------
        StoreError
            The last sync failed; the store is closed all the same.
        """
        cdef whole_t* s = <whole_t*> self._s
        if not self._open:
            return
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.stop()
        failure = None
        if self._locks:
            if load_acquire(&s.state) == t.RESULT_OK:
                try:
                    self._note_order()
                    self._sync()
                except StoreError as error:
                    failure = error
            s.control.writer_pid = 0
        self._release()
        if failure is not None:
            raise failure

    def _check_open(self):
        if not self._open:
            raise StoreError(f"the store is closed: path={self._path}")

    # ---- writing

    def _refused(self, int code):
        # Turn a refusal into the exception that says what to do.
        cdef whole_t* s = <whole_t*> self._s
        self._check_open()
        if self._mode == "r":
            raise StoreError(f"the store is open for reading: path={self._path}, mode='r'")
        if s.owner_pid != fc_pid():
            raise StoreError(
                f"a forked process may not write: path={self._path}, writer_pid={s.owner_pid}, pid={fc_pid()}"
            )
        if s.error == errno.ESTALE:
            raise StoreError(
                f"the file was deleted, replaced, moved or cut while it was written, so the store accepts nothing more: path={self._path}"
            )
        if code == t.RESULT_STORE_FAILED:
            raise StoreError(
                f"a sync failed, so the store accepts nothing more (open it again): path={self._path}, "
                f"errno={s.error} ({os.strerror(s.error)})"
            )
        self._check_mapped(s.error)

    def _grow(self, uint64_t records):
        # Make room for so many records, or raise with nothing accepted and nothing taken from the disk.
        cdef int code
        cdef whole_t* s = <whole_t*> self._s
        alone(&self._lent)
        if load_acquire(&s.state):
            self._refused(<int> s.state)
        self._note_order()
        self._enter()
        try:
            while <uint64_t> store_room(self._s) < records:
                with nogil:
                    code = fc_store_do_grow(self._s, records)
                if code == t.RESULT_FULL:
                    least = int(s.count + records) // int(s.segment_records) + 2
                    self._move(4 * least, least)
                elif code:
                    self._refused(code)
        finally:
            self._leave()

    def _sync(self):
        cdef int code
        self._enter()
        self._refuse_cut()
        with nogil:
            code = fc_store_do_sync(self._s)
        self._leave()
        if code:
            self._refused(code)

    cdef store_t* of_ticks(self) except NULL:
        if not self._ticks:
            raise LayoutError(f"ticks go into a store of ticks: path={self._path}, dtype={self._dtype}")
        return self._s

    cdef void _refuse_cut(self) noexcept:
        # What was appended to a page that is missing is nowhere.
        if unlikely(self._is_cut()):
            (<whole_t*> self._s).error = errno.ESTALE
            fc_store_refuse(<whole_t*> self._s, t.RESULT_STORE_FAILED)

    cdef _append_slowly(self, const tick_t* tick):
        if not self._ticks:
            raise TypeError(f"append takes ticks, use append_many for other records: dtype={self._dtype}")
        self._grow(1)
        store_append(self._s, tick)

    cdef _after_append(self):
        # The next segment, and the disk, where the policy asks for them.
        if self._commit:
            self._sync()
        if load_acquire(&(<whole_t*> self._s).hungry) and self._grow_ahead:
            store_release(&(<whole_t*> self._s).hungry, 0)
            self.prepare_ahead()
            self._keeper.wake()

    def append(self, timestamp_ns, symbol_id, double price, double volume):
        """Append one tick.

        Parameters
        ----------
        timestamp_ns : int
            UNIX ns, not negative. Need not rise: `query` is fastest where it does.
        symbol_id : int
            From 0 to 2**32 - 2.
        price : float
            Finite. Zero and negative prices exist (spreads, power, oil futures) and are stored.
        volume : float
            Finite, not negative.

        Raises
        ------
        ValueError, TypeError, OverflowError
            A value breaks its rule; nothing is stored.
        OSError
            The disk is full, or the file cannot grow; nothing is stored, and what is stored stays.
        StoreError
            The store is closed, open for reading, inherited by a forked child, or a sync failed.

        Notes
        -----
        **Thread safety**: one thread appends.
        """
        cdef tick_t tick
        alone(&self._lent)
        make_tick(&tick, timestamp_ns, symbol_id, price, volume)
        if unlikely(not self._ticks or store_append(self._s, &tick) != t.RESULT_OK):
            self._append_slowly(&tick)
        if unlikely(load_relaxed(&self._s.hungry) or self._commit):
            self._after_append()

    def append_many(self, records):
        """Append an array of records; all of them or, when it raises, none.

        Parameters
        ----------
        records : ndarray
            One-dimensional, C-contiguous, of the dtype of the store. Ticks are checked as in `append`; padding is stored as 0.

        Returns
        -------
        int
            Number of records appended.

        Raises
        ------
        TypeError, ValueError
            Not such an array, or a tick breaks a rule (the message names its index).
        OSError, StoreError
            As for `append`.

        Notes
        -----
        **Thread safety**: one thread appends. A process killed meanwhile leaves a prefix of the array.
        """
        return self._append_array(records, True)

    cdef _append_array(self, records, bint check):
        cdef cnp.ndarray array
        cdef const void* data
        cdef size_t n, good
        cdef whole_t* s = <whole_t*> self._s
        alone(&self._lent)
        if not isinstance(records, np.ndarray):
            raise TypeError(f"records must be an ndarray: type={type(records).__name__}")
        array = records
        dtype = array.dtype
        if dtype is not self._dtype and dtype != self._dtype:
            raise TypeError(f"records must have the dtype of the store: dtype={dtype}, stored={self._dtype}")
        if array.ndim != 1 or not cnp.PyArray_IS_C_CONTIGUOUS(array):
            raise ValueError(f"records must be one-dimensional and contiguous: shape={records.shape}, strides={records.strides}")
        data = cnp.PyArray_DATA(array)
        n = <size_t> cnp.PyArray_DIM(array, 0)
        if self._ticks:
            if <uintptr_t> data % 8:
                array = array.copy()
                data = cnp.PyArray_DATA(array)
        if n > <size_t> store_room(self._s):
            self._grow(n)
            if n > <size_t> store_room(self._s):
                self._refused(store_refusal(self._s))
        good = fc_store_append_batch(s, data, n, _ticks_check if self._ticks else NULL, not check)
        if unlikely(good < n):
            row = (<const tick_t*> data)[good]
            try:
                refuse_tick(<int64_t> row.timestamp_ns, row.symbol_id, row.price, row.volume)
            except ValueError as error:
                raise ValueError(f"{error} at index={good}") from None
        if load_acquire(&s.state):
            self._refused(<int> s.state)
        if unlikely(load_relaxed(&s.hungry) or self._commit):
            self._after_append()
        return n

    def reserve(self, records):
        """Allocate, map and pre-fault room for so many more records now.

        Raises
        ------
        OSError
            The disk has no room for them; nothing is lost or taken, and the store goes on with the room it has.
        StoreError
            As for `append`.
        """
        n = as_uint64(records)
        self._check_open()
        if self._mode == "r":
            self._refused(t.RESULT_CLOSED)
        self._grow(n)

    def prepare_ahead(self):
        """Start the thread that allocates the next segment in time, for compiled code that appends without the interpreter."""
        self._check_open()
        if self._mode == "r" or (<whole_t*> self._s).owner_pid != fc_pid():
            self._refused(t.RESULT_CLOSED)
        if self._keeper is None:
            self._keeper = Keeper(self, self._sync_interval_s if self._sync_policy == "interval" else None)
            self._keeper.start()

    def _tend(self, bint sync):
        # What the thread does; a failure is not lost: the writer meets the full disk itself, and a failed sync refuses appends.
        cdef whole_t* s = <whole_t*> self._s
        cdef bint hungry
        if not self._open or load_acquire(&s.state):
            return
        hungry = self._grow_ahead and _room(s) < s.grow_records // 2
        if hungry or sync:
            self._note_order()
        fetch_add(&self._busy, 1)
        if self._open:
            self._refuse_cut()
            with nogil:
                if hungry:
                    fc_store_do_grow(self._s, 0)
                if sync:
                    fc_store_do_sync(self._s)
        self._leave()

    def flush(self):
        """Write every record appended so far to the disk, and wait for it.

        Raises
        ------
        StoreError
            The system could not write them: the store accepts nothing more.

        Notes
        -----
        **Thread safety**: any thread of the writing process.
        """
        self._check_open()
        if self._mode == "r" or (<whole_t*> self._s).owner_pid != fc_pid():
            self._refused(t.RESULT_CLOSED)
        self._note_order()
        self._sync()

    # ---- order of time

    cdef object _extend(self, object order, uint64_t n):
        # Look at the times up to `n` that `order` does not know.
        cdef whole_t* s = <whole_t*> self._s
        cdef uint64_t at, first
        cdef uint64_t flip = 0
        cdef size_t offset = 0
        if order.checked >= n:
            return
        field, offset = self._dtype.fields[self._time_field]
        flip = (<uint64_t> 1) << 63 if field.kind == "i" else 0
        while order.checked < n:
            first = order.checked
            with nogil:
                at = _first_disorder(s.data + offset, s.record_size, flip, first, n)
            if not order.note(at, n):
                return

    def _adopt(self, order):
        # Take what the writer has noted where that is more.
        cdef whole_t* s = <whole_t*> self._s
        cdef const unsigned char* noted = s.head + <size_t> _ORDER_AT
        if load_relaxed(<const uint64_t*> (noted + 8)) > order.checked:
            order.take(noted[: store_times.ORDER_BYTES], s.salt, crc32c)

    def _note(self, order):
        cdef whole_t* s = <whole_t*> self._s
        cdef bytes text = order.text(s.salt, crc32c)
        memcpy(s.head + <size_t> _ORDER_AT, <const char*> text, len(text))

    def _note_order(self):
        # Write down how far times are in order, so that no reader has to look at all of them.
        cdef whole_t* s = <whole_t*> self._s
        if self._time_field is None or not self._noting.acquire(False):
            return
        self._enter()
        try:
            before, count = self._noted.checked, fc_store_published(s)
            if self._is_cut():
                return  # that was no count; the sync that follows refuses
            self._extend(self._noted, count)
            if self._noted.checked > before:
                self._note(self._noted)
        finally:
            self._leave()
            self._noting.release()

    # ---- reading

    cdef uint64_t _count(self) except? 0xFFFFFFFFFFFFFFFF:
        # Published records, all of them mapped.
        cdef whole_t* s = <whole_t*> self._s
        cdef uint64_t n
        if not self._open:
            self._check_open()
        n = fc_store_published(s)
        if unlikely(self._frozen != <uint64_t> -1):
            if load_acquire(&s.control.epoch) == self._frozen_epoch:
                return min(n, self._frozen)
            self._frozen = <uint64_t> -1  # a writer has repaired the store since
        if unlikely(n > load_acquire(&s.allocated)):
            self._look_again()
            if n > load_acquire(&s.allocated):
                raise CorruptDataError(
                    f"the published count must be inside the file: path={self._path}, count={n}, "
                    f"bytes={self._bytes()}"
                )
        self._check_cut()
        return n

    cdef object _array(self, uint64_t start, uint64_t stop):
        # A read-only array on the mapping, without a copy.
        cdef whole_t* s = <whole_t*> self._s
        cdef cnp.npy_intp n = <cnp.npy_intp> (stop - start)
        cdef cnp.dtype dtype = self._dtype
        cdef cnp.ndarray array
        if unlikely(not self._open):
            self._check_open()
        Py_INCREF(dtype)
        array = PyArray_NewFromDescr(
            <PyTypeObject*> cnp.ndarray, dtype, 1, &n, NULL, s.data + start * s.record_size,
            cnp.NPY_ARRAY_C_CONTIGUOUS | cnp.NPY_ARRAY_ALIGNED, None,
        )
        cnp.set_array_base(array, self._mapping)
        return array

    def __len__(self):
        return self._count()

    @property
    def count(self):
        """Records published so far (int)."""
        return self._count()

    @property
    def path(self):
        """Absolute path (str)."""
        return self._path

    @property
    def mode(self):
        """How the store was opened (str)."""
        return self._mode

    @property
    def dtype(self):
        """Structured dtype of the records."""
        return self._dtype

    @property
    def closed(self):
        """Whether `close` was called (bool)."""
        return not self._open

    @property
    def recovery(self):
        """What opening the store had to drop (StoreReport), or None."""
        return self._recovery

    @property
    def room(self):
        """Records that can be appended before the store must grow (int)."""
        return _room(<whole_t*> self._s) if self._open and self._mode != "r" else 0

    def records(self, start=0, stop=None):
        """Return records as a read-only array on the mapped file, without a copy.

        Parameters
        ----------
        start, stop : int, optional
            As in a slice; negative numbers count from the end. By default everything published so far.

        Returns
        -------
        ndarray
            Of the dtype of the store; valid for as long as it is referenced. ``records()["price"]`` is a view as well.

        Notes
        -----
        **Thread safety**: any thread.
        """
        cdef uint64_t n = self._count()
        first, last, _ = slice(start, stop).indices(n)
        return self._array(first, max(first, last))

    def pieces(self, start=0, stop=None, *, max_records=65_536):
        """Return an iterator over records in arrays of bounded length, for what is done piece by piece.

        Parameters
        ----------
        start, stop : int, optional
            As for `records`; what is published after the call is not among them.
        max_records : int, default 65,536
            Longest array.

        Returns
        -------
        iterator of ndarray
            Views without a copy, as `records` returns.

        Notes
        -----
        **Thread safety**: any thread.
        """
        return self._pieces(self.records(start, stop), store_header.whole("max_records", max_records, 1, None))

    def _pieces(self, records, max_records):
        for first in range(0, len(records), max_records):
            yield records[first : first + max_records]
            if self._open:
                self._check_cut()  # what was just used may not have been there

    def read_tick(self, index):
        """Return one tick as ``(timestamp_ns, symbol_id, price, volume)``.

        Raises
        ------
        IndexError
            If `index` is not from 0 to count-1.
        TypeError
            If the store holds other records.
        """
        cdef const tick_t* tick
        if not self._ticks:
            raise TypeError(f"read_tick reads ticks: dtype={self._dtype}")
        cdef int64_t i = as_int64(index)
        if i < 0 or <uint64_t> i >= self._count():
            raise IndexError(f"index must be in 0..count-1: index={i}, count={self._count()}")
        tick = <const tick_t*> (<whole_t*> self._s).data + i
        return tick.timestamp_ns, tick.symbol_id, tick.price, tick.volume

    def query(self, start_ns=None, end_ns=None, symbol_id=None):
        """Return the records of a time range, in the order in which they were appended.

        Parameters
        ----------
        start_ns, end_ns : int, optional
            ``start_ns <= time < end_ns`` in the unit of the time field (UNIX ns); None leaves that side open.
        symbol_id : int, optional
            Only this symbol.

        Returns
        -------
        ndarray
            Read-only. Without `symbol_id`, and where times rise, a view without a copy.

        Raises
        ------
        ValueError
            ``start_ns > end_ns``, a symbol outside 0..2**32-1, or records without such a field.

        Notes
        -----
        Runs of times that rise (each at least the one before) are searched by bisection. The writer notes in the file where
        runs begin, whenever it flushes, grows or closes; what is newer is looked at once. Of times that go back more than 4,096
        times, what lies behind is found through the least and greatest time of each block.

        **Thread safety**: one thread per TickStore object.
        """
        store_times.check_range(start_ns, end_ns)
        store_times.check_symbol(self._dtype, symbol_id)
        self._enter()
        try:
            found = self._within(self._count(), start_ns, end_ns)
            self._check_cut()
        finally:
            self._leave()
        return found if symbol_id is None else _taken(found, found["symbol_id"] == symbol_id)

    cdef object _within(self, uint64_t n, object start_ns, object end_ns):
        # The records of a range of time among the first `n`: of the part whose order is known by bisection of each run, behind it
        # through the blocks.
        cdef whole_t* s = <whole_t*> self._s
        cdef uint64_t low, high, key, flip
        cdef const unsigned char* base
        if start_ns is None and end_ns is None:
            return self._array(0, n)
        if self._time_field is None:
            raise ValueError(f"the records have no time field to search: dtype={self._dtype}")
        field, offset = self._dtype.fields[self._time_field]
        signed = field.kind == "i"
        within = store_times.bounds(start_ns, end_ns, signed)
        if within is None:
            return self._array(0, 0)
        start, end = within
        if self._index.epoch != s.control.epoch:
            self._index = store_times.Order(int(s.block_records), int(s.control.epoch))  # a new writer may have dropped records
        order = self._index
        self._adopt(order)
        self._extend(order, n)
        times = self._array(0, n)[self._time_field]
        flip = (<uint64_t> 1) << 63 if signed else 0
        base = s.data + <size_t> offset
        ranges = []
        for low, high in order.runs(times, start, end):
            if start is not None:
                key = <uint64_t> (start & 0xFFFFFFFFFFFFFFFF)
                low = _lower_bound(base, s.record_size, flip, low, high, key ^ flip)
            if end is not None:
                key = <uint64_t> (end & 0xFFFFFFFFFFFFFFFF)
                high = _lower_bound(base, s.record_size, flip, low, high, key ^ flip)
            if low < high:
                ranges.append((low, high))
        parts = [self._array(low, high) for low, high in store_times.side_by_side(ranges)]
        for low, high in order.blocks(times, start, end):
            parts.append(_taken(self._array(low, high), store_times.inside(times[low:high], start, end)))
        if len(parts) < 2:
            return parts[0] if parts else self._array(0, 0)
        return _frozen(np.concatenate([part.view(f"V{s.record_size}") for part in parts]).view(self._dtype))

    def follow(self, start=0, *, timeout_s=None, double interval_s=0.001, max_records=None):
        """Iterate over arrays of records as they are published.

        Parameters
        ----------
        start : int, default 0
            First record; negative counts from the end.
        timeout_s : float, optional
            End after so long without a new record; by default never.
        interval_s : float, default 0.001
            Pause between looks; 0 looks all the time.
        max_records : int, optional
            Largest array.

        Yields
        ------
        ndarray
            Read-only views, each going on where the one before ended.

        Notes
        -----
        **Thread safety**: the writer may be in this or another process. Ctrl-C ends the wait.
        """
        if max_records is not None:
            max_records = store_header.whole("max_records", max_records, 1, None)
        start = as_int64(start)
        if interval_s < 0.0:
            raise ValueError(f"interval_s must not be negative: interval_s={interval_s}")
        position = start if start >= 0 else max(0, self._count() + start)
        return self._follow(position, timeout_s, interval_s, max_records)

    def _follow(self, position, timeout_s, interval_s, max_records):
        waiting_since = time.monotonic()
        seen = 0
        while True:
            count = self._count()
            if count < seen:
                raise CorruptDataError(
                    f"a repair has dropped records that were read before (open the store again): path={self._path}, "
                    f"count={count}, read={seen}"
                )
            seen = count
            if count > position:
                stop = count if max_records is None else min(count, position + max_records)
                yield self._array(position, stop)
                position = stop
                waiting_since = time.monotonic()
            else:
                if timeout_s is not None and time.monotonic() - waiting_since >= timeout_s:
                    return
                # A signal that came outside the sleep waits for somebody to look, and no bytecode runs in this loop.
                PyErr_CheckSignals()
                time.sleep(interval_s)

    # ---- looking after it

    def verify(self):
        """Check every block against its checksum.

        Returns
        -------
        StoreReport
            ``reason`` is empty where everything is as it was written.

        Raises
        ------
        CorruptDataError
            The file was cut while it was open. Other damage is in the report. (Opening raises.)

        Notes
        -----
        **Thread safety**: any thread, while the writer appends.
        """
        self._enter()
        try:
            self._count()
            return self._scan(True)[1]
        finally:
            self._leave()

    def info(self):
        """Return what there is to know about the store, as a dict.

        Returns
        -------
        dict
            ``path``, ``mode``, ``version``, ``records``, ``record_size``, ``dtype``, ``time_field``, ``segment_records``,
            ``segments``, ``block_records``, ``file_bytes``, ``created_ns``, ``segment_id``, ``salt``, ``schema_hash``, ``epoch`` (writers so
            far), ``writer_pid`` (0: none), ``synced`` (records in the last checkpoint), ``sync``, ``recovery``.
        """
        self._enter()
        try:
            return self._info()
        finally:
            self._leave()

    def _info(self):
        cdef whole_t* s = <whole_t*> self._s
        count = self._count()
        return {
            "path": self._path,
            "mode": self._mode,
            "version": self._header.version,
            "records": count,
            "record_size": s.record_size,
            "dtype": self._dtype,
            "time_field": self._time_field,
            "segment_records": s.segment_records,
            "segments": load_acquire(&s.segments),
            "block_records": s.block_records,
            "file_bytes": self._bytes(),
            "created_ns": self._header.created_ns,
            "segment_id": self._header.segment_id,
            "salt": s.salt,
            "schema_hash": self._header.schema_hash,
            "epoch": s.control.epoch,
            "writer_pid": s.control.writer_pid,
            "synced": fc_store_last_checkpoint(s).count,
            "sync": self._sync_policy,
            "recovery": self._recovery,
        }

    def __repr__(self):
        state = f"{min(fc_store_published(<whole_t*> self._s), self._frozen)} records" if self._open else "closed"
        return f"TickStore({self._path!r}, mode={self._mode!r}, {state})"

    def _valid_runs(self):
        # Arrays of the records of every valid block.
        cdef whole_t* s = <whole_t*> self._s
        cdef uint64_t block, blocks, readable, word, first
        blocks, readable = self._extent()
        for block in range(blocks):
            word = load_acquire(fc_store_word(s, block))
            first = block * s.block_records
            if word >> 32 and word >> 32 <= s.block_records and first + (word >> 32) <= readable:
                if fc_store_block_valid(s, block, word):
                    yield self._array(first, first + (word >> 32))


def _frozen(records):
    records.flags.writeable = False
    return records


def _taken(records, mask):
    # By whole rows: by fields, NumPy leaves the padding to chance.
    return _frozen(records.view(f"V{records.dtype.itemsize}")[mask].view(records.dtype))


def salvage(source, destination):
    """Copy every block that matches its checksum into a new store; the damaged one is left as it is.

    Parameters
    ----------
    source, destination : str or os.PathLike
        A store that may be damaged anywhere but in its header; a path that does not exist.

    Returns
    -------
    StoreReport
        ``records`` copied and ``dropped_records`` that the store had published and that are lost.

    Raises
    ------
    CorruptDataError, LayoutError
        The header is damaged.
    FileExistsError
        `destination` exists.
    """
    cdef TickStore old, new
    cdef uint64_t promised
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StoreWarning)  # the report says it
        old = TickStore(source, "r", salvage=True)
    with old:
        damage = old.verify()
        new = TickStore(destination, "x", old.dtype, segment_records=old._header.segment_records, time_field=old._time_field)
        with new:
            for run in old._valid_runs():
                new._append_array(run, False)
            copied = new.count
        promised = max(fc_store_published(<whole_t*> old._s), fc_store_last_checkpoint(<whole_t*> old._s).count)
        lost = max(int(promised), damage.records, copied) - copied
        size = old.dtype.itemsize
        return StoreReport(copied, copied * size, lost, lost * size, damage.reason)
