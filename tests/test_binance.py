"""Binance lines: every field of every message, the rules of the book's chain, malformed lines, arrays that are too small."""

import gzip
import mmap

import numpy as np
import pytest

from fastcore.errors import CorruptDataError
from fastcore.records import EVENT_DTYPE, FLAGS, KINDS, NO_PRICE
from fastcore.reference import binance as twin
from fastcore.wire.binance import BinanceDecoder

MODULE = "wire.binance"
NS = 1_723_161_253_937_085_768
MS = 1_723_161_255_208
CONTINUED, SNAPSHOT = FLAGS["continued"], FLAGS["snapshot"]

SPOT_QUOTE = '{"u":50,"s":"BTCUSDT","b":"61837.63000000","B":"3.78826000","a":"61837.64000000","A":"1.54698000"}'
USDM_QUOTE = (
    '{"e":"bookTicker","u":51,"s":"BTCUSDT","b":"61800.20","B":"2.507","a":"61800.30","A":"2.510","T":1723161255208,'
    '"E":1723161255209}'
)
COINM_QUOTE = (
    '{"e":"bookTicker","u":52,"s":"BTCUSD_PERP","ps":"BTCUSD","b":"61800.2","B":"100","a":"61800.3","A":"7",'
    '"T":1723161255208,"E":1723161255209}'
)
SPOT_TRADE = (
    '{"e":"trade","E":1723161255343,"s":"BTCUSDT","t":3735683259,"p":"61837.63000000","q":"0.02000000","T":1723161255208,'
    '"m":true,"M":true}'
)
USDM_TRADE = (
    '{"e":"trade","E":1723161256322,"T":1723161255208,"s":"BTCUSDT","t":5266583935,"p":"61800.30","q":"0.006","X":"MARKET",'
    '"m":false}'
)
AGGREGATE = (
    '{"e":"aggTrade","E":1723161255300,"s":"BTCUSDT","a":26129,"p":"0.01633102","q":"4.70443515","f":27781,"l":27790,'
    '"T":1723161255208,"m":true,"M":true}'
)


def spot_diff(first, last, bids=(("100", "1"),), asks=(), symbol="BTCUSDT"):
    return f'{{"e":"depthUpdate","E":{MS},"s":"{symbol}","U":{first},"u":{last},"b":{text(bids)},"a":{text(asks)}}}'


def usdm_diff(first, last, previous, bids=(("100", "1"),), asks=()):
    return (
        f'{{"e":"depthUpdate","E":{MS + 1},"T":{MS},"s":"BTCUSDT","U":{first},"u":{last},"pu":{previous},"b":{text(bids)},'
        f'"a":{text(asks)}}}'
    )


def image(last, bids=(("99", "1"), ("98", "2")), asks=(("101", "3"),)):
    return f'{{"lastUpdateId":{last},"bids":{text(bids)},"asks":{text(asks)}}}'


def text(levels):
    return "[" + ",".join(f'["{p}","{q}"]' for p, q in levels) + "]"


def wrap(stream, message):
    return f'{{"stream":"{stream}","data":{message}}}'


def run(d, *messages, room=200, head=f"{NS} "):
    out = np.zeros(room, EVENT_DTYPE)
    data = "".join(f"{head}{m}\n" for m in messages).encode()
    n, consumed = d.decode(data, out)
    assert consumed == len(data)
    return out[:n].tolist()


