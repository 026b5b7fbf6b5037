"""Plain-Python twin of a whole run: the law of time and order as one heap over two worlds, that of the venue and ours.

Everything that happens is an item of the heap: its time, its phase, and its number. Of one time, the phases at the venue come first
(history, then our messages), then what reaches us (reports, then events) as one instant, then what we decide on it; what that causes
at the same time is another round. Nothing is measured here: ``latency`` stays empty and ``loop_ns`` 0.
"""

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import repeat
from typing import Any

import numpy as np
import numpy.typing as npt

from fastcore.errors import CorruptDataError, Result
from fastcore.records import BUY, EVENT_DTYPE, FLAGS, KINDS, NO_PRICE, NO_SYMBOL, SELL, SESSION, TRADING
from fastcore.risk import RiskLimits

from .avellaneda import Quoter
from .book import LevelBook, OrderBook, OrderTable
from .flow import EwmaVolatility
from .histogram import Histogram
from .itch import ItchDecoder
from .portfolio import Position
from .venue import TOOK, Venue

__all__ = ["CURVE_DTYPE", "STAGE_NAMES", "Engine"]

CURVE_DTYPE = np.dtype([("exch_ns", np.int64), ("mid_ticks", np.int64), ("position_lots", np.int64), ("profit", np.int64)])
STAGE_NAMES = ("decode", "book", "venue", "store", "strategy", "risk", "total")

# Kinds that touch no book.
_RARE = {KINDS[name] for name in ("system", "listing", "status", "notice", "imbalance", "break", "bar")}
_OPENS = {KINDS[name] for name in "add execute cancel delete replace level quote clear gap".split()}
_WHOLE = {KINDS["clear"], KINDS["gap"]}
_PRINTS = {KINDS["execute"], KINDS["trade"]}
_MASK = 2**64 - 1
_BATCH = 4096
_PAST = -(2**63)
# Phases of a time.
_HISTORY, _MESSAGE, _REPORT, _EVENT = range(4)

Event = tuple[int, ...]


def _check(value: int, name: str, low: int, high: int) -> int:
    if not low <= value <= high:
        raise ValueError(f"{name} must be in {low}..{high}: {name}={value}")
    return value


@dataclass
class _Change:
    """What an event did to a book."""

    kind: int
    side: int = 0
    price: int = NO_PRICE
    size: int = 0
    stamp: int = 0
    new_price: int = NO_PRICE
    new_size: int = 0
    grew: bool = False
    top_changed: bool = False


