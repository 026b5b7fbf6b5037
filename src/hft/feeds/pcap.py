"""ITCH 5.0 in MoldUDP64, from a network capture, as event arrays.

Everything inside a packet is decoded by compiled code, in batches of packets.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from datetime import date as Date
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from fastcore.errors import CorruptDataError
from fastcore.instruments import Instruments
from fastcore.records import EVENT_DTYPE
from fastcore.wire.itch import ItchDecoder
from fastcore.wire.mold import MoldDecoder

from ._capture import Packet, address_name, read_packets
from ._files import extra
from ._frames import is_capture
from ._turns import Turns
from ._units import Units
from .days import midnight_before
from .feed import LOG_LENGTH, Events, Feed, Progress

__all__ = ["PcapFeed"]

_BATCH_BYTES = 1 << 18
_MIN_EVENTS = 64


class PcapFeed(Feed):
    """ITCH 5.0 in MoldUDP64, from a capture.

    Parameters
    ----------
    path : path
        pcap or pcapng, plain, gzip or Zstandard. Ethernet (with VLAN tags), Linux cooked, loopback or raw IP; IPv4 or IPv6.
    instruments, wanted
        As in ``hft.feeds.Feed``.
    progress : callable(done, total), optional
        Told the bytes of the file that are done with, and all.
    chunk_events : int, default 65536
        Largest number of events in an array, at least 64.
    date : datetime.date, optional
        Day of the capture at the exchange: `exch_ns` is its midnight in New York and the time in the message. By default the
        day in New York of the first packet, which must have a time then.
    ports : collection of int, optional
        UDP ports of the feed; by default every UDP packet is taken for MoldUDP64.
    arbitrate : bool, default False
        Take all packets of one MoldUDP64 session as one stream, whatever their address: the lines A and B of a feed. By default
        each address and port is a stream of its own, with its own sequence.
    hold : int, optional
        Packets of a stream that are held back, while one before them has not come yet: on the other line, or because the network
        has changed their order. Beyond that many the gap is one. By default 64 with `arbitrate`, otherwise 0.
    strict : bool, default False
        Raise at the first malformed packet or message.

    Attributes
    ----------
    streams : dict of str to MoldDecoder
        By ``address:port`` (by session, with `arbitrate`): counts of packets, gaps, repeated messages.
    decoder : ItchDecoder or None
        Shared by all streams; there from the first packet on.
    skipped : dict of str to int
        Packets passed over by reason: ``fragment``, ``not IP``, ``not UDP``, ``other port``, ``link type 147``.

    Raises
    ------
    ValueError
        If chunk_events is too small or hold negative.
    ImportError
        If the library dpkt is not installed.
    CorruptDataError
        While iterating: after everything that is whole has been delivered, where the capture ends inside a packet or is
        damaged; in strict mode at the first malformed packet or message.

    Notes
    -----
    `local_ns` is the time of the capture, `seq` the MoldUDP64 number. With `hold` the order is that of the numbers, so that
    `local_ns` goes back where a packet came late. Symbols are those of ``hft.feeds.itch.ItchFeed``.
    Errors have the offset of the record of their packet in the
    (uncompressed) file.
    """

    format = "pcap"
    book: Literal["orders", "levels", "quotes", "none"] = "orders"

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        instruments: Instruments | None = None,
        wanted: Collection[str] | None = None,
        progress: Progress | None = None,
        chunk_events: int = 65_536,
        date: Date | None = None,
        ports: Collection[int] | None = None,
        arbitrate: bool = False,
        hold: int | None = None,
        strict: bool = False,
    ) -> None:
        super().__init__(path, instruments, wanted)
        if hold is not None and hold < 0:
            raise ValueError(f"hold must not be negative: hold={hold}")
        if chunk_events < _MIN_EVENTS:
            raise ValueError(f"chunk_events must be at least {_MIN_EVENTS}: chunk_events={chunk_events}")
        extra("dpkt")
        self.streams: dict[str, MoldDecoder] = {}
        self.decoder: ItchDecoder | None = None
        self.skipped: dict[str, int] = {}
        self._progress = progress
        self._date = date
        self._ports = None if ports is None else frozenset(ports)
        self._arbitrate = arbitrate
        self._hold = (64 if arbitrate else 0) if hold is None else hold
        self._previous: PcapFeed | None = None
        self._turns: dict[str, Turns] = {}
        self._strict = strict
        self._out = np.zeros(chunk_events, EVENT_DTYPE)
        self._units = Units()
        self._logged: dict[str, int] = {}  # entries of a decoder's log that are in ours

    @classmethod
    def recognise(cls, head: bytes, path: Path) -> bool:
        """Say whether a file is a capture, by its magic number."""
        return is_capture(head)

    def _arrays(self) -> Iterator[Events]:
        batch: list[Packet] = []
        size = 0
        name = ""
        broken: CorruptDataError | None = None
        packets = self._ordered(read_packets(self.path, self._progress))
        try:
            while True:
                try:
                    stream, packet = next(packets)
                except StopIteration:
                    break
                except CorruptDataError as error:
                    broken = error
                    break
                if batch and (stream != name or size >= _BATCH_BYTES):
                    yield from self._decode(name, batch)
                    batch, size = [], 0
                name = stream
                batch.append(packet)
                size += len(packet.payload)
            if batch:
                yield from self._decode(name, batch)
            if broken is not None:
                raise broken
        finally:
            packets.close()  # type: ignore[attr-defined]

    def _ordered(self, packets: Iterator[Packet]) -> Iterator[tuple[str, Packet]]:
        """The UDP packets of the feed with their streams, those that came too early in their turn."""
        names: dict[tuple[bytes, int], str] = {}
        try:
            for packet in packets:
                if packet.protocol != 17:
                    reason = packet.reason if packet.reason and packet.reason != "not UDP or TCP" else "not UDP"
                    self.skipped[reason] = self.skipped.get(reason, 0) + 1
                    continue
                if self._ports is not None and packet.target[1] not in self._ports:
                    self.skipped["other port"] = self.skipped.get("other port", 0) + 1
                    continue
                if self._arbitrate:
                    stream = packet.payload[:10].decode("latin-1")
                elif (stream := names.get(packet.target, "")) == "":
                    stream = names[packet.target] = address_name(packet.target)
                if not self._hold:
                    yield stream, packet
                    continue
                if stream not in self._turns:
                    self._turns[stream] = Turns(self._hold)
                for ready in self._turns[stream].push(packet):
                    yield stream, ready
        except CorruptDataError:
            yield from self._rest()
            raise
        finally:
            packets.close()  # type: ignore[attr-defined]
        yield from self._rest()

    def _rest(self) -> Iterator[tuple[str, Packet]]:
        """What is still held back when the capture ends."""
        for stream, turns in self._turns.items():
            for ready in turns.flush():
                yield stream, ready

    def start(self) -> tuple[frozenset[str], int]:
        """As ``Feed.start``: addresses are what the pieces of a capture have in common."""
        names, time_ns = super().start()
        return frozenset(self.streams) or names, time_ns

    def follow(self, previous: Feed) -> None:
        """Go on with the sequences and listings of the part before, if it is of the same day."""
        same = isinstance(previous, PcapFeed) and previous.instruments is self.instruments
        self._previous = previous if same else None  # type: ignore[assignment]

    def _begin(self, midnight_ns: int) -> None:
        """Take a decoder for the day of the first packet: that of the part before, or a new one."""
        previous = self._previous
        if previous is not None and previous.decoder is not None and previous.decoder.midnight_ns == midnight_ns:
            self.decoder, self.streams = previous.decoder, previous.streams
            self._logged, self.includes = previous._logged, previous
            self.error_log = list(previous.error_log)
        else:
            self.decoder = ItchDecoder(midnight_ns, self._strict, instruments=self.instruments)

    def _decode(self, name: str, batch: list[Packet]) -> Iterator[Events]:
        if self.decoder is None:
            self._begin(midnight_before(batch[0].local_ns, self._date))
        assert self.decoder is not None
        if name not in self.streams:
            self.streams[name] = MoldDecoder(self.decoder, strict=self._strict)
        mold = self.streams[name]
        data = b"".join(packet.payload for packet in batch)
        offsets = np.zeros(len(batch) + 1, np.int64)
        np.cumsum([len(packet.payload) for packet in batch], out=offsets[1:])
        local_ns = np.array([packet.local_ns for packet in batch], np.int64)
        done, base = 0, mold.position
        while done < len(batch):
            try:
                events, packets = mold.decode_batch(data, offsets[done:], self._out, local_ns[done:])
            except CorruptDataError as error:
                self._note(name, mold, base, offsets, batch)
                if error.events:  # type: ignore[attr-defined]
                    yield self._array(error.events)  # type: ignore[attr-defined]
                raise
            done += packets
            self._note(name, mold, base, offsets, batch)
            if events:
                yield self._array(events)

    def _array(self, events: int) -> Events:
        """What was decoded, apart from the memory for what comes next."""
        out = self._out[:events].copy()
        self._units.check(self, out)
        return out

    def _note(self, name: str, mold: MoldDecoder, base: int, offsets: npt.NDArray[np.int64], batch: list[Packet]) -> None:
        """Bring the counts up to date, and log errors with their place in the file."""
        assert self.decoder is not None
        self.messages = self.decoder.counts
        self.gaps = sum(stream.gaps for stream in self.streams.values())
        errors = self.decoder.errors
        for stream in self.streams.values():
            for reason, count in stream.errors.items():
                errors[reason] = errors.get(reason, 0) + count
        self.errors = errors
        fresh = []
        for key, entries in (("", self.decoder.error_log), (name, mold.error_log)):
            fresh += entries[self._logged.get(key, 0) :]
            self._logged[key] = len(entries)
        for offset, letter, reason in sorted(fresh)[: LOG_LENGTH - len(self.error_log)]:
            i = int(np.searchsorted(offsets, offset - base, "right")) - 1
            packet = batch[min(max(i, 0), len(batch) - 1)]
            self.error_log.append((packet.record, f"{reason} type={letter!r}" if letter != "\0" else reason))
