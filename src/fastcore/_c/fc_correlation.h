/* Rolling correlation matrix: rank-1 updates of the lower triangle.

   Two triangles of sums of products run side by side. The live one takes the newest row in and the oldest out; the fresh one,
   about newer anchors, only takes rows in, and after `window` rows it covers exactly the window: then it becomes the live one.
   No value of the live triangle is therefore older than two windows, for ever. In between, rounding left behind by what has been
   taken out is bounded by rebuilding a series from its history when its sums have collapsed (a large outlier has left) or its
   anchor has become far from the window (a jump of the level).

   A value that is not finite, or beyond FC_CORRELATION_LIMIT, enters no sum; it is counted, and correlations of its series are
   NaN for as long as the window holds it. */
#ifndef FC_CORRELATION_H
#define FC_CORRELATION_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "fc_cpu.h"
#include "fc_platform.h"
#include "fc_records.h"
#include "fc_rolling.h"

#define FC_CORRELATION_LIMIT 1e100
#define FC_CORRELATION_COLLAPSE 1e-3

typedef struct fc_correlation {
    int64_t series, window;
    int64_t count;        /* rows so far */
    int64_t slot;         /* row of the history that comes next */
    int64_t fresh;        /* rows in the fresh triangle */
    int64_t rebuilds;     /* series rebuilt from the history so far */
    int64_t stride;       /* series, rounded up to a multiple of 4 */
    int32_t avx2;
    double *history;      /* [window][stride] rows as they came; NaN for what does not count */
    double *anchor;       /* [stride] each */
    double *anchor_fresh;
    double *sum, *sum_fresh;
    double *in, *out;     /* deviations of the newest and the oldest row */
    double *in_fresh;     /* [4][stride] deviations of the newest rows that are not yet in the fresh triangle */
    double *centre;       /* sum times scale */
    double *peak;         /* largest sum of squares since the series was last made anew */
    double *scale;        /* 1 / sqrt(W sum of squares - square of the sum); made by fc_correlation_scales */
    double *total, *pairs; /* sums of correlations and how many; made by fc_correlation_means */
    double *bad;          /* values in the window that do not count (a double, so that columns stay alike) */
    double *live, *next;  /* triangles: row i starts at fc_correlation_row(i), padded to a multiple of 4 */
    double *memory;
} fc_correlation_t;

/* Start of row i in a triangle whose rows have 4, 4, 4, 4, 8, 8, 8, 8, 12 ... doubles. */
static inline size_t fc_correlation_row(size_t i) {
    size_t g = i / 4, r = i % 4;
    return 8 * g * (g + 1) + 4 * (g + 1) * r;
}

static inline void fc_correlation_free(fc_correlation_t *c) {
    fc_free(c->memory);
    c->memory = NULL;
}

/* Forget every row. */
static inline void fc_correlation_reset(fc_correlation_t *c) {
    size_t n = (size_t)c->stride;
    c->count = c->slot = c->fresh = c->rebuilds = 0;
    memset(c->memory, 0, (16 * n + 2 * fc_correlation_row(n)) * sizeof(double)); /* all but the history */
}

/* FC_OK or FC_NO_MEMORY; series >= 2 and window >= 2 are the caller's to check, as is avx2 to set. */
static inline int fc_correlation_init(fc_correlation_t *c, int64_t series, int64_t window) {
    c->series = series, c->window = window;
    c->stride = (series + 3) & ~(int64_t)3;
    c->memory = NULL;
    if (series > 30000) return FC_NO_MEMORY; /* 2 triangles of 3.6 GB */
    size_t n = (size_t)c->stride, triangle = fc_correlation_row(n);
    if ((uint64_t)window > (SIZE_MAX / 16 - 2 * triangle) / n - 16) return FC_NO_MEMORY;
    double *m = c->memory = (double *)fc_alloc(2 * triangle + ((size_t)window + 16) * n, sizeof(double));
    if (!m) return FC_NO_MEMORY;
    double **rows[12] = {&c->anchor, &c->anchor_fresh, &c->sum,    &c->sum_fresh, &c->in,    &c->out,
                         &c->peak,   &c->scale,        &c->centre, &c->bad,       &c->total, &c->pairs};
    for (int i = 0; i < 12; i++, m += n) *rows[i] = m;
    c->in_fresh = m, m += 4 * n;
    c->live = m, m += triangle;
    c->next = m, m += triangle;
    c->history = m;
    c->count = c->slot = c->fresh = c->rebuilds = 0;
    return FC_OK;
}

