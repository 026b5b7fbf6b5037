"""The command ``hft store``: what it prints, and its exit codes."""

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import closing

import numpy as np
import pytest
from click.testing import CliRunner
from makers.stores import DAY, FIRST, fill, ticks

from fastcore.records import EVENT_DTYPE, KINDS, NO_PRICE
from fastcore.tickstore import TickStore
from hft.cli import main
from hft.store import DirectoryStore
from hft.store.symbols import SymbolTable, table_of

pytest.importorskip("pyarrow")

pytestmark = pytest.mark.thin


def hft(*arguments):
    return CliRunner().invoke(main, ["store", *map(str, arguments)])


def command(*arguments):
    return [sys.executable, "-W", "error", "-c", "from hft.cli import main; main()", "store", *map(str, arguments)]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return fill(tmp_path_factory.mktemp("store") / "directory", ticks())


@pytest.fixture
def single(tmp_path):
    path = tmp_path / "one.ticks"
    with TickStore(path, "x", segment_records=2048) as store:
        store.append_many(ticks())
    return path


@pytest.fixture
def events(tmp_path):
    path = tmp_path / "one.events"
    rows = np.zeros(5, EVENT_DTYPE)
    rows["exch_ns"] = FIRST * DAY + np.arange(5)
    rows["kind"] = [KINDS["add"], KINDS["execute"], KINDS["trade"], KINDS["delete"], 99]
    rows["price"] = [10, NO_PRICE, 12, NO_PRICE, 0]
    with TickStore(path, "x", EVENT_DTYPE) as store:
        store.append_many(rows)
    return path


# ---- info, verify


def test_info_of_a_store(single):
    out = json.loads(hft("info", single, "--json").stdout)
    records = ticks()
    assert out["kind"] == "store"
    assert (out["records"], out["record"], out["record_size"], out["symbols"]) == (3000, "tick", 32, 12)
    assert (out["first_ns"], out["last_ns"]) == (int(records["timestamp_ns"][0]), int(records["timestamp_ns"][-1]))
    assert out["segments"] == 2
    assert out["file_bytes"] == os.path.getsize(single)
    assert out["synced_records"] == 3000
    assert out["writer"] == {"pid": 0, "alive": False}
    with TickStore(single, "a"):
        assert json.loads(hft("info", single, "--json").stdout)["writer"] == {"pid": os.getpid(), "alive": True}
    text = hft("info", single).stdout
    for line in ("records          3,000", "writer           none", "first            2024-03-08T00:"):
        assert line in text


def test_info_of_a_directory(root):
    out = json.loads(hft("info", root, "--json").stdout)
    assert (out["kind"], out["records"], out["days"], out["partitions"], out["symbols"]) == ("directory", 3000, 3, 12, 12)
    assert hft("info", root).exit_code == 0


def test_info_of_an_empty_store(tmp_path):
    TickStore(tmp_path / "s", "x").close()
    out = json.loads(hft("info", tmp_path / "s", "--json").stdout)
    assert (out["records"], out["first_ns"], out["symbols"]) == (0, None, 0)
    assert hft("info", tmp_path / "s").exit_code == 0
    DirectoryStore(tmp_path / "d", "a").close()
    assert hft("info", tmp_path / "d").exit_code == 0
    assert hft("verify", tmp_path / "d").exit_code == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_writer_that_was_killed_is_told(single):
    pid = os.fork()
    if pid == 0:
        writer = TickStore(single, "a")
        assert writer.mode == "a"
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    assert json.loads(hft("info", single, "--json").stdout)["writer"] == {"pid": pid, "alive": False}
    assert "it was killed" in hft("info", single).stdout


def test_verify_of_what_is_well(root, single, events):
    assert hft("verify", single).stdout == "ok: 1 files, 3,000 records, times rise\n"
    assert hft("verify", root).stdout == "ok: 12 files, 3,000 records, times rise\n"
    out = json.loads(hft("verify", root, "--json").stdout)
    assert (out["ok"], out["records"], out["damaged"]) == (True, 3000, {})
    assert hft("verify", events).exit_code == 0


def test_verify_counts_times_that_go_back(tmp_path):
    back = ticks()[::-1].copy()
    with TickStore(tmp_path / "s", "x") as store:
        store.append_many(back)
    done = hft("verify", tmp_path / "s")
    assert done.exit_code == 0
    assert "2,999 times go back" in done.stdout


