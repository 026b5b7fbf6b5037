# cython: freethreading_compatible=True
"""Rings between threads and processes: one producer, one consumer or several, no lock, records moved whole.

Every slot holds one fixed-size record, whose first eight bytes ``seq`` are its publication number (1, 2, 3, ...). The
producer stores it last, with release order, so the consumer needs no shared index to see a new record, and the two sides
share a cache line only where they exchange data. The memory is private to the process or named shared memory.

========================  =========================================================================================
:class:`RingBuffer`       one producer and one consumer
:class:`BroadcastRing`    one producer, several :class:`BroadcastConsumer`, each of which gets every record
:class:`LockFreeRingBuffer`  floats, with the calls of the replaced engine
========================  =========================================================================================

Nothing is ever dropped in silence: a full ring refuses (``try_`` calls return what was accepted) or waits; an overrun ring,
which never waits, makes the consumer raise :class:`~fastcore.errors.OverrunError` with the number of records lost.
"""

import atexit
import errno
import math
import operator
import os
import re
import weakref

import numpy as np

cimport cython
cimport numpy as cnp
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.exc cimport PyErr_CheckSignals
from cpython.float cimport PyFloat_CheckExact
from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memset

from fastcore.records cimport fc_alloc, fc_free, load_acquire, load_relaxed, store_relaxed, store_release, compare_exchange

from fastcore.errors import LayoutError, OverrunError, PeerDeadError, RingError
from fastcore.records import EVENT_DTYPE

cnp.import_array()

__all__ = ["BroadcastConsumer", "BroadcastRing", "LockFreeRingBuffer", "RingBuffer"]


cdef extern from "fc_shm.h" nogil:
    ctypedef struct shm_t "fc_shm_t":
        void* address
        size_t bytes

    int shm_create "fc_shm_create"(shm_t*, const char* name, size_t bytes)
    int shm_publish "fc_shm_publish"(shm_t*)
    int shm_attach "fc_shm_attach"(shm_t*, const char* name, size_t least)
    void shm_unmap "fc_shm_unmap"(shm_t*)
    int shm_unlink "fc_shm_unlink"(const char* name)
    void shm_unlink_own "fc_shm_unlink_own"(const shm_t*)
    uint64_t process_of "fc_process_of"(uint64_t pid)
    uint64_t process_id "fc_process_id"()
    bint process_alive "fc_process_alive"(uint64_t identity)
    int64_t wait_now_ns "fc_wait_now_ns"()
    void wait_sleep "fc_wait_sleep"(int64_t ns)
    void wait_step "fc_wait_step"(int strategy, uint32_t step)


cdef extern from "numpy/arrayobject.h":
    ctypedef struct PyTypeObject
    ctypedef struct PyArray_Descr
    object PyArray_NewFromDescr(PyTypeObject*, PyArray_Descr*, int, cnp.npy_intp*, cnp.npy_intp*, void*, int, PyObject*)

_WAITS = {"spin": 0, "yield": 1, "sleep": 2}
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")
_LARGEST_BYTES = 1 << 40
# Signals are looked at this often while waiting; peers of a shared ring every fifth time.
cdef int64_t SLICE_NS = 20_000_000
# Batches of at least this many records are copied without the GIL; below, giving it up costs more than the copy.
cdef size_t NOGIL_RECORDS = 512


cdef extern from *:
    """
    /* A reference that the caller now owns. */
    static inline PyObject *fc_owned(void *p) { return (PyObject *)p; }
    """
    object owned "fc_owned"(void*)


# ---- checks at the boundary


cdef object _check_capacity(object capacity, str what):
    value = operator.index(capacity)
    if isinstance(capacity, bool):
        raise TypeError(f"{what} must be an integer: {what}={capacity!r}")
    if value < 2 or value & (value - 1):
        raise ValueError(f"{what} must be a power of two, 2 or more: {what}={value}")
    return value


cdef cnp.dtype _check_dtype(object dtype):
    d = np.dtype(EVENT_DTYPE if dtype is None else dtype)
    if d.names is None or not d.names or d.fields[d.names[0]][0] != np.dtype(np.uint64) or d.names[0] != "seq":
        raise TypeError(f"the first field of a record must be seq, native uint64: dtype={d}")
    if d.fields["seq"][1] != 0:
        raise TypeError(f"seq must lie at offset 0: dtype={d}")
    if d.hasobject:
        raise TypeError(f"records must not hold Python objects: dtype={d}")
    if d.itemsize % 8 or d.itemsize < 16 or d.itemsize > 1 << 20:
        raise ValueError(f"a record must take a multiple of 8 bytes, 16 to 1048576: itemsize={d.itemsize}")
    for name in d.names[1:]:
        if d.fields[name][1] < 8:
            raise TypeError(f"no field may overlap seq: field={name}, offset={d.fields[name][1]}")
    return d


def _canonical(dtype):
    # The layout as text, the same in every process and NumPy version.
    if dtype.subdtype is not None:
        return f"{_canonical(dtype.subdtype[0])}{dtype.subdtype[1]}"
    if dtype.names is None:
        return dtype.str
    fields = ",".join(f"{name}:{dtype.fields[name][1]}:{_canonical(dtype.fields[name][0])}" for name in dtype.names)
    return f"({fields};{dtype.itemsize})"


cdef uint64_t _dtype_hash(object dtype):
    # FNV-1a, 64 bits.
    cdef uint64_t h = <uint64_t> 0xcbf29ce484222325
    cdef unsigned char b
    for b in _canonical(dtype).encode():
        h = (h ^ b) * <uint64_t> 0x100000001b3
    return h


cdef object _payload(cnp.dtype dtype):
    # The record without seq, to be laid over the bytes from offset 8 on: no assignment can touch the commit word.
    names = dtype.names[1:]
    return np.dtype(
        {
            "names": list(names),
            "formats": [dtype.fields[name][0] for name in names],
            "offsets": [dtype.fields[name][1] - 8 for name in names],
            "itemsize": dtype.itemsize - 8,
        }
    )


cdef bytes _check_name(object name):
    if not isinstance(name, str):
        raise TypeError(f"name must be str: name={name!r}")
    if not _NAME.fullmatch(name):
        raise ValueError(f"name must be 1 to 200 letters, digits, '_', '-', '.', not starting with '.' or '-': name={name!r}")
    return name.encode()


cdef int _check_wait(object wait) except -1:
    try:
        return _WAITS[wait]
    except (KeyError, TypeError):
        raise ValueError(f"wait must be 'spin', 'yield' or 'sleep': wait={wait!r}") from None


cdef int64_t _deadline(object timeout) except -1:
    # Monotonic ns at which waiting ends; INT64_MAX for never.
    if timeout is None:
        return <int64_t> 0x7fffffffffffffff
    cdef double seconds = timeout
    if not seconds >= 0.0:
        raise ValueError(f"timeout must be 0 or more seconds, or None: timeout={timeout}")
    if seconds > 1e9:
        return <int64_t> 0x7fffffffffffffff
    return wait_now_ns() + <int64_t> (seconds * 1e9)


cdef cnp.ndarray _check_array(object array, cnp.dtype dtype, str what, bint write):
    if not cnp.PyArray_Check(array):
        raise TypeError(f"{what} must be a NumPy array: type={type(array).__name__}")
    cdef cnp.ndarray a = <cnp.ndarray> array
    if cnp.PyArray_NDIM(a) != 1:
        raise ValueError(f"{what} must have one dimension: shape={tuple(array.shape)}")
    if <void*> cnp.PyArray_DESCR(a) != <void*> dtype and not _same(array.dtype, dtype):
        raise TypeError(f"{what} must hold the records of the ring: dtype={array.dtype}, ring={dtype}")
    if not cnp.PyArray_IS_C_CONTIGUOUS(a):
        raise ValueError(f"{what} must be contiguous: strides={tuple(array.strides)}, itemsize={array.itemsize}")
    if write and not cnp.PyArray_ISWRITEABLE(a):
        raise ValueError(f"{what} must be writable: writeable=False")
    return a


