"""OUCH 5.0 messages to events and back: once for each order that leaves and each report that comes.

``outbound`` is what a venue says to a market maker: orders accepted, replaced, filled and cancelled, each with an appendage of
one element; ``inbound`` what the client says: orders, replaces, cancels. One call for all; ``one by one`` is a call for each
message, as an order gateway makes it.
"""

import struct
from typing import Any

import numpy as np

from fastcore.records import EVENT_DTYPE, KINDS
from fastcore.reference import ouch as twin
from fastcore.wire import ouch, soup

from .harness import Bench, main

MIX = {True: "ack replace fill pulled ack ack replace fill".split(), False: "order replace pull order order pull".split()}


def made(outbound: bool, n: int) -> tuple[Any, Any, bytes]:
    """Events, the rows beside them, and their appendages."""
    events, details = np.zeros(n, EVENT_DTYPE), ouch.details(n, symbol="SYNTH", cl_ord_id="ORDER-1")
    kinds = np.array([KINDS[kind] for kind in MIX[outbound]], np.uint8)
    events["kind"] = np.resize(kinds, n)
    events["side"], events["price"], events["size"] = 1, 1_000_000, 100
    events["order_id"], events["match_id"] = np.arange(n), 65
    events["exch_ns"] = np.arange(n) if outbound else 0
    option = ouch.pack_options({"firm": "FIRM"})
    details["appendage_length"] = len(option)
    return events, details, option


def with_struct(raw: bytes, rows: Any, limit: int, outbound: bool) -> int:
    """What a careful Python programmer writes: one precompiled format for each type, tuples out."""
    accepted = "cI8sQccQcccc14s"
    formats = {"A": ">QI" + accepted, "U": ">QII" + accepted, "E": ">QIIQcQ", "C": ">QIIc"} if outbound else {
        "O": ">IcI8sQccccc14s", "U": ">IIIQccc14s", "X": ">II"}  # fmt: skip
    readers = {ord(letter): struct.Struct(form).unpack_from for letter, form in formats.items()}
    last: tuple[Any, ...] = ()
    for at in rows["offset"][:limit].tolist():
        last = readers[raw[at]](raw, at + 1)
    assert last
    return limit


def run(bench: Bench) -> None:
    n = 50_000 if bench.quick else 500_000
    slow = 2_000 if bench.quick else 20_000
    for outbound, name in ((True, "outbound"), (False, "inbound")):
        events, details, option = made(outbound, n)
        encoder = ouch.OuchEncoder(outbound)
        stream, rows = encoder.encode(events, details, option)
        raw = soup.encode(stream, rows)
        soup.SoupDecoder(strict=True).decode(raw, rows)
        out, rest = np.zeros(n, EVENT_DTYPE), np.zeros(n, ouch.OUCH_DTYPE)
        decoder = ouch.OuchDecoder(outbound, strict=True)
        assert decoder.decode(raw, rows, out, rest) == n
        singles = [(rows[i : i + 1], out[i : i + 1], rest[i : i + 1]) for i in range(slow)]
        ones = [(events[i : i + 1], details[i : i + 1]) for i in range(slow)]

        def decode(raw: bytes = raw, rows: Any = rows, out: Any = out, rest: Any = rest, outbound: bool = outbound) -> int:
            return ouch.OuchDecoder(outbound).decode(raw, rows, out, rest)

        def decode_singles(raw: bytes = raw, singles: Any = singles, decoder: Any = decoder) -> int:
            return sum(decoder.decode(raw, row, event, detail) for row, event, detail in singles)

        def decode_twin(raw: bytes = raw, rows: Any = rows, out: Any = out, rest: Any = rest, outbound: bool = outbound) -> int:
            few = slow // 10
            return twin.OuchDecoder(outbound).decode(raw, rows[:few], out[:few], rest[:few])

        def check(
            impl: str,
            result: Any,
            outbound: bool = outbound,
            raw: bytes = raw,
            stream: bytes = stream,
            out: Any = out,
            rest: Any = rest,
        ) -> None:
            assert result == {"fastcore": n, "python": slow // 10}.get(impl, slow)
            if impl == "fastcore":
                again, _ = ouch.OuchEncoder(outbound).encode(out, rest, raw)
                assert again == stream

        bench.compare(
            "ouch",
            f"decode, {name}",
            n,
            {
                "fastcore": decode,
                "fastcore, one by one": (decode_singles, slow),
                "python struct": (lambda raw=raw, rows=rows, o=outbound: with_struct(raw, rows, slow, o), slow),
                "python": (decode_twin, slow // 10),
            },
            check,
        )

        def encode_singles(ones: Any = ones, encoder: Any = encoder, option: bytes = option) -> int:
            return sum(len(encoder.encode(event, detail, option)[0]) for event, detail in ones)

        bench.compare(
            "ouch",
            f"encode, {name}",
            n,
            {
                "fastcore": lambda e=events, d=details, o=option, c=encoder: len(c.encode(e, d, o)[0]),
                "fastcore, one by one": (encode_singles, slow),
            },
            lambda impl, result, stream=stream, rows=rows: _same(
                result, len(stream) if impl == "fastcore" else int(rows["length"][:slow].sum())
            ),
        )


def _same(a: object, b: object) -> None:
    assert a == b


if __name__ == "__main__":
    main(run)