def test_verify_exit_4_with_what_is_damaged(root, single, tmp_path):
    data = bytearray(single.read_bytes())
    data[65536 + 65536 + 40] ^= 1
    single.write_bytes(data)
    done = hft("verify", single, "--json")
    assert done.exit_code == 4
    out = json.loads(done.stdout)
    assert not out["ok"]
    assert out["damaged"]["one.ticks"]["reason"] == "a checksum does not match"
    assert hft("verify", single).exit_code == 4
    shutil.copytree(root, tmp_path / "d")
    shutil.copy(single, tmp_path / "d" / "2024-03-09" / "group-01.ticks")
    done = hft("verify", tmp_path / "d")
    assert done.exit_code == 4
    assert done.stdout.startswith("2024-03-09/group-01.ticks: a checksum does not match")


def test_corrupt_and_foreign_files_exit_4(root, single, tmp_path):
    (tmp_path / "picture").write_bytes(b"\x89PNG" * 5000)
    (tmp_path / "short").write_bytes(b"FCSTORE\0")
    (tmp_path / "folder").mkdir()
    for name in ("picture", "short", "folder"):
        for call in (("info",), ("verify",), ("query",), ("tail",)):
            done = hft(call[0], tmp_path / name)
            assert done.exit_code == 4, (name, call, done.output)
            assert done.stderr.startswith("Error: ")
    version = bytearray(single.read_bytes())
    version[8] = 2
    single.write_bytes(version)
    done = hft("info", single)
    assert done.exit_code == 4
    assert "version=2.0" in done.stderr


# ---- query


def test_query_prints_a_table(root):
    done = hft("query", root, "--start", "2024-03-09", "--end", "2024-03-10", "--symbol", "S3", "--limit", 2)
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["timestamp_ns", "symbol_id", "price", "volume", "symbol"]
    wanted = ticks()
    wanted = wanted[(wanted["timestamp_ns"] // DAY == FIRST + 1) & (wanted["symbol_id"] == 3)]
    assert len(lines) == 3
    assert lines[1].split()[0] == f"{np.datetime64(int(wanted['timestamp_ns'][0]), 'ns')}Z"
    assert lines[1].split()[1:] == ["3", str(wanted["price"][0]), str(wanted["volume"][0]), "S3"]
    assert "There is more" in done.stderr


def test_query_prints_csv_and_json(root, single):
    wanted = ticks()[ticks()["symbol_id"] == 3]
    rows = list(csv.DictReader(io.StringIO(hft("query", root, "--symbol", "S3", "--csv").stdout)))
    assert [float(row["price"]) for row in rows] == wanted["price"].tolist()
    assert {row["symbol"] for row in rows} == {"S3"}
    for path, symbol in ((root, "S3"), (root, 3), (single, 3)):
        rows = [json.loads(line) for line in hft("query", path, "--symbol", symbol, "--json").stdout.splitlines()]
        assert [(row["timestamp_ns"], row["price"]) for row in rows] == wanted[["timestamp_ns", "price"]].tolist()


def test_query_of_events_names_kinds_and_absent_prices(events):
    lines = hft("query", events).stdout.splitlines()
    assert [line.split()[4] for line in lines[1:]] == ["add", "execute", "trade", "delete", "99"]
    assert [line.split()[7] for line in lines[1:]] == ["10", "none", "12", "none", "0"]
    rows = [json.loads(line) for line in hft("query", events, "--json").stdout.splitlines()]
    assert rows[1]["price"] == NO_PRICE, "data stay what they are"


def test_the_limit_counts(root):
    for limit, lines, more in ((0, 0, True), (2999, 2999, True), (3000, 3000, False), (5000, 3000, False)):
        done = hft("query", root, "--limit", limit, "--json")
        assert len(done.stdout.splitlines()) == lines
        assert ("There is more" in done.stderr) == more
    assert len(hft("query", root).stdout.splitlines()) == 101, "a table ends after 100"
    assert len(hft("query", root, "--csv").stdout.splitlines()) == 3001


def test_a_query_without_an_answer(root):
    done = hft("query", root, "--start", "2030-01-01", "--csv")
    assert done.exit_code == 0
    assert done.stdout == "timestamp_ns,symbol_id,price,volume,symbol\n"
    assert done.stderr == "No record.\n"
    assert hft("query", root, "--start", "2030-01-01", "--json").stdout == ""
    assert hft("query", root, "--start", "2030-01-01").exit_code == 0


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("2024-03-08", 1709856000 * 10**9),
        ("2024-03-08T14:30", 1709908200 * 10**9),
        ("2024-03-08 14:30:01", 1709908201 * 10**9),
        ("2024-03-08T14:30:00.000000001Z", 1709908200 * 10**9 + 1),
        ("2024-03-08T09:30:00.5-05:00", 1709908200 * 10**9 + 5 * 10**8),
        ("2024-03-08T20:00+0530", 1709908200 * 10**9),
        ("1709908200000000007", 1709908200 * 10**9 + 7),
        ("-5", -5),
    ],
)
def test_times_are_read(text, ns):
    import click

    from hft.cli.store import time_ns

    option = click.Option(["--start"])
    assert time_ns(click.Context(main), option, text) == ns


