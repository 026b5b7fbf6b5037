"""The C headers compile without a warning for the systems that the package names, wherever the tests run.

``pip install ziglang`` brings clang with the system headers of all of them, of Windows as MinGW has them. What ``windows.h`` defines
(``far``, ``near``, ``small``, ...) comes first there, because any header may have brought it in.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import fastcore

pytest.importorskip("ziglang", reason="the compiler for other systems is not installed: pip install ziglang")

pytestmark = [pytest.mark.artefact, pytest.mark.thin]

HEADERS = sorted(path.name for path in (Path(fastcore.__file__).parent / "_c").glob("*.h"))
TARGETS = {
    "x86_64-linux-gnu": ["-D_GNU_SOURCE", "-mcpu=x86_64_v2"],  # CRC32 instructions are a feature of their own for clang
    "aarch64-linux-gnu": ["-D_GNU_SOURCE"],  # as Python.h does
    "x86_64-macos": ["-mcpu=x86_64_v2"],
    "aarch64-macos": [],
    "x86_64-windows-gnu": ["-mcpu=x86_64_v2", "-include", "windows.h"],
    "aarch64-windows-gnu": ["-include", "windows.h"],
}


@pytest.mark.parametrize("debug", [[], ["-DFC_DEBUG"]], ids=["release", "debug"])
@pytest.mark.parametrize("target", TARGETS)
def test_headers_compile(target, debug, tmp_path):
    source = tmp_path / "all.c"
    source.write_text("".join(f'#include "{name}"\n' for name in HEADERS))
    flags = ["-std=c11", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Wno-unused-function", "-Werror", "-O1", *debug]
    include = str(Path(fastcore.__file__).parent / "_c")
    command = [sys.executable, "-m", "ziglang", "cc", "-target", target, *TARGETS[target], *flags, "-I", include]
    caches = {"ZIG_GLOBAL_CACHE_DIR": str(tmp_path / "global"), "ZIG_LOCAL_CACHE_DIR": str(tmp_path / "local")}
    done = subprocess.run(
        [*command, "-c", str(source), "-o", str(tmp_path / "all.o")], env=os.environ | caches, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
