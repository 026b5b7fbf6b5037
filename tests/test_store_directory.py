"""The directory store: which files a query opens, what it answers, what it refuses, and what survives."""

import contextlib
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from makers.stores import DAY, FIRST, SEGMENT, fill, ticks

from fastcore.errors import CorruptDataError, LayoutError, StoreError, StoreLockedError, UnknownSymbolError
from fastcore.records import EVENT_DTYPE, NO_SYMBOL, QUOTE_DTYPE, TICK_DTYPE
from fastcore.store_files import FileLock
from fastcore.tickstore import StoreWarning, TickStore
from hft.store import DirectoryStore, QueryStats, SymbolTable, open_store
from hft.store.files import replaced

pytestmark = pytest.mark.thin

DAYS = ("2024-03-08", "2024-03-09", "2024-03-10")


@pytest.fixture
def root(tmp_path):
    """On a file system in memory where there is one: these tests are about bytes, not about the disk."""
    if os.path.isdir("/dev/shm") and os.access("/dev/shm", os.W_OK):
        folder = Path("/dev/shm") / f"fastcore-directory-{os.getpid()}-{tmp_path.name}"
        yield folder
        shutil.rmtree(folder, ignore_errors=True)
    else:
        yield tmp_path / "store"


@pytest.fixture
def full(root):
    return fill(root, ticks())


def ordered(records):
    return records[np.argsort(records["timestamp_ns"], kind="stable")]


def same(a, b):
    """Records of distinct times, whatever their padding."""
    return a.dtype == b.dtype and a.tolist() == b.tolist()


# ---- reading


def test_a_query_of_one_day_and_one_symbol_opens_exactly_one_file(full):
    records = ticks()
    with DirectoryStore(full) as store:
        found = store.query(FIRST * DAY, (FIRST + 1) * DAY, ["S7"])
        assert store.opened == 1
        assert store.last_query == QueryStats(candidates=1, skipped=0, opened=1)
        assert same(found, records[(records["symbol_id"] == 7) & (records["timestamp_ns"] < (FIRST + 1) * DAY)])
        store.query(FIRST * DAY, (FIRST + 1) * DAY, ["S7"])
        assert store.opened == 1, "it is still open"
        store.query(FIRST * DAY, (FIRST + 1) * DAY, [7, 3])
        assert store.opened == 1, "one group"
        store.query((FIRST + 1) * DAY, (FIRST + 3) * DAY, ["S7"])
        assert store.opened == 3


