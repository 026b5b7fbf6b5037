"""Threads that misuse one object: a call that meets another one inside raises BusyError, and the object stays whole."""

import contextlib
import shutil
import sys
import tempfile
import threading

import numpy as np
import pytest

from fastcore.book import LevelBook, OrderBook, OrderTable
from fastcore.bookset import BookSet
from fastcore.broadcast import BroadcastRing
from fastcore.correlation import RollingCorrelation
from fastcore.desk import Desk
from fastcore.engine import Engine
from fastcore.errors import BusyError, RingError
from fastcore.histogram import Histogram
from fastcore.instruments import Instruments
from fastcore.market import Market
from fastcore.records import EVENT_DTYPE, KINDS
from fastcore.replaced import LatencyMonitor
from fastcore.ring import RingBuffer
from fastcore.sim.markouts import Markouts
from fastcore.sim.simulator import Simulator
from fastcore.source import EventSource
from fastcore.strategies.tape import Tape
from fastcore.tickstore import TickStore
from fastcore.wire.binance import BinanceDecoder
from fastcore.wire.dbn import DbnDecoder
from fastcore.wire.itch import ItchDecoder, ItchEncoder
from fastcore.wire.kraken import KrakenDecoder
from fastcore.wire.lobster import LobsterWindow
from fastcore.wire.mold import MoldDecoder
from fastcore.wire.ouch import OuchDecoder
from fastcore.wire.soup import SOUP_DTYPE, SoupDecoder
from fastcore.zscore import RollingZScore

pytestmark = pytest.mark.threads
COUNT = 400_000


def adds(count=COUNT):
    rows = np.zeros(count, EVENT_DTYPE)
    rows["kind"], rows["side"], rows["size"] = KINDS["add"], 1, 1
    rows["price"] = np.arange(count) % 5_000 + 1
    rows["order_id"] = np.arange(1, count + 1)
    return rows


def a_book():
    book, rows = OrderBook(), adds()
    others = [
        lambda: book.add(2**40, 1, 5, 1),
        book.clear,
        lambda: len(book),
        lambda: book.best_bid,
        book.depth,
        book.snapshot,
        lambda: book.queue(1, 5),
        lambda: book.order(3),
        lambda: book.orders.reserve(2**20),
        book.state_hash,
        lambda: book.counts,
    ]
    return lambda: book.apply(rows), others, book.check


def a_table():
    """Another book on the same table."""
    table = OrderTable()
    book, other, rows = OrderBook(orders=table), OrderBook(orders=table), adds()
    others = [lambda: other.add(2**40, 1, 5, 1), other.clear, lambda: len(OrderBook(orders=table))]
    return lambda: book.apply_into(rows, np.empty_like(rows)), others, book.check


def a_level_book():
    book, rows = LevelBook(), adds()
    rows["kind"] = KINDS["level"]
    return lambda: book.apply_depth(rows, np.arange(0, COUNT, 100), 5), [lambda: book.set_level(1, 5, 5), book.depth], book.check


def a_book_set():
    books, rows = BookSet(symbols=64), adds()
    rows["symbol_id"] = np.arange(COUNT) % 64
    others = [
        lambda: books.book(3).add(2**40, 1, 5, 1),
        lambda: books.book(63),
        books.clear,
        books.quotes,
        books.snapshot,
        books.state_hash,
        lambda: books.counts,
        lambda: books.apply(rows[:2]),
        lambda: list(books),
    ]
    return lambda: books.apply(rows), others, books.check


def a_histogram():
    histogram, values = Histogram(), np.arange(4 * COUNT, dtype=np.int64)
    return lambda: histogram.record_many(values), [lambda: histogram.record(5), histogram.reset, lambda: histogram.merge(histogram)], None


def a_z_score():
    rolling, values = RollingZScore(1_000), np.random.default_rng(1).random(COUNT)
    return lambda: rolling.update_many(values), [lambda: rolling.update(1.0), rolling.reset, lambda: rolling.zscore], None


def a_correlation():
    rolling, values = RollingCorrelation(50, 1_000), np.random.default_rng(1).random((20_000, 50))
    return lambda: rolling.update_many(values), [lambda: rolling.update(values[0]), rolling.matrix, rolling.reset], None


def a_latency_monitor():
    monitor, values = LatencyMonitor(1_000), np.arange(4 * COUNT, dtype=np.int64)
    return lambda: monitor.record_many(values), [lambda: monitor.record_latency(1, 2), monitor.reset, lambda: monitor.latencies], None


