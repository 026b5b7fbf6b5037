/* Clocks of the operating system in ns, the time-stamp counter, and the multiply-and-shift between them. */
#ifndef FC_CLOCK_H
#define FC_CLOCK_H

#include <stdint.h>

#include "fc_cpu.h"

#if defined(_WIN32)
#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#ifndef NOMINMAX
#define NOMINMAX
#endif
#include <windows.h>

static inline int64_t fc_monotonic_ns(void) {
    LARGE_INTEGER frequency, count;
    QueryPerformanceFrequency(&frequency);
    QueryPerformanceCounter(&count);
    /* Whole seconds apart from the rest: count * 1e9 overflows after some days. */
    int64_t seconds = count.QuadPart / frequency.QuadPart, rest = count.QuadPart % frequency.QuadPart;
    return seconds * 1000000000 + rest * 1000000000 / frequency.QuadPart;
}
static inline int64_t fc_wall_ns(void) {
    FILETIME t;
    GetSystemTimePreciseAsFileTime(&t);
    int64_t hundreds = (int64_t)((uint64_t)t.dwHighDateTime << 32 | t.dwLowDateTime);
    return (hundreds - 116444736000000000) * 100; /* 100 ns since 1601 */
}
#define FC_CLOCK_NAME "QueryPerformanceCounter"
#else
#include <time.h>

static inline int64_t fc_clock_read(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}
#if defined(__APPLE__)
/* CLOCK_MONOTONIC has a resolution of 1 us there; this one is mach_absolute_time in ns. */
static inline int64_t fc_monotonic_ns(void) { return (int64_t)clock_gettime_nsec_np(CLOCK_UPTIME_RAW); }
#define FC_CLOCK_NAME "mach_absolute_time"
#else
static inline int64_t fc_monotonic_ns(void) { return fc_clock_read(CLOCK_MONOTONIC); }
#define FC_CLOCK_NAME "clock_gettime"
#endif
static inline int64_t fc_wall_ns(void) { return fc_clock_read(CLOCK_REALTIME); }
#endif

/* Not serialising: neighbouring instructions may move a few ns across it. */
static inline uint64_t fc_tsc(void) {
#if defined(FC_X86)
    return __builtin_ia32_rdtsc();
#else
    return 0;
#endif
}

/* difference * multiplier / 2^32, rounded down, of a signed difference; multiplier <= 2^32, so nothing overflows. */
static inline int64_t fc_scale32_portable(int64_t difference, uint64_t multiplier) {
    int64_t high = difference >> 32; /* arithmetic: the sign stays here, the low half is unsigned */
    uint64_t low = (uint64_t)difference & UINT32_MAX;
    return (int64_t)((uint64_t)high * multiplier + (low * multiplier >> 32));
}
static inline int64_t fc_scale32(int64_t difference, uint64_t multiplier) {
#if defined(__SIZEOF_INT128__)
    __extension__ typedef __int128 wide;
    return (int64_t)((wide)difference * (wide)multiplier >> 32);
#else
    return fc_scale32_portable(difference, multiplier);
#endif
}

#endif
