from collections.abc import Sequence
from typing import final

import numpy as np
import numpy.typing as npt

from fastcore.source import Source

__all__ = ["MergeSource"]

@final
class MergeSource(Source):
    def __init__(
        self,
        sources: Sequence[Source],
        offsets_ns: Sequence[int] | None = None,
        ids: Sequence[npt.NDArray[np.uint32] | None] | None = None,
    ) -> None: ...
    @property
    def sources(self) -> tuple[Source, ...]: ...
