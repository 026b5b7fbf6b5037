"""Sessions of Kraken's book channel, with the checksums that the venue would publish."""

import json
import zlib

HEAD = (
    b"configuration: {'kraken': {}}\nwss://ws.kraken.com <-> 1723161252.5\n"
    b'1723161252.7: {"channelID":336,"channelName":"book-10","event":"subscriptionStatus","pair":"XBT/USD","status":"subscribed"}\n'
    b'1723161252.9: {"event":"heartbeat"}\n'
)


class Session:
    """A venue: books far deeper than the subscription, of which it publishes the best levels and their checksum."""

    def __init__(self, choose, version, depth=10):
        self.choose, self.version, self.depth = choose, version, depth
        self.books = {"XBT/USD": ({}, {}), "ETH/USD": ({}, {})}
        self.now = 1_723_161_253.0
        for bids, asks in self.books.values():
            for i in range(depth * 2):
                bids[50_000 - i * choose.randrange(1, 3)] = choose.randrange(1, 10**9)
                asks[50_001 + i * choose.randrange(1, 3)] = choose.randrange(1, 10**9)

    def shown(self, name):
        bids, asks = self.books[name]
        return sorted(bids.items(), reverse=True)[: self.depth], sorted(asks.items())[: self.depth]

    def checksum(self, name):
        bids, asks = self.shown(name)
        return zlib.crc32("".join(f"{p}{q}" for p, q in asks[:10] + bids[:10]).encode())

    def text(self, price, size):
        return f"{price // 10}.{price % 10}", f"{size // 10**8}.{size % 10**8:08d}"

    def levels(self, levels):
        if self.version == 1:
            return json.dumps([[*self.text(p, q), f"{self.now:.6f}", *again] for p, q, *again in levels], separators=(",", ":"))
        return "[" + ",".join('{{"price":{},"qty":{}}}'.format(*self.text(p, q)) for p, q, *_ in levels) + "]"

    def line(self, text):
        return f"{self.now + 0.01:.7f}: {text}\n".encode()

    def image(self, name):
        bids, asks = self.shown(name)
        if self.version == 1:
            return self.line(f'[336,{{"as":{self.levels(asks)},"bs":{self.levels(bids)}}},"book-{self.depth}","{name}"]')
        return self.second(name, "snapshot", bids, asks)

    def second(self, name, type, bids, asks):
        return self.line(
            f'{{"channel":"book","type":"{type}","data":[{{"symbol":"{name}","bids":{self.levels(bids)},'
            f'"asks":{self.levels(asks)},"checksum":{self.checksum(name)},"timestamp":"2024-08-08T23:54:13.5Z"}}]}}'
        )

    def change(self, name):
        """Change the venue's book; publish what changed among the levels shown, those that came into view included."""
        self.now += self.choose.random()
        before = self.shown(name)
        for _ in range(self.choose.randrange(1, 4)):
            side = self.choose.randrange(2)
            book, best = self.books[name][side], self.shown(name)[side]
            at = best[min(self.choose.randrange(self.depth + 2), len(best) - 1)][0] + self.choose.randrange(-1, 2)
            if self.choose.random() < 0.4 and len(book) > self.depth + 2:
                book.pop(at, None)
            else:
                book[at] = self.choose.randrange(1, 10**9)
        published = []
        for old, new, book in zip(before, self.shown(name), self.books[name], strict=True):
            seen = dict(old)
            # What other levels pushed out of view is not deleted by the venue.
            gone = [(p, 0) for p in seen if p not in book]
            come = [(p, q, "r") if p not in seen else (p, q) for p, q in new if seen.get(p) != q]
            published.append(gone + come)
        bids, asks = published
        if self.version == 2:
            return self.second(name, "update", bids, asks)
        if not bids and not asks:
            return b""
        parts = [("a", asks)] * bool(asks) + [("b", bids)] * bool(bids)
        objects = [f'{{"{key}":{self.levels(levels)}' for key, levels in parts]
        objects[-1] += f',"c":"{self.checksum(name)}"'
        return self.line(f'[336,{"},".join(objects)}}},"book-{self.depth}","{name}"]')

    def lines(self, n, loss=0.0):
        out = [self.image(name) for name in self.books]
        for _ in range(n):
            name = self.choose.choice(list(self.books))
            line = self.image(name) if self.choose.random() < 0.03 else self.change(name)
            out.append(b"" if self.choose.random() < loss else line)
        return out
