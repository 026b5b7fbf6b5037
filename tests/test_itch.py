"""ITCH 5.0: every field of every decoded type, malformed streams, round trips, and recorded data."""

import gzip
import struct

import numpy as np
import pytest
from makers.framing import framed

from fastcore.errors import CorruptDataError, UnknownSymbolError
from fastcore.instruments import Instruments
from fastcore.records import EVENT_DTYPE, FLAGS, KINDS, NO_PRICE, NO_SYMBOL, SESSION, TRADING
from fastcore.wire import itch as compiled

MODULE = "wire.itch"
MIDNIGHT = 1_580_342_400_000_000_000
TIME = 0x1F2E3D4C5B6A
HEAD = struct.pack(">HH", 13, 99) + TIME.to_bytes(6, "big")
BIG = 2**64 - 2


def message(type, body):
    return type.encode() + HEAD + body


MESSAGES = {
    "S": message("S", b"Q"),
    "R": message("R", b"AAPL    QN" + struct.pack(">I", 100) + b"NCZ PN1N" + b"Y" + struct.pack(">I", 3) + b"N"),
    "H": message("H", b"AAPL    T " + b"ABCD"),
    "A": message("A", struct.pack(">QcI8sI", BIG, b"B", 2**32 - 1, b"AAPL    ", 2**32 - 1)),
    "F": message("F", struct.pack(">QcI8sI4s", 5, b"S", 7, b"AAPL    ", 1_000_100, b"GSCO")),
    "E": message("E", struct.pack(">QIQ", 5, 3, BIG)),
    "C": message("C", struct.pack(">QIQcI", 5, 3, 8, b"N", 990_000)),
    "X": message("X", struct.pack(">QI", 5, 2)),
    "D": message("D", struct.pack(">Q", 5)),
    "U": message("U", struct.pack(">QQII", 5, BIG, 9, 1_010_000)),
    "P": message("P", struct.pack(">QcI8sIQ", 0, b"S", 50, b"AAPL    ", 1_000_000, 77)),
    "Q": message("Q", struct.pack(">Q8sIQc", 2**40, b"AAPL    ", 1_000_000, 78, b"O")),
    "B": message("B", struct.pack(">Q", BIG)),
    "I": message("I", struct.pack(">QQc8sIIIcc", 2**40, 2**41, b"S", b"AAPL    ", 990_000, 0, 1_000_000, b"O", b"A")),
    "Y": message("Y", b"AAPL    1"),
    "L": message("L", b"VIRTAAPL    YNA"),
    "V": message("V", struct.pack(">QQQ", 2**63 - 1, 0, 3 * 10**11)),
    "W": message("W", b"2"),
    "K": message("K", struct.pack(">8sIcI", b"AAPL    ", 2**32 - 1, b"R", 180_000)),
    "J": message("J", struct.pack(">8sIIII", b"AAPL    ", 1_000_000, 2**32 - 1, 0, 2**32 - 2)),
    "h": message("h", b"AAPL    QH"),
    "N": message("N", b"AAPL    B"),
    "O": message("O", struct.pack(">8scIIIQII", b"AAPL    ", b"Y", 1, 2, 3, BIG, 4, 0)),
}
# kind, side, flags, payload of each event
MORE = FLAGS["continued"]
EVENTS = {
    "S": [("system", 0, 0, (SESSION["market_opens"], 0, 0, 0))],
    "H": [("status", 0, 0, (TRADING["trading"], int.from_bytes(b"ABCD", "big"), ord(" "), 0))],
    "A": [("add", 1, 0, (2**32 - 1, 2**32 - 1, -2, 0))],
    "F": [("add", -1, 0, (1_000_100, 7, 5, int.from_bytes(b"GSCO", "big")))],
    "E": [("execute", 0, 0, (NO_PRICE, 3, 5, -2))],
    "C": [("execute", 0, FLAGS["not_printable"], (990_000, 3, 5, 8))],
    "X": [("cancel", 0, 0, (NO_PRICE, 2, 5, 0))],
    "D": [("delete", 0, 0, (NO_PRICE, 0, 5, 0))],
    "U": [("replace", 0, 0, (1_010_000, 9, 5, -2))],
    "P": [("trade", -1, FLAGS["hidden"], (1_000_000, 50, 0, 77))],
    "Q": [("cross", 0, 0, (1_000_000, 2**40, ord("O"), 78))],
    "B": [("break", 0, 0, (NO_PRICE, 0, 0, -2))],
    "I": [
        ("imbalance", -1, MORE, (1_000_000, 2**41, 2**40, ord("O"))),
        ("imbalance", -1, 0, (990_000, NO_PRICE, ord("S"), ord("A"))),
    ],
    "Y": [("notice", 0, 0, (ord("Y"), ord("1"), 0, 0))],
    "L": [("notice", 0, 0, (ord("L"), int.from_bytes(b"VIRT", "big"), int.from_bytes(b"YNA", "little"), 0))],
    "V": [("notice", 0, 0, (ord("V"), 2**63 - 1, NO_PRICE, 3 * 10**11))],
    "W": [("notice", 0, 0, (ord("W"), ord("2"), 0, 0))],
    "K": [("notice", 0, 0, (ord("K"), 2**32 - 1, ord("R"), 180_000))],
    "J": [("notice", 0, MORE, (ord("J"), 1_000_000, 2**32 - 1, NO_PRICE)), ("notice", 0, 0, (ord("J"), 2**32 - 2, 0, 0))],
    "h": [("notice", 0, 0, (ord("h"), ord("Q"), ord("H"), 0))],
    "N": [("notice", 0, 0, (ord("N"), ord("B"), 0, 0))],
    "O": [
        ("notice", 0, MORE, (ord("O"), ord("Y"), 3, -2)),
        ("notice", 0, MORE, (ord("O"), 1, 2, 0)),
        ("notice", 0, 0, (ord("O"), 4, NO_PRICE, 0)),
    ],
}


