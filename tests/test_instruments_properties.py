"""Instrument table against a dictionary on arbitrary commands; conversion against exact fractions."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastcore.instruments import Instrument, Instruments

names = st.one_of(st.text("ABC.-", min_size=1, max_size=3), st.text("ABCDEFGHIJ0123456789", min_size=1, max_size=12))
fields = st.fixed_dictionaries(
    {}, optional={"tick_size": st.sampled_from([0.01, 0.0001]), "increment_ticks": st.integers(1, 2), "venue": st.sampled_from(["", "X"])}
)
decimals = st.decimals(min_value="0.00000001", max_value="1000", places=8).filter(lambda d: d > 0)


@given(st.lists(st.tuples(names, fields), max_size=30))
def test_instruments_matches_a_dictionary(script):
    table, known = Instruments(capacity=20, venue="V"), {}
    for name, given_fields in script:
        wanted = Instrument(name, **{"tick_size": 0.0001, "lot_size": 1.0, "venue": "V"} | given_fields)
        try:
            symbol_id = table.add(name, **given_fields)
        except ValueError:
            assert known[name] != wanted
        except OverflowError:
            assert name not in known and len(known) == 20
        else:
            assert known.setdefault(name, wanted) == wanted
            assert symbol_id == list(known).index(name) == table.id_of(name) == table.id_of(name.encode())
        assert list(table) == list(known.values())
        assert table.symbols == list(known)


@given(decimals, st.integers(1, 2**50))
def test_instruments_ticks_roundtrip_is_exact(tick_size, ticks):
    table = Instruments(["X"], tick_size=float(tick_size))
    price = table.ticks_to_price(0, ticks)
    exact = ticks * Fraction(Decimal(repr(float(tick_size))))
    assert abs(Fraction(price) - exact) <= exact / 2**52
    if ticks * Decimal(repr(float(tick_size))).as_integer_ratio()[0] <= 2**53:
        assert price == float(exact)
    assert table.price_to_ticks(0, price) == ticks


@given(decimals, st.integers(1, 2**30), st.sampled_from([0.1, 0.25, 0.5, 0.75]))
def test_instruments_refuses_prices_between_two_ticks(tick_size, ticks, part):
    table = Instruments(["X"], tick_size=float(tick_size))
    with pytest.raises(ValueError, match="price must be a multiple of the tick size"):
        table.price_to_ticks(0, float((ticks + Fraction(part)) * Fraction(tick_size)))
