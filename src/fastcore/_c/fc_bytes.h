/* Unaligned loads and stores of stated byte order; compilers turn each into one instruction. */
#ifndef FC_BYTES_H
#define FC_BYTES_H

#include <stdint.h>

static inline uint16_t fc_be16(const uint8_t *p) { return (uint16_t)((uint16_t)p[0] << 8 | p[1]); }
static inline uint32_t fc_be32(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}
static inline uint64_t fc_be64(const uint8_t *p) { return (uint64_t)fc_be32(p) << 32 | fc_be32(p + 4); }
static inline uint64_t fc_be48(const uint8_t *p) { return (uint64_t)fc_be16(p) << 32 | fc_be32(p + 2); }

static inline void fc_put_be16(uint8_t *p, uint16_t v) { p[0] = (uint8_t)(v >> 8), p[1] = (uint8_t)v; }
static inline void fc_put_be32(uint8_t *p, uint32_t v) { fc_put_be16(p, (uint16_t)(v >> 16)), fc_put_be16(p + 2, (uint16_t)v); }
static inline void fc_put_be64(uint8_t *p, uint64_t v) { fc_put_be32(p, (uint32_t)(v >> 32)), fc_put_be32(p + 4, (uint32_t)v); }
static inline void fc_put_be48(uint8_t *p, uint64_t v) { fc_put_be16(p, (uint16_t)(v >> 32)), fc_put_be32(p + 2, (uint32_t)v); }

/* Eight bytes in memory order as a key: equal bytes give equal keys on one machine. */
static inline uint64_t fc_key8(const uint8_t *p) {
    uint64_t v = 0;
    for (int i = 0; i < 8; i++) v |= (uint64_t)p[i] << (8 * i);
    return v;
}

#endif
