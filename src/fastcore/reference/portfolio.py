"""Plain-Python twin of ``fastcore.portfolio``: the accounting in Python's own integers."""

from copy import copy
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastcore.errors import range_error
from fastcore.instruments import Instrument, Instruments
from fastcore.records import BUY, EVENT_DTYPE, KINDS, NO_PRICE, SELL

_LOTS = ("position_lots", "bought_lots", "sold_lots", "fills", "refused")
_MONEY = ("cash", "cost", "fees", "turnover")
POSITION_DTYPE = np.dtype([(name, np.int64) for name in _LOTS] + [(name, np.float64) for name in _MONEY])
_UNIT = 10**9


def _towards_zero(a: int, b: int) -> int:
    return a // b if a >= 0 else -(-a // b)


def _fits(*amounts: int) -> bool:
    return all(-(2**127) <= amount < 2**127 for amount in amounts)


def _units(billionths: int) -> int | Fraction:
    return Fraction(billionths, _UNIT) if billionths % _UNIT else billionths // _UNIT


class Position:
    """The position in one instrument; money in billionths of a unit, read in units."""

    def __init__(self, instrument: Instrument | None = None) -> None:
        self._inverse = instrument is not None and instrument.kind == "inverse"
        self._signed = instrument is not None and instrument.signed_prices
        self._rule = "a price" if self._signed else "at least 1"
        self.reset()

    def reset(self) -> None:
        """Start again from nothing."""
        self.position_lots = self._cash = self._cost = self._fees = 0
        self.bought_lots = self.sold_lots = self._turnover = self.fills = self.refused = 0

    @property
    def cash(self) -> int | Fraction:
        """Received minus paid, before fees."""
        return _units(self._cash)

    @property
    def cost(self) -> int | Fraction:
        """What the open position cost."""
        return _units(self._cost)

    @property
    def fees(self) -> int | Fraction:
        """Paid; a rebate lowers it."""
        return _units(self._fees)

    @property
    def turnover(self) -> int | Fraction:
        """Value traded on both sides."""
        return _units(self._turnover)

    @property
    def realised(self) -> int | Fraction:
        """Profit of the closed lots, before fees."""
        return _units(self._cash + self._cost)

    @property
    def volume_lots(self) -> int:
        """Lots traded."""
        return self.bought_lots + self.sold_lots

    @property
    def average_price(self) -> float | None:
        """Average price of the open lots in ticks; None when flat, and where inverse lots are worth less than a billionth."""
        if self.position_lots == 0 or (self._inverse and self._cost == 0):
            return None
        if self._inverse:
            return -float(self.position_lots) * 1e18 / self._cost
        return float(self._cost) / 1e9 / float(self.position_lots)

    def _value(self, price_ticks: int, lots: int) -> int:
        return _towards_zero(-lots * _UNIT * _UNIT, price_ticks) if self._inverse else price_ticks * lots * _UNIT

    def fill(self, side: int, price_ticks: int, size_lots: int, fee: int | Fraction = 0, *, where: str = "") -> None:
        """Account a fill."""
        paid = Fraction(fee) * _UNIT
        if paid.denominator != 1:
            raise ValueError(f"fee must be a whole number of billionths of a tick times a lot: fee={fee}")
        if not _fits(paid.numerator):
            raise OverflowError(f"money must fit into 128 bits: billionths={paid.numerator}")
        try:
            self._check(side, price_ticks, size_lots, where)
            signed = size_lots if side == BUY else -size_lots
            value = self._value(price_ticks, signed)
            position = self.position_lots + signed
            if self.position_lots == 0 or (self.position_lots > 0) == (signed > 0):
                cost = self._cost + value  # opens or adds
            elif size_lots < abs(self.position_lots):
                cost = self._cost - _towards_zero(self._cost * size_lots, abs(self.position_lots))  # closes a part
            else:
                cost = self._value(price_ticks, position)  # closes all and opens the rest on the other side
            cash = self._cash - value
            bought = self.bought_lots + (size_lots if side == BUY else 0)
            sold = self.sold_lots + (size_lots if side == SELL else 0)
            fees, turnover = self._fees + paid.numerator, self._turnover + abs(value)
            lots_fit = all(-(2**63) <= lots < 2**63 for lots in (position, bought, sold))
            if not lots_fit or not _fits(value, cost, cash, cash + cost, fees, turnover):
                raise OverflowError(
                    "lots must fit into 64 bits, cash, cost and turnover into 128: "
                    f"{where}price_ticks={price_ticks} size_lots={size_lots} fee={fee}"
                )
        except (ValueError, OverflowError):
            self.refused += 1
            raise
        self.position_lots, self.bought_lots, self.sold_lots = position, bought, sold
        self._cash, self._cost, self._fees, self._turnover = cash, cost, fees, turnover
        self.fills += 1

    def _priced(self, ticks: int) -> bool:
        return ticks >= 1 or (self._signed and ticks != NO_PRICE)

    def _check(self, side: int, price_ticks: int, size_lots: int, where: str) -> None:
        if side not in (BUY, SELL):
            raise ValueError(f"side must be 1 (buy) or -1 (sell): {where}side={side}")
        if size_lots < 1:
            raise ValueError(f"size_lots must be at least 1: {where}size_lots={size_lots}")
        if not self._priced(price_ticks):
            raise ValueError(f"price_ticks must be {self._rule}: {where}price_ticks={price_ticks}")

    def _checked_mark(self, mark_ticks: int) -> int:
        if not self._priced(mark_ticks):
            raise ValueError(f"mark_ticks must be {self._rule}: mark_ticks={mark_ticks}")
        return mark_ticks

    def unrealised(self, mark_ticks: int) -> int | Fraction:
        """Return the profit of the open lots at a price."""
        return self._profit(mark_ticks, 0, 0)

    def net(self, mark_ticks: int) -> int | Fraction:
        """Return realised and unrealised profit minus fees."""
        return self._profit(mark_ticks, self._cash + self._cost, self._fees)

    def _profit(self, mark_ticks: int, realised: int, fees: int) -> int | Fraction:
        value = self._value(self._checked_mark(mark_ticks), self.position_lots)
        steps = (value, value - self._cost, value - self._cost + realised, value - self._cost + realised - fees)
        if not _fits(*steps):
            raise OverflowError(f"profit must fit into 128 bits: position_lots={self.position_lots} mark_ticks={mark_ticks}")
        return _units(steps[-1])


