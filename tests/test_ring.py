"""Rings of one producer and one consumer: order, fullness, views, waiting, closing, on the compiled module and its twin."""

import gc
import math
import os
import pickle
import signal
import threading
import time
import uuid

import numpy as np
import pytest
from kit import same_kind
from makers.rings import SMALL, events, prices

from fastcore import _slots
from fastcore import ring as compiled
from fastcore.errors import RingError
from fastcore.records import EVENT_DTYPE, QUOTE_DTYPE, TICK_DTYPE

MODULE = "ring"


@pytest.fixture
def name():
    value = f"fc-test-{uuid.uuid4().hex[:12]}"
    yield value
    compiled.RingBuffer.unlink(value)


# ---- one producer, one consumer


def test_records_come_out_in_order_with_publication_numbers(impl):
    ring = impl.RingBuffer(8)
    out = np.zeros(5, EVENT_DTYPE)
    taken = []
    for start in range(0, 40, 4):
        assert ring.try_push_batch(events(*range(start, start + 4))) == 4
        n = ring.try_pop_batch(out)
        taken += list(zip(out["seq"][:n].tolist(), prices(out[:n]), strict=True))
    assert taken == [(i + 1, i) for i in range(40)]
    assert (ring.published, ring.consumed, ring.full, len(ring)) == (40, 40, 0, 0)


def test_full_ring_takes_what_fits_and_counts(impl):
    ring = impl.RingBuffer(4)
    assert ring.try_push_batch(events(1, 2, 3)) == 3
    assert ring.full == 0
    assert ring.try_push_batch(events(4, 5, 6)) == 1
    assert ring.try_push(events(7)) is False
    assert (ring.published, ring.full, len(ring)) == (4, 2, 4)
    out = np.zeros(8, EVENT_DTYPE)
    assert ring.try_pop_batch(out) == 4
    assert prices(out[:4]) == [1, 2, 3, 4]
    assert ring.try_pop_batch(out) == 0


def test_single_records_from_void_array_and_bytes(impl):
    ring = impl.RingBuffer(4)
    rows = events(1, 2, 3)
    assert ring.try_push(rows[0])
    assert ring.try_push(rows[1:2])
    assert ring.try_push(rows[2].tobytes())
    assert [int(ring.try_pop()["price"]) for _ in range(3)] == [1, 2, 3]
    assert ring.try_pop() is None


def test_popped_record_is_a_copy(impl):
    ring = impl.RingBuffer(2)
    ring.push(events(1))
    record = ring.pop()
    ring.push_batch(events(2, 3))
    assert int(record["price"]) == 1


def test_records_of_another_layout(impl):
    ring = impl.RingBuffer(4, SMALL)
    rows = np.zeros(3, SMALL)
    rows["value"] = math.nan, math.inf, -0.0
    rows["tag"] = 1, 2, 3
    assert ring.try_push_batch(rows) == 3
    out = np.zeros(3, SMALL)
    assert ring.try_pop_batch(out) == 3
    assert out["seq"].tolist() == [1, 2, 3]
    rows["seq"] = out["seq"]
    assert out.tobytes() == rows.tobytes()
    assert (ring.capacity, ring.dtype, ring.role, ring.name) == (4, SMALL, "both", None)


@pytest.mark.parametrize("capacity", [-8, 0, 1, 3, 1000, 2**64 + 1])
def test_capacity_must_be_a_power_of_two(impl, capacity):
    with pytest.raises(ValueError, match=f"capacity must be a power of two, 2 or more: capacity={capacity}$"):
        impl.RingBuffer(capacity)


@pytest.mark.parametrize("capacity", [8.0, "8", True, math.nan])
def test_capacity_must_be_an_integer(impl, capacity):
    with pytest.raises(TypeError):
        impl.RingBuffer(capacity)


def test_capacity_beyond_memory_is_an_error():
    with pytest.raises(ValueError, match="must stay below"):
        compiled.RingBuffer(2**40)


@pytest.mark.parametrize(
    ("dtype", "error", "rule"),
    [
        ("f8", TypeError, "first field of a record must be seq"),
        (TICK_DTYPE, TypeError, "first field of a record must be seq"),
        ([("seq", "i8"), ("x", "i8")], TypeError, "first field of a record must be seq"),
        ([("seq", ">u8"), ("x", "i8")], TypeError, "first field of a record must be seq"),
        ([("x", "i8"), ("seq", "u8")], TypeError, "first field of a record must be seq"),
        ([("seq", "u8"), ("x", "O")], TypeError, "must not hold Python objects"),
        ([("seq", "u8"), ("x", "i4")], ValueError, "multiple of 8 bytes.*itemsize=12"),
        ([("seq", "u8")], ValueError, "multiple of 8 bytes.*itemsize=8"),
        ({"names": ["seq", "x"], "formats": ["u8", "u8"], "offsets": [8, 0], "itemsize": 16}, TypeError, "offset 0"),
        (
            {"names": ["seq", "x"], "formats": ["u8", "u8"], "offsets": [0, 4], "itemsize": 16},
            TypeError,
            "overlap seq.*offset=4",
        ),
    ],
)
def test_dtype_rules(impl, dtype, error, rule):
    with pytest.raises(error, match=rule):
        impl.RingBuffer(8, dtype)


