"""Contract of the ITCH source: bytes to events in small batches that stay in the nearest cache, without a copy of an event."""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint64_t

from fastcore.records cimport event_t
from fastcore.source cimport Source, source_t
from fastcore.wire.itch cimport ItchDecoder, itch_decoder_t


ctypedef struct itch_source_t:
    source_t base
    itch_decoder_t* decoder
    const uint8_t* data
    size_t length
    size_t at
    event_t* events         # SOURCE_BATCH of them
    bint failed             # strict, and the message behind the last batch is malformed


@cython.final
cdef class ItchSource(Source):
    cdef itch_source_t _i
    cdef readonly ItchDecoder decoder
    cdef object _chunks     # iterator
    cdef object _chunk      # keeps the memory of the present one
