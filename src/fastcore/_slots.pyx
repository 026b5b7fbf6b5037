# cython: freethreading_compatible=True
"""What the rings share: records in slots, in private or named memory, with roles, waiting and the calls of both ends.

Every slot holds one fixed-size record, whose first eight bytes ``seq`` are its publication number (1, 2, 3, ...). The
producer stores it last, with release order, so the consumer needs no shared index to see a new record, and the two sides
share a cache line only where they exchange data. The memory is private to the process or named shared memory.
"""

import atexit
import errno
import operator
import os
import re
import weakref

import numpy as np

cimport cython
cimport numpy as cnp
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.exc cimport PyErr_CheckSignals
from cpython.ref cimport Py_INCREF, PyObject
from libc.stdint cimport int64_t, uint32_t, uint64_t

from fastcore._guard cimport alone, enter, leave
from fastcore.records cimport compare_exchange, fc_alloc, fc_free

from fastcore.errors import CorruptDataError, LayoutError, PeerDeadError, RingError
from fastcore.records import EVENT_DTYPE

cnp.import_array()

__all__ = []


cdef extern from "fc_shm.h" nogil:
    ctypedef struct shm_t "fc_shm_t":
        void* address
        size_t bytes
        unsigned uid, mode

    int shm_create "fc_shm_create"(shm_t*, const char* name, size_t bytes)
    int shm_publish "fc_shm_publish"(shm_t*)
    int shm_attach "fc_shm_attach"(shm_t*, const char* name, size_t least)
    void shm_unmap "fc_shm_unmap"(shm_t*)
    int shm_forget "fc_shm_forget"(shm_t*)
    int shm_unlink "fc_shm_unlink"(const char* name)
    void shm_unlink_own "fc_shm_unlink_own"(const shm_t*)
    uint64_t process_of "fc_process_of"(uint64_t pid)
    uint64_t process_id "fc_process_id"()
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
_NO_VIEWS = "an overrun ring has no zero-copy views, because readers may meet the writer: overrun=True"
# Signals are looked at this often while waiting; peers of a shared ring every fifth time.
cdef int64_t SLICE_NS = 20_000_000
cdef int64_t NEVER = 0x7fffffffffffffff


# ---- checks at the boundary


cdef object check_capacity(object capacity, str what):
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


cdef int check_wait(object wait) except -1:
    # The number of a way to wait.
    try:
        return _WAITS[wait]
    except (KeyError, TypeError):
        raise ValueError(f"wait must be 'spin', 'yield' or 'sleep': wait={wait!r}") from None


cdef int64_t _deadline(object timeout) except -1:
    # Monotonic ns at which waiting ends.
    if timeout is None:
        return NEVER
    cdef double seconds = timeout
    if not seconds >= 0.0:
        raise ValueError(f"timeout must be 0 or more seconds, or None: timeout={timeout}")
    if seconds > 1e9:
        return NEVER
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


cdef size_t check_count(object count, str what) except? <size_t> -1:
    value = operator.index(count)
    if value < 0:
        raise ValueError(f"{what} must be 0 or more: {what}={value}")
    return value


cdef _raise_closed(ring_t* r):
    raise RingError(f"the ring is closed: published={load_relaxed(&r.memory.head)}")


# ---- the consumer's calls


ATTACH = object()  # in place of the first argument: __new__ makes an empty handle


