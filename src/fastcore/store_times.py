"""Times of a store: the range that a query asks for, and which records can answer it where times are not in order."""

import struct
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from fastcore.store_header import whole

MOST_BREAKS = 4096
_WORD, _COUNTS = struct.Struct("=Q"), struct.Struct("=QQ")
ORDER_BYTES = _WORD.size + _COUNTS.size + 8 * MOST_BREAKS

Checksum = Callable[[bytes], int]


def check_range(start_ns: int | None, end_ns: int | None) -> None:
    """Refuse a range that ends before it starts, and bounds that are not whole numbers."""
    for name, value in (("start_ns", start_ns), ("end_ns", end_ns)):
        if value is not None and not isinstance(value, (int, np.integer)):
            raise TypeError(f"{name} must be an int: {name}={value!r}")
    if start_ns is not None and end_ns is not None and start_ns > end_ns:
        raise ValueError(f"start_ns must not be after end_ns: start_ns={start_ns}, end_ns={end_ns}")


def check_symbol(dtype: np.dtype[np.void], symbol_id: int | None) -> None:
    """Refuse a symbol that no record can have."""
    if symbol_id is not None:
        if "symbol_id" not in (dtype.names or ()):
            raise ValueError(f"the records have no symbol_id: dtype={dtype}")
        whole("symbol_id", symbol_id, 0, 0xFFFFFFFF)


def bounds(start_ns: int | None, end_ns: int | None, signed: bool) -> tuple[int | None, int | None] | None:
    """Return the range in the numbers of a time field; None where it lies outside of them.

    A bound that every time satisfies becomes None.
    """
    least, greatest = (-(1 << 63), (1 << 63) - 1) if signed else (0, (1 << 64) - 1)
    start = None if start_ns is None or start_ns <= least else int(start_ns)
    end = None if end_ns is None or end_ns > greatest else int(end_ns)
    if (start is not None and start > greatest) or (end is not None and end <= least):
        return None
    return start, end


def inside(times: npt.NDArray[Any], start: int | None, end: int | None) -> npt.NDArray[np.bool_]:
    """Return a mask of the times in ``[start, end)``."""
    mask = np.ones(len(times), bool)
    if start is not None:
        mask &= times >= start
    if end is not None:
        mask &= times < end
    return mask


class Order:
    """How far the times of a store are in order: where they go back, up to `MOST_BREAKS` times, and blocks behind.

    Parameters
    ----------
    block_records : int
        Records of a block.
    epoch : int
        The writer under which it was made: the next one may drop records.

    Attributes
    ----------
    checked : int
        So many records are known.
    breaks : list of int
        Those of them whose time is below that of the one before: where runs of rising times begin.

    Notes
    -----
    The writer notes it in the file, in the byte order of its machine, at offset 8,192: CRC32C of the salt of the store and what
    follows (u64), `checked` (u64), the number of breaks (u64), breaks (u64 each). It is a hint: where it does not match its checksum
    everybody looks at the times.

    **Thread safety**: one thread.
    """

    def __init__(self, block_records: int, epoch: int = 0) -> None:
        self.epoch = epoch
        self.checked = 0
        self.breaks: list[int] = []
        self._block_records = block_records
        self._first = -1  # of the records that the blocks are of
        self._least: npt.NDArray[Any] = np.zeros(0, np.int64)
        self._greatest = self._least

    def note(self, at: int, n: int) -> bool:
        """Take that times rise from `checked` to `at`, and go back there unless it is `n`; return whether to look further."""
        if at == n or len(self.breaks) == MOST_BREAKS:
            self.checked = at
            return False
        self.breaks.append(at)
        self.checked = at + 1
        return True

    def forget(self, n: int) -> None:
        """Forget what is known of the records from `n` on."""
        self.checked = min(self.checked, n)
        self.breaks = [at for at in self.breaks if at < n]

    def text(self, salt: int, crc32c: Checksum) -> bytes:
        """Return what stands in the file."""
        body = _COUNTS.pack(self.checked, len(self.breaks)) + np.array(self.breaks, np.uint64).tobytes()
        return _WORD.pack(crc32c(_WORD.pack(salt) + body)) + body

    def take(self, text: bytes, salt: int, crc32c: Checksum) -> None:
        """Know what stands in a file, where it is whole and makes sense."""
        checked, count = _COUNTS.unpack_from(text, _WORD.size)
        body = text[_WORD.size : ORDER_BYTES - 8 * (MOST_BREAKS - count)] if count <= MOST_BREAKS else b""
        if checked < 1 << 63 and _WORD.pack(crc32c(_WORD.pack(salt) + body)) == text[: _WORD.size]:
            breaks = np.frombuffer(body, np.uint64, offset=_COUNTS.size).tolist()
            if all(first < second for first, second in pairwise([0, *breaks, checked])):
                self.checked, self.breaks = checked, breaks

    def runs(self, times: npt.NDArray[Any], start: int | None, end: int | None) -> list[tuple[int, int]]:
        """Return the runs of rising times that may reach into ``[start, end)``."""
        known = min(self.checked, len(times))
        if not self.breaks:
            return [(0, known)]
        first = np.array([0, *(at for at in self.breaks if at < known)])
        last = np.append(first[1:], known)
        hit = _reach(times[first], times[last - 1], start, end)
        return list(zip(first[hit].tolist(), last[hit].tolist(), strict=True))

    def blocks(self, times: npt.NDArray[Any], start: int | None, end: int | None) -> list[tuple[int, int]]:
        """Return the ranges of records behind the known ones that may have a time in ``[start, end)``."""
        first, n, size = self.checked, len(times), self._block_records
        if first >= n:
            return []
        if self._first != first:
            self._first, self._least, self._greatest = first, times[:0], times[:0]
        done, whole = len(self._least), (n - first) // size
        if whole > done:
            blocks = times[first + done * size : first + whole * size].reshape(-1, size)
            self._least = np.concatenate([self._least, blocks.min(axis=1)])
            self._greatest = np.concatenate([self._greatest, blocks.max(axis=1)])
        hit = np.flatnonzero(_reach(self._least[:whole], self._greatest[:whole], start, end))
        if first + whole * size < n:
            hit = np.append(hit, whole)  # the open block is always looked at
        groups = np.split(hit, np.flatnonzero(np.diff(hit) > 1) + 1) if len(hit) else []
        return [(first + int(group[0]) * size, min(n, first + (int(group[-1]) + 1) * size)) for group in groups]


def side_by_side(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return ascending ranges with those joined that touch."""
    joined: list[tuple[int, int]] = []
    for low, high in ranges:
        if joined and joined[-1][1] == low:
            low = joined.pop()[0]
        joined.append((low, high))
    return joined


def _reach(least: npt.NDArray[Any], greatest: npt.NDArray[Any], start: int | None, end: int | None) -> npt.NDArray[np.bool_]:
    mask = np.ones(len(least), bool)
    if start is not None:
        mask &= greatest >= start
    if end is not None:
        mask &= least < end
    return mask
