"""Plain-Python twin of ``fastcore.tickstore``: the same file, read and written with ``os.pread`` and ``os.pwrite``.

Both open each other's stores, and have the plain Python of a store in common (``store_header`` and its neighbours). This one copies
instead of mapping, and it grows and syncs in the calling thread.
"""

from __future__ import annotations

import os
import struct
import time
import warnings
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from fastcore import store_header, store_times
from fastcore.errors import CorruptDataError, StoreError
from fastcore.records import NO_SYMBOL, TICK_DTYPE
from fastcore.store_files import FILE_MODE, DataLock, FileLock, check_file_mode, create, sync_folder
from fastcore.store_header import BASE, PAGE
from fastcore.store_report import REASONS, StoreReport, StoreWarning

Records = npt.NDArray[np.void]

CRC32C_IMPLEMENTATION = "python"
EPOCH, ORDER = PAGE + 64, 2 * PAGE
CONTROL = PAGE  # offset of the control page: count, then epoch and writer pid, then two checkpoints
WORD = struct.Struct("=Q")
TICK = struct.Struct("@QIdd")
CHECKPOINT = struct.Struct("=4Q")


def _crc_table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


_TABLE = _crc_table()


def crc32c(data: bytes, crc: int = 0) -> int:
    """Return the CRC32C (Castagnoli) of bytes, going on from the result `crc` for the bytes before."""
    crc ^= 0xFFFFFFFF
    for byte in bytes(data):
        crc = _TABLE[(crc ^ byte) & 255] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


crc32c_scalar = crc32c


_writers: weakref.WeakSet[TickStore] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for store in list(_writers):
        store._disown()
    _writers.clear()


os.register_at_fork(after_in_child=_after_fork_in_child)


