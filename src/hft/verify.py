"""Books built from recorded data against what the same data, or the exchange, say they must be.

============ ==================================================================================================
format       reference
============ ==================================================================================================
itch         a final book (CSV: side, price in 1/10,000, shares, orders), or a row map (CSV: row, messages consumed)
             together with the LOBSTER order book that has those rows; by default the ones beside the file
lobster      the order book file of the same sample, row by row, in a window of its depth
binance      the best prices that the venue itself sent (bookTicker), after each diff
kraken       the CRC32 that the venue sent with each change of the book
pcap         another reading of the capture: ITCH messages taken out by ``dpkt`` and decoded by the plain-Python twin; what
             OUCH events encode to
dbn          the records as ``databento_dbn`` decodes them, field by field
csv          quotes of the same instrument at another venue: the offset between the two clocks is found and reported, and then
             the two markets must overlap, second by second
============ ==================================================================================================
"""

from __future__ import annotations

import csv
import gzip
import io
import os
import re
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from fastcore.book import LevelBook, OrderBook
from fastcore.instruments import Instruments
from fastcore.records import EVENT_DTYPE, FLAGS, KINDS, NO_PRICE, NO_SYMBOL, QUOTE_DTYPE, kind_name
from fastcore.wire import soup
from fastcore.wire.itch import WIRE_DTYPE
from fastcore.wire.lobster import LobsterWindow

from .feeds import Events, Feed, Progress, open_feed
from .feeds.itch import midnight_ns

__all__ = ["ReferenceMissing", "Verification", "verify"]

Paths = Sequence[str | os.PathLike[str]]


class ReferenceMissing(LookupError):
    """There is nothing to compare with, or it is not found."""


@dataclass(frozen=True, kw_only=True)
class Verification:
    """Outcome for one file.

    Attributes
    ----------
    path, format, reference : str
    checked, matched : int
        Comparisons made, and those that agree.
    first_mismatch : str, optional
        Where the first disagreement is, and both values.
    messages : int
        Well-formed messages (rows, records, lines) of the file.
    malformed : int
        Messages that break the format.
    gaps : int
        Sequence gaps.
    """

    path: str
    format: str
    reference: str
    checked: int
    matched: int
    first_mismatch: str | None
    messages: int
    malformed: int
    gaps: int

    @property
    def share(self) -> float:
        """Part that agrees, 0 to 1. A file without messages agrees; one with messages of which none could be compared does not."""
        return self.matched / self.checked if self.checked else float(self.messages == 0)


def verify(
    path: str | os.PathLike[str],
    format: str | None = None,
    references: Paths = (),
    *,
    symbol: str | None = None,
    progress: Progress | None = None,
) -> Verification:
    """Compare the books of one file with a reference.

    Parameters
    ----------
    path : path
    format : str, optional
        As in ``hft.feeds.open_feed``; by default recognised.
    references : sequence of path, optional
        Files to compare with, for the formats that do not carry their own.
    symbol : str, optional
        Symbol of the reference, where the file has several.
    progress : callable(done, total), optional

    Returns
    -------
    Verification

    Raises
    ------
    ReferenceMissing
        If the format carries no reference and none is given or found, or if the symbol is not in the file.
    CorruptDataError
        If the file or a reference is malformed or cut off.
    """
    with open_feed(path, format, progress=progress) as feed:
        check = CHECKS.get(feed.format)
        if check is None:
            raise ReferenceMissing(f"format must be one that can be verified ({', '.join(sorted(CHECKS))}): format={feed.format}")
        reference, checked, matched, first = check(feed, [Path(p) for p in references], symbol)
        return Verification(
            path=str(path),
            format=feed.format,
            reference=reference,
            checked=checked,
            matched=matched,
            first_mismatch=first,
            messages=sum(feed.messages.values()),
            malformed=sum(feed.errors.values()),
            gaps=feed.gaps,
        )


Outcome = tuple[str, int, int, str | None]  # reference, checked, matched, first mismatch


# ---- itch ----


