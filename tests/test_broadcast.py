"""Broadcast rings: every consumer gets every record, back-pressure, overrun, views, on the compiled module and its twin."""

import gc
import pickle

import numpy as np
import pytest
from makers.rings import events, prices

from fastcore import broadcast as compiled
from fastcore.errors import OverrunError, RingError
from fastcore.records import EVENT_DTYPE

MODULE = "broadcast"


@pytest.mark.parametrize("capacity", [0, 1, 1000, 2**64 + 1])
def test_capacity_must_be_a_power_of_two(impl, capacity):
    with pytest.raises(ValueError, match=f"capacity must be a power of two, 2 or more: capacity={capacity}$"):
        impl.BroadcastRing(capacity)
    with pytest.raises(TypeError):
        impl.BroadcastRing(float(capacity))


def test_rings_are_not_pickled(impl):
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(impl.BroadcastRing(2))


def test_handles_are_not_made_by_hand():
    with pytest.raises(TypeError, match=r"BroadcastRing\.consumer"):
        compiled.BroadcastConsumer()
    with pytest.raises(TypeError, match=r"BroadcastRing\.consumer"):
        compiled.BroadcastConsumer.__new__(compiled.BroadcastConsumer)
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(compiled.BroadcastRing(2).consumer())
    with pytest.raises(TypeError):
        compiled.BroadcastRing()


def test_each_consumer_gets_every_record(impl):
    ring = impl.BroadcastRing(8, consumers=3)
    consumers = [ring.consumer() for _ in range(3)]
    out = np.zeros(8, EVENT_DTYPE)
    for start in range(0, 40, 5):
        assert ring.try_push_batch(events(*range(start, start + 5))) == 5
        for c in consumers:
            assert c.try_pop_batch(out) == 5
            assert prices(out[:5]) == list(range(start, start + 5))
            assert out["seq"][:5].tolist() == list(range(start + 1, start + 6))
    assert [(c.position, c.consumed, c.lost, len(c)) for c in consumers] == [(40, 40, 0, 0)] * 3


def test_slowest_consumer_holds_the_producer_back(impl):
    ring = impl.BroadcastRing(4)
    fast, slow = ring.consumer(), ring.consumer()
    out = np.zeros(4, EVENT_DTYPE)
    assert ring.try_push_batch(events(1, 2, 3, 4, 5)) == 4
    assert fast.try_pop_batch(out) == 4
    assert ring.try_push(events(5)) is False
    assert slow.try_pop_batch(out[:2]) == 2
    assert ring.try_push_batch(events(5, 6, 7)) == 2
    assert (len(ring), len(fast), len(slow), ring.full) == (4, 2, 4, 3)
    slow.detach()
    slow.detach()
    assert len(ring) == 2
    assert ring.try_push_batch(events(7, 8)) == 2
    with pytest.raises(RingError, match="this consumer is detached"):
        slow.try_pop()


def test_records_wait_for_the_first_consumer(impl):
    ring = impl.BroadcastRing(4)
    assert ring.try_push_batch(events(1, 2, 3, 4, 5)) == 4
    with ring.consumer() as c:
        assert [int(c.pop()["price"]) for _ in range(4)] == [1, 2, 3, 4]
        assert c.try_pop() is None


def test_consumer_can_start_at_the_next_record(impl):
    ring = impl.BroadcastRing(8)
    first = ring.consumer()
    ring.push_batch(events(1, 2, 3))
    late = ring.consumer("latest")
    ring.push(events(4))
    assert int(late.pop()["price"]) == 4
    assert int(first.pop()["price"]) == 1
    with pytest.raises(ValueError, match="start must be 'oldest' or 'latest': start='now'"):
        ring.consumer("now")


