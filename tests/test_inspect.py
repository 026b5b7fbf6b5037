"""``hft inspect``: every fact that it reports, on recorded files, made ones and damaged copies."""

import gzip
import json
import shlex
from dataclasses import fields
from datetime import date

import numpy as np
import pytest
from click.testing import CliRunner
from makers.binance import capture
from makers.itch import Day, random_day

from fastcore.records import EVENT_DTYPE, KINDS, TICK_DTYPE
from fastcore.tickstore import TickStore
from hft.cli import main
from hft.feeds import FORMATS, FormatError
from hft.feeds.synthetic import generate
from hft.inspect import IN_WORDS, Inspection, SymbolFacts, inspect

pytestmark = pytest.mark.thin

START = 1_700_000_000 * 10**9


def hft(*arguments):
    return CliRunner().invoke(main, list(map(str, arguments)))


def the_one(found, word):
    """The suspicion whose words have this one in them; None where there is none."""
    return next((s for s in found.suspicions if word in s.what), None)


def table(path, rows, header="time,bid,ask"):
    pytest.importorskip("pyarrow")
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def quote_rows(*quotes):
    """Rows of (second, bid, ask)."""
    return [f"{1_700_000_000_000 + int(second * 1000)},{bid},{ask}" for second, bid, ask in quotes]


# ---- recorded files


def test_recorded_files_say_what_they_hold(data_dir):
    found = inspect(data_dir / "itch/AMZN_2012-06-21_L5.itch.gz")
    assert (found.format, found.packed, found.file_bytes) == ("itch", "gzip", 2_031_080)
    assert (found.events, found.kinds["add"], found.messages["A"]) == (233_939, 111_231, 111_231)
    (amzn,) = found.symbols
    assert (amzn.symbol, amzn.tick_size, amzn.lot_size, amzn.increment, amzn.events) == ("AMZN", 0.0001, 1.0, 0.01, 233_934)
    assert (amzn.first_ns, amzn.last_ns) == (found.first_ns, found.last_ns) == (1340285400017458617, 1340308799959359650)
    assert (amzn.crossed_share, amzn.stale_share) == (0.0, 0.0)
    assert (found.longest_silence_ns, found.silence_begins_ns) == (19_877_198_332, 1340305465589899331)
    assert found.suspicions == [] and found.book_errors == {} and found.corrupt is None


def test_recorded_capture_was_made_by_a_clock_that_is_behind(data_dir):
    found = inspect(data_dir / "binance/spot_btcusdt_20240808.gz")
    assert (found.clock_smallest_ns, found.clock_largest_ns) == (-1_274_761_454, -1_038_259_606)
    clock = the_one(found, "received before they happen")
    assert (clock.unit, clock.largest) == ("s", pytest.approx(1.274761454))
    assert the_one(found, "book had already").count == 2  # diffs from before the snapshot
    assert (found.symbols[0].increment, found.gaps, found.waiting) == (0.01, 0, 0)


def test_recorded_quotes_of_a_dealer_are_crossed(data_dir):
    found = inspect(data_dir / "fx/fxcm_eurusd_20140508_quote.zip")
    assert (found.what, found.packed) == ("text table of quotes", "ZIP")
    assert found.symbols[0].crossed_share == pytest.approx(0.02505, abs=1e-4)
    assert the_one(found, "crossed").largest == pytest.approx(2.505, abs=1e-2)
    oanda = inspect(data_dir / "fx/oanda_eurusd_20140508_quote.zip")
    assert the_one(oanda, "repeat the one before").count == 1


def test_recorded_files_of_all_formats_are_read_and_the_command_replays_them(data_dir):
    names = [
        "lobster/LOBSTER_SampleFile_AMZN_2012-06-21_1.zip", "dbn/glbx_mbo_2024-05-08.dbn.zst", "dbn/glbx_trades_2024-07-01.dbn.zst",
        "dbn/glbx_mbp-1_2024-07-01.dbn.zst", "pcap/totalview-itch5/Multiple.Packets.pcap", "fx/truefx_usdjpy_ticks.csv",
        "itch/directory_2019-12-30_first1000.itch",
    ]  # fmt: skip
    for name in names:
        found = inspect(data_dir / name)
        assert found.events > 0 and found.what == IN_WORDS[found.format] + (" of quotes" if found.format == "csv" else "")
        words = shlex.split(found.command)
        assert words[0] == "hft"
        done = hft(*words[1:], "--strategy", "none", "--json")
        assert done.exit_code == 0, done.stderr
        assert json.loads(done.stdout)["events"] == found.events


