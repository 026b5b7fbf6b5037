from collections.abc import Iterable
from typing import final

import numpy as np
import numpy.typing as npt
from typing_extensions import disjoint_base

__all__ = ["EventSource", "Source"]

@disjoint_base
class Source: ...

@final
class EventSource(Source):
    def __init__(self, arrays: Iterable[npt.NDArray[np.void]] | npt.NDArray[np.void]) -> None: ...
    @property
    def given(self) -> int: ...
