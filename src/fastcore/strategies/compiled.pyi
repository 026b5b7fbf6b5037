from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Self, final

import numpy as np
import numpy.typing as npt

from fastcore.strategies.hooks import Order, PythonStrategy
from fastcore.strategy import Strategy

__all__ = ["CAUSES", "FUNCTIONS", "LAYOUTS", "PROBLEMS", "STATES", "CompiledStrategy"]

CAUSES: Final[tuple[str, ...]]
STATES: Final[tuple[str, ...]]

FUNCTIONS: Final[dict[str, int]]
LAYOUTS: Final[dict[str, dict[str, tuple[str, int]]]]
PROBLEMS: Final[dict[str, int]]

@final
class CompiledStrategy(Strategy):
    def __new__(
        cls,
        python: PythonStrategy,
        hooks: Iterable[str],
        prepare: Callable[[CompiledStrategy, bool], object],
        explain: Callable[[int, int, int, int, tuple[float, float]], object],
        *,
        every: Iterable[int] = (),
        room: int = 0,
        texts: Iterable[str] = (),
        columns: int | None = None,
        orders: bool = False,
    ) -> Self: ...
    def load(self, functions: Mapping[str, int], methods: Sequence[int], kept: object) -> None: ...
    def market_address(self, symbol_id: int) -> int: ...
    def order(self, address: int) -> Order | None: ...
    def why(self, code: int, given: float) -> str: ...
    @property
    def random(self) -> tuple[Any, ...]: ...
    @random.setter
    def random(self, state: tuple[Any, ...]) -> None: ...
    def records(self) -> npt.NDArray[np.void] | None: ...
    @property
    def room(self) -> int: ...
    @property
    def attributes(self) -> bytes: ...
    @attributes.setter
    def attributes(self, values: bytes) -> None: ...
    @property
    def ready(self) -> bool: ...
    @property
    def reasons(self) -> dict[str, int]: ...
