/* Layout of a ring, in process or in shared memory, and the copies that move its records.

   offset  what
   0       identity   magic, version, byte order, kind, record size, dtype hash, capacity: checked on attach, never changed
   64      geometry   mask, record size, offset of the slots; closed
   128     producer   head, the cursor it last saw, times full
   256     consumer   tail (one consumer; a broadcast ring has its own cursors instead)
   384     roles      who created, who produces, who consumes: pid and start time in one word
   512     cursors    a broadcast ring only: one fc_cursor_t for each possible consumer
   ...     slots      capacity records, each with its commit word `seq` at offset 0

   Nothing in it is a pointer, so every process may map it elsewhere. Lines written by different sides are 128
   bytes apart, because the hardware fetches lines in pairs.

   Shared memory is input: a process that writes into it may write anything, at any time. What addresses depend on is checked once, on
   attach, and kept in a fc_ring_t of our own; of the memory itself only cursors, commit words and records are read, and
   no value of theirs leads outside of the slots. */
#ifndef FC_RING_H
#define FC_RING_H

#include <assert.h>
#include <string.h>

#include "fc_atomic.h"

#define FC_RING_MAGIC UINT64_C(0x474e495243465f31) /* "1_FCRING" in memory on a little-endian machine */
#define FC_RING_VERSION 1u
#define FC_RING_BYTE_ORDER 0x01020304u
#define FC_RING_HEAD_BYTES 512
/* Set in `seq` while an overrun ring's producer rewrites the slot. */
#define FC_RING_WRITING (UINT64_C(1) << 63)

/* Records ahead of the claim whose lines the producer asks for. */
#define FC_RING_AHEAD 8

enum fc_ring_kind { FC_RING_SINGLE = 1, FC_RING_BROADCAST = 2, FC_RING_OVERRUN = 3 };

typedef struct fc_ring_memory {
    uint64_t magic; /* stored last, with release: 0 means still being made */
    uint32_t version;
    uint32_t byte_order;
    uint32_t kind; /* enum fc_ring_kind */
    uint32_t record_bytes;
    uint64_t dtype_hash;
    uint64_t capacity_records;
    uint64_t consumers; /* cursors of a broadcast ring */
    uint64_t total_bytes;
    uint64_t unused0;

    uint64_t mask;         /* capacity - 1 */
    uint64_t size;         /* bytes of a record */
    uint64_t slots_offset; /* bytes from the start of this struct */
    uint64_t closed;       /* 1: nothing more is accepted */
    uint64_t unused1[4];

    uint64_t head; /* records published; only the producer writes it */
    uint64_t seen; /* the (slowest) consumer's cursor as the producer last read it */
    uint64_t full; /* claims that found no room */
    uint64_t unused2[13];

    uint64_t tail; /* records consumed; only the consumer writes it */
    uint64_t unused3[15];

    uint64_t creator; /* pid << 32 | start time; 0: nobody */
    uint64_t producer;
    uint64_t consumer;
    uint64_t epoch; /* consumers joining and the producer's scans meet here */
    uint64_t unused4[12];
} fc_ring_memory_t;

/* What one handle keeps of a ring, written once: as the memory said when it was checked. */
typedef struct fc_ring {
    fc_ring_memory_t *memory;
    unsigned char *slots;
    uint64_t mask; /* capacity - 1 */
    uint64_t size; /* bytes of a record */
    uint32_t kind;
    uint32_t consumers;
} fc_ring_t;

/* One consumer of a broadcast ring; a line pair of its own. */
typedef struct fc_cursor {
    uint64_t position; /* records behind it: the next one has seq position + 1 */
    uint64_t active;   /* 1: the producer waits for it */
    uint64_t owner;    /* pid << 32 | start time; 0: free */
    uint64_t lost;     /* records skipped by overruns and resynchronise() */
    uint64_t consumed;
    uint64_t joined; /* position at which it joined */
    uint64_t unused[10];
} fc_cursor_t;

