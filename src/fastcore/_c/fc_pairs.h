/* N pairs, one tick at a time: the streaming form of fc_rolling.h as structure of arrays, all pairs in step; and the
   stateless z-score of many pairs over a matrix of recent prices.

   Spreads of earlier ticks are not kept: they are made again, bit for bit, from the prices, which all pairs share. What a tick
   writes takes the place of what it has just read, for the last time: the block before is read in one direction while the new
   one is written in the other, so every block turns the order of the rows round. */
#ifndef FC_PAIRS_H
#define FC_PAIRS_H

#include "fc_rolling.h"

typedef struct fc_pairset {
    fc_rolling_shape_t shape;
    int64_t pairs, window, ddof, count;
    int64_t half, position, offset; /* as in fc_rolling_t */
    int32_t turned;                 /* row r of the block before is at half - 1 - r */
    int64_t symbols;                /* prices in a tick */
    int64_t stride;                 /* doubles in a row of the arrays below: pairs, rounded up to a cache line */
    int32_t logarithm;              /* spreads of log prices */
    int32_t avx2;
    /* owned by the caller, [stride] each */
    double *spread; /* newest spreads */
    double *zscore; /* newest z-scores; NaN until there are `window` ticks */
    int8_t *signal; /* +1 above the threshold, -1 below its negative, else 0 */
    /* one allocation, `memory` */
    double *logs;                   /* [symbols], where logarithm is set */
    double *hedge, *threshold;      /* [stride] */
    double *anchor, *s, *q;         /* [stride] each, as in fc_rolling_t */
    double *anchor_next, *s_next, *q_next;
    double *s_back, *q_back;
    double *prices;                 /* [half][symbols]: blocks 2 and 3 of fc_rolling_t in one */
    double *suffix;                 /* [half][2][stride]: the sums over the end of block 1, and of block 2 in the making */
    double *zero;                   /* [2][stride]: the sum over nothing */
    int32_t *first, *second;        /* [stride] symbols of a pair */
    double *memory;
} fc_pairset_t;

static inline int64_t fc_pairset_stride(int64_t pairs) { return (pairs + 7) & ~(int64_t)7; }

/* FC_OK or FC_NO_MEMORY. The caller has checked and set shape, pairs, window, ddof, symbols, logarithm, avx2 and the three
   outputs, and fills hedge, threshold, first and second afterwards; pairs and symbols are below 2^31. */
static inline int fc_pairset_init(fc_pairset_t *p) {
    p->stride = fc_pairset_stride(p->pairs);
    p->half = p->window / 2;
    p->offset = 1 - p->window % 2;
    p->position = p->half;
    p->count = 0;
    p->turned = 0;
    size_t n = (size_t)p->stride, half = (size_t)p->half, symbols = (size_t)fc_pairset_stride(p->symbols);
    p->memory = NULL;
    if (half > SIZE_MAX / 64 / n || half > SIZE_MAX / 64 / symbols) return FC_NO_MEMORY;
    double *m = p->memory = (double *)fc_alloc((13 + 2 * half) * n + (1 + half) * symbols, sizeof(double));
    if (!m) return FC_NO_MEMORY;
    p->logs = m, m += symbols;
    p->prices = m, m += half * symbols;
    double **arrays[10] = {&p->hedge, &p->threshold, &p->anchor, &p->s, &p->q, &p->anchor_next, &p->s_next, &p->q_next, &p->s_back, &p->q_back};
    for (int i = 0; i < 10; i++) *arrays[i] = m, m += n;
    p->first = (int32_t *)m, p->second = p->first + n, m += n;
    p->zero = m, m += 2 * n;
    p->suffix = m;
    return FC_OK;
}

