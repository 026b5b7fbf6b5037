from collections.abc import Iterable
from typing import Any, Final, final

import numpy as np
import numpy.typing as npt

from fastcore.instruments import Instruments
from fastcore.wire.tally import _Decoder

__all__ = ["LENGTHS", "LISTING_DTYPE", "MAX_EVENTS", "UNITS", "WIRE_DTYPE", "ItchDecoder", "ItchEncoder", "whole_messages"]

LENGTHS: Final[dict[str, int]]
LISTING_DTYPE: Final[np.dtype[np.void]]
MAX_EVENTS: Final[int]
UNITS: Final[dict[str, Any]]
WIRE_DTYPE: Final[np.dtype[np.void]]

def whole_messages(data: Any) -> tuple[int, int]: ...

@final
class ItchDecoder(_Decoder):
    def __new__(
        cls,
        midnight_ns: int = 0,
        strict: bool = False,
        *,
        instruments: Instruments | None = None,
        wanted: Iterable[str | bytes] | None = None,
    ) -> ItchDecoder: ...
    def decode(
        self, data: Any, out: npt.NDArray[np.void], final: bool = False, wire: npt.NDArray[np.void] | None = None
    ) -> tuple[int, int]: ...
    @property
    def instruments(self) -> Instruments | None: ...
    @property
    def wanted(self) -> frozenset[str] | None: ...
    @property
    def listings(self) -> npt.NDArray[np.void]: ...
    def symbol(self, locate: int) -> str | None: ...
    @property
    def symbol_ids(self) -> dict[int, int]: ...
    @property
    def symbols(self) -> dict[int, str]: ...
    @property
    def midnight_ns(self) -> int: ...

@final
class ItchEncoder:
    def __new__(cls, midnight_ns: int = 0) -> ItchEncoder: ...
    def set_symbol(self, locate: int, symbol: str | bytes) -> None: ...
    def encode(self, events: npt.NDArray[np.void], wire: npt.NDArray[np.void] | None = None) -> bytes: ...
