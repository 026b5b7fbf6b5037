"""Engines with all their parts of one kind, and what they reported."""

from kit import same_kind

from fastcore.records import kind_name
from fastcore.risk import RiskLimits


def make(impl, symbol="AAA", limits=(1000, 1000, 100_000), volatility=True, parameters=None, **kwargs):
    """An engine of `impl` whose parts come from the same package; quotes 4 cents wide before volatility and inventory."""

    def part(module, name):
        return getattr(same_kind(impl, module), name)

    quoter = part("avellaneda", "Quoter")(
        "avellaneda_stoikov",
        **{
            "gamma": 0.1, "k": 50.0, "sigma": 0.0, "tick_size": 1e-4, "increment_ticks": 100, "low_increment_ticks": 1,
            "low_below_ticks": 10_000, "inventory_unit": 100.0, **(parameters or {}),
        },
    )  # fmt: skip
    estimate = part("flow", "EwmaVolatility")(half_life=20, interval_ns=10_000_000) if volatility else None
    risk = RiskLimits(*limits) if limits is not None else None
    return impl.Engine(symbol, quoter=quoter, volatility=estimate, limits=risk, **kwargs)


def rows(engine):
    return [
        (kind_name(r["kind"]), int(r["side"]), int(r["price"]), int(r["size"]), int(r["order_id"]), int(r["seq"]))
        for r in engine.reports()
    ]
