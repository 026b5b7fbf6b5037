"""open_feed: recognition, errors that list the formats, entry points; and what every feed keeps."""

import gc
import gzip
import importlib.metadata
import random
import signal
import subprocess
import sys
import threading
import weakref
import zipfile
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from makers.binance import capture
from makers.captures import ethernet, ip4, packets_of, pcap, timed

import hft.feeds
from fastcore.errors import CorruptDataError
from fastcore.records import EVENT_DTYPE, FLAGS, KINDS
from fastcore.tickstore import TickStore
from hft.feeds import FORMATS, Feed, FormatError, open_feed, recognise
from hft.feeds._ahead import ahead
from hft.feeds._files import LONGEST_LINE, head_of, lines, pieces
from hft.feeds.feed import whole_messages
from hft.feeds.synthetic import generate

pyarrow = pytest.importorskip("pyarrow")
QUOTES = b"time,bid,ask\n1399507217007,1.39147,1.39148\n1399507217264,1.39147,1.39149\n"


def test_quotes_are_recognised_by_their_columns_whatever_the_name(tmp_path):
    for name, data in (("a.csv", QUOTES), ("b.dat", QUOTES), ("c.csv.gz", gzip.compress(QUOTES)), ("d", gzip.compress(QUOTES))):
        path = tmp_path / name
        path.write_bytes(data)
        assert recognise(path) == "csv"
        with open_feed(path) as feed:
            assert sum(map(len, feed)) == 2
        assert list(feed) == []  # closed


def test_a_csv_alone_in_an_archive_is_recognised(tmp_path):
    with zipfile.ZipFile(tmp_path / "q.zip", "w") as archive:
        archive.writestr("q.csv", QUOTES)
    assert recognise(tmp_path / "q.zip") == "csv"


def test_binary_formats_are_recognised_by_their_first_bytes(tmp_path):
    parquet = import_module("pyarrow.parquet")
    table = pyarrow.table({"time": [1, 2], "bid": [1.0, 2.0], "ask": [2.0, 3.0]})
    parquet.write_table(table, tmp_path / "x")
    with pyarrow.OSFile(str(tmp_path / "y"), "wb") as file, pyarrow.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    with TickStore(tmp_path / "z", "x") as store:
        store.append(1, 0, 1.5, 2.0)
    assert [recognise(tmp_path / name) for name in "xyz"] == ["parquet", "arrow", "ticks"]


def test_unknown_file_lists_the_formats(tmp_path):
    (tmp_path / "x.bin").write_bytes(bytes(range(256)))
    with pytest.raises(ValueError, match=r"the format of a file must be known: path=.*formats=arrow, binance, csv, dbn"):
        open_feed(tmp_path / "x.bin")
    with pytest.raises(ValueError, match="format must be one of .*: format=nothing"):
        open_feed(tmp_path / "x.bin", "nothing")
    with pytest.raises(FileNotFoundError, match="path must exist"):
        open_feed(tmp_path / "missing")


def test_formats_of_other_distributions_are_found(tmp_path, monkeypatch):
    class Point:
        name, value = "mine", "tests_mine:MyFeed"

    class MyFeed(Feed):
        format = "mine"

        def __init__(self, path, *, progress=None, colour="red"):
            super().__init__(path)
            self.colour = colour

        def _arrays(self):
            yield np.zeros(3, EVENT_DTYPE)

        @classmethod
        def recognise(cls, head, path):
            return head.startswith(b"\x01MINE")

    module = type(importlib.metadata)("tests_mine")
    module.MyFeed = MyFeed
    monkeypatch.setitem(__import__("sys").modules, "tests_mine", module)
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [Point] if group == "hft.feeds" else [])
    (tmp_path / "x").write_bytes(b"\x01MINE")
    assert recognise(tmp_path / "x") == "mine"
    feed = open_feed(tmp_path / "x", colour="blue")
    assert (feed.colour, sum(map(len, feed))) == ("blue", 3)
    assert open_feed(tmp_path / "x", "mine").colour == "red"


def test_registry_is_imported_only_when_a_format_is_asked_for():
    import subprocess
    import sys

    code = "import sys, hft.feeds; assert not {'pyarrow', 'databento_dbn', 'hft.feeds.dbn'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert set(FORMATS) >= {"itch", "pcap", "binance", "kraken", "lobster", "dbn", "csv", "parquet", "arrow", "ticks"}


