"""Plain-Python twin of ``fastcore.itch``: one ``struct`` format for each message type."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from fastcore.errors import RESULTS, CorruptDataError, raise_result

from .records import BUY, FLAGS, KINDS, NO_PRICE, NO_SIDE, SELL

# Behind type, locate, tracking number and time; x is a byte that the event does not carry.
_HEAD = struct.Struct(">cHH6s")
_BODIES = {
    "A": struct.Struct(">QcI8sI"),
    "F": struct.Struct(">QcI8sII"),
    "E": struct.Struct(">QIQ"),
    "C": struct.Struct(">QIQcI"),
    "X": struct.Struct(">QI"),
    "D": struct.Struct(">Q"),
    "U": struct.Struct(">QQII"),
    "P": struct.Struct(">QcI8sIQ"),
    "Q": struct.Struct(">Q8sIQc"),
    "R": struct.Struct(">8s2sI6s8s"),
    "H": struct.Struct(">8sccI"),
    "S": struct.Struct(">c"),
}
_SKIPPED = {"Y": 20, "L": 26, "V": 35, "W": 12, "K": 28, "J": 35, "h": 21, "B": 19, "I": 50, "N": 20, "O": 48}
LENGTHS = {type: _HEAD.size + body.size for type, body in _BODIES.items()} | _SKIPPED

_SIDES = {b"B": BUY, b"S": SELL}
_LETTERS = {BUY: b"B", SELL: b"S"}
_CODES = {name: code for code, (name, _) in RESULTS.items()}
_LOG = 64
_LOCATES = 65536
_MAX_MIDNIGHT_NS = 2**62


class _Malformed(Exception):
    """Carries the name of a result."""


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


def _unsigned(value: Any) -> int:
    return int(value) & (2**64 - 1)


def _check_midnight(midnight_ns: int) -> int:
    if not -_MAX_MIDNIGHT_NS <= midnight_ns <= _MAX_MIDNIGHT_NS:
        raise ValueError(f"midnight_ns must lie within +-2**62: midnight_ns={midnight_ns}")
    return midnight_ns


def _check_locate(locate: int) -> int:
    if not 0 <= locate < _LOCATES:
        raise ValueError(f"locate must lie in 0..65535: locate={locate}")
    return locate


def whole_messages(data: Any) -> tuple[int, int]:
    """Return how many bytes at the start of `data` are whole length-prefixed messages, and how many these are."""
    raw = bytes(memoryview(data).cast("B"))
    at = messages = 0
    while len(raw) - at >= 2 and len(raw) - at - 2 >= int.from_bytes(raw[at : at + 2], "big"):
        at += 2 + int.from_bytes(raw[at : at + 2], "big")
        messages += 1
    return at, messages


class ItchDecoder:
    """Decode TotalView-ITCH 5.0 messages into events."""

    def __init__(self, midnight_ns: int = 0, strict: bool = False) -> None:
        self.midnight_ns = _check_midnight(midnight_ns)
        self.strict = bool(strict)
        self.position = 0
        self.skipped = 0
        self.symbols: dict[int, str] = {}
        self.error_log: list[tuple[int, str, str]] = []
        self._symbol_ids: dict[int, int] = {}
        self._counts: dict[str, int] = {}
        self._unknown: dict[str, int] = {}
        self._errors: dict[str, int] = {}

    def _fail(self, offset: int, reason: str, type: str) -> None:
        self._errors[reason] = self._errors.get(reason, 0) + 1
        if reason == "unknown message type":
            self._unknown[type] = self._unknown.get(type, 0) + 1
        if len(self.error_log) < _LOG:
            self.error_log.append((self.position + offset, type, reason))

    def _message(self, message: bytes) -> tuple[Any, ...] | None:
        """Fields of the event behind ``seq``, None for a message that makes none."""
        if not message:
            raise _Malformed("bad length")
        type = chr(message[0])
        if type not in LENGTHS:
            raise _Malformed("unknown message type")
        if len(message) != LENGTHS[type]:
            raise _Malformed("bad length")
        if type in _SKIPPED:
            return None
        _, locate, _, time = _HEAD.unpack_from(message)
        fields = _BODIES[type].unpack_from(message, _HEAD.size)
        side, flags = NO_SIDE, 0
        payload: tuple[int, int, int, int]
        match type:
            case "A" | "F" | "P":
                order_id, letter, size, _, price = fields[:5]
                if letter not in _SIDES:
                    raise _Malformed("corrupt")
                side = _SIDES[letter]
                kind = "trade" if type == "P" else "add"
                flags = FLAGS["hidden"] if type == "P" else 0
                payload = price, size, order_id, fields[5] if len(fields) > 5 else 0
            case "E":
                order_id, size, match_id = fields
                kind, payload = "execute", (NO_PRICE, size, order_id, match_id)
            case "C":
                order_id, size, match_id, printable, price = fields
                flags = FLAGS["not_printable"] if printable == b"N" else 0
                kind, payload = "execute", (price, size, order_id, match_id)
            case "X":
                order_id, size = fields
                kind, payload = "cancel", (NO_PRICE, size, order_id, 0)
            case "D":
                kind, payload = "delete", (NO_PRICE, 0, fields[0], 0)
            case "U":
                order_id, new_id, size, price = fields
                kind, payload = "replace", (price, size, order_id, new_id)
            case "Q":
                size, _, price, match_id, letter = fields
                if size >= 2**63:
                    raise _Malformed("size outside range")
                kind, payload = "cross", (price, size, letter[0], match_id)
            case "R":
                symbol, market, lot, classes, rest = fields
                self.symbols[locate] = symbol.decode("latin-1").rstrip(" ")
                if symbol == bytes(8):
                    del self.symbols[locate]
                first, second, third = (int.from_bytes(b, "little") for b in (symbol, market + classes, rest))
                kind, payload = "listing", (first, lot, second, third)
            case "H":
                _, state, reserved, reason = fields
                kind, payload = "status", (state[0], reason, reserved[0], 0)
            case _:
                kind, payload = "system", (fields[0][0], 0, 0, 0)
        exch_ns = self.midnight_ns + int.from_bytes(time, "big")
        symbol_id = self._symbol_ids.get(locate, locate)
        return (exch_ns, 0, symbol_id, KINDS[kind], side, flags, *(_signed(v) for v in payload))

    def decode(self, data: Any, out: npt.NDArray[np.void], final: bool = False) -> tuple[int, int]:
        """Decode length-prefixed messages; returns (events written, bytes consumed)."""
        raw = bytes(memoryview(data).cast("B"))
        at = events = 0
        while events < len(out) and len(raw) - at >= 2:
            size = int.from_bytes(raw[at : at + 2], "big")
            message = raw[at + 2 : at + 2 + size]
            if len(message) < size:
                break
            try:
                event = self._message(message)
            except _Malformed as malformed:
                self._fail(at, str(malformed), chr(message[0]) if message else "\0")
                if self.strict:
                    self._raise(at, str(malformed), chr(message[0]) if message else "\0", events)
            else:
                type = chr(message[0])
                self._counts[type] = self._counts.get(type, 0) + 1
                if event is None:
                    self.skipped += 1
                else:
                    out[events] = (out[events]["seq"], *event)
                    events += 1
            at += 2 + size
        rest = raw[at:]
        if final and rest and (len(rest) < 2 or len(rest) - 2 < int.from_bytes(rest[:2], "big")):
            type = chr(rest[2]) if len(rest) > 2 else "\0"
            self._fail(at, "short buffer", type)
            if self.strict:
                self._raise(at, "short buffer", type, events)
            at = len(raw)
        self.position += at
        return events, at

    def _raise(self, at: int, reason: str, type: str, events: int) -> None:
        self.position += at
        error = CorruptDataError(
            f"ITCH stream must hold whole messages of version 5.0: {reason} type={type!r} offset={self.position}"
        )
        error.offset = self.position  # type: ignore[attr-defined]
        error.events = events  # type: ignore[attr-defined]
        raise error

    def set_symbol_id(self, locate: int, symbol_id: int) -> None:
        """Map a stock locate to a symbol id."""
        _check_locate(locate)
        if not 0 <= symbol_id <= 0xFFFFFFFF:
            raise ValueError(f"symbol_id must lie in 0..2**32-1: symbol_id={symbol_id}")
        self._symbol_ids[locate] = symbol_id

    def symbol(self, locate: int) -> str | None:
        """Return the symbol that was listed under a locate."""
        return self.symbols.get(_check_locate(locate))

    @property
    def counts(self) -> dict[str, int]:
        """Well-formed messages by type letter."""
        return dict(sorted(self._counts.items()))

    @property
    def unknown(self) -> dict[str, int]:
        """Messages of unknown types by first byte."""
        return dict(sorted(self._unknown.items()))

    @property
    def errors(self) -> dict[str, int]:
        """Malformed messages by reason."""
        return {name: self._errors[name] for name in _CODES if name in self._errors}


class ItchEncoder:
    """Encode events as TotalView-ITCH 5.0 messages."""

    def __init__(self, midnight_ns: int = 0) -> None:
        self.midnight_ns = _check_midnight(midnight_ns)
        self._symbols: dict[int, bytes] = {}

    def set_symbol(self, locate: int, symbol: str | bytes) -> None:
        """Name a locate."""
        _check_locate(locate)
        raw = (symbol.encode("latin-1") if isinstance(symbol, str) else bytes(symbol)).rstrip(b" ")
        if not 1 <= len(raw) <= 8:
            raise ValueError(f"symbol must have 1 to 8 characters: symbol={symbol!r}")
        self._symbols[locate] = raw.ljust(8)

    def _message(self, row: Any) -> bytes:
        kinds = {number: name for name, number in KINDS.items()}
        kind, locate, side = kinds.get(int(row["kind"]), "none"), int(row["symbol_id"]), int(row["side"])
        price, size, match_id = int(row["price"]), int(row["size"]), _unsigned(row["match_id"])
        order_id = _unsigned(row["order_id"])
        time = int(row["exch_ns"]) - self.midnight_ns
        if locate >= _LOCATES:
            raise _Malformed("unknown symbol")
        if not 0 <= time < 2**48:
            raise _Malformed("corrupt")
        symbol = self._symbols.get(locate, bytes(8))
        if kind in ("add", "trade", "execute", "cancel", "replace") and not 0 <= size < 2**32:
            raise _Malformed("size outside range")
        priced = kind in ("add", "trade", "replace", "cross") or (kind == "execute" and price != NO_PRICE)
        if priced and not 0 <= price < 2**32:
            raise _Malformed("price outside range")
        if kind in ("add", "trade", "cross", "status") and symbol == bytes(8):
            raise _Malformed("unknown symbol")
        if kind in ("add", "trade") and side not in _LETTERS:
            raise _Malformed("corrupt")
        values: tuple[Any, ...]
        match kind:
            case "add" if match_id == 0:
                type, values = "A", (order_id, _LETTERS[side], size, symbol, price)
            case "add":
                if match_id >= 2**32:
                    raise _Malformed("corrupt")
                type, values = "F", (order_id, _LETTERS[side], size, symbol, price, match_id)
            case "trade":
                type, values = "P", (order_id, _LETTERS[side], size, symbol, price, match_id)
            case "execute" if price == NO_PRICE:
                type, values = "E", (order_id, size, match_id)
            case "execute":
                printable = b"N" if int(row["flags"]) & FLAGS["not_printable"] else b"Y"
                type, values = "C", (order_id, size, match_id, printable, price)
            case "cancel":
                type, values = "X", (order_id, size)
            case "delete":
                type, values = "D", (order_id,)
            case "replace":
                type, values = "U", (order_id, match_id, size, price)
            case "cross":
                if size < 0:
                    raise _Malformed("size outside range")
                if order_id > 0xFF:
                    raise _Malformed("corrupt")
                type, values = "Q", (size, symbol, price, match_id, bytes([order_id]))
            case "listing":
                if price == 0:
                    raise _Malformed("unknown symbol")
                if not 0 <= size < 2**32:
                    raise _Malformed("size outside range")
                name, classes, rest = (v.to_bytes(8, "little") for v in (_unsigned(price), order_id, match_id))
                self._symbols[locate] = name
                type, values = "R", (name, classes[:2], size, classes[2:], rest)
            case "status":
                if not (0 <= price <= 0xFF and 0 <= size < 2**32 and order_id <= 0xFF):
                    raise _Malformed("corrupt")
                type, values = "H", (symbol, bytes([price]), bytes([order_id]), size)
            case "system":
                if not 0 <= price <= 0xFF:
                    raise _Malformed("corrupt")
                type, values = "S", (bytes([price]),)
            case _:
                raise _Malformed("unknown message type")
        return _HEAD.pack(type.encode(), locate, 0, time.to_bytes(6, "big")) + _BODIES[type].pack(*values)

    def encode(self, events: npt.NDArray[np.void]) -> bytes:
        """Encode events, each behind its 2-byte length."""
        out = []
        for i, row in enumerate(events):
            try:
                message = self._message(row)
            except _Malformed as malformed:
                raise_result(_CODES[str(malformed)], f"event must fit its ITCH message: index={i} event={row}")
            out.append(struct.pack(">H", len(message)) + message)
        return b"".join(out)
