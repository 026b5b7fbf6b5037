"""Quotes: published values, the published experiment, limits, rounding, bad input, both twins of the batch loop."""

import os
import subprocess
import sys
from math import inf, isnan, log, nan, sqrt

import numpy as np
import pytest
from makers.quoters import AS, EXAMPLE, mixed

from fastcore import avellaneda as compiled
from fastcore.reference import avellaneda as twin

MODULE = "avellaneda"


def printed(value, text):
    """The value, rounded to the digits of the publication, is the publication."""
    digits = len(text.split(".")[1])
    return f"{value:.{digits}f}" == text


def exactly(value):
    return pytest.approx(value, rel=1e-12, abs=0)


def test_avellaneda_stoikov_golden_values(impl):
    q = impl.Quoter("avellaneda_stoikov", **AS)
    q.quote(100.0, 0, 1.0)
    assert printed(q.spread, "1.690770423")
    assert printed(q.bid, "99.154614789")
    assert printed(q.ask, "100.845385211")
    assert q.spread == exactly(0.1 * 4 + 20 * log(1 + 0.1 / 1.5))
    q.quote(100.0, 1, 1.0)
    assert q.reservation == exactly(99.6)
    q.quote(100.0, -3, 1.0)
    assert q.reservation == exactly(101.2)
    assert printed(q.ask, "102.045385211")
    q.quote(100.0, 2, 0.5)
    assert printed(q.bid, "98.854614789")
    for inventory in (-7, 0, 7):
        q.quote(100.0, inventory, 0.0)
        assert printed(q.spread, "1.290770423")
        assert q.bid + q.ask == exactly(200.0)
    q = impl.Quoter("avellaneda_stoikov", gamma=1.0, sigma=2.0, k=1.5)
    q.quote(100.0, 0, 1.0)
    assert printed(q.spread, "5.021651248")


def test_infinite_horizon_golden_values(impl):
    for inventory, ask, bid in ((0, "0.082305", "-0.082988"), (5, "-0.984401", "-1.216969")):
        above, below = impl.indifference_prices(0.1, inventory, 10)
        assert printed(above, ask)
        assert printed(below, bid)
        q = impl.Quoter("avellaneda_stoikov_infinite", max_inventory=10, **AS)
        q.quote(100.0, inventory)
        base = log(1 + 0.1 / 1.5) / 0.1
        assert q.ask == exactly(100 + above + base)
        assert q.bid == exactly(100 + below - base)
    # An omega of one's own: the natural one gives the natural prices.
    assert impl.indifference_prices(0.1, 5, 10, sigma=2.0, omega=0.01 * 4 * 121 / 2) == pytest.approx(
        impl.indifference_prices(0.1, 5, 10), rel=1e-12
    )
    with pytest.raises(ValueError, match="omega must be at least"):
        impl.indifference_prices(0.1, 5, 10, sigma=2.0, omega=0.1)


def test_infinite_horizon_closes_a_side_at_the_largest_inventory(impl):
    q = impl.Quoter("avellaneda_stoikov_infinite", max_inventory=10, **AS)
    q.quote(100.0, 10)
    assert q.bid == -inf
    assert q.bid_ticks is None
    assert q.ask_ticks is not None
    q.quote(100.0, -25)
    assert q.ask == inf
    assert (q.ask_ticks, q.bid_ticks is None) == (None, False)


def test_glft_closed_form_golden_values(impl):
    q = impl.Quoter("glft", **EXAMPLE)
    q.quote(1000.0, 0)
    base, slope = log(1 + 0.01 / 0.3) / 0.01, 0.0678658325
    assert printed(base, "3.2789822823")
    assert printed(q.spread, "6.6258303971")
    assert printed(1000 - q.bid, "3.3129151986")
    q.quote(1000.0, 1)
    assert 1000 - q.reservation == pytest.approx(slope, abs=6e-11)
    q.quote(1000.0, 5)
    assert 1000 - q.bid == pytest.approx(base + 11 / 2 * slope, abs=1e-9)
    assert q.ask - 1000 == pytest.approx(base - 9 / 2 * slope, abs=1e-9)


