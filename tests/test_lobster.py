"""The LOBSTER window: what each message does, what a row may show, recorded samples, and mutants that must be found."""

import zipfile

import numpy as np
import pytest

from fastcore.wire.lobster import LobsterWindow

BUY, SELL = 1, -1
NONE = 9_999_999_999


def row(bids, asks, levels=2):
    """Build a row of the orderbook file from (price, size) of bids and asks, best first."""
    out = []
    for i in range(levels):
        out += asks[i] if i < len(asks) else (NONE, 0)
        out += bids[i] if i < len(bids) else (-NONE, 0)
    return out


def check(window, *pairs):
    """Apply (message, row) pairs; messages are (type, size, price, side)."""
    messages = np.array([m for m, _ in pairs], np.int64)
    return window.apply(*messages.T, np.array([r for _, r in pairs], np.int64))


BIDS, ASKS = [(100, 10), (99, 20)], [(101, 30), (103, 40)]
SEED = ((1, 10, 100, BUY), row(BIDS, ASKS))


@pytest.fixture
def window():
    w = LobsterWindow(2)
    assert check(w, SEED) == 1
    return w


@pytest.mark.parametrize(
    ("message", "bids", "asks"),
    [
        ((1, 5, 100, BUY), [(100, 15), (99, 20)], ASKS),
        ((1, 5, 102, SELL), BIDS, [(101, 30), (102, 5)]),  # pushes 103 out
        ((1, 5, 98, BUY), BIDS, ASKS),  # behind the window
        ((2, 3, 99, BUY), [(100, 10), (99, 17)], ASKS),
        ((3, 30, 101, SELL), BIDS, [(103, 40)]),
        ((3, 30, 101, SELL), BIDS, [(103, 40), (105, 1)]),  # 105 comes into the window
        ((4, 10, 100, BUY), [(99, 20), (97, 7)], ASKS),
        ((4, 1, 100, BUY), [(100, 9), (99, 20)], ASKS),
        ((5, 99, 100, BUY), BIDS, ASKS),
        ((6, 99, 100, 0), BIDS, ASKS),
        ((7, 0, -1, -1), BIDS, ASKS),
    ],
)
def test_row_behind_a_message_matches(window, message, bids, asks):
    assert check(window, (message, row(bids, asks))) == 1
    assert (window.checked, window.matched, window.first_mismatch, window.mismatches) == (2, 2, None, [])
    assert window.depth() == (bids, asks)


TAKEN = "what a message takes off is there"
BID_RULE = "the bids of the row are those of the window"
ASK_RULE = "the asks of the row are those of the window"
MESSAGE = "a message has a type of 1..7, and with types 1..4 a side, a price and a size"
ROW = "a row has its levels in the order of prices, with sizes, and the empty ones behind them"


