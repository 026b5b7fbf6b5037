"""Order books by order and by level: what each event does, what malformed events do, and real data against their references."""

import csv
import gzip
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from fastcore import book as compiled
from fastcore.errors import BookError
from fastcore.records import EVENT_DTYPE, FLAGS, KINDS, NO_PRICE, NO_SYMBOL, QUOTE_DTYPE
from fastcore.wire.itch import ItchDecoder

MODULE = "book"
BUY, SELL = 1, -1


def events(*rows):
    """Build events from tuples (kind, order_id, side, price, size, new_order_id), shortened at will."""
    out = np.zeros(len(rows), EVENT_DTYPE)
    for i, row in enumerate(rows):
        kind, order_id, side, price, size, new = (*row, *(0, 0, NO_PRICE, 0, 0)[len(row) - 1 :])
        out[i] = (0, 1000 + i, 0, 7, KINDS[kind], side, 0, price, size, order_id, new)
    return out


BASE = [
    ("add", 1, BUY, 100, 10),
    ("add", 2, BUY, 100, 20),
    ("add", 3, BUY, 99, 30),
    ("add", 4, SELL, 102, 40),
    ("add", 5, SELL, 103, 50),
]


@pytest.fixture
def book(impl):
    b = impl.OrderBook()
    assert b.apply(events(*BASE)) == {"ok": 5}
    return b


def ladder(b):
    bids, asks = b.depth()
    return bids.tolist(), asks.tolist()


def test_adds_build_levels_best_first(book):
    assert ladder(book) == ([(100, 30, 2), (99, 30, 1)], [(102, 40, 1), (103, 50, 1)])
    assert (book.best_bid, book.best_bid_size, book.best_ask, book.best_ask_size) == (100, 30, 102, 40)
    assert (len(book), book.levels, book.next_stamp) == (5, (2, 2), 5)
    book.check()


def test_empty_book_has_no_prices(impl):
    b = impl.OrderBook()
    assert (b.best_bid, b.best_ask, b.best_bid_size, b.best_ask_size, len(b)) == (None, None, 0, 0, 0)
    assert ladder(b) == ([], [])
    assert b.counts == {}


def test_execution_keeps_the_place_until_nothing_is_left(book):
    book.apply(events(("execute", 1, 0, NO_PRICE, 4, 77)))
    assert book.queue(BUY, 100).tolist() == [(1, 6, 0), (2, 20, 1)]
    book.apply(events(("execute", 1, 0, 101, 6, 78)))
    assert book.queue(BUY, 100).tolist() == [(2, 20, 1)]
    assert book.order(1) is None


def test_cancel_takes_off_and_a_whole_cancel_removes(book):
    book.apply(events(("cancel", 4, 0, NO_PRICE, 15)))
    assert book.order(4) == (SELL, 102, 25, 3)
    book.apply(events(("cancel", 4, 0, NO_PRICE, 25)))
    assert book.best_ask == 103


def test_replace_goes_to_the_back_even_at_its_own_price(book):
    book.apply(events(("replace", 1, 0, 100, 10, 6)))
    assert book.queue(BUY, 100).tolist() == [(2, 20, 1), (6, 10, 5)]
    book.apply(events(("replace", 2, 0, 101, 20, 2)))  # the same reference again
    assert book.order(2) == (BUY, 101, 20, 6)
    book.check()


def test_modify_downwards_keeps_the_place_and_the_arrival_number(book):
    quotes = np.zeros(4, QUOTE_DTYPE)
    flow = events(
        ("replace", 1, 0, 100, 4, 1),  # 6 lots fewer
        ("replace", 1, 0, 100, 4, 1),  # nothing changes: no quote
        ("replace", 3, 0, 99, 5, 3),  # below the top: no quote
        ("replace", 5, 0, 103, 50, 5),
    )
    assert book.apply_into(flow, quotes) == 1
    assert quotes[["exch_ns", "bid", "bid_size"]][0].tolist() == (1000, 100, 24)
    assert book.queue(BUY, 100).tolist() == [(1, 4, 0), (2, 20, 1)]
    assert (book.position(2), book.order(3), book.order(5), book.next_stamp) == ((1, 4), (BUY, 99, 5, 2), (SELL, 103, 50, 4), 5)
    assert book.counts == {"ok": 9}
    book.replace(2, 2, 100, 19)
    assert book.order(2) == (BUY, 100, 19, 1)
    book.check()


@pytest.mark.parametrize(
    ("event", "queue"),
    [
        (("replace", 1, 0, 100, 11, 1), [(2, 20, 1), (1, 11, 5)]),  # grows
        (("replace", 1, 0, 100, 5, 6), [(2, 20, 1), (6, 5, 5)]),  # another reference
        (("replace", 1, 0, 101, 5, 1), [(2, 20, 1)]),  # another price
    ],
)
def test_any_other_modify_goes_to_the_back(book, event, queue):
    assert book.apply(events(event)) == {"ok": 1}
    assert book.queue(BUY, 100).tolist() == queue
    assert book.next_stamp == 6
    book.check()


def test_modify_is_told_as_the_new_total_of_its_level(impl, book):
    out = np.zeros(6, EVENT_DTYPE)
    flow = events(("replace", 1, 0, 100, 4, 1), ("replace", 1, 0, 100, 4, 1), ("replace", 1, 0, 99, 4, 1))
    n = book.apply_levels(flow, out)
    assert out[:n][["price", "size"]].tolist() == [(100, 24), (100, 24), (100, 20), (99, 34)]


