"""The simulated venue: hand-computed queues as event lists, and fill times against a matching engine that holds the order."""

import random

import pytest
from makers.markets import Market

from fastcore.errors import Result
from fastcore.records import BUY, SELL

MODULE = "sim.venue"


@pytest.fixture
def market(impl):
    return Market(impl)


def ahead(market):
    return [row[4] for row in market.venue.orders()]


def test_order_waits_behind_the_displayed_quantity_and_fills_when_it_is_executed(market):
    market.add(1, BUY, 100, 30)
    market.add(2, BUY, 100, 20)
    assert market.submit(BUY, 100, 10) == 0
    market.add(3, BUY, 100, 40)
    market.execute(1, 30, match_id=7)
    market.execute(2, 20, match_id=8)
    assert ahead(market) == [0]
    market.execute(3, 4, match_id=9)  # would have been ours
    market.execute(3, 36, match_id=10)
    assert market.reports() == [
        ("ack", BUY, 100, 10, 1, 50),
        ("fill", BUY, 100, 4, 1, 9),
        ("fill", BUY, 100, 6, 1, 10),
    ]
    assert market.venue.orders() == []
    assert market.venue.filled_lots == 10


def test_reports_carry_the_event_that_caused_them(market):
    market.add(1, SELL, 100, 5)
    market.submit(SELL, 100, 5)
    market.add(2, SELL, 100, 5)
    market.execute(1, 5)
    market.execute(2, 5)
    reports = market.venue.take_reports()
    assert reports["seq"].tolist() == [1, 4]
    assert reports["exch_ns"].tolist() == [1000, 4000]
    assert (reports["flags"] == 16).all()
    assert len(market.venue.take_reports()) == 0


def test_cancels_ahead_shorten_the_queue_and_cancels_behind_do_not(market):
    market.add(1, SELL, 100, 30)
    market.add(2, SELL, 100, 20)
    market.submit(SELL, 100, 10)
    market.add(3, SELL, 100, 40)
    market.cancel(1, 10)
    assert ahead(market) == [40]
    market.delete(3)
    assert ahead(market) == [40]
    market.delete(1)
    assert ahead(market) == [20]
    market.cancel(2, 20)
    assert ahead(market) == [0]


def test_replaced_recorded_order_leaves_the_queue_ahead(market):
    market.add(1, BUY, 100, 30)
    market.submit(BUY, 100, 10)
    market.replace(1, 2, 100, 30)
    assert ahead(market) == [0]
    market.execute(2, 7)
    assert market.fills() == [(100, 7, 1)]


def test_execution_at_a_worse_price_would_have_reached_us(market):
    market.add(1, BUY, 99, 50)
    market.submit(BUY, 100, 10)
    market.execute(1, 4)
    market.execute(1, 40)
    assert market.fills() == [(100, 4, 1), (100, 6, 1)]


def test_execution_at_a_better_price_does_not_reach_us(market):
    market.add(1, SELL, 99, 50)
    market.submit(SELL, 100, 10)
    market.execute(1, 50)
    assert market.fills() == []


@pytest.mark.parametrize("price", [100, 99])
def test_arrival_on_the_other_side_that_reaches_our_price_trades_with_us(market, price):
    market.submit(BUY, 100, 10)
    market.add(1, SELL, 101, 5)
    market.add(2, SELL, price, 6)
    assert market.fills() == [(100, 6, 1)]
    market.replace(1, 3, price, 9)
    assert market.fills() == [(100, 4, 1)]


def test_hidden_print_fills_only_strictly_through_our_price(market):
    market.submit(BUY, 100, 10)
    market.submit(SELL, 104, 10)
    for price in (100, 101, 104):
        market.trade(price, 5)
    assert market.fills() == []
    market.trade(99, 3)
    market.trade(105, 4)
    assert market.fills() == [(100, 3, 1), (104, 4, 2)]


def test_best_own_price_is_served_first_then_the_earliest(market):
    market.submit(SELL, 102, 10)
    market.submit(SELL, 101, 10)
    market.submit(SELL, 101, 10)
    market.add(1, SELL, 103, 100)
    market.reports()
    market.execute(1, 25)
    assert market.reports() == [("fill", SELL, 101, 10, 2, 0), ("fill", SELL, 101, 10, 3, 0), ("fill", SELL, 102, 5, 1, 0)]


def test_marketable_order_takes_what_is_displayed_and_rests_with_the_remainder(market):
    market.add(1, SELL, 101, 10)
    market.add(2, SELL, 102, 20)
    market.add(3, SELL, 103, 30)
    assert market.submit(BUY, 102, 50) == 0
    assert market.reports() == [
        ("ack", BUY, 102, 50, 1, 0),
        ("fill", BUY, 101, 10, 1, -1),
        ("fill", BUY, 102, 20, 1, -1),
    ]
    assert market.venue.orders() == [(1, BUY, 102, 20, 0)]
    assert market.book.best_ask == 101, "the recorded book is not altered"


