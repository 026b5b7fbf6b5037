# cython: freethreading_compatible=True
"""Pre-trade limits: the last thing that an order passes before it is encoded.

Every check is off or has a value, the first broken rule of `CHECKS` is named, and what cannot be computed refuses. Three of them are
required: a largest order, a largest position and a collar that nobody configured reject every order, so that forgetting one cannot
open the gate; ``"off"`` says that one is not wanted. Cancels always pass. docs/risk.md has the table.
"""

import mmap
import os
from fractions import Fraction
from typing import NamedTuple

cimport cython

from libc.math cimport INFINITY, NAN, fabs, isfinite
from libc.stdint cimport INT64_MAX, INT64_MIN, int8_t, int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from fastcore._integers cimport as_int64, int64_in
from fastcore.clock cimport clock_wall_ns
from fastcore.money cimport money_add, money_double, money_sub, money_t
from fastcore.portfolio cimport position_fill, position_realised, position_unrealised
from fastcore.records cimport (
    BUY, NO_PRICE, NO_SYMBOL, RESULT_BAD_CLOCK, RESULT_BAD_PRICE, RESULT_BAD_SIZE, RESULT_BUYING_POWER, RESULT_CROSSED_MARKET, RESULT_DISABLED,
    RESULT_FEED_LAG, RESULT_KILLED, RESULT_LIMIT_COLLAR, RESULT_LIMIT_GROSS, RESULT_LIMIT_GROUP_GROSS, RESULT_LIMIT_GROUP_NET,
    RESULT_LIMIT_LAST, RESULT_LIMIT_MINIMUM, RESULT_LIMIT_NET, RESULT_LIMIT_ORDERS, RESULT_LIMIT_POSITION, RESULT_LIMIT_SIZE,
    RESULT_LIMIT_VALUE, RESULT_LOSS_DAY, RESULT_LOSS_DRAWDOWN, RESULT_LOSS_REALISED, RESULT_LOSS_UNREALISED, RESULT_NO_REFERENCE,
    RESULT_NOT_TRADING, RESULT_OFF_INCREMENT, RESULT_OFF_LOT, RESULT_OK, RESULT_ORDER_TO_TRADE, RESULT_RATE_MINUTE, RESULT_RATE_SECOND,
    RESULT_REPEATED_FILLS, RESULT_REPEATED_ORDER, RESULT_SELF_TRADE, RESULT_SHORT_SALE, RESULT_STALE_MARKET, RESULT_UNKNOWN_SYMBOL, SELL,
    load_acquire, store_release,
)

from fastcore.errors import RESULTS, Result, RiskError, raise_result

cdef extern from "fc_checked.h" nogil:
    bint fc_add_overflow(int64_t a, int64_t b, int64_t* result)
    bint fc_sub_overflow(int64_t a, int64_t b, int64_t* result)
    uint64_t fc_magnitude(int64_t a)

cdef extern from "fc_cut.h" nogil:
    ctypedef struct watch_t "fc_watch_t":
        uint64_t cut
    watch_t* fc_watch(const void* p, size_t bytes)
    void fc_unwatch(watch_t* watch)

__all__ = ["CHECKS", "Change", "KillSwitch", "RiskLimits", "rate_inverted"]

# In the order in which they are judged.
CHECKS = tuple([Result(code) for code in (
    RESULT_KILLED, RESULT_LOSS_REALISED, RESULT_LOSS_UNREALISED, RESULT_LOSS_DAY, RESULT_LOSS_DRAWDOWN, RESULT_REPEATED_FILLS,
    RESULT_UNKNOWN_SYMBOL, RESULT_DISABLED, RESULT_NOT_TRADING, RESULT_BAD_CLOCK, RESULT_BAD_SIZE, RESULT_BAD_PRICE, RESULT_OFF_INCREMENT,
    RESULT_OFF_LOT, RESULT_LIMIT_MINIMUM, RESULT_LIMIT_SIZE, RESULT_LIMIT_VALUE, RESULT_LIMIT_POSITION, RESULT_NO_REFERENCE,
    RESULT_LIMIT_COLLAR, RESULT_LIMIT_LAST, RESULT_STALE_MARKET, RESULT_CROSSED_MARKET, RESULT_FEED_LAG, RESULT_SHORT_SALE,
    RESULT_SELF_TRADE, RESULT_REPEATED_ORDER, RESULT_LIMIT_ORDERS, RESULT_LIMIT_GROSS, RESULT_LIMIT_NET, RESULT_LIMIT_GROUP_GROSS,
    RESULT_LIMIT_GROUP_NET, RESULT_BUYING_POWER, RESULT_RATE_SECOND, RESULT_RATE_MINUTE, RESULT_ORDER_TO_TRADE,
)])

cdef double MILLION = 1e6


# ---- rules ----

cdef inline bint priced(const risk_symbol_t* s, int64_t ticks) noexcept nogil:
    return ticks > 0 or (s.signed_prices and ticks != NO_PRICE)


cdef inline bint two_sided(const risk_symbol_t* s) noexcept nogil:
    return risk_two_sided(s.bid, s.ask)


cdef inline bint beyond(int64_t price, int64_t reference, int64_t collar) noexcept nogil:
    # Whether a price is further from another than a collar allows.
    cdef int64_t distance
    return fc_sub_overflow(price, reference, &distance) or fc_magnitude(distance) > <uint64_t> collar


cdef inline bint on_increment(const risk_symbol_t* s, int64_t ticks) noexcept nogil:
    return fc_magnitude(ticks) % <uint64_t> (s.increment_ticks if ticks >= s.low_below_ticks else s.low_increment_ticks) == 0


cdef inline int64_t late(int64_t a, int64_t b) noexcept nogil:
    # a + b, b not negative, or as late as there is.
    cdef int64_t sum
    return INT64_MAX if fc_add_overflow(a, b, &sum) else sum


cdef inline double worth_of(const risk_symbol_t* s, int64_t ticks, double lots) noexcept nogil:
    # Magnitude of the value of lots, in millionths of the currency of the limits; NaN where it cannot be computed.
    if s.inverse:
        return fabs(lots) / <double> ticks * 1e9 * s.worth if ticks > 0 else NAN
    return fabs(lots * <double> ticks) * s.worth


cdef inline bint put(double value, int64_t* out) noexcept nogil:
    # Away from zero; False where it cannot be computed.
    if not fabs(value) < 4.6e18:
        return False
    out[0] = <int64_t> value
    if <double> out[0] != value:
        out[0] += 1 if value > 0.0 else -1
    return True


cdef bint exposure(
    const risk_symbol_t* s, int64_t position, int64_t buys, int64_t sells, int64_t* gross, int64_t* longs, int64_t* shorts
) noexcept nogil:
    # What a position and open orders amount to at the reference price; False where it cannot be computed.
    cdef double most = <double> position + <double> buys, least = <double> position - <double> sells, lot
    if most == 0.0 and least == 0.0:
        gross[0] = longs[0] = shorts[0] = 0
        return True
    if not priced(s, s.reference_ticks):
        return False
    lot = worth_of(s, s.reference_ticks, 1.0)
    return put(lot * max(fabs(most), fabs(least)), gross) and put(lot * most, longs) and put(lot * least, shorts)


cdef inline bint raises(const total_t* total, int64_t before, int64_t after, double most) noexcept nogil:
    # Whether a sum rises beyond its limit when one of its parts changes.
    return after > before and total.near - <double> before + <double> after > most


