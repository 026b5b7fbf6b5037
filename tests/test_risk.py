"""Pre-trade limits: the first broken rule decides, and a limit that nobody configured rejects."""

import math
import subprocess
import sys
import threading

import pytest
from makers.accounts import FUTURE, LIMITS, NOW, SECOND, Account

from fastcore.errors import RESULTS, Result, RiskError
from fastcore.instruments import Instrument
from fastcore.records import NO_PRICE
from fastcore.risk import CHECKS, KillSwitch, RiskLimits, _Account

BUY, SELL = 1, -1
OK, BAD_PRICE, BAD_SIZE, NO_REFERENCE = Result.OK, Result.BAD_PRICE, Result.BAD_SIZE, Result.NO_REFERENCE
SIZE, POSITION, COLLAR = Result.LIMIT_SIZE, Result.LIMIT_POSITION, Result.LIMIT_COLLAR


@pytest.fixture
def limits():
    return RiskLimits(max_order_lots=100, max_position_lots=1000, collar_ticks=50)


@pytest.mark.parametrize(
    ("order", "result"),
    [
        ((BUY, 10_000, 100, 0, 0, 0, 10_000), OK),
        ((SELL, 10_000, 100, 0, 0, 0, 10_000), OK),
        ((BUY, 10_000, 101, 0, 0, 0, 10_000), SIZE),
        ((BUY, 10_000, 0, 0, 0, 0, 10_000), BAD_SIZE),
        ((BUY, 10_000, -1, 0, 0, 0, 10_000), BAD_SIZE),
        ((BUY, 0, 1, 0, 0, 0, 10_000), BAD_PRICE),
        ((BUY, -5, 1, 0, 0, 0, 10_000), BAD_PRICE),
        ((BUY, NO_PRICE, 1, 0, 0, 0, 10_000), BAD_PRICE),
        ((BUY, 10_000, 100, 900, 0, 0, 10_000), OK),
        ((BUY, 10_000, 100, 901, 0, 0, 10_000), POSITION),
        ((BUY, 10_000, 100, 500, 400, 0, 10_000), OK),
        ((BUY, 10_000, 100, 500, 401, 0, 10_000), POSITION),
        ((BUY, 10_000, 100, 500, 400, 900, 10_000), OK),  # sells cannot be counted on
        ((SELL, 10_000, 100, -900, 0, 0, 10_000), OK),
        ((SELL, 10_000, 100, -901, 0, 0, 10_000), POSITION),
        ((SELL, 10_000, 100, -500, 0, 401, 10_000), POSITION),
        ((SELL, 10_000, 100, 5000, 0, 0, 10_000), OK),  # brings a position that is too large down
        ((BUY, 10_000, 1, 2**63 - 1, 2**63 - 1, 0, 10_000), POSITION),
        ((SELL, 10_000, 1, -(2**63), 0, 2**63 - 1, 10_000), POSITION),
        ((BUY, 10_050, 1, 0, 0, 0, 10_000), OK),
        ((BUY, 10_051, 1, 0, 0, 0, 10_000), COLLAR),
        ((SELL, 9_950, 1, 0, 0, 0, 10_000), OK),
        ((SELL, 9_949, 1, 0, 0, 0, 10_000), COLLAR),
        ((BUY, 2**63 - 1, 1, 0, 0, 0, 1), COLLAR),
        ((BUY, 10_000, 1, 0, 0, 0, None), NO_REFERENCE),
        ((BUY, 10_000, 1, 0, 0, 0, 0), NO_REFERENCE),
        ((BUY, 10_000, 1, 0, 0, 0, -10_000), NO_REFERENCE),
        ((BUY, 10_000, 1, 0, 0, 0, NO_PRICE), NO_REFERENCE),
        ((BUY, 0, 0, 0, 0, 0, None), BAD_SIZE),  # the first rule decides
        ((BUY, 20_000, 101, 5000, 0, 0, None), SIZE),
    ],
)
def test_first_broken_rule_decides(limits, order, result):
    assert limits.check(*order) == result
    if result:
        error = ValueError if result in (BAD_PRICE, BAD_SIZE) else RiskError
        with pytest.raises(error, match=RESULTS[result][0]):
            limits.require(*order)
    else:
        limits.require(*order)
    assert limits.checked == 2
    assert limits.rejected == ({RESULTS[result][0]: 2} if result else {})
    assert limits.passed == (0 if result else 2)


