# cython: freethreading_compatible=True
"""Rings from one producer to several consumers, each of which gets every record: threads or processes, no lock.

Nothing is ever dropped in silence: a ring with back-pressure waits for its slowest consumer; an overrun ring, which never waits,
makes a consumer that it overtakes raise :class:`~fastcore.errors.OverrunError` with the number of records lost.
"""

cimport cython
from libc.stdint cimport uint64_t

from fastcore._guard cimport alone, enter, leave
from fastcore._integers cimport int64_in
from fastcore._slots cimport NOGIL_RECORDS, RING_BROADCAST, check_count, check_wait, process_alive
from fastcore.records cimport compare_exchange

from fastcore._slots import ATTACH
from fastcore.errors import CorruptDataError, OverrunError, PeerDeadError, RingError, range_error

__all__ = ["BroadcastConsumer", "BroadcastRing"]


@cython.final
cdef class BroadcastRing(_Handle):
    """BroadcastRing(capacity, dtype=None, *, consumers=8, overrun=False, name=None, wait="yield")\n--\n\n
    Ring of records from one producer to several consumers, each of which gets every record.

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
        if capacity is ATTACH:
            return
        if capacity is None:
            raise TypeError("capacity is required: capacity=None")
        self._wait = check_wait(wait)
        most = int64_in(consumers, "consumers", 1, 1024)
        self._producer = True
        self._create(RING_OVERRUN if overrun else RING_BROADCAST, capacity, dtype, most, name)
        self._take_production()

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
        cdef BroadcastRing self = BroadcastRing.__new__(BroadcastRing, ATTACH)
        self._wait = check_wait(wait)
        if role not in ("producer", "consumer"):
            raise ValueError(f"role must be 'producer' or 'consumer': role={role!r}")
        self._attach((RING_BROADCAST, RING_OVERRUN), name, dtype, capacity)
        if role == "producer":
            self._take_production()
        return self

    cdef uint64_t _room(self) noexcept nogil:
        return self._ring.mask + 1 if self._ring.kind == RING_OVERRUN else broadcast_room(self._ring)

    cdef size_t _push(self, const void* records, size_t count) noexcept nogil:
        return broadcast_try_push_batch(self._ring, records, count)

    cdef object _waiting(self):
        # Records that the slowest consumer has not read; all of them where there is no consumer.
        cdef uint64_t head = load_acquire(&self._ring.memory.head)
        cdef uint64_t slowest = min([row["position"] for row in self.consumers], default=0)
        return min(head - slowest, self._ring.mask + 1)

    cdef int _check_consumers(self) except -1:
        cdef cursor_t* c = ring_cursors(self._ring)
        cdef uint64_t holder
        for i in range(self._ring.consumers):
            holder = load_acquire(&c[i].owner)
            if holder and not process_alive(holder) and not self._room():
                raise PeerDeadError(f"a consumer is gone, evict_dead() lets go of it: name={self._name}, pid={holder >> 32}")
        return 0

    def __repr__(self):
        return (
            f"<BroadcastRing name={self._name!r} role={self.role} capacity={self.capacity} overrun={self.overrun} "
            f"consumers={len(self.consumers)} published={self.published} full={self.full} closed={self.closed}>"
        )

    @property
    def overrun(self):
        """Whether the producer overwrites what slow consumers have not read."""
        return self._ring.kind == RING_OVERRUN

    @property
    def role(self):
        """"producer" or "consumer"; None when detached."""
        return None if self._detached else "producer" if self._producer else "consumer"

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
                made = BroadcastConsumer.__new__(BroadcastConsumer, ATTACH)
                made._broadcast, made._ring, made._seat, made._cursor = self, r, &c[i], &c[i].position
                made._dtype, made._name, made._wait, made._shared = self._dtype, self._name, self._wait, self._shared
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
cdef class BroadcastConsumer(_Reader):
    """BroadcastConsumer()\n--\n\n
    One consumer of a :class:`BroadcastRing`, made by :meth:`BroadcastRing.consumer`.

    **Thread safety**: one thread. Leaving (:meth:`detach`, ``with``, or deallocation) lets the producer go on without it.
    """

    def __cinit__(self, token=None):
        if token is not ATTACH:
            raise TypeError("a consumer is made by BroadcastRing.consumer()")

    def __dealloc__(self):
        if self._broadcast is not None:
            self._leave()

    def __exit__(self, *exception):
        self.detach()

    cdef void _leave(self) noexcept:
        cdef BroadcastRing b = self._broadcast
        if self._detached:
            return
        self._detached = True
        if b._forked:
            return
        _let_go(self._seat, b._identity)
        if self._shared:
            b._remove_if_last(True)

    def detach(self):
        """Leave the ring; the producer no longer waits for this consumer. Detaching twice is allowed."""
        alone(&self._taking)
        self._leave()

    def __len__(self):
        return min(load_acquire(&self._ring.memory.head) - load_relaxed(&self._seat.position), self._ring.mask + 1)

    @property
    def ring(self):
        """The ring that this consumer reads."""
        return self._broadcast

    @property
    def position(self):
        """``seq`` of the last record read or skipped."""
        return load_relaxed(&self._seat.position)

    @property
    def consumed(self):
        """Records read by this consumer."""
        return load_relaxed(&self._seat.consumed)

    @property
    def lost(self):
        """Records that this consumer never saw, because they were overwritten or skipped by :meth:`resynchronise`."""
        return load_relaxed(&self._seat.lost)

    def __repr__(self):
        return (
            f"<BroadcastConsumer name={self._name!r} position={self.position} waiting={len(self)} consumed={self.consumed} "
            f"lost={self.lost} detached={bool(self._detached)}>"
        )

    cdef int _check_consumer(self) except -1:
        alone(&self._taking)
        if self._broadcast._forked:
            self._broadcast._refuse("consumer")
        if self._detached:
            raise RingError(f"this consumer is detached: name={self._name}")
        return 0

    cdef void _hand_back(self, size_t count) noexcept nogil:
        broadcast_release_batch(self._seat, count)

    cdef size_t _read(self, void* out, size_t count) except? <size_t> -1:
        cdef bint overrun = False
        cdef size_t done
        if count < NOGIL_RECORDS:
            done = broadcast_try_pop_batch(self._ring, self._seat, out, count, &overrun)
        else:
            enter(&self._taking)
            with nogil:
                done = broadcast_try_pop_batch(self._ring, self._seat, out, count, &overrun)
            leave(&self._taking)
        if done == 0 and overrun:
            lost = broadcast_skip(self._ring, self._seat, (self._ring.mask + 1) >> 1)
            if not lost:
                raise CorruptDataError(f"a slot must not hold a record that is yet to come: due={self._seat.position + 1}")
            error = OverrunError(
                f"the producer overtook this consumer: lost={lost}, position={self._seat.position}, total lost={self._seat.lost}"
            )
            error.lost = lost
            raise error
        return done

    def try_pop(self):
        """Take the next record, or None where there is none; as :meth:`RingBuffer.try_pop`.

        Raises
        ------
        OverrunError
            If records were overwritten before this consumer read them: attribute ``lost`` has how many were skipped; they are
            counted in :attr:`lost`, and the next call goes on with half a ring of records still ahead.
        RingError
            If the ring is closed and every record has been read, or this consumer is detached.
        """
        return self._try_pop()

    def pop(self, timeout=None, wait=None):
        """Take the next record, waiting for one; as :meth:`RingBuffer.pop`, and with the errors of :meth:`try_pop`."""
        return self._pop(timeout, wait)

    def try_pop_batch(self, out):
        """Take the next records, as many as there are and `out` holds; as :meth:`RingBuffer.try_pop_batch`.

        Errors as for :meth:`try_pop`; records before a gap are returned first.
        """
        return self._try_pop_batch(out)

    def pop_batch(self, out, timeout=None, wait=None):
        """Take at least one record, waiting for it; as :meth:`RingBuffer.pop_batch`, and with the errors of :meth:`try_pop`."""
        return self._pop_batch(out, timeout, wait)

    def try_peek(self, count=1):
        """Look at the next records without a copy; as :meth:`RingBuffer.try_peek`.

        Raises
        ------
        RingError
            If the ring is closed and every record has been read, or it overwrites (the view could change while it is read).
        """
        return self._try_peek(count)

    def peek(self, count=1, timeout=None, wait=None):
        """Look at the next records, waiting for at least one; as :meth:`RingBuffer.peek`, and with the errors of :meth:`try_peek`."""
        return self._peek(count, timeout, wait)

    def release(self, count=None):
        """Hand the first `count` peeked records back, all of them by default; as :meth:`RingBuffer.release`."""
        self._release(count)

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
        cdef uint64_t n = check_count(keep, "keep")
        self._check_consumer()
        if n > self._ring.mask + 1:
            raise range_error("keep", n, 0, "capacity", capacity=self._ring.mask + 1)
        self._peeked = 0
        return broadcast_skip(self._ring, self._seat, n)
