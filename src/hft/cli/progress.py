"""Lines of progress on stderr, drawn by rich, which is imported only where there is a terminal to draw on."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress

T = TypeVar("T")


class ProgressBar:
    """A context in which tasks show how far they are; silent where stderr is no terminal."""

    def __init__(self) -> None:
        self._drawn = _rich_progress() if sys.stderr is not None and sys.stderr.isatty() else None

    def __enter__(self) -> ProgressBar:
        if self._drawn is not None:
            self._drawn.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """Take the lines off the terminal; nothing is drawn from here on."""
        if self._drawn is not None:
            self._drawn.stop()

    def task(self, name: str) -> Callable[[int, int], None]:
        """Add a line and return the function that moves it: it takes what is done and the total."""
        drawn = self._drawn
        if drawn is None:
            return lambda done, total: None
        task = drawn.add_task(name, total=None)
        return lambda done, total: drawn.update(task, completed=done, total=total or None)  # of a stream nobody knows it

    def track(self, items: Iterable[T], name: str) -> Iterable[T]:
        """Return the items, and show how many of them have been taken."""
        return items if self._drawn is None else self._drawn.track(items, description=name)


def _rich_progress() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
