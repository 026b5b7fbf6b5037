"""Every parameter that is a whole number refuses a fraction: a walk over the typed face of the package."""

import ast
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import fastcore
from fastcore.avellaneda import Quoter
from fastcore.book import LevelBook, OrderBook, OrderTable
from fastcore.bookset import BookSet
from fastcore.broadcast import BroadcastRing
from fastcore.correlation import RollingCorrelation
from fastcore.desk import Desk
from fastcore.engine import Engine
from fastcore.flow import EwmaVolatility
from fastcore.histogram import Histogram
from fastcore.instruments import Instruments
from fastcore.market import Market
from fastcore.portfolio import Portfolio, Position
from fastcore.records import EVENT_DTYPE, TICK_DTYPE
from fastcore.replaced import LatencyMonitor, MemoryMappedDataStore
from fastcore.ring import RingBuffer
from fastcore.risk import RiskLimits
from fastcore.sim.queues import QueueModel
from fastcore.sim.simulator import Simulator
from fastcore.sim.venue import Venue
from fastcore.source import EventSource
from fastcore.strategies.maker import MarketMaker
from fastcore.strategies.rows import Recorder
from fastcore.symbols import SymbolMapper
from fastcore.tickstore import TickStore
from fastcore.wire.binance import BinanceDecoder
from fastcore.wire.dbn import DbnDecoder
from fastcore.wire.itch import ItchDecoder, ItchEncoder
from fastcore.wire.mold import MoldDecoder
from fastcore.wire.ouch import OUCH_DTYPE, OuchDecoder
from fastcore.wire.soup import SOUP_DTYPE
from hft.replaced import MARKET_DATA_DTYPE

ROOT = Path(fastcore.__file__).parent
MAKERS = ("__new__", "__init__")
IN_A_RUN = {"CompiledStrategy", "Handle", "Order", "PythonStrategy"}  # tests/test_compiled.py, test_hooks.py, test_single_orders.py
EVENTS = np.zeros(64, EVENT_DTYPE)


def whole_numbers():
    """(module, class or "", function, its parameters of type int, those that must be given) of the stubs."""
    for path in sorted(ROOT.rglob("*.pyi")):
        if path.stem in ("_bench", "tickstore"):  # the store: tests/test_integers.py
            continue
        module = ".".join(("fastcore", *path.relative_to(ROOT).with_suffix("").parts))
        for node in ast.parse(path.read_text()).body:
            owners = [(node.name, part) for part in node.body] if isinstance(node, ast.ClassDef) else [("", node)]
            for owner, part in owners:
                if owner in IN_A_RUN or any(ast.unparse(d).endswith(".setter") for d in getattr(part, "decorator_list", ())):
                    continue
                if not isinstance(part, ast.FunctionDef) or part.name == "attach" or part.name[:1] == "_" and part.name not in MAKERS:
                    continue
                positional = [a for a in part.args.args if a.arg not in ("self", "cls")]
                defaults = [None] * (len(positional) - len(part.args.defaults)) + part.args.defaults + part.args.kw_defaults
                arguments = positional + part.args.kwonlyargs
                whole = [a.arg for a in arguments if a.annotation and ast.unparse(a.annotation) in ("int", "int | None")]
                if whole:
                    yield module, owner, part.name, whole, [a.arg for a, d in zip(arguments, defaults, strict=True) if d is None]


def a_book():
    book = OrderBook()
    book.add(1, 1, 5, 3)
    return book


def an_open_desk():
    desk = Desk(symbols=8)
    desk.open(5)
    return desk


def a_committed(ring):
    ring.push_batch(np.zeros(4, EVENT_DTYPE))
    return ring


def a_consumer():
    ring = BroadcastRing(8)
    consumer = ring.consumer()
    a_committed(ring)
    consumer.peek(3)
    return consumer


def a_claimed_ring():
    ring = a_committed(RingBuffer(8))
    ring.peek(3)
    ring.try_claim(3)
    return ring


def a_simulator():
    return Simulator(EventSource(iter([EVENTS])), Market(symbols=8))


def an_engine():
    maker = MarketMaker(5, a_quoter(), None)
    return Engine(a_simulator(), Market(symbols=8), an_open_desk(), {"maker": maker}, on_control=print)


def a_quoter():
    return Quoter(gamma=0.1, sigma=1.0, k=50.0)


def instruments():
    return Instruments(["A", "B", "C", "D", "E", "F"])


