"""The Binance decoder against its twin on generated sessions and on damaged lines, then its laws."""

import json
import os
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit import examples
from makers.damage import damaged

from fastcore.errors import CorruptDataError
from fastcore.records import EVENT_DTYPE, FLAGS, KINDS
from fastcore.reference import binance as twin
from fastcore.wire.binance import BinanceDecoder

STATE = (
    *("position", "needed", "symbols", "counts", "errors", "error_log", "skipped", "stale", "stale_images", "held"),
    *("dropped", "gaps", "pending"),
)


def state(d):
    return {name: getattr(d, name) for name in STATE}


def decode(d, data, capacity=512, final=True):
    """What one call does, whatever it is; what lies behind the events in the array is left to the decoder."""
    out = np.zeros(capacity, EVENT_DTYPE)
    try:
        result = d.decode(data, out, final)
        events = result[0]
    except CorruptDataError as error:
        result, events = ("raised", error.offset, str(error)), error.events
    except ValueError as error:
        result, events = ("refused", str(error)), 0
    return result, out[:events].tolist()


DECIMALS = st.sampled_from(
    "0 0.0 1 10.5 61837.63000000 0.00001000 0.000000001 99999999999 92233720368.54775807 92233720368.54775808 007.10 1. .5 "
    "1e5 -1 12345678 1234567890.1 0.100000000 0.1000000001 1.2.3".split()
) | st.decimals(0, 10**6, places=3).map(str)
IDS = st.integers(0, 40) | st.sampled_from([2**63 - 1, 2**63, 10**19, 10**20, -1, 1.5, "7", None, True])
TIMES = st.sampled_from([1_723_161_255_208, 1_723_161_255_208_123, 9_223_372_036_854, 9_223_372_036_855, 0, 10**16, "5"])
SYMBOLS = st.sampled_from(["BTCUSDT", "ETHUSDT", "BTCUSD_PERP", "X" * 32, "X" * 33, "", "币安"])
LEVELS = st.lists(st.lists(DECIMALS, min_size=2, max_size=2), max_size=4)


def whole(values):
    return st.fixed_dictionaries(values)


QUOTE = whole({"u": IDS, "s": SYMBOLS, "b": DECIMALS, "B": DECIMALS, "a": DECIMALS, "A": DECIMALS})
TRADE = whole(
    {
        **{"e": st.just("trade"), "E": TIMES, "T": TIMES, "s": SYMBOLS, "t": IDS, "p": DECIMALS, "q": DECIMALS},
        **{"X": st.sampled_from(["MARKET", "ADL", 5]), "m": st.booleans() | st.none()},
    }
)
AGGREGATE = whole(
    {
        **{"e": st.just("aggTrade"), "E": TIMES, "s": SYMBOLS, "a": IDS, "p": DECIMALS, "q": DECIMALS, "f": IDS, "l": IDS},
        **{"T": TIMES, "m": st.booleans(), "M": st.booleans()},
    }
)
DIFF = whole({"e": st.just("depthUpdate"), "E": TIMES, "s": SYMBOLS, "U": IDS, "u": IDS, "b": LEVELS, "a": LEVELS})
FUTURES = whole(
    {
        **{"e": st.just("depthUpdate"), "E": TIMES, "T": TIMES, "s": SYMBOLS, "ps": st.just("BTCUSD"), "U": IDS, "u": IDS},
        **{"pu": IDS, "b": LEVELS, "a": LEVELS},
    }
)
IMAGE = whole({"lastUpdateId": IDS, "bids": LEVELS, "asks": LEVELS})
NAMED = whole({"lastUpdateId": IDS, "symbol": SYMBOLS, "E": TIMES, "bids": LEVELS, "asks": LEVELS})
OTHER = st.sampled_from([{"result": None, "id": 1}, {"e": "kline", "s": "BTCUSDT", "k": {"t": [1, {}]}}, {}, {"e": 5}, [1], 7])
MESSAGE = st.one_of(QUOTE, TRADE, AGGREGATE, DIFF, FUTURES, IMAGE, NAMED, OTHER)


