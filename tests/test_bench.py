"""The benchmark suite: rows, verification, the command, and the tables of the replaced engine."""

import asyncio
import json
import math
import struct
from importlib import import_module

import numpy as np
import pytest
from click.testing import CliRunner

from hft.cli import bench as command

pytestmark = [pytest.mark.wheel, pytest.mark.thin]

suite = command.suite()
harness = import_module(f"{suite.__name__}.harness")
replaced = import_module(f"{suite.__name__}.replaced")
KEYS = {"group", "name", "impl", "ns_per_item", "median_ns_per_item", "items", "ratio"}


def invoke(*arguments):
    return CliRunner().invoke(command.bench, arguments)


def test_compare_makes_rows_with_ratios_to_ours():
    bench = harness.Bench(quick=True)
    bench.compare("g", "n", 10, {"python": lambda: sum(range(2000)), "fastcore": lambda: None}, lambda impl, result: None)
    assert [row["impl"] for row in bench.rows] == ["python", "fastcore"]
    assert all(set(row) >= KEYS for row in bench.rows)
    python, ours = bench.rows
    assert ours["ratio"] == 1
    assert python["ratio"] == pytest.approx(python["ns_per_item"] / ours["ns_per_item"])
    assert python["ns_per_item"] <= python["median_ns_per_item"]


def test_compare_refuses_a_wrong_answer():
    def check(impl, result):
        if result != 1:
            raise AssertionError(f"the sum must be 1: {impl}={result}")

    bench = harness.Bench(quick=True)
    with pytest.raises(AssertionError, match="the sum must be 1: python=2"):
        bench.compare("g", "n", 1, {"fastcore": lambda: 1, "python": lambda: 2}, check)
    assert bench.rows == []


def test_compare_carries_the_largest_error():
    bench = harness.Bench(quick=True)
    bench.compare("g", "n", 1, {"fastcore": lambda: 1}, lambda impl, result: 1e-12)
    assert bench.rows[0]["max_error"] == 1e-12


def test_calls_evaluates_the_expression_as_often_as_said():
    seen = []
    harness.calls("add(x)", 40, add=seen.append, x=3)()
    assert seen == [3] * 40


def test_missing_peer_is_remembered():
    bench = harness.Bench()
    assert bench.optional("no_such_library") is None
    assert bench.optional("no_such_library") is None
    assert bench.report()["missing"] == ["no_such_library"]


def test_machine_names_what_the_figures_depend_on():
    about = harness.machine()
    assert {"cpu", "cores", "system", "python", "numpy", "hft-fastcore", "build"} <= set(about)
    assert about["build"]


def test_command_writes_json_and_prints_tables(tmp_path):
    target = tmp_path / "result.json"
    result = invoke("calls", "--quick", "--json", str(target))
    assert result.exit_code == 0, result.output
    report = json.loads(target.read_text())
    assert {"machine", "rows", "missing", "failed", "quick"} <= set(report)
    assert all(set(row) >= KEYS for row in report["rows"])
    assert {row["impl"] for row in report["rows"]} == {"fastcore", "python"}
    assert "empty method" in result.stdout


def test_command_keeps_stdout_pure_for_json():
    result = invoke("calls", "--quick", "--json", "-")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["rows"]


def test_command_refuses_unknown_names_and_says_which_exist():
    result = invoke("nothing")
    assert result.exit_code == 2
    assert "names must be among" in result.output
    assert "names=nothing" in result.output


def test_command_lists_every_benchmark():
    names = invoke("--list").stdout.split()
    assert "calls" in names
    assert "replaced" in names
    assert names == sorted(names)


@pytest.mark.slow
@pytest.mark.parametrize("name", command.names_of(suite))
def test_every_benchmark_runs(name):
    result = invoke(name, "--quick", "--json", "-")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["rows"]


def test_failing_benchmark_is_reported_and_fails_the_command(monkeypatch):
    calls = import_module(f"{suite.__name__}.bench_calls")

    def wrong(bench):
        raise AssertionError("the answer is wrong: x=1")

    monkeypatch.setattr(calls, "run", wrong)
    result = invoke("calls", "--quick")
    assert result.exit_code == 1
    assert "the answer is wrong: x=1" in result.output


def test_every_benchmark_module_says_what_it_measures():
    for name in command.names_of(suite):
        module = import_module(f"{suite.__name__}.bench_{name}")
        assert module.__doc__, name
        assert callable(module.run), name


def test_replaced_tables_show_claims_and_what_was_measured():
    rows = [
        {"group": replaced.GROUP, "name": "symbol to id", "impl": "replaced", "ns_per_item": 61.0},
        {"group": replaced.GROUP, "name": "symbol to id", "impl": "fastcore", "ns_per_item": 30.0},
    ]
    facts = [{"group": replaced.GROUP, "name": "memory", "impl": "fastcore", "value": 3e6}]
    (_, structures), (_, system) = replaced.tables(rows, facts)
    assert structures[0] == ("symbol to id (dict lookup)", "72.2 ns", "61.0 ns", "30.0 ns")
    assert system[-1][1:] == ("60 MB (whole process)", "not measured", "3.0 MB")
    assert replaced.tables([], []) == []