cdef bint _same(object a, object b):
    return a == b and a.itemsize == b.itemsize


cdef size_t _check_count(object count, str what) except? <size_t> -1:
    value = operator.index(count)
    if value < 0:
        raise ValueError(f"{what} must be 0 or more: {what}={value}")
    return value


cdef _raise_closed(ring_t* r):
    raise RingError(f"the ring is closed: published={load_relaxed(&r.head)}")


# ---- waiting, without the GIL


cdef inline uint64_t _room(ring_t* r) noexcept nogil:
    # The producer's: free slots, reading the consumer's cursor again; counts nothing.
    if r.kind == RING_SINGLE:
        r.seen = load_acquire(&r.tail)
        return r.mask + 1 - (load_relaxed(&r.head) - r.seen)
    if r.kind == RING_OVERRUN:
        return r.mask + 1
    return broadcast_room(r)


# 0: there is room. 1: closed. 2: `until` came first.
cdef int _wait_room(ring_t* r, int strategy, int64_t until) noexcept nogil:
    cdef uint32_t step = 0
    while True:
        if load_acquire(&r.closed):
            return 1
        if _room(r):
            return 0
        wait_step(strategy, step)
        step += 1
        if (strategy == 2 or step & 63 == 0) and wait_now_ns() >= until:
            return 2


# The same for a record after `position`; closed only when all records have been read.
cdef int _wait_record(ring_t* r, uint64_t position, int strategy, int64_t until) noexcept nogil:
    cdef uint64_t* slot = ring_slot(r, position)
    cdef uint64_t found
    cdef uint64_t writing = <uint64_t> 1 << 63
    cdef uint32_t step = 0
    cdef bint closed
    while True:
        closed = load_acquire(&r.closed) != 0  # before the slot: a record published before the close is seen
        found = load_acquire(slot)
        if found & ~writing > position and found != (position + 1) | writing:
            return 0  # ours, or a later one: the read that follows tells
        if closed:
            return 1
        wait_step(strategy, step)
        step += 1
        if (strategy == 2 or step & 63 == 0) and wait_now_ns() >= until:
            return 2


# ---- handles


_named = weakref.WeakSet()


def _unlink_at_exit():
    # Names only: threads may still use the memory, and deallocation may not come.
    for ring in list(_named):
        ring.detach()


atexit.register(_unlink_at_exit)


