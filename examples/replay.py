"""Replay a day with your own parameters and look at what the market maker did.

Run: python examples/replay.py [FILE.itch[.gz] [SYMBOL]]    (a synthetic day without arguments)
"""

import sys

from fastcore.records import KINDS
from hft.config import SYNTHETIC, load
from hft.feeds.itch import ItchFeed
from hft.feeds.synthetic import iterate
from hft.run import replay


def main(arguments: list[str]) -> None:
    if arguments:
        config = load(symbol=arguments[1] if len(arguments) > 1 else None)
        summary = replay(ItchFeed(arguments[0]), config)
    else:
        config = load(defaults=SYNTHETIC)
        summary = replay(ItchFeed("synthetic", chunks=iterate(50_000, seed=7)), config, data="synthetic")
    print(f"{summary.symbol} ({summary.data}): {summary.events:,} events at {summary.loop_ns_per_event:.0f} ns in the loop")
    print(f"{summary.orders:,} orders, {summary.fills:,} fills, position {summary.position}, profit {summary.pnl} USD")
    fills = summary.reports[summary.reports["kind"] == KINDS["fill"]]
    for fill in fills[:5]:
        side = "bought" if fill["side"] > 0 else "sold"
        print(f"  {fill['exch_ns'] / 3.6e12:8.4f} h  {side} {fill['size']:>4} at {fill['price'] / 10_000:.2f}")


if __name__ == "__main__":
    main(sys.argv[1:])
