/* Rolling mean, variance and z-score: batch kernels (scalar and AVX2 twins) and the streaming form.

   No value is ever subtracted from a running sum. The series is cut by boundaries that are one window apart; a window
   that ends t points behind a boundary b is the suffix of the block before b plus the prefix of the block after it:

        ... [ suffix(t) ........ b ][ .... prefix(t) ] ...
                                 K = x[b], a point of every such window

   Sums of (x - K) and (x - K)^2 are accumulated backwards once for the suffixes and forwards for the prefixes. So
   - a spike, NaN or infinity touches exactly the windows that hold it, and nothing drifts: there is nothing to renew;
   - K lies in the window, so the cancellation in L q - s^2 is bounded by L for any data (an outlier as K is the worst case);
   - a constant window has s = q = 0 exactly, hence variance 0; any other has variance > 0 (short of underflow).
   Boundaries are independent: four of them are the lanes of the AVX2 twin, and every lane does the operations of the
   scalar twin in the same order, so that results are bit-identical. */
#ifndef FC_ROLLING_H
#define FC_ROLLING_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "fc_cpu.h"
#include "fc_platform.h"
#include "fc_records.h"

#if defined(_MSC_VER)
#define FC_ROLLING_INLINE static __forceinline
#else
#define FC_ROLLING_INLINE static inline __attribute__((always_inline))
#endif

enum fc_rolling_op { FC_ROLLING_MEAN, FC_ROLLING_VAR, FC_ROLLING_STD, FC_ROLLING_ZSCORE };

typedef struct fc_rolling_shape {
    double length;  /* L, points in a window */
    double divisor; /* L (L - ddof) */
    double scale;   /* sqrt((L - ddof) / L): 1 for the population form */
    double bound;   /* largest |z| that L points can give */
} fc_rolling_shape_t;

static inline fc_rolling_shape_t fc_rolling_shape(int64_t window, int64_t ddof) {
    fc_rolling_shape_t c;
    c.length = (double)window;
    c.divisor = c.length * (double)(window - ddof);
    c.scale = sqrt((double)(window - ddof) / c.length);
    c.bound = sqrt((double)(window - 1)) * c.scale;
    return c;
}

/* L^2 times the population variance; NaN where the window holds NaN or infinity, or its spread overflows. */
FC_ROLLING_INLINE double fc_rolling_moment(double s, double q, const fc_rolling_shape_t *c) {
    double v = c->length * q - s * s;
    v = 0.0 > v ? 0.0 : v; /* keeps NaN */
    return v + (v - v);    /* infinity becomes NaN */
}

/* The statistic from the anchor K, the newest deviation d = x - K and the two sums. */
FC_ROLLING_INLINE double fc_rolling_value(int op, double anchor, double d, double s, double q, const fc_rolling_shape_t *c) {
    if (op == FC_ROLLING_MEAN) {
        double m = s / c->length;
        return anchor + (m + (m - m));
    }
    double v = fc_rolling_moment(s, q, c);
    if (op == FC_ROLLING_VAR) return v / c->divisor;
    if (op == FC_ROLLING_STD) return sqrt(v / c->divisor);
    /* ((x - mean) / std) with both sides multiplied by L. */
    double z = (c->length * d - s) * c->scale / sqrt(v);
    z = c->bound < z ? c->bound : z; /* rounding must not break the bound; keeps NaN */
    z = -c->bound > z ? -c->bound : z;
    return v <= 0.0 ? 0.0 : z;
}

/* ---- batch, scalar ---- */

/* `count` outputs (at most L) of the boundary whose first window starts at x; work holds 2 L doubles. */
FC_ROLLING_INLINE void fc_rolling_boundary(int op, const double *x, double *out, size_t window, size_t count,
                                           const fc_rolling_shape_t *c, double *work) {
    double anchor = x[window - 1], s = 0.0, q = 0.0;
    for (size_t t = window; t-- > 0;) {
        double d = x[t] - anchor;
        s += d;
        q += d * d;
        work[2 * t] = s;
        work[2 * t + 1] = q;
    }
    s = q = 0.0;
    for (size_t t = 0; t < count; t++) {
        double d = x[window - 1 + t] - anchor;
        s += d;
        q += d * d;
        out[t] = fc_rolling_value(op, anchor, d, work[2 * t] + s, work[2 * t + 1] + q, c);
    }
}