def a_store(path):
    store = TickStore(str(path / "store"), "a", TICK_DTYPE)
    store.append_many(np.zeros(8, TICK_DTYPE))
    return store


# What the methods of a class are called on.
OBJECTS = {
    "_Handle": lambda path: a_claimed_ring(),
    "OrderTable": lambda path: OrderTable(),
    "_Book": lambda path: LevelBook(),
    "OrderBook": lambda path: a_book(),
    "LevelBook": lambda path: LevelBook(quotes=True),
    "QueueModel": lambda path: QueueModel(),
    "BookSet": lambda path: BookSet(symbols=8),
    "BroadcastConsumer": lambda path: a_consumer(),
    "RingBuffer": lambda path: a_claimed_ring(),
    "RollingCorrelation": lambda path: RollingCorrelation(8, 5),
    "Desk": lambda path: an_open_desk(),
    "Engine": lambda path: an_engine(),
    "EwmaVolatility": lambda path: EwmaVolatility(0.5),
    "Histogram": lambda path: Histogram(),
    "Instruments": lambda path: instruments(),
    "Market": lambda path: Market(symbols=8),
    "Position": lambda path: Position(),
    "Portfolio": lambda path: Portfolio(8),
    "LatencyMonitor": lambda path: LatencyMonitor(),
    "MemoryMappedDataStore": lambda path: MemoryMappedDataStore(str(path / "old"), 8),
    "RiskLimits": lambda path: RiskLimits(10, 10, 1000),
    "MarketMaker": lambda path: MarketMaker(5, a_quoter(), None),
    "Recorder": lambda path: Recorder(),
    "Simulator": lambda path: a_simulator(),
    "Venue": lambda path: Venue(8),
    "Quoter": lambda path: a_quoter(),
    "SymbolMapper": lambda path: SymbolMapper(["A", "B", "C", "D", "E", "F"]),
    "_LineDecoder": lambda path: BinanceDecoder(),
    "DbnDecoder": lambda path: DbnDecoder(),
    "ItchDecoder": lambda path: ItchDecoder(),
    "ItchEncoder": lambda path: ItchEncoder(),
    "MoldDecoder": lambda path: MoldDecoder(ItchDecoder()),
    "OuchDecoder": lambda path: OuchDecoder(True),
}
# Arguments by name, where a name has a meaning of its own in a module first.
ARGUMENTS = {
    "capacity": 8, "size": 2, "side": 1, "digits": 3, "levels": 3, "window": 5, "ddof": 0, "lookback": 5, "n": 4, "count": 2,
    "symbol_id": 5, "locate": 5, "highest": 1000, "lowest": 1, "orders": 64, "symbols": 8, "messages": 100, "seed": 1,
    "x": np.arange(9.0), "prices1": np.arange(1.0, 10), "prices2": np.arange(2.0, 11), "events": EVENTS[:0], "marks": np.zeros(2, np.int64),
    "values": np.arange(5), "out": np.zeros(64, EVENT_DTYPE), "data": b"", "packet": bytes(20), "rows": np.zeros(2, SOUP_DTYPE),
    "details": np.zeros(2, OUCH_DTYPE), "symbol": "NEW", "session": "S", "username": "u", "password": "p", "price": 5, "volume": 1.0,
    "gamma": 0.1, "inventory": 1.0, "max_inventory": 5, "sigma": 1.0, "half_life": 5.0, "price_ring": np.ones((8, 8)), "write_idx": 7,
    "pair_idx": np.array([[0, 1]]), "thresholds": np.ones(1), "pairs": np.array([[0, 1]]), "max_size": 1400, "outbound": True,
    "price_decimals": 2, "size_decimals": 2, "max_records": 8, "timeout_s": 0.0, "sample_every": 256, "key": 0x2020202041414141,
    "reference_ticks": 5, "price_ticks": 5, "kind": 3, "series": 8, "num_symbols": 8, "order_id": 1, "interval_ns": 5, "midnight_ns": 0,
    "lot_size": 1.0, "currency": "", "venue": "", "instruments": (), "multiplier": 1.0, "k": 50.0, "segment_records": 4096, "seq": 5,
    "increment_ticks": 2, "low_increment_ticks": 1, "low_below_ticks": 10, "start": 1, "stop": 3, "crc": 5, "timestamp": 5,
}  # fmt: skip
OWN = {
    "fastcore.symbols SymbolMapper __init__": {"symbols": ("A",)},
    "fastcore.avellaneda Quoter __new__": {"A": 1.0, "k": 50.0, "model": "glft"},
    "fastcore.desk Desk __new__": {"limits": None},
    "fastcore.desk Desk position": {"strategy": 0},
    "fastcore.desk Desk profit": {"strategy": 0},
    "fastcore.market Market __new__": {"book": "orders"},
    "fastcore.engine Engine __new__": lambda path: {"source": a_simulator(), "market": Market(symbols=8), "curve_symbol_id": 5},
    "fastcore.engine Engine control": {"what": {}, "due_ns": 5},
    "fastcore.flow EwmaVolatility __new__": {"decay": 0.5},
    "fastcore.flow EwmaVolatility update": {"price": 1.0},
    "fastcore.journal Spool __new__": {"dtype": EVENT_DTYPE},
    "fastcore.replaced  keep_ticks": {
        "pool": np.zeros(2, MARKET_DATA_DTYPE), "timestamps": np.ones(1, np.int64), "symbol_ids": np.ones(1, np.int64),
        "prices": np.ones(1), "volumes": np.ones(1),
    },
    "fastcore.replaced MemoryMappedDataStore __new__": lambda path: {"filename": str(path / "other")},
    "fastcore.strategies.batches Batch __new__": {"method": print, "events": 5},
    "fastcore.strategies.maker MarketMaker __new__": lambda path: {"quoter": a_quoter(), "volatility": None},
    "fastcore.strategies.maker MarketMaker change": lambda path: {"quoter": a_quoter(), "order_lots": 5, "time_left": 1.0},
    "fastcore.strategies.rows Recorder add": {"columns": {"x": 1.0}},
    "fastcore.strategies.tape Tape __new__": lambda path: {"store": a_store(path)},
    "fastcore.sim.synthetic SyntheticMarket __new__": {"symbols": ("A",), "pairs": ()},
    "fastcore.sim.venue Venue submit": lambda path: {"book": a_book()},
    "fastcore.sim.venue Venue replace": lambda path: {"book": a_book()},
    "fastcore.sim.venue Venue amend": lambda path: {"book": a_book()},
    "fastcore.sim.simulator Simulator __new__": lambda path: {"history": EventSource(iter([EVENTS])), "market": Market(symbols=8)},
    "fastcore.records  order_terms": {"expiry_ns": 512, "time": "gtd"},
    "fastcore.wire.decimals Decimals __init__": {"columns": 3, "wanted": [0]},
    "fastcore.wire.dbn DbnDecoder hold": {"until_ns": 7},
    "fastcore.wire.mold MoldDecoder __new__": {"itch": None},
    "fastcore.wire.itch ItchDecoder __new__": {"instruments": None},
    "fastcore.instruments Instruments __init__": {"instruments": ("A",)},
    "fastcore.avellaneda Quoter ladder": {"levels": 3, "size": 1.0},
    "fastcore.portfolio Position fill": {"price_ticks": 5},
}
NEVER_WITH = {"Quoter": {"rows", "max_inventory"}}  # in another model of quotes
CASES = list(whole_numbers())


