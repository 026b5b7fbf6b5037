from collections.abc import Iterable
from typing import final

from fastcore.source import Source
from fastcore.wire.itch import ItchDecoder

__all__ = ["ItchSource"]

@final
class ItchSource(Source):
    def __init__(self, chunks: Iterable[bytes | bytearray | memoryview], decoder: ItchDecoder) -> None: ...
    @property
    def decoder(self) -> ItchDecoder: ...
    @property
    def left(self) -> int: ...