def test_glft_drift_shifts_inventory_and_adverse_selection_widens(impl):
    plain, drift = impl.Quoter("glft", **EXAMPLE), impl.Quoter("glft", drift=0.01, **EXAMPLE)
    drift.quote(1000.0, 3.0)
    plain.quote(1000.0, 3.0 - 0.01 / (0.01 * 0.09))
    assert (drift.bid, drift.ask) == (exactly(plain.bid), exactly(plain.ask))
    adverse = impl.Quoter("glft", adverse_selection=1.0, **EXAMPLE)
    adverse.quote(1000.0, 0)
    slope = 0.3 * sqrt(0.01 / (2 * 0.3 * 0.9) * (1 + 0.01 / 0.3) ** 31)
    assert adverse.spread / 2 == exactly(log(1 + 0.01 / 0.3) / 0.01 + 0.5 + slope / 2 * np.exp(0.3 / 4))


def test_exact_depths_golden_values(impl):
    long_run = impl.solve_depths(max_inventory=40, **EXAMPLE)
    row = {q: long_run[q + 40] for q in range(-40, 41)}
    assert printed(row[0][0], "3.3130454175")
    assert printed(row[0][1], "3.3130454175")
    assert printed(row[5][0], "3.6534795202")
    assert printed(row[5][1], "2.9725217072")
    assert printed(row[10][0], "3.9929326")
    assert printed(row[-20][0], "1.95923")
    assert printed(row[20][0], "4.66546")
    assert printed(row[-30][0], "1.29877")
    assert row[40][0] == row[-40][1] == inf
    drift = impl.solve_depths(max_inventory=40, horizon=600.0, drift=0.01, **EXAMPLE)[40]
    assert drift == pytest.approx([2.557506, 4.068145], abs=7e-7)
    adverse = impl.solve_depths(max_inventory=40, horizon=600.0, adverse_selection=1.0, **EXAMPLE)[40]
    assert [printed(x, "3.815709") for x in adverse] == [True, True]


def test_exact_depths_of_cartea_and_jaimungal(impl):
    depths = impl.solve_depths(2e-4, 1.0, 1.0, 100.0, 3, 30.0, xi=0.0, terminal_penalty=1e-4)
    sell = ".017127 .013458 .011083 .008917 .006542 .002873".split()
    assert [printed(x, f"0{text}") for x, text in zip(depths[1:, 1], sell, strict=True)] == [True] * 6
    assert depths[:, 0] == pytest.approx(depths[::-1, 1], rel=1e-12)


def test_exact_depths_against_fifty_digits():
    mpmath = pytest.importorskip("mpmath")
    with mpmath.workdps(50):
        _against_fifty_digits(mpmath)


def _against_fifty_digits(mpmath):
    gamma, sigma, rate, k, horizon = (mpmath.mpf(x) for x in ("0.01", "0.3", "0.9", "0.3", "1200"))
    q = range(-8, 9)
    eta = rate * (1 + gamma / k) ** (-(1 + k / gamma))
    m = mpmath.matrix(17)
    for i in q:
        m[i + 8, i + 8] = -k * gamma * sigma**2 / 2 * i**2
        if i < 8:
            m[i + 8, i + 9] = m[i + 9, i + 8] = eta
    v = mpmath.expm(m * horizon, method="taylor") * mpmath.ones(17, 1)
    base = mpmath.log(1 + gamma / k) / gamma
    ours = compiled.solve_depths(0.01, 0.3, 0.9, 0.3, 8, 1200.0)
    for i in range(16):
        assert ours[i, 0] == pytest.approx(float(mpmath.log(v[i] / v[i + 1]) / k + base), rel=1e-12)


def test_order_size_is_a_change_of_units(impl):
    one = impl.solve_depths(max_inventory=5, horizon=60.0, **EXAMPLE)
    # D units an order: k/D, sigma D and money D times depth are one model.
    ten = impl.solve_depths(0.01, 0.03, 0.9, 3.0, 5, 60.0, order_size=10.0)
    assert one == pytest.approx(10 * ten, rel=1e-10)


def test_general_form_golden_values(impl):
    q = impl.Quoter("general", A=2.986162360812285, k=0.04235741115084049, gamma=0.05, xi=0.05, order_size=1.0, sigma=10.69)
    q.quote(1000.0, 0)
    assert q.spread / 2 == exactly(20.47208533844371)
    q.quote(1000.0, 1)
    assert 1000.0 - q.reservation == pytest.approx(9.76326865029227, rel=1e-12)
    # xi = gamma and D = 1 is the closed form of Gueant, Lehalle and Fernandez-Tapia.
    general, glft = impl.Quoter("general", xi=0.01, **EXAMPLE), impl.Quoter("glft", **EXAMPLE)
    general.quote(100.0, 3)
    glft.quote(100.0, 3)
    assert (general.bid, general.ask) == (glft.bid, glft.ask)
    # xi -> 0: base 1/k.
    limits = [impl.Quoter("general", **{**EXAMPLE, "xi": xi}) for xi in (0.0, 1e-12, 1e-7)]
    for q in limits:
        q.quote(100.0, 0)
    assert limits[0].spread == pytest.approx(limits[1].spread, rel=1e-9)
    assert limits[0].spread == pytest.approx(limits[2].spread, rel=1e-5)
    slope = sqrt(0.01 / (2 * 0.9 * 0.3) * np.e)
    assert limits[0].spread == exactly(2 * (1 / 0.3 + 0.5 * 0.3 * slope))


