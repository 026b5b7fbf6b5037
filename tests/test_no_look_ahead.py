"""No look-ahead, from the bytes of a file to the orders: what was sent before a time does not change when the file ends there, or holds
something else behind it; nor with the size of the pieces in which it is read. Over all formats, latencies and queue models."""

import contextlib
import random
from itertools import pairwise
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit import examples
from makers.binance import capture as binance_capture
from makers.captures import ethernet, ip4, packets_of, pcap, timed
from makers.itch import random_day
from makers.kraken import HEAD, Session
from makers.lobster import archive, text
from makers.quotes import walk
from makers.wild import Wild

import hft
from fastcore.book import OrderBook
from fastcore.errors import FastcoreError
from fastcore.journal import Journal
from fastcore.records import EVENT_DTYPE, KINDS
from fastcore.risk import RiskLimits
from fastcore.tickstore import TickStore
from fastcore.wire.itch import ItchDecoder
from hft.feeds import open_feed
from hft.journal import Inputs, Recording

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
feather = pytest.importorskip("pyarrow.feather")

DAY = 1_700_000_000_000_000_000
MS = 1_000_000


def itch_events(seed, messages):
    out = np.zeros(3 * messages, EVENT_DTYPE)
    count, _ = ItchDecoder().decode(random_day(seed, messages), out)
    return [e for e in out[:count] if e["symbol_id"] == 7]


# ---- a file of each format: its parts, and how parts become a file ----


class Itch:
    ending, symbol = "itch", "AAA"

    def parts(self, seed):
        data, out = random_day(seed, 300), []
        while data:
            size = 2 + int.from_bytes(data[:2], "big")
            out.append(data[:size])
            data = data[size:]
        return out

    def write(self, path, parts):
        path.write_bytes(b"".join(parts))


class Pcap:
    ending, symbol = "pcap", "AAA"

    def parts(self, seed):
        return timed([ethernet(ip4(packet)) for packet in packets_of(random_day(seed, 300), size=90)])

    def write(self, path, parts):
        pcap(path, parts)


class Binance:
    ending, symbol = "txt", "XUSDT"

    def parts(self, seed):
        return binance_capture(100, seed).splitlines(keepends=True)

    def write(self, path, parts):
        path.write_bytes(b"".join(parts))


class Kraken:
    ending, symbol = "txt", "XBT/USD"

    def parts(self, seed):
        return [HEAD, *Session(random.Random(seed), 1).lines(150)]

    def write(self, path, parts):
        path.write_bytes(b"".join(parts))


class Lobster:
    symbol = "XYZ"
    name = "XYZ_2012-06-21_34200000_57600000_2.zip"

    def parts(self, seed):
        """A message for each event that changes what a window of two levels shows."""
        types = {KINDS["add"]: 1, KINDS["cancel"]: 2, KINDS["delete"]: 3, KINDS["execute"]: 4}
        book, out, shown, orders = OrderBook(), [], None, {}
        for e in itch_events(seed, 400):
            number = int(e["order_id"])
            side, price, size = orders.get(number, (0, 0, 0))
            if e["kind"] == KINDS["add"]:
                side, price, size = int(e["side"]), int(e["price"]), int(e["size"])
                orders[number] = side, price, size
            elif e["kind"] in (KINDS["cancel"], KINDS["execute"]):
                size = int(e["size"])
            elif e["kind"] != KINDS["delete"]:
                continue
            book.apply(np.array([e]))
            (bids, asks), row = book.depth(2), []
            for i in range(2):
                for levels, none in ((asks, 9999999999), (bids, -9999999999)):
                    row += [int(levels[i][0]), int(levels[i][1])] if i < len(levels) else [none, 0]
            if row != shown:
                time = f"{34200 + int(e['exch_ns']) / 1e9:.9f}"
                out.append(((time, types[int(e["kind"])], number, size, price, side), row))
            shown = row
        return out

    def write(self, path, parts):
        archive(path, text([message for message, _ in parts]), text([row for _, row in parts]))


class Dbn:
    ending, symbol = "dbn", None

    def parts(self, seed):
        """Executions come as trade, fill notice and cancel."""
        out, orders = [], {}
        for e in itch_events(seed, 300):
            number, size = int(e["order_id"]), int(e["size"])
            if e["kind"] == KINDS["add"]:
                orders[number] = "B" if e["side"] > 0 else "A", int(e["price"]), size
                out.append([("A", *orders[number], number)])
            elif e["kind"] == KINDS["delete"] and number in orders:
                out.append([("C", *orders.pop(number), number)])
            elif e["kind"] in (KINDS["cancel"], KINDS["execute"]) and number in orders:
                side, price, left = orders[number]
                orders[number] = side, price, left - size
                gone = [("C", side, price, size, number)]
                if e["kind"] == KINDS["execute"]:
                    gone = [("T", "A" if side == "B" else "B", price, size, 0), ("F", side, price, size, number), *gone]
                out.append(gone)
        return [(DAY + 7 * MS * i, rows) for i, rows in enumerate(out)]

    def write(self, path, parts):
        pytest.importorskip("databento_dbn")
        from makers.dbn_files import mbo
        from makers.dbn_files import write as write_dbn

        times, last, rows = [], [], []
        for time, message in parts:
            times += [time] * len(message)
            last += [0] * (len(message) - 1) + [128]
            rows += message
        actions, sides, prices, sizes, ids = zip(*rows, strict=True) if rows else [()] * 5
        prices = np.array(prices, np.int64) * 100_000
        received = np.array(times, np.uint64) + np.uint64(500)
        write_dbn(path, mbo(actions, sides, prices, sizes, ids, flags=last, ts_event=times, ts_recv=received))