def test_base_of_the_books_is_not_made_by_itself(impl):
    with pytest.raises(TypeError, match="make an OrderBook or a LevelBook"):
        impl._Book()
    with pytest.raises(TypeError, match="make an OrderBook or a LevelBook"):
        type("Other", (impl._Book,), {})()
    assert isinstance(impl.OrderBook(), impl._Book)
    assert isinstance(impl.LevelBook(), impl._Book)


def test_position_counts_what_is_ahead(book):
    assert book.position(2) == (1, 10)
    assert book.position(1) == (0, 0)
    assert book.position(99) is None


@pytest.mark.parametrize(
    ("event", "result"),
    [
        (("execute", 9, 0, NO_PRICE, 1), "unknown order"),
        (("cancel", 9, 0, NO_PRICE, 1), "unknown order"),
        (("delete", 9), "unknown order"),
        (("replace", 9, 0, 100, 1, 10), "unknown order"),
        (("add", 1, SELL, 105, 1), "duplicate order"),
        (("replace", 1, 0, 100, 1, 2), "duplicate order"),
        (("execute", 1, 0, NO_PRICE, 11), "size outside range"),
        (("cancel", 1, 0, NO_PRICE, 11), "size outside range"),
        (("execute", 1, 0, NO_PRICE, 0), "size outside range"),
        (("cancel", 1, 0, NO_PRICE, -1), "size outside range"),
        (("add", 9, BUY, 100, 0), "size outside range"),
        (("add", 9, BUY, 100, -(2**63)), "size outside range"),
        (("add", 9, BUY, 100, 2**63 - 30), "size outside range"),
        (("replace", 1, 0, 100, -5, 10), "size outside range"),
        (("replace", 1, 0, 99, 2**63 - 1, 10), "size outside range"),
        (("add", 9, BUY, 0, 1), "price outside range"),
        (("add", 9, BUY, NO_PRICE, 1), "price outside range"),
        (("add", 9, SELL, -1, 1), "price outside range"),
        (("replace", 1, 0, 0, 1, 10), "price outside range"),
        (("replace", 1, 0, 100, 0, 1), "size outside range"),
        (("replace", 1, 0, 100, -5, 1), "size outside range"),
        (("replace", 9, 0, 100, 1, 9), "unknown order"),
        (("add", 9, 0, 100, 1), "corrupt"),
        (("add", 9, -128, 100, 1), "corrupt"),
        (("level", 0, BUY, 100, 1), "unknown message type"),
        (("quote", 0, 0, 100, 1), "unknown message type"),
    ],
)
def test_malformed_event_is_counted_and_changes_nothing(book, event, result):
    before = book.state_hash(), book.next_stamp
    assert book.apply(events(event)) == {result: 1}
    assert (book.state_hash(), book.next_stamp) == before
    assert book.counts == {"ok": 5, result: 1}
    book.check()


@pytest.mark.parametrize("kind", ["trade", "system", "status", "listing", "timer", "cross", "fill"])
def test_kinds_without_displayed_orders_change_nothing(book, kind):
    before = book.state_hash()
    assert book.apply(events((kind, 1, BUY, 100, 10))) == {"ok": 1}
    assert book.state_hash() == before


def test_largest_prices_and_sizes_are_kept(impl):
    b = impl.OrderBook()
    top = 2**63 - 1
    assert b.apply(events(("add", 1, BUY, top, top), ("add", -1, SELL, top, top))) == {"ok": 2}
    assert (b.best_bid, b.best_bid_size, b.best_ask, b.best_ask_size) == (top, top, top, top)
    assert b.order(2**64 - 1) == (SELL, top, top, 1)


def test_crossed_book_is_kept_as_it_comes(book):
    book.add(9, BUY, 110, 1)
    assert book.best_bid == 110 > book.best_ask == 102


def test_clear_empties_and_goes_on(book):
    assert book.apply(events(("clear", 0), ("add", 1, BUY, 50, 5))) == {"ok": 2}
    assert ladder(book) == ([(50, 5, 1)], [])
    assert book.order(1) == (BUY, 50, 5, 5)
    book.check()


def test_quotes_come_out_when_the_top_changes(impl):
    b = impl.OrderBook()
    flow = [
        *BASE,
        ("delete", 5),  # below the top: no quote
        ("execute", 4, 0, NO_PRICE, 40, 1),
        ("delete", 9),  # unknown: no quote
        ("replace", 2, 0, 100, 20, 8),  # the same level size: no quote
        ("delete", 1),
        ("clear", 0),
    ]
    quotes = np.zeros(len(flow), QUOTE_DTYPE)
    n = b.apply_into(events(*flow), quotes)
    got = [tuple(q) for q in quotes[:n][["exch_ns", "bid", "ask", "bid_size", "ask_size"]].tolist()]
    assert got == [
        (1000, 100, NO_PRICE, 10, 0),
        (1001, 100, NO_PRICE, 30, 0),
        (1003, 100, 102, 30, 40),
        (1006, 100, NO_PRICE, 30, 0),
        (1009, 100, NO_PRICE, 20, 0),
        (1010, NO_PRICE, NO_PRICE, 0, 0),
    ]
    assert set(quotes[:n]["kind"]) == {KINDS["quote"]}
    assert set(quotes[:n]["symbol_id"]) == {7}


