"""Stores under attack: crafted headers, links, stolen locks, files that are cut, replaced or deleted, and plain misuse.

What is right is said where it is promised, in docs/reliability.md and docs/security.md.
"""

import contextlib
import errno
import json
import os
import shutil
import signal
import stat
import struct
import subprocess
import sys
import threading
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from fastcore import store_header, tickstore
from fastcore.desk import Desk
from fastcore.engine import Engine
from fastcore.errors import CorruptDataError, LayoutError, StoreError, StoreLockedError
from fastcore.market import Market
from fastcore.records import EVENT_DTYPE, KINDS, NO_PRICE, TICK_DTYPE
from fastcore.reference import tickstore as twin
from fastcore.sim.simulator import Simulator
from fastcore.source import EventSource
from fastcore.store_files import create
from fastcore.strategies.tape import Tape
from fastcore.tickstore import TickStore
from hft.store import DirectoryStore, index

fcntl = pytest.importorskip("fcntl")

MODULE = "tickstore"
BASE, TABLE, SEGMENT = 65536, 65536, 2048
DAY = 86_400 * 10**9
SANITIZED = "san" in os.environ.get("LD_PRELOAD", "")
FIRST = 19_790  # 2024-03-08


def ticks(n, first=0, time_ns=FIRST * DAY):
    a = np.zeros(n, TICK_DTYPE)
    i = np.arange(first, first + n)
    a["timestamp_ns"] = time_ns + 10 * i
    a["symbol_id"] = i % 7
    a["price"], a["volume"] = 100 + i * 0.25, i + 1
    return a


def same(a, b):
    return len(a) == len(b) and all((a[name] == b[name]).all() for name in b.dtype.names)


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "ticks.store")


@pytest.fixture
def small(path):
    """A closed store of 300 ticks in a segment of 2,048."""
    with TickStore(path, "a", segment_records=SEGMENT) as store:
        store.append_many(ticks(300))
    return path


def patch(path, offset, data):
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(data)


def python(code, *arguments, **options):
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=120, **options
    )


def hft(*arguments):
    return python("from hft.cli import main; main()", *arguments)


# ---- a store that is handed over


def test_tape_refuses_a_store_of_other_records(tmp_path):
    for dtype in (EVENT_DTYPE, [("a", "u8")], [("timestamp_ns", "u8"), ("x", "S24")]):
        path = tmp_path / f"{np.dtype(dtype).itemsize}"
        with TickStore(path, "a", np.dtype(dtype)) as store, pytest.raises(LayoutError, match="ticks go into a store of ticks"):
            Tape(0, store)
        path.unlink()


@pytest.mark.parametrize("dtype", [EVENT_DTYPE, [("a", "u8")]])
def test_a_run_leaves_a_store_of_other_records_as_it_is(tmp_path, dtype):
    path = tmp_path / "a.ticks"
    with TickStore(path, "a", np.dtype(dtype)) as store:
        store.append_many(np.zeros(100, dtype))
    before = path.read_bytes()
    done = hft("demo", "--store", path)
    assert done.returncode == 4, done.stderr
    assert "the store holds other records" in done.stderr
    assert "Traceback" not in done.stderr
    assert path.read_bytes() == before


def test_a_run_does_not_write_the_store_that_it_reads(small):
    link = small + ".link"
    os.symlink(small, link)
    for written in (small, link):
        done = hft("replay", small, "--symbol", "1", "--store", written)
        assert done.returncode == 1, done.stderr
        assert "a run must not write the store that it reads" in done.stderr
    with TickStore(small) as store:
        assert len(store) == 300


def test_executions_that_are_no_tick_are_counted_and_not_stored(tmp_path):
    with TickStore(tmp_path / "ticks", "a") as store:
        trades = np.zeros(6, EVENT_DTYPE)
        trades["kind"], trades["exch_ns"], trades["price"], trades["size"] = KINDS["trade"], 5, 10_000, 7
        trades["exch_ns"][1], trades["price"][2], trades["size"][3] = -1, NO_PRICE, -7
        tape, market = Tape(0, store), Market()
        source = Simulator(EventSource([trades]), market)
        source.open(0)
        Engine(source, market, Desk(), {"tape": tape}).run()
        assert store.records().tolist() == [(5, 0, 1.0, 7.0)] * 3
        assert tape.refused == 3


# ---- names beside a store


def test_creating_a_store_removes_nothing_of_others(tmp_path):
    kept = [
        "a.ticks.new-important.bak",
        "a.ticks.new-77",
        "a.ticks.new-99999999-0123abcd",
        "a.ticks.new-99999999-0123abcd.lock",
    ]
    for name in kept:
        (tmp_path / name).write_bytes(b"important\n")
    (tmp_path / "a.ticks.new-1-00000000").mkdir()
    with TickStore(tmp_path / "a.ticks.new-2024", "a") as other, TickStore(tmp_path / "a.ticks", "a") as store:
        other.append_many(ticks(5))
        store.append_many(ticks(3))
        other.flush()
    assert all((tmp_path / name).read_bytes() == b"important\n" for name in kept)
    with TickStore(tmp_path / "a.ticks.new-2024") as other:
        assert len(other) == 5


