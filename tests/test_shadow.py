"""An unrelated package named ``fastcore`` shadows ours: every way gives an ImportError that says so and what to do."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fastcore
import hft

pytestmark = [pytest.mark.artefact, pytest.mark.thin]

FOREIGN = '__version__ = "1.8.0"\n'
# Modules of the unrelated distribution on the package index: ours must not share a file with it, __init__ apart.
TAKEN = (
    "aio all ansi apisurface basics dispatch docments docscrape editskill foundation funccall imghdr imports meta nb_imports "
    "nbio net parallel py2pyi script shutil style test tools transform utils xdg xml xtras"
).split()


@pytest.fixture
def site(tmp_path):
    """A directory like site-packages with a copy of both packages."""
    for package in (hft, fastcore):
        source = Path(package.__file__).parent
        shutil.copytree(
            source, tmp_path / "site" / source.name, ignore=shutil.ignore_patterns("__pycache__", "*.c", "_bench.*")
        )
    return tmp_path / "site"


def run(code, *paths):
    # -S and -P: neither the packages that this test runs from nor the working directory may be found as well.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths)), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run([sys.executable, "-S", "-P", "-c", code], env=environment, capture_output=True, text=True)


def refusal(*paths, code="import hft"):
    done = run(code, *paths)
    assert done.returncode == 1, done.stdout
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: "), done.stderr
    return last


def test_ours_passes_and_loads_nothing_heavy(site):
    code = (
        "import sys, hft\nheavy = {'numpy', 'typing', 'pathlib', 'asyncio', 'importlib.metadata', 'click', 'rich', 'msgspec'}"
        "\nprint(sorted(heavy & set(sys.modules)), 'HFTEngine' in dir(hft))"
    )
    done = run(code, site)
    assert done.stdout == "[] True\n", done.stderr


def test_foreign_package_installed_over_ours(site):
    (site / "fastcore" / "__init__.py").write_text(FOREIGN)
    message = refusal(site)
    assert "not the compiled core of hft-fastcore" in message
    assert "shadows or has overwritten it" in message
    assert str(site / "fastcore" / "__init__.py") in message
    assert "'pip uninstall -y fastcore', then 'pip install --force-reinstall --no-deps hft-fastcore'" in message
    assert "sys.path" not in message


def test_namespace_package_left_after_the_foreign_one_is_uninstalled(site):
    (site / "fastcore" / "__init__.py").unlink()
    message = refusal(site)
    assert "it has no __init__.py" in message
    assert "Repair: 'pip uninstall -y fastcore', then 'pip install --force-reinstall" in message


@pytest.mark.parametrize("form", ["package", "module", "namespace beside nothing of ours"])
def test_foreign_package_earlier_on_the_path(site, tmp_path, form):
    early = tmp_path / "early"
    early.mkdir()
    if form == "module":
        place = early / "fastcore.py"
        place.write_text(FOREIGN)
    else:
        place = early / "fastcore"
        place.mkdir()
        if form == "package":
            (place / "__init__.py").write_text(FOREIGN)
        else:
            shutil.rmtree(site / "fastcore")
            (place / "basics.py").write_text("")
    message = refusal(early, site)
    assert "not the compiled core of hft-fastcore" in message
    assert f"rename or remove {place}" in message
    assert f"take {early} off PYTHONPATH" in message
    assert "pip uninstall -y fastcore" in message


def test_namespace_directory_earlier_on_the_path_does_not_shadow(site, tmp_path):
    (tmp_path / "early" / "fastcore").mkdir(parents=True)
    assert run("import hft", tmp_path / "early", site).returncode == 0


@pytest.mark.parametrize("body", ["import a_module_that_is_not_there", "raise RuntimeError('no display')", "1 / 0"])
def test_foreign_package_that_fails_on_import(site, body):
    (site / "fastcore" / "__init__.py").write_text(body)
    message = refusal(site)
    assert "not the compiled core of hft-fastcore: it fails on import with" in message
    assert "Repair: 'pip uninstall -y fastcore'" in message


def test_foreign_module_that_is_already_imported(site):
    message = refusal(site, code="import sys, types; sys.modules['fastcore'] = types.ModuleType('fastcore'); import hft")
    assert "not the compiled core of hft-fastcore" in message
    assert "Repair: " in message


def test_core_that_is_not_there_at_all(site):
    shutil.rmtree(site / "fastcore")
    message = refusal(site)
    assert "'fastcore', the compiled core of hft-fastcore, is not there" in message
    assert "'pip install --force-reinstall --no-deps hft-fastcore'" in message


def test_compiled_modules_survive_a_foreign_init(site):
    """Nothing essential is in ``fastcore/__init__.py``."""
    (site / "fastcore" / "__init__.py").write_text(FOREIGN)
    numpy = Path(__import__("numpy").__file__).parent.parent
    done = run("from fastcore.risk import RiskLimits; print(RiskLimits())", site, numpy)
    assert done.stdout.startswith("RiskLimits("), done.stderr


def test_no_module_of_ours_has_a_name_of_the_foreign_package():
    ours = {path.name.split(".")[0] for path in Path(fastcore.__file__).parent.iterdir()}
    assert not ours & set(TAKEN)
