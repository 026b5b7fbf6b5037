"""The append-only store: what it keeps, what it refuses, and what it says about damage."""

import errno
import gc
import os
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from kit import same_kind

from fastcore import _bench, tickstore
from fastcore.errors import CorruptDataError, LayoutError, StoreError, StoreLockedError
from fastcore.records import EVENT_DTYPE, QUOTE_DTYPE, TICK_DTYPE
from fastcore.reference import tickstore as twin

MODULE = "tickstore"
BASE, TABLE = 65536, 65536  # offset of segment 0; size of the commit words of a small segment
SEGMENT = 2048  # smallest segment of ticks
NOW = 1_700_000_000_000_000_000


def ticks(n, first=0):
    a = np.zeros(n, TICK_DTYPE)
    i = np.arange(first, first + n)
    a["timestamp_ns"] = NOW + 10 * i
    a["symbol_id"] = i % 7
    a["price"] = 100 + i * 0.25
    a["volume"] = i + 1
    return a


def same(a, b):
    return len(a) == len(b) and all((a[name] == b[name]).all() for name in b.dtype.names)


@pytest.fixture
def path(tmp_path):
    """On a file system in memory where there is one: these tests are about bytes, not about the disk."""
    if os.path.isdir("/dev/shm") and os.access("/dev/shm", os.W_OK):
        folder = Path("/dev/shm") / f"fastcore-test-{os.getpid()}-{tmp_path.name}"
        folder.mkdir()
        yield str(folder / "ticks.store")
        shutil.rmtree(folder)
    else:
        yield str(tmp_path / "ticks.store")


@pytest.fixture
def small(path, impl):
    """A closed store of 300 ticks in a segment of 2,048: two full blocks and 44 records of a third."""
    with impl.TickStore(path, "a", segment_records=SEGMENT) as store:
        store.append_many(ticks(300))
    return path


def patch(path, offset, data):
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(data)


def at(record):
    """Offset of a record of the first segment."""
    return BASE + TABLE + 32 * record


# ---- appending and reading


def test_records_survive_reopening(impl, path):
    with impl.TickStore(path, "a") as store:
        store.append(NOW, 3, 1.5, 2.0)
        assert store.append_many(ticks(5)) == 5
        assert len(store) == store.count == 6
    with impl.TickStore(path, "a") as store:
        assert store.count == 6
        store.append(NOW + 1, 4, -1.5, 0.0)
    with impl.TickStore(path) as store:
        assert store.records()[[0, 6]].tolist() == [(NOW, 3, 1.5, 2.0), (NOW + 1, 4, -1.5, 0.0)]
        assert same(store.records(1, 6), ticks(5))
        assert store.recovery is None


@pytest.mark.parametrize(("writer", "reader"), [(tickstore, twin), (twin, tickstore)])
def test_twins_read_each_other(path, writer, reader):
    with writer.TickStore(path, "a", segment_records=SEGMENT) as store:
        store.append_many(ticks(3000))
        store.append(NOW * 2, 1, 2.0, 3.0)
    with reader.TickStore(path, "a") as store:
        assert store.verify() == (3001, 3001 * 32, 0, 0, "", None)
        store.append_many(ticks(200, 3000))
    with writer.TickStore(path) as store:
        assert same(store.records(0, 3000), ticks(3000))
        assert same(store.records(3001), ticks(200, 3000))


def test_grows_segment_by_segment_and_views_stay(path):
    with tickstore.TickStore(path, "a", segment_records=SEGMENT) as store, tickstore.TickStore(path) as reader:
        store.append_many(ticks(SEGMENT))
        view = store.records()
        seen = reader.records()
        for k in range(1, 8):
            store.append_many(ticks(SEGMENT, k * SEGMENT))
        assert store.info()["segments"] >= 8
        assert same(view, ticks(SEGMENT))
        assert same(seen, ticks(SEGMENT))
        assert same(store.records(), ticks(8 * SEGMENT))
        assert same(reader.records(), ticks(8 * SEGMENT))
        assert os.path.getsize(path) == BASE + store.info()["segments"] * (TABLE + SEGMENT * 32)


def test_views_are_not_copies_and_outlive_the_store(path):
    store = tickstore.TickStore(path, "a")
    store.append_many(ticks(10))
    a, b = store.records(), store.records(2, 5)
    prices = a["price"]
    assert np.shares_memory(a, b)
    assert np.shares_memory(a, prices)
    assert not a.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        a["price"][0] = 1.0
    store.close()
    del store
    gc.collect()
    assert same(a, ticks(10))
    assert prices[9] == 102.25


def test_a_slice_of_records(impl, small):
    with impl.TickStore(small) as store:
        assert same(store.records(-3), ticks(3, 297))
        assert same(store.records(290, 1000), ticks(10, 290))
        assert len(store.records(5, 2)) == 0
        assert store.read_tick(7) == tuple(ticks(1, 7)[0])
        for index in (-1, 300):
            with pytest.raises(IndexError, match=rf"index must be in 0..count-1: index={index}, count=300"):
                store.read_tick(index)


@pytest.mark.parametrize(
    "dtype", [EVENT_DTYPE, QUOTE_DTYPE, [("t", "i8"), ("x", "f4", (3,)), ("name", "S12")], [("a", "i8", 100)]]
)
def test_any_record_layout(impl, path, dtype):
    dtype = np.dtype(dtype)
    a = np.frombuffer(np.random.default_rng(1).bytes(500 * dtype.itemsize), dtype)
    with impl.TickStore(path, "x", dtype, segment_records=1) as store:
        store.append_many(a[:1])
        store.append_many(a[1:])
        assert store.dtype == dtype
    with impl.TickStore(path) as store:
        assert store.records().tobytes() == a.tobytes()
        assert store.info()["record_size"] == dtype.itemsize
        with pytest.raises(TypeError, match="read_tick reads ticks"):
            store.read_tick(0)


def test_compiled_append_of_one_record(path):
    with tickstore.TickStore(path, "a", EVENT_DTYPE) as store:
        event = np.zeros(1, EVENT_DTYPE)
        event["seq"], event["match_id"] = 7, 9
        assert _bench.store_append_bytes(store, event.view("u1")) == 0
        assert store.records().tobytes() == event.tobytes()
        with pytest.raises(TypeError, match="append takes ticks"):
            store.append(1, 1, 1.0, 1.0)
    assert _bench.store_append_bytes(store, event.view("u1")) == 3  # closed


