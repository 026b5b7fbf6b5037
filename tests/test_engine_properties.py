"""The engine against its twin on random days, then laws of every run."""

from hypothesis import given
from hypothesis import strategies as st
from kit import examples
from makers.engines import make
from makers.itch import random_day

from fastcore import engine as compiled
from fastcore.records import BUY, KINDS
from fastcore.reference import engine as reference

DAYS = st.builds(random_day, st.integers(0, 10**6), st.integers(50, 400))


@st.composite
def settings_of_engines(draw):
    return {
        "parameters": {
            "gamma": draw(st.sampled_from([0.01, 0.1, 1.0])),
            "k": draw(st.sampled_from([20.0, 100.0, 1000.0])),
            "sigma": draw(st.sampled_from([0.0, 0.05])),
            "inventory_limit": draw(st.sampled_from([100.0, 500.0])),
            "min_spread_ticks": draw(st.sampled_from([1, 300])),
        },
        "limits": (draw(st.sampled_from([50, 100])), draw(st.sampled_from([100, 400])), draw(st.sampled_from([300, 10**6]))),
        "volatility": draw(st.booleans()),
        "order_lots": draw(st.sampled_from([1, 50, 100])),
        "maker_fee_ticks": draw(st.integers(-30, 30)),
        "max_loss": draw(st.sampled_from([None, 20_000])),
        "curve_interval_ns": draw(st.sampled_from([1, 5_000_000])),
    }


@examples(40)
@given(DAYS, settings_of_engines())
def test_engine_matches_reference(data, options):
    ours, theirs = make(compiled, **options), make(reference, **options)
    ours.feed(data)
    theirs.feed(data)
    assert ours.reports().tobytes() == theirs.reports().tobytes()
    assert ours.curve().tobytes() == theirs.curve().tobytes()
    for name in (
        "events", "book_errors", "quotes", "orders_sent", "risk_rejects", "fills", "traded_lots", "mid_ticks", "profit",
        "stopped", "symbols", "messages", "listed", "last_ns",
    ):  # fmt: skip
        assert getattr(ours, name) == getattr(theirs, name), name
    assert ours.quote() == theirs.quote()
    assert ours.limits.rejected == theirs.limits.rejected
    assert ours.decoder.counts == theirs.decoder.counts


@examples(40)
@given(DAYS, settings_of_engines())
def test_reports_account_for_every_lot(data, options):
    engine = make(compiled, **options)
    engine.feed(data)
    reports = engine.reports()
    left = {}
    for kind, side, price, size, order_id in zip(
        *(reports[name].tolist() for name in ("kind", "side", "price", "size", "order_id")), strict=True
    ):
        if kind == KINDS["ack"]:
            assert order_id not in left
            left[order_id] = [side, price, size]
        elif kind == KINDS["fill"]:
            assert (price, side) == (left[order_id][1], left[order_id][0])
            left[order_id][2] -= size
            assert left[order_id][2] >= 0
        elif kind == KINDS["pulled"]:
            assert left.pop(order_id)[2] == size
    resting = {i: row for i, row in left.items() if row[2]}
    assert {o[0]: [o[1], o[2], o[3]] for o in engine.venue.orders()} == resting
    fills = reports[reports["kind"] == KINDS["fill"]]
    signed = fills["size"].astype(object) * fills["side"]
    assert engine.position.position_lots == sum(signed)
    assert engine.position.cash == -sum(signed * fills["price"].astype(object))
    engine.venue.check()


@examples(40)
@given(DAYS, settings_of_engines())
def test_position_never_passes_the_limit(data, options):
    engine = make(compiled, **options)
    engine.feed(data)
    assert abs(engine.curve()["position_lots"]).max(initial=0) <= options["limits"][1]


@examples(40)
@given(DAYS, settings_of_engines())
def test_own_quotes_never_cross_each_other_and_lie_on_the_grid(data, options):
    engine = make(compiled, **options)
    engine.feed(data)
    resting = {}
    for report in engine.reports().tolist():
        kind, side, price, order_id = report[4], report[5], report[7], report[9]
        if kind == KINDS["ack"]:
            assert price % 100 == 0
            resting[order_id] = (side, price)
        elif kind == KINDS["pulled"]:
            resting.pop(order_id, None)
    bids = [o[2] for o in engine.venue.orders() if o[1] == BUY]
    asks = [o[2] for o in engine.venue.orders() if o[1] != BUY]
    assert max(bids, default=0) < min(asks, default=2**62)


@examples(40)
@given(DAYS, st.lists(st.integers(1, 400), min_size=1, max_size=5))
def test_chunks_change_nothing(data, sizes):
    whole, parts = make(compiled), make(compiled, sample_every=1)
    whole.feed(data)
    rest, at, turn = b"", 0, 0
    while at < len(data):
        rest += data[at : at + sizes[turn % len(sizes)]]
        at += sizes[turn % len(sizes)]
        turn += 1
        rest = rest[parts.feed(rest) :]
    assert parts.reports().tobytes() == whole.reports().tobytes()
    assert parts.curve().tobytes() == whole.curve().tobytes()


@examples(60)
@given(st.binary(max_size=400), st.integers(0, 200))
def test_arbitrary_bytes_never_break_the_loop(noise, keep):
    data = random_day(1, 60)
    engine = make(compiled, skip_malformed=True)
    engine.feed(data[: keep * 20])
    engine.feed(noise)
    engine.feed(data[keep * 20 :])
    engine.venue.check()
    assert engine.messages <= len(data) + len(noise)
