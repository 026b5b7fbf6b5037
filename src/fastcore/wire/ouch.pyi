from typing import Any, final

import numpy as np
import numpy.typing as npt

from fastcore.symbols import SymbolMapper
from fastcore.wire.ouch_fields import OPTIONS, OUCH_DTYPE, details, pack_options, parse_options
from fastcore.wire.tally import _Decoder

__all__ = ["OPTIONS", "OUCH_DTYPE", "OuchDecoder", "OuchEncoder", "details", "pack_options", "parse_options"]

@final
class OuchDecoder(_Decoder):
    def __new__(
        cls, outbound: bool, symbols: SymbolMapper | None = None, midnight_ns: int = 0, strict: bool = False
    ) -> OuchDecoder: ...
    def decode(
        self,
        data: Any,
        rows: npt.NDArray[np.void],
        out: npt.NDArray[np.void],
        details: npt.NDArray[np.void],
        local_ns: int = 0,
        offset: int = 0,
    ) -> int: ...
    @property
    def outbound(self) -> bool: ...
    @property
    def midnight_ns(self) -> int: ...

@final
class OuchEncoder:
    def __new__(cls, outbound: bool, midnight_ns: int = 0) -> OuchEncoder: ...
    def encode(
        self, events: npt.NDArray[np.void], details: npt.NDArray[np.void], data: Any = b""
    ) -> tuple[bytes, npt.NDArray[np.void]]: ...
    @property
    def outbound(self) -> bool: ...
    @property
    def midnight_ns(self) -> int: ...
