from collections.abc import Mapping, Sequence
from typing import Any, final

import numpy as np
import numpy.typing as npt

__all__ = ["Recorder"]

@final
class Recorder:
    def add(self, time_ns: int, symbol: str, columns: Mapping[str, float]) -> None: ...
    def add_many(
        self,
        times: npt.NDArray[np.int64],
        keys: Sequence[tuple[str, ...]],
        which: npt.NDArray[np.int64],
        values: npt.NDArray[np.float64],
    ) -> None: ...
    def arrays(self) -> dict[str, npt.NDArray[Any]]: ...
