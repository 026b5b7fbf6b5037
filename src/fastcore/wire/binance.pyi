from typing import final

from fastcore.wire._lines import _LineDecoder

__all__ = ["BinanceDecoder"]

@final
class BinanceDecoder(_LineDecoder):
    def __new__(
        cls,
        price_decimals: int = 8,
        size_decimals: int = 8,
        strict: bool = False,
        image_symbol: str | None = None,
        max_held: int = 65_536,
    ) -> BinanceDecoder: ...
    @property
    def pending(self) -> int: ...
    @property
    def skipped(self) -> int: ...
    @property
    def stale_images(self) -> int: ...
    @property
    def held(self) -> int: ...
    @property
    def dropped(self) -> int: ...
