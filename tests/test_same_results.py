"""Runs and books give, bit for bit, what the table ``same_results.json`` says: orders, fills, refusals, curves, books.

``python tests/test_same_results.py --write`` writes the table again from the code at hand; it needs FASTCORE_TEST_DATA.

A row has plain figures, to say what differs, and SHA-256 digests of canonical arrays. Symbol ids are in neither: symbols go
by their names. Reports are hashed twice: as they come, and sorted within each market event, so that another order of the same
reports shows as such.
"""

import hashlib
import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import numpy as np
import pytest
from click.testing import CliRunner

from fastcore.records import EVENT_DTYPE, FLAGS, KINDS, NO_SYMBOL, kind_name

TABLE = Path(__file__).with_name("same_results.json")
WRITE = f"python tests/{Path(__file__).name} --write"

# ---- adapter: all that is known of the code under test ----


def with_letters(events: np.ndarray) -> np.ndarray:
    """The events as the table has them: trading states and session events as letters of ITCH, 0 where they are unknown."""
    out = events
    for kind, letters in (("status", b"\0HPQT"), ("system", b"\0OSQMEC")):
        rows = events["kind"] == KINDS[kind]
        if rows.any():
            out = out.copy() if out is events else out
            out["price"][rows] = np.frombuffer(letters, np.uint8)[events["price"][rows]]
    return out


@dataclass(frozen=True)
class Run:
    """What one run did.

    Attributes
    ----------
    exit_code : int
        Of ``hft replay`` and ``hft demo``; 0 or 5 where a function was called.
    error : str
        What the command said instead of a summary.
    summary : dict
        The object that ``--json`` prints.
    reports : ndarray
        Own orders, refusals and fills in their order: `seq` (number of the market event), `exch_ns`, `kind`, `side`, `flags`,
        `price`, `size`, `order_id`, `match_id`.
    curve : ndarray
        `exch_ns`, `mid_ticks`, `position_lots`, `profit`.
    mid_ticks : int or None
        At the end.
    book : int or None
        `state_hash` of the book of the chosen symbol; None where it is empty or nothing ran.
    """

    exit_code: int
    error: str
    summary: dict
    reports: np.ndarray
    curve: np.ndarray
    mid_ticks: int | None
    book: int | None


@contextmanager
def engines_made():
    """The engines that runs make meanwhile, each with the id of its symbol."""
    from hft import run

    made = []
    build = run.build

    def note(config, source, book, instrument, symbol_id, *more):
        made.append((build(config, source, book, instrument, symbol_id, *more), symbol_id))
        return made[-1][0]

    with mock.patch.object(run, "build", note):
        yield made


def ended(made: list, summary: dict, exit_code: int, error: str = "") -> Run:
    if not made:
        return Run(exit_code, error, summary, np.zeros(0, EVENT_DTYPE), np.zeros(0, EVENT_DTYPE), None, None)
    ((engine, symbol_id),) = made
    book = engine.market.books.book(symbol_id)
    hashed = book.state_hash() if len(book) else None
    summary = summary | {"events": summary["messages"]}  # what the figure in the table counts
    return Run(exit_code, error, summary, engine.reports(), engine.curve(), engine.desk.mid_ticks(symbol_id), hashed)


def variables(config: Mapping[str, object]) -> dict[str, str]:
    """The environment variables of a configuration with values by ``section.key``."""
    return {f"HFT_{key.replace('.', '_').upper()}": str(value) for key, value in config.items()}


def run_command(words: Iterable[object], config: Mapping[str, object] = {}) -> Run:
    """Run ``hft`` with these words; other variables of its environment than those of `config` are not set."""
    from hft.cli import main

    environment = dict.fromkeys(name for name in os.environ if name.startswith("HFT_")) | variables(config)
    with engines_made() as made:
        done = CliRunner().invoke(main, [*map(str, words), "--json"], env=environment)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    if not made:
        return ended(made, {}, done.exit_code, done.stderr.splitlines()[-1].removeprefix("Error: ").split(":")[0])
    return ended(made, json.loads(done.stdout), done.exit_code)


