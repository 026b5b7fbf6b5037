/* What the decoders of JSON lines share: exact decimals and integers, a validator, a skipper.

   Nothing reads at or behind `end`. Numbers are read eight digits at a time where FC_NUMBER_SLACK bytes are there, else digit by
   digit. Escapes are not read anywhere: a line with a backslash is refused before. */
#ifndef FC_JSON_H
#define FC_JSON_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "fc_checked.h"

#if defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
#endif
#if defined(__SSE2__) || (defined(_M_X64) && !defined(_M_ARM64EC))
#include <emmintrin.h>
#define FC_JSON_SSE2
#endif

enum { FC_JSON_DEPTH = 64 }; /* nesting of objects and arrays: one bit of a word for each */

enum fc_json_type {
    FC_JSON_NONE = 0,
    FC_JSON_STRING = 1,
    FC_JSON_NUMBER = 2,
    FC_JSON_TRUE = 3,
    FC_JSON_FALSE = 4,
    FC_JSON_NULL = 5,
    FC_JSON_ARRAY = 6,
    FC_JSON_OBJECT = 7
};

/* One value: the text of a string without its quotes, of anything else from its first to its last byte. */
typedef struct fc_json_span {
    const uint8_t *at;
    size_t length;
    int type;
} fc_json_span_t;

static const uint64_t fc_pow10[20] = {
    1ull, 10ull, 100ull, 1000ull, 10000ull, 100000ull, 1000000ull, 10000000ull, 100000000ull, 1000000000ull, 10000000000ull,
    100000000000ull, 1000000000000ull, 10000000000000ull, 100000000000000ull, 1000000000000000ull, 10000000000000000ull,
    100000000000000000ull, 1000000000000000000ull, 10000000000000000000ull,
};

/* Eight bytes, the first one lowest. */
static inline uint64_t fc_le64(const uint8_t *p) {
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    uint64_t v = 0;
    for (int i = 0; i < 8; i++) v |= (uint64_t)p[i] << (8 * i);
    return v;
#else
    uint64_t v;
    memcpy(&v, p, 8);
    return v;
#endif
}

#define FC_ZEROS 0x3030303030303030ull /* eight digits */

/* Whether the first 1..8 bytes at p, of which eight can be read, are those of a word. */
static inline int fc_begins(const uint8_t *p, uint64_t word, int bytes) { return (fc_le64(p) ^ word) << (64 - 8 * bytes) == 0; }

/* What stands between a price and its size, and between two levels; with the spaces that some put behind commas. */
#define FC_BETWEEN 0x222C22ull            /* "," */
#define FC_BETWEEN_SPACED 0x22202C22ull   /* ", " */
#define FC_NEXT_LEVEL 0x225B2C5D22ull     /* "],[" */
#define FC_NEXT_SPACED 0x225B202C5D22ull  /* "], [" */

/* By a number of bytes: the factor that moves the first ones of a word to its end and drops the others (a shift by 64 is none). */
static const uint64_t fc_lift[9] = {0, 1ull << 56, 1ull << 48, 1ull << 40, 1ull << 32, 1ull << 24, 1ull << 16, 1ull << 8, 1};

/* Bit 7 of each byte that is not 0..9, up to the first such one: a carry out of it falsifies those behind. Other bits mean nothing. */
static inline uint64_t fc_no_digits(uint64_t values) { return (values + 0x7676767676767676ull) | values; }

/* How many of eight bytes are digits, whose values are given, before the first that is none. */
static inline int fc_digits(uint64_t values) {
    uint64_t other = fc_no_digits(values) & 0x8080808080808080ull;
#if defined(_MSC_VER) && !defined(__clang__)
    unsigned long bit;
    return _BitScanForward64(&bit, other) ? (int)(bit >> 3) : 8;
#else
    return other ? __builtin_ctzll(other) >> 3 : 8;
#endif
}

