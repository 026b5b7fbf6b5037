"""Laws of the store: the twins agree, and no damage makes a record that was not appended."""

import os
import shutil
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from kit import examples

from fastcore import tickstore
from fastcore.errors import CorruptDataError, LayoutError
from fastcore.records import TICK_DTYPE
from fastcore.reference import tickstore as twin

MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") and os.access("/dev/shm", os.W_OK) else None
SEGMENT = 2048
BASE, TABLE = 65536, 65536

tick_tuples = st.tuples(
    st.integers(0, 2**63 - 1),
    st.integers(0, 2**32 - 2),
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(0, allow_nan=False, allow_infinity=False),
)
batches = st.lists(st.lists(tick_tuples, max_size=40), max_size=12)


@pytest.fixture(scope="module")
def folder():
    name = tempfile.mkdtemp(dir=MEMORY, prefix="fastcore-test-")
    yield Path(name)
    shutil.rmtree(name)


def fresh(folder):
    for old in folder.iterdir():
        old.unlink()
    return str(folder / "s")


def array(rows):
    return np.array(rows, TICK_DTYPE)


@given(data=batches, one_by_one=st.booleans())
@examples(60)
def test_tickstore_matches_reference(folder, data, one_by_one):
    images = []
    for module in (tickstore, twin):
        path = fresh(folder)
        with module.TickStore(path, "a", segment_records=1) as store:
            for batch in data:
                if one_by_one:
                    for row in batch:
                        store.append(*row)
                else:
                    store.append_many(array(batch))
            flat = [row for batch in data for row in batch]
            assert store.records().tolist() == flat
            assert store.verify() == (len(flat), 32 * len(flat), 0, 0, "", None)
            times = sorted({row[0] for row in flat})
            if times:
                start, end = times[len(times) // 3], times[-1]
                assert store.query(start, end).tolist() == [row for row in flat if start <= row[0] < end]
                assert store.query(start, None, flat[0][1]).tolist() == [
                    row for row in flat if row[0] >= start and row[1] == flat[0][1]
                ]
        images.append(Path(path).read_bytes())
    # The files are the same but for salt and creation time, the checksums that depend on them, and the writer's epoch page.
    assert images[0][BASE + TABLE :] == images[1][BASE + TABLE :]
    words = [np.frombuffer(image, "u8", TABLE // 8, BASE) >> np.uint64(32) for image in images]
    assert (words[0] == words[1]).all()


N = 700


class Image(tuple):
    """(records, the file after close, the file before) with a short text for reports."""

    __slots__ = ()

    def __repr__(self):
        return "Image()"


@pytest.fixture(scope="module")
def image(folder):
    """Bytes of a store of 700 ticks, synced at 300 and at the end."""
    path = fresh(folder)
    i = np.arange(N)
    rows = np.zeros(N, TICK_DTYPE)
    rows["timestamp_ns"], rows["symbol_id"], rows["price"], rows["volume"] = i, i % 5, i * 0.5, i
    with tickstore.TickStore(path, "a", segment_records=SEGMENT) as store:
        store.append_many(rows[:300])
        store.flush()
        store.append_many(rows[300:])
        unsynced = Path(path).read_bytes()
    return Image((rows, Path(path).read_bytes(), unsynced))


END = BASE + TABLE + N * 32
offsets = st.one_of(
    st.integers(0, 200),
    st.integers(4096, 4096 + 256),
    st.integers(BASE, BASE + 64),
    st.integers(BASE + TABLE, END + 200),
    st.integers(0, END),
)
edits = st.lists(st.tuples(offsets, st.binary(min_size=1, max_size=12)), min_size=1, max_size=4)


def opened(module, path, mode, salvage):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", module.StoreWarning)
        return module.TickStore(path, mode, salvage=salvage)


@pytest.mark.parametrize("module", [tickstore, twin], ids=["compiled", "reference"])
@given(edits=edits, cut=st.one_of(st.none(), st.integers(0, END + 1000)), salvage=st.booleans(), synced=st.booleans())
@example(edits=[(4096, b"\0")], cut=153_472, salvage=False, synced=False)  # a smaller count, cut behind the last record
@example(edits=[(4096, b"\0")], cut=151_552, salvage=False, synced=False)  # the same, cut before it
@examples(150)
def test_tickstore_damage_never_invents_a_record(folder, image, module, edits, cut, salvage, synced):
    rows, clean, unsynced = image
    data = bytearray(clean if synced else unsynced)
    before = bytes(data)
    for offset, new in edits:
        data[offset : offset + len(new)] = new
    if cut is not None:
        del data[cut:]
    path = fresh(folder)
    Path(path).write_bytes(data)
    changed = bytes(data) != before
    for mode in ("r", "a", "r"):
        try:
            store = opened(module, path, mode, salvage)
        except (CorruptDataError, LayoutError):
            assert changed
            continue
        with store:
            found = store.records()
            assert found.tobytes() == rows[: len(found)].tobytes()
            if store.recovery is None:
                assert len(found) == N or mode != "a" or module is twin or len(found) < N
            else:
                report = store.recovery
                assert report.records == len(found)
                assert report.reason
                assert report.dropped_records > 0 or report.dropped_bytes > 0 or len(found) == N
            # Nothing is lost in silence.
            if len(found) < N and mode == "r" and cut is None:
                assert store.recovery is not None or store.info()["epoch"] > 1 or changed


@given(edits=edits, cut=st.one_of(st.none(), st.integers(0, END + 1000)), salvage=st.booleans())
@examples(100)
def test_tickstore_and_reference_recover_the_same(folder, image, edits, cut, salvage):
    unsynced = image[2]
    data = bytearray(unsynced)
    for offset, new in edits:
        data[offset : offset + len(new)] = new
    if cut is not None:
        del data[cut:]
    outcomes = []
    for module in (tickstore, twin):
        path = fresh(folder)
        Path(path).write_bytes(data)
        outcome = []
        for mode in "ra":
            try:
                store = opened(module, path, mode, salvage)
            except (CorruptDataError, LayoutError) as error:
                outcome.append((type(error), str(error).split(":")[0]))
                continue
            with store:
                aside = store.recovery and store.recovery.kept_aside
                outcome.append((store.recovery and store.recovery[:5], len(store), aside and Path(aside).read_bytes()))
        outcomes.append(outcome)
    assert outcomes[0] == outcomes[1]


@given(edits=st.lists(st.tuples(st.integers(BASE, END), st.binary(min_size=1, max_size=12)), min_size=1, max_size=6))
@example(edits=[(BASE + 45, b"\1")])  # the last commit word promises more records than a block has
@examples(60)
def test_tickstore_salvage_copies_whole_valid_blocks_only(folder, image, edits):
    rows, clean, _ = image
    data = bytearray(clean)
    for offset, new in edits:
        data[offset : offset + len(new)] = new
    path = fresh(folder)
    Path(path).write_bytes(data)
    report = tickstore.salvage(path, path + ".saved")
    touched = {
        max(0, at - BASE - TABLE) // 4096 if at >= BASE + TABLE else (at - BASE) // 8
        for offset, new in edits
        for at in range(offset, offset + len(new))
        if at < END and data[at] != clean[at]
    }
    expected = rows[~np.isin(np.arange(N) // 128, list(touched))]
    with tickstore.TickStore(path + ".saved") as store:
        assert store.records().tolist() == expected.tolist()
    assert report.records == len(expected)
    assert report.dropped_records == N - len(expected)
    assert Path(path).read_bytes() == bytes(data)


class StoreMachine(RuleBasedStateMachine):
    """A store and a list of tuples see the same calls; the store is reopened, copied as by a crash, and cut in between."""

    def __init__(self):
        super().__init__()
        self.folder = tempfile.mkdtemp(dir=MEMORY, prefix="fastcore-test-")
        self.path = os.path.join(self.folder, "s")
        self.rows = []
        self.store = tickstore.TickStore(self.path, "a", segment_records=1)
        self.reader = tickstore.TickStore(self.path)
        self.views = []

    @rule(tick=tick_tuples)
    def append(self, tick):
        self.store.append(*tick)
        self.rows.append(tick)

    @rule(ticks=st.lists(tick_tuples, max_size=20), times=st.integers(1, 60))
    def append_many(self, ticks, times):
        self.store.append_many(array(ticks * times))
        self.rows += ticks * times

    @rule()
    def flush(self):
        self.store.flush()
        assert self.store.info()["synced"] == len(self.rows)

    @rule(n=st.integers(0, 5000))
    def reserve(self, n):
        self.store.reserve(n)
        assert self.store.room >= n

    @rule()
    def keep_a_view(self):
        self.views = [*self.views[-3:], (self.reader.records(), len(self.rows))]

    @rule()
    def reopen(self):
        self.store.close()
        self.store = tickstore.TickStore(self.path, "a")
        assert self.store.recovery is None

    @rule()
    def crash(self):
        copy = Path(self.path).read_bytes()
        self.store.close()
        self.reader.close()
        Path(self.path).unlink()
        Path(self.path).write_bytes(copy)
        self.store = tickstore.TickStore(self.path, "a")
        self.reader = tickstore.TickStore(self.path)
        assert self.store.recovery is None

    @rule(start=st.integers(0, 2**63), width=st.integers(0, 2**63))
    def query(self, start, width):
        want = [row for row in self.rows if start <= row[0] < start + width]
        assert self.reader.query(start, start + width).tolist() == want

    @invariant()
    def holds_what_was_appended(self):
        assert self.store.count == self.reader.count == len(self.rows)
        assert self.reader.records(-50).tolist() == self.rows[-50:]

    def teardown(self):
        for view, n in self.views:
            assert view.tolist() == self.rows[:n]
        assert self.store.records().tolist() == self.rows
        assert self.reader.verify() == (len(self.rows), 32 * len(self.rows), 0, 0, "", None)
        self.store.close()
        self.reader.close()
        shutil.rmtree(self.folder)


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = settings(max_examples=25, stateful_step_count=30)


@given(data=st.binary(max_size=300), split=st.integers(0, 300))
def test_tickstore_crc32c_matches_reference_and_joins(data, split):
    assert tickstore.crc32c(data) == tickstore.crc32c_scalar(data) == twin.crc32c(data)
    assert tickstore.crc32c(data[split:], tickstore.crc32c(data[:split])) == tickstore.crc32c(data)
