"""Stores and Arrow, both ways: what comes back is what was stored, and what cannot be held is refused."""

import gzip
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from fastcore.errors import CorruptDataError, UnknownSymbolError
from fastcore.records import EVENT_DTYPE, KINDS, NO_PRICE, TICK_DTYPE
from fastcore.tickstore import TickStore

pa = pytest.importorskip("pyarrow")

from hft import store as hs  # noqa: E402
from hft.store import arrow  # noqa: E402
from hft.store import records as store_records  # noqa: E402

pytestmark = pytest.mark.thin

NOW = 1_710_000_000_000_000_123  # not a whole microsecond: nothing may be rounded
ODD_DTYPE = np.dtype(
    {
        "names": ["exch_ns", "code", "depth", "good"],
        "formats": ["i8", "S4", ("f8", (3,)), "?"],
        "offsets": [0, 8, 16, 40],
        "itemsize": 48,
    }
)


def ticks(n, first=0, symbols=7):
    a = np.zeros(n, TICK_DTYPE)
    i = np.arange(first, first + n)
    a["timestamp_ns"] = NOW + 10 * i
    a["symbol_id"] = i % symbols
    a["price"] = 0.1 * i - 3.0
    a["volume"] = i / 3.0
    return a


def events(n):
    a = np.zeros(n, EVENT_DTYPE)
    i = np.arange(n)
    a["seq"] = np.uint64(1 << 63) + i.astype(np.uint64)  # no float holds them
    a["exch_ns"] = NOW + 7 * i
    a["local_ns"] = np.where(i % 2, NOW + 7 * i + 5, 0)
    a["symbol_id"] = np.where(i % 5 == 4, 0xFFFFFFFF, i % 3)
    a["kind"] = np.where(i % 2, KINDS["trade"], KINDS["add"])
    a["side"] = i % 3 - 1
    a["flags"] = i % 32
    a["price"] = np.where(i % 4, 1_000_000 + i, NO_PRICE)
    a["size"] = i
    a["order_id"] = -i
    a["match_id"] = np.iinfo(np.int64).max - i
    return a