/* The number that eight digits spell, each as its value 0..9, the first one lowest: pairs, fours, all. */
static inline uint64_t fc_eight_digits(uint64_t digits) {
    digits = (digits * (10 << 8 | 1) >> 8) & 0x00FF00FF00FF00FFull;
    digits = (digits * (100 << 16 | 1) >> 16) & 0x0000FFFF0000FFFFull;
    return digits * (10000ull << 32 | 1) >> 32;
}

/* The number of the first `count` (0..8) bytes; what is no digit shows in bits 7 of `wrong`. */
static inline uint64_t fc_some_digits(uint64_t chunk, uint64_t lift, uint64_t *wrong) {
    uint64_t values = (chunk ^ FC_ZEROS) * lift;
    *wrong |= fc_no_digits(values);
    return fc_eight_digits(values);
}

enum { FC_NUMBER_SLACK = 32 }; /* bytes that the quick forms of numbers may read from where a number starts */

/* A whole number of `length` (1..19) digits, which need not be the last ones; NULL where they are no JSON number. */
static inline const uint8_t *fc_uint_of(const uint8_t *p, int length, int64_t *value) {
    uint64_t wrong = 0, v;
    if (length <= 8) {
        v = fc_some_digits(fc_le64(p), fc_lift[length], &wrong);
    } else {
        v = fc_some_digits(fc_le64(p), fc_lift[length <= 16 ? length - 8 : 8], &wrong) * 100000000;
        v += fc_some_digits(fc_le64(p + (length <= 16 ? length - 8 : 8)), 1, &wrong);
        if (length > 16) v = v * fc_pow10[length - 16] + fc_some_digits(fc_le64(p + 16), fc_lift[length - 16], &wrong);
    }
    if (wrong & 0x8080808080808080ull || v > INT64_MAX || (length > 1 && *p == '0')) return NULL; /* 19 digits fit uint64 */
    *value = (int64_t)v;
    return p + length;
}

/* A JSON number that is a whole one in 0..2**63-1: NULL where it is not, else the place behind its digits. */
static inline const uint8_t *fc_json_uint(const uint8_t *p, const uint8_t *end, int64_t *value) {
    const uint8_t *start = p;
    int64_t v = 0;
    for (; p < end && *p >= '0' && *p <= '9'; p++)
        if (fc_mul_overflow(v, 10, &v) || fc_add_overflow(v, *p - '0', &v)) return NULL;
    if (p == start || (*start == '0' && p - start > 1)) return NULL;
    *value = v;
    return p;
}

/* The same where as many digits are expected as the number like it had before; else the count is corrected. */
static inline const uint8_t *fc_json_uint_like(const uint8_t *p, const uint8_t *end, uint8_t *length, int64_t *value) {
    const uint8_t *next;
    if (*length && end - p >= FC_NUMBER_SLACK && (uint8_t)(p[*length] - '0') > 9) {
        next = fc_uint_of(p, *length, value);
        if (next) return next;
    }
    next = fc_json_uint(p, end, value);
    if (next) *length = (uint8_t)(next - p);
    return next;
}

enum fc_decimal_result { FC_DECIMAL_OK = 0, FC_DECIMAL_SYNTAX = 1, FC_DECIMAL_RANGE = 2 };

/* Digits with at most one point between them, as an exact multiple of 10**-decimals (0..18). `*at` moves behind it unless
   the syntax is wrong; FC_DECIMAL_RANGE: it does not fit int64, or has a digit that is not zero below the last decimal. */
static inline int fc_decimal(const uint8_t **at, const uint8_t *end, int decimals, int64_t *value) {
    const uint8_t *p = *at;
    int64_t v = 0;
    int places = 0, lost = 0, digits = 0;
    for (; p < end && *p >= '0' && *p <= '9'; p++, digits++)
        lost |= fc_mul_overflow(v, 10, &v) | fc_add_overflow(v, *p - '0', &v);
    if (!digits) return FC_DECIMAL_SYNTAX;
    if (p < end && *p == '.') {
        p++;
        for (digits = 0; p < end && *p >= '0' && *p <= '9'; p++, digits++) {
            if (places < decimals) {
                lost |= fc_mul_overflow(v, 10, &v) | fc_add_overflow(v, *p - '0', &v);
                places++;
            } else {
                lost |= *p != '0'; /* a digit below the last decimal must be zero */
            }
        }
        if (!digits) return FC_DECIMAL_SYNTAX;
    }
    *at = p;
    for (; places < decimals; places++) lost |= fc_mul_overflow(v, 10, &v);
    if (lost) return FC_DECIMAL_RANGE;
    *value = v;
    return FC_DECIMAL_OK;
}

