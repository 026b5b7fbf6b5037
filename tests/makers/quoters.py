"""Quoters of every model, and all that a batch of them answers."""

import hashlib

import numpy as np

from fastcore import avellaneda as compiled

EXAMPLE = {"sigma": 0.3, "A": 0.9, "k": 0.3, "gamma": 0.01}  # ticks and seconds, arXiv 1105.3115
AS = {"gamma": 0.1, "sigma": 2.0, "k": 1.5}


def mixed(impl):
    return [
        impl.Quoter("avellaneda_stoikov", **AS),
        impl.Quoter("glft", **EXAMPLE, drift=0.01),
        impl.Quoter("general", **EXAMPLE, xi=0.02, order_size=10.0, inventory_limit=20.0),
        impl.Quoter("exact", **EXAMPLE, max_inventory=5, horizon=60.0),
        impl.Quoter("avellaneda_stoikov_infinite", **AS, max_inventory=10),
        impl.Quoter("simplified", gamma=0.5, sigma=1.0, limit=10.0, min_spread_ticks=3),
        impl.Quoter("avellaneda_stoikov", **AS, inventory_unit=100.0, increment_ticks=5),
    ]


def digest():
    """Everything that may depend on the instruction set, as bytes."""
    rng = np.random.default_rng(11)
    out = []
    for n in (1, 2, 3, 4, 5, 8, 1000):
        quoters = (mixed(compiled) * (n // 7 + 1))[:n]
        for kind in (
            quoters,
            [mixed(compiled)[0]] * n,
            [mixed(compiled)[1]] * n,
            [mixed(compiled)[2]] * n,
            [mixed(compiled)[6]] * n,
        ):
            batch = compiled.QuoterSet(kind)
            for time_left in (rng.uniform(0, 2, n), 0.7):
                batch.quote(rng.uniform(1, 1000, n), rng.normal(0, 20, n), time_left)
                batch.round()
                out += [batch.bids.tobytes(), batch.asks.tobytes(), batch.bid_ticks.tobytes()]
    return hashlib.sha256(b"".join(out)).hexdigest()