def test_depth_at_marks(impl):
    b = impl.OrderBook()
    rows = b.apply_depth(events(*BASE), [0, 1, 4, 4], 2)
    assert rows["price"].tolist() == [
        [[NO_PRICE, NO_PRICE], [NO_PRICE, NO_PRICE]],
        [[100, NO_PRICE], [NO_PRICE, NO_PRICE]],
        [[100, 99], [102, NO_PRICE]],
        [[100, 99], [102, NO_PRICE]],
    ]
    assert rows["size"][3].tolist() == [[30, 30], [40, 0]]
    assert len(b) == 5  # the events behind the last mark are applied too


def test_books_of_one_table_do_not_see_each_other(impl):
    table = impl.OrderTable(orders=16)
    a, b = impl.OrderBook(0, table), impl.OrderBook(1, table)
    a.add(1, BUY, 100, 5)
    with pytest.raises(BookError, match="duplicate order"):
        b.add(1, BUY, 100, 5)
    with pytest.raises(BookError, match="unknown order"):
        b.delete(1)
    b.add(2, BUY, 100, 6)
    assert (len(a), len(b), len(table)) == (1, 1, 2)
    assert b.order(1) is None
    a.clear()
    assert (len(a), len(b), len(table)) == (0, 1, 1)
    a.check(), b.check()


def test_batch_passes_over_other_symbols(impl):
    mine, other = impl.OrderBook(7), impl.OrderBook(8)
    assert mine.apply(events(*BASE)) == {"ok": 5}
    assert other.apply(events(*BASE)) == {}
    assert len(other) == 0


def test_single_calls_raise_what_the_result_stands_for(book):
    with pytest.raises(BookError, match=r"unknown order: order_id=77"):
        book.execute(77, 1)
    with pytest.raises(ValueError, match="size outside range"):
        book.cancel(1, 11)
    with pytest.raises(ValueError, match="price outside range"):
        book.replace(1, 9, 0, 1)
    with pytest.raises(BookError, match="duplicate order"):
        book.add(1, BUY, 1, 1)
    assert len(book) == 5


def test_arguments_are_checked(impl):
    with pytest.raises(ValueError, match=r"orders must be in 1\.\.2\*\*30: orders=0"):
        impl.OrderTable(0)
    with pytest.raises(ValueError, match="levels must be in"):
        impl.OrderTable(1, -1)
    with pytest.raises(ValueError, match="symbol_id must be in"):
        impl.OrderBook(2**32 - 1)
    b = impl.OrderBook()
    flow = events(*BASE)
    with pytest.raises(ValueError, match="quotes must have a row for each event: events=5 quotes=4"):
        b.apply_into(flow, np.zeros(4, QUOTE_DTYPE))
    with pytest.raises(ValueError, match="share memory"):
        b.apply_into(flow, flow)
    with pytest.raises(ValueError, match=r"marks must be .* in 0\.\.5"):
        b.apply_depth(flow, [0, 6], 1)
    with pytest.raises(ValueError, match="marks must be"):
        b.apply_depth(flow, [3, 2], 1)
    with pytest.raises(ValueError, match="levels must be in"):
        b.apply_depth(flow, [3], 0)
    with pytest.raises(ValueError, match="levels must not be negative"):
        b.depth(-1)
    with pytest.raises(ValueError, match="side must be 1"):
        b.level_size(0, 1)
    with pytest.raises(ValueError, match="price must be in"):
        b.queue(1, 0)
    assert len(b) == 0


def test_arrays_are_checked():
    b = compiled.OrderBook()
    with pytest.raises(TypeError, match="events must be a NumPy array of EVENT_DTYPE: type=list"):
        b.apply([1])
    with pytest.raises(TypeError, match="events must have dtype EVENT_DTYPE: dtype=float64"):
        b.apply(np.zeros(3))
    with pytest.raises(ValueError, match="one-dimensional, contiguous"):
        b.apply(np.zeros(6, EVENT_DTYPE)[::2])
    raw = np.zeros(65, np.uint8)
    with pytest.raises(ValueError, match="aligned"):
        b.apply(raw[1:].view(EVENT_DTYPE))
    quotes = np.zeros(3, QUOTE_DTYPE)
    quotes.flags.writeable = False
    with pytest.raises(ValueError, match="quotes must be writable"):
        b.apply_into(np.zeros(3, EVENT_DTYPE), quotes)
    with pytest.raises(OverflowError):
        b.add(-1, BUY, 1, 1)
    with pytest.raises(OverflowError):
        b.add(1, BUY, 2**63, 1)


def test_tables_grow_and_freed_memory_is_used_again():
    b = compiled.OrderBook(orders=compiled.OrderTable(1, 1))
    n = 5000
    rows = np.zeros(n, EVENT_DTYPE)
    rows["kind"], rows["side"], rows["size"] = KINDS["add"], np.where(np.arange(n) % 2, 1, -1), 1
    rows["order_id"] = np.arange(n) * 2**40
    rows["price"] = 10_000 + np.arange(n)
    assert b.apply(rows) == {"ok": n}
    b.check()
    assert b.orders.growths > 0
    grown = b.orders.growths, b.orders.nbytes
    deletes = rows.copy()
    deletes["kind"] = KINDS["delete"]
    for _ in range(20):
        assert b.apply(deletes) == {"ok": n}
        assert b.apply(rows) == {"ok": n}
    assert (b.orders.growths, b.orders.nbytes) == grown
    b.check()


