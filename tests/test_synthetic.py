"""The synthetic market: the same everywhere, always valid, shaped like a trading day; and its ITCH files."""

import gzip
import hashlib
import itertools

import numpy as np
import pytest

from fastcore.book import OrderBook, OrderTable
from fastcore.records import EVENT_DTYPE, FLAGS, KINDS, NO_PRICE, NO_SYMBOL, QUOTE_DTYPE
from fastcore.sim.synthetic import Pair, SyntheticMarket
from fastcore.wire.itch import LENGTHS, ItchDecoder
from hft.feeds import synthetic as feed
from hft.feeds.itch import read_events

MODULE = "sim.synthetic"
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
    assert e["price"][e["kind"] == KINDS["system"]].tolist() == list(range(1, 7))
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
        ({"messages": 9}, r"messages must be in 10\.\.2\*\*40-1 with 1 symbols: messages=9"),
        ({"messages": 2**40}, "messages must be in"),
        ({"messages": 100, "seed": -1}, "seed must be in"),
        ({"messages": 100, "seed": 2**64}, "seed must be in"),
        ({"messages": 100, "symbols": ()}, "symbols must be 1 to 65535 different names: count=0"),
        ({"messages": 100, "symbols": ("A", "A")}, "different names"),
        ({"messages": 100, "symbols": ("",)}, "a symbol must have 1 to 8 ASCII characters: symbol=''"),
        ({"messages": 100, "symbols": ("A ",)}, "1 to 8 ASCII"),
        ({"messages": 100, "symbols": ("ABCDEFGHI",)}, "1 to 8 ASCII"),
        ({"messages": 100, "symbols": ("é",)}, "1 to 8 ASCII"),
        ({"messages": 100, "midnight_ns": 2**63}, r"midnight_ns must be in -2\*\*62\.\.2\*\*62"),
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


def test_all_types_frame_the_flow(impl):
    n = 6 + 11 + (4 + 7) * 3
    e = filled(impl.SyntheticMarket(n + 200, 3, tuple("ABC"), all_types=True), n + 200)
    kinds = {number: name for name, number in KINDS.items()}
    names = [kinds[k] for k in e["kind"].tolist()]
    assert names.count("notice") == 1 + 3 * 3 + 1 + 2 + 2 + 3 + 1
    assert (names.count("imbalance"), names.count("break"), names.count("cross")) == (12, 1, 6)
    assert names[-5:] == "break notice system system system".split()
    assert np.all(np.diff(e["exch_ns"]) >= 0)
    assert {chr(p) for p in e["price"][e["kind"] == KINDS["notice"]]} == set("VYLNKJhOW")
    auction = e[(e["kind"] == KINDS["imbalance"]) & (e["flags"] == FLAGS["continued"])]
    crosses = e[e["kind"] == KINDS["cross"]]
    assert auction["price"].tolist() == crosses["price"].tolist()
    assert e["match_id"][e["kind"] == KINDS["break"]].tolist() == [crosses["match_id"][-1]]
    assert e["price"][e["kind"] == KINDS["break"]].tolist() == [NO_PRICE]


