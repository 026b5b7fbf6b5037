"""All books of a feed: which book an event reaches, what opens one, feed-wide gaps, snapshots, memory."""

import gc

import numpy as np
import pytest

from fastcore.book import OrderBook, OrderTable
from fastcore.bookset import BookSet
from fastcore.records import EVENT_DTYPE, FLAGS, KINDS, NO_PRICE, NO_SYMBOL, QUOTE_DTYPE
from fastcore.wire.itch import ItchDecoder

BUY, SELL = 1, -1


def events(*rows):
    """Build events from tuples (kind, symbol_id, order_id, side, price, size, new_order_id), shortened at will."""
    out = np.zeros(len(rows), EVENT_DTYPE)
    for i, row in enumerate(rows):
        kind, symbol, order_id, side, price, size, new = (*row, *(0, 0, NO_PRICE, 0, 0)[len(row) - 2 :])
        out[i] = (i, 1000 + i, 0, symbol, KINDS[kind], side, 0, price, size, order_id, new)
    return out


BASE = [
    ("add", 3, 1, BUY, 100, 10),
    ("add", 70, 2, SELL, 50, 20),
    ("add", 3, 3, SELL, 101, 30),
    ("execute", 70, 2, 0, NO_PRICE, 5),
]


@pytest.fixture
def books():
    s = BookSet(symbols=200)
    s.apply(events(*BASE))
    return s


def top(s, symbol):
    b = s.book(symbol)
    return b.best_bid, b.best_bid_size, b.best_ask, b.best_ask_size


def test_events_reach_the_book_of_their_symbol(books):
    assert top(books, 3) == (100, 10, 101, 30)
    assert top(books, 70) == (None, 0, 50, 15)
    assert (len(books), books.symbol_ids, list(books), books.symbols) == (2, [3, 70], [3, 70], 200)
    assert 3 in books and 4 not in books and 10**9 not in books
    assert books.counts == {"ok": 4}
    assert len(books.orders) == 3
    books.check()


@pytest.mark.parametrize("kind", ["system", "trade", "status", "listing", "timer", "cross", "imbalance", "notice"])
def test_events_without_orders_open_no_book(books, kind):
    books.apply(events((kind, 9), (kind, 10**6), (kind, NO_SYMBOL)))
    assert books.symbol_ids == [3, 70]
    assert books.counts == {"ok": 7}


def test_refused_events_are_counted_in_their_book(books):
    books.apply(events(("delete", 5, 1), ("delete", 3, 2), ("level", 6, 0, BUY, 1, 1)))
    assert books.counts == {"ok": 4, "unknown order": 2, "unknown message type": 1}
    assert books.symbol_ids == [3, 5, 6, 70]


def test_ids_beyond_the_set_are_counted(books):
    before = books.state_hash()
    books.apply(events(("add", 200, 9, BUY, 1, 1), ("delete", 2**32 - 2, 1), ("add", NO_SYMBOL, 1, BUY, 1, 1)))
    assert books.counts == {"ok": 4, "unknown symbol": 3}
    assert books.state_hash() == before


def test_quotes_carry_symbol_number_and_times():
    s = BookSet(symbols=200)
    quotes = np.zeros(5, QUOTE_DTYPE)
    n = s.apply_into(events(*BASE, ("trade", 3, 0, 0, 100, 1)), quotes)
    got = quotes[:n][["seq", "exch_ns", "symbol_id", "bid", "ask", "bid_size", "ask_size"]].tolist()
    assert got == [
        (0, 1000, 3, 100, NO_PRICE, 10, 0),
        (1, 1001, 70, NO_PRICE, 50, 0, 20),
        (2, 1002, 3, 100, 101, 10, 30),
        (3, 1003, 70, NO_PRICE, 50, 0, 15),
    ]
    assert s.quotes()[["symbol_id", "bid", "ask", "bid_size", "ask_size"]].tolist() == [
        (3, 100, 101, 10, 30),
        (70, NO_PRICE, 50, 0, 15),
    ]


def test_messages_of_symbols_may_be_interleaved():
    s = BookSet(by_level=True)
    flow = events(
        ("level", 1, 0, BUY, 10, 1), ("level", 2, 0, BUY, 20, 2), ("level", 1, 0, SELL, 11, 3), ("level", 2, 0, BUY, 20, 4)
    )
    flow["flags"][:2] = FLAGS["continued"]
    quotes = np.zeros(4, QUOTE_DTYPE)
    n = s.apply_into(flow, quotes)
    assert quotes[:n][["symbol_id", "bid", "ask"]].tolist() == [(1, 10, 11), (2, 20, NO_PRICE)]


def test_book_is_a_face_of_the_book_in_the_set(books):
    b = books.book(3)
    assert b.symbol_id == 3
    b.add(77, BUY, 100, 5)
    assert books.book(3).queue(BUY, 100)["order_id"].tolist() == [1, 77]
    assert books.book(70).order(77) is None
    books.apply(events(("delete", 3, 77)))
    assert b.order(77) is None
    assert b.position(1) == (0, 0)
    b.check()


def test_face_keeps_the_set_alive():
    b = BookSet().book(5)
    gc.collect()
    b.add(1, BUY, 10, 1)
    assert b.best_bid == 10
    del b
    gc.collect()


