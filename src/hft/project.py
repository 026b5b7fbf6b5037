"""A strategy in a directory of its own: ``hft init`` writes one that runs as it is, ``hft backtest`` runs it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from fastcore.errors import FastcoreError
from fastcore.money import Fees

from . import conditions, config, keys
from .backtesting import backtest
from .config import ConfigError, Count, Limits, NotNegative, Section, Traded
from .controls import Control, Controls
from .feeds.feed import Feed
from .journal import Inputs, record
from .loading import load_strategy
from .outcome import RESULT, Outcome
from .result import Result
from .strategy import Strategy

__all__ = ["Project", "RunFile", "Watcher", "create", "explain", "find", "keep", "read", "run"]

RUN, RESULTS = "run.toml", "results"
WATCHER = "~watcher"  # behind all others by name

STRATEGY = '''"""A market maker: write your own in its place."""

from hft import Param, Strategy


class MarketMaker(Strategy):
    """Quotes both sides of a fair price and leans against the inventory."""

    half_spread = Param(0.5, "fair price to each quote", unit="bps", min=0)
    lean = Param(0.2, "shift of both quotes for each `size` held", unit="bps", min=0)
    size = Param(100, "size of a quote", min=0)
    limit = Param(500, "largest position, long or short", min=0)

    def on_book(self, m):
        self.requote(m)

    def on_fill(self, m, fill):
        self.requote(m)

    def requote(self, m):
        if not m.two_sided:
            return m.pull("one-sided book")
        bps = m.mid * 1e-4
        fair = m.microprice - self.lean * bps * m.position / self.size
        self.record(m, fair=fair)
        m.quote(
            bid=fair - self.half_spread * bps if m.position < self.limit else None,
            ask=fair + self.half_spread * bps if m.position > -self.limit else None,
            size=self.size,
        )
'''

MAKER = '''"""A market maker, called without Python between events: write your own in its place. docs/cimport.md explains it."""

cimport cython

from fastcore.book cimport book_change_t, top_t
from fastcore.instruments cimport Instruments, instrument_t
from fastcore.records cimport BUY, KIND_CLEAR, KIND_FILL, KIND_GAP, KIND_STATUS, KIND_SYSTEM, NO_PRICE, SELL, event_t
from fastcore.strategies.quotes cimport micro_price, mid_price, quote_side, two_sided
from fastcore.strategy cimport ON_BOOK, ON_EVENT, ON_INSTANT, ON_REPORT, STRATEGY_OK, Strategy, context_t, strategy_t, want_quotes
from libc.stdint cimport int64_t


ctypedef struct maker_t:
    strategy_t base         # first: what the engine knows of it
    const instrument_t* row # what ticks and lots mean
    double half_spread      # bps
    double lean             # bps for each `size` held
    double size
    double limit
    bint requote            # something has happened since the last quotes


cdef void requote(maker_t* s, context_t* c) noexcept nogil:
    cdef const top_t* top = &c.tops[s.base.symbol_id]
    cdef double position = <double> c.positions[s.base.symbol_id].position_lots * s.row.lot_size
    cdef double bps, fair
    cdef int64_t bid = NO_PRICE, ask = NO_PRICE, bid_lots = 0, ask_lots = 0
    s.requote = False
    if two_sided(c.market, top, s.base.symbol_id):
        bps = mid_price(s.row, top) * 1e-4
        fair = micro_price(s.row, top) - s.lean * bps * position / s.size
        if position < s.limit:
            quote_side(s.row, top, fair - s.half_spread * bps, s.size, BUY, &bid, &bid_lots)
        if position > -s.limit:
            quote_side(s.row, top, fair + s.half_spread * bps, s.size, SELL, &ask, &ask_lots)
    want_quotes(c, s.base.symbol_id, bid, ask, bid_lots, ask_lots)


cdef int on(strategy_t* strategy, context_t* c, int hook, const event_t* e, const book_change_t* change) noexcept nogil:
    cdef maker_t* s = <maker_t*> strategy
    if hook != ON_INSTANT:
        s.requote = True    # all of the instant first, then one decision
    elif s.requote:
        requote(s, c)
    return STRATEGY_OK


@cython.final
cdef class MarketMaker(Strategy):
    cdef maker_t _s
    cdef Instruments _instruments   # holds the row that _s points to

    def __init__(self, symbol_id, instrument, *, double half_spread, double lean, double size, double limit):
        if not size > 0.0:
            raise ValueError(f"size must be positive: size={size}")
        self._instruments = Instruments([instrument])
        self._s.row = self._instruments._t.rows
        self._s.half_spread, self._s.lean, self._s.size, self._s.limit = half_spread, lean, size, limit
        self._s.base.on = on
        self._s.base.symbol_id = symbol_id
        self._s.base.hooks = 1 << ON_REPORT | 1 << ON_EVENT | 1 << ON_BOOK | 1 << ON_INSTANT
        self._s.base.reports = 1 << KIND_FILL
        self._s.base.kinds = 1 << KIND_STATUS | 1 << KIND_SYSTEM | 1 << KIND_GAP | 1 << KIND_CLEAR
        self._strategy = &self._s.base
'''

NATIVE = '''"""A market maker in Cython: parameters here, hooks in maker.pyx."""

from pathlib import Path

from hft import NativeStrategy, Param
from hft.native import build

build(Path(__file__).parent)  # setup.py build_ext --inplace, when something has changed

import maker  # noqa: E402


class MarketMaker(NativeStrategy):
    """Quotes both sides of a fair price and leans against the inventory."""

    half_spread = Param(0.5, "fair price to each quote", unit="bps", min=0)
    lean = Param(0.2, "shift of both quotes for each `size` held", unit="bps", min=0)
    size = Param(100, "size of a quote", min=0)
    limit = Param(500, "largest position, long or short", min=0)

    def core(self, markets):
        if len(markets) != 1:
            raise ValueError(f"MarketMaker quotes one market: markets={len(markets)}")
        [(symbol_id, instrument)] = markets.items()
        return maker.MarketMaker(symbol_id, instrument, **self.parameters)
'''

SETUP = """import os