cdef class _Handle:
    """Memory, roles and waiting, common to the rings."""

    def __cinit__(self, *arguments, **keywords):
        if type(self) is _Handle:
            raise TypeError("use RingBuffer or BroadcastRing")

    def __dealloc__(self):
        if self._ring != NULL:
            self._leave()
        if self._mapping != NULL:
            shm_unmap(<shm_t*> self._mapping)
            fc_free(self._mapping)
        elif self._ring != NULL:
            fc_free(self._ring)

    def __reduce__(self):
        raise TypeError(f"a ring cannot be pickled; attach to it by name in the other process: name={self._name!r}")

    # -- making and finding memory

    cdef int _create(self, uint32_t kind, object capacity, object dtype, uint64_t consumers, object name) except -1:
        cdef cnp.dtype d = _check_dtype(dtype)
        n = _check_capacity(capacity, "capacity")
        total = RING_HEAD_BYTES + consumers * sizeof(cursor_t) + n * d.itemsize
        if total > _LARGEST_BYTES:
            raise ValueError(f"capacity times record size must stay below 2**40 bytes: capacity={n}, itemsize={d.itemsize}")
        self._dtype, self._payload_dtype, self._name = d, _payload(d), name
        self._identity = process_of(process_id())
        if name is None:
            self._ring = <ring_t*> fc_alloc(total, 1)
            if self._ring == NULL:
                raise MemoryError(f"no memory for the ring: capacity={n}, itemsize={d.itemsize}")
            self._describe(kind, n, consumers, total)
            return 0
        encoded = _check_name(name)
        self._mapping = fc_alloc(1, sizeof(shm_t))
        if self._mapping == NULL:
            raise MemoryError(f"no memory for the ring: name={name}")
        for again in range(2):
            code = shm_create(<shm_t*> self._mapping, encoded, total)
            if code == 0:
                self._ring = <ring_t*> (<shm_t*> self._mapping).address
                self._describe(kind, n, consumers, total)
                code = shm_publish(<shm_t*> self._mapping)
                if code == 0:
                    _named.add(self)
                    return 0
                self._ring = NULL
                shm_unmap(<shm_t*> self._mapping)
            if code != errno.EEXIST:
                raise OSError(code, f"{os.strerror(code)}: bytes={total}, name", name)
            if again or not _remove_dead(encoded):
                raise FileExistsError(
                    code, f"a ring of this name is in use, or holds records that nobody read (attach, or unlink it): name", name
                )

    cdef void _describe(self, uint32_t kind, uint64_t capacity, uint64_t consumers, uint64_t total):
        cdef ring_t* r = self._ring
        r.version = RING_VERSION
        r.byte_order = RING_BYTE_ORDER
        r.kind = kind
        r.record_bytes = self._dtype.itemsize
        r.dtype_hash = _dtype_hash(self._dtype)
        r.capacity_records = capacity
        r.consumers = consumers
        r.total_bytes = total
        r.mask = capacity - 1
        r.size = self._dtype.itemsize
        r.slots_offset = RING_HEAD_BYTES + consumers * sizeof(cursor_t)
        r.creator = self._identity
        # Held before the name is there: without a living holder another creator takes the ring for a dead one and removes it.
        r.producer = self._identity if self._producer else 0
        r.consumer = self._identity if self._consumer else 0
        store_release(&r.magic, RING_MAGIC)

    cdef int _attach(self, object kinds, object name, object dtype, object capacity) except -1:
        cdef cnp.dtype d = _check_dtype(dtype)
        cdef ring_t* r
        encoded = _check_name(name)
        self._dtype, self._payload_dtype, self._name = d, _payload(d), name
        self._identity = process_of(process_id())
        self._mapping = fc_alloc(1, sizeof(shm_t))
        if self._mapping == NULL:
            raise MemoryError(f"no memory for the ring: name={name}")
        cdef shm_t* m = <shm_t*> self._mapping
        code = shm_attach(m, encoded, RING_HEAD_BYTES)
        if code:
            raise OSError(code, os.strerror(code), name)
        if m.address == NULL:
            raise LayoutError(f"shared memory must hold a ring's head: name={name}, bytes={m.bytes}, head={RING_HEAD_BYTES}")
        r = <ring_t*> m.address
        for _ in range(100):  # where memory has a name before it is complete
            if load_acquire(&r.magic) != 0:
                break
            wait_sleep(1_000_000)
        wanted = {
            "magic": (r.magic, RING_MAGIC),
            "version": (r.version, RING_VERSION),
            "byte order": (r.byte_order, RING_BYTE_ORDER),
        }
        for field, (found, asked) in wanted.items():
            if found != asked:
                raise LayoutError(f"shared memory must have the {field} of a ring: name={name}, found={found:#x}, asked={asked:#x}")
        if r.kind not in kinds:
            raise LayoutError(f"shared memory must hold this kind of ring: name={name}, found={r.kind}, asked={kinds}")
        wanted = {
            "record size": (r.record_bytes, d.itemsize),
            "dtype hash": (r.dtype_hash, _dtype_hash(d)),
            "capacity": (r.capacity_records, r.capacity_records if capacity is None else _check_capacity(capacity, "capacity")),
        }
        for field, (found, asked) in wanted.items():
            if found != asked:
                raise LayoutError(f"the ring must have the {field} asked for: name={name}, found={found}, asked={asked}")
        if not _fits(r, m.bytes):
            raise LayoutError(
                f"a ring's geometry must fit its memory: name={name}, capacity={r.capacity_records}, record size={r.record_bytes}, "
                f"consumers={r.consumers}, mask={r.mask}, total={r.total_bytes}, bytes={m.bytes}"
            )
        self._ring = r
        _named.add(self)
        return 0

    cdef int _take(self, uint64_t* role, str what) except -1:
        # One live process holds a role; the role of a dead one can be taken over.
        cdef uint64_t holder = load_acquire(role)
        while True:
            if holder and process_alive(holder):
                raise RingError(f"a ring has one {what}: name={self._name}, pid={holder >> 32}")
            if compare_exchange(role, &holder, self._identity):
                return 0

    cdef void _leave(self) noexcept:
        # Give up roles; the last to leave removes the name, unless records wait for a consumer that is yet to come.
        cdef ring_t* r = self._ring
        cdef uint64_t mine = self._identity
        cdef bint producer = self._producer
        cdef bint consumer = self._consumer
        if self._detached:
            return
        self._detached = True
        self._producer = self._consumer = False
        # A forked child is not the process that holds the roles.
        if self._mapping == NULL or self._identity >> 32 != process_id():
            return
        if producer:
            compare_exchange(&r.producer, &mine, 0)
        mine = self._identity
        if consumer:
            compare_exchange(&r.consumer, &mine, 0)
        if not _anyone(r) and not (producer and _unread(r)):
            shm_unlink_own(<shm_t*> self._mapping)

    def detach(self):
        """Give up this handle: its role is free, and the last process to detach removes the name.

        Records that no consumer has read keep the name alive: a consumer may attach later, or ``unlink`` destroys them.
        The memory itself is unmapped when the handle and the last view on it are gone. Detaching twice is allowed.

        **Thread safety**: call it when no other thread is inside a call of this handle.
        """
        self._leave()

    def close(self):
        """Refuse further records; the consumer reads what is there and then gets :class:`~fastcore.errors.RingError`.

        Either side may close, usually the producer. Closing twice is allowed. A push or commit that overlaps a close from the
        other side may still be accepted: a consumer that closes reads on until the error, and ``len`` tells what is left.

        **Thread safety**: any thread, any process.
        """
        store_release(&self._ring.closed, 1)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self._producer or self._consumer:
            self.close()
        self.detach()

    def __len__(self):
        return self._waiting()

    cdef object _waiting(self):
        # Tail first: it never exceeds a head read after it.
        cdef uint64_t tail = load_acquire(&self._ring.tail)
        return min(load_acquire(&self._ring.head) - tail, self._ring.mask + 1)

    @property
    def capacity(self):
        """Records that fit."""
        return self._ring.mask + 1

    @property
    def dtype(self):
        """Layout of a record."""
        return self._dtype

    @property
    def name(self):
        """Name of the shared memory, or None."""
        return self._name

    @property
    def closed(self):
        """Whether the ring refuses further records; those already there can still be read."""
        return ring_closed(self._ring)

    @property
    def published(self):
        """Records published since the ring was created: the ``seq`` of the newest."""
        return load_acquire(&self._ring.head)

    @property
    def full(self):
        """Calls of the producer that found less room than they asked for."""
        return load_relaxed(&self._ring.full)

    @property
    def producer_pid(self):
        """Process id of the producer of a shared ring; None where there is none."""
        return (load_acquire(&self._ring.producer) >> 32) or None

    @property
    def producer_alive(self):
        """Whether the producer's process runs (its pid with the same start time); None where no process has the role."""
        cdef uint64_t holder = load_acquire(&self._ring.producer)
        return bool(process_alive(holder)) if holder else None

    # -- the producer's calls

    cdef int _check_producer(self) except -1:
        if not self._producer:
            raise RingError(f"this handle is not the producer: name={self._name}, detached={bool(self._detached)}")
        return 0

    cdef size_t _push(self, const void* records, size_t count) noexcept nogil:
        if self._ring.kind == RING_SINGLE:
            return ring_try_push_batch(self._ring, records, count)
        return broadcast_try_push_batch(self._ring, records, count)

    cdef size_t _push_released(self, const void* records, size_t count) noexcept:
        # Long copies run without the GIL, so that the other side runs meanwhile.
        cdef size_t done
        if count < NOGIL_RECORDS:
            return self._push(records, count)
        with nogil:
            done = self._push(records, count)
        return done

    cdef int _block_room(self, int64_t deadline, int strategy) except -1:
        # 0: there is room. Closed, timed out, interrupted, peer dead: raised.
        cdef ring_t* r = self._ring
        cdef int64_t until
        cdef int code
        cdef int slices = 0
        while True:
            until = min(wait_now_ns() + SLICE_NS, deadline)
            with nogil:
                code = _wait_room(r, strategy, until)
            if code == 0:
                return 0
            if code == 1:
                _raise_closed(r)
            PyErr_CheckSignals()
            if wait_now_ns() >= deadline:
                raise TimeoutError(f"no room before the timeout: capacity={r.mask + 1}, published={load_relaxed(&r.head)}")
            slices += 1
            if self._mapping != NULL and slices % 5 == 0:
                self._check_consumers(r)

    cdef int _check_consumers(self, ring_t* r) except -1:
        cdef uint64_t holder
        cdef cursor_t* c = ring_cursors(r)
        if r.kind == RING_SINGLE:
            holder = load_acquire(&r.consumer)
            if holder and not process_alive(holder) and not _room(r):
                raise PeerDeadError(f"the consumer is gone: name={self._name}, pid={holder >> 32}, unread={self._waiting()}")
            return 0
        for i in range(r.consumers):
            holder = load_acquire(&c[i].owner)
            if holder and not process_alive(holder) and not _room(r):
                raise PeerDeadError(f"a consumer is gone, evict_dead() lets go of it: name={self._name}, pid={holder >> 32}")
        return 0

    cdef size_t _copy_in(self, object record) except? <size_t> -1:
        # One record from an np.void, a one-element array or bytes.
        cdef Py_buffer view
        cdef size_t done
        if isinstance(record, (np.void, np.ndarray)):
            if not _same(record.dtype, self._dtype) or record.size != 1:
                raise TypeError(f"record must be one record of the ring: dtype={record.dtype}, size={record.size}, ring={self._dtype}")
            record = record.tobytes()
        PyObject_GetBuffer(record, &view, PyBUF_SIMPLE)
        try:
            if <size_t> view.len != self._ring.size:
                raise ValueError(f"record must have the size of a slot: bytes={view.len}, itemsize={self._ring.size}")
            done = self._push(view.buf, 1)
        finally:
            PyBuffer_Release(&view)
        return done

    def try_push(self, record):
        """Publish one record if there is room.

        Parameters
        ----------
        record : numpy.void, numpy.ndarray of one element, or bytes-like
            The record; its ``seq`` is replaced by the publication number.

        Returns
        -------
        bool
            False when the ring is full (counted in ``full``).

        Raises
        ------
        RingError
            If the ring is closed, or this handle is not the producer.
        TypeError, ValueError
            If the record has another layout or size.

        **Thread safety**: one producer thread; no call may overlap another producer call.
        """
        self._check_producer()
        if self._copy_in(record):
            return True
        if ring_closed(self._ring):
            _raise_closed(self._ring)
        return False

    def push(self, record, timeout=None, wait=None):
        """Publish one record, waiting for room.

        Parameters
        ----------
        record : numpy.void, numpy.ndarray of one element, or bytes-like
        timeout : float, optional
            Seconds, 0 or more; None waits for ever.
        wait : {"spin", "yield", "sleep"}, optional
            How to wait; the ring's own way by default. All release the GIL and react to signals within 20 ms.

        Raises
        ------
        TimeoutError
            If there was no room in time; nothing was published.
        RingError
            If the ring is closed, or this handle is not the producer.
        PeerDeadError
            If the ring is full and the process of its consumer no longer exists.

        **Thread safety**: one producer thread; no call may overlap another producer call.
        """
        cdef int strategy = self._wait if wait is None else _check_wait(wait)
        cdef int64_t deadline = _deadline(timeout)
        while not self.try_push(record):
            self._block_room(deadline, strategy)

    def try_push_batch(self, records):
        """Publish as many of the records as there is room for, in order.

        Parameters
        ----------
        records : ndarray of shape (n,), dtype of the ring
            Contiguous; ``seq`` is not read.

        Returns
        -------
        int
            Records published: the first so many of `records`.

        Raises
        ------
        RingError
            If the ring is closed, or this handle is not the producer.
        TypeError, ValueError
            If the array has another dtype or shape or is not contiguous.

        **Thread safety**: one producer thread; no call may overlap another producer call.
        """
        cdef cnp.ndarray a
        cdef size_t count, done
        if not self._producer:
            self._check_producer()
        a = _check_array(records, self._dtype, "records", False)
        count = cnp.PyArray_DIM(a, 0)
        done = self._push_released(cnp.PyArray_DATA(a), count)
        if done == 0 and ring_closed(self._ring):
            _raise_closed(self._ring)
        return done

    def push_batch(self, records, timeout=None, wait=None):
        """Publish the records in order, waiting for room.

        Parameters
        ----------
        records : ndarray of shape (n,), dtype of the ring
            Contiguous; ``seq`` is not read.
        timeout : float, optional
            Seconds, 0 or more; None waits for ever.
        wait : {"spin", "yield", "sleep"}, optional
            How to wait; the ring's own way by default.

        Returns
        -------
        int
            Records published: n, or fewer when the timeout or a close came in between.

        Raises
        ------
        TimeoutError, RingError, PeerDeadError
            As for :meth:`push`, if nothing was published. After KeyboardInterrupt ``published`` tells how far it came.

        **Thread safety**: one producer thread; no call may overlap another producer call.
        """
        cdef cnp.ndarray a
        cdef const char* data
        cdef size_t count, done
        cdef int strategy
        cdef int64_t deadline
        if not self._producer:
            self._check_producer()
        a = _check_array(records, self._dtype, "records", False)
        count = cnp.PyArray_DIM(a, 0)
        data = <const char*> cnp.PyArray_DATA(a)
        done = self._push_released(data, count)
        if done == count and not (count == 0 and ring_closed(self._ring)):
            return done
        strategy = self._wait if wait is None else _check_wait(wait)
        deadline = _deadline(timeout)
        while True:
            try:
                self._block_room(deadline, strategy)
            except (TimeoutError, RingError):
                if done:
                    return done
                raise
            done += self._push_released(data + done * self._ring.size, count - done)
            if done == count:
                return done

    def try_claim(self, count=1):
        """Get free slots to write into, without a copy.

        Parameters
        ----------
        count : int, optional
            Slots wanted.

        Returns
        -------
        ndarray of shape (n,), 0 <= n <= count
            Writable view of ring memory, dtype of the ring without ``seq``. Fewer than `count` where the ring is nearly full
            or its memory ends; commit, and claim the rest. Its content is what earlier records left there.

        Raises
        ------
        RingError
            If the ring is closed, this handle is not the producer, or the ring overwrites (readers could see half a record).

        **Thread safety**: one producer thread. The view is valid until :meth:`commit`; what is written through it afterwards
        changes records that others read.
        """
        cdef size_t want = _check_count(count, "count")
        cdef size_t got = 0
        cdef void* slot
        self._check_producer()
        if self._ring.kind == RING_SINGLE:
            slot = ring_try_claim_batch(self._ring, want, &got)
        elif self._ring.kind == RING_BROADCAST:
            slot = broadcast_try_claim_batch(self._ring, want, &got)
        else:
            raise RingError("an overrun ring has no zero-copy views, because readers may meet the writer: overrun=True")
        if got == 0 and ring_closed(self._ring):
            _raise_closed(self._ring)
        self._claimed = got
        return _view(self, self._payload_dtype, got, <char*> slot + 8 if got else NULL, self._ring.size, True)

    def claim(self, count=1, timeout=None, wait=None):
        """Get at least one free slot to write into, waiting for room: :meth:`try_claim` with the waiting of :meth:`push`."""
        cdef int strategy = self._wait if wait is None else _check_wait(wait)
        cdef int64_t deadline = _deadline(timeout)
        while True:
            view = self.try_claim(count)
            if len(view) or count == 0:
                return view
            self._block_room(deadline, strategy)

    def commit(self, count=None):
        """Publish the first `count` claimed slots, all of them by default.

        Parameters
        ----------
        count : int, optional
            Slots to publish; the rest of the claim is given back.

        Raises
        ------
        RingError
            If more than the claimed slots are asked for.

        **Thread safety**: the thread that claimed.
        """
        cdef size_t n = self._claimed if count is None else _check_count(count, "count")
        self._check_producer()
        if n > self._claimed or (n == 0 and count is None):
            raise RingError(f"commit must follow a claim of as many slots: count={count}, claimed={self._claimed}")
        ring_commit_batch(self._ring, n)
        self._claimed = 0