def brief(events):
    """(kind, side, price, size) of each event, or (gap, first missing, how many)."""
    names = {number: name for name, number in KINDS.items()}
    return [
        (names[e[4]], *e[7:9]) if e[4] == KINDS["gap"] else (names[e[4]], e[5], *(x // 10**8 for x in e[7:9])) for e in events
    ]


LEVEL = ("level", 1, 100, 1)
IMAGE = [("clear", 0, 0, 0), ("level", 1, 99, 1), ("level", 1, 98, 2), ("level", -1, 101, 3)]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (SPOT_QUOTE, (50, 0, NS, 0, "quote", 0, 0, 6183763000000, 6183764000000, 378826000, 154698000)),
        (USDM_QUOTE, (51, MS * 10**6, NS, 0, "quote", 0, 0, 6180020000000, 6180030000000, 250700000, 251000000)),
        (COINM_QUOTE, (52, MS * 10**6, NS, 0, "quote", 0, 0, 6180020000000, 6180030000000, 100 * 10**8, 7 * 10**8)),
        (SPOT_TRADE, (0, MS * 10**6, NS, 0, "trade", 1, 0, 6183763000000, 2000000, 0, 3735683259)),
        (USDM_TRADE, (0, MS * 10**6, NS, 0, "trade", -1, 0, 6180030000000, 600000, 0, 5266583935)),
        (AGGREGATE, (0, MS * 10**6, NS, 0, "trade", 1, 0, 1633102, 470443515, 27781, 26129)),
    ],
    ids=["spot quote", "usdm quote", "coinm quote", "spot trade", "usdm trade", "aggregate trade"],
)
def test_message_becomes_event(impl, message, expected):
    expected = (*expected[:4], KINDS[expected[4]], *expected[5:])
    d = impl.BinanceDecoder()
    # Key by key, by its form, wrapped, wrapped by its form.
    events = run(d, message, message, wrap("x@y", message), wrap("x@y", message))
    assert events == [expected] * 4
    assert sum(d.counts.values()) == 4 and d.errors == {}


def test_diff_becomes_levels(impl):
    d = impl.BinanceDecoder(2, 3)
    run(d, usdm_diff(1, 5, 0), image(9))
    bids, asks = (("61800.20", "2.507"), ("58710.2", "0.000")), (("61801", "7"),)
    for first in (10, 21):  # the second one by its form
        events = run(d, wrap("btcusdt@depth", usdm_diff(first, first + 9, first - 1, bids, asks)))
        head = (first + 9, MS * 10**6, NS, 0, KINDS["level"])
        tail = (first, first - 1)
        assert events == [
            (*head, 1, CONTINUED, 6180020, 2507, *tail),
            (*head, 1, CONTINUED, 5871020, 0, *tail),
            (*head, -1, 0, 6180100, 7000, *tail),
        ]
        run(d, usdm_diff(first + 10, first + 10, first + 9, ()))
    assert d.counts == {"depthUpdate": 5, "snapshot": 1}


def test_image_becomes_clear_and_levels(impl):
    d = impl.BinanceDecoder(0, 0, image_symbol="BTCUSDT")
    assert run(d, image(7)) == [
        (7, 0, NS, 0, KINDS["clear"], 0, SNAPSHOT | CONTINUED, 0, 0, 7, 7),
        (7, 0, NS, 0, KINDS["level"], 1, SNAPSHOT | CONTINUED, 99, 1, 7, 7),
        (7, 0, NS, 0, KINDS["level"], 1, SNAPSHOT | CONTINUED, 98, 2, 7, 7),
        (7, 0, NS, 0, KINDS["level"], -1, SNAPSHOT, 101, 3, 7, 7),
    ]
    assert run(d, image(8, (), ())) == [(8, 0, NS, 0, KINDS["clear"], 0, SNAPSHOT, 0, 0, 8, 8)]
    named = '{"lastUpdateId":9,"symbol":"ETHUSD_PERP","pair":"ETHUSD","E":5,"T":1723161255208,"bids":[],"asks":[]}'
    assert run(d, named) == [(9, MS * 10**6, NS, 1, KINDS["clear"], 0, SNAPSHOT, 0, 0, 9, 9)]


def test_message_without_exchange_time_has_the_latest_of_its_symbol(impl):
    d = impl.BinanceDecoder()
    other = SPOT_QUOTE.replace("BTCUSDT", "ETHUSDT")
    assert [e[1] for e in run(d, SPOT_QUOTE, SPOT_TRADE, SPOT_QUOTE, other, SPOT_QUOTE)] == [0, MS * 10**6, MS * 10**6, 0, MS * 10**6]


