"""Replay of a recorded or synthetic day: open the feed, hand its chunks to the compiled engine, collect the summary."""

import math
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from fastcore.avellaneda import EwmaVolatility, Quoter
from fastcore.engine import Engine
from fastcore.itch import ItchDecoder
from fastcore.records import EVENT_DTYPE
from fastcore.risk import RiskLimits
from fastcore.tickstore import TickStore

from .config import TICKS_PER_USD, Config, ConfigError


class UnknownSymbolInFile(LookupError):
    """The chosen symbol is not in the file, or none was chosen and the file lists several."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a run did.

    Attributes
    ----------
    data : str
        "recorded" or "synthetic".
    symbol, strategy : str
    events : int
        Well-formed messages, the skipped ones included: the sum of `messages_by_type`.
    skipped, malformed : int
        Messages of types that the engine does not need; messages that break the format.
    book_errors : int
        Events that a book refused.
    symbols : int
        Symbols with a book.
    orders, rejected, fills : int
        Sent (replacements included), refused by the limits, and filled or partly filled.
    volume, market_volume : int
        Shares of our fills, and of all printed executions of the symbol.
    position : int
        Shares at the end.
    pnl, fees : float
        USD: profit after fees marked at the last middle price (None without one), and fees paid.
    ticks_stored : int
    seconds, events_per_s, loop_ns_per_event : float
        Wall time of reading and running; time inside the compiled loop per message.
    latency_ns : dict
        p50, p99, p999 and max by stage, for the stages that were sampled.
    peak_rss_bytes : int
    stopped, interrupted : bool
        By the loss limit; by Ctrl-C.
    """

    data: str
    symbol: str
    strategy: str
    events: int
    messages_by_type: dict[str, int]
    skipped: int
    malformed: int
    book_errors: int
    symbols: int
    orders: int
    rejected: int
    fills: int
    volume: int
    market_volume: int
    position: int
    pnl: float | None
    fees: float
    ticks_stored: int
    seconds: float
    events_per_s: float
    loop_ns_per_event: float
    latency_ns: dict[str, dict[str, int]]
    peak_rss_bytes: int
    stopped: bool
    interrupted: bool
    curve: npt.NDArray[np.void] = field(repr=False)
    reports: npt.NDArray[np.void] = field(repr=False)

    def to_json(self) -> dict[str, Any]:
        """Return everything but the arrays, ready for ``json.dumps``."""
        return {name: value for name, value in vars(self).items() if name not in ("curve", "reports")}


def listed_symbols(data: memoryview | bytes) -> list[str]:
    """Return the symbols that the whole messages of `data` list (type R), by stock locate."""
    decoder, events, at = ItchDecoder(), np.empty(8192, EVENT_DTYPE), 0
    while at < len(data):
        _, used = decoder.decode(memoryview(data)[at:], events)
        if not used:
            break
        at += used
    return list(decoder.symbols.values())


def choose_symbol(head: memoryview | bytes) -> str:
    """Return the only symbol that the head of a file lists."""
    listed = listed_symbols(head)
    if len(listed) == 1:
        return listed[0]
    if not listed:
        raise UnknownSymbolInFile("the start of the file lists no symbol: choose one with --symbol")
    raise UnknownSymbolInFile(
        f"the file lists {len(listed):,} symbols: choose one with --symbol ({', '.join(listed[:8])}, ...)"
    )


def build_engine(config: Config, symbol: str, store: TickStore | None = None, midnight_ns: int = 0) -> Engine:
    """Return the engine that a configuration describes.

    Parameters
    ----------
    config : Config
    symbol : str
    store : TickStore, optional
        Opened for writing; receives the executions.
    midnight_ns : int
        Midnight of the day, ns since the UNIX epoch.

    Raises
    ------
    ConfigError
        If the parts refuse the values.
    """
    run, maker, limits, fees = config.run, config.market_maker, config.limits, config.fees
    quoter = volatility = None
    try:
        if run.strategy == "avellaneda":
            quoter = Quoter(
                "avellaneda_stoikov",
                gamma=maker.risk_aversion_per_usd,
                k=maker.fill_decay_per_usd,
                sigma=maker.volatility_usd_per_sqrt_s,
                inventory_unit=maker.order_shares,
                inventory_limit=maker.inventory_limit_shares,
                tick_size=1.0 / TICKS_PER_USD,
                increment_ticks=100,
                low_increment_ticks=1,
                low_below_ticks=TICKS_PER_USD,
                min_spread_ticks=max(1, math.ceil(maker.min_spread_usd * TICKS_PER_USD - 1e-6)),
            )
            if maker.volatility_half_life_s > 0:
                volatility = EwmaVolatility(
                    half_life=maker.volatility_half_life_s / maker.volatility_interval_s,
                    interval_ns=round(maker.volatility_interval_s * 1e9),
                    variance=maker.volatility_usd_per_sqrt_s**2 * maker.volatility_interval_s,
                )
        return Engine(
            symbol,
            quoter=quoter,
            volatility=volatility,
            limits=RiskLimits(
                limits.max_order_shares, limits.max_position_shares, round(limits.price_collar_usd * TICKS_PER_USD)
            ),
            order_lots=maker.order_shares,
            time_left=maker.horizon_s,
            store=store,
            ticks_per_price=float(TICKS_PER_USD),
            max_loss=None if limits.max_loss_usd is None else round(limits.max_loss_usd * TICKS_PER_USD),
            maker_fee_ticks=round(fees.maker_usd_per_share * TICKS_PER_USD),
            taker_fee_ticks=round(fees.taker_usd_per_share * TICKS_PER_USD),
            midnight_ns=midnight_ns,
            sample_every=run.sample_every,
            curve_interval_ns=round(run.curve_interval_s * 1e9),
            skip_malformed=run.skip_malformed,
        )
    except ValueError as error:
        raise ConfigError(str(error)) from None


