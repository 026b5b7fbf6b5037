"""Laws of the rolling statistics, and the compiled module against its twin, on generated series."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fastcore import zscore
from fastcore.reference import zscore as twin

finite = st.floats(-1e9, 1e9, allow_subnormal=False).map(lambda v: 0.0 if abs(v) < 1e-9 else v)
special = st.sampled_from([math.nan, math.inf, -math.inf, 1e12, -1e12, 100.0, 100.0, 100.0])
numbers = st.one_of(finite, special, st.floats(99.0, 101.0))
ddofs = st.integers(0, 1)


@st.composite
def series_and_window(draw, elements=numbers, longest=120):
    x = draw(hnp.arrays(np.float64, st.integers(2, longest), elements=elements, fill=elements))
    return x, draw(st.integers(2, x.size))


def windows(x, window):
    return np.lib.stride_tricks.sliding_window_view(x, window)


def assert_close(a, b, relative=0.0, absolute=0.0):
    assert a.shape == b.shape
    np.testing.assert_array_equal(np.isnan(a), np.isnan(b))
    np.testing.assert_allclose(a, b, rtol=relative, atol=absolute)


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


@st.composite
def ticks(draw):
    symbols, rows, pairs = draw(st.integers(2, 5)), draw(st.integers(1, 40)), draw(st.integers(1, 9))
    index = draw(hnp.arrays(np.int64, (pairs, 2), elements=st.integers(0, symbols - 1)))
    prices = draw(hnp.arrays(np.float64, (rows, symbols), elements=numbers, fill=numbers))
    return prices, index, draw(st.integers(2, 12)), draw(st.floats(0, 3))


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


@given(ticks(), st.integers(0, 2**40))
def test_zscore_batch_matches_reference(case, write):
    prices, index, window, threshold = case
    ring = np.ascontiguousarray(prices.T)
    if window > ring.shape[1]:
        return
    exact = []
    for a, b in index:
        recent = [[(ring[s, (write - back) % ring.shape[1]]) for back in range(window, 0, -1)] for s in (a, b)]
        exact.append(twin.pair_zscore(*recent, window)[0])
    apart = ~(np.abs(np.abs(np.array(exact)) - threshold) < 1e-9)
    ours = zscore.zscore_batch(ring, write, index, window, threshold)
    np.testing.assert_array_equal(ours[apart], twin.zscore_batch(ring, write, index, window, threshold)[apart])


@st.composite
def rows(draw):
    n = draw(st.integers(2, 6))
    values = st.one_of(st.floats(-1e3, 1e3).map(lambda v: round(v, 3)), special, st.sampled_from([1e101, 7.0, 7.0]))
    return draw(hnp.arrays(np.float64, (draw(st.integers(2, 40)), n), elements=values, fill=values)), draw(st.integers(2, 12))


@given(rows())
def test_correlation_matches_reference(case):
    x, window = case
    ours, theirs = zscore.RollingCorrelation(x.shape[1], window), twin.RollingCorrelation(x.shape[1], window)
    for row in x:
        ours.update(row)
        theirs.update(row)
        assert_close(ours.matrix(), theirs.matrix(), absolute=1e-6)
        assert_close(ours.mean_correlations(), theirs.mean_correlations(), absolute=1e-6)


@given(rows())
def test_correlations_are_a_symmetric_matrix_within_one(case):
    x, window = case
    c = zscore.RollingCorrelation(x.shape[1], window)
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
    c = zscore.RollingCorrelation(x.shape[1], window)
    for _ in range(repeats):
        c.update_many(x)
    fresh = zscore.RollingCorrelation(x.shape[1], window)
    fresh.update_many(np.concatenate([x] * (1 + -(-window // len(x))))[-window:])
    if c.count >= window:
        assert_close(c.matrix(), fresh.matrix(), absolute=1e-6)


@given(
    st.lists(st.tuples(st.integers(0, 3), st.floats(1.0, 2.0)), min_size=1, max_size=4, unique_by=lambda t: t[0]),
    st.integers(0, 99),
)
def test_signal_engine_matches_reference(last, seed):
    ours, theirs = zscore.OptimizedSignalEngine(4), twin.OptimizedSignalEngine(4)
    rng = np.random.default_rng(seed)
    factor = rng.choice([-1, 0, 1], 4)
    for t in range(104):
        prices = np.exp(rng.normal() * factor + rng.normal(scale=0.1, size=4))
        ids = np.arange(4)
        if t == 103:
            ids, prices = np.array([i for i, _ in last]), np.array([p for _, p in last])
        if t < 100:  # no signals yet: spare the twin's matrix
            theirs.prices, previous = prices.copy(), theirs.prices
            theirs.correlation.update(prices / previous - 1.0)
            signals, strengths, _ = ours.generate_signals_vectorized(prices, ids)
            assert not signals.any()
            continue
        signals, strengths, _ = ours.generate_signals_vectorized(prices, ids)
        expected, expected_strengths, _ = theirs.generate_signals_vectorized(prices, ids)
        assert_close(strengths, expected_strengths, absolute=1e-9)
        apart = (np.abs(strengths - 0.5) > 1e-9) & (np.abs(strengths - 0.8) > 1e-9)
        np.testing.assert_array_equal(signals[apart], expected[apart])
