"""Other backtesters on the same events and the same strategy: what a Python hook costs, and what a whole loop does.

Peers are imported where they are used and named when they are missing (``pip install fastmm-engine hftbacktest nautilus_trader``, in an
environment of Python 3.11 or 3.12). One run, all systems in alternating rounds; what a run answers - calls of the hook, last best prices, the
sum of the prices that the maker wanted - is compared with a plain-Python reading of the same events before its time counts.

Hooks: the time of a run with the hook, less that of a run of the same system with a strategy that has none, a call. NautilusTrader is given
best prices (its fastest data), the others every change of a level. Loops: the loop alone, no decoding, no compilation, latency 0; FastMM,
whose maker is a hot hook, takes its columns in within the run. The rule of a maker is one in all systems, and no fill changes what it wants,
so that queue models cannot make a difference. All times are CPU time.
"""

from __future__ import annotations

import gzip
import math
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastcore import _bench
from fastcore.desk import Desk
from fastcore.engine import Engine
from fastcore.instruments import Instrument
from fastcore.market import Market
from fastcore.records import KINDS as KIND
from fastcore.risk import RiskLimits
from fastcore.sim.simulator import Simulator
from fastcore.source import EventSource
from hft import Strategy

from .harness import Bench, main

GROUP = "peers"
TICK = 0.1
HALF, LEAN, SIZE = 1.5e-4, 0.2e-4, 1.0  # of the maker: shares of the price, lots
GAMMA, K, SIGMA, HORIZON_S = 0.05, 1.5, 1e-6, 100.0  # of the compiled makers, in ticks: a volatility that makes the inventory count nothing
SHIFT = GAMMA * SIGMA**2 * HORIZON_S
HALF_TICKS = SHIFT / 2 + math.log1p(GAMMA / K) / GAMMA
WIDE = 1 << 40
IMAGE = 20  # events that make the first book, all of one time
EPOCH_NS = 1_700_000_000_000_000_000
Events = NDArray[np.void]


@dataclass
class Answer:
    """What a run says of itself: nanoseconds of CPU, calls of its hook or events of its loop, last best prices in ticks, wanted prices."""

    ns: float
    calls: int
    best: tuple[int, int] | None = None
    wanted: float | None = None


def truth(events: Events, every_change: bool) -> Answer:
    """Read the events with dictionaries: calls, and the sum of fair prices, at every change of a level or of a best price or size."""
    books: dict[int, dict[int, int]] = {1: {}, -1: {}}
    calls, wanted, last = 0, 0.0, None
    for i, (kind, side, price, size) in enumerate(events[["kind", "side", "price", "size"]].tolist()):
        if kind != KIND["level"]:
            continue
        book = books[side]
        if size:
            book[price] = size
        else:
            book.pop(price, None)
        if i < IMAGE - 1:
            continue
        bids, asks = books[1], books[-1]
        bid, ask = max(bids, default=None), min(asks, default=None)
        top = (bid, bids.get(bid or 0), ask, asks.get(ask or 0))
        if every_change or top != last:
            calls += 1
            if bid is not None and ask is not None and bid < ask:
                b, a = bids[bid], asks[ask]
                wanted += (bid * a + ask * b) / (a + b) * TICK
        last = top
    return Answer(0.0, calls, (last[0], last[2]) if last and last[0] and last[2] else None, wanted)


def alternate(bench: Bench, runs: dict[str, Callable[[], Answer]], expected: dict[str, Answer]) -> dict[str, list[Answer]]:
    """Run every system in turn, and compare each first answer with what is expected."""
    told: dict[str, list[Answer]] = {name: [] for name in runs}
    for i in range(3 if bench.quick else 21):
        for name, run in runs.items():
            answer = run()
            told[name].append(answer)
            if i:
                continue
            right = expected[name]
            if answer.calls != right.calls or (answer.best is not None and answer.best != right.best):
                raise AssertionError(f"{name}: calls={answer.calls} best={answer.best}, expected {right.calls} and {right.best}")
            if answer.wanted is not None and right.wanted is not None and not math.isclose(answer.wanted, right.wanted, rel_tol=1e-9):
                raise AssertionError(f"{name}: the maker must want {right.wanted}: it wanted {answer.wanted}")
    return told