def test_marketable_sell_has_the_same_shape(market):
    market.add(1, BUY, 99, 10)
    market.add(2, BUY, 98, 10)
    market.submit(SELL, 98, 15)
    assert market.reports() == [
        ("ack", SELL, 98, 15, 1, 0),
        ("fill", SELL, 99, 10, 1, -1),
        ("fill", SELL, 98, 5, 1, -1),
    ]
    assert market.venue.orders() == []


def test_sweep_stops_after_64_levels_and_the_rest_is_pulled(market):
    for i in range(70):
        market.add(i + 1, SELL, 100 + i, 1)
    market.submit(BUY, 1000, 100)
    reports = market.reports()
    assert [r[0] for r in reports] == ["ack"] + ["fill"] * 64 + ["pulled"]
    assert reports[-1] == ("pulled", BUY, 1000, 36, 1, 0)
    assert market.venue.orders() == []


def test_cancel_pulls_what_is_left(market):
    market.add(1, BUY, 99, 50)
    market.submit(BUY, 100, 10)
    market.execute(1, 4)
    market.reports()
    assert market.venue.cancel(1) == 0
    assert market.reports() == [("pulled", BUY, 100, 6, 1, 0)]
    assert market.venue.open_buy_lots == 0


def test_cancel_and_replace_of_unknown_order_are_rejected(market):
    assert market.venue.cancel(5) == Result.UNKNOWN_ORDER
    assert market.move(6, 100, 10) == Result.UNKNOWN_ORDER
    assert [(r[0], r[4], r[5]) for r in market.reports()] == [("reject", 5, Result.UNKNOWN_ORDER), ("reject", 6, Result.UNKNOWN_ORDER)]


def test_replace_at_the_same_price_with_less_keeps_the_place(market):
    market.add(1, BUY, 100, 30)
    market.submit(BUY, 100, 10)
    market.add(2, BUY, 100, 40)
    assert market.move(1, 100, 6) == 0
    assert market.venue.orders() == [(2, BUY, 100, 6, 30)]
    assert market.reports()[1:] == [("pulled", BUY, 100, 10, 1, 0), ("ack", BUY, 100, 6, 2, 30)]
    assert market.venue.open_buy_lots == 6


@pytest.mark.parametrize(("price", "size", "queue"), [(100, 11, 70), (101, 10, 0), (99, 5, 0)])
def test_replace_with_more_or_elsewhere_goes_to_the_back(market, price, size, queue):
    market.add(1, BUY, 100, 30)
    market.submit(BUY, 100, 10)
    market.add(2, BUY, 100, 40)
    assert market.move(1, price, size) == 0
    assert market.venue.orders() == [(2, BUY, price, size, queue)]


@pytest.mark.parametrize(
    ("price", "size", "code"), [(0, 1, Result.BAD_PRICE), (-5, 1, Result.BAD_PRICE), (2**61, 1, Result.BAD_PRICE), (5, 0, Result.BAD_SIZE)]
)
def test_order_outside_the_range_is_rejected_and_the_old_one_stays(market, price, size, code):
    market.submit(BUY, 100, 10)
    assert market.submit(BUY, price, size) == code
    assert market.move(1, price, size) == code
    assert [r[0] for r in market.reports()] == ["ack", "reject", "reject"]
    assert market.venue.orders() == [(1, BUY, 100, 10, 0)]


def test_order_without_a_side_is_rejected(market):
    assert market.submit(0, 100, 10) == Result.BAD_SIZE


def test_full_venue_rejects_and_a_replace_still_works(impl):
    market = Market(impl, capacity=1)
    market.submit(BUY, 100, 10)
    assert market.submit(BUY, 101, 10) == Result.FULL
    assert market.submit(SELL, 105, 10) == 0
    assert market.move(1, 101, 10) == 0
    assert [row[:3] for row in market.venue.orders()] == [(4, BUY, 101), (3, SELL, 105)]


@pytest.mark.parametrize(("kwargs", "rule"), [({"capacity": 0}, "capacity"), ({"symbol_id": -1}, "symbol_id")])
def test_constructor_states_the_rule(impl, kwargs, rule):
    with pytest.raises(ValueError, match=f"{rule} must be in .*: {rule}="):
        impl.Venue(**kwargs)


def test_unknown_kind_is_an_error(impl):
    with pytest.raises(ValueError, match="kind must be one of"):
        impl.Venue().apply(99, 1, 1, 1, 1)


def test_many_reports_are_kept(market):
    for _ in range(2000):
        market.submit(BUY, 100, 1)
        market.venue.cancel(market.venue.orders()[0][0])
    assert len(market.venue.take_reports()) == 4000


# ---- order-level exactness (theory.md section 5): the same flow through a matching engine that really holds the order


