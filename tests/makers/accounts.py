"""Limits without a desk: a market, orders that pass or are refused, fills and cancels; and the rules once more, in fractions."""

import random
from fractions import Fraction
from itertools import count

from fastcore.errors import Result
from fastcore.instruments import Instrument
from fastcore.risk import CHECKS, RiskLimits, _Account

SECOND = 10**9
NOW = 10**18
FUTURE = Instrument("ESH6", 0.25, 1.0, increment_ticks=2, multiplier=50.0, currency="USD")
LIMITS = {"max_order_lots": 100, "max_position_lots": 1000, "collar_ticks": 50}


class Account:
    """The side of a client: orders by number, what works, a position, and the time."""

    def __init__(self, instrument=FUTURE, limits=None, **settings):
        self.limits = RiskLimits(**{**LIMITS, **settings}) if limits is None else limits
        self.inside = _Account(self.limits, 0, instrument)
        self.now = NOW
        self.orders = {}  # number -> [side, price, lots left]
        self.number = self.position = 0
        self.market()

    def market(self, bid=9_998, ask=10_002, last=10_000, age=0, **state):
        self.bid, self.ask, self.last = bid, ask, last
        self.inside.market(bid, ask, last, self.now - age, **state)

    def open_lots(self, side):
        return sum(lots for s, _, lots in self.orders.values() if s == side)

    def order(self, side, price, lots=1, *, replaces=None, after=0):
        """Send an order where it passes; return its number, or minus the result code."""
        self.now += after
        prices = {s: [p for n, (own, p, _) in self.orders.items() if own == s and n != replaces] for s in (1, -1)}
        self.inside.own(max(prices[1], default=None), min(prices[-1], default=None))
        freed = 0 if replaces is None else self.orders[replaces][2]
        slow = self.inside.order(side, price, lots, self.now, freed, replaces is not None, False)
        quick = self.inside.order(side, price, lots, self.now, freed, replaces is not None)
        assert quick == slow, "the bounds and the rules say the same"
        if quick:
            return -quick
        self.inside.sent(side, price, lots, self.now)
        if replaces is not None:
            self.inside.freed(side, freed, True)
            del self.orders[replaces]
        self.number += 1
        self.orders[self.number] = [side, price, lots]
        return self.number

    def fill(self, number, lots, price=None):
        side, own, left = self.orders[number]
        self.inside.fill(side, own if price is None else price, lots, self.now, lots == left)
        self.inside.settle()
        self.position += side * lots
        self.orders[number][2] -= lots
        if lots == left:
            del self.orders[number]

    def cancel(self, number):
        self.inside.cancel(self.now)
        self.inside.freed(self.orders[number][0], self.orders[number][2], True)
        del self.orders[number]


# Every limit on, such that random orders break each of them now and then; amounts of money that no sum hits exactly.
EVERYTHING = {
    "max_order_lots": 12, "min_order_lots": 4, "lot_multiple": 2, "max_position_lots": 30, "collar_ticks": 20, "last_collar_ticks": 22,
    "max_order_value": 1_300_000.37, "require_increment": True, "require_trading": True, "refuse_crossed": True, "stale_ns": 5 * SECOND,
    "feed_lag_ns": 1_000, "clock_error_ns": 1_000, "prevent_self_trade": True, "short_sale": "above_bid", "repeat_ns": SECOND,
    "max_open_orders": 4, "max_gross_value": 3_000_000.37, "max_net_value": 2_500_000.37, "groups": {"g": (2_300_000.37, 2_000_000.37)},
    "buying_power": 1_800_000.37, "messages_per_second": 3, "messages_per_minute": 12, "orders_per_trade": 7,
    "max_realised_loss": 500.37, "max_unrealised_loss": 1_500.37, "max_day_loss": 1_200.37, "max_drawdown": 1_700.37,
    "max_fills_per_minute": 6, "enabled": True,
}  # fmt: skip
FIRST = {"group": "g", "margin": 0.15}  # of the first of two instruments
UNIT = FUTURE.unit_value


class Bucket:
    """Tokens in fractions."""

    def __init__(self, most, span):
        self.most, self.span, self.level, self.last = most, span, Fraction(most or 0), 0

    def at(self, now):
        return min(Fraction(self.most), self.level + Fraction(self.most * max(0, now - self.last), self.span))

    def take(self, now):
        self.level, self.last = max(self.at(now) - 1, Fraction(-self.most)), max(self.last, now)


