"""ITCH files: chunks of whole messages, gzip streams, files that are cut."""

import gzip
import random
import struct
import sys
from datetime import date, datetime, time, timedelta

import numpy as np
import pytest
from makers.framing import framed

from fastcore.errors import CorruptDataError
from fastcore.instruments import Instrument, Instruments
from fastcore.records import EVENT_DTYPE, FLAGS, KINDS, NO_SYMBOL
from fastcore.wire.itch import LENGTHS, ItchDecoder
from hft.config import Config, Run
from hft.feeds.feed import FormatError, UnknownSymbolInFile
from hft.feeds.itch import ItchFeed, day_of, midnight_ns, open_itch, read_events
from hft.run import replay


def stream(messages=40_000, seed=1):
    choose = random.Random(seed)
    types = {b"A": 36, b"D": 19, b"E": 31, b"P": 44}
    parts = []
    for i in range(messages):
        letter, size = choose.choice(list(types.items()))
        body = i.to_bytes(8, "big") + b"B" + bytes(size)
        parts.append(struct.pack(">H", size) + (letter + bytes(10) + body)[:size])
    return b"".join(parts)


@pytest.fixture(scope="module")
def data():
    return stream()


def packed(data, level=1):
    return pytest.importorskip("zstandard").ZstdCompressor(level=level, write_checksum=True).compress(data)


def write(path, data, form):
    third = len(data) // 3
    thirds = [data[i : i + third] for i in range(0, len(data), third)]
    if form == "plain":
        path.write_bytes(data)
    elif form == "gzip":
        path.write_bytes(gzip.compress(data, 1))
    elif form == "members":  # and padding
        path.write_bytes(b"".join(gzip.compress(part, 1) for part in thirds) + bytes(1000))
    elif form == "zstd":
        path.write_bytes(packed(data))
    else:  # frames, and one to be skipped in front
        path.write_bytes(b"\x53\x2a\x4d\x18" + struct.pack("<I", 5) + b"hello" + b"".join(map(packed, thirds)))
    return path


FORMS = ["plain", "gzip", "members", "zstd", "frames"]


@pytest.mark.parametrize("form", FORMS)
def test_chunks_are_whole_messages_and_lose_nothing(tmp_path, data, form):
    path = write(tmp_path / "x.itch", data, form)
    seen = []
    chunks = []
    for chunk in open_itch(path, chunk_bytes=1 << 17, progress=lambda done, total: seen.append((done, total))):
        d = ItchDecoder(strict=True)
        assert d.decode(chunk, np.zeros(10_000, EVENT_DTYPE), final=True)[1] == len(chunk)
        chunks.append(bytes(chunk))
    assert b"".join(chunks) == data
    assert len(chunks) > 5
    assert max(map(len, chunks)) < 2 * (1 << 17)
    assert seen == sorted(seen)
    assert 0 < seen[0][0] <= seen[-1][0] <= seen[-1][1] == path.stat().st_size


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("reuse", [False, True])
def test_event_arrays_hold_every_message(tmp_path, data, form, reuse):
    path = write(tmp_path / "x.itch", data, form)
    ids = [a["order_id"].copy() for a in read_events(path, chunk_events=1_000, chunk_bytes=1 << 17, reuse=reuse)]
    assert max(map(len, ids)) == 1_000
    assert np.concatenate(ids).tolist() == list(range(40_000))


def test_chunks_outlive_the_iterator(tmp_path, data):
    kept = list(open_itch(write(tmp_path / "x.itch", data, "plain"), chunk_bytes=1 << 17))
    assert b"".join(kept) == data


def test_an_iterator_can_be_left_early(tmp_path, data):
    chunks = open_itch(write(tmp_path / "x.itch", data, "plain"), chunk_bytes=1 << 17)
    next(chunks)
    chunks.close()


def test_plain_file_that_ends_inside_a_message(tmp_path, data):
    path = write(tmp_path / "x.itch", data + data[:20], "plain")
    got = []
    with pytest.raises(CorruptDataError, match=f"must end with a whole message: .* offset={len(data)} remaining=20"):
        got.extend(bytes(c) for c in open_itch(path))
    assert b"".join(got) == data


@pytest.mark.parametrize("keep", [0.05, 0.5, 0.95])
def test_gzip_cut_in_the_middle_delivers_what_is_whole(tmp_path, data, keep):
    whole = gzip.compress(data, 1)
    path = tmp_path / "x.itch.gz"
    path.write_bytes(whole[: int(len(whole) * keep)])
    got = []
    with pytest.raises(CorruptDataError, match="it ends in the middle"):
        got.extend(bytes(c) for c in open_itch(path, chunk_bytes=1 << 17))
    got = b"".join(got)
    assert data.startswith(got)
    assert len(got) > len(data) * keep * 0.7