class _World:
    """Books and states as one side knows them."""

    def __init__(self, kind: str, orders: int, symbol: str, symbol_id: int | None) -> None:
        if kind not in ("orders", "levels", "quotes"):
            raise ValueError(f"book must be orders, levels or quotes: book={kind}")
        self.kind = kind
        self.orders = OrderTable(orders)
        self.rare = _RARE if kind == "quotes" else _RARE | {KINDS["quote"]}
        self.books: dict[int, OrderBook | LevelBook] = {}
        self.events = self.book_errors = self.first_error_seq = self.traded_lots = 0
        self.symbol_key = int.from_bytes(symbol.ljust(8).encode("ascii"), "little", signed=True) if symbol_id is None else None
        self.symbol_id = -1
        self.trading = symbol_id is not None
        self.state: str | None = None  # None: nobody announces any
        self.session = True
        self.inside = False  # the event before said that this one carries more of its message
        if symbol_id is not None:
            self.symbol_id = _check(symbol_id, "symbol_id", 0, 65535)
            self.open(symbol_id)

    @property
    def book(self) -> OrderBook | LevelBook | None:
        return self.books.get(self.symbol_id)

    def open(self, locate: int) -> OrderBook | LevelBook:
        if locate not in self.books:
            orders = self.orders
            by_order = self.kind == "orders"
            self.books[locate] = OrderBook(orders=orders) if by_order else LevelBook(orders=orders, quotes=self.kind == "quotes")
        return self.books[locate]

    def apply(self, event: Event) -> _Change | None:
        """Apply an event; what it did, None where that is nothing."""
        _, _, _, locate, kind, side, flags, price, size, order_id, match_id = event
        self.events += 1
        inside, self.inside = self.inside, bool(flags & FLAGS["continued"])
        if kind in self.rare:
            return None if inside else self._rare(locate, kind, price)
        if locate == NO_SYMBOL and kind in _WHOLE:
            for every in self.books.values():  # of the whole feed
                every._apply({"kind": kind, "flags": flags})
            return _Change(kind)
        if kind not in _OPENS and locate not in self.books:
            return None
        if locate > 65535:
            return self._refused(None)
        book = self.open(locate)
        order_id &= _MASK
        found = book.order(order_id) if isinstance(book, OrderBook) else None
        old_side, old_price, old_size, stamp = found if found is not None else (0, NO_PRICE, 0, 0)
        shown = book._sides[side].get(price, 0) if isinstance(book, LevelBook) and kind == KINDS["level"] and side else 0
        done = book.counts.get("ok", 0)
        names = ("kind", "side", "flags", "price", "size", "order_id", "match_id")
        top = book._apply(dict(zip(names, (kind, side, flags, price, size, order_id, match_id), strict=True)))
        if book.counts.get("ok", 0) == done:
            return self._refused(_Change(0, top_changed=top))
        if kind in _PRINTS and locate == self.symbol_id and not flags & FLAGS["not_printable"]:
            self.traded_lots += size
        if kind == KINDS["replace"] and found is None:
            kind = KINDS["add"]
        if kind == KINDS["add"]:
            assert isinstance(book, OrderBook)
            return _Change(kind, side, price, size, book.next_stamp - 1, top_changed=top)
        if kind in (KINDS["execute"], KINDS["cancel"]):
            return _Change(kind, old_side, old_price, size, stamp, top_changed=top)
        if kind == KINDS["delete"]:
            return _Change(kind, old_side, old_price, old_size, stamp, top_changed=top)
        if kind == KINDS["replace"] and order_id == match_id & _MASK and price == old_price and size <= old_size:
            # A modify after which the order keeps its place.
            return _Change(KINDS["cancel"], old_side, old_price, old_size - size, stamp, top_changed=top)
        if kind == KINDS["replace"]:
            return _Change(kind, old_side, old_price, old_size, stamp, price, size, top_changed=top)
        if kind == KINDS["level"]:
            return _Change(kind, side, price, abs(size - shown), 0, NO_PRICE, size, size > shown, top)
        if kind == KINDS["quote"]:  # the payload is bid, ask, bid_size, ask_size
            return _Change(kind, 0, price, order_id, 0, size, match_id, top_changed=top)
        # Trades and crosses change no displayed order.
        return _Change(kind, side if self.kind != "orders" else 0, price, size, top_changed=top)

    def _refused(self, change: _Change | None) -> _Change | None:
        if self.book_errors == 0:
            self.first_error_seq = self.events
        self.book_errors += 1
        return change if change is not None and change.top_changed else None

    def _rare(self, locate: int, kind: int, price: int) -> _Change:
        if kind == KINDS["listing"]:
            if price == self.symbol_key and self.symbol_id < 0:
                self.symbol_id = locate
                self.state = "unknown"
                self.open(locate)
        elif kind == KINDS["status"]:
            if locate == self.symbol_id:
                self.trading = price == TRADING["trading"]
                self.state = list(TRADING)[price]
        elif kind == KINDS["system"]:
            self.session = price == SESSION["market_opens"]
        return _Change(kind)

    @property
    def top(self) -> tuple[int | None, int, int | None, int]:
        book = self.book
        return (None, 0, None, 0) if book is None else (book.best_bid, book.best_bid_size, book.best_ask, book.best_ask_size)

    @property
    def proper(self) -> bool:
        """Both sides, neither crossed nor locked."""
        bid, _, ask, _ = self.top
        return bid is not None and ask is not None and bid < ask

    @property
    def open_for_trading(self) -> bool:
        return self.trading and self.session


@dataclass
class _OwnOrder:
    side: int
    price: int
    worst: int  # lots that may still be filled
    filled: int = 0
    leaving: bool = False  # its pull or replacement is in flight
    done: bool = False


@dataclass
class _Rung:
    """The wanted quote of one side, and what is done about it."""

    wish: int | None = None
    acted: int | None = None  # wish that was last acted upon
    order_id: int = 0
    in_flight: bool = False
    retry: bool = False


@dataclass
class _Instant:
    """What one time brought us."""

    fills: bool = False
    news: bool = False  # of the state of the market
    moved_ns: int | None = None  # time of the last event that moved the best prices
    anything: bool = False


