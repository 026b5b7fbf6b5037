"""Symbol mapper: ids by every kind of key, last prices, bad input, growth while others look up."""

import gc
import threading

import numpy as np
import pytest

from fastcore import symbols as compiled
from fastcore.errors import UnknownSymbolError

MODULE = "symbols"
NAMES = ["AAPL", "MSFT", "A", "BRK.A", "GOOGLXYZ", "BTCUSDT-PERP", "ETHUSDT_240927"]


@pytest.fixture
def mapper(impl):
    return impl.SymbolMapper(NAMES)


def state(mapper):
    return (
        mapper.symbols,
        mapper.prices.tobytes(),
        mapper.volumes.tobytes(),
        mapper.timestamps.tobytes(),
    )


def test_ids_are_the_order_of_addition(mapper):
    assert [mapper.get_id(name) for name in NAMES] == list(range(7))
    assert mapper.symbols == tuple(NAMES)
    assert [mapper.symbol_of(i) for i in range(7)] == NAMES
    assert len(mapper) == 7
    assert mapper.add("MSFT") == 1
    assert mapper.add("TSLA") == 7
    mapper.check()


@pytest.mark.parametrize("name", NAMES)
def test_padding_of_venues_and_of_numpy_is_ignored(mapper, name):
    expected = NAMES.index(name)
    raw = name.encode()
    for form in (name, name + "  ", raw, raw.ljust(8), raw.ljust(20), raw.ljust(8, b"\0"), np.str_(name), np.bytes_(raw)):
        assert mapper.get_id(form) == mapper[form] == expected, form
        assert form in mapper


@pytest.mark.parametrize(
    "symbol", ["aapl", "AAP", "AAPLX", "", b"", b"\0" * 8, " AAPL", b"\xff", "BTCUSDT-PER", b"BTCUSDT-PERPX", "\x00"]
)
def test_unknown_symbols_are_minus_one(mapper, symbol):
    assert mapper.get_id(symbol) == -1
    assert symbol not in mapper
    with pytest.raises(KeyError, match="symbol must be known: symbol="):
        mapper[symbol]


def test_a_symbol_is_text_or_bytes(mapper):
    with pytest.raises(TypeError, match="symbol must be str or bytes: type=int"):
        mapper.get_id(5)
    with pytest.raises(TypeError, match="symbol must be str or bytes: type=int"):
        mapper[5]
    with pytest.raises(TypeError, match="symbol must be str or bytes: type=NoneType"):
        mapper.add(None)
    assert 5 not in mapper


@pytest.mark.parametrize(
    ("symbol", "rule"),
    [
        ("", r"symbol must have 1\.\.64 bytes"),
        ("   ", r"symbol must have 1\.\.64 bytes"),
        ("X" * 65, r"symbol must have 1\.\.64 bytes"),
        (" A", "symbol must be printable and not begin with a space"),
        ("A\n", "symbol must be printable"),
        (b"A\0B", "symbol must be printable"),
        (b"\xff\xfe", "symbol must be UTF-8"),
        ("\ud800", "symbol must be encodable as UTF-8"),
    ],
)
def test_bad_symbols_are_refused_and_nothing_changes(mapper, symbol, rule):
    before = state(mapper)
    with pytest.raises(ValueError, match=rule):
        mapper.add(symbol)
    with pytest.raises(ValueError, match=rule):
        mapper.add_many(["NEW", symbol])
    assert state(mapper) == before


def test_wire_keys_round_trip(impl):
    assert impl.wire_key("AAPL") == int.from_bytes(b"AAPL    ", "little")
    assert impl.wire_key(b"AAPL\0\0\0\0") == impl.wire_key("AAPL")
    assert impl.key_symbol(impl.wire_key("BRK.A")) == "BRK.A"
    with pytest.raises(ValueError, match="a wire key has at most 8 bytes: symbol='BTCUSDT-PERP'"):
        impl.wire_key("BTCUSDT-PERP")
    with pytest.raises(ValueError, match="symbol must"):
        impl.key_symbol(0)


