"""Plain-Python twin of ``fastcore.book``: one dict of orders, one list of orders (or one total) for each price."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from fastcore.errors import RESULTS, raise_result
from fastcore.records import BUY, EVENT_DTYPE, FLAGS, KINDS, NO_PRICE, NO_SIDE, NO_SYMBOL, QUOTE_DTYPE, SELL

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
        raise ValueError(f"{name} must be in {low}..2**30: {name}={value}")


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


class _Book:
    """What both kinds of book share: batches, messages and reading, over a queue or a total for each price."""

    _sides: dict[int, dict[int, Any]]

    def __init__(self, symbol_id: int | None = None, orders: OrderTable | None = None, *, signed_prices: bool = False) -> None:
        if not isinstance(self, OrderBook | LevelBook):
            raise TypeError("make an OrderBook or a LevelBook: _Book is what they share")
        if symbol_id is not None and not 0 <= symbol_id < 2**32 - 1:
            raise ValueError(f"symbol_id must be in 0..2**32-2: symbol_id={symbol_id}")
        self.symbol_id = symbol_id
        self.orders = OrderTable() if orders is None else orders
        self.stale = False
        self._lowest = -_MAX if signed_prices else 1
        self._before: tuple[int, int, int, int] | None = None  # the top when a message began that is not at its end
        self._counts: dict[str, int] = {}

    # ---- of the kind ----

    def _change(self, kind: int, row: Any) -> str:
        """Apply an event of a kind that not every book has; returns the name of the result."""
        raise NotImplementedError

    def _ladder(self, side: int) -> list[tuple[int, int, int]]:
        """Price, size and number of orders of each level, best first."""
        raise NotImplementedError

    def _image(self) -> list[tuple[int, int, tuple[int, int, int, int]]]:
        """Kind, side and payload of the events that rebuild the contents."""
        raise NotImplementedError

    def _level_size(self, side: int, price: int) -> int:
        raise NotImplementedError

    def clear(self) -> None:
        """Empty the book, which is no longer stale then."""
        self._empty(BUY)
        self._empty(SELL)
        self.stale = False

    def _empty(self, side: int) -> None:
        raise NotImplementedError

    # ---- changes ----

    def _price_ok(self, price: int) -> bool:
        return self._lowest <= price <= _MAX

    def _apply(self, row: Any) -> bool:
        """Apply one event; returns whether the message that ends with it changed the top."""
        kind = int(row["kind"])
        continued = bool(row["flags"] & FLAGS["continued"])
        if self._before is None:
            self._before = self._top()
        if kind == KINDS["clear"]:
            sides = [int(row["side"])] if row["side"] in (BUY, SELL) else [BUY, SELL]
            for side in sides:
                self._empty(side)
            self.stale &= len(sides) == 1
            result = "ok"
        elif kind == KINDS["gap"]:
            self.stale = True
            result = "ok"
        else:
            result = self._change(kind, row)
        self._counts[result] = self._counts.get(result, 0) + 1
        if continued:
            return False
        before, self._before = self._before, None
        return before != self._top()

    def _concerns(self, row: Any) -> bool:
        if self.symbol_id is None or row["symbol_id"] == self.symbol_id:
            return True
        return bool(row["symbol_id"] == NO_SYMBOL and row["kind"] in (KINDS["clear"], KINDS["gap"]))

    def _mine(self, events: npt.NDArray[np.void]) -> Any:
        return (row for row in events if self._concerns(row))

    def apply(self, events: npt.NDArray[np.void]) -> dict[str, int]:
        """Apply a batch of events; returns the events of this batch by result."""
        before = dict(self._counts)
        for row in self._mine(events):
            self._apply(row)
        return {name: n - before.get(name, 0) for name, n in self.counts.items() if n != before.get(name, 0)}

    def apply_into(self, events: npt.NDArray[np.void], quotes: npt.NDArray[np.void]) -> int:
        """Apply a batch and write a quote event for each message that changed the top."""
        if len(quotes) < len(events):
            raise ValueError(f"quotes must have a row for each event: events={len(events)} quotes={len(quotes)}")
        if np.may_share_memory(events, quotes):
            raise ValueError("quotes must not share memory with events")
        out = quotes.view(QUOTE_DTYPE)
        written = 0
        for row in self._mine(events):
            if self._apply(row):
                out[written] = self._quote(row)
                written += 1
        return written

    def _quote(self, row: Any) -> tuple[int, ...]:
        times = row["seq"], row["exch_ns"], row["local_ns"], row["symbol_id"]
        return (*times, KINDS["quote"], NO_SIDE, 0, *self._top())

    def apply_depth(self, events: npt.NDArray[np.void], marks: Any, levels: int) -> npt.NDArray[np.void]:
        """Apply a batch and keep the best levels as they are after `marks` events."""
        if not 1 <= levels <= 1000:
            raise ValueError(f"levels must be in 1..1000: levels={levels}")
        at = np.asarray(marks, np.int64)
        if at.ndim != 1 or (at.size and (at[0] < 0 or at[-1] > len(events) or np.any(np.diff(at) < 0))):
            raise ValueError(f"marks must be one-dimensional, ascending, in 0..{len(events)}: shape={at.shape}")
        rows = np.zeros((at.size, 2, levels), LEVEL_DTYPE)
        done = 0
        for i, mark in enumerate(at.tolist()):
            self.apply(events[done:mark])
            done = mark
            self.depth_into(rows[i])
        self.apply(events[done:])
        return rows

    def _one(self, result: str, message: str) -> None:
        self._counts[result] = self._counts.get(result, 0) + 1
        if result != "ok":
            raise_result(_CODES[result], message)

    def snapshot(self, *, seq: int = 0, exch_ns: int = 0, local_ns: int = 0) -> npt.NDArray[np.void]:
        """Return events that rebuild the book: a clear, then its contents from the worst level to the best."""
        rows = [(KINDS["clear"], NO_SIDE, (NO_PRICE, 0, 0, 0)), *self._image()]
        if self.stale:
            rows.append((KINDS["gap"], NO_SIDE, (0, -1, 0, 0)))
        out = np.zeros(len(rows), EVENT_DTYPE)
        symbol = 0 if self.symbol_id is None else self.symbol_id
        for i, (kind, side, payload) in enumerate(rows):
            flags = FLAGS["snapshot"] | (FLAGS["continued"] if i < len(rows) - 1 else 0)
            out[i] = (seq, exch_ns, local_ns, symbol, kind, side, flags, *payload)
        return out

    # ---- reading ----

    def _best(self, side: int) -> tuple[int, int]:
        prices = self._sides[side]
        price = (max if side == BUY else min)(prices, default=NO_PRICE)
        return price, self._level_size(side, price)

    def _top(self) -> tuple[int, int, int, int]:
        (bid, bid_size), (ask, ask_size) = self._best(BUY), self._best(SELL)
        return bid, ask, bid_size, ask_size

    @property
    def best_bid(self) -> int | None:
        """Best bid price in ticks, None when there is no bid."""
        price = self._best(BUY)[0]
        return None if price == NO_PRICE else price

    @property
    def best_ask(self) -> int | None:
        """Best ask price in ticks, None when there is no ask."""
        price = self._best(SELL)[0]
        return None if price == NO_PRICE else price

    @property
    def best_bid_size(self) -> int:
        """Lots at the best bid, 0 when there is none."""
        return self._best(BUY)[1]

    @property
    def best_ask_size(self) -> int:
        """Lots at the best ask, 0 when there is none."""
        return self._best(SELL)[1]

    @property
    def crossed(self) -> bool:
        """Whether the best bid is above the best ask."""
        bid, ask = self.best_bid, self.best_ask
        return bid is not None and ask is not None and bid > ask

    @property
    def locked(self) -> bool:
        """Whether the best bid equals the best ask."""
        return self.best_bid is not None and self.best_bid == self.best_ask

    @property
    def levels(self) -> tuple[int, int]:
        """Numbers of price levels: (bids, asks)."""
        return len(self._sides[BUY]), len(self._sides[SELL])

    @property
    def counts(self) -> dict[str, int]:
        """Events since the book was made, by result."""
        return {name: self._counts[name] for name in _CODES if name in self._counts}

    def depth(self, levels: int | None = None) -> tuple[npt.NDArray[np.void], npt.NDArray[np.void]]:
        """Return the best price levels: (bids, asks), best first."""
        if levels is not None and levels < 0:
            raise ValueError(f"levels must not be negative: levels={levels}")
        bids, asks = (np.array(self._ladder(side)[:levels], LEVEL_DTYPE) for side in (BUY, SELL))
        return bids, asks

    def depth_into(self, out: npt.NDArray[np.void]) -> tuple[int, int]:
        """Write the best price levels into an array of shape (2, levels)."""
        if out.ndim != 2 or len(out) != 2:
            raise ValueError(f"out must be of shape (2, levels), contiguous, aligned and writable: shape={out.shape}")
        out[:] = (NO_PRICE, 0, 0)
        bids, asks = self.depth(out.shape[1])
        out[0, : len(bids)], out[1, : len(asks)] = bids, asks
        return len(bids), len(asks)

    def level_size(self, side: int, price: int) -> int:
        """Return the lots that rest at a price of a side."""
        self._check_side_price(side, price)
        return self._level_size(side, price)

    def _check_side_price(self, side: int, price: int) -> None:
        if side not in (BUY, SELL):
            raise ValueError(f"side must be 1 (buy) or -1 (sell): side={side}")
        if not self._price_ok(price):
            raise ValueError(f"price must be in {1 if self._lowest == 1 else '-2**63+1'}..2**63-1: price={price}")


class OrderBook(_Book):
    """Order-by-order book of one symbol."""

    def __init__(self, symbol_id: int | None = None, orders: OrderTable | None = None, *, signed_prices: bool = False) -> None:
        super().__init__(symbol_id, orders, signed_prices=signed_prices)
        self._sides: dict[int, dict[int, list[_Order]]] = {BUY: {}, SELL: {}}
        self.next_stamp = 0

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
        if not self._price_ok(price):
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
        if not self._price_ok(price):
            return "price outside range"
        if new_id == order_id and price == order.price and 0 < size <= order.size:
            self._take(order, order.size - size)  # keeps its place
            return "ok"
        others = self._level_size(order.side, price) - (order.size if price == order.price else 0)
        if size <= 0 or others + size > _MAX:
            return "size outside range"
        if new_id != order_id and new_id in self.orders.by_id:
            return "duplicate order"
        self._take(order, order.size)
        self._put(new_id, order.side, price, size)
        return "ok"

    def _change(self, kind: int, row: Any) -> str:
        price, size = int(row["price"]), int(row["size"])
        order_id, new_id = int(row["order_id"]) & _MASK, int(row["match_id"]) & _MASK
        if kind == KINDS["add"]:
            return self._add(order_id, int(row["side"]), price, size)
        if kind in (KINDS["execute"], KINDS["cancel"]):
            return self._reduce(order_id, size)
        if kind == KINDS["delete"]:
            return self._reduce(order_id, None)
        if kind == KINDS["replace"]:
            result = self._replace(order_id, new_id, price, size)
            if result == "unknown order" and order_id == new_id and row["side"]:
                return self._add(order_id, int(row["side"]), price, size)
            return result
        return "unknown message type" if kind in (KINDS["level"], KINDS["quote"]) or kind >= len(KINDS) else "ok"

    def apply_levels(self, events: npt.NDArray[np.void], levels: npt.NDArray[np.void]) -> int:
        """Apply a batch and write what it does to the price levels as level events."""
        if len(levels) < 2 * len(events):
            raise ValueError(f"levels must have 2 rows for each event: events={len(events)} levels={len(levels)}")
        if np.may_share_memory(events, levels):
            raise ValueError("levels must not share memory with events")
        written = 0
        orders = [KINDS[name] for name in ("add", "execute", "cancel", "delete", "replace")]
        for row in self._mine(events):
            flags = int(row["flags"]) & (FLAGS["continued"] | FLAGS["snapshot"])
            order = self._find(int(row["order_id"]) & _MASK)
            places = [] if order is None or row["kind"] == KINDS["add"] else [(order.side, order.price)]
            ok = self._counts.get("ok", 0)
            self._apply(row)
            if self._counts.get("ok", 0) == ok or row["kind"] not in (*orders, KINDS["clear"], KINDS["gap"]):
                if written and not flags & FLAGS["continued"]:
                    levels[written - 1]["flags"] &= ~np.uint16(FLAGS["continued"])
                continue
            if row["kind"] not in orders:
                levels[written] = row
                written += 1
                continue
            if row["kind"] == KINDS["add"] or not places:
                places = [(int(row["side"]), int(row["price"]))]
            elif row["kind"] == KINDS["replace"] and places[0][1] != row["price"]:
                places.append((places[0][0], int(row["price"])))
            for i, (side, price) in enumerate(places):
                more = flags | (FLAGS["continued"] if i < len(places) - 1 else 0)
                head = row["seq"], row["exch_ns"], row["local_ns"], row["symbol_id"]
                levels[written] = (*head, KINDS["level"], side, more, price, self._level_size(side, price), 0, 0)
                written += 1
        return written

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
        """Replace an order by one of the same side at the back of its level; a modify downwards keeps its place."""
        message = f"order_id={order_id} new_order_id={new_order_id} price={price} size={size}"
        self._one(self._replace(order_id, new_order_id, price, size), message)

    def _empty(self, side: int) -> None:
        for queue in self._sides[side].values():
            for order in queue:
                del self.orders.by_id[order.order_id]
        self._sides[side].clear()

    def _image(self) -> list[tuple[int, int, tuple[int, int, int, int]]]:
        return [
            (KINDS["add"], side, (o.price, o.size, (o.order_id ^ 2**63) - 2**63, 0))
            for side in (BUY, SELL)
            for _, queue in sorted(self._sides[side].items(), reverse=side == SELL)
            for o in queue
        ]

    # ---- reading ----

    def _level_size(self, side: int, price: int) -> int:
        return sum(order.size for order in self._sides[side].get(price, ()))

    def _ladder(self, side: int) -> list[tuple[int, int, int]]:
        queues = sorted(self._sides[side].items(), reverse=side == BUY)
        return [(price, sum(o.size for o in queue), len(queue)) for price, queue in queues]

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
        self._check_side_price(side, price)
        return np.array([(o.order_id, o.size, o.stamp) for o in self._sides[side].get(price, ())], QUEUE_DTYPE)

    def state_hash(self) -> int:
        """Return a 64-bit hash of all orders in the order of their priority."""
        h = 0
        for side in (BUY, SELL):
            h = _mix(h, len(self._sides[side]))
            for _, queue in sorted(self._sides[side].items(), reverse=side == BUY):
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


class LevelBook(_Book):
    """Book by level of one symbol."""

    def __init__(
        self, symbol_id: int | None = None, orders: OrderTable | None = None, *, signed_prices: bool = False, quotes: bool = False
    ) -> None:
        super().__init__(symbol_id, orders, signed_prices=signed_prices)
        self._quotes = quotes
        self._sides: dict[int, dict[int, int]] = {BUY: {}, SELL: {}}

    def __len__(self) -> int:
        return sum(len(side) for side in self._sides.values())

    def _level_size(self, side: int, price: int) -> int:
        return self._sides[side].get(price, 0)

    def _set(self, side: int, price: int, size: int) -> str:
        if side not in (BUY, SELL):
            return "corrupt"
        if not self._price_ok(price):
            return "price outside range"
        if size < 0:
            return "size outside range"
        if size:
            self._sides[side][price] = size
        else:
            self._sides[side].pop(price, None)
        return "ok"

    def _set_top(self, best: list[tuple[int, int]]) -> str:
        if not all(price == NO_PRICE or self._price_ok(price) for price, _ in best):
            return "price outside range"
        if any(price != NO_PRICE and size < 0 for price, size in best):
            return "size outside range"
        for side, (price, size) in zip((BUY, SELL), best, strict=True):
            self._sides[side] = {} if price == NO_PRICE else {price: size}
        return "ok"

    def _change(self, kind: int, row: Any) -> str:
        a, b, c, d = (int(row[name]) for name in ("price", "size", "order_id", "match_id"))
        if kind == KINDS["level"]:
            return self._set(int(row["side"]), a, b)
        if kind == KINDS["quote"] and self._quotes:  # the payload is bid, ask, bid_size, ask_size
            return self._set_top([(a, c), (b, d)])
        orders = ("add", "execute", "cancel", "delete", "replace")
        return "unknown message type" if kind in [KINDS[name] for name in orders] or kind >= len(KINDS) else "ok"

    def set_level(self, side: int, price: int, size: int) -> None:
        """Set the total at a price of a side, 0 to remove the level."""
        self._one(self._set(side, price, size), f"side={side} price={price} size={size}")

    def set_quote(self, bid: int | None, ask: int | None, bid_size: int = 0, ask_size: int = 0) -> None:
        """Set both best prices of a book of quotes."""
        if not self._quotes:
            raise ValueError("a book must be made for quotes to be set to one: quotes=False")
        best = [(NO_PRICE if p is None else p, size) for p, size in ((bid, bid_size), (ask, ask_size))]
        self._one(self._set_top(best), f"bid={bid} ask={ask} bid_size={bid_size} ask_size={ask_size}")

    def _empty(self, side: int) -> None:
        self._sides[side].clear()

    def _image(self) -> list[tuple[int, int, tuple[int, int, int, int]]]:
        rows: list[tuple[int, int, tuple[int, int, int, int]]] = []
        bid, ask = (next((p for p, size in self._sides[side].items() if not size), NO_PRICE) for side in (BUY, SELL))
        if (bid, ask) != (NO_PRICE, NO_PRICE):
            rows.append((KINDS["quote"], NO_SIDE, (bid, ask, 0, 0)))
        for side in (BUY, SELL):
            for price, size in sorted(self._sides[side].items(), reverse=side == SELL):
                if size:
                    rows.append((KINDS["level"], side, (price, size, 0, 0)))
        return rows

    def _ladder(self, side: int) -> list[tuple[int, int, int]]:
        return [(price, size, 0) for price, size in sorted(self._sides[side].items(), reverse=side == BUY)]

    def state_hash(self) -> int:
        """Return a 64-bit hash of all levels, best first."""
        h = 0
        for side in (BUY, SELL):
            h = _mix(h, len(self._sides[side]))
            for price, size, _ in self._ladder(side):
                h = _mix(_mix(h, price), size)
        return h

    def check(self) -> None:
        """Raise AssertionError where a size is negative."""
        if any(size < 0 for side in self._sides.values() for size in side.values()):
            raise AssertionError("the size of a level is not negative")