def test_simplified_is_the_rule_of_the_replaced_engine(impl):
    q = impl.Quoter(
        "simplified", gamma=0.8, sigma=3.0, limit=10.0, horizon=4.0, spread_factor=1.5, min_spread_ticks=5, tick_size=0.5
    )
    m = 2.5
    for inventory in (0.0, 4.0, -7.0):
        q.quote(100.0, inventory, 77.0)
        spread = max(m, (m + 3.0 * 0.2 * 2.0) * 0.8 * (1 + abs(inventory) / 10) * 1.5)
        skew = 0.1 * spread * inventory / 10
        assert q.spread == exactly(spread)
        assert q.bid == exactly(100 - spread / 2 - skew)
        assert q.ask == exactly(100 + spread / 2 - skew)
    q.volatility = 0.0
    small = impl.Quoter("simplified", gamma=0.1, sigma=0.0, limit=10.0, min_spread_ticks=5, tick_size=0.5)
    small.quote(100.0)
    assert small.spread == m


def test_exact_quoter_reads_the_table(impl):
    q = impl.Quoter("exact", max_inventory=10, horizon=600.0, rows=11, **EXAMPLE)
    table = impl.solve_depths(max_inventory=10, horizon=600.0, rows=11, **EXAMPLE)
    assert table.shape == (11, 21, 2)
    for row, column in ((0, 3), (5, 10), (10, 20), (10, 0), (7, 1)):
        q.quote(1000.0, column - 10, row * 60.0)
        assert 1000 - q.bid == pytest.approx(table[row, column, 0], abs=1e-12 * 1000)
        assert q.ask - 1000 == pytest.approx(table[row, column, 1], abs=1e-12 * 1000)
    q.quote(1000.0, 3.25, 90.0)
    expected = (table[1:3, 13:15, 0] * np.outer([0.5, 0.5], [0.75, 0.25])).sum()
    assert 1000 - q.bid == pytest.approx(expected, rel=1e-9)
    q.quote(1000.0, 9.5, 90.0)
    assert (q.bid_ticks, q.ask_ticks is None) == (None, False)  # a fill would exceed the largest inventory
    q.quote(1000.0, -50, 1e9)
    assert (q.ask, q.bid_ticks is None) == (inf, False)
    q.quote(1000.0, 10, 0.0)
    assert q.bid == -inf
    with pytest.raises(ValueError, match=r"volatility cannot change to this in the model exact: volatility=0\.5"):
        q.quote(1000.0, 0, 0, 0.5)


def test_exact_approaches_its_closed_form(impl):
    exact, closed = impl.Quoter("exact", max_inventory=40, **EXAMPLE), impl.Quoter("glft", **EXAMPLE)
    for inventory in (-5, 0, 5):
        exact.quote(1000.0, inventory)
        closed.quote(1000.0, inventory)
        assert exact.bid == pytest.approx(closed.bid, abs=2e-3)


def test_volatility_changes_without_a_new_quoter(impl):
    for model, parameters in (
        ("avellaneda_stoikov", AS),
        ("glft", {**EXAMPLE, "drift": 0.01}),
        ("general", {**EXAMPLE, "xi": 0.02}),
    ):
        changed = impl.Quoter(model, **parameters)
        fresh = impl.Quoter(model, **{**parameters, "sigma": 0.7})
        changed.quote(100.0, 2, 0.5, 0.7)
        fresh.quote(100.0, 2, 0.5)
        assert (changed.bid, changed.ask) == (exactly(fresh.bid), exactly(fresh.ask))
        assert changed.volatility == 0.7
        for bad in (nan, inf, -1.0):
            with pytest.raises(ValueError, match="volatility must be finite and not negative: volatility="):
                changed.quote(100.0, 2, 0.5, bad)
            with pytest.raises(ValueError, match="volatility must be finite and not negative: volatility="):
                changed.volatility = bad
        assert changed.volatility == 0.7