def test_microseconds_are_recognised(impl):
    d = impl.BinanceDecoder()
    assert run(d, SPOT_TRADE.replace('"T":1723161255208', '"T":1723161255208123'))[0][1] == 1_723_161_255_208_123_000


def test_lines_without_receive_time(impl):
    d = impl.BinanceDecoder()
    assert [e[2] for e in run(d, SPOT_QUOTE, SPOT_QUOTE, head="")] == [0, 0]


def test_empty_side_has_no_price(impl):
    d = impl.BinanceDecoder()
    empty = SPOT_QUOTE.replace('"61837.63000000","B":"3.78826000"', '"0.00000000","B":"0.00000000"')
    assert run(d, SPOT_QUOTE, empty)[1][7:] == (NO_PRICE, 6183764000000, 0, 154698000)


def test_trades_outside_the_book_are_flagged_and_those_of_nothing_skipped(impl):
    d = impl.BinanceDecoder()
    fund = USDM_TRADE.replace("MARKET", "INSURANCE_FUND")
    assert [e[6] for e in run(d, fund, fund, USDM_TRADE)] == [FLAGS["not_printable"]] * 2 + [0]
    assert run(d, USDM_TRADE.replace("61800.30", "0").replace("0.006", "0"), USDM_TRADE.replace("0.006", "0")) == []
    assert d.skipped == 2 and d.counts == {"trade": 5}


@pytest.mark.parametrize(
    ("number", "decimals", "expected"),
    [
        ("61837.63000000", 8, 6183763000000),
        ("61837.63000000", 2, 6183763),
        ("61837.63000000", 1, None),
        ("0.00000001", 8, 1),
        ("0.000000010", 8, 1),
        ("0.0000000100000000000000000000", 8, 1),
        ("0.000000011", 8, None),
        ("7", 8, 700000000),
        ("0012.5", 3, 12500),
        ("92233720368.54775807", 8, 2**63 - 1),
        ("92233720368.54775808", 8, None),
        ("9223372036854775807", 0, 2**63 - 1),
        ("9223372036854775808", 0, None),
        ("99999999999999999999999999", 0, None),
        ("123456789.123456789", 9, 123456789123456789),
        ("9.223372036854775807", 18, 2**63 - 1),
        ("12345678", 0, 12345678),
        ("1234567.12345678", 8, 123456712345678),
    ],
)
def test_decimals_are_exact_or_refused(impl, number, decimals, expected):
    d = impl.BinanceDecoder(decimals, 8)
    message = SPOT_TRADE.replace("61837.63000000", number)
    events = run(d, message, message)
    if expected is None:
        assert events == [] and d.errors == {"price outside range": 2}
    else:
        assert [e[7] for e in events] == [expected] * 2
    d = impl.BinanceDecoder(8, decimals)
    message = SPOT_TRADE.replace("0.02000000", number)
    events = run(d, message, message)
    if expected is None:
        assert events == [] and d.errors == {"size outside range": 2}
    else:
        assert [e[8] for e in events] == [expected] * 2


# ---- the chain ----


def test_diffs_before_the_image_wait_and_follow_it(impl):
    d = impl.BinanceDecoder()
    assert run(d, spot_diff(1, 3), spot_diff(4, 8, (("97", "5"),)), spot_diff(9, 9, (("96", "6"),))) == []
    assert d.held == 6
    events = run(d, image(5))
    assert brief(events) == [*IMAGE, ("level", 1, 97, 5), ("level", 1, 96, 6)]
    assert (d.stale, d.held, d.gaps, d.pending) == (1, 0, 0, 0)
    assert brief(run(d, spot_diff(10, 12))) == [LEVEL]


