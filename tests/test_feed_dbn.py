"""Databento DBN: records field by field against databento_dbn, and the events of every schema."""

import tracemalloc
from datetime import date
from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pytest

dbn = pytest.importorskip("databento_dbn")
zstandard = pytest.importorskip("zstandard")

from makers.dbn_files import mbo, records, write  # noqa: E402
from makers.markets import Market  # noqa: E402

from fastcore.book import OrderBook  # noqa: E402
from fastcore.bookset import BookSet  # noqa: E402
from fastcore.errors import CorruptDataError  # noqa: E402
from fastcore.instruments import Instrument, Instruments  # noqa: E402
from fastcore.records import FLAGS, KINDS, NO_PRICE  # noqa: E402
from hft.feeds import open_feed, recognise  # noqa: E402
from hft.feeds._dbn_records import walk  # noqa: E402
from hft.feeds.dbn import DbnFeed  # noqa: E402

UNDEF_PRICE, UNDEF_TIME = 2**63 - 1, 2**64 - 1


def collect(feed):
    arrays = [a.copy() for a in feed]
    assert all(a["flags"][-1] & FLAGS["continued"] == 0 for a in arrays)
    return np.concatenate(arrays) if arrays else np.zeros(0, "V64")


def files(data_dir):
    found = sorted((data_dir / "dbn").rglob("*.dbn*")) + sorted((data_dir / "dbn").rglob("*.dbz"))
    assert len(found) >= 84
    return found


def oracle(path):
    """What databento_dbn decodes, record objects."""
    raw = path.read_bytes()
    compression = dbn.Compression.ZSTD if raw[:4] == b"\x28\xb5\x2f\xfd" else dbn.Compression.NONE
    decoder = dbn.DBNDecoder(
        compression=compression, has_metadata=".frag" not in path.name, upgrade_policy=dbn.VersionUpgradePolicy.AS_IS
    )
    decoder.write(raw)
    out = decoder.decode()
    return [r for r in out if not isinstance(r, dbn.Metadata)]


def field_of(record, name):
    """A field by its name in the struct; levels are objects of a record."""
    if hasattr(record, "levels") and name[-3:-2] == "_" and name[-2:].isdigit():
        record, name = record.levels[int(name[-2:])], name[:-3]
    value = getattr(record, name)
    return getattr(value, "value", value)


def same(raw, value):
    if isinstance(raw, bytes) and (value is None or isinstance(value, bool)):
        return raw == {True: b"Y", False: b"N", None: b"~"}[value]
    if isinstance(raw, bytes):
        text = raw.decode("utf-8", "replace")
        return value.rstrip("\0") == text if isinstance(value, str) else value == (raw[0] if raw else 0)
    if value is None:  # the object says None where the struct has the mark for undefined
        return raw in (0, 2**63 - 1, 2**64 - 1, 2**32 - 1, 2**31 - 1, 2**16 - 1)
    return raw == (ord(value) if isinstance(value, str) else int(value))


@pytest.mark.slow
def test_every_field_of_every_file_is_that_of_databento_dbn(data_dir):
    checked = 0
    for path in files(data_dir):
        if path.suffix == ".dbz":
            continue  # databento_dbn no longer reads them
        expected = oracle(path)
        got = [row for _, part in DbnFeed(path).records() for row in part.copy()]
        assert len(got) == len(expected), path
        for row, record in zip(got, expected, strict=True):
            for name in row.dtype.names:
                if name.startswith(("_", "length")) or name == "ts_out":
                    continue
                value = field_of(record, name)
                assert same(row[name].item(), value), (path, name, row[name], value)
                checked += 1
    assert checked > 240_000


@pytest.mark.parametrize("name", ["mbo", "mbp-1", "mbp-10", "trades", "tbbo", "ohlcv-1s", "ohlcv-1m", "ohlcv-1h"])
def test_versions_give_the_same_events(data_dir, name):
    folder = data_dir / "dbn" / "databento"
    kinds = [collect(DbnFeed(folder / f"test_data.{name}{v}")) for v in (".dbn", ".v1.dbn.zst", ".v2.dbn.zst", ".v3.dbn.zst", ".dbz")]
    assert len(kinds[0]) > 0
    for other in kinds[1:4]:
        assert other.tobytes() == kinds[0].tobytes()
    if not name.startswith("ohlcv"):  # dbz knows one type of bars, without an interval
        assert kinds[4].tobytes() == kinds[0].tobytes()


