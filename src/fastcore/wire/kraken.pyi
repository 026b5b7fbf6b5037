from typing import final

from fastcore.wire._lines import _LineDecoder

__all__ = ["KrakenDecoder"]

@final
class KrakenDecoder(_LineDecoder):
    def __new__(
        cls,
        price_decimals: int | None = None,
        size_decimals: int | None = None,
        depth: int | None = None,
        strict: bool = False,
    ) -> KrakenDecoder: ...
    def book(self, symbol: str) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]: ...
    def checksum(self, symbol: str) -> int: ...
    @property
    def checked(self) -> int: ...
    @property
    def matched(self) -> int: ...
    @property
    def first_mismatch(self) -> int | None: ...
