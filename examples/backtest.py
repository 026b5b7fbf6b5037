"""A strategy in Python on a synthetic day: write the class, run it, look at what it did."""

import sys
import tempfile
from pathlib import Path

import hft
from hft import Param, Strategy, every
from hft.feeds import synthetic


class MarketMaker(Strategy):
    """Quotes both sides of a fair price and leans against the inventory."""

    half_spread = Param(1.5, "fair price to each quote", unit="bps", min=0)
    lean = Param(0.2, "shift of both quotes for each `size` held", unit="bps", min=0)
    size = Param(100, "size of a quote", min=0)
    limit = Param(500, "largest position, long or short", min=0)
    memory = Param(0.9, "weight of the past in the flow", min=0, max=1)

    def on_start(self):
        self.flow = 0.0  # state is plain attributes

    def on_trade(self, m, trade):
        self.flow = self.memory * self.flow + (1 - self.memory) * trade.side * trade.size

    def on_book(self, m):  # best price or size of m changed; after the last message of a match
        self.requote(m)

    def on_fill(self, m, fill):
        self.requote(m)  # m.position has the fill already

    @every("100ms")
    def watch(self):
        for m in self.markets:
            if m.age > 2.0:
                m.pull("old book")  # reasons are counted in the result

    def requote(self, m):
        if not m.two_sided:
            return m.pull("one-sided book")
        bps = m.mid * 1e-4
        fair = m.microprice - self.lean * bps * m.position / self.size
        self.record(m, fair=fair, flow=self.flow)  # columns of the result
        m.quote(  # all that is wanted; compiled code keeps, replaces, sends or cancels
            bid=fair - self.half_spread * bps if m.position < self.limit else None,
            ask=fair + self.half_spread * bps if m.position > -self.limit else None,
            size=self.size,
        )


def main(path):
    path.write_bytes(b"".join(synthetic.iterate(100_000, 1)))
    for latency in ("0", "order=1ms,response=1ms"):
        result = hft.backtest(MarketMaker(half_spread=0.5), path, latency=latency)
        print(result, end="\n\n")
    print(result.fills)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(directory) / "day.itch")
