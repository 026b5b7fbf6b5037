"""Databento Binary Encoding (DBN), versions 1 to 3, plain or Zstandard, as event arrays.

The metadata and the layouts of the records are those of `databento_dbn` (extra ``feeds``). Records of orders, trades and best
prices are converted by ``fastcore.wire.dbn``, the others are viewed in place and converted a block at a time. Prices are the
format's own: 1e-9 of the currency, so one tick is 1e-9 for every instrument and nothing is rounded.
``symbol_id`` is the instrument id, ``exch_ns`` is ts_event, ``local_ns`` ts_recv, ``seq`` the
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
status              status: letter of the state as in ITCH (T, H, P, Q, or 0), reason, trading event, action
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
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fastcore.errors import CorruptDataError
from fastcore.records import EVENT_DTYPE, KINDS, NO_PRICE
from fastcore.wire.dbn import DbnDecoder

from ._files import extra, pieces
from ._levels import CONTINUED, SNAPSHOT, Rows, level_changes, place
from .feed import RAW, Events, Feed, Instrument, Progress, whole_messages

__all__ = ["TICK_SIZE", "DbnFeed"]

TICK_SIZE = 1e-9
Records = npt.NDArray[np.void]

_UNDEF_PRICE = np.iinfo(np.int64).max
_UNDEF_TIME = np.iinfo(np.uint64).max
_F_LAST, _F_SNAPSHOT = 128, 32
_WAIT = 4096  # records that may wait for the end of their venue event
_SEAM = 1 << 14  # bytes of a piece that are joined to the rest of the one before
_BUFFER = 2 * _WAIT  # events at once: room for the longest message that is waited for, and they stay in the cache
_BLOCK = 8192  # records converted at once: they and their events stay in the cache

_NAMES = {
    0: "trades", 1: "mbp-1", 10: "mbp-10", 17: "ohlcv", 18: "status", 19: "definition", 20: "imbalance", 21: "error",
    22: "mapping", 23: "system", 24: "statistics", 32: "ohlcv-1s", 33: "ohlcv-1m", 34: "ohlcv-1h", 35: "ohlcv-1d",
    36: "ohlcv-eod", 160: "mbo", 177: "cmbp-1", 192: "cbbo-1s", 193: "cbbo-1m", 194: "tcbbo", 195: "bbo-1s", 196: "bbo-1m",
    197: "tbbo",
}  # fmt: skip
_INTERVAL_NS = {17: 0, 32: 10**9, 33: 60 * 10**9, 34: 3600 * 10**9, 35: 86_400 * 10**9, 36: 86_400 * 10**9}
_GROUPED = frozenset({160, 1, 10, 177})  # whose records may be parts of one venue event
_SAMPLED = {192, 193, 195, 196}
_STATES = np.zeros(16, np.int64)
_STATES[[3, 7, 8, 9, 10]] = [ord(letter) for letter in "QTHPP"]


@cache
def _layouts() -> dict[tuple[int, int], np.dtype[np.void]]:
    """Layout by record type and size: where versions differ, so do the sizes."""
    dbn = extra("databento_dbn")
    classes = {
        0: [dbn.TradeMsg], 1: [dbn.MBP1Msg], 10: [dbn.MBP10Msg], 18: [dbn.StatusMsg], 20: [dbn.ImbalanceMsg],
        19: [dbn.InstrumentDefMsg, dbn.v1.InstrumentDefMsg, dbn.v2.InstrumentDefMsg], 21: [dbn.ErrorMsg, dbn.v1.ErrorMsg],
        22: [dbn.SymbolMappingMsg, dbn.v1.SymbolMappingMsg], 23: [dbn.SystemMsg, dbn.v1.SystemMsg],
        24: [dbn.StatMsg, dbn.v1.StatMsg], 160: [dbn.MBOMsg], 177: [dbn.CMBP1Msg], 194: [dbn.CMBP1Msg], 192: [dbn.CBBOMsg],
        193: [dbn.CBBOMsg], 195: [dbn.BBOMsg], 196: [dbn.BBOMsg], 197: [dbn.MBP1Msg],
        **{rtype: [dbn.OHLCVMsg] for rtype in _INTERVAL_NS},
    }  # fmt: skip
    return {(rtype, (dtype := np.dtype(c._dtypes)).itemsize): dtype for rtype, group in classes.items() for c in group}


def _mbo_words() -> npt.NDArray[np.int64]:
    """Kind and side of an event, in place within its fourth word, by action and side bytes of a record."""
    words = np.zeros(1 << 16, np.int64)
    kinds = {"A": "add", "C": "cancel", "M": "replace", "R": "clear", "T": "trade", "F": "notice", "N": "notice"}
    for action, kind in kinds.items():
        for letter, side in (("B", 1), ("A", -1), ("N", 0)):
            side = -side if action == "T" else side
            words[ord(action) | ord(letter) << 8] = (KINDS[kind] | (side & 0xFF) << 8) << 32
    return words


_MBO_WORDS = _mbo_words()


class DbnFeed(Feed):
    """A DBN file or fragment as events.

    Parameters
    ----------
    path : path
        With metadata, or a fragment that begins with a record; gzip and Zstandard are recognised.
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
        Minimum price increment in ticks by instrument, from the definitions read so far.

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
        progress: Progress | None = None,
        chunk_events: int = 65_536,
        strict: bool = False,
        ts_out: bool = False,
    ) -> None:
        super().__init__(path)
        if chunk_events < 1:
            raise ValueError(f"chunk_events must be at least 1: chunk_events={chunk_events}")
        self.strict = strict
        self.metadata: Any = None
        self.increments: dict[int, int] = {}
        self._chunk = chunk_events
        self._pieces = pieces(self.path, progress=progress)
        self._ts_out = ts_out
        self._known = np.zeros(1 << 16, bool)  # instrument ids below 2**22 that have an entry
        self._depth_ids = np.zeros(0, np.uint32)  # instruments with a row of levels, ascending
        self._depth_rows = np.zeros((0, 4, 10), np.int64)
        self._names: dict[int, str] = {}
        self._behind = 0
        self._used = 0  # bytes of the piece at hand
        self._offsets = np.zeros(0, np.int64)  # of the records that are converted
        self._counted: dict[str, int] = {}  # records converted by NumPy
        self._pool: list[Events] = []
        _layouts()
        self._start = self._read_metadata()
        rtype = self._start[1] if len(self._start) > 1 else -1
        schema = str(self.metadata.schema) if self.metadata is not None else _NAMES.get(rtype, "")
        # The records of trades have no LAST, and nothing follows that could have it.
        self._grouped = frozenset() if schema in ("trades", "tbbo", "tcbbo") else _GROUPED
        if schema == "mbo":
            self.book = "orders"
        elif schema == "mbp-10":
            self.book = "levels"
        elif schema in ("mbp-1", "tbbo") or "bbo" in schema or schema == "cmbp-1":
            self.book = "quotes"

    def _read_metadata(self) -> bytes:
        """Read the metadata, if there is any; return the bytes behind it."""
        head = b""
        need = 8
        while len(head) < need:
            try:
                head += next(self._pieces)
            except StopIteration:
                break
            if head[:3] == b"DBN" and len(head) >= 8:
                need = 8 + int.from_bytes(head[4:8], "little")
        if head[:3] != b"DBN":
            return head
        if len(head) < need:
            raise CorruptDataError(f"the metadata of a DBN file must be whole: path={self.path} bytes={len(head)} needed={need}")
        dbn = extra("databento_dbn")
        try:
            self.metadata = dbn.Metadata.decode(head[:need], dbn.VersionUpgradePolicy.AS_IS)
        except (dbn.DBNError, ValueError) as error:
            raise CorruptDataError(f"the metadata of a DBN file must be valid: path={self.path} {error}") from error
        self._ts_out = bool(self.metadata.ts_out)
        for raw_symbol, intervals in self.metadata.mappings.items():
            for interval in intervals:
                if str(interval["symbol"]).isdigit():
                    self._names[int(interval["symbol"])] = raw_symbol
                elif raw_symbol.isdigit():
                    self._names[int(raw_symbol)] = str(interval["symbol"])
        self._behind = need
        return head[need:]

    # ---- records ----

    def records(self) -> Iterator[tuple[int, Records]]:
        """Iterate over the records themselves, instead of over events.

        Yields
        ------
        rtype : int
        ndarray
            Records of that type with the layout of `databento_dbn` (``_dtypes``; and ``ts_out`` where records carry it), in the
            order of the file. Types that alternate come in groups, one block of the file after the other.
        """
        for data, offset, _ in self._data():
            groups, _, self._used = self._split(data, offset, False)
            for rtype, _, _, records in groups:
                yield rtype, records

    def _data(self) -> Iterator[tuple[memoryview, int, bool]]:
        """Pieces that start with a record: (bytes, offset in the file, whether nothing follows); `_used` says what is done with."""
        rest, offset = self._start, self._behind
        failure: CorruptDataError | None = None
        last = False
        while not last:
            try:
                piece = next(self._pieces, b"")
            except CorruptDataError as error:
                piece, failure = b"", error
            last = not piece
            data = memoryview(piece)
            if rest and len(piece) > _SEAM:
                # A short piece over the seam, so that the long one need not be copied.
                self._used = 0
                yield memoryview(rest + piece[:_SEAM]), offset, False
                offset += self._used
                over = self._used - len(rest)
                data = data[over:] if over >= 0 else memoryview(rest[over:] + piece)
            elif rest:
                data = memoryview(rest + piece)
            self._used = 0
            if len(data):
                yield data, offset, last
            rest = bytes(data[self._used :])
            offset += self._used
            if len(rest) >= 4 and rest[0] < 4:
                where = f"path={self.path} offset={offset} (uncompressed)"
                raise CorruptDataError(f"a DBN record must be at least 16 bytes long: {where} length={4 * rest[0]}")
        if failure is not None:
            raise failure
        if rest:
            where = f"path={self.path} offset={offset} (uncompressed)"
            raise CorruptDataError(f"a DBN file must end with a whole record: {where} remaining={len(rest)}")

    def _split(self, data: memoryview, offset: int, hold: bool) -> tuple[list[_Group], int, int]:
        """Whole records at the start of `data`: groups by type, their number, and where the rest begins."""
        if len(data) < 16 or data[0] < 4:
            return [], 0, 0
        size = 4 * data[0]
        count = len(data) // size
        heads = np.ndarray((count,), "<u2", data, 0, (size,))  # length and type
        if count and (heads == heads[0]).all():
            layout = self._layout(data[1], size)
            if layout is None:
                self._unknown(np.arange(count) * size + offset, data[1], size)
                return [], 0, count * size
            records = np.frombuffer(data, layout, count)
            if hold and data[1] in self._grouped:
                count -= _open(records)
            return [(data[1], None, np.arange(count) * size, records[:count])], count, count * size
        view = np.frombuffer(data, np.uint8)
        starts, end = _walk(view[: len(view) // 4 * 4 : 4])
        groups: list[_Group] = []
        kinds = view[starts * 4].astype(np.int64) << 8 | view[starts * 4 + 1]
        for kind in np.unique(kinds):
            at = np.flatnonzero(kinds == kind)
            rtype, size = int(kind) & 255, int(kind) >> 8 << 2
            layout = self._layout(rtype, size)
            if layout is None:
                self._unknown(starts[at] * 4 + offset, rtype, size)
                continue
            rows = np.lib.stride_tricks.sliding_window_view(view, size)[starts[at] * 4]
            groups.append((rtype, at, starts[at] * 4, np.ascontiguousarray(rows).view(layout)[:, 0]))
        return groups, len(starts), int(end) * 4

    def _unknown(self, offsets: npt.NDArray[np.int64], rtype: int, size: int) -> None:
        self._skip("a record must have a known type and length", offsets, [f"type={rtype} length={size}"] * len(offsets))

    def _layout(self, rtype: int, size: int) -> np.dtype[np.void] | None:
        layout = _layouts().get((rtype, size - 8 * self._ts_out))
        if layout is not None and self._ts_out:
            layout = np.dtype([*layout.descr, ("ts_out", "u8")])
        return layout

    # ---- events ----

    def _arrays(self) -> Iterator[Events]:
        decoder = DbnDecoder(self._ts_out, bool(self._grouped))
        out = self._room()
        n = 0
        try:
            for view, offset, last in self._data():
                # What comes by the million is compiled; from the first other record on, the piece is left to NumPy.
                while True:
                    made, consumed = decoder.decode(view[self._used :], out[n:], last)
                    self._used += consumed
                    n += made
                    if len(ids := decoder.take_instruments()):
                        self._name(ids)
                    if n > len(out) - _WAIT - 2:
                        self._recount(decoder)
                        yield from whole_messages(out[:n], self._chunk)
                        out, n = self._room(), 0
                    elif not consumed:
                        break
                if decoder.blocked:
                    self._recount(decoder)
                    if n:
                        yield from whole_messages(out[:n], self._chunk)
                        out, n = self._room(), 0
                    groups, count, end = self._split(view[self._used :], offset + self._used, not last)
                    arrays = list(self._converted(groups, count, offset + self._used))
                    self._used += end
                    self._recount(decoder)
                    yield from arrays
        except CorruptDataError:
            self._recount(decoder)
            yield from whole_messages(out[:n], self._chunk)
            raise
        self._recount(decoder)
        yield from whole_messages(out[:n], self._chunk)

    def _room(self) -> Events:
        """Memory for events: what was yielded before and nobody holds any more, or new."""
        for out in self._pool:
            if sys.getrefcount(out) <= 3:  # the pool's, this name's and the call's own: no array is a view of it
                return out
        out = np.empty(_BUFFER, EVENT_DTYPE)
        if len(self._pool) < 4:
            self._pool.append(out)
        return out

    def _converted(self, groups: list[_Group], count: int, offset: int) -> Iterator[Events]:
        """Events of the records of a piece, in their order."""
        convert = {0: self._trades, 10: self._depth, 18: self._status, 19: self._definitions, 22: self._mappings, 160: self._mbo}
        convert |= dict.fromkeys((1, 177, 194, 197), self._quotes) | dict.fromkeys(_SAMPLED, self._samples)
        convert |= dict.fromkeys(_INTERVAL_NS, self._bars)
        made: list[tuple[npt.NDArray[np.int64] | None, Events, npt.NDArray[np.int64] | None]] = []
        for rtype, at, starts, records in groups:
            self._offsets = starts + offset
            self._enter(records["instrument_id"])
            if rtype in convert:
                made.append((at, *convert[rtype](rtype, records, at)))
            else:
                self._count(_NAMES[rtype], len(records))
        if len(made) == 1 and made[0][0] is None:
            yield from whole_messages(made[0][1], self._chunk)
        elif made:
            yield from whole_messages(_assemble(made, count), self._chunk)

    def _recount(self, decoder: DbnDecoder) -> None:
        """Messages are those of both ways together."""
        self.messages = dict(self._counted)
        for name, count in decoder.counts.items():
            self.messages[name] = self.messages.get(name, 0) + count

    def _count(self, name: str, n: int) -> None:
        if n:
            self._counted[name] = self._counted.get(name, 0) + n

    def _count_actions(self, name: str, actions: npt.NDArray[np.uint8]) -> None:
        for letter in "ACMRTFN":
            self._count(f"{name} {letter}", int(np.count_nonzero(actions == ord(letter))))

    def _enter(self, ids: npt.NDArray[np.uint32]) -> None:
        """Give each instrument an entry before its first event."""
        known = self._known
        if not len(ids):
            return
        top = int(ids.max())
        if top < 1 << 22:
            if top >= len(known):
                known = self._known = np.concatenate([known, np.zeros(2 * top + 1 - len(known), bool)])
            if known[ids].all():
                return
            new = np.unique(ids[~known[ids]])
            known[new] = True
        else:
            new = np.unique(ids)
        self._name(new)

    def _name(self, ids: npt.NDArray[np.uint32]) -> None:
        for instrument in ids.tolist():  # once for each instrument
            if instrument not in self.instruments:
                self.instruments[instrument] = Instrument(self._names.get(instrument, str(instrument)), TICK_SIZE, 1.0)

    def _mbo(self, rtype: int, records: Records, at: _Positions) -> _Made:
        n = len(records)
        events = np.empty(n, EVENT_DTYPE)
        words = events.view(np.int64).reshape(n, 8)
        fields = np.ndarray((n, 7), np.int64, records, 0, (records.dtype.itemsize, 8))
        for start in range(0, n, _BLOCK):
            _mbo_events(fields[start : start + _BLOCK], words[start : start + _BLOCK])
        action = np.ascontiguousarray(records["action"]).view(np.uint8)
        self._count_actions("mbo", action)
        words[_joined(records, at), 3] |= CONTINUED << 48
        moved = np.flatnonzero(action == ord("M"))
        words[moved, 7] = words[moved, 6]
        told = np.flatnonzero((action == ord("F")) | (action == ord("N")))
        words[told, 7] = words[told, 4]
        words[told, 4] = action[told]
        if records["ts_event"].max(initial=0) == _UNDEF_TIME:
            words[records["ts_event"] == _UNDEF_TIME, 1] = 0
        unknown = events["kind"] == 0
        if unknown.any():
            where = np.flatnonzero(unknown)
            self._skip("a record must have a known action and side", self._offsets[where], records[["action", "side"]][where].tolist())
            lone = where[(words[where, 3] >> 48 & CONTINUED) == 0]  # the record before them ends the message then
            words[lone[lone > 0] - 1, 3] &= ~(CONTINUED << 48)
            return events[~unknown], (~unknown).astype(np.int64)
        return events, None

    def _base(self, records: Records, counts: npt.NDArray[np.int64] | None = None) -> Events:
        """Events with the header of their records; `counts` of them for each record."""
        source = np.zeros(len(records), EVENT_DTYPE)
        source["exch_ns"] = _times(records["ts_event"])
        names = records.dtype.names or ()
        if "ts_recv" in names:
            source["local_ns"] = _times(records["ts_recv"])
        if "sequence" in names:
            source["seq"] = records["sequence"]
        source["symbol_id"] = records["instrument_id"]
        return source if counts is None else np.repeat(source.view(RAW), counts).view(EVENT_DTYPE)

    def _trades(self, rtype: int, records: Records, at: _Positions) -> _Made:
        action = np.ascontiguousarray(records["action"]).view(np.uint8)
        self._count_actions(_NAMES[rtype], action)
        events = self._base(records)
        events["kind"] = KINDS["trade"]
        _print(events, records, np.arange(len(records)), np.arange(len(records)))
        return events, None

    def _quotes(self, rtype: int, records: Records, at: _Positions) -> _Made:
        action = np.ascontiguousarray(records["action"]).view(np.uint8)
        self._count_actions(_NAMES[rtype], action)
        prints = action == ord("T")
        counts = 1 + prints.astype(np.int64)
        events = self._base(records, counts)
        ends = np.cumsum(counts)
        first = ends - counts
        _best(events, records, first)
        _print(events, records, ends[prints] - 1, np.flatnonzero(prints))
        if rtype in self._grouped:
            events["flags"][ends[_joined(records, at)] - 1] |= CONTINUED
        events["flags"][first[prints]] |= CONTINUED
        return events, counts

    def _samples(self, rtype: int, records: Records, at: _Positions) -> _Made:
        self._count(_NAMES[rtype], len(records))
        events = self._base(records)
        events["exch_ns"] = events["local_ns"]
        _best(events, records, np.arange(len(records)))
        return events, None

    def _depth(self, rtype: int, records: Records, at: _Positions) -> _Made:
        n = len(records)
        action = np.ascontiguousarray(records["action"]).view(np.uint8)
        self._count_actions(_NAMES[rtype], action)
        rows = np.empty((n, 4, 10), np.int64)  # ask prices, ask sizes, bid prices, bid sizes
        for i in range(10):
            rows[:, 0, i], rows[:, 2, i] = records[f"ask_px_{i:02}"], records[f"bid_px_{i:02}"]
            rows[:, 1, i], rows[:, 3, i] = records[f"ask_sz_{i:02}"], records[f"bid_sz_{i:02}"]
        rows[:, 1][rows[:, 0] == _UNDEF_PRICE] = 0
        rows[:, 3][rows[:, 2] == _UNDEF_PRICE] = 0
        before, fresh = self._previous(np.ascontiguousarray(records["instrument_id"]), rows)
        row, side, price, size = level_changes(_sides(before), _sides(rows))
        prints = action == ord("T")
        lead = prints + fresh.astype(np.int64)  # a trade, and the clear of a first image
        counts = lead + np.bincount(row, minlength=n)
        events = self._base(records, counts)
        starts, owner = place(counts)
        rank = np.arange(len(row)) - np.concatenate(([0], np.cumsum(np.bincount(row, minlength=n))[:-1]))[row]
        events["flags"] = np.where(fresh[owner], SNAPSHOT, 0)
        _print(events, records, starts[prints], np.flatnonzero(prints))
        clears = starts[fresh] + prints[fresh]
        events["kind"][clears] = KINDS["clear"]
        events["price"][clears] = NO_PRICE
        spots = starts[row] + lead[row] + rank
        events["kind"][spots] = KINDS["level"]
        for name, values in (("side", side), ("price", price), ("size", size)):
            events[name][spots] = values
        events["flags"] |= CONTINUED
        # A message ends with the last event of its records, some of which have none.
        closed = np.ones(n, bool)
        closed[_joined(records, at)] = False
        message = (np.cumsum(closed) - closed)[counts > 0]
        ends = (starts + counts - 1)[counts > 0]
        events["flags"][ends[np.append(message[1:] != message[:-1], True)[: len(ends)]]] &= ~np.uint16(CONTINUED)
        return events, counts

    def _previous(
        self, ids: npt.NDArray[np.uint32], rows: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """The row before each row of the same instrument, and where there is none (its values are 0)."""
        order = np.argsort(ids, kind="stable")
        ids, n = ids[order], len(order)
        first = np.ones(n, bool)
        first[1:] = ids[1:] != ids[:-1]
        before = np.empty_like(rows)
        before[order[1:]] = rows[order[:-1]]
        heads = np.flatnonzero(first)
        at = np.minimum(np.searchsorted(self._depth_ids, ids[heads]), max(len(self._depth_ids) - 1, 0))
        old = self._depth_ids[at] == ids[heads] if len(self._depth_ids) else np.zeros(len(heads), bool)
        fresh = np.zeros(n, bool)
        fresh[order[heads[~old]]] = True
        before[order[heads[~old]]] = 0
        before[order[heads[old]]] = self._depth_rows[at[old]]
        tails = np.append(heads[1:], n) - 1
        keep = ~np.isin(self._depth_ids, ids[heads])
        all_ids = np.concatenate([self._depth_ids[keep], ids[heads]])
        all_rows = np.concatenate([self._depth_rows[keep], rows[order[tails]]])
        sort = np.argsort(all_ids)
        self._depth_ids, self._depth_rows = all_ids[sort], all_rows[sort]
        return before, fresh

    def _bars(self, rtype: int, records: Records, at: _Positions) -> _Made:
        self._count(_NAMES[rtype], len(records))
        events = self._base(records, np.full(len(records), 2))
        events["kind"] = KINDS["bar"]
        events["exch_ns"] += _INTERVAL_NS[rtype]
        values = events.view(np.int64).reshape(-1, 8)[:, 4:]
        for i, name in enumerate(("open", "high", "low", "close")):
            values[::2, i] = _prices(records[name])
        values[1::2] = 0
        values[1::2, 0] = records["volume"]
        values[1::2, 1] = -1
        values[1::2, 2] = _INTERVAL_NS[rtype]
        events["flags"][::2] = CONTINUED
        return events, np.full(len(records), 2)

    def _status(self, rtype: int, records: Records, at: _Positions) -> _Made:
        self._count(_NAMES[rtype], len(records))
        events = self._base(records)
        events["kind"] = KINDS["status"]
        values = events.view(np.int64).reshape(-1, 8)[:, 4:]
        values[:, 0] = _STATES[np.minimum(records["action"], 15)]
        values[:, 1], values[:, 2], values[:, 3] = records["reason"], records["trading_event"], records["action"]
        return events, None

    def _definitions(self, rtype: int, records: Records, at: _Positions) -> _Made:
        self._count(_NAMES[rtype], len(records))
        symbols = records["raw_symbol"]
        for instrument, symbol, step in zip(  # one entry for each instrument is what the dictionaries are
            records["instrument_id"].tolist(), symbols.tolist(), records["min_price_increment"].tolist(), strict=True
        ):
            name = self._names[instrument] = symbol.decode("utf-8", "replace")
            self.instruments[instrument] = Instrument(name, TICK_SIZE, 1.0)
            if 0 < step < _UNDEF_PRICE:
                self.increments[instrument] = step
        events = self._base(records)
        events["kind"] = KINDS["listing"]
        lots = records["min_lot_size_round_lot"].astype(np.int64)
        padded = np.char.ljust(symbols.astype("S8"), 8)
        events["price"] = padded.astype("S8").view(np.int64)
        events["size"] = np.where((lots > 0) & (lots < 2**31 - 1), lots, 0)
        return events, None

    def _mappings(self, rtype: int, records: Records, at: _Positions) -> _Made:
        self._count(_NAMES[rtype], len(records))
        for instrument, symbol in zip(records["instrument_id"].tolist(), records["stype_in_symbol"].tolist(), strict=True):
            name = self._names[instrument] = symbol.decode("utf-8", "replace")
            self.instruments[instrument] = Instrument(name, TICK_SIZE, 1.0)
        return np.zeros(0, EVENT_DTYPE), np.zeros(len(records), np.int64)

    @classmethod
    def recognise(cls, head: bytes, path: Path) -> bool:
        """By the metadata; a fragment, or the older format, by its name and a record that makes sense."""
        if head[:3] == b"DBN" and len(head) > 3 and 1 <= head[3] < 32:
            return True
        if head[1:4] == b"*M\x18" and head[8:11] == b"DBZ":
            return True
        return (".dbn" in path.suffixes or path.suffix == ".dbz") and len(head) >= 16 and head[1] in _NAMES and head[0] >= 4


# Type, places among the records of the block (None: all of them), offsets in the block, records.
_Group = tuple[int, npt.NDArray[np.int64] | None, npt.NDArray[np.int64], Records]
_Positions = npt.NDArray[np.int64] | None
_Made = tuple[Events, npt.NDArray[np.int64] | None]


def _walk(lengths: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.int64], int]:
    """Where whole records start, in words of four bytes, and where the first that is not whole would start.

    Every word knows where the next record would be if one started there; following all of them at once, twice as far in
    each round, finds those that are reached from the start.
    """
    found = []
    at, n = 0, len(lengths)
    while at < n:
        window = lengths[at : at + _WAIT].astype(np.int64)
        m = len(window)
        jump = np.append(np.where(window < 4, m, np.minimum(np.arange(m) + window, m)), m)
        reached = np.zeros(1, np.int64)
        while (following := jump[reached])[0] < m or (following < m).any():
            reached = np.concatenate([reached, following[following < m]])
            jump = jump[jump]
        reached.sort()
        ends = reached + window[reached]
        whole = (window[reached] >= 4) & (at + ends <= n)
        found.append(reached[whole] + at)
        if not whole.all():
            return np.concatenate(found), at + int(reached[~whole][0])
        at += int(ends[-1])
    return np.concatenate(found), at


def _open(records: Records) -> int:
    """How many records at the end wait for the rest of their venue event."""
    tail = records[-_WAIT:]
    open_ = (tail["flags"] & (_F_LAST | _F_SNAPSHOT)) == 0
    open_[:-1] &= (tail["ts_event"][1:] == tail["ts_event"][:-1]) & (tail["instrument_id"][1:] == tail["instrument_id"][:-1])
    if open_.all():
        return 0  # an event without an end: better late than never
    return int(np.argmin(open_[::-1]))


def _joined(records: Records, at: _Positions) -> npt.NDArray[np.int64]:
    """Records whose successor belongs to the same venue event."""
    flags = records["flags"][:-1]
    i = np.flatnonzero((flags & np.uint8(_F_LAST | _F_SNAPSHOT)) == 0)
    time, instrument = records["ts_event"], records["instrument_id"]
    same = (time[i] == time[i + 1]) & (instrument[i] == instrument[i + 1])
    if at is not None:
        same &= at[i] + 1 == at[i + 1]
    return np.asarray(i[same])


def _mbo_events(fields: npt.NDArray[np.int64], words: npt.NDArray[np.int64]) -> None:
    """Convert mbo records, as rows of 7 words, into events, as rows of 8: word by word, so that no field is touched twice."""
    low = np.int64(0xFFFFFFFF)
    packed = fields[:, 4].copy()  # size u4, flags, channel, action, side
    price = fields[:, 3].copy()
    if len(price) and price.max() == _UNDEF_PRICE:
        price[price == _UNDEF_PRICE] = NO_PRICE
    words[:, 0] = fields[:, 6] >> 32 & low
    words[:, 1] = fields[:, 1]
    words[:, 2] = fields[:, 5]
    head = _MBO_WORDS[packed >> 48 & 0xFFFF]
    head |= fields[:, 0] >> 32 & low
    head |= (packed & (_F_SNAPSHOT << 32)) << (48 - 34)
    words[:, 3] = head
    words[:, 4] = price
    words[:, 5] = packed & low
    words[:, 6] = fields[:, 2]
    words[:, 7] = 0


def _times(times: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    return np.where(times == _UNDEF_TIME, 0, times.astype(np.int64))


def _prices(prices: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.where(prices == _UNDEF_PRICE, NO_PRICE, prices)


def _best(events: Events, records: Records, at: npt.NDArray[np.int64]) -> None:
    """Write the quotes of all records at positions of `events`."""
    events["kind"][at] = KINDS["quote"]
    values = events.view(np.int64).reshape(-1, 8)[:, 4:]
    for i, side in enumerate(("bid", "ask")):
        price = _prices(records[f"{side}_px_00"])
        values[at, i] = price
        values[at, i + 2] = np.where(price == NO_PRICE, 0, records[f"{side}_sz_00"])
    events["flags"][at] |= np.where(records["flags"] & _F_SNAPSHOT, SNAPSHOT, 0).astype(np.uint16)


def _print(events: Events, records: Records, at: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]) -> None:
    """Write the trades of some records at positions of `events`; the side becomes that of the resting order."""
    events["kind"][at] = KINDS["trade"]
    side = records["side"][rows]
    events["side"][at] = (side == b"A").astype(np.int8) - (side == b"B").astype(np.int8)
    events["price"][at] = _prices(records["price"][rows])
    events["size"][at] = records["size"][rows]


def _sides(rows: npt.NDArray[np.int64]) -> tuple[Rows, Rows, Rows, Rows]:
    return rows[:, 0], rows[:, 1], rows[:, 2], rows[:, 3]


def _assemble(made: list[tuple[_Positions, Events, npt.NDArray[np.int64] | None]], count: int) -> Events:
    """Put the events of several types back into the order of their records."""
    counts = np.zeros(count, np.int64)
    for at, _, each in made:
        counts[at] = 1 if each is None else each
    starts, _ = place(counts)
    out = np.empty(int(counts.sum()), RAW)
    for at, events, each in made:
        if each is None:
            out[starts[at]] = events.view(RAW)
        else:
            first, owner = place(each)
            out[starts[at][owner] + np.arange(len(events)) - first[owner]] = events.view(RAW)
    return out.view(EVENT_DTYPE)