def test_mbo_events_have_the_values_of_the_records(data_dir):
    path = data_dir / "dbn" / "glbx_mbo_2024-05-08.dbn.zst"
    assert recognise(path) == "dbn"
    feed = open_feed(path)
    assert (feed.book, feed.format) == ("orders", "dbn")
    events = collect(feed)
    expected = oracle(path)
    assert len(events) == len(expected) == 13_796
    assert feed.messages == {"mbo A": 13678, "mbo R": 1, "mbo C": 80, "mbo M": 27, "mbo T": 5, "mbo F": 5}
    assert feed.errors == {}
    assert list(feed.instruments) == [Instrument("ESM4", 1e-9, 1.0)]
    kinds = {"A": "add", "C": "cancel", "M": "replace", "R": "clear", "T": "notice", "F": "execute"}  # all trades are filled
    filled = set(events["order_id"][events["kind"] == KINDS["execute"]].tolist())
    for event, record in zip(events, expected, strict=True):
        action = str(record.action.value if hasattr(record.action, "value") else record.action)
        # An order is filled once here: it is gone by that, or modified to what it has left.
        assert event["kind"] == KINDS["notice" if action == "C" and record.order_id in filled else kinds[action]]
        assert (event["exch_ns"], event["local_ns"], event["seq"]) == (record.ts_event, record.ts_recv, record.sequence)
        assert bool(event["flags"] & FLAGS["snapshot"]) == bool(record.flags & 32)
        if action in "AMF" or event["kind"] == KINDS["cancel"]:
            assert (event["price"], event["size"], event["order_id"]) == (record.price, record.size, record.order_id)
    book = OrderBook(0)
    for part in (events[:7000], events[7000:]):
        book.apply(part)
    assert book.counts == {"ok": 13_796}
    book.check()
    # An independent reading: orders in a dictionary by the documented rules.
    orders = {}
    for record in expected:
        action = str(record.action.value if hasattr(record.action, "value") else record.action)
        side = str(record.side.value if hasattr(record.side, "value") else record.side)
        if action == "R":
            orders.clear()
        elif action in "AM":
            orders[record.order_id] = [side, record.price, record.size]
        elif action == "C":
            orders[record.order_id][2] -= record.size
            if not orders[record.order_id][2]:
                del orders[record.order_id]
    assert len(book) == len(orders)
    for side, rows in zip("BA", book.depth(), strict=True):
        sizes = {}
        for s, price, size in orders.values():
            if s == side:
                sizes[price] = sizes.get(price, 0) + size
        assert {int(r["price"]): int(r["size"]) for r in rows} == sizes


def test_mbp1_events_have_the_values_of_the_records(data_dir):
    path = data_dir / "dbn" / "glbx_mbp-1_2024-07-01.dbn.zst"
    feed = DbnFeed(path)
    events = collect(feed)
    expected = oracle(path)
    quotes = events[events["kind"] == KINDS["quote"]].view(np.int64).reshape(-1, 8)
    assert len(quotes) == len(expected) == 2288
    level = [r.levels[0] for r in expected]
    assert quotes[:, 4:].tolist() == [[x.bid_px, x.ask_px, x.bid_sz, x.ask_sz] for x in level]
    trades = events[events["kind"] == KINDS["trade"]]
    prints = oracle(data_dir / "dbn" / "glbx_trades_2024-07-01.dbn.zst")
    assert trades["price"].tolist() == [r.price for r in prints]
    assert trades["size"].tolist() == [r.size for r in prints]
    # The aggressor bought: a sell order rested.
    assert trades["side"].tolist() == [{"B": -1, "A": 1}[str(getattr(r.side, "value", r.side))] for r in prints]
    alone = collect(DbnFeed(data_dir / "dbn" / "glbx_trades_2024-07-01.dbn.zst"))
    for field in ("exch_ns", "local_ns", "seq", "side", "price", "size"):
        assert alone[field].tolist() == trades[field].tolist()