# ---- facts, on damaged copies


def test_every_format_has_a_name_in_words():
    assert IN_WORDS.keys() == FORMATS.keys()


def test_malformed_messages_and_the_first_of_them(tmp_path):
    (tmp_path / "x.itch").write_bytes(generate(2_000, 1) + b"\0\1z\0\1z")
    found = inspect(tmp_path / "x.itch")
    assert found.malformed == {"unknown message type": 2}
    assert found.first_malformed.startswith("unknown message type")
    assert hft("inspect", tmp_path / "x.itch").exit_code == 4


def test_file_that_is_cut_tells_what_is_whole(tmp_path):
    (tmp_path / "x.itch.gz").write_bytes(gzip.compress(generate(20_000, 1))[:-5000])
    found = inspect(tmp_path / "x.itch.gz")
    assert found.events > 10_000
    assert "it ends in the middle" in found.corrupt
    done = hft("inspect", tmp_path / "x.itch.gz")
    assert (done.exit_code, "ends early" in done.stdout) == (4, True)


def test_gap_stale_share_and_what_waits(tmp_path):
    lines = capture(300).splitlines(True)
    (tmp_path / "x.txt").write_bytes(b"".join(lines[:52] + lines[53:]))
    found = inspect(tmp_path / "x.txt")
    assert (found.gaps, found.waiting, found.dropped, found.kinds["gap"]) == (1, 3 * 274, 0, 1)
    assert found.symbols[0].stale_share == pytest.approx(273 / 299, abs=0.01)
    assert the_one(found, "stale").largest == pytest.approx(100 * 273 / 299, abs=1)
    good = tmp_path / "good.txt"
    good.write_bytes(b"".join(lines))
    assert inspect(good).symbols[0].stale_share == 0.0 and inspect(good).gaps == 0


def test_crossed_and_locked_shares_are_shares_of_time(tmp_path):
    rows = quote_rows((0, 1.0, 1.1), (1, 1.1, 1.1), (3, 1.2, 1.1), (6, "", 1.1), (10, 1.0, 1.1), (14, 1.0, 1.2))
    (facts,) = inspect(table(tmp_path / "x.csv", rows)).symbols
    # Open 1 s and from 10 to 14 s, locked 2 s, crossed 3 s; 4 s without a bid do not count.
    assert (facts.locked_share, facts.crossed_share) == (pytest.approx(2 / 10), pytest.approx(3 / 10))


def test_shares_of_many_symbols_are_those_of_each(tmp_path):
    rng = np.random.default_rng(1)
    rows, alone = [], {name: [] for name in "ABC"}
    for i in range(3000):
        name = "ABC"[rng.integers(3)]
        bid = 100 + rng.integers(-5, 5)
        row = f"{1_700_000_000_000 + i * 7},{bid / 100},{(bid + rng.integers(-1, 3)) / 100}"
        rows.append(f"{row},{name}")
        alone[name].append(row)
    together = {f.symbol: f for f in inspect(table(tmp_path / "all.csv", rows, "time,bid,ask,symbol")).symbols}
    for name in "ABC":
        (facts,) = inspect(table(tmp_path / f"{name}.csv", alone[name])).symbols
        other = together[name]
        assert (facts.events, facts.first_ns, facts.last_ns, facts.increment) == (
            other.events, other.first_ns, other.last_ns, other.increment,
        )  # fmt: skip
        assert (facts.crossed_share, facts.locked_share) == (pytest.approx(other.crossed_share), pytest.approx(other.locked_share))


def test_times_that_go_back(tmp_path):
    rows = quote_rows(*((i, 1.0, 1.1 + i / 100) for i in (0, 1, 2, 5, 3, 4, 6)))
    found = inspect(table(tmp_path / "x.csv", rows))
    back = the_one(found, "times go back")
    assert (back.count, back.largest, back.unit) == (2, pytest.approx(2.0), "s")
    assert back.first == "2023-11-14T22:13:23.000000000Z by 2 s"
    assert (found.longest_silence_ns, found.silence_begins_ns) == (3 * 10**9, START + 2 * 10**9)
    assert (found.first_ns, found.last_ns) == (START, START + 6 * 10**9)


