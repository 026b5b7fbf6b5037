"""Records of Databento DBN, spelled out byte by byte."""

import struct

TIME = 1_700_000_000_000_000_000


def mbo(action="A", side="B", price=100, size=5, order_id=7, flags=128, time=TIME, instrument=77, sequence=9, length=14, rtype=160,
        out=b"", publisher=1, received=None):  # fmt: skip
    head = struct.pack("<BBHIQ", length, rtype, publisher, instrument, time)
    received = time + 500 if received is None else received
    body = struct.pack("<QqIBBccQiI", order_id, price, size, flags, 0, action.encode(), side.encode(), received, 14, sequence)
    return head + body + out


def trade(action="T", side="B", price=100, size=5, flags=0, time=TIME, instrument=77, sequence=9, rtype=0, levels=None):
    body = struct.pack("<qIccBBQiI", price, size, action.encode(), side.encode(), flags, 0, time + 500, 14, sequence)
    tail = b"" if levels is None else struct.pack("<qqIIII", *levels, 1, 1)
    return struct.pack("<BBHIQ", 12 + len(tail) // 4, rtype, 1, instrument, time) + body + tail


def quote(levels, action="A", **more):
    return trade(action=action, rtype=1, levels=levels, flags=more.pop("flags", 128), **more)
