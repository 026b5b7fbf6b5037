"""Databento Binary Encoding (DBN), versions 1 to 3, plain or Zstandard, as event arrays.

The metadata and the layouts of the records are those of `databento_dbn` (extra ``feeds``). Records of orders, trades and best
prices are converted by ``fastcore.wire.dbn``, the others are viewed in place and converted a block at a time. Prices are the
format's own: 1e-9 of the currency, so one tick is 1e-9 for every instrument and nothing is rounded.
Instruments have the symbols that metadata, mappings and definitions give them before their first event comes, or their numbers;
an instrument keeps the row that it got. ``exch_ns`` is ts_event, ``local_ns`` ts_recv, ``seq`` the
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
mbo F               notice, payload ``F``, size, order_id, price: the cancel or modify that follows changes the book
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

``continued`` joins the records of one venue event: a record without the flag LAST whose successor has its instrument and
time. Records of a snapshot have the flag ``snapshot`` and are not joined. Fields that are undefined become NO_PRICE or 0.

The format before DBN (``.dbz``) has the same records; its metadata, which only a query needs, is not read, so that
instruments have their numbers for names.

Source: DBN specification, version 3 (struct layouts, record flags, side and action).
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fastcore.errors import CorruptDataError
from fastcore.instruments import Instruments
from fastcore.records import EVENT_DTYPE, NO_SYMBOL
from fastcore.wire.dbn import LENGTHS, DbnDecoder

from ._dbn_events import CONVERT, Block, Depth, Made, actions, assemble
from ._dbn_records import NAMES, Group, RecordFile, Records
from ._ids import IdMap
from ._levels import CONTINUED
from .feed import Events, Feed, Progress, check_chunk_events, whole_messages

__all__ = ["TICK_SIZE", "DbnFeed"]

TICK_SIZE = 1e-9
_UNDEF_PRICE = np.iinfo(np.int64).max
_WAIT = 4096  # records that may wait for the end of their venue event
_BUFFER = 2 * _WAIT  # events at once: room for the longest message that is waited for, and they stay in the cache
_MBP1, _DEFINITION, _ERROR, _MAPPING, _SYSTEM = 1, 19, 21, 22, 23
_GROUPED = frozenset({160, 1, 10, 177})  # whose records may be parts of one venue event
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
    ) -> None:
        super().__init__(path, instruments, wanted)
        check_chunk_events(chunk_events)
        self.strict = strict
        self.increments: dict[int, int] = {}
        self._chunk = chunk_events
        self._file = RecordFile(self.path, ts_out, progress)
        self.metadata = self._file.metadata
        self._symbols = self._file.symbols
        self._steps: dict[int, int] = {}  # increments of instruments that have no row yet
        self._ids = IdMap()
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
        """Go on with the names and levels of the part before."""
        if isinstance(previous, DbnFeed):
            self._symbols = previous._symbols | self._symbols
            self._depth = previous._depth

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
        try:
            for view, offset, last in file.pieces():
                # What comes by the million is compiled; from the first other record on, the types of the piece come one by one.
                while True:
                    made, consumed = decoder.decode(view[file.used :], out[n:], last)
                    file.used += consumed
                    n += made
                    if decoder.unknown is not None:
                        self._ids.rows(np.array([decoder.unknown], np.uint32), self._row_of)
                        continue
                    full = n > len(out) - _WAIT - 2
                    if full or (n and decoder.blocked):
                        self._recount()
                        yield from whole_messages(out[:n], self._chunk)
                        out, n = np.empty(_BUFFER, EVENT_DTYPE), 0
                    if decoder.blocked:
                        waiting = frozenset[int]() if last else self._grouped
                        groups, count, consumed = file.split(view[file.used :], offset + file.used, waiting, self._skip)
                        events = self._converted(groups, count)
                        file.used += consumed
                        self._recount()
                        yield from whole_messages(events, self._chunk)
                    if not consumed and not full:
                        break
        except CorruptDataError:
            self._recount()
            yield from whole_messages(out[:n], self._chunk)
            raise
        self._recount()
        yield from whole_messages(out[:n], self._chunk)

    def _converted(self, groups: list[Group], count: int) -> Events:
        """Events of the records of a piece, in their order."""
        made: list[tuple[npt.NDArray[np.int64] | None, Events, npt.NDArray[np.int64] | None]] = []
        for group in groups:  # names come before the records that they belong to
            self._take_names(group)
        ids = [(g.offsets, g.records["instrument_id"]) for g in groups if g.rtype not in (_ERROR, _SYSTEM)]
        if len(ids) > 1:  # rows in the order of the file
            offsets, instruments = (np.concatenate(parts) for parts in zip(*ids, strict=True))
            self._ids.rows(instruments[np.argsort(offsets)], self._row_of)
        for group in groups:
            rtype, at, _, records = group
            if rtype in (_ERROR, _SYSTEM):  # of no instrument
                self._count(NAMES[rtype], len(records))
                continue
            symbol_ids = self._ids.rows(records["instrument_id"], self._row_of)
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
        records = group.records
        if group.rtype not in (_DEFINITION, _MAPPING):
            return
        symbols = records["raw_symbol" if group.rtype == _DEFINITION else "stype_in_symbol"].tolist()
        for instrument, symbol in zip(records["instrument_id"].tolist(), symbols, strict=True):
            self._symbols[instrument] = symbol.decode("utf-8", "replace")
        if group.rtype == _DEFINITION:
            self._steps.update(zip(records["instrument_id"].tolist(), records["min_price_increment"].tolist(), strict=True))
            rows = self._ids.rows(records["instrument_id"], self._row_of)
            for row, step in zip(rows.tolist(), records["min_price_increment"].tolist(), strict=True):
                if row != NO_SYMBOL and 0 < step < _UNDEF_PRICE:
                    self.increments[row] = step

    def _row_of(self, instrument: int) -> int:
        """Row of an instrument, which the decoder is told too; ``NO_SYMBOL`` where it is not wanted."""
        symbol, step = self._symbols.get(instrument, str(instrument)), self._steps.get(instrument, 0)
        row = self._row(symbol, TICK_SIZE, increment_ticks=step if 0 < step < 1 << 31 else None)
        wanted = self.wanted is None or self.instruments[row].symbol in self.wanted
        self._decoder.set_symbol_id(instrument, row if wanted else None)
        return row if wanted else NO_SYMBOL

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
