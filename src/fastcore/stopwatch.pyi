from collections.abc import Mapping
from typing import Self, final

from fastcore.histogram import Histogram

__all__ = ["STAGE_NAMES", "Stopwatch"]

STAGE_NAMES: tuple[str, ...]

@final
class Stopwatch:
    def __new__(cls, sample_every: int = 256) -> Self: ...
    @property
    def stages(self) -> Mapping[str, Histogram]: ...