def run_itch(path: Path, chunk_bytes: int, symbol: str | None = None, config: Mapping[str, object] = {}) -> Run:
    """Run an ITCH file, given in chunks of whole messages of up to so many bytes."""
    from fastcore.wire.itch import whole_messages
    from hft.config import load
    from hft.feeds.itch import ItchFeed, open_itch
    from hft.run import replay

    data, at, chunks = b"".join(open_itch(path)), 0, []
    while at < len(data):
        length, _ = whole_messages(memoryview(data)[at : at + chunk_bytes])
        chunks.append(data[at : at + length])
        at += length
    settings = load(environment=variables(config), symbol=symbol)
    with engines_made() as made:
        summary = replay(ItchFeed(path, chunks=chunks), settings)
    return ended(made, summary.to_json(), 5 if summary.stopped else 0)


def run_feed(path: Path, limit: int, symbol: str | None = None, config: Mapping[str, object] = {}) -> Run:
    """Run the decoded events of any file, given in arrays of at most so many; the first is as the feed gives it."""
    from hft.config import load
    from hft.feeds import open_feed
    from hft.feeds.binance import decimals_of
    from hft.feeds.feed import Feed, whole_messages
    from hft.run import replay

    options = {}
    with open_feed(path) as feed:
        if feed.format == "binance":
            options["decimals"] = decimals_of(next(feed))
    settings = load(environment=variables(config), symbol=symbol)
    with open_feed(path, **options) as feed, engines_made() as made:
        arrays = feed._arrays()
        feed._source = chain([next(arrays)], (part for events in arrays for part in whole_messages(events, limit)))
        feed.begin = lambda symbol: Feed.begin(feed, symbol)  # as events, whatever the format
        summary = replay(feed, settings)
    return ended(made, summary.to_json(), 5 if summary.stopped else 0)


def write_day(path: Path) -> Path:
    """Write a synthetic day of the symbols `NAMES` as ITCH, with stock locates far from each other."""
    from fastcore.wire.itch import ItchEncoder
    from hft.feeds.synthetic import generate_events

    events = generate_events(400_000, 7, NAMES)
    own = events["symbol_id"] > 0
    events["symbol_id"][own] = 7 + 3_000 * events["symbol_id"][own]
    path.write_bytes(ItchEncoder().encode(events))
    return path


def open_recorded(path: Path, options: Mapping[str, object]):
    """The feed of a file: iterable of event arrays, with `format`, `book`, `instruments`, `messages`, `errors`, `gaps`."""
    from hft.feeds import open_feed

    return open_feed(path, **options)


def unreadable() -> type[Exception]:
    """What is raised, on opening or at the first array, where a file is of no known format or needs an option."""
    from hft.feeds import FormatError

    return FormatError


class Books:
    """Books of a feed: `apply` arrays with ids that are dense, then ask for hashes by id."""

    def __init__(self, kind: str) -> None:
        from fastcore.bookset import BookSet

        self.kind = kind
        self._set = BookSet(by_level=kind != "orders", quotes=kind == "quotes")

    def apply(self, events: np.ndarray) -> None:
        if self.kind == "none":
            return
        if self.kind != "quotes":  # beside orders or levels they are the venue's own account of its best prices
            events = events[events["kind"] != KINDS["quote"]]
        self._set.apply(events)

    def hashes(self) -> dict[int, int]:
        """Of the books that are not empty."""
        return {i: self._set.book(i).state_hash() for i in self._set.symbol_ids if len(self._set.book(i))}

    def results(self) -> dict[str, int]:
        return self._set.counts


# ---- what is run ----

AMZN = "itch/AMZN_2012-06-21_L5.itch.gz"
USDM_BTC, USDM_ETH = "binance/usdm_btcusdt_20240808.gz", "binance/usdm_ethusdt_20240808.gz"
SPOT_BTC = "binance/spot_btcusdt_20240808.gz"
LOBSTER = "lobster/LOBSTER_SampleFile_AMZN_2012-06-21_5.zip"
NVDA = "nvda/nvda_tradersample.txt"
MAKER = ("--strategy", "avellaneda")

