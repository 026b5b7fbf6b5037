"""The ITCH codec against its twin on random and on damaged streams, then its laws."""

import os
import random
import struct

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from kit import examples
from makers.framing import framed

from fastcore.book import OrderBook
from fastcore.errors import CorruptDataError
from fastcore.instruments import Instruments
from fastcore.records import EVENT_DTYPE, FLAGS, KINDS, NO_PRICE
from fastcore.reference import itch as twin
from fastcore.wire.itch import LENGTHS, MAX_EVENTS, WIRE_DTYPE, ItchDecoder, ItchEncoder, whole_messages

TYPES = sorted(LENGTHS)
MESSAGE = st.sampled_from(TYPES).flatmap(
    lambda t: st.binary(min_size=LENGTHS[t] - 1, max_size=LENGTHS[t] - 1).map(lambda body: t.encode() + body)
)
# A message of a real type and length, of either with the other wrong, or anything at all.
ANY = MESSAGE | MESSAGE | st.binary(max_size=60) | st.sampled_from(TYPES).map(str.encode)
STREAM = st.lists(ANY, max_size=30).map(lambda messages: framed(*messages))


ZEROS = {"I": (36, 40, 44), "K": (24,), "J": (19, 23, 27), "O": (20, 24, 28, 40, 44), "V": (11, 19, 27)}
INT64 = {"Q": (11,), "I": (11, 19), "V": (11, 19, 27)}


def orderly(message):
    """Repair what would be malformed, and set some prices to none: the same bits of the message decide."""
    m = bytearray(message)
    type = chr(m[0])
    if type in "AFP":
        m[19] = b"BS"[m[19] & 1]
    if type in "C":
        m[31] = b"NY?\0"[m[31] & 3]
    for at in INT64.get(type, ()):
        m[at] &= 0x7F
    for at in ZEROS.get(type, ()):
        if m[at] & 3 == 0:
            m[at : at + (8 if type == "V" else 4)] = bytes(8 if type == "V" else 4)
    if type == "F" and m[36] & 3 == 0:
        m[36:] = bytes(4)
    return bytes(m)


ORDERLY = st.lists(MESSAGE.map(orderly), max_size=20).map(lambda messages: framed(*messages))


def decode(d, data, final=True, rows=96, wire=None):
    out = np.zeros(rows, EVENT_DTYPE)
    try:
        return d.decode(data, out, final, wire), out.tolist(), ""
    except CorruptDataError as error:
        return (error.events, error.offset), out.tolist(), str(error)
    except ValueError as error:
        return (0, 0), out.tolist(), str(error)


def state(d):
    return d.counts, d.skipped, d.unknown, d.errors, d.error_log, d.position, d.symbols


@examples(300)
@given(STREAM | ORDERLY, st.booleans(), st.booleans())
@example(b"\0\0", True, True)
def test_itch_matches_reference(data, strict, final):
    a, b = ItchDecoder(10**18, strict), twin.ItchDecoder(10**18, strict)
    v, w = np.zeros(96, WIRE_DTYPE), np.zeros(96, WIRE_DTYPE)
    assert decode(a, data, final, wire=v) == decode(b, data, final, wire=w)
    assert v.tobytes() == w.tobytes()
    assert state(a) == state(b)
    assert a.listings.tolist() == b.listings.tolist()
    c = ItchDecoder(10**18, strict)
    assert decode(c, data, final) == decode(twin.ItchDecoder(10**18, strict), data, final)
    assert state(c) == state(a)
    assert whole_messages(data) == twin.whole_messages(data)


class Ids(dict):
    """A table of instruments for the twin: any eight bytes are a symbol."""

    id_of = dict.get

    def add(self, symbol, **units):
        return self.setdefault(symbol, len(self))


SYMBOL_AT = {**dict.fromkeys("RHYKJhNO", 11), "L": 15, "Q": 19, **dict.fromkeys("AFP", 24), "I": 28}


