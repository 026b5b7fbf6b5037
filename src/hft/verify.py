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
csv, parquet, quotes of the same instrument at another venue: the offset between the two clocks is found and reported, and then
arrow        the two markets must overlap, second by second
============ ==================================================================================================

What could have been compared and was not - what waits for an image behind a gap - counts against the share, and where nothing was
compared nothing agrees.
"""

from __future__ import annotations

import io
import os
import re
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from fastcore.book import LevelBook, OrderBook
from fastcore.errors import CorruptDataError
from fastcore.instruments import Instruments
from fastcore.records import EVENT_DTYPE, FLAGS, KINDS, NO_PRICE, NO_SYMBOL, QUOTE_DTYPE, kind_name
from fastcore.wire import soup
from fastcore.wire.itch import WIRE_DTYPE
from fastcore.wire.lobster import LobsterWindow

from .feeds import Events, Feed, Progress, open_feed, recognise
from .feeds._files import extra, lines, pieces
from .feeds._streams import opened
from .feeds.feed import listed
from .feeds.itch import midnight_ns
from .feeds.several import ChainedFeed, open_feeds

__all__ = ["ReferenceMissing", "Verification", "verify"]

Paths = Sequence[str | os.PathLike[str]]


class ReferenceMissing(LookupError):
    """There is nothing to compare with, it is not found, or it is of another kind than the data."""


@dataclass(frozen=True, kw_only=True)
class Verification:
    """Outcome for one file.

    Attributes
    ----------
    path, format, reference : str
    checked, matched, unchecked : int
        Comparisons made, those that agree, and those that could have been made and were not: for want of a book.
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
    unchecked: int
    first_mismatch: str | None
    messages: int
    malformed: int
    gaps: int

    @property
    def share(self) -> float:
        """Part that agrees of what could have been compared, 0 to 1; 0 where nothing was compared."""
        return self.matched / (self.checked + self.unchecked) if self.checked else 0.0