def test_the_index_spares_files_of_other_hours(root):
    records = ticks()
    records = records[(records["symbol_id"] % 4 == 1) | (records["timestamp_ns"] % DAY < DAY // 2)]
    fill(root, records)
    afternoon = (FIRST * DAY + 3 * DAY // 4, (FIRST + 1) * DAY)
    with DirectoryStore(root) as store:
        store.query(*afternoon)
        assert store.last_query == QueryStats(candidates=4, skipped=3, opened=1)
    (root / "index.json").unlink()
    with DirectoryStore(root) as store:
        found = store.query(*afternoon)
        assert store.last_query == QueryStats(candidates=4, skipped=0, opened=4)
        assert same(found, records[(records["timestamp_ns"] >= afternoon[0]) & (records["timestamp_ns"] < afternoon[1])])


@pytest.mark.parametrize("damage", ["garbage", "flipped", "foreign", "other", "empty list"])
def test_a_bad_index_changes_no_answer(full, damage, tmp_path):
    path = full / "index.json"
    text = path.read_bytes()
    if damage == "other":
        fill(tmp_path / "other", ticks(seed=9))
        text = (tmp_path / "other" / "index.json").read_bytes()
    path.write_bytes(
        {
            "garbage": b"\xff{",
            "flipped": text.replace(b"first_ns", b"first_nz"),
            "foreign": b'{"hello": 1}',
            "other": text,
            "empty list": b"[]",
        }[damage]
    )
    with DirectoryStore(full) as store:
        assert same(store.query(FIRST * DAY, (FIRST + 1) * DAY), ticks()[ticks()["timestamp_ns"] < (FIRST + 1) * DAY])
        assert store.last_query.skipped == 0
        assert store.info()["records"] == 3000
        assert store.reindex() == 12
    with DirectoryStore(full) as store:
        assert store.reindex() == 0


def test_an_index_that_is_behind_changes_no_answer(full):
    """Kept from before the last records came: what it says of a partition that has grown does not count."""
    before = (full / "index.json").read_bytes()
    late = ticks(5)
    late["timestamp_ns"] = (FIRST + 3) * DAY - 5 + np.arange(5)
    with DirectoryStore(full, "a") as store:
        store.append_many(late)
    (full / "index.json").write_bytes(before)
    with DirectoryStore(full) as store:
        assert same(store.query((FIRST + 3) * DAY - 5), late)
        assert store.info()["records"] == 3005


def test_everything_in_the_order_of_time(full):
    with DirectoryStore(full) as store:
        found = store.query()
        assert same(found, ticks())
        assert not found.flags.writeable
        assert store.days() == list(DAYS)


@pytest.mark.parametrize("size", [1, 7, 100, 999, 10_000])
def test_batches_are_the_query_in_bounded_arrays(full, size):
    with DirectoryStore(full) as store:
        parts = list(store.batches(batch_records=size))
        assert max(map(len, parts)) <= size
        assert [row for part in parts for row in part.tolist()] == ticks().tolist()


def test_a_view_where_nothing_is_merged(root):
    fill(root, ticks(days=1), groups=1)
    with DirectoryStore(root) as store:
        found = store.query(FIRST * DAY)
        assert found.base is not None and not found.flags.owndata
        assert same(found, ticks(days=1))
    assert same(found, ticks(days=1)), "it outlives the store"


def test_equal_times_keep_the_order_of_their_partition(root):
    records = ticks(500, 1)
    records["timestamp_ns"] = FIRST * DAY + np.arange(500) // 50
    fill(root, records)
    with DirectoryStore(root) as store:
        expected = records[np.lexsort((np.arange(500), records["symbol_id"] % 4, records["timestamp_ns"]))]
        assert same(store.query(), expected)
        assert [row for part in store.batches(batch_records=30) for row in part.tolist()] == expected.tolist()


def test_times_that_go_back_are_sorted(root):
    records = ticks(1000)
    np.random.default_rng(3).shuffle(records)
    fill(root, records)
    with DirectoryStore(root) as store:
        assert same(store.query(), ordered(records))
        assert same(store.tail(10), ordered(records)[-10:])
        assert sum(found["out_of_order"] for found in store.verify().values()) > 0
        assert all(found["reason"] == "" for found in store.verify().values())


def test_tail_opens_the_last_day_only(full):
    with DirectoryStore(full) as store:
        assert same(store.tail(10), ticks()[-10:])
        assert store.opened == 4
        assert same(store.tail(5, ["S3"]), ticks()[ticks()["symbol_id"] == 3][-5:])
        assert same(store.tail(2000), ticks()[-2000:])
        assert len(store.tail(10**6)) == 3000
        assert len(store.tail(0)) == 0


def test_what_a_query_returns_can_be_appended(full, tmp_path):
    with DirectoryStore(full) as store, TickStore(tmp_path / "one", "x") as one:
        assert one.append_many(store.query(symbols=["S1", "S2"])) > 0
        one.append_many(np.ascontiguousarray(store.query()[-5:]))


@pytest.mark.parametrize(
    ("arguments", "error", "rule"),
    [
        ((5, 4), ValueError, "start_ns must not be after end_ns"),
        ((None, None, ["NOPE"]), UnknownSymbolError, "symbol='NOPE'"),
        ((None, None, [-3]), ValueError, "symbol_id must be in 0.."),
        ((None, None, [2.5]), TypeError, "names or ids"),
    ],
)
def test_bad_queries_are_refused(full, arguments, error, rule):
    with DirectoryStore(full) as store:
        with pytest.raises(error, match=rule):
            store.query(*arguments)
        with pytest.raises(error, match=rule):
            list(store.batches(*arguments))


def test_queries_beside_the_data_open_nothing(full):
    with DirectoryStore(full) as store:
        assert len(store.query(end_ns=FIRST * DAY)) == 0
        assert len(store.query(start_ns=1 << 70)) == 0
        assert len(store.query(end_ns=-(1 << 70))) == 0
        assert len(store.query(symbols=[])) == 0
        assert store.opened == 0
        assert len(store.query(-(1 << 70), 1 << 70)) == 3000
        assert len(store.query(symbols=[4_000_000])) == 0


def test_a_day_begins_where_the_offset_says(root):
    records = ticks(2000)
    fill(root, records, utc_offset_s=-5 * 3600)
    with DirectoryStore(root) as store:
        assert store.days() == ["2024-03-07", *DAYS]
        assert store.day_of((FIRST * DAY) + 5 * 3600 * 10**9) == "2024-03-08"
        assert store.day_of((FIRST * DAY) + 5 * 3600 * 10**9 - 1) == "2024-03-07"
        assert same(store.query(), records)
        found = store.query(FIRST * DAY, FIRST * DAY + 5 * 3600 * 10**9, ["S0"])
        assert store.last_query.candidates == 1
        assert len(found) and same(
            found, records[(records["timestamp_ns"] < FIRST * DAY + 5 * 3600 * 10**9) & (records["symbol_id"] == 0)]
        )
        assert all(found["reason"] == "" for found in store.verify().values())


def test_events_of_any_symbol(root):
    events = np.zeros(100, EVENT_DTYPE)
    events["exch_ns"] = FIRST * DAY + np.arange(100)
    events["symbol_id"] = np.where(np.arange(100) % 10, np.arange(100) % 7, NO_SYMBOL)
    events["seq"] = np.arange(100)
    fill(root, events)
    with DirectoryStore(root) as store:
        assert store.dtype is EVENT_DTYPE
        assert (store.query()["seq"] == np.arange(100)).all()
        assert (store.query(symbols=[NO_SYMBOL])["seq"] == np.arange(0, 100, 10)).all()
        assert store.info()["time_field"] == "exch_ns"
        assert sum(found["unnamed"] for found in store.verify().values()) == 10


# ---- symbols


def test_symbols_keep_their_ids(root):
    with DirectoryStore(root, "a") as store:
        assert store.symbols.add("AAPL") == 0
        assert store.symbols.add_many(["MSFT", "AAPL", "Ägypten-€"]).tolist() == [1, 0, 2]
        assert store.symbols.add("FAR", 1000, tick_size=0.01) == 1000
        assert store.symbols.add("NEXT") == 1001
        with DirectoryStore(root) as reader:
            assert reader.symbols.names == {0: "AAPL", 1: "MSFT", 2: "Ägypten-€", 1000: "FAR", 1001: "NEXT"}
            store.symbols.add("LATE")
            assert reader.symbols.id_of("LATE") == 1002, "a reader sees what comes"
            assert reader.symbols.name_of(1002) == "LATE"
            assert reader.symbols.sizes_of(1000)[0] == 0.01
        before = os.path.getsize(root / "symbols.store")
        store.symbols.add_many(["AAPL", "MSFT"] * 1000)
        assert os.path.getsize(root / "symbols.store") == before
        assert len(store.symbols) == 6


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        (("",), "1..64 printable"),
        ((" A",), "without spaces around"),
        (("A\n",), "printable"),
        (("A" * 65,), "1..64"),
        (("\ud800",), "printable"),
        (("NEW", 0), "keeps its id"),
        (("AAPL", 5), "keeps its id"),
        (("NEW", -1), "symbol_id must be in 0.."),
        (("NEW", NO_SYMBOL), "symbol_id must be in 0.."),
    ],
)
def test_bad_symbols_are_refused(root, arguments, rule):
    with DirectoryStore(root, "a") as store:
        store.symbols.add("AAPL")
        with pytest.raises(ValueError, match=rule):
            store.symbols.add(*arguments)
        wanted = arguments[1] if len(arguments) > 1 else None
        with pytest.raises(ValueError, match=rule):
            store.symbols._add([("GOOD", None, 1.0, 1.0), (arguments[0], wanted, 1.0, 1.0)])
        assert store.symbols.names == {0: "AAPL"}, "all or none"


def test_sizes_of_a_symbol_may_be_told_later_and_never_change(root):
    with DirectoryStore(root, "a") as store:
        store.symbols.add("X")
        store.symbols.add("X", tick_size=0.01, lot_size=1.0)
        store.symbols.add("X")
        assert store.symbols.sizes_of(0) == (0.01, 1.0)
        with pytest.raises(ValueError, match=r"tick_size of a symbol never changes.*stored=0.01"):
            store.symbols.add("X", tick_size=0.02)
        for bad in (0.0, -1.0, float("inf")):
            with pytest.raises(ValueError, match="lot_size must be positive"):
                store.symbols.add("Y", lot_size=bad)
    with DirectoryStore(root) as store:
        assert store.symbols.sizes_of(0) == (0.01, 1.0)


def test_a_torn_symbol_is_dropped_and_a_damaged_one_refused(root):
    with DirectoryStore(root, "a") as store:
        store.symbols.add_many(["A", "B", "C"])
    path = root / "symbols.store"
    data = bytearray(path.read_bytes())
    place = data.index(b"B\0\0\0")
    data[place] ^= 1
    path.write_bytes(data)
    with pytest.raises(CorruptDataError):
        DirectoryStore(root)
    with pytest.raises(CorruptDataError):
        DirectoryStore(root, "a")


def test_a_table_of_double_names_is_refused(root):
    root.mkdir()
    from hft.store.symbols import SYMBOL_DTYPE

    with TickStore(root / "s", "x", SYMBOL_DTYPE) as store:
        rows = np.zeros(2, SYMBOL_DTYPE)
        rows["name"] = [b"A", b"B"]
        store.append_many(rows)
    with pytest.raises(CorruptDataError, match="must keep its id"):
        SymbolTable(root / "s")


class Feed:
    """What `record` needs of a feed: ids that are rows of its own table."""

    class Instrument:
        def __init__(self, symbol):
            self.symbol, self.tick_size, self.lot_size = symbol, 0.01, 1.0

    def __init__(self, names, shift):
        self.instruments = []
        self.names, self.shift = names, shift

    def __iter__(self):
        for i, name in enumerate(self.names):
            self.instruments.append(self.Instrument(name))
            events = np.zeros(4, EVENT_DTYPE)
            events["exch_ns"] = (FIRST + self.shift) * DAY + 10 * i + np.arange(4)
            events["symbol_id"] = [i, 0, NO_SYMBOL, 77]
            yield events


def test_a_feed_is_recorded_under_the_ids_of_the_store(root):
    """Two days on which the venue numbers its symbols otherwise."""
    with DirectoryStore(root, "a", EVENT_DTYPE) as store:
        assert store.record(Feed(["A", "B", "C"], 1)) == 12
        assert store.record(Feed(["C", "A"], 2)) == 8
        assert store.symbols.names == {0: "A", 1: "B", 2: "C"}
        assert store.query(symbols=["A"])["exch_ns"].tolist() == [
            (FIRST + 1) * DAY + t for t in (0, 1, 11, 21)
        ] + [(FIRST + 2) * DAY + 10]  # fmt: skip
        assert len(store.query(symbols=[NO_SYMBOL])) == 2 * 3 + 2 * 2


# ---- writing


def test_partitions_are_tick_stores(full):
    records = ticks()
    assert sorted(os.listdir(full)) == [*DAYS, "index.json", "store.json", "symbols.store", "symbols.store.lock"]
    with TickStore(full / DAYS[1] / "group-02.ticks") as store:
        day = records["timestamp_ns"] // DAY == FIRST + 1
        assert same(store.records(), records[day & (records["symbol_id"] % 4 == 2)])


def test_a_later_day_closes_the_earlier_ones(root):
    records = ticks(100)
    with DirectoryStore(root, "a", groups=2) as store:
        store.append_many(records)
        assert {day for day, _ in store._writers} == {FIRST + 2}
        store.append_many(records[-1:])
        store.append(int(records["timestamp_ns"][-1]) + DAY, 1, 1.0, 1.0)
        assert list(store._writers) == [(FIRST + 3, 1)]
        TickStore(root / DAYS[0] / "group-00.ticks", "a").close()  # its lock is free
        store.append_many(records[:1])  # late
        assert len(store._writers) == 2
        assert len(store.query()) == 103
        store.roll((FIRST + 4) * DAY)
        assert store._writers == {}
        assert store.reindex() == 0, "rolling writes the index"


def test_a_bad_record_stores_none(root):
    with DirectoryStore(root, "a") as store:
        for field, value in (
            ("price", np.nan),
            ("volume", -1.0),
            ("volume", np.inf),
            ("symbol_id", NO_SYMBOL),
            ("timestamp_ns", 1 << 63),
        ):
            bad = ticks(50)
            bad[field][33] = value
            with pytest.raises(ValueError, match="index=33"):
                store.append_many(bad)
        with pytest.raises(TypeError, match="must be an ndarray"):
            store.append_many(bad.tolist())
        with pytest.raises(TypeError, match="dtype of the store"):
            store.append_many(np.zeros(1, EVENT_DTYPE))
        with pytest.raises(ValueError, match="one-dimensional"):
            store.append_many(ticks(4).reshape(2, 2))
        for tick in ((-1, 0, 1.0, 1.0), (1, -1, 1.0, 1.0), (1, NO_SYMBOL, 1.0, 1.0), (1, 0, np.nan, 1.0)):
            with pytest.raises(ValueError, match="must be"):
                store.append(*tick)
        assert store.append_many(ticks(0)) == 0
        assert len(store.query()) == 0


def test_a_strided_array_is_taken(root):
    with DirectoryStore(root, "a") as store:
        store.append_many(ticks()[::3])
        assert same(store.query(), ticks()[::3])


def test_a_time_without_a_day_is_refused(root):
    events = np.zeros(1, EVENT_DTYPE)
    with DirectoryStore(root, "a", EVENT_DTYPE) as store:
        for time_ns in (0, -(1 << 63), (1 << 63) - 1):
            events["exch_ns"] = time_ns
            store.append_many(events)
        assert store.days() == ["1677-09-21", "1970-01-01", "2262-04-11"]
        assert store.query()["exch_ns"].tolist() == [-(1 << 63), 0, (1 << 63) - 1]


def test_one_writer(full):
    with DirectoryStore(full, "a") as store:
        with pytest.raises(StoreLockedError):
            DirectoryStore(full, "a")
        with DirectoryStore(full) as reader:
            with pytest.raises(StoreError, match="open for reading"):
                reader.append_many(ticks(1))
            assert reader.info()["writer_pid"] == os.getpid()
        store.append_many(ticks(1))
    with pytest.raises(StoreError, match="closed"):
        store.append_many(ticks(1))
    with pytest.raises(StoreError, match="closed"):
        store.query()
    store.close()
    DirectoryStore(full, "a").close()


def test_settings_are_kept(full):
    with DirectoryStore(full, "a", TICK_DTYPE, groups=4, utc_offset_s=0) as store:
        assert (store.groups, store.utc_offset_s, store.time_field) == (4, 0, "timestamp_ns")
    for options in ({"dtype": EVENT_DTYPE}, {"groups": 5}, {"utc_offset_s": 3600}):
        with pytest.raises(LayoutError, match="made otherwise"):
            DirectoryStore(full, "a", **options)
        with pytest.raises(LayoutError, match="made otherwise"):
            DirectoryStore(full, "r", **options)
    DirectoryStore(full, "a").close()  # nothing is left locked


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"groups": 0}, "groups must be"),
        ({"groups": 4097}, "groups must be"),
        ({"utc_offset_s": 86_400}, "utc_offset_s must be"),
        ({"segment_records": 0}, "segment_records must be"),
        ({"max_open": 0}, "max_open must be"),
        ({"sync": "never"}, "sync must be"),
        ({"sync_interval_s": 0.0}, "sync_interval_s must be"),
        ({"mode": "w"}, "mode must be"),
        ({"dtype": np.dtype([("a", "f8")])}, "symbol_id"),
        ({"dtype": np.dtype([("symbol_id", "u4"), ("pad", "u4")])}, "must have a time"),
    ],
)
def test_bad_arguments_leave_nothing(root, options, rule):
    with pytest.raises(ValueError, match=rule):
        DirectoryStore(root, **{"mode": "a", **options})
    assert not root.exists()


