"""The command line: tables, JSON, exit codes, configuration and its precedence, interruption."""

import gzip
import io
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
import zipfile

import click
import numpy as np
import pytest
from click.testing import CliRunner
from makers.binance import capture
from makers.itch import Day, quoted_book, random_day
from makers.kraken import HEAD, Session

from fastcore.records import EVENT_DTYPE
from fastcore.tickstore import TickStore
from hft import report
from hft.cli import COMMANDS, main, short_help
from hft.config import Config, ConfigError, load
from hft.feeds import open_feed
from hft.feeds.synthetic import generate
from hft.run import replay

pytestmark = pytest.mark.thin

KEYS = {"events", "messages_by_type", "orders", "fills", "position", "pnl", "events_per_s", "latency_ns", "peak_rss_bytes"}


@pytest.fixture(scope="module")
def day(tmp_path_factory):
    path = tmp_path_factory.mktemp("itch") / "synthetic.itch"
    path.write_bytes(generate(5_000, 3))
    return path


def hft(*arguments, env=None):
    return CliRunner().invoke(main, [str(a) for a in arguments], env=env)


def command(*arguments):
    return [sys.executable, "-c", "from hft.cli import main; main()", *map(str, arguments)]


def test_replay_prints_one_json_object_with_the_promised_keys(day):
    done = hft("replay", day, "--json")
    assert done.exit_code == 0
    out = json.loads(done.stdout)
    assert KEYS <= set(out)
    assert out["events"] == 5_000 == sum(out["messages_by_type"].values())
    assert out["data"] == "recorded"
    assert out["orders"] > 0
    assert out["peak_rss_bytes"] > 10**6
    assert {"decode", "book", "venue", "strategy", "total"} <= set(out["latency_ns"])
    for stage in out["latency_ns"].values():
        assert set(stage) == {"p50", "p99", "p999", "max"}
        assert stage["p50"] <= stage["p99"] <= stage["p999"] <= stage["max"] * 1.001 + 1


def test_replay_prints_a_table(day):
    done = hft("replay", day)
    assert done.exit_code == 0
    for text in ("recorded data", "events", "5,000", "profit and loss", "Latency, ns", "p99.9", "strategy"):
        assert text in done.stdout
    assert done.stderr == ""


def test_gzip_and_standard_input_give_the_same(day, tmp_path):
    packed = tmp_path / "day.itch.gz"
    packed.write_bytes(gzip.compress(day.read_bytes()))
    results = [json.loads(hft("replay", path, "--json").stdout) for path in (day, packed)]
    done = subprocess.run(command("replay", "-", "--json"), input=day.read_bytes(), capture_output=True, check=True)
    results.append(json.loads(done.stdout))
    assert done.stderr == b"", "silent in a pipe"
    for name in ("events", "orders", "fills", "position", "pnl", "messages_by_type"):
        assert results[0][name] == results[1][name] == results[2][name], name


def test_strategy_none_runs_the_books_only(day):
    out = json.loads(hft("replay", day, "--strategy", "none", "--json").stdout)
    assert (out["orders"], out["fills"], out["position"], out["pnl"]) == (0, 0, 0, 0.0)
    assert "strategy" not in out["latency_ns"]


def test_store_receives_the_executions(day, tmp_path):
    path = tmp_path / "ticks"
    out = json.loads(hft("replay", day, "--store", path, "--json").stdout)
    assert out["ticks_stored"] > 0
    with TickStore(path) as store:
        assert len(store) == out["ticks_stored"]


def test_same_stretch_is_not_stored_twice(day, tmp_path):
    path = tmp_path / "ticks"
    assert hft("replay", day, "--store", path).exit_code == 0
    with TickStore(path) as store:
        ticks = len(store)
    done = hft("replay", day, "--store", path, "--strategy", "none")
    assert done.exit_code == 3
    assert "a store must end before the data begin: store=" in done.stderr
    done = hft("replay", path, "--store", path, "--strategy", "none")
    assert done.exit_code == 1
    assert "a run must not write the store that it reads: path=" in done.stderr
    with TickStore(path) as store:
        assert len(store) == ticks
    later = tmp_path / "later_2020-01-31.itch"
    later.write_bytes(day.read_bytes())
    assert json.loads(hft("replay", later, "--store", path, "--json").stdout)["ticks_stored"] == ticks


