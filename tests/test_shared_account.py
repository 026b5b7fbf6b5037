"""Several strategies on one account: each has its own wishes, orders, reports and positions; limits count the account, no two of them trade
with each other, and the sums over strategies are the account, to the last unit."""

import ctypes
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit import examples
from makers.given import SECOND, TWO_SIDED, adds, execution, run
from makers.own_orders import OwnOrders
from makers.quotes import QuoteFeed, walk
from makers.wild import Wild

import hft
from fastcore.desk import Desk
from fastcore.engine import Engine
from fastcore.instruments import Instrument
from fastcore.journal import Journal
from fastcore.market import Market
from fastcore.money import Fees
from fastcore.records import BUY, EVENT_DTYPE, FLAGS, KINDS, NO_PRICE, SELL
from fastcore.risk import RiskLimits
from fastcore.sim.simulator import Simulator
from fastcore.source import EventSource
from fastcore.strategies.foreign import CONTEXT_DTYPE, ForeignStrategy
from fastcore.tickstore import TickStore
from hft.journal import Inputs, Recording, compare, words
from hft.strategy import Strategy, every

ON = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
MS = 1_000_000
REPORTS = [KINDS[name] for name in ("ack", "fill", "reject", "pulled")]
END = (20 * SECOND, 99, BUY, 500, 1)


def at(address, dtype, count=1):
    """The records at an address, as a view."""
    return np.frombuffer((ctypes.c_char * (dtype.itemsize * count)).from_address(address), dtype)


