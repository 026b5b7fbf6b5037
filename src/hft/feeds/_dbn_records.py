"""Databento DBN files as records: metadata, layouts, and the records of a piece grouped by type.

Source: DBN specification, version 3 (struct layouts); the layouts are those of `databento_dbn`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastcore.errors import CorruptDataError

from ._files import extra, pieces
from .feed import Progress

__all__ = ["F_LAST", "F_SNAPSHOT", "INTERVAL_NS", "NAMES", "Group", "RecordFile", "Records"]

Records = npt.NDArray[np.void]
Positions = npt.NDArray[np.int64]
Skip = Callable[[str, Positions, list[str]], None]

F_LAST, F_SNAPSHOT = 128, 32
_WAIT = 4096  # records that may wait for the end of their venue event
_MOST_METADATA = 1 << 26  # bytes: hundreds of thousands of symbols
_SEAM = 1 << 14  # bytes of a piece that are joined to the rest of the one before

NAMES = {
    0: "trades", 1: "mbp-1", 10: "mbp-10", 17: "ohlcv", 18: "status", 19: "definition", 20: "imbalance", 21: "error",
    22: "mapping", 23: "system", 24: "statistics", 32: "ohlcv-1s", 33: "ohlcv-1m", 34: "ohlcv-1h", 35: "ohlcv-1d",
    36: "ohlcv-eod", 160: "mbo", 177: "cmbp-1", 192: "cbbo-1s", 193: "cbbo-1m", 194: "tcbbo", 195: "bbo-1s", 196: "bbo-1m",
    197: "tbbo",
}  # fmt: skip
INTERVAL_NS = {17: 0, 32: 10**9, 33: 60 * 10**9, 34: 3600 * 10**9, 35: 86_400 * 10**9, 36: 86_400 * 10**9}


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
        **{rtype: [dbn.OHLCVMsg] for rtype in INTERVAL_NS},
    }  # fmt: skip
    return {(rtype, (dtype := np.dtype(c._dtypes)).itemsize): dtype for rtype, group in classes.items() for c in group}


class Group(NamedTuple):
    """Records of one type in a piece.

    Attributes
    ----------
    rtype : int
    at : ndarray of int64, optional
        Their places among the records of the piece; None where they are all of them.
    offsets : ndarray of int64
        In the file.
    records : ndarray
    """

    rtype: int
    at: Positions | None
    offsets: Positions
    records: Records

    @property
    def places(self) -> Positions:
        """Their places, also where they are all."""
        return np.arange(len(self.records)) if self.at is None else self.at


class RecordFile:
    """The records of a file.

    Parameters
    ----------
    path : Path
    ts_out : bool
        Of a fragment: records carry the send time at their end. Metadata says so itself.
    progress : callable(done, total), optional

    Attributes
    ----------
    metadata : databento_dbn.Metadata or None
    schema : str
        By the metadata, or the first record of a fragment.
    used : int
        Bytes of the piece at hand that are done with: set by whoever reads `pieces`.
    """

    def __init__(self, path: Path, ts_out: bool, progress: Progress | None) -> None:
        _layouts()
        self.path, self.ts_out, self.used = path, ts_out, 0
        self.metadata: Any = None
        self._pieces = pieces(path, progress=progress)
        self._behind = 0  # the metadata
        self._start = self._read_metadata()
        first = self._start[1] if len(self._start) > 1 else -1
        self.schema = str(self.metadata.schema) if self.metadata is not None else NAMES.get(first, "")

    def _read_metadata(self) -> bytes:
        """Read the metadata, if there is any; return the bytes behind it."""
        head, need = bytearray(), 8
        while len(head) < need:
            piece = next(self._pieces, b"")
            if not piece:
                break
            head += piece
            if head[:3] == b"DBN" and len(head) >= 8:
                need = 8 + int.from_bytes(head[4:8], "little")
                if need > _MOST_METADATA:
                    rule = f"the metadata of a DBN file must have at most {_MOST_METADATA} bytes"
                    raise CorruptDataError(f"{rule}: path={self.path} bytes={need}")
        if head[:3] != b"DBN":
            return bytes(head)
        if len(head) < need:
            raise CorruptDataError(f"the metadata of a DBN file must be whole: path={self.path} bytes={len(head)} needed={need}")
        dbn = extra("databento_dbn")
        try:
            self.metadata = dbn.Metadata.decode(bytes(head[:need]), dbn.VersionUpgradePolicy.AS_IS)
        except (dbn.DBNError, ValueError) as error:
            raise CorruptDataError(f"the metadata of a DBN file must be valid: path={self.path} {error}") from error
        self.ts_out = bool(self.metadata.ts_out)
        self._behind = need
        return bytes(head[need:])

    def pieces(self) -> Iterator[tuple[memoryview, int, bool]]:
        """Iterate over pieces that start with a record: (bytes, offset in the file, whether nothing follows)."""
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
                self.used = 0
                yield memoryview(rest + piece[:_SEAM]), offset, False
                offset += self.used
                over = self.used - len(rest)
                data = data[over:] if over >= 0 else memoryview(rest[over:] + piece)
            elif rest:
                data = memoryview(rest + piece)
            self.used = 0
            if len(data):
                yield data, offset, last
            rest = bytes(data[self.used :])
            offset += self.used
            if len(rest) >= 4 and rest[0] < 4:
                where = f"path={self.path} offset={offset} (uncompressed)"
                raise CorruptDataError(f"a DBN record must be at least 16 bytes long: {where} length={4 * rest[0]}")
        if failure is not None:
            raise failure
        if rest:
            where = f"path={self.path} offset={offset} (uncompressed)"
            raise CorruptDataError(f"a DBN file must end with a whole record: {where} remaining={len(rest)}")

    def first(self, data: memoryview) -> Records:
        """Return the record at the position `used`, of a known type."""
        layout = _layouts()[data[self.used + 1], 4 * data[self.used] - 8 * self.ts_out]
        return np.frombuffer(data, layout, 1, self.used)

    def close(self) -> None:
        """Release the file."""
        self._pieces.close()

    def split(self, data: memoryview, offset: int, waiting: frozenset[int], skip: Skip) -> tuple[list[Group], int, int]:
        """Take the whole records at the start of `data` apart.

        Parameters
        ----------
        waiting : set of int
            Types whose records wait, where they are the only ones, for the rest of their venue event.
        skip : callable(rule, offsets, values)
            Told the records of unknown types, which are left out.

        Returns
        -------
        (groups, records, bytes)
        """
        if len(data) < 16 or data[0] < 4:
            return [], 0, 0
        size = 4 * data[0]
        count = len(data) // size
        heads = np.ndarray((count,), "<u2", data, 0, (size,))  # length and type
        if count and (heads == heads[0]).all():
            layout = self._layout(data[1], size, np.arange(count) * size + offset, skip)
            if layout is None:
                return [], 0, count * size
            records = np.frombuffer(data, layout, count)
            if data[1] in waiting:
                count -= _open(records)
            return [Group(data[1], None, np.arange(count) * size + offset, records[:count])], count, count * size
        view = np.frombuffer(data, np.uint8)
        starts, end = walk(view[: len(view) // 4 * 4 : 4])
        groups: list[Group] = []
        kinds = view[starts * 4].astype(np.int64) << 8 | view[starts * 4 + 1]
        for kind in np.unique(kinds):
            at = np.flatnonzero(kinds == kind)
            rtype, size, places = int(kind) & 255, int(kind) >> 8 << 2, starts[at] * 4
            layout = self._layout(rtype, size, places + offset, skip)
            if layout is not None:
                rows = np.lib.stride_tricks.sliding_window_view(view, size)[places]
                groups.append(Group(rtype, at, places + offset, np.ascontiguousarray(rows).view(layout)[:, 0]))
        return groups, len(starts), int(end) * 4

    def _layout(self, rtype: int, size: int, offsets: Positions, skip: Skip) -> np.dtype[np.void] | None:
        """The layout of some records, None for those that are skipped."""
        layout = _layouts().get((rtype, size - 8 * self.ts_out))
        if layout is None:
            skip("a record must have a known type and length", offsets, [f"type={rtype} length={size}"] * len(offsets))
        elif self.ts_out:
            layout = np.dtype([*layout.descr, ("ts_out", "u8")])
        return layout


def walk(lengths: npt.NDArray[np.uint8]) -> tuple[Positions, int]:
    """Find where whole records start, in words of four bytes, and where the first that is not whole would start.

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
    open_ = (tail["flags"] & (F_LAST | F_SNAPSHOT)) == 0
    open_[:-1] &= (tail["ts_event"][1:] == tail["ts_event"][:-1]) & (tail["instrument_id"][1:] == tail["instrument_id"][:-1])
    if open_.all():
        return 0  # an event without an end: better late than never
    return int(np.argmin(open_[::-1]))
