"""SoupBinTCP logical packets: the contract. Packet tables in ``soup.pyx``."""

cimport cython
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from fastcore.wire.tally cimport _Decoder, tally_t

# Longest packet with its length prefix.
cdef enum:
    SOUP_MAX_PACKET = 65537

# One packet within the bytes that were decoded: SOUP_DTYPE of NumPy.
ctypedef struct soup_packet_t:
    uint64_t offset         # of the payload
    uint64_t sequence       # of a sequenced packet; 0 for the other types
    uint32_t length         # of the payload
    uint8_t type            # letter
    uint8_t pad[3]

ctypedef struct soup_decoder_t:
    tally_t tally
    uint64_t next_sequence  # that the next sequenced packet will have

# Packets found in `data` (at most `capacity`), bytes of whole packets in `consumed`. Stops before a packet that is not
# whole, when `out` is full, and in strict mode before a malformed packet.
cdef size_t soup_decode_batch(
    soup_decoder_t* d, const uint8_t* data, size_t length, soup_packet_t* out, size_t capacity, size_t* consumed
) noexcept nogil


@cython.final
cdef class SoupDecoder(_Decoder):
    cdef soup_decoder_t _d
    cdef bytes _rest
