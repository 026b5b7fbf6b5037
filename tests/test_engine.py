"""The compiled loop: hand-made days with known orders, the twin, determinism, allocations, bad input."""

import os
import random
import shutil
import subprocess
import sys
import sysconfig
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from kit import same_kind
from makers.engines import Run, make, rows, whole
from makers.itch import Day, quoted_book, random_day

from fastcore.errors import CorruptDataError
from fastcore.records import BUY, EVENT_DTYPE, FLAGS, KINDS, NO_PRICE, SELL, TICK_DTYPE, TRADING
from fastcore.wire.itch import ItchDecoder

MODULE = "engine"
SECOND = 1_000_000_000
LIMIT_SIZE, LIMIT_POSITION, LIMIT_COLLAR = 19, 20, 21


def test_quotes_appear_with_the_second_side_and_follow_the_middle(impl):
    engine = make(impl, volatility=False)
    day = quoted_book().add(3, BUY, 999_200, 100)
    assert engine.feed(day.data) == len(day.data)
    assert rows(engine) == [
        ("ack", BUY, 999_800, 100, 1, 4),
        ("ack", SELL, 1_000_200, 100, 2, 4),
        ("pulled", BUY, 999_800, 100, 1, 5),
        ("ack", BUY, 999_900, 100, 3, 5),
        ("pulled", SELL, 1_000_200, 100, 2, 5),
        ("ack", SELL, 1_000_300, 100, 4, 5),
    ]
    assert engine.orders_sent == 4
    assert engine.quote() == (999_200, 100, 1_001_000, 500)
    assert engine.mid_ticks == 1_000_100


def test_no_order_while_the_rounded_quote_stays(impl):
    engine = make(impl, volatility=False)
    engine.feed(quoted_book().add(3, BUY, 998_000, 100).add(4, BUY, 999_000, 100).data)
    assert engine.orders_sent == 2
    assert engine.quotes == 2, "asked again when the size of the best bid changed"


def test_fill_moves_position_and_profit_and_quotes_again(impl):
    engine = make(impl, volatility=False, maker_fee_ticks=-20)
    day = quoted_book().add(3, SELL, 999_700, 60)  # through our bid at 99.98
    engine.feed(day.data)
    assert [r[:4] for r in rows(engine)][2:4] == [("fill", BUY, 999_800, 60), ("pulled", BUY, 999_800, 40)]
    assert engine.fills == 1
    assert engine.position.position_lots == 60
    assert engine.position.fees == -1200
    # The recorded offer at 99.97 stays displayed: the middle is 99.935.
    assert engine.mid_ticks == 999_350
    assert engine.profit == 60 * (999_350 - 999_800) + 1200


def test_quote_that_would_take_is_held_back_behind_the_other_side(impl):
    engine = make(impl, volatility=False, parameters={"k": 2000.0})
    engine.feed(Day().add(1, BUY, 1_000_000, 100).add(2, SELL, 1_000_100, 100).data)
    assert [r[:3] for r in rows(engine)] == [("ack", BUY, 1_000_000), ("ack", SELL, 1_000_100)]
    assert engine.fills == 0


def test_modify_downwards_stays_ahead_of_our_order(impl):
    engine = make(impl, volatility=False, parameters={"k": 2000.0})
    day = Day().add(1, BUY, 1_000_000, 100).add(2, SELL, 1_000_100, 100)
    day.replace(1, 1, 1_000_000, 60).replace(1, 1, 1_000_000, 60)
    done = engine.feed(day.data)
    assert engine.venue.orders()[0][1:] == (BUY, 1_000_000, 100, 60)
    day.add(3, BUY, 1_000_000, 500).execute(1, 60)
    done += engine.feed(day.data[done:])
    assert engine.fills == 0
    assert engine.venue.orders()[0][1:] == (BUY, 1_000_000, 100, 0)
    day.execute(3, 30)
    engine.feed(day.data[done:])
    assert [row[:4] for row in rows(engine) if row[0] == "fill"] == [("fill", BUY, 1_000_000, 30)]


