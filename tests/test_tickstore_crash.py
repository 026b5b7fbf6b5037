"""Kill -9 of a writer at random moments: what was acknowledged is there, nobody saw half a record, and the test bites."""

import mmap
import os
import random
import shutil
import signal
import struct
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from fastcore import _bench, tickstore
from fastcore.errors import CorruptDataError
from fastcore.records import TICK_DTYPE
from hft.store import DirectoryStore

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")

KILLS = int(os.environ.get("FASTCORE_TEST_KILLS", "200"))
SEGMENT = 2048
DAY = 86_400 * 10**9


@pytest.fixture
def path(tmp_path):
    if os.path.isdir("/dev/shm") and os.access("/dev/shm", os.W_OK):
        folder = Path("/dev/shm") / f"fastcore-crash-{os.getpid()}-{tmp_path.name}"
        folder.mkdir()
        yield str(folder / "store")
        shutil.rmtree(folder)
    else:
        yield str(tmp_path / "store")


def rows(first, stop):
    """Ticks as ``_bench`` numbers them."""
    i = np.arange(first, stop, dtype=np.uint64)
    a = np.zeros(len(i), TICK_DTYPE)
    a["timestamp_ns"], a["symbol_id"], a["price"], a["volume"] = i, i & 0x7FFFFFFF, i * 0.5, i
    return a


def write(path, way, told, publish_first):
    """What the victim does: append for ever and say how far it is, in one of three ways."""
    store = tickstore.TickStore(path, "a", segment_records=SEGMENT, grow_ahead=way == "one")
    if way == "slow":
        _bench.store_crash_writer(store, told, 10**9, 60, publish_first)
    i = store.count
    if way == "one":
        while True:
            store.append(i, i & 0x7FFFFFFF, i * 0.5, i)
            i += 1
            told[0] = i
    chooser = random.Random(i)
    while True:
        n = chooser.choice((1, 7, 128, 1000, 5000))
        store.append_many(rows(i, i + n))
        i += n
        told[0] = i


def run_kills(path, kills, seed, ways, publish_first=False):
    """Kill so many writers of one store; returns what went wrong, as texts, and the records that were half written."""
    shared = mmap.mmap(-1, mmap.PAGESIZE)
    told = np.frombuffer(shared, np.uint64, 1)
    chooser = random.Random(seed)
    wrong, torn_off = [], 0
    tickstore.TickStore(path, "a", segment_records=SEGMENT).close()
    for round_ in range(kills):
        way = ways[round_ % len(ways)]
        told[0] = before = tickstore_count(path)
        pid = os.fork()
        if pid == 0:
            try:
                write(path, way, told, publish_first)
            finally:
                os._exit(1)
        seen = before
        until = time.monotonic() + chooser.uniform(0.0, 0.006) + (0.004 if told[0] == before else 0)
        try:
            with tickstore.TickStore(path) as reader:
                while time.monotonic() < until:
                    new = reader.records(seen)
                    if new.tobytes() != rows(seen, seen + len(new)).tobytes():
                        wrong.append(f"round {round_}: a reader saw a torn record after {seen}")
                        break
                    seen += len(new)
        except CorruptDataError as error:
            wrong.append(f"round {round_}: a reader could not open: {error}")
        except tickstore.StoreWarning as warning:
            wrong.append(f"round {round_}: a reader found records missing: {warning}")
        finally:
            os.kill(pid, signal.SIGKILL)
            status = os.waitpid(pid, 0)[1]
        assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
        acknowledged = int(told[0])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                store = tickstore.TickStore(path, "a")
            except CorruptDataError as error:
                wrong.append(f"round {round_}: {error}")
                return wrong, torn_off
        with store:
            count = store.count
            if caught:
                wrong.append(f"round {round_}: {caught[0].message}")
            if count < acknowledged:
                wrong.append(f"round {round_}: {acknowledged} records were acknowledged, {count} are there")
            if count < seen:
                wrong.append(f"round {round_}: a reader saw {seen} records, {count} are there")
            start = max(0, before - 300)
            if store.records(start).tobytes() != rows(start, count).tobytes():
                wrong.append(f"round {round_}: a stored record is not what was appended")
            # The place behind the last record: bytes of one that the victim had begun.
            if way == "slow" and 0 < count % SEGMENT:
                torn_off += half_written(path, count)
            if count < before:
                return wrong, torn_off
    return wrong, torn_off


def tickstore_count(path):
    with tickstore.TickStore(path, verify=False) as store:
        return store.count


def half_written(path, count):
    segment, index = divmod(count, SEGMENT)
    with open(path, "rb") as file:
        file.seek(65536 + segment * (65536 + SEGMENT * 32) + 65536 + index * 32)
        stamp, _, price, _ = struct.unpack("@QIdd", file.read(32))
    return stamp == count and stamp != 0 and price != count * 0.5