def test_inventory_limit_closes_a_side(impl):
    q = impl.Quoter("glft", inventory_limit=5.0, **EXAMPLE)
    for inventory, bid, ask in ((4.9, True, True), (5.0, False, True), (9.0, False, True), (-5.0, True, False)):
        q.quote(1000.0, inventory)
        assert (q.bid > -inf, q.ask < inf) == (bid, ask)
        assert (q.bid_ticks is not None, q.ask_ticks is not None) == (bid, ask)
        assert q.spread > 0


def test_inventory_unit_scales_the_inventory(impl):
    for model, extra in (("glft", {}), ("exact", {"max_inventory": 10}), ("simplified", {"limit": 10.0})):
        parameters = {"gamma": 0.01, "sigma": 0.3, **({"A": 0.9, "k": 0.3} if model != "simplified" else {}), **extra}
        lots, orders = impl.Quoter(model, inventory_unit=100.0, **parameters), impl.Quoter(model, **parameters)
        lots.quote(1000.0, 300.0)
        orders.quote(1000.0, 3.0)
        assert (lots.bid, lots.ask) == (pytest.approx(orders.bid, rel=1e-13), pytest.approx(orders.ask, rel=1e-13))


def rounded(impl, bid, ask, **parameters):
    # A quoter whose raw quotes are bid and ask, to test the rounding alone.
    tick = parameters.get("tick_size", 0.01)
    half, mid = (ask - bid) / 2, (ask + bid) / 2
    q = impl.Quoter("avellaneda_stoikov", gamma=1e-9, sigma=0.0, k=1 / half, **parameters)
    q.quote(mid)
    assert q.bid == pytest.approx(bid, abs=tick * 1e-7)
    return q.bid_ticks, q.ask_ticks


@pytest.mark.parametrize(
    ("bid", "ask", "parameters", "expected"),
    [
        (99.994, 100.006, {}, (9999, 10001)),
        (99.99, 100.01, {}, (9999, 10001)),  # on the grid stays on the grid
        (99.999, 100.001, {"min_spread_ticks": 4}, (9998, 10002)),
        (99.9, 100.1, {"tick_size": 0.0001, "increment_ticks": 100}, (999_000, 1_001_000)),
        (99.9001, 100.0999, {"tick_size": 0.0001, "increment_ticks": 100}, (999_000, 1_001_000)),
        (99.8999, 100.1001, {"tick_size": 0.0001, "increment_ticks": 100}, (998_900, 1_001_100)),
        (0.99995, 1.00005, {"tick_size": 0.0001, "increment_ticks": 100, "low_below_ticks": 10_000}, (9_999, 10_100)),
        (0.5001, 0.5002, {"tick_size": 0.0001, "increment_ticks": 100, "low_below_ticks": 10_000}, (5_001, 5_002)),
        (0.004, 0.016, {}, (None, 2)),
    ],
)
def test_rounding_goes_outwards_to_the_increment(impl, bid, ask, parameters, expected):
    assert rounded(impl, bid, ask, **parameters) == expected


def test_a_quote_never_locks_itself(impl):
    q = impl.Quoter("avellaneda_stoikov", gamma=1e-9, sigma=0.0, k=1e9)
    for mid in (100.0, 100.005, 99.999999):
        q.quote(mid)
        assert q.ask_ticks - q.bid_ticks >= 1
        assert q.bid_ticks * 0.01 <= mid + 1e-9
        assert q.ask_ticks * 0.01 >= mid - 1e-9


def test_ladder(impl):
    q = impl.Quoter("avellaneda_stoikov", **AS)
    q.quote(100.0, 0, 1.0)
    bids, asks, sizes = q.ladder(size=2.0)
    assert (9915 - bids).tolist() == (asks - 10085).tolist() == [0, 15, 44, 102, 204]
    assert sizes == pytest.approx([2.0, 1.7, 1.4, 1.1, 0.8])
    bids, asks, _ = impl_quote(impl, increment_ticks=5).ladder(levels=2, spacing_ticks=1, multipliers=[1, 2])
    assert (bids.tolist(), asks.tolist()) == ([9915, 9910], [10085, 10090])
    bids, _, _ = q.ladder(levels=3, spacing_ticks=6000, multipliers=(1, 1, 1))
    assert bids.tolist() == [9915, 3915, twin.NO_PRICE]
    closed = impl_quote(impl, inventory_limit=1.0, inventory=1.0)
    assert closed.ladder()[0].tolist() == [twin.NO_PRICE] * 5
    for bad, rule in (
        ({"levels": 0}, "levels must be in 1..1000: levels=0"),
        ({"levels": 6}, "every level needs a multiplier: levels=6, multipliers=5"),
        ({"size": nan}, "size must be finite and not negative: size=nan"),
        ({"spacing_ticks": -1}, "spacing_ticks must be finite and not negative"),
        ({"multipliers": (1, 2, 3, 4, inf)}, "multipliers must be finite and not negative"),
    ):
        with pytest.raises(ValueError, match=rule):
            q.ladder(**bad)


