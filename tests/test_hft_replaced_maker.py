"""The market maker of the replaced engine: its calls, its numbers, and the real models behind it."""

from math import inf, nan
from types import SimpleNamespace

import pytest

from fastcore.avellaneda import MODELS, Quoter
from hft.replaced import AvellanedaMarketMaker, Quote, Ticker


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def maker(clock):
    maker = AvellanedaMarketMaker(clock=clock, gamma=0.8, position_limit=2.0, base_size=1.0)
    assert maker.set_tick_size(0.5) is True
    assert maker.set_instrument("BTC-PERPETUAL") is True
    return maker


def market(mid=50_000.0, spread=1.0):
    return Ticker(mark_price=mid, best_bid_price=mid - spread / 2, best_ask_price=mid + spread / 2)


def test_a_ladder_of_five_levels(maker):
    bids, asks = maker.generate_quotes(market(), {})
    # m = 5 * 0.5; spread max(m, m * 0.8) = m: 49,998.75 rounds down to 49,998.5.
    assert [q.price for q in bids] == [49_998.5 - offset * 0.5 for offset in (0, 15, 44, 102, 204)]
    assert [q.price for q in asks] == [50_001.5 + offset * 0.5 for offset in (0, 15, 44, 102, 204)]
    assert [q.amount for q in bids] == pytest.approx([1.0, 0.85, 0.7, 0.55, 0.4])
    assert {(q.instrument, q.side, q.timestamp) for q in bids} == {("BTC-PERPETUAL", "buy", 1000.0)}
    assert {q.side for q in asks} == {"sell"}
    assert maker.get_position_metrics()["quote_count"] == 10


def test_the_spread_is_the_rule_of_the_replaced_engine(clock):
    maker = AvellanedaMarketMaker(clock=clock, gamma=2.0, horizon=4.0, spread_factor=1.5, position_limit=2.0)
    maker.set_tick_size(0.01)
    maker.on_order_filled(1, 100.0, 1.0, True)
    bids, asks = maker.generate_quotes(market(100.0, 0.02), {"volatility": 3.0})
    spread = (0.05 + 3.0 * 0.2 * 2.0) * 2.0 * (1 + 0.5) * 1.5
    skew = 0.1 * spread * 0.5
    assert bids[0].price == pytest.approx(100 - spread / 2 - skew, abs=0.01)
    assert asks[0].price == pytest.approx(100 + spread / 2 - skew, abs=0.01)
    assert bids[0].price <= 100 - spread / 2 - skew + 1e-9
    assert asks[0].price >= 100 + spread / 2 - skew - 1e-9


def test_quotes_are_kept_until_they_are_due(maker, clock):
    first = maker.generate_quotes(market(), {})
    clock.now += 2.0
    assert maker.generate_quotes(market(50_050.0), {}) is first  # exactly 2 s and exactly 0.001: not yet
    assert maker.generate_quotes(market(50_050.5), {}) is not first
    second = maker.generate_quotes(market(50_050.5), {})
    clock.now += 2.001
    assert maker.generate_quotes(market(50_050.5), {}) is not second
    third = maker.generate_quotes(market(50_050.5), {})
    maker.on_order_filled("a", 50_000.0, 0.5, True)
    assert maker.generate_quotes(market(50_050.5), {}) is not third
    assert maker.get_position_metrics()["quote_count"] == 40


def test_position_closes_a_side(maker):
    maker.on_order_filled(1, 50_000.0, 2.0, True)
    bids, asks = maker.generate_quotes(market(), {})
    assert (len(bids), len(asks)) == (0, 5)
    maker.on_order_filled(2, 50_000.0, 4.0, False)
    bids, asks = maker.generate_quotes(market(), {})
    assert (len(bids), len(asks)) == (5, 0)


