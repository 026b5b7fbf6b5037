"""The calls of the replaced engine that are not compiled: its engine for batches of ticks, and its market maker.

A strategy written for that engine runs unchanged; its compiled calls are in `fastcore.replaced`.

Engine: a batch of ticks is converted to columns once; every tick is checked before the first is taken in; then the compiled
symbol mapper keeps the last prices, the compiled signal engine makes the signals, and the latency of the batch is recorded.
Nothing sleeps, and nothing awaits: `process_market_data` is a coroutine because its callers await it. Whole days run in
``fastcore.engine`` instead, which never returns to Python between two events.

Market maker: the rule of thumb of that engine for the spread is the default (``model="simplified"``); any model of
`fastcore.avellaneda` can take its place.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastcore.avellaneda import Quoter
from fastcore.clock import monotonic_ns
from fastcore.flow import EwmaVolatility
from fastcore.records import TICK_DTYPE
from fastcore.replaced import LatencyMonitor, OptimizedSignalEngine, SymbolMapper

__all__ = [
    "MARKET_DATA_DTYPE",
    "SIGNAL_DTYPE",
    "AsyncMarketDataProcessor",
    "AvellanedaMarketMaker",
    "HFTEngine",
    "MarketDataStruct",
    "Quote",
    "Ticker",
]

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

LEVELS = 5
LEVEL_TICKS = 10
LEVEL_MULTIPLIERS = (1.0, 1.5, 2.2, 3.4, 5.1)
REQUOTE_SECONDS = 2.0
REQUOTE_MOVE = 0.001
PRICE_DECIMALS = 12  # what a product of ticks leaves behind them is noise


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
    # As int64, without cutting anything off.
    array = np.asarray(values)
    if array.dtype.kind not in "iu":
        # An object array is what NumPy makes of integers beyond 64 bits.
        raise TypeError(f"{name} must be integers below 2**63: dtype={array.dtype}")
    if array.dtype == np.uint64 and array.max(initial=0) > np.iinfo(np.int64).max:
        raise ValueError(f"{name} must be below 2**63: max={array.max()}")
    return array.astype(np.int64)


def _columns(data: Sequence[Tick] | NDArray[np.void]) -> _Columns:
    # A list of tuples, or an array of ticks, as one array per field.
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
    # Cut a batch where a symbol comes again: the signal engine takes one price per symbol at a time.
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

    def __repr__(self) -> str:
        return f"<AsyncMarketDataProcessor symbols={len(self.symbol_mapper)} batches={self.latency_monitor.count}>"

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
    # Write rows behind the `count` that came before, overwriting the oldest; the new count.
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

    def __repr__(self) -> str:
        return (
            f"<HFTEngine symbols={len(self.symbol_mapper)} ticks_processed={self.ticks_processed} "
            f"signals_generated={self.signals_generated}>"
        )

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


# ---- the market maker


@dataclass(slots=True)
class Quote:
    """One quote of a ladder: price and amount in the units of the instrument, side ``"buy"`` or ``"sell"``, time in s."""

    price: float
    amount: float
    instrument: str | None = None
    side: str | None = None
    timestamp: float | None = None


@dataclass(slots=True)
class Ticker:
    """State of a market: prices in the units of the instrument, times in seconds since the UNIX epoch."""

    mark_price: float
    best_bid_price: float | None = None
    best_ask_price: float | None = None
    index: float | None = None
    mark_ts: float | None = None
    funding_rate: float | None = None
    volume: float | None = None
    open_interest: float | None = None
    timestamp: float | None = field(default_factory=time.time)


def _positive(name: str, value: float) -> float:
    if not (isfinite(value) and value > 0):
        raise ValueError(f"{name} must be positive and finite: {name}={value}")
    return float(value)


def _usable(value: float | None) -> bool:
    return value is not None and isfinite(value) and value > 0


class AvellanedaMarketMaker:
    """Keep a ladder of quotes around the market, skewed against the position.

    Parameters
    ----------
    model : str, default "simplified"
        A model of `fastcore.avellaneda.MODELS`.
    position_limit : float, default 1
        No bids at +limit and above, no asks at -limit and below. Also the limit in the rule of `simplified`.
    base_size : float, default 0.1
        Size of level 0; level i has base_size * max(0.3, 1 - 0.15 i).
    min_spread_ticks : int, default 5
    volatility_half_life : float, default 50
        Of the volatility estimate, in market updates.
    clock : callable, default time.time
        Seconds; the same for quotes, tickers and the re-quote rule.
    **parameters
        Further parameters of the model. `simplified` has gamma 0.5, horizon 1 and spread_factor 1 where not given; sigma is
        the start of the volatility, which then follows the market (the model exact keeps the sigma it was solved for).

    Raises
    ------
    ValueError, TypeError
        If a parameter is not valid.

    Notes
    -----
    **Thread safety**: one thread at a time.

    A quote is made again when there is none, after a fill, when the tick size or instrument changed, more than 2.0 s after
    the last one, or when the mid has moved by more than 0.001 of itself; otherwise the last quotes are returned.
    """

    def __init__(
        self,
        model: str = "simplified",
        *,
        position_limit: float = 1.0,
        base_size: float = 0.1,
        min_spread_ticks: int = 5,
        volatility_half_life: float = 50.0,
        clock: Callable[[], float] = time.time,
        **parameters: Any,
    ) -> None:
        self.model = model
        self.position_limit = _positive("position_limit", position_limit)
        self.base_size = _positive("base_size", base_size)
        self.instrument: str | None = None
        self.tick_size = 0.0
        self.position = 0.0
        self.entry_price = 0.0
        self.realized_pnl = 0.0
        self.quote_count = 0
        self._last_price = 0.0
        self._volume = 0.0
        self._turnover = 0.0
        self._bought = 0.0
        self._sold = 0.0
        self._clock = clock
        self._half_life = volatility_half_life
        self._estimate = EwmaVolatility(half_life=volatility_half_life)
        defaults: dict[str, Any] = {"gamma": 0.5, "sigma": 0.0, "limit": position_limit} if model == "simplified" else {}
        self._parameters = {**defaults, **parameters, "min_spread_ticks": min_spread_ticks}
        self._quoter = self._make_quoter(0.01)  # to check the parameters now; made again with the tick size
        self._quotes: tuple[list[Quote], list[Quote]] = ([], [])
        self._quoted_at = 0.0
        self._quoted_mid = 0.0

    def __repr__(self) -> str:
        return (
            f"<AvellanedaMarketMaker model={self.model!r} instrument={self.instrument!r} tick_size={self.tick_size} "
            f"position={self.position} entry_price={self.entry_price} quote_count={self.quote_count}>"
        )

    def _make_quoter(self, tick_size: float) -> Quoter:
        return Quoter(self.model, **self._parameters, tick_size=tick_size, inventory_limit=self.position_limit)

    def set_tick_size(self, tick_size: float) -> bool:
        """Set the price of one tick, which must be known before quotes can be made.

        Returns
        -------
        bool
            True.

        Raises
        ------
        ValueError
            If it is not positive and finite.
        """
        quoter = self._make_quoter(_positive("tick_size", tick_size))
        if self.model != "exact":
            quoter.volatility = self._quoter.volatility
        self._quoter = quoter
        self.tick_size = float(tick_size)
        self._quoted_mid = 0.0
        return True

    def set_instrument(self, instrument: str) -> bool:
        """Set the name that quotes carry.

        Returns
        -------
        bool
            True.
        """
        if not isinstance(instrument, str) or not instrument:
            raise ValueError(f"instrument must be a name: instrument={instrument!r}")
        self.instrument = instrument
        self._quoted_mid = 0.0
        return True

    def update_market_data(self, price: float, volume: float = 0, is_buy: bool | None = None) -> bool:
        """Take a trade or a price: it moves the volatility, the volume-weighted price and the mark of the position.

        Parameters
        ----------
        price : float
            Positive and finite.
        volume : float
            Finite, not negative.
        is_buy : bool, optional
            Side of the aggressor.

        Returns
        -------
        bool
            True.

        Raises
        ------
        ValueError
            If price or volume is not valid; nothing is changed then.
        """
        price = _positive("price", price)
        if not (isfinite(volume) and volume >= 0):
            raise ValueError(f"volume must be finite and not negative: volume={volume}")
        self._estimate.update(price)
        self._last_price = price
        self._volume += volume
        self._turnover += price * volume
        if is_buy is not None:
            if is_buy:
                self._bought += volume
            else:
                self._sold += volume
        if self._estimate.count and self.model != "exact":
            self._quoter.volatility = self._estimate.volatility
        return True

    def generate_quotes(
        self, ticker: Ticker, market_conditions: Mapping[str, Any] | None = None
    ) -> tuple[list[Quote], list[Quote]]:
        """Return bid and ask quotes, best first.

        Parameters
        ----------
        ticker : Ticker
            The mid of its best prices counts, or its mark price where a side is missing or they are crossed.
        market_conditions : mapping, optional
            ``volatility`` (price per square root of time) replaces the estimate, ``time_left`` (default 1) is for models
            with a horizon; other entries are not used.

        Returns
        -------
        (list of Quote, list of Quote)
            Five levels a side; an empty side is closed by the position limit, or has no positive price.

        Raises
        ------
        ValueError
            If the tick size is not set, the ticker has no usable price, or a condition is not valid.
        """
        if not self.tick_size:
            raise ValueError("tick_size must be set before quotes can be made: tick_size=0")
        conditions = market_conditions or {}
        bid, ask = ticker.best_bid_price, ticker.best_ask_price
        if bid is not None and ask is not None and _usable(bid) and _usable(ask) and bid < ask:
            mid = (bid + ask) / 2
        elif _usable(ticker.mark_price):
            mid = ticker.mark_price
        else:
            raise ValueError(
                f"ticker must have a usable price: mark_price={ticker.mark_price}, best_bid_price={bid}, best_ask_price={ask}"
            )
        volatility = conditions.get("volatility")
        if volatility is not None and not (isfinite(volatility) and volatility >= 0):
            raise ValueError(f"volatility must be finite and not negative: volatility={volatility}")
        now = self._clock()
        if not self.should_update_quotes(mid, now):
            return self._quotes
        if self.model == "exact":
            volatility = None
        self._quoter.quote(mid, self.position, conditions.get("time_left", 1.0), volatility)
        bids, asks, sizes = self._quoter.ladder(LEVELS, LEVEL_TICKS, LEVEL_MULTIPLIERS, self.base_size)
        self._quotes = (
            self._side(bids.tolist(), sizes.tolist(), "buy", now),
            self._side(asks.tolist(), sizes.tolist(), "sell", now),
        )
        self._quoted_at, self._quoted_mid = now, mid
        self.quote_count += len(self._quotes[0]) + len(self._quotes[1])
        return self._quotes

    def _side(self, ticks: list[int], sizes: list[float], side: str, now: float) -> list[Quote]:
        # Ticks below 1 are NO_PRICE: the side is closed or the level would not be positive.
        return [
            Quote(round(n * self.tick_size, PRICE_DECIMALS), size, self.instrument, side, now)
            for n, size in zip(ticks, sizes, strict=True)
            if n > 0
        ]

    def should_update_quotes(self, mid: float, now: float | None = None) -> bool:
        """Return whether the quotes are due: none yet, older than 2.0 s, or the mid moved by more than 0.001 of itself."""
        now = self._clock() if now is None else now
        if not self._quoted_mid or now - self._quoted_at > REQUOTE_SECONDS:
            return True
        return abs(mid - self._quoted_mid) / self._quoted_mid > REQUOTE_MOVE

    def on_order_filled(self, order_id: object, price: float, size: float, is_buy: bool) -> bool:
        """Take a fill of an own order into position, average entry price and realised profit.

        Parameters
        ----------
        order_id : object
            The caller's; named in errors.
        price, size : float
            Positive and finite.
        is_buy : bool

        Returns
        -------
        bool
            True.

        Raises
        ------
        ValueError
            If price or size is not valid; nothing is changed then.
        """
        if not (isfinite(price) and price > 0 and isfinite(size) and size > 0):
            raise ValueError(
                f"a fill needs a positive, finite price and size: order_id={order_id!r}, price={price}, size={size}"
            )
        change = size if is_buy else -size
        before = self.position
        after = before + change
        if abs(after) < 1e-12 * max(abs(before), size):
            after = 0.0  # what decimal sizes leave behind
        if before * change < 0:
            closed = min(size, abs(before))
            self.realized_pnl += closed * (price - self.entry_price) * (1 if before > 0 else -1)
            if after == 0:
                self.entry_price = 0.0
            elif before * after < 0:
                self.entry_price = price
        else:
            self.entry_price = (self.entry_price * abs(before) + price * size) / abs(after)
        self.position = after
        self._last_price = self._last_price or price
        self._quoted_mid = 0.0
        return True

    def get_position_metrics(self) -> dict[str, float]:
        """Return position, entry_price, realized_pnl, unrealized_pnl, vwap and quote_count.

        Returns
        -------
        dict
            The unrealised profit is at the last market price; `vwap` is 0 before the first volume.
        """
        return {
            "position": self.position,
            "entry_price": self.entry_price,
            "realized_pnl": self.realized_pnl,
            "unrealized_pnl": self.position * (self._last_price - self.entry_price) if self.position else 0.0,
            "vwap": self._turnover / self._volume if self._volume else 0.0,
            "quote_count": self.quote_count,
        }

    @property
    def volatility(self) -> float:
        """Volatility in use: price per square root of an update."""
        return self._quoter.volatility