def test_quotes_are_records_too(root):
    with DirectoryStore(root, "a", QUOTE_DTYPE) as store:
        quotes = np.zeros(3, QUOTE_DTYPE)
        quotes["bid"] = [1, 2, 3]
        store.append_many(quotes)
    with DirectoryStore(root) as store:
        assert store.query()["bid"].tolist() == [1, 2, 3]


# ---- foreign and damaged directories


def test_other_directories_are_refused(root, tmp_path):
    with pytest.raises(FileNotFoundError):
        DirectoryStore(root)
    root.mkdir()
    with pytest.raises(LayoutError, match=r"store\.json"):
        DirectoryStore(root)
    (root / "thesis.doc").write_bytes(b"precious")
    with pytest.raises(LayoutError, match="empty directory"):
        DirectoryStore(root, "a")
    assert os.listdir(root) == ["thesis.doc"]
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(FileExistsError):
        DirectoryStore(tmp_path / "file", "a")


@pytest.mark.parametrize(
    ("change", "error", "rule"),
    [
        (lambda text: text[:-20], CorruptDataError, "must be JSON"),
        (lambda text: b"\xff\xfe", CorruptDataError, "must be JSON"),
        (lambda text: b"[1]", LayoutError, "not a directory store"),
        (lambda text: b'{"format": "other"}', LayoutError, "not a directory store"),
        (lambda text: text.replace(b'"version": 1', b'"version": 2'), LayoutError, "reads version 1"),
        (lambda text: text.replace(b'"groups": 4', b'"groups": 5'), CorruptDataError, "checksum"),
    ],
)
def test_damaged_settings_are_refused(full, change, error, rule):
    path = full / "store.json"
    path.write_bytes(change(path.read_bytes()))
    for mode in ("r", "a"):
        with pytest.raises(error, match=rule):
            DirectoryStore(full, mode)


