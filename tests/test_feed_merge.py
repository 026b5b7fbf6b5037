"""Merging feeds by time, and the offset between two clocks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from makers.feeds import Given

from fastcore.instruments import Instrument, Instruments
from fastcore.records import EVENT_DTYPE, KINDS, NO_SYMBOL
from hft.feeds import Feed, open_feed
from hft.feeds.merge import clock_offset, merge

HOUR = 3600 * 10**9


class Arrays(Feed):
    format = "arrays"

    def __init__(self, arrays, ids=(), book="quotes"):
        super().__init__("arrays")
        self.arrays, self.book, self.closed = arrays, book, False
        self.ids = ids

    def _arrays(self):
        for array in self.arrays:
            array = array.copy()
            array["symbol_id"] = [self._row(f"S{i}", 0.5) for i in array["symbol_id"].tolist()]
            yield array

    def close(self):
        self.closed = True
        super().close()


def events(times, symbol_id=0, field="exch_ns", flags=0):
    out = np.zeros(len(times), EVENT_DTYPE)
    out[field], out["symbol_id"], out["kind"], out["flags"] = times, symbol_id, KINDS["trade"], flags
    out["seq"] = np.arange(len(times))
    return out


def run(feed):
    arrays = list(feed)
    assert all(a["flags"][-1] & 1 == 0 for a in arrays)
    return np.concatenate(arrays) if arrays else np.zeros(0, EVENT_DTYPE)


def test_equal_times_go_in_the_order_of_the_arguments():
    a, b = events([1, 2, 2, 5]), events([2, 2, 3, 5], 1)
    merged = run(merge(Arrays([a]), Arrays([b])))
    assert merged[["exch_ns", "symbol_id", "seq"]].tolist() == [
        (1, 0, 0), (2, 0, 1), (2, 0, 2), (2, 1, 0), (2, 1, 1), (3, 1, 2), (5, 0, 3), (5, 1, 3),
    ]  # fmt: skip


def test_equal_times_across_arrays_keep_the_order():
    # The first feed goes on with time 2 in its second array: the other feed's 2 must await it.
    first = Arrays([events([1, 2]), events([2, 2]), events([2, 3])])
    second = Arrays([events([2], 1), events([2, 9], 1)])
    merged = run(merge(first, second))
    assert merged["symbol_id"].tolist() == [0, 0, 0, 0, 0, 1, 1, 0, 1]


def test_clock_that_goes_backwards_holds_the_latest_time():
    a, b = events([1, 10, 4, 5, 11]), events([6, 7, 12], 1)
    merged = run(merge(Arrays([a[:2], a[2:]]), Arrays([b])))
    assert merged[["symbol_id", "exch_ns"]].tolist() == [(0, 1), (1, 6), (1, 7), (0, 10), (0, 4), (0, 5), (0, 11), (1, 12)]


def test_messages_of_several_events_stay_together():
    a = events([1, 5, 9, 9], flags=[0, 1, 1, 0])
    merged = run(merge(Arrays([a]), Arrays([events([2, 6, 7, 10], 1)]), chunk_events=2))
    assert merged["symbol_id"].tolist() == [0, 1, 0, 0, 0, 1, 1, 1]


def test_symbols_of_feeds_with_tables_of_their_own_become_rows_and_are_named_by_venue():
    a = np.concatenate([events([1], 5), events([2], 3_000_000_000), events([3], 5)])
    b = np.concatenate([events([1], 5), events([4], 0)])
    feed = merge(Arrays([a]), Arrays([b]), names=("X", None))
    merged = run(feed)
    symbols = [feed.instruments[i].symbol for i in merged["symbol_id"].tolist()]
    assert symbols == ["S5.X", "S5", "S3000000000.X", "S5.X", "S0"]
    assert feed.instruments.symbols == ["S5.X", "S3000000000.X", "S5", "S0"]
    same = merge(Arrays([a]), Arrays([b]))
    symbols = [same.instruments[i].symbol for i in run(same)["symbol_id"].tolist()]
    assert symbols == ["S5", "S5", "S3000000000", "S5", "S0"]


def test_feeds_with_one_table_are_merged_without_a_copy():
    table = Instruments(["A", "B"])
    arrays = [events([1, 2], 1), events([3], 0)]
    feeds = [Given([array], table) for array in arrays]
    merged = merge(*feeds)
    assert merged.instruments is table
    got = list(merged)
    assert [a["symbol_id"].tolist() for a in got] == [[1, 1], [0]]
    assert all(np.shares_memory(a, b) for a, b in zip(got, arrays, strict=True))
    moved = run(merge(Given([arrays[0]], table), offsets_ns=[5]))
    assert moved["exch_ns"].tolist() == [6, 7] and arrays[0]["exch_ns"].tolist() == [1, 2]


def test_one_symbol_with_two_meanings_needs_names():
    a, b = Given([events([1])], Instruments([Instrument("A", 0.5, 1.0)])), Given([events([2])], Instruments([Instrument("A", 0.25, 1.0)]))
    with pytest.raises(ValueError, match="symbols of several feeds that mean several things need names: path=arrays .*tick_size=0.5"):
        run(merge(a, b))
    a, b = (Given([events([1])], feed.instruments) for feed in (a, b))
    feed = merge(a, b, names=("X", "Y"))
    run(feed)
    assert list(feed.instruments) == [Instrument("A.X", 0.5, 1.0), Instrument("A.Y", 0.25, 1.0)]


def test_offsets_move_the_times_of_the_events_too():
    merged = run(merge(Arrays([events([100, 200])]), Arrays([events([5100, 5150])]), offsets_ns=(0, -5000)))
    assert merged["exch_ns"].tolist() == [100, 100, 150, 200]
    local = run(merge(Arrays([events([3, 9], field="local_ns")]), Arrays([events([5], field="local_ns")]), by="local_ns"))
    assert local["local_ns"].tolist() == [3, 5, 9]


def test_counts_are_those_of_all_feeds_and_close_closes_them():
    a, b = Arrays([events([1])]), Arrays([events([2])], book="orders")
    a.messages, a.errors, a.gaps = {"x": 2}, {"r": 1}, 1
    b.messages, b.error_log = {"x": 3, "y": 1}, [(4, "r")]
    with merge(a, b) as feed:
        run(feed)
        assert (feed.messages, feed.errors, feed.gaps, feed.error_log) == ({"x": 5, "y": 1}, {"r": 1}, 1, [(4, "r")])
        assert feed.book == "none"
    assert a.closed and b.closed
    assert run(merge()).size == 0


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="by must be exch_ns or local_ns"):
        merge(by="seq")
    with pytest.raises(ValueError, match="offsets_ns must be as many as the feeds"):
        merge(Arrays([]), offsets_ns=[])
    with pytest.raises(ValueError, match="chunk_events"):
        merge(chunk_events=0)


streams = st.lists(
    st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=30).map(lambda s: [*s, (0, False)]), min_size=1, max_size=4
)


@given(streams, st.integers(1, 5))
def test_merge_is_a_stable_sort_of_messages(parts, chunk):
    feeds, messages = [], []
    for number, part in enumerate(parts):
        array = events([t for t, _ in part], number, flags=[int(c) for _, c in part])
        cuts = [i + 1 for i, (_, c) in enumerate(part) if not c][::2]
        feeds.append(Arrays(np.split(array, cuts)))
        key, current = 0, []
        for i, (time, continued) in enumerate(part):
            key = max(key, time) if not current else key
            current.append((number, i))
            if not continued:
                messages.append((key, number, current))
                current = []
    expected = [event for _, _, message in sorted(messages, key=lambda m: m[:2]) for event in message]
    feed = merge(*feeds, chunk_events=chunk)
    merged = run(feed)
    symbols = feed.instruments.symbols
    assert [(int(symbols[e["symbol_id"]][1:]), int(e["seq"])) for e in merged] == expected


def walk(n, seed, shift_ns=0, noise=0):
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.exponential(2e9, n)).astype(np.int64)
    price = 100_000 + np.cumsum(np.random.default_rng(7).normal(0, 3, int(times[-1] // 10**9) + 2))
    mid = np.rint(price[times // 10**9] + rng.normal(0, noise, n)).astype(np.int64)
    out = events(times + 10**18 + shift_ns)
    out["kind"] = KINDS["quote"]
    values = out.view(np.int64).reshape(-1, 8)
    values[:, 4], values[:, 5], values[:, 6:] = mid - 1, mid + 1, 1
    return out


@pytest.mark.parametrize("shift_ns", [0, 5 * HOUR, -7 * HOUR, 90 * 10**9])
def test_offset_of_a_shifted_clock_is_found(shift_ns):
    found = clock_offset(Arrays([walk(20_000, 1)]), walk(20_000, 2, shift_ns, noise=1))
    assert abs(found.offset_ns + shift_ns) <= 500_000_000
    assert found.quality > 2
    assert found.hours == pytest.approx(-shift_ns / HOUR, abs=1e-3)
    assert "times the next peak" in str(found)


def test_clocks_of_unrelated_markets_have_no_quality():
    other = walk(20_000, 3)
    steps = np.random.default_rng(99).integers(-3, 4, len(other)).cumsum()
    other.view(np.int64).reshape(-1, 8)[:, 4:6] = (100_000 + steps)[:, None] + [-1, 1]
    assert clock_offset(walk(20_000, 1), other).quality < 1.5


def test_clock_offset_refuses_too_little():
    with pytest.raises(ValueError, match="at least 100 price changes: a=0"):
        clock_offset(events([1, 2]), walk(1000, 1))
    with pytest.raises(ValueError, match="fine_ns"):
        clock_offset(walk(1000, 1), walk(1000, 1), fine_ns=0)
    with pytest.raises(ValueError, match="max_hours"):
        clock_offset(walk(1000, 1), walk(1000, 1), max_hours=0)


def test_two_venues_of_one_pair_are_five_hours_apart_and_merge(data_dir):
    pytest.importorskip("pyarrow")
    paths = [data_dir / "fx" / f"{venue}_eurusd_20140508_quote.zip" for venue in ("fxcm", "oanda")]
    found = clock_offset(*(open_feed(path) for path in paths))
    assert found.hours == pytest.approx(-5.0, abs=1e-4)
    assert found.quality > 10
    feeds = [open_feed(path, symbol="EURUSD") for path in paths]
    with merge(*feeds, offsets_ns=(0, found.offset_ns), names=("FXCM", "OANDA")) as feed:
        merged = run(feed)
        assert feed.instruments.symbols == ["EURUSD.FXCM", "EURUSD.OANDA"]
    assert len(merged) == sum(sum(map(len, open_feed(path))) for path in paths)
    assert (np.diff(merged["exch_ns"]) >= 0).all() or sum(feed.errors.values()) == 0
    # The two prices agree then, and do not without the offset.
    spread = []
    for offset in (found.offset_ns, 0):
        a, b = (np.concatenate(list(open_feed(path))) for path in paths)
        at = np.searchsorted(b["exch_ns"] + offset, a["exch_ns"]) - 1
        both = (at >= 0) & (a["exch_ns"] <= b["exch_ns"][-1] + offset)
        spread.append(np.median(np.abs(a["price"][both] - b["price"][at[both]])))
    assert spread[0] * 3 < spread[1]


def test_one_absurd_time_does_not_make_the_grid_endless():
    odd = walk(1000, 2)
    odd["exch_ns"][-1] = 2**62
    with pytest.raises(ValueError, match=r"the times of both sides must lie within 16777216 steps of the grid: steps=\d+ step_ns=1000000000"):
        clock_offset(walk(1000, 1), odd)


@pytest.mark.parametrize("names", [None, ("X", "Y")])
def test_events_of_a_whole_feed_keep_their_mark(names):
    class Gap(Arrays):
        def _arrays(self):
            for array in super()._arrays():
                array["symbol_id"][1], array["kind"][1] = NO_SYMBOL, KINDS["gap"]
                yield array

    feed = merge(Gap([events([1, 2, 3])]), Arrays([events([2, 4])], book="quotes"), names=names)
    merged = run(feed)
    assert merged["symbol_id"][merged["kind"] == KINDS["gap"]].tolist() == [NO_SYMBOL]
    assert len(feed.instruments) == (1 if names is None else 2)
