"""OUCH 5.0: every message of both directions field by field, appendages, malformed messages, round trips."""

import ctypes
import mmap
import struct

import numpy as np
import pytest

from fastcore.errors import BookError, CorruptDataError, UnknownSymbolError
from fastcore.records import EVENT_DTYPE, FLAGS, KINDS, NO_PRICE, NO_SYMBOL, SESSION
from fastcore.reference import symbols as reference_symbols
from fastcore.symbols import SymbolMapper
from fastcore.wire import ouch as compiled
from fastcore.wire import soup

MODULE = "wire.ouch"
MIDNIGHT = 1_714_363_200_000_000_000
TIME = 34_200_000_000_123
T = struct.pack(">Q", TIME)
CLORDID = b"ORDER-1       "


def u4(*values):
    return struct.pack(f">{len(values)}I", *values)


def u8(*values):
    return struct.pack(f">{len(values)}Q", *values)


# (outbound, letter) -> message without its appendage, whether one may (1) or must (2) follow, kind, side, payload, details.
ACCEPTED = u4(100) + b"AAPL    " + u8(1_891_234) + b"0Y" + u8(2**63 + 7) + b"PNNL" + CLORDID
ACCEPTED_DETAILS = {
    **{"time_in_force": b"0", "display": b"Y", "capacity": b"P", "sweep": b"N", "cross_type": b"N", "state": b"L"},
    **{"symbol": b"AAPL    ", "cl_ord_id": CLORDID, "order_reference": 2**63 + 7},
}
CASES = {
    (False, "O"): (
        b"O" + u4(1) + b"T" + u4(100) + b"AAPL    " + u8(1_891_234) + b"3NAYO" + CLORDID,
        2,
        ("order", -1, (1_891_234, 100, 1, 0)),
        {
            **{"side": b"T", "time_in_force": b"3", "display": b"N", "capacity": b"A", "sweep": b"Y", "cross_type": b"O"},
            **{"symbol": b"AAPL    ", "cl_ord_id": CLORDID},
        },
    ),
    (False, "U"): (
        b"U" + u4(1, 2, 150) + u8(1_892_000) + b"0YN" + CLORDID,
        2,
        ("replace", 0, (1_892_000, 150, 1, 2)),
        {"time_in_force": b"0", "display": b"Y", "sweep": b"N", "cl_ord_id": CLORDID},
    ),
    (False, "X"): (b"X" + u4(2, 50), 1, ("pull", 0, (NO_PRICE, 50, 2, 0)), {}),
    (False, "M"): (b"M" + u4(2) + b"E" + u4(70), 1, ("replace", -1, (NO_PRICE, 70, 2, 2)), {"side": b"E"}),
    (False, "C"): (
        b"C" + u4(3) + b"FIRM" + b"        ",
        2,
        ("notice", 0, (ord("C"), 0, 3, 0)),
        {"firm": b"FIRM", "symbol": b"        "},
    ),
    (False, "D"): (b"D" + u4(4) + b"FIRM", 2, ("notice", 0, (ord("D"), 0, 4, 0)), {"firm": b"FIRM"}),
    (False, "E"): (b"E" + u4(5) + b"FIRM", 2, ("notice", 0, (ord("E"), 0, 5, 0)), {"firm": b"FIRM"}),
    (False, "Q"): (b"Q", 1, ("notice", 0, (ord("Q"), 0, 0, 0)), {}),
    (True, "S"): (b"S" + T + b"E", 0, ("system", 0, (SESSION["system_closes"], 0, 0, 0)), {"reason": b"E"}),
    (True, "A"): (
        b"A" + T + u4(1) + b"B" + ACCEPTED,
        2,
        ("ack", 1, (1_891_234, 100, 1, -(2**63) + 7)),
        ACCEPTED_DETAILS | {"side": b"B"},
    ),
    (True, "U"): (
        b"U" + T + u4(1, 2**32 - 1) + b"S" + ACCEPTED,
        2,
        ("replace", -1, (1_891_234, 100, 1, 2**32 - 1)),
        ACCEPTED_DETAILS | {"side": b"S"},
    ),
    (True, "C"): (b"C" + T + u4(2, 2**32 - 1) + b"I", 1, ("pulled", 0, (NO_PRICE, 2**32 - 1, 2, ord("I"))), {"reason": b"I"}),
    (True, "D"): (
        b"D" + T + u4(2, 30) + b"Q" + u4(40) + u8(2**64 - 1) + b"RN",
        1,
        ("pulled", 0, (NO_PRICE, 30, 2, ord("Q"))),
        {"reason": b"Q", "prevented_size": 40, "execution_price": 2**64 - 1, "liquidity": b"R", "strategy": b"N"},
    ),
    (True, "E"): (
        b"E" + T + u4(2, 10) + u8(1_891_200) + b"A" + u8(2**64 - 2),
        2,
        ("fill", 0, (1_891_200, 10, 2, -2)),
        {"liquidity": b"A"},
    ),
    (True, "B"): (
        b"B" + T + u4(2) + u8(9001) + b"E" + CLORDID,
        1,
        ("break", 0, (NO_PRICE, 0, 2, 9001)),
        {"reason": b"E", "cl_ord_id": CLORDID},
    ),
    (True, "J"): (
        b"J" + T + u4(2) + b"\0\x1d" + CLORDID,
        1,
        ("reject", 0, (NO_PRICE, 0, 2, 65_536 + 29)),
        {"cl_ord_id": CLORDID},
    ),
    (True, "P"): (b"P" + T + u4(2), 1, ("notice", 0, (ord("P"), 0, 2, 0)), {}),
    (True, "I"): (b"I" + T + u4(2), 1, ("notice", 0, (ord("I"), 0, 2, 0)), {}),
    (True, "T"): (
        b"T" + T + u4(2) + u8(1_900_000) + b"Z" + u8(7779),
        1,
        ("notice", 0, (ord("T"), 1_900_000, 2, 7779)),
        {"display": b"Z", "order_reference": 7779},
    ),
    (True, "M"): (b"M" + T + u4(2) + b"B" + u4(70), 1, ("replace", 1, (NO_PRICE, 70, 2, 2)), {"side": b"B"}),
    (True, "R"): (b"R" + T + u4(2) + b"P", 2, ("notice", 0, (ord("R"), ord("P"), 2, 0)), {"reason": b"P"}),
    (True, "X"): (
        b"X" + T + u4(3) + b"FIRM" + b"AAPL    ",
        2,
        ("notice", 0, (ord("X"), 0, 3, 0)),
        {"firm": b"FIRM", "symbol": b"AAPL    "},
    ),
    (True, "G"): (b"G" + T + u4(4) + b"FIRM", 2, ("notice", 0, (ord("G"), 0, 4, 0)), {"firm": b"FIRM"}),
    (True, "K"): (b"K" + T + u4(4) + b"FIRM", 2, ("notice", 0, (ord("K"), 0, 4, 0)), {"firm": b"FIRM"}),
    (True, "Q"): (b"Q" + T + u4(42), 1, ("notice", 0, (ord("Q"), 0, 42, 0)), {}),
}
LENGTHS = {False: dict(zip("OUXMCDEQ", (45, 38, 9, 10, 17, 9, 9, 1), strict=True)),
           True: dict(zip("SAUCDEBJPITMRXGKQ", (10, 62, 66, 18, 32, 34, 36, 29, 13, 13, 30, 18, 14, 25, 17, 17, 13), strict=True))}  # fmt: skip


