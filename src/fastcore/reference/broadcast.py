"""Plain-Python twin of ``fastcore.broadcast``, over the memory of the twin of ``fastcore.ring``."""

from __future__ import annotations

import operator
from types import TracebackType
from typing import Any

from fastcore.errors import RingError, range_error

from .ring import _check_count, _check_name, _check_wait, _Consuming, _Cursor, _find, _Memory, _named, _Producing

__all__ = ["BroadcastConsumer", "BroadcastRing"]


class BroadcastRing(_Producing):
    """One producer, several consumers."""

    def __init__(
        self,
        capacity: int,
        dtype: Any = None,
        *,
        consumers: int = 8,
        overrun: bool = False,
        name: str | None = None,
        wait: str = "yield",
    ) -> None:
        most = operator.index(consumers)
        if not 1 <= most <= 1024:
            raise range_error("consumers", consumers, 1, 1024)
        memory = _Memory(capacity, dtype, "overrun" if overrun else "broadcast", most)
        if name is not None and _named.setdefault(_check_name(name), memory) is not memory:
            raise FileExistsError(17, "a ring of this name is in use, or holds records that nobody read", name)
        super().__init__(memory, name, _check_wait(wait, wait))
        memory.producer = self
        self._producer = True

    @staticmethod
    def attach(
        name: str, dtype: Any = None, *, capacity: int | None = None, role: str = "consumer", wait: str = "yield"
    ) -> BroadcastRing:
        ring = BroadcastRing.__new__(BroadcastRing)
        memory = _find(name, dtype, capacity, ("broadcast", "overrun"))
        _Producing.__init__(ring, memory, name, _check_wait(wait, wait))
        if role not in ("producer", "consumer"):
            raise ValueError(f"role must be 'producer' or 'consumer': role={role!r}")
        if role == "producer":
            if memory.producer is not None:
                raise RingError(f"a ring has one producer: name={name}")
            memory.producer, ring._producer = ring, True
        return ring

    @property
    def overrun(self) -> bool:
        return self._memory.kind == "overrun"

    @property
    def role(self) -> str | None:
        return None if self._detached else "producer" if self._producer else "consumer"

    @property
    def consumers(self) -> list[dict[str, Any]]:
        return [
            {"id": i, "position": c.position, "consumed": c.consumed, "lost": c.lost} for i, c in self._memory.cursors.items()
        ]

    def consumer(self, start: str = "oldest") -> BroadcastConsumer:
        if start not in ("oldest", "latest"):
            raise ValueError(f"start must be 'oldest' or 'latest': start={start!r}")
        if self._detached:
            raise RingError(f"this handle is detached: name={self.name}")
        m = self._memory
        for i in range(m.most):
            if i not in m.cursors:
                oldest = max(0, m.head - m.capacity) if self.overrun else m.gate
                m.cursors[i] = _Cursor(m.head if start == "latest" else oldest)
                return BroadcastConsumer(self, i)
        raise RingError(f"the ring has all the consumers it allows: consumers={m.most}")

    def evict_dead(self) -> int:
        """Let go of consumers of dead processes: here there is one process."""
        return 0


class BroadcastConsumer(_Consuming):
    """One consumer of a :class:`BroadcastRing`."""

    def __init__(self, ring: BroadcastRing, number: int) -> None:
        self.ring, self._number = ring, number
        self._cursor = ring._memory.cursors[number]
        self._wait = ring._wait
        self._detached = False

    def __enter__(self) -> BroadcastConsumer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.detach()

    def __del__(self) -> None:
        self.detach()

    def __len__(self) -> int:
        waiting: int = min(self.ring.published - self._cursor.position, self.ring.capacity)
        return waiting

    position = property(lambda self: self._cursor.position)
    consumed = property(lambda self: self._cursor.consumed)
    lost = property(lambda self: self._cursor.lost)

    def detach(self) -> None:
        if not self._detached:
            self._detached = True
            del self.ring._memory.cursors[self._number]

    def resynchronise(self, keep: int = 0) -> int:
        memory, cursor = self._at()
        keep = _check_count(keep, "keep")
        if keep > memory.capacity:
            raise range_error("keep", keep, 0, "capacity", capacity=memory.capacity)
        self._peeked = 0
        return memory.skip(cursor, keep)

    def _at(self) -> tuple[_Memory, _Cursor]:
        if self._detached:
            raise RingError(f"this consumer is detached: name={self.ring.name}")
        return self.ring._memory, self._cursor
