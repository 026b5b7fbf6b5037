"""Series, ticks and rows of values for statistics, with the values that break careless ones."""

import math

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

finite = st.floats(-1e9, 1e9, allow_subnormal=False).map(lambda v: 0.0 if abs(v) < 1e-9 else v)
special = st.sampled_from([math.nan, math.inf, -math.inf, 1e12, -1e12, 100.0, 100.0, 100.0])
numbers = st.one_of(finite, special, st.floats(99.0, 101.0))


@st.composite
def ticks(draw):
    symbols, rows, pairs = draw(st.integers(2, 5)), draw(st.integers(1, 40)), draw(st.integers(1, 9))
    index = draw(hnp.arrays(np.int64, (pairs, 2), elements=st.integers(0, symbols - 1)))
    prices = draw(hnp.arrays(np.float64, (rows, symbols), elements=numbers, fill=numbers))
    return prices, index, draw(st.integers(2, 12)), draw(st.floats(0, 3))


@st.composite
def rows(draw):
    n = draw(st.integers(2, 6))
    values = st.one_of(st.floats(-1e3, 1e3).map(lambda v: round(v, 3)), special, st.sampled_from([1e101, 7.0, 7.0]))
    return draw(hnp.arrays(np.float64, (draw(st.integers(2, 40)), n), elements=values, fill=values)), draw(st.integers(2, 12))


def assert_close(a, b, relative=0.0, absolute=0.0):
    assert a.shape == b.shape
    np.testing.assert_array_equal(np.isnan(a), np.isnan(b))
    np.testing.assert_allclose(a, b, rtol=relative, atol=absolute)
