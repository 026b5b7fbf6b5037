"""OUCH 5.0 messages to 64-byte events and back: the contract. Field tables in ``ouch.pyx``."""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from fastcore.records cimport event_t
from fastcore.symbols cimport SymbolMapper, symbols_t
from fastcore.wire.tally cimport _Decoder, tally_t

cdef enum:
    OUCH_MAX_MESSAGE = 65534    # what a SoupBinTCP packet carries

# Fields of one letter: time in force, display, capacity, sweep, cross type, state, liquidity, strategy, reason.
cdef enum:
    OUCH_REASON = 8
    OUCH_LETTERS

# What of a message its event does not hold: OUCH_DTYPE of NumPy.
ctypedef struct ouch_detail_t:
    uint8_t type
    uint8_t side
    uint8_t letters[OUCH_LETTERS]
    uint8_t has_appendage       # 1 where the length of an appendage is sent, be it 0
    uint32_t prevented_size     # shares that self-match prevention kept from trading
    uint8_t symbol[8]
    uint8_t cl_ord_id[14]
    uint16_t appendage_length
    uint64_t order_reference    # of the venue
    uint64_t execution_price    # ticks, of the trade that self-match prevention kept from happening
    uint64_t appendage_offset   # in the bytes that were decoded
    uint8_t firm[4]
    uint32_t pad

# Where the fields of a message type are: offsets, 0 for a field that it has not (the type is at 0).
ctypedef struct ouch_layout_t:
    uint8_t length              # without the appendage; 0 an unknown type
    uint8_t appendage           # 0 none, 1 optional, 2 always there
    uint8_t kind                # of the event
    uint8_t time                # 8 bytes
    uint8_t reference           # user reference number, 4
    uint8_t original            # of the order that is replaced, 4
    uint8_t side
    uint8_t size                # 4
    uint8_t price               # 8
    uint8_t symbol              # 8
    uint8_t letters[OUCH_LETTERS]
    uint8_t cl_ord_id           # 14
    uint8_t order_reference     # 8
    uint8_t match               # 8
    uint8_t reject_reason       # 2
    uint8_t firm                # 4
    uint8_t prevented_size      # 4
    uint8_t execution_price     # 8

ctypedef struct ouch_decoder_t:
    tally_t tally
    int64_t midnight_ns
    const symbols_t* symbols    # NULL: none
    const ouch_layout_t* layouts    # by type, of one direction

# One message at `message`, `offset` bytes behind the start of what the caller decodes: RESULT_OK or what is malformed, uncounted.
cdef int ouch_decode(
    ouch_decoder_t* d, const uint8_t* message, size_t length, uint64_t offset, event_t* e, ouch_detail_t* t
) noexcept nogil
# One message into `out` (70 bytes more than the appendage of room): its length, or -result code.
cdef int ouch_encode(
    bint outbound, int64_t midnight_ns, const event_t* e, const ouch_detail_t* t, const uint8_t* data, size_t length, uint8_t* out
) noexcept nogil


@cython.final
cdef class OuchDecoder(_Decoder):
    cdef ouch_decoder_t _d
    cdef SymbolMapper _symbols
    cdef readonly bint outbound


@cython.final
cdef class OuchEncoder:
    cdef int64_t _midnight_ns
    cdef readonly bint outbound