# ---- ours


class Empty(Strategy):
    calls = 0

    def on_book(self, m: Any) -> None:
        pass


class Counting(Strategy):
    """Not timed: says how often the hooks of the others are called."""

    calls = 0

    def on_book(self, m: Any) -> None:
        self.calls += 1


class Reading(Strategy):
    def on_book(self, m: Any) -> None:
        self.last = m.bid, m.ask, m.bid_size, m.ask_size, m.position


class Maker(Strategy):
    def on_start(self) -> None:
        self.wanted = 0.0

    def on_book(self, m: Any) -> None:
        if not m.two_sided:
            return m.pull("one-sided book")
        price = m.mid
        fair = m.microprice - LEAN * price * m.position / SIZE
        self.wanted += fair
        m.quote(bid=fair - HALF * price, ask=fair + HALF * price, size=SIZE)


class NoHook(Strategy):
    def on_stop(self) -> None:
        pass


def ours(kind: type[Strategy] | None, events: Events, book: str = "levels", maker: Any = None, symbol_id: int = 0) -> Answer:
    """A run of our engine, with a strategy in Python, a compiled one, or none."""
    market, desk = Market(book, symbols=symbol_id + 1), Desk(RiskLimits(WIDE, WIDE, WIDE), symbols=symbol_id + 1)
    instrument = Instrument("X", tick_size=TICK, lot_size=1.0)
    own = None if kind is None else kind()
    strategies: dict[str, Any] = {} if own is None else {"own": own._begin({symbol_id: instrument})}
    if maker is not None:
        strategies["maker"] = maker()
    source: Any = EventSource(events)
    if strategies:
        source = Simulator(source, market)
        source.open(symbol_id)
        desk.open(symbol_id, instrument)
    engine = Engine(source, market, desk, strategies, sample_every=0)
    start = time.process_time_ns()
    engine.run()
    engine.stop()
    elapsed = time.process_time_ns() - start
    last = market.books.book(symbol_id)
    return Answer(elapsed, getattr(own, "calls", 0), (last.best_bid, last.best_ask), getattr(own, "wanted", None))


# ---- FastMM


def fastmm_run(fastmm: Any, events: Events) -> Callable[[Any], tuple[int, Any, Any]]:
    """Return what runs a strategy of FastMM on the events: nanoseconds of CPU, the strategy, the result."""
    level = events["kind"] == KIND["level"]
    raw = 100_000_000
    data = {
        "ts": events["exch_ns"].copy(),
        "type": np.where(np.arange(len(events)) < IMAGE, 0, np.where(level, 1, 2)).astype(np.uint8),
        "inst": np.zeros(len(events), np.uint32),
        "side": np.where((events["side"] > 0) == level, 0, 1).astype(np.int8),  # of a trade, the side that came last
        "price": events["price"] * round(TICK * raw),
        "qty": events["size"] * raw,
        "seq": np.maximum(np.arange(1, len(events) + 1), IMAGE).astype(np.uint64),
    }
    config = fastmm.BacktestConfig.single_instrument("X", str(TICK), "1")
    config.fill_model = "l2_queue"
    config.latency_fixed_us = config.latency_jitter_us = 0
    config.markout_horizons_s = []
    config.equity_bar_s = 1e6

    def run(kind: Any) -> tuple[int, Any, Any]:
        strategy = kind()
        start = time.process_time_ns()
        result = fastmm.run_backtest(config, data, strategy)
        return time.process_time_ns() - start, strategy, result

    return run