def test_reserved_table_does_not_grow():
    table = compiled.OrderTable()
    table.reserve(10_000, 10_000)
    assert table.capacity >= 10_000
    assert table.nbytes < 10_000 * (64 + 32 + 32) * 1.1
    before = table.growths
    rows = np.zeros(10_000, EVENT_DTYPE)
    rows["kind"], rows["side"], rows["size"] = KINDS["add"], 1, 1
    rows["order_id"] = rows["price"] = np.arange(1, 10_001)
    b = compiled.OrderBook(orders=table)
    assert b.apply(rows) == {"ok": 10_000}
    assert table.growths == before


def test_a_million_live_orders_fit_in_120_megabytes():
    table = compiled.OrderTable(1_000_000, 100_000)
    assert table.nbytes <= 120e6


def test_colliding_references_are_found_and_removed():
    # Multiples of 2^32 share the low bits of their products; a run of them wraps around the end of the slots.
    b = compiled.OrderBook(orders=compiled.OrderTable(64))
    inverse = pow(0x9E3779B97F4A7C15, -1, 2**64)
    ids = [inverse * (0xFFFFFFFF00000000 + k) % 2**64 for k in range(40)]  # all with the last home slot
    for i in ids:
        b.add(i, BUY, 100, 1)
    for i in ids[::3] + ids[1::3]:
        b.delete(i)
        b.check()
    assert [b.order(i) is not None for i in ids] == [k % 3 == 2 for k in range(40)]


def test_memory_stays_flat_over_adds_and_deletes():
    code = """if True:
        import resource, numpy as np
        from fastcore.book import OrderBook
        from fastcore.records import EVENT_DTYPE, KINDS
        rows = np.zeros(20000, EVENT_DTYPE)
        rows["order_id"] = np.repeat(np.arange(1, 10001), 2)
        rows["kind"] = np.tile([KINDS["add"], KINDS["delete"]], 10000)
        rows["side"], rows["price"], rows["size"] = 1, 100, 1
        def rounds(n):
            for _ in range(n):
                b.apply(rows)
                rows["order_id"] += 10000
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        b = OrderBook()
        first = rounds(10)
        last = rounds(100)
        assert len(b) == 0 and last - first < 1024, (first, last)
    """
    if sys.platform == "win32":
        pytest.skip("resource is not there on Windows")
    subprocess.run([sys.executable, "-c", code], check=True)


# ---- messages of several events, gaps, crossed books, snapshots ----

CONTINUED, SNAPSHOT = FLAGS["continued"], FLAGS["snapshot"]


def tops(b, flow):
    """Return what `apply_into` writes: (exch_ns, bid, ask, bid_size, ask_size)."""
    quotes = np.zeros(len(flow), QUOTE_DTYPE)
    n = b.apply_into(flow, quotes)
    return [tuple(q) for q in quotes[:n][["exch_ns", "bid", "ask", "bid_size", "ask_size"]].tolist()]


def message(*rows):
    """Build the events of one message: all but the last are continued."""
    out = events(*rows)
    out["flags"][:-1] = CONTINUED
    return out


def levels(*rows):
    """Build level events from (side, price, size)."""
    return events(*(("level", 0, *row) for row in rows))


@pytest.fixture
def ladder_book(impl):
    b = impl.LevelBook()
    assert b.apply(levels((BUY, 100, 10), (BUY, 99, 20), (SELL, 102, 30), (SELL, 103, 40))) == {"ok": 4}
    return b


def test_levels_are_set_changed_and_removed(ladder_book):
    b = ladder_book
    assert ladder(b) == ([(100, 10, 0), (99, 20, 0)], [(102, 30, 0), (103, 40, 0)])
    assert (b.best_bid, b.best_bid_size, b.best_ask, b.best_ask_size, len(b)) == (100, 10, 102, 30, 4)
    b.apply(levels((BUY, 100, 11), (SELL, 102, 0), (SELL, 101, 5)))
    assert ladder(b) == ([(100, 11, 0), (99, 20, 0)], [(101, 5, 0), (103, 40, 0)])
    assert (b.level_size(BUY, 99), b.level_size(BUY, 98), b.levels) == (20, 0, (2, 2))
    b.check()


def test_removing_a_level_that_is_not_there_is_no_error(ladder_book):
    before = ladder_book.state_hash()
    assert ladder_book.apply(levels((BUY, 98, 0), (SELL, 110, 0))) == {"ok": 2}
    assert ladder_book.state_hash() == before


@pytest.mark.parametrize(
    ("event", "result"),
    [
        (("level", 0, BUY, 100, -1), "size outside range"),
        (("level", 0, BUY, 100, -(2**63)), "size outside range"),
        (("level", 0, BUY, 0, 1), "price outside range"),
        (("level", 0, SELL, -5, 1), "price outside range"),
        (("level", 0, SELL, NO_PRICE, 1), "price outside range"),
        (("level", 0, 0, 100, 1), "corrupt"),
        (("level", 0, -128, 100, 1), "corrupt"),
        (("add", 1, BUY, 100, 1), "unknown message type"),
        (("execute", 1, BUY, 100, 1), "unknown message type"),
        (("cancel", 1, BUY, 100, 1), "unknown message type"),
        (("delete", 1, BUY, 100, 1), "unknown message type"),
        (("replace", 1, BUY, 100, 1), "unknown message type"),
    ],
)
def test_malformed_level_event_is_counted_and_changes_nothing(ladder_book, event, result):
    before = ladder_book.state_hash()
    assert ladder_book.apply(events(event)) == {result: 1}
    assert ladder_book.state_hash() == before
    assert ladder_book.counts == {"ok": 4, result: 1}
    ladder_book.check()


