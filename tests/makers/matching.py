"""A matching engine by price and time, and a recorded day played through it with own orders really inserted."""

from bisect import insort
from itertools import zip_longest

from fastcore.book import LevelBook
from fastcore.records import BUY, FLAGS, KINDS, NO_PRICE, SELL, kind_name


def is_hidden(order_id):
    """Displayed orders at its price come before it."""
    return isinstance(order_id, tuple) and order_id[0] == "hidden"


class Matching:
    """A plain engine that also writes the recorded stream: what a venue would publish."""

    def __init__(self):
        self.queues = {BUY: {}, SELL: {}}  # price -> list of [order_id, size], front first
        self.keys = {BUY: [], SELL: []}  # -side * price of the levels, best first
        self.sides = {}  # order_id -> (side, price)
        self.record = []
        self.filled = {}

    def best(self, side):
        return -side * self.keys[side][0] if self.keys[side] else None

    def left(self, order_id):
        return next((o[1] for o in self._queue(order_id) if o[0] == order_id), 0)

    def limit(self, order_id, side, price, size, rests=True):
        """Match at `price` or better; the remainder rests, or lapses."""
        other = -side
        while size and (best := self.best(other)) is not None and side * (price - best) >= 0:
            resting = self.queues[other][best][0]
            traded = min(size, resting[1])
            size -= traded
            resting[1] -= traded
            for party in (resting[0], order_id):
                self.filled[party] = self.filled.get(party, 0) + traded
            self.record.append(("execute", resting[0], traded))
            if not resting[1]:
                self._drop(resting[0])
        if size and rests:
            if price not in self.queues[side]:
                self.queues[side][price] = []
                insort(self.keys[side], -side * price)
            queue = self.queues[side][price]
            shown = next((i for i, o in enumerate(queue) if is_hidden(o[0])), len(queue))
            queue.insert(len(queue) if is_hidden(order_id) else shown, [order_id, size])
            self.sides[order_id] = (side, price)
            self.record.append(("add", order_id, side, price, size))

    def cancel(self, order_id, size=None):
        """Take an order out, or `size` lots off it."""
        if order_id not in self.sides:
            return
        order = next(o for o in self._queue(order_id) if o[0] == order_id)
        if size is not None and size < order[1]:
            order[1] -= size
            self.record.append(("cancel", order_id, size))
        else:
            self._drop(order_id)
            self.record.append(("delete", order_id))

    def _queue(self, order_id):
        if order_id not in self.sides:
            return []
        side, price = self.sides[order_id]
        return self.queues[side][price]

    def _drop(self, order_id):
        side, price = self.sides.pop(order_id)
        queue = self.queues[side][price]
        queue[:] = [o for o in queue if o[0] != order_id]
        if not queue:
            del self.queues[side][price]
            self.keys[side].remove(-side * price)


class World:
    """The recorded orders with ours among them: what each of the others sent stays the same, what came of it does not."""

    def __init__(self, book):
        """Begin with what a book shows."""
        self.engine = Matching()
        self.hidden = 0
        for side in (BUY, SELL):
            for price in book.depth()[0 if side == BUY else 1]["price"].tolist():
                for order_id, size, _ in book.queue(side, price).tolist():
                    self.engine.limit(order_id, side, price, size)

    def apply(self, kind, order_id, side, price, size, left, new_id, new_price, new_size):
        """Do what the sender of a recorded event wanted; `left` is what the record had of the order before it."""
        engine = self.engine
        if kind == "add":
            engine.limit(order_id, side, price, size)
        elif kind == "execute":
            engine.limit(None, -side, price, size, rests=False)
        elif kind == "trade":
            # Against a hidden order: better prices come first, and what they get is left of it.
            for side in (BUY, SELL):
                if side * ((engine.best(side) or price) - price) > 0:
                    engine.limit(None, -side, price + side, size, rests=False)
                    self.hidden += 1
                    engine.limit(("hidden", self.hidden), side, price, engine.filled[None])
                    return
        elif kind == "cancel":
            engine.cancel(order_id, size)
        elif kind == "delete":
            engine.cancel(order_id)
        elif kind == "replace":
            # Who has traded more here than in the record moves so much less.
            traded = max(0, left - engine.left(order_id))
            dead = order_id not in engine.sides
            engine.cancel(order_id)
            if not dead and new_size > traded:
                engine.limit(new_id, side, new_price, new_size - traded)


