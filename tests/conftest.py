"""Fixtures shared by all tests."""

import os
import signal
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import settings

EFFORT = float(os.environ.get("FASTCORE_TEST_EFFORT", "1"))  # what property tests try, as a share: sanitizers are slow


def examples(count: int) -> settings:
    """Return Hypothesis settings for so many examples at full effort."""
    return settings(max_examples=max(5, round(count * EFFORT)))


settings.register_profile(
    "default", examples(100), deadline=None, print_blob=True, derandomize=bool(os.environ.get("CI"))
)
settings.load_profile("default")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts what runs in the background so, and the processes of the tests of Ctrl-C would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(params=["compiled", "reference"])
def impl(request: pytest.FixtureRequest) -> ModuleType:
    """The module under test, named by ``MODULE`` in the test file: once compiled, once its plain-Python twin."""
    return same_kind("fastcore" if request.param == "compiled" else "fastcore.reference", request.module.MODULE)


def same_kind(impl: ModuleType | str, module: str) -> ModuleType:
    """Return another module, compiled or its twin as `impl` is; twins stand in one folder."""
    name = impl if isinstance(impl, str) else impl.__name__
    twin = name.startswith("fastcore.reference")
    return import_module(f"fastcore.reference.{module.rpartition('.')[2]}" if twin else f"fastcore.{module}")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Directory of recorded market data; the tests that need it skip where the variable is not set."""
    value = os.environ.get("FASTCORE_TEST_DATA")
    if not value:
        pytest.skip("FASTCORE_TEST_DATA is not set: no recorded market data here")
    path = Path(value)
    assert (path / "itch").is_dir(), f"FASTCORE_TEST_DATA is set and holds no market data: {value}"
    return path
