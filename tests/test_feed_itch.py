"""ITCH files: chunks of whole messages, gzip streams, files that are cut."""

import gzip
import os
import random
import struct
from datetime import date, datetime, time, timedelta

import numpy as np
import pytest

from fastcore.errors import CorruptDataError
from fastcore.itch import ItchDecoder
from fastcore.records import EVENT_DTYPE
from hft.feeds.itch import day_of, midnight_ns, open_itch, read_events


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


def write(path, data, form):
    if form == "plain":
        path.write_bytes(data)
    elif form == "gzip":
        path.write_bytes(gzip.compress(data, 1))
    else:  # members and padding
        third = len(data) // 3
        parts = [gzip.compress(data[i : i + third], 1) for i in range(0, len(data), third)]
        path.write_bytes(b"".join(parts) + bytes(1000))
    return path


@pytest.mark.parametrize("form", ["plain", "gzip", "members"])
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


@pytest.mark.parametrize("form", ["plain", "gzip"])
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
    with pytest.raises(CorruptDataError, match="a gzip file must be whole"):
        list(open_itch(tmp_path / "x.gz"))


def test_gzip_followed_by_something_else(tmp_path, data):
    (tmp_path / "x.gz").write_bytes(gzip.compress(data, 1) + b"something else")
    with pytest.raises(CorruptDataError, match="a gzip file must be whole"):
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


@pytest.mark.skipif(os.name != "posix", reason="there is no such device")
def test_devices_are_refused():
    with pytest.raises(ValueError, match="path must be a regular file: path=/dev/null"):
        list(open_itch("/dev/null"))


def test_sizes_are_checked(tmp_path):
    with pytest.raises(ValueError, match="chunk_bytes must be at least 131072: chunk_bytes=1"):
        open_itch(tmp_path / "x", chunk_bytes=1)
    with pytest.raises(ValueError, match="chunk_events must be at least 1"):
        read_events(tmp_path / "x", chunk_events=0)


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("AAPL_2020-01-30_first10k.itch", date(2020, 1, 30)),
        ("01302020.NASDAQ_ITCH50.gz", date(2020, 1, 30)),
        ("S020120-v50_20200201.gz", date(2020, 2, 1)),
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
