"""Money: equal to Python's integers and fractions on any numbers, or said not to fit."""

from fractions import Fraction

from hypothesis import example, given
from hypothesis import strategies as st

from fastcore import money
from fastcore.money import Fees

LIMIT = 2**127
WORD = st.one_of(st.integers(0, 3), st.integers(0, 2**64 - 1), st.sampled_from([2**63 - 1, 2**63, 2**64 - 1]))
INT = st.one_of(st.integers(-3, 3), st.integers(-(2**63), 2**63 - 1), st.sampled_from([-(2**63), 2**63 - 1]))
AMOUNT = st.one_of(st.integers(-(2**64), 2**64), st.integers(-LIMIT, LIMIT - 1), st.sampled_from([-LIMIT, LIMIT - 1, -1, 0]))


def fitting(number):
    return number if -LIMIT <= number < LIMIT else None


def towards_zero(a, b):
    return a // b if a >= 0 else -(-a // b)


@given(AMOUNT, AMOUNT)
def test_money_sums_are_those_of_integers(a, b):
    assert money._arithmetic("add", a, b) == fitting(a + b)
    assert money._arithmetic("sub", a, b) == fitting(a - b)
    assert money._arithmetic("less", a, b) == (a < b)


@given(INT, INT, WORD)
def test_money_products_are_those_of_integers(a, b, c):
    expected = a * b * c
    assert money._arithmetic("product", a, b, c) == (expected if abs(expected) < LIMIT else None)


@given(AMOUNT, WORD, st.integers(1, 2**64 - 1))
@example(-LIMIT, 1, 1)
@example(LIMIT - 1, 2**64 - 1, 2**64 - 1)
def test_money_shares_are_rounded_towards_zero(a, b, c):
    expected = towards_zero(a * b, c)
    found = money._arithmetic("share", a, b, c)
    assert found == expected if abs(expected) < LIMIT else found is None


@given(INT, INT, st.booleans())
def test_money_value_is_exact_or_rounded_once(price, lots, inverse):
    found = money._arithmetic("value", price, lots, inverse=inverse)
    if inverse:
        assert found == (towards_zero(-lots * 10**18, price) if price > 0 else None)
    else:
        assert found == (price * lots * 10**9 if abs(price * lots * 10**9) < LIMIT else None)


@given(AMOUNT)
def test_money_as_a_float_is_near(a):
    assert abs(Fraction(money._double(a)) - a) <= Fraction(abs(a), 2**52)


@given(WORD, WORD, st.integers(1, 2**64 - 1), st.booleans())
def test_money_wide_steps_keep_all_bits(a, b, c, portable):
    c = max(c, (a * b >> 64) + 1)
    if c < 2**64:
        assert money._wide(a, b, c, portable) == (a * b, *divmod(a * b, c))


@given(
    st.integers(-(10**9), 10**9), st.integers(-(2**40), 2**40), st.integers(-(2**40), 2**40), st.integers(1, 2**40), st.integers(1, 2**30),
    st.booleans(),
)  # fmt: skip
def test_money_fees_lose_nothing(share, per_lot, per_order, price, lots, first):
    """Rates in billionths: of the value, of a unit a lot, of a unit an order. A schedule has one of the first two."""
    order = Fraction(per_order, 10**9)
    of_value = money._fee(Fees(f"{Fraction(share, 10**7)}%", per_order=order), Fraction(1), 1.0, 0, False, first, price, lots)
    assert of_value == share * price * lots + per_order * first
    of_lots = money._fee(Fees(Fraction(per_lot, 10**9), per_order=order), Fraction(1), 1.0, 0, False, first, price, lots)
    assert of_lots == per_lot * lots + per_order * first
