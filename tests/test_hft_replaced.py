"""The calls of the replaced engine: same names, same shapes, its defects gone."""

import asyncio
import ctypes
import time

import numpy as np
import pytest

import hft
from fastcore.errors import UnknownSymbolError
from fastcore.records import TICK_DTYPE
from fastcore.replaced import OptimizedSignalEngine
from hft.replaced import MARKET_DATA_DTYPE


def process(engine, data):
    return asyncio.run(engine.process_market_data(data))


def assert_same(a, b):
    for name in a.dtype.names:
        np.testing.assert_array_equal(a[name], b[name])


def market(n, symbols=4, seed=0):
    """Batches of one tick per symbol; symbols 0 and 1 move together, 2 against them, the rest on their own."""
    rng = np.random.default_rng(seed)
    common = rng.normal(0.0, 1e-3, n)
    moves = np.column_stack([common, common, -common, *(rng.normal(0.0, 1e-3, n) for _ in range(symbols - 3))])
    prices = 100.0 * np.exp(np.cumsum(moves, axis=0))
    return [[(1_000 * t + i, i, float(prices[t, i]), 10.0 + i) for i in range(symbols)] for t in range(n)]


@pytest.mark.parametrize("name", ["AsyncMarketDataProcessor", "HFTEngine"])
def test_batch_gives_signals_and_a_latency(name):
    engine = getattr(hft, name)(num_symbols=4)
    start = time.perf_counter_ns()
    signals, latency_ns = process(engine, market(1)[0])
    assert signals.dtype == np.int8
    assert signals.tolist() == [0, 0, 0, 0]
    assert 0 < latency_ns < time.perf_counter_ns() - start


def test_signals_are_those_of_the_signal_engine():
    batches = market(150, 5)
    engine, direct = hft.HFTEngine(num_symbols=5), OptimizedSignalEngine(5)
    seen = set()
    for batch in batches:
        signals, _ = process(engine, batch)
        _, ids, prices, _ = zip(*batch, strict=True)
        expected, strengths, _ = direct.generate_signals_vectorized(np.array(prices), np.array(ids))
        np.testing.assert_array_equal(signals, expected)
        seen |= set(signals.tolist())
        if expected.any():
            last = engine.signal_pool[(engine.signals_generated - 1) % 10_000]
            assert last.strength == strengths[np.flatnonzero(expected)[-1]]


def test_one_batch_of_many_ticks_equals_many_batches():
    """The price matrix is updated by every tick of a batch, not by the last one, or none."""
    batches = market(140, 3)
    one, many = hft.HFTEngine(num_symbols=3), hft.HFTEngine(num_symbols=3)
    signals, _ = process(one, [tick for batch in batches for tick in batch])
    each = [process(many, batch)[0] for batch in batches]
    np.testing.assert_array_equal(signals, np.concatenate(each))
    assert_same(one.tick_pool, many.tick_pool)
    assert_same(one.signal_pool, many.signal_pool)


def test_signal_rule_at_its_ends():
    rng = np.random.default_rng(2)
    move = rng.normal(0.0, 1e-3, 110)
    together = hft.HFTEngine(num_symbols=2)
    against = hft.HFTEngine(num_symbols=2)
    for engine, other in ((together, move), (against, -move)):
        data = [
            (t, i, float(p), 1.0)
            for t in range(110)
            for i, p in enumerate((100.0 * np.exp(move[: t + 1].sum()), 50.0 * np.exp(other[: t + 1].sum())))
        ]
        signals, _ = process(engine, data)
        assert signals[:200].tolist() == [0] * 200
        assert set(signals[200:].tolist()) == ({-1} if engine is together else {1})
    assert together.signals_generated == against.signals_generated == 20


def test_mapper_keeps_the_last_tick_of_each_symbol():
    engine = hft.HFTEngine(symbols=["AAPL", "MSFT"])
    process(engine, [(5, 0, 1.0, 2.0), (6, 1, 3.0, 4.0), (7, 0, 9.0, 8.0)])
    mapper = engine.symbol_mapper
    assert mapper.get_id("MSFT") == 1
    assert (mapper.prices[:2].tolist(), mapper.volumes[:2].tolist(), mapper.timestamps[:2].tolist()) == (
        [9.0, 3.0],
        [8.0, 4.0],
        [7, 6],
    )


