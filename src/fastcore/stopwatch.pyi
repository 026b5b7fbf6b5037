from typing import final

from fastcore.histogram import Histogram

__all__ = ["STAGE_NAMES", "Stopwatch"]

STAGE_NAMES: tuple[str, ...]

@final
class Stopwatch:
    def __init__(self, sample_every: int = 256) -> None: ...
    @property
    def stages(self) -> dict[str, Histogram]: ...
