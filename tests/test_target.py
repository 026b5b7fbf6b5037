"""Wanted positions: one order that waits at its touch, follows it, crosses after a time, and is never filled twice over."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit import examples
from makers.given import SECOND, TWO_SIDED, adds, execution, run
from makers.itch import random_day

import hft
from fastcore.records import BUY, KINDS, SELL
from fastcore.risk import RiskLimits
from hft.strategy import Strategy, StrategyError, every


class Wants(Strategy):
    """Wants positions at seconds of the day: (position, cross_after)."""

    def __init__(self, **wishes):
        super().__init__()
        self.wishes = {int(name[1:]): wish for name, wish in wishes.items()}

    def on_start(self):
        self.refused = []

    @every("1s")
    def clock(self):
        wish = self.wishes.get(self.now // SECOND)
        if wish is not None:
            self.markets[0].target(*wish)

    def on_order(self, m, order):
        if order.refused:
            self.refused.append(order.why)


END = [(20 * SECOND, 99, BUY, 500, 1)]


def sent(result):
    """Rows (second, kind, side, price in ticks, lots) of what the venue said."""
    kinds = {number: name for name, number in KINDS.items()}
    return [
        (int(r["exch_ns"]) / SECOND, kinds[int(r["kind"])], int(r["side"]), int(r["price"]), int(r["size"]))
        for r in result._reports
    ]


def test_order_waits_at_its_touch_follows_it_and_crosses_after_the_time():
    events = adds(*TWO_SIDED, (3 * SECOND, 3, BUY, 1005, 9), *END)
    result = run(Wants(t2=(1.0, "2500ms")), events)
    assert sent(result) == [
        (2.0, "ack", 1, 1000, 10),
        (3.0, "ack", 1, 1005, 10),
        (4.5, "ack", 1, 1020, 10),
        (4.5, "fill", 1, 1020, 10),
    ]
    assert result.orders["size"].tolist() == [1.0]
    assert result.stats["symbols"]["A"]["position"] == 1.0
    assert result.engine.desk.orders() == []


def test_order_crosses_at_once_and_sells_likewise():
    result = run(Wants(t2=(-1.0, "0s")), adds(*TWO_SIDED, *END))
    assert sent(result) == [(2.0, "ack", -1, 1000, 10), (2.0, "fill", -1, 1000, 10)]


def test_order_never_crosses_unless_asked():
    result = run(Wants(t2=(1.0,)), adds(*TWO_SIDED, *END))
    assert result.engine.desk.orders() == [(1, 0, 1, 1000, 10, 0, "working", "target")]


def test_the_same_wish_changes_nothing_and_does_not_begin_anew():
    wishes = {f"t{t}": (1.0, "3s") for t in range(2, 6)}
    result = run(Wants(**wishes), adds(*TWO_SIDED, *END))
    assert sent(result)[0] == (2.0, "ack", 1, 1000, 10)
    assert sent(result)[1] == (5.0, "ack", 1, 1020, 10)


def test_newest_wish_wins_and_the_order_of_the_other_side_goes_first():
    result = run(Wants(t2=(1.0,), t3=(3.0,), t4=(-2.0,), t5=(None,)), adds(*TWO_SIDED, *END))
    assert sent(result) == [
        (2.0, "ack", 1, 1000, 10),
        (3.0, "ack", 1, 1000, 30),
        (4.0, "pulled", 1, 1000, 30),
        (4.0, "ack", -1, 1020, 20),
        (5.0, "pulled", -1, 1020, 20),
    ]
    assert result.engine.desk.orders() == []


def test_smaller_wish_keeps_the_place():
    result = run(Wants(t2=(3.0,), t3=(1.0,)), adds(*TWO_SIDED, (2 * SECOND + 1, 3, BUY, 1000, 70), *END))
    acks = result._reports[result._reports["kind"] == KINDS["ack"]]
    assert acks["match_id"].tolist() == [50, 50]


def test_fill_that_meets_an_amend_on_its_way_is_not_had_twice():
    events = adds(*TWO_SIDED, (2500 * 10**6, 3, BUY, 1005, 5), (2900 * 10**6, 4, SELL, 1000, 61), *END)
    result = run(Wants(t2=(1.0, "9s")), events, latency="order=400ms,response=400ms")
    filled = [row for row in sent(result) if row[1] == "fill"]
    assert sum(row[4] for row in filled) <= 10
    assert result.stats["symbols"]["A"]["position"] == pytest.approx(1.0)


def test_fills_of_other_orders_count():
    class Both(Wants):
        def on_book(self, m):
            if self.now // SECOND == 3:
                m.buy(0.4)

    events = adds(*TWO_SIDED, (3 * SECOND, 3, BUY, 1000, 5), *END)
    result = run(Both(t2=(1.0,)), events)
    assert [row[3:] for row in sent(result) if row[1] == "ack"][-1] == (1000, 6)


def test_position_is_rounded_towards_zero_and_what_is_under_a_lot_is_counted():
    result = run(Wants(t2=(0.19,), t4=(-0.05,)), adds(*TWO_SIDED, *END))
    assert [row[4] for row in sent(result) if row[1] == "ack"] == [1]
    assert result.not_sent == {"position under the lot of 0.1": 1}


def test_refusal_is_told_and_not_tried_again_at_the_same_price():
    limits = RiskLimits(5, 100, 1000)
    strategy = Wants(t2=(1.0,), t9=(0.5,))
    events = adds(*TWO_SIDED, *[(t * SECOND, 10 + t, SELL, 1100, 5) for t in range(3, 8)], (8 * SECOND, 3, BUY, 1005, 1), *END)
    result = run(strategy, events, limits=limits)
    assert strategy.refused == ["limit size"] * 2, "at 1000 and at 1005"
    assert [row[1:] for row in sent(result) if row[1] == "ack"] == [("ack", 1, 1005, 5)]


def test_market_without_a_touch_is_waited_for():
    result = run(Wants(t2=(-1.0, "1s")), adds(*TWO_SIDED), execution(SECOND + 1, 2, 50), adds(*END))
    assert sent(result)[0] == (3.0, "ack", -1, 1000, 10), "nothing to wait at, but something to cross to"


def test_minimum_rest_and_distance_hold_the_order_but_not_the_crossing():
    rows = [(3 * SECOND, 3, BUY, 1005, 9), (4 * SECOND, 4, BUY, 1010, 9)]
    far = run(Wants(t2=(1.0, "9s")), adds(*TWO_SIDED, *rows, *END), requote_ticks=10)
    assert [row[0] for row in sent(far)][:3] == [2.0, 4.0, 11.0]
    assert far.not_sent["within the re-quote distance"] >= 1
    young = run(Wants(t2=(1.0, "9s")), adds(*TWO_SIDED, *rows, *END), min_rest="5s")
    assert [(row[0], row[3]) for row in sent(young)][:3] == [(2.0, 1000), (7.0, 1010), (11.0, 1020)]
    assert young.not_sent["before the minimum rest"] >= 1


def test_kill_switch_takes_the_order_and_arming_brings_it_again():
    limits = RiskLimits(1000, 1000, 1000)

    class Killed(Wants):
        def on_book(self, m):
            if self.now // SECOND == 3:
                limits.kill(by="test")
            if self.now // SECOND == 5:
                limits.arm(by="test")

    rows = [(t * SECOND, 10 + t, SELL, 1020, 5) for t in range(3, 7)]
    result = run(Killed(t2=(1.0,)), adds(*TWO_SIDED, *rows, *END), limits=limits)
    assert [row[:2] for row in sent(result)] == [(2.0, "ack"), (3.0, "pulled"), (5.0, "ack")]


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda m: m.target(float("nan")), "ValueError: a position must be a number of less than 1e15 lots: position=nan"),
        (lambda m: m.target(1.0, "2 weeks"), "ValueError: a duration must be a number with ns, us, ms or s"),
        (lambda m: m.target(1e18), "ValueError: a position must be a number"),
    ],
)
def test_wishes_that_make_no_sense_are_errors_in_the_hook(call, error):
    class Fails(Strategy):
        def on_book(self, m):
            call(m)

    with pytest.raises(StrategyError, match=error):
        run(Fails(), adds(*TWO_SIDED))


def test_fill_of_a_part_changes_nothing_and_later_moves_count_it():
    behind = adds(*TWO_SIDED, (2500 * 10**6, 7, BUY, 1000, 30))
    events = [behind, execution(3 * SECOND, 1, 50), execution(4 * SECOND, 7, 4), adds((5 * SECOND, 8, BUY, 1005, 5), *END)]
    result = run(Wants(t2=(1.0,)), *events)
    assert sent(result) == [(2.0, "ack", 1, 1000, 10), (4.0, "fill", 1, 1000, 4), (5.0, "ack", 1, 1005, 10)]
    assert result.engine.desk.orders() == [(1, 0, 1, 1005, 10, 4, "working", "target")]


WISHES = st.lists(
    st.tuples(st.integers(0, 500), st.integers(-300, 300), st.sampled_from(["0s", "1ms", "20ms", "1s", None])),
    min_size=1,
    max_size=12,
)


@examples(40)
@given(
    st.integers(0, 10**6), WISHES, st.sampled_from(["0", "order=1ms,response=1ms", "order=normal(3ms,2ms),response=normal(4ms,3ms)"]),
    st.sampled_from([("0", 1), ("2ms", 1), ("0", 300)]),
)  # fmt: skip
def test_one_order_at_a_time_and_never_beyond_what_was_wanted(tmp_path_factory, seed, wishes, latency, holds):
    wishes = sorted(wishes, key=lambda wish: wish[0])

    class Random(Strategy):
        def on_start(self):
            self.left, self.books, self.live, self.most, self.bounds = list(wishes), 0, set(), 0, [0, 0]

        def on_book(self, m):
            self.books += 1
            while self.left and self.left[0][0] <= self.books:
                _, position, after = self.left.pop(0)
                self.bounds = [min(self.bounds[0], position), max(self.bounds[1], position)]
                m.target(position, after)

        def on_order(self, m, order):
            if order.state in ("working", "partly filled"):
                self.live.add(order.id)
            else:
                self.live.discard(order.id)
            self.most = max(self.most, len(self.live))
            assert self.bounds[0] <= m.position <= self.bounds[1]

    strategy = Random()
    path = tmp_path_factory.mktemp("day") / "day.itch"
    path.write_bytes(random_day(seed, 600))
    result = hft.backtest(strategy, path, symbols=["AAA"], latency=latency, min_rest=holds[0], requote_ticks=holds[1])
    assert strategy.most <= 1
    assert strategy.bounds[0] <= result.stats["symbols"]["AAA"]["position"] <= strategy.bounds[1]
    assert all(row[7] == "target" for row in result.engine.desk.orders())
