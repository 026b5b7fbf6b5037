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
