/* Linear quotes over arrays: a scalar twin and an AVX2 twin. Every operation is element by element and never contracted
   (-ffp-contract=off), so both give the bits of quoter_quote. Written with intrinsics because GCC does not vectorise the
   choice between a price and an infinity. */
#ifndef FC_QUOTES_H
#define FC_QUOTES_H

#include "fc_cpu.h"
#include "fc_platform.h"
#include <float.h>
#include <math.h>

/* One batch: constants by symbol as in quoter_t, inputs, outputs. */
typedef struct fc_quotes {
    ptrdiff_t n;
    const double *half0;
    const double *half1, *skew0, *skew1, *offset; /* NULL: all 0, a column that need not be read */
    const double *limit;                          /* NULL: none */
    int halved; /* half1 is skew1 / 2 in every row, as in Avellaneda-Stoikov: one column less to read */
    const double *mid, *inventory;
    const double *time_left; /* one value where time_step is 0 */
    ptrdiff_t time_step;     /* 0 or 1 */
    double *bid, *ask;
} fc_quotes_t;

/* Quote the rows from i on; return the first that is not valid (mid positive, all finite, time not negative), or n. */
static inline ptrdiff_t fc_quotes_from(const fc_quotes_t *b, ptrdiff_t i) {
    for (; i < b->n; i++) {
        double t = b->time_left[i * b->time_step], inventory = b->inventory[i], mid = b->mid[i];
        if (!(mid > 0.0 && mid <= DBL_MAX && fabs(inventory) <= DBL_MAX && t >= 0.0 && t <= DBL_MAX)) break;
        double skew = (b->skew0 ? b->skew0[i] : 0.0) + (b->skew1 ? b->skew1[i] * t : 0.0);
        double half = b->half0[i] + (b->halved && b->skew1 ? 0.5 * b->skew1[i] * t : b->half1 ? b->half1[i] * t : 0.0);
        double reservation = (b->offset ? mid + b->offset[i] : mid) - inventory * skew;
        double bid = reservation - half, ask = reservation + half;
        if (b->limit) {
            if (inventory >= b->limit[i]) bid = -(double)INFINITY;
            if (inventory <= -b->limit[i]) ask = (double)INFINITY;
        }
        b->bid[i] = bid;
        b->ask[i] = ask;
    }
    return i;
}

static inline ptrdiff_t fc_quotes_base(const fc_quotes_t *b) { return fc_quotes_from(b, 0); }

#if defined(FC_X86)
/* Columns as parameters: one that the caller gives as a literal NULL is compiled out. Locals, because an unaligned vector
   store may alias the struct in the eyes of the compiler. Rows are not tested one by one: a price that is not finite
   leaves bits in x - x, and only then does the scalar twin look for the row. */
FC_ALWAYS_INLINE FC_TARGET_AVX2 ptrdiff_t fc_quotes_rows(
    const fc_quotes_t *b, const double *time_left, const double *half1, const double *skew0, const double *skew1,
    const double *offset, const double *limits, int halved) {
    const __m256d infinite = _mm256_set1_pd((double)INFINITY), sign = _mm256_set1_pd(-0.0), zero = _mm256_setzero_pd();
    const double *const mid = b->mid, *const held = b->inventory, *const half0 = b->half0;
    double *const bids = b->bid, *const asks = b->ask;
    const ptrdiff_t n = b->n;
    __m256d t = _mm256_set1_pd(n ? b->time_left[0] : 0.0), lowest = infinite, earliest = zero, doubt = zero;
    ptrdiff_t i = 0;
    for (; i + 4 <= n; i += 4) {
        /* A thousand rows of six columns fill the first cache: four lines ahead, 1.1 ns a row becomes 0.7. */
        FC_PREFETCH(mid + i + 32), FC_PREFETCH(held + i + 32), FC_PREFETCH(half0 + i + 32);
        if (skew1) FC_PREFETCH(skew1 + i + 32);
        fc_prefetch_write(bids + i + 32), fc_prefetch_write(asks + i + 32);
        __m256d inventory = _mm256_loadu_pd(held + i), middle = _mm256_loadu_pd(mid + i);
        __m256d skew = skew0 ? _mm256_loadu_pd(skew0 + i) : zero, half = _mm256_loadu_pd(half0 + i);
        lowest = _mm256_min_pd(middle, lowest);
        if (time_left) {
            t = _mm256_loadu_pd(time_left + i);
            earliest = _mm256_min_pd(t, earliest);
            doubt = _mm256_or_pd(doubt, _mm256_sub_pd(t, t));
        }
        if (skew1) {
            __m256d slope = _mm256_loadu_pd(skew1 + i);
            skew = _mm256_add_pd(skew, _mm256_mul_pd(slope, t));
            if (halved) half = _mm256_add_pd(half, _mm256_mul_pd(_mm256_mul_pd(_mm256_set1_pd(0.5), slope), t));
        }
        if (half1) half = _mm256_add_pd(half, _mm256_mul_pd(_mm256_loadu_pd(half1 + i), t));
        if (offset) middle = _mm256_add_pd(middle, _mm256_loadu_pd(offset + i));
        __m256d reservation = _mm256_sub_pd(middle, _mm256_mul_pd(inventory, skew));
        __m256d bid = _mm256_sub_pd(reservation, half), ask = _mm256_add_pd(reservation, half);
        doubt = _mm256_or_pd(doubt, _mm256_sub_pd(reservation, reservation));
        if (limits) {
            __m256d limit = _mm256_loadu_pd(limits + i);
            bid = _mm256_blendv_pd(bid, _mm256_xor_pd(infinite, sign), _mm256_cmp_pd(inventory, limit, _CMP_GE_OQ));
            ask = _mm256_blendv_pd(ask, infinite, _mm256_cmp_pd(inventory, _mm256_xor_pd(limit, sign), _CMP_LE_OQ));
        }
        _mm256_storeu_pd(bids + i, bid);
        _mm256_storeu_pd(asks + i, ask);
    }
    __m256d fine = _mm256_and_pd(_mm256_cmp_pd(lowest, zero, _CMP_GT_OQ), _mm256_cmp_pd(earliest, zero, _CMP_GE_OQ));
    fine = _mm256_and_pd(fine, _mm256_cmp_pd(doubt, zero, _CMP_EQ_OQ));
    return fc_quotes_from(b, _mm256_movemask_pd(fine) == 15 ? i : 0);
}

FC_TARGET_AVX2 static inline ptrdiff_t fc_quotes_avx2(const fc_quotes_t *b) {
    const double *time_left = b->time_step ? b->time_left : NULL;
    int halved = b->halved && b->skew1;
    /* Avellaneda-Stoikov with one horizon, with and without limits; then whatever else there is. */
    if (halved && !time_left && !b->skew0 && !b->offset)
        return b->limit ? fc_quotes_rows(b, NULL, NULL, NULL, b->skew1, NULL, b->limit, 1)
                        : fc_quotes_rows(b, NULL, NULL, NULL, b->skew1, NULL, NULL, 1);
    return fc_quotes_rows(b, time_left, b->halved ? NULL : b->half1, b->skew0, b->skew1, b->offset, b->limit, halved);
}
#else
#define fc_quotes_avx2 fc_quotes_base
#endif

#endif