def wire(message, appendage, options=b""):
    """The message as it is sent: with an appendage where one is asked for or must be."""
    return message + struct.pack(">H", len(options)) + options if options or appendage == 2 else message


def decode(impl, outbound, messages, **options):
    """Events, rows beside them, data and decoder."""
    data = b"".join((soup.sequenced if outbound else soup.unsequenced)(m) for m in messages)
    rows = np.zeros(len(messages), soup.SOUP_DTYPE)
    soup.SoupDecoder(strict=True).decode(data, rows)
    out = np.zeros(len(rows), EVENT_DTYPE)
    details = np.full(72 * len(rows), 0xAA, np.uint8).view(impl.OUCH_DTYPE)
    d = impl.OuchDecoder(outbound, **options)
    n = d.decode(data, rows, out, details, 99)
    return out[:n], details[:n], data, d


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{'out' if c[0] else 'in'}-{c[1]}")
@pytest.mark.parametrize("options", [b"", b"\x05\x02LIME", b"\x02\x1c\x07\x05\x02LIME\x03\xfeab"])
def test_every_field_of_a_message(impl, case, options):
    outbound, letter = case
    message, appendage, (kind, side, payload), expected = CASES[case]
    assert len(message) == LENGTHS[outbound][letter]
    if options and not appendage:
        return
    raw = wire(message, appendage, options)
    events, details, data, d = decode(impl, outbound, [raw], midnight_ns=MIDNIGHT, strict=True)
    time = MIDNIGHT + TIME if outbound else 0
    assert events.tolist() == [(int(outbound), time, 99, NO_SYMBOL, KINDS[kind], side, FLAGS["own"], *payload)]
    row = dict.fromkeys(impl.OUCH_DTYPE.names, 0)
    for name in impl.OUCH_DTYPE.names:
        if impl.OUCH_DTYPE[name].kind == "S":
            row[name] = b""
    row |= {"type": letter.encode()} | expected
    if len(raw) > len(message):
        row |= {"has_appendage": 1, "appendage_length": len(options), "appendage_offset": 3 + len(message) + 2}
    assert dict(zip(impl.OUCH_DTYPE.names, details[0].tolist(), strict=True)) == row
    assert d.counts == {letter: 1}
    stream, rows = impl.OuchEncoder(outbound, MIDNIGHT).encode(events, details, data)
    assert stream == raw
    assert soup.encode(stream, rows) == data


