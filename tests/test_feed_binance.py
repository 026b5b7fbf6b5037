"""Captures of Binance: files in every wrapping, clocks, instruments, recorded data against the exchange's own tickers."""

import gzip
import heapq
import json
import random

import numpy as np
import pytest

from fastcore.book import LevelBook
from fastcore.errors import CorruptDataError
from fastcore.instruments import Instrument, Instruments
from fastcore.records import EVENT_DTYPE, FLAGS, KINDS, NO_PRICE, QUOTE_DTYPE
from hft.feeds import open_feed, recognise
from hft.feeds.binance import BinanceFeed, diff_ids, tops_after, verify_tops

T0 = 1_723_161_255_000


def wrap(local_ns, stream, message):
    return f"{local_ns} {json.dumps({'stream': stream, 'data': message}, separators=(',', ':'))}\n"


def capture(n=400, levels=3, seed=1, behind_ns=1_270_000_000):
    """Futures, one symbol; the receive clock is behind by `behind_ns` and latencies are 2 to 9 ms."""
    choose = random.Random(seed)
    lines = []
    u = 100
    for i in range(n):
        now = T0 + 50 * i
        local = (now + choose.randrange(2, 10)) * 1_000_000 - behind_ns
        side = [[f"{choose.randrange(90, 99)}.10", f"{choose.randrange(5)}.000"] for _ in range(levels)]
        diff = {"e": "depthUpdate", "E": now, "T": now, "s": "BTCUSDT", "U": u + 1, "u": u + 5, "pu": u, "b": side, "a": []}
        u += 5
        lines.append(wrap(local, "btcusdt@depth@0ms", diff))
        if i == 3:
            image = {"lastUpdateId": u, "E": now, "T": now, "bids": [["99.00", "1.000"]], "asks": [["101.00", "2.000"]]}
            lines.append(f"{local} {json.dumps(image, separators=(',', ':'))}\n")
        trade = {"e": "trade", "E": now, "T": now, "s": "BTCUSDT", "t": i, "p": "99.5", "q": "1", "X": "MARKET", "m": True}
        lines.append(wrap(local + 1, "btcusdt@trade", trade))
    return "".join(lines).encode()


@pytest.fixture
def written(tmp_path):
    def write(data, name="capture.txt"):
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return write


def everything(feed):
    parts = list(feed)
    for part in parts:
        assert part.dtype == EVENT_DTYPE and len(part)
        assert not part[-1]["flags"] & FLAGS["continued"]
    return np.concatenate(parts) if parts else np.zeros(0, EVENT_DTYPE)


def test_plain_gzip_and_zstandard_give_the_same_events(written):
    zstandard = pytest.importorskip("zstandard")
    data = capture()
    files = [
        written(data),
        written(gzip.compress(data), "capture.gz"),
        written(zstandard.ZstdCompressor().compress(data), "capture.zst"),
    ]
    events = [everything(open_feed(path)) for path in files]
    assert events[0].tobytes() == events[1].tobytes() == events[2].tobytes()
    assert [recognise(path) for path in files] == ["binance"] * 3
    with BinanceFeed(files[0]) as feed:
        whole = everything(feed)
        assert feed.messages == {"trade": 400, "depthUpdate": 400, "snapshot": 1}
        assert feed.errors == {} and feed.gaps == 0 and feed.waiting == 0 and feed.stale == 4
        assert list(feed.instruments) == [Instrument("BTCUSDT", 1e-8, 1e-8)]
    assert whole.tobytes() == events[0].tobytes()


def test_chunks_hold_whole_messages_and_grow_for_one_that_is_larger(written):
    path = written(capture(levels=7))
    whole = everything(BinanceFeed(path))
    for chunk in (1, 5, 8, 100):
        parts = list(BinanceFeed(path, chunk_events=chunk))
        assert np.concatenate(parts).tobytes() == whole.tobytes()
        assert max(map(len, parts)) <= max(chunk, 10)


