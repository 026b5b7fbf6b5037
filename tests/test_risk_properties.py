"""Risk: equal to its twin on any order, and what passes keeps every limit."""

from hypothesis import given
from hypothesis import strategies as st

from fastcore import risk
from fastcore.reference import risk as twin

LIMIT = st.one_of(st.none(), st.integers(1, 100), st.integers(1, 2**63 - 1))
SIGNED = st.one_of(st.integers(-150, 150), st.integers(-(2**63), 2**63 - 1))
OPEN = st.one_of(st.integers(0, 150), st.integers(0, 2**63 - 1))
ANY = st.tuples(st.sampled_from([1, -1]), SIGNED, SIGNED, SIGNED, OPEN, OPEN, st.one_of(st.none(), SIGNED))
# What limits like those below let pass: of any numbers one in a hundred would.
NEAR = st.tuples(st.sampled_from([1, -1]), st.integers(95, 105), st.integers(1, 20), st.integers(-20, 20), *[st.integers(0, 20)] * 2,
                 st.integers(95, 105))  # fmt: skip
ORDER = st.one_of(NEAR, ANY)


@given(LIMIT, LIMIT, LIMIT, st.lists(ORDER, max_size=20))
def test_risk_matches_reference(size, position, collar, orders):
    a, b = risk.RiskLimits(size, position, collar), twin.RiskLimits(size, position, collar)
    assert [a.check(*order) for order in orders] == [b.check(*order) for order in orders]
    assert (a.checked, a.passed, a.rejected) == (b.checked, b.passed, b.rejected)


@given(LIMIT, LIMIT, LIMIT, ORDER)
def test_risk_order_that_passes_keeps_every_limit(size_limit, position_limit, collar, order):
    if risk.RiskLimits(size_limit, position_limit, collar).check(*order) == 0:
        side, price, size, position, open_buy, open_sell, reference = order
        assert 1 <= size <= size_limit
        assert price >= 1
        assert reference >= 1
        assert abs(price - reference) <= collar
        assert (position + open_buy + size if side == 1 else -(position - open_sell - size)) <= position_limit


@given(st.integers(1, 200), st.integers(0, 200), st.integers(0, 200), ORDER)
def test_risk_tighter_limits_never_pass_more(size, position, collar, order):
    if risk.RiskLimits(size, position, collar).check(*order) == 0:
        assert risk.RiskLimits(size + 1, position + 1, collar + 1).check(*order) == 0