cdef class _Reader:
    """The calls of a consumer."""

    def __reduce__(self):
        raise TypeError(f"a ring cannot be pickled; attach to it by name in the other process: name={self._name!r}")

    def __enter__(self):
        return self

    cdef int _check_consumer(self) except -1:
        raise NotImplementedError

    cdef size_t _read(self, void* out, size_t count) except? <size_t> -1:
        # Copy out and hand back; long copies run without the GIL, so that the other side runs meanwhile.
        cdef size_t done
        if count < NOGIL_RECORDS:
            done = slots_read(self._ring, load_relaxed(self._cursor), out, count)
        else:
            enter(&self._taking)
            with nogil:
                done = slots_read(self._ring, load_relaxed(self._cursor), out, count)
            leave(&self._taking)
        if done:
            self._hand_back(done)
        return done

    cdef void _hand_back(self, size_t count) noexcept nogil:
        store_release(self._cursor, load_relaxed(self._cursor) + count)

    cdef bint _nothing(self) noexcept nogil:
        # A later number than the one that is due says that the producer has overtaken us: the read tells.
        cdef uint64_t position = load_relaxed(self._cursor)
        cdef uint64_t found = load_acquire(ring_slot(self._ring, position))
        return found & ~RING_WRITING <= position or found == (position + 1) | RING_WRITING

    cdef int _drained(self) except -1:
        # Nothing was there: closed, damaged, or merely empty?
        cdef uint64_t position = load_relaxed(self._cursor)
        cdef uint64_t found = load_acquire(ring_slot(self._ring, position))
        if found > position + 1 and self._ring.kind != RING_OVERRUN and load_relaxed(self._cursor) == position:
            raise CorruptDataError(f"a slot must hold the record that is due, or an earlier one: seq={found}, due={position + 1}")
        if ring_closed(self._ring) and self._nothing() and load_acquire(&self._ring.memory.head) <= load_relaxed(self._cursor):
            _raise_closed(self._ring)
        return 0

    cdef int _block_record(self, int64_t deadline, int strategy, bint* late) except -1:
        # There is a record to read. Closed, timed out, interrupted, peer dead: raised. `late`: there was one last time, at the
        # deadline, and yet it could not be read: no ring that is used by its rules does that again and again.
        cdef ring_t* r = self._ring
        cdef int64_t until
        cdef uint64_t holder
        cdef uint32_t step
        cdef int slices = 0
        cdef bint closed, there
        PyErr_CheckSignals()
        while not late[0]:
            until = min(wait_now_ns() + SLICE_NS, deadline)
            step = 0
            enter(&self._taking)
            with nogil:
                while True:
                    closed = ring_closed(r)  # before the slot: a record published before the close is seen
                    there = not self._nothing()
                    if there or closed:
                        break
                    wait_step(strategy, step)
                    step += 1
                    if (strategy == 2 or step & 63 == 0) and wait_now_ns() >= until:
                        break
            leave(&self._taking)
            if there:
                late[0] = wait_now_ns() >= deadline
                return 0
            if closed:
                _raise_closed(r)
            PyErr_CheckSignals()
            if wait_now_ns() >= deadline:
                break
            slices += 1
            if self._shared and slices % 5 == 0:
                holder = load_acquire(&r.memory.producer)
                if holder and not process_alive(holder) and self._nothing():
                    raise PeerDeadError(
                        f"the producer is gone: name={self._name}, pid={holder >> 32}, consumed={load_relaxed(self._cursor)}"
                    )
        raise TimeoutError(f"no record before the timeout: consumed={load_relaxed(self._cursor)}")

    cdef object _try_pop(self):
        self._check_consumer()
        if not self._nothing():
            out = np.empty(1, self._dtype)
            if self._read(cnp.PyArray_DATA(out), 1):
                return out[0]
        self._drained()
        return None

    cdef object _pop(self, object timeout, object wait):
        cdef int strategy = self._wait if wait is None else check_wait(wait)
        cdef int64_t deadline = _deadline(timeout)
        cdef bint late = False
        while True:
            record = self._try_pop()
            if record is not None:
                return record
            self._block_record(deadline, strategy, &late)

    cdef size_t _try_pop_batch(self, object out) except? <size_t> -1:
        cdef cnp.ndarray a
        cdef size_t done
        self._check_consumer()
        a = _check_array(out, self._dtype, "out", True)
        done = self._read(cnp.PyArray_DATA(a), cnp.PyArray_DIM(a, 0))
        if done == 0:
            self._drained()
        return done

    cdef size_t _pop_batch(self, object out, object timeout, object wait) except? <size_t> -1:
        cdef size_t done = self._try_pop_batch(out)
        cdef int strategy
        cdef int64_t deadline
        cdef bint late = False
        if done or len(out) == 0:
            return done
        strategy = self._wait if wait is None else check_wait(wait)
        deadline = _deadline(timeout)
        while done == 0:
            self._block_record(deadline, strategy, &late)
            done = self._try_pop_batch(out)
        return done

    cdef object _try_peek(self, object count):
        cdef size_t want = check_count(count, "count")
        cdef size_t got = 0
        cdef void* slot
        self._check_consumer()
        if self._ring.kind == RING_OVERRUN:
            raise RingError(_NO_VIEWS)
        slot = slots_peek(self._ring, load_relaxed(self._cursor), want, &got)
        if got == 0:
            self._drained()
        self._peeked = got
        return _view(self, self._dtype, got, slot, self._ring.size, False)

    cdef object _peek(self, object count, object timeout, object wait):
        cdef int strategy = self._wait if wait is None else check_wait(wait)
        cdef int64_t deadline = _deadline(timeout)
        cdef bint late = False
        while True:
            view = self._try_peek(count)
            if len(view) or count == 0:
                return view
            self._block_record(deadline, strategy, &late)

    cdef int _release(self, object count) except -1:
        cdef size_t n = self._peeked if count is None else check_count(count, "count")
        self._check_consumer()
        if n > self._peeked or (n == 0 and count is None):
            raise RingError(f"release must follow a peek of as many records: count={count}, peeked={self._peeked}")
        self._hand_back(n)
        self._peeked = 0
        return 0


