/* The append-only store: layout of the file, state of a writer, and the hot append.

   One file of fixed-size records, native byte order, grown by whole segments:

   offset            size             content
   0                 4,096            header, written once (struct fc_store_header, then the schema as JSON text)
   4,096             4,096            control page: published count, writer, two checkpoints (struct fc_store_control)
   8,192             57,344           how far times are in order: a hint that queries take, see fastcore.store_times
   65,536 + k*(T+D)  T                segment k: commit words, one u64 per block of records
   ... + T           D                segment k: the records themselves

   T and D are multiples of 64 KiB, so that every part can be mapped where pages are 4, 16 or 64 KiB. The file may end inside
   of the last D: it grows by whole segments or by parts of one. A process maps the records of all segments side by side in one
   range of addresses: the store is one array. Addresses stay as the store grows, until a range is used up; then all of it is
   mapped again elsewhere, and the old range stays for as long as somebody holds an array on it.

   A block is the largest power of two of records that fits 4 KiB. Its commit word is

       63        32 31         0
       |  records  |  CRC32C   |

   over salt (u64), block number (u64) and the first `records` records: stored with release order after the bytes,
   so that one word publishes and vouches for them; words and bytes of another file or another place never match. */
#ifndef FC_STORE_H
#define FC_STORE_H

#include <string.h>

#include "fc_atomic.h"
#include "fc_cpu.h"
#include "fc_platform.h"
#include "fc_records.h"

#define FC_STORE_BASE 65536u /* where segment 0 starts; the unit of every part of a segment */
#define FC_STORE_BLOCK_BYTES 4096u
#define FC_STORE_STREAM_BYTES 65536u /* batches from this size on use streaming stores */
#define FC_STORE_PENDING 64u         /* blocks of a batch that are published together */

typedef struct fc_store_header {
    char magic[8];            /* "FCSTORE\0" */
    uint16_t major, minor;    /* another major is refused; a higher minor can be read */
    uint32_t header_bytes;    /* 4,096 */
    uint32_t endian;          /* 0x01020304 as the writer's machine stores it */
    uint32_t record_size;     /* bytes */
    uint64_t schema_hash;     /* first 8 bytes of the SHA-256 of the schema text, big-endian */
    uint64_t segment_id;      /* 0: all segments are in this file */
    uint64_t salt;            /* random, part of every checksum */
    uint64_t segment_records; /* capacity of a segment */
    int64_t created_ns;       /* UNIX ns */
    uint32_t block_records;   /* records under one commit word */
    uint32_t schema_bytes;    /* length of the schema text, which follows this struct */
    uint32_t reserved;
    uint32_t crc; /* CRC32C of the 4,096 bytes with this field 0 */
} fc_store_header_t;

typedef struct fc_store_checkpoint {
    uint64_t number; /* counts syncs; the higher of the two valid slots counts */
    uint64_t count;  /* records known to be on the disk */
    uint64_t word;   /* the commit word of the block that holds record count-1, as of then */
    uint64_t crc;    /* CRC32C of salt and the three fields above */
    uint64_t pad[4];
} fc_store_checkpoint_t;

typedef struct fc_store_control {
    uint64_t count; /* published records: readers follow this word; recovery believes the commit words alone */
    uint64_t pad0[7];
    uint64_t epoch;      /* one more with every writer that opens the store */
    uint64_t writer_pid; /* 0: closed */
    uint64_t pad1[6];
    fc_store_checkpoint_t checkpoint[2];
} fc_store_control_t;

static_assert(sizeof(fc_store_header_t) == 80, "layout");
static_assert(offsetof(fc_store_header_t, schema_hash) == 24, "layout");
static_assert(offsetof(fc_store_header_t, crc) == 76, "layout");
static_assert(sizeof(fc_store_checkpoint_t) == 64, "layout");
static_assert(offsetof(fc_store_control_t, epoch) == 64, "layout");
static_assert(offsetof(fc_store_control_t, checkpoint) == 128, "layout");

typedef uint32_t (*fc_store_checksum_t)(uint32_t crc, const void *data, size_t bytes);
typedef uint32_t (*fc_store_stream_t)(uint32_t crc, void *to, const void *from, size_t bytes);

