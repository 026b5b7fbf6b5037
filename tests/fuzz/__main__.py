"""The command line of the fuzzing: ``python tests/fuzz``."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])  # instead of this folder, whose names would hide others

from fuzz.engine import main  # noqa: E402
from fuzz.targets import MUTANTS, TARGETS  # noqa: E402

main(sys.argv[1:], TARGETS, MUTANTS)
