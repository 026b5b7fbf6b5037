"""Records of Databento DBN to events: what is written, where decoding stops. The layouts are spelled out here once more."""

import mmap

import numpy as np
import pytest
from makers.dbn import TIME, mbo, quote, trade

from fastcore.records import EVENT_DTYPE, FLAGS, KINDS, NO_PRICE
from fastcore.wire import dbn as compiled

MODULE = "wire.dbn"
UNDEF = 2**63 - 1


def run(decoder, data, size=64, final=True):
    """Events of the data; instruments have their numbers for symbol ids."""
    for instrument in (7, 8, 77):
        decoder.set_symbol_id(1, instrument, instrument)
    out = np.zeros(size, EVENT_DTYPE)
    out.view(np.uint8)[:] = 0xAA  # every byte is written
    n, consumed = decoder.decode(data, out, final)
    return out[:n], consumed


def rows(events):
    return [
        (k, s, f, *p)
        for k, s, f, p in zip(events["kind"].tolist(), events["side"].tolist(), events["flags"].tolist(),
                              events.view(np.int64).reshape(-1, 8)[:, 4:].tolist(), strict=True)
    ]  # fmt: skip


def test_mbo_actions(impl):
    data = b"".join([
        mbo("R", "N", UNDEF, 0, 0, 40), mbo("A", "B", 100, 5, 1), mbo("A", "A", 110, 6, 2**63 + 2), mbo("C", "B", 100, 2, 1),
        mbo("M", "B", 101, 4, 1), mbo("T", "B", 110, 2, 0), mbo("F", "A", 110, 2, 3), mbo("N", "N", UNDEF, 0, 0),
    ])  # fmt: skip
    decoder = impl.DbnDecoder()
    events, consumed = run(decoder, data)
    assert consumed == len(data)
    big = 2**63 + 2 - 2**64
    assert rows(events) == [
        (KINDS["clear"], 0, FLAGS["snapshot"], NO_PRICE, 0, 0, 0), (KINDS["add"], 1, 0, 100, 5, 1, 0),
        (KINDS["add"], -1, 0, 110, 6, big, 0), (KINDS["cancel"], 1, 0, 100, 2, 1, 0), (KINDS["replace"], 1, 0, 101, 4, 1, 1),
        (KINDS["trade"], -1, 0, 110, 2, 0, 0), (KINDS["notice"], -1, 0, ord("F"), 2, 3, 110),
        (KINDS["notice"], 0, 0, ord("N"), 0, 0, NO_PRICE),
    ]  # fmt: skip
    assert set(events["exch_ns"].tolist()) == {TIME} and set(events["local_ns"].tolist()) == {TIME + 500}
    assert set(events["symbol_id"].tolist()) == {77} and set(events["seq"].tolist()) == {9}
    assert decoder.counts == {"mbo A": 2, "mbo C": 1, "mbo F": 1, "mbo M": 1, "mbo N": 1, "mbo R": 1, "mbo T": 1}
    assert not decoder.blocked and decoder.unknown is None


def test_trades_and_quotes(impl):
    data = trade(side="A", price=-5) + quote((99, 101, 3, 4)) + quote((99, UNDEF, 3, 4), "T", side="B", price=101, size=2)
    decoder = impl.DbnDecoder()
    events, consumed = run(decoder, data)
    assert consumed == len(data)
    assert rows(events) == [
        (KINDS["trade"], 1, 0, -5, 5, 0, 0), (KINDS["quote"], 0, 0, 99, 101, 3, 4),
        (KINDS["quote"], 0, FLAGS["continued"], 99, NO_PRICE, 3, 0), (KINDS["trade"], -1, 0, 101, 2, 0, 0),
    ]  # fmt: skip
    assert decoder.counts == {"trades T": 1, "mbp-1 A": 1, "mbp-1 T": 1}


