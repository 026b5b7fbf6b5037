from collections.abc import Iterable
from typing import Any, final

__all__ = ["NONE", "Decimals", "plain_columns"]

NONE: int

def plain_columns(block: bytes, forms: str, delimiter: str = ",", point: str = ".") -> list[Any] | None: ...

@final
class Decimals:
    def __init__(
        self, columns: int, wanted: Iterable[int], delimiter: str = ",", point: str = ".", group: str = "", most: int = 12
    ) -> None: ...
    def add(self, block: Any) -> int: ...
    @property
    def places(self) -> list[int]: ...