def test_arrays_are_checked(impl):
    ring = impl.RingBuffer(8)
    locked = events(1, 2)
    locked.flags.writeable = False
    assert ring.try_push_batch(locked) == 2
    for call, what in ((ring.try_push_batch, "records"), (ring.try_pop_batch, "out"), (ring.push_batch, "records")):
        with pytest.raises(TypeError, match=f"{what} must be a NumPy array: type=list"):
            call([1, 2])
        with pytest.raises(TypeError, match=f"{what} must be a NumPy array: type=NoneType"):
            call(None)
        with pytest.raises(ValueError, match=rf"{what} must have one dimension: shape=\(2, 2\)"):
            call(np.zeros((2, 2), EVENT_DTYPE))
        with pytest.raises(TypeError, match=f"{what} must hold the records of the ring"):
            call(np.zeros(2, QUOTE_DTYPE))
        with pytest.raises(TypeError, match=f"{what} must hold the records of the ring"):
            call(np.zeros(2, EVENT_DTYPE.newbyteorder()))
        with pytest.raises(ValueError, match=f"{what} must be contiguous: strides=\\(128,\\), itemsize=64"):
            call(np.zeros(4, EVENT_DTYPE)[::2])
    with pytest.raises(ValueError, match="out must be writable"):
        ring.try_pop_batch(locked)
    with pytest.raises(TypeError, match="record must be one record"):
        ring.try_push(events(1, 2))
    with pytest.raises(TypeError, match="record must be one record"):
        ring.try_push(np.zeros(1, QUOTE_DTYPE)[0])
    with pytest.raises(ValueError, match="record must have the size of a slot: bytes=63, itemsize=64"):
        ring.try_push(bytes(63))
    with pytest.raises(TypeError):
        ring.try_push(1.5)
    assert (ring.published, ring.consumed) == (2, 0)


def test_empty_batches_do_nothing(impl):
    ring = impl.RingBuffer(2)
    none = events()
    assert ring.try_push_batch(none) == ring.push_batch(none) == ring.try_pop_batch(none) == ring.pop_batch(none) == 0
    assert len(ring.try_claim(0)) == len(ring.try_peek(0)) == 0
    assert (ring.published, ring.consumed, ring.full) == (0, 0, 0)


# ---- views


def test_claim_commit_peek_release(impl):
    ring = impl.RingBuffer(8)
    view = ring.try_claim(3)
    assert len(view) == 3
    view["price"] = 10, 11, 12
    assert ring.published == 0
    assert len(ring.try_peek(3)) == 0
    ring.commit()
    seen = ring.try_peek(10)
    assert (seen["seq"].tolist(), prices(seen)) == ([1, 2, 3], [10, 11, 12])
    ring.release(1)
    assert prices(ring.try_peek(10)) == [11, 12]
    ring.release()
    assert (ring.published, ring.consumed) == (3, 3)


def test_part_of_a_claim_can_be_committed(impl):
    ring = impl.RingBuffer(8)
    ring.try_claim(4)["price"] = [1, 2, 3, 4]
    ring.commit(2)
    assert prices(ring.try_peek(8)) == [1, 2]
    ring.try_claim(1)["price"] = 5
    ring.commit()
    assert prices(ring.try_peek(8)) == [1, 2, 5]


def test_views_end_where_the_memory_ends(impl):
    ring = impl.RingBuffer(8)
    out = np.zeros(6, EVENT_DTYPE)
    ring.push_batch(events(*range(6)))
    ring.pop_batch(out)
    sizes = []
    for n in (2, 3):
        view = ring.try_claim(5 if n == 2 else 3)
        view["price"] = np.arange(len(view)) + 100 * n
        sizes.append(len(view))
        ring.commit()
    assert sizes == [2, 3]
    assert prices(ring.try_peek(5)) == [200, 201]
    ring.release()
    assert prices(ring.try_peek(5)) == [300, 301, 302]


def test_claimed_views_cannot_touch_the_commit_word(impl):
    ring = impl.RingBuffer(4)
    view = ring.try_claim(2)
    assert "seq" not in view.dtype.names
    source = np.zeros(2, EVENT_DTYPE)
    source["seq"] = 1, 2  # just what would publish the slots
    source["price"] = 7, 8
    view[:] = source[list(view.dtype.names)]
    assert len(ring.try_peek(4)) == 0
    ring.commit()
    assert prices(ring.try_peek(4)) == [7, 8]