def test_creating_a_store_removes_what_a_killed_creator_left(tmp_path):
    gone = tmp_path / "a.ticks.new-99999999-0123abcd"
    gone.write_bytes(b"FCSTORE\0" + bytes(100))
    (tmp_path / "a.ticks.new-99999999-00000000").touch()
    alive = tmp_path / f"a.ticks.new-{os.getpid()}-0123abcd"
    alive.write_bytes(b"FCSTORE\0")
    TickStore(tmp_path / "a.ticks", "a").close()
    assert sorted(os.listdir(tmp_path)) == ["a.ticks", "a.ticks.lock", alive.name]


def test_compaction_removes_nothing_of_others(tmp_path):
    with DirectoryStore(tmp_path / "d", "a", groups=2) as store:
        store.append_many(ticks(100))
    day = tmp_path / "d" / "2024-03-08"
    for name in ("notes.new-77", "group-00.ticks.new-77", "group-00.ticks.compact-77", "day.parquet.new-1-0123abcd"):
        (day / name).write_bytes(b"important")
    with DirectoryStore(tmp_path / "d") as store:
        assert store.compact("2024-03-09")
    assert (day / "notes.new-77").exists()
    assert (day / "group-00.ticks.new-77").exists()
    assert (day / "group-00.ticks.compact-77").exists()
    assert (day / "day.parquet.new-1-0123abcd").exists()


def test_a_parquet_file_of_others_costs_no_partition(tmp_path):
    pytest.importorskip("pyarrow")
    root = tmp_path / "d"
    with DirectoryStore(root, "a", groups=2) as store:
        store.append_many(ticks(100))
        other = DirectoryStore(tmp_path / "other", "a", groups=2)
        other.append_many(ticks(50))
        other.close()
    with DirectoryStore(tmp_path / "other") as other:
        other.compact("2024-03-09", "parquet")
    day = root / "2024-03-08"
    shutil.copy(tmp_path / "other" / "2024-03-08" / "day.parquet", day)
    for to in ("stores", "parquet"):
        with DirectoryStore(root) as store, pytest.raises(StoreError, match="must hold what the partitions beside it hold"):
            store.compact("2024-03-09", to)
    (day / "day.parquet").unlink()
    (root / ".pruned-notes").mkdir()
    (root / ".pruned-2024-03-01").touch()
    with DirectoryStore(root) as store:
        assert len(store.query()) == 100
        assert store.prune("2024-03-01") == []
    assert {".pruned-notes", ".pruned-2024-03-01"} <= set(os.listdir(root))


# ---- one writer


@pytest.mark.parametrize("module", [tickstore, twin])
def test_a_writer_whose_lock_file_is_gone_still_holds_the_store(path, module):
    with module.TickStore(path, "a") as store:
        os.unlink(path + ".lock")
        for other in (tickstore, twin):
            with pytest.raises(StoreLockedError, match=rf"writer_pid={os.getpid()} \(its lock file is gone\)"):
                other.TickStore(path, "a")
        store.append(1, 1, 1.0, 1.0)
    with module.TickStore(path, "a") as store:
        assert len(store) == 1


@pytest.mark.parametrize("module", [tickstore, twin])
def test_a_store_with_a_second_name_is_read_and_not_written(small, module):
    os.link(small, small + ".other")
    for name in (small, small + ".other"):
        with pytest.raises(StoreError, match=r"must have one name \(hard links are refused\): .*links=2"):
            module.TickStore(name, "a")
        with module.TickStore(name) as store:
            assert len(store) == 300


@pytest.mark.parametrize("kind", ["symlink", "hard link", "text", "directory"])
def test_what_has_the_name_of_a_lock_and_is_none_is_left_alone(small, tmp_path, kind):
    lock, precious = small + ".lock", tmp_path / "precious"
    os.unlink(lock)
    precious.write_bytes(b"my thesis\n" * 100)
    if kind == "directory":
        os.mkdir(lock)
    else:
        {"symlink": os.symlink, "hard link": os.link, "text": shutil.copy}[kind](precious, lock)
    with pytest.raises((StoreError, IsADirectoryError), match=r"a lock must be a file of its own|Is a directory"):
        TickStore(small, "a")
    assert precious.read_bytes() == b"my thesis\n" * 100
    if kind == "text":
        assert Path(lock).read_bytes() == precious.read_bytes()


def test_a_lock_that_a_power_cut_left_as_zeros_is_a_lock(small):
    Path(small + ".lock").write_bytes(bytes(5))
    with TickStore(small, "a"), pytest.raises(StoreLockedError, match=rf"writer_pid={os.getpid()}$"):
        TickStore(small, "a")


@pytest.mark.parametrize("name", ["", ".lock"])
def test_a_lock_of_a_reader_does_not_keep_the_writer_out(small, name):
    """An flock takes no more than permission to read; so does a reading lock on the data."""
    fd = os.open(small + name, os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    TickStore(small, "a").close()
    if not name:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, struct.pack("@hhqqi4x", fcntl.F_RDLCK, 0, 0, 0, 0))
        TickStore(small, "a").close()
    os.close(fd)


