"""What a user does wrong with a strategy of his own is said in one line: what, where, and what was meant. What was done is kept."""

import os
import signal
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner

import hft
from fastcore.risk import RiskLimits
from hft.cli import CONFIGURATION, FAILED, INTERRUPTED, USAGE, main
from hft.feeds import synthetic

pytestmark = pytest.mark.thin

HEAD = "from hft import Param, Strategy, Symbol\n\n"
QUOTES = "        if m.two_sided:\n            m.quote(bid=m.bid, ask=m.ask, size=100)\n"
GOOD = HEAD + "class Good(Strategy):\n    size = Param(100, 'of a quote', min=1, max=1000)\n\n    def on_book(self, m):\n" + QUOTES


@pytest.fixture(scope="module")
def day(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "day.itch"
    path.write_bytes(b"".join(synthetic.iterate(20_000, 1)))
    return path


@pytest.fixture
def run(day, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def replay(text, *words, symbol="SYNTH"):
        (tmp_path / "mine.py").write_text(text)
        clean = {key: None for key in os.environ if key.startswith("HFT_")}
        words = ["replay", str(day), "--symbol", symbol, "--strategy", "mine.py", *words]
        done = CliRunner().invoke(main, words, env=clean)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done

    return replay


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("class A(Strategy)\n    pass\n", "mine.py:3: expected ':'"),
        ("x = 1\n", "mine.py has no class that derives from hft.Strategy"),
        ("class A(Strategy): pass\nclass B(Strategy): pass\n", "mine.py has several strategies, choose one: mine.py:A, mine.py:B"),
        ("import no_such_thing\n", "mine.py:3: ModuleNotFoundError: No module named 'no_such_thing'"),
        ("class A(Strategy):\n    def on_book(self): pass\n", "A.on_book must take (self, m): def on_book(self)"),
        ("class A(Strategy):\n    def on_fill(self, fill): pass\n", "A.on_fill must take (self, m, fill): def on_fill(self, fill)"),
        ("class A(Strategy):\n    def on_fills(self, m, fill): pass\n", "did you mean on_fill?"),
        (
            "class A(Strategy):\n    def __init__(self, **values):\n        self.markets[0].quote(bid=1, ask=2, size=1)\n",
            "mine.py:5 in __init__: RuntimeError: A is not in a run: this is for hooks",
        ),
        ("class A(Strategy):\n    size = Param(0, 'x', min=1)\n", "mine.py:3: ValueError: size must be in 1..: size=0"),
        ("class A(Strategy):\n    def __init__(self):\n        1 / 0\n", "mine.py:5 in __init__: ZeroDivisionError: division by zero"),
    ],
)
def test_file_that_is_no_strategy_is_told_with_its_line(run, text, says):
    done = run(HEAD + text)
    assert (done.exit_code, done.stdout) == (CONFIGURATION, "")
    assert done.stderr.startswith("Error: ") and says in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--set", "sice=5"), "Good has no parameter sice; did you mean size?"),
        (("--set", "size=0"), "size must be in 1..1000: size=0"),
        (("--set", "size=many"), "size must be of type int: size='many'"),
        (("--strategy", "min.py"), "there is no file min.py; did you mean mine.py?"),
        (("--strategy", "mine.py:Goood"), "mine.py has no strategy Goood; did you mean Good?"),
        (("--strategy", "good.mine:Good"), "there is no module good"),
        (("--limit", "max_order_share=5"), "there is no key max_order_share in [limits]; did you mean max_order_shares?"),
    ],
)
def test_wrong_names_and_values_are_told_with_the_right_ones(run, words, says):
    done = run(GOOD, *words)
    assert (done.exit_code, done.stdout) == (CONFIGURATION, "")
    assert says in done.stderr


def test_symbol_that_the_data_do_not_have(run, day):
    done = run(GOOD, symbol="SYNHT")
    assert (done.exit_code, "no such symbol: symbol=SYNHT; did you mean SYNTH?" in done.stderr) == (USAGE, True), done.stderr
    done = run(HEAD + "class A(Strategy):\n    x = Symbol('SYNHT')\n")
    assert (done.exit_code, "the run has no market SYNHT; did you mean SYNTH?" in done.stderr) == (USAGE, True), done.stderr
    with pytest.raises(hft.feeds.feed.UnknownSymbolInFile, match="symbol=SYNHT; did you mean SYNTH"):
        hft.backtest(hft.Strategy(), day, symbols=["SYNHT"])
    with pytest.raises(hft.feeds.feed.UnknownSymbolInFile, match="symbol=SYNHT; did you mean SYNTH"):
        hft.backtest(hft.Strategy(), day, symbols=["SYNTH", "SYNHT"])


