"""LOBSTER archives and pairs of files: after each message the book is the row."""

import gzip
import threading
import zipfile
from datetime import date

import numpy as np
import pytest

pytest.importorskip("pyarrow")

from makers.lobster import MESSAGE, MESSAGES, ORDERBOOK, ROWS, E, F, archive, text

from fastcore.errors import CorruptDataError
from fastcore.instruments import Instrument
from fastcore.records import FLAGS, KINDS, NO_PRICE, TRADING
from hft.feeds import open_feed, recognise
from hft.feeds._levels import level_changes
from hft.feeds.itch import midnight_ns
from hft.feeds.lobster import LobsterFeed

MIDNIGHT = midnight_ns(date(2012, 6, 21))


TIMES = [34200017459617, 34200189607670, 34200200000000, 34200200000000, 34201 * 10**9, 34202500000000, 34203632812672, 34204 * 10**9]


def collect(feed):
    arrays = [a.copy() for a in feed]
    assert all(a["flags"][-1] & FLAGS["continued"] == 0 for a in arrays)
    return np.concatenate(arrays)


def replay(events, levels):
    """Rows behind each message, by a dictionary for each side; the number of the message is that of its events."""
    books, out, number = {1: {}, -1: {}}, {}, 0
    for e in events[["kind", "side", "price", "size", "seq"]].tolist():
        kind, side, price, size, seq = e
        while number < seq:
            out[number] = [sorted(books[-1].items())[:levels], sorted(books[1].items(), reverse=True)[:levels]]
            number += 1
        if kind == KINDS["clear"]:
            books = {1: {}, -1: {}}
        elif kind == KINDS["level"] and size == 0:
            del books[side][price]
        elif kind == KINDS["level"]:
            books[side][price] = size
        assert max(map(len, books.values())) <= levels
    out[number] = [sorted(books[-1].items()), sorted(books[1].items(), reverse=True)]
    return out


def sides(row):
    asks = [(p, s) for p, s in zip(row[0::4], row[1::4], strict=True) if s]
    return [asks, [(p, s) for p, s in zip(row[2::4], row[3::4], strict=True) if s]]


def test_events_turn_each_row_into_the_next(tmp_path):
    path = archive(tmp_path / "sample.zip")
    assert recognise(path) == "lobster"
    feed = open_feed(path)
    assert (feed.book, feed.levels, feed.instruments[0]) == ("levels", 2, Instrument("XYZ", 1e-4, 1.0, currency="USD"))
    events = collect(feed)
    assert feed.errors == {}
    assert feed.messages == {"1": 2, "3": 2, "4": 1, "5": 1, "6": 1, "7": 1}
    fields = events[["seq", "kind", "side", "price", "size", "flags"]].tolist()
    level, snapshot = KINDS["level"], FLAGS["snapshot"]
    assert fields[:5] == [
        (0, KINDS["clear"], 0, NO_PRICE, 0, snapshot | 1), (0, level, -1, 110, 5, snapshot | 1), (0, level, -1, 120, 6, snapshot | 1),
        (0, level, 1, 100, 7, snapshot | 1), (0, level, 1, 90, 8, snapshot),
    ]  # fmt: skip
    assert fields[5:] == [
        (1, level, -1, 120, 0, 1), (1, level, -1, 115, 1, 0),
        (2, KINDS["trade"], -1, 110, 3, 1), (2, level, -1, 110, 2, 0),
        (3, level, -1, 110, 0, 1), (3, level, -1, 120, 6, 0),
        (4, KINDS["trade"], 1, 105, 9, FLAGS["hidden"]), (5, KINDS["cross"], -1, 105, 100, 0), (6, KINDS["status"], 0, TRADING["halted"], 0, 0),
        (7, level, -1, 120, 0, 1), (7, level, 1, 100, 0, 1), (7, level, 1, 90, 0, 0),
    ]  # fmt: skip
    assert (events["exch_ns"] - MIDNIGHT)[np.unique(events["seq"], return_index=True)[1]].tolist() == TIMES
    levels = events[events["kind"] == level]
    assert levels["order_id"].tolist() == levels["seq"].tolist()
    assert levels["match_id"].tolist() == [MESSAGES[i][1] for i in levels["seq"]]
    states = replay(events, 2)
    assert [states[i] for i in range(8)] == [sides(r) for r in ROWS]


def test_pair_of_files_is_the_archive(tmp_path):
    (tmp_path / MESSAGE).write_bytes(text(MESSAGES))
    (tmp_path / ORDERBOOK).write_bytes(text(ROWS))
    expected = collect(LobsterFeed(archive(tmp_path / "s.zip"))).tobytes()
    for name in (MESSAGE, ORDERBOOK):
        assert recognise(tmp_path / name) == "lobster"
        assert collect(open_feed(tmp_path / name)).tobytes() == expected
    (tmp_path / "z").mkdir()
    for name, rows in ((MESSAGE, MESSAGES), (ORDERBOOK, ROWS)):
        (tmp_path / "z" / f"{name}.gz").write_bytes(gzip.compress(text(rows)))
    assert collect(LobsterFeed(tmp_path / "z" / f"{MESSAGE}.gz")).tobytes() == expected
    (tmp_path / ORDERBOOK).unlink()
    with pytest.raises(FileNotFoundError, match="orderbook file must lie beside"):
        LobsterFeed(tmp_path / MESSAGE)