def impl_quote(impl, inventory=0.0, **parameters):
    q = impl.Quoter("avellaneda_stoikov", **AS, **parameters)
    q.quote(100.0, inventory, 1.0)
    return q


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ((nan,), "mid must be positive and finite: mid=nan"),
        ((inf,), "mid must be positive and finite: mid=inf"),
        ((0.0,), "mid must be positive and finite: mid=0.0"),
        ((-5.0,), "mid must be positive and finite: mid=-5.0"),
        ((100.0, nan), "inventory must be finite: inventory=nan"),
        ((100.0, -inf), "inventory must be finite: inventory=-inf"),
        ((100.0, 0.0, -1.0), "time_left must be finite and not negative: time_left=-1.0"),
        ((100.0, 0.0, nan), "time_left must be finite and not negative: time_left=nan"),
        ((100.0, 0.0, inf), "time_left must be finite and not negative: time_left=inf"),
    ],
)
def test_bad_arguments_leave_the_last_quote(impl, arguments, rule):
    q = impl_quote(impl)
    before = (q.bid, q.ask, q.reservation, q.spread, q.volatility)
    with pytest.raises(ValueError, match=rule):
        q.quote(*arguments)
    assert (q.bid, q.ask, q.reservation, q.spread, q.volatility) == before


@pytest.mark.parametrize(
    ("model", "parameters", "error", "rule"),
    [
        ("nope", {}, ValueError, "model must be one of avellaneda_stoikov, .*: model='nope'"),
        ("avellaneda_stoikov", {"gamma": 1.0, "sigma": 1.0}, TypeError, "avellaneda_stoikov needs a parameter: k"),
        ("avellaneda_stoikov", {**AS, "A": 1.0}, TypeError, "unknown parameter of avellaneda_stoikov: A; known: gamma"),
        ("avellaneda_stoikov", {**AS, "gamma": 0.0}, ValueError, "gamma must be positive and finite: gamma=0.0"),
        ("avellaneda_stoikov", {**AS, "gamma": nan}, ValueError, "gamma must be positive and finite: gamma=nan"),
        ("avellaneda_stoikov", {**AS, "k": -1.5}, ValueError, "k must be positive and finite: k=-1.5"),
        ("avellaneda_stoikov", {**AS, "sigma": -1.0}, ValueError, "sigma must be finite and not negative: sigma=-1.0"),
        ("avellaneda_stoikov", {**AS, "sigma": inf}, ValueError, "sigma must be finite and not negative: sigma=inf"),
        ("avellaneda_stoikov", {**AS, "tick_size": 0.0}, ValueError, "tick_size must be positive and finite"),
        ("avellaneda_stoikov", {**AS, "min_spread_ticks": 0}, ValueError, r"min_spread_ticks must be in 1\.\.2\*\*50: min_spread_ticks=0"),
        ("avellaneda_stoikov", {**AS, "increment_ticks": 1.5}, ValueError, "increment_ticks must be a whole number: increment_ticks=1.5"),
        ("avellaneda_stoikov", {**AS, "inventory_limit": -1}, ValueError, "inventory_limit must be positive and finite"),
        ("avellaneda_stoikov", {**AS, "inventory_limit": nan}, ValueError, "inventory_limit must be positive and finite"),
        ("avellaneda_stoikov", {**AS, "increment_ticks": 7, "low_below_ticks": 10}, ValueError, "must be a multiple of both"),
        ("glft", {**EXAMPLE, "A": 0.0}, ValueError, "A must be positive and finite: A=0.0"),
        ("glft", {**EXAMPLE, "drift": nan}, ValueError, "drift must be finite: drift=nan"),
        ("glft", {**EXAMPLE, "drift": 0.1, "sigma": 0.0}, ValueError, "sigma must be positive where there is a drift"),
        ("glft", {**EXAMPLE, "adverse_selection": -1}, ValueError, "adverse_selection must be finite and not negative"),
        ("general", {**EXAMPLE, "xi": -0.1}, ValueError, "xi must be finite and not negative: xi=-0.1"),
        ("exact", {**EXAMPLE, "max_inventory": 0}, ValueError, r"max_inventory must be in 1\.\.10000: max_inventory=0"),
        ("exact", {**EXAMPLE, "max_inventory": 5, "horizon": 0.0}, ValueError, "horizon must be positive and finite"),
        ("simplified", {"gamma": 1, "sigma": 1, "limit": 0}, ValueError, "limit must be positive and finite: limit=0"),
    ],
)
def test_bad_parameters_are_refused(impl, model, parameters, error, rule):
    with pytest.raises(error, match=rule):
        impl.Quoter(model, **parameters)


