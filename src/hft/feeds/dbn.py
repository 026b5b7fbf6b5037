"""Databento Binary Encoding (DBN), versions 1 to 3, plain or Zstandard, as event arrays.

The metadata and the layouts of the records are those of `databento_dbn` (extra ``feeds``). Records of orders, trades and best
prices are converted by ``fastcore.wire.dbn``, the others are viewed in place and converted a block at a time. Prices are the
format's own: 1e-9 of the currency, so one tick is 1e-9 for every instrument and nothing is rounded.
Instruments have the symbols that the metadata give them for the day (UTC) of a record, or else those that mappings and definitions
have given them before, or their numbers. Where a symbol goes from one instrument to another (a continuous one, a number
that is used again), its book is cleared. Each publisher of an instrument has a book of its own: the first one has the symbol, others
the symbol and their number, ``AAPL@40``; in consolidated records all are one. ``exch_ns`` is ts_event, ``local_ns`` ts_recv, ``seq`` the
venue's sequence number (where a record has one).

=================== =========================================================================================================
record              events
=================== =========================================================================================================
mbo A               add
mbo C               cancel: size is what is taken off, all of it or a part
mbo M               replace with new_order_id = order_id: price and size are the new ones. An order keeps its place, in
                    ``fastcore.book`` too, where the price stays and the size does not grow; else it goes to the end
mbo R               clear
mbo T               trade: side is that of the resting order (DBN gives the aggressor's)
mbo F               execute, where a C or M of the order is behind it in its venue event; else notice, payload ``F``, size, order_id,
                    price. That C is then a cancel of what is left of it, or a notice; a T is a trade of what Fs do not
                    account for, or a notice
mbo N               notice, payload ``N``
trades              trade
mbp-1, cmbp-1       quote; of a record of a trade the quote, then the trade
tbbo, tcbbo         the same; the quote is the one before the trade
bbo, cbbo           quote, at the time ts_recv of the sample; the last trade that they repeat is not told again
mbp-10              clear and all levels at the first record of an instrument, then the levels that change; the trade first
ohlcv               bar; exch_ns is the end of the interval, when the bar is known (ts_event is its start)
definition          listing: the first eight bytes of the symbol, round lot (0 where there is none)
status              status: word of TRADING, reason, trading event, action
statistics,         counted
imbalance, error,
system, mapping
=================== =========================================================================================================

Orders that are best prices (flag F_TOB) replace their side, or empty it without a price.

``continued`` joins the records of one venue event: a record without the flag LAST whose successor has its instrument and
time. Records of a snapshot have the flag ``snapshot`` and are not joined. Fields that are undefined become NO_PRICE or 0.

The format before DBN (``.dbz``) has the same records; its metadata, which only a query needs, is not read, so that
instruments have their numbers for names.

Source: DBN specification, version 3 (struct layouts, record flags, side and action).
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fastcore.errors import CorruptDataError
from fastcore.instruments import Instruments
from fastcore.records import EVENT_DTYPE, KINDS, NO_PRICE, NO_SYMBOL
from fastcore.wire.dbn import LENGTHS, DbnDecoder

from ._dbn_events import CONVERT, Block, Depth, Made, actions, assemble, times
from ._dbn_names import Names
from ._dbn_records import NAMES, Group, RecordFile, Records
from ._levels import CONTINUED
from .feed import Events, Feed, Progress, check_chunk_events, whole_messages

__all__ = ["TICK_SIZE", "DbnFeed"]

TICK_SIZE = 1e-9
_UNDEF_PRICE = np.iinfo(np.int64).max
_WAIT = 4096  # records that may wait for the end of their venue event
_BUFFER = 2 * _WAIT  # events at once: room for the longest message that is waited for, and they stay in the cache
_MBP1, _DEFINITION, _ERROR, _MAPPING, _SYSTEM = 1, 19, 21, 22, 23
_GROUPED = frozenset({160, 1, 10, 177})  # whose records may be parts of one venue event
_NAMING = frozenset({_DEFINITION, _MAPPING})
_OF_NOTHING = frozenset({_ERROR, _SYSTEM, _MAPPING})  # records of no instrument
_CONSOLIDATED = frozenset({177, 192, 193, 194})  # of all publishers of an instrument together
_ALL = 1 << 16  # beyond the numbers of publishers
_BY_ACTION = frozenset({10, 177, 194, 197})  # counted by action


class DbnFeed(Feed):
    """A DBN file or fragment as events.

    Parameters
    ----------
    path : path
        With metadata, or a fragment that begins with a record; gzip and Zstandard are recognised.
    instruments, wanted
        As in ``hft.feeds.Feed``.
    progress : callable(done, total), optional
        Told the (compressed) bytes consumed.
    chunk_events : int, default 65536
        Largest number of events in an array, except for a message that has more.
    strict : bool, default False
        Raise CorruptDataError at the first malformed record.
    ts_out : bool, default False
        Of a fragment: records carry the send time at their end. Metadata says so itself.
    publisher : int, optional
        Number of the one whose records are read, where the file has several. By default all.

    Attributes
    ----------
    metadata : databento_dbn.Metadata or None
        None for a fragment.
    increments : dict of int to int
        Minimum price increment in ticks by `symbol_id`, from the definitions read so far.

    Raises
    ------
    ValueError
        If chunk_events is not positive.
    CorruptDataError
        When the metadata is damaged; later, after everything whole, when the file ends inside a record or a length is
        impossible (nothing behind such a record can be found).
    ImportError
        If databento_dbn (or, for a compressed file, zstandard) is not installed.
    """

    format = "dbn"

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        instruments: Instruments | None = None,
        wanted: Collection[str] | None = None,
        progress: Progress | None = None,
        chunk_events: int = 65_536,
        strict: bool = False,
        ts_out: bool = False,
        publisher: int | None = None,
    ) -> None:
        super().__init__(path, instruments, wanted)
        check_chunk_events(chunk_events)
        self.strict = strict
        self.increments: dict[int, int] = {}
        self._chunk = chunk_events
        self._file = RecordFile(self.path, ts_out, progress)
        self.metadata = self._file.metadata
        self._names = Names(self.metadata)
        self._publisher = publisher
        self._first: dict[str, int] = {}  # publisher of a symbol that has no number at its name
        self._steps: dict[int, int] = {}  # increments of instruments that have no row yet
        self._rows: dict[tuple[int, int], int] = {}  # by publisher and instrument, as long as they have one symbol
        self._taken: dict[str, int] = {}  # instrument by name of a row, likewise
        self._before: dict[int, int] = {}  # instrument whose events a row had last
        self._turned: list[int] = []  # rows whose book is that of another instrument
        self._counted: dict[str, int] = {}  # records converted by NumPy
        schema = self._file.schema
        # The records of trades have no LAST, and nothing follows that could have it.
        self._grouped = frozenset[int]() if schema in ("trades", "tbbo", "tcbbo") else _GROUPED
        self._decoder = DbnDecoder(self._file.ts_out, bool(self._grouped))
        self._depth = Depth()
        if schema == "mbo":
            self.book = "orders"
        elif schema == "mbp-10":
            self.book = "levels"
        elif schema in ("mbp-1", "tbbo") or "bbo" in schema or schema == "cmbp-1":
            self.book = "quotes"

    def follow(self, previous: Feed) -> None:
        """Go on with the names, publishers and levels of the part before."""
        if isinstance(previous, DbnFeed):
            self._names.follow(previous._names)
            self._first, self._before, self._depth = previous._first, previous._before, previous._depth
            self._decoder.publisher = previous._decoder.publisher

    def records(self) -> Iterator[tuple[int, Records]]:
        """Iterate over the records themselves, instead of over events.

        Yields
        ------
        rtype : int
        ndarray
            Records of that type with the layout of `databento_dbn` (``_dtypes``; and ``ts_out`` where records carry it), in the
            order of the file. Types that alternate come in groups, one block of the file after the other.
        """
        for data, offset, _ in self._file.pieces():
            end = 1
            while end:
                at = self._file.used
                groups, _, end = self._file.split(data[at:], offset + at, frozenset(), self._skip)
                self._file.used += end
                for group in groups:
                    yield group.rtype, group.records

    def _arrays(self) -> Iterator[Events]:
        decoder, file = self._decoder, self._file
        out, n = np.empty(_BUFFER, EVENT_DTYPE), 0
        self._begin(0)
        try:
            for view, offset, last in file.pieces():
                # What comes by the million is compiled; from the first other record on, the types of the piece come one by one.
                while True:
                    made, consumed = decoder.decode(view[file.used :], out[n:], last)
                    file.used += consumed
                    n += made
                    if decoder.unknown is not None:
                        self._row_of(*decoder.unknown)
                    elif decoder.outside:
                        self._begin(int(self._names.spans(file.first(view))[0]))
                    full = n > len(out) - _WAIT - 2
                    if full or (n and (decoder.blocked or self._turned)):
                        self._recount()
                        yield from whole_messages(out[:n], self._chunk)
                        out, n = np.empty(_BUFFER, EVENT_DTYPE), 0
                    if self._turned:
                        yield self._cleared(file.first(view))
                    if decoder.unknown is not None or decoder.outside:
                        continue
                    if decoder.blocked:
                        waiting = frozenset[int]() if last else self._grouped
                        groups, count, consumed = file.split(view[file.used :], offset + file.used, waiting, self._skip)
                        for part in self._parts(groups, count):
                            events = self._converted(part, count)
                            if self._turned:
                                yield self._cleared(part[0].records[:1])
                            self._recount()
                            yield from whole_messages(events, self._chunk)
                        file.used += consumed
                    if not consumed and not full:
                        break
        except CorruptDataError:
            self._recount()
            yield from whole_messages(out[:n], self._chunk)
            raise
        self._recount()
        yield from whole_messages(out[:n], self._chunk)

    def _parts(self, groups: list[Group], count: int) -> Iterator[list[Group]]:
        """Cut the records of a piece where the symbols of instruments become others."""
        cuts: list[int] = []
        if self._names.several and groups:
            spans = np.zeros(count, np.intp)
            known = np.zeros(count, bool)
            for group in groups:
                spans[group.places], known[group.places] = self._names.spans(group.records), True
            at = np.flatnonzero(known)
            cuts += at[1:][spans[at[1:]] != spans[at[:-1]]].tolist()
        told: dict[int, str] = {}
        holder: dict[str, int] = {}
        renaming = [(place, i, s) for g in groups if g.rtype in _NAMING for place, i, s in zip(g.places.tolist(), *_said(g), strict=True)]
        for place, instrument, symbol in sorted(renaming):
            moved = told.get(instrument, symbol) != symbol or holder.get(symbol, instrument) != instrument
            if moved or self._names.renames(instrument, symbol):
                cuts.append(place)
            told[instrument], holder[symbol] = symbol, instrument
        if not cuts:
            yield groups
            return
        for start, end in pairwise([0, *sorted(cuts), count]):
            part = []
            for group in groups:
                own = (group.places >= start) & (group.places < end)
                if own.any():
                    part.append(Group(group.rtype, group.places[own], group.offsets[own], group.records[own]))
            if part:
                yield part

    def _converted(self, groups: list[Group], count: int) -> Events:
        """Events of the records of a part of a piece, in their order."""
        made: list[tuple[npt.NDArray[np.int64] | None, Events, npt.NDArray[np.int64] | None]] = []
        if self._names.several and groups:
            self._begin(int(self._names.spans(groups[0].records[:1])[0]))
        for group in groups:  # names come before the records that they belong to
            self._take_names(group)
        ids = [(g.offsets, _key(g)) for g in groups if g.rtype not in _OF_NOTHING]
        if len(ids) > 1:  # rows in the order of the file
            offsets, keys = (np.concatenate(parts) for parts in zip(*ids, strict=True))
            self._rows_of(keys[np.argsort(offsets)])
        for group in groups:
            rtype, at, _, records = group
            if rtype in _OF_NOTHING:
                self._count(NAMES[rtype], len(records))
                continue
            symbol_ids = self._rows_of(_key(group))
            if rtype in LENGTHS:
                made.append((at, *self._compiled(group, symbol_ids)))
                continue
            if rtype in _BY_ACTION:
                letters = actions(records)
                for letter in "ACMRTFN":
                    self._count(f"{NAMES[rtype]} {letter}", int(np.count_nonzero(letters == ord(letter))))
            else:
                self._count(NAMES[rtype], len(records))
            if rtype in CONVERT:
                wanted = symbol_ids != NO_SYMBOL
                if not wanted.all():
                    at = np.flatnonzero(wanted) if at is None else at[wanted]
                    records, symbol_ids = records[wanted], symbol_ids[wanted]
                block = Block(rtype, records, at, symbol_ids, rtype in self._grouped, self._depth)
                made.append((at, *CONVERT[rtype](block)))
        if len(made) == 1 and made[0][0] is None:
            return made[0][1]
        return assemble(made, count)

    def _compiled(self, group: Group, symbol_ids: npt.NDArray[np.uint32]) -> Made:
        """Events of records that the decoder knows, those with an unknown action or side left out."""
        rtype, at, offsets, records = group
        size = records.dtype.itemsize
        data = np.ascontiguousarray(records).view(np.uint8)
        counts = (symbol_ids != NO_SYMBOL).astype(np.int64)
        if rtype == _MBP1:
            counts[actions(records) == ord("T")] *= 2
        events = np.empty(int(counts.sum()) + 2, EVENT_DTYPE)
        n = done = 0
        while done < len(data):
            made, used = self._decoder.decode(data[done:], events[n:], True)
            n, done = n + made, done + used
            if self._decoder.blocked:
                row = done // size
                values = records[["action", "side"]][row : row + 1].tolist()
                self._skip("a record must have a known action and side", offsets[row : row + 1], values)
                counts[row] = 0
                done += size
        if at is not None:  # records are joined only where nothing lies between them
            ends = (np.cumsum(counts) - 1)[:-1]
            apart = (at[1:] != at[:-1] + 1) & (counts[:-1] > 0)
            events["flags"][ends[apart]] &= ~np.uint16(CONTINUED)
        return events[:n], counts

    def _recount(self) -> None:
        """Messages are those of both ways together."""
        self.messages = dict(self._counted)
        for name, count in self._decoder.counts.items():
            self.messages[name] = self.messages.get(name, 0) + count

    def _count(self, name: str, n: int) -> None:
        if n:
            self._counted[name] = self._counted.get(name, 0) + n

    def _take_names(self, group: Group) -> None:
        """What definitions and mappings say, once for each of their records."""
        if group.rtype not in _NAMING:
            return
        for instrument, symbol in zip(*_said(group), strict=True):
            if self._names.renames(instrument, symbol):
                self._names.tell(instrument, symbol)
                self._begin(self._names.span)
            self._names.tell(instrument, symbol)
        if group.rtype == _DEFINITION:
            instruments, steps = (group.records[name].tolist() for name in ("instrument_id", "min_price_increment"))
            self._steps.update(zip(instruments, steps, strict=True))
            rows = self._rows_of(_key(group))
            for row, step in zip(rows.tolist(), steps, strict=True):
                if row != NO_SYMBOL and 0 < step < _UNDEF_PRICE:
                    self.increments[row] = step

    def _begin(self, span: int) -> None:
        """Look up the rows of instruments anew: from here on they have other symbols."""
        self._rows.clear()
        self._taken.clear()
        self._decoder.hold(*self._names.begin(span))

    def _rows_of(self, keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint32]:
        """Rows of instruments, ``NO_SYMBOL`` for those that are not wanted."""
        if len(keys) and (keys == keys[0]).all():  # nearly always
            return np.full(len(keys), self._row_of(*divmod(int(keys[0]), 1 << 32)), np.uint32)
        distinct, first, places = np.unique(keys, return_index=True, return_inverse=True)
        rows = np.empty(len(distinct), np.uint32)
        for i in np.argsort(first).tolist():
            rows[i] = self._row_of(*divmod(int(distinct[i]), 1 << 32))
        return rows[places]

    def _row_of(self, publisher: int, instrument: int) -> int:
        """Row of an instrument, which the decoder is told too; ``NO_SYMBOL`` where it is not wanted."""
        known = self._rows.get((publisher, instrument))
        if known is not None:
            return known
        row = NO_SYMBOL
        if publisher == _ALL or self._publisher in (None, publisher):
            name = self._names.symbol(instrument)
            if publisher not in (_ALL, self._first.setdefault(name, publisher)):
                name = f"{name}@{publisher}"
            if self._taken.setdefault(name, instrument) != instrument:
                name = f"{name}#{instrument}"
            step = self._steps.get(instrument, 0)
            row = self._row(name, TICK_SIZE, increment_ticks=step if 0 < step < 1 << 31 else None)
            if self._before.setdefault(row, instrument) != instrument:
                self._before[row] = instrument
                self._depth.forget(row)
                if self.book == "orders":
                    self._turned.append(row)
            if self.wanted is not None and self.instruments[row].symbol not in self.wanted:
                row = NO_SYMBOL
        self._rows[publisher, instrument] = row
        if publisher != _ALL:
            self._decoder.set_symbol_id(publisher, instrument, None if row == NO_SYMBOL else row)
        return row

    def _cleared(self, records: Records) -> Events:
        """Clear the books that are now of another instrument, at the time of a record."""
        events = np.zeros(len(self._turned), EVENT_DTYPE)
        events["symbol_id"], events["kind"], events["price"] = self._turned, KINDS["clear"], NO_PRICE
        events["exch_ns"] = times(records["ts_event"])[0]
        events["local_ns"] = times(records["ts_recv" if "ts_recv" in (records.dtype.names or ()) else "ts_event"])[0]
        self._turned = []
        return events

    def close(self) -> None:
        """Release the file; the feed ends."""
        super().close()
        self._file.close()

    @classmethod
    def recognise(cls, head: bytes, path: Path) -> bool:
        """By the metadata; a fragment, or the older format, by its name and a record that makes sense."""
        if head[:3] == b"DBN" and len(head) > 3 and 1 <= head[3] < 32:
            return True
        if head[1:4] == b"*M\x18" and head[8:11] == b"DBZ":
            return True
        return (".dbn" in path.suffixes or path.suffix == ".dbz") and len(head) >= 16 and head[1] in NAMES and head[0] >= 4


def _key(group: Group) -> npt.NDArray[np.uint64]:
    """Publisher and instrument of each record, the latter in the lower 32 bits."""
    publishers = np.uint64(_ALL) if group.rtype in _CONSOLIDATED else group.records["publisher_id"].astype(np.uint64)
    return publishers << np.uint64(32) | group.records["instrument_id"]


def _said(group: Group) -> tuple[list[int], list[str]]:
    """Instruments and the symbols that records give them."""
    records, instruments = group.records, group.records["instrument_id"].tolist()
    if group.rtype == _DEFINITION:
        return instruments, [symbol.decode("utf-8", "replace") for symbol in records["raw_symbol"].tolist()]
    pairs = zip(instruments, records["stype_in_symbol"].tolist(), records["stype_out_symbol"].tolist(), strict=True)
    return instruments, [(out if name == b"%d" % i else name).decode("utf-8", "replace") for i, name, out in pairs]
