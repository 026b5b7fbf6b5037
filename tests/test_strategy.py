"""The contract of strategies, through one that a stranger compiled: what it is called for, when, and in which order."""

import importlib
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from kit import needs_a_compiler

import fastcore
from fastcore.desk import Desk
from fastcore.engine import Engine
from fastcore.market import Market
from fastcore.records import BUY, EVENT_DTYPE, KINDS, NO_PRICE, SELL
from fastcore.risk import RiskLimits
from fastcore.sim.simulator import Simulator
from fastcore.source import EventSource

pytestmark = pytest.mark.thin  # compiled without a sanitizer

SETUP = """
import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
import fastcore
setup(ext_modules=cythonize(
    [Extension("probe", ["probe.pyx"], include_dirs=[fastcore.get_include(), numpy.get_include()])],
    compiler_directives={"language_level": 3, "cdivision": True}))
"""


@pytest.fixture(scope="module")
def probe(tmp_path_factory):
    """The module of the stranger, built against the installed contracts."""
    needs_a_compiler()
    place = tmp_path_factory.mktemp("probe")
    shutil.copy(Path(__file__).parent / "cimport_example" / "probe.pyx", place)
    (place / "setup.py").write_text(SETUP)
    core = str(Path(fastcore.__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {core!r}); sys.argv = ['setup.py', 'build_ext', '--inplace']\n"
         "exec(open('setup.py').read())"], cwd=place, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    sys.path.insert(0, str(place))
    try:
        yield importlib.import_module("probe")
    finally:
        sys.path.remove(str(place))


def adds(*rows):
    """Rows (time, order id, side, price, size, symbol id)."""
    out = np.zeros(len(rows), EVENT_DTYPE)
    for event, (time, order_id, side, price, size, *symbol) in zip(out, rows, strict=True):
        event["exch_ns"], event["order_id"], event["kind"] = time, order_id, KINDS["add"]
        event["side"], event["price"], event["size"], event["symbol_id"] = side, price, size, *(symbol or [0])
    return out


def run(events, strategies, stop=False):
    market, desk = Market(symbols=8), Desk(RiskLimits(1000, 1000, 1000), symbols=8)
    simulator = Simulator(EventSource(events), market)
    for symbol_id in range(4):
        desk.open(symbol_id)
        simulator.open(symbol_id)
    engine = Engine(simulator, market, desk, strategies)
    assert engine.run() == "end"
    if stop:
        engine.stop()
    return engine


def told(strategy, *hooks):
    return [row[:3] for row in strategy.calls() if not hooks or row[0] in hooks]


QUOTES = [(10, 1, BUY, 100, 5), (10, 2, SELL, 110, 5)]


def test_instant_is_over_before_anybody_is_called(probe):
    strategy = probe.Probe(0, [KINDS["add"]])
    run(adds(*QUOTES, (20, 3, BUY, 101, 5), (20, 4, BUY, 102, 5)), {"one": strategy}, stop=True)
    assert [(hook, now, bid) for hook, now, _, _, bid, _ in strategy.calls()] == [
        ("start", 0, NO_PRICE),
        *[("event", 10, 100)] * 2, ("book", 10, 100), ("instant", 10, 100),
        *[("event", 20, 102)] * 2, ("book", 20, 102), ("instant", 20, 102),
        ("stop", 20, 102),
    ]  # fmt: skip


def test_strategies_are_called_by_name_for_their_own_instruments(probe):
    strategies = {"b": probe.Probe(0), "a": probe.Probe(1), "c": probe.Probe(0, [KINDS["add"]])}
    engine = run(adds((10, 1, BUY, 100, 5, 0), (20, 2, BUY, 100, 5, 1), (30, 3, BUY, 100, 5, 2)), strategies)
    assert list(engine.strategies) == ["a", "b", "c"]
    assert told(strategies["a"], "book") == [("book", 20, KINDS["add"])]
    assert told(strategies["b"], "book", "event") == [("book", 10, KINDS["add"])]
    assert told(strategies["c"], "book", "event") == [("event", 10, KINDS["add"]), ("book", 10, KINDS["add"])]


def test_timers_fire_at_their_time_with_what_happens_then_and_not_behind_the_end(probe):
    strategy = probe.Probe(0, delay_ns=5)
    run(adds((10, 1, BUY, 100, 5), (15, 2, BUY, 101, 5), (40, 3, BUY, 102, 5)), {"one": strategy})
    assert [row[:4] for row in strategy.calls() if row[0] in ("book", "timer")] == [
        ("book", 10, KINDS["add"], 1),
        ("book", 15, KINDS["add"], 2), ("timer", 15, KINDS["timer"], 1),
        ("timer", 20, KINDS["timer"], 2),
        ("book", 40, KINDS["add"], 3),
    ]  # fmt: skip


def test_order_of_a_time_meets_all_events_of_that_time(probe):
    late = (10, 3, BUY, 99, 30)  # comes at our price, at the time that we answer
    strategy = probe.Probe(0, distance=1, reports=[KINDS["ack"]])
    reports = run(adds(*QUOTES, late), {"one": strategy}).reports()
    bought = reports[(reports["kind"] == KINDS["ack"]) & (reports["side"] == BUY)]
    assert [(int(r["price"]), int(r["match_id"])) for r in bought] == [(99, 30)]
    assert told(strategy, "report") == [("report", 10, KINDS["ack"])] * 2


def test_fill_is_told_with_the_position_that_it_made(probe):
    strategy = probe.Probe(0, reports=[KINDS["fill"]], distance=1)
    run(adds(*QUOTES, (20, 3, BUY, 98, 4), (30, 4, SELL, 99, 4)), {"one": strategy})
    _, now, kind, _, _, position = next(row for row in strategy.calls() if row[0] == "report")
    assert (now, kind, position) == (30, KINDS["fill"], 4)


def test_quotes_of_an_account_that_nobody_opened_are_an_error(probe):
    market, desk = Market(symbols=8), Desk(symbols=8)
    simulator = Simulator(EventSource(adds(*QUOTES)), market)
    engine = Engine(simulator, market, desk, {"one": probe.Probe(0, distance=1)})
    with pytest.raises(ValueError, match="quotes of opened accounts"):
        engine.run()


def test_desk_and_market_must_be_of_one_size(probe):
    market = Market(symbols=8)
    simulator = Simulator(EventSource([]), market)
    with pytest.raises(ValueError, match="desk and market must be of one size: desk=4 market=8"):
        Engine(simulator, market, Desk(symbols=4), {"one": probe.Probe(0)})
