"""The whole loop, wire bytes to profit: what a run costs per message, measured inside the loop.

The day is synthetic; with FASTCORE_TEST_DATA the recorded AMZN day is a row too. Orders and fills are verified against
the plain-Python twin on the first part.
"""

from __future__ import annotations

import gzip
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fastcore import _bench
from fastcore.avellaneda import Quoter
from fastcore.book import OrderBook
from fastcore.desk import Desk
from fastcore.engine import Engine
from fastcore.instruments import Instrument
from fastcore.journal import Journal
from fastcore.market import Market
from fastcore.records import EVENT_DTYPE
from fastcore.risk import RiskLimits
from fastcore.sim.queues import QueueModel
from fastcore.sim.simulator import Simulator
from fastcore.sim.venue import Venue
from fastcore.source import EventSource, Source
from fastcore.strategies.maker import MarketMaker
from fastcore.tickstore import TickStore
from hft.config import SYNTHETIC, Config, load
from hft.feeds.itch import ItchFeed
from hft.feeds.synthetic import generate
from hft.run import build

from .bench_risk import EVERYTHING
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


def measure(bench: Bench, name: str, data: bytes, symbol: str, config: Config, *, twin: bool = True) -> None:
    head = first_messages(data, 2_000 if bench.quick else 10_000)
    if twin:  # it knows no latency
        plain, ours = twin_of(config, symbol), ours_of(config, symbol, head)
        start = time.perf_counter_ns()
        plain.feed(head)
        elapsed = time.perf_counter_ns() - start
        ours.run()
        assert orders(ours) == orders(plain), "the twin gives other orders"
    times = []
    for _ in range(3 if bench.quick else 15):
        engine = ours_of(config, symbol, data)
        engine.run()
        times.append(engine.loop_ns / engine.events)
    bench.add("engine", name, "fastcore", min(times), statistics.median(times), engine.events)
    if twin:
        bench.add("engine", name, "python", elapsed / plain.messages, elapsed / plain.messages, plain.messages)


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


MS = 1_000_000
# Every check on, none of which the maker ever breaks.
CHECKS: dict[str, Any] = {
    **dict(EVERYTHING), "repeat_ns": None, "require_trading": False, "group": None, "groups": {}, "last_collar_ticks": None, "lot_multiple": 1,
    "short_sale": None,
}  # fmt: skip
UNIT = Instrument("L2", 1.0, 1.0, currency="USD")


def honest(
    events: Any, *, checks: bool = True, journal: Journal | None = None, source: Any = None, stream_: int | None = None, **latencies: Any
) -> Engine:
    """The maker on level events under latencies, with power(3) queues, histograms of sampled messages and limits."""
    limits = RiskLimits(10, 200, 10_000, **CHECKS) if checks else RiskLimits("off", "off", "off")
    market, desk = Market("levels", symbols=8), Desk(limits, symbols=8)
    desk.open(0, UNIT)
    if source is None:
        source = Simulator(EventSource(events if stream_ is None else stream(stream_)), market, queue=QueueModel("power", 3.0), **latencies)
        source.open(0)
    quoter = Quoter("avellaneda_stoikov", gamma=0.05, k=1.5, sigma=0.2, tick_size=1.0, inventory_limit=100)
    maker = MarketMaker(0, quoter, order_lots=1, time_left=100.0, ticks_per_price=1.0, mid_move_ticks=1.0)
    return Engine(source, market, desk, {"maker": maker}, journal=journal)


def under_conditions(bench: Bench, events: Any) -> None:
    """Latencies, a queue model, limits, histograms and a journal, beside a C program under the same (`fc_bench_honest.h`)."""
    with tempfile.TemporaryDirectory() as place:
        names = (f"{place}/{number}" for number in itertools.count())

        def ours(journal: bool = False, inbound: bool = False, **options: Any) -> int:
            if not journal:
                engine = honest(events, **options)
                engine.run()
                return engine.desk.orders_sent
            with TickStore(next(names), "a", EVENT_DTYPE, grow_records=1 << 20) as store:
                engine = honest(events, journal=Journal(store, inbound=inbound), **options)
                start = time.perf_counter_ns()
                engine.run()
                elapsed.append(time.perf_counter_ns() - start)
                return engine.desk.orders_sent

        elapsed: list[int] = []
        late = {"order": MS, "response": MS}
        for name, order_ns, report_ns, options in (
            ("1 ms both ways, power(3), limits", MS, MS, late),
            ("the same, feed 1 ms (shifted clock)", 2 * MS, 0, late | {"feed_ns": MS}),
            ("the same, feed 3 ms (late best prices)", 2 * MS, 0, late | {"feed_ns": 3 * MS}),
        ):
            rows = {
                "fastcore": partial(ours, **options),
                "no limits": partial(ours, checks=False, **options),
                "in C": partial(_bench.l2_honest, events, order_ns, report_ns),
            }
            bench.compare("engine", name, len(events), rows, lambda impl, result: _some_orders(result))
        # A store takes time to make: what the loop itself takes longer with a journal.
        for name, inbound in (("journal of own events", False), ("journal of everything", True)):
            plain, written = [], []
            for _ in range(3 if bench.quick else 15):
                engine = honest(events, **late)
                start = time.perf_counter_ns()
                engine.run()
                plain.append(time.perf_counter_ns() - start)
                ours(True, inbound, **late)
                written.append(elapsed.pop())
            bench.add("engine", name, "fastcore", min(written) / len(events), statistics.median(written) / len(events), len(events))
            bench.add("engine", name, "no journal", min(plain) / len(events), statistics.median(plain) / len(events), len(events))


