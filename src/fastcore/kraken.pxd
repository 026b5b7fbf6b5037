"""Raw captures of Kraken's book channel to 64-byte events, every checksum verified: the contract. Rules in ``kraken.pyx``."""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from fastcore._types cimport event_t


cdef extern from "fc_crc32.h" nogil:
    ctypedef struct crc32_table_t "fc_crc32_table_t":
        pass

cdef enum:
    KRAKEN_NAME = 32            # bytes of a pair
    KRAKEN_MAX_SYMBOLS = 65536
    KRAKEN_ERROR_LOG = 64
    KRAKEN_FULL = -1000         # outcome of a line: its events do not fit behind those that are there
    KRAKEN_CHECKED = 10         # levels of a side that the checksum covers

ctypedef struct kraken_level_t:
    int64_t price
    int64_t size

# One side of a book, the best level last: most changes are near it.
ctypedef struct kraken_side_t:
    kraken_level_t* levels
    int count
    int capacity

ctypedef struct kraken_symbol_t:
    uint8_t name[KRAKEN_NAME]
    uint32_t length
    uint32_t symbol_id
    int price_decimals          # -1: as many as the first image has
    int size_decimals
    int depth                   # levels of a side, from the latest image; 0 before it
    bint live                   # an image is there and every checksum since agreed
    int64_t exch_ns             # of the latest message that had one
    kraken_side_t bids
    kraken_side_t asks

ctypedef struct kraken_error_t:
    uint64_t offset             # of the line in the stream
    int code
    int type

ctypedef struct kraken_decoder_t:
    uint64_t position           # bytes of the stream consumed before this batch
    kraken_symbol_t* symbols
    uint32_t symbol_count
    uint32_t symbol_capacity
    uint32_t* table             # open addressing: index + 1, 0 free
    uint32_t table_size
    int price_decimals
    int size_decimals
    int depth                   # of all books; 0: what the channel or the image says
    bint strict
    bint no_memory
    size_t needed               # events of the message that did not fit; 0: all did
    uint64_t counts[4]
    uint64_t errors[32]
    uint64_t total_errors
    uint64_t stale              # updates without an image, or behind a mismatch
    uint64_t gaps               # books that a checksum has made stale
    uint64_t checked            # messages with a checksum that could be computed
    uint64_t matched
    uint64_t first_mismatch     # offset of the line
    kraken_error_t log[KRAKEN_ERROR_LOG]
    kraken_error_t last
    crc32_table_t crc


@cython.final
cdef class KrakenDecoder:
    cdef kraken_decoder_t* _d
    cdef uint32_t _index(self, object symbol) except? 0xFFFFFFFF
