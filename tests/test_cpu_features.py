"""``FASTCORE_DISABLE_CPU_FEATURES`` means the same to every module: names with commas, whatever the spaces and the case."""

import os
import subprocess
import sys

import pytest

CODE = """
from fastcore import avellaneda, clock, tickstore, zscore
print(avellaneda.simd(), zscore._simd(), tickstore.CRC32C_IMPLEMENTATION, clock.source())
"""


def chosen(disabled):
    """What the modules run on: avellaneda, zscore, tickstore, clock."""
    environment = {**os.environ, "FASTCORE_DISABLE_CPU_FEATURES": disabled}
    return subprocess.run([sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.parametrize(
    ("disabled", "off"),
    [
        ("avx2", {"avx2"}),
        ("sse4.2", {"sse4.2"}),
        ("tsc", {"tsc"}),
        (" AVX2 , sse42,Tsc", {"avx2", "sse4.2", "tsc"}),
        (",,TSC , SSE4.2,", {"sse4.2", "tsc"}),
        ("avx", set()),
        ("avx22,sse4,xtsc,avx512f", set()),
    ],
)
def test_a_feature_is_off_everywhere_when_it_is_named(disabled, off):
    best = chosen("")
    quotes, statistics, checksum, counter = chosen(disabled)
    assert [quotes, statistics] == (["scalar", "scalar"] if "avx2" in off else best[:2])
    assert checksum == ("scalar" if "sse4.2" in off else best[2])
    assert (counter != "tsc") if "tsc" in off else (counter == best[3])
