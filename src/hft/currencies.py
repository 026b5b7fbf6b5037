"""Money of a run by currency, and its sum in one: exact until it is printed."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from fastcore.desk import Desk
from fastcore.instruments import Instrument
from fastcore.risk import rate_inverted

__all__ = ["by_currency", "rate", "total"]

Money = Mapping[str, Fraction | None]


def rate(desk: Desk, markets: Mapping[int, Instrument], source: float | str, currency: str, wanted: str) -> Fraction | None:
    """Return what one of a currency is worth in another: as given, or by the last middle price of an instrument; None before the first.

    Raises
    ------
    ValueError
        If the instrument is not in the run, or has neither of the two currencies.
    """
    if not isinstance(source, str):
        return Fraction(repr(source))
    for row, instrument in markets.items():
        if instrument.symbol == source:
            inverted, ticks = rate_inverted(instrument, currency, wanted), desk.mid_ticks(row)
            price = None if ticks is None or ticks <= 0 else ticks * Fraction(repr(instrument.tick_size))
            return price if price is None or not inverted else 1 / price
    raise ValueError(f"the instrument of a rate must be in the run: rates[{currency!r}]={source!r}")


def by_currency(desk: Desk, markets: Mapping[int, Instrument]) -> dict[str, dict[str, Fraction | None]]:
    """Return profit after fees (None where an open position has no mark), fees and value traded of each currency."""
    sums: dict[str, dict[str, Fraction | None]] = {}
    for row, instrument in markets.items():
        value, position, profit = instrument.unit_value, desk.position(row), desk.profit(row)
        own = sums.setdefault(instrument.currency, {"profit": Fraction(0), "fees": Fraction(0), "traded": Fraction(0)})
        for name, units in (("profit", profit), ("fees", position.fees), ("traded", position.turnover)):
            before = own[name]
            own[name] = None if before is None or units is None else before + units * value
    return sums


def total(sums: Mapping[str, Money], rates: Mapping[str, Fraction | None], currency: str) -> dict[str, Fraction | None]:
    """Return the sum over currencies in one; None where something of it, or the rate of a currency that has any, is not known."""
    out: dict[str, Fraction | None] = dict.fromkeys(("profit", "fees", "traded"), Fraction(0))
    for name, own in sums.items():
        factor = Fraction(1) if name == currency else rates.get(name)
        for key, before in out.items():
            amount = own[key]
            if before is not None and amount != 0:
                out[key] = None if amount is None or factor is None else before + amount * factor
    return out
