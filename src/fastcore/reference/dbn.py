"""Plain-Python twin of ``fastcore.wire.dbn``: one ``struct`` format for each record type."""

from __future__ import annotations

import struct
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt

from fastcore.records import FLAGS, KINDS, NO_PRICE

LENGTHS = {160: 56, 0: 48, 1: 80}

_HEADER = struct.Struct("<BBHIQ")
_MBO = struct.Struct("<QqIBBccQiI")
_TRADE = struct.Struct("<qIccBBQiI")
_LEVEL = struct.Struct("<qqIIII")
_NAMES = {160: "mbo", 0: "trades", 1: "mbp-1"}
_KINDS = {
    **{b"A": "add", b"C": "cancel", b"M": "replace", b"R": "clear", b"T": "trade", b"F": "notice", b"N": "notice"},
}
_SIDES = {b"B": 1, b"A": -1, b"N": 0}
_WAIT = 4096


_Event = tuple[Any, ...]  # seq, exch_ns, local_ns, symbol_id, kind, side, flags, payload


def _notice(event: _Event, letter: str) -> _Event:
    price, size, order_id, _ = event[7:]
    return (*event[:4], KINDS["notice"], *event[5:7], ord(letter), size, order_id, price)


def _joined(events: list[_Event]) -> list[_Event]:
    """The events of one message, with executions for the fills whose orders are reduced behind them."""
    out = list(events)
    for i, e in enumerate(events):
        if e[4] not in (KINDS["cancel"], KINDS["replace"]) or not e[8]:
            continue
        left = e[8]
        for j, f in enumerate(out[:i]):
            is_fill = f[4] == KINDS["notice"] and f[7] == ord("F") and f[9] == e[9]
            if not is_fill or not f[8] or not left:
                continue
            size = f[8] if e[4] == KINDS["replace"] else min(f[8], left)
            out[j] = (*f[:4], KINDS["execute"], *f[5:7], f[10], size, f[9], 0)
            left -= size if e[4] == KINDS["cancel"] else 0
        out[i] = (*e[:8], left, *e[9:]) if left else _notice(e, "C")
    trades = [i for i, e in enumerate(out) if e[4] == KINDS["trade"]]
    for i, end in zip(trades, [*trades, len(out)][1:], strict=True):
        e, filled = out[i], sum(e[8] for e in out[i:end] if e[4] == KINDS["execute"])
        if filled:
            out[i] = (*e[:8], e[8] - filled, *e[9:]) if filled < e[8] else _notice(e, "T")
    return out


def _time(raw: int) -> int:
    return 0 if raw == 2**64 - 1 else raw - 2**64 if raw >= 2**63 else raw


def _price(raw: int) -> int:
    return NO_PRICE if raw == 2**63 - 1 else raw


def join_fills(events: npt.NDArray[np.void]) -> None:
    """See ``fastcore.wire.dbn.join_fills``."""
    rows = events.view(np.int64).reshape(-1, 8)
    heads = ["seq", "exch_ns", "local_ns", "symbol_id", "kind", "side", "flags"]
    for _, found in groupby(range(len(events)), key=lambda i: events[["exch_ns", "symbol_id"]][i].tolist()):
        at = list(found)
        for i, e in zip(at, _joined([(*events[heads][i].tolist(), *rows[i, 4:].tolist()) for i in at]), strict=True):
            events["kind"][i] = e[4]
            rows[i, 4:] = e[7:]


