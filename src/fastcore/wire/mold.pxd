"""MoldUDP64 packets: the contract. Packet tables in ``mold.pyx``."""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint64_t

from fastcore.records cimport event_t
from fastcore.wire.itch cimport ItchDecoder, itch_decoder_t
from fastcore.wire.tally cimport _Decoder, tally_t

cdef enum:
    MOLD_HEADER = 20            # bytes
    MOLD_END_OF_SESSION = 65535 # as the count
    MOLD_ROOM = 8               # free places of an array of events before a message is decoded: what it may give at most

# One packet while it is walked through; kept where a full array stops the walk.
ctypedef struct mold_cursor_t:
    uint64_t sequence           # of the first message
    size_t length               # of the packet
    size_t at                   # offset of the next message
    uint16_t next               # number of the next message within the packet
    uint16_t count
    uint16_t skip               # messages that were delivered before
    bint active

ctypedef struct mold_decoder_t:
    tally_t tally               # position: bytes of packets that are done with
    uint64_t next_sequence      # expected next; 0 before the first packet
    uint8_t session[10]
    uint8_t previous[10]        # session before
    uint64_t previous_sequence  # that was expected next in it
    bint has_session
    bint has_previous
    bint ended                  # end of session seen
    int64_t last_ns             # exchange time of the last event, for gaps
    mold_cursor_t cursor
    uint64_t packets            # with messages, of any session
    uint64_t messages           # delivered
    uint64_t heartbeats
    uint64_t ends
    uint64_t sessions
    uint64_t gaps
    uint64_t missing            # messages in the gaps
    uint64_t duplicates         # messages dropped because they were delivered before
    uint64_t stale              # packets of the session before
    uint64_t unsequenced        # packets with sequence number 0

# One packet to events: RESULT_OK done, RESULT_FULL `out` is full (call again with the same packet), in strict mode the
# code of what is malformed. `events` counts on.
cdef int mold_decode_packet(
    mold_decoder_t* m, itch_decoder_t* itch, const uint8_t* packet, size_t length, int64_t local_ns, event_t* out,
    size_t capacity, size_t* events
) noexcept nogil
# One packet to its new messages with their length prefixes, and their sequence numbers; `out` has `length` bytes of room,
# `sequences` length / 2.
cdef int mold_extract_packet(
    mold_decoder_t* m, const uint8_t* packet, size_t length, uint8_t* out, size_t* written, uint64_t* sequences,
    size_t* messages
) noexcept nogil


@cython.final
cdef class MoldDecoder(_Decoder):
    cdef mold_decoder_t _m
    cdef ItchDecoder _itch
    cdef int _refuse(self, size_t events, Py_ssize_t packets) except -1


@cython.final
cdef class MoldEncoder:
    cdef uint8_t _session[10]
    cdef uint64_t _sequence
    cdef size_t _max_size
    cdef void _header(self, uint8_t* p, uint16_t count) noexcept nogil