def fastmm_hooks(fastmm: Any, events: Events) -> dict[str, Callable[[], Answer]]:
    run = fastmm_run(fastmm, events)

    class FmmNoHook(fastmm.Strategy):  # type: ignore[misc, name-defined]
        def on_stop(self, ctx: Any) -> None:
            pass

    class FmmEmpty(fastmm.Strategy):  # type: ignore[misc, name-defined]
        def on_book(self, ctx: Any, inst: Any, book: Any) -> None:
            pass

    class FmmCounting(fastmm.Strategy):  # type: ignore[misc, name-defined]
        calls = 0

        def on_book(self, ctx: Any, inst: Any, book: Any) -> None:
            self.calls += 1

    class FmmReading(fastmm.Strategy):  # type: ignore[misc, name-defined]
        def on_book(self, ctx: Any, inst: Any, book: Any) -> None:
            bid, bid_size = book.best_bid
            ask, ask_size = book.best_ask
            self.last = bid, ask, bid_size, ask_size, ctx.position(inst).qty

    class FmmMaker(fastmm.Strategy):  # type: ignore[misc, name-defined]
        wanted = 0.0

        def on_book(self, ctx: Any, inst: Any, book: Any) -> None:
            if not book.valid:
                return ctx.pull_quotes(inst)
            price = book.mid
            fair = book.microprice() - LEAN * price * ctx.position(inst).qty / SIZE
            self.wanted += fair
            ctx.set_quotes(inst, [(fair - HALF * price, SIZE)], [(fair + HALF * price, SIZE)])

    def answer(kind: Any) -> Answer:
        ns, strategy, _ = run(kind)
        return Answer(ns, getattr(strategy, "calls", 0), None, getattr(strategy, "wanted", None))

    kinds = {"none": FmmNoHook, "empty": FmmEmpty, "counting": FmmCounting, "reading": FmmReading, "maker": FmmMaker}
    return {name: lambda kind=kind: answer(kind) for name, kind in kinds.items()}  # type: ignore[misc]


def fastmm_loops(fastmm: Any, events: Events) -> dict[str, Callable[[], Answer]]:
    """Its loop with no hook, and with the rule of the compiled makers as a hot hook; the same rule in Python must send the same messages.

    What the rule wants is asked of one that sends nothing: fills take size out of the book that a strategy of FastMM sees.
    """
    run = fastmm_run(fastmm, events)

    class FmmNoHook(fastmm.Strategy):  # type: ignore[misc, name-defined]
        def on_stop(self, ctx: Any) -> None:
            pass

    class FmmHot(fastmm.Strategy):  # type: ignore[misc, name-defined]
        @fastmm.hot  # type: ignore[untyped-decorator]
        def on_book(self, ctx: Any, book: Any) -> None:
            if book.valid:
                bid, ask = round(book.best_bid / TICK), round(book.best_ask / TICK)
                centre = 0.5 * (bid + ask) - ctx.position * SHIFT
                ctx.clear()
                ctx.bid(min(math.floor(centre - HALF_TICKS), ask - 1) * TICK, SIZE)
                ctx.ask(max(math.ceil(centre + HALF_TICKS), bid + 1) * TICK, SIZE)

    class FmmPlain(fastmm.Strategy):  # type: ignore[misc, name-defined]
        wanted, last, sends = 0.0, None, True

        def on_book(self, ctx: Any, inst: Any, book: Any) -> None:
            top = book.best_bid, book.best_ask
            changed, self.last = top != self.last, top
            if book.valid:
                bid, ask = round(top[0][0] / TICK), round(top[1][0] / TICK)
                centre = 0.5 * (bid + ask) - ctx.position(inst).qty * SHIFT
                low, high = min(math.floor(centre - HALF_TICKS), ask - 1), max(math.ceil(centre + HALF_TICKS), bid + 1)
                self.wanted += (low + high) * changed
                if self.sends:
                    ctx.set_quotes(inst, [(low * TICK, SIZE)], [(high * TICK, SIZE)])

    class FmmQuiet(FmmPlain):
        sends = False

    (_, quiet, _), (_, _, told), (_, _, sent) = run(FmmQuiet), run(FmmPlain), run(FmmHot)
    if told.outbound_sha256 != sent.outbound_sha256:
        raise AssertionError(f"fastmm: both forms of the maker must send the same: {told.outbound_messages}, {sent.outbound_messages}")

    def answer(kind: Any, wanted: float | None) -> Answer:
        ns, _, result = run(kind)
        return Answer(ns, result.md_events, None, wanted)

    return {"none": lambda: answer(FmmNoHook, None), "maker": lambda: answer(FmmHot, quiet.wanted)}