def test_any_buffer_is_accepted(tmp_path):
    data = mbo() + trade() + quote((99, 101, 3, 4))
    expected, _ = run(compiled.DbnDecoder(), data)
    (tmp_path / "x").write_bytes(data)
    with open(tmp_path / "x", "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        for source in (bytearray(data), memoryview(data), np.frombuffer(data, np.uint8), mapped):
            assert run(compiled.DbnDecoder(), source)[0].tobytes() == expected.tobytes()


def test_undefined_times_are_zero(impl):
    raw = bytearray(mbo())
    raw[8:16] = raw[40:48] = b"\xff" * 8
    events, _ = run(impl.DbnDecoder(), bytes(raw))
    assert (events["exch_ns"][0], events["local_ns"][0]) == (0, 0)


def test_records_of_one_venue_event_are_joined(impl):
    parts = [mbo("T", flags=0), mbo("F", flags=0), mbo("C"), mbo("A", flags=0), mbo("A", time=TIME + 1, flags=0), mbo("A", instrument=8)]
    data = b"".join(parts)
    assert run(impl.DbnDecoder(), data)[0]["flags"].tolist() == [1, 1, 0, 0, 0, 0]
    assert run(impl.DbnDecoder(joined=False), data)[0]["flags"].tolist() == [0] * 6
    # What may go on waits, and is counted once.
    decoder = impl.DbnDecoder()
    events, consumed = run(decoder, data[: 56 + 56], final=False)
    assert (len(events), consumed, decoder.counts) == (0, 0, {})
    events, consumed = run(decoder, data[: 56 * 3 + 20], final=False)
    assert (len(events), consumed) == (3, 56 * 3)
    assert decoder.counts == {"mbo T": 1, "mbo F": 1, "mbo C": 1}
    events, _ = run(impl.DbnDecoder(), data[: 56 + 56], final=True)
    assert events["flags"].tolist() == [1, 0]


def test_message_without_an_end_is_given_up_at_last(impl):
    data = b"".join(mbo("A", flags=0) for _ in range(5000))
    decoder = impl.DbnDecoder()
    events, consumed = run(decoder, data, 6000, final=False)
    assert (len(events), consumed) == (5000, len(data))
    assert events["flags"][-1] == 0
    events, consumed = run(impl.DbnDecoder(), data, 100, final=False)
    assert (len(events), events["flags"][-1]) == (99, 0) or (len(events), events["flags"][-1]) == (100, 0)


@pytest.mark.parametrize("bad", [mbo(rtype=19), mbo(length=13), mbo("Z"), mbo("A", "X"), mbo(length=0)])
def test_other_records_block(impl, bad):
    decoder = impl.DbnDecoder()
    events, consumed = run(decoder, mbo() + mbo("A", flags=0) + bad, final=False)
    assert (len(events), consumed, decoder.blocked) == (2, 112, True)
    assert events["flags"].tolist() == [0, 0]
    assert run(decoder, bad)[1] == 0 and decoder.blocked
    assert run(decoder, mbo())[1] == 56 and not decoder.blocked


def test_full_output_and_cut_records_stop(impl):
    data = mbo() * 3
    decoder = impl.DbnDecoder()
    assert run(decoder, data, 2)[1] == 112
    assert run(decoder, data[:100])[1] == 56
    for cut in range(56):
        events, consumed = run(impl.DbnDecoder(), mbo()[:cut])
        assert (len(events), consumed) == (0, 0)
    # A quote with its trade is not split.
    assert run(decoder, quote((1, 2, 3, 4)) + quote((1, 2, 3, 4), "T"), 2)[1] == 80
    with pytest.raises(ValueError, match="room for two events: size=1"):
        run(decoder, data, 1)


def test_send_times_are_skipped(impl):
    data = mbo(length=16, out=b"12345678") * 2
    events, consumed = run(impl.DbnDecoder(ts_out=True), data)
    assert (len(events), consumed) == (2, 128)
    assert run(impl.DbnDecoder(), data)[1] == 0


def test_events_have_the_symbol_ids_of_their_instruments(impl):
    ids = [5, 2**32 - 1, 0, 5, 2**32 - 1, 6, 5]
    data = b"".join(mbo(instrument=i, order_id=i) for i in ids)
    decoder, out, events, asked = impl.DbnDecoder(), np.zeros(64, EVENT_DTYPE), [], []
    while data:
        n, consumed = decoder.decode(data, out, True)
        events.append(out[:n].copy())
        data = data[consumed:]
        assert not decoder.blocked
        if data:
            asked.append(decoder.unknown)
            decoder.set_symbol_id(*decoder.unknown, len(asked) - 1)
    assert asked == [(1, 5), (1, 2**32 - 1), (1, 0), (1, 6)] and decoder.unknown is None
    assert np.concatenate(events)["symbol_id"].tolist() == [0, 1, 2, 0, 1, 3, 0]


def test_instruments_without_a_symbol_id_of_their_own_are_counted_and_passed_over(impl):
    decoder = impl.DbnDecoder()
    decoder.set_symbol_id(1, 5, None)
    passed = mbo(instrument=5, flags=0)
    data = passed + mbo("C", flags=0) + mbo("M") + passed * 2 + quote((99, 101, 3, 4), "T", instrument=5)
    events, consumed = run(decoder, data)
    assert (events["kind"].tolist(), consumed) == ([KINDS["cancel"], KINDS["replace"]], len(data))
    assert events["flags"].tolist() == [FLAGS["continued"], 0]
    assert decoder.counts == {"mbo A": 3, "mbo C": 1, "mbo M": 1, "mbp-1 T": 1}


def test_an_instrument_keeps_its_symbol_id(impl):
    decoder = impl.DbnDecoder()
    decoder.set_symbol_id(1, 5, 1)
    decoder.set_symbol_id(1, 5, 1)
    for other in (2, None):
        with pytest.raises(ValueError, match="an instrument must keep its symbol id: instrument=5, known=1, symbol_id="):
            decoder.set_symbol_id(1, 5, other)
    for number in (-1, 2**32):
        with pytest.raises(ValueError, match=f"instrument must be in 0..2..32-1: instrument={number}"):
            decoder.set_symbol_id(1, number, 0)
    for number in (-1, 2**32 - 2):
        with pytest.raises(ValueError, match=f"symbol_id must be in 0..2..32-3: symbol_id={number}"):
            decoder.set_symbol_id(1, 6, number)
    for number in (-1, 2**16):
        with pytest.raises(ValueError, match=f"publisher must be in 0..65535: publisher={number}"):
            decoder.set_symbol_id(number, 6, 0)


def test_lengths_are_those_of_the_layouts(impl):
    assert impl.LENGTHS == {160: len(mbo()), 0: len(trade()), 1: len(quote((1, 2, 3, 4)))}


def test_other_arrays_are_refused():
    from fastcore.wire.dbn import DbnDecoder

    for out in (np.zeros(4), np.zeros(8, EVENT_DTYPE)[::2], None):
        with pytest.raises((TypeError, ValueError)):
            DbnDecoder().decode(mbo(), out)
    with pytest.raises(TypeError):
        DbnDecoder().decode("text", np.zeros(4, EVENT_DTYPE))


def kinds(events):
    names = {number: name for name, number in KINDS.items()}
    return [(names[k], *p) for k, p in zip(events["kind"].tolist(), events.view(np.int64).reshape(-1, 8)[:, 4:].tolist(), strict=True)]


def event(*parts):
    """Records of one venue event: (action, size, order_id, price, side)."""
    rows = [(*part, 100, "B")[:5] if len(part) < 5 else part for part in parts]
    return b"".join(
        mbo(action, side, price, size, order_id, flags=0 if rest else 128)
        for rest, (action, size, order_id, price, side) in zip(range(len(rows) - 1, -1, -1), rows, strict=True)
    )


F, C, T = ord("F"), ord("C"), ord("T")


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([("T", 5, 0), ("F", 5, 1), ("C", 5, 1)], [("notice", T, 5, 0, 100), ("execute", 100, 5, 1, 0), ("notice", C, 5, 1, 100)]),
        ([("T", 9, 0), ("F", 5, 1), ("C", 5, 1)], [("trade", 100, 4, 0, 0), ("execute", 100, 5, 1, 0), ("notice", C, 5, 1, 100)]),
        ([("F", 5, 1), ("C", 8, 1)], [("execute", 100, 5, 1, 0), ("cancel", 100, 3, 1, 0)]),
        ([("F", 5, 1), ("C", 3, 1)], [("execute", 100, 3, 1, 0), ("notice", C, 3, 1, 100)]),
        ([("F", 2, 1), ("F", 3, 1), ("C", 5, 1)], [("execute", 100, 2, 1, 0), ("execute", 100, 3, 1, 0), ("notice", C, 5, 1, 100)]),
        ([("F", 5, 1), ("M", 7, 1)], [("execute", 100, 5, 1, 0), ("replace", 100, 7, 1, 1)]),
        ([("F", 5, 1), ("C", 5, 2)], [("notice", F, 5, 1, 100), ("cancel", 100, 5, 2, 0)]),
        ([("C", 5, 1), ("F", 5, 1)], [("cancel", 100, 5, 1, 0), ("notice", F, 5, 1, 100)]),
        ([("F", 0, 1), ("C", 5, 1)], [("notice", F, 0, 1, 100), ("cancel", 100, 5, 1, 0)]),
        (
            [("T", 5, 0), ("F", 2, 1), ("F", 3, 2), ("T", 4, 0), ("F", 4, 3), ("C", 2, 1), ("M", 6, 3), ("C", 3, 2)],
            [("notice", T, 5, 0, 100), ("execute", 100, 2, 1, 0), ("execute", 100, 3, 2, 0), ("notice", T, 4, 0, 100),
             ("execute", 100, 4, 3, 0), ("notice", C, 2, 1, 100), ("replace", 100, 6, 3, 3), ("notice", C, 3, 2, 100)],
        ),
    ],
    ids=["whole order", "a part traded against nothing displayed", "the rest is cancelled", "less is taken off", "two fills",
         "a modify gives what is left", "another order", "before the fill", "nothing filled", "one aggressor behind another"],
)  # fmt: skip
def test_fills_are_executions_where_the_book_is_reduced_behind_them(impl, parts, expected):
    decoder = impl.DbnDecoder()
    assert kinds(run(decoder, event(*parts))[0]) == expected
    assert sum(decoder.counts.values()) == len(parts)