def test_pools_have_their_sizes_and_wrap():
    engine = hft.HFTEngine(num_symbols=50)
    assert (len(engine.tick_pool), len(engine.signal_pool)) == (100_000, 10_000)
    assert not engine.tick_pool.is_valid.any()
    ticks = np.zeros(60_000, TICK_DTYPE)
    ticks["timestamp_ns"], ticks["price"], ticks["volume"] = np.arange(60_000), 5.0, 1.0
    ticks["symbol_id"] = np.arange(60_000) % 50
    process(engine, ticks)
    ticks["timestamp_ns"] += 60_000
    process(engine, ticks)
    assert engine.ticks_processed == 120_000
    assert engine.tick_pool.is_valid.all()
    assert engine.tick_pool.timestamp[0] == 100_000
    assert engine.tick_pool[19_999]["timestamp"] == 119_999
    assert engine.tick_pool[20_000].timestamp == 20_000
    assert repr(engine.tick(-1)) == repr(engine.tick(119_999))
    assert engine.tick(-1).timestamp == 119_999
    assert engine.tick(20_000).is_valid is True
    for number in (19_999, 120_000, -100_001):
        with pytest.raises(IndexError, match=f"tick must be one of the last 100000 of 120000: number={number}"):
            engine.tick(number)


def test_pool_keeps_the_end_of_a_batch_larger_than_itself():
    engine = hft.HFTEngine(num_symbols=50)
    ticks = np.zeros(230_001, TICK_DTYPE)
    ticks["timestamp_ns"], ticks["price"], ticks["symbol_id"] = np.arange(230_001), 5.0, np.arange(230_001) % 50
    process(engine, ticks)
    assert engine.tick(-1).timestamp == 230_000
    assert engine.tick(130_001).timestamp == 130_001


def test_array_of_ticks_equals_the_list():
    batch = market(1)[0]
    ticks = np.array(batch, TICK_DTYPE)
    a, b = hft.HFTEngine(num_symbols=4), hft.HFTEngine(num_symbols=4)
    process(a, batch)
    process(b, ticks)
    assert_same(a.tick_pool, b.tick_pool)


def test_latency_of_each_batch_is_recorded():
    engine = hft.HFTEngine(num_symbols=4)
    latencies = [process(engine, batch)[1] for batch in market(5)]
    assert engine.latency_monitor.latencies.tolist() == latencies


def test_nothing_sleeps():
    """The replaced engine slept 1 ms between messages; each sleep gives up the processor once."""
    resource = pytest.importorskip("resource", reason="this system does not count voluntary context switches")
    engine = hft.HFTEngine(num_symbols=4)
    batch = market(1)[0]

    async def run():
        for _ in range(1000):
            await engine.process_market_data(batch)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
    asyncio.run(run())
    assert resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw - before < 500


@pytest.mark.parametrize("data", [[], np.empty(0, TICK_DTYPE)])
def test_empty_batch_gives_no_signals(data):
    engine = hft.HFTEngine(num_symbols=2)
    signals, latency_ns = process(engine, data)
    assert signals.size == 0
    assert latency_ns > 0
    assert engine.ticks_processed == 0


@pytest.mark.parametrize(
    ("tick", "error", "message"),
    [
        ((1, 0, float("nan"), 1.0), ValueError, "price"),
        ((1, 0, float("inf"), 1.0), ValueError, "price"),
        ((1, 0, -5.0, 1.0), ValueError, "price"),
        ((1, 0, 0.0, 1.0), ValueError, "price"),
        ((1, 0, 5.0, -1.0), ValueError, "volume"),
        ((1, 0, 5.0, float("nan")), ValueError, "volume"),
        ((-1, 0, 5.0, 1.0), ValueError, "timestamp"),
        ((1, 2, 5.0, 1.0), UnknownSymbolError, "2"),
        ((1, -1, 5.0, 1.0), UnknownSymbolError, "-1"),
        ((1.5, 0, 5.0, 1.0), TypeError, r"timestamps must be integers below 2\*\*63"),
        ((1, 0.5, 5.0, 1.0), TypeError, r"symbol ids must be integers"),
        ((2**70, 0, 5.0, 1.0), TypeError, r"timestamps must be integers below 2\*\*63"),
        ((1, 0, "five", 1.0), ValueError, "five"),
        ((1, 0, 5.0), ValueError, r"each tick must be \(timestamp, symbol_id, price, volume\)"),
        (7, ValueError, r"each tick must be \(timestamp, symbol_id, price, volume\)"),
    ],
)
def test_bad_tick_is_an_error_and_the_batch_is_not_taken_in(tick, error, message):
    engine = hft.HFTEngine(num_symbols=2)
    process(engine, [(1, 0, 4.0, 1.0)])
    before = engine.tick_pool.copy()
    with pytest.raises(error, match=message):
        process(engine, [(2, 0, 4.5, 1.0), tick])
    assert engine.ticks_processed == 1
    assert_same(engine.tick_pool, before)
    assert engine.symbol_mapper.prices[0] == 4.0
    assert engine.processor.signal_engine.prices[0] == 4.0
    assert engine.latency_monitor.count == 1


