"""Which column of a table has which role: by the names that people give to columns, or as they are told.

====== =============================================================== =========================================================
kind   roles (those in brackets may be absent)                         events
====== =============================================================== =========================================================
quotes time, bid, ask, [bid_size, ask_size]                            quote; a side without a price is empty
trades time, price, [size, side, id]                                   trade; the side column gives the aggressor, the event the
                                                                       resting side; id is match_id
bars   time, open, high, low, close, [volume, count]                   bar (two events); exch_ns is the end of the interval
orders time, action, id, [price, size, side, new_id]                   add, cancel, delete, execute, replace, trade by `actions`
====== =============================================================== =========================================================

Every kind may have the roles symbol, local_time and seq.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

__all__ = ["KINDS_OF_ROWS", "Kind", "assign_roles", "check_roles", "headless_roles", "is_table"]

Kind = Literal["quotes", "trades", "bars", "orders"]

KINDS_OF_ROWS: dict[Kind, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "quotes": (("time", "bid", "ask"), ("bid_size", "ask_size")),
    "bars": (("time", "open", "high", "low", "close"), ("volume", "count")),
    "orders": (("time", "action", "id"), ("price", "size", "side", "new_id")),
    "trades": (("time", "price"), ("size", "side", "id")),
}
_SHARED = ("symbol", "local_time", "seq")
# Names without case, spaces and punctuation, in order of preference.
_ALIASES = {
    "time": "time timestamp ts tsevent exchns exchtime datetime eventtime transacttime opentime date".split(),
    "local_time": "localns localtime localtimestamp receivetime recvtime tsrecv".split(),
    "bid": "bid bidprice bestbid bidpx bidpx00 bestbidprice bidprice0 bidprice1".split(),
    "ask": "ask askprice bestask askpx askpx00 bestaskprice askprice0 askprice1 offer offerprice".split(),
    "bid_size": "bidsize bidqty bidvolume bestbidqty bestbidsize bidsz bidsz00 bidamount".split(),
    "ask_size": "asksize askqty askvolume bestaskqty bestasksize asksz asksz00 askamount offersize".split(),
    "price": "price px last lastprice tradeprice".split(),
    "size": "size qty quantity volume amount shares lastsize".split(),
    "side": "side direction aggressor aggressorside takerside".split(),
    "action": "action type messagetype msgtype event".split(),
    "id": "id orderid oid reference ref tradeid matchid".split(),
    "new_id": "newid neworderid newreference".split(),
    "open": ["open", "o"], "high": ["high", "h"], "low": ["low", "l"], "close": ["close", "c"],
    "volume": "volume vol v qty".split(), "count": "count trades numberoftrades n".split(),
    "symbol": "symbol ticker instrument sym pair".split(), "seq": "seq sequence updateid sequencenumber".split(),
}  # fmt: skip
# Without a header the number of columns must say what they are.
_HEADLESS = {
    ("quotes", 3): ("time", "bid", "ask"),
    ("quotes", 5): ("time", "bid", "ask", "bid_size", "ask_size"),
    ("bars", 6): ("time", "open", "high", "low", "close", "volume"),
    ("trades", 3): ("time", "price", "size"),
    ("trades", 2): ("time", "price"),
}


def _plain(name: object) -> str:
    return re.sub(r"[^a-z0-9]", "", str(name).lower())


def check_roles(roles: Iterable[str]) -> None:
    """Refuse what is no role."""
    known = {role for required, optional in KINDS_OF_ROWS.values() for role in required + optional} | set(_SHARED)
    if unknown := set(roles) - known:
        raise ValueError(f"columns must have known roles: unknown={sorted(unknown)} roles={sorted(known)}")


def headless_roles(kind: Kind | None, width: int) -> tuple[str, ...]:
    """Return the roles of the columns of a table without names, () where their number does not tell."""
    kinds: tuple[Kind, ...] = ("quotes", "bars") if kind is None else (kind,)
    return next((_HEADLESS[k, width] for k in kinds if (k, width) in _HEADLESS), ())


def is_table(names: Iterable[str]) -> bool:
    """Say whether columns of these names have all the roles of some kind."""
    plain = {_plain(name) for name in names}
    return any(all(plain & set(_ALIASES[role]) for role in required) for required, _ in KINDS_OF_ROWS.values())


def assign_roles(
    names: Sequence[str], columns: Mapping[str, str | int | None], kind: Kind | None, path: Path
) -> tuple[Kind, dict[str, int]]:
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
    """
    plain = [_plain(name) for name in names]
    given: dict[str, int | None] = {}
    for role, column in columns.items():
        if isinstance(column, str):
            if column not in names:
                raise ValueError(f"columns must name columns of the file: {role}={column} names={list(names)} path={path}")
            column = list(names).index(column)
        elif column is not None and not 0 <= column < len(names):
            raise ValueError(f"columns must lie in the file: {role}={column} columns={len(names)} path={path}")
        given[role] = column

    def find(role: str, taken: set[int]) -> int | None:
        if role in given:
            return given[role]
        return next((i for a in _ALIASES[role] if a in plain and (i := plain.index(a)) not in taken), None)

    for found, (required, optional) in KINDS_OF_ROWS.items():
        if kind not in (None, found):
            continue
        roles: dict[str, int] = {}
        for role in required + optional + _SHARED:
            at = find(role, set(roles.values()))
            if at is not None:
                roles[role] = at
        missing = [role for role in required if role not in roles]
        if not missing:
            return found, roles
        if kind is not None:
            where = f"names={list(names)} path={path}"
            raise ValueError(f"a table of {kind} must have the columns of its roles: missing={missing} {where}")
    raise ValueError(f"the columns of a table must say what it is, or kind and columns must: names={list(names)} path={path}")
