"""``hft verify``: the exchange's own references agree with the books, and data that were tampered with do not."""

import csv
import gzip
import json
import random
import shutil
import zipfile

import pytest
from click.testing import CliRunner
from makers.binance import capture
from makers.kraken import HEAD, Session

from fastcore.tickstore import TickStore
from hft.cli import main
from hft.feeds.synthetic import generate
from hft.verify import ReferenceMissing, verify

pytestmark = pytest.mark.thin


def hft(*arguments):
    return CliRunner().invoke(main, ["verify", *map(str, arguments)])


def outcomes(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


LOBSTER = "lobster/LOBSTER_SampleFile_{}.zip"


# ---- the references of the recorded data


def test_lobster_rows_agree(data_dir):
    names = {"AAPL_2012-06-21_1": 118_497, "AMZN_2012-06-21_1": 57_515, "AMZN_2012-06-21_5": 155_935}
    done = hft("--json", *(data_dir / LOBSTER.format(name) for name in names))
    assert done.exit_code == 0
    assert [(o["format"], o["checked"], o["matched"]) for o in outcomes(done)] == [("lobster", n, n) for n in names.values()]


def test_itch_final_book_and_row_map_agree(data_dir):
    files = [data_dir / "itch" / name for name in ("AAPL_2020-01-30_first10k.itch", "AMZN_2012-06-21_L5.itch.gz")]
    done = outcomes(hft("--json", *files))
    assert [(o["checked"], o["matched"], o["messages"]) for o in done] == [(142, 142, 10_000), (155_935, 155_935, 233_939)]
    reference = data_dir / "itch/AMZN_2012-06-21_L5.rowmap.csv.gz"
    assert outcomes(hft("--json", files[1], "--reference", reference))[0]["matched"] == 155_935


def test_binance_books_agree_with_the_best_prices_of_the_venue(data_dir):
    done = outcomes(hft("--json", *sorted((data_dir / "binance").glob("*.gz"))))
    assert [(o["checked"], o["matched"], o["gaps"]) for o in done] == [(3449, 3449, 0), (6547, 6547, 0), (6580, 6580, 0)]


def test_captures_agree_with_another_reading(data_dir):
    done = outcomes(hft("--json", *sorted((data_dir / "pcap").glob("*/*.pcap"))))
    assert len(done) == 29
    assert all(o["checked"] == o["matched"] and o["malformed"] == 0 for o in done)
    # OUCH; twelve types in five messages each, two whose messages are two events, one of a single message; eight files more
    assert sum(o["checked"] for o in done) == 4 + 12 * 5 + 2 * 10 + 1 + 47
    assert [o["gaps"] for o in done if "Multiple" in o["path"]] == [1]


def test_dbn_files_agree_with_databento_dbn(data_dir):
    files = [p for p in sorted((data_dir / "dbn/databento").iterdir()) if p.suffix != ".dbz"]  # the format before DBN
    done = outcomes(hft("--json", *files, data_dir / "dbn/glbx_trades_2024-07-01.dbn.zst"))
    assert len(done) == 72
    assert all(o["checked"] == o["matched"] == o["messages"] for o in done)
    assert sum(o["checked"] for o in done) == 158 + 120
    assert hft(data_dir / "dbn/databento/test_data.mbo.dbz").exit_code == 2


def test_clocks_of_two_venues_are_five_hours_apart(data_dir):
    names = (f"fx/{venue}_eurusd_20140508_quote.zip" for venue in ("oanda", "fxcm"))
    mine, other = (data_dir / name for name in names)
    (found,) = outcomes(hft("--json", mine, "--reference", other, "--at-least", 99.9))
    assert "clock offset -18000.000 s (-5.0000 h)" in found["reference"]
    assert found["checked"] > 50_000
    assert found["matched"] / found["checked"] > 0.999


# ---- what was tampered with is found


def rewritten(path, to, change):
    """A copy of an archive whose text files have gone through `change(name, rows)`."""
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            raw = source.read(name)
            if name.endswith(".csv"):
                raw = "\n".join(change(name, raw.decode().splitlines()[:2000])).encode() + b"\n"
            target.writestr(name, raw)
    return to


@pytest.mark.parametrize("file", ["orderbook", "message"])
def test_altered_lobster_row_is_found(data_dir, tmp_path, file):
    def change(name, rows):
        if file in name:
            fields = rows[1000].split(",")
            fields[3] = str(int(fields[3]) + 1)  # a size, in both files
            rows[1000] = ",".join(fields)
        return rows

    path = rewritten(data_dir / LOBSTER.format("AMZN_2012-06-21_5"), tmp_path / "AMZN_2012-06-21_5.zip", change)
    done = hft("--json", path)
    assert done.exit_code == 1
    (found,) = outcomes(done)
    assert found["checked"] == 2000
    assert 1995 <= found["matched"] < 2000
    assert found["first_mismatch"].startswith("row=1000: ")


def test_altered_final_book_is_found(data_dir, tmp_path):
    path = shutil.copy(data_dir / "itch/AAPL_2020-01-30_first10k.itch", tmp_path)
    rows = list(csv.reader((data_dir / "itch/AAPL_2020-01-30_first10k.book.csv").read_text().splitlines()))
    rows[5][2] = str(int(rows[5][2]) + 1)
    (tmp_path / "AAPL_2020-01-30_first10k.book.csv").write_text("\n".join(map(",".join, rows)) + "\n")
    done = hft(path)
    assert done.exit_code == 1
    assert "first mismatch: side=B" in done.stdout
    (found,) = outcomes(hft("--json", path, "--at-least", 99))
    assert (found["checked"], found["matched"]) == (142, 141)


def test_altered_ticker_of_a_capture_is_found(tmp_path):
    lines = capture()
    good = tmp_path / "good.txt"
    good.write_bytes(lines)
    whole = verify(good)
    assert whole.checked == whole.matched == 300
    at = lines.rindex(b'"B":"')
    bad = tmp_path / "bad.txt.gz"
    bad.write_bytes(gzip.compress(lines[:at] + b'"B":"9' + lines[at + 5 :]))
    found = verify(bad)
    assert (found.checked, found.matched) == (300, 299)
    assert found.first_mismatch == f"symbol=XUSDT update id={100 + 5 * 300}"


def test_checksums_of_kraken_agree_and_an_altered_size_is_found(tmp_path):
    lines = Session(random.Random(1), 2).lines(300)
    good = tmp_path / "good.txt"
    good.write_bytes(HEAD + b"".join(lines))
    whole = verify(good)
    assert (whole.format, whole.reference) == ("kraken", "CRC32")
    assert whole.checked == whole.matched > 200
    at = next(i for i in range(250, 300) if b'"qty":' in lines[i])
    place = lines[at].index(b'"qty":') + 6
    lines[at] = lines[at][:place] + b"7" + lines[at][place:]
    (tmp_path / "bad.txt").write_bytes(HEAD + b"".join(lines))
    found = verify(tmp_path / "bad.txt")
    assert found.matched < found.checked
    assert found.gaps == 1
    assert found.first_mismatch.startswith("line at offset=")


# ---- what cannot be compared


def test_file_without_a_reference_is_a_usage_error(tmp_path):
    path = tmp_path / "day.itch"
    path.write_bytes(generate(2_000, 1))
    done = hft(path)
    assert done.exit_code == 2
    assert "an ITCH file needs a final book or a row map as reference" in done.stderr
    (tmp_path / "noise.bin").write_bytes(bytes(range(256)))
    assert hft(tmp_path / "noise.bin").exit_code == 2
    with TickStore(tmp_path / "x.ticks", "x") as store:
        store.append(1, 0, 1.0, 1.0)
    with pytest.raises(ReferenceMissing, match="format must be one that can be verified"):
        verify(tmp_path / "x.ticks")


def test_file_that_is_cut_is_corrupt(data_dir, tmp_path):
    raw = (data_dir / "binance/spot_btcusdt_20240808.gz").read_bytes()
    (tmp_path / "cut.gz").write_bytes(raw[: len(raw) // 2])
    assert hft(tmp_path / "cut.gz").exit_code == 4


# ---- what was not compared does not pass


def test_diffs_behind_a_gap_that_no_image_closes_count_against_the_share(tmp_path):
    lines = capture(300).splitlines(True)
    path = tmp_path / "gap.txt"
    path.write_bytes(b"".join(lines[:52] + lines[53:]))  # the 26th diff of 300
    found = verify(path)
    assert (found.checked, found.matched, found.unchecked, found.gaps) == (25, 25, 274, 1)
    assert found.share == 25 / 299
    done = hft(path)
    assert done.exit_code == 1
    assert "not compared, for want of a book: 274" in done.stdout
    assert hft(path, "--at-least", 8).exit_code == 0


def test_diffs_of_one_symbol_do_not_count_against_another(tmp_path):
    good, bad = capture(300).splitlines(True), capture(300, 6).replace(b"XUSDT", b"YUSDT").replace(b"xusdt", b"yusdt").splitlines(True)
    for lines, symbol in ((good, b"XUSDT"), (bad, b"YUSDT")):
        lines[1] = lines[1].replace(b'{"lastUpdateId"', b'{"symbol":"' + symbol + b'","lastUpdateId"')
    path = tmp_path / "two.txt"
    path.write_bytes(b"".join(good + bad[:52] + bad[53:]))
    assert verify(path, symbol="XUSDT").share == 1.0
    assert verify(path, symbol="YUSDT").unchecked == 274
    assert verify(path).unchecked == 274
    with pytest.raises(ReferenceMissing, match="the file lists no such symbol: symbol=ZUSDT symbols=XUSDT, YUSDT$"):
        verify(path, symbol="ZUSDT")


def test_changes_behind_a_wrong_checksum_count_against_the_share(tmp_path):
    lines = Session(random.Random(1), 2).lines(300)
    at = next(i for i in range(250, 300) if b'"qty":' in lines[i])
    place = lines[at].index(b'"qty":') + 6
    lines[at] = lines[at][:place] + b"7" + lines[at][place:]
    (tmp_path / "bad.txt").write_bytes(HEAD + b"".join(lines))
    found = verify(tmp_path / "bad.txt")
    assert found.unchecked > 0
    assert found.share == found.matched / (found.checked + found.unchecked)


def test_file_of_which_nothing_could_be_compared_fails(tmp_path):
    no_tickers = tmp_path / "diffs.txt"
    no_tickers.write_bytes(b"".join(line for line in capture().splitlines(True) if b"bookTicker" not in line))
    assert verify(no_tickers).share == 0.0
    done = hft(no_tickers)
    assert (done.exit_code, "nothing was compared" in done.stdout) == (1, True)
    assert hft(no_tickers, "--at-least", 0).exit_code == 1


@pytest.mark.parametrize("what", ["lines", "one line", "lobster", "itch"])
def test_malformed_data_are_corrupt_whatever_else_agrees(data_dir, tmp_path, what):
    lines = capture().splitlines(True)
    path = tmp_path / "bad.txt"
    if what == "lines":
        path.write_bytes(b"".join(line[:40] + b"\n" for line in lines))
        path = [path, "--format", "binance"]
    elif what == "one line":
        path.write_bytes(b"".join([*lines[:-1], lines[-1][:-20] + b"\n"]))
        path = [path]
    elif what == "lobster":
        name = "AMZN_2012-06-21_34200000_57600000_1.zip"
        path = [rewritten(data_dir / LOBSTER.format("AMZN_2012-06-21_1"), tmp_path / name,
                          lambda name, rows: [*rows, "x" if "message" in name else ",".join("1" * 4)])]  # fmt: skip
    else:
        raw = (data_dir / "itch/AAPL_2020-01-30_first10k.itch").read_bytes()
        path = tmp_path / "AAPL.itch"
        path.write_bytes(raw + b"\0\1z")
        path = [path, "--reference", data_dir / "itch/AAPL_2020-01-30_first10k.book.csv"]
    done = hft("--json", *path)
    assert done.exit_code == 4
    assert outcomes(done)[0].get("malformed") or "must have the same rows" in done.stderr


# ---- references are what they should be


@pytest.mark.parametrize(
    ("text", "code", "rule"),
    [
        ("a,b\n1,2\n", 2, "a reference must be a final book (side,price_e4,shares,orders), or a row map"),
        ("", 2, "a reference must be a final book"),
        ("\xff\xfe", 2, "a reference must be a table in ASCII"),
        ("side,price_e4,shares,orders\nB,1,2\n", 4, "a row of a reference must have 3 whole numbers"),
        ("side,price_e4,shares,orders\nB,1,2,many\n", 4, "a row of a reference must have 3 whole numbers"),
        ("side,price_e4,shares,orders\nX,1,2,3\n", 4, "a final book must have each level once, of side B or S"),
        ("side,price_e4,shares,orders\nB,1,2,3\nB,1,2,3\n", 4, "a final book must have each level once, of side B or S"),
        ("lobster_row,itch_messages\n1,2\n", 4, "a row map must count rows from 0"),
        ("lobster_row,itch_messages\n0,2\n1,1\n", 4, "a row map must count rows from 0, with messages that do not decrease"),
    ],
)
def test_reference_of_another_kind_or_damaged_is_refused(data_dir, tmp_path, text, code, rule):
    (tmp_path / "reference.csv").write_bytes(text.encode("latin-1"))
    sample = data_dir / LOBSTER.format("AMZN_2012-06-21_5")
    done = hft(data_dir / "itch/AAPL_2020-01-30_first10k.itch", "--reference", tmp_path / "reference.csv",
               *(("--reference", sample) if text.startswith("lobster") else ()))  # fmt: skip
    assert done.exit_code == code
    assert rule in done.stderr


def test_reference_may_be_an_archive_and_is_whole(data_dir, tmp_path):
    file, book = (data_dir / "itch" / f"AAPL_2020-01-30_first10k.{end}" for end in ("itch", "book.csv"))
    with zipfile.ZipFile(tmp_path / "book.zip", "w") as archive:
        archive.writestr("book.csv", book.read_bytes())
    assert outcomes(hft("--json", file, "--reference", tmp_path / "book.zip"))[0]["matched"] == 142
    (tmp_path / "cut.gz").write_bytes(gzip.compress(book.read_bytes())[:-20])
    done = hft(file, "--reference", tmp_path / "cut.gz")
    assert done.exit_code == 4
    assert "it ends in the middle" in done.stderr
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("a", "")
        archive.writestr("b", "")
    assert hft(file, "--reference", tmp_path / "two.zip").exit_code == 2


def test_reference_and_symbol_that_nobody_uses_are_refused(data_dir, tmp_path):
    (tmp_path / "x.txt").write_bytes(capture())
    done = hft(tmp_path / "x.txt", "--reference", tmp_path / "x.txt")
    assert done.exit_code == 2
    assert "a reference is for itch, csv, parquet, arrow: format=binance" in done.stderr
    sample = data_dir / LOBSTER.format("AMZN_2012-06-21_1")
    done = hft(sample, "--symbol", "AAPL")
    assert (done.exit_code, "symbol=AAPL symbols=AMZN" in done.stderr) == (2, True)
    assert hft(sample, "--symbol", "AMZN").exit_code == 0
    (tmp_path / "k.txt").write_bytes(HEAD + b"".join(Session(random.Random(1), 2).lines(300)))
    done = hft(tmp_path / "k.txt", "--symbol", "XBT/USD")
    assert (done.exit_code, "all symbols are compared together" in done.stderr) == (2, True)


# ---- several files


def test_file_without_a_reference_leaves_the_results_of_the_others(tmp_path):
    (tmp_path / "day.itch").write_bytes(generate(2_000, 1))
    (tmp_path / "noise.bin").write_bytes(bytes(range(256)))
    (tmp_path / "x.txt").write_bytes(capture())
    (tmp_path / "cut.gz").write_bytes(gzip.compress(capture())[:-1000])
    names = ("day.itch", "x.txt", "noise.bin")
    done = hft("--json", *(tmp_path / name for name in names))
    assert done.exit_code == 2
    without, good, unknown = outcomes(done)
    assert "an ITCH file needs" in without["error"] and "format of a file must be known" in unknown["error"]
    assert good["matched"] == 300
    done = hft(*(tmp_path / name for name in (*names, "cut.gz")))
    assert done.exit_code == 4
    assert "x.txt" in done.stdout


def test_parts_of_one_capture_are_compared_as_one(tmp_path):
    lines = capture(300).splitlines(True)
    parts = [tmp_path / "second.txt", tmp_path / "first.txt"]
    parts[0].write_bytes(b"".join(lines[200:]))
    parts[1].write_bytes(b"".join(lines[:200]))
    assert hft(*parts).exit_code == 1
    done = hft("--json", "--join", *parts)
    assert done.exit_code == 0
    (found,) = outcomes(done)
    assert (found["checked"], found["matched"], found["messages"]) == (300, 300, len(lines))
    (tmp_path / "other.txt").write_bytes(capture(10).replace(b"XUSDT", b"YUSDT"))
    done = hft("--join", parts[0], tmp_path / "other.txt")
    assert (done.exit_code, "must be parts of one stream of itch, binance, kraken" in done.stderr) == (2, True)


# ---- tables


def quotes(path, seconds, kind="bid,ask", zone_s=0):
    rng = random.Random(3)
    mid, rows = 100_00, []
    for i in range(seconds):
        mid += rng.choice((-1, 0, 1))
        rows.append(f"{(1_700_000_000 + i + zone_s) * 1000},{mid / 100:.2f},{(mid + 2) / 100:.2f}")
    path.write_text("\n".join([f"time,{kind}", *rows]) + "\n")
    return path


def test_tables_are_compared_as_their_options_say(tmp_path):
    pytest.importorskip("pyarrow")
    mine, other = quotes(tmp_path / "a.csv", 2000, "x,y"), quotes(tmp_path / "b.csv", 2000, "x,y", 3600)
    assert hft(mine, "--reference", other).exit_code == 2
    done = hft("--json", mine, "--reference", other, "--option", 'columns={"bid":"x","ask":"y"}')
    assert done.exit_code == 0, done.stderr
    (found,) = outcomes(done)
    assert found["checked"] == found["matched"] > 1990
    assert "clock offset +3600.000 s" in found["reference"]


def test_what_is_no_quote_is_not_compared_with_quotes(tmp_path):
    pytest.importorskip("pyarrow")
    quoted, traded = quotes(tmp_path / "q.csv", 2000), quotes(tmp_path / "t.csv", 2000, "price,size")
    for pair in ((quoted, traded), (traded, quoted)):
        done = hft(pair[0], "--reference", pair[1])
        assert (done.exit_code, "quotes are compared with quotes" in done.stderr) == (2, True)
    (tmp_path / "x.txt").write_bytes(capture())
    done = hft(quoted, "--reference", tmp_path / "x.txt")
    assert (done.exit_code, "a reference of a table must be a table" in done.stderr) == (2, True)
    short = quotes(tmp_path / "s.csv", 50)
    done = hft(quoted, "--reference", short)
    assert (done.exit_code, "at least 100 price changes" in done.stderr) == (2, True)


# ---- the table


def test_table_fits_80_columns(data_dir, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = hft(data_dir / LOBSTER.format("AMZN_2012-06-21_1"), data_dir / "itch/AAPL_2020-01-30_first10k.itch").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[1].split() == ["57,515", "57,515", "100.000", "LOBSTER_SampleFile_AMZN_2012-06-21_1.zip"]


def test_share_is_a_number():
    done = hft(__file__, "--at-least", "nan")
    assert (done.exit_code, "nan is not a number" in done.stderr) == (2, True)
