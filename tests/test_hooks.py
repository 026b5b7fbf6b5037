"""Strategies in Python: the pages of the documentation as they stand, the orders of a compiled one, errors that say where."""

import functools
import gc
import re
import signal
import threading
import weakref

import numpy as np
import pytest
from makers.given import SECOND, TICK, TWO_SIDED, adds, execution, run
from makers.itch import random_day

import hft
from fastcore.instruments import Instrument
from fastcore.records import BUY, KINDS, SELL
from fastcore.strategies.hooks import Handle, PythonStrategy
from hft.feeds import synthetic
from hft.feeds.feed import UnknownSymbolInFile
from hft.strategy import Param, Strategy, StrategyError, Symbol, every


class Told(Strategy):
    """Writes down what it is called for."""

    def on_start(self):
        self.calls = ["start"]

    def on_book(self, m):
        self.calls.append(("book", self.now, m.symbol, m.bid, m.ask))

    def on_depth(self, m):
        self.calls.append(("depth", self.now, m.symbol))

    def on_trade(self, m, trade):
        self.calls.append(("trade", trade.side, trade.price, trade.size))

    def on_fill(self, m, fill):
        self.calls.append(("fill", fill.side, fill.price, fill.size, fill.maker, m.position))

    def on_order(self, m, order):
        self.calls.append(("order", order.id, order.state))

    def on_stop(self):
        self.calls.append("stop")

    @every("2s")
    def clock(self):
        self.calls.append(("clock", self.now))


def test_hooks_come_in_their_order():
    told = Told()
    run(told, adds(*TWO_SIDED), execution(5 * SECOND, 2, 20))
    assert told.calls == [
        "start",
        ("book", SECOND, "A", 10.0, 10.2), ("depth", SECOND, "A"),
        ("clock", 2 * SECOND), ("clock", 4 * SECOND),
        ("trade", 1, 10.2, 2.0), ("book", 5 * SECOND, "A", 10.0, 10.2), ("depth", 5 * SECOND, "A"),
        "stop",
    ]  # fmt: skip


class Near(Strategy):
    """Quotes at a distance from the best prices, until it holds something."""

    distance = Param(0.05, "from the best prices", min=0)
    size = Param(1.0, "of a quote", min=0)

    def on_start(self):
        self.fills, self.orders = [], []

    def on_book(self, m):
        if m.two_sided and not m.position:
            m.quote(bid=m.bid - self.distance, ask=m.ask + self.distance, size=self.size)

    def on_fill(self, m, fill):
        self.fills.append((fill.side, fill.price, fill.size, fill.maker, m.position))
        m.pull("filled")

    def on_order(self, m, order):
        self.orders.append((order.id, order.side, order.state, order.why))


def test_fill_is_told_behind_the_position_that_it_made():
    strategy = Near()
    result = run(strategy, adds(*TWO_SIDED, (2 * SECOND, 3, SELL, 990, 8)))
    assert strategy.fills == [(1, 9.95, pytest.approx(0.8), True, pytest.approx(0.8))]
    assert [o[:3] for o in strategy.orders] == [
        (1, 1, "working"), (2, -1, "working"), (1, 1, "partly filled"), (1, 1, "cancelled"), (2, -1, "cancelled")
    ]  # fmt: skip
    assert result.not_sent == {"filled": 1}
    assert result.fills["price"].tolist() == [9.95]
    assert result.orders["state"].tolist() == ["cancelled", "cancelled"]
    assert result.orders["filled"].tolist() == [pytest.approx(0.8), 0.0]
    assert result.stats["symbols"]["A"]["position"] == pytest.approx(0.8)
    assert result.equity["time"][0] == np.datetime64(SECOND, "ns")


@pytest.mark.parametrize(
    ("distance", "size", "price", "lots", "reason"),
    [
        (0.05, 1.0, 995, 10, None),
        (0.03, 1.0, 995, 10, None),  # down to the increment of five ticks
        (0.0, 1.0, 1000, 10, None),
        (0.05, 1.19, 995, 11, None),
        (0.05, 0.09, None, None, "under the lot of 0.1"),
        (0.05, 0.0, None, None, "no size"),
        (20.0, 1.0, None, None, "no price on the grid"),
    ],
)
def test_quotes_are_rounded_passively_and_what_is_not_sent_has_a_reason(distance, size, price, lots, reason):
    result = run(Near(distance=distance, size=size), adds(*TWO_SIDED))
    bids = result._reports[result._reports["side"] == BUY]
    assert bids["price"].tolist() == ([] if price is None else [price])
    assert bids["size"].tolist() == ([] if lots is None else [lots])
    if reason:
        assert result.not_sent[reason] >= 1