/* The live triangle: the newest row in, the oldest out. Columns beyond the diagonal are padding. */
FC_ROLLING_INLINE void fc_correlation_exchange(fc_correlation_t *c) {
    const double *in = c->in, *out = c->out;
    for (size_t i = 0; i < (size_t)c->series; i++) {
        double *live = c->live + fc_correlation_row(i), a = in[i], b = out[i];
        for (size_t j = 0; j <= i; j++) live[j] += a * in[j] - b * out[j];
    }
}

/* The fresh triangle: four rows at once, because it lies in a farther cache than the live one. */
FC_ROLLING_INLINE void fc_correlation_gather(fc_correlation_t *c) {
    size_t n = (size_t)c->stride;
    const double *x = c->in_fresh;
    for (size_t i = 0; i < (size_t)c->series; i++) {
        double *next = c->next + fc_correlation_row(i);
        for (size_t j = 0; j <= i; j++) {
            double sum = next[j];
            for (size_t k = 0; k < 4; k++) sum += x[k * n + i] * x[k * n + j];
            next[j] = sum;
        }
    }
}

/* sums[j] += (x[i] - anchor[i]) (x[j] - anchor[j]) over the history, for all j. */
FC_ROLLING_INLINE void fc_correlation_replay(const fc_correlation_t *c, size_t i, size_t rows, double *sums) {
    size_t n = (size_t)c->stride;
    const double *anchor = c->anchor;
    for (size_t t = 0; t < rows; t++) {
        const double *x = c->history + t * n;
        double a = x[i] - anchor[i];
        if (!(a == a)) continue;
        for (size_t j = 0; j < n; j++) {
            double d = x[j] - anchor[j];
            sums[j] += a * (d == d ? d : 0.0);
        }
    }
}

#ifdef FC_X86
/* The same with two rows of one length together; a row of padding follows an odd last one. */
FC_TARGET_AVX2 static inline void fc_correlation_exchange_avx2(fc_correlation_t *c) {
    const double *in = c->in, *out = c->out;
    for (size_t i = 0; i < (size_t)c->series; i += 2) {
        size_t m = (i / 4 + 1) * 4;
        double *live = c->live + fc_correlation_row(i);
        __m256d a0 = _mm256_set1_pd(in[i]), b0 = _mm256_set1_pd(out[i]);
        __m256d a1 = _mm256_set1_pd(in[i + 1]), b1 = _mm256_set1_pd(out[i + 1]);
        for (size_t j = 0; j < m; j += 4) {
            __m256d x = _mm256_load_pd(in + j), y = _mm256_load_pd(out + j);
            __m256d p0 = _mm256_sub_pd(_mm256_mul_pd(a0, x), _mm256_mul_pd(b0, y));
            __m256d p1 = _mm256_sub_pd(_mm256_mul_pd(a1, x), _mm256_mul_pd(b1, y));
            _mm256_store_pd(live + j, _mm256_add_pd(_mm256_load_pd(live + j), p0));
            _mm256_store_pd(live + m + j, _mm256_add_pd(_mm256_load_pd(live + m + j), p1));
        }
    }
}
FC_TARGET_AVX2 static inline void fc_correlation_gather_avx2(fc_correlation_t *c) {
    size_t n = (size_t)c->stride;
    const double *x0 = c->in_fresh, *x1 = x0 + n, *x2 = x1 + n, *x3 = x2 + n;
    for (size_t i = 0; i < (size_t)c->series; i += 2) {
        size_t m = (i / 4 + 1) * 4;
        double *next = c->next + fc_correlation_row(i);
        __m256d a0 = _mm256_set1_pd(x0[i]), a1 = _mm256_set1_pd(x1[i]), a2 = _mm256_set1_pd(x2[i]), a3 = _mm256_set1_pd(x3[i]);
        __m256d b0 = _mm256_set1_pd(x0[i + 1]), b1 = _mm256_set1_pd(x1[i + 1]);
        __m256d b2 = _mm256_set1_pd(x2[i + 1]), b3 = _mm256_set1_pd(x3[i + 1]);
        for (size_t j = 0; j < m; j += 4) {
            __m256d a = _mm256_load_pd(next + j), b = _mm256_load_pd(next + m + j), x = _mm256_load_pd(x0 + j);
            a = _mm256_add_pd(a, _mm256_mul_pd(a0, x)), b = _mm256_add_pd(b, _mm256_mul_pd(b0, x)), x = _mm256_load_pd(x1 + j);
            a = _mm256_add_pd(a, _mm256_mul_pd(a1, x)), b = _mm256_add_pd(b, _mm256_mul_pd(b1, x)), x = _mm256_load_pd(x2 + j);
            a = _mm256_add_pd(a, _mm256_mul_pd(a2, x)), b = _mm256_add_pd(b, _mm256_mul_pd(b2, x)), x = _mm256_load_pd(x3 + j);
            a = _mm256_add_pd(a, _mm256_mul_pd(a3, x)), b = _mm256_add_pd(b, _mm256_mul_pd(b3, x));
            _mm256_store_pd(next + j, a);
            _mm256_store_pd(next + m + j, b);
        }
    }
}
FC_TARGET_AVX2 static inline void fc_correlation_replay_avx2(const fc_correlation_t *c, size_t i, size_t rows, double *sums) {
    fc_correlation_replay(c, i, rows, sums);
}
#endif

