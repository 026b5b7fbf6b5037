"""CSV, Parquet and Arrow tables: roles of columns, times, ticks, errors by row."""

import gzip
import threading
import tracemalloc
import zipfile
from datetime import UTC, date, datetime
from importlib import import_module

import numpy as np
import pytest

pa = pytest.importorskip("pyarrow")

from fastcore.book import OrderBook  # noqa: E402
from fastcore.errors import CorruptDataError  # noqa: E402
from fastcore.instruments import Instrument, Instruments  # noqa: E402
from fastcore.records import KINDS, NO_PRICE  # noqa: E402
from hft.feeds import FormatError, open_feed, recognise  # noqa: E402
from hft.feeds.arrow import ArrowFeed, ParquetFeed  # noqa: E402
from hft.feeds.csv import CsvFeed  # noqa: E402

pytestmark = pytest.mark.thin

DAY_NS = 1_399_507_200 * 10**9  # 2014-05-08, UTC


def collect(feed):
    arrays = [a.copy() for a in feed]
    assert all(a["flags"][-1] & 1 == 0 for a in arrays)
    return np.concatenate(arrays) if arrays else np.zeros(0, "V64")


def csv(tmp_path, text, name="x.csv", **options):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return CsvFeed(path, **options)


def values(events):
    return events.view(np.int64).reshape(-1, 8)[:, 4:].tolist()


def test_quotes_without_sizes_have_one_lot(tmp_path):
    feed = csv(tmp_path, "time,bid,ask\n1399507217007,1.39147,1.39148\n1399507217264,1.39147,1.39149\n")
    events = collect(feed)
    assert values(events) == [[139147, 139148, 1, 1], [139147, 139149, 1, 1]]
    assert events["exch_ns"].tolist() == [1399507217007 * 10**6, 1399507217264 * 10**6]
    assert list(feed.instruments) == [Instrument("x", 1e-5, 1.0)]
    assert (feed.book, feed.kind, feed.messages) == ("quotes", "quotes", {"quote": 2})


def test_an_empty_field_is_an_empty_side(tmp_path):
    events = collect(csv(tmp_path, "ts,bid,ask,bid_size,ask_size\n1,10,11,5,6\n2,,11,,6\n", time_unit="ns"))
    assert values(events) == [[10, 11, 5, 6], [NO_PRICE, 11, 0, 6]]


@pytest.mark.parametrize(
    ("first", "options", "expected"),
    [
        ("1399507217", {}, 1399507217 * 10**9),
        ("1399507217007", {}, 1399507217007 * 10**6),
        ("1399507217007001", {}, 1399507217007001 * 10**3),
        ("1399507217007001002", {}, 1399507217007001002),
        ("1399507217.007001002", {}, 1399507217007001002),
        ("1399507217007.25", {}, 1399507217007250000),
        ("17007", {"date": date(2014, 5, 8), "time_unit": "ms"}, DAY_NS + 17007 * 10**6),
        ("17.007", {"date": date(2014, 5, 8), "time_unit": "s"}, DAY_NS + 17007 * 10**6),
        ("34217007", {"date": date(2014, 5, 8), "time_zone": "America/New_York"}, DAY_NS + (4 * 3600 * 1000 + 34217007) * 10**6),
        ("2014-05-08 00:00:17.007", {}, DAY_NS + 17007 * 10**6),
        ("2014-05-08T00:00:17.007001002Z", {}, DAY_NS + 17007001002),
        ("2014-05-08 02:00:17.007+02:00", {}, DAY_NS + 17007 * 10**6),
        ("2014-05-07 20:00:17", {"time_zone": "America/New_York"}, DAY_NS + 17 * 10**9),
        ("2014-05-08", {}, DAY_NS),
    ],
)
@pytest.mark.parametrize("bad_row", [False, True])
def test_times_are_exact_to_the_nanosecond(tmp_path, first, options, expected, bad_row):
    # A value that is no time makes the block be read as text, with the same result for the others.
    more = "nonsense,1.5,1.6\n" if bad_row else ""
    feed = csv(tmp_path, f"timestamp,bid,ask\n{first},1.5,1.6\n{more}", **options)
    assert collect(feed)["exch_ns"].tolist() == [expected]
    assert feed.errors == ({"time must be a time": 1} if bad_row else {})