class Matching:
    """A plain FIFO matching engine that also writes the recorded stream: what a venue would publish."""

    def __init__(self):
        self.queues = {BUY: {}, SELL: {}}  # price -> list of [order_id, size]
        self.sides = {}
        self.record = []
        self.filled = {}

    def best(self, side):
        prices = self.queues[side]
        return (max(prices) if side == BUY else min(prices)) if prices else None

    def limit(self, order_id, side, price, size, rests=True):
        """Match at `price` or better; the remainder rests, or lapses."""
        other = -side
        while size and (best := self.best(other)) is not None and side * (price - best) >= 0:
            queue = self.queues[other][best]
            resting = queue[0]
            traded = min(size, resting[1])
            size -= traded
            resting[1] -= traded
            self.filled[resting[0]] = self.filled.get(resting[0], 0) + traded
            self.record.append(("execute", resting[0], traded))
            if not resting[1]:
                self._drop(resting[0])
        if size and rests:
            self.queues[side].setdefault(price, []).append([order_id, size])
            self.sides[order_id] = (side, price)
            self.record.append(("add", order_id, side, price, size))

    def cancel(self, order_id):
        if order_id in self.sides:
            self._drop(order_id)
            self.record.append(("delete", order_id))

    def _drop(self, order_id):
        side, price = self.sides.pop(order_id)
        queue = self.queues[side][price]
        queue[:] = [o for o in queue if o[0] != order_id]
        if not queue:
            del self.queues[side][price]


def random_flow(rng, n, rests):
    """Orders of a market around 100, each step a limit order, an aggressive order or a cancel of an earlier one."""
    flow = []
    for i in range(1, n + 1):
        kind = rng.random()
        side = rng.choice((BUY, SELL))
        if kind < 0.5:
            flow.append(("limit", i, side, 100 - side * rng.randint(1, 5), rng.randint(1, 20)))
        elif kind < 0.72:
            flow.append(("aggress", i, side, rng.randint(1, 30), rng.choice((0, 0, 1, 2)) if rests else 0))
        else:
            flow.append(("cancel", rng.randint(max(1, i - 60), i)))
    return flow


@pytest.mark.parametrize(("own_size", "rests"), [(1, True), (1, False), (7, False)])
@pytest.mark.parametrize("seed", range(40))
def test_fill_times_equal_a_matching_engine_that_holds_the_order(impl, seed, own_size, rests):
    rng = random.Random(1000 * own_size + seed + rests)
    flow = random_flow(rng, 400, rests)
    insert_at = rng.randint(50, 150)
    own_side = rng.choice((BUY, SELL))
    own_offset = rng.randint(0, 3)

    # The recorded world, without our order. Aggressive orders are sized and priced by what is displayed there.
    recorded = Matching()
    market = Market(impl)
    position, own_price, told, venue_times, orders = 0, None, [], [], []
    for step, item in enumerate(flow):
        if step == insert_at:
            best = recorded.best(own_side)
            own_price = (best if best is not None else 100 - own_side * 3) - own_side * own_offset
            if own_price <= 0 or ((b := recorded.best(-own_side)) is not None and own_side * (own_price - b) >= 0):
                return  # would trade on entry: another test
            market.submit(own_side, own_price, own_size)
            market.reports()
        if item[0] == "limit":
            _, order_id, side, price, size = item
            # Passive limit orders: never through the other side of either world.
            if (b := recorded.best(-side)) is not None and side * (price - b) >= 0:
                price = b - side
            if own_price is not None and side == -own_side and side * (price - own_price) >= 0 and not rests:
                price = own_price - side
            orders.append(("limit", order_id, side, price, size, True))
        elif item[0] == "aggress":
            _, order_id, side, size, through = item
            best = recorded.best(-side)
            if best is None:
                continue
            if not rests:
                size = min(size, sum(s for _, s in recorded.queues[-side][best]))
            orders.append(("limit", order_id, side, best + side * through, size, rests))
        else:
            orders.append(item)
        told.append((step, orders[-1]))
        apply_order(recorded, orders[-1])
        for message in recorded.record[position:]:
            getattr(market, message[0])(*message[1:])
        position = len(recorded.record)
        market.venue.check()
        venue_times += [(step, size) for _, size, _ in market.fills()]

    # The true world, in which the order really stands in the queue.
    truth, true_times = Matching(), []
    inserted = False
    for step, order in told:
        if step >= insert_at and not inserted:
            truth.limit("own", own_side, own_price, own_size)
            inserted = True
        before = truth.filled.get("own", 0)
        apply_order(truth, order)
        after = truth.filled.get("own", 0)
        if after > before:
            true_times.append((step, after - before))
    summed = {}
    for step, size in venue_times:
        summed[step] = summed.get(step, 0) + size
    assert sorted(summed.items()) == true_times


def apply_order(engine, order):
    if order[0] == "limit":
        engine.limit(*order[1:])
    else:
        engine.cancel(order[1])