/* Make the sums of one series anew from the history, about the value that is nearest to its mean: it lies in the window, so a
   constant window gives exactly 0, and within one standard deviation of the mean, so nothing cancels. */
static inline void fc_correlation_rebuild(fc_correlation_t *c, size_t i) {
    size_t n = (size_t)c->stride, rows = (size_t)(c->count < c->window ? c->count : c->window);
    const double *x = c->history + i;
    double base = 0.0, mean = 0.0, valid = 0.0, nearest = 0.0, distance = INFINITY;
    for (size_t t = 0; t < rows; t++) {
        if (!(x[t * n] == x[t * n])) continue;
        if (valid == 0.0) base = x[t * n];
        mean += x[t * n] - base;
        valid += 1.0;
    }
    mean = base + mean / (valid == 0.0 ? 1.0 : valid);
    for (size_t t = 0; t < rows; t++) {
        double away = fabs(x[t * n] - mean);
        if (away < distance) distance = away, nearest = x[t * n];
    }
    c->anchor[i] = nearest;
    double *sums = c->scale; /* free until fc_correlation_scales */
    memset(sums, 0, n * sizeof(double));
#ifdef FC_X86
    if (c->avx2)
        fc_correlation_replay_avx2(c, i, rows, sums);
    else
#endif
        fc_correlation_replay(c, i, rows, sums);
    for (size_t j = 0; j < (size_t)c->series; j++) {
        if (j <= i) c->live[fc_correlation_row(i) + j] = sums[j];
        else c->live[fc_correlation_row(j) + i] = sums[j];
    }
    double s = 0.0;
    for (size_t t = 0; t < rows; t++) {
        double d = x[t * n] - nearest;
        s += d == d ? d : 0.0;
    }
    c->sum[i] = s;
    c->peak[i] = sums[i];
    c->rebuilds++;
}

/* Take one row of values in: x[series]. */
static inline void fc_correlation_update(fc_correlation_t *c, const double *x) {
    size_t n = (size_t)c->series;
    double *row = c->history + (size_t)c->slot * (size_t)c->stride;
    double *in_fresh = c->in_fresh + (size_t)(c->fresh & 3) * (size_t)c->stride;
    int full = c->count >= c->window;
    for (size_t i = 0; i < n; i++) {
        double v = fabs(x[i]) < FC_CORRELATION_LIMIT ? x[i] : (double)NAN, w = full ? row[i] : (double)NAN;
        int counts = v == v, counted = w == w;
        if (FC_UNLIKELY(c->count == 0)) c->anchor[i] = counts ? v : 0.0;
        if (FC_UNLIKELY(c->fresh == 0)) c->anchor_fresh[i] = counts ? v : c->anchor[i];
        double d = counts ? v - c->anchor[i] : 0.0, e = counts ? v - c->anchor_fresh[i] : 0.0;
        double o = counted ? w - c->anchor[i] : 0.0;
        c->in[i] = d, in_fresh[i] = e, c->out[i] = o;
        c->sum[i] += d - o;
        c->sum_fresh[i] += e;
        c->bad[i] += (double)(!counts) - (double)(full && !counted);
        row[i] = v;
    }
    c->count++;
    c->slot = c->slot + 1 == c->window ? 0 : c->slot + 1;
    c->fresh++;
    int complete = c->fresh == c->window, flush = complete || (c->fresh & 3) == 0;
    if (flush && (c->fresh & 3)) /* fewer than four: the others count nothing */
        memset(c->in_fresh + (size_t)(c->fresh & 3) * (size_t)c->stride, 0, (size_t)(4 - (c->fresh & 3)) * (size_t)c->stride * sizeof(double));
#ifdef FC_X86
    if (c->avx2) {
        fc_correlation_exchange_avx2(c);
        if (flush) fc_correlation_gather_avx2(c);
    } else
#endif
    {
        fc_correlation_exchange(c);
        if (flush) fc_correlation_gather(c);
    }
    if (complete) {
        double *swap = c->live;
        c->live = c->next, c->next = swap;
        swap = c->anchor, c->anchor = c->anchor_fresh, c->anchor_fresh = swap;
        swap = c->sum, c->sum = c->sum_fresh, c->sum_fresh = swap;
        memset(c->next, 0, fc_correlation_row((size_t)c->stride) * sizeof(double));
        memset(c->sum_fresh, 0, (size_t)c->stride * sizeof(double));
        memset(c->peak, 0, (size_t)c->stride * sizeof(double));
        c->fresh = 0;
    }
    double points = (double)(c->count < c->window ? c->count : c->window);
    for (size_t i = 0; i < n; i++) {
        double square = c->live[fc_correlation_row(i) + i], s = c->sum[i];
        if (square > c->peak[i]) c->peak[i] = square;
        if (FC_UNLIKELY(square < FC_CORRELATION_COLLAPSE * c->peak[i] ||
                        points * square - s * s < FC_CORRELATION_COLLAPSE * points * square) && c->count >= c->window)
            fc_correlation_rebuild(c, i);
    }
}

