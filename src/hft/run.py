"""One run, whatever its source: a feed goes through market, strategy, desk and simulated venue, and a summary comes out."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from fastcore.avellaneda import Quoter
from fastcore.desk import Desk
from fastcore.engine import Engine
from fastcore.flow import EwmaVolatility
from fastcore.instruments import Instrument
from fastcore.market import Market
from fastcore.sim.simulator import Simulator
from fastcore.source import Source
from fastcore.strategies.maker import MarketMaker
from fastcore.strategy import Strategy

from . import conditions
from .config import Config, ConfigError, convert, is_own
from .config import MarketMaker as MakerSettings
from .controls import Controls
from .feeds.feed import Feed, UnknownSymbolInFile
from .outcome import account, latencies

if TYPE_CHECKING:
    from .journal import Recording
    from .store.tape import Stored
    from .strategy import Strategy as Own

WARN_SHARE = 0.001  # of events, above which a summary warns
IDS = 1 << 20  # instruments that a run may meet: memory is taken for those that it does


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a run did.

    Attributes
    ----------
    data : str
        "recorded" or "synthetic".
    symbol, strategy : str
    messages : int
        Well-formed messages, the skipped ones included: the sum of `messages_by_type`.
    skipped, malformed : int
        Messages of symbols or types that nobody needs; messages that break the format.
    events : int
        What they became: a message may be several events, or none.
    book_errors : int
        Events that a book refused; `book_errors_by_rule` says why.
    gaps : int
        Sequence gaps.
    stale_s : float
        Exchange time for which the book of the symbol was stale: behind a gap, before the next image.
    waiting, dropped : int
        Changes of books that wait for an image at the end, and those that no longer did.
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
    ticks_stored, ticks_refused : int
        Executions that went into the store, and those that are no tick (``fastcore.strategies.tape.Tape.refused``).
    seconds, events_per_s, loop_ns_per_event : float
        Wall time of reading and running; time inside the compiled loop per event.
    latency_ns : dict
        p50, p99, p999 and max by stage, for the stages that were sampled.
    peak_rss_bytes : int
    stopped, interrupted : bool
        By the loss limit; by Ctrl-C.
    refusals : dict
        Orders that the limits refused, by reason.
    killed : str or None
        Why the limits let no order pass at the end.
    tick_size, lot_size, unit_value : float
        What the integers of `curve` and `reports` mean; the last is what a tick times a lot is worth.
    engine : Engine
        With its parts, as the run left them.
    """

    data: str
    symbol: str
    strategy: str
    messages: int
    messages_by_type: dict[str, int]
    skipped: int
    malformed: int
    events: int
    book_errors: int
    book_errors_by_rule: dict[str, int]
    gaps: int
    stale_s: float
    waiting: int
    dropped: int
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
    ticks_refused: int
    seconds: float
    events_per_s: float
    loop_ns_per_event: float
    latency_ns: dict[str, dict[str, int]]
    peak_rss_bytes: int
    stopped: bool
    interrupted: bool
    refusals: dict[str, int]
    killed: str | None
    tick_size: float
    lot_size: float
    unit_value: float
    engine: Engine = field(repr=False)

    @property
    def curve(self) -> npt.NDArray[np.void]:
        """What ``Engine.curve`` returns."""
        return self.engine.curve()

    @property
    def reports(self) -> npt.NDArray[np.void]:
        """Own orders and what came of them: what ``Engine.reports`` returns."""
        return self.engine.reports()

    @property
    def warnings(self) -> list[str]:
        """What puts the figures in doubt: more than one in a thousand events refused or without a book, or a book that was stale."""
        found = []
        few = WARN_SHARE * max(self.events, self.messages)
        if self.book_errors > few:
            rules = ", ".join(f"{rule} {count:,}" for rule, count in self.book_errors_by_rule.items())
            found.append(f"books refused {self.book_errors:,} of {self.events:,} events ({rules})")
        if self.waiting + self.dropped > few:
            found.append(f"{self.waiting + self.dropped:,} changes of books reached none: they need an image of the book before them")
        if self.malformed > few:
            found.append(f"{self.malformed:,} of {self.malformed + self.messages:,} messages were malformed")
        if self.gaps:
            found.append(f"messages are missing in {self.gaps:,} places: the book was stale for {self.stale_s:,.1f} s")
        return found

    def to_json(self) -> dict[str, Any]:
        """Return the figures, ready for ``json.dumps``."""
        return {name: value for name, value in vars(self).items() if name != "engine"} | {"warnings": self.warnings}


