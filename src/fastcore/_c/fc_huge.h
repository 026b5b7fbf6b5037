/* Memory for large tables that are read at random places.

   On 4 KiB pages nearly every access to such a table misses the translation cache, and each of those misses is a walk through
   the page tables (two nested ones in a virtual machine). Two-MiB pages, where the kernel gives them on request, end that. */
#ifndef FC_HUGE_H
#define FC_HUGE_H

#include <string.h>

#include "fc_platform.h"

#if defined(__linux__)
#include <sys/mman.h>
#include <unistd.h>
#endif

#define FC_HUGE_PAGE ((size_t)1 << 21)

/* As fc_alloc, and freed by fc_free; from one huge page on, on huge pages as far as they are filled. */
static inline void *fc_alloc_huge(size_t count, size_t size) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    if (size && count > (SIZE_MAX - FC_HUGE_PAGE) / size) return NULL;
    size_t bytes = (count * size + FC_CACHE_LINE - 1) & ~(size_t)(FC_CACHE_LINE - 1);
    if (fc_beyond_memory(bytes)) return NULL;
    if (bytes >= FC_HUGE_PAGE) {
        unsigned char *p = (unsigned char *)aligned_alloc(FC_HUGE_PAGE, (bytes + FC_HUGE_PAGE - 1) & ~(FC_HUGE_PAGE - 1));
        if (!p) return NULL;
        (void)madvise(p, bytes & ~(FC_HUGE_PAGE - 1), MADV_HUGEPAGE); /* a wish: without it everything works as well */
        for (size_t i = 0; i < bytes; i += 8) *(volatile uint64_t *)(p + i) = 0;
        return p;
    }
#endif
    return fc_alloc(count, size);
}

/* Zeroed memory that can grow, at a cache line; from one huge page on its pages come with their first touch, so that neither
   getting it nor making it larger takes time in proportion to its size where the system can move pages (Linux). The caller
   remembers the size. NULL without memory; after a failed fc_huge_remap the old memory is as it was. */
static inline void *fc_huge_map(size_t bytes) {
#if defined(__linux__) && defined(MREMAP_FIXED)
    if (bytes >= FC_HUGE_PAGE) {
        if (bytes > SIZE_MAX - 2 * FC_HUGE_PAGE) return NULL;
        bytes = (bytes + FC_HUGE_PAGE - 1) & ~(FC_HUGE_PAGE - 1);
        unsigned char *p = (unsigned char *)mmap(NULL, bytes + FC_HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == (unsigned char *)MAP_FAILED) return NULL;
        size_t head = (size_t)(-(uintptr_t)p & (FC_HUGE_PAGE - 1));
        if (head) munmap(p, head);
        munmap(p + head + bytes, FC_HUGE_PAGE - head);
        p += head;
#if defined(MADV_HUGEPAGE)
        (void)madvise(p, bytes, MADV_HUGEPAGE);
#endif
        return p;
    }
#endif
    return fc_alloc(1, bytes);
}

static inline void fc_huge_unmap(void *p, size_t bytes) {
#if defined(__linux__) && defined(MREMAP_FIXED)
    if (p && bytes >= FC_HUGE_PAGE) {
        munmap(p, (bytes + FC_HUGE_PAGE - 1) & ~(FC_HUGE_PAGE - 1));
        return;
    }
#endif
    (void)bytes;
    fc_free(p);
}

static inline void *fc_huge_remap(void *p, size_t bytes, size_t wanted) {
    void *q = fc_huge_map(wanted);
    if (!q || !p) return q;
#if defined(__linux__) && defined(MREMAP_FIXED)
    if (bytes >= FC_HUGE_PAGE) {
        size_t old = (bytes + FC_HUGE_PAGE - 1) & ~(FC_HUGE_PAGE - 1), whole = (wanted + FC_HUGE_PAGE - 1) & ~(FC_HUGE_PAGE - 1);
        if (mremap(p, old, whole, MREMAP_MAYMOVE | MREMAP_FIXED, q) == q) return q;
        fc_huge_unmap(q, wanted);
        return NULL;
    }
#endif
    memcpy(q, p, bytes);
    fc_huge_unmap(p, bytes);
    return q;
}

/* Touch what lies between two offsets, so that nothing has to be paid for later. */
static inline void fc_huge_touch(void *p, size_t from, size_t to) {
    for (size_t i = from; i < to; i += 4096) *((volatile unsigned char *)p + i) = *((volatile unsigned char *)p + i);
}

/* Bytes of the second cache of a core; 2 MiB where the system does not say. */
static inline uint64_t fc_cache_bytes(void) {
#if defined(__linux__) && defined(_SC_LEVEL2_CACHE_SIZE)
    long bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
    if (bytes > 0) return (uint64_t)bytes;
#endif
    return (uint64_t)2 << 20;
}

#endif
