"""Measure callables side by side, verify their answers, and keep the rows."""

from __future__ import annotations

import gc
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

OURS = "fastcore"
ROUND_NS = 1_000_000  # what a round of one implementation takes at least


def optional(name: str) -> ModuleType | None:
    """Import a library of the ``bench`` extra, or return None where it is not installed."""
    try:
        return import_module(name)
    except ImportError:
        return None


def calls(expression: str, n: int = 10_000, **names: Any) -> Callable[[], None]:
    """Return a function that evaluates `expression` `n` times (a multiple of 20), unrolled so that the loop costs nothing."""
    body = "\n        ".join([expression] * 20)
    code = f"def run(_repeat=range({n // 20})):\n    for _ in _repeat:\n        {body}\n"
    scope: dict[str, Any] = dict(names)
    # Names become parameters' defaults, so that each is a fast local, as in a well-written strategy.
    defaults = ", ".join(f"{name}={name}" for name in names)
    exec(code.replace("def run(", f"def run({defaults}, " if defaults else "def run("), scope)
    run: Callable[[], None] = scope["run"]
    return run


@dataclass
class Bench:
    """Collects rows; the modules ``bench_*`` each have ``run(bench)``.

    Parameters
    ----------
    quick : bool
        Smaller inputs and budgets: to see that everything runs, not to publish.
    """

    quick: bool = False
    on_row: Callable[[dict[str, Any]], None] = lambda row: None
    rows: list[dict[str, Any]] = field(default_factory=list)
    facts: list[dict[str, Any]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def optional(self, name: str) -> ModuleType | None:
        """Import an optional peer; a missing one is remembered and reported, never skipped in silence."""
        module = optional(name)
        if module is None and name not in self.missing:
            self.missing.append(name)
        return module

    def compare(
        self,
        group: str,
        name: str,
        items: int,
        impls: Mapping[str, Callable[[], Any] | tuple[Callable[[], Any], int]],
        check: Callable[[str, Any], float | None] | None = None,
    ) -> dict[str, dict[str, Any]]:
        """Time every implementation in alternating rounds, verify the answers, add a row for each.

        Parameters
        ----------
        group, name : str
            What is measured; one table per group.
        items : int
            Items that one call processes.
        impls : mapping of str to callable or (callable, items)
            By implementation name; ``"fastcore"`` is ours and the ratios are to it. A slow peer may process fewer items.
        check : callable(impl, result), optional
            Raises when a result is wrong; may return the largest error, which the row carries.
        """
        cases = {k: v if isinstance(v, tuple) else (v, items) for k, v in impls.items()}
        budget_s = 0.15 if self.quick else 1.5
        times: dict[str, list[float]] = {}
        errors: dict[str, float | None] = {}
        rounds: dict[str, int] = {}
        repeats: dict[str, int] = {}
        enabled = gc.isenabled()
        for impl, (function, _) in cases.items():
            result = function()  # warm-up, and the answer that is verified
            errors[impl] = check(impl, result) if check else None
            del result
            start = time.perf_counter_ns()
            function()
            elapsed = max(time.perf_counter_ns() - start, 1)
            times[impl] = []
            # A short call is repeated within its round, the first time untimed: it shall not pay for the caches that the
            # implementation before it has emptied, nor profit from what that one has left there.
            repeats[impl] = max(1, -(-ROUND_NS // elapsed))
            rounds[impl] = int(min(200, max(3, budget_s * 1e9 / (elapsed * (repeats[impl] + 1)))))
        gc.disable()
        try:
            for i in range(max(rounds.values())):
                for impl, (function, _) in cases.items():
                    # Slow peers run in fewer rounds, spread over the whole time so that all see the same machine.
                    if i * rounds[impl] // max(rounds.values()) >= len(times[impl]) and len(times[impl]) < rounds[impl]:
                        again = range(repeats[impl])
                        if len(again) > 1:
                            function()
                        start = time.perf_counter_ns()
                        for _ in again:
                            function()
                        times[impl].append((time.perf_counter_ns() - start) / len(again))
        finally:
            if enabled:
                gc.enable()
        added = {}
        for impl, (_, n) in cases.items():
            ns = sorted(times[impl])
            added[impl] = self.add(group, name, impl, ns[0] / n, statistics.median(ns) / n, n, errors[impl])
            added[impl]["p99_ns_per_item"] = ns[(len(ns) * 99 - 1) // 100] / n
            added[impl]["rounds"] = len(ns)
        return added

    def add(
        self, group: str, name: str, impl: str, ns: float, median_ns: float, items: int, max_error: float | None = None
    ) -> dict[str, Any]:
        """Add one measured row; `ns` is the minimum per item. Rows of one name share the ratio base, ours, when it is known."""
        row: dict[str, Any] = {
            "group": group,
            "name": name,
            "impl": impl,
            "ns_per_item": ns,
            "median_ns_per_item": median_ns,
            "items": items,
            "ratio": None,
        }
        if max_error is not None:
            row["max_error"] = max_error
        self.rows.append(row)
        same = [r for r in self.rows if r["group"] == group and r["name"] == name]
        base = next((r["ns_per_item"] for r in same if r["impl"] == OURS), None)
        if base:
            for r in same:
                r["ratio"] = r["ns_per_item"] / base
        self.on_row(row)
        return row

    def fact(self, group: str, name: str, impl: str, value: float, unit: str) -> None:
        """Keep a measured figure that is no time per item: bytes, a count, a time of start."""
        self.facts.append({"group": group, "name": name, "impl": impl, "value": value, "unit": unit})

    def report(self) -> dict[str, Any]:
        """Return what ``hft bench --json`` writes."""
        return {"machine": machine(), "missing": self.missing, "rows": self.rows, "facts": self.facts}


def machine() -> dict[str, Any]:
    """Describe the machine and the build, for the head of a report."""
    cpu = platform.processor()
    try:
        with open("/proc/cpuinfo") as lines:
            cpu = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), cpu)
    except OSError:
        pass
    import numpy

    import fastcore
    from fastcore import _bench

    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "hft-fastcore": fastcore.__version__,
        "commit": _commit(),
        "build": _bench.build(),
    }


def _commit() -> str | None:
    """Name the commit of the checkout that the suite runs from; None for an installed package."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    try:
        found = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty"], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None


def main(run: Callable[[Bench], None]) -> None:
    """Run one benchmark module from the command line: ``python -m bench.bench_ring [--quick] [--json]``."""

    def show(row: dict[str, Any]) -> None:
        error = f"  max error {row['max_error']:.1e}" if "max_error" in row else ""
        print(
            f"{row['group']:<12} {row['name']:<42} {row['impl']:<22} {row['ns_per_item']:>12.2f} ns"
            f"  median {row['median_ns_per_item']:>12.2f}{error}",
            flush=True,
        )

    bench = Bench(quick="--quick" in sys.argv, on_row=(lambda row: None) if "--json" in sys.argv else show)
    run(bench)
    if "--json" in sys.argv:
        json.dump(bench.report(), sys.stdout, indent=1)
    else:
        for row in bench.rows:
            if row["ratio"] is not None and row["impl"] != OURS:
                print(f"{row['group']} / {row['name']}: {row['impl']} = {row['ratio']:.2f} x {OURS}")
        if bench.missing:
            print(f"not installed, left out: {', '.join(bench.missing)}  (pip install 'hft-fastcore[bench,peers]')")
