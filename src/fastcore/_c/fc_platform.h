/* Compiler and platform differences in one place. */
#ifndef FC_PLATFORM_H
#define FC_PLATFORM_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#if defined(_WIN32)
#include <malloc.h>
#else
#include <unistd.h>
#endif

#if defined(_MSC_VER)
#include <intrin.h>
#define FC_LIKELY(x) (x)
#define FC_UNLIKELY(x) (x)
#define FC_ALWAYS_INLINE static __forceinline
#define FC_PREFETCH(p) ((void)(p))
#else
#define FC_LIKELY(x) __builtin_expect(!!(x), 1)
#define FC_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define FC_ALWAYS_INLINE static inline __attribute__((always_inline))
/* The empty statement is something that the compiler must not leave out: it takes a function that only prefetches for one that
   does nothing, and drops calls of it that it does not inline. */
#define FC_PREFETCH(p) (__extension__({ __builtin_prefetch((p), 0, 3); __asm__ __volatile__(""); }))
#endif

/* Fetch the line at `p`, to be written. The instruction by name: for plain x86-64 compilers turn a prefetch for writing
   into one for reading, after which the line has to be asked for again. Older processors take it as a no-op. */
static inline void fc_prefetch_write(const void *p) {
#if defined(_MSC_VER) && defined(_M_X64)
    _m_prefetchw(p);
#elif defined(__x86_64__) && !defined(_MSC_VER)
    __asm__ __volatile__("prefetchw %0" : : "m"(*(const unsigned char *)p));
#elif !defined(_MSC_VER)
    __builtin_prefetch(p, 1, 3);
#else
    (void)p;
#endif
}

#define FC_CACHE_LINE 64

/* Invariants: checked in debug builds only. */
#ifdef FC_DEBUG
#include <stdio.h>
#define fc_assert(x) \
    ((x) ? (void)0 : (fprintf(stderr, "%s:%d: invariant failed: %s\n", __FILE__, __LINE__, #x), abort()))
#else
#define fc_assert(x) ((void)0)
#endif

/* Whether the machine has not so much memory at all: systems promise more than there is, and end the program that takes it. */
static inline int fc_beyond_memory(size_t bytes) {
#if defined(_SC_PHYS_PAGES) && defined(_SC_PAGESIZE)
    return bytes >> 30 && bytes / (size_t)sysconf(_SC_PAGESIZE) > (size_t)sysconf(_SC_PHYS_PAGES);
#else
    return 0;
#endif
}

/* Cache-line aligned, zeroed memory; NULL on failure or overflow. A cdef class does not honour alignment of its members. */
static inline void *fc_alloc(size_t count, size_t size) {
    if (size && count > (SIZE_MAX - FC_CACHE_LINE) / size) return NULL;
    size_t bytes = (count * size + FC_CACHE_LINE - 1) & ~(size_t)(FC_CACHE_LINE - 1);
    if (!bytes) bytes = FC_CACHE_LINE;
    if (fc_beyond_memory(bytes)) return NULL;
#if defined(_WIN32)
    unsigned char *p = (unsigned char *)_aligned_malloc(bytes, FC_CACHE_LINE);
#else
    unsigned char *p = (unsigned char *)aligned_alloc(FC_CACHE_LINE, bytes);
#endif
    if (!p) return NULL;
    /* Written, not calloc'ed: the pages must be faulted in before the hot path sees them. */
    for (size_t i = 0; i < bytes; i += 8) *(volatile uint64_t *)(p + i) = 0;
    return p;
}

static inline void fc_free(void *p) {
#if defined(_WIN32)
    _aligned_free(p);
#else
    free(p);
#endif
}

#endif
