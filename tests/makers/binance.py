"""Captures of Binance streams."""

import json
import random


def capture(messages=300, seed=5):
    """Lines of one futures symbol: an image, then diffs, each followed by the best prices of the venue."""
    rng = random.Random(seed)
    now, u = 1_723_161_255_000, 100
    books = {"b": dict.fromkeys(range(90, 100), 1.0), "a": dict.fromkeys(range(101, 111), 1.0)}

    def line(message):
        return f"{(now + 3) * 1_000_000} {json.dumps(message, separators=(',', ':'))}\n"

    def levels(rows):
        return [[f"{price}.00", f"{size:.3f}"] for price, size in rows]

    image = {"lastUpdateId": u, "E": now, "T": now, "bids": levels(books["b"].items()), "asks": levels(books["a"].items())}
    out = [line({"stream": "xusdt@depth@0ms", "data": {"e": "depthUpdate", "E": now, "T": now, "s": "XUSDT", "U": u - 4, "u": u,
                 "pu": u - 5, "b": [], "a": []}}), line(image)]  # fmt: skip
    for _ in range(messages):
        now += 50
        diff = {"b": [], "a": []}
        for side, low in (("b", 90), ("a", 101)):
            price, size = rng.randrange(low, low + 10), rng.choice((0, 0, 1.5, 2.25))
            books[side][price] = size
            if not any(books[side].values()):
                books[side][price] = size = 3.0
            diff[side] = levels([(price, size)])
        message = {"e": "depthUpdate", "E": now, "T": now, "s": "XUSDT", "U": u + 1, "u": u + 5, "pu": u, **diff}
        u += 5
        out.append(line({"stream": "xusdt@depth@0ms", "data": message}))
        bid = max(p for p, size in books["b"].items() if size)
        ask = min(p for p, size in books["a"].items() if size)
        (bid_text,), (ask_text,) = (levels([(p, books[side][p])]) for side, p in (("b", bid), ("a", ask)))
        best = {"b": bid_text[0], "B": bid_text[1], "a": ask_text[0], "A": ask_text[1]}
        ticker = {"e": "bookTicker", "u": u, "s": "XUSDT", **best, "T": now, "E": now}
        out.append(line({"stream": "xusdt@bookTicker", "data": ticker}))
    return "".join(out).encode()
