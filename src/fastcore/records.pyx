"""The 64-byte event and the 32-byte tick as NumPy dtypes, with their kinds, sides, flags and sentinels.

Layout (``fc_records.h`` asserts it at compile time, ``tests/test_records.py`` against NumPy)::

    0        8         16         24          28     29     30      32                              64
    | seq u8 | exch_ns | local_ns | symbol_id | kind | side | flags | payload: 4 x int64, by kind   |

The commit word ``seq`` is written last, with release order, when a record is published in a ring or a store.
"""

import numpy as np

from fastcore._integers cimport as_int64


__all__ = [
    "EVENT_DTYPE",
    "QUOTE_DTYPE",
    "REPLACE_DTYPE",
    "TICK_DTYPE",
    "BUY",
    "SELL",
    "NO_SIDE",
    "NO_PRICE",
    "NO_SYMBOL",
    "KINDS",
    "FLAGS",
    "TERMS",
    "SESSION",
    "TRADING",
    "kind_name",
    "order_terms",
    "layout",
]

_HEAD = [
    ("seq", np.uint64),
    ("exch_ns", np.int64),
    ("local_ns", np.int64),
    ("symbol_id", np.uint32),
    ("kind", np.uint8),
    ("side", np.int8),
    ("flags", np.uint16),
]


def _event_dtype(*payload):
    return np.dtype(_HEAD + [(name, np.int64) for name in payload])


# One layout under three sets of payload names: events.view(QUOTE_DTYPE) costs nothing.
EVENT_DTYPE = _event_dtype("price", "size", "order_id", "match_id")
QUOTE_DTYPE = _event_dtype("bid", "ask", "bid_size", "ask_size")
REPLACE_DTYPE = _event_dtype("price", "size", "order_id", "new_order_id")
TICK_DTYPE = np.dtype(
    {
        "names": ["timestamp_ns", "symbol_id", "price", "volume"],
        "formats": [np.uint64, np.uint32, np.float64, np.float64],
        "offsets": [0, 8, 16, 24],
        "itemsize": 32,
    }
)

# The same names are those of C constants here, which an assignment cannot reach.
globals().update(BUY=BUY, SELL=SELL, NO_SIDE=NO_SIDE, NO_PRICE=NO_PRICE, NO_SYMBOL=NO_SYMBOL)

KINDS = {
    "none": KIND_NONE,
    "quote": KIND_QUOTE,
    "trade": KIND_TRADE,
    "add": KIND_ADD,
    "execute": KIND_EXECUTE,
    "cancel": KIND_CANCEL,
    "delete": KIND_DELETE,
    "replace": KIND_REPLACE,
    "level": KIND_LEVEL,
    "clear": KIND_CLEAR,
    "status": KIND_STATUS,
    "timer": KIND_TIMER,
    "order": KIND_ORDER,
    "ack": KIND_ACK,
    "fill": KIND_FILL,
    "reject": KIND_REJECT,
    "pull": KIND_PULL,
    "pulled": KIND_PULLED,
    "system": KIND_SYSTEM,
    "listing": KIND_LISTING,
    "cross": KIND_CROSS,
    "break": KIND_BREAK,
    "imbalance": KIND_IMBALANCE,
    "notice": KIND_NOTICE,
    "gap": KIND_GAP,
    "bar": KIND_BAR,
    "amend": KIND_AMEND,
    "detail": KIND_DETAIL,
    "control": KIND_CONTROL,
    "target": KIND_TARGET,
}
TRADING = {
    "unknown": TRADING_UNKNOWN,
    "halted": TRADING_HALTED,
    "paused": TRADING_PAUSED,
    "quotation": TRADING_QUOTATION,
    "trading": TRADING_TRADING,
}
SESSION = {
    "unknown": SESSION_UNKNOWN,
    "messages_begin": SESSION_MESSAGES_BEGIN,
    "system_opens": SESSION_SYSTEM_OPENS,
    "market_opens": SESSION_MARKET_OPENS,
    "market_closes": SESSION_MARKET_CLOSES,
    "system_closes": SESSION_SYSTEM_CLOSES,
    "messages_end": SESSION_MESSAGES_END,
}
FLAGS = {
    "continued": FLAG_CONTINUED,
    "hidden": FLAG_HIDDEN,
    "not_printable": FLAG_NOT_PRINTABLE,
    "snapshot": FLAG_SNAPSHOT,
    "own": FLAG_OWN,
    "maker": FLAG_MAKER,
    "taker": FLAG_TAKER,
    "at": FLAG_AT,
    "through": FLAG_THROUGH,
    "crossing": FLAG_CROSSING,
    "took": FLAG_TOOK,
    "auction": FLAG_AUCTION,
    "held": FLAG_HELD,
}
TERMS = {
    "limit": TERMS_LIMIT,
    "market": TERMS_MARKET,
    "day": TERMS_DAY,
    "ioc": TERMS_IOC,
    "fok": TERMS_FOK,
    "gtd": TERMS_GTD,
    "post_only": TERMS_POST_ONLY,
}
_KIND_NAMES = {value: name for name, value in KINDS.items()}


