"""Plain-Python twin of ``fastcore.wire.dbn``: one ``struct`` format for each record type."""

from __future__ import annotations

import struct
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


def _time(raw: int) -> int:
    return 0 if raw == 2**64 - 1 else raw - 2**64 if raw >= 2**63 else raw


def _price(raw: int) -> int:
    return NO_PRICE if raw == 2**63 - 1 else raw


class DbnDecoder:
    """See ``fastcore.wire.dbn.DbnDecoder``."""

    def __init__(self, ts_out: bool = False, joined: bool = True) -> None:
        self._extra = 8 if ts_out else 0
        self._joined = bool(joined)
        self._ids: dict[int, int | None] = {}
        self.counts: dict[str, int] = {}
        self.blocked = False
        self.unknown: int | None = None

    def set_symbol_id(self, instrument: int, symbol_id: int | None) -> None:
        if not 0 <= instrument < 2**32:
            raise ValueError(f"instrument must be in 0..2**32-1: instrument={instrument}")
        if symbol_id is not None and not 0 <= symbol_id < 2**32 - 2:
            raise ValueError(f"symbol_id must be in 0..2**32-3: symbol_id={symbol_id}")
        known = self._ids.setdefault(instrument, symbol_id)
        if known != symbol_id:
            raise ValueError(f"an instrument must keep its symbol id: instrument={instrument}, known={known}, symbol_id={symbol_id}")

    def _record(self, data: memoryview, at: int) -> list[tuple[Any, ...]] | None:
        """The events of one record without their flags for continuation; None where it is not for this decoder."""
        _, rtype, _, instrument, time = _HEADER.unpack_from(data, at)
        symbol_id = self._ids.get(instrument)
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
        order_id = order_id - 2**64 if order_id >= 2**63 else order_id
        if rtype == 160:
            payload = [_price(price), size, order_id, order_id if action == b"M" else 0]
            if action == b"T":
                sign = -sign
            elif action in (b"F", b"N"):
                payload = [action[0], size, order_id, payload[0]]
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
        self.blocked, self.unknown = False, None
        while len(view) - at >= 16:
            length, rtype, _, instrument, time = _HEADER.unpack_from(view, at)
            if length * 4 != LENGTHS.get(rtype, -100) + self._extra:
                self.blocked = True
                break
            if len(view) - at < length * 4:
                break
            made = self._record(view, at)
            if made is None:
                self.blocked = True
                break
            if instrument not in self._ids:
                self.unknown = instrument
                break
            name = f"{_NAMES[rtype]} {chr(view[at + (38 if rtype == 160 else 28)])}"
            if self._ids[instrument] is None:
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
                _, next_type, _, next_instrument, next_time = _HEADER.unpack_from(view, at)
                more = (next_type, next_instrument, next_time) == (rtype, instrument, time)
            if more:
                events[-1] = (*events[-1][:6], events[-1][6] | FLAGS["continued"], *events[-1][7:])
            else:
                whole_at, whole = at, len(events)
                self._count(names)
        if whole < len(events):
            full = whole == 0 and len(events) + 2 > len(out)
            if final or self.blocked or full or len(events) - whole >= _WAIT:
                events[-1] = (*events[-1][:6], events[-1][6] & ~FLAGS["continued"], *events[-1][7:])
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