def test_store_knows_the_name_and_the_units_of_its_symbol(day, tmp_path):
    path = tmp_path / "ticks"
    out = json.loads(hft("replay", day, "--store", path, "--json").stdout)
    again = json.loads(hft("replay", path, "--json").stdout)
    assert (again["symbol"], again["market_volume"], again["tick_size"]) == ("SYNTH", out["market_volume"], out["tick_size"])
    other = tmp_path / "other_2020-01-31.itch"
    other.write_bytes(day.read_bytes().replace(b"SYNTH   ", b"OTHER   "))
    assert hft("replay", other, "--store", path).exit_code == 0
    with open_feed(path) as feed:
        assert [np.unique(a["symbol_id"]).tolist() for a in feed] == [[0, 1]]
        assert feed.instruments.symbols == ["SYNTH", "OTHER"]
    assert json.loads(hft("store", "info", path, "--json").stdout)["names"] == {"0": "SYNTH", "1": "OTHER"}
    assert "SYNTH (0), OTHER (1)" in hft("store", "info", path).stdout
    (tmp_path / "ticks.symbols").unlink()
    third = tmp_path / "x_2020-02-01.itch"
    third.write_bytes(day.read_bytes())
    done = hft("replay", third, "--store", path)
    assert (done.exit_code, "a store with ticks must have its names beside it" in done.stderr) == (3, True)
    assert not (tmp_path / "ticks.symbols").exists()
    with TickStore(path) as store:
        ticks = len(store)
    assert ticks == 2 * out["ticks_stored"]


def test_store_of_other_records_is_left_alone(day, tmp_path):
    with TickStore(tmp_path / "events", "x", EVENT_DTYPE) as store:
        store.append_many(np.zeros(5, EVENT_DTYPE))
    before = (tmp_path / "events").read_bytes()
    done = hft("replay", day, "--store", tmp_path / "events")
    assert (done.exit_code, "the store holds other records" in done.stderr) == (4, True)
    assert (tmp_path / "events").read_bytes() == before


def test_run_that_fails_leaves_no_empty_store(day, tmp_path):
    assert hft("replay", day, "--store", tmp_path / "ticks", "--symbol", "NOPE").exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_sample_chooses_what_is_timed(day):
    assert json.loads(hft("replay", day, "--sample", 0, "--json").stdout)["latency_ns"] == {}
    assert json.loads(hft("replay", day, "--sample", 1, "--json").stdout)["latency_ns"]["decode"]["max"] > 0


