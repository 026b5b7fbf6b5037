"""The synthetic market: the same everywhere, always valid, shaped like a trading day; and its ITCH files."""

import gzip
import hashlib
import itertools

import numpy as np
import pytest

from fastcore.book import OrderBook, OrderTable
from fastcore.itch import ItchDecoder
from fastcore.records import EVENT_DTYPE, FLAGS, KINDS, NO_PRICE, QUOTE_DTYPE
from fastcore.synthetic import SyntheticMarket
from hft.feeds import synthetic as feed
from hft.feeds.itch import read_events

MODULE = "synthetic"
GOLDEN = "ae119a907cbd48c8ea1b0a31b4269b3714c888b8a22f5b5deb7413807d0fcdd5"


def filled(market, n):
    events = np.zeros(n, EVENT_DTYPE)
    assert market.fill(events) == n
    return events


def test_bytes_are_the_same_on_every_platform():
    """A change of this value is a change of every published demo and benchmark: say so in the changelog."""
    assert hashlib.sha256(feed.generate(100_000, seed=1, symbols=("AAA", "BBB"))).hexdigest() == GOLDEN


def test_session_frames_the_day(impl):
    e = filled(impl.SyntheticMarket(400, seed=3, symbols=("AAA", "BB"), midnight_ns=10**18), 400)
    kinds = {number: name for name, number in KINDS.items()}
    names = [kinds[k] for k in e["kind"].tolist()]
    assert names[:9] == "system listing listing system status status system cross cross".split()
    assert names[-5:] == "cross cross system system system".split()
    assert [chr(p) for p in e["price"][e["kind"] == KINDS["system"]]] == list("OSQMEC")
    assert [int(p).to_bytes(8, "little") for p in e["price"][1:3]] == [b"AAA     ", b"BB      "]
    assert e["symbol_id"][[1, 2, 4, 5, 7, 8, -5, -4]].tolist() == [1, 2] * 4
    hours = (e["exch_ns"] - 10**18) / 3.6e12
    assert np.all(np.diff(hours) >= 0)
    assert (hours[6], hours[-3], hours[-1]) == (9.5, 16.0, 72_300 / 3600)


def test_the_end_of_the_day_is_counted(impl):
    market = impl.SyntheticMarket(100)
    events = np.zeros(70, EVENT_DTYPE)
    assert [market.fill(events), market.remaining, market.fill(events), market.remaining] == [70, 30, 30, 0]
    assert market.fill(events) == 0
    assert (market.symbols, market.seed) == (("SYNTH",), 1)


def test_shortest_day_has_no_flow(impl):
    e = filled(impl.SyntheticMarket(10), 10)
    assert KINDS["add"] not in e["kind"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"messages": 9}, r"messages must lie in 10\.\.2\*\*40-1 with 1 symbols: messages=9"),
        ({"messages": 2**40}, "messages must lie in"),
        ({"messages": 100, "seed": -1}, "seed must lie in"),
        ({"messages": 100, "seed": 2**64}, "seed must lie in"),
        ({"messages": 100, "symbols": ()}, "symbols must be 1 to 65535 different names: count=0"),
        ({"messages": 100, "symbols": ("A", "A")}, "different names"),
        ({"messages": 100, "symbols": ("",)}, "a symbol must have 1 to 8 ASCII characters: symbol=''"),
        ({"messages": 100, "symbols": ("A ",)}, "1 to 8 ASCII"),
        ({"messages": 100, "symbols": ("ABCDEFGHI",)}, "1 to 8 ASCII"),
        ({"messages": 100, "symbols": ("é",)}, "1 to 8 ASCII"),
        ({"messages": 100, "midnight_ns": 2**63}, "midnight_ns must lie within"),
    ],
)
def test_arguments_are_checked(impl, arguments, message):
    with pytest.raises(ValueError, match=message):
        impl.SyntheticMarket(**arguments)