def test_gzip_whose_checksum_fails(tmp_path, data):
    whole = bytearray(gzip.compress(data, 1))
    whole[-5] ^= 1
    (tmp_path / "x.gz").write_bytes(whole)
    with pytest.raises(CorruptDataError, match="a compressed file must be whole"):
        list(open_itch(tmp_path / "x.gz"))


@pytest.mark.parametrize("keep", [0.05, 0.5, 0.95])
@pytest.mark.parametrize("frames", [1, 3])
def test_zstandard_cut_in_the_middle_delivers_what_is_whole(tmp_path, data, keep, frames):
    size = -(-len(data) // frames)
    whole = b"".join(packed(data[i : i + size]) for i in range(0, len(data), size))
    path = tmp_path / "x.itch.zst"
    path.write_bytes(whole[: int(len(whole) * keep)])
    got = []
    with pytest.raises(CorruptDataError, match=r"a compressed file must be whole: it ends in the middle: path=.* offset=\d+"):
        got.extend(bytes(c) for c in open_itch(path, chunk_bytes=1 << 17))
    got = b"".join(got)
    assert data.startswith(got)
    assert len(got) > len(data) * keep - 200_000  # a block is 128 KiB


def test_zstandard_whose_checksum_fails_delivers_what_came_before(tmp_path, data):
    whole = bytearray(packed(data))
    whole[-2] ^= 1
    (tmp_path / "x.zst").write_bytes(whole)
    got = []
    with pytest.raises(CorruptDataError, match="a compressed file must be whole"):
        got.extend(bytes(c) for c in open_itch(tmp_path / "x.zst"))
    assert data.startswith(b"".join(got))
    assert sum(map(len, got)) > len(data) - 600_000  # what was unpacked in the same step is lost with it


def test_zstandard_followed_by_something_else(tmp_path, data):
    (tmp_path / "x.zst").write_bytes(packed(data) + b"something else")
    got = []
    with pytest.raises(CorruptDataError, match="a compressed file must be whole"):
        got.extend(bytes(c) for c in open_itch(tmp_path / "x.zst"))
    assert b"".join(got) == data


def test_zstandard_that_ends_inside_a_message(tmp_path, data):
    (tmp_path / "x.zst").write_bytes(packed(data[:-1]))
    with pytest.raises(CorruptDataError, match=r"must end with a whole message: .*\(uncompressed\)"):
        list(open_itch(tmp_path / "x.zst"))


def test_a_small_file_that_unpacks_to_much_comes_in_chunks(tmp_path):
    """128 MiB of empty messages in a few kilobytes: no chunk grows with what the file claims."""
    path = tmp_path / "x.zst"
    path.write_bytes(packed(bytes(1 << 27)))
    assert path.stat().st_size < 1 << 15
    sizes = [len(c) for c in open_itch(path, chunk_bytes=1 << 17)]
    assert sum(sizes) == 1 << 27
    assert max(sizes) <= 1 << 17


def test_zstandard_without_its_package_names_the_extra(tmp_path, data, monkeypatch):
    path = write(tmp_path / "x.zst", data, "zstd")
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(ImportError, match=r"zstandard is needed for this file: pip install 'hft-fastcore\[feeds\]'"):
        list(open_itch(path))


def test_gzip_followed_by_something_else(tmp_path, data):
    (tmp_path / "x.gz").write_bytes(gzip.compress(data, 1) + b"something else")
    with pytest.raises(CorruptDataError, match="a compressed file must be whole"):
        list(open_itch(tmp_path / "x.gz"))


def test_gzip_that_ends_inside_a_message(tmp_path, data):
    (tmp_path / "x.gz").write_bytes(gzip.compress(data[:-1], 1))
    with pytest.raises(CorruptDataError, match=r"must end with a whole message: .*\(uncompressed\)"):
        list(open_itch(tmp_path / "x.gz"))


def test_empty_and_missing_files(tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    assert list(open_itch(tmp_path / "empty")) == []
    with pytest.raises(FileNotFoundError):
        list(open_itch(tmp_path / "missing"))
    (tmp_path / "one").write_bytes(b"\0")
    with pytest.raises(CorruptDataError):
        list(open_itch(tmp_path / "one"))


def test_sizes_are_checked(tmp_path):
    with pytest.raises(ValueError, match="chunk_bytes must be at least 131072: chunk_bytes=1"):
        open_itch(tmp_path / "x", chunk_bytes=1)
    with pytest.raises(ValueError, match="chunk_events must be at least 3: chunk_events=2"):
        read_events(tmp_path / "x", chunk_events=2)
    with pytest.raises(ValueError, match="chunk_events must be at least 3: chunk_events=0"):
        ItchFeed(tmp_path / "x", chunk_events=0)
    with pytest.raises(ValueError, match="chunk_bytes must be at least 131072: chunk_bytes=1"):
        ItchFeed(tmp_path / "x", chunk_bytes=1)
    with pytest.raises(ValueError, match="midnight_ns must be in"):
        ItchFeed(tmp_path / "x", midnight_ns=2**62 + 1)


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("AAPL_2020-01-30_first10k.itch", date(2020, 1, 30)),
        ("01302020.NASDAQ_ITCH50.gz", date(2020, 1, 30)),
        ("S020120-v50_20200201.gz", date(2020, 2, 1)),
        ("S081320-v50.txt.gz", date(2020, 8, 13)),
        ("PS123119-v50", date(2019, 12, 31)),
        ("S133120-v50", None),
        ("xS081320-v50", None),
        ("12345678901.itch", None),
        ("9999-99-99.itch", None),
        ("x.itch", None),
    ],
)
def test_day_in_a_file_name(name, day):
    assert day_of(f"/2001-01-01/{name}") == day