def test_messages_of_several_events_are_not_split(impl):
    whole = filled(impl.SyntheticMarket(200, 3, all_types=True), 200)
    market = impl.SyntheticMarket(200, 3, all_types=True)
    events = np.zeros(3, EVENT_DTYPE)
    parts = []
    while written := market.fill(events):
        assert not events["flags"][written - 1] & FLAGS["continued"]
        parts.append(events[:written].tobytes())
    assert b"".join(parts) == whole.tobytes()
    assert len(parts) > 67
    with pytest.raises(ValueError, match="room for a message of three events: length=2"):
        impl.SyntheticMarket(200, all_types=True).fill(events[:2])
    with pytest.raises(ValueError, match=r"messages must be in 28\.\."):
        impl.SyntheticMarket(27, all_types=True)


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
    with pytest.raises(ValueError, match="messages must be in"):
        feed.write_itch(tmp_path / "x.itch", 1)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FileNotFoundError):
        feed.write_itch(tmp_path / "no" / "x.itch", 100)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tail": 0.1}, r"tail must be in 0\.2\.\.10: tail=0\.1"),
        ({"tail": float("nan")}, "tail must be in"),
        ({"orders": 31}, r"orders must be in 32\.\.1000000: orders=31"),
        ({"branching": 1.0}, r"branching must be in 0\.\.0\.95: branching=1\.0"),
        ({"burst_s": 0.0}, "burst_s must be in"),
        ({"u_shape": 1.0}, "u_shape must be in"),
        ({"volatility": 0.3}, "volatility must be in"),
        ({"correlation": -0.1}, "correlation must be in"),
        ({"step_s": 0.0}, "step_s must be in"),
        ({"volatility": 0.01, "symbols": [f"S{i}" for i in range(300)], "step_s": 0.1}, r"must not exceed 2\*\*26"),
        ({"pairs": [("A", "B"), ("B", "C")]}, "in no other pair: symbol='B'"),
        ({"pairs": [("A", "A")]}, "in no other pair: symbol='A'"),
        ({"pairs": [("A", "X")]}, "two symbols of the market"),
        ({"pairs": [("A", "B", 0.0)]}, "hedge_ratio must be in"),
        ({"pairs": [("A", "B", 1.0, 0.0)]}, "half_life_s must be in"),
        ({"pairs": [("A", "B", 1.0, 1.0, -1.0)]}, "spread_ticks must be in"),
    ],
)
def test_options_are_checked(impl, options, message):
    with pytest.raises(ValueError, match=message):
        impl.SyntheticMarket(**{"messages": 5_000, "symbols": tuple("ABC")} | options)


def test_whole_number_of_orders_is_asked_for(impl):
    with pytest.raises(TypeError):
        impl.SyntheticMarket(100, orders=100.5)


# ---- the truth is found again ----

OPEN_NS = 34_200 * 10**9


def arrival_times(n, **options):
    """Seconds since the open of all arrivals; an aggressive order that meets several resting ones is one arrival."""
    e = filled(SyntheticMarket(n, **options), n)
    return (np.unique(e["exch_ns"][e["symbol_id"] == 1][3:-1]) - OPEN_NS) / 1e9