# ---- memory, roles, and the producer's calls


_named = weakref.WeakSet()


def _unlink_at_exit():
    # Names only: threads may still use the memory, and deallocation may not come.
    for ring in list(_named):
        (<_Handle> ring)._leave()


atexit.register(_unlink_at_exit)


def _after_fork_in_child():
    # A child that moved a cursor would move the parent's: every handle lets go of the memory, and finds a closed and empty ring.
    for ring in list(_named):
        (<_Handle> ring)._forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


cdef class _Handle(_Reader):
    """Memory, roles and waiting, common to the rings."""

    def __cinit__(self, *arguments, **keywords):
        if type(self) is _Handle:
            raise TypeError("use RingBuffer or BroadcastRing")
        self._kept = <ring_t*> fc_alloc(1, sizeof(ring_t))
        if self._kept == NULL:
            raise MemoryError("no memory for the ring")

    def __dealloc__(self):
        if self._ring != NULL:
            self._leave()
        if self._mapping != NULL:
            shm_unmap(<shm_t*> self._mapping)
            fc_free(self._mapping)
        elif self._ring != NULL:
            fc_free(self._ring.memory)
        fc_free(self._kept)

    # -- making and finding memory

    @staticmethod
    def unlink(name):
        """Remove the name of a ring, whatever its state; processes that are attached keep the memory.

        Returns
        -------
        bool
            False when there was no such name.
        """
        code = shm_unlink(_check_name(name))
        if code and code != errno.ENOENT:
            raise OSError(code, os.strerror(code), name)
        return code == 0

    cdef int _create(self, uint32_t kind, object capacity, object dtype, uint64_t consumers, object name) except -1:
        cdef cnp.dtype d = _check_dtype(dtype)
        cdef ring_memory_t* memory
        n = check_capacity(capacity, "capacity")
        total = RING_HEAD_BYTES + consumers * sizeof(cursor_t) + n * d.itemsize
        if total > _LARGEST_BYTES:
            raise ValueError(f"capacity times record size must stay below 2**40 bytes: capacity={n}, itemsize={d.itemsize}")
        self._dtype, self._payload_dtype, self._name = d, _payload(d), name
        self._identity = process_of(process_id())
        self._shared = name is not None
        if name is None:
            memory = <ring_memory_t*> fc_alloc(total, 1)
            if memory == NULL:
                raise MemoryError(f"no memory for the ring: capacity={n}, itemsize={d.itemsize}")
            self._describe(memory, kind, n, consumers, total)
            self._keep(memory, memory)
            return 0
        encoded = _check_name(name)
        self._mapping = fc_alloc(1, sizeof(shm_t))
        if self._mapping == NULL:
            raise MemoryError(f"no memory for the ring: name={name}")
        for again in range(2):
            code = shm_create(<shm_t*> self._mapping, encoded, total)
            if code == 0:
                memory = <ring_memory_t*> (<shm_t*> self._mapping).address
                self._describe(memory, kind, n, consumers, total)
                code = shm_publish(<shm_t*> self._mapping)
                if code == 0:
                    self._keep(memory, memory)
                    _named.add(self)
                    return 0
                shm_unmap(<shm_t*> self._mapping)
            if code != errno.EEXIST:
                raise OSError(code, f"{os.strerror(code)}: bytes={total}, name", name)
            if again or not _remove_dead(encoded):
                raise FileExistsError(
                    code, f"a ring of this name is in use, or holds records that nobody read (attach, or unlink it): name", name
                )

    cdef void _describe(self, ring_memory_t* m, uint32_t kind, uint64_t capacity, uint64_t consumers, uint64_t total):
        m.version = RING_VERSION
        m.byte_order = RING_BYTE_ORDER
        m.kind = kind
        m.record_bytes = self._dtype.itemsize
        m.dtype_hash = _dtype_hash(self._dtype)
        m.capacity_records = capacity
        m.consumers = consumers
        m.total_bytes = total
        m.mask = capacity - 1
        m.size = self._dtype.itemsize
        m.slots_offset = RING_HEAD_BYTES + consumers * sizeof(cursor_t)
        m.creator = self._identity
        # Held before the name is there: without a living holder another creator takes the ring for a dead one and removes it.
        m.producer = self._identity if self._producer else 0
        m.consumer = self._identity if self._consumer else 0
        store_release(&m.magic, RING_MAGIC)

    cdef void _keep(self, ring_memory_t* memory, const ring_memory_t* head):
        ring_keep(self._kept, memory, head)
        self._ring = self._kept

    cdef int _attach(self, object kinds, object name, object dtype, object capacity) except -1:
        cdef cnp.dtype d = _check_dtype(dtype)
        cdef ring_memory_t head
        encoded = _check_name(name)
        self._dtype, self._payload_dtype, self._name = d, _payload(d), name
        self._identity = process_of(process_id())
        self._shared = True
        self._mapping = fc_alloc(1, sizeof(shm_t))
        if self._mapping == NULL:
            raise MemoryError(f"no memory for the ring: name={name}")
        cdef shm_t* m = <shm_t*> self._mapping
        code = shm_attach(m, encoded, RING_HEAD_BYTES)
        if code == errno.EPERM:
            raise PermissionError(
                code, f"a ring must be this user's alone: uid={m.uid}, mode={m.mode:#o}, asked=0o600, name", name
            )
        if code:
            raise OSError(code, os.strerror(code), name)
        if m.address == NULL:
            raise LayoutError(f"shared memory must hold a ring's head: name={name}, bytes={m.bytes}, head={RING_HEAD_BYTES}")
        for _ in range(100):  # where memory has a name before it is complete
            if load_acquire(&(<ring_memory_t*> m.address).magic) != 0:
                break
            wait_sleep(1_000_000)
        head = (<ring_memory_t*> m.address)[0]  # what is checked is what is kept, whatever others write meanwhile
        wanted = {
            "magic": (head.magic, RING_MAGIC),
            "version": (head.version, RING_VERSION),
            "byte order": (head.byte_order, RING_BYTE_ORDER),
        }
        for field, (found, asked) in wanted.items():
            if found != asked:
                raise LayoutError(f"shared memory must have the {field} of a ring: name={name}, found={found:#x}, asked={asked:#x}")
        if head.kind not in kinds:
            raise LayoutError(f"shared memory must hold this kind of ring: name={name}, found={head.kind}, asked={kinds}")
        wanted = {
            "record size": (head.record_bytes, d.itemsize),
            "dtype hash": (head.dtype_hash, _dtype_hash(d)),
            "capacity": (head.capacity_records, head.capacity_records if capacity is None else check_capacity(capacity, "capacity")),
        }
        for field, (found, asked) in wanted.items():
            if found != asked:
                raise LayoutError(f"the ring must have the {field} asked for: name={name}, found={found}, asked={asked}")
        if not _fits(&head, m.bytes):
            raise LayoutError(
                f"a ring's geometry must fit its memory: name={name}, capacity={head.capacity_records}, record size={head.record_bytes}, "
                f"consumers={head.consumers}, mask={head.mask}, total={head.total_bytes}, bytes={m.bytes}"
            )
        self._keep(<ring_memory_t*> m.address, &head)
        _named.add(self)
        return 0

    cdef int _take(self, uint64_t* role, str what) except -1:
        # One live process holds a role; the role of a dead one can be taken over.
        cdef uint64_t holder = load_acquire(role)
        for _ in range(1000):
            if holder and process_alive(holder):
                break
            if compare_exchange(role, &holder, self._identity):
                return 0
        raise RingError(f"a ring has one {what}: name={self._name}, pid={holder >> 32}")

    cdef int _take_production(self) except -1:
        cdef ring_t* r = self._ring
        if self._shared and not self._producer:
            self._take(&r.memory.producer, "producer")
        self._producer = True
        # A producer that died between its stores has published records that it did not count.
        for _ in range(r.mask + 1):
            if load_acquire(ring_slot(r, load_relaxed(&r.memory.head))) != load_relaxed(&r.memory.head) + 1:
                break
            store_release(&r.memory.head, load_relaxed(&r.memory.head) + 1)
        return 0

    cdef int _forget(self) except -1:
        code = shm_forget(<shm_t*> self._mapping)
        if code:
            raise OSError(code, os.strerror(code), self._name)
        store_release(&self._ring.memory.closed, 1)
        self._forked = self._detached = True
        self._producer = self._consumer = False
        return 0

    cdef void _remove_if_last(self, bint keep) noexcept:
        # Whoever leaves last removes the name; `keep`: unless records wait for a consumer that is yet to come.
        if not _anyone(self._ring) and not (keep and _unread(self._ring)):
            shm_unlink_own(<shm_t*> self._mapping)

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
        if not self._shared:
            return
        if producer:
            compare_exchange(&r.memory.producer, &mine, 0)
        mine = self._identity
        if consumer:
            compare_exchange(&r.memory.consumer, &mine, 0)
        self._remove_if_last(producer)

    def detach(self):
        """Give up this handle: its role is free, and the last process to detach removes the name.

        Records that no consumer has read keep the name alive: a consumer may attach later, or ``unlink`` destroys them.
        The memory itself is unmapped when the handle and the last view on it are gone. Detaching twice is allowed.

        Raises
        ------
        BusyError
            If another thread is inside a call of this handle.
        """
        alone(&self._taking)
        alone(&self._giving)
        self._leave()

    def close(self):
        """Refuse further records; the consumer reads what is there and then gets :class:`~fastcore.errors.RingError`.

        Either side may close, usually the producer. Closing twice is allowed. A push or commit that overlaps a close from the
        other side may still be accepted: a consumer that closes reads on until the error, and ``len`` tells what is left.

        **Thread safety**: any thread, any process.
        """
        store_release(&self._ring.memory.closed, 1)

    def __exit__(self, *exception):
        if self._producer or self._consumer:
            self.close()
        self.detach()

    def __len__(self):
        return self._waiting()

    cdef uint64_t _room(self) noexcept nogil:
        # Free slots, reading the consumers' cursors again; counts nothing.
        return 0

    cdef size_t _push(self, const void* records, size_t count) noexcept nogil:
        return 0

    cdef object _waiting(self):
        raise NotImplementedError

    cdef int _check_consumers(self) except -1:
        # Raise where a consumer is dead for which the producer waits.
        raise NotImplementedError

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
        return load_acquire(&self._ring.memory.head)

    @property
    def full(self):
        """Calls of the producer that found less room than they asked for."""
        return load_relaxed(&self._ring.memory.full)

    @property
    def producer_pid(self):
        """Process id of the producer of a shared ring; None where there is none."""
        return (load_acquire(&self._ring.memory.producer) >> 32) or None

    @property
    def producer_alive(self):
        """Whether the producer's process runs (its pid with the same start time); None where no process has the role."""
        cdef uint64_t holder = load_acquire(&self._ring.memory.producer)
        return bool(process_alive(holder)) if holder else None

    # -- the producer's calls

    cdef int _refuse(self, str role) except -1:
        if self._forked:
            raise RingError(f"a forked process must attach to a ring anew: name={self._name}")
        raise RingError(f"this handle is not the {role}: name={self._name}, detached={bool(self._detached)}")

    cdef int _check_producer(self) except -1:
        alone(&self._giving)
        return 0 if self._producer else self._refuse("producer")

    cdef size_t _push_released(self, const void* records, size_t count) except? <size_t> -1:
        # Long copies run without the GIL, so that the other side runs meanwhile.
        cdef size_t done
        if count < NOGIL_RECORDS:
            return self._push(records, count)
        enter(&self._giving)
        with nogil:
            done = self._push(records, count)
        leave(&self._giving)
        return done

    cdef int _block_room(self, int64_t deadline, int strategy, bint* late) except -1:
        # There is room. Closed, timed out, interrupted, peer dead: raised. `late` as for `_block_record`.
        cdef ring_t* r = self._ring
        cdef int64_t until
        cdef uint32_t step
        cdef int slices = 0
        cdef bint closed, room
        PyErr_CheckSignals()
        while not late[0]:
            until = min(wait_now_ns() + SLICE_NS, deadline)
            step = 0
            enter(&self._giving)
            with nogil:
                while True:
                    closed = ring_closed(r)
                    room = not closed and self._room() != 0
                    if room or closed:
                        break
                    wait_step(strategy, step)
                    step += 1
                    if (strategy == 2 or step & 63 == 0) and wait_now_ns() >= until:
                        break
            leave(&self._giving)
            if room:
                late[0] = wait_now_ns() >= deadline
                return 0
            if closed:
                _raise_closed(r)
            PyErr_CheckSignals()
            if wait_now_ns() >= deadline:
                break
            slices += 1
            if self._shared and slices % 5 == 0:
                self._check_consumers()
        raise TimeoutError(f"no room before the timeout: capacity={r.mask + 1}, published={load_relaxed(&r.memory.head)}")

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
        cdef int strategy = self._wait if wait is None else check_wait(wait)
        cdef int64_t deadline = _deadline(timeout)
        cdef bint late = False
        while not self.try_push(record):
            self._block_room(deadline, strategy, &late)

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
        cdef bint late = False
        self._check_producer()
        a = _check_array(records, self._dtype, "records", False)
        count = cnp.PyArray_DIM(a, 0)
        data = <const char*> cnp.PyArray_DATA(a)
        done = self._push_released(data, count)
        if done == count and not (count == 0 and ring_closed(self._ring)):
            return done
        strategy = self._wait if wait is None else check_wait(wait)
        deadline = _deadline(timeout)
        while True:
            try:
                self._block_room(deadline, strategy, &late)
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
        cdef size_t want = check_count(count, "count")
        cdef size_t got = 0
        cdef uint64_t room
        cdef void* slot
        self._check_producer()
        if self._ring.kind == RING_OVERRUN:
            raise RingError(_NO_VIEWS)
        room = slots_room(self._ring)
        slot = slots_claim(self._ring, room if want <= room else self._room(), want, &got)
        if got == 0 and ring_closed(self._ring):
            _raise_closed(self._ring)
        self._claimed = got
        return _view(self, self._payload_dtype, got, <char*> slot + 8 if got else NULL, self._ring.size, True)

    def claim(self, count=1, timeout=None, wait=None):
        """Get at least one free slot to write into, waiting for room: :meth:`try_claim` with the waiting of :meth:`push`."""
        cdef int strategy = self._wait if wait is None else check_wait(wait)
        cdef int64_t deadline = _deadline(timeout)
        cdef bint late = False
        while True:
            view = self.try_claim(count)
            if len(view) or count == 0:
                return view
            self._block_room(deadline, strategy, &late)

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
        cdef size_t n = self._claimed if count is None else check_count(count, "count")
        self._check_producer()
        if n > self._claimed or (n == 0 and count is None):
            raise RingError(f"commit must follow a claim of as many slots: count={count}, claimed={self._claimed}")
        slots_commit(self._ring, n)
        self._claimed = 0