# Case -> file, further words of ``hft replay``, configuration.
RUNS = {
    "AMZN": (AMZN, (), {}),
    "AMZN limits of position refuse": (AMZN, (), {"limits.max_position_shares": 150}),
    "AMZN limit of position below an order": (AMZN, (), {"limits.max_position_shares": 50}),
    "AMZN collar refuses": (AMZN, (), {"limits.price_collar_usd": 0.15}),
    "AMZN limit of order size refuses all": (AMZN, (), {"limits.max_order_shares": 99}),
    "AMZN loss stops": (AMZN, (), {"limits.max_loss_usd": 40}),
    "AMZN fees": (AMZN, (), {"fees.maker_usd_per_share": -0.002, "fees.taker_usd_per_share": 0.003}),
    "AMZN fees lose more than the limit": (AMZN, (), {"fees.maker_usd_per_share": 0.05, "limits.max_loss_usd": 100}),
    "AMZN inventory of two orders": (
        AMZN, (), {"market_maker.inventory_limit_shares": 200, "market_maker.min_spread_usd": 0.05}
    ),
    "AMZN orders of 7, no volatility estimate": (
        AMZN, (), {"market_maker.order_shares": 7, "market_maker.volatility_half_life_s": 0}
    ),
    "AMZN curve of 0.1 s": (AMZN, (), {"run.curve_interval_s": 0.1}),
    "AMZN books only": (AMZN, ("--strategy", "none"), {}),
    "AAPL": ("itch/AAPL_2020-01-30_first10k.itch", (), {}),
    "USD-M BTCUSDT": (USDM_BTC, MAKER, {}),
    "USD-M BTCUSDT wide collar": (USDM_BTC, MAKER, {"limits.price_collar_usd": 200}),
    "USD-M BTCUSDT orders of 1": (
        USDM_BTC, MAKER,
        {"market_maker.order_shares": 1, "market_maker.inventory_limit_shares": 5, "limits.max_position_shares": 5,
         "limits.price_collar_usd": 100},
    ),
    "USD-M ETHUSDT": (USDM_ETH, MAKER, {}),
    "USD-M ETHUSDT fees": (USDM_ETH, MAKER, {"fees.maker_usd_per_share": -0.01, "fees.taker_usd_per_share": 0.02}),
    "USD-M ETHUSDT loss stops": (USDM_ETH, MAKER, {"limits.max_loss_usd": 300}),
    "spot BTCUSDT": (SPOT_BTC, MAKER, {}),
    "spot BTCUSDT loss stops": (SPOT_BTC, MAKER, {"limits.max_loss_usd": 500}),
    "LOBSTER AMZN by levels": (LOBSTER, MAKER, {}),
    "LOBSTER AMZN by orders": (LOBSTER, (*MAKER, "--option", "by=orders"), {}),
    "LOBSTER AMZN best prices": ("lobster/LOBSTER_SampleFile_AMZN_2012-06-21_1.zip", MAKER, {}),
    "DBN quotes and trades": ("dbn/glbx_mbp-1_2024-07-01.dbn.zst", MAKER, {}),
    "DBN orders": ("dbn/glbx_mbo_2024-05-08.dbn.zst", MAKER, {}),
    "EURUSD quotes": ("fx/oanda_eurusd_20140508_quote.zip", MAKER, {}),
    "USDJPY quotes": ("fx/truefx_usdjpy_ticks.csv", MAKER, {}),
}  # fmt: skip

# Case -> words of ``hft demo``, configuration.
DEMOS = {
    "demo seed 1": (("--seed", 1), {}),
    "demo seed 2": (("--seed", 2), {}),
    "demo seed 3": (("--seed", 3), {}),
    "demo fees": (
        ("--messages", 100_000), {"fees.maker_usd_per_share": -0.0002, "fees.taker_usd_per_share": 0.0003}
    ),
    "demo loss stops": (
        ("--messages", 100_000, "--seed", 4), {"limits.max_loss_usd": 20, "fees.maker_usd_per_share": 0.01}
    ),
    "demo limits refuse": (
        ("--messages", 100_000, "--seed", 5), {"limits.max_position_shares": 120, "limits.price_collar_usd": 0.03}
    ),
    "demo books only": (("--messages", 100_000, "--strategy", "none"), {}),
}  # fmt: skip

# Case -> the row of the table that it must equal, file, and how the same is run in another way.
OTHERWISE = {
    "AMZN no latencies": ("AMZN", AMZN, lambda path: run_command(["replay", path, "--sample", 0])),
    "AMZN latencies of all messages": ("AMZN", AMZN, lambda path: run_command(["replay", path, "--sample", 1])),
    "AMZN in chunks of 500 bytes": ("AMZN", AMZN, lambda path: run_itch(path, 500)),
    "AMZN in chunks of 100,000 bytes": ("AMZN", AMZN, lambda path: run_itch(path, 100_000)),
    "AMZN in one chunk": ("AMZN", AMZN, lambda path: run_itch(path, 1 << 30)),
    "AMZN as decoded events": ("AMZN", AMZN, lambda path: run_feed(path, 65_536)),
    "AMZN as arrays of 1,000 decoded events": ("AMZN", AMZN, lambda path: run_feed(path, 1_000)),
    "USD-M BTCUSDT no latencies": (
        "USD-M BTCUSDT", USDM_BTC, lambda path: run_command(["replay", path, *MAKER, "--sample", 0])
    ),
    "USD-M BTCUSDT latencies of all events": (
        "USD-M BTCUSDT", USDM_BTC, lambda path: run_command(["replay", path, *MAKER, "--sample", 1])
    ),
    "USD-M BTCUSDT in arrays of 1,000": ("USD-M BTCUSDT", USDM_BTC, lambda path: run_feed(path, 1_000)),
    "LOBSTER AMZN in arrays of 700": ("LOBSTER AMZN by levels", LOBSTER, lambda path: run_feed(path, 700)),
}  # fmt: skip