def test_missing_library_is_named_with_the_extra(tmp_path, monkeypatch):
    def gone(name):
        raise ImportError(name)

    monkeypatch.setattr("hft.feeds._files.import_module", gone)
    (tmp_path / "x.csv").write_bytes(QUOTES)
    with pytest.raises(ImportError, match=r"pyarrow is needed .*pip install 'hft-fastcore\[feeds\]'"):
        open_feed(tmp_path / "x.csv", "csv")


@pytest.mark.parametrize("how", ["gzip", "zstd", "members"])
def test_pieces_are_the_bytes_and_a_cut_stream_raises_behind_them(tmp_path, how):
    zstandard = pytest.importorskip("zstandard")
    data = bytes(np.random.default_rng(1).integers(0, 40, 3_000_000, dtype=np.uint8))
    packed = {
        "gzip": lambda: gzip.compress(data, 1),
        "members": lambda: gzip.compress(data[:1000], 1) + gzip.compress(data[1000:], 1) + bytes(100),
        "zstd": lambda: zstandard.compress(data[:5000]) + zstandard.ZstdCompressor(level=1, write_checksum=True).compress(data[5000:]),
    }[how]()
    path = tmp_path / "x"
    path.write_bytes(packed)
    told = []
    assert b"".join(pieces(path, progress=lambda done, total: told.append((done, total)))) == data
    assert told == sorted(told)
    assert told[-1] == (len(packed), len(packed))
    path.write_bytes(packed[: len(packed) * 2 // 3])
    got = []
    with pytest.raises(CorruptDataError, match="a compressed file must be whole"):
        got.extend(pieces(path))
    assert data.startswith(b"".join(got))
    assert sum(map(len, got)) > 500_000
    broken = bytearray(packed)
    broken[len(packed) // 2] ^= 0xFF
    path.write_bytes(broken)
    with pytest.raises(CorruptDataError):
        list(pieces(path))


@pytest.mark.parametrize("how", ["gzip", "zstd"])
def test_what_lies_before_the_damage_is_delivered_whatever_the_step(tmp_path, how):
    """A wrong checksum is found behind the last byte, a wrong block where it stands: all before it comes, and comes once."""
    zstandard = pytest.importorskip("zstandard")
    data = bytes(np.random.default_rng(2).integers(0, 40, 1_500_000, dtype=np.uint8))
    compress = gzip.compress if how == "gzip" else zstandard.ZstdCompressor(level=1, write_checksum=True).compress
    first, path, end = compress(data[:700]), tmp_path / "x", -6 if how == "gzip" else -2
    for second, whole in ((data[700:], True), (data[700:2000], True), (data[700:], False)):
        packed = bytearray(first + compress(second))
        if whole:
            packed[end] ^= 0xFF
        else:
            packed = packed[: len(packed) // 2] + b"\xff" * 100 + packed[len(packed) // 2 + 100 :]
        path.write_bytes(packed)
        got = []
        with pytest.raises(CorruptDataError, match="a compressed file must be whole"):
            got.extend(pieces(path))
        found = b"".join(got)
        assert found == data[:700] + second if whole else found[:600_000] == data[:600_000]


def test_head_of_a_file_that_starts_with_a_skippable_frame(tmp_path):
    zstandard = pytest.importorskip("zstandard")
    (tmp_path / "x").write_bytes(b"\x5a\x2a\x4d\x18\3\0\0\0abc" + zstandard.compress(b"1,2,3\n"))
    assert head_of(tmp_path / "x") == b"".join(pieces(tmp_path / "x")) == b"1,2,3\n"


def test_pieces_stay_small_whatever_the_ratio(tmp_path):
    zstandard = pytest.importorskip("zstandard")
    (tmp_path / "x").write_bytes(zstandard.compress(bytes(200_000_000)))
    assert max(map(len, pieces(tmp_path / "x"))) < 40_000_000


class Counting:
    """A source of numbers that notes what it made, who asked and whether it was closed."""

    def __init__(self, n, act=lambda i: None):
        self.made, self.threads, self.closed = 0, set(), False
        self.items = self._items(n, act)

    def _items(self, n, act):
        try:
            for i in range(n):
                self.threads.add(threading.get_ident())
                act(i)
                self.made += 1
                yield i
        finally:
            self.closed = True


def threads_ahead():
    return [thread for thread in threading.enumerate() if thread.name.startswith("ahead")]


def test_what_works_ahead_gives_items_then_the_error_in_order():
    def fail(i):
        if i == 50:
            raise CorruptDataError("item 50")

    source, got = Counting(100, fail), []
    with pytest.raises(CorruptDataError, match="item 50"):
        got.extend(ahead(source.items))
    assert got == list(range(50))
    assert source.closed and not threads_ahead()
    assert threading.get_ident() not in source.threads
    assert list(ahead(Counting(100).items)) == list(range(100))
    assert list(ahead(Counting(0).items)) == []


def test_what_works_ahead_keeps_to_its_bound_and_stops_when_closed():
    source = Counting(100)
    made = ahead(source.items, 4)
    for i in range(10):
        assert next(made) == i
        assert source.made <= i + 6  # what was given, four that wait, and one more by the time it was
    made.close()
    assert source.closed and source.made < 20 and not threads_ahead()


def test_interrupt_of_what_waits_for_the_thread_ends_the_thread():
    source = Counting(100, lambda i: signal.raise_signal(signal.SIGINT) if i == 20 else None)
    with pytest.raises(KeyboardInterrupt):
        for _ in ahead(source.items):
            pass
    assert source.closed and not threads_ahead()


@pytest.mark.parametrize("how", ["gzip", "zip"])
def test_a_feed_that_is_closed_early_leaves_no_thread_behind(tmp_path, how):
    data = QUOTES + b"1399507217264,1.39147,1.39149\n" * 200_000
    if how == "gzip":
        (tmp_path / "q.csv.gz").write_bytes(gzip.compress(data, 1))
    else:
        with zipfile.ZipFile(tmp_path / "q.csv.gz", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("q.csv", data)
    with open_feed(tmp_path / "q.csv.gz") as feed:
        assert len(next(feed)) > 0
        assert threads_ahead()
    assert not threads_ahead()


@pytest.mark.parametrize("make", ["itch", "pcap", "binance", "csv"])
def test_a_feed_is_gone_when_it_is_let_go(tmp_path, make):
    stream, path = generate(200, 1), tmp_path / "file"
    if make == "pcap":
        pytest.importorskip("dpkt")
        pcap(path, timed([ethernet(ip4(packet)) for packet in packets_of(stream)]))
    else:
        path.write_bytes({"itch": stream, "binance": capture(20), "csv": QUOTES}[make])
    gc.collect()
    gc.disable()  # its arrays are megabytes, which must not wait for the collector
    try:
        with open_feed(path) as feed:
            assert feed.format == make and sum(map(len, feed)) > 0
        alive = weakref.ref(feed)
        del feed
        assert alive() is None
    finally:
        gc.enable()


def test_lines_are_whole_and_a_cut_line_is_left_out():
    assert b"".join(lines(iter([b"a\nb", b"c\nd"]), 1)) == b"a\nbc\nd"
    assert all(block.endswith(b"\n") for block in lines(iter([b"a\nb", b"c\nd\n"]), 1))

    def cut():
        yield b"a\nb"
        raise CorruptDataError("cut")

    got = []
    with pytest.raises(CorruptDataError):
        got.extend(lines(cut()))
    assert got == [b"a\n"]


def test_a_line_without_an_end_is_an_error_behind_what_is_whole():
    def endless(piece, start=b""):
        yield b"a\nb\n" + start
        taken[0] = 0
        while True:
            taken[0] += len(piece)
            yield piece

    taken, got = [0], []
    for piece in (b"x" * 2**18, bytes(2**16)):
        got.clear()
        with pytest.raises(CorruptDataError, match=f"a line must have at most {LONGEST_LINE} bytes: offset=4"):
            got.extend(lines(endless(piece)))
        assert got == [b"a\nb\n"]
        assert taken[0] <= LONGEST_LINE + len(piece)
    long = b"x" * LONGEST_LINE + b"\n"
    assert b"".join(lines(iter([long[:100], long[100:], b"end"]))) == long + b"end"
    with pytest.raises(CorruptDataError, match="a line must"):
        list(lines(iter([b"x" + long])))


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs /dev/zero")
def test_a_device_without_an_end_is_an_error():
    with pytest.raises(CorruptDataError, match="a line must"):
        list(lines(pieces("/dev/zero")))


def test_messages_are_not_torn_apart():
    events = np.zeros(20, EVENT_DTYPE)
    events["flags"][[0, 1, 2, 5, 9, 10, 11, 12, 13, 14]] = FLAGS["continued"]
    parts = list(whole_messages(events, 4))
    assert sum(map(len, parts)) == 20
    assert [p["flags"][-1] for p in parts] == [0] * len(parts)
    assert [len(p) for p in parts] == [4, 4, 1, 7, 4]


def test_errors_are_counted_and_the_log_is_bounded(tmp_path):
    feed = Feed(tmp_path / "x")
    feed._skip("rule", list(range(100)), [f"v{i}" for i in range(100)])
    feed._skip("other", [7])
    assert feed.errors == {"rule": 100, "other": 1}
    assert len(feed.error_log) == 64
    assert feed.error_log[1] == (1, "rule: v1")
    feed.strict = True
    with pytest.raises(CorruptDataError, match="other: path=.*offset=7"):
        feed._skip("other", [7])


def test_package_names_what_it_offers():
    assert {"open_feed", "Feed", "FORMATS"} <= set(hft.feeds.__all__)
    assert KINDS["gap"] == 24


@pytest.mark.parametrize(
    ("field", "value"),
    [(10, 99), (8, 1), (42, 0xFFFFFFFF), (42, 7)],
    ids=["unknown method", "encrypted", "offset before the file", "offset of nothing"],
)
def test_damaged_directory_of_an_archive_is_corrupt_data(tmp_path, field, value):
    path = tmp_path / "q.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("q.csv", QUOTES)
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\1\2") + field
    width = 4 if field == 42 else 2
    data[at : at + width] = value.to_bytes(width, "little")
    if field < 42:  # the local header says the same
        data[field - 2 : field] = value.to_bytes(2, "little")
    path.write_bytes(data)
    with pytest.raises(CorruptDataError, match="a compressed file must be whole"):
        list(pieces(path))


def test_bytes_that_are_no_text_are_one_malformed_row(tmp_path):
    path = tmp_path / "q.csv"
    path.write_bytes(QUOTES + b"1399507217300,1.39\xff47,1.39148\n1399507217400,1.39147,1.39149\n")
    with open_feed(path) as feed:
        assert sum(map(len, feed)) == 3
    assert sum(feed.errors.values()) == 1


def recognised(path):
    try:
        return recognise(path)
    except FormatError as error:
        return str(error)


def test_clues_leave_out_no_format(data_dir, tmp_path, monkeypatch):
    random_ = random.Random(7)
    files = [path for path in data_dir.rglob("*") if path.is_file()]
    for i, path in enumerate(list(files)):  # and what is damaged, cut, or named otherwise
        raw = bytearray(path.read_bytes()[:5000])
        for _ in range(i % 4):
            raw[random_.randrange(len(raw))] = random_.randrange(256)
        files.append(tmp_path / f"{i}{random_.choice(['', path.suffix, '.dbn', '_message_1.csv'])}")
        files[-1].write_bytes(raw[: random_.choice((0, 3, 5000))])
    with_clues = [recognised(path) for path in files]
    monkeypatch.setattr("hft.feeds._AT_LEAST", {})
    assert with_clues == [recognised(path) for path in files]
    assert {"itch", "dbn", "pcap", "lobster", "binance", "csv"} <= set(with_clues)


@pytest.mark.parametrize("make", ["itch", "binance", "pcap", "csv"])
def test_recognising_a_file_imports_its_format_alone(tmp_path, make):
    data = {
        "itch": generate(2_000, 1), "binance": capture(20), "pcap": bytes.fromhex("a1b2c3d4") + bytes(60),
        "csv": b"time,bid,ask\n1700000000,1,2\n",
    }[make]  # fmt: skip
    (tmp_path / "file").write_bytes(data)
    script = "import sys; from hft.feeds import recognise; print(recognise(sys.argv[1]), *sys.modules)"
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "file")], capture_output=True, text=True, check=True)
    name, *modules = done.stdout.split()
    assert name == make
    assert {m.removeprefix("hft.feeds.") for m in modules if m.startswith("hft.feeds.")} & FORMATS.keys() == {make}
