from typing import Literal, Self, final

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastcore._slots import _Handle, _Wait

__all__ = ["RingBuffer"]

@final
class RingBuffer(_Handle):
    def __new__(
        cls,
        capacity: int,
        dtype: DTypeLike | None = None,
        *,
        name: str | None = None,
        role: Literal["both", "producer", "consumer"] | None = None,
        wait: _Wait = "yield",
    ) -> Self: ...
    @staticmethod
    def attach(
        name: str,
        dtype: DTypeLike | None = None,
        *,
        capacity: int | None = None,
        role: Literal["both", "producer", "consumer"] = "consumer",
        wait: _Wait = "yield",
    ) -> RingBuffer: ...
    @property
    def role(self) -> Literal["both", "producer", "consumer"] | None: ...
    @property
    def consumed(self) -> int: ...
    @property
    def consumer_pid(self) -> int | None: ...
    @property
    def consumer_alive(self) -> bool | None: ...
    def try_pop(self) -> np.void | None: ...
    def pop(self, timeout: float | None = None, wait: _Wait | None = None) -> np.void: ...
    def try_pop_batch(self, out: NDArray[np.void]) -> int: ...
    def pop_batch(self, out: NDArray[np.void], timeout: float | None = None, wait: _Wait | None = None) -> int: ...
    def try_peek(self, count: int = 1) -> NDArray[np.void]: ...
    def peek(self, count: int = 1, timeout: float | None = None, wait: _Wait | None = None) -> NDArray[np.void]: ...
    def release(self, count: int | None = None) -> None: ...