def steps(events, book):
    """Apply events to a book; yield each change that it makes: kind, order, side, price, size, left, stamp, and what takes its place."""
    names = ("add", "execute", "cancel", "delete", "replace")
    for row in events.tolist():
        kind, side, flags, price, size, order_id, last = row[4], row[5], row[6], row[7], row[8], row[9], row[10]
        name = kind_name(kind)
        if name == "trade" and not flags & FLAGS["not_printable"]:
            yield "trade", 0, 0, price, size, 0, 0, 0, 0, 0
        if name not in names:
            continue
        found = book.order(order_id) if name != "add" else None
        if name == "add":
            book.add(order_id, side, price, size)
            yield "add", order_id, side, price, size, 0, book.order(order_id)[3], 0, 0, 0
        elif found is None:
            continue
        elif name in ("execute", "cancel"):
            (book.execute if name == "execute" else book.cancel)(order_id, size)
            yield name, order_id, found[0], found[1], size, found[2], found[3], 0, 0, 0
        elif name == "delete":
            book.delete(order_id)
            yield name, order_id, found[0], found[1], found[2], found[2], found[3], 0, 0, 0
        else:
            book.replace(order_id, last, price, size)
            yield name, order_id, found[0], found[1], found[2], found[2], found[3], last, price, size


class Race:
    """The venue beside a record, and the same own orders inside a matching engine; who fills which lot first?"""

    def __init__(self, book, venue):
        self.book, self.venue, self.world = book, venue, World(book)
        self.number = 0
        self.ours, self.true = {}, {}  # order -> event numbers, one a lot

    def submit(self, side, price, size):
        """Send an order to both; return its number, or None where the venue refuses it."""
        if self.venue.submit(self.book, side, price, size):
            self.venue.take_reports()
            return None
        order_id = int(self.venue.take_reports()[0]["order_id"])
        self.ours[order_id], self.true[order_id] = [], []
        self.world.engine.limit(("own", order_id), side, price, size)
        self._note()
        return order_id

    def cancel(self, order_id):
        self.venue.cancel(order_id)
        self.venue.take_reports()
        self.world.engine.cancel(("own", order_id))

    def live(self):
        return self.venue.orders()

    def step(self, kind, order_id, side, price, size, left, stamp, new_id, new_price, new_size):
        self.number += 1
        self._happens(kind, order_id, side, price, size, stamp, new_id, new_price, new_size)
        for report in self.venue.take_reports().tolist():
            if report[4] == KINDS["fill"]:
                self.ours[report[9]] += [self.number] * report[8]
        self.world.apply(kind, order_id, side, price, size, left, new_id, new_price, new_size)
        self._note()

    def _happens(self, kind, order_id, side, price, size, stamp, new_id, new_price, new_size):
        self.venue.apply(
            KINDS[kind], side, price, size, stamp, new_price, new_size, 0, self.number, self.number, 0, False, order_id, new_id
        )

    def _note(self):
        for key, lots in self.world.engine.filled.items():
            if isinstance(key, tuple) and key[0] == "own":
                self.true[key[1]] += [self.number] * lots
        self.world.engine.filled.clear()

    def result(self):
        """(lots filled earlier than in the engine, later or not at all, lots that the engine filled, whether a late one was the first)."""
        early, late, total = [], [], 0
        for order_id, true in self.true.items():
            total += len(true)
            for ours, theirs in zip_longest(self.ours[order_id], true, fillvalue=10**9):
                if ours != theirs:
                    (early if ours < theirs else late).append(min(ours, theirs))
        return len(early), len(late), total, min(late, default=10**9) <= min(early, default=10**9)


class LevelRace(Race):
    """The same beside a book by level, that a feed makes of the record: the best levels of each side, and prints."""

    def __init__(self, book, venue, levels, prints_first):
        super().__init__(book, venue)
        self.orders, self.book = book, LevelBook()
        self.levels, self.prints_first = levels, prints_first
        self.shown = {BUY: {}, SELL: {}}
        self._tell_levels()

    def _tell_levels(self):
        for side, rows in zip((BUY, SELL), self.orders.depth(self.levels), strict=True):
            shown = dict(zip(rows["price"].tolist(), rows["size"].tolist(), strict=True))
            before = self.shown[side]
            for price in sorted(before.keys() | shown.keys(), reverse=side == BUY):
                size, was = shown.get(price, 0), before.get(price, 0)
                if size != was:
                    self.book.set_level(side, price, size)
                    self._tell("level", side, price, abs(size - was), new_size=size, grew=size > was)
            self.shown[side] = shown

    def _tell(self, kind, side, price, size, new_size=0, grew=False, flags=0):
        self.venue.apply(KINDS[kind], side, price, size, 0, NO_PRICE, new_size, 0, self.number * 10**6, self.number, flags, grew)

    def _happens(self, kind, order_id, side, price, size, *_):
        if kind not in ("execute", "trade") or not self.prints_first:
            self._tell_levels()
        if kind in ("execute", "trade"):
            self._tell("trade", side, price, size, flags=FLAGS["hidden"] if kind == "trade" else 0)
        if self.prints_first:
            self._tell_levels()