def test_compiled_code_appends_a_batch_in_one_call_or_nothing(path):
    events = np.zeros(3000, EVENT_DTYPE)
    events["seq"], events["price"] = np.arange(3000), 5
    with tickstore.TickStore(path, "a", EVENT_DTYPE, segment_records=1024, grow_ahead=False) as store:
        assert store.room == 1024
        for first, n in ((0, 1), (1, 1000), (1001, 2)):
            assert _bench.store_append_bytes(store, events[first : first + n].view("u1")) == 0
        assert _bench.store_append_bytes(store, events[1003:1203].view("u1")) == 1, "full"
        assert len(store) == 1003
        store.reserve(1997)
        assert _bench.store_append_bytes(store, events[1003:].view("u1")) == 0
        assert store.records().tobytes() == events.tobytes()
        assert store.verify().reason == ""
    assert _bench.store_append_bytes(store, events[:2].view("u1")) == 3  # closed


def test_compiled_loop_grows_the_store(path):
    with tickstore.TickStore(path, "a", segment_records=SEGMENT) as store:
        assert _bench.store_append_loop(store, 0, 10_000) == 10_000
        assert store.records()["timestamp_ns"].tolist() == list(range(10_000))
        assert store.verify().reason == ""


def test_padding_is_stored_as_zero(impl, path):
    raw = np.full(3 * 32, 0xFF, np.uint8)
    a = raw.view(TICK_DTYPE)
    a["timestamp_ns"], a["symbol_id"], a["price"], a["volume"] = 1, 2, 3.0, 4.0
    with impl.TickStore(path, "a") as store:
        store.append_many(a)
        assert store.records().view("u4").reshape(3, 8)[:, 3].tolist() == [0, 0, 0]


def test_unaligned_and_empty_arrays(impl, path):
    raw = np.zeros(4 * 32 + 1, np.uint8)
    a = raw[1:].view(TICK_DTYPE)
    a[:] = ticks(4)
    with impl.TickStore(path, "a") as store:
        assert store.append_many(a) == 4
        assert store.append_many(ticks(0)) == 0
        assert same(store.records(), ticks(4))


# ---- bad input


@pytest.mark.parametrize(
    ("tick", "rule"),
    [
        ((-1, 0, 1.0, 1.0), "timestamp_ns must not be negative: timestamp_ns=-1"),
        ((1, -1, 1.0, 1.0), "symbol_id must be in 0..4294967294: symbol_id=-1"),
        ((1, 2**32 - 1, 1.0, 1.0), "symbol_id must be in 0..4294967294: symbol_id=4294967295"),
        ((1, 0, float("nan"), 1.0), "price must be finite: price=nan"),
        ((1, 0, float("inf"), 1.0), "price must be finite: price=inf"),
        ((1, 0, -float("inf"), 1.0), "price must be finite: price=-inf"),
        ((1, 0, 1.0, float("nan")), "volume must be finite and not negative: volume=nan"),
        ((1, 0, 1.0, float("inf")), "volume must be finite and not negative: volume=inf"),
        ((1, 0, 1.0, -1.0), "volume must be finite and not negative: volume=-1.0"),
    ],
)
def test_a_bad_tick_is_refused_and_nothing_is_stored(impl, path, tick, rule):
    with impl.TickStore(path, "a") as store:
        store.append(1, 1, 1.0, 1.0)
        with pytest.raises(ValueError, match=rule.replace("+", r"\+")):
            store.append(*tick)
        if 0 <= tick[0] and 0 <= tick[1]:
            a = ticks(5)
            a[3] = tick
            with pytest.raises(ValueError, match=rule + " at index=3"):
                store.append_many(a)
        assert store.count == 1
    with same_kind(impl, "replaced").MemoryMappedDataStore(path + "2", 10) as store, pytest.raises(ValueError, match=rule):
        store.write_tick(*tick)


@pytest.mark.parametrize("index", [0, 1, 127, 128, 255, 256, 257, 511, 512, 598, 599])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("timestamp_ns", 2**63),
        ("symbol_id", 2**32 - 1),
        ("price", float("nan")),
        ("price", -float("inf")),
        ("volume", -5e-324),
        ("volume", -float("nan")),
        ("volume", float("inf")),
    ],
)
def test_a_bad_tick_is_found_anywhere_in_a_batch(path, index, field, value):
    a = ticks(600)
    a["volume"][5] = -0.0  # odd, but good
    a["price"][300:302] = 1.7976931348623157e308, -1.7976931348623157e308
    good = a.copy()
    a[field][index] = value
    a[field][599] = value
    with tickstore.TickStore(path, "a", segment_records=SEGMENT) as store:
        with pytest.raises(ValueError, match=rf"{field} must .* at index={index}$"):
            store.append_many(a)
        assert store.count == 0
        store.append_many(good)
        assert same(store.records(), good)


@pytest.mark.parametrize("before", [0, 1, 127, 2000])
@pytest.mark.parametrize("n", [2047, 2048, 2049, 4096, 4097, 9000])
def test_large_batches_match_their_checksums(path, n, before):
    a = ticks(before + n)
    with tickstore.TickStore(path, "a", segment_records=SEGMENT) as store:
        for row in a[:before].tolist():
            store.append(*(row[:2] + row[-2:]))
        store.append_many(a[before:])
        store.append_many(a[:3])
        assert same(store.records(), np.concatenate([a, a[:3]]))
        assert store.verify().reason == ""
    with twin.TickStore(path) as store:
        assert store.count == before + n + 3
        assert store.verify().reason == ""


def test_a_time_beyond_63_bits_is_refused(impl, path):
    with impl.TickStore(path, "a") as store:
        with pytest.raises(OverflowError):
            store.append(2**63, 0, 1.0, 1.0)
        with pytest.raises(TypeError):
            store.append("1", 0, 1.0, 1.0)
        a = ticks(2)
        a["timestamp_ns"][1] = 2**63
        with pytest.raises(ValueError, match=r"timestamp_ns must .* at index=1"):
            store.append_many(a)
        assert store.count == 0


