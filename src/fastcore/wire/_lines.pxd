"""What the decoders of JSON lines share: reading values, the table of symbols, errors, and their Python face."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memchr, memcmp

from fastcore.records cimport RESULT_CORRUPT, event_t


cdef extern from "fc_json.h" nogil:
    ctypedef struct span_t "fc_json_span_t":
        const uint8_t* at
        size_t length
        int type
    cdef enum:
        JSON_STRING "FC_JSON_STRING"
        JSON_NUMBER "FC_JSON_NUMBER"
        JSON_TRUE "FC_JSON_TRUE"
        JSON_FALSE "FC_JSON_FALSE"
        JSON_ARRAY "FC_JSON_ARRAY"
        JSON_OBJECT "FC_JSON_OBJECT"
        DECIMAL_OK "FC_DECIMAL_OK"
        DECIMAL_SYNTAX "FC_DECIMAL_SYNTAX"
    uint64_t le64 "fc_le64"(const uint8_t*)
    const uint8_t* json_uint "fc_json_uint"(const uint8_t*, const uint8_t*, int64_t*)
    int json_decimal "fc_decimal"(const uint8_t**, const uint8_t*, int, int64_t*)
    const uint8_t* json_space "fc_json_space"(const uint8_t*, const uint8_t*)
    const uint8_t* json_value "fc_json_value"(const uint8_t*, const uint8_t*)
    const uint8_t* json_span "fc_json_span"(const uint8_t*, const uint8_t*, span_t*)

cdef enum:
    LINES_NAME = 32             # bytes of a symbol
    LINES_MAX_SYMBOLS = 65536
    LINES_ERROR_LOG = 64
    LINES_FULL = -1000          # outcome of a line: its events do not fit behind those that are there

# What the symbol of any decoder starts with.
ctypedef struct line_symbol_t:
    uint8_t name[LINES_NAME]
    uint32_t length
    uint32_t symbol_id
    int price_decimals          # -1: as many as the first image has
    int size_decimals
    int64_t exch_ns             # of the latest message that had one

ctypedef struct line_error_t:
    uint64_t offset             # of the line in the stream
    int code

# What any decoder starts with.
ctypedef struct lines_t:
    uint64_t position           # bytes of the stream consumed before this batch
    uint8_t* symbols            # each of symbol_size bytes
    size_t symbol_size
    uint32_t symbol_count
    uint32_t symbol_capacity
    uint32_t* table             # open addressing: index + 1, 0 free
    uint32_t table_size
    int price_decimals          # of symbols that have not their own
    int size_decimals
    bint strict
    bint no_memory
    size_t needed               # events of the message that did not fit; 0: all did
    uint64_t counts[8]          # well-formed messages by type
    uint64_t errors[32]         # malformed lines by result code
    uint64_t total_errors
    uint64_t stale              # messages that the book could not use
    uint64_t gaps
    line_error_t log[LINES_ERROR_LOG]
    line_error_t last           # the latest error


# The index of a symbol, which is new if need be; NO_SYMBOL where it can be none.
cdef uint32_t symbol_index(lines_t* d, const uint8_t* text, size_t length) noexcept nogil

# Count a malformed line.
cdef void lines_fail(lines_t* d, uint64_t offset, int code) noexcept nogil


cdef inline line_symbol_t* symbol_at(const lines_t* d, uint32_t index) noexcept nogil:
    return <line_symbol_t*> (d.symbols + index * d.symbol_size)


cdef inline uint64_t hash_words(uint64_t a, uint64_t b, uint64_t c) noexcept nogil:
    cdef uint64_t h = (a ^ (b << 29 | b >> 35) ^ (c << 51 | c >> 13)) * <uint64_t> 0x9E3779B97F4A7C15
    h ^= (b * <uint64_t> 0xC2B2AE3D27D4EB4F) ^ (c * <uint64_t> 0x165667B19E3779F9)
    h ^= h >> 32
    h *= <uint64_t> 0x9E3779B97F4A7C15
    return h ^ (h >> 29)


cdef inline bint same(const span_t* s, const char* word, size_t size) noexcept nogil:
    return s.type == JSON_STRING and s.length == size and memcmp(s.at, word, size) == 0


cdef inline bint next_value(const uint8_t** at, const uint8_t* end, span_t* value) noexcept nogil:
    """The next value of an array of valid JSON, from behind its bracket or the value before; False: there is none."""
    cdef const uint8_t* p = json_space(at[0], end)
    if p < end and p[0] == c',':
        p = json_space(p + 1, end)
    if p >= end or p[0] == c']':
        return False
    at[0] = json_span(p, end, value)
    return True


cdef inline bint next_member(const uint8_t** at, const uint8_t* end, span_t* key, span_t* value) noexcept nogil:
    """The same of an object."""
    cdef const uint8_t* p = json_space(at[0], end)
    if p < end and p[0] == c',':
        p = json_space(p + 1, end)
    if p >= end or p[0] == c'}':
        return False
    p = json_space(json_span(p, end, key), end)
    at[0] = json_span(p + 1, end, value)
    return True


cdef inline int elements(const span_t* array, span_t* values, int room) noexcept nogil:
    """The first `room` values of an array of valid JSON; returns how many there are."""
    cdef const uint8_t* p = array.at + 1
    cdef span_t value
    cdef int n = 0
    while next_value(&p, array.at + array.length, &values[n] if n < room else &value):
        n += 1
    return n


cdef inline bint whole_json(const uint8_t* p, const uint8_t* end, span_t* message) noexcept nogil:
    """One value of JSON without escapes, and nothing behind it."""
    cdef const uint8_t* behind
    if memchr(p, c'\\', end - p) != NULL:
        return False
    behind = json_value(p, end)
    if behind == NULL or json_space(behind, end) != end:
        return False
    json_span(p, end, message)
    return True


cdef inline int decimal_of(const span_t* s, int type, int decimals, int64_t* value, int code) noexcept nogil:
    """Read a decimal of a string or number: 0, or the negative result code."""
    cdef const uint8_t* p = s.at
    cdef const uint8_t* end = s.at + s.length
    cdef int result
    if s.type != type:
        return -RESULT_CORRUPT
    result = json_decimal(&p, end, decimals, value)
    if result == DECIMAL_SYNTAX or p != end:
        return -RESULT_CORRUPT
    return 0 if result == DECIMAL_OK else -code


cdef inline void set_head(
    event_t* e, const line_symbol_t* s, uint8_t kind, uint16_t flags, uint64_t seq, int64_t exch_ns, int64_t local_ns
) noexcept nogil:
    e.seq = seq
    e.exch_ns = exch_ns
    e.local_ns = local_ns
    e.symbol_id = s.symbol_id
    e.kind = kind
    e.flags = flags


cdef class _LineDecoder:
    cdef lines_t* _lines        # the decoder, whose first member it is
    cdef str _venue
    cdef tuple _types
    cdef int _open(
        self, lines_t* lines, size_t symbol_size, object price_decimals, object size_decimals, object strict, str venue, tuple types
    ) except -1
    cdef uint32_t _index(self, object symbol) except? 0xFFFFFFFF
    # Lines from `data` into `out`: events written; bytes of whole lines in `consumed`. Stops before a line that does not end
    # in '\n' (unless `final`), before a message whose events do not fit, and in strict mode before a malformed line.
    cdef ptrdiff_t _batch(
        self, const uint8_t* data, size_t length, event_t* out, size_t capacity, size_t* consumed, bint final
    ) noexcept nogil
