"""The order books against its twin on random streams, then its laws."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from kit import examples

from fastcore import _bench
from fastcore.book import LevelBook, OrderBook, OrderTable
from fastcore.records import BUY, EVENT_DTYPE, FLAGS, KINDS, NO_PRICE, QUOTE_DTYPE, SELL
from fastcore.reference import book as twin

IDS = st.integers(1, 24) | st.sampled_from([-1, 2**63 - 1, -(2**63)])
PRICES = st.integers(90, 110) | st.sampled_from([NO_PRICE, -5, 0, 2**63 - 1])
SIZES = st.integers(1, 9) | st.sampled_from([0, -1, 2**62, 2**63 - 1, -(2**63)])
SIDES = st.sampled_from([BUY, BUY, SELL, SELL, 0, 7])
COMMON = ["add"] * 6 + ["execute", "cancel", "delete", "replace", "modify"] * 2
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
    """Build events; a modify is a replace that keeps its reference and, where that is known, the price."""
    out = np.zeros(len(rows), EVENT_DTYPE)
    prices = {}
    for i, (kind, symbol, side, price, size, order_id, new) in enumerate(rows):
        if kind == "modify":
            kind, price, new = "replace", prices.get(order_id, price), order_id
        if kind in ("add", "replace"):
            prices[new if kind == "replace" else order_id] = price
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
            if kind == "modify":
                out.append((kind, 0, 0, price, size, order, order))
                continue
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


@examples(150)
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


@examples(100)
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


@examples(50)
@given(STREAM, st.lists(st.integers(0, 120), max_size=20), st.integers(1, 4))
def test_depth_at_marks_matches_reference(rows, marks, levels):
    events = to_events(rows)
    at = sorted(min(m, len(events)) for m in marks)
    got = OrderBook().apply_depth(events, at, levels)
    assert got.tolist() == twin.OrderBook().apply_depth(events, at, levels).tolist()


@examples(50)
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


# By level: changes near each other, quotes now and then, anything else rarely; some messages of several events.
LEVEL_KINDS = ["level"] * 10 + ["quote"]
LEVEL_EVENT = st.tuples(
    st.sampled_from(LEVEL_KINDS) | st.sampled_from([*KINDS, "clear"]),
    st.sampled_from([0, 0, 0, 2**32 - 1]),
    SIDES,
    PRICES,
    st.integers(0, 5) | SIZES,
    st.integers(0, 120) | IDS,
    st.integers(0, 5) | IDS,
)
LEVEL_STREAM = st.lists(LEVEL_EVENT, max_size=120)
CLOCK = st.lists(st.tuples(st.booleans(), st.integers(-5, 5)), min_size=120, max_size=120)


def with_messages(events, clock):
    """Make messages of several events, and a clock that may go backwards."""
    for i, (continued, time) in enumerate(clock[: len(events)]):
        events["flags"][i] = FLAGS["continued"] * continued
        events["exch_ns"][i] = time
        events["seq"][i] = i
    return events


@examples(200)
@given(LEVEL_STREAM, CLOCK, st.booleans(), st.booleans())
def test_level_book_matches_reference(rows, clock, signed, quoted):
    events = with_messages(to_events(rows), clock)
    a, b = (
        LevelBook(0, OrderTable(1, 1), signed_prices=signed, quotes=quoted), twin.LevelBook(0, signed_prices=signed, quotes=quoted)
    )  # fmt: skip
    quotes_a, quotes_b = np.zeros((2, 1), QUOTE_DTYPE)
    for i in range(len(events)):
        written = a.apply_into(events[i : i + 1], quotes_a)
        assert written == b.apply_into(events[i : i + 1], quotes_b)
        if written:
            assert quotes_a.tolist() == quotes_b.tolist()
        assert a.state_hash() == b.state_hash()
        assert (a.stale, a.crossed, a.locked, len(a)) == (b.stale, b.crossed, b.locked, len(b))
        a.check()
    assert (a.counts, a.levels) == (b.counts, b.levels)
    assert a.snapshot().tolist() == b.snapshot().tolist()
    for x, y in zip(a.depth(), b.depth(), strict=True):
        assert x.tolist() == y.tolist()


@examples(100)
@given(STREAM, CLOCK, st.booleans())
def test_messages_of_orders_match_reference(rows, clock, signed):
    events = with_messages(to_events(rows), clock)
    a, b = OrderBook(orders=OrderTable(1, 1), signed_prices=signed), twin.OrderBook(signed_prices=signed)
    quotes_a, quotes_b = np.zeros(len(events), QUOTE_DTYPE), np.zeros(len(events), QUOTE_DTYPE)
    n = a.apply_into(events, quotes_a)
    assert n == b.apply_into(events, quotes_b)
    assert quotes_a[:n].tolist() == quotes_b[:n].tolist()
    assert a.snapshot(seq=3).tolist() == b.snapshot(seq=3).tolist()
    same_state(a, b)


def behaviour(book, event):
    quotes = np.zeros(1, QUOTE_DTYPE)
    n = book.apply_into(event, quotes)
    return quotes[:n].tolist(), book.state_hash(), book.stale, len(book)


@examples(100)
@given(STREAM | ORDERLY.map(lambda rows: [tuple(r) for r in rows]), st.integers(0, 150))
def test_restored_order_book_goes_on_as_the_first(rows, cut):
    events = to_events(rows) if rows and len(rows[0]) == 7 else orderly_events(rows)
    a, b = OrderBook(), OrderBook(orders=OrderTable(1, 1))
    a.apply(events[:cut])
    b.apply(events[: cut // 2])  # whatever was in it
    b.apply(a.snapshot())
    assert b.state_hash() == a.state_hash()
    for i in range(cut, len(events)):
        assert behaviour(a, events[i : i + 1]) == behaviour(b, events[i : i + 1])
        order = int(events["order_id"][i]) % 2**64
        assert a.position(order) == b.position(order)
    b.check()


@examples(100)
@given(LEVEL_STREAM, st.integers(0, 120))
def test_restored_level_book_goes_on_as_the_first(rows, cut):
    events = to_events(rows)
    a, b = LevelBook(), LevelBook(orders=OrderTable(1, 1))
    a.apply(events[:cut])
    b.apply(events[: cut // 2])
    b.apply(a.snapshot())
    assert (b.state_hash(), b.stale) == (a.state_hash(), a.stale)
    for i in range(cut, len(events)):
        assert behaviour(a, events[i : i + 1]) == behaviour(b, events[i : i + 1])


@examples(100)
@given(STREAM | ORDERLY.map(orderly_events), CLOCK)
def test_level_events_of_an_order_book_give_its_depth(rows, clock):
    events = with_messages(rows if isinstance(rows, np.ndarray) else to_events(rows), clock)
    a, b, c = OrderBook(), LevelBook(), twin.OrderBook()
    out, other = np.zeros(2 * len(events), EVENT_DTYPE), np.zeros(2 * len(events), EVENT_DTYPE)
    n = a.apply_levels(events, out)
    assert n == c.apply_levels(events, other)
    assert out[:n].tolist() == other[:n].tolist()
    assert set(b.apply(out[:n])) <= {"ok"}
    for x, y in zip(a.depth(), b.depth(), strict=True):
        assert x[["price", "size"]].tolist() == y[["price", "size"]].tolist()


@given(LEVEL_STREAM, CLOCK)
def test_quotes_of_messages_follow_the_top_between_them(rows, clock):
    events = with_messages(to_events(rows), clock)
    a, b = LevelBook(), LevelBook()
    quotes = np.zeros(len(events), QUOTE_DTYPE)
    n = a.apply_into(events, quotes)
    tops, last = [], (NO_PRICE, NO_PRICE, 0, 0)
    for i in range(len(events)):
        b.apply(events[i : i + 1])
        if events["flags"][i] & FLAGS["continued"]:
            continue
        prices = (NO_PRICE if p is None else p for p in (b.best_bid, b.best_ask))
        top = (*prices, b.best_bid_size, b.best_ask_size)
        if top != last:
            tops.append(top)
        last = top
    assert [tuple(q)[-4:] for q in quotes[:n].tolist()] == tops


# ---- ladders: prices that make them move, change their step, grow and leave levels to the blocks ----

SCALES = st.sampled_from([1, 50, 100, 10**6, 2**40, 2**52])
GRID = st.tuples(
    st.sampled_from([1, 10**6, 2**62]),     # where the prices are
    SCALES,                                 # their step
    st.sampled_from([4, 60, 600, 20_000]),  # how many of them
    st.sampled_from([0, 1, 7]),             # how fast they wander
    st.integers(0, 2**32),
)


def grid_events(grid, n, by_level):
    """Build a stream on a grid of prices that wanders; some prices lie between its steps, some at the ends of the range."""
    base, step, width, speed, seed = grid
    random = np.random.default_rng(seed)
    at = random.integers(0, width, n) + np.cumsum(random.integers(-3, 4, n)) * speed
    odd = np.where(random.random(n) < 0.03, random.integers(0, step + 1, n), 0)
    ends = random.choice([1, 2, 2**63 - 2, 2**63 - 1], n)
    prices = [base + int(a) * step + int(o) for a, o in zip(at, odd, strict=True)]
    out = np.zeros(n, EVENT_DTYPE)
    out["price"] = np.where(random.random(n) < 0.01, ends, [min(max(p, 1), 2**63 - 1) for p in prices])
    out["side"] = random.choice([BUY, SELL], n)
    if by_level:
        out["kind"] = random.choice([KINDS["level"]] * 200 + [KINDS["clear"]], n)
        out["size"] = random.integers(0, 3, n)
        quotes = random.random(n) < 0.01
        out["kind"][quotes] = KINDS["quote"]
        out["size"][quotes] = out["price"][::-1][quotes]
    else:
        kinds = [KINDS[k] for k in "add add add add add delete delete execute cancel replace".split()]
        out["kind"] = random.choice(kinds, n)
        out["size"] = random.integers(1, 4, n)
        out["order_id"], out["match_id"] = random.integers(1, n, (2, n))
    return out


@examples(150)
@given(GRID, st.booleans(), st.sampled_from([1, 7, 500]))
def test_ladders_match_reference(grid, by_level, step):
    events = grid_events(grid, 500, by_level)
    a, b = (LevelBook, twin.LevelBook) if by_level else (OrderBook, twin.OrderBook)
    a, b = a(orders=OrderTable(1, 1)), b()
    quotes_a, quotes_b = np.zeros((2, step), QUOTE_DTYPE)
    for start in range(0, len(events), step):
        chunk = events[start : start + step]
        n = a.apply_into(chunk, quotes_a)
        assert n == b.apply_into(chunk, quotes_b)
        assert quotes_a[:n].tolist() == quotes_b[:n].tolist()
        a.check()
        assert a.state_hash() == b.state_hash()
    assert (a.counts, a.levels, len(a)) == (b.counts, b.levels, len(b))
    assert a.snapshot().tolist() == b.snapshot().tolist()
    for x, y in zip(a.depth(), b.depth(), strict=True):
        assert x.tolist() == y.tolist()


@examples(100)
@given(GRID, st.booleans(), st.integers(1, 2**63 - 1))
def test_accessors_show_what_depth_shows(grid, by_level, other):
    book = LevelBook() if by_level else OrderBook()
    book.apply(grid_events(grid, 400, by_level))
    for side, levels in zip((BUY, SELL), book.depth(), strict=True):
        rows = levels[["price", "size"]].tolist()
        for start in (other, *(price for price, _ in rows[:3])):
            worst, got = _bench.book_walk(book, side, start)
            assert worst == (rows[-1][0] if rows else NO_PRICE)
            assert got == [(price, size, size) for price, size in rows if (start - price) * side > 0]


@examples(20)
@given(st.integers(0, 2**32), st.integers(1, 40))
def test_growing_table_finds_every_order(seed, step):
    # From 16 orders to thousands, with deletes and searches while entries are left in the old slots.
    random = np.random.default_rng(seed)
    n = 4_000
    events = np.zeros(n, EVENT_DTYPE)
    events["kind"] = random.choice([KINDS["add"]] * 8 + [KINDS["delete"], KINDS["replace"]], n)
    events["side"], events["price"], events["size"] = random.choice([BUY, SELL], n), random.integers(90, 110, n), 1
    events["order_id"], events["match_id"] = random.integers(0, n, (2, n))
    a, b = OrderBook(orders=OrderTable(1, 1)), twin.OrderBook()
    for start in range(0, n, step):
        a.apply(events[start : start + step])
    b.apply(events)
    a.check()
    same_state(a, b)
    assert [a.order(i) for i in range(n)] == [b.order(i) for i in range(n)]
