"""The venue against its twin on random streams of market events and own orders, then laws."""

import random
from functools import partial

from hypothesis import given
from hypothesis import strategies as st
from kit import examples
from makers.markets import Market

from fastcore.records import BUY, FLAGS, SELL
from fastcore.reference import venue as reference
from fastcore.sim import venue as compiled

ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(
            "add add add add execute execute execute cancel delete replace trade cross clear state "
            "submit submit submit pull move amend expire".split()
        ),
        st.integers(0, 2**30),
    ),
    max_size=160,
)
TERMS = [0, 0, 0, 0, 4, 8, 1, 32, 12 | 40 * 256, 12 | 80 * 256, 2]


def drive(impl, actions, terms=TERMS, **options):
    """Apply actions to a market of `impl`; returns (market, trace of reports and own orders after every action)."""
    market = Market(impl, capacity=4, **options)
    live, next_id, trace, image = [], 1, [], 0
    for action, number in actions:
        rng = random.Random(number)
        side = rng.choice((BUY, SELL))
        price, size = 100 - side * rng.randint(-2, 5), rng.randint(1, 20)
        own = [row[0] for row in market.venue.orders()]
        image -= image > 0
        flags = FLAGS["snapshot"] if image else rng.choice((0, 0, 0, 0, 0, FLAGS["not_printable"]))
        if action == "add":
            market.add(next_id, side, price, size, flags & FLAGS["snapshot"])
            live.append(next_id)
            next_id += 1
        elif action == "submit":
            market.submit(side, price, size if rng.random() < 0.95 else 0, rng.choice(terms))
        elif action == "pull":
            market.venue.cancel(rng.choice([*own, 10**6]))
        elif action == "move":
            market.move(rng.choice([*own, 10**6]), price if rng.random() < 0.95 else -1, size)
        elif action == "amend":
            market.venue.amend(market.book, rng.choice([*own, 10**6]), price, size - (rng.random() < 0.05) * 30)
        elif action == "expire":
            market.venue.expire(market.seq * 1000)
        elif action == "trade":
            market.trade(price, size, flags & FLAGS["not_printable"])
        elif action == "cross":
            market.cross(price, size)
        elif action == "state":
            market.venue.trading = rng.choice((None, None, "trading", "quotation", "paused"))
        elif action == "clear":
            market.clear()
            live, image = [], rng.randint(0, 6)
        elif live:
            order_id = rng.choice(live) if rng.random() < 0.4 else live[0]
            left = market.book.order(order_id)[2]
            if action == "delete":
                market.delete(order_id)
            elif action == "replace":
                market.replace(order_id, next_id, price, size)
                live.append(next_id)
                next_id += 1
            elif action == "execute":
                market.execute(order_id, rng.randint(1, left), flags=flags & FLAGS["not_printable"])
            else:
                market.cancel(order_id, rng.randint(1, left))
            if market.book.order(order_id) is None:
                live.remove(order_id)
        market.venue.check()
        v = market.venue
        reports = v.take_reports()
        counts = (v.open_buy_lots, v.open_sell_lots, v.due_ns, v.displaced_lots, v.deferred_lots, v.forgotten)
        trace.append((market.rows(reports), v.orders(), *counts, reports["flags"].tolist()))
    return market, trace


@examples(400)
@given(ACTIONS, st.sampled_from([None, None, 0, 7000]), st.sampled_from(["refuse", "cancel"]), st.booleans())
def test_venue_matches_reference(actions, displaced_ns, self_trade, details):
    run = partial(drive, actions=actions, displaced_ns=displaced_ns, self_trade=self_trade, details=details)
    ours, our_trace = run(compiled)
    theirs, their_trace = run(reference)
    assert our_trace == their_trace
    assert ours.venue.filled_lots == theirs.venue.filled_lots


@examples(150)
@given(ACTIONS)
def test_venue_conserves_quantity(actions):
    _market, trace = drive(compiled, actions)
    left, filled = {}, {}
    for reports, orders, *_ in trace:
        for kind, _, _, size, order_id, _ in reports:
            if kind == "ack":
                left[order_id] = size - filled.setdefault(order_id, 0)
            elif kind == "fill":
                left[order_id] -= size
                filled[order_id] += size
            elif kind == "pulled":
                assert left[order_id] == size
                left[order_id] = 0
        assert {o[0]: o[3] for o in orders} == {i: n for i, n in left.items() if n}


@examples(100)
@given(ACTIONS)
def test_fills_are_never_worse_than_the_limit(actions):
    _, trace = drive(compiled, actions, terms=[terms for terms in TERMS if terms & 3 == 0])
    limits = {}
    for reports, *_ in trace:
        for kind, side, price, _, order_id, _ in reports:
            if kind == "ack":
                limits[order_id] = price
            elif kind == "fill":
                assert side * (limits[order_id] - price) >= 0


@examples(100)
@given(ACTIONS)
def test_queue_ahead_never_grows(actions):
    _, trace = drive(compiled, [a for a in actions if a[0] not in ("amend", "cross")])
    ahead = {}
    for _, orders, *_ in trace:
        for order_id, _, _, _, queue in orders:
            assert queue <= ahead.get(order_id, queue)
            ahead[order_id] = queue


@examples(100)
@given(ACTIONS)
def test_own_orders_never_cross(actions):
    _, trace = drive(compiled, actions)
    for _, orders, *_ in trace:
        bids, asks = ([row[2] for row in orders if row[1] == side] for side in (BUY, SELL))
        assert max(bids, default=0) < min(asks, default=10**9)


@examples(60)
@given(ACTIONS)
def test_market_without_own_orders_gives_no_reports(actions):
    _, trace = drive(compiled, [a for a in actions if a[0] not in ("submit", "pull", "move", "amend")])
    assert not any(row[0] for row in trace)


@examples(15)
@given(st.integers(0, 2**32), st.booleans())
def test_venue_keeps_hundreds_of_orders_as_its_twin_does(seed, by_price):
    """They come and go at either end and in between, so that the memory they lie in is used from end to end."""
    rng = random.Random(seed)
    markets = [Market(impl, capacity=150) for impl in (compiled, reference)]
    for market in markets:
        market.add(1, BUY, 1_000, 50)
        market.add(2, SELL, 2_000, 50)
    for step in range(700):
        side, what = rng.choice((BUY, SELL)), rng.random()
        near = rng.randint(1, 8) if step % 300 < 150 else rng.randint(1, 400)
        price = 1_500 - side * (400 if by_price else near)
        own = [row[0] for row in markets[1].venue.orders()]
        chosen, size = rng.choice(own or [1]), rng.randint(1, 9)
        for market in markets:
            if what < 0.55:
                market.submit(side, price, size)
            elif what < 0.8:
                market.venue.cancel(chosen)
            elif what < 0.95:
                market.move(chosen, price, size)
            else:
                market.trade(price, 20)
        if step % 50 == 49:
            one, two = (market.venue.take_reports().tobytes() for market in markets)
            assert one == two
            assert markets[0].venue.orders() == markets[1].venue.orders()
            markets[0].venue.check()
    assert len(markets[0].venue.orders()) > 30