cdef bint _fits(const ring_memory_t* r, size_t have):
    # Do the numbers of a ring's head agree with each other and with the memory? Python ints, so that nothing overflows.
    n, size, cursors = r.capacity_records, r.record_bytes, r.consumers
    head = RING_HEAD_BYTES + cursors * sizeof(cursor_t)
    return (
        cursors <= 1024 and n >= 2 and n & (n - 1) == 0 and r.mask == n - 1 and size >= 16 and size % 8 == 0 and r.size == size
        and r.slots_offset == head and r.total_bytes == head + n * size and have >= r.total_bytes
    )


cdef bint _anyone(ring_t* r) noexcept:
    # Does a living process hold a role?
    cdef cursor_t* c = ring_cursors(r)
    if process_alive(load_acquire(&r.memory.producer)) or process_alive(load_acquire(&r.memory.consumer)):
        return True
    for i in range(r.consumers):
        if process_alive(load_acquire(&c[i].owner)):
            return True
    return False


cdef bint _unread(ring_t* r) noexcept:
    # Records that wait for a consumer; an overrun ring promises nothing.
    cdef cursor_t* c = ring_cursors(r)
    cdef uint64_t head = load_acquire(&r.memory.head)
    if r.kind == RING_SINGLE:
        return head != load_acquire(&r.memory.tail)
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
    cdef ring_t r
    cdef ring_memory_t head
    cdef bint done = False
    if m == NULL:
        raise MemoryError(f"no memory for the ring: name={name.decode()}")
    try:
        if shm_attach(m, name, RING_HEAD_BYTES) == 0 and m.address != NULL:
            head = (<ring_memory_t*> m.address)[0]
            if head.magic == RING_MAGIC and head.version == RING_VERSION and _fits(&head, m.bytes):
                ring_keep(&r, <ring_memory_t*> m.address, &head)
                if not _anyone(&r) and not _unread(&r):
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
