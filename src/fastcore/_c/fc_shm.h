/* Named shared memory, the identity of processes, and waiting: what the rings need of the operating system.

   Own code instead of multiprocessing.shared_memory, whose resource tracker removes segments under attached processes
   (before Python 3.13), which reserves no pages (a full /dev/shm is SIGBUS later) and costs an import of multiprocessing.

   All calls return 0 or an errno value. On Linux the names are files in /dev/shm, opened directly: shm_open does the
   same, but needs librt before glibc 2.34, and gives no file that becomes visible only when it is complete. */
#ifndef FC_SHM_H
#define FC_SHM_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fc_atomic.h"

#if defined(_WIN32)
#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#ifndef NOMINMAX
#define NOMINMAX
#endif
#include <windows.h>
#else
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#if defined(__APPLE__)
#include <sys/sysctl.h>
#endif
#endif

#define FC_SHM_NAME_MAX 200

typedef struct fc_shm {
    void *address;
    size_t bytes;
    int fd;              /* open until the name is published; -1 after */
    uint64_t inode;      /* so that only our own segment is ever unlinked, never a later one of that name */
    void *handle;        /* Windows */
    unsigned uid, mode;  /* whose it is */
    int temporary;       /* made under a hidden name, for want of O_TMPFILE */
    char path[FC_SHM_NAME_MAX + 16];
} fc_shm_t;

static inline void fc_shm_set_path(fc_shm_t *m, const char *name) {
#if defined(__linux__)
    snprintf(m->path, sizeof m->path, "/dev/shm/%s", name);
#elif defined(_WIN32)
    snprintf(m->path, sizeof m->path, "Local\\%s", name);
#else
    snprintf(m->path, sizeof m->path, "/%s", name);
#endif
}

#if defined(__linux__)
static inline void fc_shm_hidden(const fc_shm_t *m, char out[FC_SHM_NAME_MAX + 64]) {
    snprintf(out, FC_SHM_NAME_MAX + 64, "/dev/shm/.%s.%ld", m->path + 9, (long)getpid());
}
#endif

#if defined(_WIN32)
static inline int fc_shm_error(void) {
    switch (GetLastError()) {
    case ERROR_ALREADY_EXISTS: return EEXIST;
    case ERROR_FILE_NOT_FOUND: return ENOENT;
    case ERROR_ACCESS_DENIED: return EACCES;
    case ERROR_NOT_ENOUGH_MEMORY:
    case ERROR_COMMITMENT_LIMIT: return ENOMEM;
    default: return EIO;
    }
}
static inline int fc_shm_create(fc_shm_t *m, const char *name, size_t bytes) {
    memset(m, 0, sizeof *m);
    m->fd = -1;
    fc_shm_set_path(m, name);
    HANDLE h = CreateFileMappingA(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, (DWORD)((uint64_t)bytes >> 32), (DWORD)bytes, m->path);
    if (!h) return fc_shm_error();
    if (GetLastError() == ERROR_ALREADY_EXISTS) {
        CloseHandle(h);
        return EEXIST;
    }
    m->address = MapViewOfFile(h, FILE_MAP_ALL_ACCESS, 0, 0, bytes);
    if (!m->address) {
        int code = fc_shm_error();
        CloseHandle(h);
        return code;
    }
    m->handle = h;
    m->bytes = bytes;
    return 0;
}
static inline int fc_shm_publish(fc_shm_t *m) { return 0; }
static inline int fc_shm_attach(fc_shm_t *m, const char *name, size_t least) {
    MEMORY_BASIC_INFORMATION info;
    memset(m, 0, sizeof *m);
    m->fd = -1;
    fc_shm_set_path(m, name);
    HANDLE h = OpenFileMappingA(FILE_MAP_ALL_ACCESS, FALSE, m->path);
    if (!h) return fc_shm_error();
    m->address = MapViewOfFile(h, FILE_MAP_ALL_ACCESS, 0, 0, 0);
    if (!m->address || !VirtualQuery(m->address, &info, sizeof info)) {
        int code = fc_shm_error();
        if (m->address) UnmapViewOfFile(m->address);
        CloseHandle(h);
        return code;
    }
    m->handle = h;
    m->bytes = info.RegionSize;
    return 0;
}
static inline void fc_shm_unmap(fc_shm_t *m) {
    if (m->address) UnmapViewOfFile(m->address);
    if (m->handle) CloseHandle(m->handle);
    m->address = m->handle = NULL;
}
static inline int fc_shm_forget(fc_shm_t *m) { return 0; } /* there is no fork */
/* The name goes with the last handle. */
static inline int fc_shm_unlink(const char *name) { return ENOENT; }
static inline void fc_shm_unlink_own(const fc_shm_t *m) {}
#else

