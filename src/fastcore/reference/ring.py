"""Plain-Python twin of ``fastcore.ring``, and of what the rings share: the same calls on NumPy arrays and ints, for one process.

What it spells out is the meaning: positions count records, a record at position p lies in slot p modulo capacity and carries
``seq`` p + 1, the producer stays at most one capacity ahead of the slowest consumer, and an overrun consumer knows what it
lost. It relies on the GIL where the compiled module uses atomics. Named rings are found by name within the process only.
"""

from __future__ import annotations

import operator
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import Any, NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray

from fastcore.errors import LayoutError, OverrunError, RingError
from fastcore.records import EVENT_DTYPE

__all__ = ["RingBuffer"]

Records = NDArray[np.void]
T = TypeVar("T")

_named: dict[str, _Memory] = {}


def _check_capacity(capacity: int, what: str) -> int:
    value = operator.index(capacity)
    if isinstance(capacity, bool):
        raise TypeError(f"{what} must be an integer: {what}={capacity!r}")
    if value < 2 or value & (value - 1):
        raise ValueError(f"{what} must be a power of two, 2 or more: {what}={value}")
    return value


def _check_dtype(dtype: Any) -> np.dtype[np.void]:
    d = np.dtype(EVENT_DTYPE if dtype is None else dtype)
    if not d.names or d.names[0] != "seq" or d["seq"] != np.dtype(np.uint64):
        raise TypeError(f"the first field of a record must be seq, native uint64: dtype={d}")
    assert d.fields is not None
    if d.fields["seq"][1] != 0:
        raise TypeError(f"seq must lie at offset 0: dtype={d}")
    if d.hasobject:
        raise TypeError(f"records must not hold Python objects: dtype={d}")
    if d.itemsize % 8 or not 16 <= d.itemsize <= 1 << 20:
        raise ValueError(f"a record must take a multiple of 8 bytes, 16 to 1048576: itemsize={d.itemsize}")
    for name in d.names[1:]:
        if d.fields[name][1] < 8:
            raise TypeError(f"no field may overlap seq: field={name}, offset={d.fields[name][1]}")
    return d


def _check_name(name: str) -> str:
    if not isinstance(name, str):
        raise TypeError(f"name must be str: name={name!r}")
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}", name):
        raise ValueError(f"name must be 1 to 200 letters, digits, '_', '-', '.', not starting with '.' or '-': name={name!r}")
    return name


def _check_wait(wait: str | None, default: str) -> str:
    wait = default if wait is None else wait
    if wait not in ("spin", "yield", "sleep"):
        raise ValueError(f"wait must be 'spin', 'yield' or 'sleep': wait={wait!r}")
    return wait


def _check_count(count: int, what: str) -> int:
    value = operator.index(count)
    if value < 0:
        raise ValueError(f"{what} must be 0 or more: {what}={value}")
    return value


def _check_role(role: str | None, default: str) -> str:
    role = default if role is None else role
    if role not in ("both", "producer", "consumer"):
        raise ValueError(f"role must be 'both', 'producer' or 'consumer': role={role!r}")
    return role


def _check_array(array: Any, dtype: np.dtype[np.void], what: str, write: bool) -> Records:
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{what} must be a NumPy array: type={type(array).__name__}")
    if array.ndim != 1:
        raise ValueError(f"{what} must have one dimension: shape={array.shape}")
    if array.dtype != dtype:
        raise TypeError(f"{what} must hold the records of the ring: dtype={array.dtype}, ring={dtype}")
    if not array.flags.c_contiguous:
        raise ValueError(f"{what} must be contiguous: strides={array.strides}, itemsize={array.itemsize}")
    if write and not array.flags.writeable:
        raise ValueError(f"{what} must be writable: writeable=False")
    return array


def _record(record: Any, dtype: np.dtype[np.void]) -> Records:
    if isinstance(record, np.void | np.ndarray):
        if record.dtype != dtype or record.size != 1:
            raise TypeError(f"record must be one record of the ring: dtype={record.dtype}, size={record.size}, ring={dtype}")
        record = record.tobytes()
    data = memoryview(record)
    if data.nbytes != dtype.itemsize:
        raise ValueError(f"record must have the size of a slot: bytes={data.nbytes}, itemsize={dtype.itemsize}")
    one: Records = np.frombuffer(bytes(data), dtype)
    return one


