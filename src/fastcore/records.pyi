from typing import Any, Final

import numpy as np

__all__ = [
    "BUY",
    "EVENT_DTYPE",
    "FLAGS",
    "KINDS",
    "NO_PRICE",
    "NO_SIDE",
    "NO_SYMBOL",
    "QUOTE_DTYPE",
    "REPLACE_DTYPE",
    "SELL",
    "SESSION",
    "TERMS",
    "TICK_DTYPE",
    "TRADING",
    "kind_name",
    "layout",
    "order_terms",
]

EVENT_DTYPE: Final[np.dtype[np.void]]
QUOTE_DTYPE: Final[np.dtype[np.void]]
REPLACE_DTYPE: Final[np.dtype[np.void]]
TICK_DTYPE: Final[np.dtype[np.void]]
BUY: Final[int]
SELL: Final[int]
NO_SIDE: Final[int]
NO_PRICE: Final[int]
NO_SYMBOL: Final[int]
KINDS: Final[dict[str, int]]
FLAGS: Final[dict[str, int]]
TERMS: Final[dict[str, int]]
TRADING: Final[dict[str, int]]
SESSION: Final[dict[str, int]]

def kind_name(kind: Any) -> str: ...
def order_terms(type: str = "limit", time: str = "day", *, post_only: bool = False, expiry_ns: int = 0) -> int: ...
def layout() -> dict[str, dict[str, tuple[int, int]]]: ...