@pytest.mark.parametrize("outbound", [False, True])
def test_all_messages_of_a_direction_roundtrip(impl, outbound):
    messages = [wire(m, a, b"\x02\x1c\x01" * (a > 0)) for (o, _), (m, a, _, _) in CASES.items() if o == outbound]
    messages += [wire(m, a) for (o, _), (m, a, _, _) in CASES.items() if o == outbound]
    events, details, data, d = decode(impl, outbound, messages)
    assert len(events) == len(messages) == sum(d.counts.values())
    stream, rows = impl.OuchEncoder(outbound).encode(events, details, data)
    assert soup.encode(stream, rows) == data


def test_any_buffer_is_accepted(tmp_path):
    messages = [wire(m, a) for (o, _), (m, a, _, _) in CASES.items() if o]
    expected, details, data, _ = decode(compiled, True, messages)
    rows = np.zeros(len(messages), soup.SOUP_DTYPE)
    soup.SoupDecoder(strict=True).decode(data, rows)
    (tmp_path / "x").write_bytes(data)
    with open(tmp_path / "x", "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        for source in (data, bytearray(data), memoryview(data), np.frombuffer(data, np.uint8), mapped):
            out, beside = np.zeros_like(expected), np.zeros_like(details)
            assert compiled.OuchDecoder(True, strict=True).decode(source, rows, out, beside, 99) == len(messages)
            assert (out.tobytes(), beside.tobytes()) == (expected.tobytes(), details.tobytes())


def test_symbols_get_their_ids(impl):
    mapper = (SymbolMapper if impl is compiled else reference_symbols.SymbolMapper)(["MSFT", "AAPL"])
    messages = [wire(*CASES[True, letter][:2]) for letter in "AECX"]
    events, _, _, _ = decode(impl, True, messages, symbols=mapper)
    assert events["symbol_id"].tolist() == [1, NO_SYMBOL, NO_SYMBOL, 1]


def test_other_packets_are_passed_over(impl):
    data = soup.heartbeat(True) + soup.sequenced(CASES[True, "S"][0]) + soup.debug("S") + soup.end_of_session()
    rows = np.zeros(4, soup.SOUP_DTYPE)
    soup.SoupDecoder(5).decode(data, rows)
    out, details = np.zeros(4, EVENT_DTYPE), np.zeros(4, impl.OUCH_DTYPE)
    assert impl.OuchDecoder(True).decode(data, rows, out, details) == 1
    assert out["seq"][0] == 5


MALFORMED = [
    (True, b"", "\0", "bad length"),
    (True, b"?", "?", "unknown message type"),
    (True, b"O" + bytes(46), "O", "unknown message type"),
    (False, b"A" + bytes(63), "A", "unknown message type"),
    (True, CASES[True, "C"][0][:-1], "C", "bad length"),
    (True, CASES[True, "C"][0] + b"\0", "C", "bad length"),
    (True, CASES[True, "C"][0] + b"\0\1", "C", "bad length"),
    (True, CASES[True, "C"][0] + b"\0\0x", "C", "bad length"),
    (True, CASES[True, "C"][0] + b"\0\1\0", "C", "corrupt"),
    (True, CASES[True, "C"][0] + b"\0\3\3\1a", "C", "corrupt"),
    (True, CASES[True, "S"][0] + b"\0\0", "S", "bad length"),
    (True, CASES[True, "A"][0], "A", "bad length"),
    (False, wire(*CASES[False, "O"][:2]).replace(b"T", b"x"), "O", "corrupt"),
    (False, wire(*CASES[False, "O"][:2]).replace(u8(1_891_234), u8(2**63)), "O", "price outside range"),
    (True, b"S" + u8(2**62) + b"E", "S", "corrupt"),
]


@pytest.mark.parametrize(("outbound", "bad", "letter", "reason"), MALFORMED)
def test_malformed_messages_are_counted_with_their_offset(impl, outbound, bad, letter, reason):
    good = CASES[outbound, "P" if outbound else "X"][0]
    events, _, _, d = decode(impl, outbound, [good, bad, good])
    assert len(events) == 2
    assert d.error_log == [(len(good) + 3 + 3, letter, reason)]
    assert d.errors == {reason: 1}
    assert d.unknown == ({letter: 1} if reason == "unknown message type" else {})
    with pytest.raises(CorruptDataError, match=reason) as caught:
        decode(impl, outbound, [good, bad, good], strict=True)
    assert (caught.value.offset, caught.value.events) == (len(good) + 6, 1)


def test_events_alone_are_enough_for_ordinary_messages(impl):
    events = np.zeros(4, EVENT_DTYPE)
    for i, (kind, side, payload) in enumerate(
        [
            ("order", 1, (1_000_000, 100, 1, 0)),
            ("order", -1, (1_010_000, 100, 2, 0)),
            ("replace", 0, (1_000_100, 100, 1, 3)),
            ("pull", 0, (NO_PRICE, 0, 3, 0)),
        ]
    ):
        events[i] = (0, 0, 0, 0, KINDS[kind], side, FLAGS["own"], *payload)
    details = compiled.details(4, symbol="AAPL", cl_ord_id=["A", "B", "C", "D"], capacity=b"A")
    stream, rows = impl.OuchEncoder(False).encode(events, details)
    messages = [stream[o : o + n] for o, _, n, _ in rows.tolist()]
    assert messages == [
        b"O" + u4(1) + b"B" + u4(100) + b"AAPL    " + u8(1_000_000) + b"0YANN" + b"A".ljust(14) + b"\0\0",
        b"O" + u4(2) + b"S" + u4(100) + b"AAPL    " + u8(1_010_000) + b"0YANN" + b"B".ljust(14) + b"\0\0",
        b"U" + u4(1, 3, 100) + u8(1_000_100) + b"0YN" + b"C".ljust(14) + b"\0\0",
        b"X" + u4(3, 0),
    ]
    venue = np.zeros(7, EVENT_DTYPE)
    kinds = ["ack", "pulled", "fill", "break", "reject", "system", "notice"]
    fourth = [9, ord("U"), 5, 5, 65_537, 0, 0]
    for i, kind in enumerate(kinds):
        price = {"system": SESSION["system_opens"], "notice": ord("P")}.get(kind, 100)
        venue[i] = (0, 5, 0, 0, KINDS[kind], 1, FLAGS["own"], price, 0 if kind == "notice" else 10, 7, fourth[i])
    stream, rows = impl.OuchEncoder(True).encode(venue, compiled.details(7, symbol=b"AAPL"))
    assert [stream[o : o + 1] for o in rows["offset"].tolist()] == [b"A", b"C", b"E", b"B", b"J", b"S", b"P"]
    with pytest.raises(ValueError, match="field must be one of"):
        compiled.details(1, nothing=1)
    with pytest.raises(ValueError, match="at most 8 characters"):
        compiled.details(1, symbol="TOOLONGNAME")


@pytest.mark.parametrize(
    ("kind", "side", "payload", "options", "error"),
    [
        ("order", 1, (-1, 1, 1, 0), {}, ValueError),
        ("order", 1, (NO_PRICE, 1, 1, 0), {}, ValueError),
        ("order", 1, (1, -1, 1, 0), {}, ValueError),
        ("order", 1, (1, 2**32, 1, 0), {}, ValueError),
        ("order", 1, (1, 1, 2**32, 0), {}, BookError),
        ("order", 1, (1, 1, -1, 0), {}, BookError),
        ("order", 0, (1, 1, 1, 0), {}, CorruptDataError),
        ("order", 1, (1, 1, 1, 0), {"side": b"S"}, CorruptDataError),
        ("order", 1, (1, 1, 1, 0), {"symbol": ""}, UnknownSymbolError),
        ("order", 1, (1, 1, 1, 0), {"appendage_length": 5}, CorruptDataError),
        ("order", 1, (1, 1, 1, 0), {"appendage_offset": 2**64 - 1, "appendage_length": 3}, CorruptDataError),
        ("order", 1, (1, 1, 1, 0), {"appendage_length": 1}, CorruptDataError),
        ("order", 1, (1, 1, 1, 0), {"type": b"X"}, CorruptDataError),
        ("replace", 0, (1, 1, 1, 2**32), {}, BookError),
        ("replace", 1, (NO_PRICE, 1, 1, 2), {}, BookError),
        ("fill", 1, (1, 1, 1, 0), {}, CorruptDataError),
        ("quote", 1, (1, 1, 1, 0), {}, CorruptDataError),
        ("notice", 0, (0, 1, 1, 0), {}, CorruptDataError),
    ],
)
def test_events_that_fit_no_message_are_refused(impl, kind, side, payload, options, error):
    events = np.zeros(1, EVENT_DTYPE)
    events[0] = (0, 0, 0, 0, KINDS[kind], side, FLAGS["own"], *payload)
    with pytest.raises(error, match="event must fit its OUCH message: index=0"):
        impl.OuchEncoder(False).encode(events, compiled.details(1, **{"symbol": "AAPL"} | options), b"\0\1\2")


@pytest.mark.parametrize(
    ("kind", "payload", "time", "options"),
    [
        ("reject", (NO_PRICE, 0, 1, 19), 5, {}),
        ("reject", (NO_PRICE, 0, 1, 131_072), 5, {}),
        ("pulled", (NO_PRICE, 0, 1, 256), 5, {}),
        ("pulled", (NO_PRICE, 0, 1, -1), 5, {}),
        ("system", (SESSION["market_opens"], 0, 0, 0), 5, {}),
        ("system", (0, 0, 0, 256), 5, {}),
        ("system", (0, 0, 0, ord("S")), 5, {}),
        ("system", (SESSION["system_opens"], 0, 0, 0), 4, {}),
        ("system", (SESSION["system_opens"], 0, 0, 0), 5, {"appendage_length": 1}),
        ("notice", (ord("P"), 0, 0, 0), 5, {"type": b"I"}),
        ("notice", (ord("R"), 256, 0, 0), 5, {}),
    ],
)
def test_reports_that_fit_no_message_are_refused(impl, kind, payload, time, options):
    events = np.zeros(1, EVENT_DTYPE)
    events[0] = (0, time, 0, 0, KINDS[kind], 1, FLAGS["own"], *payload)
    with pytest.raises(CorruptDataError, match="event must fit"):
        impl.OuchEncoder(True, 5).encode(events, compiled.details(1, symbol="AAPL", **options))


def test_options_are_read_and_written():
    options = {
        **{"firm": "LIME", "min_size": 50, "post_only": "P", "peg_offset": -5, "discretion_price": 2**64 - 1, "group_id": 7},
        **{"user_reference_index": 255, "aiq_group_id": "AB", 99: b"xyz", 2: b"TOOLONG"},
    }
    raw = compiled.pack_options(options)
    assert raw.startswith(b"\x05\x02LIME\x05\x03\0\0\0\x32\x02\x0cP\x05\x07\xff\xff\xff\xfb")
    assert compiled.parse_options(raw) == options
    assert compiled.parse_options(b"") == {}
    assert compiled.pack_options({"route": "A"}) == b"\x05\x0eA   "
    for bad in (b"\0", b"\3\1a", b"\2\x1c\1\2\x1c\1"):
        with pytest.raises(CorruptDataError):
            compiled.parse_options(bad)
    for wrong in ({"firm": "LONGER"}, {"min_size": 2**32}, {"min_size": -1}, {"peg_offset": 2**31}, {"x": b""}, {256: b""}):
        with pytest.raises(ValueError, match="must"):
            compiled.pack_options(wrong)


def test_arguments_are_checked(impl):
    rows = np.zeros(2, soup.SOUP_DTYPE)
    out, details = np.zeros(2, EVENT_DTYPE), np.zeros(2, impl.OUCH_DTYPE)
    with pytest.raises(ValueError, match="as long as rows"):
        impl.OuchDecoder(True).decode(b"", rows, out[:1], details)
    rows["length"] = 1
    with pytest.raises(ValueError, match="within data"):
        impl.OuchDecoder(True).decode(b"", rows, out, details)
    with pytest.raises(ValueError, match="as long as events"):
        impl.OuchEncoder(True).encode(out, details[:1])
    assert (impl.OuchDecoder(True).outbound, impl.OuchEncoder(False).outbound) == (True, False)


def test_layout_of_a_row_is_that_of_the_struct():
    class Detail(ctypes.Structure):
        _fields_ = [
            *[(name, ctypes.c_uint8) for name in compiled.OUCH_DTYPE.names[:12]],
            *[("prevented_size", ctypes.c_uint32), ("symbol", ctypes.c_uint8 * 8), ("cl_ord_id", ctypes.c_uint8 * 14)],
            *[("appendage_length", ctypes.c_uint16), ("order_reference", ctypes.c_uint64)],
            *[("execution_price", ctypes.c_uint64), ("appendage_offset", ctypes.c_uint64)],
            *[("firm", ctypes.c_uint8 * 4), ("pad", ctypes.c_uint32)],
        ]

    assert ctypes.sizeof(Detail) == compiled.OUCH_DTYPE.itemsize
    for name in compiled.OUCH_DTYPE.names:
        assert getattr(Detail, name).offset == compiled.OUCH_DTYPE.fields[name][1]
