"""The Kraken decoder against its twin on generated sessions and damaged lines; its books against a venue that checksums them."""

import json
import os
import random
import zlib

import numpy as np
import pytest
from conftest import examples
from hypothesis import given
from hypothesis import strategies as st
from test_binance_properties import damaged

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


class Session:
    """A venue: books far deeper than the subscription, of which it publishes the best levels and their checksum."""

    def __init__(self, choose, version, depth=10):
        self.choose, self.version, self.depth = choose, version, depth
        self.books = {"XBT/USD": ({}, {}), "ETH/USD": ({}, {})}
        self.now = 1_723_161_253.0
        for bids, asks in self.books.values():
            for i in range(depth * 2):
                bids[50_000 - i * choose.randrange(1, 3)] = choose.randrange(1, 10**9)
                asks[50_001 + i * choose.randrange(1, 3)] = choose.randrange(1, 10**9)

    def shown(self, name):
        bids, asks = self.books[name]
        return sorted(bids.items(), reverse=True)[: self.depth], sorted(asks.items())[: self.depth]

    def checksum(self, name):
        bids, asks = self.shown(name)
        return zlib.crc32("".join(f"{p}{q}" for p, q in asks[:10] + bids[:10]).encode())

    def text(self, price, size):
        return f"{price // 10}.{price % 10}", f"{size // 10**8}.{size % 10**8:08d}"

    def levels(self, levels):
        if self.version == 1:
            return json.dumps([[*self.text(p, q), f"{self.now:.6f}", *again] for p, q, *again in levels])
        return "[" + ",".join('{{"price":{},"qty":{}}}'.format(*self.text(p, q)) for p, q, *_ in levels) + "]"

    def line(self, text):
        return f"{self.now + 0.01:.7f}: {text}\n".encode()

    def image(self, name):
        bids, asks = self.shown(name)
        if self.version == 1:
            return self.line(f'[336,{{"as":{self.levels(asks)},"bs":{self.levels(bids)}}},"book-{self.depth}","{name}"]')
        return self.second(name, "snapshot", bids, asks)

    def second(self, name, type, bids, asks):
        return self.line(
            f'{{"channel":"book","type":"{type}","data":[{{"symbol":"{name}","bids":{self.levels(bids)},'
            f'"asks":{self.levels(asks)},"checksum":{self.checksum(name)},"timestamp":"2024-08-08T23:54:13.5Z"}}]}}'
        )

    def change(self, name):
        """Change the venue's book; publish what changed among the levels shown, those that came into view included."""
        self.now += self.choose.random()
        before = self.shown(name)
        for _ in range(self.choose.randrange(1, 4)):
            side = self.choose.randrange(2)
            book, best = self.books[name][side], self.shown(name)[side]
            at = best[min(self.choose.randrange(self.depth + 2), len(best) - 1)][0] + self.choose.randrange(-1, 2)
            if self.choose.random() < 0.4 and len(book) > self.depth + 2:
                book.pop(at, None)
            else:
                book[at] = self.choose.randrange(1, 10**9)
        published = []
        for old, new, book in zip(before, self.shown(name), self.books[name], strict=True):
            seen = dict(old)
            # What other levels pushed out of view is not deleted by the venue.
            gone = [(p, 0) for p in seen if p not in book]
            come = [(p, q, "r") if p not in seen else (p, q) for p, q in new if seen.get(p) != q]
            published.append(gone + come)
        bids, asks = published
        if self.version == 2:
            return self.second(name, "update", bids, asks)
        if not bids and not asks:
            return b""
        parts = [("a", asks)] * bool(asks) + [("b", bids)] * bool(bids)
        objects = [f'{{"{key}":{self.levels(levels)}' for key, levels in parts]
        objects[-1] += f',"c":"{self.checksum(name)}"'
        return self.line(f'[336,{"},".join(objects)}}},"book-{self.depth}","{name}"]')

    def lines(self, n, loss=0.0):
        out = [self.image(name) for name in self.books]
        for _ in range(n):
            name = self.choose.choice(list(self.books))
            line = self.image(name) if self.choose.random() < 0.03 else self.change(name)
            out.append(b"" if self.choose.random() < loss else line)
        return out


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
