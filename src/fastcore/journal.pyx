# cython: freethreading_compatible=True
"""What a run writes down: its reports and its curve, in bounded memory; and all that passes between it and the venue, in a store."""

import numpy as np

cimport cython
cimport numpy as cnp
from libc.stdint cimport int64_t
from libc.string cimport memcpy

from fastcore._integers cimport as_int64
from fastcore.gateway cimport gateway_t
from fastcore.records cimport event_t, fc_alloc, fc_free

from fastcore.records import EVENT_DTYPE

cnp.import_array()

__all__ = ["Journal", "Spool"]

cdef enum:
    JOURNAL_ROOM = 1 << 15


@cython.final
cdef class Spool:
    """Spool(dtype, capacity=32768)\n--\n\n
    Spool(dtype, capacity=32768)\n--\n
    Records of a run: the newest in a buffer, all before them in a temporary file.

    A run that records little never makes the file, and one of any length takes no more memory than the buffer.

    Parameters
    ----------
    dtype : dtype
        Of a record.
    capacity : int, default 32768
        Records of the buffer, 1..2**24.

    Attributes
    ----------
    dtype : dtype
    drained : int
        Records in the file.

    Notes
    -----
    **Thread safety**: belongs to one run; `array` between its calls.
    """

    def __cinit__(self, dtype, capacity=32768):
        cdef int64_t records = as_int64(capacity)
        if not 1 <= records <= 1 << 24:
            raise ValueError(f"capacity must be in 1..{1 << 24}: capacity={capacity}")
        self.dtype = np.dtype(dtype)
        self._s.size = self.dtype.itemsize
        self._s.capacity = records
        self._s.records = <char*> fc_alloc(records, self._s.size)
        if self._s.records == NULL:
            raise MemoryError(f"no memory for a spool: capacity={capacity}")

    def __del__(self):
        if self._file is not None:
            self._file.close()

    def __dealloc__(self):
        fc_free(self._s.records)

    # Move the buffer into the file.
    cdef int drain(self) except -1:
        cdef int64_t length = self._s.count * self._s.size
        if self._file is None:
            import tempfile  # with all that it imports: few runs record so much

            self._file = tempfile.TemporaryFile()
        self._file.write(<bytes> self._s.records[:length])
        self.drained += self._s.count
        self._s.count = 0
        return 0

    def array(self):
        """Return all records, oldest first.

        Returns
        -------
        ndarray of `dtype`, shape (n,)
            A copy.
        """
        out = np.empty(self.drained + self._s.count, self.dtype)
        if self.drained:
            self._file.seek(0)
            if self._file.readinto(memoryview(out[: self.drained]).cast("B")) != self.drained * self._s.size:
                raise OSError(f"the file of a spool must hold what was written: records={self.drained}")
            self._file.seek(0, 2)
        if self._s.count:
            memcpy(
                <char*> cnp.PyArray_DATA(out) + self.drained * self._s.size, self._s.records, self._s.count * self._s.size
            )
        return out

    def __len__(self):
        return self.drained + self._s.count

    def __repr__(self):
        return f"Spool({len(self)} records of {self._s.size} bytes, {self.drained} of them in a file)"


cdef int journal_send(gateway_t* gateway, const event_t* message, int64_t now_ns) noexcept nogil:
    cdef journal_t* j = <journal_t*> gateway
    journal_write(j, message)
    return j.gateway.send(j.gateway, message, now_ns)


cdef int journal_refuse(gateway_t* gateway, const event_t* reject, int64_t now_ns) noexcept nogil:
    cdef journal_t* j = <journal_t*> gateway
    return j.gateway.refuse(j.gateway, reject, now_ns)   # it comes back, and is written then


@cython.final
cdef class Journal:
    """Journal(store)\n--\n\n
    Journal(store)\n--\n
    What passes between a run and its venue, in order: own messages as they are sent, reports and timers as they reach us.

    Parameters
    ----------
    store : TickStore
        Of ``EVENT_DTYPE``, open for writing; what ``append_many`` has taken is durable as the store promises. It is written when
        32,768 events wait, and at the end of every call of ``Engine.run``.

    Notes
    -----
    The same data, configuration and build write the same journal, byte for byte.

    **Thread safety**: belongs to one run.
    """

    def __cinit__(self, store):
        if store.dtype != EVENT_DTYPE:
            raise ValueError(f"store must be one of events: dtype={store.dtype}")
        self.store = store
        self._j.base.send = journal_send
        self._j.base.refuse = journal_refuse
        self._j.spool.size = sizeof(event_t)
        self._j.spool.capacity = JOURNAL_ROOM
        self._j.spool.records = <char*> fc_alloc(JOURNAL_ROOM, sizeof(event_t))
        if self._j.spool.records == NULL:
            raise MemoryError("no memory for a journal")

    def __dealloc__(self):
        fc_free(self._j.spool.records)

    # Move the buffer into the store.
    cdef int drain(self) except -1:
        cdef cnp.npy_intp length = self._j.spool.count * sizeof(event_t)
        if length:
            self.store.append_many(np.frombuffer(<bytes> self._j.spool.records[:length], EVENT_DTYPE))
            self._j.spool.count = 0
        return 0

    def __len__(self):
        return len(self.store) + self._j.spool.count

    def __repr__(self):
        return f"Journal({len(self)} events, {self.store!r})"
