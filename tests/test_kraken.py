"""Kraken's book channel: both documented checksums, every field, depth, mismatches, malformed lines."""

import json
import zlib
from random import Random

import numpy as np
import pytest
from makers.kraken import Session

from fastcore.errors import CorruptDataError
from fastcore.records import EVENT_DTYPE, FLAGS, KINDS
from fastcore.wire.kraken import KrakenDecoder

MODULE = "wire.kraken"
TIME = "1723161253.9370857"
NS = 1_723_161_253_937_085_700
CONTINUED, SNAPSHOT = FLAGS["continued"], FLAGS["snapshot"]
CLEAR, LEVEL, GAP = KINDS["clear"], KINDS["level"], KINDS["gap"]

# The worked examples of the documentation ("Book checksum" of WebSocket v1 and v2).
ASKS_1 = "0.05005 0.05010 0.05015 0.05020 0.05025 0.05030 0.05035 0.05040 0.05045 0.05050".split()
BIDS_1 = "0.05000 0.04995 0.04990 0.04980 0.04975 0.04970 0.04965 0.04960 0.04955 0.04950".split()
CHECKSUM_1 = 974_947_235
ASKS_2 = (
    "45285.2 0.00100000 45286.4 1.54571953 45286.6 1.54571109 45289.6 1.54560911 45290.2 0.15890660 45291.8 1.54553491 "
    "45294.7 0.04454749 45296.1 0.35380000 45297.5 0.09945542 45299.5 0.18772827"
).split()
BIDS_2 = (
    "45283.5 0.10000000 45283.4 1.54582015 45282.1 0.10000000 45281.0 0.10000000 45280.3 1.54592586 45279.0 0.07990000 "
    "45277.6 0.03310103 45277.5 0.30000000 45277.3 1.54602737 45276.6 0.15445238"
).split()
CHECKSUM_2 = 3_310_070_434


def first(*objects, channel="book-10", pair="XBT/USD"):
    return json.dumps([336, *objects, channel, pair])


def level(price, size, time="1582905487.439814", *more):
    return [price, size, time, *more]


def second(type, asks=(), bids=(), checksum=None, symbol="BTC/USD", **more):
    side = lambda levels: "[" + ",".join(f'{{"price":{p},"qty":{q}}}' for p, q in levels) + "]"  # noqa: E731
    check = "" if checksum is None else f',"checksum":{checksum}'
    rest = "".join(f",{json.dumps(k)}:{json.dumps(v)}" for k, v in more.items())
    book = f'{{"symbol":"{symbol}","bids":{side(bids)},"asks":{side(asks)}{check}{rest}}}'
    return f'{{"channel":"book","type":"{type}","data":[{book}]}}'


def run(d, *messages, room=4_200, head=f"{TIME}: "):
    out = np.zeros(room, EVENT_DTYPE)
    data = "".join(f"{head}{m}\n" for m in messages).encode()
    n, consumed = d.decode(data, out)
    assert consumed == len(data)
    return out[:n].tolist()


def crc(asks, bids):
    """Of (price, size) in ticks and lots, best first."""
    return zlib.crc32("".join(f"{p}{q}" for p, q in [*asks[:10], *bids[:10]]).encode())


def test_documented_checksum_of_version_1(impl):
    d = impl.KrakenDecoder()
    asks = [level(p, "0.00000500") for p in ASKS_1]
    bids = [level(p, "0.00000500") for p in BIDS_1]
    run(d, first({"as": asks, "bs": bids}))
    assert d.checksum("XBT/USD") == CHECKSUM_1
    # The same book again, reached by changes.
    run(d, first({"a": [level("0.05005", "0.00000000"), level("0.05055", "0.1")]}, {"b": [level("0.04950", "0")]}))
    events = run(d, first({"a": [asks[0]]}, {"b": [bids[-1]], "c": str(CHECKSUM_1)}))
    assert (d.checked, d.matched, d.first_mismatch, d.gaps) == (1, 1, None, 0)
    # The level that stepped in for the one that was gone has fallen out again.
    assert [(e[5], e[7], e[8], e[9]) for e in events] == [(-1, 5005, 500, 0), (1, 4950, 500, 0), (-1, 5055, 0, 2)]
    assert d.symbols == {0: ("XBT/USD", 5, 8)}


