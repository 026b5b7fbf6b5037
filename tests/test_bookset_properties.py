"""The set of books against its twin on random streams, then its laws."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from kit import examples

from fastcore.book import LevelBook, OrderBook, OrderTable
from fastcore.bookset import BookSet
from fastcore.records import BUY, EVENT_DTYPE, FLAGS, KINDS, NO_PRICE, NO_SYMBOL, QUOTE_DTYPE, SELL
from fastcore.reference import bookset as twin

IDS = st.integers(1, 30) | st.sampled_from([-1, -(2**63)])
KIND = st.sampled_from(
    ["add"] * 8 + ["execute", "cancel", "delete", "replace"] * 2 + ["level"] * 6 + ["quote"]
) | st.sampled_from([*KINDS])
EVENT = st.tuples(
    KIND,
    st.integers(0, 4) | st.sampled_from([0, 70, 99, 100, 2**32 - 2, NO_SYMBOL]),
    st.sampled_from([BUY, SELL, BUY, SELL, 0]),
    st.integers(95, 105) | st.sampled_from([NO_PRICE, 0, -3]),
    st.integers(0, 9) | st.sampled_from([-1, 2**63 - 1]),
    IDS,
    IDS,
    st.integers(0, 3),
)
STREAM = st.lists(EVENT, max_size=150)


def to_events(rows):
    out = np.zeros(len(rows), EVENT_DTYPE)
    for i, (kind, symbol, side, price, size, order_id, new, flag) in enumerate(rows):
        continued = FLAGS["continued"] * (flag == 0)
        out[i] = (i, 7 - i, 0, symbol, KINDS[kind], side, continued, price, size, order_id, new)
    return out


def pair(by_level, signed=False):
    return (
        BookSet(by_level=by_level, symbols=100, orders=OrderTable(1, 1), signed_prices=signed),
        twin.BookSet(by_level=by_level, symbols=100, signed_prices=signed),
    )


@examples(200)
@given(STREAM, st.booleans(), st.booleans())
def test_bookset_matches_reference(rows, by_level, signed):
    events = to_events(rows)
    a, b = pair(by_level, signed)
    quotes_a, quotes_b = np.zeros((2, 1), QUOTE_DTYPE)
    for i in range(len(events)):
        written = a.apply_into(events[i : i + 1], quotes_a)
        assert written == b.apply_into(events[i : i + 1], quotes_b)
        if written:
            assert quotes_a.tolist() == quotes_b.tolist()
        assert (a.state_hash(), a.stale, len(a)) == (b.state_hash(), b.stale, len(b))
    a.check()
    assert (a.counts, a.symbol_ids) == (b.counts, b.symbol_ids)
    assert a.quotes().tolist() == b.quotes().tolist()
    assert a.snapshot(exch_ns=4).tolist() == b.snapshot(exch_ns=4).tolist()


@examples(100)
@given(STREAM, st.booleans(), st.integers(1, 60))
def test_batches_give_what_single_events_give(rows, by_level, step):
    events = to_events(rows)
    (a, _), (b, _) = pair(by_level), pair(by_level)
    a.apply(events)
    for start in range(0, len(events), step):
        b.apply(events[start : start + step])
    assert (a.state_hash(), a.counts) == (b.state_hash(), b.counts)


@examples(100)
@given(STREAM, st.booleans(), st.integers(0, 150))
def test_restored_set_goes_on_as_the_first(rows, by_level, cut):
    events = to_events(rows)
    events["flags"] = 0
    a, b = BookSet(by_level=by_level, symbols=100), BookSet(by_level=by_level, symbols=100)
    a.apply(events[:cut])
    b.apply(a.snapshot())
    quotes_a, quotes_b = np.zeros((2, 1), QUOTE_DTYPE)
    for i in range(cut, len(events)):
        n = a.apply_into(events[i : i + 1], quotes_a)
        assert n == b.apply_into(events[i : i + 1], quotes_b)
        assert quotes_a[:n].tolist() == quotes_b[:n].tolist()
        assert (a.state_hash(), a.stale) == (b.state_hash(), b.stale)
    assert [a.book(i).stale for i in a] == [b.book(i).stale for i in a]


@examples(100)
@given(STREAM, st.booleans())
def test_set_gives_what_books_of_one_table_give(rows, by_level):
    events = to_events(rows)
    s = BookSet(by_level=by_level, symbols=100)
    s.apply(events)
    table = OrderTable()
    kind = LevelBook if by_level else OrderBook
    books = {i: kind(i, table) for i in (0, 1, 2, 3, 4, 70, 99)}
    for i in range(len(events)):
        for b in books.values():
            b.apply(events[i : i + 1])
    for i, b in books.items():
        if i in s:
            assert s.book(i).state_hash() == b.state_hash()
            assert s.book(i).levels == b.levels


@examples(30)
@given(st.integers(0, 2**32), st.integers(2, 300))
def test_looking_ahead_changes_nothing(seed, symbols):
    # Enough books and orders for the batch to look ahead, growing tables and closed books among them.
    random = np.random.default_rng(seed)
    n = 3_000
    rows = np.zeros(n, EVENT_DTYPE)
    rows["kind"] = random.choice(
        [KINDS[k] for k in ("add", "add", "add", "cancel", "delete", "execute", "replace", "trade")], n
    )
    rows["symbol_id"] = random.integers(0, symbols, n)
    rows["side"] = random.choice([1, -1], n)
    rows["price"] = 100 + random.integers(0, 40, n)
    rows["size"] = random.integers(1, 5, n)
    rows["order_id"] = random.integers(0, n // 2, n)
    rows["match_id"] = random.integers(0, n // 2, n)
    a, b = (BookSet(symbols=290, orders=OrderTable(1, 1)) for _ in range(2))
    a.apply(rows)
    for i in range(n):
        b.apply(rows[i : i + 1])
    a.check()
    assert (a.state_hash(), a.counts) == (b.state_hash(), b.counts)
