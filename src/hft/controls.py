"""What is changed while a run goes on: limits, parameters of strategies, kill and arm.

A control is done between two instants: behind everything of its time on our clock, and the desk acts on it at once. A journal writes
it down before it is done, with its time, and a rerun does it at that time again, so that the orders are the same.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec
import numpy as np

from .conditions import suggestion
from .config import ConfigError
from .strategy import Strategy

if TYPE_CHECKING:
    from fastcore.engine import Engine
    from fastcore.instruments import Instrument

__all__ = ["Control", "Controls", "read_controls"]


class Control(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One change: exactly one of `limits`, `parameters` and `action`.

    Attributes
    ----------
    at_ns : int, optional
        Our time; by default as soon as it is asked for.
    at : str, optional
        The same as text in UTC: ``2020-01-30T10:00:00``.
    limits : dict, optional
        Names and values of ``fastcore.risk.RiskLimits.change``.
    symbol : str, optional
        Instrument whose own limits these are.
    parameters : dict, optional
        Of a strategy in Python, or keys of ``[market_maker]`` of the one that comes with the package.
    strategy : str, optional
        Its name, where there are several.
    action : {"kill", "arm", "new_day"}, optional
    by : str
        Who asks for it.
    """

    at_ns: int | None = None
    at: str | None = None
    limits: dict[str, Any] | None = None
    symbol: str | None = None
    parameters: dict[str, Any] | None = None
    strategy: str | None = None
    action: Literal["kill", "arm", "new_day"] | None = None
    by: str = ""

    def __post_init__(self) -> None:
        if sum(part is not None for part in (self.limits, self.parameters, self.action)) != 1:
            raise ValueError("a control must be one of limits, parameters and action")
        if self.at is not None and self.at_ns is not None:
            raise ValueError(f"at and at_ns must not both be given: at={self.at!r} at_ns={self.at_ns}")

    @property
    def due_ns(self) -> int | None:
        """Our time, where one is said."""
        return self.at_ns if self.at is None else int(np.datetime64(self.at.removesuffix("Z"), "ns").astype(np.int64))


def read_controls(path: Path) -> list[Control]:
    """Return the controls of a file, one JSON object a line.

    Raises
    ------
    ConfigError
        If a line is no control; says which.
    """
    controls = []
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from None
    for number, line in enumerate(lines, 1):
        try:
            if line.strip():
                controls.append(msgspec.json.decode(line, type=Control))
                _ = controls[-1].due_ns
        except (msgspec.DecodeError, ValueError) as error:
            raise ConfigError(f"{path}:{number}: {error}") from None
    return controls


class Tuned(Protocol):
    """A strategy whose parameters change while a run goes on."""

    def checked(self, parameters: Mapping[str, Any], /) -> Any:
        """Return what `take` takes; TypeError and ValueError where parameters are not valid."""

    def take(self, values: Any, /) -> None:
        """Go on with other values."""


def _nothing() -> None:
    return None


