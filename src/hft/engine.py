"""The engine of the replaced system: its calls, thin over the compiled core.

A batch of ticks is converted to columns once; every tick is checked before the first is taken in; then the compiled symbol
mapper keeps the last prices, the compiled signal engine makes the signals, and the latency of the batch is recorded. Nothing
sleeps, and nothing awaits: `process_market_data` is a coroutine because its callers await it. Whole days run in
``fastcore.engine`` instead, which never returns to Python between two events.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastcore.clock import monotonic_ns
from fastcore.histogram import LatencyMonitor
from fastcore.records import TICK_DTYPE
from fastcore.symbols import SymbolMapper
from fastcore.zscore import OptimizedSignalEngine

__all__ = ["MARKET_DATA_DTYPE", "SIGNAL_DTYPE", "AsyncMarketDataProcessor", "HFTEngine", "MarketDataStruct"]

MARKET_DATA_DTYPE = np.dtype(
    [
        ("timestamp", np.int64),
        ("symbol_id", np.uint32),
        ("price", np.float64),
        ("volume", np.float64),
        ("bid", np.float64),
        ("ask", np.float64),
        ("is_valid", np.bool_),
    ],
    align=True,
)
SIGNAL_DTYPE = np.dtype(
    [("timestamp", np.int64), ("symbol_id", np.uint32), ("signal", np.int8), ("strength", np.float64)], align=True
)

Tick = tuple[int, int, float, float]


@dataclass(slots=True)
class MarketDataStruct:
    """One tick, with the fields of a row of `HFTEngine.tick_pool`.

    Attributes
    ----------
    timestamp : int
        Nanoseconds since the UNIX epoch.
    symbol_id : int
        Dense id.
    price, volume : float
        Of the tick. NaN is "no price", as for `bid` and `ask`.
    bid, ask : float
        Best quotes where the source has them.
    is_valid : bool
        Whether the tick passed the checks.
    """

    timestamp: int = 0
    symbol_id: int = 0
    price: float = math.nan
    volume: float = 0.0
    bid: float = math.nan
    ask: float = math.nan
    is_valid: bool = False


class _Columns(NamedTuple):
    timestamps: NDArray[np.int64]
    symbol_ids: NDArray[np.int64]
    prices: NDArray[np.float64]
    volumes: NDArray[np.float64]


def _integers(values: Any, name: str) -> NDArray[np.int64]:
    """Convert to int64 without cutting anything off."""
    array = np.asarray(values)
    if array.dtype.kind not in "iu":
        # An object array is what NumPy makes of integers beyond 64 bits.
        raise TypeError(f"{name} must be integers below 2**63: dtype={array.dtype}")
    if array.dtype == np.uint64 and array.max(initial=0) > np.iinfo(np.int64).max:
        raise ValueError(f"{name} must be below 2**63: max={array.max()}")
    return array.astype(np.int64)


def _columns(data: Sequence[Tick] | NDArray[np.void]) -> _Columns:
    """Turn a list of tuples, or an array of ticks, into one array per field."""
    timestamps: Any
    ids: Any
    prices: Any
    volumes: Any
    if isinstance(data, np.ndarray):
        if data.dtype != TICK_DTYPE or data.ndim != 1:
            raise TypeError(f"an array of ticks must be one-dimensional, of TICK_DTYPE: dtype={data.dtype} shape={data.shape}")
        timestamps, ids = data["timestamp_ns"], data["symbol_id"]
        prices, volumes = data["price"], data["volume"]
    else:
        try:
            timestamps, ids, prices, volumes = zip(*data, strict=True)
        except (TypeError, ValueError) as error:
            raise ValueError(f"each tick must be (timestamp, symbol_id, price, volume): {error}") from None
    return _Columns(
        _integers(timestamps, "timestamps"),
        _integers(ids, "symbol ids"),
        np.asarray(prices, np.float64),
        np.asarray(volumes, np.float64),
    )


def _rounds(symbol_ids: NDArray[np.int64]) -> Iterator[slice]:
    """Cut a batch where a symbol comes again: the signal engine takes one price per symbol at a time."""
    n = len(symbol_ids)
    order = np.argsort(symbol_ids, kind="stable")
    again = symbol_ids[order[1:]] == symbol_ids[order[:-1]]
    # The latest row up to i that some row up to i repeats: a round that began at or before it must have ended.
    repeated = np.full(n, -1)
    repeated[order[1:][again]] = order[:-1][again]
    repeated = np.maximum.accumulate(repeated)
    start = 0
    while start < n:
        end = int(np.searchsorted(repeated, start))
        yield slice(start, end)
        start = end


class AsyncMarketDataProcessor:
    """Take ticks in by batches, and answer with signals.

    Parameters
    ----------
    symbols : iterable of str, optional
        The symbols; ids are their positions. Default: `num_symbols` placeholders ``SYM0``, ``SYM1``, ...
    num_symbols : int, default 100
        How many, where `symbols` is not given.

    Attributes
    ----------
    symbol_mapper : SymbolMapper
        Last price, volume and time of each symbol.
    signal_engine : OptimizedSignalEngine
        The signal rule: mean correlation of the last 100 returns with those of the other symbols.
    latency_monitor : LatencyMonitor
        Latency of each batch, ns.

    Notes
    -----
    **Thread safety**: one thread, one event loop.
    """

    def __init__(self, symbols: Iterable[str] | None = None, num_symbols: int = 100) -> None:
        names = [f"SYM{i}" for i in range(num_symbols)] if symbols is None else list(symbols)
        if not names:
            raise ValueError(f"there must be at least one symbol: num_symbols={len(names)}")
        self.symbol_mapper = SymbolMapper(names)
        self.signal_engine = OptimizedSignalEngine(max(2, len(names)))
        self.latency_monitor = LatencyMonitor()

    async def process_market_data(self, data: Sequence[Tick] | NDArray[np.void]) -> tuple[NDArray[np.int8], int]:
        """Take a batch of ticks in.

        Parameters
        ----------
        data : list of (timestamp, symbol_id, price, volume), or ndarray of TICK_DTYPE
            In order of time; timestamps in ns, prices positive, volumes not negative. A symbol may occur many times. An empty
            batch gives no signals.

        Returns
        -------
        signals : ndarray of int8, shape (n,)
            +1, -1 or 0 for each tick.
        latency_ns : int
            Time that the batch took, ns.

        Raises
        ------
        TypeError, ValueError, UnknownSymbolError
            If a value is NaN, infinite, negative or of the wrong type, or an id is unknown; no tick of the batch is taken in.

        Notes
        -----
        Where a symbol comes again, a new tick of the signal engine begins, so order is kept.
        """
        _, signals, _, latency_ns = self._process(data)
        return signals, latency_ns

    def _process(self, data: Sequence[Tick] | NDArray[np.void]) -> tuple[_Columns, NDArray[np.int8], NDArray[np.float64], int]:
        start_ns = monotonic_ns()
        signals, strengths = np.zeros(len(data), np.int8), np.zeros(len(data))
        columns = _columns(data if len(data) else np.empty(0, TICK_DTYPE))
        # The mapper checks every row before it stores the first; what it takes, the signal engine takes.
        self.symbol_mapper.update_prices(columns.symbol_ids, columns.prices, columns.volumes, columns.timestamps)
        for rows in _rounds(columns.symbol_ids):
            signals[rows], strengths[rows], _ = self.signal_engine.generate_signals_vectorized(
                columns.prices[rows], columns.symbol_ids[rows]
            )
        end_ns = monotonic_ns()
        self.latency_monitor.record_latency(start_ns, end_ns)
        return columns, signals, strengths, end_ns - start_ns


def _append(pool: np.recarray[Any, Any], count: int, rows: NDArray[np.void]) -> int:
    """Write rows behind the `count` that came before, overwriting the oldest; return the new count."""
    size = len(pool)
    count += len(rows)
    rows = rows[-size:]
    first = (count - len(rows)) % size
    head = min(len(rows), size - first)
    pool[first : first + head] = rows[:head]
    pool[: len(rows) - head] = rows[head:]
    return count


class HFTEngine:
    """Keep the last ticks and signals around an `AsyncMarketDataProcessor`.

    Parameters
    ----------
    symbols, num_symbols
        As for `AsyncMarketDataProcessor`.

    Attributes
    ----------
    processor : AsyncMarketDataProcessor
        What does the work.
    tick_pool : recarray of MARKET_DATA_DTYPE, shape (100_000,)
        The last ticks, allocated once; tick number i is in row ``i % 100_000``. `is_valid` marks rows in use.
    signal_pool : recarray of SIGNAL_DTYPE, shape (10_000,)
        The last signals that were not 0, likewise.
    ticks_processed, signals_generated : int
        How many came in all.

    Notes
    -----
    **Thread safety**: one thread, one event loop.
    """

    def __init__(self, symbols: Iterable[str] | None = None, num_symbols: int = 100) -> None:
        self.processor = AsyncMarketDataProcessor(symbols, num_symbols)
        self.tick_pool = np.zeros(100_000, MARKET_DATA_DTYPE).view(np.recarray)
        self.signal_pool = np.zeros(10_000, SIGNAL_DTYPE).view(np.recarray)
        self.tick_pool.price = self.tick_pool.bid = self.tick_pool.ask = math.nan
        self.ticks_processed = 0
        self.signals_generated = 0

    @property
    def symbol_mapper(self) -> SymbolMapper:
        """The symbols of the processor."""
        return self.processor.symbol_mapper

    @property
    def latency_monitor(self) -> LatencyMonitor:
        """The latencies of the processor."""
        return self.processor.latency_monitor

    async def process_market_data(self, data: Sequence[Tick] | NDArray[np.void]) -> tuple[NDArray[np.int8], int]:
        """Take a batch of ticks in, and keep it; as `AsyncMarketDataProcessor.process_market_data`.

        Parameters
        ----------
        data : list of (timestamp, symbol_id, price, volume), or ndarray of TICK_DTYPE
            As there.

        Returns
        -------
        signals : ndarray of int8, shape (n,)
            +1, -1 or 0 for each tick.
        latency_ns : int
            Time that the batch took, ns, without filling the pools.

        Raises
        ------
        TypeError, ValueError, UnknownSymbolError
            As there; nothing is kept then.
        """
        columns, signals, strengths, latency_ns = self.processor._process(data)
        ticks = np.zeros(len(signals), MARKET_DATA_DTYPE)
        ticks["timestamp"], ticks["symbol_id"] = columns.timestamps, columns.symbol_ids
        ticks["price"], ticks["volume"] = columns.prices, columns.volumes
        ticks["bid"] = ticks["ask"] = math.nan
        ticks["is_valid"] = True
        self.ticks_processed = _append(self.tick_pool, self.ticks_processed, ticks)
        active = np.flatnonzero(signals)
        kept = np.zeros(len(active), SIGNAL_DTYPE)
        kept["timestamp"], kept["symbol_id"] = columns.timestamps[active], columns.symbol_ids[active]
        kept["signal"], kept["strength"] = signals[active], strengths[active]
        self.signals_generated = _append(self.signal_pool, self.signals_generated, kept)
        return signals, latency_ns

    def tick(self, number: int) -> MarketDataStruct:
        """Return one tick that is still in the pool.

        Parameters
        ----------
        number : int
            Its number, counted from 0 since the start; negative from the end.

        Returns
        -------
        MarketDataStruct
            A copy.

        Raises
        ------
        IndexError
            If no such tick has come, or it has been overwritten.
        """
        i = number + self.ticks_processed if number < 0 else number
        if not max(0, self.ticks_processed - len(self.tick_pool)) <= i < self.ticks_processed:
            raise IndexError(f"tick must be one of the last {len(self.tick_pool)} of {self.ticks_processed}: number={number}")
        return MarketDataStruct(*self.tick_pool[i % len(self.tick_pool)].item())
