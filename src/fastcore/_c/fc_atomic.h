/* Acquire/release on plain aligned integers: compiler builtins, or MSVC intrinsics. */
#ifndef FC_ATOMIC_H
#define FC_ATOMIC_H

#include "fc_platform.h"

#if defined(_MSC_VER)
/* x86-64: aligned loads and stores are acquire/release in hardware; the barrier stops the compiler.
   ARM64: the explicit instructions. */
static inline uint64_t fc_load_acquire(const uint64_t *p) {
#if defined(_M_ARM64)
    return __ldar64((unsigned __int64 volatile *)p);
#else
    uint64_t v = *(const volatile uint64_t *)p;
    _ReadWriteBarrier();
    return v;
#endif
}
static inline void fc_store_release(uint64_t *p, uint64_t v) {
#if defined(_M_ARM64)
    __stlr64((unsigned __int64 volatile *)p, v);
#else
    _ReadWriteBarrier();
    *(volatile uint64_t *)p = v;
#endif
}
static inline uint64_t fc_load_relaxed(const uint64_t *p) { return *(const volatile uint64_t *)p; }
static inline void fc_store_relaxed(uint64_t *p, uint64_t v) { *(volatile uint64_t *)p = v; }
static inline uint64_t fc_fetch_add(uint64_t *p, uint64_t v) { return (uint64_t)_InterlockedExchangeAdd64((__int64 volatile *)p, (__int64)v); }
static inline int fc_compare_exchange(uint64_t *p, uint64_t *expected, uint64_t desired) {
    uint64_t old = (uint64_t)_InterlockedCompareExchange64((__int64 volatile *)p, (__int64)desired, (__int64)*expected);
    int done = old == *expected;
    *expected = old;
    return done;
}
#if defined(_M_ARM64)
static inline void fc_fence_acquire(void) { __dmb(_ARM64_BARRIER_ISHLD); }
static inline void fc_fence_release(void) { __dmb(_ARM64_BARRIER_ISH); }
static inline void fc_pause(void) { __yield(); }
#else
static inline void fc_fence_acquire(void) { _ReadWriteBarrier(); }
static inline void fc_fence_release(void) { _ReadWriteBarrier(); }
static inline void fc_pause(void) { _mm_pause(); }
#endif
#else
static inline uint64_t fc_load_acquire(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
static inline void fc_store_release(uint64_t *p, uint64_t v) { __atomic_store_n(p, v, __ATOMIC_RELEASE); }
static inline uint64_t fc_load_relaxed(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_RELAXED); }
static inline void fc_store_relaxed(uint64_t *p, uint64_t v) { __atomic_store_n(p, v, __ATOMIC_RELAXED); }
static inline uint64_t fc_fetch_add(uint64_t *p, uint64_t v) { return __atomic_fetch_add(p, v, __ATOMIC_ACQ_REL); }
static inline int fc_compare_exchange(uint64_t *p, uint64_t *expected, uint64_t desired) {
    return __atomic_compare_exchange_n(p, expected, desired, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}
static inline void fc_fence_acquire(void) { __atomic_thread_fence(__ATOMIC_ACQUIRE); }
static inline void fc_fence_release(void) { __atomic_thread_fence(__ATOMIC_RELEASE); }
/* Tell the core that this is a spin: saves power and the memory-order flush at the exit of the loop. */
static inline void fc_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}
#endif

#endif
