"""SoupBinTCP packets, and the OUCH 5.0 messages in them."""

from __future__ import annotations

import struct
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import numpy as np

from fastcore.errors import CorruptDataError
from fastcore.records import EVENT_DTYPE
from fastcore.reference import ouch
from fastcore.wire import soup
from fastcore.wire.ouch import OPTIONS, OUCH_DTYPE, pack_options
from fuzz.corpora import payloads, prefixed, recorded
from fuzz.engine import Counts, Target
from fuzz.laws import both, drive, reported, same


def ouch_messages(random: Random, outbound: bool) -> list[bytes]:
    """Every type with random fields, and appendages of random elements."""
    found = []
    for letter, message in ouch._messages(outbound).items():
        for _ in range(2):
            body = bytearray(random.randbytes(message.struct.size))
            body[0] = ord(letter)
            values = list(message.struct.unpack(bytes(body)))
            for i, name in enumerate(message.names, 1):
                if name == "side":
                    values[i] = random.choice((b"B", b"S", b"T", b"E"))
                elif name in ("time", "price"):
                    values[i] = random.randrange(2**40)
                elif name == "symbol":
                    values[i] = random.choice((b"AAPL    ", b"X       ", b"ZZZZZZZZ"))
            raw = message.struct.pack(*values)
            if message.appendage == 2 or (message.appendage and random.random() < 0.5):
                options: dict[Any, Any] = {}
                for name in random.sample(sorted(OPTIONS), random.randrange(4)):
                    _, size, kind = OPTIONS[name]
                    options[name] = random.randrange(256) if kind in "us" and size < 2 else 7 if kind in "us" else "A"
                appendage = pack_options(options)
                raw += struct.pack(">H", len(appendage)) + appendage
            found.append(raw)
    random.shuffle(found)
    return found


def soup_corpus(random: Random, data_dir: Path | None) -> list[bytes]:
    client = soup.login_request("user", "secret") + soup.heartbeat(False)
    client += b"".join(map(soup.unsequenced, ouch_messages(random, False))) + soup.logout_request()
    venue = soup.login_accepted("SESSION", 1) + soup.debug("hello") + soup.heartbeat(True)
    venue += b"".join(map(soup.sequenced, ouch_messages(random, True))) + soup.end_of_session()
    found = [client, venue, soup.login_rejected("A"), client[:60] + venue[:400]]
    for path in recorded(data_dir, "pcap/ouch5/*.pcap"):
        found.append(b"".join(payloads(path, "tcp")))
    return [data for data in found if data]


SOUP_REPORT = ("counts", "unknown", "errors", "error_log", "position", "next_sequence", "pending")


def soup_run(module: ModuleType, data: bytes, strict: bool) -> dict[str, Any]:
    decoder = module.SoupDecoder(2**64 - 3, strict)
    rows = np.zeros(9, module.SOUP_DTYPE)
    state: dict[str, Any] = {"raised": None}
    try:
        made, at = drive(lambda rest: decoder.decode(rest, rows, True), data, lambda n: rows[:n].tobytes())
        state |= {"rows": made, "consumed": at}
    except CorruptDataError as error:
        state["raised"] = str(error)
    state |= reported(decoder, *SOUP_REPORT)
    pushed = module.SoupDecoder(2**64 - 3)
    pieces_ = []
    for at in range(0, len(data), 61):
        view, found = pushed.push(data[at : at + 61])
        pieces_ += [(bytes(view[row["offset"] :][: row["length"]]), int(row["sequence"])) for row in found]
    state["pushed"] = pieces_
    return state | {f"pushed {name}": value for name, value in reported(pushed, *SOUP_REPORT).items()}


def soup_check(data: bytes, folder: Path) -> Counts:
    compiled, twin = both("wire.soup")
    for strict in (True, False):
        state = soup_run(compiled, data, strict)
        same(state, soup_run(twin, data, strict))
        assert not strict or bool(state["raised"]) == bool(state["errors"])
    packets, errors = sum(state["counts"].values()), sum(state["errors"].values())
    assert state["consumed"] == len(data)
    assert packets + errors == len(prefixed(data))
    assert len(state["pushed"]) == packets
    return {"packets": packets, "errors": errors}


def ouch_check(data: bytes, folder: Path) -> Counts:
    rows = np.zeros(len(data) // 2 + 1, soup.SOUP_DTYPE)
    n, _ = soup.SoupDecoder().decode(data, rows, True)
    rows = rows[:n]
    carried = int(np.isin(rows["type"], [b"S", b"U"]).sum())
    total = {"messages": 0, "errors": 0}
    for outbound in (False, True):
        for strict in (True, False):
            outcome = []
            for module, symbols in zip(both("wire.ouch"), both("symbols"), strict=True):
                mapper = symbols.SymbolMapper(capacity=8)
                mapper.add("AAPL")
                decoder = module.OuchDecoder(outbound, mapper, 10**18, strict)
                out, details = np.zeros(n, EVENT_DTYPE), np.zeros(n, OUCH_DTYPE)
                state: dict[str, Any] = {"raised": None, "made": 0}
                try:
                    state["made"] = decoder.decode(data, rows, out, details, 5, 1_000)
                except CorruptDataError as error:
                    state["raised"] = str(error)
                state |= {"events": out[: state["made"]].tobytes(), "details": details[: state["made"]].tolist()}
                state |= reported(decoder, "counts", "errors", "unknown", "error_log")
                if state["made"]:
                    encoded, where = module.OuchEncoder(outbound, 10**18).encode(out[: state["made"]], details[: state["made"]], data)
                    state |= {"encoded": encoded, "where": where.tolist()}
                outcome.append(state)
            same(*outcome)
            assert not strict or bool(state["raised"]) == bool(state["errors"])
        messages, errors = sum(state["counts"].values()), sum(state["errors"].values())
        assert messages + errors == carried and messages == state["made"]
        total = {"messages": total["messages"] + messages, "errors": total["errors"] + errors}
    return total


TARGETS = (
    Target("soup", soup_corpus, soup_check, prefixed, (b"\0\1H", b"\0\1Z", b"\0\0"), iterations=200),
    Target("ouch", soup_corpus, ouch_check, prefixed, (b"\0\1S", b"\0\2U"), iterations=90),
)
