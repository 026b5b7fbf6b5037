"""Whole numbers at the boundary: a fraction is never cut off in silence, and a number beyond 64 bits is named."""

import pytest

from fastcore.book import OrderBook
from fastcore.instruments import Instruments
from fastcore.portfolio import Position
from fastcore.risk import RiskLimits
from fastcore.sim.venue import Venue
from fastcore.symbols import SymbolMapper
from fastcore.tickstore import TickStore


@pytest.fixture
def parts(tmp_path):
    with TickStore(tmp_path / "ticks", "a") as store:
        yield {
            "mapper": SymbolMapper(["AMZN"]),
            "instruments": Instruments(["AMZN"]),
            "book": OrderBook(),
            "venue": Venue(),
            "position": Position(),
            "limits": RiskLimits(max_order_lots=10, max_position_lots=10, collar_ticks=10),
            "store": store,
        }


CALLS = {
    "symbol_of": lambda p, n: p["mapper"].symbol_of(n),
    "update_price id": lambda p, n: p["mapper"].update_price(n, 1.0, 1),
    "update_price time": lambda p, n: p["mapper"].update_price(0, 1.0, n),
    "ticks_to_price": lambda p, n: p["instruments"].ticks_to_price(0, n),
    "book price": lambda p, n: p["book"].add(1, 1, n, 1),
    "book size": lambda p, n: p["book"].add(1, 1, 1, n),
    "book order": lambda p, n: p["book"].delete(n),
    "venue price": lambda p, n: p["venue"].submit(p["book"], 1, n, 1),
    "venue size": lambda p, n: p["venue"].submit(p["book"], 1, 1, n),
    "venue order": lambda p, n: p["venue"].cancel(n),
    "fill price": lambda p, n: p["position"].fill(1, n, 1),
    "fill size": lambda p, n: p["position"].fill(1, 1, n),
    "limit": lambda p, n: p["limits"].check(1, 100, n, 0, 0, 0, 100),
    "store time": lambda p, n: p["store"].append(n, 0, 1.0, 1.0),
    "store symbol": lambda p, n: p["store"].append(1, n, 1.0, 1.0),
    "store row": lambda p, n: p["store"].read_tick(n),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_fraction_is_refused(parts, call):
    with pytest.raises(TypeError, match=r"'float' object cannot be interpreted as an integer"):
        CALLS[call](parts, 0.5)


@pytest.mark.parametrize("call", CALLS)
def test_a_number_beyond_64_bits_is_refused_with_the_rule(parts, call):
    with pytest.raises(OverflowError, match=r"a whole number must be in .*2\*\*6[34]-1: value=36893488147419103232"):
        CALLS[call](parts, 2**65)


@pytest.mark.parametrize("side", [2, -2, 257])
def test_a_side_is_one_of_three(parts, side):
    with pytest.raises(ValueError, match=f"side must be .*: side={side}"):
        parts["venue"].submit(parts["book"], side, 1, 1)
    with pytest.raises(ValueError, match=f"side must be .*: side={side}"):
        parts["venue"].apply(3, side, 1, 1, 1)
    with pytest.raises(ValueError, match=f"side must be .*: side={side}"):
        parts["book"].add(1, side, 1, 1)
