"""The desk: its rules as cases, and in runs with late answers never two live orders of one side."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from kit import examples
from makers.engines import make
from makers.itch import quoted_book, random_day

from fastcore import engine as compiled
from fastcore.desk import Desk
from fastcore.errors import Result
from fastcore.instruments import Instrument
from fastcore.money import Fees
from fastcore.records import BUY, KINDS, SELL
from fastcore.risk import RiskLimits
from fastcore.sim.latency import Latency


def test_desk_is_flat_and_unmarked_at_first():
    desk = Desk()
    desk.open(3)
    assert (desk.position(3).position_lots, desk.mid_ticks(3), desk.profit(3)) == (0, None, 0)
    assert (desk.orders_sent, desk.risk_rejects, desk.fills, desk.in_flight, desk.stopped) == (0, 0, 0, 0, False)
    assert desk.profit(4) is None, "nobody has opened it"
    assert repr(desk) == "Desk(1 accounts, 0 orders sent, 0 refused, 0 fills)"


@pytest.mark.parametrize(
    ("make_desk", "error", "rule"),
    [
        (lambda: Desk(symbols=0), ValueError, r"symbols must be in 1\.\.16777216: symbols=0"),
        (lambda: Desk(max_loss=-1), ValueError, "max_loss must be in 0"),
        (lambda: Desk(max_loss=1.5), TypeError, "."),
        (lambda: Desk("limits"), TypeError, "."),
        (lambda: Desk(symbols=4).open(4), ValueError, r"symbol_id must be in 0\.\.3: symbol_id=4"),
        (lambda: Desk().open(0, maker_fee_ticks=2**40), ValueError, "maker_fee_ticks must be in"),
        (lambda: Desk().open(0, taker_fee_ticks=-(2**40)), ValueError, "taker_fee_ticks must be in"),
        (lambda: Desk(symbols=4).position(-1), ValueError, "symbol_id must be in"),
    ],
)
def test_arguments_out_of_range_state_the_rule(make_desk, error, rule):
    with pytest.raises(error, match=rule):
        make_desk()


def live_orders(reports):
    """Largest number of own orders of one side that were live at the same time, and those that are at the end."""
    live, most = {BUY: {}, SELL: {}}, 0
    for r in reports:
        own = live[int(r["side"])] if r["side"] else {}
        if r["kind"] == KINDS["ack"]:
            own[int(r["order_id"])] = int(r["size"])
            most = max(most, len(own))
        elif r["kind"] == KINDS["fill"]:
            own[int(r["order_id"])] -= int(r["size"])
            if own[int(r["order_id"])] == 0:
                del own[int(r["order_id"])]
        elif r["kind"] == KINDS["pulled"]:
            del own[int(r["order_id"])]
    return most, live


DELAYS = st.sampled_from([0, 1_000_000, 4_000_000, Latency(3_000_000, 2_000_000), Latency(3_000_000, 2_000_000, log=True)])


@examples(60)
@example(7445, 1_000_000, 0, 0, 150, 20.0)  # a fill crosses a replacement: both together may not exceed the limit
@given(
    st.integers(0, 10**6), DELAYS, DELAYS, st.sampled_from([0, 2_000_000]), st.sampled_from([150, 400, 2_000]),
    st.sampled_from([20.0, 200.0, 2_000.0]),
)  # fmt: skip
def test_never_two_live_orders_of_a_side_and_every_lot_accounted(seed, order, response, feed_ns, most_lots, k):
    run = make(
        compiled, limits=(1000, most_lots, 100_000), parameters={"k": k}, order=order, response=response, feed_ns=feed_ns
    )
    run.feed(random_day(seed, 600))
    reports = run.reports()
    most, live = live_orders(reports)
    assert most <= 1
    fills = reports[reports["kind"] == KINDS["fill"]]
    bought = int((fills["side"].astype(np.int64) * fills["size"]).sum())
    assert run.position.position_lots == bought
    assert abs(bought) <= most_lots
    if order == response == feed_ns == 0:
        resting = {row[0]: row[3] for row in run.venue.orders()}
        assert {i: left for own in live.values() for i, left in own.items()} == resting
        assert run.desk.in_flight == 0
    refused = int(((reports["kind"] == KINDS["reject"]) & (reports["order_id"] == 0)).sum())
    assert run.desk.risk_rejects - refused in (0, 1, 2), "those of the last instant are not told"
    assert run.desk.fills == len(fills)


def test_limits_of_a_desk_are_those_that_it_was_given():
    limits = RiskLimits(1, 2, 3)
    assert Desk(limits).limits is limits


# ---- the limits within a run: the maker quotes 100 at 99.98 and 100.02 ----

SHARE = Instrument("AAA", 0.0001, 1.0, currency="USD")


def running(**settings):
    """A run with two own orders, and the day that it goes on with: (run, what feeds the rest of the day)."""
    day, fed = quoted_book(), 0
    run = make(compiled, volatility=False)
    run.desk.open(run.symbol_id, SHARE, fees=settings.pop("fees", None))
    run.desk.limits.change(**settings)

    def feed():
        nonlocal fed
        data, fed = bytes(day.data[fed:]), len(day.data)
        run.feed(data)

    feed()
    return run, day, feed


def rejects(run):
    reports = run.reports()
    return reports["match_id"][(reports["kind"] == KINDS["reject"]) & (reports["order_id"] == 0)].tolist()


def test_kill_switch_pulls_everything_and_refuses_until_armed():
    run, day, feed = running()
    assert len(run.venue.orders()) == 2
    run.desk.limits.kill(by="test")
    day.add(3, BUY, 999_400, 100)  # the best bid moves, and with it what is wanted
    feed()
    assert run.venue.orders() == []
    assert set(rejects(run)) == {Result.KILLED}
    sent = run.desk.orders_sent
    day.add(4, BUY, 999_500, 100)
    feed()
    assert (run.venue.orders(), run.desk.orders_sent, run.desk.in_flight) == ([], sent, 0)
    run.desk.limits.arm(by="test")
    day.add(5, BUY, 999_600, 100)
    feed()
    assert len(run.venue.orders()) == 2
    assert [(c.key, c.by) for c in run.desk.limits.audit[-2:]] == [("killed", "test"), ("killed", "test")]


def test_kill_switch_of_another_process_pulls_everything():
    run, day, feed = running()
    run.desk.limits.kill_switch.kill()
    day.add(3, BUY, 999_400, 100)
    feed()
    assert (run.venue.orders(), run.desk.limits.killed) == ([], "kill switch")


def test_loss_limit_of_the_account_pulls_everything_and_the_run_goes_on():
    run, day, feed = running(max_day_loss=0.01)
    day.add(3, SELL, 999_700, 60)  # fills our bid at 99.98; the middle falls to 99.935
    feed()
    assert run.desk.limits.killed == "loss of the day"
    assert (run.venue.orders(), run.stopped, run.desk.in_flight) == ([], False, 0)
    day.add(4, BUY, 999_500, 100)
    feed()
    assert run.venue.orders() == []
    assert set(rejects(run)) == {Result.LOSS_DAY}


def test_limits_change_during_a_run():
    run, day, feed = running()
    run.desk.limits.change(max_order_lots=50, by="risk officer")
    day.add(3, BUY, 999_400, 100)
    feed()
    assert set(rejects(run)) == {Result.LIMIT_SIZE}
    assert run.desk.limits.rejected == {"size limit": run.desk.risk_rejects}
    assert run.venue.orders() == [], "an order that a limit refuses pulls the one that it would have replaced"


def test_desk_knows_the_last_trade_and_the_book():
    run, day, feed = running(last_collar_ticks=10**6)
    assert set(rejects(run)) == {Result.LIMIT_LAST}, "nothing has traded yet"
    refused = run.desk.risk_rejects
    day.execute(1, 1).add(3, BUY, 999_400, 100)
    feed()
    assert (run.desk.risk_rejects, len(run.venue.orders())) == (refused, 2)


def test_rate_of_messages_counts_pulls_and_replacements():
    run, _, _ = running(messages_per_minute=1)
    assert rejects(run) == [Result.RATE_MINUTE]
    assert len(run.venue.orders()) == 1


def test_exposures_count_orders_that_work():
    assert rejects(running(max_gross_value=10_000.0)[0]) == [], "100 shares either way at the middle of 100"
    assert rejects(running(max_gross_value=9_999.9)[0]) == [Result.LIMIT_GROSS] * 2


def test_fees_of_a_run_are_exact():
    run, day, feed = running(fees=Fees("0.00295", per_order="0.5"))
    day.add(3, SELL, 999_700, 60).delete(3)
    feed()
    position = run.desk.position(run.symbol_id)
    assert position.position_lots == 60
    assert position.fees * SHARE.unit_value == Fraction("0.00295") * 60 + Fraction("0.5")
    with pytest.raises(ValueError, match="fees need an instrument"):
        Desk().open(0, fees=Fees("0.02%"))