def test_zero_and_negative_prices_are_real(impl, path):
    with impl.TickStore(path, "a") as store:
        for price in (0.0, -0.0, -37.63, 1.7e308, 5e-324):
            store.append(1, 0, price, 0.0)
        assert store.records()["price"].tolist() == [0.0, -0.0, -37.63, 1.7e308, 5e-324]


@pytest.mark.parametrize(
    ("array", "error", "rule"),
    [
        ([1, 2], TypeError, "records must be an ndarray: type=list"),
        (np.zeros(3), TypeError, "records must have the dtype of the store"),
        (np.zeros(3, EVENT_DTYPE), TypeError, "records must have the dtype of the store"),
        (np.zeros((2, 2), TICK_DTYPE), ValueError, r"one-dimensional and contiguous: shape=\(2, 2\)"),
        (np.zeros(6, TICK_DTYPE)[::2], ValueError, "one-dimensional and contiguous"),
        (np.zeros((), TICK_DTYPE), ValueError, "one-dimensional"),
    ],
)
def test_a_bad_array_is_refused(impl, path, array, error, rule):
    with impl.TickStore(path, "a") as store:
        with pytest.raises(error, match=rule):
            store.append_many(array)
        assert store.count == 0


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ({"mode": "w"}, "mode must be 'r', 'a' or 'x': mode='w'"),
        ({"mode": "a", "sync": "never"}, "sync must be one of"),
        ({"mode": "a", "sync_interval_s": 0.0}, "sync_interval_s must be positive and finite: sync_interval_s=0.0"),
        ({"mode": "a", "sync_interval_s": float("nan")}, "sync_interval_s must be positive"),
        ({"mode": "a", "segment_records": 0}, "segment_records must be in 1.."),
        ({"mode": "a", "dtype": "f8"}, "records must have named fields"),
        ({"mode": "a", "dtype": [("a", "i4")]}, "multiple of 8 in 8..4096: itemsize=4"),
        ({"mode": "a", "dtype": [("a", "S4104")]}, "multiple of 8 in 8..4096: itemsize=4104"),
        ({"mode": "a", "dtype": [("a", "O")]}, "fields must be numbers or fixed-size bytes"),
        ({"mode": "a", "dtype": [("a", ">i8")]}, "fields must be in native byte order"),
        ({"mode": "a", "time_field": "price"}, "time_field must be an aligned 8-byte integer"),
        ({"mode": "a", "time_field": "nothing"}, "time_field must be a field of the record"),
    ],
)
def test_bad_arguments_leave_no_file(impl, path, arguments, rule):
    with pytest.raises(ValueError, match=rule):
        impl.TickStore(path, **arguments)
    assert not os.path.exists(path)


def test_a_store_object_opens_once(path):
    with tickstore.TickStore(path, "a") as store, pytest.raises(StoreError, match="opens once"):
        store.__init__(path, "a")


def test_modes(impl, path):
    with pytest.raises(FileNotFoundError):
        impl.TickStore(path)
    with impl.TickStore(path, "x") as store:
        store.append(1, 1, 1.0, 1.0)
    with pytest.raises(FileExistsError, match="mode 'x' creates a store"):
        impl.TickStore(path, "x")
    with impl.TickStore(path) as store:
        for call in (
            lambda: store.append(1, 1, 1.0, 1.0),
            lambda: store.append_many(ticks(1)),
            store.flush,
            lambda: store.reserve(1),
        ):
            with pytest.raises(StoreError, match="open for reading"):
                call()
        assert store.room == 0
    assert store.closed
    for call in (
        lambda: store.count,
        lambda: len(store),
        store.records,
        store.query,
        store.verify,
        store.flush,
        lambda: store.read_tick(0),
        lambda: store.append(1, 1, 1.0, 1.0),
    ):
        with pytest.raises(StoreError, match="the store is closed"):
            call()
    store.close()


def test_a_missing_folder_is_an_error(impl, path):
    with pytest.raises(FileNotFoundError):
        impl.TickStore(os.path.dirname(path) + "/nowhere/store", "a")


# ---- other files, other versions


def corrupt_header(path, offset, data, fix=True):
    """Change header bytes; with `fix`, as a writer that means it would: with a matching checksum."""
    patch(path, offset, data)
    if fix:
        page = bytearray(Path(path).read_bytes()[:4096])
        page[76:80] = bytes(4)
        patch(path, 76, struct.pack("=I", tickstore.crc32c(page)))


@pytest.mark.parametrize(
    ("offset", "data", "fix", "error", "rule"),
    [
        (0, b"SQLite f", True, LayoutError, "not a store"),
        (8, struct.pack("=H", 2), True, LayoutError, r"this build reads version 1\.x: .*version=2\.0"),
        (16, b"\x01\x02\x03\x04", True, LayoutError, "other byte order"),
        (16, b"\x00\x02\x03\x04", True, CorruptDataError, "header must match its checksum"),
        (12, struct.pack("=I", 512), True, CorruptDataError, "header must match"),
        (20, struct.pack("=I", 64), False, CorruptDataError, "header must match its checksum"),
        (20, struct.pack("=I", 64), True, CorruptDataError, "record size must be that of the schema: .*record_size=64"),
        (24, b"12345678", True, CorruptDataError, "schema must match its hash"),
        (48, struct.pack("=Q", 2047), True, CorruptDataError, "block and segment must fit"),
        (48, struct.pack("=Q", 0), True, CorruptDataError, "block and segment must fit"),
        (64, struct.pack("=I", 0), True, CorruptDataError, "block and segment must fit"),
        (40, b"another.", False, CorruptDataError, "header must match its checksum"),
        (90, b"X", False, CorruptDataError, "header must match its checksum"),
    ],
)
@pytest.mark.parametrize("mode", ["r", "a"])
def test_another_layout_is_refused(impl, small, offset, data, fix, error, rule, mode):
    corrupt_header(small, offset, data, fix)
    before = Path(small).read_bytes()
    with pytest.raises(error, match=rule):
        impl.TickStore(small, mode)
    assert Path(small).read_bytes() == before