def test_quote_is_all_that_a_book_of_quotes_holds(impl):
    ladder_book = impl.LevelBook(quotes=True)
    ladder_book.apply(levels((BUY, 100, 10), (BUY, 99, 20), (SELL, 102, 30), (SELL, 103, 40)))
    assert ladder_book.apply(events(("quote", 7, 0, 98, 99, 8))) == {"ok": 1}
    assert ladder(ladder_book) == ([(98, 7, 0)], [(99, 8, 0)])
    ladder_book.apply(events(("quote", 7, 0, NO_PRICE, 99, 9)))
    assert ladder(ladder_book) == ([], [(99, 9, 0)])
    ladder_book.apply(events(("quote", 0, 0, 97, NO_PRICE, 0)))  # a feed without sizes
    assert ladder(ladder_book) == ([(97, 0, 0)], [])
    assert (ladder_book.best_bid, ladder_book.best_bid_size, ladder_book.best_ask) == (97, 0, None)
    ladder_book.check()
    ladder_book.apply(levels((BUY, 97, 0)))
    assert len(ladder_book) == 0
    for event, reason in (
        (("quote", 5, 0, 0, 101, 5), "price outside range"),  # bid 0, ask 101
        (("quote", -1, 0, 100, 101, 5), "size outside range"),
        (("quote", 1, 0, 100, 101, -5), "size outside range"),
    ):
        assert ladder_book.apply(events(event)) == {reason: 1}


def test_quotes_beside_levels_change_nothing(impl):
    # An image, a change, the venue's own best prices, a change that removes the best ask.
    b = impl.LevelBook()
    image = levels((BUY, 100, 10), (BUY, 99, 20), (SELL, 101, 5), (SELL, 102, 30))
    assert b.apply(image) == {"ok": 4}
    quotes = np.zeros(1, QUOTE_DTYPE)
    assert b.apply_into(events(("quote", 10, 0, 100, 101, 5)), quotes) == 0
    b.apply(levels((SELL, 101, 0)))
    assert ladder(b) == ([(100, 10, 0), (99, 20, 0)], [(102, 30, 0)])
    assert b.apply(events(("quote", -1, 0, 0, 101, 5))) == {"ok": 1}
    with pytest.raises(ValueError, match="a book must be made for quotes to be set to one: quotes=False"):
        b.set_quote(1, 2)


def test_clear_of_a_side_leaves_the_other(impl, ladder_book):
    assert ladder_book.apply(events(("gap", 0, 0, 0, 0), ("clear", 0, BUY, NO_PRICE, 0))) == {"ok": 2}
    assert ladder(ladder_book) == ([], [(102, 30, 0), (103, 40, 0)])
    assert ladder_book.stale  # until the whole book is cleared
    b = impl.OrderBook()
    quotes = np.zeros(3, QUOTE_DTYPE)
    flow = events(("add", 1, BUY, 100, 5), ("add", 2, SELL, 102, 6), ("clear", 0, SELL, NO_PRICE, 0))
    assert b.apply_into(flow, quotes) == 3
    assert (b.best_bid, b.best_ask, len(b)) == (100, None, 1)
    assert quotes[2][["bid", "ask"]].tolist() == (100, NO_PRICE)
    assert b.apply_into(events(("clear", 0, SELL, NO_PRICE, 0)), quotes) == 0
    b.check()


def test_kinds_that_there_are_not_are_unknown_and_change_nothing(impl):
    """No number may pass for another whose bit it shares in a table of kinds."""
    book = impl.OrderBook()
    book.apply(events(*BASE))
    before = book.state_hash()
    odd = np.zeros(256 - max(KINDS.values()) - 1, EVENT_DTYPE)
    odd["kind"] = np.arange(max(KINDS.values()) + 1, 256)
    odd["order_id"], odd["side"], odd["price"], odd["size"] = 1, BUY, 100, 1
    assert book.apply(odd) == {"unknown message type": len(odd)}
    assert book.state_hash() == before


def test_replace_that_says_all_of_an_unknown_order_adds_it(impl):
    b = impl.OrderBook()
    out = np.zeros(8, EVENT_DTYPE)
    flow = events(("replace", 1, BUY, 100, 5, 1), ("replace", 2, 0, 100, 5, 2), ("replace", 3, SELL, 101, 5, 4), ("replace", 1, SELL, 99, 6, 1))
    assert b.apply_levels(flow, out) == 3
    assert b.counts == {"ok": 2, "unknown order": 2}
    assert b.order(1)[:3] == (BUY, 99, 6)
    assert out["price"][:3].tolist() == [100, 100, 99]


def test_single_calls_of_a_level_book(impl):
    b = impl.LevelBook(quotes=True)
    b.set_level(BUY, 100, 5)
    b.set_level(SELL, 101, 6)
    assert ladder(b) == ([(100, 5, 0)], [(101, 6, 0)])
    b.set_quote(99, None, 3)
    assert ladder(b) == ([(99, 3, 0)], [])
    with pytest.raises(ValueError, match="size outside range: side=1 price=100 size=-1"):
        b.set_level(BUY, 100, -1)
    with pytest.raises(ValueError, match="price outside range"):
        b.set_quote(0, 5)
    assert b.counts == {"ok": 3, "price outside range": 1, "size outside range": 1}


