"""SoupBinTCP: every packet both ways, streams cut anywhere, malformed packets."""

import ctypes
import struct

import numpy as np
import pytest

from fastcore.errors import CorruptDataError
from fastcore.wire import soup as compiled

MODULE = "wire.soup"


def frame(type, payload=b""):
    return struct.pack(">H", len(payload) + 1) + type.encode() + payload


# How each packet looks on the wire, and the call that makes it.
PACKETS = {
    "debug": (frame("+", b"hello"), lambda m: m.debug("hello")),
    "login accepted": (
        frame("A", b"    SES001" + b"                  42"),
        lambda m: m.login_accepted("SES001", 42),
    ),
    "login rejected": (frame("J", b"S"), lambda m: m.login_rejected("S")),
    "sequenced": (frame("S", b"\0\xff"), lambda m: m.sequenced(b"\0\xff")),
    "unsequenced": (frame("U", b"x"), lambda m: m.unsequenced(b"x")),
    "server heartbeat": (frame("H"), lambda m: m.heartbeat(True)),
    "client heartbeat": (frame("R"), lambda m: m.heartbeat(False)),
    "end of session": (frame("Z"), lambda m: m.end_of_session()),
    "logout": (frame("O"), lambda m: m.logout_request()),
    "login request 3.00": (
        frame("L", b"user  " + b"secret    " + b"          " + b"                   1"),
        lambda m: m.login_request("user", "secret"),
    ),
    "login request 4.10": (
        frame("L", b"user  " + b"secret    " + b"    SES001" + b"18446744073709551615" + b"15000"),
        lambda m: m.login_request(b"user", b"secret", "SES001", 2**64 - 1, 15_000),
    ),
}


def rows_of(decoder, data, final=True):
    rows = np.zeros(64, compiled.SOUP_DTYPE)
    n, consumed = decoder.decode(data, rows, final)
    return rows[:n], consumed


@pytest.mark.parametrize("name", PACKETS)
def test_packet_has_the_bytes_of_the_specification(impl, name):
    wire, make = PACKETS[name]
    assert make(compiled) == wire
    d = impl.SoupDecoder(strict=True)
    rows, consumed = rows_of(d, wire)
    assert consumed == len(wire)
    assert d.counts == {wire[2:3].decode(): 1}
    assert rows.tolist() == [(3, 1 if wire[2:3] == b"S" else 0, len(wire) - 3, wire[2:3])]


def test_all_packets_of_a_stream_roundtrip(impl):
    wire = b"".join(w for w, _ in PACKETS.values())
    rows, _ = rows_of(impl.SoupDecoder(strict=True), wire)
    assert len(rows) == len(PACKETS)
    assert impl.encode(wire, rows) == wire
    assert impl.encode(memoryview(wire), rows[2:4]) == PACKETS["login rejected"][0] + PACKETS["sequenced"][0]


def test_login_packets_are_read_back():
    read = compiled.parse_login_request
    assert read(PACKETS["login request 3.00"][0][3:]) == ("user", "secret", "", 1, None)
    assert read(PACKETS["login request 4.10"][0][3:]) == ("user", "secret", "SES001", 2**64 - 1, 15_000)
    assert compiled.parse_login_accepted(PACKETS["login accepted"][0][3:]) == ("SES001", 42)
    assert compiled.parse_login_accepted(b"SES001    42                  ") == ("SES001", 42)
    for bad in (b"", bytes(30), b" " * 30, b"x" * 31, b" " * 10 + b"1 1".rjust(20), b" " * 10 + b"9" * 20):
        with pytest.raises(CorruptDataError):
            compiled.parse_login_accepted(bad)
    for bad in (bytes(46), b"x" * 50):
        with pytest.raises(CorruptDataError):
            read(bad)


@pytest.mark.parametrize(
    "call",
    [
        lambda m: m.login_accepted("x" * 11, 1),
        lambda m: m.login_request("x" * 7, ""),
        lambda m: m.login_request("", "x" * 11),
        lambda m: m.login_request("", "", heartbeat_timeout_ms=100_000),
        lambda m: m.login_rejected("AB"),
        lambda m: m.sequenced(bytes(65_535)),
        lambda m: m.debug("ä"),
    ],
)
def test_fields_that_do_not_fit_are_refused(call):
    with pytest.raises(ValueError, match=r"must have|must be in|can't encode"):
        call(compiled)


def test_sequenced_packets_are_counted_from_the_login_on(impl):
    d = impl.SoupDecoder()
    s = frame("S", b"m")
    rows, _ = rows_of(d, s + frame("U") + s + PACKETS["login accepted"][0] + s + frame("H") + s)
    assert rows["sequence"].tolist() == [1, 0, 2, 0, 42, 0, 43]
    assert d.next_sequence == 44
    assert impl.SoupDecoder(7).next_sequence == 7