@pytest.mark.parametrize("damage", ["flip", "foreign", "cut header"])
def test_a_damaged_partition_is_an_error_where_it_is_asked_for(full, damage):
    path = full / DAYS[1] / "group-01.ticks"
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[65536 + 65536 + 40] ^= 1
    path.write_bytes({"flip": bytes(data), "foreign": b"GIF89a" * 20_000, "cut header": bytes(data[:5000])}[damage])
    with DirectoryStore(full) as store:
        assert len(store.query(FIRST * DAY, (FIRST + 1) * DAY))
        assert len(store.query(symbols=["S0"]))
        with pytest.raises((CorruptDataError, LayoutError)):
            store.query(symbols=["S1"])
        with pytest.raises((CorruptDataError, LayoutError)):
            store.compact("2024-03-11")
        report = store.verify()
        assert [name for name, found in report.items() if found["reason"]] == ["2024-03-09/group-01.ticks"]
    DirectoryStore(full, "a").close()  # other days can be written


def test_a_partition_in_a_foreign_place_is_found(full):
    """Somebody has copied files: checksums match, the records are in the wrong place."""
    shutil.copy(full / DAYS[0] / "group-01.ticks", full / DAYS[1] / "group-02.ticks")
    with DirectoryStore(full) as store:
        found = store.verify()["2024-03-09/group-02.ticks"]
        assert found["misplaced"] == found["records"] > 0
        assert "belong to other files" in found["reason"]


