"""Values of JSON text: the decoders of lines walk through a message that was found to be valid once."""

from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memchr, memcmp

from fastcore.records cimport RESULT_CORRUPT


cdef extern from "fc_json.h" nogil:
    ctypedef struct shape_t "fc_shape_t":   # how the decimals of a field are written
        pass
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
        NUMBER_SLACK "FC_NUMBER_SLACK"      # bytes behind a number without which it is read digit by digit
    uint64_t le64 "fc_le64"(const uint8_t*)
    bint begins "fc_begins"(const uint8_t*, uint64_t, int)
    const uint64_t BETWEEN "FC_BETWEEN"
    const uint64_t BETWEEN_SPACED "FC_BETWEEN_SPACED"
    const uint64_t NEXT_LEVEL "FC_NEXT_LEVEL"
    const uint64_t NEXT_SPACED "FC_NEXT_SPACED"
    const uint8_t* json_uint "fc_json_uint"(const uint8_t*, const uint8_t*, int64_t*)
    const uint8_t* json_uint_like "fc_json_uint_like"(const uint8_t*, const uint8_t*, uint8_t*, int64_t*)
    int any_decimal "fc_decimal"(const uint8_t**, const uint8_t*, int, int64_t*)
    void shape_for "fc_shape_for"(shape_t*, int)
    const uint8_t* json_decimal "fc_json_decimal"(const uint8_t*, const uint8_t*, bint, int, shape_t*, int64_t*)
    const uint8_t* json_level "fc_json_level"(const uint8_t*, const shape_t*, const shape_t*, int64_t*, int64_t*)
    const uint8_t* json_space "fc_json_space"(const uint8_t*, const uint8_t*)
    const uint8_t* json_value "fc_json_value"(const uint8_t*, const uint8_t*)
    const uint8_t* json_span "fc_json_span"(const uint8_t*, const uint8_t*, span_t*)


cdef inline bint same(const span_t* s, const char* word, size_t size) noexcept nogil:
    return s.type == JSON_STRING and s.length == size and memcmp(s.at, word, size) == 0


# The next value of an array of valid JSON, from behind its bracket or the value before; False: there is none.
cdef inline bint next_value(const uint8_t** at, const uint8_t* end, span_t* value) noexcept nogil:
    cdef const uint8_t* p = json_space(at[0], end)
    if p < end and p[0] == c',':
        p = json_space(p + 1, end)
    if p >= end or p[0] == c']':
        return False
    at[0] = json_span(p, end, value)
    return True


# The same of an object.
cdef inline bint next_member(const uint8_t** at, const uint8_t* end, span_t* key, span_t* value) noexcept nogil:
    cdef const uint8_t* p = json_space(at[0], end)
    if p < end and p[0] == c',':
        p = json_space(p + 1, end)
    if p >= end or p[0] == c'}':
        return False
    p = json_space(json_span(p, end, key), end)
    at[0] = json_span(p + 1, end, value)
    return True


# The first `room` values of an array of valid JSON; returns how many there are.
cdef inline int elements(const span_t* array, span_t* values, int room) noexcept nogil:
    cdef const uint8_t* p = array.at + 1
    cdef span_t value
    cdef int n = 0
    while next_value(&p, array.at + array.length, &values[n] if n < room else &value):
        n += 1
    return n


# One value of JSON without escapes, and nothing behind it.
cdef inline bint whole_json(const uint8_t* p, const uint8_t* end, span_t* message) noexcept nogil:
    cdef const uint8_t* behind
    if memchr(p, c'\\', end - p) != NULL:
        return False
    behind = json_value(p, end)
    if behind == NULL or json_space(behind, end) != end:
        return False
    json_span(p, end, message)
    return True


# Read a decimal of a string or number: 0, or the negative result code.
cdef inline int decimal_of(const span_t* s, int type, int decimals, int64_t* value, int code) noexcept nogil:
    cdef const uint8_t* p = s.at
    cdef const uint8_t* end = s.at + s.length
    cdef int result
    if s.type != type:
        return -RESULT_CORRUPT
    result = any_decimal(&p, end, decimals, value)
    if result == DECIMAL_SYNTAX or p != end:
        return -RESULT_CORRUPT
    return 0 if result == DECIMAL_OK else -code
