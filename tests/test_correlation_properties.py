"""Laws of the rolling correlations, and the compiled module against its twin, on generated rows."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from makers.series import assert_close, rows

from fastcore import correlation
from fastcore.reference import correlation as twin


@given(rows())
def test_correlation_matches_reference(case):
    x, window = case
    ours, theirs = correlation.RollingCorrelation(x.shape[1], window), twin.RollingCorrelation(x.shape[1], window)
    for row in x:
        ours.update(row)
        theirs.update(row)
        assert_close(ours.matrix(), theirs.matrix(), absolute=1e-6)
        assert_close(ours.mean_correlations(), theirs.mean_correlations(), absolute=1e-6)


@given(rows())
def test_correlations_are_a_symmetric_matrix_within_one(case):
    x, window = case
    c = correlation.RollingCorrelation(x.shape[1], window)
    c.update_many(x)
    m = c.matrix()
    np.testing.assert_array_equal(m, m.T)
    known = m[~np.isnan(m)]
    assert (np.abs(known) <= 1).all()
    diagonal = np.diag(m)
    assert (diagonal[~np.isnan(diagonal)] == 1).all()


@given(rows(), st.integers(1, 3))
def test_correlation_is_near_to_a_recomputation_after_many_windows(case, repeats):
    x, window = case
    c = correlation.RollingCorrelation(x.shape[1], window)
    for _ in range(repeats):
        c.update_many(x)
    fresh = correlation.RollingCorrelation(x.shape[1], window)
    fresh.update_many(np.concatenate([x] * (1 + -(-window // len(x))))[-window:])
    if c.count >= window:
        assert_close(c.matrix(), fresh.matrix(), absolute=1e-6)