@pytest.mark.parametrize(
    ("configured", "result"),
    [
        ({}, SIZE),
        ({"max_order_lots": 10}, POSITION),
        ({"max_order_lots": 10, "max_position_lots": 10}, COLLAR),
        ({"max_position_lots": 10, "collar_ticks": 10}, SIZE),
        ({"max_order_lots": 10, "collar_ticks": 10}, POSITION),
        ({"max_order_lots": 10, "max_position_lots": 10, "collar_ticks": 0}, OK),
    ],
)
def test_limit_that_is_not_configured_rejects(configured, result):
    assert RiskLimits(**configured).check(BUY, 100, 1, reference_ticks=100) == result
    # Nor does it let an order pass that only closes.
    if result == POSITION:
        assert RiskLimits(**configured).check(SELL, 100, 1, 5, reference_ticks=100) == POSITION


@pytest.mark.parametrize("side", [1, -1])
def test_position_that_is_not_known_rejects(side):
    limits = RiskLimits(10, 2**62, 100)
    assert limits.check(side, 1_000, 5, NO_PRICE, reference_ticks=1_000) == POSITION


def test_position_limit_of_zero_only_closes():
    limits = RiskLimits(10, 0, 10)
    assert limits.check(BUY, 100, 1, 0, reference_ticks=100) == POSITION
    assert limits.check(SELL, 100, 5, 5, reference_ticks=100) == OK
    assert limits.check(SELL, 100, 6, 5, reference_ticks=100) == POSITION


def test_limits_can_be_changed_and_taken_away(limits):
    limits.max_order_lots = 200
    assert limits.check(BUY, 100, 150, reference_ticks=100) == OK
    limits.max_order_lots = None
    assert limits.check(BUY, 100, 1, reference_ticks=100) == SIZE
    limits.max_order_lots, limits.max_position_lots, limits.collar_ticks = 1, None, None
    assert (limits.max_order_lots, limits.max_position_lots, limits.collar_ticks) == (1, None, None)
    limits.reset_counts()
    assert (limits.checked, limits.passed, limits.rejected) == (0, 0, {})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_order_lots": 0}, r"max_order_lots must be in 1\.\.2\*\*63-1: max_order_lots=0"),
        ({"max_order_lots": -3}, r"max_order_lots must be in 1\.\."),
        ({"max_position_lots": -1}, r"max_position_lots must be in 0\.\.2\*\*63-1: max_position_lots=-1"),
        ({"collar_ticks": -1}, r"collar_ticks must be in 0\.\.2\*\*63-1: collar_ticks=-1"),
    ],
)
def test_limits_are_checked(arguments, message):
    with pytest.raises(ValueError, match=message):
        RiskLimits(**arguments)
    with pytest.raises(ValueError, match=message):
        setattr(RiskLimits(), *next(iter(arguments.items())))


@pytest.mark.parametrize("side", [0, 2, -2, 257])
def test_side_is_checked(limits, side):
    with pytest.raises(ValueError, match=rf"side must be 1 \(buy\) or -1 \(sell\): side={side}"):
        limits.check(side, 100, 1, reference_ticks=100)


def test_fraction_is_an_error_and_not_cut_off():
    limits = RiskLimits(10, 10, 10)
    for order in ((1.0, 100, 1), (BUY, 100.5, 1), (BUY, 100, float("nan")), (BUY, 100, 1, 0, 0, 0, 100.5)):
        with pytest.raises(TypeError):
            limits.check(*order)
    with pytest.raises(TypeError):
        RiskLimits(1.5)
    assert limits.checked == 0


