"""What became of an order, and what a figure means, in words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from fastcore.errors import Result as Code
from fastcore.records import FLAGS, KINDS, NO_PRICE

from . import conditions
from .figures import BLOCKS, FEWEST_DAYS, SHOWN_NS, bps, clock, horizon_name, markouts, mean_size, money, quantity, time_span
from .outcome import CAUSES, UNKNOWN

Places = Callable[["Outcome", int, str, int, int], list[tuple[int, int, int]] | None]

if TYPE_CHECKING:
    from .outcome import Outcome

__all__ = ["FIGURES", "explain", "explain_journal"]

FILLED = {
    "at": "an execution at our price that was behind all before us",
    "through": "an execution at a worse price than ours",
    "hidden": "a print against hidden liquidity, through our price",
    "crossing": "an order from the other side that reached our price",
    "took": "our order took what was displayed",
    "auction": "a cross of an auction at a better price for us",
}


class Scale(NamedTuple):
    """How whole numbers are shown: units of the instrument, or ticks and lots where it is not known."""

    tick: float | None
    lot: float | None
    day: bool

    def price(self, ticks: int) -> str:
        """A price."""
        return f"{ticks:,} ticks" if self.tick is None else f"{ticks * self.tick:,.10g}"

    def size(self, lots: int) -> str:
        """A size."""
        return f"{lots:,} lots" if self.lot is None else quantity(round(lots * self.lot, 10))

    def time(self, ns: int) -> str:
        """A time of day to the microsecond, with the date where the data have one."""
        stamp = str(np.datetime64(ns, "ns"))
        return f"{stamp[:10] + ' ' if self.day else ''}{stamp[11:26]}"


def _dated(rows: npt.NDArray[np.void]) -> bool:
    """Whether times have a date: some feeds count from a midnight that nobody has said."""
    return bool(rows["exch_ns"][0] >= 86_400 * 10**9)


def _ahead(lots: int, scale: Scale) -> str:
    if lots >= UNKNOWN:
        return "nobody knows how much stands before it"
    return "nothing stands before it" if lots <= 0 else f"{scale.size(lots)} stand before it"


def _duration(ns: int) -> str:
    for unit, name in ((10**9, "s"), (10**6, "ms"), (10**3, "us")):
        if ns >= unit:
            return f"{ns / unit:.6g} {name}"
    return f"{ns} ns"


def _fill(row: np.void, total: int, done: int, scale: Scale, detail: tuple[int, int, int] | None) -> str:
    """A fill in words; `detail` is lots ahead, lots left, and twice the middle in ticks."""
    size, side = int(row["size"]), int(row["side"])
    cause = next((name for name in CAUSES if row["flags"] & FLAGS[name]), "")
    words = f"{scale.size(size)} of {scale.size(total)} filled at {scale.price(int(row['price']))}: {FILLED.get(cause, 'filled')}"
    if detail is not None:
        ahead, _, middle2 = detail
        if cause != "took" and 0 <= ahead < UNKNOWN:
            words += f"; {scale.size(ahead)} stood before it" if ahead else "; nothing stood before it"
        if middle2 != NO_PRICE and scale.tick is not None:
            edge = side * (middle2 / 2 - int(row["price"])) * scale.tick
            words += f"; mid {middle2 / 2 * scale.tick:,.10g}, {abs(edge):.4g} {'better' if edge >= 0 else 'worse'} than that"
    return words + f" (market event {int(row['seq']):,}" + (", the last of it)" if done + size >= total else ")")


def life(rows: npt.NDArray[np.void], order: int, scale: Scale, details: dict[int, tuple[int, int, int]]) -> list[tuple[int, str]]:
    """Times and words of all that concerns an order; `details` by place of its fills among the rows."""
    steps: list[tuple[int, str]] = []
    total = done = 0
    for place, row in enumerate(rows):
        kind, number = int(row["kind"]), int(row["order_id"])
        when, learnt = int(row["exch_ns"]), int(row["local_ns"]) - int(row["exch_ns"])
        later = f"; we learn of it {_duration(learnt)} later" if learnt > 0 else ""
        side = "buy" if row["side"] > 0 else "sell"
        size, price = scale.size(int(row["size"])), int(row["price"])
        if kind == KINDS["replace"] and int(row["match_id"]) == order:
            total = int(row["size"])
            steps.append((when, f"sent: {side} {size} at {scale.price(price)}, in the place of order {number}"))
        if number != order:
            continue
        if kind == KINDS["order"]:
            total = int(row["size"])
            steps.append((when, f"sent: {side} {size}" + ("" if price == NO_PRICE else f" at {scale.price(price)}")))
        elif kind == KINDS["ack"]:
            total = int(row["size"])
            steps.append((when, f"at the venue: {side} {size} at {scale.price(price)}; {_ahead(int(row['match_id']), scale)}{later}"))
        elif kind == KINDS["fill"]:
            steps.append((when, _fill(row, total, done, scale, details.get(place)) + later))
            done += int(row["size"])
        elif kind == KINDS["pulled"]:
            why = {0: "cancelled", int(Code.EXPIRED): "expired", int(Code.SELF_TRADE): "taken out, it would have met another own order"}
            steps.append((when, f"{why.get(int(row['match_id']), 'taken out')} with {size} left{later}"))
        elif kind == KINDS["reject"]:
            steps.append((when, f"refused: {Code(int(row['match_id'])).name.replace('_', ' ').lower()}{later}"))
        elif kind == KINDS["replace"]:
            steps.append((when, f"asked to make way for order {int(row['match_id'])}: {size} at {scale.price(price)}"))
        elif kind == KINDS["pull"]:
            steps.append((when, "asked to be cancelled"))
        elif kind == KINDS["amend"]:
            steps.append((when, f"asked to change: {size} at {scale.price(price)}"))
    return steps


def _lines(order: int, head: str, steps: list[tuple[int, str]], scale: Scale) -> str:
    steps.sort(key=lambda step: step[0])
    return "\n".join([f"order {order}{head}", *(f"  {scale.time(ns)}  {words}" for ns, words in steps)])


def _unknown(order: int, ids: npt.NDArray[np.int64]) -> LookupError:
    there = f"orders are {int(ids.min()):,}..{int(ids.max()):,}" if len(ids) else "the run sent no orders"
    return LookupError(f"there is no order {order:,} in the run: {there}")


def explain(result: Outcome, what: int | str, places: Places = lambda *_: None) -> str:
    """Return what ``Result.explain`` does; `places` tells times, lots ahead and lots left of an order of a market between two times."""
    if isinstance(what, str) and not what.lstrip("-").isdigit():
        if what not in FIGURES:
            raise LookupError(f"there is no figure {what}{conditions.suggestion(what, list(FIGURES))}; figures are {', '.join(FIGURES)}")
        found: str = FIGURES[what](result)
        return found
    order = int(what)
    reports = result._reports
    ids = reports["order_id"][reports["order_id"] > 0]
    if order not in ids:
        raise _unknown(order, ids)
    own = np.flatnonzero(reports["order_id"] == order)
    rows = reports[own]
    markets = [result.markets[int(row)] for row in rows["symbol_id"] if int(row) in result.markets]
    instrument = markets[0]
    scale = Scale(instrument.tick_size, instrument.lot_size, _dated(rows))
    fills = np.cumsum(reports["kind"] == KINDS["fill"]) - 1
    details, told = {}, result._arrays["details"]
    for place in np.flatnonzero(rows["kind"] == KINDS["fill"]) if len(told) == len(result._fills) else ():
        at = fills[own[place]]
        details[int(place)] = int(told["price"][at]), int(told["size"][at]), int(result._arrays["middles"][0][at])
    steps = life(rows, order, scale, details)
    acks = rows[rows["kind"] == KINDS["ack"]]
    if len(acks):
        sent = _constant(str(result.conditions.get("latency", "0")))
        if sent is not None:
            steps.insert(0, (int(acks["exch_ns"][0]) - sent, f"sent{f', {_duration(sent)} on its way' if sent else ''}"))
        ends = rows[np.isin(rows["kind"], [KINDS["fill"], KINDS["pulled"]])]
        begin, end = int(acks["exch_ns"][0]), int(ends["exch_ns"][-1]) if len(ends) else result._kept["end_ns"]
        steps += _queue(places(result, order, instrument.symbol, begin, end) or [], begin, int(acks["match_id"][0]), scale)
    return _lines(order, f", {instrument.symbol}", steps, scale)


def _constant(latency: str) -> int | None:
    """Latency of orders in ns; None where it is random."""
    order = conditions.latency(conditions.split(latency).get("order", "0"))
    return None if order.deviation_ns else order.mean_ns


def _queue(found: list[tuple[int, int, int]], begin: int, shown: int, scale: Scale, most: int = 12) -> list[tuple[int, str]]:
    """The place in the queue over time, from `shown` lots on: at most so many steps, each a fifth of what stood before or more."""
    steps: list[tuple[int, str]] = []
    for time_ns, ahead, _ in found:
        if ahead != shown and time_ns > begin and (ahead == 0 or ahead <= 0.8 * shown or ahead > shown) and len(steps) < most:
            steps.append((time_ns, f"moves up: {_ahead(ahead, scale)}" if ahead < shown else f"falls back: {_ahead(ahead, scale)}"))
            shown = ahead
    return steps


def explain_journal(directory: Path, what: str) -> str:
    """Tell the life of an order from the journal of a run, in ticks and lots."""
    from .journal import read

    _, ended, events = read(directory)
    if not what.lstrip("-").isdigit():
        raise LookupError(f"a journal tells the lives of orders alone: {what}")
    order = int(what)
    new = np.where(events["kind"] == KINDS["replace"], events["match_id"], events["order_id"])
    known = new[(new > 0) & (events["kind"] != KINDS["timer"])]
    if order not in known:
        raise _unknown(order, known)
    rows = events[(events["kind"] != KINDS["timer"]) & ((events["order_id"] == order) | (new == order))]
    scale = Scale(None, None, _dated(rows))
    return _lines(order, "" if ended is not None else ", of a run that did not end", life(rows, order, scale, {}), scale)


# ---- figures ----


def _say(prose: str, *blocks: str) -> str:
    """Prose of at most 80 columns, and what follows it."""
    return "\n\n".join(["\n".join(wrap(prose, 80, break_on_hyphens=False)), *blocks])


def _table(head: list[str], rows: list[list[str]]) -> str:
    """Rows under their head: the first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    lines = []
    for first, *others in [head, *rows]:
        cells = [f"{cell:>{width}}" for cell, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join([f"  {first:<{widths[0]}}", *cells]))
    return "\n".join(lines)