def test_files_are_their_owners_alone_unless_another_mode_is_stated(tmp_path):
    def modes(folder):
        return {stat.S_IMODE(entry.stat().st_mode) for entry in folder.rglob("*") if entry.is_file()}

    before = os.umask(0)
    try:
        with TickStore(tmp_path / "a", "a") as store:
            store.append(1, 1, 1.0, 1.0)
        assert modes(tmp_path) == {0o600}
        with TickStore(tmp_path / "b", "a", file_mode=0o640):
            assert stat.S_IMODE((tmp_path / "b").stat().st_mode) == 0o640
            assert stat.S_IMODE((tmp_path / "b.lock").stat().st_mode) == 0o600, "who only reads cannot open it"
        for mode, lock in ((None, 0o600), (0o664, 0o660)):
            root = tmp_path / f"d{mode}"
            for _ in range(2):
                with DirectoryStore(root, "a", groups=2, file_mode=mode) as store:
                    store.symbols.add_many(["A"])
                    store.append_many(ticks(100))
                    store.append_many(ticks(100, time_ns=(FIRST + 1) * DAY))
                mode = None  # it is that of store.json
            with DirectoryStore(root) as store:
                store.compact("2024-03-09")
                store.compact("2024-03-10", "parquet")
            assert modes(root) <= {lock, 0o600 if lock == 0o600 else 0o664}
            assert stat.S_IMODE((root / "2024-03-08").stat().st_mode) == (0o700 if lock == 0o600 else 0o775)
        for wrong in (0o200, 0o700, 0o1600, -1, "600"):
            with pytest.raises(ValueError, match="file_mode must be permissions"):
                TickStore(tmp_path / "c", "a", file_mode=wrong)
    finally:
        os.umask(before)


# ---- files that change under a writer or a reader


def deleted(path):
    os.unlink(path)


def replaced(path):
    shutil.copy(path, path + ".copy")
    os.replace(path + ".copy", path)


def moved(path):
    os.rename(path, path + ".moved")


def cut(path):
    os.truncate(path, BASE + TABLE + 4096)


def emptied(path):
    os.truncate(path, 0)


@pytest.mark.parametrize("module", [tickstore, twin])
@pytest.mark.parametrize("change", [deleted, replaced, moved, cut, emptied])
@pytest.mark.parametrize("act", ["flush", "grow", "close"])
def test_a_writer_says_that_its_file_is_gone(path, module, change, act):
    store = module.TickStore(path, "a", segment_records=SEGMENT, grow_ahead=False)
    store.append_many(ticks(2000))
    change(path)
    act_ = {"flush": store.flush, "grow": lambda: store.append_many(ticks(100)), "close": store.close}[act]
    with pytest.raises(StoreError, match="the file was deleted, replaced, moved or cut while it was written"):
        act_()
    if act == "flush":
        with pytest.raises(StoreError, match="the file was deleted, replaced, moved or cut"):
            store.append_many(ticks(1000))
    with contextlib.suppress(StoreError):
        store.close()
    assert store.closed


READ = """
import sys, os, numpy as np
from fastcore.errors import CorruptDataError
from fastcore.tickstore import TickStore
store = TickStore(sys.argv[1])
view = store.records()
os.truncate(sys.argv[1], 65536 + 65536 + 4096)
assert np.isfinite(view["price"][:128]).all() and np.isnan(view["price"][-1])  # nobody is killed, and no price stands there
for look in (lambda: len(store), store.records, lambda: store.query(1, 2), lambda: next(store.follow(10**6, timeout_s=0))):
    try:
        look()
    except CorruptDataError as error:
        assert "the file was cut while it was open" in str(error)
    else:
        raise SystemExit("a reader was not told")
store.close()
"""

REPLAY = """
import sys, os
from fastcore.errors import CorruptDataError
from hft.feeds import open_feed
feed = open_feed(sys.argv[1], chunk_events=1024)
try:
    for i, events in enumerate(feed):
        events["price"].sum()
        if i == 1:
            os.truncate(sys.argv[1], 65536 + 65536 + 4096)
except CorruptDataError as error:
    print(i, error)
"""


