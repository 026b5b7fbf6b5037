"""Plain-Python twin of ``fastcore.wire.ouch``: each message as a list of named fields, read and written by ``struct``."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from fastcore.errors import raise_result
from fastcore.records import BUY, FLAGS, KINDS, NO_PRICE, NO_SYMBOL, SELL, SESSION
from fastcore.wire.ouch_fields import OUCH_DTYPE
from fastcore.wire.soup_packets import SOUP_DTYPE

from .symbols import SymbolMapper, wire_key
from .tally import CODES, Decoder, Malformed, check_midnight

_ACCEPTED = (
    "side:c size:I symbol:8s price:Q time_in_force:c display:c order_reference:Q capacity:c sweep:c cross_type:c state:c "
    "cl_ord_id:14s"
)
# Letter -> kind of event, whether an appendage may (1) or must (2) follow, fields in order.
_CLIENT = {
    "O": (
        "order", 2, "reference:I side:c size:I symbol:8s price:Q time_in_force:c display:c capacity:c sweep:c cross_type:c "
        "cl_ord_id:14s",
    ),
    "U": ("replace", 2, "original:I reference:I size:I price:Q time_in_force:c display:c sweep:c cl_ord_id:14s"),
    "X": ("pull", 1, "reference:I size:I"),
    "M": ("replace", 1, "reference:I side:c size:I"),
    "C": ("notice", 2, "reference:I firm:4s symbol:8s"),
    "D": ("notice", 2, "reference:I firm:4s"),
    "E": ("notice", 2, "reference:I firm:4s"),
    "Q": ("notice", 1, ""),
}  # fmt: skip
_VENUE = {
    "S": ("system", 0, "time:Q reason:c"),
    "A": ("ack", 2, "time:Q reference:I " + _ACCEPTED),
    "U": ("replace", 2, "time:Q original:I reference:I " + _ACCEPTED),
    "C": ("pulled", 1, "time:Q reference:I size:I reason:c"),
    "D": (
        "pulled", 1, "time:Q reference:I size:I reason:c prevented_size:I execution_price:Q liquidity:c strategy:c",
    ),
    "E": ("fill", 2, "time:Q reference:I size:I price:Q liquidity:c match:Q"),
    "B": ("break", 1, "time:Q reference:I match:Q reason:c cl_ord_id:14s"),
    "J": ("reject", 1, "time:Q reference:I reject_reason:H cl_ord_id:14s"),
    "P": ("notice", 1, "time:Q reference:I"),
    "I": ("notice", 1, "time:Q reference:I"),
    "T": ("notice", 1, "time:Q reference:I price:Q display:c order_reference:Q"),
    "M": ("replace", 1, "time:Q reference:I side:c size:I"),
    "R": ("notice", 2, "time:Q reference:I reason:c"),
    "X": ("notice", 2, "time:Q reference:I firm:4s symbol:8s"),
    "G": ("notice", 2, "time:Q reference:I firm:4s"),
    "K": ("notice", 2, "time:Q reference:I firm:4s"),
    "Q": ("notice", 1, "time:Q reference:I"),
}  # fmt: skip

_NAMES = {number: name for name, number in KINDS.items()}
_SIDES = {b"B": BUY, b"S": SELL, b"T": SELL, b"E": SELL}
_VENUE_REASON = 65_536
_DETAILS = {name for name in OUCH_DTYPE.names or () if not name.startswith("appendage")}


class _Message:
    """What is known of one type of message."""

    def __init__(self, kind: str, appendage: int, fields: str) -> None:
        self.kind, self.appendage = kind, appendage
        pairs = [field.split(":") for field in fields.split()]
        self.names = [name for name, _ in pairs]
        self.struct = struct.Struct(">c" + "".join(code for _, code in pairs))


def _messages(outbound: bool) -> dict[str, _Message]:
    return {letter: _Message(*row) for letter, row in (_VENUE if outbound else _CLIENT).items()}


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


def _unsigned(value: Any) -> int:
    return int(value) & (2**64 - 1)


def _raw(row: Any, name: str) -> bytes:
    """The bytes of a field of letters, trailing NULs included."""
    offset = OUCH_DTYPE.fields[name][1]  # type: ignore[index]
    return bytes(row.tobytes()[offset : offset + OUCH_DTYPE[name].itemsize])


def _whole_elements(appendage: bytes) -> bool:
    at = 0
    while at < len(appendage):
        if appendage[at] == 0 or len(appendage) - at - 1 < appendage[at]:
            return False
        at += 1 + appendage[at]
    return True


_SESSION = {ord("S"): SESSION["system_opens"], ord("E"): SESSION["system_closes"]}


class OuchDecoder(Decoder):
    """Decode the OUCH 5.0 messages of one direction of a connection."""

    rule = "OUCH messages must be those of version 5.0"

    def __init__(self, outbound: bool, symbols: SymbolMapper | None = None, midnight_ns: int = 0, strict: bool = False) -> None:
        super().__init__(strict)
        self.outbound = bool(outbound)
        self.midnight_ns = check_midnight(midnight_ns)
        self._symbols = symbols
        self._messages = _messages(self.outbound)

    def _message(self, raw: bytes, offset: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Fields of the event from exch_ns on (without local_ns), and those of the row beside it."""
        if not raw:
            raise Malformed("bad length")
        letter = chr(raw[0])
        if letter not in self._messages:
            raise Malformed("unknown message type")
        m = self._messages[letter]
        size = m.struct.size
        row: dict[str, Any] = {"type": raw[:1]}
        if len(raw) != size:
            if len(raw) < size + 2 or m.appendage == 0:
                raise Malformed("bad length")
            length = int.from_bytes(raw[size : size + 2], "big")
            row |= {"has_appendage": 1, "appendage_length": length, "appendage_offset": offset + size + 2}
            if length + size + 2 != len(raw):
                raise Malformed("bad length")
            if not _whole_elements(raw[size + 2 :]):
                raise Malformed("corrupt")
        elif m.appendage == 2:
            raise Malformed("bad length")
        f = dict(zip(m.names, m.struct.unpack_from(raw)[1:], strict=True))
        if f.get("time", 0) >= 2**62 or ("side" in f and f["side"] not in _SIDES):
            raise Malformed("corrupt")
        if f.get("price", 0) >= 2**63:
            raise Malformed("price outside range")
        row |= {name: value for name, value in f.items() if name in _DETAILS and name != "size"}
        time = self.midnight_ns + f["time"] if "time" in f else 0
        symbol_id = NO_SYMBOL
        if "symbol" in f and self._symbols is not None:
            keys = {wire_key(s): i for i, s in enumerate(self._symbols.symbols) if len(s.encode()) <= 8}
            symbol_id = keys.get(int.from_bytes(f["symbol"], "little"), NO_SYMBOL)
        reference, reason = f.get("reference", 0), f.get("reason", b"\0")[0]
        price, shares = f.get("price", NO_PRICE), f.get("size", 0)
        payload: tuple[int, int, int, int]
        match m.kind:
            case "replace":
                payload = price, shares, f.get("original", reference), reference
            case "system":
                word = _SESSION.get(reason, 0)
                payload = word, 0, 0, 0 if word else reason
            case "notice":
                payload = raw[0], f.get("price", reason), reference, f.get("order_reference", 0)
            case "pulled":
                payload = price, shares, reference, reason
            case "reject":
                payload = price, shares, reference, f["reject_reason"] + _VENUE_REASON
            case "fill" | "break":
                payload = price, shares, reference, f["match"]
            case _:
                payload = price, shares, reference, f.get("order_reference", 0)
        side = _SIDES[f["side"]] if "side" in f else 0
        return (time, symbol_id, KINDS[m.kind], side, FLAGS["own"], *map(_signed, payload)), row

    def decode(
        self,
        data: Any,
        rows: npt.NDArray[np.void],
        out: npt.NDArray[np.void],
        details: npt.NDArray[np.void],
        local_ns: int = 0,
        offset: int = 0,
    ) -> int:
        """Decode the messages that SoupBinTCP packets carry; returns the events written."""
        if len(out) < len(rows) or len(details) < len(rows):
            raise ValueError(f"out and details must be as long as rows: rows={len(rows)} out={len(out)} details={len(details)}")
        raw = bytes(memoryview(data).cast("B"))
        for i, (at, _, length, _) in enumerate(rows.tolist()):
            if at + length > len(raw):
                raise ValueError(f"a row must lie within data: index={i} row={rows[i]} data={len(raw)}")
        written, self.position = 0, offset
        for at, sequence, length, type in rows.tolist():
            if type not in (b"S", b"U"):
                continue
            message = raw[at : at + length]
            try:
                event, row = self._message(message, at)
            except Malformed as malformed:
                self._fail(offset + at, str(malformed), chr(message[0]) if message else "\0", written)
                continue
            self._count(chr(message[0]))
            out[written] = (sequence, event[0], local_ns, *event[1:])
            details[written] = np.zeros(1, OUCH_DTYPE)[0]
            for name, value in row.items():
                details[name][written] = value
            written += 1
        self.position += len(raw)
        return written