def test_cut_gzip_delivers_everything_whole_first(written):
    data = capture(2_000)
    packed = gzip.compress(data, 1)
    path = written(packed[: len(packed) * 2 // 3], "cut.gz")
    feed = BinanceFeed(path)
    parts = []
    with pytest.raises(CorruptDataError, match="must be whole"):
        parts += iter(feed)  # += takes what comes before the exception
    events = np.concatenate(parts)
    whole = everything(BinanceFeed(written(data)))
    assert feed.errors == {}
    assert len(events) > len(whole) // 3
    assert events.tobytes() == whole[: len(events)].tobytes()


def test_last_line_without_its_end_is_a_line(written):
    data = capture(10)
    assert everything(BinanceFeed(written(data[:-1]))).tobytes() == everything(BinanceFeed(written(data, "b"))).tobytes()


def test_malformed_lines_are_counted_with_their_offset_or_raise(written):
    lines = capture(20).splitlines(True)
    lines[30] = b"1 {\n"
    data = b"".join(lines)
    feed = BinanceFeed(written(data))
    everything(feed)
    offset = len(b"".join(lines[:30]))
    assert feed.errors == {"corrupt": 1} and feed.error_log == [(offset, "corrupt")]
    feed = BinanceFeed(feed.path, strict=True)
    parts = []
    with pytest.raises(CorruptDataError, match=f"offset={offset} path="):
        parts += iter(feed)
    assert sum(map(len, parts)) > 0


def test_skew_is_measured_always_and_corrected_on_request(written):
    path = written(capture(1_000))
    raw = BinanceFeed(path)
    events = everything(raw)
    assert -1_268_000_000 <= raw.clock_skew_ns <= -1_267_999_000 and raw.clock_correction_ns == 0
    corrected = BinanceFeed(path, clock="corrected", chunk_events=100)
    shifted = everything(corrected)
    assert corrected.clock_skew_ns == raw.clock_skew_ns and corrected.clock_correction_ns == -raw.clock_skew_ns
    assert (shifted["local_ns"] - shifted["exch_ns"]).min() == 0
    assert (shifted["local_ns"] - events["local_ns"] == -raw.clock_skew_ns).all()
    events["local_ns"] = shifted["local_ns"]
    assert events.tobytes() == shifted.tobytes()


def test_a_clock_that_is_ahead_stays_as_it_is(written):
    path = written(capture(100, behind_ns=-40_000_000))
    feed = BinanceFeed(path, clock="corrected")
    assert everything(feed).tobytes() == everything(BinanceFeed(path)).tobytes()
    assert feed.clock_skew_ns >= 42_000_000 and feed.clock_correction_ns == 0


def test_decimals_by_symbol_and_numbers_of_symbols(written):
    path = written(capture(20))
    for decimals in ((1, 0), {"BTCUSDT": (1, 0)}):
        feed = BinanceFeed(path, decimals=decimals, instruments=Instruments(["A", "B", "C", "D", "E", "F", "G"]))
        events = everything(feed)
        assert feed.instruments[7] == Instrument("BTCUSDT", 0.1, 1.0)
        assert set(events["symbol_id"]) == {7}
        assert set(events["price"][events["kind"] == KINDS["trade"]]) == {995}
    feed = BinanceFeed(path, decimals=0)
    everything(feed)
    assert feed.errors["price outside range"] > 0  # 99.5 is no whole number: refused, not rounded


def test_snapshot_on_the_first_line_finds_the_only_symbol(written):
    lines = capture(20).splitlines(True)
    at = next(i for i, line in enumerate(lines) if b"lastUpdateId" in line)
    data = b"".join([lines[at], *lines[:at], *lines[at + 1 :]])
    feed = BinanceFeed(written(data))
    events = everything(feed)
    assert feed.errors == {} and events[0]["kind"] == KINDS["clear"]


def test_diffs_without_a_snapshot_are_reported_as_waiting(written):
    data = b"".join(line for line in capture(20).splitlines(True) if b"lastUpdateId" not in line)
    feed = BinanceFeed(written(data))
    events = everything(feed)
    assert set(events["kind"]) == {KINDS["trade"]}
    assert feed.waiting == 20 * 4


@pytest.mark.parametrize("options", [{"chunk_events": 0}, {"clock": "best"}, {"decimals": 19}, {"skew_window_ns": -1}])
def test_wrong_options_are_refused(written, options):
    with pytest.raises(ValueError, match="must"):
        BinanceFeed(written(b""), **options)


def test_recognises_its_lines_and_nothing_else(tmp_path):
    def known(head):
        return BinanceFeed.recognise(head, tmp_path)

    assert known(capture(2))
    ticker = {"u": 5, "s": "A", "b": "1", "B": "1", "a": "1", "A": "1"}
    for line in (json.dumps(ticker), json.dumps(ticker, separators=(",", ":")), json.dumps(ticker, sort_keys=True)):
        assert known(b"1723161253937085768 " + line.encode() + b"\n") and known(line.encode())
    for missing in ticker:
        assert not known(json.dumps({key: value for key, value in ticker.items() if key != missing}).encode())
    assert known(b'{"e": "trade", "E": 5, "s": "BTCUSDT"}\n')
    assert known(b'{"e":"aggTrade","E":5,"s":"BTCUSDT"}\n')
    assert known(b'1723161254206652067 {"lastUpdateId":50093239218,"bids":[["61837.63000000","3.78826000"],')
    for other in (b"", b"1,2,3\n", b"{}\n", b"1723161254206652067 [5]\n", b'1616663113.2: {"event":"heartbeat"}\n', b"\x1f\x8b"):
        assert not known(other)


def test_lines_with_spaces_give_the_events_of_compact_ones(written):
    lines = [line.split(b" ", 1) for line in capture(200).splitlines()]
    spaced = b"".join(received + b" " + json.dumps(json.loads(message)).encode() + b"\n" for received, message in lines)
    path = written(spaced)
    assert recognise(path) == "binance"
    events = np.concatenate(list(BinanceFeed(path)))
    assert len(events) and events.tobytes() == np.concatenate(list(BinanceFeed(written(capture(200))))).tobytes()


def quotes(*rows):
    out = np.zeros(len(rows), QUOTE_DTYPE)
    for i, (seq, bid, bid_size, ask, ask_size) in enumerate(rows):
        out[i]["seq"], out[i]["bid"], out[i]["bid_size"], out[i]["ask"], out[i]["ask_size"] = seq, bid, bid_size, ask, ask_size
    return out


def test_tops_are_compared_with_the_last_ticker_before():
    tickers = quotes((5, 10, 1, 11, 1), (7, 10, 2, 11, 1), (7, 10, 3, 11, 1), (9, 10, 4, 11, 1))
    tops = quotes((4, 1, 1, 1, 1), (5, 10, 1, 11, 1), (8, 10, 3, 11, 1), (9, 10, 3, 11, 1), (20, 10, 4, 11, 1))
    assert verify_tops(tops, tickers) == (4, 3, 9)
    assert verify_tops(tops[:3], tickers) == (2, 2, None)
    assert verify_tops(tops[:0], tickers) == (0, 0, None)
    with pytest.raises(TypeError, match="QUOTE_DTYPE"):
        verify_tops(np.zeros(1, EVENT_DTYPE), tickers)
    rows = tops_after(np.array([3, 5, 6, 7, 30]), quotes((5, 1, 1, 2, 1), (7, 3, 1, 4, 1)))
    assert rows["seq"].tolist() == [5, 6, 7, 30] and rows["bid"].tolist() == [1, 1, 3, 3]


class Side:
    """One side of a book, by level: totals, and a heap of prices that may be stale."""

    def __init__(self, sign):
        self.sign, self.sizes, self.heap = sign, {}, []

    def set(self, price, size):
        if size:
            if price not in self.sizes:
                heapq.heappush(self.heap, self.sign * price)
            self.sizes[price] = size
        else:
            self.sizes.pop(price, None)

    def best(self):
        while self.heap and self.sign * self.heap[0] not in self.sizes:
            heapq.heappop(self.heap)
        return (self.sign * self.heap[0], self.sizes[self.sign * self.heap[0]]) if self.heap else (NO_PRICE, 0)


def tops_of(events):
    """Best prices after each diff, from a plain book: one row for each."""
    rows = []
    bids, asks = Side(-1), Side(1)
    level, clear = KINDS["level"], KINDS["clear"]
    for kind, side, flags, seq, price, size in zip(
        *(events[name].tolist() for name in ("kind", "side", "flags", "seq", "price", "size")), strict=True
    ):
        if kind == clear:
            bids, asks = Side(-1), Side(1)
        elif kind == level:
            (bids if side > 0 else asks).set(price, size)
            if not flags & (FLAGS["continued"] | FLAGS["snapshot"]):
                rows.append((seq, *bids.best(), *asks.best()))
    return quotes(*rows)


@pytest.mark.parametrize(
    ("name", "counts", "share"),
    [
        ("usdm_btcusdt", {"bookTicker": 66_089, "trade": 21_313, "depthUpdate": 6_551, "snapshot": 1}, 1.0),
        ("usdm_ethusdt", {"bookTicker": 53_992, "trade": 14_076, "depthUpdate": 6_586, "snapshot": 1}, 1.0),
        ("spot_btcusdt", {"bookTicker": 28_040, "trade": 9_757, "depthUpdate": 3_451, "snapshot": 1}, 0.99969),
    ],
)
def test_book_of_recorded_diffs_agrees_with_the_tickers_of_the_exchange(data_dir, name, counts, share):
    feed = BinanceFeed(data_dir / "binance" / f"{name}_20240808.gz")
    events = everything(feed)
    assert feed.messages == counts
    assert feed.errors == {} and feed.gaps == 0 and feed.waiting == 0
    assert feed.instruments[0].symbol == name.split("_")[1].upper()
    assert -1_290_000_000 < feed.clock_skew_ns < -1_250_000_000
    tops = tops_of(events)
    assert diff_ids(events).tolist() == tops["seq"].tolist()
    checked, matched, first = verify_tops(tops, events[events["kind"] == KINDS["quote"]].view(QUOTE_DTYPE))
    print(f"{name}: checked={checked} matched={matched} ({matched / checked:.5%}) first_mismatch={first}")
    assert checked > 3_400
    assert matched / checked >= share
    assert (first is None) == (matched == checked)
    # The compiled book says the same, by the events of its best prices.
    changes = events[np.isin(events["kind"], [KINDS["clear"], KINDS["level"], KINDS["gap"]])]
    best = np.zeros(len(changes), QUOTE_DTYPE)
    n = LevelBook().apply_into(changes, best)
    rows = tops_after(diff_ids(events), best[:n])
    assert verify_tops(rows, events[events["kind"] == KINDS["quote"]].view(QUOTE_DTYPE)) == (checked, matched, first)
    for field in ("bid", "ask", "bid_size", "ask_size"):
        assert rows[field].tolist() == tops[field].tolist()


@pytest.mark.parametrize("what", ["price", "size", "ticker"])
def test_decimals_to_trade_with_are_those_of_the_whole_capture(written, what):
    # What is finer comes once, far behind the first array.
    lines = capture(4_000).decode().splitlines(keepends=True)
    last = max(i for i, line in enumerate(lines) if "@trade" in line)
    if what == "ticker":
        message = {"e": "bookTicker", "u": 10**9, "s": "BTCUSDT", "b": "99.1", "B": "1.00025", "a": "101.0", "A": "2", "T": T0, "E": T0}
        lines.append(wrap(T0 * 10**6, "btcusdt@bookTicker", message))
    else:
        old, new = {"price": ('"p":"99.5"', '"p":"99.50001"'), "size": ('"q":"1"', '"q":"0.00025"')}[what]
        lines[last] = lines[last].replace(old, new)
    path = written("".join(lines).encode())
    with open_feed(path, chunk_events=500) as feed, feed.to_trade() as traded:
        everything(traded)
        assert traded.errors == {}
        (instrument,) = traded.instruments
        assert (instrument.tick_size, instrument.lot_size) == ((1e-5, 1.0) if what == "price" else (0.1, 1e-5))


def test_decimals_to_trade_with_are_those_of_each_symbol(written):
    lines = capture(200).decode()
    other = lines.replace("BTCUSDT", "XUSDT").replace("btcusdt", "xusdt").replace('"99.5"', '"0.00000123"')
    path = written("".join(line for line in other.splitlines(keepends=True) if "@trade" in line).encode() + lines.encode())
    with open_feed(path, image_symbol="BTCUSDT") as feed, feed.to_trade() as traded:
        everything(traded)
        assert traded.errors == {}
        assert {i.symbol: (i.tick_size, i.lot_size) for i in traded.instruments} == {"XUSDT": (1e-8, 1.0), "BTCUSDT": (0.1, 1.0)}


@pytest.mark.parametrize("decimals", ["x", [1], (1, 2, 3), 1.5, {"X": "y"}, None, True])
def test_decimals_are_checked(written, decimals):
    with pytest.raises(ValueError, match="decimals must be a whole number, or one for prices and one for sizes: decimals="):
        BinanceFeed(written(capture(4)), decimals=decimals)
