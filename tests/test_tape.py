"""The tape: its own rules, and a store that refuses; the executions of whole runs are in test_engine."""

import pytest
from makers.engines import Run
from makers.itch import quoted_book

from fastcore.errors import StoreError
from fastcore.strategies.tape import Tape
from fastcore.tickstore import TickStore


@pytest.fixture
def store(tmp_path):
    with TickStore(tmp_path / "ticks", "a") as opened:
        yield opened


def test_tape_says_what_it_is(store):
    tape = Tape(3, store)
    assert (tape.symbol_id, tape.store) == (3, store)
    assert repr(tape).startswith("Tape(symbol_id=3, ")


@pytest.mark.parametrize(
    ("kwargs", "error", "rule"),
    [
        ({"symbol_id": -1}, ValueError, "symbol_id must be in 0"),
        ({"store": None}, TypeError, "."),
        ({"stored_id": 2**32 - 1}, ValueError, "stored_id must be in 0"),
        ({"stored_id": 1.5}, TypeError, "."),
        ({"ticks_per_price": 0.0}, ValueError, "ticks_per_price must be finite and positive"),
        ({"lots_per_unit": float("nan")}, ValueError, "lots_per_unit must be finite and positive"),
    ],
)
def test_constructor_states_the_rule(store, kwargs, error, rule):
    with pytest.raises(error, match=rule):
        Tape(**{"symbol_id": 0, "store": store, **kwargs})


def test_store_that_is_closed_ends_the_run_with_its_error(tmp_path):
    store = TickStore(tmp_path / "ticks", "a")
    run = Run("AAA", store=store)
    store.close()
    with pytest.raises(StoreError, match="the store is closed: path="):
        run.feed(quoted_book().execute(1, 10).data)