def test_actions_become_events(tmp_path):
    path = write(tmp_path / "x.dbn", mbo("RAAMTFCN", "NBABBAAN", [UNDEF_PRICE, 100, 110, 101, 110, 110, 110, 0],
                                         [0, 5, 6, 4, 2, 2, 2, 0], [0, 1, 2, 1, 0, 2, 2, 0]))  # fmt: skip
    feed = DbnFeed(path)
    events = collect(feed)
    names = ["clear", "add", "add", "replace", "trade", "notice", "cancel", "notice"]
    assert events["kind"].tolist() == [KINDS[n] for n in names]
    assert events["side"].tolist() == [0, 1, -1, 1, -1, -1, -1, 0]
    assert events["price"][0] == NO_PRICE
    assert events[3][["price", "size", "order_id", "match_id"]].tolist() == (101, 4, 1, 1)
    assert events.view(np.int64).reshape(-1, 8)[5, 4:].tolist() == [ord("F"), 2, 2, 110]
    assert events["seq"].tolist() == list(range(5, 13))
    book = OrderBook(0)
    assert book.apply(events) == {"ok": 8}
    assert (book.best_bid, book.best_ask, book.best_ask_size) == (101, 110, 4)


def test_records_of_one_venue_event_are_joined_across_blocks(tmp_path):
    n = 60_000
    rows = mbo("T" * n, "B" * n, [100] * n, [1] * n, [9] * n, flags=0)
    rows["ts_event"] = 1_700_000_000_000_000_000 + np.arange(n, dtype=np.uint64) // 3
    rows["action"][1::3], rows["action"][2::3] = b"F", b"C"
    rows["flags"][2::3] = 128
    events = collect(DbnFeed(write(tmp_path / "x.dbn.zst", rows), chunk_events=1000))
    assert (events["flags"] & 1).tolist() == [1, 1, 0] * (n // 3)
    assert collect(DbnFeed(write(tmp_path / "x.dbn", rows))).tobytes() == events.tobytes()


def test_snapshot_of_any_length_is_no_single_message(tmp_path):
    rows = mbo("R" + "A" * 9999, "N" + "B" * 9999, [UNDEF_PRICE] + [100] * 9999, [0] + [1] * 9999, range(10_000), flags=40)
    rows["ts_event"] = rows["ts_event"][0]
    events = collect(DbnFeed(write(tmp_path / "x.dbn", rows)))
    assert set(events["flags"].tolist()) == {FLAGS["snapshot"]}


def test_mbp10_gives_an_image_then_the_changes(tmp_path):
    rows = records(dbn.MBP10Msg, 4, 10, action=b"A", side=b"B", flags=128)
    for i in range(10):
        rows[f"bid_px_{i:02}"], rows[f"ask_px_{i:02}"] = 100 - i, 101 + i
        rows[f"bid_sz_{i:02}"], rows[f"ask_sz_{i:02}"] = 10 + i, 20 + i
    rows["ask_px_09"], rows["ask_sz_09"] = UNDEF_PRICE, 0
    rows["bid_sz_00"][1:] = 7
    rows["action"][2], rows["price"][2], rows["size"][2] = b"T", 100, 3
    rows["instrument_id"][3] = 78
    path = write(tmp_path / "x.dbn", rows, schema=dbn.Schema.MBP_10)
    feed = DbnFeed(path)
    events = collect(feed)
    assert feed.book == "levels"
    image = events[:20]
    assert image["kind"].tolist() == [KINDS["clear"]] + [KINDS["level"]] * 19
    assert set((image["flags"] & ~np.uint16(1)).tolist()) == {FLAGS["snapshot"]}
    assert (image["flags"] & 1).tolist() == [1] * 19 + [0]
    assert events[20][["kind", "side", "price", "size", "flags"]].tolist() == (KINDS["level"], 1, 100, 7, 0)
    assert events[21][["kind", "side", "price", "size", "flags"]].tolist() == (KINDS["trade"], -1, 100, 3, 0)
    assert len(events) == 22 + 20
    assert events["kind"][22] == KINDS["clear"] and events["symbol_id"][[0, 22]].tolist() == [0, 1]


def test_bars_end_when_they_are_known(tmp_path):
    rows = records(dbn.OHLCVMsg, 2, 33, open=10, high=12, low=9, close=11, volume=1000)
    events = collect(DbnFeed(write(tmp_path / "x.dbn", rows, schema=dbn.Schema.OHLCV_1M)))
    assert events["kind"].tolist() == [KINDS["bar"]] * 4
    assert events["exch_ns"][0] == int(rows["ts_event"][0]) + 60_000_000_000
    assert events.view(np.int64).reshape(-1, 8)[:2, 4:].tolist() == [[10, 12, 9, 11], [1000, -1, 60_000_000_000, 0]]


def test_types_that_alternate_keep_their_order(tmp_path):
    a, b = mbo("A" * 500, "B" * 500, [100] * 500, [1] * 500, range(500)), records(dbn.TradeMsg, 500, 0, action=b"T", side=b"A", price=5)
    c = records(dbn.SystemMsg, 500, 23)
    data = b"".join(x.tobytes() for rows in zip(a, b, c, strict=True) for x in rows)
    path = write(tmp_path / "x.dbn", np.frombuffer(data, np.uint8))
    feed = DbnFeed(path, chunk_events=333)
    events = collect(feed)
    assert events["kind"].tolist() == [KINDS["add"], KINDS["trade"]] * 500
    assert events["order_id"][::2].tolist() == list(range(500))
    assert feed.messages == {"mbo A": 500, "trades T": 500, "system": 500}


def test_walk_finds_every_record():
    rng = np.random.default_rng(3)
    sizes = rng.integers(4, 130, 5000)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    lengths = rng.integers(0, 256, starts[-1]).astype(np.uint8)
    lengths[starts[:-1]] = sizes
    found, end = walk(lengths)
    assert found.tolist() == starts[:-1].tolist() and end == starts[-1]
    found, end = walk(lengths[: starts[100] + 3])
    assert found.tolist() == starts[:100].tolist() and end == starts[100]


def test_send_times_at_the_end_of_records_are_skipped(tmp_path):
    rows = mbo("AA", "BA", [100, 110], [1, 2], [1, 2])
    wide = np.zeros(2, [*rows.dtype.descr, ("ts_out", "u8")])
    for name in rows.dtype.names:
        wide[name] = rows[name]
    wide["length"] = 16
    feed = DbnFeed(write(tmp_path / "x.dbn", wide, ts_out=True))
    assert collect(feed).tobytes() == collect(DbnFeed(write(tmp_path / "y.dbn", rows))).tobytes()


@pytest.mark.parametrize("suffix", ["dbn", "dbn.zst"])
def test_cut_file_gives_what_is_whole_then_raises(tmp_path, suffix):
    rng = np.random.default_rng(1)
    n = 50_000
    path = write(tmp_path / f"x.{suffix}", mbo("A" * n, "B" * n, rng.integers(1, 2**60, n), rng.integers(1, 2**30, n), range(n)))
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) * 2 // 3 + 5])
    got = []
    with pytest.raises(CorruptDataError):
        got.extend(DbnFeed(path))
    events = np.concatenate(got)
    assert n / 2 < len(events) < n
    assert events["order_id"].tolist() == list(range(len(events)))