def replay(
    chunks: Iterable[memoryview | bytes],
    config: Config,
    *,
    data: str = "recorded",
    midnight_ns: int = 0,
    partial: Callable[[Summary], None] = lambda summary: None,
) -> Summary:
    """Run a feed of ITCH messages through the engine.

    Parameters
    ----------
    chunks : iterable of bytes-like
        Each of whole length-prefixed messages, as ``hft.feeds.itch.open_itch`` yields them.
    config : Config
    data : {"recorded", "synthetic"}
        Repeated in the summary.
    midnight_ns : int
        Midnight of the day, ns since the UNIX epoch.
    partial : callable(Summary)
        Told what was done so far before an error is raised.

    Returns
    -------
    Summary
        Also after the loss limit (`stopped`) and after Ctrl-C (`interrupted`).

    Raises
    ------
    CorruptDataError
        If the stream is malformed or ends inside a message.
    UnknownSymbolInFile
        If the symbol is not listed in the file, or must be chosen.
    ConfigError
        If the parts refuse the values of the configuration.
    """
    start = time.perf_counter()
    source = iter(chunks)
    chunk = next(source, b"")
    symbol = config.run.symbol or choose_symbol(chunk)
    store = TickStore(config.run.store, "a") if config.run.store else None
    try:
        engine = build_engine(config, symbol, store, midnight_ns)
        stored = 0 if store is None else -len(store)
        interrupted = False
        failure: Exception | None = None
        try:
            while len(chunk) and not engine.stopped:
                engine.feed(chunk)
                chunk = next(source, b"")
        except KeyboardInterrupt:
            interrupted = True
        except Exception as error:
            failure = error
        stored += 0 if store is None else len(store)
    finally:
        if store is not None:
            store.close()
    summary = summarise(engine, config, data, time.perf_counter() - start, interrupted, stored)
    if failure is not None:
        partial(summary)
        raise failure
    if not engine.listed and not interrupted:
        raise UnknownSymbolInFile(f"the file lists no such symbol: symbol={symbol}")
    return summary


def summarise(engine: Engine, config: Config, data: str, seconds: float, interrupted: bool, stored: int) -> Summary:
    """Collect the summary of an engine."""
    messages = engine.messages
    return Summary(
        data=data,
        symbol=engine.symbol,
        strategy=config.run.strategy,
        events=messages,
        messages_by_type=engine.decoder.counts,
        skipped=engine.decoder.skipped,
        malformed=sum(engine.decoder.errors.values()),
        book_errors=engine.book_errors,
        symbols=engine.symbols,
        orders=engine.orders_sent,
        rejected=engine.risk_rejects,
        fills=engine.fills,
        volume=engine.position.volume_lots,
        market_volume=engine.traded_lots,
        position=engine.position.position_lots,
        pnl=None if engine.profit is None else engine.profit / TICKS_PER_USD,
        fees=engine.position.fees / TICKS_PER_USD,
        ticks_stored=stored,
        seconds=seconds,
        events_per_s=messages / seconds if seconds > 0 else 0.0,
        loop_ns_per_event=engine.loop_ns / messages if messages else 0.0,
        latency_ns={
            stage: {
                "p50": histogram.percentile(50.0),
                "p99": histogram.percentile(99.0),
                "p999": histogram.percentile(99.9),
                "max": histogram.max,
            }
            for stage, histogram in engine.latency.items()
            if histogram.count
        },
        peak_rss_bytes=peak_rss_bytes(),
        stopped=engine.stopped,
        interrupted=interrupted,
        curve=engine.curve(),
        reports=engine.reports(),
    )


def peak_rss_bytes() -> int:
    """Return the largest resident memory that this process has had; 0 where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