@pytest.mark.parametrize(("first", "last", "outcome"), [(5, 7, "ok"), (8, 9, "ok"), (7, 8, "ok"), (7, 7, "stale"), (9, 9, "gap")])
def test_first_diff_of_spot_must_cover_the_image(impl, first, last, outcome):
    d = impl.BinanceDecoder(image_symbol="BTCUSDT")
    events = run(d, image(7), spot_diff(first, max(first, last) + (outcome == "ok" and last == 7)))[4:]
    assert brief(events) == {"ok": [LEVEL], "stale": [], "gap": [("gap", 8, 1)]}[outcome]
    assert d.stale == (outcome == "stale") and d.gaps == (outcome == "gap")


@pytest.mark.parametrize(
    ("first", "last", "previous", "outcome"),
    [(60, 90, 50, "ok"), (75, 90, 65, "ok"), (75, 90, 70, "ok"), (75, 90, 71, "gap"), (60, 70, 50, "stale")],
)
def test_first_diff_of_futures_must_cover_the_image(impl, first, last, previous, outcome):
    d = impl.BinanceDecoder(image_symbol="BTCUSDT")
    events = run(d, image(70), usdm_diff(first, last, previous))[4:]
    assert brief(events) == {"ok": [LEVEL], "stale": [], "gap": [("gap", 71, -1)]}[outcome]


def test_break_makes_a_gap_and_the_next_image_repairs_it(impl):
    d = impl.BinanceDecoder()
    run(d, spot_diff(1, 3), image(3))
    for message in (spot_diff, lambda a, b, c=(("100", "1"),): wrap("btcusdt@depth", spot_diff(a, b, c))):
        before = d.gaps
        last = 3 if before == 0 else 14
        assert brief(run(d, message(last + 1, last + 2))) == [LEVEL]
        gap = run(d, message(last + 5, last + 6))
        assert gap == [(last + 6, MS * 10**6, NS, 0, KINDS["gap"], 0, 0, last + 3, 2, 0, 0)]
        # Stale until the image: nothing is delivered, nothing is lost.
        assert run(d, message(last + 7, last + 9, (("95", "5"),))) == []
        assert d.held == 4
        assert brief(run(d, image(last + 6))) == [*IMAGE, ("level", 1, 95, 5)]
        assert brief(run(d, message(last + 10, last + 11))) == [LEVEL]
        assert d.gaps == before + 1


def test_image_that_is_too_old_ends_in_a_gap_and_the_diffs_still_wait(impl):
    d = impl.BinanceDecoder()
    run(d, spot_diff(10, 12), spot_diff(13, 15))
    assert brief(run(d, image(5))) == [*IMAGE, ("gap", 6, 4)]
    assert d.held == 4
    assert brief(run(d, image(12))) == [*IMAGE, LEVEL]


def test_image_older_than_the_book_is_dropped(impl):
    d = impl.BinanceDecoder()
    run(d, spot_diff(1, 3), image(3), spot_diff(4, 9))
    assert run(d, image(8)) == [] and d.stale_images == 1
    assert brief(run(d, image(9))) == IMAGE
    assert brief(run(d, spot_diff(10, 10))) == [LEVEL]


def test_repeated_diff_is_dropped_and_empty_ones_take_part(impl):
    d = impl.BinanceDecoder()
    run(d, spot_diff(1, 3), image(3))
    assert run(d, spot_diff(4, 5, ()), spot_diff(4, 5, ()), spot_diff(4, 5)) == [] and d.stale == 3
    assert brief(run(d, spot_diff(6, 6))) == [LEVEL]
    assert d.gaps == 0


def test_symbols_have_chains_of_their_own(impl):
    d = impl.BinanceDecoder()
    other = '{"lastUpdateId":3,"symbol":"ETHUSDT","bids":[],"asks":[]}'
    events = run(d, spot_diff(1, 3), spot_diff(1, 3, symbol="ETHUSDT"), other, spot_diff(4, 4, symbol="ETHUSDT"), spot_diff(4, 4))
    assert [(e[3], e[4]) for e in events] == [(1, KINDS["clear"]), (1, KINDS["level"])]
    assert d.symbols == {0: ("BTCUSDT", 8, 8), 1: ("ETHUSDT", 8, 8)}
    assert run(d, image(5)) == [] and d.errors == {"unknown symbol": 1}  # whose would it be?


