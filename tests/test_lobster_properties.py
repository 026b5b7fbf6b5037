"""The LOBSTER window against a full book of which only the window is shown, and what damaged files make of it."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from kit import examples

from fastcore.wire.lobster import LobsterWindow

NONE = 9_999_999_999
STEP = st.tuples(st.integers(0, 9), st.sampled_from([1, -1]), st.integers(1, 12), st.integers(1, 5), st.integers(0, 50))
STEPS = st.lists(STEP, max_size=80)


def show(book, levels):
    row = []
    ladders = {s: sorted(((p, q) for p, q in book[s].items() if q), reverse=s == 1) for s in (1, -1)}
    for i in range(levels):
        for s in (-1, 1):
            row += ladders[s][i] if i < len(ladders[s]) else (-s * NONE, 0)
    return row


def record(steps, levels):
    """Run a full book and write the messages and rows that a file of N levels has: those that concern its window."""
    book = {1: {90: 5, 89: 5, 88: 5}, -1: {110: 5, 111: 5, 112: 5}}
    messages, rows = [(1, 5, 90, 1)], [show(book, levels)]
    for kind, side, offset, size, pick in steps:
        price = 100 - side * offset
        if kind < 5:
            message = (1, size, price, side)
            book[side][price] = book[side].get(price, 0) + size
        elif kind == 5:
            message = (5, size, price, side)
        else:
            held = sorted(p for p, q in book[side].items() if q)
            if not held:
                continue
            price = held[pick % len(held)]
            size = book[side][price] if kind > 7 else min(size, book[side][price])
            message = ((2, 3, 4)[kind % 3], size, price, side)
        window = rows[-1]
        shown = [p for p, q in zip(window[2 if side == 1 else 0 :: 4], window[3 if side == 1 else 1 :: 4], strict=True) if q]
        if message[0] in (2, 3, 4):
            book[side][price] -= size
            if price not in shown:  # outside the window: no message, and later the level comes in as it is then
                continue
        elif message[0] == 1 and len(shown) == levels and side * (shown[-1] - price) > 0:
            continue
        messages.append(message)
        rows.append(show(book, levels))
    return np.array(messages, np.int64), np.array(rows, np.int64)


@given(STEPS, st.integers(1, 4))
def test_lobster_window_of_a_full_book_matches_every_row(steps, levels):
    messages, rows = record(steps, levels)
    w = LobsterWindow(levels)
    assert w.apply(*messages.T, rows) == len(rows)
    assert w.first_mismatch is None


@examples(200)
@given(STEPS, st.integers(1, 4), st.data())
def test_lobster_rows_may_come_in_any_parts(steps, levels, data):
    messages, rows = record(steps, levels)
    for _ in range(data.draw(st.integers(0, 3))):
        i = data.draw(st.integers(0, len(rows) - 1))
        if data.draw(st.booleans()):
            rows[i, data.draw(st.integers(0, 4 * levels - 1))] = data.draw(st.sampled_from([0, -1, 5, 90, 100, NONE, -NONE]))
        else:
            messages[i, data.draw(st.integers(0, 3))] = data.draw(st.sampled_from([0, -1, 1, 3, 4, 7, 9, 100, NONE, 2**63 - 1]))
    a, b = LobsterWindow(levels), LobsterWindow(levels)
    matched = a.apply(*messages.T, rows)
    cut = data.draw(st.integers(0, len(rows)))
    for part in (slice(0, cut), slice(cut, None)):
        matched -= b.apply(*messages[part].T, rows[part])
    assert matched == 0 and a.matched + len(a.mismatches) == a.checked == len(rows) or len(a.mismatches) == 64
    assert (a.mismatches, a.checked, a.matched, a.revealed) == (b.mismatches, b.checked, b.matched, b.revealed)
    assert a.depth() == b.depth()


@given(STEPS, st.integers(1, 4), st.data())
def test_lobster_window_finds_a_changed_size(steps, levels, data):
    messages, rows = record(steps, levels)
    i = data.draw(st.integers(0, len(rows) - 1))
    k = data.draw(st.integers(0, 2 * levels - 1))
    if i == 0 or rows[i, 2 * k + 1] == 0:
        return
    revealed = LobsterWindow(levels), LobsterWindow(levels)
    revealed[0].apply(*messages[:i].T, rows[:i])
    revealed[1].apply(*messages[: i + 1].T, rows[: i + 1])
    rows[i, 2 * k + 1] += 1
    w = LobsterWindow(levels)
    w.apply(*messages.T, rows)
    if revealed[0].revealed == revealed[1].revealed:
        assert w.first_mismatch == i
    elif i + 1 < len(rows):
        # A level that comes into the window with this row is taken as the row has it: the next row tells, while it is there.
        assert w.first_mismatch in (i, i + 1, None)
