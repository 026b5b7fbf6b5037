from typing_extensions import disjoint_base

__all__ = ["Strategy"]

@disjoint_base
class Strategy:
    @property
    def symbol_ids(self) -> tuple[int, ...]: ...
