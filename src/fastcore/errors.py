"""Result codes, exceptions, and the one map from the first to the second.

The codes are those of ``enum fc_result`` in ``fc_records.h``; compiled ``nogil`` code returns them, and only the Python
boundary turns them into exceptions.
"""

from enum import IntEnum
from typing import NoReturn


class Result(IntEnum):
    """Outcome of a call that returns a code instead of raising; 0 is success."""

    OK = 0
    FULL = 1
    EMPTY = 2
    CLOSED = 3
    PEER_DEAD = 4
    OVERRUN = 5
    LAYOUT = 6
    LOCKED = 7
    CORRUPT = 8
    IO = 9
    NO_MEMORY = 10
    SHORT_BUFFER = 11
    UNKNOWN_TYPE = 12
    BAD_LENGTH = 13
    UNKNOWN_SYMBOL = 14
    UNKNOWN_ORDER = 15
    DUPLICATE_ORDER = 16
    BAD_PRICE = 17
    BAD_SIZE = 18
    LIMIT_SIZE = 19
    LIMIT_POSITION = 20
    LIMIT_COLLAR = 21
    NO_REFERENCE = 22
    STORE_FAILED = 23
    GAP = 24
    CHECKSUM = 25
    BAD_TERMS = 26
    NOT_TRADING = 27
    SELF_TRADE = 28
    POST_ONLY = 29
    UNFILLABLE = 30
    EXPIRED = 31
    KILLED = 32
    DISABLED = 33
    BAD_CLOCK = 34
    OFF_INCREMENT = 35
    OFF_LOT = 36
    LIMIT_MINIMUM = 37
    LIMIT_VALUE = 38
    LIMIT_LAST = 39
    STALE_MARKET = 40
    CROSSED_MARKET = 41
    FEED_LAG = 42
    SHORT_SALE = 43
    REPEATED_ORDER = 44
    LIMIT_ORDERS = 45
    LIMIT_GROSS = 46
    LIMIT_NET = 47
    LIMIT_GROUP_GROSS = 48
    LIMIT_GROUP_NET = 49
    BUYING_POWER = 50
    RATE_SECOND = 51
    RATE_MINUTE = 52
    ORDER_TO_TRADE = 53
    LOSS_REALISED = 54
    LOSS_UNREALISED = 55
    LOSS_DAY = 56
    LOSS_DRAWDOWN = 57
    REPEATED_FILLS = 58


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


class BusyError(FastcoreError, RuntimeError):
    """An object serves one call at a time, and another one, of another thread, is inside."""


class BookError(FastcoreError):
    """An order book operation refers to an unknown or duplicate order."""


class SequenceGapError(FastcoreError):
    """Messages of a feed are missing: what was built from it is stale until the next snapshot."""


class OrderError(FastcoreError):
    """A venue refused an order, or took it out."""


class EndlessOrdersError(FastcoreError, RuntimeError):
    """What is sent at one time, and what comes of it, does not come to an end."""


class RiskError(FastcoreError):
    """A pre-trade limit refused an order."""


