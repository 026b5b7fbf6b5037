from typing import Any

import numpy as np
import numpy.typing as npt
from typing_extensions import disjoint_base

from fastcore.wire.tally import _Decoder

__all__: list[str] = []

@disjoint_base
class _LineDecoder(_Decoder):
    def set_symbol(
        self,
        symbol: str,
        symbol_id: int | None = None,
        price_decimals: int | None = None,
        size_decimals: int | None = None,
    ) -> None: ...
    def decode(self, data: Any, out: npt.NDArray[np.void], final: bool = False) -> tuple[int, int]: ...
    @property
    def symbols(self) -> dict[int, tuple[str, int, int]]: ...
    @property
    def stale(self) -> int: ...
    @property
    def gaps(self) -> int: ...
