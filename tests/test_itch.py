"""ITCH 5.0: every field of every decoded type, malformed streams, round trips, and recorded data."""

import ctypes
import gzip
import mmap
import struct

import numpy as np
import pytest

from fastcore import itch as compiled
from fastcore.errors import CorruptDataError, UnknownSymbolError
from fastcore.records import EVENT_DTYPE, FLAGS, KINDS, NO_PRICE

MODULE = "itch"
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
}
# kind, side, flags, payload
EVENTS = {
    "S": ("system", 0, 0, (ord("Q"), 0, 0, 0)),
    "H": ("status", 0, 0, (ord("T"), int.from_bytes(b"ABCD", "big"), ord(" "), 0)),
    "A": ("add", 1, 0, (2**32 - 1, 2**32 - 1, -2, 0)),
    "F": ("add", -1, 0, (1_000_100, 7, 5, int.from_bytes(b"GSCO", "big"))),
    "E": ("execute", 0, 0, (NO_PRICE, 3, 5, -2)),
    "C": ("execute", 0, FLAGS["not_printable"], (990_000, 3, 5, 8)),
    "X": ("cancel", 0, 0, (NO_PRICE, 2, 5, 0)),
    "D": ("delete", 0, 0, (NO_PRICE, 0, 5, 0)),
    "U": ("replace", 0, 0, (1_010_000, 9, 5, -2)),
    "P": ("trade", -1, FLAGS["hidden"], (1_000_000, 50, 0, 77)),
    "Q": ("cross", 0, 0, (1_000_000, 2**40, ord("O"), 78)),
}


def frame(*messages):
    return b"".join(struct.pack(">H", len(m)) + m for m in messages)


def table(n=64):
    out = np.zeros(n, EVENT_DTYPE)
    out["seq"] = 12345
    return out


def state(d):
    return d.counts, d.skipped, d.unknown, d.errors, d.error_log, d.position


@pytest.mark.parametrize("type", EVENTS)
def test_every_field_of_a_type(impl, type):
    out = table(1)
    d = impl.ItchDecoder(MIDNIGHT)
    assert d.decode(frame(MESSAGES[type]), out) == (1, len(MESSAGES[type]) + 2)
    kind, side, flags, payload = EVENTS[type]
    assert out[0].tolist() == (12345, MIDNIGHT + TIME, 0, 13, KINDS[kind], side, flags, *payload)
    assert d.counts == {type: 1}


def test_listing_carries_the_symbol_and_all_its_fields(impl):
    out = table(1)
    d = impl.ItchDecoder()
    d.decode(frame(MESSAGES["R"]), out)
    row = out[0]
    assert (row["kind"], row["symbol_id"]) == (KINDS["listing"], 13)
    assert int(row["price"]).to_bytes(8, "little") == b"AAPL    "
    assert row["size"] == 100
    assert int(row["order_id"]).to_bytes(8, "little") == b"QNNCZ PN"
    assert int(row["match_id"]).to_bytes(8, "little") == b"1NY\0\0\0\3N"
    assert (d.symbol(13), d.symbol(14), d.symbols) == ("AAPL", None, {13: "AAPL"})


def test_printable_execution_has_no_flag(impl):
    out = table(1)
    impl.ItchDecoder().decode(frame(MESSAGES["C"][:31] + b"Y" + MESSAGES["C"][32:]), out)
    assert out["flags"][0] == 0


def test_all_lengths_are_those_of_version_5(impl):
    assert impl.LENGTHS == {
        **{"S": 12, "R": 39, "H": 25, "Y": 20, "L": 26, "V": 35, "W": 12, "K": 28, "J": 35, "h": 21, "A": 36, "F": 40},
        **{"E": 31, "C": 36, "X": 23, "D": 19, "U": 35, "P": 44, "Q": 40, "B": 19, "I": 50, "N": 20, "O": 48},
    }


def test_other_types_are_skipped_and_counted(impl):
    others = {t: n for t, n in impl.LENGTHS.items() if t not in MESSAGES}
    d = impl.ItchDecoder()
    n, _ = d.decode(frame(*(t.encode() + bytes(n - 1) for t, n in others.items())), table(), final=True)
    assert (n, d.skipped, d.errors) == (0, 11, {})
    assert d.counts == dict.fromkeys(sorted(others), 1)