def test_bad_records_are_counted_with_their_offset(tmp_path):
    rows = mbo("AZA", "BBB", [100] * 3, [1] * 3, [1, 2, 3])
    feed = DbnFeed(write(tmp_path / "x.dbn", rows))
    assert collect(feed)["order_id"].tolist() == [1, 3]
    assert feed.errors == {"a record must have a known action and side": 1}
    head = len(bytes((tmp_path / "x.dbn").read_bytes())) - rows.nbytes
    assert feed.error_log[0][0] == head + 56
    with pytest.raises(CorruptDataError, match="known action"):
        list(DbnFeed(tmp_path / "x.dbn", strict=True))
    odd = mbo("A", "B", [100], [1], [1])
    odd["rtype"] = 99
    feed = DbnFeed(write(tmp_path / "y.dbn", rows[:1], odd, rows[2:]))
    assert collect(feed)["order_id"].tolist() == [1, 3]
    assert feed.errors == {"a record must have a known type and length": 1}
    short = mbo("A", "B", [100], [1], [1])
    short["length"] = 0
    got = []
    with pytest.raises(CorruptDataError, match="at least 16 bytes"):
        got.extend(DbnFeed(write(tmp_path / "z.dbn", rows[:1], short)))
    assert sum(map(len, got)) == 1


