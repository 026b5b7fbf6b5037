/* Integer arithmetic that says when it does not fit. */
#ifndef FC_CHECKED_H
#define FC_CHECKED_H

#include <stdint.h>

#if defined(_MSC_VER)
#include <intrin.h>
#endif

/* Each stores the wrapped result and returns 1 when the true one does not fit. */
#if defined(_MSC_VER) && !defined(__clang__)
static inline int fc_add_overflow(int64_t a, int64_t b, int64_t *r) {
    *r = (int64_t)((uint64_t)a + (uint64_t)b);
    return ((a ^ *r) & (b ^ *r)) < 0;
}
static inline int fc_sub_overflow(int64_t a, int64_t b, int64_t *r) {
    *r = (int64_t)((uint64_t)a - (uint64_t)b);
    return ((a ^ b) & (a ^ *r)) < 0;
}
static inline int fc_mul_overflow(int64_t a, int64_t b, int64_t *r) {
    *r = (int64_t)((uint64_t)a * (uint64_t)b);
    if (a == 0) return 0;
    if (a == -1) return b == INT64_MIN;
    return *r / a != b;
}
#else
static inline int fc_add_overflow(int64_t a, int64_t b, int64_t *r) { return __builtin_add_overflow(a, b, r); }
static inline int fc_sub_overflow(int64_t a, int64_t b, int64_t *r) { return __builtin_sub_overflow(a, b, r); }
static inline int fc_mul_overflow(int64_t a, int64_t b, int64_t *r) { return __builtin_mul_overflow(a, b, r); }
#endif

static inline uint64_t fc_magnitude(int64_t a) { return a < 0 ? 0 - (uint64_t)a : (uint64_t)a; }

/* Zero bits above the highest set one; v > 0. */
static inline int fc_leading_zeros(uint64_t v) {
#if defined(_MSC_VER) && !defined(__clang__)
    unsigned long bit;
    _BitScanReverse64(&bit, v);
    return 63 - (int)bit;
#else
    return __builtin_clzll(v);
#endif
}

/* Zero bits below the lowest set one; v > 0. */
static inline int fc_trailing_zeros(uint64_t v) { return 63 - fc_leading_zeros(v & (0 - v)); }

#endif