def test_another_record_in_a_partition_is_refused(full):
    path = full / DAYS[0] / "group-01.ticks"
    path.unlink()
    with TickStore(path, "x", EVENT_DTYPE):
        pass
    with DirectoryStore(full) as store, pytest.raises(LayoutError, match="other records"):
        store.query()


def test_names_that_are_no_days_and_no_partitions_are_left_alone(full):
    for name in ("2024-13-01", "2024-02-30", "notes"):
        (full / name).mkdir()
    (full / "2024-03-11").write_text("a file")
    (full / DAYS[0] / "group-77.ticks").write_text("beyond the groups")
    (full / DAYS[0] / "readme").write_text("x")
    with DirectoryStore(full) as store:
        assert store.days() == list(DAYS)
        assert same(store.query(), ticks())


def test_a_torn_tail_is_news_for_a_reader_and_mended_by_the_writer(full):
    path = full / DAYS[2] / "group-00.ticks"
    with TickStore(path) as store:
        count = len(store)
    data = bytearray(path.read_bytes())
    data[65536 + 65536 + 32 * (count - 1) + 20] ^= 1  # the last record
    blank = bytes(64)
    data[4096 + 128 : 4096 + 192] = blank  # as if it had never been synced
    data[4096 + 192 : 4096 + 256] = blank
    path.write_bytes(data)
    with DirectoryStore(full) as store, pytest.warns(StoreWarning):
        assert len(store.query()) < 3000
    with DirectoryStore(full, "a") as store:
        late = ticks()[-1:]
        late["symbol_id"] = 0
        with pytest.warns(StoreWarning):
            store.append_many(late)
        assert store.query(symbols=[0])[-1].tolist() == late[0].tolist()
    assert [name for name in os.listdir(path.parent) if "torn" in name]


# ---- other processes


