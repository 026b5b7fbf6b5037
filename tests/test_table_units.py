"""Ticks and lots of a table: the largest powers of ten that divide all its values, wherever they stand in it."""

from fractions import Fraction
from random import Random

import numpy as np
import pytest
from kit import EFFORT
from makers.tables import events_of, payload, write_text

pa = pytest.importorskip("pyarrow")

from fastcore.instruments import Instrument  # noqa: E402
from hft.feeds.frames import from_frame  # noqa: E402

pytestmark = pytest.mark.thin


def test_prices_near_one_keep_their_decimals(tmp_path):
    feed = write_text(tmp_path, "time,bid,ask\n1700000000000,0.9999,1.0000\n1700000001000,1.0000,1.0001\n")
    assert payload(events_of(feed)) == [[9999, 10000, 1, 1], [10000, 10001, 1, 1]]
    assert list(feed.instruments) == [Instrument("x", 1e-4, 1.0)]


@pytest.mark.parametrize(
    ("prices", "tick", "ticks"),
    [
        (["0.00001234", "0.00001"], 1e-8, [1234, 1000]),
        (["1.2e-05", "3E-6"], 1e-6, [12, 3]),
        (["0.000000000012"], 1e-12, [12]),
        (["100", "200"], 1.0, [100, 200]),
        (["1.50", "2.00"], 0.1, [15, 20]),
        (["-37.63", "0.00"], 0.01, [-3763, 0]),
        (["68123.4", "68123.45"], 0.01, [6812340, 6812345]),
        (["123456789012.345"], 0.001, [123456789012345]),
    ],
)
def test_tick_is_what_the_text_needs(tmp_path, prices, tick, ticks):
    feed = write_text(tmp_path, "time,price\n" + "".join(f"1700000000000,{p}\n" for p in prices))
    assert [row[0] for row in payload(events_of(feed))] == ticks
    assert feed.instruments[0].tick_size == tick


def test_small_sizes_are_lots_and_not_nothing(tmp_path):
    feed = write_text(tmp_path, "time,price,size\n1700000000000,1,0.00001\n1700000000000,1,2\n")
    assert [row[1] for row in payload(events_of(feed))] == [1, 200_000]
    assert feed.instruments[0].lot_size == 1e-5


@pytest.mark.parametrize("form", ["csv", "frame", "parquet", "arrow"])
def test_a_finer_price_far_behind_in_the_table_counts_for_all_of_it(tmp_path, form):
    n = 200_000
    prices = np.full(n, 100.5)
    prices[-1] = 100.0625
    if form == "csv":
        feed = write_text(tmp_path, "time,price\n" + "".join(f"{1700000000000 + i},{p!r}\n" for i, p in enumerate(prices.tolist())))
    else:
        table = pa.table({"time": np.arange(n) + 1700000000000, "price": prices})
        feed = from_frame(table) if form == "frame" else written(tmp_path, table, form)
    events = events_of(feed)
    assert events["price"][[0, -1]].tolist() == [1_005_000, 1_000_625]
    assert (len(events), feed.errors) == (n, {})


def written(tmp_path, table, form):
    from hft.feeds.arrow import ArrowFeed, ParquetFeed

    path = tmp_path / f"x.{form}"
    if form == "parquet":
        from pyarrow import parquet

        parquet.write_table(table, path, row_group_size=30_000)
        return ParquetFeed(path)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table, 30_000)
    return ArrowFeed(path)


def test_a_stream_that_is_there_once_is_judged_by_its_first_batch():
    batches = [pa.record_batch({"time": [1700000000000], "price": [price]}) for price in (1.5, 1.25)]
    feed = from_frame(pa.RecordBatchReader.from_batches(batches[0].schema, batches))
    assert events_of(feed)["price"].tolist() == [15]
    assert feed.errors == {"price must be a whole multiple of tick_size=0.1": 1}


