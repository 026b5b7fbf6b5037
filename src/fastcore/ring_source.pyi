from typing import final

from fastcore.ring import RingBuffer
from fastcore.source import Source

__all__ = ["RingSource"]

@final
class RingSource(Source):
    def __init__(self, ring: RingBuffer) -> None: ...
    @property
    def ring(self) -> RingBuffer: ...
