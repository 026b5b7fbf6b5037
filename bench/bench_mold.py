"""MoldUDP64 packets to events: what every packet of a market data feed goes through, once for each of its messages.

``decode`` is a synthetic day in packets of 1,400 bytes, in one call and, as from a socket, in one call per packet; beside it
the same messages as a file would hold them, which is the price of the messages alone. ``both lines`` has every packet twice:
the second one is dropped message by message. ``extract`` and ``encode`` do not look into the messages.
"""

import struct
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from fastcore.records import EVENT_DTYPE
from fastcore.reference import itch as twin_itch
from fastcore.reference import mold as twin
from fastcore.wire.itch import ItchDecoder
from fastcore.wire.mold import MoldDecoder, MoldEncoder
from hft.feeds.synthetic import generate

from .harness import Bench, main


def with_struct(packets: list[bytes]) -> int:
    """What a careful Python programmer writes to walk through packets, without decoding the messages."""
    header = struct.Struct(">10sQH").unpack_from
    size_at = struct.Struct(">H").unpack_from
    expected = messages = 0
    for packet in packets:
        _, sequence, count = header(packet)
        at = 20
        for number in range(sequence, sequence + count):
            (size,) = size_at(packet, at)
            if number >= expected:
                message = packet[at + 2 : at + 2 + size]
                messages += len(message) > 0
                expected = number + 1
            at += 2 + size
    return messages


def capture(path: Path, data: bytes, offsets: Any) -> Path:
    """The packets as a pcap file: Ethernet, IPv4, UDP."""
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65_535, 1))
        for i, (a, b) in enumerate(pairwise(offsets.tolist())):
            udp = struct.pack(">4H", 1, 26_400, 8 + b - a, 0)
            ip = struct.pack(">BBHHHBBH8s", 0x45, 0, 28 + b - a, 0, 0, 64, 17, 0, b"\x0a\0\0\1\xe9\x36\x0c\x6f")
            frame = bytes(12) + b"\x08\0" + ip + udp + data[a:b]
            file.write(struct.pack("<4I", 1_692_711_000, i, len(frame), len(frame)) + frame)
    return path


def run(bench: Bench) -> None:
    messages = 100_000 if bench.quick else 1_000_000
    slow = 2_000 if bench.quick else 20_000
    stream = generate(messages, seed=1)
    data, offsets = MoldEncoder("SYNTH").encode(stream)
    packets = [data[a:b] for a, b in pairwise(offsets.tolist())]
    bounds = [np.array([0, len(packet)], np.int64) for packet in packets]
    out = np.zeros(messages + 4_096, EVENT_DTYPE)
    wanted = np.zeros(messages, EVENT_DTYPE)
    ItchDecoder().decode(stream, wanted)
    wanted["seq"] = np.arange(1, messages + 1)
    few = len([1 for _ in packets if int.from_bytes(_[10:18], "big") <= slow])
    slow = int.from_bytes(packets[few][10:18], "big") - 1

    def whole() -> int:
        return MoldDecoder(ItchDecoder()).decode_batch(data, offsets, out)[0]

    def one_by_one() -> int:
        m, n = MoldDecoder(ItchDecoder()), 0
        for packet, bound in zip(packets, bounds, strict=True):
            n += m.decode_batch(packet, bound, out[n : n + 4_096])[0]
        return n

    def check(impl: str, result: Any) -> None:
        if impl.startswith("python"):
            assert result == slow
        else:
            assert result == messages
            if impl != "fastcore itch alone":
                assert out[:messages].tobytes() == wanted.tobytes()

    bench.compare(
        "mold",
        "decode to events",
        messages,
        {
            "fastcore": whole,
            "fastcore, a call per packet": one_by_one,
            "fastcore itch alone": lambda: ItchDecoder().decode(stream, out)[0],
            "python struct, undecoded": (lambda: with_struct(packets[:few]), slow),
            "python": (
                lambda: twin.MoldDecoder(twin_itch.ItchDecoder()).decode_batch(data, offsets[: few + 1], out)[0],
                slow,
            ),
        },
        check,
    )

    double = b"".join(packet + packet for packet in packets)
    twice = np.cumsum([0, *(len(packet) for packet in packets for _ in (0, 1))])

    def lines() -> tuple[int, int]:
        m = MoldDecoder(ItchDecoder())
        return m.decode_batch(double, twice, out)[0], m.duplicates

    def check_lines(impl: str, result: Any) -> None:
        assert result == (messages, messages)
        assert out[:messages].tobytes() == wanted.tobytes()

    bench.compare("mold", "decode both lines of a feed", 2 * messages, {"fastcore": lines}, check_lines)
    bench.compare(
        "mold",
        "extract",
        messages,
        {"fastcore": lambda: MoldDecoder().extract(data, offsets)[0]},
        lambda impl, result: _same(result, stream),
    )
    bench.compare(
        "mold",
        "encode",
        messages,
        {"fastcore": lambda: MoldEncoder("SYNTH").encode(stream)[0]},
        lambda impl, result: _same(result, data),
    )

    if bench.optional("dpkt") is not None:
        from hft.feeds.pcap import PcapFeed

        with tempfile.TemporaryDirectory() as folder:
            path = capture(Path(folder) / "day.pcap", data, offsets)
            bench.compare(
                "mold",
                "read a capture to events",
                messages,
                {"fastcore": lambda: sum(map(len, PcapFeed(path)))},
                lambda impl, result: _same(result, messages),
            )


def _same(a: object, b: object) -> None:
    assert a == b


if __name__ == "__main__":
    main(run)
