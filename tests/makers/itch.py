"""Days of ITCH messages, written by hand or at random."""

import random

import numpy as np

from fastcore.records import BUY, EVENT_DTYPE, KINDS, NO_PRICE, SELL, SESSION, TRADING
from fastcore.wire.itch import ItchEncoder

_STATES = {"H": "halted", "P": "paused", "Q": "quotation", "T": "trading"}
_HOURS = {
    **{"O": "messages_begin", "S": "system_opens", "Q": "market_opens"},
    **{"M": "market_closes", "E": "system_closes", "C": "messages_end"},
}


class Day:
    """Writes a day of ITCH messages, one millisecond apart; symbol AAA has locate 7, BBB 8."""

    def __init__(self, symbols=("AAA",), status="T", hours=""):
        self.encoder = ItchEncoder()
        self.data = bytearray()
        self.time = 0
        for code in hours:
            self.system(code)
        for locate, symbol in enumerate(symbols, 7):
            key = int.from_bytes(symbol.ljust(8).encode(), "little", signed=True)
            self._write("listing", (key, 100, 0, 0), locate=locate)
            if status:
                self.status(status, locate)

    def _write(self, kind, payload, side=0, locate=7, flags=0):
        event = np.zeros(1, EVENT_DTYPE)
        self.time += 1_000_000
        event[0] = (0, self.time, 0, locate, KINDS[kind], side, flags, *payload)
        self.data += self.encoder.encode(event)
        return self

    def system(self, code):
        return self._write("system", (SESSION[_HOURS[code]], 0, 0, 0), locate=0)

    def status(self, state, locate=7):
        return self._write("status", (TRADING[_STATES[state]], 0, 0, 0), locate=locate)

    def add(self, order_id, side, price, size, locate=7):
        return self._write("add", (price, size, order_id, 0), side, locate)

    def execute(self, order_id, size, price=NO_PRICE, match_id=1, flags=0, locate=7):
        return self._write("execute", (price, size, order_id, match_id), locate=locate, flags=flags)

    def cancel(self, order_id, size, locate=7):
        return self._write("cancel", (NO_PRICE, size, order_id, 0), locate=locate)

    def delete(self, order_id, locate=7):
        return self._write("delete", (NO_PRICE, 0, order_id, 0), locate=locate)

    def replace(self, order_id, new_id, price, size, locate=7):
        return self._write("replace", (price, size, order_id, new_id), locate=locate)

    def trade(self, side, price, size, locate=7):
        return self._write("trade", (price, size, 0, 5), side, locate)


def random_day(seed, messages=2000, symbols=("AAA", "BBB")):
    """A noisy but valid day of two symbols: all order messages, halts and hidden prints."""
    rng = random.Random(seed)
    day = Day(symbols)
    live = {7: {}, 8: {}}
    next_id = 1
    for _ in range(messages):
        locate = 7 if rng.random() < 0.8 else 8
        orders = live[locate]
        kind = rng.random()
        bids = [p for s, p, _ in orders.values() if s == BUY]
        asks = [p for s, p, _ in orders.values() if s == SELL]
        best = {BUY: max(bids, default=999_000), SELL: min(asks, default=1_001_000)}
        if kind < 0.5 or len(orders) < 6:
            side = rng.choice((BUY, SELL))
            price = best[side] + side * 100 * rng.choice((1, 0, 0, -1, -2, -5))
            if side * (price - best[-side]) >= 0:
                price = best[-side] - side * 100
            size = rng.randint(1, 300)
            orders[next_id] = [side, price, size]
            day.add(next_id, side, price, size, locate)
            next_id += 1
            continue
        if kind < 0.75:  # an execution at the front of the best level
            side = rng.choice((BUY, SELL))
            queue = [i for i, (s, p, _) in orders.items() if s == side and p == best[side]]
            if queue:
                size = rng.randint(1, orders[queue[0]][2])
                orders[queue[0]][2] -= size
                if orders[queue[0]][2] == 0:
                    del orders[queue[0]]
                day.execute(queue[0], size, NO_PRICE if rng.random() < 0.9 else best[side], rng.randint(1, 10**9), 0, locate)
            continue
        order_id = rng.choice(list(orders))
        side, price, size = orders[order_id]
        if kind < 0.85:
            del orders[order_id]
            day.delete(order_id, locate)
        elif kind < 0.91 and size > 1:
            orders[order_id][2] -= size // 2
            day.cancel(order_id, size // 2, locate)
        elif kind < 0.97:
            price = best[side] + side * 100 * rng.choice((1, 0, -1, -3))
            if side * (price - best[-side]) >= 0:
                price = best[-side] - side * 100
            del orders[order_id]
            orders[next_id] = [side, price, rng.randint(1, 200)]
            day.replace(order_id, next_id, price, orders[next_id][2], locate)
            next_id += 1
        elif kind < 0.99:
            day.trade(BUY, rng.choice((best[BUY], best[SELL], (best[BUY] + best[SELL]) // 2)), rng.randint(1, 100), locate)
        else:
            day.status(rng.choice("HT"), locate)
            day.status("T", locate)
    return bytes(day.data)


def quoted_book(day=None):
    """99.90 x 100.10: the middle is 100, and the quotes of `make` without volatility are 99.98 x 100.02."""
    return (day or Day()).add(1, BUY, 999_000, 500).add(2, SELL, 1_001_000, 500)
