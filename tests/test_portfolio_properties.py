"""Portfolio: equal to its twin fill by fill, and profit is conserved exactly."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastcore import portfolio
from fastcore.instruments import Instrument
from fastcore.reference import portfolio as twin

FIELDS = ("position_lots", "cash", "cost", "fees", "bought_lots", "sold_lots", "turnover", "fills", "refused", "realised")
SMALL = st.tuples(st.sampled_from([1, -1]), st.integers(1, 200), st.integers(1, 50), st.integers(-5, 5))
WILD = st.tuples(
    st.integers(-2, 2),
    st.one_of(st.integers(-1, 3), st.integers(2**20, 2**40), st.integers(2**61, 2**63 - 1)),
    st.one_of(st.integers(-1, 3), st.integers(2**20, 2**40), st.integers(2**61, 2**63 - 1)),
    st.one_of(st.just(0), st.integers(-(2**63), 2**63 - 1)),
)
FILLS = st.lists(st.one_of(SMALL, WILD), max_size=40)
MARK = st.integers(1, 2**63 - 1)
KINDS = st.sampled_from(
    [None, Instrument("I", 0.5, 1.0, kind="inverse"), Instrument("S", 0.01, 1.0, signed_prices=True)]
)
FEE = st.integers(-(10**12), 10**12).map(lambda billionths: Fraction(billionths, 10**9))


def attempt(call, *arguments):
    try:
        return call(*arguments)
    except (ValueError, OverflowError) as error:
        return type(error), str(error)


def apply(p, fill):
    return attempt(p.fill, *fill)


def state(p):
    return {name: getattr(p, name) for name in FIELDS}


@given(FILLS, MARK, KINDS)
def test_portfolio_matches_reference(fills, mark, instrument):
    a, b = portfolio.Position(instrument), twin.Position(instrument)
    for fill in fills:
        assert apply(a, fill) == apply(b, fill)
        assert state(a) == state(b)
        assert a.average_price == (b.average_price and pytest.approx(b.average_price, rel=1e-15))
        assert attempt(a.unrealised, mark) == attempt(b.unrealised, mark)
        assert attempt(a.net, mark) == attempt(b.net, mark)


@given(FILLS, MARK)
def test_portfolio_conserves_profit(fills, mark):
    p, cash, lots = portfolio.Position(), 0, 0
    for fill in fills:
        if apply(p, fill) is None:
            cash -= fill[0] * fill[1] * fill[2]
            lots += fill[0] * fill[2]
        assert (p.cash, p.position_lots) == (cash, lots)
        if abs(lots * mark) < 2**95:
            assert p.realised + p.unrealised(mark) == cash + lots * mark
        assert p.volume_lots >= abs(lots)


@given(FILLS)
def test_portfolio_cost_is_zero_when_flat_and_has_the_sign_of_the_position(fills):
    p = portfolio.Position()
    for fill in fills:
        apply(p, fill)
        assert (p.cost > 0) == (p.position_lots > 0)
        assert (p.cost < 0) == (p.position_lots < 0)


@given(st.lists(SMALL, max_size=40))
def test_portfolio_partial_close_is_exact_to_one_tick_lot(fills):
    """Realised profit moves by the closed lots times (price - average), to less than a billionth of a tick times a lot."""
    p = portfolio.Position()
    for side, price, size, _ in fills:
        before, cost, realised = p.position_lots, p.cost, p.realised
        p.fill(side, price, size)
        if before * side >= 0:
            assert p.realised == realised
        else:
            closed = min(size, abs(before))
            exact_times_position = -side * closed * (price * abs(before) - abs(cost))
            assert abs((p.realised - realised) * abs(before) - exact_times_position) * 10**9 < abs(before)


@given(st.lists(st.tuples(st.sampled_from([1, -1]), st.integers(1, 200), st.integers(1, 50), FEE), max_size=40), st.integers(1, 300))
def test_portfolio_loses_no_unit_of_an_inverse_contract_and_of_fees(fills, mark):
    """Each value is rounded once, towards zero, to a billionth; sums of them are exact."""
    p, cash, lots, fees = portfolio.Position(Instrument("I", 0.5, 1.0, kind="inverse")), Fraction(0), 0, Fraction(0)

    def value(price, size):
        whole = size * 10**18 // price if size >= 0 else -(-size * 10**18 // price)
        return Fraction(-whole, 10**9)

    for side, price, size, fee in fills:
        p.fill(side, price, size, fee)
        cash, lots, fees = cash - value(price, side * size), lots + side * size, fees + fee
    assert (p.cash, p.fees, p.realised + p.unrealised(mark)) == (cash, fees, cash + value(mark, lots))
    assert p.net(mark) == cash + value(mark, lots) - fees


@given(st.lists(SMALL, max_size=30))
def test_portfolio_mirrored_fills_give_the_mirrored_profit(fills):
    a, b = portfolio.Position(), portfolio.Position()
    for side, price, size, _ in fills:
        a.fill(side, price, size)
        b.fill(-side, price, size)
        assert (a.position_lots, a.cash, a.cost, a.realised) == (-b.position_lots, -b.cash, -b.cost, -b.realised)