def of_a_few(message, locate, symbol):
    m = bytearray(message)
    m[1:3] = struct.pack(">H", locate)
    at = SYMBOL_AT.get(chr(m[0]))
    if at is not None:
        m[at : at + 8] = symbol
    return bytes(m)


FEW = st.lists(
    st.builds(of_a_few, MESSAGE | MESSAGE.map(orderly), st.integers(0, 3), st.sampled_from([b"A       ", b"BRK.A   ", bytes(8)])),
    max_size=30,
).map(lambda ms: b"".join(struct.pack(">H", len(m)) + m for m in ms))


@examples(300)
@given(FEW, st.booleans(), st.sampled_from([None, [], ["A"], ["A", "BRK.A"]]), st.booleans())
def test_itch_ids_and_wanted_symbols_match_reference(data, strict, wanted, mapped):
    table, ids = Instruments(), Ids()
    a = ItchDecoder(0, strict, instruments=table if mapped else None, wanted=wanted)
    b = twin.ItchDecoder(0, strict, instruments=ids if mapped else None, wanted=wanted)
    assert decode(a, data) == decode(b, data)
    assert state(a) == state(b)
    assert a.listings.tolist() == b.listings.tolist()
    if mapped:
        assert table.symbols == [name.decode().rstrip() for name in ids]


@examples(200)
@given(st.binary(max_size=300), st.booleans())
def test_itch_survives_any_bytes(data, strict):
    a, b = ItchDecoder(0, strict), twin.ItchDecoder(0, strict)
    assert decode(a, data) == decode(b, data)
    assert state(a) == state(b)


@examples(300)
@given(ORDERLY, st.booleans())
def test_itch_roundtrips_bytes(data, mapped):
    """With wire rows: every well-formed message, whatever its symbol, letters and tracking number."""
    out, wire = np.zeros(64, EVENT_DTYPE), np.zeros(64, WIRE_DTYPE)
    d = ItchDecoder(strict=True, instruments=Instruments() if mapped else None)
    n, _ = d.decode(data, out, final=True, wire=wire)
    assert ItchEncoder().encode(out[:n], wire[:n]) == data
    assert twin.ItchEncoder().encode(out[:n], wire[:n]) == data


@examples(300)
@given(ORDERLY)
def test_itch_roundtrips_events(data):
    """Without: all but the tracking number, once the symbols of all locates are known."""
    out = np.zeros(64, EVENT_DTYPE)
    d = ItchDecoder()
    n, _ = d.decode(data, out, final=True)
    e, t = ItchEncoder(), twin.ItchEncoder()
    for locate in np.unique(out["symbol_id"][:n]).tolist():
        name = d.symbol(locate)
        e.set_symbol(locate, name if name else "X")
        t.set_symbol(locate, name if name else "X")
    again = np.zeros(64, EVENT_DTYPE)
    try:
        encoded = e.encode(out[:n])
    except Exception as error:
        with pytest.raises(type(error), match="event must fit"):
            t.encode(out[:n])
        return
    assert encoded == t.encode(out[:n])
    m, _ = ItchDecoder(strict=True).decode(encoded, again, final=True)
    assert m == n
    assert again.tolist() == out.tolist()


@given(ORDERLY, st.integers(1, 8))
def test_itch_never_splits_a_message(data, rows):
    """Any size of the array gives the same events, each time whole messages, or a refusal where one cannot fit."""
    _, expected, _ = decode(ItchDecoder(), data)
    d, t = ItchDecoder(), twin.ItchDecoder()
    at, events = 0, []
    while at < len(data):
        (n, used), out, refused = decode(d, data[at:], False, rows)
        assert ((n, used), out, refused) == decode(t, data[at:], False, rows)
        if refused:
            assert rows < MAX_EVENTS
            (n, used), out, _ = decode(d, data[at:], False, MAX_EVENTS)
            decode(t, data[at:], False, MAX_EVENTS)
        assert n > 0
        assert not out[n - 1][6] & FLAGS["continued"]
        at, events = at + used, events + out[:n]
    assert events == expected[: len(events)]
    assert not any(any(row) for row in expected[len(events) :])
    assert state(d) == state(t)