def test_a_file_that_is_cut_under_a_reader_kills_nobody(path):
    with TickStore(path, "a") as store:
        store.append_many(ticks(100_000))
    done = python(READ, path)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_file_that_is_cut_while_it_is_replayed_ends_the_replay_with_an_error(path):
    with TickStore(path, "a") as store:
        store.append_many(ticks(100_000))
    done = python(REPLAY, path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("1 the file was cut while it was open")


@pytest.mark.skipif(SANITIZED, reason="the handler before is that of the sanitizer")
def test_another_fault_goes_where_it_went_before(tmp_path):
    code = """
import faulthandler, mmap, os, sys
from fastcore.tickstore import TickStore
if sys.argv[2] == "handler":
    faulthandler.enable()
TickStore(sys.argv[1], "a").close()
store = TickStore(sys.argv[1])
fd = os.open(sys.argv[1] + ".other", os.O_RDWR | os.O_CREAT)
os.truncate(fd, 1 << 16)
other = mmap.mmap(fd, 1 << 16)
os.truncate(fd, 0)
other[5]
"""
    for with_handler in ("handler", "none"):
        done = python(code, tmp_path / with_handler, with_handler)
        assert done.returncode == -signal.SIGBUS
        assert ("Fatal Python error: Bus error" in done.stderr) == (with_handler == "handler")


@pytest.mark.parametrize("module", [tickstore, twin])
def test_a_reader_of_a_torn_store_goes_on_when_a_writer_has_repaired_it(small, module):
    patch(small, 4096, struct.pack("=Q", 320))
    with pytest.warns(module.StoreWarning):
        reader = module.TickStore(small)
    assert len(reader) == 300
    with pytest.warns(module.StoreWarning):
        store = module.TickStore(small, "a")
    with store:
        store.append_many(ticks(100, 300))
        assert len(reader) == 400
        assert same(reader.records(), ticks(400))
    reader.close()


@pytest.mark.parametrize("module", [tickstore, twin])
def test_following_says_that_what_was_read_is_gone(small, module):
    reader = module.TickStore(small)
    batches = reader.follow(0, timeout_s=0.01)
    assert len(next(batches)) == 300
    patch(small, BASE + TABLE + 32 * 299, b"\xff")
    with pytest.warns(module.StoreWarning), module.TickStore(small, "a", salvage=True) as store:
        assert len(store) == 256
    with pytest.raises(CorruptDataError, match="a repair has dropped records that were read before"):
        next(batches)


@pytest.mark.parametrize("module", [tickstore, twin])
@pytest.mark.parametrize("tail", [1, 8, 100, TABLE + 5000, 3 * (TABLE + SEGMENT * 32)])
def test_bytes_that_others_append_freeze_nobody(small, module, tail):
    with open(small, "ab") as file:
        file.write(b"\n" * tail)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", module.StoreWarning)
        reader = module.TickStore(small)
        with module.TickStore(small, "a") as store:
            assert same(store.records(), ticks(300))
            store.append_many(ticks(5000, 300))
            assert same(reader.records(), ticks(5300))
    for mode in "ra":
        with module.TickStore(small, mode) as store:
            assert store.recovery is None
            assert store.verify().reason == ""
            assert same(store.records(), ticks(5300))
    reader.close()


# ---- room on the disk and in the address space


def test_what_the_disk_cannot_hold_takes_nothing_of_it(tmp_path):
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("mounting a small file system takes root on Linux")
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(tmp_path)], capture_output=True, check=False)
    if mount.returncode:
        pytest.skip("this machine does not let us mount a small file system")
    try:
        with TickStore(tmp_path / "a", "a", segment_records=SEGMENT, grow_ahead=False) as store:
            store.append_many(ticks(100))
            free = os.statvfs(tmp_path).f_bfree
            for act in (
                lambda: store.reserve(1_000_000),
                lambda: store.append_many(ticks(1_000_000)),
                lambda: store.reserve(10**15),
            ):
                with pytest.raises(OSError, match="No space left") as caught:
                    act()
                assert caught.value.errno == errno.ENOSPC
                assert os.statvfs(tmp_path).f_bfree == free
            store.append_many(ticks(3000, 100))
            assert same(store.records(), ticks(3100))
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_limit_on_the_file_takes_nothing_of_the_disk(path):
    code = """
import errno, os, resource, sys
from fastcore.tickstore import TickStore
store = TickStore(sys.argv[1], "a", segment_records=2048, grow_ahead=False)
resource.setrlimit(resource.RLIMIT_FSIZE, (10 << 20, 10 << 20))
before = os.stat(sys.argv[1])
try:
    store.reserve(1_000_000)
except OSError as error:
    after = os.stat(sys.argv[1])
    print(error.errno == errno.EFBIG, (before.st_size, before.st_blocks) == (after.st_size, after.st_blocks))
"""
    assert python(code, path).stdout.split() == ["True", "True"]


def addresses():
    return sum(
        int(line.split()[0].split("-")[1], 16) - int(line.split()[0].split("-")[0], 16)
        for line in Path("/proc/self/maps").read_text().splitlines()
    )


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux what is mapped")
def test_a_reader_takes_few_addresses_and_moves_when_the_store_outgrows_them(path):
    with TickStore(path, "a", segment_records=1 << 19) as store:
        before = addresses()
        reader = TickStore(path)
        assert addresses() - before < 3 << 30
        store.append_many(ticks(1000))
        view = reader.records()
        assert len(view) == 1000
        # More segments than the reader has addresses for; the file has them, and nothing in them is touched.
        store.reserve(80 << 19)
        reader._attach(80) if hasattr(reader, "_attach") else None
        assert same(view, ticks(1000))
        assert same(reader.records(), ticks(1000))
        reader.close()
        assert same(view, ticks(1000))


def test_a_reader_follows_a_writer_beyond_its_first_addresses(path, monkeypatch):
    n = 600_000
    code = """
import sys
from fastcore import tickstore
tickstore._READER_BYTES = 1 << 20
store = tickstore.TickStore(sys.argv[1])
print("ready", flush=True)
views, want = [], 0
for batch in store.follow(timeout_s=60, interval_s=0):
    assert batch["volume"].tolist() == list(range(want + 1, want + len(batch) + 1))
    views.append(batch)
    want += len(batch)
    if want == int(sys.argv[2]):
        break
seen = 0
for view in views:
    assert (view["volume"][0], view["volume"][-1]) == (seen + 1, seen + len(view))
    seen += len(view)
print(seen)
"""
    monkeypatch.setattr(tickstore, "_WRITER_BYTES", 1 << 20)
    with TickStore(path, "a", segment_records=SEGMENT) as store:
        reader = subprocess.Popen([sys.executable, "-c", code, path, str(n)], stdout=subprocess.PIPE, text=True)
        assert reader.stdout.readline() == "ready\n"
        for first in range(0, n, 1000):
            store.append_many(ticks(1000, first))
        assert reader.communicate(timeout=60)[0] == f"{n}\n"
        assert same(store.records(), ticks(n))
        assert store.verify().reason == ""


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux what is mapped")
def test_thousands_of_stores_can_be_open(tmp_path):
    TickStore(tmp_path / "a", "a", segment_records=1).close()
    readers = [TickStore(tmp_path / "a", verify=False) for _ in range(1500)]
    assert np.zeros(10**8).sum() == 0
    for reader in readers:
        reader.close()


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux what is mapped")
@pytest.mark.skipif(SANITIZED, reason="a sanitizer maps memory of its own")
def test_a_partition_takes_two_mappings_for_32_mib(tmp_path):
    with DirectoryStore(tmp_path / "d", "a", groups=1) as store:
        store.append_many(ticks(1))
        before = len(Path("/proc/self/maps").read_text().splitlines())
        store.append_many(ticks(900_000, 1))
        assert len(Path("/proc/self/maps").read_text().splitlines()) <= before + 2
    file = tmp_path / "d" / "2024-03-08" / "group-00.ticks"
    assert file.stat().st_size < 30 << 20, "it grows by 1 MiB"
    with DirectoryStore(tmp_path / "d") as store:
        assert same(store.query(), ticks(900_001))


