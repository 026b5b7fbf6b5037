"""Strategies that try to get orders past the limits of a desk, under latencies, with fills, refusals, cancels and replacements in flight.

What left is judged afterwards from the journal, by rules in plain Python that know what the client knew at the time; and each check that
is taken away is noticed.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit import examples
from makers.quotes import SECOND, QuoteFeed, walk

import hft
from fastcore.errors import Result
from fastcore.instruments import Instrument
from fastcore.journal import Journal
from fastcore.records import EVENT_DTYPE, KINDS
from fastcore.risk import RiskLimits
from fastcore.tickstore import TickStore
from hft.journal import Inputs, Recording
from hft.strategy import Strategy

MS = 1_000_000
TABLE = (Instrument("A", 0.01, 1.0, currency="USD"), Instrument("B", 0.5, 1.0, multiplier=10.0, currency="USD"))
MIDDLES = (10_000, 2_000)
LIMITS = {
    "max_order_lots": 9, "max_position_lots": 14, "collar_ticks": 6, "max_order_value": 70_000.0, "max_open_orders": 3, "repeat_ns": 30 * MS,
    "messages_per_second": 40, "prevent_self_trade": True, "short_sale": "held", "max_gross_value": 120_000.0, "orders_per_trade": 12,
    "lot_multiple": 2, "min_order_lots": 4,
}  # fmt: skip
OFF = {"max_order_lots": "off", "max_position_lots": "off", "collar_ticks": "off", "prevent_self_trade": False}


class Pushes(Strategy):
    """Wants at random: too much, too far, too often, the same again; and tells nobody but the test what the middle prices were."""

    def on_start(self):
        self.middles = {}
        self.seen = []

    def on_book(self, m):
        if m.two_sided:
            self.middles[m.symbol_id] = (m.bid_ticks + m.ask_ticks) >> 1
        self.seen.append((self.now, dict(self.middles)))
        self.push(m)

    def on_fill(self, m, fill):
        self.push(m)

    def on_order(self, m, order):
        if self.random.random() < 0.2:
            self.push(m)

    def push(self, m):
        draw = self.random
        if not m.two_sided or draw.random() < 0.1:
            m.pull()
            return
        far = draw.choice([0, 0, 0, 1, 2, 8]) * m.tick
        sizes = [draw.choice([1, 2, 2, 4, 4, 6, 8, 9, 10, 30]) * m.lot for _ in range(2)]
        sides = draw.choice([3, 3, 1, 2])
        m.quote(
            bid=m.bid - far if sides & 1 else None, ask=m.ask + far if sides & 2 else None, bid_size=sizes[0], ask_size=sizes[1]
        )


def lived(tmp_path, seed, latency, settings):
    """The journal of a run, and the middle prices as the client knew them."""
    strategy = Pushes()
    events = walk(MIDDLES, seed, 400, 3 * MS, (0, 1, -1, 4, -4, 7, -7))
    path = tmp_path / f"{seed}-{len(list(tmp_path.iterdir()))}.ticks"
    with TickStore(path, "a", EVENT_DTYPE, grow_records=4096) as store:
        recording = Recording(tmp_path, Inputs("backtest", [], {}, {}), Journal(store))
        options = {"latency": latency, "limits": RiskLimits(**settings), "seed": seed, "recording": recording}
        result = hft.backtest(strategy, QuoteFeed(events, TABLE), symbols=["A", "B"], **options)
        return store.records().copy(), strategy.seen, result


def broken(journal, seen, limits):
    """Names of the limits that something which left has broken."""
    orders, sent, out = {}, {}, set()  # id -> [symbol, side, price, worst, state, filled]; symbol, side -> the last one
    position, unit = [0, 0], [float(i.unit_value) for i in TABLE]
    middles, at, messages, fills, times = {}, 0, 0, 0, []

    def lots(symbol, side, without=None):
        return sum(o[3] for n, o in orders.items() if o[0] == symbol and o[1] == side and n != without)

    def gross(symbol, side, extra, without):
        total = 0.0
        for i in (0, 1):
            buys, sells = (lots(i, s, without) + (extra if (i, s) == (symbol, side) else 0) for s in (1, -1))
            total += max(abs(position[i] + buys), abs(position[i] - sells)) * middles.get(i, 0) * unit[i]
        return total

    for e in journal:
        kind, symbol, side, now = int(e["kind"]), int(e["symbol_id"]), int(e["side"]), int(e["local_ns"])
        price, size, number, other = (int(e[name]) for name in ("price", "size", "order_id", "match_id"))
        while at < len(seen) and seen[at][0] <= now:
            middles, at = seen[at][1], at + 1
        if kind in (KINDS["order"], KINDS["replace"]):
            old = number if kind == KINDS["replace"] else None
            new = other if kind == KINDS["replace"] else number
            size -= orders[old][5] if old in orders else 0  # a replacement says what is wanted in all
            judged = {
                "max_order_lots": size > limits["max_order_lots"],
                "min_order_lots": size < limits["min_order_lots"],
                "lot_multiple": size % limits["lot_multiple"] != 0,
                "max_order_value": price * size * unit[symbol] > limits["max_order_value"],
                "max_position_lots": side * position[symbol] + lots(symbol, side, old) + size > limits["max_position_lots"],
                "collar_ticks": abs(price - middles[symbol]) > limits["collar_ticks"],
                "max_open_orders": old is None and len(orders) >= limits["max_open_orders"],
                "repeat_ns": (last := sent.get((symbol, side))) is not None
                and last[:2] == (price, size) and now - last[2] <= limits["repeat_ns"],
                "messages_per_second": len([t for t in times if t > now - SECOND]) >= 2 * limits["messages_per_second"],
                "prevent_self_trade": any(
                    o[0] == symbol and o[1] == -side and o[4] != "pulled" and side * price >= side * o[2] for o in orders.values()
                ),
                "short_sale": limits["short_sale"] is not None and side == -1
                and size > position[symbol] - lots(symbol, -1, old),
                "orders_per_trade": messages >= limits["orders_per_trade"] * (fills + 1),
                "max_gross_value": (after := gross(symbol, side, size, old)) > gross(symbol, side, 0, None)
                and after > limits["max_gross_value"] * (1 + 1e-12),
            }  # fmt: skip
            out |= {name for name, is_broken in judged.items() if is_broken}
            orders[new] = [symbol, side, price, size, "sent", 0]
            sent[symbol, side] = price, size, now
            if old is not None and old in orders:
                orders[old][4] = "replaced"
            times.append(now)
            messages += 1
        elif kind == KINDS["ack"] and number in orders:
            orders[number][3] = min(orders[number][3], size)  # what was filled on the way comes off
        elif kind == KINDS["pull"]:
            messages += 1
            if number in orders:
                orders[number][4] = "pulled"
        elif kind == KINDS["fill"]:
            fills += 1
            position[symbol] += side * size
            if number in orders:
                orders[number][3] -= size
                orders[number][5] += size
                if orders[number][3] <= 0 and orders[number][4] == "sent":
                    del orders[number]
        elif kind == KINDS["pulled"]:
            orders.pop(number, None)
        elif kind == KINDS["reject"] and number > 0:
            waits = orders.get(number)
            if waits is not None and waits[4] == "replaced":
                new = max(n for n, o in orders.items() if o[:2] == waits[:2])
                del orders[new]     # what should have taken its place does not exist
                if waits[3] > 0 and other != Result.UNKNOWN_ORDER:
                    waits[4] = "sent"
                else:
                    orders.pop(number, None)
            else:
                orders.pop(number, None)
    return out


LATENCIES = ("0", "1ms", "order=7ms,response=normal(4ms,3ms)", "order=lognormal(6ms,4ms),response=9ms,feed=12ms")


@examples(12)
@given(st.integers(0, 2**32), st.sampled_from(LATENCIES), st.sets(st.sampled_from(sorted(LIMITS)), max_size=6))
def test_nothing_that_left_has_broken_a_limit(tmp_path_factory, seed, latency, without):
    settings = LIMITS | {name: OFF.get(name) for name in without}
    journal, seen, result = lived(tmp_path_factory.mktemp("run"), seed, latency, settings)
    assert broken(journal, seen, LIMITS) <= without


@pytest.mark.parametrize("name", sorted(LIMITS))
def test_check_that_is_taken_away_is_noticed(tmp_path, name):
    """Alone and among all others, whatever the latency."""
    for others in (LIMITS, dict.fromkeys(LIMITS) | OFF):
        settings = others | {name: OFF.get(name)}
        assert any(
            name in broken(*lived(tmp_path, seed, LATENCIES[seed % len(LATENCIES)], settings)[:2], LIMITS) for seed in range(40)
        )