cdef bint _fits(ring_t* r, size_t have):
    # Do the numbers of a ring's head agree with each other and with the memory? Python ints, so that nothing overflows.
    n, size, cursors = r.capacity_records, r.record_bytes, r.consumers
    head = RING_HEAD_BYTES + cursors * sizeof(cursor_t)
    return (
        n >= 2 and n & (n - 1) == 0 and r.mask == n - 1 and size >= 16 and size % 8 == 0 and r.size == size
        and r.slots_offset == head and r.total_bytes == head + n * size and have >= r.total_bytes
    )


cdef bint _anyone(ring_t* r) noexcept:
    # Does a living process hold a role?
    cdef cursor_t* c = ring_cursors(r)
    if process_alive(load_acquire(&r.producer)) or process_alive(load_acquire(&r.consumer)):
        return True
    for i in range(r.consumers):
        if process_alive(load_acquire(&c[i].owner)):
            return True
    return False


cdef bint _unread(ring_t* r) noexcept:
    # Records that wait for a consumer; an overrun ring promises nothing.
    cdef cursor_t* c = ring_cursors(r)
    cdef uint64_t head = load_acquire(&r.head)
    if r.kind == RING_SINGLE:
        return head != load_acquire(&r.tail)
    if r.kind == RING_OVERRUN:
        return False
    # With no consumer left, everything since the last scan counts as unread.
    for i in range(r.consumers):
        if load_acquire(&c[i].joined) or load_acquire(&c[i].consumed):
            return False
    return head != 0


cdef bint _remove_dead(bytes name):
    # Remove a ring that no living process uses and that holds nothing unread; what is not a ring is left alone.
    cdef shm_t* m = <shm_t*> fc_alloc(1, sizeof(shm_t))
    cdef ring_t* r
    cdef bint done = False
    if m == NULL:
        raise MemoryError(f"no memory for the ring: name={name.decode()}")
    try:
        if shm_attach(m, name, RING_HEAD_BYTES) == 0 and m.address != NULL:
            r = <ring_t*> m.address
            if load_acquire(&r.magic) == RING_MAGIC and r.version == RING_VERSION and _fits(r, m.bytes):
                if not _anyone(r) and not _unread(r):
                    shm_unlink_own(m)
                    done = True
    finally:
        shm_unmap(m)
        fc_free(m)
    return done