class Maker:
    """The market maker as the section ``[market_maker]`` describes it; controls change that while a run goes on.

    Attributes
    ----------
    settings : config.MarketMaker
        As they are now.
    strategy : fastcore.strategies.maker.MarketMaker
    """

    def __init__(self, settings: MakerSettings, instrument: Instrument, symbol_id: int) -> None:
        self.settings, self.instrument = settings, instrument
        volatility = None
        if settings.volatility_half_life_s > 0:
            volatility = EwmaVolatility(
                half_life=settings.volatility_half_life_s / settings.volatility_interval_s,
                interval_ns=round(settings.volatility_interval_s * 1e9),
                variance=settings.volatility_usd_per_sqrt_s**2 * settings.volatility_interval_s,
            )
        rate = 1.0 / instrument.tick_size
        self.strategy = MarketMaker(symbol_id, self._quoter(settings), volatility, ticks_per_price=rate, **self._sizes(settings))

    def checked(self, parameters: Mapping[str, Any]) -> MakerSettings:
        """Return the settings with other values; ConfigError where they do not fit, ValueError where they cannot change any more."""
        for name in parameters:
            if name.startswith("volatility_") and self.settings.volatility_half_life_s > 0:
                raise ValueError(f"the estimate of the volatility cannot be another while a run goes on: {name}")
        settings = convert(msgspec.to_builtins(self.settings) | dict(parameters), MakerSettings)
        self._quoter(settings)
        return settings

    def take(self, settings: MakerSettings) -> None:
        """Quote by them from now on."""
        self.strategy.change(self._quoter(settings), **self._sizes(settings))
        self.settings = settings

    def _lots(self, units: float) -> int:
        return round(units / self.instrument.lot_size)

    def _sizes(self, settings: MakerSettings) -> dict[str, Any]:
        move = None if settings.mid_move_usd is None else settings.mid_move_usd / self.instrument.tick_size
        return {"order_lots": self._lots(settings.order_shares), "time_left": settings.horizon_s, "mid_move_ticks": move}

    def _quoter(self, settings: MakerSettings) -> Quoter:
        return Quoter(
            "avellaneda_stoikov",
            gamma=settings.risk_aversion_per_usd,
            k=settings.fill_decay_per_usd,
            sigma=settings.volatility_usd_per_sqrt_s,
            inventory_unit=self._lots(settings.order_shares),
            inventory_limit=self._lots(settings.inventory_limit_shares),
            tick_size=self.instrument.tick_size,
            increment_ticks=self.instrument.increment_ticks,
            low_increment_ticks=self.instrument.low_increment_ticks,
            low_below_ticks=self.instrument.low_below_ticks,
            min_spread_ticks=max(1, math.ceil(settings.min_spread_usd / self.instrument.tick_size - 1e-6)),
        )