@pytest.mark.parametrize("text", ["today", "2024-13-01", "2024-03-08T25:00", "1500-01-01", "2024-03-08T14:30+99:00", "1e9", ""])
def test_bad_times_exit_2(root, text):
    done = hft("query", root, f"--start={text}")
    assert done.exit_code == 2
    assert "ISO 8601" in done.stderr


def test_usage_errors_exit_2(root, single, tmp_path):
    for arguments in (
        ("query", tmp_path / "missing"),
        ("query", root, "--symbol", "NOPE"),
        ("query", single, "--symbol", "NAME"),
        ("query", single, "--symbol", str(1 << 40)),
        ("query", root, "--start", 5, "--end", 4),
        ("query", root, "--json", "--csv"),
        ("tail", root, "--until-closed"),
        ("tail", root, "-n", "-1"),
        ("export", root, tmp_path / "out.doc"),
        ("export", root, tmp_path / "out.arrow", "--compression", "snappy"),
        ("import", tmp_path / "new", tmp_path / "missing.csv"),
        ("compact", single, "--before", "2024-03-09"),
        ("compact", root, "--before", "soon"),
        ("prune", single, "--before", "2024-03-09"),
        ("nonsense",),
    ):
        done = hft(*arguments)
        assert done.exit_code == 2, (arguments, done.output)
        assert done.stdout == ""
    assert not (tmp_path / "new").exists()


def test_a_closed_pipe_ends_the_command_quietly(root):
    with subprocess.Popen(command("query", root, "--csv"), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) in (0, 1)


# ---- tail


def test_names_in_the_table_beside_a_single_store_are_known(single):
    with closing(SymbolTable(table_of(single), "a")) as table:
        table.add("AMZN", 1)
    done = hft("query", single, "--symbol", "AMZN", "--json")
    assert done.stdout == hft("query", single, "--symbol", "1", "--json").stdout != ""
    done = hft("query", single, "--symbol", "AAPL")
    assert (done.exit_code, "no such symbol: symbol='AAPL'" in done.output) == (2, True)


def test_tail_shows_the_last_records(root, single):
    wanted = ticks()[-3:]
    for path in (root, single):
        rows = [json.loads(line) for line in hft("tail", path, "-n", 3, "--json").stdout.splitlines()]
        assert [row["price"] for row in rows] == wanted["price"].tolist()
    rows = [json.loads(line) for line in hft("tail", single, "-n", 4, "--symbol", 5, "--json").stdout.splitlines()]
    assert [row["price"] for row in rows] == ticks()[ticks()["symbol_id"] == 5]["price"][-4:].tolist()
    assert hft("tail", root, "-n", 0).exit_code == 0
    assert len(hft("tail", root).stdout.splitlines()) == 11


