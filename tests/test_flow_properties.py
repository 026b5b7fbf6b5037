"""Estimates of volatility against the twin on arbitrary prices and times, and the law that a variance is not negative."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastcore import flow
from fastcore.reference import flow as twin


@given(
    st.floats(0.5, 0.999),
    st.sampled_from([0, 1000, 10**9]),
    st.booleans(),
    st.lists(st.tuples(st.floats(1.0, 1e4), st.integers(0, 5 * 10**9)), min_size=1, max_size=30),
)
def test_ewma_matches_reference(decay, interval_ns, relative, ticks):
    ours = flow.EwmaVolatility(decay, interval_ns=interval_ns, relative=relative)
    theirs = twin.EwmaVolatility(decay, interval_ns=interval_ns, relative=relative)
    time = 0
    for price, step in ticks:
        time += step
        ours.update(price, time)
        theirs.update(price, time)
        assert ours.count == theirs.count
        assert ours.variance == pytest.approx(theirs.variance, rel=1e-12, nan_ok=True)
        assert not ours.variance < 0
