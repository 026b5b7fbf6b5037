"""Compiled trading core: import the modules (``from fastcore.ring import RingBuffer``).

Nothing essential lives here, because an unrelated package with the import name ``fastcore``
can overwrite this file; ``hft`` checks ``__distribution__`` and says so.
"""

__version__ = "0.1.0"
__distribution__ = "hft-fastcore"


def get_include() -> str:
    """Return the directory of the C headers that ``cimport fastcore.x`` needs at compile time."""
    from pathlib import Path

    return str(Path(__file__).parent / "_c")
