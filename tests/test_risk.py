"""Pre-trade limits: the first broken rule decides, and a limit that nobody configured rejects."""

import threading

import pytest

from fastcore.errors import RESULTS, Result, RiskError
from fastcore.records import NO_PRICE
from fastcore.risk import RiskLimits

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