cdef int judge_money(const risk_gate_t* g, const risk_symbol_t* s, int8_t side, int64_t size, int64_t freed) noexcept nogil:
    cdef int64_t gross = 0, longs = 0, shorts = 0, margined = 0, position = s.position.position_lots
    cdef int64_t buys = s.open_lots[0], sells = s.open_lots[1]
    cdef bint known, group
    cdef const group_t* q
    cdef int code
    if side == BUY:
        buys += size - freed
    else:
        sells += size - freed
    known = g.unknown == 0 and exposure(s, position, buys, sells, &gross, &longs, &shorts)
    known = known and put(<double> gross * s.margin, &margined)
    for group in range(2):
        q = &g.groups[s.group if group else 0]
        if group and s.group == 0:
            break
        if isfinite(q.max_gross) and (not known or raises(&q.gross, s.gross, gross, q.max_gross)):
            return RESULT_LIMIT_GROUP_GROSS if group else RESULT_LIMIT_GROSS
        code = RESULT_LIMIT_GROUP_NET if group else RESULT_LIMIT_NET
        if isfinite(q.max_net) and not known:
            return code
        if side == BUY and raises(&q.longs, s.longs, longs, q.max_net):
            return code
        if side == SELL and shorts < s.shorts and q.shorts.near - <double> s.shorts + <double> shorts < -q.max_net:
            return code
    if isfinite(g.buying_power) and (not known or raises(
        &g.margined, s.margined, margined, g.buying_power + g.realised.near + g.unrealised.near
    )):
        return RESULT_BUYING_POWER
    return RESULT_OK


cdef int risk_judge(
    const risk_gate_t* g, const risk_symbol_t* s, int8_t side, int64_t price_ticks, int64_t size_lots, int64_t freed_lots, bint replaces,
    int64_t now_ns,
) noexcept nogil:
    cdef const limits_t* l
    cdef int i = side < 0
    cdef int result
    cdef int64_t open_lots, worst, held
    cdef bint bad
    if g.killed != RESULT_OK:
        return g.killed
    if load_acquire(g.word) != 0:
        return RESULT_KILLED
    if s == NULL:
        return RESULT_UNKNOWN_SYMBOL
    l = &s.limits
    if not l.enabled:
        return RESULT_DISABLED
    if l.trading and not s.trading:
        return RESULT_NOT_TRADING
    if g.clock and (now_ns < g.now_ns or s.seen_ns > late(now_ns, g.clock_error_ns)):
        return RESULT_BAD_CLOCK
    if size_lots <= 0 or (side != BUY and side != SELL):
        return RESULT_BAD_SIZE
    if not priced(s, price_ticks):
        return RESULT_BAD_PRICE
    if l.increment and not on_increment(s, price_ticks):
        return RESULT_OFF_INCREMENT
    if size_lots % l.lot_multiple:
        return RESULT_OFF_LOT
    if size_lots < l.min_order_lots:
        return RESULT_LIMIT_MINIMUM
    if size_lots > l.max_order_lots:
        return RESULT_LIMIT_SIZE
    if isfinite(l.max_order_value) and not worth_of(s, price_ticks, <double> size_lots) <= l.max_order_value:
        return RESULT_LIMIT_VALUE
    # The position in the worst case: every open order of the side filled.
    open_lots = s.open_lots[i] - freed_lots
    if l.max_position_lots < 0 or s.open_lots[0] < 0 or s.open_lots[1] < 0 or open_lots < 0 or s.position.position_lots == NO_PRICE:
        return RESULT_LIMIT_POSITION
    if side == BUY:
        bad = fc_add_overflow(s.position.position_lots, open_lots, &worst)
        bad |= fc_add_overflow(worst, size_lots, &worst)
        if bad or worst > l.max_position_lots:
            return RESULT_LIMIT_POSITION
    else:
        bad = fc_sub_overflow(s.position.position_lots, open_lots, &worst)
        bad |= fc_sub_overflow(worst, size_lots, &worst)
        if bad or worst < -l.max_position_lots:
            return RESULT_LIMIT_POSITION
    if l.collar_ticks != LIMIT_OFF:
        if not priced(s, s.reference_ticks):
            return RESULT_NO_REFERENCE
        if l.collar_ticks < 0 or beyond(price_ticks, s.reference_ticks, l.collar_ticks):
            return RESULT_LIMIT_COLLAR
    if l.last_collar_ticks >= 0 and (s.last_ticks == NO_PRICE or beyond(price_ticks, s.last_ticks, l.last_collar_ticks)):
        return RESULT_LIMIT_LAST
    if l.stale_ns != INT64_MAX and (s.stale or s.seen_ns == INT64_MIN or now_ns > late(s.seen_ns, l.stale_ns)):
        return RESULT_STALE_MARKET
    if l.crossed and not two_sided(s):
        return RESULT_CROSSED_MARKET
    if s.lag_ns > l.feed_lag_ns:
        return RESULT_FEED_LAG
    if side == SELL and l.short_sale != SHORT_ALLOWED and (
        fc_sub_overflow(s.position.position_lots, open_lots, &held) or size_lots > held
    ) and (l.short_sale == SHORT_REFUSED or s.bid == NO_PRICE or price_ticks <= s.bid):
        return RESULT_SHORT_SALE
    if l.self_trade and s.own_ticks[1 - i] != NO_PRICE and (
        price_ticks >= s.own_ticks[1] if side == BUY else price_ticks <= s.own_ticks[0]
    ):
        return RESULT_SELF_TRADE
    if l.repeat_ns >= 0 and size_lots == s.sent_lots[i] and price_ticks == s.sent_ticks[i] and now_ns <= late(s.sent_ns[i], l.repeat_ns):
        return RESULT_REPEATED_ORDER
    if not replaces and g.open_orders >= g.max_open_orders:
        return RESULT_LIMIT_ORDERS
    if g.money:
        result = judge_money(g, s, side, size_lots, freed_lots)
        if result != RESULT_OK:
            return result
    if now_ns < g.second.free_ns:
        return RESULT_RATE_SECOND
    if now_ns < g.minute.free_ns:
        return RESULT_RATE_MINUTE
    if g.orders_per_trade and g.messages >= g.orders_per_trade * (g.fills + 1):
        return RESULT_ORDER_TO_TRADE
    return RESULT_OK


cdef int risk_slow(
    risk_gate_t* g, risk_symbol_t* s, int8_t side, int64_t price_ticks, int64_t size_lots, int64_t freed_lots, bint replaces, int64_t now_ns
) noexcept nogil:
    cdef int result
    risk_down(g)
    if g.money:
        risk_settle(g)
        risk_sums(g, s)
    if s.dirty or s.sums != g.sums:
        risk_bounds(g, s)
    result = risk_judge(g, s, side, price_ticks, size_lots, freed_lots, replaces, now_ns)
    if result == RESULT_OK:
        g.now_ns = now_ns
        risk_block(g)
    g.by_result[result] += 1
    return result


# ---- what is known ----

cdef inline void trip(risk_gate_t* g, int code) noexcept nogil:
    if g.killed == RESULT_OK:
        g.killed = code


cdef void risk_block(risk_gate_t* g) noexcept nogil:
    # Bounds of the account.
    g.blocked = (
        g.open_orders >= g.max_open_orders
        or (g.orders_per_trade and g.messages >= g.orders_per_trade * (g.fills + 1))
        or (g.money and g.unknown)
    )
    g.not_before_ns = g.second.free_ns if g.second.free_ns > g.minute.free_ns else g.minute.free_ns
    if g.clock and g.now_ns > g.not_before_ns:
        g.not_before_ns = g.now_ns


