from collections.abc import Sequence
from typing import Any, Final, NamedTuple, final

import numpy as np
import numpy.typing as npt

__all__ = ["OVERHEAD", "Pair", "SyntheticMarket", "Truth"]

OVERHEAD: Final[tuple[int, int]]

class Pair(NamedTuple):
    first: str
    second: str
    hedge_ratio: float = 1.0
    half_life_s: float = 60.0
    spread_ticks: float = 1_000.0

class Truth(NamedTuple):
    options: dict[str, Any]
    times_ns: npt.NDArray[np.int64] | None
    reference: npt.NDArray[np.float64] | None
    spreads: npt.NDArray[np.float64] | None
    intensity: npt.NDArray[np.float64] | None

@final
class SyntheticMarket:
    def __new__(
        cls,
        messages: int,
        seed: int = 1,
        symbols: Sequence[str] | str = ...,
        midnight_ns: int = 0,
        *,
        tail: float = ...,
        orders: int = 160,
        reactive: bool = False,
        branching: float | None = None,
        burst_s: float = 0.5,
        u_shape: float = 0.4,
        volatility: float | None = None,
        correlation: float = 0.0,
        pairs: Sequence[tuple[Any, ...]] = (),
        step_s: float = 1.0,
        all_types: bool = False,
    ) -> SyntheticMarket: ...
    @property
    def symbols(self) -> tuple[str, ...]: ...
    @property
    def seed(self) -> int: ...
    @property
    def truth(self) -> Truth: ...
    def fill(self, events: npt.NDArray[np.void]) -> int: ...
    @property
    def remaining(self) -> int: ...
