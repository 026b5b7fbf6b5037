"""The same class with its hooks compiled by Numba: the same orders, event for event, and everything that is refused by name."""

import importlib.metadata
import linecache
import math
import os
import random
import re
import runpy
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import FunctionType

import numpy as np
import pytest

import hft
from fastcore.risk import RiskLimits
from fastcore.zscore import PairZScore, RollingZScore
from hft import Param, Strategy, StrategyError, Symbol, every
from hft.compiling import CompileError, Program, _symbols, _versions, cache_directory, compiled, fetch, helpers
from hft.config import ConfigError
from hft.feeds import synthetic
from hft.loading import load_strategy

pytest.importorskip("numba")
pytestmark = pytest.mark.thin  # machine code that no sanitizer has seen


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    """Machine code of the tests goes to a directory of theirs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def day(tmp_path_factory):
    path = tmp_path_factory.mktemp("day") / "day.itch"
    path.write_bytes(synthetic.generate(6_000, 3))
    return path


class MarketMaker(Strategy):
    """The maker of the first page."""

    half_spread = Param(1.5, "fair price to each quote", unit="bps", min=0)
    lean = Param(0.2, "shift of both quotes for each `size` held", unit="bps", min=0)
    size = Param(100, "size of a quote", min=0)
    limit = Param(500, "largest position, long or short", min=0)
    memory = Param(0.9, "weight of the past in the flow", min=0, max=1)

    def on_start(self):
        self.flow = 0.0

    def on_trade(self, m, trade):
        self.flow = self.memory * self.flow + (1 - self.memory) * trade.side * trade.size

    def on_book(self, m):
        self.requote(m)

    def on_fill(self, m, fill):
        self.requote(m)

    @every("1s")
    def watch(self):
        for m in self.markets:
            if m.age > 2.0:
                m.pull("old book")

    def requote(self, m):
        if not m.two_sided:
            return m.pull("one-sided book")
        bps = m.mid * 1e-4
        fair = m.microprice - self.lean * bps * m.position / self.size
        self.record(m, fair=fair, flow=self.flow)
        m.quote(
            bid=fair - self.half_spread * bps if m.position < self.limit else None,
            ask=fair + self.half_spread * bps if m.position > -self.limit else None,
            size=self.size,
        )


def shifted(position, limit):
    """A plain function that a hook calls."""
    return max(-1.0, min(1.0, position / limit)) if limit else 0.0


STEP = 0.25
SIDES = (1, -1)


class Everything(Strategy):
    """Whatever a hook may do, once."""

    size = Param(10, "size of a quote")
    unused = Param("text", "of no use to a hook")

    def on_start(self):
        self.books, self.deep, self.trades, self.fills, self.orders, self.delayed = np.zeros((6, 50), np.int64)
        self.pair, self.rolling = PairZScore(20, 0.5), RollingZScore(10)
        self.leader, self.other = self.markets[0], self.markets[-1]
        self.last, self.count, self.up, self.busy = 0.0, 0, True, 0
        self.curve = np.zeros((2, 100))
        self.names = ["what no hook uses"]

    def on_book(self, m):
        k = m.symbol_id % 50
        self.books[k] += 1
        self.count, self.last = self.count + 1, self.last * 0.5
        if m is self.leader:
            self.up = not self.up
        if m.bid is None or m.ask is None:
            self.record(m, bids=m.bid is None, asks=m.ask is None)
            return m.pull()
        spread = m.spread
        if spread is not None and spread > 0 and m.bid_ticks is not None and m.two_sided:
            z = self.rolling.update(m.mid)
            if not math.isnan(z):
                self.last += math.sqrt(abs(z)) + math.exp(-abs(z)) + math.floor(z) + round(z) + int(z)
            push = STEP * shifted(m.position, 200) * spread
            wanted = m.bid_size > m.ask_size
            m.quote(m.bid - push, bid_size=self.size if wanted else 2 * self.size, ask=m.ask - push, ask_size=self.size)
            self.record(m, push=push, wanted=wanted, k=k)
        else:
            m.pull(why="no spread")
        if self.busy == 0:
            self.after("3ms", self.later)
            self.busy = 1

    def later(self):
        self.busy = 0
        self.delayed[0] += 1
        self.log("later")

    def on_depth(self, m):
        k = m.symbol_id % 50
        self.deep[k] += len(m.bids) - len(m.asks)
        total = 0.0
        for price, size in m.bids:
            total += price * size
        if len(m.asks) > 1:
            price, size = m.asks[-1]
            total -= price * size
        lean = m.imbalance(3)
        if lean is not None:
            self.curve[0, self.count % 100] = lean + m.tick + m.lot
        self.curve[1, self.count % 100] = total

    def on_trade(self, m, trade):
        self.trades[m.symbol_id % 50] += trade.side
        if trade.side in SIDES:
            self.last += trade.price * trade.size

    def on_fill(self, m, fill):
        self.fills[m.symbol_id % 50] += fill.side * fill.order % 7 + (1 if fill.maker else 0)
        average = m.average
        if average is not None:
            self.record(m, average=average, price=fill.price, size=fill.size)

    def on_order(self, m, order):
        if order.refused or order.price is None:
            self.orders[1] += 1
        else:
            self.orders[0] += order.id * order.side + int(order.size)

    @every("5s")
    def sample(self):
        if self.leader.two_sided and self.other.two_sided:
            z = self.pair.update(self.leader.mid, self.other.mid)
            self.record(z=z, now=self.now % 1_000_000_007)
        i = 0
        while i < 3:
            i += 1
            if i == 2:
                continue
            self.count -= i // 2
        self.count **= 1

    def on_stop(self):
        self.log(f"{self.count} {self.last:.6f} {self.up}")


STATE = "last count up books deep trades fills orders delayed curve flow"


def same(strategy, data, parameters=None, **options):
    """Run a class in Python and compiled, and hold everything that comes of it equal; the result of both."""
    plain, fast = (
        hft.backtest(kind(**(parameters or {})), data() if callable(data) else data, **options)
        for kind in (strategy, compiled(strategy))
    )
    assert plain.engine.reports().tobytes() == fast.engine.reports().tobytes()
    assert plain.orders_hash == fast.orders_hash
    assert list(plain.not_sent.items()) == list(fast.not_sent.items())
    printed = (re.sub(r"in [\d.]+ s", "", str(result)) for result in (plain, fast))
    assert next(printed) == next(printed)
    assert plain.log == fast.log
    (one,), (two,) = plain.strategies.values(), fast.strategies.values()
    ours, theirs = one._records.arrays(), two._records.arrays()
    assert list(ours) == list(theirs)
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name])
    for name in STATE.split():
        np.testing.assert_array_equal(getattr(one, name, None), getattr(two, name, None))
        assert type(getattr(one, name, None)) is type(getattr(two, name, None))
    return plain


def test_maker_has_the_same_orders_on_a_recorded_day_by_order(data_dir):
    result = same(MarketMaker, data_dir / "itch" / "AMZN_2012-06-21_L5.itch.gz", {"half_spread": 5.0}, latency="1ms")
    assert result.engine.desk.fills > 100
    assert len(result.records["time"]) > 20_000  # more than one buffer


def test_maker_has_the_same_orders_on_a_recorded_day_by_level(data_dir):
    path = data_dir / "binance" / "usdm_btcusdt_20240808.gz"
    result = same(MarketMaker, path, {"half_spread": 0.5, "size": 0.01, "limit": 0.05}, latency="order=5ms,response=5ms")
    assert result.engine.desk.fills > 100


def test_everything_a_hook_may_do_is_the_same_on_fifty_symbols(tmp_path):
    names = [f"S{i:02}" for i in range(50)]
    path = tmp_path / "fifty.itch"
    path.write_bytes(synthetic.generate(20_000, 5, names))
    result = same(Everything, path, symbols=names, maker_fee="0.01%")
    (strategy,) = result.strategies.values()
    assert result.engine.desk.fills > 50
    for name in ("books", "deep", "trades", "fills", "orders", "delayed"):
        assert np.any(getattr(strategy, name)), name
    assert len(result.log) > 100


class QuotedPair(Strategy):
    """Two markets by names of their own."""

    y = Symbol("Y", "leg")
    x = Symbol("X", "leg")
    size = Param(10, "size")

    def on_start(self):
        self.zscore, self.side = PairZScore(30, 1.0), 0

    @every("1s")
    def sample(self):
        if not (self.y.two_sided and self.x.two_sided):
            return
        z = self.zscore.update(self.y.mid, self.x.mid)
        self.record(z=z, side=self.side)
        if z > 1.0:
            self.side = -1
        elif z < -1.0:
            self.side = 1
        if self.side > 0:
            self.y.quote(bid=self.y.bid, size=self.size)
        elif self.side < 0:
            self.y.quote(ask=self.y.ask, size=self.size)

    def on_fill(self, m, fill):
        if m is self.y:
            self.x.quote(ask=self.x.ask if fill.side > 0 else None, bid=self.x.bid if fill.side < 0 else None, size=fill.size)
        elif m == self.x:
            self.x.pull("hedged")


def test_pair_has_the_same_orders(tmp_path):
    path = tmp_path / "pair.itch"
    path.write_bytes(synthetic.generate(20_000, 7, ["Y", "X"]))
    assert same(QuotedPair, path).engine.desk.fills > 10


class Single(Strategy):
    """Orders of its own, wanted positions, ladders, random numbers and lines with values: all ways to say them."""

    size = Param(10.0, "size of an order")
    step = Param(0.01, "increment of the venue")
    rungs = Param(4, "of the ladder")
    sent = Param(1_500, "calls in which something is sent")

    def on_start(self):
        self.entry, self.latest, self.first, self.ahead = None, None, None, 0.0
        self.count, self.same, self.draws, self.states = 0, 0, 0.0, np.zeros(10, np.int64)
        self.draws += self.random.random()

    def on_book(self, m):
        if not m.two_sided or self.count >= self.sent:
            return
        self.count += 1
        what = self.random.randrange(12)
        self.draws += self.random.uniform(-1, 2.5) + self.random.gauss(0.0, 0.1) + self.random.expovariate(2.0)
        entry = self.entry
        if what == 0 and (entry is None or entry.done):
            self.entry = m.buy(self.size, m.bid - self.random.randint(0, 3) * self.step, post_only=True)
            self.first = self.entry if self.first is None else self.first
        elif what == 1 and entry is not None and not entry.done and entry.state != "sent":
            moved = entry.move(price=m.bid - self.step, size=entry.size + self.size)
            self.log(f"moved {moved} {entry.left:.2f} of {entry.size!r}: {entry.state} {m.symbol} {self.count:>6} {entry.price}")
        elif what == 2 and entry:
            self.log(f"{entry.cancel()}")
        elif what == 3:
            m.sell(price=m.bid, size=self.size, tif="ioc")
        elif what == 4:
            m.buy(self.size + 0.003, m.ask)  # no whole number of lots where a lot is 1
        elif what == 5:
            m.sell(self.size, m.ask + 0.4 * self.step if self.count % 2 else -1.0)
        elif what == 6:
            m.target(self.random.randint(-3, 3) * self.size, cross_after="2s")
        elif what == 7:
            m.target(0.0001 if self.count % 3 else None)
        elif what == 8:
            m.quote(
                bids=[(m.bid - k * self.step, self.size * (k + 1)) for k in range(self.rungs) if k != 2],
                asks=[(m.ask, self.size), (m.ask + 0.5, 1.0)],
            )
        elif what == 9:
            m.quote(asks=[(price, self.size) for price, _ in m.asks] if m.position > 0 else None)
        elif what == 10:
            m.buy(price_ticks=m.bid_ticks, size_lots=7, tif="gtd", until=self.now + 3_000_000_000)
        else:
            m.sell(size_lots=3 if self.count % 5 else 0, tif="fok")

    def on_order(self, m, order):
        if order is self.latest:
            self.same += 1
        self.latest = order
        if order.state in ("filled", "partly filled"):
            self.states[0] += order.id
        elif order.state == "refused":
            self.states[1] += 1
        self.states[2] += order is self.entry
        self.states[3] += order.post_only and order.done
        if order.refused:
            self.log(f"{m.symbol}: {order.why} ({order.state}, {order.price}, {order.size})")

    def on_fill(self, m, fill):
        if fill.ahead is not None and fill.cause in ("at", "through"):
            self.ahead += fill.ahead
        self.log(f"{fill.cause} {fill.ahead} {fill.price:.4f} {fill.maker} {fill.fee!r} {fill.mid!r}")

    def on_stop(self):
        for order in (self.first, self.entry, self.latest):
            self.log(repr(order))
        self.log(f"{self.random.random()} {self.draws}")


STATE += " ahead same draws states"


class Pairs(Strategy):
    """The pair of the first page."""

    y = Symbol("MINER", "leg that rests at its touch")
    x = Symbol("GOLD", "leg that follows the fills of y at once")
    ratio = Param(1.5, "units of x for one of y", min=0)
    window = Param(40, "samples of the rolling z-score", min=2)
    enter = Param(2.0, "standard deviations at which the pair is put on", min=0)
    leave = Param(0.5, "... and taken off", min=0)
    size = Param(100, "position in y", min=0)

    def on_start(self):
        self.zscore, self.side = PairZScore(self.window, self.ratio), 0

    @every("15s")
    def sample(self):
        if not (self.y.two_sided and self.x.two_sided):
            return
        z = self.zscore.update(self.y.mid, self.x.mid)
        self.record(z=z, side=self.side)
        if z > self.enter:
            self.side = -1
        elif z < -self.enter:
            self.side = 1
        elif abs(z) < self.leave:
            self.side = 0
        self.y.target(self.side * self.size, cross_after="2s")  # wanted position

    def on_fill(self, m, fill):
        if m is self.y:
            self.x.target(-self.ratio * m.position, cross_after="0s")

    def on_order(self, m, order):
        if order.refused:
            self.log(f"{m.symbol}: {order.why}")


@pytest.mark.parametrize("day", ["by order", "by level", "fifty symbols"])
def test_orders_of_its_own_are_the_same(day, data_dir, tmp_path):
    if day == "by order":
        path, options = data_dir / "itch" / "AMZN_2012-06-21_L5.itch.gz", {"latency": "1ms"}
        parameters = {}
    elif day == "by level":
        path, options = data_dir / "binance" / "usdm_btcusdt_20240808.gz", {"latency": "order=5ms,response=5ms"}
        parameters = {"size": 0.01, "step": 0.1}
    else:
        names = [f"S{i:02}" for i in range(50)]
        path, options, parameters = tmp_path / "fifty.itch", {"symbols": names, "maker_fee": "0.01%"}, {}
        path.write_bytes(synthetic.generate(20_000, 5, names))
    result = same(Single, path, parameters, **options)
    (strategy,) = result.strategies.values()
    text = " ".join(line for _, _, line in result.log)
    assert result.engine.desk.fills > 50
    assert np.all(strategy.states[:4]) and strategy.ahead > 0
    for word in ("moved True", "refused", "a price must be", "a size must be", "self trade", "Order(id="):
        assert word in text, word
    assert {"position under the lot of 1", "cancel of an order that is done"} <= set(result.not_sent) or day == "by level"


def test_two_on_one_account_have_the_same_orders_in_both_tiers(tmp_path):
    path = tmp_path / "day.itch"
    path.write_bytes(synthetic.generate(20_000, 3))
    runs = [
        hft.backtest({"a": single(sent=400), "b": maker(size=20, half_spread=0.5), "c": Single(sent=300, size=5.0)}, path, latency="1ms")
        for single, maker in ((Single, MarketMaker), (compiled(Single), compiled(MarketMaker)))
    ]
    plain, fast = runs
    assert plain.engine.reports().tobytes() == fast.engine.reports().tobytes()
    assert (plain.log, plain.not_sent) == (fast.log, fast.not_sent)
    assert {run.engine.desk.fills > 100 for run in runs} == {True}
    np.testing.assert_array_equal(plain.strategies["a"].states, fast.strategies["a"].states)


def test_pair_with_wanted_positions_has_the_same_orders():
    pair = synthetic.Pair("GOLD", "MINER", hedge_ratio=1.5, half_life_s=45.0, spread_ticks=2_500.0)
    options = {"branching": 0.5, "orders": 60, "volatility": 0.02, "correlation": 0.6, "pairs": [pair]}

    def feed():
        return synthetic.SyntheticFeed(messages=50_000, seed=7, symbols=("GOLD", "MINER"), **options)

    result = same(Pairs, feed, limits=RiskLimits(1_000, 120, 1 << 40))
    assert result.engine.desk.fills > 10
    assert any("GOLD: " in line for _, _, line in result.log)  # refused by the limit


# ---- arithmetic: the same bits, or an error in both ----


def both(expression, place, names="a, b"):
    """A function of an expression, as it is and as hooks have it compiled."""
    from numba import njit

    from hft import _numba

    _symbols()
    path = place / "expression.py"
    path.write_text(f"import math\ndef function({names}):\n    return {expression}\n")
    plain = runpy.run_path(path)["function"]

    class Caller(Strategy):
        def on_book(self, m):
            plain(1.0, 2.0)

    linecache.checkcache()
    (made,) = [function for function in Program(Caller).functions.values() if not function.method]
    fast = njit(**_numba.OPTIONS)(FunctionType(made.code, made.names | helpers()))
    return plain, lambda *arguments: fast(None, *arguments)


def outcome(function, *arguments):
    try:
        value = function(*arguments)
    except (ArithmeticError, ValueError) as error:
        return type(error)
    return value.hex() if isinstance(value, float) else value


FLOATS = [
    "a + b - a * b",
    "a / b",
    "a // b",
    "a % b",
    "float(min(a, b) + max(b, a)) + abs(a)",
    "(math.sqrt(a) if a < b else math.exp(b)) + -a",
    "math.log(a) + math.log1p(b)",
    "math.sin(a) * math.cos(b) + math.tanh(a) + math.atan2(a, b)",
    "round(a) + int(b) + math.floor(a) * math.ceil(b) - math.trunc(a)",
    "a**b if a >= 0 else b**2.0",
    "math.pow(a, 2.0) if b > 0 else math.pow(b, a)",
]
WHOLES = [
    "a + b - (a * b)",
    "a // b",
    "a % b",
    "a / b",
    "-a if a > b else a**3",
    "(a & b) | (a ^ 7) if a > 0 else abs(a)",
    "math.floor(a) + round(b) + int(a) + (a > b) * 3",
    "a * 0.1 + b",
]
EDGES = [
    0.0,
    -0.0,
    0.5,
    1.5,
    2.5,
    -2.5,
    1e-308,
    1e16,
    -1e16,
    1e200,
    1e300,
    -7.0,
    3.0,
    1 / 3,
    math.inf,
    -math.inf,
    math.nan,
    710.0,
]


@pytest.mark.parametrize("number", range(len(FLOATS)))
def test_arithmetic_of_floats_has_the_bits_of_python(number, tmp_path):
    (plain, fast), rng = both(FLOATS[number], tmp_path), random.Random(number)
    some = EDGES + [rng.gauss(0, 1) * 10.0 ** rng.randint(-3, 4) for _ in range(60)]
    for a in some:
        for b in some:
            want, got = outcome(plain, a, b), outcome(fast, a, b)
            if isinstance(want, int) and not isinstance(want, bool) and abs(want) > 9.2e18:
                want = OverflowError  # whole numbers have 64 bits
            if want is OverflowError and got is ValueError or want is ValueError and got is OverflowError:
                continue  # two faults in one expression
            if got is OverflowError and "round" in FLOATS[number] and max(abs(a), abs(b)) > 9e18:
                continue  # on the way
            assert want == got, (a, b)


@pytest.mark.parametrize("number", range(len(WHOLES)))
def test_arithmetic_of_whole_numbers_is_exact_or_an_error(number, tmp_path):
    (plain, fast), rng = both(WHOLES[number], tmp_path), random.Random(number)
    some = [0, 1, -1, 2, 3, -7, 2**31, 2**32 + 1, 2**53, 2**62, -(2**63), 2**63 - 1] + [
        rng.randint(-(10**6), 10**6) for _ in range(40)
    ]
    wrapped = 0
    for a in some:
        for b in some:
            want, got = outcome(plain, a, b), outcome(fast, a, b)
            if got is OverflowError:
                wrapped += 1
                exact = isinstance(want, str) and max(abs(a), abs(b)) <= 2**53
                assert not exact and max(abs(a), abs(b)) > 10**6, (a, b)
            else:
                assert want == got and type(want) is type(got), (a, b)
    assert wrapped or number not in (0, 1, 4)


# ---- what goes wrong in a hook ----


class Faulty(Strategy):
    """A fault by number."""

    fault = Param(0, "which")
    zero = Param(0, "to divide by")

    def on_start(self):
        self.values, self.big, self.none = np.zeros(3), 1 << 62, 0.0

    def on_book(self, m):
        if self.fault == 1:
            self.none = 1 / self.zero
        elif self.fault == 2:
            self.none = self.values[self.zero + 3]
        elif self.fault == 3:
            self.none = math.sqrt(self.zero - 1)
        elif self.fault == 4:
            self.none = 7 % self.zero
        elif self.fault == 5:
            m.quote(bid=math.nan, size=1)
        elif self.fault == 6:
            self.none = m.ask + 1.0
        elif self.fault == 7:
            raise ValueError("enough")
        elif self.fault == 8:
            self.helper(m)
        elif self.fault == 9:
            m.quote(bid=1.0)
        elif self.fault == 10:
            self.stop("enough")
        elif self.fault == 11:
            self.none = m.imbalance(11)
        elif self.fault == 12:
            self.none = self.markets[1].position
        elif self.fault == 13:
            assert self.zero, "nothing"
        elif self.fault == 14:
            self.big = self.big * 4
        elif self.fault == 16:
            self.record(m, ask=m.ask)
        elif self.fault == 15:
            for _ in range(20_000):
                self.record(m, nothing=0.0)

    def helper(self, m):
        m.pull("before")
        self.none = (m.bid_size + 1.0) / self.zero


COMPILED_ALONE = {14: "OverflowError", 15: "RuntimeError"}


@pytest.mark.parametrize("fault", range(1, 17))
def test_fault_in_a_hook_is_the_same_error_with_its_line(fault, day):
    told = []
    for kind in (Faulty, compiled(Faulty)):
        strategy = kind(fault=fault)
        if kind is Faulty and fault in COMPILED_ALONE:
            continue
        if fault == 10:
            told.append(hft.backtest(strategy, day).stopped)
            continue
        with pytest.raises(StrategyError) as error:
            hft.backtest(strategy, day)
        told.append((str(error.value), type(error.value.__cause__), error.value.result.not_sent))
    if fault in COMPILED_ALONE:
        assert f"{__file__}:" in told[0][0] and f"in on_book: {COMPILED_ALONE[fault]}: " in told[0][0]
    elif fault == 10:
        assert told == ["enough", "enough"]
    else:
        (text, cause, sent), (fast_text, fast_cause, fast_sent) = told
        assert (cause, sent) == (fast_cause, fast_sent)
        place, name, _ = text.split(": ", 2)
        assert fast_text.startswith(f"{place}: {name}: ")
        assert text.rpartition(" (event ")[2] == fast_text.rpartition(" (event ")[2]


class FaultyOrders(Strategy):
    """A fault of single orders, wanted positions, ladders and random numbers by number."""

    fault = Param(0, "which")
    nothing = Param(0, "0")

    def on_start(self):
        self.order, self.asked = None, 0

    def on_book(self, m):
        nan = math.nan
        if self.fault == 1:
            m.buy(1, nan)
        elif self.fault == 2:
            m.sell(nan)
        elif self.fault == 3:
            m.buy()
        elif self.fault == 4:
            m.buy(1, size_lots=1)
        elif self.fault == 5:
            m.buy(1, post_only=True)
        elif self.fault == 6:
            m.buy(1, 1.0, "gtd", until=self.nothing)
        elif self.fault == 7:
            m.target(nan)
        elif self.fault == 8:
            m.quote(bids=[(1.0, 1) for _ in range(17 + self.nothing)])
        elif self.fault == 9:
            m.quote(asks=[(nan, 1)])
        elif self.fault == 10:
            m.quote(asks=[(1.0, None)])
        elif self.fault == 11:
            self.order.cancel()
        elif self.fault == 12:
            m.buy(1).move()
        elif self.fault == 13:
            self.asked = self.random.randint(1, self.nothing)
        elif self.fault == 14:
            self.asked = 1 if self.order.done else 2
        elif self.fault == 15:
            for _ in range(2_000):
                m.buy(1, 1.0)
        elif self.fault == 16:
            m.quote(bid=m.bid, size=1)
        elif self.fault == 17:
            self.asked = self.order.side
        elif self.fault == 18:
            m.quote(bids=[(self.rung(m), 1)])

    def rung(self, m):
        m.quote(bids=[(1.0, 1)])
        return 1.0

    def on_order(self, m, order):
        if self.fault == 16:
            order.cancel()
        self.order = order


@pytest.mark.parametrize("fault", range(1, 19))
def test_fault_of_an_order_is_the_same_error_with_its_line(fault, day):
    told = []
    for kind in (FaultyOrders, compiled(FaultyOrders)):
        if fault == 18 and kind is FaultyOrders:  # Python collects the quotes first
            continue
        with pytest.raises(StrategyError) as error:
            hft.backtest(kind(fault=fault), day)
        told.append((str(error.value), type(error.value.__cause__), error.value.result.not_sent))
    if fault == 18:
        assert "in rung: RuntimeError: a ladder is built inside of another" in told[0][0]
        return
    (text, *plain), (fast_text, *fast) = told
    place, name, _ = text.split(": ", 2)
    place = f"{__file__}:" if fault == 13 else f"{place}: {name}: "  # in Python it arises in a file of Python's
    assert plain == fast and fast_text.startswith(place)
    assert text.rpartition(" (event ")[2] == fast_text.rpartition(" (event ")[2]


def spin(n):
    """A plain function that takes for ever."""
    total = 0
    for i in range(n):
        total ^= i
        if total == -1:
            return total
    return total


@pytest.mark.parametrize("way", range(3))
def test_ctrl_c_ends_a_hook_that_never_returns_with_the_result(way, day):
    class Endless(Strategy):
        way = Param(0, "of never coming back")

        def on_start(self):
            self.count = self.rounds = 0

        def on_book(self, m):
            self.count += 1
            if self.count < 100:
                m.pull("before")
                return
            while self.way == 0:
                self.rounds += 1
            if self.way == 1:
                self.rounds = spin(2**62)
            for m in self.markets:
                for i in range(2**62):
                    for _ in m.bids:
                        self.rounds = i

    strategy = compiled(Endless)(way=way)

    def interrupt():
        while not (strategy._native and strategy._native.ready):  # it is compiled first
            time.sleep(0.01)
        time.sleep(0.2)
        signal.raise_signal(signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    result = hft.backtest(strategy, day)
    thread.join()
    assert (result.stopped, strategy.count, result.not_sent) == ("interrupted", 100, {"before": 99})
    assert strategy.rounds > 0 or way == 1


# ---- what is not compiled ----


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("self.x = [1]", "a list is not compiled"),
        ("self.log(f'{m.bid!a}')", "!a is not compiled"),
        ("self.log(f'{m.bid:{m.ask}}')", "a format must be a constant here"),
        ("self.log(m.symbol)", "a text must be a constant here"),
        ("self.x = m.symbol", ".symbol is a text: it is there in lines of the log"),
        ("self.x = order.state", "name order is not defined"),
        ("m.buy(1, 2, tif='now')", "tif must be day, ioc, fok or gtd: tif=now"),
        ("m.target(1, cross_after=self.delay)", "a text must be a constant here"),
        ("m.target(1, 'soon')", "a duration must be a number with ns, us, ms or s: 'soon'"),
        ("self.x = m.buy(1).state == 'fild'", ".state is never 'fild'; did you mean filled?"),
        ("self.x = m.buy(1).state < 'filled'", ".state is compared by ==, !=, in and not in"),
        ("m.quote(bids=m.bids)", "quotes of a side are written where they are wanted: [(price, size), ...]"),
        ("m.quote(bids=[m.bid])", "a quote of a ladder is a pair: (price, size)"),
        ("m.quote(bids=[(1, 1)], size=3)", "quotes must be those of bid, ask and size, or those of bids and asks"),
        ("self.x = [m.quote(bids=[(1, 1)])]", "a list is not compiled"),
        ("m.pull(str(1))", "a text must be a constant here"),
        ("self.x = sum(m.bids)", "sum() is not compiled"),
        ("self.x = {}", "a dictionary is not compiled"),
        ("self.x = 'a'", "str is not compiled: 'a'"),
        ("self.x = round(1.5, 1)", "round() takes one argument here"),
        ("self.x = 1 << 3", "<< is not compiled"),
        ("self.x = 8 >> 3", ">> is not compiled"),
        ("self.x = 2**64 + 18446744073709551616", "a whole number must be in -2**63..2**63-1: 18446744073709551616"),
        ("self.x = self.random.shufle(m)", "self.random.shufle() is not compiled"),
        ("self.x = self.random.random(1)", "self.random.random() takes 0 arguments here"),
        ("self.x = self.random", "self.random is not compiled"),
        ("self.x = math.gamma(1.0)", "math.gamma() is not compiled"),
        ("self.x = math.sqr(1.0)", "math.sqr() is not compiled; did you mean sqrt?"),
        ("self.x = np.zeros(3)", "numpy.zeros() is not compiled"),
        ("self.x = np.sum(self.values)", "numpy.sum() is not compiled"),
        ("self.x = self.values.sum()", ".sum() is not compiled"),
        ("m.qote(1.0, 2.0)", ".qote() is not compiled; did you mean quote?"),
        ("self.requot(m)", "self.requot() is not compiled; did you mean requote?"),
        ("self.on_start()", "on_start stays Python: compiled hooks cannot call it"),
        ("self.market('A').pull()", "self.market() is not compiled: keep the market in an attribute in on_start"),
        ("m.bid = 3", "only attributes of self can be set: .bid"),
        ("print(m)", "print() is not compiled"),
        ("self.x = undefined", "name undefined is not defined"),
        ("self.x = TABLE", "a global name stands for a number, a tuple of numbers or a function: TABLE is dict"),
        ("for x in [1, 2]: pass", "a loop goes through range() or .markets, .bids, .asks"),
        ("try: pass\n        except ValueError: pass", "try is not compiled"),
        ("raise ValueError(m.bid)", "raise takes an exception of Python with constant arguments"),
        ("self.after(self.delay, self.requote)", "a text must be a constant here"),
        ("self.after('soon', self.requote)", "a duration must be a number with ns, us, ms or s: 'soon'"),
        ("self.after('1s', m.pull)", "after() takes a method of self"),
        ("self.x = self.parameters", "self.parameters is not compiled"),
        ("self.x = self._core", "self._core is not compiled"),
        ("self.x = lambda: 1", "a lambda is not compiled"),
        ("self.requote(*m.bids)", "* and ** are not compiled in calls"),
    ],
)
def test_what_is_not_compiled_is_named_with_file_and_line(tmp_path, line, rule):
    path = tmp_path / "mine.py"
    path.write_text(
        "import math\nimport numpy as np\nfrom hft import Strategy\nTABLE = {}\n\n\nclass Mine(Strategy):\n    def on_book(self, m):\n"
        f"        self.requote(m)\n        {line}\n\n    def requote(self, m):\n        m.pull()\n"
    )
    with pytest.raises(CompileError) as error:
        compiled(type(load_strategy(str(path))))
    assert str(error.value) == f"{path}:10: {rule}"


def test_hook_with_other_arguments_and_source_that_is_gone_are_named(tmp_path):
    class Wrong(Strategy):
        def on_book(self, *everything):
            pass

    line = Wrong.on_book.__code__.co_firstlineno
    with pytest.raises(CompileError, match=rf"{__file__}:{line}: arguments must be plain: no \*args, no \*\*kwargs, no /"):
        compiled(Wrong)
    scope = {"Strategy": Strategy}
    exec("class Gone(Strategy):\n    def on_book(self, m):\n        m.pull()\n", scope)
    with pytest.raises(CompileError, match="<string>:2: the source of on_book is not there, or has changed"):
        compiled(scope["Gone"])
    with pytest.raises(TypeError, match=r"compiled takes a class derived from hft.Strategy"):
        compiled(Wrong.on_book)


def test_hook_for_many_events_is_named():
    class Many(Strategy):
        @hft.batch(events=10)
        def look(self, events):
            pass

    line = Many.look.__code__.co_firstlineno
    with pytest.raises(CompileError, match=rf"{__file__}:{line}: look: hooks for many events at once are not compiled"):
        compiled(Many)


def test_function_that_calls_itself_is_named():
    class Deep(Strategy):
        def on_book(self, m):
            self.one(m)

        def one(self, m):
            self.two(m)

        def two(self, m):
            if m.position:
                self.one(m)

    line = Deep.two.__code__.co_firstlineno + 2
    with pytest.raises(CompileError, match=rf"{__file__}:{line}: a function that calls itself is not compiled"):
        compiled(Deep)


def test_hook_that_allocates_is_named(day):
    class Allocating(Strategy):
        def on_start(self):
            self.values, self.last = np.zeros(3), 0.0

        def on_book(self, m):
            doubled = self.values + self.values
            self.last = doubled[0]

    line = Allocating.on_book.__code__.co_firstlineno
    with pytest.raises(CompileError, match=rf"{__file__}:{line}: on_book allocates \(NRT_.*\), which hooks must not"):
        hft.backtest(compiled(Allocating)(), day)


def attributes(value):
    class Holder(Strategy):
        def on_start(self):
            if value is not ...:
                self.x = value

        def on_book(self, m):
            self.y(self.x)

        def y(self, x):
            m = 1
            return m

    return Holder


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        (..., "set it in on_start, so that its type is known: self.x"),
        (
            None,
            "attributes of compiled hooks are floats, ints, bools, arrays, markets, orders (None in the beginning), PairZScore and "
            "RollingZScore: self.x is None",
        ),
        ([1.0], "self.x is of type list"),
        ("text", "self.x is of type str"),
        (
            np.zeros(3, np.float32),
            "an array must be writable, contiguous, of float64, int64 or bool, and have 1..4 dimensions: self.x has float32",
        ),
        (np.zeros((4, 4))[:, 1], "an array must be writable, contiguous"),
        (1 << 70, "a whole number must be in"),
        (PairZScore(5, log=True), "PairZScore with log=True is not compiled: self.x"),
    ],
)
def test_attributes_of_other_types_are_named_with_the_line_that_uses_them(value, rule, day):
    with pytest.raises(CompileError) as error:
        hft.backtest(compiled(attributes(value))(), day)
    assert str(error.value).startswith(f"{__file__}:") and rule in str(error.value)


def test_types_that_do_not_fit_are_named_with_the_line(day):
    class Changes(Strategy):
        def on_start(self):
            self.count = 0

        def on_book(self, m):
            self.count = m.bid_size

    class Unknown(Strategy):
        def on_book(self, m):
            if m.depth > 3:
                m.pull()

    line = Changes.on_book.__code__.co_firstlineno + 1
    with pytest.raises(CompileError) as error:
        hft.backtest(compiled(Changes)(), day)
    rule = "an attribute keeps the type that it has behind on_start, here int: it cannot become float"
    assert str(error.value) == f"{__file__}:{line}: {rule}"
    line = Unknown.on_book.__code__.co_firstlineno + 1
    with pytest.raises(CompileError) as error:
        hft.backtest(compiled(Unknown)(), day)
    assert str(error.value).startswith(f"{__file__}:{line}: ") and "depth" in str(error.value)


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("m.quote(bid=m, size=1)", "a price or size must be a number: it is market"),
        ("self.record(3, x=1)", "record() takes a market, and values by name"),
        ("self.record(m, x=m)", "record() takes numbers"),
        ("self.record(m, x=None)", "record() takes numbers"),
        ("m.quote(bd=1.0, size=1)", "expected keyword argument 'bd'"),
    ],
)
def test_arguments_of_the_wrong_type_are_named_with_the_line(line, rule, tmp_path, day):
    path = tmp_path / "mine.py"
    path.write_text(f"from hft import Strategy\n\n\nclass Mine(Strategy):\n    def on_book(self, m):\n        {line}\n")
    with pytest.raises(CompileError) as error:
        hft.backtest(compiled(type(load_strategy(str(path))))(), day)
    assert str(error.value) == f"{path}:6: {rule}"


def test_quotes_in_on_start_are_refused(day):
    class Early(Strategy):
        def on_start(self):
            self.markets[0].pull("early")

        def on_book(self, m):
            m.pull()

    with pytest.raises(ValueError, match="a compiled strategy wants nothing in on_start"):
        hft.backtest(compiled(Early)(), day)


# ---- machine code on disk ----

SCRIPT = """
import sys, hft
sys.path.insert(0, {place!r})
from quoter import Quoter
result = hft.backtest(Quoter(), {day!r})
print(result.orders_hash, "numba" in sys.modules)
"""
QUOTER = """
from hft import Param, Strategy
from hft import compiled