typedef struct fc_store {
    /* The line of the writer. */
    unsigned char *cursor;        /* where the next record goes */
    uint64_t *word;               /* commit word of the open block */
    uint64_t count;               /* records appended */
    uint64_t limit;               /* records that have a mapped, allocated place; 0: refuse (see state) */
    uint64_t *published;          /* the count word of the control page */
    fc_store_checksum_t checksum; /* CRC32C register over more bytes: SSE4.2 or scalar */
    uint32_t crc;                 /* register of the open block */
    uint32_t in_block;            /* records in the open block */
    uint32_t block_records;
    uint32_t record_size;
    fc_store_stream_t stream; /* copies and returns the register: streaming stores or memcpy */
    uint64_t crc_instruction; /* 1: the processor computes CRC32C itself (SSE4.2) */
    /* Cold. */
    uint64_t hungry;           /* 1: less than half of what it grows by is left */
    uint64_t state;            /* FC_OK, or why nothing more is accepted: FC_CLOSED, FC_STORE_FAILED */
    uint64_t growing, syncing; /* 1 while a thread is in grow or sync */
    uint64_t segments;         /* mapped */
    uint64_t allocated;        /* records that have a place in the file */
    uint64_t grow_records;     /* by which the file grows: a segment, or a part of one */
    uint64_t salt;
    uint64_t segment_records, segment_blocks;
    uint64_t table_bytes, data_bytes; /* T and D */
    uint64_t most_segments;           /* what the reserved addresses can hold */
    uint64_t synced, syncs;           /* records and number of the last checkpoint */
    const char *path;                 /* where the file should be */
    fc_store_control_t *control;      /* the mapped control page */
    unsigned char *head, *table, *data; /* first page, commit words, records */
    int fd;
    int writable;
    int error;    /* errno of the last failed system call */
    int owner_pid;
} fc_store_t;

static inline uint64_t *fc_store_word(const fc_store_t *s, uint64_t block) {
    uint64_t segment = block / s->segment_blocks;
    return (uint64_t *)(s->table + segment * s->table_bytes) + (block - segment * s->segment_blocks);
}

static inline uint32_t fc_store_seed(const fc_store_t *s, uint64_t block) {
    uint64_t head[2] = {s->salt, block};
    return s->checksum(0xFFFFFFFFu, head, sizeof head);
}

static inline uint64_t fc_store_commit_word(uint64_t records, uint32_t crc) { return records << 32 | (uint32_t)~crc; }

/* Point the writer at block count / block_records, of which `in_block` records are there with register `crc`. */
static inline void fc_store_open_block(fc_store_t *s) {
    uint64_t block = s->count / s->block_records;
    s->word = fc_store_word(s, block);
    s->crc = fc_store_seed(s, block);
    s->in_block = 0;
    uint64_t limit = fc_load_relaxed(&s->limit);
    if (limit - s->count < s->grow_records / 2) fc_store_release(&s->hungry, 1);
}

/* Records that can be appended before the store must grow. */
static inline int64_t fc_store_room(const fc_store_t *s) {
    uint64_t limit = fc_load_acquire(&s->limit);
    return limit > s->count ? (int64_t)(limit - s->count) : 0;
}

/* Why an append was refused. */
static inline int fc_store_refusal(const fc_store_t *s) {
    uint64_t state = fc_load_acquire(&s->state);
    return state ? (int)state : FC_FULL;
}

/* The place of the next record, or NULL: refused. Fill it, then commit; nobody sees it before. */
static inline void *fc_store_claim(fc_store_t *s) {
    if (FC_UNLIKELY(s->count >= fc_load_acquire(&s->limit))) return NULL;
    return s->cursor;
}

/* Publish the record in the claimed place, with which the register of the block is `crc`. */
static inline void fc_store_publish(fc_store_t *s, size_t record_size, uint32_t crc) {
    uint32_t in_block = s->in_block + 1;
    uint64_t count = s->count + 1;
    s->crc = crc;
    s->in_block = in_block;
    s->cursor += record_size;
    s->count = count;
    fc_store_release(s->word, fc_store_commit_word(in_block, crc)); /* pairs with the acquire in scan and readers */
    fc_store_release(s->published, count);                         /* pairs with fc_store_published */
    if (FC_UNLIKELY(in_block == s->block_records)) fc_store_open_block(s);
}

static inline void fc_store_commit(fc_store_t *s, size_t record_size) {
    fc_store_publish(s, record_size, s->checksum(s->crc, s->cursor, record_size));
}