def test_diffs_that_wait_are_bounded_and_the_newest_stay(impl):
    d = impl.BinanceDecoder(max_held=10)
    for i in range(20):
        run(d, spot_diff(i, i))
        assert d.held <= 10
    assert d.dropped > 0 and d.held + 2 * d.dropped == 40
    first = 20 - d.held // 2
    assert brief(run(d, image(first - 1)))[4:] == [LEVEL] * (20 - first)
    d = impl.BinanceDecoder(max_held=2)
    run(d, spot_diff(0, 0, (("1", "1"),) * 2))
    assert d.held == 0 and d.dropped == 1


def test_partial_depth_is_an_image_where_there_are_no_diffs(impl):
    d = impl.BinanceDecoder()
    best = wrap("ethusdt@depth5@100ms", '{"lastUpdateId":7,"bids":[["9","1"]],"asks":[]}')
    assert brief(run(d, best)) == [("clear", 0, 0, 0), ("level", 1, 9, 1)]
    futures = wrap("btcusdt@depth20", usdm_diff(1, 5, 0))
    assert brief(run(d, futures, futures.replace('"u":5', '"u":6'))) == [("clear", 0, 0, 0), LEVEL] * 2
    assert d.symbols == {0: ("ETHUSDT", 8, 8), 1: ("BTCUSDT", 8, 8)}
    run(d, spot_diff(8, 8, symbol="ETHUSDT"))
    assert run(d, best.replace(":7,", ":9,")) == []
    assert d.counts == {"snapshot": 3, "depthUpdate": 1, "other": 1}


# ---- lines ----


def test_keys_come_in_any_order_and_unknown_ones_are_skipped(impl):
    d = impl.BinanceDecoder()
    odd = (
        '{"A":"1.54698000","zz":[{"u":1},"b"],"a":"61837.64000000","B":"3.78826000","more":{"s":"x"},"n":null,"b":"61837.63000000",'
        '"s":"BTCUSDT","x":-1.5e3,"u":50}'
    )
    assert run(d, odd, odd) == run(impl.BinanceDecoder(), SPOT_QUOTE, SPOT_QUOTE)
    spaced = SPOT_QUOTE.replace(":", " : ").replace(",", " ,\t")
    assert run(d, spaced, spaced) == run(impl.BinanceDecoder(), SPOT_QUOTE, SPOT_QUOTE)


def test_form_that_changes_is_learnt_anew(impl):
    d = impl.BinanceDecoder()
    more = SPOT_QUOTE.replace("}", ',"st":1}')
    events = run(d, *(wrap("btcusdt@bookTicker", m) for m in [SPOT_QUOTE, SPOT_QUOTE, more, more, SPOT_QUOTE, more]))
    assert len(set(events)) == 1 and len(events) == 6


def test_other_messages_are_counted(impl):
    d = impl.BinanceDecoder()
    others = ['{"result":null,"id":1}', '{"e":"kline","s":"BTCUSDT"}', wrap("!ticker@arr", "[1]"), "{}", '{"e":7}', '{"u":1}']
    assert run(d, *others) == []
    assert d.counts == {"other": 6} and d.errors == {}