def _markout(result: Outcome) -> str:
    """Mark-outs by cause, market and side."""
    fills, span = result.fills, time_span(result)
    groups: dict[str, npt.NDArray[np.bool_]] = {"all": np.ones(fills.rows, bool)}
    for column in ("cause", "symbol", "side"):
        names = dict.fromkeys(fills[column].tolist())
        groups |= {f"{column} {name}": fills[column] == name for name in names} if len(names) > 1 else {}
    rows = []
    for name, own in groups.items():
        lines = [line for line in markouts(result, own, span) if line["horizon_ns"] in (0, *SHOWN_NS)]
        rows.append([name, f"{int(own.sum()):,}", *(bps(line["all"]) for line in lines)])
    left = [line for row in result.stats["currencies"].values() for line in row["markouts"] if line["horizon_ns"] == SHOWN_NS[-1]]
    return _say(
        "Mark-out: where the market went after our fills, side x (mid - price) over the value traded, each fill by its value. "
        "At fill: the mid before the match that filled us (where we took: the one that our order met), which is the spread earned. "
        "What is lost from there on is what those who traded with us knew: a line that falls to 0 gives the spread back, one that "
        f"stays was paid for waiting. The 95% range is that of {BLOCKS} blocks of equal time, since fills close to each other share a market.",
        _table(["bps of value", "fills", "at fill", *map(horizon_name, SHOWN_NS)], rows),
        f"Left out at {horizon_name(SHOWN_NS[-1])}: {sum(line['past_the_end'] for line in left):,} past the end of the data, "
        f"{sum(line['without_mid'] for line in left):,} without a two-sided market then.",
    )