def test_consumers_are_limited(impl):
    ring = impl.BroadcastRing(4, consumers=2)
    a, b = ring.consumer(), ring.consumer()
    with pytest.raises(RingError, match="all the consumers it allows: consumers=2"):
        ring.consumer()
    b.detach()
    c = ring.consumer()
    assert [row["id"] for row in ring.consumers] == [0, 1]
    assert ring.evict_dead() == 0
    assert len(a) == len(c) == 0
    for most in (0, -1, 1025):
        with pytest.raises(ValueError, match=f"consumers must be in 1..1024: consumers={most}"):
            impl.BroadcastRing(4, consumers=most)


def test_broadcast_views(impl):
    ring = impl.BroadcastRing(4)
    c = ring.consumer()
    ring.claim(3)["price"] = [1, 2, 3]
    ring.commit()
    assert prices(c.peek(2)) == [1, 2]
    c.release()
    assert prices(c.try_peek(9)) == [3]
    c.release()
    with pytest.raises(RingError, match="release must follow a peek"):
        c.release()
    assert len(ring.try_claim(4)) == 1
    ring.commit(0)


def test_broadcast_close(impl):
    ring = impl.BroadcastRing(4)
    c = ring.consumer()
    ring.push(events(1))
    ring.close()
    with pytest.raises(RingError, match="closed"):
        ring.push(events(2))
    assert int(c.pop()["price"]) == 1
    for call in (c.pop, c.try_pop, c.peek, lambda: c.pop_batch(events(0))):
        with pytest.raises(RingError, match="the ring is closed: published=1"):
            call()


def test_overrun_is_an_error_with_the_number_lost(impl):
    ring = impl.BroadcastRing(8, overrun=True)
    c = ring.consumer()
    out = np.zeros(8, EVENT_DTYPE)
    assert ring.push_batch(events(*range(1, 21))) == 20
    with pytest.raises(OverrunError, match="overtook this consumer: lost=16, position=16, total lost=16") as info:
        c.try_pop_batch(out)
    assert info.value.lost == 16
    assert c.try_pop_batch(out) == 4
    assert prices(out[:4]) == [17, 18, 19, 20]
    assert (ring.published, c.consumed, c.lost, len(c), ring.full) == (20, 4, 16, 0, 0)
    ring.push_batch(events(*range(21, 40)))
    with pytest.raises(OverrunError):
        c.pop()
    assert int(c.pop()["price"]) == 36
    assert c.consumed + c.lost + len(c) == ring.published


def test_a_full_overrun_ring_can_still_be_read_whole(impl):
    ring = impl.BroadcastRing(8, overrun=True)
    c = ring.consumer()
    out = np.zeros(16, EVENT_DTYPE)
    ring.push_batch(events(*range(8)))
    assert c.try_pop_batch(out) == 8
    assert prices(out[:8]) == list(range(8))
    assert c.lost == 0


def test_resynchronise_skips_and_counts(impl):
    ring = impl.BroadcastRing(8)
    c = ring.consumer()
    ring.push_batch(events(*range(6)))
    assert c.resynchronise(2) == 4
    assert int(c.pop()["price"]) == 4
    assert c.resynchronise(5) == 0
    assert c.resynchronise() == 1
    assert (c.consumed, c.lost, len(c)) == (1, 5, 0)
    with pytest.raises(ValueError, match=r"keep must be in 0\.\.capacity: keep=9, capacity=8"):
        c.resynchronise(9)


def test_overrun_rings_have_no_views(impl):
    ring = impl.BroadcastRing(8, overrun=True)
    assert ring.overrun
    with pytest.raises(RingError, match="no zero-copy views"):
        ring.try_claim()
    with pytest.raises(RingError, match="no zero-copy views"):
        ring.consumer().try_peek()


def test_consumer_that_is_dropped_leaves():
    ring = compiled.BroadcastRing(4)
    c = ring.consumer()
    ring.push_batch(events(1, 2, 3, 4))
    assert ring.try_push(events(5)) is False
    assert len(ring.consumers) == 1
    del c
    gc.collect()
    assert ring.consumers == []
