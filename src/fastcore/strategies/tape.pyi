from typing import Self, final

from fastcore.strategy import Strategy
from fastcore.tickstore import TickStore

__all__ = ["Tape"]

@final
class Tape(Strategy):
    def __new__(
        cls,
        symbol_id: int,
        store: TickStore,
        *,
        stored_id: int | None = None,
        ticks_per_price: float = 10000.0,
        lots_per_unit: float = 1.0,
    ) -> Self: ...
    @property
    def store(self) -> TickStore: ...
    @property
    def symbol_id(self) -> int: ...
    @property
    def refused(self) -> int: ...