# ---- hftbacktest


def hftbacktest_runs(peer: Any, numba: Any, events: Events, by_order: bool) -> dict[str, Callable[[], Answer]]:
    rows = hftbacktest_events(peer, events, by_order)
    low, high = int(events["price"][events["price"] > 0].min()), int(events["price"].max())

    @numba.njit  # type: ignore[untyped-decorator]
    def books(hbt: Any) -> Any:
        n = 0
        while hbt.wait_next_feed(False, 10**18) == 2:
            n += 1
        depth = hbt.depth(0)
        return n, depth.best_bid_tick, depth.best_ask_tick, 0.0

    @numba.njit  # type: ignore[untyped-decorator]
    def maker(hbt: Any) -> Any:
        n, next_id, wanted = 0, 1, 0.0
        bid_id = ask_id = 0
        last_bid = last_ask = -1
        seen_bid = seen_ask = -1
        seen_bid_size = seen_ask_size = -1.0
        while hbt.wait_next_feed(False, 10**18) == 2:
            n += 1
            depth = hbt.depth(0)
            bid, ask = depth.best_bid_tick, depth.best_ask_tick
            b, a = depth.bid_qty_at_tick(bid), depth.ask_qty_at_tick(ask)
            if bid == seen_bid and ask == seen_ask and b == seen_bid_size and a == seen_ask_size:
                continue
            seen_bid, seen_ask, seen_bid_size, seen_ask_size = bid, ask, b, a
            if not (0 < bid < ask < 10**12):
                continue
            centre = 0.5 * (bid + ask) - hbt.position(0) * SHIFT
            new_bid = min(math.floor(centre - HALF_TICKS), ask - 1)
            new_ask = max(math.ceil(centre + HALF_TICKS), bid + 1)
            wanted += new_bid + new_ask
            orders = hbt.orders(0)
            if new_bid != last_bid or bid_id not in orders:
                if bid_id in orders:
                    hbt.cancel(0, bid_id, False)
                bid_id, next_id = next_id, next_id + 1
                hbt.submit_buy_order(0, bid_id, new_bid * TICK, SIZE, 1, 0, False)  # post only, limit
                last_bid = new_bid
            if new_ask != last_ask or ask_id not in orders:
                if ask_id in orders:
                    hbt.cancel(0, ask_id, False)
                ask_id, next_id = next_id, next_id + 1
                hbt.submit_sell_order(0, ask_id, new_ask * TICK, SIZE, 1, 0, False)
                last_ask = new_ask
            hbt.clear_inactive_orders(0)
        depth = hbt.depth(0)
        return n, depth.best_bid_tick, depth.best_ask_tick, wanted

    def run(loop: Any) -> Answer:
        asset = peer.BacktestAsset().data([rows]).linear_asset(1.0).constant_order_latency(0, 0)
        asset = asset.l3_fifo_queue_model() if by_order else asset.risk_adverse_queue_model()
        asset = asset.no_partial_fill_exchange().trading_value_fee_model(0.0, 0.0).tick_size(TICK).lot_size(1.0)
        asset = asset.roi_lb((low - 100) * TICK).roi_ub((high + 100) * TICK).last_trades_capacity(0)
        hbt = peer.ROIVectorMarketDepthBacktest([asset])
        start = time.process_time_ns()
        n, bid, ask, wanted = loop(hbt)
        elapsed = time.process_time_ns() - start
        hbt.close()
        return Answer(elapsed, n, (int(bid), int(ask)), wanted or None)

    return {"none": lambda: run(books), "maker": lambda: run(maker)}