def _itch(feed: Feed, references: Sequence[Path], symbol: str | None) -> Outcome:
    if not references:
        stem = re.sub(r"\.itch(\.gz|\.zst)?$", "", str(feed.path))
        references = [Path(stem + end) for end in (".book.csv", ".rowmap.csv.gz", ".rowmap.csv") if Path(stem + end).is_file()][:1]
    if not references:
        raise ReferenceMissing(f"an ITCH file needs a final book or a row map as reference: path={feed.path}")
    if _first_line(references[0]).startswith("lobster_row,"):
        return _row_map(feed, references[0], references[1] if len(references) > 1 else _sample(feed.path, references[0]), symbol)
    return _final_book(feed, references[0], symbol)


def _final_book(feed: Feed, reference: Path, symbol: str | None) -> Outcome:
    book, chosen = OrderBook(), _Chosen(feed, symbol)
    for events in chosen:
        book.apply(events)
    with _text(reference) as lines:
        expected = {(row[0], int(row[1])): (int(row[2]), int(row[3])) for row in list(csv.reader(lines))[1:]}
    built = {
        (name, level["price"].item()): (level["size"].item(), level["orders"].item())
        for name, side in zip("BS", book.depth(), strict=True)
        for level in side
    }
    wrong = [key for key in expected | built if expected.get(key) != built.get(key)]
    first = None
    if wrong:
        first = f"side={wrong[0][0]} price={wrong[0][1]}: built={built.get(wrong[0])} expected={expected.get(wrong[0])}"
    return str(reference), len(expected | built), len(expected | built) - len(wrong), first


def _row_map(feed: Feed, row_map: Path, sample: Path, symbol: str | None) -> Outcome:
    from .feeds.lobster import LobsterFeed

    marks = _integers(row_map)[:, 1]
    expected = np.concatenate([block.rows for block in LobsterFeed(sample).messages_and_rows()])
    if len(expected) != len(marks):
        raise ReferenceMissing(f"row map and sample must have as many rows: rows={len(marks)}, sample={len(expected)}")
    levels = expected.shape[1] // 4
    book, at, done, parts = OrderBook(), 0, 0, []
    for events, counts in _Chosen(feed, symbol).with_counts():
        # Marks count messages of the file, the book counts events.
        stop = int(np.searchsorted(marks, counts[-1], side="right")) if len(counts) else done
        here = np.searchsorted(counts, marks[done:stop], side="right")
        parts.append(book.apply_depth(events, here, levels))
        at, done = at + len(events), stop
    rows = np.concatenate(parts)
    prices = rows["price"]
    for side, empty in ((0, -9_999_999_999), (1, 9_999_999_999)):
        prices[:, side][prices[:, side] == NO_PRICE] = empty
    built = np.stack([prices[:, 1], rows["size"][:, 1], prices[:, 0], rows["size"][:, 0]], axis=2).reshape(-1, 4 * levels)
    equal = (built == expected[: len(built)]).all(axis=1)
    first = None
    if not equal.all():
        row = int(np.argmin(equal))
        first = f"row={row}: built={built[row].tolist()} expected={expected[row].tolist()}"
    elif len(built) < len(expected):
        first = f"row={len(built)}: the file ends before it"
    return f"{row_map} {sample}", len(expected), int(equal.sum()), first


def _sample(path: Path, row_map: Path) -> Path:
    """The LOBSTER sample whose rows a row map means: of the same symbol and day, beside it or in a directory ``lobster``."""
    named = re.match(r"([A-Z.]+)_(\d{4}-\d\d-\d\d)_L(\d+)", path.name)
    if named:
        ticker, day, depth = named.groups()
        for folder in (row_map.parent, row_map.parent.parent / "lobster"):
            for found in sorted(folder.glob(f"*{ticker}_{day}_{depth}.zip")):
                return found
    raise ReferenceMissing(f"a row map needs the LOBSTER sample too (a second reference): row_map={row_map}")


class _Chosen:
    """The events of one symbol of a feed, and how many messages of the file each of them completes."""

    def __init__(self, feed: Feed, symbol: str | None) -> None:
        self.feed, self.symbol = feed, symbol

    def _id(self) -> int | None:
        known = self.feed.instruments
        if self.symbol is not None:
            return known.id_of(self.symbol)
        if len(known) > 1:
            raise ReferenceMissing(f"the file has several symbols, choose one: symbols={', '.join(known.symbols[:8])}, ...")
        return 0 if len(known) else None

    def with_counts(self) -> Iterator[tuple[npt.NDArray[np.void], npt.NDArray[np.int64]]]:
        done, found = 0, False
        for events in self.feed:
            counts = done + np.cumsum((events["flags"] & FLAGS["continued"]) == 0)
            done = int(counts[-1])
            number = self._id()
            if number is not None:
                found = True
                own = events["symbol_id"] == number
                yield (events, counts) if own.all() else (np.ascontiguousarray(events[own]), counts[own])
        if not found:
            raise ReferenceMissing(f"the file lists no such symbol: symbol={self.symbol}")

    def __iter__(self) -> Iterator[npt.NDArray[np.void]]:
        return (events for events, _ in self.with_counts())


