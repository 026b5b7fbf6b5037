"""Risk: the first broken rule is named, on any order, and what passes keeps every limit."""

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from fastcore import risk
from fastcore.errors import RESULTS, Result

LIMIT = st.one_of(st.none(), st.integers(1, 100), st.integers(1, 2**63 - 1))
SIGNED = st.one_of(st.integers(-150, 150), st.integers(-(2**63), 2**63 - 1))
OPEN = st.one_of(st.integers(0, 150), st.integers(0, 2**63 - 1))
ANY = st.tuples(st.sampled_from([1, -1]), SIGNED, SIGNED, SIGNED, OPEN, OPEN, st.one_of(st.none(), SIGNED))
# What limits like those below let pass: of any numbers one in a hundred would.
NEAR = st.tuples(st.sampled_from([1, -1]), st.integers(95, 105), st.integers(1, 20), st.integers(-20, 20), *[st.integers(0, 20)] * 2,
                 st.integers(95, 105))  # fmt: skip
ORDER = st.one_of(NEAR, ANY)


BROKEN = {
    Result.BAD_SIZE: lambda o, limits: o.size < 1,
    Result.BAD_PRICE: lambda o, limits: o.price < 1,
    Result.LIMIT_SIZE: lambda o, limits: limits.max_order_lots is None or o.size > limits.max_order_lots,
    Result.LIMIT_POSITION: lambda o, limits: limits.max_position_lots is None or o.position == -(2**63) or o.worst > limits.max_position_lots,
    Result.NO_REFERENCE: lambda o, limits: o.reference is None or o.reference < 1,
    Result.LIMIT_COLLAR: lambda o, limits: limits.collar_ticks is None or abs(o.price - o.reference) > limits.collar_ticks,
}


class Order(NamedTuple):
    side: int
    price: int
    size: int
    position: int
    open_buy: int
    open_sell: int
    reference: int | None

    @property
    def worst(self):
        """The position in the direction of the order, if every open order of that side fills."""
        return self.side * self.position + (self.open_buy if self.side == 1 else self.open_sell) + self.size


@given(LIMIT, LIMIT, LIMIT, st.lists(ORDER.map(lambda order: Order(*order)), max_size=20))
def test_risk_names_the_first_rule_that_an_order_breaks_and_counts_it(size, position, collar, orders):
    limits = risk.RiskLimits(size, position, collar)
    results = [next((r for r, broken in BROKEN.items() if broken(order, limits)), Result.OK) for order in orders]
    assert [limits.check(*order) for order in orders] == results
    assert (limits.checked, limits.passed) == (len(orders), results.count(Result.OK))
    assert limits.rejected == {RESULTS[r][0]: results.count(r) for r in sorted(set(results)) if r}


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