def stream():
    rows = adds(100_000)
    rows["exch_ns"] = np.arange(100_000)
    encoder = ItchEncoder()
    encoder.set_symbol(0, "A")
    return encoder.encode(rows)


def an_itch_decoder():
    instruments = Instruments()
    decoder, data, out = ItchDecoder(instruments=instruments), stream() * 4, np.empty(COUNT, EVENT_DTYPE)
    others = [
        lambda: decoder.decode(data, out),
        lambda: decoder.counts,
        lambda: decoder.symbols,
        decoder.reset,
        lambda: instruments.add("NEW"),
        lambda: decoder.listings,
    ]
    return lambda: decoder.decode(data, out), others, None


def an_itch_encoder():
    encoder, rows = ItchEncoder(), adds()
    encoder.set_symbol(0, "A")
    return lambda: encoder.encode(rows), [lambda: encoder.set_symbol(1, "B")], None


def a_mold_decoder():
    from fastcore.wire.mold import MoldEncoder

    data, offsets = MoldEncoder("S").encode(stream() * 4)
    itch = ItchDecoder()
    decoder, out = MoldDecoder(itch), np.empty(COUNT, EVENT_DTYPE)
    others = [lambda: decoder.decode_batch(data, offsets, out), lambda: itch.decode(b"", out), lambda: decoder.counts, itch.reset]
    return lambda: decoder.decode_batch(data, offsets, out), others, None


def a_soup_decoder():
    decoder, data, out = SoupDecoder(), b"\0\x05Uabcd" * COUNT, np.empty(COUNT, SOUP_DTYPE)
    return lambda: decoder.decode(data, out), [decoder.reset, lambda: decoder.errors, lambda: decoder.decode(data, out)], None


def an_ouch_decoder():
    from fastcore.wire.ouch import OUCH_DTYPE

    rows = np.zeros(COUNT, SOUP_DTYPE)
    rows["type"], rows["length"] = ord("U"), 4
    decoder, out, details = OuchDecoder(True), np.empty(COUNT, EVENT_DTYPE), np.empty(COUNT, OUCH_DTYPE)
    return lambda: decoder.decode(b"zzzz", rows, out, details), [decoder.reset, lambda: decoder.error_log], None


LINE = b'{"u":400900217,"s":"BNBUSDT","b":"25.35190000","B":"31.21000000","a":"25.36520000","A":"40.66000000"}\n'


def a_binance_decoder():
    decoder, out = BinanceDecoder(), np.empty(COUNT, EVENT_DTYPE)
    others = [lambda: decoder.set_symbol("X", 5), lambda: decoder.symbols, decoder.reset, lambda: decoder.held]
    return lambda: decoder.decode(LINE * COUNT, out), others, None


def a_kraken_decoder():
    decoder, out = KrakenDecoder(), np.empty(COUNT, EVENT_DTYPE)
    return lambda: decoder.decode(b'{"channel":"heartbeat"}\n' * COUNT, out), [lambda: decoder.book("X"), decoder.reset], None


