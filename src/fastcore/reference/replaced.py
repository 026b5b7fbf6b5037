"""Plain-Python twin of ``fastcore.replaced``: the calls of the replaced engine."""

from __future__ import annotations

import math
import operator
import os
import struct
from collections import deque
from collections.abc import Sequence
from time import perf_counter_ns
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

from fastcore.errors import range_error
from fastcore.records import TICK_DTYPE

from .correlation import RollingCorrelation, _check_series
from .histogram import Histogram, _check_array
from .symbols import SymbolMapper as SymbolMapper
from .tickstore import TickStore, _check_tick
from .zscore import Doubles, _check_pairs, _check_thresholds, _check_window, _doubles, _moments, _pair_zscore, _signal


class LockFreeRingBuffer:
    """Floats, with the calls of the replaced engine."""

    def __init__(self, size: int = 8192) -> None:
        size = operator.index(size)
        if not 1 <= size <= 1 << 35:
            raise range_error("size", size, 1, 1 << 35)
        self.size = max(2, 1 << (size - 1).bit_length())
        self._values = [0.0] * self.size
        self.published = self.consumed = self.full = 0

    def __len__(self) -> int:
        return self.published - self.consumed

    def __reduce__(self) -> NoReturn:
        raise TypeError("a ring cannot be pickled")

    def push(self, value: float) -> bool:
        if len(self) == self.size:
            self.full += 1
            return False
        self._values[self.published % self.size] = float(value)
        self.published += 1
        return True

    def pop(self) -> float | None:
        if len(self) == 0:
            return None
        value = self._values[self.consumed % self.size]
        self.consumed += 1
        return value


