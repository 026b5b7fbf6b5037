"""Captures of MoldUDP64 and of SoupBinTCP."""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path
from random import Random

from makers.captures import ethernet, ip4, pcap, tcp_frame, timed

from fastcore.errors import CorruptDataError
from fuzz.corpora import blocks, prefixed, recorded
from fuzz.engine import Counts, Target
from fuzz.laws import REFUSALS, feed_check
from fuzz.mold import mold_corpus
from fuzz.soup import soup_corpus
from hft.feeds.ouch import read_ouch
from hft.feeds.pcap import PcapFeed


def pcap_corpus(random: Random, data_dir: Path | None) -> list[bytes]:
    """Captures of MoldUDP64 and of SoupBinTCP in IPv4 and Ethernet; and those that are recorded."""
    conversations = []
    for data in mold_corpus(random, None)[:4]:
        conversations.append([ethernet(ip4(unit[2:])) for unit in prefixed(data)])
    client, venue = soup_corpus(random, None)[:2]
    conversations.append([
        tcp_frame(data[at : at + 300], 1_000 + at, outbound)
        for outbound, data in ((False, client), (True, venue))
        for at in range(0, len(data), 300)
    ])  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        found = [pcap(Path(folder) / "day.pcap", timed(frames), nano=False).read_bytes() for frames in conversations]
    found.append(gzip.compress(found[0], 1, mtime=0))
    for pattern in ("pcap/totalview-itch5*/*.pcap", "pcap/ouch5/*.pcap"):
        found += [path.read_bytes() for path in recorded(data_dir, pattern)]
    return found


def pcap_check(data: bytes, folder: Path) -> Counts:
    path = folder / "day.pcap"
    path.write_bytes(data)
    made = 0
    try:
        for messages in read_ouch(path):
            made += len(messages.events)
    except ValueError as error:
        if not isinstance(error, CorruptDataError) and not str(error).startswith(REFUSALS):
            raise
    counts = feed_check(lambda **options: PcapFeed(path, **options))
    return counts | {"ouch": made}


TARGETS = (Target("pcap", pcap_corpus, pcap_check, blocks, needs=("dpkt",), iterations=150),)
