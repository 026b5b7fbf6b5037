"""Frames of pandas, polars and Arrow to events and back."""

import numpy as np
import pytest

pa = pytest.importorskip("pyarrow")

from fastcore.instruments import Instrument, Instruments  # noqa: E402
from fastcore.records import EVENT_DTYPE, KINDS  # noqa: E402
from hft.feeds import open_feed  # noqa: E402
from hft.feeds.frames import from_frame, to_arrow, to_frame  # noqa: E402
from hft.feeds.synthetic import generate_events  # noqa: E402

pytestmark = pytest.mark.thin

N = 1000
TIMES = (1_399_507_200 * 10**9 + np.arange(N) * 250_000_001).astype("datetime64[ns]")
BID = np.round(100 + np.arange(N) % 50 / 100, 2)


def columns():
    return {"ts": TIMES, "bid": BID, "ask": BID + 0.01, "bid_size": np.arange(N) + 1, "ask_size": np.full(N, 3)}


def frame(library):
    if library == "pandas":
        return pytest.importorskip("pandas").DataFrame(columns())
    if library == "index":
        return pytest.importorskip("pandas").DataFrame(columns()).set_index("ts")
    if library == "polars":
        return pytest.importorskip("polars").DataFrame(columns())
    table = pa.table(columns())
    if library == "batch":
        return table.to_batches()[0]
    if library == "capsule":

        class Capsule:
            def __arrow_c_stream__(self, requested_schema=None):
                return table.__arrow_c_stream__(requested_schema)

        return Capsule()
    if library == "to_arrow":

        class Convertible:
            def to_arrow(self):
                return table

        return Convertible()
    return table


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("library", ["pandas", "index", "polars", "arrow", "batch", "capsule", "to_arrow"])
def test_rows_become_quotes(library):
    feed = from_frame(frame(library), symbol="XYZ", chunk_events=300)
    arrays = list(feed)
    events = np.concatenate(arrays)
    assert max(map(len, arrays)) == 300
    assert (feed.kind, feed.book, list(feed.instruments)) == ("quotes", "quotes", [Instrument("XYZ", 0.01, 1.0)])
    assert events["exch_ns"].tolist() == TIMES.astype(np.int64).tolist()
    values = events.view(np.int64).reshape(-1, 8)[:, 4:]
    assert values[:, 0].tolist() == np.rint(BID * 100).astype(int).tolist()
    assert (values[:, 1] == values[:, 0] + 1).all()
    assert values[:, 2].tolist() == list(range(1, N + 1))


def opened(data, form, folder):
    """A frame of pandas as it is, or as the file that pandas makes of it."""
    if form == "frame":
        return from_frame(data)
    path = folder / f"quotes.{form}"
    data.to_csv(path) if form == "csv" else data.to_parquet(path)
    return open_feed(path)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("form", ["frame", "csv", "parquet"])
def test_index_of_times_without_a_name_is_the_time(form, tmp_path):
    pandas = pytest.importorskip("pandas")
    times = pandas.date_range("2024-03-08 14:30", periods=3, freq="s")
    data = pandas.DataFrame({"bid": BID[:3], "ask": BID[:3] + 0.01}, index=times)
    first = np.datetime64("2024-03-08T14:30", "ns").astype(int)
    assert [first, first + 10**9, first + 2 * 10**9] == next(opened(data, form, tmp_path))["exch_ns"].tolist()
    named = data.assign(timestamp=times + pandas.Timedelta("1h"))  # what has a name comes first
    assert next(opened(named, form, tmp_path))["exch_ns"][0] == first + 3_600 * 10**9
    rows = data.reset_index(drop=True)[1:]  # an index of numbers is no time
    with pytest.raises(ValueError, match="missing of quotes: time"):
        opened(rows, form, tmp_path)


def test_nan_in_a_frame_is_an_error_of_its_row():
    pandas = pytest.importorskip("pandas")
    data = pandas.DataFrame(columns())
    data.loc[7, "ask"] = float("inf")
    feed = from_frame(data)
    assert sum(map(len, feed)) == N - 1
    assert feed.error_log == [(7, "ask must be a finite number: inf")]


def test_what_is_no_frame_is_refused():
    with pytest.raises(TypeError, match="frame must be of pandas, polars or Arrow"):
        from_frame([1, 2, 3])
    with pytest.raises(ValueError, match="must say what it is"):
        from_frame(pa.table({"a": [1], "b": [2]}))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("library", ["pandas", "polars", "arrow"])
def test_events_come_back_bit_for_bit(library):
    events = generate_events(5000, seed=3)
    events["flags"][:-1:7] = 1
    events["order_id"][0] = -5  # the bit pattern of a large reference
    table = to_arrow(events) if library == "arrow" else to_frame(events, library)
    back = np.concatenate(list(from_frame(table, chunk_events=700)))
    assert back.tobytes() == events.tobytes()


def test_arrow_table_has_times_and_names_of_kinds():
    events = np.zeros(2, EVENT_DTYPE)
    events["exch_ns"], events["kind"] = 1_399_507_200 * 10**9, [KINDS["quote"], KINDS["gap"]]
    table = to_arrow(events)
    assert table["kind"].to_pylist() == ["quote", "gap"]
    assert str(table["exch_ns"].type) == "timestamp[ns, tz=UTC]"
    assert table["exch_ns"][0].as_py().isoformat().startswith("2014-05-08T00:00:00")


def test_pandas_shares_the_memory_and_symbols_have_names():
    pytest.importorskip("pandas")
    events = np.zeros(3, EVENT_DTYPE)
    events["symbol_id"] = [0, 1, 9]
    table = to_frame(events, instruments=Instruments(["A", "B"]))
    assert table["symbol"].tolist() == ["A", "B", ""]
    assert np.shares_memory(table["price"].to_numpy(), events)
    polars = pytest.importorskip("polars")
    table = to_frame(events, "polars", instruments=Instruments(["A"]))
    assert table["symbol"].to_list() == ["A", "", ""]
    assert table["price"].dtype == polars.Int64


def test_other_arrays_and_libraries_are_refused():
    with pytest.raises(ValueError, match="events must be an array of EVENT_DTYPE"):
        to_arrow(np.zeros(3))
    with pytest.raises(ValueError, match="library must be pandas or polars"):
        to_frame(np.zeros(1, EVENT_DTYPE), "vaex")
