"""The order book against its twin on random streams, then its laws."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fastcore.book import OrderBook, OrderTable
from fastcore.records import BUY, EVENT_DTYPE, KINDS, NO_PRICE, QUOTE_DTYPE, SELL
from fastcore.reference import book as twin

IDS = st.integers(1, 24) | st.sampled_from([-1, 2**63 - 1, -(2**63)])
PRICES = st.integers(90, 110) | st.sampled_from([NO_PRICE, -5, 0, 2**63 - 1])
SIZES = st.integers(1, 9) | st.sampled_from([0, -1, 2**62, 2**63 - 1, -(2**63)])
SIDES = st.sampled_from([BUY, BUY, SELL, SELL, 0, 7])
COMMON = ["add"] * 6 + ["execute", "cancel", "delete", "replace"] * 2
EVENT = st.tuples(
    st.sampled_from(COMMON) | st.sampled_from([*KINDS, "clear"]),
    st.integers(0, 1),
    SIDES,
    PRICES,
    SIZES,
    IDS,
    IDS,
)
STREAM = st.lists(EVENT, max_size=120)
# Only what a book takes: adds near each other and changes of orders that were added.
ORDERLY = st.lists(
    st.tuples(
        st.sampled_from(COMMON), st.sampled_from([BUY, SELL]), st.integers(95, 105), st.integers(1, 9), st.integers(0, 30)
    ),
    max_size=150,
)


def to_events(rows):
    out = np.zeros(len(rows), EVENT_DTYPE)
    for i, (kind, symbol, side, price, size, order_id, new) in enumerate(rows):
        out[i] = (0, i, 0, symbol, KINDS[kind], side, 0, price, size, order_id, new)
    return out


def orderly_events(rows):
    live, out = [], []
    for i, (kind, side, price, size, pick) in enumerate(rows):
        if kind == "add" or not live:
            live.append(i + 1)
            out.append(("add", 0, side, price, size, i + 1, 0))
        else:
            order = live[pick % len(live)]
            if kind == "replace":
                live.append(i + 1)
            if kind in ("replace", "delete"):
                live.remove(order)
            out.append((kind, 0, 0, price, size, order, i + 1))
    return to_events(out)


def same_state(a, b):
    assert a.state_hash() == b.state_hash()
    assert (a.counts, a.levels, len(a), a.next_stamp) == (b.counts, b.levels, len(b), b.next_stamp)
    for x, y in zip(a.depth(), b.depth(), strict=True):
        assert x.tolist() == y.tolist()


@settings(max_examples=150)
@given(STREAM)
def test_book_matches_reference(rows):
    events = to_events(rows)
    a, b = OrderBook(orders=OrderTable(1, 1)), twin.OrderBook()
    quotes_a, quotes_b = np.zeros((2, 1), QUOTE_DTYPE)
    for i in range(len(events)):
        written = a.apply_into(events[i : i + 1], quotes_a)
        assert written == b.apply_into(events[i : i + 1], quotes_b)
        if written:
            assert quotes_a.tolist() == quotes_b.tolist()
        assert a.state_hash() == b.state_hash()
        a.check()
    same_state(a, b)


@settings(max_examples=100)
@given(ORDERLY)
def test_orderly_flow_matches_reference(rows):
    events = orderly_events(rows)
    a, b = OrderBook(), twin.OrderBook()
    quotes_a, quotes_b = np.zeros(len(events), QUOTE_DTYPE), np.zeros(len(events), QUOTE_DTYPE)
    n = a.apply_into(events, quotes_a)
    assert n == b.apply_into(events, quotes_b)
    assert quotes_a[:n].tolist() == quotes_b[:n].tolist()
    same_state(a, b)
    a.check()
    for order_id in events["order_id"].tolist():
        assert a.order(order_id) == b.order(order_id)
        assert a.position(order_id) == b.position(order_id)


@settings(max_examples=50)
@given(STREAM, st.lists(st.integers(0, 120), max_size=20), st.integers(1, 4))
def test_depth_at_marks_matches_reference(rows, marks, levels):
    events = to_events(rows)
    at = sorted(min(m, len(events)) for m in marks)
    got = OrderBook().apply_depth(events, at, levels)
    assert got.tolist() == twin.OrderBook().apply_depth(events, at, levels).tolist()


@settings(max_examples=50)
@given(STREAM)
def test_two_books_of_one_table_match_the_reference(rows):
    events = to_events(rows)
    table, other = OrderTable(1, 1), twin.OrderTable()
    a = [OrderBook(i, table) for i in range(2)]
    b = [twin.OrderBook(i, other) for i in range(2)]
    for i in range(len(events)):
        for x, y in zip(a, b, strict=True):
            assert x.apply(events[i : i + 1]) == y.apply(events[i : i + 1])
            assert x.state_hash() == y.state_hash()
            x.check()
    assert len(table) == len(other)


@given(ORDERLY)
def test_book_levels_stay_sorted(rows):
    b = OrderBook()
    b.apply(orderly_events(rows))
    bids, asks = b.depth()
    assert np.all(np.diff(bids["price"]) < 0)
    assert np.all(np.diff(asks["price"]) > 0)


@given(ORDERLY)
def test_book_conserves_quantity(rows):
    events = orderly_events(rows)
    b = OrderBook()
    added = taken = 0
    for i in range(len(events)):
        row = events[i]
        before = b.order(int(row["order_id"]))
        ok = b.apply(events[i : i + 1]) == {"ok": 1}
        kind = row["kind"]
        if ok and kind in (KINDS["add"], KINDS["replace"]):
            added += int(row["size"])
        if ok and kind in (KINDS["execute"], KINDS["cancel"]):
            taken += int(row["size"])
        if ok and kind in (KINDS["delete"], KINDS["replace"]):
            taken += before[2]
    assert added - taken == sum(int(side["size"].sum()) for side in b.depth())


@given(ORDERLY)
def test_book_preserves_fifo_order(rows):
    b = OrderBook()
    b.apply(orderly_events(rows))
    for side, levels in zip((BUY, SELL), b.depth(), strict=True):
        for price, size, orders in levels.tolist():
            queue = b.queue(side, price)
            assert np.all(np.diff(queue["stamp"].astype(np.int64)) > 0)
            assert (queue["size"].sum(), len(queue)) == (size, orders)


@given(ORDERLY, st.integers(1, 50))
def test_batches_give_what_single_events_give(rows, step):
    events = orderly_events(rows)
    a, b = OrderBook(), OrderBook()
    a.apply(events)
    for start in range(0, len(events), step):
        b.apply(events[start : start + step])
    same_state(a, b)


@given(ORDERLY)
def test_state_hash_forgets_history_but_not_priority(rows):
    a, b = OrderBook(), OrderBook(orders=OrderTable(1, 1))
    a.apply(orderly_events(rows))
    b.add(1, BUY, 1, 1)
    b.clear()
    for side, levels in zip((BUY, SELL), a.depth(), strict=True):
        for price in levels["price"].tolist():
            for order_id, size, _ in a.queue(side, price).tolist():
                b.add(order_id, side, price, size)
    assert a.state_hash() == b.state_hash()
