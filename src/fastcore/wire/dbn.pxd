"""Databento DBN records to events: the contract. Layouts and rules in ``dbn.pyx``."""

cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from fastcore.records cimport event_t
from fastcore.symbols cimport keys_t

cdef enum:
    DBN_PASSED = 0xFFFFFFFE  # symbol id of instruments whose records are counted and make no event
    DBN_WAIT = 4096          # events of a venue event that may wait for its end
    DBN_TYPES = 3            # mbo, trades, mbp-1

ctypedef struct dbn_decoder_t:
    uint64_t counts[DBN_TYPES][256]  # records by type and action
    keys_t ids                       # publisher, instrument << 16 and a mark (no key is 0) -> symbol id, or DBN_PASSED
    uint64_t last                    # key of the record before; 0 at first
    uint32_t last_id                 # its symbol id
    uint64_t mark                    # what its publisher adds to the references of orders
    uint64_t unknown                 # key at which decoding stopped: it has no symbol id; 0 for none
    uint64_t from_ns                 # receive time from which the symbol ids hold
    uint64_t for_ns                  # how long
    int32_t publisher                # whose references of orders stay as they are; -1 not known yet
    uint32_t extra                   # bytes behind each record: 8 where records carry the send time
    bint joined                      # records of one venue event are continued
    bint outside                     # the record at hand is of a time for which the symbol ids do not hold
    bint blocked                     # the record at hand is of another type, or malformed


# Records from `data`: events written (at most `capacity`), bytes of whole messages in `consumed`.
cdef ptrdiff_t dbn_decode_batch(
    dbn_decoder_t* d, const uint8_t* data, size_t length, event_t* out, size_t capacity, bint final, size_t* consumed
) noexcept nogil


@cython.final
cdef class DbnDecoder:
    cdef dbn_decoder_t* _d
    cdef uint64_t _busy