@pytest.mark.parametrize("type", compiled.LENGTHS)
@pytest.mark.parametrize("change", [-1, 1])
def test_a_wrong_length_is_counted_and_passed_over(impl, type, change):
    bad = (type.encode() + bytes(60))[: compiled.LENGTHS[type] + change]
    d = impl.ItchDecoder()
    out = table()
    n, consumed = d.decode(frame(MESSAGES["D"], bad, MESSAGES["X"]), out)
    assert (n, consumed) == (2, 2 * 3 + 19 + len(bad) + 23)
    assert d.errors == {"bad length": 1}
    assert d.error_log == [(21, type, "bad length")]
    assert d.counts == {"D": 1, "X": 1}


def test_malformed_messages_are_counted_with_their_offset(impl):
    stream = frame(
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
        (frame(b""), "bad length", "\0"),
        (frame(b"z123"), "unknown message type", "z"),
        (frame(b"A123"), "bad length", "A"),
        (frame(MESSAGES["P"].replace(b"S", b"s")), "corrupt", "P"),
        (frame(MESSAGES["A"])[:-1], "short buffer", "A"),
        (b"\x01", "short buffer", "\0"),
    ],
)
def test_strict_raises_with_the_offset(impl, bad, reason, type):
    d = impl.ItchDecoder(strict=True)
    head = frame(MESSAGES["D"], MESSAGES["A"])
    out = table()
    with pytest.raises(CorruptDataError, match=f"{reason} type={type!r} offset={len(head)}".replace("\\", "\\\\")) as caught:
        d.decode(head + bad, out, final=True)
    assert (caught.value.offset, caught.value.events) == (len(head), 2)
    assert out["kind"][:3].tolist() == [KINDS["delete"], KINDS["add"], 0]
    assert d.position == len(head)


def test_error_log_is_bounded(impl):
    d = impl.ItchDecoder()
    d.decode(frame(*[b"z"] * 200), table())
    assert len(d.error_log) == 64
    assert d.errors == {"unknown message type": 200}


def test_a_stream_in_pieces_gives_the_same_events(impl):
    stream = frame(*MESSAGES.values(), *reversed(MESSAGES.values()))
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
    stream = frame(b"", *MESSAGES.values())
    ends = [0]
    for m in (b"", *MESSAGES.values()):
        ends.append(ends[-1] + 2 + len(m))
    for cut in range(len(stream) + 1):
        done = sum(end <= cut for end in ends) - 1
        assert impl.whole_messages(stream[:cut]) == (ends[done], done)


def test_a_full_table_stops_without_loss(impl):
    stream = frame(*MESSAGES.values())
    d = impl.ItchDecoder()
    out = table(5)
    n, consumed = d.decode(stream, out, final=True)
    assert n == 5
    rest, _ = d.decode(stream[consumed:], table(), final=True)
    assert rest == len(MESSAGES) - 5
    assert d.errors == {}


def test_symbol_ids_may_be_mapped(impl):
    d = impl.ItchDecoder()
    d.set_symbol_id(13, 2**32 - 1)
    out = table(2)
    d.decode(frame(MESSAGES["D"], MESSAGES["S"]), out)
    assert out["symbol_id"][:2].tolist() == [2**32 - 1] * 2
    with pytest.raises(ValueError, match="locate must lie in"):
        d.set_symbol_id(65536, 1)
    with pytest.raises(ValueError, match="symbol_id must lie in"):
        d.set_symbol_id(1, -1)
    with pytest.raises(ValueError, match="locate must lie in"):
        d.symbol(-1)
    with pytest.raises(ValueError, match="midnight_ns must lie"):
        impl.ItchDecoder(2**62 + 1)


