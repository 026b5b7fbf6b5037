"""Rolling statistics and pairs: definitions, accuracy, special values, errors, and both SIMD twins."""

import math
import mmap
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from fastcore import correlation, replaced, zscore
from fastcore.reference import zscore as twin

MODULE = "zscore"
NAN, INF = math.nan, math.inf


def windows(x, window):
    return np.lib.stride_tricks.sliding_window_view(np.asarray(x, np.float64), window)


def same_bits(a, b):
    return a.shape == b.shape and np.array_equal(a.view(np.int64), b.view(np.int64))


def walk(n=10_000, seed=1):
    return 100.0 + np.cumsum(np.random.default_rng(seed).normal(scale=0.01, size=n))


def tiny_variance(n=10_000):
    return 1e5 + np.random.default_rng(2).normal(scale=1e-4, size=n)


def fat_print(n=10_000):
    x = 100.0 + np.random.default_rng(3).normal(scale=1e-3, size=n)
    x[n // 2] *= 1.1
    return x


# ---- definitions ----


def test_pair_golden_values(impl):
    z = impl.pair_zscore([10, 11, 13, 12, 15], [9, 9, 10, 10, 11], 3)
    assert z == pytest.approx([1.2247448714, -0.7071067812, 1.2247448714], abs=1e-10)


def test_one_window_of_round_numbers(impl):
    x = [1.0, 2.0, 3.0, 6.0]
    assert impl.rolling_mean(x, 4).tolist() == [3.0]
    assert impl.rolling_var(x, 4).tolist() == [3.5]
    assert impl.rolling_var(x, 4, 1).tolist() == [pytest.approx(14 / 3, rel=1e-15)]
    assert impl.rolling_std(x, 4).tolist() == [pytest.approx(math.sqrt(3.5), rel=1e-15)]
    assert impl.rolling_zscore(x, 4).tolist() == [pytest.approx(3 / math.sqrt(3.5), rel=1e-15)]
    assert impl.rolling_zscore(x, 4, ddof=1).tolist() == [pytest.approx(3 / math.sqrt(14 / 3), rel=1e-15)]


@pytest.mark.parametrize("window", [2, 3, 7, 8, 9, 10, 16, 33, 99, 100, 300])
@pytest.mark.parametrize("ddof", [0, 1])
def test_batch_equals_numpy(impl, window, ddof):
    x = np.random.default_rng(window).normal(size=300)
    w = windows(x, window)
    assert impl.rolling_mean(x, window) == pytest.approx(w.mean(1), abs=1e-13)
    assert impl.rolling_var(x, window, ddof) == pytest.approx(w.var(1, ddof=ddof), rel=1e-11)
    assert impl.rolling_std(x, window, ddof) == pytest.approx(w.std(1, ddof=ddof), rel=1e-11)
    assert impl.rolling_zscore(x, window, ddof) == pytest.approx((w[:, -1] - w.mean(1)) / w.std(1, ddof=ddof), abs=1e-11)


@pytest.mark.parametrize("convert", [list, np.float32, np.int64, lambda x: x[::-1][::-1], lambda x: x.astype(">f8")])
def test_other_inputs_are_converted(impl, convert):
    x = np.arange(20.0) ** 2 % 7
    other = convert(x) if convert is not np.float32 and convert is not np.int64 else x.astype(convert)
    assert same_bits(impl.rolling_zscore(other, 5), impl.rolling_zscore(x, 5))
    assert same_bits(impl.pair_zscore(other, x[::-1], 5), impl.pair_zscore(x, x[::-1].copy(), 5))


def test_strided_and_read_only_inputs(impl):
    x = np.random.default_rng(0).normal(size=(40, 2))
    assert same_bits(impl.rolling_std(x[:, 1], 5), impl.rolling_std(x[:, 1].copy(), 5))
    y = x[:, 0].copy()
    y.setflags(write=False)
    assert same_bits(impl.rolling_std(y, 5), impl.rolling_std(x[:, 0].copy(), 5))


@pytest.mark.parametrize("name", ["rolling_mean", "rolling_var", "rolling_std", "rolling_zscore"])
def test_out_is_written_and_returned(impl, name):
    x = walk(50)
    out = np.full(41, NAN)
    assert getattr(impl, name)(x, 10, out=out) is out
    assert same_bits(out, getattr(impl, name)(x, 10))


def test_pair_spreads(impl):
    rng = np.random.default_rng(3)
    a, b = 100 + rng.normal(size=60), 50 + rng.normal(size=60)
    z = impl.pair_zscore
    assert same_bits(z(a, b, 12), impl.rolling_zscore(a - b, 12))
    assert same_bits(z(a, b, 12, hedge_ratio=1.7, ddof=1), impl.rolling_zscore(a - 1.7 * b, 12, 1))
    logs = impl.rolling_zscore([math.log(p) - 0.9 * math.log(q) for p, q in zip(a, b, strict=True)], 12)
    assert same_bits(z(a, b, 12, hedge_ratio=0.9, log=True), logs)
    out = np.empty(49)
    assert z(a, b, 12, out=out) is out


@pytest.mark.parametrize("window", [2, 9, 100, 1000, 5000])
def test_long_pairs_are_cut_without_a_seam(window):
    rng = np.random.default_rng(4)
    a, b = rng.normal(size=(2, 30_000))
    assert same_bits(zscore.pair_zscore(a, b, window), zscore.rolling_zscore(a - b, window))


# ---- accuracy ----


@pytest.mark.parametrize(
    ("series", "limit"),
    [(walk, 1e-13), (tiny_variance, 1e-13), (fat_print, 1e-13)],
    ids=["random walk", "tiny variance at 1e5", "10% fat print"],
)
@pytest.mark.usefixtures("simd")
def test_zscores_against_fifty_digits(series, limit):
    # Asked for: 1e-11, 1e-11 and 1e-8.
    x = series()
    exact = twin.exact_zscore(x, 100)
    assert np.abs(zscore.rolling_zscore(x, 100) - exact).max() <= limit
    assert np.abs(zscore.RollingZScore(100).update_many(x)[99:] - exact).max() <= limit


@pytest.mark.parametrize("window", [2, 3, 8, 9, 50, 999, 2500])
def test_zscores_of_any_window_against_fifty_digits(window):
    x = fat_print(4000)
    exact = twin.exact_zscore(x, window)
    assert np.abs(zscore.rolling_zscore(x, window) - exact).max() <= 1e-12
    assert np.abs(zscore.RollingZScore(window).update_many(x)[window - 1 :] - exact).max() <= 1e-12


def test_exact_zscore_is_exact():
    mpmath = pytest.importorskip("mpmath")
    x = fat_print(120)
    with mpmath.workdps(60):
        for i, z in enumerate(twin.exact_zscore(x, 100)):
            w = [mpmath.mpf(v) for v in x[i : i + 100].tolist()]
            mean = mpmath.fsum(w) / 100
            assert z == float((w[-1] - mean) / mpmath.sqrt(mpmath.fsum((v - mean) ** 2 for v in w) / 100))


@pytest.mark.parametrize("offset", [1e8, 1e9, -1e9])
def test_large_offsets_keep_the_variance(impl, offset):
    noise = np.random.default_rng(5).normal(size=400)
    x = offset + noise
    exact = impl.rolling_var(x - offset, 50)  # the subtraction is exact
    assert impl.rolling_var(x, 50) == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize("spike", [1e6, 1e12, -1e12, 1e100, 1e140])
@pytest.mark.parametrize("window", [2, 5, 20, 64])
@pytest.mark.parametrize("position", [100, 113, 127, 128])
def test_a_spike_leaves_without_a_trace(impl, spike, window, position):
    x = walk(256)
    clean = impl.rolling_zscore(x, window), impl.rolling_var(x, window), impl.RollingZScore(window).update_many(x)
    x[position] = spike
    dirty = impl.rolling_zscore(x, window), impl.rolling_var(x, window), impl.RollingZScore(window).update_many(x)
    assert dirty[0][position + 1 :] == pytest.approx(clean[0][position + 1 :], abs=1e-12)
    assert dirty[1][position + 1 :] == pytest.approx(clean[1][position + 1 :], rel=1e-12)
    assert dirty[2][position + window :] == pytest.approx(clean[2][position + window :], abs=1e-12)
    assert (dirty[1] >= 0).all()
    assert (np.abs(dirty[0]) <= math.sqrt(window - 1)).all()
    if window > 2:  # the spike itself reaches the bound
        assert abs(dirty[0][position - window + 1]) == pytest.approx(math.sqrt(window - 1), rel=1e-9)


@pytest.mark.parametrize("value", [0.0, 0.1, -1e-300, 1e9 / 3, 1e300])
@pytest.mark.parametrize("window", [2, 7, 10, 31])
def test_constant_windows_are_exact(impl, value, window):
    x = np.concatenate([walk(40), np.full(80, value), walk(40)]) if abs(value) < 1e150 else np.full(80, value)
    constant = (windows(x, window) == windows(x, window)[:, :1]).all(1)
    assert constant.sum() >= 80 - window + 1
    assert (impl.rolling_mean(x, window)[constant] == value).all()
    assert (impl.rolling_var(x, window)[constant] == 0).all()
    assert (impl.rolling_zscore(x, window)[constant] == 0).all()
    assert (impl.RollingZScore(window).update_many(x)[window - 1 :][constant] == 0).all()
    assert (impl.rolling_var(x, window)[~constant] > 0).all()


def test_growing_and_falling_over_many_orders_of_magnitude(impl):
    x = np.concatenate([2.0 ** np.arange(-60, 60), 2.0 ** np.arange(60, -60, -1)])
    exact = twin.exact_zscore(x, 20)
    assert impl.rolling_zscore(x, 20) == pytest.approx(exact, abs=1e-12)
    assert impl.RollingZScore(20).update_many(x)[19:] == pytest.approx(exact, abs=1e-12)


# ---- NaN policy ----


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
@pytest.mark.parametrize("window", [2, 3, 8, 9, 10, 25])
def test_a_value_that_is_not_finite_marks_exactly_its_windows(impl, bad, window):
    x = walk(150)
    clean = {name: getattr(impl, name)(x, window) for name in ("rolling_mean", "rolling_var", "rolling_std", "rolling_zscore")}
    stream = impl.RollingZScore(window).update_many(x)
    x[[0, 61, 64, 110, 149]] = bad
    marked = ~np.isfinite(windows(x, window)).all(1)
    for name, values in clean.items():
        found = getattr(impl, name)(x, window)
        assert (np.isnan(found) == marked).all(), name
        assert found[~marked] == pytest.approx(values[~marked], rel=1e-9, abs=1e-12), name
    found = impl.RollingZScore(window).update_many(x)[window - 1 :]
    assert (np.isnan(found) == marked).all()
    assert found[~marked] == pytest.approx(stream[window - 1 :][~marked], abs=1e-9)


def test_both_infinities_and_nan_together(impl):
    x = np.array([INF, -INF, NAN, 1.0, 2.0, 4.0])
    for name in ("rolling_mean", "rolling_var", "rolling_std", "rolling_zscore"):
        assert np.isnan(getattr(impl, name)(x, 3)).tolist() == [True, True, True, False], name


def test_spreads_that_overflow_are_nan_and_leave_no_trace(impl):
    x = walk(60)
    x[30] = 1e200
    for z in (impl.rolling_zscore(x, 10), impl.RollingZScore(10).update_many(x)[9:]):
        assert np.isnan(z).sum() == 10
        assert np.isnan(z[21:31]).all()
    assert np.isnan(impl.rolling_var(x, 10)[21:31]).all()
    assert np.isfinite(impl.rolling_mean(x, 10)).all()


# ---- bad input ----


@pytest.mark.parametrize("name", ["rolling_mean", "rolling_var", "rolling_std", "rolling_zscore"])
def test_windows_out_of_range(impl, name):
    f = getattr(impl, name)
    for window in (1, 0, -3, 11, 2**70):
        with pytest.raises(ValueError, match=rf"window must be in 2\.\.n: window={window}, n=10"):
            f(np.zeros(10), window)
    with pytest.raises(ValueError, match="window=2, n=0"):
        f([], 2)
    with pytest.raises(TypeError):
        f(np.zeros(10), 2.5)
    with pytest.raises(ValueError, match="x must have 1 dimension: ndim=2"):
        f(np.zeros((5, 2)), 2)
    with pytest.raises(ValueError, match="x must have 1 dimension: ndim=0"):
        f(1.0, 2)
    for x in (np.zeros(5, complex), np.array(["a", "b"]), np.zeros(3, "M8[s]"), [None, 1.0]):
        with pytest.raises(TypeError, match="x must hold real numbers: dtype="):
            f(x, 2)


def test_ddof_out_of_range(impl):
    for call in (
        lambda d: impl.rolling_var(np.zeros(9), 4, d),
        lambda d: impl.RollingZScore(4, d),
        lambda d: impl.PairZScore(4, ddof=d),
        lambda d: impl.PairSet([[0, 1]], 4, ddof=d),
    ):
        for ddof in (-1, 4):
            with pytest.raises(ValueError, match=rf"ddof must be in 0\.\.window-1: ddof={ddof}, window=4"):
                call(ddof)


def test_out_that_does_not_fit(impl):
    x = np.zeros(30)
    wrong = "out must be a writable, contiguous, one-dimensional float64 array"
    frozen = np.zeros(21)
    frozen.setflags(write=False)
    for out in (np.zeros(42)[::2], np.zeros(21, np.float32), np.zeros((21, 1)), frozen, [0.0] * 21):
        with pytest.raises(ValueError, match=wrong):
            impl.rolling_mean(x, 10, out=out)
    with pytest.raises(ValueError, match="out must hold one value per window: size=20, windows=21"):
        impl.rolling_mean(x, 10, out=np.zeros(20))
    with pytest.raises(ValueError, match="out must not share memory with the input"):
        impl.rolling_mean(x, 10, out=x[5:26])
    with pytest.raises(ValueError, match="out must not share memory with the input"):
        impl.pair_zscore(np.zeros(30), x, 10, out=x[:21])


def test_pairs_out_of_range(impl):
    a = np.ones(10)
    with pytest.raises(ValueError, match="price series must have one length: prices1=10, prices2=9"):
        impl.pair_zscore(a, a[:9], 3)
    with pytest.raises(ValueError, match="hedge_ratio must be finite: hedge_ratio=nan"):
        impl.pair_zscore(a, a, 3, hedge_ratio=NAN)
    with pytest.raises(ValueError, match="hedge_ratio must be finite: hedge_ratio=inf"):
        impl.PairZScore(3, INF)
    for bad in (0.0, -2.5):
        b = a.copy()
        b[4] = bad
        with pytest.raises(ValueError, match=rf"prices must be positive where logarithms are asked for: prices2\[4\]={bad}"):
            impl.pair_zscore(a, b, 3, log=True)
        with pytest.raises(
            ValueError, match=f"prices must be positive where logarithms are asked for: price1={bad}, price2=1.0"
        ):
            impl.PairZScore(3, log=True).update(bad, 1.0)


def test_streaming_windows_out_of_range(impl):
    for make in (
        impl.RollingZScore,
        impl.PairZScore,
        lambda w: impl.PairSet([[0, 1]], w),
    ):
        with pytest.raises(ValueError, match=r"window must be in 2\.\.2\*\*62-1: window=1"):
            make(1)
        with pytest.raises(TypeError):
            make(3.0)
    with pytest.raises(TypeError):
        impl.RollingZScore(3).update(None)


def test_a_window_beyond_memory_is_refused():
    for make in (
        lambda: zscore.RollingZScore(2**61),
        lambda: zscore.PairSet([[0, 1]], 2**61),
        lambda: correlation.RollingCorrelation(30_000, 2**60),
    ):
        with pytest.raises(MemoryError, match="no memory for the state"):
            make()


# ---- streaming ----


@pytest.mark.parametrize("window", [2, 3, 4, 5, 10, 11, 64, 101])
@pytest.mark.parametrize("ddof", [0, 1])
def test_streaming_equals_batch(impl, window, ddof):
    x = np.random.default_rng(window).normal(size=400)
    stream = impl.RollingZScore(window, ddof)
    seen = []
    for i, v in enumerate(x.tolist()):
        z = stream.update(v)
        assert stream.count == i + 1
        assert math.isnan(z) == (i + 1 < window)
        assert z == stream.zscore or i + 1 < window
        seen.append((z, stream.mean, stream.var, stream.std))
    z, mean, var, std = np.array(seen)[window - 1 :].T
    assert z == pytest.approx(impl.rolling_zscore(x, window, ddof), abs=1e-12)
    assert mean == pytest.approx(impl.rolling_mean(x, window), abs=1e-13)
    assert var == pytest.approx(impl.rolling_var(x, window, ddof), rel=1e-11)
    assert std == pytest.approx(impl.rolling_std(x, window, ddof), rel=1e-11)
    assert np.isnan(np.array(seen)[: window - 1]).all()
    assert (stream.window, stream.ddof) == (window, ddof)


@pytest.mark.parametrize("window", [2, 7, 50])
def test_streaming_does_not_depend_on_the_pieces(impl, window):
    x = walk(500)
    whole = impl.RollingZScore(window).update_many(x)
    singles, pieces = impl.RollingZScore(window), impl.RollingZScore(window)
    assert same_bits(np.array([singles.update(v) for v in x]), whole)
    parts = [pieces.update_many(part) for part in np.split(x, [0, 1, 8, 100, 101, 333])]
    assert same_bits(np.concatenate(parts), whole)
    out = np.empty(500)
    singles.reset()
    assert singles.count == 0
    assert math.isnan(singles.zscore)
    assert singles.update_many(x, out) is out
    assert same_bits(out, whole)


def test_refused_output_takes_nothing_in(impl):
    r = impl.RollingZScore(3)
    with pytest.raises(ValueError, match="out must hold"):
        r.update_many([1.0, 2.0], np.empty(3))
    assert r.count == 0


def test_pair_streaming(impl):
    rng = np.random.default_rng(6)
    a, b = 100 + rng.normal(size=(2, 80))
    for log in (False, True):
        pair = impl.PairZScore(16, 0.8, log)
        z = [pair.update(p, q) for p, q in zip(a.tolist(), b.tolist(), strict=True)]
        assert z[15:] == pytest.approx(impl.pair_zscore(a, b, 16, hedge_ratio=0.8, log=log), abs=1e-11)
        assert (pair.window, pair.ddof, pair.count, pair.hedge_ratio, pair.log) == (16, 0, 80, 0.8, log)
        assert pair.zscore == z[-1]
        pair.reset()
        assert math.isnan(pair.mean)
        assert math.isnan(pair.std)


# ---- many pairs ----


@pytest.mark.parametrize("window", [2, 3, 10, 11])
@pytest.mark.parametrize("log", [False, True])
@pytest.mark.usefixtures("simd")
def test_pair_set_has_the_bits_of_single_pairs(impl, window, log):
    rng = np.random.default_rng(window)
    pairs = rng.integers(0, 6, size=(13, 2))
    hedges, thresholds = rng.uniform(0.5, 2, 13), rng.uniform(0, 2, 13)
    many = impl.PairSet(pairs, window, thresholds, hedges, log)
    single = [impl.PairZScore(window, h, log) for h in hedges]
    for t in range(60):
        prices = np.exp(rng.normal(size=7))
        if t in (20, 44):
            prices[2] = NAN if t == 20 else INF
        signals = many.update(prices)
        z = np.array([s.update(prices[i], prices[j]) for s, (i, j) in zip(single, pairs, strict=True)])
        assert np.array_equal(many.zscores, z, equal_nan=True)
        expected = (z > thresholds).astype(int) - (z < -thresholds).astype(int)
        assert signals.dtype == np.int8
        assert signals.tolist() == many.signals.tolist() == expected.tolist()
    assert (len(many), many.window, many.ddof, many.count) == (13, window, 0, 60)
    many.reset()
    assert many.count == 0
    assert np.isnan(many.zscores).all()
    assert many.update(np.ones(6)).tolist() == [0] * 13


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is told there")
def test_pair_set_takes_eight_bytes_a_pair_and_place_in_the_window():
    def resident():
        return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE

    pairs = np.stack(np.triu_indices(150, 1), axis=1)  # 11,175 of 150 series
    before = resident()
    pair_set = zscore.PairSet(pairs, 1000)
    for i in range(3):
        pair_set.update(np.full(150, 100.0 + i))
    assert resident() - before < 10 * len(pairs) * 1000, "the prices of both are those of all pairs"


def test_pair_set_views_are_read_only_and_outlive_their_owner():
    many = zscore.PairSet([[0, 1]], 2, 0.5)
    many.update([1.0, 2.0])
    signals, spreads = many.update([5.0, 1.0]), many.spreads
    with pytest.raises(ValueError, match="read-only"):
        signals[0] = 7
    del many
    assert (signals.tolist(), spreads.tolist()) == ([1], [4.0])


def test_pair_set_bad_input(impl):
    make = impl.PairSet
    for pairs in ([], [0, 1], [[0, 1, 2]]):
        with pytest.raises(ValueError, match="pairs must be rows of two symbol indices: shape="):
            make(pairs, 5)
    with pytest.raises(TypeError, match="pairs must hold integers: dtype=float64"):
        make([[0.0, 1.0]], 5)
    with pytest.raises(ValueError, match=r"pairs must be in 0\.\.2147483646: pairs\[1\]=\[0, -1\]"):
        make([[0, 1], [0, -1]], 5)
    with pytest.raises(ValueError, match=r"thresholds must be at least 0: thresholds\[1\]=-1.0"):
        make([[0, 1], [1, 0]], 5, [1.0, -1.0])
    with pytest.raises(ValueError, match=r"thresholds must be at least 0: thresholds\[0\]=nan"):
        make([[0, 1]], 5, NAN)
    with pytest.raises(ValueError, match=r"thresholds must be one number or one per pair: shape=\(3,\), pairs=1"):
        make([[0, 1]], 5, [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match=r"hedge_ratios must be finite: hedge_ratios\[0\]=inf"):
        make([[0, 1]], 5, 1.0, INF)
    many = make([[0, 3]], 5, log=True)
    with pytest.raises(ValueError, match="prices must hold every symbol of the pairs: size=3, symbols=4"):
        many.update([1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match=r"prices must be positive where logarithms are asked for: prices\[2\]=0.0"):
        many.update([1.0, 2.0, 0.0, 1.0])
    assert many.count == 0


# ---- correlation ----


def test_streaming_zscore_does_not_drift_over_a_million_ticks():
    rng = np.random.default_rng(11)
    r = zscore.RollingZScore(100)
    x = 1e4 + np.cumsum(rng.normal(size=1_000_000))
    z = r.update_many(x)
    assert z[-900:] == pytest.approx(twin.exact_zscore(x[-999:], 100), abs=1e-13)


# ---- SIMD twins and threads ----


def twin_run():
    rng = np.random.default_rng(13)
    results = []
    for n in (2, 9, 17, 64, 100, 1000, 3001):
        x = rng.normal(size=n) * 10.0 ** rng.integers(-3, 4) + rng.normal() * 1e3
        x[rng.integers(0, n, n // 40)] = rng.choice([NAN, INF, -INF, 1e12])
        x[n // 3 : n // 2] = 7.7
        for window in sorted({2, 3, 4, 8, 9, 12, 33, 100, n // 5, n // 4, n // 2, n - 1, n}):
            if 2 <= window <= n:
                for f in (zscore.rolling_mean, zscore.rolling_var, zscore.rolling_std, zscore.rolling_zscore):
                    results.append(f(x, window))
                results.append(zscore.rolling_zscore(x, window, 1))
                results.append(zscore.RollingZScore(window).update_many(x))
    many = zscore.PairSet(rng.integers(0, 9, size=(21, 2)), 15, 1.0, 0.7)
    c = correlation.RollingCorrelation(9, 15)
    for row in rng.normal(size=(90, 9)):
        row[rng.integers(0, 9)] = rng.choice([NAN, 1e12, 1.0, 1.0, 1.0, 1.0])
        results.append(many.update(row).astype(float))
        results.append(many.zscores.copy())
        c.update(row)
        results += [c.matrix().ravel(), c.mean_correlations()]
    ring = rng.normal(size=(9, 40))
    for lookback in (2, 3, 4, 7, 39, 40):
        results.append(
            replaced.zscore_batch(ring, rng.integers(0, 80, 9), rng.integers(0, 9, (50, 2)), lookback, 0.5).astype(float)
        )
    return np.concatenate(results)


def test_simd_twins_give_the_same_bits():
    before = zscore._simd()
    try:
        zscore._simd("avx2")
    except ValueError:
        pytest.skip("this processor has no AVX2")
    try:
        fast = twin_run()
        zscore._simd("scalar")
        slow = twin_run()
    finally:
        zscore._simd(before)
    # One NaN is as good as another.
    assert np.array_equal(np.isnan(fast), np.isnan(slow))
    finite = ~np.isnan(fast)
    assert same_bits(fast[finite], slow[finite])


@pytest.mark.threads
def test_threads_with_their_own_objects_do_not_disturb_each_other():
    x = walk(5000)
    y = x[::-1].copy()
    rows = x.reshape(-1, 5)

    def everything():
        many, c = zscore.PairSet([[0, 1], [2, 3]], 30), correlation.RollingCorrelation(5, 30)
        c.update_many(rows)
        for row in rows[:100]:
            many.update(row)
        return [
            zscore.rolling_zscore(x, 100),
            zscore.rolling_zscore(x, 700),
            zscore.pair_zscore(x, y, 50),
            zscore.RollingZScore(60).update_many(x),
            replaced.zscore_batch(x.reshape(5, -1), 3, [[0, 1], [3, 2]], 50, 0.1),
            many.zscores.copy(),
            c.matrix(),
        ]

    expected = everything()
    wrong = []

    def work():
        for _ in range(20):
            got = everything()
            if not all(np.array_equal(a, b, equal_nan=True) for a, b in zip(got, expected, strict=True)):
                wrong.append(got)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong
