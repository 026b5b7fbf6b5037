"""The pages for newcomers run from top to bottom, as a reader would type them."""

import importlib
import os
import re
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from hft.cli import main

DOCS = Path(__file__).parents[1] / "docs"
PAGES = ["first-strategy.md", "from-fastmm.md", "from-hftbacktest.md", "from-nautilustrader.md"]

pytestmark = [
    pytest.mark.artefact,
    pytest.mark.thin,
    pytest.mark.skipif(not DOCS.is_dir(), reason="no docs here: only the installed package is tested"),
]


def blocks(text):
    """Return (file, language, code) of each block that is code of ours; `file` is that which it shall be written to."""
    found = re.findall(r"(?:<!-- file: (\S+) -->\n)?```(python|sh)\n(.*?)```", text, re.DOTALL)
    assert text.count("```python") + text.count("```sh") == len(found)
    return found


def type_in(line, monkeypatch):
    """Run a line of a shell where it is one of ours; another prepares what the tests have already."""
    line = line.partition("  #")[0].strip()
    if line.startswith("cd "):
        monkeypatch.chdir(line.removeprefix("cd "))
    elif line.startswith("hft "):
        import shlex

        done = CliRunner().invoke(main, shlex.split(line)[1:], env={key: None for key in os.environ if key.startswith("HFT_")})
        assert done.exit_code == 0, (line, done.output, done.exception)
    else:
        assert line.startswith(("python3 -m venv", "pip install")) or not line, line


@pytest.mark.parametrize("page", PAGES)
def test_page_runs_from_top_to_bottom(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    scope = {"__name__": "page"}
    code = blocks((DOCS / page).read_text("utf-8"))
    assert code
    try:
        for file, language, text in code:
            if file:
                Path(file).write_text(text, "utf-8")
                importlib.invalidate_caches()
            elif language == "python":
                exec(compile(text, f"{page}", "exec"), scope)
            else:
                for line in text.splitlines():
                    type_in(line, monkeypatch)
    finally:
        for name in set(sys.modules) - before:
            if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(sys.modules[name].__file__):
                del sys.modules[name]


@pytest.mark.parametrize("page", PAGES)
def test_links_of_a_page_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)#:]+)", (DOCS / page).read_text("utf-8")):
        assert (DOCS / link).resolve().is_file(), link