def test_parameters_that_overflow_are_refused():
    with pytest.raises(ValueError, match="the skew must be finite: gamma=1e-300"):
        compiled.Quoter("general", gamma=1e-300, xi=1e300, sigma=1.0, A=1e-300, k=1e-300)
    with pytest.raises(ValueError, match=r"max_inventory must keep v within the range of doubles: max_inventory=200"):
        compiled.solve_depths(1.0, 5.0, 1.0, 1.0, 200, 10.0)


def test_before_the_first_quote_there_is_none(impl):
    q = impl.Quoter("glft", **EXAMPLE)
    assert isnan(q.bid)
    assert isnan(q.ask)
    assert (q.bid_ticks, q.ask_ticks) == (None, None)


@pytest.mark.parametrize("n", [1, 3, 4, 7, 31])
def test_a_set_gives_the_bits_of_its_quoters(impl, n):
    rng = np.random.default_rng(n)
    quoters = (mixed(impl) * 5)[:n]
    batch = impl.QuoterSet(quoters)
    mids, inventories, times = rng.uniform(50, 150, n), rng.integers(-30, 31, n) * 1.0, rng.uniform(0, 2, n)
    for time_left in (times, 0.25, 0):
        batch.quote(mids, inventories, time_left)
        batch.round()
        for i, q in enumerate(quoters):
            q.quote(mids[i], inventories[i], times[i] if time_left is times else time_left)
            assert (batch.bids[i], batch.asks[i]) == (q.bid, q.ask), q
            assert batch.bid_ticks[i] == (twin.NO_PRICE if q.bid_ticks is None else q.bid_ticks)
            assert batch.ask_ticks[i] == (twin.NO_PRICE if q.ask_ticks is None else q.ask_ticks)
    assert len(batch) == n


def test_new_volatilities_in_a_set(impl):
    quoters = [
        impl.Quoter("avellaneda_stoikov", **AS),
        impl.Quoter("glft", **EXAMPLE),
        impl.Quoter("exact", max_inventory=5, **EXAMPLE),
    ]
    batch = impl.QuoterSet(quoters)
    batch.set_volatilities(np.array([3.0, 0.5, 0.3]))
    for q, sigma in zip(quoters[:2], (3.0, 0.5), strict=True):
        q.volatility = sigma
    batch.quote(np.full(3, 100.0), np.ones(3), 1.0)
    for i, q in enumerate(quoters):
        q.quote(100.0, 1.0, 1.0)
        assert (batch.bids[i], batch.asks[i]) == (q.bid, q.ask)
    bids = batch.bids.copy()
    for bad in ([1.0, nan, 0.3], [1.0, 1.0, 0.4], [-1.0, 1.0, 0.3]):
        with pytest.raises(ValueError, match="volatilit"):
            batch.set_volatilities(np.array(bad))
    batch.quote(np.full(3, 100.0), np.ones(3), 1.0)
    assert batch.bids.tolist() == bids.tolist()


def test_bad_batches_leave_nothing_to_trade_on(impl):
    n = 9
    batch = impl.QuoterSet([impl.Quoter("avellaneda_stoikov", **AS)] * n)
    good, flat = np.full(n, 100.0), np.zeros(n)
    for row in (0, 5, 8):
        for bad, rule in (
            (nan, "mid"),
            (inf, "mid"),
            (0.0, "mid"),
            (-1.0, "mid"),
            (nan, "inv"),
            (inf, "inv"),
            (-1.0, "time"),
            (nan, "time"),
        ):
            mids, inventories, times = good.copy(), flat.copy(), flat.copy()
            {"mid": mids, "inv": inventories, "time": times}[rule][row] = bad
            batch.quote(good, flat, 1.0)
            with pytest.raises(ValueError, match=rf"{rule}[a-z_]* must be .*\[{row}\]={bad}"):
                batch.quote(mids, inventories, times)
            batch.round()
            assert np.isnan(batch.bids).all()
            assert np.isnan(batch.asks).all()
            assert (batch.bid_ticks == twin.NO_PRICE).all()
    batch.quote(good, flat, 1.0)
    before = batch.bids.tolist(), batch.asks.tolist()
    for time_left in (nan, -1.0, inf):
        with pytest.raises(ValueError, match="time_left must be finite and not negative"):
            batch.quote(good, flat, time_left)
    with pytest.raises(ValueError, match=r"mids must have one value per quoter: shape=\(3,\), quoters=9"):
        batch.quote(good[:3], flat)
    assert (batch.bids.tolist(), batch.asks.tolist()) == before
    with pytest.raises(ValueError, match="quoters must not be empty"):
        impl.QuoterSet([])
    with pytest.raises(TypeError, match="quoters must be Quoter objects"):
        impl.QuoterSet([1])


