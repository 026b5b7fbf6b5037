/* The floor for the loop on level events, in plain C and written apart from the product: a book whose levels lie in one array,
   a source behind a function pointer, and a maker with two resting orders. Prices are known to stay inside the array, and nothing
   is checked. Nothing but the benchmarks includes it.

   The events have the statistics that such a feed shows with ten levels a side: a fifth are trades, each followed by the level
   that it leaves; the rest set one of the ten levels, or a better one where the spread is wider than a tick. */
#ifndef FC_BENCH_L2_H
#define FC_BENCH_L2_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fc_platform.h"
#include "fc_records.h"

#define FC_BENCH_L2_SLOTS 16384 /* prices of a side */
#define FC_BENCH_L2_BATCH 128
#define FC_BENCH_L2_NEVER (INT64_MAX / 4)

/* ---- events ---- */

static inline double fc_bench_l2_uniform(uint64_t *state) {
    uint64_t x = *state += 0x9E3779B97F4A7C15u;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return (double)((x ^ (x >> 31)) >> 11) * 0x1p-53;
}

typedef struct {
    fc_event_t *out;
    uint64_t n;
    int64_t now;
    int64_t *sizes[2]; /* by price less the lowest, bids and asks */
    int64_t low, best[2];
} fc_bench_l2_market_t;

static inline void fc_bench_l2_put(fc_bench_l2_market_t *m, int kind, int s, int64_t price, int64_t size) {
    fc_event_t *e = m->out + m->n++;
    memset(e, 0, sizeof *e);
    e->seq = m->n;
    e->exch_ns = m->now;
    e->kind = (uint8_t)kind;
    e->side = (int8_t)(s ? -1 : 1);
    e->price = price;
    e->size = size;
    if (kind == FC_KIND_LEVEL) m->sizes[s][price - m->low] = size;
}

/* Up to n events into `out`; returns how many, 0 without memory. */
static inline uint64_t fc_bench_l2_make(fc_event_t *out, uint64_t n, uint64_t seed) {
    const int64_t prices = (int64_t)1 << 18;
    fc_bench_l2_market_t m = {.out = out, .now = 1700000000000000000, .low = 600000 - prices / 2, .best = {599999, 600000}};
    int64_t *sizes = (int64_t *)calloc((size_t)(2 * prices), sizeof(int64_t));
    if (!sizes || n < 64) return free(sizes), (uint64_t)0;
    m.sizes[0] = sizes, m.sizes[1] = sizes + prices;
    for (int k = 0; k < 10; k++)
        for (int s = 0; s < 2; s++) fc_bench_l2_put(&m, FC_KIND_LEVEL, s, m.best[s] + (s ? k : -k), 20 + 5 * k);
    while (m.n + 4 < n) {
        double what = fc_bench_l2_uniform(&seed), which = fc_bench_l2_uniform(&seed), amount = fc_bench_l2_uniform(&seed);
        int s = which >= .5, worse = s ? 1 : -1;
        m.now += 1000 + (int64_t)(-500000. * log1p(-fc_bench_l2_uniform(&seed)));
        if (what < .2) {
            int64_t here = m.sizes[s][m.best[s] - m.low], size = 1 + (int64_t)(30. * amount * amount * amount * amount);
            if (size > here) size = here;
            fc_bench_l2_put(&m, FC_KIND_TRADE, s, m.best[s], size);
            fc_bench_l2_put(&m, FC_KIND_LEVEL, s, m.best[s], here - size);
        } else if (m.best[1] - m.best[0] > 1 && what < .75) {
            m.best[s] -= worse;
            fc_bench_l2_put(&m, FC_KIND_LEVEL, s, m.best[s], 5 + (int64_t)(25. * (10. * amount - floor(10. * amount))));
        } else {
            int64_t k = (int64_t)(10. * amount), size = 1 + (int64_t)(60. * (10. * amount - (double)k));
            if (what > .97 && k == 0) size = 0;
            fc_bench_l2_put(&m, FC_KIND_LEVEL, s, m.best[s] + worse * k, size);
        }
        for (s = 0; s < 2; s++) {
            worse = s ? 1 : -1;
            while (!m.sizes[s][m.best[s] - m.low]) m.best[s] += worse;
            if (!m.sizes[s][m.best[s] + 9 * worse - m.low]) fc_bench_l2_put(&m, FC_KIND_LEVEL, s, m.best[s] + 9 * worse, 30);
        }
    }
    free(sizes);
    return m.n;
}

