from typing import Self, final

from fastcore.avellaneda import Quoter
from fastcore.flow import EwmaVolatility
from fastcore.strategy import Strategy

__all__ = ["MarketMaker"]

@final
class MarketMaker(Strategy):
    def __new__(
        cls,
        symbol_id: int,
        quoter: Quoter,
        volatility: EwmaVolatility | None = None,
        *,
        order_lots: int = 100,
        time_left: float = 1.0,
        ticks_per_price: float = 10000.0,
        mid_move_ticks: float | None = None,
    ) -> Self: ...
    def change(
        self, quoter: Quoter, *, order_lots: int, time_left: float, mid_move_ticks: float | None = None
    ) -> None: ...
    @property
    def quoter(self) -> Quoter: ...
    @property
    def volatility(self) -> EwmaVolatility | None: ...
    @property
    def symbol_id(self) -> int: ...
    @property
    def quotes(self) -> int: ...
