"""What a store holds and what it has lost, as a report, a warning and a line of text."""

from typing import NamedTuple

REASONS = (
    "records are missing that the store had published",
    "a checksum does not match",
    "the file was cut",
    "records follow a block that is not full",
)


class StoreWarning(UserWarning):
    """A store was opened that had lost records; ``TickStore.recovery`` has the report."""


class StoreReport(NamedTuple):
    """What a store holds and what it lost.

    Attributes
    ----------
    records : int
        Valid records from the first one on.
    valid_bytes : int
        Their size.
    dropped_records : int
        Records that the store had published, or that its commit words promise, and that are not among the valid ones.
    dropped_bytes : int
        Bytes behind the valid records that were promised and are in the file (0 where they are gone).
    reason : str
        Why; empty where nothing is wrong.
    kept_aside : str or None
        File that holds the dropped bytes.
    """

    records: int
    valid_bytes: int
    dropped_records: int = 0
    dropped_bytes: int = 0
    reason: str = ""
    kept_aside: str | None = None

    def for_reader(self, records: int, record_size: int) -> "StoreReport":
        """Return the report as it is for a reader, who sees published records only."""
        dropped = self.records + self.dropped_records - records
        return self._replace(records=records, valid_bytes=records * record_size, dropped_records=dropped)

    def loss(self) -> str:
        """Return one line that says what was lost."""
        aside = f", kept in {self.kept_aside}" if self.kept_aside else ""
        return (
            f"{self.reason}: {self.records} records are valid ({self.valid_bytes} bytes), {self.dropped_records} records "
            f"({self.dropped_bytes} bytes in the file) are dropped{aside}"
        )
