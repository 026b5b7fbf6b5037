"""Plain-Python twin of ``fastcore.wire.soup``: the same packets with ``struct`` and slices."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from fastcore.errors import CorruptDataError
from fastcore.wire.soup_packets import MAX_PAYLOAD, SOUP_DTYPE

from .tally import Decoder

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