@pytest.mark.parametrize("kind", ["single", "directory"])
def test_tail_follows_another_process_until_it_closes(tmp_path, kind):
    path = tmp_path / "store"
    store = TickStore(path, "x") if kind == "single" else DirectoryStore(path, "a")
    store.append_many(ticks(5, 1))
    with subprocess.Popen(
        command("tail", path, "-n", 2, "-f", "--until-closed", "--json", "--interval", "0.001"),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        seen = [json.loads(process.stdout.readline())["volume"] for _ in range(2)]
        for i in range(5, 20):
            store.append(FIRST * DAY + DAY - 100 + 10 * i, 1, 1.0, i)  # over midnight
            seen.append(json.loads(process.stdout.readline())["volume"])
        many = ticks(500)
        many["timestamp_ns"] += 3 * DAY
        store.append_many(many)
        store.close()
        rest = [json.loads(line)["volume"] for line in process.stdout]
        assert process.wait(30) == 0
    assert seen == [3.0, 4.0, *range(5, 20)]
    assert sorted(rest) == list(range(500))


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT")
@pytest.mark.parametrize("kind", ["single", "directory"])
def test_ctrl_c_ends_tail_with_130(root, single, kind):
    with subprocess.Popen(
        command("tail", root if kind == "directory" else single, "-f", "-n", 1, "--csv"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout.readline().startswith("timestamp_ns,")
            process.stdout.readline()
            time.sleep(0.1)
            process.send_signal(signal.SIGINT)
            out, errors = process.communicate(timeout=30)
        finally:
            process.kill()  # nothing else would end it
    assert process.returncode == 130
    assert (out, errors.strip()) == ("", "Interrupted.")


# ---- export, import


@pytest.mark.parametrize("suffix", ["parquet", "arrow", "csv", "csv.gz"])
def test_export_and_import_give_the_store_back(root, tmp_path, suffix):
    file = tmp_path / f"out.{suffix}"
    done = hft("export", root, file, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["records"] == 3000
    assert done.stderr == "", "silent where stderr is no terminal"
    done = hft("import", tmp_path / "back", file, "--directory", "--groups", 3)
    assert done.exit_code == 0, done.output
    assert done.stdout == f"3,000 records: {tmp_path / 'back'}\n"
    with DirectoryStore(tmp_path / "back") as back, DirectoryStore(root) as store:
        assert back.groups == 3
        names, old = back.symbols.names, store.symbols.names
        found, wanted = back.query(), store.query()
        assert found["timestamp_ns"].tolist() == wanted["timestamp_ns"].tolist()
        assert [names[i] for i in found["symbol_id"].tolist()] == [old[i] for i in wanted["symbol_id"].tolist()]
        assert found["price"].tolist() == wanted["price"].tolist()


def test_export_of_a_range_and_symbols(root, tmp_path):
    file = tmp_path / "out.parquet"
    done = hft(
        "export", root, file, "--symbol", "S1", "--symbol", "2", "--start", "2024-03-09", "--timestamps", "--row-group", 10
    )
    assert done.exit_code == 0, done.output
    from pyarrow import parquet

    table = parquet.read_table(file)
    assert set(table.column("symbol").to_pylist()) == {"S1", "S2"}
    assert str(table.schema.field("timestamp_ns").type) == "timestamp[ns, tz=UTC]"
    done = hft("export", root, file)
    assert done.exit_code == 1
    assert "must not exist" in done.stderr
    assert hft("export", root, file, "--force").exit_code == 0


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT")
def test_ctrl_c_during_an_export_leaves_nothing(root, tmp_path):
    code = """
import os, signal, sys
import hft.store.transfer as transfer
real = transfer.to_batch
calls = [0]
def slow(*arguments):
    calls[0] += 1
    if calls[0] == 3:
        os.kill(os.getpid(), signal.SIGINT)
    return real(*arguments)
transfer.to_batch = slow
from hft.cli import main
main(["store", "export", sys.argv[1], sys.argv[2], "--row-group", "100"])
"""
    for suffix in ("parquet", "arrow", "csv.gz"):
        done = subprocess.run(
            [sys.executable, "-c", code, str(root), str(tmp_path / f"out.{suffix}")], capture_output=True, text=True
        )
        assert done.returncode == 130, done.stderr
        assert done.stderr.strip() == "Interrupted."
    assert os.listdir(tmp_path) == []


def test_import_maps_columns(tmp_path):
    (tmp_path / "in.csv").write_text("when,px,qty\n2024-03-08T14:30:00.5,1.5,3\n2024-03-08T14:30:01,2.5,4\n")
    arguments = ("--column", "timestamp_ns=when", "--column", "price=px", "--column", "volume=qty")
    done = hft("import", tmp_path / "one", tmp_path / "in.csv", *arguments, "--symbol", 7, "--json")
    assert done.exit_code == 0, done.output
    with TickStore(tmp_path / "one") as store:
        assert store.records().tolist() == [(1709908200500000000, 7, 1.5, 3.0), (1709908201000000000, 7, 2.5, 4.0)]
    done = hft("import", tmp_path / "many", tmp_path / "in.csv", *arguments, "--symbol", "AMZN", "--directory")
    assert done.exit_code == 0, done.output
    with DirectoryStore(tmp_path / "many") as store:
        assert len(store.query(symbols=["AMZN"])) == 2


def test_import_refuses_what_it_cannot_take(root, single, tmp_path):
    (tmp_path / "back.csv").write_text("timestamp_ns,symbol_id,price,volume\n5,0,1,1\n4,0,1,1\n")
    (tmp_path / "bad.csv").write_text("timestamp_ns,symbol_id,price,volume\n5,0,1,-1\n")
    (tmp_path / "cut.parquet").write_bytes(b"PAR1")
    for arguments, code, says in (
        (("new", "back.csv"), 2, "must not go back"),
        (("new", "bad.csv"), 2, "volume must be finite"),
        (("new", "cut.parquet"), 4, "must be readable"),
        (("new", "back.csv", "--symbol", "NAME"), 2, "ids, not names"),
        (("new", "back.csv", "--groups", "3"), 2, "--directory"),
        (("new", "back.csv", "--column", "price"), 2, "FIELD=COLUMN"),
        (("one.ticks", "back.csv"), 2, "must not go back"),
        (("one.ticks", "back.csv", "--record", "event"), 4, "other records"),
        (("back.csv", "back.csv"), 4, "header"),
    ):
        done = hft("import", *(tmp_path / a if "." in a or a == "new" else a for a in arguments))
        assert done.exit_code == code, (arguments, done.output)
        assert says in done.stderr
        assert not (tmp_path / "new").exists()
    assert hft("import", tmp_path / "new", tmp_path / "back.csv", "--unordered").exit_code == 0


def test_a_store_that_is_written_is_not_imported_into(single, root, tmp_path):
    hft("export", single, tmp_path / "out.csv")
    with TickStore(single, "a"):
        done = hft("import", single, tmp_path / "out.csv")
    assert done.exit_code == 1
    assert "one writer" in done.stderr


def test_without_arrow_the_message_names_the_extra(single, tmp_path):
    code = "import sys; sys.modules['pyarrow'] = None; from hft.cli import main; main()"
    for arguments, status in ((("export", single, tmp_path / "o.csv"), 1), (("query", single, "--limit", "2", "--csv"), 0)):
        done = subprocess.run([sys.executable, "-c", code, "store", *map(str, arguments)], capture_output=True, text=True)
        assert done.returncode == status, done.stderr
        assert ("hft-fastcore[feeds]" in done.stderr) == (status == 1)


# ---- compact, prune


def test_compact_and_prune(tmp_path):
    root = fill(tmp_path / "d", ticks())
    done = hft("compact", root, "--before", "2024-03-10", "--to", "parquet", "--json")
    assert [day["day"] for day in json.loads(done.stdout)] == ["2024-03-08", "2024-03-09"]
    assert hft("compact", root, "--before", "-1").stdout.startswith("2024-03-10: ")
    assert len(hft("query", root, "--csv").stdout.splitlines()) == 3001
    with DirectoryStore(root, "a") as store:
        store.append_many(ticks()[-1:])
        done = hft("prune", root, "--before", "-1")
        assert done.exit_code == 1
        assert "left alone" in done.stderr
    assert hft("prune", root, "--before", "-1").stdout == "2024-03-10\n"
    assert json.loads(hft("info", root, "--json").stdout)["records"] == 0


def test_help_lists_the_commands():
    done = hft("--help")
    for name in ("info", "verify", "export", "import", "query", "tail", "compact", "prune"):
        assert name in done.stdout


def test_import_that_fails_leaves_no_empty_store(tmp_path):
    (tmp_path / "back.csv").write_text("timestamp_ns,symbol_id,price,volume\n5,0,1.0,1\n4,0,1.0,1\n")
    for arguments in (["d", "--directory"], ["s.ticks"]):
        done = hft("import", tmp_path / arguments[0], tmp_path / "back.csv", *arguments[1:])
        assert done.exit_code == 2
        assert "times must not go back" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["back.csv"]
    (tmp_path / "good.csv").write_text("timestamp_ns,symbol_id,price,volume\n5,0,1.0,1\n")
    assert hft("import", tmp_path / "d", tmp_path / "good.csv", tmp_path / "back.csv", "--directory").exit_code == 2
    assert "records       1" in hft("info", tmp_path / "d").stdout  # what was appended before stays
