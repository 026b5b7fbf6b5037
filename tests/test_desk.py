"""The desk: its rules as cases, and in runs with late answers never two live orders of one side."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit import examples
from makers.engines import make
from makers.itch import random_day

from fastcore import engine as compiled
from fastcore.desk import Desk
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
