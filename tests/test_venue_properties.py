"""The venue against its twin on random streams of market events and own orders, then laws."""

import random

from hypothesis import given
from hypothesis import strategies as st
from kit import examples
from makers.markets import Market

from fastcore.records import BUY, SELL
from fastcore.reference import venue as reference
from fastcore.sim import venue as compiled

ACTIONS = st.lists(
    st.tuples(
        st.sampled_from("add add add execute execute cancel delete replace trade submit submit pull move".split()),
        st.integers(0, 2**30),
    ),
    max_size=120,
)


def drive(impl, actions):
    """Apply actions to a market of `impl`; returns (market, trace of reports and own orders after every action)."""
    market = Market(impl, capacity=4)
    live, next_id, trace = [], 1, []
    for action, number in actions:
        rng = random.Random(number)
        side = rng.choice((BUY, SELL))
        price, size = 100 - side * rng.randint(-2, 5), rng.randint(1, 20)
        own = [row[0] for row in market.venue.orders()]
        if action == "add":
            market.add(next_id, side, price, size)
            live.append(next_id)
            next_id += 1
        elif action == "submit":
            market.submit(side, price, size if rng.random() < 0.95 else 0)
        elif action == "pull":
            market.venue.cancel(rng.choice([*own, 10**6]))
        elif action == "move":
            market.move(rng.choice([*own, 10**6]), price if rng.random() < 0.95 else -1, size)
        elif action == "trade":
            market.trade(price, size)
        elif live:
            order_id = rng.choice(live) if rng.random() < 0.6 else live[0]
            left = market.book.order(order_id)[2]
            if action == "delete":
                market.delete(order_id)
            elif action == "replace":
                market.replace(order_id, next_id, price, size)
                live.append(next_id)
                next_id += 1
            else:
                getattr(market, action)(order_id, rng.randint(1, left))
            if market.book.order(order_id) is None:
                live.remove(order_id)
        market.venue.check()
        trace.append((market.reports(), market.venue.orders(), market.venue.open_buy_lots, market.venue.open_sell_lots))
    return market, trace


@examples(150)
@given(ACTIONS)
def test_venue_matches_reference(actions):
    ours, our_trace = drive(compiled, actions)
    theirs, their_trace = drive(reference, actions)
    assert our_trace == their_trace
    assert ours.venue.filled_lots == theirs.venue.filled_lots


@examples(150)
@given(ACTIONS)
def test_venue_conserves_quantity(actions):
    _market, trace = drive(compiled, actions)
    left = {}
    for reports, orders, _, _ in trace:
        for kind, _, _, size, order_id, _ in reports:
            if kind == "ack":
                left[order_id] = size
            elif kind == "fill":
                left[order_id] -= size
            elif kind == "pulled":
                assert left[order_id] == size
                left[order_id] = 0
        assert {o[0]: o[3] for o in orders} == {i: n for i, n in left.items() if n}


@examples(100)
@given(ACTIONS)
def test_fills_are_never_worse_than_the_limit(actions):
    _, trace = drive(compiled, actions)
    limits = {}
    for reports, _, _, _ in trace:
        for kind, side, price, _, order_id, _ in reports:
            if kind == "ack":
                limits[order_id] = price
            elif kind == "fill":
                assert side * (limits[order_id] - price) >= 0


@examples(100)
@given(ACTIONS)
def test_queue_ahead_never_grows(actions):
    _, trace = drive(compiled, actions)
    ahead = {}
    for _, orders, _, _ in trace:
        for order_id, _, _, _, queue in orders:
            assert queue <= ahead.get(order_id, queue)
            ahead[order_id] = queue


@examples(60)
@given(ACTIONS)
def test_market_without_own_orders_gives_no_reports(actions):
    _, trace = drive(compiled, [a for a in actions if a[0] not in ("submit", "pull", "move")])
    assert all(not reports for reports, _, _, _ in trace)