def test_a_set_takes_any_layout_and_its_views_are_read_only():
    batch = compiled.QuoterSet([compiled.Quoter("avellaneda_stoikov", **AS)] * 5)
    batch.quote(list(range(100, 105)), [0] * 5, 1)
    expected = batch.bids.tolist()
    bids = batch.bids
    batch.quote(np.arange(100.0, 110.0)[:5].astype(">f8"), np.zeros((5, 2))[:, 0], np.ones(5))
    assert batch.bids.tolist() == expected == bids.tolist()
    with pytest.raises(ValueError, match="read-only"):
        bids[0] = 1.0


def test_both_simd_twins_give_the_same_bits():
    code = "import sys; sys.path.insert(0, sys.argv[1]); from makers import quoters as q; print(q.compiled.simd(), q.digest())"
    results = []
    for disabled in ("", "avx2"):
        environment = {**os.environ, "FASTCORE_DISABLE_CPU_FEATURES": disabled}
        command = [sys.executable, "-c", code, os.path.dirname(__file__)]
        results.append(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split())
    assert results[1][0] == "scalar"
    assert results[0][1] == results[1][1]


# The experiment of section 3.3 of the 2008 article: gamma, inventory strategy or symmetric,
# then exact mean and std of the profit, std of the final inventory, kurtosis, and the published values with their tolerances.
EXPERIMENT = [
    (0.1, True, 64.8925, 6.5432, 2.9268, 3.04, (65.0, 0.64), (6.6, 0.45), (2.9, 0.20)),
    (0.1, False, 68.2282, 13.4573, 8.4017, 5.28, (68.4, 1.31), (12.7, 1.35), (8.4, 0.58)),
    (0.01, True, 68.3996, 8.9606, 5.2125, 3.58, (68.6, 0.87), (8.7, 0.70), (5.1, 0.36)),
    (0.01, False, 68.6662, 13.6776, 8.7119, 5.54, (68.8, 1.33), (12.8, 1.42), (8.7, 0.60)),
    (1.0, True, 31.4545, 4.8379, 1.6414, 3.06, (31.4, 0.47), (5.0, 0.34), (1.7, 0.11)),
    (1.0, False, 43.8690, 10.7515, 5.1893, 3.84, (44.0, 1.05), (11.0, 0.88), (5.1, 0.36)),
]
PATHS = 20_000


def simulate(gamma, inventory_strategy, seed, *, exponential=False, one_fill=False, paths=PATHS):
    """Wealth and final inventory of every path, quoted by the compiled batch loop."""
    rng = np.random.default_rng(seed)
    sigma, k, rate, steps = 2.0, 1.5, 140.0, 200
    dt = 1.0 / steps
    batch = compiled.QuoterSet([compiled.Quoter("avellaneda_stoikov", gamma=gamma, sigma=sigma, k=k)] * paths)
    mid, held, cash = np.full(paths, 100.0), np.zeros(paths), np.zeros(paths)
    nothing = np.zeros(paths)
    for step in range(steps):
        if inventory_strategy:
            batch.quote(mid, held, 1.0 - step * dt)
        else:
            batch.quote(mid, nothing, 0.5)  # the average spread around the mid
        below, above = mid - batch.bids, batch.asks - mid
        intensity = rate * dt * np.exp(-k * np.array([below, above]))
        chance = 1 - np.exp(-intensity) if exponential else intensity
        draws = rng.random((2, paths))
        buy, sell = draws < chance
        if one_fill:
            sell = (draws[0] >= chance[0]) & (draws[0] < chance.sum(axis=0))
        cash += sell * (mid + above) - buy * (mid - below)
        held += buy * 1.0 - sell
        mid += sigma * sqrt(dt) * (2.0 * rng.integers(0, 2, paths) - 1.0)
    return cash + held * mid, held


