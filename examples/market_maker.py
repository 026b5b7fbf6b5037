"""Make a market with the Avellaneda-Stoikov quotes: the experiment of section 3.3 of their article, 200 steps a path."""

import sys

import numpy as np

from fastcore.avellaneda import Quoter
from fastcore.tickstore import TickStore


def trade(quoter, random, store=None, steps=200, sigma=2.0, k=1.5, arrivals=140.0):
    """Trade one path; return the profit and the inventory at the end."""
    mid, inventory, cash, dt = 100.0, 0, 0.0, 1.0 / steps
    for step in range(steps):
        quoter.quote(mid, inventory, 1.0 - step * dt)  # the results are attributes
        bid, ask = quoter.bid, quoter.ask
        if random.random() < arrivals * np.exp(-k * (mid - bid)) * dt:
            inventory, cash = inventory + 1, cash - bid
        if random.random() < arrivals * np.exp(-k * (ask - mid)) * dt:
            inventory, cash = inventory - 1, cash + ask
        mid += sigma * np.sqrt(dt) * random.choice((-1, 1))
        if store is not None:
            store.append(step * 5_000_000, 0, mid, abs(inventory))  # survives kill -9
    return cash + inventory * mid, inventory


def main(path, paths=200):
    quoter = Quoter("avellaneda_stoikov", gamma=0.1, sigma=2.0, k=1.5)
    random = np.random.default_rng(1)
    with TickStore(path, "a") as store:
        results = [trade(quoter, random, store if i == 0 else None) for i in range(paths)]
    profit, inventory = np.transpose(results)
    print(
        f"profit {profit.mean():.1f} (published 65.0), its std {profit.std():.1f} (6.6), of inventory {inventory.std():.1f} (2.9)"
    )
    with TickStore(path) as store:
        print(f"{len(store)} ticks stored, highest price {store.records()['price'].max():.2f}")
    return profit, inventory


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "path.ticks")
