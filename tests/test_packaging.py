"""What is installed: light imports, NumPy alone below ``fastcore``, complete wheels, and a shadowed core is said to be so.

The wheel and the sdist are looked into where ``FASTCORE_WHEEL`` and ``FASTCORE_SDIST`` name them (``.ci/run`` does).
"""

import importlib.machinery
import json
import os
import pkgutil
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import fastcore
import hft

pytestmark = [pytest.mark.artefact, pytest.mark.thin]

CORE = Path(fastcore.__file__).parent
PACKAGES = ("", "sim.", "strategies.", "wire.")
MODULES = sorted(
    f"{package}{m.name}" for package in PACKAGES for m in pkgutil.iter_modules([str(CORE / package[:-1])]) if not m.ispkg
)
EXTENSIONS = sorted(p for p in CORE.rglob("*") if p.name.endswith(tuple(importlib.machinery.EXTENSION_SUFFIXES)))

BLOCK = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] not in ALLOWED:
            raise ImportError("blocked: " + name)
ALLOWED = set(sys.stdlib_module_names) | {"numpy", "fastcore", "sitecustomize", "usercustomize"}
sys.meta_path.insert(0, Block())
"""


def python(code, *paths, check=True):
    """Run `code` in a fresh interpreter that finds `paths` and then the packages under test."""
    found = [*map(str, paths), *dict.fromkeys([str(CORE.parent), str(Path(hft.__file__).parent.parent)])]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(found)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert not check or done.returncode == 0, done.stderr
    return done


def artefact(variable):
    """Path of a built artefact, or a skip that says how to get one."""
    value = os.environ.get(variable)
    if not value:
        pytest.skip(f"{variable} is not set: no built artefact to look into (python -m build)")
    assert Path(value).is_file(), f"{variable} names no file: {value}"
    return Path(value)


def test_every_module_of_fastcore_needs_numpy_only():
    code = BLOCK + "import importlib\nfor name in " + repr(MODULES) + ": importlib.import_module('fastcore.' + name)"
    python(code)


def test_every_twin_needs_numpy_only():
    names = sorted(m.name for m in pkgutil.iter_modules([str(CORE / "reference")]))
    assert names
    python(BLOCK + "import importlib\nfor name in " + repr(names) + ": importlib.import_module('fastcore.reference.' + name)")


def test_fastcore_adds_few_modules_to_numpy():
    code = (
        "import sys, json, importlib, numpy\nbefore = set(sys.modules)\n"
        f"for name in {MODULES!r}: importlib.import_module('fastcore.' + name)\n"
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    added = json.loads(python(code).stdout)
    others = [name for name in added if name.split(".")[0] not in {"fastcore", "_cyutility"}]
    heavy = {"asyncio", "importlib.metadata", "multiprocessing", "email", "http", "urllib", "unittest", "numpy.testing"}
    assert heavy.isdisjoint(others), others
    assert len(others) <= 40, others


def test_import_of_hft_is_light():
    added = json.loads(python("import sys, json; import hft; print(json.dumps(sorted(sys.modules)))").stdout)
    heavy = {"numpy", "click", "rich", "msgspec", "asyncio", "importlib.metadata", "pandas", "numba", "plotly", "matplotlib"}
    assert heavy.isdisjoint(added), heavy & set(added)


def test_public_names_of_hft_exist():
    python("import hft\nfor name in hft.__all__: getattr(hft, name)")
    assert "has no attribute 'nothing'" in python("import hft; hft.nothing", check=False).stderr


def test_version_is_the_one_of_the_distribution():
    metadata = pytest.importorskip("importlib.metadata")
    try:
        version = metadata.version("hft-fastcore")
    except metadata.PackageNotFoundError:
        pytest.skip("not installed: runs from a checkout")
    assert fastcore.__version__ == version


@pytest.mark.parametrize("case", ["first on the path", "without __init__"])
def test_foreign_fastcore_is_named_with_the_repair(tmp_path, case):
    foreign = tmp_path / "fastcore"
    foreign.mkdir()
    target = tmp_path / "hft"
    shutil.copytree(Path(hft.__file__).parent, target, ignore=shutil.ignore_patterns("__pycache__"))
    if case == "first on the path":
        (foreign / "__init__.py").write_text("__version__ = '1.7'\n")
        done = python("import hft", tmp_path, check=False)
    else:
        # Uninstalling the foreign package removes our __init__.py and leaves a namespace package.
        (foreign / "records.py").write_text("")
        env = {**os.environ, "PYTHONPATH": str(tmp_path)}
        command = [sys.executable, "-S", "-c", "import hft"]
        done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode != 0
    assert "ImportError" in done.stderr
    assert "is not the compiled core of hft-fastcore" in done.stderr
    assert "pip uninstall -y fastcore" in done.stderr
    assert "pip install --force-reinstall --no-deps hft-fastcore" in done.stderr


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ELF files only")
def test_extensions_carry_no_library_path():
    if shutil.which("readelf") is None:
        pytest.skip("no readelf here")
    assert EXTENSIONS
    for path in EXTENSIONS:
        text = subprocess.run(["readelf", "-d", str(path)], capture_output=True, text=True, check=True).stdout
        assert not re.search(r"\((?:RPATH|RUNPATH)\)", text), f"{path.name}: {text}"


def test_wheel_carries_what_cimport_and_typing_need_and_no_c_source():
    wheel = artefact("FASTCORE_WHEEL")
    assert wheel.stat().st_size < 5_000_000
    names = set(zipfile.ZipFile(wheel).namelist())
    extensions = {
        n.removeprefix("fastcore/").split(".")[0]
        for n in names
        if re.fullmatch(r"fastcore/[\w/]+\.[\w.-]+\.(so|pyd)|fastcore/[\w/]+\.pyd", n)
    }
    assert "records" in extensions
    for name in extensions - {"_cyutility"}:
        assert f"fastcore/{name}.pxd" in names
        assert f"fastcore/{name}.pyi" in names
    assert {"fastcore/__init__.pxd", "fastcore/records.pxd", "fastcore/py.typed", "hft/py.typed"} <= names
    assert {n for n in names if n.startswith("fastcore/_c/") and n.endswith(".h")}
    assert [n for n in names if n.endswith((".c", ".pyx", ".cpp"))] == []
    assert {n.split("/")[0] for n in names if ".dist-info/" not in n} == {"fastcore", "hft"}
    assert "hft/bench/harness.py" in names
    metadata = next(n for n in names if n.endswith(".dist-info/METADATA"))
    text = zipfile.ZipFile(wheel).read(metadata).decode()
    assert "License-Expression: MIT" in text
    assert any(n.endswith("/LICENSE") for n in names)


def test_wheel_has_every_python_file_of_the_sdist():
    wheel, sdist = artefact("FASTCORE_WHEEL"), artefact("FASTCORE_SDIST")
    installed = set(zipfile.ZipFile(wheel).namelist())
    with tarfile.open(sdist) as tar:
        sources = {n.partition("/")[2] for n in tar.getnames()}
    wanted = {n.removeprefix("src/") for n in sources if n.startswith("src/") and n.endswith((".py", ".pyi", ".pxd", ".h"))}
    wanted |= {n.replace("bench/", "hft/bench/", 1) for n in sources if n.startswith("bench/") and n.endswith(".py")}
    assert sorted(wanted - installed) == []


def test_sdist_is_complete_and_carries_no_generated_code():
    with tarfile.open(artefact("FASTCORE_SDIST")) as tar:
        names = {n.partition("/")[2] for n in tar.getnames()}
    assert [n for n in names if n.endswith((".c", ".so", ".pyd", ".html", ".pyc")) or "__pycache__" in n] == []
    wanted = {"setup.py", "pyproject.toml", "LICENSE", "README.md", "CHANGELOG.md", "CONTRIBUTING.md"}
    wanted |= {"tests/conftest.py", "bench/harness.py", "docs/architecture.md", "src/fastcore/records.pyx"}
    assert wanted - names == set()
