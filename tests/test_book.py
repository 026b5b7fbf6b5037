"""The order book: what each event does, what malformed events do, and real data against their references."""

import csv
import gzip
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from fastcore import book as compiled
from fastcore.errors import BookError
from fastcore.itch import ItchDecoder
from fastcore.records import EVENT_DTYPE, KINDS, NO_PRICE, QUOTE_DTYPE

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
    with pytest.raises(ValueError, match=r"orders must lie in 1\.\.2\*\*30: orders=0"):
        impl.OrderTable(0)
    with pytest.raises(ValueError, match="levels must lie in"):
        impl.OrderTable(1, -1)
    with pytest.raises(ValueError, match="symbol_id must lie in"):
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
    with pytest.raises(ValueError, match="levels must lie in"):
        b.apply_depth(flow, [3], 0)
    with pytest.raises(ValueError, match="levels must not be negative"):
        b.depth(-1)
    with pytest.raises(ValueError, match="side must be 1"):
        b.level_size(0, 1)
    with pytest.raises(ValueError, match="price must lie in"):
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
