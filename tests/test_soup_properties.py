"""The SoupBinTCP codec against its twin on random and on damaged streams, then its laws."""

import struct

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st
from kit import examples

from fastcore.errors import CorruptDataError
from fastcore.reference import soup as twin
from fastcore.wire import soup

NUMBER = st.integers(0, 2**64 - 1).map(lambda n: b"%20d" % n) | st.binary(min_size=20, max_size=20)
PACKET = st.one_of(
    st.tuples(st.sampled_from([b"S", b"U", b"+"]), st.binary(max_size=40)),
    st.tuples(st.sampled_from([b"H", b"R", b"Z", b"O"]), st.just(b"")),
    st.tuples(st.just(b"A"), st.binary(min_size=10, max_size=10).flatmap(lambda s: NUMBER.map(lambda n: s + n))),
    st.tuples(st.just(b"L"), st.binary(min_size=46, max_size=46) | st.binary(min_size=51, max_size=51)),
    st.tuples(st.just(b"J"), st.binary(min_size=1, max_size=1)),
    st.tuples(st.binary(min_size=1, max_size=1), st.binary(max_size=51)),
)
STREAM = st.lists(PACKET.map(lambda p: struct.pack(">H", len(p[1]) + 1) + p[0] + p[1]), max_size=20).map(b"".join)


def decode(d, data, final):
    rows = np.zeros(64, soup.SOUP_DTYPE)
    try:
        return d.decode(data, rows, final), rows.tolist(), ""
    except CorruptDataError as error:
        return (error.packets, error.offset), rows.tolist(), str(error)


def state(d):
    return d.counts, d.unknown, d.errors, d.error_log, d.position, d.next_sequence, d.pending


@examples(200)
@given(STREAM | st.binary(max_size=200), st.booleans(), st.booleans(), st.integers(0, 2**64 - 1))
@example(b"\0\0\0\1S", False, True, 2**64 - 1)
def test_soup_matches_reference(data, strict, final, sequence):
    a, b = soup.SoupDecoder(sequence, strict), twin.SoupDecoder(sequence, strict)
    assert decode(a, data, final) == decode(b, data, final)
    assert state(a) == state(b)


@given(STREAM | st.binary(max_size=200), st.lists(st.integers(1, 60), min_size=1), st.booleans())
def test_pieces_match_reference_and_give_what_the_whole_gives(data, steps, strict):
    a, b, whole = soup.SoupDecoder(1, strict), twin.SoupDecoder(1, strict), soup.SoupDecoder(1)
    _, expected, _ = decode(whole, data, False)
    got, at, i = [], 0, 0
    while at < len(data):
        piece = data[at : at + steps[i % len(steps)]]
        at, i = at + len(piece), i + 1
        results = []
        for d in (a, b):
            try:
                view, rows = d.push(piece)
            except CorruptDataError as error:
                results.append((bytes(error.data), error.rows.tolist(), str(error)))
            else:
                results.append((bytes(view), rows.tolist(), ""))
        assert results[0] == results[1]
        assert state(a) == state(b)
        if results[0][2]:
            return
        view, rows, _ = results[0]
        got += [(view[o : o + n], sequence, type) for o, sequence, n, type in rows]
    assert got == [(data[o : o + n], sequence, type) for o, sequence, n, type in expected if o]


@given(STREAM)
def test_soup_roundtrips_bytes(data):
    rows = np.zeros(64, soup.SOUP_DTYPE)
    d = soup.SoupDecoder()
    n, _ = d.decode(data, rows)
    again = soup.encode(data, rows[:n])
    assert again == twin.encode(data, rows[:n])
    if not d.errors:
        assert again == data[: d.position]


@given(STREAM)
def test_soup_never_reads_past_end(data):
    results = []
    for tail in (b"", b"\xff" * 100):
        view = memoryview(data + tail)[: len(data)]
        results.append(decode(soup.SoupDecoder(), view, True))
    assert results[0] == results[1]