class Engine:
    """Run ITCH bytes or events through books, market maker, limits, latencies, venue and accounts; see ``fastcore.engine.Engine``."""

    def __init__(
        self,
        symbol: str,
        *,
        symbol_id: int | None = None,
        quoter: Quoter | None = None,
        volatility: EwmaVolatility | None = None,
        limits: RiskLimits | None = None,
        order_lots: int = 100,
        time_left: float = 1.0,
        store: Any = None,
        ticks_per_price: float = 10000.0,
        max_loss: int | None = None,
        maker_fee_ticks: int = 0,
        taker_fee_ticks: int = 0,
        midnight_ns: int = 0,
        sample_every: int = 256,
        curve_interval_ns: int = 1_000_000_000,
        skip_malformed: bool = False,
        book: str = "orders",
        orders: int = 65536,
        feed_ns: int = 0,
        local_offset_ns: int | None = None,
        order: int | Iterator[int] = 0,
        response: int | Iterator[int] = 0,
    ) -> None:
        if symbol_id is None and (not 1 <= len(symbol) <= 8 or not symbol.isascii() or symbol != symbol.strip()):
            raise ValueError(f"symbol must be 1 to 8 ASCII characters without spaces around: symbol={symbol!r}")
        if not (math.isfinite(time_left) and time_left >= 0.0):
            raise ValueError(f"time_left must be finite and not negative: time_left={time_left}")
        if not (math.isfinite(ticks_per_price) and ticks_per_price > 0.0):
            raise ValueError(f"ticks_per_price must be finite and positive: ticks_per_price={ticks_per_price}")
        self._order_lots = _check(order_lots, "order_lots", 1, 1 << 40)
        self._time_left = time_left
        self._ticks_per_price = ticks_per_price
        self._max_loss = None if max_loss is None else _check(max_loss, "max_loss", 0, 1 << 60)
        self._maker_fee = _check(maker_fee_ticks, "maker_fee_ticks", -(1 << 20), 1 << 20)
        self._taker_fee = _check(taker_fee_ticks, "taker_fee_ticks", -(1 << 20), 1 << 20)
        _check(sample_every, "sample_every", 0, 1 << 40)
        self._curve_interval_ns = _check(curve_interval_ns, "curve_interval_ns", 1, 1 << 60)
        self.symbol = symbol
        self.decoder = ItchDecoder(midnight_ns, not skip_malformed)
        self._there = _World(book, orders, symbol, symbol_id)
        self._here = _World(book, orders, symbol, symbol_id)
        self.venue = Venue(64, by_level=book != "orders")
        self.position = Position()
        self.quoter = quoter
        self.volatility = volatility
        self.limits = RiskLimits() if limits is None else limits
        self.store = store
        self.latency = {name: Histogram(1, 60_000_000_000, 3) for name in STAGE_NAMES}
        self.quotes = self.orders_sent = self.risk_rejects = self.fills = self.loop_ns = self.last_ns = 0
        self.mid_ticks: int | None = None
        self.stopped = False
        self._stopping = False
        self._feed_ns, self._offset_ns = feed_ns, local_offset_ns
        self._delays = {
            phase: repeat(delay) if isinstance(delay, int) else delay
            for phase, delay in ((_MESSAGE, order), (_REPORT, response))
        }
        self._last = {_MESSAGE: _PAST, _REPORT: _PAST}  # arrival of the last message of each line
        self._heap: list[tuple[int, int, int, Event]] = []
        self._pushed = 0
        self._venue_ns = self._learnt_ns = _PAST
        self._now_ns = 0
        self._top: tuple[int | None, int, int | None, int] = (None, 0, None, 0)
        self._rungs = {BUY: _Rung(), SELL: _Rung()}
        self._own: dict[int, _OwnOrder] = {}
        self._in_flight = 0
        self._given = 0
        self._next_id = 1
        self._reports: list[Event] = []
        self._curve: list[tuple[int, int, int, int]] = []
        self._curve_next_ns = NO_PRICE
        self._point: tuple[int, int] | None = None  # its time, and our clock that must have passed

    # ---- what happened ----

    def reports(self) -> npt.NDArray[np.void]:
        return np.array(self._reports, EVENT_DTYPE) if self._reports else np.empty(0, EVENT_DTYPE)

    def curve(self) -> npt.NDArray[np.void]:
        return np.array(self._curve, CURVE_DTYPE) if self._curve else np.empty(0, CURVE_DTYPE)

    def quote(self) -> tuple[int | None, int, int | None, int]:
        return self._here.top

    @property
    def listed(self) -> bool:
        return self._here.book is not None

    @property
    def symbols(self) -> int:
        return len(self._here.books)

    @property
    def messages(self) -> int:
        return sum(self.decoder.counts.values()) + self._given

    @property
    def events(self) -> int:
        return self._here.events

    @property
    def book_errors(self) -> int:
        return self._here.book_errors

    @property
    def first_error_seq(self) -> int:
        return self._here.first_error_seq

    @property
    def traded_lots(self) -> int:
        return self._here.traded_lots

    @property
    def profit(self) -> int | Fraction | None:
        if self.mid_ticks is None:
            return None if self.position.position_lots else self.position.realised - self.position.fees
        return self.position.realised + self.position.unrealised(self.mid_ticks) - self.position.fees

    # ---- input ----

    def feed(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        out = np.zeros(_BATCH, EVENT_DTYPE)
        at, failure = 0, None
        while at < len(view) and not self.stopped and failure is None:
            try:
                count, used = self.decoder.decode(view[at:], out)
            except CorruptDataError as error:
                failure, count, used = error, error.events, 0  # type: ignore[attr-defined]
            at += used
            self._happens(out[:count])
            if count == 0 and used == 0:
                break
        self._run()
        if failure is not None and not self.stopped:
            raise failure
        return at

    def feed_events(self, events: npt.NDArray[np.void]) -> int:
        if self.stopped:
            return 0
        done = self._here.events
        self._happens(events)
        self._run()
        self._given += self._here.events - done
        return self._here.events - done

    def _happens(self, events: npt.NDArray[np.void]) -> None:
        """Lay events of the history on the two clocks."""
        for event in events.tolist():
            image = event[6] & FLAGS["snapshot"] and self._venue_ns != _PAST
            self._venue_ns = self._venue_ns if image else max(self._venue_ns, event[1] or event[2])
            learnt = self._venue_ns + self._feed_ns
            if self._offset_ns is not None and event[2]:
                learnt = max(self._venue_ns, event[2] + self._offset_ns)
            self._learnt_ns = max(self._learnt_ns, learnt)
            self._push(self._venue_ns, _HISTORY, event)
            self._push(self._learnt_ns, _EVENT, event)

    def _push(self, time_ns: int, phase: int, event: Event) -> None:
        self._pushed += 1
        heapq.heappush(self._heap, (time_ns, phase, self._pushed, event))

    def _send(self, phase: int, now_ns: int, event: Event) -> None:
        """Put a message on its line."""
        self._last[phase] = max(self._last[phase], now_ns + next(self._delays[phase]))
        self._push(self._last[phase], phase, event)

    # ---- the law ----

    def _run(self) -> None:
        later = []  # than the end of the history
        while self._heap and not self.stopped:
            now = self._heap[0][0]
            if now > (self._venue_ns if self._heap[0][1] <= _MESSAGE else self._learnt_ns):
                later.append(heapq.heappop(self._heap))
                continue
            for _, phase, event in self._due(now, _MESSAGE):
                self._at_venue(now, phase, event)
            instant = _Instant()
            for _, phase, event in self._due(now, _EVENT):
                self._reaches_us(now, phase, event, instant)
            if instant.anything:
                self._decide(instant)
            if self._stopping and self._in_flight == 0:
                self.stopped = True
        for item in later:
            heapq.heappush(self._heap, item)
        if self._point is not None:
            self._add_point()

    def _due(self, now_ns: int, phase: int) -> list[tuple[int, int, Event]]:
        """Take what is due now, up to a phase."""
        out = []
        while self._heap and self._heap[0][0] == now_ns and self._heap[0][1] <= phase:
            time_ns, of, _, event = heapq.heappop(self._heap)
            out.append((time_ns, of, event))
        return out

    # ---- the venue ----

    def _at_venue(self, now_ns: int, phase: int, event: Event) -> None:
        world, venue = self._there, self.venue
        venue._now_ns = now_ns if phase == _MESSAGE else event[1]
        if phase == _MESSAGE:
            venue._now_seq = event[0]
            self._message(event)
        else:
            change = world.apply(event)
            venue._now_seq = world.events
            venue.trading = world.state
            venue.symbol_id = max(world.symbol_id, 0)
            mine = event[3] == world.symbol_id or (event[3] == NO_SYMBOL and event[4] in _WHOLE)
            if change is not None and change.kind and mine and event[4] not in world.rare:
                c = change
                venue.apply(
                    c.kind, c.side, c.price, c.size, c.stamp, c.new_price, c.new_size, event[10], event[1], world.events, event[6], c.grew,
                    event[9] & _MASK, event[10] & _MASK,
                )  # fmt: skip
        for report in venue.take_reports().tolist():
            self._send(_REPORT, now_ns, report)

    def _message(self, event: Event) -> None:
        venue, book = self.venue, self._there.book
        _, _, _, _, kind, side, _, price, size, order_id, new_order_id = event
        assert book is not None
        if kind == KINDS["pull"]:
            venue.cancel(order_id)
        elif kind == KINDS["replace"]:
            venue._next_order_id = new_order_id
            venue.replace(book, order_id, price, size)
        else:
            venue._next_order_id = order_id
            venue.submit(book, side, price, size, new_order_id)

    # ---- ours ----

    def _reaches_us(self, now_ns: int, phase: int, event: Event, instant: _Instant) -> None:
        if self._point is not None and now_ns > self._point[1]:
            self._add_point()
        self._now_ns = now_ns
        if phase == _REPORT:
            self._report(event, instant)
            return
        world, kind = self._here, event[4]
        change = world.apply(event)
        self.last_ns = event[1]
        whole = event[3] == NO_SYMBOL and kind in _WHOLE
        mine = event[3] == world.symbol_id or whole
        if event[1] >= self._curve_next_ns and mine and kind not in world.rare:
            self._point = (event[1], now_ns)
            self._curve_next_ns = (event[1] // self._curve_interval_ns + 1) * self._curve_interval_ns
        if change is None:
            return
        if kind == KINDS["system"] or (mine and kind in (KINDS["status"], *_WHOLE)):
            instant.news = instant.anything = True  # nothing is quoted on a stale book; an image makes it good
        if mine and change.top_changed:
            instant.moved_ns = event[1]
            instant.anything = True
        if mine and change.kind in _PRINTS and not event[6] & FLAGS["not_printable"] and self.store is not None:
            paid = change.price if event[7] == NO_PRICE else event[7]
            self.store.append(event[1], world.symbol_id, paid / self._ticks_per_price, float(event[8]))

    def _report(self, report: Event, instant: _Instant) -> None:
        """Account what came of an own order."""
        self._reports.append(report)
        kind, price, size, order_id = report[4], *report[7:10]
        order = self._own.get(order_id)
        if order is None:
            return  # our own refusal
        instant.anything = True
        side = order.side
        rung = self._rungs[side]
        if kind == KINDS["ack"]:
            order.leaving, order.worst = False, size  # of a replacement, less what was filled while it was under way
            self._answered(rung)
        elif kind == KINDS["fill"]:
            fee = self._taker_fee if report[10] == TOOK else self._maker_fee
            self.position.fill(side, price, size, size * fee)
            self.fills += 1
            order.worst -= size
            order.filled += size
            if order.worst <= 0 and not order.leaving:
                self._done(order_id)
            self._rungs[BUY].retry = self._rungs[SELL].retry = True
            instant.fills = True
        elif kind == KINDS["pulled"]:
            if order.leaving and rung.order_id == order_id:
                self._answered(rung)  # of a pull; the answer to a replacement is the ack of the new order
            self._done(order_id)
        elif kind == KINDS["reject"]:
            if not order.leaving or rung.order_id == order_id:
                self._answered(rung)
                self._done(order_id)
                return
            new = rung.order_id  # what should have taken the place of this one does not exist
            self._answered(rung)
            self._done(new)
            if report[10] == Result.UNKNOWN_ORDER:
                self._done(order_id)
            else:
                order.leaving = False
                rung.order_id = order_id

    def _answered(self, rung: _Rung) -> None:
        self._in_flight -= 1
        rung.in_flight = False

    def _done(self, order_id: int) -> None:
        order = self._own[order_id]
        order.worst, order.done, order.leaving = 0, True, False
        if self._rungs[order.side].order_id == order_id:
            self._rungs[order.side].order_id = 0

    def _decide(self, instant: _Instant) -> None:
        """Act on an instant as a whole."""
        world = self._here
        moved = instant.moved_ns is not None and world.top != self._top
        self._top = world.top
        bid, _, ask, _ = world.top
        if moved and world.proper:
            assert bid is not None
            assert ask is not None
            self.mid_ticks = (bid + ask) // 2
            if self.volatility is not None and self.quoter is not None and world.open_for_trading:
                assert instant.moved_ns is not None
                count = self.volatility.count
                self.volatility.update((bid + ask) / (2.0 * self._ticks_per_price), instant.moved_ns)
                if self.volatility.count != count:
                    self.quoter.volatility = self.volatility.volatility
        if self.quoter is not None and world.book is not None and (moved or instant.news or instant.fills):
            self._requote()
        if self._stopping:
            for rung in self._rungs.values():
                rung.wish = None
        bid, old_ask = self._rungs[BUY].wish, self._own.get(self._rungs[SELL].order_id)
        meets = bid is not None and old_ask is not None and bid >= old_ask.price  # what becomes of the old ask goes first
        for side in (SELL, BUY) if meets else (BUY, SELL):
            self._place(side, self._rungs[side])

    def _requote(self) -> None:
        world = self._here
        wish: dict[int, int | None] = {BUY: None, SELL: None}
        book, profit = world.book, self.profit
        assert self.quoter is not None
        assert book is not None
        if world.open_for_trading and not book.stale and world.proper:
            best_bid, _, best_ask, _ = world.top
            assert best_bid is not None
            assert best_ask is not None
            self.quoter.quote((best_bid + best_ask) / (2.0 * self._ticks_per_price), float(self.position.position_lots), self._time_left)
            bid, ask = self.quoter.bid_ticks, self.quoter.ask_ticks
            self.quotes += 1
            if bid is not None and bid >= best_ask:
                bid = self._grid(best_ask - 1, down=True)
            if ask is not None and ask <= best_bid:
                ask = self._grid(best_bid + 1, down=False)
            wish = {BUY: bid, SELL: ask}
            if self._max_loss is not None and (profit is None or not -self._max_loss <= profit < 2**63):
                self._stopping = True
        for side, rung in self._rungs.items():
            rung.wish = wish[side]

    def _grid(self, ticks: int, down: bool) -> int | None:
        """Nearest multiple of the venue's increment at or below (above) a price."""
        assert self.quoter is not None
        p = self.quoter.parameters
        below = p["low_below_ticks"]
        increment = int(p["increment_ticks"] if (ticks >= below if down else ticks > below) else p["low_increment_ticks"])
        steps = ticks // increment if down else max(1, -(-ticks // increment))
        return steps * increment if steps >= 1 else None

    def _open_lots(self, side: int, without: int) -> int:
        return sum(o.worst for number, o in self._own.items() if o.side == side and number != without)

    def _place(self, side: int, rung: _Rung) -> None:
        """Bring the order of one side to the wish."""
        if rung.in_flight or (rung.wish == rung.acted and not (rung.retry and rung.order_id == 0)):
            return
        rung.acted = rung.wish
        rung.retry = False
        if rung.wish is None:
            self._pull(rung)
            return
        result = self.limits.check(
            side,
            rung.wish,
            self._order_lots,
            self.position.position_lots,
            self._open_lots(BUY, rung.order_id),
            self._open_lots(SELL, rung.order_id),
            self.mid_ticks,
        )
        if result != Result.OK:
            self.risk_rejects += 1
            refusal = self._event("reject", side, rung.wish, self._order_lots, 0, result)
            self._push(self._now_ns, _REPORT, refusal)
            self._pull(rung)
            return
        self.orders_sent += 1
        number, old = self._next_id, rung.order_id
        self._next_id += 1
        self._own[number] = _OwnOrder(side, rung.wish, self._order_lots)
        rung.order_id = number
        if old:
            self._own[old].leaving = True
            total = self._order_lots + self._own[old].filled
            self._message_out(rung, self._event("replace", side, rung.wish, total, old, number))
        else:
            self._message_out(rung, self._event("order", side, rung.wish, self._order_lots, number, 0))

    def _pull(self, rung: _Rung) -> None:
        if rung.order_id:
            self._own[rung.order_id].leaving = True
            self._message_out(rung, self._event("pull", self._own[rung.order_id].side, NO_PRICE, 0, rung.order_id, 0))

    def _message_out(self, rung: _Rung, event: Event) -> None:
        rung.in_flight = True
        self._in_flight += 1
        self._send(_MESSAGE, self._now_ns, event)

    def _event(self, kind: str, side: int, price: int, size: int, order_id: int, last: int) -> Event:
        seq, now, id = self._here.events, self._now_ns, max(self._here.symbol_id, 0)
        return (seq, now, 0, id, KINDS[kind], side, FLAGS["own"], price, size, order_id, last)

    def _add_point(self) -> None:
        assert self._point is not None
        profit, mid = self.profit, NO_PRICE if self.mid_ticks is None else self.mid_ticks
        self._curve.append((self._point[0], mid, self.position.position_lots, NO_PRICE if profit is None else math.floor(profit)))
        self._point = None