def test_floats_of_32_bits_are_read_to_their_own_precision():
    table = pa.table({"time": [1700000000000] * 3, "price": pa.array([1.39147, 1.391, 13.925], pa.float32())})
    feed = from_frame(table)
    assert events_of(feed)["price"].tolist() == [139147, 139100, 1392500]
    large = pa.table({"time": [1700000000000] * 2, "price": pa.array([1.39147, 139147.5], pa.float32())})
    feed = from_frame(large)
    assert events_of(feed)["price"].tolist() == [139147]
    assert feed.errors == {"price must be at most 4194304 times tick_size=1e-05": 1}


def test_results_of_calculations_cost_their_row_and_not_the_tick():
    feed = from_frame(pa.table({"time": [1700000000000] * 3, "price": [0.1 + 0.2, 1 / 3, 2.5]}))
    assert events_of(feed)["price"].tolist() == [3, 25]  # 0.1 + 0.2 is the neighbour of 0.3
    assert feed.error_log == [(1, "price must be a whole multiple of tick_size=0.1: 0.3333333333333333")]


def test_values_beyond_what_a_double_tells_apart_are_refused(tmp_path):
    feed = write_text(tmp_path, "time,price,size\n1700000000000,1,0.000000001\n1700000000000,1,9999999.123456789\n")
    assert len(events_of(feed)) == 1
    assert feed.errors == {"size must be at most 2251799813685248 times lot_size=1e-09": 1}


def test_a_given_tick_does_not_round(tmp_path):
    text = "time,price\n1700000000000,0.999995\n1700000000000,0.99\n"
    feed = write_text(tmp_path, text, tick_size=0.01)
    assert events_of(feed)["price"].tolist() == [99]
    assert feed.error_log == [(0, "price must be a whole multiple of tick_size=0.01: 0.999995")]
    assert events_of(write_text(tmp_path, text, tick_size=0.01, tolerance=0.5))["price"].tolist() == [100, 99]


def table_of(random):
    """Times, prices and sizes in decimals of random lengths, some of them finer far behind."""
    rows = []
    for _ in range(random.randrange(1, 40)):
        cells = []
        for most in (random.randrange(0, 7), random.randrange(0, 9)):
            places = random.randrange(0, most + 1)
            number = random.randrange(1, 10 ** random.randrange(1, 8))
            text = f"{number // 10**places}.{number % 10**places:0{places}}" if places else str(number)
            cells.append(text + "0" * random.randrange(3) if places else text)
        rows.append(cells)
    return rows


def largest(values):
    places = 0
    while any((value * 10**places).denominator > 1 for value in values):
        places += 1
    return Fraction(1, 10**places)


def check_random_tables(folder, form, seed, tables):
    random = Random(seed)
    for _ in range(tables):
        rows = table_of(random)
        if form == "text":
            feed = write_text(folder, "time,price,size\n" + "".join(f"1700000000000,{p},{s}\n" for p, s in rows))
        else:
            columns = {name: [float(row[i]) for row in rows] for i, name in enumerate(("price", "size"))}
            feed = from_frame(pa.table({"time": [1700000000000] * len(rows), **columns}))
        events = events_of(feed)
        assert feed.errors == {}
        for i, (name, unit) in enumerate((("price", "tick_size"), ("size", "lot_size"))):
            values = [Fraction(row[i]) for row in rows]
            exact = largest(values)
            assert getattr(feed.instruments[0], unit) == float(exact)
            assert events[name].tolist() == [int(value / exact) for value in values]


@pytest.mark.parametrize("form", ["text", "frame"])
def test_units_are_exact_on_random_tables(tmp_path, form):
    check_random_tables(tmp_path, form, 1, max(5, round(100 * EFFORT)))


@pytest.mark.slow
@pytest.mark.parametrize("form", ["text", "frame"])
def test_units_are_exact_on_ten_thousand_random_tables(tmp_path, form):
    check_random_tables(tmp_path, form, 2, 5_000)
