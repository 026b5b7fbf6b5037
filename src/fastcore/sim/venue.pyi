from typing import Final, final

import numpy as np
import numpy.typing as npt

from fastcore.book import LevelBook, OrderBook

__all__ = ["TOOK", "UNKNOWN", "Venue"]

TOOK: Final[int]
UNKNOWN: Final[int]

@final
class Venue:
    def __new__(cls, capacity: int = 64, symbol_id: int = 0, by_level: bool = False) -> Venue: ...
    def submit(self, book: OrderBook | LevelBook, side: int, price_ticks: int, size_lots: int) -> int: ...
    def cancel(self, order_id: int) -> int: ...
    def replace(self, book: OrderBook | LevelBook, order_id: int, price_ticks: int, size_lots: int) -> int: ...
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
    ) -> None: ...
    def take_reports(self) -> npt.NDArray[np.void]: ...
    def orders(self) -> list[tuple[int, int, int, int, int]]: ...
    def check(self) -> None: ...
    @property
    def capacity(self) -> int: ...
    @property
    def open_buy_lots(self) -> int: ...
    @property
    def open_sell_lots(self) -> int: ...
    @property
    def filled_lots(self) -> int: ...