class OuchEncoder:
    """Encode events as the OUCH 5.0 messages of one direction."""

    def __init__(self, outbound: bool, midnight_ns: int = 0) -> None:
        self.outbound = bool(outbound)
        self.midnight_ns = check_midnight(midnight_ns)
        self._messages = _messages(self.outbound)

    def _letter(self, kind: str, price: int) -> str:
        if kind == "replace":
            return "M" if price == NO_PRICE else "U"
        if kind == "notice":
            return chr(price) if 0 < price < 256 else "\0"
        if self.outbound:
            return dict(zip("ack pulled fill break reject system".split(), "ACEBJS", strict=True)).get(kind, "\0")
        return {"order": "O", "pull": "X"}.get(kind, "\0")

    def _encode(self, event: Any, row: Any, data: bytes) -> bytes:
        kind = _NAMES.get(int(event["kind"]), "none")
        price, size, order_id, fourth = (int(event[name]) for name in ("price", "size", "order_id", "match_id"))
        letter = _raw(row, "type").decode("latin-1")
        letter = self._letter(kind, price) if letter == "\0" else letter
        if letter not in self._messages or self._messages[letter].kind != kind:
            raise Malformed("unknown message type")
        m = self._messages[letter]
        f: dict[str, Any] = {}
        if "time" in m.names:
            f["time"] = int(event["exch_ns"]) - self.midnight_ns
            if not 0 <= _unsigned(f["time"]) < 2**62:
                raise Malformed("corrupt")
            f["time"] = _unsigned(f["time"])
        if kind == "replace":
            f["original"] = order_id
            if "original" in m.names and not 0 <= order_id < 2**32:
                raise Malformed("unknown order")
            if "original" not in m.names and order_id != fourth:
                raise Malformed("unknown order")
            order_id = fourth
        if kind == "notice" and price != ord(letter):
            raise Malformed("corrupt")
        f["reference"] = order_id
        if "reference" in m.names and not 0 <= order_id < 2**32:
            raise Malformed("unknown order")
        if "side" in m.names:
            f["side"] = _raw(row, "side")
            if f["side"] == b"\0":
                f["side"] = b"B" if event["side"] > 0 else b"S"
            if event["side"] == 0 or _SIDES.get(f["side"], 0) != event["side"]:
                raise Malformed("corrupt")
        f["size"] = size
        if "size" in m.names and not 0 <= size < 2**32:
            raise Malformed("size outside range")
        f["price"] = size if kind == "notice" else price
        if "price" in m.names and f["price"] < 0:
            raise Malformed("price outside range")
        built = _raw(row, "type") == b"\0"
        if built and "symbol" in m.names and "price" in m.names and _raw(row, "symbol")[:1] in (b"\0", b" "):
            raise Malformed("unknown symbol")
        for name in m.names:
            if name in _DETAILS and name not in f:
                f[name] = _raw(row, name) if OUCH_DTYPE[name].kind == "S" else int(row[name])
        if kind in ("ack", "notice"):
            f["order_reference"] = _unsigned(fourth)
        f["match"] = _unsigned(fourth)
        if "reason" in m.names and kind in ("pulled", "system", "notice"):
            letters = {word: letter for letter, word in _SESSION.items()}
            code = letters.get(price, fourth if price == 0 and fourth not in _SESSION else -1)
            value = {"pulled": fourth, "system": code, "notice": size}[kind]
            if not 0 <= value <= 0xFF:
                raise Malformed("corrupt")
            f["reason"] = bytes([value])
        if "reject_reason" in m.names:
            f["reject_reason"] = fourth - _VENUE_REASON
            if not 0 <= f["reject_reason"] <= 0xFFFF:
                raise Malformed("corrupt")
        body = m.struct.pack(letter.encode("latin-1"), *(f[name] for name in m.names))
        length, offset = int(row["appendage_length"]), int(row["appendage_offset"])
        if m.appendage == 0:
            if length:
                raise Malformed("bad length")
            return body
        if m.appendage == 1 and not length and not row["has_appendage"]:
            return body
        if len(body) + 2 + length > 65_534 or (length and offset + length > len(data)):
            raise Malformed("bad length")
        appendage = data[offset : offset + length] if length else b""
        if not _whole_elements(appendage):
            raise Malformed("corrupt")
        return body + struct.pack(">H", length) + appendage

    def encode(
        self, events: npt.NDArray[np.void], details: npt.NDArray[np.void], data: Any = b""
    ) -> tuple[bytes, npt.NDArray[np.void]]:
        """Encode events: (messages one behind the other, where they are)."""
        if len(details) != len(events):
            raise ValueError(f"details must be as long as events: events={len(events)} details={len(details)}")
        raw = bytes(memoryview(data).cast("B"))
        rows = np.zeros(len(events), SOUP_DTYPE)
        out: list[bytes] = []
        at = 0
        for i, (event, row) in enumerate(zip(events, details, strict=True)):
            try:
                message = self._encode(event, row, raw)
            except Malformed as malformed:
                raise_result(
                    CODES[str(malformed)],
                    f"event must fit its OUCH message: index={i} event={event} type={row['type']}",
                )
            rows[i] = (at, 0, len(message), b"S" if self.outbound else b"U")
            out.append(message)
            at += len(message)
        return b"".join(out), rows
