/* Which SIMD twins may run: CPUID and XGETBV asked directly, because __builtin_cpu_supports silently
   picks the baseline under some tool chains. */
#ifndef FC_CPU_H
#define FC_CPU_H

#include <stdint.h>
#include <stdlib.h>

/* Whether the environment leaves a feature ("avx2", "sse4.2", "tsc") on: FASTCORE_DISABLE_CPU_FEATURES names those that are
   not to be used, with commas between; spaces, case and the dot do not matter. Asked once, at import. */
static inline int fc_cpu_allows(const char *feature) {
    const char *list = getenv("FASTCORE_DISABLE_CPU_FEATURES");
    while (list && *list) {
        const char *name = feature;
        for (; *list && *list != ','; list++) {
            if (*list == ' ' || *list == '.') continue;
            if (name && *name == '.') name++;
            /* Our names are lower case; a letter that differs ends the comparison. */
            if (name) name = *name && *name == (*list >= 'A' && *list <= 'Z' ? *list + 32 : *list) ? name + 1 : NULL;
        }
        if (name && !*name) return 0;
        if (*list) list++;
    }
    return 1;
}

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define FC_X86 1
#include <cpuid.h>
#include <immintrin.h>
#define FC_TARGET_AVX2 __attribute__((target("avx2")))
#define FC_TARGET_SSE42 __attribute__((target("sse4.2")))

static inline void fc_cpuid(uint32_t leaf, uint32_t sub, uint32_t r[4]) {
    r[0] = r[1] = r[2] = r[3] = 0;
    __get_cpuid_count(leaf, sub, &r[0], &r[1], &r[2], &r[3]);
}
static inline int fc_cpu_has_sse42(void) {
    uint32_t r[4];
    fc_cpuid(1, 0, r);
    return (int)(r[2] >> 20 & 1);
}
/* One step of CRC32C, where fc_cpu_has_sse42. In assembler, because a function that needs SSE4.2 cannot be inlined where
   SSE4.2 is not the baseline. */
static inline uint64_t fc_cpu_crc32c(uint64_t crc, uint64_t word) {
    __asm__("crc32q %1, %0" : "+r"(crc) : "r"(word));
    return crc;
}
static inline int fc_cpu_has_avx2(void) {
    uint32_t r[4], lo, hi;
    fc_cpuid(1, 0, r);
    if (!(r[2] >> 27 & 1) || !(r[2] >> 28 & 1)) return 0; /* OSXSAVE, AVX */
    __asm__ __volatile__("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    if ((lo & 6) != 6) return 0; /* the system saves XMM and YMM */
    fc_cpuid(7, 0, r);
    return (int)(r[1] >> 5 & 1);
}
/* The counter ticks at one rate in all power states (leaf 0x80000007, EDX bit 8). */
static inline int fc_cpu_has_invariant_tsc(void) {
    uint32_t r[4];
    fc_cpuid(0x80000007u, 0, r);
    return (int)(r[3] >> 8 & 1);
}
#else
static inline int fc_cpu_has_sse42(void) { return 0; }
static inline int fc_cpu_has_avx2(void) { return 0; }
static inline int fc_cpu_has_invariant_tsc(void) { return 0; }
#endif

#endif