import fastcore
import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup

# -ffp-contract=off: floats as Python has them on every machine.
flags = ["/O2", "/fp:precise"] if os.name == "nt" else ["-O3", "-ffp-contract=off"]
include = [fastcore.get_include(), numpy.get_include()]
setup(
    name="maker",
    py_modules=[],
    ext_modules=cythonize(
        [Extension("maker", ["maker.pyx"], include_dirs=include, extra_compile_args=flags)],
        compiler_directives={"language_level": 3, "cdivision": True},
    ),
)
"""

NOTES = {
    "python": "",
    "numba": """
The hooks are compiled by Numba (`pip install 'hft-fastcore[numba]'`) when a run begins, and kept in `~/.cache/hft-fastcore`. What they may
hold is in docs/compiled.md; without the line `@compiled` the class runs in Python, with the same orders.
""",
    "cython": """
`strategy.py` builds `maker.pyx` when it has changed: that takes Cython, setuptools and a C compiler
(`pip install 'cython>=3.3' setuptools`), as `python setup.py build_ext --inplace` does by hand.
""",
}

PARAMETERS = "# half_spread = 0.5\n"

TEST = '''"""The strategy runs, and the same input gives the same orders."""

from pathlib import Path

from hft.project import read, run

HERE = Path(__file__).parent


def test_same_input_gives_the_same_orders():
    one, two = (run(read(HERE)) for _ in range(2))
    assert one.stats["orders"] > 0
    assert one.orders_hash == two.orders_hash


def test_fills_make_the_position():
    result = run(read(HERE))
    fills = result.fills
    signed = sum(size if side == "buy" else -size for side, size in zip(fills["side"], fills["size"], strict=True))
    assert sum(row["position"] for row in result.stats["symbols"].values()) == signed
'''

README = """# {name}

    hft backtest                                # run strategy.py as run.toml says
    hft backtest --set size=50 --latency 1ms    # with other values
    hft backtest --data day.itch.gz             # on data of yours
    hft report --open                           # the last run as a page
    hft explain markout                         # what a figure means; hft explain 17 tells the life of order 17
    python -m pytest                            # the tests beside it
