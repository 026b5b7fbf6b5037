"""The calls of the replaced engine: names, shapes and results, on the compiled module and its twin."""

import math
import pickle

import numpy as np
import pytest
from kit import same_kind

from fastcore import replaced, symbols
from fastcore.errors import StoreError
from fastcore.records import TICK_DTYPE
from hft.replaced import MARKET_DATA_DTYPE

MODULE = "replaced"
NAN, INF = math.nan, math.inf


def test_symbols_are_those_of_their_module():
    assert replaced.SymbolMapper is symbols.SymbolMapper


# ---- ring of floats


def test_floats_first_in_first_out(impl):
    ring = impl.LockFreeRingBuffer(4)
    assert ring.pop() is None
    assert [ring.push(v) for v in (1.5, -0.0, math.inf, 4, 5.0)] == [True] * 4 + [False]
    assert (len(ring), ring.size, ring.full) == (4, 4, 1)
    assert [ring.pop() for _ in range(5)] == [1.5, -0.0, math.inf, 4.0, None]
    assert ring.push(math.nan)
    assert math.isnan(ring.pop())
    assert (ring.published, ring.consumed) == (5, 5)


def test_default_size_is_that_of_the_replaced_engine(impl):
    ring = impl.LockFreeRingBuffer()
    assert ring.size == 8192
    assert sum(ring.push(float(i)) for i in range(9000)) == 8192
    assert [ring.pop() for _ in range(8192)] == [float(i) for i in range(8192)]
    with pytest.raises((TypeError, ValueError)):
        ring.push("price")


@pytest.mark.parametrize(("size", "fits"), [(1, 2), (2, 2), (3, 4), (1000, 1024), (1024, 1024), (1025, 2048)])
def test_any_size_is_rounded_up_to_a_power_of_two(impl, size, fits):
    ring = impl.LockFreeRingBuffer(size)
    assert ring.size == fits
    assert [ring.push(float(i)) for i in range(fits + 1)] == [True] * fits + [False]


def test_size_is_an_integer_that_fits(impl):
    for size in (8.0, "8", NAN):
        with pytest.raises(TypeError):
            impl.LockFreeRingBuffer(size)
    with pytest.raises(ValueError, match=r"size must be in 1\.\.2\*\*35: size=1152921504606846976"):
        impl.LockFreeRingBuffer(2**60)
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(impl.LockFreeRingBuffer(2))


# ---- latencies


def test_monitor_keeps_the_calls_of_the_replaced_engine(impl):
    m = impl.LatencyMonitor()
    for ns in (500, 999, 1000, 1999, 998_999, 999_000, 5_000_000):
        m.record_latency(10**18, 10**18 + ns)
    assert m.latencies.tolist() == [500, 999, 1000, 1999, 998_999, 999_000, 5_000_000]
    assert m.histogram.shape == (1000,)
    assert {i: int(n) for i, n in enumerate(m.histogram) if n} == {0: 2, 1: 2, 998: 1, 999: 2}
    assert m.percentile(100.0) == m.distribution.max


def test_negative_latency_is_counted_and_kept_but_not_clipped(impl):
    m = impl.LatencyMonitor()
    m.record_latency(200, 150)
    m.record_latency(200, 260)
    assert (m.count, m.negative, m.distribution.count) == (2, 1, 1)
    assert m.latencies.tolist() == [-50, 60]
    assert m.histogram.sum() == 1
    assert m.summary()["negative"] == 1
    assert m.summary()["min"] == 60


def test_monitor_memory_is_bounded(impl):
    m = impl.LatencyMonitor(capacity=3)
    for ns in range(1, 8):
        m.record_latency(0, ns)
        assert m.latencies.tolist() == list(range(max(1, ns - 2), ns + 1))
    m.record_many(np.array([10, 11]))
    assert m.latencies.tolist() == [7, 10, 11]
    assert (m.count, m.capacity) == (9, 3)
    m.reset()
    assert (m.count, m.negative, m.latencies.size, m.histogram.sum(), m.distribution.count) == (0, 0, 0, 0, 0)


def test_latency_beyond_64_bits_is_an_error(impl):
    m = impl.LatencyMonitor()
    with pytest.raises(OverflowError, match="the latency must fit into 64 bits: start_ns=-1 end_ns=9223372036854775807"):
        m.record_latency(-1, 2**63 - 1)
    assert m.count == 0


@pytest.mark.parametrize("capacity", [0, -1, 2**33])
def test_monitor_capacity_is_checked(impl, capacity):
    with pytest.raises(ValueError, match=rf"capacity must be in 1\.\.2\*\*32: capacity={capacity}"):
        impl.LatencyMonitor(capacity)


# ---- ticks in a file


