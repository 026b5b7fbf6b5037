"""The figures of a result, and how they are printed. Conventions are in ``docs/results.md``.

Money is in the currency of the market, income positive, exact where it is added up: sums of whole ticks times whole lots, halves of them
where a middle takes part. What follows from floats (bps, shares, ratios) is rounded once, at the end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fastcore.instruments import Instrument
from fastcore.records import NO_PRICE

__all__ = ["figures", "text"]

if TYPE_CHECKING:
    from .outcome import Outcome

BLOCKS = 20  # of equal time, for ranges
FEWEST_DAYS = 20
GONE = "unknown order"  # a cancel or a change met it at the venue no more
DAY = 86_400 * 10**9
SHOWN_NS = tuple(ms * 10**6 for ms in (10, 100, 1_000, 10_000, 60_000))
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


# ---- exact sums ----


def _dot(a: Ints, b: Ints) -> int:
    """Sum of products, exact."""
    if not len(a):
        return 0
    if float(np.abs(a.astype(float)).max()) * float(np.abs(b.astype(float)).max()) * len(a) < 2.0**62:
        return int(a @ b)
    return int((a.astype(object) * b.astype(object)).sum())


def _values2(instrument: Instrument, prices2: Ints, lots: Ints) -> int:
    """Sum of what signed lots are worth at twice the prices, in half units; as ``money_value`` has it (inverse: rounded each)."""
    if instrument.kind != "inverse":
        return _dot(prices2, lots)
    total = Fraction(0)
    for price2, size in zip(prices2.tolist(), lots.tolist(), strict=True):
        magnitude = abs(size) * 10**18 * 2 // price2
        total += Fraction(-magnitude if size > 0 else magnitude, 10**9) * 2
    return total  # type: ignore[return-value]


class Split(NamedTuple):
    """Where the profit of a market comes from, in its currency."""

    spread: Fraction
    drift: Fraction | None
    fees: Fraction
    net: Fraction | None
    unexplained: Fraction | None
    traded: Fraction
    without_mid: int


def split(result: Outcome, account: dict[str, Any], own: npt.NDArray[np.bool_]) -> Split:
    """Split the profit of a market: `own` are its fills.

    A fill for which there was no middle is taken to have met it: what came of it is drift.
    """
    instrument = result.markets[account["id"]]
    rows, middles2 = result._fills[own], result._arrays["middles"][0][own]
    value = instrument.unit_value
    lots, prices2 = rows["size"] * rows["side"], 2 * rows["price"]
    without = middles2 == NO_PRICE
    paid, at_mid = _values2(instrument, prices2, lots), _values2(instrument, np.where(without, prices2, middles2), lots)
    traded = abs(_values2(instrument, np.abs(prices2), rows["size"]))
    position, mark = account["position_lots"], account["mark_ticks"]
    spread, fees = Fraction(at_mid - paid) / 2 * value, Fraction(account["fees"]) * value
    net = None if account["profit"] is None else Fraction(account["profit"]) * value
    drift = None
    if net is not None:
        held = Fraction(0) if position == 0 else _values2(instrument, np.array([2 * mark]), np.array([position]))
        drift = Fraction(held - at_mid) / 2 * value
    unexplained = None if net is None or drift is None else net - (spread + drift - fees)
    return Split(spread, drift, fees, net, unexplained, Fraction(traded) / 2 * value, int(without.sum()))


# ---- mark-outs ----


def gains(result: Outcome, marks: Floats) -> Floats:
    """What each fill has gained when its market is at `marks`, in its currency."""
    fills, found = result.fills, np.empty(len(marks))
    for row, instrument in result.markets.items():
        own = result._fills["symbol_id"] == row
        price, mark = fills["price"][own], marks[own]
        move = 1 / price - 1 / mark if instrument.kind == "inverse" else mark - price
        found[own] = result._fills["side"][own] * fills["size"][own] * instrument.multiplier * move
    return found


def values(result: Outcome) -> Floats:
    """What was traded with each fill, in its currency."""
    fills, found = result.fills, np.empty(result.fills.rows)
    for row, instrument in result.markets.items():
        own = result._fills["symbol_id"] == row
        price = np.abs(fills["price"][own])
        found[own] = fills["size"][own] * instrument.multiplier * (1 / price if instrument.kind == "inverse" else price)
    return found


def t_quantile(freedom: int) -> float:
    """0.975 quantile of Student's t (Abramowitz and Stegun 26.7.5), to 1% from 5 degrees of freedom on."""
    z = 1.959963984540054
    return (
        z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)
    )  # fmt: skip


