from typing import Self, final

from fastcore.ring import RingBuffer
from fastcore.source import Source

__all__ = ["RingSource"]

@final
class RingSource(Source):
    def __new__(cls, ring: RingBuffer) -> Self: ...
    @property
    def ring(self) -> RingBuffer: ...