def build(
    config: Config,
    source: Source,
    book: Literal["orders", "levels", "quotes", "none"],
    instrument: Instrument,
    symbol_id: int,
    tape: Stored | None = None,
    recording: Recording | None = None,
    controls: Controls | None = None,
) -> Engine:
    """Return the engine that a configuration describes, ready to run.

    Parameters
    ----------
    config : Config
        Its shares are units of the instrument (shares, contracts, coins), its USD the quote currency.
    source : Source
        Of recorded events.
    book : {"orders", "levels", "quotes", "none"}
        What the events build.
    instrument : Instrument
        What is traded, and what its ticks and lots are.
    symbol_id : int
        Its row.
    tape : Stored, optional
        The store that receives the executions, opened for writing, and the id that the instrument has there.
    recording : Recording, optional
        Writes down what passes between the run and its venue.
    controls : Controls, optional
        What is changed while it goes on.

    Raises
    ------
    ConfigError
        If the parts refuse the values.
    """
    run, limits, fees = config.run, config.limits, config.fees
    try:
        market = Market("quotes" if book == "none" else book, symbols=IDS)
        desk = Desk(
            limits.build({symbol_id: instrument}, config.conversion),
            max_loss=None if limits.max_loss_usd is None else round(limits.max_loss_usd / float(instrument.unit_value)),
            symbols=IDS,
            min_rest_ns=conditions.duration_ns(config.quotes.min_rest),
            requote_ticks=config.quotes.requote_ticks,
        )
        said = config.instruments.get(instrument.symbol)
        desk.open(symbol_id, instrument, fees=(fees if said is None or said.fees is None else said.fees).schedule())
        strategies: dict[str, Strategy] = {}
        tuned: dict[str, Own | Maker] = {}
        if run.strategy == "avellaneda":
            maker = Maker(config.market_maker, instrument, symbol_id)
            strategies["avellaneda"], tuned["avellaneda"] = maker.strategy, maker
        elif is_own(run.strategy):
            from .loading import load_strategy

            own = load_strategy(run.strategy, run.parameters)
            if len(own._symbols) > 1:
                names = ", ".join(own._symbols.values())
                others = "hft backtest and hft.backtest run several"
                raise ConfigError(f"{run.strategy} needs several markets ({names}): here there is one, {others}")
            tuned[type(own).__name__] = own
            strategies[type(own).__name__] = own._begin({symbol_id: instrument})
        if not strategies and (recording is not None or (controls is not None and controls.planned)):
            raise ConfigError("a journal, and controls, need a strategy: strategy=none")
        if tape is not None:
            from fastcore.strategies.tape import Tape

            rates = {"ticks_per_price": 1.0 / instrument.tick_size, "lots_per_unit": 1.0 / instrument.lot_size}
            strategies["tape"] = Tape(symbol_id, tape.store, stored_id=tape.symbol_id, **rates)
        if strategies:
            feed_ns, offset_ns = conditions.feed(config.latency.feed)
            source = Simulator(
                source,
                market,
                feed_ns=feed_ns,
                local_offset_ns=offset_ns,
                order=conditions.latency(config.latency.order),
                response=conditions.latency(config.latency.response),
                queue=conditions.queue(config.venue.queue),
            )
            source.open(symbol_id, signed_prices=instrument.signed_prices)
        if recording is not None:
            recording.stamp([instrument], connection="venue", strategy=0)
        engine = Engine(
            source,
            market,
            desk,
            strategies,
            curve_symbol_id=symbol_id,
            curve_interval_ns=round(run.curve_interval_s * 1e9),
            sample_every=run.sample_every,
            journal=None if recording is None else recording.journal,
            on_control=None if controls is None or not strategies else controls.apply,
        )
        if controls is not None and strategies:
            controls.begin(engine, {symbol_id: instrument}, tuned)
        return engine
    except ValueError as error:
        raise ConfigError(str(error)) from None


Partial = Callable[["Summary"], None]