def hftbacktest_events(peer: Any, events: Events, by_order: bool) -> Events:
    """The same events as that library reads them; of executions of orders, a fill and what it leaves."""
    both = peer.EXCH_EVENT | peer.LOCAL_EVENT
    sides = {1: peer.BUY_EVENT, -1: peer.SELL_EVENT}
    rows = []
    live: dict[int, list[int]] = {}  # reference -> side, price, size
    names = ("kind", "side", "exch_ns", "price", "size", "order_id")
    for kind, side, at, price, size, order in events[list(names)].tolist():
        if kind == KIND["level"]:
            rows.append((both | peer.DEPTH_EVENT | sides[side], at, at, price * TICK, size, 0, 0, 0.0))
        elif kind == KIND["trade"]:
            if side:
                rows.append((both | peer.TRADE_EVENT | sides[-side], at, at, price * TICK, size, 0, 0, 0.0))
        elif by_order:
            if kind == KIND["add"]:
                live[order] = [side, price, size]
                rows.append((both | peer.ADD_ORDER_EVENT | sides[side], at, at, price * TICK, size, order, 0, 0.0))
            elif order in live:
                own = live[order]
                if kind == KIND["execute"]:
                    rows.append((both | peer.FILL_EVENT | sides[own[0]], at, at, own[1] * TICK, size, order, 0, 0.0))
                own[2] = 0 if kind == KIND["delete"] else own[2] - size
                change = peer.MODIFY_ORDER_EVENT if own[2] > 0 else peer.CANCEL_ORDER_EVENT
                rows.append((both | change | sides[own[0]], at, at, own[1] * TICK, max(own[2], 0), order, 0, 0.0))
                if own[2] <= 0:
                    del live[order]
    return np.array(rows, peer.types.event_dtype)


# ---- NautilusTrader


def nautilus_runs(events: Events) -> dict[str, Callable[[], Answer]]:
    from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
    from nautilus_trader.config import LoggingConfig
    from nautilus_trader.model.currencies import USD
    from nautilus_trader.model.data import QuoteTick
    from nautilus_trader.model.enums import AccountType, OmsType, OrderSide, TimeInForce
    from nautilus_trader.model.identifiers import InstrumentId, Symbol, Venue
    from nautilus_trader.model.instruments import Equity
    from nautilus_trader.model.objects import Money, Price, Quantity
    from nautilus_trader.trading.strategy import Strategy as Base

    name = InstrumentId(Symbol("X"), Venue("SIM"))
    instrument = Equity(name, Symbol("X"), USD, 1, Price(TICK, 1), Quantity.from_int(1), 0, 0)
    ticks = [
        QuoteTick(name, Price(bid * TICK, 1), Price(ask * TICK, 1), Quantity.from_int(b), Quantity.from_int(a), at, at)
        for bid, b, ask, a, at in tops_of(events)
    ]

    class NtNone(Base):  # type: ignore[misc]
        def on_start(self) -> None:
            pass

    class NtEmpty(Base):  # type: ignore[misc]
        def on_start(self) -> None:
            self.subscribe_quote_ticks(name)

        def on_quote_tick(self, tick: Any) -> None:
            pass

    class NtCounting(NtEmpty):
        calls = 0

        def on_quote_tick(self, tick: Any) -> None:
            self.calls += 1

    class NtReading(NtEmpty):
        def on_quote_tick(self, tick: Any) -> None:
            self.last = (
                tick.bid_price.as_double(), tick.ask_price.as_double(), tick.bid_size.as_double(), tick.ask_size.as_double(),
                float(self.portfolio.net_position(name)),
            )  # fmt: skip

    class NtMaker(NtEmpty):
        wanted = 0.0
        bid = ask = None

        def on_quote_tick(self, tick: Any) -> None:
            bid, ask, b, a = (
                tick.bid_price.as_double(), tick.ask_price.as_double(), tick.bid_size.as_double(), tick.ask_size.as_double(),
            )  # fmt: skip
            price = 0.5 * (bid + ask)
            fair = (bid * a + ask * b) / (a + b) - LEAN * price * float(self.portfolio.net_position(name)) / SIZE
            self.wanted += fair
            self.bid = self.want(self.bid, OrderSide.BUY, math.floor((fair - HALF * price) / TICK + 1e-6))
            self.ask = self.want(self.ask, OrderSide.SELL, math.ceil((fair + HALF * price) / TICK - 1e-6))

        def want(self, order: Any, side: Any, ticks: int) -> Any:
            price = Price(ticks * TICK, 1)
            if order is not None and order.is_open:
                if order.price != price:
                    self.modify_order(order, price=price)
                return order
            order = self.order_factory.limit(name, side, Quantity.from_int(1), price, time_in_force=TimeInForce.GTC, post_only=True)
            self.submit_order(order)
            return order

    def run(kind: Any) -> Answer:
        engine = BacktestEngine(config=BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True)))
        money = [Money(1_000_000_000, USD)]
        engine.add_venue(Venue("SIM"), OmsType.NETTING, AccountType.MARGIN, base_currency=USD, starting_balances=money)
        engine.add_instrument(instrument)
        engine.add_data(ticks)
        strategy = kind()
        engine.add_strategy(strategy)
        start = time.process_time_ns()
        engine.run()
        elapsed = time.process_time_ns() - start
        answer = Answer(elapsed, getattr(strategy, "calls", 0), None, getattr(strategy, "wanted", None))
        engine.dispose()
        return answer

    kinds = {"none": NtNone, "empty": NtEmpty, "counting": NtCounting, "reading": NtReading, "maker": NtMaker}
    return {name_: lambda kind=kind: run(kind) for name_, kind in kinds.items()}  # type: ignore[misc]