@pytest.mark.parametrize(("messages", "seed", "symbols"), [(300_000, 1, 1), (100_000, 2**64 - 1, 5), (60_000, 9, 300)])
def test_stream_is_always_valid(messages, seed, symbols):
    e = filled(SyntheticMarket(messages, seed, [f"S{i}" for i in range(symbols)]), messages)
    table = OrderTable()
    for i in range(1, symbols + 1):
        book = OrderBook(i, table)
        mine = e[e["symbol_id"] == i]
        quotes = np.zeros(len(mine), QUOTE_DTYPE)
        n = book.apply_into(mine, quotes)
        assert set(book.counts) == {"ok"}
        book.check()
        q = quotes[:n]
        both = (q["bid"] != NO_PRICE) & (q["ask"] != NO_PRICE)
        assert np.all(q["bid"][both] < q["ask"][both])
        flow = mine[(mine["kind"] == KINDS["add"]) | (mine["kind"] == KINDS["replace"])]
        assert np.all(flow["price"] > 0)
        assert np.all(flow["price"] % 100 == 0)


def test_day_looks_like_a_day():
    e = filled(SyntheticMarket(300_000), 300_000)
    share = {name: np.mean(e["kind"] == number) for name, number in KINDS.items()}
    assert 0.3 < share["add"] < 0.5
    assert 0.25 < share["delete"] < 0.45
    assert 0.03 < share["execute"] < 0.2
    assert min(share["cancel"], share["replace"], share["trade"]) > 0.005
    assert np.any(e["flags"] & FLAGS["not_printable"])
    assert np.any((e["kind"] == KINDS["add"]) & (e["match_id"] != 0))  # F messages
    hours = e["exch_ns"][e["kind"] == KINDS["add"]] / 3.6e12
    per_hour, _ = np.histogram(hours, bins=np.linspace(9.5, 16, 7))
    assert per_hour[0] > 1.3 * per_hour[2]
    assert per_hour[-1] > 1.3 * per_hour[2]
    # Bursts: the gaps vary far more than those of a steady random stream, whose variation is 1.
    gaps = np.diff(e["exch_ns"][20:-20]).astype(float)
    assert gaps.std() / gaps.mean() > 1.5
    # Arrivals far from the best get rarer by a power of the distance.
    book = OrderBook(1)
    book.apply(e[:150_000])
    bids, asks = book.depth()
    assert len(bids) > 5 < len(asks)


def test_seeds_and_symbols_matter():
    days = [feed.generate(2_000, seed, symbols) for seed in (1, 2) for symbols in ("A", "B", ("A", "B"))]
    assert all(a != b for a, b in itertools.combinations(days, 2))
    assert feed.generate(2_000, 1, "A") == days[0]


# ---- ITCH ----


def test_itch_bytes_decode_to_the_events():
    raw = feed.generate(50_000, 5, ("AAA", "BBB"))
    events = feed.generate_events(50_000, 5, ("AAA", "BBB"))
    out = np.zeros(50_000, EVENT_DTYPE)
    d = ItchDecoder(strict=True)
    assert d.decode(raw, out, final=True) == (50_000, len(raw))
    assert out.tobytes() == events.tobytes()
    assert d.symbols == {1: "AAA", 2: "BBB"}
    assert set(d.counts) == set("SRHQAFECXDUP")


def test_chunks_join_to_the_whole():
    assert b"".join(feed.iterate(5_000, 3, "X", chunk_events=77)) == feed.generate(5_000, 3, "X")
    with pytest.raises(ValueError, match="chunk_events"):
        feed.iterate(5_000, 3, "X", chunk_events=0)


@pytest.mark.parametrize("name", ["day.itch", "day.itch.gz"])
def test_files_are_written_whole_and_read_back(tmp_path, name):
    seen = []
    path = tmp_path / name
    size = feed.write_itch(path, 100_000, seed=4, symbols="ZZZ", progress=lambda done, total: seen.append((done, total)))
    assert size == path.stat().st_size
    assert seen[-1] == (100_000, 100_000)
    assert [p.name for p in tmp_path.iterdir()] == [name]
    raw = path.read_bytes()
    assert (gzip.decompress(raw) if name.endswith(".gz") else raw) == feed.generate(100_000, 4, "ZZZ")
    assert sum(len(a) for a in read_events(path)) == 100_000
    feed.write_itch(tmp_path / f"again_{name}", 100_000, seed=4, symbols="ZZZ")
    assert (tmp_path / f"again_{name}").read_bytes() == raw


def test_failed_writing_leaves_nothing_behind(tmp_path):
    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        feed.write_itch(tmp_path / "x.itch", 50_000, progress=stop)
    with pytest.raises(ValueError, match="messages must lie in"):
        feed.write_itch(tmp_path / "x.itch", 1)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FileNotFoundError):
        feed.write_itch(tmp_path / "no" / "x.itch", 100)