cdef object _view(object owner, cnp.dtype dtype, size_t count, void* data, size_t stride, bint writable):
    cdef cnp.npy_intp shape = count
    cdef cnp.npy_intp step = stride
    if count == 0:
        return np.empty(0, dtype)
    Py_INCREF(dtype)  # the call takes it over
    array = PyArray_NewFromDescr(
        <PyTypeObject*> np.ndarray, <PyArray_Descr*> dtype, 1, &shape, &step, data, cnp.NPY_ARRAY_WRITEABLE if writable else 0, NULL
    )
    Py_INCREF(owner)  # and so does this one: the view keeps the ring alive
    cnp.PyArray_SetBaseObject(array, owner)
    return array


@cython.final
cdef class RingBuffer(_Handle):
    """Ring of records between one producer and one consumer, in process or in named shared memory.

    Parameters
    ----------
    capacity : int
        Records that fit: a power of two, 2 or more.
    dtype : numpy.dtype, optional
        Structured, first field ``seq`` uint64, size a multiple of 8 bytes; the 64-byte event by default.
    name : str, optional
        Name of the shared memory to make; letters, digits, ``_``, ``-``, ``.`` (macOS: 30 at most). Private memory by default.
    role : {"both", "producer", "consumer"}, optional
        What this handle does: both ends in process, the producer in shared memory, by default.
    wait : {"spin", "yield", "sleep"}, optional
        How blocking calls wait. Spin reacts within nanoseconds and takes a core; yield gives the core to others that want it;
        sleep asks again every 50 us.

    Raises
    ------
    ValueError, TypeError
        If an argument breaks its rule.
    FileExistsError
        If a ring of that name is in use or holds records that nobody read.
    OSError
        If the memory cannot be had: all of it is reserved now, so that a full ``/dev/shm`` is this error and not a crash later.

    Notes
    -----
    **Thread safety**: one thread calls the producer's methods (push, claim, commit), one thread the consumer's (pop, peek,
    release); the counters, ``close`` and ``closed`` may be used by any. Two producers or two consumers at once corrupt
    records: give each its own ring. In shared memory each role is held by one living process; the role of a dead one
    (its pid with its start time is gone) can be taken over: the new producer continues after the last published
    record, the new consumer at the first record whose release was not published. After ``fork`` attach anew in the child.

    Processes in different pid namespaces look dead to each other. Leaving a ``with`` block closes the ring and detaches.

    Examples
    --------
    >>> ring = RingBuffer(1024)
    >>> rows = np.zeros(64, EVENT_DTYPE)
    >>> ring.push_batch(rows), ring.pop_batch(rows)
    (64, 64)
    """

    def __cinit__(self, capacity=None, dtype=None, *, name=None, role=None, wait="yield"):
        if capacity is _ATTACH:
            return
        if capacity is None:
            raise TypeError("capacity is required: capacity=None")
        self._wait = _check_wait(wait)
        role = _check_role(role, "both" if name is None else "producer")
        self._producer, self._consumer = role != "consumer", role != "producer"
        self._create(RING_SINGLE, capacity, dtype, 0, name)
        self._enter(role)

    @staticmethod
    def attach(name, dtype=None, *, capacity=None, role="consumer", wait="yield"):
        """Attach to a ring in shared memory that another process made.

        Parameters
        ----------
        name : str
        dtype : numpy.dtype, optional
            Must equal the ring's; the 64-byte event by default.
        capacity : int, optional
            If given, must equal the ring's.
        role : {"consumer", "producer", "both"}, optional
        wait : {"spin", "yield", "sleep"}, optional

        Returns
        -------
        RingBuffer

        Raises
        ------
        FileNotFoundError
            If there is no shared memory of that name.
        LayoutError
            If magic, version, byte order, kind, record size, dtype or capacity differ; the message has both values.
        RingError
            If a living process holds the role.
        """
        cdef RingBuffer self = RingBuffer.__new__(RingBuffer, _ATTACH)
        self._wait = _check_wait(wait)
        role = _check_role(role, "consumer")
        self._attach((RING_SINGLE,), name, dtype, capacity)
        self._enter(role)
        return self

    @staticmethod
    def unlink(name):
        """Remove the name of a ring, whatever its state; processes that are attached keep the memory.

        Returns
        -------
        bool
            False when there was no such name.
        """
        return _unlink(name)

    cdef int _enter(self, object role) except -1:
        cdef ring_t* r = self._ring
        if role != "consumer":
            if self._mapping != NULL and not self._producer:
                self._take(&r.producer, "producer")
            self._producer = True
            # A producer that died between its two stores has published one record more than it counted.
            while load_acquire(ring_slot(r, r.head)) == r.head + 1:
                store_relaxed(&r.head, r.head + 1)
            r.seen = load_acquire(&r.tail)
        if role != "producer":
            if self._mapping != NULL and not self._consumer:
                self._take(&r.consumer, "consumer")
            self._consumer = True
        return 0

    @property
    def role(self):
        """What this handle does: "both", "producer" or "consumer"; None when detached."""
        if self._producer:
            return "both" if self._consumer else "producer"
        return "consumer" if self._consumer else None

    @property
    def consumed(self):
        """Records consumed since the ring was created."""
        return load_acquire(&self._ring.tail)

    @property
    def consumer_pid(self):
        """Process id of the consumer of a shared ring; None where there is none."""
        return (load_acquire(&self._ring.consumer) >> 32) or None

    @property
    def consumer_alive(self):
        """Whether the consumer's process runs (its pid with the same start time); None where no process has the role."""
        cdef uint64_t holder = load_acquire(&self._ring.consumer)
        return bool(process_alive(holder)) if holder else None

    # -- the consumer's calls

    cdef int _check_consumer(self) except -1:
        if not self._consumer:
            raise RingError(f"this handle is not the consumer: name={self._name}, detached={bool(self._detached)}")
        return 0

    cdef size_t _pop(self, void* out, size_t count) noexcept:
        cdef size_t done
        if count < NOGIL_RECORDS:
            return ring_try_pop_batch(self._ring, out, count)
        with nogil:
            done = ring_try_pop_batch(self._ring, out, count)
        return done

    cdef int _drained(self) except -1:
        # Nothing was there: closed, or merely empty?
        if ring_closed(self._ring) and ring_try_peek(self._ring) == NULL:
            _raise_closed(self._ring)
        return 0

    cdef int _block_record(self, int64_t deadline, int strategy) except -1:
        cdef ring_t* r = self._ring
        cdef int64_t until
        cdef int code
        cdef int slices = 0
        cdef uint64_t holder
        while True:
            until = min(wait_now_ns() + SLICE_NS, deadline)
            with nogil:
                code = _wait_record(r, load_relaxed(&r.tail), strategy, until)
            if code == 0:
                return 0
            if code == 1:
                _raise_closed(r)
            PyErr_CheckSignals()
            if wait_now_ns() >= deadline:
                raise TimeoutError(f"no record before the timeout: consumed={load_relaxed(&r.tail)}")
            slices += 1
            if self._mapping != NULL and slices % 5 == 0:
                holder = load_acquire(&r.producer)
                if holder and not process_alive(holder) and ring_try_peek(r) == NULL:
                    raise PeerDeadError(
                        f"the producer is gone: name={self._name}, pid={holder >> 32}, consumed={load_relaxed(&r.tail)}"
                    )

    cdef size_t _take_batch(self, object out) except? <size_t> -1:
        cdef cnp.ndarray a
        cdef size_t done
        if not self._consumer:
            self._check_consumer()
        a = _check_array(out, self._dtype, "out", True)
        done = self._pop(cnp.PyArray_DATA(a), cnp.PyArray_DIM(a, 0))
        if done == 0:
            self._drained()
        return done

    def try_pop(self):
        """Take the oldest record.

        Returns
        -------
        numpy.void or None
            A copy of the record; None when the ring is empty.

        Raises
        ------
        RingError
            If the ring is closed and every record has been read, or this handle is not the consumer.

        **Thread safety**: one consumer thread; no call may overlap another consumer call.
        """
        self._check_consumer()
        if ring_try_peek(self._ring) == NULL:
            self._drained()
            return None
        out = np.empty(1, self._dtype)
        self._pop(cnp.PyArray_DATA(out), 1)
        return out[0]

    def pop(self, timeout=None, wait=None):
        """Take the oldest record, waiting for one.

        Parameters
        ----------
        timeout : float, optional
            Seconds, 0 or more; None waits for ever.
        wait : {"spin", "yield", "sleep"}, optional
            How to wait; the ring's own way by default. All release the GIL and react to signals within 20 ms.

        Returns
        -------
        numpy.void

        Raises
        ------
        TimeoutError
            If there was no record in time.
        RingError
            If the ring is closed and every record has been read, or this handle is not the consumer.
        PeerDeadError
            If the ring is empty and the process of its producer no longer exists.

        **Thread safety**: one consumer thread; no call may overlap another consumer call.
        """
        cdef int strategy = self._wait if wait is None else _check_wait(wait)
        cdef int64_t deadline = _deadline(timeout)
        while True:
            record = self.try_pop()
            if record is not None:
                return record
            self._block_record(deadline, strategy)

    def try_pop_batch(self, out):
        """Take the oldest records, as many as there are and `out` holds.

        Parameters
        ----------
        out : ndarray of shape (n,), dtype of the ring
            Contiguous and writable; the first so many rows are overwritten, ``seq`` included.

        Returns
        -------
        int
            Records taken; 0 when the ring is empty.

        Raises
        ------
        RingError
            If the ring is closed and every record has been read, or this handle is not the consumer.
        TypeError, ValueError
            If the array has another dtype or shape, is not contiguous or not writable.

        **Thread safety**: one consumer thread; no call may overlap another consumer call.
        """
        return self._take_batch(out)

    def pop_batch(self, out, timeout=None, wait=None):
        """Take at least one record, waiting for it: :meth:`try_pop_batch` with the waiting and errors of :meth:`pop`."""
        cdef size_t done = self._take_batch(out)
        cdef int strategy
        cdef int64_t deadline
        if done or len(out) == 0:
            return done
        strategy = self._wait if wait is None else _check_wait(wait)
        deadline = _deadline(timeout)
        while done == 0:
            self._block_record(deadline, strategy)
            done = self._take_batch(out)
        return done

    def try_peek(self, count=1):
        """Look at the oldest records without a copy.

        Parameters
        ----------
        count : int, optional
            Records wanted.

        Returns
        -------
        ndarray of shape (n,), 0 <= n <= count
            Read-only view of ring memory, dtype of the ring. Fewer than `count` where there are not more, or the memory ends;
            release, and peek again.

        Raises
        ------
        RingError
            If the ring is closed and every record has been read, or this handle is not the consumer.

        **Thread safety**: one consumer thread. The view keeps the ring's memory alive, but its content is valid only until
        :meth:`release`: then the producer writes there.
        """
        cdef size_t want = _check_count(count, "count")
        cdef size_t got = 0
        cdef void* slot
        self._check_consumer()
        slot = ring_try_peek_batch(self._ring, want, &got)
        if got == 0:
            self._drained()
        self._peeked = got
        return _view(self, self._dtype, got, slot, self._ring.size, False)

    def peek(self, count=1, timeout=None, wait=None):
        """Look at the oldest records, waiting for at least one: :meth:`try_peek` with the waiting and errors of :meth:`pop`."""
        cdef int strategy = self._wait if wait is None else _check_wait(wait)
        cdef int64_t deadline = _deadline(timeout)
        while True:
            view = self.try_peek(count)
            if len(view) or count == 0:
                return view
            self._block_record(deadline, strategy)

    def release(self, count=None):
        """Hand the first `count` peeked records back to the producer, all of them by default.

        Parameters
        ----------
        count : int, optional
            Records that are done with; the others can be peeked again.

        Raises
        ------
        RingError
            If more than the peeked records are named.

        **Thread safety**: the thread that peeked.
        """
        cdef size_t n = self._peeked if count is None else _check_count(count, "count")
        self._check_consumer()
        if n > self._peeked or (n == 0 and count is None):
            raise RingError(f"release must follow a peek of as many records: count={count}, peeked={self._peeked}")
        ring_release_batch(self._ring, n)
        self._peeked = 0