class Pair:
    """Two instruments under one set of limits: the compiled limits, which may lack one of them, and the rules in plain Python."""

    def __init__(self, settings, off=None):
        self.want = {**dict.fromkeys(EVERYTHING), "groups": {}, **LIMITS, **settings}
        given = {**LIMITS, **settings}
        if off is not None:
            given[off] = {"max_order_lots": "off", "max_position_lots": "off", "collar_ticks": "off"}.get(off)
            given[off] = {} if off == "groups" else False if isinstance(settings[off], bool) else given[off]
        self.limits = RiskLimits(**given)
        own = {name: value for name, value in FIRST.items() if name != "group" or given.get("groups")}
        self.limits.change(symbol_id=0, **own)
        self.inside = [_Account(self.limits, i, FUTURE) for i in range(2)]
        self.now, self.newest, self.killed = NOW, 0, None
        self.orders = {}  # number -> [instrument, side, price, lots that may still be filled, leaves]
        self.number = count(1)
        self.position, self.cash, self.cost = [0, 0], [0, 0], [Fraction(0), Fraction(0)]
        self.state = [{}, {}]
        self.sent = {}  # instrument, side -> price, lots, time
        self.messages = self.fills = 0
        self.second = Bucket(self.want["messages_per_second"], SECOND)
        self.minute = Bucket(self.want["messages_per_minute"], 60 * SECOND)
        self.executions = Bucket(self.want["max_fills_per_minute"], 60 * SECOND)
        self.reference, self.peak = [10_000, 10_000], 0
        for i in range(2):
            self.market(i, 9_998, 10_002, 10_000)

    # ---- what happens ----

    def market(self, i, bid, ask, last, age=0, lag=0, trading=True):
        self.state[i] = {"bid": bid, "ask": ask, "last": last, "seen": self.now - age, "lag": lag, "trading": trading}
        self.inside[i].market(bid, ask, last, self.now - age, lag, trading)
        if bid < ask:
            self.reference[i] = (bid + ask) // 2
        self.settle()

    def mark(self, i, reference):
        """The reference price moves, and nothing else."""
        self.reference[i] = reference
        self.inside[i].mark(reference)
        self.settle()

    def settle(self):
        self.inside[1].settle_sums()
        self.inside[0].settle()
        realised, unrealised = self.profit()
        self.peak = max(self.peak, realised + unrealised)
        broken = {
            Result.LOSS_REALISED: ("max_realised_loss", -realised),
            Result.LOSS_UNREALISED: ("max_unrealised_loss", -unrealised),
            Result.LOSS_DAY: ("max_day_loss", -realised - unrealised),
            Result.LOSS_DRAWDOWN: ("max_drawdown", self.peak - realised - unrealised),
        }
        for result, (name, loss) in broken.items():
            if self.want[name] is not None and loss > self.want[name] and self.killed is None:
                self.killed = result

    def profit(self):
        realised = sum(cash + cost for cash, cost in zip(self.cash, self.cost, strict=True)) * UNIT
        marked = sum(p * r for p, r in zip(self.position, self.reference, strict=True)) - sum(self.cost)
        return realised, marked * UNIT

    def message(self):
        self.messages += 1
        for bucket in (self.second, self.minute):
            if bucket.most:
                bucket.take(self.now)

    def order(self, i, side, price, lots, replaces=None):
        """Send an order where it passes; return (what the limits say, what the rules say)."""
        best = [[], []]  # prices at which own orders may trade
        for number, (own, s, own_price, left, leaves) in self.orders.items():
            if own == i and left and leaves != "cancel" and number != replaces:
                best[s < 0].append(own_price)
        freed = 0 if replaces is None else self.orders[replaces][3]
        self.inside[i].own(max(best[0], default=None), min(best[1], default=None))
        expected = self.judge(i, side, price, lots, freed, replaces, best)
        found = self.inside[i].order(side, price, lots, self.now, freed, replaces is not None, False)
        quick = self.inside[i].order(side, price, lots, self.now, freed, replaces is not None)
        if quick == found == expected == Result.OK:
            self.newest = self.now
            self.inside[i].sent(side, price, lots, self.now)
            self.message()
            self.sent[i, side] = price, lots, self.now
            if replaces is not None:
                self.orders[replaces][4] = "replaced"
            self.orders[next(self.number)] = [i, side, price, lots, None]
        return found, quick, expected

    def cancel(self, number):
        self.orders[number][4] = "cancel"
        self.inside[0].cancel(self.now)
        self.message()

    def gone(self, number):
        """A cancel, a replacement or a refusal of the venue is answered: nothing of the order works any more."""
        i, side, _, left, _ = self.orders.pop(number)
        self.inside[i].freed(side, left, True)
        self.settle()

    def fill(self, number, lots):
        i, side, price, left, _ = self.orders[number]
        self.inside[i].fill(side, price, lots, self.now, lots == left)
        self.orders[number][3] -= lots
        if lots == left:
            del self.orders[number]
        signed = side * lots
        held = self.position[i]
        if held * signed >= 0:
            self.cost[i] += price * signed
        elif abs(signed) < abs(held):
            self.cost[i] -= self.cost[i] * Fraction(lots, abs(held))
        else:
            self.cost[i] = Fraction(price * (held + signed))
        self.position[i] += signed
        self.cash[i] -= price * signed
        self.fills += 1
        if self.executions.most:
            self.executions.take(self.now)
            if self.executions.level < 0 and self.killed is None:
                self.killed = Result.REPEATED_FILLS
        self.settle()

    # ---- the rules ----

    def worst(self, i, side, lots=0):
        return sum(left for own, s, _, left, _ in self.orders.values() if own == i and s == side) + lots

    def exposures(self, members, extra=None):
        """Gross, with all buys filled, with all sales filled, margined; `extra`: (instrument, side, lots)."""
        gross = longs = shorts = margined = 0
        for i in members:
            i_extra = extra if extra is not None and extra[0] == i else (i, 0, 0)
            buys, sells = (self.worst(i, s, i_extra[2] if i_extra[1] == s else 0) for s in (1, -1))
            most, least = self.position[i] + buys, self.position[i] - sells
            lot = self.reference[i] * 12.5  # exact, as are sums of it
            gross, longs, shorts = gross + max(abs(most), abs(least)) * lot, longs + most * lot, shorts + least * lot
            margined += max(abs(most), abs(least)) * lot * (0.15 if i == 0 else 1.0)
        return gross, longs, shorts, margined

    def judge(self, i, side, price, lots, freed, replaces, best):
        w, m = self.want, self.state[i]

        def over(name, value):
            return w[name] is not None and value > w[name]

        def beyond(members, gross, net):
            before, after = self.exposures(members), self.exposures(members, (i, side, lots - freed))
            rises = after[1] > before[1] if side == 1 else after[2] < before[2]
            return (
                gross is not None and after[0] > before[0] and after[0] > gross,
                net is not None and rises and (after[1] if side == 1 else -after[2]) > net,
            )

        same, realised_unrealised = self.worst(i, side, lots - freed), sum(self.profit())
        all_gross, all_net = beyond((0, 1), w["max_gross_value"], w["max_net_value"])
        group_gross, group_net = beyond((0,), *w["groups"]["g"]) if i == 0 and w["groups"] else (False, False)
        margin_before, margin_after = self.exposures((0, 1))[3], self.exposures((0, 1), (i, side, lots - freed))[3]
        last = self.sent.get((i, side))
        held = self.position[i] - self.worst(i, -1, -freed)
        opposite = best[1] if side == 1 else best[0]
        broken = {
            self.killed: self.killed is not None,
            Result.DISABLED: w["enabled"] is False,
            Result.NOT_TRADING: w["require_trading"] and not m["trading"],
            Result.BAD_CLOCK: w["clock_error_ns"] is not None and (self.now < self.newest or m["seen"] - self.now > w["clock_error_ns"]),
            Result.BAD_SIZE: lots < 1,
            Result.BAD_PRICE: price < 1,
            Result.OFF_INCREMENT: w["require_increment"] and price % FUTURE.increment_ticks,
            Result.OFF_LOT: w["lot_multiple"] and lots % w["lot_multiple"],
            Result.LIMIT_MINIMUM: w["min_order_lots"] is not None and lots < w["min_order_lots"],
            Result.LIMIT_SIZE: over("max_order_lots", lots),
            Result.LIMIT_VALUE: over("max_order_value", price * lots * UNIT),
            Result.LIMIT_POSITION: side * self.position[i] + same > w["max_position_lots"],
            Result.LIMIT_COLLAR: abs(price - self.reference[i]) > w["collar_ticks"],
            Result.LIMIT_LAST: over("last_collar_ticks", abs(price - m["last"])),
            Result.STALE_MARKET: over("stale_ns", self.now - m["seen"]),
            Result.CROSSED_MARKET: w["refuse_crossed"] and m["bid"] >= m["ask"],
            Result.FEED_LAG: over("feed_lag_ns", m["lag"]),
            Result.SHORT_SALE: w["short_sale"] and side == -1 and lots > held and price <= m["bid"],
            Result.SELF_TRADE: w["prevent_self_trade"] and any(side * price >= side * own for own in opposite),
            Result.REPEATED_ORDER: w["repeat_ns"] is not None and last is not None and last[:2] == (price, lots)
            and self.now - last[2] <= w["repeat_ns"],
            Result.LIMIT_ORDERS: replaces is None and over("max_open_orders", len(self.orders) + 1),
            Result.LIMIT_GROSS: all_gross,
            Result.LIMIT_NET: all_net,
            Result.LIMIT_GROUP_GROSS: group_gross,
            Result.LIMIT_GROUP_NET: group_net,
            Result.BUYING_POWER: margin_after > margin_before and over("buying_power", margin_after - realised_unrealised),
            Result.RATE_SECOND: self.second.most and self.second.at(self.now) < 1,
            Result.RATE_MINUTE: self.minute.most and self.minute.at(self.now) < 1,
            Result.ORDER_TO_TRADE: w["orders_per_trade"] is not None and self.messages >= w["orders_per_trade"] * (self.fills + 1),
        }  # fmt: skip
        return next((result for result in CHECKS if broken.get(result)), Result.OK)


