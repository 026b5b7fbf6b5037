"""Laws of the rolling statistics, and the compiled module against its twin, on generated series."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from makers.series import assert_close, finite, numbers, ticks

from fastcore import zscore
from fastcore.reference import zscore as twin

ddofs = st.integers(0, 1)


@st.composite
def series_and_window(draw, elements=numbers, longest=120):
    x = draw(hnp.arrays(np.float64, st.integers(2, longest), elements=elements, fill=elements))
    return x, draw(st.integers(2, x.size))


def windows(x, window):
    return np.lib.stride_tricks.sliding_window_view(x, window)


@given(series_and_window(), ddofs)
def test_zscore_matches_reference(case, ddof):
    x, window = case
    assert_close(zscore.rolling_zscore(x, window, ddof), twin.rolling_zscore(x, window, ddof), absolute=1e-9)
    assert_close(zscore.rolling_var(x, window, ddof), twin.rolling_var(x, window, ddof), relative=1e-9)
    assert_close(zscore.rolling_std(x, window, ddof), twin.rolling_std(x, window, ddof), relative=1e-9)


@given(series_and_window())
def test_mean_matches_reference(case):
    x, window = case
    found, expected = zscore.rolling_mean(x, window), twin.rolling_mean(x, window)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    ok = ~np.isnan(found)
    spread = np.ptp(windows(x, window)[ok], axis=1)
    assert (np.abs(found - expected)[ok] <= 1e-13 * (spread + np.abs(expected[ok]))).all()


@given(series_and_window(), ddofs)
def test_streaming_matches_reference(case, ddof):
    x, window = case
    ours, theirs = zscore.RollingZScore(window, ddof), twin.RollingZScore(window, ddof)
    assert_close(ours.update_many(x), theirs.update_many(x), absolute=1e-9)
    assert ours.count == theirs.count


@given(series_and_window(st.integers(-1000, 1000).map(float)))
def test_zscore_matches_numpy(case):
    x, window = case
    w = windows(x, window)
    std = w.std(1)
    constant = (w == w[:, :1]).all(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = np.where(constant, 0.0, (w[:, -1] - w.mean(1)) / std)
    assert_close(zscore.rolling_zscore(x, window), expected, absolute=1e-9)


@given(series_and_window(), ddofs)
def test_zscore_stays_within_its_bound(case, ddof):
    x, window = case
    bound = math.sqrt(window - 1) * math.sqrt((window - ddof) / window)
    for z in (zscore.rolling_zscore(x, window, ddof), zscore.RollingZScore(window, ddof).update_many(x)):
        z = z[~np.isnan(z)]
        assert (np.abs(z) <= bound).all()


@given(series_and_window(), ddofs)
def test_variance_is_never_negative_and_zero_only_for_constants(case, ddof):
    x, window = case
    w, var = windows(x, window), zscore.rolling_var(x, window, ddof)
    known = np.isfinite(w).all(1)
    constant = (w == w[:, :1]).all(1)
    assert (var[known & constant] == 0).all()
    assert (var[known & ~constant] > 0).all()


@given(series_and_window())
def test_nan_marks_exactly_the_windows_that_hold_it(case):
    x, window = case
    marked = ~np.isfinite(windows(x, window)).all(1)
    for f in (zscore.rolling_mean, zscore.rolling_var, zscore.rolling_std, zscore.rolling_zscore):
        np.testing.assert_array_equal(np.isnan(f(x, window)), marked)
    np.testing.assert_array_equal(np.isnan(zscore.RollingZScore(window).update_many(x)[window - 1 :]), marked)


@given(series_and_window(st.integers(-1000, 1000).map(float)), st.sampled_from([1e9, -1e9, 2.0**40, 0.5]))
def test_zscore_does_not_change_with_the_level(case, shift):
    # The sums are exact on these numbers, so only the rounding of the anchors' differences could tell: there is none.
    x, window = case
    np.testing.assert_array_equal(zscore.rolling_zscore(x + shift, window), zscore.rolling_zscore(x, window))
    np.testing.assert_array_equal(zscore.rolling_var(x + shift, window), zscore.rolling_var(x, window))


@given(series_and_window(finite), st.integers(-40, 40))
def test_zscore_does_not_change_with_the_unit(case, power):
    x, window = case
    np.testing.assert_array_equal(zscore.rolling_zscore(np.ldexp(x, power), window), zscore.rolling_zscore(x, window))
    np.testing.assert_array_equal(zscore.rolling_zscore(-x, window), -zscore.rolling_zscore(x, window))


@given(series_and_window(), st.lists(st.integers(0, 120), max_size=6))
def test_streaming_does_not_depend_on_the_pieces(case, cuts):
    x, window = case
    whole = zscore.RollingZScore(window).update_many(x)
    stream = zscore.RollingZScore(window)
    parts = [stream.update_many(part) for part in np.split(x, sorted(min(c, x.size) for c in cuts))]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@given(series_and_window(), st.integers(0, 119))
def test_batch_of_a_part_is_close_to_the_part_of_the_batch(case, start):
    x, window = case
    start = min(start, x.size - window)
    assert_close(zscore.rolling_zscore(x[start:], window), zscore.rolling_zscore(x, window)[start:], absolute=1e-9)


@given(series_and_window(), ddofs)
def test_simd_twins_give_the_same_bits(case, ddof):
    x, window = case
    before = zscore._simd()
    if before != "avx2":
        return
    fast = [f(x, window) for f in (zscore.rolling_mean, zscore.rolling_var, zscore.rolling_std, zscore.rolling_zscore)]
    try:
        zscore._simd("scalar")
        slow = [f(x, window) for f in (zscore.rolling_mean, zscore.rolling_var, zscore.rolling_std, zscore.rolling_zscore)]
    finally:
        zscore._simd(before)
    for a, b in zip(fast, slow, strict=True):
        np.testing.assert_array_equal(a, b)


@given(ticks())
def test_pair_set_matches_reference(case):
    prices, index, window, threshold = case
    ours = zscore.PairSet(index, window, threshold)
    theirs = twin.PairSet(index, window, threshold)
    for row in prices:
        signals, expected = ours.update(row), theirs.update(row)
        assert_close(ours.zscores, theirs.zscores, absolute=1e-9)
        # A z-score on the threshold to the last bits may fall on either side.
        apart = ~(np.abs(np.abs(theirs.zscores) - threshold) < 1e-9)
        np.testing.assert_array_equal(signals[apart], expected[apart])
        np.testing.assert_array_equal(ours.spreads, theirs.spreads)
