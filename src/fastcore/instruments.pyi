from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import NamedTuple, final

import numpy as np
import numpy.typing as npt

__all__ = ["Instrument", "Instruments"]

class Instrument(NamedTuple):
    symbol: str
    tick_size: float
    lot_size: float
    increment_ticks: int = 1
    low_increment_ticks: int = 1
    low_below_ticks: int = 0
    multiplier: float = 1.0
    currency: str = ""
    venue: str = ""
    maker_fee_ticks: int = 0
    taker_fee_ticks: int = 0
    kind: str = "linear"
    signed_prices: bool = False
    @property
    def unit_value(self) -> Fraction: ...

@final
class Instruments:
    def __init__(
        self,
        instruments: Iterable[Instrument | str | bytes] = (),
        *,
        capacity: int = 1_000_000,
        tick_size: float = 0.0001,
        lot_size: float = 1.0,
        increment_ticks: int = 1,
        low_increment_ticks: int = 1,
        low_below_ticks: int = 0,
        multiplier: float = 1.0,
        currency: str = "",
        venue: str = "",
        maker_fee_ticks: int = 0,
        taker_fee_ticks: int = 0,
        kind: str = "linear",
        signed_prices: bool = False,
    ) -> None: ...
    def add(
        self,
        symbol: Instrument | str | bytes,
        *,
        tick_size: float | None = None,
        lot_size: float | None = None,
        increment_ticks: int | None = None,
        low_increment_ticks: int | None = None,
        low_below_ticks: int | None = None,
        multiplier: float | None = None,
        currency: str | None = None,
        venue: str | None = None,
        maker_fee_ticks: int | None = None,
        taker_fee_ticks: int | None = None,
        kind: str | None = None,
        signed_prices: bool | None = None,
    ) -> int: ...
    def id_of(self, symbol: str | bytes) -> int | None: ...
    def price_to_ticks(self, symbol_id: int, price: float) -> int: ...
    def ticks_to_price(self, symbol_id: int, ticks: int) -> float: ...
    def prices_to_ticks(self, ids: npt.ArrayLike, prices: npt.ArrayLike) -> npt.NDArray[np.int64]: ...
    def ticks_to_prices(self, ids: npt.ArrayLike, ticks: npt.ArrayLike) -> npt.NDArray[np.float64]: ...
    @property
    def symbols(self) -> list[str]: ...
    @property
    def defaults(self) -> Instrument: ...
    @property
    def capacity(self) -> int: ...
    def __getitem__(self, symbol_id: int, /) -> Instrument: ...
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Instrument]: ...
    def __contains__(self, symbol: object, /) -> bool: ...
