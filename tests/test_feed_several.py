"""Several files as one feed: parts of a stream go on where the one before has ended, different streams are merged by time."""

import struct
from datetime import date

import numpy as np
import pytest
from makers.binance import capture
from makers.captures import ethernet, ip4, packets_of, pcap, timed
from makers.feeds import Given

from fastcore.instruments import Instruments
from fastcore.records import EVENT_DTYPE, FLAGS, KINDS, NO_SYMBOL
from hft.feeds import FormatError, open_feed
from hft.feeds.itch import midnight_ns
from hft.feeds.merge import MergedFeed, merge
from hft.feeds.several import ChainedFeed, open_feeds
from hft.feeds.synthetic import generate


def collect(feed):
    with feed:
        arrays = [a.copy() for a in feed]
    assert all(len(a) and not a["flags"][-1] & FLAGS["continued"] for a in arrays)
    return np.concatenate([*arrays, np.zeros(0, EVENT_DTYPE)])


def message(type, locate, body, time):
    data = type + struct.pack(">HHQ", locate, 0, time)[:4] + time.to_bytes(6, "big") + body
    return struct.pack(">H", len(data)) + data


def day(locate, order):
    listing = message(b"R", locate, b"AAPL    QNRNCZ NZ1N" + struct.pack(">I", 0) + b"N", 1)
    listing = listing[:2] + listing[2:41].ljust(39)
    add = message(b"A", locate, struct.pack(">QcI8sI", order, b"B", 10, b"AAPL    ", 990_000), 2)
    return struct.pack(">H", 39) + listing[2:] + add


def test_days_of_one_symbol_follow_each_other_whatever_the_order_and_the_locates(tmp_path):
    first, second = tmp_path / "x_2020-01-30.itch", tmp_path / "x_2020-01-31.itch"
    first.write_bytes(day(13, 1))
    second.write_bytes(day(77, 2))
    feed = open_feeds([second, first], strict=True)
    assert isinstance(feed, ChainedFeed)
    assert (feed.format, feed.book) == ("itch", "orders")
    events = collect(feed)
    assert feed.instruments.symbols == ["AAPL"]
    assert events["symbol_id"].tolist() == [0] * 4
    assert events["order_id"][events["kind"] == KINDS["add"]].tolist() == [1, 2]
    assert events["exch_ns"].tolist() == [midnight_ns(d) + t for d in (date(2020, 1, 30), date(2020, 1, 31)) for t in (1, 2)]
    assert feed.messages == {"A": 2, "R": 2}


def test_pieces_of_a_capture_of_lines_go_on_without_a_new_snapshot(tmp_path):
    lines = capture(300).splitlines(True)
    (tmp_path / "whole").write_bytes(b"".join(lines))
    for i, (start, stop) in enumerate(((0, 100), (100, 101), (101, len(lines)))):
        (tmp_path / f"{i}").write_bytes(b"".join(lines[start:stop]))
    whole = open_feed(tmp_path / "whole")
    expected = collect(whole)
    told = []
    feed = open_feeds([tmp_path / name for name in "102"], progress=lambda *x: told.append(x))
    assert collect(feed).tobytes() == expected.tobytes()
    assert (feed.messages, feed.errors, feed.gaps) == (whole.messages, {}, 0)
    total = sum(map(len, lines))
    assert told == sorted(told) and told[-1] == (total, total)
    assert len(collect(open_feed(tmp_path / "2"))) < len(expected) // 2  # by itself it lacks the snapshot


def test_pieces_of_a_network_capture_keep_sequences_and_names(tmp_path):
    stream = generate(2_000, 2)
    frames = timed([ethernet(ip4(p)) for p in packets_of(stream, size=300)])
    del frames[40]  # the first of the second piece: a gap between two files
    expected = collect(whole := open_feed(pcap(tmp_path / "whole", frames)))
    pcap(tmp_path / "a", frames[:40])
    pcap(tmp_path / "b", frames[40:])
    feed = open_feeds([tmp_path / "a", tmp_path / "b"])
    assert collect(feed).tobytes() == expected.tobytes()
    assert (feed.messages, feed.gaps, feed.instruments.symbols) == (whole.messages, 1, ["SYNTH"])


