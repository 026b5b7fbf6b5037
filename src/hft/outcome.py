"""What a backtest did, as it was reported: kept, and shown as tables."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Mapping
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fastcore import __version__
from fastcore.engine import Engine
from fastcore.errors import Result as Code
from fastcore.instruments import Instrument
from fastcore.records import FLAGS, KINDS, NO_PRICE

from .currencies import by_currency, rate, total
from .tables import Table

if TYPE_CHECKING:
    from .strategy import Strategy

__all__ = ["CAUSES", "HORIZONS_NS", "UNKNOWN", "WIDE", "Outcome", "account"]

CAUSES = ("at", "through", "hidden", "crossing", "took", "auction")
MS = 1_000_000
HORIZONS_NS = tuple(ms * MS for ms in (1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000, 60_000, 180_000, 600_000))
UNKNOWN = 1 << 60  # quantity ahead of an order where nobody knows
WIDE = 1 << 40  # a limit that no order of a backtest reaches
FORMAT = 1
RESULT, ARRAYS = "result.json", "arrays.npz"
Columns = dict[str, npt.NDArray[Any]]


def units(values: npt.NDArray[np.int64], unit: float | Fraction) -> npt.NDArray[np.float64]:
    """Whole numbers of a decimal unit as the nearest floats, so that 995 ticks of 0.01 are 9.95; NaN for no price."""
    exact = unit if isinstance(unit, Fraction) else Fraction(repr(unit))
    return np.where(values == NO_PRICE, np.nan, values * float(exact.numerator) / float(exact.denominator))


def _stamps(values: npt.NDArray[np.int64]) -> npt.NDArray[np.datetime64]:
    return values.astype("M8[ns]")


def account(engine: Engine, row: int) -> dict[str, Any]:
    """Return what a run has made of a market, in lots, ticks and exact units of money (as text, for JSON; None: no price)."""
    position, profit = engine.desk.position(row), engine.desk.profit(row)
    return {
        "position_lots": position.position_lots,
        "volume_lots": position.volume_lots,
        "mark_ticks": engine.desk.mid_ticks(row),
        "profit": None if profit is None else str(profit),
        "fees": str(position.fees),
        "market_lots": engine.market.volume_lots(row),
    }


def latencies(engine: Engine) -> dict[str, dict[str, int]]:
    """Return percentiles of the nanoseconds that each stage took, of one event in so many (``sample_every`` of the engine)."""
    return {
        stage: {"p50": times.percentile(50.0), "p99": times.percentile(99.0), "p999": times.percentile(99.9), "max": times.max}
        for stage, times in engine.stopwatch.stages.items()
        if times.count
    }


def account_of(engine: Engine, row: int, name: str) -> dict[str, Any]:
    """Return what one strategy of several has made of a market: lots, profit and fees add up to those of the account."""
    place = list(engine.strategies).index(name)
    position, profit = engine.desk.position(row, place), engine.desk.profit(row, place)
    return {
        "position_lots": position.position_lots,
        "volume_lots": position.volume_lots,
        "fills": position.fills,
        "profit": None if profit is None else str(profit),
        "fees": str(position.fees),
    }


class Outcome:
    """What a backtest did. Prices, sizes and money are in units of the instruments; times are UTC.

    Attributes
    ----------
    engine : Engine or None
        With its parts, as the run left them; None of a result that was loaded.
    markets : dict of int to Instrument
        By dense id.
    conditions : dict
        What was assumed: data, latency, queue model, fees and seed.
    stopped : str
        Why the run ended before the data did; empty where it did not.
    """

    def __init__(
        self, engine: Engine | None, markets: Mapping[int, Instrument], strategies: Mapping[str, Strategy], conditions: Mapping[str, Any]
    ) -> None:
        self.engine, self.markets, self.strategies, self.conditions = engine, dict(markets), dict(strategies), dict(conditions)
        self.stopped = ""

    # ---- what is kept ----

    @cached_property
    def _kept(self) -> dict[str, Any]:
        """All that is no array, ready for JSON."""
        engine = self.engine
        assert engine is not None
        desk, simulator = engine.desk, engine.source
        named = {name: s.parameters for name, s in self.strategies.items() if not name.startswith("~")}
        accounts = []
        for row, each in self.markets.items():
            shares = {"strategies": {name: account_of(engine, row, name) for name in named}} if len(named) > 1 else {}
            accounts.append({"id": row, "instrument": each._asdict()} | account(engine, row) | shares)
        not_sent: dict[str, int] = {}
        for strategy in self.strategies.values():
            for reason, count in strategy._running().reasons.items():
                not_sent[reason] = not_sent.get(reason, 0) + count
        not_sent |= getattr(desk, "not_sent", {})
        lots = desk.limits.max_position_lots
        limits = {each.symbol: lots * each.lot_size for each in self.markets.values()} if isinstance(lots, int) and lots < WIDE else {}
        log = [(time, name, text) for name, s in self.strategies.items() for time, text in s._log]
        return {
            "format": FORMAT,
            "build": __version__,
            "strategies": named,
            "conditions": {name: list(value) if isinstance(value, tuple) else value for name, value in self.conditions.items()},
            "stopped": self.stopped,
            "book": engine.market.book,
            "accounts": accounts,
            "total": self._total(engine),
            "events": engine.events,
            "loop_ns": engine.loop_ns,
            "latency_ns": latencies(engine),
            "end_ns": max((engine.market.seen_ns(row) for row in self.markets), default=0) or engine.last_ns,
            "orders": desk.orders_sent,
            "refusals": desk.limits.rejected,
            "killed": desk.limits.killed,
            "clamped": getattr(simulator, "clamped", 0),
            "unstamped": getattr(simulator, "unstamped", 0),
            "not_sent": not_sent,
            "log": sorted(log),
            "position_limits": limits,
            "horizons_ns": list(HORIZONS_NS),
        }

    def _total(self, engine: Engine) -> dict[str, str | None]:
        """Profit, fees and value traded in one currency, by the rates of the run, as exact text; None where a rate is not known."""
        wanted = self.conditions["currency"]
        rates = {name: rate(engine.desk, self.markets, source, name, wanted) for name, source in self.conditions["rates"].items()}
        sums = total(by_currency(engine.desk, self.markets), rates, wanted)
        return {"currency": wanted} | {name: None if amount is None else str(amount) for name, amount in sums.items()}

    @cached_property
    def _arrays(self) -> Columns:
        """Reports, details and mark-outs of the fills, the curve, and what strategies recorded."""
        engine = self.engine
        assert engine is not None
        reports = engine.reports()
        told = reports["kind"] != KINDS["detail"]
        details, reports = reports[~told], reports[told]
        owners = {"owners": engine.owners()[told]} if len(self._kept["strategies"]) > 1 else {}
        reports["flags"] &= np.uint16(~FLAGS["continued"] & 0xFFFF)
        markouts = getattr(engine.source, "markouts", None)
        middles = np.full((1 + len(HORIZONS_NS), int((reports["kind"] == KINDS["fill"]).sum())), NO_PRICE)
        reached = np.zeros(middles.shape, bool)
        if markouts is not None:
            marks = markouts.array()
            marks = marks[marks["fill"] < middles.shape[1]]  # what we have not learnt of is not ours yet
            middles[marks["horizon"], marks["fill"]] = marks["middle2"]
            reached[marks["horizon"], marks["fill"]] = True
        recorded = {name: s._records.arrays() for name, s in self.strategies.items()}
        times = np.concatenate([np.zeros(0, np.int64), *(each["time"] for each in recorded.values())])
        order = np.argsort(times, kind="stable")

        def column(name: str) -> npt.NDArray[Any]:
            parts = [each.get(name, np.full(len(each["time"]), np.nan)) for each in recorded.values()]
            return np.concatenate([*parts, np.zeros(0)] if name != "symbol" else [*parts, np.zeros(0, str)])[order]

        names = dict.fromkeys(name for each in recorded.values() for name in each if name not in ("time", "symbol"))
        return {
            "reports": reports,
            "details": details,
            "middles": middles,
            "reached": reached,
            "curve": engine.curve(),
            "recorded_time": times[order],
            "recorded_strategy": np.repeat(list(recorded) or [""], [len(each["time"]) for each in recorded.values()] or [0])[order],
            "recorded_symbol": column("symbol"),
            **owners,
        } | {f"recorded.{name}": column(name) for name in names}

    def save(self, directory: str | os.PathLike[str]) -> None:
        """Keep the result in a new directory, which is there as a whole or not at all.

        Raises
        ------
        FileExistsError
            If the directory, or anything else of that name, exists.
        """
        place = Path(directory)
        if place.exists():
            raise FileExistsError(f"the directory of a result must be new: {place}")
        import tempfile

        place.parent.mkdir(parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
        try:
            (new / RESULT).write_text(json.dumps(self._kept, indent=1), "utf-8")
            np.savez(new / ARRAYS, **self._arrays)  # type: ignore[arg-type]
            new.chmod(0o777 & ~_umask())
            try:
                new.rename(place)
            except OSError:
                if place.exists():
                    raise FileExistsError(f"the directory of a result must be new: {place}") from None
                raise
        except BaseException:
            shutil.rmtree(new, ignore_errors=True)
            raise

    # ---- tables ----

    @property
    def _reports(self) -> npt.NDArray[np.void]:
        return self._arrays["reports"]

    @cached_property
    def _fills(self) -> npt.NDArray[np.void]:
        fills: npt.NDArray[np.void] = self._reports[self._reports["kind"] == KINDS["fill"]]
        return fills

    def _strategy(self, rows: npt.NDArray[Any]) -> Columns:
        """The column that says whose reports are, chosen by place or by mask; none where there is one strategy."""
        if len(self._kept["strategies"]) < 2:
            return {}
        return {"strategy": np.array(sorted(self._kept["strategies"]), str)[self._arrays["owners"][rows]]}

    def _per_market(self, ids: npt.NDArray[Any], what: Mapping[str, tuple[npt.NDArray[np.int64], str]]) -> Columns:
        """Columns in units: `what` says for each name the whole numbers, and whether they are ticks, lots or half ticks."""
        columns: Columns = {"symbol": np.full(len(ids), "", object)} | {name: np.full(len(ids), np.nan) for name in what}
        for row, instrument in self.markets.items():
            own = ids == row
            columns["symbol"][own] = instrument.symbol
            tick, lot = Fraction(repr(instrument.tick_size)), Fraction(repr(instrument.lot_size))
            for name, (values, unit) in what.items():
                columns[name][own] = units(values[own], {"ticks": tick, "lots": lot, "half ticks": tick / 2}[unit])
        columns["symbol"] = columns["symbol"].astype(str)
        return columns

    def _units(self, rows: npt.NDArray[np.void], **more: tuple[npt.NDArray[np.int64], str]) -> Columns:
        """Columns that all tables of reports have."""
        columns = self._per_market(rows["symbol_id"], {"price": (rows["price"], "ticks"), "size": (rows["size"], "lots")} | more)
        side = np.where(rows["side"] > 0, "buy", np.where(rows["side"] < 0, "sell", ""))
        return {"time": _stamps(rows["local_ns"]), "symbol": columns.pop("symbol"), "side": side} | columns

    @cached_property
    def fills(self) -> Table:
        """A row a fill: time at which we learnt of it, symbol, side, price, size, ahead (size before us at our price, before the event
        that filled us), left (of the order), mid (of the market before it), venue_time, maker, cause, fee, order, event (number of
        the market event that caused it)."""
        rows, details = self._fills, self._arrays["details"]
        if len(details) != len(rows):  # of a run that does not tell them
            details = np.zeros(len(rows), rows.dtype)
            details["price"] = details["size"] = NO_PRICE
        ahead = np.where(details["price"] >= UNKNOWN, NO_PRICE, details["price"])
        cause = np.full(len(rows), "", "U8")
        for name in CAUSES:
            cause[rows["flags"] & FLAGS[name] != 0] = name
        columns = self._units(
            rows, ahead=(ahead, "lots"), left=(details["size"], "lots"), mid=(self._arrays["middles"][0], "half ticks")
        )
        maker = rows["flags"] & FLAGS["maker"] != 0
        return Table(
            columns
            | {
                "venue_time": _stamps(rows["exch_ns"]),
                "maker": maker,
                "cause": cause,
                "fee": self._fee(rows, maker, columns["price"], columns["size"]),
                "order": rows["order_id"],
                "event": rows["seq"].astype(np.int64),
            }
            | self._strategy(self._reports["kind"] == KINDS["fill"])
        )

    def _fee(
        self, rows: npt.NDArray[np.void], maker: npt.NDArray[np.bool_], price: npt.NDArray[np.float64], size: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.float64]:
        """What each fill cost, in the currency of its market, NaN where that depends on others (tiers, amounts an order): the sums of
        the accounts are exact, these are rounded."""
        fee = np.full(len(rows), np.nan)
        for row, instrument in self.markets.items():
            own, charged = rows["symbol_id"] == row, self.conditions["fees"][instrument.symbol]
            if charged is None:
                continue
            (maker_value, maker_unit), (taker_value, taker_unit) = map(_rate, charged)
            value = size[own] / price[own] if instrument.kind == "inverse" else np.abs(price[own]) * size[own]
            of_value = np.where(maker[own], maker_value, taker_value) * value * instrument.multiplier
            fee[own] = of_value + np.where(maker[own], maker_unit, taker_unit) * size[own]
        return fee

    @cached_property
    def orders(self) -> Table:
        """A row an order that the venue took: entered (when we learnt of it), symbol, side, price, size, filled, state, ended (NaT
        while it works), order; ahead (size before it as it came), and at the venue: venue_entered, first_fill, venue_ended."""
        numbered = np.flatnonzero(self._reports["order_id"] > 0)
        place = np.argsort(self._reports["order_id"][numbered], kind="stable")
        reports = self._reports[numbered[place]]
        ids, first = np.unique(reports["order_id"], return_index=True)
        group = np.repeat(np.arange(len(ids)), np.diff([*first, len(reports)]))
        kinds, never = reports["kind"], np.iinfo(np.int64).min

        def last(kind: str, name: str, missing: int, earliest: bool = False) -> npt.NDArray[np.int64]:
            """A field of the last, or the first, report of a kind of each order."""
            out = np.full(len(ids), missing)
            chosen = np.flatnonzero(kinds == KINDS[kind])
            chosen = chosen[::-1] if earliest else chosen
            out[group[chosen]] = reports[name][chosen]
            return out

        acked = last("ack", "size", -1) >= 0
        filled = np.zeros(len(ids), np.int64)
        fills = kinds == KINDS["fill"]
        np.add.at(filled, group[fills], reports["size"][fills])
        whole = acked & (filled >= last("ack", "size", 0))
        pulled = last("pulled", "match_id", -1)
        words = np.full(len(ids), "working", "U10")
        for code, word in ((0, "cancelled"), (Code.EXPIRED, "expired"), (Code.SELF_TRADE, "self trade")):
            words[pulled == code] = word
        words[whole] = "filled"

        def ended(name: str) -> npt.NDArray[np.int64]:
            return np.where(whole, last("fill", name, never), np.where(pulled >= 0, last("pulled", name, never), never))

        acks = np.zeros(len(ids), reports.dtype)
        for name in ("symbol_id", "side", "price", "size"):
            acks[name] = last("ack", name, 0)
        acks["local_ns"] = last("ack", "local_ns", 0, earliest=True)
        ahead = last("ack", "match_id", 0, earliest=True)
        columns = self._units(acks, filled=(filled, "lots"), ahead=(np.where(ahead >= UNKNOWN, NO_PRICE, ahead), "lots"))
        table = {"entered": columns.pop("time"), **columns} | {
            "state": words,
            "ended": _stamps(ended("local_ns")),
            "order": ids,
            "venue_entered": _stamps(last("ack", "exch_ns", never, earliest=True)),
            "first_fill": _stamps(last("fill", "exch_ns", never, earliest=True)),
            "venue_ended": _stamps(ended("exch_ns")),
            **self._strategy(numbered[place[first]]),
        }
        came = np.full(len(ids), len(reports))  # in the order of their first acknowledgement
        np.minimum.at(came, group[kinds == KINDS["ack"]], place[kinds == KINDS["ack"]])
        entered = np.argsort(came)[: int(acked.sum())]
        return Table({name: values[entered] for name, values in table.items()})

    @cached_property
    def quotes(self) -> Table:
        """A row a change of an own order that rests, at the venue: time, symbol, side, price, size (what works on), order, why
        ("entered", "filled", "cancelled")."""
        kinds = {KINDS["ack"]: "entered", KINDS["fill"]: "filled", KINDS["pulled"]: "cancelled"}
        resting = np.isin(self._reports["kind"], list(kinds)) & (self._reports["order_id"] > 0)
        rows = self._reports[resting].copy()
        fills = rows["kind"] == KINDS["fill"]
        if len(self._arrays["details"]) == fills.sum():
            rows["size"][fills] = self._arrays["details"]["size"]
        rows["size"][rows["kind"] == KINDS["pulled"]] = 0
        columns = self._units(rows)
        why = np.full(len(rows), "", "U9")
        for kind, word in kinds.items():
            why[rows["kind"] == kind] = word
        return Table(columns | {"time": _stamps(rows["exch_ns"]), "order": rows["order_id"], "why": why} | self._strategy(resting))

    @cached_property
    def rejects(self) -> Table:
        """A row a refusal, by a limit of ours (order 0) or by the venue: time, symbol, side, price, size, order, reason."""
        refused = self._reports["kind"] == KINDS["reject"]
        rows = self._reports[refused]
        codes, place = np.unique(rows["match_id"], return_inverse=True)
        words = np.array([Code(code).name.lower().replace("_", " ") for code in codes.tolist()], str)
        return Table(self._units(rows) | {"order": rows["order_id"], "reason": words[place]} | self._strategy(refused))

    @cached_property
    def equity(self) -> Table:
        """Points of each market at one time, the last at the end of the run: time, symbol, mid (NaN without one), position, profit
        after fees (NaN without a mark) in its currency."""
        curve = self._arrays["curve"]
        accounts = self._kept["accounts"]
        end = np.zeros((1, len(accounts)), curve.dtype)
        for i, each in enumerate(accounts):
            whole = NO_PRICE if each["profit"] is None else math.floor(Fraction(each["profit"]))
            mark = NO_PRICE if each["mark_ticks"] is None else each["mark_ticks"]
            end[0, i] = self._kept["end_ns"], mark, each["position_lots"], whole
        same = len(curve) and curve["exch_ns"][-1, 0] >= end["exch_ns"][0, 0]
        rows = np.concatenate([curve[:-1] if same else curve, end] if self._kept["events"] else [curve]).ravel()
        ids = np.tile([each["id"] for each in accounts], len(rows) // max(1, len(accounts)))
        columns = self._per_market(ids, {"mid": (rows["mid_ticks"], "ticks"), "position": (rows["position_lots"], "lots")})
        profit = np.full(len(rows), np.nan)
        for row, instrument in self.markets.items():
            profit[ids == row] = units(rows["profit"][ids == row], instrument.unit_value)
        return Table({"time": _stamps(rows["exch_ns"])} | columns | {"profit": profit})

    @cached_property
    def records(self) -> Table:
        """What strategies recorded: time, strategy, symbol, and a column for each name (NaN where a row has none)."""
        arrays = self._arrays
        return Table(
            {
                "time": _stamps(arrays["recorded_time"]),
                "strategy": arrays["recorded_strategy"],
                "symbol": arrays["recorded_symbol"],
            }
            | {name.partition(".")[2]: values for name, values in arrays.items() if name.startswith("recorded.")}
        )

    @cached_property
    def by_strategy(self) -> Table:
        """A row a strategy and market: strategy, symbol, profit after fees (NaN without a price), fees, position, volume, fills; in the
        currency of the market. The sums over strategies are what the account has."""
        names, rows = list(self._kept["strategies"]), []
        fills = self._fills["symbol_id"]
        for name in names:
            for each in self._kept["accounts"]:
                instrument = self.markets[each["id"]]
                own = each["strategies"][name] if "strategies" in each else each | {"fills": int((fills == each["id"]).sum())}
                value, lot = instrument.unit_value, Fraction(repr(instrument.lot_size))
                profit = math.nan if own["profit"] is None else float(Fraction(own["profit"]) * value)
                sizes = (float(own[size] * lot) for size in ("position_lots", "volume_lots"))
                rows.append((name, instrument.symbol, profit, float(Fraction(own["fees"]) * value), *sizes, own["fills"]))
        columns = zip(*rows, strict=True) if rows else [()] * 7
        return Table(dict(zip(("strategy", "symbol", "profit", "fees", "position", "volume", "fills"), columns, strict=True)))

    @property
    def log(self) -> list[tuple[np.datetime64, str, str]]:
        """Lines (time, strategy, text) of ``Strategy.log``."""
        return [(np.datetime64(time, "ns"), name, text) for time, name, text in self._kept["log"]]

    @property
    def not_sent(self) -> dict[str, int]:
        """Wanted quotes that were not sent, by reason."""
        return dict(self._kept["not_sent"])

    @cached_property
    def orders_hash(self) -> str:
        """Eight digits of the SHA-256 of all reports: the same input, conditions and build give the same."""
        return _digits(self._reports.tobytes())

    @cached_property
    def id(self) -> str:
        """Eight digits that name the run: what was run under which conditions, and what came of it."""
        named = {name: self._kept[name] for name in ("build", "strategies", "conditions", "stopped", "events", "accounts")}
        named["conditions"] = {name: value for name, value in named["conditions"].items() if name != "again"}
        return _digits(json.dumps([named, self.orders_hash], sort_keys=True).encode())

    @cached_property
    def stats(self) -> dict[str, Any]:
        """Figures of the run: ``Result`` works them out."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self._kept['strategies'])}: {self._kept['orders']} orders, {len(self._fills)} fills)"


def _rate(fee: Any) -> tuple[float, float]:
    """Share of the value, and amount a unit, of a fee as people write it."""
    text = str(fee).strip()
    for suffix, divisor in (("%", 100), ("bps", 10_000)):
        if text.endswith(suffix):
            return float(Fraction(text.removesuffix(suffix).strip()) / divisor), 0.0
    return 0.0, float(Fraction(text))


def _umask() -> int:
    """The umask of the process, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _digits(data: bytes) -> str:
    """The first eight digits of a hash."""
    import hashlib  # it loads OpenSSL, which the command line need not wait for

    return hashlib.sha256(data).hexdigest()[:8]
