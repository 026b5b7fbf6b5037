/* What the loop costs in plain C under honest conditions, beside the book and the source of `fc_bench_l2.h`: messages that travel, a
   place in the queue by the power rule, a table of own orders with limits, position and money, histograms of sampled events, and a journal in
   memory. Nothing but the benchmarks includes it. What it leaves out: many symbols, several orders a side, reasons, timers, a store. */
#ifndef FC_BENCH_HONEST_H
#define FC_BENCH_HONEST_H

#include "fc_bench_l2.h"
#include "fc_atomic.h"
#include "fc_clock.h"

#define FC_HONEST_FLIGHT 256  /* messages on a line */
#define FC_HONEST_TABLE 1024  /* own orders */
#define FC_HONEST_JOURNAL 65536
#define FC_HONEST_RATE 512    /* messages in a second */
#define FC_HONEST_SAMPLE 256

enum { FC_HONEST_NEW, FC_HONEST_PULL, FC_HONEST_ACK, FC_HONEST_DONE, FC_HONEST_FILL, FC_HONEST_REFUSED };

typedef struct {
    int64_t due, key, id;
    int kind, side;
} fc_honest_message_t;

typedef struct {
    fc_honest_message_t at[FC_HONEST_FLIGHT];
    uint32_t first, last;
} fc_honest_line_t;

typedef struct {
    int64_t id, key, sent_ns, left;
    int side, state; /* 0 nothing works */
    int64_t pad[3];
} fc_honest_own_t;

typedef struct {
    int64_t low, high, lots; /* of keys; lots that may be sent */
} fc_honest_bound_t;

typedef struct {
    int64_t key, id, traded;
    double front;
    fc_bench_l2_level_t *level;
} fc_honest_resting_t;

typedef struct {
    int64_t (*next)(fc_bench_l2_t *, int64_t taken, const fc_event_t **out);
    fc_bench_l2_t book; /* its levels and its result */
    fc_honest_resting_t rests[2];
    fc_honest_line_t up, down;
    int64_t due, order_ns, report_ns;
    /* ours */
    double variance, mid;
    int64_t last2, next_id, working[2], position, cash, fees, open[2], value, blocked, fresh_until, rate[FC_HONEST_RATE], messages, refused;
    fc_honest_bound_t bound[2];
    fc_honest_own_t table[FC_HONEST_TABLE];
    fc_event_t *journal;
    uint64_t written, histogram[2][64];
    int sample;
} fc_honest_t;

FC_ALWAYS_INLINE int64_t fc_honest_due(const fc_honest_line_t *l) {
    return l->first == l->last ? FC_BENCH_L2_NEVER * 3 : l->at[l->first % FC_HONEST_FLIGHT].due;
}

FC_ALWAYS_INLINE void fc_honest_put(fc_honest_t *w, fc_honest_line_t *l, int kind, int side, int64_t key, int64_t id, int64_t due) {
    l->at[l->last++ % FC_HONEST_FLIGHT] = (fc_honest_message_t){due, key, id, kind, side};
    if (due < w->due) w->due = due;
}

FC_ALWAYS_INLINE void fc_honest_note(fc_honest_t *w, const fc_honest_message_t *m) {
    fc_event_t *e = w->journal + (w->written & (FC_HONEST_JOURNAL - 1));
    e->exch_ns = e->local_ns = m->due;
    e->kind = (uint8_t)m->kind, e->side = (int8_t)(m->side ? -1 : 1), e->flags = 0, e->symbol_id = 0;
    e->price = m->key, e->size = 1, e->order_id = m->id, e->match_id = 0;
    fc_store_release(&e->seq, ++w->written);
}

/* The limits' bounds, when the market or something of ours has changed. */
FC_ALWAYS_INLINE void fc_honest_bounds(fc_honest_t *w, int64_t bid, int64_t ask, int64_t now) {
    int64_t middle = (bid + ask) >> 1, most = 400 - w->open[0] - w->open[1];
    w->fresh_until = now + 2000000000;
    for (int s = 0; s < 2; s++) {
        fc_honest_bound_t *b = &w->bound[s];
        const fc_honest_own_t *other = &w->table[w->working[!s] & (FC_HONEST_TABLE - 1)];
        int64_t sign = s ? -1 : 1, furthest = sign * middle + 10000, meets = w->working[!s] ? -other->key - 1 : furthest;
        b->low = sign * middle - 10000;
        b->high = furthest < meets ? furthest : meets;
        b->lots = 200 - sign * w->position - w->open[s];
        if (most < b->lots) b->lots = most;
        if (10 < b->lots) b->lots = 10;
    }
}

FC_ALWAYS_INLINE int fc_honest_passes(const fc_honest_t *w, int s, int64_t key, int64_t now) {
    const fc_honest_bound_t *b = &w->bound[s];
    int64_t price = s ? -key : key;
    return (w->blocked | (w->fresh_until - now) | (key - b->low) | (b->high - key) | (b->lots - 1) | (price - 1) |
            (INT64_MAX / 4 - price - w->value) | (now - w->rate[w->messages % FC_HONEST_RATE] - 1000000)) >= 0;
}

