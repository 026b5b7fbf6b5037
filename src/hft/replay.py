"""Replay of a recorded or synthetic day: open the feed, hand its chunks to the compiled engine, collect the summary."""

import math
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from fastcore.avellaneda import Quoter
from fastcore.engine import Engine
from fastcore.flow import EwmaVolatility
from fastcore.instruments import Instrument
from fastcore.records import EVENT_DTYPE, KINDS, NO_PRICE, NO_SYMBOL, QUOTE_DTYPE
from fastcore.risk import RiskLimits
from fastcore.tickstore import TickStore
from fastcore.wire.itch import ItchDecoder

from .config import TICKS_PER_USD, Config, ConfigError
from .feeds.feed import Events, Feed


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
    volume, market_volume : int or float
        Units (shares, contracts, coins) of our fills, and of all printed executions of the symbol.
    position : int or float
        Units at the end.
    pnl, fees : float
        Quote currency: profit after fees marked at the last middle price (None without one), and fees paid.
    ticks_stored : int
    seconds, events_per_s, loop_ns_per_event : float
        Wall time of reading and running; time inside the compiled loop per message.
    latency_ns : dict
        p50, p99, p999 and max by stage, for the stages that were sampled.
    peak_rss_bytes : int
    stopped, interrupted : bool
        By the loss limit; by Ctrl-C.
    tick_size, lot_size : float
        What the integers of `curve` and `reports` mean.
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
    volume: int | float
    market_volume: int | float
    position: int | float
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
    tick_size: float
    lot_size: float
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


def build_engine(
    config: Config,
    instrument: Instrument,
    store: TickStore | None = None,
    midnight_ns: int = 0,
    *,
    symbol_id: int | None = None,
    increment_ticks: int = 100,
    book: str = "orders",
) -> Engine:
    """Return the engine that a configuration describes.

    Parameters
    ----------
    config : Config
        Its shares are units of the instrument (shares, contracts, coins), its USD the quote currency.
    instrument : Instrument
        What is traded, and what its ticks and lots are.
    store : TickStore, optional
        Opened for writing; receives the executions.
    midnight_ns : int
        Midnight of the day, ns since the UNIX epoch; for feeds of bytes.
    symbol_id : int, optional
        Where the feed does not list its symbols.
    increment_ticks : int, default 100
        Price increment of the venue. On ITCH (0.0001 USD a tick) it is one tick below 1 USD.
    book : {"orders", "levels", "quotes", "none"}
        What the feed builds.

    Raises
    ------
    ConfigError
        If the parts refuse the values.
    """
    run, maker, limits, fees = config.run, config.market_maker, config.limits, config.fees
    quoter = volatility = None

    def ticks(price: float) -> float:
        return price / instrument.tick_size

    def lots(units: float) -> int:
        return round(units / instrument.lot_size)

    def fee(per_unit: float) -> int:
        exact = ticks(per_unit) * instrument.lot_size
        if abs(exact - round(exact)) > 1e-6:
            raise ConfigError(f"a fee must be a whole number of ticks per lot: fee={per_unit}, ticks per lot={exact}")
        return round(exact)

    try:
        if run.strategy == "avellaneda":
            quoter = Quoter(
                "avellaneda_stoikov",
                gamma=maker.risk_aversion_per_usd,
                k=maker.fill_decay_per_usd,
                sigma=maker.volatility_usd_per_sqrt_s,
                inventory_unit=lots(maker.order_shares),
                inventory_limit=lots(maker.inventory_limit_shares),
                tick_size=instrument.tick_size,
                increment_ticks=increment_ticks,
                low_increment_ticks=1 if symbol_id is None else increment_ticks,
                low_below_ticks=TICKS_PER_USD if symbol_id is None else 0,
                min_spread_ticks=max(1, math.ceil(ticks(maker.min_spread_usd) - 1e-6)),
            )
            if maker.volatility_half_life_s > 0:
                volatility = EwmaVolatility(
                    half_life=maker.volatility_half_life_s / maker.volatility_interval_s,
                    interval_ns=round(maker.volatility_interval_s * 1e9),
                    variance=maker.volatility_usd_per_sqrt_s**2 * maker.volatility_interval_s,
                )
        return Engine(
            instrument.symbol,
            symbol_id=symbol_id,
            quoter=quoter,
            volatility=volatility,
            limits=RiskLimits(
                lots(limits.max_order_shares), lots(limits.max_position_shares), round(ticks(limits.price_collar_usd))
            ),
            order_lots=lots(maker.order_shares),
            time_left=maker.horizon_s,
            store=store,
            ticks_per_price=1.0 / instrument.tick_size,
            max_loss=None if limits.max_loss_usd is None else round(ticks(limits.max_loss_usd) / instrument.lot_size),
            maker_fee_ticks=fee(fees.maker_usd_per_share),
            taker_fee_ticks=fee(fees.taker_usd_per_share),
            midnight_ns=midnight_ns,
            sample_every=run.sample_every,
            curve_interval_ns=round(run.curve_interval_s * 1e9),
            skip_malformed=run.skip_malformed,
            book="quotes" if book == "none" else book,
        )
    except ValueError as error:
        raise ConfigError(str(error)) from None