/* Forget every tick. The history need not be cleared: nothing of it is read before it is written, or used before `window` ticks. */
static inline void fc_pairset_reset(fc_pairset_t *p) {
    size_t n = (size_t)p->stride;
    p->position = p->half;
    p->count = 0;
    memset(p->anchor, 0, n * sizeof(double));
    memset(p->s, 0, n * sizeof(double));
    memset(p->q, 0, n * sizeof(double));
    for (size_t i = 0; i < (size_t)p->pairs; i++) p->spread[i] = p->zscore[i] = (double)NAN, p->signal[i] = 0;
}

static inline void fc_pairset_free(fc_pairset_t *p) {
    fc_free(p->memory);
    p->memory = NULL;
}

/* What the columns of a tick share: the rows that it reads and writes. */
typedef struct fc_pairset_rows {
    const double *prices, *old; /* of this tick, and of that of the block before that comes next from its end */
    const double *suffix;
    double *suffix_next; /* may be the same row */
} fc_pairset_rows_t;

FC_ROLLING_INLINE void fc_pairset_columns(fc_pairset_t *p, const fc_pairset_rows_t *r, int start, int full) {
    size_t n = (size_t)p->stride;
    for (size_t i = 0; i < (size_t)p->pairs; i++) {
        double x = r->prices[p->first[i]] - p->hedge[i] * r->prices[p->second[i]];
        double old = r->old[p->first[i]] - p->hedge[i] * r->old[p->second[i]];
        double next = start ? x : p->anchor_next[i];
        double d = x - p->anchor[i], e = x - next, f = old - next;
        double s_before = r->suffix[i], q_before = r->suffix[n + i];
        double s = p->s[i] + d, q = p->q[i] + d * d;
        double s_back = (start ? 0.0 : p->s_back[i]) + f, q_back = (start ? 0.0 : p->q_back[i]) + f * f;
        p->spread[i] = x;
        p->anchor_next[i] = next;
        p->s[i] = s, p->q[i] = q;
        p->s_next[i] = (start ? 0.0 : p->s_next[i]) + e;
        p->q_next[i] = (start ? 0.0 : p->q_next[i]) + e * e;
        r->suffix_next[i] = p->s_back[i] = s_back;
        r->suffix_next[n + i] = p->q_back[i] = q_back;
        if (full) {
            double z = fc_rolling_value(FC_ROLLING_ZSCORE, p->anchor[i], d, s_before + s, q_before + q, &p->shape);
            p->zscore[i] = z;
            p->signal[i] = (int8_t)((z > p->threshold[i]) - (z < -p->threshold[i]));
        }
    }
}