def test_order_events_are_those_of_the_message_file(tmp_path):
    feed = LobsterFeed(archive(tmp_path / "s.zip"), by="orders")
    assert feed.book == "orders"
    events = collect(feed)
    names = ["add", "add", "execute", "delete", "trade", "cross", "status", "delete"]
    assert events["kind"].tolist() == [KINDS[n] for n in names]
    assert events["order_id"].tolist() == [1, 2, 1, 1, 0, 0, 0, 7]
    assert events["size"].tolist() == [5, 1, 3, 0, 9, 100, 0, 0]
    assert events["price"].tolist() == [110, 115, 110, NO_PRICE, 105, 105, TRADING["halted"], NO_PRICE]
    assert (events["exch_ns"] - MIDNIGHT).tolist() == TIMES


def test_messages_and_rows_are_those_of_the_files(tmp_path):
    blocks = list(LobsterFeed(archive(tmp_path / "s.zip")).messages_and_rows())
    assert np.concatenate([b.rows for b in blocks]).tolist() == ROWS
    assert np.concatenate([b.type for b in blocks]).tolist() == [m[1] for m in MESSAGES]
    assert np.concatenate([b.order_id for b in blocks]).tolist() == [m[2] for m in MESSAGES]
    assert np.concatenate([b.price for b in blocks]).tolist() == [m[4] for m in MESSAGES]
    assert all(b.rows.flags.c_contiguous and b.rows.dtype == np.int64 for b in blocks)


def random_day(n, levels, seed):
    rng = np.random.default_rng(seed)
    books, rows, messages = {1: {}, -1: {}}, [], []
    for i in range(n):
        side = int(rng.choice((-1, 1)))
        price = 1000 - side * int(rng.integers(1, 3 * levels))
        books[side][price] = int(rng.integers(0, 4))
        books[side] = {p: s for p, s in books[side].items() if s}
        asks, bids = sorted(books[-1].items()), sorted(books[1].items(), reverse=True)
        asks, bids = (asks + [E] * levels)[:levels], (bids + [F] * levels)[:levels]
        rows.append([v for a, b in zip(asks, bids, strict=True) for v in (*a, *b)])
        messages.append((f"{34200 + i / 1000:.9f}", int(rng.choice((1, 2, 3, 4, 5))), i + 1, 1, price, side))
    return messages, rows


@pytest.mark.parametrize(("levels", "seed"), [(1, 1), (5, 2), (10, 3), (12, 4), (30, 5)])
def test_book_is_the_row_after_every_message(tmp_path, levels, seed):
    messages, rows = random_day(700, levels, seed)
    events = collect(LobsterFeed(archive(tmp_path / "s.zip", messages, rows), chunk_events=64))
    states = replay(events, levels)
    last = max(states)
    for i in range(len(rows)):
        assert states[min(i, last)] == sides(rows[i]), i


@pytest.mark.slow
@pytest.mark.parametrize(("name", "n", "levels"), [("AMZN_2012-06-21_5", 155_935, 5), ("AMZN_2012-06-21_1", 57_515, 1),
                                                   ("AAPL_2012-06-21_1", 118_497, 1)])  # fmt: skip
def test_sample_book_is_the_row_after_every_message(data_dir, name, n, levels):
    path = data_dir / "lobster" / f"LOBSTER_SampleFile_{name}.zip"
    feed = open_feed(path)
    events = collect(feed)
    assert sum(feed.messages.values()) == n
    assert feed.errors == {}
    # Independent of the feed: the rows as the csv module reads them.
    with zipfile.ZipFile(path) as file:
        member = next(m for m in file.namelist() if "orderbook" in m)
        rows = np.loadtxt(file.open(member), delimiter=",", dtype=np.int64)
    assert len(rows) == n
    states = replay(events, levels)
    matched = sum(states.get(i) == sides(rows[i].tolist()) for i in range(n))
    assert matched == n


def test_level_changes_of_many_levels_are_those_of_few():
    rng = np.random.default_rng(1)

    def side(sign):
        price = np.sort(sign * rng.permuted(np.tile(np.arange(30), (200, 1)), axis=1)[:, :8] + 100, axis=1)[:, ::sign]
        return np.ascontiguousarray(price), rng.integers(0, 3, price.shape)

    before, after = (*side(1), *side(-1)), (*side(1), *side(-1))
    few = level_changes(before, after)
    wide = [np.concatenate([x, np.zeros((200, 10), np.int64)], axis=1) for x in (*before, *after)]
    many = level_changes(tuple(wide[:4]), tuple(wide[4:]))
    assert [x.tolist() for x in few] == [x.tolist() for x in many]


@pytest.mark.parametrize("levels", [5, 13, 50])
def test_no_rows_of_any_number_of_levels_change_nothing(levels):
    empty = (np.zeros((0, levels), np.int64),) * 4
    assert [len(x) for x in level_changes(empty, empty)] == [0, 0, 0, 0]


