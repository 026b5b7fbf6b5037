"""Instrument table: ids, meanings that never change, defaults, exact conversion of prices, bad input."""

import gc
import inspect

import numpy as np
import pytest

from fastcore.errors import UnknownSymbolError
from fastcore.instruments import Instrument, Instruments

NAMES = ["AAPL", "BRK.A", "GOOGLXYZ", "BTCUSDT-PERP"]
EQUITIES = {"increment_ticks": 100, "low_increment_ticks": 1, "low_below_ticks": 10_000, "currency": "USD", "venue": "XNAS"}
PERPETUAL = Instrument(
    "BTCUSDT-PERP", 0.1, 0.001, multiplier=2.0, currency="USDT", venue="BINANCE", maker_fee_ticks=-3, taker_fee_ticks=9
)


@pytest.fixture
def table():
    return Instruments(NAMES)


def state(table):
    return table.symbols, list(table)


def test_ids_are_rows_in_the_order_of_addition(table):
    assert [table.id_of(name) for name in NAMES] == [0, 1, 2, 3]
    assert [table.add(name) for name in reversed(NAMES)] == [3, 2, 1, 0]
    assert table.add("MSFT") == 4
    assert (len(table), table.symbols) == (5, [*NAMES, "MSFT"])
    assert [instrument.symbol for instrument in table] == table.symbols
    assert (table.id_of("NOPE"), table.id_of(""), table.id_of(b""), table.id_of(b"\xff")) == (None,) * 4
    assert "AAPL" in table and b"AAPL" in table and "NOPE" not in table and 0 not in table


@pytest.mark.parametrize("name", NAMES)
def test_padding_of_venues_and_of_numpy_is_ignored(table, name):
    raw = name.encode()
    for form in (name, name + "  ", raw, raw.ljust(8), raw.ljust(20), raw.ljust(8, b"\0"), np.str_(name), np.bytes_(raw)):
        assert table.id_of(form) == table.add(form) == NAMES.index(name), form
        assert form in table
    assert len(table) == len(NAMES)


def test_an_instrument_comes_back_as_it_was_given(table):
    assert table[0] == Instrument("AAPL", 0.0001, 1.0) == ("AAPL", 0.0001, 1.0, 1, 1, 0, 1.0, "", "", 0, 0, "linear", False)
    fresh = Instruments([PERPETUAL, "X"], **EQUITIES)
    assert fresh[0] == PERPETUAL
    assert fresh[1] == Instrument("X", 0.0001, 1.0, **EQUITIES)
    assert fresh.defaults == Instrument("", 0.0001, 1.0, **EQUITIES)
    assert fresh.add("Y", tick_size=0.01, venue="") == 2
    assert fresh[2] == Instrument("Y", 0.01, 1.0, **{**EQUITIES, "venue": ""})
    assert fresh.add(PERPETUAL) == 0
    assert fresh.add(PERPETUAL._replace(symbol="ETHUSDT-PERP"), tick_size=0.01) == 3
    assert fresh[3] == PERPETUAL._replace(symbol="ETHUSDT-PERP", tick_size=0.01)


def test_an_instrument_keeps_its_meaning(table):
    before = state(table)
    with pytest.raises(
        ValueError,
        match=r"an instrument must keep its meaning: known=Instrument\(symbol='AAPL', tick_size=0.0001.*"
        r"given=Instrument\(symbol='AAPL', tick_size=0.01",
    ):
        table.add("AAPL", tick_size=0.01)
    with pytest.raises(ValueError, match="an instrument must keep its meaning"):
        table.add(PERPETUAL)
    with pytest.raises(ValueError, match="an instrument must keep its meaning"):
        Instruments([PERPETUAL, PERPETUAL._replace(taker_fee_ticks=8)])
    with pytest.raises(AttributeError):
        table[0].tick_size = 1.0
    assert state(table) == before