/* Windows of a few points: the sums are made anew for each, about its newest point. */
FC_ROLLING_INLINE void fc_rolling_direct(int op, const double *x, double *out, size_t window, size_t count, const fc_rolling_shape_t *c) {
    for (size_t t = 0; t < count; t++) {
        double anchor = x[t + window - 1], s = 0.0, q = 0.0, d = 0.0;
        for (size_t j = 0; j < window; j++) {
            d = x[t + j] - anchor;
            s += d;
            q += d * d;
        }
        out[t] = fc_rolling_value(op, anchor, d, s, q, c);
    }
}

#define FC_ROLLING_DIRECT 8   /* windows up to this length are summed anew */
#define FC_ROLLING_FUSED 2048 /* windows up to this length: two sets of suffixes fit the caches */

FC_ROLLING_INLINE void fc_rolling_run_scalar(int op, const double *x, double *out, size_t window, size_t count,
                                             const fc_rolling_shape_t *c, double *work) {
    if (window <= FC_ROLLING_DIRECT) {
        fc_rolling_direct(op, x, out, window, count, c);
        return;
    }
    for (size_t o = 0; o < count; o += window)
        fc_rolling_boundary(op, x + o, out + o, window, count - o < window ? count - o : window, c, work);
}

/* ---- batch, AVX2: four boundaries are four lanes ---- */

#ifdef FC_X86
#define FC_ROLLING_AVX2 FC_TARGET_AVX2 static inline __attribute__((always_inline))

typedef struct fc_rolling_lanes {
    const double *x0, *x1, *x2, *x3; /* where the first window of each boundary starts */
    double *o0, *o1, *o2, *o3;
} fc_rolling_lanes_t;

FC_ROLLING_AVX2 __m256d fc_rolling_value_avx2(int op, __m256d anchor, __m256d d, __m256d s, __m256d q, const fc_rolling_shape_t *c) {
    const __m256d length = _mm256_set1_pd(c->length), zero = _mm256_setzero_pd();
    if (op == FC_ROLLING_MEAN) {
        __m256d m = _mm256_div_pd(s, length);
        return _mm256_add_pd(anchor, _mm256_add_pd(m, _mm256_sub_pd(m, m)));
    }
    __m256d v = _mm256_sub_pd(_mm256_mul_pd(length, q), _mm256_mul_pd(s, s));
    v = _mm256_max_pd(zero, v); /* the second operand where either is NaN */
    v = _mm256_add_pd(v, _mm256_sub_pd(v, v));
    if (op == FC_ROLLING_VAR) return _mm256_div_pd(v, _mm256_set1_pd(c->divisor));
    if (op == FC_ROLLING_STD) return _mm256_sqrt_pd(_mm256_div_pd(v, _mm256_set1_pd(c->divisor)));
    __m256d z = _mm256_mul_pd(_mm256_sub_pd(_mm256_mul_pd(length, d), s), _mm256_set1_pd(c->scale));
    z = _mm256_div_pd(z, _mm256_sqrt_pd(v));
    z = _mm256_min_pd(_mm256_set1_pd(c->bound), z);
    z = _mm256_max_pd(_mm256_set1_pd(-c->bound), z);
    return _mm256_andnot_pd(_mm256_cmp_pd(v, zero, _CMP_LE_OQ), z);
}

