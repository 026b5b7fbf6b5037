"""The MoldUDP64 codec against its twin on random and on damaged packets, then its laws."""

import os
import random
import struct

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from kit import examples
from makers.framing import framed

from fastcore.errors import CorruptDataError
from fastcore.records import EVENT_DTYPE, KINDS
from fastcore.reference import itch as twin_itch
from fastcore.reference import mold as twin
from fastcore.wire import mold
from fastcore.wire.itch import LENGTHS, ItchDecoder

TYPES = sorted(LENGTHS)
WHOLE = st.sampled_from(TYPES).flatmap(
    lambda t: st.binary(min_size=LENGTHS[t] - 1, max_size=LENGTHS[t] - 1).map(lambda body: t.encode() + body)
)
MESSAGE = WHOLE | WHOLE | st.binary(max_size=30)
SESSIONS = st.sampled_from([b"AAAAAAAAAA", b"AAAAAAAAAA", b"AAAAAAAAAA", b"BBBBBBBBBB", b"CCCCCCCCCC", bytes(10)])
SEQUENCE = st.integers(0, 12) | st.integers(0, 2**64 - 1)


def pack(session, sequence, messages, lie, tail):
    blocks = framed(*messages)
    return session + struct.pack(">QH", sequence, len(messages) if lie is None else lie) + blocks + tail


PACKET = st.builds(
    pack,
    SESSIONS,
    SEQUENCE,
    st.lists(MESSAGE, max_size=5),
    st.none() | st.none() | st.none() | st.sampled_from([0, 1, 3, 7, 65_534, 65_535]),
    st.just(b"") | st.just(b"") | st.binary(max_size=3),
)
PACKETS = st.lists(PACKET | PACKET | st.binary(max_size=40), max_size=8)
COUNTS = (
    "session next_sequence ended position packets messages heartbeats ends sessions gaps missing duplicates stale unsequenced "
    "errors error_log"
).split()


def state(m):
    return [getattr(m, name) for name in COUNTS]


def run(m, packets, capacity):
    """All events, with as many calls as it takes."""
    data = b"".join(packets)
    offsets = np.cumsum([0, *map(len, packets)])
    times = np.arange(len(packets)) + 7
    out = np.zeros(capacity, EVENT_DTYPE)
    events, done = [], 0
    while done < len(packets):
        try:
            n, more = m.decode_batch(data, offsets[done:], out, times[done:])
        except CorruptDataError as error:
            return events + out[: error.events].tolist(), (str(error), error.offset, error.packets)
        assert n or more
        events += out[:n].tolist()
        done += more
    return events, None


def pair(module, itch, strict, itch_strict):
    d = itch.ItchDecoder(10**18, itch_strict) if itch is twin_itch else ItchDecoder(10**18, itch_strict)
    return module.MoldDecoder(d, 0, strict), d


@examples(300)
@given(PACKETS, st.sampled_from([16, 17, 23, 512]), st.booleans(), st.booleans())
def test_mold_matches_reference(packets, capacity, strict, itch_strict):
    a, b = pair(mold, None, strict, itch_strict), pair(twin, twin_itch, strict, itch_strict)
    assert run(a[0], packets, capacity) == run(b[0], packets, capacity)
    assert state(a[0]) == state(b[0])
    for name in ("counts", "errors", "error_log", "position", "skipped"):
        assert getattr(a[1], name) == getattr(b[1], name), name


@examples(200)
@given(PACKETS, st.booleans())
def test_extract_matches_reference(packets, strict):
    data, offsets = b"".join(packets), np.cumsum([0, *map(len, packets)])
    results = []
    for module in (mold, twin):
        m = module.MoldDecoder(strict=strict)
        try:
            stream, sequences = m.extract(data, offsets)
        except CorruptDataError as error:
            results.append((str(error), error.offset, error.packets, state(m)))
        else:
            results.append((stream, sequences.tolist(), state(m)))
    assert results[0] == results[1]


@given(PACKETS, st.sampled_from([16, 40]))
def test_a_small_array_changes_nothing(packets, capacity):
    a, b = pair(mold, None, False, False), pair(mold, None, False, False)
    assert run(a[0], packets, capacity) == run(b[0], packets, 4_096)
    assert state(a[0]) == state(b[0])


