"""Text tables: the decimals that their numbers need, and plain columns: the contract."""

cimport cython
cimport numpy as cnp
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

cdef enum:
    DECIMALS_DIGITS = 18    # more digits than any number that 63 bits hold
    DECIMALS_NONE = -64     # of a column without a number: below what any number needs

    PLAIN_WORDS = 64        # different words of a column in a block
    PLAIN_LETTERS = 32      # of a word

ctypedef struct plain_column_t:
    void* out               # values by row
    char form               # i, f, w, or - for none
    int32_t words           # found so far
    int32_t last            # word of the row before
    int32_t lengths[PLAIN_WORDS]
    const uint8_t* texts[PLAIN_WORDS]   # in the block

ctypedef struct decimals_form_t:
    char delimiter          # between fields
    char point              # before the decimals
    char group              # between the digits of thousands, 0 where there are none
    int64_t most            # a number with more decimals than this is left out

# Decimals that the number in [p, end) needs, less than 0 where it ends with zeros before the point (1200: -2); DECIMALS_NONE where
# it is zero, has more than DECIMALS_DIGITS digits, or is no number.
cdef int64_t decimals_needed(const char* p, const char* end, char point, char group) noexcept nogil


@cython.final
cdef class Decimals:
    cdef decimals_form_t _form
    cdef cnp.ndarray _places    # int64 by column
    cdef uint64_t _busy         # a call is inside
    cdef bytearray _wanted      # by column: 1 where it is looked at
