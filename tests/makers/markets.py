"""A recorded market with a venue beside it."""

from kit import same_kind

from fastcore.records import KINDS, NO_PRICE, kind_name


class Market:
    """A recorded stream: book and venue side by side, as the engine drives them."""

    def __init__(self, impl, capacity=64, **options):
        self.book = same_kind(impl, "book").OrderBook(signed_prices=options.get("signed_prices", False))
        self.venue = impl.Venue(capacity, **options)
        self.seq = 0

    def _tell(self, kind, order, size=None, new_price=0, new_size=0, match_id=0, flags=0, order_id=0, new_order_id=0):
        side, price, left, stamp = order
        self.seq += 1
        size = left if size is None else size
        self.venue.apply(
            KINDS[kind], side, price, size, stamp, new_price, new_size, match_id, self.seq * 1000, self.seq, flags, False, order_id,
            new_order_id,
        )  # fmt: skip

    def add(self, order_id, side, price, size, flags=0):
        self.book.add(order_id, side, price, size)
        self._tell("add", self.book.order(order_id), order_id=order_id, flags=flags)

    def execute(self, order_id, size, match_id=0, flags=0):
        order = self.book.order(order_id)
        self.book.execute(order_id, size)
        self._tell("execute", order, size, match_id=match_id, order_id=order_id, flags=flags)

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
        self._tell("replace", order, new_price=price, new_size=size, order_id=order_id, new_order_id=new_order_id)

    def trade(self, price, size, flags=0):
        self._tell("trade", (0, price, size, 0), flags=flags)

    def cross(self, price, size):
        self._tell("cross", (0, price, size, 0), match_id=77)

    def clear(self):
        self.book.clear()
        self._tell("clear", (0, NO_PRICE, 0, 0))

    def submit(self, side, price, size, terms=0):
        return self.venue.submit(self.book, side, price, size, terms)

    def move(self, order_id, price, size):
        return self.venue.replace(self.book, order_id, price, size)

    def rows(self, reports):
        return [(kind_name(r[4]), r[5], *r[7:]) for r in reports.tolist()]

    def reports(self):
        return self.rows(self.venue.take_reports())

    def fills(self):
        return [(price, size, order_id) for kind, _, price, size, order_id, _ in self.reports() if kind == "fill"]
