"""``hft replay`` takes every format: made files of each, and the recorded ones."""

import gzip
import json
import random

import numpy as np
import pytest
from click.testing import CliRunner
from makers.binance import capture as binance_capture
from makers.captures import ethernet, ip4, packets_of, pcap, timed
from makers.kraken import HEAD, Session
from makers.lobster import archive

from fastcore.records import EVENT_DTYPE
from fastcore.tickstore import TickStore
from hft.cli import main
from hft.feeds.synthetic import generate, generate_events

pytest.importorskip("dpkt")
zstandard = pytest.importorskip("zstandard")
parquet = pytest.importorskip("pyarrow.parquet")
feather = pytest.importorskip("pyarrow.feather")
pytest.importorskip("databento_dbn")

from makers.dbn_files import mbo  # noqa: E402
from makers.dbn_files import write as write_dbn  # noqa: E402


def replay(*arguments):
    done = CliRunner().invoke(main, ["replay", "--json", *map(str, arguments)])
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def table():
    pyarrow = pytest.importorskip("pyarrow")
    rng = np.random.default_rng(1)
    mid = 100 + np.cumsum(rng.choice((-0.01, 0.01), 500))
    times = 1_700_000_000_000_000_000 + np.arange(500) * 10**9
    return pyarrow.table(
        {"timestamp": times, "bid": np.round(mid - 0.01, 2), "ask": np.round(mid + 0.01, 2), "bid_size": [5.0] * 500, "ask_size": [5.0] * 500}
    )


def test_compressed_itch_and_a_capture_give_what_the_file_gives(tmp_path):
    stream = generate(5_000, 2)
    (tmp_path / "day.itch").write_bytes(stream)
    (tmp_path / "day.itch.gz").write_bytes(gzip.compress(stream))
    (tmp_path / "day.itch.zst").write_bytes(zstandard.compress(stream))
    pcap(tmp_path / "day.pcap", timed([ethernet(ip4(packet)) for packet in packets_of(stream)]))
    plain, *others = (replay(tmp_path / name) for name in ("day.itch", "day.itch.gz", "day.itch.zst", "day.pcap"))
    assert plain["events"] == 5_000
    assert plain["orders"] > 0 and plain["market_volume"] > 0
    for other in others:
        for key in ("events", "messages_by_type", "orders", "fills", "position", "pnl", "market_volume"):
            assert other[key] == plain[key], key


def test_tables_of_quotes_are_quoted_on(tmp_path):
    parquet.write_table(table(), tmp_path / "quotes.parquet")
    feather.write_feather(table(), tmp_path / "quotes.arrow", compression="uncompressed")
    table().to_pandas().to_csv(tmp_path / "quotes.csv", index=False)
    found = [
        replay(tmp_path / f"quotes.{end}", "--option", "tick_size=0.01", "--strategy", "avellaneda")
        for end in ("parquet", "arrow", "csv")
    ]
    assert [f["events"] for f in found] == [500] * 3
    assert found[0]["orders"] > 10
    assert len({(f["orders"], f["fills"], f["position"], f["pnl"]) for f in found}) == 1


def test_books_by_level_and_prints(tmp_path):
    (tmp_path / "binance.txt").write_bytes(binance_capture())
    found = replay(tmp_path / "binance.txt", "--strategy", "avellaneda")
    assert (found["symbol"], found["book_errors"]) == ("XUSDT", 0)
    assert found["orders"] > 10
    (tmp_path / "kraken.txt").write_bytes(HEAD + b"".join(Session(random.Random(1), 2).lines(300)))
    assert replay(tmp_path / "kraken.txt", "--symbol", "ETH/USD")["book_errors"] == 0
    found = replay(archive(tmp_path / "XYZ_2012-06-21_34200000_57600000_2.zip"))
    assert (found["symbol"], found["messages"], found["book_errors"]) == ("XYZ", 8, 0)
    with TickStore(tmp_path / "x.ticks", "x") as store:
        store.append(1, 7, 10.0, 3.0)
    found = replay(tmp_path / "x.ticks")
    assert (found["events"], found["market_volume"]) == (1, 3)
    with TickStore(tmp_path / "events.ticks", "x", EVENT_DTYPE) as store:
        store.append_many(generate_events(2_000, 1))
    assert replay(tmp_path / "events.ticks", "--symbol", "1")["events"] == 2_000