BAD_FIELDS = [
    ("tick_size", 0.0, "tick_size must be positive and finite: tick_size=0.0"),
    ("tick_size", -0.01, "tick_size must be positive and finite"),
    ("tick_size", float("nan"), "tick_size must be positive and finite"),
    ("tick_size", float("inf"), "tick_size must be positive and finite"),
    ("tick_size", 1 / 3, "tick_size must be a decimal of at most 15 digits"),
    ("lot_size", 0.0, "lot_size must be positive and finite"),
    ("multiplier", -1.0, "multiplier must be positive and finite"),
    ("maker_fee_ticks", 2**20 + 1, r"maker_fee_ticks must be in -2\*\*20..2\*\*20: maker_fee_ticks=1048577"),
    ("taker_fee_ticks", -(2**20) - 1, "taker_fee_ticks must be in"),
    ("currency", "TOOLONGNAME", "currency must have up to 8 printable ASCII characters: currency='TOOLONGNAME'"),
    ("currency", "€", "currency must have up to 8 printable ASCII characters"),
    ("currency", "U S", "currency must have letters and digits only: currency='U S'"),
    ("venue", "N" * 17, "venue must have up to 16 printable ASCII characters"),
    ("venue", "A\n", "venue must have up to 16 printable ASCII characters"),
    ("increment_ticks", 0, r"increment_ticks must be in 1..2\*\*31-1: increment_ticks=0"),
    ("low_increment_ticks", 2**31, r"low_increment_ticks must be in 1..2\*\*31-1"),
    ("low_below_ticks", -1, r"low_below_ticks must be in 0..2\*\*50"),
    ("low_below_ticks", 2**50 + 1, r"low_below_ticks must be in 0..2\*\*50"),
    ("kind", "quanto", "kind must be linear or inverse: kind=quanto"),
]


@pytest.mark.parametrize(("field", "value", "rule"), BAD_FIELDS)
def test_bad_fields_change_nothing(table, field, value, rule):
    before = state(table)
    with pytest.raises(ValueError, match=rule):
        table.add("NEW", **{field: value})
    with pytest.raises(ValueError, match=rule):
        table.add(Instrument("NEW", 0.01, 1.0)._replace(**{field: value}))
    with pytest.raises(ValueError, match=rule):
        Instruments(**{field: value})
    assert state(table) == before


@pytest.mark.parametrize(
    ("symbol", "error", "rule"),
    [
        ("", ValueError, r"symbol must have 1\.\.64 bytes"),
        ("X" * 65, ValueError, r"symbol must have 1\.\.64 bytes"),
        (" A", ValueError, "symbol must be printable and not begin with a space"),
        (b"A\0B", ValueError, "symbol must be printable"),
        (b"\xff\xfe", ValueError, "symbol must be UTF-8"),
        (5, TypeError, "symbol must be str or bytes: type=int"),
        (None, TypeError, "symbol must be str or bytes: type=NoneType"),
    ],
)
def test_bad_symbols_change_nothing(table, symbol, error, rule):
    before = state(table)
    with pytest.raises(error, match=rule):
        table.add(symbol)
    assert state(table) == before


def test_what_is_no_table(table):
    with pytest.raises(ValueError, match="low_below_ticks must be a multiple of both increments: low_below_ticks=150"):
        table.add("NEW", increment_ticks=100, low_below_ticks=150)
    with pytest.raises(TypeError, match="tick"):
        table.add("NEW", tick=1)
    with pytest.raises(TypeError, match="venue must be str: type=int"):
        table.add("NEW", venue=1)
    with pytest.raises(TypeError, match="symbol must be str or bytes: type=int"):
        table.id_of(1)
    for one in ("AAPL", b"AAPL", PERPETUAL):
        with pytest.raises(TypeError, match="instruments must be an iterable of instruments, not one"):
            Instruments(one)
    for bad in (0, -1, 2**31):
        with pytest.raises(ValueError, match=rf"capacity must be in 1\.\.2\*\*31-1: capacity={bad}"):
            Instruments(capacity=bad)
    for bad in (-1, 4, 2**40):
        with pytest.raises(UnknownSymbolError, match=rf"symbol_id must be in 0\.\.3: symbol_id={bad}"):
            table[bad]


def test_capacity(table):
    small = Instruments(["A", "B"], capacity=2)
    with pytest.raises(OverflowError, match="capacity must hold every instrument: capacity=2, symbol='C'"):
        small.add("C")
    assert (small.add("B"), small.symbols, small.capacity, table.capacity) == (1, ["A", "B"], 2, 1_000_000)


def test_many_instruments_are_found_by_every_form():
    names = [f"S{i:x}" for i in range(20_000)] + [f"LONGNAME-{i}" for i in range(100)]
    table = Instruments(names)
    assert [table.id_of(name) for name in names] == [table.id_of(name.encode()) for name in names] == list(range(20_100))
    assert table[20_000].symbol == "LONGNAME-0"


def test_table_says_what_is_in_it(table):
    assert repr(table) == "Instruments(4 instruments: AAPL, BRK.A, GOOGLXYZ, BTCUSDT-PERP)"
    assert repr(Instruments(map(str, range(7)))) == "Instruments(7 instruments: 0, 1, 2, 3, 4, ...)"
    assert repr(Instruments()) == "Instruments(0 instruments)"
    assert {"instruments", "tick_size", "venue", "capacity"} <= inspect.signature(Instruments).parameters.keys()


