"""Rings against their twin, then the laws: order, conservation, and what an overrun loses."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastcore import ring as compiled
from fastcore.errors import FastcoreError, OverrunError
from fastcore.records import EVENT_DTYPE
from fastcore.reference import ring as twin

SMALL = np.dtype([("seq", "u8"), ("price", "i8"), ("x", "u4"), ("y", "u4")])
dtypes = st.sampled_from([EVENT_DTYPE, SMALL])
capacities = st.sampled_from([2, 4, 8, 16, 64])
counts = st.integers(0, 20)


def numbered(dtype, first, count):
    rows = np.zeros(count, dtype)
    rows["price"] = np.arange(first, first + count)
    return rows


def outcome(call, *arguments):
    """What a call returns, or the exception and its message."""
    try:
        result = call(*arguments)
    except (FastcoreError, ValueError) as error:
        return type(error).__name__, str(error)
    if isinstance(result, np.void):
        return result["seq"].item(), result["price"].item()
    if isinstance(result, np.ndarray):
        return result["price"].tolist()
    return result


class Pair:
    """The same command on both rings."""

    def __init__(self, make):
        self.rings = make(compiled), make(twin)

    def same(self, method, *arguments):
        ours, theirs = (outcome(getattr(r, method), *arguments) for r in self.rings)
        assert ours == theirs, method
        return ours

    def pop(self, handles, dtype, count):
        outs = np.zeros(count, dtype), np.zeros(count, dtype)
        results = [outcome(h.try_pop_batch, out) for h, out in zip(handles, outs, strict=True)]
        assert results[0] == results[1]
        n = results[0]
        if isinstance(n, int):
            assert outs[0][:n].tobytes() == outs[1][:n].tobytes()
        return outs[0][:n] if isinstance(n, int) else n

    def claim(self, first, want, keep):
        views = [r.try_claim(want) for r in self.rings]
        assert len(views[0]) == len(views[1])
        n = len(views[0])
        for r, view in zip(self.rings, views, strict=True):
            for field in view.dtype.names:
                view[field] = 0
            view["price"] = np.arange(first, first + n)
            r.commit(min(keep, n))
        return min(keep, n)

    def counters(self, *names):
        for name in (*names, "published", "full", "closed"):
            assert getattr(self.rings[0], name) == getattr(self.rings[1], name), name
        assert len(self.rings[0]) == len(self.rings[1])


commands = st.lists(
    st.one_of(
        st.tuples(st.just("push"), counts, counts),
        st.tuples(st.just("pop"), counts, counts),
        st.tuples(st.just("claim"), counts, counts),
        st.tuples(st.just("peek"), counts, counts),
        st.tuples(st.sampled_from(["push one", "pop one"]), counts, counts),
        st.tuples(st.sampled_from(["join", "latest", "leave", "skip"]), st.integers(0, 3), counts),
    ),
    max_size=60,
)


@given(capacities, dtypes, commands, st.integers(0, 80))
def test_ring_matches_reference(capacity, dtype, steps, close_after):
    pair = Pair(lambda module: module.RingBuffer(capacity, dtype))
    number = 0
    for i, (command, a, b) in enumerate(steps):
        if i == close_after:
            pair.same("close")
        if command == "push":
            done = pair.same("try_push_batch", numbered(dtype, number, a))
            number += done if isinstance(done, int) else 0
        elif command == "push one":
            number += pair.same("try_push", numbered(dtype, number, 1)) is True
        elif command == "pop":
            pair.pop(pair.rings, dtype, a)
        elif command == "pop one":
            pair.same("try_pop")
        elif command == "claim" and i < close_after:
            number += pair.claim(number, a, b)
        elif command == "peek":
            seen = pair.same("try_peek", a)
            if isinstance(seen, list):
                pair.same("release", min(b, len(seen)))
        pair.counters("consumed")


@given(capacities, dtypes, st.booleans(), commands)
def test_broadcast_matches_reference(capacity, dtype, overrun, steps):
    pair = Pair(lambda module: module.BroadcastRing(capacity, dtype, consumers=4, overrun=overrun))
    consumers = {}
    number = 0
    for command, a, b in steps:
        who = consumers.get(b % 4)
        if command in ("push", "claim"):
            if command == "push" or overrun:
                number += pair.same("try_push_batch", numbered(dtype, number, a))
            else:
                number += pair.claim(number, a, b)
        elif command == "push one":
            number += pair.same("try_push", numbered(dtype, number, 1)) is True
        elif command in ("join", "latest") and a not in consumers:
            start = "latest" if command == "latest" else "oldest"
            if start == "oldest" and not overrun and number:
                continue  # where it lies depends on when the producer last looked at the cursors
            consumers[a] = [r.consumer(start) for r in pair.rings]
        elif command == "leave" and a in consumers and len(consumers) > 1:
            for c in consumers.pop(a):
                c.detach()
        elif command == "skip" and who:
            skipped = [c.resynchronise(min(b, capacity)) for c in who]
            assert skipped[0] == skipped[1]
        elif command == "pop" and who:
            pair.pop(who, dtype, a)
        elif command == "pop one" and who:
            assert outcome(who[0].try_pop) == outcome(who[1].try_pop)
        elif command == "peek" and who and not overrun:
            seen = [c.try_peek(a)["price"].tolist() for c in who]
            assert seen[0] == seen[1]
            for c in who:
                c.release(len(seen[0]))
        for c in consumers.values():
            assert [(x.position, x.consumed, x.lost, len(x)) for x in c[:1]] == [
                (x.position, x.consumed, x.lost, len(x)) for x in c[1:]
            ]
        assert pair.rings[0].published == pair.rings[1].published


@given(capacities, st.lists(st.tuples(st.booleans(), st.integers(1, 30)), max_size=80))
def test_ring_preserves_fifo_order_and_conserves_records(capacity, steps):
    ring = compiled.RingBuffer(capacity)
    out = np.zeros(32, EVENT_DTYPE)
    sent = received = 0
    for push, count in steps:
        if push:
            sent += ring.try_push_batch(numbered(EVENT_DTYPE, sent, count))
        else:
            n = ring.try_pop_batch(out[:count])
            assert out["price"][:n].tolist() == list(range(received, received + n))
            assert out["seq"][:n].tolist() == list(range(received + 1, received + n + 1))
            received += n
        assert 0 <= sent - received <= capacity
        assert (ring.published, ring.consumed, len(ring)) == (sent, received, sent - received)


@given(capacities, st.lists(st.tuples(st.integers(0, 40), st.integers(1, 40)), max_size=40))
def test_overrun_conserves_records(capacity, steps):
    ring = compiled.BroadcastRing(capacity, overrun=True)
    consumer = ring.consumer()
    out = np.zeros(40, EVENT_DTYPE)
    last = 0
    losses = []
    for pushed, wanted in steps:
        assert ring.try_push_batch(numbered(EVENT_DTYPE, ring.published, pushed)) == pushed
        try:
            n = consumer.try_pop_batch(out[:wanted])
        except OverrunError as error:
            n = 0
            losses.append(error.lost)
        for seq, price in zip(out["seq"][:n].tolist(), out["price"][:n].tolist(), strict=True):
            assert seq == price + 1 > last
            last = seq
        assert consumer.consumed + consumer.lost + len(consumer) == ring.published
    assert all(lost > 0 for lost in losses)
    assert sum(losses) == consumer.lost


@given(st.sampled_from([2, 8, 64]), st.lists(st.one_of(st.none(), st.floats()), max_size=200))
def test_float_ring_matches_reference(size, steps):
    ours, theirs = compiled.LockFreeRingBuffer(size), twin.LockFreeRingBuffer(size)
    for value in steps:
        a, b = (ours.pop(), theirs.pop()) if value is None else (ours.push(value), theirs.push(value))
        assert a == b or (a != a and b != b)
        assert (len(ours), ours.published, ours.consumed, ours.full) == (
            len(theirs),
            theirs.published,
            theirs.consumed,
            theirs.full,
        )


@given(st.binary(max_size=200))
def test_ring_roundtrips_bytes(data):
    ring = compiled.RingBuffer(2)
    record = (bytes(8) + data).ljust(64, b"\0")
    if len(record) > 64:
        with pytest.raises(ValueError, match="size of a slot"):
            ring.push(record)
        return
    ring.push(record)
    assert ring.pop().tobytes()[8:] == record[8:]