@pytest.mark.parametrize("quantities", [(-1, 0), (0, -1)])
def test_open_quantities_cannot_loosen_a_limit(limits, quantities):
    with pytest.raises(ValueError, match="open quantities must not be negative"):
        limits.check(BUY, 100, 1, 0, *quantities, 100)
    assert limits.checked == 0


def test_error_names_the_limits_and_the_order(limits):
    with pytest.raises(RiskError, match=r"size limit: order must keep .*size_lots=101"):
        limits.require(BUY, 100, 101, reference_ticks=100)


@pytest.mark.threads
def test_counts_of_one_owner_are_exact_while_others_read():
    limits, stop, bad = RiskLimits(10, 10, 10), threading.Event(), []

    def read():
        while not stop.is_set():
            if not 0 <= limits.passed <= 20_000:
                bad.append(limits.passed)

    thread = threading.Thread(target=read)
    thread.start()
    for i in range(20_000):
        limits.check(BUY, 100, 1 + i % 20, reference_ticks=100)
    stop.set()
    thread.join()
    assert not bad
    assert (limits.checked, limits.passed) == (20_000, 10_000)


# ---- every check: an order that breaks it, the setting that turns it on, and the same order without it ----


def lost(account):
    """Lose 10 ticks on 10 lots: 1,250 USD, closed; then 5 ticks on 10 open ones: 625."""
    account.fill(account.order(1, 10_000, 10), 10)
    more, less = account.order(1, 10_004, 10), account.order(-1, 9_990, 10)
    account.fill(less, 10)
    account.fill(more, 10)
    account.market(9_998, 10_000, 10_000)
    account.inside.settle()


def poorer(account):
    """Lose 1,250 USD, closed."""
    account.fill(account.order(1, 10_000, 10), 10)
    account.fill(account.order(-1, 9_990, 10), 10)


def drawn_down(account):
    """Win 500 USD, give 1,125 back."""
    account.fill(account.order(1, 10_000, 10), 10)
    account.market(10_002, 10_006, 10_000)
    account.inside.settle()
    account.market(9_992, 9_998, 10_000)
    account.inside.settle()


def unmarked(account):
    """A position without a price: its profit is unknown."""
    account.inside = _Account(account.limits, 5, FUTURE)
    account.inside.sent(1, 10_000, 1, account.now)
    account.inside.fill(1, 10_000, 1, account.now, True)
    account.inside.settle()
    account.market()


def messages(account, count=3):
    for _ in range(count):
        account.cancel(account.order(1, 9_990))


def filled(account, count=3):
    for _ in range(count):
        account.fill(account.order(1, 9_990), 1)


def killed(account):
    account.limits.kill()


