"""The synthetic market: how fast a day can be made, which is what a demo and every test on it wait for."""

import numpy as np

from fastcore.records import EVENT_DTYPE
from fastcore.reference import synthetic as twin
from fastcore.sim.synthetic import Pair, SyntheticMarket
from hft.feeds.synthetic import generate

from .harness import Bench, main


def run(bench: Bench) -> None:
    messages = 50_000 if bench.quick else 500_000
    slow = 500 if bench.quick else 5_000
    symbols = [f"S{i}" for i in range(100)]
    events = np.zeros(messages, EVENT_DTYPE)
    few = np.zeros(slow, EVENT_DTYPE)

    def check(impl: str, result: object) -> None:
        if impl == "python":
            other = np.zeros(slow, EVENT_DTYPE)
            SyntheticMarket(slow).fill(other)
            assert few.tobytes() == other.tobytes()

    bench.compare(
        "synthetic",
        "events, one symbol",
        messages,
        {
            "fastcore": lambda: SyntheticMarket(messages).fill(events),
            "python": (lambda: twin.SyntheticMarket(slow).fill(few), slow),
        },
        check,
    )
    bench.compare(
        "synthetic", "events, 100 symbols", messages, {"fastcore": lambda: SyntheticMarket(messages, 1, symbols).fill(events)}
    )
    known = {"tail": 0.6, "reactive": True, "branching": 0.6, "correlation": 0.5, "pairs": [Pair("S0", "S1")]}
    bench.compare(
        "synthetic",
        "events, 4 symbols, all options",
        messages,
        {
            "fastcore": lambda: SyntheticMarket(messages, 1, symbols[:4], **known).fill(events),
            "python": (lambda: twin.SyntheticMarket(slow, 1, symbols[:4], step_s=60.0, **known).fill(few), slow),
        },
    )
    bench.compare("synthetic", "itch bytes, one symbol", messages, {"fastcore": lambda: generate(messages)})


if __name__ == "__main__":
    main(run)
