/* What the store asks of the operating system: addresses, mappings, allocation on the disk, write-back.
   Functions return 0 or an errno; fc_reserve and fc_map_file return NULL and set *error. */
#ifndef FC_STORE_OS_H
#define FC_STORE_OS_H

#include <errno.h>

#include "fc_store.h"

#if defined(_WIN32)
#include <io.h>
#include <process.h>
#include <windows.h>

#define FC_STORE_CAN_GROW 0 /* views cannot be put side by side: a store is one segment */

static inline int fc_pid(void) { return _getpid(); }
static inline void fc_yield(void) { SwitchToThread(); }
static inline unsigned char *fc_reserve(size_t bytes, int *error) { (void)bytes, *error = 0; return NULL; }
static inline unsigned char *fc_map_file(unsigned char *at, int fd, uint64_t offset, size_t bytes, int writable, int *error) {
    (void)at;
    HANDLE mapping = CreateFileMappingW((HANDLE)_get_osfhandle(fd), NULL, writable ? PAGE_READWRITE : PAGE_READONLY, 0, 0, NULL);
    void *p = mapping ? MapViewOfFile(mapping, writable ? FILE_MAP_WRITE : FILE_MAP_READ, (DWORD)(offset >> 32), (DWORD)offset, bytes) : NULL;
    *error = p ? 0 : EIO;
    if (mapping) CloseHandle(mapping);
    return (unsigned char *)p;
}
static inline void fc_unmap(unsigned char *p, size_t bytes) { (void)bytes; UnmapViewOfFile(p); }
static inline int fc_sync_pages(unsigned char *p, size_t bytes, int fd) {
    return FlushViewOfFile(p, bytes) && FlushFileBuffers((HANDLE)_get_osfhandle(fd)) ? 0 : EIO;
}
static inline int64_t fc_file_size(int fd) { return _filelengthi64(fd); }
static inline int fc_disk_room(int fd, uint64_t bytes) { (void)fd, (void)bytes; return 0; }
static inline int fc_file_in_place(int fd, const char *path, uint64_t bytes) { (void)fd, (void)path, (void)bytes; return 0; }
static inline int fc_write_zeros(int fd, uint64_t offset, uint64_t bytes) {
    static const char zeros[65536];
    if (_lseeki64(fd, (int64_t)offset, SEEK_SET) < 0) return errno;
    for (; bytes; bytes -= sizeof zeros)
        if (_write(fd, zeros, sizeof zeros) != (int)sizeof zeros) return errno ? errno : ENOSPC;
    return 0;
}
#else
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define FC_STORE_CAN_GROW 1

static inline int fc_pid(void) { return (int)getpid(); }
static inline void fc_yield(void) { sched_yield(); }

/* Addresses without memory behind them. */
static inline unsigned char *fc_reserve(size_t bytes, int *error) {
    int flags = MAP_PRIVATE | MAP_ANONYMOUS;
#ifdef MAP_NORESERVE
    flags |= MAP_NORESERVE;
#endif
    void *p = mmap(NULL, bytes, PROT_NONE, flags, -1, 0);
    *error = p == MAP_FAILED ? errno : 0;
    return p == MAP_FAILED ? NULL : (unsigned char *)p;
}

/* Map a part of a file, at reserved addresses or (NULL) anywhere. */
static inline unsigned char *fc_map_file(unsigned char *at, int fd, uint64_t offset, size_t bytes, int writable, int *error) {
    int protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;
    void *p = mmap(at, bytes, protection, MAP_SHARED | (at ? MAP_FIXED : 0), fd, (off_t)offset);
    *error = p == MAP_FAILED ? errno : 0;
    return p == MAP_FAILED ? NULL : (unsigned char *)p;
}
static inline void fc_unmap(unsigned char *p, size_t bytes) { munmap(p, bytes); }

static inline int fc_sync_pages(unsigned char *p, size_t bytes, int fd) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), before = (uintptr_t)p & (page - 1);
#if defined(__APPLE__)
    /* msync stops at the cache of the drive. */
    if (msync(p - before, bytes + before, MS_SYNC)) return errno;
    return fcntl(fd, F_FULLFSYNC) ? errno : 0;
