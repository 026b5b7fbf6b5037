"""Queue models: their formulas, and the bias of each against places that are known order by order."""

import ctypes
import math
import random

import numpy as np
import pytest
from kit import EFFORT

import hft
from fastcore.book import LevelBook
from fastcore.records import BUY, EVENT_DTYPE, KINDS
from fastcore.sim.queues import QueueModel
from fastcore.sim.venue import Venue

PRICE = 1_000


@pytest.mark.parametrize(
    ("model", "share"),
    [
        (QueueModel("power"), lambda b, a: b / (b + a)),
        (QueueModel("power", 3), lambda b, a: b**3 / (b**3 + a**3)),
        (QueueModel("log"), lambda b, a: math.log(1 + b) / (math.log(1 + b) + math.log(1 + a))),
        (QueueModel("log-2"), lambda b, a: math.log(1 + b) / math.log(1 + b + a)),
    ],
)
@pytest.mark.parametrize(("back", "front"), [(1, 1), (30, 60), (0, 5), (5, 0), (0.5, 1e9)])
def test_share_is_that_of_the_formula(model, share, back, front):
    assert model.share_behind(back, front) == pytest.approx(share(back, front), rel=1e-14)


def test_nobody_there_means_nobody_ahead():
    assert QueueModel("power").share_behind(0, 0) == 1.0
    assert QueueModel().share_behind(3, 4) is None


def level(size):
    event = np.zeros(1, EVENT_DTYPE)
    event["kind"], event["side"], event["price"], event["size"] = KINDS["level"], BUY, PRICE, size
    return event


class Queue:
    """A bid level as a feed by level shows it, and our order of one lot in it."""

    def __init__(self, model, size):
        self.venue, self.book, self.size, self.time = Venue(by_level=True, queue=model, print_lag_ns=0), LevelBook(), size, 1
        worse = level(1)
        worse["price"] = PRICE - 1  # the level is within what is shown
        self.book.apply(np.concatenate([level(size), worse]))
        self.venue.submit(self.book, BUY, PRICE, 1)
        self.venue.take_reports()

    @property
    def ahead(self):
        orders = self.venue.orders()
        return orders[0][4] if orders else None

    def trade(self, lots=1):
        self.time += 1
        self.venue.apply(KINDS["trade"], BUY, PRICE, lots, 0, exch_ns=self.time)
        self.show(self.size - lots)

    def show(self, size):
        self.time += 1
        self.book.apply(level(size))
        self.venue.apply(
            KINDS["level"], BUY, PRICE, abs(size - self.size), 0, new_size=size, exch_ns=self.time, grew=size > self.size
        )
        self.size = size


def test_power_takes_the_share_of_those_behind_off_the_others():
    queue = Queue(QueueModel("power"), 60)
    queue.show(100)  # 40 behind
    queue.show(90)  # p = 0.4: 6 of ten were ahead
    assert queue.ahead == 54
    queue.show(40)
    assert queue.ahead == pytest.approx(54 - 0.6 * 50, abs=1)


def test_risk_averse_keeps_its_place_until_the_level_is_smaller():
    queue = Queue(QueueModel(), 60)
    for size, ahead in ((100, 60), (61, 60), (30, 30), (50, 30)):
        queue.show(size)
        assert queue.ahead == ahead


def test_function_of_the_user_decides():
    share = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double, ctypes.c_double, ctypes.c_void_p)
    asked = []

    @share
    def all_ahead(back, front, state):
        asked.append((back, front))
        return 0.0

    queue = Queue(QueueModel.function(ctypes.cast(all_ahead, ctypes.c_void_p).value, keep=all_ahead), 60)
    queue.show(100)
    queue.show(90)
    assert queue.ahead == 50
    assert asked == [(40.0, 60.0)]


def fill_times(model, seed, paths):
    """Seconds until our order is filled, in truth and by a model: 60 lots ahead, one lot a second trades, 0.019 of each a second leave."""
    rng = random.Random(seed)
    for _ in range(paths):
        ahead, behind, now, queue = 60, 0, 0.0, Queue(model, 60)
        truth = found = None
        while truth is None or found is None:
            leave = 0.019 * (ahead + behind)
            arrive = 1.5
            total = 1.0 + leave + arrive
            now += rng.expovariate(total)
            what = rng.random() * total
            if what < 1.0:
                if ahead:
                    ahead -= 1
                else:
                    truth = now if truth is None else truth
                    behind -= behind > 0
                if queue.size:
                    queue.trade()
            elif what < 1.0 + leave:
                if rng.random() * (ahead + behind) < ahead:
                    ahead -= 1
                else:
                    behind -= 1
                queue.show(queue.size - 1)
            else:
                behind += 1
                queue.show(queue.size + 1)
            if found is None and queue.ahead is None:
                found = now
        yield truth, found


def test_power_of_one_has_no_bias_and_risk_averse_is_never_early():
    paths = max(60, round(1500 * EFFORT))
    bias = {}
    for name, model in (("power", QueueModel("power")), ("cautious", QueueModel())):
        times = np.array(list(fill_times(model, 1, paths)))
        bias[name] = times[:, 1] - times[:, 0]
        assert abs(times[:, 0].mean() - 40) < 5
    error = bias["power"].std() / paths**0.5
    assert abs(bias["power"].mean()) < 0.3 + 3 * error
    assert bias["cautious"].min() >= 0
    assert bias["cautious"].mean() > 10


@pytest.mark.parametrize(
    ("make", "rule"),
    [
        (lambda: QueueModel("fair"), "model must be one of risk-averse, power, log, log-2: model=fair"),
        (lambda: QueueModel("power", 0), r"exponent must be positive and at most 100: exponent=0\.0"),
        (lambda: QueueModel("power", float("nan")), "exponent must be positive and at most 100: exponent=nan"),
        (lambda: QueueModel.function(0), "address must be that of a function: address=0"),
    ],
)
def test_bad_input_is_refused_with_the_rule(make, rule):
    with pytest.raises(ValueError, match=rule):
        make()


def test_repr_says_which():
    assert [repr(QueueModel()), repr(QueueModel("power", 3))] == ["QueueModel(risk-averse)", "QueueModel(power, 3)"]


@pytest.mark.slow
@pytest.mark.parametrize(("model", "lots"), [("risk-averse", 566), ("power:1", 604), ("power:3", 598)])
def test_traded_volume_of_a_binance_day_is_that_of_the_page(data_dir, model, lots):
    """Our side of docs/simulator.md, "Beside hftbacktest"."""

    class Touch(hft.Strategy):
        @hft.every("100ms")
        def look(self):
            for m in self.markets:
                if m.two_sided:
                    m.quote(bid=m.bid, ask=m.ask, size=m.lot)
                else:
                    m.pull("one-sided")

    result = hft.backtest(
        Touch(), data_dir / "binance" / "usdm_btcusdt_20240808.gz", latency="order=1ms,response=1ms,feed=1ms", queue=model
    )
    assert result.fills["size"].sum() / 0.001 == pytest.approx(lots)