def script(code, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


WRITER = """
import sys
import numpy as np
from fastcore.records import TICK_DTYPE
from hft.store import DirectoryStore
DAY = 86_400 * 10**9
store = DirectoryStore(sys.argv[1], "a", groups=3, segment_records=8192)
store.symbols.add_many(["A", "B", "C", "D"])
print("ready", flush=True)
n = 0
for line in sys.stdin:
    command, count = line.split()
    if command == "close":
        break
    a = np.zeros(int(count), TICK_DTYPE)
    i = np.arange(n, n + len(a))
    a["timestamp_ns"] = 19790 * DAY + i * (DAY // 1000)  # a day has 1,000
    a["symbol_id"] = i % 4
    a["price"] = i
    store.append_many(a)
    n += len(a)
    print(n, flush=True)
store.close()
"""


def test_a_reader_follows_another_process_across_midnight(root):
    with script(WRITER, root) as writer:
        assert writer.stdout.readline() == "ready\n"

        def write(n):
            writer.stdin.write(f"append {n}\n")
            writer.stdin.flush()
            return int(writer.stdout.readline())

        write(10)
        with DirectoryStore(root) as reader:
            stream = reader.follow(last=4, timeout_s=10, interval_s=0.001)
            assert next(stream)["price"].tolist() == [6, 7, 8, 9]
            seen = 10
            for n in (1, 500, 700, 3, 2500, 1):
                total = write(n)
                while seen < total:
                    part = next(stream)
                    assert part["price"].tolist() == list(range(seen, seen + len(part)))
                    seen += len(part)
            assert reader.query()["price"].tolist() == list(range(seen))
            assert len(reader.days()) == 4
            assert reader.query(symbols=["C"])["price"].tolist() == list(range(2, seen, 4))
            only = reader.follow(["D"], timeout_s=10)
            assert len(next(reader.follow(timeout_s=10, idle=True))) == 0
            write(8)
            assert list(next(stream)["price"])
            del only
            assert list(reader.follow(timeout_s=0.01)) == []
            with pytest.raises(StoreLockedError, match="one writer"):
                DirectoryStore(root, "a")
            # What is being written stays; the closed days can be rewritten meanwhile.
            assert [day.day for day in reader.compact("2024-03-10")] != []
            with pytest.raises(StoreLockedError, match="is left alone"):
                reader.prune("2025-01-01")
            assert reader.days()[-1] == "2024-03-11"
        writer.communicate("close 0\n")
    with DirectoryStore(root) as reader:
        assert reader.info()["writer_pid"] == 0


def test_a_follower_sees_each_record_once_while_the_day_is_compacted(full):
    with DirectoryStore(full) as store:
        stream = store.follow(last=2, timeout_s=0.2, interval_s=0.001)
        assert len(next(stream)) == 2
        store.compact("2024-03-11")
        with DirectoryStore(full, "a") as writer:
            late = ticks()[-1:]
            writer.append_many(late)
        assert same(next(stream), late)
        assert list(stream) == []


def test_a_killed_writer_leaves_what_it_acknowledged(root):
    with script(WRITER, root) as writer:
        writer.stdout.readline()
        for n in (100, 900, 40):
            writer.stdin.write(f"append {n}\n")
            writer.stdin.flush()
            total = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdin.close()
    with DirectoryStore(root) as reader:
        assert reader.query()["price"].tolist() == list(range(total))
    with DirectoryStore(root, "a") as again:
        assert again.symbols.id_of("D") == 3
        assert len(again.query()) == total


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_does_not_write(full):
    with DirectoryStore(full, "a") as store:
        store.append_many(ticks(10))
        pid = os.fork()
        if pid == 0:
            try:
                store.append_many(ticks(10))
            except StoreError:
                os._exit(7)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
        assert len(store.query()) == 3010


# ---- a full disk


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on the size of a file")
def test_a_full_disk_is_an_error_before_a_record_is_accepted(root):
    """A limit on the size of files stands for the disk: the first partitions have room, the last has not."""
    code = """
import resource, signal, sys
import numpy as np
from fastcore.records import TICK_DTYPE
from hft.store import DirectoryStore
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = DirectoryStore(sys.argv[1], "a", groups=2, segment_records=2048)
a = np.zeros(2000, TICK_DTYPE)
a["timestamp_ns"] = np.arange(2000)
store.append_many(a)  # all in group 0
resource.setrlimit(resource.RLIMIT_FSIZE, (260_000, 260_000))  # the size of one segment and its head
a["symbol_id"] = 1
store.append_many(a[:100])
for first in (0, 1):
    a["symbol_id"] = np.where(np.arange(2000) < 1000, first, 1 - first)
    try:
        store.append_many(a)  # group 0 has room for 48, group 1 for 1,948
    except OSError as error:
        print(error.errno)
print(len(store.query()), [len(x) for x in (store.query(symbols=[0]), store.query(symbols=[1]))])
a["symbol_id"] = 1
store.append_many(a[:1000])  # what fits goes on
print(len(store.query()))
store.close()
"""
    done = subprocess.run([sys.executable, "-c", code, str(root)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(errno.EFBIG)] * 2 + ["2100 [2000, 100]", "3100"]
    with DirectoryStore(root) as store:
        assert len(store.query()) == 3100
        assert all(found["reason"] == "" for found in store.verify().values())


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 8 MiB, where there are privileges for one."""
    if sys.platform != "linux" or os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("mounting a small file system needs root on Linux")
    place = tmp_path / "small"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)], capture_output=True).returncode:
        pytest.skip("no privilege to mount")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_disk_that_fills_up_loses_nothing(small_disk):
    root = small_disk / "store"
    stored = []
    with DirectoryStore(root, "a", groups=4, segment_records=SEGMENT // 4) as store:
        parts = (ticks(1000, 2, seed=i) for i in range(1000))
        with pytest.raises(OSError, match="No space left"):
            stored.extend(part for part in parts if store.append_many(part))
        expected = sorted(row for part in stored for row in part.tolist())
        assert sorted(store.query().tolist()) == expected
        with pytest.raises(OSError, match="No space left"):
            store.symbols.add_many([f"S{i}" for i in range(60_000)])
        store.append_many(ticks(1, 2))  # there is room in a partition
    with DirectoryStore(root) as store:
        assert len(store.query()) == len(expected) + 1
        with pytest.raises(OSError, match="No space left"):
            store.compact("2024-03-11")
        assert sorted(store.query().tolist()) == sorted([*expected, ticks(1, 2)[0].tolist()])
        assert store.prune("2024-03-09") == ["2024-03-08"]
        assert [day.day for day in store.compact("2024-03-11")] == ["2024-03-09"]
        assert all(found["reason"] == "" for found in store.verify().values())


# ---- retention and compaction


@pytest.mark.parametrize("to", ["stores", "parquet"])
def test_compaction_keeps_every_record(full, to):
    pytest.importorskip("pyarrow")
    records = ticks()
    with DirectoryStore(full) as old, DirectoryStore(full) as store:
        before = old.query()
        done = store.compact("2024-03-10", to)
        assert [day.day for day in done] == list(DAYS[:2])
        assert sum(day.records for day in done) == int((records["timestamp_ns"] < (FIRST + 2) * DAY).sum())
        assert all(day.bytes_after < day.bytes_before for day in done)
        for reader in (store, old):
            assert same(reader.query(), records)
            assert same(reader.query(symbols=["S5"]), records[records["symbol_id"] == 5])
        assert same(before, records), "views of the old files stay"
        assert store.compact("2024-03-10", to) == [], "nothing is left to do"
        assert sum(found["records"] for found in store.verify().values()) == 3000
        assert all(found["reason"] == "" for found in store.verify().values())
        assert store.info()["records"] == 3000
    with DirectoryStore(full) as store:
        found = store.query(FIRST * DAY, (FIRST + 1) * DAY, ["S7"])
        assert store.opened == 1
        assert same(found, records[(records["symbol_id"] == 7) & (records["timestamp_ns"] < (FIRST + 1) * DAY)])
        day = sorted(name for name in os.listdir(full / DAYS[0]) if not name.endswith(".lock"))
        assert day == (["day.parquet"] if to == "parquet" else [f"group-{i:02}.ticks" for i in range(4)])


def test_a_compact_store_can_be_appended_to_and_a_parquet_day_is_closed(full):
    pytest.importorskip("pyarrow")
    with DirectoryStore(full) as store:
        store.compact("2024-03-09", "parquet")
        store.compact("2024-03-10", "stores")
    with DirectoryStore(full, "a") as store:
        first, second = ticks()[:1], ticks()[ticks()["timestamp_ns"] >= (FIRST + 1) * DAY][:1]
        with pytest.raises(StoreError, match="is closed"):
            store.append_many(np.concatenate([second.view("V32"), first.view("V32")]).view(TICK_DTYPE))
        assert len(store.query()) == 3000
        store.append_many(second)
        assert len(store.query()) == 3001


def test_a_parquet_day_is_read_by_row_groups(full):
    pq = pytest.importorskip("pyarrow.parquet")
    records = ticks()
    records = records[records["timestamp_ns"] < (FIRST + 1) * DAY]
    with DirectoryStore(full) as store:
        store.compact("2024-03-09", "parquet", row_group_records=50)
        with pq.ParquetFile(full / DAYS[0] / "day.parquet") as file:
            assert max(file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)) == 50
            assert file.read().column("symbol").null_count == 0
        for start, end in ((FIRST * DAY, FIRST * DAY + DAY // 3), (FIRST * DAY + DAY // 2, FIRST * DAY + DAY // 2 + 1)):
            wanted = records[(records["timestamp_ns"] >= start) & (records["timestamp_ns"] < end)]
            assert same(store.query(start, end), wanted)
        assert same(store.query(end_ns=(FIRST + 1) * DAY), records)


def test_a_damaged_parquet_day_is_corrupt_data(full):
    pytest.importorskip("pyarrow")
    with DirectoryStore(full) as store:
        store.compact("2024-03-09", "parquet")
    path = full / DAYS[0] / "day.parquet"
    whole = path.read_bytes()
    for data in (whole[:-100], b"PAR1", b"", b"x" * 1000):
        path.write_bytes(data)
        with DirectoryStore(full) as store:
            with pytest.raises(CorruptDataError, match="Parquet file of a day"):
                store.query()
            assert store.verify()["2024-03-08/day.parquet"]["reason"]
            assert len(store.query((FIRST + 1) * DAY)) > 0
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.table({"a": [1]}), path)
    with DirectoryStore(full) as store, pytest.raises(CorruptDataError, match="made by a compaction"):
        store.query()


def test_an_empty_partition_is_removed(root):
    fill(root, ticks(10, 1, 1))
    TickStore(root / DAYS[0] / "group-03.ticks", "x").close()
    with DirectoryStore(root) as store:
        assert len(store.compact("2025-01-01")) == 1
        assert not (root / DAYS[0] / "group-03.ticks").exists()
        assert len(store.query()) == 10


def test_events_go_through_parquet_bit_by_bit(root):
    pytest.importorskip("pyarrow")
    random = np.random.default_rng(2)
    events = random.integers(0, 256, 64 * 500, np.uint8).view(EVENT_DTYPE)
    events["exch_ns"] = FIRST * DAY + np.arange(500)
    fill(root, events)
    with DirectoryStore(root) as store:
        before = store.query().tobytes()
        store.compact("2024-03-09", "parquet", row_group_records=64)
        assert store.query().tobytes() == before


@pytest.mark.parametrize("to", ["stores", "parquet"])
def test_a_day_that_is_written_is_left_alone(full, to):
    pytest.importorskip("pyarrow")
    with DirectoryStore(full, "a") as writer:
        writer.append_many(ticks()[-1:])
        with DirectoryStore(full) as store:
            with pytest.raises(StoreLockedError, match=r"left alone: path=.*2024-03-10"):
                store.compact("2024-03-11", to)
            with pytest.raises(StoreLockedError, match="left alone"):
                writer.prune("2024-03-11")
            assert store.days() == ["2024-03-10"], "those before it are pruned"
            assert len(store.query(FIRST * DAY + 2 * DAY)) > 0
        writer.append_many(ticks()[-1:])


def test_maintenance_excludes_itself(full):
    with DirectoryStore(full) as store, FileLock(full / "maintenance.lock"):
        with pytest.raises(StoreLockedError):
            store.prune("2024-03-09")
        with pytest.raises(StoreLockedError):
            store.compact("2024-03-09")


def test_prune_removes_days(full):
    with DirectoryStore(full) as store:
        store.query()
        seen = []
        assert store.prune("2024-03-10", progress=lambda done, total: seen.append((done, total))) == list(DAYS[:2])
        assert seen == [(1, 2), (2, 2)]
        assert store.days() == [DAYS[2]]
        assert same(store.query(), ticks()[ticks()["timestamp_ns"] >= (FIRST + 2) * DAY])
        assert store.prune("2024-03-10") == []
        assert [name for name in os.listdir(full) if name.startswith(".")] == []


@pytest.mark.parametrize("call", [lambda s: s.prune("yesterday"), lambda s: s.compact("2024-02-31")])
def test_a_day_is_a_date(full, call):
    with DirectoryStore(full) as store, pytest.raises(ValueError, match="YYYY-MM-DD"):
        call(store)


def test_bad_compactions_are_refused(full):
    with DirectoryStore(full) as store:
        with pytest.raises(ValueError, match="to must be"):
            store.compact("2024-03-09", "zip")
        with pytest.raises(ValueError, match="row_group_records"):
            store.compact("2024-03-09", row_group_records=0)


def test_a_torn_tail_is_kept_aside_before_a_day_is_compacted(full):
    path = full / DAYS[0] / "group-00.ticks"
    with TickStore(path) as store:
        count = len(store)
    data = bytearray(path.read_bytes())
    data[65536 + 65536 + 32 * (count - 1) + 20] ^= 1
    data[4096 + 128 : 4096 + 256] = bytes(128)
    path.write_bytes(data)
    with DirectoryStore(full) as store:
        store.compact("2024-03-09")
        assert [name for name in os.listdir(path.parent) if "torn" in name]
        assert all(found["reason"] == "" for found in store.verify().values())


# ---- a killed compaction


def killed_before(root, work, name, after):
    """Run the work in a child that dies right before call `after` of ``os.name``; False where it came to its end."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            real, calls = getattr(os, name), 0

            def killer(*arguments, **options):
                nonlocal calls
                calls += 1
                if calls > after:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*arguments, **options)

            store = DirectoryStore(root)
            setattr(os, name, killer)
            store.prune("2024-03-10") if work == "prune" else store.compact("2024-03-10", work)
            status = 0
        finally:
            os._exit(status)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code in (0, -signal.SIGKILL)
    return code != 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("name", ["rename", "replace", "fsync", "unlink"])
@pytest.mark.parametrize("work", ["stores", "parquet", "prune"])
def test_kill_at_any_step_of_the_maintenance_loses_nothing(root, tmp_path, work, name):
    """Die right before the first, second, ... call of each kind, then look, then finish the work."""
    pytest.importorskip("pyarrow")
    fill(tmp_path / "whole", ticks(400))
    after, kills = 0, 0
    while True:
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(tmp_path / "whole", root)
        if not killed_before(root, work, name, after):
            break
        kills += 1
        with DirectoryStore(root) as store:
            records = ticks(400)
            if work == "prune":
                kept = {(FIRST + DAYS.index(day)) for day in store.days()}
                records = records[np.isin(records["timestamp_ns"] // DAY, list(kept))]
                assert FIRST + 2 in kept
            assert same(store.query(), records), (after, os.listdir(root))
            assert all(found["reason"] == "" for found in store.verify().values())
            if work == "prune":
                store.prune("2024-03-10")
                assert store.days() == [DAYS[2]]
            else:
                store.compact("2024-03-10", work)
                assert same(store.query(), records)
                for day in DAYS[:2]:
                    left = [name for name in os.listdir(root / day) if not name.endswith(".lock")]
                    assert left == ["day.parquet"] if work == "parquet" else len(left) == 4, left
            assert [name for name in os.listdir(root) if name.startswith(".")] == []
        after += 1 if after < 4 else 3
    assert kills or (work, name) == ("parquet", "rename")


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("to", ["stores", "parquet"])
def test_kill_at_random_moments_of_a_compaction_loses_nothing(root, tmp_path, to):
    pytest.importorskip("pyarrow")
    records = ticks(100_000)
    fill(tmp_path / "whole", records, segment_records=1 << 16)
    shutil.copytree(tmp_path / "whole", root)
    start = time.monotonic()
    with DirectoryStore(root) as store:
        store.compact("2024-03-11", to)
    duration = time.monotonic() - start
    random = np.random.default_rng(5)
    half = 0
    for _ in range(int(os.environ.get("FASTCORE_TEST_KILLS", "200")) // 5):
        shutil.rmtree(root)
        shutil.copytree(tmp_path / "whole", root)
        pid = os.fork()
        if pid == 0:
            try:
                DirectoryStore(root).compact("2024-03-11", to)
            finally:
                os._exit(0)
        time.sleep(random.uniform(0.0, duration))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        half += any(".new-" in name for day in DAYS for name in os.listdir(root / day))
        with warnings.catch_warnings(), DirectoryStore(root) as store:
            warnings.simplefilter("error")
            assert store.query().tobytes() == records.tobytes()
            store.compact("2024-03-11", to)
            assert store.query().tobytes() == records.tobytes()
    assert half > 0, "the kills hit compactions at work, or this test proves nothing"


# ---- helpers


def test_open_store_tells_the_two_apart(full, tmp_path):
    with open_store(full) as store:
        assert isinstance(store, DirectoryStore)
    with open_store(full / DAYS[0] / "group-00.ticks") as store:
        assert isinstance(store, TickStore)
    with pytest.raises(FileNotFoundError):
        open_store(tmp_path / "nothing")
    with pytest.raises(LayoutError):
        open_store(tmp_path)
    assert os.listdir(tmp_path) == []


def test_replaced_is_all_or_nothing(tmp_path):
    place = tmp_path / "file"
    with replaced(place) as path:
        path.write_text("one")
    with contextlib.suppress(RuntimeError), replaced(place) as path:
        path.write_text("two")
        raise RuntimeError
    assert place.read_text() == "one"
    with pytest.raises(FileExistsError), replaced(place, overwrite=False):
        pass
    with pytest.raises(FileExistsError), replaced(tmp_path / "new", overwrite=False) as path:
        path.write_bytes((tmp_path / "new").write_text("theirs").to_bytes())
    assert (tmp_path / "new").read_text() == "theirs"
    assert sorted(os.listdir(tmp_path)) == ["file", "new"]


def test_a_reader_keeps_few_partitions_open(full):
    with DirectoryStore(full, max_open=2) as store:
        assert same(store.query(), ticks())
        assert len(store._partitions._readers) == 2


def test_index_is_plain_json(full):
    with DirectoryStore(full) as store:
        store.reindex()
    outer = json.loads((full / "index.json").read_text())
    entry = json.loads(outer["index"])["files"]["2024-03-08/group-00.ticks"]
    assert set(entry) == {"identity", "records", "first_ns", "last_ns"}
