"""Plain-Python twin of ``fastcore.sim.venue``: own orders in the queue of a recorded book, written to be read.

A recorded order that arrived before ours is ahead of us, one that arrived later is behind. Quantity that was executed
behind us at our price, at a worse price, or that arrived on the other side at a price we would have accepted, would have
traded with us first. What we get so is *displaced*: the recorded order that had it still stands in a world with us, and is
served before whoever comes later. What has traded with us of an order that the book shows on is *taken*.

A book by level does not say who comes and goes: there, executions at our price serve those ahead first, who leaves without
trading stood behind us as long as that can be, and worse than every level shown nobody knows what waits.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fastcore.errors import Result
from fastcore.records import BUY, EVENT_DTYPE, FLAGS, KINDS, NO_PRICE, NO_SIDE, NO_SYMBOL, SELL, TERMS, TRADING

from .book import LevelBook, OrderBook

__all__ = ["TOOK", "UNKNOWN", "Venue"]

TOOK = -1
UNKNOWN = 1 << 60
_SWEEP = 64
_DISPLACED = 256
_TAKEN = 64
_MAX_VALUE = 2**60
_BEHIND = 2**64 - 1  # a stamp behind every order
_HIDDEN = _BEHIND - 1
_NOW = (TERMS["ioc"], TERMS["fok"])


@dataclass
class _Order:
    order_id: int
    side: int
    price: int
    left: int
    filled: int
    ahead: int
    unseen: int
    stamp: int
    entered_ns: int
    terms: int
    shrunk_ns: int
    printed: int = 0
    shrunk: int = 0


@dataclass
class _Displaced:
    price: int
    lots: int
    stamp: int
    order_id: int
    since_ns: int
    resting: bool


def _time(terms: int) -> int:
    return terms & (TERMS["ioc"] | TERMS["fok"] | 16)


def _expiry(terms: int) -> int:
    return terms & ~255


def _market(terms: int) -> bool:
    return terms & 3 == TERMS["market"]


def _rests(terms: int) -> bool:
    return not _market(terms) and _time(terms) not in _NOW


def _agree(terms: int) -> bool:
    if not 0 <= terms < 2**63 or terms & 0xC0 or terms & 3 > TERMS["market"] or _time(terms) > TERMS["gtd"]:
        return False
    gtd = _time(terms) == TERMS["gtd"]
    if gtd != bool(_expiry(terms)) or (gtd and _market(terms)):
        return False
    return _rests(terms) or not terms & TERMS["post_only"]


def _before(side: int, price: int, stamp: int, other_price: int, other_stamp: int) -> bool:
    """Say whether one place is served before another."""
    return (-side * price, stamp) < (-side * other_price, other_stamp)


class Venue:
    """Simulated venue for the own orders of one symbol; see ``fastcore.sim.venue.Venue``."""

    def __init__(
        self,
        capacity: int = 64,
        symbol_id: int = 0,
        by_level: bool = False,
        *,
        displaced_ns: int | None = None,
        self_trade: str = "refuse",
        signed_prices: bool = False,
        details: bool = False,
        print_lag_ns: int = 10_000_000,
        level_lag_ns: int = 0,
    ) -> None:
        if displaced_ns is not None and not 0 <= displaced_ns < 2**63:
            raise ValueError(f"displaced_ns must be in 0..2**63-1, or None for ever: displaced_ns={displaced_ns}")
        if self_trade not in ("refuse", "cancel"):
            raise ValueError(f"self_trade must be refuse or cancel: self_trade={self_trade}")
        for name, lag in (("print_lag_ns", print_lag_ns), ("level_lag_ns", level_lag_ns)):
            if not 0 <= lag <= _MAX_VALUE:
                raise ValueError(f"{name} must be in 0..2**60: {name}={lag}")
        if not 1 <= capacity <= 131072:
            raise ValueError(f"capacity must be in 1..131072: capacity={capacity}")
        if not 0 <= symbol_id <= NO_SYMBOL:
            raise ValueError(f"symbol_id must be in 0..{NO_SYMBOL}: symbol_id={symbol_id}")
        self.capacity = capacity
        self.symbol_id = symbol_id
        self.by_level = by_level
        self.displaced_ns = displaced_ns
        self.self_trade = self_trade
        self.details = details
        self.print_lag_ns = print_lag_ns
        self.level_lag_ns = level_lag_ns
        self.filled_lots = self.deferred_lots = self.forgotten = 0
        self._lowest = -_MAX_VALUE if signed_prices else 1
        self._trading: str | None = None
        self._book: OrderBook | LevelBook | None = None
        self._shown: dict[int, tuple[int, int]] = {BUY: (NO_PRICE, 0), SELL: (NO_PRICE, 0)}
        self._orders: dict[int, list[_Order]] = {BUY: [], SELL: []}  # best price first, then earliest entry
        self._displaced: dict[int, list[_Displaced]] = {BUY: [], SELL: []}  # likewise, by stamp
        self._taken: dict[tuple[int, int], int] = {}  # (side, order or price) -> lots
        self._reports: list[tuple[int, ...]] = []
        self._next_order_id = 1
        self._entries = 0
        self._imaging = self._imaged = False
        self._now_ns = 0
        self._now_seq = 0

    @property
    def open_buy_lots(self) -> int:
        return sum(o.left for o in self._orders[BUY])

    @property
    def open_sell_lots(self) -> int:
        return sum(o.left for o in self._orders[SELL])

    @property
    def displaced_lots(self) -> int:
        return sum(d.lots for side in (BUY, SELL) for d in self._standing(side))

    @property
    def due_ns(self) -> int | None:
        return min((_expiry(o.terms) for o in self._both() if _expiry(o.terms)), default=None)

    @property
    def trading(self) -> str | None:
        return self._trading

    @trading.setter
    def trading(self, state: str | None) -> None:
        if state is not None and state not in TRADING:
            raise ValueError(f"trading must be one of {', '.join(TRADING)}: trading={state}")
        self._trading = state

    # ---- orders ----

    def submit(self, book: OrderBook | LevelBook, side: int, price_ticks: int, size_lots: int, terms: int = 0) -> int:
        return self._submit(book, side, price_ticks, size_lots, terms)[0]

    def _submit(self, book: OrderBook | LevelBook, side: int, price: int, size: int, terms: int = 0) -> tuple[int, int]:
        self._book = book
        order_id = self._new_order_id()
        refusal = self._refusal(side, price, size, terms)
        if refusal == Result.OK and _rests(terms) and len(self._orders[side]) >= self.capacity:
            refusal = Result.FULL
        if refusal == Result.OK:
            refusal = self._refusal_by_market(side, price, size, terms)
        if refusal != Result.OK:
            self._report("reject", side, price, size, order_id, refusal)
            return refusal, 0
        self._enter(side, price, size, 0, order_id, terms)
        return Result.OK, order_id

    def _enter(self, side: int, price: int, size: int, filled: int, order_id: int, terms: int) -> None:
        limit = side * 2**62 if _market(terms) else price
        while self.self_trade == "cancel" and self._meets_own(side, limit, size):
            self._pull(self._orders[-side][0], Result.SELF_TRADE)
        order = _Order(order_id, side, price, size, filled, 0, 0, 0, self._now_ns, terms, self._now_ns)
        if _rests(terms):
            self._queue(order)
        self._report("ack", side, price, size + filled, order_id, self._place(order) if _rests(terms) else 0)
        swept = self._take(order, limit)
        if not order.left:
            return
        if swept or not _rests(terms):
            self._report("pulled", side, price, order.left, order_id, 0)
            return
        if self.by_level:
            self._entries = order.stamp
        queue = self._orders[side]
        queue.insert(sum(1 for o in queue if side * (price - o.price) <= 0), order)

    def _take(self, order: _Order, limit: int) -> bool:
        """Trade with what is displayed, level by level; say whether there were too many of them."""
        for n, (level, displayed) in enumerate(self._reachable(order.side, limit)):
            if order.left == 0:
                break
            if n == _SWEEP:
                return True
            taken = min(order.left, displayed)
            order.left -= taken
            order.filled += taken
            self.filled_lots += taken
            self._take_level(-order.side, level, taken)
            self._report_fill(order, level, taken, TOOK, "taker", "took", 0, 0)
        return False

    def _take_level(self, side: int, price: int, lots: int) -> None:
        """`lots` at a price trade with us: those of the first orders of which some are not taken."""
        if not isinstance(self._book, OrderBook):
            self._take_off(side, price, lots)
            return
        for order_id, size, _ in self._book.queue(side, price).tolist():
            taken = min(lots, max(0, size - self._taken.get((side, order_id), 0)))
            self._take_off(side, order_id, taken)
            lots -= taken

    def cancel(self, order_id: int) -> int:
        order = self._find(order_id)
        if order is None:
            self._report("reject", NO_SIDE, NO_PRICE, 0, order_id, Result.UNKNOWN_ORDER)
            return Result.UNKNOWN_ORDER
        self._pull(order, 0)
        return Result.OK

    def _pull(self, order: _Order, why: int) -> None:
        self._report("pulled", order.side, order.price, order.left, order.order_id, why)
        self._remove(order)

    def replace(self, book: OrderBook | LevelBook, order_id: int, price_ticks: int, total_lots: int) -> int:
        return self._replace(book, order_id, price_ticks, total_lots)[0]

    def _replace(self, book: OrderBook | LevelBook, order_id: int, price: int, total: int) -> tuple[int, int]:
        self._book = book
        order = self._find(order_id)
        if order is None:
            self._report("reject", NO_SIDE, price, total, order_id, Result.UNKNOWN_ORDER)
            return Result.UNKNOWN_ORDER, 0
        if 0 < total <= order.filled:
            self._pull(order, 0)
            self._report("reject", order.side, price, total, self._new_order_id(), Result.UNKNOWN_ORDER)
            return Result.UNKNOWN_ORDER, 0
        size = total - order.filled if total > 0 else 0
        refusal = self._refusal(order.side, price, size, order.terms) or self._refusal_by_market(order.side, price, size, order.terms)
        if refusal != Result.OK:
            self._report("reject", order.side, price, total, order_id, refusal)
            return refusal, order_id
        if price == order.price and size <= order.left:
            self._report("pulled", order.side, order.price, order.left, order_id, 0)
            order.left, order.filled = size, 0
            order.order_id = self._new_order_id()
            self._report("ack", order.side, price, size, order.order_id, self._place(order))
            return Result.OK, order.order_id
        self._pull(order, 0)
        new_order_id = self._new_order_id()
        self._enter(order.side, price, size, 0, new_order_id, order.terms)
        return Result.OK, new_order_id

    def amend(self, book: OrderBook | LevelBook, order_id: int, price_ticks: int, total_lots: int) -> int:
        self._book = book
        order, price = self._find(order_id), price_ticks
        if order is None:
            self._report("reject", NO_SIDE, price, total_lots, order_id, Result.UNKNOWN_ORDER)
            return Result.UNKNOWN_ORDER
        left = total_lots - order.filled
        if 0 < total_lots <= order.filled:
            self._pull(order, 0)
            return Result.OK
        refusal = self._refusal(order.side, price, left, order.terms) or self._refusal_by_market(order.side, price, left, order.terms)
        if refusal != Result.OK:
            self._report("reject", order.side, price, total_lots, order_id, refusal)
            return refusal
        if price == order.price and left <= order.left:
            order.left = left
            self._report("ack", order.side, price, total_lots, order_id, self._place(order))
            return Result.OK
        self._remove(order)
        self._enter(order.side, price, left, order.filled, order_id, order.terms)
        return Result.OK

    def expire(self, now_ns: int) -> None:
        if self.due_ns is None or self.due_ns > now_ns:
            return
        self._now_ns = now_ns
        for order in self._both():
            if 0 < _expiry(order.terms) <= now_ns:
                self._pull(order, Result.EXPIRED)

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
        order_id: int = 0,
        new_order_id: int = 0,
    ) -> None:
        if not 0 <= kind < len(KINDS):
            raise ValueError(f"kind must be one of 0..{len(KINDS) - 1}: kind={kind}")
        self._now_ns, self._now_seq = exch_ns, seq
        image, hidden, printable = bool(flags & FLAGS["snapshot"]), bool(flags & FLAGS["hidden"]), not flags & FLAGS["not_printable"]
        if self.by_level and kind == KINDS["quote"]:
            self._quote(BUY, price, size, image)
            self._quote(SELL, new_price, new_size, image)
            return
        if self._book is None:
            return
        if kind in (KINDS["trade"], KINDS["cross"]) and not -_MAX_VALUE <= price <= _MAX_VALUE:
            return
        if kind == KINDS["cross"]:
            for side in (BUY, SELL):
                served = self._serve(side, price + side, _BEHIND, size, "auction", match_id, paid=price)
                self._displace(side, price, 0, served, 0, False)
        elif self.by_level:
            if kind == KINDS["level"]:
                self._level(side, price, new_size, size if grew else -size, image, False)
            elif kind == KINDS["trade"] and printable:
                self._traded(side, price, size, hidden, match_id)
        else:
            self._order(kind, side, price, size, stamp, new_price, new_size, match_id, image, printable, order_id, new_order_id)

    def _order(
        self,
        kind: int,
        side: int,
        price: int,
        size: int,
        stamp: int,
        new_price: int,
        new_size: int,
        match_id: int,
        image: bool,
        printable: bool,
        order_id: int,
        new_order_id: int,
    ) -> None:
        """An event of a book by order."""
        if self._imaging and not image and kind != KINDS["clear"]:
            self._imaging = False
            if self._imaged:
                for order in self._both():
                    order.unseen = 0
        if kind == KINDS["add"] and image:
            self._image(side, price, size, stamp)
        elif kind == KINDS["add"]:
            self._take_off(side, order_id, self._serve(-side, price, _BEHIND, size, "crossing", 0))
        elif kind in (KINDS["cancel"], KINDS["delete"]):
            self._shorten(side, price, size, stamp)
        elif kind == KINDS["execute"]:
            self._execute(side, price, size, stamp, match_id, printable, order_id)
            self._shorten(side, price, size, stamp)
        elif kind == KINDS["replace"]:
            self._shorten(side, price, size, stamp)
            taken = self._taken.get((side, order_id), 0)
            if taken:  # all of it: its owner has nothing to move
                taken = new_size if taken >= size else taken
                self._rename(side, order_id, new_order_id, taken)
            served = self._serve(-side, new_price, _BEHIND, max(0, new_size - taken), "crossing", 0)
            self._take_off(side, new_order_id, served)
        elif kind == KINDS["trade"] and printable:
            self._hidden(NO_SIDE, price, size, match_id)
        elif kind == KINDS["clear"]:
            self._imaging, self._imaged = True, False
            for order in self._both():
                order.unseen += order.ahead
                order.ahead = 0

    def _serve(self, side: int, price: int, stamp: int, size: int, cause: str, match_id: int, paid: int = NO_PRICE) -> int:
        """`size` lots come to our side. All who stand before a place there, own and displaced, are served: with how much?"""
        left, deferred = size, 0
        here: dict[int, int] = {}
        if self._trading not in (None, "trading") and cause != "auction":
            return 0
        claims: list[_Order | _Displaced] = [*self._standing(side), *self._orders.get(side, ())]
        for claim in sorted(claims, key=lambda c: (-side * c.price, c.stamp, isinstance(c, _Displaced))):
            if left <= 0:
                break
            if isinstance(claim, _Displaced):
                if not _before(side, claim.price, claim.stamp, price, stamp):
                    break
                taken = self._serve_displaced(side, claim, left)
                deferred += taken
                here[claim.price] = here.get(claim.price, 0) + taken
            elif _before(side, price, stamp, claim.price, claim.stamp):
                break
            elif self.by_level and self._now_ns < claim.entered_ns:
                continue  # the feed is late: that was before we came
            else:
                own = claim.price if paid == NO_PRICE else paid
                taken = self._fill(claim, left, own, cause, match_id, claim.ahead + here.get(claim.price, 0), deferred)
            left -= taken
        return max(0, size) - max(0, left)

    def _execute(self, side: int, price: int, size: int, stamp: int, match_id: int, printable: bool, order_id: int) -> None:
        """Those before an order are served with what it got in the record, those behind it with what it did not have any more."""
        resting, left = self._rests_in_book(order_id), self._size_in_book(side, order_id)
        self._displace(side, price, stamp, 0, order_id, resting)
        if not printable or self._trading not in (None, "trading"):
            return  # part of a cross
        served = self._serve(side, price + side, _BEHIND, size, "through", match_id)
        served += self._walk(side, price, 0, stamp, size - served, match_id)
        taken = min(self._taken.get((side, order_id), 0), left + size)
        short = taken - served - left
        if short > 0:
            self._taken[side, order_id] = taken - short
            if taken == short:
                del self._taken[side, order_id]
            self._walk(side, price, stamp + 1, _BEHIND, short, match_id)
        self._displace(side, price, stamp, served, order_id, resting)

    def _walk(self, side: int, price: int, after: int, until: int, size: int, match_id: int) -> int:
        """`size` lots come to a price: recorded, displaced and own orders with a stamp in after..until-1 are served in turn."""
        assert isinstance(self._book, OrderBook)
        left, deferred = size, 0
        own = [(o.stamp, 0, o, 0) for o in self._orders[side] if o.price == price and after <= o.stamp <= until]
        recorded = [(s, 1, order_id, lots) for order_id, lots, s in self._book.queue(side, price).tolist() if after <= s < until]
        if not own and not after:
            recorded = []  # in what order the record serves its own is its affair
        displaced = [(d.stamp, 2, d, 0) for d in self._standing(side) if d.price == price and after <= d.stamp < until]
        for _, which, claim, lots in sorted([*own, *recorded, *displaced], key=lambda row: row[:2]):
            if left == 0:
                break
            if which == 0:
                left -= self._fill(claim, left, price, "at", match_id, claim.ahead + deferred, deferred)
            elif which == 1:  # it did not get that in the record
                taken = min(left, max(0, lots - self._taken.get((side, claim), 0)))
                self._take_off(side, claim, taken)
                left -= taken
            else:
                taken = self._serve_displaced(side, claim, left)
                deferred += taken
                left -= taken
        return size - left

    def _fill(self, order: _Order, lots: int, paid: int, cause: str, match_id: int, ahead: int, deferred: int) -> int:
        taken = min(lots, order.left)
        order.left -= taken
        order.filled += taken
        self.filled_lots += taken
        self._report_fill(order, paid, taken, match_id, "maker", cause, ahead, deferred)
        if order.left == 0:
            self._remove(order)
        return taken

    def _shorten(self, side: int, price: int, size: int, stamp: int) -> None:
        """`size` of an order left the queue at `price`."""
        for order in self._orders.get(side, ()):
            if order.price == price and stamp < order.stamp:
                order.ahead = max(0, order.ahead - size)

    def _hidden(self, of: int, price: int, size: int, match_id: int) -> None:
        """A print that the book does not show, of a side or of either: only strictly through our price it would have been ours."""
        for side in (BUY, SELL) if of == NO_SIDE else (of,):
            served = self._serve(side, price + side, _BEHIND, size, "hidden", match_id)
            self._displace(side, price, _HIDDEN if of == NO_SIDE else 0, served, 0, False)
            if served:
                return

    def _image(self, side: int, price: int, size: int, stamp: int) -> None:
        """An order of an image: the first ones at our price, up to what stood before us, still do."""
        self._imaged = True
        seen = 0  # of what stood before the own order in front, which stood before those behind it too
        for order in self._orders.get(side, ()):
            if order.price == price and (order.unseen or seen):
                seen = max(seen, min(size, order.unseen))
                order.ahead += seen
                order.unseen -= min(seen, order.unseen)
                order.stamp = stamp + 1

    # ---- displaced and taken lots ----

    def _standing(self, side: int) -> list[_Displaced]:
        """Return the displaced orders of a side that still count."""
        kept = [d for d in self._displaced.get(side, ()) if self._counts(d)]
        if side:
            self._displaced[side] = kept
        return list(kept)

    def _counts(self, d: _Displaced) -> bool:
        if self.displaced_ns is not None and self._now_ns - d.since_ns >= self.displaced_ns:
            return False
        return not d.resting or self._rests_in_book(d.order_id)

    def _rests_in_book(self, order_id: int) -> bool:
        return isinstance(self._book, OrderBook) and self._book.order(order_id) is not None

    def _displace(self, side: int, price: int, stamp: int, lots: int, order_id: int, resting: bool) -> None:
        """`lots` of a recorded order did not trade in a world with us; with 0, what is known of the order has changed."""
        queue = self._displaced[side]
        for d in queue:
            if (d.price, d.stamp) == (price, stamp):
                d.lots += lots
                d.resting = resting
                d.since_ns = self._now_ns if lots else d.since_ns
                return
        if lots == 0 or self.displaced_ns == 0:
            return
        if len(queue) == _DISPLACED:
            queue.remove(min(queue, key=lambda d: d.since_ns))
            self.forgotten += 1
        queue.append(_Displaced(price, lots, stamp, order_id, self._now_ns, resting))
        queue.sort(key=lambda d: (-side * d.price, d.stamp))

    def _serve_displaced(self, side: int, d: _Displaced, lots: int) -> int:
        taken = min(lots, d.lots)
        d.lots -= taken
        self.deferred_lots += taken
        if d.lots == 0:
            self._displaced[side] = [other for other in self._displaced[side] if other is not d]
        return taken

    def _take_off(self, side: int, key: int, lots: int) -> None:
        """`lots` of an order, by level of a price, have traded with us: the book shows them on."""
        if lots == 0:
            return
        if (side, key) not in self._taken:
            self._taken = {(s, k): n for (s, k), n in self._taken.items() if self._size_in_book(s, k)}
            if len(self._taken) == _TAKEN:
                del self._taken[next(iter(self._taken))]
                self.forgotten += 1
        self._taken[side, key] = self._taken.get((side, key), 0) + lots

    def _rename(self, side: int, old: int, new: int, lots: int) -> None:
        """A taken order has a new number; it stays as old as it is."""
        self._taken = {(side, new) if key == (side, old) else key: n for key, n in self._taken.items()}
        self._taken[side, new] = lots

    def _size_in_book(self, side: int, key: int, price: int | None = None) -> int:
        """Lots that the book shows of a taken order, if it stands at `price`; by level of a price."""
        if isinstance(self._book, OrderBook):
            found = self._book.order(key)
            return found[2] if found is not None and price in (None, found[1]) else 0
        assert self._book is not None
        return self._book._level_size(side, key) if price in (None, key) else 0

    # ---- by level ----

    def _traded(self, side: int, price: int, size: int, hidden: bool, match_id: int) -> None:
        assert self._book is not None
        if side == NO_SIDE:  # whose it was the best prices tell
            bid, ask = self._book.best_bid, self._book.best_ask
            at_bid, at_ask = bid is not None and price <= bid, ask is not None and price >= ask
            if at_bid != at_ask:
                side = BUY if at_bid else SELL
        if hidden:
            side = NO_SIDE
        if side == NO_SIDE or (self._book._level_size(side, price) == 0 and self._sees(side, price)):
            self._hidden(side, price, size, match_id)
        elif self._trading in (None, "trading"):
            self._print(side, price, size, match_id)

    def _print(self, side: int, price: int, size: int, match_id: int) -> None:
        """`size` was executed on our side of a book by level.

        Better ones are served first, then each in turn: displaced lots, those ahead of an own order, it, and so on. The record took
        its first `size` lots; those of them that are not served are displaced.
        """
        left = size - self._serve(side, price + side, _BEHIND, size, "through", match_id)
        served = marked = here = 0
        orders = [o for o in self._orders[side] if o.price == price]
        displaced = [d for d in self._standing(side) if d.price == price]
        claims: list[_Order | _Displaced] = [*displaced, *orders]
        for claim in sorted(claims, key=lambda c: (c.stamp, isinstance(c, _Displaced))):
            if isinstance(claim, _Displaced):
                taken = self._serve_displaced(side, claim, left)
                left -= taken
                here += taken
                continue
            if self._now_ns < claim.entered_ns:
                continue  # the feed is late: that was before we came
            if self._now_ns - claim.shrunk_ns > self.print_lag_ns:
                claim.shrunk = 0
            shrunk = min(claim.shrunk, size)
            claim.shrunk -= shrunk
            claim.printed += size - shrunk
            ahead = claim.ahead + shrunk
            claim.ahead = max(0, ahead - size)
            taken = min(left, max(0, ahead - served))
            served += taken
            left -= taken
            marked = max(marked, served)
            if min(ahead, size) > marked:
                self._displace(side, price, claim.stamp - 1, min(ahead, size) - marked, 0, False)
                marked = min(ahead, size)
            if left:
                left -= self._fill(claim, left, price, "at", match_id, ahead + here, here)
        marked = max(marked, served + left)
        if size > marked:
            self._displace(side, price, self._entries + 1, size - marked, 0, False)

    def _sees(self, side: int, price: int) -> bool:
        """Say whether the book shows all there is at a price: it shows worse ones."""
        shown = self._ladder(side)
        return bool(shown) and side * (price - shown[-1][0]) > 0

    def _level(self, side: int, price: int, total: int, change: int, image: bool, quoted: bool) -> None:
        """A level displays `total`, and `change` just happened."""
        for order in self._orders.get(side, ()):
            if order.price != price or (total == 0 and (quoted or not self._sees(side, price))):
                continue  # a level that has left what the feed shows tells nothing
            if change < 0 and not image:
                explained = min(order.printed, -change)
                order.printed -= explained
                if explained < -change:
                    gone = order.ahead - min(order.ahead, total)
                    if gone and order.ahead < UNKNOWN:
                        if self._now_ns - order.shrunk_ns > self.print_lag_ns:
                            order.shrunk = 0
                        order.shrunk += gone
                        order.shrunk_ns = self._now_ns
                    order.ahead -= gone
            else:
                order.printed = 0
                if change > 0 and not image and self._now_ns < order.entered_ns + self.level_lag_ns and order.ahead < UNKNOWN:
                    order.ahead += change  # it happened before we came
            order.ahead = min(order.ahead, total)
        if change > 0 and not image:
            self._take_off(side, price, self._serve(-side, price, _BEHIND, change, "crossing", 0))

    def _quote(self, side: int, price: int, size: int, image: bool) -> None:
        """The best price of a side; what has arrived there is what was not shown before."""
        before, shown = self._shown[side]
        self._shown[side] = price, size
        if price == NO_PRICE:
            return
        for order in self._orders[side]:
            if side * (order.price - price) > 0:
                order.ahead = 0
        change = 0
        if before == NO_PRICE or side * (price - before) > 0:
            change = size or UNKNOWN  # a feed without sizes
        elif price == before:
            change = size - shown
        else:
            image = True  # nobody knows what was there before
        self._level(side, price, size, change, image, True)

    # ---- what happened ----

    def take_reports(self) -> npt.NDArray[np.void]:
        out = np.array(self._reports, EVENT_DTYPE) if self._reports else np.empty(0, EVENT_DTYPE)
        self._reports.clear()
        return out

    def orders(self) -> list[tuple[int, int, int, int, int]]:
        return [(o.order_id, o.side, o.price, o.left, self._place(o)) for o in self._both()]

    def check(self) -> None:
        for side, orders in self._orders.items():
            assert len(orders) <= self.capacity
            assert all(o.side == side and o.left > 0 and o.ahead >= 0 for o in orders)
            assert orders == sorted(orders, key=lambda o: (-side * o.price, o.stamp))
            assert all(d.lots > 0 for d in self._displaced[side])

    # ---- parts ----

    def _refusal(self, side: int, price: int, size: int, terms: int) -> int:
        """What is wrong with an order by itself, and whether the venue takes any."""
        if side not in (BUY, SELL):
            return Result.BAD_SIZE
        if not _agree(terms):
            return Result.BAD_TERMS
        if not _market(terms) and not self._lowest <= price <= _MAX_VALUE:
            return Result.BAD_PRICE
        if not 0 < size <= _MAX_VALUE:
            return Result.BAD_SIZE
        if self._trading not in (None, "trading", "quotation"):
            return Result.NOT_TRADING
        return Result.EXPIRED if 0 < _expiry(terms) <= self._now_ns else Result.OK

    def _refusal_by_market(self, side: int, price: int, size: int, terms: int) -> int:
        """What speaks against an order in this market."""
        limit = side * 2**62 if _market(terms) else price
        if terms & TERMS["post_only"] and self._trading in (None, "trading"):
            shown = self._ladder(-side)
            if shown and side * (price - shown[0][0]) >= 0:
                return Result.POST_ONLY
        if self.self_trade == "refuse" and self._meets_own(side, limit, size):
            return Result.SELF_TRADE
        if _time(terms) == TERMS["fok"] and self._available(side, limit) < size:
            return Result.UNFILLABLE
        return Result.OK

    def _meets_own(self, side: int, limit: int, size: int) -> bool:
        """Say whether an order would come as far as an own one on the other side."""
        others = self._orders[-side]
        if not others or side * (limit - others[0].price) < 0:
            return False
        return self._available(side, others[0].price - side) < size

    def _available(self, side: int, limit: int) -> int:
        return sum(size for _, size in list(self._reachable(side, limit))[:_SWEEP])

    def _reachable(self, side: int, limit: int) -> list[tuple[int, int]]:
        """(price, size) of the levels that an order of `side` trades with, best first, without what is taken.

        A level of size 0 is a best price whose size the feed does not say: nothing that an order could count on.
        """
        if self._trading not in (None, "trading"):
            return []
        levels = [(p, size - self._taken_at(-side, p)) for p, size in self._ladder(-side) if side * (limit - p) >= 0]
        return [(p, size) for p, size in levels if size > 0]

    def _taken_at(self, side: int, price: int) -> int:
        return sum(min(n, self._size_in_book(s, key, price)) for (s, key), n in self._taken.items() if s == side)

    def _ladder(self, side: int) -> list[tuple[int, int]]:
        """Return (price, size) of the levels of a side, best first."""
        assert self._book is not None
        return [(price, size) for price, size, _ in self._book._ladder(side)]

    def _queue(self, order: _Order) -> None:
        """The place of a new order."""
        book, side, price = self._book, order.side, order.price
        assert book is not None
        shown = self._ladder(side)
        order.ahead = book._level_size(side, price)
        nothing = book.stale or self._imaging or not (shown or self._ladder(-side))
        if isinstance(book, OrderBook):
            order.stamp = book.next_stamp
            order.unseen = UNKNOWN if nothing else 0
        else:
            order.stamp = self._entries + 2
            if nothing or (order.ahead == 0 and shown and side * (price - shown[-1][0]) <= 0):
                order.ahead = UNKNOWN  # not shown, or a best price whose size the feed does not say

    def _place(self, order: _Order) -> int:
        """All that is before an own order at its price."""
        displaced = sum(d.lots for d in self._standing(order.side) if d.price == order.price and d.stamp < order.stamp)
        return min(UNKNOWN, order.ahead + order.unseen + displaced)

    def _remove(self, order: _Order) -> None:
        self._orders[order.side] = [o for o in self._orders[order.side] if o is not order]

    def _both(self) -> Iterator[_Order]:
        return iter(self._orders[BUY] + self._orders[SELL])

    def _find(self, order_id: int) -> _Order | None:
        return next((o for o in self._both() if o.order_id == order_id), None)

    def _new_order_id(self) -> int:
        self._next_order_id += 1
        return self._next_order_id - 1

    def _report_fill(
        self, order: _Order, paid: int, lots: int, match_id: int, role: str, cause: str, ahead: int, deferred: int
    ) -> None:
        flags = FLAGS[role] | FLAGS[cause] | (FLAGS["continued"] if self.details else 0)
        self._report("fill", order.side, paid, lots, order.order_id, match_id, flags)
        if self.details:
            self._report("detail", order.side, ahead, order.left, self._now_seq, deferred)

    def _report(self, kind: str, side: int, price: int, size: int, order_id: int, extra: int, flags: int = 0) -> None:
        head = (self._now_seq, self._now_ns, 0, self.symbol_id, KINDS[kind], side, flags | FLAGS["own"])
        self._reports.append((*head, price, size, order_id, extra))
