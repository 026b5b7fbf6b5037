"""The spool keeps every record in order, in the buffer or beyond it."""

import numpy as np
import pytest
from makers.engines import make
from makers.itch import random_day

from fastcore import engine as compiled
from fastcore.engine import Engine
from fastcore.journal import Journal, Spool
from fastcore.market import Market
from fastcore.records import EVENT_DTYPE, KINDS
from fastcore.source import EventSource
from fastcore.tickstore import TickStore
from fastcore.wire.itch import ItchDecoder


def test_spool_is_empty_at_first():
    spool = Spool(EVENT_DTYPE, 4)
    assert (len(spool), spool.drained, spool.dtype) == (0, 0, EVENT_DTYPE)
    assert spool.array().dtype == EVENT_DTYPE
    assert repr(spool) == "Spool(0 records of 64 bytes, 0 of them in a file)"


@pytest.mark.parametrize("capacity", [0, (1 << 24) + 1])
def test_capacity_out_of_range_states_the_rule(capacity):
    with pytest.raises(ValueError, match=f"capacity must be in 1.*: capacity={capacity}"):
        Spool(EVENT_DTYPE, capacity)


def days(count):
    """The events of a random day, so many times, one behind the other."""
    out = np.zeros(20_000, EVENT_DTYPE)
    n, _ = ItchDecoder().decode(random_day(11, 4000), out)
    length = int(out["exch_ns"][n - 1]) + 1
    for day in range(count):
        events = out[:n].copy()
        events["exch_ns"] += day * length
        yield events


def test_reports_beyond_the_buffer_are_those_of_the_parts():
    """A run whose reports are more than the buffer holds gives them all, and again when asked again."""
    one, many = (make(compiled, parameters={"k": 2000.0}) for _ in range(2))
    for i, events in enumerate(days(400)):
        many.feed_events(events)
        if i == 0:
            one.feed_events(events)
    reports = many.reports()
    assert len(reports) > 16_384, "some went to the file"
    assert reports[: len(one.reports())].tobytes() == one.reports().tobytes()
    assert many.reports().tobytes() == reports.tobytes()
    assert np.all(np.diff(reports["seq"].astype(np.int64)) >= 0)


def journalled(path, arrays, **options):
    """A run with a journal in a store; what the journal holds at its end."""
    with TickStore(path, "a", EVENT_DTYPE) as store:
        run = make(compiled, parameters={"k": 2000.0}, journal=Journal(store), **options)
        for events in arrays:
            run.feed_events(events)
        return run, store.records().copy()


def test_journal_has_messages_and_reports_in_the_order_of_our_clock(tmp_path):
    latencies = {"order": 1_000_000, "response": 2_000_000}
    run, events = journalled(tmp_path / "a", days(1), **latencies)
    sent = np.isin(events["kind"], [KINDS[name] for name in ("order", "replace", "pull")])
    assert events[~sent].tobytes() == run.engine.reports().tobytes()
    assert (events["kind"][sent] != KINDS["pull"]).sum() == run.orders_sent > 50
    assert np.all(np.diff(events["local_ns"]) >= 0)
    plain = make(compiled, parameters={"k": 2000.0}, **latencies)
    plain.feed_events(next(days(1)))
    assert plain.engine.reports().tobytes() == run.engine.reports().tobytes()


def test_same_run_writes_the_same_journal(tmp_path):
    """Also one that is much longer than the buffer."""
    one, two = (journalled(tmp_path / name, days(450), sample_every=every)[1] for name, every in (("a", 0), ("b", 1)))
    assert len(one) > 32_768
    assert one.tobytes() == two.tobytes()


def test_journal_needs_a_store_of_events_and_a_way_out(tmp_path):
    with TickStore(tmp_path / "ticks", "a") as store, pytest.raises(ValueError, match="store must be one of events"):
        Journal(store)
    market = Market()
    with TickStore(tmp_path / "events", "a", EVENT_DTYPE) as store, pytest.raises(ValueError, match="needs a source with a way out"):
        Engine(EventSource([]), market, journal=Journal(store))
