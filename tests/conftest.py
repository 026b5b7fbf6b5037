"""Fixtures shared by all tests."""

import gc
import os
import re
import signal
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import settings
from kit import examples, same_kind

settings.register_profile(
    "default", examples(100), deadline=None, print_blob=True, derandomize=bool(os.environ.get("CI"))
)
settings.load_profile("default")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts what runs in the background so, and the processes of the tests of Ctrl-C would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Under a sanitizer a file that is thin as a whole is not even imported: neither are the libraries that it needs."""
    if "FASTCORE_SANITIZE" not in os.environ or not collection_path.match("test_*.py"):
        return None
    marks = re.search(r"^pytestmark = (\[[^\]]*\]|.*)", collection_path.read_text("utf-8"), re.MULTILINE)
    return True if marks and "pytest.mark.thin" in marks[0] else None


@pytest.fixture(params=["compiled", pytest.param("reference", marks=pytest.mark.thin)])
def impl(request: pytest.FixtureRequest) -> ModuleType:
    """The module under test, named by ``MODULE`` in the test file: once compiled, once its plain-Python twin."""
    return same_kind("fastcore" if request.param == "compiled" else "fastcore.reference", request.module.MODULE)


@pytest.fixture(autouse=True, scope="module")
def collected():
    """What the tests of a file leave to the collector goes with the file: tests that fork need the memory."""
    yield
    gc.collect()


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Directory of recorded market data; the tests that need it skip where the variable is not set."""
    value = os.environ.get("FASTCORE_TEST_DATA")
    if not value:
        pytest.skip("FASTCORE_TEST_DATA is not set: no recorded market data here")
    path = Path(value)
    assert (path / "itch").is_dir(), f"FASTCORE_TEST_DATA is set and holds no market data: {value}"
    return path


@pytest.fixture(params=["avx2", "scalar"])
def simd(request):
    """Force one of the two twins of the kernels of ``zscore``, and of what is built on it."""
    from fastcore import zscore

    before = zscore._simd()
    try:
        zscore._simd(request.param)
    except ValueError:
        pytest.skip("this processor has no AVX2")
    yield request.param
    zscore._simd(before)