def test_the_limit_of_mappings_is_told(small):
    with TickStore(small) as store, pytest.raises(OSError, match=r"vm\.max_map_count.* segments=1, segment_records=2048"):
        store._check_mapped(errno.ENOMEM)


def test_a_partition_that_was_cut_under_a_reader_is_opened_again(tmp_path):
    with DirectoryStore(tmp_path / "d", "a", groups=1) as store:
        store.append_many(ticks(5000))
    file = tmp_path / "d" / "2024-03-08" / "group-00.ticks"
    code = """
import os, sys, warnings
from fastcore.errors import CorruptDataError
from hft.store import DirectoryStore
store = DirectoryStore(sys.argv[1])
view = store.query()
os.truncate(sys.argv[2], 65536 * 2 + 32 * 1000)
view["price"].sum()
with warnings.catch_warnings(record=True):
    warnings.simplefilter("always")
    print(len(store.query()))
"""
    done = python(code, tmp_path / "d", file)
    assert (done.stdout, done.stderr) == ("896\n", "")


def test_late_days_do_not_keep_files_open(tmp_path):
    with DirectoryStore(tmp_path / "d", "a", groups=1) as store:
        store.append_many(ticks(1, time_ns=(FIRST + 300) * DAY))
        files = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
        for day in range(200):
            store.append_many(ticks(2, time_ns=(FIRST + day) * DAY))
        late = ticks(200)
        late["timestamp_ns"] = (FIRST + np.arange(200)) * DAY + 1000
        store.append_many(late)
        if files:
            assert len(os.listdir("/proc/self/fd")) < files + 4 * 64
    with DirectoryStore(tmp_path / "d") as store:
        assert len(store.query()) == 601
        assert all(found["reason"] == "" for found in store.verify().values())


# ---- headers


def crafted(path, **changes):
    """Write a header into a store as somebody would who means it: with hash and checksum."""
    page = bytearray(Path(path).read_bytes()[:4096])
    length = struct.unpack_from("=I", page, 68)[0]
    text = changes.pop("text", None) or page[80 : 80 + length]
    schema = changes.pop("schema", None)
    if schema is not None:
        text = json.dumps(schema, separators=(",", ":")).encode()
    places = {"record_size": (20, "I"), "segment_records": (48, "Q"), "block_records": (64, "I")}
    for name, value in changes.items():
        struct.pack_into("=" + places[name][1], page, places[name][0], value)
    page[80:] = bytes(text).ljust(4016, b"\0")[:4016]
    struct.pack_into("=I", page, 68, min(len(text), 4016))
    struct.pack_into("=Q", page, 24, store_header._hash(bytes(text)[:4016]))
    struct.pack_into("=I", page, 76, 0)
    struct.pack_into("=I", page, 76, tickstore.crc32c(page))
    patch(path, 0, bytes(page))


TIME = ["timestamp_ns", "u8", 0]