static inline int fc_store_append_tick(fc_store_t *s, const fc_tick_t *tick) {
    fc_assert(s->record_size == sizeof *tick);
    fc_tick_t *place = (fc_tick_t *)fc_store_claim(s);
    if (FC_UNLIKELY(!place)) return fc_store_refusal(s);
#ifdef FC_X86
    if (FC_LIKELY(s->crc_instruction)) {
        /* From registers: reading back eight bytes that were stored as twice four waits until the stores are done. */
        uint64_t crc = s->crc, word[4] = {tick->timestamp_ns, tick->symbol_id, 0, 0};
        memcpy(&word[2], &tick->price, 8);
        memcpy(&word[3], &tick->volume, 8);
        for (int i = 0; i < 4; i++) {
            memcpy((unsigned char *)place + 8 * i, &word[i], 8);
            crc = fc_cpu_crc32c(crc, word[i]);
        }
        fc_store_publish(s, sizeof *tick, (uint32_t)crc);
        return FC_OK;
    }
#endif
    place->timestamp_ns = tick->timestamp_ns;
    place->symbol_id = tick->symbol_id;
    place->pad = 0;
    place->price = tick->price;
    place->volume = tick->volume;
    fc_store_commit(s, sizeof *tick);
    return FC_OK;
}

static inline int fc_store_append_record(fc_store_t *s, const void *record) {
    unsigned char *place = (unsigned char *)fc_store_claim(s);
    if (FC_UNLIKELY(!place)) return fc_store_refusal(s);
    if (s->record_size == sizeof(fc_event_t)) {
        /* The event's own commit word, seq, goes last. */
        memcpy(place + 8, (const unsigned char *)record + 8, sizeof(fc_event_t) - 8);
        uint64_t seq;
        memcpy(&seq, record, sizeof seq);
        fc_store_release((uint64_t *)place, seq);
        fc_store_commit(s, sizeof(fc_event_t));
    } else {
        memcpy(place, record, s->record_size);
        fc_store_commit(s, s->record_size);
    }
    return FC_OK;
}

/* Whether a tick keeps the rules: time below 2^63, finite price, finite volume >= 0, a symbol. */
static inline int fc_tick_good(const fc_tick_t *t) {
    const double most = 1.7976931348623157e308;
    return t->price >= -most && t->price <= most && t->volume >= 0.0 && t->volume <= most && t->symbol_id != FC_NO_SYMBOL &&
           (int64_t)t->timestamp_ns >= 0;
}

/* First tick of an array that breaks a rule, or n.
   *padding is set to 1 where a tick of those before carries padding that is not 0. */
static inline size_t fc_ticks_check(const fc_tick_t *ticks, size_t n, int *padding) {
    uint32_t pads = 0;
    size_t i = 0;
    while (i < n) {
        size_t end = n - i >= 16 ? i + 16 : n;
        /* On the high words: the top bit of `odd` stays 0 where all is well. (A volume of -0.0 sets it and passes the exact test.) */
        uint32_t odd = 0;
        for (size_t k = i; k < end; k++) {
            uint64_t price, volume;
            memcpy(&price, &ticks[k].price, sizeof price);
            memcpy(&volume, &ticks[k].volume, sizeof volume);
            uint32_t p = (uint32_t)(price >> 32), v = (uint32_t)(volume >> 32), symbol = ticks[k].symbol_id;
            odd |= (p & 0x7FFFFFFFu) + 0x00100000u; /* exponent all ones */
            odd |= v | (v + 0x00100000u);
            odd |= symbol & (~symbol - 1); /* FC_NO_SYMBOL */
            odd |= (uint32_t)(ticks[k].timestamp_ns >> 32);
            pads |= ticks[k].pad;
        }
        if (FC_UNLIKELY(odd >> 31))
            for (size_t k = i; k < end; k++)
                if (FC_UNLIKELY(!fc_tick_good(&ticks[k]))) return k;
        i = end;
    }
    *padding = pads != 0;
    return n;
}

#ifdef FC_X86
/* The twin for SSE4.2: the rules on the largest value of each 32-bit word over 256 ticks; an odd one goes through the exact test. */
FC_TARGET_SSE42 static inline size_t fc_ticks_check_sse42(const fc_tick_t *ticks, size_t n, int *padding) {
    const __m128i no_sign = _mm_set_epi32(-1, -1, 0x7FFFFFFF, -1); /* of the price; a volume with a sign is odd */
    int pads = 0;
    for (size_t i = 0, end; i < n; i = end) {
        end = n - i > 256 ? i + 256 : n;
        __m128i a = _mm_setzero_si128(), b = _mm_setzero_si128();
        for (size_t k = i; k < end; k++) {
            const __m128i *tick = (const __m128i *)(const void *)&ticks[k];
            a = _mm_max_epu32(a, _mm_loadu_si128(tick));
            b = _mm_max_epu32(b, _mm_and_si128(_mm_loadu_si128(tick + 1), no_sign));
        }
        uint32_t most[8];
        _mm_storeu_si128((__m128i *)(void *)most, a);
        _mm_storeu_si128((__m128i *)(void *)(most + 4), b);
        pads |= most[3] != 0;
        if (FC_UNLIKELY(most[1] >> 31 || most[2] == FC_NO_SYMBOL || most[5] >= 0x7FF00000u || most[7] >= 0x7FF00000u)) {
            int seen = 0;
            size_t bad = fc_ticks_check(ticks + i, end - i, &seen);
            if (bad < end - i) return i + bad;
        }
    }
    *padding = pads;
    return n;
}
#endif

