"""The examples run as they stand."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("avellaneda_quotes.py", "queue ahead of our order: 500"),
        ("feeds.py", "(-5.0000 h)"),
        ("replay.py", "SYNTH (synthetic): 50,000 events"),
        ("synthetic_pair.py", "truth: hedge ratio 1.50, half-life 45 s, spread 0.25 USD"),
    ],
)
def test_example_runs(name, says):
    if not EXAMPLES.is_dir():
        pytest.skip("the examples are in a checkout, not in a wheel")
    done = subprocess.run([sys.executable, "-W", "error", str(EXAMPLES / name)], capture_output=True, text=True, check=True)
    assert says in done.stdout
    assert done.stderr == ""