def test_kill_at_random_moments_loses_no_acknowledged_record(path):
    wrong, torn_off = [], 0
    for part in range(5):
        name = f"{path}-{part}"
        found, torn = run_kills(name, KILLS // 5, part, ("slow", "one", "slow", "many"))
        wrong += found
        torn_off += torn
        with tickstore.TickStore(name) as store:
            assert store.records().tobytes() == rows(0, store.count).tobytes()
            assert store.info()["epoch"] > KILLS // 5
        os.unlink(name)
    assert wrong == []
    # The kills hit writers inside a record, or this test proves nothing.
    assert torn_off >= KILLS // 20


def test_the_check_notices_a_writer_that_publishes_before_it_writes(path):
    # On a busy machine the reader may miss its moment ten times in a row, but not a hundred.
    wrong = []
    for part in range(10):
        wrong += run_kills(f"{path}-{part}", 10, 2 + part, ("slow",), publish_first=True)[0]
        if any("torn record" in text or "does not match" in text for text in wrong):
            return
    raise AssertionError(wrong)


def test_recovery_notices_a_writer_that_publishes_before_it_writes(path):
    """Without any reader: the kill alone must show it."""
    shared = mmap.mmap(-1, mmap.PAGESIZE)
    told = np.frombuffer(shared, np.uint64, 1)
    noticed = 0
    for round_ in range(12):
        name = f"{path}-{round_}"
        told[0] = 0
        pid = os.fork()
        if pid == 0:
            try:
                write(name, "slow", told, True)
            finally:
                os._exit(1)
        while told[0] < 1000:
            time.sleep(0.0005)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", tickstore.StoreWarning)
            with tickstore.TickStore(name, "a") as store:
                noticed += store.recovery is not None and store.count < told[0]
    assert noticed >= 3


MODES = {
    "memory": {},
    "memory, flushed": {},
    "memory, grown by the writer": {"grow_ahead": False},
    "interval": {"sync": "interval", "sync_interval_s": 0.002},
    "commit": {"sync": "commit"},
}


def dated(first, stop):
    """Ticks of which 20,000 make a day, for two groups."""
    a = rows(first, stop)
    a["timestamp_ns"] = np.arange(first, stop, dtype=np.uint64) * np.uint64(DAY // 20_000)
    a["symbol_id"] = np.arange(first, stop) % 2
    return a


def opened(kind, path, mode):
    options = MODES[mode]
    if kind == "store":
        return tickstore.TickStore(path, "a", segment_records=SEGMENT, **options)
    options = {name: value for name, value in options.items() if name != "grow_ahead"}  # a directory never does
    return DirectoryStore(path, "a", groups=2, segment_records=SEGMENT, **options)


def append_for_ever(store, mode, first, told):
    chooser = random.Random(first)
    while True:
        n = chooser.choice((1, 7, 128, 1000, 5000))
        store.append_many(dated(first, first + n))
        if mode == "memory, flushed":
            store.flush()
        first += n
        told[0] = first


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["store", "directory"])
def test_kill_in_any_mode_loses_no_acknowledged_record(path, kind, mode):
    shared = mmap.mmap(-1, mmap.PAGESIZE)
    told = np.frombuffer(shared, np.uint64, 1)
    chooser = random.Random(f"{kind} {mode}")
    kills, acknowledged, first = 0, [], 0
    while kills < max(5, KILLS // 20):
        if kills % 20 == 0:
            name = f"{path}-{kills}"
            acknowledged, first = [], 0
        told[0] = first
        pid = os.fork()
        if pid == 0:
            try:
                append_for_ever(opened(kind, name, mode), mode, first, told)
            finally:
                os._exit(1)
        while told[0] == first and os.waitpid(pid, os.WNOHANG) == (0, 0):
            time.sleep(0.0002)
        time.sleep(chooser.uniform(0.0, 0.01))
        os.kill(pid, signal.SIGKILL)
        status = os.waitpid(pid, 0)[1]
        assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
        acknowledged.append((first, int(told[0])))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with opened(kind, name, mode) as store:
                found = store.query()
        numbers = np.sort((found["timestamp_ns"] // np.uint64(DAY // 20_000)).astype(np.int64))
        assert (np.diff(numbers) > 0).all(), "no record is there twice"
        for start, stop in acknowledged:
            part = numbers[np.searchsorted(numbers, start) : np.searchsorted(numbers, stop)]
            assert len(part) == stop - start, f"kill {kills}: acknowledged {start}..{stop}, there {len(part)}"
        if len(found):
            whole = dated(0, int(numbers[-1]) + 1)
            assert found.tobytes() == whole.view("V32")[numbers].tobytes(), f"kill {kills}: a record is not what was appended"
            first = int(numbers[-1]) + 1
        kills += 1
        if kills % 20 == 0:
            shutil.rmtree(name) if kind == "directory" else os.unlink(name)


@pytest.mark.parametrize("stage", ["posix_fallocate", "write", "fsync", "rename"])
def test_a_creator_killed_at_any_step_leaves_a_path_that_can_be_used(path, stage):
    """Die right before each system call of the creation, by a limit or a patched call."""
    pid = os.fork()
    if pid == 0:
        if stage == "posix_fallocate":
            import resource

            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        else:
            setattr(os, stage, lambda *args: os.kill(os.getpid(), signal.SIGKILL))
        try:
            tickstore.TickStore(path, "x")
        except OSError:
            os.kill(os.getpid(), signal.SIGKILL)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    assert not os.path.exists(path)
    with tickstore.TickStore(path, "a", segment_records=SEGMENT) as store:
        store.append(1, 1, 1.0, 1.0)
    assert sorted(os.listdir(os.path.dirname(path))) == ["store", "store.lock"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="drops the page cache of Linux")
def test_flushed_records_are_on_the_disk(tmp_path):
    """Not a power cut, but: after flush, the file read past the page cache holds the records."""
    path = str(tmp_path / "store")
    with tickstore.TickStore(path, "a", segment_records=SEGMENT) as store:
        store.append_many(rows(0, 5000))
        store.flush()
        fd = os.open(path, os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)
        with tickstore.TickStore(path) as reader:
            assert reader.records().tobytes() == rows(0, 5000).tobytes()
