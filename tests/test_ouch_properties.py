"""The OUCH codec against its twin on random and on damaged messages, then its laws."""

import os
import random
import struct

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from kit import examples

from fastcore.errors import CorruptDataError
from fastcore.records import EVENT_DTYPE, NO_PRICE
from fastcore.reference import ouch as twin
from fastcore.reference import symbols as twin_symbols
from fastcore.symbols import SymbolMapper
from fastcore.wire import ouch, soup

# Letter -> length without the appendage, offset of the side or 0, offset of the price or 0.
INBOUND = {
    **{"O": (45, 5, 18), "U": (38, 0, 13), "X": (9, 0, 0), "M": (10, 5, 0), "C": (17, 0, 0), "D": (9, 0, 0)},
    **{"E": (9, 0, 0), "Q": (1, 0, 0)},
}
OUTBOUND = {
    **{"S": (10, 0, 0), "A": (62, 13, 26), "U": (66, 17, 30), "C": (18, 0, 0), "D": (32, 0, 0), "E": (34, 0, 17)},
    **{"B": (36, 0, 0), "J": (29, 0, 0), "P": (13, 0, 0), "I": (13, 0, 0), "T": (30, 0, 13), "M": (18, 13, 0)},
    **{"R": (14, 0, 0), "X": (25, 0, 0), "G": (17, 0, 0), "K": (17, 0, 0), "Q": (13, 0, 0)},
}
ELEMENTS = st.lists(st.binary(min_size=1, max_size=9).map(lambda e: bytes([len(e)]) + e), max_size=4).map(b"".join)


@st.composite
def message(draw, outbound):
    letter = draw(st.sampled_from(sorted(OUTBOUND if outbound else INBOUND)))
    length, side, price = (OUTBOUND if outbound else INBOUND)[letter]
    raw = bytearray(letter.encode() + draw(st.binary(min_size=length - 1, max_size=length - 1)))
    if draw(st.integers(0, 9)):  # mostly well-formed
        if outbound:
            raw[1] &= 0x3F
        if side:
            raw[side] = draw(st.sampled_from(b"BSTE"))
        if price:
            raw[price] &= 0x7F
    match draw(st.integers(0, 9)):
        case 0 | 1:
            return bytes(raw)
        case 2:
            return bytes(raw) + draw(st.binary(max_size=12))
        case 3:
            return bytes(raw)[: draw(st.integers(0, length))]
        case _:
            options = draw(ELEMENTS)
            return bytes(raw) + struct.pack(">H", len(options)) + options


MESSAGES = st.booleans().flatmap(lambda o: st.tuples(st.just(o), st.lists(message(o) | st.binary(max_size=70), max_size=8)))


def framed(outbound, messages):
    data = b"".join((soup.sequenced if outbound else soup.unsequenced)(m) for m in messages)
    rows = np.zeros(len(messages), soup.SOUP_DTYPE)
    n, _ = soup.SoupDecoder(strict=True).decode(data, rows)
    return data, rows[:n]


def decode(module, outbound, data, rows, strict=False, symbols=None):
    out, details = np.zeros(len(rows), EVENT_DTYPE), np.zeros(len(rows), module.OUCH_DTYPE)
    d = module.OuchDecoder(outbound, symbols, 10**18, strict)
    try:
        n = d.decode(data, rows, out, details, 5, 1_000)
        error = None
    except CorruptDataError as raised:
        n, error = raised.events, (str(raised), raised.offset)
    return out[:n], details[:n], (d.counts, d.unknown, d.errors, d.error_log, error)


@examples(300)
@given(MESSAGES, st.booleans())
def test_ouch_matches_reference(case, strict):
    outbound, messages = case
    data, rows = framed(outbound, messages)
    names = ["AAPL", "MSFT"]
    a = decode(ouch, outbound, data, rows, strict, SymbolMapper(names))
    b = decode(twin, outbound, data, rows, strict, twin_symbols.SymbolMapper(names))
    assert a[0].tolist() == b[0].tolist()
    assert a[1].tobytes() == b[1].tobytes()
    assert a[2] == b[2]


@examples(300)
@given(MESSAGES)
def test_ouch_roundtrips_bytes(case):
    outbound, messages = case
    data, rows = framed(outbound, messages)
    events, details, (counts, _, errors, log, _) = decode(ouch, outbound, data, rows)
    stream, again = ouch.OuchEncoder(outbound, 10**18).encode(events, details, data)
    expected, places = twin.OuchEncoder(outbound, 10**18).encode(events, details, data)
    assert (stream, again.tolist()) == (expected, places.tolist())
    bad = {offset - 1_000 for offset, _, _ in log}
    assert stream == b"".join(data[o : o + n] for o, _, n, _ in rows.tolist() if o not in bad)
    assert sum(counts.values()) + sum(errors.values()) == len(messages)