_ATTACH = object()  # in place of a capacity: __new__ makes an empty handle for attach()


def _check_role(role, default):
    role = default if role is None else role
    if role not in ("both", "producer", "consumer"):
        raise ValueError(f"role must be 'both', 'producer' or 'consumer': role={role!r}")
    return role


cdef object _unlink(object name):
    code = shm_unlink(_check_name(name))
    if code and code != errno.ENOENT:
        raise OSError(code, os.strerror(code), name)
    return code == 0


@cython.final
cdef class BroadcastRing(_Handle):
    """Ring of records from one producer to several consumers, each of which gets every record.

    Parameters
    ----------
    capacity : int
        Records that fit: a power of two, 2 or more.
    dtype : numpy.dtype, optional
        As for :class:`RingBuffer`.
    consumers : int, optional
        Consumers that can be joined at one time, 1 to 1024.
    overrun : bool, optional
        False: the producer waits for the slowest consumer (and, without any consumer, for the first). True: the producer
        never waits; a consumer that is overtaken gets :class:`~fastcore.errors.OverrunError`.
    name : str, optional
        Name of the shared memory to make; private memory by default.
    wait : {"spin", "yield", "sleep"}, optional
        How blocking calls wait, as for :class:`RingBuffer`.

    Notes
    -----
    **Thread safety**: one thread calls the producer's methods; each :class:`BroadcastConsumer` belongs to one thread;
    ``consumer``, ``close`` and the counters may be used by any.

    In an overrun ring a reader may meet the writer in a slot. Records are then copied word by word with atomic loads and
    the commit word is looked at again afterwards (a sequence lock), so that half a record is never returned.
    """

    def __cinit__(self, capacity=None, dtype=None, *, consumers=8, overrun=False, name=None, wait="yield"):
        if capacity is _ATTACH:
            return
        if capacity is None:
            raise TypeError("capacity is required: capacity=None")
        self._wait = _check_wait(wait)
        most = operator.index(consumers)
        if not 1 <= most <= 1024:
            raise ValueError(f"consumers must be 1 to 1024: consumers={consumers}")
        self._producer = True
        self._create(RING_OVERRUN if overrun else RING_BROADCAST, capacity, dtype, most, name)
        self._enter_producer()

    @staticmethod
    def attach(name, dtype=None, *, capacity=None, role="consumer", wait="yield"):
        """Attach to a broadcast ring in shared memory that another process made; then call :meth:`consumer`.

        Parameters
        ----------
        name : str
        dtype : numpy.dtype, optional
            Must equal the ring's; the 64-byte event by default.
        capacity : int, optional
            If given, must equal the ring's.
        role : {"consumer", "producer"}, optional
            "producer" takes over from a producer that detached or died.
        wait : {"spin", "yield", "sleep"}, optional

        Returns
        -------
        BroadcastRing

        Raises
        ------
        FileNotFoundError, LayoutError, RingError
            As for :meth:`RingBuffer.attach`.
        """
        cdef BroadcastRing self = BroadcastRing.__new__(BroadcastRing, _ATTACH)
        self._wait = _check_wait(wait)
        if role not in ("producer", "consumer"):
            raise ValueError(f"role must be 'producer' or 'consumer': role={role!r}")
        self._attach((RING_BROADCAST, RING_OVERRUN), name, dtype, capacity)
        if role == "producer":
            self._enter_producer()
        return self

    @staticmethod
    def unlink(name):
        """Remove the name of a ring, whatever its state; processes that are attached keep the memory.

        Returns
        -------
        bool
            False when there was no such name.
        """
        return _unlink(name)

    cdef int _enter_producer(self) except -1:
        cdef ring_t* r = self._ring
        if self._mapping != NULL and not self._producer:
            self._take(&r.producer, "producer")
        self._producer = True
        while load_acquire(ring_slot(r, r.head)) == r.head + 1:
            store_release(&r.head, r.head + 1)
        return 0

    @property
    def overrun(self):
        """Whether the producer overwrites what slow consumers have not read."""
        return self._ring.kind == RING_OVERRUN

    @property
    def role(self):
        """"producer" or "consumer"; None when detached."""
        return None if self._detached else "producer" if self._producer else "consumer"

    cdef object _waiting(self):
        # Records that the slowest consumer has not read; all of them where there is no consumer.
        cdef uint64_t head = load_acquire(&self._ring.head)
        positions = [row["position"] for row in self.consumers]
        return min(head - min(positions, default=0), self._ring.mask + 1)

    @property
    def consumers(self):
        """Consumers that are joined: a list of dicts with ``id``, ``pid``, ``alive``, ``position``, ``consumed``, ``lost``."""
        cdef cursor_t* c = ring_cursors(self._ring)
        cdef uint64_t holder
        rows = []
        for i in range(self._ring.consumers):
            holder = load_acquire(&c[i].owner)
            if holder and load_acquire(&c[i].active):
                rows.append(
                    {
                        "id": i,
                        "pid": holder >> 32,
                        "alive": bool(process_alive(holder)),
                        "position": load_acquire(&c[i].position),
                        "consumed": load_relaxed(&c[i].consumed),
                        "lost": load_relaxed(&c[i].lost),
                    }
                )
        return rows

    def consumer(self, start="oldest"):
        """Join as a consumer.

        Parameters
        ----------
        start : {"oldest", "latest"}, optional
            The first record to get: the oldest that the ring still holds, or the next that is published.

        Returns
        -------
        BroadcastConsumer

        Raises
        ------
        RingError
            If as many consumers as the ring allows are joined, or this handle is detached.

        **Thread safety**: any thread.
        """
        cdef ring_t* r = self._ring
        cdef cursor_t* c = ring_cursors(r)
        cdef uint64_t nobody
        cdef BroadcastConsumer made
        if start not in ("oldest", "latest"):
            raise ValueError(f"start must be 'oldest' or 'latest': start={start!r}")
        if self._detached:
            raise RingError(f"this handle is detached: name={self._name}")
        for i in range(r.consumers):
            nobody = 0
            if load_relaxed(&c[i].owner) == 0 and compare_exchange(&c[i].owner, &nobody, self._identity):
                broadcast_join(r, &c[i], start == "latest")
                made = BroadcastConsumer.__new__(BroadcastConsumer, _ATTACH)
                made._broadcast, made._ring, made._cursor = self, r, &c[i]
                return made
        raise RingError(f"the ring has all the consumers it allows: consumers={r.consumers}")

    def evict_dead(self):
        """Let go of consumers whose process no longer exists, so that the producer does not wait for them.

        Returns
        -------
        int
            Consumers let go.

        **Thread safety**: any thread, any process.
        """
        cdef cursor_t* c = ring_cursors(self._ring)
        cdef uint64_t holder
        cdef int gone = 0
        for i in range(self._ring.consumers):
            holder = load_acquire(&c[i].owner)
            if holder and not process_alive(holder):
                gone += _let_go(&c[i], holder)
        return gone