@pytest.mark.parametrize("seed", range(4))
def test_modifies_give_the_orders_of_the_twin(seed):
    rng = random.Random(seed)
    day, live = Day(), {}
    for number in range(1, 600):
        if len(live) < 8 or rng.random() < 0.3:
            side = rng.choice((BUY, SELL))
            best = 1_000_000 if side == BUY else 1_000_100
            live[number] = [side, best - side * rng.choice((0, 0, 100)), 100]
            day.add(number, *live[number])
            continue
        chosen = rng.choice(list(live))
        side, price, size = live[chosen]
        if rng.random() < 0.6:
            live[chosen][2] = max(1, size + rng.choice((-20, -1, 0, 5)))
            day.replace(chosen, chosen, price, live[chosen][2])
        else:
            day.execute(chosen, size)
            del live[chosen]
    engines = [make(import_module(name), parameters={"k": 2000.0}) for name in ("fastcore.engine", "fastcore.reference.engine")]
    for engine in engines:
        engine.feed(bytes(day.data))
    ours, theirs = engines
    assert ours.book_errors == theirs.book_errors == 0
    assert ours.fills > 10
    assert ours.reports().tobytes() == theirs.reports().tobytes()
    assert ours.venue.orders() == theirs.venue.orders()


@pytest.mark.parametrize(("status", "orders"), [("T", 2), ("H", 0), ("P", 0), ("Q", 0), ("", 0)])
def test_only_a_trading_symbol_is_quoted(impl, status, orders):
    engine = make(impl)
    engine.feed(quoted_book(Day(status=status)).data)
    assert engine.orders_sent == orders


def test_halt_pulls_the_quotes_and_the_resumption_sends_them_again(impl):
    engine = make(impl, volatility=False)
    engine.feed(quoted_book().status("H").status("T").data)
    assert [r[0] for r in rows(engine)] == ["ack", "ack", "pulled", "pulled", "ack", "ack"]


@pytest.mark.parametrize(("hours", "orders"), [("OS", 0), ("OSQ", 2), ("", 2), ("OSQM", 0), ("QE", 0)])
def test_announced_market_hours_are_kept(impl, hours, orders):
    engine = make(impl)
    engine.feed(quoted_book(Day(hours=hours)).data)
    assert engine.orders_sent == orders


def test_closing_bell_pulls_the_quotes(impl):
    engine = make(impl)
    engine.feed(quoted_book(Day(hours="Q")).system("M").data)
    assert [r[0] for r in rows(engine)] == ["ack", "ack", "pulled", "pulled"]


@pytest.mark.parametrize("last", ["empty", "locked", "crossed"])
def test_no_quotes_without_a_proper_spread(impl, last):
    day = quoted_book()
    if last == "empty":
        day.delete(2)
    else:
        day.add(3, SELL, 999_000 if last == "locked" else 998_900, 100)
    engine = make(impl)
    engine.feed(day.data)
    assert engine.venue.orders() == []
    assert engine.mid_ticks == 1_000_000, "the last middle stays"


def test_inventory_limit_closes_the_side(impl):
    engine = make(impl, volatility=False, parameters={"inventory_limit": 100.0})
    engine.feed(quoted_book().add(3, SELL, 999_700, 200).delete(3).data)
    assert engine.position.position_lots == 100
    assert [row[1] for row in engine.venue.orders()] == [SELL]


@pytest.mark.parametrize(
    ("limits", "code"),
    [((99, 1000, 10**6), LIMIT_SIZE), ((100, 99, 10**6), LIMIT_POSITION), ((100, 1000, 10), LIMIT_COLLAR), (None, 19)],
)
def test_refused_order_is_reported_once_with_its_reason(impl, limits, code):
    engine = make(impl, volatility=False, limits=limits)
    engine.feed(quoted_book().add(3, BUY, 999_000, 5).add(4, SELL, 1_001_000, 5).data)
    reports = engine.reports()
    assert reports["kind"].tolist() == [KINDS["reject"]] * 2
    assert reports["match_id"].tolist() == [code] * 2
    assert engine.risk_rejects == 2
    assert engine.orders_sent == 0
    assert engine.venue.orders() == []


