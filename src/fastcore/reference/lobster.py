"""Plain-Python twin of ``fastcore.wire.lobster``: a dict of sizes for each side, sorted and cut behind every message."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

_EMPTY = 9_999_999_999
_MAX = 2**63 - 1
_RULES = (
    "",
    "a row has its levels in the order of prices, with sizes, and the empty ones behind them",
    "a message has a type of 1..7, and with types 1..4 a side, a price and a size",
    "what a message takes off is there",
    "the bids of the row are those of the window",
    "the asks of the row are those of the window",
)


def _levels(row: list[int], side: int) -> list[tuple[int, int]] | None:
    """Levels of a side of a row, best first; None where it is not well formed."""
    at = 2 if side == 1 else 0
    pairs = list(zip(row[at::4], row[at + 1 :: 4], strict=True))
    found = [(price, size) for price, size in pairs if (price, size) != (-side * _EMPTY, 0)]
    prices = [price for price, _ in found]
    well = (
        pairs[: len(found)] == found
        and all(size > 0 and 0 < price < _EMPTY for price, size in found)
        and prices == sorted(set(prices), reverse=side == 1)
    )
    return found if well else None


class LobsterWindow:
    """The N-level window of a LOBSTER sample, compared with its orderbook file."""

    def __init__(self, levels: int) -> None:
        if not 1 <= levels <= 200:
            raise ValueError(f"levels must lie in 1..200: levels={levels}")
        self.levels = levels
        self.checked = self.matched = self.revealed = 0
        self._misses: list[tuple[int, str]] = []
        self._window: dict[int, list[tuple[int, int]]] = {1: [], -1: []}

    def _change(self, kind: int, size: int, price: int, side: int) -> bool:
        """Apply a message of type 1..4; False where what it takes off is not there."""
        sizes = dict(self._window[side])
        here = sizes.get(price, 0)
        if kind == 1:
            if here + size > _MAX:
                return False
            sizes[price] = here + size
        elif size > here:
            return False
        else:
            sizes[price] = here - size
        left = [(p, q) for p, q in sizes.items() if q]
        self._window[side] = sorted(left, reverse=side == 1)[: self.levels]
        return True

    def _one(self, kind: int, size: int, price: int, side: int, row: list[int]) -> int:
        full = {s: len(levels) == self.levels for s, levels in self._window.items()}
        shown = {s: _levels(row, s) for s in (1, -1)}
        rule = 0
        if not 1 <= kind <= 7 or (kind <= 4 and (side not in (1, -1) or size <= 0 or not 0 < price < _EMPTY)):
            rule = 2
        elif kind <= 4 and self.checked and not self._change(kind, size, price, side):
            rule = 3
        for s, levels in shown.items():
            window = self._window[s]
            if levels is None or None in shown.values():
                return 1
            if rule == 0 and self.checked and levels != window:
                if levels[:-1] == window and full[s] and len(window) == self.levels - 1:
                    self.revealed += 1
                else:
                    rule = 4 if s == 1 else 5
            self._window[s] = levels
        return rule

    def apply(self, types: Any, sizes: Any, prices: Any, sides: Any, rows: npt.NDArray[np.int64]) -> int:
        """Apply the next messages and compare the window with the row behind each."""
        if rows.ndim != 2 or rows.shape[1] != 4 * self.levels:
            raise ValueError(f"rows must be contiguous, of shape (n, {4 * self.levels}): shape={rows.shape}")
        before = self.matched
        columns = []
        for name, values in (("types", types), ("sizes", sizes), ("prices", prices), ("sides", sides)):
            a = np.asarray(values, np.int64)
            if a.shape != (len(rows),):
                raise ValueError(f"{name} must have one value for each row: shape={a.shape} rows={len(rows)}")
            columns.append(a.tolist())
        for kind, size, price, side, row in zip(*columns, rows.tolist(), strict=True):
            rule = self._one(kind, size, price, side, row)
            if rule:
                self._misses.append((self.checked, _RULES[rule]))
            else:
                self.matched += 1
            self.checked += 1
        return self.matched - before

    @property
    def first_mismatch(self) -> int | None:
        """Number of the first row that does not match; None when all do."""
        return self._misses[0][0] if self._misses else None

    @property
    def mismatches(self) -> list[tuple[int, str]]:
        """The first 64 rows that do not match."""
        return self._misses[:64]

    def depth(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Return the window: (bids, asks), best first."""
        return self._window[1], self._window[-1]
