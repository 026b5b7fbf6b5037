"""NASDAQ TotalView-ITCH 5.0 to 64-byte events and back: the contract. Field tables in ``itch.pyx``."""

cimport cython
from libc.stdint cimport int8_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from fastcore.records cimport (
    FLAG_NOT_PRINTABLE,
    NO_PRICE,
    RESULT_BAD_LENGTH,
    RESULT_CORRUPT,
    RESULT_OK,
    RESULT_UNKNOWN_TYPE,
    be16,
    be32,
    be48,
    be64,
    event_t,
    likely,
    unlikely,
)
from fastcore.wire.tally cimport _Decoder, tally_fail, tally_t

# Largest message, and with its length prefix: what itch_encode may write; most events that one message makes.
cdef enum:
    ITCH_MAX_MESSAGE = 50
    ITCH_MAX_FRAME = 52
    ITCH_MAX_EVENTS = 3
    ITCH_LOCATES = 65536

# How one message type becomes an event. Absent fields read offset 0 (always inside the message) through a zero mask,
# so that all order messages run through the same instructions without a branch on their type.
ctypedef struct itch_layout_t:
    uint64_t match_mask     # of the 8 bytes at `match`
    int64_t no_price        # NO_PRICE where the message has no price, else 0
    uint32_t price_mask
    uint32_t size_mask
    uint16_t length         # exact length of the message; 0 an unknown type
    uint16_t flags          # flags that the type always carries
    uint8_t kind            # of the event
    uint8_t rare            # decoded field by field in itch_decode_rare: how many events it makes; 0 an order message
    uint8_t size            # offsets
    uint8_t price
    uint8_t match
    uint8_t side            # offset of the side letter
    uint8_t side_mask       # 0xFF where there is one
    uint8_t side_free       # 1 where there is none
    uint8_t printable       # offset of the printable letter
    uint8_t printable_mask
    uint8_t symbol          # offset of the eight bytes of the symbol; 0 where there is none
    uint8_t pad

# What a message says and its events do not: WIRE_DTYPE.
ctypedef struct itch_wire_t:
    uint64_t symbol         # its eight bytes in memory order; 0 for a type without one
    uint16_t locate
    uint16_t tracking
    uint8_t type
    uint8_t printable       # of C, else 0
    uint16_t pad

# payload[1..3] of the listing event of a locate
ctypedef struct itch_listing_t:
    int64_t payload[3]

ctypedef struct itch_decoder_t:
    tally_t tally
    int64_t midnight_ns         # added to the time of day of every message: ns since the UNIX epoch
    uint32_t* symbol_ids        # by locate; NULL: the symbol id is the locate
    uint64_t* symbols           # by locate: the eight bytes of the symbol, from its listing; 0 not listed
    itch_layout_t layouts[256]  # by type
    int8_t sides[256]           # letter -> side
    itch_listing_t* listings    # by locate: the rest of its listing

ctypedef struct itch_encoder_t:
    int64_t midnight_ns
    uint64_t* symbols           # by locate, as above
    char types[256]             # by kind: the type of its messages, 0 for none; A also means F, E also C, Y any notice


cdef int itch_decoder_init(itch_decoder_t* d, int64_t midnight_ns, bint strict) noexcept nogil
cdef void itch_decoder_free(itch_decoder_t* d) noexcept nogil
# A message that is no order message and whose length was checked before; as itch_decode.
cdef int itch_decode_rare(
    itch_decoder_t* d, const uint8_t* message, uint64_t offset, event_t* out, size_t room
) noexcept nogil
# Length-prefixed messages from `data`: events written (at most `capacity`), bytes of whole messages in `consumed`.
# Stops before a message that is not whole, before one whose events do not all fit, and in strict mode before a malformed
# one. With a capacity of ITCH_MAX_EVENTS it never stops at a whole message without an event.
cdef ptrdiff_t itch_decode_batch(
    itch_decoder_t* d, const uint8_t* data, size_t length, event_t* out, size_t capacity, size_t* consumed
) noexcept nogil
# The same with one row of `wire` for each event; the events of one message have equal rows.
cdef ptrdiff_t itch_decode_wire(
    itch_decoder_t* d, const uint8_t* data, size_t length, event_t* out, itch_wire_t* wire, size_t capacity, size_t* consumed
) noexcept nogil