def test_worst_case_position_counts_the_order_that_rests(impl):
    # 250 lots of room: the second buy of 100 is allowed while 100 are held, the third is not.
    engine = make(impl, volatility=False, limits=(100, 250, 10**6))
    day = quoted_book()
    for i in range(3, 6):
        day.add(i, BUY, 999_400, 500).execute(i, 100).delete(i)
    engine.feed(day.data)
    assert engine.position.position_lots == 200
    assert LIMIT_POSITION in engine.reports()["match_id"][engine.reports()["kind"] == KINDS["reject"]]


def test_loss_limit_pulls_everything_and_stops(impl):
    engine = make(impl, volatility=False, max_loss=100_000)
    day = quoted_book().add(3, SELL, 999_700, 100).delete(3).delete(1).add(4, BUY, 990_000, 10)
    done = len(day.data)
    day.add(5, BUY, 998_000, 10)
    engine.feed(day.data[:done])
    assert engine.stopped
    assert engine.profit < -100_000
    assert engine.venue.orders() == []
    reports = len(engine.reports())
    assert engine.feed(day.data[done:]) == 0
    assert len(engine.reports()) == reports


def test_books_of_all_symbols_are_kept_and_only_one_is_traded(impl):
    day = quoted_book(Day(("AAA", "BBB"))).add(11, BUY, 500_000, 1, 8).add(12, SELL, 500_100, 1, 8).execute(12, 1, locate=8)
    for symbol, quote in (("AAA", (999_000, 500, 1_001_000, 500)), ("BBB", (500_000, 1, None, 0))):
        engine = make(impl, symbol)
        engine.feed(day.data)
        assert engine.symbols == 2
        assert engine.quote() == quote
        assert engine.traded_lots == (symbol == "BBB")


def test_without_a_quoter_only_the_books_run(impl):
    engine = whole(impl)("AAA")
    engine.feed(quoted_book().execute(1, 100).data)
    assert (engine.orders_sent, engine.quotes, len(engine.reports())) == (0, 0, 0)
    assert engine.traded_lots == 100
    assert engine.quote() == (999_000, 400, 1_001_000, 500)


def test_symbol_that_is_not_listed(impl):
    engine = make(impl, "ZZZ")
    engine.feed(quoted_book().data)
    assert not engine.listed
    assert engine.quote() == (None, 0, None, 0)
    assert engine.profit == 0
    assert engine.events == 4


def test_curve_has_one_point_per_interval(impl):
    engine = make(impl, volatility=False, curve_interval_ns=2_000_000)
    engine.feed(quoted_book().add(3, SELL, 999_700, 60).data)
    curve = engine.curve()
    assert curve["exch_ns"].tolist() == [3_000_000, 4_000_000]
    assert curve["mid_ticks"].tolist() == [NO_PRICE, 1_000_000]
    assert curve["position_lots"].tolist() == [0, 0]


def test_printed_executions_go_to_the_store(impl, tmp_path):
    store = same_kind(impl, "tickstore").TickStore(tmp_path / "ticks", "a")
    engine = make(impl, store=store, midnight_ns=SECOND)
    day = quoted_book().execute(1, 10).execute(2, 20, 1_000_500).execute(2, 30, 1_000_500, flags=4).trade(BUY, 1_000_000, 40)
    engine.feed(day.data)
    assert engine.traded_lots == 70
    ticks = store.records if not callable(store.records) else store.records()
    assert ticks.dtype == TICK_DTYPE
    assert ticks["price"].tolist() == [99.9, 100.05, 100.0]
    assert ticks["volume"].tolist() == [10.0, 20.0, 40.0]
    assert ticks["symbol_id"].tolist() == [7, 7, 7]
    assert ticks["timestamp_ns"].tolist() == [SECOND + n * 1_000_000 for n in (5, 6, 8)]
    store.close()


def test_store_grows_while_the_loop_runs(tmp_path):
    from fastcore.tickstore import TickStore

    with TickStore(tmp_path / "ticks", "a", segment_records=128, grow_ahead=False) as store:
        engine = Run("AAA", store=store)
        day = quoted_book(Day())
        day.add(3, BUY, 999_100, 100_000)
        for _ in range(3000):
            day.execute(3, 1)
        engine.feed(day.data)
        assert len(store) == 3000


# ---- bad input


