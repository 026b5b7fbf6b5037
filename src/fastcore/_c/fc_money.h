/* Money: 128-bit two's complement, exact, and the products and shares that make it. */
#ifndef FC_MONEY_H
#define FC_MONEY_H

#include <stdint.h>

#include "fc_checked.h"

typedef struct fc_money {
    uint64_t low;
    int64_t high;
} fc_money_t;

/* a * b: the lower half, and the upper one. */
static inline uint64_t fc_mul_wide_portable(uint64_t a, uint64_t b, uint64_t *high) {
    uint64_t a0 = (uint32_t)a, a1 = a >> 32, b0 = (uint32_t)b, b1 = b >> 32;
    uint64_t low = a0 * b0, middle = a1 * b0 + (low >> 32), other = a0 * b1 + (uint32_t)middle;
    *high = a1 * b1 + (middle >> 32) + (other >> 32);
    return other << 32 | (uint32_t)low;
}
/* (high * 2^64 + low) / c and what is left; high < c, so the quotient fits. */
static inline uint64_t fc_div_wide_portable(uint64_t high, uint64_t low, uint64_t c, uint64_t *rest) {
    for (int bit = 0; bit < 64; bit++) {
        uint64_t carry = high >> 63;
        high = high << 1 | low >> 63, low <<= 1;
        if (carry || high >= c) high -= c, low |= 1;
    }
    *rest = high;
    return low;
}
#if defined(__SIZEOF_INT128__)
__extension__ typedef unsigned __int128 fc_wide_t;
static inline uint64_t fc_mul_wide(uint64_t a, uint64_t b, uint64_t *high) {
    fc_wide_t product = (fc_wide_t)a * b;
    *high = (uint64_t)(product >> 64);
    return (uint64_t)product;
}
static inline uint64_t fc_div_wide(uint64_t high, uint64_t low, uint64_t c, uint64_t *rest) {
    if (high == 0) {
        *rest = low % c;
        return low / c;
    }
    fc_wide_t all = (fc_wide_t)high << 64 | low;
    *rest = (uint64_t)(all % c);
    return (uint64_t)(all / c);
}
#else
#define fc_mul_wide fc_mul_wide_portable
#define fc_div_wide fc_div_wide_portable
#endif

/* Each stores the wrapped result and returns 1 when the true one does not fit. */
static inline int fc_money_add(fc_money_t a, fc_money_t b, fc_money_t *r) {
    uint64_t low = a.low + b.low;
    int64_t high = (int64_t)((uint64_t)a.high + (uint64_t)b.high + (low < a.low));
    int overflow = ((a.high ^ high) & (b.high ^ high)) < 0;
    r->low = low, r->high = high;
    return overflow;
}
static inline int fc_money_sub(fc_money_t a, fc_money_t b, fc_money_t *r) {
    int64_t high = (int64_t)((uint64_t)a.high - (uint64_t)b.high - (a.low < b.low));
    int overflow = ((a.high ^ b.high) & (a.high ^ high)) < 0;
    r->low = a.low - b.low, r->high = high;
    return overflow;
}
static inline int fc_money_less(fc_money_t a, fc_money_t b) { return a.high < b.high || (a.high == b.high && a.low < b.low); }
static inline int fc_money_sign(fc_money_t a) { return a.high < 0 ? -1 : a.high > 0 || a.low > 0; }

/* Of a magnitude below 2^127 with a sign. */
static inline int fc_money_signed(uint64_t high, uint64_t low, int negative, fc_money_t *r) {
    fc_money_t magnitude = {low, (int64_t)high}, zero = {0, 0};
    if (negative) fc_money_sub(zero, magnitude, r);
    else *r = magnitude;
    return high >> 63 != 0;
}
/* The magnitude as an unsigned number. */
static inline fc_money_t fc_money_magnitude(fc_money_t a) {
    fc_money_t zero = {0, 0};
    if (a.high < 0) fc_money_sub(zero, a, &a);
    return a;
}
/* a * b * c */
static inline int fc_money_product(int64_t a, int64_t b, uint64_t c, fc_money_t *r) {
    uint64_t high, low = fc_mul_wide(fc_magnitude(a), fc_magnitude(b), &high), middle, top;
    low = fc_mul_wide(low, c, &middle);
    high = fc_mul_wide(high, c, &top);
    high += middle;
    return fc_money_signed(high, low, (a ^ b) < 0, r) | (top != 0) | (high < middle);
}
/* a * b / c, rounded towards zero; c > 0 */
static inline int fc_money_share(fc_money_t a, uint64_t b, uint64_t c, fc_money_t *r) {
    fc_money_t m = fc_money_magnitude(a);
    uint64_t middle, top, high, rest, low = fc_mul_wide(m.low, b, &middle);
    high = fc_mul_wide((uint64_t)m.high, b, &top);
    high += middle, top += high < middle;
    if (top >= c) {
        r->low = 0, r->high = 0;
        return 1;
    }
    high = fc_div_wide(top, high, c, &rest);
    low = fc_div_wide(rest, low, c, &rest);
    return fc_money_signed(high, low, a.high < 0, r);
}
/* The nearest double, or one of the two nearest. */
static inline double fc_money_double(fc_money_t a) {
    fc_money_t m = fc_money_magnitude(a);
    double value = (double)(uint64_t)m.high * 18446744073709551616.0 + (double)m.low;
    return a.high < 0 ? -value : value;
}

#endif
