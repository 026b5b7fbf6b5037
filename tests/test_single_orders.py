"""Orders that a strategy sends by itself: what comes of them is told through the queue of events, and the gate is in their path."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit import examples
from makers.given import SECOND, TWO_SIDED, adds, execution, run
from makers.itch import random_day

import hft
from fastcore.errors import Result
from fastcore.records import BUY, KINDS, SELL
from fastcore.risk import RiskLimits
from hft.strategy import Order, Strategy, StrategyError


class Script(Strategy):
    """Does what it is told at seconds of the day, and writes down what it is told."""

    def __init__(self, **script):
        super().__init__()
        self.script = {int(name[1:]): action for name, action in script.items()}

    def on_start(self):
        self.told, self.fills, self.inside = [], [], False

    def on_book(self, m):
        action = self.script.pop(self.now // SECOND, None)
        if action is not None:
            self.inside = True
            action(self, m)
            self.inside = False

    def on_fill(self, m, fill):
        self.fills.append((fill.side, fill.price, round(fill.size, 6), fill.maker, fill.cause, fill.order))

    def on_order(self, m, order):
        assert not self.inside, "a hook inside of a hook"
        self.told.append((order.id, order.state, round(order.filled, 6), order.refused, order.why))


# One event a second that changes the best bid's size, so that on_book is called.
def ticking(*rows, until=9):
    events = [(t * SECOND, 100 + t, BUY, 1000, 10) for t in range(2, until)]
    return adds(*TWO_SIDED, *sorted([*events, *rows]))


def played(*rows, **script):
    options = {name: script.pop(name) for name in ("latency", "limits") if name in script}
    strategy = Script(**script)
    result = run(strategy, ticking(*rows), **options)
    return strategy, result


def keep(name, make):
    def action(strategy, m):
        setattr(strategy, name, make(m))

    return action


def test_market_order_takes_the_best_price_and_its_rest_is_pulled():
    s, result = played(t2=keep("order", lambda m: m.buy(60.0)))
    assert s.told == [
        (1, "working", 0.0, False, ""), (1, "partly filled", 5.0, False, ""), (1, "cancelled", 5.0, False, "")
    ]  # fmt: skip
    assert s.fills == [(1, 10.2, 5.0, False, "took", 1)]
    assert (s.order.price, s.order.size, s.order.filled, s.order.left, s.order.done) == (None, 60.0, 5.0, 55.0, True)
    assert result.orders["state"].tolist() == ["cancelled"]


def test_limit_order_waits_and_is_filled():
    s, _ = played((4 * SECOND, 3, SELL, 990, 8), t2=keep("order", lambda m: m.buy(1.0, 9.95)))
    assert s.told == [(1, "working", 0.0, False, ""), (1, "partly filled", 0.8, False, "")]
    assert s.fills == [(1, 9.95, 0.8, True, "crossing", 1)]
    assert (s.order.state, s.order.symbol, s.order.side, s.order.tif) == ("partly filled", "A", 1, "day")


@pytest.mark.parametrize(
    ("send", "told", "resting"),
    [
        (lambda m: m.buy(6.0, 10.2, "ioc"), ["working", "partly filled", "cancelled"], 0),
        (lambda m: m.buy(6.0, 10.2, "fok"), ["refused"], 0),
        (lambda m: m.buy(5.0, 10.2, "fok"), ["working", "filled"], 0),
        (lambda m: m.buy(6.0, 10.2), ["working", "partly filled"], 1),
        (lambda m: m.buy(6.0, 10.2, post_only=True), ["refused"], 0),
        (lambda m: m.sell(6.0, 10.05, post_only=True), ["working"], 1),
        (lambda m: m.sell(6.0, 10.05, "gtd", until=4 * SECOND), ["working", "expired"], 0),
        (lambda m: m.sell(size_lots=60, price_ticks=1005), ["working"], 1),
    ],
)
def test_terms_of_orders(send, told, resting):
    s, result = played(t2=keep("order", send))
    assert [row[1] for row in s.told] == told
    assert len(result.engine.source.venues[0].orders()) == resting
    assert len(result.engine.desk.orders()) == resting
    assert result.engine.desk.in_flight == 0
    assert s.order.done == (resting == 0)


@pytest.mark.parametrize(
    ("send", "why"),
    [
        (lambda m: m.buy(1.0, 9.97), "off increment: a price must be a multiple of 0.05: price=9.97"),
        (lambda m: m.buy(1.0, 9.951), "off increment: a price must be a multiple of 0.05: price=9.951"),
        (lambda m: m.buy(size_lots=10, price_ticks=996), "off increment: a price must be a multiple of 0.05: price_ticks=996"),
        (lambda m: m.sell(1.0, -1.0), "bad price: a price must be positive and finite: price=-1.0"),
        (lambda m: m.sell(1.0, 0), "bad price: a price must be positive and finite: price=0"),
        (lambda m: m.buy(1.0, float("inf")), "bad price: a price must be positive and finite: price=inf"),
        (lambda m: m.buy(0.15, 9.95), "off lot: a size must be a multiple of 0.1: size=0.15"),
        (lambda m: m.buy(0.0, 9.95), "bad size: a size must be positive and below 1e15 lots: size=0.0"),
        (lambda m: m.buy(-3, 9.95), "bad size: a size must be positive and below 1e15 lots: size=-3"),
        (lambda m: m.buy(1e18, 9.95), "bad size: a size must be positive and below 1e15 lots: size=1e+18"),
    ],
)
def test_what_is_off_the_grid_is_refused_with_the_rule_and_never_leaves(send, why):
    s, result = played(t2=keep("order", send))
    assert s.told == [(1, "refused", 0.0, True, why)]
    assert (s.order.refused, s.order.why, s.order.done) == (True, why, True)
    assert result.engine.desk.orders_sent == 0
    assert result.engine.desk.risk_rejects == 1
    assert result.rejects["reason"].tolist() == [why.split(":")[0]]


@pytest.mark.parametrize(
    "send", [lambda m: m.buy(1.0, float("nan")), lambda m: m.buy(float("nan")), lambda m: m.buy(1.0, tif="gtc"), lambda m: m.buy(),
             lambda m: m.buy(1.0, 9.95, price_ticks=995), lambda m: m.buy(1.0, tif="ioc", post_only=True), lambda m: m.buy(1.0).move()],
)  # fmt: skip
def test_what_makes_no_sense_is_an_error_in_the_hook(send):
    with pytest.raises(StrategyError, match=r"ValueError: (a price|a size|time|an order|terms|a move) must"):
        played(t2=keep("order", send))


def test_orders_outside_of_hooks_are_errors():
    class Early(Strategy):
        def on_start(self):
            self.markets[0].buy(1.0)

    with pytest.raises(StrategyError, match="orders need a time: send them inside of hooks behind on_start: symbol=A"):
        run(Early(), ticking())
    s, _ = played(t2=keep("order", lambda m: m.buy(1.0, 9.95)))
    for call in (lambda: s.markets[0].buy(1.0), s.order.cancel, lambda: s.order.move(9.9)):
        with pytest.raises(RuntimeError, match="a market is there inside hooks alone"):
            call()


@pytest.mark.parametrize("latency", ["0", "order=100ms,response=200ms", "order=700ms,response=1900ms"])
def test_order_is_moved_and_cancelled(latency):
    s, result = played(
        t2=keep("order", lambda m: m.buy(3.0, 9.9)),
        t5=lambda s, m: s.order.move(9.95, 5.0),
        t8=lambda s, m: s.order.cancel(),
        latency=latency,
    )
    assert [row[:3] for row in s.told][:3] == [(1, "working", 0.0), (1, "working", 0.0), (1, "cancelled", 0.0)][: len(s.told)]
    sent = result._reports
    assert [(int(r["price"]), int(r["size"])) for r in sent if r["kind"] == KINDS["ack"]] == [(990, 30), (995, 50)]
    assert result.orders["size"].tolist() == [5.0]
    assert result.orders["price"].tolist() == [9.95]


def test_one_change_is_in_flight_and_the_newest_wish_wins():
    s, result = played(
        t2=keep("order", lambda m: m.buy(3.0, 9.9)),
        t3=lambda s, m: (s.order.move(9.85), s.order.move(9.8), s.order.move(size=2.0)),
        t6=lambda s, m: (s.order.move(9.75), s.order.cancel()),
        latency="order=1500ms,response=1ms",
    )
    acks = [(int(r["price"]), int(r["size"])) for r in result._reports if r["kind"] == KINDS["ack"]]
    assert acks == [(990, 30), (980, 20), (975, 20)]
    assert result.engine.desk.orders() == [(1, 0, 1, 975, 20, 0, "leaving", "order")], "the cancel waited for the answer"


def test_amend_down_keeps_the_place_and_a_refused_move_leaves_the_order():
    s, result = played(
        (2 * SECOND, 50, BUY, 995, 70),
        t2=keep("order", lambda m: m.buy(3.0, 9.95, post_only=True)),
        t3=lambda s, m: s.order.move(size=2.0),
        t4=lambda s, m: s.order.move(10.2),
        t5=lambda s, m: s.order.move(9.93),
    )
    assert s.told == [
        (1, "working", 0.0, False, ""),
        (1, "working", 0.0, False, ""),
        (1, "working", 0.0, True, "post only"),
        (1, "working", 0.0, True, "off increment: a price must be a multiple of 0.05: price=9.93"),
    ]
    acks = [(int(r["size"]), int(r["match_id"])) for r in result._reports if r["kind"] == KINDS["ack"]]
    assert acks == [(30, 70), (20, 70)]
    assert result.engine.desk.orders() == [(1, 0, 1, 995, 20, 0, "working", "order")]


def test_move_and_cancel_of_an_order_that_is_done_say_no_and_are_counted():
    def late(s, m):
        s.answers = [s.order.cancel(), s.order.move(9.9)]

    s, result = played(t2=keep("order", lambda m: m.buy(1.0)), t4=late)
    assert s.answers == [False, False]
    assert result.not_sent == {"cancel of an order that is done": 1, "move of an order that is done": 1}


def test_cancel_races_with_a_fill():
    s, result = played(
        (4 * SECOND, 3, SELL, 995, 30),
        t2=keep("order", lambda m: m.buy(1.0, 9.95)),
        t3=lambda s, m: s.order.cancel(),
        latency="order=1500ms,response=1ms",
    )
    assert s.told == [(1, "working", 0.0, False, ""), (1, "filled", 1.0, False, ""), (1, "filled", 1.0, True, "unknown order")]
    assert result.engine.desk.in_flight == 0


def test_amend_that_meets_a_fill_never_has_it_twice():
    s, result = played(
        (4 * SECOND, 3, SELL, 995, 6),
        t2=keep("order", lambda m: m.buy(1.0, 9.95)),
        t3=lambda s, m: s.order.move(9.9),
        latency="order=1500ms,response=1ms",
    )
    assert s.order.filled == pytest.approx(0.6)
    assert result.engine.source.venues[0].orders()[0][2:4] == (990, 4)


@pytest.mark.parametrize(
    ("limits", "send", "code"),
    [
        (RiskLimits(10, 100, 100), lambda m: m.buy(1.1, 9.95), Result.LIMIT_SIZE),
        (RiskLimits(100, 10, 100), lambda m: m.buy(1.1), Result.LIMIT_POSITION),
        (RiskLimits(100, 100, 10), lambda m: m.buy(1.0, 9.95), Result.LIMIT_COLLAR),
        (RiskLimits(100, 100, 9), lambda m: m.buy(1.0), Result.LIMIT_COLLAR),
        (None, lambda m: m.buy(1.0, 9.95), None),
    ],
)
def test_gate_is_in_the_path(limits, send, code):
    s, result = played(t2=keep("order", send), **({"limits": limits} if limits else {}))
    if code is None:
        assert not s.order.refused
        return
    assert s.told == [(1, "refused", 0.0, True, code.name.lower().replace("_", " "))]
    assert result.engine.desk.orders_sent == 0
    assert sum(result.engine.desk.limits.rejected.values()) == 1


def test_limits_count_what_is_open_and_in_flight():
    # 10 lots may be held. An amend in flight counts with the larger size, the limit is free again with the cancel.
    def second(s, m):
        s.more = [m.buy(0.5, 9.95), m.buy(0.6, 9.95), m.sell(1.0, 10.05)]

    s, _ = played(
        t2=keep("order", lambda m: m.buy(0.3, 9.9)),
        t3=lambda s, m: s.order.move(size=0.5),
        t4=second,
        t5=lambda s, m: (s.order.cancel(), s.more[0].cancel()),
        t6=keep("last", lambda m: m.buy(1.0, 9.9)),
        limits=RiskLimits(100, 10, 1000),
    )
    assert [order.refused for order in s.more] == [False, True, False]
    assert s.more[1].why == "limit position"
    assert not s.last.refused


def test_room_comes_back_with_the_answer():
    # 10 lots may be held: an order that became smaller, and a move that the venue refused, count with what is left.
    s, _ = played(
        t2=keep("order", lambda m: m.buy(1.0, 9.9, post_only=True)),
        t3=lambda s, m: s.order.move(size=0.4),
        t4=keep("more", lambda m: m.buy(0.4, 9.9)),
        t5=lambda s, m: s.order.move(10.2, 0.6),
        t6=keep("last", lambda m: m.buy(0.2, 9.9)),
        t7=keep("beyond", lambda m: m.buy(0.1, 9.9)),
        limits=RiskLimits(100, 10, 1000),
    )
    assert [order.refused for order in (s.more, s.last, s.beyond)] == [False, False, True]
    assert (s.order.size, s.order.price) == (0.4, 9.9)


def test_own_orders_that_would_meet_are_refused_by_the_gate():
    limits = RiskLimits(1000, 1000, 1000)
    limits.change(prevent_self_trade=True)
    s, result = played(
        t2=keep("order", lambda m: m.sell(1.0, 10.05)),
        t3=keep("met", lambda m: m.buy(1.0, 10.05)),
        t4=keep("clear", lambda m: m.buy(1.0, 10.0)),
        t5=lambda s, m: s.clear.move(10.05),
        limits=limits,
    )
    assert (s.met.state, s.met.why) == ("refused", "self trade")
    assert (s.clear.state, s.clear.why) == ("working", "self trade")
    assert [row[0] for row in result.engine.desk.orders()] == [1, 3]


def test_kill_switch_pulls_single_orders_and_refuses_new_ones():
    limits = RiskLimits(1000, 1000, 1000)
    s, result = played(
        t2=keep("order", lambda m: m.sell(1.0, 10.05)), t4=lambda s, m: limits.kill(by="test"), t6=keep("more", lambda m: m.buy(1.0)),
        limits=limits,
    )  # fmt: skip
    assert (s.order.state, s.more.state, s.more.why) == ("cancelled", "refused", "killed")
    assert result.engine.desk.orders() == []


def test_more_orders_than_the_desk_holds_are_refused_and_none_is_overwritten():
    class Many(Strategy):
        def on_start(self):
            self.orders, self.states = [], []

        def on_book(self, m):
            for _ in range(400 if len(self.orders) < 1200 else 0):
                self.orders.append(m.buy(0.1, 9.9))

    strategy = Many()
    result = run(strategy, ticking(until=5), latency="order=1s,response=9999s")
    assert [order.state for order in strategy.orders] == ["sent"] * 1024 + ["refused"] * 176
    assert {order.why for order in strategy.orders[1024:]} == {"full"}
    assert [row[0] for row in result.engine.desk.orders()] == list(range(1, 1025))
    assert result.engine.desk.in_flight == 1024


def test_places_of_orders_that_are_done_are_taken_again():
    class Churn(Strategy):
        def on_start(self):
            self.orders, self.waits = [], None

        def on_book(self, m):
            self.waits = self.waits or m.buy(0.1, 9.0)
            self.orders += [m.buy(0.1, 9.9, "ioc") for _ in range(700)]

    strategy = Churn()
    result = run(strategy, ticking(until=6))
    assert {order.state for order in strategy.orders} == {"cancelled"}
    assert strategy.waits.state == "working"
    assert [row[0] for row in result.engine.desk.orders()] == [strategy.waits.id]
    assert len({order.id for order in strategy.orders}) == len(strategy.orders)


def test_orders_beside_quotes_are_their_own():
    class Both(Strategy):
        def on_start(self):
            self.order, self.told = None, []

        def on_book(self, m):
            m.quote(bid=9.9, ask=10.15, size=1.0)
            if self.order is None:
                self.order = m.buy(2.0, 9.95)

        def on_order(self, m, order):
            self.told.append((order.id, order.state, order is self.order))
            self.seen = m.working, m.queue_ahead
            if order is not self.order and order.side > 0:
                with pytest.raises(
                    RuntimeError, match="an order of wanted quotes is changed by quote and pull: symbol=A order="
                ):
                    order.cancel()

        def on_trade(self, m, trade):
            self.working, self.ahead, self.copy = m.working, m.queue_ahead, m.snapshot()

    strategy = Both()
    result = run(strategy, ticking((1 * SECOND, 60, BUY, 995, 7)), execution(9 * SECOND, 2, 1))
    assert sorted(set(strategy.told)) == [
        (1, "working", True),
        (2, "working", False),
        (3, "partly filled", False),
        (3, "working", False),
    ]
    assert strategy.working == (9.95, 10.15, pytest.approx(3.0), pytest.approx(0.9))
    assert strategy.ahead == (pytest.approx(0.7), 0.0)
    assert strategy.copy.working == strategy.working
    assert (strategy.copy.symbol, strategy.copy.bid, strategy.copy.profit) == ("A", 10.0, 0.005)
    assert len(result.engine.desk.orders()) == 3


def test_profit_of_a_market_is_that_of_the_account():
    class Holds(Strategy):
        def on_book(self, m):
            if not m.position:
                m.buy(1.0)
            self.seen = m.position, m.average, m.profit

    strategy = Holds()
    result = run(strategy, ticking())
    assert strategy.seen == (1.0, pytest.approx(10.2), pytest.approx(-0.1))
    assert result.stats["symbols"]["A"]["profit"] == pytest.approx(-0.1)


# ---- at random ----

OPERATIONS = st.lists(
    st.tuples(
        st.integers(1, 250), st.sampled_from(["buy", "sell", "move", "cancel"]), st.integers(-4, 4), st.integers(1, 4),
        st.sampled_from([("day", False), ("ioc", False), ("fok", False), ("day", True)]), st.integers(0, 30),
    ),
    max_size=40,
)  # fmt: skip
LATENCIES = st.sampled_from(["0", "1ms", "order=4ms,response=0", "order=normal(3ms,2ms),response=lognormal(4ms,3ms)"])


@examples(50)
@given(st.integers(0, 10**6), OPERATIONS, LATENCIES)
def test_orders_are_what_the_venue_says_whatever_happens(tmp_path_factory, seed, operations, latency):
    class Random(Strategy):
        def on_start(self):
            self.books, self.orders, self.most = 0, [], 0.0
            self.left = sorted(operations)

        def on_book(self, m):
            self.books += 1
            while self.left and self.left[0][0] <= self.books:
                _, what, step, size, (tif, post_only), number = self.left.pop(0)
                price = round((m.bid or 99.0) + 0.01 * step, 2)
                if what in ("buy", "sell"):
                    market = step == 4 and not post_only
                    send = m.buy if what == "buy" else m.sell
                    self.orders.append(send(100.0 * size, None if market else price, tif, post_only=post_only))
                elif self.orders:
                    order = self.orders[number % len(self.orders)]
                    if what == "cancel":
                        order.cancel()
                    else:
                        order.move(price if step else None, 100.0 * size)

        def on_order(self, m, order):
            assert order in self.orders
            assert order.filled <= max(order.size, 400.0)

        def on_fill(self, m, fill):
            self.most = max(self.most, abs(m.position))

    strategy = Random()
    path = tmp_path_factory.mktemp("day") / "day.itch"
    path.write_bytes(random_day(seed, 500))
    result = hft.backtest(strategy, path, symbols=["AAA"], latency=latency, limits=RiskLimits(10**6, 700, 10**6))
    desk, orders = result.engine.desk, strategy.orders
    assert strategy.most <= 700
    assert sum(order.side * order.filled for order in orders) == result.stats["symbols"]["AAA"]["position"]
    told = {order.id: order for order in orders if not order.done and order.state != "sent"}
    open_orders = {row[0]: row for row in desk.orders()}
    if latency == "0":
        venue = {row[0]: (row[1], row[2], row[3]) for row in result.engine.source.venues[next(iter(result.markets))].orders()}
        assert {i: (row[2], row[3], row[4] - row[5]) for i, row in open_orders.items()} == venue
        assert set(told) == set(venue)
        assert desk.in_flight == 0
    for number, order in told.items():
        row = open_orders[number]
        assert (order.side, order.size, order.filled) == (row[2], row[4], row[5])
    assert len({order.id for order in orders}) == len(orders)


@pytest.mark.parametrize("use", [lambda o: o.symbol, lambda o: o.left, lambda o: o.cancel(), lambda o: o.move(1.0)])
def test_an_order_that_nobody_made_is_an_error(use):
    with pytest.raises(TypeError, match="orders are made by buy and sell of a market"):
        use(Order.__new__(Order))
