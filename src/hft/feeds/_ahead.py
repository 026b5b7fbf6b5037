"""A source on a thread of its own, which works ahead while what it gave before is used."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TypeVar

__all__ = ["ahead"]

_Item = TypeVar("_Item")


def ahead(source: Generator[_Item, None, None], items: int = 4) -> Generator[_Item, None, None]:
    """Iterate over a source that is up to `items` items ahead.

    Items and errors come in the order of the source. When the iterator is closed, an item that is being made is waited for, no
    other is begun, and the source is closed.
    """
    end = object()
    with closing(source), ThreadPoolExecutor(1, "ahead") as thread:
        made = deque(thread.submit(next, source, end) for _ in range(items))
        try:
            while (item := made.popleft().result()) is not end:
                made.append(thread.submit(next, source, end))
                yield item  # type: ignore[misc]
        finally:
            for item_to_come in made:
                item_to_come.cancel()