def test_every_recorded_file_is_recognised(data_dir):
    assert {recognise(path) for path in files(data_dir)} == {"dbn"}


def test_damaged_metadata_and_wrong_options_are_refused(tmp_path):
    path = write(tmp_path / "x.dbn", mbo("A", "B", [100], [1], [1]))
    raw = path.read_bytes()
    path.write_bytes(raw[:20])
    with pytest.raises(CorruptDataError, match="metadata"):
        DbnFeed(path)
    path.write_bytes(raw)
    with pytest.raises(ValueError, match="chunk_events must be at least 1"):
        DbnFeed(path, chunk_events=0)
    (tmp_path / "empty.dbn").write_bytes(b"")
    assert list(DbnFeed(tmp_path / "empty.dbn")) == []


@pytest.mark.parametrize("seed", range(20))
def test_flipped_bytes_never_crash(tmp_path, seed):
    rng = np.random.default_rng(seed)
    n = 300
    path = write(tmp_path / "x.dbn", mbo("A" * n, "B" * n, [100] * n, [1] * n, range(n)), records(dbn.TradeMsg, 50, 0, action=b"T"))
    raw = bytearray(path.read_bytes())
    for at in rng.integers(0, len(raw), 10):
        raw[at] = rng.integers(0, 256)
    path.write_bytes(raw)
    try:
        for events in DbnFeed(path):
            assert events["flags"][-1] & 1 == 0
    except CorruptDataError:
        pass


def test_arrays_that_are_held_keep_their_values(tmp_path):
    n = 100_000
    path = write(tmp_path / "x.dbn", mbo("A" * n, "B" * n, [100] * n, [1] * n, range(n)))
    held = list(DbnFeed(path, chunk_events=1000))
    assert np.concatenate(held)["order_id"].tolist() == list(range(n))
    some = [a for i, a in enumerate(DbnFeed(path, chunk_events=10_000)) if i % 3 == 0]
    assert all((np.diff(a["order_id"]) == 1).all() for a in some)
    assert [a["order_id"][0] for a in some] == sorted({a["order_id"][0] for a in some})


def test_instruments_that_are_not_wanted_are_passed_over_and_counted(tmp_path):
    rows = mbo("AAAAAA", "BABABA", [100, 110] * 3, [1] * 6, range(6))
    rows["instrument_id"] = [7, 4_000_000_000, 9, 7, 4_000_000_000, 9]
    other = records(dbn.StatusMsg, 2, 18, action=7)
    other["instrument_id"] = [4_000_000_000, 9]
    path = write(tmp_path / "x.dbn", rows[:3], other, rows[3:])
    table = Instruments(["A", Instrument("9", 1e-9, 1.0)])
    feed = DbnFeed(path, instruments=table, wanted=["9", "7"])
    events = collect(feed)
    assert events[["symbol_id", "order_id"]].tolist() == [(2, 0), (1, 2), (1, 0), (2, 3), (1, 5)]
    assert feed.messages == {"mbo A": 6, "status": 2}
    assert table.symbols == ["A", "9", "7", "4000000000"]
    assert len(collect(DbnFeed(path))) == 8