cdef void risk_losses(risk_gate_t* g) noexcept nogil:
    # A loss limit that is broken, or cannot be judged, keeps everything down.
    cdef double realised, unrealised, profit
    cdef bint unknown
    if not g.money:
        return
    risk_settle(g)
    realised = g.realised.near
    unrealised = g.unrealised.near
    profit = realised + unrealised
    unknown = g.unknown != 0
    if profit > g.peak and not unknown:
        g.peak = profit
    if isfinite(g.max_realised_loss) and (unknown or realised < -g.max_realised_loss):
        trip(g, RESULT_LOSS_REALISED)
    if isfinite(g.max_unrealised_loss) and (unknown or unrealised < -g.max_unrealised_loss):
        trip(g, RESULT_LOSS_UNREALISED)
    if isfinite(g.max_day_loss) and (unknown or profit - g.day_start < -g.max_day_loss):
        trip(g, RESULT_LOSS_DAY)
    if isfinite(g.max_drawdown) and (unknown or g.peak - profit > g.max_drawdown):
        trip(g, RESULT_LOSS_DRAWDOWN)


cdef inline bint change(total_t* total, int64_t before, int64_t after) noexcept nogil:
    # Far below 128 bits: a part is below 2**63. Says whether bounds that were made of the sum hold no longer.
    cdef money_t old, new
    if before == after:
        return False
    old.low = <uint64_t> before
    old.high = -1 if before < 0 else 0
    new.low = <uint64_t> after
    new.high = -1 if after < 0 else 0
    money_sub(total.exact, old, &total.exact)
    money_add(total.exact, new, &total.exact)
    total.near = money_double(total.exact)
    if likely(fabs(total.near - total.bounded) <= total.slack):
        return False
    total.bounded = total.near
    return True


cdef void risk_sums(risk_gate_t* g, risk_symbol_t* s) noexcept nogil:
    # Put what an instrument adds to the sums in the place of what it added.
    cdef int64_t gross = 0, longs = 0, shorts = 0, margined = 0, realised = 0, unrealised = 0
    cdef money_t open_profit, closed
    cdef group_t* q
    cdef int group
    cdef bint known, drifted = False
    if (
        s.reference_ticks == s.summed[0] and s.open_lots[0] == s.summed[1] and s.open_lots[1] == s.summed[2]
        and s.position.position_lots == s.summed[3] and s.position.fills == s.summed[4]
    ):
        return
    s.summed[0], s.summed[1], s.summed[2] = s.reference_ticks, s.open_lots[0], s.open_lots[1]
    s.summed[3], s.summed[4] = s.position.position_lots, s.position.fills
    known = exposure(s, s.position.position_lots, s.open_lots[0], s.open_lots[1], &gross, &longs, &shorts)
    known = known and put(<double> gross * s.margin, &margined)
    if s.position.fills:
        closed = position_realised(&s.position)
        known = (
            known and position_unrealised(&s.position, s.reference_ticks, &open_profit)
            and not money_sub(closed, s.position.fees, &closed)
            and put(money_double(closed) / 1e9 * s.worth, &realised) and put(money_double(open_profit) / 1e9 * s.worth, &unrealised)
        )
    if not known:
        gross = longs = shorts = margined = realised = unrealised = 0
    if (
        gross == s.gross and longs == s.longs and shorts == s.shorts and margined == s.margined and realised == s.realised
        and unrealised == s.unrealised and known != s.unknown
    ):
        return
    for group in range(2 if s.group else 1):
        q = &g.groups[s.group if group else 0]
        drifted |= change(&q.gross, s.gross, gross)
        drifted |= change(&q.longs, s.longs, longs)
        drifted |= change(&q.shorts, s.shorts, shorts)
    drifted |= change(&g.margined, s.margined, margined)
    drifted |= change(&g.realised, s.realised, realised)
    drifted |= change(&g.unrealised, s.unrealised, unrealised)
    g.sums += drifted | (known == s.unknown)
    g.unknown += <int> (not known) - <int> s.unknown
    s.unknown = not known
    s.gross, s.longs, s.shorts, s.margined, s.realised, s.unrealised = gross, longs, shorts, margined, realised, unrealised


cdef inline void risk_owe(risk_gate_t* g, risk_symbol_t* s) noexcept nogil:
    # The sums wait until somebody asks for them: several changes of an instant are one.
    if g.money and not s.owes:
        s.owes = True
        s.next_owing = g.owing
        g.owing = s


cdef void risk_settle(risk_gate_t* g) noexcept nogil:
    cdef risk_symbol_t* s
    if g.owing == NULL:
        return
    while g.owing != NULL:
        s = g.owing
        g.owing = s.next_owing
        s.owes = False
        risk_sums(g, s)
    risk_block(g)


cdef inline double left_of(double limit, double bounded, double slack) noexcept nogil:
    # What a limit leaves at least while the bounds hold.
    return limit - bounded - slack if isfinite(limit) else INFINITY


cdef inline int64_t room_of(double left, double lots_per_worth) noexcept nogil:
    # Lots that are worth what is left of a limit, rather too few.
    cdef double lots
    if left == INFINITY:
        return FAR_LOTS
    lots = (left * (1.0 - 1e-9) - 8.0) * lots_per_worth - 1.0
    return -1 if not lots >= 0.0 else FAR_LOTS if lots >= <double> FAR_LOTS else <int64_t> lots


cdef inline void risk_keys(risk_symbol_t* s) noexcept nogil:
    # The bounds of prices, from those that stay, the reference and own orders.
    cdef bound_t* b
    cdef int64_t low, high, sign, own
    cdef int i
    for i in range(2):
        b = &s.bounds[i]
        sign = 1 - 2 * i
        low, high, own = b.least_key, b.most_key, s.own_ticks[1 - i]
        if s.collar_ticks < FAR_KEY:
            low = max(low, sign * s.reference_ticks - s.collar_ticks)
            high = least(high, sign * s.reference_ticks + s.collar_ticks)
        if unlikely(s.limits.self_trade) and own != NO_PRICE:
            high = least(high, (sign * own if -FAR_KEY < own < FAR_KEY else -FAR_KEY) - 1)
        b.low_key = low
        b.high_key = high


cdef void risk_moved(risk_gate_t* g, risk_symbol_t* s, int64_t reference_ticks) noexcept nogil:
    cdef bint moved = s.changed or s.reference_ticks != reference_ticks
    s.reference_ticks = reference_ticks
    s.changed = False
    if unlikely(g.money):
        risk_settle(g)
        risk_sums(g, s)
    if unlikely(s.dirty or s.sums != g.sums or (moved and not (s.steady and s.low_ticks <= reference_ticks <= s.high_ticks))):
        risk_bounds(g, s)
    elif moved:
        risk_keys(s)


cdef inline void risk_room(risk_symbol_t* s, int i, int64_t lots) noexcept nogil:
    # So many lots more, or less, may be sent.
    s.open_lots[i] -= lots
    s.changed = True
    s.bounds[i].room_lots = least(<int64_t> (<uint64_t> s.bounds[i].room_lots + <uint64_t> lots), FAR_LOTS)
    if unlikely(not s.steady or s.open_lots[i] < 0 or s.bounds[i].room_lots < -FAR_LOTS or not -FAR_LOTS <= lots <= FAR_LOTS):
        s.dirty = True