def test_position_entry_price_and_profit(maker):
    metrics = maker.get_position_metrics
    assert metrics() == dict.fromkeys(("position", "entry_price", "realized_pnl", "unrealized_pnl", "vwap", "quote_count"), 0)
    assert maker.on_order_filled(1, 100.0, 1.0, True) is True
    maker.on_order_filled(2, 110.0, 1.0, True)
    maker.update_market_data(120.0)
    assert (metrics()["position"], metrics()["entry_price"], metrics()["unrealized_pnl"]) == (2.0, 105.0, 30.0)
    maker.on_order_filled(3, 115.0, 0.5, False)
    assert (metrics()["position"], metrics()["entry_price"], metrics()["realized_pnl"]) == (1.5, 105.0, 5.0)
    maker.on_order_filled(4, 95.0, 2.0, False)  # closes 1.5 at -10 each, opens 0.5 short at 95
    assert (metrics()["position"], metrics()["entry_price"], metrics()["realized_pnl"]) == (-0.5, 95.0, -10.0)
    assert metrics()["unrealized_pnl"] == pytest.approx(-12.5)
    maker.on_order_filled(5, 90.0, 0.5, True)
    assert (metrics()["position"], metrics()["entry_price"], metrics()["realized_pnl"]) == (0.0, 0.0, -7.5)
    assert metrics()["unrealized_pnl"] == 0.0


def test_decimal_sizes_close_to_flat(maker):
    for _ in range(3):
        maker.on_order_filled(1, 100.0, 0.1, True)
    maker.on_order_filled(2, 100.0, 0.3, False)
    assert maker.get_position_metrics()["position"] == 0.0
    assert maker.get_position_metrics()["entry_price"] == 0.0


def test_market_data_gives_volatility_and_vwap(maker):
    assert maker.update_market_data(100.0, 2.0, True) is True
    maker.update_market_data(103.0, 1.0, False)
    maker.update_market_data(103.0)
    assert maker.get_position_metrics()["vwap"] == pytest.approx(101.0)
    assert 2.0 < maker.volatility < 3.0


@pytest.mark.parametrize("price", [nan, inf, 0.0, -1.0])
def test_bad_market_data_changes_nothing(maker, price):
    before = maker.get_position_metrics()
    with pytest.raises(ValueError, match="price must be positive and finite: price="):
        maker.update_market_data(price, 1.0)
    with pytest.raises(ValueError, match="volume must be finite and not negative: volume="):
        maker.update_market_data(100.0, -abs(price) or nan)
    with pytest.raises(ValueError, match="a fill needs a positive, finite price and size: order_id=7"):
        maker.on_order_filled(7, price, 1.0, True)
    with pytest.raises(ValueError, match="a fill needs a positive, finite price and size: order_id=7"):
        maker.on_order_filled(7, 100.0, price, True)
    with pytest.raises(ValueError, match="tick_size must be positive and finite"):
        maker.set_tick_size(price)
    with pytest.raises(ValueError, match="ticker must have a usable price: mark_price="):
        maker.generate_quotes(Ticker(mark_price=price), {})
    assert maker.get_position_metrics() == before


def test_ticker_falls_back_to_the_mark_price(maker):
    crossed = Ticker(mark_price=50_000.0, best_bid_price=50_010.0, best_ask_price=50_000.0)
    bids, asks = maker.generate_quotes(crossed, {})
    assert bids[0].price + asks[0].price == 100_000.0
    with pytest.raises(ValueError, match="volatility must be finite and not negative: volatility=nan"):
        maker.generate_quotes(market(), {"volatility": nan})


def test_quotes_need_a_tick_size():
    with pytest.raises(ValueError, match="tick_size must be set before quotes can be made"):
        AvellanedaMarketMaker().generate_quotes(market(), {})


def test_levels_below_zero_are_left_out(clock):
    maker = AvellanedaMarketMaker(clock=clock)
    maker.set_tick_size(1.0)
    bids, asks = maker.generate_quotes(market(50.0), {})
    assert len(bids) == 3
    assert len(asks) == 5
    assert min(q.price for q in bids) > 0


@pytest.mark.parametrize(
    ("model", "parameters"),
    [
        ("avellaneda_stoikov", {"gamma": 0.1, "sigma": 2.0, "k": 1.5}),
        ("avellaneda_stoikov_infinite", {"gamma": 0.1, "sigma": 2.0, "k": 1.5, "max_inventory": 10}),
        ("glft", {"gamma": 0.1, "sigma": 2.0, "k": 1.5, "A": 140.0}),
        ("general", {"gamma": 0.1, "sigma": 2.0, "k": 1.5, "A": 140.0, "xi": 0.05}),
        ("exact", {"gamma": 0.1, "sigma": 2.0, "k": 1.5, "A": 140.0, "max_inventory": 10, "horizon": 1.0}),
    ],
)
def test_the_real_models_are_selectable(clock, model, parameters):
    maker = AvellanedaMarketMaker(model, clock=clock, position_limit=10.0, **parameters)
    maker.set_tick_size(0.01)
    maker.on_order_filled(1, 100.0, 2.0, True)
    bids, asks = maker.generate_quotes(market(100.0, 0.02), {"time_left": 0.5})
    quoter = Quoter(model, **parameters, min_spread_ticks=5)
    quoter.quote(100.0, 2.0, 0.5)
    assert bids[0].price == pytest.approx(quoter.bid_ticks * 0.01)
    assert asks[0].price == pytest.approx(quoter.ask_ticks * 0.01)
    maker.update_market_data(100.0)
    maker.update_market_data(101.0)
    assert maker.volatility == (2.0 if model == "exact" else 1.0)
    assert model in MODELS


