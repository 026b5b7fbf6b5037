from typing import Any, final

import numpy as np
import numpy.typing as npt

from fastcore.wire.soup_packets import (
    MAX_PAYLOAD,
    SOUP_DTYPE,
    debug,
    end_of_session,
    heartbeat,
    login_accepted,
    login_rejected,
    login_request,
    logout_request,
    parse_login_accepted,
    parse_login_request,
    sequenced,
    unsequenced,
)
from fastcore.wire.tally import _Decoder

__all__ = [
    "MAX_PAYLOAD", "SOUP_DTYPE", "SoupDecoder", "debug", "encode", "end_of_session", "heartbeat", "login_accepted",
    "login_rejected", "login_request", "logout_request", "parse_login_accepted", "parse_login_request", "sequenced", "unsequenced",
]  # fmt: skip

@final
class SoupDecoder(_Decoder):
    def __new__(cls, next_sequence: int = 1, strict: bool = False) -> SoupDecoder: ...
    def decode(self, data: Any, out: npt.NDArray[np.void], final: bool = False) -> tuple[int, int]: ...
    def push(self, chunk: Any) -> tuple[memoryview, npt.NDArray[np.void]]: ...
    @property
    def pending(self) -> int: ...
    @property
    def next_sequence(self) -> int: ...

def encode(data: Any, rows: npt.NDArray[np.void]) -> bytes: ...