def test_ids_of_every_batch_form(mapper, impl):
    wanted = ["MSFT", "NOPE", "A", "GOOGLXYZ", "AAPL"]
    expected = [1, impl.NO_SYMBOL, 2, 4, 0]
    wire = b"".join(name.encode().ljust(8) for name in wanted)
    strided = np.zeros(5, [("x", "u1"), ("stock", "S8")])
    strided["stock"] = wanted
    for form in (
        np.array(wanted, "S8"),
        strided["stock"],
        np.array(wanted, "S8")[::-1][::-1],
        np.array(wanted, "U12"),
        np.array(wanted, "S20"),
        np.frombuffer(wire, "S8"),
        np.frombuffer(wire, "<u8").astype(np.uint64),
        np.frombuffer(wire, "<u8").astype(np.uint64).repeat(2)[::2],
        wire,
        bytearray(wire),
        memoryview(wire),
        wanted,
        tuple(wanted),
    ):
        ids = mapper.ids_of(form)
        assert ids.dtype == np.uint32
        assert ids.tolist() == expected
    assert mapper.ids_of(np.array(["A", "B"], "S1")).tolist() == [2, impl.NO_SYMBOL]
    assert mapper.ids_of(["BTCUSDT-PERP"]).tolist() == [5]
    assert mapper.ids_of([]).tolist() == mapper.ids_of(b"").tolist() == []
    assert mapper.ids_of(np.array(wanted * 1000, "S8")).tolist() == expected * 1000


def test_ids_of_refuses_what_is_no_batch(mapper):
    with pytest.raises(TypeError, match="symbols must be a sequence of symbols, not one: symbols='AAPL'"):
        mapper.ids_of("AAPL")
    with pytest.raises(ValueError, match="wire bytes must be a multiple of 8: bytes=5"):
        mapper.ids_of(b"AAPL ")
    with pytest.raises(ValueError, match="symbols must have one dimension: ndim=2"):
        mapper.ids_of(np.zeros((2, 2), "S8"))
    with pytest.raises(TypeError, match="symbol must be str or bytes"):
        mapper.ids_of([1, 2])


def test_update_price(mapper):
    assert np.isnan(mapper.prices).all()
    assert mapper.update_price(1, 100.25, 1_700_000_000_000_000_000) is None
    assert mapper.prices[1] == 100.25
    assert mapper.timestamps[1] == 1_700_000_000_000_000_000
    assert np.isnan(mapper.prices[[0, 2, 3, 4, 5, 6]]).all()
    assert mapper.volumes.tolist() == [0.0] * 7


BAD_ROWS = [
    (-1, 1.0, 0, KeyError, r"symbol_id must be in 0\.\.6: symbol_id=-1"),
    (7, 1.0, 0, KeyError, r"symbol_id must be in 0\.\.6: symbol_id=7"),
    (2**62, 1.0, 0, KeyError, "symbol_id must be in"),
    (0, float("nan"), 0, ValueError, "price must be positive and finite: price=nan, symbol_id=0"),
    (0, float("inf"), 0, ValueError, "price must be positive and finite: price=inf"),
    (0, -1.0, 0, ValueError, r"price must be positive and finite: price=-1\.0"),
    (0, 0.0, 0, ValueError, r"price must be positive and finite: price=0\.0"),
    (0, 1.0, -5, ValueError, "timestamp must not be negative: timestamp=-5, symbol_id=0"),
]


@pytest.mark.parametrize(("symbol_id", "price", "timestamp", "error", "rule"), BAD_ROWS)
def test_bad_prices_change_nothing(mapper, symbol_id, price, timestamp, error, rule):
    mapper.update_price(0, 5.0, 5)
    before = state(mapper)
    with pytest.raises(error, match=rule):
        mapper.update_price(symbol_id, price, timestamp)
    with pytest.raises(error, match=rule):
        mapper.update_prices(np.array([1, symbol_id, 2]), np.array([2.0, price, 3.0]), np.ones(3), np.array([1, timestamp, 1]))
    assert state(mapper) == before