def table(n=64):
    out = np.zeros(n, EVENT_DTYPE)
    out["seq"] = 12345
    return out


def state(d):
    return d.counts, d.skipped, d.unknown, d.errors, d.error_log, d.position


def events_of(type):
    return len(EVENTS.get(type, [0]))


@pytest.mark.parametrize("type", EVENTS)
def test_every_field_of_a_type(impl, type):
    out = table(events_of(type))
    d = impl.ItchDecoder(MIDNIGHT)
    assert d.decode(framed(MESSAGES[type]), out) == (events_of(type), len(MESSAGES[type]) + 2)
    assert out.tolist() == [
        (12345, MIDNIGHT + TIME, 0, 13, KINDS[kind], side, flags, *payload) for kind, side, flags, payload in EVENTS[type]
    ]
    assert d.counts == {type: 1}
    assert d.skipped == 0


def test_every_type_of_the_specification_is_tested(impl):
    assert set(MESSAGES) == set(EVENTS) | {"R"} == set(impl.LENGTHS)
    assert max(map(len, EVENTS.values())) == impl.MAX_EVENTS
    assert all(len(MESSAGES[type]) == length for type, length in impl.LENGTHS.items())


@pytest.mark.parametrize(("letter", "side"), [(b"B", 1), (b"S", -1), (b"N", 0), (b"O", 0), (b"P", 0), (b"?", 0)])
def test_direction_of_an_imbalance_is_the_side(impl, letter, side):
    out = table(2)
    m = MESSAGES["I"]
    impl.ItchDecoder().decode(framed(m[:27] + letter + m[28:]), out)
    assert out["side"].tolist() == [side, side]
    assert out["order_id"][1] == letter[0]


@pytest.mark.parametrize("at", [11, 19])
def test_shares_of_an_imbalance_beyond_int64_are_malformed(impl, at):
    m = MESSAGES["I"]
    d = impl.ItchDecoder()
    assert d.decode(framed(m[:at] + b"\x80" + m[at + 1 :], MESSAGES["D"]), table())[0] == 1
    assert d.error_log == [(0, "I", "size outside range")]


@pytest.mark.parametrize("at", [11, 19, 27])
def test_levels_beyond_int64_are_malformed(impl, at):
    m = MESSAGES["V"]
    d = impl.ItchDecoder()
    assert d.decode(framed(m[:at] + b"\x80" + m[at + 1 :], MESSAGES["D"]), table())[0] == 1
    assert d.error_log == [(0, "V", "price outside range")]


@pytest.mark.parametrize("type", ["I", "J", "O"])
def test_a_message_is_never_split(impl, type):
    stream = framed(MESSAGES["D"], MESSAGES[type], MESSAGES["X"])
    for size in range(2, 6):
        d, out = impl.ItchDecoder(), table(size)
        room = size - 1 >= events_of(type)
        n, consumed = d.decode(stream, out)
        assert n == (min(size, events_of(type) + 2) if room else 1)
        assert bool(out["flags"][n - 1] & MORE) is False
        assert out["kind"][n:].tolist() == [0] * (size - n)
        assert d.errors == {}
        if not room:
            assert (consumed, d.counts) == (21, {"D": 1})
            assert d.decode(stream[consumed:], table(4))[0] == events_of(type) + 1


@pytest.mark.parametrize("type", ["I", "J", "O"])
def test_an_array_that_can_never_hold_a_message_is_refused(impl, type):
    d = impl.ItchDecoder()
    with pytest.raises(ValueError, match=f"out must hold the events of one message: capacity=1 needed={events_of(type)}"):
        d.decode(framed(MESSAGES[type]), table(1))
    assert d.decode(framed(MESSAGES[type]), table(0)) == (0, 0)
    assert (d.position, d.counts, d.errors) == (0, {}, {})
    assert d.decode(framed(MESSAGES[type])[:-1], table(1)) == (0, 0)
    assert d.decode(framed(MESSAGES[type]), table(impl.MAX_EVENTS))[0] == events_of(type)


def test_listing_carries_the_symbol_and_all_its_fields(impl):
    out = table(1)
    d = impl.ItchDecoder()
    d.decode(framed(MESSAGES["R"]), out)
    row = out[0]
    assert (row["kind"], row["symbol_id"]) == (KINDS["listing"], 13)
    assert int(row["price"]).to_bytes(8, "little") == b"AAPL    "
    assert row["size"] == 100
    assert int(row["order_id"]).to_bytes(8, "little") == b"QNNCZ PN"
    assert int(row["match_id"]).to_bytes(8, "little") == b"1NY\0\0\0\3N"
    assert (d.symbol(13), d.symbol(14), d.symbols) == ("AAPL", None, {13: "AAPL"})


def test_printable_execution_has_no_flag(impl):
    out = table(1)
    impl.ItchDecoder().decode(framed(MESSAGES["C"][:31] + b"Y" + MESSAGES["C"][32:]), out)
    assert out["flags"][0] == 0


def test_all_lengths_are_those_of_version_5(impl):
    assert impl.LENGTHS == {
        **{"S": 12, "R": 39, "H": 25, "Y": 20, "L": 26, "V": 35, "W": 12, "K": 28, "J": 35, "h": 21, "A": 36, "F": 40},
        **{"E": 31, "C": 36, "X": 23, "D": 19, "U": 35, "P": 44, "Q": 40, "B": 19, "I": 50, "N": 20, "O": 48},
    }


