"""Plain-Python twin of ``fastcore.wire.mold``: the same packets with ``struct`` and slices, messages by the twin of ``itch``."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from fastcore.errors import CorruptDataError
from fastcore.records import EVENT_DTYPE, KINDS, NO_SYMBOL

from .itch import ItchDecoder
from .tally import Decoder

HEADER_SIZE = 20
END_OF_SESSION = 65_535

_HEADER = struct.Struct(">10sQH")
_ROOM = 8


class _Malformed(Exception):
    """Carries offset within the packet, the name of a result, the letter of a message, and whether a message it is."""


class _Full(Exception):
    """The array of events is full."""


def _session(session: str | bytes) -> bytes:
    raw = session.encode("ascii") if isinstance(session, str) else bytes(session)
    if len(raw) > 10:
        raise ValueError(f"session must have at most 10 characters: session={session!r}")
    return raw.ljust(10)


def _sequence(sequence: int) -> int:
    if not 0 <= sequence < 2**63:
        raise ValueError(f"a sequence number must be in 0..2**63-1: sequence={sequence}")
    return sequence


def parse_header(packet: Any) -> tuple[bytes, int, int]:
    """Read the header of a packet: (session, sequence, count)."""
    raw = bytes(memoryview(packet).cast("B")[:20])
    if len(raw) < 20:
        raise CorruptDataError(f"a MoldUDP64 packet must have at least 20 bytes: length={len(raw)}")
    session, sequence, count = _HEADER.unpack(raw)
    return session, sequence, count


def request(session: str | bytes, sequence: int, count: int) -> bytes:
    """Encode a request for messages again."""
    if not 1 <= count < 65_535:
        raise ValueError(f"count must be in 1..65534: count={count}")
    return _HEADER.pack(_session(session), _sequence(sequence), count)


class MoldDecoder(Decoder):
    """Decode MoldUDP64 packets of one stream of ITCH messages."""

    rule = "MoldUDP64 packets must hold whole messages"

    def __init__(self, itch: ItchDecoder | None = None, next_sequence: int = 0, strict: bool = False) -> None:
        super().__init__(strict)
        self.itch = itch
        self.next_sequence = _sequence(next_sequence)
        self.session: bytes | None = None
        self.ended = False
        self.packets = self.messages = self.heartbeats = self.ends = self.sessions = 0
        self.gaps = self.missing = self.duplicates = self.stale = self.unsequenced = 0
        self._previous: tuple[bytes, int] | None = None
        self._last_ns = 0
        # Of a packet that a full array interrupted: sequence, count, messages to skip, next message, its offset, length.
        self._cursor: tuple[int, int, int, int, int, int] | None = None

    def _begin(self, packet: bytes) -> tuple[int, int, int, int]:
        """Sequence, count, how many messages to skip, how many are missing."""
        if len(packet) < HEADER_SIZE:
            raise _Malformed(0, "short buffer", "\0", False)
        session, sequence, count = _HEADER.unpack_from(packet)
        if sequence >= 2**63:
            raise _Malformed(10, "corrupt", "\0", False)
        messages = 0 if count == END_OF_SESSION else count
        if session != self.session:
            if self._previous is not None and session == self._previous[0]:
                if sequence + messages <= self._previous[1]:
                    self.stale += 1
                    return sequence, 0, 0, 0
                assert self.session is not None
                self._previous, self.next_sequence = (self.session, self.next_sequence), self._previous[1]
            else:
                if self.session is not None:
                    self._previous, self.next_sequence = (self.session, self.next_sequence), 1
                self.sessions += 1
            self.session = session
            self.ended = False
        if count == END_OF_SESSION:
            self.ends += 1
            self.ended = True
        elif count == 0:
            self.heartbeats += 1
        else:
            self.packets += 1
        if sequence == 0:
            self.unsequenced += messages > 0
            return sequence, messages, 0, 0
        expected = self.next_sequence or sequence
        if sequence > expected:
            self.gaps += 1
            self.missing = (self.missing + sequence - expected) % 2**64
            self.next_sequence = sequence
            return sequence, messages, 0, sequence - expected
        self.next_sequence = expected
        skip = min(messages, expected - sequence)
        self.duplicates += skip
        return sequence, messages, skip, 0

    def _walk(
        self,
        packet: bytes,
        room: Callable[[int], bool],
        take: Callable[[bytes, int, int], None],
        gap: Callable[[int, int], None],
    ) -> None:
        if self._cursor is None or (self._cursor[5], self._cursor[0]) != (len(packet), int.from_bytes(packet[10:18], "big")):
            self._cursor = None
            if not room(_ROOM + 1):
                raise _Full
            sequence, count, skip, missing = self._begin(packet)
            if missing:
                gap(sequence - missing, missing)
            self._cursor = sequence, count, skip, 0, HEADER_SIZE, len(packet)
        sequence, count, skip, first, at, _ = self._cursor
        for i in range(first, count):
            rest = packet[at:]
            size = int.from_bytes(rest[:2], "big")
            if len(rest) < 2 or len(rest) - 2 < size:
                raise _Malformed(at, "short buffer", chr(rest[2]) if len(rest) > 2 else "\0", False)
            if i >= skip:
                if not room(_ROOM):
                    self._cursor = sequence, count, skip, i, at, len(packet)
                    raise _Full
                take(rest[2 : 2 + size], sequence + i if sequence else 0, at)
                self.messages += 1
                if sequence:
                    self.next_sequence = sequence + i + 1
            at += 2 + size
        if count and at != len(packet):
            raise _Malformed(at, "bad length", "\0", False)

    def _packets(
        self,
        data: Any,
        offsets: npt.NDArray[np.int64],
        room: Callable[[int], bool],
        take: Callable[[int], Callable[[bytes, int, int], None]],
        gap: Callable[[int], Callable[[int, int], None]],
        events: Callable[[], int],
    ) -> int:
        raw = bytes(memoryview(data).cast("B"))
        bounds = [int(offset) for offset in offsets]
        if not bounds:
            raise ValueError("offsets must have one entry more than there are packets: len=0")
        for i, offset in enumerate(bounds):
            if not 0 <= offset <= len(raw) or (i and offset < bounds[i - 1]):
                raise ValueError(f"offsets must rise within data: index={i} offset={offset} length={len(raw)}")
        for i, (start, end) in enumerate(pairwise(bounds)):
            try:
                self._walk(raw[start:end], room, take(i), gap(i))
            except _Full:
                return i
            except _Malformed as malformed:
                self._cursor = None
                offset, reason, type, message = malformed.args
                try:
                    self._fail(self.position + offset, reason, type, events(), fatal=message)
                except CorruptDataError as error:
                    error.packets = i  # type: ignore[attr-defined]
                    raise error from None
            self._cursor = None
            self.position += end - start
        return len(bounds) - 1

    def decode(self, packet: Any, out: npt.NDArray[np.void], local_ns: int = 0) -> int:
        """Decode one packet; returns the events written."""
        raw = bytes(memoryview(packet).cast("B"))
        room = 2 * _ROOM
        if len(raw) >= HEADER_SIZE:
            room += _ROOM * min(parse_header(raw)[2], (len(raw) - HEADER_SIZE) // 14)
        if len(out) < room:
            raise ValueError(f"out must have room for the whole packet: needed={room} len={len(out)}")
        times = np.array([local_ns], np.int64)
        return self.decode_batch(raw, np.array([0, len(raw)], np.int64), out, times)[0]

    def decode_batch(
        self,
        data: Any,
        offsets: npt.NDArray[np.int64],
        out: npt.NDArray[np.void],
        local_ns: npt.NDArray[np.int64] | None = None,
    ) -> tuple[int, int]:
        """Decode many packets that lie one behind the other; returns (events written, packets done)."""
        if self.itch is None:
            raise ValueError("decoding to events needs an ItchDecoder: itch=None")
        if len(out) < 2 * _ROOM:
            raise ValueError(f"out must have at least {2 * _ROOM} places: len={len(out)}")
        itch, events = self.itch, 0
        waiting = -1, 0  # packet and place of the gap that waits for its time

        def take(i: int) -> Callable[[bytes, int, int], None]:
            def message(message: bytes, sequence: int, at: int) -> None:
                nonlocal events, waiting
                itch.position = self.position + at
                scratch = np.zeros(2 * _ROOM, EVENT_DTYPE)
                before = itch.errors
                n = 0
                with contextlib.suppress(CorruptDataError):  # of an ItchDecoder in strict mode: seen from its counts
                    n, _ = itch.decode(struct.pack(">H", len(message)) + message, scratch)
                for reason, count in itch.errors.items():
                    if count != before.get(reason, 0) and (self.strict or itch.strict):
                        raise _Malformed(at, reason, chr(message[0]) if message else "\0", True)
                scratch["seq"] = sequence
                scratch["local_ns"] = 0 if local_ns is None else local_ns[i]
                out[events : events + n] = scratch[:n]
                if n:
                    self._last_ns = int(scratch["exch_ns"][0])
                    if waiting[0] == i:
                        out["exch_ns"][waiting[1]] = self._last_ns
                        waiting = -1, 0
                events += n

            return message

        def gap(i: int) -> Callable[[int, int], None]:
            def gap(first: int, missing: int) -> None:
                nonlocal events, waiting
                local = 0 if local_ns is None else local_ns[i]
                out[events] = (first, self._last_ns, local, NO_SYMBOL, KINDS["gap"], 0, 0, first, missing, 0, 0)
                waiting = i, events
                events += 1

            return gap

        try:
            done = self._packets(data, offsets, lambda n: len(out) - events >= n, take, gap, lambda: events)
        finally:
            itch.position = self.position
        return events, done

    def extract(self, data: Any, offsets: npt.NDArray[np.int64]) -> tuple[bytes, npt.NDArray[np.uint64]]:
        """Take the new messages out of many packets: (length-prefixed messages, their numbers)."""
        frames: list[bytes] = []
        numbers: list[int] = []

        def take(message: bytes, sequence: int, at: int) -> None:
            frames.append(struct.pack(">H", len(message)) + message)
            numbers.append(sequence)

        self._cursor = None
        self._packets(data, offsets, lambda n: True, lambda i: take, lambda i: lambda first, missing: None, lambda: 0)
        return b"".join(frames), np.array(numbers, np.uint64)

    @property
    def counts(self) -> dict[str, int]:
        """Well-formed packets by kind."""
        kinds = {"packets": self.packets, "heartbeats": self.heartbeats, "ends": self.ends}
        return {kind: count for kind, count in kinds.items() if count}


class MoldEncoder:
    """Pack length-prefixed messages into packets."""

    def __init__(self, session: str | bytes, sequence: int = 1, max_size: int = 1400) -> None:
        if not 22 <= max_size <= 65_507:
            raise ValueError(f"max_size must be in 22..65507: max_size={max_size}")
        self.session = _session(session)
        self.sequence = _sequence(sequence)
        self.max_size = max_size

    def encode(self, stream: Any) -> tuple[bytes, npt.NDArray[np.int64]]:
        """Pack messages, as many into each packet as fit: (packets, their boundaries)."""
        raw = bytes(memoryview(stream).cast("B"))
        at, blocks = 0, []
        while at < len(raw):
            size = int.from_bytes(raw[at : at + 2], "big")
            if len(raw) - at >= 2 and size > 65_485:
                raise ValueError(f"a message must have at most 65485 bytes: length={size} offset={at}")
            if len(raw) - at < 2 or len(raw) - at - 2 < size:
                raise CorruptDataError(f"a stream must hold whole messages: offset={at} remaining={len(raw) - at}")
            blocks.append(raw[at : at + 2 + size])
            at += 2 + size
        if self.sequence and self.sequence + len(blocks) >= 2**63:
            raise ValueError(f"sequence numbers must stay below 2**63: sequence={self.sequence} messages={len(blocks)}")
        groups: list[list[bytes]] = []
        room = 0
        for block in blocks:
            if not groups or len(block) > room or len(groups[-1]) == END_OF_SESSION - 1:
                groups.append([])
                room = self.max_size - HEADER_SIZE
            groups[-1].append(block)
            room -= len(block)
        packets = []
        for group in groups:
            packets.append(_HEADER.pack(self.session, self.sequence, len(group)) + b"".join(group))
            self.sequence += len(group) if self.sequence else 0
        bounds = np.cumsum([0, *map(len, packets)], dtype=np.int64)
        return b"".join(packets), bounds

    def heartbeat(self) -> bytes:
        """Encode a heartbeat."""
        return _HEADER.pack(self.session, self.sequence, 0)

    def end_of_session(self) -> bytes:
        """Encode the announcement that the session is over."""
        return _HEADER.pack(self.session, self.sequence, END_OF_SESSION)
