# cython: freethreading_compatible=True
"""Rings between one producer and one consumer, threads or processes: no lock, records moved whole.

Nothing is ever dropped in silence: a full ring refuses (``try_`` calls return what was accepted) or waits. Several consumers
that each get every record: `fastcore.broadcast`.
"""

cimport cython
from libc.stdint cimport uint64_t

from fastcore._guard cimport alone
from fastcore._slots cimport RING_SINGLE, check_wait, process_alive
from fastcore.records cimport load_acquire

from fastcore._slots import ATTACH
from fastcore.errors import PeerDeadError

__all__ = ["RingBuffer"]


def _check_role(role, default):
    role = default if role is None else role
    if role not in ("both", "producer", "consumer"):
        raise ValueError(f"role must be 'both', 'producer' or 'consumer': role={role!r}")
    return role


@cython.final
cdef class RingBuffer(_Handle):
    """RingBuffer(capacity, dtype=None, *, name=None, role=None, wait="yield")\n--\n\n
    Ring of records between one producer and one consumer, in process or in named shared memory.

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
    record, the new consumer at the first record whose release was not published. After ``fork`` the child's handles of shared rings are
    detached, closed and empty: attach anew there.

    Processes in different pid namespaces look dead to each other. Leaving a ``with`` block closes the ring and detaches.

    Examples
    --------
    >>> ring = RingBuffer(1024)
    >>> rows = np.zeros(64, EVENT_DTYPE)
    >>> ring.push_batch(rows), ring.pop_batch(rows)
    (64, 64)
    """

    def __cinit__(self, capacity=None, dtype=None, *, name=None, role=None, wait="yield"):
        if capacity is ATTACH:
            return
        if capacity is None:
            raise TypeError("capacity is required: capacity=None")
        self._wait = check_wait(wait)
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
        PermissionError
            If the memory belongs to another user, or others may open it: its mode must be 0600.
        """
        cdef RingBuffer self = RingBuffer.__new__(RingBuffer, ATTACH)
        self._wait = check_wait(wait)
        role = _check_role(role, "consumer")
        self._attach((RING_SINGLE,), name, dtype, capacity)
        self._enter(role)
        return self

    cdef int _enter(self, object role) except -1:
        self._cursor = &self._ring.memory.tail
        if role != "consumer":
            self._take_production()
            self._room()
        if role != "producer":
            if self._shared and not self._consumer:
                self._take(&self._ring.memory.consumer, "consumer")
            self._consumer = True
        return 0

    cdef uint64_t _room(self) noexcept nogil:
        return ring_room(self._ring)

    cdef size_t _push(self, const void* records, size_t count) noexcept nogil:
        return ring_try_push_batch(self._ring, records, count)

    cdef object _waiting(self):
        # Tail first: it never exceeds a head read after it.
        cdef uint64_t tail = load_acquire(&self._ring.memory.tail)
        return min(load_acquire(&self._ring.memory.head) - tail, self._ring.mask + 1)

    cdef int _check_consumers(self) except -1:
        cdef uint64_t holder = load_acquire(&self._ring.memory.consumer)
        if holder and not process_alive(holder) and not self._room():
            raise PeerDeadError(f"the consumer is gone: name={self._name}, pid={holder >> 32}, unread={self._waiting()}")
        return 0

    cdef int _check_consumer(self) except -1:
        alone(&self._taking)
        return 0 if self._consumer else self._refuse("consumer")

    def __repr__(self):
        return (
            f"<RingBuffer name={self._name!r} role={self.role} capacity={self.capacity} waiting={len(self)} "
            f"published={self.published} full={self.full} closed={self.closed}>"
        )

    @property
    def role(self):
        """What this handle does: "both", "producer" or "consumer"; None when detached."""
        if self._producer:
            return "both" if self._consumer else "producer"
        return "consumer" if self._consumer else None

    @property
    def consumed(self):
        """Records consumed since the ring was created."""
        return load_acquire(&self._ring.memory.tail)

    @property
    def consumer_pid(self):
        """Process id of the consumer of a shared ring; None where there is none."""
        return (load_acquire(&self._ring.memory.consumer) >> 32) or None

    @property
    def consumer_alive(self):
        """Whether the consumer's process runs (its pid with the same start time); None where no process has the role."""
        cdef uint64_t holder = load_acquire(&self._ring.memory.consumer)
        return bool(process_alive(holder)) if holder else None

    # -- the consumer's calls

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
        return self._try_pop()

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
        return self._pop(timeout, wait)

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
        return self._try_pop_batch(out)

    def pop_batch(self, out, timeout=None, wait=None):
        """Take at least one record, waiting for it: :meth:`try_pop_batch` with the waiting and errors of :meth:`pop`."""
        return self._pop_batch(out, timeout, wait)

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
        return self._try_peek(count)

    def peek(self, count=1, timeout=None, wait=None):
        """Look at the oldest records, waiting for at least one: :meth:`try_peek` with the waiting and errors of :meth:`pop`."""
        return self._peek(count, timeout, wait)

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
        self._release(count)