def test_small_times_need_a_date_or_a_name_with_one(tmp_path):
    with pytest.raises(ValueError, match="times since midnight need a date: the option date"):
        list(csv(tmp_path, "time,bid,ask\n17007,1.5,1.6\n"))
    events = collect(csv(tmp_path, "17007,1.5,1.6\n117007,1.5,1.6\n", name="eurusd_20140508.csv"))
    assert events["exch_ns"].tolist() == [DAY_NS + 17007 * 10**6, DAY_NS + 117007 * 10**6]
    with pytest.raises(FormatError, match="times since midnight that are all below 86400 may be s or ms"):
        collect(csv(tmp_path, "17007,1.5,1.6\n", name="eurusd_20140508.csv"))


def test_columns_map_by_name_and_by_index(tmp_path):
    text = "a;b;c;d\n5;1399507217007;1.25;1.50\n"
    names = collect(csv(tmp_path, text, columns={"time": "b", "bid": "c", "ask": "d", "bid_size": "a"}))
    numbers = collect(csv(tmp_path, text.split("\n", 1)[1], columns={"time": 1, "bid": 2, "ask": 3, "bid_size": 0}, kind="quotes"))
    assert names.tobytes() == numbers.tobytes()
    assert values(names) == [[125, 150, 5, 1]]
    with pytest.raises(ValueError, match=r"columns must name columns of the file: bid=x names=\['a'"):
        csv(tmp_path, text, columns={"bid": "x"})
    with pytest.raises(ValueError, match="columns must have known roles"):
        csv(tmp_path, text, columns={"bidd": "x"})
    with pytest.raises(ValueError, match="must say what it is"):
        csv(tmp_path, text)
    with pytest.raises(ValueError, match=r"a table of quotes must have the columns of its roles: missing=\['bid', 'ask'\]"):
        csv(tmp_path, "time,price\n1,2\n", kind="quotes")


def test_trades_turn_the_aggressor_into_the_resting_side(tmp_path):
    text = "timestamp,symbol,side,price,amount,id\n1399507217007,BTC,buy,10.5,0.25,7\n1399507217008,ETH,sell,3.25,2,8\n" \
           "1399507217009,BTC,,10.75,1,9\n"  # fmt: skip
    feed = csv(tmp_path, text)
    events = collect(feed)
    assert events["side"].tolist() == [-1, 1, 0]
    assert events["symbol_id"].tolist() == [0, 1, 0]
    assert values(events) == [[1050, 25, 0, 7], [325, 200, 0, 8], [1075, 100, 0, 9]]
    assert feed.instruments.symbols == ["BTC", "ETH"]


def test_bars_end_when_they_are_known(tmp_path):
    text = "Date,Open,High,Low,Close,Volume\n2014-05-08,10,12,9.5,11,1000\n2014-05-09,11,13,10,12,500\n"
    events = collect(csv(tmp_path, text))
    day = 86_400 * 10**9
    assert events["exch_ns"].tolist() == [DAY_NS + day] * 2 + [DAY_NS + 2 * day] * 2
    assert values(events)[:2] == [[100, 120, 95, 110], [1000, -1, day, 0]]
    assert events["flags"].tolist() == [1, 0, 1, 0]
    closes = collect(csv(tmp_path, text, bar_time="close", interval_ns=5))
    assert closes["exch_ns"][0] == DAY_NS
    assert values(closes)[1][2] == 5