/* Points t and t + 1 of the four lanes. */
FC_ROLLING_AVX2 void fc_rolling_load2(const fc_rolling_lanes_t *p, size_t t, __m256d *first, __m256d *second) {
    __m256d a = _mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_loadu_pd(p->x0 + t)), _mm_loadu_pd(p->x2 + t), 1);
    __m256d b = _mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_loadu_pd(p->x1 + t)), _mm_loadu_pd(p->x3 + t), 1);
    *first = _mm256_unpacklo_pd(a, b);
    *second = _mm256_unpackhi_pd(a, b);
}
FC_ROLLING_AVX2 __m256d fc_rolling_load1(const fc_rolling_lanes_t *p, size_t t) {
    return _mm256_setr_pd(p->x0[t], p->x1[t], p->x2[t], p->x3[t]);
}
FC_ROLLING_AVX2 void fc_rolling_store2(const fc_rolling_lanes_t *p, size_t t, __m256d first, __m256d second) {
    __m256d a = _mm256_unpacklo_pd(first, second), b = _mm256_unpackhi_pd(first, second);
    _mm_storeu_pd(p->o0 + t, _mm256_castpd256_pd128(a));
    _mm_storeu_pd(p->o1 + t, _mm256_castpd256_pd128(b));
    _mm_storeu_pd(p->o2 + t, _mm256_extractf128_pd(a, 1));
    _mm_storeu_pd(p->o3 + t, _mm256_extractf128_pd(b, 1));
}
FC_ROLLING_AVX2 void fc_rolling_store1(const fc_rolling_lanes_t *p, size_t t, __m256d v) {
    __m128d low = _mm256_castpd256_pd128(v), high = _mm256_extractf128_pd(v, 1);
    _mm_storel_pd(p->o0 + t, low);
    _mm_storeh_pd(p->o1 + t, low);
    _mm_storel_pd(p->o2 + t, high);
    _mm_storeh_pd(p->o3 + t, high);
}

typedef struct fc_rolling_sums {
    __m256d anchor, s, q;
} fc_rolling_sums_t;

FC_ROLLING_AVX2 __m256d fc_rolling_add_avx2(fc_rolling_sums_t *a, __m256d x) {
    __m256d d = _mm256_sub_pd(x, a->anchor);
    a->s = _mm256_add_pd(a->s, d);
    a->q = _mm256_add_pd(a->q, _mm256_mul_pd(d, d));
    return d;
}

/* One step of the suffixes: points t and t - 1. */
FC_ROLLING_AVX2 void fc_rolling_suffix2(const fc_rolling_lanes_t *p, fc_rolling_sums_t *a, size_t t, double *work) {
    __m256d before, last;
    fc_rolling_load2(p, t - 1, &before, &last);
    fc_rolling_add_avx2(a, last);
    _mm256_store_pd(work + 8 * t, a->s);
    _mm256_store_pd(work + 8 * t + 4, a->q);
    fc_rolling_add_avx2(a, before);
    _mm256_store_pd(work + 8 * t - 8, a->s);
    _mm256_store_pd(work + 8 * t - 4, a->q);
}
FC_ROLLING_AVX2 void fc_rolling_suffix1(const fc_rolling_lanes_t *p, fc_rolling_sums_t *a, double *work) {
    fc_rolling_add_avx2(a, fc_rolling_load1(p, 0));
    _mm256_store_pd(work, a->s);
    _mm256_store_pd(work + 4, a->q);
}
FC_ROLLING_AVX2 __m256d fc_rolling_prefix(int op, fc_rolling_sums_t *a, __m256d x, const double *work, const fc_rolling_shape_t *c) {
    __m256d d = fc_rolling_add_avx2(a, x);
    return fc_rolling_value_avx2(op, a->anchor, d, _mm256_add_pd(_mm256_load_pd(work), a->s),
                                 _mm256_add_pd(_mm256_load_pd(work + 4), a->q), c);
}

FC_ROLLING_AVX2 fc_rolling_lanes_t fc_rolling_group(const double *x, double *out, size_t first, size_t window) {
    fc_rolling_lanes_t p;
    p.x0 = x + first * window, p.x1 = p.x0 + window, p.x2 = p.x1 + window, p.x3 = p.x2 + window;
    p.o0 = out + first * window, p.o1 = p.o0 + window, p.o2 = p.o1 + window, p.o3 = p.o2 + window;
    return p;
}
FC_ROLLING_AVX2 fc_rolling_sums_t fc_rolling_start(const fc_rolling_lanes_t *p, size_t window) {
    fc_rolling_sums_t a;
    a.anchor = fc_rolling_load1(p, window - 1);
    a.s = a.q = _mm256_setzero_pd();
    return a;
}
FC_ROLLING_AVX2 void fc_rolling_suffixes(const fc_rolling_lanes_t *p, size_t window, double *work) {
    fc_rolling_sums_t a = fc_rolling_start(p, window);
    size_t t = window;
    for (; t >= 2; t -= 2) fc_rolling_suffix2(p, &a, t - 1, work);
    if (t) fc_rolling_suffix1(p, &a, work);
}

