from typing import Final, final

import numpy as np
import numpy.typing as npt

from fastcore.book import LevelBook, OrderBook
from fastcore.sim.queues import QueueModel

__all__ = ["TOOK", "UNKNOWN", "Venue"]

TOOK: Final[int]
UNKNOWN: Final[int]

@final
class Venue:
    def __new__(
        cls,
        capacity: int = 64,
        symbol_id: int = 0,
        by_level: bool = False,
        *,
        displaced_ns: int | None = None,
        self_trade: str = "refuse",
        signed_prices: bool = False,
        details: bool = False,
        print_lag_ns: int = 10_000_000,
        level_lag_ns: int = 0,
        queue: QueueModel | None = None,
    ) -> Venue: ...
    def submit(self, book: OrderBook | LevelBook, side: int, price_ticks: int, size_lots: int, terms: int = 0) -> int: ...
    def cancel(self, order_id: int) -> int: ...
    def replace(self, book: OrderBook | LevelBook, order_id: int, price_ticks: int, total_lots: int) -> int: ...
    def amend(self, book: OrderBook | LevelBook, order_id: int, price_ticks: int, total_lots: int) -> int: ...
    def expire(self, now_ns: int) -> None: ...
    def apply(
        self,
        kind: int,
        side: int,
        price: int,
        size: int,
        stamp: int,
        new_price: int = ...,
        new_size: int = 0,
        match_id: int = 0,
        exch_ns: int = 0,
        seq: int = 0,
        flags: int = 0,
        grew: bool = False,
        order_id: int = 0,
        new_order_id: int = 0,
    ) -> None: ...
    def take_reports(self) -> npt.NDArray[np.void]: ...
    def orders(self) -> list[tuple[int, int, int, int, int]]: ...
    def check(self) -> None: ...
    @property
    def trading(self) -> str | None: ...
    @trading.setter
    def trading(self, state: str | None) -> None: ...
    @property
    def due_ns(self) -> int | None: ...
    @property
    def displaced_lots(self) -> int: ...
    @property
    def deferred_lots(self) -> int: ...
    @property
    def forgotten(self) -> int: ...
    @property
    def capacity(self) -> int: ...
    @property
    def open_buy_lots(self) -> int: ...
    @property
    def open_sell_lots(self) -> int: ...
    @property
    def filled_lots(self) -> int: ...