@given(
    st.booleans(),
    st.lists(
        st.tuples(
            st.integers(-5, 2**62) | st.just(10**18 + 5),
            st.integers(0, 25),
            st.sampled_from([1, -1, 0]),
            *[st.integers(0, 2**33) | st.sampled_from([-1, 0, 65, 80, NO_PRICE, 255, 65_536 + 7, 2**63 - 1])] * 4,
            st.sampled_from([b"", b"", b"O", b"U", b"A", b"E", b"P", b"R"]),
            st.sampled_from([b"", b"B", b"T", b"x"]),
            st.integers(0, 6),
            st.integers(0, 3),
            st.booleans(),
        ),
        max_size=6,
    ),
)
def test_ouch_encoder_matches_reference(outbound, rows):
    events, details = np.zeros(len(rows), EVENT_DTYPE), ouch.details(len(rows), symbol="AAPL")
    for i, (time, kind, side, *payload, letter, letter_of_side, length, offset, appendage) in enumerate(rows):
        events[i] = (0, time, 0, 3, kind, side, 0, *payload)
        details["type"][i], details["side"][i] = letter, letter_of_side
        details["appendage_length"][i], details["appendage_offset"][i] = length, offset
        details["has_appendage"][i] = appendage
    results = []
    for module in (ouch, twin):
        try:
            stream, places = module.OuchEncoder(outbound, 10**18).encode(events, details, b"\2\1a\1\2\0")
            results.append((stream, places.tolist()))
        except Exception as error:
            results.append((type(error), str(error)))
    assert results[0] == results[1]


OPTION = st.sampled_from(sorted(ouch.OPTIONS)).flatmap(
    lambda name: st.tuples(
        st.just(name),
        st.text(st.characters(max_codepoint=255), min_size=ouch.OPTIONS[name][1], max_size=ouch.OPTIONS[name][1])
        if ouch.OPTIONS[name][2] == "a"
        else st.integers(0, 2 ** (8 * ouch.OPTIONS[name][1] - 1) - 1),
    )
)


@given(st.dictionaries(st.integers(100, 255), st.binary(max_size=20)), st.lists(OPTION))
def test_options_roundtrip(unknown, known):
    options = {**unknown, **dict(known)}
    raw = ouch.pack_options(options)
    assert ouch.parse_options(raw) == options


@given(st.binary(max_size=60))
def test_any_appendage_that_is_read_is_written_again(raw):
    try:
        options = ouch.parse_options(raw)
    except CorruptDataError:
        return
    assert ouch.pack_options(options) == raw


@given(MESSAGES)
def test_ouch_never_reads_past_end(case):
    outbound, messages = case
    data, rows = framed(outbound, messages)
    results = []
    for tail in (b"", b"\xff" * 100):
        view = memoryview(data + tail)[: len(data)]
        events, details, state = decode(ouch, outbound, view, rows)
        results.append((events.tolist(), details.tobytes(), state))
    assert results[0] == results[1]


def test_damaged_streams_are_survived_and_counted():
    """Flip, cut, repeat and lie in a stream of packets; set FASTCORE_FUZZ_ROUNDS for the long mode."""
    choose = random.Random(11)
    messages = []
    for _ in range(100):
        letter = choose.choice(sorted(OUTBOUND))
        length, side, price = OUTBOUND[letter]
        raw = bytearray(letter.encode() + bytes(length - 1))
        if side:
            raw[side] = ord("B")
        options = b"\x05\x02LIME" * (letter != "S")
        messages.append(bytes(raw) + (struct.pack(">H", len(options)) + options if options else b""))
    good = b"".join(soup.sequenced(m) for m in messages)
    for seed in range(int(os.environ.get("FASTCORE_FUZZ_ROUNDS", "300"))):
        choose = random.Random(seed)
        data = bytearray(good)
        for _ in range(choose.randrange(1, 15)):
            at = choose.randrange(len(data))
            match choose.randrange(5):
                case 0:
                    data[at] ^= 1 << choose.randrange(8)
                case 1:
                    del data[at : at + choose.randrange(1, 100)]
                case 2:
                    data[at:at] = data[at : at + choose.randrange(1, 100)]
                case 3:
                    data[at : at + 2] = struct.pack(">H", choose.choice((0, 1, 2, 35, 36, 37, 65_535)))
                case 4:
                    del data[max(at, len(data) - 200) :]
            data = data or bytearray(b"\0")
        s, o = soup.SoupDecoder(), ouch.OuchDecoder(True)
        rows = np.zeros(len(data) // 2 + 1, soup.SOUP_DTYPE)
        n, consumed = s.decode(data, rows, final=True)
        out, details = np.zeros(n, EVENT_DTYPE), np.zeros(n, ouch.OUCH_DTYPE)
        events = o.decode(data, rows[:n], out, details)
        assert consumed == len(data), seed
        assert n == sum(s.counts.values()), seed
        carried = s.counts.get("S", 0) + s.counts.get("U", 0)
        assert events == sum(o.counts.values()), seed
        assert carried == events + sum(o.errors.values()), seed
        stream, places = ouch.OuchEncoder(True).encode(out[:events], details[:events], bytes(data))
        assert len(stream) == places["length"].sum(), seed