@pytest.mark.parametrize(("side", "price"), [("bid", 10.15), ("ask", 10.05)])
def test_quote_never_crosses(side, price):
    class Wild(Strategy):
        def on_book(self, m):
            if m.two_sided:
                m.quote(**{side: 10.1 + (5 if side == "bid" else -5)}, size=1)

    assert run(Wild(), adds(*TWO_SIDED)).orders["price"].tolist() == [price]


def test_another_size_is_acted_on_and_a_smaller_one_keeps_its_place():
    class Sizes(Strategy):
        def on_book(self, m):
            m.quote(bid=9.95, size={1: 3.0, 2: 2.0, 3: 2.0, 4: 4.0}[self.now // SECOND])

    behind = [(2 * SECOND, 3, BUY, 995, 70), (3 * SECOND, 4, BUY, 999, 5), (4 * SECOND, 5, BUY, 998, 5)]
    deep = [(SECOND, 9, BUY, 995, 10)]
    result = run(Sizes(), adds(*TWO_SIDED, *deep, *behind[:1], (2 * SECOND, 6, SELL, 1015, 5), *behind[1:], (4 * SECOND, 7, SELL, 1014, 5)))
    acks = result._reports[result._reports["kind"] == KINDS["ack"]]
    assert list(zip(acks["size"].tolist(), acks["match_id"].tolist(), strict=True)) == [(30, 10), (20, 10), (40, 80)]


def test_two_markets_and_named_symbols():
    class Both(Strategy):
        x = Symbol("A", "one")
        y = Symbol("Z", "the other")

        def on_start(self):
            self.seen = []

        def on_book(self, m):
            self.seen.append((m.symbol, self.x.bid, self.y.bid))

    strategy = Both(y="B")
    events = adds(*TWO_SIDED, (2 * SECOND, 3, BUY, 500, 5, 1), (2 * SECOND, 4, SELL, 505, 5, 1))
    run(strategy, events, symbols=())
    assert strategy.seen == [("A", 10.0, None), ("B", 10.0, 5.0)]
    with pytest.raises(UnknownSymbolInFile, match="no such symbol: symbol=Z"):
        run(Both(), events, symbols=())


def test_recorded_columns_and_log_are_in_the_result():
    class Writes(Strategy):
        def on_book(self, m):
            self.record(m, mid=m.mid or 0.0)
            self.record(spread=m.spread or 0.0)
            self.log(f"at {m.bid}")

    result = run(Writes(), adds(*TWO_SIDED))
    assert result.records["mid"].tolist() == [10.1, pytest.approx(np.nan, nan_ok=True)]
    assert result.records["symbol"].tolist() == ["A", ""]
    assert result.log == [(np.datetime64(SECOND, "ns"), "Writes", "at 10.0")]


def test_market_shows_the_present():
    class Looks(Strategy):
        def on_book(self, m):
            self.seen = (
                m.bids, m.asks, m.imbalance(2), m.microprice, m.spread, m.mid, m.tick, m.lot, m.bid_ticks, m.ask_size, m.age, repr(m)
            )  # fmt: skip

    strategy = Looks()
    run(strategy, adds(*TWO_SIDED, (SECOND, 3, BUY, 990, 100)))
    bids, asks, imbalance, micro, spread, mid, tick, lot, ticks, size, age, text = strategy.seen
    assert bids == ((10.0, 5.0), (9.9, 10.0))
    assert asks == ((10.2, 5.0),)
    assert imbalance == pytest.approx(10 / 20)
    assert (micro, mid, spread) == (pytest.approx(10.1), pytest.approx(10.1), 0.2)
    assert (tick, lot, ticks, size, age) == (0.05, 0.1, 1000, 5.0, 0.0)
    assert text == "Handle(A, bid=10.0, ask=10.2, position=0)"


def test_after_calls_once():
    class Later(Strategy):
        def on_start(self):
            self.calls = []

        def on_book(self, m):
            self.after("500ms", self.wake)
            self.after("250ms", self.wake)

        def wake(self):
            self.calls.append(self.now)

    strategy = Later()
    run(strategy, adds(*TWO_SIDED, (9 * SECOND, 3, BUY, 10, 5)))
    assert strategy.calls == [SECOND + 250_000_000, SECOND + 500_000_000]


def test_what_a_fill_costs_and_the_middle_before_it(tmp_path):
    class Notes(Strategy):
        def on_start(self):
            self.fills, self.top = [], None

        def on_book(self, m):
            self.top = m.mid if m.two_sided else None
            m.quote(m.bid, m.ask, 100)

        def on_fill(self, m, fill):
            self.fills.append((fill.fee, fill.mid, fill.order, fill.maker))

    path = tmp_path / "day.itch"
    path.write_bytes(synthetic.generate(20_000, 3))
    strategy = Notes()
    result = hft.backtest(strategy, path, maker_fee="-0.01%", taker_fee="0.03%")
    rows = result.fills
    assert len(strategy.fills) == len(rows["fee"]) > 50
    fees, mids, orders, makers = zip(*strategy.fills, strict=True)
    np.testing.assert_allclose(fees, rows["fee"], rtol=1e-12)
    assert sum(fees) == pytest.approx(result.by_strategy["fees"][0], rel=1e-12)
    np.testing.assert_array_equal([np.nan if mid is None else mid for mid in mids], rows["mid"])
    assert orders == tuple(rows["order"]) and makers == tuple(rows["maker"])


def test_the_memory_of_a_run_goes_with_its_result(tmp_path):
    """Tens of megabytes: it does not wait for the collector."""
    path = tmp_path / "day.itch"
    path.write_bytes(synthetic.generate(1_000, 3))
    gc.collect()
    gc.disable()
    try:
        result = hft.backtest(Told(), path)
        engine = weakref.ref(result.engine)
        del result
        assert engine() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("feed", ["0s", "2ms"])
@pytest.mark.parametrize("goes_on", [False, True])
def test_what_is_due_at_the_time_of_the_last_event_happens(goes_on, feed):
    """Also where nothing else happens then: that event is deep in the book."""

    class Due(Strategy):
        def on_start(self):
            self.woken = 0

        def on_book(self, m):
            self.after("500ms", self.wake)

        def wake(self):
            self.woken += 1

    strategy = Due()
    tail = [(SECOND * 8 // 5, 9, BUY, 500, 1)] if goes_on else []
    run(strategy, adds(*TWO_SIDED, (SECOND * 3 // 2, 5, BUY, 900, 5), *tail), latency=f"feed={feed}")
    assert strategy.woken == 1


# ---- the same orders as a compiled strategy ----


def test_orders_are_those_of_the_compiled_maker(tmp_path):
    """The built-in market maker, written in Python on the calls that everybody has."""
    from makers.engines import make

    from fastcore import engine as compiled
    from fastcore.avellaneda import Quoter

    data = random_day(5, 3000)
    options = {
        "gamma": 0.1, "k": 300.0, "sigma": 0.0, "tick_size": 1e-4, "increment_ticks": 100, "low_increment_ticks": 1,
        "low_below_ticks": 10_000, "inventory_unit": 100.0,
    }  # fmt: skip
    built_in = make(compiled, volatility=False, limits=(1 << 40, 1 << 40, 1 << 40), parameters={"k": 300.0})
    built_in.feed(data)

    class Maker(Strategy):
        def on_start(self):
            self.quoter = Quoter("avellaneda_stoikov", **options)

        def on_book(self, m):
            self.requote(m)

        def on_fill(self, m, fill):
            self.requote(m)

        def requote(self, m):
            if not m.two_sided:
                return m.pull()
            self.quoter.quote(m.mid, m.position, 1.0)
            bid, ask = self.quoter.bid_ticks, self.quoter.ask_ticks
            return m.quote(bid=None if bid is None else bid * 1e-4, ask=None if ask is None else ask * 1e-4, size=100)

    path = tmp_path / "day.itch"
    path.write_bytes(data)
    result = hft.backtest(Maker(), path, symbols=["AAA"])
    ours, theirs = result._reports.copy(), built_in.engine.reports()
    ours["symbol_id"] = theirs["symbol_id"][0]
    assert built_in.fills > 20
    assert ours.tobytes() == theirs.tobytes()


# ---- errors ----


def test_misspelt_hook_is_an_error_with_a_suggestion():
    with pytest.raises(TypeError, match="Wrong has a hook that does not exist: on_fills; did you mean on_fill?"):
        type("Wrong", (Strategy,), {"on_fills": lambda self, m, fill: None})


@pytest.mark.parametrize(
    ("parameters", "error", "rule"),
    [
        ({"distanse": 1}, TypeError, "Near has no parameter distanse; did you mean distance?"),
        ({"qqq": 1}, TypeError, "Near has no parameter qqq; it has distance, size"),
        ({"distance": -1}, ValueError, r"distance must be in 0\.\.: distance=-1"),
        ({"distance": float("nan")}, ValueError, "distance must be a number"),
        ({"distance": "wide"}, ValueError, "distance must be of type float: distance='wide'"),
        ({"distance": [1]}, TypeError, "distance must be of type float"),
    ],
)
def test_wrong_parameters_are_errors(parameters, error, rule):
    with pytest.raises(error, match=rule):
        Near(**parameters)


def test_parameters_are_read_from_text():
    strategy = Near(distance="0.1", size=3)
    assert strategy.parameters == {"distance": 0.1, "size": 3.0}


def test_error_in_a_hook_says_where_and_keeps_what_was_done():
    class Fails(Near):
        def on_fill(self, m, fill):
            return 1 / 0

    with pytest.raises(StrategyError, match=r"test_hooks.py:\d+ in on_fill: ZeroDivisionError: division by zero \(event 3, time 2,000") as e:
        run(Fails(), adds(*TWO_SIDED, (2 * SECOND, 3, SELL, 990, 8)))
    assert isinstance(e.value.__cause__, ZeroDivisionError)
    assert e.value.result.fills.rows == 1


@pytest.mark.parametrize("bad", [float("nan"), "ten"])
def test_price_that_is_no_number_is_an_error_in_the_hook(bad):
    class Fails(Strategy):
        def on_book(self, m):
            m.quote(bid=bad, size=1)

    with pytest.raises(StrategyError, match=r"on_book: (ValueError: price and size must be numbers|TypeError)"):
        run(Fails(), adds(*TWO_SIDED))


def test_stop_ends_the_run():
    class Ends(Strategy):
        def on_book(self, m):
            self.stop("enough")

    result = run(Ends(), adds(*TWO_SIDED, (9 * SECOND, 3, BUY, 10, 5)))
    assert (result.stopped, result.stats["events"]) == ("enough", 2)
    assert "stopped: enough" in str(result)


def test_ctrl_c_in_a_hook_that_never_returns_leaves_a_result():
    class Endless(Strategy):
        def on_book(self, m):
            threading.Timer(0.2, signal.raise_signal, [signal.SIGINT]).start()
            while True:
                pass

    assert run(Endless(), adds(*TWO_SIDED)).stopped == "interrupted"


def test_markets_are_there_in_hooks_alone():
    strategy = Near()
    with pytest.raises(RuntimeError, match="Near is not in a run"):
        _ = strategy.now
    run(strategy, adds(*TWO_SIDED))
    with pytest.raises(RuntimeError, match="a market is there inside hooks alone: symbol=A"):
        _ = strategy.markets[0].bid
    with pytest.raises(TypeError, match="handles are made by a run"):
        Handle()
    with pytest.raises(ValueError, match="hooks must be those of a strategy: on_tick"):
        PythonStrategy({"on_tick": print}, {0: Instrument("A", TICK, 0.1)})


class Looks(Strategy):
    """Compares what the market of a hook shows with what the same one shows in the hooks of others, and keeps all that it saw."""

    def on_start(self):
        self.seen, self.kinds, self.kept = 0, set(), []

    def look(self, m):
        others = [other for other in self.markets if other is not m]
        for shown in (m, *others):
            best = [levels[0] if levels else (None, 0.0) for levels in (shown.bids, shown.asks)]
            assert [(shown.bid, shown.bid_size), (shown.ask, shown.ask_size)] == best
            assert (shown.bid is None) == (shown.bid_ticks is None)
        self.kinds.add(type(m))
        self.seen += 1
        if m.bid is not None:
            self.kept.append((m.bid, m.bid_ticks, m.position, m.bid_size, m.snapshot()))

    def on_book(self, m):
        self.look(m)
        if m.two_sided:
            m.quote(bid=m.bid, ask=m.ask, size=1)

    def on_trade(self, m, trade):
        self.look(m)

    def on_fill(self, m, fill):
        self.look(m)

    def on_order(self, m, order):
        self.look(m)

    def on_depth(self, m):
        self.look(m)


def test_attributes_of_the_market_of_a_hook_are_its_present_and_what_was_kept_stays(tmp_path):
    rng = np.random.default_rng(7)
    rows, time = [], SECOND
    for i in range(3_000):  # both markets change at one time, now and then
        time += int(rng.integers(0, 2)) * SECOND // 1000
        side = BUY if rng.integers(2) else SELL
        price = 1000 - side * int(rng.integers(-1, 12)) * 5
        rows.append((time, i + 1, side, price, int(rng.integers(1, 50)), int(rng.integers(2))))
    two, one = Looks(), Looks()
    run(two, adds(*rows), symbols=("A", "B"))
    day = tmp_path / "day.itch"
    day.write_bytes(synthetic.generate(20_000, 1))
    hft.backtest(one, day)
    assert min(two.seen, one.seen) > 2_000
    assert len({position for _, _, position, *_ in one.kept}) > 5
    for looks, tick in ((two, 100), (one, 10_000)):
        assert all(issubclass(kind, Handle) and kind.__name__ == "Handle" for kind in looks.kinds)
        assert all(bid == ticks / tick for bid, ticks, *_ in looks.kept)
        assert all((bid, position, size) == (copy.bid, copy.position, copy.bid_size) for bid, _, position, size, copy in looks.kept)


def test_a_failed_hook_leaves_no_present_behind():
    class Fails(Strategy):
        def on_book(self, m):
            self.kept = m
            with pytest.raises(AttributeError):
                m.bid = 1.0
            raise KeyError("x")

    strategy = Fails()
    with pytest.raises(StrategyError, match="KeyError: 'x'"):
        run(strategy, adds(*TWO_SIDED))
    with pytest.raises(RuntimeError, match="a market is there inside hooks alone: symbol=A"):
        _ = strategy.kept.bid


class Records(Strategy):
    """Every way to record a row."""

    def on_book(self, m):
        names = {"x": m.bid_size}
        self.record(m, x=m.bid_size, y=1)
        self.record(x=True)
        self.record(market=m, y=2.5)
        self.record(market=None, **names)
        self.record(self.markets[-1])


class RecordsItself(Records):
    def record(self, market=None, **columns):  # the one of the base, from a class of the user's
        super().record(market, **columns)


class RecordsWrongly(Records):
    def on_book(self, m):
        super().on_book(m)
        wrong = [((m, m), {}, "record"), ((m,), {"market": m}, "multiple values for argument 'market'")]
        wrong += [((m,), {"x": 1.0, "y": "wide"}, "must be real number, not str"), ((), {"x": None}, "must be real number, not NoneType")]
        for arguments, columns, error in wrong:
            with pytest.raises(TypeError, match=error):
                self.record(*arguments, **columns)


def test_rows_are_recorded_in_every_way_and_a_row_that_fails_leaves_nothing():
    events = adds(*TWO_SIDED, (2 * SECOND, 3, BUY, 1000, 7))
    one, *others = (run(kind(), events).records for kind in (Records, RecordsItself, RecordsWrongly))
    assert one["symbol"].tolist()[:5] == ["A", "", "A", "", "A"]
    assert (one["x"].tolist()[:2], one["y"].tolist()[0], one["y"].tolist()[2]) == ([5.0, 1.0], 1.0, 2.5)
    for two in others:
        assert list(one) == list(two)
        for name in set(one) - {"strategy"}:
            np.testing.assert_array_equal(one[name], two[name])


def test_hook_may_be_any_callable():
    seen = []

    class Partial(Strategy):
        on_book = functools.partial(lambda seen, m: seen.append(m.bid), seen)

    run(Partial(), adds(*TWO_SIDED))
    assert seen == [10.0]


def test_fees_are_those_of_the_venue():
    result = run(Near(), adds(*TWO_SIDED, (2 * SECOND, 3, SELL, 990, 8)), maker_fee="1%")
    row = result.stats["symbols"]["A"]
    assert row["fees"] == pytest.approx(0.01 * 9.95 * 0.8, rel=1e-12)
    assert "maker fee 1%, taker fee 0" in str(result)
    with pytest.raises(ValueError, match="maker"):
        run(Near(), adds(*TWO_SIDED), maker_fee="much")


def test_printed_result_says_what_was_assumed():
    text = str(run(Near(), adds(*TWO_SIDED), latency="order=1ms,response=2ms"))
    assert re.search(r"^Near on A, given, 00:00:01 to 00:00:01 +run \w{8}\n", text)
    assert "fills exact by order; latency order=1ms,response=2ms; fees 0 (not set); no market impact" in " ".join(text.split())
    assert "2 sent, 0 filled (0.0%), 0 refused" in text
