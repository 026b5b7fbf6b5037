"""The result of a backtest: fills, orders, equity and what strategies recorded, as tables; and a printed summary."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastcore.engine import Engine
from fastcore.errors import Result as Code
from fastcore.instruments import Instrument
from fastcore.money import Fees
from fastcore.records import FLAGS, KINDS, NO_PRICE

from .currencies import by_currency, rate, total
from .tables import Table

if TYPE_CHECKING:
    from .config import Conversion
    from .strategy import Strategy

__all__ = ["Result"]

CAUSES = ("at", "through", "hidden", "crossing", "took", "auction")
ENDS = {KINDS["fill"]: "filled", KINDS["reject"]: "refused", KINDS["pulled"]: "cancelled", KINDS["ack"]: "working"}


def _units(values: npt.NDArray[np.int64], unit: float) -> npt.NDArray[np.float64]:
    """Whole numbers of a decimal unit as the nearest floats, so that 995 ticks of 0.01 are 9.95; NaN for no price."""
    exact = Fraction(repr(unit))
    return np.where(values == NO_PRICE, np.nan, values * float(exact.numerator) / float(exact.denominator))


def _floats(amounts: Mapping[str, Fraction | None]) -> dict[str, float | None]:
    return {name: None if amount is None else float(amount) for name, amount in amounts.items()}


def _fees(fees: Fees) -> str:
    return "no fees" if {fees.maker, fees.taker} <= {0, "0"} else f"maker fee {fees.maker}, taker fee {fees.taker}"


class Result:
    """What a backtest did. Prices, sizes and money are in units of the instruments; times are UTC.

    Attributes
    ----------
    engine : Engine
        With its parts, as the run left them.
    markets : dict of int to Instrument
        By dense id.
    strategies : dict of str to Strategy
    conditions : dict
        Latency, queue model, fees and seed.
    stopped : str
        Why the run ended before the data did; empty where it did not.
    """

    def __init__(
        self, engine: Engine, markets: Mapping[int, Instrument], strategies: Mapping[str, Strategy], conditions: Mapping[str, Any]
    ) -> None:
        self.engine, self.markets, self.strategies, self.conditions = engine, dict(markets), dict(strategies), dict(conditions)
        self.stopped = ""

    @cached_property
    def _reports(self) -> npt.NDArray[np.void]:
        return self.engine.reports()

    def _units(self, rows: npt.NDArray[np.void]) -> dict[str, npt.NDArray[Any]]:
        """Columns that all tables of reports have."""
        symbols, price, size = np.empty(len(rows), object), np.full(len(rows), np.nan), np.empty(len(rows))
        for row, instrument in self.markets.items():
            own = rows["symbol_id"] == row
            symbols[own] = instrument.symbol
            price[own] = _units(rows["price"][own], instrument.tick_size)
            size[own] = _units(rows["size"][own], instrument.lot_size)
        side = np.where(rows["side"] > 0, "buy", np.where(rows["side"] < 0, "sell", ""))
        return {"time": rows["local_ns"].astype("M8[ns]"), "symbol": symbols.astype(str), "side": side, "price": price, "size": size}

    @cached_property
    def fills(self) -> Table:
        """A row a fill: time at which we learnt of it, venue_time, symbol, side, price, size, maker, cause, order, event (number of the
        market event that caused it)."""
        rows = self._reports[self._reports["kind"] == KINDS["fill"]]
        cause = np.full(len(rows), "", object)
        for name in CAUSES:
            cause[rows["flags"] & FLAGS[name] != 0] = name
        return Table(
            self._units(rows)
            | {
                "venue_time": rows["exch_ns"].astype("M8[ns]"),
                "maker": rows["flags"] & FLAGS["maker"] != 0,
                "cause": cause.astype(str),
                "order": rows["order_id"],
                "event": rows["seq"],
            }
        )

    @cached_property
    def orders(self) -> Table:
        """A row an order that the venue took: entered, symbol, side, price, size, filled, state, ended (NaT while it works), order."""
        reports = self._reports[self._reports["order_id"] > 0]
        acks = reports[reports["kind"] == KINDS["ack"]]
        place = {order: i for i, order in enumerate(acks["order_id"].tolist())}
        units = self._units(acks)
        filled, ended = np.zeros(len(acks), np.int64), np.full(len(acks), np.iinfo(np.int64).min)
        state = np.full(len(acks), "working", object)
        for kind, order, size, time in zip(
            *(reports[name].tolist() for name in ("kind", "order_id", "size", "local_ns")), strict=True
        ):
            i = place.get(order)
            if i is None or kind == KINDS["ack"] or kind not in ENDS:
                continue
            if kind == KINDS["fill"]:
                filled[i] += size
                if filled[i] < acks["size"][i]:
                    continue
            elif kind == KINDS["reject"]:
                continue  # of a message about it
            state[i], ended[i] = ENDS[kind], time
        done = acks.copy()
        done["size"] = filled
        return Table(
            {"entered": units.pop("time")}
            | units
            | {"filled": self._units(done)["size"], "state": state.astype(str), "ended": ended.astype("M8[ns]"), "order": acks["order_id"]}
        )

    @cached_property
    def rejects(self) -> Table:
        """A row a refusal, by a limit of ours (order 0) or by the venue: time, symbol, side, price, size, order, reason."""
        rows = self._reports[self._reports["kind"] == KINDS["reject"]]
        reasons = [Code(code).name.lower().replace("_", " ") for code in rows["match_id"].tolist()]
        return Table(self._units(rows) | {"order": rows["order_id"], "reason": np.array(reasons, str)})

    @cached_property
    def equity(self) -> Table:
        """Points of the first market: time, mid (NaN without one), position, profit after fees (NaN without a mark)."""
        curve, instrument = self.engine.curve(), next(iter(self.markets.values()))
        value = float(instrument.unit_value)
        return Table(
            {
                "time": curve["exch_ns"].astype("M8[ns]"),
                "mid": _units(curve["mid_ticks"], instrument.tick_size),
                "position": _units(curve["position_lots"], instrument.lot_size),
                "profit": _units(curve["profit"], value),
            }
        )

    @cached_property
    def records(self) -> Table:
        """What strategies recorded: time, strategy, symbol, and a column for each name (NaN where a row has none)."""
        rows = [(time, name, symbol, columns) for name, s in self.strategies.items() for time, symbol, columns in s._records]
        rows.sort(key=lambda row: row[0])
        names = dict.fromkeys(column for row in rows for column in row[3])
        return Table(
            {
                "time": np.array([row[0] for row in rows], "i8").astype("M8[ns]"),
                "strategy": np.array([row[1] for row in rows], str),
                "symbol": np.array([row[2] for row in rows], str),
            }
            | {name: np.array([row[3].get(name, np.nan) for row in rows], float) for name in names}
        )

    @property
    def log(self) -> list[tuple[np.datetime64, str, str]]:
        """Lines (time, strategy, text) of ``Strategy.log``."""
        lines = [(time, name, text) for name, s in self.strategies.items() for time, text in s._log]
        return [(np.datetime64(time, "ns"), name, text) for time, name, text in sorted(lines)]

    @property
    def not_sent(self) -> dict[str, int]:
        """Wanted quotes that were not sent, by reason."""
        counts: dict[str, int] = {}
        for strategy in self.strategies.values():
            for reason, count in strategy._running().reasons.items():
                counts[reason] = counts.get(reason, 0) + count
        return counts

    @cached_property
    def orders_hash(self) -> str:
        """Eight digits of the SHA-256 of all reports: the same input, conditions and build give the same."""
        return hashlib.sha256(self._reports.tobytes()).hexdigest()[:8]

    @property
    def total(self) -> dict[str, Any]:
        """Profit, fees and value traded in one ``currency``, converted by the rates of the run; None where a rate is not known."""
        conversion: Conversion = self.conditions["conversion"]
        desk, wanted = self.engine.desk, conversion.currency or ""
        rates = {name: rate(desk, self.markets, source, name, wanted) for name, source in conversion.rates.items()}
        return {"currency": wanted, **_floats(total(by_currency(desk, self.markets), rates, wanted))}

    @property
    def stats(self) -> dict[str, Any]:
        """Figures of the run by name: profit and fees by symbol in its currency, counts, and the hash of the orders."""
        desk, out = self.engine.desk, {}
        for row, instrument in self.markets.items():
            value = instrument.unit_value
            position, profit = desk.position(row), desk.profit(row)
            own = self.fills["symbol"] == instrument.symbol
            out[instrument.symbol] = {
                "profit": None if profit is None else float(profit * value),
                "fees": float(position.fees * value),
                "position": position.position_lots * instrument.lot_size,
                "traded": float(position.turnover * value),
                "currency": instrument.currency,
                "fills": int(own.sum()),
            }
        return {
            "symbols": out,
            "currencies": {name: _floats(own) for name, own in by_currency(desk, self.markets).items()},
            "total": self.total,
            "events": self.engine.events,
            "orders": desk.orders_sent,
            "refused": desk.risk_rejects,
            "fills": desk.fills,
            "not_sent": self.not_sent,
            "orders_hash": self.orders_hash,
            "stopped": self.stopped,
        }

    def __str__(self) -> str:
        stats = self.stats
        names = ", ".join(self.strategies)
        lines = [f"{names} on {', '.join(stats['symbols'])}" + (f"; stopped: {self.stopped}" if self.stopped else "")]
        simulator = self.engine.source
        fills = "exact by order" if self.engine.market.book == "orders" else f"by level, queue {self.conditions['queue']}"
        lines.append(f"fills {fills}; latency {self.conditions['latency']}; {_fees(self.conditions['fees'])}; no market impact")
        if getattr(simulator, "clamped", 0) or getattr(simulator, "unstamped", 0):
            lines.append(f"times of receipt: {simulator.clamped:,} before the event, {simulator.unstamped:,} missing")  # type: ignore[attr-defined]
        lines.append("")
        for symbol, row in stats["symbols"].items():
            profit = "no price" if row["profit"] is None else f"{row['profit']:+,.2f}"
            lines.append(f"{symbol:<12}profit {profit}, fees {row['fees']:,.2f}, traded {row['traded']:,.0f}, position {row['position']:g}")
        if len(stats["currencies"]) > 1:
            sum_ = stats["total"]
            profit = "no rate or price" if sum_["profit"] is None else f"{sum_['profit']:+,.2f} {sum_['currency']}"
            lines.append(f"{'together':<12}profit {profit}")
        lines.append(f"{'orders':<12}{stats['orders']:,} sent, {stats['refused']:,} refused")
        lines.append(f"{'fills':<12}{stats['fills']:,}")
        causes = [(name, float(self.fills["size"][self.fills["cause"] == name].sum())) for name in CAUSES]
        traded = sum(size for _, size in causes)
        if traded:
            lines.append(f"{'by cause':<12}" + ", ".join(f"{name} {size / traded:.0%}" for name, size in causes if size))
        lines += [f"{'not sent':<12}{count:,} quotes: {why}" for why, count in stats["not_sent"].items()]
        lines.append(f"{stats['events']:,} events; orders {stats['orders_hash']} (same input, same orders)")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"Result({', '.join(self.strategies)}: {self.engine.desk.orders_sent} orders, {self.engine.desk.fills} fills)"
