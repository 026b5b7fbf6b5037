"""Estimates of volatility: the formula, irregular times, bad input, on the compiled module and its twin."""

from math import inf, isnan, log, nan, sqrt

import pytest

MODULE = "flow"


def exactly(value):
    return pytest.approx(value, rel=1e-12, abs=0)


def test_ewma_volatility(impl):
    v = impl.EwmaVolatility(0.94)
    assert v.half_life == pytest.approx(11.2023, abs=1e-4)
    assert isnan(v.volatility)
    for price in (100.0, 101.0, 99.0):
        v.update(price)
    assert v.variance == exactly(0.94 * 1.0 + 0.06 * 4.0)
    assert v.volatility == exactly(sqrt(v.variance))
    assert v.count == 2
    relative = impl.EwmaVolatility(half_life=10.0, relative=True, variance=1e-4)
    relative.update(100.0)
    relative.update(110.0)
    decay = 0.5**0.1
    assert relative.decay == exactly(decay)
    assert relative.variance == exactly(decay * 1e-4 + (1 - decay) * log(1.1) ** 2)


def test_ewma_samples_once_an_interval(impl):
    v = impl.EwmaVolatility(0.9, interval_ns=100_000_000, variance=0.04)
    v.update(100.0, 1_000_000_000)
    v.update(150.0, 1_050_000_000)  # within the interval: not sampled
    assert v.count == 0
    v.update(101.0, 1_100_000_000)
    assert v.variance == exactly(0.9 * 0.04 + 0.1 * 1.0)
    v.update(103.0, 1_400_000_000)  # three intervals: variance 4/3 of each, weight 0.9^3
    assert v.variance == exactly(0.9**3 * (0.9 * 0.04 + 0.1) + (1 - 0.9**3) * 4 / 3)
    assert v.volatility == exactly(sqrt(v.variance * 10))
    before = v.variance
    with pytest.raises(ValueError, match="time_ns must not go back: time_ns=1, last=1400000000"):
        v.update(104.0, 1)
    for bad in (nan, inf, 0.0, -1.0):
        with pytest.raises(ValueError, match="price must be positive and finite: price="):
            v.update(bad, 2_000_000_000)
    assert v.variance == before


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ({}, "exactly one of decay and half_life must be given"),
        ({"decay": 0.9, "half_life": 3.0}, "exactly one of decay and half_life must be given"),
        ({"decay": 1.0}, "decay must be within 0..1, both excluded: decay=1.0"),
        ({"decay": nan}, "decay must be within 0..1"),
        ({"half_life": 0.0}, "half_life must be positive and finite: half_life=0.0"),
        ({"decay": 0.9, "interval_ns": -1}, "interval_ns must be in 0..1000000000000000000: interval_ns=-1"),
        ({"decay": 0.9, "variance": -1.0}, "variance must be finite and not negative"),
    ],
)
def test_bad_ewma_parameters_are_refused(impl, arguments, rule):
    with pytest.raises(ValueError, match=rule):
        impl.EwmaVolatility(**arguments)
