"""MoldUDP64: packets both ways, sequences, sessions, malformed packets, and recorded packets."""

import struct

import numpy as np
import pytest
from makers.framing import framed

from fastcore.errors import CorruptDataError
from fastcore.records import EVENT_DTYPE, KINDS, NO_SYMBOL
from fastcore.reference import itch as reference_itch
from fastcore.wire import itch as compiled_itch
from fastcore.wire import mold as compiled

MODULE = "wire.mold"
SESSION = b"000010059B"


def message(i, type=b"D"):
    """An order delete (19 bytes) of order i at i ns."""
    return type + struct.pack(">HH", 7, 0) + i.to_bytes(6, "big") + struct.pack(">Q", i)


def packet(sequence, messages, count=None, session=SESSION):
    blocks = framed(*messages)
    return session + struct.pack(">QH", sequence, len(messages) if count is None else count) + blocks


def deletes(first, n, session=SESSION):
    return packet(first, [message(i) for i in range(first, first + n)], session=session)


def decoders(impl, **options):
    itch = compiled_itch if impl is compiled else reference_itch
    d = itch.ItchDecoder()
    return impl.MoldDecoder(d, **options), d


def feed(m, *packets, out=None):
    """(kind, seq, order id or missing count, local_ns) of every event."""
    out = np.zeros(4_096, EVENT_DTYPE) if out is None else out
    offsets = np.cumsum([0, *map(len, packets)])
    n, done = m.decode_batch(b"".join(packets), offsets, out, np.arange(len(packets)) + 100)
    assert done == len(packets)
    gap = KINDS["gap"]
    return [
        (int(e["kind"]), int(e["seq"]), int(e["size" if e["kind"] == gap else "order_id"]), int(e["local_ns"])) for e in out[:n]
    ]


D, GAP = KINDS["delete"], KINDS["gap"]


def test_every_message_has_its_number_and_the_time_of_its_packet(impl):
    m, itch = decoders(impl)
    assert feed(m, deletes(5, 2), deletes(7, 1)) == [(D, 5, 5, 100), (D, 6, 6, 100), (D, 7, 7, 101)]
    assert (m.packets, m.messages, m.next_sequence, m.session, m.sessions) == (2, 3, 8, SESSION, 1)
    assert (m.gaps, m.missing, m.duplicates, m.errors, itch.counts) == (0, 0, 0, {}, {"D": 3})
    assert m.position == itch.position == len(deletes(5, 2) + deletes(7, 1))


def test_single_packet_call(impl):
    m, _ = decoders(impl)
    out = np.zeros(64, EVENT_DTYPE)
    assert m.decode(deletes(1, 3), out, 55) == 3
    assert out["local_ns"][:3].tolist() == [55] * 3
    with pytest.raises(ValueError, match="room for the whole packet: needed=16"):
        m.decode(packet(4, []), out[:15])
    assert m.decode(packet(4, []), out[:16]) == 0
    assert m.heartbeats == 1


def test_gap_is_an_event_before_what_follows(impl):
    m, _ = decoders(impl)
    out = np.zeros(64, EVENT_DTYPE)
    assert feed(m, deletes(1, 2), deletes(10, 1), out=out) == [
        (D, 1, 1, 100),
        (D, 2, 2, 100),
        (GAP, 3, 7, 101),
        (D, 10, 10, 101),
    ]
    assert out[2].tolist() == (3, 10, 101, NO_SYMBOL, GAP, 0, 0, 3, 7, 0, 0)
    assert (m.gaps, m.missing) == (1, 7)


@pytest.mark.parametrize("count", [0, compiled.END_OF_SESSION])
def test_gap_before_a_packet_without_messages(impl, count):
    m, _ = decoders(impl)
    assert feed(m, deletes(1, 1), packet(4, [], count)) == [(D, 1, 1, 100), (GAP, 2, 2, 101)]
    assert (m.heartbeats, m.ends, m.ended) == (count == 0, count != 0, count != 0)
    assert feed(m, deletes(4, 1)) == [(D, 4, 4, 100)]