typedef size_t (*fc_ticks_check_t)(const fc_tick_t *ticks, size_t n, int *padding);

static inline fc_ticks_check_t fc_ticks_check_select(int allow_sse42) {
#ifdef FC_X86
    if (allow_sse42 && fc_cpu_has_sse42()) return fc_ticks_check_sse42;
#endif
    (void)allow_sse42;
    return fc_ticks_check;
}

/* Streaming stores are not ordered by the release store that publishes. */
static inline void fc_stream_fence(void) {
#ifdef FC_X86
    _mm_sfence();
#endif
}

/* Append an array of records for which there is room, block by block: the bytes, their checksum, then one commit word for all of them.
   The words of up to FC_STORE_PENDING blocks are stored together, in order, so that one fence serves them all: streaming stores run
   on while the next block is summed. Returns n; or, where `check` finds a tick that breaks a rule, its index, and nothing was appended.
   `check` (NULL: the records are no ticks) looks at each block just before it is copied, so that the batch is read from the cache
   below only once; when it finds something nothing has been published yet, and the writer goes back to where it was. A batch of
   more blocks than are published together is checked as a whole first. `lenient`: rules are not enforced. Padding becomes 0. */
static inline size_t fc_store_append_batch(fc_store_t *s, const void *records, size_t n, fc_ticks_check_t check, int lenient) {
    const unsigned char *from = (const unsigned char *)records;
    const size_t size = s->record_size;
    size_t done = 0, pending = 0;
    const int stream = n * size >= FC_STORE_STREAM_BYTES && ((uintptr_t)s->cursor | size) % 16 == 0;
    int padding = 0;
    unsigned char *const cursor = s->cursor;
    uint64_t *const word = s->word;
    const uint64_t count = s->count;
    const uint32_t crc = s->crc, in_block = s->in_block;
    fc_tick_t clean[FC_STORE_BLOCK_BYTES / sizeof(fc_tick_t)];
    struct {
        uint64_t *at, word;
    } commit[FC_STORE_PENDING];
    if (check && !lenient && n > (FC_STORE_PENDING - 1) * (size_t)s->block_records) {
        size_t good = check((const fc_tick_t *)records, n, &padding);
        if (FC_UNLIKELY(good < n)) return good;
        lenient = 1; /* once a part is published there is no way back, should another thread write into the array meanwhile */
    }
    while (done < n) {
        size_t m = s->block_records - s->in_block;
        const unsigned char *bytes = from;
        if (m > n - done) m = n - done;
        if (check) {
            size_t good = check((const fc_tick_t *)from, m, &padding);
            if (FC_UNLIKELY(good < m || padding)) {
                if (good < m && !lenient) {
                    s->cursor = cursor, s->word = word, s->count = count, s->crc = crc, s->in_block = in_block;
                    if (stream) fc_stream_fence();
                    return done + good;
                }
                memcpy(clean, from, m * size);
                for (size_t i = 0; i < m; i++) clean[i].pad = 0;
                bytes = (const unsigned char *)clean;
            }
        }
        if (stream) {
            s->crc = s->stream(s->crc, s->cursor, bytes, m * size);
        } else {
            memcpy(s->cursor, bytes, m * size);
            s->crc = s->checksum(s->crc, bytes, m * size); /* of the source, which is in the cache */
        }
        s->in_block += (uint32_t)m;
        s->cursor += m * size;
        s->count += m;
        from += m * size;
        done += m;
        commit[pending].at = s->word;
        commit[pending++].word = fc_store_commit_word(s->in_block, s->crc);
        if (s->in_block == s->block_records) fc_store_open_block(s);
        if (pending == FC_STORE_PENDING || done == n) {
            if (stream) fc_stream_fence();
            for (size_t i = 0; i < pending; i++) fc_store_release(commit[i].at, commit[i].word);
            fc_store_release(s->published, s->count);
            pending = 0;
        }
    }
    return n;
}

/* Records that a reader may look at. */
static inline uint64_t fc_store_published(const fc_store_t *s) { return fc_load_acquire(&s->control->count); }

#endif