def test_signed_prices_are_taken_where_asked_for(impl):
    plain, signed = impl.LevelBook(), impl.LevelBook(signed_prices=True)
    flow = levels((BUY, -3, 1), (BUY, -5, 2), (SELL, -2, 3), (SELL, 0, 4), (SELL, NO_PRICE, 1), (BUY, -(2**63) + 1, 9))
    assert plain.apply(flow) == {"price outside range": 6}
    assert signed.apply(flow) == {"ok": 5, "price outside range": 1}
    assert ladder(signed) == ([(-3, 1, 0), (-5, 2, 0), (-(2**63) + 1, 9, 0)], [(-2, 3, 0), (0, 4, 0)])
    assert signed.level_size(BUY, -5) == 2
    orders = impl.OrderBook(signed_prices=True)
    assert orders.apply(events(("add", 1, BUY, -7, 1), ("replace", 1, 0, -8, 1, 2))) == {"ok": 2}
    assert orders.best_bid == -8
    signed.check(), orders.check()


def test_message_makes_one_quote_for_its_last_state(ladder_book):
    # The best bid goes and a better one comes, through a state in which the book is crossed.
    flow = message(
        ("level", 0, BUY, 103, 5), ("level", 0, SELL, 102, 0), ("level", 0, SELL, 103, 0), ("level", 0, SELL, 104, 9)
    )
    assert tops(ladder_book, flow) == [(1003, 103, 104, 5, 9)]


def test_message_that_restores_the_top_makes_no_quote(ladder_book):
    assert tops(ladder_book, message(("level", 0, BUY, 100, 0), ("level", 0, BUY, 100, 10))) == []


def test_message_whose_last_event_is_refused_still_ends(ladder_book):
    flow = message(("level", 0, BUY, 101, 5), ("level", 0, BUY, -1, 5))
    assert tops(ladder_book, flow) == [(1001, 101, 102, 5, 30)]


def test_message_is_held_across_batches(ladder_book):
    flow = message(("level", 0, BUY, 101, 5), ("level", 0, BUY, 101, 6))
    assert tops(ladder_book, flow[:1]) == []
    assert ladder_book.best_bid == 101
    assert tops(ladder_book, flow[1:]) == [(1001, 101, 102, 6, 30)]


def test_messages_of_orders_end_alike(book):
    flow = message(("execute", 1, 0, NO_PRICE, 10, 1), ("execute", 2, 0, NO_PRICE, 5, 2), ("trade", 0, 0, 100, 15))
    assert tops(book, flow) == [(1002, 100, 102, 15, 40)]


def test_crossed_and_locked_books_are_kept_and_written(ladder_book):
    assert not ladder_book.crossed and not ladder_book.locked
    assert tops(ladder_book, levels((BUY, 102, 5), (BUY, 103, 6))) == [(1000, 102, 102, 5, 30), (1001, 103, 102, 6, 30)]
    assert ladder_book.crossed and not ladder_book.locked
    ladder_book.apply(levels((BUY, 103, 0)))
    assert ladder_book.locked and not ladder_book.crossed
    ladder_book.clear()
    assert not ladder_book.locked and not ladder_book.crossed


@pytest.mark.parametrize("kind", ["OrderBook", "LevelBook"])
def test_gap_makes_stale_until_the_next_clear(impl, kind):
    b = getattr(impl, kind)(7)
    assert not b.stale
    gap = events(("gap", 0, 0, 5, 2))
    b.apply(gap)
    assert b.stale
    b.apply(events(("clear", 0)))
    assert not b.stale
    gap["symbol_id"] = 8
    b.apply(gap)
    assert not b.stale
    gap["symbol_id"] = NO_SYMBOL  # of every symbol
    b.apply(gap)
    assert b.stale
    b.clear()
    assert not b.stale


def test_clock_going_backwards_changes_nothing(impl):
    flow = events(*BASE)
    back = flow.copy()
    back["exch_ns"], back["local_ns"] = -flow["exch_ns"], np.arange(5)[::-1]
    a, b = impl.OrderBook(), impl.OrderBook()
    a.apply(flow), b.apply(back)
    assert a.state_hash() == b.state_hash()


def test_quotes_carry_number_times_and_symbol(impl):
    flow = levels((BUY, 100, 1))
    flow["seq"], flow["local_ns"] = 77, 5
    quotes = np.zeros(1, QUOTE_DTYPE)
    assert impl.LevelBook().apply_into(flow, quotes) == 1
    assert quotes[0][["seq", "exch_ns", "local_ns", "symbol_id", "flags"]].tolist() == (77, 1000, 5, 7, 0)