def test_first_expected_number_can_be_given(impl):
    m, _ = decoders(impl, next_sequence=1)
    assert feed(m, deletes(3, 1)) == [(GAP, 1, 2, 100), (D, 3, 3, 100)]


def test_repeated_messages_are_dropped_one_by_one(impl):
    m, _ = decoders(impl)
    assert feed(m, deletes(1, 3), deletes(1, 3)) == [(D, i, i, 100) for i in (1, 2, 3)]
    assert feed(m, deletes(2, 4)) == [(D, 4, 4, 100), (D, 5, 5, 100)]
    assert feed(m, deletes(1, 2)) == []
    assert (m.duplicates, m.messages, m.gaps, m.packets) == (3 + 2 + 2, 5, 0, 4)


def test_two_lines_of_a_feed_make_one_stream(impl):
    """Each line loses packets, of which the other has them."""
    a, b = ([deletes(i, 3) for i in range(1, 31, 3)] for _ in range(2))
    del a[4], b[7]
    lines = [p for pair in zip(a[:3], b[:3], strict=True) for p in pair] + [
        a[3],
        b[3],
        b[4],
        a[4],
        b[5],
        a[5],
        b[6],
        a[6],
        a[7],
    ]
    m, _ = decoders(impl)
    assert [e[1] for e in feed(m, *lines)] == list(range(1, 28))
    assert m.gaps == 0


def test_new_session_begins_with_one(impl):
    m, _ = decoders(impl)
    new = b"000010060B"
    assert feed(m, deletes(5, 1), deletes(3, 1, new)) == [(D, 5, 5, 100), (GAP, 1, 2, 101), (D, 3, 3, 101)]
    assert (m.session, m.sessions, m.next_sequence) == (new, 2, 4)
    # The last packets of the old session come late: known ones are dropped, new ones are delivered.
    assert feed(m, deletes(5, 1), packet(6, []), deletes(4, 1, new)) == [(D, 4, 4, 102)]
    assert m.stale == 2
    assert feed(m, deletes(5, 2), deletes(5, 1, new)) == [(D, 6, 6, 100), (D, 5, 5, 101)]
    assert (m.sessions, m.gaps) == (2, 1)


def test_a_damaged_session_name_does_not_end_the_stream(impl):
    m, _ = decoders(impl)
    assert [e[1] for e in feed(m, deletes(1, 2), deletes(3, 2, b"x" * 10), deletes(5, 2), deletes(7, 2))] == [
        1,
        2,
        1,
        3,
        4,
        3,
        5,
        6,
        7,
        8,
    ]


def test_unnumbered_packets_are_decoded_as_they_are(impl):
    m, _ = decoders(impl)
    zeros = bytes(10)
    assert feed(m, packet(0, [message(1)], session=zeros), packet(0, [message(1)], session=zeros)) == [
        (D, 0, 1, 100),
        (D, 0, 1, 101),
    ]
    assert (m.unsequenced, m.duplicates, m.gaps) == (2, 0, 0)


def test_malformed_packets_are_counted_with_their_offset(impl):
    m, itch = decoders(impl)
    good = deletes(1, 1)
    short = deletes(2, 3)[:-1]
    trailing = deletes(5, 1) + b"\0\0"
    huge = packet(2**63, [])
    odd = packet(6, [b"?" + bytes(5), b"", message(8)])
    packets = [good, b"", b"x" * 19, short, trailing, huge, odd]
    at = [sum(map(len, packets[:i])) for i in range(len(packets))]
    got = feed(m, *packets)
    assert [(kind, seq) for kind, seq, _, _ in got] == [(D, 1), (D, 2), (D, 3), (GAP, 4), (D, 5), (D, 8)]
    assert m.error_log == [
        (at[1], "\0", "short buffer"),
        (at[2], "\0", "short buffer"),
        (at[3] + 20 + 2 * 21, "D", "short buffer"),
        (at[4] + 20 + 21, "\0", "bad length"),
        (at[5] + 10, "\0", "corrupt"),
    ]
    assert m.errors == {"corrupt": 1, "short buffer": 3, "bad length": 1}
    # Malformed messages are the ITCH decoder's, and their numbers are used up.
    assert itch.error_log == [(at[6] + 20, "?", "unknown message type"), (at[6] + 20 + 8, "\0", "bad length")]
    assert (m.messages, m.next_sequence) == (7, 9)