cdef bint _let_go(cursor_t* c, uint64_t holder) noexcept:
    # Only one caller wins the exchange; the cursor is free for others after the last store.
    if not compare_exchange(&c.owner, &holder, 1):
        return False
    store_release(&c.active, 0)
    store_release(&c.owner, 0)
    return True


@cython.final
cdef class BroadcastConsumer:
    """One consumer of a :class:`BroadcastRing`, made by :meth:`BroadcastRing.consumer`.

    **Thread safety**: one thread. Leaving (:meth:`detach`, ``with``, or deallocation) lets the producer go on without it.
    """

    def __cinit__(self, token=None):
        if token is not _ATTACH:
            raise TypeError("a consumer is made by BroadcastRing.consumer()")

    def __dealloc__(self):
        if self._broadcast is not None:
            self._leave()

    def __reduce__(self):
        raise TypeError("a consumer cannot be pickled; attach to the ring by name in the other process")

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.detach()

    cdef void _leave(self) noexcept:
        cdef BroadcastRing b = self._broadcast
        if self._detached:
            return
        self._detached = True
        if b._mapping != NULL and b._identity >> 32 != process_id():
            return
        _let_go(self._cursor, b._identity)
        if b._mapping != NULL and not _anyone(self._ring) and not _unread(self._ring):
            shm_unlink_own(<shm_t*> b._mapping)

    def detach(self):
        """Leave the ring; the producer no longer waits for this consumer. Detaching twice is allowed."""
        self._leave()

    def __len__(self):
        return min(load_acquire(&self._ring.head) - load_relaxed(&self._cursor.position), self._ring.mask + 1)

    @property
    def ring(self):
        """The ring that this consumer reads."""
        return self._broadcast

    @property
    def position(self):
        """``seq`` of the last record read or skipped."""
        return load_relaxed(&self._cursor.position)

    @property
    def consumed(self):
        """Records read by this consumer."""
        return load_relaxed(&self._cursor.consumed)

    @property
    def lost(self):
        """Records that this consumer never saw, because they were overwritten or skipped by :meth:`resynchronise`."""
        return load_relaxed(&self._cursor.lost)

    cdef int _check(self) except -1:
        if self._detached:
            raise RingError(f"this consumer is detached: name={self._broadcast._name}")
        return 0

    cdef size_t _pop(self, void* out, size_t count) except? <size_t> -1:
        cdef bint overrun = False
        cdef size_t done
        if count < NOGIL_RECORDS:
            done = broadcast_try_pop_batch(self._ring, self._cursor, out, count, &overrun)
        else:
            with nogil:
                done = broadcast_try_pop_batch(self._ring, self._cursor, out, count, &overrun)
        if done == 0 and overrun:
            lost = broadcast_skip(self._ring, self._cursor, (self._ring.mask + 1) >> 1)
            error = OverrunError(
                f"the producer overtook this consumer: lost={lost}, position={self._cursor.position}, total lost={self._cursor.lost}"
            )
            error.lost = lost
            raise error
        return done

    cdef int _drained(self) except -1:
        if ring_closed(self._ring) and load_acquire(ring_slot(self._ring, self._cursor.position)) != self._cursor.position + 1:
            if load_acquire(&self._ring.head) == self._cursor.position:
                _raise_closed(self._ring)
        return 0

    cdef int _block_record(self, int64_t deadline, int strategy) except -1:
        cdef ring_t* r = self._ring
        cdef int64_t until
        cdef int code
        cdef int slices = 0
        cdef uint64_t holder
        while True:
            until = min(wait_now_ns() + SLICE_NS, deadline)
            with nogil:
                code = _wait_record(r, load_relaxed(&self._cursor.position), strategy, until)
            if code == 0:
                return 0
            if code == 1:
                _raise_closed(r)
            PyErr_CheckSignals()
            if wait_now_ns() >= deadline:
                raise TimeoutError(f"no record before the timeout: position={load_relaxed(&self._cursor.position)}")
            slices += 1
            if self._broadcast._mapping != NULL and slices % 5 == 0:
                holder = load_acquire(&r.producer)
                if holder and not process_alive(holder) and load_acquire(&r.head) == load_relaxed(&self._cursor.position):
                    raise PeerDeadError(f"the producer is gone: name={self._broadcast._name}, pid={holder >> 32}")

    def try_pop(self):
        """Take the next record.

        Returns
        -------
        numpy.void or None
            A copy of the record; None when there is none.

        Raises
        ------
        OverrunError
            If records were overwritten before this consumer read them: attribute ``lost`` has how many were skipped; they are
            counted in :attr:`lost`, and the next call goes on with half a ring of records still ahead.
        RingError
            If the ring is closed and every record has been read, or this consumer is detached.
        """
        self._check()
        out = np.empty(1, self._broadcast._dtype)
        if self._pop(cnp.PyArray_DATA(out), 1):
            return out[0]
        self._drained()
        return None

    def pop(self, timeout=None, wait=None):
        """Take the next record, waiting for one.

        Parameters
        ----------
        timeout : float, optional
            Seconds, 0 or more; None waits for ever.
        wait : {"spin", "yield", "sleep"}, optional
            How to wait; the ring's own way by default.

        Returns
        -------
        numpy.void

        Raises
        ------
        TimeoutError
            If there was no record in time.
        OverrunError, RingError
            As for :meth:`try_pop`.
        PeerDeadError
            If there is no record and the process of the producer no longer exists.
        """
        cdef int strategy = self._broadcast._wait if wait is None else _check_wait(wait)
        cdef int64_t deadline = _deadline(timeout)
        while True:
            record = self.try_pop()
            if record is not None:
                return record
            self._block_record(deadline, strategy)

    def try_pop_batch(self, out):
        """Take the next records, as many as there are and `out` holds.

        Parameters
        ----------
        out : ndarray of shape (n,), dtype of the ring
            Contiguous and writable; the first so many rows are overwritten, ``seq`` included.

        Returns
        -------
        int
            Records taken; 0 when there are none.

        Raises
        ------
        OverrunError, RingError
            As for :meth:`try_pop`; records read before the gap are returned first.
        TypeError, ValueError
            If the array has another dtype or shape, is not contiguous or not writable.
        """
        cdef cnp.ndarray a
        cdef size_t done
        self._check()
        a = _check_array(out, self._broadcast._dtype, "out", True)
        done = self._pop(cnp.PyArray_DATA(a), cnp.PyArray_DIM(a, 0))
        if done == 0:
            self._drained()
        return done

    def pop_batch(self, out, timeout=None, wait=None):
        """Take at least one record, waiting for it: :meth:`try_pop_batch` with the waiting and errors of :meth:`pop`."""
        cdef int strategy = self._broadcast._wait if wait is None else _check_wait(wait)
        cdef int64_t deadline = _deadline(timeout)
        while True:
            done = self.try_pop_batch(out)
            if done or len(out) == 0:
                return done
            self._block_record(deadline, strategy)

    def try_peek(self, count=1):
        """Look at the next records without a copy.

        Parameters
        ----------
        count : int, optional
            Records wanted.

        Returns
        -------
        ndarray of shape (n,), 0 <= n <= count
            Read-only view of ring memory, valid until :meth:`release`; it keeps the memory alive.

        Raises
        ------
        RingError
            If the ring is closed and every record has been read, or it overwrites (the view could change while it is read).
        """
        cdef size_t want = _check_count(count, "count")
        cdef size_t got = 0
        cdef void* slot
        self._check()
        if self._ring.kind == RING_OVERRUN:
            raise RingError("an overrun ring has no zero-copy views, because readers may meet the writer: overrun=True")
        slot = broadcast_try_peek_batch(self._ring, self._cursor, want, &got)
        if got == 0:
            self._drained()
        self._peeked = got
        return _view(self, self._broadcast._dtype, got, slot, self._ring.size, False)

    def peek(self, count=1, timeout=None, wait=None):
        """Look at the next records, waiting for at least one: :meth:`try_peek` with the waiting and errors of :meth:`pop`."""
        cdef int strategy = self._broadcast._wait if wait is None else _check_wait(wait)
        cdef int64_t deadline = _deadline(timeout)
        while True:
            view = self.try_peek(count)
            if len(view) or count == 0:
                return view
            self._block_record(deadline, strategy)

    def release(self, count=None):
        """Hand the first `count` peeked records back, all of them by default.

        Raises
        ------
        RingError
            If more than the peeked records are named.
        """
        cdef size_t n = self._peeked if count is None else _check_count(count, "count")
        self._check()
        if n > self._peeked or (n == 0 and count is None):
            raise RingError(f"release must follow a peek of as many records: count={count}, peeked={self._peeked}")
        broadcast_release_batch(self._cursor, n)
        self._peeked = 0

    def resynchronise(self, keep=0):
        """Skip to the newest `keep` records, to catch up at once.

        Parameters
        ----------
        keep : int, optional
            Records still to read, at most the capacity.

        Returns
        -------
        int
            Records skipped; they are counted in :attr:`lost`.
        """
        cdef uint64_t n = _check_count(keep, "keep")
        self._check()
        if n > self._ring.mask + 1:
            raise ValueError(f"keep must be at most the capacity: keep={keep}, capacity={self._ring.mask + 1}")
        self._peeked = 0
        return broadcast_skip(self._ring, self._cursor, n)


