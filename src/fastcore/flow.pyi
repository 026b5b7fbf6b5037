from typing import Self, final

__all__ = ["EwmaVolatility"]

@final
class EwmaVolatility:
    def __new__(
        cls,
        decay: float | None = None,
        *,
        half_life: float | None = None,
        interval_ns: int = 0,
        relative: bool = False,
        variance: float | None = None,
    ) -> Self: ...
    def update(self, price: float, time_ns: int = 0) -> None: ...
    @property
    def variance(self) -> float: ...
    @property
    def volatility(self) -> float: ...
    @property
    def decay(self) -> float: ...
    @property
    def half_life(self) -> float: ...
    @property
    def count(self) -> int: ...
