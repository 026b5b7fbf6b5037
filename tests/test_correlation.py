"""Rolling correlations: definition, special values, drift, errors, on the compiled module and its twin."""

import math
import os

import numpy as np
import pytest

from fastcore import correlation

MODULE = "correlation"
NAN, INF = math.nan, math.inf


def correlations(rows):
    # Of one window, in two passes about a point of the data; NaN for constant series.
    d = np.asarray(rows, np.float64) - rows[-1]
    d -= d.mean(0)
    d[:, (np.asarray(rows) == rows[-1]).all(0)] = 0
    s = np.sqrt((d * d).sum(0))
    with np.errstate(invalid="ignore", divide="ignore"):
        return (d.T @ d) / s / s[:, None]


@pytest.mark.parametrize("series", [2, 3, 4, 5, 9])
@pytest.mark.usefixtures("simd")
def test_correlation_matrix_equals_numpy(impl, series):
    rng = np.random.default_rng(series)
    x = np.cumsum(rng.normal(size=(70, series)), 0) + 100
    c = impl.RollingCorrelation(series, 20)
    for t, row in enumerate(x):
        c.update(row)
        m = c.matrix()
        if t < 19:
            assert np.isnan(m).all()
            continue
        assert m == pytest.approx(np.corrcoef(x[t - 19 : t + 1], rowvar=False), abs=1e-11)
        assert np.array_equal(m, m.T)
        assert (np.diag(m) == 1).all()
        assert c.correlation(1, 0) == c.correlation(0, 1) == pytest.approx(m[0, 1], abs=1e-15)
        off = np.where(np.eye(series, dtype=bool), NAN, m)
        assert c.mean_correlations() == pytest.approx(np.nanmean(off, 1), abs=1e-13)
    assert (c.series, c.window, c.count) == (series, 20, 70)
    out = np.empty((series, series))
    assert c.matrix(out) is out
    c.reset()
    c.update_many(x)
    assert c.count == 70
    assert np.array_equal(c.matrix(), out)


def test_correlation_survives_nan_spikes_jumps_and_constant_runs(impl):
    rng = np.random.default_rng(9)
    x = rng.normal(scale=1e-3, size=(900, 6)) + 100.0
    x[200, 0], x[300, 1], x[310, 1] = NAN, 1e9, -1e9
    x[400:, 2] += 1e7
    x[350:600, 3] = 3.3
    x[450, 4], x[451, 4] = INF, 1e101
    c = impl.RollingCorrelation(6, 60)
    for t, row in enumerate(x):
        c.update(row)
        if t >= 59 and t % 5 == 0:
            rows = x[t - 59 : t + 1]
            bad = ~(np.abs(rows) < 1e100).all(0)
            expected = correlations(np.where(bad, 0.0, rows))
            m = c.matrix()
            assert (np.isnan(m) == np.isnan(expected)).all(), t
            assert m == pytest.approx(expected, abs=1e-9, nan_ok=True), t


def test_correlation_does_not_drift_over_a_million_ticks():
    n = int(os.environ.get("FASTCORE_TEST_TICKS", "1000000"))
    rng = np.random.default_rng(10)
    c = correlation.RollingCorrelation(5, 100)
    level = np.full(5, 1e4)
    for _ in range(n // 10_000):
        x = np.cumsum(rng.normal(size=(10_000, 5)), 0) + level
        level = x[-1]
        c.update_many(x)
    assert c.count == n // 10_000 * 10_000
    assert c.matrix() == pytest.approx(correlations(x[-100:]), abs=1e-12)
    assert c.rebuilds < 1000  # plain walks need next to none


def test_correlation_bad_input(impl):
    with pytest.raises(ValueError, match=r"series must be in 2\.\.30000: series=1"):
        impl.RollingCorrelation(1, 5)
    with pytest.raises(ValueError, match=r"window must be in 2\.\.2\*\*62-1: window=1"):
        impl.RollingCorrelation(3, 1)
    with pytest.raises(TypeError):
        impl.RollingCorrelation(3, 5.0)
    c = impl.RollingCorrelation(3, 5)
    with pytest.raises(ValueError, match="x must hold one value per series: size=2, series=3"):
        c.update([1.0, 2.0])
    with pytest.raises(ValueError, match="x must hold one column per series: columns=2, series=3"):
        c.update_many(np.zeros((4, 2)))
    for i, j in ((3, 0), (0, -1)):
        with pytest.raises(IndexError, match=r"series must be in 0\.\.2: series="):
            c.correlation(i, j)
    with pytest.raises(ValueError, match="out must be a writable"):
        c.matrix(np.zeros((3, 3), np.float32))
    with pytest.raises(ValueError, match="out must have a row and a column per series"):
        c.matrix(np.zeros((3, 4)))
    assert c.count == 0