def test_snapshot_rebuilds_queues(book, impl):
    rows = book.snapshot(seq=9, exch_ns=5)
    assert [KINDS["clear"], *[KINDS["add"]] * 5] == rows["kind"].tolist()
    assert set(rows["flags"][:-1]) == {SNAPSHOT | CONTINUED} and rows["flags"][-1] == SNAPSHOT
    assert (set(rows["seq"]), set(rows["exch_ns"])) == ({9}, {5})
    other = impl.OrderBook()
    other.add(1, SELL, 7, 7)
    assert tops(other, rows) == [(5, 100, 102, 30, 40)]
    assert other.state_hash() == book.state_hash()
    assert other.position(2) == book.position(2) == (1, 10)
    assert [tuple(o)[:2] for o in other.queue(BUY, 100)] == [tuple(o)[:2] for o in book.queue(BUY, 100)]
    other.check()


def test_snapshot_of_a_stale_book_is_stale(ladder_book, impl):
    ladder_book.apply(events(("gap", 0, 0, 5, 2)))
    other = impl.LevelBook()
    other.apply(ladder_book.snapshot())
    assert other.stale and other.state_hash() == ladder_book.state_hash()


def test_snapshot_keeps_levels_without_size(impl):
    a, b = impl.LevelBook(quotes=True), impl.LevelBook(quotes=True)
    a.set_quote(100, 101)
    a.set_level(SELL, 103, 5)
    rows = a.snapshot()
    b.apply(rows)
    assert ladder(b) == ladder(a) == ([(100, 0, 0)], [(101, 0, 0), (103, 5, 0)])
    assert len(rows) == 3


def test_depth_into_an_array_of_the_caller(ladder_book):
    out = np.zeros((2, 3), compiled.LEVEL_DTYPE)
    assert ladder_book.depth_into(out) == (2, 2)
    assert out["price"].tolist() == [[100, 99, NO_PRICE], [102, 103, NO_PRICE]]
    assert out["size"].tolist() == [[10, 20, 0], [30, 40, 0]]
    assert ladder_book.depth_into(np.zeros((2, 0), compiled.LEVEL_DTYPE)) == (0, 0)
    with pytest.raises(ValueError, match=r"out must be of shape \(2, levels\)"):
        ladder_book.depth_into(np.zeros((3, 1), compiled.LEVEL_DTYPE))


def test_depth_into_checks_its_array():
    b = compiled.LevelBook()
    with pytest.raises(TypeError, match="out must be a NumPy array"):
        b.depth_into([1])
    with pytest.raises(TypeError, match="out must have dtype LEVEL_DTYPE"):
        b.depth_into(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="writable"):
        b.depth_into(np.zeros((2, 6), compiled.LEVEL_DTYPE)[:, ::2])


def test_orders_become_levels(impl):
    a, b = impl.OrderBook(), impl.LevelBook()
    flow = events(*BASE, ("replace", 1, 0, 101, 10, 6), ("execute", 6, 0, NO_PRICE, 4, 1), ("delete", 99), ("clear", 0))
    out = np.zeros(2 * len(flow), EVENT_DTYPE)
    n = a.apply_levels(flow, out)
    got = [(r["exch_ns"], r["kind"], r["side"], r["price"], r["size"], r["flags"]) for r in out[:n]]
    level, clear = KINDS["level"], KINDS["clear"]
    assert got == [
        (1000, level, BUY, 100, 10, 0),
        (1001, level, BUY, 100, 30, 0),
        (1002, level, BUY, 99, 30, 0),
        (1003, level, SELL, 102, 40, 0),
        (1004, level, SELL, 103, 50, 0),
        (1005, level, BUY, 100, 20, CONTINUED),
        (1005, level, BUY, 101, 10, 0),
        (1006, level, BUY, 101, 6, 0),
        (1008, clear, 0, NO_PRICE, 0, 0),
    ]
    assert b.apply(out[:n]) == {"ok": 9}
    with pytest.raises(ValueError, match="levels must have 2 rows for each event: events=9 levels=17"):
        a.apply_levels(flow, out[:17])


def test_level_tables_grow_and_freed_levels_are_used_again():
    table = compiled.OrderTable(1, 1)
    b = compiled.LevelBook(orders=table)
    n = 3000
    rows = np.zeros(n, EVENT_DTYPE)
    rows["kind"], rows["side"], rows["size"] = KINDS["level"], np.where(np.arange(n) % 2, 1, -1), 1
    rows["price"] = 10_000 + np.random.default_rng(1).permutation(n)
    gone = rows.copy()
    gone["size"] = 0
    assert b.apply(rows) == {"ok": n}
    b.check()
    grown = table.growths, table.nbytes
    for _ in range(5):
        assert b.apply(gone) == {"ok": n}
        assert table.live_levels == 0
        assert b.apply(rows) == {"ok": n}
    assert (table.growths, table.nbytes) == grown
    assert table.capacity == 16  # no orders, no room for orders


def test_level_and_order_books_share_a_table(impl):
    table = impl.OrderTable(1, 1)
    a, b = impl.OrderBook(0, table), impl.LevelBook(1, table, quotes=True)
    a.add(1, BUY, 100, 5)
    b.set_level(BUY, 100, 6)
    b.set_quote(101, 102, 1, 1)
    assert (a.best_bid, b.best_bid) == (100, 101)
    b.clear()
    assert (len(a), len(b)) == (1, 0)
    a.check(), b.check()


STRESS = pytest.mark.skipif(
    not os.environ.get("FASTCORE_STRESS"), reason="FASTCORE_STRESS is not set: the long run is left out"
)


