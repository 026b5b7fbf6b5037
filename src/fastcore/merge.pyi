from collections.abc import Sequence
from typing import Self, final

import numpy as np
import numpy.typing as npt

from fastcore.source import Source

__all__ = ["MergeSource"]

@final
class MergeSource(Source):
    def __new__(
        cls,
        sources: Sequence[Source],
        offsets_ns: Sequence[int] | None = None,
        ids: Sequence[npt.NDArray[np.uint32] | None] | None = None,
    ) -> Self: ...
    @property
    def sources(self) -> tuple[Source, ...]: ...