@pytest.mark.parametrize(
    ("message", "bids", "asks", "rule"),
    [
        ((1, 5, 100, BUY), [(100, 16), (99, 20)], ASKS, BID_RULE),  # a wrong size
        ((1, 5, 100, BUY), [(100, 15), (98, 20)], ASKS, BID_RULE),  # a wrong price
        ((1, 5, 100, BUY), [(100, 15), (99, 20)], [(101, 31), (103, 40)], ASK_RULE),  # the other side
        ((1, 5, 100, BUY), [(100, 15)], ASKS, BID_RULE),  # a level is missing
        ((2, 3, 99, BUY), [(100, 10)], ASKS, BID_RULE),
        ((3, 30, 101, SELL), BIDS, [(102, 1), (103, 40)], ASK_RULE),  # revealed, and not the deepest
        ((3, 10, 100, BUY), [(99, 20), (98, 1)], [(103, 40)], ASK_RULE),
        ((3, 29, 101, SELL), BIDS, [(103, 40)], ASK_RULE),  # one share was left
        ((3, 31, 101, SELL), BIDS, [(103, 40)], TAKEN),
        ((4, 1, 102, SELL), BIDS, ASKS, TAKEN),
        ((1, 2**63 - 1, 100, BUY), BIDS, ASKS, TAKEN),  # more than a size can be
        ((0, 1, 100, BUY), BIDS, ASKS, MESSAGE),
        ((8, 1, 100, BUY), BIDS, ASKS, MESSAGE),
        ((1, 1, 100, 0), BIDS, ASKS, MESSAGE),
        ((1, 0, 100, BUY), BIDS, ASKS, MESSAGE),
        ((2, -1, 100, BUY), BIDS, ASKS, MESSAGE),
        ((3, 1, -5, BUY), BIDS, ASKS, MESSAGE),
        ((7, 0, -1, 1), [(99, 20), (100, 10)], ASKS, ROW),
        ((7, 0, -1, 1), [(100, 10), (100, 20)], ASKS, ROW),
        ((7, 0, -1, 1), [(100, 0), (99, 20)], ASKS, ROW),
        ((7, 0, -1, 1), [(-NONE, 0), (99, 20)], ASKS, ROW),
        ((7, 0, -1, 1), BIDS, [(101, -30), (103, 40)], ROW),
        ((7, 0, -1, 1), BIDS, [(-101, 30), (103, 40)], ROW),
        ((7, 0, -1, 1), BIDS, [(101, 30), (-NONE, 0)], ROW),
    ],
)
def test_row_that_does_not_follow_is_reported(window, message, bids, asks, rule):
    assert check(window, (message, row(bids, asks))) == 0
    assert (window.checked, window.matched, window.first_mismatch, window.mismatches) == (2, 1, 1, [(1, rule)])


def test_nothing_is_revealed_on_a_side_that_was_not_full(window):
    assert check(window, ((3, 20, 99, BUY), row(BIDS[:1], ASKS))) == 1  # nothing lay behind: the book ends there
    assert check(window, ((3, 10, 100, BUY), row([(97, 1)], ASKS))) == 0
    assert window.first_mismatch == 2
    assert window.revealed == 0


def test_each_row_is_judged_by_its_own_message(window):
    wrong = ((1, 5, 100, BUY), row([(100, 16), (99, 20)], ASKS))
    right = ((1, 5, 100, BUY), row([(100, 21), (99, 20)], ASKS))
    assert check(window, wrong, right) == 1
    assert window.mismatches == [(1, BID_RULE)]


def test_row_that_is_not_well_formed_does_not_become_the_window(window):
    assert check(window, ((7, 0, -1, 1), row([(99, 20), (100, 10)], ASKS)), ((7, 0, -1, 1), row(BIDS, ASKS))) == 1
    assert window.mismatches == [(1, ROW)]


def test_seed_must_be_well_formed():
    w = LobsterWindow(2)
    assert check(w, ((1, 1, 1, 1), row([(99, 20), (100, 10)], ASKS))) == 0
    assert w.first_mismatch == 0


def test_log_keeps_the_first_mismatches(window):
    bad = ((0, 0, 0, 0), row(BIDS, ASKS))
    assert check(window, *[bad] * 100) == 0
    assert [i for i, _ in window.mismatches] == list(range(1, 65))
    assert (window.checked, window.matched, window.first_mismatch) == (101, 1, 1)


def test_arguments_are_checked(window):
    with pytest.raises(ValueError, match=r"levels must be in 1\.\.200: levels=0"):
        LobsterWindow(0)
    with pytest.raises(ValueError, match="levels must be in"):
        LobsterWindow(201)
    with pytest.raises(ValueError, match=r"rows must be contiguous, of shape \(n, 8\): shape=\(1, 4\)"):
        window.apply([1], [1], [1], [1], np.zeros((1, 4), np.int64))
    with pytest.raises(ValueError, match=r"sizes must have one value for each row: shape=\(2,\) rows=1"):
        window.apply([1], [1, 2], [1], [1], np.zeros((1, 8), np.int64))
    assert window.checked == 1
    assert window.apply([], [], [], [], np.zeros((0, 8), np.int64)) == 0