@pytest.mark.parametrize(
    ("bad", "offset", "reason"),
    [
        (b"x" * 19, 0, "short buffer"),
        (deletes(2, 1)[:-1], 20, "short buffer"),
        (deletes(2, 1) + b"x", 41, "bad length"),
        (packet(2**63, []), 10, "corrupt"),
        (packet(2, [b"?"]), 20, "unknown message type"),
        (packet(2, [message(2), message(3)[:-1]]), 41, "bad length"),
    ],
)
def test_strict_raises_at_the_first_malformed_packet(impl, bad, offset, reason):
    m, _ = decoders(impl, strict=True)
    good = deletes(1, 1)
    with pytest.raises(CorruptDataError, match=reason) as caught:
        feed(m, good, bad, good)
    assert caught.value.offset == len(good) + offset
    assert caught.value.packets == 1
    assert caught.value.events >= 1
    assert m.position == len(good)


def test_strict_of_the_itch_decoder_is_honoured(impl):
    itch = (compiled_itch if impl is compiled else reference_itch).ItchDecoder(strict=True)
    m = impl.MoldDecoder(itch)
    with pytest.raises(CorruptDataError, match="unknown message type"):
        feed(m, packet(1, [b"?"]))


def test_full_output_stops_and_goes_on_within_a_packet(impl):
    m, _ = decoders(impl)
    data = deletes(1, 30) + deletes(31, 30)
    offsets = np.array([0, len(data) // 2, len(data)])
    out = np.zeros(16, EVENT_DTYPE)
    seen, at = [], 0
    for _ in range(100):
        n, done = m.decode_batch(data, offsets[at:], out)
        assert n <= 16
        seen += out["seq"][:n].tolist()
        at += done
        if at == 2:
            break
    assert seen == list(range(1, 61))
    assert (m.packets, m.messages, m.duplicates) == (2, 60, 0)


def test_another_packet_after_a_full_output_is_a_new_one(impl):
    m, _ = decoders(impl)
    out = np.zeros(16, EVENT_DTYPE)
    whole = deletes(1, 30)
    n, done = m.decode_batch(whole, np.array([0, len(whole)]), out)
    assert (done, n > 0) == (0, True)
    assert feed(m, deletes(n + 1, 1)) == [(D, n + 1, n + 1, 100)]


def test_extract_gives_an_itch_stream(impl):
    m = impl.MoldDecoder()
    data = deletes(1, 3) + packet(4, []) + deletes(2, 4)
    offsets = np.array([0, len(deletes(1, 3)), len(deletes(1, 3)) + 20, len(data)])
    stream, sequences = m.extract(data, offsets)
    assert sequences.tolist() == [1, 2, 3, 4, 5]
    assert sequences.dtype == np.uint64
    assert stream == b"".join(b"\0\x13" + message(i) for i in range(1, 6))
    with pytest.raises(ValueError, match="needs an ItchDecoder"):
        m.decode_batch(data, offsets, np.zeros(64, EVENT_DTYPE))


def test_encoder_fills_packets(impl):
    stream = b"".join(b"\0\x13" + message(i) for i in range(1, 101))
    e = impl.MoldEncoder("000010059B", 1, 400)
    data, offsets = e.encode(stream)
    sizes = np.diff(offsets)
    assert sizes.max() <= 400 < sizes[0] + 21
    assert len(offsets) - 1 == -(-100 // ((400 - 20) // 21))
    assert e.sequence == 101
    assert impl.parse_header(data) == (SESSION, 1, 18)
    assert e.heartbeat() == packet(101, [])
    assert e.end_of_session() == packet(101, [], 0xFFFF)
    again, sequences = impl.MoldDecoder(strict=True).extract(data, offsets)
    assert (again, sequences.tolist()) == (stream, list(range(1, 101)))
    assert e.encode(b"")[0] == b""
    assert e.encode(b"")[1].tolist() == [0]


def test_encoder_carries_long_messages_alone(impl):
    stream = b"".join(struct.pack(">H", n) + bytes(n) for n in (10, 3_000, 65_485, 10))
    data, offsets = impl.MoldEncoder("S", 1).encode(stream)
    assert np.diff(offsets).tolist() == [32, 3_022, 65_507, 32]
    assert impl.MoldDecoder(strict=True).extract(data, offsets)[0] == stream
    assert impl.MoldEncoder("S", 1).session == b"S         "
    with pytest.raises(ValueError, match="at most 65485"):
        impl.MoldEncoder("S").encode(struct.pack(">H", 65_486) + bytes(65_486))
    for bad in (b"\0", b"\0\2x", b"\0\1xy"):
        with pytest.raises(CorruptDataError, match="whole messages"):
            impl.MoldEncoder("S").encode(bad)


def test_encoder_holds_at_most_65534_messages_in_a_packet(impl):
    data, offsets = impl.MoldEncoder("S", 1, 65_507).encode(bytes(2 * 32_743) + b"\0\0")
    assert np.diff(offsets).tolist() == [20 + 2 * 32_743, 22]
    assert impl.parse_header(data)[2] == 32_743


def test_request_is_a_header(impl):
    assert impl.request("000010059B", 77, 5) == packet(77, [], 5)
    for count in (0, 65_535, -1):
        with pytest.raises(ValueError, match="count must be"):
            impl.request("S", 1, count)
    with pytest.raises(ValueError, match="at most 10 characters"):
        impl.request("x" * 11, 1, 1)
    with pytest.raises(ValueError, match="sequence"):
        impl.request("S", 2**63, 1)
    with pytest.raises(CorruptDataError, match="at least 20 bytes"):
        impl.parse_header(b"x" * 19)


def test_arguments_are_checked(impl):
    m, _ = decoders(impl)
    out = np.zeros(64, EVENT_DTYPE)
    for offsets in ([], [0, 5], [3, 2], [-1, 0]):
        with pytest.raises(ValueError, match="offsets must"):
            m.decode_batch(b"1234", np.array(offsets, np.int64), out)
    with pytest.raises(ValueError, match="at least 16 places"):
        m.decode_batch(b"", np.zeros(1, np.int64), out[:15])


def test_arrays_are_checked():
    m, _ = decoders(compiled)
    out = np.zeros(64, EVENT_DTYPE)
    zero = np.zeros(1, np.int64)
    with pytest.raises(TypeError, match="offsets must be"):
        m.decode_batch(b"", [0], out)
    with pytest.raises(ValueError, match="contiguous int64"):
        m.decode_batch(b"", np.zeros(1), out)
    with pytest.raises(ValueError, match="one entry for each packet"):
        m.decode_batch(b"", zero, out, np.zeros(3, np.int64))


def test_several_streams_share_an_itch_decoder():
    itch = compiled_itch.ItchDecoder()
    a, b = compiled.MoldDecoder(itch), compiled.MoldDecoder(itch)
    out = np.zeros(64, EVENT_DTYPE)
    assert a.decode(deletes(1, 2), out) + b.decode(deletes(1, 3), out) == 5
    assert itch.counts == {"D": 5}