class LatencyMonitor:
    """Collect latencies: the last ones in a bounded deque, all of them in buckets."""

    def __init__(self, capacity: int = 100_000, digits: int = 3) -> None:
        if not 1 <= capacity <= 2**32:
            raise range_error("capacity", capacity, 1, 2**32)
        self.capacity = capacity
        self.distribution = Histogram(digits=digits)
        self._kept: deque[int] = deque(maxlen=capacity)
        self._buckets = [0] * 1000
        self.count = self.negative = 0

    def record_latency(self, start_ns: int, end_ns: int) -> None:
        """Record the time between two time stamps."""
        latency_ns = end_ns - start_ns
        if not -(2**63) <= latency_ns < 2**63:
            raise OverflowError(f"the latency must fit into 64 bits: start_ns={start_ns} end_ns={end_ns}")
        self._kept.append(latency_ns)
        self.count += 1
        if latency_ns < 0:
            self.negative += 1
            return
        self._buckets[min(latency_ns // 1000, 999)] += 1
        if latency_ns > self.distribution.highest:
            self.distribution.saturated += 1
            latency_ns = self.distribution.highest
        self.distribution.record(latency_ns)

    def record_many(self, latencies_ns: NDArray[np.int64]) -> None:
        """Record every latency of an array."""
        _check_array(latencies_ns, "latencies_ns")
        for latency_ns in latencies_ns.tolist():
            self.record_latency(0, latency_ns)

    @property
    def latencies(self) -> NDArray[np.int64]:
        """The last `capacity` latencies in ns, oldest first."""
        return np.array(self._kept, np.int64)

    @property
    def histogram(self) -> NDArray[np.int64]:
        """Counts in 1,000 buckets of 1 us; the last bucket also counts everything longer."""
        return np.array(self._buckets, np.int64)

    def percentile(self, p: float) -> int:
        """Return a percentile of the latencies that are not negative."""
        return self.distribution.percentile(p)

    def summary(self) -> dict[str, Any]:
        """Return the numbers of a report."""
        h = self.distribution
        return {
            "count": self.count,
            "negative": self.negative,
            "saturated": h.saturated,
            "min": h.min,
            "mean": h.mean,
            "stddev": h.stddev,
            "p50": h.percentile(50.0),
            "p99": h.percentile(99.0),
            "p999": h.percentile(99.9),
            "max": h.max,
        }

    def reset(self) -> None:
        """Forget every latency."""
        self.distribution.reset()
        self._kept.clear()
        self._buckets = [0] * 1000
        self.count = self.negative = 0


def fast_zscore_calculation(prices1: npt.ArrayLike, prices2: npt.ArrayLike, lookback: int) -> Doubles:
    """Return the z-score of ``prices1 - prices2`` over the last `lookback` points, the current one included."""
    return _pair_zscore(_doubles(prices1, "prices1"), _doubles(prices2, "prices2"), lookback, 1.0, False, 0, None, "lookback")


def zscore_batch(
    price_ring: npt.ArrayLike, write_idx: npt.ArrayLike, pair_idx: npt.ArrayLike, lookback: int, thresholds: npt.ArrayLike
) -> npt.NDArray[np.int8]:
    """Return the signal of every pair from a ring of recent prices per symbol."""
    ring = _doubles(price_ring, "price_ring", 2)
    symbols, size = ring.shape
    pairs = _check_pairs(pair_idx, "pair_idx", symbols)
    lookback = _check_window(lookback, size, "lookback")
    limits = _check_thresholds(thresholds, len(pairs))
    slots = np.asarray(write_idx)
    if slots.dtype.kind not in "iu":
        raise TypeError(f"write_idx must hold integers: dtype={slots.dtype}")
    if slots.ndim != 0 and slots.shape != (symbols,):
        raise ValueError(f"write_idx must be one slot or one per symbol: shape={slots.shape}, symbols={symbols}")
    if (slots < 0).any():
        raise ValueError(f"write_idx must be at least 0: write_idx={slots.min()}")
    heads = np.broadcast_to(slots, (symbols,)).tolist()

    def newest(symbol: int) -> list[float]:
        return [float(ring[symbol, (heads[symbol] - back) % size]) for back in range(lookback, 0, -1)]

    signals = [
        _signal(_moments([a - b for a, b in zip(newest(i), newest(j), strict=True)], 0)[2], limit)
        for (i, j), limit in zip(pairs, limits.tolist(), strict=True)
    ]
    return np.array(signals, np.int8)


def tick_columns(data: Sequence[tuple[int, int, float, float]] | NDArray[np.void]) -> tuple[NDArray[Any], ...]:
    """Return timestamps, ids, prices and volumes of a batch of ticks."""
    if isinstance(data, np.ndarray):
        if data.dtype != TICK_DTYPE or data.ndim != 1:
            raise TypeError(f"an array of ticks must be one-dimensional, of TICK_DTYPE: dtype={data.dtype} shape={data.shape}")
        if data["timestamp_ns"].max(initial=0) >= 2**63:
            raise ValueError(f"timestamps must be below 2**63: max={data['timestamp_ns'].max()}")
        data = data.tolist()
    for tick in data:
        if not isinstance(tick, (tuple, list)) or len(tick) != 4:
            raise ValueError(f"each tick must be (timestamp, symbol_id, price, volume): {tick!r}")
        for name, value in (("timestamps", tick[0]), ("symbol ids", tick[1])):
            if not isinstance(value, (int, np.integer)) or not -(2**63) <= value < 2**63:
                raise TypeError(f"{name} must be integers below 2**63: {value!r}")
        if not all(isinstance(value, (int, float, np.floating)) for value in tick[2:]):
            raise ValueError(f"price and volume must be numbers: price={tick[2]!r} volume={tick[3]!r}")
    kinds = (np.int64, np.int64, np.float64, np.float64)
    return tuple(np.array([tick[i] for tick in data], kind) for i, kind in enumerate(kinds))


def keep_ticks(pool: NDArray[np.void], count: int, *columns: NDArray[Any]) -> int:
    """Write ticks behind the `count` rows that a pool has had before."""
    for tick in zip(*columns, strict=True):
        pool[count % len(pool)] = (*tick, math.nan, math.nan, True)
        count += 1
    return count


class OptimizedSignalEngine:
    """Signals from the mean correlation of each symbol's last 100 returns with those of the others."""

    def __init__(self, num_symbols: int = 100) -> None:
        symbols = _check_series(num_symbols, "num_symbols")
        self.correlation = RollingCorrelation(symbols, 100)
        self.num_symbols, self.prices = symbols, np.full(symbols, math.nan)
        self._history: deque[tuple[Doubles, Doubles]] = deque(maxlen=1000)

    def _matrix(self, which: int, n: int) -> Doubles:
        rows = [row[which] for row in self._history][-n:]
        missing = [np.full(self.num_symbols, math.nan)] * (n - len(rows))
        return np.array([*missing, *rows]).T

    @property
    def price_matrix(self) -> Doubles:
        """Last price of each symbol after each of the last 1,000 ticks, newest last."""
        return self._matrix(0, 1000)

    @property
    def return_matrix(self) -> Doubles:
        """The returns that the last 999 ticks made."""
        return self._matrix(1, 999)

    def generate_signals_of_batch(
        self, prices: npt.ArrayLike, symbol_ids: npt.ArrayLike
    ) -> tuple[npt.NDArray[np.int8], Doubles, int]:
        """Take a batch in: where a symbol comes again, a new tick begins."""
        start, values, ids = perf_counter_ns(), _doubles(prices, "prices"), np.asarray(symbol_ids)
        begins, seen = [0], set[int]()
        for i, symbol in enumerate(ids.tolist()):
            if symbol in seen:
                begins.append(i)
                seen.clear()
            seen.add(symbol)
        parts = [
            self.generate_signals_vectorized(values[a:b], ids[a:b])
            for a, b in zip(begins, [*begins[1:], len(ids)], strict=True)
        ]
        return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts]), perf_counter_ns() - start

    def generate_signals_vectorized(
        self, prices: npt.ArrayLike, symbol_ids: npt.ArrayLike
    ) -> tuple[npt.NDArray[np.int8], Doubles, int]:
        """Take one tick in and return signals, strengths and the time the call took in ns."""
        start = perf_counter_ns()
        values, ids = _doubles(prices, "prices"), np.asarray(symbol_ids)
        symbols = self.correlation.series
        if ids.ndim != 1 or ids.shape[0] != values.size or values.size == 0:
            raise ValueError(f"prices and symbol_ids must have one length, not 0: prices={values.size}, symbol_ids={ids.shape}")
        if ids.dtype.kind not in "iu":
            raise TypeError(f"symbol_ids must hold integers: dtype={ids.dtype}")
        if int(ids.min()) < 0 or int(ids.max()) >= symbols:
            i = int(np.flatnonzero((ids < 0) | (ids >= symbols))[0])
            raise ValueError(f"symbol_ids must be in 0..{symbols - 1}: symbol_ids[{i}]={ids[i]}")
        for i, price in enumerate(values):
            if not (math.isfinite(price) and price > 0.0):
                raise ValueError(f"prices must be finite and positive: prices[{i}]={price}")
        seen: set[int] = set()
        for i, symbol in enumerate(ids.tolist()):
            if symbol in seen:
                raise ValueError(f"symbol_ids must not repeat: symbol_ids[{i}]={symbol}")
            seen.add(symbol)

        returns = np.where(np.isnan(self.prices), math.nan, 0.0)
        for symbol, price in zip(ids.tolist(), values.tolist(), strict=True):
            returns[symbol] = price / self.prices[symbol] - 1.0
            self.prices[symbol] = price
        self.correlation.update(returns)
        self._history.append((self.prices.copy(), returns))

        signals, strengths = np.zeros(ids.size, np.int8), np.zeros(ids.size)
        if self.correlation.count >= 100:
            means = self.correlation.mean_correlations().tolist()
            for k, symbol in enumerate(ids.tolist()):
                mean = means[symbol]
                if not math.isnan(mean):
                    strengths[k] = abs(mean)
                    signals[k] = (mean < -0.5) - (mean > 0.8)
        return signals, strengths, perf_counter_ns() - start