@cython.final
cdef class LockFreeRingBuffer:
    """Ring of floats with the calls of the replaced engine, without a lock.

    Parameters
    ----------
    size : int, optional
        Values that fit: a power of two, 2 or more (another size is an error; it is not rounded).

    Notes
    -----
    **Thread safety**: one producer thread and one consumer thread. Calls do not release the GIL, so with the GIL any
    number of threads may call; on a free-threaded interpreter give each pair of threads its own ring.

    Slots carry the float objects themselves, so that neither end converts or allocates. Values come out as they went in,
    NaN and infinities included.
    """

    def __cinit__(self, size=8192):
        n = _check_capacity(size, "size")
        total = RING_HEAD_BYTES + n * 16
        if total > _LARGEST_BYTES:
            raise ValueError(f"size must stay below 2**36: size={n}")
        cdef ring_t* r = <ring_t*> fc_alloc(total, 1)
        if r == NULL:
            raise MemoryError(f"no memory for the ring: size={n}")
        self._ring = r
        r.kind = RING_SINGLE
        r.mask = n - 1
        r.size = 16
        r.slots_offset = RING_HEAD_BYTES

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
        fc_free(self._ring)

    def __reduce__(self):
        raise TypeError("a ring cannot be pickled")

    def __len__(self):
        cdef uint64_t tail = load_acquire(&self._ring.tail)
        return min(load_acquire(&self._ring.head) - tail, self._ring.mask + 1)

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
        return load_acquire(&self._ring.head)

    @property
    def consumed(self):
        """Values taken since the ring was made."""
        return load_acquire(&self._ring.tail)

    @property
    def full(self):
        """Values refused because the ring was full."""
        return load_relaxed(&self._ring.full)
