"""Tick store: append one by one and in batches, scan, query.

Every tick of every feed goes through an append, so it must cost nearly nothing. Compared with an empty compiled method with the
same arguments (the price of the call itself), the replaced design (a Python class that packs with ``struct`` into a slice of an
mmap), ``file.write``, LMDB, SQLite, Arrow IPC and a NumPy memmap.
Stores are on a file system in memory where there is one: this is about the processor, not about the disk.
"""

from __future__ import annotations

import mmap
import os
import shutil
import sqlite3
import struct
import tempfile
from typing import Any

import numpy as np

from fastcore import _bench
from fastcore.records import EVENT_DTYPE, TICK_DTYPE
from fastcore.replaced import MemoryMappedDataStore
from fastcore.tickstore import TickStore

from .harness import Bench, calls, main

GROUP = "tickstore"
BATCH = 4096
TICK = struct.Struct("@QIdd")


class MmapStruct:
    """The replaced design: struct.pack into a slice of an mmap, one record at a time; a full file starts again."""

    def __init__(self, path: str, max_records: int) -> None:
        with open(path, "wb") as file:
            file.truncate(max_records * TICK.size)
        self.file = open(path, "r+b")  # noqa: SIM115
        self.map = mmap.mmap(self.file.fileno(), 0)
        self.max_records = max_records
        self.count = 0

    def write_tick(self, timestamp: int, symbol_id: int, price: float, volume: float) -> bool:
        if self.count >= self.max_records:
            self.count = 0
        offset = self.count * TICK.size
        self.map[offset : offset + TICK.size] = struct.pack("QIdd", timestamp, symbol_id, price, volume)
        self.count += 1
        return True

    def close(self) -> None:
        self.map.close()
        self.file.close()


class Rewound:
    """A store that is replaced by a fresh one before it grows, so that a long measurement does not fill the memory."""

    def __init__(self, folder: str, room: int, dtype: Any = TICK_DTYPE) -> None:
        self.path, self.room, self.dtype = os.path.join(folder, "rewound"), room, dtype
        self.store: TickStore | None = None
        self.rewind()

    def rewind(self) -> TickStore:
        if self.store is not None:
            self.store.close()
            os.unlink(self.path)
        self.store = TickStore(self.path, "x", self.dtype, segment_records=self.room, grow_ahead=False)
        return self.store


