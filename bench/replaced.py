"""The design of the replaced engine, re-implemented plainly from its interface and its documented habits.

Only for comparison: nothing in ``fastcore`` or ``hft`` uses it. It keeps what decides that design's speed - objects in
pools, a lock around a NumPy ring, ``struct`` into a slice of a mapping, NumPy over a price matrix for every batch, an
event loop that sleeps 1 ms after each batch - and repairs the defects that would make a comparison of answers
meaningless (its price matrix never changed, because it wrote to a fancy-index copy).

``CLAIMS`` are the figures that engine published for its own machine.
"""

from __future__ import annotations

import asyncio
import math
import mmap
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Tick = tuple[int, int, float, float]

PACING_S = 0.001  # its event loop sleeps this long after every batch
BATCH = 50  # messages a batch: with 34 us a message and the sleep, this gives the throughput it claims


class LockFreeRingBuffer:
    """A NumPy ring; "lock-free" by name, and under a lock."""

    def __init__(self, size: int = 8192) -> None:
        self.size = size
        self.buffer = np.zeros(size, dtype=np.float64)
        self.head = 0
        self.tail = 0
        self.lock = threading.Lock()

    def push(self, value: float) -> bool:
        with self.lock:
            following = (self.head + 1) % self.size
            if following == self.tail:
                return False
            self.buffer[self.head] = value
            self.head = following
            return True

    def pop(self) -> float | None:
        with self.lock:
            if self.head == self.tail:
                return None
            value = self.buffer[self.tail]
            self.tail = (self.tail + 1) % self.size
            return float(value)


class SymbolMapper:
    """A dictionary, and NumPy arrays by id."""

    def __init__(self, symbols: Sequence[str]) -> None:
        self.symbol_to_id = {symbol: i for i, symbol in enumerate(symbols)}
        self.prices = np.zeros(len(symbols))
        self.volumes = np.zeros(len(symbols))
        self.timestamps = np.zeros(len(symbols), dtype=np.int64)

    def get_id(self, symbol: str) -> int:
        return self.symbol_to_id.get(symbol, -1)

    def update_price(self, symbol_id: int, price: float, timestamp: int) -> None:
        if 0 <= symbol_id < len(self.prices):
            self.prices[symbol_id] = price
            self.timestamps[symbol_id] = timestamp


class MemoryMappedDataStore:
    """``struct.pack`` into a slice of a mapping; the record count is not stored."""

    FORMAT = "QIdd"

    def __init__(self, filename: str | Path, max_records: int = 1_000_000) -> None:
        self.record_size = struct.calcsize(self.FORMAT)
        self.max_records = max_records
        self.file = open(filename, "w+b")  # noqa: SIM115 - held open, as that class does
        self.file.truncate(max_records * self.record_size)
        self.map = mmap.mmap(self.file.fileno(), max_records * self.record_size)
        self.count = 0

    def write_tick(self, timestamp: int, symbol_id: int, price: float, volume: float) -> bool:
        if self.count >= self.max_records:
            return False
        offset = self.count * self.record_size
        self.map[offset : offset + self.record_size] = struct.pack(self.FORMAT, timestamp, symbol_id, price, volume)
        self.count += 1
        return True

    def read_tick(self, index: int) -> tuple[Any, ...] | None:
        if index >= self.count:
            return None
        offset = index * self.record_size
        return struct.unpack(self.FORMAT, self.map[offset : offset + self.record_size])

    def close(self) -> None:
        self.map.close()
        self.file.close()


