from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple, Self

__all__ = ["Fees"]

class Fees(NamedTuple):
    maker: str | int | float | Decimal | Fraction = 0
    taker: str | int | float | Decimal | Fraction = 0
    per_order: str | int | float | Decimal | Fraction = 0
    tiers: Sequence[tuple[object, object, object]] = ()
    def checked(self) -> Self: ...
