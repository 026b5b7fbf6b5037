"""Whole runs of one symbol, compiled and as the twin, behind the same calls; and what they reported."""

from collections import deque

import numpy as np
from kit import same_kind

from fastcore.desk import Desk
from fastcore.engine import Engine
from fastcore.market import Market
from fastcore.records import kind_name
from fastcore.risk import RiskLimits
from fastcore.sim.simulator import Simulator
from fastcore.source import EventSource
from fastcore.strategies.maker import MarketMaker
from fastcore.strategies.tape import Tape
from fastcore.wire.itch import ItchDecoder
from fastcore.wire.itch_source import ItchSource

LOCATES = {"AAA": 7, "BBB": 8, "CCC": 9, "AMZN": 382}


class Given:
    """An iterator over what is given to it; it goes on after its end when there is more."""

    def __init__(self):
        self.items = deque()

    def __iter__(self):
        return self

    def __next__(self):
        if not self.items:
            raise StopIteration
        return self.items.popleft()


class Run:
    """The compiled parts of a run joined as ``hft.run`` joins them, fed piece by piece: the calls of the twin."""

    def __init__(
        self, symbol, *, symbol_id=None, quoter=None, volatility=None, limits=None, order_lots=100, time_left=1.0, store=None,
        ticks_per_price=10000.0, max_loss=None, maker_fee_ticks=0, taker_fee_ticks=0, midnight_ns=0, sample_every=256,
        curve_interval_ns=1_000_000_000, skip_malformed=False, book="orders", two_books=False, journal=None,
        **latencies,
    ):  # fmt: skip
        self.symbol = symbol
        self.symbol_id = LOCATES.get(symbol, 99) if symbol_id is None else symbol_id
        self.chosen = symbol_id is not None
        self.given = Given()
        self.decoder = ItchDecoder(midnight_ns, not skip_malformed)
        self.source = None
        self.market = Market(book)
        self.desk = Desk(limits, max_loss=max_loss)
        self.desk.open(self.symbol_id, maker_fee_ticks=maker_fee_ticks, taker_fee_ticks=taker_fee_ticks)
        self.maker = None
        self.strategies = {}
        if quoter is not None:
            options = {"order_lots": order_lots, "time_left": time_left, "ticks_per_price": ticks_per_price}
            self.maker = self.strategies["maker"] = MarketMaker(self.symbol_id, quoter, volatility, **options)
        if store is not None:
            self.strategies["tape"] = Tape(self.symbol_id, store, ticks_per_price=ticks_per_price)
        self.latencies = latencies | ({"venue_market": Market(book)} if two_books else {})
        self.options = {"curve_interval_ns": curve_interval_ns, "sample_every": sample_every, "journal": journal}

    def run(self, source):
        """Begin with a source, or go on."""
        if self.source is None:
            self.source = source
            if self.strategies:
                source = Simulator(source, self.market, **self.latencies)
                self.venue = source.open(self.symbol_id)
            self.engine = Engine(
                source, self.market, self.desk, self.strategies, curve_symbol_id=self.symbol_id, **self.options
            )
            self.latency = self.engine.stopwatch.stages
        self.engine.run()

    def feed(self, data):
        """Run the bytes that follow those consumed so far; return how many were consumed."""
        self.given.items.append(bytes(data[0 if self.source is None else self.source.left :]))
        if self.source is not None and self.stopped:
            return 0
        self.run(ItchSource(self.given, self.decoder) if self.source is None else None)
        return len(data) - self.source.left

    def feed_events(self, events):
        """Run events that are decoded already; return how many."""
        self.given.items.append(np.ascontiguousarray(events))
        done = self.market.events
        self.run(EventSource(self.given) if self.source is None else None)
        return self.market.events - done

    def reports(self):
        reports = self.engine.reports()
        reports["local_ns"] = 0  # the twin's world has no clock of ours
        return reports

    def curve(self):
        return self.engine.curve()

    def quote(self):
        if self.symbol_id not in self.market.books:
            return None, 0, None, 0
        book = self.market.books.book(self.symbol_id)
        return book.best_bid, book.best_bid_size, book.best_ask, book.best_ask_size

    @property
    def position(self):
        return self.desk.position(self.symbol_id)

    @property
    def profit(self):
        return self.desk.profit(self.symbol_id)

    @property
    def mid_ticks(self):
        return self.desk.mid_ticks(self.symbol_id)

    @property
    def traded_lots(self):
        return self.market.volume_lots(self.symbol_id)

    @property
    def quotes(self):
        return 0 if self.maker is None else self.maker.quotes

    @property
    def symbols(self):
        return len(self.market.books)

    @property
    def listed(self):
        return self.chosen or self.symbol in self.decoder.symbols.values()

    @property
    def messages(self):
        return sum(self.decoder.counts.values())

    def __getattr__(self, name):
        for part in ("desk", "market", "engine"):
            if part in self.__dict__ and hasattr(self.__dict__[part], name):
                return getattr(self.__dict__[part], name)
        raise AttributeError(name)


def whole(impl):
    """Return the class of whole runs of an implementation."""
    return impl.Engine if impl.__name__.startswith("fastcore.reference") else Run


def make(impl, symbol="AAA", limits=(1000, 1000, 100_000), volatility=True, parameters=None, **kwargs):
    """A run whose parts are of `impl`; quotes 4 cents wide before volatility and inventory."""

    def part(module, name):
        return getattr(same_kind(impl, module), name)

    quoter = part("avellaneda", "Quoter")(
        "avellaneda_stoikov",
        **{
            "gamma": 0.1, "k": 50.0, "sigma": 0.0, "tick_size": 1e-4, "increment_ticks": 100, "low_increment_ticks": 1,
            "low_below_ticks": 10_000, "inventory_unit": 100.0, **(parameters or {}),
        },
    )  # fmt: skip
    estimate = part("flow", "EwmaVolatility")(half_life=20, interval_ns=10_000_000) if volatility else None
    risk = RiskLimits(*limits) if limits is not None else None
    return whole(impl)(symbol, quoter=quoter, volatility=estimate, limits=risk, **kwargs)


def rows(engine):
    return [
        (kind_name(r["kind"]), int(r["side"]), int(r["price"]), int(r["size"]), int(r["order_id"]), int(r["seq"]))
        for r in engine.reports()
    ]