def test_fees_are_of_units_whatever_a_lot_holds(data_dir, monkeypatch):
    monkeypatch.setenv("HFT_FEES_MAKER_USD_PER_SHARE", "-0.01")
    found = replay(data_dir / "binance/usdm_ethusdt_20240808.gz", "--strategy", "avellaneda")
    assert found["volume"] != round(found["volume"])  # a lot is 0.001 ETH
    assert found["fees"] == pytest.approx(-0.01 * found["volume"])


def test_malformed_data_stop_the_run_unless_they_are_to_be_skipped(tmp_path, monkeypatch):
    lines = binance_capture().splitlines(keepends=True)
    lines[50] = b"1723161256300000000 {no json}\n"
    (tmp_path / "bad.txt").write_bytes(b"".join(lines))
    assert CliRunner().invoke(main, ["replay", str(tmp_path / "bad.txt")]).exit_code == 4
    monkeypatch.setenv("HFT_RUN_SKIP_MALFORMED", "true")
    assert replay(tmp_path / "bad.txt")["malformed"] == 1


def test_date_of_a_table_is_an_option(tmp_path):
    (tmp_path / "eurusd.csv").write_text("".join(f"{i * 10_000},1.39{i % 10},1.40{i % 10}\n" for i in range(50)))
    done = CliRunner().invoke(main, ["replay", str(tmp_path / "eurusd.csv")])
    assert done.exit_code == 2
    assert "times since midnight need a date: the option date, a column of dates, or a file name with one" in done.stderr
    assert replay(tmp_path / "eurusd.csv", "--option", "date=2014-05-08")["events"] == 50


def test_databento_records(tmp_path):
    path = write_dbn(tmp_path / "x.dbn", mbo("RAAA", "NBAB", [2**63 - 1, 100, 110, 101], [0, 5, 6, 4], [0, 1, 2, 3]))
    found = replay(path)
    assert (found["events"], found["book_errors"], found["symbols"]) == (4, 0, 1)


def test_recorded_files_of_every_format(data_dir):
    for name, messages, strategy in (
        ("lobster/LOBSTER_SampleFile_AMZN_2012-06-21_5.zip", 155_935, "avellaneda"),
        ("binance/spot_btcusdt_20240808.gz", 41_249, "none"),
        ("dbn/glbx_mbo_2024-05-08.dbn.zst", 13_796, "none"),
        ("dbn/glbx_mbp-1_2024-07-01.dbn.zst", 2_288, "avellaneda"),
        ("dbn/glbx_trades_2024-07-01.dbn.zst", 120, "none"),
        ("fx/oanda_eurusd_20140508_quote.zip", 87_833, "none"),
        ("fx/truefx_usdjpy_ticks.csv", 1_000, "none"),
        ("pcap/totalview-itch5/AddOrderNoMpidAttributionMessage.pcap", 1, "none"),
    ):
        found = replay(data_dir / name, "--strategy", strategy)
        assert (found["messages"], found["book_errors"], found["malformed"]) == (messages, 0, 0), name


def test_symbol_of_several_is_chosen_by_name(data_dir):
    path = data_dir / "pcap/totalview-itch5-2023/AddOrderNoMPID.pcap"
    assert replay(path, "--symbol", "XLF", "--strategy", "none")["symbol"] == "XLF"
    done = CliRunner().invoke(main, ["replay", str(path)])
    assert done.exit_code == 2
    assert "the file has several symbols: choose one with --symbol (" in done.stderr
    done = CliRunner().invoke(main, ["replay", str(data_dir / "pcap/ouch5/EnterOrderMessage.pcap")])
    assert done.exit_code == 2
    assert "the file has no event of any symbol: " in done.stderr
