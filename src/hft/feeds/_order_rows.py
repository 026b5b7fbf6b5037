"""Rows of order messages: what the words of the action column mean, and sizes that say what an order has left."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from fastcore.records import EVENT_DTYPE, KINDS, NO_PRICE
from fastcore.wire.dbn import join_fills

from ._columns import UNKNOWN_SIDE, dictionary, numbers, sides
from ._rows import Mask, TableRows
from .feed import Events, FormatError

__all__ = ["ACTIONS", "OrderRows"]

# What the words of the action column mean; none means the same everywhere: an exchange's own table goes first.
ACTIONS: dict[str, str] = {
    "A": "add", "ADD": "add", "N": "add", "NEW": "add", "C": "delete", "CANCEL": "cancel", "D": "delete", "DELETE": "delete",
    "X": "cancel", "REDUCE": "cancel", "E": "execute", "EXECUTE": "execute", "FILL": "execute", "U": "replace",
    "REPLACE": "replace", "M": "replace", "MODIFY": "replace", "T": "trade", "TRADE": "trade", "P": "trade",
}  # fmt: skip
Words = npt.NDArray[np.str_]  # what each row does: a kind of event, resize or ignore
Values = Callable[[str, Mask], npt.NDArray[np.int64]]  # ticks or lots of a role, checked in some of the rows


class OrderRows:
    """Order messages of one table.

    Parameters
    ----------
    actions : mapping of str to str, optional
        Word of the column to kind of event, "resize", "ignore" or "fill": what of an order has traded, where a row behind it, of the
        same time, takes that off the book (a row "trade" is then what no fill accounts for).
    """

    def __init__(self, actions: Mapping[str, str] | None) -> None:
        table = ACTIONS if actions is None else actions
        for value, what in table.items():
            if what not in ("ignore", "resize", "fill") and what not in KINDS:
                raise ValueError(f"actions must be kinds of events, resize, fill or ignore: {value}={what}")
        self._actions = {value.upper(): what for value, what in table.items()}
        self._began = False
        self._resizes = "resize" in self._actions.values()
        self._live = np.zeros(0, np.int64), np.zeros(0, np.int64)  # orders and what they have left, where sizes are told anew
        self._held = np.zeros(0, EVENT_DTYPE)  # of the last time of a block with fills or trades: the next may have what belongs to them

    def events(self, events: Events, rows: TableRows, ticks: Values, lots: Values) -> Events:
        """Write kind, side and payload of the messages, and return those that are whole."""
        self._write(events, rows, ticks, lots)
        good = np.concatenate([self._held, events[~rows.bad]]) if len(self._held) or rows.bad.any() else events
        if "fill" not in self._actions.values() or not len(good):
            return good
        begins = np.flatnonzero(np.append(True, good["exch_ns"][1:] != good["exch_ns"][:-1]))[-1]
        last = good[begins:]
        if not ((last["kind"] == KINDS["trade"]) | (last["kind"] == KINDS["notice"]) & (last["price"] == ord("F"))).any():
            begins = len(good)
        self._held, good = good[begins:].copy(), good[:begins]
        join_fills(good)
        return good

    def rest(self) -> Events:
        """Return what waited for rows of the same time, at the end of the table."""
        held, self._held = self._held, self._held[:0]
        join_fills(held)
        return held

    def _write(self, events: Events, rows: TableRows, ticks: Values, lots: Values) -> None:
        values = events.view(np.int64).reshape(len(rows), 8)[:, 4:]
        what, ids = self._words(rows), rows.integers("id")
        for name in set(what[~rows.bad].tolist()):
            events["kind"][what == name] = KINDS[{"resize": "cancel", "fill": "notice"}.get(name, name)]
        priced = np.isin(what, ["add", "replace", "trade", "fill"]) & ~rows.bad
        sized = np.isin(what, ["add", "replace", "trade", "cancel", "execute", "resize", "fill"]) & ~rows.bad
        values[:, 0] = np.where(priced, ticks("price", priced) if "price" in rows else NO_PRICE, NO_PRICE)
        values[:, 1] = np.where(sized, lots("size", sized), 0)
        if self._resizes:
            self._reduce(what, ids, values[:, 1], rows)
        rows.refuse("id must be there", (ids < 0) & (what != "clear"), "id")
        prints = what == "trade"
        rows.refuse("size of a trade must be positive", prints & (values[:, 1] == 0), "size" if "size" in rows else "id")
        values[:, 2] = np.where(prints | (what == "clear"), 0, ids)
        values[:, 3] = np.where(prints, ids, 0)
        if "side" in rows:
            side = sides(rows.column("side"))
            rows.refuse("side must be buy or sell", (side == UNKNOWN_SIDE) & np.isin(what, ["add", "trade", "replace"]), "side")
            rows.refuse("side of an order must be known", (side == 0) & (what == "add"), "side")
            events["side"] = np.where(side == UNKNOWN_SIDE, 0, np.where(prints, -side, side))
        new = rows.integers("new_id")
        values[:, 3] = np.where(what == "replace", np.where(new < 0, ids, new), values[:, 3])
        fills = (what == "fill") & ~rows.bad
        if fills.any():
            values[fills, 3], values[fills, 0] = values[fills, 0], ord("F")

    def _words(self, rows: TableRows) -> Words:
        """What each row does; ignored rows are left out, and rows of unknown actions refused: all of the table where those are common."""
        coded = dictionary(rows.column("action"))
        words, codes = [(word or "").strip().upper() for word in coded.dictionary.to_pylist()], numbers(coded.indices, -1)
        what = np.array([self._actions.get(word, "") for word in words] + [""], dtype="U16")[codes]
        if not self._began:
            counts = np.bincount(codes + 1, minlength=len(words) + 1)[1:]
            unknown = [word for word, count in zip(words, counts, strict=True) if word and word not in self._actions and 50 * count > len(rows)]
            if unknown and (len(rows) > 50 or (what == "").all()):
                raise FormatError(f"actions must have a word for every action: unknown={unknown[:8]} known={sorted(self._actions)}")
            self._began = True
        rows.refuse("action must be known", what == "", "action")
        rows.bad |= what == "ignore"
        return what

    def _reduce(self, what: Words, ids: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64], rows: TableRows) -> None:
        """New sizes of orders to the sizes that are taken off them: by what each order has left before."""
        old_ids, old_sizes = self._live
        acts = np.flatnonzero(np.isin(what, ["add", "replace", "resize", "cancel", "execute", "delete"]) & ~rows.bad)
        all_ids = np.concatenate([old_ids, ids[acts]])
        sets = np.concatenate([np.ones(len(old_ids), bool), np.isin(what[acts], ["add", "replace", "resize", "delete"])])
        change = np.concatenate([old_sizes, np.where(sets[len(old_ids) :], sizes[acts], -sizes[acts])])
        order = np.argsort(all_ids, kind="stable")
        all_ids, sets, change = all_ids[order], sets[order], change[order]
        fresh = np.append(True, all_ids[1:] != all_ids[:-1]) if len(all_ids) else np.zeros(0, bool)
        starts = np.flatnonzero(sets | fresh)
        left = np.add.reduceat(change, starts) if len(starts) else np.zeros(0, np.int64)  # at the end of each stretch
        resized = np.append(np.zeros(len(old_ids), bool), what[acts] == "resize")[order]
        which = np.flatnonzero(resized[starts])
        known = ~fresh[starts[which]]
        taken = np.where(known, left[which - 1], 0) - change[starts[which]]
        at = acts[order[starts[which]] - len(old_ids)]
        sizes[at] = taken
        wrong = np.zeros(len(what), bool)
        wrong[at] = taken <= 0
        rows.refuse("the new size of an order must be below what it has", wrong, "size" if "size" in rows else "id")
        ends = np.append(fresh[1:], True) if len(fresh) else fresh
        last = np.searchsorted(starts, np.flatnonzero(ends), side="right") - 1
        alive = left[last] > 0
        self._live = all_ids[ends][alive], left[last][alive]