def test_a_later_minor_version_can_be_read_and_not_written(impl, small):
    corrupt_header(small, 10, struct.pack("=H", 7))
    with impl.TickStore(small) as store:
        assert same(store.records(), ticks(300))
        assert store.info()["version"] == "1.7"
    with pytest.raises(LayoutError, match=r"can only be read: .*version=1\.7"):
        impl.TickStore(small, "a")


@pytest.mark.parametrize(
    "dtype", [EVENT_DTYPE, [("t", "u8"), ("s", "u4"), ("p", "f8"), ("v", "f8")], [("timestamp_ns", "u8"), ("x", "S24")]]
)
def test_another_record_is_refused(impl, small, dtype):
    for mode in "ra":
        with pytest.raises((LayoutError, ValueError), match=r"the store holds other records|multiple of 8"):
            impl.TickStore(small, mode, np.dtype(dtype))
    with impl.TickStore(small, "a", TICK_DTYPE) as store:
        assert store.count == 300


@pytest.mark.parametrize("size", [0, 10, 4095, 4096, 8192, 65535])
def test_a_file_cut_in_its_head_is_refused_and_left_alone(impl, small, size):
    os.truncate(small, size)
    for mode in "ra":
        with pytest.raises(CorruptDataError, match=f"bytes={size}"):
            impl.TickStore(small, mode)
    assert os.path.getsize(small) == size


def test_some_other_file_is_refused(impl, path):
    Path(path).write_bytes(b"timestamp,price\n" * 10000)
    for mode in "ra":
        with pytest.raises(LayoutError, match="not a store"):
            impl.TickStore(path, mode)
    assert Path(path).read_bytes() == b"timestamp,price\n" * 10000


# ---- one writer


def test_a_second_writer_is_refused(impl, path):
    with impl.TickStore(path, "a") as store:
        for other in (tickstore, twin):
            with pytest.raises(StoreLockedError, match=f"one writer at a time: .*writer_pid={os.getpid()}"):
                other.TickStore(path, "a")
        store.append(1, 1, 1.0, 1.0)
        code = (
            "import sys; from fastcore.tickstore import TickStore; from fastcore.errors import StoreLockedError\n"
            "try: TickStore(sys.argv[1], 'a')\nexcept StoreLockedError as e: print(e); sys.exit(7)"
        )
        done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=False)
        assert done.returncode == 7, done.stderr
        assert f"writer_pid={os.getpid()}" in done.stdout
    with impl.TickStore(path, "a") as store:
        assert store.count == 1
        assert store.info()["epoch"] == 2


def test_a_store_that_cannot_be_opened_is_not_locked(impl, small):
    corrupt_header(small, 8, struct.pack("=H", 9))
    with pytest.raises(LayoutError):
        impl.TickStore(small, "a")
    corrupt_header(small, 8, struct.pack("=H", 1))
    impl.TickStore(small, "a").close()


def test_a_forgotten_store_is_closed(path):
    store = tickstore.TickStore(path, "a")
    store.append(1, 1, 1.0, 1.0)
    del store
    gc.collect()
    with tickstore.TickStore(path, "a") as store:
        assert store.count == 1


def in_child(function):
    """Run in a forked child, return its exit code."""
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            code = function()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_reads_and_does_not_write(impl, path):
    with impl.TickStore(path, "a") as store:
        store.append_many(ticks(10))

        def child():
            if store.count != 10 or not same(store.records(), ticks(10)):
                return 1
            for call in (
                lambda: store.append(1, 1, 1.0, 1.0),
                lambda: store.append_many(ticks(1)),
                store.flush,
                lambda: store.reserve(9),
            ):
                try:
                    call()
                except StoreError as error:
                    if "a forked process may not write" not in str(error):
                        return 2
                else:
                    return 3
            store.close()
            return 0

        assert in_child(child) == 0
        with pytest.raises(StoreLockedError):
            impl.TickStore(path, "a")
        store.append(NOW * 2, 1, 1.0, 1.0)
        assert store.count == 11
        assert store.info()["writer_pid"] == os.getpid()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_the_lock_ends_with_the_writer_and_not_with_its_children(impl, path):
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        store = impl.TickStore(path, "a")
        store.append(1, 1, 1.0, 1.0)
        if os.fork() == 0:  # keeps every descriptor that it inherits
            os.write(write, struct.pack("=I", os.getpid()))
        time.sleep(60)
        os._exit(0)
    child = struct.unpack("=I", os.read(read, 4))[0]
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    try:
        with impl.TickStore(path, "a") as store:
            assert store.count == 1
    finally:
        os.kill(child, 9)
        os.close(read)
        os.close(write)


def test_a_killed_creator_leaves_no_half_store(impl, path):
    Path(path + ".new-99999999-0123abcd").write_bytes(b"FCSTORE\0 half")
    with impl.TickStore(path, "a") as store:
        store.append(1, 1, 1.0, 1.0)
    assert sorted(os.listdir(os.path.dirname(path))) == ["ticks.store", "ticks.store.lock"]


# ---- torn, cut and damaged files


def test_a_torn_tail_is_dropped_reported_and_kept_aside(impl, small, request):
    with open(small, "r+b") as file:  # 20 more records published that never reached the disk; no checkpoint knows of them
        file.seek(BASE + 16)
        file.write(struct.pack("=Q", 64 << 32 | 12345))
        file.seek(4096)
        file.write(struct.pack("=Q", 320))
    with pytest.warns(impl.StoreWarning, match="a checksum does not match: 300 records are valid"):
        store = impl.TickStore(small)
    assert store.recovery == (300, 9600, 20, 640, "a checksum does not match", None)
    assert same(store.records(), ticks(300))
    store.close()
    patch(small, at(300), b"torn" * 160)
    with pytest.warns(impl.StoreWarning, match="20 records"):
        store = impl.TickStore(small, "a")
    with store:
        assert store.recovery[:5] == (300, 9600, 20, 640, "a checksum does not match")
        assert Path(store.recovery.kept_aside).read_bytes() == b"torn" * 160
        assert store.count == 300
        store.append_many(ticks(1000, 300))
    with impl.TickStore(small, "a") as store:
        assert store.recovery is None
        assert same(store.records(), ticks(1300))