# code -> (text, exception); every code but OK.
RESULTS: dict[int, tuple[str, type[Exception]]] = {
    Result.FULL: ("full", RingError),
    Result.EMPTY: ("empty", RingError),
    Result.CLOSED: ("closed", RingError),
    Result.PEER_DEAD: ("peer dead", PeerDeadError),
    Result.OVERRUN: ("overrun", OverrunError),
    Result.LAYOUT: ("layout", LayoutError),
    Result.LOCKED: ("locked", StoreLockedError),
    Result.CORRUPT: ("corrupt", CorruptDataError),
    Result.IO: ("input/output", OSError),
    Result.NO_MEMORY: ("out of memory", MemoryError),
    Result.SHORT_BUFFER: ("short buffer", CorruptDataError),
    Result.UNKNOWN_TYPE: ("unknown message type", CorruptDataError),
    Result.BAD_LENGTH: ("bad length", CorruptDataError),
    Result.UNKNOWN_SYMBOL: ("unknown symbol", UnknownSymbolError),
    Result.UNKNOWN_ORDER: ("unknown order", BookError),
    Result.DUPLICATE_ORDER: ("duplicate order", BookError),
    Result.BAD_PRICE: ("price outside range", ValueError),
    Result.BAD_SIZE: ("size outside range", ValueError),
    Result.LIMIT_SIZE: ("size limit", RiskError),
    Result.LIMIT_POSITION: ("position limit", RiskError),
    Result.LIMIT_COLLAR: ("price collar", RiskError),
    Result.NO_REFERENCE: ("no reference price", RiskError),
    Result.STORE_FAILED: ("store failed", StoreError),
    Result.GAP: ("sequence gap", SequenceGapError),
    Result.CHECKSUM: ("checksum", CorruptDataError),
    Result.BAD_TERMS: ("terms that contradict each other", ValueError),
    Result.NOT_TRADING: ("not trading", OrderError),
    Result.SELF_TRADE: ("would meet an own order", OrderError),
    Result.POST_ONLY: ("would trade on arrival", OrderError),
    Result.UNFILLABLE: ("not enough to fill", OrderError),
    Result.EXPIRED: ("expired", OrderError),
    Result.KILLED: ("kill switch", RiskError),
    Result.DISABLED: ("instrument disabled", RiskError),
    Result.BAD_CLOCK: ("clock", RiskError),
    Result.OFF_INCREMENT: ("price off the increment", RiskError),
    Result.OFF_LOT: ("size off the lot", RiskError),
    Result.LIMIT_MINIMUM: ("minimum size", RiskError),
    Result.LIMIT_VALUE: ("order value", RiskError),
    Result.LIMIT_LAST: ("collar of the last trade", RiskError),
    Result.STALE_MARKET: ("stale market data", RiskError),
    Result.CROSSED_MARKET: ("crossed market", RiskError),
    Result.FEED_LAG: ("feed lag", RiskError),
    Result.SHORT_SALE: ("short sale", RiskError),
    Result.REPEATED_ORDER: ("repeated order", RiskError),
    Result.LIMIT_ORDERS: ("open orders", RiskError),
    Result.LIMIT_GROSS: ("gross exposure", RiskError),
    Result.LIMIT_NET: ("net exposure", RiskError),
    Result.LIMIT_GROUP_GROSS: ("gross exposure of a group", RiskError),
    Result.LIMIT_GROUP_NET: ("net exposure of a group", RiskError),
    Result.BUYING_POWER: ("buying power", RiskError),
    Result.RATE_SECOND: ("messages per second", RiskError),
    Result.RATE_MINUTE: ("messages per minute", RiskError),
    Result.ORDER_TO_TRADE: ("order-to-trade ratio", RiskError),
    Result.LOSS_REALISED: ("realised loss", RiskError),
    Result.LOSS_UNREALISED: ("unrealised loss", RiskError),
    Result.LOSS_DAY: ("loss of the day", RiskError),
    Result.LOSS_DRAWDOWN: ("drawdown", RiskError),
    Result.REPEATED_FILLS: ("repeated executions", RiskError),
}

# code -> text of what reading data and applying them to a book gives: these are counted there.
DATA_RESULTS = {code: name for code, (name, _) in RESULTS.items() if code <= Result.CHECKSUM}


def raise_result(code: int, message: str) -> NoReturn:
    """Raise the exception that belongs to `code`, with `message` (the rule, then the values)."""
    name, exception = RESULTS.get(code, (f"result {code}", FastcoreError))
    raise exception(f"{name}: {message}")


def range_error(name: str, value: object, low: object, high: object, **others: object) -> ValueError:
    """Return the error that `name` must be in LOW..HIGH, both included; `others` are values on which the bounds depend."""
    rest = "".join(f", {other}={number}" for other, number in others.items())
    return ValueError(f"{name} must be in {_bound(low)}..{_bound(high)}: {name}={value}{rest}")


def _bound(bound: object) -> str:
    # Long powers of two are easier to read as such.
    if isinstance(bound, int) and bound > 65536:
        if bound & (bound - 1) == 0:
            return f"2**{bound.bit_length() - 1}"
        if bound & (bound + 1) == 0:
            return f"2**{bound.bit_length()}-1"
    return str(bound)
