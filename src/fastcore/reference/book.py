"""Plain-Python twin of ``fastcore.book``: one dict of orders, one list of orders for each price."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from fastcore.errors import RESULTS, raise_result

from .records import BUY, KINDS, NO_PRICE, NO_SIDE, QUOTE_DTYPE, SELL

LEVEL_DTYPE = np.dtype([("price", np.int64), ("size", np.int64), ("orders", np.int64)])
QUEUE_DTYPE = np.dtype([("order_id", np.uint64), ("size", np.int64), ("stamp", np.uint64)])

_NAMES = {0: "ok"} | {code: name for code, (name, _) in RESULTS.items()}
_CODES = {name: code for code, name in _NAMES.items()}
_MAX = 2**63 - 1
_MASK = 2**64 - 1
_MAX_ORDERS = 2**30


@dataclass(eq=False)
class _Order:
    book: OrderBook
    order_id: int
    side: int
    price: int
    size: int
    stamp: int


def _check_count(value: int, name: str, low: int) -> None:
    if not low <= value <= _MAX_ORDERS:
        raise ValueError(f"{name} must lie in {low}..2**30: {name}={value}")


def _check_side_price(side: int, price: int) -> None:
    if side not in (BUY, SELL):
        raise ValueError(f"side must be 1 (buy) or -1 (sell): side={side}")
    if not 0 < price <= _MAX:
        raise ValueError(f"price must lie in 1..2**63-1: price={price}")


def _mix(h: int, value: int) -> int:
    """One round of splitmix64 over the running value."""
    h = ((h ^ value) + 0x9E3779B97F4A7C15) & _MASK
    h = (h ^ (h >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
    h = (h ^ (h >> 27)) * 0x94D049BB133111EB & _MASK
    return h ^ (h >> 31)


class OrderTable:
    """Live orders of one or several books by reference."""

    def __init__(self, orders: int = 4096, levels: int = 1024) -> None:
        _check_count(orders, "orders", 1)
        _check_count(levels, "levels", 1)
        self.by_id: dict[int, _Order] = {}

    def __len__(self) -> int:
        return len(self.by_id)

    def reserve(self, orders: int, levels: int = 0) -> None:
        """Nothing to do here: a dict makes its own room."""
        _check_count(orders, "orders", 0)
        _check_count(levels, "levels", 0)


class OrderBook:
    """Order-by-order book of one symbol."""

    def __init__(self, symbol_id: int | None = None, orders: OrderTable | None = None) -> None:
        if symbol_id is not None and not 0 <= symbol_id < 2**32 - 1:
            raise ValueError(f"symbol_id must lie in 0..2**32-2: symbol_id={symbol_id}")
        self.symbol_id = symbol_id
        self.orders = OrderTable() if orders is None else orders
        self._sides: dict[int, dict[int, list[_Order]]] = {BUY: {}, SELL: {}}
        self.next_stamp = 0
        self._counts: dict[str, int] = {}

    def __len__(self) -> int:
        return sum(len(queue) for side in self._sides.values() for queue in side.values())

    # ---- changes: each returns a result name and, where it is "ok", has changed the book ----

    def _find(self, order_id: int) -> _Order | None:
        order = self.orders.by_id.get(order_id)
        return order if order is not None and order.book is self else None

    def _put(self, order_id: int, side: int, price: int, size: int) -> None:
        order = _Order(self, order_id, side, price, size, self.next_stamp)
        self.next_stamp += 1
        self.orders.by_id[order_id] = order
        self._sides[side].setdefault(price, []).append(order)

    def _take(self, order: _Order, size: int) -> None:
        order.size -= size
        if order.size == 0:
            queue = self._sides[order.side][order.price]
            queue.remove(order)
            if not queue:
                del self._sides[order.side][order.price]
            del self.orders.by_id[order.order_id]

    def _add(self, order_id: int, side: int, price: int, size: int) -> str:
        if side not in (BUY, SELL):
            return "corrupt"
        if price <= 0:
            return "price outside range"
        if size <= 0 or self._level_size(side, price) + size > _MAX:
            return "size outside range"
        if order_id in self.orders.by_id:
            return "duplicate order"
        self._put(order_id, side, price, size)
        return "ok"

    def _reduce(self, order_id: int, size: int | None) -> str:
        order = self._find(order_id)
        if order is None:
            return "unknown order"
        if size is None:
            size = order.size
        if not 0 < size <= order.size:
            return "size outside range"
        self._take(order, size)
        return "ok"

    def _replace(self, order_id: int, new_id: int, price: int, size: int) -> str:
        order = self._find(order_id)
        if order is None:
            return "unknown order"
        if price <= 0:
            return "price outside range"
        others = self._level_size(order.side, price) - (order.size if price == order.price else 0)
        if size <= 0 or others + size > _MAX:
            return "size outside range"
        if new_id != order_id and new_id in self.orders.by_id:
            return "duplicate order"
        self._take(order, order.size)
        self._put(new_id, order.side, price, size)
        return "ok"

    def _apply(self, row: Any) -> str:
        kind, price, size = int(row["kind"]), int(row["price"]), int(row["size"])
        order_id, new_id = int(row["order_id"]) & _MASK, int(row["match_id"]) & _MASK
        if kind == KINDS["add"]:
            result = self._add(order_id, int(row["side"]), price, size)
        elif kind in (KINDS["execute"], KINDS["cancel"]):
            result = self._reduce(order_id, size)
        elif kind == KINDS["delete"]:
            result = self._reduce(order_id, None)
        elif kind == KINDS["replace"]:
            result = self._replace(order_id, new_id, price, size)
        elif kind == KINDS["clear"]:
            self.clear()
            result = "ok"
        elif kind in (KINDS["level"], KINDS["quote"]):
            result = "unknown message type"
        else:
            result = "ok"
        self._counts[result] = self._counts.get(result, 0) + 1
        return result

    def _mine(self, events: npt.NDArray[np.void]) -> Any:
        for row in events:
            if self.symbol_id is None or row["symbol_id"] == self.symbol_id:
                yield row

    def apply(self, events: npt.NDArray[np.void]) -> dict[str, int]:
        """Apply a batch of events; returns the events of this batch by result."""
        before = dict(self._counts)
        for row in self._mine(events):
            self._apply(row)
        return {name: n - before.get(name, 0) for name, n in self.counts.items() if n != before.get(name, 0)}

    def apply_into(self, events: npt.NDArray[np.void], quotes: npt.NDArray[np.void]) -> int:
        """Apply a batch and write a quote event for each change at the top."""
        if len(quotes) < len(events):
            raise ValueError(f"quotes must have a row for each event: events={len(events)} quotes={len(quotes)}")
        if np.may_share_memory(events, quotes):
            raise ValueError("quotes must not share memory with events")
        out = quotes.view(QUOTE_DTYPE)
        written = 0
        for row in self._mine(events):
            before = self._top()
            self._apply(row)
            top = self._top()
            if top != before:
                out[written] = (
                    *(0, row["exch_ns"], row["local_ns"], row["symbol_id"], KINDS["quote"], NO_SIDE, 0),
                    *top,
                )
                written += 1
        return written

    def apply_depth(self, events: npt.NDArray[np.void], marks: Any, levels: int) -> npt.NDArray[np.void]:
        """Apply a batch and keep the best levels as they are after `marks` events."""
        if not 1 <= levels <= 1000:
            raise ValueError(f"levels must lie in 1..1000: levels={levels}")
        at = np.asarray(marks, np.int64)
        if at.ndim != 1 or (at.size and (at[0] < 0 or at[-1] > len(events) or np.any(np.diff(at) < 0))):
            raise ValueError(f"marks must be one-dimensional, ascending, in 0..{len(events)}: shape={at.shape}")
        rows = np.zeros((at.size, 2, levels), LEVEL_DTYPE)
        rows["price"] = NO_PRICE
        done = 0
        for i, mark in enumerate(at.tolist()):
            self.apply(events[done:mark])
            done = mark
            for side, best in enumerate(self.depth(levels)):
                rows[i, side, : len(best)] = best
        self.apply(events[done:])
        return rows

    def _one(self, result: str, message: str) -> None:
        self._counts[result] = self._counts.get(result, 0) + 1
        if result != "ok":
            raise_result(_CODES[result], message)

    def add(self, order_id: int, side: int, price: int, size: int) -> None:
        """Add an order at the back of its price level."""
        self._one(self._add(order_id, side, price, size), f"order_id={order_id} side={side} price={price} size={size}")

    def execute(self, order_id: int, size: int) -> None:
        """Execute `size` lots of an order."""
        self._one(self._reduce(order_id, size), f"order_id={order_id} size={size}")

    def cancel(self, order_id: int, size: int) -> None:
        """Take `size` lots off an order, which keeps its place."""
        self._one(self._reduce(order_id, size), f"order_id={order_id} size={size}")

    def delete(self, order_id: int) -> None:
        """Remove an order."""
        self._one(self._reduce(order_id, None), f"order_id={order_id}")

    def replace(self, order_id: int, new_order_id: int, price: int, size: int) -> None:
        """Replace an order by one of the same side at the back of its level."""
        message = f"order_id={order_id} new_order_id={new_order_id} price={price} size={size}"
        self._one(self._replace(order_id, new_order_id, price, size), message)

    def clear(self) -> None:
        """Remove all orders."""
        for side in self._sides.values():
            for queue in side.values():
                for order in queue:
                    del self.orders.by_id[order.order_id]
            side.clear()

    # ---- reading ----

    def _level_size(self, side: int, price: int) -> int:
        return sum(order.size for order in self._sides[side].get(price, ()))

    def _top(self) -> tuple[int, int, int, int]:
        bid, ask = self.best_bid, self.best_ask
        return NO_PRICE if bid is None else bid, NO_PRICE if ask is None else ask, self.best_bid_size, self.best_ask_size

    @property
    def best_bid(self) -> int | None:
        """Best bid price in ticks, None when there is no bid."""
        return max(self._sides[BUY], default=None)

    @property
    def best_ask(self) -> int | None:
        """Best ask price in ticks, None when there is no ask."""
        return min(self._sides[SELL], default=None)

    @property
    def best_bid_size(self) -> int:
        """Lots at the best bid, 0 when there is none."""
        return 0 if self.best_bid is None else self._level_size(BUY, self.best_bid)

    @property
    def best_ask_size(self) -> int:
        """Lots at the best ask, 0 when there is none."""
        return 0 if self.best_ask is None else self._level_size(SELL, self.best_ask)

    @property
    def levels(self) -> tuple[int, int]:
        """Numbers of price levels: (bids, asks)."""
        return len(self._sides[BUY]), len(self._sides[SELL])

    @property
    def counts(self) -> dict[str, int]:
        """Events since the book was made, by result."""
        return {name: self._counts[name] for name in _CODES if name in self._counts}

    def _ladder(self, side: int) -> list[tuple[int, list[_Order]]]:
        return sorted(self._sides[side].items(), reverse=side == BUY)

    def depth(self, levels: int | None = None) -> tuple[npt.NDArray[np.void], npt.NDArray[np.void]]:
        """Return the best price levels: (bids, asks), best first."""
        if levels is not None and levels < 0:
            raise ValueError(f"levels must not be negative: levels={levels}")
        bids, asks = (
            np.array([(p, sum(o.size for o in q), len(q)) for p, q in self._ladder(side)[:levels]], LEVEL_DTYPE)
            for side in (BUY, SELL)
        )
        return bids, asks

    def level_size(self, side: int, price: int) -> int:
        """Return the lots that rest at a price of a side."""
        _check_side_price(side, price)
        return self._level_size(side, price)

    def order(self, order_id: int) -> tuple[int, int, int, int] | None:
        """Return (side, price, size, stamp) of a resting order, None where there is no such order."""
        order = self._find(order_id)
        return None if order is None else (order.side, order.price, order.size, order.stamp)

    def position(self, order_id: int) -> tuple[int, int] | None:
        """Return (orders ahead, lots ahead) of a resting order, None where there is no such order."""
        order = self._find(order_id)
        if order is None:
            return None
        queue = self._sides[order.side][order.price]
        ahead = queue[: queue.index(order)]
        return len(ahead), sum(o.size for o in ahead)

    def queue(self, side: int, price: int) -> npt.NDArray[np.void]:
        """Return the orders at a price of a side, front first."""
        _check_side_price(side, price)
        return np.array([(o.order_id, o.size, o.stamp) for o in self._sides[side].get(price, ())], QUEUE_DTYPE)

    def state_hash(self) -> int:
        """Return a 64-bit hash of all orders in the order of their priority."""
        h = 0
        for side in (BUY, SELL):
            h = _mix(h, len(self._sides[side]))
            for _, queue in self._ladder(side):
                for order in queue:
                    for value in (order.order_id, order.price, order.size):
                        h = _mix(h, value)
        return h

    def check(self) -> None:
        """Raise AssertionError where the orders of the table and those of the levels differ."""
        queued = {o.order_id: o for side in self._sides.values() for queue in side.values() for o in queue}
        held = {i: o for i, o in self.orders.by_id.items() if o.book is self}
        if queued != held:
            raise AssertionError("the orders of the levels are all orders of the book")
        for side in self._sides.values():
            for queue in side.values():
                if any(a.stamp >= b.stamp for a, b in pairwise(queue)):
                    raise AssertionError("arrival numbers ascend along a queue and lie below the next")
