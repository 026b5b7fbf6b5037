"""Symbol mapper against its twin on arbitrary commands, then one law each."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fastcore import symbols
from fastcore.reference import symbols as twin

names = st.one_of(
    st.text("ABC.-", min_size=1, max_size=3),
    st.text("ABCDEFGHIJ0123456789", min_size=1, max_size=12),
    st.text(min_size=0, max_size=10),
)
keys = st.one_of(names, names.map(lambda s: s.encode(errors="replace")), st.binary(max_size=10))
numbers = st.one_of(st.floats(), st.sampled_from([0.0, 1.0, 100.25, float("nan")]))
commands = st.lists(
    st.one_of(
        st.tuples(st.just("add"), keys),
        st.tuples(st.just("get_id"), keys),
        st.tuples(st.just("add_many"), st.lists(keys, max_size=4)),
        st.tuples(st.just("ids_of"), st.lists(keys, max_size=4)),
        st.tuples(st.just("update_price"), st.integers(-1, 5), numbers, st.integers(-1, 2**63 - 1)),
        st.tuples(
            st.just("update_prices"),
            st.lists(st.integers(-1, 4), min_size=1, max_size=3),
            st.lists(numbers, min_size=1, max_size=3),
            st.lists(numbers, min_size=1, max_size=3),
        ),
    ),
    max_size=25,
)


def apply(mapper, command):
    name, *arguments = command
    try:
        result = getattr(mapper, name)(*arguments)
    except (ValueError, KeyError, OverflowError) as error:
        kind = KeyError if isinstance(error, KeyError) else type(error)
        return kind, str(error.args[0])
    return result.tolist() if isinstance(result, np.ndarray) else result


def state(mapper):
    arrays = (mapper.prices, mapper.volumes, mapper.timestamps)
    return mapper.symbols, [a.tobytes() for a in arrays]


@given(commands)
def test_symbols_matches_reference(script):
    ours, theirs = symbols.SymbolMapper(capacity=20), twin.SymbolMapper(capacity=20)
    for command in script:
        assert apply(ours, command) == apply(theirs, command), command
        assert state(ours) == state(theirs), command
    ours.check()


@given(st.lists(st.text("ABCDEFGH", min_size=1, max_size=8), unique=True, max_size=300))
def test_symbols_roundtrips_every_key(wanted):
    mapper = symbols.SymbolMapper(wanted, capacity=300)
    ids = list(range(len(wanted)))
    wire = b"".join(name.encode().ljust(8) for name in wanted)
    assert [mapper.get_id(name) for name in wanted] == ids
    assert [mapper.get_id(name.encode()) for name in wanted] == ids
    assert mapper.ids_of(wire).tolist() == mapper.ids_of(np.array(wanted, "S8")).tolist() == ids
    assert [symbols.key_symbol(symbols.wire_key(name)) for name in wanted] == wanted
    mapper.check()
