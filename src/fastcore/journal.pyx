# cython: freethreading_compatible=True
"""What a run writes down: its reports and its curve, in bounded memory; and all that passes between it and the venue, in a store."""

import numpy as np

cimport cython
cimport numpy as cnp
from libc.stdint cimport int64_t
from libc.string cimport memcpy

from fastcore._integers cimport as_int64
from fastcore.gateway cimport gateway_t
from fastcore.records cimport RESULT_FULL, RESULT_OK, event_t, fc_alloc, fc_free, unlikely
from fastcore.tickstore cimport TickStore, store_room, store_sync

from fastcore.errors import StoreError
from fastcore.records import EVENT_DTYPE

cnp.import_array()

__all__ = ["Journal", "Spool"]

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
    if unlikely(j.commit):
        j.failed |= store_sync(j.store) != RESULT_OK
    if unlikely(j.failed):
        return RESULT_FULL      # what is not written down does not leave
    return j.gateway.send(j.gateway, message, now_ns)


cdef int journal_refuse(gateway_t* gateway, const event_t* reject, int64_t now_ns) noexcept nogil:
    cdef journal_t* j = <journal_t*> gateway
    return j.gateway.refuse(j.gateway, reject, now_ns)   # it comes back, and is written then


@cython.final
cdef class Journal:
    """Journal(store, *, inbound=False)\n--\n\n
    Journal(store, *, inbound=False)\n--\n
    What passes between a run and its venue, in order: own messages before they are sent, reports, timers and controls as they reach us.

    Parameters
    ----------
    store : TickStore
        Of ``EVENT_DTYPE``, open for writing, and the journal's alone meanwhile. What is in it outlives the process; with ``sync="commit"`` a
        message is on the disk before it is sent.
    inbound : bool, default False
        Write the events of the market down too, as they reach us.

    Notes
    -----
    The same data, configuration and build write the same journal, byte for byte.

    **Thread safety**: belongs to one run.
    """

    def __cinit__(self, TickStore store not None, *, bint inbound=False):
        if store.dtype != EVENT_DTYPE:
            raise ValueError(f"store must be one of events: dtype={store.dtype}")
        self.store = store
        self._j.base.send = journal_send
        self._j.base.refuse = journal_refuse
        self._j.store = store._s
        self._j.commit = store._commit
        self._j.inbound = inbound

    cdef int make_room(self, int64_t records) except -1:
        if store_room(self._j.store) < records:
            self.store._grow(records)
        return 0

    cdef int fail(self) except -1:
        raise StoreError(f"the store of a journal must accept every event: {self.store!r} errno={self._j.store.error}")

    def __len__(self):
        return len(self.store)

    def __repr__(self):
        return f"Journal({len(self)} events, {self.store!r})"
