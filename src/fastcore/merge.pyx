"""Several histories as one: events in the order of their times, and at equal times in the order of the histories."""

import numpy as np

cimport cython
cimport numpy as cnp
from libc.stdint cimport int64_t, uint32_t

from fastcore._integers cimport as_int64
from fastcore.records cimport FLAG_CONTINUED, FLAG_SNAPSHOT, NO_SYMBOL, RESULT_NO_MEMORY, RESULT_OK, event_t, fc_alloc, fc_free
from fastcore.source cimport NEVER, NO_WATCH, SOURCE_END, SOURCE_ERROR, SOURCE_OK, Source, batch_t, source_t, wanted_t
from fastcore.stopwatch cimport stopwatch_t

cnp.import_array()

__all__ = ["MergeSource"]


cdef inline int64_t merge_time(const merged_t* p, const event_t* e, int64_t before) noexcept nogil:
    cdef int64_t t = (e.exch_ns if e.exch_ns else e.local_ns) + p.offset_ns
    return before if t < before or e.flags & FLAG_SNAPSHOT and before != -NEVER else t


cdef int merge_fetch(merge_t* m, uint32_t part) noexcept nogil:
    # The next batch of a history that was handed out whole.
    cdef merged_t* p = &m.parts[part]
    cdef int status = p.source.next(p.source, NEVER, &p.batch)
    if status == SOURCE_OK:
        p.at = 0
        p.fetch = False
        p.time_ns = merge_time(p, &p.batch.events[0], p.time_ns)
        return SOURCE_OK
    p.batch.n = p.at = 0
    m.waiting = part
    return status


cdef uint32_t merge_run(const merged_t* p, int64_t until_ns, bint through, int64_t* last_ns) noexcept nogil:
    # Events from p.at on that come before `until_ns`, or at it where `through`, as whole messages; the time of the last one.
    cdef const event_t* e = p.batch.events + p.at
    cdef uint32_t left = p.batch.n - p.at, n = 1
    cdef int64_t t = p.time_ns
    while n < left:
        if not e[n - 1].flags & FLAG_CONTINUED:
            t = merge_time(p, &e[n], t)
            if t > until_ns or (t == until_ns and not through):
                break
            last_ns[0] = t
        n += 1
    return n


cdef int merge_copy(merge_t* m, const merged_t* p, uint32_t n) noexcept nogil:
    # Events with the times and ids of the run.
    cdef const event_t* e = p.batch.events + p.at
    cdef event_t* larger
    cdef uint32_t i
    if n > m.capacity:
        larger = <event_t*> fc_alloc(n, sizeof(event_t))
        if larger == NULL:
            return RESULT_NO_MEMORY
        fc_free(m.events)
        m.events = larger
        m.capacity = n
    for i in range(n):
        m.events[i] = e[i]
        m.events[i].exch_ns += p.offset_ns if e[i].exch_ns else 0
        m.events[i].local_ns += p.offset_ns if e[i].local_ns else 0
        if p.ids != NULL and e[i].symbol_id != NO_SYMBOL:
            m.events[i].symbol_id = p.ids[e[i].symbol_id] if e[i].symbol_id < p.id_count else NO_SYMBOL
    return RESULT_OK


cdef int merge_next(source_t* source, int64_t until_ns, batch_t* out) noexcept nogil:
    cdef merge_t* m = <merge_t*> source
    cdef merged_t* p
    cdef uint32_t i, first = 0, second
    cdef int64_t last
    cdef int status
    for i in range(m.count):
        p = &m.parts[i]
        if p.fetch:
            status = merge_fetch(m, i)
            if status == SOURCE_END:
                p.fetch = False
                p.time_ns = NEVER
            elif status != SOURCE_OK:
                return status
    for i in range(1, m.count):
        if m.parts[i].time_ns < m.parts[first].time_ns:
            first = i
    p = &m.parts[first]
    if p.time_ns == NEVER:
        return SOURCE_END
    second = m.count
    for i in range(m.count):
        if i != first and (second == m.count or m.parts[i].time_ns < m.parts[second].time_ns):
            second = i
    last = p.time_ns
    out.n = merge_run(p, NEVER if second == m.count else m.parts[second].time_ns, second > first, &last)
    if p.ids == NULL and p.offset_ns == 0:
        out.events = p.batch.events + p.at
    else:
        if merge_copy(m, p, out.n) != RESULT_OK:
            return SOURCE_ERROR
        out.events = m.events
    out.changes = NULL
    out.first = 0
    out.own = out.open = False
    p.at += out.n
    p.time_ns = last
    if p.at == p.batch.n:
        p.fetch = True
    else:
        p.time_ns = merge_time(p, &p.batch.events[p.at], last)
    return SOURCE_OK


