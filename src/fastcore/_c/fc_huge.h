/* Memory for large tables that are read at random places.

   On 4 KiB pages nearly every access to such a table misses the translation cache, and each of those misses is a walk through
   the page tables (two nested ones in a virtual machine). Two-MiB pages, where the kernel gives them on request, end that. */
#ifndef FC_HUGE_H
#define FC_HUGE_H

#include "fc_platform.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

#define FC_HUGE_PAGE ((size_t)1 << 21)

/* As fc_alloc, and freed by fc_free; from one huge page on, on huge pages as far as they are filled. */
static inline void *fc_alloc_huge(size_t count, size_t size) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    if (size && count > (SIZE_MAX - FC_HUGE_PAGE) / size) return NULL;
    size_t bytes = (count * size + FC_CACHE_LINE - 1) & ~(size_t)(FC_CACHE_LINE - 1);
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

#endif