/* The prefixes and results of `now`; beside them, hidden behind the division and the square root, the suffixes of `next`.
   A step reads one cache line's worth and writes as much: it fetches one line each of the group that starts `ahead` points on. */
FC_ROLLING_AVX2 void fc_rolling_prefixes(int op, int fused, const fc_rolling_lanes_t *now, const fc_rolling_lanes_t *next,
                                         size_t ahead, size_t window, const fc_rolling_shape_t *c, const double *work, double *work_next) {
    fc_rolling_sums_t a = fc_rolling_start(now, window), b = fc_rolling_start(fused ? next : now, window);
    size_t t = 0;
    for (; t + 2 <= window; t += 2) {
        __m256d x0, x1;
        FC_PREFETCH(now->x0 + ahead + 4 * t);
        fc_prefetch_write(now->o0 + ahead + 4 * t);
        fc_rolling_load2(now, window - 1 + t, &x0, &x1);
        if (fused) fc_rolling_suffix2(next, &b, window - 1 - t, work_next);
        x0 = fc_rolling_prefix(op, &a, x0, work + 8 * t, c);
        x1 = fc_rolling_prefix(op, &a, x1, work + 8 * t + 8, c);
        fc_rolling_store2(now, t, x0, x1);
    }
    if (t < window) {
        if (fused) fc_rolling_suffix1(next, &b, work_next);
        fc_rolling_store1(now, t, fc_rolling_prefix(op, &a, fc_rolling_load1(now, window - 1 + t), work + 8 * t, c));
    }
}

/* Four consecutive windows are the lanes. */
FC_ROLLING_AVX2 void fc_rolling_direct_avx2(int op, const double *x, double *out, size_t window, size_t count, const fc_rolling_shape_t *c) {
    size_t t = 0;
    for (; t + 4 <= count; t += 4) {
        fc_rolling_sums_t a;
        a.anchor = _mm256_loadu_pd(x + t + window - 1);
        __m256d d = a.s = a.q = _mm256_setzero_pd();
        for (size_t j = 0; j < window; j++) d = fc_rolling_add_avx2(&a, _mm256_loadu_pd(x + t + j));
        _mm256_storeu_pd(out + t, fc_rolling_value_avx2(op, a.anchor, d, a.s, a.q, c));
    }
    fc_rolling_direct(op, x + t, out + t, window, count - t, c);
}

FC_ROLLING_AVX2 void fc_rolling_run_avx2(int op, const double *x, double *out, size_t window, size_t count,
                                         const fc_rolling_shape_t *c, double *work) {
    if (window <= FC_ROLLING_DIRECT) {
        fc_rolling_direct_avx2(op, x, out, window, count, c);
        return;
    }
    size_t full = count / window;
    if (full < 4) {
        fc_rolling_run_scalar(op, x, out, window, count, c, work);
        return;
    }
    size_t groups = (full + 3) / 4;
    fc_rolling_lanes_t now = fc_rolling_group(x, out, 0, window), next;
    double *work_next = work + 8 * window;
    if (window <= FC_ROLLING_FUSED) {
        fc_rolling_suffixes(&now, window, work);
        for (size_t g = 1; g < groups; g++) {
            /* The last group overlaps the one before it, and writes the same values again. */
            next = fc_rolling_group(x, out, g + 1 < groups ? 4 * g : full - 4, window);
            /* `next` is being read already. At the end there is nothing more to fetch, and lines that are there cost nothing. */
            fc_rolling_prefixes(op, 1, &now, &next, g + 2 < groups ? 8 * window : 0, window, c, work, work_next);
            double *swap = work;
            work = work_next, work_next = swap, now = next;
        }
        fc_rolling_prefixes(op, 0, &now, &now, 0, window, c, work, work_next);
    } else {
        for (size_t g = 0; g < groups; g++) {
            now = fc_rolling_group(x, out, g + 1 < groups ? 4 * g : full - 4, window);
            fc_rolling_suffixes(&now, window, work);
            fc_rolling_prefixes(op, 0, &now, &now, 0, window, c, work, work);
        }
    }
    if (count > full * window)
        fc_rolling_boundary(op, x + full * window, out + full * window, window, count - full * window, c, work);
}

