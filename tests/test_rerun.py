"""``hft replay --journal`` and ``hft rerun``; strategies of one's own from the command line."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from fastcore.records import KINDS
from hft.cli import CONFIGURATION, CORRUPT, FAILED, USAGE, main
from hft.feeds import synthetic
from hft.journal import read

pytestmark = pytest.mark.thin

STRATEGY = """
from hft import Param, Strategy

class Near(Strategy):
    distance = Param(0.01, "from the best prices", min=0)

    def on_book(self, m):
        if m.two_sided:
            m.quote(bid=m.bid - self.distance, ask=m.ask + self.distance, size=10)

    def on_fill(self, m, fill):
        if self.distance > 1:
            raise ZeroDivisionError("too far")
"""


@pytest.fixture(scope="module")
def day(tmp_path_factory):
    path = tmp_path_factory.mktemp("day") / "day.itch"
    path.write_bytes(b"".join(synthetic.iterate(20_000, 3)))
    return path


@pytest.fixture
def strategy(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(STRATEGY)
    return path


def hft(*words):
    done = CliRunner().invoke(main, [str(word) for word in words], env={key: None for key in os.environ if key.startswith("HFT_")})
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


@pytest.mark.parametrize("latency", ["0", "order=1ms,response=normal(2ms,1ms)"])
def test_rerun_of_a_file_is_the_same(tmp_path, day, latency):
    journal = tmp_path / "journal"
    done = hft("replay", day, "--latency", latency, "--journal", journal, "--json")
    assert done.exit_code == 0, done.output
    _, ended, events = read(journal)
    assert ended == len(events)
    assert (events["kind"] == KINDS["order"]).sum() + (events["kind"] == KINDS["replace"]).sum() == json.loads(done.stdout)["orders"]
    again = hft("rerun", journal)
    assert (again.exit_code, again.stdout) == (0, f"The same {ended:,} events.\n")


def test_rerun_of_the_demo_and_of_a_strategy_in_python(tmp_path, day, strategy):
    for name, words in (("a", ("demo", "--messages", 20_000)), ("b", ("replay", day, "--strategy", strategy, "--set", "distance=0.02"))):
        assert hft(*words, "--journal", tmp_path / name, "--json").exit_code == 0
        assert hft("rerun", tmp_path / name).exit_code == 0


def test_rerun_shows_the_first_difference(tmp_path, day, strategy):
    journal = tmp_path / "journal"
    hft("replay", day, "--strategy", strategy, "--journal", journal)
    strategy.write_text(STRATEGY.replace("size=10", "size=11"))
    done = hft("rerun", journal)
    assert done.exit_code == FAILED
    assert done.stdout.startswith("Different: event 0\n  then: order buy 10 lots at ")


def test_run_that_was_killed_leaves_a_beginning_that_is_run_again(tmp_path, day):
    journal = tmp_path / "journal"
    code = (
        "import os, signal, sys\nfrom fastcore.journal import Journal\nfrom fastcore import tickstore\n"
        "from hft.cli import main\nimport hft.run\n"
        "run = hft.run.replay\n"
        "def killed(*a, **k):\n    run(*a, **k)\n    os.kill(os.getpid(), signal.SIGKILL)\n"
        "import hft.cli.replay as r\nr.run_replay = killed\nmain(sys.argv[1:])\n"
    )
    done = subprocess.run([sys.executable, "-c", code, "replay", str(day), "--journal", str(journal)], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    _, ended, events = read(journal)
    assert ended is None
    assert len(events) > 0
    again = hft("rerun", journal)
    assert (again.exit_code, again.stdout) == (0, f"The same {len(events):,} events, as far as the journal goes: its run did not end.\n")


def test_what_a_rerun_needs_is_checked(tmp_path, day):
    journal, data = tmp_path / "journal", tmp_path / "copy.itch"
    data.write_bytes(day.read_bytes())
    hft("replay", data, "--journal", journal)
    data.write_bytes(data.read_bytes()[:-40])
    done = hft("rerun", journal)
    assert done.exit_code == CORRUPT
    assert "a file of the run must be as it was" in done.stderr
    assert hft("rerun", tmp_path).exit_code == CORRUPT
    assert hft("replay", day, "--journal", tmp_path).exit_code == CONFIGURATION
    assert hft("replay", day, "--strategy", "none", "--journal", tmp_path / "none").exit_code == CONFIGURATION


def test_strategy_of_ones_own_runs_with_its_parameters(day, strategy):
    near, far = (
        json.loads(hft("replay", day, "--strategy", f"{strategy}:Near", "--set", f"distance={distance}", "--json").stdout)
        for distance in (0, 0.05)
    )
    assert near["orders"] > 0
    assert near["fills"] > far["fills"]


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("--strategy", "avelaneda"), USAGE, "'avelaneda' is not one of avellaneda, none, FILE.py"),
        (("--strategy", "gone.py"), CONFIGURATION, "there is no file gone.py"),
        (("--strategy", "{}", "--set", "distanse=1"), CONFIGURATION, "Near has no parameter distanse; did you mean distance?"),
        (("--strategy", "{}", "--set", "distance"), USAGE, "--set must be NAME=VALUE: 'distance'"),
        (("--strategy", "{}:Far"), CONFIGURATION, "has no strategy Far; it has Near"),
        (("--latency", "1"), CONFIGURATION, "a duration must be a number with ns, us, ms or s"),
        (("--latency=-1ms",), CONFIGURATION, "a duration must not be negative: '-1ms'"),
        (("--latency", "order=1ms,response=normal(-3us,1us)"), CONFIGURATION, "a duration must not be negative"),
        (("--queue", "power:0"), CONFIGURATION, "a queue model must be risk-averse, power:N"),
    ],
)
def test_wrong_words_are_said(day, strategy, words, code, text):
    done = hft("replay", day, *(word.format(strategy) for word in words))
    assert done.exit_code == code, done.output
    assert text in done.stderr


def test_error_in_a_hook_is_told_with_its_place(day, tmp_path):
    path = Path(tmp_path / "fails.py")
    path.write_text(STRATEGY.replace("if m.two_sided:", "if m.two_sided and 1 / 0:"))
    done = hft("replay", day, "--strategy", path)
    assert done.exit_code == FAILED
    assert f"{path}:8 in on_book: ZeroDivisionError: division by zero" in done.stderr
    assert "Traceback" not in done.stderr
