"""The whole loop, wire bytes to profit: what a run costs per message, measured inside the loop.

The day is synthetic; with FASTCORE_TEST_DATA the recorded AMZN day is a row too. Orders and fills are verified against
the plain-Python twin on the first part.
"""

from __future__ import annotations

import gzip
import os
import statistics
import time
from functools import partial
from pathlib import Path
from typing import Any

from fastcore import _bench
from fastcore.avellaneda import Quoter
from fastcore.desk import Desk
from fastcore.engine import Engine
from fastcore.market import Market
from fastcore.risk import RiskLimits
from fastcore.sim.simulator import Simulator
from fastcore.source import EventSource, Source
from fastcore.strategies.maker import MarketMaker
from hft.config import SYNTHETIC, Config, load
from hft.feeds.itch import ItchFeed
from hft.feeds.synthetic import generate
from hft.run import build

from .harness import Bench, main


def first_messages(data: bytes, count: int) -> bytes:
    at = 0
    for _ in range(count):
        if at == len(data):
            break
        at += 2 + int.from_bytes(data[at : at + 2], "big")
    return data[:at]


def ours_of(config: Config, symbol: str, data: bytes) -> Engine:
    """The engine of a configuration, at the beginning of a day."""
    feed = ItchFeed("day", chunks=[data], strict=True)
    symbol_id, instrument, source = feed.begin(symbol)
    return build(config, source, feed.book, instrument, symbol_id)


def twin_of(config: Config, symbol: str) -> Any:
    """The same in plain Python."""
    from fastcore.reference import avellaneda, engine, flow

    ours, maker = ours_of(config, symbol, b""), config.market_maker
    quoter = volatility = None
    if ours.strategies:
        compiled: Any = ours.strategies["avellaneda"]
        quoter = avellaneda.Quoter(compiled.quoter.model, **compiled.quoter.parameters)
        volatility = flow.EwmaVolatility(
            half_life=maker.volatility_half_life_s / maker.volatility_interval_s,
            interval_ns=round(maker.volatility_interval_s * 1e9),
            variance=maker.volatility_usd_per_sqrt_s**2 * maker.volatility_interval_s,
        )
    return engine.Engine(
        symbol, quoter=quoter, volatility=volatility, limits=ours.desk.limits, order_lots=maker.order_shares, time_left=maker.horizon_s
    )


def orders(engine: Any) -> bytes:
    """What was reported, less the time of the receiver, which the twin has not, and the symbol, which has a locate there."""
    reports = engine.reports()
    reports["local_ns"] = reports["symbol_id"] = 0
    return bytes(reports.tobytes())


def measure(bench: Bench, name: str, data: bytes, symbol: str, config: Config) -> None:
    head = first_messages(data, 2_000 if bench.quick else 10_000)
    twin, ours = twin_of(config, symbol), ours_of(config, symbol, head)
    start = time.perf_counter_ns()
    twin.feed(head)
    elapsed = time.perf_counter_ns() - start
    ours.run()
    assert orders(ours) == orders(twin), "the twin gives other orders"
    times = []
    for _ in range(3 if bench.quick else 15):
        engine = ours_of(config, symbol, data)
        engine.run()
        times.append(engine.loop_ns / engine.events)
    bench.add("engine", name, "fastcore", min(times), statistics.median(times), engine.events)
    bench.add("engine", name, "python", elapsed / twin.messages, elapsed / twin.messages, twin.messages)


def by_level(events: Any, trades: bool) -> Engine:
    """A run of level events, without a strategy or with the market maker."""
    market, desk, strategies = Market("levels", symbols=8), Desk(RiskLimits(10, 200, 10_000), symbols=8), {}
    source: Source = EventSource(events)
    if trades:
        simulator = Simulator(source, market)
        simulator.open(0)
        desk.open(0)
        quoter = Quoter("avellaneda_stoikov", gamma=0.05, k=1.5, sigma=0.2, tick_size=1.0, inventory_limit=100)
        strategies["maker"] = MarketMaker(0, quoter, order_lots=1, time_left=100.0, ticks_per_price=1.0)
        source = simulator
    return Engine(source, market, desk, strategies)


def beside_floor(bench: Bench, name: str, row: str, trades: bool, events: Any) -> None:
    """The engine beside a C program with the same book, and the same maker, that checks nothing (`fc_bench_l2.h`)."""
    floor = _bench.l2_floor(row, events)

    def ours() -> int:
        engine = by_level(events, trades)
        engine.run()
        return len(engine.market.books) and engine.market.book_errors

    def check(impl: str, result: Any) -> None:
        assert result == 0 if impl == "fastcore" else result == floor

    bench.compare("engine", name, len(events), {"fastcore": ours, "floor in C": partial(_bench.l2_floor, row, events)}, check)


def run(bench: Bench) -> None:
    levels = _bench.l2_events(20_000 if bench.quick else 1_000_000)
    beside_floor(bench, "level events, books only", "b", False, levels)
    beside_floor(bench, "level events, market maker", "c", True, levels)
    data = generate(20_000 if bench.quick else 400_000, 1)
    maker = load(environment={}, defaults=SYNTHETIC)
    books = load(environment={}, defaults=SYNTHETIC, strategy="none")
    measure(bench, "synthetic day, books only", data, "SYNTH", books)
    measure(bench, "synthetic day, market maker", data, "SYNTH", maker)
    measure(
        bench, "synthetic day, every message timed", data, "SYNTH", load(environment={}, defaults=SYNTHETIC, sample_every=1)
    )
    directory = os.environ.get("FASTCORE_TEST_DATA")
    if directory:
        with gzip.open(Path(directory) / "itch" / "AMZN_2012-06-21_L5.itch.gz") as file:
            recorded = file.read()
        measure(bench, "AMZN day, market maker", recorded, "AMZN", load(environment={}))
        measure(bench, "AMZN day, books only", recorded, "AMZN", load(environment={}, strategy="none"))


if __name__ == "__main__":
    main(run)