/* ---- the loop ---- */

typedef struct {
    int64_t touches, requotes, orders, fills, position, cash;
    uint64_t check; /* of the tops: 3 bid + ask, summed over the changes */
} fc_bench_l2_result_t;

typedef struct {
    int64_t size, own;
} fc_bench_l2_level_t;

typedef struct {
    fc_bench_l2_level_t *at; /* by key - low; at[0] stands below all levels and is never empty */
    int64_t best, low;       /* best: an index, 0 for an empty side; key = side * price */
} fc_bench_l2_side_t;

typedef struct {
    int64_t key, ahead, left; /* key: -NEVER where nothing rests */
    fc_bench_l2_level_t *level;
} fc_bench_l2_order_t;

typedef struct fc_bench_l2 fc_bench_l2_t;
struct fc_bench_l2 {
    int64_t (*next)(fc_bench_l2_t *, int64_t taken, const fc_event_t **out);
    void (*send)(fc_bench_l2_t *, int s, int64_t price); /* an order of one lot; NEVER: take it back */
    const fc_event_t *cursor, *end;
    fc_bench_l2_side_t side[2];
    fc_bench_l2_order_t own[2];
    double variance, mid;
    int64_t last2, working[2];
    fc_bench_l2_result_t result;
};

static int64_t fc_bench_l2_next(fc_bench_l2_t *w, int64_t taken, const fc_event_t **out) {
    w->cursor += taken;
    *out = w->cursor;
    return w->end - w->cursor < FC_BENCH_L2_BATCH ? w->end - w->cursor : FC_BENCH_L2_BATCH;
}

FC_ALWAYS_INLINE int64_t fc_bench_l2_key(const fc_bench_l2_side_t *h) { return h->best + h->low; }

static void fc_bench_l2_send(fc_bench_l2_t *w, int s, int64_t price) {
    fc_bench_l2_order_t *o = &w->own[s];
    if (price == FC_BENCH_L2_NEVER) {
        if (o->key != -FC_BENCH_L2_NEVER) o->level->own = 0, o->key = -FC_BENCH_L2_NEVER;
        w->working[s] = 0;
        return;
    }
    int64_t key = s ? -price : price;
    w->result.orders++;
    if (key + fc_bench_l2_key(&w->side[!s]) >= 0) return; /* would take: post only */
    fc_bench_l2_level_t *l = &w->side[s].at[key - w->side[s].low];
    *o = (fc_bench_l2_order_t){key, l->size, 1, l};
    l->own = 1;
    w->working[s] = 1;
}

FC_ALWAYS_INLINE void fc_bench_l2_fill(fc_bench_l2_t *w, int s) {
    fc_bench_l2_order_t *o = &w->own[s];
    w->result.fills++;
    w->result.position += s ? -1 : 1;
    w->result.cash -= o->key; /* key = side * price, of one lot */
    w->working[s] = 0;
    o->level->own = 0;
    o->key = -FC_BENCH_L2_NEVER;
}

FC_ALWAYS_INLINE void fc_bench_l2_quote(fc_bench_l2_t *w, int64_t bid, int64_t ask) {
    double mid = .5 * (double)(bid + ask), moved = mid - w->mid;
    if (w->mid != 0.) w->variance += .001 * (moved * moved - w->variance);
    w->mid = mid;
    if (llabs(bid + ask - w->last2) <= 2) return;
    w->last2 = bid + ask;
    w->result.requotes++;
    double skew = 5. * w->variance, centre = mid - (double)w->result.position * skew, half = .5 * skew + 20. * log1p(.05 / 1.5);
    int64_t below = (int64_t)floor(centre - half), above = (int64_t)ceil(centre + half);
    for (int s = 0; s < 2; s++)
        if (w->working[s]) w->send(w, s, FC_BENCH_L2_NEVER);
    if (w->result.position < 100) w->send(w, 0, below < bid ? below : bid);
    if (w->result.position > -100) w->send(w, 1, above > ask ? above : ask);
}

