"""Runs over instruments of several currencies: no unit of money is lost, limits and reports are in one currency, and what cannot be
computed refuses."""

import json
from fractions import Fraction

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from kit import examples
from makers.quotes import SECOND, QuoteFeed, put_quote, walk

import hft
from fastcore.instruments import Instrument
from fastcore.money import Fees
from fastcore.records import EVENT_DTYPE, FLAGS, KINDS
from fastcore.risk import RiskLimits, rate_inverted
from hft.cli import CONFIGURATION, main
from hft.config import ConfigError, Conversion, Group, Limits, SymbolLimits, Traded
from hft.currencies import rate
from hft.project import create
from hft.strategy import Strategy

TABLE = (
    Instrument("SHARE", 0.01, 1.0),
    Instrument("ES", 0.25, 1.0),
    Instrument("DAX", 0.5, 1.0),
    Instrument("XBT", 0.5, 1.0),
    Instrument("SPREAD", 0.01, 0.1),
    Instrument("EURUSD", 0.00005, 1000.0),
    Instrument("USDJPY", 0.005, 1000.0),
    Instrument("NIKKEI", 5.0, 1.0),
)
MIDDLES = {"SHARE": 2_000, "ES": 21_000, "DAX": 36_000, "XBT": 120_000, "SPREAD": 0, "EURUSD": 22_000, "USDJPY": 30_000, "NIKKEI": 8_000}
SAID = {
    "SHARE": {"currency": "USD", "fees": {"maker_fee": -0.0029, "taker_fee": "0.00295", "order_fee_usd": 0.35}},
    "ES": {"currency": "USD", "multiplier": 50, "fees": {"maker_fee": 0.85, "taker_fee": 2.25, "tiers": [[3e7, 0.5, 1.25]]}},
    "DAX": {"currency": "EUR", "multiplier": 25, "fees": {"maker_fee": "0.5bps", "taker_fee": "0.01%", "order_fee_usd": 1}},
    "XBT": {"currency": "BTC", "kind": "inverse", "fees": {"maker_fee": "-0.025%", "taker_fee": "0.075%"}},
    "SPREAD": {"currency": "EUR", "signed_prices": True},
    "EURUSD": {"currency": "USD"},
    "USDJPY": {"currency": "JPY"},
    "NIKKEI": {"currency": "JPY", "multiplier": 1000},
}
RATES = {"EUR": "EURUSD", "JPY": "USDJPY", "BTC": "XBT"}


def day(seed, steps=1_500):
    return walk([MIDDLES[i.symbol] for i in TABLE], seed, steps)


class Everywhere(Strategy):
    """Quotes at and around the best prices of all markets."""

    def on_start(self):
        self.refused = []

    def on_book(self, m):
        if m.two_sided:
            off = self.random.choice([0, 0, 1]) * m.tick
            m.quote(bid=m.bid - off, ask=m.ask + off, size=m.lot * self.random.choice([3, 7, 11]))

    def on_order(self, m, order):
        if order.refused:
            self.refused.append((m.symbol, order.why))


def run(seed=1, symbols=tuple(i.symbol for i in TABLE), **options):
    options = {"instruments": SAID, "currency": "USD", "rates": RATES} | options
    return hft.backtest(Everywhere(), QuoteFeed(day(seed), TABLE), symbols=symbols, **options)


def schedule(symbol):
    """Per lot, share of the value, per order, and tiers of the same, as fractions: maker and taker."""
    fees = msgspec.convert(SAID[symbol].get("fees", {}), hft.config.Fees).schedule()

    def parts(value):
        text = str(value)
        if text.endswith("%"):
            return Fraction(0), Fraction(text[:-1]) / 100
        return (Fraction(0), Fraction(text[:-3]) / 10_000) if text.endswith("bps") else (Fraction(text), Fraction(0))

    return [(Fraction(str(start)), parts(maker), parts(taker)) for start, maker, taker in [(0, fees.maker, fees.taker), *fees.tiers]], Fraction(
        str(fees.per_order)
    )