def test_fills_in_an_array_are_joined_by_symbol_and_time(impl):
    decoder = impl.DbnDecoder(joined=False)
    rows = [("T", 5, 0), ("F", 5, 1), ("C", 5, 1)]
    data = event(*rows) + mbo("F", size=5, time=TIME + 1) + mbo("C", size=5, time=TIME + 2) + mbo("F", size=5) + mbo("C", size=5, instrument=8)
    events, _ = run(decoder, data)
    assert [row[0] for row in kinds(events)] == ["trade", "notice", "cancel", "notice", "cancel", "notice", "cancel"]
    impl.join_fills(events)
    assert [row[0] for row in kinds(events)] == ["notice", "execute", "notice", "notice", "cancel", "notice", "cancel"]
    impl.join_fills(events[:0])


def test_a_fill_is_joined_within_its_venue_event_alone(impl):
    apart = mbo("F", size=5) + mbo("C", size=5)
    assert kinds(run(impl.DbnDecoder(), apart)[0]) == [("notice", F, 5, 7, 100), ("cancel", 100, 5, 7, 0)]
    other = mbo("F", size=5, flags=0, publisher=1) + mbo("C", size=5, publisher=2)
    decoder = impl.DbnDecoder()
    decoder.set_symbol_id(2, 77, 78)
    assert [row[0] for row in kinds(run(decoder, other)[0])] == ["notice", "cancel"]


