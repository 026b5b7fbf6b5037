"""SoupBinTCP logical packets: the contract. Packet tables in ``soup.pyx``."""

cimport cython
from libc.stdint cimport uint8_t, uint32_t, uint64_t

# Longest packet with its length prefix, and the errors that are kept with their offset.
cdef enum:
    SOUP_MAX_PACKET = 65537
    SOUP_ERROR_LOG = 64

# One packet within the bytes that were decoded: SOUP_DTYPE of NumPy.
ctypedef struct soup_packet_t:
    uint64_t offset         # of the payload
    uint64_t sequence       # of a sequenced packet; 0 for the other types
    uint32_t length         # of the payload
    uint8_t type            # letter
    uint8_t pad[3]

ctypedef struct soup_error_t:
    uint64_t offset         # of the length prefix in the stream
    int code                # result code
    uint8_t type            # letter, 0 for none

ctypedef struct soup_decoder_t:
    uint64_t position       # bytes of the stream that are done with
    uint64_t next_sequence  # that the next sequenced packet will have
    uint64_t counts[256]    # well-formed packets by type
    uint64_t unknown[256]   # packets of unknown types
    uint64_t errors[32]     # malformed packets by result code
    uint64_t total_errors
    soup_error_t log[SOUP_ERROR_LOG]
    soup_error_t last
    bint strict             # a batch stops at the first malformed packet

cdef void soup_decoder_init(soup_decoder_t* d, uint64_t next_sequence, bint strict) noexcept nogil
# Packets found in `data` (at most `capacity`), bytes of whole packets in `consumed`. Stops before a packet that is not
# whole, when `out` is full, and in strict mode before a malformed packet.
cdef size_t soup_decode_batch(
    soup_decoder_t* d, const uint8_t* data, size_t length, soup_packet_t* out, size_t capacity, size_t* consumed
) noexcept nogil


@cython.final
cdef class SoupDecoder:
    cdef soup_decoder_t _d
    cdef bytes _rest
