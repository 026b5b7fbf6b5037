"""Money and fees: what a fee is worth to the last unit, and what is refused."""

from decimal import Decimal
from fractions import Fraction

import pytest

from fastcore import money
from fastcore.instruments import Instrument
from fastcore.money import Fees

SHARE = Instrument("AAPL", 0.0001, 1.0, currency="USD")
COIN = Instrument("BTCUSDT", 0.01, 0.00001, currency="USDT")
SMALL = Instrument("BTCUSDT", 1e-8, 1e-8, currency="USDT")
FUTURE = Instrument("ESH6", 0.25, 1.0, multiplier=50.0, currency="USD")
INVERSE = Instrument("XBTUSD", 0.5, 1.0, currency="XBT", kind="inverse")


def fee(instrument, fees, price, units, *, taker=False, first=False, traded=0):
    """The fee of a fill in currency, exact; prices and sizes in currency and units."""
    ticks, lots = Fraction(price) / Fraction(repr(instrument.tick_size)), Fraction(units) / Fraction(repr(instrument.lot_size))
    assert ticks.denominator == lots.denominator == 1
    before = Fraction(traded) / instrument.unit_value * 10**9
    assert before.denominator == 1
    paid = money._fee(
        fees, instrument.unit_value, instrument.lot_size, int(before), taker, first, int(ticks), int(lots), instrument.kind == "inverse"
    )
    return Fraction(paid, 10**9) * instrument.unit_value


@pytest.mark.parametrize(
    ("instrument", "fees", "price", "units", "paid"),
    [
        (SHARE, Fees("0.00295"), "187.1234", "300", "0.885"),
        (SHARE, Fees(-0.002), "187.1234", "300", "-0.6"),
        (SHARE, Fees(Decimal("0.0000001")), "1", "1", "0.0000001"),
        (COIN, Fees("0.02%"), "60123.45", "0.00001", "0.000120246900"),
        (COIN, Fees("-0.5bps"), "60123.45", "0.00001", "-0.00003006172500"),
        (SMALL, Fees("0.1%"), "60000", "1", "60"),
        (SMALL, Fees("0.1%"), "0.00000001", "0.00000001", "1e-19"),
        (FUTURE, Fees("1.18"), "5000.25", "3", "3.54"),
        (FUTURE, Fees("0.01%"), "5000.25", "2", "50.0025"),
        (FUTURE, Fees(), "5000.25", "2", "0"),
        (INVERSE, Fees("0.05%"), "50000", "100000", "0.001"),
    ],
)
def test_fees_are_exact(instrument, fees, price, units, paid):
    assert fee(instrument, fees, price, units) == Fraction(paid)
    assert fee(instrument, Fees("1%", fees.maker), price, units, taker=True) == Fraction(paid)


def test_fee_of_an_order_is_charged_with_its_first_fill():
    fees = Fees("0.001", per_order="0.35")
    assert fee(SHARE, fees, "10", "100", first=True) == Fraction("0.45")
    assert fee(SHARE, fees, "10", "100") == Fraction("0.1")


def test_tier_is_that_of_the_value_traded_before():
    fees = Fees("0.10%", "0.20%", tiers=((1_000_000, "0.08%", "0.16%"), (5_000_000, "-0.01%", "0.12%")))
    found = [fee(FUTURE, fees, "5000", "1", traded=traded) for traded in (0, 999_999, 1_000_000, 4_999_999, 5_000_000, 10**9)]
    assert found == [250, 250, 200, 200, -25, -25]
    assert fee(FUTURE, fees, "5000", "1", taker=True, traded=5_000_000) == 300


@pytest.mark.parametrize(
    ("fees", "error", "rule"),
    [
        (Fees("much"), ValueError, "maker must be a finite number: maker=much"),
        (Fees(0, float("nan")), ValueError, "taker must be a finite number: taker=nan"),
        (Fees(float("inf")), ValueError, "maker must be a finite number: maker=inf"),
        (Fees("101%"), ValueError, r"within \+-100%: maker=101%"),
        (Fees("0.00000001%"), ValueError, "a multiple of a billionth of the value"),
        (Fees(None), TypeError, "maker must be a number: type=NoneType"),
        (Fees(True), TypeError, "maker must be a number: type=bool"),
        (Fees(per_order="x"), ValueError, "per_order must be a finite number"),
        (Fees(tiers=((0, 1, 1),)), ValueError, "tiers must begin above 0 and rise: from_value=0"),
        (Fees(tiers=((2, 1, 1), (2, 1, 1))), ValueError, "tiers must begin above 0 and rise: from_value=2"),
        (Fees(tiers=((1, 1, "y"),)), ValueError, "taker must be a finite number: taker=y"),
        (Fees(tiers=tuple((i, 0, 0) for i in range(1, 9))), ValueError, "tiers must be at most 7: tiers=8"),
    ],
)
def test_bad_fees_are_refused(fees, error, rule):
    with pytest.raises(error, match=rule):
        fees.checked()


def test_fee_that_is_no_whole_number_of_units_is_refused():
    with pytest.raises(ValueError, match="maker must be a whole number of billionths of a tick times a lot"):
        fee(SHARE, Fees("0.00000000000001"), "1", "1")
    with pytest.raises(ValueError, match="per_order must be a whole number"):
        fee(SHARE, Fees(per_order=Fraction(1, 3)), "1", "1")


def test_fee_that_does_not_fit_is_said():
    assert money._fee(Fees("1"), SHARE.unit_value, 1.0, 2**126, False, False, 2**62, 2**62) is None


@pytest.mark.parametrize(
    ("instrument", "value"),
    [(SHARE, "0.0001"), (COIN, "1e-7"), (FUTURE, "12.5"), (INVERSE, "2e-9"), (SMALL, "1e-16")],
)
def test_unit_value_is_exact(instrument, value):
    assert instrument.unit_value == Fraction(value)


def test_one_coin_in_satoshis_is_more_than_64_bits_hold():
    assert money._arithmetic("value", 60_000 * 10**8, 10**8) == 6 * 10**29
