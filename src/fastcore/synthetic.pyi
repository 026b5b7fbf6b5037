from collections.abc import Sequence
from typing import Final, final

import numpy as np
import numpy.typing as npt

__all__ = ["OVERHEAD", "SyntheticMarket"]

OVERHEAD: Final[tuple[int, int]]

@final
class SyntheticMarket:
    def __new__(
        cls, messages: int, seed: int = 1, symbols: Sequence[str] | str = ("SYNTH",), midnight_ns: int = 0
    ) -> SyntheticMarket: ...
    @property
    def symbols(self) -> tuple[str, ...]: ...
    @property
    def seed(self) -> int: ...
    def fill(self, events: npt.NDArray[np.void]) -> int: ...
    @property
    def remaining(self) -> int: ...
