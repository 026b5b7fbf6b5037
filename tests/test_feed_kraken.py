"""Captures of Kraken: files in every wrapping, checksums counted, damage reported."""

import gzip
import random

import numpy as np
import pytest
from makers.kraken import HEAD, Session

from fastcore.errors import CorruptDataError
from fastcore.instruments import Instrument, Instruments
from fastcore.records import FLAGS, KINDS
from hft.feeds import open_feed, recognise
from hft.feeds.kraken import KrakenFeed


@pytest.fixture(params=[1, 2])
def data(request):
    return HEAD + b"".join(Session(random.Random(1), request.param).lines(300))


def everything(feed):
    parts = list(feed)
    for part in parts:
        assert not part[-1]["flags"] & FLAGS["continued"]
    return np.concatenate(parts)


def write(path, data):
    path.write_bytes(data)
    return path


def test_plain_gzip_and_zstandard_give_the_same_events(tmp_path, data):
    zstandard = pytest.importorskip("zstandard")
    files = [
        write(tmp_path / "KRAKEN.0", data),
        write(tmp_path / "KRAKEN.gz", gzip.compress(data)),
        write(tmp_path / "KRAKEN.zst", zstandard.ZstdCompressor().compress(data)),
    ]
    assert [recognise(path) for path in files] == ["kraken"] * 3
    feeds = [open_feed(path) for path in files]
    events = [everything(feed) for feed in feeds]
    assert events[0].tobytes() == events[1].tobytes() == events[2].tobytes()
    for feed in feeds:
        assert isinstance(feed, KrakenFeed)
        assert feed.checked == feed.matched > 200 and feed.first_mismatch is None
        assert feed.gaps == feed.stale == 0 and feed.errors == {} and feed.messages["other"] == 4
        assert list(feed.instruments) == [Instrument("XBT/USD", 0.1, 1e-8), Instrument("ETH/USD", 0.1, 1e-8)]


def test_small_chunks_give_the_same_events(tmp_path, data):
    path = write(tmp_path / "capture", data)
    assert everything(KrakenFeed(path, chunk_events=1)).tobytes() == everything(KrakenFeed(path)).tobytes()


def test_a_lost_line_is_found_by_the_checksum(tmp_path, data):
    lines = data.splitlines(True)
    changes = [i for i, line in enumerate(lines) if b'"c"' in line or b'"update"' in line]
    feed = KrakenFeed(write(tmp_path / "capture", b"".join(lines[: changes[20]] + lines[changes[20] + 1 :])))
    events = everything(feed)
    assert feed.gaps == (events["kind"] == KINDS["gap"]).sum() >= 1
    assert feed.matched < feed.checked and feed.first_mismatch >= sum(map(len, lines[: changes[20]]))


def test_cut_gzip_delivers_everything_whole_first(tmp_path, data):
    packed = gzip.compress(data)
    feed = KrakenFeed(write(tmp_path / "cut.gz", packed[: len(packed) // 2]))
    parts = []
    with pytest.raises(CorruptDataError, match="must be whole"):
        parts += iter(feed)
    events = np.concatenate(parts)
    whole = everything(KrakenFeed(write(tmp_path / "whole", data)))
    assert events.tobytes() == whole[: len(events)].tobytes() and len(events) > 100


def test_malformed_lines_are_counted_or_raise(tmp_path, data):
    path = write(tmp_path / "capture", data + b"5: {\n")
    feed = KrakenFeed(path)
    everything(feed)
    assert feed.errors == {"corrupt": 1} and feed.error_log == [(len(data), "corrupt")]
    with pytest.raises(CorruptDataError, match=f"offset={len(data)} path="):
        everything(KrakenFeed(path, strict=True))


def test_options(tmp_path, data):
    path = write(tmp_path / "capture", data)
    feed = KrakenFeed(path, decimals={"XBT/USD": (2, 8)}, instruments=Instruments(["A", "B"]))
    everything(feed)
    assert feed.instruments.symbols == ["A", "B", "XBT/USD", "ETH/USD"]
    assert feed.instruments[2].tick_size == 0.01
    assert feed.matched < feed.checked  # the digits are not the published ones
    shallow = KrakenFeed(path, depth=5)
    everything(shallow)
    assert shallow.matched == 0 < shallow.checked
    with pytest.raises(ValueError, match="chunk_events must"):
        KrakenFeed(path, chunk_events=0)


def test_recognises_its_lines_and_nothing_else(tmp_path, data):
    assert KrakenFeed.recognise(data[: 1 << 16], tmp_path)
    for other in (b"", b"1,2\n", b'{"e":"trade"}\n', b'1723161253937085768 {"lastUpdateId":5,"bids":[]}\n', b"\x00" * 50):
        assert not KrakenFeed.recognise(other, tmp_path)