def odd(n):
    a = np.zeros(n, ODD_DTYPE)
    a["exch_ns"] = np.arange(n)
    a["code"] = [b"a\0b", b"", b"abcd", b"x"] * (n // 4) + [b"q"] * (n % 4)
    a["depth"] = np.arange(3 * n).reshape(n, 3)
    a["good"] = np.arange(n) % 3 == 0
    return a


def equal(a, b):
    """By field and bit."""
    return (
        len(a) == len(b)
        and a.dtype == b.dtype
        and all(np.ascontiguousarray(a[name]).tobytes() == np.ascontiguousarray(b[name]).tobytes() for name in a.dtype.names)
    )


MAKERS = {"ticks": ticks, "events": events, "odd": odd}


@pytest.fixture(params=sorted(MAKERS))
def some(request, tmp_path):
    """(records, open store) of each kind of record."""
    records = MAKERS[request.param](1000)
    with TickStore(tmp_path / "some.store", "x", records.dtype, segment_records=2048) as store:
        store.append_many(records)
        yield records, store


@pytest.fixture
def small(tmp_path):
    with TickStore(tmp_path / "small.ticks", "x", segment_records=2048) as store:
        store.append_many(ticks(100))
    with TickStore(tmp_path / "small.ticks") as store:
        yield store


@pytest.fixture
def directory(tmp_path):
    with hs.DirectoryStore(tmp_path / "directory", "a", groups=3) as store:
        store.symbols.add_many(["A", "B", "Größe"])
        store.append_many(ticks(100))
        yield store


# ---- tables


def test_a_table_is_the_store(some):
    records, store = some
    table = hs.to_arrow(store)
    assert table.schema.names == list(records.dtype.names)
    assert equal(hs.from_arrow(table, records.dtype), records)
    assert equal(hs.from_arrow(table.slice(3, 5), records.dtype), records[3:8])


def test_a_stream_is_the_store_in_bounded_batches(some):
    records, store = some
    stream = hs.reader(store, batch_records=300)
    batches = list(stream)
    assert [len(batch) for batch in batches] == [300, 300, 300, 100]
    assert equal(store_records.joined([hs.from_arrow(batch, records.dtype) for batch in batches]), records)


def test_time_range_and_symbols(small):
    records = ticks(100)
    table = hs.to_arrow(small, NOW + 200, NOW + 600, [3, 5])
    wanted = records[20:60][np.isin(records["symbol_id"][20:60], [3, 5])]
    assert equal(hs.from_arrow(table), wanted)
    assert hs.to_arrow(small, symbols=[]).num_rows == 0
    assert hs.to_arrow(small, NOW + 600, NOW + 600).num_rows == 0
    assert hs.to_arrow(small, symbols=99).schema == table.schema


def test_times_as_arrow_times_keep_every_nanosecond(small):
    table = hs.to_arrow(small, timestamps=True)
    assert table.schema.field("timestamp_ns").type == pa.timestamp("ns", "UTC")
    assert table.column("timestamp_ns")[1].value == NOW + 10
    assert equal(hs.from_arrow(table), ticks(100))


def test_names_of_a_directory_are_a_column(directory):
    table = hs.to_arrow(directory)
    assert table.column("symbol").to_pylist()[:8] == ["A", "B", "Größe", None, None, None, None, "A"]
    assert hs.to_arrow(directory, symbols=["Größe"]).column("symbol").unique().to_pylist() == ["Größe"]
    with pytest.raises(UnknownSymbolError, match="symbol='C'"):
        hs.to_arrow(directory, symbols=["C"])


def test_a_directory_without_symbols_has_null_names(tmp_path):
    with hs.DirectoryStore(tmp_path / "d", "a") as store:
        store.append_many(ticks(3))
        assert hs.to_arrow(store).column("symbol").to_pylist() == [None] * 3


def test_rows_are_the_mapped_file(small):
    rows = hs.rows_to_arrow(small.records())
    assert rows.type == pa.binary(32)
    assert rows.buffers()[1].address == small.records().ctypes.data, "no copy"
    assert equal(np.frombuffer(rows.buffers()[1], TICK_DTYPE), ticks(100))
    with pytest.raises(ValueError, match="contiguous"):
        hs.rows_to_arrow(small.records()[::2])
    small.close()
    assert rows[99].as_py() == ticks(100)[99:].tobytes(), "it outlives the store"


def test_a_single_store_knows_no_names(small):
    with pytest.raises(UnknownSymbolError, match="ids, not names"):
        hs.to_arrow(small, symbols=["A"])


@pytest.mark.parametrize(
    ("arguments", "error", "rule"),
    [
        ({"start_ns": 5, "end_ns": 4}, ValueError, "start_ns must not be after"),
        ({"symbols": [-1]}, ValueError, "symbol_id must be in 0.."),
        ({"symbols": [1.5]}, TypeError, "names or ids"),
        ({"symbols": [True]}, TypeError, "names or ids"),
        ({"batch_records": 0}, ValueError, "batch_records must be at least 1"),
    ],
)
def test_bad_arguments(small, arguments, error, rule):
    with pytest.raises(error, match=rule):
        list(hs.batches(small, **arguments))


def test_a_field_with_two_dimensions_has_no_column():
    with pytest.raises(ValueError, match="at most one dimension"):
        arrow.schema_of(np.dtype([("a", "f8", (2, 2))]))


# ---- from Arrow


def table_of(**columns):
    base = {"timestamp_ns": [1, 2], "symbol_id": [0, 1], "price": [1.0, 2.0], "volume": [1.0, 1.0]}
    return pa.table({**base, **columns})


def test_columns_are_mapped_and_converted():
    table = pa.table(
        {
            "time": pa.array([1_500, 2_500], pa.timestamp("us")),
            "px": pa.array([1, 2], pa.int16()),
            "volume": pa.array([1.5, 2.5], pa.float32()),
        }
    )
    records = hs.from_arrow(table, TICK_DTYPE, {"timestamp_ns": "time", "price": "px"}, symbol=9)
    assert records.tolist() == [(1_500_000, 9, 1.0, 1.5), (2_500_000, 9, 2.0, 2.5)]


def test_text_and_dates_become_times():
    table = table_of(timestamp_ns=["2024-03-08T14:30:00.000000001", "2024-03-08 14:30:01"])
    assert hs.from_arrow(table)["timestamp_ns"].tolist() == [1709908200000000001, 1709908201000000000]
    assert hs.from_arrow(table_of(timestamp_ns=pa.array([0, 1], pa.date32())))["timestamp_ns"].tolist() == [0, 86400 * 10**9]


def test_an_event_needs_a_time_a_kind_and_a_symbol():
    table = pa.table({"exch_ns": [5], "kind": [2], "symbol_id": [1], "price": [77]})
    event = hs.from_arrow(table, EVENT_DTYPE)[0]
    assert (event["exch_ns"], event["kind"], event["symbol_id"], event["price"], event["size"]) == (5, 2, 1, 77, 0)
    with pytest.raises(ValueError, match="field='kind'"):
        hs.from_arrow(table.drop(["kind"]), EVENT_DTYPE)


@pytest.mark.parametrize(
    ("columns", "rule"),
    [
        ({"price": [1.0, None]}, r"no nulls: column='price', first row=1"),
        ({"symbol_id": [0, -1]}, "column='symbol_id'"),
        ({"symbol_id": [0, 1 << 32]}, "column='symbol_id'"),
        ({"symbol_id": ["A", "B"]}, "names need the symbol table"),
        ({"timestamp_ns": [1.0, 2.5]}, "column='timestamp_ns'"),
        ({"timestamp_ns": ["yesterday", "today"]}, "column='timestamp_ns'"),
        ({"timestamp_ns": pa.array([0, 1 << 62], pa.timestamp("s"))}, "column='timestamp_ns'"),
        ({"price": ["dear", "cheap"]}, "column='price'"),
        ({"timestamp_ns": [1.71e18, 1.72e18]}, "not exact: column='timestamp_ns'"),
    ],
)
def test_what_a_field_cannot_hold_is_refused(columns, rule):
    with pytest.raises(ValueError, match=rule):
        hs.from_arrow(table_of(**columns))


def test_a_missing_column_is_named():
    with pytest.raises(ValueError, match="field='price', column='px'"):
        hs.from_arrow(table_of(), TICK_DTYPE, {"price": "px"})
    with pytest.raises(ValueError, match="field='size'"):
        hs.from_arrow(table_of(), TICK_DTYPE, {"size": "volume"})


def test_frames_of_other_libraries_are_taken():
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame({"timestamp_ns": [1, 2], "symbol_id": [0, 1], "price": [1.0, 2.0], "volume": [1.0, 1.0]})
    assert hs.from_arrow(frame)["price"].tolist() == [1.0, 2.0]


# ---- files


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".feather"])
def test_a_file_gives_the_store_back(some, tmp_path, suffix):
    records, store = some
    file = tmp_path / f"out{suffix}"
    seen = []
    assert hs.export(store, file, batch_records=300, progress=lambda done, total: seen.append((done, total))) == 1000
    assert seen == [(300, 1000), (600, 1000), (900, 1000), (1000, 1000)]
    assert hs.import_(file, tmp_path / "back") == 1000
    with TickStore(tmp_path / "back") as back:
        assert back.dtype == records.dtype
        assert equal(back.records(), records)
        assert back.info()["time_field"] == store.info()["time_field"]
    assert sorted(os.listdir(tmp_path)) == ["back", f"out{suffix}", "some.store", "some.store.lock"]


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
@pytest.mark.parametrize("make", [ticks, events])
def test_csv_gives_every_bit_back(tmp_path, suffix, make):
    records = make(500)
    with TickStore(tmp_path / "s", "x", records.dtype) as store:
        store.append_many(records)
        hs.export(store, tmp_path / f"out{suffix}")
    raw = (tmp_path / f"out{suffix}").read_bytes()
    assert (gzip.decompress(raw) if suffix.endswith("gz") else raw).splitlines()[0].decode() == ",".join(records.dtype.names)
    assert hs.import_(tmp_path / f"out{suffix}", tmp_path / "back") == 500
    with TickStore(tmp_path / "back") as back:
        assert equal(back.records(), records)


