"""Plain-Python twin of ``fastcore.wire.soup``: the same packets with ``struct`` and slices."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from fastcore.errors import CorruptDataError

from .tally import Decoder

MAX_PAYLOAD = 65_534
SOUP_DTYPE = np.dtype(
    {
        "names": ["offset", "sequence", "length", "type"],
        "formats": ["=u8", "=u8", "=u4", "S1"],
        "offsets": [0, 8, 16, 20],
        "itemsize": 24,
    }
)

# Payload lengths that a type may have; None: any.
_LENGTHS: dict[str, tuple[int, ...] | None] = {
    **{"+": None, "S": None, "U": None, "A": (30,), "J": (1,), "L": (46, 51), "H": (0,), "R": (0,), "Z": (0,), "O": (0,)},
}


def _number(raw: bytes) -> int | None:
    text = raw.strip(b" ")
    return int(text) if text.isdigit() and int(text) < 2**64 else None


class SoupDecoder(Decoder):
    """Split one direction of a connection into packets."""

    rule, items = "SoupBinTCP stream must hold whole packets of known types", "packets"

    def __init__(self, next_sequence: int = 1, strict: bool = False) -> None:
        super().__init__(strict)
        self.next_sequence = next_sequence
        self._rest = b""

    def _reason(self, type: str, payload: bytes) -> str:
        if type not in _LENGTHS:
            return "unknown message type"
        lengths = _LENGTHS[type]
        if lengths is not None and len(payload) not in lengths:
            return "bad length"
        if type == "A":
            number = _number(payload[10:])
            if number is None:
                return "corrupt"
            self.next_sequence = number
        return ""

    def decode(self, data: Any, out: npt.NDArray[np.void], final: bool = False) -> tuple[int, int]:
        """Find the packets in bytes that start at a packet; returns (rows written, bytes consumed)."""
        raw = bytes(memoryview(data).cast("B"))
        at = packets = 0
        while packets < len(out) and len(raw) - at >= 2:
            (size,) = struct.unpack_from(">H", raw, at)
            if len(raw) - at - 2 < size:
                break
            type, payload = raw[at + 2 : at + 3].decode("latin-1") or "\0", raw[at + 3 : at + 2 + size]
            if size == 0:
                type, payload = "\0", b""
            reason = self._reason(type, payload) if size else "bad length"
            if reason:
                self._break(at, reason, type, packets)
            else:
                self._count(type)
                sequence = 0
                if type == "S":
                    sequence = self.next_sequence
                    self.next_sequence = (sequence + 1) % 2**64
                out[packets] = (at + 3, sequence, size - 1, type.encode("latin-1"))
                packets += 1
            at += 2 + size
        rest = raw[at:]
        if final and rest and (len(rest) < 2 or len(rest) - 2 < int.from_bytes(rest[:2], "big")):
            self._break(at, "short buffer", chr(rest[2]) if len(rest) > 2 else "\0", packets)
            at = len(raw)
        self.position += at
        return packets, at

    def push(self, chunk: Any) -> tuple[memoryview, npt.NDArray[np.void]]:
        """Take the next bytes of the stream, cut anywhere, and give the packets that are whole now."""
        data = self._rest + bytes(memoryview(chunk).cast("B"))
        rows = np.zeros(len(data) // 2 + 1, SOUP_DTYPE)
        before = self.position
        try:
            packets, consumed = self.decode(data, rows)
        except CorruptDataError as error:
            consumed = error.offset - before  # type: ignore[attr-defined]
            self._rest = data[consumed:]
            error.data = memoryview(data)[:consumed]  # type: ignore[attr-defined]
            error.rows = rows[: error.packets]  # type: ignore[attr-defined]
            raise
        self._rest = data[consumed:]
        return memoryview(data)[:consumed], rows[:packets]

    @property
    def pending(self) -> int:
        """Bytes of a packet that is not whole yet."""
        return len(self._rest)


def encode(data: Any, rows: npt.NDArray[np.void]) -> bytes:
    """Encode packets, many at once."""
    raw = bytes(memoryview(data).cast("B"))
    out = []
    for i, (offset, _, length, type) in enumerate(rows.tolist()):
        if offset + length > len(raw) or length > MAX_PAYLOAD:
            raise ValueError(
                f"a payload must lie within data and have at most {MAX_PAYLOAD} bytes: index={i} row={rows[i]} data={len(raw)}"
            )
        out.append(struct.pack(">H", length + 1) + (type or b"\0") + raw[offset : offset + length])
    return b"".join(out)


def _packet(type: str, payload: bytes) -> bytes:
    if len(payload) > MAX_PAYLOAD:
        raise ValueError(f"a payload must have at most {MAX_PAYLOAD} bytes: length={len(payload)}")
    return struct.pack(">Hc", len(payload) + 1, type.encode()) + payload


def _text(name: str, value: str | bytes, width: int, left: bool = False) -> bytes:
    raw = value.encode("ascii") if isinstance(value, str) else bytes(value)
    if len(raw) > width:
        raise ValueError(f"{name} must have at most {width} characters: {name}={value!r}")
    return raw.rjust(width) if left else raw.ljust(width)


def _digits(name: str, value: int, width: int) -> bytes:
    if value >= 10**width:
        raise ValueError(f"{name} must have at most {width} digits: {name}={value}")
    return b"%*d" % (width, value)


def debug(text: str | bytes) -> bytes:
    """Encode a debug packet."""
    return _packet("+", text.encode("ascii") if isinstance(text, str) else bytes(text))


def login_accepted(session: str | bytes, sequence: int) -> bytes:
    """Encode a login accepted packet."""
    return _packet("A", _text("session", session, 10, True) + _digits("sequence", sequence, 20))


def login_rejected(reason: str | bytes = "A") -> bytes:
    """Encode a login rejected packet."""
    return _packet("J", _text("reason", reason, 1))


def login_request(
    username: str | bytes,
    password: str | bytes,
    session: str | bytes = "",
    sequence: int = 1,
    heartbeat_timeout_ms: int | None = None,
) -> bytes:
    """Encode a login request."""
    head = _text("username", username, 6) + _text("password", password, 10) + _text("session", session, 10, True)
    tail = b"" if heartbeat_timeout_ms is None else _digits("heartbeat_timeout_ms", heartbeat_timeout_ms, 5)
    return _packet("L", head + _digits("sequence", sequence, 20) + tail)


def logout_request() -> bytes:
    """Encode a logout request."""
    return _packet("O", b"")


def sequenced(payload: Any) -> bytes:
    """Encode a sequenced packet."""
    return _packet("S", bytes(payload))


def unsequenced(payload: Any) -> bytes:
    """Encode an unsequenced packet."""
    return _packet("U", bytes(payload))


def heartbeat(server: bool) -> bytes:
    """Encode a heartbeat."""
    return _packet("H" if server else "R", b"")


def end_of_session() -> bytes:
    """Encode an end of session packet."""
    return _packet("Z", b"")


def _required(name: str, raw: bytes) -> int:
    number = _number(raw)
    if number is None:
        raise CorruptDataError(f"{name} must be a number of ASCII digits below 2**64: {name}={raw!r}")
    return number


def parse_login_accepted(payload: Any) -> tuple[str, int]:
    """Read the payload of a login accepted packet."""
    raw = bytes(payload)
    if len(raw) != 30:
        raise CorruptDataError(f"a login accepted payload must have 30 bytes: length={len(raw)}")
    session, sequence = struct.unpack("10s20s", raw)
    return session.decode("latin-1").strip(" "), _required("sequence", sequence)


def parse_login_request(payload: Any) -> tuple[str, str, str, int, int | None]:
    """Read the payload of a login request."""
    raw = bytes(payload)
    if len(raw) not in (46, 51):
        raise CorruptDataError(f"a login request payload must have 46 or 51 bytes: length={len(raw)}")
    user, password, session, sequence = struct.unpack_from("6s10s10s20s", raw)
    words = [word.decode("latin-1").strip(" ") for word in (user, password, session)]
    timeout = _required("heartbeat_timeout_ms", raw[46:]) if len(raw) > 46 else None
    return words[0], words[1], words[2], _required("sequence", sequence), timeout