def test_midnight_follows_the_time_zone_of_the_exchange():
    assert midnight_ns(date(2020, 1, 30)) == 1_580_360_400_000_000_000
    assert midnight_ns(date(2012, 6, 21)) == 1_340_251_200_000_000_000
    with pytest.raises(ValueError, match="day must not be before 2007: day=2006-12-31"):
        midnight_ns(date(2006, 12, 31))


def test_midnight_equals_the_time_zone_database():
    zoneinfo = pytest.importorskip("zoneinfo")
    try:
        zone = zoneinfo.ZoneInfo("America/New_York")
    except zoneinfo.ZoneInfoNotFoundError:
        pytest.skip("no time zone database here")
    day = date(2007, 1, 1)
    while day.year < 2031:
        assert midnight_ns(day) == datetime.combine(day, time(), zone).timestamp() * 10**9, day
        day += timedelta(days=1)


def test_recorded_day_through_the_feed(data_dir):
    d = ItchDecoder(midnight_ns(date(2012, 6, 21)), strict=True)
    arrays = read_events(data_dir / "itch/AMZN_2012-06-21_L5.itch.gz", decoder=d, reuse=True)
    assert sum(len(a) for a in arrays) == 233_939
    assert d.errors == {}


# ---- the feed ----


def message(type, locate=13, tail=b"", time=1):
    body = type.encode() + struct.pack(">HH", locate, 7) + time.to_bytes(6, "big") + tail
    return body.ljust(LENGTHS[type], b"\0")


def listing(locate, symbol):
    return message("R", locate, symbol.ljust(8).encode() + b"QN\0\0\0\x64NCZ PN 1N\0\0\0\0N")


def add(order_id, locate=13, symbol="AAPL", side=b"B"):
    return message("A", locate, struct.pack(">QcI8sI", order_id, side, 100, symbol.ljust(8).encode(), 10_000))


def imbalance(locate=13):
    return message("I", locate, struct.pack(">QQc8sIIIcc", 5, 6, b"B", b"AAPL    ", 1, 2, 3, b"O", b" "))


DAY = midnight_ns(date(2020, 1, 30))


@pytest.fixture
def day(tmp_path):
    """A small day: listings, an order, an auction, a halt of one market; malformed messages among them."""
    path = tmp_path / "x_2020-01-30.itch"
    path.write_bytes(
        framed(
            message("S", 0, b"O"),  # 0
            listing(13, "AAPL"),  # 14
            listing(14, "BRK.A"),  # 55
            add(1),  # 96
            imbalance(),  # 134
            b"z" * 9,  # 186
            add(2, side=b"?"),  # 197
            message("h", 14, b"BRK.A   QH"),
        )
    )
    return path