def test_timestamp_beyond_63_bits_in_an_array_is_an_error():
    ticks = np.zeros(1, TICK_DTYPE)
    ticks["timestamp_ns"], ticks["price"] = 2**63, 1.0
    with pytest.raises(ValueError, match=r"timestamps must be below 2\*\*63: max=9223372036854775808"):
        process(hft.HFTEngine(num_symbols=2), ticks)
    with pytest.raises(TypeError, match="an array of ticks must be one-dimensional, of TICK_DTYPE"):
        process(hft.HFTEngine(num_symbols=2), np.zeros((1, 4)))


def test_engine_without_symbols_is_an_error():
    with pytest.raises(ValueError, match="there must be at least one symbol: num_symbols=0"):
        hft.HFTEngine(symbols=[])
    assert process(hft.HFTEngine(symbols=["ONE"]), [(1, 0, 5.0, 1.0)])[0].tolist() == [0]


def test_structs_are_those_of_c_and_rows_of_the_pools():
    data = hft.MarketDataStruct(5, 1, 100.0, 2.0, 99.0, 101.0, True)
    assert (data.timestamp, data.symbol_id, data.price, data.volume, data.bid, data.ask, data.is_valid) == (
        5, 1, 100.0, 2.0, 99.0, 101.0, True,
    )  # fmt: skip
    assert repr(data) == "MarketDataStruct(timestamp=5, symbol_id=1, price=100.0, volume=2.0, bid=99.0, ask=101.0, is_valid=True)"
    assert ctypes.sizeof(hft.MarketDataStruct) == 56
    assert not hft.MarketDataStruct().is_valid
    several = (hft.MarketDataStruct * 3)()
    several[1] = data
    rows = np.frombuffer(several, MARKET_DATA_DTYPE)
    assert rows["price"].tolist() == [0.0, 100.0, 0.0]
    engine = hft.HFTEngine(num_symbols=2)
    for struct, pool in ((hft.MarketDataStruct, engine.tick_pool), (hft.Signal, engine.signal_pool)):
        assert pool.dtype.names == tuple(name for name, _ in struct._fields_)
        assert pool.itemsize == ctypes.sizeof(struct)


def test_last_signals_can_be_looked_at():
    engine = hft.HFTEngine(num_symbols=4)
    for batch in market(120):
        process(engine, batch)
    last = engine.signal(-1)
    assert (last.signal, last.timestamp // 1_000) == (-1 if last.symbol_id < 2 else 1, 119)
    assert 0.5 < last.strength <= 1.0
    with pytest.raises(IndexError, match="signal must be one of the last 10000 of"):
        engine.signal(engine.signals_generated)


def test_matrices_are_views_of_the_last_ticks():
    engine = hft.HFTEngine(num_symbols=3)
    assert engine.processor.signal_engine.num_symbols == 3
    for batch in market(20, 3):
        process(engine, batch)
    prices = np.array([[tick[2] for tick in batch] for batch in market(20, 3)]).T
    shown = engine.processor.signal_engine.price_matrix
    np.testing.assert_array_equal(shown[:, -20:], prices)
    assert not shown.flags.owndata and not shown.flags.writeable
    returns = engine.processor.signal_engine.return_matrix
    np.testing.assert_allclose(returns[:, -19:], prices[:, 1:] / prices[:, :-1] - 1.0, rtol=1e-12, atol=1e-15)


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'hft' has no attribute 'nothing'"):
        hft.nothing  # noqa: B018


@pytest.mark.parametrize("name", hft.__all__)
def test_every_name_of_the_replaced_engine_is_importable(name):
    assert getattr(hft, name).__name__ == name
