"""Bounded mutation fuzzing of every reader of outside bytes; FASTCORE_FUZZ_SECONDS=600 makes it long. See fuzz/."""

import os
import struct
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from fuzz import corpora, engine, stores
from fuzz.targets import MUTANTS, TARGETS

SECONDS = float(os.environ.get("FASTCORE_FUZZ_SECONDS", "0")) or None
TWINS = 4  # an input in so many goes to the twin too: together more than 10,000
# What the ASan runtime is loaded for would report first: the crash of a mutant is its own subject.
SANITIZED = "san" in os.environ.get("LD_PRELOAD", "")


@pytest.mark.parametrize("target", TARGETS.values(), ids=list(TARGETS))
def test_fuzzed_input_breaks_no_law(target):
    if target.missing():
        pytest.skip(f"not there: {', '.join(target.missing())}")
    seed = 1 if SECONDS is None else int.from_bytes(os.urandom(4), "big")
    inputs = None if SECONDS else target.iterations * (TWINS if target.name != "calls" else 1) // (3 if SANITIZED else 1)
    report = engine.fuzz(target, seed=seed, iterations=inputs, seconds=SECONDS, every=TWINS)
    print(target.name, report)
    # The mutations do hit: most inputs are read in part, and part of them is refused.
    assert report["inputs"] >= 32
    assert all(count > 0 for name, count in report.items() if name != "peak")


@pytest.mark.parametrize(
    ("mutant", "says"),
    [
        ("crash", "Segmentation fault|AddressSanitizer|exit status 3221225477"),
        ("hang", "Timeout"),
        ("stall", "must come to an end"),
        ("leak", "memory must not grow"),
        ("large", "memory must stay small"),
        ("differ", "the twins differ: first: compiled=True reference=False"),
    ],
)
def test_broken_law_is_seen_and_its_input_kept(mutant, says, tmp_path):
    if mutant in ("leak", "large") and (SANITIZED or not engine.resident()):
        pytest.skip("memory cannot be told here")
    with pytest.raises(engine.Failure, match=says) as failure:
        engine.fuzz(MUTANTS[f"mutant_{mutant}"], keep=tmp_path)
    kept = list(tmp_path.iterdir())
    assert len(kept) == 1
    assert f"--file {kept[0]}" in str(failure.value)
    data = kept[0].read_bytes()
    assert mutant == "leak" or data[:1] not in (b"a", b"")
    if mutant in ("stall", "differ"):
        assert len(data) == 1  # made smaller


def test_inputs_depend_on_seed_and_number_alone():
    target = TARGETS["itch"]
    corpus = target.corpus(Random(1), None)
    assert corpus == target.corpus(Random(1), None)
    inputs = [engine.input_of(target, corpus, 1, i) for i in range(200)]
    assert inputs[: len(corpus)] == corpus
    assert inputs[150] == engine.input_of(target, corpus, 1, 150) != engine.input_of(target, corpus, 2, 150)
    assert len(set(inputs)) > 180
    assert max(map(len, inputs)) <= engine.LONGEST


def test_units_join_to_the_whole():
    random = Random(3)
    for _ in range(200):
        data = random.randbytes(random.randrange(300))
        for split in (corpora.blocks, corpora.lines, corpora.prefixed):
            assert b"".join(split(data)) == data
    image = bytes(1_000) + b"abc" + bytes(5_000) + random.randbytes(500)
    assert stores.unpacked(stores.packed(image)) == image
    assert stores.unpacked(struct.pack("<II", 2**32 - 1, 2**32 - 1)) == bytes(1 << 18)


def test_command_line_lists_and_runs():
    script = str(Path(engine.__file__).parent)
    listed = subprocess.run([sys.executable, script, "--list"], capture_output=True, text=True, check=True).stdout
    assert [line.split()[0] for line in listed.splitlines()] == list(TARGETS)
    done = subprocess.run([sys.executable, script, "itch", "--iterations", "40"], capture_output=True, text=True, check=True)
    assert '"messages"' in done.stdout