FC_ALWAYS_INLINE void fc_honest_pull(fc_honest_t *w, int s, int64_t now) {
    if (!w->working[s]) return;
    w->table[w->working[s] & (FC_HONEST_TABLE - 1)].state = 2;
    w->rate[w->messages++ % FC_HONEST_RATE] = now;
    fc_honest_put(w, &w->up, FC_HONEST_PULL, s, 0, w->working[s], now + w->order_ns);
    fc_honest_note(w, &w->up.at[(w->up.last - 1) % FC_HONEST_FLIGHT]);
    w->working[s] = 0;
}

FC_ALWAYS_INLINE void fc_honest_order(fc_honest_t *w, int s, int64_t key, int64_t bid, int64_t ask, int64_t now) {
    int64_t id = w->next_id;
    while (FC_UNLIKELY(w->table[id & (FC_HONEST_TABLE - 1)].state)) id++;
    if (FC_UNLIKELY(!fc_honest_passes(w, s, key, now))) return (void)w->refused++;
    w->table[id & (FC_HONEST_TABLE - 1)] = (fc_honest_own_t){.id = id, .key = key, .sent_ns = now, .left = 1, .side = s, .state = 1};
    w->next_id = id + 1;
    w->working[s] = id;
    w->open[s]++, w->value += s ? -key : key;
    w->rate[w->messages++ % FC_HONEST_RATE] = now;
    w->book.result.orders++;
    fc_honest_bounds(w, bid, ask, now);
    fc_honest_put(w, &w->up, FC_HONEST_NEW, s, key, id, now + w->order_ns);
    fc_honest_note(w, &w->up.at[(w->up.last - 1) % FC_HONEST_FLIGHT]);
}

FC_ALWAYS_INLINE void fc_honest_report(fc_honest_t *w, int kind, int s, int64_t key, int64_t id, int64_t now) {
    fc_honest_put(w, &w->down, kind, s, key, id, now + w->report_ns);
}

FC_ALWAYS_INLINE void fc_honest_fill(fc_honest_t *w, int s, int64_t now) {
    fc_honest_resting_t *o = &w->rests[s];
    w->book.result.fills++;
    fc_honest_report(w, FC_HONEST_FILL, s, o->key, o->id, now);
    o->level->own = 0;
    o->key = -FC_BENCH_L2_NEVER;
}

/* One of our messages is at the venue. */
static void fc_honest_arrive(fc_honest_t *w, const fc_honest_message_t *m) {
    fc_honest_resting_t *o = &w->rests[m->side];
    fc_bench_l2_side_t *h = &w->book.side[m->side];
    if (m->kind == FC_HONEST_PULL) {
        if (o->key == -FC_BENCH_L2_NEVER || o->id != m->id) return fc_honest_report(w, FC_HONEST_REFUSED, m->side, 0, m->id, m->due);
        o->level->own = 0;
        o->key = -FC_BENCH_L2_NEVER;
        return fc_honest_report(w, FC_HONEST_DONE, m->side, 0, m->id, m->due);
    }
    if (m->key + fc_bench_l2_key(&w->book.side[!m->side]) >= 0 || o->key != -FC_BENCH_L2_NEVER)
        return fc_honest_report(w, FC_HONEST_DONE, m->side, 0, m->id, m->due); /* would take, or meets one that is still there */
    fc_bench_l2_level_t *l = &h->at[m->key - h->low];
    *o = (fc_honest_resting_t){m->key, m->id, 0, (double)l->size, l};
    l->own = 1;
    fc_honest_report(w, FC_HONEST_ACK, m->side, m->key, m->id, m->due);
}

/* What came of one. */
static void fc_honest_learn(fc_honest_t *w, const fc_honest_message_t *m) {
    fc_honest_own_t *o = &w->table[m->id & (FC_HONEST_TABLE - 1)];
    fc_honest_note(w, m);
    if (FC_UNLIKELY(o->id != m->id || m->kind == FC_HONEST_ACK || m->kind == FC_HONEST_REFUSED)) return;
    if (m->kind == FC_HONEST_FILL) {
        w->position += m->side ? -1 : 1;
        w->cash -= m->key;
        w->fees += llabs(m->key) >> 12;
    }
    if (w->working[m->side] == m->id) w->working[m->side] = 0;
    w->open[m->side]--, w->value -= m->side ? -o->key : o->key;
    o->state = 0;
}

static void fc_honest_deliver(fc_honest_t *w, int64_t now) {
    for (;;) {
        int64_t up = fc_honest_due(&w->up), down = fc_honest_due(&w->down);
        w->due = up < down ? up : down;
        if (w->due >= now) return;
        if (up <= down) fc_honest_arrive(w, &w->up.at[w->up.first++ % FC_HONEST_FLIGHT]);
        else fc_honest_learn(w, &w->down.at[w->down.first++ % FC_HONEST_FLIGHT]);
    }
}