# ---- lobster ----


def _lobster(feed: Feed, references: Sequence[Path], symbol: str | None) -> Outcome:
    from .feeds.lobster import LobsterFeed

    assert isinstance(feed, LobsterFeed)
    window = LobsterWindow(feed.levels)
    types = np.zeros(8, np.int64)
    for block in feed.messages_and_rows():
        window.apply(block.type, block.size, block.price, block.side, block.rows)
        types += np.bincount(block.type, minlength=8)
    feed.messages = {str(i): n for i, n in enumerate(types.tolist()) if n}
    first = None if window.first_mismatch is None else "row={}: {}".format(*window.mismatches[0])
    return f"the orderbook file, {feed.levels} levels", window.checked, window.matched, first


# ---- what the data carry ----


def _binance(feed: Feed, references: Sequence[Path], symbol: str | None) -> Outcome:
    from .feeds.binance import diff_ids, tops_after, verify_tops

    books: dict[int, LevelBook] = {}
    kept: dict[int, tuple[list[Events], list[Events], list[npt.NDArray[np.int64]]]] = {}
    for events in feed:
        for number in np.unique(events["symbol_id"]).tolist():
            book = books.setdefault(number, LevelBook(number))
            tickers, tops, ids = kept.setdefault(number, ([], [], []))
            own = events[events["symbol_id"] == number]
            ticker = own["kind"] == KINDS["quote"]
            tickers.append(own[ticker].view(QUOTE_DTYPE))
            changes = own[~ticker]
            quotes = np.empty(len(changes), QUOTE_DTYPE)
            tops.append(quotes[: book.apply_into(changes, quotes)].copy())
            ids.append(diff_ids(changes))
    checked = matched = 0
    first = None
    for number, (tickers, tops, ids) in kept.items():
        name = feed.instruments[number].symbol
        if symbol not in (None, name):
            continue
        built = tops_after(np.concatenate(ids), np.concatenate(tops))
        compared, equal, wrong = verify_tops(built, np.concatenate(tickers))
        checked, matched = checked + compared, matched + equal
        if wrong is not None and first is None:
            first = f"symbol={name} update id={wrong}"
    return "bookTicker", checked, matched, first


def _kraken(feed: Feed, references: Sequence[Path], symbol: str | None) -> Outcome:
    from .feeds.kraken import KrakenFeed

    assert isinstance(feed, KrakenFeed)
    for _ in feed:
        pass
    first = None if feed.first_mismatch is None else f"line at offset={feed.first_mismatch}"
    return "CRC32", feed.checked, feed.matched, first


# ---- another reading of the same file ----


def _pcap(feed: Feed, references: Sequence[Path], symbol: str | None) -> Outcome:
    from fastcore.wire.ouch import OuchEncoder

    from .feeds.ouch import read_ouch
    from .feeds.pcap import PcapFeed

    assert isinstance(feed, PcapFeed)
    arrays = list(feed)
    if feed.messages:
        got = np.concatenate(arrays)
        got = got[got["kind"] != KINDS["gap"]]
        got = got[np.lexsort((got["seq"], got["local_ns"]))]
        expected = _read_again(feed.path, feed.instruments)
        same = len(got) == len(expected) and got.tobytes() == expected.tobytes()
        equal = int((got == expected).sum()) if len(got) == len(expected) else 0
        first = None if same else f"event={int(np.argmin(got == expected)) if equal else 0}"
        return "dpkt and the plain-Python twin", len(expected), equal, first
    checked = matched = 0
    first = None
    for found in read_ouch(feed.path):
        data, places = OuchEncoder(found.outbound, _midnight(found.events)).encode(found.events, found.details, found.data)
        again = soup.encode(data, places)
        checked += len(found.events)
        matched += len(found.events) if again == found.data else 0
        if again != found.data and first is None:
            first = f"connection={found.connection}"
        for kind in found.events["kind"].tolist():
            name = f"OUCH {kind_name(kind)}"
            feed.messages[name] = feed.messages.get(name, 0) + 1
    return "the bytes that the events encode to", checked, matched, first