def test_a_feed_gives_events_instruments_and_counts(day):
    seen = []
    with ItchFeed(day, progress=lambda done, total: seen.append((done, total))) as feed:
        assert (feed.format, feed.book, feed.path) == ("itch", "orders", day)
        arrays = list(feed)
    assert [a.dtype for a in arrays] == [EVENT_DTYPE]
    events = arrays[0]
    names = {number: name for name, number in KINDS.items()}
    assert [names[k] for k in events["kind"].tolist()] == "system listing listing add imbalance imbalance notice".split()
    assert events["exch_ns"].tolist() == [DAY + 1] * 7
    assert events["seq"].tolist() == [0] * 7
    assert list(feed.instruments) == [Instrument(name, 0.0001, 1.0, 100, 1, 10_000, currency="USD") for name in ("AAPL", "BRK.A")]
    assert feed.messages == {"A": 1, "I": 1, "R": 2, "S": 1, "h": 1}
    assert feed.errors == {"unknown message type": 1, "corrupt": 1}
    assert feed.error_log == [(186, "unknown message type (type 'z')"), (197, "corrupt (type 'A')")]
    assert feed.gaps == 0
    assert seen == [(day.stat().st_size, day.stat().st_size)]
    assert feed.decoder.listings["symbol"].tolist() == [b"AAPL", b"BRK.A"]
    assert list(feed) == []


def test_a_strict_feed_delivers_what_came_before_the_first_malformed_message(day):
    feed = ItchFeed(day, strict=True)
    got = []
    with pytest.raises(CorruptDataError, match="unknown message type type='z' offset=186"):
        got.extend(feed)
    assert [len(a) for a in got] == [6]
    assert feed.error_log == [(186, "unknown message type (type 'z')")]
    assert feed.instruments.symbols == ["AAPL", "BRK.A"]
    feed.close()


@pytest.mark.parametrize("chunk_events", [3, 4, 5, 65_536])
def test_no_array_of_a_feed_ends_inside_a_message(tmp_path, chunk_events):
    path = tmp_path / "x.itch"
    path.write_bytes(framed(*[add(i) if i % 3 else imbalance() for i in range(1_000)]))
    arrays = list(ItchFeed(path, chunk_events=chunk_events))
    assert sum(map(len, arrays)) == 666 + 2 * 334
    assert max(map(len, arrays)) <= chunk_events
    assert not any(a["flags"][-1] & FLAGS["continued"] for a in arrays)


@pytest.mark.parametrize("form", FORMS)
def test_a_feed_reads_every_form(tmp_path, data, form):
    path = write(tmp_path / "x.itch", data, form)
    ids = [a["order_id"] for a in ItchFeed(path, chunk_events=1_000, chunk_bytes=1 << 17)]
    assert np.concatenate(ids).tolist() == list(range(40_000))


def test_a_truncated_feed_delivers_what_is_whole_and_raises(tmp_path):
    path = tmp_path / "x.itch"
    path.write_bytes(framed(listing(13, "AAPL"), add(1), add(2))[:-1])
    feed, got = ItchFeed(path), []
    with pytest.raises(CorruptDataError, match="an ITCH file must end with a whole message"):
        got.extend(feed)
    assert [len(a) for a in got] == [2]
    assert feed.messages == {"A": 1, "R": 1}


def test_an_instrument_is_there_before_its_first_event(tmp_path):
    """Listed in time, listed late, never listed but named in a message, never named at all."""
    path = tmp_path / "x.itch"
    path.write_bytes(
        framed(listing(13, "AAPL"), add(1), message("V", 0), add(2, 15, "MSFT"))
        + framed(message("D", 16), add(3, 17, "OLD"), listing(17, "NEW"))
    )
    feed = ItchFeed(path, chunk_events=3)
    for events in feed:
        assert set(events["symbol_id"].tolist()) <= {*range(len(feed.instruments)), NO_SYMBOL}
    assert feed.instruments.symbols == ["AAPL", "MSFT", "OLD", "NEW"]


def without_strategy(path, symbol=None):
    return replay(ItchFeed(path), Config(run=Run(strategy="none", symbol=symbol)))


@pytest.mark.parametrize("symbol", [None, "AAPL"])
def test_a_file_without_listings_runs_by_the_symbol_that_its_messages_name(tmp_path, symbol):
    path = tmp_path / "x.itch"
    path.write_bytes(framed(message("D", 13), add(1), add(2), message("S", 0)))
    summary = without_strategy(path, symbol)
    assert (summary.symbol, summary.messages) == ("AAPL", 4)
    with pytest.raises(UnknownSymbolInFile, match="the file lists no such symbol: symbol=MSFT"):
        without_strategy(path, "MSFT")
    path.write_bytes(framed(add(1), add(2, 15, "MSFT")))
    with pytest.raises(UnknownSymbolInFile, match=r"the file has 2 symbols: choose one with --symbol \(AAPL, MSFT\)"):
        without_strategy(path)
    path.write_bytes(framed(message("D", 13)))
    with pytest.raises(UnknownSymbolInFile, match="the start of the file has no symbol"):
        without_strategy(path)