def test_values_beyond_64_bits_are_refused():
    mapper = compiled.SymbolMapper(NAMES)
    with pytest.raises(OverflowError):
        mapper.update_price(2**64, 1.0, 0)
    with pytest.raises(OverflowError):
        mapper.update_price(0, 1.0, 2**63)
    with pytest.raises(OverflowError, match="ids must fit into 63 bits"):
        mapper.update_prices(np.array([2**63], np.uint64), [1.0])
    with pytest.raises(TypeError, match="ids must be an array of integers"):
        mapper.update_prices(np.array([1.5]), [1.0])
    with pytest.raises(TypeError, match="prices must be an array of numbers"):
        mapper.update_prices([1], ["x"])
    with pytest.raises(ValueError, match="ids must have one dimension: ndim=2"):
        mapper.update_prices(np.zeros((1, 1), np.int64), [1.0])


@pytest.mark.parametrize("dtype", [np.uint32, np.int32, np.int64, np.uint8, np.uint64])
def test_update_prices(mapper, dtype):
    ids = np.array([3, 1, 3], dtype)
    mapper.update_prices(ids, np.array([1.0, 2.0, 3.0]), np.array([10.0, 20.0, 30.0]), np.array([7, 8, 9]))
    assert mapper.prices[[1, 3]].tolist() == [2.0, 3.0]
    assert mapper.volumes[[1, 3]].tolist() == [20.0, 30.0]
    assert mapper.timestamps[[1, 3]].tolist() == [8, 9]
    mapper.update_prices(ids[:2], [5, 6])
    assert mapper.prices[[3, 1]].tolist() == [5.0, 6.0]
    assert mapper.volumes[[1, 3]].tolist() == [20.0, 30.0]
    mapper.update_prices(np.array([], dtype), np.array([]))
    with pytest.raises(ValueError, match=r"prices must be as long as the ids: len\(prices\)=1, ids=3"):
        mapper.update_prices(ids, [1.0])
    with pytest.raises(ValueError, match=r"volume must be finite and not negative: volume=-1\.0, symbol_id=3"):
        mapper.update_prices(ids, [1.0, 1.0, 1.0], [-1.0, 0.0, 0.0])