def test_memory_mapped_data_store(impl, tmp_path):
    with impl.MemoryMappedDataStore(tmp_path / "ticks", max_records=3) as store:
        assert store.write_tick(1, 2, 3.0, 4.0) is True
        assert store.write_tick(2, 2, 3.5, 4.0) is True
        assert store.read_tick(0) == (1, 2, 3.0, 4.0)
        assert store.read_tick(2) is None
        assert store.read_tick(-1) is None
    store = impl.MemoryMappedDataStore(tmp_path / "ticks", 3)
    assert len(store) == store.record_count == 2
    assert store.write_tick(3, 2, 3.5, 4.0) is True
    assert store.write_tick(4, 2, 3.5, 4.0) is False
    assert store.record_count == 3
    assert store.store.records()[:1].tolist() == [(1, 2, 3.0, 4.0)]
    store.close()
    store.close()
    with pytest.raises(StoreError):
        store.write_tick(4, 2, 3.5, 4.0)
    with same_kind(impl, "tickstore").TickStore(tmp_path / "ticks") as reader:
        assert reader.records()["timestamp_ns"].tolist() == [1, 2, 3]
    with pytest.raises(ValueError, match=r"max_records must be in 1\.\.2\*\*40-1: max_records=0"):
        impl.MemoryMappedDataStore(tmp_path / "ticks", 0)


def test_max_records_beyond_a_segment_of_an_older_store(impl, tmp_path):
    impl.MemoryMappedDataStore(tmp_path / "ticks", 10).close()
    with impl.MemoryMappedDataStore(tmp_path / "ticks", 5000) as store:
        assert all(store.write_tick(i, 1, 1.0, 1.0) for i in range(5000))
        assert not store.write_tick(1, 1, 1.0, 1.0)


# ---- z-scores and signals


def test_pair_golden_values(impl):
    z = impl.fast_zscore_calculation([10, 11, 13, 12, 15], [9, 9, 10, 10, 11], 3)
    assert z == pytest.approx([1.2247448714, -0.7071067812, 1.2247448714], abs=1e-10)


def test_pair_zscore_of_the_replaced_engine_is_that_of_a_difference(impl):
    rng = np.random.default_rng(3)
    a, b = 100 + rng.normal(size=60), 50 + rng.normal(size=60)
    assert impl.fast_zscore_calculation(a, b, 12).tobytes() == same_kind(impl, "zscore").pair_zscore(a, b, 12).tobytes()
    with pytest.raises(ValueError, match=r"lookback must be in 2\.\.n: lookback=61, n=60"):
        impl.fast_zscore_calculation(a, b, 61)


def test_zscore_batch_signals(impl):
    ring = np.array([[4.0, 1.0, 2.0, 3.0], [0.0, 0.0, 0.0, 0.0], [1.0, 4.0, 3.0, 2.0], [5.0, 5.0, 5.0, NAN]])
    pairs = [[0, 1], [1, 0], [2, 1], [1, 1], [3, 1]]
    # The newest prices are in slot 0: symbol 0 has 1, 2, 3, 4.
    assert impl.zscore_batch(ring, 1, pairs, 4, 1.0).tolist() == [1, -1, -1, 0, 0]
    assert impl.zscore_batch(ring, 1, pairs, 4, [1.4, 1.0, 1.0, 0.0, 0.0]).tolist() == [0, -1, -1, 0, 0]
    assert impl.zscore_batch(ring, 5 + 2**40 * 4, pairs, 4, 1.0).tolist() == [1, -1, -1, 0, 0]
    assert impl.zscore_batch(ring, [1, 0, 2, 0], pairs[:3], 2, 0.9).tolist() == [1, -1, 1]
    assert impl.zscore_batch(ring, 1, pairs, 4, 1.0).dtype == np.int8


def test_zscore_batch_equals_the_pair_set(impl):
    rng = np.random.default_rng(8)
    pairs = rng.integers(0, 5, size=(20, 2))
    many = same_kind(impl, "zscore").PairSet(pairs, 9, 0.7)
    ring = np.full((5, 16), NAN)
    for t in range(60):
        prices = rng.normal(size=5)
        ring[:, t % 16] = prices
        expected = many.update(prices)
        if t >= 15:
            assert impl.zscore_batch(ring, t + 1, pairs, 9, 0.7).tolist() == expected.tolist()