cdef void risk_bounds(risk_gate_t* g, risk_symbol_t* s) noexcept nogil:
    cdef const limits_t* l = &s.limits
    cdef const group_t* q
    cdef bound_t* b
    cdef int64_t position = s.position.position_lots
    cdef int64_t reference = s.reference_ticks, collar, distance, size_max, room, held = 0, low, high, drift = 0
    cdef double left
    cdef bint reference_known = priced(s, reference) and -FAR_KEY < reference < FAR_KEY
    cdef int i, sign, group
    cdef bint worth = g.money or isfinite(l.max_order_value), known
    s.dirty = s.steady = False
    if g.money:
        risk_sums(g, s)
    s.sums = g.sums
    risk_block(g)
    risk_seen(g, s, s.seen_ns)
    collar = FAR_KEY if l.collar_ticks == LIMIT_OFF else least(l.collar_ticks, FAR_KEY)
    size_max = least(l.max_order_lots, FAR_LOTS)
    s.stopped = (
        not l.enabled or (l.trading and not s.trading) or (l.crossed and not two_sided(s)) or (l.stale_ns != INT64_MAX and s.stale)
        or s.lag_ns > l.feed_lag_ns or collar < 0 or l.max_position_lots < 0
        or s.open_lots[0] < 0 or s.open_lots[1] < 0
        or (l.collar_ticks != LIMIT_OFF and not reference_known)
        or (l.last_collar_ticks >= 0 and not -FAR_KEY < s.last_ticks < FAR_KEY)
    )
    if worth and not reference_known:
        s.stopped = True
    if s.stopped:
        return
    if isfinite(l.max_order_value):
        # For prices near the reference alone, so that one number bounds the value of all of them.
        collar = least(collar, reference // 2 if reference >= 0 else -(reference // 2))
    s.collar_ticks = collar
    s.low_ticks, s.high_ticks = 1, FAR_KEY - 1
    if worth:
        # What follows holds on while the reference moves by no more than a 64th.
        drift = fc_magnitude(reference) >> 6
        s.low_ticks, s.high_ticks = reference - drift, reference + drift
    if worth and s.priced_ticks != reference:
        s.priced_ticks = reference
        s.lots_per_worth = (1.0 - 1.0 / 32.0) / worth_of(s, reference, 1.0)
        distance = -collar - drift if s.inverse or reference < 0 else collar + drift
        s.value_lots = room_of(l.max_order_value, 1.0 / worth_of(s, reference + distance, 1.0))
    if isfinite(l.max_order_value):
        size_max = least(size_max, s.value_lots)
    s.size_min = l.min_order_lots
    s.steady = True
    for i in range(2):
        b = &s.bounds[i]
        sign = -1 if i else 1
        low = -FAR_KEY if i or s.signed_prices else 1
        high = -1 if i and not s.signed_prices else FAR_KEY
        if l.last_collar_ticks >= 0:
            distance = least(l.last_collar_ticks, FAR_KEY)
            low = max(low, sign * s.last_ticks - distance)
            high = least(high, sign * s.last_ticks + distance)
        if fc_sub_overflow(l.max_position_lots, position, &room) if i == 0 else fc_add_overflow(l.max_position_lots, position, &room):
            room = FAR_LOTS     # the limit is not negative
        known = not fc_sub_overflow(room, s.open_lots[i], &room) and position != NO_PRICE
        room = least(room, FAR_LOTS)
        if i and l.short_sale == SHORT_REFUSED:
            known = known and not fc_sub_overflow(position, s.open_lots[1], &held)
            room = least(room, held)
        elif i and l.short_sale == SHORT_ABOVE_BID:
            high = least(high, (-s.bid if -FAR_KEY < s.bid < FAR_KEY else -FAR_KEY) - 1)
        b.money_lots = FAR_LOTS
        if g.money:
            left = INFINITY
            if s.margin > 0.0:
                left = left_of(
                    g.buying_power, g.margined.bounded - g.realised.bounded - g.unrealised.bounded, 3.0 * g.margined.slack
                ) / s.margin
            for group in range(2 if s.group else 1):
                q = &g.groups[s.group if group else 0]
                left = min(
                    left, left_of(q.max_gross, q.gross.bounded, q.gross.slack),
                    left_of(q.max_net, -q.shorts.bounded if i else q.longs.bounded, q.longs.slack),
                )
            b.money_lots = room_of(left, s.lots_per_worth)
        if not (known and room >= -FAR_LOTS):
            room = -1
            s.steady = False
        b.least_key = low
        b.most_key = high
        b.size_max = size_max
        b.room_lots = room
        b.last_key = INT64_MIN if l.repeat_ns < 0 or s.sent_lots[i] == 0 else sign * s.sent_ticks[i]
    risk_keys(s)


cdef void refill(bucket_t* b, int64_t most, int64_t span_ns) noexcept nogil:
    # A full bucket where it is another one.
    if b.most == most and b.span_ns == span_ns:
        return
    b.most = most
    b.span_ns = span_ns
    b.level = most * span_ns
    b.free_ns = INT64_MIN


cdef void take(bucket_t* b, int64_t now_ns) noexcept nogil:
    # One token, also where there is none.
    cdef int64_t full = b.most * b.span_ns, passed = now_ns - b.last_ns
    if b.most == 0:
        return
    if passed > 0:
        b.level = full if passed >= 2 * b.span_ns else least(full, b.level + passed * b.most)    # it is not below minus full
        b.last_ns = now_ns
    b.level -= b.span_ns
    if b.level < -full:
        b.level = -full
    b.free_ns = INT64_MIN if b.level >= b.span_ns else late(b.last_ns, (b.span_ns - b.level + b.most - 1) // b.most)


cdef void risk_sent(
    risk_gate_t* g, risk_symbol_t* s, int8_t side, int64_t price_ticks, int64_t size_lots, int64_t now_ns
) noexcept nogil:
    cdef int i = side < 0
    g.messages += 1
    take(&g.second, now_ns)
    take(&g.minute, now_ns)
    if s != NULL:
        g.open_orders += 1
        s.sent_ticks[i] = price_ticks
        s.sent_lots[i] = size_lots
        s.sent_ns[i] = now_ns
        if s.limits.repeat_ns >= 0:
            s.bounds[i].last_key = -price_ticks if i else price_ticks
        risk_room(s, i, -size_lots)
        risk_owe(g, s)
    risk_block(g)


cdef void risk_freed(risk_gate_t* g, risk_symbol_t* s, int8_t side, int64_t lots, bint done) noexcept nogil:
    g.open_orders -= done
    risk_room(s, side < 0, lots)
    risk_owe(g, s)
    risk_block(g)


cdef void risk_filled(risk_gate_t* g, risk_symbol_t* s, int64_t now_ns) noexcept nogil:
    g.fills += 1
    take(&g.executions, now_ns)
    if g.executions.most and g.executions.level < 0:
        trip(g, RESULT_REPEATED_FILLS)
    s.dirty = True
    risk_block(g)


# ---- Python ----

cdef dict ACCOUNT, INSTRUMENT

# Whole numbers and their least value; a limit of None is off, or, where it is required, not configured.
WHOLE = {
    **dict.fromkeys(("max_position_lots", "collar_ticks", "last_collar_ticks", "repeat_ns", "stale_ns", "feed_lag_ns"), (0, INT64_MAX)),
    **dict.fromkeys(("max_order_lots", "min_order_lots", "lot_multiple"), (1, INT64_MAX)),
    **dict.fromkeys(("messages_per_second", "messages_per_minute", "max_fills_per_minute"), (1, 1 << 26)),
    "orders_per_trade": (1, 1 << 40), "max_open_orders": (0, INT64_MAX), "clock_error_ns": (0, 1 << 62),
}
REQUIRED = ("max_order_lots", "max_position_lots", "collar_ticks")
LOSSES = ("max_realised_loss", "max_unrealised_loss", "max_day_loss", "max_drawdown")
MONEY = ("max_order_value", "max_gross_value", "max_net_value", "buying_power", *LOSSES)

INSTRUMENT = {
    **dict.fromkeys((*REQUIRED, "last_collar_ticks", "min_order_lots", "lot_multiple", "max_order_value", "repeat_ns", "stale_ns", "feed_lag_ns")),
    "enabled": True, "require_trading": False, "require_increment": False, "refuse_crossed": False, "prevent_self_trade": False,
    "short_sale": None, "group": None, "margin": 1.0,
}
ACCOUNT = {
    **dict.fromkeys(
        ("max_gross_value", "max_net_value", "buying_power", *LOSSES, "messages_per_second", "messages_per_minute", "orders_per_trade",
         "max_open_orders", "max_fills_per_minute", "clock_error_ns")
    ),
    "groups": None, "rates": None,
}
# What must not exceed what.
ORDERED = (
    ("min_order_lots", "max_order_lots"), ("lot_multiple", "max_order_lots"), ("max_order_value", "max_gross_value"),
    ("max_net_value", "max_gross_value"), ("messages_per_second", "messages_per_minute"),
)


def _positive(str name, value):
    number = float(value)
    if not (number >= 0.0 and isfinite(number)):
        raise ValueError(f"{name} must be finite and not negative: {name}={value}")
    return number


def _rate(str name, value):
    number = _positive(name, value)
    if not number:
        raise ValueError(f"{name} must be positive: {name}={value}")
    return number


def _setting(str name, value):
    # A value as it is kept.
    if value == "off" and name in REQUIRED:
        return value
    if name in WHOLE:
        low, high = WHOLE[name]
        return None if value is None else int64_in(value, name, low, high)
    if name in MONEY:
        return None if value is None else _positive(name, value)
    if name == "short_sale":
        if value not in (None, "above_bid", "held"):
            raise ValueError(f"short_sale must be None, above_bid or held: short_sale={value!r}")
    elif name == "margin":
        return _positive(name, value)
    elif name == "group":
        if value is not None and not isinstance(value, str):
            raise TypeError(f"group must be the name of one: group={value!r}")
    elif value is None and name in ("groups", "rates"):
        return {}
    elif name == "groups":
        if len(value) >= RISK_GROUPS:
            raise ValueError(f"groups must be at most {RISK_GROUPS - 1}: groups={len(value)}")
        return {
            str(group): tuple([None if most is None else _positive(f"groups[{group!r}]", most) for most in pair])
            for group, pair in value.items()
        }
    elif name == "rates":
        return {
            str(currency): rate if isinstance(rate, str) else _rate(f"rates[{currency!r}]", rate) for currency, rate in value.items()
        }
    elif not isinstance(value, bool):
        raise TypeError(f"{name} must be bool: type={type(value).__name__}")
    return value


def _refuse_contradiction(dict settings, where):
    for low, high in ORDERED:
        a, b = settings[low], settings[high]
        if a is not None and b is not None and b != "off" and a > b:
            raise ValueError(f"{low} must not exceed {high}: {low}={a} {high}={b}{where}")
    least, most, multiple = settings["min_order_lots"], settings["max_order_lots"], settings["lot_multiple"]
    given = least is not None and most is not None and multiple is not None and most != "off"
    if given and most // multiple * multiple < least:
        raise ValueError(
            f"a multiple of lot_multiple must be in min_order_lots..max_order_lots: lot_multiple={multiple} min_order_lots={least} "
            f"max_order_lots={most}{where}"
        )
    for name, (gross, net) in settings["groups"].items():
        if gross is not None and net is not None and net > gross:
            raise ValueError(f"the net limit of a group must not exceed its gross limit: group={name!r} net={net} gross={gross}")
    if settings["group"] is not None and settings["group"] not in settings["groups"]:
        raise ValueError(f"group must be one of groups: group={settings['group']!r} groups={list(settings['groups'])}{where}")


cdef inline int64_t whole(value, int64_t none) except? -1:
    return none if value is None else INT64_MAX if value == "off" else value


cdef inline double millionths(value) except? -1.0:
    return INFINITY if value is None else value * MILLION


def rate_inverted(giver, currency, wanted):
    """Whether an instrument says what one of `wanted` costs in `currency`, and not the other way round.

    Its prices are in its currency; those of an inverse contract say what one of its currency costs.
    """
    cdef bint inverse = giver.kind == "inverse", own = giver.currency == currency
    if giver.currency not in (currency, wanted):
        raise ValueError(
            f"the instrument of a rate must have one of the two currencies: symbol={giver.symbol!r} currency={giver.currency!r} "
            f"from={currency!r} to={wanted!r}"
        )
    return own != inverse


cdef divisor_t divisor(uint64_t n) noexcept:
    cdef divisor_t d
    cdef int i
    d.most = <uint64_t> -1 // n
    d.shift = 0
    while n & 1 == 0:
        n >>= 1
        d.shift += 1
    d.inverse = 1
    for i in range(6):
        d.inverse *= 2 - n * d.inverse  # Newton: twice as many right bits each time
    return d


class Change(NamedTuple):
    """One change of a limit, or of the kill switch.

    Attributes
    ----------
    time_ns : int
        Wall clock.
    symbol_id : int or None
        None: of all instruments, or of the account.
    key : str
        Name of the limit; ``"killed"`` for the kill switch.
    before, after : object
    by : str
        Who asked for it.
    """

    time_ns: int
    symbol_id: object
    key: str
    before: object
    after: object
    by: str


@cython.final
cdef class KillSwitch:
    """KillSwitch(path=None)\n--\n\n
    A word that stops every order of those who look at it, in this process and in others.

    Parameters
    ----------
    path : str or path, optional
        File of eight bytes that processes share; made with mode 0600 where there is none. None: this process alone.

    Attributes
    ----------
    path
        As given.
    down : bool
        Whether it stops orders.

    Raises
    ------
    ValueError
        If the file is none of a kill switch: it has another length than eight bytes.

    Notes
    -----
    Whoever has seen it down stays down until `RiskLimits.arm`, also when somebody raises it again. A file that is cut while it is
    used means down, for good.

    **Thread safety**: any thread and process.
    """

    def __cinit__(self, path=None):
        self.path = path
        self._word = &self._own
        if path is not None:
            with open(os.fspath(path), "a+b", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
                size = file.seek(0, os.SEEK_END)
                if size not in (0, 8):
                    raise ValueError(f"the file of a kill switch must have 8 bytes: bytes={size} path={path}")
                file.truncate(8)
                self._map = mmap.mmap(file.fileno(), 8)
            self._view = self._map
            self._word = <uint64_t*> &self._view[0]
            self._watch = fc_watch(self._word, mmap.PAGESIZE)
            if self._watch == NULL:
                raise MemoryError

    def __dealloc__(self):
        if self._watch != NULL:
            fc_unwatch(<watch_t*> self._watch)

    cdef bint _cut(self) noexcept:
        return self._watch != NULL and load_acquire(&(<watch_t*> self._watch).cut) != 0

    @property
    def down(self):
        return load_acquire(self._word) != 0

    def kill(self):
        """Stop every order."""
        store_release(self._word, 1)

    def clear(self):
        """Let those begin again who are armed after this.

        Raises
        ------
        RiskError
            If the file was cut: what others look at cannot be known.
        """
        if not (self.down and self._cut()):  # to read the word shows a cut
            store_release(self._word, 0)
        if self._cut():
            store_release(self._word, 1)
            raise RiskError(f"the file of a kill switch must stay as it is: it was cut: path={self.path}")

    def __repr__(self):
        return f"<KillSwitch path={self.path} {'down' if self.down else 'up'}>"


@cython.final
cdef class RiskLimits:
    """RiskLimits(max_order_lots=None, max_position_lots=None, collar_ticks=None, *, currency=None, kill_switch=None, enabled=True, \
require_trading=False, require_increment=False, min_order_lots=None, lot_multiple=None, max_order_value=None, last_collar_ticks=None, \
stale_ns=None, refuse_crossed=False, feed_lag_ns=None, short_sale=None, prevent_self_trade=False, repeat_ns=None, group=None, margin=1.0, \
max_gross_value=None, max_net_value=None, buying_power=None, max_realised_loss=None, max_unrealised_loss=None, max_day_loss=None, \
max_drawdown=None, messages_per_second=None, messages_per_minute=None, orders_per_trade=None, max_open_orders=None, \
max_fills_per_minute=None, clock_error_ns=None, groups=None, rates=None)\n--\n\n
    Limits that every order must keep.

    Parameters
    ----------
    max_order_lots : int or "off", optional
        Largest size of one order, at least 1. None: not configured, every order is rejected.
    max_position_lots : int or "off", optional
        Largest position, long or short, that may result if every open order of that side fills; at least 0. None: as above.
    collar_ticks : int or "off", optional
        Largest distance of the price from the reference, at least 0. None: as above.
    currency : str, optional
        Of limits that are amounts of money; by default that of the first instrument.
    kill_switch : KillSwitch, optional
        By default one of its own.
    others
        docs/risk.md lists them; all are off by default. Those of an instrument hold for all of them, and `change` gives one its own.

    Attributes
    ----------
    max_order_lots, max_position_lots, collar_ticks : int, "off" or None
        As given; can be set, and every change holds from the next check.
    currency, kill_switch
    audit : list of Change
        Every change since the beginning, oldest first.
    killed : str or None
        Why no order leaves.
    checked, passed : int
        Orders judged; orders that kept every limit.
    rejected : dict of str to int
        Orders by the first rule that they broke, zero counts left out.

    Raises
    ------
    TypeError
        If there is no such limit, or a value has another type.
    ValueError
        If a limit is out of range, or if two contradict each other.

    Notes
    -----
    **Thread safety**: one thread checks and changes limits; any thread and process may use the kill switch.
    """

    def __cinit__(
        self, max_order_lots=None, max_position_lots=None, collar_ticks=None, *, currency=None, KillSwitch kill_switch=None, **settings
    ):
        cdef risk_symbol_t* s = &self._gate.defaults
        self.kill_switch = KillSwitch() if kill_switch is None else kill_switch
        self.currency = currency
        self.audit = []
        self._account, self._default, self._own, self._opened = {**ACCOUNT, "groups": {}, "rates": {}}, dict(INSTRUMENT), {}, []
        self._gate.word = self.kill_switch._word
        self._gate.now_ns = self._gate.second.free_ns = self._gate.minute.free_ns = INT64_MIN
        s.own_ticks[0] = s.own_ticks[1] = s.reference_ticks = s.last_ticks = s.bid = s.ask = NO_PRICE
        s.seen_ns = INT64_MIN
        s.worth = NAN
        s.rate_symbol_id = NO_SYMBOL
        s.rate_ticks = NO_PRICE
        s.increment_ticks = s.low_increment_ticks = 1
        self.change(
            max_order_lots=max_order_lots, max_position_lots=max_position_lots, collar_ticks=collar_ticks, by="start", **settings
        )
        self.audit.clear()

    def __dealloc__(self):
        cdef risk_symbol_t* s = self._gate.first
        cdef risk_symbol_t* next
        while s != NULL:
            next = s.next
            free(s)
            s = next

    def __repr__(self):
        shown = {name: self._default[name] for name in REQUIRED}
        given = [(name, value) for name, value in self.settings().items() if value is not None and value != {}]
        shown |= {name: value for name, value in given if value != INSTRUMENT.get(name)}
        return f"RiskLimits({', '.join([f'{name}={value!r}' for name, value in shown.items()])})"

    def settings(self, symbol_id=None):
        """Return the limits in force by name, those of one instrument where it is given.

        Returns
        -------
        dict of str to object
        """
        own = {} if symbol_id is None else self._own.get(as_int64(symbol_id), {})
        return {**self._account, **self._default, **own}

    def change(self, *, symbol_id=None, by="", **settings):
        """Change limits, all of them or none, from the next check on; `audit` tells.

        Parameters
        ----------
        symbol_id : int, optional
            Instrument whose own limits these are. None: of all instruments and of the account.
        by : str
            Who asks for it.
        **settings
            Limits by name, as in `RiskLimits`; None for off, or not configured.

        Raises
        ------
        TypeError, ValueError
            As `RiskLimits`. Nothing has changed then.

        Notes
        -----
        **Thread safety**: the thread that checks.
        """
        if symbol_id is not None:
            symbol_id = int64_in(symbol_id, "symbol_id", 0, 0xFFFFFFFF)
        before = self.settings(symbol_id)
        account, default, own = dict(self._account), dict(self._default), {i: dict(limits) for i, limits in self._own.items()}
        for name, value in settings.items():
            if name in ACCOUNT and symbol_id is None:
                account[name] = _setting(name, value)
            elif name in INSTRUMENT:
                (default if symbol_id is None else own.setdefault(symbol_id, {}))[name] = _setting(name, value)
            else:
                raise TypeError(f"a limit must be one of {', '.join(INSTRUMENT if symbol_id is not None else before)}: {name}={value!r}")
        _refuse_contradiction({**account, **default}, "")
        for i, limits in own.items():
            _refuse_contradiction({**account, **default, **limits}, f" symbol_id={i}")
        self._account, self._default, self._own = account, default, own
        self._write()
        for name in settings:
            after = self.settings(symbol_id)[name]
            if after != before[name]:
                self._note(symbol_id, name, before[name], after, by)

    cdef int _note(self, object symbol_id, str key, object before, object after, str by) except -1:
        self.audit.append(Change(clock_wall_ns(), symbol_id, key, before, after, by))
        return 0

    # Settings as what orders are compared with.
    cdef int _write(self) except -1:
        cdef risk_gate_t* g = &self._gate
        cdef risk_symbol_t* s
        cdef int i
        a = self._account
        refill(&g.second, whole(a["messages_per_second"], 0), 1_000_000_000)
        refill(&g.minute, whole(a["messages_per_minute"], 0), 60_000_000_000)
        refill(&g.executions, whole(a["max_fills_per_minute"], 0), 60_000_000_000)
        g.clock = a["clock_error_ns"] is not None
        g.clock_error_ns = whole(a["clock_error_ns"], 0)
        g.orders_per_trade = whole(a["orders_per_trade"], 0)
        g.max_open_orders = whole(a["max_open_orders"], INT64_MAX)
        g.buying_power = millionths(a["buying_power"])
        g.max_realised_loss, g.max_unrealised_loss, g.max_day_loss, g.max_drawdown = [millionths(a[name]) for name in LOSSES]
        for i, (gross, net) in enumerate([(a["max_gross_value"], a["max_net_value"]), *a["groups"].values()]):
            g.groups[i].max_gross, g.groups[i].max_net = millionths(gross), millionths(net)
        g.money = bool(a["groups"]) or any([a[name] is not None for name in MONEY if name in a])
        g.looks = g.clock
        self._write_symbol(&g.defaults)
        # Sums anew: groups and rates may be others.
        for i in range(RISK_GROUPS):
            memset(&g.groups[i].gross, 0, sizeof(total_t))
            memset(&g.groups[i].longs, 0, sizeof(total_t))
            memset(&g.groups[i].shorts, 0, sizeof(total_t))
        memset(&g.margined, 0, sizeof(total_t))
        memset(&g.realised, 0, sizeof(total_t))
        memset(&g.unrealised, 0, sizeof(total_t))
        for i in range(RISK_GROUPS):
            g.groups[i].gross.slack = g.groups[i].max_gross / 64.0
            g.groups[i].longs.slack = g.groups[i].shorts.slack = g.groups[i].max_net / 64.0
        g.margined.slack = g.realised.slack = g.unrealised.slack = g.buying_power / 192.0
        g.unknown = 0
        g.owing = NULL
        g.sums += 1
        s = g.first
        while s != NULL:
            s.gross = s.longs = s.shorts = s.margined = s.realised = s.unrealised = s.unknown = s.owes = 0
            s.summed[4] = -1
            self._write_symbol(s)
            s = s.next
        s = g.first
        while s != NULL:
            risk_sums(g, s)
            s = s.next
        risk_losses(g)
        risk_block(g)
        return 0

    cdef int _write_symbol(self, risk_symbol_t* s) except -1:
        cdef limits_t* l = &s.limits
        defaults = s == &self._gate.defaults
        v = self.settings(None if defaults else s.symbol_id)
        instrument = None if defaults else self._opened[s.number]
        l.max_order_lots = whole(v["max_order_lots"], NOT_CONFIGURED)
        l.max_position_lots = whole(v["max_position_lots"], NOT_CONFIGURED)
        l.collar_ticks = LIMIT_OFF if v["collar_ticks"] == "off" else whole(v["collar_ticks"], NOT_CONFIGURED)
        l.last_collar_ticks = whole(v["last_collar_ticks"], LIMIT_OFF)
        l.min_order_lots = whole(v["min_order_lots"], 1)
        l.lot_multiple = whole(v["lot_multiple"], 1)
        l.repeat_ns = whole(v["repeat_ns"], LIMIT_OFF)
        l.stale_ns = whole(v["stale_ns"], INT64_MAX)
        l.feed_lag_ns = whole(v["feed_lag_ns"], INT64_MAX)
        l.max_order_value = millionths(v["max_order_value"])
        l.enabled, l.trading, l.increment = v["enabled"], v["require_trading"], v["require_increment"]
        l.crossed, l.self_trade = v["refuse_crossed"], v["prevent_self_trade"]
        l.short_sale = {None: SHORT_ALLOWED, "above_bid": SHORT_ABOVE_BID, "held": SHORT_REFUSED}[v["short_sale"]]
        s.group = 0 if v["group"] is None else 1 + list(v["groups"]).index(v["group"])
        s.margin = v["margin"]
        s.dirty = True
        s.priced_ticks = NO_PRICE
        s.lot = divisor(<uint64_t> l.lot_multiple)
        s.increment = s.low_increment = divisor(1)
        if instrument is not None:
            s.inverse, s.signed_prices = instrument.kind == "inverse", instrument.signed_prices
            s.position.inverse, s.position.signed_prices = s.inverse, s.signed_prices
            s.increment_ticks = s.low_increment_ticks = instrument.increment_ticks
            s.low_below_ticks = instrument.low_below_ticks
            if s.low_below_ticks:
                s.low_increment_ticks = instrument.low_increment_ticks
            self._write_rate(s, instrument, v["rates"])
        if l.increment:
            s.increment, s.low_increment = divisor(<uint64_t> s.increment_ticks), divisor(<uint64_t> s.low_increment_ticks)
        if l.trading or l.crossed or l.last_collar_ticks >= 0 or l.stale_ns != INT64_MAX or l.feed_lag_ns != INT64_MAX or l.short_sale:
            self._gate.looks = True
        return 0

    cdef int _write_rate(self, risk_symbol_t* s, object instrument, dict rates) except -1:
        # What a unit of its money is worth: at a fixed rate, or at the middle price of another instrument.
        cdef risk_symbol_t* other = self._gate.first
        rate = 1.0 if instrument.currency == self.currency else rates.get(instrument.currency)
        s.rate_symbol_id = NO_SYMBOL
        s.worth = NAN
        if not isinstance(rate, str):
            if rate is not None:
                s.worth = float(instrument.unit_value) * rate * MILLION
            return 0
        while other != NULL:
            giver = self._opened[other.number]
            if giver is not None and giver.symbol == rate:
                s.rate_inverted = rate_inverted(giver, instrument.currency, self.currency)
                s.worth_at_one = float(instrument.unit_value) * MILLION
                s.worth_at_one *= 1.0 / giver.tick_size if s.rate_inverted else giver.tick_size
                s.rate_symbol_id = other.symbol_id
                risk_rate(s, s.rate_ticks)
            other = other.next
        return 0

    cdef risk_symbol_t* open(self, uint32_t symbol_id, object instrument) except NULL:
        # The state of an instrument that trades now; it lives as long as these limits.
        cdef risk_symbol_t* s = <risk_symbol_t*> calloc(1, sizeof(risk_symbol_t))
        if s == NULL:
            raise MemoryError(f"no memory for the limits of an instrument: symbol_id={symbol_id}")
        s[0] = self._gate.defaults
        s.summed[4] = -1
        s.symbol_id = symbol_id
        s.number = len(self._opened)
        s.next = self._gate.first
        self._gate.first = s
        self._opened.append(None)
        self.describe(s, instrument)
        return s

    cdef int describe(self, risk_symbol_t* s, object instrument) except -1:
        # What an instrument is.
        if instrument is not None and self.currency is None:
            self.currency = instrument.currency
        self._opened[s.number] = instrument
        self._write_symbol(s)
        if instrument is not None and instrument.symbol in self._account["rates"].values():
            self._write()   # it says what others are worth
        return 0

    @property
    def rate_symbol_ids(self):
        """Instruments whose middle prices convert money, as far as they are known."""
        cdef risk_symbol_t* s = self._gate.first
        found = set()
        while s != NULL:
            found.add(s.rate_symbol_id)
            s = s.next
        return sorted(found - {NO_SYMBOL})

    @property
    def max_order_lots(self):
        return self._default["max_order_lots"]

    @max_order_lots.setter
    def max_order_lots(self, value):
        self.change(max_order_lots=value)

    @property
    def max_position_lots(self):
        return self._default["max_position_lots"]

    @max_position_lots.setter
    def max_position_lots(self, value):
        self.change(max_position_lots=value)

    @property
    def collar_ticks(self):
        return self._default["collar_ticks"]

    @collar_ticks.setter
    def collar_ticks(self, value):
        self.change(collar_ticks=value)

    @property
    def checked(self):
        return sum(self._gate.by_result)

    @property
    def passed(self):
        return self._gate.by_result[RESULT_OK]

    @property
    def rejected(self):
        return {RESULTS[i][0]: self._gate.by_result[i] for i in range(1, RISK_REASONS) if self._gate.by_result[i]}

    @property
    def killed(self):
        cdef int code = risk_down(&self._gate)
        return RESULTS[code][0] if code else None

    def kill(self, *, by=""):
        """Let no order pass until `arm`; a desk pulls what works.

        Parameters
        ----------
        by : str
            Who asks for it.

        Notes
        -----
        **Thread safety**: the thread that checks; others use the kill switch.
        """
        before = self.killed
        trip(&self._gate, RESULT_KILLED)
        self._note(None, "killed", before, self.killed, by)

    def arm(self, *, by=""):
        """Let orders pass again. The drawdown counts from now, and so do repeated executions; other loss limits do not begin anew.

        Parameters
        ----------
        by : str
            Who asks for it.

        Raises
        ------
        RiskError
            While the kill switch is down, or a loss limit is still broken: change it first, or begin a `new_day`.

        Notes
        -----
        **Thread safety**: the thread that checks.
        """
        cdef risk_gate_t* g = &self._gate
        before = self.killed
        if self.kill_switch.down:
            raise RiskError(f"the kill switch must be up: {self.kill_switch!r}")
        cdef int code = g.killed
        cdef double peak = g.peak
        cdef bucket_t executions = g.executions
        g.killed = RESULT_OK
        risk_settle(g)
        g.peak = g.realised.near + g.unrealised.near
        refill(&g.executions, 0, 0)
        self._write()
        if g.killed != RESULT_OK:
            broken = self.killed
            g.killed, g.peak, g.executions = code or g.killed, peak, executions  # what is refused changes nothing
            self._write()
            raise RiskError(f"a loss limit must hold before orders pass again: broken={broken}")
        self._note(None, "killed", before, None, by)

    def new_day(self, *, by=""):
        """Count the loss of the day from now.

        Parameters
        ----------
        by : str
            Who asks for it.

        Notes
        -----
        **Thread safety**: the thread that checks.
        """
        cdef risk_gate_t* g = &self._gate
        before = g.day_start / MILLION
        risk_settle(g)
        g.day_start = g.realised.near + g.unrealised.near
        self._note(None, "day_start", before, g.day_start / MILLION, by)

    cdef int _judge(
        self, side, price_ticks, size_lots, position_lots, open_buy_lots, open_sell_lots, reference_ticks
    ) except -1:
        cdef risk_symbol_t s = self._gate.defaults
        cdef int64_t i = as_int64(side)
        cdef int result
        s.position.position_lots = as_int64(position_lots)
        s.open_lots[0], s.open_lots[1] = as_int64(open_buy_lots), as_int64(open_sell_lots)
        s.reference_ticks = NO_PRICE if reference_ticks is None else as_int64(reference_ticks)
        if i != BUY and i != SELL:
            raise ValueError(f"side must be 1 (buy) or -1 (sell): side={i}")
        if s.open_lots[0] < 0 or s.open_lots[1] < 0:
            raise ValueError(f"open quantities must not be negative: open_buy_lots={open_buy_lots} open_sell_lots={open_sell_lots}")
        risk_down(&self._gate)
        result = risk_judge(&self._gate, &s, <int8_t> i, as_int64(price_ticks), as_int64(size_lots), 0, False, self._gate.now_ns)
        self._gate.by_result[result] += 1
        return result

    def check(
        self, side, price_ticks, size_lots, position_lots=0, open_buy_lots=0, open_sell_lots=0, reference_ticks=None
    ):
        """Judge an order, and count the outcome.

        Parameters
        ----------
        side : int
            1 to buy, -1 to sell.
        price_ticks, size_lots : int
            Of the order.
        position_lots : int, default 0
            Current position, signed.
        open_buy_lots, open_sell_lots : int, default 0
            Lots of the open orders of each side, without this one.
        reference_ticks : int, optional
            Current reference price; None, or one below 1, rejects.

        Returns
        -------
        int
            `fastcore.errors.Result`: ``OK``, or the first broken rule of `CHECKS`. Of an instrument of which nothing else is known: rules
            about the market, its currency or own orders refuse where they are on.

        Raises
        ------
        ValueError
            If the side is no side or an open quantity is negative; nothing is counted.

        Notes
        -----
        **Thread safety**: one thread at a time.
        """
        return self._judge(side, price_ticks, size_lots, position_lots, open_buy_lots, open_sell_lots, reference_ticks)

    def require(
        self, side, price_ticks, size_lots, position_lots=0, open_buy_lots=0, open_sell_lots=0, reference_ticks=None
    ):
        """Judge an order as `check` does, and raise when it breaks a rule.

        Parameters
        ----------
        side, price_ticks, size_lots, position_lots, open_buy_lots, open_sell_lots, reference_ticks : int
            As in `check`.

        Raises
        ------
        RiskError
            If a limit is broken, not configured, or there is no reference price.
        ValueError
            If an argument is out of range.

        Notes
        -----
        **Thread safety**: one thread at a time.
        """
        cdef int result = self._judge(
            side, price_ticks, size_lots, position_lots, open_buy_lots, open_sell_lots, reference_ticks
        )
        if result != RESULT_OK:
            raise_result(
                result,
                f"order must keep {self!r}: side={side} price_ticks={price_ticks} size_lots={size_lots} "
                f"position_lots={position_lots} open_buy_lots={open_buy_lots} open_sell_lots={open_sell_lots} "
                f"reference_ticks={reference_ticks}",
            )

    def reset_counts(self):
        """Forget the counts; the limits stay.

        Notes
        -----
        **Thread safety**: one thread at a time.
        """
        memset(self._gate.by_result, 0, sizeof(self._gate.by_result))


@cython.final
cdef class _Account:
    """_Account(limits, symbol_id=0, instrument=None)\n--\n\n
    The state of one instrument without a desk, for the tests: what a desk tells the limits, call by call."""

    cdef RiskLimits limits
    cdef risk_symbol_t* _s

    def __cinit__(self, RiskLimits limits not None, symbol_id=0, instrument=None):
        self.limits = limits
        self._s = limits.open(<uint32_t> as_int64(symbol_id), instrument)

    def market(self, bid, ask, last, seen_ns, lag_ns=0, trading=True, stale=False):
        cdef risk_symbol_t* s = self._s
        s.bid, s.ask, s.last_ticks = [NO_PRICE if ticks is None else ticks for ticks in (bid, ask, last)]
        if bid is not None and ask is not None and bid < ask:
            s.reference_ticks = (s.bid + s.ask) >> 1
        s.lag_ns, s.trading, s.stale = lag_ns, trading, stale
        risk_seen(&self.limits._gate, s, seen_ns)
        s.dirty = True

    def mark(self, reference_ticks):
        """Another reference price, and nothing else."""
        risk_moved(&self.limits._gate, self._s, reference_ticks)

    def own(self, bid, ask):
        self._s.own_ticks[0], self._s.own_ticks[1] = [NO_PRICE if ticks is None else ticks for ticks in (bid, ask)]
        self._s.changed = True

    def order(self, side, price_ticks, size_lots, now_ns, freed_lots=0, replaces=False, bint bounds=True):
        """Judge as a desk does; without `bounds` rule by rule."""
        cdef risk_gate_t* g = &self.limits._gate
        if bounds:
            risk_moved(g, self._s, self._s.reference_ticks)
            return risk_order(g, self._s, <int8_t> side, price_ticks, size_lots, freed_lots, replaces, now_ns)
        risk_settle(g)
        return risk_judge(g, self._s, <int8_t> side, price_ticks, size_lots, freed_lots, replaces, now_ns)

    def sent(self, side, price_ticks, size_lots, now_ns):
        risk_sent(&self.limits._gate, self._s, <int8_t> side, price_ticks, size_lots, now_ns)

    def cancel(self, now_ns):
        risk_sent(&self.limits._gate, NULL, 0, NO_PRICE, 0, now_ns)

    def freed(self, side, lots, bint done):
        risk_freed(&self.limits._gate, self._s, <int8_t> side, lots, done)

    def fill(self, side, price_ticks, size_lots, now_ns, bint done):
        cdef money_t nothing = money_t(0, 0)
        assert position_fill(&self._s.position, <int8_t> side, price_ticks, size_lots, &nothing) == RESULT_OK
        risk_freed(&self.limits._gate, self._s, <int8_t> side, size_lots, done)
        risk_filled(&self.limits._gate, self._s, now_ns)

    def settle_sums(self):
        """Bring the sums up to date."""
        risk_moved(&self.limits._gate, self._s, self._s.reference_ticks)

    def settle(self):
        """Bring the sums up to date and judge the losses."""
        self.settle_sums()
        risk_losses(&self.limits._gate)

    @property
    def quick(self):
        """Whether the bounds alone let something pass."""
        return not (self._s.stopped or self._s.dirty or self.limits._gate.blocked)

    @property
    def sums(self):
        risk_settle(&self.limits._gate)
        return self._s.gross, self._s.longs, self._s.shorts, self._s.realised, self._s.unrealised, bool(self._s.unknown)