def test_book_by_level():
    s = BookSet(by_level=True, symbols=8)
    s.apply(events(("level", 1, 0, BUY, 10, 5), ("quote", 1, 7, 0, 20, 21, 8)))
    assert top(s, 1) == (10, 5, None, 0)
    s = BookSet(by_level=True, symbols=8, quotes=True)
    s.apply(events(("level", 1, 0, BUY, 10, 5), ("quote", 2, 7, 0, 20, 21, 8), ("add", 1, 1, BUY, 10, 5)))
    assert s.counts == {"ok": 2, "unknown message type": 1}
    assert (top(s, 1), top(s, 2)) == ((10, 5, None, 0), (20, 7, 21, 8))
    assert type(s.book(1)).__name__ == "LevelBook"
    s.check()
    s.apply(events(("gap", NO_SYMBOL, 0, 0, 0, 0), ("clear", NO_SYMBOL, 0, SELL, NO_PRICE, 0)))
    assert (top(s, 1), top(s, 2), s.stale) == ((10, 5, None, 0), (20, 7, None, 0), True)


def test_signed_prices():
    s = BookSet(by_level=True, signed_prices=True)
    s.apply(events(("level", 1, 0, BUY, -10, 5)))
    assert s.book(1).best_bid == -10


def test_gap_of_the_feed_makes_every_book_stale_and_those_to_come(books):
    books.apply(events(("gap", NO_SYMBOL)))
    assert books.stale and books.book(3).stale and books.book(9).stale
    books.apply(events(("clear", 3)))
    assert books.stale and not books.book(3).stale and books.book(70).stale
    books.apply(events(("clear", NO_SYMBOL)))
    assert not books.stale and not books.book(70).stale and not books.book(10).stale
    assert (len(books.orders), books.state_hash()) == (0, 0)
    assert books.counts == {"ok": 7}


def test_gap_of_a_symbol_makes_its_book_stale(books):
    books.apply(events(("gap", 3), ("gap", 8)))
    assert [books.book(i).stale for i in (3, 8, 70)] == [True, True, False]
    assert not books.stale
    books.clear()
    assert not books.book(3).stale


def test_snapshot_rebuilds_the_set(books):
    books.apply(events(("gap", 70), ("gap", NO_SYMBOL), ("clear", 3), ("add", 3, 8, BUY, 99, 1), ("add", 150, 9, SELL, 7, 7)))
    rows = books.snapshot(seq=5)
    other = BookSet(symbols=200)
    other.apply(events(("add", 7, 1, BUY, 5, 5)))
    other.apply(rows)
    assert other.state_hash() == books.state_hash()
    assert other.stale and other.book(70).stale and not other.book(3).stale
    assert set(rows["seq"]) == {5}
    assert set(other) == {3, 7, 70, 150}


def test_arguments_are_checked(books):
    with pytest.raises(ValueError, match=r"symbols must be in 1\.\.2\*\*24: symbols=0"):
        BookSet(symbols=0)
    with pytest.raises(ValueError, match=r"symbol_id must be in 0\.\.199: symbol_id=200"):
        books.book(200)
    with pytest.raises(ValueError, match="symbol_id must be in"):
        books.book(-1)
    flow = events(*BASE)
    with pytest.raises(ValueError, match="quotes must have a row for each event: events=4 quotes=3"):
        books.apply_into(flow, np.zeros(3, QUOTE_DTYPE))
    with pytest.raises(ValueError, match="share memory"):
        books.apply_into(flow, flow)


def test_every_itch_locate_has_its_place():
    s = BookSet()
    flow = events(*(("add", i, i + 1, BUY, i + 1, 1) for i in (0, 63, 64, 65_535)))
    s.apply(flow)
    assert s.symbol_ids == [0, 63, 64, 65_535]
    s.apply(events(("add", 65_536, 9, BUY, 1, 1)))
    assert s.counts == {"ok": 4, "unknown symbol": 1}


def test_memory_of_eight_thousand_symbols():
    s = BookSet(orders=OrderTable(8_000, 8_000))
    rows = np.zeros(8_000, EVENT_DTYPE)
    rows["kind"], rows["side"], rows["size"], rows["price"] = KINDS["add"], 1, 1, 100
    rows["symbol_id"] = rows["order_id"] = np.arange(1, 8_001)
    s.apply(rows)
    assert len(s) == 8_000
    assert s.nbytes - s.orders.nbytes < 8_000 * 1_400
    s.check()


def test_aapl_through_the_set_equals_one_book(data_dir):
    raw = (data_dir / "itch/AAPL_2020-01-30_first10k.itch").read_bytes()
    out = np.zeros(10_000, EVENT_DTYPE)
    n, _ = ItchDecoder(strict=True).decode(raw, out, final=True)
    s, b = BookSet(), OrderBook(13)
    quotes, other = np.zeros((2, n), QUOTE_DTYPE)
    assert s.apply_into(out[:n], quotes) == (m := b.apply_into(out[:n], other))
    assert quotes[:m].tobytes() == other[:m].tobytes()
    assert s.symbol_ids == [13]
    assert s.book(13).state_hash() == b.state_hash()
    assert s.counts == {"ok": n}