class TickStore:
    """Open an append-only store of fixed-size records; see ``fastcore.tickstore.TickStore``."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        mode: str = "r",
        dtype: Any = None,
        *,
        segment_records: int | None = None,
        sync: str = "memory",
        sync_interval_s: float = 1.0,
        verify: bool = True,
        salvage: bool = False,
        grow_ahead: bool = True,
        time_field: str | None = None,
        grow_records: int | None = None,
        file_mode: int = FILE_MODE,
    ) -> None:
        if mode not in ("r", "a", "x"):
            raise ValueError(f"mode must be 'r', 'a' or 'x': mode={mode!r}")
        store_header.check_options(sync, sync_interval_s, segment_records, grow_records)  # this one grows by segments
        check_file_mode(file_mode)
        if dtype is not None:
            dtype = store_header.check_dtype(dtype)
        self._path = os.path.realpath(os.fsdecode(path))
        self._mode, self._sync, self._interval_s, self._grow_ahead = mode, sync, sync_interval_s, grow_ahead
        self._fd = -1
        self._locks: list[FileLock | DataLock] = []
        self._frozen: int | None = None
        self._recovery: StoreReport | None = None
        self._refusal = ""
        self._synced_at = time.monotonic()
        try:
            if mode != "r":
                self._locks.append(FileLock(self._path + ".lock", file_mode=file_mode))
                if mode == "x" and os.path.lexists(self._path):
                    raise FileExistsError(f"mode 'x' creates a store: path={self._path} exists")
                if not os.path.lexists(self._path):
                    self._create(TICK_DTYPE if dtype is None else dtype, segment_records, time_field, file_mode)
            self._open_file(dtype, time_field)
            self._examine(verify, salvage)
            if mode != "r":
                self._owner = os.getpid()
                self._put(EPOCH, (self._get(EPOCH) + 1) % 2**64)
                self._put(CONTROL + 72, self._owner)
                _writers.add(self)
        except BaseException:
            self._release()
            raise
        if self._recovery is not None:
            warnings.warn(f"{self._path}: {self._recovery.loss()}", StoreWarning, stacklevel=2)

    # ---- the file

    def _create(self, dtype: np.dtype[Any], segment_records: int | None, time_field: str | None, file_mode: int) -> None:
        records = segment_records or store_header.SEGMENT_BYTES // dtype.itemsize
        segment = store_header.round_segment(records, dtype.itemsize)
        header = store_header.make_header(dtype, store_header.time_field_of(dtype, time_field), segment, crc32c)
        create(self._path, header, store_header.least_bytes(records, dtype.itemsize), _allocate, file_mode)

    def _open_file(self, dtype: np.dtype[Any] | None, time_field: str | None) -> None:
        path = self._path
        self._fd = os.open(path, os.O_RDONLY if self._mode == "r" else os.O_RDWR)
        if self._mode != "r":
            self._locks.append(DataLock(path, self._fd))
        bytes_ = os.fstat(self._fd).st_size
        header = store_header.parse_header(os.pread(self._fd, PAGE, 0), path, bytes_, crc32c)
        store_header.check_asked(header, path, dtype, time_field, self._mode != "r")
        self._header = header
        self._dtype, self._time_field, self._salt = header.dtype, header.time_field, header.salt
        if bytes_ < BASE:
            raise CorruptDataError(f"a store has at least {BASE} bytes: path={path}, bytes={bytes_}")
        self._size, self._block, self._segment = header.record_size, header.block_records, header.segment_records
        self._segment_blocks: int = self._segment // self._block
        self._table_bytes, data_bytes = store_header.segment_parts(self._segment, self._size)
        self._segment_bytes: int = self._table_bytes + data_bytes
        self._segments = max(1, -(-(bytes_ - BASE) // self._segment_bytes))
        self._ticks = self._dtype == TICK_DTYPE

    def _get(self, offset: int) -> int:
        value: int = WORD.unpack(os.pread(self._fd, 8, offset).ljust(8, b"\0"))[0]
        return value

    def _put(self, offset: int, value: int) -> None:
        os.pwrite(self._fd, WORD.pack(value), offset)

    def _word_at(self, block: int) -> int:
        segment, index = divmod(block, self._segment_blocks)
        return BASE + segment * self._segment_bytes + 8 * index

    def _bytes(self, start: int, stop: int) -> bytes:
        """Bytes of records [start, stop), segment by segment."""
        parts = []
        while start < stop:
            segment, index = divmod(start, self._segment)
            n = min(stop - start, self._segment - index)
            offset = BASE + segment * self._segment_bytes + self._table_bytes + index * self._size
            parts.append(os.pread(self._fd, n * self._size, offset))
            start += n
        return b"".join(parts)

    def _write_record(self, index: int, data: bytes) -> None:
        segment, index = divmod(index, self._segment)
        os.pwrite(self._fd, data, BASE + segment * self._segment_bytes + self._table_bytes + index * self._size)

    def _seed(self, block: int) -> int:
        return crc32c(struct.pack("=QQ", self._salt, block))

    def _valid(self, block: int, word: int) -> bool:
        first = block * self._block
        return crc32c(self._bytes(first, first + (word >> 32)), self._seed(block)) == word & 0xFFFFFFFF

    def _checkpoint(self) -> tuple[int, int, int]:
        best = (0, 0, 0)
        for slot in range(2):
            number, count, word, crc = CHECKPOINT.unpack(os.pread(self._fd, 32, CONTROL + 128 + 64 * slot))
            if number > best[0] and crc32c(struct.pack("=4Q", self._salt, number, count, word)) == crc:
                best = (number, count, word)
        return best

    # ---- opening

    def _scan(self, salvage: bool) -> tuple[int, int, StoreReport]:
        """Return the longest valid prefix, the commit word of its last block, and the report."""
        expected = self._get(CONTROL)
        _, synced, synced_word = self._checkpoint()
        size = max(0, os.fstat(self._fd).st_size - BASE)
        if self._mode == "r":
            self._segments = max(1, -(-size // self._segment_bytes))  # a writer may have added some
        whole = min(size // self._segment_bytes, self._segments)
        rest = size - whole * self._segment_bytes if whole < self._segments else 0
        blocks = whole * self._segment_blocks + min(rest // 8, self._segment_blocks)
        readable = whole * self._segment + max(0, rest - self._table_bytes) // self._size
        valid = valid_word = end = later = 0
        ended = bad = False
        reason = ""
        for block in range(blocks):
            word = self._get(self._word_at(block))
            n, first = word >> 32, block * self._block
            inside = n <= self._block and first + n <= readable
            if word:
                end = first + (n if n <= self._block else self._block)
                if ended and not bad:
                    bad, reason = True, REASONS[3]
            if ended:
                if n and inside and self._valid(block, word):
                    later += n
                continue
            if n and inside and self._valid(block, word):
                valid, valid_word = first + n, word
                ended = n < self._block
                continue
            ended = True
            if word:
                bad = True
                reason = REASONS[1 if n > self._block or inside else 2]
                m = synced_word >> 32
                if 0 < m <= self._block and first + m == synced <= readable and self._valid(block, synced_word):
                    valid, valid_word = synced, synced_word
        cut = reason == REASONS[2] or max(expected, synced) > readable
        if not bad and expected <= valid and synced <= valid:
            return valid, valid_word, StoreReport(valid, valid * self._size)
        if cut:
            reason = REASONS[2]
        end = max(end, expected, synced)
        report = StoreReport(
            valid,
            valid * self._size,
            end - valid,
            max(0, min(end, readable) - valid) * self._size,
            reason or REASONS[0],
        )
        if synced > valid and (later or not cut) and not salvage:
            raise CorruptDataError(
                f"stored records are damaged ({report.reason}), open with salvage=True or copy with salvage(): "
                f"path={self._path}, "
                f"valid records={valid}, first damaged block starts at record {valid // self._block * self._block}, "
                f"valid records behind it={later}, synced records={synced}"
            )
        return valid, valid_word, report

    def _examine(self, verify: bool, salvage: bool) -> None:
        if not verify and self._mode == "r":
            return
        valid, word, report = self._scan(salvage)
        if report.reason:
            self._recovery = report
            if self._mode == "r":
                if max(self._get(CONTROL), self._checkpoint()[1]) > valid:
                    self._frozen, self._frozen_epoch = valid, self._get(EPOCH)
                self._recovery = report.for_reader(min(valid, self._get(CONTROL)), self._size)
            else:
                self._recovery = self._repair(valid, word, report)
        if self._mode != "r":
            _allocate(self._fd, 0, BASE + self._segments * self._segment_bytes)  # it may be cut behind its last record
            self._count = valid
            self._put(CONTROL, valid)
            in_block = valid % self._block
            self._crc = word & 0xFFFFFFFF if in_block else self._seed(valid // self._block)
            self._clear_words(-(-valid // self._block))  # of bytes that others have added
            if self._get(ORDER + 8) > valid:
                self._put(ORDER + 8, 0)  # noted of records that are lost; this one notes nothing

    def _repair(self, valid: int, word: int, report: StoreReport) -> StoreReport:
        """Keep the torn bytes aside, then make the valid prefix the whole store."""
        aside = None
        if report.dropped_bytes:
            aside = stem = f"{self._path}.torn-{self._get(CONTROL + 64) + 1}"
            number = 0
            while os.path.lexists(aside):
                number += 1
                aside = f"{stem}-{number}"
            with open(aside, "xb") as out:
                end = valid + report.dropped_bytes // self._size
                for first in range(valid, end, self._segment):
                    out.write(self._bytes(first, min(end, first + self._segment)))
                out.flush()
                os.fsync(out.fileno())
            sync_folder(os.path.dirname(aside))
        _allocate(self._fd, 0, BASE + self._segments * self._segment_bytes)
        block = -(-valid // self._block)
        if valid:
            self._put(self._word_at(block - 1), word)
        self._put(CONTROL, valid)
        self._write_checkpoint(valid)
        self._clear_words(block)
        os.fsync(self._fd)
        return report._replace(kept_aside=aside)

    def _clear_words(self, block: int) -> None:
        for later in range(block, self._segments * self._segment_blocks):
            if self._get(self._word_at(later)):
                self._put(self._word_at(later), 0)

    def _disown(self) -> None:
        self._refusal = f"a forked process may not write: path={self._path}, writer_pid={self._owner}, pid={os.getpid()}"
        for lock in self._locks:
            lock.abandon()
        self._locks = []

    def _release(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
        while self._locks:
            self._locks.pop().release()

    def close(self) -> None:
        """Flush, stop writing and release the lock."""
        if self._fd < 0:
            return
        try:
            if self._locks:
                if not self._refusal:
                    self._sync_now()
                self._put(CONTROL + 72, 0)
                _writers.discard(self)
        finally:
            self._release()

    def __enter__(self) -> TickStore:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # ---- writing

    def _check_open(self) -> None:
        if self._fd < 0:
            raise StoreError(f"the store is closed: path={self._path}")

    def _check_writable(self) -> None:
        self._check_open()
        if self._mode == "r":
            raise StoreError(f"the store is open for reading: path={self._path}, mode='r'")
        if self._refusal:
            raise StoreError(self._refusal)

    @property
    def room(self) -> int:
        """Records that can be appended before the store must grow."""
        return 0 if self._fd < 0 or self._mode == "r" or self._refusal else self._segments * self._segment - self._count

    def reserve(self, records: int) -> None:
        """Allocate room for so many more records now."""
        self._check_writable()
        self._check_place()
        while self.room < records:
            offset = BASE + self._segments * self._segment_bytes
            _allocate(self._fd, offset, self._segment_bytes)
            os.pwrite(self._fd, bytes(self._table_bytes), offset)
            self._segments += 1

    def _check_place(self) -> None:
        there = os.stat(self._path) if os.path.exists(self._path) else None
        mine = os.fstat(self._fd)
        if there is None or not os.path.samestat(there, mine) or mine.st_size < BASE + self._segments * self._segment_bytes:
            self._refusal = (
                "the file was deleted, replaced, moved or cut while it was written, so the store accepts nothing more: "
                f"path={self._path}"
            )
            raise StoreError(self._refusal)

    def prepare_ahead(self) -> None:
        """Allocate the next segment if less than half of one is left."""
        self.reserve(self._segment // 2)

    def _append_bytes(self, data: bytes) -> None:
        self._write_record(self._count, data)
        block, in_block = divmod(self._count, self._block)
        self._crc = crc32c(data, self._crc)
        self._put(self._word_at(block), (in_block + 1) << 32 | self._crc)
        self._count += 1
        self._put(CONTROL, self._count)
        if self._count % self._block == 0:
            self._crc = self._seed(self._count // self._block)

    def _after_append(self) -> None:
        now = time.monotonic()
        if self._sync == "commit" or (self._sync == "interval" and now - self._synced_at >= self._interval_s):
            self._synced_at = now
            self._sync_now()

    def append(self, timestamp_ns: int, symbol_id: int, price: float, volume: float) -> None:
        """Append one tick."""
        _check_tick(timestamp_ns, symbol_id, price, volume)
        self._check_writable()
        if not self._ticks:
            raise TypeError(f"append takes ticks, use append_many for other records: dtype={self._dtype}")
        self.reserve(1)
        self._append_bytes(TICK.pack(timestamp_ns, symbol_id, price, volume))
        self._after_append()

    def append_many(self, records: Records) -> int:
        """Append an array of records; all of them or, when it raises, none."""
        if not isinstance(records, np.ndarray):
            raise TypeError(f"records must be an ndarray: type={type(records).__name__}")
        if records.dtype != self._dtype:
            raise TypeError(f"records must have the dtype of the store: dtype={records.dtype}, stored={self._dtype}")
        if records.ndim != 1 or not records.flags.c_contiguous:
            raise ValueError(
                f"records must be one-dimensional and contiguous: shape={records.shape}, strides={records.strides}"
            )
        if self._ticks:
            for index, row in enumerate(records.tolist()):
                try:
                    _check_tick(*row)
                except (ValueError, OverflowError) as error:
                    raise ValueError(f"{error} at index={index}") from None
        self._check_writable()
        self.reserve(len(records))
        for i in range(len(records)):
            data = records[i : i + 1].tobytes()
            self._append_bytes(TICK.pack(*records[i].tolist()) if self._ticks else data)
        self._after_append()
        return len(records)

    def flush(self) -> None:
        """Write every record appended so far to the disk, and wait for it."""
        self._check_writable()
        self._sync_now()

    def _write_checkpoint(self, count: int) -> None:
        number = self._checkpoint()[0] + 1
        word = self._get(self._word_at((count - 1) // self._block)) if count else 0
        crc = crc32c(struct.pack("=4Q", self._salt, number, count, word))
        os.pwrite(self._fd, CHECKPOINT.pack(number, count, word, crc), CONTROL + 128 + 64 * (number & 1))
        os.fsync(self._fd)

    def _sync_now(self) -> None:
        self._check_place()
        try:
            os.fsync(self._fd)
            self._write_checkpoint(self._count)
        except OSError as error:
            self._refusal = (
                f"a sync failed, so the store accepts nothing more (open it again): path={self._path}, "
                f"errno={error.errno} ({error.strerror})"
            )
            raise StoreError(self._refusal) from error

    # ---- reading

    @property
    def count(self) -> int:
        """Records published so far."""
        self._check_open()
        count: int = self._get(CONTROL)
        if self._frozen is not None:
            if self._get(EPOCH) == self._frozen_epoch:
                return min(count, self._frozen)
            self._frozen = None  # a writer has repaired the store since
        segments = -(-(os.fstat(self._fd).st_size - BASE) // self._segment_bytes)  # opening has vouched for what is in them
        if count > segments * self._segment:
            raise CorruptDataError(f"the published count must be inside the file: path={self._path}, count={count}")
        return count

    def __len__(self) -> int:
        return self.count

    @property
    def path(self) -> str:
        """Absolute path."""
        return self._path

    @property
    def mode(self) -> str:
        """How the store was opened."""
        return self._mode

    @property
    def dtype(self) -> np.dtype[Any]:
        """Structured dtype of the records."""
        return self._dtype

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._fd < 0

    @property
    def recovery(self) -> StoreReport | None:
        """What opening the store had to drop, or None."""
        return self._recovery

    def records(self, start: int = 0, stop: int | None = None) -> Records:
        """Return records as a read-only array."""
        first, last, _ = slice(start, stop).indices(self.count)
        return np.frombuffer(self._bytes(first, max(first, last)), self._dtype)

    def pieces(self, start: int = 0, stop: int | None = None, *, max_records: int = 65_536) -> Iterator[Records]:
        """Return an iterator over records in read-only arrays of at most `max_records`."""
        store_header.whole("max_records", max_records, 1, None)
        first, last, _ = slice(start, stop).indices(self.count)
        return (self.records(at, min(at + max_records, last)) for at in range(first, last, max_records))

    def read_tick(self, index: int) -> tuple[int, int, float, float]:
        """Return one tick as ``(timestamp_ns, symbol_id, price, volume)``."""
        if not self._ticks:
            raise TypeError(f"read_tick reads ticks: dtype={self._dtype}")
        if not 0 <= index < self.count:
            raise IndexError(f"index must be in 0..count-1: index={index}, count={self.count}")
        tick: tuple[int, int, float, float] = TICK.unpack(self._bytes(index, index + 1))
        return tick

    def query(self, start_ns: int | None = None, end_ns: int | None = None, symbol_id: int | None = None) -> Records:
        """Return the records of a time range, in the order in which they were appended: every time is looked at."""
        store_times.check_range(start_ns, end_ns)
        store_times.check_symbol(self._dtype, symbol_id)
        names = self._dtype.names or ()
        if (start_ns is not None or end_ns is not None) and self._time_field is None:
            raise ValueError(f"the records have no time field to search: dtype={self._dtype}")
        records = self.records()
        times = records[self._time_field].tolist() if self._time_field else [0] * len(records)
        symbols = records["symbol_id"].tolist() if "symbol_id" in names else [None] * len(records)
        found = [
            (start_ns is None or time_ns >= start_ns)
            and (end_ns is None or time_ns < end_ns)
            and (symbol_id is None or symbol == symbol_id)
            for time_ns, symbol in zip(times, symbols, strict=True)
        ]
        result: Records = records[np.array(found, bool)]
        result.flags.writeable = False
        return result

    def follow(
        self, start: int = 0, *, timeout_s: float | None = None, interval_s: float = 0.001, max_records: int | None = None
    ) -> Iterator[Records]:
        """Iterate over arrays of records as they are published."""
        if max_records is not None:
            store_header.whole("max_records", max_records, 1, None)
        if interval_s < 0.0:
            raise ValueError(f"interval_s must not be negative: interval_s={interval_s}")
        return self._follow(start if start >= 0 else max(0, self.count + start), timeout_s, interval_s, max_records)

    def _follow(self, position: int, timeout_s: float | None, interval_s: float, most: int | None) -> Iterator[Records]:
        waiting_since = time.monotonic()
        seen = 0
        while True:
            count = self.count
            if count < seen:
                raise CorruptDataError(
                    f"a repair has dropped records that were read before (open the store again): path={self._path}, "
                    f"count={count}, read={seen}"
                )
            seen = count
            if count > position:
                stop = count if most is None else min(count, position + most)
                yield self.records(position, stop)
                position, waiting_since = stop, time.monotonic()
            elif timeout_s is not None and time.monotonic() - waiting_since >= timeout_s:
                return
            else:
                time.sleep(interval_s)

    # ---- looking after it

    def verify(self) -> StoreReport:
        """Check every block against its checksum."""
        self._check_open()
        return self._scan(True)[2]

    def info(self) -> dict[str, Any]:
        """Return what there is to know about the store."""
        return {
            "path": self._path,
            "mode": self._mode,
            "version": self._header.version,
            "records": self.count,
            "record_size": self._size,
            "dtype": self._dtype,
            "time_field": self._time_field,
            "segment_records": self._segment,
            "segments": self._segments,
            "block_records": self._block,
            "file_bytes": os.fstat(self._fd).st_size,
            "created_ns": self._header.created_ns,
            "segment_id": 0,
            "salt": self._salt,
            "schema_hash": self._header.schema_hash,
            "epoch": self._get(CONTROL + 64),
            "writer_pid": self._get(CONTROL + 72),
            "synced": self._checkpoint()[1],
            "sync": self._sync,
            "recovery": self._recovery,
        }

    def _valid_runs(self) -> Iterator[Records]:
        size = max(0, os.fstat(self._fd).st_size - BASE)
        for block in range(self._segments * self._segment_blocks):
            at = self._word_at(block)
            word = self._get(at) if at + 8 <= BASE + size else 0
            first, n = block * self._block, word >> 32
            if 0 < n <= self._block and self._valid(block, word):
                yield np.frombuffer(self._bytes(first, first + n), self._dtype)


def _allocate(fd: int, offset: int, size: int) -> None:
    """Give part of a file blocks on the disk, so that a full disk is an error now."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(fd, offset, size)
        return
    start = max(offset, os.fstat(fd).st_size)
    os.pwrite(fd, bytes(max(0, offset + size - start)), start)


