/* CRC32C (Castagnoli, reflected polynomial 0x82F63B78): SSE4.2 and scalar twins with equal results.

   Functions work on the register: start with 0xFFFFFFFF and invert the end for the usual value.
   fc_crc32c_init fills the tables, once, before anything else. */
#ifndef FC_CRC32C_H
#define FC_CRC32C_H

#include <string.h>

#include "fc_cpu.h"
#include "fc_platform.h"

#define FC_CRC32C_LONG 1344u /* three lanes of this and 64 bytes are a block of 4 KiB; whole lines, for the streaming twin */
#define FC_CRC32C_SHORT 256u

static uint32_t fc_crc32c_table[8][256];      /* slicing by eight */
static uint32_t fc_crc32c_after_long[4][256]; /* register after LONG bytes of zero, by byte of the register before */
static uint32_t fc_crc32c_after_short[4][256];

static inline uint32_t fc_crc32c_scalar(uint32_t crc, const void *data, size_t n) {
    const unsigned char *p = (const unsigned char *)data;
    while (n >= 8) {
        /* Bytes are put together by shifts, so that the result is the same in either byte order. */
        uint32_t low = crc ^ ((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24);
        crc = fc_crc32c_table[7][low & 255] ^ fc_crc32c_table[6][low >> 8 & 255] ^ fc_crc32c_table[5][low >> 16 & 255] ^
              fc_crc32c_table[4][low >> 24] ^ fc_crc32c_table[3][p[4]] ^ fc_crc32c_table[2][p[5]] ^
              fc_crc32c_table[1][p[6]] ^ fc_crc32c_table[0][p[7]];
        p += 8, n -= 8;
    }
    while (n--) crc = fc_crc32c_table[0][(crc ^ *p++) & 255] ^ crc >> 8;
    return crc;
}

static inline uint32_t fc_crc32c_shift(uint32_t table[4][256], uint32_t crc) {
    return table[0][crc & 255] ^ table[1][crc >> 8 & 255] ^ table[2][crc >> 16 & 255] ^ table[3][crc >> 24];
}

/* The register is linear in its start: find what each bit becomes, then combine. */
static inline void fc_crc32c_zeros(uint32_t table[4][256], size_t bytes) {
    uint32_t bit[32];
    for (int i = 0; i < 32; i++) {
        uint32_t crc = (uint32_t)1 << i;
        for (size_t k = 0; k < bytes; k++) crc = fc_crc32c_table[0][crc & 255] ^ crc >> 8;
        bit[i] = crc;
    }
    for (int byte = 0; byte < 4; byte++)
        for (int value = 0; value < 256; value++) {
            uint32_t crc = 0;
            for (int i = 0; i < 8; i++)
                if (value >> i & 1) crc ^= bit[8 * byte + i];
            table[byte][value] = crc;
        }
}

static inline void fc_crc32c_init(void) {
    for (uint32_t value = 0; value < 256; value++) {
        uint32_t crc = value;
        for (int i = 0; i < 8; i++) crc = crc >> 1 ^ (0x82F63B78u & (0u - (crc & 1)));
        fc_crc32c_table[0][value] = crc;
    }
    for (int k = 1; k < 8; k++)
        for (int value = 0; value < 256; value++) {
            uint32_t crc = fc_crc32c_table[k - 1][value];
            fc_crc32c_table[k][value] = fc_crc32c_table[0][crc & 255] ^ crc >> 8;
        }
    fc_crc32c_zeros(fc_crc32c_after_long, FC_CRC32C_LONG);
    fc_crc32c_zeros(fc_crc32c_after_short, FC_CRC32C_SHORT);
}

#ifdef FC_X86
FC_TARGET_SSE42 static inline uint64_t fc_crc32c_word(uint64_t crc, const unsigned char *p) {
    uint64_t word;
    memcpy(&word, p, sizeof word);
    return _mm_crc32_u64(crc, word);
}

/* The instruction takes three cycles and one can start in each: three lanes at once, joined by the tables. */
FC_TARGET_SSE42 static inline uint32_t fc_crc32c_lanes(uint32_t crc, const unsigned char *p, size_t lane, uint32_t table[4][256]) {
    uint64_t a = crc, b = 0, c = 0;
    for (size_t i = 0; i < lane; i += 8) {
        a = fc_crc32c_word(a, p + i);
        b = fc_crc32c_word(b, p + lane + i);
        c = fc_crc32c_word(c, p + 2 * lane + i);
    }
    return fc_crc32c_shift(table, fc_crc32c_shift(table, (uint32_t)a) ^ (uint32_t)b) ^ (uint32_t)c;
}

FC_TARGET_SSE42 static uint32_t fc_crc32c_sse42(uint32_t crc, const void *data, size_t n) {
    const unsigned char *p = (const unsigned char *)data;
    uint64_t r = crc;
    if (FC_LIKELY(n == 32)) { /* the tick */
        r = fc_crc32c_word(r, p), r = fc_crc32c_word(r, p + 8);
        r = fc_crc32c_word(r, p + 16), r = fc_crc32c_word(r, p + 24);
        return (uint32_t)r;
    }
    for (; n >= 3 * FC_CRC32C_LONG; p += 3 * FC_CRC32C_LONG, n -= 3 * FC_CRC32C_LONG)
        r = fc_crc32c_lanes((uint32_t)r, p, FC_CRC32C_LONG, fc_crc32c_after_long);
    for (; n >= 3 * FC_CRC32C_SHORT; p += 3 * FC_CRC32C_SHORT, n -= 3 * FC_CRC32C_SHORT)
        r = fc_crc32c_lanes((uint32_t)r, p, FC_CRC32C_SHORT, fc_crc32c_after_short);
    for (; n >= 8; p += 8, n -= 8) r = fc_crc32c_word(r, p);
    for (; n; p++, n--) r = _mm_crc32_u8((uint32_t)r, *p);
    return (uint32_t)r;
}

/* The lanes as above while the same bytes are copied past the caches, front to back and line by line: streaming stores want whole
   lines, and the checksum runs while the memory takes them. */
FC_TARGET_SSE42 static inline uint32_t fc_crc32c_stream_lanes(uint32_t crc, unsigned char *to, const unsigned char *p, size_t lane,
                                                              uint32_t table[4][256]) {
    uint64_t a = crc, b = 0, c = 0;
    const unsigned char *from = p;
    for (size_t i = 0; i < lane; i += 64, to += 192, from += 192) {
        for (size_t k = i; k < i + 64; k += 8) {
            a = fc_crc32c_word(a, p + k);
            b = fc_crc32c_word(b, p + lane + k);
            c = fc_crc32c_word(c, p + 2 * lane + k);
        }
        for (size_t k = 0; k < 192; k += 16)
            _mm_stream_si128((__m128i *)(void *)(to + k), _mm_loadu_si128((const __m128i *)(const void *)(from + k)));
    }
    return fc_crc32c_shift(table, fc_crc32c_shift(table, (uint32_t)a) ^ (uint32_t)b) ^ (uint32_t)c;
}

FC_TARGET_SSE42 static uint32_t fc_crc32c_stream_sse42(uint32_t crc, void *to, const void *from, size_t n) {
    unsigned char *q = (unsigned char *)to;
    const unsigned char *p = (const unsigned char *)from;
    for (size_t step = 3 * FC_CRC32C_LONG; n >= step; p += step, q += step, n -= step)
        crc = fc_crc32c_stream_lanes(crc, q, p, FC_CRC32C_LONG, fc_crc32c_after_long);
    for (size_t step = 3 * FC_CRC32C_SHORT; n >= step; p += step, q += step, n -= step)
        crc = fc_crc32c_stream_lanes(crc, q, p, FC_CRC32C_SHORT, fc_crc32c_after_short);
    for (; n; p += 16, q += 16, n -= 16) {
        crc = (uint32_t)fc_crc32c_word(fc_crc32c_word(crc, p), p + 8);
        _mm_stream_si128((__m128i *)(void *)q, _mm_loadu_si128((const __m128i *)(const void *)p));
    }
    return crc;
}
#endif

/* An out-of-line scalar twin: the function pointer of a store needs an address. */
static uint32_t fc_crc32c_portable(uint32_t crc, const void *data, size_t n) { return fc_crc32c_scalar(crc, data, n); }

typedef uint32_t (*fc_crc32c_t)(uint32_t, const void *, size_t);

static inline fc_crc32c_t fc_crc32c_select(int allow_sse42) {
#ifdef FC_X86
    if (allow_sse42 && fc_cpu_has_sse42()) return fc_crc32c_sse42;
#endif
    (void)allow_sse42;
    return fc_crc32c_portable;
}

/* Copy n bytes (n and `to` in multiples of 16) and return the register over them. The stores may be streaming ones: fence before
   the bytes are published (fc_stream_fence). */
typedef uint32_t (*fc_crc32c_stream_t)(uint32_t, void *, const void *, size_t);

static uint32_t fc_crc32c_stream_portable(uint32_t crc, void *to, const void *from, size_t n) {
    memcpy(to, from, n);
    return fc_crc32c_scalar(crc, from, n);
}

static inline fc_crc32c_stream_t fc_crc32c_stream_select(int allow_sse42) {
#ifdef FC_X86
    if (allow_sse42 && fc_cpu_has_sse42()) return fc_crc32c_stream_sse42;
#endif
    (void)allow_sse42;
    return fc_crc32c_stream_portable;
}

#endif