static inline int fc_shm_map(fc_shm_t *m, int fd, size_t bytes) {
#if defined(MAP_POPULATE)
    int flags = MAP_SHARED | MAP_POPULATE; /* faulted in before the hot path sees it */
#else
    int flags = MAP_SHARED;
#endif
    struct stat status;
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, fd, 0);
    if (p == MAP_FAILED) return errno;
    if (fstat(fd, &status)) {
        int code = errno;
        munmap(p, bytes);
        return code;
    }
    m->address = p;
    m->bytes = bytes;
    m->inode = (uint64_t)status.st_ino;
    return 0;
}

/* Make zeroed memory of `bytes`. Under Linux it has no name before fc_shm_publish, so that a creator killed here
   leaves nothing; elsewhere the ring's magic number, stored last, tells others to wait. */
static inline int fc_shm_create(fc_shm_t *m, const char *name, size_t bytes) {
    int code, fd = -1;
    memset(m, 0, sizeof *m);
    m->fd = -1;
    fc_shm_set_path(m, name);
#if defined(__linux__)
    char hidden[FC_SHM_NAME_MAX + 64];
    fc_shm_hidden(m, hidden);
    fd = open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)) {
        fd = open(hidden, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
        m->temporary = 1;
    }
    if (fd < 0) return errno;
    /* Reserves the pages: a full /dev/shm is ENOSPC now, not SIGBUS at the first record that has no page. */
    do code = posix_fallocate(fd, 0, (off_t)bytes);
    while (code == EINTR);
#else
    fd = shm_open(m->path, O_CREAT | O_EXCL | O_RDWR, 0600);
    if (fd < 0) return errno;
    code = ftruncate(fd, (off_t)bytes) ? errno : 0;
#endif
    if (!code) code = fc_shm_map(m, fd, bytes);
    if (code) {
        close(fd);
#if defined(__linux__)
        if (m->temporary) unlink(hidden);
#else
        shm_unlink(m->path);
#endif
        return code;
    }
    m->fd = fd;
    return 0;
}

/* Give complete memory its name; EEXIST where another has it. */
static inline int fc_shm_publish(fc_shm_t *m) {
    int code = 0;
#if defined(__linux__)
    char from[FC_SHM_NAME_MAX + 64];
    if (m->temporary) fc_shm_hidden(m, from);
    else snprintf(from, sizeof from, "/proc/self/fd/%d", m->fd);
    if (linkat(AT_FDCWD, from, AT_FDCWD, m->path, AT_SYMLINK_FOLLOW)) code = errno;
    if (m->temporary) unlink(from);
#endif
    close(m->fd);
    m->fd = -1;
    return code;
}

