"""The simulator: the law of time and order, under any latencies, with one market for both clocks or one for each."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit import examples
from makers.engines import make
from makers.itch import random_day

from fastcore import engine as compiled
from fastcore.desk import Desk
from fastcore.engine import Engine
from fastcore.errors import CorruptDataError
from fastcore.journal import Journal
from fastcore.market import Market
from fastcore.records import BUY, EVENT_DTYPE, KINDS, SELL
from fastcore.reference import engine as reference
from fastcore.ring import RingBuffer
from fastcore.ring_source import RingSource
from fastcore.sim.latency import Latency
from fastcore.sim.simulator import Simulator
from fastcore.source import EventSource
from fastcore.strategies.tape import Tape
from fastcore.tickstore import TickStore
from fastcore.wire.itch import ItchDecoder


def coarse(seed, messages, grain):
    """The events of a random day whose times are multiples of `grain` ns: many share one."""
    out = np.zeros(20_000, EVENT_DTYPE)
    n, _ = ItchDecoder().decode(random_day(seed, messages), out)
    events = out[:n].copy()
    events["exch_ns"] -= events["exch_ns"] % grain
    return events


MS = 1_000_000


def seeded(name, latency):
    return iter(latency.delays(np.zeros(5_000, np.int64), name).tolist())


@st.composite
def latencies(draw):
    """Latencies of a run, and the same for the twin."""
    delays = st.sampled_from([0, 1, MS, 3 * MS, 10 * MS])
    feed, order, response = draw(delays), draw(delays), draw(delays)
    options = {"feed_ns": feed, "order": order, "response": response}
    if draw(st.booleans()):
        options["local_offset_ns"] = draw(st.integers(-3 * MS, 3 * MS))
    twin = dict(options)
    for name in ("order", "response"):
        if draw(st.booleans()):
            options[name] = Latency(draw(st.sampled_from([MS, 4 * MS])), draw(st.sampled_from([1, 2 * MS])), log=draw(st.booleans()))
            twin[name] = seeded(f"venue.{name}", options[name])
    return options, twin


@examples(150)
@given(st.integers(0, 10**6), latencies(), st.sampled_from([1, 3 * MS, 20 * MS]), st.booleans())
def test_run_follows_the_law_of_time_and_order(seed, options, grain, two_books):
    """Against one heap over two worlds: whatever the latencies are, whether one market serves both clocks or not."""
    events = coarse(seed, 300, grain)
    rng = np.random.default_rng(seed)
    events["local_ns"] = events["exch_ns"] + rng.integers(0, 6 * MS, len(events))
    events["local_ns"][rng.random(len(events)) < 0.1] = 0
    options, twin = options
    ours = make(compiled, two_books=two_books, parameters={"k": 300.0}, **options)
    theirs = make(reference, parameters={"k": 300.0}, **twin)
    for run in (ours, theirs):
        run.feed_events(events)
    assert ours.reports().tobytes() == theirs.reports().tobytes()
    assert ours.curve().tobytes() == theirs.curve().tobytes()
    assert (ours.quotes, ours.fills, ours.profit, ours.quote()) == (theirs.quotes, theirs.fills, theirs.profit, theirs.quote())


@examples(40)
@given(st.integers(0, 10**6), latencies(), st.sampled_from([1, 3 * MS]), st.integers(1, 90))
def test_pieces_of_the_history_change_nothing(seed, options, grain, size):
    events = coarse(seed, 300, grain)
    whole, parts = make(compiled, **options[0]), make(compiled, sample_every=3, **options[0])
    whole.feed_events(events)
    parts.given.items.extend(events[at : at + size] for at in range(0, len(events), size))
    parts.feed_events(events[:0])
    assert parts.reports().tobytes() == whole.reports().tobytes()
    assert parts.curve().tobytes() == whole.curve().tobytes()
    assert (parts.quotes, parts.profit) == (whole.quotes, whole.profit)


@examples(40)
@given(st.integers(0, 10**6), latencies(), st.integers(20, 250), st.booleans(), st.booleans())
def test_what_was_sent_does_not_depend_on_what_comes_later(seed, options, cut, shuffle, recorded):
    """No look-ahead: the history is cut, or what is later put into another order."""
    events, options = coarse(seed, 300, 1), options[0]
    if recorded:
        times = np.linspace(events["exch_ns"][0], events["exch_ns"][-1], 40).astype(np.int64)
        for name in ("order", "response"):
            options[name] = Latency.recorded(times, np.random.default_rng(seed).integers(0, 5 * MS, len(times)))
    last_ns = int(events["exch_ns"][cut - 1])
    later = events[cut:].copy()
    if shuffle:
        names = [name for name in later.dtype.names if name != "exch_ns"]
        order = np.random.default_rng(seed).permutation(len(later))
        for name in names:
            later[name] = later[name][order]
    sent = []
    for history in (events, np.concatenate([events[:cut], later]) if shuffle else events[:cut]):
        run = make(compiled, **options)
        run.feed_events(history)
        reports = run.engine.reports()
        sent.append(reports[reports["local_ns"] <= last_ns].tobytes())
    assert sent[0] == sent[1]


def adds(*rows):
    """Rows (time, order id, side, price, size)."""
    out = np.zeros(len(rows), EVENT_DTYPE)
    for event, (time, order_id, side, price, size) in zip(out, rows, strict=True):
        event["exch_ns"], event["order_id"], event["kind"] = time, order_id, KINDS["add"]
        event["side"], event["price"], event["size"], event["symbol_id"] = side, price, size, 7
    return out


BOOK = [(5, 1, BUY, 999_000, 500), (5, 2, SELL, 1_001_000, 500)]


def acks(run):
    reports = run.reports()
    return [tuple(int(r[name]) for name in ("seq", "side", "price", "match_id")) for r in reports[reports["kind"] == KINDS["ack"]]]


def test_maker_answers_a_time_as_a_whole():
    """It has seen the bid at 99.98, which moves the middle up, before it quotes."""
    run = make(compiled, volatility=False)
    run.feed_events(adds(*BOOK, (5, 3, BUY, 999_800, 60)))
    assert acks(run)[0] == (3, BUY, 1_000_200, 0)


def test_best_prices_that_are_the_same_after_an_instant_are_no_news():
    events = adds(*BOOK, (6, 3, BUY, 999_500, 10), (6, 4, BUY, 999_100, 10))
    gone = np.zeros(1, EVENT_DTYPE)
    gone["exch_ns"], gone["kind"], gone["order_id"], gone["symbol_id"] = 6, KINDS["delete"], 3, 7
    deep = adds((7, 5, BUY, 998_000, 10))
    run = make(compiled, volatility=False)
    run.feed_events(np.concatenate([events[:3], gone, deep]))
    assert run.quotes == 1


def test_image_does_not_move_the_clock_and_time_never_goes_back():
    times = [5, 5, 4, 9, 8, 9]
    events = adds(*((t, i + 1, BUY, 999_000 - i, 5) for i, t in enumerate(times)))
    run = make(compiled, volatility=False)
    run.feed_events(events)
    assert run.engine.last_ns == 9
    assert run.market.events == 6


def test_history_that_fails_is_told_behind_what_came_before():
    def broken():
        yield adds(*BOOK)
        raise CorruptDataError("gone")

    market = Market()
    simulator = Simulator(EventSource(broken()), market)
    with pytest.raises(CorruptDataError, match="gone"):
        Engine(simulator, market).run()
    assert market.events == 2


def test_venue_of_an_instrument_is_opened_once():
    simulator = Simulator(EventSource([]), Market(symbols=8))
    assert simulator.open(3) is simulator.open(3)
    assert sorted(simulator.venues) == [3]
    with pytest.raises(ValueError, match=r"symbol_id must be in 0\.\.7: symbol_id=8"):
        simulator.open(8)


def test_loop_finds_the_venues_that_it_was_given():
    simulator = Simulator(EventSource([]), Market(symbols=8))
    simulator.open(3)
    with pytest.raises(AttributeError):
        simulator.venues.clear()
    with pytest.raises(TypeError):
        del simulator.venues[3]


def test_venue_outlives_what_it_looks_things_up_in():
    venues = [Simulator(EventSource([]), Market("levels", symbols=70_000)).open(65_000) for _ in range(20)]
    there = [np.full(70_000, 3, np.uint8) for _ in range(40)]  # what takes the place of memory that was freed
    assert {venue.trading for venue in venues} == {None} and len(there) == 40


@pytest.mark.parametrize("journal", [False, True])
def test_engine_is_whole_after_another_one_on_its_parts_is_gone(tmp_path, journal):
    events = coarse(1, 4_000, 1)
    market, desk = Market(symbols=8), Desk(symbols=8)
    simulator = Simulator(EventSource(events), market)
    engine = Engine(simulator, market, desk, {"tape": Tape(0, TickStore(tmp_path / "a.ticks", "a"))}, sample_every=1)
    store = TickStore(tmp_path / "j", "a", EVENT_DTYPE)
    other = Engine(simulator, market, desk, {}, sample_every=1, journal=Journal(store) if journal else None)
    other.stop()
    del other, store
    there = [bytearray(b"\xff") * size for size in range(64, 8_000, 8) for _ in range(4)]  # in its place
    assert engine.run() == "end"
    assert market.events == len(events) and there
    assert engine.stopwatch.stages["total"].count > 1_000


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        (lambda m: (EventSource([]), m, {"feed_ns": -1}), "feed_ns must be in 0..1152921504606846976: feed_ns=-1"),
        (lambda m: (RingSource(RingBuffer(8, EVENT_DTYPE)), m, {}), "history must be a source of recorded events"),
        (lambda m: (EventSource([]), m, {"venue_market": m}), "venue_market must be another market"),
        (lambda m: (EventSource([]), m, {"venue_market": Market("levels")}), "with the same books"),
    ],
)
def test_constructor_states_the_rule(arguments, rule):
    history, market, options = arguments(Market())
    with pytest.raises(ValueError, match=rule):
        Simulator(history, market, **options)