FC_ALWAYS_INLINE void fc_honest_top(fc_honest_t *w, int64_t bid, int64_t ask, int64_t now) {
    double mid = .5 * (double)(bid + ask), moved = mid - w->mid;
    w->book.result.touches++;
    if (w->mid != 0.) w->variance += .001 * (moved * moved - w->variance);
    w->mid = mid;
    if (llabs(bid + ask - w->last2) <= 2) return;
    w->last2 = bid + ask;
    w->book.result.requotes++;
    fc_honest_bounds(w, bid, ask, now);
    double skew = 5. * w->variance, centre = mid - (double)w->position * skew, half = .5 * skew + 20. * log1p(.05 / 1.5);
    int64_t below = (int64_t)floor(centre - half), above = (int64_t)ceil(centre + half);
    fc_honest_pull(w, 0, now), fc_honest_pull(w, 1, now);
    if (w->position < 100) fc_honest_order(w, 0, below < bid ? below : bid, bid, ask, now);
    if (w->position > -100) fc_honest_order(w, 1, -(above > ask ? above : ask), bid, ask, now);
}

FC_ALWAYS_INLINE void fc_honest_apply(fc_honest_t *w, const fc_event_t *e) {
    int s = e->side < 0;
    fc_bench_l2_side_t *h = &w->book.side[s];
    fc_honest_resting_t *o = &w->rests[s];
    int64_t key = e->side * e->price;
    if (FC_UNLIKELY(e->kind != FC_KIND_LEVEL)) {
        if (e->kind != FC_KIND_TRADE || key > o->key) return;
        if (key < o->key) return fc_honest_fill(w, s, e->exch_ns);
        o->front -= (double)e->size, o->traded += e->size;
        if (o->front <= -.5) fc_honest_fill(w, s, e->exch_ns);
        return;
    }
    int64_t i = key - h->low, size = e->size, old = h->at[i].size;
    h->at[i].size = size;
    if (FC_UNLIKELY(h->at[i].own)) { /* who left without trading: behind us with the share behind^3 / (behind^3 + ahead^3) */
        double gone = (double)(old - size - o->traded), behind = (double)old - o->front, ahead = o->front;
        if (gone > 0. && ahead > 0.) o->front -= gone * (ahead * ahead * ahead) / (behind * behind * behind + ahead * ahead * ahead);
        if (o->front > (double)size) o->front = (double)size;
        o->traded = 0;
    }
    if (i < h->best || (i == h->best ? size == old : !size)) return;
    h->best = i;
    while (!h->at[h->best].size) h->best--;
    if (!h->best || !w->book.side[!s].best) return;
    if (fc_bench_l2_key(h) + w->rests[!s].key >= 0) fc_honest_fill(w, !s, e->exch_ns);
    fc_honest_top(w, fc_bench_l2_key(&w->book.side[0]), -fc_bench_l2_key(&w->book.side[1]), e->exch_ns);
}

/* One pass with latencies of orders and reports. A feed latency that is not longer than that of reports is a shift of our clock: it is
   added to the one and taken off the other. False without memory. */
static inline int fc_honest_run(const fc_event_t *events, uint64_t n, int64_t order_ns, int64_t report_ns, fc_bench_l2_result_t *out) {
    fc_honest_t *w = (fc_honest_t *)calloc(1, sizeof *w);
    fc_bench_l2_level_t *levels = (fc_bench_l2_level_t *)calloc(2 * FC_BENCH_L2_SLOTS, sizeof *levels);
    fc_event_t *journal = (fc_event_t *)calloc(FC_HONEST_JOURNAL, sizeof *journal);
    if (!w || !levels || !journal || !n) return free(w), free(levels), free(journal), 0;
    for (int s = 0; s < 2; s++) {
        w->book.side[s].at = levels + s * FC_BENCH_L2_SLOTS;
        w->book.side[s].at[0].size = 1;
        w->book.side[s].low = (s ? -events[0].price : events[0].price) - FC_BENCH_L2_SLOTS / 2;
        w->rests[s].key = -FC_BENCH_L2_NEVER;
    }
    w->book.cursor = events, w->book.end = events + n;
    w->next = fc_bench_l2_next;
    w->order_ns = order_ns, w->report_ns = report_ns, w->due = FC_BENCH_L2_NEVER * 3;
    w->variance = .03, w->last2 = -FC_BENCH_L2_NEVER, w->next_id = 1, w->journal = journal, w->sample = FC_HONEST_SAMPLE;
    const fc_event_t *e;
    int64_t taken = 0, count;
    while ((count = w->next(&w->book, taken, &e)) > 0) {
        for (int64_t i = 0; i < count; i++, e++) {
            uint64_t begun = 0;
            FC_PREFETCH(e + 64);
            if (FC_UNLIKELY(--w->sample == 0)) begun = fc_tsc();
            if (FC_UNLIKELY(e->exch_ns > w->due)) fc_honest_deliver(w, e->exch_ns);
            fc_honest_apply(w, e);
            if (FC_UNLIKELY(begun)) {
                uint64_t spent = fc_tsc() - begun;
                w->histogram[0][63 - __builtin_clzll(spent | 1)]++;
                w->sample = FC_HONEST_SAMPLE;
            }
        }
        taken = count;
    }
    *out = w->book.result;
    out->position = w->position, out->cash = w->cash;
    free(w), free(levels), free(journal);
    return 1;
}

#endif