static inline int fc_shm_attach(fc_shm_t *m, const char *name, size_t least) {
    struct stat status;
    int code = 0, fd;
    memset(m, 0, sizeof *m);
    m->fd = -1;
    fc_shm_set_path(m, name);
#if defined(__linux__)
    fd = open(m->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
#else
    fd = shm_open(m->path, O_RDWR, 0);
#endif
    if (fd < 0) return errno;
    if (fstat(fd, &status)) code = errno;
    else if (m->uid = (unsigned)status.st_uid, m->mode = (unsigned)status.st_mode & 07777, m->uid != geteuid() || m->mode & 077) code = EPERM;
    else if (status.st_size < (off_t)least) m->bytes = (size_t)status.st_size; /* too short to be ours: the caller says so */
    else code = fc_shm_map(m, fd, (size_t)status.st_size);
    close(fd);
    return code;
}

/* In a forked child: the addresses stay, the memory is no longer the parent's. */
static inline int fc_shm_forget(fc_shm_t *m) {
#if defined(MAP_ANONYMOUS)
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE;
#else
    int flags = MAP_PRIVATE | MAP_ANON | MAP_FIXED;
#endif
    return mmap(m->address, m->bytes, PROT_READ | PROT_WRITE, flags, -1, 0) == MAP_FAILED ? errno : 0;
}

static inline void fc_shm_unmap(fc_shm_t *m) {
    if (m->address) munmap(m->address, m->bytes);
    if (m->fd >= 0) close(m->fd);
    m->address = NULL;
    m->fd = -1;
}

static inline int fc_shm_unlink(const char *name) {
    fc_shm_t m;
    fc_shm_set_path(&m, name);
#if defined(__linux__)
    return unlink(m.path) ? errno : 0;
#else
    return shm_unlink(m.path) ? errno : 0;
#endif
}

/* Remove the name if it still means this memory. */
static inline void fc_shm_unlink_own(const fc_shm_t *m) {
    struct stat status;
#if defined(__linux__)
    /* Under a lock on the memory itself: another remover between our look and our unlink could already have removed it,
       and the name could mean a new ring. Whoever has the lock is removing it: there is nothing to wait for. */
    int held = open(m->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (held < 0) return;
    if (!fstat(held, &status) && (uint64_t)status.st_ino == m->inode && !flock(held, LOCK_EX | LOCK_NB)) {
        if (!lstat(m->path, &status) && (uint64_t)status.st_ino == m->inode) unlink(m->path);
    }
    close(held);
#else
    int fd = shm_open(m->path, O_RDONLY, 0);
    if (fd < 0) return;
    int same = !fstat(fd, &status) && (uint64_t)status.st_ino == m->inode;
    close(fd);
    if (same) shm_unlink(m->path);
#endif
}
#endif

/* ---- who is alive: pid << 32 | low 32 bits of the start time, so that a pid used again is another process */

static inline uint64_t fc_process_of(uint64_t pid) {
    uint64_t started = 0;
#if defined(__linux__)
    char path[40], text[1024];
    snprintf(path, sizeof path, "/proc/%llu/stat", (unsigned long long)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        if (errno == ENOENT && !access("/proc/self/stat", R_OK)) return 0;
        return kill((pid_t)pid, 0) && errno == ESRCH ? 0 : pid << 32; /* no /proc here: the pid alone */
    }
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0) return 0; /* gone between open and read */
    text[n] = 0;
    const char *p = strrchr(text, ')'); /* the command may hold spaces and brackets */
    if (!p || p[1] != ' ') return pid << 32;
    if (p[2] == 'Z' || p[2] == 'X') return 0; /* dead, not yet waited for */
    for (int field = 2; p && field < 22; field++) p = strchr(p + 1, ' ');
    if (p) started = strtoull(p + 1, NULL, 10);
#elif defined(__APPLE__)
    struct kinfo_proc info;
    size_t size = sizeof info;
    int query[4] = {CTL_KERN, KERN_PROC, KERN_PROC_PID, (int)pid};
    if (sysctl(query, 4, &info, &size, NULL, 0) || size == 0 || info.kp_proc.p_stat == SZOMB) return 0;
    started = (uint64_t)info.kp_proc.p_starttime.tv_sec * 100 + (uint64_t)info.kp_proc.p_starttime.tv_usec / 10000;
#elif defined(_WIN32)
    FILETIME created, exited, kernel, user;
    DWORD status = 0;
    HANDLE h = OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, FALSE, (DWORD)pid);
    if (!h) return GetLastError() == ERROR_ACCESS_DENIED ? pid << 32 : 0;
    if (GetExitCodeProcess(h, &status) && status != STILL_ACTIVE) {
        CloseHandle(h);
        return 0;
    }
    if (GetProcessTimes(h, &created, &exited, &kernel, &user))
        started = (((uint64_t)created.dwHighDateTime << 32) | created.dwLowDateTime) / 100000;
    CloseHandle(h);
#else
    if (kill((pid_t)pid, 0) && errno == ESRCH) return 0;
#endif
    return pid << 32 | (started & 0xffffffffu);
}

static inline uint64_t fc_process_id(void) {
#if defined(_WIN32)
    return (uint64_t)GetCurrentProcessId();
#else
    return (uint64_t)getpid();
#endif
}

/* 1 while the process with this identity runs. */
static inline int fc_process_alive(uint64_t identity) { return identity && fc_process_of(identity >> 32) == identity; }

/* ---- waiting */

static inline int64_t fc_wait_now_ns(void) {
#if defined(_WIN32)
    LARGE_INTEGER now, rate;
    QueryPerformanceCounter(&now);
    QueryPerformanceFrequency(&rate);
    return now.QuadPart / rate.QuadPart * 1000000000 + now.QuadPart % rate.QuadPart * 1000000000 / rate.QuadPart;
#else
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
#endif
}

static inline void fc_wait_yield(void) {
#if defined(_WIN32)
    SwitchToThread();
#else
    sched_yield();
#endif
}

static inline void fc_wait_sleep(int64_t ns) {
#if defined(_WIN32)
    Sleep(ns < 1000000 ? 1 : (DWORD)(ns / 1000000));
#else
    struct timespec t = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
    nanosleep(&t, NULL);
#endif
}

/* One step of waiting: after a few pauses the chosen way. */
enum fc_wait { FC_WAIT_SPIN = 0, FC_WAIT_YIELD = 1, FC_WAIT_SLEEP = 2 };

static inline void fc_wait_step(int strategy, uint32_t step) {
    if (strategy == FC_WAIT_SPIN || step < 64) fc_pause();
    else if (strategy == FC_WAIT_YIELD) fc_wait_yield();
    else fc_wait_sleep(50000);
}

#endif