def test_documented_checksum_of_version_2(impl):
    d = impl.KrakenDecoder()
    asks, bids = (list(zip(side[::2], side[1::2], strict=True)) for side in (ASKS_2, BIDS_2))
    events = run(d, second("snapshot", asks, bids, CHECKSUM_2, timestamp="2023-10-06T17:35:55.440295Z"))
    assert (d.checked, d.matched) == (1, 1)
    assert d.symbols == {0: ("BTC/USD", 1, 8)}
    assert len(events) == 21 and events[0][1] == 1_696_613_755_440_295_000
    assert events[1][4:9] == (LEVEL, -1, SNAPSHOT | CONTINUED, 452852, 100000)
    changed = [(int(p.replace(".", "")), int(q.replace(".", ""))) for p, q in asks[1:]]
    other = [(int(p.replace(".", "")), int(q.replace(".", ""))) for p, q in bids]
    run(d, second("update", [("45285.2", "0.00000000")], (), crc(changed, other)))
    assert (d.checked, d.matched) == (2, 2)


def test_messages_become_events(impl):
    d = impl.KrakenDecoder()
    image = first({"as": [level("100.1", "2.50", "5.5"), level("100.2", "1.00", "5.75")], "bs": [level("99.9", "3.00", "5.25")]})
    tail = (5_750_000_000, NS, 0)
    assert run(d, image) == [
        (0, *tail, CLEAR, 0, SNAPSHOT | CONTINUED, 0, 0, 0, -1),
        (0, *tail, LEVEL, -1, SNAPSHOT | CONTINUED, 1001, 250, 0, -1),
        (0, *tail, LEVEL, -1, SNAPSHOT | CONTINUED, 1002, 100, 0, -1),
        (0, *tail, LEVEL, 1, SNAPSHOT, 999, 300, 0, -1),
    ]
    given = crc([(1001, 250)], [(999, 400)])
    change = first({"a": [level("100.2", "0.00", "7.0")], "b": [level("99.9", "4.00", "6.5", "r")], "c": str(given)})
    assert run(d, change) == [
        (0, 7_000_000_000, NS, 0, LEVEL, -1, CONTINUED, 1002, 0, 0, given),
        (0, 7_000_000_000, NS, 0, LEVEL, 1, 0, 999, 400, 1, given),
    ]
    assert d.book("XBT/USD") == ([(999, 400)], [(1001, 250)])
    assert d.counts == {"snapshot": 1, "update": 1}
    empty = first({"as": [], "bs": []})
    assert run(d, empty)[0][4:7] == (CLEAR, 0, SNAPSHOT) and d.book("XBT/USD") == ([], [])


def test_levels_beyond_the_depth_fall_out_with_an_event(impl):
    d = impl.KrakenDecoder()
    asks = [level(str(100 + i), "1") for i in range(10)]
    bids = [level(str(99 - i), "1") for i in range(10)]
    run(d, first({"as": asks, "bs": bids}))
    new = [(98, 5), *((100 + i, 1) for i in range(9))]
    given = crc(new, [(99 - i, 1) for i in range(10)])
    events = run(d, first({"a": [level("98", "5"), level("120", "1")], "c": str(given)}))
    assert [(e[7], e[8], e[9]) for e in events] == [(98, 5, 0), (120, 1, 0), (120, 0, 2), (109, 0, 2)]
    assert [e[6] for e in events] == [CONTINUED] * 3 + [0]
    assert d.matched == 1 and d.book("XBT/USD")[1] == new
    d = impl.KrakenDecoder(depth=2)
    run(d, first({"as": asks, "bs": bids}))
    assert d.book("XBT/USD") == ([(99, 1), (98, 1)], [(100, 1), (101, 1)])


def test_depth_of_version_2_is_the_smallest_that_holds_the_image(impl):
    d = impl.KrakenDecoder()
    run(d, second("snapshot", [(str(100 + i), "1") for i in range(11)], [("5", "1")]))
    run(d, second("update", [(str(50 + i), "1") for i in range(15)]))
    assert len(d.book("BTC/USD")[1]) == 25


def test_mismatch_makes_the_book_stale_until_the_next_image(impl):
    d = impl.KrakenDecoder()
    image = first({"as": [level("101", "1")], "bs": [level("99", "1")]})
    good = crc([(101, 2)], [(99, 1)])
    run(d, image)
    head = len(f"{TIME}: {image}\n")
    events = run(d, first({"a": [level("101", "2")], "c": "5"}))
    assert [e[4] for e in events] == [LEVEL, GAP]
    assert events[1][7:] == (0, -1, good, 5) and events[0][6] == 0
    assert (d.checked, d.matched, d.first_mismatch, d.gaps) == (1, 0, head, 1)
    assert run(d, first({"a": [level("101", "2")], "c": str(good)})) == []  # checked all the same
    assert (d.checked, d.matched, d.stale) == (2, 1, 1)
    assert [e[4] for e in run(d, image, first({"a": [level("101", "2")], "c": str(good)}))] == [CLEAR, LEVEL, LEVEL, LEVEL]
    assert (d.gaps, d.first_mismatch) == (1, head)


def test_changes_before_the_image_and_of_another_depth_are_dropped_and_counted(impl):
    d = impl.KrakenDecoder()
    change = {"a": [level("101", "2")]}
    assert run(d, first(change)) == [] and d.stale == 1
    run(d, first({"as": [level("101", "1")], "bs": []}))
    assert run(d, first(change, channel="book-25")) == [] and d.stale == 2
    assert len(run(d, first(change))) == 1


def test_symbols_have_books_of_their_own(impl):
    d = impl.KrakenDecoder()
    names = [f"S{i}/USD" for i in range(200)]
    events = run(d, *(first({"as": [level("1", "1")], "bs": []}, pair=name) for name in names * 2))
    assert [e[3] for e in events if e[4] == CLEAR] == list(range(200)) * 2
    assert [s[0] for s in d.symbols.values()] == names


def test_lines_of_the_capture_and_other_messages_are_counted(impl):
    d = impl.KrakenDecoder()
    others = [
        *('{"event":"heartbeat"}', '{"channelID":336,"channelName":"book-10","event":"subscriptionStatus"}', '{"channel":"heartbeat"}'),
        *('[0,[["5541.2","0.15","1534614057.3","s","l",""]],"trade","XBT/USD"]', '{"channel":"book","type":"other"}', "[]", "{}"),
    ]
    assert run(d, *others) == []
    assert run(d, "configuration: {}", "wss://ws.kraken.com <-> 5.5", "https://x -> 5: {}", "", head="") == []
    assert d.counts == {"other": 10} and d.errors == {}


def test_lines_without_a_receive_time(impl):
    d = impl.KrakenDecoder()
    assert run(d, first({"as": [], "bs": []}), head="")[0][2] == 0


def test_decimals_are_those_of_the_image_or_as_said(impl):
    d = impl.KrakenDecoder()
    run(d, first({"as": [level("1.5", "2.25"), level("1.55", "2")], "bs": []}))
    assert d.symbols == {0: ("XBT/USD", 2, 2)}
    assert run(d, first({"a": [level("1.555", "1")]}), first({"a": [level("1.5", "1.001")]})) == []
    assert d.errors == {"price outside range": 1, "size outside range": 1}
    d = impl.KrakenDecoder(3)
    d.set_symbol("XBT/USD", 9, size_decimals=4)
    events = run(d, first({"as": [level("1.5", "2.25")], "bs": []}))
    assert events[1][3] == 9 and events[1][7:9] == (1500, 22500)


GOOD = first({"a": [level("101", "2")]})
MALFORMED = {
    "no JSON": "hello",
    "scalar": "5",
    "cut": GOOD[:-3],
    "escape": GOOD.replace("XBT", "\\u0058BT"),
    "price that is no string": first({"a": [[101, "2", "5.5"]]}),
    "no decimal": first({"a": [level("1e5", "2")]}),
    "level without time": first({"a": [["101", "2"]]}),
    "time that is none": first({"a": [level("101", "2", "soon")]}),
    "levels that are none": first({"a": 5}),
    "image and change": first({"as": [], "bs": [], "a": []}),
    "half an image": first({"as": []}),
    "nothing": first({"x": 1}),
    "channel without depth": first({"a": []}, channel="book-x"),
    "checksum beyond 32 bits": first({"a": [], "c": "4294967296"}),
    "checksum that is no string": first({"a": [], "c": 5}),
    "v2 price that is a string": second("update", [('"101"', "2")]),
    "v2 without quantity": second("update", [("101", "2")]).replace("qty", "x"),
    "v2 time that is none": second("update", [("101", "2")], timestamp="2023-02-29T00:00:00Z"),
    "v2 two books": second("update").replace("[{", "[{},{"),
    "v2 without symbol": second("update").replace("symbol", "x"),
    "nested too deep": "[" * 65 + "]" * 65,
}