static_assert(sizeof(fc_ring_memory_t) == FC_RING_HEAD_BYTES, "layout");
static_assert(offsetof(fc_ring_memory_t, mask) == 64, "layout");
static_assert(offsetof(fc_ring_memory_t, head) == 128, "layout");
static_assert(offsetof(fc_ring_memory_t, tail) == 256, "layout");
static_assert(offsetof(fc_ring_memory_t, creator) == 384, "layout");
static_assert(sizeof(fc_cursor_t) == 128, "layout");

#if defined(__SANITIZE_THREAD__)
#define FC_RING_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define FC_RING_TSAN 1
#endif
#endif

#ifdef FC_RING_TSAN
/* Compilers expand short memcpy where ThreadSanitizer does not look, so it gets plain words to watch. */
static inline void fc_record_put(void *slot, const void *record, size_t size) {
    for (size_t i = 1; i < size / 8; i++) {
        uint64_t word;
        memcpy(&word, (const unsigned char *)record + 8 * i, 8);
        ((uint64_t *)slot)[i] = word;
    }
}
static inline void fc_record_get(void *record, const void *slot, size_t size) {
    for (size_t i = 0; i < size / 8; i++) {
        uint64_t word = ((const uint64_t *)slot)[i];
        memcpy((unsigned char *)record + 8 * i, &word, 8);
    }
}
#else
/* Everything after the commit word. The constant size is split, because GCC 12 turns a looped copy of an odd
   size into `rep movsq`, which costs eight times as much. */
static inline void fc_record_put(void *slot, const void *record, size_t size) {
    unsigned char *d = (unsigned char *)slot;
    const unsigned char *s = (const unsigned char *)record;
    if (FC_LIKELY(size == 64)) {
        memcpy(d + 8, s + 8, 8);
        memcpy(d + 16, s + 16, 16);
        memcpy(d + 32, s + 32, 32);
    } else {
        memcpy(d + 8, s + 8, size - 8);
    }
}

/* The whole record, its publication number included. */
static inline void fc_record_get(void *record, const void *slot, size_t size) {
    if (FC_LIKELY(size == 64)) {
        memcpy(record, slot, 32);
        memcpy((unsigned char *)record + 32, (const unsigned char *)slot + 32, 32);
    } else {
        memcpy(record, slot, size);
    }
}
#endif

/* Overrun rings, where a reader may meet the writer: a sequence lock without fences (ThreadSanitizer knows none).
   The writer marks the slot, and every payload word is stored with release, so none is seen before the mark; the
   reader loads every word with acquire, so its second look at the mark, in fc_record_read, comes after all of
   them. On x86 these are ordinary moves. */
static inline void fc_record_write(void *slot, const void *record, size_t size, uint64_t seq) {
    uint64_t *d = (uint64_t *)slot;
    const unsigned char *s = (const unsigned char *)record;
    fc_store_release(d, seq | FC_RING_WRITING); /* after `head` of the records before it */
    for (size_t i = 1; i < size / 8; i++) {
        uint64_t word;
        memcpy(&word, s + 8 * i, 8);
        fc_store_release(d + i, word);
    }
    fc_store_release(d, seq);
}

/* 1: record `seq` copied out whole. 0: not there yet. -1: a later record took its slot. */
static inline int fc_record_read(void *record, const void *slot, size_t size, uint64_t seq) {
    const uint64_t *s = (const uint64_t *)slot;
    unsigned char *d = (unsigned char *)record;
    uint64_t found = fc_load_acquire(s);
    if (found != seq) return (found & ~FC_RING_WRITING) > seq ? -1 : 0;
    memcpy(d, &seq, 8);
    for (size_t i = 1; i < size / 8; i++) {
        uint64_t word = fc_load_acquire(s + i);
        memcpy(d + 8 * i, &word, 8);
    }
    return fc_load_relaxed(s) == seq ? 1 : -1;
}

#endif