def test_row_groups_are_bounded(small, tmp_path):
    from pyarrow import parquet

    hs.export(small, tmp_path / "out.parquet", batch_records=30)
    with parquet.ParquetFile(tmp_path / "out.parquet") as file:
        assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [30, 30, 30, 10]


def test_an_arrow_file_can_be_mapped(small, tmp_path):
    hs.export(small, tmp_path / "out.arrow")
    before = pa.total_allocated_bytes()
    with pa.memory_map(str(tmp_path / "out.arrow")) as source:
        table = pa.ipc.open_file(source).read_all()
        assert pa.total_allocated_bytes() == before, "no copy"
        assert equal(hs.from_arrow(table), ticks(100))
        del table


def test_names_go_to_every_kind_of_file_and_come_back(directory, tmp_path):
    for suffix in ("parquet", "arrow", "csv"):
        file = tmp_path / f"out.{suffix}"
        hs.export(directory, file, symbols=["A", "Größe"])
        with hs.DirectoryStore(tmp_path / suffix, "a") as back:
            back.symbols.add("Größe")  # other ids on purpose
            rows = hs.import_(file, back)
            wanted = directory.query(symbols=["A", "Größe"])
            found = back.query()
            assert rows == len(wanted) == len(found)
            assert back.symbols.names == {0: "Größe", 1: "A"}
            assert (found["timestamp_ns"] == wanted["timestamp_ns"]).all()
            assert (found["symbol_id"] == np.where(wanted["symbol_id"] == 0, 1, 0)).all()