def a_dbn_decoder():
    decoder, out = DbnDecoder(), np.empty(COUNT, EVENT_DTYPE)
    record = bytes([56 // 4, 160, 1, 0, *[0] * 52])
    decoder.set_symbol_id(0, 0, 0)
    record = record[:38] + b"AB" + record[40:]
    return lambda: decoder.decode(record * COUNT, out), [lambda: decoder.set_symbol_id(7, 7, 7), lambda: decoder.counts], None


def a_lobster_window():
    window, rows = LobsterWindow(1), np.zeros((COUNT, 4), np.int64)
    rows[:] = (2, 1, 1, 1)
    columns = [np.ones(COUNT, np.int64)] * 4
    return lambda: window.apply(*columns, rows), [window.depth, lambda: window.mismatches], None


def an_engine():
    """A new one for each run, which is over when its source is."""
    engines, rows = [], adds()

    def long():
        engines.append(Engine(EventSource(rows), Market(symbols=1), Desk(symbols=1)))
        engines[-1].run()

    others = [
        lambda: engines and engines[-1].run(),
        lambda: engines and engines[-1].reports(),
        lambda: engines and engines[-1].curve(),
        lambda: engines and engines[-1].stop(),
        lambda: engines and engines[-1].market.books.quotes(),
    ]
    return long, others, lambda: engines[-1].market.books.check()


def the_parts_of_a_run():
    """What a run works on, each part by itself and in another engine; a new run each time, whose end is that of its source."""
    runs, folder = [], tempfile.mkdtemp()
    store = TickStore(f"{folder}/a.ticks", "a")
    rows = adds()
    rows["kind"], rows["order_id"], rows["exch_ns"] = KINDS["trade"], 0, np.arange(COUNT)
    tick, one = np.zeros(1, store.dtype), LevelBook()
    tick["price"] = 1.0

    def long():
        market, desk, marks = Market("levels", symbols=8), Desk(symbols=8), Markouts((5,))
        simulator = Simulator(EventSource(rows), market, markouts=marks)
        venue = simulator.open(0)
        runs.append((simulator, market, desk, venue, marks))
        Engine(simulator, market, desk, {"tape": Tape(0, store)}).run()

    def part(use):
        return lambda: runs and use(*runs[-1])

    others = [
        part(lambda simulator, market, desk, venue, marks: Engine(simulator, market, desk)),
        part(lambda simulator, market, desk, venue, marks: Engine(simulator, Market("levels", symbols=8), Desk(symbols=8)).run()),
        part(lambda simulator, market, desk, venue, marks: Engine(simulator.history, Market(symbols=8)).run()),
        part(lambda simulator, market, desk, venue, marks: simulator.open(5)),
        part(lambda simulator, market, desk, venue, marks: desk.open(5)),
        part(lambda simulator, market, desk, venue, marks: venue.submit(one, 1, 5, 1)),
        part(lambda simulator, market, desk, venue, marks: venue.cancel(1)),
        part(lambda simulator, market, desk, venue, marks: venue.take_reports()),
        part(lambda simulator, market, desk, venue, marks: venue.orders()),
        part(lambda simulator, market, desk, venue, marks: venue.check()),
        part(lambda simulator, market, desk, venue, marks: venue.displaced_lots),
        part(lambda simulator, market, desk, venue, marks: marks.array()),
        lambda: store.append(1, 1, 1.0, 1.0),
        lambda: store.append_many(tick),
        lambda: store.reserve(10),
    ]

    def check():
        store.close()
        with TickStore(store.path) as again:
            assert not again.verify().dropped_records
        shutil.rmtree(folder)

    return long, others, check


MAKERS = [value for name, value in list(globals().items()) if name.startswith(("a_", "an_", "the_")) and callable(value)]


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__.partition("_")[2])
def test_second_call_raises_and_breaks_nothing(make):
    long, others, check = make()
    done, failures, refused = threading.Event(), [], set()

    def work():
        try:
            while len(refused) < len(others) and not stop.is_set():
                with contextlib.suppress(BusyError):  # a call of ours was inside first
                    long()
        except BaseException as error:
            failures.append(error)
        done.set()

    stop = threading.Event()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    thread = threading.Thread(target=work)
    thread.start()
    try:
        for _ in range(20_000):
            for i, other in enumerate(others):
                try:
                    other()
                except BusyError:
                    refused.add(i)
                except (ValueError, LookupError, RuntimeError, OverflowError) as error:
                    if isinstance(error, BusyError) or "order" not in str(error) and "symbol" not in str(error):
                        raise
            if done.wait(0.0005):
                break
    finally:
        stop.set()
        thread.join()
        sys.setswitchinterval(interval)
    assert not failures
    assert refused == set(range(len(others)))
    if check is not None:
        check()


@pytest.mark.parametrize("kind", ["single", "broadcast"])
def test_second_call_on_an_end_of_a_ring_raises_and_the_other_end_works(kind):
    ring = RingBuffer(4) if kind == "single" else BroadcastRing(4)
    consumer = ring if kind == "single" else ring.consumer()
    inside = threading.Event()
    outcome = []

    def wait():
        inside.set()
        try:
            outcome.append(int(consumer.pop(timeout=60)["seq"]))
        except RingError as error:
            outcome.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    inside.wait()
    refused = 0
    while not refused:  # until the other one is in its wait
        try:
            assert consumer.try_pop() is None
        except BusyError:
            refused += 1
    for call in (consumer.detach, consumer.release, lambda: consumer.try_peek(1)):
        with pytest.raises(BusyError):
            call()
    ring.push(bytes(64))
    thread.join()
    assert outcome == [1]
    ring.push_batch(np.zeros(4, EVENT_DTYPE))
    thread = threading.Thread(target=lambda: ring.push(bytes(64), timeout=60))
    thread.start()
    refused = 0
    while not refused:
        try:
            assert not ring.try_push(bytes(64))
        except BusyError:
            refused += 1
    assert len(consumer.peek(1)) == 1
    consumer.release()
    thread.join()
    assert ring.published == 6
