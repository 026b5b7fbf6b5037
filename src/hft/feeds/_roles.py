"""Which column of a table has which role: by the names that people and vendors give to columns, or as they are told.

====== =============================================================== =========================================================
kind   roles (those in brackets may be absent)                         events
====== =============================================================== =========================================================
quotes time, bid, ask, [bid_size, ask_size]                            quote; a side without a price is empty
trades time, price, [size, side, id]                                   trade; the side column gives the aggressor, the event the
                                                                       resting side; id is match_id
bars   time, open, high, low, close, [volume, count]                   bar (two events); exch_ns is the end of the interval
orders time, action, id, [price, size, side, new_id]                   add, cancel, delete, execute, replace, trade by `actions`
levels time, side, price, size, [snapshot]                             level, size 0 where it vanishes; rows of a snapshot rebuild
                                                                       the book
books  time, bid0, bid_size0, ask0, ask_size0, bid1, ...               level: an image first, then what changes between two rows
====== =============================================================== =========================================================

Every kind may have the roles symbol, local_time, seq, and date: the day of a time that is only a clock.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

__all__ = [
    "BUYER_IS_MAKER", "BUYER_IS_TAKER", "KINDS_OF_ROWS", "Kind", "Roles", "assign_roles", "check_roles", "depth_roles", "is_table", "plain",
]  # fmt: skip

Kind = Literal["quotes", "trades", "bars", "orders", "levels", "books"]

# In the order in which they are tried.
KINDS_OF_ROWS: dict[Kind, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "books": (("time", "bid0", "bid_size0", "ask0", "ask_size0"), ()),
    "quotes": (("time", "bid", "ask"), ("bid_size", "ask_size")),
    "bars": (("time", "open", "high", "low", "close"), ("volume", "count")),
    "orders": (("time", "action", "id"), ("price", "size", "side", "new_id")),
    "levels": (("time", "side", "price", "size"), ("snapshot",)),
    "trades": (("time", "price"), ("size", "side", "id")),
}
_SHARED = ("symbol", "local_time", "seq", "date")
_DEPTH = re.compile(r"(bid|ask)(_size)?\d+")
_INDEX = ("", "index", "indexlevel0", "unnamed0")  # what pandas calls an index without a name: in CSV, frame, Parquet, CSV read again
# Names without case, spaces and punctuation, in order of preference.
_ALIASES = {
    "time": "time timestamp ts tsevent exchns exchtime timeexchange datetime gmttime localtime transacttime transactiontime eventtime "
            "participanttimestamp siptimestamp createdtime opentime windowstart timem timens unix unixtimestamp date".split(),
    "local_time": "localns localtimestamp localtime receivetime recvtime tsrecv timecoinapi".split(),
    "date": "date day tradedate tradingday tradingdate".split(),
    "bid": "bid bidprice bestbid bidpx bidpx00 bestbidprice bidprice0 bidprice1".split(),
    "ask": "ask askprice bestask askpx askpx00 bestaskprice askprice0 askprice1 offer offerprice ofr".split(),
    "bid_size": "bidsize bidqty bidvolume bestbidqty bestbidsize bidsz bidsz00 bidamount bidsiz bidsx".split(),
    "ask_size": "asksize askqty askvolume bestaskqty bestasksize asksz asksz00 askamount offersize asksiz ofrsiz asksx".split(),
    "price": "price px last lastprice tradeprice".split(),
    "size": "size sz qty quantity volume amount shares lastsize baseamount vol".split(),
    "side": "side direction aggressor aggressorside takerside buysell isbuyermaker buyermaker sell issell isbuy".split(),
    "action": "action type messagetype msgtype event eventtype".split(),
    "id": "id orderid oid reference ref tradeid matchid aggtradeid guid trdmatchid".split(),
    "new_id": "newid neworderid newreference".split(),
    "snapshot": "issnapshot snapshot".split(),
    "open": ["open", "o"], "high": ["high", "h"], "low": ["low", "l"], "close": "close c last closelast price".split(),
    "volume": "volume vol v qty tickvol".split(), "count": "count trades transactions numberoftrades n".split(),
    "symbol": "symbol ticker instrument sym pair symroot instrumentname ric".split(),
    "seq": "seq sequence updateid sequencenumber".split(),
}  # fmt: skip
BUYER_IS_MAKER = ("isbuyermaker", "buyermaker", "sell", "issell")  # of which true means that the aggressor has sold
BUYER_IS_TAKER = ("isbuy",)  # ... has bought
_PRICE, _SIZE = "price|px|p", "amount|size|siz|sz|qty|quantity|volume|vol|q"
_DEPTHS = (
    (re.compile(rf"(bid|ask)s?(\d+)({_PRICE}|{_SIZE})"), 1, 2, 3),
    (re.compile(rf"(bid|ask)s?({_PRICE}|{_SIZE})(\d+)"), 1, 3, 2),
)
_SIDES = {"BUY", "SELL", "B", "S", "BID", "ASK"}
_IMAGES = {"SNAPSHOT", "PARTIAL", "UPDATE", "DELTA", "CHANGE", "INCREMENTAL"}  # words of a column that says what is one
# What is known by its columns and has no rows that are one of our kinds.
_OTHERS = {
    "a table of funding and open interest": {"fundingrate", "openinterest", "markprice"},
    "a table of depth by percentage": {"percentage", "depth", "notional"},
}
_DATABENTO = {"rtype", "publisherid", "instrumentid"}
_METATRADER = {"date", "time", "bid", "ask", "last", "volume", "flags"}
_DATABENTO_ACTIONS = {
    "A": "add", "C": "cancel", "M": "replace", "R": "clear", "T": "trade", "F": "fill", "N": "ignore",
}  # fmt: skip


@dataclass
class Roles:
    """What a table is.

    Attributes
    ----------
    kind : Kind
    columns : dict of role to index
    settings : dict
        Options that the vendor's form of the table asks for: `price_places`, `actions`, `only`, `empty`.
    """

    kind: Kind
    columns: dict[str, int]
    settings: dict[str, Any] = field(default_factory=dict)


def plain(name: object) -> str:
    """Return a name without case, spaces and punctuation."""
    return re.sub(r"[^a-z0-9]", "", str(name).lower())


def check_roles(roles: Iterable[str]) -> None:
    """Refuse what is no role."""
    known = {role for required, optional in KINDS_OF_ROWS.values() for role in required + optional} | set(_SHARED)
    if unknown := {role for role in set(roles) - known if not _DEPTH.fullmatch(role)}:
        raise ValueError(f"columns must have known roles: unknown={sorted(unknown)} roles={sorted(known)}")


def depth_roles(names: Sequence[object]) -> dict[str, int]:
    """Return the roles of columns that are prices and sizes of several levels, the best of which is 0."""
    found: dict[str, int] = {}
    for index, name in enumerate(names):
        for pattern, side, level, what in _DEPTHS:
            if match := pattern.fullmatch(plain(name)):
                size = "_size" if re.fullmatch(_SIZE, match[what]) else ""
                found[f"{match[side]}{size}{int(match[level])}"] = index
    first = 0 if "bid0" in found else 1
    roles: dict[str, int] = {}
    for level in range(first, len(found) // 4 + first):
        names_here = [f"{side}{size}" for side in ("bid", "ask") for size in ("", "_size")]
        if any(f"{name}{level}" not in found for name in names_here):
            break
        roles |= {f"{name}{level - first}": found[f"{name}{level}"] for name in names_here}
    return roles if "bid1" in roles else {}


def is_table(names: Iterable[str]) -> bool:
    """Say whether columns of these names have all the roles of some kind."""
    names = list(names)
    known = {plain(name) for name in names}
    return bool(depth_roles(names)) or any(
        all(known & set(_ALIASES[role]) for role in required) for kind, (required, _) in KINDS_OF_ROWS.items() if kind != "books"
    )


def assign_roles(
    names: Sequence[str],
    columns: Mapping[str, str | int | None],
    kind: Kind | None,
    path: Path,
    rows: Sequence[Sequence[str]] = (),
    actions: Iterable[str] = (),
    chosen: bool = False,
) -> Roles:
    """Decide what the rows of a table are, and the column of each role.

    Parameters
    ----------
    names : sequence of str
        Of the columns.
    columns : mapping of role to name or index
        Roles that names do not tell; None for a role that shall not be read.
    kind : Kind, optional
        Where the names shall not decide it.
    path : Path
        For errors.
    rows : sequence of sequence of str
        The first rows.
    actions : iterable of str
        Words that an action may be.
    chosen : bool
        Whether rows of one kind are chosen from the table.
    """
    known = [plain(name) for name in names]
    given: dict[str, int | None] = {}
    for role, column in columns.items():
        if isinstance(column, str):
            if column not in names:
                raise ValueError(f"columns must name columns of the file: {role}={column} names={list(names)} path={path}")
            column = list(names).index(column)
        elif column is not None and (not isinstance(column, int) or isinstance(column, bool)):
            raise ValueError(f"columns must be names or numbers of columns: {role}={column!r}")
        elif column is not None and not 0 <= column < len(names):
            raise ValueError(f"columns must lie in the file: {role}={column} columns={len(names)} path={path}")
        given[role] = column
    depth = {} if kind not in (None, "books") else depth_roles(names)

    def find(role: str, taken: set[int]) -> int | None:
        if role in given:
            return given[role]
        at = next((i for a in _ALIASES.get(role, ()) if a in known and (i := known.index(a)) not in taken), depth.get(role))
        return index() if at is None and role == "time" else at

    def index() -> int | None:
        """The column that was an index of times without a name."""
        for name in _INDEX:
            if name in known and (times := cells(known.index(name))) and all(re.match(r"\d{4}-\d\d-\d\d", time) for time in times):
                return known.index(name)
        return None

    def cells(index: int) -> list[str]:
        return [row[index].strip() for row in rows if index < len(row) and row[index].strip()]

    def fits(found: Kind, roles: dict[str, int]) -> bool:
        """Whether what the first rows hold can be this, where two kinds have the same names."""
        if found == "levels":
            return "snapshot" in roles
        if found == "trades" and {"open", "high", "low"} <= set(known):
            return False  # bars that lack their close
        words = {cell.upper() for cell in cells(roles["action"])} if found == "orders" else set()
        return not words or bool(words & set(actions)) or not words <= _SIDES  # trades whose type is their side

    where = f"names={list(names)} path={path}"
    for what, marks in _OTHERS.items():
        if kind is None and marks <= set(known):
            raise ValueError(f"a table must have rows of {', '.join(get_args(Kind))}: this is {what}: {where}")
    vendor = _DATABENTO <= set(known)
    lacking: dict[Kind, list[str]] = {}
    for found, (required, optional) in KINDS_OF_ROWS.items():
        if kind not in (None, found):
            continue
        roles: dict[str, int] = {}
        for role in required + optional + (*depth, *(r for r in given if _DEPTH.fullmatch(r))) * (found == "books") + _SHARED:
            at = find(role, set(roles.values()) if role != "date" else {roles.get("local_time", -1)})
            if at is not None:
                roles.setdefault(role, at)
        lacking[found] = [role for role in required if role not in roles]
        if found == "levels" and "snapshot" not in {*roles, *given}:
            at = find("action", set(roles.values()))
            words = set() if at is None else {cell.upper() for cell in cells(at)}
            if at is not None and words and words <= _IMAGES:
                roles["snapshot"] = at
        if lacking[found] or (kind is None and not fits(found, roles)):
            continue
        if "date" in roles and "date" not in given and not _is_clock(cells(roles["time"]), roles["date"] == roles["time"]):
            del roles["date"]
        result = Roles(found, roles)
        at = find("action", set(roles.values())) if found == "trades" and not {"side"} & {*roles, *given} else None
        if at is not None and cells(at) and {cell.upper() for cell in cells(at)} <= _SIDES:
            roles["side"] = at
        if vendor:
            _databento(result, known, cells)
        elif not chosen and found in ("quotes", "trades") and roles.get("side") != find("action", set()):
            _refuse_mixed(found, names, known, cells, path)
        if _METATRADER <= set(known):
            result.settings["empty"] = "unchanged"
        return result
    if kind is not None:
        raise ValueError(f"a table of {kind} must have the columns of its roles: missing={lacking[kind]} {where}")
    missing = "; ".join(f"{found}: {', '.join(roles)}" for found, roles in lacking.items() if roles and found != "books")
    raise ValueError(f"the columns of a table must say what it is, or kind and columns must: missing of {missing}: {where}")


def _is_clock(cells: Sequence[str], same: bool) -> bool:
    """Whether times have no day of their own: a clock, or so few digits that they are counted from midnight."""
    return not same and bool(cells) and all(re.match(r"\d{1,2}:\d\d", cell) or re.fullmatch(r"\d{1,9}(\.\d+)?", cell) for cell in cells)


def _databento(result: Roles, known: Sequence[str], cells: Any) -> None:
    """Fixed-point prices, actions and symbols of Databento's tables."""
    roles, settings = result.columns, result.settings
    roles.setdefault("symbol", known.index("instrumentid"))
    prices = [cell for role in ("price", "bid", "open", "bid0") if role in roles for cell in cells(roles[role])]
    if prices and all(re.fullmatch(r"-?\d+", cell) for cell in prices):
        settings["price_places"] = 9
    if result.kind == "orders":
        settings["actions"] = _DATABENTO_ACTIONS
        roles["publisher"] = known.index("publisherid")  # whose books are not one book
    if result.kind == "trades" and "action" in known:
        settings["only"] = {known.index("action"): ("T",)}


def _refuse_mixed(kind: Kind, names: Sequence[str], known: Sequence[str], cells: Any, path: Path) -> None:
    """A table of quotes and trades in one must be told apart: the one has not what the other has."""
    at = next((known.index(alias) for alias in _ALIASES["action"] if alias in known), None)
    words = sorted({cell.upper() for cell in cells(at)}) if at is not None else []
    if any(word.startswith(("TRADE", "QUOTE", "BID", "ASK")) and kind[:5].upper() not in word for word in words) and "price" in known:
        rule = "rows of several kinds must be told apart, with the options kind and only"
        raise ValueError(f"{rule}: column={names[at or 0]} values={words[:8]} path={path}")