LETTERS = st.sampled_from([ord(c) for c in "YLVWKJhNOAZ"])
NUMBERS = st.integers(0, 2**33) | st.sampled_from([-1, 0, NO_PRICE, 255, 256, 2**63 - 1, 2**24])
ROW = st.tuples(
    st.integers(0, 2**48 - 1) | st.integers(-(2**62), 2**62),
    st.just(13) | st.integers(0, 70_000),
    st.sampled_from([KINDS[k] for k in ("notice", "imbalance", "break")]) | st.integers(0, 27),
    st.sampled_from([1, -1, 0, 5]),
    st.sampled_from([0, 0, 4, 31]),
    st.lists(st.tuples(LETTERS | NUMBERS, *[st.integers(0, 90) | NUMBERS] * 3), min_size=1, max_size=3),
    st.sampled_from([None, None, None, "kind", "symbol_id", "flags", "exch_ns"]),
)


def rows_of(groups):
    """Groups of one to three events that belong together, but for one field of the last one."""
    rows = []
    for time, locate, kind, side, flags, payloads, wrong in groups:
        letter = payloads[0][0]
        for i, payload in enumerate(payloads):
            more = FLAGS["continued"] * (i + 1 < len(payloads))
            if kind == KINDS["notice"]:
                payload = (letter, *payload[1:])
            rows.append([0, time, 0, locate, kind, side, flags & ~1 | more, *payload])
        if wrong:
            rows[-1][EVENT_DTYPE.names.index(wrong)] ^= 1
    events = np.zeros(len(rows), EVENT_DTYPE)
    for i, row in enumerate(rows):
        events[i] = tuple(row)
    return events


@examples(500)
@given(st.lists(ROW, max_size=4))
def test_itch_encoder_matches_reference(groups):
    events = rows_of(groups)
    results = []
    for module in (ItchEncoder, twin.ItchEncoder):
        e = module()
        e.set_symbol(13, "AAPL")
        try:
            results.append(e.encode(events))
        except Exception as error:
            results.append((type(error), str(error)))
    assert results[0] == results[1]


@examples(300)
@given(ORDERLY, st.lists(st.tuples(st.integers(0, 63), st.sampled_from(WIRE_DTYPE.names), st.binary(min_size=8, max_size=8))))
def test_itch_encoder_with_wire_rows_matches_reference(data, changes):
    out, wire = np.zeros(64, EVENT_DTYPE), np.zeros(64, WIRE_DTYPE)
    n, _ = ItchDecoder().decode(data, out, wire=wire)
    for at, name, value in changes:
        if n:
            field = wire[name]
            field[at % n] = np.frombuffer(value, field.dtype, 1)[0]
    results = []
    for module in (ItchEncoder, twin.ItchEncoder):
        try:
            results.append(module().encode(out[:n], wire[:n]))
        except Exception as error:
            results.append((type(error), str(error)))
    assert results[0] == results[1]


@given(STREAM)
def test_itch_never_reads_past_end(data):
    """The same bytes with other bytes behind them: what lies behind must not matter."""
    whole, _ = whole_messages(data)
    results = []
    for tail in (b"", b"\xff" * 100):
        view = memoryview(data[:whole] + tail)[:whole]
        results.append(decode(ItchDecoder(), view))
    assert results[0] == results[1]


@given(STREAM, st.lists(st.integers(1, 40), min_size=1))
def test_pieces_of_a_stream_give_what_the_whole_gives(data, steps):
    a, b = ItchDecoder(), ItchDecoder()
    _, expected, _ = decode(a, data, final=False)
    out = np.zeros(96, EVENT_DTYPE)
    rest, at, events, i = b"", 0, 0, 0
    while at < len(data):
        step = steps[i % len(steps)]
        rest, at, i = rest + data[at : at + step], at + step, i + 1
        n, consumed = b.decode(rest, out[events:])
        events, rest = events + n, rest[consumed:]
    assert out.tolist() == expected
    assert state(a) == state(b)