def _wait_for(attempt: Callable[[], T | None], timeout: float | None, wait: str, what: str) -> T:
    # Call `attempt` until it returns something, as long as `timeout` allows.
    if timeout is not None and not timeout >= 0:
        raise ValueError(f"timeout must be 0 or more seconds, or None: timeout={timeout}")
    deadline = None if timeout is None else time.monotonic() + timeout
    while (result := attempt()) is None:
        if deadline is not None and time.monotonic() >= deadline:
            raise TimeoutError(f"{what} before the timeout")
        time.sleep(50e-6 if wait == "sleep" else 0)
    return result


class _Cursor:
    """Where one consumer stands."""

    def __init__(self, position: int) -> None:
        self.position = position
        self.consumed = self.lost = 0


class _Memory:
    """The ring itself: slots and positions; handles refer to it."""

    def __init__(self, capacity: int, dtype: Any, kind: str, cursors: int) -> None:
        self.dtype = _check_dtype(dtype)
        self.capacity = _check_capacity(capacity, "capacity")
        self.kind, self.most = kind, cursors
        self.slots: Records = np.zeros(self.capacity, self.dtype)
        self.head = self.full = self.gate = 0
        self.closed = False
        self.cursors: dict[int, _Cursor] = {}
        self.producer: object = None
        self.consumer: object = None

    def room(self) -> int:
        """Free slots; records wait for the slowest cursor, and where there is none, for the first to come."""
        if self.kind == "overrun":
            return self.capacity
        self.gate = min((c.position for c in self.cursors.values()), default=self.gate)
        return self.capacity - (self.head - self.gate)

    def push(self, records: Records) -> int:
        if self.closed:
            return 0
        room = len(records) if self.kind == "overrun" else self.room()
        if room < len(records):
            self.full += 1
        for record in records[:room]:
            slot = self.head % self.capacity
            self.slots[slot] = record
            self.head += 1
            self.slots["seq"][slot] = self.head
        return min(room, len(records))

    def claim(self, count: int) -> Records:
        room = self.room() if count and not self.closed else 0
        if count and room == 0 and not self.closed:
            self.full += 1
        start = self.head % self.capacity
        assert self.dtype.names is not None
        return self.slots[start : start + min(count, room)][list(self.dtype.names[1:])]

    def commit(self, count: int) -> None:
        for _ in range(count):
            self.slots["seq"][self.head % self.capacity] = self.head + 1
            self.head += 1

    def peek(self, cursor: _Cursor, count: int) -> Records:
        start = cursor.position % self.capacity
        view = self.slots[start : start + min(count, self.head - cursor.position)]
        view.flags.writeable = False
        return view

    def pop(self, cursor: _Cursor, out: Records) -> int:
        if self.head - cursor.position > self.capacity and len(out):
            lost = self.skip(cursor, self.capacity // 2)
            error = OverrunError(
                f"the producer overtook this consumer: lost={lost}, position={cursor.position}, total lost={cursor.lost}"
            )
            error.lost = lost
            raise error
        count = min(len(out), self.head - cursor.position)
        for i in range(count):
            out[i] = self.slots[(cursor.position + i) % self.capacity]
        self.release(cursor, count)
        return count

    def release(self, cursor: _Cursor, count: int) -> None:
        cursor.consumed += count
        cursor.position += count

    def skip(self, cursor: _Cursor, keep: int) -> int:
        skipped = max(0, self.head - keep - cursor.position)
        cursor.position += skipped
        cursor.lost += skipped
        return skipped


class _Producing:
    """The producer's calls, and what both rings share."""

    def __init__(self, memory: _Memory, name: str | None, wait: str) -> None:
        self._memory, self.name, self._wait = memory, name, wait
        self._producer = self._detached = False
        self._claimed = 0

    def __enter__(self) -> Any:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
        self.detach()

    @staticmethod
    def unlink(name: str) -> bool:
        return _named.pop(_check_name(name), None) is not None

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"a ring cannot be pickled; attach to it by name in the other process: name={self.name!r}")

    def __len__(self) -> int:
        return min(
            self._memory.head - min((c.position for c in self._memory.cursors.values()), default=0), self._memory.capacity
        )

    capacity = property(lambda self: self._memory.capacity)
    dtype = property(lambda self: self._memory.dtype)
    closed = property(lambda self: self._memory.closed)
    published = property(lambda self: self._memory.head)
    full = property(lambda self: self._memory.full)

    def close(self) -> None:
        self._memory.closed = True

    def detach(self) -> None:
        self._detached = True
        self._producer = False
        if self._memory.producer is self:
            self._memory.producer = None

    def _publish(self, records: Records) -> int:
        if not self._producer:
            raise RingError(f"this handle is not the producer: name={self.name}, detached={self._detached}")
        count = self._memory.push(records)
        if count == 0 and self._memory.closed:
            raise RingError(f"the ring is closed: published={self.published}")
        return count

    def try_push(self, record: Any) -> bool:
        return self._publish(_record(record, self.dtype)) == 1

    def push(self, record: Any, timeout: float | None = None, wait: str | None = None) -> None:
        one = _record(record, self.dtype)
        _wait_for(lambda: self._publish(one) or None, timeout, _check_wait(wait, self._wait), "no room")

    def try_push_batch(self, records: Records) -> int:
        return self._publish(_check_array(records, self.dtype, "records", False))

    def push_batch(self, records: Records, timeout: float | None = None, wait: str | None = None) -> int:
        done = self.try_push_batch(records)

        def more() -> bool | None:
            nonlocal done
            done += self._publish(records[done:])
            return True if done == len(records) else None

        if done < len(records):
            try:
                _wait_for(more, timeout, _check_wait(wait, self._wait), "no room")
            except (TimeoutError, RingError):
                if done == 0:
                    raise
        return done

    def try_claim(self, count: int = 1) -> Records:
        count = _check_count(count, "count")
        if not self._producer:
            raise RingError(f"this handle is not the producer: name={self.name}, detached={self._detached}")
        if self._memory.kind == "overrun":
            raise RingError("an overrun ring has no zero-copy views, because readers may meet the writer: overrun=True")
        if self._memory.closed:
            raise RingError(f"the ring is closed: published={self.published}")
        view = self._memory.claim(count)
        self._claimed = len(view)
        return view

    def claim(self, count: int = 1, timeout: float | None = None, wait: str | None = None) -> Records:
        def attempt() -> Records | None:
            view = self.try_claim(count)
            return view if len(view) or count == 0 else None

        return _wait_for(attempt, timeout, _check_wait(wait, self._wait), "no room")

    def commit(self, count: int | None = None) -> None:
        n = self._claimed if count is None else _check_count(count, "count")
        if n > self._claimed or (n == 0 and count is None):
            raise RingError(f"commit must follow a claim of as many slots: count={count}, claimed={self._claimed}")
        self._memory.commit(n)
        self._claimed = 0


