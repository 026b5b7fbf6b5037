"""Plain-Python twin of ``fastcore.records``: the layouts spelled out as ``struct`` formats."""

import struct

import numpy as np

BUY, SELL, NO_SIDE = 1, -1, 0
NO_PRICE = -(2**63)
NO_SYMBOL = 2**32 - 1

EVENT_STRUCT = struct.Struct("=QqqIBbH4q")
TICK_STRUCT = struct.Struct("@QIdd")

KINDS = {
    name: number
    for number, name in enumerate(
        "none quote trade add execute cancel delete replace level clear status timer order ack fill reject pull pulled "
        "system listing cross break imbalance notice gap bar".split()
    )
}
FLAGS = {name: 1 << bit for bit, name in enumerate("continued hidden not_printable snapshot own".split())}


def _event_dtype(payload: str) -> np.dtype[np.void]:
    return np.dtype(
        {
            "names": ["seq", "exch_ns", "local_ns", "symbol_id", "kind", "side", "flags", *payload.split()],
            "formats": ["=u8", "=i8", "=i8", "=u4", "u1", "i1", "=u2", "=i8", "=i8", "=i8", "=i8"],
            "offsets": [0, 8, 16, 24, 28, 29, 30, 32, 40, 48, 56],
            "itemsize": 64,
        }
    )


EVENT_DTYPE = _event_dtype("price size order_id match_id")
QUOTE_DTYPE = _event_dtype("bid ask bid_size ask_size")
REPLACE_DTYPE = _event_dtype("price size order_id new_order_id")
TICK_DTYPE = np.dtype([("timestamp_ns", "=u8"), ("symbol_id", "=u4"), ("price", "=f8"), ("volume", "=f8")], align=True)


def kind_name(kind: int) -> str:
    """Return the name of an event kind."""
    for name, number in KINDS.items():
        if number == kind:
            return name
    raise ValueError(f"kind must be one of 0..{len(KINDS) - 1}: kind={kind}")