def test_peeked_views_are_read_only(impl):
    ring = impl.RingBuffer(4)
    ring.push(events(1))
    with pytest.raises(ValueError, match="read-only"):
        ring.try_peek()["price"] = 3


@pytest.mark.parametrize("count", [None, 1])
def test_commit_and_release_need_their_view(impl, count):
    ring = impl.RingBuffer(4)
    with pytest.raises(RingError, match=f"commit must follow a claim of as many slots: count={count}, claimed=0"):
        ring.commit(count)
    with pytest.raises(RingError, match=f"release must follow a peek of as many records: count={count}, peeked=0"):
        ring.release(count)
    with pytest.raises(ValueError, match="count must be 0 or more: count=-1"):
        ring.try_claim(-1)
    with pytest.raises(ValueError, match="count must be 0 or more: count=-1"):
        ring.try_peek(-1)
    ring.try_claim(2)
    with pytest.raises(RingError, match="count=3, claimed=2"):
        ring.commit(3)
    ring.commit()
    with pytest.raises(RingError, match="claimed=0"):
        ring.commit()


def test_views_keep_the_memory_alive():
    ring = compiled.RingBuffer(1024)
    ring.push_batch(events(*range(1000)))
    view = ring.try_peek(1000)
    column = view["price"]
    del ring, view
    gc.collect()
    assert column.tolist() == list(range(1000))


# ---- waiting and closing


@pytest.mark.parametrize("wait", ["spin", "yield", "sleep"])
def test_waiting_ends_with_the_timeout(impl, wait):
    ring = impl.RingBuffer(2, wait=wait)
    start = time.monotonic()
    with pytest.raises(TimeoutError, match="no record before the timeout"):
        ring.pop(0.05)
    with pytest.raises(TimeoutError):
        ring.pop_batch(events(0), timeout=0.05)
    with pytest.raises(TimeoutError):
        ring.peek(timeout=0.05)
    ring.push_batch(events(1, 2))
    with pytest.raises(TimeoutError, match="no room before the timeout"):
        ring.push(events(3), timeout=0.05)
    with pytest.raises(TimeoutError):
        ring.push_batch(events(3), 0.05, wait)
    with pytest.raises(TimeoutError):
        ring.claim(timeout=0.05, wait=wait)
    assert time.monotonic() - start > 0.29  # six waits, none of which gave up early
    assert (ring.published, ring.consumed) == (2, 0)


def test_batch_push_returns_what_was_published_before_the_timeout(impl):
    ring = impl.RingBuffer(4)
    assert ring.push_batch(events(*range(6)), timeout=0.02) == 4
    with pytest.raises(TimeoutError):
        ring.push_batch(events(4, 5), timeout=0.0)
    assert ring.published == 4


@pytest.mark.parametrize("timeout", [-1, -0.001, math.nan, -math.inf])
def test_timeouts_are_not_negative(impl, timeout):
    ring = impl.RingBuffer(2)
    with pytest.raises(ValueError, match="timeout must be 0 or more seconds, or None: timeout="):
        ring.pop(timeout)
    ring.push_batch(events(1, 2))
    with pytest.raises(ValueError, match="timeout must be"):
        ring.push(events(1), timeout=timeout)


def test_unknown_way_to_wait(impl):
    with pytest.raises(ValueError, match="wait must be 'spin', 'yield' or 'sleep': wait='nap'"):
        impl.RingBuffer(2, wait="nap")
    with pytest.raises(ValueError, match="wait must be"):
        impl.RingBuffer(2).pop(1, "nap")


def test_closed_ring_is_drained_then_says_so(impl):
    ring = impl.RingBuffer(8)
    ring.push_batch(events(1, 2, 3))
    ring.close()
    ring.close()
    assert ring.closed
    for call in (
        lambda: ring.try_push(events(4)),
        lambda: ring.push(events(4)),
        lambda: ring.try_push_batch(events(4)),
        lambda: ring.push_batch(events(4)),
        lambda: ring.try_claim(),
        lambda: ring.claim(),
    ):
        with pytest.raises(RingError, match="the ring is closed: published=3"):
            call()
    assert int(ring.pop()["price"]) == 1
    assert prices(ring.try_peek(5)) == [2, 3]
    ring.release()
    for call in (
        ring.try_pop,
        ring.pop,
        ring.try_peek,
        ring.peek,
        lambda: ring.try_pop_batch(events(0)),
        lambda: ring.pop_batch(events(0)),
    ):
        with pytest.raises(RingError, match="the ring is closed: published=3"):
            call()
    assert (ring.published, ring.consumed) == (3, 3)