@given(st.lists(st.binary(max_size=200), max_size=60), st.integers(0, 2**62), st.integers(22, 600))
def test_mold_roundtrips_bytes(messages, sequence, max_size):
    stream = framed(*messages)
    e, t = mold.MoldEncoder("SESSION", sequence, max_size), twin.MoldEncoder("SESSION", sequence, max_size)
    data, offsets = e.encode(stream)
    expected, bounds = t.encode(stream)
    assert (data, offsets.tolist()) == (expected, bounds.tolist())
    assert (e.heartbeat(), e.end_of_session(), e.sequence) == (t.heartbeat(), t.end_of_session(), t.sequence)
    m = mold.MoldDecoder(strict=True)
    again, sequences = m.extract(data, offsets)
    assert again == stream
    assert sequences.tolist() == ([0] * len(messages) if sequence == 0 else list(range(sequence, sequence + len(messages))))
    for i in range(len(offsets) - 1):
        packet = data[offsets[i] : offsets[i + 1]]
        session, first, _ = mold.parse_header(packet)
        inside, _ = mold.MoldDecoder().extract(packet, np.array([0, len(packet)]))
        assert mold.MoldEncoder(session, first, max(max_size, len(packet))).encode(inside)[0] == packet


@given(st.lists(st.integers(1, 5), min_size=1, max_size=20), st.randoms(use_true_random=False))
def test_every_message_comes_once_in_order_and_gaps_account_for_the_rest(sizes, choose):
    """Two lines that lose packets, each packet repeated or not: numbers rise, and with the gaps nothing is missing."""
    packets, first = [], 1
    for size in sizes:
        body = [b"D" + bytes(18)] * size
        for _ in range(choose.randrange(3)):
            packets.append(pack(b"AAAAAAAAAA", first, body, None, b""))
        first += size
    packets.append(pack(b"AAAAAAAAAA", first, [], 0, b""))
    m = mold.MoldDecoder(ItchDecoder(strict=True), 1, True)
    events, _ = run(m, packets, 512)
    numbers = []
    for seq, *_, price, size, _order, _match in events:
        numbers += [seq] if size == 0 else range(price, price + size)
    assert numbers == list(range(1, first))
    assert m.messages + m.missing == first - 1
    assert m.gaps == sum(e[4] == KINDS["gap"] for e in events)


@given(PACKETS)
def test_mold_never_reads_past_end(packets):
    data, offsets = b"".join(packets), np.cumsum([0, *map(len, packets)])
    results = []
    for tail in (b"", b"\xff" * 100):
        view = memoryview(data + tail)[: len(data)]
        m, _ = pair(mold, None, False, False)
        out = np.zeros(2_048, EVENT_DTYPE)
        n, _ = m.decode_batch(view, offsets, out)
        results.append((out[:n].tolist(), state(m)))
    assert results[0] == results[1]


def damaged(packets, choose):
    """Flip, cut, repeat, swap and lie: the ways in which a capture goes bad."""
    packets = list(packets)
    for _ in range(choose.randrange(1, 12)):
        i = choose.randrange(len(packets))
        raw = bytearray(packets[i])
        at = choose.randrange(len(raw)) if raw else 0
        match choose.randrange(7):
            case 0 if raw:
                raw[at] ^= 1 << choose.randrange(8)
            case 1:
                del raw[at:]
            case 2:
                raw[at:at] = raw[at : at + choose.randrange(1, 60)]
            case 3 if len(raw) >= 20:
                raw[18:20] = struct.pack(">H", choose.choice((0, 1, 2, 40, 65_534, 65_535)))
            case 4 if len(raw) >= 22:
                raw[20:22] = struct.pack(">H", choose.choice((0, 1, 18, 36, 50, 65_535)))
            case 5:
                packets.insert(i, bytes(raw))
            case 6:
                j = choose.randrange(len(packets))
                packets[i], packets[j] = packets[j], packets[i]
                continue
        packets[i] = bytes(raw)
    return packets


def test_damaged_packets_are_survived_counted_and_bounded():
    """Set FASTCORE_FUZZ_ROUNDS for the long mode."""
    rounds = int(os.environ.get("FASTCORE_FUZZ_ROUNDS", "300"))
    choose = random.Random(3)
    good, first = [], 1
    for _ in range(60):
        body = [choose.choice((b"D" + bytes(18), b"X" + bytes(22), b"E" + bytes(30))) for _ in range(choose.randrange(1, 8))]
        good.append(pack(b"AAAAAAAAAA", first, body, None, b""))
        first += len(body)
    out = np.zeros(4_096, EVENT_DTYPE)
    for seed in range(rounds):
        packets = damaged(good, random.Random(seed))
        data, offsets = b"".join(packets), np.cumsum([0, *map(len, packets)])
        m, itch = pair(mold, None, False, False)
        n, done = m.decode_batch(data, offsets, out)
        assert done == len(packets), seed
        assert m.position == len(data), seed
        assert n == m.gaps + sum(itch.counts.values()) - itch.skipped, seed
        assert m.messages == sum(itch.counts.values()) + sum(itch.errors.values()), seed
        assert m.messages <= len(data) // 2, seed
        assert len(m.error_log) == min(64, sum(m.errors.values())), seed
        assert all(0 <= offset <= len(data) for offset, _, _ in m.error_log), seed
