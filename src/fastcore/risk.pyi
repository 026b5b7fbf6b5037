from typing import Self, final

__all__ = ["RiskLimits"]

@final
class RiskLimits:
    max_order_lots: int | None
    max_position_lots: int | None
    collar_ticks: int | None
    def __new__(
        cls, max_order_lots: int | None = None, max_position_lots: int | None = None, collar_ticks: int | None = None
    ) -> Self: ...
    @property
    def checked(self) -> int: ...
    @property
    def passed(self) -> int: ...
    @property
    def rejected(self) -> dict[str, int]: ...
    def check(
        self,
        side: int,
        price_ticks: int,
        size_lots: int,
        position_lots: int = 0,
        open_buy_lots: int = 0,
        open_sell_lots: int = 0,
        reference_ticks: int | None = None,
    ) -> int: ...
    def require(
        self,
        side: int,
        price_ticks: int,
        size_lots: int,
        position_lots: int = 0,
        open_buy_lots: int = 0,
        open_sell_lots: int = 0,
        reference_ticks: int | None = None,
    ) -> None: ...
    def reset_counts(self) -> None: ...