def the_call(case, path):
    """The function, and arguments that it takes."""
    module, owner, name, whole, required = case
    scope = import_module(module)
    function = getattr(scope, owner or name) if name in MAKERS or not owner else getattr(OBJECTS[owner](path), name)
    own = OWN.get(f"{module} {owner} {name}", {})
    own = own(path) if callable(own) else own
    given = ARGUMENTS | own
    return function, {n: given.get(n, 5) if n in whole else given[n] for n in {*whole, *required, *own} - NEVER_WITH.get(owner, set())}


@pytest.mark.parametrize("case", CASES, ids=[" ".join(filter(None, case[:3])).removeprefix("fastcore.") for case in CASES])
def test_whole_numbers_refuse_fractions(case, tmp_path):
    def attempt(**changed):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        function, arguments = the_call(case, folder)
        try:
            function(**arguments | changed)
        except (TypeError, ValueError) as error:
            return error
        except Exception:
            return None
        return None

    assert attempt() is None
    (tmp_path / "names").mkdir()
    _, arguments = the_call(case, tmp_path / "names")
    for name in set(case[3]) & set(arguments):
        for value in (arguments[name] + 0.5, np.float64(arguments[name] + 0.5), str(arguments[name])):
            assert attempt(**{name: value}) is not None, f"{name}={value!r} is taken"
        assert attempt(**{name: np.int64(arguments[name])}) is None, f"{name} refuses a NumPy integer"