class LatencyMonitor:
    """A bounded list of latencies, and a histogram of 1,000 buckets of a microsecond."""

    def __init__(self, size: int = 10_000) -> None:
        self.latencies: deque[int] = deque(maxlen=size)
        self.histogram = np.zeros(1000, dtype=np.int64)

    def record_latency(self, start_ns: int, end_ns: int) -> None:
        latency = end_ns - start_ns
        self.latencies.append(latency)
        self.histogram[min(latency // 1000, 999)] += 1


def zscore_python(x: Sequence[float]) -> float:
    """Z-score of the last point over all points, in plain Python."""
    mean = sum(x) / len(x)
    variance = sum((v - mean) ** 2 for v in x) / len(x)
    return (x[-1] - mean) / math.sqrt(variance) if variance > 0 else 0.0


def zscore_numpy(x: Floats) -> float:
    """The same with NumPy."""
    std = np.std(x)
    return float((x[-1] - np.mean(x)) / std) if std > 0 else 0.0


def zscore_loop(x: Floats) -> float:
    """The same as loops for Numba: ``numba.njit(zscore_loop)``."""
    total = 0.0
    for v in x:
        total += v
    mean = total / len(x)
    squares = 0.0
    for v in x:
        squares += (v - mean) ** 2
    std = math.sqrt(squares / len(x))
    return (x[-1] - mean) / std if std > 0 else 0.0


def rolling_zscore_loop(prices1: Floats, prices2: Floats, lookback: int) -> Floats:
    """``fast_zscore_calculation`` as it computes: every window from the start; for ``numba.njit``."""
    spread = prices1 - prices2
    n = len(spread) - lookback + 1
    out = np.zeros(n)
    for i in range(n):
        window = spread[i : i + lookback]
        mean = np.mean(window)
        std = np.std(window)
        if std > 0:
            out[i] = (window[-1] - mean) / std
    return out


class OptimizedSignalEngine:
    """Mean correlation of the last 100 returns, recomputed with NumPy for every batch."""

    HISTORY = 1000
    WINDOW = 100

    def __init__(self, num_symbols: int = 100) -> None:
        self.price_matrix = np.ones((num_symbols, self.HISTORY))
        self.count = 0

    def generate_signals_vectorized(
        self, prices: Floats, symbol_ids: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int8], Floats, int]:
        start = time.perf_counter_ns()
        column = self.count % self.HISTORY
        self.price_matrix[:, column] = self.price_matrix[:, column - 1]  # a symbol without news keeps its price
        self.price_matrix[symbol_ids, column] = prices
        self.count += 1
        signals = np.zeros(len(symbol_ids), dtype=np.int8)
        strengths = np.zeros(len(symbol_ids))
        if self.count > self.WINDOW:
            window = self.price_matrix[:, np.arange(self.count - self.WINDOW - 1, self.count) % self.HISTORY]
            returns = np.diff(window, axis=1) / window[:, :-1]
            with np.errstate(invalid="ignore", divide="ignore"):
                correlation = np.nan_to_num(np.corrcoef(returns))
            means = (correlation.sum(axis=1) - np.diag(correlation)) / max(len(correlation) - 1, 1)
            chosen = means[symbol_ids]
            signals[chosen < -0.5] = 1
            signals[chosen > 0.8] = -1
            strengths = np.abs(chosen)
        return signals, strengths, time.perf_counter_ns() - start


@dataclass
class MarketData:
    """One tick of the pool."""

    timestamp: int = 0
    symbol_id: int = 0
    price: float = 0.0
    volume: float = 0.0
    bid: float = 0.0
    ask: float = 0.0
    is_valid: bool = False


@dataclass
class Signal:
    """One signal of the pool."""

    timestamp: int = 0
    symbol_id: int = 0
    direction: int = 0
    strength: float = 0.0


class HFTEngine:
    """Pools, mapper, ring, store, signals and the latency monitor, called once per batch."""

    def __init__(self, symbols: Sequence[str], filename: str | Path, max_records: int = 1_000_000) -> None:
        self.mapper = SymbolMapper(symbols)
        self.ring = LockFreeRingBuffer()
        self.store = MemoryMappedDataStore(filename, max_records)
        self.signals = OptimizedSignalEngine(len(symbols))
        self.monitor = LatencyMonitor()
        self.tick_pool = [MarketData() for _ in range(100_000)]
        self.signal_pool = [Signal() for _ in range(10_000)]
        self.tick_index = 0
        self.signal_index = 0

    async def process_market_data(self, batch: Sequence[Tick]) -> tuple[list[Signal], int]:
        start = time.perf_counter_ns()
        latest: dict[int, float] = {}
        for timestamp, symbol_id, price, volume in batch:
            began = time.perf_counter_ns()
            tick = self.tick_pool[self.tick_index]
            self.tick_index = (self.tick_index + 1) % len(self.tick_pool)
            tick.timestamp, tick.symbol_id, tick.price, tick.volume, tick.is_valid = timestamp, symbol_id, price, volume, True
            self.mapper.update_price(symbol_id, price, timestamp)
            self.ring.push(price)
            self.ring.pop()
            self.store.write_tick(timestamp, symbol_id, price, volume)
            latest[symbol_id] = price
            self.monitor.record_latency(began, time.perf_counter_ns())
        ids = np.fromiter(latest.keys(), np.int64)
        directions, strengths, _ = self.signals.generate_signals_vectorized(np.fromiter(latest.values(), np.float64), ids)
        found = []
        for i in np.flatnonzero(directions):
            signal = self.signal_pool[self.signal_index]
            self.signal_index = (self.signal_index + 1) % len(self.signal_pool)
            signal.timestamp, signal.symbol_id = start, int(ids[i])
            signal.direction, signal.strength = int(directions[i]), float(strengths[i])
            found.append(signal)
        return found, time.perf_counter_ns() - start

    async def run(self, batches: Sequence[Sequence[Tick]], pacing_s: float = PACING_S) -> int:
        """Process every batch, with the sleep of that engine's loop between them; return the messages handled."""
        done = 0
        for batch in batches:
            await self.process_market_data(batch)
            done += len(batch)
            if pacing_s:
                await asyncio.sleep(pacing_s)
        return done


@dataclass
class Quote:
    """One side of one level."""

    price: float
    amount: float
    instrument: str
    side: str
    timestamp: float


@dataclass
class Ticker:
    """Best prices as that engine's market maker receives them."""

    mark_price: float
    best_bid_price: float
    best_ask_price: float
    index: float = 0.0
    mark_ts: float = 0.0
    funding_rate: float = 0.0
    volume: float = 0.0
    open_interest: float = 0.0
    timestamp: float = 0.0


class AvellanedaMarketMaker:
    """Its "simplified" quotes: volatility and VWAP from lists for every call, a ``Quote`` object per level and side."""

    FACTORS = (1.0, 1.5, 2.2, 3.4, 5.1)

    def __init__(self, gamma: float = 0.3, horizon: float = 1.0, limit: float = 10.0, min_spread_ticks: int = 20) -> None:
        self.gamma, self.horizon, self.limit, self.min_spread_ticks = gamma, horizon, limit, min_spread_ticks
        self.tick_size = 1.0
        self.base_size = 0.1
        self.instrument = ""
        self.prices: deque[float] = deque(maxlen=100)
        self.trades: deque[tuple[float, float]] = deque(maxlen=1000)
        self.position = 0.0
        self.entry_price = 0.0
        self.realized = 0.0
        self.last_mid = 0.0

    def set_tick_size(self, tick_size: float) -> bool:
        self.tick_size = tick_size
        return True

    def set_instrument(self, instrument: str) -> bool:
        self.instrument = instrument
        return True

    def update_market_data(self, price: float, volume: float = 0.0, is_buy: bool | None = None) -> bool:
        self.prices.append(price)
        if volume > 0:
            self.trades.append((price, volume))
        moved = self.last_mid == 0 or abs(price - self.last_mid) / self.last_mid > 0.001
        return moved

    def volatility(self) -> float:
        if len(self.prices) < 2:
            return 0.0
        prices = np.array(self.prices)
        return float(np.std(np.diff(np.log(prices)))) * prices[-1]

    def vwap(self) -> float:
        volume = sum(v for _, v in self.trades)
        return sum(p * v for p, v in self.trades) / volume if volume else 0.0

    def generate_quotes(self, ticker: Ticker, market_conditions: dict[str, float]) -> tuple[list[Quote], list[Quote]]:
        mid = (ticker.best_bid_price + ticker.best_ask_price) / 2
        self.last_mid = mid
        inventory = self.position / self.limit
        floor = self.min_spread_ticks * self.tick_size
        risk = self.gamma * (1 + abs(inventory)) * market_conditions.get("spread_factor", 1.0)
        spread = max(floor, (floor + self.volatility() * 0.2 * math.sqrt(self.horizon)) * risk)
        skew = 0.1 * spread * inventory
        self.vwap()
        now = time.time()
        bids, asks = [], []
        for i, factor in enumerate(self.FACTORS):
            away = spread / 2 + 10 * self.tick_size * factor * i
            size = self.base_size * max(0.3, 1 - 0.15 * i)
            bid = math.floor((mid - away - skew) / self.tick_size) * self.tick_size
            ask = math.ceil((mid + away - skew) / self.tick_size) * self.tick_size
            bids.append(Quote(bid, size, self.instrument, "buy", now))
            asks.append(Quote(ask, size, self.instrument, "sell", now))
        return bids, asks

    def on_order_filled(self, order_id: str, price: float, size: float, is_buy: bool) -> None:
        signed = size if is_buy else -size
        if self.position * signed < 0:
            closed = min(abs(signed), abs(self.position))
            self.realized += closed * (price - self.entry_price) * (1 if self.position > 0 else -1)
            if abs(signed) > abs(self.position):
                self.entry_price = price
        else:
            total = self.position + signed
            self.entry_price = (self.position * self.entry_price + signed * price) / total if total else 0.0
        self.position += signed


@dataclass(frozen=True)
class Claim:
    """A published figure: what it says, and the rows that measure that design and ours."""

    what: str
    claimed: str
    name: str  # of the row, in the group "replaced engine"
    unit: str  # ns, us, per_s or MB
    theirs: str = "replaced"  # implementation names
    ours: str = "fastcore"


STRUCTURES = (
    Claim("symbol to id (dict lookup)", "72.2 ns", "symbol to id", "ns"),
    Claim("last price by id (array index)", "55.2 ns", "last price by id", "ns"),
    Claim("tick store, write (mmap write)", "206.2 ns", "store: write one tick", "ns"),
    Claim("tick store, read (mmap read)", "154.4 ns", "store: read one tick", "ns"),
    Claim("z-score over 10,000 points: Python", "707 us", "z-score over 10,000 points", "us", "replaced python"),
    Claim("z-score over 10,000 points: NumPy", "16.7 us", "z-score over 10,000 points", "us", "replaced numpy"),
    Claim("z-score over 10,000 points: Numba", "20.0 us", "z-score over 10,000 points", "us", "replaced numba"),
    Claim("the same, one more point arrives", "", "z-score, one more point", "us", "replaced numpy"),
)
SYSTEM = (
    Claim("messages per second, paced by its 1 ms sleep", "16,590", "message, as the engine runs", "per_s"),
    Claim("messages per second, without the sleep", "", "message, processing alone", "per_s"),
    Claim("average per message", "34 us", "message, processing alone", "us"),
    Claim("quote cycle: market data, then five levels a side", "1,000-2,000 us", "quote cycle", "us"),
    Claim("quote cycle, optimised", "100-300 us", "quote cycle", "us"),
    Claim('quote ("theoretical limit")', "50-100 us", "quotes", "us"),
    Claim('market data ("theoretical limit")', "10-20 us", "market data", "us"),
    Claim('fill ("theoretical limit")', "20-30 us", "fill", "us"),
    Claim("memory of the engine beyond Python with NumPy, without mapped files", "60 MB (whole process)", "memory", "MB"),
)


def _show(rows: list[dict[str, Any]], facts: list[dict[str, Any]], claim: Claim, impl: str) -> str:
    """Format the figure of one implementation, or say that it was not measured."""
    found = [r for r in rows + facts if r["group"] == GROUP and r["name"] == claim.name and r["impl"] == impl]
    if not found:
        return "not measured"
    value = found[-1]["value" if "value" in found[-1] else "ns_per_item"]
    shapes: dict[str, Callable[[float], str]] = {
        "ns": lambda v: f"{v:,.1f} ns",
        "us": lambda v: f"{v / 1e3:,.3g} us" if v < 1e6 else f"{v / 1e3:,.0f} us",
        "per_s": lambda v: f"{1e9 / v:,.0f}",
        "MB": lambda v: f"{v / 1e6:,.1f} MB",
    }
    return shapes[claim.unit](value)


GROUP = "replaced engine"


def tables(rows: list[dict[str, Any]], facts: list[dict[str, Any]]) -> list[tuple[str, list[tuple[str, str, str, str]]]]:
    """Return the two tables: (title, lines of what, claimed there, that design measured here, ours here)."""
    if not any(r["group"] == GROUP for r in rows):
        return []
    return [
        (title, [(c.what, c.claimed, _show(rows, facts, c, c.theirs), _show(rows, facts, c, c.ours)) for c in claims])
        for title, claims in (
            ("the replaced engine 1: structures and kernels", STRUCTURES),
            ("the replaced engine 2: the system", SYSTEM),
        )
    ]
