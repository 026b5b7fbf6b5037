"""Plain-Python twin of ``fastcore.sim.synthetic``: the same draws in the same order."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastcore.records import BUY, EVENT_DTYPE, FLAGS, KINDS, NO_PRICE, SELL, SESSION, TRADING

from .book import OrderBook, OrderTable

OVERHEAD = (6, 4)

_MASK = 2**64 - 1
_INCREMENT = 100
_FEWEST = 8
_DEEPEST = 400
_ATTRIBUTION = int.from_bytes(b"SYNT", "big")
_SECOND = 10**9
_OPEN_NS = 34_200 * _SECOND
_CLOSE_NS = 57_600 * _SECOND

_LOWEST = 20.0
_MOST_STEPS = 2**26

# exch_ns and seq aside: kind, symbol_id, side, flags, price, size, order_id, match_id
_Fields = dict[str, int]


class Pair(NamedTuple):
    """Two symbols whose prices belong together: second = hedge_ratio * first + constant + spread."""

    first: str
    second: str
    hedge_ratio: float = 1.0
    half_life_s: float = 60.0
    spread_ticks: float = 1_000.0


class Truth(NamedTuple):
    """What an estimate should find."""

    options: dict[str, Any]
    times_ns: npt.NDArray[np.int64] | None
    reference: npt.NDArray[np.float64] | None
    spreads: npt.NDArray[np.float64] | None
    intensity: npt.NDArray[np.float64] | None


def _natural_log(y: float) -> float:
    m, e = math.frexp(y)
    x = (2.0 * m - 1.0) / (2.0 * m + 1.0)
    x2 = x * x
    total = 0.0
    for i in range(19, 0, -2):
        total = total * x2 + 1.0 / i
    return (e - 1) * 0.6931471805599453 + 2.0 * x * total


def _natural_exp(y: float) -> float:
    if y < -700.0:
        return 0.0
    k = int(y * 1.4426950408889634 + (0.5 if y >= 0.0 else -0.5))
    r = y - k * 0.6931471805599453
    total = 1.0
    for i in range(10, 0, -1):
        total = 1.0 + r * total * (1.0 / i)
    return math.ldexp(total, k)


class _Random:
    """xoshiro256++, seeded by splitmix64; `jump` states are left out at first."""

    def __init__(self, seed: int, jump: int = 0) -> None:
        self.r = []
        for _ in range(jump + 4):
            seed = (seed + 0x9E3779B97F4A7C15) & _MASK
            z = (seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
            z = (z ^ (z >> 27)) * 0x94D049BB133111EB & _MASK
            self.r.append(z ^ (z >> 31))
        del self.r[:jump]

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

    def normal(self) -> float:
        total = sum(x >> shift & 0xFFFF for x in (self.draw(), self.draw()) for shift in (0, 16, 32, 48))
        return (total - 262_140) * 1.8688123650118534e-05

    def depth(self, tail: float) -> int:
        if tail == 0.0:
            return self.power_law(_DEEPEST)
        x = self.exponential() * tail
        return _DEEPEST if x > 7.0 else min(int(_natural_exp(x)), _DEEPEST)

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


# Time of day in seconds, kind, symbol id, side, flags, payload
_Scripted = tuple[int, str, int, int, int, tuple[int, int, int, int]]


def _scripted(prices: list[int]) -> tuple[list[_Scripted], ...]:
    """The types that the flow lacks: before the open, at the close, after it."""
    n, first, last = len(prices), prices[0], prices[-1]
    before: list[_Scripted] = []
    close: list[_Scripted] = []
    after: list[_Scripted] = []

    def message(time: int, kind: str, symbol_id: int, *payloads: tuple[int, int, int, int], side: int = 0) -> list[_Scripted]:
        flags = [FLAGS["continued"]] * (len(payloads) - 1) + [0]
        return [(time, kind, symbol_id, side, flag, payload) for flag, payload in zip(flags, payloads, strict=True)]

    def notice(time: int, letter: str, symbol_id: int, *payloads: tuple[int, int, int]) -> list[_Scripted]:
        return message(time, "notice", symbol_id, *((ord(letter), *payload) for payload in payloads))

    before += notice(14_600, "V", 0, (4_464 * 10**8, 4_176 * 10**8, 3_840 * 10**8))
    for i in range(1, n + 1):
        before += notice(14_700, "Y", i, (ord("012"[i % 3]), 0, 0))
        before += notice(14_700, "L", i, (_ATTRIBUTION, ord("Y") + (ord("N") << 8) + (ord("A") << 16), 0))
        before += notice(14_700, "N", i, (ord("BSAN"[i % 4]), 0, 0))
    before += notice(14_800, "K", 1, (34_200, ord("A"), first))
    before += notice(14_900, "J", 1, (first, first + 5_000, first - 5_000), (1, 0, 0))
    before += notice(15_000, "h", 1, (ord("Q"), ord("H"), 0))
    before += notice(15_100, "h", 1, (ord("Q"), ord("T"), 0))
    collars = (last - 10_000, last + 10_000, 0), (last - 5_000, last + 5_000, 0)
    before += notice(15_200, "O", n, (ord("Y"), last, 34_100 * _SECOND), *collars)
    for part, time, cross in ((before, 34_080, "O"), (close, 57_600, "C")):
        for i in range(1, n + 1):
            letter = "BSNO"[i % 4]
            imbalance, side = {"B": (100 * i, BUY), "S": (100 * i, SELL)}.get(letter, (0, 0))
            payloads = (0, imbalance, 1_000 * i, ord(cross)), (100, 0, ord(letter), ord("L"))
            part += message(time, "imbalance", i, *payloads, side=side)
    after += message(57_600, "break", n, (NO_PRICE, 0, 0, 0))
    after += notice(57_600, "W", 0, (ord("1"), 0, 0))
    return before, close, after


class _Value:
    """The hidden reference price of one symbol."""

    def __init__(self, start: float, sigma: float) -> None:
        self.start = self.value = start
        self.sigma = sigma
        self.spread = self.ratio = self.keep = self.noise = 0.0
        self.first: _Value | None = None
        self.pair = 0


class _Values:
    """All reference prices, from the start of the day."""

    def __init__(self, starts: Sequence[float], names: tuple[str, ...], steps: int, step_ns: int, o: dict[str, Any]) -> None:
        self.random = _Random(o["seed"], 4)
        self.common, self.own = math.sqrt(o["correlation"]), math.sqrt(1.0 - o["correlation"])
        self.values = [_Value(start, o["volatility"] * start / math.sqrt(float(steps))) for start in starts]
        for number, pair in enumerate(o["pairs"]):
            v = self.values[names.index(pair.second)]
            v.first, v.pair, v.ratio = self.values[names.index(pair.first)], number, pair.hedge_ratio
            v.keep = _natural_exp(-0.6931471805599453 * (step_ns * 1e-9) / pair.half_life_s)
            v.noise = pair.spread_ticks / _INCREMENT * math.sqrt(1.0 - v.keep * v.keep)

    def move(self) -> None:
        factor = self.random.normal() * self.common
        for v in self.values:
            z = self.random.normal()
            if v.first is not None:
                v.spread = v.keep * v.spread + v.noise * z
            else:
                v.value = max(v.value + v.sigma * (factor + self.own * z), _LOWEST)
        for v in self.values:
            if v.first is not None:
                v.value = max(v.start + v.ratio * (v.first.value - v.first.start) + v.spread, _LOWEST)


def _within(name: str, value: float, low: float, high: float) -> float:
    if not low <= float(value) <= high:
        raise ValueError(f"{name} must be in {low:g}..{high:g}: {name}={value}")
    return float(value)


def _checked_pairs(pairs: Sequence[tuple[Any, ...]], names: tuple[str, ...]) -> tuple[Pair, ...]:
    checked = []
    seen = set()
    for one in pairs:
        pair = Pair(*one)
        for name in pair[:2]:
            if name not in names or name in seen:
                raise ValueError(f"a pair must have two symbols of the market that are in no other pair: symbol={name!r}")
            seen.add(name)
        checked.append(
            Pair(
                pair.first,
                pair.second,
                _within("hedge_ratio", pair.hedge_ratio, 0.01, 100.0),
                _within("half_life_s", pair.half_life_s, 0.001, 1e6),
                _within("spread_ticks", pair.spread_ticks, 0.0, 1e6),
            )
        )
    return tuple(checked)


class SyntheticMarket:
    """Make the events of a synthetic trading day, in the order of time."""

    def __init__(
        self,
        messages: int,
        seed: int = 1,
        symbols: Sequence[str] | str = ("SYNTH",),
        midnight_ns: int = 0,
        *,
        tail: float = 4 / 3,
        orders: int = 160,
        reactive: bool = False,
        branching: float | None = None,
        burst_s: float = 0.5,
        u_shape: float = 0.4,
        volatility: float | None = None,
        correlation: float = 0.0,
        pairs: Sequence[tuple[Any, ...]] = (),
        step_s: float = 1.0,
        all_types: bool = False,
    ) -> None:
        names = (symbols,) if isinstance(symbols, str) else tuple(symbols)
        if not 1 <= len(names) <= 65_535 or len(set(names)) != len(names):
            raise ValueError(f"symbols must be 1 to 65535 different names: count={len(names)}")
        for name in names:
            if not (isinstance(name, str) and name.isascii() and 1 <= len(name.strip()) == len(name) <= 8):
                raise ValueError(f"a symbol must have 1 to 8 ASCII characters: symbol={name!r}")
        least = OVERHEAD[0] + OVERHEAD[1] * len(names) + (11 + 7 * len(names) if all_types else 0)
        if not least <= messages < 2**40:
            raise ValueError(f"messages must be in {least}..2**40-1 with {len(names)} symbols: messages={messages}")
        if not 0 <= seed < 2**64:
            raise ValueError(f"seed must be in 0..2**64-1: seed={seed}")
        if not -(2**62) <= midnight_ns <= 2**62:
            raise ValueError(f"midnight_ns must be in -2**62..2**62: midnight_ns={midnight_ns}")
        tail = _within("tail", tail, 0.2, 10.0)
        orders = operator.index(orders)
        if not 32 <= orders <= 1_000_000:
            raise ValueError(f"orders must be in 32..1000000: orders={orders}")
        u_shape = _within("u_shape", u_shape, 0.0, 0.9)
        burst_s = _within("burst_s", burst_s, 1e-6, 3600.0)
        correlation = _within("correlation", correlation, 0.0, 1.0)
        step_s = _within("step_s", step_s, 0.001, 3600.0)
        checked = _checked_pairs(pairs, names)
        if branching is not None:
            branching = _within("branching", branching, 0.0, 0.95)
        if volatility is None and (correlation or checked):
            volatility = 0.02
        if volatility is not None:
            volatility = _within("volatility", volatility, 0.0, 0.2)
        self.symbols = names
        self.seed = seed
        self._options: dict[str, Any] = {
            **{"messages": messages, "seed": seed, "symbols": names, "midnight_ns": midnight_ns, "tail": tail},
            **{"orders": orders, "reactive": bool(reactive), "branching": branching, "burst_s": burst_s, "u_shape": u_shape},
            **{"volatility": volatility, "correlation": correlation, "pairs": checked, "step_s": step_s},
            "all_types": bool(all_types),
        }
        self._random = _Random(seed)
        self._midnight_ns = midnight_ns
        self._total = messages
        self._done = 0
        self._now_ns = 0
        self._next_order = self._next_match = 0
        self._excitement = 0.0
        self._arrivals = 0
        self._pending_lots = self._pending_side = 0
        self._current = 0
        self._tail = 0.0 if tail == 4 / 3 else 1.0 / tail
        self._typical = float(orders)
        self._reactive = bool(reactive)
        self._flat, self._bend = 1.0 - u_shape, u_shape * 30.0 / 10.0
        self._branching, self._decay = branching, 1e-9 / burst_s
        self._step_ns = self._step = self._steps = 0
        self._intensity: list[float] | None = None
        self._values: _Values | None = None
        table = OrderTable()
        self._markets = [_Market(i + 1, name, table, self._random) for i, name in enumerate(names)]
        self._script: tuple[list[_Scripted], ...] = ([], [], [])
        if all_types:
            self._script = _scripted([int(m.fair) * _INCREMENT for m in self._markets])
        if branching is None and volatility is None:
            return
        self._step_ns = int(step_s * 1e9 + 0.5)
        self._steps = (_CLOSE_NS - _OPEN_NS) // self._step_ns
        if branching is not None:
            self._intensity = [self._base_rate(0.95 * (messages - least), 0.0, self._flat + self._bend) * 1e9]
        if volatility is not None:
            if len(names) * (self._steps + 1) > _MOST_STEPS:
                raise ValueError(
                    f"steps of the day times symbols must not exceed 2**26: steps={self._steps} symbols={len(names)}"
                )
            self._values = self._new_values()

    def _new_values(self) -> _Values:
        return _Values([m.anchor for m in self._markets], self.symbols, self._steps, self._step_ns, self._options)

    @property
    def truth(self) -> Truth:
        """What an estimate should find: the parameters and the hidden paths of the day."""
        times = reference = spreads = intensity = None
        if self._step_ns:
            times = self._midnight_ns + _OPEN_NS + self._step_ns * np.arange(self._steps + 1, dtype=np.int64)
        if self._intensity is not None:
            intensity = np.full(self._steps + 1, np.nan)
            intensity[: len(self._intensity)] = self._intensity
        if self._values is not None:
            path = self._new_values()
            reference = np.empty((self._steps + 1, len(self.symbols)))
            spreads = np.empty((self._steps + 1, len(self._options["pairs"])))
            for k in range(self._steps + 1):
                if k:
                    path.move()
                for i, v in enumerate(path.values):
                    reference[k, i] = v.value * _INCREMENT
                    if v.first is not None:
                        spreads[k, v.pair] = v.spread * _INCREMENT
        return Truth(dict(self._options), times, reference, spreads, intensity)

    @property
    def remaining(self) -> int:
        """Events that are still to come."""
        return self._total - self._done

    def fill(self, events: npt.NDArray[np.void]) -> int:
        """Write the next events; returns their number."""
        if any(self._script) and len(events) < 3:
            raise ValueError(f"events must have room for a message of three events: length={len(events)}")
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
        written = len(events)
        while written and events[written - 1]["flags"] & FLAGS["continued"]:
            written -= 1
            self._done -= 1
        return written

    # ---- flow ----

    def _price(self, m: _Market, side: int) -> int:
        depth = self._random.depth(self._tail) - 1
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

    def _pull(self, m: _Market, side: int) -> _Fields:
        if m.sides[side] <= _FEWEST:
            return self._add(m, side)
        best = m.book.best_ask if side == SELL else m.book.best_bid
        assert best is not None
        order_id = int(m.book.queue(side, best)[0]["order_id"])
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

    def _move_to(self, now_ns: int, base: float) -> None:
        while self._step < self._steps:
            next_ns = _OPEN_NS + (self._step + 1) * self._step_ns
            if next_ns > now_ns:
                break
            self._step += 1
            if self._intensity is not None:
                caused = self._excitement * _natural_exp(-self._decay * (next_ns - self._now_ns))
                self._intensity.append((base + caused) * 1e9)
            if self._values is not None:
                self._values.move()
                for m, v in zip(self._markets, self._values.values, strict=True):
                    m.fair = v.value
        self._now_ns = now_ns

    def _base_rate(self, arrivals: float, day: float, rate: float) -> float:
        assert self._branching is not None
        middle = 2.0 * day - 1.0
        share = self._flat * (1.0 - day) + self._bend * (1.0 - middle * middle * middle) / 6.0
        return (1.0 - self._branching) * arrivals * rate / (share * (_CLOSE_NS - _OPEN_NS))

    def _branched_gap(self, base: float) -> tuple[float, float]:
        gap = self._random.exponential() / base
        if self._branching == 0.0:
            return gap, 1.0
        kept = _natural_exp(-self._decay * gap)
        if self._excitement > 0.0:
            caused = 1.0 - self._random.exponential() * self._decay / self._excitement
            if caused > kept:
                return -_natural_log(caused) / self._decay, caused
        return gap, kept

    def _advance(self) -> None:
        random = self._random
        left = _CLOSE_NS - self._now_ns
        messages = self._total - self._done
        day = (self._now_ns - _OPEN_NS) / (_CLOSE_NS - _OPEN_NS)
        middle = 2.0 * day - 1.0
        rate = self._flat + self._bend * middle * middle
        base = gap = 0.0
        kept = 1.0
        if self._branching is None:
            self._excitement *= 0.92
            if random.below(64) == 0:
                self._excitement += 24.0
            gap = 2.2 * random.exponential() * (left / messages) / ((1.0 + self._excitement) * rate)
        elif left > 0:
            n = len(self._markets)
            before, close, after = map(len, self._script)
            share = (self._arrivals + 950.0) / (float(self._done - 3 - 3 * n - before) + 1000.0)
            base = self._base_rate(float(messages - 3 - n - close - after) * share, day, rate)
            gap, kept = self._branched_gap(base)
            self._arrivals += 1
        gap = min(gap, 0.25 * left)
        self._move_to(self._now_ns + int(gap), base)
        if self._branching:
            self._excitement = self._excitement * kept + self._branching * self._decay
        if random.below(2) == 0:
            self._current = random.below(len(self._markets))

    def _aggressor(self, m: _Market) -> int:
        sizes = [float(side["size"][0]) for side in m.book.depth(1)]
        return BUY if self._random.uniform() * (sizes[0] + sizes[1]) < sizes[0] else SELL

    def _flow(self) -> _Fields:
        random = self._random
        if self._pending_lots == 0:
            self._advance()
        m = self._markets[self._current]
        return {"symbol_id": self._current + 1} | (self._execution(m) if self._pending_lots else self._decide(m, random))

    def _decide(self, m: _Market, random: _Random) -> _Fields:
        if self._values is None:
            u = random.uniform()
            for _ in range(3):
                u += random.uniform()
            m.fair += (u - 2.0) * 0.12 + (m.anchor - m.fair) * 0.00002
            m.fair = max(m.fair, _LOWEST)
        for side in (BUY, SELL):
            if m.sides[side] < _FEWEST:
                return self._add(m, side)
        bid, ask = m.book.best_bid, m.book.best_ask
        assert bid is not None
        assert ask is not None
        u = random.uniform()
        if u < (0.1 if self._values is None else 0.75):
            side = 0
            if ask // _INCREMENT < m.fair - 0.5:
                side = BUY
            elif bid // _INCREMENT > m.fair + 0.5:
                side = SELL
            if side and u < 0.25:
                return self._aggression(m, side)
            if side:
                return self._pull(m, -side)
        side = BUY if random.below(2) == 0 else SELL
        if self._reactive:
            arrivals = self._typical / (self._typical + float(len(m.live)))
        else:
            arrivals = max(0.5 + 0.4 * (self._typical - float(len(m.live))) / self._typical, 0.1)
        if random.uniform() < arrivals:
            return self._add(m, side)
        u = random.uniform()
        if u < 0.04:
            return self._aggression(m, self._aggressor(m) if self._reactive else side)
        if u < 0.06:
            return self._hidden_trade(m)
        return self._change(m, random.uniform())

    # ---- session ----

    def _fixed(self, now_ns: int, kind: str, number: int, word: str) -> _Fields:
        if kind == "cross":
            self._move_to(now_ns, 0.0)
        self._now_ns = now_ns
        fields: dict[str, Any] = {"kind": KINDS[kind], "symbol_id": number}
        if kind == "system":
            fields["price"] = SESSION[word]
        elif kind == "listing":
            rest = int.from_bytes(b"QNNCZ TN", "little"), int.from_bytes(b"N N\0\0\0\0N", "little")
            fields |= {"price": self._markets[number - 1].symbol, "size": 100, "order_id": rest[0], "match_id": rest[1]}
        elif kind == "status":
            fields |= {"price": TRADING[word], "size": int.from_bytes(b"    ", "big"), "order_id": ord(" ")}
        elif kind == "cross":
            size = 100 * (1 + self._random.below(500))
            self._next_match += 1
            fields |= {"price": int(self._markets[number - 1].fair) * _INCREMENT, "size": size}
            fields |= {"order_id": ord(word), "match_id": self._next_match}
        return fields

    def _from_script(self, scripted: _Scripted) -> _Fields:
        time, kind, number, side, flags, payload = scripted
        self._now_ns = time * _SECOND
        values = list(payload)
        if kind == "imbalance":
            price = int(self._markets[number - 1].fair) * _INCREMENT
            values[0] += price
            values[1] += 0 if flags else price
        elif kind == "break":
            values[3] = self._next_match
        fields = {"kind": KINDS[kind], "symbol_id": number, "side": side, "flags": flags}
        return fields | dict(zip(("price", "size", "order_id", "match_id"), values, strict=True))

    def _next(self) -> _Fields:
        n, i, left = len(self._markets), self._done, self._total - self._done
        before, close, after = self._script
        if i == 0:
            return self._fixed(10_800 * _SECOND, "system", 0, "messages_begin")
        if i < 1 + n:
            return self._fixed(10_900 * _SECOND + i, "listing", i, "")
        if i == 1 + n:
            return self._fixed(14_400 * _SECOND, "system", 0, "system_opens")
        if i < 2 + 2 * n:
            return self._fixed(14_500 * _SECOND + i - 1 - n, "status", i - 1 - n, "trading")
        i -= 2 + 2 * n
        if i < len(before):
            return self._from_script(before[i])
        i -= len(before)
        if i == 0:
            return self._fixed(_OPEN_NS, "system", 0, "market_opens")
        if i < 1 + n:
            return self._fixed(_OPEN_NS, "cross", i, "O")
        left -= 3 + len(after) + n
        if left > len(close):
            return self._flow()
        if left > 0:
            self._move_to(_CLOSE_NS, 0.0)
            return self._from_script(close[-left])
        if left > -n:
            return self._fixed(_CLOSE_NS, "cross", 1 - left, "C")
        left += n + len(after)
        if left > 0:
            return self._from_script(after[-left])
        ends = (_CLOSE_NS, "market_closes"), (72_000 * _SECOND, "system_closes"), (72_300 * _SECOND, "messages_end")
        return self._fixed(ends[-left][0], "system", 0, ends[-left][1])