FC_ALWAYS_INLINE void fc_bench_l2_apply(const int maker, fc_bench_l2_t *w, const fc_event_t *e) {
    int s = e->side < 0;
    fc_bench_l2_side_t *h = &w->side[s];
    int64_t key = e->side * e->price;
    if (FC_UNLIKELY(e->kind != FC_KIND_LEVEL)) {
        fc_bench_l2_order_t *o = &w->own[s];
        if (!maker || e->kind != FC_KIND_TRADE || key > o->key) return;
        if (key < o->key || (o->ahead -= e->size) < 0) fc_bench_l2_fill(w, s);
        return;
    }
    int64_t i = key - h->low, size = e->size, old = h->at[i].size;
    h->at[i].size = size;
    if (maker && FC_UNLIKELY(h->at[i].own) && w->own[s].ahead > size) w->own[s].ahead = size;
    if (i < h->best || (i == h->best ? size == old : !size)) return;
    h->best = i;
    while (!h->at[h->best].size) h->best--;
    if (!h->best || !w->side[!s].best) return;
    int64_t bid = fc_bench_l2_key(&w->side[0]), ask = -fc_bench_l2_key(&w->side[1]);
    if (maker && fc_bench_l2_key(h) + w->own[!s].key >= 0) fc_bench_l2_fill(w, !s); /* the market has come to our price */
    w->result.touches++;
    w->result.check += (uint64_t)(3 * bid + ask);
    if (maker) fc_bench_l2_quote(w, bid, ask);
}

FC_ALWAYS_INLINE void fc_bench_l2_loop(const int maker, const int source, fc_bench_l2_t *w) {
    int64_t taken = 0;
    for (;;) {
        const fc_event_t *e = w->cursor;
        int64_t n = source ? w->next(w, taken, &e) : taken ? 0 : w->end - w->cursor;
        if (n <= 0) return;
        for (const fc_event_t *end = e + n; e < end; e++) {
            FC_PREFETCH(e + 64); /* the processor's own stops at the end of a page */
            fc_bench_l2_apply(maker, w, e);
        }
        taken = n;
    }
}

/* Row 'a': book and top of book; 'b': the same from a source; 'c': b and the maker. False without memory. */
static inline int fc_bench_l2_run(int row, const fc_event_t *events, uint64_t n, fc_bench_l2_result_t *out) {
    fc_bench_l2_t w;
    memset(&w, 0, sizeof w);
    fc_bench_l2_level_t *levels = (fc_bench_l2_level_t *)calloc(2 * FC_BENCH_L2_SLOTS, sizeof *levels);
    if (!levels || !n) return free(levels), 0;
    for (int s = 0; s < 2; s++) {
        w.side[s].at = levels + s * FC_BENCH_L2_SLOTS;
        w.side[s].at[0].size = 1;
        w.side[s].low = (s ? -events[0].price : events[0].price) - FC_BENCH_L2_SLOTS / 2;
        w.own[s].key = -FC_BENCH_L2_NEVER;
    }
    w.cursor = events, w.end = events + n;
    w.next = fc_bench_l2_next, w.send = fc_bench_l2_send;
    w.variance = .03, w.last2 = -FC_BENCH_L2_NEVER;
    if (row == 'a') fc_bench_l2_loop(0, 0, &w);
    else if (row == 'b') fc_bench_l2_loop(0, 1, &w);
    else fc_bench_l2_loop(1, 1, &w);
    free(levels);
    *out = w.result;
    return 1;
}

#endif