@st.composite
def lines(draw):
    """A line: wrapped or not, with keys in order or not, with more keys or fewer, with a receive time or without."""
    message = draw(MESSAGE)
    if isinstance(message, dict):
        items = list(message.items())
        if draw(st.integers(0, 4)) == 0:
            items = draw(st.permutations(items))
        if items and draw(st.integers(0, 9)) == 0:
            items.pop(draw(st.integers(0, len(items) - 1)))
        if draw(st.integers(0, 4)) == 0:
            items.append(("more", draw(st.sampled_from([1, -2.5e3, "x", None, [[]], {"u": 1}, True]))))
        message = dict(items)
    wrapped = draw(st.integers(0, 2))
    if wrapped == 1:
        message = {"stream": draw(st.sampled_from(["btcusdt@bookTicker", "ethusdt@depth@100ms", "btcusdt@trade"])), "data": message}
    elif wrapped == 2 and draw(st.booleans()):
        message = {"stream": draw(st.sampled_from(["btcusdt@depth20@100ms", "nothing", 5])), "data": message, "id": 5}
    separators = (",", ":") if draw(st.integers(0, 5)) else (", ", " : ")
    text = json.dumps(message, separators=separators, ensure_ascii=False).encode()
    head = draw(st.sampled_from([b"1723161253937085768 ", b"1723161253937085768 ", b"7 ", b"", b"07 ", b"x ", b"9223372036854775808 "]))
    return head + text + draw(st.sampled_from([b"\n", b"\n", b"\r\n", b" \n"]))


STREAM = st.lists(lines(), max_size=12).map(b"".join)


@examples(300)
@given(STREAM, st.booleans(), st.sampled_from([8, 3, 0, 18]), st.sampled_from([None, "BTCUSDT"]), st.sampled_from([1, 5, 65_536]))
def test_binance_matches_reference(data, strict, decimals, image_symbol, max_held):
    a, b = (m.BinanceDecoder(decimals, 8, strict, image_symbol, max_held) for m in (_module(), twin))
    assert decode(a, data) == decode(b, data)
    assert state(a) == state(b)


def _module():
    from fastcore.wire import binance

    return binance


class Session:
    """A venue that sends what Binance sends; ids and books are right unless a mishap is drawn."""

    def __init__(self, choose, futures, symbols=2):
        self.choose, self.futures = choose, futures
        self.names = [f"SYM{i}USDT" for i in range(symbols)]
        self.update = dict.fromkeys(self.names, 100)
        self.global_id = 1_000
        self.now = 1_723_161_255_000
        self.books = {name: ({}, {}) for name in self.names}

    def wrap(self, name, kind, message):
        text = json.dumps({"stream": f"{name.lower()}@{kind}", "data": message}, separators=(",", ":"))
        return f"{self.now * 1_000_000 + self.choose.randrange(10**6)} {text}\n".encode()

    def price(self):
        return f"{self.choose.randrange(90, 110)}.{self.choose.randrange(100):02d}"

    def size(self):
        return self.choose.choice(["0.000", f"{self.choose.randrange(500)}.{self.choose.randrange(1000):03d}"])

    def change(self, name):
        """One diff of the book."""
        previous = self.update[name]
        sides = []
        for book in self.books[name]:
            levels = []
            for _ in range(self.choose.randrange(5)):
                price, size = self.price(), self.size()
                book[price] = size
                levels.append([price, size])
            sides.append(levels)
        if self.futures:
            self.global_id += self.choose.randrange(1, 50)
            first, last = self.global_id, self.global_id + self.choose.randrange(20)
            self.global_id = last
            ids = {"U": first, "u": last, "pu": previous}
            times = {"E": self.now, "T": self.now - 1}
        else:
            first, last = previous + 1, previous + self.choose.randrange(1, 5)
            ids, times = {"U": first, "u": last}, {"E": self.now}
        self.update[name] = last
        message = {"e": "depthUpdate", **times, "s": name, **ids, "b": sides[0], "a": sides[1]}
        return self.wrap(name, "depth@100ms", message)

    def image(self, name):
        bids, asks = ([[p, q] for p, q in side.items() if q != "0.000"] for side in self.books[name])
        message = {"lastUpdateId": self.update[name], "symbol": name, "bids": bids, "asks": asks}
        return f"{self.now * 1_000_000} {json.dumps(message, separators=(',', ':'))}\n".encode()

    def quote(self, name):
        message = {"u": self.update[name], "s": name, "b": "99.10", "B": "1.500", "a": "99.20", "A": "0.100"}
        return self.wrap(name, "bookTicker", message)

    def trade(self, name):
        message = {"e": "trade", "E": self.now, "T": self.now, "s": name, "t": self.now, "p": self.price(), "q": "0.5"}
        return self.wrap(name, "trade", {**message, "X": "MARKET", "m": self.choose.random() < 0.5})

    def lines(self, n, loss=0.0):
        out = []
        for _ in range(n):
            self.now += self.choose.randrange(50)
            name = self.choose.choice(self.names)
            kind = self.choose.choices([self.change, self.quote, self.trade, self.image], [10, 4, 4, 1])[0]
            line = kind(name)
            if self.choose.random() < loss:
                line = self.choose.choice([b"", line * 2])
            out.append(line)
        return out