#ifdef FC_X86
/* Spreads of four pairs. */
FC_ROLLING_AVX2 __m256d fc_pairset_spread_avx2(const double *prices, const int32_t *a, const int32_t *b, __m256d hedge) {
    __m256d x = _mm256_setr_pd(prices[a[0]], prices[a[1]], prices[a[2]], prices[a[3]]);
    __m256d y = _mm256_setr_pd(prices[b[0]], prices[b[1]], prices[b[2]], prices[b[3]]);
    return _mm256_sub_pd(x, _mm256_mul_pd(hedge, y));
}
FC_ROLLING_AVX2 void fc_pairset_columns_avx2(fc_pairset_t *p, const fc_pairset_rows_t *r, int start, int full) {
    /* Four bytes of signals from the bits of a comparison. */
    static const uint32_t bytes[16] = {0x0,       0x1,       0x100,     0x101,     0x10000,   0x10001,   0x10100,   0x10101,
                                       0x1000000, 0x1000001, 0x1000100, 0x1000101, 0x1010000, 0x1010001, 0x1010100, 0x1010101};
    size_t n = (size_t)p->stride;
    const __m256d zero = _mm256_setzero_pd();
    for (size_t i = 0; i < (size_t)p->pairs; i += 4) {
        __m256d hedge = _mm256_load_pd(p->hedge + i);
        __m256d x = fc_pairset_spread_avx2(r->prices, p->first + i, p->second + i, hedge);
        __m256d old = fc_pairset_spread_avx2(r->old, p->first + i, p->second + i, hedge);
        __m256d s_before = _mm256_load_pd(r->suffix + i), q_before = _mm256_load_pd(r->suffix + n + i);
        fc_rolling_sums_t now, next, back;
        now.anchor = _mm256_load_pd(p->anchor + i), now.s = _mm256_load_pd(p->s + i), now.q = _mm256_load_pd(p->q + i);
        if (start) {
            next.anchor = back.anchor = x;
            next.s = next.q = back.s = back.q = zero;
            _mm256_store_pd(p->anchor_next + i, x);
        } else {
            next.anchor = back.anchor = _mm256_load_pd(p->anchor_next + i);
            next.s = _mm256_load_pd(p->s_next + i), next.q = _mm256_load_pd(p->q_next + i);
            back.s = _mm256_load_pd(p->s_back + i), back.q = _mm256_load_pd(p->q_back + i);
        }
        __m256d d = fc_rolling_add_avx2(&now, x);
        fc_rolling_add_avx2(&next, x);
        fc_rolling_add_avx2(&back, old);
        _mm256_storeu_pd(p->spread + i, x);
        _mm256_store_pd(p->s + i, now.s), _mm256_store_pd(p->q + i, now.q);
        _mm256_store_pd(p->s_next + i, next.s), _mm256_store_pd(p->q_next + i, next.q);
        _mm256_store_pd(p->s_back + i, back.s), _mm256_store_pd(p->q_back + i, back.q);
        _mm256_store_pd(r->suffix_next + i, back.s), _mm256_store_pd(r->suffix_next + n + i, back.q);
        if (full) {
            __m256d z = fc_rolling_value_avx2(FC_ROLLING_ZSCORE, now.anchor, d, _mm256_add_pd(s_before, now.s),
                                              _mm256_add_pd(q_before, now.q), &p->shape);
            __m256d threshold = _mm256_load_pd(p->threshold + i);
            int above = _mm256_movemask_pd(_mm256_cmp_pd(z, threshold, _CMP_GT_OQ));
            int below = _mm256_movemask_pd(_mm256_cmp_pd(z, _mm256_sub_pd(zero, threshold), _CMP_LT_OQ));
            uint32_t signal = bytes[above] | bytes[below] * 255u;
            _mm256_storeu_pd(p->zscore + i, z);
            memcpy(p->signal + i, &signal, 4);
        }
    }
}
FC_TARGET_AVX2 static inline void fc_pairset_tick_avx2(fc_pairset_t *p, const fc_pairset_rows_t *r, int start, int full) {
    if (start && full) fc_pairset_columns_avx2(p, r, 1, 1);
    else if (start) fc_pairset_columns_avx2(p, r, 1, 0);
    else if (full) fc_pairset_columns_avx2(p, r, 0, 1);
    else fc_pairset_columns_avx2(p, r, 0, 0);
}
#endif

/* Take one tick in: prices[symbols]. FC_OK; FC_BAD_PRICE when logarithms are asked for and a price is zero or negative:
   nothing has changed then and `bad` is its index. */