def towards_zero(x, step):
    whole = abs(x) // step * step
    return whole if x >= 0 else -whole


def accounted(result, row):
    """Profit and fees of an instrument in its currency, from its fills in fractions."""
    instrument, reports = result.markets[row], result.engine.reports()
    tiers, per_order = schedule(instrument.symbol)
    value_of_unit, lot = instrument.unit_value, Fraction(repr(instrument.lot_size))

    def worth(price, lots):
        if instrument.kind == "inverse":
            return towards_zero(Fraction(-lots * 10**9, price), Fraction(1, 10**9))
        return Fraction(price * lots)

    cash = fees = turnover = Fraction(0)
    position, seen = 0, set()
    for e in reports[(reports["kind"] == KINDS["fill"]) & (reports["symbol_id"] == row)]:
        side, lots, value = int(e["side"]), int(e["size"]), worth(int(e["price"]), int(e["size"]))
        _, maker, taker = [tier for tier in tiers if tier[0] <= turnover * value_of_unit][-1]
        per_unit, share = maker if e["flags"] & FLAGS["maker"] else taker
        fees += per_unit * lot * lots / value_of_unit + towards_zero(abs(value) * share, Fraction(1, 10**9))
        if int(e["order_id"]) not in seen:
            fees += per_order / value_of_unit
        seen.add(int(e["order_id"]))
        cash, position, turnover = cash - side * value, position + side * lots, turnover + abs(value)
    mark = result.engine.desk.mid_ticks(row)
    return (cash + (worth(mark, position) if position else 0) - fees) * value_of_unit, fees * value_of_unit, turnover * value_of_unit


@examples(12)
@given(st.integers(0, 2**32))
def test_no_unit_of_money_is_lost(seed):
    result = run(seed)
    desk, sums = result.engine.desk, {}
    for row, instrument in result.markets.items():
        profit, fees, traded = accounted(result, row)
        assert desk.profit(row) * instrument.unit_value == profit
        assert desk.position(row).fees * instrument.unit_value == fees
        assert desk.position(row).turnover * instrument.unit_value == traded
        before = sums.get(instrument.currency, (0, 0, 0))
        sums[instrument.currency] = tuple(a + b for a, b in zip(before, (profit, fees, traded), strict=True))
    stats = result.stats
    told = {name: tuple(own[key] for key in ("profit", "fees", "traded")) for name, own in stats["currencies"].items()}
    assert told == {name: tuple(map(float, own)) for name, own in sums.items()}
    rates = {"USD": Fraction(1)}
    for currency, symbol in RATES.items():
        row = next(row for row, i in result.markets.items() if i.symbol == symbol)
        price = desk.mid_ticks(row) * Fraction(repr(result.markets[row].tick_size))
        rates[currency] = 1 / price if currency == "JPY" else price
    for i, name in enumerate(("profit", "fees", "traded")):
        assert stats["total"][name] == float(sum(own[i] * rates[currency] for currency, own in sums.items()))
    assert stats["fills"] > 50
    assert "together        " in str(result)


def test_multiplier_of_a_future_counts_from_order_to_profit():
    plain, es = (
        run(symbols=("ES",), rates={}, instruments={"ES": {"currency": "USD", "multiplier": m}}).stats["symbols"]["ES"] for m in (1, 50)
    )
    assert es["fills"] == plain["fills"] > 10
    assert (es["profit"], es["traded"]) == (50 * plain["profit"], 50 * plain["traded"])
    held = Limits(max_order_shares=None, max_position_shares=None, price_collar_usd=None, max_order_value_usd=50 * 5_300 * 7)
    result = run(symbols=("ES",), rates={}, instruments={"ES": {"currency": "USD", "multiplier": 50}}, limits=held)
    assert result.engine.desk.limits.rejected.keys() == {"order value"}
    assert set(result.orders["size"]) <= {3.0, 7.0}