/* How the decimals of one field are written. Where the end of a number is known before it is read, the processor reads several at
   once; a search for it would make each wait for the one before. All zero: not known yet, and no text has this shape. */
typedef struct fc_shape {
    uint64_t unit;  /* 10**decimals */
    uint64_t scale; /* 10**(decimals - places), places being the digits behind the point */
    uint64_t lift;  /* of so many bytes */
    uint8_t whole;  /* digits before the point */
    uint8_t point;  /* the byte behind them: '.', or the quote where there is none */
    uint8_t behind; /* bytes from it to the quote */
    uint8_t decimals;
} fc_shape_t;

/* What the quick form reads: a word of digits before the point, one behind it; a result of more decimals might not fit. */
enum { FC_QUICK_WHOLE = 7, FC_QUICK_PLACES = 8, FC_QUICK_DECIMALS = 11 };

/* Forget a shape that belongs to other decimals. */
static inline void fc_shape_for(fc_shape_t *shape, int decimals) {
    if (shape->decimals != decimals) memset(shape, 0, sizeof *shape);
}

/* A decimal with so many digits before the point, of which the rest has this shape; what is no digit shows in bits 7 of `wrong`. */
static inline int64_t fc_decimal_of(const uint8_t *p, int whole, const fc_shape_t *shape, uint64_t *wrong) {
    uint64_t before = fc_some_digits(fc_le64(p), fc_lift[whole], wrong) * shape->unit;
    return (int64_t)(before + fc_some_digits(fc_le64(p + whole + 1), shape->lift, wrong) * shape->scale);
}

/* The decimal at p by its digits one after the other, and its shape for the next one: the place of the quote behind it, NULL where it
   is none or out of range. */
static inline const uint8_t *fc_decimal_anew(const uint8_t *p, const uint8_t *end, int decimals, fc_shape_t *shape, int64_t *value) {
    const uint8_t *start = p, *point;
    ptrdiff_t whole, places;
    if (fc_decimal(&p, end, decimals, value) != FC_DECIMAL_OK || p == end || *p != '"') return NULL;
    point = (const uint8_t *)memchr(start, '.', (size_t)(p - start));
    if (!point) point = p;
    whole = point - start;
    places = point == p ? 0 : p - point - 1;
    memset(shape, 0, sizeof *shape);
    if (whole <= FC_QUICK_WHOLE && places <= FC_QUICK_PLACES && places <= decimals && decimals <= FC_QUICK_DECIMALS) {
        shape->whole = (uint8_t)whole;
        shape->point = *point;
        shape->behind = (uint8_t)(p - point);
        shape->decimals = (uint8_t)decimals;
        shape->unit = fc_pow10[decimals];
        shape->scale = fc_pow10[decimals - places];
        shape->lift = fc_lift[places];
    }
    return p;
}

/* A decimal in a string, from behind its first quote to its last one; NULL as above. Of the decimal like it before, whose shape is one
   for these decimals or none, it has the places, and a price has the digits before the point too: of a size they are counted. */
static inline const uint8_t *fc_json_decimal(
    const uint8_t *p, const uint8_t *end, int is_size, int decimals, fc_shape_t *shape, int64_t *value
) {
    if (end - p >= FC_NUMBER_SLACK) {
        int whole = is_size ? fc_digits(fc_le64(p) ^ FC_ZEROS) : shape->whole;
        uint64_t wrong = 0;
        *value = fc_decimal_of(p, whole, shape, &wrong);
        if (!(wrong & 0x8080808080808080ull) && (unsigned)(whole - 1) < FC_QUICK_WHOLE && p[whole] == shape->point
            && p[whole + shape->behind] == '"')
            return p + whole + shape->behind;
    }
    return fc_decimal_anew(p, end, decimals, shape, value);
}

