from collections.abc import Sequence
from typing import Self, final

import numpy as np
import numpy.typing as npt

__all__ = ["MARKOUT_DTYPE", "Markouts"]

MARKOUT_DTYPE: np.dtype[np.void]

@final
class Markouts:
    def __new__(cls, horizons_ns: Sequence[int] = ()) -> Self: ...
    def array(self) -> npt.NDArray[np.void]: ...
    @property
    def horizons_ns(self) -> tuple[int, ...]: ...
    @property
    def fills(self) -> int: ...
    @property
    def lost(self) -> int: ...