class _Consuming(ABC):
    """The consumer's calls; `_at` finds the memory and the cursor or says why not."""

    _peeked = 0
    _wait = "yield"

    @abstractmethod
    def _at(self) -> tuple[_Memory, _Cursor]: ...

    def _drained(self, memory: _Memory, cursor: _Cursor) -> None:
        if memory.closed and cursor.position == memory.head:
            raise RingError(f"the ring is closed: published={memory.head}")

    def try_pop_batch(self, out: Records) -> int:
        memory, cursor = self._at()
        count = memory.pop(cursor, _check_array(out, memory.dtype, "out", True))
        if count == 0:
            self._drained(memory, cursor)
        return count

    def pop_batch(self, out: Records, timeout: float | None = None, wait: str | None = None) -> int:
        if len(out) == 0:
            return self.try_pop_batch(out)
        return _wait_for(lambda: self.try_pop_batch(out) or None, timeout, _check_wait(wait, self._wait), "no record")

    def try_pop(self) -> np.void | None:
        out: Records = np.empty(1, self._at()[0].dtype)
        return out[0] if self.try_pop_batch(out) else None

    def pop(self, timeout: float | None = None, wait: str | None = None) -> np.void:
        return _wait_for(self.try_pop, timeout, _check_wait(wait, self._wait), "no record")

    def try_peek(self, count: int = 1) -> Records:
        count = _check_count(count, "count")
        memory, cursor = self._at()
        if memory.kind == "overrun":
            raise RingError("an overrun ring has no zero-copy views, because readers may meet the writer: overrun=True")
        view = memory.peek(cursor, count)
        if len(view) == 0:
            self._drained(memory, cursor)
        self._peeked = len(view)
        return view

    def peek(self, count: int = 1, timeout: float | None = None, wait: str | None = None) -> Records:
        def attempt() -> Records | None:
            view = self.try_peek(count)
            return view if len(view) or count == 0 else None

        return _wait_for(attempt, timeout, _check_wait(wait, self._wait), "no record")

    def release(self, count: int | None = None) -> None:
        n = self._peeked if count is None else _check_count(count, "count")
        memory, cursor = self._at()
        if n > self._peeked or (n == 0 and count is None):
            raise RingError(f"release must follow a peek of as many records: count={count}, peeked={self._peeked}")
        memory.release(cursor, n)
        self._peeked = 0


