"""A recorded market with a venue beside it."""

from kit import same_kind

from fastcore.records import KINDS, kind_name


class Market:
    """A recorded stream: book and venue side by side, as the engine drives them."""

    def __init__(self, impl, capacity=64):
        self.book = same_kind(impl, "book").OrderBook()
        self.venue = impl.Venue(capacity)
        self.seq = 0

    def _tell(self, kind, order, size=None, new_price=0, new_size=0, match_id=0):
        side, price, left, stamp = order
        self.seq += 1
        size = left if size is None else size
        self.venue.apply(KINDS[kind], side, price, size, stamp, new_price, new_size, match_id, self.seq * 1000, self.seq)

    def add(self, order_id, side, price, size):
        self.book.add(order_id, side, price, size)
        self._tell("add", self.book.order(order_id))

    def execute(self, order_id, size, match_id=0):
        order = self.book.order(order_id)
        self.book.execute(order_id, size)
        self._tell("execute", order, size, match_id=match_id)

    def cancel(self, order_id, size):
        order = self.book.order(order_id)
        self.book.cancel(order_id, size)
        self._tell("cancel", order, size)

    def delete(self, order_id):
        order = self.book.order(order_id)
        self.book.delete(order_id)
        self._tell("delete", order)

    def replace(self, order_id, new_order_id, price, size):
        order = self.book.order(order_id)
        self.book.replace(order_id, new_order_id, price, size)
        self._tell("replace", order, new_price=price, new_size=size)

    def trade(self, price, size):
        self._tell("trade", (0, price, size, 0))

    def submit(self, side, price, size):
        return self.venue.submit(self.book, side, price, size)

    def move(self, order_id, price, size):
        return self.venue.replace(self.book, order_id, price, size)

    def reports(self):
        return [
            (kind_name(r["kind"]), int(r["side"]), int(r["price"]), int(r["size"]), int(r["order_id"]), int(r["match_id"]))
            for r in self.venue.take_reports()
        ]

    def fills(self):
        return [(price, size, order_id) for kind, _, price, size, order_id, _ in self.reports() if kind == "fill"]
