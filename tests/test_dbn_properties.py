"""The compiled DBN decoder against its twin, on any bytes."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from makers.dbn import TIME, mbo, quote, trade

from fastcore.records import EVENT_DTYPE
from fastcore.reference import dbn as twin
from fastcore.wire import dbn

actions, sides = st.sampled_from("ACMRTFN"), st.sampled_from("ABN")
flags = st.sampled_from([0, 0, 0, 128, 32, 168, 64, 192])
small = {"flags": flags, "time": st.integers(TIME, TIME + 1), "instrument": st.sampled_from([7, 8, 2**31])}
prices = st.one_of(st.integers(-5, 200), st.just(2**63 - 1))
sizes = st.integers(0, 2**32 - 1)
good = st.one_of(
    st.builds(mbo, actions, sides, prices, sizes, st.integers(0, 2**64 - 1), **small, publisher=st.sampled_from([1, 1, 2])),
    st.builds(trade, actions, sides, prices, sizes, **small),
    st.builds(quote, st.tuples(prices, prices, sizes, sizes), actions, side=sides, **small),
)
# Venue events in which few orders are filled, reduced and modified, in any order.
fills = st.lists(
    st.builds(
        mbo, st.sampled_from("TFFFCCMA"), st.sampled_from("BA"), st.just(100), st.integers(0, 6), st.integers(1, 3),
        flags=st.sampled_from([0] * 8 + [128]), instrument=st.just(7),
    ), max_size=20,
).map(b"".join)  # fmt: skip
odd = st.one_of(
    st.builds(mbo, st.sampled_from("ZA"), st.sampled_from("XB"), rtype=st.sampled_from([19, 160, 23]), length=st.sampled_from([0, 14])),
    st.binary(max_size=80),
)
streams = st.lists(st.one_of(good, good, good, odd, fills), max_size=30).map(b"".join)


def everything(impl, data, joined, cuts, size):
    """Events and counts of a stream that comes in pieces; a blocking record is stepped over by its length.

    Symbol ids are given in the order in which they are asked for; the third instrument is passed over. They hold up to a time, or
    from it on.
    """
    decoder, later = impl.DbnDecoder(False, joined), False
    decoder.hold(0, TIME + 501)
    out, events, fresh = np.zeros(size, EVENT_DTYPE), [], []
    rest, at = b"", 0
    for end in [*sorted(min(c, len(data)) for c in cuts), None]:
        piece = data[at:] if end is None else data[at:end]
        at = len(data) if end is None else end
        rest += piece
        while True:
            n, consumed = decoder.decode(rest, out, end is None)
            events.append(out[:n].copy())
            assert n == 0 or not out["flags"][n - 1] & 1
            rest = rest[consumed:]
            if decoder.unknown is not None:
                decoder.set_symbol_id(*decoder.unknown, None if len(fresh) == 2 else len(fresh))
                fresh.append(decoder.unknown)
            elif decoder.outside:
                later = not later
                decoder.hold(*((TIME + 501,) if later else (0, TIME + 501)))
            elif decoder.blocked:
                step = max(4 * rest[0], 4)
                if len(rest) < step:
                    break
                rest = rest[step:]
            elif not consumed:
                break
    return np.concatenate(events).tobytes(), decoder.counts, fresh, rest


@given(streams, st.booleans(), st.lists(st.integers(0, 3000), max_size=4), st.sampled_from([2, 3, 64]))
def test_dbn_matches_reference(data, joined, cuts, size):
    assert everything(dbn, data, joined, cuts, size) == everything(twin, data, joined, cuts, size)


@given(st.lists(st.one_of(good, fills), max_size=40).map(b"".join), st.lists(st.integers(0, 4000), max_size=5))
def test_pieces_do_not_change_the_events(data, cuts):
    assert everything(dbn, data, True, cuts, 128)[:3] == everything(dbn, data, True, [], 128)[:3]


@given(st.binary(max_size=400), st.booleans())
def test_decoder_never_reads_past_end(data, final):
    # Under AddressSanitizer a read behind the end of this copy is an error.
    copy = np.frombuffer(data, np.uint8).copy()
    out = np.zeros(16, EVENT_DTYPE)
    n, consumed = dbn.DbnDecoder().decode(copy, out, final)
    assert 0 <= n <= 16 and 0 <= consumed <= len(data)