def test_lost_records_are_counted_where_nothing_is_left_of_them(impl, path):
    with impl.TickStore(path, "a", segment_records=SEGMENT) as store:
        store.append_many(ticks(100))
    patch(path, 4096, struct.pack("=Q", 140))
    with pytest.warns(impl.StoreWarning, match="40 records"):
        store = impl.TickStore(path, "a")
    with store:
        assert store.recovery[:5] == (100, 3200, 40, 1280, "records are missing that the store had published")
        assert store.count == 100
    with impl.TickStore(path) as store:
        assert store.recovery is None


@pytest.mark.parametrize(
    "cut", [1, 32 * 100, SEGMENT * 32 - 1, SEGMENT * 32, SEGMENT * 32 + 65000, SEGMENT * 32 + 65536, 300_000, 393_216]
)
def test_a_cut_file_keeps_its_longest_valid_prefix(impl, path, cut):
    n = 3 * SEGMENT
    with impl.TickStore(path, "a", segment_records=SEGMENT) as store:
        store.append_many(ticks(n))
    size = os.path.getsize(path)
    os.truncate(path, size - cut)
    segment, rest = divmod(size - cut - BASE, TABLE + SEGMENT * 32)
    present = segment * SEGMENT + max(0, rest - TABLE) // 32
    valid = present // 128 * 128
    for mode in "ra":
        with pytest.warns(impl.StoreWarning, match="the file was cut"):
            store = impl.TickStore(path, mode)
        with store:
            assert store.recovery[:5] == (valid, valid * 32, n - valid, (present - valid) * 32, "the file was cut")
            assert same(store.records(), ticks(valid))
            if mode == "a":
                assert store.append_many(ticks(n - valid, valid)) == n - valid
    with impl.TickStore(path, "a") as store:
        assert store.recovery is None
        assert same(store.records(), ticks(n))


def test_the_last_sync_saves_the_part_of_a_block_that_it_covers(impl, path):
    with impl.TickStore(path, "a", segment_records=SEGMENT) as store:
        store.append_many(ticks(130))
        store.flush()
        store.append_many(ticks(20, 130))
        copy = Path(path).read_bytes()
    Path(path).write_bytes(copy)  # as a crash of the system would leave it: no last checkpoint
    patch(path, at(140), b"never written")
    with pytest.warns(impl.StoreWarning, match="130 records are valid"):
        store = impl.TickStore(path, "a")
    with store:
        assert store.recovery[:4] == (130, 130 * 32, 20, 640)
        assert same(store.records(), ticks(130))


@pytest.mark.parametrize("record", [0, 127, 128, 299])
def test_damage_to_synced_records_raises_unless_salvaged(impl, small, record):
    patch(small, at(record) + 16, b"\xff")
    before = Path(small).read_bytes()
    for mode in "ra":
        with pytest.raises(CorruptDataError, match=r"stored records are damaged .*salvage=True"):
            impl.TickStore(small, mode)
    assert Path(small).read_bytes()[:4096] == before[:4096]
    block = record // 128
    valid = block * 128
    with pytest.warns(impl.StoreWarning):
        store = impl.TickStore(small, "r", salvage=True)
    with store:
        assert same(store.records(), ticks(valid))
        assert store.recovery[:4] == (valid, valid * 32, 300 - valid, (300 - valid) * 32)
    report = impl.salvage(small, small + ".saved")
    lost = 44 if block == 2 else 128
    assert report[:3] == (300 - lost, (300 - lost) * 32, lost)
    with impl.TickStore(small + ".saved") as store:
        kept = np.concatenate([ticks(valid), ticks(max(0, 300 - valid - 128), valid + 128)])
        assert same(store.records(), kept)
    with pytest.warns(impl.StoreWarning):
        store = impl.TickStore(small, "a", salvage=True)
    with store:
        assert store.count == valid
        aside = np.fromfile(store.recovery.kept_aside, TICK_DTYPE)
        assert len(aside) == 300 - valid
        assert same(aside[record - valid + 1 :], ticks(299 - record, record + 1))
        store.append(NOW * 2, 1, 1.0, 1.0)
    with impl.TickStore(small) as store:
        assert store.count == valid + 1


@pytest.mark.parametrize("synced", [0, 100])
def test_pages_that_a_power_cut_left_out_of_order_are_a_torn_tail(impl, path, synced):
    """Behind the last checkpoint the system writes pages in any order: whole blocks may stand behind one that is missing."""
    with impl.TickStore(path, "x") as store:
        store.append_many(ticks(synced))
        if synced:
            store.flush()
        store.append_many(ticks(500 - synced, synced))
        data = bytearray(Path(path).read_bytes())
    data[BASE + TABLE + 32 * 200] ^= 1
    Path(path).write_bytes(data)
    with pytest.warns(impl.StoreWarning), impl.TickStore(path) as store:
        assert same(store.records(), ticks(128))
    with pytest.warns(impl.StoreWarning):
        store = impl.TickStore(path, "a")
    with store:
        assert store.recovery.dropped_records == 372
        assert os.path.getsize(store.recovery.kept_aside) == 372 * 32
        assert same(store.records(), ticks(128))
        store.append_many(ticks(5, 128))
    with impl.TickStore(path) as store:
        assert same(store.records(), ticks(133))


def test_a_lost_commit_word_in_the_middle_is_corruption(impl, small):
    patch(small, BASE + 8, bytes(8))
    with pytest.raises(CorruptDataError, match="records follow a block that is not full"):
        impl.TickStore(small)


def test_verify_reports_damage_to_an_open_store(impl, small):
    with impl.TickStore(small) as store:
        assert store.verify() == (300, 9600, 0, 0, "", None)
        patch(small, at(10), b"\xff")
        assert store.verify()[:5] == (0, 0, 300, 9600, "a checksum does not match")


def test_opening_without_verification(impl, small):
    patch(small, at(10), b"\xff")
    with impl.TickStore(small, verify=False) as store:
        assert store.count == 300


# ---- full disks and failing syncs


def run_python(code, *arguments, **keywords):
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False, **keywords)


