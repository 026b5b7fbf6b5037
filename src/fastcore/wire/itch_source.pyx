"""ITCH bytes as the source of a run: what a file or a capture holds, decoded in the loop."""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint64_t

from fastcore.records cimport event_t, fc_alloc, fc_free, likely, unlikely
from fastcore.source cimport NO_WATCH, SOURCE_BATCH, SOURCE_ERROR, SOURCE_OK, SOURCE_REFILL, Source, batch_t, source_t
from fastcore.stopwatch cimport stopwatch_due, stopwatch_room, stopwatch_start
from fastcore.wire.itch cimport ITCH_MAX_EVENTS, ItchDecoder, itch_decode_batch

from fastcore.errors import RESULTS, CorruptDataError

__all__ = ["ItchSource"]


cdef int itch_next(source_t* source, int64_t until_ns, batch_t* out) noexcept nogil:
    cdef itch_source_t* s = <itch_source_t*> source
    cdef size_t used = 0
    cdef uint64_t failed = s.decoder.tally.total
    cdef ptrdiff_t n
    if unlikely(s.failed):
        return SOURCE_ERROR
    while True:
        if stopwatch_due(source.watch):
            stopwatch_start(source.watch)
            n = itch_decode_batch(s.decoder, s.data + s.at, s.length - s.at, s.events, 1, &used)
            if n == 0 and used == 0 and s.decoder.tally.total == failed:   # a message of several events, or none that is whole
                n = itch_decode_batch(s.decoder, s.data + s.at, s.length - s.at, s.events, ITCH_MAX_EVENTS, &used)
            if n <= 0:
                source.watch.on = False
                source.watch.left = 0
        else:
            n = itch_decode_batch(
                s.decoder, s.data + s.at, s.length - s.at, s.events, stopwatch_room(source.watch, SOURCE_BATCH), &used
            )
            if unlikely(n == 0 and used == 0 and s.decoder.tally.total == failed):
                n = itch_decode_batch(s.decoder, s.data + s.at, s.length - s.at, s.events, ITCH_MAX_EVENTS, &used)
            source.watch.left -= n
        s.at += used
        s.failed = s.decoder.tally.strict and s.decoder.tally.total != failed
        if likely(n > 0):
            break
        if unlikely(s.failed):
            return SOURCE_ERROR
        if used == 0:
            return SOURCE_REFILL
    out.events = s.events
    out.changes = NULL
    out.n = <unsigned int> n
    out.first = 0
    out.own = out.open = False
    return SOURCE_OK


@cython.final
cdef class ItchSource(Source):
    """ItchSource(chunks, decoder)\n--\n\n
    ItchSource(chunks, decoder)\n--\n
    Length-prefixed ITCH messages, decoded as the run takes them.

    Parameters
    ----------
    chunks : iterable of bytes-like
        Stretches of the stream, as ``hft.feeds.itch.open_itch`` yields them; a message may go on in the next one.
    decoder : ItchDecoder
        Knows the day and the ids; strict: the first malformed message ends the run with CorruptDataError, whose attribute `offset` is
        that of its length prefix in the stream.

    Attributes
    ----------
    decoder : ItchDecoder
        Counts and errors.
    """

    def __cinit__(self, chunks, ItchDecoder decoder not None):
        self._chunks = iter(chunks)
        self.decoder = decoder
        self._i.base.next = itch_next
        self._i.base.watch = &NO_WATCH
        self._i.decoder = decoder._d
        self._i.events = <event_t*> fc_alloc(SOURCE_BATCH + ITCH_MAX_EVENTS, sizeof(event_t))
        if self._i.events == NULL:
            raise MemoryError("no memory for the events of a source")
        self._source = &self._i.base

    def __dealloc__(self):
        fc_free(self._i.events)

    cdef int enter(self) except -1:
        return self.decoder._enter()

    cdef void leave(self) noexcept:
        self.decoder._leave()

    cdef bint refill(self) except -1:
        cdef const uint8_t[::1] view
        for chunk in self._chunks:
            if self._i.at < self._i.length:  # a message that goes on
                chunk = bytes(memoryview(self._chunk)[self._i.at :]) + bytes(chunk)
            view = chunk
            if view.shape[0] == 0:
                continue
            self._chunk = view
            self._i.data = &view[0]
            self._i.length = view.shape[0]
            self._i.at = 0
            return True
        return False

    cdef int fail(self) except -1:
        cdef ItchDecoder decoder = self.decoder
        error = CorruptDataError(
            f"ITCH stream must hold whole messages of version 5.0: {RESULTS[decoder._tally.last.code][0]} "
            f"type={chr(decoder._tally.last.type)!r} offset={decoder._tally.last.offset}"
        )
        error.offset = decoder._tally.last.offset
        raise error

    @property
    def left(self):
        """Bytes of a message that is not whole."""
        return self._i.length - self._i.at

    def __repr__(self):
        return f"ItchSource({self.decoder!r})"