# A synthetic day of many symbols: case -> the traded one.
NAMES = [f"S{i:02}" for i in range(20)]
DAY = "synthetic day of 20 symbols"
OF_DAY = {f"{DAY}: {name}": name for name in ("S00", "S07", "S19")}
SYNTHETIC = {
    "market_maker.risk_aversion_per_usd": 0.2, "market_maker.fill_decay_per_usd": 200, "market_maker.horizon_s": 10,
    "market_maker.min_spread_usd": 0.01,
}  # fmt: skip

# Files that need options, or have other ones than the default: case -> file, options of its feed.
WITH_OPTIONS = {
    f"{LOBSTER} by orders": (LOBSTER, {"by": "orders"}),
    f"{NVDA} as orders": (
        NVDA,
        {
            "kind": "orders", "columns": {"side": "type.2"}, "date": date(2014, 1, 2), "time_zone": "America/New_York",
            "actions": {"A": "add", "C": "delete", "R": "resize", "T": "trade"}, "tick_size": 0.0001, "symbol": "NVDA",
            "layouts": {"R": ["action", "time", "id", "size"], "T": ["action", "time", "id", "price", "size"]},
        },
    ),
}  # fmt: skip
MANY = 40  # symbols that a row lists one by one
RUN_MANY = 8  # symbols of a file that are all run

# ---- canonical forms ----

REPORT_COLUMNS = ("seq", "exch_ns", "kind", "side", "flags", "price", "size", "order_id", "match_id")
EVENT_COLUMNS = ("seq", "exch_ns", "local_ns", "kind", "side", "flags", "price", "size", "order_id", "match_id")
CURVE_COLUMNS = ("exch_ns", "mid_ticks", "position_lots", "profit")


def canonical(rows: np.ndarray, columns: tuple[str, ...]) -> bytes:
    """The rows as little-endian int64."""
    out = np.empty((len(rows), len(columns)), "<i8")
    for i, name in enumerate(columns):
        out[:, i] = rows[name].astype(np.int64)
    return out.tobytes()


def digest(rows: np.ndarray, columns: tuple[str, ...]) -> str:
    return hashlib.sha256(canonical(rows, columns)).hexdigest()


def by_event(reports: np.ndarray) -> np.ndarray:
    """The reports of each market event with buys first, otherwise in their order."""
    return reports[np.lexsort((-reports["side"].astype(np.int64), reports["seq"]))]


def kinds_of(events: np.ndarray) -> dict[str, int]:
    numbers, counts = np.unique(events["kind"], return_counts=True)
    return {kind_name(number): count for number, count in zip(numbers.tolist(), counts.tolist(), strict=True)}


def plain(value: object) -> object:
    """Floats to nine decimals: they stand for whole ticks and lots."""
    return round(value, 9) if isinstance(value, float) else value


# ---- rows of the table ----

FIGURES = (
    "symbol", "events", "messages_by_type", "skipped", "malformed", "book_errors", "symbols", "orders", "rejected", "fills",
    "volume", "market_volume", "position", "pnl", "fees", "stopped", "tick_size", "lot_size",
)  # fmt: skip
OF_ORDERS = ("orders", "rejected", "fills", "volume", "position", "pnl", "fees", "stopped")


def row_of_run(run: Run) -> dict:
    if run.error:
        return {"exit code": run.exit_code, "error": run.error}
    row = {"exit code": run.exit_code} | {name: plain(run.summary[name]) for name in FIGURES}
    row |= {"mid_ticks": run.mid_ticks, "book": None if run.book is None else f"{run.book:016x}"}
    row |= {"reports": kinds_of(run.reports), "points of the curve": len(run.curve)}
    row["sha256 of reports"] = digest(run.reports, REPORT_COLUMNS)
    row["sha256 of reports by event"] = digest(by_event(run.reports), REPORT_COLUMNS)
    row["sha256 of curve"] = digest(run.curve, CURVE_COLUMNS)
    return row