#else
    (void)fd;
    return msync(p - before, bytes + before, MS_SYNC) ? errno : 0;
#endif
}
static inline int64_t fc_file_size(int fd) {
    struct stat status;
    return fstat(fd, &status) ? -1 : (int64_t)status.st_size;
}
/* 0, or ESTALE where the open file is not the one at its path any more (deleted, replaced, moved) or was cut: what is
   appended would be lost. */
static inline int fc_file_in_place(int fd, const char *path, uint64_t bytes) {
    struct stat open, named;
    if (fstat(fd, &open)) return errno;
    if (!open.st_nlink || (uint64_t)open.st_size < bytes) return ESTALE;
    if (stat(path, &named)) return errno == ENOENT || errno == ENOTDIR ? ESTALE : 0; /* who may not look cannot know */
    return open.st_dev == named.st_dev && open.st_ino == named.st_ino ? 0 : ESTALE;
}
/* ENOSPC where a disk that counts its blocks has certainly no room: better than to fill it before it says so. */
static inline int fc_disk_room(int fd, uint64_t bytes) {
    struct statvfs disk;
    return fstatvfs(fd, &disk) == 0 && disk.f_blocks && disk.f_frsize && bytes / disk.f_frsize > disk.f_bfree ? ENOSPC : 0;
}
static inline int fc_write_zeros(int fd, uint64_t offset, uint64_t bytes) {
    static const char zeros[65536];
    while (bytes) {
        ssize_t n = pwrite(fd, zeros, bytes < sizeof zeros ? (size_t)bytes : sizeof zeros, (off_t)offset);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return n < 0 ? errno : ENOSPC;
        offset += (uint64_t)n, bytes -= (uint64_t)n;
    }
    return 0;
}
#endif

/* Give part of a file blocks on the disk: a full disk is an error here instead of SIGBUS at a store.
   Bytes that are there already stay. A disk that is too small keeps none of the new ones. */
static inline int fc_allocate(int fd, uint64_t offset, uint64_t bytes) {
#if defined(__linux__)
    int64_t size = fc_file_size(fd);
    int error;
    if (size < 0) return errno;
    /* Behind the end, where no reader looks; what cannot be had in this way is left to posix_fallocate. */
    do error = fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)bytes) ? errno : 0;
    while (error == EINTR);
    if (!error || error == EOPNOTSUPP || error == ENOSYS)
        do error = posix_fallocate(fd, (off_t)offset, (off_t)bytes);
        while (error == EINTR);
    if (error && (uint64_t)size < offset + bytes && ftruncate(fd, (off_t)size)) return errno;
    return error;
#else
    /* Write zeros behind the end of the file; what is before the end has its blocks. */
    int64_t size = fc_file_size(fd);
    if (size < 0) return errno;
    if ((uint64_t)size >= offset + bytes) return 0;
    uint64_t from = (uint64_t)size > offset ? (uint64_t)size : offset;
    int error = fc_write_zeros(fd, from, offset + bytes - from);
#if !defined(_WIN32)
    if (error && ftruncate(fd, (off_t)size)) return errno;
#endif
    return error;
#endif
}

/* Fault pages in for writing. Nobody else may write there: the fallback stores what it loads. */
static inline void fc_populate(unsigned char *p, size_t bytes) {
#if defined(__linux__)
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
    if (madvise(p, bytes, MADV_POPULATE_WRITE) == 0) return;
#endif
    for (size_t i = 0; i < bytes; i += 4096) {
        volatile unsigned char *byte = p + i;
        *byte = *byte;
    }
}

static inline void fc_store_lock(uint64_t *lock) {
    uint64_t free_ = 0;
    while (!fc_compare_exchange(lock, &free_, 1)) {
        free_ = 0;
        fc_yield();
    }
}
static inline void fc_store_unlock(uint64_t *lock) { fc_store_release(lock, 0); }

