"""Plain-Python twin of ``fastcore.wire.binance``: every line through ``json``."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from fastcore.errors import CorruptDataError, range_error
from fastcore.records import BUY, FLAGS, KINDS, NO_PRICE, SELL

from .tally import LOG, Decoder
from .tally import Malformed as _Malformed

_MAX = 2**63 - 1
_DEPTH = 64
_MAX_SYMBOLS = 65_536
_KNOWN = set("e E T s U u b a B A p q t m X f pu bids asks data stream symbol lastUpdateId".split())
_DECIMAL = re.compile(r"([0-9]+)(?:\.([0-9]+))?")
_WHOLE = re.compile(r"0|[1-9][0-9]*")
_HEAD = re.compile(r"(0|[1-9][0-9]*) ")
_FIRST_MICROSECOND = 10**13

_Event = tuple[Any, ...]


class _Full(Exception):
    """The events of a message do not fit; nothing has changed."""


class _Number(str):
    """The text of a JSON number."""


class _Object(dict[str, Any]):
    """An object, and whether a key that counts comes twice in it."""

    repeated = False


def _object(pairs: list[tuple[str, Any]]) -> _Object:
    found = _Object(pairs)
    keys = [k for k, _ in pairs if k in _KNOWN]
    found.repeated = len(keys) != len(set(keys))
    return found


def _constant(text: str) -> Any:
    raise ValueError(f"JSON has no {text}")


def _depth(text: str) -> int:
    deepest = now = 0
    for c in re.sub(r'"[^"]*"', "", text):
        now += (c in "{[") - (c in "}]")
        deepest = max(deepest, now)
    return deepest


def _whole(value: Any) -> int:
    if not isinstance(value, _Number) or not _WHOLE.fullmatch(value) or len(value) > 19 or int(value) > _MAX:
        raise _Malformed("corrupt")
    return int(value)


def _decimal(value: Any, decimals: int, reason: str) -> int:
    found = _DECIMAL.fullmatch(value) if isinstance(value, str) and not isinstance(value, _Number) else None
    if not found:
        raise _Malformed("corrupt")
    part = found[2] or ""
    if part[decimals:].strip("0"):
        raise _Malformed(reason)
    digits = (found[1] + part[:decimals].ljust(decimals, "0")).lstrip("0")
    if len(digits) > 19 or int(digits or "0") > _MAX:
        raise _Malformed(reason)
    return int(digits or "0")


def _time_ns(message: _Object, otherwise: int) -> int:
    key = "T" if "T" in message else "E"
    if key not in message:
        return otherwise
    value = _whole(message[key])
    ns = value * (1_000_000 if value < _FIRST_MICROSECOND else 1_000)
    if ns > _MAX:
        raise _Malformed("corrupt")
    return ns


@dataclass
class _Symbol:
    name: bytes
    symbol_id: int
    price_decimals: int
    size_decimals: int
    live: bool = False
    chained: bool = False
    last: int = 0
    exch_ns: int = 0
    # (u, previous, first, whether pu was there, exch_ns, local_ns, events)
    held: list[tuple[int, int, int, bool, int, int, list[_Event]]] = field(default_factory=list)

    @property
    def held_events(self) -> int:
        return sum(1 + len(h[-1]) for h in self.held)


class _LineDecoder(Decoder):
    """What the twins of line decoders have in common."""

    _venue: str
    _new_symbol: Any

    def __init__(self, price_decimals: int, size_decimals: int, strict: bool) -> None:
        super().__init__(strict)
        self._price_decimals, self._size_decimals = price_decimals, size_decimals
        self._room = 0
        self._symbols: dict[bytes, Any] = {}

    def reset(self) -> None:
        """Start to count anew; symbols and books stay."""
        super().reset()
        self.stale = self.gaps = 0

    def _checked_symbol(self, symbol: str) -> Any:
        if not isinstance(symbol, str):
            raise TypeError(f"symbol must be a str: type={type(symbol).__name__}")
        try:
            return self._symbol(symbol.encode())
        except _Malformed:
            raise ValueError(
                f"symbol must have 1 to 32 bytes, and there are at most 65,536: symbol={symbol!r}"
            ) from None

    def _symbol(self, name: bytes) -> Any:
        if name not in self._symbols:
            if not 1 <= len(name) <= 32 or len(self._symbols) == _MAX_SYMBOLS:
                raise _Malformed("unknown symbol")
            n = len(self._symbols)
            self._symbols[name] = self._new_symbol(name, n, self._price_decimals, self._size_decimals)
        return self._symbols[name]

    def set_symbol(
        self, symbol: str, symbol_id: int | None = None, price_decimals: int | None = None, size_decimals: int | None = None
    ) -> None:
        """Say what a symbol has that differs from the default; before its first message."""
        s = self._checked_symbol(symbol)
        if symbol_id is not None and not 0 <= symbol_id < 2**32:
            raise range_error("symbol_id", symbol_id, 0, 2**32 - 1)
        price = s.price_decimals if price_decimals is None else _check_decimals(price_decimals, "price_decimals")
        size = s.size_decimals if size_decimals is None else _check_decimals(size_decimals, "size_decimals")
        s.symbol_id = s.symbol_id if symbol_id is None else symbol_id
        s.price_decimals, s.size_decimals = price, size

    def _break(self, at: int, reason: str, type: str, items: int) -> None:
        self._errors[reason] = self._errors.get(reason, 0) + 1
        if len(self.error_log) < LOG:
            self.error_log.append((self.position + at, reason))
        if self.strict:
            self.position += at
            error = CorruptDataError(f"{reason}: a line must be a {self._venue} message: offset={self.position}")
            error.offset, error.events = self.position, items  # type: ignore[attr-defined]
            raise error from None

    @property
    def symbols(self) -> dict[int, tuple[str, int, int]]:
        return {
            s.symbol_id: (s.name.decode("utf-8", "replace"), s.price_decimals, s.size_decimals) for s in self._symbols.values()
        }


class BinanceDecoder(_LineDecoder):
    """Decode lines of Binance WebSocket captures into events."""

    _venue, _new_symbol = "Binance", _Symbol

    def __init__(
        self,
        price_decimals: int = 8,
        size_decimals: int = 8,
        strict: bool = False,
        image_symbol: str | None = None,
        max_held: int = 65_536,
    ) -> None:
        if not 1 <= max_held <= 2**30:
            raise range_error("max_held", max_held, 1, 2**30)
        super().__init__(
            _check_decimals(price_decimals, "price_decimals"), _check_decimals(size_decimals, "size_decimals"), strict
        )
        self.stale_images = self.dropped = 0
        self._max_held = max_held
        self._draining: _Symbol | None = None
        self._image_symbol = None if image_symbol is None else self._checked_symbol(image_symbol)

    def _levels(self, value: Any, side: int, s: _Symbol) -> list[tuple[int, int, int]]:
        if not isinstance(value, list):
            raise _Malformed("corrupt")
        levels = []
        for level in value:
            if not isinstance(level, list) or len(level) < 1:
                raise _Malformed("corrupt")
            price = _decimal(level[0], s.price_decimals, "price outside range")
            if not price:
                raise _Malformed("price outside range")
            if len(level) < 2:
                raise _Malformed("corrupt")
            levels.append((side, price, _decimal(level[1], s.size_decimals, "size outside range")))
        return levels

    @staticmethod
    def _level_events(
        s: _Symbol, levels: list[tuple[int, int, int]], flags: int, ids: tuple[int, int, int], exch_ns: int, local_ns: int
    ) -> list[_Event]:
        seq, first, previous = ids
        events = []
        for i, (side, price, size) in enumerate(levels):
            more = FLAGS["continued"] if i + 1 < len(levels) else 0
            events.append(
                (seq, exch_ns, local_ns, s.symbol_id, KINDS["level"], side, flags | more, price, size, first, previous)
            )
        return events

    def _gap(self, s: _Symbol, u: int, previous: int, has_previous: bool, exch_ns: int, local_ns: int) -> _Event:
        s.live = False
        self.gaps += 1
        missing = -1 if has_previous else previous - s.last
        return (u, exch_ns, local_ns, s.symbol_id, KINDS["gap"], 0, 0, s.last + 1, missing, 0, 0)

    def _hold(self, s: _Symbol, diff: tuple[int, int, int, bool, int, int, list[_Event]]) -> None:
        need = 1 + len(diff[-1])
        if need > self._max_held:
            self.dropped += 1
            return
        if s.held_events + need > self._max_held:
            while s.held and (s.held_events + need > self._max_held or s.held_events > self._max_held // 2):
                s.held.pop(0)
                self.dropped += 1
        s.held.append(diff)

    def _quote(self, s: _Symbol, m: _Object, exch_ns: int, local_ns: int) -> list[_Event]:
        u = _whole(m.get("u"))
        sides = []
        for price_key, size_key in (("b", "B"), ("a", "A")):
            price = _decimal(m.get(price_key), s.price_decimals, "price outside range")
            size = _decimal(m.get(size_key), s.size_decimals, "size outside range")
            sides.append((price, size) if price and size else (NO_PRICE, 0))
        s.exch_ns = exch_ns
        (bid, bid_size), (ask, ask_size) = sides
        return [(u, exch_ns, local_ns, s.symbol_id, KINDS["quote"], 0, 0, bid, ask, bid_size, ask_size)]

    def _trade(self, s: _Symbol, m: _Object, exch_ns: int, local_ns: int, aggregate: bool) -> list[_Event]:
        match_id = _whole(m.get("a" if aggregate else "t"))
        first = _whole(m.get("f")) if aggregate else 0
        price = _decimal(m.get("p"), s.price_decimals, "price outside range")
        size = _decimal(m.get("q"), s.size_decimals, "size outside range")
        if not isinstance(m.get("m"), bool):
            raise _Malformed("corrupt")
        s.exch_ns = exch_ns
        if not price or not size:
            self.skipped += 1
            return []
        flags = FLAGS["not_printable"] if m.get("X", "MARKET") != "MARKET" else 0
        side = BUY if m["m"] else SELL
        return [(0, exch_ns, local_ns, s.symbol_id, KINDS["trade"], side, flags, price, size, first, match_id)]

    def _diff(self, s: _Symbol, m: _Object, exch_ns: int, local_ns: int) -> list[_Event]:
        first, u = _whole(m.get("U")), _whole(m.get("u"))
        has_previous = "pu" in m
        previous = _whole(m["pu"]) if has_previous else first - 1
        levels = self._levels(m.get("b"), BUY, s) + self._levels(m.get("a"), SELL, s)
        if len(levels) > self._room:
            raise _Full
        if u < first or u < previous:
            raise _Malformed("corrupt")
        s.chained = True
        s.exch_ns = exch_ns
        events = self._level_events(s, levels, 0, (u, first, previous), exch_ns, local_ns)
        if not s.live:
            self._hold(s, (u, previous, first, has_previous, exch_ns, local_ns, events))
            return []
        if u <= s.last:
            self.stale += 1
            return []
        if previous > s.last:
            self._hold(s, (u, previous, first, has_previous, exch_ns, local_ns, events))
            return [self._gap(s, u, previous, has_previous, exch_ns, local_ns)]
        s.last = u
        return events

    def _symbol_of_image(self, m: _Object, stream: str | None) -> Any:
        for key in ("s", "symbol"):
            if isinstance(m.get(key), str) and not isinstance(m[key], _Number):
                return self._symbol(m[key].encode("latin-1"))
        if stream is not None:
            name, at, _ = stream.partition("@")
            if not at:
                raise _Malformed("unknown symbol")
            return self._symbol(name.encode("latin-1").upper())
        if self._image_symbol is not None:
            return self._image_symbol
        if len(self._symbols) != 1:
            raise _Malformed("unknown symbol")
        return next(iter(self._symbols.values()))

    def _image(self, m: _Object, stream: str | None, partial: bool, local_ns: int) -> list[_Event]:
        last = _whole(m.get("u" if "e" in m else "lastUpdateId"))
        s = self._symbol_of_image(m, stream)
        exch_ns = _time_ns(m, s.exch_ns)
        bids, asks = ("b", "a") if "e" in m else ("bids", "asks")
        levels = self._levels(m.get(bids), BUY, s) + self._levels(m.get(asks), SELL, s)
        if 1 + len(levels) > self._room:
            raise _Full
        s.exch_ns = exch_ns
        if partial and s.chained:
            self._count("other")
            return []
        self._count("snapshot")
        if s.live and last < s.last:
            self.stale_images += 1
            return []
        flags = FLAGS["snapshot"]
        more = FLAGS["continued"] if levels else 0
        clear = (last, exch_ns, local_ns, s.symbol_id, KINDS["clear"], 0, flags | more, 0, 0, last, last)
        s.live, s.last = True, last
        if s.held:
            self._draining = s
        return [clear, *self._level_events(s, levels, flags, (last, last, last), exch_ns, local_ns)]

    @staticmethod
    def _type(m: _Object, partial: bool) -> str:
        if "e" in m:
            e = m["e"] if isinstance(m["e"], str) and not isinstance(m["e"], _Number) else ""
            if e == "depthUpdate" and partial:
                return "snapshot"
            return e if e in {"bookTicker", "trade", "aggTrade", "depthUpdate"} else "other"
        if {"lastUpdateId", "bids", "asks"} <= set(m):
            return "snapshot"
        return "bookTicker" if {"u", "s", "b", "B", "a", "A"} <= set(m) else "other"

    def _line(self, raw: bytes) -> list[_Event]:
        text = raw.decode("latin-1")
        text = text.removesuffix("\r")
        if not text:
            return []
        local_ns = 0
        if text[0] != "{":
            head = _HEAD.match(text)
            if not head or len(head[1]) > 19 or int(head[1]) > _MAX:
                raise _Malformed("corrupt")
            local_ns = int(head[1])
            text = text[head.end() :]
        if "\\" in text or not text.lstrip(" \t\r").startswith("{") or _depth(text) > _DEPTH:
            raise _Malformed("corrupt")
        try:
            m = json.loads(
                text, parse_int=_Number, parse_float=_Number, parse_constant=_constant, object_pairs_hook=_object
            )
        except ValueError:
            raise _Malformed("corrupt") from None
        stream = None
        if m.repeated:
            raise _Malformed("corrupt")
        if isinstance(m.get("stream"), str) and not isinstance(m["stream"], _Number) and "data" in m:
            stream, m = m["stream"], m["data"]
            if not isinstance(m, _Object):
                self._count("other")
                return []
            if m.repeated:
                raise _Malformed("corrupt")
        partial = stream is not None and re.match(r"[^@]*@depth[0-9]", stream, re.DOTALL) is not None
        type = self._type(m, partial)
        if type == "other":
            self._count("other")
            return []
        if type == "snapshot":
            return self._image(m, stream, partial, local_ns)
        if not isinstance(m.get("s"), str) or isinstance(m["s"], _Number):
            raise _Malformed("corrupt")
        s = self._symbol(m["s"].encode("latin-1"))
        exch_ns = _time_ns(m, s.exch_ns)
        if type == "bookTicker":
            events = self._quote(s, m, exch_ns, local_ns)
        elif type == "depthUpdate":
            events = self._diff(s, m, exch_ns, local_ns)
        else:
            events = self._trade(s, m, exch_ns, local_ns, type == "aggTrade")
        self._count(type)
        return events

    # ---- batches ----

    def _drain(self, room: int) -> list[_Event]:
        """Deliver the diffs that waited for an image, as far as they fit."""
        s = self._draining
        events: list[_Event] = []
        while s is not None and s.held:
            u, previous, _, has_previous, exch_ns, local_ns, levels = s.held[0]
            if u <= s.last:
                self.stale += 1
            elif previous > s.last:
                if len(events) == room:
                    self.needed = 1
                    return events
                events.append(self._gap(s, u, previous, has_previous, exch_ns, local_ns))
                break
            else:
                if len(events) + len(levels) > room:
                    self.needed = len(levels)
                    return events
                events += levels
                s.last = u
            s.held.pop(0)
        self._draining = None
        return events

    def decode(self, data: Any, out: npt.NDArray[np.void], final: bool = False) -> tuple[int, int]:
        """Decode lines: events written to `out` and bytes consumed; see the compiled module."""
        raw = bytes(memoryview(data).cast("B"))
        at = n = 0
        self.needed = 0
        events = self._drain(len(out))
        while True:
            for event in events:
                out[n] = event
                n += 1
            if self._draining is not None or at == len(raw):
                break
            if n == len(out):
                self.needed = 1
                break
            end = raw.find(b"\n", at)
            if end < 0 and not final:
                break
            end = len(raw) if end < 0 else end
            events = []
            self._room = len(out) - n
            try:
                events = self._line(raw[at:end])
            except _Full:
                self.needed = max(raw.count(b"[", at, end), self._room + 1)
                break
            except _Malformed as error:
                self._break(at, str(error), "", n)
            at = min(end + 1, len(raw))
            if self._draining is not None:
                events += self._drain(self._room - len(events))
        self.position += at
        if n == 0 and at == 0 and self.needed:
            raise ValueError(f"out must hold the events of one message: capacity={len(out)} needed={self.needed}")
        return n, at

    @property
    def pending(self) -> int:
        return self._draining.held_events if self._draining is not None else 0

    @property
    def held(self) -> int:
        return sum(s.held_events for s in self._symbols.values())



def _check_decimals(value: int, name: str) -> int:
    if not 0 <= value <= 18:
        raise range_error(name, value, 0, 18)
    return value
