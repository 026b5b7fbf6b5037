"""A strategy that wants at random whatever a strategy can want."""

from hft.strategy import Strategy


class Wild(Strategy):
    """Wants at random, in every way there is, on both sides of the market; sees to it that what it is told is its own."""

    def on_start(self):
        self.held, self.singles, self.fills = {}, [], 0

    def on_book(self, m):
        assert abs(m.position - self.held.get(m.symbol, 0)) < 1e-6
        draw = self.random
        if not m.two_sided or draw.random() < 0.4:
            return
        far = draw.choice([-3, -1, 0, 0, 1, 3]) * m.tick
        way = draw.randrange(7)
        if way == 0:
            m.pull()
        elif way == 1:
            self.singles.append(m.buy(draw.randint(1, 9), m.bid - far, draw.choice(["day", "ioc"])))
        elif way == 2:
            self.singles.append(m.sell(draw.randint(1, 9)))
        elif way == 3:
            m.target(draw.randint(-9, 9), draw.choice([None, "0s", "5ms"]))
        elif way == 4 and self.singles:
            order = draw.choice(self.singles)
            if not order.cancel():
                self.singles.remove(order)
        elif way == 5 and self.singles:
            draw.choice(self.singles).move(m.mid - draw.randint(-3, 3) * m.tick, draw.randint(1, 9))
        else:
            m.quote(
                bids=[(m.bid - far - k * m.tick, draw.randint(1, 9)) for k in range(draw.randint(0, 3))],
                asks=[(m.ask + far + k * m.tick, draw.randint(1, 9)) for k in range(draw.randint(0, 3))],
            )

    def on_fill(self, m, fill):
        self.fills += 1
        self.held[m.symbol] = self.held.get(m.symbol, 0) + fill.side * fill.size

    def on_stop(self):
        for m in self.markets:
            assert abs(m.position - self.held.get(m.symbol, 0)) < 1e-6
