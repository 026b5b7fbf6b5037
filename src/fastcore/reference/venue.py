"""Plain-Python twin of ``fastcore.sim.venue``: own orders in the queue of a recorded book, written to be read.

A recorded order that arrived before ours is ahead of us, one that arrived later is behind. Quantity that was executed
behind us at our price, at a worse price, or that arrived on the other side at a price we would have accepted, would have
traded with us first.

A book by level does not say who comes and goes: there, executions at our price serve those ahead first, who leaves without
trading stood behind us as long as that can be, and worse than every level shown nobody knows what waits.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fastcore.errors import Result
from fastcore.records import BUY, EVENT_DTYPE, FLAGS, KINDS, NO_PRICE, NO_SIDE, NO_SYMBOL, SELL

from .book import LevelBook, OrderBook

__all__ = ["TOOK", "UNKNOWN", "Venue"]

TOOK = -1
UNKNOWN = 1 << 60
_SWEEP = 64
_MAX_VALUE = 2**60
_BEHIND = 2**64 - 1  # a stamp behind every order



@dataclass
class _Order:
    order_id: int
    side: int
    price: int
    left: int
    ahead: int
    stamp: int


class Venue:
    """Simulated venue for the own orders of one symbol; see ``fastcore.sim.venue.Venue``."""

    def __init__(self, capacity: int = 64, symbol_id: int = 0, by_level: bool = False) -> None:
        if not 1 <= capacity <= 65536:
            raise ValueError(f"capacity must be in 1..65536: capacity={capacity}")
        if not 0 <= symbol_id <= NO_SYMBOL:
            raise ValueError(f"symbol_id must be in 0..{NO_SYMBOL}: symbol_id={symbol_id}")
        self.capacity = capacity
        self.symbol_id = symbol_id
        self.by_level = by_level
        self._shown: dict[int, tuple[int, int]] = {BUY: (NO_PRICE, 0), SELL: (NO_PRICE, 0)}
        self.filled_lots = 0
        self._orders: dict[int, list[_Order]] = {BUY: [], SELL: []}  # best price first, then earliest entry
        self._reports: list[tuple[int, ...]] = []
        self._next_order_id = 1
        self._now_ns = 0
        self._now_seq = 0

    @property
    def open_buy_lots(self) -> int:
        return sum(o.left for o in self._orders[BUY])

    @property
    def open_sell_lots(self) -> int:
        return sum(o.left for o in self._orders[SELL])

    # ---- orders ----

    def submit(self, book: OrderBook | LevelBook, side: int, price_ticks: int, size_lots: int) -> int:
        return self._submit(book, side, price_ticks, size_lots)[0]

    def _submit(self, book: OrderBook | LevelBook, side: int, price: int, size: int) -> tuple[int, int]:
        order_id = self._new_order_id()
        refusal = self._refusal(side, price, size)
        if refusal != Result.OK:
            self._report("reject", side, price, size, order_id, refusal)
            return refusal, 0
        ahead = self._ahead(book, side, price)
        self._report("ack", side, price, size, order_id, ahead)
        left = size
        for n, (level, displayed) in enumerate(self._reachable(book, side, price)):
            if left == 0:
                break
            if n == _SWEEP:
                self._report("pulled", side, price, left, order_id, 0)
                return Result.OK, order_id
            taken = min(left, displayed)
            left -= taken
            self.filled_lots += taken
            self._report("fill", side, level, taken, order_id, TOOK)
        if left:
            stamp = book.next_stamp if isinstance(book, OrderBook) else 0
            self._rest(_Order(order_id, side, price, left, ahead, stamp))
        return Result.OK, order_id

    def cancel(self, order_id: int) -> int:
        order = self._find(order_id)
        if order is None:
            self._report("reject", NO_SIDE, NO_PRICE, 0, order_id, Result.UNKNOWN_ORDER)
            return Result.UNKNOWN_ORDER
        self._report("pulled", order.side, order.price, order.left, order_id, 0)
        self._orders[order.side].remove(order)
        return Result.OK

    def replace(self, book: OrderBook | LevelBook, order_id: int, price_ticks: int, size_lots: int) -> int:
        return self._replace(book, order_id, price_ticks, size_lots)[0]

    def _replace(self, book: OrderBook | LevelBook, order_id: int, price: int, size: int) -> tuple[int, int]:
        order = self._find(order_id)
        if order is None:
            self._report("reject", NO_SIDE, price, size, order_id, Result.UNKNOWN_ORDER)
            return Result.UNKNOWN_ORDER, 0
        refusal = self._refusal(order.side, price, size)
        if refusal not in (Result.OK, Result.FULL):
            self._report("reject", order.side, price, size, order_id, refusal)
            return refusal, 0
        if price == order.price and size <= order.left:
            self._report("pulled", order.side, order.price, order.left, order_id, 0)
            order.left = size
            order.order_id = self._new_order_id()
            self._report("ack", order.side, price, size, order.order_id, order.ahead)
            return Result.OK, order.order_id
        self.cancel(order_id)
        return self._submit(book, order.side, price, size)

    # ---- market events ----

    def apply(
        self,
        kind: int,
        side: int,
        price: int,
        size: int,
        stamp: int,
        new_price: int = NO_PRICE,
        new_size: int = 0,
        match_id: int = 0,
        exch_ns: int = 0,
        seq: int = 0,
        flags: int = 0,
        grew: bool = False,
    ) -> None:
        if not 0 <= kind < len(KINDS):
            raise ValueError(f"kind must be one of 0..{len(KINDS) - 1}: kind={kind}")
        self._now_ns, self._now_seq = exch_ns, seq
        image, hidden = bool(flags & FLAGS["snapshot"]), bool(flags & FLAGS["hidden"])
        if self.by_level:
            if kind == KINDS["level"]:
                self._level(side, price, new_size, size if grew and not image else 0)
            elif kind == KINDS["quote"]:
                self._quote(BUY, price, size, image)
                self._quote(SELL, new_price, new_size, image)
            elif kind == KINDS["trade"] and not hidden:
                if side == NO_SIDE:
                    bids = self._orders[BUY]
                    side = BUY if bids and bids[0].price >= price else SELL
                self._print(side, price, size, match_id)
            elif kind == KINDS["trade"]:
                self._fill(BUY, price + 1, size, _BEHIND, match_id)
                self._fill(SELL, price - 1, size, _BEHIND, match_id)
        elif kind == KINDS["add"]:
            self._fill(-side, price, size, _BEHIND, 0)
        elif kind in (KINDS["cancel"], KINDS["delete"]):
            self._shorten(side, price, size, stamp)
        elif kind == KINDS["execute"]:
            self._fill(side, price, size, stamp, match_id)
        elif kind == KINDS["replace"]:
            self._shorten(side, price, size, stamp)
            self._fill(-side, new_price, new_size, _BEHIND, 0)
        elif kind == KINDS["trade"]:
            # Only strictly through our price: one tick better than the print counts as at the price.
            self._fill(BUY, price + 1, size, _BEHIND, match_id)
            self._fill(SELL, price - 1, size, _BEHIND, match_id)
        elif kind == KINDS["clear"]:
            for order in self._orders[BUY] + self._orders[SELL]:
                order.ahead = 0

    def _fill(self, side: int, price: int, size: int, stamp: int, match_id: int) -> None:
        """`size` traded on our side at `price` against an order that arrived at `stamp`: who of us came before it?"""
        left = size
        for order in list(self._orders.get(side, ())):
            better = side * (order.price - price)
            if better < 0:
                break
            if better == 0 and stamp < order.stamp:
                order.ahead = max(0, order.ahead - size)
                continue
            taken = min(left, order.left)
            if taken:
                left -= taken
                order.left -= taken
                self.filled_lots += taken
                self._report("fill", side, order.price, taken, order.order_id, match_id)
            if order.left == 0:
                self._orders[side].remove(order)

    def _print(self, side: int, price: int, size: int, match_id: int) -> None:
        """`size` was executed on our side of a book by level: those ahead of us at our price first."""
        left = reached = size
        for order in list(self._orders[side]):
            if side * (order.price - price) < 0:
                break
            if order.price == price:
                taken = min(max(0, left - order.ahead), order.left)
                order.ahead = max(0, order.ahead - reached)
            else:
                taken = min(left, order.left)
                reached = left - taken  # what better orders leave to the price
            if taken:
                left -= taken
                order.left -= taken
                self.filled_lots += taken
                self._report("fill", side, order.price, taken, order.order_id, match_id)
            if order.left == 0:
                self._orders[side].remove(order)

    def _level(self, side: int, price: int, total: int, grown: int) -> None:
        """A level displays `total`, of which `grown` arrived just now."""
        for order in self._orders.get(side, ()):
            if order.price == price:
                order.ahead = min(order.ahead, total)
        if grown > 0:
            self._fill(-side, price, grown, _BEHIND, 0)

    def _quote(self, side: int, price: int, size: int, image: bool) -> None:
        """The best price of a side; what has arrived there is what was not shown before."""
        before, shown = self._shown[side]
        self._shown[side] = price, size
        if price == NO_PRICE:
            return
        for order in self._orders[side]:
            if side * (order.price - price) > 0:
                order.ahead = 0
        arrived = 0
        if before == NO_PRICE or side * (price - before) > 0:
            arrived = size or UNKNOWN  # a feed without sizes
        elif price == before:
            arrived = size - shown
        self._level(side, price, size or UNKNOWN, 0 if image else arrived)

    def _ahead(self, book: OrderBook | LevelBook, side: int, price: int) -> int:
        """Displayed quantity that an order would wait behind."""
        shown = book.depth()[0 if side == BUY else 1]["price"].tolist()
        ahead = book.level_size(side, price)
        if self.by_level and ahead == 0 and shown and side * (price - shown[-1]) <= 0:
            return UNKNOWN  # not shown, or a best price whose size the feed does not say
        return ahead

    def _shorten(self, side: int, price: int, size: int, stamp: int) -> None:
        """`size` left the queue at `price` without trading."""
        for order in self._orders.get(side, ()):
            if order.price == price and stamp < order.stamp:
                order.ahead = max(0, order.ahead - size)

    # ---- what happened ----

    def take_reports(self) -> npt.NDArray[np.void]:
        out = np.array(self._reports, EVENT_DTYPE) if self._reports else np.empty(0, EVENT_DTYPE)
        self._reports.clear()
        return out

    def orders(self) -> list[tuple[int, int, int, int, int]]:
        return [(o.order_id, o.side, o.price, o.left, o.ahead) for o in self._orders[BUY] + self._orders[SELL]]

    def check(self) -> None:
        for side, orders in self._orders.items():
            assert len(orders) <= self.capacity
            assert all(o.side == side and o.left > 0 and o.ahead >= 0 for o in orders)
            assert orders == sorted(orders, key=lambda o: (-side * o.price, o.stamp))

    # ---- parts ----

    def _refusal(self, side: int, price: int, size: int) -> int:
        if side not in (BUY, SELL):
            return Result.BAD_SIZE
        if not 0 < price <= _MAX_VALUE:
            return Result.BAD_PRICE
        if not 0 < size <= _MAX_VALUE:
            return Result.BAD_SIZE
        return Result.FULL if len(self._orders[side]) >= self.capacity else Result.OK

    def _reachable(self, book: OrderBook | LevelBook, side: int, price: int) -> list[tuple[int, int]]:
        """(price, size) of the displayed levels that an order of `side` at `price` trades with, best first.

        A level of size 0 is a best price whose size the feed does not say: nothing that an order could count on.
        """
        rows = book.depth()[0 if side == SELL else 1]
        levels = zip(rows["price"].tolist(), rows["size"].tolist(), strict=True)
        return [(p, size) for p, size in levels if size and side * (price - p) >= 0]

    def _rest(self, order: _Order) -> None:
        queue = self._orders[order.side]
        place = sum(1 for o in queue if order.side * (order.price - o.price) <= 0)
        queue.insert(place, order)

    def _find(self, order_id: int) -> _Order | None:
        return next((o for o in self._orders[BUY] + self._orders[SELL] if o.order_id == order_id), None)

    def _new_order_id(self) -> int:
        self._next_order_id += 1
        return self._next_order_id - 1

    def _report(self, kind: str, side: int, price: int, size: int, order_id: int, extra: int) -> None:
        self._reports.append(
            (self._now_seq, self._now_ns, 0, self.symbol_id, KINDS[kind], side, FLAGS["own"], price, size, order_id, extra)
        )
