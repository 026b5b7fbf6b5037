"""Strategies in Python: a class with hooks, parameters and markets; the same class runs in a backtest and live.

>>> from hft import Param, Strategy, every
>>> class Quoter(Strategy):
...     size = Param(100, "size of a quote", min=1)
...
...     def on_book(self, m):
...         if m.two_sided:
...             m.quote(bid=m.bid, ask=m.ask, size=self.size)
>>> Quoter(size=5).size
5
"""

from __future__ import annotations

import inspect
import random
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

from fastcore.errors import EndlessOrdersError, FastcoreError, UnknownSymbolError
from fastcore.instruments import Instrument
from fastcore.strategies.hooks import Fill, Handle, Order, PythonStrategy, Trade
from fastcore.strategies.rows import Recorder

from .batches import batches_of
from .conditions import duration_ns, suggestion

__all__ = ["Fill", "Handle", "Order", "Param", "Strategy", "StrategyError", "Symbol", "Trade", "every"]

HOOKS: dict[str, tuple[str, ...]] = {  # and what they are called with
    "on_start": (),
    "on_book": ("m",),
    "on_depth": ("m",),
    "on_trade": ("m", "trade"),
    "on_fill": ("m", "fill"),
    "on_order": ("m", "order"),
    "on_stop": (),
}
Method = TypeVar("Method", bound=Callable[..., Any])


class StrategyError(FastcoreError):
    """A hook has failed: says in which file and line, at which event and time. The cause is chained.

    Attributes
    ----------
    result : Result or None
        What was done so far.
    """

    result: Any = None


class StopRun(Exception):
    """Raised by ``Strategy.stop``."""


def own_frame(error: BaseException) -> traceback.FrameSummary | None:
    """Return the innermost frame of an error that is neither ours nor compiled; None where there is none."""
    here = Path(__file__).resolve().parent
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if path.suffix not in (".pyx", ".pxd") and not frame.filename.startswith("<frozen") and here not in path.resolve().parents:
            return frame
    return None


def failure(error: BaseException, event: int, time_ns: int) -> StrategyError | None:
    """Return what an error in a hook is told as; None for one that did not arise there."""
    frame = own_frame(error)
    if isinstance(error, EndlessOrdersError):
        return StrategyError(f"{error} (event {event:,}): a hook sends whenever it is told what came of what it has sent")
    if frame is None:
        return None
    where = f"{frame.filename}:{frame.lineno} in {frame.name}"
    return StrategyError(f"{where}: {type(error).__name__}: {error} (event {event:,}, time {time_ns:,} ns)")


class Param:
    """A parameter: set in the constructor, by ``--set NAME=VALUE`` or in TOML; in hooks a plain attribute.

    Parameters
    ----------
    default : float, int, str or bool
        Its type is that of the parameter.
    doc : str
    unit : str, optional
    min, max : float, optional
        Range of a number, ends included.
    """

    def __init__(self, default: Any, doc: str = "", *, unit: str = "", min: float | None = None, max: float | None = None) -> None:
        self.default, self.doc, self.unit, self.min, self.max = default, doc, unit, min, max
        self.name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name
        self.check(self.default)

    def __get__(self, instance: object, owner: type) -> Any:
        return self if instance is None else self.default  # of a class that is no Strategy: instances have values of their own

    def check(self, value: Any) -> Any:
        """Return the value of the right type and in range; text is read."""
        kind = type(self.default)
        try:
            if isinstance(value, str) and kind is bool:
                value = {"true": True, "false": False}[value.lower()]
            elif isinstance(value, str) and kind is not str:
                value = float(value) if kind is int and not value.lstrip("+-").isdigit() else kind(value)
            elif kind is float and isinstance(value, int) and not isinstance(value, bool):
                value = float(value)
        except (ValueError, KeyError):
            raise ValueError(f"{self.name} must be of type {kind.__name__}: {self.name}={value!r}") from None
        if type(value) is not kind and not (kind is int and type(value) is float):  # a size may have a fraction
            raise TypeError(f"{self.name} must be of type {kind.__name__}: {self.name}={value!r}")
        if isinstance(value, float) and value != value:
            raise ValueError(f"{self.name} must be a number: {self.name}={value}")
        low, high = self.min, self.max
        if (low is not None and value < low) or (high is not None and value > high):
            raise ValueError(f"{self.name} must be in {'' if low is None else low}..{'' if high is None else high}: {self.name}={value}")
        return value


class Symbol:
    """A market that a strategy needs by a name of its own; in hooks the handle of that market.

    Parameters
    ----------
    default : str
        Its symbol in the data.
    doc : str
    """

    def __init__(self, default: str, doc: str = "") -> None:
        self.default, self.doc, self.name = default, doc, ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: object, owner: type) -> Any:
        if instance is None:
            return self
        raise AttributeError(f"the market {self.name} is there once the run has begun")


def every(period: str) -> Callable[[Method], Method]:
    """Call a method of a strategy at each multiple of a period such as ``"100ms"`` of our clock."""
    period_ns = duration_ns(period)
    if period_ns < 1_000:
        raise ValueError(f"a period must be at least 1us: {period!r}")

    def mark(method: Method) -> Method:
        method._every_ns = period_ns  # type: ignore[attr-defined]
        return method

    return mark