class Acts(Strategy):
    """Does one thing at each of some seconds of the day, and keeps what it is told."""

    def __init__(self, **acts):
        super().__init__()
        self.acts = {int(name[1:]): act for name, act in acts.items()}

    def on_start(self):
        self.told, self.seen = [], {}

    @every("1s")
    def clock(self):
        m = self.markets[0]
        self.seen[self.now // SECOND] = (m.position, m.account_position, m.working.bid, m.working.ask)
        act = self.acts.get(self.now // SECOND)
        if act is not None:
            self.made = act(m)

    def on_fill(self, m, fill):
        self.told.append(("fill", fill.side, fill.price, fill.size, m.position, m.account_position))

    def on_order(self, m, order):
        self.told.append((order.state, order.side, order.price, order.why))


def both(a, b, *arrays, **options):
    return run({"a": a, "b": b}, adds(*TWO_SIDED), *(arrays or (adds(END),)), **options)


def resting(result):
    """(side, price, lots left) of all orders at the venue."""
    return sorted(row[1:4] for row in result.engine.source.venues[0].orders())


# ---- cases ----


def test_each_has_quotes_of_its_own():
    a = Acts(t2=lambda m: m.quote(9.9, 10.3, 1.0), t4=lambda m: m.pull())
    b = Acts(t2=lambda m: m.quote(9.8, 10.4, 2.0), t3=lambda m: m.quote(9.85, 10.4, 2.0))
    result = both(a, b)
    assert resting(result) == [(-1, 1040, 20), (1, 985, 20)]
    assert a.seen[3][2:] == a.seen[4][2:] == (9.9, 10.3), "a quote of another leaves it alone"
    assert (a.seen[5][2:], b.seen[5][2:]) == ((None, None), (9.85, 10.4))
    assert result.orders["strategy"].tolist() == ["a", "a", "b", "b", "b"]


def test_each_is_told_of_its_own_orders():
    a, b = Acts(t2=lambda m: m.buy(1.0, 10.0)), Acts(t2=lambda m: m.quote(9.8, 10.4, 2.0))
    result = both(
        a, b, adds((2500 * MS, 7, BUY, 1000, 50)), execution(3 * SECOND, 1, 50), execution(5 * SECOND, 7, 50), adds(END)
    )  # fmt: skip
    assert [row[0] for row in a.told] == ["working", "fill", "filled"]
    assert a.told[1] == ("fill", 1, 10.0, 1.0, 1.0, 1.0)
    assert [row[0] for row in b.told] == ["working", "working"]
    assert (a.seen[6][:2], b.seen[6][:2]) == ((1.0, 1.0), (0.0, 1.0))
    assert result.fills["strategy"].tolist() == ["a"]


def test_positions_are_held_one_against_the_other():
    a, b = Acts(t2=lambda m: m.target(1.0, "0s")), Acts(t3=lambda m: m.target(-0.4, "0s"))
    result = both(a, b)
    assert (a.seen[5][:2], b.seen[5][:2]) == (pytest.approx((1.0, 0.6)), pytest.approx((-0.4, 0.6)))
    assert result.by_strategy["position"].tolist() == [1.0, -0.4]
    assert result.by_strategy["volume"].tolist() == [1.0, 0.4]
    assert result.by_strategy["fills"].tolist() == [1, 1]
    assert sum(result.by_strategy["profit"]) == pytest.approx(result.stats["symbols"]["A"]["profit"])


class Sees(Strategy):
    def on_fill(self, m, fill):
        self.record(m, own=m.position, account=m.account_position, filled=fill.size)

    def on_trade(self, m, trade):
        m.quote(bid=10.0, size=0.5)


def test_compiled_strategies_see_the_same():
    pytest.importorskip("numba", exc_type=ImportError)
    events = execution(4 * SECOND, 1, 20), adds((5 * SECOND, 8, BUY, 1000, 40)), execution(6 * SECOND, 1, 30), execution(7 * SECOND, 8, 10)
    plain, fast = (both(kind(), Acts(t2=lambda m: m.target(2.0, "0s")), *events) for kind in (Sees, hft.compiled(Sees)))
    assert fast.orders_hash == plain.orders_hash
    rows = [(r.own, r.account) for r in fast.records.to_pandas().itertuples()]
    assert rows
    assert all(account - own == pytest.approx(2.0) for own, account in rows)
    assert repr(fast.records) == repr(plain.records)


def test_limits_count_the_account():
    a, b = Acts(t2=lambda m: m.quote(bid=9.9, size=2.0)), Acts(t3=lambda m: m.quote(bid=9.8, size=1.0))
    result = both(a, b, limits=RiskLimits(1000, 25, 1000))
    assert resting(result) == [(1, 990, 20)]
    assert (b.told, a.told) == ([("refused", 1, 9.8, "limit position")], [("working", 1, 9.9, "")])
    assert (result.rejects["strategy"].tolist(), result.rejects["order"].tolist()) == (["b"], [0])


def sends(kind):
    """Ways to send an order that buys at 10.15, where another sells."""
    return {
        "quote": lambda m: m.quote(bid=10.15, size=1.0),
        "ladder": lambda m: m.quote(bids=[(10.15, 1.0), (9.8, 1.0)]),
        "order": lambda m: m.buy(1.0, 10.15),
        "ioc": lambda m: m.buy(1.0, 10.15, "ioc"),
    }[kind]


@pytest.mark.parametrize("kind", ["quote", "ladder", "order", "ioc"])
@pytest.mark.parametrize("latency", ["0", "300ms", "order=2s,response=2s"])
def test_orders_of_two_strategies_do_not_meet(kind, latency):
    a, b = Acts(t2=lambda m: m.quote(ask=10.1, size=1.0)), Acts(t3=sends(kind))
    result = both(a, b, latency=latency)
    assert (SELL, 1010, 10) in resting(result)
    assert result.engine.desk.limits.rejected == {"would meet an own order": 1}
    assert [row for row in b.told if row[0] == "refused"] == [("refused", 1, 10.15, "self trade")]


def test_move_that_would_meet_another_is_refused_and_leaves_the_order():
    b = Acts(t2=lambda m: m.buy(1.0, 9.9), t4=lambda m: b.made.move(10.15))
    a = Acts(t3=lambda m: m.quote(ask=10.1, size=1.0))
    result = both(a, b)
    assert resting(result) == [(-1, 1010, 10), (1, 990, 10)]
    assert b.told[-1][3] == "self trade"


def test_quote_that_was_refused_comes_when_the_other_has_gone():
    a = Acts(t2=lambda m: m.quote(ask=10.1, size=1.0), t5=lambda m: m.quote(ask=10.2, size=1.0))
    b = Acts(t3=lambda m: m.quote(bid=10.15, size=1.0))
    result = both(a, b)
    assert [row[0] for row in b.told] == ["refused", "working"]
    assert b.seen[5][2] is None
    assert b.seen[6][2] == 10.15
    assert resting(result) == [(-1, 1020, 10), (1, 1015, 10)]


def test_order_that_was_moved_makes_room():
    a = Acts(t2=lambda m: m.sell(1.0, 10.1), t5=lambda m: a.made.move(10.2))
    b = Acts(t3=lambda m: m.quote(bid=10.15, size=1.0))
    assert resting(both(a, b)) == [(-1, 1020, 10), (1, 1015, 10)]


class Thief(hft.NativeStrategy):
    """Cancels or moves order 1, whosever it is, and says that it is the first strategy."""

    def __init__(self, kind):
        super().__init__()
        self.kind = KINDS[kind]

    def core(self, markets):
        def on(strategy, context, hook, event, change):
            c = at(context, CONTEXT_DTYPE)[0]
            self.owner = int(c["owner"])
            if c["now_ns"] >= 3 * SECOND:
                command = at(int(c["out"]), EVENT_DTYPE, int(c["room"]))[int(c["n"])]
                command["seq"], command["exch_ns"], command["local_ns"], command["symbol_id"] = 0, c["now_ns"], c["now_ns"], 0
                command["kind"], command["side"], command["flags"] = self.kind, 0, FLAGS["own"]
                command["price"], command["size"], command["order_id"], command["match_id"] = 1005, 3, 1, 0
                c["n"] += 1
            return 0

        return ForeignStrategy(ON(on), list(markets), ["book"])


@pytest.mark.parametrize("kind", ["pull", "amend"])
def test_orders_of_another_cannot_be_touched(kind):
    a, thief = Acts(t2=lambda m: m.buy(1.0, 9.9)), Thief(kind)
    result = both(a, thief, adds((3 * SECOND, 5, BUY, 1005, 5), END))
    assert resting(result) == [(1, 990, 10)]
    assert [row[0] for row in a.told] == ["working"], "nobody tells it what the other has tried"
    assert (result.rejects["reason"].tolist(), result.rejects["strategy"].tolist()) == (["unknown order"], ["b"])
    assert thief.owner == 1


def test_kill_and_loss_limit_take_all_of_them():
    limits = RiskLimits(1000, 1000, 1000)
    a = Acts(t2=lambda m: m.quote(9.9, 10.3, 1.0), t4=lambda m: limits.kill(by="test"), t6=lambda m: limits.arm(by="test"))
    b = Acts(t2=lambda m: m.quote(9.8, 10.4, 2.0), t3=lambda m: m.buy(0.3, 9.7), t4=lambda m: None)
    rows = adds(*[(t * SECOND + MS, 10 + t, SELL, 1100 + t, 5) for t in range(3, 9)], END)
    result = both(a, b, rows, limits=limits)
    assert (a.seen[5][2:], b.seen[5][2:]) == ((None, None), (None, None))
    assert (a.seen[8][2:], b.seen[8][2:]) == ((9.9, 10.3), (9.8, 10.4))
    assert resting(result) == [(-1, 1030, 10), (-1, 1040, 20), (1, 980, 20), (1, 990, 10)]


def test_result_says_whose_profit_it_is(tmp_path):
    a, b = Acts(t2=lambda m: m.target(1.0, "0s")), Acts(t3=lambda m: m.target(-0.4, "0s"))
    result = both(a, b, maker_fee=0.01, taker_fee=0.02)
    printed = str(result)
    assert "a               A: profit -0.1200, 1 fills, 1 at the end" in printed, printed
    own = dict(result.stats["strategies"]["b"]["A"])
    assert own.pop("currency") == ""
    assert own == pytest.approx({"profit": -0.048, "fees": 0.008, "position": -0.4, "volume": 0.4, "fills": 1})
    assert "profit -0.1200, 1 fills, 1 at the end" in result.report(tmp_path / "x.html").read_text("utf-8")
    result.save(tmp_path / "kept")
    again = hft.load(tmp_path / "kept")
    for name in ("by_strategy", "fills", "orders", "quotes", "rejects"):
        table, kept = getattr(result, name), getattr(again, name)
        assert {key: values.tolist() for key, values in kept.items()}.__repr__() == {key: v.tolist() for key, v in table.items()}.__repr__()
    assert (again.stats["strategies"], again.id) == (result.stats["strategies"], result.id)


def test_one_strategy_has_neither_columns_nor_lines_of_its_own():
    result = run(Acts(t2=lambda m: m.target(1.0, "0s")), adds(*TWO_SIDED), adds(END))
    assert "strategies" not in result.stats
    assert "strategy" not in result.fills
    assert "owners" not in result._arrays
    assert result.by_strategy["strategy"].tolist() == ["Acts"]
    assert result.by_strategy["profit"].tolist() == [pytest.approx(result.stats["symbols"]["A"]["profit"])]
    assert not result.engine.owners().any()


def test_more_strategies_than_an_account_has_room_for_are_refused():
    strategies = {f"s{i:03d}": Acts() for i in range(257)}
    with pytest.raises(ValueError, match="a desk has at most 256 strategies, .*: strategies=257"):
        run(strategies, adds(*TWO_SIDED))
    result = run(dict(list(strategies.items())[:256]), adds(*TWO_SIDED, END))
    assert len(result.by_strategy["profit"]) == 256


def test_positions_and_profits_are_those_of_strategies_that_there_are():
    desk = Desk(symbols=4)
    desk.open(0)
    assert desk.profit(0, 0) == desk.profit(0) == 0
    for call in (desk.position, desk.profit):
        with pytest.raises(ValueError, match=r"strategy must be in 0\.\.0: strategy=1"):
            call(0, 1)
    market = Market("quotes", symbols=4)
    source = Simulator(EventSource([]), market)
    source.open(0)
    assert Engine(source, market, desk, {}).owners().tolist() == []


# ---- laws ----

LATENCIES = ["0", "1ms", "order=7ms,response=normal(4ms,3ms)", "order=lognormal(6ms,4ms),response=9ms,feed=12ms"]
TABLES = [
    (Instrument("A", 0.01, 1.0, currency="USD"), Instrument("B", 0.5, 1.0, multiplier=10.0, currency="USD")),
    (Instrument("A", 0.01, 1.0, currency="USD"), Instrument("B", 0.5, 1.0, multiplier=100.0, kind="inverse", currency="BTC")),
]


def lived(place, seed, latency, table, names):
    events = walk((10_000, 2_000), seed, 300, 3 * MS, (0, 1, -1, 4, -4, 7, -7))
    path = place / f"{len(list(place.iterdir()))}.ticks"
    strategies = {name: Wild() for name in names}
    for name, strategy in strategies.items():
        strategy._name = name
    with TickStore(path, "a", EVENT_DTYPE, grow_records=4096) as store:
        recording = Recording(place, Inputs("backtest", [], {}, {}), Journal(store))
        result = hft.backtest(
            strategies, QuoteFeed(events, table), symbols=["A", "B"], latency=latency, seed=seed, recording=recording,
            limits=RiskLimits(1000, 200, 1000, max_open_orders=40), fees=Fees("0.01%", "0.03%", 0.25, tiers=((1000, "0.005%", "0.02%"),)),
        )  # fmt: skip
        return result, store.records().copy()


def meetings(journal):
    """Orders that left although they would have met one of another strategy, as far as a client could know."""
    whose = {int(e["order_id"]): int(e["seq"]) >> 56 for e in journal if e["kind"] in REPORTS and e["order_id"] > 0}
    own, found = OwnOrders(), []
    for e in journal:
        if e["kind"] == KINDS["replace"]:
            whose[int(e["match_id"])] = whose.get(int(e["order_id"]))
        if e["kind"] in (KINDS["order"], KINDS["replace"], KINDS["amend"]) and e["price"] != NO_PRICE:
            number, side, price = own.change(e)[0], int(e["side"]), int(e["price"])
            for than, order in own.live.items():
                if (order.symbol, order.side) == (int(e["symbol_id"]), -side) and whose.get(than) != whose.get(number):
                    found += [(number, than) for p in order.prices if side * price >= side * p and than in whose and number in whose]
        own.add(e)
    return found


@examples(25)
@given(st.integers(0, 2**32), st.sampled_from(LATENCIES), st.sampled_from(TABLES), st.integers(2, 4))
def test_sums_over_strategies_are_the_account(tmp_path_factory, seed, latency, table, count):
    names = [f"s{i}" for i in range(count)]
    result, journal = lived(tmp_path_factory.mktemp("run"), seed, latency, table, names)
    desk, reports, owners = result.engine.desk, result.engine.reports(), result.engine.owners()
    fills = reports["kind"] == KINDS["fill"]
    for row in (0, 1):
        account, held = desk.position(row), [desk.position(row, i) for i in range(count)]
        for name in ("position_lots", "bought_lots", "sold_lots", "fills", "cash", "fees", "turnover"):
            assert sum(getattr(position, name) for position in held) == getattr(account, name), name
        profits = [desk.profit(row, i) for i in range(count)]
        assert sum(profits) == desk.profit(row)
        for i, position in enumerate(held):
            own = reports[fills & (owners == i) & (reports["symbol_id"] == row)]
            assert position.position_lots == int((own["side"].astype(int) * own["size"]).sum())
            assert position.fills == len(own)
            net = position.net(desk.mid_ticks(row)) if desk.mid_ticks(row) else 0
            inverse = table[row].kind == "inverse"
            assert abs(profits[i] - net) <= (Fraction(2, 10**9) if inverse else 0)
            if not inverse:
                assert position.cash == -int((own["side"].astype(int) * own["size"] * own["price"]).sum())
    assert [s.fills for s in result.strategies.values()] == [int((fills & (owners == i)).sum()) for i in range(count)]
    assert sum(Fraction(each["profit"]) for each in result._kept["accounts"][0]["strategies"].values()) == desk.profit(0)
    assert meetings(journal) == []


@examples(8)
@given(st.integers(0, 2**32), st.sampled_from(LATENCIES))
def test_order_of_registration_and_a_rerun_change_no_byte(tmp_path_factory, seed, latency):
    place = tmp_path_factory.mktemp("run")
    one, two, three = (lived(place, seed, latency, TABLES[0], names)[1] for names in (("a", "b", "c"), ("c", "a", "b"), ("a", "b", "c")))
    assert compare(len(one), one, two).difference == compare(len(one), one, three).difference == ""
    assert len(one) > 100


class OnOne(Wild):
    """The same on one of two markets."""

    def __init__(self, symbol, seed):
        super().__init__()
        self.symbol, self.seed = symbol, seed

    def on_start(self):
        super().on_start()
        self.random.seed(self.seed)

    def on_book(self, m):
        if m.symbol == self.symbol:
            super().on_book(m)


@examples(15)
@given(st.integers(0, 2**32), st.sampled_from(["0", "1ms", "order=3ms,response=1ms,feed=4ms"]))
def test_strategies_that_do_not_meet_send_what_each_sends_alone(seed, latency):
    """On markets of their own, with no limit between them: but for the numbers of orders."""
    events = walk((10_000, 2_000), seed, 300, 3 * MS, (0, 1, -1, 4, -4, 7, -7))

    def told(**strategies):
        result = hft.backtest(strategies, QuoteFeed(events, TABLES[0]), symbols=["A", "B"], latency=latency)
        names = ["exch_ns", "local_ns", "kind", "side", "flags", "price", "size", "seq"]
        return [result._reports[result._reports["symbol_id"] == row][names].tolist() for row in (0, 1)]

    together = told(a=OnOne("A", seed), b=OnOne("B", seed + 1))
    assert together == [told(a=OnOne("A", seed))[0], told(b=OnOne("B", seed + 1))[1]]
    assert min(map(len, together)) > 10


def test_auditor_of_meetings_sees_one(tmp_path):
    """Quotes and orders of one strategy do meet: the venue refuses that."""
    _, journal = lived(tmp_path, 5, "1ms", TABLES[0], ["a"])
    assert meetings(journal) == []
    journal["seq"] |= (journal["side"] < 0).astype(np.uint64) << np.uint64(56)  # one strategy that buys, and one that sells
    assert meetings(journal) != []


def test_journal_says_whose_a_report_is(tmp_path):
    _, journal = lived(tmp_path, 5, "1ms", TABLES[0], ["a", "b"])
    told = [words(e) for e in journal]
    assert any(text.endswith(", strategy 1") for text in told)
    assert all(int(text.rpartition("cause ")[2].partition(",")[0]) >= 0 for text in told)
    assert not any(len(text.rpartition("cause ")[2]) > 30 for text in told)