def test_receive_times_that_go_back(tmp_path):
    lines = capture(100).splitlines(True)
    lines[51] = str(int(lines[51].split()[0]) - 10**9).encode() + lines[51][lines[51].index(b" ") :]  # best prices: one event
    (tmp_path / "x.txt").write_bytes(b"".join(lines))
    back = the_one(inspect(tmp_path / "x.txt"), "receive times go back")
    assert (back.count, back.largest) == (1, pytest.approx(0.95, abs=0.06))


def events_of(tmp_path, rows):
    """A store of events made of (second, kind, price, size, match_id)."""
    events = np.zeros(len(rows), EVENT_DTYPE)
    for event, (second, kind, price, size, match_id) in zip(events, rows, strict=True):
        event["exch_ns"], event["kind"] = START + int(second * 10**9), KINDS[kind]
        event["price"], event["size"], event["match_id"] = price, size, match_id
    with TickStore(tmp_path / "x.ticks", "x", EVENT_DTYPE) as store:
        store.append_many(events)
    return tmp_path / "x.ticks"


def test_events_that_repeat_and_trades_that_come_again_or_are_empty(tmp_path):
    rows = [(i, "trade", 1000, 5, 100 + i) for i in range(10)]
    rows[4:4] = [rows[3]]  # bit for bit
    rows.append((12, "trade", 1001, 7, 102))  # an id of before
    rows.append((13, "trade", 1001, 0, 0))
    found = inspect(events_of(tmp_path, rows))
    assert (the_one(found, "repeat the one before").count, the_one(found, "repeat").first) == (1, "2023-11-14T22:13:23.000000000Z")
    again = the_one(found, "id that was there before")
    assert (again.count, again.first) == (2, "0 2023-11-14T22:13:23.000000000Z id=103")
    assert (the_one(found, "no size").count, the_one(found, "no size").first) == (1, "0 2023-11-14T22:13:33.000000000Z")


def test_events_of_no_symbol_and_of_unknown_kinds_are_counted(tmp_path):
    events = np.zeros(3, EVENT_DTYPE)
    events["exch_ns"], events["kind"], events["symbol_id"] = START, [KINDS["trade"], KINDS["trade"], 200], [0, 2**32 - 1, 0]
    events["price"], events["size"] = 100, 1
    with TickStore(tmp_path / "x.ticks", "x", EVENT_DTYPE) as store:
        store.append_many(events)
    found = inspect(tmp_path / "x.ticks")
    assert (found.events, found.kinds, found.symbols[0].events) == (2, {"trade": 2}, 1)


def test_repeated_events_are_found_across_arrays(tmp_path):
    ticks = np.zeros(70_000, TICK_DTYPE)
    ticks["timestamp_ns"], ticks["price"], ticks["volume"] = START + np.arange(70_000) * 10**6, 1.5, 1
    ticks[65_536] = ticks[65_535]
    with TickStore(tmp_path / "x.ticks", "x") as store:
        store.append_many(ticks)
    assert the_one(inspect(tmp_path / "x.ticks"), "repeat").count == 1


def test_prices_far_from_the_one_before(tmp_path):
    prices = [100.0, 100.5, 150.0, 100.4, 100.3]
    rows = [f"{1_700_000_000_000 + i},{price},1" for i, price in enumerate(prices)]
    found = inspect(table(tmp_path / "t.csv", rows, "time,price,size"))
    far = the_one(found, "trades are more than 20% away")
    assert (far.count, far.largest, far.unit) == (2, pytest.approx(150 / 100.4), "times")
    assert far.first == "t 2023-11-14T22:13:20.002000000Z 1005 1500 ticks"
    rows = quote_rows(*((i, price, price + 0.1) for i, price in enumerate(prices)))
    far = the_one(inspect(table(tmp_path / "q.csv", rows)), "middle prices are more than 20% away")
    assert (far.count, far.largest) == (2, pytest.approx(150.05 / 100.45))
    # A spread that says nothing of a price is none.
    rows = quote_rows((0, 100, 100.1), (1, 1, 199_999), (2, 100, 100.1))
    assert the_one(inspect(table(tmp_path / "wide.csv", rows)), "middle") is None


def test_times_before_1990_and_in_the_future(tmp_path):
    (tmp_path / "nodate.itch").write_bytes(generate(2_000, 1))
    found = inspect(tmp_path / "nodate.itch")
    early = the_one(found, "before 1990")
    assert early.count == found.events
    assert "--option date=" in early.what
    assert inspect(tmp_path / "nodate.itch", options={"date": date(2024, 3, 8)}).suspicions == []
    rows = [f"{4_000_000_000_000 + i},1,2" for i in range(3)]
    assert the_one(inspect(table(tmp_path / "x.csv", rows)), "in the future").count == 3