@pytest.mark.parametrize("step", [1, 2, 3, 5, 64, 10_000])
def test_a_stream_cut_anywhere_gives_the_same_packets(impl, step):
    wire = b"".join(w for w, _ in PACKETS.values()) * 3 + frame("S", bytes(range(256)) * 20)
    d = impl.SoupDecoder(strict=True)
    got = []
    for at in range(0, len(wire), step):
        data, rows = d.push(wire[at : at + step])
        got += [(type, bytes(data[o : o + n])) for o, _, n, type in rows.tolist()]
        assert d.pending < 65_537
    whole, _ = rows_of(impl.SoupDecoder(), wire)
    assert got == [(type, wire[o : o + n]) for o, _, n, type in whole.tolist()]
    assert (d.pending, d.position) == (0, len(wire))


def test_a_chunk_that_begins_with_a_packet_is_not_copied():
    chunk = bytearray(frame("S", b"abc"))
    data, rows = compiled.SoupDecoder().push(chunk)
    chunk[3] = ord("X")
    assert bytes(data[rows["offset"][0] :][:3]) == b"Xbc"


def test_malformed_packets_are_counted_with_their_offset(impl):
    parts = [
        frame("S", b"m"),
        frame("?", b"abc"),
        b"\0\0",
        frame("H", b"x"),
        frame("L", bytes(45)),
        frame("A", bytes(30)),
        frame("J"),
        frame("Z"),
    ]
    at = [sum(map(len, parts[:i])) for i in range(len(parts))]
    d = impl.SoupDecoder()
    rows, consumed = rows_of(d, b"".join(parts) + b"\0\5S")
    assert rows["type"].tolist() == [b"S", b"Z"]
    assert d.error_log == [
        (at[1], "?", "unknown message type"),
        (at[2], "\0", "bad length"),
        (at[3], "H", "bad length"),
        (at[4], "L", "bad length"),
        (at[5], "A", "corrupt"),
        (at[6], "J", "bad length"),
        (at[7] + 3, "S", "short buffer"),
    ]
    assert d.errors == {"corrupt": 1, "short buffer": 1, "unknown message type": 1, "bad length": 4}
    assert d.unknown == {"?": 1}
    assert d.position == consumed == sum(map(len, parts)) + 3


def test_strict_raises_at_the_first_malformed_packet(impl):
    good = frame("S", b"m")
    d = impl.SoupDecoder(strict=True)
    with pytest.raises(CorruptDataError, match="unknown message type type='\\?' offset=4") as caught:
        rows_of(d, good + frame("?"))
    assert (caught.value.offset, caught.value.packets, d.position) == (4, 1, 4)
    d = impl.SoupDecoder(strict=True)
    d.push(good[:2])
    with pytest.raises(CorruptDataError) as caught:
        d.push(good[2:] + good + frame("?"))
    assert caught.value.rows["sequence"].tolist() == [1, 2]
    assert bytes(caught.value.data) == good * 2
    with pytest.raises(CorruptDataError, match="offset=8"):
        d.push(b"")


def test_full_output_stops_between_packets(impl):
    wire = frame("S", b"a") * 5
    d = impl.SoupDecoder()
    rows = np.zeros(2, compiled.SOUP_DTYPE)
    assert d.decode(wire, rows) == (2, 8)
    assert d.decode(wire[8:], rows) == (2, 8)
    assert d.decode(wire[16:], rows) == (1, 4)


@pytest.mark.parametrize("row", [(0, 0, 4, b"S"), (4, 0, 0, b"S"), (2**64 - 1, 0, 2, b"S")])
def test_rows_outside_the_data_are_refused(impl, row):
    rows = np.array([(0, 0, 3, b"S"), row], compiled.SOUP_DTYPE)
    with pytest.raises(ValueError, match="must lie within data"):
        impl.encode(b"abc", rows)


def test_layout_of_a_row_is_that_of_the_struct(impl):
    class Packet(ctypes.Structure):
        _fields_ = [
            *[("offset", ctypes.c_uint64), ("sequence", ctypes.c_uint64), ("length", ctypes.c_uint32)],
            *[("type", ctypes.c_uint8), ("pad", ctypes.c_uint8 * 3)],
        ]

    assert ctypes.sizeof(Packet) == impl.SOUP_DTYPE.itemsize
    for name in impl.SOUP_DTYPE.names:
        assert getattr(Packet, name).offset == impl.SOUP_DTYPE.fields[name][1]
