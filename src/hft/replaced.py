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

import ctypes
import logging
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import Parameter, Signature
from math import isfinite
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fastcore.avellaneda import Quoter
from fastcore.clock import monotonic_ns
from fastcore.flow import EwmaVolatility
from fastcore.replaced import LatencyMonitor, OptimizedSignalEngine, SymbolMapper, keep_ticks, tick_columns

__all__ = [
    "MARKET_DATA_DTYPE",
    "SIGNAL_DTYPE",
    "AsyncMarketDataProcessor",
    "AvellanedaMarketMaker",
    "HFTEngine",
    "MarketDataStruct",
    "Quote",
    "Signal",
    "Ticker",
]


class _Struct(ctypes.Structure):
    """A C struct that says what it takes and what is in it."""

    __signature__: ClassVar[Signature]

    def __init_subclass__(cls) -> None:
        kind = Parameter.POSITIONAL_OR_KEYWORD
        cls.__signature__ = Signature([Parameter(name, kind, default=0) for name, *_ in cls._fields_])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name, *_ in type(self)._fields_)})"


class MarketDataStruct(_Struct):
    """One tick as a C struct, with the fields of a row of `HFTEngine.tick_pool`: ``(MarketDataStruct * n)()`` is an array of them.

    Attributes
    ----------
    timestamp : int
        Nanoseconds since the UNIX epoch.
    symbol_id : int
        Dense id.
    price, volume : float
        Of the tick.
    bid, ask : float
        Best quotes where the source has them, else NaN in a pool.
    is_valid : bool
        Whether the tick passed the checks; False in a struct of zeros.
    """

    _fields_ = (
        ("timestamp", ctypes.c_int64),
        ("symbol_id", ctypes.c_uint32),
        ("price", ctypes.c_double),
        ("volume", ctypes.c_double),
        ("bid", ctypes.c_double),
        ("ask", ctypes.c_double),
        ("is_valid", ctypes.c_bool),
    )


class Signal(_Struct):
    """One signal as a C struct, with the fields of a row of `HFTEngine.signal_pool`.

    Attributes
    ----------
    timestamp : int
        Of the tick that made it, ns.
    symbol_id : int
        Dense id.
    signal : int
        +1 or -1.
    strength : float
        Absolute value of the mean correlation.
    """

    _fields_ = (
        ("timestamp", ctypes.c_int64),
        ("symbol_id", ctypes.c_uint32),
        ("signal", ctypes.c_int8),
        ("strength", ctypes.c_double),
    )


MARKET_DATA_DTYPE = np.dtype(MarketDataStruct)
SIGNAL_DTYPE = np.dtype(Signal)

Tick = tuple[int, int, float, float]
Columns = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]

LEVELS = 5
LEVEL_TICKS = 10
LEVEL_MULTIPLIERS = (1.0, 1.5, 2.2, 3.4, 5.1)
REQUOTE_SECONDS = 2.0
REQUOTE_MOVE = 0.001
PRICE_DECIMALS = 12  # what a product of ticks leaves behind them is noise
LOG_EVERY = 100  # operations of a market maker: one of so many is logged

logger = logging.getLogger(__name__)


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

    def _process(self, data: Sequence[Tick] | NDArray[np.void]) -> tuple[Columns, NDArray[np.int8], NDArray[np.float64], int]:
        start_ns = monotonic_ns()
        columns = timestamps, symbol_ids, prices, volumes = tick_columns(data)
        if len(prices):
            # The mapper checks every row before it stores the first; what it takes, the signal engine takes.
            self.symbol_mapper.update_prices(symbol_ids, prices, volumes, timestamps)
            signals, strengths, _ = self.signal_engine.generate_signals_of_batch(prices, symbol_ids)
        else:
            signals, strengths = np.zeros(0, np.int8), np.zeros(0)
        end_ns = monotonic_ns()
        self.latency_monitor.record_latency(start_ns, end_ns)
        return columns, signals, strengths, end_ns - start_ns


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
        self._ticks, self._signals = np.zeros(100_000, MARKET_DATA_DTYPE), np.zeros(10_000, SIGNAL_DTYPE)
        self.tick_pool, self.signal_pool = self._ticks.view(np.recarray), self._signals.view(np.recarray)
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
        self.ticks_processed = keep_ticks(self._ticks, self.ticks_processed, *columns)
        if any(signals.tobytes()):
            active = signals.nonzero()[0]
            self.signals_generated += len(active)
            active = active[-len(self._signals) :]
            rows = np.arange(self.signals_generated - len(active), self.signals_generated) % len(self._signals)
            found: tuple[NDArray[Any], ...] = (*columns[:2], signals, strengths)
            for name, column in zip(SIGNAL_DTYPE.names or (), found, strict=True):
                self._signals[name][rows] = column[active]
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
        row = _row("tick", number, self.ticks_processed, len(self.tick_pool))
        return MarketDataStruct.from_buffer_copy(self._ticks[row : row + 1].tobytes())

    def signal(self, number: int) -> Signal:
        """Return one signal that is still in the pool: as `tick`."""
        row = _row("signal", number, self.signals_generated, len(self.signal_pool))
        return Signal.from_buffer_copy(self._signals[row : row + 1].tobytes())


