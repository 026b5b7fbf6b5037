"""What the docs name exists: tests, modules and files; and every module is in docs/architecture.md."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXTS = [*ROOT.glob("*.md"), *sorted(ROOT.glob("docs/*.md"))]


def test_rules_of_the_simulator_name_tests_that_exist():
    tests = re.findall(r"^def test_(\w+)", "".join(path.read_text("utf-8") for path in ROOT.glob("tests/test_*.py")), re.M)
    rows = re.findall(r"^\|.*\| (`\w+`(?:, `\w+`)*) \|$", (ROOT / "docs" / "simulator.md").read_text("utf-8"), re.M)
    named = [name for row in rows for name in re.findall(r"\w+", row)]
    assert len(named) > 40
    assert [name for name in named if not any(name in test for test in tests)] == []


def modules(package):
    """Names of the modules and packages of a package, without twins, benchmarks, and what feeds and the command keep to themselves."""
    place, found = ROOT / "src" / package, set()
    for path in place.rglob("*.p*"):
        parts = path.relative_to(place).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        own = package == "hft" and parts and parts[-1].startswith("_")
        if parts and parts[0] not in ("reference", "bench") and path.suffix in (".py", ".pyx", ".pxd") and not own:
            found.add(".".join(parts))
    return found


@pytest.mark.parametrize(("package", "head"), [("fastcore", "| module |"), ("hft", "| module of `hft` |")])
def test_architecture_has_the_modules_of_the_tree(package, head):
    there = modules(package)
    packages = {name.partition(".")[0] for name in there if "." in name}
    table = (ROOT / "docs" / "architecture.md").read_text("utf-8").partition(f"\n{head}")[2].partition("\n\n")[0]
    rows = [row.strip("| ").split(" | ", 1) for row in table.splitlines()[2:]]
    names, beside = set(), set()
    for cell, what in rows:
        first, others = re.findall(r"`(\w+)`", cell), re.findall(r"`(\w+)`", what)
        inside = first[0] in packages  # the row of a package says what is in it
        names |= {*first, *(f"{first[0]}.{name}" for name in others if inside)}
        beside |= set(others)
    assert names - there - {"reference", "bench"} == set()
    assert there - names - beside == set()


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_files_that_are_named_exist(path):
    named = re.findall(r"`((?:src|tests|docs|bench|examples|reference)/[\w./]+)`", path.read_text("utf-8"))
    wanted = [name for name in named if not re.search(r"NAME|\bx\.|_x[._]", name)]
    places = (ROOT, ROOT / "src" / "fastcore")
    assert [name for name in wanted if not any((place / name).exists() for place in places)] == []