FC_TARGET_AVX2 static inline void fc_rolling_batch_avx2(int op, const double *x, double *out, size_t window, size_t count,
                                                        const fc_rolling_shape_t *c, double *work) {
    switch (op) { /* one copy per statistic */
    case FC_ROLLING_MEAN: fc_rolling_run_avx2(FC_ROLLING_MEAN, x, out, window, count, c, work); break;
    case FC_ROLLING_VAR: fc_rolling_run_avx2(FC_ROLLING_VAR, x, out, window, count, c, work); break;
    case FC_ROLLING_STD: fc_rolling_run_avx2(FC_ROLLING_STD, x, out, window, count, c, work); break;
    default: fc_rolling_run_avx2(FC_ROLLING_ZSCORE, x, out, window, count, c, work);
    }
}
#endif

static inline void fc_rolling_batch_scalar(int op, const double *x, double *out, size_t window, size_t count,
                                           const fc_rolling_shape_t *c, double *work) {
    switch (op) {
    case FC_ROLLING_MEAN: fc_rolling_run_scalar(FC_ROLLING_MEAN, x, out, window, count, c, work); break;
    case FC_ROLLING_VAR: fc_rolling_run_scalar(FC_ROLLING_VAR, x, out, window, count, c, work); break;
    case FC_ROLLING_STD: fc_rolling_run_scalar(FC_ROLLING_STD, x, out, window, count, c, work); break;
    default: fc_rolling_run_scalar(FC_ROLLING_ZSCORE, x, out, window, count, c, work);
    }
}

#define FC_ROLLING_STACK 256 /* windows up to this length need no allocation */

/* Write `count` statistics of the windows of `window` points that start at x[0] .. x[count - 1].
   FC_OK or FC_NO_MEMORY; 2 <= window and count >= 1 are the caller's to check; out overlaps nothing of x. */
static inline int fc_rolling_batch(int avx2, int op, const double *x, double *out, size_t window, size_t count,
                                   const fc_rolling_shape_t *c) {
    /* 16 doubles a point: the two sums of four lanes, twice. */
    double stack[16 * FC_ROLLING_STACK + 4], *memory = NULL, *work = stack;
    if (window > FC_ROLLING_STACK) {
        if (window > SIZE_MAX / (16 * sizeof(double)) - 1) return FC_NO_MEMORY;
        memory = (double *)malloc((16 * window + 4) * sizeof(double));
        if (!memory) return FC_NO_MEMORY;
        work = memory;
    }
    work = (double *)(((uintptr_t)work + 31) & ~(uintptr_t)31);
#ifdef FC_X86
    if (avx2)
        fc_rolling_batch_avx2(op, x, out, window, count, c, work);
    else
#endif
        fc_rolling_batch_scalar(op, x, out, window, count, c, work);
    (void)avx2;
    free(memory);
    return FC_OK;
}

/* ---- streaming ----

   Blocks of h = L / 2 points. While block 3 arrives, a window is suffix(1) + all of 2 + prefix(3), anchored at the first
   point of block 2, which is in every such window. Meanwhile the suffixes of block 2 are made, one a point, about the
   first point of block 3, and so is the sum of block 3: when 3 is complete everything for the next phase is there. Every
   update costs the same, and none ever subtracts from a sum. */
typedef struct fc_rolling {
    double anchor;          /* first point of block 2 */
    double s, q;            /* sums over blocks 2 and 3, about anchor */
    double anchor_next;     /* first point of block 3 */
    double s_next, q_next;  /* sums over block 3, about anchor_next */
    double s_back, q_back;  /* sums over the newest points of block 2, about anchor_next */
    double d, s_all, q_all; /* of the newest window: x - anchor and the two sums */
    fc_rolling_shape_t shape;
    double *current;        /* [half] points of block 3 */
    double *previous;       /* [half] points of block 2 */
    double *suffix;         /* [2 (half + 1)] sums over the end of block 1; the last pair is 0 */
    double *suffix_next;    /* the same for block 2, in the making */
    int64_t position;       /* points of block 3 so far */
    int64_t half;           /* points in a block */
    int64_t offset;         /* suffix that belongs to position 0: 1 for even windows, 0 for odd ones */
    int64_t window, ddof;
    int64_t count;          /* points so far */
    double *memory;         /* the one allocation behind the four arrays */
} fc_rolling_t;