def test_letters_outside_the_specification_are_data(impl):
    stream = b""
    for type, m in MESSAGES.items():
        changed = bytearray(m)
        for at in {"S": [11], "H": [19, 20], "C": [31], "Q": [39], "Y": [19], "W": [11], "h": [19, 20], "N": [19]}.get(type, []):
            changed[at] = 0xFE
        stream += framed(bytes(changed))
    d, out, wire = impl.ItchDecoder(strict=True), table(), np.zeros(64, impl.WIRE_DTYPE)
    n, _ = d.decode(stream, out, final=True, wire=wire)
    assert d.counts == dict.fromkeys(sorted(MESSAGES), 1)
    assert impl.ItchEncoder().encode(out[:n], wire[:n]) == stream
    assert out["flags"][out["kind"] == KINDS["execute"]].tolist() == [0, 0]


@pytest.mark.parametrize("type", compiled.LENGTHS)
@pytest.mark.parametrize("change", [-1, 1])
def test_a_wrong_length_is_counted_and_passed_over(impl, type, change):
    bad = (type.encode() + bytes(60))[: compiled.LENGTHS[type] + change]
    d = impl.ItchDecoder()
    out = table()
    n, consumed = d.decode(framed(MESSAGES["D"], bad, MESSAGES["X"]), out)
    assert (n, consumed) == (2, 2 * 3 + 19 + len(bad) + 23)
    assert d.errors == {"bad length": 1}
    assert d.error_log == [(21, type, "bad length")]
    assert d.counts == {"D": 1, "X": 1}


def test_malformed_messages_are_counted_with_their_offset(impl):
    stream = framed(
        MESSAGES["A"],  # 0
        b"",  # 38
        b"z" + bytes(10),  # 40
        MESSAGES["A"].replace(b"B", b"x"),  # 53
        MESSAGES["Q"][:11] + b"\x80" + MESSAGES["Q"][12:],  # 91
        MESSAGES["D"],  # 133
    )
    d = impl.ItchDecoder()
    assert d.decode(stream + b"\0", table(), final=True) == (2, len(stream) + 1)
    assert d.error_log == [
        (38, "\0", "bad length"),
        (40, "z", "unknown message type"),
        (53, "A", "corrupt"),
        (91, "Q", "size outside range"),
        (154, "\0", "short buffer"),
    ]
    assert d.errors == {
        "corrupt": 1,
        "short buffer": 1,
        "unknown message type": 1,
        "bad length": 1,
        "size outside range": 1,
    }
    assert d.unknown == {"z": 1}
    assert d.position == len(stream) + 1


@pytest.mark.parametrize(
    ("bad", "reason", "type"),
    [
        (framed(b""), "bad length", "\0"),
        (framed(b"z123"), "unknown message type", "z"),
        (framed(b"A123"), "bad length", "A"),
        (framed(MESSAGES["P"].replace(b"S", b"s")), "corrupt", "P"),
        (framed(MESSAGES["A"])[:-1], "short buffer", "A"),
        (b"\x01", "short buffer", "\0"),
    ],
)
def test_strict_raises_with_the_offset(impl, bad, reason, type):
    d = impl.ItchDecoder(strict=True)
    head = framed(MESSAGES["D"], MESSAGES["A"])
    out = table()
    with pytest.raises(CorruptDataError, match=f"{reason} type={type!r} offset={len(head)}".replace("\\", "\\\\")) as caught:
        d.decode(head + bad, out, final=True)
    assert (caught.value.offset, caught.value.events) == (len(head), 2)
    assert out["kind"][:3].tolist() == [KINDS["delete"], KINDS["add"], 0]
    assert d.position == len(head)


def test_error_log_is_bounded(impl):
    d = impl.ItchDecoder()
    d.decode(framed(*[b"z"] * 200), table())
    assert len(d.error_log) == 64
    assert d.errors == {"unknown message type": 200}


def test_a_stream_in_pieces_gives_the_same_events(impl):
    stream = framed(*MESSAGES.values(), *reversed(MESSAGES.values()))
    whole = table()
    d = impl.ItchDecoder()
    n, _ = d.decode(stream, whole, final=True)
    for step in (1, 7, 53):
        pieces, p, rest, got = table(), impl.ItchDecoder(), b"", 0
        for start in range(0, len(stream), step):
            rest += stream[start : start + step]
            k, consumed = p.decode(rest, pieces[got:])
            got, rest = got + k, rest[consumed:]
        assert rest == b""
        assert got == n
        assert pieces[:n].tolist() == whole[:n].tolist()
        assert state(p) == state(d)


def test_whole_messages_end_where_the_next_is_cut(impl):
    stream = framed(b"", *MESSAGES.values())
    ends = [0]
    for m in (b"", *MESSAGES.values()):
        ends.append(ends[-1] + 2 + len(m))
    for cut in range(len(stream) + 1):
        done = sum(end <= cut for end in ends) - 1
        assert impl.whole_messages(stream[:cut]) == (ends[done], done)


def test_a_full_table_stops_without_loss(impl):
    stream = framed(*MESSAGES.values())
    whole = table()
    total, _ = impl.ItchDecoder().decode(stream, whole, final=True)
    assert total == sum(map(events_of, MESSAGES))
    for size in range(3, total + 1):
        d, at, got = impl.ItchDecoder(), 0, []
        while at < len(stream):
            out = table(size)
            n, consumed = d.decode(stream[at:], out, final=True)
            at += consumed
            got += out[:n].tolist()
        assert got == whole[:total].tolist()
        assert d.errors == {}