static inline int fc_pairset_update(fc_pairset_t *p, const double *prices, int64_t *bad) {
    if (p->logarithm) {
        for (int64_t i = 0; i < p->symbols; i++) {
            if (FC_UNLIKELY(prices[i] <= 0.0)) {
                *bad = i;
                return FC_BAD_PRICE;
            }
        }
        for (int64_t i = 0; i < p->symbols; i++) p->logs[i] = log(prices[i]);
        prices = p->logs;
    }
    int start = p->position == p->half;
    if (start) { /* block 3 becomes block 2 */
        double *swap = p->anchor;
        p->anchor = p->anchor_next, p->anchor_next = swap;
        swap = p->s, p->s = p->s_next, p->s_next = swap;
        swap = p->q, p->q = p->q_next, p->q_next = swap;
        p->turned = !p->turned;
        p->position = 0;
    }
    size_t u = (size_t)p->position, half = (size_t)p->half, back = half - 1 - u, n = (size_t)p->stride;
    size_t before = u + (size_t)p->offset; /* suffix that is wanted; that of `back` is made */
    double *place = p->prices + (p->turned ? u : back) * (size_t)fc_pairset_stride(p->symbols);
    fc_pairset_rows_t r = {prices, place, before == half ? p->zero : p->suffix + 2 * (p->turned ? half - 1 - before : before) * n,
                           p->suffix + 2 * (p->turned ? back : u) * n};
    p->position++;
    int full = ++p->count >= p->window;
#ifdef FC_X86
    if (p->avx2)
        fc_pairset_tick_avx2(p, &r, start, full);
    else
#endif
        fc_pairset_columns(p, &r, start, full);
    memcpy(place, prices, (size_t)p->symbols * sizeof(double));
    return FC_OK;
}

/* Sums over n spreads about an anchor in four lanes, so that an addition need not wait for the one before it. */
static inline void fc_pair_sums(const double *x, size_t n, double anchor, double s[4], double q[4]) {
    for (size_t t = 0; t + 4 <= n; t += 4) {
        for (int k = 0; k < 4; k++) {
            double d = x[t + k] - anchor;
            s[k] += d;
            q[k] += d * d;
        }
    }
}
#ifdef FC_X86
FC_TARGET_AVX2 static inline void fc_pair_sums_avx2(const double *x, size_t n, double anchor, double s[4], double q[4]) {
    fc_rolling_sums_t a;
    a.anchor = _mm256_set1_pd(anchor);
    a.s = a.q = _mm256_setzero_pd();
    for (size_t t = 0; t + 4 <= n; t += 4) fc_rolling_add_avx2(&a, _mm256_loadu_pd(x + t));
    _mm256_storeu_pd(s, a.s);
    _mm256_storeu_pd(q, a.q);
}
#endif

/* Signal of one pair from two rings of `size` prices, whose newest prices lie before the slots `i` and `j`, both below size.
   work holds `lookback` doubles. */
static inline int8_t fc_pair_signal(int avx2, const double *a, const double *b, size_t size, size_t i, size_t j, size_t lookback,
                                    double threshold, const fc_rolling_shape_t *c, double *work) {
    i = i >= lookback ? i - lookback : i + size - lookback;
    j = j >= lookback ? j - lookback : j + size - lookback;
    for (size_t t = 0; t < lookback;) { /* pieces without a wrap */
        size_t piece = lookback - t;
        if (piece > size - i) piece = size - i;
        if (piece > size - j) piece = size - j;
        for (size_t k = 0; k < piece; k++) work[t + k] = a[i + k] - b[j + k];
        t += piece, i += piece, j += piece;
        if (i == size) i = 0;
        if (j == size) j = 0;
    }
    double anchor = work[lookback - 1], s[4] = {0.0, 0.0, 0.0, 0.0}, q[4] = {0.0, 0.0, 0.0, 0.0};
#ifdef FC_X86
    if (avx2)
        fc_pair_sums_avx2(work, lookback, anchor, s, q);
    else
#endif
        fc_pair_sums(work, lookback, anchor, s, q);
    (void)avx2;
    for (size_t t = lookback & ~(size_t)3; t < lookback; t++) {
        double d = work[t] - anchor;
        s[0] += d;
        q[0] += d * d;
    }
    /* anchor - anchor: 0, or NaN where the newest spread is not finite */
    double z = fc_rolling_value(FC_ROLLING_ZSCORE, anchor, anchor - anchor, (s[0] + s[1]) + (s[2] + s[3]), (q[0] + q[1]) + (q[2] + q[3]), c);
    return (int8_t)((z > threshold) - (z < -threshold));
}

#endif