def test_malformed_message_stops_with_its_offset_after_everything_before_it(impl):
    day = quoted_book()
    whole = len(day.data)
    data = bytes(day.data) + b"\x00\x05A1234" + bytes(quoted_book(Day()).data)
    engine = make(impl, volatility=False)
    with pytest.raises(CorruptDataError, match=f"bad length type='A' offset={whole}"):
        engine.feed(data)
    assert engine.orders_sent == 2


def test_skip_malformed_counts_and_goes_on(impl):
    day = quoted_book()
    data = bytes(day.data) + b"\x00\x05A1234\x00\x01z" + bytes(day.execute(1, 7).data[len(day.data) - 33 :])
    engine = make(impl, skip_malformed=True)
    assert engine.feed(data) == len(data)
    assert engine.decoder.errors == {"unknown message type": 1, "bad length": 1}
    assert engine.traded_lots == 7


def test_message_that_is_not_whole_is_left(impl):
    data = bytes(quoted_book().data)
    engine = make(impl)
    consumed = engine.feed(data[:-1])
    assert consumed < len(data) - 1
    assert engine.feed(data[consumed:]) == len(data) - consumed
    assert engine.orders_sent == 2


def test_events_that_a_book_refuses_are_counted(impl):
    engine = make(impl)
    engine.feed(quoted_book().delete(99).execute(1, 501).add(2, BUY, 999_000, 1).data)
    assert engine.book_errors == 3
    assert engine.first_error_seq == 5
    assert engine.quote() == (999_000, 500, 1_001_000, 500)


@pytest.mark.parametrize(
    ("kwargs", "rule"),
    [
        ({"time_left": float("nan")}, "time_left must be finite and not negative: time_left=nan"),
        ({"ticks_per_price": 0.0}, "ticks_per_price must be finite and positive"),
        ({"order_lots": 0}, "order_lots must be in 1"),
        ({"max_loss": -1}, "max_loss must be in 0"),
        ({"sample_every": -1}, "sample_every must be in 0"),
        ({"curve_interval_ns": 0}, "curve_interval_ns must be in 1"),
        ({"maker_fee_ticks": 2**40}, "maker_fee_ticks must be in"),
    ],
)
def test_constructor_states_the_rule(impl, kwargs, rule):
    with pytest.raises(ValueError, match=rule):
        make(impl, **kwargs).feed(b"")


# ---- determinism


@pytest.mark.parametrize("chunk", [1, 7, 1000, 10**9])
def test_same_bytes_give_the_same_reports_in_any_chunks(chunk):
    from fastcore import engine as compiled

    data = random_day(3, 1500)
    whole = make(compiled)
    whole.feed(data)
    engine = make(compiled, sample_every=1)  # every event sampled
    rest = b""
    for at in range(0, len(data), chunk):
        rest += data[at : at + chunk]
        rest = rest[engine.feed(rest) :]
    assert rest == b""
    assert whole.fills > 20
    assert engine.reports().tobytes() == whole.reports().tobytes()
    assert engine.curve().tobytes() == whole.curve().tobytes()
    assert engine.profit == whole.profit


def decoded(data):
    out = np.zeros(20_000, EVENT_DTYPE)
    count, used = ItchDecoder().decode(data, out)
    assert used == len(data)
    return out[:count]


@pytest.mark.parametrize("chunk", [1, 13, 10**9])
def test_events_give_the_reports_of_the_bytes_they_were_decoded_from(impl, chunk):
    data = random_day(4, 600)
    events = decoded(data)
    by_bytes, by_events = make(impl), make(impl, sample_every=3)
    by_bytes.feed(data)
    for at in range(0, len(events), chunk):
        part = events[at : at + chunk]
        assert by_events.feed_events(part) == len(part)
    assert by_bytes.fills > 5
    assert by_events.reports().tobytes() == by_bytes.reports().tobytes()
    assert by_events.events == len(events)


def test_numbers_that_the_venue_gave_do_not_disturb_the_ring(impl):
    events = decoded(random_day(5, 800))
    plain, numbered = make(impl), make(impl)
    plain.feed_events(events)
    events["seq"] = np.arange(len(events)) * 3 + 1_000_000
    events["seq"][::5] = np.arange(len(events))[::5]
    numbered.feed_events(events)
    assert numbered.reports().tobytes() == plain.reports().tobytes()