def at(message, locate, symbol=None):
    """The message under another locate, and of another symbol."""
    message = message[:1] + struct.pack(">H", locate) + message[3:]
    return message if symbol is None else message.replace(b"AAPL    ", symbol.encode().ljust(8))


def test_ids_come_from_the_instruments(impl):
    instruments = Instruments(["MSFT"], increment_ticks=100, venue="XNAS")
    d = impl.ItchDecoder(instruments=instruments)
    stream = framed(
        *(at(MESSAGES["S"], 0), at(MESSAGES["D"], 9), at(MESSAGES["R"], 13), at(MESSAGES["R"], 7, "MSFT"), at(MESSAGES["D"], 13)),
        *(at(MESSAGES["A"], 9, "BRK.A"), at(MESSAGES["D"], 9), at(MESSAGES["A"], 7, "OTHER"), at(MESSAGES["A"], 0, "ZERO")),
        *(at(MESSAGES["R"], 13, "MSFT"), at(MESSAGES["E"], 13), at(MESSAGES["P"], 14, "AAPL")),
    )
    out = table(20)
    n, _ = d.decode(stream, out, final=True)
    none = NO_SYMBOL  # the whole market, or an order of which nobody has seen the symbol
    assert out["symbol_id"][:n].tolist() == [none, none, 1, 0, 1, 2, 2, 0, none, 0, 0, 1]
    assert instruments.symbols == ["MSFT", "AAPL", "BRK.A"]
    assert instruments[1] == ("AAPL", 0.0001, 1.0, 100, 1, 10_000, 1.0, "USD", "XNAS", 0, 0, "linear", False)  # units are those of the protocol
    assert d.symbol_ids == {7: 0, 9: 2, 13: 0, 14: 1}
    assert (d.instruments, d.wanted, d.skipped) == (instruments, None, 0)
    assert d.symbols == {7: "MSFT", 13: "MSFT"}
    assert d.listings["symbol_id"].tolist() == [0, 0]
    assert impl.ItchDecoder().instruments is None and impl.ItchDecoder().symbol_ids == {}


def test_messages_of_symbols_that_nobody_wants_are_skipped(impl):
    stream = framed(
        *(at(MESSAGES["S"], 0), at(MESSAGES["D"], 9), at(MESSAGES["R"], 13), at(MESSAGES["R"], 7, "MSFT"), at(MESSAGES["D"], 13)),
        *(at(MESSAGES["I"], 7), at(MESSAGES["D"], 7), at(MESSAGES["A"], 9, "BRK.A"), at(MESSAGES["D"], 9)),
        *(at(MESSAGES["X"], 8), at(MESSAGES["R"], 7, "AAPL"), at(MESSAGES["D"], 7), b"", b"A", at(MESSAGES["D"], 13) + b"x", b"?" * 30),
    )
    for instruments, ids in ((None, [0, 13, 13, 9, 9, 7, 7]), (Instruments(["BRK.A"]), [NO_SYMBOL, 1, 1, 0, 0, 1, 1])):
        d = impl.ItchDecoder(instruments=instruments, wanted=["AAPL", b"BRK.A   "])
        out, wire = table(20), np.zeros(20, impl.WIRE_DTYPE)
        n, consumed = d.decode(stream, out, True, wire)
        assert out["symbol_id"][:n].tolist() == ids
        assert [chr(t[0]) for t in wire["type"][:n].tolist()] == list("SRDADRD")
        assert (consumed, d.position, d.skipped, d.wanted) == (len(stream), len(stream), 5, {"AAPL", "BRK.A"})
        assert sum(d.counts.values()) == 7
        assert d.errors == {"unknown message type": 1, "bad length": 3}
    assert instruments.symbols == ["BRK.A", "AAPL"]
    nothing = impl.ItchDecoder(wanted=[])
    assert nothing.decode(stream, out)[0] == 1
    assert nothing.skipped == 11


def test_a_symbol_that_is_not_wanted_may_break_rules_of_its_own_fields(impl):
    bad = MESSAGES["A"][:19] + b"X" + MESSAGES["A"][20:]
    d = impl.ItchDecoder(strict=True, wanted=["MSFT"])
    assert d.decode(framed(bad, bad, *[MESSAGES["D"]] * 5), table(3)) == (0, 2 * 38 + 5 * 21)
    assert (d.skipped, d.errors) == (7, {})


def test_instruments_without_room_stop_the_decoder():
    d = compiled.ItchDecoder(instruments=Instruments(["MSFT"], capacity=1))
    with pytest.raises(OverflowError, match="capacity must hold every instrument: capacity=1"):
        d.decode(framed(at(MESSAGES["R"], 7, "MSFT"), MESSAGES["A"], MESSAGES["D"]), table())
    assert d.position == 41
    assert d.counts == {"R": 1}


def test_what_the_wire_calls_a_symbol_is_an_instrument_whatever_its_bytes_are():
    instruments = Instruments()
    d = compiled.ItchDecoder(instruments=instruments)
    odd = [MESSAGES["R"].replace(b"AAPL    ", name) for name in (b"\xff" * 8, b" X      ", b"A\0B     ", bytes(8))]
    out = table()
    n, _ = d.decode(framed(*(at(m, i + 1) for i, m in enumerate(odd))), out)
    assert out["symbol_id"][:n].tolist() == [0, 1, 2, NO_SYMBOL]
    assert instruments.symbols == ["\xff" * 8, " X", "A\0B"]
    assert [instruments.id_of(name) for name in instruments.symbols] == [0, 1, 2]