MALFORMED = {
    "no JSON": "hello",
    "cut": SPOT_QUOTE[:-5],
    "no object": "[1]",
    "two values": SPOT_QUOTE + "{}",
    "escape": SPOT_QUOTE.replace("BTC", "\\u0042TC"),
    "key twice": SPOT_QUOTE.replace('"u":50', '"u":50,"u":50'),
    "number that is none": SPOT_QUOTE.replace(":50", ":050"),
    "negative id": SPOT_QUOTE.replace(":50", ":-50"),
    "id beyond int64": SPOT_QUOTE.replace(":50", ":9223372036854775808"),
    "id with a point": SPOT_QUOTE.replace(":50", ":50.0"),
    "price that is no string": SPOT_QUOTE.replace('"61837.63000000"', "61837.63000000"),
    "price with an exponent": SPOT_QUOTE.replace('"61837.63000000"', '"6e4"'),
    "negative price": SPOT_QUOTE.replace('"61837.63000000"', '"-1"'),
    "point without digits": SPOT_QUOTE.replace('"61837.63000000"', '"61837."'),
    "no price": SPOT_TRADE.replace('"p":"61837.63000000",', ""),
    "flag that is none": SPOT_TRADE.replace("true", "1"),
    "time beyond int64": SPOT_TRADE.replace('"T":1723161255208', '"T":9300000000000000'),
    "no symbol": SPOT_TRADE.replace('"s":"BTCUSDT",', ""),
    "level that is no pair": spot_diff(1, 2).replace('["100","1"]', '["100"]'),
    "level that is no array": spot_diff(1, 2).replace('["100","1"]', '"100"'),
    "levels that are none": spot_diff(1, 2).replace('[["100","1"]]', "5"),
    "ids that go backwards": spot_diff(5, 3),
    "nested too deep": '{"e":"x","k":' + "[" * 64 + "]" * 64 + "}",
    "control character": SPOT_QUOTE.replace("BTC", "B\x01C"),
    "NaN": '{"e":NaN}',
}


@pytest.mark.parametrize("line", MALFORMED.values(), ids=MALFORMED)
def test_malformed_line_is_counted_with_its_offset_and_skipped(impl, line):
    d = impl.BinanceDecoder()
    good = f"{NS} {SPOT_QUOTE}\n"
    data = f"{good}{NS} {line}\n{good}".encode()
    out = np.zeros(10, EVENT_DTYPE)
    assert d.decode(data, out) == (2, len(data))
    assert d.errors == {"corrupt": 1} and d.error_log == [(len(good), "corrupt")]
    strict = impl.BinanceDecoder(strict=True)
    with pytest.raises(CorruptDataError, match=f"offset={len(good)}") as error:
        strict.decode(data, out)
    assert (error.value.offset, error.value.events, strict.position) == (len(good), 1, len(good))


@pytest.mark.parametrize("head", ["x ", "-5 ", "05 ", "9223372036854775808 ", "5", " ", "5  x"])
def test_malformed_receive_time(impl, head):
    d = impl.BinanceDecoder()
    assert run(d, SPOT_QUOTE, head=head) == [] and d.errors == {"corrupt": 1}


def test_symbols_have_1_to_32_bytes(impl):
    d = impl.BinanceDecoder()
    for name in ("", "X" * 33):
        assert run(d, SPOT_QUOTE.replace("BTCUSDT", name)) == []
    assert d.errors == {"unknown symbol": 2}
    run(d, SPOT_QUOTE.replace("BTCUSDT", "X" * 32), SPOT_QUOTE.replace("BTCUSDT", "币安人生USDT"))
    assert d.symbols == {0: ("X" * 32, 8, 8), 1: ("币安人生USDT", 8, 8)}


def test_many_symbols_keep_their_numbers(impl):
    d = impl.BinanceDecoder()
    names = [f"SYM{i}USDT" for i in range(500)]
    events = run(d, *(SPOT_QUOTE.replace("BTCUSDT", name) for name in names * 2), room=1_000)
    assert [e[3] for e in events] == list(range(500)) * 2
    assert [name for name, _, _ in d.symbols.values()] == names


def test_symbol_settings(impl):
    d = impl.BinanceDecoder()
    d.set_symbol("BTCUSDT", 77, price_decimals=2)
    d.set_symbol("BTCUSDT", size_decimals=5)
    assert run(d, SPOT_QUOTE)[0][3:] == (77, KINDS["quote"], 0, 0, 6183763, 6183764, 378826, 154698)
    assert d.symbols == {77: ("BTCUSDT", 2, 5)}
    for arguments in (("",), ("X" * 33,), ("A", -1), ("A", 2**32), ("A", 1, 19), ("A", 1, 2, -1)):
        with pytest.raises(ValueError, match="must"):
            d.set_symbol(*arguments)
    with pytest.raises(TypeError, match="must be a str"):
        d.set_symbol(5)


