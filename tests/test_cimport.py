"""Another project can cimport the core: an example is built against the installed contracts and headers, and run."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from kit import needs_a_compiler

import fastcore

pytestmark = [pytest.mark.artefact, pytest.mark.thin]

EXAMPLE = Path(__file__).parent / "cimport_example"
SETUP = """
import numpy, os
from Cython.Build import cythonize
from setuptools import Extension, setup
import fastcore

flags = os.environ.get("EXAMPLE_FLAGS", "").split()
setup(name="example", ext_modules=cythonize(
    [Extension(p.stem, [p.name], include_dirs=[fastcore.get_include(), numpy.get_include()], extra_compile_args=flags)
     for p in map(__import__("pathlib").Path, sorted(os.listdir())) if p.suffix == ".pyx"],
    compiler_directives={"language_level": 3, "cdivision": True}))
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Directory with the example compiled, as a stranger would do it."""
    needs_a_compiler()
    place = tmp_path_factory.mktemp("cimport")
    for path in EXAMPLE.glob("*.pyx"):
        shutil.copy(path, place)
    (place / "setup.py").write_text(SETUP)
    core = str(Path(fastcore.__file__).parent.parent)
    env = {**os.environ, "PYTHONPATH": core, "EXAMPLE_FLAGS": "" if sys.platform == "win32" else "-std=c11 -O1 -Wall -Werror"}
    done = subprocess.run(
        [sys.executable, "setup.py", "build_ext", "--inplace"], cwd=place, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return place


def run(place, code):
    """Evaluate `code` in a fresh interpreter beside the example."""
    core = str(Path(fastcore.__file__).parent.parent)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(place), core])}
    done = subprocess.run([sys.executable, "-c", code], cwd=place, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_headers_and_contracts_are_installed():
    include = Path(fastcore.get_include())
    assert (include / "fc_records.h").is_file()
    assert (include.parent / "records.pxd").is_file()
    assert (include.parent / "__init__.pxd").is_file()


def test_example_runs_on_the_installed_core(built):
    assert run(built, "import example; print(example.best_bid([5, 9, 7]), example.best_bid([]))") == f"9 {-(2**63)}"


def test_example_has_the_layouts_of_the_core(built):
    code = (
        "import example\n"
        "from fastcore.records import EVENT_DTYPE as e, TICK_DTYPE as t\n"
        "print(example.sizes() == (e.itemsize, t.itemsize, 0, -4))"
    )
    assert run(built, code) == "True"


def test_example_reads_wire_bytes(built):
    assert run(built, "import example; print(example.big_endian(b'\\0\\0\\1\\2AAPL')[0])") == "258"


def test_compiled_strategy_runs_on_ring_quoter_zscore_and_histogram(built):
    code = """
import numpy as np, strategy
from fastcore.avellaneda import Quoter
from fastcore.histogram import Histogram
from fastcore.records import KINDS, QUOTE_DTYPE
from fastcore.ring import RingBuffer
from fastcore.zscore import RollingZScore
ring, quoter, zscore, sizes = RingBuffer(128), Quoter(gamma=0.1, sigma=2.0, k=1.5), RollingZScore(2), Histogram()
events = np.zeros(100, QUOTE_DTYPE)
events["kind"] = KINDS["quote"]
events["kind"][::10] = KINDS["trade"]
events["bid"], events["ask"], events["bid_size"] = 999_900, 1_000_100, np.arange(100)
assert ring.push_batch(events.view(ring.dtype)) == 100
count, quotes, spreads = strategy.run(ring, quoter, zscore, sizes)
print(count, quotes, round(spreads / quotes, 9), sizes.count, sizes.max, len(ring))
"""
    # The first quote has no window yet (NaN is not below 2); the published spread is that of theory: 1.690770423.
    assert run(built, code) == "100 89 1.690770423 90 99 0"