@pytest.mark.parametrize(
    ("arguments", "error", "rule"),
    [
        ({"wanted": "AAPL"}, TypeError, "wanted must be an iterable of symbols, not one: wanted='AAPL'"),
        ({"wanted": ["BTCUSDT-PERP"]}, ValueError, "a wire key has at most 8 bytes: symbol='BTCUSDT-PERP'"),
        ({"wanted": [""]}, ValueError, r"symbol must have 1\.\.64 bytes"),
        ({"wanted": [5]}, TypeError, "symbol must be str or bytes: type=int"),
        ({"wanted": 5}, TypeError, "not iterable"),
    ],
)
def test_bad_arguments_are_refused(impl, arguments, error, rule):
    with pytest.raises(error, match=rule):
        impl.ItchDecoder(**arguments)


@pytest.mark.parametrize(("type", "at", "words"), [("H", 19, TRADING), ("S", 11, SESSION)])
def test_states_and_session_events_are_words_of_no_venue(impl, type, at, words):
    known = {"H": "HPQT", "S": "OSQMEC"}[type]
    stream = framed(MESSAGES["R"][:3] + bytes(2) + MESSAGES["R"][5:])
    for letter in range(256):
        m = MESSAGES[type]
        stream += framed(m[:3] + bytes(2) + m[5:at] + bytes([letter]) + m[at + 1 :])
    out = np.zeros(257, EVENT_DTYPE)
    assert impl.ItchDecoder(strict=True).decode(stream, out) == (257, len(stream))
    for letter, event in enumerate(out[1:]):
        word = known.find(chr(letter)) + 1
        assert (event["price"], event["match_id"]) == (word, 0 if word else letter)
    assert set(out["price"][1:].tolist()) == set(words.values())
    assert impl.ItchEncoder().encode(out) == stream


# ---- the stock directory ----


def test_listings_are_the_stock_directory(impl):
    d = impl.ItchDecoder()
    assert d.listings.dtype == impl.LISTING_DTYPE
    assert len(d.listings) == 0
    other = b"R" + struct.pack(">HH6s", 7, 0, bytes(6)) + b"ZXZZT   GD" + struct.pack(">I", 1) + b"YQA TY 2Y" + b"\0\0\1\2Y"
    d.decode(framed(MESSAGES["R"], other), table())
    names = "symbol symbol_id round_lot leverage locate market status lots_only class subtype authenticity threshold ipo"
    assert d.listings.dtype.names == (*names.split(), "luld_tier", "etp", "inverse")
    assert d.listings.tolist() == [
        (b"ZXZZT", 7, 1, 0x102, 7, b"G", b"D", b"Y", b"Q", b"A", b"T", b"Y", b" ", b"2", b"Y", b"Y"),
        (b"AAPL", 13, 100, 3, 13, b"Q", b"N", b"N", b"C", b"Z", b"P", b"N", b"1", b"N", b"Y", b"N"),
    ]
    d.decode(framed(other.replace(b"GD", b"GN")), table())
    assert d.listings["status"].tolist() == [b"N", b"N"]


# ---- encoding ----


def test_every_message_survives_a_round_trip(impl):
    stream = framed(*(m[:3] + b"\0\0" + m[5:] for m in (MESSAGES["R"], *MESSAGES.values())))  # tracking numbers are 0
    out = table()
    n, _ = impl.ItchDecoder(MIDNIGHT).decode(stream, out, final=True)
    assert impl.ItchEncoder(MIDNIGHT).encode(out[:n]) == stream


@pytest.mark.parametrize("type", MESSAGES)
def test_with_wire_rows_a_message_comes_back_byte_for_byte(impl, type):
    """Without a listing, with a tracking number, under another symbol id."""
    d, out, wire = impl.ItchDecoder(MIDNIGHT, instruments=Instruments()), table(), np.zeros(64, impl.WIRE_DTYPE)
    n, _ = d.decode(framed(MESSAGES[type]), out, wire=wire)
    assert wire["tracking"][:n].tolist() == [99] * n
    assert wire["locate"][:n].tolist() == [13] * n
    assert wire["type"][:n].tolist() == [type.encode()] * n
    assert wire["symbol"][:n].tolist() == [b"" if type in "SECXDUBVW" else b"AAPL    "] * n
    assert wire["printable"][:n].tolist() == [b"N" if type == "C" else b""] * n
    assert wire[n:].tobytes() == bytes(16 * (64 - n))
    assert impl.ItchEncoder(MIDNIGHT).encode(out[:n], wire[:n]) == framed(MESSAGES[type])


def test_an_attribution_of_zeros_is_kept_on_the_wire(impl):
    stream = framed(MESSAGES["F"][:36] + bytes(4))
    out, wire = table(1), np.zeros(1, impl.WIRE_DTYPE)
    impl.ItchDecoder().decode(stream, out, wire=wire)
    assert out["match_id"][0] == 0
    assert impl.ItchEncoder().encode(out, wire) == stream


def test_a_listing_in_wire_rows_names_its_locate(impl):
    out, wire = table(2), np.zeros(2, impl.WIRE_DTYPE)
    impl.ItchDecoder().decode(framed(MESSAGES["R"], MESSAGES["A"]), out, wire=wire)
    e = impl.ItchEncoder()
    e.encode(out[:1], wire[:1])
    assert e.encode(out[1:])[26:34] == b"AAPL    "


