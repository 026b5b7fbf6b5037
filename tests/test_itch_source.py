"""ITCH bytes as a source: cut anywhere, and what is said of bytes that are no message."""

import pytest
from makers.itch import Day, quoted_book, random_day

from fastcore.engine import Engine
from fastcore.errors import CorruptDataError
from fastcore.market import Market
from fastcore.wire.itch import ItchDecoder
from fastcore.wire.itch_source import ItchSource


def run(chunks, strict=True, sample_every=0):
    market, decoder = Market(), ItchDecoder(0, strict)
    source = ItchSource(chunks, decoder)
    engine = Engine(source, market, sample_every=sample_every)
    engine.run()
    return market, source


@pytest.mark.parametrize("size", [1, 2, 3, 37, 1_000, 10**9])
@pytest.mark.parametrize("sample_every", [0, 1, 7])
def test_chunks_may_be_cut_anywhere(size, sample_every):
    data = random_day(8, 400)
    whole, _ = run([data])
    parts, source = run([data[at : at + size] for at in range(0, len(data), size)], sample_every=sample_every)
    assert source.left == 0
    assert (parts.events, parts.book_errors) == (whole.events, whole.book_errors)
    assert parts.books.state_hash() == whole.books.state_hash()


def test_rest_that_is_no_whole_message_is_left():
    data = bytes(quoted_book().data)
    market, source = run([data[:-1]])
    assert source.left == 37
    assert market.events == 3


def test_malformed_message_ends_a_strict_run_behind_everything_before_it():
    good = bytes(quoted_book().data)
    market, decoder = Market(), ItchDecoder(0, True)
    engine = Engine(ItchSource([good + b"\x00\x05A1234" + bytes(Day().data)], decoder), market)
    with pytest.raises(CorruptDataError, match=f"bad length type='A' offset={len(good)}") as raised:
        engine.run()
    assert raised.value.offset == len(good)
    assert market.events == 4
    assert sum(decoder.errors.values()) == 1, "counted once"


def test_malformed_messages_are_counted_where_nobody_is_strict():
    good = bytes(quoted_book().data)
    market, source = run([good + b"\x00\x05A1234\x00\x01z" + bytes(Day().data)], strict=False)
    assert source.decoder.errors == {"unknown message type": 1, "bad length": 1}
    assert market.events == 6