@pytest.mark.parametrize(("suffix", "start"), [("svg", b"<?xml"), ("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_plot_draws_a_picture(day, tmp_path, suffix, start):
    pytest.importorskip("matplotlib")
    path = tmp_path / f"run.{suffix}"
    assert hft("replay", day, "--plot", path).exit_code == 0
    assert path.read_bytes().startswith(start)


def test_plot_of_another_kind_is_a_usage_error_before_the_run(day, tmp_path):
    done = hft("replay", day, "--plot", tmp_path / "run.doc")
    assert done.exit_code == 2
    assert "plot must end in" in done.stderr


def test_demo_says_that_its_data_are_synthetic():
    done = hft("demo", "--messages", 20_000)
    assert done.exit_code == 0
    assert "synthetic data" in done.stdout
    out = json.loads(hft("demo", "--messages", 20_000, "--seed", 2, "--json").stdout)
    assert out["data"] == "synthetic"
    assert out["events"] == 20_000
    assert out["fills"] > 0


def test_demo_is_the_same_for_the_same_seed():
    first, second, other = (json.loads(hft("demo", "--messages", 5_000, "--seed", s, "--json").stdout) for s in (4, 4, 5))
    assert (first["orders"], first["pnl"]) == (second["orders"], second["pnl"])
    assert first["messages_by_type"] != other["messages_by_type"]


# ---- exit codes


def test_usage_errors_exit_2(day, tmp_path):
    assert hft("replay").exit_code == 2
    assert hft("replay", tmp_path / "missing.itch").exit_code == 2
    assert hft("replay", day, "--strategy", "luck").exit_code == 2
    assert hft("nonsense").exit_code == 2
    done = hft("replay", day, "--symbol", "NOPE")
    assert done.exit_code == 2
    assert "symbol=NOPE" in done.stderr


def test_file_with_several_symbols_asks_for_one(tmp_path):
    path = tmp_path / "two.itch"
    path.write_bytes(random_day(1, 300))
    done = hft("replay", path)
    assert done.exit_code == 2
    assert "choose one with --symbol (AAA, BBB)" in done.stderr
    assert hft("replay", path, "--symbol", "BBB").exit_code == 0


@pytest.mark.parametrize("damage", ["truncated", "unknown type", "bad length", "gzip"])
def test_corrupt_data_exit_4_with_what_was_done_so_far(day, tmp_path, damage):
    data = day.read_bytes()
    bad = {
        "truncated": data[:-3],
        "unknown type": data + b"\x00\x01z",
        "bad length": data + b"\x00\x02AA",
        "gzip": gzip.compress(data)[:-1000],
    }[damage]
    path = tmp_path / "bad.itch"
    path.write_bytes(bad)
    done = hft("replay", path, "--json")
    assert done.exit_code == 4
    assert json.loads(done.stdout)["events"] > 1_000
    assert "offset=" in done.stderr


def test_skip_malformed_goes_on(tmp_path, day):
    path = tmp_path / "bad.itch"
    path.write_bytes(b"\x00\x01z" + day.read_bytes())
    done = hft("replay", path, "--symbol", "SYNTH", "--json", env={"HFT_RUN_SKIP_MALFORMED": "true"})
    assert done.exit_code == 0
    assert json.loads(done.stdout)["malformed"] == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[run]\nsimbol = 'X'", "there is no key simbol in [run]; did you mean symbol?"),
        ("[nonsense]\na = 1", "nonsense"),
        ("[limits]\nmax_order_shares = 0", "`$.limits.max_order_shares`"),
        ("[limits]\nmax_order_shares = 'many'", "`$.limits.max_order_shares`"),
        ("[market_maker]\nhorizon_s = nan", "`$.market_maker"),
        ("[market_maker]\nrisk_aversion_per_usd = -1.0", "`$.market_maker.risk_aversion_per_usd`"),
        ("[fees]\nmaker_fee = 'much'", "maker must be a finite number: maker=much"),
        ("[fees]\nmaker_fee = '0.02%'\nmaker_usd_per_share = 0.01", "maker_fee and maker_usd_per_share must not both be given"),
        ("[limits]\nmax_drawdown_usd = nan", "`$.limits"),
        ("[limits]\nshort_sale = 'never'", "`$.limits.short_sale`"),
        ("[limits]\nmin_order_shares = 2000", "min_order_shares must not exceed max_order_shares: min_order_shares=2000.0"),
        ("not toml", "line 1"),
        ("a = " + "[" * 100_000, "sections must lie within each other"),
        ("[run]\ndate = 1000-01-01", "date must be in 1970-01-01..2261-12-31: date=1000-01-01"),
    ],
)
def test_bad_configuration_exit_3_with_the_path_of_the_key(day, tmp_path, text, says):
    path = tmp_path / "hft.toml"
    path.write_text(text)
    done = hft("replay", day, "--config", path)
    assert done.exit_code == 3
    assert says in done.stderr


def test_bad_environment_exit_3(day):
    done = hft("replay", day, env={"HFT_LIMITS_MAX_ORDER_SHARES": "lots"})
    assert done.exit_code == 3
    assert "HFT_LIMITS_MAX_ORDER_SHARES" in done.stderr


def test_loss_limit_exit_5_with_the_result(tmp_path):
    stream = quoted_book(Day(("SYNTH",))).add(3, -1, 990_000, 500).delete(1).add(4, 1, 900_000, 10)
    path = tmp_path / "loss.itch"
    path.write_bytes(bytes(stream.data))
    config = tmp_path / "hft.toml"
    config.write_text("[limits]\nmax_loss_usd = 0.5\nprice_collar_usd = 100.0\n[market_maker]\nvolatility_half_life_s = 0")
    done = hft("replay", path, "--config", config, "--json")
    assert done.exit_code == 5
    out = json.loads(done.stdout)
    assert out["stopped"]
    assert out["pnl"] < -0.5


def test_ctrl_c_exit_130_with_what_was_done_so_far():
    # A day that takes long: the pipe is never closed before the signal, and the signal comes while it is replayed.
    code = """
import os, signal, sys
from hft.feeds import synthetic
real = synthetic.iterate
def slow(messages, seed):
    chunks = list(real(messages, seed, chunk_events=1000))
    class Chunks(list):
        def __iter__(self):
            for i, chunk in enumerate(chunks):
                if i == 3:
                    os.kill(os.getpid(), signal.SIGINT)
                yield chunk
    return Chunks(chunks)
synthetic.iterate = slow
import hft.cli.replay
hft.cli.replay.list = lambda chunks: chunks
from hft.cli import main
main(["demo", "--messages", "20000", "--json"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 130, done.stderr
    out = json.loads(done.stdout)
    assert out["interrupted"]
    assert 2_000 <= out["events"] < 20_000


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT")
def test_ctrl_c_from_outside_exit_130(tmp_path):
    path = tmp_path / "long.itch"
    path.write_bytes(generate(100_000, 1))
    # Replays the same file over and over through the engine's own loop: only a signal ends it.
    code = """
import sys, itertools
import hft.feeds.itch as itch
real = itch.open_itch
def endless(path, **options):
    head = list(real(path))
    print("running", file=sys.stderr, flush=True)
    yield from itertools.chain(head, itertools.cycle([bytes(head[0][:14])]))
itch.open_itch = endless
from hft.cli import main
main(["replay", sys.argv[1], "--symbol", "SYNTH", "--json"])
"""
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stderr.readline().strip() == "running"
            time.sleep(0.5)
            process.send_signal(signal.SIGINT)
            out, errors = process.communicate(timeout=30)
        finally:
            process.kill()  # nothing else would end it
    assert process.returncode == 130, errors
    assert json.loads(out)["events"] > 100_000


# ---- what the books have missed


def test_gaps_and_changes_without_a_book_are_said(tmp_path):
    lines = capture(300).splitlines(True)
    (tmp_path / "gap.txt").write_bytes(b"".join(lines[:52] + lines[53:]))
    out = json.loads(hft("replay", tmp_path / "gap.txt", "--json").stdout)
    assert (out["gaps"], out["waiting"], out["dropped"]) == (1, 3 * 274, 0)
    assert out["stale_s"] == pytest.approx(274 * 0.05 - 0.05)  # a message every 50 ms; the one that shows the gap begins it
    assert len(out["warnings"]) == 2
    done = hft("replay", tmp_path / "gap.txt")
    assert done.exit_code == 0
    for text in ("gaps", "changes that wait for a book", "822", "book stale"):
        assert text in done.stdout
    assert "Warning: messages are missing in 1 places: the book was stale for 13.7 s" in done.stderr
    assert "Warning: 822 changes of books reached none: they need an image of the book before them" in done.stderr


def test_image_behind_a_gap_ends_the_stale_time(tmp_path):
    lines = capture(300).splitlines(True)
    image = lines[1].replace(b'"lastUpdateId":100', b'"lastUpdateId":505').replace(b'"E":1723161255000', b'"E":1723161259050')
    image = image.replace(b'"T":1723161255000', b'"T":1723161259050')
    (tmp_path / "gap.txt").write_bytes(b"".join(lines[:52] + lines[53:164] + [image] + lines[164:]))
    out = json.loads(hft("replay", tmp_path / "gap.txt", "--json").stdout)
    assert (out["gaps"], out["waiting"]) == (1, 0)
    assert 0 < out["stale_s"] < 3.0


def test_second_day_without_a_snapshot_is_said(tmp_path):
    lines = capture(300).splitlines(True)
    (tmp_path / "day2.txt").write_bytes(b"".join(lines[200:]))
    done = hft("replay", tmp_path / "day2.txt")
    assert "changes of books reached none" in done.stderr
    (tmp_path / "day1.txt").write_bytes(b"".join(lines[:200]))
    done = hft("replay", tmp_path / "day1.txt", tmp_path / "day2.txt", "--json")
    assert done.stderr == ""
    assert (json.loads(done.stdout)["waiting"], json.loads(done.stdout)["warnings"]) == (0, [])


def test_kraken_changes_behind_a_wrong_checksum_are_said(tmp_path):
    lines = Session(random.Random(1), 2).lines(300)
    at = next(i for i in range(250, 300) if b'"qty":' in lines[i])
    place = lines[at].index(b'"qty":') + 6
    lines[at] = lines[at][:place] + b"7" + lines[at][place:]
    (tmp_path / "k.txt").write_bytes(HEAD + b"".join(lines))
    out = json.loads(hft("replay", tmp_path / "k.txt", "--symbol", "XBT/USD", "--json").stdout)
    assert out["gaps"] == 1 and out["dropped"] > 0


def test_rows_that_books_refuse_are_said_by_rule(tmp_path):
    stream = Day(("SYNTH",))
    for i in range(20):
        stream.add(i, 1, 990_000 - i, 100)
    for i in range(50):
        stream.delete(1_000 + i)
    (tmp_path / "x.itch").write_bytes(bytes(stream.data))
    done = hft("replay", tmp_path / "x.itch", "--strategy", "none", "--json")
    out = json.loads(done.stdout)
    assert (out["book_errors"], out["book_errors_by_rule"]) == (50, {"unknown order": 50})
    assert f"Warning: books refused 50 of {out['events']} events (unknown order 50)" in done.stderr


# ---- options of feeds


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("decimals=8", "--option must be of its type: decimals=8: expected `"),
        ("decimals=[8]", "--option must be of its type: decimals=[8]: expected `array` of length 2"),
        ("decimal=8", "--option must name an option of kraken (chunk_events, decimals, depth, strict, wanted): 'decimal=8'"),
        ("strict=maybe", "--option must be of its type: strict=maybe: expected `bool`, got `str`"),
        ("chunk_events=0", "chunk_events must be at least 1: chunk_events=0"),
        ("chunk_events=1.5", "--option must be of its type: chunk_events=1.5: expected `int`, got `float`"),
        ("path=x", "--option must name an option of kraken"),
        ("wanted=XBT/USD", "--option must be of its type: wanted=XBT/USD: expected `array | null`, got `str`"),
        ("depth=" + "[" * 100_000, "--option must be of its type: depth="),
        ("nothing", "--option must be NAME=VALUE: 'nothing'"),
    ],
)
def test_wrong_option_says_its_rule(tmp_path, option, says):
    (tmp_path / "k.txt").write_bytes(HEAD + b"".join(Session(random.Random(1), 2).lines(30)))
    done = hft("replay", tmp_path / "k.txt", "--symbol", "XBT/USD", "--option", option)
    assert done.exit_code == 2
    assert says in done.stderr


def test_options_are_text_where_the_option_is_text(tmp_path):
    pytest.importorskip("pyarrow")
    (tmp_path / "x.csv").write_text("time,price\n1700000000,5\n1700000001,6\n")
    for option, symbol in (("symbol=123", "123"), ("symbol=true", "true"), ("symbol=2024-01-01", "2024-01-01")):
        assert json.loads(hft("replay", tmp_path / "x.csv", "--option", option, "--json").stdout)["symbol"] == symbol


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("date=1000-01-01", "date must be in 1970-01-01..2261-12-31: date=1000-01-01"),
        ("date=9999-12-31", "date must be in 1970-01-01..2261-12-31: date=9999-12-31"),
        ("date=2024-02-30", "--option must be of its type: date=2024-02-30"),
        ("time_zone=Mars/Olympus", "time_zone must be a zone of the IANA database: time_zone='Mars/Olympus'"),
        ("time_zone=../etc/passwd", "time_zone must be a zone of the IANA database: time_zone='../etc/passwd'"),
        ("time_zone=America", "time_zone must be a zone of the IANA database: time_zone='America'"),
        ("tick_size=1e-300", "tick_size must be a decimal of at most 15 digits: tick_size=1e-300"),
        ("size=99999999999999999999", "--option must be within 64 bits: size=99999999999999999999"),
    ],
)
def test_values_that_no_table_has_are_usage_errors(tmp_path, option, says):
    pytest.importorskip("pyarrow")
    (tmp_path / "x_20240308.csv").write_text("1000,1.39,1.40\n2000,1.38,1.40\n")
    done = hft("replay", tmp_path / "x_20240308.csv", "--option", option, "--option", "time_unit=s")
    assert done.exit_code == 2, done.exception
    assert says in done.stderr


@pytest.mark.parametrize("before", ["1000-01-01", "0000-00-00", "-99999", "x"])
def test_days_of_stores_that_are_none_are_usage_errors(tmp_path, before):
    from hft.store import DirectoryStore

    with DirectoryStore(tmp_path / "d", "a") as store:
        store.append_many(np.zeros(1, store.dtype))
    done = hft("store", "prune", tmp_path / "d", "--before", before)
    assert done.exit_code in (0, 2), done.exception
    assert done.exception is None or isinstance(done.exception, SystemExit)


def test_one_file_given_twice_is_a_usage_error(day):
    for command in (("replay",), ("verify", "--join")):
        done = hft(*command, day, day)
        assert (done.exit_code, "paths must name each file once: path=" in done.stderr) == (2, True)


def test_seed_beyond_64_bits_is_a_usage_error():
    assert hft("demo", "--messages", 1000, "--seed", 2**64).exit_code == 2


def archives():
    """ZIP archives that nobody can read, or that hold no single file, by what they are."""

    def packed(**members):
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w") as archive:
            for name, data in members.items():
                archive.writestr(name, data)
        return made.getvalue()

    one = packed(a=b"time,bid,ask\n1700000000,1,2\n")
    directory = one.index(b"PK\1\2")

    def changed(*bytes_):
        raw = bytearray(one)
        for place, value in bytes_:
            raw[place] = value
        return bytes(raw)

    return {
        "empty": packed(), "two": packed(a=b"x", b=b"y"), "nested": packed(a=packed(b=b"x")), "cut": one[:40],
        "encrypted": changed((6, 1), (directory + 8, 1)), "method": changed((8, 99), (directory + 10, 99)),
        "version": changed((directory + 6, 200)), "offset": changed((directory + 42, 200)),
        "nameless": changed((30, 0), (directory + 46, 0)), "bzip2": changed((8, 12), (directory + 10, 12)),
        "lzma": changed((8, 14), (directory + 10, 14)), "no text": changed((7, 8), (30, 255), (directory + 9, 8), (directory + 46, 255)),
    }  # fmt: skip


@pytest.mark.parametrize("name", archives())
@pytest.mark.parametrize("command", [["replay"], ["inspect"], ["verify"], ["replay", "--format", "csv"], ["replay", "--format", "lobster"]])
def test_odd_archives_are_no_traceback(tmp_path, name, command):
    pytest.importorskip("pyarrow")
    (tmp_path / "x_2020-01-30.zip").write_bytes(archives()[name])
    done = hft(*command, tmp_path / "x_2020-01-30.zip")
    assert done.exit_code in (2, 4), done.exception
    assert "Error: " in done.stderr


def test_data_that_end_early_are_not_an_interruption(monkeypatch):
    def ends(*arguments, **options):
        raise EOFError("Compressed file ended before the end-of-stream marker was reached")

    monkeypatch.setattr("hft.cli.verify.run_verify", ends)
    done = hft("verify", __file__, "--format", "binance")
    assert (done.exit_code, "data must be whole" in done.stderr) == (4, True)


def test_axis_of_a_picture_says_what_its_hours_are(day, data_dir):
    with open_feed(data_dir / "binance/usdm_ethusdt_20240808.gz") as feed:
        summary = replay(feed, Config(run=load(None, {}, strategy="none").run))
    assert report.hours_label(summary) == "hours since 2024-08-08 23:54:16 UTC"
    assert report.series(summary)["hours"][0] == 0.0
    with open_feed(day) as feed:
        summary = replay(feed, load(None, {}))
    assert report.hours_label(summary) == "hour of the day"
    assert 4 < report.series(summary)["hours"][0] < 20


# ---- configuration


def test_precedence_command_line_environment_file_default(tmp_path):
    path = tmp_path / "hft.toml"
    path.write_text("[run]\nsymbol = 'FILE'\nsample_every = 5\n[limits]\nmax_order_shares = 7")
    assert load(environment={}).run.symbol is None
    assert load(path, {}).run.symbol == "FILE"
    assert load(path, {"HFT_RUN_SYMBOL": "ENV", "HFT_LIMITS_MAX_ORDER_SHARES": "8"}).run.symbol == "ENV"
    config = load(path, {"HFT_RUN_SYMBOL": "ENV", "HFT_LIMITS_MAX_ORDER_SHARES": "8"}, symbol="LINE")
    assert (config.run.symbol, config.run.sample_every, config.limits.max_order_shares) == ("LINE", 5, 8)


def test_environment_of_the_options(day):
    assert "synthetic" not in hft("replay", day, env={"HFT_REPLAY_STRATEGY": "none"}).stdout
    assert json.loads(hft("replay", day, "--json", env={"HFT_REPLAY_STRATEGY": "none"}).stdout)["strategy"] == "none"


def test_configuration_is_frozen():
    with pytest.raises(AttributeError):
        Config().run.symbol = "X"  # type: ignore[misc]


def test_unreadable_configuration_says_where(tmp_path):
    with pytest.raises(ConfigError, match=r"missing\.toml"):
        load(tmp_path / "missing.toml")


def test_no_color_is_respected(day):
    done = subprocess.run(
        command("replay", day), capture_output=True, env={**os.environ, "NO_COLOR": "1", "FORCE_COLOR": "1"}, check=True
    )
    assert not re.search(rb"\x1b\[[0-9;]*(3[0-8]|9[0-7])m", done.stdout)


def test_help_lists_the_commands():
    done = hft("--help")
    assert done.exit_code == 0
    for name in ("replay", "demo", "bench"):
        assert name in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_the_help_of_each_says(name):
    command = main.get_command(click.Context(main), name)
    for limit in (20, 40, 66, 80, 200):
        assert short_help(name, limit) == command.get_short_help_str(limit)


def imported_by(*arguments):
    """Return the top-level packages, and the modules of ours, that a command has imported when it ends."""
    script = (
        "import sys\nfrom hft.cli import main\ntry:\n    main()\nfinally:\n"
        "    print(*sorted({m if m.startswith(('hft', 'fastcore')) else m.split('.')[0] for m in sys.modules}), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script, *map(str, arguments)], capture_output=True, text=True, check=True)
    return set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_help_imports_neither_a_command_nor_a_library_behind_it(arguments):
    imported = imported_by(*arguments)
    assert imported & {"numpy", "rich", "msgspec", "json"} == set()
    assert {name for name in imported if name.startswith(("hft", "fastcore"))} == {"hft", "hft.cli", "fastcore"}


def test_json_of_a_replay_does_not_import_what_draws(day):
    imported = imported_by("replay", day, "--json")
    assert "hft.cli.replay" in imported and imported & {"rich", "matplotlib"} == set()


def test_fees_and_limits_by_option(day):
    options = ("--symbol", "SYNTH", "--json")
    out = json.loads(hft("demo", "--messages", 20_000, "--json", "--maker-fee", "0.00295", "--taker-fee", "0.00295").stdout)
    assert out["fills"] > 0
    assert out["fees"] == pytest.approx(0.00295 * out["volume"], abs=1e-9)
    out = json.loads(hft("replay", day, *options, "--limit", "max_order_shares=50", "--limit", "prevent_self_trade=true").stdout)
    assert (out["orders"], out["refusals"]) == (0, {"size limit": out["rejected"]})
    done = hft("replay", day, *options, "--limit", "max_order_shares")
    assert (done.exit_code, "--limit must be NAME=VALUE: 'max_order_shares'" in done.stderr) == (2, True)
    assert hft("replay", day, *options, "--maker-fee", "much").exit_code == 3