def test_a_file_that_is_there_stays_unless_asked(small, tmp_path):
    file = tmp_path / "out.parquet"
    file.write_bytes(b"precious")
    with pytest.raises(FileExistsError):
        hs.export(small, file)
    assert file.read_bytes() == b"precious"
    hs.export(small, file, overwrite=True)
    assert hs.import_(file, tmp_path / "x") == 100


def test_an_export_that_fails_leaves_the_old_file_and_nothing_else(small, tmp_path):
    file = tmp_path / "out.parquet"
    file.write_bytes(b"precious")

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hs.export(small, file, overwrite=True, progress=stop)
    assert file.read_bytes() == b"precious"
    assert sorted(os.listdir(tmp_path)) == ["out.parquet", "small.ticks", "small.ticks.lock"]


@pytest.mark.parametrize("name", ["out.txt", "out", "out.parquet.gz", "out.gz"])
def test_another_suffix_is_refused(small, tmp_path, name):
    with pytest.raises(ValueError, match="the name must end in"):
        hs.export(small, tmp_path / name)


def test_an_empty_store_is_an_empty_file(tmp_path):
    with TickStore(tmp_path / "s", "x") as store:
        for suffix in ("parquet", "arrow", "csv"):
            assert hs.export(store, tmp_path / f"out.{suffix}") == 0
            if suffix != "csv":  # a CSV file without rows has no types
                assert hs.import_(tmp_path / f"out.{suffix}", tmp_path / f"back-{suffix}") == 0


def test_times_that_go_back_are_refused_unless_asked(tmp_path):
    back = ticks(10)
    back["timestamp_ns"][7] -= 50
    with TickStore(tmp_path / "s", "x") as store:
        store.append_many(back)
        hs.export(store, tmp_path / "out.csv")
    with pytest.raises(ValueError, match=r"must not go back .*row=7.*rows appended before=0"):
        hs.import_(tmp_path / "out.csv", tmp_path / "new")
    assert not (tmp_path / "new").exists()
    assert hs.import_(tmp_path / "out.csv", tmp_path / "new", unordered=True) == 10


def test_an_import_goes_on_where_the_store_ends(small, tmp_path):
    with TickStore(tmp_path / "more", "x") as more:
        more.append_many(ticks(50, 100))
        hs.export(more, tmp_path / "more.parquet")
    path = small.path
    small.close()
    assert hs.import_(tmp_path / "more.parquet", path) == 50
    with TickStore(path) as store:
        assert equal(store.records(), ticks(150))
    with pytest.raises(ValueError, match=r"must not go back .*row=0"):
        hs.import_(tmp_path / "more.parquet", path)