def test_rows_are_checked():
    w = LobsterWindow(1)
    with pytest.raises(TypeError, match="rows must be a NumPy array of int64: type=list"):
        w.apply([1], [1], [1], [1], [[1, 2, 3, 4]])
    with pytest.raises(TypeError, match="rows must have dtype int64: dtype=float64"):
        w.apply([1], [1], [1], [1], np.zeros((1, 4)))
    with pytest.raises(ValueError, match="contiguous"):
        w.apply([1], [1], [1], [1], np.zeros((4, 1), np.int64).T[:, ::-1])


# ---- recorded data ----

SAMPLES = [("AMZN", 5, 155_935), ("AMZN", 1, 57_515), ("AAPL", 1, 118_497)]


def sample(data_dir, symbol, levels):
    """Return types, sizes, prices, sides and rows of a sample."""
    csv = pytest.importorskip("pyarrow.csv")
    tables = {}
    with zipfile.ZipFile(data_dir / f"lobster/LOBSTER_SampleFile_{symbol}_2012-06-21_{levels}.zip") as archive:
        for name in archive.namelist():
            for part in ("message", "orderbook"):
                if part in name:
                    with archive.open(name) as file:
                        tables[part] = csv.read_csv(file, csv.ReadOptions(autogenerate_column_names=True))
    columns = [tables["message"].column(i).to_numpy().astype(np.int64) for i in (1, 3, 4, 5)]
    rows = np.stack([c.to_numpy() for c in tables["orderbook"].columns], axis=1).astype(np.int64)
    return [*columns, np.ascontiguousarray(rows)]


@pytest.mark.parametrize(("symbol", "levels", "rows"), SAMPLES)
def test_every_row_of_a_sample_matches(data_dir, symbol, levels, rows):
    arrays = sample(data_dir, symbol, levels)
    w = LobsterWindow(levels)
    for start in range(0, rows, 10_000):
        w.apply(*(a[start : start + 10_000] for a in arrays))
    assert (w.checked, w.matched, w.first_mismatch) == (rows, rows, None)
    assert 0 < w.revealed < rows / 3


@pytest.mark.parametrize(("symbol", "levels", "rows"), SAMPLES)
def test_mutants_of_a_sample_are_found(data_dir, symbol, levels, rows):
    arrays = sample(data_dir, symbol, levels)
    random = np.random.default_rng(5)
    window = slice(40_000, 41_000)
    original = [np.ascontiguousarray(a[window]) for a in arrays]
    types, sizes, prices, sides, books = original

    def missed(mutant):
        w = LobsterWindow(levels)
        w.apply(*mutant)
        return w.first_mismatch

    assert missed(original) is None
    w = LobsterWindow(levels)
    revealed = [(w.apply(*(a[i : i + 1] for a in original)), w.revealed)[1] for i in range(1000)]
    for _ in range(200):
        i, k = int(random.integers(1, 1000)), int(random.integers(0, 2 * levels))
        if books[i, 2 * k + 1] == 0:
            continue
        mutant = books.copy()
        mutant[i, 2 * k + 1] += 1  # a wrong size in one row
        if revealed[i] == revealed[i - 1] or k // 2 < levels - 1:
            assert missed([types, sizes, prices, sides, mutant]) == i
        # else: the deepest level, just coming in, is taken as the row has it; no data could tell otherwise
    for _ in range(200):
        i = int(random.integers(1, 999))
        same = all(a[i] == a[i + 1] for a in (np.clip(types, 1, 2), sizes, prices, sides))  # 2, 3 and 4 take off alike
        if same or not np.any(books[i - 1] != books[i]) or not np.any(books[i] != books[i + 1]):
            continue
        mutant = [a.copy() for a in original]
        for a in mutant[:4]:
            a[[i, i + 1]] = a[[i + 1, i]]  # two messages in the wrong order
        found = missed(mutant)
        assert found is not None and found <= i + 2, i
    for _ in range(50):
        i = int(random.integers(1, 900))
        if np.any(books[i - 1] != books[i]):
            mutant = [*(np.delete(a, i, axis=0) for a in original[:4]), books[:-1]]  # a message is missing
            assert missed(mutant) is not None
            mutant = [*(a[:-1] for a in original[:4]), np.delete(books, i, axis=0)]  # a row is missing
            assert missed(mutant) is not None