def _declared(kind: type, what: type) -> Iterator[Any]:
    seen = set()
    for parent in kind.__mro__:
        for name, value in {**vars(parent), **vars(parent).get("_stated", {})}.items():
            if name not in seen and isinstance(value, what):
                yield value
            seen.add(name)


class Strategy:
    """Base of strategies in Python.

    Override the hooks that are needed; only those are called: ``on_start()``, ``on_book(m)`` (a best price or size of `m` has
    changed, or whether it trades), ``on_depth(m)`` (its book has), ``on_trade(m, trade)``, ``on_fill(m, fill)``, ``on_order(m, order)``
    (what came of an own order), ``on_stop()``, and methods with ``@every``. They are called when an instant is over, in this order: own
    orders, trades, books, timers, depth; what they want leaves behind the last of them. State is plain attributes.

    Attributes
    ----------
    markets : tuple of Handle
    now : int
        Our clock in ns since 1970, as the run has it.
    random : random.Random
        Seeded by the run: the same run draws the same numbers.

    Notes
    -----
    **Thread safety**: belongs to one run.
    """

    _core: PythonStrategy | None
    _symbols: dict[str, str]
    _records: Recorder
    _log: list[tuple[int, str]]
    _stated: ClassVar[dict[str, Param]]
    random: random.Random

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        # Parameters leave the class: CPython reads an attribute of an instance without a detour where the class has none of that name.
        cls._stated = {name: value for name, value in vars(cls).items() if isinstance(value, Param)}
        for name in cls._stated:
            delattr(cls, name)
        for name in vars(cls):
            if name.startswith("on_") and name not in HOOKS:
                raise TypeError(f"{cls.__name__} has a hook that does not exist: {name}{suggestion(name, HOOKS)}")
            if name in HOOKS and inspect.isfunction(hook := vars(cls)[name]):
                try:
                    inspect.signature(hook).bind(None, *HOOKS[name])
                except TypeError:
                    wanted = ", ".join(("self", *HOOKS[name]))
                    raise TypeError(f"{cls.__name__}.{name} must take ({wanted}): def {name}{inspect.signature(hook)}") from None

    def __new__(cls, *arguments: Any, **parameters: Any) -> Self:
        """Set up what hooks need, whatever the constructor of a class does."""
        self = super().__new__(cls)
        for param in _declared(cls, Param):
            setattr(self, param.name, param.default)
        self._symbols = {symbol.name: symbol.default for symbol in _declared(cls, Symbol)}
        self._core = None
        self._records, self._log = Recorder(), []
        self.random = random.Random(0)
        return self

    def __init__(self, **parameters: Any) -> None:
        known = {p.name: p for p in _declared(type(self), Param)}
        symbols = self._symbols
        for name, value in parameters.items():
            if name in symbols:
                self._symbols[name] = str(value)
            elif name in known:
                setattr(self, name, known[name].check(value))
            else:
                names = [*known, *symbols]
                has = f"; it has {', '.join(names)}" if names else "; it has none"
                raise TypeError(f"{type(self).__name__} has no parameter {name}{suggestion(name, names) or has}")

    @property
    def parameters(self) -> dict[str, Any]:
        """Names and values."""
        return {p.name: getattr(self, p.name) for p in _declared(type(self), Param)} | self._symbols

    @property
    def markets(self) -> tuple[Handle, ...]:
        """The markets of the run."""
        return self._running().markets

    def market(self, symbol: str) -> Handle:
        """Return the handle of a symbol."""
        for handle in self.markets:
            if handle.symbol == symbol:
                return handle
        names = [handle.symbol for handle in self.markets]
        raise UnknownSymbolError(f"the run has no market {symbol}{suggestion(symbol, names)}")

    @property
    def now(self) -> int:
        """Our clock, ns since 1970."""
        return self._running().now

    def after(self, delay: str, method: Callable[[], Any]) -> None:
        """Call a method once, a duration such as ``"250ms"`` from now."""
        self._running().after(duration_ns(delay), method)

    def record(self, market: Handle | None = None, **columns: float) -> None:
        """Add a row to the result: a value for each name, of a market or of all."""
        self._records.add(self.now, "" if market is None else market.symbol, columns)

    def log(self, text: str) -> None:
        """Add a line to the log of the result, with the time."""
        self._log.append((self.now, str(text)))

    def stop(self, why: str) -> None:
        """End the run; nothing behind this call is done."""
        raise StopRun(why)

    def _running(self) -> PythonStrategy:
        if self._core is None:
            raise RuntimeError(f"{type(self).__name__} is not in a run: this is for hooks")
        return self._core

    def _begin(self, markets: Mapping[int, Instrument], seed: int = 0) -> PythonStrategy:
        """Join a run, with markets by dense id."""
        own = type(self)
        hooks = {name: getattr(self, name) for name in HOOKS if hasattr(own, name)}
        periods = [
            (getattr(self, name), method._every_ns)
            for name in dir(own)
            if hasattr(method := getattr(own, name), "_every_ns")
        ]
        batches, clocks = batches_of(self)
        self._core = PythonStrategy(hooks, markets, [*periods, *clocks], duration_ns)
        self._core.collect(batches)
        for name, symbol in self._symbols.items():
            setattr(self, name, self.market(symbol))
        self._records, self._log = Recorder(), []
        if own.record is Strategy.record:
            self.record = self._core.recording(self._records)  # type: ignore[method-assign]
        self.random = random.Random(f"{own.__name__} {seed}")
        return self._core