def dispersion(times, window):
    counts = np.bincount((times // window).astype(int), minlength=int(23_400 / window))
    return counts.var() / counts.mean()


def test_arrivals_without_branching_are_poisson():
    times = arrival_times(300_000, seed=5, branching=0.0, u_shape=0.0)
    assert [dispersion(times, window) for window in (0.1, 1.0, 10.0)] == pytest.approx([1.0] * 3, abs=0.1)
    gaps = np.diff(times)
    assert gaps.std() / gaps.mean() == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("branching", [0.3, 0.5, 0.7])
def test_branching_is_found_in_the_dispersion_of_counts(branching):
    """Over times long against a burst, the variance of counts over their mean is 1 / (1 - branching)^2."""
    times = arrival_times(300_000, seed=6, branching=branching, burst_s=0.2, u_shape=0.0)
    assert 1.0 - dispersion(times, 20.0) ** -0.5 == pytest.approx(branching, abs=0.06)
    # Over times short against it, there is little of the burst to see.
    assert dispersion(times, 0.005) < 1.1


def test_burst_time_is_found_by_maximum_likelihood():
    """The likelihood of a Hawkes process is the highest where the arguments were."""
    times = arrival_times(100_000, seed=8, branching=0.6, burst_s=0.5, u_shape=0.0)

    def likelihood(branching, burst):
        base = (1.0 - branching) * len(times) / 23_400
        excited = np.empty(len(times))
        rate = 0.0
        decays = np.exp(-np.diff(times, prepend=0.0) / burst)
        for i, decay in enumerate(decays.tolist()):
            rate *= decay
            excited[i] = rate
            rate += branching / burst
        return np.log(base + excited).sum()  # the integral of the rate is the number of arrivals in all of them

    grid = {(n, b): likelihood(n, b) for n in (0.5, 0.6, 0.7) for b in (0.35, 0.5, 0.7)}
    assert max(grid, key=grid.get) == (0.6, 0.5)


def test_intensity_is_the_rate_of_what_comes(impl):
    n = 3_000 if impl.__name__.endswith("reference.synthetic") else 200_000
    market = impl.SyntheticMarket(n, 4, branching=0.5, burst_s=2.0, u_shape=0.9)
    assert np.isnan(market.truth.intensity[1:]).all()
    e = filled(market, n)
    truth = market.truth
    assert truth.reference is None and truth.spreads is None
    assert len(truth.times_ns) == len(truth.intensity) == 23_401
    assert (truth.times_ns[0], truth.times_ns[-1]) == (OPEN_NS, OPEN_NS + 23_400 * 10**9)
    assert not np.isnan(truth.intensity).any()
    if n < 10_000:
        return
    times = np.unique(e["exch_ns"][8:-4])
    following = np.histogram(times, bins=truth.times_ns)[0]
    # The rate just before a second predicts that second, in the large (the day) and in the small (the burst).
    assert following.sum() / truth.intensity[:-1].sum() == pytest.approx(1.0, abs=0.05)
    high, low = (following[truth.intensity[:-1] > 12].mean(), following[truth.intensity[:-1] < 3].mean())
    assert high > 3 * low
    first, middle, last = np.add.reduceat(following, [0, 10_000, 13_400]) / [10_000, 3_400, 10_000]
    assert first > 3 * middle < last


@pytest.mark.parametrize("tail", [0.6, 4 / 3, 2.0])
def test_exponent_of_placement_is_found(tail):
    """Maximum likelihood on what is seen: the price, the best of the other side and the known reference price."""
    n = 60_000
    market = SyntheticMarket(n, 7, tail=tail, volatility=0.005)
    e = filled(market, n)
    reference = market.truth.reference[:, 0]
    book = OrderBook(1)
    depths = []
    for i, event in enumerate(e):
        if event["kind"] == KINDS["add"]:
            fair = int(reference[int(event["exch_ns"] - OPEN_NS) // 10**9] / 100)
            if event["side"] > 0:
                limit = fair if book.best_ask is None else min(fair, book.best_ask // 100 - 1)
                depths.append(limit - int(event["price"]) // 100 + 1)
            else:
                limit = fair + 1 if book.best_bid is None else max(fair + 1, book.best_bid // 100 + 1)
                depths.append(int(event["price"]) // 100 - limit + 1)
        book.apply(e[i : i + 1])
    k = np.array(depths)
    assert len(k) > 10_000 and k.min() == 1 and k.max() <= 400
    k = k[k < 400]
    grid = np.linspace(0.3, 3.0, 271)
    likelihood = [np.log((k + 0.0) ** -g - (k + 1.0) ** -g).sum() - len(k) * np.log1p(-(400.0**-g)) for g in grid]
    assert grid[np.argmax(likelihood)] == pytest.approx(tail, abs=0.05)


def test_reactive_queues_draw_market_orders_to_the_thinner_side():
    def slope(reactive):
        n = 150_000
        e = filled(SyntheticMarket(n, 3, reactive=reactive, orders=32, volatility=0.0), n)
        book = OrderBook(1)
        seen = []
        # The first execution of each aggressive order, and the queues that it met.
        hits = np.flatnonzero(e["kind"] == KINDS["execute"])
        hits = hits[np.diff(e["exch_ns"][hits], prepend=-1) != 0]
        for start, hit in itertools.pairwise([0, *hits.tolist()]):
            book.apply(e[start:hit])
            bids, asks = (side["size"][0] for side in book.depth(1))
            seen.append(((bids - asks) / (bids + asks), -book.order(int(e["order_id"][hit]))[0]))
        imbalance, side = np.array(seen).T
        return np.polyfit(imbalance, side > 0, 1)[0]

    # P(buy) = bid queue / both queues = (1 + imbalance) / 2.
    assert slope(True) == pytest.approx(0.5, abs=0.1)
    assert slope(False) == pytest.approx(0.0, abs=0.1)


def test_reactive_changes_come_in_proportion_to_the_orders():
    n, chunk = 120_000, 100
    for orders in (64, 400):
        e = filled(SyntheticMarket(n, 3, orders=orders, reactive=True, volatility=0.0), n)[9:-4]
        book = OrderBook(1)
        rows = []
        for start in range(0, len(e) - chunk, chunk):
            kinds = e["kind"][start : start + chunk]
            changes = np.isin(kinds, [KINDS["delete"], KINDS["cancel"], KINDS["replace"]])
            rows.append((len(book), changes.sum(), np.sum(kinds == KINDS["add"])))
            book.apply(e[start : start + chunk])
        live, changes, adds = np.array(rows[100:]).T
        few = live < np.median(live)
        odds = [changes[x].sum() / adds[x].sum() / live[x].mean() for x in (few, ~few)]
        assert odds == pytest.approx([0.94 * 0.94 / orders] * 2, rel=0.12)


def mids_of(e, symbol_id, times_ns):
    mine = e[e["symbol_id"] == symbol_id]
    quotes = np.zeros(len(mine), QUOTE_DTYPE)
    q = quotes[: OrderBook(symbol_id).apply_into(mine, quotes)]
    q = q[(q["bid"] != NO_PRICE) & (q["ask"] != NO_PRICE)]
    at = np.maximum(np.searchsorted(q["exch_ns"], times_ns, side="right") - 1, 0)
    return (q["bid"][at] + q["ask"][at]) / 2


def half_life_of(x, y, seconds):
    """Engle and Granger: regress one price on the other, then the residual on its past; (hedge ratio, half-life)."""
    ratio, constant = np.polyfit(x, y, 1)
    rest = y - ratio * x - constant
    kept = (rest[1:] @ rest[:-1]) / (rest[:-1] @ rest[:-1])
    return ratio, seconds * np.log(0.5) / np.log(kept) if 0 < kept < 1 else np.inf


@pytest.fixture(scope="module")
def related():
    """Four symbols, correlation 0.6; A and B are a pair, C and D are not. And their mids, as a book sees them."""
    n = 600_000
    market = SyntheticMarket(
        n, 2, tuple("ABCD"), volatility=0.01, correlation=0.6, orders=60, pairs=[Pair("A", "B", 1.5, 30.0, 2_000.0)]
    )
    e = filled(market, n)
    truth = market.truth
    return truth, np.stack([mids_of(e, i, truth.times_ns) for i in (1, 2, 3, 4)], 1)[600:]


def test_book_follows_the_reference_prices(related):
    truth, mids = related
    apart = np.abs(mids - truth.reference[600:]).mean(0)
    assert np.all(apart < 0.2 * truth.reference[600:].std(0))


def test_correlation_is_found_in_steps_and_in_mids(related):
    truth, mids = related
    steps = np.corrcoef(np.diff(truth.reference[:, [0, 2, 3]], axis=0).T)[np.triu_indices(3, 1)]
    assert steps == pytest.approx(0.6, abs=0.03)
    seen = np.corrcoef(np.diff(mids[::60][:, [0, 2, 3]], axis=0).T)[np.triu_indices(3, 1)]
    assert seen == pytest.approx(0.6, abs=0.12)
    alone = SyntheticMarket(1_000, 2, tuple("ABC"), volatility=0.01).truth.reference
    assert np.corrcoef(np.diff(alone, axis=0).T)[np.triu_indices(3, 1)] == pytest.approx(0.0, abs=0.03)


def test_volatility_is_found():
    paths = SyntheticMarket(10_000, 2, [f"S{i}" for i in range(200)], volatility=0.05, step_s=60.0).truth.reference
    returns = (paths[-1] - paths[0]) / paths[0]
    assert returns.std() == pytest.approx(0.05, rel=0.15)
    assert np.diff(paths[:, 0]).std() / paths[0, 0] * 390**0.5 == pytest.approx(0.05, rel=0.15)


def test_half_life_of_the_pair_is_found_and_none_without_one(related):
    truth, mids = related
    spread = truth.spreads[:, 0]
    assert spread.std() == pytest.approx(2_000.0, rel=0.1)
    assert truth.reference[:, 1] - 1.5 * truth.reference[:, 0] - spread == pytest.approx(
        truth.reference[0, 1] - 1.5 * truth.reference[0, 0]
    )
    ratio, half_life = half_life_of(mids[::15, 0], mids[::15, 1], 15.0)
    assert ratio == pytest.approx(1.5, rel=0.05)
    assert half_life == pytest.approx(30.0, rel=0.3)
    # Negative control: as much correlation, no pair.
    assert half_life_of(mids[::15, 2], mids[::15, 3], 15.0)[1] > 300.0


def test_truth_of_a_plain_day_is_its_arguments(impl):
    options, *paths = impl.SyntheticMarket(100).truth
    assert paths == [None] * 4
    assert (options["messages"], options["branching"], options["tail"], options["pairs"]) == (100, None, 4 / 3, ())


def test_truth_is_there_before_the_day_and_the_closing_cross_meets_it(impl):
    market = impl.SyntheticMarket(2_000, 3, ("A", "B"), pairs=[("A", "B")], step_s=60.0, midnight_ns=10**18)
    before = market.truth
    e = filled(market, 2_000)
    after = market.truth
    assert np.array_equal(before.reference, after.reference) and before.reference.shape == (391, 2)
    assert before.times_ns[0] == 10**18 + OPEN_NS
    assert before.options["pairs"] == (impl.Pair("A", "B", 1.0, 60.0, 1_000.0),)
    assert e["price"][[7, 8]].tolist() == (before.reference[0] // 100 * 100).astype(int).tolist()
    assert e["price"][[-5, -4]].tolist() == ((before.reference[-1] + 1e-6) // 100 * 100).astype(int).tolist()


def test_all_types_of_the_protocol_are_written():
    names = ("AAA", "BBB", "CC")
    raw = feed.generate(5_000, 5, names, all_types=True)
    events = feed.generate_events(5_000, 5, names, all_types=True)
    out = np.zeros(5_000, EVENT_DTYPE)
    d = ItchDecoder(strict=True)
    assert d.decode(raw, out, final=True) == (5_000, len(raw))
    assert out.tobytes() == events.tobytes()
    assert set(d.counts) == set("SRHQAFECXDUPVYLNKJhOIBW") == set(LENGTHS)
    assert b"".join(feed.iterate(5_000, 5, names, chunk_events=7, all_types=True)) == raw


# ---- feed ----


def test_feed_is_the_day_in_arrays():
    options = {"seed": 3, "symbols": ("A", "B"), "branching": 0.5, "pairs": [Pair("A", "B")]}
    seen = []
    with feed.SyntheticFeed(messages=10_000, chunk_events=3_000, progress=lambda *x: seen.append(x), **options) as source:
        arrays = list(source)
        assert (source.format, source.book, source.gaps, source.errors) == ("synthetic", "orders", 0, {})
        assert source.instruments.symbols == ["A", "B"]
        assert sum(source.messages.values()) == 10_000 and source.messages["listing"] == 2
        assert source.truth.spreads.shape == (23_401, 1)
    assert [len(a) for a in arrays] == [3_000, 3_000, 3_000, 1_000]
    assert seen[-1] == (10_000, 10_000)
    events, day = np.concatenate(arrays), feed.generate_events(10_000, **options)
    assert {(a, b) for a, b in zip(day["symbol_id"].tolist(), events["symbol_id"].tolist(), strict=True)} == {(0, NO_SYMBOL), (1, 0), (2, 1)}
    day["symbol_id"] = events["symbol_id"]
    assert events.tobytes() == day.tobytes()
    assert list(source) == []
    with pytest.raises(ValueError, match="chunk_events"):
        feed.SyntheticFeed(chunk_events=0)


def test_options_reach_the_files(tmp_path):
    options = {"branching": 0.5, "tail": 0.6, "u_shape": 0.9}
    raw = feed.generate(5_000, 2, "A", **options)
    assert raw != feed.generate(5_000, 2, "A")
    feed.write_itch(tmp_path / "a.itch", 5_000, 2, "A", **options)
    assert (tmp_path / "a.itch").read_bytes() == raw == b"".join(feed.iterate(5_000, 2, "A", **options))
