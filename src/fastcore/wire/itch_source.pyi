from collections.abc import Iterable
from typing import Self, final

from fastcore.source import Source
from fastcore.wire.itch import ItchDecoder

__all__ = ["ItchSource"]

@final
class ItchSource(Source):
    def __new__(cls, chunks: Iterable[bytes | bytearray | memoryview], decoder: ItchDecoder) -> Self: ...
    @property
    def decoder(self) -> ItchDecoder: ...
    @property
    def left(self) -> int: ...