FILL = """
import errno, sys
import importlib
import numpy as np
module = importlib.import_module(sys.argv[2])
from fastcore.records import TICK_DTYPE
store = module.TickStore(sys.argv[1], "a", segment_records=2048, grow_ahead=sys.argv[3] == "1")
batch = np.zeros(1000, TICK_DTYPE)
accepted = 0
try:
    while accepted < 100_000:
        batch["timestamp_ns"] = np.arange(accepted, accepted + 1000)
        store.append_many(batch)
        accepted += 1000
except OSError as error:
    assert error.errno in (errno.ENOSPC, errno.EFBIG), error
try:
    while True:
        store.append(accepted, 1, 1.0, 1.0)
        accepted += 1
except OSError as error:
    print(error.errno, accepted, store.count, store.room, store.verify().reason)
store.close()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on the size of a file")
@pytest.mark.parametrize("ahead", ["0", "1"])
def test_a_limit_on_the_file_is_an_error_before_a_record_is_accepted(impl, path, ahead):
    limit = BASE + 5 * (TABLE + SEGMENT * 32) + 1000
    code = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n" + FILL
    done = run_python(code, path, impl.__name__, ahead)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(errno.EFBIG), str(5 * SEGMENT), str(5 * SEGMENT), "0"]
    with impl.TickStore(path, "a") as store:
        assert store.records()["timestamp_ns"].tolist() == list(range(5 * SEGMENT))
        store.append(1, 1, 1.0, 1.0)


def test_a_full_disk_is_an_error_before_a_record_is_accepted(impl, tmp_path):
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("mounting a small file system takes root on Linux")
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=700k", "tmpfs", str(tmp_path)], capture_output=True, check=False
    ).returncode:
        pytest.skip("this machine does not let us mount a small file system")
    try:
        path = str(tmp_path / "store")
        done = run_python(FILL, path, impl.__name__, "1")
        assert done.returncode == 0, done.stderr
        code, accepted, count, room, *reason = done.stdout.split()
        assert (int(code), int(room), reason) == (errno.ENOSPC, 0, [])
        assert int(accepted) == int(count) == 4 * SEGMENT
        with impl.TickStore(path) as store:
            assert store.records()["timestamp_ns"].tolist() == list(range(4 * SEGMENT))
        with pytest.raises(OSError, match="No space left"):
            impl.TickStore(tmp_path / "another", "x", segment_records=100_000)
        assert not (tmp_path / "another").exists()
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


SHIM = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
static int calls;
int msync(void *p, size_t n, int flags) {
    static int (*real)(void *, size_t, int);
    if (!real) real = (int (*)(void *, size_t, int))dlsym(RTLD_NEXT, "msync");
    if (++calls == atoi(getenv("FAIL_AT"))) { errno = EIO; return -1; }
    return real(p, n, flags);
}
"""

POISON = """
import sys
from fastcore.errors import StoreError
from fastcore.tickstore import TickStore
store = TickStore(sys.argv[1], "a", segment_records=2048, sync="commit")
accepted = 0
failures = set()
for i in range(10):
    try:
        store.append(i, 1, 1.0, 1.0)
        accepted += 1
    except StoreError as error:
        failures.add(str(error))
assert len(failures) == 1 and "a sync failed, so the store accepts nothing more" in failures.pop()
for call in (store.flush, lambda: store.reserve(10)):
    try:
        call()
    except StoreError:
        pass
    else:
        raise SystemExit("a failed store took a call")
print(accepted, len(store.records()))
store.close()
"""


@pytest.mark.skipif(sys.platform != "linux" or not shutil.which("cc"), reason="needs LD_PRELOAD and a compiler")
@pytest.mark.parametrize("fail_at", [1, 2, 3, 4, 8])
def test_the_first_failed_sync_poisons_the_store(tmp_path, path, fail_at):
    (tmp_path / "shim.c").write_text(SHIM)
    shim = str(tmp_path / "shim.so")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", shim, str(tmp_path / "shim.c"), "-ldl"], check=True)
    preload = f"{os.environ.get('LD_PRELOAD', '')} {shim}".strip()
    done = run_python(POISON, path, env={**os.environ, "LD_PRELOAD": preload, "FAIL_AT": str(fail_at)})
    assert done.returncode == 0, done.stderr
    accepted, kept = map(int, done.stdout.split())
    assert accepted == (fail_at - 1) // 3  # records, commit words, checkpoint: three calls a commit
    assert kept == accepted + 1
    with tickstore.TickStore(path, "a") as store:
        assert store.count >= accepted


# ---- durability


def test_flush_writes_a_checkpoint(impl, path):
    with impl.TickStore(path, "a") as store:
        assert store.info()["synced"] == 0
        store.append_many(ticks(1000))
        store.flush()
        assert store.info()["synced"] == 1000
        store.flush()


def test_commit_syncs_every_append(impl, path):
    with impl.TickStore(path, "a", sync="commit") as store:
        for i in range(1, 4):
            store.append(i, 1, 1.0, 1.0)
            assert store.info()["synced"] == i
        store.append_many(ticks(200))
        assert store.info()["synced"] == 203


def test_interval_syncs_by_itself(path):
    with tickstore.TickStore(path, "a", sync="interval", sync_interval_s=0.01) as store:
        store.append_many(ticks(1000))
        for _ in range(500):
            if store.info()["synced"] == 1000:
                break
            time.sleep(0.01)
        assert store.info()["synced"] == 1000
        assert "fastcore-store" in {thread.name for thread in threading.enumerate()}
    assert "fastcore-store" not in {thread.name for thread in threading.enumerate()}


def test_a_thread_grows_the_store_ahead(path):
    with tickstore.TickStore(path, "a", segment_records=SEGMENT) as store:
        store.append_many(ticks(SEGMENT - 100))
        for _ in range(500):
            if store.room > SEGMENT:
                break
            time.sleep(0.01)
        assert store.room == SEGMENT + 100
    with tickstore.TickStore(path, "a", grow_ahead=False) as store:
        store.prepare_ahead()
        store.append_many(ticks(SEGMENT + 50))
        time.sleep(0.1)
        assert store.room == 50


