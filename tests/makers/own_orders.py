"""What a client knows of its own orders, worked out in plain Python from the events of a journal."""

from dataclasses import dataclass, field

from fastcore.errors import Result
from fastcore.records import FLAGS, KINDS, NO_PRICE

PASSING = (4, 8)  # terms of orders that never rest: immediate or cancel, fill or kill


@dataclass
class Own:
    """An order: `worst` are the lots of it that may still be filled."""

    symbol: int
    side: int
    price: int
    size: int  # with what is filled
    worst: int
    filled: int = 0
    state: str = "sent"  # sent, live, changing, replaced, pulled
    by: int = 0  # the number of the one that takes its place
    wanted: int | None = None  # the price of an amend in flight
    rests: bool = True

    @property
    def prices(self):
        """Prices at which it may meet another: none of one that passes, or whose cancel is ahead of all that follows."""
        if not self.rests or self.state == "pulled":
            return set()
        return {self.price} if self.wanted is None else {self.price, self.wanted}


@dataclass
class OwnOrders:
    """Orders that may still trade, by number, and positions, by symbol."""

    live: dict = field(default_factory=dict)
    position: dict = field(default_factory=dict)

    def lots(self, symbol, side, without=None):
        """Open lots of a side, in the worst case."""
        return sum(o.worst for n, o in self.live.items() if (o.symbol, o.side) == (symbol, side) and n != without)

    def change(self, e):
        """Of an order, a replacement or an amend before it is taken in: (number, number of the order that it changes, lots that it is for)."""
        number, other, size = int(e["order_id"]), int(e["match_id"]), int(e["size"])
        if e["kind"] == KINDS["order"]:
            return number, None, size
        filled = self.live[number].filled if number in self.live else 0  # changes say what is wanted in all
        return (other if e["kind"] == KINDS["replace"] else number), number, size - filled

    def add(self, e):
        """Take an event in."""
        kind, number = int(e["kind"]), int(e["order_id"])
        if kind in (KINDS["order"], KINDS["replace"]):
            new, old, size = self.change(e)
            passes = kind == KINDS["order"] and (int(e["match_id"]) & 28 in PASSING or e["price"] == NO_PRICE)
            self.live[new] = Own(int(e["symbol_id"]), int(e["side"]), int(e["price"]), size, size, rests=not passes)
            if old in self.live:
                self.live[old].state, self.live[old].by = "replaced", new
        elif kind == KINDS["amend"] and number in self.live:
            order = self.live[number]
            order.state, order.worst = "changing", max(order.worst, self.change(e)[2])
            order.wanted = int(e["price"])
        elif kind == KINDS["pull"] and number in self.live:
            self.live[number].state = "pulled"
        elif number in self.live and not e["flags"] & FLAGS["held"]:
            self._report(e, kind, number, self.live[number])

    def _report(self, e, kind, number, order):
        size = int(e["size"])
        if kind == KINDS["ack"]:
            changed = order.state == "changing"
            order.worst = max(size - order.filled, 0) if changed else min(order.worst, size)  # what was filled on the way comes off
            order.state, order.size, order.price, order.wanted = "live", size, int(e["price"]), None
        elif kind == KINDS["fill"]:
            self.position[order.symbol] = self.position.get(order.symbol, 0) + order.side * size
            order.worst -= min(size, order.worst)
            order.filled += size
            if order.worst <= 0 and order.state in ("sent", "live"):
                del self.live[number]
        elif kind == KINDS["pulled"]:
            if order.state == "changing" and e["match_id"]:
                order.worst = 0  # of itself: what was asked is still to be answered
            else:
                del self.live[number]
        elif kind == KINDS["reject"]:
            gone = e["match_id"] == Result.UNKNOWN_ORDER or order.state in ("sent", "pulled")
            if order.state == "replaced":
                self.live.pop(order.by, None)  # what should have taken its place does not exist
            if gone or order.worst <= 0:
                del self.live[number]
            else:
                if order.state == "changing":
                    order.worst = order.size - order.filled
                order.state, order.wanted = "live", None
