"""Messages behind their lengths, as files of ITCH and packets of SoupBinTCP and MoldUDP64 hold them."""

import struct


def framed(*messages: bytes) -> bytes:
    """Messages, each behind its length, big-endian in two bytes."""
    return b"".join(struct.pack(">H", len(message)) + message for message in messages)