@pytest.mark.parametrize(
    "changes",
    [
        {"schema": {"fields": [["o", "O", 0], TIME], "itemsize": 32, "time": None}},
        {"schema": {"fields": [["o", "O8", 0]], "itemsize": 32, "time": None}},
        {"schema": {"fields": [["o", "i8,O", 0]], "itemsize": 32, "time": None}},
        {"schema": {"fields": [["o", "(2)O", 0]], "itemsize": 32, "time": None}},
        {"schema": {"fields": [TIME], "itemsize": 0, "time": None}, "record_size": 0},
        {"schema": {"fields": [TIME], "itemsize": 8192, "time": None}, "record_size": 8192},
        {"schema": {"fields": [TIME], "itemsize": 12, "time": None}, "record_size": 12},
        {"schema": {"fields": [TIME], "itemsize": 32.0, "time": None}},
        {"schema": {"fields": [TIME], "itemsize": True, "time": None}, "record_size": 1},
        {"schema": {"fields": [["a", "u8", 28]], "itemsize": 32, "time": None}},
        {"schema": {"fields": [["a", "u8", -8]], "itemsize": 32, "time": None}},
        {"schema": {"fields": [["a", "u8", 2**63]], "itemsize": 32, "time": None}},
        {"schema": {"fields": [["a", "u8", 0, 2**40]], "itemsize": 32, "time": None}},
        {"schema": {"fields": [["a", "u1", 0, 4096, 4096, 4096, 4096]], "itemsize": 32, "time": None}},
        {"schema": {"fields": [["a", "u1", 0, *[1] * 70]], "itemsize": 32, "time": None}},
        {"schema": {"fields": [["a", "S2147483647", 0]], "itemsize": 32, "time": None}},
        {"schema": {"fields": [["a", ">u8", 0]], "itemsize": 32, "time": None}},
        {"schema": {"fields": [["a", "u8", 0], ["a", "u8", 8]], "itemsize": 32, "time": None}},
        {"schema": {"fields": [["a", 8, 0]], "itemsize": 32, "time": None}},
        {"schema": {"fields": [[["t", "a"], "u8", 0]], "itemsize": 32, "time": None}},
        {"schema": {"fields": [], "itemsize": 32, "time": None}},
        {"schema": {"fields": 5, "itemsize": 32, "time": None}},
        {"schema": {"fields": [5], "itemsize": 32, "time": None}},
        {"schema": {"fields": [TIME], "itemsize": 32, "time": "price"}},
        {"schema": {"fields": [TIME], "itemsize": 32, "time": ["x"]}},
        {"schema": {"fields": [TIME], "itemsize": 32}},
        {"schema": [1, 2]},
        {"text": b"{" * 4016},
        {"text": b"[" * 4016},
        {"text": b"\xff\xfe"},
        {"text": b"NaN"},
        {"segment_records": 1 << 40},
        {"segment_records": 1 << 63},
        {"segment_records": (1 << 64) - 2048},
        {"segment_records": 1 << 28},
        {"segment_records": 0},
        {"block_records": 0},
        {"block_records": 1 << 31},
    ],
    ids=lambda changes: str(changes)[:60],
)
@pytest.mark.parametrize("module", [tickstore, twin])
def test_an_absurd_header_is_corrupt(small, module, changes):
    crafted(small, **changes)
    before = Path(small).read_bytes()
    for mode in "ra":
        with pytest.raises(CorruptDataError, match=r"path=.*ticks\.store"):
            module.TickStore(small, mode)
    assert Path(small).read_bytes() == before


@pytest.mark.parametrize("module", [tickstore, twin])
def test_the_words_of_the_control_page_are_input_too(small, module):
    for offset in (4096, 4096 + 64, 4096 + 128, 4096 + 136):
        for value in (2**64 - 1, 2**63, 2**40, 2048):
            page = Path(small).read_bytes()
            patch(small, offset, struct.pack("=Q", value))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", module.StoreWarning)
                for mode, verify in (("r", True), ("r", False), ("a", True)):
                    try:
                        with module.TickStore(small, mode, verify=verify) as store:
                            store.query(0, 2**62)
                            store.info()
                    except CorruptDataError:
                        pass
            Path(small).write_bytes(page)


@pytest.mark.parametrize(
    "change",
    [
        {"groups": 0}, {"groups": 10**9}, {"groups": 1.5}, {"groups": None}, {"segment_records": 0}, {"segment_records": "1"},
        {"utc_offset_s": 10**9}, {"records": {}}, {"records": 7},
        {"records": {"fields": [["symbol_id", "O", 0]], "itemsize": 32, "time_field": "timestamp_ns"}},
        {"records": {"fields": [TIME], "itemsize": 32, "time_field": "timestamp_ns"}},
    ],
    ids=str,
)  # fmt: skip
def test_absurd_settings_of_a_directory_are_corrupt(tmp_path, change):
    root = tmp_path / "d"
    DirectoryStore(root, "a").close()
    body = {**json.loads((root / "store.json").read_bytes()), **change}
    del body["crc32c"]
    body["crc32c"] = tickstore.crc32c(json.dumps(body, sort_keys=True).encode())
    (root / "store.json").write_text(json.dumps(body))
    for mode in "ra":
        with pytest.raises(CorruptDataError, match="settings that a store can have"):
            DirectoryStore(root, mode)


def test_an_index_of_anything_is_ignored(tmp_path):
    root = tmp_path / "d"
    with DirectoryStore(root, "a", groups=1) as store:
        store.append_many(ticks(10))
    name = "2024-03-08/group-00.ticks"
    good = DirectoryStore(root)._index._read()[name]
    for entry in ({}, 5, None, [], {**good, "records": "x"}, {**good, "first_ns": None}, {"identity": good["identity"]}):
        text = json.dumps({"version": 1, "files": {name: entry}})
        (root / "index.json").write_text(json.dumps({"crc32c": tickstore.crc32c(text.encode()), "index": text}))
        with DirectoryStore(root) as store:
            assert len(store.query(0, 2**62)) == 10
            assert store.info()["records"] == 10