def short(run: Run) -> dict:
    """The row of a run without orders."""
    row = row_of_run(run)
    if not run.error:
        assert not len(run.reports)
        for name in ("symbol", "messages_by_type", "reports", "sha256 of reports", "sha256 of reports by event", *OF_ORDERS):
            del row[name]
    return row


def row_of_file(path: Path, options: Mapping[str, object]) -> dict:
    """What the feed of a file gives, its books by symbol, and runs without a strategy; why it gives nothing otherwise."""
    try:
        return row_of_feed(path, options)
    except unreadable() as error:
        return {"error": f"{type(error).__name__}: {str(error).split(':')[0]}"}


def row_of_feed(path: Path, options: Mapping[str, object]) -> dict:
    feed = open_recorded(path, options)
    kinds, ids, printed, seen = Counter(), {}, Counter(), Counter()
    hashed = hashlib.sha256()
    books = Books(feed.book)
    with feed:
        for events in feed:
            kinds.update(kinds_of(events))
            hashed.update(canonical(with_letters(events), EVENT_COLUMNS))
            is_print = np.isin(events["kind"], (KINDS["execute"], KINDS["trade"])) & (events["flags"] & FLAGS["not_printable"] == 0)
            numbers, places = np.unique(events["symbol_id"], return_inverse=True)
            for i, number in enumerate(numbers.tolist()):
                seen[number] += int((places == i).sum())
                printed[number] += int(events["size"][is_print & (places == i)].sum())
            dense = [NO_SYMBOL if number == NO_SYMBOL else ids.setdefault(number, len(ids)) for number in numbers.tolist()]
            events = events.copy()
            events["symbol_id"] = np.array(dense, np.uint32)[places]
            books.apply(events)
        names = {number: instrument.symbol for number, instrument in enumerate(feed.instruments)}
    hashes = books.hashes()
    symbols: dict[str, dict] = {}
    for number, name in chain(names.items(), ((number, "") for number in seen if number not in names)):
        row = symbols.setdefault(name, {"events": 0, "printed": 0})
        row["events"] += seen[number]
        row["printed"] += printed[number]
        if ids.get(number) in hashes:
            assert "book" not in row, f"two books of one name: {name}"
            row["book"] = f"{hashes[ids[number]]:016x}"
    found = {
        "format": feed.format, "builds": feed.book, "events": sum(kinds.values()), "kinds": dict(kinds), "messages": feed.messages,
        "errors": feed.errors, "gaps": feed.gaps, "results of books": books.results(), "sha256 of events": hashed.hexdigest(),
        "number of symbols": len(symbols),
    }  # fmt: skip
    if len(symbols) <= MANY:
        found["symbols"] = symbols
    else:
        found["sha256 of symbols"] = hashlib.sha256(json.dumps(symbols, sort_keys=True).encode()).hexdigest()
    listed = sorted(set(names.values()))
    chosen = [[]] if len(listed) < 2 else [["--symbol", name] for name in (listed if len(listed) <= RUN_MANY else listed[:1])]
    words = [word for name, value in options.items() for word in ("--option", f"{name}={option_text(value)}")]
    found["runs without strategy"] = {
        name[-1] if name else "": short(run_command(["replay", path, "--strategy", "none", *words, *name])) for name in chosen
    }
    return found


def option_text(value: object) -> str:
    return str(value) if isinstance(value, str | date) else json.dumps(value)


def differences(table: Mapping, now: Mapping, at: str = "") -> list[str]:
    """A line for each value that is another one."""
    lines = []
    for key in table | now:
        then, found = table.get(key), now.get(key)
        if isinstance(then, dict) and isinstance(found, dict):
            lines += differences(then, found, f"{at}{key}: ")
        elif then != found:
            lines.append(f"{at}{key}: {then!r} in the table, {found!r} now")
    reports = "sha256 of reports"
    if not at and table.get(reports) != now.get(reports) and table.get(f"{reports} by event") == now.get(f"{reports} by event"):
        lines.append("the reports are the same, only their order within an event is another one")
    return lines


# ---- the table ----


def read() -> dict[str, dict[str, dict]]:
    return json.loads(TABLE.read_text("utf-8")) if TABLE.exists() else {"runs": {}, "files": {}}