@pytest.mark.parametrize("futures", [False, True])
@pytest.mark.parametrize("seed", range(15))
def test_sessions_with_losses_match_the_reference(futures, seed):
    choose = random.Random(seed)
    data = b"".join(Session(choose, futures).lines(400, loss=0.05))
    a, b = BinanceDecoder(2, 3, max_held=200), twin.BinanceDecoder(2, 3, max_held=200)
    assert decode(a, data, 20_000) == decode(b, data, 20_000)
    assert state(a) == state(b)
    assert a.gaps + a.stale > 0


@pytest.mark.parametrize("futures", [False, True])
@given(seed=st.integers(0, 10**6))
@examples(40)
def test_events_build_the_book_of_the_venue(futures, seed):
    """Image, then changes: a book without any rule of its own is the venue's whenever it is not stale."""
    session = Session(random.Random(seed), futures)
    d = BinanceDecoder(2, 3)
    out = np.zeros(512, EVENT_DTYPE)
    books, stale = {}, {}

    def feed(line):
        n, consumed = d.decode(line, out, True)
        assert consumed == len(line) and not d.pending
        for e in out[:n]:
            i = int(e["symbol_id"])
            if e["kind"] == KINDS["clear"]:
                books[i], stale[i] = ({}, {}), False
            elif e["kind"] == KINDS["gap"]:
                stale[i] = True
            elif e["kind"] == KINDS["level"]:
                assert stale[i] is False
                side = books[i][0 if e["side"] > 0 else 1]
                side[int(e["price"])] = int(e["size"])
                if not e["size"]:
                    del side[int(e["price"])]

    def compare(names):
        for i, (name, _, _) in d.symbols.items():
            if name in names and stale.get(i) is False:
                assert books[i] == tuple(
                    {int(p.replace(".", "")): int(q.replace(".", "")) for p, q in side.items() if q != "0.000"}
                    for side in session.books[name]
                )

    for _ in range(60):
        feed(session.lines(1)[0])
        compare(session.names)
    for _ in range(60):
        feed(session.lines(1, 0.1)[0])
    for name in session.names:  # whatever was lost, an image repairs it
        feed(session.image(name))
    compare(session.names)
    assert not any(stale.values())


@given(STREAM, st.lists(st.integers(1, 80), min_size=1))
@examples(60)
def test_pieces_of_a_stream_give_what_the_whole_gives(data, steps):
    a, b = BinanceDecoder(), BinanceDecoder()
    (n, consumed), expected = decode(a, data, final=False)
    out = np.zeros(512, EVENT_DTYPE)
    rest, at, events, i = b"", 0, 0, 0
    while at < len(data) or b.pending:
        step = steps[i % len(steps)]
        rest, at, i = rest + data[at : at + step], at + step, i + 1
        got, used = b.decode(rest, out[events:])
        events, rest = events + got, rest[used:]
    assert out[:events].tolist() == expected and events == n
    a_state, b_state = state(a), state(b)
    assert {**a_state, "needed": 0} == {**b_state, "needed": 0}


@pytest.mark.parametrize("futures", [False, True])
@given(seed=st.integers(0, 10**6), room=st.integers(1, 40))
@examples(40)
def test_small_arrays_split_no_message_and_lose_nothing(futures, seed, room):
    data = b"".join(Session(random.Random(seed), futures).lines(80, 0.05))
    whole = np.zeros(20_000, EVENT_DTYPE)
    reference = BinanceDecoder(2, 3)
    n, _ = reference.decode(data, whole, True)
    for module in (_module(), twin):
        d = module.BinanceDecoder(2, 3)
        out = np.zeros(room, EVENT_DTYPE)
        pieces, at = [], 0
        while at < len(data) or d.pending:
            try:
                got, used = d.decode(data[at:], out, True)
            except ValueError:
                assert d.needed > len(out)
                out = np.zeros(d.needed, EVENT_DTYPE)
                continue
            assert got == 0 or not out[got - 1]["flags"] & FLAGS["continued"]
            pieces.append(out[:got].copy())
            at += used
        assert np.concatenate(pieces).tobytes() == whole[:n].tobytes()
        assert {**state(d), "needed": 0} == {**state(reference), "needed": 0}


@pytest.mark.parametrize("futures", [False, True])
def test_damaged_streams_are_survived_counted_and_as_the_reference(futures):
    """Set FASTCORE_FUZZ_ROUNDS for the long mode."""
    rounds = int(os.environ.get("FASTCORE_FUZZ_ROUNDS", "300"))
    data = b"".join(Session(random.Random(5), futures).lines(60))
    for seed in range(rounds):
        bad = damaged(data, random.Random(seed))
        a, b = BinanceDecoder(2, 3), twin.BinanceDecoder(2, 3)
        assert decode(a, bad, 2_000) == decode(b, bad, 2_000), seed
        assert state(a) == state(b), seed
        assert a.position == len(bad)
        assert all(0 <= offset < len(bad) for offset, _ in a.error_log)