static inline uint64_t fc_store_segment_offset(const fc_store_t *s, uint64_t segment) {
    return FC_STORE_BASE + segment * (s->table_bytes + s->data_bytes);
}

/* Refuse appends from now on; the first reason stays. */
static inline void fc_store_refuse(fc_store_t *s, int state) {
    uint64_t open = FC_OK;
    fc_compare_exchange(&s->state, &open, (uint64_t)state);
    fc_store_release(&s->limit, 0);
}

/* Where the file ends that has places for so many records, at least one. */
static inline uint64_t fc_store_end(const fc_store_t *s, uint64_t records) {
    uint64_t last = (records - 1) / s->segment_records;
    return fc_store_segment_offset(s, last) + s->table_bytes + (records - last * s->segment_records) * s->record_size;
}

/* Map a segment into the ranges that begin at `table` and `data`. What lies behind the end of the file is mapped and not touched. */
static inline int fc_store_map_segment(fc_store_t *s, uint64_t segment, unsigned char **table, unsigned char **data) {
    uint64_t offset = fc_store_segment_offset(s, segment);
    int error = 0;
#if FC_STORE_CAN_GROW
    if (!fc_map_file(*table + segment * s->table_bytes, s->fd, offset, s->table_bytes, s->writable, &error)) return error;
    if (!fc_map_file(*data + segment * s->data_bytes, s->fd, offset + s->table_bytes, s->data_bytes, s->writable, &error)) return error;
#else
    if (!(*table = fc_map_file(NULL, s->fd, offset, s->table_bytes, s->writable, &error))) return error;
    if (!(*data = fc_map_file(NULL, s->fd, offset + s->table_bytes, s->data_bytes, s->writable, &error))) return error;
#endif
    return 0;
}

/* Map segments behind those that are mapped. FC_FULL: the range of addresses is used up. */
static inline int fc_store_attach(fc_store_t *s, uint64_t segments) {
    if (segments > s->most_segments) return FC_FULL;
    while (s->segments < segments) {
        s->error = fc_store_map_segment(s, s->segments, &s->table, &s->data);
        if (s->error) return FC_IO;
        fc_store_release(&s->segments, s->segments + 1); /* the other threads of the writer read it */
    }
    return FC_OK;
}

/* Allocate, map and pre-fault room for `records` behind those that are published, and for `grow_records` at least: all of it or nothing.
   FC_FULL: the range of addresses is used up, nothing was done. */
static inline int fc_store_do_grow(fc_store_t *s, uint64_t records) {
    fc_store_lock(&s->growing);
    int result = (int)fc_load_acquire(&s->state);
    if (result == FC_OK) {
        uint64_t old = s->allocated, step = s->grow_records, new_ = old + step;
        uint64_t needed = fc_store_published(s) + records;
        if (needed > new_) new_ = needed / step * step + (needed % step ? step : 0);
        uint64_t segments = (old - 1) / s->segment_records + 1, new_segments = (new_ - 1) / s->segment_records + 1;
        uint64_t end = fc_store_end(s, old);
        s->error = records > INT64_MAX / s->record_size / 2 ? EFBIG : fc_file_in_place(s->fd, s->path, end);
        if (!s->error) s->error = fc_disk_room(s->fd, fc_store_end(s, new_) - end);
        if (s->error) {
            result = FC_IO;
        } else if (new_segments > s->most_segments) {
            result = FC_FULL;
        } else {
            s->error = fc_allocate(s->fd, end, fc_store_end(s, new_) - end);
            result = s->error ? FC_IO : fc_store_attach(s, new_segments);
        }
        if (result == FC_OK) {
            /* Commit words must start at 0 even where a killed writer or a stranger left bytes behind the last segment. */
            memset(s->table + segments * s->table_bytes, 0, (new_segments - segments) * s->table_bytes);
            fc_populate(s->data + old * s->record_size, (new_ - old) * s->record_size);
            fc_store_release(&s->allocated, new_);
            fc_store_release(&s->hungry, 0);
            fc_store_release(&s->limit, new_);
            if (fc_load_acquire(&s->state)) fc_store_release(&s->limit, 0); /* refused meanwhile */
        }
    }
    fc_store_unlock(&s->growing);
    return result;
}

