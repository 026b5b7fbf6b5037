/* CRC-32 of ISO 3309 (zlib, PNG), eight bytes at a time. */
#ifndef FC_CRC32_H
#define FC_CRC32_H

#include <stddef.h>
#include <stdint.h>

typedef struct fc_crc32_table {
    uint32_t t[8][256];
} fc_crc32_table_t;

static inline void fc_crc32_init(fc_crc32_table_t *table) {
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int bit = 0; bit < 8; bit++) c = c >> 1 ^ (0xEDB88320u & (0u - (c & 1)));
        table->t[0][i] = c;
    }
    for (int k = 1; k < 8; k++)
        for (int i = 0; i < 256; i++) table->t[k][i] = table->t[k - 1][i] >> 8 ^ table->t[0][table->t[k - 1][i] & 0xFF];
}

/* `crc` is 0 for the first piece of a text, the result so far for the next ones. */
static inline uint32_t fc_crc32(const fc_crc32_table_t *table, uint32_t crc, const uint8_t *p, size_t n) {
    const uint32_t(*t)[256] = table->t;
    crc = ~crc;
    for (; n >= 8; n -= 8, p += 8) {
        crc ^= (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
        crc = t[7][crc & 0xFF] ^ t[6][crc >> 8 & 0xFF] ^ t[5][crc >> 16 & 0xFF] ^ t[4][crc >> 24] ^ t[3][p[4]] ^ t[2][p[5]]
              ^ t[1][p[6]] ^ t[0][p[7]];
    }
    for (; n; n--, p++) crc = crc >> 8 ^ t[0][(crc ^ *p) & 0xFF];
    return ~crc;
}

/* The eight decimal digits of v < 10**8 as text, the first one lowest: fours, pairs, digits, by reciprocals. */
static inline uint64_t fc_digits_of(uint32_t v) {
    uint64_t fours = v / 10000 | (uint64_t)(v % 10000) << 32;
    uint64_t hundreds = fours * 10486 >> 20 & 0x0000007F0000007Full;
    uint64_t pairs = hundreds | (fours - 100 * hundreds) << 16;
    uint64_t tens = pairs * 103 >> 10 & 0x000F000F000F000Full;
    return (tens | (pairs - 10 * tens) << 8) + 0x3030303030303030ull;
}

static inline void fc_put_text(uint8_t *out, uint64_t text) {
    for (int i = 0; i < 8; i++) out[i] = (uint8_t)(text >> (8 * i));
}

/* The decimal digits of v > 0 at `out` (24 bytes of room): how many. */
static inline int fc_put_digits(uint8_t *out, uint64_t v) {
    uint64_t above = v / 100000000, top = above / 100000000;
    uint32_t first = (uint32_t)(top ? top : above ? above : v);
    /* Counted without a branch: sizes have any number of digits. */
    int at = 1 + (first >= 10) + (first >= 100) + (first >= 1000) + (first >= 10000) + (first >= 100000) + (first >= 1000000)
             + (first >= 10000000);
    fc_put_text(out, fc_digits_of(first) >> (64 - 8 * at));
    if (top) fc_put_text(out + at, fc_digits_of((uint32_t)(above % 100000000))), at += 8;
    if (above) fc_put_text(out + at, fc_digits_of((uint32_t)(v % 100000000))), at += 8;
    return at;
}

#endif
