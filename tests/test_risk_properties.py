"""Risk: the first broken rule is named, on any order, and what passes keeps every limit."""

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit import examples
from makers.accounts import EVERYTHING, drive

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


# ---- the life of an account: orders, fills, cancels, replacements and refusals in flight, against the rules in plain Python ----

SETTINGS = st.lists(st.sampled_from(sorted(EVERYTHING)), max_size=12, unique=True).map(lambda names: {n: EVERYTHING[n] for n in names})


@examples(150)
@given(st.integers(0, 2**32), st.one_of(st.just(EVERYTHING), SETTINGS))
def test_risk_limits_and_rules_say_the_same_in_any_life(seed, settings):
    assert drive(seed, settings)[0] is None


def test_risk_every_check_is_broken_by_somebody():
    found = {result for seed in range(400) for result in drive(seed, EVERYTHING)[1]}
    for name in EVERYTHING:
        found |= {result for seed in range(10) for result in drive(seed, {name: EVERYTHING[name]})[1]}
    elsewhere = {Result.KILLED, Result.UNKNOWN_SYMBOL, Result.DISABLED, Result.NO_REFERENCE}
    assert set(risk.CHECKS) - found == elsewhere


@pytest.mark.parametrize("name", sorted(set(EVERYTHING) - {"enabled"}))
def test_risk_check_that_is_switched_off_is_noticed(name):
    """A mutant of the limits that lacks one check, alone and among all others."""
    alone = {name: EVERYTHING[name]}
    assert any(drive(seed, alone, off=name)[0] is not None for seed in range(200))
    assert any(drive(seed, EVERYTHING, off=name)[0] is not None for seed in range(600))