def _midnight(events: Events) -> int:
    """Midnight in New York of the day on which events were received."""
    return midnight_ns(datetime.fromtimestamp(int(events["local_ns"][0]) // 10**9, ZoneInfo("America/New_York")).date())


def _read_again(path: Path, instruments: Instruments) -> Events:
    """Events of a capture of ITCH in MoldUDP64: frames by dpkt, packets by struct, messages by the plain-Python twin.

    Their symbols are looked up in a table by name.
    """
    from fastcore.reference.itch import ItchDecoder

    from .feeds._files import extra, pieces

    dpkt = extra("dpkt")
    raw = io.BytesIO(b"".join(pieces(path)))
    decoder: Any = None
    made: list[Events] = []
    seen: set[tuple[Any, ...]] = set()
    out, wire = np.zeros(16, EVENT_DTYPE), np.zeros(16, WIRE_DTYPE)
    names: dict[int, str] = {}
    for seconds, frame in dpkt.pcap.UniversalReader(raw):
        local_ns = round(seconds * 10**9)
        network = dpkt.ethernet.Ethernet(frame).data
        packet = network.data
        if not isinstance(packet, dpkt.udp.UDP):
            continue
        payload = bytes(packet.data)
        session, sequence, count = struct.unpack_from(">10sQH", payload)
        at = 20
        for i in range(count if count < 65_535 else 0):
            (length,) = struct.unpack_from(">H", payload, at)
            if decoder is None:
                out["local_ns"] = local_ns
                decoder = ItchDecoder(_midnight(out), True)
            # Packets without a sequence number belong to no stream; elsewhere a message may come on two lines.
            number = sequence + i if sequence else 0
            key = (network.dst, packet.dport, session, number)
            if not number or key not in seen:
                seen.add(key)
                n, _ = decoder.decode(payload[at : at + 2 + length], out, final=True, wire=wire)
                events = out[:n].copy()
                if wire["symbol"][0]:
                    names[int(wire["locate"][0])] = wire["symbol"][0].decode("latin-1").rstrip(" ")
                events["seq"], events["local_ns"] = number, local_ns
                made.append(events)
            at += 2 + length
    events = np.concatenate([np.zeros(0, EVENT_DTYPE), *made])
    locates, places = np.unique(events["symbol_id"], return_inverse=True)
    found = [instruments.id_of(names.get(i, f"locate {i}")) for i in locates.tolist()]
    rows = [NO_SYMBOL if number is None else number for number in found]
    events["symbol_id"] = np.array(rows, np.uint32)[places]
    return events[np.lexsort((events["seq"], events["local_ns"]))]


def _dbn(feed: Feed, references: Sequence[Path], symbol: str | None) -> Outcome:
    from .feeds._files import extra
    from .feeds.dbn import DbnFeed

    assert isinstance(feed, DbnFeed)
    dbn = extra("databento_dbn")
    raw = feed.path.read_bytes()
    decoder = dbn.DBNDecoder(
        compression=dbn.Compression.ZSTD if raw[:4] == b"\x28\xb5\x2f\xfd" else dbn.Compression.NONE,
        has_metadata=feed.metadata is not None,
        upgrade_policy=dbn.VersionUpgradePolicy.AS_IS,
    )
    decoder.write(raw)
    decoded = decoder.decode()
    if raw[1:4] == b"*M\x18":
        raise ReferenceMissing(f"the format before DBN has nothing to compare with, databento_dbn reads it no longer: path={feed.path}")
    expected = [record for record in decoded if not isinstance(record, dbn.Metadata)]
    by_type: dict[int, list[Any]] = {}
    for record in expected:
        by_type.setdefault(int(getattr(record.rtype, "value", record.rtype)), []).append(record)
    matched, first = 0, None
    at = dict.fromkeys(by_type, 0)
    for rtype, rows in feed.records():
        names = [n for n in rows.dtype.names or () if not n.startswith(("_", "length")) and n != "ts_out"]
        for row, record in zip(rows, by_type.get(rtype, [])[at.get(rtype, 0) :], strict=False):
            at[rtype] += 1
            wrong = next((n for n in names if not _equal(row[n].item(), _field(record, n))), None)
            matched += wrong is None
            if wrong is not None and first is None:
                first = f"rtype={rtype} record={at[rtype] - 1} field={wrong}"
        feed.messages[str(rtype)] = feed.messages.get(str(rtype), 0) + len(rows)
    return "databento_dbn, field by field", max(len(expected), sum(feed.messages.values())), matched, first


def _field(record: Any, name: str) -> Any:
    """A field by its name in the struct; levels are objects of a record."""
    if hasattr(record, "levels") and name[-3:-2] == "_" and name[-2:].isdigit():
        record, name = record.levels[int(name[-2:])], name[:-3]
    value = getattr(record, name)
    return getattr(value, "value", value)


def _equal(raw: Any, value: Any) -> bool:
    """Whether a field of a struct and an attribute of a record object mean the same."""
    if isinstance(raw, bytes):
        if value is None or isinstance(value, bool):
            return raw == {True: b"Y", False: b"N", None: b"~"}[value]
        text = raw.decode("utf-8", "replace")
        return bool(value.rstrip("\0") == text) if isinstance(value, str) else bool(value == (raw[0] if raw else 0))
    if value is None:  # the object says None where the struct has the mark for undefined
        return raw in (0, 2**63 - 1, 2**64 - 1, 2**32 - 1, 2**31 - 1, 2**16 - 1)
    return bool(raw == (ord(value) if isinstance(value, str) else int(value)))


# ---- another venue ----


def _csv(feed: Feed, references: Sequence[Path], symbol: str | None) -> Outcome:
    from .feeds.merge import clock_offset

    if len(references) != 1:
        raise ReferenceMissing(f"a table of quotes needs one of another venue as reference: references={len(references)}")
    with open_feed(references[0], feed.format) as other:
        mine, theirs = (np.concatenate(list(f)).view(QUOTE_DTYPE) for f in (feed, other))
        ticks = [f.instruments[0].tick_size for f in (feed, other)]
    offset = clock_offset(theirs.view(EVENT_DTYPE), mine.view(EVENT_DTYPE))
    times = mine["exch_ns"] + offset.offset_ns, theirs["exch_ns"]
    # The market of each venue at every second at which both have quoted within the last ten.
    grid = np.arange(max(t[0] for t in times), min(t[-1] for t in times), 10**9)
    at = [np.searchsorted(t, grid, side="right") - 1 for t in times]
    fresh = (grid - times[0][at[0]] < 10**10) & (grid - times[1][at[1]] < 10**10)
    (bid, ask), (other_bid, other_ask) = (
        (quotes["bid"][i] * tick, quotes["ask"][i] * tick) for quotes, i, tick in zip((mine, theirs), at, ticks, strict=True)
    )
    overlap = (bid <= other_ask) & (other_bid <= ask)
    wrong = np.flatnonzero(fresh & ~overlap)
    first = None if not len(wrong) else f"second={int(grid[wrong[0]]) // 10**9}: {bid[wrong[0]]:g} x {ask[wrong[0]]:g} and " \
        f"{other_bid[wrong[0]]:g} x {other_ask[wrong[0]]:g}"  # fmt: skip
    return f"{references[0]} clock offset {offset}", int(fresh.sum()), int((fresh & overlap).sum()), first


# ---- reading ----


def _text(path: Path) -> Any:
    return gzip.open(path, "rt", encoding="ascii") if path.suffix == ".gz" else open(path, encoding="ascii")


def _first_line(path: Path) -> str:
    with _text(path) as lines:
        line: str = lines.readline()
    return line


def _integers(path: Path) -> npt.NDArray[np.int64]:
    with _text(path) as lines:
        return np.loadtxt(lines, np.int64, delimiter=",", skiprows=1, ndmin=2)


CHECKS: dict[str, Callable[[Feed, Sequence[Path], str | None], Outcome]] = {
    "itch": _itch,
    "lobster": _lobster,
    "binance": _binance,
    "kraken": _kraken,
    "pcap": _pcap,
    "dbn": _dbn,
    "csv": _csv,
}