def test_prices_below_zero_go_from_feed_to_profit():
    result = run(1, symbols=("SPREAD",), rates={}, currency="EUR", instruments={"SPREAD": SAID["SPREAD"]})
    prices = result.fills["price"]
    assert min(prices) < 0 < max(prices)
    assert result.engine.market.book_errors == 0
    assert result.engine.desk.profit(4) * Fraction(1, 1000) == accounted(result, 4)[0]
    positive = run(1, symbols=("SPREAD",), rates={}, instruments={})
    assert positive.engine.market.book_errors > 0, "an instrument whose prices must be positive"


NONE = {"max_order_shares": None, "max_position_shares": None, "price_collar_usd": None}


def exposure(result, rate_of):
    """Largest gross value in the limits' currency at the middle prices, from the reports, with the orders that work."""
    worst = 0
    desk = result.engine.desk
    for row, instrument in result.markets.items():
        held = abs(desk.position(row).position_lots)
        worst += held * desk.mid_ticks(row) * float(instrument.unit_value) * rate_of[instrument.currency]
    return worst


def test_limits_over_symbols_count_in_one_currency():
    """What one instrument holds leaves less room to the other, at the rate."""
    symbols, said = ("DAX", "ES"), {name: SAID[name] for name in ("DAX", "ES")}
    wide = run(3, symbols, instruments=said, rates={"EUR": 1.1})
    most = exposure(wide, {"USD": 1.0, "EUR": 1.1})
    tight = Limits(**NONE, max_gross_value_usd=most / 2)
    held = run(3, symbols, instruments=said, rates={"EUR": 1.1}, limits=tight)
    assert held.engine.desk.limits.rejected.keys() == {"gross exposure"}
    assert exposure(held, {"USD": 1.0, "EUR": 1.1}) <= most / 2 * 1.02, "prices have moved since"


def test_group_holds_its_members_alone():
    symbols, said = ("DAX", "ES", "SHARE"), {name: SAID[name] for name in ("DAX", "ES", "SHARE")}
    group = Limits(**NONE, groups={"index": Group(symbols=["DAX", "ES"], max_gross_value_usd=1.0)})
    result = run(3, symbols, instruments=said, rates={"EUR": 1.1}, limits=group)
    assert result.engine.desk.limits.rejected.keys() == {"gross exposure of a group"}
    assert set(result.orders["symbol"]) == {"SHARE"}


def test_limit_without_a_rate_refuses_and_the_sum_is_not_given():
    symbols, said = ("DAX", "ES"), {name: SAID[name] for name in ("DAX", "ES")}
    result = run(3, symbols, instruments=said, rates={}, limits=Limits(**NONE, max_order_value_usd=1e12))
    assert result.engine.desk.limits.rejected.keys() == {"order value"}
    assert set(result.orders["symbol"]) == {"ES"}
    without = run(3, symbols, instruments=said, rates={})
    assert without.stats["total"]["profit"] is None
    assert "together        no rate or price" in str(without)