def test_a_definition_names_its_instrument_and_says_its_increment(tmp_path):
    rows = records(dbn.InstrumentDefMsg, 2, 19, raw_symbol=b"ESM4", min_price_increment=250_000_000)
    rows["raw_symbol"][1], rows["instrument_id"][1], rows["min_price_increment"][1] = b"LATE", 5, 10
    trades = records(dbn.TradeMsg, 2, 0, action=b"T", side=b"A", price=5)
    trades["instrument_id"] = [5, 77]
    feed = DbnFeed(write(tmp_path / "x.dbn", trades[:1], rows, trades[1:], schema=dbn.Schema.DEFINITION))
    events = collect(feed)
    # An instrument keeps the row that its first event had.
    assert list(feed.instruments) == [Instrument("5", 1e-9, 1.0), Instrument("ESM4", 1e-9, 1.0, 250_000_000)]
    assert events["symbol_id"].tolist() == [0, 1, 0, 1]
    assert feed.increments == {1: 250_000_000, 0: 10}


def test_length_of_the_metadata_is_not_believed(tmp_path):
    path = tmp_path / "x.dbn.zst"
    path.write_bytes(zstandard.compress(b"DBN\x03" + (2**31).to_bytes(4, "little") + bytes(2**26)))
    with pytest.raises(CorruptDataError, match="metadata of a DBN file must have at most 67108864 bytes: .* bytes=2147483656"):
        DbnFeed(path)


