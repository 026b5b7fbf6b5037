"""Exceptions of the core, and the one map from a result code to an exception.

The codes are those of ``records.pxd`` (``enum fc_result`` in ``fc_records.h``); compiled ``nogil`` code returns
them, and only the Python boundary turns them into exceptions.
"""

from typing import NoReturn


class FastcoreError(Exception):
    """Base of every exception that is particular to this package."""


class RingError(FastcoreError):
    """A ring is closed, of another layout, or its peer is gone."""


class OverrunError(RingError):
    """A broadcast consumer was overtaken by the producer; records were lost and are counted."""

    lost: int = 0


class PeerDeadError(RingError):
    """The process at the other end of a shared ring no longer exists."""


class LayoutError(FastcoreError, ValueError):
    """Shared memory or a file has another magic, version, record size or byte order."""


class StoreError(FastcoreError):
    """A tick store refused an operation."""


class StoreLockedError(StoreError):
    """Another process is the writer of this store."""


class CorruptDataError(FastcoreError, ValueError):
    """Stored or received bytes break their format."""


class UnknownSymbolError(FastcoreError, KeyError):
    """A symbol or symbol id is not in the mapper."""

    __str__ = Exception.__str__


class BookError(FastcoreError):
    """An order book operation refers to an unknown or duplicate order."""


class SequenceGapError(FastcoreError):
    """Messages of a feed are missing: what was built from it is stale until the next snapshot."""


class RiskError(FastcoreError):
    """A pre-trade limit refused an order."""


# code -> (name, exception); mirrors enum fc_result.
RESULTS: dict[int, tuple[str, type[Exception]]] = {
    1: ("full", RingError),
    2: ("empty", RingError),
    3: ("closed", RingError),
    4: ("peer dead", PeerDeadError),
    5: ("overrun", OverrunError),
    6: ("layout", LayoutError),
    7: ("locked", StoreLockedError),
    8: ("corrupt", CorruptDataError),
    9: ("input/output", OSError),
    10: ("out of memory", MemoryError),
    11: ("short buffer", CorruptDataError),
    12: ("unknown message type", CorruptDataError),
    13: ("bad length", CorruptDataError),
    14: ("unknown symbol", UnknownSymbolError),
    15: ("unknown order", BookError),
    16: ("duplicate order", BookError),
    17: ("price outside range", ValueError),
    18: ("size outside range", ValueError),
    19: ("size limit", RiskError),
    20: ("position limit", RiskError),
    21: ("price collar", RiskError),
    22: ("no reference price", RiskError),
    23: ("store failed", StoreError),
    24: ("sequence gap", SequenceGapError),
    25: ("checksum", CorruptDataError),
}


def raise_result(code: int, message: str) -> NoReturn:
    """Raise the exception that belongs to `code`, with `message` (the rule, then the values)."""
    name, exception = RESULTS.get(code, (f"result {code}", FastcoreError))
    raise exception(f"{name}: {message}")