def replay(
    feed: Feed,
    config: Config,
    *,
    data: str = "recorded",
    partial: Partial = lambda summary: None,
    recording: Recording | None = None,
    controls: Controls | None = None,
) -> Summary:
    """Run a feed through the engine: what ``hft.feeds.open_feed`` gives for any format.

    Parameters
    ----------
    feed : Feed
        Its book decides how own orders are filled: in their place in the queue (by order), or by the quantity that was
        displayed ahead of them (by level and best prices).
    config : Config
    data : {"recorded", "synthetic"}
        Repeated in the summary.
    partial : callable(Summary)
        Told what was done so far before an error is raised.
    recording : Recording, optional
        Writes down what passes between the run and its venue.
    controls : Controls, optional
        What is changed while it goes on; by default a kill switch alone can.

    Returns
    -------
    Summary
        Also after the loss limit (`stopped`) and after Ctrl-C (`interrupted`).

    Raises
    ------
    CorruptDataError
        If the data are malformed or end inside a message.
    UnknownSymbolInFile
        If the symbol is not in the file, or must be chosen.
    ConfigError
        If the parts refuse the values of the configuration.
    """
    start = time.perf_counter()
    controls = controls or Controls()
    if recording is not None:
        controls.write = recording.control
    symbol_id, instrument, source = feed.begin(config.run.symbol)
    if config.run.multiplier is not None:
        instrument = instrument._replace(multiplier=config.run.multiplier)
    if instrument.symbol in config.instruments:
        instrument = config.instruments[instrument.symbol].of(instrument)
    tape_of_run = nullcontext() if config.run.store is None else _open_tape(config.run.store, instrument, feed)
    with tape_of_run as tape:
        engine = build(config, source, feed.book, instrument, symbol_id, tape, recording, controls)
        stored = 0 if tape is None else -len(tape.store)
        interrupted = False
        failure: Exception | None = None
        try:
            engine.run()
            if is_own(config.run.strategy):
                engine.stop()
        except KeyboardInterrupt:
            interrupted = True
        except Exception as error:
            failure = error
            if is_own(config.run.strategy):
                failure = _of_strategy(error, engine)
        stored += 0 if tape is None else len(tape.store)
    seconds = time.perf_counter() - start
    summary = summarise(engine, config, feed, instrument, symbol_id, data, seconds, interrupted, stored)
    if failure is not None:
        partial(summary)
        raise failure
    if not interrupted and not feed.lists(instrument.symbol):
        others = [name for name in feed.instruments.symbols if name != instrument.symbol]
        hint = conditions.suggestion(instrument.symbol, others)
        raise UnknownSymbolInFile(f"the file lists no such symbol: symbol={instrument.symbol}{hint}")
    return summary


def _of_strategy(error: Exception, engine: Engine) -> Exception | None:
    """What an error in a run of a strategy in Python is told as; None where the strategy ended the run itself."""
    from .strategy import StopRun, failure

    if isinstance(error, StopRun):
        return None
    return failure(error, engine.events, engine.last_ns) or error


def _open_tape(path: str, instrument: Instrument, feed: Feed) -> AbstractContextManager[Stored]:
    from .store.tape import open_tape  # few runs have one

    return open_tape(path, instrument, feed)


def summarise(
    engine: Engine,
    config: Config,
    feed: Feed,
    instrument: Instrument,
    symbol_id: int,
    data: str,
    seconds: float,
    interrupted: bool,
    stored: int,
) -> Summary:
    """Collect the summary of an engine."""
    by_type, skipped, malformed = feed.counts()
    market, desk = engine.market, engine.desk
    own, value = account(engine, symbol_id), instrument.unit_value

    def units(lots: int) -> int | float:
        return lots if instrument.lot_size == 1.0 else lots * instrument.lot_size

    return Summary(
        data=data,
        symbol=instrument.symbol,
        strategy=config.run.strategy,
        messages=sum(by_type.values()),
        messages_by_type=by_type,
        skipped=skipped,
        malformed=malformed,
        events=engine.events,
        book_errors=market.book_errors,
        book_errors_by_rule={rule: n for rule, n in market.books.counts.items() if rule != "ok"} if market.book_errors else {},
        gaps=feed.gaps,
        stale_s=feed.stale_ns / 1e9,
        waiting=feed.waiting,
        dropped=feed.dropped,
        symbols=len(market.books),
        orders=desk.orders_sent,
        rejected=desk.risk_rejects,
        fills=desk.fills,
        volume=units(own["volume_lots"]),
        market_volume=units(own["market_lots"]),
        position=units(own["position_lots"]),
        pnl=None if own["profit"] is None else float(Fraction(own["profit"]) * value),
        fees=float(Fraction(own["fees"]) * value),
        ticks_stored=stored,
        ticks_refused=getattr(engine.strategies.get("tape"), "refused", 0),
        seconds=seconds,
        events_per_s=engine.events / seconds if seconds > 0 else 0.0,
        loop_ns_per_event=engine.loop_ns / engine.events if engine.events else 0.0,
        latency_ns=latencies(engine),
        peak_rss_bytes=peak_rss_bytes(),
        stopped=engine.stopped,
        interrupted=interrupted,
        refusals=desk.limits.rejected,
        killed=desk.limits.killed,
        tick_size=instrument.tick_size,
        lot_size=instrument.lot_size,
        unit_value=float(value),
        engine=engine,
    )


def peak_rss_bytes() -> int:
    """Return the largest resident memory that this process has had; 0 where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