/* Set the commit words from `block` on to 0, and touch only those that are not. */
static inline void fc_store_clear_words(fc_store_t *s, uint64_t block) {
    uint64_t end = ((s->allocated - 1) / s->segment_records + 1) * s->segment_blocks;
    for (; block < end; block++) {
        uint64_t *word = fc_store_word(s, block);
        if (fc_load_relaxed(word)) fc_store_release(word, 0);
    }
}

/* Go over to other ranges of addresses, into which all segments are mapped; the writer's thread, or that of a reader. */
static inline void fc_store_move(fc_store_t *s, unsigned char *table, unsigned char *data, uint64_t most_segments) {
    s->table = table;
    s->data = data;
    s->most_segments = most_segments;
    if (s->writable) {
        s->cursor = s->data + s->count * s->record_size;
        s->word = fc_store_word(s, s->count / s->block_records);
    }
}

static inline uint32_t fc_store_checkpoint_crc(const fc_store_t *s, const fc_store_checkpoint_t *c) {
    uint64_t words[4] = {s->salt, c->number, c->count, c->word};
    return ~s->checksum(0xFFFFFFFFu, words, sizeof words);
}

/* Write everything published so far to the disk, then a checkpoint that says so. */
static inline int fc_store_do_sync(fc_store_t *s) {
    fc_store_lock(&s->syncing);
    int result = FC_OK, error = 0;
    uint64_t state = fc_load_acquire(&s->state);
    if (state == FC_STORE_FAILED || state == FC_CLOSED) {
        fc_store_unlock(&s->syncing);
        return (int)state;
    }
    uint64_t count = fc_store_published(s), word = 0;
    if (count) {
        /* The word may be ahead of the count: take what it says, the pair is what a checkpoint must hold. */
        uint64_t block = (count - 1) / s->block_records;
        word = fc_load_acquire(fc_store_word(s, block));
        count = block * s->block_records + (word >> 32);
    }
    int gone = fc_file_in_place(s->fd, s->path, fc_store_end(s, fc_load_acquire(&s->allocated)));
    if (gone || count != s->synced || !s->syncs) {
        if (count > s->synced) {
            uint64_t first = s->synced / s->block_records, last = (count - 1) / s->block_records;
            size_t size = s->record_size;
            error = fc_sync_pages(s->data + s->synced * size, (count - s->synced) * size, s->fd);
            unsigned char *from = (unsigned char *)fc_store_word(s, first), *to = (unsigned char *)(fc_store_word(s, last) + 1);
            if (!error) error = fc_sync_pages(from, (size_t)(to - from), s->fd);
        }
        if (!error) error = gone;
        if (!error) {
            fc_store_checkpoint_t *slot = &s->control->checkpoint[(s->syncs + 1) & 1];
            fc_store_checkpoint_t next = {.number = s->syncs + 1, .count = count, .word = word};
            /* A reader may look at the slot meanwhile: word by word, and what it sees half written fails its checksum. */
            fc_store_relaxed(&slot->number, next.number);
            fc_store_relaxed(&slot->count, next.count);
            fc_store_relaxed(&slot->word, next.word);
            fc_store_release(&slot->crc, fc_store_checkpoint_crc(s, &next));
            error = fc_sync_pages((unsigned char *)s->control, sizeof *s->control, s->fd);
        }
        if (error) {
            /* The kernel may have dropped the pages that it could not write: what is in memory can no longer be trusted to
               reach the disk, so no retry. */
            s->error = error;
            fc_store_refuse(s, FC_STORE_FAILED);
            result = FC_STORE_FAILED;
        } else {
            s->syncs += 1;
            s->synced = count;
        }
    }
    fc_store_unlock(&s->syncing);
    return result;
}

