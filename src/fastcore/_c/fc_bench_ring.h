/* The floor for bench_ring: the same algorithm in plain C with POSIX threads, written apart from the product, with the
   capacity and the record size known to the compiler. Nothing but the benchmarks includes it. */
#ifndef FC_BENCH_RING_H
#define FC_BENCH_RING_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(_WIN32) || defined(__STDC_NO_ATOMICS__)
#define FC_BENCH_RING 0
static inline int64_t fc_bench_ring_run(uint64_t count, int batch, uint64_t *errors) { return -1; }
static inline int fc_bench_ring_trip(uint64_t count, int64_t *out) { return -1; }
#else
#define FC_BENCH_RING 1
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>

#define FC_BENCH_SLOTS 4096
#define FC_BENCH_MASK (FC_BENCH_SLOTS - 1)
#define FC_BENCH_AHEAD 8

typedef struct {
    _Alignas(64) _Atomic uint64_t seq;
    int64_t a, b, c, price, size, d, e;
} fc_bench_slot_t;

typedef struct {
    _Alignas(128) uint64_t head;
    uint64_t seen;
    _Alignas(128) _Atomic uint64_t tail;
    _Alignas(128) fc_bench_slot_t slots[FC_BENCH_SLOTS];
} fc_bench_spsc_t;

typedef struct {
    fc_bench_spsc_t *there, *back;
    uint64_t count, errors;
    int batch;
    int64_t first_ns, last_ns;
    int64_t *out;
} fc_bench_job_t;

static inline int64_t fc_bench_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}
static inline void fc_bench_wait(uint32_t *spins) {
    if (++*spins & 0xff) {
#if defined(__x86_64__)
        __builtin_ia32_pause();
#elif defined(__aarch64__)
        __asm__ __volatile__("yield");
#endif
    } else {
        sched_yield();
    }
}
static inline void fc_bench_fill(fc_bench_slot_t *s, uint64_t i) {
    s->a = (int64_t)i, s->b = 0, s->c = 7, s->price = (int64_t)i, s->size = 100, s->d = 1, s->e = 2;
}

/* The line of a free slot ahead, to be written, as the ring asks for it. */
static inline void fc_bench_own(const fc_bench_slot_t *s) {
#if defined(__x86_64__)
    __asm__ __volatile__("prefetchw %0" : : "m"(*s));
#else
    __builtin_prefetch(s, 1, 3);
#endif
}

static inline void *fc_bench_produce(void *argument) {
    fc_bench_job_t *job = (fc_bench_job_t *)argument;
    fc_bench_spsc_t *q = job->there;
    uint64_t i = 0;
    uint32_t spins = 0;
    while (i < job->count) {
        uint64_t want = (uint64_t)job->batch, room = FC_BENCH_SLOTS - (i - q->seen);
        if (want > job->count - i) want = job->count - i;
        if (room < want) {
            q->seen = atomic_load_explicit(&q->tail, memory_order_acquire);
            room = FC_BENCH_SLOTS - (i - q->seen);
        }
        if (room > want) room = want;
        if (!room) fc_bench_wait(&spins);
        for (uint64_t end = i + room; i < end; i++) {
            fc_bench_slot_t *s = &q->slots[i & FC_BENCH_MASK];
            if (i - q->seen < FC_BENCH_SLOTS - FC_BENCH_AHEAD) fc_bench_own(&q->slots[(i + FC_BENCH_AHEAD) & FC_BENCH_MASK]);
            fc_bench_fill(s, i);
            atomic_store_explicit(&s->seq, i + 1, memory_order_release);
        }
    }
    return NULL;
}

static inline void *fc_bench_consume(void *argument) {
    fc_bench_job_t *job = (fc_bench_job_t *)argument;
    fc_bench_spsc_t *q = job->there;
    uint64_t i = 0, errors = 0;
    uint32_t spins = 0;
    while (i < job->count) {
        uint64_t start = i, end = i + (uint64_t)job->batch;
        if (end > job->count) end = job->count;
        for (; i < end; i++) {
            fc_bench_slot_t *s = &q->slots[i & FC_BENCH_MASK];
            if (atomic_load_explicit(&s->seq, memory_order_acquire) != i + 1) break;
            errors += s->price != (int64_t)i || s->a != (int64_t)i;
        }
        if (i == start) fc_bench_wait(&spins);
        else {
            if (!start) job->first_ns = fc_bench_ns();
            atomic_store_explicit(&q->tail, i, memory_order_release);
        }
    }
    job->last_ns = fc_bench_ns();
    job->errors = errors;
    return NULL;
}

static inline fc_bench_spsc_t *fc_bench_spsc(void) {
    void *p = aligned_alloc(128, (sizeof(fc_bench_spsc_t) + 127) / 128 * 128);
    if (p) memset(p, 0, sizeof(fc_bench_spsc_t));
    return (fc_bench_spsc_t *)p;
}

/* ns from the first record seen to the last; -1 without memory or threads. */
static inline int64_t fc_bench_ring_run(uint64_t count, int batch, uint64_t *errors) {
    pthread_t producer;
    fc_bench_job_t job = {fc_bench_spsc(), NULL, count, 0, batch, 0, 0, NULL};
    if (!job.there) return -1;
    if (pthread_create(&producer, NULL, fc_bench_produce, &job)) {
        free(job.there);
        return -1;
    }
    fc_bench_consume(&job);
    pthread_join(producer, NULL);
    free(job.there);
    *errors = job.errors;
    return job.last_ns - job.first_ns;
}

static inline void fc_bench_send(fc_bench_spsc_t *q, uint64_t i) {
    fc_bench_slot_t *s = &q->slots[i & FC_BENCH_MASK];
    fc_bench_fill(s, i);
    atomic_store_explicit(&s->seq, i + 1, memory_order_release);
}
static inline void fc_bench_receive(fc_bench_spsc_t *q, uint64_t i) {
    fc_bench_slot_t *s = &q->slots[i & FC_BENCH_MASK];
    uint32_t spins = 0;
    while (atomic_load_explicit(&s->seq, memory_order_acquire) != i + 1) fc_bench_wait(&spins);
    atomic_store_explicit(&q->tail, i + 1, memory_order_release);
}
static inline void *fc_bench_echo(void *argument) {
    fc_bench_job_t *job = (fc_bench_job_t *)argument;
    for (uint64_t i = 0; i < job->count; i++) {
        fc_bench_receive(job->there, i);
        fc_bench_send(job->back, i);
    }
    return NULL;
}

/* `count` round trips through two rings, ns each into `out`. */
static inline int fc_bench_ring_trip(uint64_t count, int64_t *out) {
    pthread_t echo;
    fc_bench_job_t job = {fc_bench_spsc(), fc_bench_spsc(), count, 0, 1, 0, 0, out};
    int code = !job.there || !job.back || pthread_create(&echo, NULL, fc_bench_echo, &job) ? -1 : 0;
    if (!code) {
        for (uint64_t i = 0; i < count; i++) {
            int64_t start = fc_bench_ns();
            fc_bench_send(job.there, i);
            fc_bench_receive(job.back, i);
            out[i] = fc_bench_ns() - start;
        }
        pthread_join(echo, NULL);
    }
    free(job.there);
    free(job.back);
    return code;
}
#endif

#endif