def test_trades_of_two_streams_come_twice(tmp_path):
    now = 1_723_161_255_000
    trade = {"E": now, "s": "XUSDT", "p": "100.00", "q": "1.000", "T": now, "m": True}
    lines = [{**trade, "e": "trade", "t": 5}, {**trade, "e": "aggTrade", "a": 7, "f": 5, "l": 5}]
    (tmp_path / "x.txt").write_text("".join(f"{now}000000 {json.dumps(line, separators=(',', ':'))}\n" for line in lines))
    assert the_one(inspect(tmp_path / "x.txt"), "as trade and as aggTrade").count == 1


def test_events_that_books_refuse(tmp_path):
    stream = Day(("SYNTH",)).add(1, 1, 990_000, 100).delete(1).delete(2).delete(3)
    (tmp_path / "x.itch").write_bytes(bytes(stream.data))
    assert inspect(tmp_path / "x.itch").book_errors == {"unknown order": 2}


def test_symbols_are_listed_by_their_events_and_the_command_chooses_one(tmp_path):
    (tmp_path / "two words.itch").write_bytes(random_day(1, 300))
    found = inspect(tmp_path / "two words.itch")
    assert [f.symbol for f in found.symbols] == [f.symbol for f in sorted(found.symbols, key=lambda f: -f.events)]
    assert sum(f.events for f in found.symbols) <= found.events
    assert shlex.split(found.command) == ["hft", "replay", str(tmp_path / "two words.itch"), "--symbol", found.symbols[0].symbol]
    assert hft(*shlex.split(found.command)[1:]).exit_code == 0


def test_command_repeats_format_and_options(tmp_path):
    path = table(tmp_path / "x", [f"{i * 1000},1.39{i},1.40{i}" for i in range(9)], "a,b,c")
    columns = '{"time":"a","bid":"b","ask":"c"}'
    options = [word for option in ("date=2014-05-08", "time_unit=ms", f"columns={columns}") for word in ("--option", option)]
    done = hft("inspect", path, "--json", "--format", "csv", *options)
    assert done.exit_code == 0, done.stderr
    words = shlex.split(json.loads(done.stdout)["command"])
    assert words[3:5] == ["--format", "csv"]
    assert json.loads(hft(*words[1:], "--json").stdout)["events"] == 9


# ---- text and JSON


def test_json_has_every_fact_and_the_text_fits_80_columns(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.txt").write_bytes(capture())
    out = json.loads(hft("inspect", "x.txt", "--json").stdout)
    assert out.keys() == {f.name for f in fields(Inspection)}
    assert out["symbols"][0].keys() == {f.name for f in fields(SymbolFacts)}
    done = hft("inspect", "x.txt")
    assert done.exit_code == 0
    assert max(map(len, done.stdout.splitlines())) <= 80
    for text in ("lines of Binance streams", "bookTicker 300", "XUSDT", "clocks", "gaps", "replay     hft replay x.txt"):
        assert text in done.stdout


def test_several_files_and_the_standard_input(tmp_path):
    (tmp_path / "x.txt").write_bytes(capture())
    (tmp_path / "empty.itch").write_bytes(b"")
    done = hft("inspect", "--json", tmp_path / "x.txt", tmp_path / "empty.itch")
    first, empty = (json.loads(line) for line in done.stdout.splitlines())
    assert (empty["events"], empty["first_ns"], empty["symbols"]) == (0, None, [])
    assert hft("inspect", tmp_path / "empty.itch").exit_code == 0
    done = CliRunner().invoke(main, ["inspect", "-", "--json"], input=capture())
    out = json.loads(done.stdout)
    assert {**out, "path": "", "command": "", "file_bytes": 0} == {**first, "path": "", "command": "", "file_bytes": 0}


def test_progress_is_told(tmp_path):
    (tmp_path / "x.itch").write_bytes(generate(60_000, 1))
    told = []
    inspect(tmp_path / "x.itch", progress=lambda done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1] == (tmp_path / "x.itch").stat().st_size
    assert len(told) > 1


def test_unknown_files_are_usage_errors(tmp_path):
    (tmp_path / "noise").write_bytes(bytes(range(256)))
    with pytest.raises(FormatError, match="the format of a file must be known"):
        inspect(tmp_path / "noise")
    assert hft("inspect", tmp_path / "noise").exit_code == 2