def test_units_of_the_protocol_hold_in_the_table_of_a_run(tmp_path):
    path = tmp_path / "x.itch"
    path.write_bytes(framed(add(1)))
    for table, error in ((Instruments(tick_size=0.01), None), (Instruments(["AAPL"], tick_size=0.01), FormatError)):
        feed = ItchFeed(path, instruments=table)
        if error is None:
            list(feed)
            assert table[0].tick_size == 0.0001 and table[0].increment_ticks == 100
        else:
            with pytest.raises(error, match="a symbol must have one tick size and one lot size: symbol=AAPL"):
                list(feed)


def test_a_feed_can_be_left_early_and_its_file_is_released(tmp_path, data, monkeypatch):
    import builtins

    opened, real = [], builtins.open
    monkeypatch.setattr(builtins, "open", lambda *a, **k: opened.append(real(*a, **k)) or opened[-1])
    with ItchFeed(write(tmp_path / "x.itch", data, "plain"), chunk_bytes=1 << 17) as feed:
        kept = next(feed)
    assert [file.closed for file in opened if file.name == str(tmp_path / "x.itch")][-1]
    assert list(feed) == []
    assert kept["order_id"][0] == 0
    ItchFeed(tmp_path / "never read").close()


def test_midnight_of_a_feed(tmp_path):
    for name, given, midnight in (("x.itch", None, 0), ("x_2020-01-30.itch", None, DAY), ("x_2020-01-30.itch", 5, 5)):
        (tmp_path / name).write_bytes(framed(message("S", 0, b"O")))
        assert next(ItchFeed(tmp_path / name, midnight_ns=given))["exch_ns"].tolist() == [midnight + 1]


def test_itch_is_recognised_by_its_messages(tmp_path):
    path = tmp_path / "day"
    good = framed(message("S", 0, b"O"), listing(13, "AAPL"), *[add(i) for i in range(30)])
    assert ItchFeed.recognise(good, path)
    assert ItchFeed.recognise(good[:65_536], path)
    assert ItchFeed.recognise(good[:-5], path)
    assert ItchFeed.recognise(good + framed(b"z", b"A"), path)
    assert ItchFeed.recognise(framed(b"z") + good, path)
    assert not ItchFeed.recognise(framed(b"z", b"A") * 5 + good, path)
    assert not ItchFeed.recognise(good[:14] + framed(b"z", b"A"), path)
    text = [b"ts,price,size\n1,2,3\n", b"1723 {}\n"]
    for other in (b"\x1f\x8b\x08\0", b"PK\3\4" + bytes(60), b"DBN\3" + bytes(100), bytes(200), *text):
        assert not ItchFeed.recognise(other, path)
        assert not ItchFeed.recognise(other, tmp_path / "x.itch")
    assert not ItchFeed.recognise(b"", path)
    assert ItchFeed.recognise(b"", tmp_path / "empty.itch.gz")


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("AMZN_2012-06-21_L5.itch.gz", {"H": 1, "R": 1}),
        ("AAPL_2020-01-30_first10k.itch", {"A": 4758, "D": 4083, "E": 849, "F": 2, "L": 52, "P": 240, "U": 7, "X": 6, "Y": 1}),
        ("directory_2019-12-30_first1000.itch", {"H": 3, "R": 993, "S": 1, "Y": 3}),
    ],
)
def test_recorded_files_through_the_feed(data_dir, name, counts):
    path = data_dir / "itch" / name
    raw = path.read_bytes()
    raw = gzip.decompress(raw) if name.endswith(".gz") else raw
    assert ItchFeed.recognise(raw[:65_536], path)
    with ItchFeed(path, strict=True) as feed:
        events = np.concatenate(list(feed))
    assert counts.items() <= feed.messages.items()
    assert feed.errors == {}
    plain = np.concatenate(list(read_events(path)))  # with locates
    names = feed.decoder.symbols
    assert [feed.instruments[i].symbol if i != NO_SYMBOL else None for i in events["symbol_id"].tolist()] == [
        names.get(i) for i in plain["symbol_id"].tolist()
    ]
    events["symbol_id"] = plain["symbol_id"]
    assert events.tobytes() == plain.tobytes()
    assert (events["exch_ns"] > midnight_ns(day_of(name))).all()
    assert len(feed.instruments) == feed.messages["R"]