@pytest.mark.parametrize("sample_every", [0, 1, 2, 7, 256])
def test_messages_of_several_events_pass_the_end_of_the_ring(impl, sample_every):
    collar = b"\x00\x23J" + bytes(10) + b"AAA     " + bytes(16)  # two events
    data = collar * 3000 + bytes(quoted_book().data)
    engine = make(impl, volatility=False, sample_every=sample_every)
    assert engine.feed(data) == len(data)
    assert (engine.events, engine.messages) == (6004, 3004)
    assert [row[0] for row in rows(engine)] == ["ack", "ack"]


def test_symbol_that_nobody_lists_trades_until_a_status_says_otherwise(impl):
    events = decoded(bytes(quoted_book(Day(status="")).data))
    events = events[events["kind"] != KINDS["listing"]]
    engine = make(impl, "A LONG NAME", symbol_id=7, volatility=False)
    assert engine.listed
    engine.feed_events(events)
    assert [row[:3] for row in rows(engine)] == [("ack", BUY, 999_800), ("ack", SELL, 1_000_200)]


def test_second_part_of_a_message_is_not_taken_for_a_listing_or_a_status(impl):
    events = decoded(bytes(quoted_book().data))
    part = np.zeros(2, EVENT_DTYPE)
    part["kind"], part["symbol_id"], part["flags"][0] = KINDS["status"], 7, FLAGS["continued"]
    part["price"] = TRADING["trading"], TRADING["halted"]
    engine = make(impl, volatility=False)
    engine.feed_events(np.concatenate([events, part]))
    assert [row[0] for row in rows(engine)] == ["ack", "ack"]


def opened(impl):
    """Books that are there before the first event: that of the chosen symbol, compiled; the twin waits for its listing."""
    return int(whole(impl) is Run)


def test_administrative_events_open_no_book(impl):
    events = np.zeros(4, EVENT_DTYPE)
    events["kind"] = [KINDS[name] for name in ("notice", "imbalance", "break", "bar")]
    events["symbol_id"] = 1, 2, 3, 4
    engine = whole(impl)("AAA")
    engine.feed_events(events)
    assert (engine.symbols, engine.events, engine.book_errors) == (opened(impl), 4, 0)


def test_symbol_id_out_of_range_is_an_event_that_no_book_takes(impl):
    events = np.zeros(3, EVENT_DTYPE)
    events["kind"] = KINDS["trade"], KINDS["clear"], KINDS["add"]
    events["symbol_id"] = 65_536
    engine = whole(impl)("AAA")
    assert engine.feed_events(events) == 3
    assert (engine.book_errors, engine.first_error_seq, engine.symbols) == (2, 2, opened(impl))
    with pytest.raises(ValueError, match=r"symbol_id must be in 0\.\.65535: symbol_id=65536"):
        make(impl, symbol_id=65_536)


