"""What the twins of all decoders share: position, counts, errors."""

from __future__ import annotations

from typing import Any

from fastcore.errors import RESULTS, CorruptDataError

CODES = {name: code for code, (name, _) in RESULTS.items()}
LOG = 64


def check_midnight(midnight_ns: int) -> int:
    """Return midnight of a day in ns, as an argument."""
    if not -(2**62) <= midnight_ns <= 2**62:
        raise ValueError(f"midnight_ns must be in -2**62..2**62: midnight_ns={midnight_ns}")
    return midnight_ns


class Malformed(Exception):
    """Carries the name of a result."""


class Decoder:
    """Count what was decoded; types are letters."""

    rule = ""  # what input must be
    items = "events"  # what an error says how many of

    def __init__(self, strict: bool) -> None:
        self.strict = bool(strict)
        self.reset()

    def reset(self) -> None:
        """Start to count anew."""
        self.position = self.needed = self.skipped = 0
        self.error_log: list[Any] = []
        self._counts: dict[str, int] = {}
        self._unknown: dict[str, int] = {}
        self._errors: dict[str, int] = {}

    def _count(self, type: str) -> None:
        self._counts[type] = self._counts.get(type, 0) + 1

    def _fail(self, offset: int, reason: str, type: str, items: int, fatal: bool = False) -> None:
        """Count an error, at an offset in the stream; raise it in strict mode."""
        self._errors[reason] = self._errors.get(reason, 0) + 1
        if reason == "unknown message type":
            self._unknown[type] = self._unknown.get(type, 0) + 1
        if len(self.error_log) < LOG:
            self.error_log.append((offset, type, reason))
        if self.strict or fatal:
            error = CorruptDataError(f"{self.rule}: {reason} type={type!r} offset={offset}")
            error.offset = offset  # type: ignore[attr-defined]
            setattr(error, self.items, items)
            raise error

    def _break(self, at: int, reason: str, type: str, items: int) -> None:
        """The same, so many bytes behind what was consumed; in strict mode what stands before it is consumed."""
        offset = self.position + at
        if self.strict:
            self.position = offset
        self._fail(offset, reason, type, items)

    @property
    def counts(self) -> dict[str, int]:
        """Well-formed messages by type."""
        return dict(sorted(self._counts.items()))

    @property
    def unknown(self) -> dict[str, int]:
        """Messages of unknown types."""
        return dict(sorted(self._unknown.items()))

    @property
    def errors(self) -> dict[str, int]:
        """Malformed input by reason."""
        return {name: self._errors[name] for name in CODES if name in self._errors}