def test_publishers_have_instruments_and_references_of_their_own(impl):
    decoder = impl.DbnDecoder()
    decoder.set_symbol_id(39, 77, 3)
    decoder.set_symbol_id(40, 77, 4)
    events, _ = run(decoder, mbo(publisher=39) + mbo(publisher=40) + mbo(publisher=39, flags=0) + mbo(publisher=40))
    assert events["symbol_id"].tolist() == [3, 4, 3, 4]
    assert events["flags"].tolist() == [0, 0, 0, 0]
    mark = ((39 ^ 40) << 48) ^ 7
    assert events["order_id"].tolist() == [7, mark, 7, mark]
    assert decoder.publisher == 39
    decoder.publisher = 40
    assert run(decoder, mbo(publisher=40))[0]["order_id"].tolist() == [7]
    with pytest.raises(ValueError, match="publisher must be in"):
        compiled.DbnDecoder().publisher = 65536


def test_best_prices_as_orders_replace_their_side(impl):
    top = 64 | 128
    events, _ = run(impl.DbnDecoder(), b"".join([
        mbo("A", "B", 100, 5, 0, top), mbo("A", "A", 110, 6, 0, top), mbo("A", "B", 99, 7, 0, top), mbo("A", "A", UNDEF, 0, 0, top),
        mbo("R", "N", UNDEF, 0, 0, top), mbo("M", "A", 111, 4, 9, top), mbo("C", "A", 111, 1, 9, top),
    ]))  # fmt: skip
    bid, ask = -1 - 2 * 77, -2 - 2 * 77
    assert kinds(events) == [
        ("replace", 100, 5, bid, bid), ("replace", 110, 6, ask, ask), ("replace", 99, 7, bid, bid), ("clear", NO_PRICE, 0, ask, ask),
        ("clear", NO_PRICE, 0, 0, 0), ("replace", 111, 4, ask, ask), ("cancel", 111, 1, ask, 0),
    ]  # fmt: skip
    assert events["side"].tolist() == [1, -1, 1, -1, 0, -1, -1]
    from importlib import import_module

    book = import_module("fastcore.book" if impl is compiled else "fastcore.reference.book").OrderBook()
    assert book.apply(events) == {"ok": 7}
    assert (book.best_bid, book.best_ask, book.best_ask_size) == (None, 111, 3)
    assert book.apply(events[:4]) == {"ok": 4}
    assert (book.best_bid, book.best_bid_size, book.best_ask) == (99, 7, None)


