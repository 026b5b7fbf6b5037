"""The set of books against single books, and its laws."""

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st
from kit import examples

from fastcore.book import LevelBook, OrderBook, OrderTable
from fastcore.bookset import BookSet
from fastcore.records import BUY, EVENT_DTYPE, FLAGS, KINDS, NO_PRICE, NO_SYMBOL, QUOTE_DTYPE, SELL

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


@examples(100)
@given(STREAM, st.booleans(), st.integers(1, 60))
def test_batches_give_what_single_events_give(rows, by_level, step):
    events = to_events(rows)
    a, b = (BookSet(by_level=by_level, symbols=100, orders=OrderTable(1, 1)) for _ in range(2))
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


OPENING = [KINDS[k] for k in "add execute cancel delete replace level quote clear gap".split()]


# A clear of the whole feed ends a message that goes on, and its last part says nothing more.
CUT = [("add", 1, -1, 95, 1, 1, 1, 0), ("clear", NO_SYMBOL, 1, 95, 0, 1, 1, 1), ("add", 1, 1, 95, 0, 1, 1, 1)]


@examples(200)
@example(CUT, False, False)
@given(STREAM, st.booleans(), st.booleans())
def test_set_gives_what_books_of_one_table_give(rows, by_level, signed):
    events = to_events(rows)
    s = BookSet(by_level=by_level, symbols=100, orders=OrderTable(1, 1), signed_prices=signed)
    table = OrderTable(1, 1)
    kind = LevelBook if by_level else OrderBook
    books = {i: kind(i, table, signed_prices=signed) for i in (0, 1, 2, 3, 4, 70, 99)}
    quotes, others = np.zeros((2, 1), QUOTE_DTYPE)
    opened, unknown = set(), 0
    for i in range(len(events)):
        event, symbol, opens = events[i : i + 1], int(events[i]["symbol_id"]), events[i]["kind"] in OPENING
        n = s.apply_into(event, quotes)
        written = {k: b.apply_into(event, others) for k, b in books.items()}
        assert n == written.get(symbol, 0)
        if n:
            assert quotes.tolist() == others[:1].tolist() or sum(written.values()) > 1
        if opens and symbol in books:
            opened.add(symbol)
        whole = symbol == NO_SYMBOL and events[i]["kind"] in (KINDS["clear"], KINDS["gap"])
        unknown += opens and symbol >= 100 and not whole
        if whole:
            assert s.stale == (events[i]["kind"] == KINDS["gap"])
    s.check()
    assert s.symbol_ids == sorted(opened)
    assert s.counts.get("unknown symbol", 0) == unknown and sum(s.counts.values()) == len(events)
    tops = s.quotes()
    for row, i in zip(tops, s, strict=True):
        a, b = s.book(i), books[i]
        assert (a.state_hash(), a.levels, a.stale) == (b.state_hash(), b.levels, b.stale)
        assert row["symbol_id"] == i and row["bid"] == (NO_PRICE if b.best_bid is None else b.best_bid)
        assert row["ask"] == (NO_PRICE if b.best_ask is None else b.best_ask)
        assert (row["bid_size"], row["ask_size"]) == (b.best_bid_size, b.best_ask_size)


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
