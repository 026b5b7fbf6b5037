"""``hft init`` and ``hft backtest``: a project that runs as it is, and what is wrong with one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from kit import needs_a_compiler

import hft as package
from fastcore.instruments import Instrument
from hft import keys
from hft.cli import CONFIGURATION, USAGE, main
from hft.config import ConfigError
from hft.feeds import synthetic
from hft.loading import load_strategy
from hft.native import build
from hft.project import Project, RunFile, create, read, run

pytestmark = pytest.mark.thin


@pytest.fixture
def project(tmp_path):
    create(tmp_path / "mm")
    path = tmp_path / "mm" / "run.toml"
    path.write_text(path.read_text().replace("messages = 100000", "messages = 10000"))
    return tmp_path / "mm"


def hft(*words):
    done = CliRunner().invoke(
        main, [str(word) for word in words], env={key: None for key in os.environ if key.startswith("HFT_")}
    )
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def test_project_runs_as_it_is_with_its_tests(project):
    done = hft("backtest", project)
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("MarketMaker on SYNTH, synthetic, 09:30:00 to 16:00:00 ")
    assert "\nfills exact by order; latency 0; fees 0 (not set); no market impact\n" in done.stdout
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, str(project)]
    tests = subprocess.run(command, capture_output=True, text=True, cwd=project)
    assert tests.returncode == 0, tests.stdout


def run_as_written(directory, tier, cache):
    """Run ``hft init`` and ``hft backtest`` as a stranger does, in processes of their own; the figures."""
    environment = {**os.environ, "PYTHONPATH": str(Path(package.__file__).parents[1]), "XDG_CACHE_HOME": str(cache)}
    for words in (["init", str(directory), "--tier", tier], ["backtest", str(directory), "--json"]):
        done = subprocess.run([sys.executable, "-m", "hft", *words], capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        if words[0] == "init":
            assert f"{directory}: strategy.py" in done.stdout
    return json.loads(done.stdout)


@pytest.mark.parametrize("tier", ["numba", "cython"])
def test_tiers_have_the_same_orders_as_python(tier, tmp_path):
    if tier == "numba":
        pytest.importorskip("numba")
    else:
        needs_a_compiler()
    want, got = (run_as_written(tmp_path / name, name, tmp_path) for name in ("python", tier))
    assert got["orders"] == want["orders"] > 0
    assert got["orders_hash"] == want["orders_hash"]
    if tier == "cython":  # it is not built again
        (built,) = (path for path in (tmp_path / tier).glob("maker*") if path.suffix in (".so", ".pyd"))
        before = built.stat().st_mtime_ns
        build(tmp_path / tier)
        assert built.stat().st_mtime_ns == before


@pytest.fixture(scope="module")
def makers(tmp_path_factory):
    """The maker of a new project in every tier."""
    pytest.importorskip("numba")
    needs_a_compiler()
    place = tmp_path_factory.mktemp("tiers")
    for tier in ("python", "numba", "cython"):
        create(place / tier, tier)
    return [type(load_strategy(str(place / tier / "strategy.py"))) for tier in ("python", "numba", "cython")]


@pytest.mark.parametrize("day", ["by order", "by level", "fifty symbols"])
def test_tiers_have_the_same_reports_on_every_kind_of_data(day, makers, data_dir, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    parameters, options = {"half_spread": 5.0}, {"latency": "1ms"}
    if day == "by order":
        path = data_dir / "itch" / "AMZN_2012-06-21_L5.itch.gz"
    elif day == "by level":
        path = data_dir / "binance" / "usdm_btcusdt_20240808.gz"
        parameters = {"half_spread": 0.5, "size": 0.01, "limit": 0.05}
    else:
        names = [f"S{i:02}" for i in range(50)]
        path, parameters["half_spread"] = tmp_path / "fifty.itch", 0.5
        path.write_bytes(synthetic.generate(100_000, 5, names))
        options["symbols"] = names[7:8]  # the one in Cython quotes one market
    one, *others = [package.backtest(maker(**parameters), path, **options) for maker in makers]
    assert one.engine.desk.fills > 10
    for other in others:
        assert other.engine.reports().tobytes() == one.engine.reports().tobytes()


def test_project_that_does_not_build_says_why(tmp_path):
    (tmp_path / "maker.pyx").write_text("")
    (tmp_path / "setup.py").write_text("raise SystemExit('no compiler')")
    with pytest.raises(
        ConfigError, match=r"setup.py must build \(it takes Cython, setuptools and a C compiler\):\nno compiler"
    ):
        build(tmp_path)
    with pytest.raises(ConfigError, match="tier must be among python, numba, cython: tier=rust"):
        create(tmp_path / "mine", "rust")
    assert not (tmp_path / "mine").exists()


def test_native_strategy_must_have_a_core():
    class Nothing(package.NativeStrategy):
        pass

    class Wrong(package.NativeStrategy):
        def core(self, markets):
            return markets

    market = {0: Instrument("A", tick_size=0.01, lot_size=1.0)}
    with pytest.raises(NotImplementedError, match=r"Nothing must have a method core\(markets\)"):
        Nothing()._begin(market)
    with pytest.raises(TypeError, match=r"core must return a strategy of fastcore: Wrong.core\(\) returned"):
        Wrong()._begin(market)


def test_options_stand_in_for_what_the_file_says(project, tmp_path):
    day = tmp_path / "day.itch"
    day.write_bytes(b"".join(synthetic.iterate(5_000, 9)))
    done = hft("backtest", project, "--data", day, "--set", "size=7", "--latency", "1ms", "--maker-fee", "1%", "--json")
    stats = json.loads(done.stdout)
    assert stats["events"] == 5_000
    row = stats["symbols"]["SYNTH"]
    assert row["fees"] == pytest.approx(0.01 * row["traded"])
    assert hft("backtest", project, "--data", day, "--symbol", "SYNTH", "--json").exit_code == 0


def test_tables_of_one_instrument_take_one_name(project):
    rows = [f"{1_700_000_000_000 + 100 * i},{100 + i % 3}.00,{101 + i % 3}.00,200,300" for i in range(50)]
    (project / "quotes.csv").write_text("timestamp,bid,ask,bid_size,ask_size\n" + "\n".join(rows) + "\n")
    (project / "trades.csv").write_text("timestamp,price,size,side\n1700000000150,101.00,10,buy\n1700000000950,100.00,10,sell\n")
    data = "--data", project / "quotes.csv", "--data", project / "trades.csv"
    done = hft("backtest", project, *data)
    assert (done.exit_code, "tables of one instrument take one name: --option symbol=NAME" in done.stderr) == (USAGE, True)
    done = hft("backtest", project, *data, "--option", "symbol=MINE", "--json")
    assert list(json.loads(done.stdout)["symbols"]) == ["MINE"], done.output
    path = project / "run.toml"
    text = path.read_text().replace("data = []", 'data = ["quotes.csv", "trades.csv"]').replace("[options]", '[options]\nsymbol = "MINE"')
    path.write_text(text)
    assert list(run(read(project)).stats["symbols"]) == ["MINE"]
    assert "did you mean symbol?" in hft("backtest", project, "--option", "symbl=MINE").stderr


def test_options_without_data_are_refused(project):
    done = hft("backtest", project, "--option", "symbol=MINE")
    assert (done.exit_code, "--option is of the feed of data, and there are none: 'symbol=MINE'" in done.stderr) == (USAGE, True)
    path = project / "run.toml"
    path.write_text(path.read_text().replace("[options]", '[options]\nsymbol = "MINE"'))
    with pytest.raises(ConfigError, match="options are those of data, a synthetic day has none: symbol"):
        run(read(project))


def test_no_orders_are_said_with_the_reason(project):
    done = hft("backtest", project, "--set", "size=0.4")
    assert "quotes: under the lot of 1" in done.stdout
    assert "Warning: no orders." in done.stderr


def test_file_of_a_new_project_has_every_key_with_its_default(project):
    text = (project / "run.toml").read_text()
    assert text.replace("messages = 10000", "messages = 100000").startswith(keys.toml(form=RunFile))
    assert msgspec.structs.replace(read(project), messages=100_000, place=".") == Project()


def test_directory_that_holds_something_is_left_alone(project):
    before = {path.name: path.read_bytes() for path in project.iterdir()}
    done = hft("init", project)
    assert done.exit_code == CONFIGURATION
    assert "the directory of a project must be new or empty" in done.stderr
    assert {path.name: path.read_bytes() for path in project.iterdir()} == before


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("stratgy = 'x.py'", "run.toml: there is no key stratgy; did you mean strategy?"),
        ("place = 'x'", "there is no key place; there are strategy, data"),
        ("latency = 1", "Expected `str`, got `int` - at `$.latency`"),
        ("latency = 'soon'", "a duration must be a number with ns, us, ms or s"),
        ("queue = 'fair'", "a queue model must be"),
        ("maker_fee = 'much'", "maker must be a finite number"),
        ("strategy = 'gone.py'", "there is no file"),
        ("[parameters]\nhalf_spred = 1", "did you mean half_spread?"),
        ("messages = 10", "messages"),
        ("strategy =", "run.toml"),
    ],
)
def test_what_is_wrong_with_a_project_is_said(project, text, rule):
    (project / "run.toml").write_text(text)
    with pytest.raises(ConfigError) as error:
        run(read(project))
    assert rule in str(error.value)


def test_place_without_a_project_and_wrong_words(tmp_path, project):
    done = hft("backtest", tmp_path)
    assert done.exit_code == CONFIGURATION
    assert "there is no run.toml in" in done.stderr
    assert hft("backtest", project, "--set", "size").exit_code == USAGE
    assert hft("backtest", project, "--symbol", "XYZ").exit_code != 0