/* Four words of eight digits, each as its value, as numbers; 0 where a byte is no digit. */
static inline int fc_four_words(const uint64_t words[4], uint32_t numbers[4]) {
#ifdef FC_JSON_SSE2
    __m128i a = _mm_set_epi64x((int64_t)words[1], (int64_t)words[0]), b = _mm_set_epi64x((int64_t)words[3], (int64_t)words[2]);
    const __m128i carry = _mm_set1_epi8(0x76), tens = _mm_set1_epi16(10 << 8 | 1);
    const __m128i hundreds = _mm_set1_epi32(1 << 16 | 100), thousands = _mm_set1_epi32(1 << 16 | 10000);
    __m128i wrong = _mm_or_si128(_mm_or_si128(_mm_add_epi8(a, carry), a), _mm_or_si128(_mm_add_epi8(b, carry), b));
    a = _mm_madd_epi16(_mm_srli_epi16(_mm_mullo_epi16(a, tens), 8), hundreds);
    b = _mm_madd_epi16(_mm_srli_epi16(_mm_mullo_epi16(b, tens), 8), hundreds);
    _mm_storeu_si128((__m128i *)numbers, _mm_madd_epi16(_mm_packs_epi32(a, b), thousands));
    return _mm_movemask_epi8(wrong) == 0;
#else
    uint64_t wrong = 0;
    for (int i = 0; i < 4; i++) {
        wrong |= fc_no_digits(words[i]);
        numbers[i] = (uint32_t)fc_eight_digits(words[i]);
    }
    return !(wrong & 0x8080808080808080ull);
#endif
}

/* Price and size of a level, `price","size"` from behind its first quote to its last one, as above; NULL where they have not the shapes
   of the level before. 2 * FC_NUMBER_SLACK bytes are there. */
static inline const uint8_t *fc_json_level(
    const uint8_t *p, const fc_shape_t *price_shape, const fc_shape_t *size_shape, int64_t *price, int64_t *size
) {
    uint64_t words[4];
    uint32_t numbers[4];
    size_t whole = price_shape->whole;
    const uint8_t *q = p + whole + price_shape->behind;
    if (p[whole] != price_shape->point || !fc_begins(q, FC_BETWEEN, 3)) return NULL;
    words[0] = (fc_le64(p) ^ FC_ZEROS) * fc_lift[whole];
    words[1] = (fc_le64(p + whole + 1) ^ FC_ZEROS) * price_shape->lift;
    words[2] = fc_le64(q + 3) ^ FC_ZEROS;
    whole = (size_t)fc_digits(words[2]);
    p = q + 3 + whole;
    q = p + size_shape->behind;
    if (whole - 1 >= FC_QUICK_WHOLE || *p != size_shape->point || *q != '"') return NULL;
    words[2] *= fc_lift[whole];
    words[3] = (fc_le64(p + 1) ^ FC_ZEROS) * size_shape->lift;
    if (!fc_four_words(words, numbers)) return NULL;
    *price = (int64_t)(numbers[0] * price_shape->unit + numbers[1] * price_shape->scale);
    *size = (int64_t)(numbers[2] * size_shape->unit + numbers[3] * size_shape->scale);
    return q;
}

static inline const uint8_t *fc_json_space(const uint8_t *p, const uint8_t *end) {
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\r' || *p == '\n')) p++;
    return p;
}

/* Behind the closing quote of a string that starts at p; NULL where it does not end or holds a control character. */
static inline const uint8_t *fc_json_string(const uint8_t *p, const uint8_t *end) {
    for (p++; p < end; p++) {
        if (*p == '"') return p + 1;
        if (*p < 0x20 || *p == '\\') return NULL;
    }
    return NULL;
}