def test_wire_rows_must_belong_to_the_events(impl):
    out, wire = table(2), np.zeros(2, impl.WIRE_DTYPE)
    impl.ItchDecoder().decode(framed(MESSAGES["C"], MESSAGES["D"]), out, wire=wire)
    for at, name, value in ((0, "type", b"E"), (0, "printable", b"Y"), (1, "type", b"X"), (1, "type", b"")):
        changed = wire.copy()
        changed[at][name] = value
        with pytest.raises(CorruptDataError, match=f"corrupt: event must fit its ITCH message: index={at}"):
            impl.ItchEncoder().encode(out, changed)


def test_wire_arrays_are_checked(impl):
    d, e = impl.ItchDecoder(), impl.ItchEncoder()
    with pytest.raises(TypeError, match="wire must have dtype WIRE_DTYPE"):
        d.decode(b"", table(3), wire=np.zeros(3))
    with pytest.raises(ValueError, match="wire must have a row for each event: rows=2 events=3"):
        d.decode(b"", table(3), wire=np.zeros(2, impl.WIRE_DTYPE))
    with pytest.raises(ValueError, match="wire must have a row for each event: rows=4 events=3"):
        e.encode(table(3), np.zeros(4, impl.WIRE_DTYPE))


def test_wire_arrays_are_checked_for_their_memory():
    d = compiled.ItchDecoder()
    rows = np.zeros(8, compiled.WIRE_DTYPE)
    with pytest.raises(TypeError, match="wire must be a NumPy array of WIRE_DTYPE: type=list"):
        d.decode(b"", table(3), wire=[])
    with pytest.raises(ValueError, match="wire must be one-dimensional, contiguous and aligned"):
        d.decode(b"", table(3), wire=rows[::2])
    with pytest.raises(ValueError, match="wire must be one-dimensional, contiguous and aligned"):
        d.decode(b"", table(3), wire=np.zeros(129, np.uint8)[1:].view(compiled.WIRE_DTYPE))
    rows.flags.writeable = False
    with pytest.raises(ValueError, match="wire must be writable"):
        d.decode(b"", table(3), wire=rows)
    assert compiled.ItchEncoder().encode(table(0), rows[:0]) == b""


def test_dtypes_equal_those_of_the_twin():
    from fastcore.reference import itch as twin

    assert compiled.WIRE_DTYPE == twin.WIRE_DTYPE
    assert compiled.LISTING_DTYPE == twin.LISTING_DTYPE
    assert compiled.WIRE_DTYPE.itemsize == 16


@pytest.mark.parametrize(
    ("type", "name"),
    [(t, n) for t in "IJO" for n in ("kind", "symbol_id", "exch_ns", "flags", "cut")] + [("J", "price"), ("O", "price")],
)
def test_events_of_one_message_must_follow_each_other(impl, type, name):
    out = table()
    n, _ = impl.ItchDecoder().decode(framed(MESSAGES["R"], MESSAGES[type]), out)
    e = impl.ItchEncoder()
    if name == "cut":
        n -= 1
    elif name == "flags":
        out[n - 1]["flags"] ^= MORE
    else:
        out[n - 1][name] += 1
    with pytest.raises(CorruptDataError, match="corrupt: event must fit its ITCH message: index=1"):
        e.encode(out[:n])


def test_an_event_of_its_own_must_not_be_continued(impl):
    out = table(1)
    impl.ItchDecoder().decode(framed(MESSAGES["D"]), out)
    out["flags"] |= MORE
    with pytest.raises(CorruptDataError, match="corrupt: event must fit"):
        impl.ItchEncoder().encode(out)


@pytest.mark.parametrize(
    ("type", "part", "at", "value", "error", "reason"),
    [
        ("I", 0, "price", 2**32, ValueError, "price"),
        ("I", 0, "price", -1, ValueError, "price"),
        ("I", 0, "size", -1, ValueError, "size"),
        ("I", 0, "order_id", -1, ValueError, "size"),
        ("I", 0, "match_id", 256, CorruptDataError, "corrupt"),
        ("I", 1, "price", 2**32, ValueError, "price"),
        ("I", 1, "size", 2**32, ValueError, "price"),
        ("I", 1, "order_id", -1, CorruptDataError, "corrupt"),
        ("I", 1, "match_id", 256, CorruptDataError, "corrupt"),
        ("Y", 0, "price", ord("Z"), CorruptDataError, "unknown message type"),
        ("Y", 0, "price", ord("A"), CorruptDataError, "unknown message type"),
        ("Y", 0, "price", ord("Y") + 256, CorruptDataError, "unknown message type"),
        ("Y", 0, "size", 256, CorruptDataError, "corrupt"),
        ("N", 0, "size", -1, CorruptDataError, "corrupt"),
        ("L", 0, "size", 2**32, CorruptDataError, "corrupt"),
        ("L", 0, "order_id", 2**24, CorruptDataError, "corrupt"),
        ("V", 0, "size", -1, ValueError, "price"),
        ("V", 0, "match_id", -1, ValueError, "price"),
        ("W", 0, "size", 256, CorruptDataError, "corrupt"),
        ("K", 0, "size", 2**32, CorruptDataError, "corrupt"),
        ("K", 0, "order_id", 256, CorruptDataError, "corrupt"),
        ("K", 0, "match_id", 2**32, ValueError, "price"),
        ("J", 0, "size", 2**32, ValueError, "price"),
        ("J", 0, "match_id", 2**32, ValueError, "price"),
        ("J", 1, "size", 2**32, CorruptDataError, "corrupt"),
        ("h", 0, "size", 256, CorruptDataError, "corrupt"),
        ("h", 0, "order_id", 256, CorruptDataError, "corrupt"),
        ("O", 0, "size", 256, CorruptDataError, "corrupt"),
        ("O", 0, "order_id", 2**32, ValueError, "price"),
        ("O", 1, "size", 2**32, ValueError, "price"),
        ("O", 2, "order_id", 2**32, ValueError, "price"),
    ],
)
def test_a_field_beyond_its_bytes_is_refused(impl, type, part, at, value, error, reason):
    out = table()
    n, _ = impl.ItchDecoder().decode(framed(MESSAGES["R"], MESSAGES[type]), out)
    out[1 + part][at] = value
    with pytest.raises(error, match=f"^{reason}.*: event must fit its ITCH message: index=1"):
        impl.ItchEncoder().encode(out[:n])


