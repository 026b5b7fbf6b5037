"""The directory store against a list: whatever is appended in whatever batches, queries give it back in the order of time."""

import os
import tempfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit import examples

from fastcore.records import EVENT_DTYPE, TICK_DTYPE
from fastcore.tickstore import TickStore
from hft import store as hs

pytestmark = pytest.mark.thin

MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") and os.access("/dev/shm", os.W_OK) else None  # not about the disk
DAY = 86_400 * 10**9
BASE = 19_790 * DAY
TIMES = st.integers(BASE - 2 * DAY, BASE + 2 * DAY) | st.sampled_from([BASE - 1, BASE, BASE + 1, BASE + DAY - 1, BASE + DAY])
ROWS = st.lists(st.tuples(TIMES, st.integers(0, 9)), max_size=40)


def ticks(rows, first):
    a = np.zeros(len(rows), TICK_DTYPE)
    a["timestamp_ns"] = [row[0] for row in rows]
    a["symbol_id"] = [row[1] for row in rows]
    a["volume"] = np.arange(first, first + len(rows))
    return a


def expected(records, groups, start=None, end=None, symbols=None):
    """Rows in the order of time, then group, then as they were appended."""
    rows = [
        row
        for row in records
        if (start is None or row[0] >= start) and (end is None or row[0] < end) and (symbols is None or row[1] in symbols)
    ]
    return sorted(rows, key=lambda row: (row[0], row[1] % groups))


@examples(60)
@given(
    st.lists(ROWS, min_size=1, max_size=5),
    st.integers(1, 5),
    st.sampled_from([0, 3600, -5 * 3600, 86_399]),
    st.lists(st.sampled_from(["reopen", "stores", "parquet", "index", "nothing"]), max_size=4),
    st.lists(st.tuples(st.none() | TIMES, st.none() | TIMES, st.none() | st.lists(st.integers(0, 11), max_size=3)), max_size=6),
    st.integers(1, 50),
)
def test_directory_gives_back_what_was_appended(batches, groups, offset, steps, queries, size):
    if "parquet" in steps:
        pytest.importorskip("pyarrow")
    with tempfile.TemporaryDirectory(dir=MEMORY) as root:
        model, closed = [], False
        writer = hs.DirectoryStore(f"{root}/d", "a", groups=groups, utc_offset_s=offset, segment_records=2048)
        try:
            for number, rows in enumerate(batches):
                if closed:
                    break
                part = ticks(rows, len(model))
                writer.append_many(part)
                model += part.tolist()
                step = steps[number] if number < len(steps) else "nothing"
                if step == "reopen":
                    writer.close()
                    writer = hs.DirectoryStore(f"{root}/d", "a")
                elif step in ("stores", "parquet"):
                    writer.close()
                    with hs.DirectoryStore(f"{root}/d") as other:
                        other.compact("2030-01-01", step)
                    writer = hs.DirectoryStore(f"{root}/d", "a")
                    closed = step == "parquet"
                elif step == "index":
                    writer.reindex()
            assert writer.query().tolist() == expected(model, groups)
            with hs.DirectoryStore(f"{root}/d") as reader:
                for start, end, symbols in queries:
                    if start is not None and end is not None and start > end:
                        start, end = end, start
                    wanted = expected(model, groups, start, end, symbols)
                    assert reader.query(start, end, symbols).tolist() == wanted
                    found = list(reader.batches(start, end, symbols, batch_records=size))
                    assert [row for part in found for row in part.tolist()] == wanted
                    assert all(0 < len(part) <= size for part in found)
                assert reader.tail(size).tolist() == expected(model, groups)[-size:]
                assert reader.info()["records"] == len(model)
                assert all(not found["reason"] for found in reader.verify().values())
        finally:
            writer.close()


@examples(40)
@given(st.binary(max_size=64 * 60), st.sampled_from(["parquet", "arrow", "csv"]), st.integers(1, 70))
def test_events_roundtrip_through_files_bit_by_bit(data, suffix, batch):
    pytest.importorskip("pyarrow")
    records = np.frombuffer(data[: len(data) // 64 * 64], EVENT_DTYPE)
    if not len(records) and suffix == "csv":
        return  # without rows there are no types
    with tempfile.TemporaryDirectory() as folder:
        with stored(f"{folder}/s", records) as store:
            hs.export(store, f"{folder}/out.{suffix}", batch_records=batch)
        hs.import_(f"{folder}/out.{suffix}", f"{folder}/back", unordered=True, batch_records=batch)
        with TickStore(f"{folder}/back") as back:
            assert back.records().tobytes() == records.tobytes()


def stored(path, records):
    store = TickStore(path, "x", EVENT_DTYPE, segment_records=1024)
    store.append_many(np.ascontiguousarray(records))
    return store
