/* What the decoders of JSON lines share: exact decimals and integers eight digits at a time, a validator, a skipper.

   Nothing reads at or behind `end`: a load near the end takes the bytes that are there and pads them with zeros, which are
   no digits. Escapes are not read anywhere: a line with a backslash is refused before. */
#ifndef FC_JSON_H
#define FC_JSON_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "fc_checked.h"

#if defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
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

/* The same, with zeros for what lies behind the end. */
static inline uint64_t fc_le64_until(const uint8_t *p, const uint8_t *end) {
    if (end - p >= 8) return fc_le64(p);
    uint64_t v = 0;
    for (int i = 0; i < 8 && p + i < end; i++) v |= (uint64_t)p[i] << (8 * i);
    return v;
}

/* How many of the eight bytes are digits before the first that is none. */
static inline int fc_digits(uint64_t chunk) {
    uint64_t x = chunk ^ 0x3030303030303030ull;
    /* A carry out of a byte that is no digit falsifies only bytes behind it, which do not count. */
    uint64_t other = ((x + 0x0606060606060606ull) | x) & 0xF0F0F0F0F0F0F0F0ull;
#if defined(_MSC_VER) && !defined(__clang__)
    unsigned long bit;
    return _BitScanForward64(&bit, other) ? (int)(bit >> 3) : 8;
#else
    return other ? __builtin_ctzll(other) >> 3 : 8;
#endif
}

/* The number that the first `count` (1..8) digits spell. */
static inline uint64_t fc_parse_digits(uint64_t chunk, int count) {
    chunk = (chunk & 0x0F0F0F0F0F0F0F0Full) << (64 - 8 * count);
    chunk = (chunk * 10 + (chunk >> 8)) & 0x00FF00FF00FF00FFull;
    chunk = (chunk * 100 + (chunk >> 16)) & 0x0000FFFF0000FFFFull;
    return (chunk * 10000 + (chunk >> 32)) & 0xFFFFFFFFull;
}

/* A JSON number that is a whole one in 0..2**63-1: NULL where it is not, else the place behind its digits. */
static inline const uint8_t *fc_json_uint(const uint8_t *p, const uint8_t *end, int64_t *value) {
    uint64_t chunk = fc_le64_until(p, end), v;
    int count = fc_digits(chunk);
    if (count == 0) return NULL;
    if ((chunk & 0xFF) == '0') return count == 1 ? (*value = 0, p + 1) : NULL;
    v = fc_parse_digits(chunk, count);
    p += count;
    if (count == 8) {
        chunk = fc_le64_until(p, end);
        count = fc_digits(chunk);
        if (count) v = v * fc_pow10[count] + fc_parse_digits(chunk, count);
        p += count;
        if (count == 8) {
            chunk = fc_le64_until(p, end);
            count = fc_digits(chunk);
            if (count > 3) return NULL; /* over 19 digits */
            if (count) v = v * fc_pow10[count] + fc_parse_digits(chunk, count); /* below 10**19: it fits uint64 */
            p += count;
        }
    }
    if (v > INT64_MAX) return NULL;
    *value = (int64_t)v;
    return p;
}

enum fc_decimal_result { FC_DECIMAL_OK = 0, FC_DECIMAL_SYNTAX = 1, FC_DECIMAL_RANGE = 2 };

/* Any number of digits; the quick form below hands on what it does not cover. */
static inline int fc_decimal_slow(const uint8_t **at, const uint8_t *end, int decimals, int64_t *value) {
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

/* Digits with at most one point between them, as an exact multiple of 10**-decimals (0..18). `*at` moves behind it unless
   the syntax is wrong; FC_DECIMAL_RANGE: it does not fit int64, or has a digit that is not zero below the last decimal. */
static inline int fc_decimal(const uint8_t **at, const uint8_t *end, int decimals, int64_t *value) {
    const uint8_t *p = *at;
    uint64_t chunk = fc_le64_until(p, end), whole, part = 0;
    int count = fc_digits(chunk), places;
    int64_t v;
    if (count == 0 || count == 8) return fc_decimal_slow(at, end, decimals, value);
    whole = fc_parse_digits(chunk, count);
    p += count;
    /* The byte behind the digits is in the same word: zero where the text ends. */
    if ((chunk >> (8 * count) & 0xFF) == '.') {
        chunk = fc_le64_until(++p, end);
        places = fc_digits(chunk);
        if (places == 0 || places > decimals) return fc_decimal_slow(at, end, decimals, value);
        p += places;
        if (places == 8 && p < end && *p >= '0' && *p <= '9') return fc_decimal_slow(at, end, decimals, value);
        part = fc_parse_digits(chunk, places) * fc_pow10[decimals - places];
    }
    *at = p;
    if (fc_mul_overflow((int64_t)whole, (int64_t)fc_pow10[decimals], &v) || fc_add_overflow(v, (int64_t)part, &v))
        return FC_DECIMAL_RANGE;
    *value = v;
    return FC_DECIMAL_OK;
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
