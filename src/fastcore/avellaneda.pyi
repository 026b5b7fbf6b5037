from collections.abc import Iterable, Sequence
from typing import Any, Self, final

import numpy as np
import numpy.typing as npt

from fastcore.quote_models import MODELS as MODELS
from fastcore.quote_models import solve_depths as solve_depths

__all__ = ["MODELS", "Quoter", "QuoterSet", "indifference_prices", "simd", "solve_depths"]

def simd() -> str: ...
def indifference_prices(
    gamma: float, inventory: float, max_inventory: int, *, sigma: float | None = None, omega: float | None = None
) -> tuple[float, float]: ...

@final
class Quoter:
    def __new__(
        cls,
        model: str = "avellaneda_stoikov",
        *,
        gamma: float,
        sigma: float,
        k: float | None = None,
        A: float | None = None,
        xi: float | None = None,
        order_size: float = 1.0,
        drift: float = 0.0,
        adverse_selection: float = 0.0,
        max_inventory: int | None = None,
        omega: float | None = None,
        horizon: float | None = None,
        rows: int = 129,
        limit: float | None = None,
        spread_factor: float = 1.0,
        inventory_unit: float = 1.0,
        inventory_limit: float = ...,
        tick_size: float = 0.01,
        increment_ticks: int = 1,
        low_increment_ticks: int = 1,
        low_below_ticks: int = 0,
        min_spread_ticks: int = 1,
    ) -> Self: ...
    def quote(self, mid: float, inventory: float = 0.0, time_left: float = 0.0, volatility: float | None = None) -> None: ...
    def ladder(
        self,
        levels: int = 5,
        spacing_ticks: float = 10,
        multipliers: Sequence[float] = (1.0, 1.5, 2.2, 3.4, 5.1),
        size: float = 1.0,
        size_step: float = 0.15,
        min_size: float = 0.3,
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]: ...
    @property
    def model(self) -> str: ...
    @property
    def bid(self) -> float: ...
    @property
    def ask(self) -> float: ...
    @property
    def reservation(self) -> float: ...
    @property
    def spread(self) -> float: ...
    @property
    def bid_ticks(self) -> int | None: ...
    @property
    def ask_ticks(self) -> int | None: ...
    @property
    def volatility(self) -> float: ...
    @volatility.setter
    def volatility(self, value: float) -> None: ...
    @property
    def parameters(self) -> dict[str, Any]: ...

@final
class QuoterSet:
    def __init__(self, quoters: Iterable[Quoter]) -> None: ...
    def quote(
        self, mids: npt.ArrayLike, inventories: npt.ArrayLike, time_left: float | npt.NDArray[np.float64] = 0.0
    ) -> None: ...
    def round(self) -> None: ...
    def set_volatilities(self, volatilities: npt.ArrayLike) -> None: ...
    @property
    def bids(self) -> npt.NDArray[np.float64]: ...
    @property
    def asks(self) -> npt.NDArray[np.float64]: ...
    @property
    def bid_ticks(self) -> npt.NDArray[np.int64]: ...
    @property
    def ask_ticks(self) -> npt.NDArray[np.int64]: ...
    def __len__(self) -> int: ...