def _profit(result: Outcome) -> str:
    """The parts of the profit by market."""
    rows = []
    for name, row in result.stats["symbols"].items():
        parts = [row["spread"], row["drift"], -row["fees"], row["profit"]]
        like = max(abs(part or 0.0) for part in parts)
        rows.append([name, row["currency"] or ".", *(money(part, like) for part in parts)])
    return _say(
        "net = spread earned + drift after fills - fees, for each market and in its currency, exact in whole ticks times lots. Spread earned: "
        "side x size x (mid before the fill - price). Drift: side x size x (last mid - mid before the fill), which is what the position gained "
        "from its fills on. Fees: as given; a rebate is income. Unexplained is what the accounts of the run have beyond that: 0.",
        _table(["market", "currency", "spread", "drift", "fees", "net"], rows),
    )


def _fills(result: Outcome) -> str:
    """Fills by cause."""
    fills, size, rows = result.fills, result.fills["size"], []
    for cause in dict.fromkeys(cause for cause in CAUSES if (fills["cause"] == cause).any()):
        own = fills["cause"] == cause
        ahead = fills["ahead"][own & ~np.isnan(fills["ahead"])]
        mean = quantity(round(float(ahead.mean()), 1)) if len(ahead) else "."
        rows.append([FILLED[cause], cause, f"{int(own.sum()):,}", f"{size[own].sum() / size.sum():.1%}", mean])
    return _say(
        "What filled us, and the mean size that stood before us at our price when it came. hft explain ORDER tells the life of an order.",
        _table(["", "cause", "fills", "of size", "ahead"], rows),
    )


