"""The examples run as they stand."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.artefact, pytest.mark.thin]

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("backtest.py", "fills exact by order; latency order=1ms,response=1ms; fees 0 (not set)"),
        ("pairs.py", "Pairs on MINER, GOLD"),
        ("avellaneda_quotes.py", "queue ahead of our order: 500"),
        ("feeds.py", "(-5.0000 h)"),
        ("replay.py", "SYNTH (synthetic): 50,000 events"),
        ("synthetic_pair.py", "truth: hedge ratio 1.50, half-life 45 s, spread 0.25 USD"),
        ("store_duckdb.py", "150,000 ticks exported"),
        ("store_frames.py", "16,836 ticks stored as BBB/2"),
    ],
)
def test_example_runs(name, says):
    if not EXAMPLES.is_dir():
        pytest.skip("the examples are in a checkout, not in a wheel")
    for needed in re.findall(r"^import (duckdb|pandas|polars)", (EXAMPLES / name).read_text(encoding="utf-8"), re.MULTILINE):
        pytest.importorskip(needed)
    done = subprocess.run([sys.executable, "-W", "error", str(EXAMPLES / name)], capture_output=True, text=True, check=True)
    assert says in done.stdout
    assert done.stderr == ""
