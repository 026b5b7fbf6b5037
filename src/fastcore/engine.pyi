from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Self, final

import numpy as np
import numpy.typing as npt

from fastcore.desk import Desk
from fastcore.journal import Journal
from fastcore.market import Market
from fastcore.source import Source
from fastcore.stopwatch import Stopwatch
from fastcore.strategy import Strategy

__all__ = ["CURVE_DTYPE", "Engine"]

CURVE_DTYPE: np.dtype[np.void]

@final
class Engine:
    def __new__(
        cls,
        source: Source,
        market: Market,
        desk: Desk | None = None,
        strategies: Mapping[str, Strategy] | None = None,
        *,
        curve_symbol_id: int | Sequence[int] | None = None,
        curve_interval_ns: int = 1_000_000_000,
        sample_every: int = 256,
        journal: Journal | None = None,
        on_control: Callable[[int, int, Any], object] | None = None,
    ) -> Self: ...
    def run(self) -> Literal["end", "idle", "stopped"]: ...
    def stop(self) -> None: ...
    def control(self, what: object, due_ns: int | None = None) -> None: ...
    @property
    def controls_waiting(self) -> int: ...
    def owners(self) -> npt.NDArray[np.uint8]: ...
    def reports(self) -> npt.NDArray[np.void]: ...
    def curve(self) -> npt.NDArray[np.void]: ...
    @property
    def source(self) -> Source: ...
    @property
    def market(self) -> Market: ...
    @property
    def desk(self) -> Desk: ...
    @property
    def strategies(self) -> dict[str, Strategy]: ...
    @property
    def stopwatch(self) -> Stopwatch: ...
    @property
    def journal(self) -> Journal | None: ...
    @property
    def events(self) -> int: ...
    @property
    def stopped(self) -> bool: ...
    @property
    def loop_ns(self) -> int: ...
    @property
    def last_ns(self) -> int: ...