def test_latencies_are_sampled_by_stage():
    from fastcore import engine as compiled

    data = random_day(4, 1000)
    engine = make(compiled, sample_every=1)
    engine.feed(data)
    counts = {name: histogram.count for name, histogram in engine.latency.items()}
    assert counts["decode"] == engine.events
    assert counts["store"] == 0
    assert 0 < counts["risk"] <= counts["strategy"] < counts["book"] <= counts["total"]
    every = make(compiled, sample_every=10)
    every.feed(data)
    assert every.latency["decode"].count == -(-engine.events // 10)
    never = make(compiled, sample_every=0)
    never.feed(data)
    assert all(histogram.count == 0 for histogram in never.latency.values())
    assert never.reports().tobytes() == engine.reports().tobytes()


@pytest.mark.threads
def test_engines_in_threads_do_not_disturb_each_other():
    from concurrent.futures import ThreadPoolExecutor

    from fastcore import engine as compiled

    data = random_day(6, 3000)

    def run(chunk):
        engine = make(compiled, sample_every=2)
        rest = b""
        for at in range(0, len(data), chunk):
            rest += data[at : at + chunk]
            rest = rest[engine.feed(rest) :]
        return engine.reports().tobytes()

    alone = run(10**9)
    with ThreadPoolExecutor(4) as pool:
        assert all(other == alone for other in pool.map(run, [100, 1000, 5000, 10**9] * 5))


def test_amzn_day_gives_the_orders_of_the_twin(data_dir):
    """By default the first part of the day; FASTCORE_TEST_FULL=1 compares all of it (half a minute)."""
    import gzip

    from fastcore import engine as compiled
    from fastcore.reference import engine as twin

    messages = 10**9 if os.environ.get("FASTCORE_TEST_FULL") else 12_000
    with gzip.open(data_dir / "itch" / "AMZN_2012-06-21_L5.itch.gz") as file:
        data = file.read()
    at = 0
    for _ in range(messages):
        if at == len(data):
            break
        at += 2 + int.from_bytes(data[at : at + 2], "big")
    engines = [make(module, "AMZN", parameters={"k": 20.0, "sigma": 0.02}, time_left=30.0) for module in (compiled, twin)]
    for engine in engines:
        engine.feed(data[:at])
    ours, theirs = engines
    assert ours.fills > 50
    assert ours.book_errors == 0
    assert ours.reports().tobytes() == theirs.reports().tobytes()
    assert ours.curve().tobytes() == theirs.curve().tobytes()
    assert (ours.profit, ours.position.position_lots, ours.traded_lots) == (
        theirs.profit,
        theirs.position.position_lots,
        theirs.traded_lots,
    )


# ---- allocations

SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/mman.h>
static long calls;
long shim_calls(void) { return calls; }
#define REAL(name) static __typeof__(&name) real; if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name); calls++
void *malloc(size_t n) { REAL(malloc); return real(n); }
void *realloc(void *p, size_t n) { REAL(realloc); return real(p, n); }
void *aligned_alloc(size_t a, size_t n) { REAL(aligned_alloc); return real(a, n); }
int posix_memalign(void **p, size_t a, size_t n) { REAL(posix_memalign); return real(p, a, n); }
void *mmap(void *p, size_t n, int a, int b, int c, off_t d) { REAL(mmap); return real(p, n, a, b, c, d); }
"""

COUNT = """
import ctypes, sys
sys.path.insert(0, sys.argv[1])
from fastcore import engine as compiled
from fastcore.tickstore import TickStore
from makers.engines import make
from makers.itch import random_day
calls = ctypes.CDLL(None).shim_calls
calls.restype = ctypes.c_long
data = random_day(5, 6000)
cuts = [0]
while cuts[-1] < len(data):
    cuts.append(cuts[-1] + 2 + int.from_bytes(data[cuts[-1] : cuts[-1] + 2], "big"))
with TickStore(sys.argv[2], "a", grow_ahead=False) as store:
    engine = make(compiled, store=store, sample_every=3)
    engine.feed(data[: cuts[1000]])
    small, large = data[cuts[1000] : cuts[1010]], data[cuts[1010] :]
    counts = []
    for part in (small, large):
        before = calls()
        engine.feed(part)
        counts.append(calls() - before)
    print(counts[0], counts[1], engine.fills, len(store))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts allocations through LD_PRELOAD")
@pytest.mark.skipif(bool(os.environ.get("FASTCORE_SANITIZE")), reason="a sanitizer has its own allocator")
def test_loop_allocates_nothing_after_warm_up(tmp_path):
    compiler = (sysconfig.get_config_var("CC") or "gcc").split()[0]
    compiler = shutil.which(compiler) or shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler here to build the counting shim")
    source, shim = tmp_path / "shim.c", tmp_path / "shim.so"
    source.write_text(SHIM)
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", str(source), "-o", str(shim), "-ldl"], check=True)
    environment = {**os.environ, "LD_PRELOAD": str(shim), "PYTHONMALLOC": "malloc"}
    done = subprocess.run(
        [sys.executable, "-c", COUNT, str(Path(__file__).parent), str(tmp_path / "ticks")],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    ten, thousands, fills, ticks = map(int, done.stdout.split())
    assert fills > 20
    assert ticks > 500
    assert thousands == ten, "5,000 messages must allocate as little as 10: what the call itself needs"
    assert ten <= 24