cdef int itch_encoder_init(itch_encoder_t* c, int64_t midnight_ns) noexcept nogil
cdef void itch_encoder_free(itch_encoder_t* c) noexcept nogil
# The message at the head of `count` events, with its length prefix, into `out` (ITCH_MAX_FRAME bytes of room): bytes
# written, or -result code; the events that it took in `used`. `wire`: the row of the first event, or NULL.
cdef int itch_encode(
    itch_encoder_t* c, const event_t* e, size_t count, const itch_wire_t* wire, uint8_t* out, size_t* used
) noexcept nogil
# The same: all but order messages without `wire`, apart from the loop.
cdef int itch_encode_rare(
    itch_encoder_t* c, const event_t* e, size_t count, const itch_wire_t* wire, uint8_t* out, size_t* used
) noexcept nogil


cdef inline int itch_decode_at(
    itch_decoder_t* d, const uint8_t* message, size_t length, uint64_t offset, event_t* out, size_t room
) noexcept nogil:
    """As itch_decode, for a message `offset` bytes behind d.tally.position."""
    cdef const itch_layout_t* l
    cdef uint8_t type
    cdef uint16_t locate
    cdef int8_t side
    if unlikely(length == 0):
        return tally_fail(&d.tally, offset, RESULT_BAD_LENGTH, 0)
    type = message[0]
    l = &d.layouts[type]
    if unlikely(l.length != length):
        if l.length == 0:
            return tally_fail(&d.tally, offset, RESULT_UNKNOWN_TYPE, type)
        return tally_fail(&d.tally, offset, RESULT_BAD_LENGTH, type)
    if unlikely(l.rare):
        return itch_decode_rare(d, message, offset, out, room)
    side = d.sides[message[l.side]] & <int8_t> l.side_mask
    # One test for all types: whether a type has a side must not become a branch.
    if unlikely((side | l.side_free) == 0):
        return tally_fail(&d.tally, offset, RESULT_CORRUPT, type)
    locate = be16(message + 1)
    out.exch_ns = d.midnight_ns + <int64_t> be48(message + 5)
    out.local_ns = 0
    out.symbol_id = locate if d.symbol_ids == NULL else d.symbol_ids[locate]
    out.kind = l.kind
    out.side = side
    out.flags = l.flags | (FLAG_NOT_PRINTABLE if (message[l.printable] & l.printable_mask) == c'N' else 0)
    out.price = <int64_t> (be32(message + l.price) & l.price_mask) | l.no_price
    out.size = be32(message + l.size) & l.size_mask
    out.order_id = <int64_t> be64(message + 11)
    out.match_id = <int64_t> (be64(message + l.match) & l.match_mask)
    d.tally.counts[type] += 1
    return 1


cdef inline int itch_decode(
    itch_decoder_t* d, const uint8_t* message, size_t length, event_t* out, size_t room
) noexcept nogil:
    """Decode one message without its length prefix: the events written, or -result code for a malformed one; both are counted.

    `room` is the number of events that `out` holds, at least 1; 0 comes back, and nothing is counted, where that is not
    enough for all events of the message (ITCH_MAX_EVENTS always is). `seq` is left alone: it belongs to whoever publishes
    the event. `out` is unspecified after an error. The caller keeps d.tally.position, from which errors are reported.
    """
    return itch_decode_at(d, message, length, 0, out, room)


@cython.final
cdef class ItchDecoder(_Decoder):
    cdef itch_decoder_t* _d


@cython.final
cdef class ItchEncoder:
    cdef itch_encoder_t _c