def test_strategy_of_several_markets_is_told_where_it_runs(run):
    done = run(HEAD + "class A(Strategy):\n    x = Symbol('SYNTH')\n    y = Symbol('OTHER')\n")
    assert (done.exit_code, "needs several markets (SYNTH, OTHER): here there is one, hft backtest" in done.stderr) == (CONFIGURATION, True)


def test_constructor_without_super_has_what_hooks_need(day):
    class Own(hft.Strategy):
        size = hft.Param(100, "of a quote")

        def __init__(self, size):
            self.twice = 2 * size

        def on_start(self):
            self.log(f"{self.size} {self.twice} {self.random.random() < 1}")

    assert hft.backtest(Own(3), day).log[0][-1] == "100 6 True"


def test_hook_that_raises_stops_the_run_and_keeps_what_was_done(run):
    text = HEAD + "class A(Strategy):\n    n = 0\n\n    def on_book(self, m):\n        self.n += 1\n" + QUOTES
    done = run(text + "        if self.n == 2000:\n            {}['x']\n")
    assert done.exit_code == FAILED
    assert "orders" in done.stdout and "mine.py:11 in on_book: KeyError: 'x' (event " in done.stderr
    assert "Traceback" not in done.stderr


def test_order_from_another_thread_is_refused(day):
    import threading

    class Threads(hft.Strategy):
        def on_book(self, m):
            if hasattr(self, "told"):
                return

            def act():
                try:
                    m.quote(bid=1, ask=2, size=1)
                except RuntimeError as error:
                    self.told = str(error)

            thread = threading.Thread(target=act)
            thread.start()
            thread.join()

    strategy = Threads()
    result = hft.backtest(strategy, day)
    assert strategy.told.startswith("a strategy may want something inside hooks alone, and not on a thread of its own")
    assert result.engine.desk.orders_sent == 0


def test_market_kept_after_the_run_refuses(day):
    class Keeps(hft.Strategy):
        def on_book(self, m):
            self.kept = m

    strategy = Keeps()
    hft.backtest(strategy, day)
    with pytest.raises(RuntimeError, match="a market is there inside hooks alone"):
        strategy.kept.quote(bid=1, ask=2, size=1)


def test_hook_that_sends_for_ever_is_stopped_with_the_result(day):
    class Endless(hft.Strategy):
        n = 0

        def on_book(self, m):
            m.quote(bid=m.bid, size=100)

        def on_order(self, m, order):  # every refusal is answered by the next order
            self.n += 1
            m.quote(bid=m.bid - self.n % 2 * m.tick, size=100)

    for latency in ("0", "1ms", "order=1ms,response=0,feed=recorded"):
        with pytest.raises(hft.StrategyError, match="orders at one time must come to an end: rounds=1001") as error:
            hft.backtest(Endless(), day, limits=RiskLimits(100, 1, 1 << 40), latency=latency)
        assert error.value.result.engine.desk.risk_rejects == 1_001


@pytest.mark.skipif(sys.platform == "win32", reason="signals of this kind are not there")
def test_hook_that_never_returns_is_ended_by_ctrl_c_with_the_result(day, tmp_path):
    hook = "    def on_book(self, m):\n        print('in the hook', flush=True)\n        while True:\n            pass\n"
    text = HEAD + "class A(Strategy):\n" + hook
    (tmp_path / "mine.py").write_text(text)
    command = [sys.executable, "-m", "hft", "replay", str(day), "--symbol", "SYNTH", "--strategy", "mine.py"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "in the hook\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, "interrupted" in out, "Traceback" in err) == (INTERRUPTED, True, False)


def test_directory_of_a_result_that_exists_is_left_alone(run, tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "notes.txt").write_text("mine")
    done = run(GOOD, "--journal", "kept")
    assert (done.exit_code, "the directory of a journal must be new or empty: kept" in done.stderr) == (CONFIGURATION, True)
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--latency", "soon"), CONFIGURATION), (("--queue", "fair"), CONFIGURATION), (("--maker-fee", "much"), CONFIGURATION),
        (("--symbol", "SYNHT"), USAGE),
    ],
)  # fmt: skip
def test_wrong_options_of_a_project_are_told(tmp_path, words, code):
    from hft.project import create

    create(tmp_path / "mm")
    done = CliRunner().invoke(main, ["backtest", str(tmp_path / "mm"), *words])
    assert (done.exit_code, done.stdout, "Error: " in done.stderr) == (code, "", True)
