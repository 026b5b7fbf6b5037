"""What the decoders of JSON lines share: the table of symbols, how they are numbered and scaled, and the call that decodes."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from fastcore.records cimport event_t
from fastcore.wire.tally cimport _Decoder, tally_t


cdef enum:
    LINES_NAME = 32             # bytes of a symbol
    LINES_MAX_SYMBOLS = 65536
    LINES_FULL = -1000          # outcome of a line: its events do not fit behind those that are there

# What the symbol of any decoder starts with.
ctypedef struct line_symbol_t:
    uint8_t name[LINES_NAME]
    uint32_t length
    uint32_t symbol_id
    int price_decimals          # -1: as many as the first image has
    int size_decimals
    int64_t exch_ns             # of the latest message that had one

# What any decoder starts with.
ctypedef struct lines_t:
    tally_t tally
    uint8_t* symbols            # each of symbol_size bytes
    size_t symbol_size
    uint32_t symbol_count
    uint32_t symbol_capacity
    uint32_t* table             # open addressing: index + 1, 0 free
    uint32_t table_size
    int price_decimals          # of symbols that have not their own
    int size_decimals
    bint no_memory
    uint64_t stale              # messages that the book could not use
    uint64_t gaps


# The index of a symbol that is there already; NO_SYMBOL otherwise.
cdef uint32_t symbol_known(const lines_t* d, const uint8_t* text, size_t length) noexcept nogil
# The index of a symbol, which is new if need be; NO_SYMBOL where it can be none.
cdef uint32_t symbol_index(lines_t* d, const uint8_t* text, size_t length) noexcept nogil

cdef inline line_symbol_t* symbol_at(const lines_t* d, uint32_t index) noexcept nogil:
    return <line_symbol_t*> (d.symbols + index * d.symbol_size)


cdef inline uint64_t hash_words(uint64_t a, uint64_t b, uint64_t c) noexcept nogil:
    cdef uint64_t h = (a ^ (b << 29 | b >> 35) ^ (c << 51 | c >> 13)) * <uint64_t> 0x9E3779B97F4A7C15
    h ^= (b * <uint64_t> 0xC2B2AE3D27D4EB4F) ^ (c * <uint64_t> 0x165667B19E3779F9)
    h ^= h >> 32
    h *= <uint64_t> 0x9E3779B97F4A7C15
    return h ^ (h >> 29)


cdef inline void set_head(
    event_t* e, const line_symbol_t* s, uint8_t kind, uint16_t flags, uint64_t seq, int64_t exch_ns, int64_t local_ns
) noexcept nogil:
    e.seq = seq
    e.exch_ns = exch_ns
    e.local_ns = local_ns
    e.symbol_id = s.symbol_id
    e.kind = kind
    e.flags = flags


cdef class _LineDecoder(_Decoder):
    cdef lines_t* _lines        # the decoder, whose first member it is
    cdef str _venue
    cdef int _open(
        self, lines_t* lines, size_t symbol_size, object price_decimals, object size_decimals, object strict, str venue, tuple types
    ) except -1
    cdef uint32_t _index(self, object symbol) except? 0xFFFFFFFF
