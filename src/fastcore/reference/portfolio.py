"""Plain-Python twin of ``fastcore.portfolio``: the accounting in Python's own integers."""

import math
from copy import copy
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastcore.errors import range_error
from fastcore.records import BUY, EVENT_DTYPE, KINDS, SELL

_FIELDS = ("position_lots", "cash", "cost", "fees", "bought_lots", "sold_lots", "turnover", "fills", "refused")
POSITION_DTYPE = np.dtype([(name, np.int64) for name in _FIELDS])


class Position:
    """The position in one instrument; money in ticks times lots."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Start again from nothing."""
        self.position_lots = self.cash = self.cost = self.fees = 0
        self.bought_lots = self.sold_lots = self.turnover = self.fills = self.refused = 0

    @property
    def realised(self) -> int:
        """Profit of the closed lots, before fees."""
        return self.cash + self.cost

    @property
    def volume_lots(self) -> int:
        """Lots traded."""
        return self.bought_lots + self.sold_lots

    @property
    def average_price(self) -> float | None:
        """Average price of the open lots in ticks; None when flat."""
        return float(self.cost) / float(self.position_lots) if self.position_lots else None

    def fill(self, side: int, price_ticks: int, size_lots: int, fee: int = 0, *, where: str = "") -> None:
        """Account a fill."""
        try:
            self._check(side, price_ticks, size_lots, where)
            signed = size_lots if side == BUY else -size_lots
            position = self.position_lots + signed
            if self.position_lots == 0 or (self.position_lots > 0) == (signed > 0):
                cost = self.cost + price_ticks * signed  # opens or adds
            elif size_lots < abs(self.position_lots):
                share = abs(self.cost) * size_lots // abs(self.position_lots)  # closes a part
                cost = self.cost - share if self.cost >= 0 else self.cost + share
            else:
                cost = price_ticks * position  # closes all and opens the rest on the other side
            cash = self.cash - price_ticks * signed
            bought = self.bought_lots + (size_lots if side == BUY else 0)
            sold = self.sold_lots + (size_lots if side == SELL else 0)
            turnover = self.turnover + price_ticks * size_lots
            after = (position, cash, cost, cash + cost, self.fees + fee, bought, sold, turnover)
            if not all(-(2**63) <= value < 2**63 for value in after):
                raise OverflowError(
                    "position, cash, cost and turnover must fit into 64 bits: "
                    f"{where}price_ticks={price_ticks} size_lots={size_lots} fee={fee}"
                )
        except (ValueError, OverflowError):
            self.refused += 1
            raise
        self.position_lots, self.cash, self.cost, _, self.fees, self.bought_lots, self.sold_lots, self.turnover = after
        self.fills += 1

    @staticmethod
    def _check(side: int, price_ticks: int, size_lots: int, where: str) -> None:
        if side not in (BUY, SELL):
            raise ValueError(f"side must be 1 (buy) or -1 (sell): {where}side={side}")
        if size_lots < 1:
            raise ValueError(f"size_lots must be at least 1: {where}size_lots={size_lots}")
        if price_ticks < 1:
            raise ValueError(f"price_ticks must be at least 1: {where}price_ticks={price_ticks}")

    def unrealised(self, mark_ticks: int) -> int:
        """Return the profit of the open lots at a price."""
        return self.position_lots * _checked_mark(mark_ticks) - self.cost

    def net(self, mark_ticks: int) -> int:
        """Return realised and unrealised profit minus fees."""
        return self.realised + self.unrealised(mark_ticks) - self.fees


def _checked_mark(mark_ticks: int) -> int:
    if mark_ticks < 1:
        raise ValueError(f"mark_ticks must be at least 1: mark_ticks={mark_ticks}")
    return mark_ticks