"""


class OwnLimits(Limits, frozen=True, kw_only=True, forbid_unknown_fields=True):
    __doc__ = Limits.__doc__  # all are off by default here

    max_order_shares: Count | None = None
    max_position_shares: Annotated[int, Meta(ge=0, le=2**40)] | None = None
    price_collar_usd: NotNegative | None = None


class RunFile(Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What ``run.toml`` says; the calls of ``hft.backtest`` have the same names.

    Attributes
    ----------
    strategy : str
        ``FILE.py``, ``FILE.py:Class`` or ``MODULE:Class``.
    data : list of str
        Files that hft.feeds reads, relative to this one; none: a synthetic day.
    symbols : list of str
        Markets; none: those that the strategy names, or the only one of the data.
    latency : str
        ``1ms`` of orders and responses, or ``order=200us,response=normal(300us,50us),feed=recorded``.
    queue : str
        Place in queues on data by level: ``risk-averse``, ``power:N``, ``log:1``, ``log:2``.
    maker_fee : str or float
        Of fills of orders that waited: ``"0.02%"`` or ``"2bps"`` of the value, or an amount a unit (``0.00295``).
    taker_fee : str or float
        The same of orders that took.
    order_fee : float
        Once for each order that is filled.
    min_rest : str
        Wanted quotes and positions are not moved before they have rested for so long, such as ``50ms``; pulls pass.
    requote_ticks : int
        Nor for a change of the wanted price below so many ticks; 1: for any.
    currency : str, optional
        Of limits, and of the sum over currencies; by default that of the first market.
    seed : int
        Of random latencies, of ``Strategy.random`` and of the synthetic day.
    messages : int
        Length of the synthetic day.
    options : dict
        Of the feed of the data, as ``--option NAME=VALUE``.
    rates : dict of str to float or str
        What one of another currency costs in `currency`, or a market whose middle price says so: ``EUR = "EURUSD"``.
    instruments : dict of str to Traded
        What the data do not say, by symbol: ``ESM4 = {multiplier = 50, currency = "USD"}``.
    limits : OwnLimits
        Pre-trade limits (docs/risk.md); those that are not said are off.
    parameters : dict of str to number or text
        Of the strategy, as ``--set NAME=VALUE``.
    """

    strategy: str = "strategy.py"
    data: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()
    latency: str = "0"
    queue: str = "risk-averse"
    maker_fee: str | float = "0"
    taker_fee: str | float = "0"
    order_fee: float = 0.0
    currency: str | None = None
    min_rest: str = "0"
    requote_ticks: Annotated[int, Meta(ge=1, le=2**40)] = 1
    seed: Annotated[int, Meta(ge=0, le=2**62)] = 0
    messages: Annotated[int, Meta(ge=1_000, le=10**9)] = 100_000
    options: dict[str, Any] = msgspec.field(default_factory=dict)
    rates: dict[str, float | str] = msgspec.field(default_factory=dict)
    instruments: dict[str, Traded] = msgspec.field(default_factory=dict)
    limits: OwnLimits = OwnLimits()
    parameters: dict[str, int | float | str | bool] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        for part in conditions.split(self.latency).items():
            (conditions.feed if part[0] == "feed" else conditions.latency)(part[1])
        conditions.queue(self.queue)
        conditions.duration_ns(self.min_rest)
        Fees(self.maker_fee, self.taker_fee, self.order_fee).checked()