def _check_tick(timestamp_ns: int, symbol_id: int, price: float, volume: float) -> None:
    if timestamp_ns >= 1 << 63 and isinstance(timestamp_ns, int):
        raise OverflowError(f"timestamp_ns must be below 2**63: timestamp_ns={timestamp_ns}")
    if timestamp_ns < 0:
        raise ValueError(f"timestamp_ns must not be negative: timestamp_ns={timestamp_ns}")
    if not 0 <= symbol_id < NO_SYMBOL:
        raise ValueError(f"symbol_id must be in 0..{NO_SYMBOL - 1}: symbol_id={symbol_id}")
    if not -float("inf") < price < float("inf"):
        raise ValueError(f"price must be finite: price={price}")
    if not 0.0 <= volume < float("inf"):
        raise ValueError(f"volume must be finite and not negative: volume={volume}")


def salvage(source: str | os.PathLike[str], destination: str | os.PathLike[str]) -> StoreReport:
    """Copy every block that matches its checksum into a new store; the damaged one is left as it is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StoreWarning)
        old = TickStore(source, "r", salvage=True)
    with old:
        damage = old.verify()
        with TickStore(destination, "x", old.dtype, segment_records=old._segment, time_field=old._time_field) as new:
            for run in old._valid_runs():
                new.reserve(len(run))
                for i in range(len(run)):
                    new._append_bytes(run[i : i + 1].tobytes())
            copied = new.count
        promised = max(old._get(CONTROL), old._checkpoint()[1])
    lost = max(promised, damage.records, copied) - copied
    size = old.dtype.itemsize
    return StoreReport(copied, copied * size, lost, lost * size, damage.reason)