def test_the_thread_lets_go_of_a_forgotten_store(path):
    store = tickstore.TickStore(path, "a", sync="interval", sync_interval_s=0.01)
    store.append(1, 1, 1.0, 1.0)
    del store
    for _ in range(500):
        gc.collect()
        if "fastcore-store" not in {thread.name for thread in threading.enumerate()}:
            break
        time.sleep(0.01)
    assert "fastcore-store" not in {thread.name for thread in threading.enumerate()}
    with tickstore.TickStore(path, "a") as store:
        assert store.count == 1


def test_reserve_makes_room(impl, path):
    with impl.TickStore(path, "a", segment_records=SEGMENT) as store:
        store.reserve(5 * SEGMENT + 1)
        assert store.room == 6 * SEGMENT
        assert os.path.getsize(path) == BASE + 6 * (TABLE + SEGMENT * 32)
        store.append_many(ticks(6 * SEGMENT))
        assert store.info()["segments"] in (6, 7)


# ---- queries


def test_query_by_time_and_symbol(impl, small):
    a = ticks(300)
    with impl.TickStore(small) as store:
        assert same(store.query(NOW + 50, NOW + 100), a[5:10])
        assert same(store.query(NOW + 41, NOW + 101), a[5:11])
        assert same(store.query(None, NOW + 30), a[:3])
        assert same(store.query(NOW + 2970), a[297:])
        assert same(store.query(), a)
        assert same(store.query(-5, 2**70), a)
        assert len(store.query(NOW * 2)) == len(store.query(2**64)) == len(store.query(None, 0)) == len(store.query(7, 7)) == 0
        assert same(store.query(symbol_id=3), a[3::7])
        assert same(store.query(NOW + 50, NOW + 500, 3), a[10:50][a["symbol_id"][10:50] == 3])
        assert len(store.query(symbol_id=99)) == 0
        assert not store.query(symbol_id=3).flags.writeable
        with pytest.raises(ValueError, match="start_ns must not be after end_ns: start_ns=2, end_ns=1"):
            store.query(2, 1)
        with pytest.raises(ValueError, match="symbol_id must be in 0.."):
            store.query(symbol_id=-1)
        with pytest.raises(TypeError, match=r"start_ns must be an int: start_ns=1\.5"):
            store.query(1.5)


def test_a_query_in_order_is_a_view(small):
    with tickstore.TickStore(small) as store:
        assert np.shares_memory(store.query(NOW + 50, NOW + 100), store.records())


def test_query_of_times_that_go_back(impl, path):
    rng = np.random.default_rng(5)
    a = ticks(3000)
    a["timestamp_ns"] = NOW + np.sort(rng.integers(0, 10**6, 3000)) + rng.integers(0, 2000, 3000)
    with impl.TickStore(path, "a") as store:
        for part in np.array_split(a, 7):
            store.append_many(np.ascontiguousarray(part))
            n = store.count
            for start, end in (
                (NOW, NOW + 1),
                (NOW + 300_000, NOW + 301_000),
                (NOW + 999_000, None),
                (None, NOW + 5000),
                (None, None),
            ):
                t = a["timestamp_ns"][:n]
                mask = np.ones(n, bool) if start is None else t >= start
                if end is not None:
                    mask &= t < end
                assert same(store.query(start, end), a[:n][mask])
                assert same(store.query(start, end, 5), a[:n][mask & (a["symbol_id"][:n] == 5)])


def test_query_of_other_records(impl, path):
    a = np.zeros(500, [("x", "f8"), ("when", "i8"), ("symbol_id", "u4"), ("pad", "u4")])
    a["when"] = np.arange(-250, 250)
    with impl.TickStore(path, "a", a.dtype, time_field="when") as store:
        store.append_many(a)
        assert store.query(-10, 10)["when"].tolist() == list(range(-10, 10))
        assert len(store.query(-(2**70), 2**70)) == 500
        assert len(store.query(-(2**70), -(2**69))) == 0
    with impl.TickStore(path + "2", "a", [("x", "f8")]) as store:
        with pytest.raises(ValueError, match="no time field"):
            store.query(1, 2)
        with pytest.raises(ValueError, match="no symbol_id"):
            store.query(symbol_id=2)
    with impl.TickStore(path + "3", "a", EVENT_DTYPE) as store:
        assert store.info()["time_field"] == "exch_ns"


# ---- following


def test_follow_sees_every_record_once(impl, path):
    with impl.TickStore(path, "a", segment_records=SEGMENT) as store, impl.TickStore(path) as reader:
        store.append_many(ticks(10))
        batches = reader.follow(-5, timeout_s=0.01, max_records=4)
        assert same(next(batches), ticks(4, 5))
        assert same(next(batches), ticks(1, 9))
        store.append_many(ticks(SEGMENT + 5, 10))
        assert same(np.concatenate(list(batches)), ticks(SEGMENT + 5, 10))
        with pytest.raises(ValueError, match="max_records must be at least 1"):
            reader.follow(max_records=0)
        with pytest.raises(ValueError, match="interval_s must not be negative"):
            reader.follow(interval_s=-1.0)


def test_events_are_written_and_read_in_pieces_as_they_are(impl, path):
    events = np.zeros(1000, EVENT_DTYPE)
    events["seq"], events["price"] = np.arange(1000), np.arange(1000) * 3
    with impl.TickStore(path, "a", EVENT_DTYPE) as store:
        for first in range(0, 1000, 100):
            store.append_many(events[first : first + 100])
        pieces = list(store.pieces(max_records=300))
        assert [len(piece) for piece in pieces] == [300, 300, 300, 100]
        assert np.concatenate(pieces).tobytes() == events.tobytes()
        assert not any(piece.flags.writeable for piece in pieces)
        assert [piece["seq"].tolist() for piece in store.pieces(-5, -1, max_records=3)] == [[995, 996, 997], [998]]
        assert list(store.pieces(7, 7)) == list(store.pieces(9, 7)) == []
        with pytest.raises(ValueError, match="max_records must be at least 1: max_records=0"):
            store.pieces(max_records=0)


