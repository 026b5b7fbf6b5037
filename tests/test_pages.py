"""Every block of docs runs, page by page from top to bottom, as a reader would type it (those of the README: test_readme.py, .ci/run).

A block of `text` does not run: a picture, or code for another library, which says so in its first line.
"""

import gzip
import importlib
import os
import random
import re
import shlex
import shutil
import subprocess
import sys
import webbrowser
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner
from kit import needs_a_compiler

from hft.cli import main
from hft.controls import read_controls
from hft.feeds import synthetic
from hft.project import create

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"

pytestmark = [
    pytest.mark.artefact,
    pytest.mark.thin,
    pytest.mark.skipif(not DOCS.is_dir(), reason="no docs here: only the installed package is tested"),
]


def blocks(text):
    """Return (file, language, code) of each block; `file` is that which it shall be written to."""
    found = re.findall(r"(?:<!-- file: (\S+) -->\n)?^```(.*)\n([\s\S]*?)^```$", text, re.MULTILINE)
    assert text.count("```") == 2 * len(found)
    return found


CODE = {path.name: code for path in sorted(DOCS.glob("*.md")) if (code := blocks(path.read_text("utf-8")))}


# What a reader of a page has already.


def a_day():
    """A day of ITCH, and the same compressed."""
    day = b"".join(synthetic.iterate(5_000, seed=1))
    Path("day.itch").write_bytes(day)
    Path("day.itch.gz").write_bytes(gzip.compress(day))


def a_strategy():
    """One of the reader's own, in a module."""
    shutil.copy(ROOT / "examples" / "backtest.py", "mine.py")


def a_project():
    """One of `hft init`, and a plan of controls."""
    create(Path())
    Path("plan.jsonl").write_text('{"at": "1970-01-01T12:00:00", "action": "kill"}')


def ticks():
    """Ticks of somebody else, with names of columns of theirs."""
    Path("ticks.csv").write_text("time,px,volume\n1709908200000000000,175.35,100\n1709908201000000000,175.36,200\n")


def two_venues():
    """Quotes of one market at two venues, of which one counts hours in New York."""
    market = random.Random(1)
    rows, mid = [], 138_000
    for second in range(4_000):
        mid += market.choice((-1, 0, 0, 1))
        rows.append((1_399_600_800_000 + second * 1_000, f"{mid / 1e5:.5f},{(mid + 1) / 1e5:.5f}"))
    for name, late in (("fxcm_eurusd", 0), ("oanda_eurusd", 5 * 3_600_000)):
        text = "timestamp,bid,ask\n" + "".join(f"{time + late},{prices}\n" for time, prices in rows)
        with zipfile.ZipFile(f"{name}.zip", "w") as archive:
            archive.writestr(f"{name}.csv", text)


GIVEN = {
    "cimport.md": [a_day],
    "feeds.md": [a_day, two_venues],
    "journal.md": [a_project, a_day, a_strategy],
    "results.md": [a_day, a_strategy],
    "store.md": [a_day, ticks],
    "strategies.md": [a_day],
}


def type_in(line, monkeypatch):
    """Run a line of a shell where it is one of ours; another prepares what the tests have already."""
    for command in line.partition("  #")[0].split("&&"):
        words = shlex.split(command)
        if words[:1] == ["cd"]:
            monkeypatch.chdir(words[1])
            monkeypatch.syspath_prepend(os.getcwd())
        elif words[:1] == ["hft"]:
            done = CliRunner().invoke(main, words[1:], env={key: None for key in os.environ if key.startswith("HFT_")})
            assert done.exit_code == 0, (command, done.output, done.exception)
        elif words[:2] == ["python", "setup.py"]:
            done = subprocess.run([sys.executable, *words[1:]], capture_output=True, text=True)
            assert done.returncode == 0, done.stdout + done.stderr
        else:
            assert " ".join(words).startswith(("python3 -m venv", "pip install", ". ")) or not words, command
    importlib.invalidate_caches()


def check(language, code):
    """Have the command that reads a file of settings or of controls read this one."""
    path = Path(f"block.{language}")
    path.write_text(code, "utf-8")
    if language == "toml":
        done = CliRunner().invoke(main, ["config", "--check", str(path)])
        assert done.exit_code == 0, done.output
    else:
        assert read_controls(path)


@pytest.mark.parametrize("page", CODE)
def test_page_runs_from_top_to_bottom(page, tmp_path, monkeypatch, capsys):
    if any(language == "cython" for _, language, _ in CODE[page]):
        needs_a_compiler()
    core = Path(sys.modules["hft"].__file__).parents[1]
    monkeypatch.setenv("PYTHONPATH", str(core))
    monkeypatch.setenv("CFLAGS", "-O0")
    monkeypatch.setattr(webbrowser, "open", lambda url: True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    scope = {"__name__": "page"}
    try:
        for give in GIVEN.get(page, []):
            give()
        for file, language, code in CODE[page]:
            if file:
                Path(file).write_text(code, "utf-8")
                monkeypatch.delitem(sys.modules, Path(file).stem, raising=False)  # another page, or a benchmark, may have one of that name
                importlib.invalidate_caches()
            elif language == "python":
                exec(compile(code, page, "exec"), scope)
            elif language == "sh":
                for line in code.splitlines():
                    type_in(line, monkeypatch)
            elif language != "text":
                check(language, code)
    finally:
        for name in set(sys.modules) - before:
            if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
                del sys.modules[name]


def test_blocks_that_do_not_run_say_so():
    shown = [code.partition("\n")[0] for found in CODE.values() for _, language, code in found if language == "text"]
    assert sum(line.endswith("; not run by the tests") for line in shown) == 3  # the peers
    assert len(shown) == 4  # and the files of a directory store


@pytest.mark.parametrize("page", [*ROOT.glob("*.md"), *DOCS.glob("*.md")], ids=lambda path: path.name)
def test_links_of_a_page_lead_somewhere(page):
    for link in re.findall(r"\]\((?!https:)([^)#]+)", page.read_text("utf-8")):
        assert (page.parent / link).exists(), link
