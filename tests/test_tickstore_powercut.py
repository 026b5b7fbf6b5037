"""Power cuts: a file system that is shut down under the writer, without its log, keeps what was acknowledged as synced.

An ext4 image is mounted through a loop device; its shutdown ioctl throws away everything that the system had not written, as losing power
does. Needs root on Linux, and skips where it is not to be had.
"""

import array
import mmap
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from fastcore.errors import CorruptDataError
from fastcore.records import TICK_DTYPE
from fastcore.tickstore import StoreWarning, TickStore
from hft.store import DirectoryStore

fcntl = pytest.importorskip("fcntl")

CUTS = int(os.environ.get("FASTCORE_TEST_POWER_CUTS", "12"))
SHUTDOWN, WITHOUT_LOG = 0x8004587D, 2  # EXT4_IOC_SHUTDOWN, EXT4_GOING_FLAGS_NOLOGFLUSH
SEGMENT = 2048
DAY = 86_400 * 10**9

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="mounting needs root on Linux"),
    pytest.mark.skipif(not (shutil.which("mkfs.ext4") and shutil.which("mount")), reason="needs mkfs.ext4 and mount"),
]


class Disk:
    """A disk that can lose its power."""

    def __init__(self, folder):
        self.image = folder / "image"
        self.place = folder / "mounted"
        self.place.mkdir()
        with open(self.image, "wb") as file:
            file.truncate(96 << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", str(self.image)], check=True, capture_output=True)
        self.mounted = False

    def mount(self):
        done = subprocess.run(["mount", "-o", "loop", str(self.image), str(self.place)], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"no loop mount here: {done.stderr.strip()}")
        self.mounted = True

    def cut(self):
        fd = os.open(self.place, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, SHUTDOWN, array.array("I", [WITHOUT_LOG]))
        except OSError as error:
            pytest.skip(f"no shutdown of this file system: {error}")
        finally:
            os.close(fd)

    def unmount(self):
        if not self.mounted:
            return
        for _ in range(100):
            if subprocess.run(["umount", str(self.place)], capture_output=True).returncode == 0:
                self.mounted = False
                return
            time.sleep(0.05)
        subprocess.run(["umount", "-l", str(self.place)], check=True)
        self.mounted = False


@pytest.fixture
def disk(tmp_path):
    memory = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else tmp_path
    folder = memory / f"fastcore-powercut-{os.getpid()}"
    folder.mkdir()
    found = Disk(folder)
    try:
        yield found
    finally:
        found.unmount()
        shutil.rmtree(folder)


def rows(first, stop):
    i = np.arange(first, stop, dtype=np.uint64)
    a = np.zeros(len(i), TICK_DTYPE)
    a["timestamp_ns"] = i * np.uint64(DAY // 5000)  # several days, for the directory
    a["symbol_id"], a["price"], a["volume"] = i % 5, i * 0.5, i
    return a


def write(path, way, told):
    """What the victim does: append for ever and say how far it is on the disk."""
    chooser = random.Random(int(told[0]))
    store = TickStore(path, "a", segment_records=SEGMENT, sync="commit" if way == "commit" else "memory")
    i = len(store)
    while True:
        n = chooser.choice((1, 7, 128, 1000))
        store.append_many(rows(i, i + n))
        i += n
        if way == "flush" and chooser.random() < 0.2:
            store.flush()
            told[0] = i
        elif way != "flush":
            told[0] = i  # with "unsynced", which is the mutant, a lie


def victim(work, *arguments):
    """Start a child that runs until it is killed; a disk without power is an error for it, and no news."""
    pid = os.fork()
    if pid == 0:
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            work(*arguments)
        finally:
            os._exit(1)
    return pid


def end(pid):
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def cuts(disk, way, seed):
    """Cut the power so many times while one store is written; return what went wrong and how often the cut tore something off."""
    shared = mmap.mmap(-1, mmap.PAGESIZE)
    told = np.frombuffer(shared, np.uint64, 1)
    chooser = random.Random(seed)
    path = str(disk.place / "store")
    wrong, torn = [], 0
    for number in range(CUTS):
        disk.mount()
        pid = victim(write, path, way, told)
        before, until = int(told[0]), time.monotonic() + 5
        while int(told[0]) == before and time.monotonic() < until:
            time.sleep(0.001)
        time.sleep(chooser.uniform(0.0, 0.03))
        disk.cut()
        time.sleep(0.002)
        end(pid)
        acknowledged = int(told[0])  # nothing is acknowledged on a disk without power
        disk.unmount()
        disk.mount()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", StoreWarning)
            try:
                with TickStore(path, "a") as store:
                    records, count = store.records().tobytes(), len(store)
            except (CorruptDataError, FileNotFoundError) as error:
                wrong.append(f"cut {number}: {error}")
                return wrong, torn
        torn += bool(caught)
        if count < acknowledged:
            wrong.append(f"cut {number}: {acknowledged} records were synced, {count} are there")
        if records != rows(0, count).tobytes():
            wrong.append(f"cut {number}: a stored record is not what was appended")
        told[0] = count
        disk.unmount()
    assert told[0] > 0 or way == "unsynced"
    return wrong, torn


@pytest.mark.parametrize("way", ["commit", "flush"])
def test_a_power_cut_loses_no_synced_record(disk, way):
    wrong, torn = cuts(disk, way, 1)
    assert wrong == []
    assert torn > 0 or CUTS < 60, "the cuts tear something off, or this test proves nothing"


def test_the_check_notices_a_writer_that_acknowledges_before_it_syncs(disk):
    wrong, _ = cuts(disk, "unsynced", 2)
    assert any("were synced" in text for text in wrong), wrong


@pytest.mark.parametrize("to", ["stores", "parquet"])
def test_a_power_cut_during_a_compaction_loses_nothing(disk, to):
    pytest.importorskip("pyarrow")
    records = rows(0, 20_000)
    root, copy = disk.place / "store", disk.image.parent / "copy"
    with DirectoryStore(copy, "a", groups=2, segment_records=8 * SEGMENT) as store:
        store.append_many(records)
    chooser = random.Random(3)
    half = 0

    def at_work():
        return any(".new-" in name for _, _, names in os.walk(root) for name in names)

    for number in range(CUTS):
        disk.mount()
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(copy, root)
        subprocess.run(["sync", "-f", str(root)], check=True)
        pid = victim(lambda: DirectoryStore(root).compact("2030-01-01", to))
        # Every fourth cut comes at any time, the others once the work is under way, however fast the machine.
        while number % 4 and not at_work() and not os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            pass
        time.sleep(chooser.uniform(0.0, 0.04))
        half += at_work()
        disk.cut()
        end(pid)
        disk.unmount()
        disk.mount()
        with DirectoryStore(root) as store:
            assert store.query().tobytes() == DirectoryStore(copy).query().tobytes()
            store.compact("2030-01-01", to)
            found = store.query()
            assert found.tobytes() == DirectoryStore(copy).query().tobytes()
            assert sorted(found["volume"].tolist()) == list(range(20_000))
        del store, found
        disk.unmount()
    assert half > 0 or CUTS < 10, "the cuts hit compactions at work, or this test proves nothing"
