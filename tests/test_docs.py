"""The tables of docs/simulator.md name the tests that hold their rules."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_rules_of_the_simulator_name_tests_that_exist():
    tests = re.findall(r"^def test_(\w+)", "".join(path.read_text("utf-8") for path in ROOT.glob("tests/test_*.py")), re.M)
    rows = re.findall(r"^\|.*\| (`\w+`(?:, `\w+`)*) \|$", (ROOT / "docs" / "simulator.md").read_text("utf-8"), re.M)
    named = [name for row in rows for name in re.findall(r"\w+", row)]
    assert len(named) > 40
    assert [name for name in named if not any(name in test for test in tests)] == []