def test_instruments_with_large_numbers_take_no_memory(tmp_path):
    path = write(tmp_path / "x.dbn", mbo("AA", "BB", [10**9] * 2, [1] * 2, [1, 2], instrument_id=[2**32 - 2, 5]))
    tracemalloc.start()
    events = collect(DbnFeed(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert events["symbol_id"].tolist() == [0, 1]
    assert peak < 50e6
def venue_event(*parts, time, ids=77):
    """Records (action, side, price, size, order_id) of one venue event."""
    rows = mbo(*([p[i] for p in parts] for i in range(5)), flags=[0] * (len(parts) - 1) + [128])
    rows["ts_event"], rows["ts_recv"], rows["instrument_id"] = time, time + 1, ids
    return rows


def test_own_orders_are_filled_by_the_fills_of_orders_behind_them(tmp_path):
    # 10 ahead of our 5, 20 behind, trades of 15 and 15.
    before, ours = [("A", "B", 100, 10, 1)], ("A", "B", 100, 20, 2)
    first = [("T", "A", 100, 15, 0), ("F", "B", 100, 10, 1), ("F", "B", 100, 5, 2), ("C", "B", 100, 10, 1), ("M", "B", 100, 15, 2)]
    second = [("T", "A", 100, 15, 0), ("F", "B", 100, 15, 2), ("C", "B", 100, 15, 2)]
    parts = [venue_event(*rows, time=i) for i, rows in enumerate((before, [ours], first, second), start=1)]
    events = collect(DbnFeed(write(tmp_path / "x.dbn", *parts)))
    market = Market(import_module("fastcore.sim.venue"))
    market.add(1, 1, 100, 10)
    market.submit(1, 100, 5)
    for event in events[1:]:
        price, size, order_id = (int(event[name]) for name in ("price", "size", "order_id"))
        if event["kind"] == KINDS["add"]:
            market.add(order_id, 1, price, size)
        elif event["kind"] == KINDS["execute"]:
            market.execute(order_id, size)
        else:
            assert event["kind"] in (KINDS["notice"], KINDS["replace"])
    assert market.venue.filled_lots == 5
    book = OrderBook()
    assert book.apply(events) == {"ok": len(events)}
    assert len(book) == 0


def test_an_order_that_is_displayed_anew_is_filled_and_put_at_the_end(tmp_path):
    # All that was displayed trades, and more of the same order is shown.
    parts = [venue_event(("A", "B", 100, 10, 1), ("A", "B", 100, 4, 2), time=1),
             venue_event(("T", "A", 100, 10, 0), ("F", "B", 100, 10, 1), ("M", "B", 100, 10, 1), time=2)]  # fmt: skip
    book = OrderBook()
    events = collect(DbnFeed(write(tmp_path / "x.dbn", *parts)))
    assert book.apply(events) == {"ok": 5}
    assert book.queue(1, 100)[["order_id", "size"]].tolist() == [(2, 4), (1, 10)]


def day(n):
    return 1_704_153_600_000_000_000 + n * 86_400_000_000_000  # 2024-01-02


def mapped(path, mappings, *parts, schema=dbn.Schema.TRADES, by_number=False):
    sides = (dbn.SType.INSTRUMENT_ID, dbn.SType.RAW_SYMBOL) if by_number else (dbn.SType.CONTINUOUS, dbn.SType.INSTRUMENT_ID)
    table = [
        SimpleNamespace(raw_symbol=name, intervals=[
            SimpleNamespace(start_date=date(2024, 1, 2 + a), end_date=date(2024, 1, 2 + b), symbol=symbol) for a, b, symbol in rows
        ]) for name, rows in mappings.items()
    ]  # fmt: skip
    metadata = dbn.Metadata("XNAS.ITCH", 0, *sides, schema, mappings=table)
    path.write_bytes(bytes(metadata) + b"".join(part.tobytes() for part in parts))
    return path


def trades(times, ids, sizes, **more):
    rows = records(dbn.TradeMsg, len(ids), 0, action=b"T", side=b"A", price=5, size=sizes, instrument_id=ids, **more)
    rows["ts_event"] = rows["ts_recv"] = times
    return rows


ROLL = {"AAA": [(0, 1, "100"), (1, 2, "101")], "BBB": [(1, 2, "100")]}


def volumes(feed):
    events = collect(feed)
    return {
        feed.instruments[i].symbol: events["size"][events["symbol_id"] == i].tolist() for i in np.unique(events["symbol_id"]).tolist()
    }


@pytest.mark.parametrize("mixed", [False, True])
def test_the_symbol_of_an_instrument_depends_on_the_date(tmp_path, mixed):
    parts = [trades([day(0) + 5, day(1) - 1], [100, 100], [3, 7]), trades([day(1), day(1) + 9, day(1) + 10], [100, 101, 100], [4, 5, 6])]
    other = records(dbn.StatMsg, 1, 24)  # from the first other type on, a piece is read in another way
    other["ts_event"] = other["ts_recv"] = day(0)
    path = mapped(tmp_path / "x.dbn", ROLL, *([other] if mixed else []), *parts)
    for options in ({}, {"chunk_events": 1}):
        assert volumes(DbnFeed(path, **options)) == {"AAA": [3, 7, 5], "BBB": [4, 6]}
    assert volumes(DbnFeed(path, wanted=["BBB"])) == {"BBB": [4, 6]}


def test_receive_time_decides_the_date_and_days_outside_are_those_next_to_them(tmp_path):
    rows = trades([day(-3), day(1) - 1, day(7)], [100, 100, 100], [1, 2, 3])
    rows["ts_recv"][1], rows["ts_recv"][2] = day(1), UNDEF_TIME
    assert volumes(DbnFeed(mapped(tmp_path / "x.dbn", ROLL, rows))) == {"AAA": [1], "BBB": [2, 3]}


def test_symbols_may_be_numbers_and_mappings_may_go_the_other_way(tmp_path):
    rows = trades([day(0), day(1)], [100, 100], [1, 2])
    assert volumes(DbnFeed(mapped(tmp_path / "x.dbn", {"700": [(0, 2, "100")]}, rows))) == {"700": [1, 2]}
    way = {"100": [(0, 1, "700"), (1, 2, "AAPL")]}
    assert volumes(DbnFeed(mapped(tmp_path / "y.dbn", way, rows, by_number=True))) == {"700": [1], "AAPL": [2]}


@pytest.mark.parametrize("mixed", [False, True])
def test_the_book_of_a_symbol_is_cleared_when_it_goes_to_another_instrument(tmp_path, mixed):
    parts = [venue_event(("A", "B", 100, 10, 1), ("A", "B", 99, 1, 2), time=day(0), ids=100),
             venue_event(("A", "B", 95, 7, 3), ("A", "A", 97, 2, 4), time=day(1), ids=101)]  # fmt: skip
    other = records(dbn.StatMsg, 1, 24)
    other["instrument_id"], other["ts_event"], other["ts_recv"] = 100, day(0), day(0)
    feed = DbnFeed(mapped(tmp_path / "x.dbn", ROLL, *([other] if mixed else []), *parts, schema=dbn.Schema.MBO))
    events = collect(feed)
    assert events["kind"].tolist() == [KINDS[name] for name in ("add", "add", "clear", "add", "add")]
    assert events[2][["exch_ns", "local_ns", "symbol_id"]].tolist() == (day(1), day(1) + 1, 0)
    book = OrderBook()
    book.apply(events)
    assert (book.best_bid, book.best_ask, len(book)) == (95, 97, 2)


def test_levels_begin_anew_when_a_symbol_goes_to_another_instrument(tmp_path):
    rows = records(dbn.MBP10Msg, 4, 10, action=b"A", flags=128)
    for i in range(10):
        for side in ("bid", "ask"):
            rows[f"{side}_px_{i:02}"] = UNDEF_PRICE
    rows["bid_px_00"], rows["bid_sz_00"], rows["instrument_id"] = [100, 90, 100, 91], [1, 2, 1, 3], [100, 101, 100, 101]
    rows["ts_event"] = rows["ts_recv"] = [day(0), day(1), day(1), day(1) + 1]
    feed = DbnFeed(mapped(tmp_path / "x.dbn", ROLL, rows, schema=dbn.Schema.MBP_10))
    books = BookSet(by_level=True)
    books.apply(collect(feed))
    best = {feed.instruments[i].symbol: (books.book(i).best_bid, len(books.book(i))) for i in books}
    assert best == {"AAA": (91, 1), "BBB": (100, 1)}


def test_a_mapping_among_the_records_renames_an_instrument(tmp_path):
    def told(time, instrument, symbol):
        row = records(dbn.SymbolMappingMsg, 1, 22, stype_in_symbol=symbol, stype_out_symbol=b"", instrument_id=instrument)
        row["ts_event"] = time
        return row

    path = write(
        tmp_path / "x.dbn", told(1, 100, b"ES.c.0"), trades([2], [100], [3]), told(3, 101, b"ES.c.0"), trades([4, 5], [101, 100], [5, 4]),
        told(6, 101, b"ES.c.1"), trades([7], [101], [6]), schema=dbn.Schema.TRADES,
    )  # fmt: skip
    assert volumes(DbnFeed(path)) == {"ES.c.0": [3, 5], "100": [4], "ES.c.1": [6]}


def publishers(tmp_path):
    rows = mbo("RARAA", "NBNBA", [UNDEF_PRICE, 99, UNDEF_PRICE, 98, 101], [0, 5, 0, 7, 7], [0, 1, 0, 1, 2], publisher_id=[39, 39, 40, 40, 40])
    return write(tmp_path / "x.dbn", rows)


def test_each_publisher_of_an_instrument_has_a_book(tmp_path):
    path = publishers(tmp_path)
    feed = DbnFeed(path)
    books = BookSet()
    books.apply(collect(feed))
    assert books.counts == {"ok": 5}
    best = {feed.instruments[i].symbol: (books.book(i).best_bid, books.book(i).best_ask) for i in books}
    assert best == {"77": (99, None), "77@40": (98, 101)}
    feed = DbnFeed(path, publisher=40)
    events = collect(feed)
    assert feed.instruments.symbols == ["77"] and events["price"][1:].tolist() == [98, 101]
    assert feed.messages == {"mbo A": 3, "mbo R": 2}


def test_publishers_keep_their_names_in_the_part_that_follows(tmp_path):
    first = publishers(tmp_path)
    rows = mbo("AA", "BB", [97, 96], [1, 1], [1, 1], publisher_id=[40, 39])
    feed = DbnFeed(first)
    collect(feed)
    later = DbnFeed(write(tmp_path / "y.dbn", rows), instruments=feed.instruments)
    later.follow(feed)
    events = collect(later)
    assert events[["symbol_id", "order_id"]].tolist() == [(1, ((39 ^ 40) << 48) ^ 1), (0, 1)]


def test_consolidated_records_of_all_publishers_are_one_instrument(tmp_path):
    rows = records(dbn.CMBP1Msg, 2, 177, action=b"A", flags=128, publisher_id=[39, 40])
    feed = DbnFeed(write(tmp_path / "x.dbn", rows, schema=dbn.Schema.CMBP_1))
    assert collect(feed)["symbol_id"].tolist() == [0, 0]
