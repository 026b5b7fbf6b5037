"""Strategies by name from files and modules, and what is wrong with them."""

import pytest

from hft.config import ConfigError, is_own
from hft.loading import load_strategy

pytestmark = pytest.mark.thin

ONE = """
from hft import Param, Strategy

class Quiet(Strategy):
    size = Param(5, "of a quote", min=1)
"""


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(text, name="mine.py"):
        (tmp_path / name).write_text(text)
        return name

    return write


def test_own_strategies_are_told_from_those_of_the_package():
    assert [is_own(name) for name in ("mine.py", "mine.py:Quiet", "package.mine:Quiet", "avellaneda", "none")] == [True] * 3 + [False] * 2


def test_only_class_of_a_file_needs_no_name(file):
    assert load_strategy(file(ONE)).size == 5
    assert load_strategy("mine.py:Quiet", {"size": "7"}).size == 7


def test_class_of_a_module(file):
    file(ONE, "some_module.py")
    assert type(load_strategy("some_module:Quiet")).__name__ == "Quiet"


@pytest.mark.parametrize(
    ("text", "name", "values", "rule"),
    [
        (ONE, "other.py", {}, "there is no file other.py"),
        (ONE, "no_such_module:Quiet", {}, "there is no module no_such_module"),
        (ONE, "mine.py:Quit", {}, "mine.py has no strategy Quit; did you mean Quiet?"),
        (ONE, "mine.py", {"sice": 1}, "Quiet has no parameter sice; did you mean size?"),
        (ONE, "mine.py", {"size": "0"}, r"size must be in 1\.\.: size=0"),
        ("x = 1", "mine.py", {}, "mine.py has no class that derives from hft.Strategy"),
        ("def f(:", "mine.py", {}, r"mine.py:1: "),
        ("x = 1\nx.y", "mine.py", {}, r"mine.py:2: AttributeError"),
        (ONE + "class Loud(Strategy): pass", "mine.py", {}, "choose one: mine.py:Quiet, mine.py:Loud"),
        ("from hft import Strategy\nclass Wrong(Strategy):\n    def on_fills(self): pass", "mine.py", {}, "did you mean on_fill?"),
    ],
)
def test_what_is_wrong_is_said(file, text, name, values, rule):
    file(text)
    with pytest.raises(ConfigError, match=rule):
        load_strategy(name, values)