def test_update_prices_takes_any_layout():
    mapper = compiled.SymbolMapper(NAMES)
    table = np.zeros(4, [("p", ">f8"), ("i", "<u4"), ("pad", "u1")])
    table["p"], table["i"] = [1, 2, 3, 4], [3, 2, 1, 0]
    mapper.update_prices(table["i"], table["p"])
    assert mapper.prices[:4].tolist() == [4, 3, 2, 1]
    mapper.update_prices(np.arange(8, dtype=np.uint32)[::2] // 2, np.arange(1.0, 9.0)[::2])
    assert mapper.prices[:4].tolist() == [1, 3, 5, 7]


def test_repeated_symbols_and_capacity_are_refused(impl):
    with pytest.raises(ValueError, match="symbols must not repeat: symbol='A'"):
        impl.SymbolMapper(["A", "B", b"A   "])
    with pytest.raises(TypeError, match="symbols must be an iterable of symbols, not one: symbols='AAPL'"):
        impl.SymbolMapper("AAPL")
    for bad in (0, -1, 2**31):
        with pytest.raises(ValueError, match=rf"capacity must be in 1\.\.2\*\*31-1: capacity={bad}"):
            impl.SymbolMapper(capacity=bad)
    mapper = impl.SymbolMapper(["A"], capacity=2)
    mapper.add("B")
    before = state(mapper)
    with pytest.raises(OverflowError, match="capacity must hold every symbol: capacity=2, symbol='C'"):
        mapper.add("C")
    with pytest.raises(OverflowError, match="capacity must hold every symbol: capacity=2, symbols=4"):
        mapper.add_many(["A", "C", "D"])
    assert state(mapper) == before
    assert mapper.add_many(["B", "A", "B"]).tolist() == [1, 0, 1]
    assert mapper.capacity == 2


def test_views_stay_valid_while_symbols_are_added():
    mapper = compiled.SymbolMapper(["A", "B"])
    prices = mapper.prices
    address = prices.ctypes.data
    mapper.add_many(f"S{i:06d}" for i in range(20_000))
    mapper.update_price(1, 42.0, 1)
    assert prices[1] == 42.0
    assert mapper.prices.ctypes.data == address
    assert len(prices) == 2
    assert len(mapper.prices) == 20_002
    prices[0] = 7.0
    assert mapper.prices[0] == 7.0
    assert mapper.check()["used"] == 20_002
    del mapper
    gc.collect()
    assert prices[1] == 42.0


def test_default_capacity_is_a_million_and_costs_no_memory():
    mapper = compiled.SymbolMapper()
    assert mapper.capacity == 1_000_000
    ids = mapper.add_many(f"{i:x}" for i in range(100_000))
    assert ids.tolist() == list(range(100_000))
    assert mapper.ids_of(np.array([f"{i:x}" for i in range(100_000)], "S8")).tolist() == ids.tolist()
    assert mapper.check()["longest_probe"] < 100


@pytest.mark.slow
def test_a_million_symbols():
    mapper = compiled.SymbolMapper()
    names = np.array([f"{i:x}" for i in range(1_000_000)], "S8")
    assert (mapper.add_many(names.tolist()) == np.arange(1_000_000)).all()
    assert (mapper.ids_of(names) == np.arange(1_000_000)).all()
    with pytest.raises(OverflowError, match="capacity must hold every symbol"):
        mapper.add("ONE")


@pytest.mark.threads
def test_readers_in_other_threads_while_one_adds():
    # Legal outcomes of a lookup: unknown, or the one id that the symbol has for ever, known from then on.
    count, readers = 30_000, 3
    mapper = compiled.SymbolMapper(capacity=count)
    names = [f"T{i:06d}" for i in range(count)]
    keys = np.array(names, "S8")
    expected = np.arange(count, dtype=np.uint32)
    problems: list[str] = []
    start = threading.Barrier(readers + 1)
    done = threading.Event()

    def read() -> None:
        known = np.zeros(count, bool)
        start.wait()
        while not problems:
            last = done.is_set()
            size = len(mapper)
            ids = mapper.ids_of(keys)  # without the GIL
            found = ids != compiled.NO_SYMBOL
            if (ids[found] != expected[found]).any():
                problems.append("another id")
            if (known & ~found).any():
                problems.append("a symbol vanished")
            if not found[: max(0, size - 1)].all():  # the newest may be counted a moment before it is found
                problems.append("a published symbol was not found")
            if not np.isnan(mapper.prices).all():
                problems.append("a price of an unfinished symbol")
            known = found
            if last:
                if not found.all():
                    problems.append("a symbol is missing at the end")
                return

    threads = [threading.Thread(target=read) for _ in range(readers)]
    for thread in threads:
        thread.start()
    start.wait()
    for i, name in enumerate(names):
        assert mapper.add(name) == i
    done.set()
    for thread in threads:
        thread.join()
    assert problems == []
    mapper.check()


def test_errors_are_of_the_package():
    with pytest.raises(UnknownSymbolError, match=r"^symbol_id must be in 0\.\.-1: symbol_id=0$"):
        compiled.SymbolMapper().update_price(0, 1.0, 0)


def test_a_mapper_cannot_be_pickled_into_an_empty_one():
    import pickle

    with pytest.raises(TypeError, match="pickle"):
        pickle.dumps(compiled.SymbolMapper(["A"]))
