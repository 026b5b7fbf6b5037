"""OUCH 5.0 in SoupBinTCP, from a network capture: both directions of every connection."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import date as Date
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fastcore.errors import CorruptDataError
from fastcore.records import EVENT_DTYPE
from fastcore.symbols import SymbolMapper
from fastcore.wire.ouch import OUCH_DTYPE, OuchDecoder
from fastcore.wire.soup import SoupDecoder

from ._capture import Packet, address_name, read_packets
from .days import midnight_before
from .feed import Events, Progress

__all__ = ["OuchMessages", "read_ouch"]

_HELD_BYTES, _HELD_SEGMENTS = 1 << 20, 1 << 12  # that came before their turn


class OuchMessages(NamedTuple):
    """What one direction of a connection said.

    Attributes
    ----------
    connection : str
        ``client address:port > venue address:port``.
    outbound : bool
        True for what the venue said.
    events : ndarray of EVENT_DTYPE
    details : ndarray of OUCH_DTYPE
        Row for row what the events do not hold; `appendage_offset` refers to `data`.
    data : bytes
        The SoupBinTCP packets that the messages were in.
    """

    connection: str
    outbound: bool
    events: Events
    details: npt.NDArray[np.void]
    data: bytes


@dataclass
class _Direction:
    soup: SoupDecoder
    ouch: OuchDecoder | None = None
    next: int | None = None
    held_bytes: int = 0

    def __post_init__(self) -> None:
        self.held: dict[int, bytes] = {}

    def segments(self, packet: Packet) -> Iterable[bytes]:
        """Bytes that are in their turn now, of a segment and of those held back."""
        sequence = packet.sequence
        if packet.flags & 2:  # SYN takes a number
            self.next = (sequence + 1) & 0xFFFFFFFF
        if packet.payload:
            if self.next is None:
                self.next = sequence
            if len(packet.payload) > len(before := self.held.get(sequence, b"")):
                self.held[sequence] = packet.payload
                self.held_bytes += len(packet.payload) - len(before)
        progress = True
        while progress and self.held:
            progress = False
            for sequence in sorted(self.held, key=lambda s: (s - (self.next or 0) + 2**31) & 0xFFFFFFFF):
                behind = ((self.next or 0) - sequence) & 0xFFFFFFFF
                if behind >= 2**31:
                    break  # the one that is next has not come
                payload = self.held.pop(sequence)
                self.held_bytes -= len(payload)
                progress = True
                if behind < len(payload):  # otherwise sent again
                    self.next = (sequence + len(payload)) & 0xFFFFFFFF
                    yield payload[behind:]


def read_ouch(
    path: str | os.PathLike[str],
    *,
    symbols: SymbolMapper | None = None,
    date: Date | None = None,
    ports: Collection[int] | None = None,
    strict: bool = False,
    progress: Progress | None = None,
) -> Iterator[OuchMessages]:
    """Iterate over the OUCH 5.0 messages in a capture of SoupBinTCP connections.

    Parameters
    ----------
    path : path
        pcap or pcapng as for `PcapFeed`. A connection must be captured from a packet boundary on.
    symbols : SymbolMapper, optional
        Gives `symbol_id`.
    date : datetime.date, optional
        Day at the exchange, by default that of the first packet in New York.
    ports : collection of int, optional
        TCP ports of the venue; by default every connection is taken for SoupBinTCP.
    strict : bool, default False
        Raise at the first malformed packet or message; otherwise it is counted and passed over.
    progress : callable(done, total), optional
        As for `PcapFeed`.

    Yields
    ------
    OuchMessages
        As they come. Who is the venue is seen from the first SoupBinTCP packet of a direction.

    Raises
    ------
    CorruptDataError
        After everything that is whole: a capture that is cut, a segment that is missing in a connection; in strict mode malformed
        messages.

    Notes
    -----
    Segments are put in order by their numbers; those that come too early are held back, 1 MiB or 4,096 of them at most.
    """
    directions: dict[tuple[tuple[bytes, int], tuple[bytes, int]], _Direction] = {}
    midnight: int | None = None
    for packet in read_packets(Path(path), progress):
        if packet.protocol != 6 or (ports is not None and not {packet.source[1], packet.target[1]} & set(ports)):
            continue
        if midnight is None:
            midnight = midnight_before(packet.local_ns, date)
        key = packet.source, packet.target
        direction = directions.setdefault(key, _Direction(SoupDecoder(strict=strict)))
        for payload in direction.segments(packet):
            position = direction.soup.position
            data, rows = direction.soup.push(payload)
            if direction.ouch is None:
                letters = b"".join(rows["type"].tolist()).replace(b"+", b"")
                if not letters:
                    continue
                direction.ouch = OuchDecoder(letters[0] in b"AJSHZ", symbols, midnight, strict)
            events = np.zeros(len(rows), EVENT_DTYPE)
            details = np.zeros(len(rows), OUCH_DTYPE)
            n = direction.ouch.decode(data, rows, events, details, packet.local_ns, position)
            if n:
                outbound = direction.ouch.outbound
                ends = [address_name(end) for end in (key[::-1] if outbound else key)]
                yield OuchMessages(" > ".join(ends), outbound, events[:n], details[:n], bytes(data))
        if direction.held_bytes > _HELD_BYTES or len(direction.held) > _HELD_SEGMENTS:
            break
    for (source, target), direction in directions.items():
        if direction.held:
            raise CorruptDataError(
                f"a connection must be captured whole: {address_name(source)} > {address_name(target)} missing from sequence={direction.next}"
            )
