"""Empty compiled calls: what a call from Python costs before the method does anything.

They are the yardstick for every single-item method of the core: nothing that is called from Python can be faster
than an empty method with the same arguments. Each argument shape has its own row; the other benchmarks repeat the
row that belongs to their method as the implementation ``empty call``, so that both are timed in the same rounds.
"""

from __future__ import annotations

from typing import Any

from fastcore._bench import Empty

from .harness import Bench, calls, main


class PlainEmpty:
    """The same methods in Python."""

    def none(self) -> None:
        return None

    def one_float(self, a: float) -> bool:
        return True

    def two_ints(self, a: int, b: int) -> None:
        return None

    def int_float_int(self, a: int, b: float, c: int) -> None:
        return None

    def int_int_float_float(self, a: int, b: int, c: float, d: float) -> bool:
        return True

    def four_floats(self, a: float, b: float, c: float, d: float) -> None:
        return None


SHAPES = {
    "none": "",
    "one_float": "x",
    "two_ints": "i, j",
    "int_float_int": "i, x, j",
    "int_int_float_float": "j, i, x, y",
    "four_floats": "x, y, x, y",
}


def run(bench: Bench) -> None:
    n = 2_000 if bench.quick else 20_000
    values: dict[str, Any] = {"i": 7, "j": 1_700_000_000_000_000_000, "x": 100.25, "y": 3.5}
    for shape, arguments in SHAPES.items():
        names = {name: value for name, value in values.items() if name in arguments.split(", ")}

        def make(target: object, shape: str = shape, arguments: str = arguments, names: dict[str, Any] = names) -> Any:
            return calls(f"f({arguments})", n, f=getattr(target, shape), **names)

        bench.compare(
            "calls",
            f"empty method ({arguments or 'no arguments'})",
            n,
            {"fastcore": make(Empty()), "python": make(PlainEmpty())},
        )


if __name__ == "__main__":
    main(run)
