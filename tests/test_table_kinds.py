"""What a table is taken for: tables of vendors by their columns, tables without names by their rows, and what is refused."""

from itertools import pairwise

import numpy as np
import pytest
from makers.tables import events_of, payload, write_text

pa = pytest.importorskip("pyarrow")

from fastcore.book import LevelBook, OrderBook  # noqa: E402
from fastcore.errors import CorruptDataError  # noqa: E402
from fastcore.records import FLAGS, KINDS, NO_PRICE  # noqa: E402
from hft.feeds import FormatError, open_feed  # noqa: E402
from hft.feeds.feed import UnknownSymbolInFile  # noqa: E402
from hft.feeds.frames import from_frame  # noqa: E402

pytestmark = pytest.mark.thin

T = 1_709_890_200_000  # 2024-03-08 09:30:00 UTC, ms
US = T * 1_000
NS = T * 10**6

# Name of a table, its columns, two rows of it, and what it is: kind, and payload of the first event. Prices 10.25 and 10.5.
TABLES = {
    "tardis trades": (
        "exchange,symbol,timestamp,local_timestamp,id,side,price,amount",
        f"x,BTC,{US},{US + 9},7,buy,10.25,0.5", f"x,BTC,{US + 1},{US + 10},8,sell,10.5,1", "trades", [1025, 5, 0, 7],
    ),
    "tardis quotes": (
        "exchange,symbol,timestamp,local_timestamp,ask_amount,ask_price,bid_price,bid_amount",
        f"x,BTC,{US},{US},3,10.5,10.25,4", f"x,BTC,{US},{US},3,10.5,,", "quotes", [1025, 1050, 4, 3],
    ),
    "binance trades": (
        "id,price,qty,quote_qty,time,is_buyer_maker", f"7,10.25,0.5,5.125,{T},true", f"8,10.5,1,10.5,{T},false", "trades", [1025, 5, 0, 7],
    ),
    "binance aggregated trades": (
        "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker",
        f"7,10.25,0.5,70,71,{T},true", f"8,10.5,1,72,72,{T},false", "trades", [1025, 5, 0, 7],
    ),
    "binance trades without names": ("", f"7,10.25,0.5,5.125,{T},True,True", f"8,10.5,1,10.5,{T},False,True", "trades", [1025, 5, 0, 7]),
    "binance aggregated trades without names": (
        "", f"7,10.25,0.5,70,71,{US},True,True", f"8,10.5,1,72,72,{US},False,True", "trades", [1025, 5, 0, 7],
    ),
    "binance book ticker": (
        "update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,event_time",
        f"1,10.25,4,10.5,3,{T},{T + 1}", f"2,10.25,4,10.5,2,{T},{T + 1}", "quotes", [1025, 1050, 4, 3],
    ),
    "binance bars without names": (
        "", f"{T},10.25,10.5,10.25,10.5,7,{T + 59_999},1.5,3,1,1.5,0", f"{T + 60_000},10.5,10.5,10.25,10.25,7,{T + 119_999},1.5,3,1,1.5,0",
        "bars", [1025, 1050, 1025, 1050],
    ),
    "bybit trades": (
        "timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue",
        f"{T / 1000:.4f},BTC,Buy,0.5,10.25,PlusTick,a,1", f"{T / 1000 + 1:.4f},BTC,Sell,1,10.5,PlusTick,b,1", "trades", [1025, 5, 0, -1],
    ),
    "bitmex quotes": (
        "timestamp,symbol,bidSize,bidPrice,askPrice,askSize",
        "2024-03-08D09:30:00.000000000,XBT,4,10.25,10.5,3", "2024-03-08D09:30:01.000000000,XBT,4,10.25,10.5,3", "quotes", [1025, 1050, 4, 3],
    ),
    "okx trades": (
        "instrument_name,trade_id,side,price,size,created_time",
        f"BTC,7,buy,10.25,0.5,{T}", f"BTC,8,sell,10.5,1,{T}", "trades", [1025, 5, 0, 7],
    ),
    "coinapi trades": (
        "time_exchange;time_coinapi;guid;price;base_amount;taker_side",
        "2024-03-08T09:30:00.0000000;2024-03-08T09:30:00.1000000;a;10.25;0.5;BUY",
        "2024-03-08T09:30:00.0000000;2024-03-08T09:30:00.1000000;b;10.5;1;SELL", "trades", [1025, 5, 0, -1],
    ),
    "polygon trades": (
        "ticker,conditions,correction,exchange,id,participant_timestamp,price,sequence_number,sip_timestamp,size,tape,trf_id,trf_timestamp",
        f'A,"12,37",0,4,7,{NS},10.25,1,{NS + 1},5,1,0,0', f'A,"12,37",0,4,8,{NS},10.5,2,{NS + 1},1,1,0,0', "trades", [1025, 5, 0, 7],
    ),
    "polygon quotes": (
        "ticker,ask_exchange,ask_price,ask_size,bid_exchange,bid_price,bid_size,conditions,indicators,participant_timestamp,sequence_number,"
        "sip_timestamp,tape,trf_timestamp",
        f"A,1,10.5,3,1,10.25,4,1,,{NS},1,{NS + 1},1,0", f"A,1,10.5,3,1,0,0,1,,{NS},1,{NS + 1},1,0", "quotes", [1025, 1050, 4, 3],
    ),
    "polygon bars": (
        "ticker,volume,open,close,high,low,window_start,transactions",
        f"A,7,10.25,10.5,10.5,10.25,{NS},3", f"A,7,10.25,10.5,10.5,10.25,{NS + 60 * 10**9},3", "bars", [1025, 1050, 1025, 1050],
    ),
    "taq trades": (
        "DATE,TIME_M,EX,SYM_ROOT,SYM_SUFFIX,TR_SCOND,SIZE,PRICE",
        "2024-03-08,9:30:00.000000000,N,A,,@,5,10.25", "2024-03-08,9:30:00.000000001,N,A,,@,1,10.5", "trades", [1025, 5, 0, 0],
    ),
    "taq quotes": (
        "DATE,TIME_M,EX,BID,BIDSIZ,ASK,ASKSIZ,QU_COND,SYM_ROOT,SYM_SUFFIX",
        "20240308,9:30:00.000000000,N,10.25,4,10.5,3,R,A,", "20240308,9:30:00.000000001,N,0,0,10.5,3,R,A,", "quotes", [1025, 1050, 4, 3],
    ),
    "truefx": ("", "EUR/USD,20240308 09:30:00.000,10.25,10.5", "EUR/USD,20240308 09:30:00.001,10.25,10.5", "quotes", [1025, 1050, 1, 1]),
    "histdata ticks": ("", "20240308 093000000,10.25,10.5,0", "20240308 093000001,10.25,10.5,0", "quotes", [1025, 1050, 1, 1]),
    "histdata bars": (
        "", "20240308 093000;10.25;10.5;10.25;10.5;0", "20240308 093100;10.25;10.5;10.25;10.5;0", "bars", [1025, 1050, 1025, 1050],
    ),
    "dukascopy ticks": (
        "Gmt time,Ask,Bid,AskVolume,BidVolume",
        "08.03.2024 09:30:00.000,10.5,10.25,0.75,1.5", "08.03.2024 09:30:00.001,10.5,10.25,0.75,1.5", "quotes", [1025, 1050, 150, 75],
    ),
    "metatrader bars": (
        "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>",
        "2024.03.08\t09:30:00\t10.25\t10.5\t10.25\t10.5\t9\t0\t1", "2024.03.08\t09:31:00\t10.25\t10.5\t10.25\t10.5\t9\t0\t1",
        "bars", [1025, 1050, 1025, 1050],
    ),
    "metatrader bars without names": (
        "", "2024.03.08,09:30,10.25,10.5,10.25,10.5,9", "2024.03.08,09:31,10.25,10.5,10.25,10.5,9", "bars", [1025, 1050, 1025, 1050],
    ),
    "yahoo bars": (
        "Date,Open,High,Low,Close,Adj Close,Volume", "2024-03-08,10.25,10.5,10.25,10.5,9,7", "2024-03-11,10.25,10.5,10.25,10.5,9,7",
        "bars", [1025, 1050, 1025, 1050],
    ),
    "algoseek trades": (
        "Date,Timestamp,EventType,Ticker,Price,Quantity,Exchange,Conditions",
        "20240308,09:30:00.000,TRADE NB,A,10.25,5,Q,0", "20240308,09:30:00.001,TRADE NB,A,10.5,1,Q,0", "trades", [1025, 5, 0, 0],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLES)
def test_tables_of_vendors(tmp_path, name):
    header, first, second, kind, expected = TABLES[name]
    feed = write_text(tmp_path, "\n".join([header] * bool(header) + [first, second, ""]))
    events = events_of(feed)
    assert (feed.kind, payload(events)[0], feed.errors) == (kind, expected, {})
    at = events["exch_ns"][0]
    assert at == NS + (86_400 * 10**9 * 3 - 34_200 * 10**9 if "yahoo" in name else 60 * 10**9 if kind == "bars" else 0)


def test_side_of_trades_is_that_of_the_resting_order(tmp_path):
    for name in ("binance trades", "binance aggregated trades without names"):  # the buyer was there first: a bid was hit
        header, *rows, _, _ = TABLES[name]
        assert events_of(write_text(tmp_path, "\n".join([header] * bool(header) + rows)))["side"].tolist() == [1, -1]
    for name in ("tardis trades", "bybit trades", "okx trades", "coinapi trades"):
        header, *rows, _, _ = TABLES[name]
        assert events_of(write_text(tmp_path, "\n".join([header, *rows])))["side"].tolist() == [-1, 1]


def test_a_column_of_makers_may_be_named_the_side(tmp_path):
    text = f"time,price,is_buyer_maker\n{T},1,true\n{T},1,False\n{T},1,\n{T},1,maybe\n"
    feed = write_text(tmp_path, text, columns={"side": "is_buyer_maker"})
    assert events_of(feed)["side"].tolist() == [1, -1, 0]
    assert feed.error_log == [(3, "side must be buy or sell: maybe")]
    for name, side in (("is_buy", -1), ("isSell", 1)):
        feed = write_text(tmp_path, f"time,price,size,{name}\n{T},1,5,1\n{T},1,5,false\n{T},1,5,\n{T},1,5,2\n")
        assert events_of(feed)["side"].tolist() == [side, -side, 0]
        assert feed.error_log == [(3, "side must be buy or sell: 2")]
    feed = write_text(tmp_path, f"time,price,aggressive\n{T},1,true\n{T},1,buy\n", columns={"side": "aggressive"})
    assert events_of(feed)["side"].tolist() == [-1]
    assert feed.error_log == [(0, "side must be buy or sell: true")]


def test_trades_of_nothing_are_refused(tmp_path):
    feed = write_text(tmp_path, f"time,price,size\n{T},1,0\n{T},1,2\n")
    assert len(events_of(feed)) == 1
    assert feed.error_log == [(0, "size of a trade must be positive: 0")]


LEVELS = "exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount\n"


def level_rows(*rows):
    return LEVELS + "".join(f"x,{s},{US + t},{US + t + 5},{image},{side},{price},{size}\n" for s, t, image, side, price, size in rows)


def test_changes_of_levels_build_the_book(tmp_path):
    feed = write_text(tmp_path, level_rows(
        ("BTC", 0, "true", "bid", 99, 5), ("BTC", 0, "true", "ask", 101, 4), ("BTC", 0, "true", "ask", 102, 3),
        ("BTC", 1, "false", "ask", 101, 0), ("BTC", 1, "false", "bid", 100, "0.5"), ("BTC", 2, "false", "bid", 99, 0),
        ("BTC", 3, "true", "bid", 98, 1), ("BTC", 3, "true", "ask", 103, 1), ("BTC", 4, "true", "bid", 97, 1),
    ))  # fmt: skip
    events = events_of(feed)
    assert (feed.kind, feed.book) == ("levels", "levels")
    assert ["level" if k == KINDS["level"] else "clear" for k in events["kind"]] == ["clear", *["level"] * 6, "clear", *["level"] * 3]
    assert (events["flags"] & FLAGS["continued"]).tolist() == [1, 1, 1, 0, 1, 0, 0, 1, 1, 0, 0]
    book, tops = LevelBook(0), []
    for start, end in pairwise((0, 4, 6, 7, 10, 11)):
        book.apply(events[start:end])
        tops.append((book.best_bid, book.best_bid_size, book.best_ask, book.best_ask_size))
    assert tops == [(99, 50, 101, 40), (100, 5, 102, 30), (100, 5, 102, 30), (98, 10, 103, 10), (98, 10, 103, 10)]


def test_changes_before_a_snapshot_are_refused(tmp_path):
    feed = write_text(tmp_path, level_rows(
        ("BTC", 0, "false", "bid", 99, 5), ("ETH", 0, "true", "bid", 9, 5), ("BTC", 1, "true", "bid", 98, 5), ("ETH", 1, "false", "ask", 10, 1),
    ))  # fmt: skip
    events = events_of(feed)
    assert feed.error_log == [(0, "a level must not come before the first snapshot of its symbol: false")]
    assert events["symbol_id"].tolist() == [1, 1, 0, 0, 1]  # the clears of both
    with pytest.raises(CorruptDataError, match="no row of the table could be read: rows=1"):
        events_of(write_text(tmp_path, level_rows(("BTC", 0, "false", "bid", 99, 5))))


@pytest.mark.parametrize("block", [100, 700, 1 << 20])
def test_snapshots_and_messages_across_blocks_are_whole(tmp_path, monkeypatch, block):
    import hft.feeds._csv_blocks as blocks

    whole = blocks.lines
    monkeypatch.setattr(blocks, "lines", lambda source, size: whole(source, block))
    random = np.random.default_rng(1)
    rows, books, made = [], {"A": {}, "B": {}}, {}
    for t in range(60):
        for name, book in books.items():
            image = t == 0 or random.random() < 0.1
            if image:
                book.clear()
            for level in range(int(random.integers(1, 6))):
                side, size = ("bid", "ask")[level % 2], int(random.integers(0, 5))
                price = int(random.integers(90, 100)) + 10 * (side == "ask")
                if image and (size == 0 or (side, price) in book):
                    size = 1
                book[side, price] = size
                rows.append((name, t, str(image).lower(), side, price, size))
    events = events_of(write_text(tmp_path, level_rows(*rows)))
    for i, (_, levels) in enumerate(books.items()):
        book = LevelBook(i)
        assert set(book.apply(events[events["symbol_id"] == i])) == {"ok"}
        made = {(side, price): size for side in ("bid", "ask") for price, size in depth(book, side)}
        assert made == {key: size for key, size in levels.items() if size}


def depth(book, side):
    bids, asks = book.depth(64)
    return [(int(row[0]), int(row[1])) for row in (bids if side == "bid" else asks)]


def test_levels_without_a_column_of_snapshots(tmp_path):
    text = f"time,side,price,size\n{T},bid,99,1\n{T},offer,100,2\n{T + 1},bid,99,0\n{T + 1},x,99,0\n"
    feed = write_text(tmp_path, text, kind="levels")
    events = events_of(feed)
    assert (events["kind"] == KINDS["level"]).all()
    assert payload(events) == [[99, 1, 0, 0], [100, 2, 0, 0], [99, 0, 0, 0]]
    assert feed.error_log == [(3, "side of a level must be bid or ask: x")]


@pytest.mark.parametrize(
    "header",
    [
        "timestamp,asks[0].price,asks[0].amount,bids[0].price,bids[0].amount,asks[1].price,asks[1].amount,bids[1].price,bids[1].amount",
        "timestamp,ask_px_00,ask_sz_00,bid_px_00,bid_sz_00,ask_px_01,ask_sz_01,bid_px_01,bid_sz_01",
        "time,AskPrice1,AskSize1,BidPrice1,BidSize1,AskPrice2,AskSize2,BidPrice2,BidSize2",
        "time,ask_1_price,ask_1_size,bid_1_price,bid_1_size,ask_2_price,ask_2_size,bid_2_price,bid_2_size",
    ],
)
def test_rows_of_whole_books_become_what_changes(tmp_path, header):
    text = f"{header}\n{T},101,4,99,5,102,3,98,1\n{T + 1},102,3,100,1,103,2,99,5\n{T + 2},102,3,100,1,103,2,99,5\n{T + 3},102,3,100,1,,,,\n"
    feed = write_text(tmp_path, text)
    events = events_of(feed)
    assert (feed.kind, feed.book, feed.errors) == ("books", "levels", {})
    assert events["kind"][0] == KINDS["clear"] and (events["flags"][:5] & FLAGS["snapshot"] > 0).all()
    book = LevelBook(0)
    for until, top in ((T, (99, 5, 101, 4)), (T + 1, (100, 1, 102, 3)), (T + 3, (100, 1, 102, 3))):
        book = LevelBook(0)
        book.apply(events[events["exch_ns"] <= until * 10**6])
        assert (book.best_bid, book.best_bid_size, book.best_ask, book.best_ask_size) == top
    assert (depth(book, "bid"), depth(book, "ask")) == ([(100, 1)], [(102, 3)])
    assert (events["exch_ns"] == (T + 2) * 10**6).sum() == 0


def test_books_of_several_instruments_keep_apart(tmp_path):
    header = "symbol,timestamp," + ",".join(f"{side}s[{i}].{what}" for i in (0, 1) for side in ("ask", "bid") for what in ("price", "amount"))
    text = f"{header}\nA,{US},101,4,99,5,102,3,98,1\nB,{US},11,4,9,5,12,3,8,1\nA,{US + 1},101,3,99,5,102,3,98,1\nB,{US + 1},11,4,9,5,13,3,8,1\n"
    events = events_of(write_text(tmp_path, text))
    for i, asks in enumerate(([(101, 3), (102, 3)], [(11, 4), (13, 3)])):
        book = LevelBook(i)
        book.apply(events[events["symbol_id"] == i])
        assert depth(book, "ask") == asks


MBO = "ts_recv,ts_event,rtype,publisher_id,instrument_id,action,side,price,size,channel_id,order_id,flags,ts_in_delta,sequence,symbol"


@pytest.mark.parametrize("scaled", [True, False])
def test_databento_orders(tmp_path, scaled):
    def row(action, side, price, size, order):
        price = round(price * 10**9) if scaled and price else f"{price:.9f}" if price else 2**63 - 1 if scaled else ""
        return f"{NS + 1},{NS},160,1,5,{action},{side},{price},{size},0,{order},128,0,9,ES\n"

    rows = [
        row("R", "N", 0, 0, 0), row("A", "B", 99.75, 5, 1), row("A", "A", 100.25, 4, 2), row("C", "B", 99.75, 2, 1),
        row("T", "B", 100.25, 1, 0), row("F", "A", 100.25, 1, 2), row("C", "A", 100.25, 1, 2), row("M", "B", 99.5, 3, 1),
        row("N", "N", 0, 0, 0),
    ]  # fmt: skip
    feed = write_text(tmp_path, f"{MBO}\n" + "".join(rows))
    events = events_of(feed)
    assert (feed.kind, feed.errors, feed.instruments[0].symbol, feed.instruments[0].tick_size) == ("orders", {}, "ES", 0.01)
    kinds = {"clear": 1, "add": 2, "cancel": 1, "execute": 1, "notice": 2, "replace": 1}  # the trade is that of the fill
    assert feed.messages == kinds
    book = OrderBook(0)
    book.apply(events)
    assert (book.best_bid, book.best_bid_size, book.best_ask, book.best_ask_size) == (9950, 3, 10025, 3)


def test_books_of_several_publishers_are_not_one(tmp_path):
    rows = "".join(f"{NS},{NS},160,{p},5,A,B,10.5,1,0,{p},128,0,9,ES\n" for p in (39, 40, 39))
    with pytest.raises(FormatError, match=r"orders of several publishers must be told apart, with the option only: publisher_id=\[39, 40\]"):
        events_of(write_text(tmp_path, f"{MBO}\n{rows}"))
    assert len(events_of(write_text(tmp_path, f"{MBO}\n{rows}", only={"publisher_id": 39}))) == 2


def test_databento_best_prices_have_empty_sides(tmp_path):
    header = "ts_recv,ts_event,rtype,publisher_id,instrument_id,action,side,depth,price,size,flags,ts_in_delta,sequence,"
    header += "bid_px_00,ask_px_00,bid_sz_00,ask_sz_00,bid_ct_00,ask_ct_00,symbol"
    text = f"{header}\n" + "".join(
        f"{NS},{NS},1,1,5,A,B,0,99750000000,5,128,0,9,{bid},100250000000,{size},4,1,1,ES\n" for bid, size in ((99750000000, 5), (2**63 - 1, 0))
    )
    feed = write_text(tmp_path, text)
    assert payload(events_of(feed)) == [[9975, 10025, 5, 4], [NO_PRICE, 10025, 0, 4]]
    assert (feed.kind, feed.errors) == ("quotes", {})
    trades = text.replace(",A,B,0,", ",T,B,0,", 1)
    assert payload(events_of(write_text(tmp_path, trades, kind="trades"))) == [[9975, 5, 0, 0]]  # the rows that are trades alone


@pytest.mark.parametrize(
    ("header", "rule"),
    [
        (
            "exchange,symbol,timestamp,local_timestamp,funding_timestamp,funding_rate,predicted_funding_rate,open_interest,last_price,index_price,mark_price",
            "a table must have rows of quotes, trades, .*: this is a table of funding and open interest",
        ),
        ("timestamp,percentage,depth,notional", "this is a table of depth by percentage"),
        ("a,b,c", "the columns of a table must say what it is, or kind and columns must: missing of quotes: time, bid, ask; bars: time, open"),
        ("time,bid,size", "missing of quotes: ask; bars: open, high, low, close; orders: action, id; .*trades: price: names="),
    ],
)  # fmt: skip
def test_a_table_that_is_none_of_them_is_refused_with_what_it_lacks(tmp_path, header, rule):
    (tmp_path / "x.csv").write_text(f"{header}\n" + ",".join("1" * len(header.split(","))) + "\n")
    with pytest.raises(FormatError, match=rule):
        open_feed(tmp_path / "x.csv")


def test_quotes_and_trades_in_one_table_must_be_told_apart(tmp_path):
    text = f"#RIC,Date-Time,Type,Price,Volume,Bid Price,Bid Size,Ask Price,Ask Size\nA,{T},Quote,,,10.25,4,10.5,3\nA,{T},Trade,10.5,5,,,,\n"
    columns = {"time": "Date-Time"}
    rule = r"rows of several kinds must be told apart, with the options kind and only: column=Type values=\['QUOTE', 'TRADE'\]"
    with pytest.raises(ValueError, match=rule):
        write_text(tmp_path, text, columns=columns)
    quotes = write_text(tmp_path, text, columns=columns, kind="quotes", only={"Type": "Quote"})
    assert payload(events_of(quotes)) == [[1025, 1050, 4, 3]]
    trades = write_text(tmp_path, text, columns=columns, kind="trades", only={"Type": ["Trade"]})
    assert payload(events_of(trades)) == [[105, 5, 0, 0]]
    with pytest.raises(ValueError, match="rows of several kinds"):
        write_text(tmp_path, text, columns=columns, kind="trades")
    events = "Date,Timestamp,EventType,Ticker,Price,Quantity\n20240308,09:30:00,QUOTE BID,A,10.25,4\n20240308,09:30:00,TRADE NB,A,10.5,5\n"
    with pytest.raises(ValueError, match=r"column=EventType values=\['QUOTE BID', 'TRADE NB'\]"):
        write_text(tmp_path, events)
    assert payload(events_of(write_text(tmp_path, events, only={"EventType": "trade nb"}))) == [[1050, 5, 0, 0]]
    with pytest.raises(ValueError, match="only must name columns of the file: X"):
        write_text(tmp_path, text, columns=columns, kind="trades", only={"X": "Trade"})


@pytest.mark.parametrize(
    "rows",
    [
        [f"{T},10.25,0.5", f"{T + 1},10.5,1"],  # time, price, size
        [f"{T},99.75,100", f"{T + 1},99.5,100"],
        [f"{T},1,2,3,4,5", f"{T + 1},9,2,3,4,5"],  # high below low
        [f"{T},10.25", f"{T},10.5"],
        ["1,2,3,4,5,6,7,8,9", "1,2,3,4,5,6,7,8,9"],
    ],
)  # fmt: skip
def test_a_table_without_names_is_not_guessed(tmp_path, rows):
    with pytest.raises(FormatError, match="a table without names of columns must be one of a known kind, or be given the options kind"):
        write_text(tmp_path, "\n".join(rows) + "\n")


def test_a_table_without_names_may_be_told(tmp_path):
    feed = write_text(tmp_path, f"{T},10.25,0.5\n{T + 1},10.5,1\n", kind="trades")
    assert payload(events_of(feed)) == [[1025, 5, 0, 0], [1050, 10, 0, 0]]
    feed = write_text(tmp_path, f"{T},x,0.5,10.25\n", kind="trades", columns={"time": 0, "size": 2, "price": 3})
    assert payload(events_of(feed)) == [[1025, 5, 0, 0]]


def test_type_of_a_trade_may_be_its_side(tmp_path):
    feed = write_text(tmp_path, f"id,time,type,price,size\n7,{T},buy,10.25,5\n8,{T},sell,10.5,5\n")
    assert (events_of(feed)["side"].tolist(), feed.kind) == ([-1, 1], "trades")


def test_actions_without_a_meaning_are_said(tmp_path):
    text = "time,action,id,price,size,side\n" + "".join(f"{T},{a},{i},10,1,B\n" for i, a in enumerate(["A", "Q"] * 60))
    feed = write_text(tmp_path, text)
    with pytest.raises(FormatError, match=r"actions must have a word for every action: unknown=\['Q'\] known=\["):
        events_of(feed)
    with pytest.raises(FormatError, match=r"actions must have a word for every action: unknown=\['MARKET'\]"):
        events_of(write_text(tmp_path, f"time,type,id,price,size\n{T},market,1,10,1\n"))  # not trades without a word
    feed = write_text(tmp_path, text.replace("Q", "A", 59))  # a single one costs its row
    assert len(events_of(feed)) == 119
    assert feed.errors == {"action must be known": 1}


def test_words_may_say_what_is_a_snapshot(tmp_path):
    feed = write_text(tmp_path, f"instId,action,side,px,sz,ts\nBTC,snapshot,bid,9,1,{T}\nBTC,update,bid,9,0,{T + 1}\n")
    assert (feed.kind, events_of(feed)["kind"].tolist()) == ("levels", [KINDS["clear"], KINDS["level"], KINDS["level"]])


@pytest.mark.parametrize("close", ["Last", "Close/Last", "Price"])
def test_bars_may_call_their_close_otherwise(tmp_path, close):
    feed = write_text(tmp_path, f"Date,Open,High,Low,{close},Volume\n2024-03-08,1,2,1,2,3\n2024-03-09,1,2,1,2,3\n")
    assert (payload(events_of(feed))[0], feed.kind) == ([1, 2, 1, 2], "bars")


def test_sizes_that_no_column_is_known_to_have_are_said(tmp_path, caplog):
    feed = write_text(tmp_path, f"time,price,how many\n{T},1,7\n")
    assert payload(events_of(feed)) == [[1, 1, 0, 0]]
    assert list(feed.remarks) == ["no column has the role size: each row is of 1 lots"]
    assert "no column has the role size" in caplog.text
    feed = write_text(tmp_path, f"time,price,how many\n{T},1,7\n", columns={"size": "how many"})
    assert (payload(events_of(feed)), feed.remarks) == ([[1, 7, 0, 0]], {})


@pytest.mark.parametrize(("count", "names"), [(2, r"\(S0, S1\)$"), (9, r"S6, S7, \.\.\.\)$")])
def test_symbols_to_choose_from_are_all_named_or_said_to_go_on(tmp_path, count, names):
    feed = write_text(tmp_path, "time,symbol,price\n" + "".join(f"{T},S{i},1\n" for i in range(count)))
    with pytest.raises(UnknownSymbolInFile, match=names):
        feed.begin()


def test_zero_may_be_the_price_of_none(tmp_path):
    text = f"time,bid,ask\n{T},0,10.5\n{T},10.25,0\n"
    feed = write_text(tmp_path, text, empty=0)
    assert payload(events_of(feed)) == [[NO_PRICE, 1050, 0, 1], [1025, NO_PRICE, 1, 0]]
    feed = write_text(tmp_path, text)
    rule = "rows=2 first: row=0 bid of 0 needs a size, or the option empty, to be told from an empty side: 0"
    with pytest.raises(CorruptDataError, match=rule):
        events_of(feed)
    feed = write_text(tmp_path, f"time,bid,ask,bid_size,ask_size\n{T},0,10,3,3\n{T},0,10,0,3\n")  # spreads do trade at 0
    assert payload(events_of(feed)) == [[0, 10, 3, 3], [NO_PRICE, 10, 0, 3]]


def test_empty_fields_may_mean_no_change(tmp_path):
    text = "<DATE>\t<TIME>\t<BID>\t<ASK>\t<LAST>\t<VOLUME>\t<FLAGS>\n" + "".join(
        f"2024.03.08\t09:30:00.{i:03}\t{bid}\t{ask}\t\t\t6\n" for i, (bid, ask) in enumerate([("10.25", "10.5"), ("", "10.75"), ("10.5", "")])
    )
    feed = write_text(tmp_path, text)
    assert payload(events_of(feed)) == [[1025, 1050, 1, 1], [1025, 1075, 1, 1], [1050, 1075, 1, 1]]


def test_frames_are_recognised_like_files():
    header, first, second, kind, expected = TABLES["tardis quotes"]
    rows = [row.split(",") for row in (first, second)]
    columns = {name: [row[i] or None for row in rows] for i, name in enumerate(header.split(","))}
    feed = from_frame(pa.table(columns))
    assert (payload(events_of(feed))[0], feed.kind) == (expected, kind)
