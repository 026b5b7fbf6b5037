from typing import Any

__all__ = ["Strategy"]

class Strategy:
    def __init__(self, *arguments: Any, **options: Any) -> None: ...