def test_replaced_design_stores_native_qidd(tmp_path):
    store = replaced.MemoryMappedDataStore(tmp_path / "ticks", 2)
    assert store.write_tick(5, 1, 2.5, 3.0)
    assert store.write_tick(6, 1, 2.5, 3.0)
    assert not store.write_tick(7, 1, 2.5, 3.0)
    assert store.read_tick(0) == (5, 1, 2.5, 3.0)
    assert store.read_tick(2) is None
    store.close()
    assert (tmp_path / "ticks").read_bytes()[:32] == struct.pack("QIdd", 5, 1, 2.5, 3.0)


def test_replaced_design_computes_one_z_score_three_ways():
    x = np.cumsum(np.random.default_rng(1).normal(size=500)) + 100
    answers = [replaced.zscore_python(x.tolist()), replaced.zscore_numpy(x), replaced.zscore_loop(x)]
    assert answers == pytest.approx([answers[0]] * 3, rel=1e-12)
    assert replaced.rolling_zscore_loop(np.array([10.0, 11, 13, 12, 15]), np.array([9.0, 9, 10, 10, 11]), 3) == pytest.approx(
        [1.2247448714, -0.7071067812, 1.2247448714]
    )


def test_replaced_design_signals_and_pools(tmp_path):
    engine = replaced.HFTEngine(["A", "B"], tmp_path / "ticks", 1000)
    rng = np.random.default_rng(2)
    prices = 100 * np.exp(np.cumsum(rng.normal(scale=1e-3, size=300)))
    batches = [[(i, 0, float(p), 1.0), (i, 1, float(p), 1.0)] for i, p in enumerate(prices)]
    assert asyncio.run(engine.run(batches, pacing_s=0)) == 600
    found, latency_ns = asyncio.run(engine.process_market_data(batches[0]))
    assert [(s.symbol_id, s.direction) for s in found] == [(0, -1), (1, -1)]  # two equal series: correlation 1
    assert latency_ns > 0
    assert engine.store.count == 602
    engine.store.close()


def test_replaced_design_quotes_five_levels_a_side():
    maker = replaced.AvellanedaMarketMaker()
    maker.update_market_data(50_000.0, 1.0, True)
    bids, asks = maker.generate_quotes(replaced.Ticker(50_000.0, 49_995.0, 50_005.0), {})
    assert [len(bids), len(asks)] == [5, 5]
    assert all(a.price > b.price for b, a in zip(bids, asks, strict=True))
    maker.on_order_filled("1", 50_000.0, 2.0, True)
    maker.on_order_filled("2", 50_010.0, 1.0, False)
    assert (maker.position, maker.realized) == (1.0, 10.0)
    assert math.isclose(maker.entry_price, 50_000.0)


def rows_for_table():
    def row(name, impl, ns, **more):
        return {"group": "ring", "name": name, "impl": impl, "ns_per_item": ns, "median_ns_per_item": 2 * ns, **more}

    return [
        row("two threads, one by one", "fastcore", 5.0),
        row("two threads, one by one", "c", 4.0),
        row("two threads, one by one", "queue.Queue", 2000.0),
    ]


def test_table_of_figures_shows_what_was_reached_and_what_is_missing(tmp_path):
    table = import_module(f"{suite.__name__}.table")
    report = {"rows": rows_for_table(), "machine": harness.machine()}
    text, fine = table.render(report)
    assert not fine
    line = next(line for line in text.splitlines() if "two threads, one by one" in line)
    assert "C 1.25x / 1.25x" in line
    assert "`queue.Queue` 400x / 400x" in line
    assert "5 / 10" in line
    assert "**" not in line
    assert "not measured" in next(line for line in text.splitlines() if "wire key" in line)
    part = table.Part("C", "cost", 1.2, "ring", "one by one", "c")
    assert part.show(report["rows"]) == ("C <= 1.2x", "C 1.25x / 1.25x", False)


def test_of_several_reports_each_row_is_the_one_of_least_time():
    table = import_module(f"{suite.__name__}.table")
    slow, fast = rows_for_table(), rows_for_table()
    fast[0]["ns_per_item"], slow[1]["ns_per_item"] = 3.0, 2.0
    slow.append({**slow[0], "name": "only here"})
    merged = table.merge([{"rows": rows, "machine": harness.machine()} for rows in (fast, slow)])
    assert [r["ns_per_item"] for r in merged["rows"]] == [3.0, 2.0, 2000.0, 5.0]
    text, _ = table.render(merged)
    assert "C 1.50x / 1.25x" in text
    assert "2 runs, each row from the one of its least time" in text


def test_table_replaces_the_figures_of_a_page(tmp_path):
    table = import_module(f"{suite.__name__}.table")
    (tmp_path / "r.json").write_text(json.dumps({"rows": rows_for_table(), "machine": harness.machine()}))
    page = tmp_path / "page.md"
    page.write_text("head\n<!-- figures -->\nold\n<!-- /figures -->\ntail\n")
    assert table.main([str(tmp_path / "r.json"), str(page)]) == 1
    text = page.read_text()
    assert text.startswith("head\n<!-- figures -->\n| what | asked |")
    assert text.endswith("<!-- /figures -->\ntail\n")
    assert "old" not in text
    page.write_text("no marks\n")
    assert table.main([str(tmp_path / "r.json"), str(page)]) == 2
    assert page.read_text() == "no marks\n"