@compiled
class Quoter(Strategy):
    size = Param(10, "size of a quote")

    def on_book(self, m):
        if m.two_sided:
            m.quote(bid=m.bid, ask=m.ask, size=self.size)
"""


def test_second_start_reads_the_code_and_does_without_numba(tmp_path, day):
    (tmp_path / "quoter.py").write_text(QUOTER)
    script = SCRIPT.format(place=str(tmp_path), day=str(day))

    def start(cache):
        environment = {**os.environ, "XDG_CACHE_HOME": str(cache), "PYTHONPATH": str(Path(hft.__file__).parent.parent)}
        done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    first, used = start(tmp_path / "kept")
    assert used == "True"
    assert start(tmp_path / "kept") == [first, "False"]
    (code,) = (tmp_path / "kept" / "hft-fastcore").iterdir()
    assert (code.parent.stat().st_mode & 0o777, code.stat().st_mode & 0o777) == (0o700, 0o600)
    # What is damaged, or could be somebody else's, is not loaded.
    whole = code.read_bytes()
    assert fetch(code) == whole[32:]
    for damaged in (whole[:-1] + bytes([whole[-1] ^ 1]), whole[:-1], whole[:20], b""):
        code.write_bytes(damaged)
        assert fetch(code) is None
    code.write_bytes(whole)
    code.chmod(0o622)
    assert fetch(code) is None
    assert fetch(code.with_name("gone")) is None


def test_directory_of_machine_code_is_ours_alone_or_there_is_none(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_directory() == tmp_path / "hft-fastcore"
    (tmp_path / "hft-fastcore").chmod(0o770)
    assert cache_directory() is None
    (tmp_path / "hft-fastcore").rmdir()
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "hft-fastcore").symlink_to(tmp_path / "elsewhere")
    assert cache_directory() is None
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert cache_directory() is None


def test_extra_is_named_where_numba_is_missing(monkeypatch):
    def version(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr("hft.compiling.version", version)
    monkeypatch.setattr("hft.compiling._versions", _versions.__wrapped__)
    with pytest.raises(ConfigError, match=r"hft.compiled needs Numba .*: pip install 'hft-fastcore\[numba\]'"):
        compiled(MarketMaker)
