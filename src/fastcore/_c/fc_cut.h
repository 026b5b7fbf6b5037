/* Mapped files that somebody cuts: touching what is gone would end the process (SIGBUS).

   A range of addresses is watched for as long as it is mapped. The first touch of a page that its file no longer has puts a page of
   0xFF in its place (no price is a number there, no kind is one) and marks the range as cut; who reads asks for the mark before it
   believes what it has read. Faults elsewhere go to the handler that was there before. */
#ifndef FC_CUT_H
#define FC_CUT_H

#include <stdlib.h>
#include <string.h>

#include "fc_atomic.h"
#include "fc_platform.h"

typedef struct fc_watch {
    uint64_t begin, end; /* addresses; 0, 0: the node is free */
    uint64_t cut;        /* 1: a page was missing */
    struct fc_watch *next;
} fc_watch_t;

#if defined(_WIN32) /* a mapped file cannot be cut there */
static inline fc_watch_t *fc_watch(const void *p, size_t bytes) { (void)p, (void)bytes; return (fc_watch_t *)calloc(1, sizeof(fc_watch_t)); }
static inline void fc_unwatch(fc_watch_t *watch) { free(watch); }
#else
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

/* Nodes are never freed, so that the handler can walk them; free ones are used again. */
static uint64_t fc_watch_first; /* the address of a node */
static uint64_t fc_watch_free, fc_watch_busy, fc_watch_passed_on, fc_watch_page;
static struct sigaction fc_watch_before;

static void fc_watch_fault(int number, siginfo_t *info, void *context) {
    uint64_t at = (uint64_t)(uintptr_t)info->si_addr;
    if (info->si_code > 0)
        for (fc_watch_t *w = (fc_watch_t *)(uintptr_t)fc_load_acquire(&fc_watch_first); w; w = w->next)
            if (fc_load_acquire(&w->begin) <= at && at < fc_load_acquire(&w->end)) {
                void *page = (void *)(uintptr_t)(at & ~(fc_watch_page - 1));
                if (mmap(page, fc_watch_page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED) break;
                memset(page, 0xFF, fc_watch_page);
                fc_store_release(&w->cut, 1);
                return;
            }
    if (fc_load_acquire(&fc_watch_passed_on) != at) { /* another module's range is mended behind it; the same place twice is not */
        fc_store_release(&fc_watch_passed_on, at);
        if (fc_watch_before.sa_flags & SA_SIGINFO) {
            fc_watch_before.sa_sigaction(number, info, context);
            return;
        }
        if (fc_watch_before.sa_handler != SIG_DFL && fc_watch_before.sa_handler != SIG_IGN) {
            fc_watch_before.sa_handler(number);
            return;
        }
    }
    signal(number, SIG_DFL);
    raise(number);
}

static inline void fc_watch_lock(void) {
    uint64_t idle = 0;
    while (!fc_compare_exchange(&fc_watch_busy, &idle, 1)) idle = 0;
}

/* Watch a range; NULL without memory. */
static inline fc_watch_t *fc_watch(const void *p, size_t bytes) {
    fc_watch_lock();
    struct sigaction now;
    if (!sigaction(SIGBUS, NULL, &now) && !(now.sa_flags & SA_SIGINFO && now.sa_sigaction == fc_watch_fault)) {
        struct sigaction mine;
        memset(&mine, 0, sizeof mine);
        mine.sa_sigaction = fc_watch_fault;
        mine.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
        fc_watch_before = now;
        fc_watch_page = (uint64_t)sysconf(_SC_PAGESIZE);
        sigaction(SIGBUS, &mine, NULL);
    }
    fc_watch_t *first = (fc_watch_t *)(uintptr_t)fc_watch_first, *w = first;
    if (fc_watch_free) {
        while (w->end) w = w->next;
        fc_watch_free--;
    } else if ((w = (fc_watch_t *)calloc(1, sizeof *w))) {
        w->next = first;
        fc_store_release(&fc_watch_first, (uint64_t)(uintptr_t)w);
    }
    if (w) {
        fc_store_release(&w->cut, 0);
        fc_store_release(&w->begin, (uint64_t)(uintptr_t)p);
        fc_store_release(&w->end, (uint64_t)(uintptr_t)p + bytes);
    }
    fc_store_release(&fc_watch_busy, 0);
    return w;
}

static inline void fc_unwatch(fc_watch_t *w) {
    fc_watch_lock();
    fc_store_release(&w->end, 0);
    fc_store_release(&w->begin, 0);
    fc_watch_free++;
    fc_store_release(&fc_watch_busy, 0);
}
#endif
#endif