def recorded_files(data: Path) -> Iterator[str]:
    return (path.relative_to(data).as_posix() for path in sorted(data.rglob("*")) if path.is_file())


def cases_of_files(files: Iterable[str]) -> dict[str, tuple[str, dict]]:
    return {name: (name, {}) for name in files} | WITH_OPTIONS


def write(data: Path) -> None:
    runs = {name: row_of_run(run_command(["demo", *words], config)) for name, (words, config) in DEMOS.items()}
    with TemporaryDirectory() as directory:
        day = write_day(Path(directory) / "day.itch")
        for name, symbol in OF_DAY.items():
            runs[name] = row_of_run(run_command(["replay", day, "--symbol", symbol], SYNTHETIC))
        files = {DAY: row_of_file(day, {})}
    for name, (file, words, config) in RUNS.items():
        runs[name] = row_of_run(run_command(["replay", data / file, *words], config))
    for name, (file, options) in cases_of_files(recorded_files(data)).items():
        files[name] = row_of_file(data / file, options)
    sections = []
    for title, rows in (("runs", runs), ("files", files)):
        written = [
            f"  {json.dumps(name)}: {{\n" + ",\n".join(f"   {json.dumps(key)}: {json.dumps(row[key])}" for key in row) + "\n  }"
            for name, row in rows.items()
        ]
        sections.append(f" {json.dumps(title)}: {{\n" + ",\n".join(written) + "\n }")
    TABLE.write_text("{\n" + ",\n".join(sections) + "\n}\n", "utf-8")


# ---- tests ----


def assert_same(section: str, name: str, now: dict) -> None:
    rows = read()[section]
    assert name in rows, f"{name!r} is not in {TABLE.name}: {WRITE}"
    lines = differences(rows[name], json.loads(json.dumps(now)))
    assert not lines, "\n".join([f"{name}: other than in {TABLE.name}", *lines])


@pytest.fixture(scope="module")
def recorded(data_dir: Path) -> Path:
    """Recorded data, and the libraries that read them."""
    for module in ("databento_dbn", "dpkt", "pyarrow", "zstandard"):
        pytest.importorskip(module)
    return data_dir


@pytest.mark.parametrize("name", DEMOS)
def test_synthetic_day(name):
    words, config = DEMOS[name]
    assert_same("runs", name, row_of_run(run_command(["demo", *words], config)))


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_day(tmp_path_factory.mktemp("day") / "day.itch")


@pytest.mark.parametrize("name", OF_DAY)
def test_day_of_many_symbols(day, name):
    assert_same("runs", name, row_of_run(run_command(["replay", day, "--symbol", OF_DAY[name]], SYNTHETIC)))


@pytest.mark.parametrize("name", OF_DAY)
def test_pieces_of_a_day_of_many_symbols_change_nothing(day, name):
    assert_same("runs", name, row_of_run(run_itch(day, 500, OF_DAY[name], SYNTHETIC)))
    for limit in (65_536, 1_000):
        assert_same("runs", name, row_of_run(run_feed(day, limit, OF_DAY[name], SYNTHETIC)))


def test_books_of_many_symbols(day):
    assert_same("files", DAY, row_of_file(day, {}))


@pytest.mark.parametrize("name", RUNS)
def test_run(recorded, name):
    file, words, config = RUNS[name]
    assert_same("runs", name, row_of_run(run_command(["replay", recorded / file, *words], config)))


@pytest.mark.parametrize("name", OTHERWISE)
def test_latencies_and_pieces_change_nothing(recorded, name):
    row, file, run = OTHERWISE[name]
    done = run(recorded / file)
    assert bool(done.summary["latency_ns"]) == ("no latencies" not in name)
    assert_same("runs", row, row_of_run(done))


@pytest.mark.parametrize("name", [name for name in read()["files"] if name != DAY])
def test_recorded_file(recorded, name):
    file, options = cases_of_files([name])[name]
    assert_same("files", name, row_of_file(recorded / file, options))


def test_every_recorded_file_is_in_the_table(recorded):
    missing = set(cases_of_files(recorded_files(recorded))) - set(read()["files"])
    assert not missing, f"not in {TABLE.name}: {sorted(missing)}: {WRITE}"


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"] or not os.environ.get("FASTCORE_TEST_DATA"):
        sys.exit(f"usage: FASTCORE_TEST_DATA=<directory> {WRITE}")
    write(Path(os.environ["FASTCORE_TEST_DATA"]))