class Portfolio:
    """The positions in many instruments, by symbol id."""

    def __init__(self, capacity: int, instruments: Instruments | None = None) -> None:
        if not 1 <= capacity < 2**32:
            raise range_error("capacity", capacity, 1, 2**32 - 1)
        self.capacity = capacity
        rows = list(instruments or ())[:capacity]
        self._positions = [Position(instrument) for instrument in rows + [None] * (capacity - len(rows))]
        self._marks: list[int | None] = [None] * capacity

    def __len__(self) -> int:
        return self.capacity

    def _at(self, symbol_id: int) -> Position:
        if not 0 <= symbol_id < self.capacity:
            raise IndexError(f"symbol_id must be in 0..{self.capacity - 1}: symbol_id={symbol_id}")
        return self._positions[symbol_id]

    def __getitem__(self, symbol_id: int) -> Position:
        return copy(self._at(symbol_id))

    def fill(self, symbol_id: int, side: int, price_ticks: int, size_lots: int, fee: int | Fraction = 0) -> None:
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
        self._marks[symbol_id] = self._at(symbol_id)._checked_mark(mark_ticks)

    def unrealised(self, symbol_id: int) -> int | Fraction:
        """Return the profit of the open lots of one instrument at its mark."""
        position, mark = self._at(symbol_id), self._marks[symbol_id]
        if position.position_lots == 0:
            return 0
        if mark is None:
            raise ValueError(f"an open position must have a mark: symbol_id={symbol_id} position_lots={position.position_lots}")
        return position.unrealised(mark)

    def to_numpy(self) -> NDArray[np.void]:
        """Return all positions, one row per symbol id."""
        return np.array([tuple(getattr(p, name) for name in _LOTS + _MONEY) for p in self._positions], POSITION_DTYPE)

    def totals(self, unit_values: Any = None) -> dict[str, float]:
        """Sum up in money."""
        values = [1] * self.capacity if unit_values is None else list(unit_values)
        if len(values) != self.capacity:
            raise ValueError(f"unit_values must have one value per symbol id: values={len(values)} capacity={self.capacity}")
        for i, value in enumerate(values):
            if not 0.0 < value < float("inf"):
                raise ValueError(f"unit_values must be finite and positive: index={i} unit_value={value}")
        used = [(i, p, Fraction(values[i])) for i, p in enumerate(self._positions) if p.fills]
        realised = sum(p.realised * value for _, p, value in used)
        unrealised = sum(self.unrealised(i) * value for i, _, value in used)
        fees, turnover = (sum(getattr(p, name) * value for _, p, value in used) for name in ("fees", "turnover"))
        sums = {"realised": realised, "unrealised": unrealised, "fees": fees, "net": realised + unrealised - fees, "turnover": turnover}
        return {name: float(total) for name, total in sums.items()}