def test_zscore_batch_bad_input(impl):
    ring = np.ones((3, 8))
    with pytest.raises(ValueError, match="price_ring must have 2 dimensions: ndim=1"):
        impl.zscore_batch(ring[0], 0, [[0, 1]], 4, 1.0)
    with pytest.raises(ValueError, match=r"pair_idx must be in 0\.\.2: pair_idx\[0\]=\[0, 3\]"):
        impl.zscore_batch(ring, 0, [[0, 3]], 4, 1.0)
    with pytest.raises(ValueError, match=r"lookback must be in 2\.\.n: lookback=9, n=8"):
        impl.zscore_batch(ring, 0, [[0, 1]], 9, 1.0)
    with pytest.raises(ValueError, match="write_idx must be at least 0: write_idx=-1"):
        impl.zscore_batch(ring, -1, [[0, 1]], 4, 1.0)
    with pytest.raises(ValueError, match=r"write_idx must be one slot or one per symbol: shape=\(2,\), symbols=3"):
        impl.zscore_batch(ring, [0, 1], [[0, 1]], 4, 1.0)
    with pytest.raises(TypeError, match="write_idx must hold integers: dtype=float64"):
        impl.zscore_batch(ring, 1.0, [[0, 1]], 4, 1.0)
    with pytest.raises(ValueError, match=r"thresholds must be at least 0: thresholds\[0\]=-1.0"):
        impl.zscore_batch(ring, 0, [[0, 1]], 4, -1.0)


def market(seed=12, ticks=140):
    # Symbols 0 to 2 move together, 3 against them, 4 on its own.
    rng = np.random.default_rng(seed)
    common = rng.normal(scale=0.01, size=(ticks, 1))
    moves = (
        common * [1, 1, 1, -1, 0] + rng.normal(scale=0.0001, size=(ticks, 5)) + rng.normal(size=(ticks, 1)) * [0, 0, 0, 0, 0.01]
    )
    return 100 * np.exp(np.cumsum(moves, 0))


def test_signal_engine_follows_the_rule(impl):
    prices = market()
    engine = impl.OptimizedSignalEngine(4)
    ids = np.arange(4)
    for t in range(140):
        signals, strengths, latency_ns = engine.generate_signals_vectorized(prices[t, :4], ids)
        assert latency_ns > 0
        assert signals.dtype == np.int8
        if t < 100:  # 101 prices make 100 returns
            assert signals.tolist() == [0] * 4
            assert strengths.tolist() == [0.0] * 4
            continue
        returns = prices[t - 99 : t + 1, :4] / prices[t - 100 : t, :4] - 1
        mean = (np.corrcoef(returns, rowvar=False).sum(0) - 1) / 3
        assert strengths == pytest.approx(np.abs(mean), abs=1e-9)
        assert signals.tolist() == [0, 0, 0, 1]  # the others: (1 + 1 - 1) / 3
    assert np.array_equal(engine.prices, prices[-1, :4])


def test_signal_engine_sells_what_moves_with_all(impl):
    engine = impl.OptimizedSignalEngine(3)
    for row in market()[:, :3]:
        signals, strengths, _ = engine.generate_signals_vectorized(row[::-1].copy(), [2, 1, 0])
    assert signals.tolist() == [-1, -1, -1]
    assert (strengths > 0.8).all()


def test_signal_engine_carries_prices_of_absent_symbols(impl):
    prices = market()
    engine = impl.OptimizedSignalEngine(4)
    filled = []
    for t in range(140):
        ids = [0, 1] if t % 2 else [0, 1, 3]  # symbol 2 is never quoted
        _, strengths, _ = engine.generate_signals_vectorized(prices[t, ids], ids)
        filled.append([prices[t, 0], prices[t, 1], prices[t - t % 2, 3]])
    returns = np.diff(filled, axis=0)[-100:] / np.array(filled)[-101:-1]
    m = np.corrcoef(returns, rowvar=False)
    assert strengths == pytest.approx(np.abs((m.sum(0) - 1) / 2)[:2], abs=1e-9)
    assert math.isnan(engine.prices[2])


def test_batch_of_the_signal_engine_is_cut_where_a_symbol_comes_again(impl):
    batch, each = impl.OptimizedSignalEngine(4), impl.OptimizedSignalEngine(4)
    ids, prices = [0, 1, 2, 2, 3, 0, 0, 1], np.array([1.0, 2.0, 3.0, 3.5, 4.0, 1.5, 1.25, 2.5])
    signals, strengths, latency_ns = batch.generate_signals_of_batch(prices, ids)
    for first, end in ((0, 3), (3, 6), (6, 8)):
        each.generate_signals_vectorized(prices[first:end], ids[first:end])
    assert (signals.tolist(), strengths.tolist(), latency_ns > 0) == ([0] * 8, [0.0] * 8, True)
    assert batch.correlation.count == each.correlation.count == 3
    np.testing.assert_array_equal(batch.price_matrix, each.price_matrix)
    np.testing.assert_array_equal(batch.return_matrix, each.return_matrix)
    assert batch.price_matrix[:, -3:].tolist() == pytest.approx(
        np.array([[1, 1.5, 1.25], [2, 2, 2.5], [3, 3.5, 3.5], [NAN, 4, 4]]), nan_ok=True
    )
    assert batch.return_matrix[:2, -2:].tolist() == [[0.5, 1.25 / 1.5 - 1], [0.0, 0.25]]