def test_pieces_are_views_of_the_file_that_outlive_the_store(path):
    with tickstore.TickStore(path, "a") as store:
        store.append_many(ticks(1000))
        whole = store.records()
        pieces = list(store.pieces(max_records=256))
        store.append_many(ticks(10))
    assert all(np.shares_memory(whole, piece) for piece in pieces)
    assert sum(len(piece) for piece in pieces) == 1000
    assert same(pieces[3], ticks(1000)[768:])


FOLLOW = """
import sys
from fastcore.tickstore import TickStore
store = TickStore(sys.argv[1])
print("ready", flush=True)
want = 0
for batch in store.follow(timeout_s=20, interval_s=0):
    assert batch["timestamp_ns"].tolist() == list(range(want, want + len(batch)))
    assert (batch["volume"] == batch["timestamp_ns"]).all()
    want += len(batch)
    if want == int(sys.argv[2]):
        break
print(want)
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timer signals")
def test_a_signal_ends_the_wait_for_the_tail(impl, small):
    """Also one that comes outside the sleep: with no pause at all, nearly every one does."""
    seen = []

    def interrupt(number, _):
        # The first signal is seen during the wait, or only after its end; then there is no second one.
        seen.append(number)
        if len(seen) == 2:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
        with impl.TickStore(small) as store, pytest.raises(KeyboardInterrupt):
            list(store.follow(timeout_s=20.0, interval_s=0.0))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_another_process_follows_the_tail(path):
    n = 100_000
    with tickstore.TickStore(path, "a", segment_records=SEGMENT) as store:
        reader = subprocess.Popen([sys.executable, "-c", FOLLOW, path, str(n)], stdout=subprocess.PIPE, text=True)
        assert reader.stdout.readline() == "ready\n"
        for first in range(0, n, 1000):
            assert _bench.store_append_loop(store, first, 1000) == 1000
        assert reader.communicate(timeout=60)[0] == f"{n}\n"
        assert reader.returncode == 0


@pytest.mark.threads
def test_a_thread_reads_while_another_writes(path):
    n = 200_000
    with tickstore.TickStore(path, "a", segment_records=SEGMENT) as store, tickstore.TickStore(path) as reader:
        problems = []

        def read():
            want = 0
            for batch in reader.follow(timeout_s=20, interval_s=0):
                stamps = batch["timestamp_ns"]
                if stamps[0] != want or (np.diff(stamps.astype(np.int64)) != 1).any() or (batch["price"] * 2 != stamps).any():
                    problems.append(want)
                want += len(batch)
                if len(problems) or want >= n:
                    break
            problems.extend([] if want == n else [f"saw {want}"])

        thread = threading.Thread(target=read)
        thread.start()
        for first in range(0, n, 500):
            assert _bench.store_append_loop(store, first, 500) == 500
            if first % 50_000 == 0:
                store.flush()
                assert store.verify().reason == ""
        thread.join()
        assert problems == []


@pytest.mark.threads
def test_a_thread_reads_while_another_writes_batches(path):
    n, size = 40, 5000
    a = np.zeros(n * size, TICK_DTYPE)
    a["timestamp_ns"] = np.arange(n * size)
    a["price"] = a["timestamp_ns"] * 0.5
    with (
        tickstore.TickStore(path, "a", segment_records=SEGMENT, sync="interval", sync_interval_s=0.001) as store,
        tickstore.TickStore(path) as reader,
    ):
        seen = []

        def read():
            want = 0
            for batch in reader.follow(timeout_s=20, interval_s=0):
                if not same(batch, a[want : want + len(batch)]) or reader.verify().reason:
                    break
                want += len(batch)
                if want == n * size:
                    break
            seen.append(want)

        thread = threading.Thread(target=read)
        thread.start()
        for i in range(n):
            store.append_many(a[i * size : (i + 1) * size])
        thread.join()
        assert seen == [n * size]


@pytest.mark.threads
def test_syncs_and_growth_in_a_thread_do_not_disturb_the_writer(path):
    with tickstore.TickStore(path, "a", segment_records=SEGMENT, sync="interval", sync_interval_s=0.001) as store:
        for first in range(0, 100_000, 100):
            _bench.store_append_loop(store, first, 100)
            store.append(first + 100, 1, 1.0, 1.0)
        assert store.verify() == (101_000, 101_000 * 32, 0, 0, "", None)
    with tickstore.TickStore(path) as store:
        assert store.count == store.info()["synced"] == 101_000


# ---- checksums


@pytest.mark.parametrize(
    ("data", "crc"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_crc32c_of_rfc_3720(impl, data, crc):
    assert impl.crc32c(data) == impl.crc32c_scalar(data) == crc


def test_crc32c_twins_agree_at_every_length():
    data = np.random.default_rng(3).bytes(9000)
    for n in [*range(0, 100), *range(760, 800), 1344, *range(4025, 4045), *range(4075, 4105), 8192, 9000]:
        assert tickstore.crc32c(data[:n]) == tickstore.crc32c_scalar(data[:n])
        assert tickstore.crc32c(data[:n][5:], tickstore.crc32c(data[:n][:5])) == tickstore.crc32c(data[:n])
    assert twin.crc32c(data) == tickstore.crc32c(data)


def test_the_scalar_twin_can_be_forced(path):
    code = (
        "import sys; from fastcore import tickstore as t; assert t.CRC32C_IMPLEMENTATION == 'scalar'; import numpy as np\n"
        "s = t.TickStore(sys.argv[1], 'a'); [s.append(i, i, i * 1.5, i) for i in range(300)]\n"
        "s.append_many(s.records().copy()); s.close()"
    )
    done = run_python(code, path, env={**os.environ, "FASTCORE_DISABLE_CPU_FEATURES": "sse4.2"})
    assert done.returncode == 0, done.stderr
    with tickstore.TickStore(path) as store:
        assert store.count == 600
        assert store.verify().reason == ""


def test_info_tells_everything(impl, small):
    with impl.TickStore(small) as store:
        info = store.info()
        assert {
            "records": 300,
            "record_size": 32,
            "segment_records": SEGMENT,
            "block_records": 128,
            "epoch": 1,
            "writer_pid": 0,
        }.items() <= info.items()
        assert abs(info["created_ns"] - time.time_ns()) < 3600 * 10**9
        assert info["file_bytes"] == os.path.getsize(small)
        assert info["synced"] == 300