def test_bad_parameters_are_refused():
    for arguments, error in (
        ({"position_limit": 0}, ValueError),
        ({"base_size": nan}, ValueError),
        ({"model": "nope"}, ValueError),
        ({"gamma": -1.0}, ValueError),
        ({"typo": 1.0}, TypeError),
        ({"model": "glft"}, TypeError),
    ):
        with pytest.raises(error):
            AvellanedaMarketMaker(**arguments)
    with pytest.raises(ValueError, match="instrument must be a name: instrument=''"):
        AvellanedaMarketMaker().set_instrument("")


def test_quote_and_ticker_fields():
    quote = Quote(1.0, 2.0, "X", "buy", 3.0)
    assert (quote.price, quote.amount, quote.instrument, quote.side, quote.timestamp) == (1.0, 2.0, "X", "buy", 3.0)
    ticker = Ticker(1.0, 0.5, 1.5, 1.1, 10.0, 0.0001, 100.0, 200.0, 11.0)
    names = (
        "mark_price",
        "best_bid_price",
        "best_ask_price",
        "index",
        "mark_ts",
        "funding_rate",
        "volume",
        "open_interest",
        "timestamp",
    )
    assert [getattr(ticker, name) for name in names] == [1.0, 0.5, 1.5, 1.1, 10.0, 0.0001, 100.0, 200.0, 11.0]


def test_tickers_and_conditions_are_objects_or_mappings(clock):
    ladders = []
    ticker = market()
    for one in (ticker, {name: getattr(ticker, name) for name in ("mark_price", "best_bid_price", "best_ask_price")}):
        for conditions in ({"volatility": 300.0}, SimpleNamespace(volatility=300.0), type("Conditions", (), {"volatility": 300.0})):
            maker = AvellanedaMarketMaker(clock=clock)
            maker.set_tick_size(0.5)
            ladders.append([[(q.price, q.amount) for q in side] for side in maker.generate_quotes(one, conditions)])
    assert ladders == [ladders[0]] * 6
    calm = AvellanedaMarketMaker(clock=clock)
    calm.set_tick_size(0.5)
    assert [[(q.price, q.amount) for q in side] for side in calm.generate_quotes(ticker, SimpleNamespace())] != ladders[0]


def test_amounts_have_no_noise(clock):
    maker = AvellanedaMarketMaker(clock=clock)
    maker.set_tick_size(0.5)
    bids, asks = maker.generate_quotes(market(), {})
    assert [q.amount for q in bids] == [q.amount for q in asks] == [0.1, 0.085, 0.07, 0.055, 0.04]
    for _ in range(3):
        maker.on_order_filled(1, 100.0, 0.1, True)
    assert maker.get_position_metrics()["position"] == 0.3


def test_fast_rule_of_the_replaced_engine(maker, clock):
    assert maker._should_update_quotes_fast(clock()) is True
    maker.generate_quotes(market(), {})
    assert maker._should_update_quotes_fast(clock()) is False
    assert maker._should_update_quotes_fast(clock() + 2.5) is True
    maker.update_market_data(market().best_bid_price * 1.01)
    assert maker._should_update_quotes_fast(clock()) is True


def test_one_operation_in_a_hundred_is_logged(maker, caplog):
    caplog.set_level("INFO", "hft.replaced")
    for i in range(150):
        maker.on_order_filled(i, 100.0, 1.0, i % 2 == 0)
        maker.generate_quotes(market(), {})
    assert [record.args[1] for record in caplog.records if record.msg.startswith("fill")] == [0, 50, 100]
    assert len(caplog.records) == 3