/* W^2 times the variance of a series; NaN before `window` rows, or while the window holds a value that does not count. */
static inline double fc_correlation_moment(const fc_correlation_t *c, size_t i) {
    if (c->count < c->window || c->bad[i] > 0.0) return (double)NAN;
    double v = (double)c->window * c->live[fc_correlation_row(i) + i] - c->sum[i] * c->sum[i];
    return v > 0.0 ? v : 0.0;
}

#ifdef FC_X86
/* scale holds the moments; NaN where they are not positive. */
FC_TARGET_AVX2 static inline void fc_correlation_scales_avx2(fc_correlation_t *c) {
    const __m256d one = _mm256_set1_pd(1.0), none = _mm256_set1_pd((double)NAN), zero = _mm256_setzero_pd();
    for (size_t i = 0; i < (size_t)c->stride; i += 4) {
        __m256d v = _mm256_load_pd(c->scale + i), scale = _mm256_div_pd(one, _mm256_sqrt_pd(v));
        scale = _mm256_blendv_pd(none, scale, _mm256_cmp_pd(v, zero, _CMP_GT_OQ));
        _mm256_store_pd(c->scale + i, scale);
        _mm256_store_pd(c->centre + i, _mm256_mul_pd(_mm256_load_pd(c->sum + i), scale));
    }
}
#endif

/* Make scale[i] = 1 / sqrt(moment), NaN where a series has no variance, and centre[i] = sum[i] scale[i]. */
static inline void fc_correlation_scales(fc_correlation_t *c) {
    size_t n = (size_t)c->series;
    for (size_t i = 0; i < n; i++) c->scale[i] = fc_correlation_moment(c, i);
#ifdef FC_X86
    if (c->avx2) {
        for (size_t i = n; i < (size_t)c->stride; i++) c->scale[i] = 0.0;
        fc_correlation_scales_avx2(c);
        return;
    }
#endif
    for (size_t i = 0; i < n; i++) {
        double v = c->scale[i];
        c->scale[i] = v > 0.0 ? 1.0 / sqrt(v) : (double)NAN;
        c->centre[i] = c->sum[i] * c->scale[i];
    }
}

/* Correlation of series i and j < i from their sum of products. */
FC_ROLLING_INLINE double fc_correlation_value(double window, double product, double scale_i, double scale_j, double centre_i, double centre_j) {
    double r = product * (window * scale_i) * scale_j - centre_i * centre_j;
    r = 1.0 < r ? 1.0 : r; /* keeps NaN */
    return -1.0 > r ? -1.0 : r;
}

/* Correlation of two series over the newest window; NaN where it does not exist. */
static inline double fc_correlation_get(const fc_correlation_t *c, int64_t i, int64_t j) {
    size_t low = (size_t)(i < j ? i : j), high = (size_t)(i < j ? j : i);
    double v = fc_correlation_moment(c, low), w = fc_correlation_moment(c, high);
    if (!(v > 0.0 && w > 0.0)) return (double)NAN;
    if (i == j) return 1.0;
    v = 1.0 / sqrt(v), w = 1.0 / sqrt(w);
    return fc_correlation_value((double)c->window, c->live[fc_correlation_row(high) + low], w, v, c->sum[high] * w, c->sum[low] * v);
}

