"""Captures: recorded ones against an independent reading, and made ones of every link and form; OUCH over TCP."""

import gzip
import os
import random
import struct
import sys
from datetime import date

import numpy as np
import pytest
from makers.captures import (
    DAY,
    NOON,
    block,
    ethernet,
    interface,
    ip4,
    ip6,
    packet,
    packets_of,
    pcap,
    pcapng,
    section,
    tcp_frame,
    timed,
)  # fmt: skip

from fastcore.errors import CorruptDataError
from fastcore.instruments import Instrument
from fastcore.records import EVENT_DTYPE, KINDS, NO_PRICE, NO_SYMBOL
from fastcore.symbols import SymbolMapper
from fastcore.wire import mold, ouch, soup
from fastcore.wire.itch import LENGTHS, WIRE_DTYPE, ItchDecoder, ItchEncoder
from hft.feeds._frames import read_frames
from hft.feeds.feed import FormatError
from hft.feeds.itch import midnight_ns
from hft.feeds.ouch import read_ouch
from hft.feeds.pcap import PcapFeed
from hft.feeds.synthetic import generate_events

dpkt = pytest.importorskip("dpkt")

GAP = KINDS["gap"]


# ---- reading without the code under test ----


def frames(path):
    """(time in ns, frame) of a pcap file, by struct alone."""
    raw = path.read_bytes()
    order = "<" if raw[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
    unit = 1 if raw[:4] in (b"\x4d\x3c\xb2\xa1", b"\xa1\xb2\x3c\x4d") else 1_000
    at = 24
    while at < len(raw):
        seconds, fraction, kept, length = struct.unpack_from(order + "4I", raw, at)
        assert kept == length
        yield seconds * 10**9 + fraction * unit, raw[at + 16 : at + 16 + kept]
        at += 16 + kept
    assert at == len(raw)


def payload_of(frame):
    """Payload and protocol of Ethernet with one tag or none, IPv4 without options."""
    if frame[12:14] == b"\x81\x00":
        frame = frame[:12] + frame[16:]
    assert frame[12:15] == b"\x08\x00\x45"
    ip = frame[14 : 14 + struct.unpack_from(">H", frame, 16)[0]]
    if ip[9] == 17:
        return 17, ip[28 : 20 + struct.unpack_from(">H", ip, 24)[0]]
    return ip[9], ip[20 + (ip[32] >> 4) * 4 :]


def messages_of(packet):
    sequence, count = struct.unpack_from(">QH", packet, 10)
    at, out = 20, []
    for i in range(count):
        (size,) = struct.unpack_from(">H", packet, at)
        out.append((sequence + i if sequence else 0, packet[at + 2 : at + 2 + size]))
        at += 2 + size
    assert at == len(packet)
    return out


def expected(m):
    """Events of a message - kind, side, payload - read by the field table of the exchange."""

    def u(at, n):
        return int.from_bytes(m[at : at + n], "big")

    def price(at):  # 0 where there is none
        return u(at, 4) or NO_PRICE

    side = {b"B": 1, b"S": -1}.get(m[19:20], 0)
    match m[:1]:
        case b"A":
            return [("add", side, u(32, 4), u(20, 4), u(11, 8), 0)]
        case b"F":
            return [("add", side, u(32, 4), u(20, 4), u(11, 8), u(36, 4))]
        case b"E":
            return [("execute", 0, NO_PRICE, u(19, 4), u(11, 8), u(23, 8))]
        case b"C":
            return [("execute", 0, u(32, 4), u(19, 4), u(11, 8), u(23, 8))]
        case b"X":
            return [("cancel", 0, NO_PRICE, u(19, 4), u(11, 8), 0)]
        case b"D":
            return [("delete", 0, NO_PRICE, 0, u(11, 8), 0)]
        case b"U":
            return [("replace", 0, u(31, 4), u(27, 4), u(11, 8), u(19, 8))]
        case b"P":
            return [("trade", side, u(32, 4), u(20, 4), u(11, 8), u(36, 8))]
        case b"Q":
            return [("cross", 0, u(27, 4), u(11, 8), m[39], u(31, 8))]
        case b"S":
            return [("system", 0, b"\0OSQMEC".index(m[11]), 0, 0, 0)]
        case b"H":
            return [("status", 0, b"\0HPQT".index(m[19]), u(21, 4), m[20], 0)]
        case b"I":
            more = {b"B": 1, b"S": -1}.get(m[27:28], 0)
            return [
                ("imbalance", more, price(44), u(19, 8), u(11, 8), m[48]),
                ("imbalance", more, price(36), price(40), m[27], m[49]),
            ]
        case b"J":
            return [("notice", 0, ord("J"), price(19), price(23), price(27)), ("notice", 0, ord("J"), u(31, 4), 0, 0)]
        case b"L":
            return [("notice", 0, ord("L"), u(11, 4), int.from_bytes(m[23:26], "little"), 0)]
        case b"Y":
            return [("notice", 0, ord("Y"), m[19], 0, 0)]
    raise AssertionError(m[:1])


def captures(data_dir, *folders):
    found = [path for folder in folders for path in sorted((data_dir / "pcap" / folder).glob("*.pcap"))]
    assert len(found) == {2: 23, 1: 6}[len(folders)]
    return found


ITCH = ("totalview-itch5-2023", "totalview-itch5")
# The message that a capture was named for.
NAMED = {
    **{"AddOrderNoMPID": "A", "AddOrderWithMPID": "F", "CrossTrade": "Q", "LULDAuctionCollar": "J", "OrderCancel": "X"},
    **{"MarketParticipantPosition": "L", "NetOrderImbalanceIndicator": "I", "NonCrossTrade": "P", "OrderDelete": "D"},
    **{"OrderExecuted": "E", "OrderExecutedWithPrice": "C", "OrderReplace": "U", "RegSHORestriction": "Y"},
    **{"StockTradingAction": "H", "SystemEvent": "S", "AddOrderNoMpidAttributionMessage": "A"},
    **{"MarketParticipantPositionMessage": "L", "NetOrderImbalanceIndicatorMessage": "I", "OrderDeleteMessage": "D"},
    **{"OrderExecutedMessage": "E", "OrderReplaceMessage": "U", "StockTradingActionMessage": "H"},
}


def test_every_itch_capture_agrees_with_an_independent_reading(data_dir):
    messages = 0
    for path in captures(data_dir, *ITCH):
        known, counts = [], {}
        for local_ns, frame in frames(path):
            protocol, packet = payload_of(frame)
            assert protocol == 17
            for sequence, m in messages_of(packet):
                letter = m[:1].decode()
                assert len(m) == LENGTHS[letter], path.name
                counts[letter] = counts.get(letter, 0) + 1
                time = midnight_ns(DAY) + int.from_bytes(m[5:11], "big")
                known += [(sequence, time, local_ns, int.from_bytes(m[1:3], "big"), *row) for row in expected(m)]
                messages += 1
        feed = PcapFeed(path, strict=True)
        events = np.concatenate([*feed, np.zeros(0, EVENT_DTYPE)])
        names = {number: name for name, number in KINDS.items()}
        got = [
            (
                *(e["seq"], e["exch_ns"], e["local_ns"], e["symbol_id"], names[int(e["kind"])], e["side"]),
                *(e["price"], e["size"], e["order_id"], e["match_id"]),
            )
            for e in events[events["kind"] != GAP]
        ]
        # A locate has a row from the message on that names it.
        rows = list(zip((row[3] for row in known), (row[3] for row in got), strict=True))
        assert {locate: row for locate, row in rows if row != NO_SYMBOL} == feed.decoder.symbol_ids, path.name
        assert len(set(feed.decoder.symbol_ids.values())) == len(feed.decoder.symbol_ids) == len(feed.instruments)
        seen = set()
        for locate, row in rows:
            assert row != NO_SYMBOL or locate not in seen, path.name
            if row != NO_SYMBOL:
                seen.add(locate)
        assert all(row == NO_SYMBOL for locate, row in rows if locate == 0)
        assert [(*row[:3], *row[4:]) for row in got] == [(*row[:3], *row[4:]) for row in known], path.name
        assert feed.messages == dict(sorted(counts.items())), path.name
        assert (feed.errors, feed.error_log, feed.skipped) == ({}, [], {})
        if path.stem in NAMED:
            assert set(counts) == {NAMED[path.stem]}
        # The capture follows the exchange by some hundred microseconds: both times are right.
        assert all(0 < e["local_ns"] - e["exch_ns"] < 1_000_000 for e in events if e["kind"] != GAP), path.name
    assert messages == 14 * 5 + 1 + 7 + 39


def test_every_message_of_the_itch_captures_comes_back_byte_for_byte(data_dir):
    for path in captures(data_dir, *ITCH):
        for _, frame in frames(path):
            _, packet = payload_of(frame)
            stream, _ = mold.MoldDecoder(strict=True).extract(packet, np.array([0, len(packet)]))
            out, wire = np.zeros(200, EVENT_DTYPE), np.zeros(200, WIRE_DTYPE)
            n, _ = ItchDecoder(strict=True).decode(stream, out, final=True, wire=wire)
            assert ItchEncoder().encode(out[:n], wire[:n]) == stream, path.name


def test_one_capture_holds_two_packets_with_1_and_38_messages(data_dir):
    path = data_dir / "pcap" / "totalview-itch5" / "Multiple.Packets.pcap"
    packets = [payload_of(frame)[1] for _, frame in frames(path)]
    assert [len(messages_of(p)) for p in packets] == [1, 38]
    feed = PcapFeed(path)
    events = np.concatenate(list(feed))
    first = int.from_bytes(packets[0][10:18], "big")
    second = int.from_bytes(packets[1][10:18], "big")
    assert events["seq"].tolist() == [first, first + 1, *range(second, second + 38)]
    assert events["kind"][1] == GAP
    assert (events["price"][1], events["size"][1], feed.gaps) == (first + 1, second - first - 1, 1)
    stream = feed.streams["233.54.12.111:26477"]
    assert (stream.packets, stream.messages, stream.session) == (2, 39, b"000010059B")


def test_every_packet_of_the_itch_captures_roundtrips(data_dir):
    for path in captures(data_dir, *ITCH):
        for _, frame in frames(path):
            _, packet = payload_of(frame)
            session, sequence, count = mold.parse_header(packet)
            stream, numbers = mold.MoldDecoder(strict=True).extract(packet, np.array([0, len(packet)]))
            assert len(numbers) == count
            assert mold.MoldEncoder(session, sequence, 1_500).encode(stream)[0] == packet


# File, letter of the message, then what an independent reading of the specification says of its event and details.
OUCH = {
    "CancelOrderMessage": ("X", "pull"),
    "CanceledMessage": ("C", "pulled"),
    "EnterOrderMessage": ("O", "order"),
    "OrderAcceptedMessage": ("A", "ack"),
    "ClientHeartbeatPacket": ("R", None),
    "ServerHeartbeatPacket": ("H", None),
}


def test_every_ouch_capture_is_what_its_name_says(data_dir):
    for path in captures(data_dir, "ouch5"):
        letter, kind = OUCH[path.stem]
        ((local_ns, frame),) = frames(path)
        protocol, raw = payload_of(frame)
        assert protocol == 6
        d = soup.SoupDecoder(strict=True)
        data, rows = d.push(raw)
        assert (len(rows), d.pending) == (1, 0)
        assert soup.encode(data, rows) == raw
        found = list(read_ouch(path, symbols=SymbolMapper(["ADBE", "CVLT"]), strict=True))
        if kind is None:
            assert found == []
            assert rows["type"][0].decode() == letter
            continue
        ((connection, outbound, events, details, sent),) = found
        assert sent == raw
        assert outbound == (raw[2:3] == b"S")
        assert connection.endswith(":8001" if letter == "O" else ":8003")
        stream, places = ouch.OuchEncoder(outbound, midnight_ns(date(2024, 4, 29))).encode(events, details, sent)
        assert soup.encode(stream, places) == raw
        m = raw[3:]
        e, t = events[0], details[0]
        u = lambda at, n, m=m: int.from_bytes(m[at : at + n], "big")  # noqa: E731
        assert (m[:1].decode(), int(e["kind"]), int(e["local_ns"])) == (letter, KINDS[kind], local_ns)
        match letter:
            case "X":
                assert len(m) == 9
                assert (e["order_id"], e["size"], e["price"]) == (u(1, 4), u(5, 4), NO_PRICE) == (7_679_601, 0, NO_PRICE)
            case "C":
                assert len(m) == 18
                assert (e["order_id"], e["size"], e["match_id"], t["reason"]) == (u(9, 4), u(13, 4), ord("U"), b"U")
                assert (e["order_id"], e["size"]) == (7_682_701, 40)
                assert 0 < local_ns - e["exch_ns"] < 1_000_000
            case "O":
                assert len(m) == 45 + 2 + 6
                assert (
                    (e["order_id"], e["side"], e["size"], e["price"])
                    == (u(1, 4), -1, u(6, 4), u(18, 8))
                    == (113, -1, 225, 630_200)
                )
                assert (t["symbol"], t["side"], t["cl_ord_id"].strip(), e["symbol_id"]) == (b"CVLT    ", b"T", b"H8FUB8IV", 1)
                assert t["time_in_force"] + t["display"] + t["capacity"] + t["sweep"] + t["cross_type"] == b"0YANN"
                assert ouch.parse_options(sent[t["appendage_offset"] :]) == {"firm": "LIME"}
            case "A":
                assert len(m) == 62 + 2 + 9
                assert (e["order_id"], e["side"], e["size"], e["price"]) == (u(9, 4), 1, u(14, 4), u(26, 8))
                assert (e["size"], e["price"], e["match_id"], t["symbol"]) == (40, 4_777_800, u(36, 8), b"ADBE    ")
                assert (t["time_in_force"] + t["display"], t["state"], e["symbol_id"]) == (b"5Y", b"L", 0)
                assert ouch.parse_options(sent[t["appendage_offset"] :]) == {"firm": "MLRO", "bbo_weight": "0"}
                assert 0 < local_ns - e["exch_ns"] < 1_000_000


# ---- made captures ----


@pytest.fixture(scope="module")
def day():
    """A synthetic day: its events, and its ITCH stream."""
    events = generate_events(3_000, seed=4)
    return events, ItchEncoder().encode(events)


LINKS = {
    "ethernet": (1, lambda p: ethernet(ip4(p))),
    "padded": (1, lambda p: ethernet(ip4(p)) + bytes(7)),
    "vlan": (1, lambda p: ethernet(ip4(p), tags=b"\x81\0\0\7")),
    "double vlan": (1, lambda p: ethernet(ip4(p), tags=b"\x88\xa8\0\7\x81\0\0\x08")),
    "options": (1, lambda p: ethernet(ip4(p, options=b"\x94\4\0\0"))),
    "ip6": (1, lambda p: ethernet(ip6(p), 0x86DD)),
    "ip6 with options": (1, lambda p: ethernet(ip6(p, extension=b"\0" + bytes(7)), 0x86DD)),
    "cooked": (113, lambda p: struct.pack(">HHH8sH", 2, 1, 6, bytes(8), 0x0800) + ip4(p)),
    "cooked vlan": (113, lambda p: struct.pack(">HHH8sH", 2, 1, 6, bytes(8), 0x8100) + b"\0\7\x08\0" + ip4(p)),
    "cooked 2": (276, lambda p: struct.pack(">HHIHBB8s", 0x0800, 0, 1, 1, 2, 6, bytes(8)) + ip4(p)),
    "raw": (101, ip4),
    "raw ip6": (101, ip6),
    "loopback": (0, lambda p: b"\2\0\0\0" + ip4(p)),
}


def events_of(feed):
    return np.concatenate([*feed, np.zeros(0, EVENT_DTYPE)])


def same(got, events, first=1):
    """The same events, with the numbers of the messages, New York time, and the row of the one symbol for its locate."""
    wanted = events.copy()
    wanted["exch_ns"] += midnight_ns(DAY)
    wanted["local_ns"] = got["local_ns"]
    wanted["seq"] = np.arange(first, first + len(wanted))
    wanted["symbol_id"] = np.where(wanted["symbol_id"] == 0, NO_SYMBOL, wanted["symbol_id"] - 1)
    return got.tobytes() == wanted.tobytes()


@pytest.mark.parametrize("name", LINKS)
@pytest.mark.parametrize("write", [pcap, pcapng])
def test_every_link_gives_the_same_events(tmp_path, day, name, write):
    events, stream = day
    link, wrap = LINKS[name]
    rows = timed([wrap(p) for p in packets_of(stream)])
    feed = PcapFeed(write(tmp_path / "x", rows, link), strict=True)
    got = events_of(feed)
    assert same(got, events)
    assert (feed.skipped, feed.errors, feed.gaps, len(feed.streams)) == ({}, {}, 0, 1)
    assert set(got["local_ns"].tolist()) == {ns for ns, _ in rows}
    assert feed.messages["A"] > 500


@pytest.mark.parametrize("form", ["plain", "gzip", "zstd"])
@pytest.mark.parametrize("nano", [True, False, None])
def test_compressed_captures(tmp_path, day, form, nano):
    events, stream = day
    rows = timed([ethernet(ip4(p)) for p in packets_of(stream)])
    path = pcapng(tmp_path / "x", rows) if nano is None else pcap(tmp_path / "x", rows, nano=nano)
    if form == "gzip":
        path.write_bytes(gzip.compress(path.read_bytes()))
    elif form == "zstd":
        path.write_bytes(pytest.importorskip("zstandard").ZstdCompressor().compress(path.read_bytes()))
    told = []
    feed = PcapFeed(path, progress=lambda done, total: told.append((done, total)))
    got = events_of(feed)
    assert same(got, events)
    assert set(got["local_ns"].tolist()) == {ns if nano is not False else ns // 1_000 * 1_000 for ns, _ in rows}
    assert told[-1] == (path.stat().st_size, path.stat().st_size)
    assert told == sorted(told)


def test_arrays_are_bounded_and_belong_to_the_caller(tmp_path, day):
    events, stream = day
    path = pcap(tmp_path / "x", timed([ethernet(ip4(p)) for p in packets_of(stream)]))
    arrays = list(PcapFeed(path, chunk_events=100))
    assert max(map(len, arrays)) <= 100 < len(events)
    assert same(np.concatenate(arrays), events)
    with pytest.raises(ValueError, match="chunk_events must be at least 64"):
        PcapFeed(path, chunk_events=63)


def test_instruments_are_there_before_their_events(tmp_path, day):
    _, stream = day
    path = pcap(tmp_path / "x", timed([ethernet(ip4(p)) for p in packets_of(stream)]))
    with PcapFeed(path) as feed:
        for array in feed:
            assert set(np.unique(array["symbol_id"]).tolist()) <= {*range(len(feed.instruments)), NO_SYMBOL}
        assert list(feed.instruments) == [Instrument("SYNTH", 0.0001, 1.0, 100, 1, 10_000, currency="USD")]
        assert (feed.format, feed.book) == ("pcap", "orders")
    assert list(feed) == []


def test_other_packets_are_passed_over_and_counted(tmp_path, day):
    events, stream = day
    good = [ethernet(ip4(p)) for p in packets_of(stream)]
    p = packets_of(stream)[0]
    others = [
        ethernet(ip4(p, flags=0x2000)),
        ethernet(ip4(p, flags=0x0010)),
        ethernet(ip6(p, extension=b"\x2c\0\0\1\0\0\0\1"), 0x86DD),
        ethernet(bytes(40), 0x0806),
        ethernet(ip4(bytes(40), protocol=6)),
        ethernet(ip4(bytes(40), protocol=2)),
        ethernet(b""),
        b"",
        ethernet(ip4(p, port=53)),
    ]
    rows = timed([f for pair in zip(good, others, strict=False) for f in pair] + good[len(others) :])
    feed = PcapFeed(pcap(tmp_path / "x", rows), ports=[26_400])
    assert same(events_of(feed), events)
    assert feed.skipped == {"fragment": 3, "not IP": 3, "not UDP": 2, "other port": 1}


def test_ports_and_groups_are_streams_of_their_own(tmp_path, day):
    events, stream = day
    a = packets_of(stream, 1, "ONE", 300)
    b = packets_of(stream, 1, "TWO", 300)
    frames = [ethernet(ip4(p, port)) for pair in zip(a, b, strict=True) for p, port in zip(pair, (1_000, 2_000), strict=True)]
    feed = PcapFeed(pcap(tmp_path / "x", timed(frames)))
    got = events_of(feed)
    assert len(got) == 2 * len(events)
    assert {name: m.messages for name, m in feed.streams.items()} == dict.fromkeys(
        ("233.54.12.111:1000", "233.54.12.111:2000"), len(events)
    )
    assert np.all(np.diff(got["local_ns"]) >= 0)
    assert feed.gaps == 0


def test_two_lines_of_a_feed_are_arbitrated(tmp_path, day):
    events, stream = day
    packets = packets_of(stream, size=300)
    choose = random.Random(5)
    frames = []
    for i, p in enumerate(packets):
        lost = choose.randrange(3) if i else 0
        frames += [ethernet(ip4(p, port)) for k, port in ((1, 1_000), (2, 2_000)) if k != lost]
    path = pcap(tmp_path / "x", timed(frames))
    feed = PcapFeed(path, arbitrate=True, strict=True)
    assert same(events_of(feed), events)
    assert feed.gaps == 0
    (stream_of_all,) = feed.streams.values()
    assert stream_of_all.duplicates > 0
    apart = PcapFeed(path)
    assert len(events_of(apart)) > len(events)
    assert apart.gaps > 0


def test_packets_that_come_late_are_waited_for(tmp_path, day):
    """The second line is three packets behind the first, which loses some: nothing is missing, and nothing comes twice."""
    events, stream = day
    packets = packets_of(stream, size=300)
    lost = {7, 20, 21, 22, 40}
    frames = []
    for i in range(len(packets) + 3):
        if i < len(packets) and i not in lost:
            frames.append(ethernet(ip4(packets[i], 1_000)))
        if i >= 3:
            frames.append(ethernet(ip4(packets[i - 3], 2_000)))
    path = pcap(tmp_path / "x", timed(frames))
    feed = PcapFeed(path, arbitrate=True, strict=True)
    assert same(events_of(feed), events)
    assert feed.gaps == 0
    hasty = PcapFeed(path, arbitrate=True, hold=0)
    assert len(events_of(hasty)) < len(events)
    assert hasty.gaps == 3
    with pytest.raises(ValueError, match="hold must not be negative"):
        PcapFeed(path, hold=-1)


@pytest.mark.parametrize("hold", [1, 4, 64])
def test_packets_out_of_order_and_missing(tmp_path, day, hold):
    events, stream = day
    packets = packets_of(stream, size=300)
    packets[10], packets[11] = packets[11], packets[10]
    missing = int.from_bytes(packets[30][18:20], "big")
    del packets[30]
    path = pcap(tmp_path / "x", timed([ethernet(ip4(p)) for p in packets]))
    feed = PcapFeed(path, hold=hold)
    got = events_of(feed)
    assert (feed.gaps, len(got) - 1 + missing) == (1, len(events))
    assert got["size"][got["kind"] == GAP].tolist() == [missing]
    assert np.all(np.diff(got["seq"].astype(np.int64)) > 0)


def test_a_cut_capture_delivers_what_was_held_back(tmp_path, day):
    _, stream = day
    packets = packets_of(stream, size=300)[:20]
    del packets[5]
    path = pcap(tmp_path / "x", timed([ethernet(ip4(p)) for p in packets]))
    whole = events_of(PcapFeed(path))
    path.write_bytes(path.read_bytes() + b"x")
    feed, got = PcapFeed(path, hold=64), []
    with pytest.raises(CorruptDataError, match="a capture must be whole"):
        got.extend(feed)
    assert np.concatenate(got).tobytes() == whole.tobytes()


def test_instruments_are_named_by_what_messages_carry(tmp_path, day):
    _, stream = day
    at = packets_of(stream, size=300)[5:]  # behind the listings
    feed = PcapFeed(pcap(tmp_path / "x", timed([ethernet(ip4(p)) for p in at])))
    events_of(feed)
    assert feed.instruments.symbols == ["SYNTH"]
    delete = b"D" + struct.pack(">HH", 9, 0) + bytes(14)
    alone = mold.MoldEncoder("S").encode(b"\0\x13" + delete)[0]
    feed = PcapFeed(pcap(tmp_path / "x", timed([ethernet(ip4(alone))])))
    assert events_of(feed)["symbol_id"].tolist() == [NO_SYMBOL]
    assert feed.instruments.symbols == []


def test_gaps_are_events_and_counted(tmp_path, day):
    events, stream = day
    packets = packets_of(stream)
    del packets[3]
    feed = PcapFeed(pcap(tmp_path / "x", timed([ethernet(ip4(p)) for p in packets])))
    got = events_of(feed)
    gap = got[got["kind"] == GAP]
    assert (len(gap), feed.gaps) == (1, 1)
    assert len(got) - 1 + gap["size"][0] == len(events)
    assert np.all(np.diff(got["local_ns"]) >= 0)
    assert np.all(np.diff(got["exch_ns"]) >= 0)


@pytest.mark.parametrize("cut", [1, 8, 15, 16, 17, 500])
@pytest.mark.parametrize("form", ["pcap", "pcapng", "gzip"])
def test_a_cut_capture_delivers_what_is_whole_then_raises(tmp_path, day, cut, form):
    _, stream = day
    rows = timed([ethernet(ip4(p)) for p in packets_of(stream)[:5]])
    write = pcapng if form == "pcapng" else pcap
    whole = events_of(PcapFeed(write(tmp_path / "whole", rows[:4])))
    path = write(tmp_path / "x", rows)
    raw = path.read_bytes()[:-cut]
    path.write_bytes(gzip.compress(raw) if form == "gzip" else raw)
    feed, got = PcapFeed(path), []
    with pytest.raises(CorruptDataError, match="a capture must be whole"):
        got.extend(feed)
    assert np.concatenate(got).tobytes() == whole.tobytes()


def test_a_cut_gzip_stream_raises(tmp_path, day):
    _, stream = day
    path = pcap(tmp_path / "x", timed([ethernet(ip4(p)) for p in packets_of(stream)]))
    path.write_bytes(gzip.compress(path.read_bytes())[:-4_000])
    feed, got = PcapFeed(path), []
    with pytest.raises(CorruptDataError, match="a compressed file must be whole"):
        got.extend(feed)
    assert 0 < sum(map(len, got)) < 3_000


@pytest.mark.parametrize("raw", [b"", b"\xd4\xc3\xb2\xa1", b"\x0a\x0d\x0d\x0a", b"x" * 100])
def test_what_is_no_capture_raises(tmp_path, raw):
    path = tmp_path / "x"
    path.write_bytes(raw)
    with pytest.raises(CorruptDataError, match="a capture must be whole"):
        list(PcapFeed(path))


def test_unknown_link_type_raises(tmp_path):
    with pytest.raises(ValueError, match="link=147"):
        list(PcapFeed(pcap(tmp_path / "x", timed([bytes(60)]), 147)))


def test_malformed_messages_are_logged_with_the_place_of_their_packet(tmp_path, day):
    events, stream = day
    packets = packets_of(stream)
    bad = mold.MoldEncoder("SYNTH", 0).encode(b"\0\5?abcd")[0]
    frames = [ethernet(ip4(p)) for p in (packets[0], bad, packets[1], packets[2][:-1], b"short")]
    path = pcap(tmp_path / "x", timed(frames))
    at = [24 + sum(16 + len(f) for f in frames[:i]) for i in range(len(frames))]
    feed = PcapFeed(path)
    events_of(feed)
    assert feed.errors == {"short buffer": 2, "unknown message type": 1}
    assert [(offset, text.split(" type=")[0]) for offset, text in feed.error_log] == [
        (at[1], "unknown message type"),
        (at[3], "short buffer"),
        (at[4], "short buffer"),
    ]
    strict, got = PcapFeed(path, strict=True), []
    with pytest.raises(CorruptDataError, match="unknown message type"):
        got.extend(strict)
    first = struct.unpack_from(">H", packets[0], 18)[0]
    assert np.concatenate(got).tobytes() == events_of(PcapFeed(pcap(tmp_path / "y", timed(frames[:1])))).tobytes()
    assert len(got[0]) == first


@pytest.mark.parametrize(
    ("ns", "wanted"),
    [
        (NOON, DAY),
        (midnight_ns(DAY), DAY),
        (midnight_ns(DAY) - 1, date(2023, 8, 21)),
        (midnight_ns(date(2023, 1, 10)), date(2023, 1, 10)),
        (midnight_ns(date(2023, 1, 10)) - 1, date(2023, 1, 9)),
    ],
)
def test_day_of_the_capture_is_that_of_new_york(tmp_path, day, ns, wanted):
    _, stream = day
    rows = timed([ethernet(ip4(p)) for p in packets_of(stream)[:1]], ns)
    first = events_of(PcapFeed(pcap(tmp_path / "x", rows)))[0]
    given = events_of(PcapFeed(tmp_path / "x", date=DAY))[0]
    assert first["exch_ns"] - midnight_ns(wanted) == given["exch_ns"] - midnight_ns(DAY)


def test_captures_are_recognised(tmp_path):
    path = pcap(tmp_path / "x", [])
    assert PcapFeed.recognise(path.read_bytes(), path)
    assert PcapFeed.recognise(pcapng(path, []).read_bytes(), path)
    assert not PcapFeed.recognise(b"", path)
    assert not PcapFeed.recognise(b"\0\x0cS" + bytes(20), path)
    assert list(PcapFeed(path)) == []


def test_missing_library_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "dpkt", None)
    with pytest.raises(ImportError, match=r"hft-fastcore\[feeds\]"):
        PcapFeed(tmp_path / "x")


def test_damaged_captures_end_or_raise(tmp_path, day):
    """Flip and cut anywhere in the file; set FASTCORE_FUZZ_ROUNDS for the long mode."""
    _, stream = day
    rows = timed([ethernet(ip4(p)) for p in packets_of(stream, size=300)[:12]])
    path = tmp_path / "x"
    for seed in range(int(os.environ.get("FASTCORE_FUZZ_ROUNDS", "150"))):
        choose = random.Random(seed)
        raw = bytearray((pcapng if seed % 2 else pcap)(path, rows).read_bytes())
        for _ in range(choose.randrange(1, 8)):
            at = choose.randrange(len(raw))
            if choose.randrange(8):
                raw[at] ^= 1 << choose.randrange(8)
            else:
                del raw[at : at + choose.randrange(1, 40)]
        path.write_bytes(raw)
        feed = PcapFeed(path)
        total = 0
        try:
            for array in feed:
                total += len(array)
        except (CorruptDataError, ValueError):
            pass
        assert total <= len(raw), seed


# ---- OUCH over TCP ----


@pytest.fixture(scope="module")
def session():
    """What the client sends: a login and a hundred orders."""
    events = np.zeros(100, EVENT_DTYPE)
    events["kind"], events["side"], events["price"], events["size"] = KINDS["order"], 1, 1_000_000, 100
    events["order_id"] = np.arange(1, 101)
    stream, rows = ouch.OuchEncoder(False).encode(events, ouch.details(100, symbol="AAPL"))
    return soup.login_request("user", "secret") + soup.encode(stream, rows)


def conversation(raw, order, start=2**32 - 700, size=97):
    """The bytes of a client in segments, whose numbers wrap, in the order given by a function."""
    segments = [(start + 1 + at, raw[at : at + size]) for at in range(0, len(raw), size)]
    return [tcp_frame(b"", start, flags=2)] + [tcp_frame(payload, sequence) for sequence, payload in order(segments)]


def swapped(segments):
    out = list(segments)
    for i in range(0, len(out) - 1, 2):
        out[i], out[i + 1] = out[i + 1], out[i]
    return out


def overlapping(segments):
    """Each second segment is sent again with the one before it."""
    out = []
    for i, (sequence, payload) in enumerate(segments):
        out.append((sequence, payload))
        if i % 2:
            before, earlier = segments[i - 1]
            out += [(before, earlier + payload), (before, earlier)]
    return out


@pytest.mark.parametrize("order", [list, swapped, overlapping, lambda s: s[::-1]])
def test_ouch_stream_is_put_together(tmp_path, session, order):
    path = pcap(tmp_path / "x", timed(conversation(session, order)))
    found = list(read_ouch(path, ports=[8_001], strict=True))
    ids = np.concatenate([m.events["order_id"] for m in found])
    assert ids.tolist() == list(range(1, 101))
    assert {m.connection for m in found} == {"10.0.0.1:40000 > 10.0.0.2:8001"}
    assert not any(m.outbound for m in found)
    assert list(read_ouch(path, ports=[9_000])) == []


def test_both_directions_are_told_apart(tmp_path, session):
    accepted = np.zeros(2, EVENT_DTYPE)
    accepted["kind"], accepted["side"], accepted["order_id"], accepted["exch_ns"] = KINDS["ack"], 1, [1, 2], [5, 6]
    stream, rows = ouch.OuchEncoder(True).encode(accepted, ouch.details(2, symbol="AAPL"))
    venue = soup.debug("hello") + soup.login_accepted("S", 11) + soup.encode(stream, rows)
    frames = [*conversation(session, list)[:4], tcp_frame(venue, 77, outbound=True)]
    found = list(read_ouch(pcap(tmp_path / "x", timed(frames))))
    assert [m.outbound for m in found] == [False, False, True]
    assert found[-1].events["seq"].tolist() == [11, 12]
    assert found[-1].events["exch_ns"].tolist() == [midnight_ns(DAY) + 5, midnight_ns(DAY) + 6]
    assert len({m.connection for m in found}) == 1


def test_a_missing_segment_raises_after_what_came_before(tmp_path, session):
    frames = conversation(session, list)
    del frames[20]
    found = []
    with pytest.raises(CorruptDataError, match="a connection must be captured whole: 10.0.0.1:40000 > 10.0.0.2:8001"):
        found.extend(read_ouch(pcap(tmp_path / "x", timed(frames))))
    assert 0 < sum(len(m.events) for m in found) < 100


def test_a_cut_capture_of_a_connection_raises(tmp_path, session):
    path = pcap(tmp_path / "x", timed(conversation(session, list)))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CorruptDataError, match="a capture must be whole"):
        list(read_ouch(path))