def test_orders_of_a_table_keep_their_sizes(tmp_path):
    head = "time,type,id,price,size,side\n"
    rows = ["1,A,1,10.5,9,BID\n", "2,A,2,10.0,5,BID\n", "3,R,1,,4,\n", "4,R,2,,1,\n"]
    options = {"actions": {"A": "add", "R": "resize"}, "time_unit": "ns", "symbol": "X"}
    for name, some in (("whole", rows), ("a", rows[:2]), ("b", rows[2:])):
        (tmp_path / f"{name}.csv").write_text(head + "".join(some))
    expected = collect(open_feed(tmp_path / "whole.csv", **options))
    feed = open_feeds([tmp_path / "a.csv", tmp_path / "b.csv"], **options)
    assert collect(feed).tobytes() == expected.tobytes()
    assert (feed.messages, feed.errors) == ({"add": 2, "cancel": 2}, {})


def trades(path, symbol, times):
    path.write_text("time,price,symbol\n" + "".join(f"{t},1.5,{symbol}\n" for t in times))
    return path


def test_different_symbols_are_merged_by_time_and_by_the_order_of_the_arguments(tmp_path):
    b1, a, b2 = (trades(tmp_path / f"{n}.csv", s, t) for n, s, t in (("b1", "B", [5, 7]), ("a", "A", [4, 5, 9]), ("b2", "B", [9, 12])))
    feed = open_feeds([b2, a, b1], time_unit="ns")
    assert isinstance(feed, MergedFeed)
    events = collect(feed)
    symbols = feed.instruments.symbols
    assert [(t, symbols[i]) for t, i in events[["exch_ns", "symbol_id"]].tolist()] == [
        (4, "A"), (5, "B"), (5, "A"), (7, "B"), (9, "B"), (9, "A"), (12, "B"),
    ]  # fmt: skip
    assert feed.messages == {"trade": 7}
    table = Instruments(["C", "A"], tick_size=0.1)
    feed = open_feeds([b1, a], time_unit="ns", tick_size=0.1, instruments=table, wanted=["A"])
    assert feed.instruments is table
    assert set(collect(feed)["symbol_id"].tolist()) == {1}


def test_one_path_is_its_feed_and_wrong_paths_are_refused(tmp_path):
    path = trades(tmp_path / "a.csv", "A", [1])
    assert type(open_feeds([path], time_unit="ns")) is type(open_feed(path, time_unit="ns"))
    with pytest.raises(ValueError, match="paths must name at least one file"):
        open_feeds([])
    with pytest.raises(ValueError, match="paths must name each file once: path=.*a.csv"):
        open_feeds([path, path])
    with pytest.raises(FileNotFoundError, match="path must exist"):
        open_feeds([path, tmp_path / "b.csv"], time_unit="ns")
    (tmp_path / "x.bin").write_bytes(bytes(range(256)))
    with pytest.raises(FormatError, match="the format of a file must be known"):
        open_feeds([path, tmp_path / "x.bin"], time_unit="ns")


def test_images_do_not_move_the_clock_of_a_merge_and_other_events_have_a_time(tmp_path):
    def rows(symbol_id, *times, flags=()):
        out = np.zeros(len(times), EVENT_DTYPE)
        out["exch_ns"], out["local_ns"] = zip(*times, strict=True)
        out["symbol_id"], out["kind"], out["seq"] = symbol_id, KINDS["trade"], np.arange(len(times))
        out["flags"][list(flags)] = FLAGS["snapshot"]
        return out

    table = Instruments(["A", "B"])
    a = rows(0, (50, 0), (10, 0), (90, 0), (20, 0), flags=[0, 2])
    b = rows(1, (0, 15), (30, 99), (0, 60))
    merged = collect(merge(Given([a], table), Given([b], table)))
    assert merged[["symbol_id", "seq"]].tolist() == [(1, 0), (1, 1), (0, 0), (0, 1), (0, 2), (0, 3), (1, 2)]


def test_wanted_symbols_alone_come_from_every_kind_of_feed(tmp_path):
    stream = generate(3_000, 2, ("AAA", "BBB"))
    (tmp_path / "day.itch").write_bytes(stream)
    pcap(tmp_path / "day.pcap", timed([ethernet(ip4(p)) for p in packets_of(stream)]))
    for name in ("day.itch", "day.pcap"):
        everything, feed = open_feed(tmp_path / name), open_feed(tmp_path / name, wanted=["BBB"])
        expected, got = collect(everything), collect(feed)
        number = everything.instruments.id_of("BBB")
        expected = expected[(expected["symbol_id"] == number) | (expected["symbol_id"] == NO_SYMBOL)]
        got["symbol_id"][got["symbol_id"] != NO_SYMBOL] = number
        assert got.tobytes() == expected.tobytes()
    with pytest.raises(FormatError, match="wanted must be a collection of symbols, not one: wanted='BBB'"):
        open_feed(tmp_path / "day.itch", "itch", wanted="BBB")
