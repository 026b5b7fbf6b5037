"""Databento DBN records to events: the contract. Layouts and rules in ``dbn.pyx``."""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from fastcore.records cimport event_t

cdef enum:
    DBN_FRESH = 256          # instruments that may wait to be asked for
    DBN_KNOWN = 1 << 22      # instrument ids below are remembered, others told whenever they follow another one
    DBN_WAIT = 4096          # events of a venue event that may wait for its end
    DBN_TYPES = 3            # mbo, trades, mbp-1

ctypedef struct dbn_decoder_t:
    uint64_t counts[DBN_TYPES][256]  # records by type and action
    uint8_t* known                   # one bit for each instrument id
    uint32_t fresh[DBN_FRESH]        # instruments not asked for yet
    int fresh_count
    uint32_t last_id                 # instrument of the record before
    bint any_id
    uint32_t extra                   # bytes behind each record: 8 where records carry the send time
    bint joined                      # records of one venue event are continued
    bint blocked                     # the record at hand is of another type, or malformed


# Records from `data`: events written (at most `capacity`), bytes of whole messages in `consumed`.
cdef ptrdiff_t dbn_decode_batch(
    dbn_decoder_t* d, const uint8_t* data, size_t length, event_t* out, size_t capacity, bint final, size_t* consumed
) noexcept nogil


@cython.final
cdef class DbnDecoder:
    cdef dbn_decoder_t* _d