@pytest.mark.parametrize(
    ("change", "error", "reason"),
    [
        ({"price": -1}, ValueError, "price outside range"),
        ({"price": 2**32}, ValueError, "price outside range"),
        ({"size": -1}, ValueError, "size outside range"),
        ({"size": 2**32}, ValueError, "size outside range"),
        ({"side": 0}, CorruptDataError, "corrupt"),
        ({"exch_ns": -1}, CorruptDataError, "corrupt"),
        ({"exch_ns": 2**48}, CorruptDataError, "corrupt"),
        ({"match_id": 2**32}, CorruptDataError, "corrupt"),
        ({"kind": KINDS["timer"]}, CorruptDataError, "unknown message type"),
        ({"symbol_id": 65536}, UnknownSymbolError, "unknown symbol"),
        ({"symbol_id": 1}, UnknownSymbolError, "unknown symbol"),
        ({"kind": KINDS["cross"], "size": -1}, ValueError, "size outside range"),
        ({"kind": KINDS["cross"], "order_id": 256}, CorruptDataError, "corrupt"),
        ({"kind": KINDS["listing"], "price": 0}, UnknownSymbolError, "unknown symbol"),
        ({"kind": KINDS["listing"], "size": 2**32}, ValueError, "size outside range"),
        ({"kind": KINDS["status"], "price": 5}, CorruptDataError, "corrupt"),
        ({"kind": KINDS["status"], "price": 0, "match_id": 256}, CorruptDataError, "corrupt"),
        ({"kind": KINDS["status"], "price": 0, "match_id": ord("T")}, CorruptDataError, "corrupt"),
        ({"kind": KINDS["system"], "price": -1}, CorruptDataError, "corrupt"),
        ({"kind": KINDS["system"], "price": 0, "match_id": -1}, CorruptDataError, "corrupt"),
        ({"kind": KINDS["system"], "price": 0, "match_id": ord("Q")}, CorruptDataError, "corrupt"),
    ],
)
def test_events_that_do_not_fit_are_refused(impl, change, error, reason):
    e = impl.ItchEncoder()
    e.set_symbol(13, "AAPL")
    rows = np.zeros(2, EVENT_DTYPE)
    rows["kind"], rows["side"], rows["price"], rows["size"], rows["symbol_id"] = KINDS["add"], 1, 100, 5, 13
    assert len(e.encode(rows)) == 76
    for name, value in change.items():
        rows[1][name] = value
    with pytest.raises(error, match=f"{reason}: event must fit its ITCH message: index=1"):
        e.encode(rows)


def test_symbols_of_the_encoder_are_checked(impl):
    e = impl.ItchEncoder()
    e.set_symbol(1, b"BRK.A")
    for bad in ("", "   ", "NINECHARS"):
        with pytest.raises(ValueError, match="symbol must have 1 to 8 characters"):
            e.set_symbol(1, bad)
    with pytest.raises(ValueError, match="locate must be"):
        e.set_symbol(-1, "A")
    assert e.encode(np.zeros(0, EVENT_DTYPE)) == b""


# ---- recorded data ----


def test_aapl_message_counts(data_dir):
    raw = (data_dir / "itch/AAPL_2020-01-30_first10k.itch").read_bytes()
    d = compiled.ItchDecoder(strict=True)
    assert d.decode(raw, table(10_000), final=True) == (10_000, len(raw))
    expected = {"A": 4758, "D": 4083, "E": 849, "P": 240, "L": 52, "U": 7, "X": 6, "F": 2, "R": 1, "H": 1, "Y": 1}
    assert d.counts == dict(sorted(expected.items()))
    assert (d.skipped, d.symbols) == (0, {13: "AAPL"})


def test_directory_counts_and_no_trailing_byte(data_dir):
    raw = (data_dir / "itch/directory_2019-12-30_first1000.itch").read_bytes()
    d = compiled.ItchDecoder(strict=True)
    assert d.decode(raw, table(1_000), final=True) == (1_000, len(raw))
    assert d.counts == {"H": 3, "R": 993, "S": 1, "Y": 3}
    assert len(d.symbols) == 993


