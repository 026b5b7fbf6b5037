"""The calls of the replaced engine against their twins, on arbitrary input."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from makers.series import assert_close, ticks

from fastcore import replaced
from fastcore.reference import replaced as twin
from fastcore.reference.zscore import pair_zscore


@given(st.sampled_from([2, 8, 64]), st.lists(st.one_of(st.none(), st.floats()), max_size=200))
def test_float_ring_matches_reference(size, steps):
    ours, theirs = replaced.LockFreeRingBuffer(size), twin.LockFreeRingBuffer(size)
    for value in steps:
        a, b = (ours.pop(), theirs.pop()) if value is None else (ours.push(value), theirs.push(value))
        assert a == b or (a != a and b != b)
        assert (len(ours), ours.published, ours.consumed, ours.full) == (
            len(theirs),
            theirs.published,
            theirs.consumed,
            theirs.full,
        )


def outcome(object_, name, arguments):
    try:
        return getattr(object_, name)(*(np.array(a, np.int64) if isinstance(a, list) else a for a in arguments))
    except (ValueError, OverflowError) as error:
        return type(error), str(error)


@given(
    st.integers(1, 5),
    st.lists(
        st.tuples(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**63), 2**63 - 1))
        | st.tuples(st.just(0), st.integers(-5000, 2_000_000)),
        max_size=30,
    ),
)
def test_monitor_matches_reference(capacity, spans):
    a, b = replaced.LatencyMonitor(capacity), twin.LatencyMonitor(capacity)
    for span in spans:
        assert outcome(a, "record_latency", span) == outcome(b, "record_latency", span)
    assert a.latencies.tolist() == b.latencies.tolist()
    assert a.histogram.tolist() == b.histogram.tolist()
    ours, theirs = a.summary(), b.summary()
    assert {k: v for k, v in ours.items() if k not in {"mean", "stddev"}} == {
        k: v for k, v in theirs.items() if k not in {"mean", "stddev"}
    }
    np.testing.assert_allclose([ours["mean"], ours["stddev"]], [theirs["mean"], theirs["stddev"]], rtol=1e-9)


@given(ticks(), st.integers(0, 2**40))
def test_zscore_batch_matches_reference(case, write):
    prices, index, window, threshold = case
    ring = np.ascontiguousarray(prices.T)
    if window > ring.shape[1]:
        return
    exact = []
    for a, b in index:
        recent = [[(ring[s, (write - back) % ring.shape[1]]) for back in range(window, 0, -1)] for s in (a, b)]
        exact.append(pair_zscore(*recent, window)[0])
    apart = ~(np.abs(np.abs(np.array(exact)) - threshold) < 1e-9)
    ours = replaced.zscore_batch(ring, write, index, window, threshold)
    np.testing.assert_array_equal(ours[apart], twin.zscore_batch(ring, write, index, window, threshold)[apart])


@given(
    st.lists(st.tuples(st.integers(0, 3), st.floats(1.0, 2.0)), min_size=1, max_size=4, unique_by=lambda t: t[0]),
    st.integers(0, 99),
)
def test_signal_engine_matches_reference(last, seed):
    ours, theirs = replaced.OptimizedSignalEngine(4), twin.OptimizedSignalEngine(4)
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
