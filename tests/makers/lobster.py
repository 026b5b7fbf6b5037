"""A LOBSTER day of two levels, written by hand."""

import zipfile

MESSAGE = "XYZ_2012-06-21_34200000_57600000_message_2.csv"
ORDERBOOK = MESSAGE.replace("message", "orderbook")
E = (9999999999, 0)
F = (-9999999999, 0)


def row(*levels):
    asks, bids = levels
    asks, bids = [*asks, E, E][:2], [*bids, F, F][:2]
    return [v for a, b in zip(asks, bids, strict=True) for v in (*a, *b)]


ROWS = [
    row([(110, 5), (120, 6)], [(100, 7), (90, 8)]),
    row([(110, 5), (115, 1)], [(100, 7), (90, 8)]),  # 120 leaves the window without a message of its own
    row([(110, 2), (115, 1)], [(100, 7), (90, 8)]),
    row([(115, 1), (120, 6)], [(100, 7), (90, 8)]),  # 110 is gone, 120 is back
    row([(115, 1), (120, 6)], [(100, 7), (90, 8)]),
    row([(115, 1), (120, 6)], [(100, 7), (90, 8)]),
    row([(115, 1), (120, 6)], [(100, 7), (90, 8)]),
    row([(115, 1)], []),
]
MESSAGES = [
    ("34200.017459617", 1, 1, 5, 110, -1), ("34200.18960767", 1, 2, 1, 115, -1), ("34200.2", 4, 1, 3, 110, -1), ("34200.2", 3, 1, 2, 110, -1),
    ("34201", 5, 0, 9, 105, 1), ("34202.5", 6, 0, 100, 105, -1), ("34203.632812672004", 7, 0, 0, -1, -1), ("34204.0", 3, 7, 7, 100, 1),
]  # fmt: skip


def text(rows):
    return "".join(",".join(map(str, r)) + "\r\n" for r in rows).encode()


def archive(path, messages=MESSAGES, rows=ROWS):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(MESSAGE, messages if isinstance(messages, bytes) else text(messages))
        file.writestr(ORDERBOOK, rows if isinstance(rows, bytes) else text(rows))
        file.writestr("LOBSTER_SampleFiles_ReadMe.txt", "read me")
    return path
