"""The Kraken decoder against its twin on generated sessions and damaged lines; its books against a venue that checksums them."""

import os
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit import examples
from makers.damage import damaged
from makers.kraken import Session

from fastcore.errors import CorruptDataError
from fastcore.records import EVENT_DTYPE, FLAGS, KINDS
from fastcore.reference import kraken as twin
from fastcore.wire import kraken as compiled

STATE = "position needed symbols counts errors error_log stale gaps checked matched first_mismatch".split()


def state(d):
    return {name: getattr(d, name) for name in STATE} | {"books": [d.book(s[0]) for s in d.symbols.values() if s[0].isascii()]}


def decode(d, data, capacity=3_000, final=True):
    """What one call does, whatever it is; what lies behind the events in the array is left to the decoder."""
    out = np.zeros(capacity, EVENT_DTYPE)
    try:
        result = d.decode(data, out, final)
        events = result[0]
    except CorruptDataError as error:
        result, events = ("raised", error.offset, str(error)), error.events
    except ValueError as error:
        result, events = ("refused", str(error)), 0
    return result, out[:events].tolist()


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("depth", [10, 25])
@given(seed=st.integers(0, 10**6))
@examples(25)
def test_every_checksum_of_a_whole_capture_agrees(version, depth, seed):
    session = Session(random.Random(seed), version, depth)
    data = b"".join(session.lines(60))
    a, b = compiled.KrakenDecoder(), twin.KrakenDecoder()
    assert decode(a, data) == decode(b, data)
    assert state(a) == state(b)
    assert a.checked == a.matched > 20 and a.gaps == a.stale == 0 and a.errors == {}
    for name in session.books:
        assert a.book(name) == session.shown(name)


@pytest.mark.parametrize("version", [1, 2])
@given(seed=st.integers(0, 10**6))
@examples(25)
def test_kraken_matches_reference_where_lines_are_lost(version, seed):
    data = b"".join(Session(random.Random(seed), version).lines(80, 0.05))
    a, b = compiled.KrakenDecoder(), twin.KrakenDecoder()
    assert decode(a, data) == decode(b, data)
    assert state(a) == state(b)
    assert (a.checked - a.matched >= a.gaps) and a.errors == {}


@pytest.mark.parametrize("version", [1, 2])
@given(seed=st.integers(0, 10**6))
@examples(25)
def test_events_build_the_book_of_the_decoder(version, seed):
    """Clear and levels alone give the book that the checksums cover: what falls out of the depth is removed by an event."""
    d = compiled.KrakenDecoder()
    out = np.zeros(3_000, EVENT_DTYPE)
    books, stale = {}, {}
    for line in Session(random.Random(seed), version).lines(60, 0.03):
        n, _ = d.decode(line, out)
        for e in out[:n]:
            i = int(e["symbol_id"])
            if e["kind"] == KINDS["clear"]:
                books[i], stale[i] = ({}, {}), False
            elif e["kind"] == KINDS["gap"]:
                stale[i] = True
            else:
                assert not stale[i]
                side = books[i][0 if e["side"] > 0 else 1]
                side[int(e["price"])] = int(e["size"])
                if not e["size"]:
                    side.pop(int(e["price"]))
        assert n == 0 or not out[n - 1]["flags"] & FLAGS["continued"]
        for i, (name, _, _) in d.symbols.items():
            if stale.get(i) is False:
                assert (sorted(books[i][0].items(), reverse=True), sorted(books[i][1].items())) == d.book(name)


@pytest.mark.parametrize("version", [1, 2])
@given(seed=st.integers(0, 10**6), steps=st.lists(st.integers(1, 400), min_size=1), room=st.integers(1, 60))
@examples(25)
def test_pieces_and_small_arrays_give_what_the_whole_gives(version, seed, steps, room):
    data = b"".join(Session(random.Random(seed), version).lines(30, 0.03))
    a, b = compiled.KrakenDecoder(), compiled.KrakenDecoder()
    _, expected = decode(a, data)
    out = np.zeros(room, EVENT_DTYPE)
    rest, at, i, got = b"", 0, 0, []
    while at < len(data) or rest:
        step = steps[i % len(steps)]
        rest, at, i = rest + data[at : at + step], at + step, i + 1
        try:
            n, used = b.decode(rest, out)
        except ValueError:
            out = np.zeros(b.needed, EVENT_DTYPE)
            continue
        got += out[:n].tolist()
        rest = rest[used:]
    assert got == expected
    assert {**state(a), "needed": 0} == {**state(b), "needed": 0}


@pytest.mark.parametrize("version", [1, 2])
def test_damaged_streams_are_survived_counted_and_as_the_reference(version):
    """Set FASTCORE_FUZZ_ROUNDS for the long mode."""
    rounds = int(os.environ.get("FASTCORE_FUZZ_ROUNDS", "200"))
    data = b"".join(Session(random.Random(5), version).lines(30))
    for seed in range(rounds):
        bad = damaged(data, random.Random(seed))
        a, b = compiled.KrakenDecoder(), twin.KrakenDecoder()
        assert decode(a, bad) == decode(b, bad), seed
        assert state(a) == state(b), seed
        assert a.position == len(bad)


def test_never_reads_past_end():
    """Every prefix of a line, in memory of its own size."""
    for version in (1, 2):
        line = Session(random.Random(3), version).image("XBT/USD")
        out = np.zeros(256, EVENT_DTYPE)
        for end in range(len(line)):
            d = compiled.KrakenDecoder()
            assert d.decode(np.frombuffer(line[:end], np.uint8).copy(), out) == (0, 0)
            d.decode(np.frombuffer(line[:end], np.uint8).copy(), out, True)
