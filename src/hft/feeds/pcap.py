"""Network captures (pcap and pcapng, plain, gzip or Zstandard): ITCH in MoldUDP64 as events, and OUCH in SoupBinTCP.

The library ``dpkt`` reads the capture format and takes link, IP, UDP and TCP headers apart: some Python per packet, which is
its price. Everything inside a packet is decoded by compiled code, in batches of packets.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from datetime import date as Date
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from fastcore.errors import CorruptDataError
from fastcore.records import EVENT_DTYPE, NO_SYMBOL
from fastcore.symbols import SymbolMapper
from fastcore.wire.itch import MAX_EVENTS, WIRE_DTYPE, ItchDecoder
from fastcore.wire.mold import END_OF_SESSION, MoldDecoder
from fastcore.wire.ouch import OUCH_DTYPE, OuchDecoder
from fastcore.wire.soup import SoupDecoder

from ._files import extra, pieces
from .days import midnight_ns
from .feed import Events, Feed, Instrument, Progress

__all__ = ["OuchMessages", "PcapFeed", "read_ouch"]

_PCAP = {bytes.fromhex(magic) for magic in ("a1b2c3d4", "d4c3b2a1", "a1b23c4d", "4d3cb2a1", "a1b2cd34", "34cdb2a1")}
_PCAPNG = b"\x0a\x0d\x0d\x0a"
_BATCH_BYTES = 1 << 18
_MAX_READ = 1 << 26  # a packet of a capture is far smaller; a length that is damaged may be anything
_MIN_EVENTS = 64
_MAX_NS = 2**62
_LOG = 64
_TICK = 0.0001
_HELD_BYTES, _HELD_SEGMENTS = 1 << 20, 1 << 12  # that came before their turn

# Link types (tcpdump.org/linktypes.html) and how long their headers are; None: Ethernet.
_ETHERNET, _LOOPBACK, _RAW, _COOKED, _COOKED2 = 1, (0, 108), (12, 14, 101, 228, 229), 113, 276


class _Source:
    """The file as `dpkt` sees it, which does not look whether it got all that it asked for: a short read raises here."""

    def __init__(self, path: Path, progress: Progress | None) -> None:
        self._path = path
        self._pieces = pieces(path, progress=progress)
        self._piece = b""
        self._at = 0  # what of the piece is done with
        self._damage: CorruptDataError | None = None
        self._head = b""  # all that was read before the reader has started: it may go back to the first byte
        self._whole = True  # the next byte begins a record, so that the file may end here
        self.started = False
        self.position = 0
        self.record = 0  # where the record at hand begins
        self.name = str(path)

    def _take(self, size: int) -> bytes:
        found = [self._piece[self._at : self._at + size]]
        missing = size - len(found[0])
        self._at += len(found[0])
        while missing and self._damage is None:
            try:
                self._piece = next(self._pieces)
            except StopIteration:
                break
            except CorruptDataError as error:
                self._damage = error  # what was read before it may be whole
                break
            found.append(self._piece[:missing])
            self._at = len(found[-1])
            missing -= self._at
        return b"".join(found)

    def read(self, size: int) -> bytes:
        whole = self._whole
        at, end = self._at, self._at + size
        if self.started and at <= end <= len(self._piece):  # nearly always
            data = self._piece[at:end]
            self._at = end
        elif not 0 <= size <= _MAX_READ:
            raise self.corrupt(f"a record must be smaller than 64 MiB: size={size}")
        else:
            data = self._take(size)
            if not self.started:
                self._head += data
            elif len(data) < size and (data or not whole or self._damage is not None):
                raise self._damage or self.corrupt(f"it ends inside a record: remaining={len(data)}")
        if whole:
            self.record = self.position
        self._whole = not whole or not self.started
        self.position += len(data)
        return data

    def seek(self, position: int) -> None:
        if position or self.started:
            raise ValueError(f"a capture is read once, from its beginning: position={position}")
        self._piece, self._at = self._head + self._piece[self._at :], 0
        self._head = b""
        self.position = 0

    def close(self) -> None:
        self._pieces.close()  # type: ignore[attr-defined]

    def corrupt(self, what: str) -> CorruptDataError:
        return CorruptDataError(f"a capture must be whole: {what} path={self._path} offset={self.position}")


class _Packet(NamedTuple):
    """What one captured frame carries."""

    local_ns: int
    record: int  # where it is in the (uncompressed) file
    protocol: int  # 17 UDP, 6 TCP; 0: passed over
    source: tuple[bytes, int]
    target: tuple[bytes, int]
    payload: bytes
    sequence: int  # TCP
    flags: int  # TCP
    reason: str  # why it is passed over


def _frames(path: Path, progress: Progress | None) -> Iterator[tuple[int, int, int, bytes]]:
    """Time, place in the file, link type and bytes of every frame."""
    dpkt = extra("dpkt")
    source = _Source(path, progress)
    try:
        reader = dpkt.pcap.UniversalReader(source)
        # Times in exact arithmetic: a double has no room for nanoseconds since 1970.
        if isinstance(reader, dpkt.pcapng.Reader):
            reader._divisor = Decimal(reader._divisor)
        exact = isinstance(reader._divisor, Decimal)
        link = reader.datalink()
        source.started = True
        for time, frame in reader:
            local_ns = int(time * 10**9) if exact else round(time * 1e6) * 1000
            if not 0 <= local_ns < _MAX_NS:
                raise source.corrupt(f"a time must lie in 1970..2116: local_ns={local_ns}")
            yield local_ns, source.record, link, frame
    # What the library lets through of a damaged file; nothing else is called here.
    except (dpkt.Error, struct.error, ValueError, ArithmeticError, LookupError, TypeError) as error:
        if isinstance(error, CorruptDataError):
            raise
        raise source.corrupt(f"{type(error).__name__}: {error}") from error
    finally:
        source.close()


def _packets(path: Path, progress: Progress | None) -> Iterator[_Packet]:
    dpkt = extra("dpkt")
    ethernet, ip4, ip6, udp, tcp = dpkt.ethernet.Ethernet, dpkt.ip.IP, dpkt.ip6.IP6, dpkt.udp.UDP, dpkt.tcp.TCP
    nothing = (b"", 0)

    def network(link: int, frame: bytes) -> object:
        if link == _ETHERNET:
            return ethernet(frame).data
        if link in (_COOKED, _COOKED2):
            # The type of what follows, as behind two Ethernet addresses: so tags are taken off there too.
            body = frame[14:] if link == _COOKED else frame[:2] + frame[20:]
            return ethernet(bytes(12) + body).data
        if link in _LOOPBACK:
            frame = frame[4:]
        elif link not in _RAW:
            raise ValueError(f"the link type must be Ethernet, Linux cooked, loopback or raw IP: link={link}")
        return ip4(frame) if frame[:1] and frame[0] >> 4 == 4 else ip6(frame)

    def fragment(packet: Any) -> bool:
        if isinstance(packet, ip4):
            return bool(packet.mf or packet.offset)
        header = packet.extension_hdrs.get(44)
        return header is not None and bool(header.frag_off or header.m_flag)

    for local_ns, record, link, frame in _frames(path, progress):
        # The usual frame: Ethernet with at most one tag, IPv4 of 20 bytes, UDP, no fragment.
        ip = 18 if frame[12:14] == b"\x81\x00" else 14
        usual = link == _ETHERNET and frame[ip - 2 : ip + 1] == b"\x08\x00\x45" and len(frame) >= ip + 28
        if usual and frame[ip + 9] == 17 and not (frame[ip + 6] & 0x3F or frame[ip + 7]):
            source = frame[ip + 12 : ip + 16], int.from_bytes(frame[ip + 20 : ip + 22], "big")
            target = frame[ip + 16 : ip + 20], int.from_bytes(frame[ip + 22 : ip + 24], "big")
            payload = frame[ip + 28 : ip + 20 + int.from_bytes(frame[ip + 24 : ip + 26], "big")]
            yield _Packet(local_ns, record, 17, source, target, payload, 0, 0, "")
            continue
        reason, protocol, number, flags, payload = "", 0, 0, 0, b""
        source = target = nothing
        try:
            packet = network(link, frame)
        except (dpkt.Error, struct.error, IndexError):  # cut off inside a header
            packet = None
        segment = getattr(packet, "data", None)
        if not isinstance(packet, (ip4, ip6)):
            reason = "not IP"
        elif fragment(packet):
            reason = "fragment"
        elif isinstance(segment, udp):
            protocol, payload = 17, bytes(segment.data)[: max(segment.ulen - 8, 0)]
        elif isinstance(segment, tcp):
            protocol, payload, number, flags = 6, bytes(segment.data), segment.seq, segment.flags
        else:
            reason = "not UDP or TCP"
        if protocol:
            source, target = (packet.src, segment.sport), (packet.dst, segment.dport)  # type: ignore[union-attr]
        yield _Packet(local_ns, record, protocol, source, target, payload, number, flags, reason)


def _name(address: tuple[bytes, int]) -> str:
    raw, port = address
    if len(raw) == 4:
        return f"{'.'.join(map(str, raw))}:{port}"
    return f"[{':'.join(raw[i : i + 2].hex() for i in range(0, len(raw), 2))}]:{port}"


def _day_of(local_ns: int) -> Date:
    """The day in New York at a time."""
    # Four hours are the most that may be too few: in winter the day begins an hour later.
    day = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(hours=-4, seconds=local_ns // 10**9)).date()
    return day - timedelta(days=1) if day.year >= 2007 and midnight_ns(day) > local_ns else day


def _midnight(local_ns: int, day: Date | None) -> int:
    day = _day_of(local_ns) if day is None else day
    return midnight_ns(day) if day.year >= 2007 else 0


def _carried(data: bytes, offsets: npt.NDArray[np.int64]) -> dict[int, str]:
    """The symbols that the messages in packets carry, by locate."""
    stream, sequences = MoldDecoder().extract(data, offsets)
    out = np.empty(MAX_EVENTS * len(sequences), EVENT_DTYPE)
    wire = np.zeros(len(out), WIRE_DTYPE)
    n, _ = ItchDecoder().decode(stream, out, wire=wire)
    rows = wire[:n][wire["symbol"][:n] != b""]
    _, first = np.unique(rows["locate"], return_index=True)
    return {int(row["locate"]): row["symbol"].decode("latin-1").rstrip(" ") for row in rows[first]}


class _Turns:
    """Packets of one stream in the order of their numbers: those that come early wait for the ones before them."""

    def __init__(self, hold: int) -> None:
        self._hold = hold
        self._next: int | None = None
        self._held: dict[int, _Packet] = {}

    def push(self, packet: _Packet) -> list[_Packet]:
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

    def _waiting(self, gap: bool) -> list[_Packet]:
        ready = []
        while self._held and (gap or min(self._held) <= (self._next or 0)):
            first = min(self._held)
            packet = self._held.pop(first)
            count = int.from_bytes(packet.payload[18:20], "big")
            self._next = max(self._next or 0, first + (0 if count == END_OF_SESSION else count))
            ready.append(packet)
            gap = False
        return ready

    def flush(self) -> list[_Packet]:
        """Everything that is held back."""
        ready = []
        while self._held:
            ready += self._waiting(True)
        return ready


class PcapFeed(Feed):
    """ITCH 5.0 in MoldUDP64, from a capture.

    Parameters
    ----------
    path : path
        pcap or pcapng, plain, gzip or Zstandard. Ethernet (with VLAN tags), Linux cooked, loopback or raw IP; IPv4 or IPv6.
    progress : callable(done, total), optional
        Told the bytes of the file that are done with, and all.
    chunk_events : int, default 65536
        Largest number of events in an array, at least 64.
    date : datetime.date, optional
        Day of the capture at the exchange: `exch_ns` is its midnight in New York and the time in the message. By default the
        day in New York of the first packet.
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
        Packets passed over by reason: ``fragment``, ``not IP``, ``not UDP``, ``other port``.

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
    `local_ns` goes back where a packet came late. An instrument has the symbol of its listing, before that the one that the
    messages carry, or ``locate 13`` where they carry none. Errors have the offset of the record of their packet in the
    (uncompressed) file. Of a pcapng file the resolution and link type of the first interface are used for all.
    """

    format: ClassVar[str] = "pcap"
    book: Literal["orders", "levels", "quotes", "none"] = "orders"

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        progress: Progress | None = None,
        chunk_events: int = 65_536,
        date: Date | None = None,
        ports: Collection[int] | None = None,
        arbitrate: bool = False,
        hold: int | None = None,
        strict: bool = False,
    ) -> None:
        super().__init__(path)
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
        self._turns: dict[str, _Turns] = {}
        self._strict = strict
        self._out = np.zeros(chunk_events, EVENT_DTYPE)
        self._seen = np.zeros(1 << 16, np.bool_)  # stock locates with an instrument
        self._seen[0] = True  # the locate of messages about no symbol
        self._listings = 0
        self._logged: dict[str, int] = {}  # entries of a decoder's log that are in ours

    @classmethod
    def recognise(cls, head: bytes, path: Path) -> bool:
        """Say whether a file is a capture, by its magic number."""
        return head[:4] in _PCAP or head[:4] == _PCAPNG

    def _arrays(self) -> Iterator[Events]:
        batch: list[_Packet] = []
        size = 0
        name = ""
        broken: CorruptDataError | None = None
        packets = self._ordered(_packets(self.path, self._progress))
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

    def _ordered(self, packets: Iterator[_Packet]) -> Iterator[tuple[str, _Packet]]:
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
                    stream = names[packet.target] = _name(packet.target)
                if not self._hold:
                    yield stream, packet
                    continue
                if stream not in self._turns:
                    self._turns[stream] = _Turns(self._hold)
                for ready in self._turns[stream].push(packet):
                    yield stream, ready
        except CorruptDataError:
            yield from self._rest()
            raise
        finally:
            packets.close()  # type: ignore[attr-defined]
        yield from self._rest()

    def _rest(self) -> Iterator[tuple[str, _Packet]]:
        """What is still held back when the capture ends."""
        for stream, turns in self._turns.items():
            for ready in turns.flush():
                yield stream, ready

    def _decode(self, name: str, batch: list[_Packet]) -> Iterator[Events]:
        if self.decoder is None:
            self.decoder = ItchDecoder(_midnight(batch[0].local_ns, self._date), self._strict)
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
                    yield self._array(error.events, data, offsets)  # type: ignore[attr-defined]
                raise
            done += packets
            self._note(name, mold, base, offsets, batch)
            if events:
                yield self._array(events, data, offsets)

    def _array(self, events: int, data: bytes, offsets: npt.NDArray[np.int64]) -> Events:
        """What was decoded, after every symbol in it has an instrument."""
        assert self.decoder is not None
        out = self._out[:events].copy()
        if self.messages.get("R", 0) != self._listings:
            self._listings = self.messages["R"]
            for locate, symbol in self.decoder.symbols.items():
                self._instrument(locate, symbol)
        ids = out["symbol_id"][out["symbol_id"] != NO_SYMBOL]
        fresh = np.unique(ids[~self._seen.take(ids)]).tolist()
        names = _carried(data, offsets) if fresh else {}
        for locate in fresh:
            self._instrument(locate, names.get(locate, f"locate {locate}"))
        return out

    def _instrument(self, locate: int, symbol: str) -> None:
        self.instruments[locate] = Instrument(symbol, _TICK, 1.0)
        self._seen[locate] = True

    def _note(self, name: str, mold: MoldDecoder, base: int, offsets: npt.NDArray[np.int64], batch: list[_Packet]) -> None:
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
        for offset, letter, reason in sorted(fresh)[: _LOG - len(self.error_log)]:
            i = int(np.searchsorted(offsets, offset - base, "right")) - 1
            packet = batch[min(max(i, 0), len(batch) - 1)]
            self.error_log.append((packet.record, f"{reason} type={letter!r}" if letter != "\0" else reason))


# ---- OUCH over SoupBinTCP ----


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

    def segments(self, packet: _Packet) -> Iterable[bytes]:
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
    for packet in _packets(Path(path), progress):
        if packet.protocol != 6 or (ports is not None and not {packet.source[1], packet.target[1]} & set(ports)):
            continue
        if midnight is None:
            midnight = _midnight(packet.local_ns, date)
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
                ends = [_name(end) for end in (key[::-1] if outbound else key)]
                yield OuchMessages(" > ".join(ends), outbound, events[:n], details[:n], bytes(data))
        if direction.held_bytes > _HELD_BYTES or len(direction.held) > _HELD_SEGMENTS:
            break
    for (source, target), direction in directions.items():
        if direction.held:
            raise CorruptDataError(
                f"a connection must be captured whole: {_name(source)} > {_name(target)} missing from sequence={direction.next}"
            )
