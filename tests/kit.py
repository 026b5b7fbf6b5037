"""What tests share besides the makers of inputs: the effort of property tests, modules of one kind, and what they need."""

import os
import shutil
import sys
import sysconfig
from importlib import import_module
from types import ModuleType

import pytest
from hypothesis import settings

EFFORT = float(os.environ.get("FASTCORE_TEST_EFFORT", "1"))  # what property tests try, as a share: sanitizers are slow


def examples(count: int) -> settings:
    """Return Hypothesis settings for so many examples at full effort."""
    return settings(max_examples=max(5, round(count * EFFORT)))


def same_kind(impl: ModuleType | str, module: str) -> ModuleType:
    """Return another module, compiled or its twin as `impl` is; twins stand in one folder."""
    name = impl if isinstance(impl, str) else impl.__name__
    twin = name.startswith("fastcore.reference")
    return import_module(f"fastcore.reference.{module.rpartition('.')[2]}" if twin else f"fastcore.{module}")


def needs_a_compiler() -> None:
    """Skip where nothing can be built: no Cython, no setuptools, no C compiler."""
    for name in ("Cython", "setuptools"):
        pytest.importorskip(name)
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    if sys.platform != "win32" and shutil.which(compiler) is None:
        pytest.skip(f"no C compiler here: {compiler}")