@cython.final
cdef class MergeSource(Source):
    """MergeSource(sources, offsets_ns=None, ids=None)\n--\n\n
    MergeSource(sources, offsets_ns=None, ids=None)\n--\n
    Several histories as one.

    Parameters
    ----------
    sources : sequence of Source
        Histories, each in the order of its times; at equal times the earlier one of the sequence comes first.
    offsets_ns : sequence of int, optional
        Added to the times of each history, where their clocks differ.
    ids : sequence of ndarray of uint32 or None, optional
        For each history the dense ids of the run by its own; None where they are the same. Only what is mapped or moved is copied.

    Attributes
    ----------
    sources : tuple of Source

    Notes
    -----
    **Thread safety**: belongs to one run, and so do the sources.
    """

    def __cinit__(self, sources, offsets_ns=None, ids=None):
        cdef merge_t* m = &self._m
        cdef uint32_t i
        cdef Source source
        cdef cnp.ndarray array
        self.sources = tuple(sources)
        offsets = [0] * len(self.sources) if offsets_ns is None else list(offsets_ns)
        maps = [None] * len(self.sources) if ids is None else list(ids)
        if not self.sources or len(offsets) != len(self.sources) or len(maps) != len(self.sources):
            raise ValueError(
                "sources must not be empty, with one offset and one map for each: "
                f"sources={len(self.sources)} offsets_ns={len(offsets)} ids={len(maps)}"
            )
        if len({id(each) for each in self.sources}) < len(self.sources):
            raise ValueError(f"sources must be different ones: sources={list(self.sources)}")
        m.base.next = merge_next
        m.base.watch = &NO_WATCH
        m.count = <uint32_t> len(self.sources)
        m.parts = <merged_t*> fc_alloc(m.count, sizeof(merged_t))
        if m.parts == NULL:
            raise MemoryError(f"no memory for a merge: sources={len(self.sources)}")
        self._ids = []
        for i in range(m.count):
            if not isinstance(self.sources[i], Source):
                raise TypeError(f"sources must be of the compiled kind: type={type(self.sources[i]).__name__}")
            source = self.sources[i]
            if source._source == NULL or source._source.instants:
                raise ValueError(f"sources must be of recorded events: source={source!r}")
            m.parts[i].source = source._source
            m.parts[i].time_ns = -NEVER
            m.parts[i].offset_ns = as_int64(offsets[i])
            m.parts[i].fetch = True
            if maps[i] is not None:
                array = np.ascontiguousarray(maps[i], np.uint32)
                self._ids.append(array)
                m.parts[i].ids = <const uint32_t*> cnp.PyArray_DATA(array)
                m.parts[i].id_count = <uint32_t> cnp.PyArray_DIM(array, 0)
        self._source = &m.base

    def __dealloc__(self):
        fc_free(self._m.parts)
        fc_free(self._m.events)

    cdef int enter(self) except -1:
        cdef Py_ssize_t i = 0
        try:
            for i in range(len(self.sources)):
                (<Source> self.sources[i]).enter()
        except BaseException:
            for source in self.sources[:i]:
                (<Source> source).leave()
            raise
        return 0

    cdef void leave(self) noexcept:
        for source in self.sources:
            (<Source> source).leave()

    cdef bint refill(self) except -1:
        if not (<Source> self.sources[self._m.waiting]).refill():
            self._m.parts[self._m.waiting].fetch = False
            self._m.parts[self._m.waiting].time_ns = NEVER
        return True

    cdef int fail(self) except -1:
        (<Source> self.sources[self._m.waiting]).fail()

    cdef int attach(self, stopwatch_t* watch, const wanted_t* wanted) except -1:
        self._m.base.watch = watch
        for source in self.sources:
            (<Source> source).attach(watch, wanted)
        return 0

    def __repr__(self):
        return f"MergeSource({list(self.sources)})"