def test_rate_of_an_instrument_moves_the_limits_with_its_price():
    """The same order passes at one price of the euro and not at another, also for orders that are not in euros."""
    events = np.zeros(5, EVENT_DTYPE)
    quotes = (2, 36_000, 36_004), (5, 20_000, 20_002), (2, 36_001, 36_005), (5, 22_000, 22_002), (2, 36_000, 36_004)
    for n, (symbol, bid, ask) in enumerate(quotes):
        events[n]["exch_ns"], events[n]["symbol_id"], events[n]["kind"] = SECOND * (n + 1), symbol, KINDS["quote"]
        put_quote(events[n], bid, ask, 10, 10)

    class Once(Strategy):
        def on_book(self, m):
            if m.symbol == "DAX":
                m.quote(bid=m.bid, size=1)

        def on_order(self, m, order):
            self.log(order.why if order.refused else f"{order.state} {order.price}")

    value = 18_000.5 * 25
    result = hft.backtest(
        Once(), QuoteFeed(events, TABLE), symbols=["DAX"], instruments={name: SAID[name] for name in ("DAX", "EURUSD")}, currency="USD",
        rates={"EUR": "EURUSD"}, limits=Limits(**NONE, max_order_value_usd=value * 1.05),
    )  # fmt: skip
    said = [text for _, _, text in result.log]
    assert said[0] == "limit value", "the euro has no price yet"
    assert said[1] == "working 18000.5"
    assert sorted(said[2:]) == ["cancelled 18000.5", "limit value"]
    assert result.stats["total"] == {"currency": "USD", "profit": 0.0, "fees": 0.0, "traded": 0.0}


def test_rate_can_be_upside_down_or_that_of_an_inverse_contract():
    def of(symbol):
        return next(Traded(**{k: v for k, v in SAID[i.symbol].items() if k != "fees"}).of(i) for i in TABLE if i.symbol == symbol)

    assert not rate_inverted(of("EURUSD"), "EUR", "USD")
    assert rate_inverted(of("USDJPY"), "JPY", "USD")
    assert not rate_inverted(of("XBT"), "BTC", "USD")
    with pytest.raises(ValueError, match="must have one of the two currencies: symbol='USDJPY' currency='JPY' from='EUR' to='USD'"):
        rate_inverted(of("USDJPY"), "EUR", "USD")


@pytest.mark.parametrize(
    ("options", "error", "rule"),
    [
        ({"rates": {"EUR": "GBPUSD"}}, LookupError, "GBPUSD"),
        ({"rates": {"EUR": "USDJPY"}}, ValueError, "must have one of the two currencies"),
        ({"rates": {"USD": 1.0}}, ValueError, "rates must be those of other currencies: currency='USD'"),
        ({"rates": {"EUR": 0.0}}, ValueError, "rates"),
        ({"instruments": {"SHARES": {"multiplier": 2}}}, ValueError, "must be those of the run: symbol='SHARES'; did you mean SHARE"),
        ({"instruments": {"SHARE": {"multiplier": -2}}}, ValueError, "multiplier"),
        ({"limits": Limits(groups={"g": Group(symbols=["X"])})}, ConfigError, "limits must be those of an instrument of the run .*'X'"),
        ({"limits": Limits(symbols={"X": SymbolLimits()})}, ConfigError, "limits must be those of an instrument of the run .*'X'"),
    ],
)  # fmt: skip
def test_what_is_not_in_the_run_is_said(options, error, rule):
    with pytest.raises(error, match=rule):
        run(**options)


@pytest.mark.parametrize(
    ("make", "rule"),
    [
        (lambda: Limits(min_order_shares=5, max_order_shares=4), "min_order_shares must not exceed max_order_shares"),
        (lambda: Limits(max_net_value_usd=5, max_gross_value_usd=4), "max_net_value_usd must not exceed max_gross_value_usd"),
        (lambda: Limits(max_order_value_usd=5, max_gross_value_usd=4), "max_order_value_usd must not exceed max_gross_value_usd"),
        (lambda: Limits(messages_per_second=5, messages_per_minute=4), "messages_per_second must not exceed messages_per_minute"),
        (lambda: Limits(groups={"g": Group(symbols=[], max_net_value_usd=2, max_gross_value_usd=1)}), "max_net_value_usd must not exceed"),
        (lambda: Limits(groups={n: Group(symbols=["A"]) for n in "gh"}), "an instrument must be in one group at most: symbol='A'"),
    ],
)  # fmt: skip
def test_limits_that_contradict_each_other_are_refused_by_the_names_of_their_keys(make, rule):
    with pytest.raises(ValueError, match=rule):
        make()


