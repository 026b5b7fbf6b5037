"""Plain-Python twin of ``fastcore.engine``: the same day, the same orders and fills, one readable step after the other.

Nothing is measured here: ``latency`` stays empty and ``loop_ns`` 0.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from fastcore.errors import CorruptDataError
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
_OK = 0
_MASK = 2**64 - 1
_BATCH = 4096


class _Working:
    """What the strategy has at the venue on one side."""

    def __init__(self) -> None:
        self.wanted: int | None = None  # rounded quote that was last acted upon
        self.order_id = 0
        self.retry = False


def _check(value: int, name: str, low: int, high: int) -> int:
    if not low <= value <= high:
        raise ValueError(f"{name} must be in {low}..{high}: {name}={value}")
    return value


class Engine:
    """Run ITCH bytes through books, market maker, limits, venue and accounts; see ``fastcore.engine.Engine``."""

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
        reports: int = 65536,
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
        _check(reports, "reports", 1, 1 << 40)
        self.symbol = symbol
        self.decoder = ItchDecoder(midnight_ns, not skip_malformed)
        self.orders = OrderTable(orders)
        if book not in ("orders", "levels", "quotes"):
            raise ValueError(f"book must be orders, levels or quotes: book={book}")
        self._rare_kinds = _RARE if book == "quotes" else _RARE | {KINDS["quote"]}
        self.venue = Venue(1, by_level=book != "orders")
        self.position = Position()
        self.quoter = quoter
        self.volatility = volatility
        self.limits = RiskLimits() if limits is None else limits
        self.store = store
        self.latency = {name: Histogram(1, 60_000_000_000, 3) for name in STAGE_NAMES}
        self.events = self.book_errors = self.first_error_seq = self.quotes = self.orders_sent = self.risk_rejects = 0
        self.fills = self.traded_lots = self.loop_ns = self.last_ns = 0
        self.mid_ticks: int | None = None
        self.stopped = False
        self._books: dict[int, OrderBook | LevelBook] = {}
        self._symbol_key = int.from_bytes(symbol.ljust(8).encode("ascii"), "little", signed=True) if symbol_id is None else None
        self._book: OrderBook | LevelBook | None = None
        self._symbol_id = -1
        self._trading = symbol_id is not None
        self._inside = False  # the event before said that this one carries more of its message
        self._given = 0
        if symbol_id is not None:
            self._symbol_id = self.venue.symbol_id = _check(symbol_id, "symbol_id", 0, 65535)
            self._book = self._open(symbol_id)
        self._session = True
        self._dirty = False
        self._working = {BUY: _Working(), SELL: _Working()}
        self._reports: list[npt.NDArray[np.void]] = []
        self._curve: list[tuple[int, int, int, int]] = []
        self._curve_next_ns = NO_PRICE

    # ---- what happened ----

    def reports(self) -> npt.NDArray[np.void]:
        return np.concatenate(self._reports) if self._reports else np.empty(0, EVENT_DTYPE)

    def curve(self) -> npt.NDArray[np.void]:
        return np.array(self._curve, CURVE_DTYPE) if self._curve else np.empty(0, CURVE_DTYPE)

    def quote(self) -> tuple[int | None, int, int | None, int]:
        if self._book is None:
            return None, 0, None, 0
        book = self._book
        return book.best_bid, book.best_bid_size, book.best_ask, book.best_ask_size

    @property
    def listed(self) -> bool:
        return self._book is not None

    @property
    def symbols(self) -> int:
        return len(self._books)

    @property
    def messages(self) -> int:
        return sum(self.decoder.counts.values()) + self._given

    @property
    def profit(self) -> int | None:
        if self.mid_ticks is None:
            return None if self.position.position_lots else self.position.realised - self.position.fees
        return self.position.realised + self.position.unrealised(self.mid_ticks) - self.position.fees

    # ---- the loop ----

    def feed(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        out = np.zeros(_BATCH, EVENT_DTYPE)
        at = 0
        while at < len(view) and not self.stopped:
            failure = None
            try:
                count, used = self.decoder.decode(view[at:], out)
            except CorruptDataError as error:
                failure, count, used = error, error.events, 0  # type: ignore[attr-defined]
            at += used
            self._run(out[:count])
            if failure is not None and not self.stopped:
                raise failure
            if count == 0 and used == 0:
                break
        return at

    def feed_events(self, events: npt.NDArray[np.void]) -> int:
        if self.stopped:
            return 0
        done = self._run(events)
        self._given += done
        return done

    def _run(self, events: npt.NDArray[np.void]) -> int:
        for done, event in enumerate(events.tolist(), 1):
            self.events += 1
            self._event(*event)
            self._inside = bool(event[6] & FLAGS["continued"])
            self.last_ns = event[1]
            if self.stopped:
                return done
        return len(events)

    def _event(self, _: int, exch_ns: int, __: int, locate: int, kind: int, side: int, flags: int, *payload: int) -> None:
        price, size, order_id, match_id = payload
        if kind in self._rare_kinds:
            if not self._inside:
                self._rare(exch_ns, locate, kind, payload)
            return
        if locate == NO_SYMBOL and kind in (KINDS["clear"], KINDS["gap"]):
            for every in self._books.values():  # of the whole feed
                every._apply({"kind": kind, "flags": flags})
            if self._book is not None:
                self._dirty = True
                self._chosen(exch_ns, kind, flags, price, size, match_id, (0, NO_PRICE, 0, 0, NO_PRICE, 0), False, False)
            return
        if kind not in _OPENS and locate not in self._books:
            return
        if locate > 65535:
            if self.book_errors == 0:
                self.first_error_seq = self.events
            self.book_errors += 1
            return
        book = self._open(locate)
        order_id &= _MASK
        found = book.order(order_id) if isinstance(book, OrderBook) else None
        old_side, old_price, old_size, stamp = found if found is not None else (0, NO_PRICE, 0, 0)
        shown = book._sides[side].get(price, 0) if isinstance(book, LevelBook) and kind == KINDS["level"] and side else 0
        done = book.counts.get("ok", 0)
        names = ("kind", "side", "flags", "price", "size", "order_id", "match_id")
        top_changed = book._apply(dict(zip(names, (kind, side, flags, price, size, order_id, match_id), strict=True)))
        if book.counts.get("ok", 0) == done:
            if self.book_errors == 0:
                self.first_error_seq = self.events
            self.book_errors += 1
            self._dirty |= book is self._book and top_changed
            return
        grew = False
        if kind == KINDS["add"]:
            change = (side, price, size, self._next_stamp(book) - 1, NO_PRICE, 0)
        elif kind in (KINDS["execute"], KINDS["cancel"]):
            change = (old_side, old_price, size, stamp, NO_PRICE, 0)
        elif kind == KINDS["delete"]:
            change = (old_side, old_price, old_size, stamp, NO_PRICE, 0)
        elif kind == KINDS["replace"] and order_id == match_id & _MASK and price == old_price and size <= old_size:
            kind = KINDS["cancel"]  # a modify after which the order keeps its place
            change = (old_side, old_price, old_size - size, stamp, NO_PRICE, 0)
        elif kind == KINDS["replace"]:
            change = (old_side, old_price, old_size, stamp, price, size)
        elif kind == KINDS["level"]:
            grew = size > shown
            change = (side, price, abs(size - shown), 0, NO_PRICE, size)
        elif kind == KINDS["quote"]:  # the payload is bid, ask, bid_size, ask_size
            change = (0, price, order_id, 0, size, match_id)
        else:  # trades and crosses change no displayed order
            change = (side if self.venue.by_level else 0, price, size, 0, NO_PRICE, 0)
        if book is self._book:
            self._chosen(exch_ns, kind, flags, price, size, match_id, change, top_changed, grew)

    def _open(self, locate: int) -> OrderBook | LevelBook:
        if locate not in self._books:
            self._books[locate] = LevelBook(orders=self.orders) if self.venue.by_level else OrderBook(orders=self.orders)
        return self._books[locate]

    @staticmethod
    def _next_stamp(book: OrderBook | LevelBook) -> int:
        assert isinstance(book, OrderBook)
        return book.next_stamp

    def _chosen(
        self,
        exch_ns: int,
        kind: int,
        flags: int,
        price: int,
        size: int,
        match_id: int,
        change: tuple[int, int, int, int, int, int],
        top_changed: bool,
        grew: bool,
    ) -> None:
        assert self._book is not None
        side, own_price, changed, stamp, new_price, new_size = change
        at = (match_id, exch_ns, self.events)
        self.venue.apply(kind, side, own_price, changed, stamp, new_price, new_size, *at, flags, grew)
        self._settle()
        if kind in (KINDS["execute"], KINDS["trade"]) and not flags & FLAGS["not_printable"]:
            self.traded_lots += size
            if self.store is not None:
                paid = own_price if price == NO_PRICE else price
                self.store.append(exch_ns, self._symbol_id, paid / self._ticks_per_price, float(size))
        if kind in (KINDS["gap"], KINDS["clear"]):
            self._dirty = True  # nothing is quoted on a stale book; an image makes it good
        if top_changed:
            self._dirty = True
            bid, ask = self._book.best_bid, self._book.best_ask
            if bid is not None and ask is not None and bid < ask:
                self.mid_ticks = (bid + ask) // 2
                if self.volatility is not None and self.quoter is not None and self._trading and self._session:
                    count = self.volatility.count
                    self.volatility.update((bid + ask) / (2.0 * self._ticks_per_price), exch_ns)
                    if self.volatility.count != count:
                        self.quoter.volatility = self.volatility.volatility
        if self._dirty and self.quoter is not None and not flags & FLAGS["continued"]:
            self._think()
        if exch_ns >= self._curve_next_ns:
            self._curve_next_ns = (exch_ns // self._curve_interval_ns + 1) * self._curve_interval_ns
            profit = self.profit
            mid = NO_PRICE if self.mid_ticks is None else self.mid_ticks
            self._curve.append((exch_ns, mid, self.position.position_lots, NO_PRICE if profit is None else profit))

    def _rare(self, exch_ns: int, locate: int, kind: int, payload: tuple[int, ...]) -> None:
        if kind == KINDS["listing"]:
            if payload[0] == self._symbol_key and self._book is None:
                self._symbol_id = self.venue.symbol_id = locate
                self._book = self._open(locate)
        elif kind == KINDS["status"]:
            if self._book is not None and locate == self._symbol_id:
                self._trading = payload[0] == TRADING["trading"]
                self._dirty = True
        elif kind == KINDS["system"]:
            self._session = payload[0] == SESSION["market_opens"]
            self._dirty = True
        if self._dirty and self.quoter is not None and self._book is not None:
            self.venue._now_ns, self.venue._now_seq = exch_ns, self.events
            self._think()

    # ---- strategy ----

    def _think(self) -> None:
        """Quote again, and act where the rounded quotes have changed."""
        assert self._book is not None
        assert self.quoter is not None
        self._dirty = False
        bid = ask = None
        best_bid, best_ask = self._book.best_bid, self._book.best_ask
        ready = self._trading and self._session and not self._book.stale
        if ready and best_bid is not None and best_ask is not None and best_bid < best_ask:
            profit = self.profit
            if self._max_loss is not None and profit is not None and profit < -self._max_loss:
                self.stopped = True
            if not self.stopped:
                mid = (best_bid + best_ask) / (2.0 * self._ticks_per_price)
                self.quoter.quote(mid, float(self.position.position_lots), self._time_left)
                bid, ask = self.quoter.bid_ticks, self.quoter.ask_ticks
                self.quotes += 1
                if bid is not None and bid >= best_ask:
                    bid = self._grid(best_ask - 1, down=True)
                if ask is not None and ask <= best_bid:
                    ask = self._grid(best_bid + 1, down=False)
        self._work(BUY, bid)
        self._work(SELL, ask)

    def _grid(self, ticks: int, down: bool) -> int | None:
        """Nearest multiple of the venue's increment at or below (above) a price."""
        assert self.quoter is not None
        p = self.quoter.parameters
        below = p["low_below_ticks"]
        increment = int(p["increment_ticks"] if (ticks >= below if down else ticks > below) else p["low_increment_ticks"])
        steps = ticks // increment if down else max(1, -(-ticks // increment))
        return steps * increment if steps >= 1 else None

    def _work(self, side: int, wanted: int | None) -> None:
        """Bring the order of one side to the wanted price."""
        assert self._book is not None
        w = self._working[side]
        if wanted == w.wanted and not (w.retry and w.order_id == 0):
            return
        w.wanted = wanted
        w.retry = False
        if wanted is None:
            self._pull(w)
            return
        result = self.limits.check(
            side,
            wanted,
            self._order_lots,
            self.position.position_lots,
            0 if side == BUY else self.venue.open_buy_lots,
            0 if side == SELL else self.venue.open_sell_lots,
            self.mid_ticks,
        )
        if result != _OK:
            self.risk_rejects += 1
            self.venue._report("reject", side, wanted, self._order_lots, 0, result)
            self._pull(w)
            return
        self.orders_sent += 1
        if w.order_id:
            w.order_id = self.venue._replace(self._book, w.order_id, wanted, self._order_lots)[1]
        else:
            w.order_id = self.venue._submit(self._book, side, wanted, self._order_lots)[1]
        self._settle()

    def _pull(self, w: _Working) -> None:
        if w.order_id:
            self.venue.cancel(w.order_id)
            w.order_id = 0
        self._settle()

    def _settle(self) -> None:
        """Account the newest reports."""
        reports = self.venue.take_reports()
        if len(reports) == 0:
            return
        self._reports.append(reports)
        for report in reports[reports["kind"] == KINDS["fill"]].tolist():
            side, price, size, took = report[5], report[7], report[8], report[10] == TOOK
            self.position.fill(side, price, size, size * (self._taker_fee if took else self._maker_fee))
            self.fills += 1
            self._dirty = self._working[BUY].retry = self._working[SELL].retry = True
        resting = {row[1] for row in self.venue.orders()}
        for side, w in self._working.items():
            if side not in resting:
                w.order_id = 0
