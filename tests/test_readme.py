"""The examples run, and the README shows the code that runs."""

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"

pytestmark = [
    pytest.mark.artefact,
    pytest.mark.thin,
    pytest.mark.skipif(not EXAMPLES.is_dir(), reason="no examples here: only the installed package is tested"),
]


def test_market_maker_earns_what_the_article_published(tmp_path, capsys):
    example = runpy.run_path(str(EXAMPLES / "market_maker.py"))
    profit, inventory = example["main"](tmp_path / "path.ticks")
    # Four standard errors at 200 paths around the published mean 65.0 (std 6.6) and std of the inventory 2.9.
    assert abs(profit.mean() - 65.0) < 4 * 6.6 / 200**0.5
    assert abs(inventory.std() - 2.9) < 4 * 2.9 / 400**0.5
    assert "200 ticks stored" in capsys.readouterr().out


def test_readme_shows_the_example_that_runs():
    shown = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    sources = [path.read_text(encoding="utf-8") for path in EXAMPLES.glob("*.py")]
    assert shown
    for block in shown:
        assert any(block.strip() in source for source in sources), block


def test_readme_commands_are_marked_for_the_ci_run():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in ("demo", "test"):
        assert re.search(rf"^<!-- {name} -->\n```sh\n[^`]+```$", text, re.MULTILINE), name