def _position(result: Outcome) -> str:
    """Position over time, and turnover."""
    rows = [
        [name, mean_size(row["position_mean"]), quantity(row["position_largest"]), quantity(row["position"])]
        for name, row in result.stats["symbols"].items()
    ]
    turned = result.stats["turnover"]
    return _say(
        "The mean size of the position is weighted by time, from the first to the last event of the markets of the run; long and short count "
        "alike. Turnover is what was traded over twice the mean position, which is how often it was built and closed"
        + ("." if turned is None else f": {turned:.1f} times."),
        _table(["market", "mean", "largest", "end"], rows),
    )


def _ratios(result: Outcome) -> str:
    """Ratios of risk."""
    rows = []
    for name, row in result.stats["currencies"].items():
        found, fall = row["ratios"], row["worst_fall"]
        sharpe = "not given" if found["sharpe"] is None else f"{found['sharpe']:.2f} +- {found['sharpe_error']:.2f}"
        sortino = "not given" if found["sortino"] is None else f"{found['sortino']:.2f}"
        when = "" if fall["time"] is None else clock(fall["time"], True)
        rows.append([name or "profit", f"{found['days']}", sharpe, sortino, money(fall["amount"], sign=False), when])
    return _say(
        "Sharpe: mean over standard deviation of the profit by day (UTC), times the root of the days a year: 252 weekdays, or 365 "
        "where the data have a weekend; days without events count with 0. No interest is taken off, and the capital is constant. "
        f"Under {FEWEST_DAYS} days it means nothing and is not given; its standard error is that of Lo (2002). Sortino: with the deviation "
        "below 0 alone. Worst fall: from the highest profit so far, the start (0) counted, at the points of the equity curve.",
        _table(["currency", "days", "Sharpe", "Sortino", "worst fall", "at"], rows),
    )


FIGURES = {"profit": _profit, "markout": _markout, "fills": _fills, "position": _position, "ratios": _ratios}
