"""A strategy on recorded data, under latencies and queue models of one's choice; the result as tables."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

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
from .feeds.feed import Feed, UnknownSymbolInFile
from .feeds.several import open_feeds
from .outcome import HORIZONS_NS, WIDE
from .result import Result
from .run import IDS
from .strategy import StopRun, Strategy, failure

__all__ = ["backtest"]

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
    limits: RiskLimits | None = None,
    seed: int = 0,
    curve_interval: str = "1s",
    begun: Callable[[Result], None] | None = None,
    **options: Any,
) -> Result:
    """Run a strategy, or several by name, on recorded data.

    Parameters
    ----------
    strategy : Strategy or mapping of str to Strategy
        Several share one account, and are called in the order of their names.
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
    limits : RiskLimits, optional
        Pre-trade limits in lots and ticks; none by default.
    seed : int, default 0
        Of ``Strategy.random`` and of random latencies.
    curve_interval : str, default "1s"
        Distance of the points of the equity curve.
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
    feed = data if isinstance(data, Feed) else open_feeds(_paths(data), **options).to_trade()
    with feed:
        markets, source = begin(feed, list(names))
        market = Market("quotes" if feed.book == "none" else feed.book, symbols=IDS)
        desk = Desk(limits or RiskLimits(WIDE, WIDE, WIDE), symbols=IDS)
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
        fees = Fees(maker_fee, taker_fee).checked()
        for row, instrument in markets.items():
            desk.open(row, instrument, fees=fees)
            simulator.open(row)
        compiled: dict[str, Compiled] = {name: s._begin(markets, seed) for name, s in strategies.items()}
        engine = Engine(
            simulator,
            market,
            desk,
            compiled,
            curve_symbol_id=list(markets),
            curve_interval_ns=conditions.duration_ns(curve_interval),
            sample_every=0,
        )
        assumed = {"data": feed.path.name, "latency": latency, "queue": queue, "maker_fee": maker_fee, "taker_fee": taker_fee}
        result = Result(engine, markets, strategies, assumed | {"seed": seed, "curve_interval": curve_interval})
        if begun is not None:
            begun(result)
        run(engine, result)
        for instrument in () if result.stopped else markets.values():
            if not feed.lists(instrument.symbol):
                raise UnknownSymbolInFile(f"the data have no such symbol: symbol={instrument.symbol}")
    return result


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
            known = feed.instruments.symbols
            raise UnknownSymbolInFile(f"the data have no such symbol: symbol={missing[0]}{conditions.suggestion(missing[0], known)}")
        held.append(events)
    rows = [found for name in symbols if (found := feed.instruments.id_of(name)) is not None]
    return {found: feed.instruments[found] for found in rows}, EventSource(chain(held, feed))


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
