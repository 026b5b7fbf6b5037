"""Portfolio: equal to its twin fill by fill, and profit is conserved exactly."""

from hypothesis import given
from hypothesis import strategies as st

from fastcore import portfolio
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


def apply(p, fill):
    try:
        p.fill(*fill)
    except (ValueError, OverflowError) as error:
        return type(error), str(error)
    return None


def state(p):
    return {name: getattr(p, name) for name in FIELDS}


@given(FILLS, MARK)
def test_portfolio_matches_reference(fills, mark):
    a, b = portfolio.Position(), twin.Position()
    for fill in fills:
        assert apply(a, fill) == apply(b, fill)
        assert state(a) == state(b)
        assert a.average_price == b.average_price
        assert (a.unrealised(mark), a.net(mark)) == (b.unrealised(mark), b.net(mark))


@given(FILLS, MARK)
def test_portfolio_conserves_profit(fills, mark):
    p, cash, lots = portfolio.Position(), 0, 0
    for fill in fills:
        if apply(p, fill) is None:
            cash -= fill[0] * fill[1] * fill[2]
            lots += fill[0] * fill[2]
        assert (p.cash, p.position_lots) == (cash, lots)
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
    """Realised profit moves by the closed lots times (price - average), to less than one tick times one lot."""
    p = portfolio.Position()
    for side, price, size, _ in fills:
        before, cost, realised = p.position_lots, p.cost, p.realised
        p.fill(side, price, size)
        if before * side >= 0:
            assert p.realised == realised
        else:
            closed = min(size, abs(before))
            exact_times_position = -side * closed * (price * abs(before) - abs(cost))
            assert abs((p.realised - realised) * abs(before) - exact_times_position) < abs(before)


@given(st.lists(SMALL, max_size=30))
def test_portfolio_mirrored_fills_give_the_mirrored_profit(fills):
    a, b = portfolio.Position(), portfolio.Position()
    for side, price, size, _ in fills:
        a.fill(side, price, size)
        b.fill(-side, price, size)
        assert (a.position_lots, a.cash, a.cost, a.realised) == (-b.position_lots, -b.cash, -b.cost, -b.realised)


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.integers(1, 2**64 - 1), st.booleans())
def test_portfolio_share_keeps_all_bits(a, b, c, portable):
    b, c = min(b, c), max(b, c, 1)
    assert portfolio._mul_div(a, b, c, portable) == a * b // c