def test_never_reads_past_end():
    """Every prefix of every line, in memory of its own size, with forms learnt from the whole lines before."""
    session = Session(random.Random(3), True)
    lines_ = session.lines(12)
    out = np.zeros(256, EVENT_DTYPE)
    for line in lines_:
        d = BinanceDecoder(2, 3)
        d.decode(b"".join(lines_), out, True)
        for end in range(len(line)):
            piece = np.frombuffer(line[:end], np.uint8).copy()
            n, consumed = d.decode(piece, out)
            assert (n, consumed) == (0, 0)


SHAPES = st.tuples(st.integers(0, 10**9), st.integers(0, 12), st.integers(0, 10**12)).map(
    lambda t: f"{t[0] >> (t[2] % 30)}" + (f".{t[2] % 10 ** t[1]:0{t[1]}d}" if t[1] else "")
)


def key_by_key(data):
    """The same messages with a number that no form has room for."""
    return data.replace(b'"s":"BTCUSDT"', b'"s":"BTCUSDT","more":-1')


@given(st.lists(st.lists(st.tuples(SHAPES, SHAPES), max_size=6), min_size=1, max_size=8), st.integers(0, 13), st.sampled_from([8, 0, 18]))
@examples(150)
def test_lines_by_their_form_give_what_key_by_key_gives(diffs, decimals, size_decimals):
    """Numbers of any width, one line after the other, and the room that the quick reading needs behind them."""
    lines = [b'{"lastUpdateId":0,"symbol":"BTCUSDT","bids":[],"asks":[]}\n']
    for update, levels in enumerate([[], *diffs], 1):
        sides = [[list(level) for level in levels[i::2]] for i in range(2)]
        message = {"e": "depthUpdate", "E": 10**12 + update, "s": "BTCUSDT", "U": update, "u": update, "b": sides[0], "a": sides[1]}
        lines.append(json.dumps({"stream": "btcusdt@depth", "data": message}, separators=(",", ":")).encode() + b"\n")
        for price, size in levels[:2]:
            quote = {"u": update, "s": "BTCUSDT", "b": price, "B": size, "a": price, "A": size}
            lines.append(json.dumps({"stream": "btcusdt@bookTicker", "data": quote}, separators=(",", ":")).encode() + b"\n")
            trade = {"e": "trade", "E": 10**12, "s": "BTCUSDT", "t": 10 ** (update % 18), "p": price, "q": size, "m": update % 2 == 0}
            lines.append(json.dumps(trade, separators=(",", ":")).encode() + b"\n")
    data = b"".join(lines)
    a, b, c = BinanceDecoder(decimals, size_decimals), BinanceDecoder(decimals, size_decimals), twin.BinanceDecoder(decimals, size_decimals)
    result, events = decode(a, data)
    assert events == decode(b, key_by_key(data))[1]
    assert (result, events) == decode(c, data)
    assert (a.counts, a.errors, a.stale, a.gaps) == (b.counts, b.errors, b.stale, b.gaps)
    assert state(a) == state(c)


@pytest.mark.parametrize("room", range(1, 12))
def test_line_by_its_form_that_does_not_fit_asks_for_its_room(room):
    lines = b"".join(Session(random.Random(7), True, symbols=1).lines(40))
    a, b = BinanceDecoder(2, 3), twin.BinanceDecoder(2, 3)
    at = 0
    while at < len(lines):
        left, right = decode(a, lines[at:], room), decode(b, lines[at:], room)
        assert left == right and a.needed == b.needed
        if left[0][0] == "refused":
            break
        at += left[0][1]


def test_decimals_of_a_symbol_may_change_between_lines():
    line = Session(random.Random(1), True, symbols=1).quote("SYM0USDT")
    d = BinanceDecoder(2, 3)
    assert [e[7:] for e in decode(d, line * 3)[1]] == [(9910, 9920, 1500, 100)] * 3
    d.set_symbol("SYM0USDT", price_decimals=1, size_decimals=18)
    assert [e[7:] for e in decode(d, line * 3)[1]] == [(991, 992, 15 * 10**17, 10**17)] * 3
    d.set_symbol("SYM0USDT", price_decimals=0, size_decimals=1)
    assert decode(d, line * 3)[1] == [] and d.errors == {"price outside range": 3}