/* Rows of the lower triangle of correlations in blocks of four columns; the last block of a row reaches beyond the diagonal. */
FC_ROLLING_INLINE void fc_correlation_block(const fc_correlation_t *c, size_t i, size_t j, double r[4]) {
    const double *row = c->live + fc_correlation_row(i) + j;
    for (size_t k = 0; k < 4; k++)
        r[k] = fc_correlation_value((double)c->window, row[k], c->scale[i], c->scale[j + k], c->centre[i], c->centre[j + k]);
}

#ifdef FC_X86
/* Four columns of a row of which `scale` is the window times the scale, and `centre` the centre. */
FC_ROLLING_AVX2 __m256d fc_correlation_block_avx2(const double *row, __m256d scale, __m256d centre, const double *scales, const double *centres) {
    __m256d r = _mm256_mul_pd(_mm256_mul_pd(_mm256_load_pd(row), scale), _mm256_load_pd(scales));
    r = _mm256_sub_pd(r, _mm256_mul_pd(centre, _mm256_load_pd(centres)));
    r = _mm256_min_pd(_mm256_set1_pd(1.0), r); /* the second operand where either is NaN */
    return _mm256_max_pd(_mm256_set1_pd(-1.0), r);
}

/* r[4] is a block of four rows and columns; t[4] becomes its transpose. */
FC_ROLLING_AVX2 void fc_correlation_transpose_avx2(const __m256d r[4], __m256d t[4]) {
    __m256d a = _mm256_unpacklo_pd(r[0], r[1]), b = _mm256_unpackhi_pd(r[0], r[1]);
    __m256d d = _mm256_unpacklo_pd(r[2], r[3]), e = _mm256_unpackhi_pd(r[2], r[3]);
    t[0] = _mm256_permute2f128_pd(a, d, 0x20), t[1] = _mm256_permute2f128_pd(b, e, 0x20);
    t[2] = _mm256_permute2f128_pd(a, d, 0x31), t[3] = _mm256_permute2f128_pd(b, e, 0x31);
}

/* Blocks of four rows and columns: below the diagonal each is stored as it is and transposed, on the diagonal it is mirrored. */
FC_TARGET_AVX2 static inline void fc_correlation_blocks_avx2(const fc_correlation_t *c, double *out) {
    size_t n = (size_t)c->series;
    const double window = (double)c->window, *scales = c->scale, *centres = c->centre;
    for (size_t i = 0; i + 4 <= n; i += 4) {
        const double *rows = c->live + fc_correlation_row(i);
        __m256d scale[4], centre[4], r[4], t[4];
        for (size_t k = 0; k < 4; k++) {
            scale[k] = _mm256_set1_pd(window * scales[i + k]);
            centre[k] = _mm256_set1_pd(centres[i + k]);
        }
        double *low = out + i * n, *high = out + i;
        for (size_t j = 0; j < i; j += 4, low += 4, high += 4 * n) {
            for (size_t k = 0; k < 4; k++)
                r[k] = fc_correlation_block_avx2(rows + k * (i + 4) + j, scale[k], centre[k], scales + j, centres + j);
            /* The columns reach into lines that the next rows need; no hardware prefetcher sees that. */
            for (size_t k = 0; k < 4; k++) fc_prefetch_write(high + k * n + 8);
            fc_correlation_transpose_avx2(r, t);
            for (size_t k = 0; k < 4; k++) {
                _mm256_storeu_pd(low + k * n, r[k]);
                _mm256_storeu_pd(high + k * n, t[k]);
            }
        }
        for (size_t k = 0; k < 4; k++) /* beyond the diagonal is padding, which is replaced */
            r[k] = fc_correlation_block_avx2(rows + k * (i + 4) + i, scale[k], centre[k], scales + i, centres + i);
        fc_correlation_transpose_avx2(r, t);
        __m256d own = _mm256_load_pd(scales + i), one = _mm256_set1_pd(1.0);
        one = _mm256_blendv_pd(own, one, _mm256_cmp_pd(own, own, _CMP_ORD_Q)); /* NaN stays */
        _mm256_storeu_pd(low, _mm256_blend_pd(t[0], one, 1));
        _mm256_storeu_pd(low + n, _mm256_blend_pd(_mm256_blend_pd(r[1], t[1], 12), one, 2));
        _mm256_storeu_pd(low + 2 * n, _mm256_blend_pd(_mm256_blend_pd(r[2], t[2], 8), one, 4));
        _mm256_storeu_pd(low + 3 * n, _mm256_blend_pd(r[3], one, 8));
    }
}

