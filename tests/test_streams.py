"""Pipes and devices at the command line: read as streams where the format allows, refused with the rule where it does not."""

import contextlib
import gzip
import io
import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from makers.binance import capture

from fastcore.tickstore import TickStore
from hft.cli import main
from hft.feeds import _streams, open_feed
from hft.feeds._files import pieces
from hft.feeds._streams import forget_streams, is_stream
from hft.feeds.synthetic import generate

pytestmark = [pytest.mark.thin, pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")]


@pytest.fixture
def fifo(tmp_path):
    """A named pipe, and a function that begins to write into it."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writers = []

    def fill(data):
        def write():
            with contextlib.suppress(BrokenPipeError), open(path, "wb") as pipe:
                pipe.write(data)

        writers.append(threading.Thread(target=write))
        writers[-1].start()
        return path

    yield fill
    for writer in writers:
        writer.join(30)
        assert not writer.is_alive()
    forget_streams()


def hft(*arguments, stdin=None):
    return CliRunner().invoke(main, [str(a) for a in arguments], input=stdin)


def figures(done):
    assert done.exit_code == 0, done.stderr
    out = json.loads(done.stdout)
    return {name: out[name] for name in ("events", "messages_by_type", "orders", "fills", "position", "pnl", "market_volume")}


@pytest.mark.parametrize("packed", [bytes, gzip.compress])
@pytest.mark.parametrize("make", [lambda: generate(20_000, 3), lambda: capture(500)], ids=["itch", "binance"])
def test_pipe_gives_what_the_file_gives(fifo, tmp_path, make, packed):
    data = packed(make())
    (tmp_path / "file").write_bytes(data)
    expected = figures(hft("replay", tmp_path / "file", "--json", "--strategy", "avellaneda"))
    assert figures(hft("replay", fifo(data), "--json", "--strategy", "avellaneda")) == expected
    assert figures(hft("replay", "-", "--json", "--strategy", "avellaneda", stdin=data)) == expected


def test_longer_pipe_than_is_kept_is_read_through(fifo, tmp_path, monkeypatch):
    monkeypatch.setattr(_streams, "KEPT_BYTES", 1 << 18)
    data = generate(60_000, 3)
    assert len(data) > 4 * (1 << 18)
    (tmp_path / "file").write_bytes(data)
    assert figures(hft("replay", fifo(data), "--json")) == figures(hft("replay", tmp_path / "file", "--json"))


def test_stream_begins_anew_while_it_is_short(fifo, monkeypatch):
    monkeypatch.setattr(_streams, "KEPT_BYTES", 10_000)
    path = fifo(b"a" * 20_000)
    with _streams.opened(path) as first:
        assert first.read(5) == b"aaaaa"
    assert b"".join(pieces(path)) == b"a" * 20_000
    with pytest.raises(OSError, match="a stream is read once, where it is longer than 10000 bytes; use a file"):
        list(pieces(path))


@pytest.mark.parametrize("kind", ["ticks", "parquet", "zip"])
def test_format_that_needs_a_file_gets_a_copy_of_the_stream(fifo, tmp_path, kind):
    path = tmp_path / f"x.{kind}"
    if kind == "ticks":
        with TickStore(path, "x") as store:
            store.append(1, 7, 10.0, 3.0)
    elif kind == "parquet":
        parquet = pytest.importorskip("pyarrow.parquet")
        table = pytest.importorskip("pyarrow").table({"time": np.arange(9) + 1_700_000_000, "price": [1.5] * 9, "size": [2] * 9})
        parquet.write_table(table, path)
    else:
        from makers.lobster import archive

        archive(path)
    options = ["--option", "date=2012-06-21"] if kind == "zip" else []
    assert figures(hft("replay", fifo(path.read_bytes()), "--json", *options)) == figures(hft("replay", path, "--json", *options))


def test_archive_in_a_stream_is_refused_by_a_feed(fifo):
    path = fifo(b"PK\3\4" + bytes(100))
    with pytest.raises(ValueError, match="a ZIP archive must be a file, its directory is at its end: path="):
        list(pieces(path))


def test_verify_takes_pipes(fifo):
    assert json.loads(hft("verify", fifo(capture()), "--json").stdout)["matched"] == 300


@pytest.mark.parametrize(
    "name", ["dbn/glbx_mbo_2024-05-08.dbn.zst", "pcap/totalview-itch5/Multiple.Packets.pcap", "itch/AAPL_2020-01-30_first10k.itch"]
)
def test_verify_reads_a_pipe_as_often_as_it_compares(fifo, data_dir, name):
    reference = ["--reference", data_dir / "itch/AAPL_2020-01-30_first10k.book.csv"] if "itch/A" in name else []
    done = hft("verify", fifo((data_dir / name).read_bytes()), "--json", *reference)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["matched"] == found["checked"] > 0


def test_readers_of_a_stream_take_turns():
    """A reader that works ahead on its thread and another one from the beginning: each gets every byte, in order."""
    data = bytes(np.random.default_rng(1).integers(0, 256, 4_000, np.uint8))

    class Slow(io.BytesIO):
        def read(self, size):
            piece = super().read(size)
            time.sleep(1e-4)  # the other thread comes in here
            return piece

    stream = _streams._Stream(Path("pipe"), Slow(data))
    with ThreadPoolExecutor(4) as threads:
        found = threads.map(lambda reader: b"".join(iter(lambda: reader.read(7), b"")), [_streams._Reader(stream) for _ in range(4)])
        assert list(found) == [data] * 4


def test_devices_end(tmp_path):
    for device in ("/dev/zero", "/dev/null"):
        done = hft("replay", device)
        assert (done.exit_code, "the format of a file must be known" in done.stderr) == (2, True)
    assert is_stream(tmp_path / "missing") is False
    assert len(list(open_feed("/dev/null", "itch"))) == 0
    forget_streams()


def test_configuration_comes_from_a_pipe_with_a_writer(fifo, tmp_path, monkeypatch):
    (tmp_path / "day.itch").write_bytes(generate(2_000, 1))
    out = hft("replay", tmp_path / "day.itch", "--config", fifo(b"[run]\nstrategy = 'none'\n"), "--json")
    assert json.loads(out.stdout)["strategy"] == "none"
    monkeypatch.setattr("hft.config.PIPE_SECONDS", 0.1)
    os.mkfifo(tmp_path / "silent")
    done = hft("replay", tmp_path / "day.itch", "--config", tmp_path / "silent")
    assert (done.exit_code, "a pipe must have a writer within 0.1 s" in done.stderr) == (3, True)
    done = hft("replay", tmp_path / "day.itch", "--config", "/dev/zero")
    assert (done.exit_code, "a configuration must have at most 1048576 bytes" in done.stderr) == (3, True)


@pytest.mark.parametrize("command", ["info", "verify", "query", "tail", "compact --before 2024-01-01", "export {} x.csv", "import {} x.csv"])
def test_store_is_no_pipe(tmp_path, command):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "x.csv").write_text("timestamp_ns,symbol_id,price,volume\n")
    name, *rest = command.format(tmp_path / "pipe").replace("x.csv", str(tmp_path / "x.csv")).split()
    done = hft("store", name, *([] if str(tmp_path / "pipe") in rest else [tmp_path / "pipe"]), *rest)
    assert (done.exit_code, "it must be a regular file or a directory, no pipe and no device: path=" in done.stderr) == (2, True)


def test_import_from_a_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    done = hft("store", "import", tmp_path / "x.ticks", tmp_path / "pipe.csv")
    assert (done.exit_code, "no pipe and no device" in done.stderr) == (2, True)


def test_replay_into_a_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "day.itch").write_bytes(generate(2_000, 1))
    assert hft("replay", tmp_path / "day.itch", "--store", tmp_path / "pipe").exit_code == 2


@pytest.mark.parametrize(("redirection", "code"), [("replay - <&-", 2), ("replay FILE >&-", 0), ("replay FILE 2>&-", 0)])
def test_closed_descriptors_are_no_traceback(tmp_path, redirection, code):
    (tmp_path / "day.itch").write_bytes(generate(2_000, 1))
    shell = f"{sys.executable} -m hft {redirection}".replace("FILE", str(tmp_path / "day.itch"))
    done = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr


def test_reader_that_goes_away_is_no_traceback(tmp_path):
    (tmp_path / "day.itch").write_bytes(generate(2_000, 1))
    shell = f"{sys.executable} -c 'import time; time.sleep(.5)' | true; {sys.executable} -m hft replay {tmp_path / 'day.itch'} | true"
    done = subprocess.run(["sh", "-c", shell], capture_output=True, text=True)
    assert done.stderr == ""
