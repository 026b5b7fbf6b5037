"""Strategies that try to get orders past the limits of a desk, under latencies, with fills, refusals, cancels and replacements in flight.

What left is judged afterwards from the journal, by rules in plain Python that know what the client knew at the time; and each check that
is taken away is noticed.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit import examples
from makers.own_orders import OwnOrders
from makers.quotes import SECOND, QuoteFeed, walk

import hft
from fastcore.instruments import Instrument
from fastcore.journal import Journal
from fastcore.records import EVENT_DTYPE, KINDS
from fastcore.risk import RiskLimits
from fastcore.tickstore import TickStore
from hft.journal import Inputs, Recording
from hft.strategy import Strategy

MS = 1_000_000
SENDS = {KINDS[name]: name for name in ("order", "replace", "amend")}
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


class Moves(Pushes):
    """Sends small orders and moves them at random: too far, too much, against each other; or quietly, where nothing fills them."""

    def on_start(self):
        super().on_start()
        self.own, self.quiet = [], self.random.random() < 0.3

    def push(self, m):
        draw = self.random
        self.own = [order for order in self.own if not order.done]
        if not m.two_sided:
            return
        if not self.quiet and draw.random() < 0.1:
            m.target(draw.choice([0, 4, 8, -4, 30, None]), draw.choice([None, "0s"]))
        elif len(self.own) < 2 or draw.random() < 0.1:
            far, buys = 4 if self.quiet else 2, draw.random() < 0.6
            self.own.append(m.buy(4, price_ticks=m.bid_ticks - far) if buys else m.sell(4, price_ticks=m.ask_ticks + far))
        elif not self.quiet and draw.random() < 0.1:
            draw.choice(self.own).cancel()
        else:
            middle, order = (m.bid_ticks + m.ask_ticks) // 2, draw.choice(self.own)
            if self.quiet:
                order.move(price_ticks=middle - order.side * draw.choice([5, 6]), size_lots=draw.choice([4, 6, 8]))
            else:
                away = draw.choice([-9, -3, -2, -1, 1, 2, 3, 9])
                order.move(price_ticks=draw.choice([None, middle + away]), size_lots=draw.choice([2, 4, 5, 8, 10, 30]))


def lived(tmp_path, seed, latency, settings, kind=Pushes):
    """The journal of a run, and the middle prices as the client knew them."""
    strategy = kind()
    events = walk(MIDDLES, seed, 400, 3 * MS, (0, 1, -1, 4, -4, 7, -7))
    path = tmp_path / f"{seed}-{len(list(tmp_path.iterdir()))}.ticks"
    with TickStore(path, "a", EVENT_DTYPE, grow_records=4096) as store:
        recording = Recording(tmp_path, Inputs("backtest", [], {}, {}), Journal(store))
        options = {"latency": latency, "limits": RiskLimits(**settings), "seed": seed, "recording": recording}
        result = hft.backtest(strategy, QuoteFeed(events, TABLE), symbols=["A", "B"], **options)
        return store.records().copy(), strategy.seen, result


def broken(journal, seen, limits):
    """Names of the limits that something which left has broken, with the kind of the message: order, replace or amend."""
    own, sent, out = OwnOrders(), {}, set()  # symbol, side -> the last one
    unit = [float(i.unit_value) for i in TABLE]
    middles, at, messages, fills, times = {}, 0, 0, 0, []

    def gross(symbol, side, extra, without):
        total = 0.0
        for i in (0, 1):
            buys, sells = (own.lots(i, s, without) + (extra if (i, s) == (symbol, side) else 0) for s in (1, -1))
            held = own.position.get(i, 0)
            total += max(abs(held + buys), abs(held - sells)) * middles.get(i, 0) * unit[i]
        return total

    for e in journal:
        kind, symbol, side, now, price = (int(e[name]) for name in ("kind", "symbol_id", "side", "local_ns", "price"))
        while at < len(seen) and seen[at][0] <= now:
            middles, at = seen[at][1], at + 1
        if kind in SENDS:
            _, old, size = own.change(e)
            held = own.position.get(symbol, 0)
            judged = {
                "max_order_lots": size > limits["max_order_lots"],
                "min_order_lots": size < limits["min_order_lots"],
                "lot_multiple": size % limits["lot_multiple"] != 0,
                "max_order_value": price * size * unit[symbol] > limits["max_order_value"],
                "max_position_lots": side * held + own.lots(symbol, side, old) + size > limits["max_position_lots"],
                "collar_ticks": abs(price - middles[symbol]) > limits["collar_ticks"],
                "max_open_orders": old is None and len(own.live) >= limits["max_open_orders"],
                "repeat_ns": (last := sent.get((symbol, side))) is not None
                and last[:2] == (price, size) and now - last[2] <= limits["repeat_ns"],
                "messages_per_second": len([t for t in times if t > now - SECOND]) >= 2 * limits["messages_per_second"],
                "prevent_self_trade": any(
                    side * price >= side * at for o in own.live.values() if (o.symbol, o.side) == (symbol, -side) for at in o.prices
                ),
                "short_sale": limits["short_sale"] is not None and side == -1 and size > held - own.lots(symbol, -1, old),
                "orders_per_trade": messages >= limits["orders_per_trade"] * (fills + 1),
                "max_gross_value": (after := gross(symbol, side, size, old)) > gross(symbol, side, 0, None)
                and after > limits["max_gross_value"] * (1 + 1e-12),
            }  # fmt: skip
            out |= {(name, SENDS[kind]) for name, is_broken in judged.items() if is_broken}
            sent[symbol, side] = price, size, now
            times.append(now)
        messages += kind in SENDS or kind == KINDS["pull"]
        fills += kind == KINDS["fill"]
        own.add(e)
    return out


LATENCIES = ("0", "1ms", "order=7ms,response=normal(4ms,3ms)", "order=lognormal(6ms,4ms),response=9ms,feed=12ms")


@examples(12)
@given(
    st.integers(0, 2**32), st.sampled_from(LATENCIES), st.sets(st.sampled_from(sorted(LIMITS)), max_size=6), st.sampled_from([Pushes, Moves])
)  # fmt: skip
def test_nothing_that_left_has_broken_a_limit(tmp_path_factory, seed, latency, without, kind):
    settings = LIMITS | {name: OFF.get(name) for name in without}
    journal, seen, result = lived(tmp_path_factory.mktemp("run"), seed, latency, settings, kind)
    assert {name for name, _ in broken(journal, seen, LIMITS)} <= without


@pytest.mark.parametrize("kind", [Pushes, Moves])
@pytest.mark.parametrize("name", sorted(LIMITS))
def test_check_that_is_taken_away_is_noticed(tmp_path, name, kind):
    """Alone and among all others, whatever the latency; of orders that are moved by the amendments alone."""
    if (kind, name) == (Moves, "max_open_orders"):
        return  # no amendment is another order
    messages = {"amend"} if kind is Moves else {"order", "replace"}
    for others in (LIMITS, dict.fromkeys(LIMITS) | OFF):
        settings = others | {name: OFF.get(name)}
        assert any(
            {(name, message) for message in messages}
            & broken(*lived(tmp_path, seed, LATENCIES[seed % len(LATENCIES)], settings, kind)[:2], LIMITS)
            for seed in range(40)
        )
