"""Journals of runs: written, read, compared; what is damaged is said."""

import json

import numpy as np
import pytest

from fastcore.errors import CorruptDataError
from fastcore.records import EVENT_DTYPE, KINDS
from hft.config import ConfigError
from hft.journal import Inputs, build_id, check_files, compare, identify, read, record, words

pytestmark = pytest.mark.thin

INPUTS = Inputs("demo", [], {"seed": 1}, {"run": {}}, build=build_id())


def events(n):
    out = np.zeros(n, EVENT_DTYPE)
    out["kind"], out["order_id"], out["size"], out["side"], out["price"] = KINDS["order"], np.arange(n), 5, 1, 1_000
    return out


def write(directory, n=3):
    with record(directory, INPUTS) as recording:
        recording.journal.store.append_many(events(n))
    return directory


def test_journal_is_read_as_it_was_written(tmp_path):
    inputs, ended, found = read(write(tmp_path / "run"))
    assert inputs == INPUTS
    assert ended == 3
    assert found.tobytes() == events(3).tobytes()


def test_run_that_did_not_end_leaves_its_durable_beginning(tmp_path):
    def interrupted():
        with record(tmp_path / "run", INPUTS) as recording:
            recording.journal.store.append_many(events(2))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    _, ended, found = read(tmp_path / "run")
    assert (ended, len(found)) == (None, 2)
    assert compare(ended, found, events(5)) == compare(None, events(2), events(5))
    assert compare(ended, found, events(5)).difference == ""


def test_directory_that_holds_something_is_refused_and_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(ConfigError, match="the directory of a journal must be new or empty"), record(tmp_path, INPUTS):
        raise AssertionError
    with pytest.raises(ConfigError, match="must be a directory"), record(tmp_path / "mine.txt", INPUTS):
        raise AssertionError
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_first_difference_is_shown():
    other = events(4)
    other["price"][2] = 1_100
    found = compare(4, events(4), other)
    assert found.events == 2
    assert found.difference == (
        "event 2\n  then: order buy 5 lots at 1,000 ticks, order 2, at 0 ns, cause 0"
        "\n  now:  order buy 5 lots at 1,100 ticks, order 2, at 0 ns, cause 0"
    )
    assert compare(4, events(4), events(3)).difference == f"event 3 is then alone: {words(events(4)[3])}"
    assert compare(3, events(3), events(4)).difference == f"event 3 is now alone: {words(events(4)[3])}"
    assert compare(None, events(4), events(3)).difference


def damage_run(directory):
    (directory / "run.json").write_text("{")


def other_keys(directory):
    (directory / "run.json").write_text(json.dumps({"command": "demo", "version": 1, "future": 1}))


def cut_count(directory):
    what = json.loads((directory / "run.json").read_text())
    (directory / "run.json").write_text(json.dumps(what | {"events": 99}))


@pytest.mark.parametrize(
    ("damage", "rule"),
    [
        (lambda d: (d / "run.json").unlink(), "a journal must have run.json"),
        (damage_run, "must be what a run wrote"),
        (other_keys, "must be what a run wrote"),
        (cut_count, "must hold all events of its run: .*events=99 stored=3"),
    ],
)
def test_damaged_journal_is_said(tmp_path, damage, rule):
    damage(write(tmp_path / "run"))
    with pytest.raises(CorruptDataError, match=rule):
        read(tmp_path / "run")


def test_files_must_be_those_of_the_run(tmp_path):
    path = tmp_path / "data"
    path.write_bytes(b"one")
    files = [identify(path)]
    check_files(files)
    path.write_bytes(b"two")
    with pytest.raises(CorruptDataError, match=r"must be as it was \(sha256 7692c3ad3540\.\.\.\)"):
        check_files(files)
    path.unlink()
    with pytest.raises(CorruptDataError, match="a file of the run is missing"):
        check_files(files)
