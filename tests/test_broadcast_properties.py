"""Broadcast rings against their twin, then the law of an overrun: what is not read is lost, and counted."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from makers.rings import Pair, capacities, commands, dtypes, numbered, outcome

from fastcore import broadcast as compiled
from fastcore.errors import OverrunError
from fastcore.records import EVENT_DTYPE
from fastcore.reference import broadcast as twin


@given(capacities, dtypes, st.booleans(), commands)
def test_broadcast_matches_reference(capacity, dtype, overrun, steps):
    pair = Pair(lambda module: module.BroadcastRing(capacity, dtype, consumers=4, overrun=overrun), (compiled, twin))
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