static inline const uint8_t *fc_json_number(const uint8_t *p, const uint8_t *end) {
    const uint8_t *start;
    if (p < end && *p == '-') p++;
    if (p >= end || *p < '0' || *p > '9') return NULL;
    if (*p == '0') p++;
    else
        while (p < end && *p >= '0' && *p <= '9') p++;
    if (p < end && *p == '.') {
        for (start = ++p; p < end && *p >= '0' && *p <= '9'; p++) {}
        if (p == start) return NULL;
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        if (p < end && (*p == '+' || *p == '-')) p++;
        for (start = p; p < end && *p >= '0' && *p <= '9'; p++) {}
        if (p == start) return NULL;
    }
    return p;
}

/* Behind the value that starts at p, NULL where it is not JSON (RFC 8259) or nests deeper than FC_JSON_DEPTH. */
static inline const uint8_t *fc_json_value(const uint8_t *p, const uint8_t *end) {
    uint64_t objects = 0; /* bit 0: whether the innermost container is an object */
    int depth = 0;
    for (;;) {
        p = fc_json_space(p, end);
        if (p >= end) return NULL;
        switch (*p) {
        case '{':
        case '[':
            if (depth == FC_JSON_DEPTH) return NULL;
            objects = objects << 1 | (*p == '{');
            depth++;
            p = fc_json_space(p + 1, end);
            if (p < end && *p == ((objects & 1) ? '}' : ']')) break; /* empty: closed below */
            if (objects & 1) goto key;
            continue;
        case '"':
            p = fc_json_string(p, end);
            break;
        case 't':
            p = end - p >= 4 && memcmp(p, "true", 4) == 0 ? p + 4 : NULL;
            break;
        case 'f':
            p = end - p >= 5 && memcmp(p, "false", 5) == 0 ? p + 5 : NULL;
            break;
        case 'n':
            p = end - p >= 4 && memcmp(p, "null", 4) == 0 ? p + 4 : NULL;
            break;
        default:
            p = fc_json_number(p, end);
        }
        if (!p) return NULL;
        for (;;) { /* behind a value: close what it ends, or go on to the next one */
            if (depth == 0) return p;
            p = fc_json_space(p, end);
            if (p >= end) return NULL;
            if (*p == ((objects & 1) ? '}' : ']')) {
                objects >>= 1;
                depth--;
                p++;
                continue;
            }
            if (*p != ',') return NULL;
            p++;
            break;
        }
        if (!(objects & 1)) continue;
    key:
        p = fc_json_space(p, end);
        if (p >= end || *p != '"' || !(p = fc_json_string(p, end))) return NULL;
        p = fc_json_space(p, end);
        if (p >= end || *p++ != ':') return NULL;
    }
}

/* The value at p of a text that fc_json_value has accepted, and the place behind it. */
static inline const uint8_t *fc_json_span(const uint8_t *p, const uint8_t *end, fc_json_span_t *span) {
    const uint8_t *next;
    int depth = 0;
    p = fc_json_space(p, end);
    span->at = p;
    switch (p < end ? *p : 0) {
    case '"':
        next = fc_json_string(p, end);
        if (!next) next = end;
        span->type = FC_JSON_STRING;
        span->at = p + 1;
        span->length = (size_t)(next - p) - 2;
        return next;
    case '{':
    case '[':
        span->type = *p == '{' ? FC_JSON_OBJECT : FC_JSON_ARRAY;
        for (next = p; next < end; next++) {
            if (*next == '"') {
                do next++;
                while (next < end && *next != '"');
            } else if (*next == '{' || *next == '[') {
                depth++;
            } else if ((*next == '}' || *next == ']') && --depth == 0) {
                next++;
                break;
            }
        }
        break;
    default:
        for (next = p; next < end && *next != ',' && *next != '}' && *next != ']' && *next > ' '; next++) {}
        span->type = p >= end     ? FC_JSON_NONE
                     : *p == 't' ? FC_JSON_TRUE
                     : *p == 'f' ? FC_JSON_FALSE
                     : *p == 'n' ? FC_JSON_NULL
                                 : FC_JSON_NUMBER;
    }
    span->length = (size_t)(next - p);
    return next;
}

#endif
