from typing import Self, final

import numpy as np
import numpy.typing as npt
from numpy.typing import ArrayLike

__all__ = ["Latency"]

@final
class Latency:
    def __new__(cls, mean_ns: int = 0, deviation_ns: int = 0, *, log: bool = False) -> Self: ...
    @staticmethod
    def recorded(times_ns: ArrayLike, delays_ns: ArrayLike) -> Latency: ...
    def delays(self, times_ns: ArrayLike, connection: str = "venue.order") -> npt.NDArray[np.int64]: ...
    @property
    def model(self) -> str: ...
    @property
    def mean_ns(self) -> int: ...
    @property
    def deviation_ns(self) -> int: ...
