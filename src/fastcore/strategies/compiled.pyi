from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Self, final

import numpy as np
import numpy.typing as npt

from fastcore.strategies.hooks import PythonStrategy
from fastcore.strategy import Strategy

__all__ = ["FUNCTIONS", "LAYOUTS", "PROBLEMS", "CompiledStrategy"]

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
    ) -> Self: ...
    def load(self, functions: Mapping[str, int], methods: Sequence[int], kept: object) -> None: ...
    def market_address(self, symbol_id: int) -> int: ...
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