def test_units_of_limits_are_those_of_each_instrument():
    markets = {0: TABLE[0], 4: TABLE[4]}
    limits = Limits(max_order_shares=2, price_collar_usd=0.5, symbols={"SPREAD": SymbolLimits(max_position_shares=3, enabled=False)})
    built = limits.build(markets, Conversion())
    assert {name: built.settings(0)[name] for name in ("max_order_lots", "collar_ticks", "max_position_lots")} == {
        "max_order_lots": 2, "collar_ticks": 50, "max_position_lots": 1_200,
    }  # fmt: skip
    assert {name: built.settings(4)[name] for name in ("max_order_lots", "collar_ticks", "max_position_lots", "enabled")} == {
        "max_order_lots": 20, "collar_ticks": 50, "max_position_lots": 30, "enabled": False,
    }  # fmt: skip
    assert built.audit == []
    assert isinstance(built, RiskLimits)


def test_rate_before_there_is_a_price_is_none():
    desk = hft.backtest(Everywhere(), QuoteFeed(day(1)[:1], TABLE), symbols=["SHARE"]).engine.desk
    assert rate(desk, {5: TABLE[5]._replace(currency="USD")}, "EURUSD", "EUR", "USD") is None
    with pytest.raises(ValueError, match="the instrument of a rate must be in the run"):
        rate(desk, {}, "EURUSD", "EUR", "USD")
    assert Fees(1).checked()


CONFIGURED = """
currency = "USD"
symbols = ["DAX", "ES"]
data = ["day.csv"]
[rates]
EUR = 1.1
[instruments.ES]
multiplier = 50
currency = "USD"
fees = {taker_fee = 2.25, maker_fee = 0.85, tiers = [[3e7, 0.5, 1.25]]}
[instruments.DAX]
multiplier = 25
currency = "EUR"
fees = {maker_fee = "0.5bps"}
[limits]
max_order_value_usd = 2e6
groups.index = {symbols = ["ES", "DAX"], max_gross_value_usd = 4e7}
symbols.ES = {max_order_shares = 5}
"""


def test_all_of_it_is_said_in_a_file_and_on_the_command_line(tmp_path):
    events = day(1, 400)
    rows = [f"{1_700_000_000 * SECOND + int(e['exch_ns'])},{TABLE[e['symbol_id']].symbol},{int(e['price']) / 4},{int(e['size']) / 4},10,10"
            for e in events if e["kind"] == KINDS["quote"] and e["symbol_id"] in (1, 2)]  # fmt: skip
    create(tmp_path / "mm")
    (tmp_path / "mm" / "day.csv").write_text("time,symbol,bid,ask,bid_size,ask_size\n" + "\n".join(rows))
    (tmp_path / "mm" / "run.toml").write_text(CONFIGURED)

    def hft_(*words):
        done = CliRunner().invoke(main, ["backtest", str(tmp_path / "mm"), "--json", "--set", "half_spread=0", "--set", "size=3", *words])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    stats = hft_()
    assert {row["currency"] for row in stats["symbols"].values()} == {"EUR", "USD"} == set(stats["currencies"])
    assert stats["orders"] > 10
    assert set(stats["refusals"]) <= {"self trade"}  # no limit was met
    assert stats["total"]["currency"] == "USD"
    assert hft_("--limit", "max_order_value_usd=1000")["orders"] == 0
    assert hft_("--rate", "EUR=1000")["refused"] > 0, "an order of three is worth more then"
    assert hft_("--currency", "GBP")["refused"] > 0, "no rate of the dollar"
    done = CliRunner().invoke(main, ["backtest", str(tmp_path / "mm"), "--limit", "min_order_shares=9", "--limit", "max_order_shares=2"])
    assert done.exit_code == CONFIGURATION
    assert "min_order_shares must not exceed max_order_shares: min_order_shares=9.0 max_order_shares=2" in done.stderr
