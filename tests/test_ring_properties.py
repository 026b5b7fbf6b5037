"""Rings against their twin, then the laws: order and conservation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from makers.rings import Pair, capacities, commands, dtypes, numbered

from fastcore import ring as compiled
from fastcore.records import EVENT_DTYPE
from fastcore.reference import ring as twin


@given(capacities, dtypes, commands, st.integers(0, 80))
def test_ring_matches_reference(capacity, dtype, steps, close_after):
    pair = Pair(lambda module: module.RingBuffer(capacity, dtype), (compiled, twin))
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