def test_a_bad_row_says_how_many_came_before(tmp_path):
    lines = ["timestamp_ns,symbol_id,price,volume"] + [f"{i},0,1.5,2" for i in range(10)]
    lines[8] = "7,0,inf,2"
    (tmp_path / "in.csv").write_text("\n".join(lines))
    with TickStore(tmp_path / "s", "x") as store, pytest.raises(ValueError, match=r"price must be finite.*appended before=4"):
        hs.import_(tmp_path / "in.csv", store, batch_records=4)
    with TickStore(tmp_path / "s") as store:
        assert len(store) == 4


@pytest.mark.parametrize("suffix", ["parquet", "arrow", "csv.gz"])
@pytest.mark.parametrize("damage", ["cut", "foreign", "empty"])
def test_a_damaged_file_is_corrupt_data(small, tmp_path, suffix, damage):
    file = tmp_path / f"out.{suffix}"
    hs.export(small, file)
    data = file.read_bytes()
    file.write_bytes({"cut": data[: len(data) // 2], "foreign": b"\x89PNG" + data[4:200], "empty": b""}[damage])
    with pytest.raises(CorruptDataError, match="must be readable"):
        hs.import_(file, tmp_path / "back", dtype=TICK_DTYPE)
    assert not (tmp_path / "back").exists()


def test_a_ragged_csv_is_corrupt_data(tmp_path):
    (tmp_path / "in.csv").write_text("timestamp_ns,symbol_id,price,volume\n1,2,3,4\n1,2\n")
    with pytest.raises(CorruptDataError, match="must be readable"):
        hs.import_(tmp_path / "in.csv", tmp_path / "back")


def test_an_arrow_stream_is_read_too(tmp_path, small):
    stream = hs.reader(small, batch_records=40)
    with pa.ipc.new_stream(str(tmp_path / "s.arrow"), stream.schema) as sink:
        for batch in stream:
            sink.write(batch)
    assert hs.import_(tmp_path / "s.arrow", tmp_path / "back") == 100


def test_without_arrow_the_error_names_the_extra(tmp_path):
    code = """
import sys
sys.modules["pyarrow"] = None
from fastcore.tickstore import TickStore
from hft import store
with TickStore(sys.argv[1], "x") as one:
    one.append(1, 1, 1.0, 1.0)
    assert len(list(store.batches(one))[0]) == 1  # what needs no Arrow runs without
    try:
        store.to_arrow(one)
    except ImportError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "s")], capture_output=True, text=True, check=True)
    assert "pip install 'hft-fastcore[feeds]'" in done.stdout


def test_duckdb_pandas_and_polars_take_the_stream(directory):
    duckdb, pd, pl = (pytest.importorskip(name) for name in ("duckdb", "pandas", "polars"))
    stream = hs.reader(directory)  # noqa: F841 (DuckDB finds it by its name)
    found = duckdb.sql("select symbol, count(*), max(price) from stream group by all order by symbol nulls last").fetchall()
    records = directory.query()
    assert found[0] == ("A", int((records["symbol_id"] == 0).sum()), records["price"][records["symbol_id"] == 0].max())
    frame = pl.from_arrow(hs.reader(directory).read_all())
    assert frame["price"].to_list() == records["price"].tolist()
    assert isinstance(hs.reader(directory).read_pandas(), pd.DataFrame)


def test_metadata_describes_the_record(small):
    about = json.loads(hs.to_arrow(small).schema.metadata[b"hft.records"])
    assert about["time_field"] == "timestamp_ns"
    assert store_records.described(about) is TICK_DTYPE


def test_public_names():
    assert sorted(hs.__all__) == dir(hs)
    for name in hs.__all__:
        assert getattr(hs, name).__doc__
    with pytest.raises(AttributeError, match="nonsense"):
        hs.nonsense  # noqa: B018