def test_cut_archives_and_files_raise_behind_what_is_whole(tmp_path):
    path = archive(tmp_path / "s.zip")
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 2])
    with pytest.raises(CorruptDataError, match="ZIP archive must be whole"):
        LobsterFeed(path)
    messages, rows = random_day(500, 5, 1)
    (tmp_path / MESSAGE).write_bytes(text(messages))
    (tmp_path / ORDERBOOK).write_bytes(text(rows)[:20_000])
    got = []
    with pytest.raises(CorruptDataError, match=r"the two files must have the same rows: messages=500 orderbook="):
        got.extend(LobsterFeed(tmp_path / MESSAGE))
    assert 100 < np.concatenate(got)["seq"][-1] < 400
    (tmp_path / f"{MESSAGE}.gz").write_bytes(gzip.compress(text(messages))[:-3000])
    (tmp_path / f"{ORDERBOOK}.gz").write_bytes(gzip.compress(text(rows)))
    with pytest.raises(CorruptDataError, match="a compressed file must be whole"):
        list(LobsterFeed(tmp_path / f"{MESSAGE}.gz"))


def test_error_leaves_no_thread_behind_while_somebody_holds_it(tmp_path):
    lines = text(MESSAGES).splitlines(keepends=True)
    lines[2] = b"34200.2,4,x,3,110,-1\r\n"
    before = threading.active_count()
    with pytest.raises(CorruptDataError) as kept:
        list(LobsterFeed(archive(tmp_path / "s.zip", b"".join(lines)), strict=True))
    assert threading.active_count() == before, kept


def test_malformed_rows_are_counted_and_left_out_with_their_row(tmp_path):
    lines = text(MESSAGES).splitlines(keepends=True)
    lines[2] = b"34200.2,4,x,3,110,-1\r\n"
    lines[4] = b"34201,9,0,9,105,1\r\n"
    lines[5] = b"34202.5,6,0\r\n"
    feed = LobsterFeed(archive(tmp_path / "s.zip", b"".join(lines)))
    events = collect(feed)
    assert set(events["seq"].tolist()) == {0, 1, 3, 6, 7}
    assert feed.errors == {
        "a message must be of whole numbers": 1, "type of a message must be 1 to 7": 1,
        "a row of the message file must have all its fields": 1,
    }  # fmt: skip
    assert sorted(row for row, _ in feed.error_log) == [2, 4, 5]
    states = replay(events, 2)
    assert [states[i] for i in (0, 1, 3, 6, 7)] == [sides(ROWS[i]) for i in (0, 1, 3, 6, 7)]
    with pytest.raises(CorruptDataError):
        list(LobsterFeed(tmp_path / "s.zip", strict=True))


def test_lines_without_anything_are_no_rows(tmp_path):
    plain = collect(LobsterFeed(archive(tmp_path / "s.zip")))
    (tmp_path / MESSAGE).write_bytes(b"\r\n" + text(MESSAGES).replace(b"\n", b"\n\r\n", 3) + b"\n\n")
    (tmp_path / ORDERBOOK).write_bytes(b"\n\r\n" + text(ROWS) + b"\r\n")
    assert collect(LobsterFeed(tmp_path / MESSAGE)).tobytes() == plain.tobytes()
    (tmp_path / MESSAGE).write_bytes(b"\n\n")
    (tmp_path / ORDERBOOK).write_bytes(b"\r\n\n")
    assert not list(LobsterFeed(tmp_path / MESSAGE))


def test_wrong_options_and_names_are_refused(tmp_path):
    path = archive(tmp_path / "s.zip")
    with pytest.raises(ValueError, match="by must be levels or orders"):
        LobsterFeed(path, by="both")
    with pytest.raises(ValueError, match="chunk_events must be at least 1"):
        LobsterFeed(path, chunk_events=0)
    (tmp_path / "message.csv").write_bytes(text(MESSAGES))
    with pytest.raises(ValueError, match="date"):
        LobsterFeed(tmp_path / "message.csv", by="orders")
    assert len(collect(LobsterFeed(tmp_path / "message.csv", by="orders", date=date(2012, 6, 21), symbol="Q"))) == 8
    with pytest.raises(CorruptDataError, match="four fields a level"):
        LobsterFeed(archive(tmp_path / "t.zip", rows=[r[:7] for r in ROWS]))


def test_archive_without_its_orderbook_is_corrupt_and_bytes_that_are_no_text_are_counted(tmp_path):
    path = tmp_path / "XYZ_2012-06-21_34200000_57600000_2.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(MESSAGE, text(MESSAGES))
    with pytest.raises(CorruptDataError, match="a LOBSTER archive must hold an orderbook file"):
        LobsterFeed(path)
    rows = text(MESSAGES).split(b"\r\n")
    rows[2] = rows[2] + b",\x81"  # a field too many, which is no text either
    feed = LobsterFeed(archive(path, b"\r\n".join(rows)))
    collect(feed)
    assert sum(feed.errors.values()) == 1