def test_iteration_keeps_the_table_alive():
    rows = iter(Instruments(["A", "B"]))
    gc.collect()
    assert [row.symbol for row in rows] == ["A", "B"]


@pytest.mark.parametrize("tick_size", [0.0001, 0.01, 0.05, 0.1, 0.25, 0.03, 1e-8, 1 / 64, 5.0, 0.0025])
def test_ticks_round_trip_exactly(tick_size):
    table = Instruments(["X"], tick_size=tick_size)
    rng = np.random.default_rng(5)
    ticks = np.concatenate([np.arange(1, 200), rng.integers(1, 2**45, 200), [2**50]])
    prices = table.ticks_to_prices(0, ticks)
    assert table.prices_to_ticks(0, prices).tolist() == ticks.tolist()
    assert prices[:3].tolist() == [float(f"{n * tick_size:.10g}") for n in (1, 2, 3)]
    assert table.ticks_to_price(0, 7) == prices[6]
    assert table.price_to_ticks(0, prices[6]) == 7


def test_prices_are_the_floats_that_people_type(table):
    assert [table.ticks_to_price(0, n) for n in (123_456, 3, 1_005_000)] == [12.3456, 0.0003, 100.5]
    assert table.price_to_ticks(0, 0.1 + 0.2) == 3000  # one unit in the last place off


@pytest.mark.parametrize(
    ("price", "rule"),
    [
        (100.00005, "price must be a multiple of the tick size: price=100.00005, tick_size=0.0001, symbol_id=0"),
        (0.00004, "price must be a multiple of the tick size"),
        (0.0, "price must be positive and finite"),
        (-1.0, "price must be positive and finite"),
        (float("nan"), "price must be positive and finite"),
        (float("inf"), "price must be positive and finite"),
        (1e12, r"price must be within 2\*\*50 ticks"),
    ],
)
def test_prices_off_the_grid_are_refused(table, price, rule):
    with pytest.raises(ValueError, match=rule):
        table.price_to_ticks(0, price)
    with pytest.raises(ValueError, match=rule):
        table.prices_to_ticks(np.array([1, 0]), np.array([1.0, price]))


def test_bad_ticks_are_refused(table):
    for ticks in (0, -1, 2**50 + 1, -(2**63)):
        with pytest.raises(ValueError, match=rf"ticks must be in 1\.\.2\*\*50: ticks={ticks}, symbol_id=0"):
            table.ticks_to_price(0, ticks)
        with pytest.raises(ValueError, match=r"ticks must be in 1\.\.2\*\*50"):
            table.ticks_to_prices(0, np.array([1, ticks]))
    with pytest.raises(KeyError, match="symbol_id must be in"):
        table.ticks_to_price(7, 1)
    with pytest.raises(KeyError, match="symbol_id must be in"):
        table.price_to_ticks(-1, 1.0)
    for ids in (9, np.array([9])):
        with pytest.raises(KeyError, match="symbol_id must be in"):
            table.prices_to_ticks(ids, np.array([1.0]))


@pytest.mark.parametrize("name", Instrument._fields[1:])
def test_a_default_that_is_none_is_refused(name):
    with pytest.raises(TypeError, match=f"the defaults of a table must be given: {name}=None"):
        Instruments(**{name: None})


def test_signed_prices_are_exact_where_the_instrument_has_them():
    table = Instruments([Instrument("CL", 0.01, 1.0, signed_prices=True), Instrument("X", 0.01, 1.0)])
    for price, ticks in ((-37.63, -3763), (0.0, 0), (-0.01, -1), (0.01, 1)):
        assert (table.price_to_ticks(0, price), table.ticks_to_price(0, ticks)) == (ticks, price)
        assert table.prices_to_ticks(0, np.array([price])).tolist() == [ticks]
        assert table.ticks_to_prices(0, np.array([ticks])).tolist() == [price]
    for price, rule in ((-0.005, "a multiple of the tick size"), (-1e300, r"within 2\*\*50 ticks"), (float("nan"), "positive and finite")):
        with pytest.raises(ValueError, match=rule):
            table.price_to_ticks(0, price)
    with pytest.raises(ValueError, match=r"ticks must be in -2\*\*50\.\.2\*\*50"):
        table.ticks_to_price(0, -(2**50) - 1)
    with pytest.raises(ValueError, match="price must be positive and finite: price=-1.0"):
        table.price_to_ticks(1, -1.0)
    with pytest.raises(ValueError, match="prices of an inverse contract must be positive"):
        table.add("Y", kind="inverse", signed_prices=True)
    with pytest.raises(TypeError, match="signed_prices must be bool: type=int"):
        table.add("Y", signed_prices=1)