class Project(RunFile, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What ``run.toml`` says, and `place`, its directory."""

    place: str = "."


def create(directory: Path, tier: str = "python") -> list[str]:
    """Write a project that runs as it is into a new or empty directory; returns the names of its files.

    `tier` is what the hooks are written in: "python"; "numba", the same class compiled; "cython".
    """
    if tier not in NOTES:
        raise ConfigError(f"tier must be among {', '.join(NOTES)}: tier={tier}")
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise ConfigError(f"the directory of a project must be new or empty: {directory}")
    directory.mkdir(parents=True, exist_ok=True)
    settings, readme = keys.toml(form=RunFile) + PARAMETERS, README.format(name=directory.resolve().name) + NOTES[tier]
    faster = STRATEGY.replace("Param, Strategy", "Param, Strategy, compiled").replace("\nclass", "\n@compiled\nclass")
    strategy = {"python": STRATEGY, "numba": faster, "cython": NATIVE}[tier]
    files = {"strategy.py": strategy} | ({"maker.pyx": MAKER, "setup.py": SETUP} if tier == "cython" else {})
    files |= {RUN: settings, "test_strategy.py": TEST, "README.md": readme}
    for name, text in files.items():
        (directory / name).write_text(text, "utf-8")
    return list(files)


def read(directory: Path, given: Mapping[str, Any] = MappingProxyType({})) -> Project:
    """Return the project in a directory, with other values as in `replaced`; limits that contradict each other are refused in the end."""
    if not (directory / RUN).exists():
        raise ConfigError(f"there is no {RUN} in {directory.resolve()}: hft init DIR makes a project")
    values, form = config.written(directory / RUN, RunFile)
    config.check_layer(values, form, f"{directory / RUN}: ", strict=True)
    return _merged(values | {"place": str(directory)}, given)


def replaced(project: Project, given: Mapping[str, Any]) -> Project:
    """Return a project with other values: None keeps one, tables are added to, text is read."""
    return _merged(msgspec.to_builtins(project), given)


def _merged(values: dict[str, Any], given: Mapping[str, Any]) -> Project:
    for name, value in given.items():
        if isinstance(value, Mapping) and value:
            values[name] = {**(values.get(name) or {}), **value}
        elif value is not None and value != {}:
            values[name] = value
    return config.convert(values, Project)


class Watcher(Strategy):
    """Looks on while a run is done again: the place of one order in its queue, and what is left of it."""

    def __init__(self, order: int, symbol: str, begin_ns: int, end_ns: int) -> None:
        super().__init__()
        self.order, self.symbol, self.begin_ns, self.end_ns = order, symbol, begin_ns, end_ns
        self.places: list[tuple[int, int, int]] = []
        self.venue: Any = None

    def begun(self, result: Result) -> None:
        """The run begins."""
        rows = [row for row, instrument in result.markets.items() if instrument.symbol == self.symbol]
        self.venue = result.engine.source.venues[rows[0]]  # type: ignore[union-attr]

    def on_depth(self, m: Any) -> None:
        if self.begin_ns <= self.now <= self.end_ns and m.symbol == self.symbol:
            for order, _, _, left, ahead in self.venue.orders():
                if order == self.order and (not self.places or self.places[-1][1:] != (ahead, left)):
                    self.places.append((self.now, ahead, left))


def run(
    project: Project,
    *,
    data: Sequence[str | Path] = (),
    parameters: Mapping[str, Any] | None = None,
    progress: Any = None,
    journal: Path | None = None,
    controls: Controls | None = None,
    watcher: Watcher | None = None,
) -> Result:
    """Run a project, on other data and with other parameters where they are given; `journal` is a new directory for ``hft rerun``, a
    watcher looks on."""
    place = Path(project.place)
    name = project.strategy
    if name.partition(":")[0].endswith(".py"):
        name = str(place / name)
    project = replace(project, parameters=project.parameters | dict(parameters or {}), place=str(place.resolve()))
    strategy = load_strategy(name, project.parameters)
    paths = [Path(path).resolve() for path in data or [place / path for path in project.data]]
    if project.options and not paths:
        raise ConfigError(f"{place / RUN}: options are those of data, a synthetic day has none: {', '.join(project.options)}")
    files: Any = paths or synthetic(project)
    options = project.options | ({} if isinstance(files, Feed) or progress is None else {"progress": progress})
    given: dict[str, Any] = {type(strategy).__name__: strategy}
    if watcher is not None:
        given |= {WATCHER: watcher}
        options |= {"begun": watcher.begun}
    with ExitStack() as stack:
        if journal is not None:
            inputs = Inputs("backtest", [{"path": str(path)} for path in paths], {}, msgspec.to_builtins(project))
            options["recording"] = stack.enter_context(record(journal, inputs))
        result = _run(project, given, files, controls=controls, **options)
    result.conditions["again"] = msgspec.to_builtins(replace(project, data=tuple(map(str, paths))))
    return result


def rerun(inputs: Inputs, journal: Path, planned: Sequence[Control]) -> None:
    """Run what a journal says once more."""
    project = msgspec.convert(inputs.config, Project)
    project = replace(project, limits=replace(project.limits, kill_switch=None))
    run(project, data=[file["path"] for file in inputs.files], journal=journal, controls=Controls(planned))


def _run(project: Project, strategies: Mapping[str, Any], files: Any, **options: Any) -> Result:
    try:
        return backtest(
            strategies,
            files,
            symbols=project.symbols,
            latency=project.latency,
            queue=project.queue,
            fees=Fees(project.maker_fee, project.taker_fee, project.order_fee),
            currency=project.currency,
            rates=project.rates,
            instruments=project.instruments,
            limits=None if project.limits == OwnLimits() else project.limits,
            min_rest=project.min_rest,
            requote_ticks=project.requote_ticks,
            seed=project.seed,
            **options,
        )
    except ValueError as error:
        if type(error) is not ValueError:
            raise
        raise ConfigError(f"{Path(project.place) / RUN}: {error}") from None


def synthetic(project: Project) -> Feed:
    """Return the synthetic day of a project without data."""
    from .feeds.itch import ItchFeed
    from .feeds.synthetic import iterate

    return ItchFeed("synthetic", chunks=iterate(project.messages, project.seed))


def keep(result: Result, directory: Path) -> Path:
    """Save a result among those of a project, under its id; one that is there already is the same, and the last now."""
    place = directory / RESULTS / result.id
    try:
        result.save(place)
    except FileExistsError:
        os.utime(place / RESULT)
    return place


def find(name: str | None = None, directory: Path = Path()) -> Path:
    """Return the directory of a run: a path, the beginning of an id among the results of a project, or by default its last one."""
    if name is not None and Path(name).is_dir():
        return Path(name)
    kept = sorted((directory / RESULTS).glob(f"*/{RESULT}"), key=lambda path: path.stat().st_mtime_ns)
    there = [path.parent for path in kept]
    found = [path for path in there if name is None or path.name.startswith(name)]
    if not found:
        known = f", there are {', '.join(path.name for path in reversed(there[-8:]))}" if there else ": hft backtest makes one"
        raise ConfigError(f"there is no run {name or ''}".rstrip() + f" in {(directory / RESULTS).resolve()}{known}")
    if name is not None and len(found) > 1:
        raise ConfigError(f"several runs begin with {name}: {', '.join(path.name for path in found)}")
    return found[-1]


def explain(result: Result, what: int | str) -> str:
    """Return what ``Result.explain`` does, with the place of an order over time where the run can be done again."""
    from . import explain as words

    return words.explain(result, what, places)


def places(result: Outcome, order: int, symbol: str, begin_ns: int, end_ns: int) -> list[tuple[int, int, int]] | None:
    """Run a result again, and return times, lots ahead and lots left of an order while it worked; None where that is not possible,
    or the run is no longer the same."""
    again = result.conditions.get("again")
    if again is None or "feed" in str(result.conditions["latency"]):  # another clock than that of the venue
        return None
    watcher = Watcher(order, symbol, begin_ns, end_ns)
    try:
        now = run(msgspec.convert(again, Project), watcher=watcher)
    except (FastcoreError, ConfigError, OSError, LookupError, TypeError, ValueError):
        return None  # the strategy or the data have gone, or are others: nothing that is told depends on it
    return watcher.places if now.orders_hash == result.orders_hash else None
