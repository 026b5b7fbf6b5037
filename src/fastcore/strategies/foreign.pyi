from collections.abc import Iterable
from typing import Any, Final, Self, final

import numpy as np
import numpy.typing as npt

from fastcore.strategy import Strategy

__all__ = ["CHANGE_DTYPE", "CONTEXT_DTYPE", "CONTEXT_VERSION", "HOOKS", "POSITION_DTYPE", "STRATEGY_DTYPE", "TOP_DTYPE", "ForeignStrategy"]

CONTEXT_VERSION: Final[int]
HOOKS: Final[dict[str, int]]
CONTEXT_DTYPE: Final[np.dtype[np.void]]
STRATEGY_DTYPE: Final[np.dtype[np.void]]
TOP_DTYPE: Final[np.dtype[np.void]]
POSITION_DTYPE: Final[np.dtype[np.void]]
CHANGE_DTYPE: Final[np.dtype[np.void]]

@final
class ForeignStrategy(Strategy):
    def __new__(
        cls,
        on: Any,
        symbol_ids: int | Iterable[int],
        hooks: Iterable[str] | None = None,
        *,
        kinds: Iterable[str] = (),
        reports: Iterable[str] = (),
        state: npt.NDArray[Any] | int | None = None,
    ) -> Self: ...
    @property
    def address(self) -> int: ...
