"""NASDAQ TotalView-ITCH 5.0 to 64-byte events and back: the contract. Field tables in ``itch.pyx``."""

cimport cython
from libc.stdint cimport int8_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from fastcore.instruments cimport Instruments, instrument_t, instruments_t
from fastcore.records cimport (
    be16,
    be32,
    be48,
    be64,
    event_t,
    likely,
    unlikely,
)
from fastcore.symbols cimport keys_t
from fastcore.wire.tally cimport _Decoder, tally_t

# Largest message with its length prefix, what itch_encode may write; most events that one message makes.
cdef enum:
    ITCH_MAX_FRAME = 52
    ITCH_MAX_EVENTS = 3
    ITCH_LOCATES = 65536
    ITCH_WINDOW = 44            # bytes from the beginning of an order message that are read, whatever its length is
    ITCH_UNNAMED = -3           # instead of an id, as uint32: no message has named the locate
    ITCH_UNWANTED = -2          # its messages are skipped

# How one message type becomes an event. Absent fields read offset 0 through a zero mask, so that all order messages run
# through the same instructions without a branch on their type.
ctypedef struct itch_layout_t:
    uint64_t match_mask     # of the 8 bytes at `match`
    int64_t no_price        # NO_PRICE where the message has no price, else 0
    uint32_t price_mask
    uint32_t size_mask
    uint32_t side_mask      # of what `sides` has for the letter at offset 19
    uint32_t head           # kind in the lowest byte, flags that the type always carries in the upper two
    uint16_t order_length   # exact length of an order message; of another one 65535, which no byte is
    uint8_t length          # exact length of the message; 0 an unknown type
    uint8_t size            # offsets
    uint8_t price
    uint8_t match
    uint8_t symbol          # of the eight bytes of the symbol; 0 where there is none
    uint8_t rare            # decoded field by field: how many events it makes; 0 an order message

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
    itch_layout_t layouts[256]  # by type
    uint32_t sides[256]         # letter -> side in the second byte; bit 30: no side
    uint32_t* ids               # by locate; NULL: the symbol id is the locate
    instruments_t* instruments  # where ids come from; NULL: they are locates
    instrument_t fields         # of an instrument that is new there
    keys_t wanted               # symbols that are wanted; without a table: all
    bint full                   # the instruments have no room for a symbol
    uint64_t* symbols           # by locate: the eight bytes of the symbol, from its listing; 0 not listed
    itch_listing_t* listings    # by locate: the rest of its listing

ctypedef struct itch_encoder_t:
    int64_t midnight_ns
    uint64_t* symbols           # by locate, as above
    char types[256]             # by kind: the type of its messages, 0 for none; A also means F, E also C, Y any notice


cdef int itch_decoder_init(itch_decoder_t* d, int64_t midnight_ns, bint strict) noexcept nogil
cdef void itch_decoder_free(itch_decoder_t* d) noexcept nogil
# Any message, as itch_decode; reads nothing behind it.
cdef int itch_decode_careful(
    itch_decoder_t* d, const uint8_t* message, size_t length, uint64_t offset, event_t* out, size_t room
) noexcept nogil
# Length-prefixed messages from `data`: events written (at most `capacity`), bytes of whole messages in `consumed`.
# Stops before a message that is not whole, before one whose events do not all fit, in strict mode before a malformed one, and
# before one whose symbol has no room in the instruments (`full`).
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


cdef inline bint itch_order(
    itch_decoder_t* d, const itch_layout_t* l, const uint8_t* message, uint32_t symbol_id, event_t* out
) noexcept nogil:
    """An order message whose length was checked, of which ITCH_WINDOW bytes can be read; False where it has no side."""
    cdef uint32_t head = l.head | (d.sides[message[19]] & l.side_mask)
    if unlikely(head >> 30):
        return False
    out.exch_ns = d.midnight_ns + <int64_t> be48(message + 5)
    out.local_ns = 0
    out.symbol_id = symbol_id
    out.kind = <uint8_t> head
    out.side = <int8_t> (head >> 8)
    out.flags = <uint16_t> (head >> 16)
    out.price = <int64_t> (be32(message + l.price) & l.price_mask) | l.no_price
    out.size = be32(message + l.size) & l.size_mask
    out.order_id = <int64_t> be64(message + 11)
    out.match_id = <int64_t> (be64(message + l.match) & l.match_mask)
    d.tally.counts[message[0]] += 1
    return True


cdef inline int itch_decode(
    itch_decoder_t* d, const uint8_t* message, size_t length, size_t readable, uint64_t offset, event_t* out, size_t room
) noexcept nogil:
    """Decode one message without its length prefix; events written, 0 for one that is not wanted, or -result code.

    `readable` is how many bytes from `message` on are memory of the caller: with ITCH_WINDOW of them an order message is
    decoded in place. `offset` is where its length prefix is, behind d.tally.position. `room` is the number of events that
    `out` holds, at least 1; -RESULT_FULL comes back, and nothing is counted, where that is not enough for all events of the
    message, -RESULT_NO_MEMORY likewise where its symbol has no room in the instruments. Malformed messages are counted. `seq`
    is left alone: it belongs to whoever publishes the event. `out` is unspecified after an error.
    """
    cdef const itch_layout_t* l
    cdef uint32_t symbol_id
    if likely(readable >= ITCH_WINDOW):
        l = &d.layouts[message[0]]
        if likely(length == l.order_length):
            symbol_id = be16(message + 1)
            if d.ids != NULL:
                symbol_id = d.ids[symbol_id]
            if likely(symbol_id < <uint32_t> ITCH_UNNAMED and itch_order(d, l, message, symbol_id, out)):
                return 1
    return itch_decode_careful(d, message, length, offset, out, room)


@cython.final
cdef class ItchDecoder(_Decoder):
    cdef itch_decoder_t* _d
    cdef readonly Instruments instruments
    cdef readonly frozenset wanted


@cython.final
cdef class ItchEncoder:
    cdef itch_encoder_t _c
    cdef uint64_t _busy