def test_listings_and_instruments_of_a_recorded_directory(data_dir):
    """Compared with a reading of the same bytes by NumPy alone."""
    raw = (data_dir / "itch/directory_2019-12-30_first1000.itch").read_bytes()
    instruments = Instruments(["A"])
    d = compiled.ItchDecoder(strict=True, instruments=instruments)
    d.decode(raw, table(1_000), final=True)
    fields = {
        **{"locate": (">u2", 1), "symbol": ("S8", 11), "market": ("S1", 19), "status": ("S1", 20), "round_lot": (">u4", 21)},
        **{"lots_only": ("S1", 25), "class": ("S1", 26), "subtype": ("S2", 27), "authenticity": ("S1", 29)},
        **{"threshold": ("S1", 30), "ipo": ("S1", 31), "luld_tier": ("S1", 32), "etp": ("S1", 33), "leverage": (">u4", 34)},
        "inverse": ("S1", 38),
    }
    layout = {"formats": [f for f, _ in fields.values()], "offsets": [at for _, at in fields.values()], "itemsize": 39}
    wire = np.frombuffer(b"".join(m for m in messages_of(raw) if m[:1] == b"R"), np.dtype({"names": list(fields), **layout}))
    ours = d.listings
    assert len(ours) == len(wire) == 993
    wire = wire[np.argsort(wire["locate"])]
    for name in fields:
        strip = np.char.rstrip if name in ("symbol", "subtype") else np.asarray
        assert ours[name].tolist() == strip(wire[name]).tolist(), name
    assert len(instruments) == 993
    assert [instruments[i].symbol.encode() for i in ours["symbol_id"].tolist()] == ours["symbol"].tolist()


def messages_of(raw):
    at = 0
    while at < len(raw):
        size = int.from_bytes(raw[at : at + 2], "big")
        yield raw[at + 2 : at + 2 + size]
        at += 2 + size


CAPTURES = ["AAPL_2020-01-30_first10k.itch", "directory_2019-12-30_first1000.itch", "AMZN_2012-06-21_L5.itch.gz", "pcap"]


def capture(data_dir, name):
    """The length-prefixed messages of a capture; of the pcap files, the payload of all their MoldUDP64 packets."""
    if name != "pcap":
        raw = (data_dir / "itch" / name).read_bytes()
        return gzip.decompress(raw) if name.endswith(".gz") else raw
    dpkt = pytest.importorskip("dpkt")
    parts = []
    paths = sorted(data_dir.glob("pcap/totalview-itch5*/*.pcap"))
    assert len(paths) == 23
    for path in paths:
        with open(path, "rb") as file:
            for _, packet in dpkt.pcap.Reader(file):
                payload = bytes(dpkt.ethernet.Ethernet(packet).data.data.data)
                if payload[18:20] != b"\xff\xff":
                    parts.append(payload[20:])  # behind session, sequence number and count
    return b"".join(parts)


@pytest.mark.parametrize("name", CAPTURES)
def test_captures_decode_without_an_error_and_encode_to_themselves(data_dir, name):
    raw = capture(data_dir, name)
    d, e = compiled.ItchDecoder(MIDNIGHT, strict=True), compiled.ItchEncoder(MIDNIGHT)
    out, wire = table(1_000), np.zeros(1_000, compiled.WIRE_DTYPE)
    at, parts, plain, view = 0, [], table(1_000), memoryview(raw)
    while at < len(raw):
        n, consumed = d.decode(view[at:], out, final=True, wire=wire)
        compiled.ItchDecoder(MIDNIGHT).decode(view[at : at + consumed], plain)
        assert plain[:n].tobytes() == out[:n].tobytes()
        assert not out["flags"][n - 1] & MORE
        parts.append(e.encode(out[:n], wire[:n]))
        at += consumed
    assert b"".join(parts) == raw
    assert sum(d.counts.values()) == sum(1 for _ in messages_of(raw))
    if name == "pcap":
        assert d.counts == {
            **{"A": 42, "C": 5, "D": 7, "E": 6, "F": 7, "H": 6, "I": 6, "J": 5, "L": 6},
            **{"P": 5, "Q": 5, "S": 1, "U": 6, "X": 5, "Y": 5},
        }


@pytest.mark.parametrize("name", CAPTURES)
def test_captures_without_wire_rows_lose_the_tracking_numbers_only(data_dir, name):
    raw = capture(data_dir, name)
    out, e = table(240_000), compiled.ItchEncoder(MIDNIGHT)
    n, _ = compiled.ItchDecoder(MIDNIGHT, strict=True).decode(raw, out, final=True)
    if name == "pcap":  # single packets: no listings
        wire = np.zeros(n, compiled.WIRE_DTYPE)
        compiled.ItchDecoder(MIDNIGHT).decode(raw, out[:n], wire=wire)
        for locate, symbol in {int(row["locate"]): bytes(row["symbol"]) for row in wire if row["symbol"]}.items():
            e.set_symbol(locate, symbol)
    untracked = b"".join(framed(m[:3] + b"\0\0" + m[5:]) for m in messages_of(raw))
    assert e.encode(out[:n]) == untracked


@pytest.mark.parametrize("name", CAPTURES)
def test_captures_decode_as_in_the_twin(data_dir, name):
    from fastcore.reference import itch as twin

    raw = capture(data_dir, name)
    if len(raw) > 1_000_000:  # the beginning of a long day is enough for the twin
        raw = framed(*list(messages_of(raw))[:20_000])
    a, b = table(30_000), table(30_000)
    v, w = np.zeros(30_000, compiled.WIRE_DTYPE), np.zeros(30_000, twin.WIRE_DTYPE)
    d, t = compiled.ItchDecoder(MIDNIGHT), twin.ItchDecoder(MIDNIGHT)
    n, _ = d.decode(raw, a, final=True, wire=v)
    assert t.decode(raw, b, final=True, wire=w) == (n, len(raw))
    assert a.tobytes() == b.tobytes()
    assert v.tobytes() == w.tobytes()
    assert state(d) == state(t)
    assert d.symbols == t.symbols
    assert d.listings.tolist() == t.listings.tolist()
    assert twin.ItchEncoder(MIDNIGHT).encode(b[:n], w[:n]) == raw