/* The newer of the valid checkpoints; count 0 where there is none. */
static inline fc_store_checkpoint_t fc_store_last_checkpoint(const fc_store_t *s) {
    fc_store_checkpoint_t best = {0};
    for (int i = 0; i < 2; i++) {
        const fc_store_checkpoint_t *slot = &s->control->checkpoint[i];
        fc_store_checkpoint_t c = {.crc = fc_load_acquire(&slot->crc)};
        c.number = fc_load_relaxed(&slot->number);
        c.count = fc_load_relaxed(&slot->count);
        c.word = fc_load_relaxed(&slot->word);
        if (c.number > best.number && c.crc == fc_store_checkpoint_crc(s, &c)) best = c;
    }
    return best;
}

enum fc_store_scan_end {
    FC_SCAN_CLEAN = 0,
    FC_SCAN_CHECKSUM = 1,  /* a commit word does not match its records */
    FC_SCAN_TRUNCATED = 2, /* a commit word promises records behind the end of the file */
    FC_SCAN_GAP = 3        /* records after a block that is not full */
};

typedef struct fc_store_scan {
    uint64_t valid;         /* the longest valid prefix, records */
    uint64_t valid_word;    /* commit word of its last block */
    uint64_t end;           /* one behind the last record that any commit word promises */
    uint64_t bad_block;     /* first block that is not as it should be; UINT64_MAX: none */
    uint64_t later_records; /* valid records behind it */
    int reason;
} fc_store_scan_t;

static inline int fc_store_block_valid(const fc_store_t *s, uint64_t block, uint64_t word) {
    const unsigned char *records = s->data + block * s->block_records * s->record_size;
    uint32_t crc = s->checksum(fc_store_seed(s, block), records, (word >> 32) * s->record_size);
    return fc_store_commit_word(word >> 32, crc) == word;
}

/* Check every block against its commit word. `blocks`: how many have a commit word inside the file;
   `readable`: how many records are inside it. A writer may append meanwhile. */
static inline void fc_store_do_scan(const fc_store_t *s, uint64_t blocks, uint64_t readable, fc_store_scan_t *out) {
    fc_store_scan_t r = {.bad_block = UINT64_MAX};
    fc_store_checkpoint_t checkpoint = fc_store_last_checkpoint(s);
    uint64_t size = s->block_records, block = 0, end_block = UINT64_MAX, end_word = 0, again = 0;
    for (; block < blocks; block++) {
        uint64_t word = fc_load_acquire(fc_store_word(s, block)), n = word >> 32, first = block * size;
        if (end_block != UINT64_MAX && r.bad_block == UINT64_MAX && word) {
            if (fc_load_acquire(fc_store_word(s, end_block)) != end_word && ++again < 10000) {
                /* A live writer has moved on: go back to the block that was open. One that plays with us ends, too. */
                block = end_block - 1;
                end_block = UINT64_MAX;
                continue;
            }
            r.bad_block = end_block;
            r.reason = FC_SCAN_GAP;
        }
        int promised = n <= size, inside = promised && first + n <= readable;
        if (word) r.end = first + (promised ? n : size);
        if (end_block != UINT64_MAX) { /* behind the prefix: only count */
            if (n && inside && fc_store_block_valid(s, block, word)) r.later_records += n;
            continue;
        }
        if (word && n && inside && fc_store_block_valid(s, block, word)) {
            r.valid = first + n;
            r.valid_word = word;
            if (n == size) continue;
        } else if (word) {
            r.bad_block = block;
            r.reason = promised && !inside ? FC_SCAN_TRUNCATED : FC_SCAN_CHECKSUM;
            uint64_t m = checkpoint.word >> 32;
            if (checkpoint.count && m && m <= size && (checkpoint.count - 1) / size == block && first + m == checkpoint.count &&
                checkpoint.count <= readable && fc_store_block_valid(s, block, checkpoint.word)) {
                r.valid = checkpoint.count;
                r.valid_word = checkpoint.word;
            }
        }
        end_block = block;
        end_word = word;
    }
    *out = r;
}

#endif