def test_symbol_ids_hold_for_a_time(impl):
    decoder = impl.DbnDecoder()
    decoder.hold(TIME, TIME + 1000)
    with pytest.raises(ValueError, match="until_ns must be behind from_ns: from_ns=5 until_ns=5"):
        decoder.hold(5, 5)
    data = mbo("F", flags=0) + mbo(received=TIME + 999) + mbo(received=TIME + 1000)
    events, consumed = run(decoder, data, final=False)
    assert (len(events), consumed, decoder.outside, decoder.blocked, decoder.unknown) == (2, 112, True, False, None)
    # A message that goes on at the other side of the time ends before it.
    events, consumed = run(decoder, mbo(flags=0) + mbo(received=TIME + 1000), final=False)
    assert (events["flags"].tolist(), consumed, decoder.outside) == ([0], 56, True)
    for inside in (mbo(received=2**64 - 1), mbo(time=2**64 - 1, received=2**64 - 1)):
        assert run(decoder, inside)[1] == 56 and not decoder.outside
    assert run(decoder, mbo(received=TIME - 1))[1] == 0 and decoder.outside
    assert run(decoder, mbo(time=TIME - 1, received=2**64 - 1))[1] == 0 and decoder.outside
    decoder.hold()
    decoder.set_symbol_id(1, 77, 5)  # the ids before are forgotten
    assert decoder.decode(mbo(received=5), np.zeros(4, EVENT_DTYPE), True) == (1, 56)