def test_segments_held_back_are_bounded(tmp_path, session):
    first = tcp_frame(session[:50], 1)
    frames = [first] + [tcp_frame(b"x", 1_000 + 2 * i) for i in range(5_000)]
    with pytest.raises(CorruptDataError, match="missing from sequence=51"):
        list(read_ouch(pcap(tmp_path / "x", timed(frames))))


def test_damaged_captures_of_connections_end_or_raise(tmp_path, session):
    rows = timed(conversation(session, overlapping))
    path = tmp_path / "x"
    for seed in range(int(os.environ.get("FASTCORE_FUZZ_ROUNDS", "150"))):
        choose = random.Random(seed)
        raw = bytearray((pcapng if seed % 2 else pcap)(path, rows).read_bytes())
        for _ in range(choose.randrange(1, 8)):
            raw[choose.randrange(len(raw))] ^= 1 << choose.randrange(8)
        path.write_bytes(raw)
        total = 0
        try:
            for messages in read_ouch(path):
                assert len(messages.events) == len(messages.details)
                total += len(messages.events)
        except (CorruptDataError, ValueError):
            pass
        assert total < len(raw), seed


def frames_in(path):
    return [(frame.local_ns, frame.link, frame.data) for frame in read_frames(path, None)]


@pytest.mark.parametrize("order", ["<", ">"])
def test_sections_and_interfaces_have_their_own_resolution_offset_and_link_type(tmp_path, order):
    path = tmp_path / "x.pcapng"
    micro, coarse = NOON // 1000, NOON * 2**10 // 10**9
    path.write_bytes(b"".join([
        section(order), interface(1, 9, order=order), interface(101, None, order=order), interface(1, 128 | 10, order=order),
        interface(1, 0, 1_600_000_000, order=order),
        packet(NOON + 1, b"ns", 0, order), packet(micro + 2, b"us", 1, order), packet(coarse, b"2^-10", 2, order),
        packet(5, b"offset", 3, order),
        block(2, struct.pack(order + "HHIIII", 1, 0, micro >> 32, micro & 0xFFFFFFFF, 3, 3) + b"old", order),
        section("<"), interface(113, 6), packet(micro + 3, b"another section"),
    ]))  # fmt: skip
    assert frames_in(path) == [
        (NOON + 1, 1, b"ns"), (micro * 1000 + 2000, 101, b"us"), (coarse * 10**9 // 2**10, 1, b"2^-10"),
        (1_600_000_005 * 10**9, 1, b"offset"), (micro * 1000, 101, b"old"), (micro * 1000 + 3000, 113, b"another section"),
    ]  # fmt: skip


def test_simple_packets_have_the_time_of_the_packet_before(tmp_path):
    path = tmp_path / "x.pcapng"
    simple = [block(3, struct.pack("<I", size) + data) for size, data in ((6, b"simple"), (9, b"cut of"), (90_000, b"x"))]
    path.write_bytes(b"".join([section(), interface(snap=6), simple[0], packet(NOON, b"a"), *simple]))
    assert [(ns, data) for ns, _, data in frames_in(path)] == [
        (0, b"simple"), (NOON, b"a"), (NOON, b"simple"), (NOON, b"cut of"), (NOON, b"x\0\0\0"),
    ]  # fmt: skip


def test_a_day_without_times_must_be_given(tmp_path, day):
    _, stream = day
    frames = [ethernet(ip4(p)) for p in packets_of(stream)[:3]]
    path = tmp_path / "x.pcapng"
    path.write_bytes(b"".join([section(), interface(), *(block(3, struct.pack("<I", len(f)) + f) for f in frames)]))
    with pytest.raises(FormatError, match="the day of a capture must be given where its packets have no times: date=None"):
        list(PcapFeed(path))
    whole = events_of(PcapFeed(pcap(tmp_path / "y", timed(frames))))
    got = events_of(PcapFeed(path, date=DAY))
    assert got["exch_ns"].tolist() == whole["exch_ns"].tolist() and not got["local_ns"].any()


def test_check_sums_at_the_end_of_frames_are_no_part_of_the_link_type(tmp_path, day):
    _, stream = day
    rows = timed([ethernet(ip4(p)) + b"FCS!" for p in packets_of(stream)[:3]])
    plain = events_of(PcapFeed(pcap(tmp_path / "x", rows)))
    assert events_of(PcapFeed(pcap(tmp_path / "y", rows, link=1 | 1 << 26 | 4 << 28))).tobytes() == plain.tobytes()


def test_interfaces_of_other_link_types_are_passed_over(tmp_path, day):
    _, stream = day
    frames = [ethernet(ip4(p)) for p in packets_of(stream)[:3]]
    path = tmp_path / "x.pcapng"
    path.write_bytes(b"".join([section(), interface(220), interface(), packet(NOON, b"usb"), *(packet(NOON, f, 1) for f in frames)]))
    feed = PcapFeed(path)
    assert len(events_of(feed)) and feed.skipped == {"link type 220": 1}


@pytest.mark.parametrize(
    ("blocks", "rule"),
    [
        ([packet(1, b"x")], "a packet must be of an interface that its section describes: type=6 length=36"),
        ([interface(), packet(1, b"x", 1)], "a packet must be of an interface that its section describes"),
        ([interface(), section(), packet(1, b"x")], "a packet must be of an interface that its section describes"),
        ([block(3, b"\1\0\0\0x")], "a packet must be of an interface"),
        ([interface(), block(6, struct.pack("<IIIII", 0, 0, 0, 99, 99))], "a packet must fit into its block: size=99"),
        ([interface(), block(6, b"")], "a block is too short: type=6 length=12"),
        ([block(1, b"")], "a block is too short: type=1"),
        ([struct.pack("<II", 5, 8)], "a block must have room for its head: length=8"),
        ([block(5, b"abcd")[:-4] + bytes(4)], "a block must end with its length: length=16"),
        ([section(version=2)], "the version of a section must be 1: version=2"),
        ([struct.pack("<III", 0x0A0D0D0A, 28, 7) + bytes(16)], "a section must say its byte order: magic=07000000"),
        ([struct.pack("<II", 5, 1 << 31)], "a record must be smaller than 64 MiB"),
        ([interface(), packet(2**63, b"x")], "a time must be in 1970..2116"),
    ],
)
def test_damaged_blocks_state_the_rule(tmp_path, blocks, rule):
    path = tmp_path / "x.pcapng"
    path.write_bytes(b"".join([section(), *blocks]))
    with pytest.raises(CorruptDataError, match=f"a capture must be whole: {rule}"):
        frames_in(path)
