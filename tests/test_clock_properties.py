"""Conversion of tick differences: equal to exact integers, monotone, and additive to one nanosecond."""

from hypothesis import given
from hypothesis import strategies as st

from fastcore import clock

INT64 = st.integers(-(2**63), 2**63 - 1)


@given(INT64, st.integers(0, 2**32), st.booleans())
def test_clock_conversion_is_exact_and_rounds_down(difference, multiplier, portable):
    assert clock._scale32(difference, multiplier, portable) == difference * multiplier >> 32


@given(INT64, INT64)
def test_clock_conversion_is_monotone(a, b):
    a, b = min(a, b), max(a, b)
    assert clock.ticks_to_ns(a) <= clock.ticks_to_ns(b)


@given(st.integers(-(2**61), 2**61), st.integers(-(2**61), 2**61))
def test_clock_conversion_is_additive_to_one_nanosecond(a, b):
    assert 0 <= clock.ticks_to_ns(a + b) - clock.ticks_to_ns(a) - clock.ticks_to_ns(b) <= 1