def test_matrices_of_the_signal_engine_go_on_behind_their_end():
    engine, prices = replaced.OptimizedSignalEngine(2), np.random.default_rng(4).uniform(1, 2, (2_345, 2))
    for i, row in enumerate(prices):
        engine.generate_signals_vectorized(row, [0, 1])
        if i % 333 == 7 or i in (998, 999, 1000, 1001, 1999, 2000, 2001):
            n = min(i + 1, 1000)
            np.testing.assert_array_equal(engine.price_matrix[:, -n:], prices[i + 1 - n : i + 1].T)
            assert np.isnan(engine.price_matrix[:, :-n]).all()
            m = min(i, 999)
            np.testing.assert_allclose(
                engine.return_matrix[:, 999 - m :], (prices[i + 1 - m : i + 1] / prices[i - m : i] - 1).T, atol=1e-15
            )
    assert (engine.price_matrix.shape, engine.return_matrix.shape, engine.num_symbols) == ((2, 1000), (2, 999), 2)


def test_ticks_as_columns_and_in_a_pool(impl):
    ticks = [(5, 1, 2.5, 3), (np.int64(6), np.uint32(0), np.float64(4.0), 0.0), [7, 2, 1, 2.0]]
    columns = impl.tick_columns(ticks)
    assert [column.tolist() for column in columns] == [[5, 6, 7], [1, 0, 2], [2.5, 4.0, 1.0], [3.0, 0.0, 2.0]]
    assert [column.dtype for column in columns] == [np.int64, np.int64, np.float64, np.float64]
    rows = np.array([tuple(tick) for tick in ticks], TICK_DTYPE)
    for ours, theirs in zip(impl.tick_columns(rows), columns, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    pool = np.zeros(2, MARKET_DATA_DTYPE)
    assert impl.keep_ticks(pool, 2**40, *columns) == 2**40 + 3
    assert [str(tick) for tick in pool.tolist()] == ["(7, 2, 1.0, 2.0, nan, nan, True)", "(6, 0, 4.0, 0.0, nan, nan, True)"]


def test_pool_of_something_else_is_refused():
    columns = replaced.tick_columns([(5, 1, 2.5, 3.0)])
    for pool in (np.zeros(2), np.zeros(4, MARKET_DATA_DTYPE)[::2], [0]):
        with pytest.raises(TypeError, match="a pool must be an array of MARKET_DATA_DTYPE, contiguous and writable"):
            replaced.keep_ticks(pool, 0, *columns)
    with pytest.raises(ValueError, match="columns must have one length: 1, 1, 2, 1"):
        replaced.keep_ticks(np.zeros(2, MARKET_DATA_DTYPE), 0, *columns[:2], np.ones(2), columns[3])


class Grows(list):
    """A batch whose length is not what its iterator gives."""

    def __iter__(self):
        yield from [(1, 0, 1.0, 1.0)] * (len(self) + self.more)


@pytest.mark.parametrize(("more", "says"), [(1, "grow"), (-1, "shrink")])
def test_batch_that_is_not_as_long_as_it_says_is_refused(more, says):
    batch = Grows([0, 0])
    batch.more = more
    with pytest.raises(ValueError, match=f"a batch must not {says} while it is read: "):
        replaced.tick_columns(batch)


def test_signal_engine_bad_input_takes_nothing_in(impl):
    engine = impl.OptimizedSignalEngine(3)
    call = engine.generate_signals_vectorized
    for bad in (0.0, -1.0, NAN, INF):
        with pytest.raises(ValueError, match=rf"prices must be finite and positive: prices\[1\]={bad}"):
            call([1.0, bad], [0, 1])
    with pytest.raises(ValueError, match=r"symbol_ids must be in 0\.\.2: symbol_ids\[1\]=3"):
        call([1.0, 1.0], [0, 3])
    with pytest.raises(ValueError, match=r"symbol_ids must not repeat: symbol_ids\[2\]=1"):
        call([1.0, 1.0, 1.0], [1, 0, 1])
    with pytest.raises(ValueError, match="must have one length, not 0"):
        call([1.0], [0, 1])
    with pytest.raises(ValueError, match="must have one length, not 0"):
        call([], [])
    with pytest.raises(TypeError, match="symbol_ids must hold integers"):
        call([1.0], [0.0])
    with pytest.raises(ValueError, match=r"num_symbols must be in 2\.\.30000: num_symbols=1"):
        impl.OptimizedSignalEngine(1)
    assert engine.correlation.count == 0
    assert np.isnan(engine.prices).all()