def tops_of(events: Events) -> list[tuple[int, int, int, int, int]]:
    """Best prices and sizes of both sides, with the time, after each change of any of them."""
    books: dict[int, dict[int, int]] = {1: {}, -1: {}}
    found, last = [], None
    for i, (kind, side, price, size, at) in enumerate(events[["kind", "side", "price", "size", "exch_ns"]].tolist()):
        if kind != KIND["level"]:
            continue
        books[side][price] = size
        if not size:
            del books[side][price]
        if i >= IMAGE - 1 and books[1] and books[-1]:
            bid, ask = max(books[1]), min(books[-1])
            top = (bid, books[1][bid], ask, books[-1][ask])
            if top != last and bid < ask:
                found.append((*top, at))
            last = top
    return found


# ---- the rows


def hooks(bench: Bench) -> None:
    events = spaced(_bench.l2_events(5_000 if bench.quick else 200_000))
    right = {"fastcore": truth(events, every_change=False), "fastmm": truth(events, every_change=True)}
    systems: dict[str, dict[str, Callable[[], Answer]]] = {
        "fastcore": {
            name: lambda kind=kind: ours(kind, events)  # type: ignore[misc]
            for name, kind in {"none": NoHook, "empty": Empty, "counting": Counting, "reading": Reading, "maker": Maker}.items()
        }
    }
    if fastmm := bench.optional("fastmm"):
        systems["fastmm"] = fastmm_hooks(fastmm, events)
    if bench.optional("nautilus_trader"):
        few = events[: len(events) // 10]
        right["nautilus_trader"] = Answer(0.0, len(tops_of(few)), None, None)
        right["nautilus_trader"].wanted = sum((bid * a + ask * b) / (a + b) * TICK for bid, b, ask, a, _ in tops_of(few))
        systems["nautilus_trader"] = nautilus_runs(few)
    for system, runs in systems.items():
        told = runs["counting"]().calls
        if told != right[system].calls:
            raise AssertionError(f"{system}: the hook must be called {right[system].calls} times: {told}")
    silent = {system: Answer(0.0, 0, right[system].best, right[system].wanted) for system in systems}
    for name in ("empty", "reading", "maker"):
        # The run without a hook in the same rounds: both have seen the same machine. The difference of two medians: minima of so
        # much longer runs would differ by more than a hook costs.
        cases = {f"{system} {what}": runs[what] for system, runs in systems.items() for what in ("none", name)}
        answers = alternate(bench, cases, {case: silent[case.rpartition(" ")[0]] for case in cases})
        for system in systems:
            without, hook = ([answer.ns / right[system].calls for answer in answers[f"{system} {what}"]] for what in ("none", name))
            net = statistics.median(hook) - statistics.median(without)
            bench.add(GROUP, f"Python hook, {name}, net", system, net, net, right[system].calls)


def spaced(events: Events) -> Events:
    """Events of which no two have one time but those of the first book, so that every system decides after each of them."""
    events["exch_ns"] = EPOCH_NS + 1_000 * np.maximum(np.arange(len(events)), IMAGE - 1)
    return events


def loops(bench: Bench, name: str, events: Events, book: str) -> None:
    from fastcore.avellaneda import Quoter
    from fastcore.strategies.maker import MarketMaker

    peer, numba = bench.optional("hftbacktest"), bench.optional("numba")
    symbol_id = int(events["symbol_id"].max())

    def maker() -> Any:
        quoter = Quoter("avellaneda_stoikov", gamma=GAMMA, k=K, sigma=SIGMA, tick_size=1.0, inventory_limit=1e9)
        return MarketMaker(symbol_id, quoter, order_lots=1, time_left=HORIZON_S, ticks_per_price=1.0)

    runs: dict[str, dict[str, Callable[[], Answer]]] = {
        "fastcore": {
            "none": lambda: ours(None, events, book, symbol_id=symbol_id),
            "maker": lambda: ours(None, events, book, maker, symbol_id=symbol_id),
        }
    }
    if peer is not None and numba is not None:
        runs["hftbacktest"] = hftbacktest_runs(peer, numba, events, book == "orders")
    if book == "levels" and numba is not None and (fastmm := bench.optional("fastmm")):
        runs["fastmm"] = fastmm_loops(fastmm, events)
    best = last_best(events, book, symbol_id)
    quoted = sum(quotes_of(bid, ask) for bid, _, ask, _, _ in tops_of(events)) if book == "levels" else None
    for what in ("none", "maker"):
        cases = {system: by[what] for system, by in runs.items()}
        for case in cases.values():
            case()  # compiled before it is timed
        expected = {}
        for system, case in cases.items():
            expected[system] = Answer(0.0, case().calls, best, quoted)
        told = alternate(bench, cases, expected)
        for system, answers in told.items():
            times = sorted(answer.ns / len(events) for answer in answers)
            label = "no strategy" if what == "none" else "maker"
            bench.add(GROUP, f"{name}, {label}", system, times[0], statistics.median(times), len(events))


def quotes_of(bid: int, ask: int) -> int:
    """Bid plus ask in ticks that the compiled makers want at these best prices."""
    centre = 0.5 * (bid + ask)
    return min(math.floor(centre - HALF_TICKS), ask - 1) + max(math.ceil(centre + HALF_TICKS), bid + 1)


def last_best(events: Events, book: str, symbol_id: int) -> tuple[int, int] | None:
    """Best prices after all events, by dictionaries."""
    if book == "levels":
        return truth(events, every_change=True).best
    orders: dict[int, list[int]] = {}
    for kind, side, price, size, order in events[["kind", "side", "price", "size", "order_id"]].tolist():
        if kind == KIND["add"]:
            orders[order] = [side, price, size]
        elif kind in (KIND["execute"], KIND["cancel"], KIND["delete"]) and order in orders:
            orders[order][2] -= orders[order][2] if kind == KIND["delete"] else size
            if orders[order][2] <= 0:
                del orders[order]
    bids = [price for side, price, _ in orders.values() if side > 0]
    asks = [price for side, price, _ in orders.values() if side < 0]
    return (max(bids), min(asks)) if bids and asks else None


def amzn() -> Events | None:
    """The recorded day of AMZN as order events, where there is one."""
    from hft.feeds.itch import ItchFeed

    directory = os.environ.get("FASTCORE_TEST_DATA")
    if not directory:
        return None
    with gzip.open(Path(directory) / "itch" / "AMZN_2012-06-21_L5.itch.gz") as file, ItchFeed("day", chunks=[file.read()]) as feed:
        events = np.concatenate(list(feed))
    kinds = [KIND[kind] for kind in ("add", "execute", "cancel", "delete", "trade")]
    return events[np.isin(events["kind"], kinds)]


def run(bench: Bench) -> None:
    hooks(bench)
    loops(bench, "L2 and trades", spaced(_bench.l2_events(5_000 if bench.quick else 500_000)), "levels")
    recorded = amzn()
    if recorded is not None:
        loops(bench, "L3, AMZN", recorded[:5_000] if bench.quick else recorded, "orders")


if __name__ == "__main__":
    main(run)
