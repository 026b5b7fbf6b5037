"""Plain-Python twin of ``fastcore.synthetic``: the same draws in the same order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .book import OrderBook, OrderTable
from .records import BUY, EVENT_DTYPE, FLAGS, KINDS, NO_PRICE, SELL

OVERHEAD = (6, 4)

_MASK = 2**64 - 1
_INCREMENT = 100
_FEWEST = 8
_TYPICAL = 160
_DEEPEST = 400
_ATTRIBUTION = int.from_bytes(b"SYNT", "big")
_SECOND = 10**9
_OPEN_NS = 34_200 * _SECOND
_CLOSE_NS = 57_600 * _SECOND

# exch_ns and seq aside: kind, symbol_id, side, flags, price, size, order_id, match_id
_Fields = dict[str, int]


class _Random:
    """xoshiro256++, seeded by splitmix64."""

    def __init__(self, seed: int) -> None:
        self.r = []
        for _ in range(4):
            seed = (seed + 0x9E3779B97F4A7C15) & _MASK
            z = (seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
            z = (z ^ (z >> 27)) * 0x94D049BB133111EB & _MASK
            self.r.append(z ^ (z >> 31))

    def draw(self) -> int:
        def rotated(x: int, k: int) -> int:
            return (x << k | x >> (64 - k)) & _MASK

        r = self.r
        result = (rotated((r[0] + r[3]) & _MASK, 23) + r[0]) & _MASK
        t = r[1] << 17 & _MASK
        r[2] ^= r[0]
        r[3] ^= r[1]
        r[1] ^= r[2]
        r[0] ^= r[3]
        r[2] ^= t
        r[3] = rotated(r[3], 45)
        return result

    def below(self, n: int) -> int:
        return (self.draw() >> 32) * n >> 32

    def uniform(self) -> float:
        return (self.draw() >> 11) * 2.0**-53

    def exponential(self) -> float:
        k = (self.draw() >> 11) + 1
        e = k.bit_length() - 1
        m = k / 2.0**e
        x = (m - 1.0) / (m + 1.0)
        x2 = x * x
        total = 0.0
        for i in range(19, 0, -2):
            total = total * x2 + 1.0 / i
        return (53 - e) * 0.6931471805599453 - 2.0 * x * total

    def power_law(self, most: int) -> int:
        root = math.sqrt(((self.draw() >> 11) + 1) * 2.0**-53)
        return min(int(1.0 / (root * math.sqrt(root))), most)

    def size(self) -> int:
        if self.below(5) == 0:
            return 1 + self.below(99)
        return 100 * self.power_law(20)


class _Market:
    def __init__(self, number: int, symbol: str, orders: OrderTable, random: _Random) -> None:
        self.symbol = int.from_bytes(symbol.encode().ljust(8), "little")
        self.book = OrderBook(number, orders)
        self.fair = 2000.0 + random.below(18_000)
        self.anchor = self.fair
        self.live: list[int] = []
        self.sides = {BUY: 0, SELL: 0}

    def remember(self, order_id: int, side: int) -> None:
        self.live.append(order_id)
        self.sides[side] += 1

    def forget(self, order_id: int, side: int) -> None:
        place = self.live.index(order_id)
        last = self.live.pop()
        if place < len(self.live):
            self.live[place] = last
        self.sides[side] -= 1


class SyntheticMarket:
    """Make the events of a synthetic trading day, in the order of time."""

    def __init__(self, messages: int, seed: int = 1, symbols: Sequence[str] | str = ("SYNTH",), midnight_ns: int = 0) -> None:
        names = (symbols,) if isinstance(symbols, str) else tuple(symbols)
        if not 1 <= len(names) <= 65_535 or len(set(names)) != len(names):
            raise ValueError(f"symbols must be 1 to 65535 different names: count={len(names)}")
        for name in names:
            if not (isinstance(name, str) and name.isascii() and 1 <= len(name.strip()) == len(name) <= 8):
                raise ValueError(f"a symbol must have 1 to 8 ASCII characters: symbol={name!r}")
        least = OVERHEAD[0] + OVERHEAD[1] * len(names)
        if not least <= messages < 2**40:
            raise ValueError(f"messages must lie in {least}..2**40-1 with {len(names)} symbols: messages={messages}")
        if not 0 <= seed < 2**64:
            raise ValueError(f"seed must lie in 0..2**64-1: seed={seed}")
        if not -(2**62) <= midnight_ns <= 2**62:
            raise ValueError(f"midnight_ns must lie within +-2**62: midnight_ns={midnight_ns}")
        self.symbols = names
        self.seed = seed
        self._random = _Random(seed)
        self._midnight_ns = midnight_ns
        self._total = messages
        self._done = 0
        self._now_ns = 0
        self._next_order = self._next_match = 0
        self._excitement = 0.0
        self._pending_lots = self._pending_side = 0
        self._current = 0
        orders = OrderTable()
        self._markets = [_Market(i + 1, name, orders, self._random) for i, name in enumerate(names)]

    @property
    def remaining(self) -> int:
        """Events that are still to come."""
        return self._total - self._done

    def fill(self, events: npt.NDArray[np.void]) -> int:
        """Write the next events; returns their number."""
        for i in range(len(events)):
            if self._done == self._total:
                return i
            fields = self._next()
            self._done += 1
            row = np.zeros((), EVENT_DTYPE)
            row["exch_ns"] = self._midnight_ns + self._now_ns
            for name, value in fields.items():
                row[name] = value
            row["seq"] = events[i]["seq"]
            events[i] = row
        return len(events)

    # ---- flow ----

    def _price(self, m: _Market, side: int) -> int:
        depth = self._random.power_law(_DEEPEST) - 1
        price = int(m.fair)
        if side > 0:
            if m.book.best_ask is not None:
                price = min(price, m.book.best_ask // _INCREMENT - 1)
            return max(price - depth, 1)
        price += 1
        if m.book.best_bid is not None:
            price = max(price, m.book.best_bid // _INCREMENT + 1)
        return price + depth

    def _add(self, m: _Market, side: int) -> _Fields:
        self._next_order += 1 + self._random.below(8)
        price = self._price(m, side) * _INCREMENT
        size = self._random.size()
        attribution = _ATTRIBUTION if self._random.below(20) == 0 else 0
        m.book.add(self._next_order, side, price, size)
        m.remember(self._next_order, side)
        return {
            **{"kind": KINDS["add"], "side": side, "price": price, "size": size},
            **{"order_id": self._next_order, "match_id": attribution},
        }

    def _execution(self, m: _Market) -> _Fields:
        other = -self._pending_side
        if m.sides[other] <= _FEWEST:
            self._pending_lots = 0
            return self._add(m, other)
        best = m.book.best_ask if other == SELL else m.book.best_bid
        assert best is not None
        order_id, resting, _ = m.book.queue(other, best)[0].tolist()
        size = min(resting, self._pending_lots)
        price, flags = NO_PRICE, 0
        if self._random.below(32) == 0:
            price = best
            if self._random.below(2) == 0:
                flags = FLAGS["not_printable"]
        self._next_match += 1
        self._pending_lots -= size
        if size == resting:
            m.forget(order_id, other)
        m.book.execute(order_id, size)
        return {
            **{"kind": KINDS["execute"], "flags": flags, "price": price, "size": size},
            **{"order_id": order_id, "match_id": self._next_match},
        }

    def _aggression(self, m: _Market, side: int) -> _Fields:
        self._pending_side = side
        self._pending_lots = self._random.size()
        return self._execution(m)

    def _change(self, m: _Market, u: float) -> _Fields:
        order_id = m.live[self._random.below(len(m.live))]
        order = m.book.order(order_id)
        assert order is not None
        side, _, resting, _ = order
        if m.sides[side] <= _FEWEST:
            return self._add(m, side)
        if u < 0.1:
            m.forget(order_id, side)
            self._next_order += 1 + self._random.below(8)
            price = self._price(m, side) * _INCREMENT
            size = self._random.size()
            m.book.replace(order_id, self._next_order, price, size)
            m.remember(self._next_order, side)
            return {
                **{"kind": KINDS["replace"], "price": price, "size": size},
                **{"order_id": order_id, "match_id": self._next_order},
            }
        if u < 0.2 and resting > 1:
            size = 1 + self._random.below(resting - 1)
            m.book.cancel(order_id, size)
            return {"kind": KINDS["cancel"], "price": NO_PRICE, "size": size, "order_id": order_id}
        m.forget(order_id, side)
        m.book.delete(order_id)
        return {"kind": KINDS["delete"], "price": NO_PRICE, "order_id": order_id}

    def _hidden_trade(self, m: _Market) -> _Fields:
        bid, ask = m.book.best_bid, m.book.best_ask
        assert bid is not None
        assert ask is not None
        size = self._random.size()
        self._next_match += 1
        return {
            **{"kind": KINDS["trade"], "side": BUY, "flags": FLAGS["hidden"], "price": bid + (ask - bid) // 2},
            **{"size": size, "match_id": self._next_match},
        }

    def _advance(self) -> None:
        random = self._random
        left = _CLOSE_NS - self._now_ns
        middle = 2.0 * ((self._now_ns - _OPEN_NS) / (_CLOSE_NS - _OPEN_NS)) - 1.0
        self._excitement *= 0.92
        if random.below(64) == 0:
            self._excitement += 24.0
        gap = 2.2 * random.exponential() * (left / (self._total - self._done))
        gap = gap / ((1.0 + self._excitement) * (0.6 + 1.2 * middle * middle))
        self._now_ns += int(min(gap, 0.25 * left))
        if random.below(2) == 0:
            self._current = random.below(len(self._markets))

    def _flow(self) -> _Fields:
        random = self._random
        if self._pending_lots == 0:
            self._advance()
        m = self._markets[self._current]
        return {"symbol_id": self._current + 1} | (self._execution(m) if self._pending_lots else self._decide(m, random))

    def _decide(self, m: _Market, random: _Random) -> _Fields:
        u = random.uniform()
        for _ in range(3):
            u += random.uniform()
        m.fair += (u - 2.0) * 0.12 + (m.anchor - m.fair) * 0.00002
        m.fair = max(m.fair, 20.0)
        for side in (BUY, SELL):
            if m.sides[side] < _FEWEST:
                return self._add(m, side)
        bid, ask = m.book.best_bid, m.book.best_ask
        assert bid is not None
        assert ask is not None
        if random.uniform() < 0.1:
            if ask // _INCREMENT < m.fair - 0.5:
                return self._aggression(m, BUY)
            if bid // _INCREMENT > m.fair + 0.5:
                return self._aggression(m, SELL)
        side = BUY if random.below(2) == 0 else SELL
        arrivals = max(0.5 + 0.4 * (_TYPICAL - float(len(m.live))) / _TYPICAL, 0.1)
        if random.uniform() < arrivals:
            return self._add(m, side)
        u = random.uniform()
        if u < 0.04:
            return self._aggression(m, side)
        if u < 0.06:
            return self._hidden_trade(m)
        return self._change(m, random.uniform())

    # ---- session ----

    def _fixed(self, now_ns: int, kind: str, number: int, letter: str) -> _Fields:
        self._now_ns = now_ns
        fields: dict[str, Any] = {"kind": KINDS[kind], "symbol_id": number, "price": ord(letter)}
        if kind == "listing":
            rest = int.from_bytes(b"QNNCZ TN", "little"), int.from_bytes(b"N N\0\0\0\0N", "little")
            fields |= {"price": self._markets[number - 1].symbol, "size": 100, "order_id": rest[0], "match_id": rest[1]}
        elif kind == "status":
            fields |= {"size": int.from_bytes(b"    ", "big"), "order_id": ord(" ")}
        elif kind == "cross":
            size = 100 * (1 + self._random.below(500))
            self._next_match += 1
            fields |= {"price": int(self._markets[number - 1].fair) * _INCREMENT, "size": size}
            fields |= {"order_id": ord(letter), "match_id": self._next_match}
        return fields

    def _next(self) -> _Fields:
        n, i, left = len(self._markets), self._done, self._total - self._done
        if i == 0:
            return self._fixed(10_800 * _SECOND, "system", 0, "O")
        if i < 1 + n:
            return self._fixed(10_900 * _SECOND + i, "listing", i, "\0")
        if i == 1 + n:
            return self._fixed(14_400 * _SECOND, "system", 0, "S")
        if i < 2 + 2 * n:
            return self._fixed(14_500 * _SECOND + i - 1 - n, "status", i - 1 - n, "T")
        if i == 2 + 2 * n:
            return self._fixed(_OPEN_NS, "system", 0, "Q")
        if i < 3 + 3 * n:
            return self._fixed(_OPEN_NS, "cross", i - 2 - 2 * n, "O")
        if left > 3 + n:
            return self._flow()
        if left > 3:
            return self._fixed(_CLOSE_NS, "cross", 3 + n - left + 1, "C")
        now, letter = {3: (_CLOSE_NS, "M"), 2: (72_000 * _SECOND, "E"), 1: (72_300 * _SECOND, "C")}[left]
        return self._fixed(now, "system", 0, letter)