def test_arguments_are_checked(impl):
    for arguments in ((-1,), (19,), (8, 19)):
        with pytest.raises(ValueError, match=r"decimals must be in 0\.\.18: "):
            impl.BinanceDecoder(*arguments)
    with pytest.raises(ValueError, match=r"max_held must be in 1\.\.2\*\*30: max_held=0"):
        impl.BinanceDecoder(max_held=0)
    with pytest.raises(ValueError, match="symbol must have 1 to 32 bytes"):
        impl.BinanceDecoder(image_symbol="")


def test_array_too_small_for_a_message_is_an_error_that_loses_nothing(impl):
    d = impl.BinanceDecoder()
    data = f"{NS} {SPOT_QUOTE}\n{NS} {spot_diff(1, 3)}\n{NS} {image(2)}\n".encode()
    out = np.zeros(3, EVENT_DTYPE)
    n, consumed = d.decode(data, out)
    assert n == 1 and d.needed >= 4
    with pytest.raises(ValueError, match="out must hold the events of one message: capacity=3"):
        d.decode(data[consumed:], out)
    n, used = d.decode(data[consumed:], np.zeros(4, EVENT_DTYPE))
    assert (n, consumed + used, d.pending) == (4, len(data), 2)
    assert d.decode(b"", out) == (1, 0) and d.pending == 0
    with pytest.raises(ValueError, match="capacity=0"):
        d.decode(data, out[:0])


def test_line_that_does_not_end_waits_unless_nothing_follows(impl):
    d = impl.BinanceDecoder()
    data = f"{NS} {SPOT_QUOTE}\n{NS} {SPOT_QUOTE}".encode()
    out = np.zeros(3, EVENT_DTYPE)
    n, consumed = d.decode(data, out)
    assert (n, data[consumed:]) == (1, f"{NS} {SPOT_QUOTE}".encode())
    assert d.decode(data[consumed:], out, True) == (1, len(data) - consumed)
    assert d.decode(b"\n\r\n", out, True) == (0, 3) and d.errors == {}
    assert d.decode(b"", out, True) == (0, 0)


def test_out_must_be_an_array_of_events():
    d = BinanceDecoder()
    with pytest.raises(TypeError, match="EVENT_DTYPE"):
        d.decode(b"", np.zeros(3))
    with pytest.raises(ValueError, match="contiguous"):
        d.decode(b"", np.zeros(4, EVENT_DTYPE)[::2])
    frozen = np.zeros(4, EVENT_DTYPE)
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="writable"):
        d.decode(b"", frozen)


def test_data_may_be_any_buffer(tmp_path):
    line = f"{NS} {SPOT_QUOTE}\n".encode()
    path = tmp_path / "x"
    path.write_bytes(line)
    out = np.zeros(1, EVENT_DTYPE)
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        for data in (line, bytearray(line), memoryview(line), np.frombuffer(line, np.uint8), mapped):
            assert BinanceDecoder().decode(data, out) == (1, len(line))


@pytest.mark.parametrize("name", ["spot_btcusdt", "usdm_btcusdt", "usdm_ethusdt"])
def test_recorded_lines_match_the_reference(data_dir, name):
    with gzip.open(data_dir / "binance" / f"{name}_20240808.gz") as file:
        data = file.read(4_000_000)
    out = np.zeros(200_000, EVENT_DTYPE)
    expected = np.zeros(200_000, EVENT_DTYPE)
    a, b = BinanceDecoder(), twin.BinanceDecoder()
    n, consumed = a.decode(data, out)
    assert (n, consumed) == b.decode(data, expected)
    assert out[:n].tobytes() == expected[:n].tobytes()
    assert (a.counts, a.stale, a.gaps, a.errors) == (b.counts, b.stale, 0, {})