class OfClass:
    """Parameters of a strategy in Python."""

    def __init__(self, strategy: Strategy) -> None:
        self.strategy = strategy

    def checked(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return them as the constructor takes them; TypeError and ValueError as there."""
        for name in self.strategy._symbols.keys() & parameters.keys():
            raise TypeError(f"a market cannot be another while a run goes on: {name}")
        other = type(self.strategy).__new__(type(self.strategy))
        Strategy.__init__(other, **parameters)
        return {name: other.__dict__[name] for name in parameters}

    def take(self, values: dict[str, Any]) -> None:
        """They are attributes."""
        self.strategy.__dict__.update(values)


class Controls:
    """The controls of one run.

    Parameters
    ----------
    planned : iterable of Control
        With their times.
    write : callable(dict), optional
        Writes each down before it is done.

    Attributes
    ----------
    done : list of Control
        With the times at which they were.
    """

    def __init__(self, planned: Iterable[Control] = (), write: Callable[[dict[str, Any]], object] | None = None) -> None:
        self.planned, self.write = list(planned), write
        self.done: list[Control] = []
        self._waiting: list[Control] = []
        self._engine: Callable[[], Engine | None] = _nothing  # weakly: an engine holds its controls

    def begin(self, engine: Engine, markets: Mapping[int, Instrument], strategies: Mapping[str, Strategy | Tuned]) -> None:
        """Take part in a run.

        Raises
        ------
        ConfigError
            If a planned control is about something that the run does not have.
        """
        self._engine = weakref.ref(engine)
        self._strategies = {name: OfClass(each) if isinstance(each, Strategy) else each for name, each in strategies.items()}
        self._rows = {instrument.symbol: row for row, instrument in markets.items()}
        for control in self.planned:
            self._check(control)
            if control.due_ns is None:
                raise ConfigError(f"a planned control must have a time: {control}")
            self._waiting.append(control)
            engine.control(control, control.due_ns)

    @property
    def waiting(self) -> int:
        """Controls whose time has not come."""
        return len(self._waiting)

    def ask(self, control: Control) -> None:
        """Ask for a control, from any thread.

        Raises
        ------
        ConfigError
            If it is about something that the run does not have.
        """
        engine = self._running()
        self._check(control)
        self._waiting.append(control)
        engine.control(control, control.due_ns)

    def change(self, *, symbol: str | None = None, by: str = "", **limits: Any) -> None:
        """Change limits: all of them or none; ``RiskLimits.audit`` tells."""
        self.ask(Control(limits=limits, symbol=symbol, by=by))

    def kill(self, *, by: str = "") -> None:
        """Pull everything and let nothing pass until armed."""
        self.ask(Control(action="kill", by=by))

    def arm(self, *, by: str = "") -> None:
        """Let orders pass again."""
        self.ask(Control(action="arm", by=by))

    def new_day(self, *, by: str = "") -> None:
        """Count the loss of the day from now."""
        self.ask(Control(action="new_day", by=by))

    def set(self, *, strategy: str | None = None, by: str = "", **parameters: Any) -> None:
        """Set parameters of a strategy."""
        self.ask(Control(parameters=parameters, strategy=strategy, by=by))

    def apply(self, number: int, time_ns: int, what: Control | Mapping[str, Any]) -> None:
        """Write one down and do it: what an engine calls."""
        if isinstance(what, Control):
            control = what
            self._waiting.remove(what)
        else:
            control = msgspec.convert(what, Control)
        control = msgspec.structs.replace(control, at_ns=time_ns, at=None)
        if self.write is not None:
            self.write(msgspec.to_builtins(control))
        self.done.append(control)
        limits = self._running().desk.limits
        if control.limits is not None:
            row = None if control.symbol is None else self._rows[control.symbol]
            limits.change(symbol_id=row, by=control.by, **_as_given(control.limits))
        elif control.parameters is not None:
            strategy = self._strategy(control)
            strategy.take(strategy.checked(control.parameters))
        else:
            {"kill": limits.kill, "arm": limits.arm, "new_day": limits.new_day}[str(control.action)](by=control.by)

    def _running(self) -> Engine:
        engine = self._engine()
        if engine is None:
            raise ConfigError("controls belong to a run that has begun")
        return engine

    def _strategy(self, control: Control) -> Tuned:
        names = list(self._strategies)
        name = control.strategy or (names[0] if len(names) == 1 else "")
        if name not in self._strategies:
            raise ConfigError(f"there is no such strategy with parameters: strategy={name!r}{suggestion(name, names)}")
        return self._strategies[name]

    def _check(self, control: Control) -> None:
        if control.symbol is not None and control.symbol not in self._rows:
            raise ConfigError(f"a symbol must be in the run: symbol={control.symbol!r}{suggestion(control.symbol, list(self._rows))}")
        known = self._running().desk.limits.settings()
        for name in control.limits or ():
            if name not in known:
                raise ConfigError(f"there is no such limit: {name}{suggestion(name, list(known))}")
        if control.parameters is not None:
            try:
                self._strategy(control).checked(control.parameters)
            except (TypeError, ValueError) as error:
                raise ConfigError(str(error)) from None



def _as_given(limits: Mapping[str, Any]) -> dict[str, Any]:
    """Limits as they came from JSON, which has lists for pairs."""
    return {name: {k: tuple(v) for k, v in value.items()} if name == "groups" and value else value for name, value in limits.items()}