@pytest.mark.parametrize("type", ["bytes", "bytearray", "memoryview", "ndarray", "mmap", "ctypes"])
def test_any_contiguous_buffer_is_read(impl, type, tmp_path):
    stream = frame(*MESSAGES.values())
    (tmp_path / "x").write_bytes(stream)
    with open(tmp_path / "x", "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapping:
        data = {
            "bytes": stream,
            "bytearray": bytearray(stream),
            "memoryview": memoryview(b"." + stream)[1:],
            "ndarray": np.frombuffer(stream, np.uint8),
            "mmap": mapping,
            "ctypes": (ctypes.c_uint8 * len(stream)).from_buffer_copy(stream),
        }[type]
        assert impl.ItchDecoder().decode(data, table())[1] == len(stream)
        del data


def test_other_data_are_refused():
    d = compiled.ItchDecoder()
    with pytest.raises(TypeError):
        d.decode("text", table())
    with pytest.raises((ValueError, BufferError)):
        d.decode(np.zeros(10, np.uint8)[::2], table())
    with pytest.raises(TypeError, match="out must have dtype EVENT_DTYPE"):
        d.decode(b"", np.zeros(3))


# ---- encoding ----


def test_every_message_survives_a_round_trip(impl):
    stream = frame(*(m[:3] + b"\0\0" + m[5:] for m in (MESSAGES["R"], *MESSAGES.values())))  # tracking numbers are 0
    out = table()
    n, _ = impl.ItchDecoder(MIDNIGHT).decode(stream, out, final=True)
    assert impl.ItchEncoder(MIDNIGHT).encode(out[:n]) == stream


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
        ({"kind": KINDS["status"], "price": 256}, CorruptDataError, "corrupt"),
        ({"kind": KINDS["system"], "price": 256}, CorruptDataError, "corrupt"),
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
    with pytest.raises(ValueError, match="locate must lie"):
        e.set_symbol(-1, "A")
    assert e.encode(np.zeros(0, EVENT_DTYPE)) == b""


# ---- recorded data ----


def test_aapl_message_counts(data_dir):
    raw = (data_dir / "itch/AAPL_2020-01-30_first10k.itch").read_bytes()
    d = compiled.ItchDecoder(strict=True)
    assert d.decode(raw, table(10_000), final=True) == (9_947, len(raw))
    expected = {"A": 4758, "D": 4083, "E": 849, "P": 240, "L": 52, "U": 7, "X": 6, "F": 2, "R": 1, "H": 1, "Y": 1}
    assert d.counts == dict(sorted(expected.items()))
    assert (d.skipped, d.symbols) == (53, {13: "AAPL"})


def test_directory_counts_and_no_trailing_byte(data_dir):
    raw = (data_dir / "itch/directory_2019-12-30_first1000.itch").read_bytes()
    d = compiled.ItchDecoder(strict=True)
    assert d.decode(raw, table(1_000), final=True) == (997, len(raw))
    assert d.counts == {"H": 3, "R": 993, "S": 1, "Y": 3}
    assert len(d.symbols) == 993


@pytest.mark.parametrize("name", ["AAPL_2020-01-30_first10k.itch", "directory_2019-12-30_first1000.itch"])
def test_captures_decode_as_in_the_twin_and_encode_to_themselves(data_dir, name):
    from fastcore.reference import itch as twin

    raw = (data_dir / "itch" / name).read_bytes()
    a, b = table(10_000), table(10_000)
    d, t = compiled.ItchDecoder(MIDNIGHT), twin.ItchDecoder(MIDNIGHT)
    n, _ = d.decode(raw, a, final=True)
    assert t.decode(raw, b, final=True) == (n, len(raw))
    assert a.tobytes() == b.tobytes()
    assert state(d) == state(t)
    assert d.symbols == t.symbols
    # The stream without the skipped types and with tracking numbers of 0.
    kept, at = [], 0
    while at < len(raw):
        size = int.from_bytes(raw[at : at + 2], "big")
        if chr(raw[at + 2]) in MESSAGES:
            kept.append(raw[at : at + 5] + b"\0\0" + raw[at + 7 : at + 2 + size])
        at += 2 + size
    assert compiled.ItchEncoder(MIDNIGHT).encode(a[:n]) == b"".join(kept)


def test_amzn_day_encodes_to_itself(data_dir):
    raw = gzip.decompress((data_dir / "itch/AMZN_2012-06-21_L5.itch.gz").read_bytes())
    out = table(240_000)
    n, _ = compiled.ItchDecoder(MIDNIGHT, strict=True).decode(raw, out, final=True)
    assert compiled.ItchEncoder(MIDNIGHT).encode(out[:n]) == raw