/* See fc_correlation_means: total[j] and pairs[j] take the column's part, row[4] and count[4] the lanes of the row's. */
FC_TARGET_AVX2 static inline void fc_correlation_means_row_avx2(const fc_correlation_t *c, size_t i, size_t end, double *total, double *pairs,
                                                                double row[4], double count[4]) {
    const double *live = c->live + fc_correlation_row(i);
    const __m256d scale = _mm256_set1_pd((double)c->window * c->scale[i]), centre = _mm256_set1_pd(c->centre[i]), one = _mm256_set1_pd(1.0);
    __m256d row_total = _mm256_setzero_pd(), row_pairs = row_total;
    for (size_t j = 0; j < end; j += 4) {
        __m256d r = fc_correlation_block_avx2(live + j, scale, centre, c->scale + j, c->centre + j), exists = _mm256_cmp_pd(r, r, _CMP_ORD_Q);
        r = _mm256_and_pd(exists, r);
        exists = _mm256_and_pd(exists, one);
        row_total = _mm256_add_pd(row_total, r);
        row_pairs = _mm256_add_pd(row_pairs, exists);
        _mm256_store_pd(total + j, _mm256_add_pd(_mm256_load_pd(total + j), r));
        _mm256_store_pd(pairs + j, _mm256_add_pd(_mm256_load_pd(pairs + j), exists));
    }
    _mm256_storeu_pd(row, row_total);
    _mm256_storeu_pd(count, row_pairs);
}
#endif

/* The whole matrix, out[series][series]. */
static inline void fc_correlation_matrix(fc_correlation_t *c, double *out) {
    size_t n = (size_t)c->series;
    double w = (double)c->window;
    fc_correlation_scales(c);
    size_t i = 0;
#ifdef FC_X86
    if (c->avx2) {
        fc_correlation_blocks_avx2(c, out);
        i = n & ~(size_t)3;
    }
#endif
    for (; i < n; i++) {
        const double *row = c->live + fc_correlation_row(i);
        double scale = c->scale[i], centre = c->centre[i];
        for (size_t j = 0; j < i; j++)
            out[i * n + j] = out[j * n + i] = fc_correlation_value(w, row[j], scale, c->scale[j], centre, c->centre[j]);
        out[i * n + i] = scale == scale ? 1.0 : (double)NAN;
    }
}

/* Mean correlation of every series with the others, over those that exist; NaN where there is none. out[series]. */
static inline void fc_correlation_means(fc_correlation_t *c, double *out) {
    size_t n = (size_t)c->series;
    double *total = c->total, *pairs = c->pairs;
    fc_correlation_scales(c);
    memset(total, 0, (size_t)c->stride * sizeof(double));
    memset(pairs, 0, (size_t)c->stride * sizeof(double));
    for (size_t i = 0; i < n; i++) {
        double row[4] = {0.0, 0.0, 0.0, 0.0}, count[4] = {0.0, 0.0, 0.0, 0.0};
        size_t end = i & ~(size_t)3;
#ifdef FC_X86
        if (c->avx2)
            fc_correlation_means_row_avx2(c, i, end, total, pairs, row, count);
        else
#endif
        {
            for (size_t j = 0; j < end; j += 4) {
                double r[4];
                fc_correlation_block(c, i, j, r);
                for (size_t k = 0; k < 4; k++) {
                    double exists = r[k] == r[k] ? 1.0 : 0.0, value = r[k] == r[k] ? r[k] : 0.0;
                    row[k] += value, count[k] += exists;
                    total[j + k] += value, pairs[j + k] += exists;
                }
            }
        }
        for (size_t j = end; j < i; j++) {
            double r = fc_correlation_value((double)c->window, c->live[fc_correlation_row(i) + j], c->scale[i], c->scale[j], c->centre[i], c->centre[j]);
            if (r == r) row[0] += r, count[0] += 1.0, total[j] += r, pairs[j] += 1.0;
        }
        total[i] += (row[0] + row[1]) + (row[2] + row[3]);
        pairs[i] += (count[0] + count[1]) + (count[2] + count[3]);
    }
    for (size_t i = 0; i < n; i++) out[i] = pairs[i] > 0.0 ? total[i] / pairs[i] : (double)NAN;
}

#endif