_IDS = 65_536  # symbol ids of the engine

Partial = Callable[["Summary"], None]


def replay(
    chunks: Iterable[memoryview | bytes],
    config: Config,
    *,
    data: str = "recorded",
    midnight_ns: int = 0,
    partial: Partial = lambda summary: None,
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
    source = iter(chunks)
    first = next(source, b"")
    instrument = Instrument(config.run.symbol or choose_symbol(first), 1.0 / TICKS_PER_USD, 1.0)

    def make(store: TickStore | None) -> Engine:
        return build_engine(config, instrument, store, midnight_ns)

    return _run(chain([first], source), make, instrument, config, data, partial, lambda engine: _counts(engine.decoder))


def replay_feed(feed: Feed, config: Config, *, partial: Partial = lambda summary: None) -> Summary:
    """Run a feed of events through the engine: what ``hft.feeds.open_feed`` gives for any format.

    Parameters
    ----------
    feed : Feed
        Its book decides how own orders are filled: in their place in the queue (by order), or by the quantity that was
        displayed ahead of them (by level and best prices).
    config, partial
        As in `replay`.

    Returns
    -------
    Summary

    Raises
    ------
    CorruptDataError, UnknownSymbolInFile, ConfigError
        As in `replay`.
    """
    source = iter(feed)
    first = next(source, None)
    while (symbol_id := _chosen(feed, config.run.symbol)) is None and first is not None:
        first = next(source, None)  # what comes before the first event of the symbol cannot concern it
    if not len(feed.instruments):
        raise UnknownSymbolInFile(f"the file has no event of any symbol: path={feed.path} messages={feed.messages}")
    if first is None or symbol_id is None:
        names = ", ".join(feed.instruments.symbols[:8])
        raise UnknownSymbolInFile(f"the file has no such symbol: symbol={config.run.symbol}, symbols={names}")
    instrument, increment, number = feed.instruments[symbol_id], _increment(first, symbol_id), symbol_id

    def fit(events: Events) -> Events:
        # The engine keeps books of 65,536 ids; of a feed with larger ones (DBN) it sees the chosen symbol alone, as 0.
        ids = events["symbol_id"]
        whole = ids == NO_SYMBOL
        if number < _IDS:
            keep = whole | (ids < _IDS)
            return events if keep.all() else np.ascontiguousarray(events[keep])
        own: Events = events[whole | (ids == number)]
        own["symbol_id"][own["symbol_id"] == number] = 0
        return own

    # ITCH from the network: where the capture has the listing of the symbol it has its trading states and the hours too.
    listed = feed.format == "pcap" and bool(((first["kind"] == KINDS["listing"]) & (first["symbol_id"] == number)).any())

    def make(store: TickStore | None) -> Engine:
        if listed:
            return build_engine(config, instrument, store)
        chosen = number if number < _IDS else 0
        return build_engine(config, instrument, store, symbol_id=chosen, increment_ticks=increment, book=feed.book)

    return _run(
        map(fit, chain([first], source)), make, instrument, config, "recorded", partial,
        lambda engine: (feed.messages, 0, sum(feed.errors.values())),
    )  # fmt: skip


def decimals_of(events: Events) -> tuple[int, int]:
    """Return the decimals that prices and sizes need which a feed has scaled by 10**8: venues write more than they use.

    Profit is counted in ticks * lots, so a tick and a lot should be no smaller than the venue's own.
    """
    own = events[np.isin(events["kind"], [KINDS["level"], KINDS["trade"]])]
    steps = [int(np.gcd.reduce(own[name])) if len(own) else 1 for name in ("price", "size")]
    price, size = (next(d for d in range(9) if step == 0 or step % 10 ** (8 - d) == 0) for step in steps)
    return price, size


def _chosen(feed: Feed, symbol: str | None) -> int | None:
    """Id of the chosen symbol, or of the only one; None while it has not appeared."""
    if symbol is not None:
        return feed.instruments.id_of(symbol)
    if len(feed.instruments) > 1:
        names = ", ".join(feed.instruments.symbols[:8])
        raise UnknownSymbolInFile(f"the file has several symbols: choose one with --symbol ({names}, ...)")
    return 0 if len(feed.instruments) else None


def _increment(events: Events, symbol_id: int) -> int:
    """Price increment of a venue whose feed does not say it: the largest of which all prices are multiples, in ticks."""
    own = events[events["symbol_id"] == symbol_id]
    kinds = own["kind"]
    prices = [own["price"][np.isin(kinds, [KINDS[name] for name in ("add", "level", "trade", "replace")])]]
    quotes = own[kinds == KINDS["quote"]].view(QUOTE_DTYPE)
    found = np.concatenate([*prices, quotes["bid"], quotes["ask"]])
    found = found[found != NO_PRICE]
    return max(1, int(np.gcd.reduce(found))) if len(found) else 1


Counts = tuple[dict[str, int], int, int]  # messages by type, skipped, malformed


def _counts(decoder: ItchDecoder) -> Counts:
    return decoder.counts, decoder.skipped, sum(decoder.errors.values())


def _run(
    source: Iterable[Any],
    make: Callable[[TickStore | None], Engine],
    instrument: Instrument,
    config: Config,
    data: str,
    partial: Partial,
    counts: Callable[[Engine], Counts],
) -> Summary:
    """Give everything to the engine: chunks of bytes, or arrays of events."""
    start = time.perf_counter()
    store = TickStore(config.run.store, "a") if config.run.store else None
    try:
        engine = make(store)
        stored = 0 if store is None else -len(store)
        interrupted = False
        failure: Exception | None = None
        try:
            for chunk in source:
                if engine.stopped or not len(chunk):
                    break
                if isinstance(chunk, np.ndarray):
                    engine.feed_events(chunk)
                else:
                    engine.feed(chunk)
        except KeyboardInterrupt:
            interrupted = True
        except Exception as error:
            failure = error
        stored += 0 if store is None else len(store)
    finally:
        if store is not None:
            store.close()
    seconds = time.perf_counter() - start
    summary = summarise(engine, config, instrument, data, seconds, interrupted, stored, counts(engine))
    if failure is not None:
        partial(summary)
        raise failure
    if not engine.listed and not interrupted:
        raise UnknownSymbolInFile(f"the file lists no such symbol: symbol={instrument.symbol}")
    return summary


def summarise(
    engine: Engine,
    config: Config,
    instrument: Instrument,
    data: str,
    seconds: float,
    interrupted: bool,
    stored: int,
    counts: Counts,
) -> Summary:
    """Collect the summary of an engine."""
    by_type, skipped, malformed = counts
    messages = sum(by_type.values())
    value = instrument.tick_size * instrument.lot_size

    def units(lots: int) -> int | float:
        return lots if instrument.lot_size == 1.0 else lots * instrument.lot_size

    return Summary(
        data=data,
        symbol=engine.symbol,
        strategy=config.run.strategy,
        events=messages,
        messages_by_type=by_type,
        skipped=skipped,
        malformed=malformed,
        book_errors=engine.book_errors,
        symbols=engine.symbols,
        orders=engine.orders_sent,
        rejected=engine.risk_rejects,
        fills=engine.fills,
        volume=units(engine.position.volume_lots),
        market_volume=units(engine.traded_lots),
        position=units(engine.position.position_lots),
        pnl=None if engine.profit is None else engine.profit * value,
        fees=engine.position.fees * value,
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
        tick_size=instrument.tick_size,
        lot_size=instrument.lot_size,
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
