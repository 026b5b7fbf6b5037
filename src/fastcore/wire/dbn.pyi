from typing import Any, Final, final

import numpy as np
import numpy.typing as npt

__all__ = ["LENGTHS", "DbnDecoder"]

LENGTHS: Final[dict[int, int]]

@final
class DbnDecoder:
    def __new__(cls, ts_out: bool = False, joined: bool = True) -> DbnDecoder: ...
    def decode(self, data: Any, out: npt.NDArray[np.void], final: bool = False) -> tuple[int, int]: ...
    def set_symbol_id(self, instrument: int, symbol_id: int | None) -> None: ...
    @property
    def unknown(self) -> int | None: ...
    @property
    def blocked(self) -> bool: ...
    @property
    def counts(self) -> dict[str, int]: ...
