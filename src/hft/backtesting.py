"""A strategy on recorded data, under latencies and queue models of one's choice; the result as tables."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
from msgspec.structs import replace

from fastcore.desk import Desk
from fastcore.engine import Engine
from fastcore.instruments import Instrument
from fastcore.market import Market
from fastcore.money import Fees
from fastcore.risk import RiskLimits
from fastcore.sim.markouts import Markouts
from fastcore.sim.simulator import Simulator
from fastcore.source import EventSource, Source
from fastcore.strategy import Strategy as Compiled

from . import conditions
from .config import Conversion, Limits, Traded
from .controls import Controls
from .feeds.feed import Feed, UnknownSymbolInFile
from .feeds.several import open_feeds
from .journal import Recording
from .outcome import HORIZONS_NS, WIDE
from .result import Result
from .run import IDS
from .strategy import StopRun, Strategy, failure

__all__ = ["backtest", "backtest_each"]

Path_ = str | os.PathLike[str]


def backtest(
    strategy: Strategy | Mapping[str, Strategy],
    data: Path_ | Sequence[Path_] | Feed,
    *,
    symbols: Collection[str] = (),
    latency: str = "0",
    queue: str = "risk-averse",
    maker_fee: str | float = 0,
    taker_fee: str | float = 0,
    fees: Fees | None = None,
    instruments: Mapping[str, Traded | Mapping[str, Any]] = MappingProxyType({}),
    currency: str | None = None,
    rates: Mapping[str, float | str] = MappingProxyType({}),
    limits: RiskLimits | Limits | None = None,
    min_rest: str = "0",
    requote_ticks: int = 1,
    seed: int = 0,
    curve_interval: str = "1s",
    sample_every: int = 0,
    recording: Recording | None = None,
    controls: Controls | None = None,
    begun: Callable[[Result], None] | None = None,
    **options: Any,
) -> Result:
    """Run a strategy, or several by name, on recorded data.

    Parameters
    ----------
    strategy : Strategy or mapping of str to Strategy
        Several share one account, and are called in the order of their names; ``result.by_strategy`` says what each has made of it.
    data : path, sequence of paths, or Feed
        Whatever ``hft.feeds`` reads: files are days or pieces of one capture, or different streams that are merged by time.
    symbols : collection of str, optional
        Markets; by default those that strategies name, or the only one of the data.
    latency : str, default "0"
        ``1ms`` for orders and responses, or ``order=200us,response=normal(300us,50us),feed=recorded``.
    queue : str, default "risk-averse"
        Place in queues where the data show levels only: ``risk-averse``, ``power:N``, ``log:1``, ``log:2``.
    maker_fee, taker_fee : str or float, default 0
        Of fills of orders that waited, and of orders that took: ``"0.02%"`` of the value, or an amount a unit (``0.00295``).
    fees : Fees, optional
        The same with fees per order and tiers, in their place.
    instruments : mapping of str to Traded or dict, optional
        What the data do not say, by symbol: ``{"ESM4": {"multiplier": 50, "currency": "USD", "fees": {"taker_fee": 2.25}}}``.
    currency : str, optional
        Of limits, and of the sum over currencies; by default that of the first market.
    rates : mapping of str to float or str, optional
        What one of another currency costs in `currency`: a number, or the symbol of a market whose middle price says so
        (``{"EUR": "EURUSD", "GBP": 1.27}``). Limits that need a rate that is not there refuse.
    limits : RiskLimits or Limits, optional
        Pre-trade limits in lots and ticks, or as the section ``[limits]`` has them; none by default.
    min_rest : str, default "0"
        Orders of wanted quotes and positions are not moved before they have rested for so long; pulls pass.
    requote_ticks : int, default 1
        Nor for a change of the wanted price below so many ticks; 1: for any.
    seed : int, default 0
        Of ``Strategy.random`` and of random latencies.
    curve_interval : str, default "1s"
        Distance of the points of the equity curve.
    sample_every : int, default 0
        Measure how long the stages of the loop take, of one event in so many: the page of the result has them; 0 measures nothing.
    recording : Recording, optional
        Journal (``hft.journal.record``) that writes the run down.
    controls : Controls, optional
        What is changed while it goes on: planned, or asked for by other threads.
    begun : callable(Result), optional
        Told before anything happens: ``result.engine`` has the parts of the run.
    **options
        Of the feed.

    Returns
    -------
    Result

    Raises
    ------
    StrategyError
        If a hook fails; its ``result`` holds what was done so far.
    UnknownSymbolInFile
        If a symbol is not in the data, or must be chosen.
    CorruptDataError
        If the data are malformed.
    """
    strategies = {type(strategy).__name__: strategy} if isinstance(strategy, Strategy) else dict(strategy)
    names = dict.fromkeys([*symbols, *(name for s in strategies.values() for name in s._symbols.values())])
    conversion = Conversion(currency=currency, rates=dict(rates))
    names |= dict.fromkeys(rate for rate in conversion.rates.values() if isinstance(rate, str))
    said = {name: said if isinstance(said, Traded) else msgspec.convert(said, Traded) for name, said in instruments.items()}
    feed = data if isinstance(data, Feed) else open_feeds(_paths(data), **options).to_trade()
    with feed:
        markets, source = begin(feed, list(names))
        markets = {row: said.get(instrument.symbol, Traded()).of(instrument) for row, instrument in markets.items()}
        for name in said:
            if name not in (known := [instrument.symbol for instrument in markets.values()]):
                raise ValueError(f"instruments must be those of the run: symbol={name!r}{conditions.suggestion(name, known)}")
        conversion = replace(conversion, currency=conversion.currency or next(iter(markets.values())).currency)
        market = Market("quotes" if feed.book == "none" else feed.book, symbols=IDS)
        if limits is None:
            limits = RiskLimits(WIDE, WIDE, WIDE, currency=conversion.currency, rates=conversion.rates)
        elif isinstance(limits, Limits):
            limits = limits.build(markets, conversion)
        desk = Desk(
            limits,
            symbols=IDS,
            min_rest_ns=conditions.duration_ns(min_rest),
            requote_ticks=requote_ticks,
        )
        parts = conditions.split(latency)
        feed_ns, offset_ns = conditions.feed(parts.get("feed", "0"))
        simulator = Simulator(
            source,
            market,
            feed_ns=feed_ns,
            local_offset_ns=offset_ns,
            order=conditions.latency(parts.get("order", "0")),
            response=conditions.latency(parts.get("response", "0")),
            queue=conditions.queue(queue),
            name=f"venue {seed}",
            details=True,
            markouts=Markouts(HORIZONS_NS),
        )
        fees = (fees or Fees(maker_fee, taker_fee)).checked()
        charged: dict[str, Fees] = {}
        for row, instrument in markets.items():
            own = said.get(instrument.symbol, Traded()).fees
            charged[instrument.symbol] = fees if own is None else own.schedule()
            desk.open(row, instrument, fees=charged[instrument.symbol])
            simulator.open(row, signed_prices=instrument.signed_prices)
        controls = controls or Controls()
        if recording is not None:
            recording.stamp(markets.values(), connection=f"venue {seed}", strategy=seed)
            controls.write = recording.control
        compiled: dict[str, Compiled] = {name: s._begin(markets, seed) for name, s in strategies.items()}
        engine = Engine(
            simulator,
            market,
            desk,
            compiled,
            curve_symbol_id=list(markets),
            curve_interval_ns=conditions.duration_ns(curve_interval),
            sample_every=sample_every,
            journal=None if recording is None else recording.journal,
            on_control=controls.apply,
        )
        controls.begin(engine, markets, strategies)
        assumed: dict[str, Any] = {"data": feed.path.name, "latency": latency, "queue": queue}
        assumed |= {"maker_fee": str(fees.maker), "taker_fee": str(fees.taker)}
        assumed |= {"seed": seed, "curve_interval": curve_interval, "fees": {symbol: _by_fill(own) for symbol, own in charged.items()}}
        assumed |= msgspec.to_builtins(conversion)
        result = Result(engine, markets, strategies, assumed)
        if begun is not None:
            begun(result)
        run(engine, result)
        for instrument in () if result.stopped else markets.values():
            if not feed.lists(instrument.symbol):
                raise unknown(instrument.symbol, feed)
    return result


def backtest_each(strategies: Mapping[str, Strategy], data: Path_ | Sequence[Path_], **options: Any) -> dict[str, Result]:
    """Run strategies on desks of their own: each has account, limits and connection to itself, and its orders are those that it has alone.

    Parameters
    ----------
    strategies : mapping of str to Strategy
        By name.
    data : path or sequence of paths
        As in `backtest`; read once for each.
    **options
        As in `backtest`; limits as the section ``[limits]`` has them.

    Returns
    -------
    dict of str to Result
        By name.

    Raises
    ------
    ValueError
        If the data cannot be read again, or limits are those of one account.
    """
    if isinstance(data, Feed) or isinstance(options.get("limits"), RiskLimits):
        raise ValueError("desks of their own need data that can be read again, and limits as the section [limits] has them")
    return {name: backtest({name: strategy}, data, **options) for name, strategy in strategies.items()}


def _by_fill(fees: Fees) -> tuple[str, str] | None:
    """Maker and taker fee, where they alone say what a fill costs."""
    return None if fees.per_order or fees.tiers else (str(fees.maker), str(fees.taker))


def _paths(data: Path_ | Sequence[Path_]) -> list[Path]:
    return [Path(data)] if isinstance(data, (str, os.PathLike)) else [Path(path) for path in data]


def begin(feed: Feed, symbols: list[str]) -> tuple[dict[int, Instrument], Source]:
    """Read on until all symbols, or the only one, are known; return instruments by row, and everything from there on."""
    if len(symbols) < 2:
        row, instrument, source = feed.begin(symbols[0] if symbols else None)
        return {row: instrument}, source
    held = []
    while missing := [name for name in symbols if name not in feed.instruments]:
        events = next(feed, None)
        if events is None:
            raise unknown(missing[0], feed)
        held.append(events)
    rows = [found for name in symbols if (found := feed.instruments.id_of(name)) is not None]
    return {found: feed.instruments[found] for found in rows}, EventSource(chain(held, feed))


def unknown(symbol: str, feed: Feed) -> UnknownSymbolInFile:
    """Return the error that the data do not have a symbol, with the one that may have been meant."""
    others = [name for name in feed.instruments.symbols if name != symbol]
    return UnknownSymbolInFile(f"the data have no such symbol: symbol={symbol}{conditions.suggestion(symbol, others)}")


def run(engine: Engine, result: Result) -> None:
    """Run to the end of the data, or until a strategy or Ctrl-C stops it; the result says which."""
    try:
        result.stopped = "by the loss limit" if engine.run() == "stopped" else ""
        engine.stop()
    except StopRun as stop:
        result.stopped = str(stop)
    except KeyboardInterrupt:
        result.stopped = "interrupted"
    except Exception as error:
        told = failure(error, engine.events, engine.last_ns)
        if told is None:
            raise
        told.result, result.stopped = result, str(told)
        raise told from error