@pytest.mark.parametrize("line", MALFORMED.values(), ids=MALFORMED)
def test_malformed_line_is_counted_with_its_offset_and_changes_nothing(impl, line):
    def prepared(strict):
        d = impl.KrakenDecoder(0, 0, strict=strict)
        run(d, first({"as": [level("101", "1")], "bs": []}), second("snapshot", [("101", "1")]))
        return d

    d = prepared(False)
    assert run(d, line) == []
    assert d.errors == {"corrupt": 1}
    offset = d.error_log[0][0]
    assert d.book("XBT/USD") == d.book("BTC/USD") == ([], [(101, 1)])
    strict = prepared(True)
    with pytest.raises(CorruptDataError, match=f"offset={offset}") as error:
        run(strict, line)
    assert (error.value.offset, error.value.events, strict.position) == (offset, 0, offset)


@pytest.mark.parametrize("head", ["x: ", "-5: ", "5 ", "5:", "99999999999.0: ", "5.5.5: ", "1.0000000001: "])
def test_malformed_receive_time(impl, head):
    d = impl.KrakenDecoder()
    assert run(d, GOOD, head=head) == [] and d.errors == {"corrupt": 1}


def test_zero_price_and_odd_names_are_refused(impl):
    d = impl.KrakenDecoder()
    run(d, first({"as": [level("0.0", "1")], "bs": []}), first({"as": [], "bs": []}, pair="X" * 33))
    assert d.errors == {"unknown symbol": 1, "price outside range": 1}


def test_arguments_are_checked(impl):
    for arguments in ((19,), (0, -1), (0, 0, 0)):
        with pytest.raises(ValueError, match="must be in"):
            impl.KrakenDecoder(*arguments)
    d = impl.KrakenDecoder()
    with pytest.raises(ValueError, match="1 to 32 bytes"):
        d.set_symbol("")
    with pytest.raises(ValueError, match=r"symbol_id must be in 0\.\.2\*\*32-1"):
        d.set_symbol("A", -1)
    with pytest.raises(TypeError, match="must be a str"):
        d.set_symbol(5)


def test_array_too_small_for_a_message_is_an_error_that_loses_nothing(impl):
    d = impl.KrakenDecoder()
    data = f"{TIME}: {first({'as': [level('101', '1')], 'bs': []})}\n".encode()
    with pytest.raises(ValueError, match="out must hold the events of one message: capacity=2"):
        d.decode(data, np.zeros(2, EVENT_DTYPE))
    assert d.position == 0 and d.symbols == {}
    assert d.decode(data, np.zeros(d.needed, EVENT_DTYPE)) == (2, len(data))


def test_line_that_does_not_end_waits_unless_nothing_follows(impl):
    d = impl.KrakenDecoder()
    data = f"{TIME}: {first({'as': [], 'bs': []})}".encode()
    out = np.zeros(50, EVENT_DTYPE)
    assert d.decode(data, out) == (0, 0)
    assert d.decode(data, out, True) == (1, len(data))


def test_out_must_be_an_array_of_events():
    with pytest.raises(TypeError, match="EVENT_DTYPE"):
        KrakenDecoder().decode(b"", np.zeros(3))


def test_spaces_between_the_values_change_no_event(impl):
    lines = b"".join(Session(Random(3), 1).lines(60))
    given = []
    for data in (lines, lines.replace(b'","', b'", "').replace(b'"],[', b'"], [')):
        decoder, out = impl.KrakenDecoder(), np.zeros(4_200, EVENT_DTYPE)
        n, consumed = decoder.decode(data, out, True)
        assert consumed == len(data) and decoder.checked == decoder.matched > 0
        given.append((out[:n].tobytes(), decoder.counts, decoder.errors))
    assert given[0] == given[1]