static inline void fc_rolling_reset(fc_rolling_t *r) {
    size_t half = (size_t)r->half;
    memset(r->memory, 0, (6 * half + 4) * sizeof(double));
    r->current = r->memory;
    r->previous = r->current + half;
    r->suffix = r->previous + half;
    r->suffix_next = r->suffix + 2 * (half + 1);
    r->anchor = r->s = r->q = r->anchor_next = r->s_next = r->q_next = r->s_back = r->q_back = 0.0;
    r->d = r->s_all = r->q_all = 0.0;
    r->position = r->half; /* the first point starts a block */
    r->count = 0;
}

/* FC_OK or FC_NO_MEMORY; window >= 2 and 0 <= ddof < window are the caller's to check. */
static inline int fc_rolling_init(fc_rolling_t *r, int64_t window, int64_t ddof) {
    r->window = window;
    r->ddof = ddof;
    r->half = window / 2;
    r->offset = 1 - window % 2;
    r->shape = fc_rolling_shape(window, ddof);
    r->memory = NULL;
    if ((uint64_t)r->half > (uint64_t)SIZE_MAX / 64) return FC_NO_MEMORY;
    r->memory = (double *)fc_alloc(6 * (size_t)r->half + 4, sizeof(double));
    if (!r->memory) return FC_NO_MEMORY;
    fc_rolling_reset(r);
    return FC_OK;
}

static inline void fc_rolling_free(fc_rolling_t *r) {
    fc_free(r->memory);
    r->memory = NULL;
}

/* Take one point in: the same work for every point. */
FC_ROLLING_INLINE void fc_rolling_push(fc_rolling_t *r, double x) {
    int64_t u = r->position;
    if (u == r->half) { /* block 3 becomes block 2 */
        double *swap = r->current;
        r->current = r->previous, r->previous = swap;
        swap = r->suffix, r->suffix = r->suffix_next, r->suffix_next = swap;
        r->anchor = r->anchor_next, r->s = r->s_next, r->q = r->q_next;
        r->anchor_next = x;
        r->s_next = r->q_next = r->s_back = r->q_back = 0.0;
        u = 0;
    }
    int64_t back = r->half - 1 - u;
    r->current[u] = x;
    double d = x - r->anchor, e = x - r->anchor_next, f = r->previous[back] - r->anchor_next;
    r->s += d;
    r->q += d * d;
    r->s_next += e;
    r->q_next += e * e;
    r->s_back += f;
    r->q_back += f * f;
    r->suffix_next[2 * back] = r->s_back;
    r->suffix_next[2 * back + 1] = r->q_back;
    const double *suffix = r->suffix + 2 * (u + r->offset);
    r->d = d;
    r->s_all = suffix[0] + r->s;
    r->q_all = suffix[1] + r->q;
    r->position = u + 1;
    r->count++;
}

/* A statistic of the newest window; NaN until there are `window` points. */
FC_ROLLING_INLINE double fc_rolling_get(int op, const fc_rolling_t *r) {
    double value = fc_rolling_value(op, r->anchor, r->d, r->s_all, r->q_all, &r->shape);
    return FC_LIKELY(r->count >= r->window) ? value : (double)NAN;
}

/* Take one point in and return its z-score. */
FC_ROLLING_INLINE double fc_rolling_update(fc_rolling_t *r, double x) {
    fc_rolling_push(r, x);
    return fc_rolling_get(FC_ROLLING_ZSCORE, r);
}

/* The textbook loop, for comparison in the benchmarks only: it drifts, and an outlier stays in its sums. */
static inline void fc_rolling_sliding(const double *x, double *out, size_t window, size_t count) {
    double length = (double)window, anchor = x[0], s = 0.0, q = 0.0;
    for (size_t i = 0; i + 1 < window; i++) {
        double d = x[i] - anchor;
        s += d;
        q += d * d;
    }
    for (size_t i = 0; i < count; i++) {
        double d = x[i + window - 1] - anchor, old = x[i] - anchor;
        s += d;
        q += d * d;
        out[i] = (length * d - s) / sqrt(length * q - s * s);
        s -= old;
        q -= old * old;
    }
}

#endif