def drive(seed, settings, off=None, steps=120):
    """Random life of two instruments; return the first order about which limits and rules differ, or None, and the results."""
    rng, pair, results = random.Random(seed), Pair(settings, off), []
    for _ in range(steps):
        pair.now += rng.choice([0, 1, SECOND // 20, SECOND // 20, SECOND // 3, SECOND] + [7 * SECOND] * (rng.random() < 0.05))
        what, i = rng.random(), rng.randrange(2)
        works = [n for n, order in pair.orders.items() if order[4] is None]
        if what < 0.2:
            middle = 2 * rng.randrange(4_990, 5_010)
            odd = rng.random()
            pair.market(
                i, middle - 2, middle + (2 if odd > 0.05 else -2), middle + rng.randrange(-9, 9), rng.choice([0] * 30 + [6 * SECOND, -2_000]),
                rng.choice([0] * 30 + [999, 2_000]), rng.random() > 0.02,
            )  # fmt: skip
        elif what < 0.25:
            pair.mark(i, rng.randrange(9_980, 10_020))
        elif what < 0.3 and pair.orders:
            number = rng.choice(list(pair.orders))
            pair.fill(number, rng.randint(1, pair.orders[number][3]))
        elif what < 0.36 and works:
            pair.cancel(rng.choice(works))
        elif what < 0.46 and pair.orders:
            pair.gone(rng.choice(list(pair.orders)))
        else:
            replaces = rng.choice(works) if works and rng.random() < 0.25 else None
            side = rng.choice([1, -1])
            if replaces is not None:
                i, side = pair.orders[replaces][:2]
            near = pair.reference[i] // 2 * 2 + rng.choice([0, 0, 2, -2, 4, -4, 8, -8, 16, -16] * 3 + [1, 20, 22, -22, 26])
            if rng.random() < 0.15 and (i, side) in pair.sent:
                order = i, side, *pair.sent[i, side][:2]
            else:
                order = i, side, rng.choice([near] * 30 + [0, -5, 2**62]), rng.choice([4, 6, 8, 10] * 6 + [2, 12, 3, 14, 0])
            now, pair.now = pair.now, pair.now - (2 if rng.random() < 0.03 else 0)
            found = pair.order(*order, replaces)
            pair.now = now
            results.append(found[2])
            if len(set(found)) > 1:
                return (order, replaces, found), results
            if pair.killed is not None:
                break
    return None, results