def verify(
    path: str | os.PathLike[str] | Paths,
    format: str | None = None,
    references: Paths = (),
    *,
    symbol: str | None = None,
    options: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Verification:
    """Compare the books of one file, or of the parts of one stream, with a reference.

    Parameters
    ----------
    path : path, or sequence of path
        Several are parts of one stream (ITCH, Binance, Kraken): book and sequence go on from one to the next.
    format : str, optional
        As in ``hft.feeds.open_feed``; by default recognised.
    references : sequence of path, optional
        Files to compare with, for the formats that do not carry their own.
    symbol : str, optional
        The one to compare, where the file has several.
    options : mapping, optional
        Of the feed, as in ``hft.feeds.open_feed``; of a table that is the reference too.
    progress : callable(done, total), optional

    Returns
    -------
    Verification

    Raises
    ------
    ReferenceMissing
        If the format carries no reference and none is given or found, if a reference is given that is of no use or of another
        kind, or if the symbol is not in the file.
    CorruptDataError
        If the file or a reference is malformed or cut off.
    """
    paths = [path] if isinstance(path, (str, os.PathLike)) else list(path)
    with open_feeds(paths, format, progress=progress, **(options or {})) as feed:
        if len(paths) > 1 and not (isinstance(feed, ChainedFeed) and feed.format in JOINED):
            files = ", ".join(map(str, paths))
            raise ReferenceMissing(f"files that are compared together must be parts of one stream of {', '.join(JOINED)}: files={files}")
        check = CHECKS.get(feed.format)
        if check is None:
            raise ReferenceMissing(f"format must be one that can be verified ({', '.join(sorted(CHECKS))}): format={feed.format}")
        if references and feed.format not in REFERRED:
            raise ReferenceMissing(f"a reference is for {', '.join(REFERRED)}: format={feed.format} reference={references[0]}")
        done = check(feed, [Path(p) for p in references], symbol, dict(options or {}))
        known = feed.instruments.symbols
        if symbol is not None and symbol not in known:
            raise _unlisted(symbol, known)
        if symbol is not None and feed.format not in CHOOSING and len(known) > 1:
            raise ReferenceMissing(f"all symbols are compared together: format={feed.format} symbol={symbol} symbols={listed(known)}")
        return Verification(
            path="+".join(map(str, paths)),
            format=feed.format,
            **done._asdict(),
            messages=sum(feed.messages.values()),
            malformed=sum(feed.errors.values()),
            gaps=feed.gaps,
        )


class Outcome(NamedTuple):
    """What a comparison found; as in `Verification`."""

    reference: str
    checked: int
    matched: int
    first_mismatch: str | None
    unchecked: int = 0


Options = dict[str, Any]


def _unlisted(symbol: str | None, symbols: Sequence[str]) -> ReferenceMissing:
    return ReferenceMissing(f"the file lists no such symbol: symbol={symbol} symbols={listed(symbols)}")


# ---- itch ----


def _itch(feed: Feed, references: Sequence[Path], symbol: str | None, options: Options) -> Outcome:
    path = _parts(feed)[-1].path
    if not references:
        stem = re.sub(r"\.itch(\.gz|\.zst)?$", "", str(path))
        references = [Path(stem + end) for end in (".book.csv", ".rowmap.csv.gz", ".rowmap.csv") if Path(stem + end).is_file()][:1]
    if not references:
        raise ReferenceMissing(f"an ITCH file needs a final book or a row map as reference: path={path}")
    header, rows = _table(references[0])
    if re.fullmatch("side,price(_e4)?,shares,orders", header) and len(references) == 1:
        return _final_book(feed, references[0], rows, symbol)
    if header == "lobster_row,itch_messages" and len(references) <= 2:
        return _row_map(feed, references[0], rows, references[1] if len(references) > 1 else _sample(path, references[0]), symbol)
    raise ReferenceMissing(
        f"a reference must be a final book (side,price_e4,shares,orders), or a row map (lobster_row,itch_messages) and its sample: "
        f"references={', '.join(map(str, references))} header={header[:80]!r}"
    )


def _final_book(feed: Feed, reference: Path, rows: list[list[str]], symbol: str | None) -> Outcome:
    book, chosen = OrderBook(), _Chosen(feed, symbol)
    for events in chosen:
        book.apply(events)
    levels = _whole(reference, [row[1:] for row in rows], 3)
    sides = [row[0] for row in rows]
    expected = {(side, price): (size, orders) for side, (price, size, orders) in zip(sides, levels.tolist(), strict=True)}
    if not set(sides) <= {"B", "S"} or len(expected) < len(rows):
        raise CorruptDataError(f"a final book must have each level once, of side B or S: reference={reference}")
    built = {
        (name, level["price"].item()): (level["size"].item(), level["orders"].item())
        for name, side in zip("BS", book.depth(), strict=True)
        for level in side
    }
    wrong = [key for key in expected | built if expected.get(key) != built.get(key)]
    first = None
    if wrong:
        first = f"side={wrong[0][0]} price={wrong[0][1]}: built={built.get(wrong[0])} expected={expected.get(wrong[0])}"
    return Outcome(str(reference), len(expected | built), len(expected | built) - len(wrong), first)


def _row_map(feed: Feed, row_map: Path, rows_of_map: list[list[str]], sample: Path, symbol: str | None) -> Outcome:
    from .feeds.lobster import LobsterFeed

    numbers = _whole(row_map, rows_of_map, 2)
    marks = np.ascontiguousarray(numbers[:, 1])
    if (numbers[:, 0] != np.arange(len(numbers))).any() or (np.diff(marks, prepend=0) < 0).any():
        raise CorruptDataError(f"a row map must count rows from 0, with messages that do not decrease: reference={row_map}")
    with open_feed(sample, "lobster") as lobster:
        assert isinstance(lobster, LobsterFeed)
        blocks = [block.rows for block in lobster.messages_and_rows()]
    if lobster.errors:
        raise CorruptDataError(f"a sample must have whole rows: reference={sample} errors={lobster.errors}")
    expected = np.concatenate([np.zeros((0, 4 * lobster.levels), np.int64), *blocks])
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
    return Outcome(f"{row_map} {sample}", len(expected), int(equal.sum()), first)


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
            raise ReferenceMissing(f"the file has several symbols: choose one with --symbol ({listed(known.symbols)})")
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
            raise _unlisted(self.symbol, self.feed.instruments.symbols)

    def __iter__(self) -> Iterator[npt.NDArray[np.void]]:
        return (events for events, _ in self.with_counts())


# ---- lobster ----


def _lobster(feed: Feed, references: Sequence[Path], symbol: str | None, options: Options) -> Outcome:
    from .feeds.lobster import LobsterFeed

    assert isinstance(feed, LobsterFeed)
    window = LobsterWindow(feed.levels)
    types = np.zeros(8, np.int64)
    for block in feed.messages_and_rows():
        window.apply(block.type, block.size, block.price, block.side, block.rows)
        types += np.bincount(block.type, minlength=8)
    feed.messages = {str(i): n for i, n in enumerate(types.tolist()) if n}
    first = None if window.first_mismatch is None else "row={}: {}".format(*window.mismatches[0])
    return Outcome(f"the orderbook file, {feed.levels} levels", window.checked, window.matched, first)


# ---- what the data carry ----


def _binance(feed: Feed, references: Sequence[Path], symbol: str | None, options: Options) -> Outcome:
    from .feeds.binance import diff_ids, tops_after, verify_tops

    books: dict[int, LevelBook] = {}
    kept: dict[int, tuple[list[Events], list[Events], list[npt.NDArray[np.int64]]]] = {}
    images: dict[int, int] = {}
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
            if number not in images and (changes["kind"] == KINDS["clear"]).any():
                images[number] = int(changes["seq"][changes["kind"] == KINDS["clear"]][0])
    incomplete = feed.gaps or any(part.waiting or part.dropped for part in _parts(feed))
    written = _written_diffs([part.path for part in _parts(feed)]) if incomplete else {}
    checked = matched = unchecked = 0
    first = None
    for number, (tickers, tops, ids) in kept.items():
        name = feed.instruments[number].symbol
        if symbol not in (None, name):
            continue
        quoted, delivered = np.concatenate(tickers), np.concatenate(ids)
        compared, equal, wrong = verify_tops(tops_after(delivered, np.concatenate(tops)), quoted)
        checked, matched = checked + compared, matched + equal
        if len(quoted) and name in written:
            since = max(int(quoted["seq"].min()), images.get(number, -1) + 1)
            unchecked += int(np.count_nonzero(written[name] >= since)) - int(np.count_nonzero(delivered >= since))
        if wrong is not None and first is None:
            first = f"symbol={name} update id={wrong}"
    return Outcome("bookTicker", checked, matched, first, max(unchecked, 0))


_DIFF = re.compile(rb'"(s|u|b|a)"\s*:\s*(?:"([^"]*)"|(\d+)|(\[\s*\]))')


def _written_diffs(paths: Sequence[Path]) -> dict[str, npt.NDArray[np.int64]]:
    """Update ids of all diffs with levels that captures hold, by symbol: also of those that reached no book."""
    found: dict[str, list[int]] = {}
    for path in paths:
        for block in lines(pieces(path)):
            for line in block.splitlines():
                if b"depthUpdate" in line:
                    names = {key: name or number or empty for key, name, number, empty in _DIFF.findall(line)}
                    if b"s" in names and names.get(b"u", b"").isdigit() and not {b"a", b"b"} <= names.keys():
                        found.setdefault(names[b"s"].decode("utf-8", "replace"), []).append(int(names[b"u"]))
    return {name: np.array(ids, np.int64) for name, ids in found.items()}


def _kraken(feed: Feed, references: Sequence[Path], symbol: str | None, options: Options) -> Outcome:
    from .feeds.kraken import KrakenFeed

    for _ in feed:
        pass
    last = _parts(feed)[-1]  # its decoder is that of all parts
    assert isinstance(last, KrakenFeed)
    first = None if last.first_mismatch is None else f"line at offset={last.first_mismatch}"
    return Outcome("CRC32", last.checked, last.matched, first, last.stale)


# ---- another reading of the same file ----


def _pcap(feed: Feed, references: Sequence[Path], symbol: str | None, options: Options) -> Outcome:
    from fastcore.wire.ouch import OuchEncoder

    from .feeds.ouch import read_ouch
    from .feeds.pcap import PcapFeed

    assert isinstance(feed, PcapFeed)
    arrays = list(feed)
    if feed.messages:
        got = np.concatenate(arrays)
        got = got[got["kind"] != KINDS["gap"]]
        got = got[np.lexsort((got["seq"], got["local_ns"]))]
        try:
            expected = _read_again(feed.path, feed.instruments)
        except (struct.error, LookupError, ValueError, extra("dpkt").Error) as error:
            if isinstance(error, CorruptDataError):
                raise
            raise CorruptDataError(f"a capture must be readable by dpkt too: path={feed.path} {type(error).__name__}: {error}") from error
        same = len(got) == len(expected) and got.tobytes() == expected.tobytes()
        equal = int((got == expected).sum()) if len(got) == len(expected) else 0
        first = None if same else f"event={int(np.argmin(got == expected)) if equal else 0}"
        return Outcome("dpkt and the plain-Python twin", len(expected), equal, first)
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
    return Outcome("the bytes that the events encode to", checked, matched, first)


def _midnight(events: Events) -> int:
    """Midnight in New York of the day on which events were received."""
    return midnight_ns(datetime.fromtimestamp(int(events["local_ns"][0]) // 10**9, ZoneInfo("America/New_York")).date())


def _read_again(path: Path, instruments: Instruments) -> Events:
    """Events of a capture of ITCH in MoldUDP64: frames by dpkt, packets by struct, messages by the plain-Python twin.

    Their symbols are looked up in a table by name.
    """
    from fastcore.reference.itch import ItchDecoder

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


def _dbn(feed: Feed, references: Sequence[Path], symbol: str | None, options: Options) -> Outcome:
    from .feeds.dbn import DbnFeed

    assert isinstance(feed, DbnFeed)
    dbn = extra("databento_dbn")
    with opened(feed.path) as file:
        if file.read(4)[1:] == b"*M\x18":
            raise ReferenceMissing(f"the format before DBN has nothing to compare with, databento_dbn reads it no longer: path={feed.path}")
    decoder = dbn.DBNDecoder(
        compression=dbn.Compression.NONE, has_metadata=feed.metadata is not None, upgrade_policy=dbn.VersionUpgradePolicy.AS_IS
    )
    try:
        decoder.write(b"".join(pieces(feed.path)))
        decoded = decoder.decode()
    except (dbn.DBNError, ValueError, OSError) as error:
        if isinstance(error, CorruptDataError):
            raise
        raise CorruptDataError(f"a DBN file must be readable by databento_dbn too: path={feed.path} {error}") from error
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
    return Outcome("databento_dbn, field by field", max(len(expected), sum(feed.messages.values())), matched, first)


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


def _quotes(feed: Feed, references: Sequence[Path], symbol: str | None, options: Options) -> Outcome:
    from .feeds.merge import clock_offset

    if len(references) != 1:
        raise ReferenceMissing(f"a table of quotes needs one of another venue as reference: references={len(references)}")
    format = recognise(references[0])
    if format not in TABLES:
        raise ReferenceMissing(f"a reference of a table must be a table: reference={references[0]} format={format}")
    with open_feed(references[0], format, **options) as other:
        (mine, tick), (theirs, other_tick) = _quotes_of(feed, symbol), _quotes_of(other, symbol)
    try:
        offset = clock_offset(theirs.view(EVENT_DTYPE), mine.view(EVENT_DTYPE))
    except ValueError as error:
        raise ReferenceMissing(f"{error} reference={references[0]}") from None
    times = mine["exch_ns"] + offset.offset_ns, theirs["exch_ns"]
    # The market of each venue at every second at which both have quoted within the last ten.
    grid = np.arange(max(t[0] for t in times), min(t[-1] for t in times), 10**9)
    at = [np.searchsorted(t, grid, side="right") - 1 for t in times]
    fresh = (grid - times[0][at[0]] < 10**10) & (grid - times[1][at[1]] < 10**10)
    (bid, ask), (other_bid, other_ask) = (
        [np.where(quotes[side][i] == NO_PRICE, np.nan, quotes[side][i] * step) for side in ("bid", "ask")]
        for quotes, i, step in zip((mine, theirs), at, (tick, other_tick), strict=True)
    )
    fresh &= np.isfinite(bid + ask + other_bid + other_ask)
    overlap = (bid <= other_ask) & (other_bid <= ask)
    wrong = np.flatnonzero(fresh & ~overlap)
    first = None if not len(wrong) else f"second={int(grid[wrong[0]]) // 10**9}: {bid[wrong[0]]:g} x {ask[wrong[0]]:g} and " \
        f"{other_bid[wrong[0]]:g} x {other_ask[wrong[0]]:g}"  # fmt: skip
    return Outcome(f"{references[0]} clock offset {offset}", int(fresh.sum()), int((fresh & overlap).sum()), first)


def _quotes_of(feed: Feed, symbol: str | None) -> tuple[Events, float]:
    """All quotes of a table, and what their tick is."""
    parts = list(feed)
    quotes = np.concatenate([np.zeros(0, EVENT_DTYPE), *parts])
    if feed.book != "quotes" or not len(quotes):
        kind = getattr(feed, "kind", None)
        raise ReferenceMissing(f"quotes are compared with quotes: path={feed.path} kind={kind} rows={len(quotes)}")
    names = feed.instruments.symbols
    if len(names) > 1:
        if symbol not in names:
            raise _unlisted(symbol, names)
        quotes = quotes[quotes["symbol_id"] == feed.instruments.id_of(symbol)]
    quotes = quotes[np.argsort(quotes["exch_ns"], kind="stable")]
    return quotes.view(QUOTE_DTYPE), feed.instruments[int(quotes["symbol_id"][0])].tick_size


# ---- reading ----


def _parts(feed: Feed) -> Sequence[Feed]:
    return feed.feeds if isinstance(feed, ChainedFeed) else [feed]


def _table(path: Path) -> tuple[str, list[list[str]]]:
    """The first line of a reference, and the fields of the others."""
    try:
        header, *rows = b"".join(pieces(path)).decode("ascii").splitlines() or [""]
    except UnicodeDecodeError:
        raise ReferenceMissing(f"a reference must be a table in ASCII: reference={path}") from None
    except ValueError as error:
        if isinstance(error, CorruptDataError):
            raise
        raise ReferenceMissing(str(error)) from None
    return header, [row.split(",") for row in rows if row]


def _whole(path: Path, rows: list[list[str]], width: int) -> npt.NDArray[np.int64]:
    """Rows of whole numbers."""
    for i, row in enumerate(rows):
        if len(row) != width or not all(re.fullmatch(r"-?\d{1,18}", field) for field in row):
            raise CorruptDataError(f"a row of a reference must have {width} whole numbers: reference={path} row={i} fields={row}")
    return np.array(rows, np.int64).reshape(-1, width)


TABLES = ("csv", "parquet", "arrow")
CHECKS: dict[str, Callable[[Feed, Sequence[Path], str | None, Options], Outcome]] = {
    "itch": _itch,
    "lobster": _lobster,
    "binance": _binance,
    "kraken": _kraken,
    "pcap": _pcap,
    "dbn": _dbn,
    **dict.fromkeys(TABLES, _quotes),
}
JOINED = ("itch", "binance", "kraken")  # whose book goes on from file to file
REFERRED = ("itch", *TABLES)  # that take a reference
CHOOSING = ("itch", "binance", *TABLES)  # that compare one symbol of several