class RingBuffer(_Producing, _Consuming):
    """One producer, one consumer."""

    def __init__(
        self, capacity: int, dtype: Any = None, *, name: str | None = None, role: str | None = None, wait: str = "yield"
    ) -> None:
        _check_wait(wait, wait)
        role = _check_role(role, "both" if name is None else "producer")
        memory = _Memory(capacity, dtype, "single", 1)
        memory.cursors[0] = _Cursor(0)
        if name is not None and _named.setdefault(_check_name(name), memory) is not memory:
            raise FileExistsError(17, "a ring of this name is in use, or holds records that nobody read", name)
        super().__init__(memory, name, wait)
        self._enter(role)

    def _enter(self, role: str) -> None:
        for end in ("producer", "consumer") if role == "both" else (role,):
            if self.name is not None and getattr(self._memory, end) is not None:
                raise RingError(f"a ring has one {end}: name={self.name}")
            setattr(self._memory, end, self)
        self._producer = role != "consumer"
        self._consumer = role != "producer"

    @staticmethod
    def attach(
        name: str, dtype: Any = None, *, capacity: int | None = None, role: str = "consumer", wait: str = "yield"
    ) -> RingBuffer:
        ring = RingBuffer.__new__(RingBuffer)
        _Producing.__init__(ring, _find(name, dtype, capacity, ("single",)), name, _check_wait(wait, wait))
        ring._enter(_check_role(role, "consumer"))
        return ring

    @property
    def role(self) -> str | None:
        if self._producer:
            return "both" if self._consumer else "producer"
        return "consumer" if self._consumer else None

    @property
    def consumed(self) -> int:
        return self._memory.cursors[0].position

    def detach(self) -> None:
        producer = self._producer
        super().detach()
        self._consumer = False
        if self._memory.consumer is self:
            self._memory.consumer = None
        last = self._memory.producer is None and self._memory.consumer is None
        if self.name is not None and last and _named.get(self.name) is self._memory and not (producer and len(self)):
            del _named[self.name]

    def _at(self) -> tuple[_Memory, _Cursor]:
        if not self._consumer:
            raise RingError(f"this handle is not the consumer: name={self.name}, detached={self._detached}")
        return self._memory, self._memory.cursors[0]


def _find(name: str, dtype: Any, capacity: int | None, kinds: tuple[str, ...]) -> _Memory:
    memory = _named.get(_check_name(name))
    if memory is None:
        raise FileNotFoundError(2, "No such file or directory", name)
    d = _check_dtype(dtype)
    for field, found, asked in (
        ("record size", memory.dtype.itemsize, d.itemsize),
        ("dtype hash", memory.dtype.descr, d.descr),
        ("capacity", memory.capacity, memory.capacity if capacity is None else _check_capacity(capacity, "capacity")),
    ):
        if found != asked:
            raise LayoutError(f"the ring must have the {field} asked for: name={name}, found={found}, asked={asked}")
    if memory.kind not in kinds:
        raise LayoutError(f"shared memory must hold this kind of ring: name={name}, found={memory.kind}, asked={kinds}")
    return memory
