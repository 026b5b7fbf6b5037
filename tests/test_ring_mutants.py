"""Do the tests bite? The headers of the rings with one line broken must fail where the real ones pass.

A small C program drives the copies of ``fc_ring.h`` from two POSIX threads: an overrun slot for torn reads, and a slot with a
commit word under ThreadSanitizer, which finds a relaxed store where release is due even on x86.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import fastcore

CC = shutil.which("gcc") or shutil.which("cc") or shutil.which("clang")
pytestmark = pytest.mark.skipif(os.name != "posix" or CC is None, reason="needs a C compiler and POSIX threads")

DRIVER = r"""
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "fc_ring.h"

static _Alignas(64) uint64_t slots[2][8], tail;
static uint64_t stop, limit;

static void *overrun_writer(void *unused) {
    uint64_t record[8];
    for (uint64_t seq = 1; !fc_load_relaxed(&stop); seq++) {
        for (int i = 0; i < 8; i++) record[i] = seq;
        fc_record_write(slots[seq & 1], record, 64, seq);
    }
    return unused;
}

static long overrun_reader(long seconds) {
    uint64_t record[8];
    long torn = 0, start = (long)time(NULL);
    for (uint64_t n = 0; torn == 0; n++) {
        uint64_t seq = fc_load_acquire(slots[n & 1]);
        if (!(seq & FC_RING_WRITING) && fc_record_read(record, slots[n & 1], 64, seq) == 1 && seq)
            for (int i = 0; i < 8; i++) torn += record[i] != seq;
        if (n % 1024 == 0 && (long)time(NULL) - start > seconds) break;
    }
    fc_store_relaxed(&stop, 1);
    return torn;
}

static void *commit_writer(void *unused) {
    uint64_t record[8];
    for (uint64_t seq = 1; seq <= limit; seq++) {
        while (fc_load_acquire(&tail) + 2 < seq) sched_yield();
        for (int i = 0; i < 8; i++) record[i] = seq;
        fc_record_put(slots[seq & 1], record, 64);
        fc_store_release(slots[seq & 1], seq);
    }
    return unused;
}

static long commit_reader(void) {
    uint64_t record[8];
    long torn = 0;
    for (uint64_t seq = 1; seq <= limit; seq++) {
        while (fc_load_acquire(slots[seq & 1]) != seq) sched_yield();
        fc_record_get(record, slots[seq & 1], 64);
        for (int i = 0; i < 8; i++) torn += record[i] != seq;
        fc_store_release(&tail, seq);
    }
    return torn;
}

int main(int count, char **arguments) {
    pthread_t writer;
    int overrun = arguments[1][0] == 'o';
    long number = atol(arguments[2]), torn;
    limit = (uint64_t)number;
    pthread_create(&writer, NULL, overrun ? overrun_writer : commit_writer, NULL);
    torn = overrun ? overrun_reader(number) : commit_reader();
    pthread_join(writer, NULL);
    printf("%ld\n", torn);
    return count != 3;
}
"""


def run(tmp_path, mutation, mode, number, *flags):
    """Build the driver on headers in which `mutation` (file, old, new) has been applied; its output and exit code."""
    include = tmp_path / "include"
    shutil.copytree(fastcore.get_include(), include)
    if mutation:
        file, old, new = mutation
        text = (include / file).read_text()
        assert text.count(old) == 1, "the mutated line is no longer there"
        (include / file).write_text(text.replace(old, new))
    (tmp_path / "driver.c").write_text(DRIVER)
    program = Path(tmp_path) / "driver"
    build = [CC, "-std=gnu11", "-O2", *flags, "-I", str(include), str(tmp_path / "driver.c"), "-o", str(program), "-pthread"]
    built = subprocess.run(build, capture_output=True, text=True)
    if built.returncode and flags:
        pytest.skip(f"cannot build with {flags}: {built.stderr[-200:]}")
    assert built.returncode == 0, built.stderr
    environment = os.environ | {"TSAN_OPTIONS": "exitcode=66"}
    environment.pop("LD_PRELOAD", None)
    done = subprocess.run([str(program), mode, str(number)], capture_output=True, text=True, timeout=120, env=environment)
    if "FATAL: ThreadSanitizer" in done.stderr:
        pytest.skip("ThreadSanitizer does not run on this kernel")
    return done


def test_overrun_reads_are_whole(tmp_path):
    assert run(tmp_path, None, "overrun", 1).stdout == "0\n"


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two cores to meet in a slot")
@pytest.mark.parametrize(
    "mutation",
    [
        ("fc_ring.h", "return fc_load_relaxed(s) == seq ? 1 : -1;", "return 1;"),
        ("fc_ring.h", "    fc_store_release(d, seq | FC_RING_WRITING);", "    fc_store_release(d, seq);"),
    ],
    ids=["no second look", "no mark"],
)
def test_overrun_mutants_are_torn(tmp_path, mutation):
    assert run(tmp_path, mutation, "overrun", 20).stdout != "0\n"


def test_commit_word_is_clean_under_thread_sanitizer(tmp_path):
    done = run(tmp_path, None, "commit", 2000, "-fsanitize=thread")
    assert (done.stdout, done.returncode) == ("0\n", 0), done.stderr


def test_relaxed_commit_is_found_by_thread_sanitizer(tmp_path):
    mutation = ("fc_atomic.h", "__atomic_store_n(p, v, __ATOMIC_RELEASE)", "__atomic_store_n(p, v, __ATOMIC_RELAXED)")
    done = run(tmp_path, mutation, "commit", 2000, "-fsanitize=thread")
    assert done.returncode == 66
    assert "data race" in done.stderr


def test_relaxed_read_is_found_by_thread_sanitizer(tmp_path):
    mutation = ("fc_atomic.h", "__atomic_load_n(p, __ATOMIC_ACQUIRE)", "__atomic_load_n(p, __ATOMIC_RELAXED)")
    done = run(tmp_path, mutation, "commit", 2000, "-fsanitize=thread")
    assert done.returncode == 66
    assert "data race" in done.stderr
