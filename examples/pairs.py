"""A pair in Python on a synthetic day: y is held against x while their spread is far from its mean; compiled code brings the positions about.

Run: python examples/pairs.py
"""

import hft
from fastcore.zscore import PairZScore
from hft import Param, Strategy, Symbol, every
from hft.feeds.synthetic import Pair, SyntheticFeed


class Pairs(Strategy):
    """Holds y against `ratio` x while their spread is far from its mean."""

    y = Symbol("MINER", "leg that rests at its touch")
    x = Symbol("GOLD", "leg that follows the fills of y at once")
    ratio = Param(1.5, "units of x for one of y", min=0)
    window = Param(40, "samples of the rolling z-score", min=2)
    enter = Param(2.0, "standard deviations at which the pair is put on", min=0)
    leave = Param(0.5, "... and taken off", min=0)
    size = Param(100, "position in y", min=0)

    def on_start(self):
        self.zscore, self.side = PairZScore(self.window, self.ratio), 0

    @every("15s")
    def sample(self):
        if not (self.y.two_sided and self.x.two_sided):
            return
        z = self.zscore.update(self.y.mid, self.x.mid)
        self.record(z=z, side=self.side)
        if z > self.enter:
            self.side = -1
        elif z < -self.enter:
            self.side = 1
        elif abs(z) < self.leave:
            self.side = 0
        self.y.target(self.side * self.size, cross_after="2s")  # wanted position

    def on_fill(self, m, fill):
        if m is self.y:
            self.x.target(-self.ratio * m.position, cross_after="0s")

    def on_order(self, m, order):
        if order.refused:
            self.log(f"{m.symbol}: {order.why}")


def main():
    pair = Pair("GOLD", "MINER", hedge_ratio=1.5, half_life_s=45.0, spread_ticks=2_500.0)
    feed = SyntheticFeed(
        messages=200_000,
        seed=7,
        symbols=("GOLD", "MINER"),
        branching=0.5,
        orders=60,
        volatility=0.02,
        correlation=0.6,
        pairs=[pair],
    )
    result = hft.backtest(Pairs(), feed, latency="1ms")
    print(result, end="\n\n")
    print(result.fills)


if __name__ == "__main__":
    main()