def accepted(row, wealth, held):
    """The rules of acceptance, each True or False."""
    _, _, mean, std, std_q, kurtosis, *published = row
    n = len(wealth)
    found = wealth.mean(), wealth.std(), held.std()
    exact = (
        abs(found[0] - mean) <= 4 * std / sqrt(n),
        abs(found[1] - std) <= 4 * std * sqrt((kurtosis - 1) / (4 * n)),
        abs(found[2] - std_q) <= 4 * std_q / sqrt(2 * n),
    )
    return (*exact, *(abs(value - target) <= width for value, (target, width) in zip(found, published, strict=True)))


@pytest.mark.parametrize("row", range(6))
def test_published_experiment(row):
    gamma, inventory_strategy, *_ = EXPERIMENT[row]
    wealth, held = simulate(gamma, inventory_strategy, seed=1000 + row)
    assert accepted(EXPERIMENT[row], wealth, held) == (True,) * 6


def test_published_experiment_tells_wrong_conventions_apart():
    wealth, held = simulate(0.1, True, seed=7, exponential=True)
    assert wealth.mean() == pytest.approx(57.17, abs=0.3)
    assert not accepted(EXPERIMENT[0], wealth, held)[0]
    wealth, held = simulate(0.1, True, seed=8, one_fill=True)
    assert held.std() == pytest.approx(3.40, abs=0.1)
    assert not accepted(EXPERIMENT[0], wealth, held)[2]


def certainty_equivalent(depths_at, limit=30, horizon=600.0, steps=600):
    """Certainty equivalent at q = 0 of a policy: -ln(w_0)/gamma with w' = G w, by the midpoint exponential of each slice."""
    gamma, sigma, rate, k = EXAMPLE["gamma"], EXAMPLE["sigma"], EXAMPLE["A"], EXAMPLE["k"]
    q = np.arange(-limit, limit + 1)
    log_scale, w = 0.0, np.ones(len(q))
    dt = horizon / steps
    for step in range(steps):
        bid, ask = depths_at(q, (step + 0.5) * dt)  # time left in the middle of the slice
        buy, sell = rate * np.exp(-k * bid), rate * np.exp(-k * ask)
        buy[-1] = sell[0] = 0.0
        generator = np.diag(gamma**2 * sigma**2 * q**2 / 2 - buy - sell)
        generator += np.diag((buy * np.exp(-gamma * bid))[:-1], 1) + np.diag((sell * np.exp(-gamma * ask))[1:], -1)
        # exp of a slice by scaling and squaring of a Taylor polynomial
        squarings = max(0, int(np.ceil(np.log2(np.abs(generator).sum(1).max() * dt))) + 1)
        x = generator * (dt / 2**squarings)
        e = np.eye(len(q))
        for i in range(14, 0, -1):
            e = np.eye(len(q)) + x @ e / i
        for _ in range(squarings):
            e = e @ e
        w = e @ w
        log_scale += np.log(w.max())
        w = w / w.max()
    return -(np.log(w[limit]) + log_scale) / gamma


def test_no_policy_beats_the_optimal_one():
    limit = 30
    table = compiled.solve_depths(max_inventory=limit, horizon=600.0, rows=1201, **EXAMPLE)
    glft = compiled.Quoter("glft", **EXAMPLE)
    classic = compiled.Quoter("avellaneda_stoikov", gamma=0.01, sigma=0.3, k=0.3)

    def of(quoter):
        def depths(q, time_left):
            rows = []
            for inventory in q:
                quoter.quote(1000.0, inventory, time_left)
                rows.append((1000.0 - quoter.bid, quoter.ask - 1000.0))
            return np.array(rows).T

        return depths

    def optimal(q, time_left):
        depths = table[round(time_left * 2)].copy()
        depths[~np.isfinite(depths)] = 50.0  # closed; the weight is 0
        return depths.T

    def symmetric(q, time_left):
        # Centred on the middle price whatever the inventory: what is left of the quotes without its risk.
        neutral = compiled.Quoter("avellaneda_stoikov", gamma=0.01, sigma=0.0, k=0.3)
        neutral.quote(1000.0, 0.0, time_left)
        return np.full(len(q), 1000.0 - neutral.bid), np.full(len(q), neutral.ask - 1000.0)

    values = [certainty_equivalent(policy) for policy in (optimal, of(glft), of(classic), symmetric)]
    assert values == pytest.approx([1290.6251, 1290.2980, 1275.2258, 1235.7059], abs=0.02)
    assert values[0] > values[1] > values[2] > values[3]