class Table:
    symbol = None
    options = MappingProxyType({"tick_size": 0.01, "lot_size": 1.0})

    def parts(self, seed):
        return [
            (DAY + int(e["exch_ns"]), e["price"] / 100, e["size"] / 100, float(e["order_id"]), float(e["match_id"]))
            for e in walk((10_000,), seed, 250, 5 * MS, (0, 1, -1, 4, -4)) if e["kind"] == KINDS["quote"]
        ]  # fmt: skip

    def table(self, parts):
        names = ("timestamp", "bid", "ask", "bid_size", "ask_size")
        return pyarrow.table({name: list(column) for name, column in zip(names, zip(*parts, strict=True), strict=True)})


class Csv(Table):
    ending = "csv"

    def write(self, path, parts):
        lines = ["timestamp,bid,ask,bid_size,ask_size", *(",".join(map(str, row)) for row in parts)]
        path.write_text("\n".join(lines) + "\n")


class Parquet(Table):
    ending = "parquet"

    def write(self, path, parts):
        parquet.write_table(self.table(parts), path, row_group_size=40)


class Arrow(Table):
    ending = "arrow"

    def write(self, path, parts):
        feather.write_feather(self.table(parts), path, compression="uncompressed")


class Ticks:
    ending, symbol = "ticks", "7"

    def parts(self, seed):
        return itch_events(seed, 300)

    def write(self, path, parts):
        with TickStore(path, "x", EVENT_DTYPE) as store:
            store.append_many(np.array(parts, EVENT_DTYPE))


FORMATS = [Itch(), Pcap(), Binance(), Kraken(), Lobster(), Dbn(), Csv(), Parquet(), Arrow(), Ticks()]
LATENCIES = [
    "0", "1ms", "order=200us,response=normal(3ms,2ms)", "order=lognormal(5ms,4ms),response=9ms,feed=12ms",
    "order=1ms,response=1ms,feed=recorded", "order=2ms,response=5ms,feed=recorded-3ms", "feed=30ms",
]  # fmt: skip
QUEUES = ["risk-averse", "power:2", "log:1", "log:2"]


def place_of(folder, form, parts):
    folder = folder / str(len(list(folder.iterdir())))
    folder.mkdir()
    path = folder / getattr(form, "name", f"x.{getattr(form, 'ending', '')}")
    form.write(path, parts)
    return path


def sent(path, form, latency, queue, seed, whole=True, **options):
    """Own messages, reports and timers of a run, as its journal has them."""
    options |= getattr(form, "options", {})
    with TickStore(path.parent / "journal.ticks", "a", EVENT_DTYPE, grow_records=4096) as store:
        recording = Recording(path.parent, Inputs("backtest", [], {}, {}), Journal(store))
        # What is behind the cut may be nonsense, and end the run.
        with contextlib.nullcontext() if whole else contextlib.suppress(FastcoreError):
            hft.backtest(
                {"a": Wild(), "b": Wild()}, path, symbols=[form.symbol] if form.symbol else [], latency=latency, queue=queue, seed=seed,
                recording=recording, limits=RiskLimits(2**40, 2**40, "off"), **options,
            )  # fmt: skip
        return store.records().copy()


def events_of(path, form):
    with open_feed(path, **getattr(form, "options", {})) as feed:
        return np.concatenate([np.zeros(0, EVENT_DTYPE), *(events.copy() for events in feed)])


def times_of(events):
    """Venue times: never back, images take the one before them."""
    times = np.where(events["exch_ns"] != 0, events["exch_ns"], events["local_ns"])
    return np.maximum.accumulate(times)


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: type(form).__name__.lower())
def test_what_was_sent_does_not_depend_on_what_the_file_holds_later(tmp_path_factory, form):
    lengths = []

    @examples(10)
    @given(
        st.integers(0, 10**6), st.sampled_from(LATENCIES), st.sampled_from(QUEUES), st.floats(0.3, 0.95), st.sampled_from(["cut", "shuffled"])
    )  # fmt: skip
    def law(seed, latency, queue, share, how):
        folder, parts = tmp_path_factory.mktemp("run"), form.parts(seed)
        cut = int(share * len(parts))
        later = random.Random(seed).sample(parts[cut:], len(parts) - cut) if how == "shuffled" else []
        whole, other = place_of(folder, form, parts), place_of(folder, form, parts[:cut] + later)
        known = events_of(place_of(folder, form, parts[:cut]), form)
        full = events_of(whole, form)
        n = len(known)
        assert known.tobytes() == full[:n].tobytes(), "the events of a file do not depend on what follows"
        if n in (0, len(full)):
            return
        until = int(times_of(full)[n - 1]) - 1  # at the last time itself the end counts too
        ours, theirs = (sent(path, form, latency, queue, seed, path is whole) for path in (whole, other))
        before = [rows[rows["local_ns"] <= until].tobytes() for rows in (ours, theirs)]
        assert before[0] == before[1]
        lengths.append(len(before[0]) // 64)

    law()
    assert sum(lengths) > 10, "something was sent"


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: type(form).__name__.lower())
@pytest.mark.parametrize("latency", LATENCIES[3:5])
def test_size_of_the_pieces_changes_no_order(tmp_path, form, latency):
    runs = []
    for options in ({}, {"chunk_events": 64 if isinstance(form, Pcap) else 7}, {"chunk_events": 100}):
        runs.append(sent(place_of(tmp_path, form, form.parts(3)), form, latency, "power:2", 3, **options))
    assert len(runs[0]) > 20
    assert all(a.tobytes() == b.tobytes() for a, b in pairwise(runs))
