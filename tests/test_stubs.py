"""The stubs say what the compiled modules hold: ``mypy.stubtest`` compares every name and signature."""

import importlib.machinery
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import fastcore

pytest.importorskip("mypy")

pytestmark = [pytest.mark.wheel, pytest.mark.thin]

# What Cython adds to every module and class, and no stub declares.
ALLOWED = r"""
.*\.__reduce_cython__
.*\.__setstate_cython__
.*\.__test__
.*\.__pyx_capi__
.*\.__pyx_.*
"""


@pytest.mark.slow
def test_stubs_equal_the_compiled_modules(tmp_path):
    allowlist = tmp_path / "allow.txt"
    allowlist.write_text(ALLOWED)
    names = [
        m.name
        for m in pkgutil.walk_packages(fastcore.__path__, "fastcore.")
        if Path(fastcore.__path__[0], *m.name.split(".")[1:]).with_suffix(".pyi").is_file()
    ]
    assert names
    place = str(Path(fastcore.__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", *names, "--allowlist", str(allowlist), "--ignore-unused-allowlist"],
        cwd=tmp_path,
        # A package installed in site-packages is found by itself; mypy refuses it on MYPYPATH.
        env={**os.environ, "PYTHONPATH": place, **({} if "site-packages" in place else {"MYPYPATH": place})},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_compiled_module_has_a_stub():
    suffixes = tuple(importlib.machinery.EXTENSION_SUFFIXES)
    for path in map(Path, fastcore.__path__):
        for file in path.rglob("*"):
            if file.name.endswith(suffixes) and not file.name.startswith("_cyutility."):
                assert (file.parent / f"{file.name.split('.')[0]}.pyi").is_file(), file.name
