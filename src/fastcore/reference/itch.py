"""Plain-Python twin of ``fastcore.wire.itch``: one ``struct`` format for each message type."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from fastcore.errors import raise_result
from fastcore.records import BUY, FLAGS, KINDS, NO_PRICE, NO_SIDE, NO_SYMBOL, SELL, SESSION, TRADING

from .symbols import key_symbol, wire_key
from .tally import CODES, Decoder, Malformed, check_midnight

# Behind type, locate, tracking number and time. 8s is the symbol, but for the first and last field of R.
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
    "B": struct.Struct(">Q"),
    "R": struct.Struct(">8s2sI6s8s"),
    "H": struct.Struct(">8sccI"),
    "S": struct.Struct(">c"),
    "I": struct.Struct(">QQc8sIIIcc"),
    "Y": struct.Struct(">8sc"),
    "L": struct.Struct(">I8s3s"),
    "V": struct.Struct(">QQQ"),
    "W": struct.Struct(">c"),
    "K": struct.Struct(">8sIcI"),
    "J": struct.Struct(">8sIIII"),
    "h": struct.Struct(">8scc"),
    "N": struct.Struct(">8sc"),
    "O": struct.Struct(">8scIIIQII"),
}
_SYMBOL_AT = {**dict.fromkeys("RHYKJhNO", 0), "L": 1, "Q": 1, "A": 3, "F": 3, "P": 3, "I": 3}  # which of the fields
UNITS = {"tick_size": 0.0001, "lot_size": 1.0, "increment_ticks": 100, "low_increment_ticks": 1, "low_below_ticks": 10_000, "currency": "USD"}

LENGTHS = {type: _HEAD.size + body.size for type, body in _BODIES.items()}
MAX_EVENTS = 3
_EVENTS = {"I": 2, "J": 2, "O": 3}

WIRE_DTYPE = np.dtype(
    {
        "names": ["symbol", "locate", "tracking", "type", "printable"],
        "formats": ["S8", "=u2", "=u2", "S1", "S1"],
        "offsets": [0, 8, 10, 12, 13],
        "itemsize": 16,
    }
)
LISTING_DTYPE = np.dtype(
    [("symbol", "S8"), ("symbol_id", "=u4"), ("round_lot", "=u4"), ("leverage", "=u4"), ("locate", "=u2")]
    + [(name, "S1") for name in ("market", "status", "lots_only", "class")]
    + [("subtype", "S2")]
    + [(name, "S1") for name in ("authenticity", "threshold", "ipo", "luld_tier", "etp", "inverse")]
)

_TRADING = {b"H": TRADING["halted"], b"P": TRADING["paused"], b"Q": TRADING["quotation"], b"T": TRADING["trading"]}
_SESSION = {
    **{b"O": SESSION["messages_begin"], b"S": SESSION["system_opens"], b"Q": SESSION["market_opens"]},
    **{b"M": SESSION["market_closes"], b"E": SESSION["system_closes"], b"C": SESSION["messages_end"]},
}
_SIDES = {b"B": BUY, b"S": SELL}
_LETTERS = {BUY: b"B", SELL: b"S"}
_TYPES = {
    **{"trade": "P", "cancel": "X", "delete": "D", "replace": "U", "cross": "Q", "break": "B"},
    **{"listing": "R", "status": "H", "system": "S", "imbalance": "I"},
}
_PAYLOAD = ("price", "size", "order_id", "match_id")
_LOCATES = 65536


class _Full(Exception):
    """The events of a message do not fit."""


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


def _unsigned(value: Any) -> int:
    return int(value) & (2**64 - 1)


def _price(value: int) -> int:
    """A price that the venue writes as 0 where it has none."""
    return value or NO_PRICE


def _wire_price(value: int, most: int = 2**32 - 1) -> int:
    if value == NO_PRICE:
        return 0
    if not 0 <= value <= most:
        raise Malformed("price outside range")
    return value


def _letter(value: int) -> bytes:
    if not 0 <= value <= 0xFF:
        raise Malformed("corrupt")
    return bytes([value])


def _u32(value: int) -> int:
    if not 0 <= value < 2**32:
        raise Malformed("corrupt")
    return value


def _size(value: int, most: int = 2**63 - 1) -> int:
    if not 0 <= value <= most:
        raise Malformed("size outside range")
    return value


def _word(words: dict[bytes, int], letter: bytes) -> tuple[int, int]:
    """The word of a letter, and the letter where the word is unknown."""
    return (words[letter], 0) if letter in words else (0, letter[0])


def _word_letter(words: dict[bytes, int], word: int, other: int) -> bytes:
    """The letter of a word; of the unknown one it stands beside."""
    letter = {number: known for known, number in words.items()}.get(word)
    if letter is None and (word != 0 or _letter(other) in words):
        raise Malformed("corrupt")
    return _letter(other) if letter is None else letter


def _check_wire(wire: npt.NDArray[np.void], least: int, most: int) -> None:
    if wire.dtype != WIRE_DTYPE:
        raise TypeError(f"wire must have dtype WIRE_DTYPE: dtype={wire.dtype}")
    if not least <= len(wire) <= most:
        raise ValueError(f"wire must have a row for each event: rows={len(wire)} events={least}")


def _check_locate(locate: int) -> int:
    if not 0 <= locate < _LOCATES:
        raise ValueError(f"locate must be in 0..65535: locate={locate}")
    return locate


def whole_messages(data: Any) -> tuple[int, int]:
    """Return how many bytes at the start of `data` are whole length-prefixed messages, and how many these are."""
    raw = bytes(memoryview(data).cast("B"))
    at = messages = 0
    while len(raw) - at >= 2 and len(raw) - at - 2 >= int.from_bytes(raw[at : at + 2], "big"):
        at += 2 + int.from_bytes(raw[at : at + 2], "big")
        messages += 1
    return at, messages


class ItchDecoder(Decoder):
    """Decode TotalView-ITCH 5.0 messages into events."""

    rule = "ITCH stream must hold whole messages of version 5.0"

    def __init__(
        self,
        midnight_ns: int = 0,
        strict: bool = False,
        *,
        instruments: Any = None,
        wanted: Iterable[str | bytes] | None = None,
    ) -> None:
        super().__init__(strict)
        self.midnight_ns = check_midnight(midnight_ns)
        self.instruments = instruments
        if isinstance(wanted, str | bytes):
            raise TypeError(f"wanted must be an iterable of symbols, not one: wanted={wanted!r}")
        keys = None if wanted is None else set(map(wire_key, wanted))
        self.wanted = None if keys is None else frozenset(map(key_symbol, keys))
        self._wanted = None if keys is None else {key.to_bytes(8, "little") for key in keys}
        self._names: dict[int, bytes] = {}  # by locate
        self.symbols: dict[int, str] = {}
        self._listings: dict[int, tuple[Any, ...]] = {}

    @property
    def symbol_ids(self) -> dict[int, int]:
        if self.instruments is None:
            return {}
        return {i: number for i in sorted(self._names) if i and (number := self._symbol_id(i)) != NO_SYMBOL}

    def _symbol_id(self, locate: int) -> int:
        """The id of a locate."""
        name = self._names.get(locate)
        if self._wanted is not None and locate and name not in self._wanted:
            return NO_SYMBOL
        if self.instruments is None:
            return locate
        if name is None:
            return NO_SYMBOL
        known = self.instruments.id_of(name)
        return int(self.instruments.add(name, **UNITS) if known is None else known)

    def _message(self, message: bytes, room: int) -> list[tuple[Any, ...]]:
        """The events of a message, all fields behind ``seq``; none where its symbol is not wanted."""
        if not message:
            raise Malformed("bad length")
        type = chr(message[0])
        if type not in LENGTHS:
            raise Malformed("unknown message type")
        if len(message) != LENGTHS[type]:
            raise Malformed("bad length")
        if room < _EVENTS.get(type, 1):
            raise _Full
        _, locate, _, time = _HEAD.unpack_from(message)
        fields = _BODIES[type].unpack_from(message, _HEAD.size)
        if type in _SYMBOL_AT and locate and any(fields[_SYMBOL_AT[type]]) and (type == "R" or locate not in self._names):
            self._names[locate] = fields[_SYMBOL_AT[type]]
        if self._wanted is not None and locate and self._names.get(locate) not in self._wanted:
            self.skipped += 1
            return []
        symbol_id = self._symbol_id(locate)
        side, flags = NO_SIDE, 0
        letter = ord(type)
        kind = "notice"
        payloads: list[tuple[int, ...]]
        match type:
            case "A" | "F" | "P":
                order_id, way, size, _, price = fields[:5]
                if way not in _SIDES:
                    raise Malformed("corrupt")
                side = _SIDES[way]
                kind = "trade" if type == "P" else "add"
                flags = FLAGS["hidden"] if type == "P" else 0
                payloads = [(price, size, order_id, fields[5] if len(fields) > 5 else 0)]
            case "E":
                order_id, size, match_id = fields
                kind, payloads = "execute", [(NO_PRICE, size, order_id, match_id)]
            case "C":
                order_id, size, match_id, printable, price = fields
                flags = FLAGS["not_printable"] if printable == b"N" else 0
                kind, payloads = "execute", [(price, size, order_id, match_id)]
            case "X":
                order_id, size = fields
                kind, payloads = "cancel", [(NO_PRICE, size, order_id, 0)]
            case "D":
                kind, payloads = "delete", [(NO_PRICE, 0, fields[0], 0)]
            case "U":
                order_id, new_id, size, price = fields
                kind, payloads = "replace", [(price, size, order_id, new_id)]
            case "Q":
                size, _, price, match_id, cross = fields
                kind, payloads = "cross", [(price, _size(size), cross[0], match_id)]
            case "B":
                kind, payloads = "break", [(NO_PRICE, 0, 0, fields[0])]
            case "R":
                symbol, market, lot, classes, rest = fields
                self.symbols[locate] = symbol.decode("latin-1").rstrip(" ")
                self._listings[locate] = fields
                if symbol == bytes(8):
                    del self.symbols[locate], self._listings[locate]
                first, second, third = (int.from_bytes(b, "little") for b in (symbol, market + classes, rest))
                kind, payloads = "listing", [(first, lot, second, third)]
            case "H":
                _, state, reserved, reason = fields
                word, other = _word(_TRADING, state)
                kind, payloads = "status", [(word, reason, reserved[0], other)]
            case "S":
                word, other = _word(_SESSION, fields[0])
                kind, payloads = "system", [(word, 0, 0, other)]
            case "I":
                paired, imbalance, way, _, far, near, reference, cross, variation = fields
                side = _SIDES.get(way, NO_SIDE)
                kind = "imbalance"
                payloads = [
                    (_price(reference), _size(imbalance), _size(paired), cross[0]),
                    (_price(far), _price(near), way[0], variation[0]),
                ]
            case "Y" | "N":
                payloads = [(letter, fields[1][0])]
            case "L":
                mpid, _, state = fields
                payloads = [(letter, mpid, int.from_bytes(state, "little"))]
            case "V":
                if max(fields) >= 2**63:
                    raise Malformed("price outside range")
                payloads = [(letter, *map(_price, fields))]
            case "W":
                payloads = [(letter, fields[0][0])]
            case "K":
                _, release, qualifier, price = fields
                payloads = [(letter, release, qualifier[0], _price(price))]
            case "J":
                payloads = [(letter, *map(_price, fields[1:4])), (letter, fields[4])]
            case "h":
                _, market, action = fields
                payloads = [(letter, market[0], action[0])]
            case _:
                _, eligible, lowest, highest, near, near_time, lower, upper = fields
                payloads = [
                    (letter, eligible[0], _price(near), near_time),
                    (letter, _price(lowest), _price(highest)),
                    (letter, _price(lower), _price(upper)),
                ]
        exch_ns = self.midnight_ns + int.from_bytes(time, "big")
        events = []
        for i, payload in enumerate(payloads):
            more = FLAGS["continued"] if i + 1 < len(payloads) else 0
            values = [_signed(v) for v in (*payload, 0, 0, 0)[:4]]
            events.append((exch_ns, 0, symbol_id, KINDS[kind], side, flags | more, *values))
        return events

    @staticmethod
    def _wire(message: bytes) -> tuple[Any, ...]:
        """What a well-formed message says besides its events."""
        type, locate, tracking, _ = _HEAD.unpack_from(message)
        fields = _BODIES[type.decode()].unpack_from(message, _HEAD.size)
        at = _SYMBOL_AT.get(type.decode())
        return b"" if at is None else fields[at], locate, tracking, type, fields[3] if type == b"C" else b""

    def decode(
        self, data: Any, out: npt.NDArray[np.void], final: bool = False, wire: npt.NDArray[np.void] | None = None
    ) -> tuple[int, int]:
        """Decode length-prefixed messages; returns (events written, bytes consumed)."""
        if wire is not None:
            _check_wire(wire, len(out), 2**63)
        raw = bytes(memoryview(data).cast("B"))
        at = events = self.needed = 0
        while events < len(out) and len(raw) - at >= 2:
            size = int.from_bytes(raw[at : at + 2], "big")
            message = raw[at + 2 : at + 2 + size]
            if len(message) < size:
                break
            try:
                found = self._message(message, len(out) - events)
            except Malformed as malformed:
                self._break(at, str(malformed), chr(message[0]) if message else "\0", events)
            except _Full:
                self.needed = _EVENTS[chr(message[0])]
                if at == 0:
                    raise ValueError(
                        f"out must hold the events of one message: capacity={len(out)} needed={self.needed}"
                    ) from None
                break
            else:
                if found:
                    self._count(chr(message[0]))
                for event in found:
                    out[events] = (out[events]["seq"], *event)
                    if wire is not None:
                        wire[events] = self._wire(message)
                    events += 1
            at += 2 + size
        rest = raw[at:]
        if final and rest and (len(rest) < 2 or len(rest) - 2 < int.from_bytes(rest[:2], "big")):
            self._break(at, "short buffer", chr(rest[2]) if len(rest) > 2 else "\0", events)
            at = len(raw)
        self.position += at
        return events, at

    @property
    def listings(self) -> npt.NDArray[np.void]:
        """The stock directory so far, by locate."""
        table = np.zeros(len(self.symbols), LISTING_DTYPE)
        for row, locate in zip(table, sorted(self.symbols), strict=True):
            symbol, market, lot, classes, rest = self._listings[locate]
            row["symbol"], row["locate"], row["symbol_id"] = symbol.rstrip(b" "), locate, self._symbol_id(locate)
            row["market"], row["status"], row["round_lot"] = market[:1], market[1:], lot
            row["lots_only"], row["class"], row["subtype"] = classes[:1], classes[1:2], classes[2:4].rstrip(b" ")
            row["authenticity"], row["threshold"] = classes[4:5], classes[5:]
            row["ipo"], row["luld_tier"], row["etp"], row["inverse"] = rest[:1], rest[1:2], rest[2:3], rest[7:]
            row["leverage"] = int.from_bytes(rest[3:7], "big")
        return table

    def symbol(self, locate: int) -> str | None:
        """Return the symbol that was listed under a locate."""
        return self.symbols.get(_check_locate(locate))


class ItchEncoder:
    """Encode events as TotalView-ITCH 5.0 messages."""

    def __init__(self, midnight_ns: int = 0) -> None:
        self.midnight_ns = check_midnight(midnight_ns)
        self._symbols: dict[int, bytes] = {}

    def set_symbol(self, locate: int, symbol: str | bytes) -> None:
        """Name a locate."""
        _check_locate(locate)
        raw = (symbol.encode("latin-1") if isinstance(symbol, str) else bytes(symbol)).rstrip(b" ")
        if not 1 <= len(raw) <= 8:
            raise ValueError(f"symbol must have 1 to 8 characters: symbol={symbol!r}")
        self._symbols[locate] = raw.ljust(8)

    def _type(self, row: Any, wire: Any) -> str:
        """The type of the message of an event."""
        kinds = {number: name for name, number in KINDS.items()}
        match kinds.get(int(row["kind"]), "none"):
            case "add":
                return "A" if row["match_id"] == 0 and (wire is None or wire["type"] != b"F") else "F"
            case "execute":
                return "E" if row["price"] == NO_PRICE else "C"
            case "notice" if row["price"] in map(ord, "YLVWKJhNO"):
                return chr(row["price"])
            case kind if kind in _TYPES:
                return _TYPES[kind]
        raise Malformed("unknown message type")

    def _message(self, rows: npt.NDArray[np.void], wire: Any) -> tuple[int, bytes]:
        """The message at the head of the events: how many these are, and its bytes."""
        row = rows[0]
        type = self._type(row, wire)
        events = _EVENTS.get(type, 1)
        alike = ["kind", "symbol_id", "exch_ns"] + ["price"] * (int(row["kind"]) == KINDS["notice"])
        if len(rows) < events:
            raise Malformed("corrupt")
        for i in range(events):
            if any(rows[i][name] != row[name] for name in alike):
                raise Malformed("corrupt")
            if bool(rows[i]["flags"] & FLAGS["continued"]) != (i + 1 < events):
                raise Malformed("corrupt")
        time = int(row["exch_ns"]) - self.midnight_ns
        if not 0 <= time < 2**48:
            raise Malformed("corrupt")
        printable = b"N" if int(row["flags"]) & FLAGS["not_printable"] else b"Y"
        tracking, locate = 0, int(row["symbol_id"])
        if wire is None:
            if locate >= _LOCATES:
                raise Malformed("unknown symbol")
            symbol = self._symbols.get(locate, bytes(8))
            if type == "R":
                symbol = _unsigned(row["price"]).to_bytes(8, "little")
            if type in _SYMBOL_AT and symbol == bytes(8):
                raise Malformed("unknown symbol")
        else:
            if wire["type"] != type.encode() or (type == "C" and (wire["printable"] == b"N") != (printable == b"N")):
                raise Malformed("corrupt")
            # Items of an S field come without the zeros at their end.
            locate, tracking, symbol = int(wire["locate"]), int(wire["tracking"]), bytes(wire["symbol"]).ljust(8, b"\0")
            printable = bytes(wire["printable"]).ljust(1, b"\0")
        payloads = [[int(r[name]) for name in _PAYLOAD] for r in rows[:events]]
        values = self._values(type, payloads, int(row["side"]), symbol, printable)
        if type == "R":
            self._symbols[locate] = values[0]
        return events, _HEAD.pack(type.encode(), locate, tracking, time.to_bytes(6, "big")) + _BODIES[type].pack(*values)

    @staticmethod
    def _values(type: str, payloads: list[list[int]], side: int, symbol: bytes, printable: bytes) -> tuple[Any, ...]:
        """The fields of a message behind its head."""
        price, size, third, fourth = payloads[0]
        order_id, match_id = _unsigned(third), _unsigned(fourth)
        most = 2**32 - 1
        if type in "AFPECXU":
            _size(size, most)
        if type in "AFPCU" and not 0 <= price <= most:
            raise Malformed("price outside range")
        match type:
            case "A" | "F" | "P":
                if side not in _LETTERS or (type == "F" and match_id > most):
                    raise Malformed("corrupt")
                return (order_id, _LETTERS[side], size, symbol, price) + ((match_id,) if type != "A" else ())
            case "E":
                return order_id, size, match_id
            case "C":
                return order_id, size, match_id, printable, price
            case "X":
                return order_id, size
            case "D":
                return (order_id,)
            case "U":
                return order_id, match_id, size, price
            case "B":
                return (match_id,)
            case "S":
                return (_word_letter(_SESSION, price, fourth),)
            case "W":
                return (_letter(size),)
            case "R":
                name, classes, rest = (_unsigned(v).to_bytes(8, "little") for v in (price, third, fourth))
                return name, classes[:2], _size(size, most), classes[2:], rest
            case "H":
                return symbol, _word_letter(_TRADING, price, fourth), _letter(third), _u32(size)
            case "Q":
                _size(size)
                if not 0 <= price <= most:
                    raise Malformed("price outside range")
                return size, symbol, price, match_id, _letter(third)
            case "I":
                far, near, way, variation = payloads[1]
                _size(size), _size(third)
                prices = [_wire_price(v) for v in (far, near, price)]
                return third, size, _letter(way), symbol, *prices, _letter(fourth), _letter(variation)
            case "Y" | "N":
                return symbol, _letter(size)
            case "h":
                return symbol, _letter(size), _letter(third)
            case "L":
                if order_id >= 2**24:
                    raise Malformed("corrupt")
                return _u32(size), symbol, order_id.to_bytes(3, "little")
            case "V":
                return tuple(_wire_price(v, 2**63 - 1) for v in (size, third, fourth))
            case "K":
                return symbol, _u32(size), _letter(third), _wire_price(fourth)
            case "J":
                extension = _u32(payloads[1][1])
                return symbol, *(_wire_price(v) for v in (size, third, fourth)), extension
        eligible = _letter(size)
        near, lowest, highest, lower, upper = map(_wire_price, (third, *payloads[1][1:3], *payloads[2][1:3]))
        return symbol, eligible, lowest, highest, near, match_id, lower, upper

    def encode(self, events: npt.NDArray[np.void], wire: npt.NDArray[np.void] | None = None) -> bytes:
        """Encode events, each message behind its 2-byte length."""
        if wire is not None:
            _check_wire(wire, len(events), len(events))
        out, i = [], 0
        while i < len(events):
            try:
                used, message = self._message(events[i:], None if wire is None else wire[i])
            except Malformed as malformed:
                raise_result(CODES[str(malformed)], f"event must fit its ITCH message: index={i} event={events[i]}")
            out.append(struct.pack(">H", len(message)) + message)
            i += used
        return b"".join(out)