def damaged(data, choose):
    """Flip, cut, repeat and lie: the ways in which a capture goes bad."""
    data = bytearray(data)
    for _ in range(choose.randrange(1, 20)):
        at = choose.randrange(len(data))
        match choose.randrange(6):
            case 0:
                data[at] ^= 1 << choose.randrange(8)
            case 1:
                data[at] = choose.randrange(256)
            case 2:
                del data[at : at + choose.randrange(1, 200)]
            case 3:
                data[at:at] = data[at : at + choose.randrange(1, 200)]
            case 4:
                data[at : at + 2] = struct.pack(">H", choose.choice((0, 1, 18, 36, 50, 51, 65535)))
            case 5:
                del data[max(at, len(data) - 100) :]
        if not data:
            data = bytearray(b"\0")
    return bytes(data)


def test_damaged_streams_are_survived_counted_and_bounded(seed_stream):
    """Set FASTCORE_FUZZ_ROUNDS for the long mode."""
    rounds = int(os.environ.get("FASTCORE_FUZZ_ROUNDS", "300"))
    out = np.zeros(4_000, EVENT_DTYPE)
    for seed in range(rounds):
        data = damaged(seed_stream, random.Random(seed))
        d = ItchDecoder()
        n, consumed = d.decode(data, out, final=True)
        assert consumed == len(data), seed
        messages = sum(d.counts.values())
        assert n == messages + d.counts.get("I", 0) + d.counts.get("J", 0) + 2 * d.counts.get("O", 0), seed
        assert messages + sum(d.errors.values()) <= len(data) // 2 + 1, seed
        assert len(d.error_log) == min(64, sum(d.errors.values())), seed
        assert all(0 <= offset < len(data) for offset, _, _ in d.error_log), seed
        b = OrderBook()
        b.apply(out[:n])
        assert sum(b.counts.values()) == n, seed
        b.check()


@pytest.fixture(scope="module")
def seed_stream():
    """A short valid session: adds, executions, cancels, replaces and deletes of a few hundred orders."""
    choose = random.Random(7)
    head = lambda t, i: t + struct.pack(">HH", 1, 0) + i.to_bytes(6, "big")  # noqa: E731
    live, out = {}, []
    for i in range(1, 1_500):
        kind = choose.choice("AAAAFEXDUCPLVIJO") if live else "A"
        order = choose.choice(list(live)) if live else 0
        if kind in "AF":
            live[i] = 100
            side, price = choose.choice(((b"B", 100), (b"S", 110)))
            body = struct.pack(">QcI8sI", i, side, 100, b"TEST    ", price * 100 + i % 7) + b"ABCD" * (kind == "F")
        elif kind in "EXC":
            size = choose.randrange(1, live[order] + 1)
            body = struct.pack(">QI", order, size) + bytes(8) * (kind != "X") + (b"Y" + struct.pack(">I", 5)) * (kind == "C")
            live[order] -= size
            if not live[order]:
                del live[order]
        elif kind == "D":
            body = struct.pack(">Q", order)
            del live[order]
        elif kind == "U":
            body = struct.pack(">QQII", order, i, 50, 10_000)
            del live[order]
            live[i] = 50
        elif kind == "P":
            body = struct.pack(">QcI8sIQ", 0, b"B", 5, b"TEST    ", 10_500, i)
        else:
            body = bytes(LENGTHS[kind] - 11)
        m = head(kind.encode(), i) + body
        out.append(struct.pack(">H", len(m)) + m)
    data = b"".join(out)
    events = np.zeros(2_000, EVENT_DTYPE)
    n, _ = ItchDecoder(strict=True).decode(data, events, final=True)
    assert OrderBook().apply(events[:n]) == {"ok": n}
    return data