def _some_orders(result: Any) -> None:
    assert (result["orders"] if isinstance(result, dict) else result) > 0


def tick_to_order(bench: Bench, events: Any) -> None:
    """From an event in memory to the first order that it causes, on a venue that takes everything: one event at a time, all checks."""
    echo = _bench.Echo(events)
    engine = honest(events, source=echo)
    engine.run()
    spent = np.sort(echo.spent_ns)
    assert len(spent) > 100
    assert engine.desk.risk_rejects == 0
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        ns = float(spent[int(share * (len(spent) - 1))])
        bench.add("engine", f"tick to order, {name}", "fastcore", ns, ns, len(spent))


def with_open_orders(bench: Bench) -> None:
    """An order that enters a venue and leaves it, with so many others at rest around it."""
    n = 2_000 if bench.quick else 200_000
    for resting in (1, 100, 10_000) if bench.quick else (1, 100, 10_000, 100_000):
        book = OrderBook()
        book.add(1, 1, BID, 10**12)
        book.add(2, -1, BID + 10, 10**12)
        venue = Venue(resting + 8)
        for i in range(resting):
            venue.submit(book, 1, BID - 1 - i // 10, 1)
            venue.take_reports()

        def loop(venue: Any = venue, book: Any = book) -> int:
            return _bench.venue_order_loop(venue, book, BID, n)

        def check(impl: str, result: Any, resting: int = resting) -> None:
            assert result == resting

        bench.compare("engine", f"order in and out, {resting:,} open", n, {"fastcore": loop}, check)


BID = 1_000_000
# Resident memory of a run over so many streamed events, beside that of an interpreter that has imported NumPy.
STREAM = """
import sys, resource
import numpy as np
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()
before = resident()
sys.path[:0] = {path!r}
from bench.bench_engine import honest, stream
from fastcore.source import EventSource
engine = honest(None, stream_={events}, order=1_000_000, response=1_000_000)
engine.run()
print(resident() - before, engine.events, engine.desk.orders_sent)
"""


def stream(total: int) -> Iterator[Any]:
    """Level events, made in pieces of 4 MiB and given so often, later each time."""
    piece = _bench.l2_events(1 << 16)
    length = int(piece["exch_ns"][-1] - piece["exch_ns"][0]) + MS
    given = 0
    while given < total:
        yield piece
        given += len(piece)
        piece["exch_ns"] += length


def memory(bench: Bench) -> None:
    for events in (10**5, 10**6) if bench.quick else (10**6, 10**7, 10**8):
        code = STREAM.format(path=sys.path, events=events)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        resident, ran, orders = map(int, done.stdout.split())
        assert ran >= events
        assert orders > 0
        bench.fact("engine", f"memory of {events:.0e} streamed events", "fastcore", resident / 2**20, "MiB above NumPy")


def run(bench: Bench) -> None:
    levels = _bench.l2_events(20_000 if bench.quick else 1_000_000)
    beside_floor(bench, "level events, books only", "b", False, levels)
    beside_floor(bench, "level events, market maker", "c", True, levels)
    under_conditions(bench, levels)
    tick_to_order(bench, levels)
    with_open_orders(bench)
    memory(bench)
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
        late = load(environment={}, given={"latency": {"order": "1ms", "response": "1ms"}})
        measure(bench, "AMZN day, 1 ms both ways", recorded, "AMZN", late, twin=False)
        measure(bench, "AMZN day, books only", recorded, "AMZN", load(environment={}, strategy="none"))


if __name__ == "__main__":
    main(run)