def kind_name(kind):
    """Return the name of an event kind.

    Parameters
    ----------
    kind : int
        Value of the ``kind`` field of an event.

    Returns
    -------
    str
        Name, as in ``KINDS``.

    Raises
    ------
    ValueError
        If no kind has that number.
    """
    try:
        return _KIND_NAMES[int(kind)]
    except KeyError:
        raise ValueError(f"kind must be one of 0..{KIND_COUNT - 1}: kind={kind}") from None


def order_terms(type="limit", time="day", *, bint post_only=False, expiry_ns=0):
    """Return the terms of an order as one number, the fourth payload word of an `order` event.

    Parameters
    ----------
    type : {"limit", "market"}, default "limit"
        What a market order leaves is pulled.
    time : {"day", "ioc", "fok", "gtd"}, default "day"
        How long it rests: the whole day; not at all; not at all, and only filled in full; until its expiry.
    post_only : bool, default False
        Refused where it would trade on arrival.
    expiry_ns : int, default 0
        Of a "gtd" order, ns since the UNIX epoch, 256..2**63-1; its low eight bits are cut off.

    Raises
    ------
    ValueError
        If a word is unknown, or the terms contradict each other.
    """
    if type not in ("limit", "market"):
        raise ValueError(f"type must be limit or market: type={type}")
    if time not in ("day", "ioc", "fok", "gtd"):
        raise ValueError(f"time must be day, ioc, fok or gtd: time={time}")
    cdef int64_t expiry = as_int64(expiry_ns)
    if time == "gtd" and expiry < 256 or time != "gtd" and expiry != 0:
        raise ValueError(f"expiry_ns must be in 256..2**63-1 for gtd, and 0 otherwise: expiry_ns={expiry_ns}, time={time}")
    if post_only and (type == "market" or time in ("ioc", "fok")) or type == "market" and time == "gtd":
        raise ValueError(f"terms must agree: type={type}, time={time}, post_only={bool(post_only)}")
    return TERMS[type] | TERMS[time] | (TERMS["post_only"] if post_only else 0) | expiry & ~TERMS_BITS


def layout():
    """Return the layout of the C structs, measured by the compiler.

    Returns
    -------
    dict
        ``{"event": {field: (offset, size), ..., "": (0, sizeof)}, "tick": {...}}`` in bytes.
    """
    cdef event_t e
    cdef tick_t k
    cdef char* b = <char*> &e
    cdef char* c = <char*> &k
    return {
        "event": {
            "seq": (<char*> &e.seq - b, sizeof(e.seq)),
            "exch_ns": (<char*> &e.exch_ns - b, sizeof(e.exch_ns)),
            "local_ns": (<char*> &e.local_ns - b, sizeof(e.local_ns)),
            "symbol_id": (<char*> &e.symbol_id - b, sizeof(e.symbol_id)),
            "kind": (<char*> &e.kind - b, sizeof(e.kind)),
            "side": (<char*> &e.side - b, sizeof(e.side)),
            "flags": (<char*> &e.flags - b, sizeof(e.flags)),
            "price": (<char*> &e.price - b, sizeof(e.price)),
            "size": (<char*> &e.size - b, sizeof(e.size)),
            "order_id": (<char*> &e.order_id - b, sizeof(e.order_id)),
            "match_id": (<char*> &e.match_id - b, sizeof(e.match_id)),
            "new_order_id": (<char*> &e.new_order_id - b, sizeof(e.new_order_id)),
            "bid": (<char*> &e.bid - b, sizeof(e.bid)),
            "ask": (<char*> &e.ask - b, sizeof(e.ask)),
            "bid_size": (<char*> &e.bid_size - b, sizeof(e.bid_size)),
            "ask_size": (<char*> &e.ask_size - b, sizeof(e.ask_size)),
            "": (0, sizeof(e)),
        },
        "tick": {
            "timestamp_ns": (<char*> &k.timestamp_ns - c, sizeof(k.timestamp_ns)),
            "symbol_id": (<char*> &k.symbol_id - c, sizeof(k.symbol_id)),
            "price": (<char*> &k.price - c, sizeof(k.price)),
            "volume": (<char*> &k.volume - c, sizeof(k.volume)),
            "": (0, sizeof(k)),
        },
    }
