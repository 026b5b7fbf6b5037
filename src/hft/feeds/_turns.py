"""Packets of MoldUDP64 in the order of their numbers."""

from __future__ import annotations

from fastcore.wire.mold import END_OF_SESSION

from ._capture import Packet

__all__ = ["Turns"]


class Turns:
    """Packets of one stream in the order of their numbers: those that come early wait for the ones before them."""

    def __init__(self, hold: int) -> None:
        self._hold = hold
        self._next: int | None = None
        self._held: dict[int, Packet] = {}

    def push(self, packet: Packet) -> list[Packet]:
        """Packets whose turn it is now."""
        payload = packet.payload
        sequence, count = int.from_bytes(payload[10:18], "big"), int.from_bytes(payload[18:20], "big")
        if len(payload) < 20 or sequence == 0:
            return [packet]
        if self._next is None or sequence <= self._next:
            ready = [packet]
            self._next = max(self._next or 0, sequence + (0 if count == END_OF_SESSION else count))
        else:
            ready = []
            self._held.setdefault(sequence, packet)
        return ready + self._waiting(len(self._held) > self._hold) if self._held else ready

    def _waiting(self, gap: bool) -> list[Packet]:
        ready = []
        while self._held and (gap or min(self._held) <= (self._next or 0)):
            first = min(self._held)
            packet = self._held.pop(first)
            count = int.from_bytes(packet.payload[18:20], "big")
            self._next = max(self._next or 0, first + (0 if count == END_OF_SESSION else count))
            ready.append(packet)
            gap = False
        return ready

    def flush(self) -> list[Packet]:
        """Everything that is held back."""
        ready = []
        while self._held:
            ready += self._waiting(True)
        return ready