def test_order_messages_build_a_book(tmp_path):
    text = (
        "time,action,id,price,size,side,new_id\n1,A,1,100,5,B,\n2,A,2,101,5,S,\n3,X,1,,2,,\n4,E,2,,1,,\n5,U,1,99,7,,9\n"
        "6,T,77,100,1,B,\n7,D,2,,,,\n"
    )
    feed = csv(tmp_path, text, time_unit="ns", date=date(2014, 5, 8))
    events = collect(feed)
    assert feed.book == "orders"
    assert events["kind"].tolist() == [KINDS[k] for k in ("add", "add", "cancel", "execute", "replace", "trade", "delete")]
    book = OrderBook(0)
    assert book.apply(events) == {"ok": 7}
    assert (book.best_bid, book.best_bid_size, book.best_ask, len(book)) == (99, 7, None, 1)
    assert events["match_id"].tolist() == [0, 0, 0, 0, 9, 77, 0]


def test_fills_are_executions_where_the_book_is_reduced_behind_them(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text(
        "ts_event,action,side,price,size,order_id\n"
        "1700000000000000001,A,B,100,10,1\n1700000000000000001,A,B,100,20,2\n"
        "1700000000000000002,T,A,100,16,0\n1700000000000000002,F,B,100,10,1\n1700000000000000002,x,,,,\n"
        "1700000000000000002,F,B,100,5,2\n1700000000000000002,C,B,100,10,1\n1700000000000000002,M,B,100,15,2\n"
        "1700000000000000003,F,B,100,15,2\n1700000000000000004,C,B,100,15,2\n"
    )
    actions = {"A": "add", "T": "trade", "F": "fill", "C": "cancel", "M": "replace"}
    events = collect(open_feed(path, kind="orders", actions=actions, tick_size=1))
    names = ["add", "add", "trade", "execute", "execute", "notice", "replace", "notice", "cancel"]
    assert events["kind"].tolist() == [KINDS[name] for name in names]
    assert events["size"].tolist()[:5] == [10, 20, 1, 10, 5]
    book = OrderBook()
    assert book.apply(events) == {"ok": 9} and len(book) == 0
    with pytest.raises(ValueError, match="actions must be kinds of events, resize, fill or ignore: A=ad"):
        open_feed(path, kind="orders", actions={"A": "ad"})
    # The same rows in blocks of one, two, ...: what belongs together is found across them.
    rows = import_module("pyarrow.csv").read_csv(path)
    for size in range(1, 10):
        with import_module("pyarrow.ipc").new_file(tmp_path / "x.arrow", rows.schema) as file:
            file.write_table(rows, max_chunksize=size)
        parts = open_feed(tmp_path / "x.arrow", kind="orders", actions=actions, tick_size=1)
        assert collect(parts).tobytes() == events.tobytes()
        assert parts.messages == {"add": 2, "cancel": 1, "execute": 2, "notice": 2, "replace": 1, "trade": 1}


def test_new_sizes_become_what_is_taken_off(tmp_path):
    rng = np.random.default_rng(4)
    left, rows, expected = {}, [], []
    for i in range(30_000):
        act = rng.random()
        if act < 0.5 or not left:
            left[i] = int(rng.integers(5, 100))
            rows.append(f"{i},A,{i},100,{left[i]},BID")
        else:
            oid = int(rng.choice(list(left)[-50:]))
            if act < 0.8 and left[oid] > 1:
                new = int(rng.integers(1, left[oid]))
                rows.append(f"{i},R,{oid},,{new},")
                expected.append(left[oid] - new)
                left[oid] = new
            elif act < 0.9 and left[oid] > 1:
                rows.append(f"{i},X,{oid},,1,")
                expected.append(1)
                left[oid] -= 1
            else:
                rows.append(f"{i},C,{oid},,,")
                del left[oid]
    actions = {"A": "add", "R": "resize", "X": "cancel", "C": "delete"}
    text = "time,type,id,price,size,side\n" + "\n".join(rows) + "\n"
    feed = csv(tmp_path, text, actions=actions, date=date(2014, 5, 8), time_unit="ms")
    import hft.feeds._csv_blocks as csv_blocks

    blocks = csv_blocks.lines
    events = None
    try:
        csv_blocks.lines = lambda source, block_bytes: blocks(source, 10_000)
        events = collect(feed)
    finally:
        csv_blocks.lines = blocks
    assert events[events["kind"] == KINDS["cancel"]]["size"].tolist() == expected
    book = OrderBook(0)
    assert book.apply(events) == {"ok": 30_000}
    assert len(book) == len(left)
    assert feed.errors == {}


def test_resize_of_an_unknown_order_or_upwards_is_an_error(tmp_path):
    text = "time,type,id,price,size,side\n1,A,1,100,5,BID\n2,R,2,,1,\n3,R,1,,9,\n4,R,1,,2,\n"
    feed = csv(tmp_path, text, actions={"A": "add", "R": "resize"}, date=date(2014, 5, 8), time_unit="ms")
    assert collect(feed)["size"].tolist() == [5, 7]  # 9 was refused and is what the venue says it has
    assert feed.errors == {"the new size of an order must be below what it has": 2}
    assert [row for row, _ in feed.error_log] == [1, 2]


@pytest.mark.parametrize(
    ("row", "rule"),
    [
        ("1399507217008,nan,1.6,1,1", "bid must be a finite number"),
        ("1399507217008,inf,1.6,1,1", "bid must be a finite number"),
        ("1399507217008,1.5,abc,1,1", "ask must be a finite number"),
        ("1399507217008,1.5,1e300,1,1", "ask must be a finite number"),
        ("1399507217008,1.515,1.6,1,1", "bid must be a whole multiple of tick_size=0.01"),
        ("1399507217008,1.5,1.6,-1,1", "bid_size must not be negative"),
        ("1399507217008,1.5,1.6,1,nan", "ask_size must be a finite number"),
        ("1399507217008,1.5,1.6,1", "a row must have all its fields"),
        ("1399507217008,1.5,1.6,1,1,9", "a row must have all its fields"),
        (",1.5,1.6,1,1", "time must be there"),
    ],
)
def test_bad_rows_are_counted_with_their_row_and_left_out(tmp_path, row, rule):
    good = "1399507217007,1.5,1.6,1,1\n"
    text = "time,bid,ask,bid_size,ask_size\n" + good + row + "\n" + good
    feed = csv(tmp_path, text, tick_size=0.01)
    assert values(collect(feed)) == [[150, 160, 1, 1]] * 2
    if row.count(",") == 3:  # a short row in the first lines: fields that lack are missing
        rule = "ask_size must be a finite number"
    assert sum(feed.errors.values()) == 1
    (found,) = feed.errors
    assert found.startswith(rule)
    assert feed.error_log[0][0] == 1
    with pytest.raises(CorruptDataError, match="offset=1"):
        list(csv(tmp_path, text, tick_size=0.01, strict=True))


def test_ticks_and_lots_follow_from_the_first_rows_or_are_given(tmp_path):
    text = "time,price,size\n1399507217007,1.25,0.001\n1399507217007,1.5,3\n"
    feed = csv(tmp_path, text)
    collect(feed)
    assert feed.instruments[0][1:3] == (0.01, 0.001)
    feed = csv(tmp_path, text, tick_size=0.25, lot_size=0.0005, symbol="Q")
    assert values(collect(feed)) == [[5, 2, 0, 0], [6, 6000, 0, 0]]
    assert feed.instruments[0] == Instrument("Q", 0.25, 0.0005)


def test_every_decimal_price_becomes_its_tick(tmp_path):
    rng = np.random.default_rng(2)
    ticks = rng.integers(1, 10**9, 20_000)
    text = "time,price\n" + "".join(f"1399507217007,{t // 10**5}.{t % 10**5:05}\n" for t in ticks.tolist())
    assert collect(csv(tmp_path, text, tick_size=1e-5))["price"].tolist() == ticks.tolist()


@pytest.mark.parametrize("how", ["gzip", "zstd"])
def test_cut_file_gives_whole_rows_then_raises(tmp_path, how):
    zstandard = pytest.importorskip("zstandard")
    rng = np.random.default_rng(1)
    text = "time,bid,ask\n" + "".join(f"{1399507217007 + i},{b}.5,{b + 1}.5\n" for i, b in enumerate(rng.integers(1, 10**8, 200_000)))
    packed = gzip.compress(text.encode(), 1) if how == "gzip" else zstandard.compress(text.encode())
    (tmp_path / "x.csv.z").write_bytes(packed[: len(packed) // 2])
    got = []
    with pytest.raises(CorruptDataError):
        got.extend(CsvFeed(tmp_path / "x.csv.z"))
    events = np.concatenate(got)
    assert 50_000 < len(events) < 150_000
    assert events["exch_ns"].tolist() == [(1399507217007 + i) * 10**6 for i in range(len(events))]
    assert (np.diff(events.view(np.int64).reshape(-1, 8)[:, 4:6]) == 10).all()


def test_cut_archive_and_archive_of_several_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("a.csv", "time,bid,ask\n1399507217007,1,2\n")
        archive.writestr("b.csv", "time,bid,ask\n1399507217007,3,4\n")
        archive.writestr("c.dat", "time,bid,ask\n1399507217007,5,6\n")
    assert values(collect(CsvFeed(tmp_path / "x.zip", member="b.csv"))) == [[3, 4, 1, 1]]
    assert values(collect(open_feed(tmp_path / "x.zip", member="c.dat"))) == [[5, 6, 1, 1]]
    with pytest.raises(ValueError, match=r"an archive must hold one file, or the option member must name one: .*'a.csv', 'b.csv'"):
        CsvFeed(tmp_path / "x.zip")
    raw = (tmp_path / "x.zip").read_bytes()
    (tmp_path / "x.zip").write_bytes(raw[:60])
    with pytest.raises(CorruptDataError):
        list(CsvFeed(tmp_path / "x.zip", member="b.csv"))


def test_empty_files_have_no_events(tmp_path):
    assert len(collect(csv(tmp_path, ""))) == 0
    assert len(collect(csv(tmp_path, "time,bid,ask\n"))) == 0


def test_wrong_options_are_refused(tmp_path):
    text = "time,bid,ask\n1399507217007,1,2\n"
    for options, rule in (
        ({"tick_size": 0.0}, "tick_size must be positive"), ({"lot_size": float("nan")}, "lot_size must be positive"),
        ({"kind": "x"}, "kind must be one of"), ({"time_unit": "h"}, "time_unit must be one of"),
        ({"chunk_events": 0}, "chunk_events"), ({"tolerance": 0.6}, "tolerance"), ({"size": -1}, "size must not be negative"),
        ({"actions": {"A": "buy"}}, "actions must be kinds"), ({"bar_time": "x"}, "bar_time"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=rule):
            csv(tmp_path, text, **options)


def table(n=100_000):
    rng = np.random.default_rng(1)
    bid = rng.integers(10_000, 20_000, n)
    return pa.table({
        "ts": pa.array(np.arange(n) * 1000 + DAY_NS).view(pa.timestamp("ns")), "Bid Price": bid / 100, "Ask Price": (bid + 1) / 100,
        "bid qty": rng.integers(1, 9, n), "ask qty": rng.integers(1, 9, n).astype(np.float32),
        "ticker": pa.array(rng.choice(["A", "B", "C"], n)).dictionary_encode(), "noise": ["x"] * n,
    })  # fmt: skip


@pytest.mark.parametrize("form", ["parquet", "file", "stream", "csv"])
def test_forms_of_a_table_give_the_same_events(tmp_path, form):
    data = table()
    path = tmp_path / "quotes.arrow"
    if form == "parquet":
        import_module("pyarrow.parquet").write_table(data, path, row_group_size=30_000)
    elif form == "csv":
        import_module("pyarrow.csv").write_csv(data.set_column(5, "ticker", data["ticker"].cast("string")), path)
    else:
        create = pa.ipc.new_file if form == "file" else pa.ipc.new_stream
        with pa.OSFile(str(path), "wb") as file, create(file, data.schema) as writer:
            writer.write_table(data, 30_000)
    assert recognise(path) == {"parquet": "parquet", "csv": "csv"}.get(form, "arrow")
    seen = []
    feed = open_feed(path, progress=lambda done, total: seen.append((done, total)))
    events = collect(feed)
    assert seen and seen == sorted(seen) and seen[-1][0] <= seen[-1][1]
    names = np.array([feed.instruments[i].symbol for i in range(3)])
    assert names[events["symbol_id"]].tolist() == data["ticker"].to_pylist()
    assert events["exch_ns"].tolist() == (np.arange(100_000) * 1000 + DAY_NS).tolist()
    got = events.view(np.int64).reshape(-1, 8)[:, 4:]
    assert (got[:, 0] == np.rint(data["Bid Price"].to_numpy() * 100)).all()
    assert (got[:, 1] == got[:, 0] + 1).all()
    assert (got[:, 2] == data["bid qty"].to_numpy()).all()
    assert (got[:, 3] == data["ask qty"].to_numpy()).all()


@pytest.mark.parametrize("form", ["parquet", "file", "stream"])
def test_cut_parquet_and_arrow_files_raise(tmp_path, form):
    path = tmp_path / "x"
    if form == "parquet":
        import_module("pyarrow.parquet").write_table(table(), path)
    else:
        create = pa.ipc.new_file if form == "file" else pa.ipc.new_stream
        with pa.OSFile(str(path), "wb") as file, create(file, table().schema) as writer:
            writer.write_table(table(), 30_000)
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 2])
    with pytest.raises(CorruptDataError):
        list({"parquet": ParquetFeed}.get(form, ArrowFeed)(path))


@pytest.mark.parametrize("form", ["file", "stream"])
@pytest.mark.parametrize("wrong", ["offset", "text", "index"])
def test_arrow_columns_that_lead_elsewhere_are_corrupt_data(tmp_path, form, wrong):
    words = pa.py_buffer(b"AB\xff\xfe")
    offsets = {"offset": [0, 2**30, 4], "text": [0, 2, 4], "index": [0, 1, 2]}[wrong]
    ticker = pa.StringArray.from_buffers(2, pa.py_buffer(np.array(offsets, np.int32)), words)
    if wrong == "index":
        ticker = pa.DictionaryArray.from_arrays(pa.array([0, 10**6], pa.int32()), pa.array(["A", "B"]), safe=False)
    batch = pa.record_batch({"ts": pa.array([1, 2]), "price": [1.5, 2.5], "size": [1, 2], "symbol": ticker})
    path = tmp_path / "x"
    create = pa.ipc.new_file if form == "file" else pa.ipc.new_stream
    with pa.OSFile(str(path), "wb") as file, create(file, batch.schema) as writer:
        writer.write_batch(batch)
    with pytest.raises(CorruptDataError, match="an Arrow file must be whole"):
        list(ArrowFeed(path, kind="trades", time_unit="ns"))


@pytest.mark.parametrize(
    "column",
    [pa.array([[1.5], [1.6]]), pa.array([{"a": 1}, {"a": 2}]), pa.array([True, False]), pa.array([1, 2], pa.timestamp("ms"))],
    ids=["list", "struct", "bool", "time"],
)
def test_columns_of_other_types_than_their_role_are_refused(tmp_path, column):
    table = pa.table({"time": [1709890200000] * 2, "price": column, "size": [1, 2]})
    import_module("pyarrow.parquet").write_table(table, tmp_path / "x.parquet")
    with pytest.raises(FormatError, match="a column must hold what its role says: role=price type="):
        collect(open_feed(tmp_path / "x.parquet"))


def test_a_batch_of_arrow_of_any_size_comes_in_parts(tmp_path):
    n = 300_000
    batch = pa.record_batch({"ts": pa.array(np.arange(n)), "price": np.full(n, 1.5), "size": np.ones(n, np.int64)})
    path = tmp_path / "x"
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, batch.schema) as writer:
        writer.write_batch(batch)
    feed = ArrowFeed(path, kind="trades", time_unit="ns", tick_size=0.5, lot_size=1, chunk_events=2**30)
    arrays = list(feed)
    assert max(map(len, arrays)) <= 65_536
    assert np.concatenate(arrays)["exch_ns"].tolist() == list(range(n))


def test_real_quotes_of_a_venue(data_dir):
    feed = open_feed(data_dir / "fx" / "fxcm_eurusd_20140508_quote.zip")
    events = collect(feed)
    assert feed.format == "csv"
    assert len(events) in (167_465, 167_466)
    assert events["exch_ns"][0] == DAY_NS + 17007 * 10**6
    assert values(events)[0] == [139147, 139148, 1, 1]
    assert feed.errors == {}
    feed = open_feed(data_dir / "fx" / "truefx_usdjpy_ticks.csv")
    events = collect(feed)
    first = int(datetime(2013, 1, 1, 22, tzinfo=UTC).timestamp()) * 10**9 + 295_000_000
    assert (len(events), int(events["exch_ns"][0]), values(events)[0]) == (1000, first, [86655, 86728, 1, 1])


def test_nvda_order_messages_end_in_the_known_book(data_dir):
    feed = open_feed(
        data_dir / "nvda" / "nvda_tradersample.txt", "csv", kind="orders", columns={"side": "type.2"}, date=date(2014, 1, 2),
        time_zone="America/New_York", actions={"A": "add", "C": "delete", "R": "resize", "T": "trade"}, tick_size=0.0001, symbol="NVDA",
        layouts={"R": ("action", "time", "id", "size"), "T": ("action", "time", "id", "price", "size")},
    )  # fmt: skip
    events = collect(feed)
    assert feed.messages == {"add": 4876, "delete": 3975, "trade": 944, "cancel": 205}
    assert feed.errors == {}
    book = OrderBook(0)
    assert book.apply(events) == {"ok": 10_000}
    assert (book.best_bid, book.best_bid_size, book.best_ask, book.best_ask_size) == (259_400, 2500, 259_500, 2500)
    assert set(events["side"][events["kind"] == KINDS["trade"]].tolist()) == {0}


def test_units_of_the_run_go_before_those_of_the_first_rows(tmp_path):
    table = Instruments([Instrument("A", 0.25, 0.5)])
    feed = csv(tmp_path, "time,price,size\n1,10.5,2\n", time_unit="ns", symbol="A", instruments=table)
    assert values(collect(feed)) == [[42, 4, 0, 0]]
    rule = "a symbol must have one tick size and one lot size: symbol=A tick_size=0.5 lot_size=0.5 known=0.25, 0.5 path="
    with pytest.raises(FormatError, match=rule):
        collect(csv(tmp_path, "time,price,size\n1,10.5,2\n", time_unit="ns", symbol="A", instruments=table, tick_size=0.5))


def test_a_symbol_that_the_table_does_not_take_is_made_printable(tmp_path):
    feed = csv(tmp_path, "time,price,symbol\n1,10,A\x01B\n2,11,\n3,12," + "x" * 70 + "\n", time_unit="ns")
    collect(feed)
    assert feed.instruments.symbols == ["A\ufffdB", "x" * 64, "?"]


def test_memory_does_not_grow_with_the_table(tmp_path):
    peaks = []
    for blocks in (8, 40):
        text = "time,price,size,side\n" + "1700000000000000,40000.25,0.125,buy\n" * (30_000 * blocks)
        (tmp_path / "x.csv").write_text(text)
        del text
        feed = CsvFeed(tmp_path / "x.csv")
        tracemalloc.start()
        assert sum(len(events) for events in feed) == 30_000 * blocks
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0] < 40e6


def test_an_error_leaves_no_thread_behind_while_somebody_holds_it(tmp_path):
    rows = "time,price,size\n" + "".join(f"2024-01-02 10:00:00.{i % 1000:03},{100 + i % 7}.5,1\n" for i in range(300_000))
    path = tmp_path / "trades.csv.gz"
    path.write_bytes(gzip.compress(rows.replace("105.5,1", "105.5,1,2,3", 1).encode()))
    before = threading.active_count()
    with pytest.raises(CorruptDataError) as kept:
        list(CsvFeed(path, strict=True))
    assert threading.active_count() == before, kept