@pytest.mark.skipif(bool(os.environ.get("FASTCORE_SANITIZE")), reason="a sanitizer keeps memory of its own")
@pytest.mark.parametrize("pairs", [2_000_000, pytest.param(100_000_000, marks=[STRESS, pytest.mark.slow])])
def test_memory_is_bounded_by_live_orders(pairs):
    """A million live orders from a table that grew by itself: at most 120 MB, flat over pairs of add and delete."""
    code = f"""if True:
        import numpy as np
        from fastcore.book import OrderBook
        from fastcore.records import EVENT_DTYPE, KINDS
        def resident():
            with open("/proc/self/statm") as f:
                return int(f.read().split()[1]) * 4096
        live, batch = 1_000_000, 20_000
        adds = np.zeros(batch, EVENT_DTYPE)
        adds["kind"], adds["size"] = KINDS["add"], 100
        adds["side"] = np.where(np.arange(batch) % 2, 1, -1)
        adds["price"] = 1_000_000 - adds["side"] * (1 + np.arange(batch) % 997)
        adds["order_id"] = np.arange(1, batch + 1)
        deletes = adds.copy()
        deletes["kind"] = KINDS["delete"]
        b = OrderBook()
        before = resident()
        for _ in range(live // batch):
            assert b.apply(adds) == {{"ok": batch}}
            adds["order_id"] += batch
        full = resident() - before
        assert len(b) == live and full <= 120e6 and b.orders.nbytes <= 120e6, (full, b.orders.nbytes)
        marks = []
        for i in range({pairs} // batch):
            b.apply(deletes)
            b.apply(adds)
            adds["order_id"] += batch
            deletes["order_id"] += batch
            if i == 10:
                held = resident(), b.orders.nbytes, b.orders.growths
        assert b.counts == {{"ok": live + 2 * {pairs}}} and len(b) == live
        assert (b.orders.nbytes, b.orders.growths) == held[1:] and resident() - held[0] < 1 << 20, (held, resident())
        b.check()
    """
    if not sys.platform.startswith("linux"):
        pytest.skip("/proc/self/statm is there on Linux only")
    subprocess.run([sys.executable, "-c", code], check=True)


# ---- recorded data ----


def test_aapl_final_book_equals_its_reference(data_dir):
    raw = (data_dir / "itch/AAPL_2020-01-30_first10k.itch").read_bytes()
    out = np.zeros(10_000, EVENT_DTYPE)
    n, consumed = ItchDecoder(strict=True).decode(raw, out, final=True)
    assert consumed == len(raw)
    flow = out[:n]
    b = compiled.OrderBook()
    assert b.apply(flow) == {"ok": n}
    b.check()
    with open(data_dir / "itch/AAPL_2020-01-30_first10k.book.csv") as lines:
        reference = [(r["side"], int(r["price_e4"]), int(r["shares"]), int(r["orders"])) for r in csv.DictReader(lines)]
    bids, asks = b.depth()
    got = [(side, *row) for side, rows in (("B", bids), ("S", asks)) for row in rows.tolist()]
    assert len(got) == 142
    assert sorted(got) == sorted(reference)
    assert (b.best_bid, b.best_bid_size, b.best_ask, b.best_ask_size) == (3_201_400, 25, 3_203_000, 100)
    assert flow["size"][flow["kind"] == KINDS["execute"]].sum() == 56_086
    assert flow["size"][flow["kind"] == KINDS["trade"]].sum() == 25_470


def test_aapl_book_equals_the_twin_all_along(data_dir):
    from fastcore.reference import book as twin

    raw = (data_dir / "itch/AAPL_2020-01-30_first10k.itch").read_bytes()
    out = np.zeros(10_000, EVENT_DTYPE)
    n, _ = ItchDecoder().decode(raw, out, final=True)
    a, b = compiled.OrderBook(), twin.OrderBook()
    for start in range(0, n, 500):
        chunk = out[start : min(start + 500, n)]
        assert a.apply(chunk) == b.apply(chunk)
        assert a.state_hash() == b.state_hash()


def test_amzn_book_equals_every_lobster_row(data_dir):
    raw = gzip.decompress((data_dir / "itch/AMZN_2012-06-21_L5.itch.gz").read_bytes())
    out = np.zeros(240_000, EVENT_DTYPE)
    n, consumed = ItchDecoder(strict=True).decode(raw, out, final=True)
    assert (n, consumed) == (233_939, len(raw))  # every message makes an event, so messages can be counted as events
    with gzip.open(data_dir / "itch/AMZN_2012-06-21_L5.rowmap.csv.gz") as lines:
        marks = np.loadtxt(lines, np.int64, delimiter=",", skiprows=1)[:, 1]
    b = compiled.OrderBook()
    rows = b.apply_depth(out[:n], marks, 5)
    assert b.counts == {"ok": n}
    b.check()
    with zipfile.ZipFile(data_dir / "lobster/LOBSTER_SampleFile_AMZN_2012-06-21_5.zip") as archive:
        name = next(name for name in archive.namelist() if "orderbook" in name)
        with archive.open(name) as lines:
            reference = np.loadtxt(lines, np.int64, delimiter=",")
    price = rows["price"]
    for side, empty in ((0, -9_999_999_999), (1, 9_999_999_999)):
        price[:, side][price[:, side] == NO_PRICE] = empty
    got = np.stack([price[:, 1], rows["size"][:, 1], price[:, 0], rows["size"][:, 0]], axis=2).reshape(-1, 20)
    assert len(got) == 155_935
    assert (got == reference).all(axis=1).sum() == 155_935