def test_with_statement_closes_and_detaches(impl):
    with impl.RingBuffer(4) as ring:
        ring.push(events(1))
    assert ring.closed
    assert ring.role is None
    with pytest.raises(RingError, match="this handle is not the producer: name=None, detached=True"):
        ring.push(events(2))
    with pytest.raises(RingError, match="this handle is not the consumer: name=None, detached=True"):
        ring.pop()


@pytest.mark.parametrize("wait", ["spin", "yield", "sleep"])
def test_blocking_calls_release_the_gil(impl, wait):
    ring = impl.RingBuffer(2, wait=wait)
    got = []

    def consume():
        try:
            while True:
                got.append(int(ring.pop()["price"]))
        except RingError:
            pass

    thread = threading.Thread(target=consume)
    thread.start()
    for i in range(20):
        ring.push(events(i), timeout=10)
    ring.close()
    thread.join(10)
    assert got == list(range(20))


@pytest.mark.skipif(os.name != "posix", reason="interval timers are POSIX")
@pytest.mark.parametrize("wait", ["spin", "yield", "sleep"])
@pytest.mark.parametrize("end", ["pop", "push"])
def test_blocking_calls_react_to_signals(wait, end):
    class Interrupt(Exception):
        pass

    seen = []

    def handler(number, frame):
        # The first signal is seen by the call while it waits, or only after its end; then there is no second one.
        seen.append(number)
        if len(seen) == 2:
            raise Interrupt

    ring = compiled.RingBuffer(2, wait=wait)
    if end == "push":
        ring.push_batch(events(1, 2))
    previous = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
    try:
        with pytest.raises(Interrupt):
            ring.pop(20) if end == "pop" else ring.push(events(3), 20)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def test_rings_are_not_pickled(impl):
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(impl.RingBuffer(2))


def test_handles_are_not_made_by_hand():
    with pytest.raises(TypeError, match="RingBuffer or BroadcastRing"):
        _slots._Handle()
    with pytest.raises(TypeError):
        compiled.RingBuffer()


# ---- names, within one process (more in test_ring_shared.py)


def test_named_ring_is_shared_by_name(impl, name):
    producer = impl.RingBuffer(8, name=name)
    consumer = impl.RingBuffer.attach(name, capacity=8)
    assert (producer.role, consumer.role, consumer.capacity, consumer.name) == ("producer", "consumer", 8, name)
    producer.push(events(5))
    assert int(consumer.pop(1)["price"]) == 5
    with pytest.raises(RingError, match="not the consumer"):
        producer.pop()
    with pytest.raises(RingError, match="not the producer"):
        consumer.push(events(1))
    with pytest.raises(RingError, match="a ring has one consumer"):
        impl.RingBuffer.attach(name)
    with pytest.raises(FileExistsError):
        impl.RingBuffer(8, name=name)
    producer.detach()
    consumer.detach()
    with pytest.raises(FileNotFoundError):
        impl.RingBuffer.attach(name)
    assert impl.RingBuffer.unlink(name) is False


def test_named_ring_of_another_layout(impl, name):
    ring = impl.RingBuffer(8, SMALL, name=name)
    with pytest.raises(ValueError, match=f"record size asked for: name={name}, found=24, asked=64"):
        impl.RingBuffer.attach(name)
    with pytest.raises(ValueError, match=f"dtype hash asked for: name={name}, found="):
        impl.RingBuffer.attach(name, [("seq", "u8"), ("value", "f8"), ("mark", "u4"), ("more", "u4")])
    with pytest.raises(ValueError, match=f"capacity asked for: name={name}, found=8, asked=16"):
        impl.RingBuffer.attach(name, SMALL, capacity=16)
    with pytest.raises(ValueError, match="must be a power of two"):
        impl.RingBuffer.attach(name, SMALL, capacity=9)
    with pytest.raises(ValueError, match="this kind of ring"):
        same_kind(impl, "broadcast").BroadcastRing.attach(name, SMALL)
    with pytest.raises(ValueError, match="role must be"):
        impl.RingBuffer.attach(name, SMALL, role="spectator")
    ring.detach()


@pytest.mark.parametrize("bad", ["", ".x", "-x", "a/b", "a b", "x" * 201, "ä"])
def test_names_are_checked(impl, bad):
    for call in (
        lambda: impl.RingBuffer(8, name=bad),
        lambda: impl.RingBuffer.attach(bad),
        lambda: impl.RingBuffer.unlink(bad),
    ):
        with pytest.raises(ValueError, match="name must be 1 to 200"):
            call()
    with pytest.raises(TypeError, match="name must be str"):
        impl.RingBuffer(8, name=b"x")
