"""A tick store as a feed."""

import tracemalloc

import numpy as np
import pytest

from fastcore.errors import CorruptDataError, LayoutError
from fastcore.instruments import Instrument
from fastcore.records import EVENT_DTYPE, KINDS, TICK_DTYPE
from fastcore.tickstore import TickStore
from hft.feeds import open_feed, recognise
from hft.feeds.synthetic import generate_events
from hft.feeds.ticks import TickFeed


def ticks(n=5000):
    out = np.zeros(n, TICK_DTYPE)
    out["timestamp_ns"] = 10**18 + np.arange(n)
    out["symbol_id"] = np.arange(n) % 3
    out["price"] = 100 + np.arange(n) % 50 / 100
    out["volume"] = 1 + np.arange(n) % 7
    return out


def store(path, records):
    with TickStore(path, "x", records.dtype) as out:
        out.append_many(records)
    return path


def test_ticks_are_trades(tmp_path):
    path = store(tmp_path / "day", ticks())
    assert recognise(path) == "ticks"
    seen = []
    feed = open_feed(path, chunk_events=700, progress=lambda done, total: seen.append((done, total)))
    arrays = list(feed)
    events = np.concatenate(arrays)
    assert max(map(len, arrays)) == 700 and seen[-1] == (5000, 5000)
    assert (feed.book, feed.messages) == ("none", {"trade": 5000})
    assert events["exch_ns"].tolist() == ticks()["timestamp_ns"].tolist()
    assert events["price"].tolist() == (10_000 + np.arange(5000) % 50).tolist()
    assert events["size"].tolist() == (1 + np.arange(5000) % 7).tolist()
    assert list(feed.instruments) == [Instrument(str(i), 0.01, 1.0) for i in range(3)]


def test_instruments_and_a_range_of_time_are_options(tmp_path):
    path = store(tmp_path / "day", ticks())
    feed = TickFeed(path, tick_size=0.01, names={1: Instrument("B", 0.005, 1.0)}, start_ns=10**18 + 1, end_ns=10**18 + 5)
    events = np.concatenate(list(feed))
    assert events["exch_ns"].tolist() == [10**18 + i for i in (1, 2, 3, 4)]
    assert events["price"].tolist() == [20_002, 10_002, 10_003, 20_008]
    assert feed.instruments.symbols == ["B", "2", "0"]


def test_ticks_off_the_grid_are_errors_of_their_record(tmp_path):
    records = ticks()
    records["price"][[7, 900]] = [100.005, 100.0049]
    records["volume"][11] = 1.25
    feed = TickFeed(store(tmp_path / "day", records), tick_size=0.01, lot_size=1.0, chunk_events=800)
    assert sum(map(len, feed)) == 4997
    assert feed.errors == {"price of a tick must be a whole multiple of its unit": 2, "size of a tick must be a whole multiple of its unit": 1}
    assert [at for at, _ in feed.error_log] == [7, 11, 900]
    with pytest.raises(CorruptDataError):
        list(TickFeed(tmp_path / "day", tick_size=0.01, strict=True))


def test_events_come_back_as_they_were_stored(tmp_path):
    events = generate_events(5000, seed=2)
    events["flags"][100:105] = 1
    path = store(tmp_path / "events", events)
    with TickStore(path) as reader:
        stored = reader.records().copy()
    feed = open_feed(path, chunk_events=64)
    arrays = list(feed)
    assert np.concatenate(arrays).tobytes() == stored.tobytes()
    assert all(a["flags"][-1] & 1 == 0 for a in arrays)
    assert sum(feed.messages.values()) == 5000
    assert feed.messages["add"] == int((events["kind"] == KINDS["add"]).sum())
    assert not any(part.flags.writeable or part.flags.owndata for part in arrays), "views of the file"


def test_other_records_are_refused(tmp_path):
    records = np.zeros(3, [("t", "u8"), ("x", "f8")])
    with TickStore(tmp_path / "x", "x", records.dtype, time_field="t") as out:
        out.append_many(records)
    with pytest.raises(LayoutError, match="must hold ticks or events"):
        TickFeed(tmp_path / "x")
    assert EVENT_DTYPE.itemsize == 64


def test_cut_store_is_read_as_far_as_it_vouches(tmp_path):
    path = store(tmp_path / "day", ticks())
    with open(path, "r+b") as file:
        file.truncate(65_536 + 65_536 + 64_000)
    got = []
    with pytest.raises(CorruptDataError, match=r"a store must be whole: .* lost="):
        got.extend(TickFeed(path))
    events = np.concatenate(got)
    assert 1000 < len(events) < 5000
    assert events["exch_ns"].tolist() == ticks()["timestamp_ns"][: len(events)].tolist()


def test_wrong_options_are_refused(tmp_path):
    path = store(tmp_path / "day", ticks())
    for options in ({"tick_size": 0}, {"lot_size": float("nan")}, {"chunk_events": 0}):
        with pytest.raises(ValueError, match=next(iter(options))):
            TickFeed(path, **options)


def test_ids_near_the_end_of_their_range_take_no_memory(tmp_path):
    records = ticks(10)
    records["symbol_id"][5:] = 2**32 - 2
    tracemalloc.start()
    events = np.concatenate(list(TickFeed(store(tmp_path / "day", records))))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert events["symbol_id"].tolist() == [0, 1, 2, 0, 1, *[3] * 5]
    assert peak < 50e6


def test_events_of_unknown_kinds_are_errors(tmp_path):
    events = generate_events(messages=400, seed=1)
    events["kind"][[3, 50]] = len(KINDS), 255
    feed = TickFeed(store(tmp_path / "day", events))
    assert sum(map(len, feed)) == len(events) - 2
    assert feed.errors == {"an event must have a known kind": 2}
    assert [entry[0] for entry in feed.error_log] == [3, 50]