class MemoryMappedDataStore:
    """Keep ticks in a file; the record count survives reopening."""

    def __init__(self, filename: str | os.PathLike[str], max_records: int = 1_000_000) -> None:
        if not 1 <= max_records < 1 << 40:
            raise range_error("max_records", max_records, 1, 2**40 - 1)
        self._most = max_records
        self._store = TickStore(filename, "a", TICK_DTYPE, segment_records=max_records)
        try:
            self._store.reserve(max(0, max_records - self._store.count))
        except BaseException:
            self._store.close()
            raise

    def write_tick(self, timestamp: int, symbol_id: int, price: float, volume: float) -> bool:
        """Append a tick; False when ``max_records`` are stored."""
        _check_tick(timestamp, symbol_id, price, volume)
        if self._store.count >= self._most:
            return False
        self._store.append(timestamp, symbol_id, price, volume)
        return True

    def read_tick(self, index: int) -> tuple[int, int, float, float] | None:
        """Return tick `index`, or None where there is none."""
        return self._store.read_tick(index) if 0 <= index < self._store.count else None

    @property
    def record_count(self) -> int:
        """Ticks stored."""
        return self._store.count

    @property
    def record_size(self) -> int:
        """Bytes of a tick."""
        return struct.calcsize("QIdd")

    @property
    def max_records(self) -> int:
        """Ticks that fit."""
        return self._most

    @property
    def store(self) -> TickStore:
        """The TickStore below."""
        return self._store

    def __len__(self) -> int:
        return self._store.count

    def close(self) -> None:
        """Flush and close."""
        self._store.close()

    def __enter__(self) -> MemoryMappedDataStore:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