class Portfolio:
    """The positions in many instruments, by symbol id."""

    def __init__(self, capacity: int) -> None:
        if not 1 <= capacity < 2**32:
            raise range_error("capacity", capacity, 1, 2**32 - 1)
        self.capacity = capacity
        self._positions = [Position() for _ in range(capacity)]
        self._marks: list[int | None] = [None] * capacity

    def __len__(self) -> int:
        return self.capacity

    def _at(self, symbol_id: int) -> Position:
        if not 0 <= symbol_id < self.capacity:
            raise IndexError(f"symbol_id must be in 0..{self.capacity - 1}: symbol_id={symbol_id}")
        return self._positions[symbol_id]

    def __getitem__(self, symbol_id: int) -> Position:
        return copy(self._at(symbol_id))

    def fill(self, symbol_id: int, side: int, price_ticks: int, size_lots: int, fee: int = 0) -> None:
        """Account a fill."""
        self._at(symbol_id).fill(side, price_ticks, size_lots, fee, where=f"symbol_id={symbol_id} ")

    def apply(self, events: NDArray[np.void]) -> int:
        """Account every event of kind ``fill``; other kinds are passed over."""
        if not isinstance(events, np.ndarray) or events.dtype != EVENT_DTYPE:
            raise TypeError(f"events must be a NumPy array of EVENT_DTYPE: dtype={getattr(events, 'dtype', type(events))}")
        if events.ndim != 1 or not events.flags.c_contiguous:
            raise ValueError(f"events must be one-dimensional and C-contiguous: shape={events.shape} strides={events.strides}")
        rows: list[tuple[int, Any]] = [(i, row) for i, row in enumerate(events) if row["kind"] == KINDS["fill"]]
        for i, row in rows:
            if row["symbol_id"] >= self.capacity:
                raise IndexError(f"symbol_id must be in 0..{self.capacity - 1}: symbol_id={row['symbol_id']}, index={i}")
        for i, row in rows:
            self._at(int(row["symbol_id"])).fill(int(row["side"]), int(row["price"]), int(row["size"]), where=f"index={i} ")
        return len(rows)

    def mark(self, symbol_id: int, mark_ticks: int) -> None:
        """Set the price at which the open lots of one instrument are valued."""
        self._at(symbol_id)
        self._marks[symbol_id] = _checked_mark(mark_ticks)

    def unrealised(self, symbol_id: int) -> int:
        """Return the profit of the open lots of one instrument at its mark."""
        position, mark = self._at(symbol_id), self._marks[symbol_id]
        if position.position_lots == 0:
            return 0
        if mark is None:
            raise ValueError(f"an open position must have a mark: symbol_id={symbol_id} position_lots={position.position_lots}")
        return position.unrealised(mark)

    def to_numpy(self) -> NDArray[np.void]:
        """Return all positions, one row per symbol id."""
        return np.array([tuple(getattr(p, name) for name in _FIELDS) for p in self._positions], POSITION_DTYPE)

    def totals(self, unit_values: ArrayLike | None = None) -> dict[str, float]:
        """Sum up in money."""
        values = np.ones(self.capacity) if unit_values is None else np.asarray(unit_values, np.float64)
        if values.shape != (self.capacity,):
            raise ValueError(f"unit_values must have one value per symbol id: shape={values.shape} capacity={self.capacity}")
        for i, value in enumerate(values):
            if not 0.0 < value < math.inf:
                raise ValueError(f"unit_values must be finite and positive: index={i} unit_value={value}")
        used = [(i, p, float(values[i])) for i, p in enumerate(self._positions) if p.fills]
        realised = [p.realised * value for _, p, value in used]
        unrealised = [self.unrealised(i) * value for i, _, value in used]
        fees = [p.fees * value for _, p, value in used]
        return {
            "realised": math.fsum(realised),
            "unrealised": math.fsum(unrealised),
            "fees": math.fsum(fees),
            "net": math.fsum(realised + unrealised + [-fee for fee in fees]),
            "turnover": math.fsum(p.turnover * value for _, p, value in used),
        }