CASES = {
    Result.KILLED: [({}, killed, (1, 10_000))],
    Result.LOSS_REALISED: [({"max_realised_loss": 1_249.9}, lost, (1, 10_000)), ({"max_realised_loss": 10**9}, unmarked, (1, 10_000))],
    Result.LOSS_UNREALISED: [({"max_unrealised_loss": 624.9}, lost, (1, 10_000)), ({"max_unrealised_loss": 10**9}, unmarked, (1, 10_000))],
    Result.LOSS_DAY: [({"max_day_loss": 1_874.9}, lost, (1, 10_000)), ({"max_day_loss": 10**9}, unmarked, (1, 10_000))],
    Result.LOSS_DRAWDOWN: [({"max_drawdown": 1_124.9}, drawn_down, (1, 9_996)), ({"max_drawdown": 10**9}, unmarked, (1, 10_000))],
    Result.REPEATED_FILLS: [({"max_fills_per_minute": 2}, filled, (1, 10_000))],
    Result.DISABLED: [({"enabled": False}, None, (1, 10_000))],
    Result.NOT_TRADING: [({"require_trading": True}, lambda a: a.market(trading=False), (1, 10_000))],
    Result.BAD_CLOCK: [
        ({"clock_error_ns": 5}, lambda a: a.market(age=-6), (1, 10_000)),
        ({"clock_error_ns": 5}, lambda a: a.order(1, 9_990, after=SECOND), (1, 10_000, 1, -1)),
    ],
    Result.OFF_INCREMENT: [({"require_increment": True}, None, (1, 9_999)), ({"require_increment": True}, None, (-1, 10_001))],
    Result.OFF_LOT: [({"lot_multiple": 7}, None, (1, 10_000, 8))],
    Result.LIMIT_MINIMUM: [({"min_order_lots": 5}, None, (1, 10_000, 4))],
    Result.LIMIT_SIZE: [({"max_order_lots": 7}, None, (1, 10_000, 8))],
    Result.LIMIT_VALUE: [({"max_order_value": 999_999}, None, (1, 10_000, 8)), ({"max_order_value": 1_000_000}, None, (-1, 10_002, 8))],
    Result.LIMIT_POSITION: [({"max_position_lots": 7}, None, (1, 10_000, 8)), ({"max_position_lots": 11}, filled, (1, 10_000, 9))],
    Result.NO_REFERENCE: [({"collar_ticks": 10**6}, None, (1, 10_000))],
    Result.LIMIT_COLLAR: [({"collar_ticks": 9}, None, (1, 10_010)), ({"collar_ticks": 9}, None, (-1, 9_990))],
    Result.LIMIT_LAST: [
        ({"last_collar_ticks": 9}, lambda a: a.market(last=9_996), (1, 10_006)),
        ({"last_collar_ticks": 9}, lambda a: a.market(last=None), (1, 10_006)),
    ],
    Result.STALE_MARKET: [
        ({"stale_ns": SECOND}, lambda a: a.market(age=SECOND + 1), (1, 10_000)),
        ({"stale_ns": SECOND}, None, (1, 10_000, 1, SECOND + 1)),
        ({"stale_ns": SECOND}, lambda a: a.market(stale=True), (1, 10_000)),
    ],
    Result.CROSSED_MARKET: [
        ({"refuse_crossed": True}, lambda a: a.market(10_002, 10_002), (1, 10_000)),
        ({"refuse_crossed": True}, lambda a: a.market(10_002, None), (1, 10_000)),
    ],
    Result.FEED_LAG: [({"feed_lag_ns": 10}, lambda a: a.market(lag_ns=11), (1, 10_000))],
    Result.SHORT_SALE: [
        ({"short_sale": "held"}, filled, (-1, 10_010, 4)),
        ({"short_sale": "above_bid"}, None, (-1, 9_998)),
        ({"short_sale": "above_bid"}, lambda a: a.market(None, 10_002), (-1, 10_010)),
    ],
    Result.SELF_TRADE: [
        ({"prevent_self_trade": True}, lambda a: a.order(-1, 10_004), (1, 10_004)),
        ({"prevent_self_trade": True}, lambda a: a.order(1, 9_996), (-1, 9_994)),
    ],
    Result.REPEATED_ORDER: [({"repeat_ns": SECOND}, lambda a: a.order(1, 10_000, 3), (1, 10_000, 3, SECOND))],
    Result.LIMIT_ORDERS: [({"max_open_orders": 2}, lambda a: (a.order(1, 9_990), a.order(-1, 10_010)), (1, 10_000))],
    Result.LIMIT_GROSS: [({"max_gross_value": 999_999}, None, (1, 10_000, 8)), ({"max_gross_value": 499_999}, filled, (-1, 10_000, 8))],
    Result.LIMIT_NET: [({"max_net_value": 999_999}, None, (1, 10_000, 8)), ({"max_net_value": 999_999}, None, (-1, 10_000, 8))],
    Result.LIMIT_GROUP_GROSS: [({"groups": {"index": (999_999, None)}, "group": "index"}, None, (1, 10_000, 8))],
    Result.LIMIT_GROUP_NET: [({"groups": {"index": (None, 999_999)}, "group": "index"}, None, (-1, 10_000, 8))],
    Result.BUYING_POWER: [
        ({"buying_power": 99_999, "margin": 0.1}, None, (1, 10_000, 8)),
        ({"buying_power": 1_251_249}, poorer, (1, 10_000, 10)),
    ],
    Result.RATE_SECOND: [
        ({"messages_per_second": 5}, messages, (1, 10_000)),
        ({"messages_per_second": 6}, messages, (1, 10_000, 1, SECOND // 6 - 1)),
    ],
    Result.RATE_MINUTE: [({"messages_per_minute": 5}, messages, (1, 10_000, 1, 10 * SECOND))],
    Result.ORDER_TO_TRADE: [({"orders_per_trade": 6}, messages, (1, 10_000))],
}  # fmt: skip
MARKET_GONE = {Result.NO_REFERENCE: lambda account: setattr(account, "inside", _Account(account.limits, 5, FUTURE))}
WITHOUT = {"max_order_lots": 10**6, "max_position_lots": 10**6, "collar_ticks": "off", "enabled": True, "lot_multiple": None}
EVERY = [(result, i) for result, cases in CASES.items() for i in range(len(cases))]


def judged(result, case, settings):
    """The outcome of an order of a case: 0, or the code of the first broken rule."""
    _, prepare, (side, price, *rest) = CASES[result][case]
    account = Account(**settings)
    (MARKET_GONE.get(result) or prepare or (lambda account: None))(account)
    lots, after = (*rest, 1, 0)[:2] if len(rest) < 2 else rest
    return -min(0, account.order(side, price, lots, after=after))


@pytest.mark.parametrize(("result", "case"), EVERY, ids=lambda value: getattr(value, "name", value))
def test_check_refuses_what_breaks_it_and_lets_it_pass_when_it_is_off(result, case):
    settings = CASES[result][case][0]
    assert judged(result, case, settings) == result
    if result != Result.KILLED:
        off = {name: WITHOUT.get(name) if name in WITHOUT or name in ("group", "groups") else False if isinstance(value, bool) else None
               for name, value in settings.items()}  # fmt: skip
        off = {name: value for name, value in off.items() if name not in ("group", "groups", "margin")}
        assert judged(result, case, off) == Result.OK


def test_every_check_has_a_case():
    elsewhere = {Result.UNKNOWN_SYMBOL, Result.BAD_SIZE, Result.BAD_PRICE}
    assert set(CASES) | elsewhere == set(CHECKS)
    assert len(CHECKS) == len(set(CHECKS)) >= 25


@pytest.mark.parametrize(
    ("price", "lots", "result"),
    [
        (10_000, 0, BAD_SIZE), (10_000, -1, BAD_SIZE), (10_000, -(2**63), BAD_SIZE), (0, 1, BAD_PRICE), (-1, 1, BAD_PRICE),
        (NO_PRICE, 1, BAD_PRICE), (2**63 - 1, 1, COLLAR), (10_000, 2**63 - 1, SIZE), (2**63 - 1, 2**63 - 1, SIZE),
    ],
)  # fmt: skip
@pytest.mark.parametrize("side", [BUY, SELL])
def test_numbers_from_outside_never_pass(side, price, lots, result):
    assert Account().order(side, price, lots) == -result
    assert Account(max_order_value=10**9, max_gross_value=10**9, prevent_self_trade=True).order(side, price, lots) < 0


def test_signed_prices_pass_where_the_instrument_allows_them():
    spread = Instrument("S", 0.01, 1.0, increment_ticks=5, signed_prices=True)
    account = Account(spread, require_increment=True, max_order_value=10.0, prevent_self_trade=True)
    account.market(-10, 10, 0)
    assert [account.order(BUY, price) > 0 for price in (-10, -5, 0)] == [True] * 3
    assert account.order(BUY, -7) == -Result.OFF_INCREMENT
    assert account.order(SELL, -5) == -Result.SELF_TRADE
    assert account.order(SELL, NO_PRICE) == -BAD_PRICE
    account.market(-1_000, -990, -995)
    assert account.order(BUY, -1000, 2) == -Result.LIMIT_VALUE


def test_unknown_instrument_is_refused():
    assert RiskLimits(**LIMITS, max_order_value=10**9).check(BUY, 100, 1, reference_ticks=100) == Result.LIMIT_VALUE
    account = Account(None, max_gross_value=10**9)
    assert account.order(BUY, 10_000) == -Result.LIMIT_GROSS, "nobody says what a lot is worth"
    foreign = Account(FUTURE._replace(currency="EUR"), currency="USD", max_order_value=10**9)
    assert foreign.order(BUY, 10_000) == -Result.LIMIT_VALUE, "no rate of exchange"
    foreign.limits.change(rates={"EUR": 1.1})
    assert foreign.order(BUY, 10_000) > 0
    foreign.limits.change(rates={"EUR": 1.1}, max_order_value=1.1 * 125_000 - 1)
    assert foreign.order(BUY, 10_000) == -Result.LIMIT_VALUE


def test_what_reduces_an_exposure_passes_beyond_its_limit():
    account = Account(max_gross_value=1_000_000, max_net_value=1_000_000)
    account.fill(account.order(BUY, 10_000, 8), 8)
    account.market(10_998, 11_002, 11_000)
    account.limits.change(collar_ticks=5_000)
    assert account.order(BUY, 11_000, 1) == -Result.LIMIT_GROSS
    assert account.order(SELL, 11_000, 8) > 0
    assert account.order(SELL, 11_000, 1) > 0, "up to -1 at worst"
    assert account.order(SELL, 11_000, 8) == -Result.LIMIT_GROSS


def test_exposures_net_over_instruments_and_add_up():
    limits = RiskLimits(**LIMITS, max_net_value=1_000_000, max_gross_value=1_900_000)
    one, other = Account(limits=limits), Account(limits=limits)
    one.fill(one.order(BUY, 10_000, 8), 8)
    assert other.order(BUY, 10_000, 1) == -Result.LIMIT_NET
    assert other.order(SELL, 10_000, 6) > 0
    assert other.order(SELL, 10_000, 2) == -Result.LIMIT_GROSS
    assert one.order(BUY, 10_000, 1) == -Result.LIMIT_NET, "the sale may not be filled"


def test_rate_comes_back_token_by_token_and_cancels_always_pass():
    account = Account(messages_per_second=4)
    numbers = [account.order(BUY, 9_990 + 2 * i) for i in range(4)]
    assert min(numbers) > 0
    assert account.order(BUY, 10_000) == -Result.RATE_SECOND
    assert account.order(BUY, 10_000, after=SECOND // 4 - 1) == -Result.RATE_SECOND
    assert account.order(BUY, 10_000, after=1) > 0
    for number in numbers:
        account.cancel(number)
    assert account.order(BUY, 10_000, after=SECOND) == -Result.RATE_SECOND, "cancels count too"
    assert account.order(BUY, 10_000, after=SECOND) > 0


def test_replacement_does_not_count_twice():
    account = Account(max_position_lots=10, max_open_orders=1, max_gross_value=1_250_000)
    number = account.order(BUY, 10_000, 10)
    assert account.order(BUY, 9_998, 1) == -POSITION
    number = account.order(BUY, 9_998, 10, replaces=number)
    assert number > 0
    assert account.order(BUY, 9_998, 11, replaces=number) == -POSITION


# ---- kill switch, changes ----


def test_kill_switch_of_another_process_stays_down_until_armed(tmp_path):
    path = tmp_path / "kill"
    account = Account(kill_switch=KillSwitch(path))
    assert account.order(BUY, 10_000) > 0
    script = f"from fastcore.risk import KillSwitch; s = KillSwitch({str(path)!r}); assert not s.down; s.kill()"
    subprocess.run([sys.executable, "-c", script], check=True)
    assert account.order(BUY, 10_000) == -Result.KILLED
    assert account.limits.killed == "kill switch"
    with pytest.raises(RiskError, match="the kill switch must be up"):
        account.limits.arm(by="desk head")
    account.limits.kill_switch.clear()
    assert account.order(BUY, 10_000) == -Result.KILLED, "seen down: it stays down"
    account.limits.arm(by="desk head")
    assert account.order(BUY, 10_000) > 0
    assert [(c.key, c.before, c.after, c.by) for c in account.limits.audit] == [("killed", "kill switch", None, "desk head")]
    assert account.limits.rejected == {"kill switch": 2}


@pytest.mark.skipif(sys.platform == "win32", reason="a mapped file cannot be cut there")
def test_file_of_a_kill_switch_is_private_and_cutting_it_stops_orders(tmp_path):
    code = """
import os, sys
from fastcore.risk import KillSwitch
from fastcore.errors import FastcoreError, RiskError
from fastcore.tickstore import TickStore
path = sys.argv[1]
switches = [KillSwitch(path), KillSwitch(path), KillSwitch(path + "-2")]
store = TickStore(path + "-store", "a")
store.append(1, 1, 1.0, 1.0)
reader = TickStore(path + "-store")
for name in (path, path + "-store", path + "-2"):
    os.truncate(name, 0)
assert [switch.down for switch in switches] == [True] * 3
for look, rule in ((reader.records, "the published count must be inside the file"), (store.close, "moved or cut")):
    try:
        look()
    except FastcoreError as error:
        assert rule in str(error), error
    else:
        raise AssertionError("the cut was not seen")
for switch in switches:
    try:
        switch.clear()
    except RiskError as error:
        assert str(error).startswith("the file of a kill switch must stay as it is: it was cut: path="), error
    assert switch.down
os._exit(0)
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "kill")], check=True)
    assert (tmp_path / "kill").stat().st_mode & 0o777 == 0o600


def test_file_of_a_kill_switch_is_no_other_file(tmp_path):
    path = tmp_path / "notes"
    path.write_text("do not touch")
    with pytest.raises(ValueError, match="the file of a kill switch must have 8 bytes: bytes=12 path="):
        KillSwitch(path)
    assert path.read_text() == "do not touch"
    for wrong in (1, True, 1.5):  # a number would be an open file: it would be made longer, and closed
        with pytest.raises(TypeError):
            KillSwitch(wrong)


def test_arming_that_is_refused_changes_nothing():
    account = Account(max_day_loss=1_000.0, max_drawdown=1e6, max_fills_per_minute=1)
    lost(account)
    account.limits.kill(by="desk head")
    reason, audit = account.limits.killed, len(account.limits.audit)
    with pytest.raises(RiskError, match="broken=loss of the day"):
        account.limits.arm()
    assert (account.limits.killed, len(account.limits.audit)) == (reason, audit)
    account.limits.change(max_day_loss=1e6, max_drawdown=500.0, by="risk officer")
    assert account.limits.killed == reason
    account.limits.arm()
    assert account.order(BUY, 10_000) > 0, "the drawdown counts from here"


def test_loss_limit_stays_down_until_it_holds_and_is_armed():
    account = Account(max_day_loss=1_000.0)
    lost(account)
    assert account.order(BUY, 10_000) == -Result.LOSS_DAY
    with pytest.raises(RiskError, match="a loss limit must hold before orders pass again: broken=loss of the day"):
        account.limits.arm()
    account.limits.new_day(by="night")
    account.limits.arm(by="morning")
    assert account.order(BUY, 10_000) > 0
    assert [c.key for c in account.limits.audit] == ["day_start", "killed"]


def test_profit_beyond_64_bits_is_judged_and_an_unknown_one_stops():
    huge = Instrument("BTC", 1e-8, 1e-8, currency="USDT")
    account = Account(huge, max_order_lots=2**62, max_position_lots=2**62, collar_ticks="off", max_day_loss=1e9)
    account.market(6 * 10**12, 6 * 10**12 + 2, None)
    account.fill(account.order(BUY, 6 * 10**12, 10**13), 10**13)  # 100,000 coins
    account.market(6 * 10**12 - 10**9, 6 * 10**12 - 10**9 + 2, None)  # 10 less: a million
    account.inside.settle()
    assert account.order(BUY, 6 * 10**12) > 0
    account.market(5 * 10**12, 5 * 10**12 + 2, None)  # 10,000 less: a billion, and a tick more than that
    account.inside.settle()
    assert account.order(BUY, 6 * 10**12) > 0
    account.market(5 * 10**12 - 10**6, 5 * 10**12 - 10**6 + 2, None)
    account.inside.settle()
    assert account.order(BUY, 6 * 10**12) == -Result.LOSS_DAY


def test_limits_change_by_one_audited_call_all_or_none():
    limits = RiskLimits(**LIMITS)
    limits.change(symbol_id=0, max_order_lots=5, short_sale="held", by="risk officer")
    account, other = Account(limits=limits), _Account(limits, 1, FUTURE)
    other.market(9_998, 10_002, 10_000, NOW)
    assert (account.order(BUY, 10_000, 6), other.order(1, 10_000, 6, NOW)) == (-SIZE, OK)
    assert [tuple(c)[1:] for c in limits.audit] == [
        (0, "max_order_lots", 100, 5, "risk officer"),
        (0, "short_sale", None, "held", "risk officer"),
    ]
    with pytest.raises(ValueError, match="max_order_lots must be in"):
        limits.change(max_position_lots=5, max_order_lots=0)
    with pytest.raises(TypeError, match="a limit must be one of .*: max_day_loss=1"):
        limits.change(symbol_id=0, max_day_loss=1)
    with pytest.raises(TypeError, match="a limit must be one of .*: speed=1"):
        limits.change(speed=1)
    assert (limits.settings()["max_position_lots"], limits.settings(0)["max_order_lots"], len(limits.audit)) == (1000, 5, 2)
    limits.max_order_lots = 3
    assert limits.audit[-1][1:] == (None, "max_order_lots", 100, 3, "")
    assert (account.order(BUY, 10_000, 4) > 0, other.order(1, 10_000, 4, NOW)) == (True, SIZE), "its own limit stays"


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"min_order_lots": 101}, "min_order_lots must not exceed max_order_lots: min_order_lots=101 max_order_lots=100"),
        ({"lot_multiple": 101}, "lot_multiple must not exceed max_order_lots"),
        ({"lot_multiple": 60, "min_order_lots": 70}, r"a multiple of lot_multiple must be in min_order_lots\.\.max_order_lots"),
        ({"max_order_value": 2, "max_gross_value": 1}, "max_order_value must not exceed max_gross_value"),
        ({"max_net_value": 2, "max_gross_value": 1}, "max_net_value must not exceed max_gross_value: max_net_value=2.0 max_gross_value=1.0"),
        ({"messages_per_second": 61, "messages_per_minute": 60}, "messages_per_second must not exceed messages_per_minute"),
        ({"groups": {"a": (1, 2)}}, "the net limit of a group must not exceed its gross limit: group='a'"),
        ({"group": "b", "groups": {"a": (1, 1)}}, "group must be one of groups: group='b'"),
        ({"max_day_loss": math.nan}, "max_day_loss must be finite and not negative: max_day_loss=nan"),
        ({"max_drawdown": math.inf}, "max_drawdown must be finite and not negative"),
        ({"buying_power": -1}, "buying_power must be finite and not negative"),
        ({"margin": math.nan}, "margin must be finite and not negative"),
        ({"rates": {"EUR": math.inf}}, "must be finite and not negative"),
        ({"groups": {"a": (math.nan, 1)}}, "must be finite and not negative"),
        ({"messages_per_second": 0}, "messages_per_second must be in 1"),
        ({"stale_ns": -1}, "stale_ns must be in 0"),
        ({"short_sale": "never"}, "short_sale must be None, above_bid or held: short_sale='never'"),
    ],
)  # fmt: skip
def test_contradictions_and_bad_values_are_refused_at_the_start(settings, rule):
    with pytest.raises(ValueError, match=rule):
        RiskLimits(**{**LIMITS, **settings})


@pytest.mark.parametrize("settings", [{"enabled": 1}, {"stale_ns": 1.5}, {"group": 3}, {"max_order_value": "much"}, {"lots": 1}])
def test_settings_of_another_type_are_refused(settings):
    with pytest.raises((TypeError, ValueError)):
        RiskLimits(**LIMITS, **settings)
