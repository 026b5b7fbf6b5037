"""The same class with its hooks compiled by Numba: the same orders, event for event, and everything that is refused by name."""

import importlib.metadata
import linecache
import math
import os
import random
import re
import runpy
import subprocess
import sys
from pathlib import Path
from types import FunctionType

import numpy as np
import pytest

import hft
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
    plain, fast = (hft.backtest(kind(**(parameters or {})), data, **options) for kind in (strategy, compiled(strategy)))
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


class Pairs(Strategy):
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
    assert same(Pairs, path).engine.desk.fills > 10


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
    return plain, njit(**_numba.OPTIONS)(FunctionType(made.code, made.names | helpers()))


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


# ---- what is not compiled ----


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("self.x = [1]", "a list is not compiled"),
        ("self.log(f'{m.bid}')", "a text must be a constant here"),
        ("m.pull(str(1))", "a text must be a constant here"),
        ("self.x = sum(m.bids)", "sum() is not compiled"),
        ("self.x = {}", "a dictionary is not compiled"),
        ("self.x = 'a'", "str is not compiled: 'a'"),
        ("self.x = round(1.5, 1)", "round() takes one argument here"),
        ("self.x = 1 << 3", "<< is not compiled"),
        ("self.x = 8 >> 3", ">> is not compiled"),
        ("self.x = 2**64 + 18446744073709551616", "a whole number must be in -2**63..2**63-1: 18446744073709551616"),
        ("self.x = self.random.random()", ".random() is not compiled"),
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
            "attributes of compiled hooks are floats, ints, bools, arrays, markets, PairZScore and RollingZScore: self.x is None",
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