def test_a_store_is_a_file(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for mode in "ra":
        with pytest.raises(LayoutError, match="a store is a file"):
            TickStore(tmp_path / "fifo", mode)


# ---- whole numbers


def test_whole_numbers_are_not_cut(tmp_path):
    path = str(tmp_path / "a")
    for options in ({"segment_records": 1.5}, {"segment_records": 2.0}, {"grow_records": 1.5}):
        with pytest.raises(TypeError, match="must be a whole number"):
            TickStore(path, "a", **options)
    with TickStore(path, "a") as store:
        store.append_many(ticks(10))
        for call in (
            lambda: store.reserve(1.5),
            lambda: store.pieces(max_records=1.5),
            lambda: store.follow(1.5),
            lambda: store.follow(max_records=1.5),
            lambda: store.query(symbol_id=1.5),
            lambda: store.query(1.5),
            lambda: store.records(1.5),
            lambda: store.read_tick(1.5),
            lambda: store.append(1.5, 1, 1.0, 1.0),
            lambda: store.append(1, 1.5, 1.0, 1.0),
            lambda: tickstore.crc32c(b"a", 1.5),
            lambda: tickstore.crc32c_scalar(b"a", 1.5),
        ):
            with pytest.raises(TypeError):
                call()
        assert len(store) == 10
    for options in ({"groups": 1.5}, {"groups": 2.0}, {"utc_offset_s": 0.5}, {"max_open": 1.5}, {"segment_records": 1.5}):
        with pytest.raises(TypeError, match="must be a whole number"):
            DirectoryStore(tmp_path / "d", "a", **options)
    with DirectoryStore(tmp_path / "d", "a") as store:
        assert store.symbols.add("A") == 0
        before = sorted(p.name for p in (tmp_path / "d").rglob("*"))
        for call in (
            lambda: store.symbols.add("Z", 1.5),
            lambda: store.symbols.add("Z", np.float64(2)),
            lambda: store.append(FIRST * DAY + 0.5, 1, 1.0, 1.0),
            lambda: store.append(FIRST * DAY, 1.5, 1.0, 1.0),
            lambda: store.tail(1.5),
            lambda: store.follow(last=1.5),
            lambda: next(store.batches(batch_records=1.5)),
            lambda: store.compact("2024-03-09", row_group_records=1.5),
        ):
            with pytest.raises(TypeError):
                call()
        for price, volume in ((float("nan"), 1.0), (1.0, -1.0)):
            with pytest.raises(ValueError, match="price and volume must be finite"):
                store.append(FIRST * DAY, 1, price, volume)
        assert sorted(p.name for p in (tmp_path / "d").rglob("*")) == before, "nothing was made for what was refused"
        assert store.symbols.add("B") == 1
    with DirectoryStore(tmp_path / "d") as store:
        assert store.symbols.names == {0: "A", 1: "B"}


# ---- directories


def test_one_group_has_one_file(tmp_path):
    root = tmp_path / "d"
    with DirectoryStore(root, "a", groups=2) as store:
        store.append_many(ticks(100))
    day = root / "2024-03-08"
    for name in ("group-000.ticks", "group-0.ticks", "group-00.ticks.copy", "group-\u0660\u0660.ticks"):
        shutil.copy(day / "group-00.ticks", day / name)
    with DirectoryStore(root) as store:
        assert len(store.query()) == 100
        assert store.info()["records"] == 100


# ---- forks


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_child_of_the_writer_reads_what_the_writer_adds(tmp_path):
    ready, go = os.pipe(), os.pipe()
    with TickStore(tmp_path / "a", "a", segment_records=SEGMENT) as store:
        store.append_many(ticks(100))
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                os.read(go[0], 1)
                code = 0 if same(store.records(), ticks(20_000)) and store.verify().reason == "" else 2
                code = code or (0 if len(store.query(FIRST * DAY + 10, FIRST * DAY + 100)) == 9 else 3)
                store.close()
            except BaseException as error:
                print(error, file=sys.stderr)
            finally:
                os._exit(code)
        store.append_many(ticks(19_900, 100))
        os.write(go[1], b"x")
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        store.append(2**62, 1, 1.0, 1.0)
        assert len(store) == 20_001
    for fd in (*ready, *go):
        os.close(fd)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_child_of_a_directory_writer_makes_nothing(tmp_path):
    with DirectoryStore(tmp_path / "d", "a", groups=1) as store:
        store.append_many(ticks(10))
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                store.append_many(ticks(10, time_ns=(FIRST + 9) * DAY))
            except StoreError as error:
                code = 0 if "a forked process may not write" in str(error) else 2
                store.close()
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        store.append_many(ticks(10, 10))
    with DirectoryStore(tmp_path / "d") as store:
        assert store.days() == ["2024-03-08"]
        assert len(store.query()) == 20


# ---- closing beside other threads


@pytest.mark.threads
def test_close_waits_for_what_other_threads_are_doing(tmp_path):
    with TickStore(tmp_path / "a", "a") as store:
        store.append_many(ticks(400_000))
    for round_ in range(40):
        store = TickStore(tmp_path / "a", "ra"[round_ % 2])
        acts = [store.verify, partial(store.query, FIRST * DAY, FIRST * DAY + 5)]
        if store.mode == "a":
            acts += [store.flush, partial(store.reserve, 600_000)]
        problems = []

        def work(act, problems=problems):
            try:
                for _ in range(1000):
                    act()
            except StoreError:
                pass
            except BaseException as error:
                problems.append(error)

        threads = [threading.Thread(target=work, args=(act,)) for act in acts]
        for thread in threads:
            thread.start()
        store.close()
        for thread in threads:
            thread.join()
        assert problems == []


# ---- what grows as work grows


def pages(path):
    """Resident pages of a file in this process."""
    with open("/proc/self/smaps") as file:
        inside, total = False, 0
        for line in file:
            if "-" in line.split()[0] and not line.startswith("Vm"):
                inside = line.rstrip().endswith(path)
            elif inside and line.startswith("Rss:"):
                total += int(line.split()[1])
    return total


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux what is resident")
def test_a_range_query_reads_few_pages(path):
    n = 1_000_000
    with TickStore(path, "a") as store:
        store.append_many(ticks(n))
    with TickStore(path, verify=False) as store:
        found = store.query(FIRST * DAY + 10 * 500_000, FIRST * DAY + 10 * 500_010)
        assert same(found, ticks(10, 500_000))
        assert np.shares_memory(found, store.records(500_000, 500_010))
        assert pages(path) < 8 << 10, "of 31 MiB"


def test_one_late_tick_does_not_make_queries_look_at_everything(path):
    a = ticks(1_000_000)
    a["timestamp_ns"][700_000] = FIRST * DAY + 5  # between the first two
    with TickStore(path, "a") as store:
        store.append_many(a)
    with TickStore(path, verify=False) as store:
        found = store.query(FIRST * DAY, FIRST * DAY + 20)
        assert found["volume"].tolist() == [1, 2, 700_001]
        late = store.query(FIRST * DAY + 10 * 900_000, FIRST * DAY + 10 * 900_003)
        assert np.shares_memory(late, store.records(900_000, 900_003)), "a view, as in a store in order"
        assert store._index.breaks == [700_000] if hasattr(store, "_index") else True


@pytest.mark.parametrize("late", [0, 1, 50, 5000])
def test_queries_are_right_however_many_times_go_back(path, late):
    random = np.random.default_rng(late)
    a = ticks(60_000)
    where = random.choice(60_000, late, replace=False)
    a["timestamp_ns"][where] = FIRST * DAY + random.integers(0, 600_000, late)
    with TickStore(path, "a", segment_records=SEGMENT) as store:
        for part in np.array_split(a, 9):
            store.append_many(part)
            store.flush()
            readers = [store, TickStore(path), TickStore(path, verify=False)]
            n = len(store)
            for _ in range(20):
                start, end = sorted(random.integers(FIRST * DAY - 10, FIRST * DAY + 600_010, 2).tolist())
                t = a["timestamp_ns"][:n].astype(np.int64)
                expected = a[:n][(t >= start) & (t < end)]
                for reader in readers:
                    assert same(reader.query(start, end), expected)
                    assert same(reader.query(start, end, 3), expected[expected["symbol_id"] == 3])


def test_what_is_noted_of_lost_records_is_forgotten(path):
    with TickStore(path, "a", segment_records=SEGMENT) as store:
        store.append_many(ticks(300))
    patch(path, BASE + TABLE + 32 * 299, b"\xff")
    with pytest.warns(tickstore.StoreWarning):
        store = TickStore(path, "a", salvage=True)
    with store:
        assert len(store) == 256
        store.append_many(ticks(100, time_ns=1000))  # earlier than all before
        assert len(store.query(0, 10**6)) == 100
        copy = Path(path).read_bytes()
    with TickStore(path) as store:
        assert len(store.query(0, 10**6)) == 100
    Path(path).write_bytes(copy)  # as a kill leaves it
    with TickStore(path) as store:
        assert len(store.query(0, 10**6)) == 100


@pytest.mark.parametrize("offset", [8192, 8200, 8208, 8216, 8300])
def test_a_damaged_note_on_the_order_changes_no_answer(path, offset):
    a = ticks(3000)
    a["timestamp_ns"][::100] = FIRST * DAY
    with TickStore(path, "a", segment_records=SEGMENT) as store:
        store.append_many(a)
    patch(path, offset, struct.pack("=Q", 2**63 + 12345))
    with TickStore(path, "a") as store:
        assert len(store.query(FIRST * DAY, FIRST * DAY + 1)) == 30
    with TickStore(path) as store:
        assert len(store.query(FIRST * DAY, FIRST * DAY + 1)) == 30


def test_a_new_day_costs_the_index_no_look_at_the_days_before(tmp_path, monkeypatch):
    looked = []
    real = index.identity_of
    monkeypatch.setattr(index, "identity_of", lambda file: looked.append(file.name) or real(file))
    with DirectoryStore(tmp_path / "d", "a", groups=2) as store:
        for day in range(12):
            store.append_many(ticks(10, time_ns=(FIRST + day) * DAY))
        assert len(looked) == 2 * 11
    with DirectoryStore(tmp_path / "d") as store:
        assert len(store._index._read()) == 24
        store.query(FIRST * DAY, FIRST * DAY + 50)
        assert store.last_query.candidates == 2


@pytest.mark.skipif(sys.platform != "linux" or SANITIZED, reason="limits memory")
def test_a_repair_does_not_copy_what_it_drops_into_memory(path):
    n = 2_000_000
    with TickStore(path, "a") as store:
        store.append_many(ticks(n))
    patch(path, BASE + TABLE + 16 * 1024, b"\xff")
    code = """
import resource, sys, warnings
from fastcore.tickstore import TickStore
data = sum(int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith("VmData"))
resource.setrlimit(resource.RLIMIT_DATA, (data + (40 << 20), data + (40 << 20)))
warnings.simplefilter("ignore")
store = TickStore(sys.argv[1], "a", salvage=True, grow_ahead=False)
print(store.recovery.dropped_bytes)
"""
    done = python(code, path)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 60 << 20


def test_creating_writes_the_head_first(tmp_path):
    """So that what a killed creator leaves says what it is."""
    seen = []
    create(str(tmp_path / "x"), b"FCSTORE\0" + bytes(4088), 65536, lambda fd, at, size: seen.append(os.pread(fd, 8, 0)))
    assert seen == [b"FCSTORE\0"]