class DbnDecoder:
    """See ``fastcore.wire.dbn.DbnDecoder``."""

    def __init__(self, ts_out: bool = False, joined: bool = True) -> None:
        self._extra = 8 if ts_out else 0
        self._joined = bool(joined)
        self._ids: dict[tuple[int, int], int | None] = {}
        self._from_ns, self._until_ns = 0, 2**64 - 1
        self.publisher: int | None = None
        self.outside = False
        self.counts: dict[str, int] = {}
        self.blocked = False
        self.unknown: tuple[int, int] | None = None

    def hold(self, from_ns: int = 0, until_ns: int | None = None) -> None:
        end = 2**64 - 1 if until_ns is None else until_ns
        if end <= from_ns:
            raise ValueError(f"until_ns must be behind from_ns: from_ns={from_ns} until_ns={until_ns}")
        self._ids.clear()
        self._from_ns, self._until_ns = from_ns, end

    def set_symbol_id(self, publisher: int, instrument: int, symbol_id: int | None) -> None:
        if not 0 <= publisher < 2**16:
            raise ValueError(f"publisher must be in 0..65535: publisher={publisher}")
        if not 0 <= instrument < 2**32:
            raise ValueError(f"instrument must be in 0..2**32-1: instrument={instrument}")
        if symbol_id is not None and not 0 <= symbol_id < 2**32 - 2:
            raise ValueError(f"symbol_id must be in 0..2**32-3: symbol_id={symbol_id}")
        known = self._ids.setdefault((publisher, instrument), symbol_id)
        if known != symbol_id:
            raise ValueError(f"an instrument must keep its symbol id: instrument={instrument}, known={known}, symbol_id={symbol_id}")

    def _record(self, data: memoryview, at: int) -> list[tuple[Any, ...]] | None:
        """The events of one record without their flags for continuation; None where it is not for this decoder."""
        _, rtype, publisher, instrument, time = _HEADER.unpack_from(data, at)
        symbol_id = self._ids.get((publisher, instrument))
        if rtype == 160:
            order_id, price, size, flags, _, action, side, received, _, sequence = _MBO.unpack_from(data, at + 16)
        else:
            price, size, action, side, flags, _, received, _, sequence = _TRADE.unpack_from(data, at + 16)
            order_id = 0
        if action not in _KINDS or side not in _SIDES:
            return None
        kind, sign = KINDS[_KINDS[action]], _SIDES[side]
        head = (sequence, _time(time), _time(received), symbol_id)
        image = FLAGS["snapshot"] if flags & 32 else 0
        order_id ^= ((publisher ^ (publisher if self.publisher is None else self.publisher)) << 48) * (rtype == 160)
        order_id = order_id - 2**64 if order_id >= 2**63 else order_id
        if rtype == 160:
            payload = [_price(price), size, order_id, order_id if action == b"M" else 0]
            if action == b"T":
                sign = -sign
            elif action in (b"F", b"N"):
                payload = [action[0], size, order_id, payload[0]]
            elif flags & 64 and action != b"R":
                payload[2] = -1 - 2 * (symbol_id or 0) - (sign < 0)
                if action != b"C":
                    kind, payload[3] = KINDS["clear" if payload[0] == NO_PRICE else "replace"], payload[2]
            return [(*head, kind, sign, image, *payload)]
        events: list[tuple[Any, ...]] = []
        if rtype == 1:
            bid, ask, bid_size, ask_size, _, _ = _LEVEL.unpack_from(data, at + 48)
            bid, ask = _price(bid), _price(ask)
            quote = (bid, ask, 0 if bid == NO_PRICE else bid_size, 0 if ask == NO_PRICE else ask_size)
            events.append((*head, KINDS["quote"], 0, image, *quote))
        if rtype == 0 or action == b"T":
            if events:
                events[0] = (*events[0][:6], events[0][6] | FLAGS["continued"], *events[0][7:])
            events.append((*head, KINDS["trade"], -sign, 0, _price(price), size, 0, 0))
        return events

    def decode(self, data: Any, out: npt.NDArray[np.void], final: bool = False) -> tuple[int, int]:
        if len(out) < 2:
            raise ValueError(f"out must have room for two events: size={len(out)}")
        view = memoryview(data).cast("B")
        at = whole_at = 0
        events: list[tuple[Any, ...]] = []
        whole, names = 0, []
        self.blocked, self.outside, self.unknown = False, False, None
        while len(view) - at >= 16:
            length, rtype, publisher, instrument, time = _HEADER.unpack_from(view, at)
            if length * 4 != LENGTHS.get(rtype, -100) + self._extra:
                self.blocked = True
                break
            if len(view) - at < length * 4:
                break
            made = self._record(view, at)
            if made is None:
                self.blocked = True
                break
            (received,) = struct.unpack_from("<Q", view, at + (40 if rtype == 160 else 32))
            received = time if received == 2**64 - 1 else received
            if received != 2**64 - 1 and not self._from_ns <= received < self._until_ns:
                self.outside = True
                break
            if (publisher, instrument) not in self._ids:
                self.unknown = publisher, instrument
                break
            if self.publisher is None:
                self.publisher = publisher
            name = f"{_NAMES[rtype]} {chr(view[at + (38 if rtype == 160 else 28)])}"
            if self._ids[publisher, instrument] is None:
                self._count([name])
                at = whole_at = at + length * 4
                continue
            if len(events) + len(made) > len(out):
                break
            flags = view[at + (36 if rtype == 160 else 30)]
            names.append(name)
            events += made
            at += length * 4
            more = False
            if self._joined and rtype != 0 and not flags & (128 | 32):
                if len(view) - at < 16:
                    break
                more = _HEADER.unpack_from(view, at)[1:] == (rtype, publisher, instrument, time)
            if more:
                events[-1] = (*events[-1][:6], events[-1][6] | FLAGS["continued"], *events[-1][7:])
            else:
                events[whole:] = _joined(events[whole:])
                whole_at, whole = at, len(events)
                self._count(names)
        if whole < len(events):
            full = whole == 0 and len(events) + 2 > len(out)
            if final or self.blocked or self.outside or full or len(events) - whole >= _WAIT:
                events[-1] = (*events[-1][:6], events[-1][6] & ~FLAGS["continued"], *events[-1][7:])
                events[whole:] = _joined(events[whole:])
                whole_at, whole = at, len(events)
                self._count(names)
            else:
                self.blocked = False
        rows = out.view(np.int64).reshape(-1, 8)
        for row, event in enumerate(events[:whole]):
            out["seq"][row], out["exch_ns"][row], out["local_ns"][row], out["symbol_id"][row] = event[:4]
            out["kind"][row], out["side"][row], out["flags"][row] = event[4:7]
            rows[row, 4:] = event[7:]
        return whole, whole_at

    def _count(self, names: list[str]) -> None:
        for name in names:
            self.counts[name] = self.counts.get(name, 0) + 1
        names.clear()