def ratio_range(gain: Floats, value: Floats, blocks: npt.NDArray[np.int64]) -> float | None:
    """Half of the 95% range of sum(gain) / sum(value), from the sums of blocks of time; None where fewer than ten have fills."""
    gains, values = (np.bincount(blocks, weights, BLOCKS) for weights in (gain, value))
    used = values > 0
    n = int(used.sum())
    if n < 10:
        return None
    rest = gains[used] - gains.sum() / values.sum() * values[used]
    return float(t_quantile(n - 1) * math.sqrt(n / (n - 1) * (rest @ rest)) / values.sum())


def markouts(result: Outcome, own: npt.NDArray[np.bool_], span_ns: tuple[int, int]) -> list[dict[str, Any]]:
    """Mark-outs of fills in bps of their value, at the fill and at each horizon: all with a range, buys, sells, and how many were used."""
    rows = result._fills[own]
    buys, weight, half = rows["side"] > 0, values(result)[own], np.empty(len(rows))
    for row, instrument in result.markets.items():
        half[rows["symbol_id"] == row] = instrument.tick_size / 2
    begin, end = span_ns
    length = max(1, -(-(end - begin + 1) // BLOCKS))
    blocks, ids = np.clip((rows["exch_ns"] - begin) // length, 0, BLOCKS - 1), result._fills["symbol_id"]
    found = []
    for place, horizon in enumerate((0, *result._kept["horizons_ns"])):
        middle2, reached = (result._arrays[name][place][own] for name in ("middles", "reached"))
        known = middle2 != NO_PRICE
        mid = np.full(len(ids), np.nan)
        mid[own] = np.where(known, middle2 * half, np.nan)
        gain = np.where(known, gains(result, mid)[own], 0.0)
        sums = {"all": known, "buys": known & buys, "sells": known & ~buys}
        line: dict[str, Any] = {"horizon_ns": horizon}
        for name, used in sums.items():
            line[name] = 1e4 * float(gain[used].sum() / weight[used].sum()) if weight[used].sum() else None
        wide = ratio_range(gain[known], weight[known], blocks[known]) if 0 < horizon <= length / 2 else None
        line |= {
            "range": None if wide is None else 1e4 * wide,
            "used": int(known.sum()),
            "past_the_end": int((~reached).sum()),
            "without_mid": int((reached & ~known).sum()),
        }
        found.append(line)
    return found


# ---- time ----


def held(times: Ints, positions: Floats, span_ns: tuple[int, int]) -> dict[str, float]:
    """Mean and largest absolute position; the position is `positions[i]` from `times[i]` on, and 0 before."""
    begin, end = span_ns
    edges = np.clip(np.array([begin, *times, end]), begin, end)
    sizes = np.abs(np.array([0.0, *positions]))
    weights = np.diff(edges).astype(float)
    mean = float(sizes @ weights / weights.sum()) if weights.sum() > 0 else float(sizes[-1])
    return {"mean": mean, "largest": float(sizes.max())}


def covered(begins: Ints, ends: Ints, span_ns: tuple[int, int]) -> list[tuple[int, int]]:
    """Union of intervals inside a span, as disjoint ones in order."""
    begins, ends = np.clip(begins, *span_ns), np.clip(ends, *span_ns)
    order = np.argsort(begins, kind="stable")
    begins, ends = begins[order], np.maximum.accumulate(ends[order]) if len(ends) else ends
    new = np.flatnonzero(np.concatenate([[True], begins[1:] > ends[:-1]])) if len(begins) else np.zeros(0, int)
    return list(zip(begins[new].tolist(), ends[[*(new[1:] - 1), len(ends) - 1]].tolist() if len(new) else [], strict=True))


def quoting(result: Outcome, symbol: str, span_ns: tuple[int, int]) -> dict[str, float]:
    """Shares of the time with working orders on both sides, and on one."""
    orders = result.orders
    never = np.iinfo(np.int64).min
    sides = []
    for side in ("buy", "sell"):
        own = (orders["symbol"] == symbol) & (orders["side"] == side)
        begins, ends = (orders[name][own].astype(np.int64) for name in ("venue_entered", "venue_ended"))
        sides.append(covered(begins, np.where(ends == never, span_ns[1], ends), span_ns))
    edges = np.array(sides[0] + sides[1], np.int64).reshape(-1, 2)
    single = int((edges[:, 1] - edges[:, 0]).sum())
    both = single - sum(end - begin for begin, end in covered(edges[:, 0], edges[:, 1], span_ns))
    time = max(1, span_ns[1] - span_ns[0])
    return {"both_sides": both / time, "one_side": (single - 2 * both) / time}


# ---- equity ----


def totals(result: Outcome, currency: str) -> tuple[Ints, Floats]:
    """Times and profit of all markets of a currency; what has no mark counts as it last had one."""
    equity, profit = result.equity, None
    for instrument in result.markets.values():
        if instrument.currency == currency:
            own = equity["symbol"] == instrument.symbol
            values = equity["profit"][own]
            known = np.maximum.accumulate(np.where(np.isnan(values), -1, np.arange(len(values))))
            values = np.where(known < 0, 0.0, values[np.maximum(known, 0)])
            profit = values if profit is None else profit + values
            times = equity["time"][own]
    assert profit is not None
    return times.astype(np.int64), profit


def worst_fall(times: Ints, profit: Floats) -> dict[str, Any]:
    """Largest fall below the highest profit so far (the start is one), and when it was reached."""
    if not len(profit):
        return {"amount": 0.0, "time": None}
    falls = np.maximum.accumulate(np.maximum(profit, 0.0)) - profit
    at = int(falls.argmax())
    return {"amount": float(falls[at]), "time": _stamp(int(times[at])) if falls[at] > 0 else None}


def ratios(times: Ints, profit: Floats) -> dict[str, Any]:
    """Sharpe and Sortino ratios of the profit by day (UTC), a year: over all days of the week where one of the data is on a weekend, else
    over weekdays; days without events count with 0."""
    if not len(times):
        return {"sharpe": None, "sortino": None, "days": 0, "why": "no data"}
    days = times // DAY
    weekend = bool((((days + 3) % 7) >= 5).any())  # 1970-01-01 was a Thursday
    every = np.arange(days[0], days[-1] + 1)
    if not weekend:
        every = every[(every + 3) % 7 < 5]
    ends = profit[np.searchsorted(days, every, "right") - 1]
    gains = np.diff(ends, prepend=0.0)
    year, n = (365 if weekend else 252), len(gains)
    found: dict[str, Any] = {"sharpe": None, "sortino": None, "days": n, "days_a_year": year}
    if n < FEWEST_DAYS:
        return found | {"why": f"{n} day{'s' * (n != 1)}, {FEWEST_DAYS} are needed"}
    deviation = gains.std(ddof=1)
    if not deviation > 0:
        return found | {"why": "the profit of all days is the same"}
    sharpe = gains.mean() / deviation
    found["sharpe"] = float(sharpe * math.sqrt(year))
    found["sharpe_error"] = float(math.sqrt((1 + sharpe**2 / 2) / n * year))  # Lo, The Statistics of Sharpe Ratios, 2002
    below = math.sqrt(float(np.mean(np.minimum(gains, 0.0) ** 2)))
    return found | ({"sortino": float(gains.mean() / below * math.sqrt(year))} if below > 0 else {"why_no_sortino": "no day lost"})


# ---- all of it ----


def time_span(result: Outcome) -> tuple[int, int]:
    """First and last time of the run at the venue."""
    times = result.equity["time"].astype(np.int64)
    return (int(times[0]), max(int(times[-1]), int(times[0]))) if len(times) else (0, 0)


def _stamp(time_ns: int) -> str:
    return str(np.datetime64(time_ns, "ns"))


def _break_even(parts: Sequence[Split], maker_fees: float, maker_value: float) -> float | None:
    """Fee on the value of fills of orders that waited, in bps, at which nothing is gained; None where that is not known."""
    if not maker_value or math.isnan(maker_fees) or any(part.net is None for part in parts):
        return None
    return 1e4 * (float(sum(part.net or 0 for part in parts)) + maker_fees) / maker_value


def figures(result: Outcome) -> dict[str, Any]:
    """Return ``Result.stats``."""
    kept, fills, orders = result._kept, result.fills, result.orders
    span = time_span(result)
    ids = result._fills["symbol_id"]
    maker = fills["maker"]
    symbols: dict[str, Any] = {}
    splits: dict[str, list[Split]] = {}
    for account in kept["accounts"]:
        instrument = result.markets[account["id"]]
        own = ids == account["id"]
        part = split(result, account, own)
        splits.setdefault(instrument.currency, []).append(part)
        signed = np.where(fills["side"][own] == "buy", 1, -1) * result._fills["size"][own]
        size = held(fills["venue_time"][own].astype(np.int64), np.cumsum(signed) * instrument.lot_size, span)
        market = account["market_lots"] * instrument.lot_size
        volume = int(result._fills["size"][own].sum()) * instrument.lot_size
        symbols[instrument.symbol] = {
            "currency": instrument.currency,
            "profit": None if part.net is None else float(part.net),
            "spread": float(part.spread),
            "drift": None if part.drift is None else float(part.drift),
            "fees": float(part.fees),
            "traded": float(part.traded),
            "fills": int(own.sum()),
            "volume": volume,
            "share_of_market": volume / market if market else None,
            "position": account["position_lots"] * instrument.lot_size,
            "position_mean": size["mean"],
            "position_largest": size["largest"],
            "quoting": quoting(result, instrument.symbol, span),
        }
    currencies: dict[str, Any] = {}
    for currency, parts in splits.items():
        own = np.isin(ids, [row for row, instrument in result.markets.items() if instrument.currency == currency])
        marked = markouts(result, own, span)
        maker_value = float(values(result)[own & maker].sum())
        times, profit = totals(result, currency)
        known = all(part.net is not None for part in parts)
        currencies[currency] = {
            "spread": float(sum(part.spread for part in parts)),
            "drift": float(sum(part.drift or 0 for part in parts)) if known else None,
            "fees": float(sum(part.fees for part in parts)),
            "profit": float(sum(part.net or 0 for part in parts)) if known else None,
            "unexplained": float(sum(part.unexplained or 0 for part in parts)) if known else None,
            "traded": float(sum(part.traded for part in parts)),
            "fills_without_mid": sum(part.without_mid for part in parts),
            "break_even_maker_fee_bps": _break_even(parts, float(fills["fee"][own & maker].sum()), maker_value),
            "markouts": marked,
            "worst_fall": worst_fall(times, profit),
            "ratios": ratios(times, profit),
        }
    shares: dict[str, Any] = {name: {} for name in kept["strategies"]} if len(kept["strategies"]) > 1 else {}
    for strategy, symbol, profit, *rest in zip(*(column.tolist() for column in result.by_strategy.values()), strict=True) if shares else ():
        own = dict(zip(("fees", "position", "volume", "fills"), rest, strict=True))
        shares[strategy][symbol] = {"currency": symbols[symbol]["currency"], "profit": None if math.isnan(profit) else profit} | own
    sizes, reasons = fills["size"], result.rejects["reason"]
    waited = (orders["first_fill"] - orders["venue_entered"]).astype(np.int64)[orders["filled"] > 0] / 1e9
    filled = int((orders["filled"] > 0).sum())
    return {
        "id": result.id,
        "symbols": symbols,
        **({"strategies": shares} if shares else {}),
        "currencies": currencies,
        "total": {name: text if name == "currency" or text is None else float(Fraction(text)) for name, text in kept["total"].items()},
        "begin": _stamp(span[0]),
        "end": _stamp(span[1]),
        "events": kept["events"],
        "orders": kept["orders"],
        "orders_filled": filled,
        "fill_rate": filled / kept["orders"] if kept["orders"] else None,
        "refused": int(reasons.size) - reasons.tolist().count(GONE),
        "too_late": reasons.tolist().count(GONE),
        "refusals": {str(name): int(count) for name, count in zip(*np.unique(reasons, return_counts=True), strict=True) if name != GONE},
        "fills": fills.rows,
        "buys": int((fills["side"] == "buy").sum()),
        "sells": int((fills["side"] == "sell").sum()),
        "causes": {str(cause): float(sizes[fills["cause"] == cause].sum() / sizes.sum()) for cause in dict.fromkeys(fills["cause"].tolist())},
        "time_to_fill_s": {f"p{p}": float(np.percentile(waited, p)) for p in (50, 90, 99)} if len(waited) else None,
        "turnover": turnover(result, span),
        "not_sent": result.not_sent,
        "orders_hash": result.orders_hash,
        "stopped": result.stopped,
    }


def turnover(result: Outcome, span_ns: tuple[int, int]) -> float | None:
    """How often what was held was turned over: size traded over twice the mean size of the position, of the markets together by value."""
    traded = held_value = 0.0
    for account in result._kept["accounts"]:
        own = result._fills["symbol_id"] == account["id"]
        if not own.any():
            continue
        rows, value = result._fills[own], float(values(result)[own].sum())
        lots = np.cumsum(rows["size"] * rows["side"]).astype(float)
        traded += value
        held_value += held(rows["exch_ns"], lots, span_ns)["mean"] * value / float(rows["size"].sum())
    return traded / (2 * held_value) if held_value else None


# ---- text ----


def money(amount: float | None, like: float = 0.0, sign: bool = True) -> str:
    """Format money: two decimals, more where all that is shown beside it (`like`) is small."""
    if amount is None:
        return "no price"
    largest = max(abs(amount), abs(like))
    decimals = 2 if largest >= 1 or largest == 0 else min(10, 3 - math.floor(math.log10(largest)))
    text = f"{amount:,.{decimals}f}" if not sign else f"{amount:+,.{decimals}f}"
    return text.lstrip("+-") if not float(text.replace(",", "")) else text


def quantity(units: float) -> str:
    """Format shares, contracts or coins."""
    return f"{units:,.0f}" if float(units).is_integer() else f"{units:,.8g}"


def mean_size(units: float) -> str:
    """Format a mean size: two decimals, or four digits of a small one."""
    return quantity(round(units, 2) if units >= 100 else float(f"{units:.4g}"))


def clock(stamp: str, day: bool = False) -> str:
    """The time of day of a stamp, with the date where there is one and it is asked for."""
    date, _, time = stamp.partition("T")
    return f"{date} {time[:8]}" if day and date != "1970-01-01" else time[:8]


def horizon_name(ns: int) -> str:
    """10 ms, 1 s, 10 min."""
    for unit, name in ((60 * 10**9, "min"), (10**9, "s"), (10**6, "ms")):
        if ns >= unit and ns % unit == 0 and not (name == "min" and ns < 120 * 10**9):
            return f"{ns // unit} {name}"
    return f"{ns:,} ns"


def bps(value: float | None) -> str:
    """Format basis points."""
    return "." if value is None else f"{value:+.3f}" if abs(value) >= 0.0005 else "0.000"


def _profit_lines(name: str, row: dict[str, Any], fees_set: bool) -> list[str]:
    """The block of one currency: parts of the profit, and what each is of the value traded."""
    like = max(abs(row[key] or 0.0) for key in ("spread", "drift", "profit"))
    traded = row["traded"]

    def line(label: str, amount: float | None, words: str) -> str:
        share = "" if amount is None or not traded else bps(1e4 * amount / traded)
        return f"  {label:<18}{money(amount, like):>12}   {words:<38}{share:>7}".rstrip()

    head = f"profit, {name}" if name else "profit"
    rest = "" if row["unexplained"] is None else f"unexplained {money(row['unexplained'], like)}"
    lines = [
        f"{head:<57}{'bps of value traded':>21}",
        line("spread earned", row["spread"], "price against the mid at each fill"),
        line("drift after fills", row["drift"], "mid at each fill to the last mid"),
        line("fees", -row["fees"], "" if fees_set else "none set: --maker-fee, --taker-fee"),
        line("= net", row["profit"], rest),
    ]
    even = row["break_even_maker_fee_bps"]
    lines.append(f"  traded {traded:,.0f}" + ("" if even is None else f"; breaks even at a maker fee of {even:.3f} bps"))
    if row["fills_without_mid"]:
        lines.append(f"  {row['fills_without_mid']:,} fills met no two-sided market: what came of them is drift")
    return lines


def _markout_lines(name: str, rows: list[dict[str, Any]]) -> list[str]:
    """The block of mark-outs."""
    shown = [row for row in rows if row["horizon_ns"] == 0 or row["horizon_ns"] in SHOWN_NS]
    titles = ["at fill" if row["horizon_ns"] == 0 else horizon_name(row["horizon_ns"]) for row in shown]
    lines = [f"{'markout, bps' + (' ' + name if name else ''):<18}" + "".join(f"{title:>9}" for title in titles)]
    ranges = ["." if row["range"] is None else f"+-{row['range']:.3f}" for row in shown]
    for label, cells in (
        ("all", [bps(row["all"]) for row in shown]), ("95% range", ranges), ("buys", [bps(row["buys"]) for row in shown]),
        ("sells", [bps(row["sells"]) for row in shown]), ("fills used", [f"{row['used']:,}" for row in shown]),
    ):  # fmt: skip
        lines.append(f"  {label:<16}" + "".join(f"{cell:>9}" for cell in cells))
    return lines


def _joined(parts: list[str]) -> list[str]:
    """Parts behind each other, in lines of at most 80 columns."""
    lines = [parts[0]]
    for part in parts[1:]:
        if len(lines[-1]) + len(part) > 77:
            lines[-1] += ";"
            lines.append(part)
        else:
            lines[-1] += f"; {part}"
    return lines


def _ratio_lines(row: dict[str, Any]) -> list[str]:
    if row["sharpe"] is None:
        return [f"{'Sharpe ratio':<16}not given: {row['why']}"]
    sortino = f"{row['sortino']:.2f}" if row["sortino"] is not None else f"not given: {row['why_no_sortino']}"
    return [
        f"{'Sharpe ratio':<16}{row['sharpe']:.2f} +- {row['sharpe_error']:.2f}, from {row['days']} days of {row['days_a_year']} a year",
        f"{'Sortino ratio':<16}{sortino}",
    ]


def text(result: Outcome, following: str = 'next: result.report("report.html")     result.explain("markout")') -> str:
    """Return the printed result; `following` is its last line."""
    stats, kept = result.stats, result._kept
    names, markets = ", ".join(kept["strategies"]), ", ".join(stats["symbols"])
    conditions = kept["conditions"]
    same_day = stats["begin"][:10] == stats["end"][:10]
    when = f"{clock(stats['begin'], True)} to {clock(stats['end'], not same_day)}"
    data = f", {conditions['data']}" if conditions.get("data") else ""
    lines = [f"{names} on {markets}{data}, {when}"]
    run = f"run {stats['id']}"
    lines = [f"{lines[0]:<{79 - len(run)}} {run}"] if len(lines[0]) + len(run) < 80 else [lines[0], run]
    if result.stopped:
        lines.append(f"stopped: {result.stopped}")
    book = "exact by order" if kept["book"] == "orders" else f"by level, queue {conditions.get('queue')}"
    schedules = {None if fees is None else tuple(fees) for fees in conditions["fees"].values()}
    fees_set = any(fees is None or any(str(fee) not in ("0", "0.0") for fee in fees) for fees in schedules)
    said = f"maker fee {conditions['maker_fee']}, taker fee {conditions['taker_fee']}" if fees_set else "fees 0 (not set)"
    if len(schedules) > 1 or None in schedules:
        said += ", and others by market or order"
    lines += _joined([f"fills {book}", f"latency {conditions.get('latency')}", said, "no market impact"])
    if kept["clamped"] or kept["unstamped"]:
        lines.append(f"times of receipt: {kept['clamped']:,} before the event, {kept['unstamped']:,} missing")
    for name, row in stats["currencies"].items():
        lines += ["", *_profit_lines(name, row, fees_set)]
        if stats["fills"]:
            lines += ["", *_markout_lines(name if len(stats["currencies"]) > 1 else "", row["markouts"])]
    if len(stats["currencies"]) > 1:
        sum_ = stats["total"]
        lines += ["", f"{'together':<16}" + ("no rate or price" if sum_["profit"] is None else f"{money(sum_['profit'])} {sum_['currency']}")]
    lines.append("")
    filled = f", {stats['orders_filled']:,} filled ({stats['fill_rate']:.1%})" if stats["fill_rate"] is not None else ""
    lines.append(f"{'orders':<16}{stats['orders']:,} sent{filled}, {stats['refused']:,} refused")
    if stats["too_late"]:
        lines.append(f"{'too late':<16}{stats['too_late']:,} cancels and changes: the order was filled or gone")
    lines += [f"{'refused':<16}{count:,} {why}" for why, count in stats["refusals"].items()]
    shares = [row["share_of_market"] for row in stats["symbols"].values()]
    share = f"; {shares[0]:.1%} of market volume" if len(shares) == 1 and shares[0] is not None else ""
    lines.append(f"{'fills':<16}{stats['fills']:,}: {stats['buys']:,} buys, {stats['sells']:,} sells{share}")
    if stats["fills"]:
        words = {"at": "at price", "took": "we took"}
        causes = [f"{words.get(name, name)} {part:.0%}" for name, part in sorted(stats["causes"].items(), key=lambda item: -item[1])]
        lines.append(f"{'by cause':<16}" + ", ".join(causes))
        waited = stats["time_to_fill_s"]
        lines.append(f"{'time to fill':<16}" + ", ".join(f"{name} {seconds:.3g} s" for name, seconds in waited.items()))
    for symbol, row in stats["symbols"].items():
        of = f" {symbol}" if len(stats["symbols"]) > 1 else ""
        quoted = row["quoting"]
        if of:
            like = max(abs(row["profit"] or 0.0), abs(row["spread"]))
            lines.append(f"{symbol:<16}profit {money(row['profit'], like)} {row['currency']}, {row['fills']:,} fills")
        limit = f" (limit {quantity(kept['position_limits'][symbol])})" if symbol in kept["position_limits"] else ""
        lines.append(f"{'quoting' + of:<16}both sides {quoted['both_sides']:.1%} of the time, one side {quoted['one_side']:.1%}")
        lines.append(
            f"{'position' + of:<16}mean size {mean_size(row['position_mean'])}, largest {quantity(row['position_largest'])}{limit}, "
            f"{quantity(row['position'])} at the end"
        )
    for name, own in stats.get("strategies", {}).items():
        for symbol, row in own.items():
            gained = f"{money(row['profit'], row['fees'])} {row['currency']}".rstrip()
            lines.append(f"{name:<16}{symbol}: profit {gained}, {row['fills']:,} fills, {quantity(row['position'])} at the end")
    for name, row in stats["currencies"].items():
        fall, unit = row["worst_fall"], f" {name}" if len(stats["currencies"]) > 1 else ""
        at = "none" if fall["time"] is None else f"{money(fall['amount'], sign=False)}{unit} at {clock(fall['time'], not same_day)}"
        lines.append(f"{'worst fall':<16}{at}")
        lines += _ratio_lines(row["ratios"])
    lines += [f"{'not sent':<16}{count:,} quotes: {why}" for why, count in stats["not_sent"].items()]
    lines += ["", f"{stats['events']:,} events in {kept['loop_ns'] / 1e9:.2f} s; orders {stats['orders_hash']} (same input, same orders)"]
    return "\n".join([*lines, following])

