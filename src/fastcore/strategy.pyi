from typing_extensions import disjoint_base

__all__ = ["Strategy"]

@disjoint_base
class Strategy: ...
