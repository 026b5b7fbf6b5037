"""The market maker's own rules; what it does in a market is in test_engine, held against the twin of whole runs."""

import pytest

from fastcore.avellaneda import Quoter
from fastcore.engine import Engine
from fastcore.flow import EwmaVolatility
from fastcore.market import Market
from fastcore.source import EventSource
from fastcore.strategies.maker import MarketMaker

QUOTER = Quoter("avellaneda_stoikov", gamma=0.1, k=1.5, sigma=2.0)


def test_maker_says_what_it_is():
    volatility = EwmaVolatility(half_life=20)
    maker = MarketMaker(3, QUOTER, volatility, order_lots=7)
    assert (maker.symbol_id, maker.quotes, maker.quoter, maker.volatility) == (3, 0, QUOTER, volatility)
    assert repr(maker).startswith("MarketMaker(symbol_id=3, ")


@pytest.mark.parametrize(
    ("kwargs", "error", "rule"),
    [
        ({"symbol_id": -1}, ValueError, "symbol_id must be in 0"),
        ({"symbol_id": 2**32 - 1}, ValueError, "symbol_id must be in 0"),
        ({"symbol_id": 1.5}, TypeError, "."),
        ({"quoter": None}, TypeError, "."),
        ({"order_lots": 0}, ValueError, "order_lots must be in 1"),
        ({"time_left": -1.0}, ValueError, "time_left must be finite and not negative: time_left=-1.0"),
        ({"ticks_per_price": float("inf")}, ValueError, "ticks_per_price must be finite and positive"),
    ],
)
def test_constructor_states_the_rule(kwargs, error, rule):
    with pytest.raises(error, match=rule):
        MarketMaker(**{"symbol_id": 0, "quoter": QUOTER, **kwargs})


def test_maker_on_a_history_alone_is_refused():
    with pytest.raises(ValueError, match="strategies need a source of instants, put the history into a Simulator"):
        Engine(EventSource([]), Market(), strategies={"maker": MarketMaker(0, QUOTER)})
