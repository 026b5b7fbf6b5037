"""Raw captures of Kraken's book channel to 64-byte events, every checksum verified: the contract. Rules in ``kraken.pyx``."""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from fastcore.wire._json cimport shape_t
from fastcore.wire._lines cimport _LineDecoder, line_symbol_t, lines_t


cdef extern from "fc_crc32.h" nogil:
    ctypedef struct crc32_table_t "fc_crc32_table_t":
        pass

cdef enum:
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
    line_symbol_t base
    int depth                   # levels of a side, from the latest image; 0 before it
    bint live                   # an image is there and every checksum since agreed
    kraken_side_t bids
    kraken_side_t asks

ctypedef struct kraken_decoder_t:
    lines_t lines
    int depth                   # of all books; 0: what the channel or the image says
    uint64_t checked            # messages with a checksum that could be computed
    uint64_t matched
    uint64_t first_mismatch     # offset of the line
    crc32_table_t crc
    shape_t price               # how prices and sizes were written in the change before
    shape_t size


@cython.final
cdef class KrakenDecoder(_LineDecoder):
    cdef kraken_decoder_t* _d