def run(bench: Bench) -> None:
    folder = tempfile.mkdtemp(prefix="bench-store-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
    try:
        one_by_one(bench, folder)
        batches(bench, folder)
        compiled(bench, folder)
        reading(bench, folder)
    finally:
        shutil.rmtree(folder)


def one_by_one(bench: Bench, folder: str) -> None:
    n = 10_000
    most = n * (60 if bench.quick else 450)  # the harness repeats at most 200 times
    call = "f(1700000000000000000, 7, 101.25, 3.0)"
    empty = _bench.Empty().int_int_float_float
    with (
        TickStore(os.path.join(folder, "one"), "x", segment_records=most) as store,
        MemoryMappedDataStore(os.path.join(folder, "compat"), most) as compat,
    ):
        replaced = MmapStruct(os.path.join(folder, "replaced"), 100_000)
        file = open(os.path.join(folder, "file"), "wb", buffering=1 << 20)  # noqa: SIM115
        pack, write = TICK.pack, file.write
        impls: dict[str, Any] = {
            "fastcore": calls(call, n, f=store.append),
            "fastcore write_tick": calls(call, n, f=compat.write_tick),
            "empty call": calls(call, n, f=empty),
            "python mmap struct": (calls(call, 2_000, f=replaced.write_tick), 2_000),
            "python file.write": (calls("w(p(1700000000000000000, 7, 101.25, 3.0))", 2_000, w=write, p=pack), 2_000),
        }
        lmdb = bench.optional("lmdb")
        if lmdb:
            environment = lmdb.open(
                os.path.join(folder, "lmdb"), map_size=1 << 30, sync=False, metasync=False, writemap=True, map_async=True
            )
            key = struct.Struct(">Q").pack

            def put(count: int = 2_000) -> int:
                with environment.begin(write=True) as transaction:
                    put_one = transaction.put
                    for i in range(count):
                        put_one(key(i), pack(1700000000000000000 + i, 7, 101.25, 3.0), append=False)
                return count

            impls["lmdb put"] = (put, 2_000)
        database = sqlite3.connect(os.path.join(folder, "sqlite"), isolation_level=None)
        database.execute("pragma journal_mode=off")
        database.execute("pragma synchronous=off")
        database.execute("create table tick (timestamp_ns integer, symbol_id integer, price real, volume real)")

        def insert(count: int = 2_000) -> int:
            database.execute("begin")
            execute = database.execute
            for i in range(count):
                execute("insert into tick values (?, ?, ?, ?)", (1700000000000000000 + i, 7, 101.25, 3.0))
            database.execute("commit")
            return count

        impls["sqlite insert"] = (insert, 2_000)
        bench.compare(GROUP, "append one from Python", n, impls)
        # The answers: everything measured was stored.
        for kept in (store.records(), compat.store.records()):
            assert len(kept) % n == 0
            assert (kept["price"] == 101.25).all()
            assert (kept["timestamp_ns"] == 1700000000000000000).all()
        assert store.verify().reason == ""
        assert TICK.unpack(replaced.map[:32]) == (1700000000000000000, 7, 101.25, 3.0)
        if lmdb:
            with environment.begin() as transaction:
                assert TICK.unpack(transaction.get(struct.pack(">Q", 1999)))[0] == 1700000000000001999
            environment.close()
        assert database.execute("select count(*) from tick").fetchone()[0] % 2_000 == 0
        database.close()
        file.close()
        replaced.close()


def make_ticks(n: int) -> Any:
    a = np.zeros(n, TICK_DTYPE)
    i = np.arange(n)
    a["timestamp_ns"] = 1700000000000000000 + i * 1000
    a["symbol_id"] = i % 100
    a["price"] = 100.0 + i % 512 * 0.25
    a["volume"] = 1.0 + i % 10
    return a


def batches(bench: Bench, folder: str) -> None:
    data = make_ticks(BATCH)
    many = 8  # batches in a call
    rewound = Rewound(folder, 64 * many * BATCH)

    def ours() -> int:
        store = rewound.store
        assert store is not None
        if store.room < many * BATCH:
            store = rewound.rewind()
        append_many = store.append_many
        for _ in range(many):
            append_many(data)
        return store.count

    memmap = np.memmap(os.path.join(folder, "memmap"), TICK_DTYPE, "w+", shape=(64 * many * BATCH,))
    memmap[:] = data[0]
    position = [0]

    def to_memmap() -> int:
        start = position[0]
        for k in range(many):
            memmap[start + k * BATCH : start + (k + 1) * BATCH] = data
        position[0] = (start + many * BATCH) % len(memmap)
        return many * BATCH

    raw = memmap.view(np.uint8).reshape(-1)
    raw_data = data.view(np.uint8)

    def to_memmap_bytes() -> int:
        start = position[0] * 32
        for k in range(many):
            raw[start + k * BATCH * 32 : start + (k + 1) * BATCH * 32] = raw_data
        position[0] = (position[0] + many * BATCH) % len(memmap)
        return many * BATCH

    impls: dict[str, Any] = {"fastcore": ours, "numpy memmap": to_memmap, "numpy memmap as bytes": to_memmap_bytes}
    pyarrow = bench.optional("pyarrow")
    columns = [np.ascontiguousarray(data[name]) for name in TICK_DTYPE.names or ()]
    if pyarrow:
        from pyarrow import ipc

        schema = pyarrow.schema(
            [
                ("timestamp_ns", pyarrow.uint64()),
                ("symbol_id", pyarrow.uint32()),
                ("price", pyarrow.float64()),
                ("volume", pyarrow.float64()),
            ]
        )
        target = os.path.join(folder, "arrow")

        def arrow() -> int:
            # From the same array of records, as a feed has them.
            with pyarrow.OSFile(target, "wb") as sink, ipc.new_file(sink, schema) as writer:
                for _ in range(many):
                    batch = pyarrow.record_batch([pyarrow.array(data[name]) for name in data.dtype.names], schema=schema)
                    writer.write_batch(batch)
            return many * BATCH

        def arrow_columns() -> int:
            # Columns that are contiguous already: the best case of Arrow.
            with pyarrow.OSFile(target, "wb") as sink, ipc.new_file(sink, schema) as writer:
                for _ in range(many):
                    writer.write_batch(pyarrow.record_batch([pyarrow.array(column) for column in columns], schema=schema))
            return many * BATCH

        impls["arrow ipc"] = arrow
        impls["arrow ipc from columns"] = arrow_columns

    def to_file() -> int:
        with open(os.path.join(folder, "rows"), "wb") as file:
            for _ in range(many):
                data.tofile(file)
        return many * BATCH

    impls["numpy tofile"] = to_file
    bench.compare(GROUP, f"append batches of {BATCH:,}", many * BATCH, impls)
    store = rewound.store
    assert store is not None
    kept = store.records()
    assert (kept[-BATCH:] == data).all()
    assert store.verify().reason == ""
    if pyarrow:
        with pyarrow.OSFile(os.path.join(folder, "arrow")) as source, ipc.open_file(source) as reader:
            assert reader.read_all()["price"].to_numpy()[:BATCH].tolist() == data["price"].tolist()
    store.close()
    os.unlink(rewound.path)


def compiled(bench: Bench, folder: str) -> None:
    n = 100_000
    rewound = Rewound(folder, 20 * n)

    def ours() -> int:
        store = rewound.store
        assert store is not None
        if store.room < n:
            store = rewound.rewind()
        return int(_bench.store_append_loop(store, store.count, n))

    def check(impl: str, result: Any) -> None:
        assert result == n

    bench.compare(GROUP, "append in a compiled loop", n, {"fastcore": ours}, check)
    store = rewound.store
    assert store is not None
    assert (store.records()["timestamp_ns"] == np.arange(store.count)).all()
    store.close()
    os.unlink(rewound.path)


def reading(bench: Bench, folder: str) -> None:
    n = 200_000 if bench.quick else 2_000_000
    data = make_ticks(n)
    path = os.path.join(folder, "scan")
    with TickStore(path, "x", segment_records=n) as writer:
        writer.append_many(data)
    with TickStore(path) as store:
        mapped = store.records()
        expected = float(data["price"].sum())

        def check(impl: str, result: Any) -> float:
            assert abs(result - expected) <= 1e-9 * expected
            return abs(result - expected)

        impls = {"fastcore": lambda: store.records()["price"].sum(), "numpy in memory": lambda: data["price"].sum()}
        bench.compare(GROUP, "scan of one field", n, impls, check)
        del mapped

        start, end = int(data["timestamp_ns"][n // 2]), int(data["timestamp_ns"][n // 2 + 1000])
        times = data["timestamp_ns"]

        def masked() -> Any:
            return data[(times >= start) & (times < end)]

        def searched() -> Any:
            low, high = np.searchsorted(times, [start, end])
            return data[low:high]

        def check_range(impl: str, result: Any) -> None:
            assert (result == data[n // 2 : n // 2 + 1000]).all()

        # One item is one query that finds 1,000 records.
        bench.compare(
            GROUP,
            "query of a time range",
            1,
            {"fastcore": lambda: store.query(start, end), "numpy mask": masked, "numpy searchsorted": searched},
            check_range,
        )

        def check_symbol(impl: str, result: Any) -> None:
            assert (result == data[n // 2 : n // 2 + 1000][data["symbol_id"][n // 2 : n // 2 + 1000] == 7]).all()

        bench.compare(
            GROUP,
            "query of a time range and symbol",
            1,
            {
                "fastcore": lambda: store.query(start, end, 7),
                "numpy mask": lambda: data[(times >= start) & (times < end) & (data["symbol_id"] == 7)],
            },
            check_symbol,
        )

        def check_report(impl: str, result: Any) -> None:
            assert result.records == n
            assert not result.reason

        bench.compare(GROUP, "verify checksums", n, {"fastcore": store.verify}, check_report)
    events = os.path.join(folder, "events")
    with TickStore(events, "x", EVENT_DTYPE) as journal:
        one = np.zeros(1, EVENT_DTYPE)
        rows = np.zeros(64, EVENT_DTYPE)
        bench.compare(
            GROUP,
            "append 64-byte events, batches of 64",
            64,
            {"fastcore": lambda: journal.append_many(rows), "empty call": lambda: _bench.StoreNothing().append_many(one)},
        )


if __name__ == "__main__":
    main(run)