def _row(what: str, number: int, count: int, size: int) -> int:
    i = number + count if number < 0 else number
    if not max(0, count - size) <= i < count:
        raise IndexError(f"{what} must be one of the last {size} of {count}: number={number}")
    return i % size


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


def _field(source: Mapping[str, Any] | object, name: str) -> Any:
    # What a mapping or an object has under a name; None where it has nothing.
    return source.get(name) if isinstance(source, Mapping) else getattr(source, name, None)


def _amount(value: float) -> float:
    # What 15 digits say: 0.07, where binary arithmetic leaves 0.06999999999999999.
    return float(f"{value:.15g}")


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
    the last one, or when the mid has moved by more than 0.001 of itself; otherwise the last quotes are returned. Of its quotes
    and fills one in a hundred is logged, at level INFO.
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
        self._seen_mid = 0.0
        self._operations = 0
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
        self._last_price = self._seen_mid = price
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
        self, ticker: Ticker | Mapping[str, Any], market_conditions: Mapping[str, Any] | object = None
    ) -> tuple[list[Quote], list[Quote]]:
        """Return bid and ask quotes, best first.

        Parameters
        ----------
        ticker : Ticker, or mapping
            With the names of its fields. The mid of its best prices counts, or its mark price where a side is missing or they are crossed.
        market_conditions : mapping or object, optional
            Entries or attributes: ``volatility`` (price per square root of time) replaces the estimate, ``time_left`` (default 1) is for models
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
        bid, ask, mark = (_field(ticker, name) for name in ("best_bid_price", "best_ask_price", "mark_price"))
        if bid is not None and ask is not None and _usable(bid) and _usable(ask) and bid < ask:
            mid = (bid + ask) / 2
        elif mark is not None and _usable(mark):
            mid = mark
        else:
            raise ValueError(
                f"ticker must have a usable price: mark_price={mark}, best_bid_price={bid}, best_ask_price={ask}"
            )
        volatility, time_left = _field(market_conditions, "volatility"), _field(market_conditions, "time_left")
        if volatility is not None and not (isfinite(volatility) and volatility >= 0):
            raise ValueError(f"volatility must be finite and not negative: volatility={volatility}")
        now = self._clock()
        self._seen_mid = mid
        if not self.should_update_quotes(mid, now):
            return self._quotes
        if self.model == "exact":
            volatility = None
        self._quoter.quote(mid, self.position, 1.0 if time_left is None else time_left, volatility)
        bids, asks, sizes = self._quoter.ladder(LEVELS, LEVEL_TICKS, LEVEL_MULTIPLIERS, self.base_size)
        self._quotes = (
            self._side(bids.tolist(), amounts := [_amount(size) for size in sizes.tolist()], "buy", now),
            self._side(asks.tolist(), amounts, "sell", now),
        )
        self._quoted_at, self._quoted_mid = now, mid
        self.quote_count += len(self._quotes[0]) + len(self._quotes[1])
        self._log("quotes of %s around %s at position %s: %d bids, %d asks", mid, self.position, *map(len, self._quotes))
        return self._quotes

    def _log(self, text: str, *values: object) -> None:
        # One operation in so many, the first one included.
        if self._operations % LOG_EVERY == 0:
            logger.info(text, self.instrument, *values)
        self._operations += 1

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

    def _should_update_quotes_fast(self, current_time: float) -> bool:
        # The same by the last price or ticker that came, in a call of the replaced engine.
        return self.should_update_quotes(self._seen_mid, current_time)

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
        after = _amount(before + change)
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
        self._log("fill of %s: order %s, %s at %s, position %s", order_id, change, price, after)
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
